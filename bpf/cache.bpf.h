/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow cache: which member owns a flow of a slot in transition. Only such slots look here; a flow in a steady slot
 * costs no state. Flat and bounded: a full bucket forgets the flow that was silent longest.
 *
 * After JET ("Load Balancing with JET", Mendelson et al., CoNEXT 2021: track only the flows that a change makes unsafe)
 * and the mhs patch to IPVS (two tables, entries for the slots that differ).
 */
#ifndef SHUNT_CACHE_BPF_H
#define SHUNT_CACHE_BPF_H

struct cached {
	struct shunt_flow_bucket *bucket;
	__u32 tag;
	__u16 now;
};

/*
 * Where a flow is, if it is anywhere. The secret keeps senders from aiming at one bucket; the epoch makes void what was
 * noted in the service's earlier transitions.
 */
static __always_inline struct cached cache_place(__u64 hash, __u32 epoch)
{
	__u64 key = shunt_mix(hash ^ (settings.secret + epoch * SHUNT_K1));
	__u32 bucket = key & (SHUNT_FLOW_BUCKETS - 1);

	return (struct cached){
		.bucket = bpf_map_lookup_elem(&flows, &bucket),
		.tag = (key >> 32) | 1,
		.now = bpf_jiffies64() >> 8,
	};
}

/* The member noted for the flow, or SHUNT_NONE. */
static __always_inline __u16 cache_find(const struct cached *c)
{
#pragma unroll
	for (int i = 0; i < SHUNT_FLOW_WAYS; i++) {
		__u64 entry = READ_ONCE(c->bucket->ways[i]);

		if ((__u32)entry != c->tag)
			continue;
		if (unlikely(shunt_flow_seen(entry) != c->now))
			WRITE_ONCE(c->bucket->ways[i], shunt_flow_entry(c->tag, shunt_flow_member(entry), c->now));
		return shunt_flow_member(entry);
	}
	return SHUNT_NONE;
}

/* The number of the way that was seen longest ago. Its age leads the comparison, its number follows in the low bits. */
static __always_inline __u32 cache_oldest(const struct cached *c)
{
	__u32 oldest = 0;

#pragma unroll
	for (__u32 i = 0; i < SHUNT_FLOW_WAYS; i++) {
		__u32 age = (__u16)(c->now - shunt_flow_seen(READ_ONCE(c->bucket->ways[i])));

		if ((age << 3 | i) > oldest)
			oldest = age << 3 | i;
	}
	return oldest & (SHUNT_FLOW_WAYS - 1);
}

/* Notes the flow's member: over its own entry, else an empty one, else the one that was seen longest ago. */
static __always_inline void cache_note(const struct cached *c, __u16 member)
{
	__u64 fresh = shunt_flow_entry(c->tag, member, c->now);

#pragma unroll
	for (int i = 0; i < SHUNT_FLOW_WAYS; i++) {
		__u64 entry = READ_ONCE(c->bucket->ways[i]);

		if (entry && (__u32)entry != c->tag)
			continue;
		WRITE_ONCE(c->bucket->ways[i], fresh);
		return;
	}
	WRITE_ONCE(c->bucket->ways[cache_oldest(c)], fresh);
}

#define CACHE_LOOK 1 /* what was noted for the flow counts more than owner */
#define CACHE_NOTE 2 /* note the owner */

/*
 * The flow's owner, after a look at the cache. A function of its own, because it is verified once, and not once for each
 * way to it; and seldom called.
 */
__noinline __u32 cache_owner(__u64 hash, __u32 epoch, __u32 owner, __u32 what)
{
	struct cached c = cache_place(hash, epoch);
	__u16 noted;

	if (!c.bucket)
		return owner;
	if (what & CACHE_LOOK) {
		noted = cache_find(&c);
		if (noted != SHUNT_NONE)
			return noted;
	}
	if (what & CACHE_NOTE)
		cache_note(&c, owner);
	return owner;
}

#endif
