/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One balancer: the daemon's half, user/model/transition.h, on slots and on a flow cache of its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/alternates.h"
#include "model/transition.h"
#include "sim.h"

int balancer_init(struct balancer *b, const struct options *o, uint64_t secret)
{
	*b = (struct balancer){ .o = o };
	return cache_init(&b->cache, o->region, secret);
}

static void free_slots(struct balancer *b)
{
	free(b->slots);
	free(b->others);
	free(b->changed);
	free(b->busy);
}

void balancer_clear(struct balancer *b)
{
	free_slots(b);
	free(b->cache.buckets);
}

/* What a slot was, it was where the packet's mask found it. */
static int resize(struct balancer *b, uint32_t n_slots)
{
	struct balancer old = *b;

	b->slots = calloc(n_slots, sizeof(*b->slots));
	b->others = calloc(n_slots, sizeof(*b->others));
	b->changed = calloc(n_slots, sizeof(*b->changed));
	b->busy = calloc(n_slots, sizeof(*b->busy));
	b->n_slots = n_slots;
	if (b->others)
		memset(b->others, 0xff, n_slots * sizeof(*b->others)); /* ALTERNATES_NOBODY */
	for (uint32_t i = 0; old.n_slots && b->slots && b->others && b->changed && i < n_slots; i++) {
		b->slots[i] = old.slots[i & (old.n_slots - 1)];
		b->others[i] = old.others[i & (old.n_slots - 1)];
		b->changed[i] = old.changed[i & (old.n_slots - 1)];
	}
	free_slots(&old);
	return b->slots && b->others && b->changed && b->busy ? 0 : -ENOMEM;
}

int balancer_start(struct balancer *b, const struct view *v, ms_t now)
{
	const struct table *t = v->table;
	int err;

	b->n_slots = 0;
	b->begun_after = v->begun_after;
	err = resize(b, t->n_slots);
	if (err)
		return err;
	cache_empty(&b->cache);
	for (uint32_t i = 0; i < b->n_slots; i++) {
		uint16_t owner = b->o->cold_base ? t->base[i] : t->current[i];

		b->slots[i] = shunt_slot(owner, owner, SHUNT_NONE, SHUNT_NONE);
		b->changed[i] = now;
	}
	return 0;
}

int balancer_follow(struct balancer *b, const struct view *v, const bool *keeps, bool track, ms_t now)
{
	const struct table *t = v->table;

	if (t->n_slots > b->n_slots && resize(b, t->n_slots))
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n_slots; i++) {
		uint32_t in_table = i & (t->n_slots - 1);
		uint16_t current = t->current[in_table], runner_up = t->runner_up[in_table];
		uint16_t was = shunt_slot_current(b->slots[i]);

		if (was != current)
			b->changed[i] = now;
		b->slots[i] = track ? transition_follow(b->slots[i], current, runner_up, keeps, t->n_members)
				    : shunt_slot(current, current, SHUNT_NONE, runner_up);
		if (was != current && was != SHUNT_NONE)
			b->others[i].owners = alternates_remember(b->others[i].owners, was);
		b->others[i].ranked = alternates_ranked(t->base[in_table], v->ranked[in_table], current);
		b->others[i].owners = alternates_guess(&b->others[i], v->ranked[in_table], current);
	}
	return 0;
}

/* ---- what is over ---- */

static bool is_over(const struct options *o, uint64_t entry, uint32_t now)
{
	bool open = shunt_flow_is_live(entry);
	ms_t timeout = open ? o->tcp_timeout : o->closing_timeout;

	return shunt_flow_age(entry, now) > (ns_of(timeout) >> SHUNT_FLOW_UNIT) + 1;
}

/* An entry goes when its flow is over, and when its slot needs none: another flow may come by the same name. */
static void sweep_entry(struct balancer *b, __u64 *entry, uint32_t bucket, uint32_t now)
{
	uint32_t i = shunt_flow_low(shunt_flow_tag(*entry), bucket, b->cache.log2) & (b->n_slots - 1);

	if (is_over(b->o, *entry, now) || shunt_slot_steady(b->slots[i])) {
		*entry = 0;
		return;
	}
	b->entries++;
	b->busy[i] |= shunt_flow_member(*entry) != shunt_slot_current(b->slots[i]);
}

static void sweep_slot(struct balancer *b, uint32_t i, ms_t now)
{
	bool observed = now - b->changed[i] >= b->o->transition;

	if (shunt_slot_steady(b->slots[i]))
		return;
	if (observed)
		b->slots[i] = transition_observed(b->slots[i]);
	if (!b->busy[i] && !shunt_slot_observing(b->slots[i]) && (observed || b->o->settle_early))
		b->slots[i] = transition_settled(b->slots[i]);
}

void balancer_sweep(struct balancer *b, ms_t now)
{
	b->entries = 0;
	memset(b->busy, 0, b->n_slots * sizeof(*b->busy));
	for (uint32_t bucket = 0; bucket < 1u << b->cache.log2; bucket++)
		for (int i = 0; i < SHUNT_FLOW_WAYS; i++)
			if (b->cache.buckets[bucket].ways[i])
				sweep_entry(b, &b->cache.buckets[bucket].ways[i], bucket, shunt_flow_now(ns_of(now)));
	for (uint32_t i = 0; i < b->n_slots; i++)
		sweep_slot(b, i, now);
}
