/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A loop that runs until something is so, or for a while. */
#ifndef TESTS_UNTIL_H
#define TESTS_UNTIL_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/clock.h"

#define DEADLINE_S 10

static inline double now_s(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1e9;
}

static inline void until_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

/* Is it so within so many seconds? Asked after whatever the loop does, and every millisecond. */
#define loop_within(base, seconds, condition) \
	({ \
		struct event *tick_ = event_new(base, -1, EV_PERSIST, until_tick, NULL); \
		double end_ = now_s() + (seconds); \
		bool so_; \
		event_add(tick_, &(struct timeval){ .tv_usec = 1000 }); \
		while (!(so_ = (condition)) && now_s() < end_) \
			event_base_loop(base, EVLOOP_ONCE); \
		event_free(tick_); \
		so_; \
	})
#define loop_until(base, condition) loop_within(base, DEADLINE_S, condition)

static inline void loop_for(struct event_base *base, double seconds)
{
	double end = now_s() + seconds;

	(void)loop_until(base, now_s() >= end);
}

#endif
