/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* base64, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "base/clean.h"

/* RFC 4648, section 10, and bytes that need the last letters. */
static const struct {
	const char *bytes, *text;
} pairs[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
	{ "\xff\xfe\xfb", "//77" },
	{ "\xfb\xef\xbe", "++++" },
};

static void bytes_become_text_and_bytes_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		_cleanup_free_ char *text = base64_encode(pairs[i].bytes, strlen(pairs[i].bytes));
		_cleanup_free_ uint8_t *bytes = NULL;
		size_t n;

		assert_string_equal(text, pairs[i].text);
		assert_int_equal(base64_decode(text, strlen(text), &bytes, &n), 0);
		assert_int_equal(n, strlen(pairs[i].bytes));
		assert_memory_equal(bytes, pairs[i].bytes, n);
		assert_int_equal(bytes[n], 0);
	}
}

static void every_byte_survives(void **state)
{
	_cleanup_free_ uint8_t *back = NULL;
	_cleanup_free_ char *text = NULL;
	uint8_t all[256];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = i;
	text = base64_encode(all, sizeof(all));
	assert_int_equal(base64_decode(text, strlen(text), &back, &n), 0);
	assert_int_equal(n, sizeof(all));
	assert_memory_equal(back, all, n);
}

static void what_is_no_base64_is_refused(void **state)
{
	static const char *const texts[] = { "Z",    "Zg",   "Zg=",  "Zg===",    "=",    "====",   "Z===",
					     "Zm=v", "Zh==", "Zm9=", "Zm9v Zm9", "Zm-_", "Zm9v\n", "Zm9\x80" };
	uint8_t *bytes = NULL;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(base64_decode(texts[i], strlen(texts[i]), &bytes, &n), -EINVAL);
	assert_int_equal(base64_decode("Zm\0v", 4, &bytes, &n), -EINVAL);
	assert_null(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_become_text_and_bytes_again),
		cmocka_unit_test(every_byte_survives),
		cmocka_unit_test(what_is_no_base64_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
