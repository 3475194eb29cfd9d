/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Durations: what is understood, what is refused, and the shortest text for each. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clean.h"
#include "base/duration.h"

static void test_a_duration_is_a_whole_number_and_its_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = {
		{ "0s", 0 },
		{ "0ms", 0 },
		{ "10ms", 10 },
		{ "2s", 2000 },
		{ "90m", 90 * 60000 },
		{ "24h", 24 * 3600000 },
		{ "999999999h", 999999999ull * 3600000 },
	};
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(duration_parse(cases[i].text, &ms), 0);
		assert_true(ms == cases[i].ms);
	}
}

static void test_what_is_no_duration_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = { "", "5", "s", "1.5s", "-1s", "+1s", " 1s", "1 s", "1s ", "1d", "1S", "1sm" };
	uint64_t ms = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(duration_parse(bad[i], &ms), -EINVAL);
	assert_int_equal(duration_parse("1000000000s", &ms), -ERANGE);
	assert_int_equal(ms, 7);
}

static void test_a_duration_is_written_in_the_largest_unit_that_fits(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{ 0, "0s" },        { 1, "1ms" },        { 1500, "1500ms" },
		{ 30000, "30s" },   { 90000, "90s" },    { 300000, "5m" },
		{ 5400000, "90m" }, { 86400000, "24h" }, { UINT64_MAX, "18446744073709551615ms" },
	};
	char text[DURATION_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(duration_format(cases[i].ms, text), cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_duration_is_a_whole_number_and_its_unit),
		cmocka_unit_test(test_what_is_no_duration_is_refused_and_changes_nothing),
		cmocka_unit_test(test_a_duration_is_written_in_the_largest_unit_that_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
