/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The head of each slot's ranking, for services whose tunnels say who else may know a flow (bpf/slot.h, second chance). It
 * depends on the backends and their weights alone, not on their health, so it is written once for each table; in portions,
 * because ranking a million slots takes longer than the loop should wait.
 */
#include <time.h>

#include "reconcile/internal.h"

#define PORTION_SLOTS 256
#define PORTION_MS 5

static void write_portion(struct live *l, struct reconcile *r)
{
	__u64 *rankings = dp_rankings(r->dp) + l->first_slot;

	for (uint32_t end = l->n_ranked + PORTION_SLOTS; l->n_ranked < l->n_slots && l->n_ranked < end; l->n_ranked++)
		dp_store(&rankings[l->n_ranked], table_ranked(l->table, l->n_ranked & (l->table->n_slots - 1)));
}

static bool needs_work(const struct live *l)
{
	return l->conf && l->conf->forward == FORWARD_GUE && l->table && l->n_ranked < l->n_slots;
}

void ranking_go_on(struct live *l, struct reconcile *r)
{
	uint64_t end = live_now_ms() + PORTION_MS;

	while (needs_work(l) && live_now_ms() < end)
		write_portion(l, r);
	if (needs_work(l))
		event_active(r->rank, 0, 0);
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
