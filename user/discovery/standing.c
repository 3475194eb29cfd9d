/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/standing.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

const char *const found_state_names[N_FOUND_STATES] = { "waiting", "current", "partial", "stale" };

uint32_t standing_calm_ms = 60000;

static bool enter(struct standing *s, enum found_state state)
{
	if (s->state == state)
		return false;
	s->state = state;
	s->since_ms = realtime_ms();
	return true;
}

/* Times and addresses change from one attempt to the next, and the reason is the same. */
static bool same_but_for_numbers(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (isdigit((unsigned char)*a))
			a++;
		while (isdigit((unsigned char)*b))
			b++;
		if (*a != *b)
			return false;
		if (!*a)
			return true;
	}
}

/* Attempts that take turns may fail in several ways: each is said, but not all of them each time. */
static bool is_news(struct standing *s, bool entered)
{
	uint64_t now = monotonic_ms();

	if (!entered && s->told[0] && (same_but_for_numbers(s->told, s->problem) || now - s->told_ms < standing_calm_ms))
		return false;
	memcpy(s->told, s->problem, sizeof(s->told));
	s->told_ms = now;
	return true;
}

bool standing_good(struct standing *s, const char *wrong)
{
	bool entered;

	s->answers++;
	s->heard_ms = realtime_ms();
	snprintf(s->problem, sizeof(s->problem), "%s", wrong ?: "");
	entered = enter(s, wrong ? FOUND_PARTIAL : FOUND_CURRENT);
	return wrong || entered ? is_news(s, entered) : false;
}

bool standing_bad(struct standing *s, bool has_set, const char *fmt, va_list args)
{
	s->problems++;
	vsnprintf(s->problem, sizeof(s->problem), fmt, args);
	text_clean(s->problem);
	return is_news(s, has_set && enter(s, FOUND_STALE));
}
