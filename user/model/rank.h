/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a slot ranks the members: weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights after Schindelhauer
 * and Schomaker, 2005). For each slot and member a hash draws u, uniform in 32 bits; the score is -log2(1 - u) / weight,
 * exponentially distributed with the weight as its rate, and the smallest wins, so that a member is first in a share
 * of the slots that is its weight's. Ties go to the smaller u, then to the lighter, then to the smaller key.
 *
 * A rank depends on the slot's number and on the members' keys and weights, and on nothing else: not on the number of
 * slots, not on the order of the members.
 *
 * Members have an id here: their place in the order of weight and key. Only those of weight above 0 have one.
 * Within model only.
 */
#ifndef MODEL_RANK_H
#define MODEL_RANK_H

#include "model/table.h"

#define RANK_LANES 16 /* slots that are hashed together; arrays by id have room for a multiple of it */
/* Ranks that one scan finds: nearly every slot's owner and runner-up. What lies deeper is scanned for again. */
#define RANK_SCAN 2
#define RANK_SLOTS 8 /* slots that are scanned together */
#define RANK_NONE 0xffffffffu

struct rank_group { /* members of one weight, [first, end) */
	uint32_t first, end;
	uint32_t weight;
	uint64_t reciprocal; /* 2^47 / weight */
};

struct ranking {
	uint32_t n;
	uint32_t *low, *high; /* [n, rounded up to RANK_LANES] halves of the mixed keys */
	uint16_t *numbers; /* [n] a member's number in the table */
	float *bounds; /* [as low] what a member's u is at most, for each unit of a score; within rank.c */
	struct rank_group *groups; /* lighter ones first */
	uint32_t *group_of; /* [n] */
	uint32_t n_groups;
};

/*
 * Where a member stands in one slot's ranking, as a number: the smaller, the better. The score in the upper 64 bits
 * (with one weight for all u itself, which orders alike), then u, then the id.
 */
typedef unsigned __int128 rank_t;
#define RANK_NOBODY (~(rank_t)0) /* after all ranks */
static inline uint64_t rank_score(rank_t rank) { return rank >> 64; }
static inline uint32_t rank_id(rank_t rank) { return rank; }

/* 0, -EINVAL (two members with one key) or -ENOMEM. */
int ranking_init(struct ranking *r, const struct table_member *members, uint32_t n);
void ranking_clear(struct ranking *r);

uint32_t rank_hash(const struct ranking *r, uint32_t slot, uint32_t id); /* u */
rank_t rank_of(const struct ranking *r, uint32_t slot, uint32_t id);

/* No member of this weight or a lighter one whose u is above this ranks before one with this score. */
uint32_t rank_u_bound(const struct ranking *r, uint64_t score, uint32_t weight);

/*
 * The best `want` ranks that are not below `from`, in order, of the members for which alive[id]
 * (NULL: of all). Returns how many there are.
 */
uint32_t rank_scan(const struct ranking *r, uint32_t slot, rank_t from, const uint8_t *alive, rank_t *out,
		   uint32_t want);

/*
 * The best RANK_SCAN ranks of all members, in order, in RANK_SLOTS slots from first on; RANK_NOBODY where there are fewer
 * members.
 */
void rank_scan_slots(const struct ranking *r, uint32_t first, rank_t out[RANK_SLOTS][RANK_SCAN]);

/* The ids of the best RANK_DEEP members, in order, in RANK_SLOTS slots from first on; RANK_NONE where there are fewer. */
#define RANK_DEEP TABLE_RANKED
void rank_heads(const struct ranking *r, uint32_t first, uint32_t out[RANK_SLOTS][RANK_DEEP]);

/* out[i]: u of this member in slot first + i, for RANK_LANES slots. */
void rank_hash_slots(const struct ranking *r, uint32_t first, uint32_t id, uint32_t out[RANK_LANES]);

#endif
