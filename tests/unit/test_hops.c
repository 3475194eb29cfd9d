/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bpf/slot.h, second chance: who else is asked about a flow, in which order. Against a naive list, on random words; SEED in
 * the environment begins with another one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../bpf/abi.h"

#define ROUNDS 500000

static uint64_t seed = 1, random_state = 1;

static uint64_t random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 2685821657736338717ull;
}

/* Of few members, so that they meet; now and then nobody, or a number with the same byte in both its halves. */
static uint16_t random_member(void)
{
	static const uint16_t odd[] = { SHUNT_NONE, 0, 0xff, 0x100, 0xff00, 0xfffe, 0x7fff, 0x8000, 0x8001 };
	uint64_t r = random64() >> 20;

	return r % 4 ? (r >> 8) % 9 : odd[(r >> 8) % 9];
}

static uint64_t random_word(void)
{
	uint64_t word = 0;

	for (int i = 0; i < 4; i++)
		word = word << 16 | random_member();
	return word;
}

/* ---- the naive list ---- */

struct list {
	uint16_t members[8];
	uint32_t n;
};

static bool list_has(const struct list *l, uint16_t member)
{
	for (uint32_t i = 0; i < l->n; i++)
		if (l->members[i] == member)
			return true;
	return false;
}

/* Current, anchor, previous; the last two owners of before, the ranking, the owners before these; the runner-up. */
static struct list list_of(uint64_t slot, const struct shunt_alternates *a, uint16_t chosen)
{
	const uint16_t asked[] = { slot, slot >> 16, slot >> 32, a->owners, a->owners >> 16, a->ranked, a->ranked >> 16,
				   a->ranked >> 32, a->ranked >> 48, a->owners >> 32, a->owners >> 48, slot >> 48 };
	struct list l = { .n = 0 };

	for (int i = 0; i < 12 && l.n < 7; i++)
		if (asked[i] != 0xffff && asked[i] != chosen && !list_has(&l, asked[i]))
			l.members[l.n++] = asked[i];
	return l;
}

/* ---- tests ---- */

static void a_word_has_each_of_its_four_numbers_and_no_other(void **state)
{
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t word = random_word();
		uint16_t n = random_member();
		bool has = false;

		for (int k = 0; k < 4; k++) {
			has |= (uint16_t)(word >> 16 * k) == n;
			assert_true(shunt_word_has(word, word >> 16 * k));
		}
		if (shunt_word_has(word, n) != has)
			fail_msg("SEED=%llu: word %016llx, number %04x", (unsigned long long)seed, (unsigned long long)word, n);
	}
}

static void hops_are_what_the_slot_says_then_its_alternates_then_the_runner_up(void **state)
{
	const struct shunt_alternates many = { 0xffffffff00050004, 0x0009000800070006 };
	const struct shunt_alternates few = { ~0ull, 0xffffffff00010004 };
	struct shunt_hops h = shunt_hops(shunt_slot(1, 2, 3, 10), &many, 11);

	(void)state;
	assert_int_equal(h.n, 7); /* the third of the ranking and who comes after it find no place */
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(shunt_hop(&h, i), i + 1);
	h = shunt_hops(shunt_slot(1, 1, SHUNT_NONE, 9), &few, 1);
	assert_int_equal(h.n, 2);
	assert_int_equal(shunt_hop(&h, 0), 4);
	assert_int_equal(shunt_hop(&h, 1), 9);
}

static void hops_are_a_naive_list_without_doubles_nobody_and_the_chosen_one(void **state)
{
	uint32_t most = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		const struct shunt_alternates a = { random_word(), random_word() };
		uint64_t slot = random_word();
		uint16_t chosen = random_member();
		struct shunt_hops h = shunt_hops(slot, &a, chosen);
		struct list l = list_of(slot, &a, chosen);
		bool same = h.n == l.n;

		for (uint32_t k = 0; same && k < 8; k++)
			same = shunt_hop(&h, k) == (k < l.n ? l.members[k] : SHUNT_NONE);
		if (!same)
			fail_msg("SEED=%llu: slot %016llx, owners %016llx, ranking %016llx, chosen %04x",
				 (unsigned long long)seed, (unsigned long long)slot, (unsigned long long)a.owners,
				 (unsigned long long)a.ranked, chosen);
		most = h.n > most ? h.n : most;
	}
	assert_int_equal(most, SHUNT_HOPS);
}

static void nobody_else_is_asked_where_there_is_nobody_else(void **state)
{
	const struct shunt_alternates nobody = { ~0ull, ~0ull }, itself = { 0xffffffffffff0005, 0xffffffffffff0005 };

	(void)state;
	assert_int_equal(shunt_hops(~0ull, &nobody, 5).n, 0);
	assert_int_equal(shunt_hops(~0ull, &nobody, SHUNT_NONE).n, 0);
	assert_int_equal(shunt_hops(shunt_slot(5, 5, SHUNT_NONE, SHUNT_NONE), &itself, 5).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_word_has_each_of_its_four_numbers_and_no_other),
		cmocka_unit_test(hops_are_what_the_slot_says_then_its_alternates_then_the_runner_up),
		cmocka_unit_test(hops_are_a_naive_list_without_doubles_nobody_and_the_chosen_one),
		cmocka_unit_test(nobody_else_is_asked_where_there_is_nobody_else),
	};

	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 0);
	random_state = seed ? seed : 1;
	printf("# SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
