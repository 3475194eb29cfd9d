/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How things stand between us and a source, about one question: waiting, current or stale, since when and why. */
#ifndef DISCOVERY_STANDING_H
#define DISCOVERY_STANDING_H

#include <stdarg.h>

#include "discovery/discovery.h"

#define PROBLEM_TEXT 512

struct standing {
	enum found_state state;
	uint64_t since_ms, heard_ms; /* CLOCK_REALTIME */
	char problem[PROBLEM_TEXT]; /* "": none */
	uint64_t answers, problems;
};

/* Each returns whether that is news: another state, or, while waiting, the first problem. */
bool standing_good(struct standing *s); /* an answer was believed, or confirmed */
bool standing_bad(struct standing *s, bool has_set, const char *fmt, va_list args); /* without a set nothing can be stale */

#endif
