/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads back from the maps what an earlier daemon left there: which services have which places, which backends are
 * known and how they were. Weights and checks are not in the kernel; the configuration brings them, and tables are
 * computed from it. What no configuration wants is removed by the first apply, like anything else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "reconcile/internal.h"

static int adopt_places(struct reconcile *r, struct live *l)
{
	const struct shunt_member *members = dp_members(r->dp) + l->first_member;
	const struct shunt_backend *backends = dp_backends(r->dp);

	for (uint32_t i = 0; i < l->n_places; i++) {
		struct place *p = &l->places[i];
		uint32_t id = members[i].backend & ~SHUNT_MEMBER_SHUT;
		int err;

		if (!(members[i].flags & SHUNT_MEMBER_USED) || id >= r->backend_ids.size ||
		    !(backends[id].flags & SHUNT_BACKEND_USED))
			continue;
		err = node_adopt(r, id, &p->node);
		if (!err)
			err = node_hold(p->node);
		if (err)
			return err;
		node_use(p->node, l, i);
		p->at = p->node->at;
		p->waits = true;
		p->account = members[i].account;
		err = account_adopt(r, p->account, l->first_member + i);
		if (err)
			return err;
		p->ranks = WEIGHT_DEFAULT; /* as good a guess as any, should the configuration not say */
	}
	return 0;
}

static int claim_regions(struct reconcile *r, struct live *l)
{
	int err = space_claim(&r->service_ids, l->id, 1);

	if (!err)
		err = space_claim(&r->slot_units, l->first_slot / SLOT_UNIT, l->n_slots / SLOT_UNIT);
	if (!err)
		err = space_claim(&r->members, l->first_member, l->n_places);
	return err;
}

/*
 * A transition that the daemon before did not end goes on: what the flow cache knows of it stays valid. And who owns a
 * slot did not wait for a first verdict, and does not now.
 */
static void adopt_slots(struct reconcile *r, struct live *l)
{
	const __u64 *slots = dp_slots(r->dp) + l->first_slot;

	for (uint32_t i = 0; i < l->n_slots; i++) {
		uint16_t owner = shunt_slot_current(slots[i]);

		l->moving += !shunt_slot_steady(slots[i]);
		if (owner < l->n_places)
			l->places[owner].waits = false;
	}
}

/* What was counted at places that were given up, when there was no time to note it. */
static int adopt_counts(struct reconcile *r, struct live *l, struct shunt_service_info *info)
{
	_cleanup_free_ struct shunt_counter *c = calloc(l->n_places, sizeof(*c));
	int err = c ? dp_member_counters(r->dp, l->first_member, l->n_places, c) : -ENOMEM;

	for (uint32_t i = 0; i < l->n_places && !err; i++) {
		if (l->places[i].node || !c[i].packets)
			continue;
		info->retired_packets = l->retired.packets += c[i].packets;
		info->retired_bytes = l->retired.bytes += c[i].bytes;
		err = dp_member_counters_clear(r->dp, l->first_member + i);
		if (!err)
			err = dp_service_info_set(r->dp, l->id, info);
	}
	return err;
}

/* The region of members that the service's table speaks of: of the two that are noted, the one that begins there. */
static int region_of(const struct shunt_service_info *info, uint32_t first_member, uint32_t *n)
{
	for (int i = 1; i >= 0; i--) {
		if (info->members[i].first != first_member || !info->members[i].n)
			continue;
		*n = info->members[i].n;
		return 0;
	}
	return -EINVAL;
}

static int adopt_service(struct reconcile *r, uint32_t id)
{
	__u64 table = dp_services(r->dp)[id].table;
	struct shunt_service_info info;
	struct live *l;
	int err = dp_service_info_get(r->dp, id, &info);

	if (err)
		return err;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	memcpy(l->name, info.name, sizeof(l->name));
	l->name[sizeof(l->name) - 1] = '\0';
	l->id = id;
	l->first_slot = shunt_table_first_slot(table);
	l->n_slots = shunt_table_mask(table) + 1;
	l->first_member = shunt_table_first_member(table);
	l->retired = (struct shunt_counter){ info.retired_packets, info.retired_bytes };
	r->services[r->n_services++] = l;
	r->by_id[id] = l;
	err = region_of(&info, l->first_member, &l->n_places);
	if (!err)
		err = claim_regions(r, l);
	if (err)
		return err;
	l->places = calloc(l->n_places, sizeof(*l->places));
	if (!l->places)
		return -ENOMEM;
	err = adopt_places(r, l);
	adopt_slots(r, l);
	if (!err)
		err = keep_adopt(l, r);
	return err ? err : adopt_counts(r, l, &info);
}

struct list {
	struct applied_listen *all;
	size_t n;
};

static int note_listen(void *arg, const struct listen *l, uint32_t service)
{
	struct list *list = arg;
	struct applied_listen *more = realloc(list->all, (list->n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	list->all = more;
	list->all[list->n++] = (struct applied_listen){ *l, service };
	return 0;
}

int listens_compare(const void *a, const void *b)
{
	return listen_compare(&((const struct applied_listen *)a)->listen, &((const struct applied_listen *)b)->listen);
}

int listens_read(struct reconcile *r)
{
	struct list list = {};
	int err = dp_listener_each(r->dp, note_listen, &list);

	if (err) {
		free(list.all);
		return err;
	}
	if (list.n)
		qsort(list.all, list.n, sizeof(*list.all), listens_compare);
	free(r->listens);
	r->listens = list.all;
	r->n_listens = list.n;
	return 0;
}

int adopt(struct reconcile *r)
{
	const struct shunt_service *services = dp_services(r->dp);
	int err;

	for (uint32_t id = 0; id < r->service_ids.size; id++) {
		if (!(services[id].flags & SHUNT_SERVICE_USED))
			continue;
		err = adopt_service(r, id);
		if (err)
			return err_r(err, "the maps hold a service that cannot be taken up (number %u): %s; "
				     "`shuntd --unload` removes what is loaded", id, strerror(-err));
	}
	accounts_close_unknown(r);
	qsort(r->services, r->n_services, sizeof(*r->services), live_compare);
	err = quic_adopt(r);
	return err ? err : listens_read(r);
}

/* ---- for who wants to know ---- */

/*
 * Those who own slots: who owns none may have been taken away, and only keeps its flows. Weights are not in the kernel: the
 * default is as good a guess as any.
 */
static int show_adopted(const struct live *l, struct service *s)
{
	int err = 0;

	s->name = strdup(l->name);
	if (!s->name)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->n_places && !err; i++) {
		const struct place *p = &l->places[i];
		struct backend b = { .at = p->at, .weight = WEIGHT_DEFAULT, .server_id = p->server_id, .from = 1 };

		if (p->node && !p->waits)
			err = service_backend_add(s, &b);
	}
	return err == -EEXIST ? 0 : err;
}

struct config *reconcile_adopted(const struct reconcile *r)
{
	_cleanup_(config_freep) struct config *c = config_new();

	for (size_t i = 0; c && i < r->n_services; i++) {
		_cleanup_(service_clear) struct service s = service_default();

		if (show_adopted(r->services[i], &s) || config_service_add(c, &s))
			return NULL;
	}
	return TAKE_PTR(c);
}
