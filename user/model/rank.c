/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/rank.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clean.h"
#include "model/log2.h"

/* The compiler makes vectors, as wide as the processor has them. Integers only: results are the same bit for bit. */
#ifdef __x86_64__
#define VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define VECTORS
#endif
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

/* Both halves of seed and key go in: with 32 bits of each, some members would rank alike in every slot. */
INLINE uint32_t draw(struct seed s, uint32_t low, uint32_t high)
{
	uint32_t x = (s.low ^ low) * 0x85ebca6bu;

	x ^= x >> 15;
	x = (x + (s.high ^ high)) * 0xc2b2ae35u;
	x ^= x >> 13;
	return x * 0x27d4eb2fu;
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
	r->groups = calloc(room, sizeof(*r->groups));
	r->group_of = calloc(room, sizeof(*r->group_of));
	return r->low && r->high && r->numbers && r->groups && r->group_of ? 0 : -ENOMEM;
}

void ranking_clear(struct ranking *r)
{
	free(r->low);
	free(r->high);
	free(r->numbers);
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

/* ---- scans ---- */

#define CHUNK 1024 /* members whose hashes are held at once */

struct scan {
	const struct ranking *r;
	rank_t from;
	const uint8_t *alive;
	rank_t *top; /* the best so far, in order; NOBODY after the last */
	uint32_t want;
};
#define NOBODY (~(rank_t)0)

/* Above this u no member of the group can be among the best any more. */
INLINE uint32_t limit_of(const struct scan *s, const struct rank_group *g)
{
	rank_t worst = s->top[s->want - 1];

	return worst == NOBODY ? UINT32_MAX : rank_u_bound(s->r, rank_score(worst), g->weight);
}

INLINE void consider(struct scan *s, const struct rank_group *g, uint32_t id, uint32_t u)
{
	rank_t rank = rank_with(s->r, g, u, id);

	if (rank < s->from || (s->alive && !s->alive[id]))
		return;
	for (uint32_t i = 0; i < s->want; i++) { /* without a branch: which way it goes cannot be predicted */
		rank_t better = rank < s->top[i] ? rank : s->top[i];

		rank = rank < s->top[i] ? s->top[i] : rank;
		s->top[i] = better;
	}
}

/* Bit k: u[k] is not above the limit. */
INLINE uint32_t at_most(const uint32_t u[RANK_LANES], uint32_t limit)
{
	uint32_t bits = 0;

	for (int k = 0; k < RANK_LANES; k++)
		bits |= (uint32_t)(u[k] <= limit) << k;
	return bits;
}

/* Members [first, end), all of group g; u[0] is that of the first, and can be read up to a multiple of RANK_LANES. */
INLINE void scan_piece(struct scan *s, const struct rank_group *g, const uint32_t *u, uint32_t first, uint32_t end)
{
	uint32_t limit = limit_of(s, g);

	for (uint32_t i = first; i < end; i += RANK_LANES, u += RANK_LANES) {
		uint32_t bits = at_most(u, limit);

		if (end - i < RANK_LANES)
			bits &= (1u << (end - i)) - 1;
		for (; bits; bits &= bits - 1) {
			uint32_t k = __builtin_ctz(bits);

			consider(s, g, i + k, u[k]);
		}
		limit = limit_of(s, g);
	}
}

INLINE void hash_chunk(const struct ranking *r, struct seed seed, uint32_t first, uint32_t end, uint32_t *u)
{
	for (uint32_t i = first; i < end; i += RANK_LANES, u += RANK_LANES) {
		const uint32_t *low = r->low + i, *high = r->high + i;

		for (int k = 0; k < RANK_LANES; k++)
			u[k] = draw(seed, low[k], high[k]);
	}
}

VECTORS uint32_t rank_scan(const struct ranking *r, uint32_t slot, rank_t from, const uint8_t *alive, rank_t *out,
			   uint32_t want)
{
	struct scan s = { .r = r, .from = from, .alive = alive, .top = out, .want = want };
	struct seed seed = seed_of(slot);
	uint32_t u[CHUNK + RANK_LANES], g = 0, n = 0;

	for (uint32_t i = 0; i < want; i++)
		out[i] = NOBODY;
	for (uint32_t first = 0; first < r->n; first += CHUNK) {
		uint32_t end = r->n - first < CHUNK ? r->n : first + CHUNK;

		hash_chunk(r, seed, first, end, u);
		for (; g < r->n_groups && r->groups[g].first < end; g++) {
			const struct rank_group *group = &r->groups[g];
			uint32_t start = group->first > first ? group->first : first;

			scan_piece(&s, group, u + (start - first), start, group->end < end ? group->end : end);
			if (group->end > end)
				break; /* goes on in the next chunk */
		}
	}
	while (n < want && out[n] != NOBODY)
		n++;
	return n;
}

VECTORS void rank_hash_slots(const struct ranking *r, uint32_t first, uint32_t id, uint32_t out[RANK_LANES])
{
	uint32_t low = r->low[id], high = r->high[id];

	for (int k = 0; k < RANK_LANES; k++)
		out[k] = draw(seed_of(first + k), low, high);
}
