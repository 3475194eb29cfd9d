/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The head of each slot's ranking, for services whose tunnels say who else may know a flow (bpf/slot.h, second chance). It
 * depends on the backends and their weights alone, not on their health, so it is written once for each table; in portions,
 * because ranking a million slots takes longer than the loop should wait.
 *
 * Who was taken away, or was given weight 0, is not in the table any more, but has flows: it ranks as it did before.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clean.h"
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

/* The next slots of the table, or of one of its repetitions. */
static void write_portion(struct live *l, struct reconcile *r)
{
	__u64 *rankings = dp_rankings(r->dp) + l->first_slot;
	const struct table *t = l->wider ? l->wider : l->table;
	uint64_t words[PORTION_SLOTS];
	uint32_t n = t->n_slots < PORTION_SLOTS ? t->n_slots : PORTION_SLOTS;

	if (l->n_ranked < t->n_slots)
		table_ranked(t, l->n_ranked, n, words);
	for (uint32_t i = 0; i < n; i++, l->n_ranked++)
		dp_store(&rankings[l->n_ranked],
			 l->n_ranked < t->n_slots ? words[i] : rankings[l->n_ranked & (t->n_slots - 1)]);
}

static bool needs_work(const struct live *l)
{
	return l->conf && l->conf->forward == FORWARD_GUE && l->table && l->n_ranked < l->n_slots;
}

static void drop_wider(struct live *l)
{
	table_free(l->wider);
	l->wider = NULL;
}

void ranking_go_on(struct live *l, struct reconcile *r)
{
	uint64_t end = live_now_ms() + PORTION_MS;

	if (needs_work(l) && !l->n_ranked) {
		drop_wider(l);
		l->wider = wider_table(l);
	}
	while (needs_work(l) && live_now_ms() < end)
		write_portion(l, r);
	if (needs_work(l))
		event_active(r->rank, 0, 0);
	else
		drop_wider(l);
}

void ranking_work(evutil_socket_t fd, short what, void *arg)
{
	struct reconcile *r = arg;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < r->n_services; i++) {
		if (!needs_work(r->services[i]))
			continue;
		ranking_go_on(r->services[i], r);
		return;
	}
}
