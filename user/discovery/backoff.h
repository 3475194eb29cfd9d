/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long to wait after a failure: from 100 ms on twice as long each time, 30 s at most, and at random between half of
 * it and all, so that many who lost the same server do not come back as one. Pure but for the random number.
 */
#ifndef DISCOVERY_BACKOFF_H
#define DISCOVERY_BACKOFF_H

#include <stdint.h>
#include <sys/time.h>

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 30000
#define BACKOFF_SHORT 5 /* failures */

extern uint32_t backoff_first_ms; /* BACKOFF_FIRST_MS. Tests are more impatient */

struct backoff {
	unsigned failures; /* in a row */
	unsigned servers; /* that are tried in turn; 0: one */
};

/* Notes a failure; how long to wait now: not long before each server failed as often. */
struct timeval backoff_next(struct backoff *b);
static inline void backoff_reset(struct backoff *b)
{
	b->failures = 0;
}
/* What is missing may be there at any moment, such as a new token in its file: the next wait is of 3.2 s at most. */
static inline void backoff_keep_short(struct backoff *b)
{
	unsigned most = BACKOFF_SHORT * (b->servers ?: 1);

	if (b->failures > most)
		b->failures = most;
}
uint32_t backoff_ms(unsigned failures, uint32_t random); /* failures from 1; random: any number */

#endif
