/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who else may know a slot's flows: what is remembered of its owners, what its ranking says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/alternates.h"

#define NONE SHUNT_NONE
#define WORD(a, b, c, d) ((uint64_t)(d) << 48 | (uint64_t)(c) << 32 | (uint64_t)(b) << 16 | (uint64_t)(a))

static void the_last_owner_comes_first_and_the_oldest_falls_out(void **state)
{
	uint64_t w = ALTERNATES_NOBODY;

	(void)state;
	w = alternates_remember(w, 7);
	assert_true(w == WORD(7, NONE, NONE, NONE));
	w = alternates_remember(w, 0);
	w = alternates_remember(w, 5);
	assert_true(w == WORD(5, 0, 7, NONE));
	w = alternates_remember(w, 9);
	w = alternates_remember(w, 4);
	assert_true(w == WORD(4, 9, 5, 0));
}

static void who_is_remembered_already_moves_to_the_front(void **state)
{
	(void)state;
	assert_true(alternates_remember(WORD(1, 2, 3, 4), 3) == WORD(3, 1, 2, 4));
	assert_true(alternates_remember(WORD(1, 2, 3, 4), 1) == WORD(1, 2, 3, 4));
	assert_true(alternates_remember(WORD(NONE, NONE, 3, 4), 9) == WORD(9, 3, 4, NONE)); /* guesses move up */
}

static void who_may_have_no_flows_is_forgotten(void **state)
{
	const bool keeps[] = { true, false, true, true };

	(void)state;
	assert_true(alternates_forget(WORD(0, 1, 2, 3), keeps, 4) == WORD(0, 2, 3, NONE));
	assert_true(alternates_forget(WORD(9, 3, 4, 0), keeps, 4) == WORD(3, 0, NONE, NONE)); /* beyond them all, too */
	assert_true(alternates_forget(ALTERNATES_NOBODY, keeps, 4) == ALTERNATES_NOBODY);
}

static void the_ranking_begins_with_who_owns_the_slot_when_all_live(void **state)
{
	const uint16_t ranked[TABLE_RANKED] = { 3, 1, 4, 0, 5, 9, 2, 6 };

	(void)state;
	assert_true(alternates_ranked(8, ranked, 3) == WORD(8, 1, 4, 0)); /* far down, because of its cap */
	assert_true(alternates_ranked(1, ranked, 3) == WORD(1, 4, 0, 5));
	assert_true(alternates_ranked(3, ranked, 3) == WORD(1, 4, 0, 5));
	assert_true(alternates_ranked(NONE, ranked, NONE) == WORD(3, 1, 4, 0));
}

static void a_short_ranking_leaves_places_empty(void **state)
{
	const uint16_t ranked[TABLE_RANKED] = { 1, 0, NONE, NONE, NONE, NONE, NONE, NONE };

	(void)state;
	assert_true(alternates_ranked(1, ranked, 1) == WORD(0, NONE, NONE, NONE));
	assert_true(alternates_guess(&(struct shunt_alternates){ ALTERNATES_NOBODY, WORD(0, NONE, NONE, NONE) }, ranked, 1) ==
		    ALTERNATES_NOBODY);
}

static void where_nobody_is_remembered_the_next_in_the_ranking_are_guessed(void **state)
{
	const uint16_t ranked[TABLE_RANKED] = { 3, 1, 4, 0, 5, 9, 2, 6 };
	const uint64_t head = WORD(1, 4, 0, 5); /* with 3 as the owner */

	(void)state;
	assert_true(alternates_guess(&(struct shunt_alternates){ ALTERNATES_NOBODY, head }, ranked, 3) ==
		    WORD(NONE, NONE, 9, 2));
	assert_true(alternates_guess(&(struct shunt_alternates){ WORD(9, NONE, NONE, NONE), head }, ranked, 3) ==
		    WORD(9, NONE, 2, 6));
	assert_true(alternates_guess(&(struct shunt_alternates){ WORD(7, 8, 4, NONE), head }, ranked, 3) == WORD(7, 8, 4, 9));
	assert_true(alternates_guess(&(struct shunt_alternates){ WORD(7, 8, 4, 1), head }, ranked, 3) == WORD(7, 8, 4, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_owner_comes_first_and_the_oldest_falls_out),
		cmocka_unit_test(who_is_remembered_already_moves_to_the_front),
		cmocka_unit_test(who_may_have_no_flows_is_forgotten),
		cmocka_unit_test(the_ranking_begins_with_who_owns_the_slot_when_all_live),
		cmocka_unit_test(a_short_ranking_leaves_places_empty),
		cmocka_unit_test(where_nobody_is_remembered_the_next_in_the_ranking_are_guessed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
