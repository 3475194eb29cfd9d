/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * shunt-sim: how many connections break while backends come and go and balancers fail. Several balancers behind ECMP
 * run the product's own code each, bpf/slot.h and user/model; the network around them is made up.
 *
 * main.c reads the options and prints; world.c makes flows and their packets, and says when what changes; backends.c is
 * the configuration that changes, and the tables that follow from it; balancer.c is one balancer: its slots, its flow
 * cache and its daemon; cache.c is that flow cache.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "../bpf/abi.h"
#include "base/clean.h"
#include "model/table.h"

/* Times are in ms since the beginning, as far as no other unit is in the name. */
typedef uint32_t ms_t;

struct options {
	uint64_t seed;
	uint32_t backends, spare; /* at the beginning; how many more may be added */
	uint32_t slots; /* of the table; 0: as many as the backends want */
	uint32_t balancers, flows;
	ms_t life, packet_interval; /* means; exponentially distributed */
	ms_t duration;

	ms_t change_every, change_first; /* a change of any kind; 0: none */
	uint32_t weight; /* of a backend that is reweighted; the others have 100 */
	ms_t drain_every, drain_for, drain_first; /* drain_count backends each time; 0: none */
	uint32_t drain_count;
	uint32_t drain_most; /* 0: each returns after drain_for; else all return when so many are down */
	bool drain_rebuild; /* the table is built without the drained, not only overlaid */
	ms_t skew; /* a balancer learns of a change within so long */

	uint32_t fail_count; /* balancers, the last ones */
	ms_t fail_at, return_at;
	bool resilient; /* ECMP: only the flows of those that fail move, and come back */
	bool cold_base; /* who returns takes the drained for the anchors of their slots */

	ms_t transition, tcp_timeout, closing_timeout; /* struct tracking */
	ms_t sweep; /* between two looks of the daemon at its region */
	uint32_t region; /* entries of the flow cache */
	bool settle_early; /* a slot settles as soon as nothing is noted, even within the transition time */
};

enum policy {
	POLICY_TABLE, /* who owns the slot now */
	POLICY_FULL, /* each balancer remembers every flow it has seen for ever */
	POLICY_TRACKING, /* bpf/slot.h */
	POLICY_SECOND_CHANCE, /* and who does not have the connection sends the packet on to the next that may */
	N_POLICIES,
};

struct result {
	uint64_t broken; /* flows */
	uint64_t removed; /* those of them whose backend the configuration did not name any more */
	uint64_t redirected; /* packets, each time that one is sent on */
	uint64_t evicted; /* flows that were open */
	uint32_t entries; /* in one balancer, at most */
};

struct results {
	uint64_t packets, flows, changes;
	struct result of[N_POLICIES];
};

/* ---- the flow cache, as bpf/cache.bpf.h has it ---- */

#define CACHE_FIRST 1 /* the packet begins its flow */
#define CACHE_LAST 2 /* it ends it */

struct cache {
	struct shunt_flow_bucket *buckets;
	uint32_t log2; /* of their number */
	uint64_t secret;
	uint64_t evicted;
};

/* entries: a power of two, 512 to 2^23. 0 or -ENOMEM */
int cache_init(struct cache *c, uint32_t entries, uint64_t secret);
void cache_empty(struct cache *c);
/* what: CACHE_* */
uint16_t cache_owner(struct cache *c, uint64_t hash, uint64_t slot, uint32_t what, uint64_t now_ns);

/* ---- backends ---- */

struct view { /* what a daemon makes of the configuration as it is now */
	struct table *table;
	uint16_t (*ranked)[TABLE_RANKED]; /* [n_slots of table] */
	uint32_t begun_after; /* so many removals the daemon did not see */
};

struct backends {
	const struct options *o;
	uint64_t *random;
	uint32_t n; /* those that may be added with them */
	struct table_member *members; /* weight 0: not in the table */
	bool *there; /* does the configuration name it? */
	uint32_t *removed; /* by which removal; 0: not */
	uint32_t n_removals;
	bool *keeps; /* may it keep flows that it has? */
	uint32_t *batch; /* with whom it was drained */
	uint32_t n_batches;
	struct view views[2]; /* of those that saw all of it, and of those that began later, all at one time */
};
#define ALL_BATCHES (UINT32_MAX - 1)

int backends_init(struct backends *b, const struct options *o, uint64_t *random);
void backends_clear(struct backends *b);
/* For who began after so many removals. 0 or -errno */
int backends_view(struct backends *b, uint32_t begun_after, const struct view **out);
/*
 * Drains random ones of those that are not drained; one of them stays. Or, where drain_most are drained, enables all.
 * Returns the batch.
 */
uint32_t backends_drain(struct backends *b);
void backends_undrain(struct backends *b, uint32_t batch);
/* Adds, drains, enables, reweights or removes a random one. */
void backends_change(struct backends *b);

/* ---- a balancer ---- */

struct balancer {
	const struct options *o;
	uint32_t n_slots; /* of the table at least, which is repeated in more (user/reconcile/live.c); 0: it has not begun */
	uint32_t begun_after; /* removals */
	uint64_t *slots;
	struct shunt_alternates *others; /* [n_slots] */
	ms_t *changed; /* [n_slots] when current was another last */
	bool *busy; /* [n_slots] for balancer_sweep */
	struct cache cache;
	uint32_t entries; /* at the last sweep */
};

int balancer_init(struct balancer *b, const struct options *o, uint64_t secret);
void balancer_clear(struct balancer *b);
/* It begins with nothing but the table: who was removed before it does not know. 0 or -ENOMEM */
int balancer_start(struct balancer *b, const struct view *v, ms_t now);
/* The table has changed. track: flows stay with their owners while slots change. 0 or -ENOMEM */
int balancer_follow(struct balancer *b, const struct view *v, const bool *keeps, bool track, ms_t now);
/* Ends what is over, in slots and in the cache. */
void balancer_sweep(struct balancer *b, ms_t now);

static inline uint64_t balancer_slot(const struct balancer *b, uint64_t hash)
{
	return b->slots[hash & (b->n_slots - 1)];
}
static inline const struct shunt_alternates *balancer_others(const struct balancer *b, uint64_t hash)
{
	return &b->others[hash & (b->n_slots - 1)];
}
static inline uint64_t ns_of(ms_t ms) { return ms * 1000000ull; }

/* ---- all of it ---- */

/* 0 or -errno */
int world_run(const struct options *o, struct results *out);

#endif
