/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * wanted = merge(configuration, health, next hops); the difference to what is in the kernel; apply. The one writer of
 * the maps: idempotent, and restartable at any point, because what it needs to go on is read back from the maps.
 *
 * A backend is shared by all services that have the same endpoint, forwarding and check: one check, one entry in the
 * kernel, one store to take it out of all of them. The slots behind it are rewritten right after, service by service.
 */
#ifndef RECONCILE_RECONCILE_H
#define RECONCILE_RECONCILE_H

#include <event2/event.h>

#include "datapath/datapath.h"
#include "datapath/nexthop.h"
#include "health/health.h"
#include "model/model.h"

struct reconcile;

/* Takes up what the maps hold (dp was adopted) or begins with nothing. health and nexthops are borrowed. */
int reconcile_new(struct event_base *base, struct datapath *dp, struct health *health, struct nexthops *nexthops,
		  struct reconcile **out);
void reconcile_free(struct reconcile *r); /* leaves the maps as they are */

/*
 * Makes the kernel equal to a configuration (copied), in two steps, so that others may do in between what may fail.
 * reconcile_plan does what can run out, and changes nothing: -ENOSPC: a limit is reached (logged, which one).
 * reconcile_commit carries it out, before the loop runs again or another plan is made; it fails only if the kernel
 * refuses, and then goes back to the configuration of before. It frees the change, as reconcile_drop does, which gives
 * back what was planned.
 */
struct reconcile_change;
int reconcile_plan(struct reconcile *r, const struct config *c, struct reconcile_change **out);
int reconcile_commit(struct reconcile_change *change);
void reconcile_drop(struct reconcile_change *change);
int reconcile_apply(struct reconcile *r, const struct config *c); /* both */
const struct config *reconcile_config(const struct reconcile *r); /* what is applied */
/*
 * Before anything is applied: what was taken up from the maps, as services that have nothing but their names and backends,
 * as if these had been found. The caller's; NULL: out of memory.
 */
struct config *reconcile_adopted(const struct reconcile *r);

/* ---- what is so; for the control socket and metrics ---- */

struct reconcile_backend {
	struct endpoint at;
	uint32_t weight;
	struct server_id server_id;
	enum state state; /* admin state over health */
	struct health_info health; /* state unknown and no checks where there is no check */
	const struct nexthop *nexthop; /* NULL: it needs none, this host's own stack finds the way */
	uint32_t slots; /* owned now */
	uint32_t id, member; /* index into `backends`, `members` */
	uint64_t packets, bytes;
	uint64_t connections, connects; /* of local processes: open now, ever made (abi.h, struct shunt_connections) */
};
struct reconcile_service {
	const struct service *conf;
	uint32_t id; /* index into `services` */
	uint32_t n_slots; /* of its table, whose size follows from the configuration alone */
	uint32_t moving; /* of them, slots that are not steady: older flows stay with the backend that they had */
	uint32_t flows, max_flows; /* noted in its part of the flow cache, at the last look; 0 of 0: it has none */
	uint64_t flows_noted, flows_evicted; /* since it was made: that got an entry; live ones that lost theirs to others */
	uint32_t retiring; /* backends that were taken away and keep the flows that they have */
	uint64_t let_go; /* live flows that lost their backend to a deadline, to others or to the operator */
	uint64_t uncached; /* times that slots moved without a part of the flow cache, and older flows with them */
	uint64_t packets, bytes; /* of all its backends, those that are gone included */
	unsigned at; /* bits of enum where: what this host does of it */
	uint64_t connections; /* of local processes, open now: also with backends that were taken away */
	uint64_t refused; /* connects and datagrams of local processes that found no usable backend */
	uint64_t fingerprint; /* of the table: equal on balancers that agree */
	size_t n_backends; /* in the order of conf->backends */
	struct reconcile_backend *backends;
};
/* Fills *out (reconcile_service_clear frees it). -ENOENT */
int reconcile_service(const struct reconcile *r, const char *name, struct reconcile_service *out);
void reconcile_service_clear(struct reconcile_service *s);

/* Names for what an explained packet met; NULL, or false, when it is not ours. */
const char *reconcile_service_name(const struct reconcile *r, uint32_t service);
bool reconcile_backend_at(const struct reconcile *r, uint32_t backend, struct endpoint *out);

/* Whose members are whose, sorted; valid until the next change, free(*out). -ENOMEM */
struct reconcile_region {
	uint32_t first, n; /* indices into `members` */
	const char *service;
};
int reconcile_regions(const struct reconcile *r, struct reconcile_region **out, size_t *n);

/* ---- the flow cache: flows of slots that are in transition (bpf/slot.h) ---- */

struct reconcile_flow {
	const char *service;
	uint32_t slot; /* within the service's table */
	struct endpoint backend; /* that has it */
	uint32_t backend_id; /* index into `backends` */
	uint32_t state; /* SHUNT_FLOW_* */
	uint32_t age_seconds; /* since it was seen, give or take 4.3 s */
	bool elsewhere; /* than with the slot's owner */
};
/*
 * Calls fn for each flow that is noted, of one service or (NULL) of all. Returns how many there is room for; 0: nothing
 * is in transition. -ENOENT: there is no such service.
 */
typedef void (*reconcile_flow_fn)(void *arg, const struct reconcile_flow *flow);
int reconcile_flows_each(const struct reconcile *r, const char *service, reconcile_flow_fn fn, void *arg);

/* Where one flow is. Texts and endpoints are valid until the next change. */
enum slot_phase { SLOT_STEADY, SLOT_OBSERVING, SLOT_LINGERING, N_SLOT_PHASES };
struct reconcile_flow_place {
	const char *service;
	uint32_t slot, n_slots;
	enum slot_phase phase;
	const struct endpoint *owner; /* of new flows; NULL: nobody */
	const struct endpoint *anchor; /* of flows that are not noted; NULL: nobody */
	bool noted;
	struct reconcile_flow flow; /* if noted */
};
/* to: the packet's destination. -ENOENT: no service listens there */
int reconcile_flow_of(const struct reconcile *r, const struct endpoint *client, const struct listen *to,
		      struct reconcile_flow_place *out);

/* ---- what would be ---- */

/*
 * For each service of `wanted` or of the applied config: slots that would have another owner. A service that comes
 * (fresh) moves none: it has no flows.
 */
typedef void (*reconcile_move_fn)(void *arg, const char *service, bool fresh, uint32_t moved, uint32_t of);
int reconcile_preview(const struct reconcile *r, const struct config *wanted, reconcile_move_fn fn, void *arg);

struct reconcile_stats {
	uint64_t applies, verdicts; /* configurations applied, changes of health */
	uint64_t uncached; /* times that slots moved without a part of the flow cache, and older flows with them */
	double last_apply_seconds, last_verdict_seconds; /* verdict_seconds: from the verdict to the store in the kernel */
	uint32_t services, listeners, members, backends, slots, flows; /* in use, of config.limits */
};
void reconcile_stats(const struct reconcile *r, struct reconcile_stats *out);

#endif
