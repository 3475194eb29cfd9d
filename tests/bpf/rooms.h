/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rooms of the daemon in the test's own process, on one loop, as shuntd wires them. */
#ifndef TESTS_ROOMS_H
#define TESTS_ROOMS_H

#include <event2/event.h>

#include "config/config.h"
#include "datapath/datapath.h"
#include "datapath/nexthop.h"
#include "health/health.h"
#include "reconcile/reconcile.h"

struct rooms {
	struct event_base *base;
	struct datapath *dp;
	struct health *health;
	struct nexthops *nexthops;
	struct reconcile *r;
};

/* A configuration from its text; the test fails, and says why, if it is none. */
struct config *rooms_parse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void rooms_open(struct rooms *w, const struct config *c); /* with the pins and limits of c, adopting what is there */
void rooms_close(struct rooms *w); /* what is pinned stays */
void rooms_run(const struct rooms *w, unsigned ms); /* the loop, for so long */

/* A fresh network namespace with v0, 10.9.0.1/16, one end of a veth pair, where 10.9.0.2 to 10.9.0.last answer. */
void rooms_network(unsigned last);

#endif
