/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/rank.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "model/log2.h"

/* The compiler makes vectors, as wide as the processor has them. Integers only: results are the same bit for bit. */
#ifdef __x86_64__
#define VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define VECTORS
#endif
/* There is floating point in one place, where it cannot change a result: see GENEROUS. */
#define INLINE static inline __attribute__((always_inline)) /* what is not inlined would not be in those vectors */

/* Two finalisers of MurmurHash3 (Austin Appleby, public domain). */
static uint64_t mix64(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

INLINE uint32_t mix32(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x85ebca6bu;
	x ^= x >> 13;
	x *= 0xc2b2ae35u;
	return x ^ x >> 16;
}

struct seed {
	uint32_t low, high;
};

INLINE struct seed seed_of(uint32_t slot)
{
	return (struct seed){ mix32(slot + 0x9e3779b9u), mix32(slot ^ 0x7f4a7c15u) };
}

/*
 * Both halves of seed and key go in: with 32 bits of each, some members would rank alike in every slot. x is a number,
 * or a vector of them, and becomes u.
 */
#define DRAW(x, seed, key_low, key_high) \
	do { \
		x = ((seed).low ^ (key_low)) * 0x85ebca6bu; \
		x ^= x >> 15; \
		x = (x + ((seed).high ^ (key_high))) * 0xc2b2ae35u; \
		x ^= x >> 13; \
		x *= 0x27d4eb2fu; \
	} while (0)

INLINE uint32_t draw(struct seed s, uint32_t low, uint32_t high)
{
	uint32_t x;

	DRAW(x, s, low, high);
	return x;
}

/* ---- members ---- */

static int by_weight_and_key(const void *a, const void *b)
{
	const struct table_member *left = *(const struct table_member *const *)a;
	const struct table_member *right = *(const struct table_member *const *)b;

	if (left->weight != right->weight)
		return left->weight < right->weight ? -1 : 1;
	return (left->key > right->key) - (left->key < right->key);
}

static int by_key(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* Two members with one key? Orders the keys. */
static bool has_twins(uint64_t *keys, uint32_t n)
{
	qsort(keys, n, sizeof(*keys), by_key);
	for (uint32_t i = 1; i < n; i++)
		if (keys[i] == keys[i - 1])
			return true;
	return false;
}

/* The members of weight above 0, in the order of their ids. *n: how many. NULL: out of memory. */
static const struct table_member **sorted_members(const struct table_member *members, uint32_t *n)
{
	const struct table_member **sorted = calloc(*n + 1, sizeof(*sorted));
	uint32_t all = *n;

	if (!sorted)
		return NULL;
	*n = 0;
	for (uint32_t i = 0; i < all; i++)
		if (members[i].weight)
			sorted[(*n)++] = &members[i];
	qsort(sorted, *n, sizeof(*sorted), by_weight_and_key);
	return sorted;
}

static int ranking_alloc(struct ranking *r, uint32_t n)
{
	size_t room = (n + RANK_LANES) / RANK_LANES * RANK_LANES;

	*r = (struct ranking){ .n = n };
	r->low = calloc(room, sizeof(*r->low));
	r->high = calloc(room, sizeof(*r->high));
	r->numbers = calloc(room, sizeof(*r->numbers));
	r->bounds = calloc(room, sizeof(*r->bounds));
	r->groups = calloc(room, sizeof(*r->groups));
	r->group_of = calloc(room, sizeof(*r->group_of));
	return r->low && r->high && r->numbers && r->bounds && r->groups && r->group_of ? 0 : -ENOMEM;
}

void ranking_clear(struct ranking *r)
{
	free(r->low);
	free(r->high);
	free(r->numbers);
	free(r->bounds);
	free(r->groups);
	free(r->group_of);
}

static void ranking_add(struct ranking *r, uint32_t id, const struct table_member *m, uint32_t number)
{
	struct rank_group *last = r->n_groups ? &r->groups[r->n_groups - 1] : NULL;
	uint64_t mixed = mix64(m->key);

	r->low[id] = mixed;
	r->high[id] = mixed >> 32;
	r->numbers[id] = number;
	if (!last || last->weight != m->weight) {
		last = &r->groups[r->n_groups++];
		*last = (struct rank_group){ .first = id, .weight = m->weight, .reciprocal = (1ull << 47) / m->weight };
	}
	last->end = id + 1;
	r->group_of[id] = r->n_groups - 1;
}

/* See bar_of. */
static float bound_per_score(const struct ranking *r, uint32_t weight)
{
	return r->n_groups == 1 ? 0.5f : weight * (711 * 0x1p-34f);
}

int ranking_init(struct ranking *out, const struct table_member *members, uint32_t n)
{
	_cleanup_free_ const struct table_member **sorted = sorted_members(members, &n);
	_cleanup_free_ uint64_t *keys = calloc(n + 1, sizeof(*keys));
	_cleanup_(ranking_clear) struct ranking r = {};

	if (!sorted || !keys || ranking_alloc(&r, n))
		return -ENOMEM;
	for (uint32_t id = 0; id < n; id++) {
		ranking_add(&r, id, sorted[id], sorted[id] - members);
		keys[id] = sorted[id]->key;
	}
	if (has_twins(keys, n))
		return -EINVAL;
	for (uint32_t id = 0; id < n; id++)
		r.bounds[id] = bound_per_score(&r, r.groups[r.group_of[id]].weight);
	*out = r;
	r = (struct ranking){};
	return 0;
}

/* ---- places ---- */

INLINE uint64_t score(const struct ranking *r, const struct rank_group *g, uint32_t u)
{
	if (r->n_groups == 1)
		return u;
	return (unsigned __int128)log2_negative(u) * g->reciprocal >> 32;
}

uint32_t rank_hash(const struct ranking *r, uint32_t slot, uint32_t id)
{
	return draw(seed_of(slot), r->low[id], r->high[id]);
}

INLINE rank_t rank_with(const struct ranking *r, const struct rank_group *g, uint32_t u, uint32_t id)
{
	return (rank_t)score(r, g, u) << 64 | (uint64_t)u << 32 | id;
}

rank_t rank_of(const struct ranking *r, uint32_t slot, uint32_t id)
{
	return rank_with(r, &r->groups[r->group_of[id]], rank_hash(r, slot, id), id);
}

/*
 * From score >= s follows log2_negative(u) < (s + 1) * 2^32 / reciprocal, and from that, by what log2.h promises,
 * u < that * 2^-8 * ln 2 / 0.999. Rounded up generously: 711/1024 is ln 2 * 1.0017.
 */
uint32_t rank_u_bound(const struct ranking *r, uint64_t score, uint32_t weight)
{
	unsigned __int128 logarithm, u = score;

	if (r->n_groups == 1)
		return u < UINT32_MAX ? u : UINT32_MAX;
	logarithm = ((unsigned __int128)(score + 1) * weight >> 15) + 4;
	u = (logarithm * 711 >> 18) + 4;
	return u < UINT32_MAX ? u : UINT32_MAX;
}

/* ---- vectors: a lane is a member, or a slot. Passed by address: how by value depends on the processor ---- */

#define LANES RANK_SLOTS

typedef uint32_t lanes_t __attribute__((vector_size(4 * LANES)));
typedef int32_t order_t __attribute__((vector_size(4 * LANES))); /* what a comparison gives: -1 where it is so */
typedef float bound_t __attribute__((vector_size(4 * LANES)));

#define PICK(mask, yes, no) ((no) ^ (((yes) ^ (no)) & (mask)))

INLINE bool any(const order_t *mask)
{
	typedef uint64_t words_t __attribute__((vector_size(4 * LANES)));
	words_t words = (words_t)*mask;
	uint64_t all = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		all |= words[i];
	return all;
}

/* ---- scans ---- */

struct scan { /* of one slot */
	const struct ranking *r;
	rank_t from;
	rank_t *top; /* the best so far, in order; RANK_NOBODY after the last */
	uint32_t want;
};

INLINE void consider(struct scan *s, uint32_t id, uint32_t u)
{
	const struct rank_group *g = &s->r->groups[s->r->n_groups == 1 ? 0 : s->r->group_of[id]];
	rank_t rank = rank_with(s->r, g, u, id);

	if (rank < s->from)
		return;
	for (uint32_t i = 0; i < s->want; i++) { /* without a branch: which way it goes cannot be predicted */
		rank_t better = rank < s->top[i] ? rank : s->top[i];

		rank = rank < s->top[i] ? s->top[i] : rank;
		s->top[i] = better;
	}
}

/*
 * Most members are passed over without their score: as rank_u_bound says, who is to rank before a score has at most so
 * large a u for a weight. Here it is in floating point, and half of u, which fits a signed number. Rounding is far
 * below what is added, and to let one more pass changes nothing: consider() decides, in integers.
 */
#define GENEROUS (1 + 0x1p-10f)

INLINE float bar_of(const struct scan *s)
{
	rank_t worst = s->top[s->want - 1];

	return worst == RANK_NOBODY ? INFINITY : (float)(rank_score(worst) + 1) * GENEROUS;
}

INLINE void pass(const lanes_t *u, const bound_t *bound, order_t *passed)
{
	*passed = __builtin_convertvector((order_t)(*u >> 1), bound_t) <= *bound + 8;
}

/* ---- of one slot: a lane is a member ---- */

INLINE void pass_members(const struct ranking *r, struct seed seed, uint32_t first, float bar, lanes_t *u,
			 order_t *passed)
{
	lanes_t low, high;
	bound_t bound;

	memcpy(&low, r->low + first, sizeof(low));
	memcpy(&high, r->high + first, sizeof(high));
	memcpy(&bound, r->bounds + first, sizeof(bound));
	DRAW(*u, seed, low, high);
	bound *= bar;
	pass(u, &bound, passed);
}

INLINE void only_alive(const uint8_t *alive, uint32_t n, order_t *passed)
{
	typedef uint8_t bytes_t __attribute__((vector_size(LANES)));
	bytes_t bytes = {};

	if (n >= LANES)
		memcpy(&bytes, alive, LANES);
	else
		memcpy(&bytes, alive, n);
	*passed &= __builtin_convertvector(bytes, order_t) != 0;
}

INLINE void consider_members(struct scan *s, const uint8_t *alive, uint32_t first, const lanes_t *u, order_t *passed)
{
	if (!any(passed) || first >= s->r->n)
		return;
	if (alive)
		only_alive(alive + first, s->r->n - first, passed);
	if (!any(passed))
		return;
	for (uint32_t k = 0; k < LANES && first + k < s->r->n; k++)
		if ((*passed)[k])
			consider(s, first + k, (*u)[k]);
}

#define BLOCK RANK_LANES /* members that are looked at before it is asked whether one of them passed */

/* From the heaviest on: the sooner the good ones are found, the fewer pass. */
INLINE void scan_one_weighted(struct scan *s, struct seed seed, const uint8_t *alive)
{
	float bar = INFINITY;

	for (uint32_t end = (s->r->n + BLOCK - 1) / BLOCK * BLOCK; end; end -= BLOCK) {
		order_t passed[BLOCK / LANES], some = {};
		lanes_t u[BLOCK / LANES];
		uint32_t first = end - BLOCK;

#pragma GCC unroll 2
		for (int i = 0; i < BLOCK / LANES; i++) {
			pass_members(s->r, seed, first + i * LANES, bar, &u[i], &passed[i]);
			some |= passed[i];
		}
		if (!any(&some))
			continue;
		for (int i = 0; i < BLOCK / LANES; i++)
			consider_members(s, alive, first + i * LANES, &u[i], &passed[i]);
		bar = bar_of(s);
	}
}

#define CHUNK 1024 /* members whose hashes are held at once */

/* Bit k: u[k] is not above the limit. */
INLINE uint32_t at_most(const uint32_t u[RANK_LANES], uint32_t limit)
{
	uint32_t bits = 0;

	for (int k = 0; k < RANK_LANES; k++)
		bits |= (uint32_t)(u[k] <= limit) << k;
	return bits;
}

INLINE void hash_chunk(const struct ranking *r, struct seed seed, uint32_t first, uint32_t end, uint32_t *u)
{
	for (uint32_t i = first; i < end; i += RANK_LANES, u += RANK_LANES) {
		const uint32_t *low = r->low + i, *high = r->high + i;

		for (int k = 0; k < RANK_LANES; k++)
			u[k] = draw(seed, low[k], high[k]);
	}
}

/* Members of one weight: their u is their score. */
INLINE void scan_one_equal(struct scan *s, struct seed seed, const uint8_t *alive)
{
	uint32_t hashes[CHUNK + RANK_LANES], limit = UINT32_MAX, n = s->r->n;

	for (uint32_t i = 0; i < n; i += RANK_LANES) {
		const uint32_t *u = &hashes[i % CHUNK];
		uint32_t bits;

		if (i % CHUNK == 0)
			hash_chunk(s->r, seed, i, n - i < CHUNK ? n : i + CHUNK, hashes);
		bits = at_most(u, limit);
		if (n - i < RANK_LANES)
			bits &= (1u << (n - i)) - 1;
		for (; bits; bits &= bits - 1) {
			uint32_t k = __builtin_ctz(bits);

			if (!alive || alive[i + k])
				consider(s, i + k, u[k]);
		}
		if (s->top[s->want - 1] != RANK_NOBODY)
			limit = rank_score(s->top[s->want - 1]);
	}
}

VECTORS uint32_t rank_scan(const struct ranking *r, uint32_t slot, rank_t from, const uint8_t *alive, rank_t *out,
			   uint32_t want)
{
	struct scan s = { .r = r, .from = from, .top = out, .want = want };
	uint32_t n = 0;

	for (uint32_t i = 0; i < want; i++)
		out[i] = RANK_NOBODY;
	if (r->n_groups == 1)
		scan_one_equal(&s, seed_of(slot), alive);
	else
		scan_one_weighted(&s, seed_of(slot), alive);
	while (n < want && out[n] != RANK_NOBODY)
		n++;
	return n;
}

/* ---- of many slots: a lane is a slot, and all of them look at the same member ---- */

#define TOGETHER 8 /* members that are looked at before it is asked whether there is anything to do */

struct seeds {
	lanes_t low, high;
};

/*
 * Members of one weight: the smallest u, less 2^31, for vectors are compared with a sign.
 * In nearly every slot the wanted ones lie within limit_for(), so that most members are passed over from the first on;
 * now and then one of them is missed.
 */
struct best {
	order_t u[RANK_DEEP];
	order_t ids[RANK_DEEP]; /* NO_ID: none */
};
#define NO_ID (-1)
#define SIGN 0x80000000u

INLINE uint32_t limit_for(uint32_t n, uint32_t want)
{
	uint64_t within = 3 * want; /* this number of members, about */

	return n > within ? (within << 32) / n : UINT32_MAX;
}

INLINE void keep_best(struct best *b, uint32_t want, const order_t *u, uint32_t id)
{
	order_t ids = (order_t){} + (int32_t)id, is_better = *u < b->u[want - 1];

	for (uint32_t i = want - 1; i > 0; i--) {
		order_t moves = *u < b->u[i - 1]; /* and the one that is there moves down */

		b->u[i] = PICK(moves, b->u[i - 1], PICK(is_better, *u, b->u[i]));
		b->ids[i] = PICK(moves, b->ids[i - 1], PICK(is_better, ids, b->ids[i]));
		is_better = moves;
	}
	b->u[0] = PICK(is_better, *u, b->u[0]);
	b->ids[0] = PICK(is_better, ids, b->ids[0]);
}

INLINE void draw_slots(const struct ranking *r, const struct seeds *seeds, uint32_t id, lanes_t *u)
{
	DRAW(*u, *seeds, r->low[id], r->high[id]);
}

INLINE void scan_equal(const struct ranking *r, const struct seeds *seeds, uint32_t want, struct best *out)
{
	lanes_t x;
	struct best best;
	uint32_t id = 0;

	for (uint32_t i = 0; i < want; i++) {
		best.u[i] = (order_t){} + (int32_t)(limit_for(r->n, want) ^ SIGN);
		best.ids[i] = (order_t){} + NO_ID;
	}
	for (; r->n - id >= TOGETHER; id += TOGETHER) {
		order_t u[TOGETHER], better = {};

#pragma GCC unroll 8
		for (int i = 0; i < TOGETHER; i++) {
			draw_slots(r, seeds, id + i, &x);
			u[i] = (order_t)(x ^ SIGN);
			better |= u[i] < best.u[want - 1];
		}
		if (!any(&better))
			continue;
#pragma GCC unroll 8
		for (int i = 0; i < TOGETHER; i++)
			keep_best(&best, want, &u[i], id + i);
	}
	for (; id < r->n; id++) {
		order_t u;

		draw_slots(r, seeds, id, &x);
		u = (order_t)(x ^ SIGN);
		keep_best(&best, want, &u, id);
	}
	*out = best;
}

/* Members of different weights. */
INLINE void scan_weighted(const struct ranking *r, const struct seeds *seeds, struct scan lanes[LANES])
{
	bound_t bar = (bound_t){} + INFINITY;

	for (uint32_t end = (r->n + TOGETHER - 1) / TOGETHER * TOGETHER; end; end -= TOGETHER) { /* as rank_scan */
		uint32_t first = end - TOGETHER;
		order_t passed[TOGETHER] = {}, some = {};
		lanes_t u[TOGETHER];

#pragma GCC unroll 8
		for (int i = 0; i < TOGETHER; i++) {
			bound_t bound = bar * r->bounds[first + i];

			draw_slots(r, seeds, first + i, &u[i]);
			pass(&u[i], &bound, &passed[i]);
			some |= passed[i];
		}
		if (!any(&some))
			continue;
		for (uint32_t i = 0; i < TOGETHER && first + i < r->n; i++) {
			if (!any(&passed[i]))
				continue;
			for (int k = 0; k < LANES; k++)
				if (passed[i][k])
					consider(&lanes[k], first + i, u[i][k]);
		}
		for (int k = 0; k < LANES; k++)
			bar[k] = bar_of(&lanes[k]);
	}
}

INLINE void seed_slots(uint32_t first, struct seeds *seeds)
{
	for (int k = 0; k < LANES; k++) {
		struct seed seed = seed_of(first + k);

		seeds->low[k] = seed.low;
		seeds->high[k] = seed.high;
	}
}

/* The best of a lane as ranks. Without two, somebody may have been missed: the slot is scanned by itself. */
INLINE void take_best(const struct ranking *r, uint32_t slot, const struct best *b, int k, rank_t out[RANK_SCAN])
{
	if (b->ids[1][k] == NO_ID) {
		rank_scan(r, slot, 0, NULL, out, RANK_SCAN);
		return;
	}
	for (int i = 0; i < RANK_SCAN; i++)
		out[i] = rank_with(r, r->groups, (uint32_t)b->u[i][k] ^ SIGN, b->ids[i][k]);
}

VECTORS void rank_scan_slots(const struct ranking *r, uint32_t first, rank_t out[RANK_SLOTS][RANK_SCAN])
{
	struct scan lanes[LANES];
	struct seeds seeds;
	struct best best;

	seed_slots(first, &seeds);
	if (r->n_groups > 1) {
		for (int k = 0; k < LANES; k++) {
			out[k][0] = out[k][1] = RANK_NOBODY;
			lanes[k] = (struct scan){ .r = r, .top = out[k], .want = RANK_SCAN };
		}
		scan_weighted(r, &seeds, lanes);
		return;
	}
	scan_equal(r, &seeds, RANK_SCAN, &best);
	for (int k = 0; k < LANES; k++)
		take_best(r, first + k, &best, k, out[k]);
}

/* ---- deeper ---- */

/* Without the last of them, somebody may have been missed: the slot is scanned by itself. */
INLINE void take_heads(const struct ranking *r, uint32_t slot, const struct best *b, int k, uint32_t out[RANK_DEEP])
{
	rank_t ranks[RANK_DEEP];
	uint32_t n;

	if (b->ids[RANK_DEEP - 1][k] != NO_ID) {
		for (uint32_t i = 0; i < RANK_DEEP; i++)
			out[i] = b->ids[i][k];
		return;
	}
	n = rank_scan(r, slot, 0, NULL, ranks, RANK_DEEP);
	for (uint32_t i = 0; i < RANK_DEEP; i++)
		out[i] = i < n ? rank_id(ranks[i]) : RANK_NONE;
}

VECTORS void rank_heads(const struct ranking *r, uint32_t first, uint32_t out[RANK_SLOTS][RANK_DEEP])
{
	rank_t ranks[LANES][RANK_DEEP];
	struct scan lanes[LANES];
	struct seeds seeds;
	struct best best;

	seed_slots(first, &seeds);
	if (r->n_groups == 1) {
		scan_equal(r, &seeds, RANK_DEEP, &best);
		for (int k = 0; k < LANES; k++)
			take_heads(r, first + k, &best, k, out[k]);
		return;
	}
	for (int k = 0; k < LANES; k++) {
		memset(ranks[k], 0xff, sizeof(ranks[k])); /* RANK_NOBODY */
		lanes[k] = (struct scan){ .r = r, .top = ranks[k], .want = RANK_DEEP };
	}
	scan_weighted(r, &seeds, lanes);
	for (int k = 0; k < LANES; k++)
		for (int i = 0; i < RANK_DEEP; i++)
			out[k][i] = ranks[k][i] == RANK_NOBODY ? RANK_NONE : rank_id(ranks[k][i]);
}

VECTORS void rank_hash_slots(const struct ranking *r, uint32_t first, uint32_t id, uint32_t out[RANK_LANES])
{
	uint32_t low = r->low[id], high = r->high[id];

	for (int k = 0; k < RANK_LANES; k++)
		out[k] = draw(seed_of(first + k), low, high);
}
