/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A finder that only notes what a source tells it, and a loop that runs until something was told. */
#ifndef TESTS_HEARD_H
#define TESTS_HEARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "discovery/source.h"
#include "until.h"

struct finder {
	unsigned answers, sames, problems;
	bool answered; /* since the last problem */
	double answered_s; /* when the last answer came */
	size_t n; /* how many it has */
	char *set; /* "10.0.0.1:80*100 10.0.0.2:80*50": in the source's order */
	char version[64], note[1024];
	char problem[1600]; /* "" again after an answer, unless that says what is wrong with it */
	bool wrong; /* of the last answer */
	struct backend before[8]; /* the set that is in force, unless it is larger */
	size_t n_before;
	bool has_before;
};

static struct event_base *base;
static char last_problem[1600]; /* of any finder, for the words of a test that fails */

void found(struct finder *f, const struct answer *a)
{
	char text[ENDPOINT_TEXT];
	size_t len;
	FILE *out;

	free(f->set);
	out = open_memstream(&f->set, &len);
	for (size_t i = 0; i < a->n; i++)
		fprintf(out, "%s%s*%u", i ? " " : "", endpoint_format(&a->backends[i].at, text), a->backends[i].weight);
	fclose(out);
	snprintf(f->version, sizeof(f->version), "%s", a->version ?: "");
	snprintf(f->note, sizeof(f->note), "%s", a->wrong ? "" : a->note ?: "");
	snprintf(f->problem, sizeof(f->problem), "%s", a->wrong ? a->note : "");
	f->wrong = a->wrong;
	f->answers++;
	f->answered = true;
	f->n = a->n;
	f->has_before = true;
	f->n_before = a->n <= 8 ? a->n : 0;
	if (f->n_before)
		memcpy(f->before, a->backends, a->n * sizeof(*a->backends));
	f->answered_s = now_s(); /* behind all that is done here, which is none of the source's time */
}

void found_same(struct finder *f)
{
	if (!f->wrong)
		f->problem[0] = '\0';
	f->sames++;
}

void found_problem(struct finder *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->problem, sizeof(f->problem), fmt, args);
	va_end(args);
	memcpy(last_problem, f->problem, sizeof(last_problem));
	f->problems++;
	f->answered = false;
}

const struct backend *found_before(const struct finder *f, size_t *n)
{
	*n = f->has_before ? f->n_before : 0;
	return f->has_before ? f->before : NULL;
}

/* Fails the test if it is not so in time. */
#define run_within(seconds, condition) \
	do { \
		if (!loop_within(base, seconds, condition)) \
			fail_msg("not so in time: %s (last problem: %s)", #condition, last_problem); \
	} while (0)
#define run_until(condition) run_within(DEADLINE_S, condition)

static inline void run_for(double seconds)
{
	loop_for(base, seconds);
}

#endif
