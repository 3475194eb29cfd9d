/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps `hops`, the way to other backends, and `strangers`, in which the backend program says which one it lacks. */
#include "datapath/internal.h"

#include <errno.h>
#include <string.h>

int dp_hop_set(struct datapath *dp, const struct addr *to, const struct shunt_backend *way)
{
	const struct shunt_addr key = dp_addr(to);

	return bpf_map_update_elem(dp->maps[MAP_HOPS], &key, way, BPF_ANY) ? -errno : 0;
}

int dp_hop_delete(struct datapath *dp, const struct addr *to)
{
	const struct shunt_addr key = dp_addr(to);

	return bpf_map_delete_elem(dp->maps[MAP_HOPS], &key) && errno != ENOENT ? -errno : 0;
}

int dp_hop_each(struct datapath *dp, dp_hop_fn fn, void *arg)
{
	struct shunt_addr key, *before = NULL;
	struct addr to;
	int err = 0;

	while (!err && !bpf_map_get_next_key(dp->maps[MAP_HOPS], before, &key)) {
		before = &key;
		memcpy(to.b, &key, sizeof(to.b));
		err = fn(arg, &to);
	}
	return err;
}

struct strangers {
	struct ring_buffer *ring;
	dp_hop_fn fn;
	void *arg;
};

static int on_stranger(void *arg, void *data, size_t size)
{
	struct strangers *s = arg;
	struct addr to;

	if (size < sizeof(to.b))
		return 0;
	memcpy(to.b, data, sizeof(to.b));
	return s->fn(s->arg, &to);
}

int strangers_open(struct datapath *dp, dp_hop_fn fn, void *arg, struct strangers **out)
{
	struct strangers *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = (struct strangers){ .fn = fn, .arg = arg };
	s->ring = ring_buffer__new(dp->maps[MAP_STRANGERS], on_stranger, s, NULL);
	if (!s->ring) {
		int err = -errno;

		free(s);
		return err_r(err, "cannot read the ring %s: %s", dp_map_names[MAP_STRANGERS], strerror(-err));
	}
	*out = s;
	return 0;
}

int strangers_fd(const struct strangers *s)
{
	return ring_buffer__epoll_fd(s->ring);
}

void strangers_read(struct strangers *s)
{
	ring_buffer__consume(s->ring);
}

void strangers_close(struct strangers *s)
{
	if (!s)
		return;
	ring_buffer__free(s->ring);
	free(s);
}
