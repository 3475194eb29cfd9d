/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows stay where they are while slots change their owners: the daemon's part of bpf/slot.h. A service in which slots
 * move has a region of the flow cache and knows when each slot's owner changed last; a tick each second ends what is
 * over, and when every slot is steady again the region is given back.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/transition.h"
#include "reconcile/internal.h"

#define BUCKETS_LOG2_MIN 6 /* of FLOW_UNIT */

uint32_t keep_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return shunt_flow_now(t.tv_sec * 1000000000ull + t.tv_nsec);
}

static struct shunt_flow_bucket *buckets_of(const struct live *l, const struct reconcile *r)
{
	return dp_flows(r->dp) + l->first_bucket;
}

/* ---- the region ---- */

/* As many buckets as the service may have, or, where that much is not free, half of it, and so on. */
static bool take_region(struct live *l, struct reconcile *r)
{
	uint32_t unit, log2 = __builtin_ctz(l->conf->tracking.flows / SHUNT_FLOW_WAYS), wanted = log2;

	while (log2 >= BUCKETS_LOG2_MIN && space_take(&r->flow_units, 1u << (log2 - BUCKETS_LOG2_MIN), &unit))
		log2--;
	if (log2 < BUCKETS_LOG2_MIN) {
		log_warn("service %s: slots change their owners and no part of the flow cache is free: older flows move too "
			 "(raise limits.flows)", l->name);
		r->stats.uncached++;
		l->uncached++;
		return false;
	}
	if (log2 < wanted)
		log_warn("service %s: its part of the flow cache has room for %u flows instead of %u (raise limits.flows)",
			 l->name, SHUNT_FLOW_WAYS << log2, SHUNT_FLOW_WAYS << wanted);
	l->first_bucket = unit << BUCKETS_LOG2_MIN;
	l->log2_buckets = log2;
	memset(buckets_of(l, r), 0, sizeof(struct shunt_flow_bucket) << log2);
	return true;
}

static void release_region(struct live *l, struct reconcile *r)
{
	space_release(&r->flow_units, l->first_bucket >> BUCKETS_LOG2_MIN, 1u << (l->log2_buckets - BUCKETS_LOG2_MIN));
	l->log2_buckets = 0;
}

int keep_adopt(struct live *l, struct reconcile *r)
{
	uint64_t flows = dp_services(r->dp)[l->id].flows;
	int err;

	if (!flows)
		return 0;
	l->first_bucket = shunt_flows_first(flows);
	l->log2_buckets = shunt_flows_log2(flows);
	err = space_claim(&r->flow_units, l->first_bucket >> BUCKETS_LOG2_MIN,
			  1u << (l->log2_buckets - BUCKETS_LOG2_MIN));
	if (err)
		return err;
	return keep_begin(l, r, l->n_slots) ? 0 : -ENOMEM;
}

/* The times of slots in a table of n slots: where it grows, what was one slot changed when that did. */
static bool make_times(struct live *l, uint32_t n)
{
	uint32_t *since;

	if (l->since && l->n_since == n)
		return true;
	since = calloc(n, sizeof(*since));
	if (!since)
		return false;
	for (uint32_t i = 0; i < n; i++)
		since[i] = l->since ? l->since[i & (l->n_since - 1)] : monotonic_ms() / 1000;
	free(l->since);
	l->since = since;
	l->n_since = n;
	return true;
}

bool keep_begin(struct live *l, struct reconcile *r, uint32_t n_slots)
{
	if (!make_times(l, n_slots) || (!l->log2_buckets && !take_region(l, r)))
		return false;
	dp_store(&dp_services(r->dp)[l->id].flows, shunt_flows(l->first_bucket, l->log2_buckets));
	return true;
}

void keep_forget(struct live *l, struct reconcile *r)
{
	if (!l->log2_buckets)
		return;
	dp_store(&dp_services(r->dp)[l->id].flows, 0);
	release_region(l, r);
}

/* Every slot is steady: no program that begins from now on looks into the region. */
static void end(struct live *l, struct reconcile *r)
{
	free(l->since);
	l->since = NULL;
	dp_store(&dp_services(r->dp)[l->id].flows, 0);
}

static bool has_ended(const struct live *l)
{
	return l->log2_buckets && !l->since;
}

/* ---- who may keep ---- */

static bool over_deadline(const struct live *l, const struct place *p)
{
	return p->admin == ADMIN_DRAINING && l->conf && monotonic_ms() - p->drained_ms >= l->conf->tracking.drain_ms;
}

static bool may_keep(const struct live *l, const struct place *p)
{
	return p->node && node_usable(p->node) && p->admin != ADMIN_DISABLED && !p->leaving && !over_deadline(l, p);
}

bool *keep_members(const struct live *l)
{
	bool *keeps = calloc(l->n_places + 1, sizeof(*keeps));

	for (uint32_t i = 0; keeps && i < l->n_places; i++)
		keeps[i] = may_keep(l, &l->places[i]);
	return keeps;
}

/* ---- what is noted ---- */

/*
 * Milliseconds for which the flow was quiet, at least. The unit in which it was seen may have been at its end; and who
 * was seen since we looked at the clock was not quiet at all.
 */
static uint64_t quiet_for(uint64_t entry, uint32_t now)
{
	static const uint64_t unit_ms = (1ull << SHUNT_FLOW_UNIT) / 1000000;
	uint32_t age = shunt_flow_age(entry, now);

	return age && age < (1u << SHUNT_FLOW_SEEN_BITS) - 1 ? (age - 1) * unit_ms : 0;
}

static bool is_over(const struct tracking *t, uint64_t entry, uint32_t now)
{
	uint64_t quiet_ms = quiet_for(entry, now);

	switch (shunt_flow_state(entry)) {
	case SHUNT_FLOW_OPEN:
		return quiet_ms > t->tcp_ms;
	case SHUNT_FLOW_UDP:
		return quiet_ms > t->udp_ms;
	default:
		return quiet_ms > t->closing_ms;
	}
}

/* Only as it was read: a program may have written another meanwhile. */
static void clear(__u64 *way, __u64 entry)
{
	__atomic_compare_exchange_n(way, &entry, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

struct look {
	const bool *keeps;
	uint8_t *busy; /* [n_slots] a live flow of the slot is noted elsewhere than with current */
	bool *used; /* [n_places] flows are noted for the member, or a slot speaks of it */
	uint32_t now;
	uint64_t let_go; /* live flows of members that do not keep them any more */
	uint32_t noted;
};

static void look_at(struct live *l, struct reconcile *r, uint32_t bucket, __u64 *way, struct look *k)
{
	__u64 entry = __atomic_load_n(way, __ATOMIC_RELAXED);
	uint16_t member = shunt_flow_member(entry);
	uint32_t slot;

	if (!entry)
		return;
	if (member >= l->n_places || !k->keeps[member] || is_over(&l->conf->tracking, entry, k->now)) {
		k->let_go += member < l->n_places && l->places[member].node && !k->keeps[member] &&
			     shunt_flow_is_live(entry) && !is_over(&l->conf->tracking, entry, k->now);
		clear(way, entry);
		return;
	}
	k->noted++;
	k->used[member] = true;
	slot = shunt_flow_low(shunt_flow_tag(entry), bucket, l->log2_buckets) & (l->n_slots - 1);
	if (member != shunt_slot_current(dp_slots(r->dp)[l->first_slot + slot]))
		k->busy[slot] = 1;
}

/* Entries that are over, or whose member does not keep flows, are taken out on the way. */
static bool look_through(struct live *l, struct reconcile *r, struct look *k)
{
	struct shunt_flow_bucket *b = buckets_of(l, r);
	uint32_t n = l->log2_buckets ? 1u << l->log2_buckets : 0;

	k->keeps = keep_members(l);
	k->busy = calloc(l->n_slots, sizeof(*k->busy));
	k->used = calloc(l->n_places + 1, sizeof(*k->used));
	k->now = keep_clock();
	if (!k->keeps || !k->busy || !k->used)
		return false;
	for (uint32_t i = 0; i < n; i++)
		for (int way = 0; way < SHUNT_FLOW_WAYS; way++)
			look_at(l, r, i, &b[i].ways[way], k);
	return true;
}

static void look_end(struct look *k)
{
	free((void *)k->keeps);
	free(k->busy);
	free(k->used);
}

/* After slots were written: what is noted for members that are down or gone would lead flows there when they come back. */
void keep_purge(struct live *l, struct reconcile *r)
{
	struct look k = {};

	if (!l->log2_buckets || !l->conf)
		return;
	look_through(l, r, &k);
	l->let_go += k.let_go;
	l->noted = k.noted;
	look_end(&k);
}

/* ---- the tick ---- */

/* Drained long enough: whoever is still there is let go. */
static bool meet_deadlines(struct live *l, struct reconcile *r)
{
	bool met = false;

	for (uint32_t i = 0; i < l->n_places; i++) {
		struct place *p = &l->places[i];

		if (!p->node || p->let_go || p->going || !over_deadline(l, p))
			continue;
		p->let_go = met = true;
		live_shut(l, r, i, true);
	}
	return met;
}

/*
 * First those that lingered at the last tick already, so that what a packet noted at its very end is seen; then those
 * that were observed for long enough.
 */
static void end_phases(struct live *l, struct reconcile *r, const struct look *k)
{
	__u64 *slots = dp_slots(r->dp) + l->first_slot;
	uint32_t now = monotonic_ms() / 1000, observe = (l->conf->tracking.transition_ms + 999) / 1000;

	l->moving = 0;
	for (uint32_t i = 0; i < l->n_slots; i++) {
		__u64 was = slots[i], word = was;

		if (shunt_slot_steady(was))
			continue;
		if (shunt_slot_observing(was) && now - l->since[i] >= observe)
			word = transition_observed(was);
		else if (!shunt_slot_observing(was) && !k->busy[i])
			word = transition_settled(was);
		if (word != was)
			dp_store(&slots[i], word);
		l->moving += !shunt_slot_steady(word);
	}
	l->digest_valid = false;
}

/* Backends that no configuration names and that no flow is with any more: they may go. */
static void end_retirement(struct live *l, struct reconcile *r, struct look *k)
{
	const __u64 *slots = dp_slots(r->dp) + l->first_slot;
	bool some = false;

	for (uint32_t i = 0; i < l->n_slots; i++)
		for (int shift = 0; shift < 64; shift += 16)
			if ((uint16_t)(slots[i] >> shift) < l->n_places)
				k->used[(uint16_t)(slots[i] >> shift)] = true;
	for (uint32_t i = 0; i < l->n_places; i++) {
		struct place *p = &l->places[i];

		if (p->retiring && !p->going && !k->used[i] && !quic_busy(l, r, i) && !account_busy(r, p))
			p->leaving = some = true;
	}
	if (!some)
		return;
	places_begin_to_go(l, r);
	l->n_alternates = 0;
	alternates_go_on(l, r);
}

static void tick_service(struct live *l, struct reconcile *r)
{
	struct look k = {};

	if (l->n_retiring)
		places_go_on(l, r);
	if (meet_deadlines(l, r)) {
		live_write_slots(l, r, l->first_slot, l->n_slots);
		keep_purge(l, r);
	}
	if (!l->moving && !l->log2_buckets && !l->n_retiring)
		return;
	if (look_through(l, r, &k)) {
		l->let_go += k.let_go;
		l->noted = k.noted;
		end_phases(l, r, &k);
		if (l->n_retiring)
			end_retirement(l, r, &k);
	}
	look_end(&k);
	if (!l->moving && l->log2_buckets)
		end(l, r);
}

/* ---- regions of slots that are larger than their tables ---- */

/* Every slot is steady and no flow is noted: nothing tells the repetitions of the table from each other. */
static bool can_shrink(const struct live *l)
{
	return l->table && l->table->n_slots < l->n_slots && !l->moving && !l->log2_buckets;
}

/*
 * The table stands at the beginning of the region, so it stays where it is: one store, which needs no room, and the
 * rest is free when no program reads it any more.
 */
static void shrink(struct live *l, struct reconcile *r, struct leftovers *left)
{
	uint32_t n = l->table->n_slots;

	left->items[left->n++] = (struct leftover){ .member = SHUNT_UNSET, .first_slot = l->first_slot + n,
						    .n_slots = l->n_slots - n };
	l->n_slots = n;
	turns_write(l, r, l->first_slot, n);
	live_write_service(l, r, l->conf);
}

static void shrink_regions(struct reconcile *r)
{
	struct leftovers left = {};
	size_t n = 0;

	for (size_t i = 0; i < r->n_services; i++)
		n += can_shrink(r->services[i]);
	if (!n)
		return;
	left.items = calloc(n, sizeof(*left.items));
	for (size_t i = 0; i < r->n_services && left.items; i++)
		if (can_shrink(r->services[i]))
			shrink(r->services[i], r, &left);
	leftovers_reclaim(r, &left);
}

/* ---- the tick of all services ---- */

static void end_transitions(struct reconcile *r)
{
	bool ended = false;

	for (size_t i = 0; i < r->n_services; i++) {
		if (!r->services[i]->conf || !r->services[i]->table)
			continue;
		tick_service(r->services[i], r);
		ended |= has_ended(r->services[i]);
	}
	if (!ended)
		return;
	dp_grace(); /* one for all */
	for (size_t i = 0; i < r->n_services; i++)
		if (has_ended(r->services[i]))
			keep_forget(r->services[i], r);
}

void keep_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_transitions(arg);
	shrink_regions(arg);
}
