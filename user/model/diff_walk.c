/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/diff_walk.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/duration.h"

void diff_subject(struct diff_walk *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(w->subject, sizeof(w->subject), fmt, args);
	va_end(args);
}

void diff_say(struct diff_walk *w, enum diff_kind kind, const char *from, const char *to)
{
	struct diff d = { .kind = kind, .subject = w->subject, .from = from, .to = to };

	w->fn(w->arg, &d);
}

void diff_text_field(struct diff_walk *w, const char *from, const char *to)
{
	if (from && to ? strcmp(from, to) : from != to)
		diff_say(w, DIFF_CHANGED, from ?: "none", to ?: "none");
}

void diff_number_field(struct diff_walk *w, const char *key, uint64_t from, uint64_t to)
{
	char a[24], b[24];

	snprintf(a, sizeof(a), "%" PRIu64, from);
	snprintf(b, sizeof(b), "%" PRIu64, to);
	diff_subject(w, "%s", key);
	diff_text_field(w, a, b);
}

void diff_duration_field(struct diff_walk *w, const char *key, uint64_t from, uint64_t to)
{
	char a[DURATION_TEXT], b[DURATION_TEXT];

	diff_subject(w, "%s", key);
	diff_text_field(w, duration_format(from, a), duration_format(to, b));
}

void diff_texts(struct diff_walk *w, const char *what, const struct texts *from, const struct texts *to)
{
	size_t i = 0, j = 0;

	while (i < from->n || j < to->n) {
		int order = i == from->n ? 1 : j == to->n ? -1 : strcmp(from->list[i], to->list[j]);

		diff_subject(w, "%s %s", what, order <= 0 ? from->list[i] : to->list[j]);
		if (order)
			diff_say(w, order < 0 ? DIFF_REMOVED : DIFF_ADDED, NULL, NULL);
		i += order <= 0;
		j += order >= 0;
	}
}
