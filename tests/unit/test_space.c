/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reconcile/space.h"

static void runs_are_handed_out_first_fit(void **state)
{
	struct space s;
	uint32_t a, b, c;

	(void)state;
	assert_int_equal(space_init(&s, 10), 0);
	assert_int_equal(space_take(&s, 4, &a), 0);
	assert_int_equal(space_take(&s, 3, &b), 0);
	assert_int_equal(a, 0);
	assert_int_equal(b, 4);
	space_release(&s, a, 4);
	assert_int_equal(space_take(&s, 3, &c), 0);
	assert_int_equal(c, 0);
	assert_int_equal(s.used, 6);
	space_free(&s);
}

static void a_full_space_says_so_and_stays_as_it_is(void **state)
{
	struct space s;
	uint32_t a = 77;

	(void)state;
	assert_int_equal(space_init(&s, 8), 0);
	assert_int_equal(space_take(&s, 9, &a), -ENOSPC);
	assert_int_equal(space_take(&s, 8, &a), 0);
	a = 77;
	assert_int_equal(space_take(&s, 1, &a), -ENOSPC);
	assert_int_equal(a, 77);
	assert_int_equal(s.used, 8);
	space_free(&s);
}

static void a_claim_takes_exactly_these_or_nothing(void **state)
{
	struct space s;
	uint32_t a;

	(void)state;
	assert_int_equal(space_init(&s, 8), 0);
	assert_int_equal(space_claim(&s, 2, 3), 0);
	assert_int_equal(space_claim(&s, 4, 2), -EEXIST);
	assert_int_equal(space_claim(&s, 7, 2), -ERANGE);
	assert_int_equal(space_claim(&s, UINT32_MAX, 2), -ERANGE);
	assert_int_equal(s.used, 3);
	assert_int_equal(space_take(&s, 3, &a), 0);
	assert_int_equal(a, 5);
	assert_int_equal(space_take(&s, 2, &a), 0);
	assert_int_equal(a, 0);
	space_free(&s);
}

static void the_longest_free_run_is_what_can_be_taken(void **state)
{
	struct space s;
	uint32_t at;

	(void)state;
	assert_int_equal(space_init(&s, 8), 0);
	assert_int_equal(space_longest(&s), 8);
	assert_int_equal(space_claim(&s, 2, 1), 0);
	assert_int_equal(space_longest(&s), 5);
	assert_int_equal(space_claim(&s, 5, 1), 0);
	assert_int_equal(space_longest(&s), 2);
	assert_int_equal(space_take(&s, 2, &at), 0);
	assert_int_equal(space_take(&s, 2, &at), 0);
	assert_int_equal(space_take(&s, 2, &at), 0);
	assert_int_equal(space_longest(&s), 0);
	space_free(&s);
}

static void random_takes_and_releases_never_overlap(void **state)
{
	struct { uint32_t first, n; } held[16] = {};
	uint8_t owner[256] = {};
	unsigned seed = 1;
	struct space s;

	(void)state;
	assert_int_equal(space_init(&s, 256), 0);
	for (int i = 0; i < 20000; i++) {
		int k = rand_r(&seed) % 16;

		if (held[k].n) {
			memset(owner + held[k].first, 0, held[k].n);
			space_release(&s, held[k].first, held[k].n);
			held[k].n = 0;
		} else if (!space_take(&s, 1 + rand_r(&seed) % 40, &held[k].first)) {
			uint32_t used = s.used;

			for (int j = 0; j < 16; j++)
				used -= held[j].n;
			held[k].n = used;
			for (uint32_t at = held[k].first; at < held[k].first + held[k].n; at++)
				assert_int_equal(owner[at]++, 0);
		}
	}
	space_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_are_handed_out_first_fit),
		cmocka_unit_test(a_full_space_says_so_and_stays_as_it_is),
		cmocka_unit_test(a_claim_takes_exactly_these_or_nothing),
		cmocka_unit_test(the_longest_free_run_is_what_can_be_taken),
		cmocka_unit_test(random_takes_and_releases_never_overlap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
