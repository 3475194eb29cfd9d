/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "config/mistake.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clean.h"

/* Bytes of a control character at text: the C0 set and DEL are one byte, the C1 set two in UTF-8; 0: none. */
static size_t control_length(const unsigned char *text)
{
	if (*text < 0x20 || *text == 0x7f)
		return 1;
	return *text == 0xc2 && text[1] >= 0x80 && text[1] < 0xa0 ? 2 : 0;
}

static void remove_controls(char *text)
{
	char *to = text;
	size_t control;

	while (*text) {
		control = control_length((const unsigned char *)text);
		*to++ = control ? '?' : *text;
		text += control ? control : 1;
	}
	*to = '\0';
}

void mistake(struct mistakes *m, size_t line, const char *fmt, ...)
{
	struct mistake *new;
	va_list args;

	if (m->n++ >= MISTAKES_MAX)
		return;
	new = &m->list[m->n - 1];
	new->line = line;
	new->order = m->n;
	va_start(args, fmt);
	if (vasprintf(&new->sentence, fmt, args) < 0) {
		new->sentence = NULL;
		m->error = -ENOMEM;
	} else {
		remove_controls(new->sentence);
	}
	va_end(args);
}

bool mistakes_full(const struct mistakes *m)
{
	return m->error || m->n > MISTAKES_MAX;
}

static int by_line(const void *a, const void *b)
{
	const struct mistake *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static size_t mistakes_listed(const struct mistakes *m)
{
	return m->n < MISTAKES_MAX ? m->n : MISTAKES_MAX;
}

static void report_one(const char *name, const struct mistake *x, config_error_fn report, void *arg)
{
	_cleanup_free_ char *line = NULL;
	int n;

	if (x->line)
		n = asprintf(&line, "%s:%zu: %s", name, x->line, x->sentence);
	else
		n = asprintf(&line, "%s: %s", name, x->sentence);
	if (n < 0)
		line = NULL;
	report(arg, line ? line : x->sentence);
}

void mistakes_report(struct mistakes *m, const char *name, config_error_fn report, void *arg)
{
	struct mistake more = { .sentence = "there are more mistakes than are listed here; mend these first" };

	qsort(m->list, mistakes_listed(m), sizeof(m->list[0]), by_line);
	for (size_t i = 0; i < mistakes_listed(m); i++)
		report_one(name, &m->list[i], report, arg);
	if (m->n > MISTAKES_MAX)
		report_one(name, &more, report, arg);
}

void mistakes_clear(struct mistakes *m)
{
	for (size_t i = 0; i < mistakes_listed(m); i++)
		free(m->list[i].sentence);
	memset(m, 0, sizeof(*m));
}

const char *shown(const char *text, char out[SHOWN_MAX])
{
	static const char dots[] = "...";
	size_t n = strnlen(text, SHOWN_MAX);

	if (n == SHOWN_MAX) {
		n -= sizeof(dots);
		while (n && (text[n] & 0xc0) == 0x80) /* cut, but not within a character of UTF-8 */
			n--;
		strcpy(out + n, dots);
	} else {
		out[n] = '\0';
	}
	return memcpy(out, text, n);
}

#define WORD_MAX 32

static size_t min3(size_t a, size_t b, size_t c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

static unsigned char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/* Letters to add, drop, replace or swap with their neighbour (optimal string alignment). Both below WORD_MAX. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1], la = strlen(a), lb = strlen(b);

	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			bool same = lower(a[i - 1]) == lower(b[j - 1]);

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
				row[j] = min3(row[j], above2[j - 2] + 1, row[j]);
		}
	}
	return rows[la % 3][lb];
}

/* "drain" for "draining" */
static bool is_beginning(const char *word, size_t len, const char *name)
{
	return len >= 3 && !strncasecmp(word, name, len);
}

const char *nearest(const char *word, const char *const *names, size_t n)
{
	size_t len = strlen(word), limit = len < 4 ? 1 : len < 8 ? 2 : 3, best = limit + 1, d;
	const char *found = NULL;

	if (len >= WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		d = is_beginning(word, len, names[i]) ? 0 : distance(word, names[i]);
		if (d < best && d < strlen(names[i])) {
			best = d;
			found = names[i];
		}
	}
	return found;
}
