/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When limits.members has run out: backends that come get the places of those that only keep their last flows, so that
 * a change is not refused for their sake. Who retires for longest goes first, and no more go than must.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clean.h"
#include "base/log.h"
#include "reconcile/internal.h"

static int by_drained(const void *a, const void *b)
{
	const struct place *x = *(struct place *const *)a, *y = *(struct place *const *)b;

	return x->drained_ms < y->drained_ms ? -1 : x->drained_ms > y->drained_ms;
}

/* Places whose backends may go, for they are not wanted back: those that retire for longest first. */
static int retiring_places(const struct plan *p, struct place ***out, uint32_t *n)
{
	const struct live *l = p->live;
	_cleanup_free_ bool *wanted = calloc(l->n_places + 1, sizeof(*wanted));
	struct place **list = calloc(l->n_retiring + 1, sizeof(*list));

	*out = list;
	*n = 0;
	if (!wanted || !list)
		return -ENOMEM;
	for (size_t i = 0; i < p->want->n_backends; i++)
		if (p->place[i] < l->n_places)
			wanted[p->place[i]] = true;
	for (uint32_t i = 0; i < l->n_places; i++)
		if (l->places[i].retiring && !wanted[i])
			list[(*n)++] = &l->places[i];
	qsort(list, *n, sizeof(*list), by_drained);
	return 0;
}

uint32_t yield_room(const struct reconcile *r, const struct live *l)
{
	uint32_t most = space_longest(&r->members);

	if (most > TABLE_MEMBERS_MAX)
		most = TABLE_MEMBERS_MAX;
	return most > l->n_places ? most : l->n_places;
}

int yield_plan(struct plan *p, uint32_t n_places)
{
	_cleanup_free_ struct place **list = NULL;
	uint32_t n, next = 0;
	int err = retiring_places(p, &list, &n);

	if (err)
		return err;
	p->yields = calloc(p->live->n_places + 1, sizeof(*p->yields));
	if (!p->yields)
		return -ENOMEM;
	for (size_t i = 0; i < p->want->n_backends; i++) {
		if (p->place[i] < n_places)
			continue;
		if (next == n)
			return -ENOSPC;
		p->place[i] = list[next++] - p->live->places;
		p->yields[p->place[i]] = true;
	}
	return 0;
}

void yield_commit(struct reconcile *r, const struct plan *p)
{
	struct live *l = p->live;
	unsigned n = 0;

	for (uint32_t i = 0; p->yields && i < l->n_places; i++) {
		if (!p->yields[i])
			continue;
		l->places[i].leaving = true;
		l->places[i].going = 0; /* not by and by: somebody else comes now */
		live_shut(l, r, i, true);
		n++;
	}
	if (!n)
		return;
	log_warn("service %s: limits.members (%u) has no room for backends that come: %u of those that were taken away "
		 "lose the flows that they still have (raise it)", l->name, r->members.size, n);
	live_write_slots(l, r, l->first_slot, l->n_slots);
	keep_purge(l, r);
	plan_give_up(r, l);
}
