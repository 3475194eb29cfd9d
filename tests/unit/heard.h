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
#include <time.h>

#include "discovery/source.h"

#define DEADLINE_S 10

struct finder {
	unsigned answers, sames, problems;
	char *set; /* "10.0.0.1:80*100 10.0.0.2:80*50": in the source's order */
	char version[64], note[1024], problem[1024]; /* problem: "" again after an answer */
	bool before; /* there is a set from before the start */
};

static struct event_base *base;

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

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
	snprintf(f->note, sizeof(f->note), "%s", a->note ?: "");
	f->problem[0] = '\0';
	f->answers++;
	f->before = true;
}

void found_same(struct finder *f)
{
	f->problem[0] = '\0';
	f->sames++;
}

void found_problem(struct finder *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->problem, sizeof(f->problem), fmt, args);
	va_end(args);
	f->problems++;
}

bool found_before(const struct finder *f)
{
	return f->before;
}

static inline void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

/* Runs the loop until the condition holds, and fails the test if it never does. */
#define run_until(condition) \
	do { \
		struct event *tick_ = event_new(base, -1, EV_PERSIST, on_tick, NULL); \
		double end_ = now_s() + DEADLINE_S; \
		event_add(tick_, &(struct timeval){ .tv_usec = 2000 }); \
		while (!(condition) && now_s() < end_) \
			event_base_loop(base, EVLOOP_ONCE); \
		event_free(tick_); \
		assert_true(condition); \
	} while (0)

static inline void run_for(double seconds)
{
	double end = now_s() + seconds;

	run_until(now_s() >= end);
}

#endif
