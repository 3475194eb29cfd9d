/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* When a check is due. Pure: chance is handed in, as 64 random bits. */
#ifndef HEALTH_SPREAD_H
#define HEALTH_SPREAD_H

#include <stdint.h>

/*
 * Delay by which a target's checks find their place in the interval. *spread begins with random bits and is shared by
 * all targets: steps by the golden ratio from a random beginning fall evenly into the interval, however many targets
 * there are, and several balancers do not check in step.
 */
uint64_t spread_first_us(uint64_t *spread, uint32_t interval_ms);

/*
 * Delay of the first check of a target that nothing is known about: at once, after `ahead` others that wait for theirs,
 * a thousand a second; where that is longer than the interval, anywhere in it.
 */
uint64_t spread_unknown_us(uint32_t ahead, uint64_t *spread, uint32_t interval_ms);

/* Delay of the next check: an interval, 5 % more or less, from the start of the last one on, which was gone_us ago. */
uint64_t spread_next_us(uint64_t random, uint32_t interval_ms, uint64_t gone_us);

#endif
