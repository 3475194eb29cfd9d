/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A whole configuration: every text is answered with one that the model accepts, the same each time, or with
 * sentences of one line.
 */
#include <errno.h>

#include "config/config.h"
#include "fuzz.h"
#include "model/diff.h"

static void say(void *arg, const char *sentence)
{
	must(!strncmp(sentence, "fuzz", 4) && !strchr(sentence, '\n'));
	++*(unsigned *)arg;
}

static void on_fault(void *arg, const struct service *s, const struct backend *b, const struct announce *a,
		     const char *sentence)
{
	(void)arg;
	(void)s;
	(void)b;
	(void)a;
	fprintf(stderr, "accepted, but %s\n", sentence);
	abort();
}

static void on_difference(void *arg, const struct diff *d)
{
	char text[DIFF_TEXT];

	(void)arg;
	fprintf(stderr, "the second time: %s\n", diff_change(d, text));
	abort();
}

static struct config *parse(const uint8_t *data, size_t size)
{
	struct config *c = NULL;
	unsigned said = 0;
	int err = config_parse("fuzz", (const char *)data, size, say, &said, &c);

	must(err ? err == -EINVAL && said && !c : !said && c);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) struct config *c = parse(data, size), *again = NULL, *copy = NULL;

	if (!c)
		return 0;
	config_validate(c, on_fault, NULL);
	again = parse(data, size);
	config_diff(c, again, on_difference, NULL);
	copy = config_copy(c);
	config_diff(copy, c, on_difference, NULL);
	return 0;
}
