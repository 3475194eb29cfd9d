/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/expo.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *expo_content_type(bool openmetrics)
{
	return openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" :
			     "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- the text: up to millions of samples, so no printf on the way ---- */

#define LARGE_TEXT (4u << 20) /* bytes from which large pages are worth it */

/* Half of the time of a long text is its pages' first touch: in large pages it is a small part. A mere wish. */
static void large_pages(const struct expo *e)
{
	size_t page = sysconf(_SC_PAGESIZE), first = ((uintptr_t)e->data + e->len + page - 1) / page * page;
	size_t end = ((uintptr_t)e->data + e->room) / page * page;

	if (e->room >= LARGE_TEXT && first < end)
		madvise((void *)first, end - first, MADV_HUGEPAGE);
}

char *expo_reserve(struct expo *e, size_t n)
{
	size_t room = e->room ?: 1 << 16;
	char *grown;

	while (room < e->len + n)
		room *= 2;
	if (room == e->room)
		return e->data + e->len;
	grown = realloc(e->data, room);
	if (!grown) {
		e->failed = true;
		return NULL;
	}
	e->data = grown;
	e->room = room;
	large_pages(e);
	return e->data + e->len;
}

static void add_bytes(struct expo *e, const char *bytes, size_t n)
{
	char *to = expo_reserve(e, n);

	if (!to)
		return;
	memcpy(to, bytes, n);
	e->len += n;
}

static void add(struct expo *e, const char *text)
{
	add_bytes(e, text, strlen(text));
}

static void add_number(struct expo *e, uint64_t n)
{
	char text[24], *p = text + sizeof(text);

	do
		*--p = '0' + n % 10;
	while (n /= 10);
	add_bytes(e, p, text + sizeof(text) - p);
}

static void add_escaped(struct expo *e, const char *value)
{
	while (*value) {
		size_t plain = strcspn(value, "\\\"\n");

		add_bytes(e, value, plain);
		value += plain;
		if (!*value)
			break;
		add(e, *value == '\n' ? "\\n" : *value == '"' ? "\\\"" : "\\\\");
		value++;
	}
}

/* ---- families and samples ---- */

static const char *suffix(const struct expo *e)
{
	return e->type == EXPO_COUNTER ? "_total" : "";
}

static void add_family_line(struct expo *e, const char *what, const char *text)
{
	add(e, what);
	add(e, e->name);
	add(e, e->openmetrics ? "" : suffix(e));
	add(e, " ");
	add(e, text);
	add(e, "\n");
}

void expo_family(struct expo *e, enum expo_type type, const char *name, const char *help)
{
	e->name = name;
	e->type = type;
	add_family_line(e, "# HELP ", help);
	add_family_line(e, "# TYPE ", type == EXPO_COUNTER ? "counter" : "gauge");
}

static void add_name(struct expo *e, va_list labels)
{
	const char *label, *before = "{";

	add(e, e->name);
	add(e, suffix(e));
	while ((label = va_arg(labels, const char *))) {
		add(e, before);
		add(e, label);
		add(e, "=\"");
		add_escaped(e, va_arg(labels, const char *));
		add(e, "\"");
		before = ",";
	}
	add(e, *before == ',' ? "} " : " ");
}

void expo_count(struct expo *e, uint64_t value, ...)
{
	va_list labels;

	va_start(labels, value);
	add_name(e, labels);
	va_end(labels);
	add_number(e, value);
	add(e, "\n");
}

void expo_value(struct expo *e, double value, ...)
{
	char text[32];
	va_list labels;

	va_start(labels, value);
	add_name(e, labels);
	va_end(labels);
	if (isfinite(value))
		snprintf(text, sizeof(text), "%.12g\n", value);
	else
		snprintf(text, sizeof(text), "%s\n", isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
	add(e, text);
}

void expo_end(struct expo *e)
{
	if (e->openmetrics)
		add(e, "# EOF\n");
}
