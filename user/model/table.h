/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The slot table of one service: which member owns which slot. Pure, and the same bit for bit on every machine for
 * the same members, in whatever order their changes came.
 *
 * Base: capped rendezvous hashing with weights. Every slot ranks all members by a weighted score (integer arithmetic
 * only); each member takes at most ceil(cap * slots * weight / total weight) slots; deferred acceptance (Gale and
 * Shapley, 1962) settles it, so the result is unique and next to nothing moves between the members that stay.
 * Overlay: a slot whose base owner is not alive belongs to the next alive member after it in the slot's own ranking
 * (going on from the top after the last); it comes back exactly. The runner-up is the next alive member after the
 * slot's current owner in the same circle.
 */
#ifndef MODEL_TABLE_H
#define MODEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_NONE 0xffff /* as SHUNT_NONE */
#define TABLE_MEMBERS_MAX 65535
#define TABLE_CAP_PERMILLE 1020 /* a share is at most 1.02 of what the weight promises, rounded up to a slot */

struct table_member {
	uint64_t key; /* identity of the backend, the same on all machines (see table_key); unique in the table */
	uint32_t weight; /* 0: a hole in the numbering, or owns nothing */
	bool alive;
};

struct table {
	uint32_t n_slots; /* a power of two */
	uint32_t n_members;
	struct table_member *members; /* a member's number is its place here: it names, it does not influence who owns what */
	uint16_t *base; /* [n_slots] owner with everyone alive; TABLE_NONE without members */
	uint16_t *current; /* [n_slots] owner now; TABLE_NONE: nobody is alive */
	uint16_t *runner_up; /* [n_slots] who is next; TABLE_NONE: nobody else is alive */
};

/* Identity of an endpoint: 16 address bytes in network order, port in host order. */
uint64_t table_key(const uint8_t addr[16], uint16_t port);

/*
 * Number of slots for these weights: a power of two in few, wide classes, so that it seldom changes; of several thousand
 * members as many as can be dealt in half a second.
 */
uint32_t table_slots_for(const struct table_member *members, uint32_t n);

/* Builds a table. n_slots: a power of two, 64 to 2^20. 0, -EINVAL (also: two members with one key) or -ENOMEM. */
int table_build(struct table **out, const struct table_member *members, uint32_t n, uint32_t n_slots);
/* The same table, sooner if most members are those of `was`, which may have more slots, but not fewer; NULL: nothing to follow. */
int table_follow(struct table **out, const struct table *was, const struct table_member *members, uint32_t n,
		 uint32_t n_slots);
void table_free(struct table *t); /* NULL is fine */
static inline void table_freep(struct table **t) { table_free(*t); }

/*
 * Changes who is alive and recomputes current and runner_up of the slots that this touches, and of no other.
 * The result is that of table_build with the same members. Returns the number of slots whose current changed.
 */
uint32_t table_set_alive(struct table *t, uint32_t member, bool alive);

/*
 * The heads of the rankings of n slots from `first` on: of each the best members, alive or not; TABLE_NONE where there are
 * fewer. They depend on the members' keys and weights alone, as base does. For all slots this costs about as much as
 * table_build; fewer than eight take as long as eight.
 */
#define TABLE_RANKED 8
void table_ranked(const struct table *t, uint32_t first, uint32_t n, uint16_t (*out)[TABLE_RANKED]);

/*
 * Slots of `was` whose owner is another backend (by key) in `now`, in slots of the larger of the two tables (a smaller
 * one is repeated, as the packet's mask repeats it). was or now may be NULL: all slots. *of: that larger size.
 */
uint32_t table_moved(const struct table *was, const struct table *now, uint32_t *of);

#endif
