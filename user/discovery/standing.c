/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/clock.h"
#include "discovery/standing.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

const char *const found_state_names[N_FOUND_STATES] = { "waiting", "current", "stale" };

static bool enter(struct standing *s, enum found_state state)
{
	if (s->state == state)
		return false;
	s->state = state;
	s->since_ms = realtime_ms();
	return true;
}

bool standing_good(struct standing *s)
{
	s->answers++;
	s->heard_ms = realtime_ms();
	s->problem[0] = '\0';
	return enter(s, FOUND_CURRENT);
}

bool standing_bad(struct standing *s, bool has_set, const char *fmt, va_list args)
{
	bool first = !s->problem[0];

	s->problems++;
	vsnprintf(s->problem, sizeof(s->problem), fmt, args);
	text_clean(s->problem);
	return has_set ? enter(s, FOUND_STALE) : first;
}
