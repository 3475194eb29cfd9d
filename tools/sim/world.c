/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows, their packets, and when what happens to backends and balancers. The same events go to all policies side by
 * side.
 *
 * There are always as many live flows: when one ends, another begins. A flow's next packet stands in a wheel of lists,
 * one for each ms; the changes stand in an array in order of time. At one time, changes come before packets.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "sim.h"

#define WHEEL (1u << 15) /* ms; who waits longer is looked at once in a round */
#define HANDSHAKE 50 /* ms from a flow's first packet to its second, mean */
#define NOBODY UINT32_MAX

struct flow {
	uint64_t hash;
	ms_t next, end;
	uint32_t after; /* in the same list of the wheel */
	uint16_t owner[N_POLICIES]; /* who has the connection */
	uint8_t broken; /* bit for each policy */
};

enum what { SWEEP, FAIL, RETURN, UNDRAIN, DRAIN, CHANGE, LEARN };
struct change {
	ms_t at;
	enum what what; /* at one time in this order */
	uint32_t arg; /* FAIL, RETURN, LEARN: number of the balancer; UNDRAIN: batch */
};

struct world {
	const struct options *o;
	struct results *out;
	uint64_t random;
	ms_t now;

	struct backends backends;
	struct balancer *balancers[N_POLICIES]; /* [balancers] each */
	bool *up; /* [balancers] */
	uint32_t *live, n_live; /* numbers of those that are up */

	struct flow *flows;
	uint16_t *noted; /* [flows][balancers] POLICY_FULL */
	uint32_t *full_entries; /* [balancers] */
	uint32_t *wheel; /* [WHEEL] */

	struct change *changes;
	uint32_t n_changes, room;
};

/* Exponentially distributed, at least 1. */
static ms_t random_time(struct world *w, ms_t mean)
{
	double u = ((random64(&w->random) >> 11) + 1) * 0x1p-53, t = -log(u) * mean;

	return t < 1 ? 1 : t > 1e9 ? 1000000000 : (ms_t)t;
}

/* ---- the network ---- */

/* The balancer that the routers before it choose for a flow. */
static uint32_t ecmp(const struct world *w, uint64_t hash)
{
	uint64_t h = shunt_mix(hash ^ SHUNT_K3) >> 32;
	uint32_t first = h % w->o->balancers;

	if (!w->o->resilient)
		return w->live[h % w->n_live];
	return w->up[first] ? first : w->live[shunt_mix(h) % w->n_live];
}

/*
 * The one chosen does not know the flow and sends the packet on, and so does who gets it next, until the owner has it
 * or all were asked. Has the owner got it?
 */
static bool second_chance(const struct balancer *b, const struct flow *f, uint16_t chosen, uint16_t owner,
			  struct result *r)
{
	struct shunt_hops hops = shunt_hops(balancer_slot(b, f->hash), balancer_others(b, f->hash), chosen);

	for (uint32_t i = 0; i < hops.n; i++) {
		r->redirected++;
		if (shunt_hop(&hops, i) == owner)
			return true;
	}
	return false;
}

static uint16_t full_owner(struct world *w, const struct flow *f, uint32_t number, uint64_t slot)
{
	uint16_t *noted = &w->noted[(f - w->flows) * w->o->balancers + number];
	uint32_t n;

	if (*noted != SHUNT_NONE)
		return *noted;
	*noted = shunt_slot_current(slot);
	n = ++w->full_entries[number];
	if (n > w->out->of[POLICY_FULL].entries)
		w->out->of[POLICY_FULL].entries = n;
	return *noted;
}

static uint16_t choose(struct world *w, enum policy p, const struct flow *f, uint32_t number, uint32_t what)
{
	struct balancer *b = &w->balancers[p][number];
	uint64_t slot = balancer_slot(b, f->hash);

	if (p == POLICY_FULL)
		return full_owner(w, f, number, slot);
	if (shunt_slot_steady(slot))
		return shunt_slot_current(slot);
	return cache_owner(&b->cache, f->hash, slot, what, ns_of(w->now));
}

static void deliver(struct world *w, enum policy p, struct flow *f, uint32_t number, uint32_t what)
{
	struct result *r = &w->out->of[p];
	uint16_t chosen;

	if (f->broken & 1u << p)
		return;
	chosen = choose(w, p, f, number, what);
	if (what & CACHE_FIRST)
		f->owner[p] = chosen;
	if (chosen == f->owner[p] && chosen != SHUNT_NONE)
		return;
	if (p == POLICY_SECOND_CHANCE && chosen != SHUNT_NONE &&
	    second_chance(&w->balancers[p][number], f, chosen, f->owner[p], r))
		return;
	f->broken |= 1u << p;
	r->broken++;
	r->removed += f->owner[p] != SHUNT_NONE && !w->backends.there[f->owner[p]];
}

static void packet(struct world *w, struct flow *f, uint32_t what)
{
	uint32_t number = ecmp(w, f->hash);

	w->out->packets++;
	for (int p = 0; p < N_POLICIES; p++)
		deliver(w, p, f, number, what);
}

/* ---- flows ---- */

static void wait_for(struct world *w, struct flow *f)
{
	ms_t wait = f->next - w->now;
	uint32_t *list = &w->wheel[(w->now + (wait < WHEEL ? wait : WHEEL - 1)) % WHEEL];

	f->after = *list;
	*list = f - w->flows;
}

static void plan_packet(struct world *w, struct flow *f, ms_t mean)
{
	ms_t next = w->now + random_time(w, mean);

	f->next = next < f->end ? next : f->end;
	wait_for(w, f);
}

static void forget(struct world *w, const struct flow *f)
{
	uint16_t *noted = &w->noted[(f - w->flows) * w->o->balancers];

	for (uint32_t i = 0; i < w->o->balancers; i++) {
		w->full_entries[i] -= noted[i] != SHUNT_NONE;
		noted[i] = SHUNT_NONE;
	}
}

static void begin_flow(struct world *w, struct flow *f)
{
	*f = (struct flow){ .hash = random64(&w->random), .end = w->now + random_time(w, w->o->life) };
	w->out->flows++;
	packet(w, f, CACHE_FIRST);
	plan_packet(w, f, w->o->packet_interval < HANDSHAKE ? w->o->packet_interval : HANDSHAKE);
}

static void go_on(struct world *w, struct flow *f)
{
	if (f->next > w->now) {
		wait_for(w, f);
		return;
	}
	if (w->now < f->end) {
		packet(w, f, 0);
		plan_packet(w, f, w->o->packet_interval);
		return;
	}
	packet(w, f, CACHE_LAST);
	forget(w, f);
	begin_flow(w, f);
}

static void packets_now(struct world *w)
{
	uint32_t *list = &w->wheel[w->now % WHEEL], f = *list, after;

	*list = NOBODY;
	for (; f != NOBODY; f = after) {
		after = w->flows[f].after;
		go_on(w, &w->flows[f]);
	}
}

/* ---- backends ---- */

static int learn(struct world *w, uint32_t number)
{
	const struct view *v;
	int err;

	if (!w->up[number])
		return 0;
	err = backends_view(&w->backends, w->balancers[0][number].begun_after, &v);
	for (int p = 0; p < N_POLICIES && !err; p++)
		err = balancer_follow(&w->balancers[p][number], v, w->backends.keeps, p >= POLICY_TRACKING, w->now);
	return err;
}

static int compare_changes(const void *left, const void *right)
{
	const struct change *a = left, *b = right;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	if (a->what != b->what)
		return a->what < b->what ? -1 : 1;
	return a->arg < b->arg ? -1 : a->arg > b->arg;
}

/* Keeps what lies ahead in order. */
static int plan_change(struct world *w, ms_t at, enum what what, uint32_t arg)
{
	struct change c = { at, what, arg }, *grown;
	uint32_t i = w->n_changes;

	if (w->n_changes == w->room) {
		w->room = w->room ? 2 * w->room : 1024;
		grown = realloc(w->changes, w->room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		w->changes = grown;
	}
	for (; i && compare_changes(&c, &w->changes[i - 1]) < 0; i--)
		w->changes[i] = w->changes[i - 1];
	w->changes[i] = c;
	w->n_changes++;
	return 0;
}

static int table_changed(struct world *w)
{
	int err = 0;

	w->out->changes++;
	for (uint32_t i = 0; i < w->o->balancers && !err; i++) {
		if (w->o->skew)
			err = plan_change(w, w->now + random_below(&w->random, w->o->skew + 1), LEARN, i);
		else
			err = learn(w, i);
	}
	return err;
}

static int drain(struct world *w)
{
	uint32_t batch = backends_drain(&w->backends);

	if (!w->o->drain_most && plan_change(w, w->now + w->o->drain_for, UNDRAIN, batch))
		return -ENOMEM;
	return table_changed(w);
}

/* ---- balancers ---- */

static void set_up(struct world *w, uint32_t number, bool up)
{
	w->up[number] = up;
	w->n_live = 0;
	for (uint32_t i = 0; i < w->o->balancers; i++)
		if (w->up[i])
			w->live[w->n_live++] = i;
	if (up)
		return;
	w->full_entries[number] = 0;
	for (uint32_t i = 0; i < w->o->flows; i++)
		w->noted[i * w->o->balancers + number] = SHUNT_NONE;
}

static int start(struct world *w, uint32_t number)
{
	const struct view *v;
	int err = backends_view(&w->backends, w->backends.n_removals, &v);

	set_up(w, number, true);
	for (int p = 0; p < N_POLICIES && !err; p++)
		err = balancer_start(&w->balancers[p][number], v, w->now);
	return err ? err : learn(w, number);
}

static void sweep(struct world *w)
{
	for (int p = POLICY_TRACKING; p < N_POLICIES; p++) {
		for (uint32_t i = 0; i < w->o->balancers; i++) {
			struct balancer *b = &w->balancers[p][i];

			if (!w->up[i])
				continue;
			balancer_sweep(b, w->now);
			if (b->entries > w->out->of[p].entries)
				w->out->of[p].entries = b->entries;
		}
	}
}

/* ---- the whole ---- */

static int change(struct world *w, const struct change *c)
{
	switch (c->what) {
	case SWEEP:
		sweep(w);
		break;
	case FAIL:
		set_up(w, c->arg, false);
		break;
	case RETURN:
		return start(w, c->arg);
	case UNDRAIN:
		backends_undrain(&w->backends, c->arg);
		return table_changed(w);
	case DRAIN:
		return drain(w);
	case CHANGE:
		backends_change(&w->backends);
		return table_changed(w);
	case LEARN:
		return learn(w, c->arg);
	}
	return 0;
}

static int plan_changes(struct world *w)
{
	const struct options *o = w->o;
	int err = 0;

	for (ms_t t = o->sweep; t < o->duration && !err; t += o->sweep)
		err = plan_change(w, t, SWEEP, 0);
	for (ms_t t = o->drain_first; o->drain_every && t < o->duration && !err; t += o->drain_every)
		err = plan_change(w, t, DRAIN, 0);
	for (ms_t t = o->change_first; o->change_every && t < o->duration && !err; t += o->change_every)
		err = plan_change(w, t, CHANGE, 0);
	for (uint32_t i = o->balancers - o->fail_count; i < o->balancers && !err; i++) {
		err = plan_change(w, o->fail_at, FAIL, i);
		if (!err)
			err = plan_change(w, o->return_at, RETURN, i);
	}
	return err;
}

static int balancers_init(struct world *w)
{
	int err = 0;

	for (int p = 0; p < N_POLICIES && !err; p++) {
		w->balancers[p] = calloc(w->o->balancers, sizeof(*w->balancers[p]));
		if (!w->balancers[p])
			return -ENOMEM;
		for (uint32_t i = 0; i < w->o->balancers && !err; i++)
			err = balancer_init(&w->balancers[p][i], w->o, shunt_mix(w->o->seed + SHUNT_K2 * (i + 1)));
	}
	for (uint32_t i = 0; i < w->o->balancers && !err; i++)
		err = start(w, i);
	return err;
}

static int world_init(struct world *w)
{
	const struct options *o = w->o;
	int err;

	w->random = shunt_mix(o->seed + SHUNT_K1) | 1;
	w->up = calloc(o->balancers, sizeof(*w->up));
	w->live = calloc(o->balancers, sizeof(*w->live));
	w->full_entries = calloc(o->balancers, sizeof(*w->full_entries));
	w->flows = calloc(o->flows, sizeof(*w->flows));
	w->noted = calloc((size_t)o->flows * o->balancers, sizeof(*w->noted));
	w->wheel = calloc(WHEEL, sizeof(*w->wheel));
	if (!w->up || !w->live || !w->full_entries || !w->flows || !w->noted || !w->wheel)
		return -ENOMEM;
	memset(w->noted, 0xff, (size_t)o->flows * o->balancers * sizeof(*w->noted)); /* SHUNT_NONE */
	memset(w->wheel, 0xff, WHEEL * sizeof(*w->wheel)); /* NOBODY */
	err = backends_init(&w->backends, o, &w->random);
	if (!err)
		err = balancers_init(w);
	return err ? err : plan_changes(w);
}

static void world_clear(struct world *w)
{
	for (int p = 0; p < N_POLICIES; p++) {
		for (uint32_t i = 0; w->balancers[p] && i < w->o->balancers; i++)
			balancer_clear(&w->balancers[p][i]);
		free(w->balancers[p]);
	}
	backends_clear(&w->backends);
	free(w->up);
	free(w->live);
	free(w->full_entries);
	free(w->flows);
	free(w->noted);
	free(w->wheel);
	free(w->changes);
}

static void count_evicted(struct world *w)
{
	for (int p = 0; p < N_POLICIES; p++)
		for (uint32_t i = 0; i < w->o->balancers; i++)
			w->out->of[p].evicted += w->balancers[p][i].cache.evicted;
}

int world_run(const struct options *o, struct results *out)
{
	_cleanup_(world_clear) struct world w = { .o = o, .out = out };
	int err;

	*out = (struct results){};
	err = world_init(&w);
	if (err)
		return err;
	for (uint32_t i = 0; i < o->flows; i++)
		begin_flow(&w, &w.flows[i]);
	for (uint32_t next = 0; w.now < o->duration; w.now++) {
		for (; next < w.n_changes && w.changes[next].at <= w.now; next++) {
			struct change c = w.changes[next]; /* which may plan others */

			err = change(&w, &c);
			if (err)
				return err;
		}
		packets_now(&w);
	}
	count_evicted(&w);
	return 0;
}
