/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is so, and what would be: for the control socket and metrics. Nothing here changes anything. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "reconcile/internal.h"

/* One word for what the operator and the checks say. */
static enum state state_of(const struct place *p)
{
	if (p->admin == ADMIN_DISABLED)
		return STATE_DISABLED;
	if (p->admin == ADMIN_DRAINING)
		return STATE_DRAINING;
	return p->node->health;
}

static uint64_t open_connections(const struct reconcile *r, const struct place *p)
{
	return p->account ? __atomic_load_n(&dp_connections(r->dp)[p->account].open, __ATOMIC_RELAXED) : 0;
}

static void view_backend(const struct reconcile *r, const struct live *l, uint32_t place, const struct shunt_counter *c,
			 struct reconcile_backend *out)
{
	const struct place *p = &l->places[place];

	*out = (struct reconcile_backend){
		.at = p->at,
		.weight = p->weight,
		.server_id = p->server_id,
		.state = state_of(p),
		.nexthop = p->node->want ? nexthop_get(p->node->want) : NULL,
		.slots = l->owned ? l->owned[place] : 0,
		.id = p->node->id,
		.member = l->first_member + place,
		.packets = p->carried.packets + c->packets,
		.bytes = p->carried.bytes + c->bytes,
	};
	if (p->node->target)
		health_query(p->node->target, &out->health);
	out->connections = open_connections(r, p);
	out->connects = __atomic_load_n(&dp_connections(r->dp)[p->account].made, __ATOMIC_RELAXED);
}

static int by_endpoint(const void *a, const void *b)
{
	return endpoint_compare(&((const struct reconcile_backend *)a)->at, &((const struct reconcile_backend *)b)->at);
}

/* Slots of the table, where it is repeated: as large a share of it as of the region, and one if it is any. */
static uint32_t moving(const struct live *l)
{
	uint32_t repeats = l->n_slots / l->table->n_slots;

	return (l->moving + repeats - 1) / repeats;
}

int reconcile_service(const struct reconcile *r, const char *name, struct reconcile_service *out)
{
	_cleanup_free_ struct shunt_counter *counters = NULL;
	struct shunt_flow_counter flows = {};
	struct live *l = live_find(r, name);
	int err;

	if (!l || !l->conf)
		return -ENOENT;
	live_digest(l);
	dp_flow_counters(r->dp, l->id, &flows);
	*out = (struct reconcile_service){ .conf = l->conf, .id = l->id,
					   .n_slots = l->table->n_slots, .moving = moving(l),
					   .flows = l->log2_buckets ? l->noted : 0,
					   .max_flows = l->log2_buckets ? SHUNT_FLOW_WAYS << l->log2_buckets : 0,
					   .flows_noted = flows.noted, .flows_evicted = flows.evicted, .let_go = l->let_go,
					   .uncached = l->uncached, .at = l->at,
					   .refused = __atomic_load_n(&dp_refused(r->dp)[l->id], __ATOMIC_RELAXED),
					   .retiring = l->n_retiring,
					   .fingerprint = l->fingerprint, .packets = l->retired.packets,
					   .bytes = l->retired.bytes };
	counters = calloc(l->n_places + 1, sizeof(*counters));
	out->backends = calloc(l->conf->n_backends + 1, sizeof(*out->backends));
	err = counters && out->backends ? dp_member_counters(r->dp, l->first_member, l->n_places, counters) : -ENOMEM;
	for (uint32_t i = 0; i < l->n_places && !err; i++) {
		out->packets += counters[i].packets;
		out->bytes += counters[i].bytes;
		out->connections += l->places[i].node ? open_connections(r, &l->places[i]) : 0;
		if (l->places[i].node && !l->places[i].retiring && out->n_backends < l->conf->n_backends)
			view_backend(r, l, i, &counters[i], &out->backends[out->n_backends++]);
	}
	if (err)
		reconcile_service_clear(out);
	else
		qsort(out->backends, out->n_backends, sizeof(*out->backends), by_endpoint);
	return err;
}

void reconcile_service_clear(struct reconcile_service *s)
{
	free(s->backends);
	*s = (struct reconcile_service){};
}

const char *reconcile_service_name(const struct reconcile *r, uint32_t service)
{
	return service < r->service_ids.size && r->by_id[service] ? r->by_id[service]->name : NULL;
}

bool reconcile_backend_at(const struct reconcile *r, uint32_t backend, struct endpoint *out)
{
	if (backend >= r->backend_ids.size || !r->node_by_id[backend])
		return false;
	*out = r->node_by_id[backend]->at;
	return true;
}

static int by_first(const void *a, const void *b)
{
	const struct reconcile_region *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

int reconcile_regions(const struct reconcile *r, struct reconcile_region **out, size_t *n)
{
	struct reconcile_region *list = calloc(r->n_services + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_services; i++)
		list[i] = (struct reconcile_region){ r->services[i]->first_member, r->services[i]->n_places,
						     r->services[i]->name };
	qsort(list, r->n_services, sizeof(*list), by_first);
	*out = list;
	*n = r->n_services;
	return 0;
}

void reconcile_stats(const struct reconcile *r, struct reconcile_stats *out)
{
	*out = r->stats;
	out->services = r->service_ids.used;
	out->members = r->members.used;
	out->backends = r->backend_ids.used;
	out->slots = r->slot_units.used * SLOT_UNIT;
	out->flows = r->flow_units.used * FLOW_UNIT * SHUNT_FLOW_WAYS;
	out->listeners = r->n_listens;
}

/* ---- what a configuration would move ---- */

static int by_place_endpoint(const void *a, const void *b)
{
	return endpoint_compare(&(*(const struct place *const *)a)->at, &(*(const struct place *const *)b)->at);
}

/* node[i]: of the i-th backend of s, where l has one. node is zeroed; l may be NULL. */
static int known_nodes(const struct live *l, const struct service *s, struct node **node)
{
	_cleanup_free_ const struct place **sorted = calloc(l ? l->n_places + 1 : 1, sizeof(*sorted));
	size_t n = 0;

	if (!sorted)
		return -ENOMEM;
	for (uint32_t i = 0; l && i < l->n_places; i++)
		if (l->places[i].node)
			sorted[n++] = &l->places[i];
	qsort(sorted, n, sizeof(*sorted), by_place_endpoint);
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct place key = { .at = s->backends[i].at }, *at = &key;
		const struct place **found = bsearch(&at, sorted, n, sizeof(*sorted), by_place_endpoint);

		node[i] = found ? (*found)->node : NULL;
	}
	return 0;
}

static bool same_owners(const struct service *a, const struct service *b)
{
	if (a->slots != b->slots || a->n_backends != b->n_backends)
		return false;
	for (size_t i = 0; i < a->n_backends; i++)
		if (endpoint_compare(&a->backends[i].at, &b->backends[i].at) ||
		    a->backends[i].weight != b->backends[i].weight || a->backends[i].admin != b->backends[i].admin)
			return false;
	return true;
}

static int table_of(const struct live *l, const struct service *s, struct table **out)
{
	_cleanup_free_ uint32_t *place = calloc(s->n_backends + 1, sizeof(*place));
	_cleanup_free_ struct node **node = calloc(s->n_backends + 1, sizeof(*node));
	_cleanup_free_ struct table_member *m = NULL;

	if (!place || !node || known_nodes(l, s, node))
		return -ENOMEM;
	for (size_t i = 0; i < s->n_backends; i++)
		place[i] = i;
	m = plan_members(s, place, node, s->n_backends);
	if (!m)
		return -ENOMEM;
	return table_build(out, m, s->n_backends, s->slots ? s->slots : table_slots_for(m, s->n_backends));
}

static int preview_service(const struct live *l, const struct service *want, reconcile_move_fn fn, void *arg)
{
	_cleanup_(table_freep) struct table *next = NULL;
	uint32_t moved, of = 0;
	int err;

	if (l && l->conf && l->conf->affinity != want->affinity) { /* every flow gets another slot */
		fn(arg, want->name, false, want->n_backends > 1 ? l->table->n_slots : 0, l->table->n_slots);
		return 0;
	}
	if (l && l->conf && same_owners(l->conf, want)) {
		fn(arg, want->name, false, 0, l->table->n_slots);
		return 0;
	}
	err = table_of(l, want, &next);
	if (err)
		return err;
	moved = table_moved(l ? l->table : NULL, next, &of);
	fn(arg, want->name, !l, l ? moved : 0, of);
	return 0;
}

/* All of its slots lose their owner. Without a table it was adopted, and no configuration named it yet. */
static void preview_end(const struct live *l, reconcile_move_fn fn, void *arg)
{
	uint32_t n = l->table ? l->table->n_slots : l->n_slots;

	fn(arg, l->name, false, n, n);
}

int reconcile_preview(const struct reconcile *r, const struct config *wanted, reconcile_move_fn fn, void *arg)
{
	int err = 0;

	for (size_t i = 0; i < wanted->n_services && !err; i++)
		err = preview_service(live_find(r, wanted->services[i].name), &wanted->services[i], fn, arg);
	for (size_t i = 0; i < r->n_services && !err; i++)
		if (!config_service(wanted, r->services[i]->name))
			preview_end(r->services[i], fn, arg);
	return err;
}
