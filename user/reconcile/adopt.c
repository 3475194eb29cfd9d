/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads back from the maps what an earlier daemon left there: which services have which places, which backends are known
 * and how they were. Weights and checks are not in the kernel; the configuration brings them, and tables are computed from
 * it. What no configuration wants is removed by the first apply, like anything else.
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
		uint32_t id = members[i].backend;
		int err;

		if (!(members[i].flags & SHUNT_MEMBER_USED) || id >= r->backend_ids.size ||
		    !(backends[id].flags & SHUNT_BACKEND_USED))
			continue;
		err = node_adopt(r, id, &p->node);
		if (!err)
			err = node_use(p->node, l, i);
		if (err)
			return err;
		p->node->refs++;
		p->at = p->node->at;
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

/* A transition that the daemon before did not end goes on: what the flow cache knows of it stays valid. */
static void adopt_transition(struct reconcile *r, struct live *l)
{
	const __u64 *slots = dp_slots(r->dp) + l->first_slot;

	for (uint32_t i = 0; i < l->n_slots; i++)
		l->moving += !shunt_slot_steady(slots[i]);
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
	l->n_places = info.n_members;
	l->retired = (struct shunt_counter){ info.retired_packets, info.retired_bytes };
	l->places = calloc(l->n_places ? l->n_places : 1, sizeof(*l->places));
	if (!l->places) {
		live_free(l);
		return -ENOMEM;
	}
	r->services[r->n_services++] = l;
	r->by_id[id] = l;
	err = claim_regions(r, l);
	if (err)
		return err;
	adopt_transition(r, l);
	return adopt_places(r, l);
}

static int adopt_listen(void *arg, const struct listen *l, uint32_t service)
{
	struct reconcile *r = arg;
	struct applied_listen *more = realloc(r->listens, (r->n_listens + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	r->listens = more;
	r->listens[r->n_listens++] = (struct applied_listen){ *l, service };
	return 0;
}

static int compare_listens(const void *a, const void *b)
{
	return listen_compare(&((const struct applied_listen *)a)->listen, &((const struct applied_listen *)b)->listen);
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
	qsort(r->services, r->n_services, sizeof(*r->services), live_compare);
	err = dp_listener_each(r->dp, adopt_listen, r);
	if (err)
		return err;
	qsort(r->listens, r->n_listens, sizeof(*r->listens), compare_listens);
	return 0;
}
