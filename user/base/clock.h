/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The two clocks: the monotonic one for how long, the real one for when, to be shown to people. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static inline uint64_t monotonic_ms(void) { return clock_ns(CLOCK_MONOTONIC) / 1000000; }
static inline uint64_t monotonic_us(void) { return clock_ns(CLOCK_MONOTONIC) / 1000; }
static inline uint64_t realtime_ms(void) { return clock_ns(CLOCK_REALTIME) / 1000000; } /* since 1970 */

#endif
