/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Properties of slot tables, on tables of fixed and of random members. Random ones come from SEED (environment; it is
 * printed), so that a failure can be seen again.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/clean.h"
#include "model/log2.h"
#include "model/match.h"
#include "model/overlay.h"
#include "model/rank.h"
#include "model/table.h"

/* ---- random numbers (xorshift64*, Vigna 2016) ---- */

static uint64_t seed = 1, random_state = 1;

static uint64_t random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 2685821657736338717ull;
}

static uint32_t random_below(uint32_t n)
{
	return (random64() >> 32) % n;
}

/* ---- members ---- */

static uint64_t key_of(const char *endpoint)
{
	struct endpoint e;

	if (endpoint_parse(endpoint, &e))
		fail_msg("%s is no endpoint", endpoint);
	return table_key(e.addr.b, e.port);
}

/* 10.0.x.y:80, all alive, of one weight. */
static struct table_member *members_new(uint32_t n, uint32_t weight)
{
	struct table_member *m = calloc(n + 1, sizeof(*m));

	for (uint32_t i = 0; i < n; i++) {
		struct addr a = addr_from4(0);

		a.b[12] = 10;
		a.b[14] = i >> 8;
		a.b[15] = i;
		m[i] = (struct table_member){ table_key(a.b, 80), weight, true };
	}
	return m;
}

/* Some alike, some all different, some with holes, some dead. */
static struct table_member *members_random(uint32_t n)
{
	struct table_member *m = members_new(n, 100);
	uint32_t weights = 1 + random_below(4), dead = random_below(4);

	for (uint32_t i = 0; i < n; i++) {
		m[i].key = random64();
		if (weights == 2)
			m[i].weight = 1 + random_below(3);
		else if (weights == 3)
			m[i].weight = 1 + random_below(65535);
		else if (weights == 4)
			m[i].weight = random_below(3);
		m[i].alive = random_below(8) >= dead;
	}
	return m;
}

static void shuffle(struct table_member *m, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t k = random_below(i);
		struct table_member other = m[k];

		m[k] = m[i - 1];
		m[i - 1] = other;
	}
}

static struct table *build(const struct table_member *m, uint32_t n, uint32_t n_slots)
{
	struct table *t = NULL;

	assert_int_equal(table_build(&t, m, n, n_slots), 0);
	assert_int_equal(t->n_slots, n_slots);
	assert_int_equal(t->n_members, n);
	return t;
}

static uint64_t key_at(const struct table *t, uint16_t member)
{
	return member == TABLE_NONE ? 0 : t->members[member].key;
}

/* The same owners by key, whatever their numbers. */
static void assert_same_owners(const struct table *a, const struct table *b)
{
	assert_int_equal(a->n_slots, b->n_slots);
	for (uint32_t slot = 0; slot < a->n_slots; slot++)
		if (key_at(a, a->base[slot]) != key_at(b, b->base[slot]) ||
		    key_at(a, a->current[slot]) != key_at(b, b->current[slot]) ||
		    key_at(a, a->runner_up[slot]) != key_at(b, b->runner_up[slot]))
			fail_msg("slot %u of %u differs (SEED=%lu)", slot, a->n_slots, seed);
}

static uint32_t *count(const struct table *t, const uint16_t *owners)
{
	uint32_t *counts = calloc(t->n_members + 1, sizeof(*counts));

	for (uint32_t slot = 0; slot < t->n_slots; slot++)
		if (owners[slot] != TABLE_NONE)
			counts[owners[slot]]++;
	return counts;
}

static uint64_t total_weight(const struct table_member *m, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += m[i].weight;
	return sum;
}

/* ---- a plain table, written down from the definition alone ---- */

struct plain {
	struct ranking r;
	uint32_t n_slots;
	rank_t *ranks; /* [n_slots][r.n], each slot's in order */
	uint32_t *cap; /* [r.n] */
	uint32_t *owner; /* [n_slots] id */
};

static int by_rank(const void *a, const void *b)
{
	rank_t left = *(const rank_t *)a, right = *(const rank_t *)b;

	return (left > right) - (left < right);
}

static void plain_rank(struct plain *p)
{
	p->ranks = calloc((size_t)p->n_slots * p->r.n, sizeof(*p->ranks));
	for (uint32_t slot = 0; slot < p->n_slots; slot++) {
		rank_t *ranks = p->ranks + (size_t)slot * p->r.n;

		for (uint32_t id = 0; id < p->r.n; id++)
			ranks[id] = rank_of(&p->r, slot, id);
		qsort(ranks, p->r.n, sizeof(*ranks), by_rank);
	}
}

/* Does the member like slot a better than slot b? */
static bool likes_better(const struct plain *p, uint32_t id, uint32_t a, uint32_t b)
{
	uint32_t left = rank_hash(&p->r, a, id), right = rank_hash(&p->r, b, id);

	return left != right ? left < right : a < b;
}

/* The slot that the member likes least of those it holds; *n: how many it holds. */
static uint32_t worst_held(const struct plain *p, uint32_t id, uint32_t *n)
{
	uint32_t worst = RANK_NONE;

	*n = 0;
	for (uint32_t slot = 0; slot < p->n_slots; slot++) {
		if (p->owner[slot] != id)
			continue;
		(*n)++;
		if (worst == RANK_NONE || likes_better(p, id, worst, slot))
			worst = slot;
	}
	return worst;
}

/* Rounds in which every slot without owner asks the next member, until all have one. From the last slot to the first. */
static void plain_match(struct plain *p)
{
	_cleanup_free_ uint32_t *asked = calloc(p->n_slots, sizeof(*asked));

	p->owner = malloc(p->n_slots * sizeof(*p->owner));
	memset(p->owner, 0xff, p->n_slots * sizeof(*p->owner));
	for (bool all = false; !all;) {
		all = true;
		for (uint32_t slot = p->n_slots; slot--;) {
			uint32_t id, held, worst;

			if (p->owner[slot] != RANK_NONE)
				continue;
			all = false;
			id = rank_id(p->ranks[(size_t)slot * p->r.n + asked[slot]++]);
			p->owner[slot] = id;
			worst = worst_held(p, id, &held);
			if (held > p->cap[id])
				p->owner[worst] = RANK_NONE;
		}
	}
}

static void plain_build(struct plain *p, const struct table_member *m, uint32_t n, uint32_t n_slots)
{
	uint64_t total = total_weight(m, n);

	*p = (struct plain){ .n_slots = n_slots };
	assert_int_equal(ranking_init(&p->r, m, n), 0);
	p->cap = calloc(n + 1, sizeof(*p->cap));
	for (uint32_t id = 0; id < p->r.n; id++) {
		uint64_t thousandths = 1020ull * n_slots * m[p->r.numbers[id]].weight;

		p->cap[id] = (thousandths + 1000 * total - 1) / (1000 * total);
	}
	plain_rank(p);
	plain_match(p);
}

static void plain_clear(struct plain *p)
{
	ranking_clear(&p->r);
	free(p->ranks);
	free(p->cap);
	free(p->owner);
}

/* Current and runner-up: the first two alive from the base owner on, round the slot's ranking. */
static void plain_overlay(const struct plain *p, const struct table_member *m, uint32_t slot, uint16_t out[2])
{
	const rank_t *ranks = p->ranks + (size_t)slot * p->r.n;
	uint32_t first = 0, found = 0;

	out[0] = out[1] = TABLE_NONE;
	while (rank_id(ranks[first]) != p->owner[slot])
		first++;
	for (uint32_t i = 0; i < p->r.n && found < 2; i++) {
		uint16_t number = p->r.numbers[rank_id(ranks[(first + i) % p->r.n])];

		if (m[number].alive)
			out[found++] = number;
	}
}

/* ---- keys, logarithms, ranks ---- */

static int by_key(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void test_no_two_endpoints_of_many_networks_have_one_key(void **state)
{
	const char *const networks[] = { "10.0.0.0", "192.168.1.0", "2001:db8::", "2001:db8:0:1::", "2001:db8::1:0:0:0" };
	enum { HOSTS = 256, PORTS = 300, N = ARRAY_SIZE(networks) * HOSTS * PORTS };
	_cleanup_free_ uint64_t *keys = calloc(N, sizeof(*keys));
	uint32_t n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(networks); i++)
		for (uint32_t k = 0; k < HOSTS * PORTS; k++) {
			struct addr a;

			addr_parse(networks[i], &a);
			a.b[15] = k;
			keys[n++] = table_key(a.b, k >> 8);
		}
	qsort(keys, n, sizeof(*keys), by_key);
	for (uint32_t i = 1; i < n; i++)
		assert_true(keys[i - 1] != keys[i]);
}

static void test_keys_are_those_of_every_other_machine(void **state)
{
	(void)state;
	assert_true(key_of("10.0.0.11:80") == 0x665d459c5994067bull);
	assert_true(key_of("[2001:db8::11]:80") == 0xa35e34bae6a2160cull);
}

static void check_logarithm(uint32_t u)
{
	long double exact = -log2l(1 - (long double)u / 4294967296.0L) * (1ull << LOG2_BITS);
	uint64_t value = log2_negative(u);

	if (fabsl(value - exact) > exact / 1000 + 2)
		fail_msg("-log2(1 - %u/2^32) is %Lf, not %lu", u, exact, value);
	if (u && value < log2_negative(u - 1))
		fail_msg("the logarithm falls at %u", u);
}

static void test_the_logarithm_is_within_a_thousandth_and_never_falls(void **state)
{
	(void)state;
	assert_int_equal(log2_negative(0), 0);
	assert_true(log2_negative(1u << 31) == 1ull << LOG2_BITS);
	assert_true(log2_negative(UINT32_MAX) == 32ull << LOG2_BITS);
	for (int bit = 0; bit < 32; bit++) /* around the ends of the straight lines */
		for (uint32_t segment = 0; segment < 256; segment++)
			for (int off = -2; off <= 2; off++)
				check_logarithm(0u - ((256ull + segment) << bit >> 8) + off);
	for (uint32_t u = 0; u < 10000; u++)
		check_logarithm(u);
	for (int i = 0; i < 200000; i++)
		check_logarithm(random64() >> 32);
}

static void test_a_scan_finds_the_best_in_order_from_any_rank_on(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		uint32_t n = round % 10 ? 1 + random_below(80) : 1000 + random_below(2000), slot = random_below(1 << 20), want;
		_cleanup_free_ struct table_member *m = members_random(n);
		_cleanup_free_ rank_t *ranks = calloc(n, sizeof(*ranks));
		_cleanup_free_ uint8_t *alive = calloc(n, sizeof(*alive));
		_cleanup_(ranking_clear) struct ranking r = {};
		rank_t found[RANK_SCAN], from = 0;
		uint32_t n_found, k = 0;

		m[0].weight = 7;
		assert_int_equal(ranking_init(&r, m, n), 0);
		for (uint32_t id = 0; id < r.n; id++) {
			ranks[id] = rank_of(&r, slot, id);
			alive[id] = random_below(4) > 0;
		}
		qsort(ranks, r.n, sizeof(*ranks), by_rank);
		if (random_below(2))
			from = ranks[random_below(r.n)] + random_below(2);
		want = 1 + random_below(RANK_SCAN);
		n_found = rank_scan(&r, slot, from, round % 3 ? alive : NULL, found, want);
		for (uint32_t i = 0; i < r.n && k < want; i++)
			if (ranks[i] >= from && (round % 3 == 0 || alive[rank_id(ranks[i])]))
				assert_true(k < n_found && found[k++] == ranks[i]);
		assert_int_equal(k, n_found);
	}
}

static void assert_scans_agree(const struct table_member *m, uint32_t n, uint32_t first)
{
	_cleanup_(ranking_clear) struct ranking r = {};
	rank_t ranks[RANK_SLOTS][RANK_SCAN];

	assert_int_equal(ranking_init(&r, m, n), 0);
	rank_scan_slots(&r, first, ranks);
	for (uint32_t k = 0; k < RANK_SLOTS; k++) {
		rank_t best[2] = { RANK_NOBODY, RANK_NOBODY };

		for (uint32_t id = 0; id < r.n; id++) {
			rank_t rank = rank_of(&r, first + k, id);

			if (rank < best[0]) {
				best[1] = best[0];
				best[0] = rank;
			} else if (rank < best[1]) {
				best[1] = rank;
			}
		}
		assert_true(ranks[k][0] == best[0] && ranks[k][1] == best[1]);
	}
}

static void test_a_scan_of_many_slots_finds_the_best_of_each(void **state)
{
	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint32_t n = 1 + random_below(round % 10 ? 40 : 700);
		_cleanup_free_ struct table_member *m = members_random(n);

		m[0].weight = 1 + random_below(60000);
		assert_scans_agree(m, n, RANK_SLOTS * random_below(1 << 17));
	}
}

/* Against the whole ranking in order. */
static void assert_heads(const struct ranking *r, uint32_t first)
{
	_cleanup_free_ rank_t *ranks = calloc(r->n, sizeof(*ranks));
	uint32_t out[RANK_SLOTS][TABLE_RANKED];

	rank_heads(r, first, out);
	for (uint32_t k = 0; k < RANK_SLOTS; k++) {
		for (uint32_t id = 0; id < r->n; id++)
			ranks[id] = rank_of(r, first + k, id);
		qsort(ranks, r->n, sizeof(*ranks), by_rank);
		for (uint32_t i = 0; i < TABLE_RANKED; i++)
			if (out[k][i] != (i < r->n ? rank_id(ranks[i]) : RANK_NONE))
				fail_msg("place %u of slot %u among %u is wrong (SEED=%lu)", i, first + k, r->n, seed);
	}
}

static void test_heads_of_many_slots_are_those_of_the_whole_rankings(void **state)
{
	(void)state;
	for (int round = 0; round < 2000; round++) {
		uint32_t n = 1 + random_below(round % 40 ? round % 3 ? 12 : 300 : 2000);
		_cleanup_free_ struct table_member *m = members_random(n);
		_cleanup_(ranking_clear) struct ranking r = {};

		m[0].weight += !m[0].weight;
		assert_int_equal(ranking_init(&r, m, n), 0);
		assert_heads(&r, random_below(1 << 20));
	}
}

/* Of one weight, in so many slots that in some of them the best lie far apart. */
static void test_who_lies_far_off_is_not_missed(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(100, 100);
	_cleanup_(ranking_clear) struct ranking r = {};

	(void)state;
	assert_int_equal(ranking_init(&r, m, 100), 0);
	for (uint32_t first = 0; first < 8192; first += RANK_SLOTS) {
		assert_heads(&r, first);
		if (first % 64 == 0)
			assert_scans_agree(m, 100, first);
	}
}

/* In slot 0 these draw the largest u that there is. */
static void test_who_draws_the_largest_number_is_not_missed(void **state)
{
	const uint64_t last[] = { 0x2eb38736, 0x294900e73, 0x4083d4c5f };

	(void)state;
	for (uint32_t n = 1; n <= 9; n++)
		for (uint32_t weights = 0; weights < 3; weights++) {
			_cleanup_free_ struct table_member *m = members_random(n);
			_cleanup_(ranking_clear) struct ranking r = {};

			for (uint32_t i = 0; i < n; i++) {
				m[i].key = i < ARRAY_SIZE(last) ? last[i] : random64();
				m[i].weight = weights == 0 ? 1 : weights == 1 ? 1 + i : i == 0 ? 65535 : 1;
			}
			assert_int_equal(ranking_init(&r, m, n), 0);
			for (uint32_t id = 0; id < n; id++)
				assert_true(r.numbers[id] >= ARRAY_SIZE(last) || rank_hash(&r, 0, id) == UINT32_MAX);
			assert_scans_agree(m, n, 0);
			/* they draw alike, too: who is next is not in the number alone */
			assert_heads(&r, 0);
		}
}

static void test_hashes_of_many_slots_are_those_of_each(void **state)
{
	_cleanup_free_ struct table_member *m = members_random(20);
	_cleanup_(ranking_clear) struct ranking r = {};
	uint32_t u[RANK_LANES];

	(void)state;
	for (int i = 0; i < 20; i++)
		m[i].weight++;
	assert_int_equal(ranking_init(&r, m, 20), 0);
	for (uint32_t id = 0; id < 20; id++)
		for (uint32_t first = 0; first < 4096; first += RANK_LANES) {
			rank_hash_slots(&r, first, id, u);
			for (uint32_t k = 0; k < RANK_LANES; k++)
				assert_int_equal(u[k], rank_hash(&r, first + k, id));
		}
}

static void test_nobody_above_the_bound_ranks_before(void **state)
{
	(void)state;
	for (int round = 0; round < 2000; round++) {
		_cleanup_free_ struct table_member *m = members_random(3);
		_cleanup_(ranking_clear) struct ranking r = {};
		uint32_t heaviest;

		for (int i = 0; i < 3; i++)
			m[i].weight = 1 + random_below(1u << random_below(17)) % 65535;
		assert_int_equal(ranking_init(&r, m, 3), 0);
		heaviest = r.groups[r.n_groups - 1].weight;
		for (uint32_t slot = 0; slot < 50; slot++)
			for (uint32_t a = 0; a < 3; a++)
				for (uint32_t b = 0; b < 3; b++) {
					rank_t left = rank_of(&r, slot, a), right = rank_of(&r, slot, b);
					uint32_t bound = rank_u_bound(&r, rank_score(right), heaviest);

					assert_true(left > right || rank_hash(&r, slot, a) <= bound);
				}
	}
}

static void test_first_ranks_are_shared_by_weight(void **state)
{
	enum { SLOTS = 1 << 17 };
	_cleanup_free_ struct table_member *m = members_new(3, 0);
	_cleanup_(ranking_clear) struct ranking r = {};
	uint32_t first[3] = {};

	(void)state;
	m[0].weight = 4;
	m[1].weight = 1;
	m[2].weight = 2;
	assert_int_equal(ranking_init(&r, m, 3), 0);
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		rank_t best;

		assert_int_equal(rank_scan(&r, slot, 0, NULL, &best, 1), 1);
		first[r.numbers[rank_id(best)]]++;
	}
	for (int i = 0; i < 3; i++) /* standard deviation 181 at most */
		assert_true(fabs(first[i] - SLOTS * m[i].weight / 7.0) < 4 * 181);
}

/* ---- the table ---- */

static void test_the_table_is_what_the_definition_says(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		uint32_t n = 1 + random_below(30), n_slots = 64 << random_below(4);
		_cleanup_free_ struct table_member *m = members_random(n);
		_cleanup_(plain_clear) struct plain p = {};
		_cleanup_(table_freep) struct table *t = NULL;

		m[random_below(n)].weight = 1 + random_below(200);
		plain_build(&p, m, n, n_slots);
		t = build(m, n, n_slots);
		for (uint32_t slot = 0; slot < n_slots; slot++) {
			uint16_t next[2];

			plain_overlay(&p, m, slot, next);
			assert_int_equal(t->base[slot], p.r.numbers[p.owner[slot]]);
			assert_int_equal(t->current[slot], next[0]);
			assert_int_equal(t->runner_up[slot], next[1]);
		}
	}
}

typedef uint16_t head_t[TABLE_RANKED];

static void plain_ranked(const struct plain *p, uint32_t slot, head_t out)
{
	const rank_t *ranks = p->ranks + (size_t)slot * p->r.n;

	for (uint32_t i = 0; i < TABLE_RANKED; i++)
		out[i] = i < p->r.n ? p->r.numbers[rank_id(ranks[i])] : TABLE_NONE;
}

static void test_rankings_are_what_the_definition_says(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		uint32_t n = 1 + random_below(round % 3 ? 30 : 6), n_slots = 64 << random_below(3);
		_cleanup_free_ struct table_member *m = members_random(n);
		_cleanup_free_ head_t *ranked = calloc(n_slots, sizeof(*ranked));
		_cleanup_(plain_clear) struct plain p = {};
		_cleanup_(table_freep) struct table *t = NULL;

		m[random_below(n)].weight = 1 + random_below(200);
		plain_build(&p, m, n, n_slots);
		t = build(m, n, n_slots);
		table_ranked(t, 0, n_slots, ranked);
		for (uint32_t slot = 0; slot < n_slots; slot++) {
			head_t plain;

			plain_ranked(&p, slot, plain);
			if (memcmp(ranked[slot], plain, sizeof(plain)))
				fail_msg("the ranking of slot %u of %u members (SEED=%lu)", slot, n, seed);
		}
	}
}

static void test_rankings_of_any_range_of_slots_are_those_of_all(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(30, 100);
	_cleanup_(table_freep) struct table *t = build(m, 30, 64);
	head_t all[64];

	(void)state;
	table_ranked(t, 0, 64, all);
	for (uint32_t first = 0; first < 64; first++)
		for (uint32_t n = 0; first + n <= 64; n++) {
			head_t some[65] = {};

			some[n][0] = 7;
			table_ranked(t, first, n, some);
			assert_memory_equal(some, all + first, n * sizeof(*some));
			assert_int_equal(some[n][0], 7);
		}
}

static void assert_same_rankings(const struct table *a, const struct table *b)
{
	head_t left[1024], right[1024];

	table_ranked(a, 0, 1024, left);
	table_ranked(b, 0, 1024, right);
	for (uint32_t slot = 0; slot < 1024; slot++)
		for (int i = 0; i < TABLE_RANKED; i++)
			if (key_at(a, left[slot][i]) != key_at(b, right[slot][i]))
				fail_msg("the ranking of slot %u differs (SEED=%lu)", slot, seed);
}

static void test_rankings_depend_on_keys_and_weights_alone(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		uint32_t n = 2 + random_below(60);
		_cleanup_free_ struct table_member *m = members_random(n), *holes = NULL;
		_cleanup_(table_freep) struct table *before = build(m, n, 1024), *after = NULL;

		shuffle(m, n);
		holes = calloc(2 * n, sizeof(*holes));
		for (uint32_t i = 0; i < n; i++) {
			holes[2 * i + 1] = m[i]; /* the others have key 0 and weight 0 */
			holes[2 * i + 1].alive = random_below(2);
		}
		after = build(holes, 2 * n, 1024);
		assert_same_rankings(before, after);
		for (uint32_t i = 0; i < 2 * n; i++)
			table_set_alive(after, i, random_below(2));
		assert_same_rankings(before, after);
	}
}

/* Of a slot and a member that it likes better than its owner: the member is full, of slots that it likes better. */
static void assert_stable(const struct table *t, const struct ranking *r, uint32_t slots_to_check)
{
	uint64_t total = total_weight(t->members, t->n_members);
	_cleanup_free_ uint32_t *counts = count(t, t->base), *ids = calloc(t->n_members, sizeof(*ids));
	_cleanup_free_ uint64_t *worst = calloc(r->n, sizeof(*worst)); /* u << 32 | slot */

	for (uint32_t id = 0; id < r->n; id++)
		ids[r->numbers[id]] = id;
	for (uint32_t slot = 0; slot < t->n_slots; slot++) {
		uint32_t id = ids[t->base[slot]];
		uint64_t held = (uint64_t)rank_hash(r, slot, id) << 32 | slot;

		if (held > worst[id])
			worst[id] = held;
	}
	for (uint32_t k = 0; k < slots_to_check; k++) {
		uint32_t slot = k * (t->n_slots / slots_to_check);
		rank_t owner = rank_of(r, slot, ids[t->base[slot]]);

		for (uint32_t id = 0; id < r->n; id++) {
			uint32_t number = r->numbers[id];

			if (rank_of(r, slot, id) >= owner)
				continue;
			assert_int_equal(counts[number], match_cap(t->n_slots, t->members[number].weight, total));
			assert_true(worst[id] < ((uint64_t)rank_hash(r, slot, id) << 32 | slot));
		}
	}
}

static void test_no_slot_and_member_would_rather_have_each_other(void **state)
{
	(void)state;
	for (int round = 0; round < 12; round++) {
		uint32_t n = 2 + random_below(150);
		_cleanup_free_ struct table_member *m = members_random(n);
		_cleanup_(ranking_clear) struct ranking r = {};
		_cleanup_(table_freep) struct table *t = NULL;

		m[0].weight = 3;
		t = build(m, n, 4096);
		assert_int_equal(ranking_init(&r, m, n), 0);
		assert_stable(t, &r, 4096);
	}
}

static void assert_within_the_cap(const struct table *t)
{
	uint64_t total = total_weight(t->members, t->n_members);
	_cleanup_free_ uint32_t *counts = count(t, t->base);
	uint32_t sum = 0;

	for (uint32_t i = 0; i < t->n_members; i++) {
		double share = (double)t->n_slots * t->members[i].weight / total;

		assert_true(counts[i] <= ceil(1.02 * share + 1e-9));
		sum += counts[i];
	}
	assert_int_equal(sum, t->n_slots);
}

static void test_no_share_is_above_the_cap_and_all_slots_are_owned(void **state)
{
	(void)state;
	for (int round = 0; round < 40; round++) {
		uint32_t n = 1 + random_below(200);
		_cleanup_free_ struct table_member *m = members_random(n);
		_cleanup_(table_freep) struct table *t = NULL;

		m[random_below(n)].weight = 1 + random_below(65535);
		t = build(m, n, 64 << random_below(8));
		assert_within_the_cap(t);
	}
}

static void test_the_order_of_the_members_does_not_matter(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		uint32_t n = 2 + random_below(60);
		_cleanup_free_ struct table_member *m = members_random(n);
		_cleanup_(table_freep) struct table *before = build(m, n, 1024), *after = NULL;

		shuffle(m, n);
		after = build(m, n, 1024);
		assert_same_owners(before, after);
	}
}

static void test_holes_in_the_numbering_do_not_matter(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(20, 100), *holes = calloc(40, sizeof(*holes));
	_cleanup_(table_freep) struct table *plain = build(m, 20, 1024), *sparse = NULL;

	(void)state;
	for (int i = 0; i < 20; i++)
		holes[2 * i + 1] = m[i]; /* the others have key 0 and weight 0 */
	sparse = build(holes, 40, 1024);
	assert_same_owners(plain, sparse);
}

static void test_any_order_of_changes_gives_what_building_gives(void **state)
{
	(void)state;
	for (int round = 0; round < 25; round++) {
		uint32_t n = 1 + random_below(round % 5 ? 12 : 100);
		_cleanup_free_ struct table_member *m = members_random(n);
		_cleanup_(table_freep) struct table *t = build(m, n, 512);

		for (uint32_t change = 0; change < 60; change++) {
			_cleanup_free_ uint16_t *before = malloc(512 * sizeof(*before));
			_cleanup_(table_freep) struct table *fresh = NULL;
			uint32_t i = random_below(n), moved = 0, said;

			memcpy(before, t->current, 512 * sizeof(*before));
			m[i].alive = random_below(change / 10 % 2 ? 8 : 3) == 0; /* now most die, now most come back */
			if (change / 20 % 2)
				m[i].alive = !m[i].alive;
			said = table_set_alive(t, i, m[i].alive);
			for (uint32_t slot = 0; slot < 512; slot++)
				moved += before[slot] != t->current[slot];
			assert_int_equal(said, moved);
			fresh = build(m, n, 512);
			assert_same_owners(t, fresh);
		}
	}
}

/* Members come, go, change their weights and their numbers, now few of them, now many. Returns how many there are. */
static uint32_t some_other_members(struct table_member *m, uint32_t n, uint32_t room)
{
	uint32_t changes = 1 + random_below(random_below(4) ? 3 : n / 2 + 1);

	for (uint32_t k = 0; k < changes; k++) {
		uint32_t what = random_below(4), i = random_below(n);

		if (what == 0 && n < room)
			m[n++] = (struct table_member){ random64(), m[i].weight, random_below(4) > 0 };
		else if (what == 1 && n > 1)
			m[i] = m[--n];
		else if (what == 2)
			m[i].weight = random_below(2) ? 100 : random_below(300);
		else
			m[i].alive = !m[i].alive;
	}
	if (random_below(4) == 0)
		shuffle(m, n);
	return n;
}

static void test_following_another_table_gives_what_building_gives(void **state)
{
	(void)state;
	for (int round = 0; round < 16; round++) {
		uint32_t room = 700, n = 1 + random_below(round % 4 ? 600 : 8), n_slots = 64u << random_below(5);
		_cleanup_free_ struct table_member *m = members_random(room);
		_cleanup_(table_freep) struct table *was = build(m, n, n_slots);

		for (uint32_t change = 0; change < 12; change++) {
			_cleanup_(table_freep) struct table *fresh = NULL;
			struct table *t = NULL;

			n = some_other_members(m, n, room);
			n_slots = random_below(8) ? n_slots : 64u << random_below(5);
			fresh = build(m, n, n_slots);
			assert_int_equal(table_follow(&t, was, m, n, n_slots), 0);
			assert_same_owners(t, fresh);
			assert_memory_equal(full(t)->leaders, full(fresh)->leaders, n_slots * sizeof(*full(t)->leaders));
			table_free(was);
			was = t;
		}
	}
}

static void test_a_failure_moves_only_its_own_slots_and_recovery_restores_them(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(100, 100);
	_cleanup_(table_freep) struct table *t = build(m, 100, 16384), *whole = build(m, 100, 16384);

	(void)state;
	for (uint32_t failed = 0; failed < 100; failed += 9) {
		uint32_t moved = table_set_alive(t, failed, false), owned = 0;

		for (uint32_t slot = 0; slot < t->n_slots; slot++) {
			owned += whole->current[slot] == failed;
			if (whole->current[slot] == failed)
				assert_int_equal(t->current[slot], whole->runner_up[slot]);
			else
				assert_int_equal(t->current[slot], whole->current[slot]);
			assert_int_equal(t->base[slot], whole->base[slot]);
			assert_int_not_equal(t->runner_up[slot], failed);
		}
		assert_int_equal(moved, owned);
		assert_true(owned > 100);
		assert_int_equal(table_set_alive(t, failed, true), owned);
		assert_same_owners(t, whole);
	}
}

static void test_the_runner_up_takes_over_through_a_row_of_failures(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(12, 100);
	_cleanup_(table_freep) struct table *t = build(m, 12, 1024);

	(void)state;
	for (uint32_t failed = 0; failed < 12; failed++) {
		_cleanup_free_ uint16_t *next = malloc(1024 * sizeof(*next));

		for (uint32_t slot = 0; slot < 1024; slot++) {
			next[slot] = t->current[slot] == failed ? t->runner_up[slot] : t->current[slot];
			assert_int_not_equal(t->current[slot], t->runner_up[slot]);
		}
		table_set_alive(t, failed, false);
		assert_memory_equal(t->current, next, 1024 * sizeof(*next));
	}
	for (uint32_t slot = 0; slot < 1024; slot++)
		assert_int_equal(t->current[slot], TABLE_NONE);
}

static void test_a_change_to_what_is_already_so_does_nothing(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(3, 100);
	_cleanup_(table_freep) struct table *t = NULL, *same = NULL;

	(void)state;
	m[2].weight = 0;
	m[2].alive = false;
	t = build(m, 3, 64);
	assert_int_equal(table_set_alive(t, 0, true), 0);
	assert_int_equal(table_set_alive(t, 2, true), 0); /* weight 0: owns nothing, alive or not */
	assert_int_equal(table_set_alive(t, 3, false), 0); /* no such member */
	assert_int_equal(table_set_alive(t, TABLE_NONE, false), 0);
	same = build(m, 3, 64);
	assert_same_owners(t, same);
}

static void test_one_member_more_or_less_moves_next_to_nothing_between_the_others(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(100, 100);
	_cleanup_(table_freep) struct table *all = build(m, 100, 16384);
	uint32_t sum = 0, rounds = 0;

	(void)state;
	for (uint32_t gone = 0; gone < 100; gone += 5, rounds++) {
		_cleanup_(table_freep) struct table *without = NULL;
		uint32_t moved = 0, of;

		m[gone].weight = 0;
		without = build(m, 100, 16384);
		m[gone].weight = 100;
		for (uint32_t slot = 0; slot < 16384; slot++)
			moved += all->base[slot] != gone && all->base[slot] != without->base[slot];
		assert_true(moved * 160 < 16384); /* 0.6 % for each */
		assert_true(table_moved(all, without, &of) - moved <= 168); /* the rest was gone's: its cap at most */
		assert_int_equal(of, 16384);
		sum += moved;
	}
	print_message("moved between 99 members that stay: %.3f %% of slots\n", 100.0 * sum / rounds / 16384);
	assert_true(200 * sum < rounds * 16384); /* half a percent on average */
}

static void test_a_new_weight_moves_what_it_must(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(100, 100);
	_cleanup_(table_freep) struct table *before = build(m, 100, 16384), *after = NULL;
	uint32_t of, moved;

	(void)state;
	m[17].weight = 150; /* from 164 slots to about 245 */
	after = build(m, 100, 16384);
	moved = table_moved(before, after, &of);
	print_message("moved when one of 100 weights grows by half: %u of %u slots\n", moved, of);
	assert_in_range(moved, 60, 81 + 16384 / 200);
}

static void test_shares_stay_near_the_weights_when_members_fail(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(40, 100);
	_cleanup_(table_freep) struct table *t = NULL;
	_cleanup_free_ uint32_t *counts = NULL;
	uint64_t alive = 0;

	(void)state;
	for (uint32_t i = 0; i < 40; i++)
		m[i].weight = 100 + i % 2 * 100;
	t = build(m, 40, 1 << 16);
	for (uint32_t i = 0; i < 40; i++)
		if (i % 5 == 0)
			table_set_alive(t, i, false);
		else
			alive += m[i].weight;
	counts = count(t, t->current);
	for (uint32_t i = 0; i < 40; i++)
		if (i % 5 == 0)
			assert_int_equal(counts[i], 0);
		else /* what fails is spread at random: 6 standard deviations or so */
			assert_true(fabs(counts[i] - 65536.0 * m[i].weight / alive) < 65536.0 * m[i].weight / alive * 0.1);
}

static void test_weights_are_shares(void **state)
{
	const uint32_t weights[] = { 1, 2, 4, 0 };
	_cleanup_free_ struct table_member *m = members_new(4, 0);
	_cleanup_(table_freep) struct table *t = NULL;
	_cleanup_free_ uint32_t *counts = NULL;

	(void)state;
	for (int i = 0; i < 4; i++)
		m[i].weight = weights[i];
	t = build(m, 4, 4096);
	counts = count(t, t->base);
	for (int i = 0; i < 4; i++) {
		double share = 4096 * weights[i] / 7.0;

		assert_true(counts[i] <= ceil(1.02 * share));
		assert_true(counts[i] >= share - 0.02 * (4096 - share) - 2); /* the others are at their caps */
	}
	for (uint32_t slot = 0; slot < 4096; slot++)
		assert_int_not_equal(t->runner_up[slot], 3);
}

static uint16_t ranked_at(const struct table *t, uint32_t slot, uint32_t i)
{
	head_t head;

	table_ranked(t, slot, 1, &head);
	return head[i];
}

static void test_nobody_and_one_alone(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(2, 100);
	_cleanup_(table_freep) struct table *none = build(NULL, 0, 64), *unweighted = NULL, *one = NULL;

	(void)state;
	one = build(m, 1, 64);
	m[0].weight = m[1].weight = 0;
	unweighted = build(m, 2, 64);
	for (uint32_t slot = 0; slot < 64; slot++) {
		assert_int_equal(none->base[slot], TABLE_NONE);
		assert_int_equal(none->current[slot], TABLE_NONE);
		assert_int_equal(none->runner_up[slot], TABLE_NONE);
		assert_int_equal(unweighted->base[slot], TABLE_NONE);
		assert_true(ranked_at(none, slot, 0) == TABLE_NONE && ranked_at(unweighted, slot, 0) == TABLE_NONE);
		assert_true(ranked_at(one, slot, 0) == 0 && ranked_at(one, slot, 1) == TABLE_NONE);
		assert_int_equal(one->base[slot], 0);
		assert_int_equal(one->current[slot], 0);
		assert_int_equal(one->runner_up[slot], TABLE_NONE);
	}
	assert_int_equal(table_set_alive(one, 0, false), 64);
	assert_int_equal(one->current[63], TABLE_NONE);
	assert_int_equal(one->base[63], 0);
	assert_int_equal(table_set_alive(one, 0, true), 64);
	assert_int_equal(one->current[63], 0);
	table_free(NULL);
}

static void test_a_thousand_members_share_as_ten_do(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(1000, 100);
	_cleanup_(ranking_clear) struct ranking r = {};
	_cleanup_(table_freep) struct table *t = build(m, 1000, 1 << 15);

	(void)state;
	assert_within_the_cap(t);
	assert_int_equal(ranking_init(&r, m, 1000), 0);
	assert_stable(t, &r, 256);
}

static void test_a_larger_table_agrees_with_a_smaller_one_on_their_common_slots(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(10, 100);
	_cleanup_(table_freep) struct table *small = build(m, 10, 4096), *large = build(m, 10, 8192);
	uint32_t same = 0;

	(void)state;
	for (uint32_t slot = 0; slot < 4096; slot++)
		same += small->base[slot] == large->base[slot];
	assert_true(same > 4096 * 95 / 100); /* but for the few that the cap decided */
}

static void test_what_cannot_be_built_is_refused(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(65536, 100);
	struct table *t = NULL;

	(void)state;
	assert_int_equal(table_build(&t, m, 3, 0), -EINVAL);
	assert_int_equal(table_build(&t, m, 3, 32), -EINVAL);
	assert_int_equal(table_build(&t, m, 3, 100), -EINVAL);
	assert_int_equal(table_build(&t, m, 3, 1 << 21), -EINVAL);
	assert_int_equal(table_build(&t, m, 65536, 64), -EINVAL);
	m[2].key = m[0].key;
	m[2].weight = 50;
	assert_int_equal(table_build(&t, m, 3, 64), -EINVAL);
	assert_null(t);
	m[2].weight = 0;
	assert_int_equal(table_build(&t, m, 3, 64), 0);
	table_free(t);
}

static void test_slots_come_in_few_classes(void **state)
{
	const struct {
		uint32_t n, weight, one; /* n of this weight, the first of that one */
		uint32_t slots;
	} cases[] = {
		{ 0, 0, 0, 1 << 12 },	   { 1, 100, 100, 1 << 12 },	{ 32, 100, 100, 1 << 12 },
		{ 33, 100, 100, 1 << 14 }, { 128, 1, 1, 1 << 14 },	{ 129, 1, 1, 1 << 17 },
		{ 1024, 7, 7, 1 << 17 },   { 1025, 7, 7, 1 << 20 },	{ 2048, 7, 7, 1 << 20 }, /* 2^31 draws */
		{ 2049, 7, 7, 1 << 19 },   { 10000, 1, 1, 1 << 17 },	{ 65535, 1, 1, 1 << 17 },
		{ 2, 1, 31, 1 << 12 },	   { 2, 1, 32, 1 << 14 },	{ 2, 2, 63, 1 << 14 }, /* 32.5, rounded up */
		{ 2, 1, 65535, 1 << 20 },  { 2, 0, 100, 1 << 12 },	{ 65535, 65535, 65535, 1 << 17 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ struct table_member *m = members_new(cases[i].n, cases[i].weight);

		m[0].weight = cases[i].one;
		assert_int_equal(table_slots_for(m, cases[i].n), cases[i].slots);
	}
}

static void test_moved_slots_are_counted_in_the_larger_table(void **state)
{
	_cleanup_free_ struct table_member *m = members_new(4, 100);
	_cleanup_(table_freep) struct table *small = build(m, 4, 64), *large = build(m, 4, 256), *none = build(NULL, 0, 64);
	_cleanup_(table_freep) struct table *other = NULL, *renumbered = NULL;
	uint32_t of, differ = 0, owned = 0;

	(void)state;
	for (uint32_t slot = 0; slot < 256; slot++)
		differ += small->current[slot % 64] != large->current[slot];
	assert_int_equal(table_moved(small, large, &of), differ);
	assert_int_equal(of, 256);
	assert_int_equal(table_moved(large, small, &of), differ);
	assert_int_equal(of, 256);
	assert_int_equal(table_moved(small, small, &of), 0);
	assert_int_equal(of, 64);
	assert_int_equal(table_moved(NULL, large, &of), 256);
	assert_int_equal(of, 256);
	assert_int_equal(table_moved(small, NULL, &of), 64);
	assert_int_equal(of, 64);
	assert_int_equal(table_moved(NULL, NULL, &of), 0);
	assert_int_equal(of, 0);
	assert_int_equal(table_moved(none, small, &of), 64);
	assert_int_equal(table_moved(none, none, &of), 0);

	struct table_member first = m[0];
	m[0] = m[3];
	m[3] = first;
	renumbered = build(m, 4, 64);
	assert_int_equal(table_moved(small, renumbered, &of), 0);
	for (uint32_t slot = 0; slot < 64; slot++)
		owned += small->current[slot] == 2;
	m[2].alive = false; /* owners now, not base owners */
	other = build(m, 4, 64);
	assert_int_equal(table_moved(small, other, &of), owned);
}

/* FNV-1a over the owners' keys. */
static uint64_t fingerprint(const struct table *t)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (uint32_t slot = 0; slot < t->n_slots; slot++) {
		const uint64_t keys[] = { key_at(t, t->base[slot]), key_at(t, t->current[slot]), key_at(t, t->runner_up[slot]) };

		for (int k = 0; k < 3; k++)
			for (int bit = 0; bit < 64; bit += 8)
				hash = (hash ^ (keys[k] >> bit & 0xff)) * 0x100000001b3ull;
	}
	return hash;
}

/*
 * If this fails, balancers of the old and the new version disagree about where flows go, and an upgrade of one after
 * the other breaks connections. Change the numbers only if that is what is wanted, and say so to the operators.
 */
static void test_tables_are_those_of_every_other_version(void **state)
{
	_cleanup_free_ struct table_member *equal = members_new(50, 100), *mixed = members_new(50, 100);
	_cleanup_(table_freep) struct table *a = NULL, *b = NULL;

	(void)state;
	for (uint32_t i = 0; i < 50; i++) {
		mixed[i].weight = 1 + i * i % 23;
		mixed[i].alive = i % 7 != 0;
	}
	a = build(equal, 50, 4096);
	b = build(mixed, 50, 4096);
	if (fingerprint(a) != 0x6f0f9ab1e8ab6eccull || fingerprint(b) != 0xc867ac882d6e0ed1ull)
		fail_msg("fingerprints are 0x%016lx and 0x%016lx", fingerprint(a), fingerprint(b));
}

/* ---- more tables that have to stay ---- */

static uint32_t weight_equal(uint32_t i) { (void)i; return 100; }
static uint32_t weight_few(uint32_t i) { return 1 + i * i % 5; }
static uint32_t weight_all_different(uint32_t i) { return 1 + i * 7919 % 65535; }
static uint32_t weight_one_giant(uint32_t i) { return i == 3 ? 65535 : 1; }
static uint32_t weight_with_holes(uint32_t i) { return i % 3 * 40; }

static bool alive_all(uint32_t i) { (void)i; return true; }
static bool alive_none(uint32_t i) { (void)i; return false; }
static bool alive_one(uint32_t i) { return i == 5; }
static bool alive_most(uint32_t i) { return i % 7 != 0; }
static bool alive_few(uint32_t i) { return i % 10 == 2; }

static void test_tables_of_all_kinds_are_those_of_every_other_version(void **state)
{
	static const struct {
		uint32_t n, n_slots;
		uint32_t (*weight)(uint32_t i);
		bool (*alive)(uint32_t i);
		uint64_t built, changed; /* fingerprints, at first and when every fifth member has changed */
	} cases[] = {
		{ 1, 64, weight_equal, alive_all,
		  0x04dee8bea6829225ull, 0x83cbee60a786dea5ull },
		{ 2, 64, weight_equal, alive_none,
		  0x6782c426ec4ec502ull, 0x5eadc553f146808aull },
		{ 3, 128, weight_one_giant, alive_all,
		  0xb2584a2d2063b916ull, 0xe7169d07f1c2b07dull },
		{ 7, 256, weight_equal, alive_one,
		  0x14c8000de5297c7full, 0x680984f5d5d5799full },
		{ 16, 4096, weight_equal, alive_all,
		  0xc28d1c60ee9aaf12ull, 0xa42337bf8f595e3aull },
		{ 17, 4096, weight_few, alive_most,
		  0x400b407487ffcc70ull, 0xdaaf875cd651da86ull },
		{ 100, 16384, weight_equal, alive_all,
		  0x4632de6e6d629ad0ull, 0x016c6a5ec8d9036full },
		{ 100, 16384, weight_equal, alive_none,
		  0x26aca384e5d86ac1ull, 0x3d68defee793d952ull },
		{ 100, 16384, weight_equal, alive_one,
		  0x1edf0f2a7f7b7b5dull, 0x9d0cd8bb1b136b45ull },
		{ 100, 4096, weight_equal, alive_few,
		  0x936b76809340c1c3ull, 0x61ee1caa82d48b80ull },
		{ 100, 16384, weight_few, alive_all,
		  0x3447720a71f34551ull, 0x334c00175f42262dull },
		{ 100, 4096, weight_few, alive_few,
		  0xe3a78d37b83d461full, 0xb1fcd5a514fea045ull },
		{ 100, 4096, weight_all_different, alive_all,
		  0x3f3555f859b969c3ull, 0x467c1fdadb97b09cull },
		{ 100, 4096, weight_all_different, alive_most,
		  0xea771c0e346e8db4ull, 0x501badac957e685bull },
		{ 100, 4096, weight_all_different, alive_none,
		  0xfdf1975877376283ull, 0x1f737ea8b5595d91ull },
		{ 100, 8192, weight_one_giant, alive_most,
		  0x4bd5d224e19d6164ull, 0x984f7c861f8596faull },
		{ 100, 8192, weight_with_holes, alive_all,
		  0x6dc5d054049ae880ull, 0xfef7c6726bb94cbaull },
		{ 100, 8192, weight_with_holes, alive_few,
		  0x8860bc0a83a08eb7ull, 0x67406b1c518583efull },
		{ 1000, 32768, weight_equal, alive_all,
		  0x956f614ee33661faull, 0xc9a89de88df74f57ull },
		{ 1000, 16384, weight_few, alive_most,
		  0x58052ed21cca86a1ull, 0xb28dd96d383940c2ull },
		{ 1000, 4096, weight_all_different, alive_all,
		  0xb47fdfa3a7110b0bull, 0x937a3f2183dca003ull },
		{ 1100, 16384, weight_equal, alive_most,
		  0xab77b778b2ac0bcdull, 0xf95b06f709408d03ull },
		{ 2500, 4096, weight_equal, alive_none,
		  0x0c6efdce954e86a7ull, 0x0c6ac701a184c261ull },
		{ 2500, 8192, weight_with_holes, alive_all,
		  0x169cffd4285444c7ull, 0x09abafc45300fdc5ull },
		{ 3000, 64, weight_few, alive_all,
		  0x6217a9f9207d1a12ull, 0x2cb1811aee6a8e82ull },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ struct table_member *m = members_new(cases[i].n, 0);
		_cleanup_(table_freep) struct table *t = NULL;
		uint64_t built;

		for (uint32_t k = 0; k < cases[i].n; k++) {
			m[k].weight = cases[i].weight(k);
			m[k].alive = cases[i].alive(k);
		}
		t = build(m, cases[i].n, cases[i].n_slots);
		built = fingerprint(t);
		for (uint32_t k = 0; k < cases[i].n; k += 5)
			table_set_alive(t, k, !m[k].alive);
		if (built != cases[i].built || fingerprint(t) != cases[i].changed)
			fail_msg("case %zu: fingerprints are 0x%016lx and 0x%016lx", i, built, fingerprint(t));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_two_endpoints_of_many_networks_have_one_key),
		cmocka_unit_test(test_keys_are_those_of_every_other_machine),
		cmocka_unit_test(test_the_logarithm_is_within_a_thousandth_and_never_falls),
		cmocka_unit_test(test_a_scan_finds_the_best_in_order_from_any_rank_on),
		cmocka_unit_test(test_a_scan_of_many_slots_finds_the_best_of_each),
		cmocka_unit_test(test_who_lies_far_off_is_not_missed),
		cmocka_unit_test(test_who_draws_the_largest_number_is_not_missed),
		cmocka_unit_test(test_heads_of_many_slots_are_those_of_the_whole_rankings),
		cmocka_unit_test(test_hashes_of_many_slots_are_those_of_each),
		cmocka_unit_test(test_nobody_above_the_bound_ranks_before),
		cmocka_unit_test(test_first_ranks_are_shared_by_weight),
		cmocka_unit_test(test_the_table_is_what_the_definition_says),
		cmocka_unit_test(test_rankings_are_what_the_definition_says),
		cmocka_unit_test(test_rankings_of_any_range_of_slots_are_those_of_all),
		cmocka_unit_test(test_rankings_depend_on_keys_and_weights_alone),
		cmocka_unit_test(test_no_slot_and_member_would_rather_have_each_other),
		cmocka_unit_test(test_no_share_is_above_the_cap_and_all_slots_are_owned),
		cmocka_unit_test(test_the_order_of_the_members_does_not_matter),
		cmocka_unit_test(test_holes_in_the_numbering_do_not_matter),
		cmocka_unit_test(test_any_order_of_changes_gives_what_building_gives),
		cmocka_unit_test(test_following_another_table_gives_what_building_gives),
		cmocka_unit_test(test_a_failure_moves_only_its_own_slots_and_recovery_restores_them),
		cmocka_unit_test(test_the_runner_up_takes_over_through_a_row_of_failures),
		cmocka_unit_test(test_a_change_to_what_is_already_so_does_nothing),
		cmocka_unit_test(test_one_member_more_or_less_moves_next_to_nothing_between_the_others),
		cmocka_unit_test(test_a_new_weight_moves_what_it_must),
		cmocka_unit_test(test_shares_stay_near_the_weights_when_members_fail),
		cmocka_unit_test(test_weights_are_shares),
		cmocka_unit_test(test_nobody_and_one_alone),
		cmocka_unit_test(test_a_thousand_members_share_as_ten_do),
		cmocka_unit_test(test_a_larger_table_agrees_with_a_smaller_one_on_their_common_slots),
		cmocka_unit_test(test_what_cannot_be_built_is_refused),
		cmocka_unit_test(test_slots_come_in_few_classes),
		cmocka_unit_test(test_moved_slots_are_counted_in_the_larger_table),
		cmocka_unit_test(test_tables_are_those_of_every_other_version),
		cmocka_unit_test(test_tables_of_all_kinds_are_those_of_every_other_version),
	};

	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 0);
	random_state = seed ? seed : 1;
	print_message("SEED=%lu\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
