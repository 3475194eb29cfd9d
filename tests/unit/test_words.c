/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cli/word: words of the command line cut short. The command is no part of the library, so its file is taken in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/word.c"

static const char *const words[] = { "list", "show", "add", "delete", "drain", "disable", "drainage" };
#define N (sizeof(words) / sizeof(words[0]))

static const char *word(const void *table, size_t i)
{
	return ((const char *const *)table)[i];
}

static void a_prefix_of_one_word_means_it(void **state)
{
	(void)state;
	assert_int_equal(word_find("l", words, N, word), 0);
	assert_int_equal(word_find("del", words, N, word), 3);
	assert_int_equal(word_find("disable", words, N, word), 5);
}

static void a_prefix_of_several_words_is_ambiguous_and_names_them(void **state)
{
	char text[64];

	(void)state;
	assert_int_equal(word_find("d", words, N, word), WORD_AMBIGUOUS);
	assert_string_equal(word_list("d", words, N, word, text, sizeof(text)), "delete, drain, disable, drainage");
}

static void a_whole_word_wins_over_longer_ones(void **state)
{
	(void)state;
	assert_int_equal(word_find("drain", words, N, word), 4);
	assert_int_equal(word_find("draina", words, N, word), 6);
}

static void what_is_no_prefix_is_unknown(void **state)
{
	(void)state;
	assert_int_equal(word_find("x", words, N, word), WORD_UNKNOWN);
	assert_int_equal(word_find("lists", words, N, word), WORD_UNKNOWN);
	assert_int_equal(word_find("", words, N, word), WORD_UNKNOWN);
	assert_int_equal(word_find("L", words, N, word), WORD_UNKNOWN);
}

static void a_list_is_cut_to_its_room(void **state)
{
	char text[8];

	(void)state;
	assert_string_equal(word_list("", words, N, word, text, sizeof(text)), "list, s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prefix_of_one_word_means_it),
		cmocka_unit_test(a_prefix_of_several_words_is_ambiguous_and_names_them),
		cmocka_unit_test(a_whole_word_wins_over_longer_ones),
		cmocka_unit_test(what_is_no_prefix_is_unknown),
		cmocka_unit_test(a_list_is_cut_to_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
