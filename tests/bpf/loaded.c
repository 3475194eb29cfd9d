/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "loaded.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "edge.skel.h"
#include "backend.skel.h"

#define must(condition) _assert_true((uintptr_t)(condition), #condition, __FILE__, __LINE__)

static struct loaded *kept;

/* ---- loading ---- */

static void size_map(struct bpf_object *o, const char *name, uint32_t entries)
{
	must(bpf_map__set_max_entries(bpf_object__find_map_by_name(o, name), entries) == 0);
}

static void size_maps(struct bpf_object *o, const struct loaded_sizes *sizes)
{
	size_map(o, "listeners", (1 << LOADED_LOG2_HOMES) + SHUNT_LISTENER_PROBES);
	size_map(o, "services", sizes->services);
	size_map(o, "icmp_buckets", sizes->services);
	size_map(o, "hop_buckets", sizes->services);
	size_map(o, "service_info", sizes->services);
	size_map(o, "slots", sizes->slots);
	size_map(o, "alternates", sizes->slots);
	size_map(o, "members", sizes->members);
	size_map(o, "member_counters", sizes->members);
	size_map(o, "backends", sizes->backends);
	size_map(o, "flows", sizes->services << LOADED_LOG2_BUCKETS);
	size_map(o, "flow_counters", sizes->services);
	size_map(o, "quic_servers", sizes->members);
	size_map(o, "drops", 64);
	/* of the other programs */
	size_map(o, "turns", 1);
	size_map(o, "connections", 1);
	size_map(o, "peers", 1);
}

static void share_maps(struct bpf_object *to, struct bpf_object *from)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, to) {
		struct bpf_map *other = bpf_object__find_map_by_name(from, bpf_map__name(map));

		if (!bpf_map__is_internal(map) && other)
			must(bpf_map__reuse_fd(map, bpf_map__fd(other)) == 0);
	}
}

static void load_edge(struct loaded *l)
{
	must((l->edge = edge__open()));
	l->edge->rodata->settings = l->settings;
	size_maps(l->edge->obj, &l->sizes);
	if (l->settings.features & SHUNT_FEATURE_FRAGS)
		must(bpf_program__set_flags(l->edge->progs.shunt_edge, BPF_F_XDP_HAS_FRAGS) == 0);
	must(edge__load(l->edge) == 0);
}

static void load_backend(struct loaded *l)
{
	must((l->backend = backend__open()));
	l->backend->rodata->settings = l->settings;
	size_maps(l->backend->obj, &l->sizes);
	share_maps(l->backend->obj, l->edge->obj);
	if (l->settings.features & SHUNT_FEATURE_FRAGS)
		must(bpf_program__set_flags(l->backend->progs.shunt_backend, BPF_F_XDP_HAS_FRAGS) == 0);
	must(backend__load(l->backend) == 0);
}

static struct loaded *load(const struct shunt_settings *settings, const struct loaded_sizes *sizes)
{
	struct loaded *l = calloc(1, sizeof(*l));

	must(l);
	l->settings = *settings;
	l->sizes = *sizes;
	load_edge(l);
	load_backend(l);
	return l;
}

/* ---- emptying the maps ---- */

static void zero_mapped(const struct bpf_map *map)
{
	size_t len = (size_t)((bpf_map__value_size(map) + 7) & ~7u) * bpf_map__max_entries(map);
	void *values = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	must(values != MAP_FAILED);
	memset(values, 0, len);
	munmap(values, len);
}

static void zero_each(const struct bpf_map *map)
{
	uint8_t *zero = calloc(libbpf_num_possible_cpus(), (bpf_map__value_size(map) + 7) & ~7u);

	must(zero);
	for (uint32_t key = 0; key < bpf_map__max_entries(map); key++)
		must(bpf_map_update_elem(bpf_map__fd(map), &key, zero, BPF_ANY) == 0);
	free(zero);
}

static void delete_each(const struct bpf_map *map)
{
	uint8_t key[64];

	must(bpf_map__key_size(map) <= sizeof(key));
	while (bpf_map_get_next_key(bpf_map__fd(map), NULL, key) == 0)
		must(bpf_map_delete_elem(bpf_map__fd(map), key) == 0);
}

static int let_go(void *ctx, void *record, size_t len)
{
	(void)ctx, (void)record, (void)len;
	return 0;
}

static void drain_ring(const struct bpf_map *map)
{
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(map), let_go, NULL, NULL);

	must(ring);
	ring_buffer__consume(ring);
	ring_buffer__free(ring);
}

static void empty(const struct bpf_map *map)
{
	uint32_t key = 0;

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_ARRAY:
		(bpf_map__map_flags(map) & BPF_F_MMAPABLE ? zero_mapped : zero_each)(map);
		break;
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		zero_each(map);
		break;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
		delete_each(map);
		break;
	case BPF_MAP_TYPE_PROG_ARRAY: /* of one */
		bpf_map_delete_elem(bpf_map__fd(map), &key);
		break;
	case BPF_MAP_TYPE_RINGBUF:
		drain_ring(map);
		break;
	case BPF_MAP_TYPE_SK_STORAGE: /* of sockets, which these programs do not touch */
	case BPF_MAP_TYPE_SOCKHASH:
		break;
	default:
		fail_msg("%s: maps of its type cannot be emptied", bpf_map__name(map));
	}
}

static void empty_all(struct bpf_object *o)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, o) {
		if (!bpf_map__is_internal(map))
			empty(map);
		else
			must(strstr(bpf_map__name(map), ".rodata")); /* the settings; no variables */
	}
}

/* ---- taking and giving back ---- */

static struct loaded *take_kept(const struct shunt_settings *settings, const struct loaded_sizes *sizes)
{
	for (struct loaded **at = &kept, *l; (l = *at); at = &l->next) {
		if (!memcmp(&l->settings, settings, sizeof(*settings)) && !memcmp(&l->sizes, sizes, sizeof(*sizes))) {
			*at = l->next;
			return l;
		}
	}
	return NULL;
}

struct loaded *loaded_take(const struct shunt_settings *settings, const struct loaded_sizes *sizes)
{
	struct loaded *l = take_kept(settings, sizes);

	if (!l)
		return load(settings, sizes);
	empty_all(l->edge->obj);
	return l;
}

void loaded_give(struct loaded *l)
{
	l->next = kept;
	kept = l;
}
