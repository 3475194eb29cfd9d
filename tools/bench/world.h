/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The product as the daemon puts it together, in network namespaces and with pins of the bench's own:
 *
 *   near: bench0, with the programs  <-- veth -->  bench1, 10.255.0.2, the gateway to all backends :far
 */
#ifndef BENCH_WORLD_H
#define BENCH_WORLD_H

#include <event2/event.h>

#include "datapath/datapath.h"
#include "health/health.h"
#include "reconcile/reconcile.h"

#define WORLD_PINS "/sys/fs/bpf/shunt-bench"
#define WORLD_FAR "10.255.0" /* .2 to .254 are answered for by the far namespace */

struct world {
	struct event_base *base;
	struct datapath *dp;
	struct health *health;
	struct nexthops *nexthops;
	struct reconcile *reconcile;
	uint32_t known; /* backends in the kernel, from the first on, that have a next hop */
};

/* Makes the namespaces and goes into the near one, once for the process; they end with it. 0 or -errno (said why). */
int world_enter(void);
void world_unload(void); /* removes the pins; fine if there are none */

/* A configuration with bench0 as an edge and the bench's pins; services are up to the caller. NULL: out of memory. */
struct config *world_config(void);

/*
 * Adds a service with n backends without checks: first, and the n - 1 addresses after it, all at the service's port.
 * Returns it, to be changed further, or NULL.
 */
struct service *world_service(struct config *c, const char *name, const char *listen, const char *first, uint32_t n);
struct addr world_address(const char *first, uint32_t n); /* the n-th address after first */

/*
 * Loads and applies c. When it returns every backend has its next hop, the slots have followed, and no slot is in
 * transition: the bench ends those that came from it, as the product does itself when their time is over.
 */
int world_open(struct world *w, const struct config *c);
void world_close(struct world *w); /* and removes the pins */

/* Runs the loop until so(arg), for the given time at most. 0, -ETIMEDOUT or -EINTR. */
int world_run_until(struct world *w, bool (*so)(void *arg), void *arg, double seconds);

/* struct world *: does every backend have its next hop, and is nothing left to do for the loop? For world_run_until. */
bool world_has_settled(void *arg);

/* A socket of the far namespace, bound to an address there. A descriptor or -errno. */
int world_far_socket(const struct endpoint *at);

#endif
