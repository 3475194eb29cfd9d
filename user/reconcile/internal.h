/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of this room share. */
#ifndef RECONCILE_INTERNAL_H
#define RECONCILE_INTERNAL_H

#include "model/table.h"
#include "reconcile/reconcile.h"
#include "reconcile/space.h"

struct live;

/*
 * A backend as the kernel knows it: one entry in `backends`, one check, one next hop, shared by all services that have
 * the same endpoint, forwarding and check.
 */
struct node {
	struct reconcile *r;
	uint32_t id;
	struct endpoint at;
	enum forward forward; /* FORWARD_LOCAL: this host's own stack finds the way, no next hop is followed */
	struct check check; /* its port is resolved; CHECK_NONE: never checked */
	bool adopted; /* from the maps: its check is not known yet, the first service that has it says */
	unsigned refs;
	enum state health; /* unknown, healthy, unhealthy */
	bool reachable; /* its next hop is known (or was, to the daemon before) */
	struct health_target *target;
	struct nexthop_want *want;
	struct node *twin; /* the next with the same endpoint and forwarding, and another check */
	struct user {
		struct live *service;
		uint32_t place;
	} *users;
	size_t n_users, room_users;
};

/* A member of a service; its number ("place") is its offset in the service's region of `members`. */
struct place {
	struct node *node; /* NULL: free */
	struct endpoint at;
	uint32_t weight;
	uint32_t ranks; /* the last weight that was not 0: by it others still look for its flows here */
	enum admin admin;
	struct server_id server_id;
	bool leaving; /* by the plan that is carried out, or because it is going: its flows end */
	uint64_t going; /* the grace period that its next step waits for (leave.c); 0: it stays */
	bool shut; /* ... and that was the first: no flow finds it any more */
	bool retiring; /* in no configuration any more: it keeps the flows that it has, as if it were drained */
	bool let_go; /* its drain is over: it keeps no flow */
	uint64_t drained_ms; /* CLOCK_MONOTONIC at which its drain began */
	uint64_t quic_packets, quic_ms; /* of quic_busy: packets at the last look, and when there were more */
	bool waits; /* came while others were proven: as long as one of them is, it gets no flow before a verdict */
	struct shunt_counter carried; /* counted at places that the region had before */
	uint32_t account; /* index into `connections`: what sockets have of it */
};

/* A service as it is in the kernel. */
struct live {
	char name[SHUNT_NAME_MAX];
	uint32_t id;
	const struct service *conf; /* in r->config; NULL: adopted and not yet wanted */
	unsigned at; /* bits of enum where: what this host does of it */
	/*
	 * The region of slots. It may be larger than the table, which is repeated in it then: slots that are one in a
	 * smaller table keep anchors of their own until they are steady.
	 */
	uint32_t first_slot, n_slots;
	uint32_t first_member, n_places;
	struct place *places; /* [n_places] */
	struct table *table; /* its size follows from the configuration alone. NULL: adopted, not yet computed */
	uint32_t n_alternates; /* slots whose alternates are right; 0: all are to be renewed */
	struct table *wider; /* ... while that is done: see alternates.c */
	struct shunt_counter retired;
	bool wanted; /* mark of an apply under way */
	bool dirty;
	struct live *next_dirty;
	uint64_t born_ms; /* CLOCK_MONOTONIC; 0: adopted */
	uint32_t n_retiring; /* places */
	uint32_t moving; /* slots of the region that are not steady */
	uint32_t *since; /* [n_since] when each slot's owner changed last, seconds of CLOCK_MONOTONIC; NULL: nothing moves */
	uint32_t n_since;
	uint32_t first_bucket, log2_buckets; /* its region of the flow cache; log2 0: none */
	uint32_t noted; /* flows in it, at the last look */
	uint64_t let_go; /* live flows whose backend was taken from them */
	uint64_t uncached; /* times that its slots moved and there was no region for it */
	bool digest_valid; /* of the two below */
	uint64_t fingerprint;
	uint32_t *owned; /* [n_places] slots */
};

/* An entry of `quic_servers`. */
struct quic_entry {
	struct shunt_quic_server key;
	uint32_t place;
	bool retiring; /* its place is */
};

struct applied_listen {
	struct listen listen;
	uint32_t service;
};

struct reconcile {
	struct event_base *base;
	struct datapath *dp;
	struct health *health;
	struct nexthops *nexthops;
	struct config *config;
	struct live **services; /* sorted by name */
	size_t n_services;
	struct live **by_id; /* [limits.services] */
	struct node **node_by_id; /* [limits.backends] */
	void *nodes; /* tsearch tree by endpoint and forwarding; twins are chained */
	struct applied_listen *listens; /* sorted */
	size_t n_listens;
	struct quic_entry *quic; /* what is in the map, sorted by key */
	size_t n_quic;
	struct space service_ids, backend_ids, members;
	struct space slot_units, flow_units; /* of SLOT_UNIT slots, and of FLOW_UNIT buckets */
	struct space accounts; /* of `connections`; 0 is nobody's */
	struct live *dirty, **dirty_tail;
	struct event *work, *settle, *alternates;
	struct hops *hops;
	struct reconcile_stats stats;
	const struct limits *limits; /* of the maps */
};

#define SLOT_UNIT 64
#define FLOW_UNIT 64
#define YOUNG_MS 2000 /* how long a new service settles: its next hops come one by one, and no flow is older than it */

/* ---- node.c ---- */

/*
 * The node for an endpoint of a service; counts a reference. hint: the node that the member has now (NULL: none); it is
 * kept if its check is the same, and hands its health on if it is not. -ENOSPC, -ENOMEM.
 */
int node_get(struct reconcile *r, const struct service *s, enum forward forward, const struct endpoint *at,
	     struct node *hint, struct node **out);
int node_hold(struct node *n); /* counts a reference, and keeps room for a use by it. -ENOMEM */
void node_put(struct node *n); /* at the last reference the entry in the kernel is freed: call it after dp_grace */
void node_use(struct node *n, struct live *service, uint32_t place); /* by one of the references */
void node_unuse(struct node *n, const struct live *service, uint32_t place);
int node_adopt(struct reconcile *r, uint32_t id, struct node **out); /* from the maps */
void node_forget(struct node *n); /* frees it, leaves the kernel as it is */
bool node_usable(const struct node *n);
bool node_proven(const struct node *n); /* usable, and by more than the benefit of the doubt */

/* ---- live.c ---- */

/* Whether the service has a backend that is proven: others wait for their first verdict then. */
bool live_proven(const struct live *l);
void live_free(struct live *l);
void live_mark_dirty(struct live *l, struct reconcile *r);
void live_unmark(struct live *l, struct reconcile *r);
void live_work(evutil_socket_t fd, short what, void *arg); /* rewrites the slots of the first dirty service */
/* The table follows who is alive, in at most so many members; returns in how many. The slots are not written. */
unsigned live_follow(struct live *l, unsigned most);
/*
 * Writes the table into n_slots slots from first_slot on (a new region, or the one it has), as often as it fits. A slot
 * whose owner changes and whose old owner lives is in transition from then on: anchor stays.
 */
void live_write_slots(struct live *l, struct reconcile *r, uint32_t first_slot, uint32_t n_slots);
uint32_t live_table_slot(const struct live *l, uint32_t slot); /* the table's, of one of the region */
void live_write_service(const struct live *l, struct reconcile *r, const struct service *want); /* where its regions are */
void live_shut(struct live *l, struct reconcile *r, uint32_t place, bool shut);
void live_digest(struct live *l);
struct live *live_find(const struct reconcile *r, const char *name);
int live_compare(const void *a, const void *b); /* of two struct live *, by name */

/* ---- keep.c ---- */

/* The programs' time of the flow cache. Read after an entry it is not the older one. */
uint32_t keep_clock(void);
/* Before slots move: a region and the times of n_slots. False: there is no room, flows cannot be kept. */
bool keep_begin(struct live *l, struct reconcile *r, uint32_t n_slots);
void keep_forget(struct live *l, struct reconcile *r); /* no program uses it any more */
int keep_adopt(struct live *l, struct reconcile *r); /* the region that the daemon before gave it */
bool *keep_members(const struct live *l); /* [n_places] who may keep the flows that it has; NULL: out of memory */
void keep_purge(struct live *l, struct reconcile *r); /* takes out what is noted for others */
void keep_tick(evutil_socket_t fd, short what, void *arg); /* each second: ends transitions, and regions shrink after */

/* ---- alternates.c ---- */
/* Renews those of slots from n_alternates on, if the service needs them: for a moment at once, the rest from the loop. */
void alternates_go_on(struct live *l, struct reconcile *r);
void alternates_work(evutil_socket_t fd, short what, void *arg); /* the next portion */

/* ---- accounts.c ---- */
/* What sockets have of a place: it stays where it is when the service's members move. */
int accounts_init(struct reconcile *r);
uint32_t account_open(struct reconcile *r); /* 0: there is none */
void account_write(struct reconcile *r, const struct place *p, uint32_t member); /* where its member is, and its weight */
void account_end(struct reconcile *r, uint32_t account); /* what is open is nobody's: it counts no more; 0 is fine */
void account_close(struct reconcile *r, uint32_t account); /* after account_end and dp_grace; 0 is fine */
int account_adopt(struct reconcile *r, uint32_t account, uint32_t member);
void accounts_close_unknown(struct reconcile *r); /* that nobody adopted */
bool account_busy(const struct reconcile *r, const struct place *p); /* some socket is connected to it */

/* ---- turns.c ---- */
/* For round-robin: deals the turns of a region of slots to those of the service's table who live. */
void turns_write(struct live *l, struct reconcile *r, uint32_t first_slot, uint32_t n_slots);
void turns_follow(struct live *l, struct reconcile *r); /* the algorithm may be another, though no slot is */

/* ---- hops.c ---- */
int hops_new(struct reconcile *r, struct hops **out);
void hops_free(struct hops *h); /* NULL is fine; the kernel keeps what it has */

/* ---- adopt.c ---- */
int adopt(struct reconcile *r);
int listens_read(struct reconcile *r); /* r->listens becomes what the kernel has. -ENOMEM: it stays */
int listens_compare(const void *a, const void *b); /* of two struct applied_listen */

/* ---- quic.c ---- */

uint32_t quic_flags(const struct service *s); /* what it adds to shunt_service.flags */
/* Makes the map equal to the places that there are. After places came, before the grace period of those that went. */
int quic_follow(struct reconcile *r);
bool quic_busy(struct live *l, struct reconcile *r, uint32_t place); /* asked each second: is it still sent packets by its ID? */
int quic_adopt(struct reconcile *r); /* what is in the map; places learn the IDs that they have there */

/* ---- plan.c: one service, from what it is to what it shall be ---- */

struct plan {
	const struct service *want;
	unsigned at; /* service_is_at */
	struct live *live; /* of the service now, or a new one */
	bool fresh; /* live is new */
	uint32_t *place; /* [want->n_backends] */
	struct node **node; /* [want->n_backends] references */
	struct table *table; /* NULL: live's is right */
	bool waits; /* see struct place */
	uint32_t first_slot, n_slots, first_member, n_places; /* regions; n_slots: the table's number or more */
	struct place *places; /* [n_places] of a region that is new; NULL: the places stay */
	bool *yields; /* [live->n_places] places that are given to others (yield.c); NULL: none is */
};

/* What can be taken back once no packet sees it any more. */
struct leftover {
	struct live *live; /* a place of it ... */
	uint32_t place;
	struct node *node; /* reference to give back; NULL: none */
	uint32_t member; /* index of the counters to retire; SHUNT_UNSET: none */
	bool carry; /* ... that lives on elsewhere: its counts go with it */
	uint32_t account; /* to close; 0: none */
	uint32_t first_slot, n_slots, first_member, n_members; /* regions to release */
};
struct leftovers {
	struct leftover *items; /* there is room for all that the plans can leave */
	size_t n;
};

/* Everything that can fail is done here: nothing in the kernel that a packet could see changes. -ENOSPC, -ENOMEM */
int plan_make(struct reconcile *r, const struct config *c, const struct service *want, struct plan *p);
void plan_drop(struct reconcile *r, struct plan *p); /* gives back what is not carried out */
size_t plan_leaves(const struct plan *p); /* so many leftovers at most */
size_t live_leaves(const struct live *l); /* ... of a service that goes */
int plan_commit(struct reconcile *r, struct plan *p, struct leftovers *left); /* -errno: it is not noted */
void plan_give_up(struct reconcile *r, struct live *l); /* the places that are marked as leaving; waits for grace periods */
void plan_remove(struct reconcile *r, struct live *l, struct leftovers *left); /* its listeners are gone */

/* ---- leave.c ---- */
static inline bool place_is_to_go(const struct place *p) /* and no step of that was taken yet */
{
	return p->node && p->leaving && !p->going;
}
void leftovers_reclaim(struct reconcile *r, struct leftovers *left); /* waits for grace periods */
void places_begin_to_go(struct live *l, struct reconcile *r); /* those that are marked as leaving; nobody waits */
void places_go_on(struct live *l, struct reconcile *r); /* asked each second */
void member_store(struct reconcile *r, uint32_t member, uint32_t backend, uint32_t flags); /* one store, or none: it is so */
/* For the next daemon. While a region moves it is noted where from and where to: either is found, whichever holds. */
int live_write_info(struct reconcile *r, const struct live *l, uint32_t first_member, uint32_t n_places);

/* The members of a table for `want`, numbered by place. [n_places], free() it. alive as known. */
struct table_member *plan_members(const struct service *want, const uint32_t *place, struct node *const *node,
				  uint32_t n_places);

/* ---- yield.c ---- */

/* The most places that the service can have: in a new region, or in the one that it has. */
uint32_t yield_room(const struct reconcile *r, const struct live *l);
/*
 * Backends whose places would be n_places or above get those of backends that retire. -ENOSPC: not enough of them do.
 * What has to be done before the new ones come is yield_commit.
 */
int yield_plan(struct plan *p, uint32_t n_places);
void yield_commit(struct reconcile *r, const struct plan *p); /* waits for grace periods if somebody yields */

#endif
