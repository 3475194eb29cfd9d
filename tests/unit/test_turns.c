/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model/turns: shares over a cycle, how evenly they are spread, and how long it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "model/model.h"
#include "model/turns.h"

#define ROOM (1u << 18)

static uint16_t out[1 << 20];

static uint64_t random_state;
static uint32_t next_random(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return random_state >> 33;
}

static uint32_t *random_weights(uint32_t n, uint32_t max)
{
	uint32_t *weights = calloc(n, sizeof(*weights));

	random_state = n + max;
	for (uint32_t i = 0; i < n; i++)
		weights[i] = 1 + next_random() % max;
	return weights;
}

static uint64_t sum_of(const uint32_t *weights, uint32_t n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += weights[i];
	return sum;
}

/* How often each appears; to be freed. */
static uint32_t *counts_of(uint32_t length, uint32_t n)
{
	uint32_t *counts = calloc(n, sizeof(*counts));

	for (uint32_t i = 0; i < length; i++) {
		assert_true(out[i] < n);
		counts[out[i]]++;
	}
	return counts;
}

/*
 * At every moment of two cycles each member has had its share of the turns so far, but for less than one; so between two
 * turns of one that appears c times in L there are less than 2 L / c others.
 */
static void assert_even(uint32_t length, const uint32_t *counts, uint32_t n)
{
	_cleanup_free_ uint32_t *had = calloc(n, sizeof(*had)), *last = calloc(n, sizeof(*last));

	for (uint32_t at = 0; at < 2 * length; at++) {
		uint32_t i = out[at % length];
		double fair = (double)(at + 1) * counts[i] / length;

		had[i]++;
		assert_true(fabs(had[i] - fair) < 1); /* ahead; and behind, just before it */
		assert_true(fabs(had[i] - 1 - (double)at * counts[i] / length) < 1);
		if (had[i] > 1)
			assert_true(at - last[i] < 2.0 * length / counts[i]);
		last[i] = at;
	}
}

static void equal_weights_go_round(void **state)
{
	const uint32_t sizes[] = { 1, 2, 3, 100, 4096 }, values[] = { 1, 100, 65535 };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(sizes) * ARRAY_SIZE(values); k++) {
		uint32_t n = sizes[k % ARRAY_SIZE(sizes)], weights[4096];

		for (uint32_t i = 0; i < n; i++)
			weights[i] = values[k / ARRAY_SIZE(sizes)];
		assert_int_equal(turns_build(weights, n, out, ROOM), n);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(out[i], i);
	}
}

static void small_cases_are_as_one_would_write_them(void **state)
{
	static const struct {
		uint32_t weights[4], n, length;
		uint16_t turns[8];
	} cases[] = {
		{ { 7 }, 1, 1, { 0 } },
		{ { 2, 1 }, 2, 3, { 0, 0, 1 } },
		{ { 300, 100 }, 2, 4, { 0, 0, 0, 1 } },
		{ { 100, 300 }, 2, 4, { 1, 1, 0, 1 } },
		{ { 2, 0, 2 }, 3, 2, { 0, 2 } },
		{ { 4, 2, 2 }, 3, 4, { 0, 1, 0, 2 } },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		assert_int_equal(turns_build(cases[k].weights, cases[k].n, out, ROOM), cases[k].length);
		for (uint32_t i = 0; i < cases[k].length; i++)
			assert_int_equal(out[i], cases[k].turns[i]);
	}
}

static void nobody_is_nobody(void **state)
{
	const uint32_t none[] = { 0, 0, 0 }, one[] = { 5 };

	(void)state;
	assert_int_equal(turns_build(none, 0, out, ROOM), 0);
	assert_int_equal(turns_build(none, 3, out, ROOM), 0);
	assert_int_equal(turns_build(one, 1, out, 0), 0);
}

static void where_there_is_room_shares_are_exact_and_even(void **state)
{
	const struct {
		uint32_t n, max;
	} cases[] = { { 1, 65535 }, { 2, 65535 }, { 3, 100 }, { 10, 1000 }, { 100, 100 }, { 1000, 200 }, { 4096, 64 } };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		uint32_t n = cases[k].n;
		_cleanup_free_ uint32_t *weights = random_weights(n, cases[k].max), *counts = NULL;
		uint32_t length = turns_build(weights, n, out, ROOM);

		counts = counts_of(length, n);
		for (uint32_t i = 0; i < n; i++)
			assert_true((uint64_t)counts[i] * sum_of(weights, n) == (uint64_t)weights[i] * length);
		assert_even(length, counts, n);
	}
}

static void one_heavy_among_many_light_ones_has_every_second_turn(void **state)
{
	uint32_t weights[1001] = { 1000 };

	(void)state;
	for (int i = 1; i <= 1000; i++)
		weights[i] = 1;
	assert_int_equal(turns_build(weights, 1001, out, ROOM), 2000);
	for (int i = 0; i < 2000; i += 2)
		assert_int_equal((out[i] == 0) + (out[i + 1] == 0), 1);
}

static void where_there_is_not_shares_are_off_by_less_than_a_turn(void **state)
{
	const struct {
		uint32_t n, max, room;
	} cases[] = { { 2, 65535, 64 },         { 7, 65535, 1000 },  { 1000, 65535, ROOM }, { 4096, 65535, ROOM },
		      { 4096, 65535, 1 << 20 }, { 4096, 65535, 64 }, { 300, 65535, 299 } };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		uint32_t n = cases[k].n, room = cases[k].room;
		_cleanup_free_ uint32_t *weights = random_weights(n, cases[k].max), *counts = NULL;

		assert_int_equal(turns_build(weights, n, out, room), room);
		counts = counts_of(room, n);
		for (uint32_t i = 0; i < n; i++)
			assert_true(fabs(counts[i] - (double)weights[i] * room / sum_of(weights, n)) < 1);
		assert_even(room, counts, n);
	}
}

static void everybody_with_a_weight_has_a_turn_if_there_are_enough(void **state)
{
	uint32_t weights[4096] = { 65535, 65535, 0 };
	_cleanup_free_ uint32_t *counts = NULL, *few = NULL;

	(void)state;
	for (int i = 3; i < 4096; i++)
		weights[i] = 1;
	assert_int_equal(turns_build(weights, 4096, out, 5000), 5000);
	counts = counts_of(5000, 4096);
	assert_int_equal(counts[2], 0);
	assert_int_equal(counts[0] + counts[1], 5000 - 4093);
	assert_true(abs((int)(counts[0] - counts[1])) <= 1);
	for (int i = 3; i < 4096; i++)
		assert_int_equal(counts[i], 1);
	assert_even(5000, counts, 4096);
	assert_int_equal(turns_build(weights, 4096, out, 4095), 4095);
	few = counts_of(4095, 4096);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(few[i], weights[i] > 0); /* each one exactly */
}

static void it_is_the_same_every_time(void **state)
{
	_cleanup_free_ uint32_t *weights = random_weights(1000, 65535);
	_cleanup_free_ uint16_t *first = malloc(ROOM * sizeof(*first));

	(void)state;
	assert_int_equal(turns_build(weights, 1000, first, ROOM), ROOM);
	memset(out, 0xff, sizeof(out));
	assert_int_equal(turns_build(weights, 1000, out, ROOM), ROOM);
	assert_memory_equal(first, out, ROOM * sizeof(*first));
}

static void the_most_members_in_the_most_room_take_a_moment(void **state)
{
	_cleanup_free_ uint32_t *weights = random_weights(65535, 65535);
	clock_t begin = clock();

	(void)state;
	assert_int_equal(turns_build(weights, 65535, out, 1 << 20), 1 << 20);
	assert_true(clock() - begin < 5 * CLOCKS_PER_SEC); /* under sanitizers; n turns each would be minutes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_weights_go_round),
		cmocka_unit_test(small_cases_are_as_one_would_write_them),
		cmocka_unit_test(nobody_is_nobody),
		cmocka_unit_test(where_there_is_room_shares_are_exact_and_even),
		cmocka_unit_test(one_heavy_among_many_light_ones_has_every_second_turn),
		cmocka_unit_test(where_there_is_not_shares_are_off_by_less_than_a_turn),
		cmocka_unit_test(everybody_with_a_weight_has_a_turn_if_there_are_enough),
		cmocka_unit_test(it_is_the_same_every_time),
		cmocka_unit_test(the_most_members_in_the_most_room_take_a_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
