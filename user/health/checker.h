/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a kind of check is to the schedule: something that can be started, ends once with an outcome, or is stopped.
 * One file a kind; when, how often and what follows from it is decided in health.c.
 */
#ifndef HEALTH_CHECKER_H
#define HEALTH_CHECKER_H

#include <event2/event.h>

#include "model/model.h"

struct outcome {
	/* PUT_OFF: this host could not check (no descriptor, no local port), which says nothing about the backend */
	enum { OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_PUT_OFF } kind;
	char why[128]; /* in plain words; "" when it passed */
};

/* Called once for each check that is not stopped, never from in start; the check is gone by then. */
typedef void (*checker_done_fn)(void *arg, const struct outcome *outcome);

struct checker {
	/* State shared by all checks of this kind in one loop; *shared may stay NULL. */
	int (*open)(struct event_base *base, void **shared);
	void (*close)(void *shared); /* no check is under way any more */
	/* at: where to connect to, with its port. at and c outlive the check. 0 or -errno: it did not start. */
	int (*start)(struct event_base *base, void *shared, const struct endpoint *at, const struct check *c,
		     checker_done_fn done, void *arg, void **run);
	void (*stop)(void *run); /* done is not called */
};

extern const struct checker checker_tcp, checker_http;

/*
 * A non-blocking TCP socket that is closed by a reset. Who closes first otherwise keeps the pair of ports in TIME_WAIT
 * for a minute: at a check every two seconds that is 30 ports of each backend, always, and hundreds of thousands of
 * entries in the kernel with thousands of backends. At the end of a check nothing is in flight that a reset could
 * destroy. Returns the descriptor or -errno.
 */
int checker_socket(int family);

/* Is this errno about this host (descriptors, memory, local ports) and not about the backend? */
bool checker_errno_is_ours(int err);

/* Is this a connection of a socket with itself? Happens on an own port that nobody listens on, if it is ephemeral. */
bool checker_connected_to_itself(int fd);

/* err 0: passed; an errno of ours: put off; any other: failed. */
void outcome_from_errno(struct outcome *o, int err);
void outcome_failed(struct outcome *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Failed for want of time: "WHAT within 1 s". */
void outcome_timed_out(struct outcome *o, const char *what, uint32_t timeout_ms);

#endif
