/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Active health checks: thousands of targets in one libevent loop, no threads. A verdict for each target: unknown until
 * its first check ends, which decides alone; then `fall` failures in a row make it unhealthy, `rise` successes healthy.
 * A target that nothing is known about is checked at once; then its checks find their place, evenly and at random, in
 * the interval, and keep their distance with a little jitter. One that is known has the first check in that place.
 * At most `under_way` checks run at once; those that are due wait in order.
 */
#ifndef HEALTH_HEALTH_H
#define HEALTH_HEALTH_H

#include <event2/event.h>

#include "model/model.h"

struct health;
struct health_target;

struct health_info {
	enum state state; /* STATE_UNKNOWN, STATE_HEALTHY or STATE_UNHEALTHY */
	uint64_t checks, failures; /* ended so far */
	double last_seconds; /* duration of the last check; 0: none ended yet */
	uint64_t since_ms; /* CLOCK_REALTIME of the last change of state; 0: none */
	unsigned streak; /* checks in a row that contradict the state */
	char last_error[128]; /* why the last check failed: "connection refused", "status 503, expected 200-399"; "": it passed */
};

/* The state changed (from unknown included). May add and remove targets, the one that calls included. */
typedef void (*health_change_fn)(void *arg, struct health_target *t, enum state now);

int health_new(struct event_base *base, uint32_t under_way, struct health **out);
void health_free(struct health *h); /* all targets must be removed before */
/* fn gets the socket of each check before it connects, of all schedules of the process. */
void health_on_socket(void (*fn)(void *arg, int fd), void *arg);
void health_set_under_way(struct health *h, uint32_t under_way);

/*
 * Starts to check `at` as c says (c is copied). initial: the state to begin with, e.g. what an earlier daemon left in
 * the kernel; the first check decides all the same. A check of CHECK_NONE is not accepted (-EINVAL).
 */
int health_add(struct health *h, const struct endpoint *at, const struct check *c, enum state initial,
	       health_change_fn changed, void *arg, struct health_target **out);
void health_remove(struct health_target *t); /* a check under way is dropped */
void health_query(const struct health_target *t, struct health_info *out);

#endif
