/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is wrong with a file: collected with lines while it is read, handed over in the order of the lines. */
#ifndef CONFIG_MISTAKE_H
#define CONFIG_MISTAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

#define MISTAKES_MAX 100 /* nobody reads more; what comes after is counted */

struct mistake {
	size_t line; /* from 1; 0: no line is to blame */
	size_t order; /* mistakes of one line stay in the order in which they were found */
	char *sentence;
};

struct mistakes {
	struct mistake list[MISTAKES_MAX];
	size_t n; /* found; may be more than are in the list */
	int error; /* -ENOMEM once memory ran out: then nothing in here is to be trusted */
};

/* Control characters in the sentence (from the user's text) become '?': it is one line, and harmless on a terminal. */
void mistake(struct mistakes *m, size_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool mistakes_full(const struct mistakes *m); /* more need not be looked for */
void mistakes_report(struct mistakes *m, const char *name, config_error_fn report, void *arg);
void mistakes_clear(struct mistakes *m);

/* The user's text as it may stand in a sentence: not endless. Lives until the block ends. */
#define SHOWN_MAX 80
#define SHOWN(text) shown(text, (char[SHOWN_MAX]){ 0 })
const char *shown(const char *text, char out[SHOWN_MAX]);

/* The name of the n that the word was most likely meant to be; NULL: none is near. */
const char *nearest(const char *word, const char *const *names, size_t n);

#endif
