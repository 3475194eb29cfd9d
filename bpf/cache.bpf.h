/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow cache: which member owns a flow of a slot that is not steady (slot.h says what for). Every service has a
 * region of its own, so that a flood to one cannot push out another's flows. Flat and bounded: nothing is allocated, a
 * full bucket forgets its least.
 *
 * Two CPUs may write one bucket at the same time. Each writes whole entries, so none is ever torn; if both take the same
 * place at the same moment one note is lost, and to make that rare each CPU looks for a place from another end.
 */
#ifndef SHUNT_CACHE_BPF_H
#define SHUNT_CACHE_BPF_H

#define CACHE_FIRST 1 /* the packet begins its flow */
#define CACHE_LAST 2 /* it ends it */
#define CACHE_UDP 4
#define CACHE_PEEK 8 /* nothing is noted: an ICMP error, a question */

static __always_inline __u32 cache_clock(void)
{
	if (feature(SHUNT_FEATURE_COARSE_CLOCK))
		return shunt_flow_now(bpf_ktime_get_coarse_ns());
	return shunt_flow_now(bpf_ktime_get_ns());
}

/* The number of the way that has the flow, or SHUNT_FLOW_WAYS. */
static __always_inline __u32 cache_find(struct shunt_flow_bucket *b, __u64 tag)
{
#pragma unroll
	for (__u32 i = 0; i < SHUNT_FLOW_WAYS; i++) {
		__u64 entry = READ_ONCE(b->ways[i]);

		if (entry & 1 && shunt_flow_tag(entry) == tag)
			return i;
	}
	return SHUNT_FLOW_WAYS;
}

/* The number of the way to give up: the one that is worth least; an empty one is worth nothing. */
static __always_inline __u32 cache_least(struct shunt_flow_bucket *b, __u32 now)
{
	__u32 start = bpf_get_smp_processor_id(), least = ~0u;

#pragma unroll
	for (__u32 i = 0; i < SHUNT_FLOW_WAYS; i++) {
		__u64 entry = READ_ONCE(b->ways[i]);
		__u32 order = (i - start) & (SHUNT_FLOW_WAYS - 1);
		__u32 worth = (entry ? 1 + shunt_flow_worth(entry, now) : 0) << 6 | order << 3 | i;

		if (worth < least)
			least = worth;
	}
	return least & (SHUNT_FLOW_WAYS - 1);
}

static __always_inline void count_flow(__u32 service, __u64 evicted)
{
	struct shunt_flow_counter *c = bpf_map_lookup_elem(&flow_counters, &service);

	if (!c)
		return;
	c->noted++;
	c->evicted += shunt_flow_is_live(evicted);
}

static __always_inline __u32 cache_state(__u64 was, __u32 what)
{
	if (what & CACHE_UDP)
		return SHUNT_FLOW_UDP;
	return shunt_flow_state_after(was ? shunt_flow_state(was) : SHUNT_FLOW_NEW, what & CACHE_FIRST,
				      what & CACHE_LAST);
}

/*
 * The flow's owner, and its note. region: the service's, shunt_service.flows. A function of its own, because it is
 * verified once, and not once for each way to it; and seldom called.
 */
__noinline __u32 cache_owner(__u64 hash, __u64 region, __u64 slot, __u32 what, __u32 service)
{
	struct shunt_flow_place at = shunt_flow_place(hash, shunt_mix(hash ^ settings.secret), shunt_flows_log2(region));
	__u32 number = shunt_flows_first(region) + at.bucket, now, way;
	struct shunt_flow_bucket *b = bpf_map_lookup_elem(&flows, &number);
	struct shunt_choice choice;
	__u64 was = 0, entry;

	if (!b || !region)
		return shunt_choose(slot, what & CACHE_FIRST, SHUNT_NONE).owner;
	way = cache_find(b, at.tag);
	if (way < SHUNT_FLOW_WAYS)
		was = READ_ONCE(b->ways[way]);
	choice = shunt_choose(slot, what & CACHE_FIRST, was ? shunt_flow_member(was) : SHUNT_NONE);
	if (!choice.note || what & CACHE_PEEK)
		return choice.owner;
	now = cache_clock();
	entry = shunt_flow_entry(at.tag, cache_state(was, what), now, choice.owner);
	if (entry == was)
		return choice.owner;
	if (!was) {
		way = cache_least(b, now);
		count_flow(service, READ_ONCE(b->ways[way & (SHUNT_FLOW_WAYS - 1)]));
	}
	WRITE_ONCE(b->ways[way & (SHUNT_FLOW_WAYS - 1)], entry);
	return choice.owner;
}

#endif
