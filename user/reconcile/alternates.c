/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who else may know a slot's flows, for services whose tunnels say so (model/alternates.h). live.c remembers who owned
 * the slots; here the words get the heads of the slots' rankings. These depend on the backends and their weights alone,
 * not on health, so it is done once for each table; in portions, because ranking a million slots takes longer than the
 * loop should wait.
 *
 * Who was taken away, or was given weight 0, is not in the table any more, but has flows: it ranks as it did before.
 */
#include <stdlib.h>

#include "base/clean.h"
#include "base/clock.h"
#include "model/alternates.h"
#include "reconcile/internal.h"

#define PORTION_SLOTS 256
#define PORTION_MS 5

static bool is_beside_table(const struct place *p)
{
	return p->node && p->ranks && (p->retiring || !p->weight);
}

/* The table of all that may have flows. NULL: that is the service's own, or there is no memory for another. */
static struct table *wider_table(const struct live *l)
{
	_cleanup_free_ struct table_member *m = calloc(l->n_places + 1, sizeof(*m));
	struct table *t = NULL;
	bool wider = false;

	for (uint32_t i = 0; m && i < l->n_places; i++) {
		const struct place *p = &l->places[i];

		wider |= is_beside_table(p);
		if (p->node && !p->leaving)
			m[i] = (struct table_member){ .key = table_key(p->at.addr.b, p->at.port), .weight = p->ranks };
	}
	if (wider)
		table_build(&t, m, l->n_places, l->table->n_slots);
	return t;
}

static void write_portion(struct live *l, struct reconcile *r, const bool *keeps)
{
	struct shunt_alternates *all = dp_alternates(r->dp) + l->first_slot;
	const __u64 *slots = dp_slots(r->dp) + l->first_slot;
	const struct table *t = l->wider ? l->wider : l->table;
	uint32_t first = l->n_alternates & (t->n_slots - 1);
	uint32_t n = t->n_slots < PORTION_SLOTS ? t->n_slots : PORTION_SLOTS;
	uint16_t ranked[PORTION_SLOTS][TABLE_RANKED];

	table_ranked(t, first, n, ranked);
	for (uint32_t i = 0; i < n; i++, l->n_alternates++) {
		struct shunt_alternates *a = &all[l->n_alternates];
		uint16_t current = shunt_slot_current(slots[l->n_alternates]);

		dp_store(&a->owners, alternates_forget(a->owners, keeps, l->n_places));
		dp_store(&a->ranked, alternates_ranked(t->base[first + i], ranked[i], current));
		dp_store(&a->owners, alternates_guess(a, ranked[i], current));
	}
}

static bool needs_work(const struct live *l)
{
	return l->conf && l->conf->forward == FORWARD_GUE && l->table && l->n_alternates < l->n_slots;
}

static void drop_wider(struct live *l)
{
	table_free(l->wider);
	l->wider = NULL;
}

/* What is made active in its own callback would run before all others; this lets them have their turn. */
static void go_on_later(struct reconcile *r)
{
	event_add(r->alternates, &(struct timeval){});
}

void alternates_go_on(struct live *l, struct reconcile *r)
{
	uint64_t end = monotonic_ms() + PORTION_MS;
	_cleanup_free_ bool *keeps = needs_work(l) ? keep_members(l) : NULL;

	if (keeps && !l->n_alternates) {
		drop_wider(l);
		l->wider = wider_table(l);
	}
	while (keeps && needs_work(l) && monotonic_ms() < end)
		write_portion(l, r, keeps);
	if (needs_work(l))
		go_on_later(r);
	else
		drop_wider(l);
}

static struct live *unfinished(const struct reconcile *r)
{
	for (size_t i = 0; i < r->n_services; i++)
		if (needs_work(r->services[i]))
			return r->services[i];
	return NULL;
}

void alternates_work(evutil_socket_t fd, short what, void *arg)
{
	struct reconcile *r = arg;
	struct live *l = unfinished(r);

	(void)fd;
	(void)what;
	if (l)
		alternates_go_on(l, r);
	if (unfinished(r))
		go_on_later(r);
}
