/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a slot says, what the flow cache remembers, and which of the two decides where a packet goes. Nothing but
 * arithmetic: the edge program, the daemon, the simulation and the property tests run this same code.
 *
 * A slot in which nothing changes is steady: its flows need no memory. When its owner changes and the old one lives, it
 * goes through two phases until it is steady again:
 *   observing   current and anchor differ. First packets go to current; any other follows the cache, else the anchor, for
 *               it is older than the change. Both are noted: when the phase ends, every flow that is not idle is known.
 *   lingering   current is the anchor again, and previous names who may still have noted flows. They follow the cache; what
 *               is not noted goes to current. The slot is steady when the last of them has been quiet for long enough.
 * A change in between starts observing again; who was noted stays so.
 *
 * After JET ("Load Balancing with JET", Mendelson et al., CoNEXT 2021: track only the flows that a change makes unsafe)
 * and the mhs patch to IPVS (two tables, entries for the slots that differ).
 */
#ifndef SHUNT_SLOT_H
#define SHUNT_SLOT_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#include <stdbool.h>
#endif

/* ---- slots ---- */

/*
 * Four numbers of members of the service (offsets from its first member), 16 bits each.
 *   bits 0-15   current    owner for new flows
 *   bits 16-31  anchor     owner for flows that nobody has noted
 *   bits 32-47  previous   lingering: the last owner that still lives; else SHUNT_NONE. The program only asks whether
 *                          there is one
 *   bits 48-63  runner-up  takes over, in the packet's path, while current's backend is not up
 */
#define SHUNT_NONE 0xffffu
static inline __u64 shunt_slot(__u16 current, __u16 anchor, __u16 previous, __u16 runner_up)
{
	return (__u64)runner_up << 48 | (__u64)previous << 32 | (__u32)anchor << 16 | current;
}
static inline __u16 shunt_slot_current(__u64 slot) { return slot; }
static inline __u16 shunt_slot_anchor(__u64 slot) { return slot >> 16; }
static inline __u16 shunt_slot_previous(__u64 slot) { return slot >> 32; }
static inline __u16 shunt_slot_runner_up(__u64 slot) { return slot >> 48; }
/* Is every flow of the slot with current? */
static inline bool shunt_slot_steady(__u64 slot) { return (__u32)(slot >> 16) == (0xffff0000u | (__u16)slot); }
static inline bool shunt_slot_observing(__u64 slot) { return shunt_slot_current(slot) != shunt_slot_anchor(slot); }

/* ---- entries of the flow cache ---- */

/*
 * An entry is one aligned word, so that it is read and replaced at once. Empty: 0.
 *   bit  0      1
 *   bits 1-34   tag: which flow, beside what the bucket's number says
 *   bits 35-36  SHUNT_FLOW_*: how it was seen last
 *   bits 37-47  seen, in units of 2^32 ns of CLOCK_MONOTONIC
 *   bits 48-63  member that has the flow
 */
#define SHUNT_FLOW_NEW 0u /* by nothing but its first packet */
#define SHUNT_FLOW_OPEN 1u
#define SHUNT_FLOW_CLOSING 2u /* by a FIN or RST */
#define SHUNT_FLOW_UDP 3u /* UDP, which neither begins nor ends */
#define SHUNT_FLOW_TAG_BITS 34
#define SHUNT_FLOW_SEEN_BITS 11
#define SHUNT_FLOW_UNIT 32 /* a unit of time is 1 << 32 ns, 4.3 s */
#define SHUNT_FLOW_WAYS 8

static inline __u64 shunt_flow_entry(__u64 tag, __u32 state, __u32 seen, __u16 member)
{
	return (__u64)member << 48 | (__u64)seen << 37 | (__u64)state << 35 | tag << 1 | 1;
}
static inline __u64 shunt_flow_tag(__u64 entry) { return entry >> 1 & ((1ull << SHUNT_FLOW_TAG_BITS) - 1); }
static inline __u32 shunt_flow_state(__u64 entry) { return entry >> 35 & 3; }
static inline __u32 shunt_flow_seen(__u64 entry) { return entry >> 37 & ((1u << SHUNT_FLOW_SEEN_BITS) - 1); }
static inline __u16 shunt_flow_member(__u64 entry) { return entry >> 48; }

/* ns: CLOCK_MONOTONIC */
static inline __u32 shunt_flow_now(__u64 ns) { return ns >> SHUNT_FLOW_UNIT & ((1u << SHUNT_FLOW_SEEN_BITS) - 1); }
/* Units since the flow was seen; the clock goes round in two hours and a half. */
static inline __u32 shunt_flow_age(__u64 entry, __u32 now)
{
	return (now - shunt_flow_seen(entry)) & ((1u << SHUNT_FLOW_SEEN_BITS) - 1);
}

/*
 * Where a flow is in a region of 1 << log2 buckets, if it is anywhere. The secret keeps senders from aiming at one
 * bucket. The lowest 20 bits of the flow's hash, of which the slot is a part, are in bucket and tag together, so that
 * the daemon can tell the slot of every entry; no two flows of different slots are ever taken for each other, and two of
 * one slot only if 14 + log2 bits more are equal.
 */
#define SHUNT_FLOW_LOW_BITS 20
struct shunt_flow_place {
	__u64 tag;
	__u32 bucket;
};

static inline __u32 shunt_flow_spread(__u64 tag) { return tag * 0x9e3779b97f4a7c15ull >> 32; }

/* key: of the flow, shunt_mix(hash ^ secret); log2: 6 to 20 */
static inline struct shunt_flow_place shunt_flow_place(__u64 hash, __u64 key, __u32 log2)
{
	__u32 low = hash & ((1u << SHUNT_FLOW_LOW_BITS) - 1);
	__u64 over = (1ull << (SHUNT_FLOW_LOW_BITS - log2)) - 1;
	struct shunt_flow_place p;

	p.tag = (key >> (64 - SHUNT_FLOW_TAG_BITS) & ~over) | low >> log2;
	p.bucket = (low ^ shunt_flow_spread(p.tag)) & ((1u << log2) - 1);
	return p;
}

/* The lowest 20 bits of the flow's hash. */
static inline __u32 shunt_flow_low(__u64 tag, __u32 bucket, __u32 log2)
{
	__u32 over = (1u << (SHUNT_FLOW_LOW_BITS - log2)) - 1;

	return ((bucket ^ shunt_flow_spread(tag)) & ((1u << log2) - 1)) | ((__u32)tag & over) << log2;
}

/*
 * How dear an entry is to a bucket that is full: the least goes first. Flows that end go before those of which only the
 * first packet was seen (as in a flood), and these before open ones; among equals who was silent longest.
 */
static inline __u32 shunt_flow_worth(__u64 entry, __u32 now)
{
	__u32 state = shunt_flow_state(entry), rank = state == SHUNT_FLOW_NEW ? 1 : state == SHUNT_FLOW_CLOSING ? 0 : 2;

	return rank << SHUNT_FLOW_SEEN_BITS | (((1u << SHUNT_FLOW_SEEN_BITS) - 1) - shunt_flow_age(entry, now));
}

/* How a TCP flow is seen by one more packet of it. */
static inline __u32 shunt_flow_state_after(__u32 state, bool first, bool last)
{
	if (first)
		return SHUNT_FLOW_NEW;
	return last || state == SHUNT_FLOW_CLOSING ? SHUNT_FLOW_CLOSING : SHUNT_FLOW_OPEN;
}

/* Would a live flow suffer if the entry were lost? */
static inline bool shunt_flow_is_live(__u64 entry)
{
	return entry && (shunt_flow_state(entry) == SHUNT_FLOW_OPEN || shunt_flow_state(entry) == SHUNT_FLOW_UDP);
}

/* ---- deciding ---- */

struct shunt_choice {
	__u16 owner;
	bool note; /* the owner is to be noted for the flow */
};

/*
 * Who gets a packet of a slot that is not steady. first: the packet begins its flow (TCP's SYN; UDP has none). noted: the
 * member in the flow's entry, or SHUNT_NONE.
 */
static inline struct shunt_choice shunt_choose(__u64 slot, bool first, __u16 noted)
{
	bool observing = shunt_slot_observing(slot);

	if (first)
		return (struct shunt_choice){ shunt_slot_current(slot), observing || noted != SHUNT_NONE };
	if (noted != SHUNT_NONE)
		return (struct shunt_choice){ noted, true };
	return (struct shunt_choice){ shunt_slot_anchor(slot), observing };
}

/* ---- second chance ---- */

/*
 * A balancer that did not see a flow's first packet, and has no note of it, may choose a backend that does not know the
 * flow. So it also says who else may, and the backends ask each other (after GitHub's GLB director, 2018, which names one).
 * Who: all that the slot says, and its alternates: who owned it before, as far as this balancer saw, and who is at the head
 * of its own ranking, where those are who owned it with others, or before this one began.
 */
struct shunt_alternates { /* four members in each word, the more likely ones lowest; SHUNT_NONE where there are fewer */
	__u64 owners; /* who owned the slot before, the last one first */
	__u64 ranked; /* the head of its ranking */
};
#define SHUNT_ALTERNATES 4 /* in a word */

#define SHUNT_HOPS 7 /* others that are asked, at most */
struct shunt_hops { /* n members in the order in which they are asked, none twice; 16 bits each, the rest SHUNT_NONE */
	__u64 first, rest; /* of four, of the others */
	__u32 n;
};
static inline __u16 shunt_hop(const struct shunt_hops *h, __u32 i)
{
	return (i < 4 ? h->first : h->rest) >> 16 * (i & 3);
}

/* Is one of the four numbers in the word this one? By Mycroft's test for a zero in a word. */
static inline bool shunt_word_has(__u64 word, __u16 number)
{
	const __u64 ones = 0x0001000100010001ull;
	__u64 differs = word ^ ones * number;

	return (differs - ones) & ~differs & ones << 15;
}

/* Unless it is there; as SHUNT_NONE always is. */
static inline void shunt_hops_add(struct shunt_hops *h, __u16 member, __u16 chosen)
{
	__u64 bits = member ^ SHUNT_NONE;

	if (member == chosen || h->n >= SHUNT_HOPS || shunt_word_has(h->first, member) ||
	    shunt_word_has(h->rest, member))
		return;
	if (h->n < 4)
		h->first ^= bits << 16 * h->n;
	else
		h->rest ^= bits << 16 * (h->n - 4);
	h->n++;
}

/* others: the slot's; chosen: who gets the packet */
static inline struct shunt_hops shunt_hops(__u64 slot, const struct shunt_alternates *others, __u16 chosen)
{
	struct shunt_hops h = { ~0ull, ~0ull, 0 };

	shunt_hops_add(&h, shunt_slot_current(slot), chosen);
	shunt_hops_add(&h, shunt_slot_anchor(slot), chosen);
	shunt_hops_add(&h, shunt_slot_previous(slot), chosen);
	for (int i = 0; i < SHUNT_ALTERNATES / 2; i++)
		shunt_hops_add(&h, others->owners >> 16 * i, chosen);
	for (int i = 0; i < SHUNT_ALTERNATES; i++)
		shunt_hops_add(&h, others->ranked >> 16 * i, chosen);
	for (int i = SHUNT_ALTERNATES / 2; i < SHUNT_ALTERNATES; i++)
		shunt_hops_add(&h, others->owners >> 16 * i, chosen);
	shunt_hops_add(&h, shunt_slot_runner_up(slot), chosen);
	return h;
}

#endif
