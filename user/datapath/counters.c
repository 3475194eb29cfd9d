/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters: one value for each possible CPU in the kernel, their sum here. */
#include "datapath/internal.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

#define BATCH 512 /* members read by one system call */

static struct shunt_counter sum(const struct shunt_counter *of_cpu, int n_cpus)
{
	struct shunt_counter s = {};

	for (int i = 0; i < n_cpus; i++) {
		s.packets += of_cpu[i].packets;
		s.bytes += of_cpu[i].bytes;
	}
	return s;
}

static int read_one(struct datapath *dp, uint32_t member, struct shunt_counter *values, struct shunt_counter *out)
{
	if (bpf_map_lookup_elem(dp->maps[MAP_MEMBER_COUNTERS], &member, values))
		return -errno;
	*out = sum(values, dp->n_cpus);
	return 0;
}

/* Reads up to n from `first` on; returns how many, 0 when the kernel does not go on where it is told to. */
static uint32_t read_batch(struct datapath *dp, uint32_t first, uint32_t n, struct shunt_counter *values,
			   struct shunt_counter *out)
{
	uint32_t before = first - 1, next, keys[BATCH], count = n < BATCH ? n : BATCH;

	/* an array's cursor is the key before; it is checked that this is so */
	if (bpf_map_lookup_batch(dp->maps[MAP_MEMBER_COUNTERS], first ? &before : NULL, &next, keys, values, &count,
				 NULL) &&
	    errno != ENOENT)
		return 0;
	if (count && keys[0] != first)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		out[i] = sum(&values[(size_t)i * dp->n_cpus], dp->n_cpus);
	return count;
}

int dp_member_counters(struct datapath *dp, uint32_t first, uint32_t n, struct shunt_counter *out)
{
	uint32_t room = dp->has.percpu_batch ? n < BATCH ? n : BATCH : 1;
	_cleanup_free_ struct shunt_counter *values = calloc((size_t)room * dp->n_cpus + 1, sizeof(*values));
	int err = 0;

	if (!values)
		return -ENOMEM;
	if (first > dp->limits.members || n > dp->limits.members - first)
		return -ENOENT;
	for (uint32_t done = 0, step; done < n && !err; done += step) {
		step = dp->has.percpu_batch ? read_batch(dp, first + done, n - done, values, out + done) : 0;
		if (step)
			continue;
		err = read_one(dp, first + done, values, out + done);
		step = 1;
	}
	return err;
}

/* size: of a value on one CPU */
static int clear(struct datapath *dp, enum dp_map map, uint32_t key, size_t size)
{
	_cleanup_free_ void *zero = calloc(dp->n_cpus, size);

	if (!zero)
		return -ENOMEM;
	return bpf_map_update_elem(dp->maps[map], &key, zero, BPF_ANY) ? -errno : 0;
}

int dp_member_counters_clear(struct datapath *dp, uint32_t member)
{
	return clear(dp, MAP_MEMBER_COUNTERS, member, sizeof(struct shunt_counter));
}

int dp_flow_counters(struct datapath *dp, uint32_t service, struct shunt_flow_counter *out)
{
	_cleanup_free_ struct shunt_flow_counter *values = calloc(dp->n_cpus, sizeof(*values));

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(dp->maps[MAP_FLOW_COUNTERS], &service, values))
		return -errno;
	*out = (struct shunt_flow_counter){};
	for (int i = 0; i < dp->n_cpus; i++) {
		out->noted += values[i].noted;
		out->evicted += values[i].evicted;
	}
	return 0;
}

int dp_flow_counters_clear(struct datapath *dp, uint32_t service)
{
	return clear(dp, MAP_FLOW_COUNTERS, service, sizeof(struct shunt_flow_counter));
}

static int sum_words(struct datapath *dp, enum dp_map map, const void *key, uint64_t *out)
{
	_cleanup_free_ uint64_t *values = calloc(dp->n_cpus, sizeof(*values));

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(dp->maps[map], key, values))
		return -errno;
	*out = 0;
	for (int i = 0; i < dp->n_cpus; i++)
		*out += values[i];
	return 0;
}

int dp_verdicts(struct datapath *dp, uint64_t out[SHUNT_N_VERDICTS])
{
	int err = 0;

	for (uint32_t v = 0; v < SHUNT_N_VERDICTS && !err; v++)
		err = sum_words(dp, MAP_VERDICTS, &v, &out[v]);
	return err;
}

/* ---- drops ---- */

static int by_interface(const void *a, const void *b)
{
	const struct dp_drop *x = a, *y = b;

	if (x->ifindex != y->ifindex)
		return x->ifindex < y->ifindex ? -1 : 1;
	return (x->reason > y->reason) - (x->reason < y->reason);
}

static int append_drop(struct datapath *dp, const struct shunt_drop *key, struct dp_drop **list, size_t *n)
{
	struct dp_drop d = { .ifindex = key->ifindex, .reason = key->reason }, *more;
	int err;

	if (key->reason >= SHUNT_N_REASONS)
		return 0; /* of a newer program */
	err = sum_words(dp, MAP_DROPS, key, &d.packets);
	if (err)
		return err == -ENOENT ? 0 : err;
	if (!if_indextoname(d.ifindex, d.ifname))
		d.ifname[0] = '\0';
	more = reallocarray(*list, *n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	*list = more;
	more[(*n)++] = d;
	return 0;
}

int dp_drops(struct datapath *dp, struct dp_drop **out, size_t *n)
{
	_cleanup_free_ struct dp_drop *list = NULL;
	struct shunt_drop key, next;
	size_t count = 0;
	int end = bpf_map_get_next_key(dp->maps[MAP_DROPS], NULL, &next), err = 0;

	while (!end && !err) {
		key = next;
		err = append_drop(dp, &key, &list, &count);
		end = bpf_map_get_next_key(dp->maps[MAP_DROPS], &key, &next);
	}
	if (err)
		return err;
	if (count)
		qsort(list, count, sizeof(*list), by_interface);
	*out = TAKE_PTR(list);
	*n = count;
	return 0;
}
