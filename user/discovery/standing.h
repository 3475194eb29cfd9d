/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How things stand between us and a source, about one question: waiting, current, partial or stale, since when and why. */
#ifndef DISCOVERY_STANDING_H
#define DISCOVERY_STANDING_H

#include <stdarg.h>

#include "discovery/discovery.h"

#define PROBLEM_TEXT 512

struct standing {
	enum found_state state;
	uint64_t since_ms, heard_ms; /* CLOCK_REALTIME */
	char problem[PROBLEM_TEXT]; /* "": none */
	char told[PROBLEM_TEXT]; /* the problem that was news last */
	uint64_t told_ms; /* CLOCK_MONOTONIC */
	uint64_t answers, problems;
};

extern uint32_t standing_calm_ms; /* between news of one state; tests are more impatient */

/* Each returns whether that is news: another state, or, but seldom, another problem (numbers in it apart). */
bool standing_good(struct standing *s, const char *wrong); /* an answer was believed, or confirmed, but for what is wrong; NULL: all */
bool standing_bad(struct standing *s, bool has_set, const char *fmt, va_list args); /* without a set nothing can be stale */

#endif
