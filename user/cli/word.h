/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Words of the command line may be cut short, as long as only one is meant. Pure. */
#ifndef CLI_WORD_H
#define CLI_WORD_H

#include <stdbool.h>
#include <stddef.h>

enum { WORD_UNKNOWN = -1, WORD_AMBIGUOUS = -2 };

/*
 * Number of the word that text means, of n in a table: name(table, i) is the i-th. A whole word wins over those that
 * begin with it.
 */
int word_find(const char *text, const void *table, size_t n, const char *(*name)(const void *table, size_t i));

/* The words that begin with text, "delete, disable, drain", cut to size. Returns out. */
char *word_list(const char *text, const void *table, size_t n, const char *(*name)(const void *table, size_t i),
		char *out, size_t size);

#endif
