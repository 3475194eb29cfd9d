/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "health/verdict.h"

struct verdict verdict_from(enum state initial)
{
	bool known = initial == STATE_HEALTHY || initial == STATE_UNHEALTHY;

	return (struct verdict){ .state = known ? initial : STATE_UNKNOWN };
}

bool verdict_contradicts(const struct verdict *v, bool passed)
{
	return v->state != (passed ? STATE_HEALTHY : STATE_UNHEALTHY);
}

bool verdict_note(struct verdict *v, bool passed, unsigned fall, unsigned rise)
{
	unsigned needed = v->decided ? (passed ? rise : fall) : 1;

	v->decided = true;
	if (!verdict_contradicts(v, passed)) {
		v->streak = 0;
		return false;
	}
	if (++v->streak < needed)
		return false;
	v->streak = 0;
	v->state = passed ? STATE_HEALTHY : STATE_UNHEALTHY;
	return true;
}
