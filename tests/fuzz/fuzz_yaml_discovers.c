/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Questions to sources by themselves: each is equal to its copy, and has a key and a text. */
#include <errno.h>

#include "config/config.h"
#include "fuzz.h"

static void say(void *arg, const char *sentence)
{
	must(!strncmp(sentence, "fuzz", 4) && !strchr(sentence, '\n'));
	++*(unsigned *)arg;
}

static void check(const struct discover *d)
{
	_cleanup_(discover_clear) struct discover copy = {};
	_cleanup_free_ char *key = discover_key(d), *of_copy = NULL;
	char text[DISCOVER_TEXT];

	must((unsigned)d->kind < N_SOURCE_KINDS && key);
	must(!discover_copy(d, &copy) && discover_equal(d, &copy));
	of_copy = discover_key(&copy);
	must(of_copy && !strcmp(key, of_copy));
	must(discover_format(d, text) == text && strlen(text) < sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ struct discover *list = NULL;
	size_t n = 0;
	unsigned said = 0;
	int err = config_parse_discovers("fuzz", (const char *)data, size, say, &said, &list, &n);

	must(err ? err == -EINVAL && said && !list && !n : !said && n <= size);
	for (size_t i = 0; i < n; i++) {
		check(&list[i]);
		for (size_t j = 0; j < i && j < 32; j++) {
			_cleanup_free_ char *a = discover_key(&list[i]), *b = discover_key(&list[j]);

			must(discover_equal(&list[i], &list[j]) == !strcmp(a, b));
		}
	}
	for (size_t i = 0; i < n; i++)
		discover_clear(&list[i]);
	return 0;
}
