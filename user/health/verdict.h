/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From single checks to a verdict: the first check decides alone, later it takes `fall` or `rise` in a row. Pure. */
#ifndef HEALTH_VERDICT_H
#define HEALTH_VERDICT_H

#include "model/model.h"

struct verdict {
	enum state state; /* STATE_UNKNOWN, STATE_HEALTHY or STATE_UNHEALTHY */
	bool decided; /* a check has ended: from now on streaks count */
	unsigned streak; /* checks in a row that contradict the state */
};

/* Any other state to begin with is taken as unknown. */
struct verdict verdict_from(enum state initial);

bool verdict_contradicts(const struct verdict *v, bool passed);

/* Takes in the result of one check; fall or rise 0 count as 1. Returns whether the state changed. */
bool verdict_note(struct verdict *v, bool passed, unsigned fall, unsigned rise);

#endif
