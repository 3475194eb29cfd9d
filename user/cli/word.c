/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/word.h"

#include <stdio.h>
#include <string.h>

static bool begins(const char *word, const char *text)
{
	return !strncmp(word, text, strlen(text));
}

int word_find(const char *text, const void *table, size_t n, const char *(*name)(const void *table, size_t i))
{
	int found = WORD_UNKNOWN;

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(name(table, i), text))
			return i;
		if (*text && begins(name(table, i), text))
			found = found == WORD_UNKNOWN ? (int)i : WORD_AMBIGUOUS;
	}
	return found;
}

char *word_list(const char *text, const void *table, size_t n, const char *(*name)(const void *table, size_t i),
		char *out, size_t size)
{
	size_t len = 0;

	*out = '\0';
	for (size_t i = 0; i < n; i++)
		if (begins(name(table, i), text) && len < size)
			len += snprintf(out + len, size - len, "%s%s", len ? ", " : "", name(table, i));
	return out;
}
