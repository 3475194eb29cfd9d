/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* discovery/json_scan: single values, and whether it takes the same for JSON as jansson does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "discovery/json_scan.h"

static struct scan scan_of(const char *text)
{
	return (struct scan){ .at = text, .end = text + strlen(text) };
}

/* Is it one value, and nothing else? */
static bool takes(const char *text, size_t len)
{
	/* exactly as long as it says, for the sanitizer */
	_cleanup_free_ char *exact = malloc(len ?: 1);
	struct scan s = { .at = exact, .end = exact + len };

	memcpy(exact, text, len);
	scan_skip(&s);
	scan_end(&s);
	return !s.bad;
}

static void assert_text(const char *json, const char *expected)
{
	struct scan s = scan_of(json);
	char text[16];

	scan_text(&s, text, sizeof(text));
	scan_end(&s);
	assert_false(s.bad);
	assert_string_equal(text, expected);
}

static void strings_are_unescaped_and_cut_to_fit(void **state)
{
	(void)state;
	assert_text(" \"web\" ", "web");
	assert_text("\"\"", "");
	assert_text("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz");
	assert_text("\"\\u0041\\u00e4\\u20AC\\ud83d\\ude00\"", "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_text("\"a\\u0000b\"", "a?b");
	assert_text("\"0123456789012345678901234567890\"", "012345678901234");
	assert_text("\"\xc3\xa4\"", "\xc3\xa4");
}

static void assert_integer(const char *json, bool fits, int64_t expected)
{
	struct scan s = scan_of(json);
	int64_t n;

	assert_int_equal(scan_integer(&s, &n), fits);
	if (fits)
		assert_true(n == expected);
	scan_end(&s);
	assert_false(s.bad);
}

static void integers_are_read_as_far_as_they_fit(void **state)
{
	(void)state;
	assert_integer("0", true, 0);
	assert_integer(" -17 ", true, -17);
	assert_integer("9223372036854775807", true, INT64_MAX);
	assert_integer("-9223372036854775808", true, INT64_MIN);
	assert_integer("9223372036854775808", false, 0);
	assert_integer("-9223372036854775809", false, 0);
	assert_integer("1.0", false, 0);
	assert_integer("1e3", false, 0);
}

static void members_and_items_are_walked_over(void **state)
{
	struct scan s = scan_of("{\"skip\":{\"a\":[1,{},[]]},\"list\":[1,2,3],\"no\\u006ee\":[],\"o\":{}}");
	char key[8], seen[64] = "";
	int64_t n, sum = 0;

	(void)state;
	for (bool more = scan_open(&s, '{'); more; more = scan_more(&s, '}')) {
		scan_key(&s, key, sizeof(key));
		strcat(strcat(seen, key), " ");
		if (strcmp(key, "list") != 0)
			scan_skip(&s);
		else
			for (bool item = scan_open(&s, '['); item; item = scan_more(&s, ']'))
				sum += scan_integer(&s, &n) ? n : 100;
	}
	scan_end(&s);
	assert_false(s.bad);
	assert_string_equal(seen, "skip list none o ");
	assert_int_equal(sum, 6);
	assert_int_equal(s.depth, 0);
}

static void after_a_mistake_nothing_is_read_any_more(void **state)
{
	struct scan s = scan_of("[1,2,}");
	unsigned items = 0;
	int64_t n;

	(void)state;
	for (bool more = scan_open(&s, '['); more; more = scan_more(&s, ']'))
		items += scan_integer(&s, &n);
	assert_int_equal(items, 2);
	assert_true(s.bad);
	assert_int_equal(scan_peek(&s), 0);
	assert_false(scan_open(&s, '{'));
	assert_false(scan_integer(&s, &n));
}

static void what_is_nested_too_deeply_is_refused(void **state)
{
	char text[4 * SCAN_DEPTH];

	(void)state;
	memset(text, '[', SCAN_DEPTH);
	memset(text + SCAN_DEPTH, ']', SCAN_DEPTH);
	assert_true(takes(text, 2 * SCAN_DEPTH));
	memset(text, '[', SCAN_DEPTH + 1);
	memset(text + SCAN_DEPTH + 1, ']', SCAN_DEPTH + 1);
	assert_false(takes(text, 2 * SCAN_DEPTH + 2));
	memset(text, '[', sizeof(text));
	assert_false(takes(text, sizeof(text)));
}

static const char *const words[] = {
	"", " ", "0", "-0", "-", "01", "1.", ".5", "1.5e", "1.5e+", "1.5E-3", "+1", "1 2", "0x1", "NaN", "true", "tru", "truex",
	"false", "null", "nul", "\"\"", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u123g\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
	"\"\\udc00\"", "\"\t\"", "\"\x7f\"", "[]", "[", "]", "[,]", "[1,]", "[1 2]", "[1,,2]", "[[]", "[]]", "{}", "{", "}", "{1:2}",
	"{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{\"a\" : 1 , \"b\":[true,false,null]}", "[1}", "{\"a\":1]", "'a'",
	"[1]//", "\v1", "[\n\t\r 1 ]",
};

static bool jansson_takes(const char *text, size_t len)
{
	json_t *j = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);

	json_decref(j);
	return j;
}

static void the_same_is_json_as_elsewhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (takes(words[i], strlen(words[i])) != jansson_takes(words[i], strlen(words[i])))
			fail_msg("differs: %s", words[i]);
	assert_false(takes("1\0", 2));
	assert_false(takes("\0", 1));
}

/* Texts of the bytes that matter, in any order; those that are JSON often enough are short. */
static void random_texts_are_judged_as_elsewhere(void **state)
{
	static const char bytes[] = "[]{},:\"\"\\u0d1e.-+ tfn\n";
	unsigned taken = 0;
	char text[8];

	(void)state;
	srandom(7);
	for (int i = 0; i < 300000; i++) {
		size_t len = random() % sizeof(text);

		for (size_t k = 0; k < len; k++)
			text[k] = bytes[random() % (sizeof(bytes) - 1)];
		if (takes(text, len) != jansson_takes(text, len))
			fail_msg("differs: %.*s", (int)len, text);
		taken += takes(text, len);
	}
	assert_true(taken > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_unescaped_and_cut_to_fit),
		cmocka_unit_test(integers_are_read_as_far_as_they_fit),
		cmocka_unit_test(members_and_items_are_walked_over),
		cmocka_unit_test(after_a_mistake_nothing_is_read_any_more),
		cmocka_unit_test(what_is_nested_too_deeply_is_refused),
		cmocka_unit_test(the_same_is_json_as_elsewhere),
		cmocka_unit_test(random_texts_are_judged_as_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
