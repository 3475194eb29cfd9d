/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One service, from what it is to what it shall be. A plan takes everything that can run out (places, regions, memory,
 * tables) before the kernel sees any of it; committing it is stores only, in an order in which a packet between any two
 * of them finds an old or a new backend, never none. What falls out of use is reclaimed after a grace period.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"
#include "reconcile/internal.h"

#define NO_PLACE UINT32_MAX

/* ---- which place each backend gets: the one that it has, or a free one ---- */

static int by_endpoint(const void *a, const void *b)
{
	return endpoint_compare(&(*(struct place *const *)a)->at, &(*(struct place *const *)b)->at);
}

/* Taken places of l, sorted by endpoint, as the backends of a service are. */
static int sorted_places(const struct live *l, struct place ***out, size_t *n)
{
	struct place **sorted = calloc(l->n_places ? l->n_places : 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	*n = 0;
	for (uint32_t i = 0; i < l->n_places; i++)
		if (l->places[i].node)
			sorted[(*n)++] = &l->places[i];
	qsort(sorted, *n, sizeof(*sorted), by_endpoint);
	*out = sorted;
	return 0;
}

static int keep_places(const struct live *l, struct plan *p)
{
	_cleanup_free_ struct place **sorted = NULL;
	size_t n, at = 0;
	int err = sorted_places(l, &sorted, &n);

	if (err)
		return err;
	for (size_t i = 0; i < p->want->n_backends; i++) {
		while (at < n && endpoint_compare(&sorted[at]->at, &p->want->backends[i].at) < 0)
			at++;
		if (at < n && !endpoint_compare(&sorted[at]->at, &p->want->backends[i].at))
			p->place[i] = sorted[at] - l->places;
	}
	return 0;
}

/* Room for half as many again, so that a service that grows seldom moves. */
static uint32_t places_for(size_t n)
{
	uint32_t places = 4;

	while (places < n + n / 2)
		places *= 2;
	return places > TABLE_MEMBERS_MAX ? TABLE_MEMBERS_MAX : places;
}

/* The region may have been another's: a daemon that died had no time to clear its counters. */
static int fresh_region(struct reconcile *r, struct plan *p)
{
	_cleanup_free_ struct shunt_counter *c = calloc(p->n_places, sizeof(*c));

	p->places = calloc(p->n_places, sizeof(*p->places));
	if (!c || !p->places)
		return -ENOMEM;
	if (dp_member_counters(r->dp, p->first_member, p->n_places, c))
		return 0;
	for (uint32_t i = 0; i < p->n_places; i++)
		if (c[i].packets)
			dp_member_counters_clear(r->dp, p->first_member + i);
	return 0;
}

/* Backends without a place get free ones, and then numbers above those that there are. Returns the highest and one. */
static uint32_t number_places(struct plan *p)
{
	const struct live *l = p->live;
	uint32_t next = 0;

	for (size_t i = 0; i < p->want->n_backends; i++) {
		if (p->place[i] != NO_PLACE)
			continue;
		while (next < l->n_places && l->places[next].node)
			next++;
		p->place[i] = next++;
	}
	return next;
}

/* A region with room to grow or, if there is no such one, with so many places or as many as there can be. */
static int take_places(struct reconcile *r, struct plan *p, uint32_t n)
{
	uint32_t roomy = places_for(n), most = yield_room(r, p->live);

	p->n_places = most >= roomy ? roomy : most >= n ? n : most;
	if (p->n_places == p->live->n_places)
		return 0;
	if (space_take(&r->members, p->n_places, &p->first_member)) {
		p->n_places = p->live->n_places;
		return -ENOSPC;
	}
	return fresh_region(r, p);
}

/*
 * A place that is given up by this very change is not free yet: packets may still find it in a slot. If the places do
 * not suffice, the region moves to a larger one, where each keeps its number.
 */
static int new_places(struct reconcile *r, struct plan *p)
{
	const struct live *l = p->live;
	uint32_t next = number_places(p);
	int err;

	p->first_member = l->first_member;
	p->n_places = l->n_places;
	if (!p->fresh && next <= l->n_places)
		return 0;
	if (p->want->n_backends > TABLE_MEMBERS_MAX)
		return err_r(-ENOSPC, "service %s: more than %u backends", p->want->name, TABLE_MEMBERS_MAX);
	err = take_places(r, p, next > p->want->n_backends ? next : p->want->n_backends);
	if (!err && next > p->n_places)
		err = yield_plan(p, p->n_places);
	if (err == -ENOSPC)
		return err_r(-ENOSPC, "service %s: no room for its backends: raise limits.members (%u)", p->want->name,
			     r->members.size);
	return err;
}

/* ---- nodes, table, slots ---- */

/* The node that the service has the backend by now; NULL: it comes with the plan. */
static struct node *node_before(const struct plan *p, size_t i)
{
	uint32_t place = p->place[i];

	return place < p->live->n_places && !(p->yields && p->yields[place]) ? p->live->places[place].node : NULL;
}

static int get_nodes(struct reconcile *r, struct plan *p)
{
	enum forward forward = p->at & AT_EDGE ? p->want->forward : FORWARD_LOCAL;

	for (size_t i = 0; i < p->want->n_backends; i++) {
		int err = node_get(r, p->want, forward, &p->want->backends[i].at, node_before(p, i), &p->node[i]);

		if (err)
			return err;
	}
	return 0;
}

struct table_member *plan_members(const struct service *want, const uint32_t *place, struct node *const *node,
				  uint32_t n_places)
{
	struct table_member *m = calloc(n_places ? n_places : 1, sizeof(*m));

	for (size_t i = 0; m && i < want->n_backends; i++) {
		const struct backend *b = &want->backends[i];

		m[place[i]] = (struct table_member){
			.key = table_key(b->at.addr.b, b->at.port),
			.weight = b->weight,
			.alive = b->admin == ADMIN_ENABLED && (!node[i] || node_usable(node[i])),
		};
	}
	return m;
}

/*
 * Who comes to a service with a proven backend waits for its first verdict. Where nobody is proven all are used at
 * once, and go on being used while their verdicts come in, so that a service that starts has no changes from that.
 */
static void plan_waits(struct plan *p, struct table_member *m)
{
	for (size_t i = 0; i < p->want->n_backends && !p->waits; i++) {
		const struct backend *b = &p->want->backends[i];

		p->waits = b->weight && b->admin == ADMIN_ENABLED && node_proven(p->node[i]);
	}
	for (size_t i = 0; i < p->want->n_backends && p->waits; i++)
		if (!node_before(p, i) && !node_proven(p->node[i]))
			m[p->place[i]].alive = false;
}

static bool same_base(const struct table *t, const struct table_member *m, uint32_t n, uint32_t n_slots)
{
	if (!t || t->n_slots != n_slots || t->n_members != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (t->members[i].weight != m[i].weight || (m[i].weight && t->members[i].key != m[i].key))
			return false;
	return true;
}

static int new_slots(struct reconcile *r, struct plan *p, uint32_t n_slots)
{
	uint32_t unit;

	if (space_take(&r->slot_units, n_slots / SLOT_UNIT, &unit))
		return err_r(-ENOSPC, "service %s: no room for its %u slots: raise limits.slots (%u)", p->want->name,
			     n_slots, r->slot_units.size * SLOT_UNIT);
	p->first_slot = unit * SLOT_UNIT;
	p->n_slots = n_slots;
	return 0;
}

static int plan_table(struct reconcile *r, struct plan *p)
{
	_cleanup_free_ struct table_member *m = plan_members(p->want, p->place, p->node, p->n_places);
	uint32_t n_slots;
	int err;

	if (!m)
		return -ENOMEM;
	plan_waits(p, m);
	n_slots = p->want->slots ? p->want->slots : table_slots_for(m, p->n_places);
	p->first_slot = p->live->first_slot;
	p->n_slots = p->live->n_slots;
	if (!same_base(p->live->table, m, p->n_places, n_slots)) {
		err = table_follow(&p->table, p->live->table, m, p->n_places, n_slots);
		if (err)
			return err;
	}
	/* In a smaller region slots that fall together would lose their anchors; it shrinks when they are steady. */
	return n_slots <= p->live->n_slots ? 0 : new_slots(r, p, n_slots);
}

static int fresh_live(struct reconcile *r, struct plan *p)
{
	p->live = calloc(1, sizeof(*p->live));
	if (!p->live)
		return -ENOMEM;
	p->fresh = true;
	p->live->id = SHUNT_UNSET;
	p->live->born_ms = monotonic_ms();
	strcpy(p->live->name, p->want->name);
	if (space_take(&r->service_ids, 1, &p->live->id))
		return err_r(-ENOSPC, "more services than limits.services (%u): raise it", r->service_ids.size);
	/* the number may have been another's */
	__atomic_store_n(&dp_refused(r->dp)[p->live->id], 0, __ATOMIC_RELAXED);
	return dp_flow_counters_clear(r->dp, p->live->id);
}

int plan_make(struct reconcile *r, const struct config *c, const struct service *want, struct plan *p)
{
	int err = 0;

	*p = (struct plan){ .want = want, .at = service_is_at(c, want), .live = live_find(r, want->name) };
	p->place = calloc(want->n_backends + 1, sizeof(*p->place));
	p->node = calloc(want->n_backends + 1, sizeof(*p->node));
	if (!p->place || !p->node)
		return -ENOMEM;
	memset(p->place, 0xff, want->n_backends * sizeof(*p->place)); /* NO_PLACE */
	if (!p->live)
		err = fresh_live(r, p);
	if (!err)
		err = keep_places(p->live, p);
	if (!err)
		err = new_places(r, p);
	if (!err)
		err = get_nodes(r, p);
	return err ? err : plan_table(r, p);
}

void plan_drop(struct reconcile *r, struct plan *p)
{
	struct live *l = p->live;

	for (size_t i = 0; p->node && i < p->want->n_backends; i++)
		if (p->node[i])
			node_put(p->node[i]);
	if (l && p->n_slots && (p->fresh || p->n_slots != l->n_slots))
		space_release(&r->slot_units, p->first_slot / SLOT_UNIT, p->n_slots / SLOT_UNIT);
	if (l && p->n_places && (p->fresh || p->n_places != l->n_places))
		space_release(&r->members, p->first_member, p->n_places);
	if (p->fresh) {
		if (l->id != SHUNT_UNSET)
			space_release(&r->service_ids, l->id, 1);
		live_free(l);
	}
	table_free(p->table);
	free(p->place);
	free(p->places);
	free(p->yields);
	free(p->node);
	*p = (struct plan){};
}

/* ---- carrying it out: nothing here can run out any more ---- */

static void leave(struct leftovers *left, struct leftover item)
{
	left->items[left->n++] = item;
}

size_t live_leaves(const struct live *l)
{
	return l->n_places + 1;
}

/* Places and their region when it moves, places that are given up, a reference for each backend, and the slots. */
size_t plan_leaves(const struct plan *p)
{
	return live_leaves(p->live) + p->live->n_places + p->want->n_backends + 1;
}

/* The region of members moves: places keep their numbers, counters begin anew and the old ones are carried along. */
static void move_members(struct reconcile *r, struct plan *p, struct leftovers *left)
{
	struct live *l = p->live;
	struct shunt_member *members = dp_members(r->dp);

	if (l->n_places)
		memcpy(p->places, l->places, l->n_places * sizeof(*p->places));
	memset(members + p->first_member, 0, p->n_places * sizeof(*members)); /* of a service before */
	for (uint32_t i = 0; i < l->n_places; i++) {
		members[p->first_member + i] = members[l->first_member + i];
		account_write(r, &l->places[i], p->first_member + i);
		if (l->places[i].node)
			leave(left, (struct leftover){ .live = l, .place = i, .member = l->first_member + i,
						       .carry = true });
	}
	if (l->n_places)
		leave(left, (struct leftover){ .member = SHUNT_UNSET, .first_member = l->first_member,
					       .n_members = l->n_places });
	free(l->places);
	l->places = TAKE_PTR(p->places);
}

static void set_place(struct reconcile *r, struct plan *p, size_t i, struct leftovers *left)
{
	struct live *l = p->live;
	const struct backend *b = &p->want->backends[i];
	struct place *at = &l->places[p->place[i]];

	at->going = 0;
	at->shut = false;
	if (!at->node)
		*at = (struct place){ .waits = p->waits, .account = account_open(r) };
	dp_members(r->dp)[p->first_member + p->place[i]].account = at->account;
	member_store(r, p->first_member + p->place[i],
		     p->node[i]->id | (b->admin == ADMIN_DISABLED ? SHUNT_MEMBER_SHUT : 0), SHUNT_MEMBER_USED);
	if (at->node != p->node[i]) {
		if (at->node)
			node_unuse(at->node, l, p->place[i]);
		node_use(p->node[i], l, p->place[i]);
	}
	if (at->node) /* every plan takes references of its own */
		leave(left, (struct leftover){ .node = at->node, .member = SHUNT_UNSET });
	at->node = TAKE_PTR(p->node[i]);
	at->at = b->at;
	at->weight = b->weight;
	if (b->weight)
		at->ranks = b->weight;
	at->server_id = b->server_id;
	if (b->admin != at->admin || !at->drained_ms)
		at->drained_ms = monotonic_ms();
	at->let_go = false;
	l->n_retiring -= at->retiring;
	at->retiring = false;
	at->admin = b->admin;
	account_write(r, at, p->first_member + p->place[i]);
}

static bool may_retire(const struct live *l, const struct place *p)
{
	const struct tracking *t = &l->conf->tracking;

	return p->node && node_usable(p->node) && p->admin != ADMIN_DISABLED && !p->let_go && !p->going && t->drain_ms &&
	       t->transition_ms;
}

static void retire(struct live *l, struct place *p)
{
	if (p->admin != ADMIN_DRAINING)
		p->drained_ms = monotonic_ms();
	p->admin = ADMIN_DRAINING;
	l->n_retiring += !p->retiring;
	p->retiring = true;
}

/* Places that the new configuration does not name: those that live keep their flows, to the others no slot may lead. */
static void mark_leaving(struct plan *p)
{
	struct live *l = p->live;

	for (uint32_t i = 0; i < p->n_places; i++)
		l->places[i].leaving = true;
	for (size_t i = 0; i < p->want->n_backends; i++)
		l->places[p->place[i]].leaving = false;
	for (uint32_t i = 0; i < p->n_places; i++) {
		if (!l->places[i].leaving || !may_retire(l, &l->places[i]))
			continue;
		l->places[i].leaving = false;
		retire(l, &l->places[i]);
	}
}

/* It leads to its backend until the grace period is over: packets under way may have found it in a slot. */
static void give_up(struct reconcile *r, struct live *l, uint32_t i, struct leftovers *left)
{
	struct place *at = &l->places[i];

	__atomic_store_n(&dp_members(r->dp)[l->first_member + i].flags, 0, __ATOMIC_RELEASE);
	node_unuse(at->node, l, i);
	leave(left, (struct leftover){ .live = l, .place = i, .node = at->node, .member = l->first_member + i,
				       .account = at->account });
	l->n_retiring -= at->retiring;
	*at = (struct place){};
}

static void give_up_places(struct reconcile *r, struct live *l, struct leftovers *left)
{
	for (uint32_t i = 0; i < l->n_places; i++)
		if (place_is_to_go(&l->places[i]))
			give_up(r, l, i, left);
}

/*
 * Numbers in slots are places, and count from the first member: so first the members move, where every number of before
 * means what it meant, and then slots may speak of new ones.
 */
static int commit_members(struct reconcile *r, struct plan *p, struct leftovers *left)
{
	struct live *l = p->live;
	int err = live_write_info(r, l, p->first_member, p->n_places);

	if (p->places)
		move_members(r, p, left);
	for (size_t i = 0; i < p->want->n_backends; i++)
		set_place(r, p, i, left);
	l->first_member = p->first_member;
	l->n_places = p->n_places;
	if (!p->fresh)
		live_write_service(l, r, p->want);
	return err;
}

static void commit_slots(struct reconcile *r, struct plan *p, struct leftovers *left)
{
	struct live *l = p->live;
	bool changed = p->fresh || p->table;

	if (p->table) {
		table_free(l->table);
		l->table = TAKE_PTR(p->table);
		l->n_alternates = 0;
	}
	changed |= live_follow(l, UINT32_MAX) > 0; /* what this configuration drains or enables */
	if (changed || l->moving || p->first_slot != l->first_slot)
		live_write_slots(l, r, p->first_slot, p->n_slots);
	else
		turns_follow(l, r);
	if (l->n_slots && l->n_slots != p->n_slots)
		leave(left, (struct leftover){ .member = SHUNT_UNSET, .first_slot = l->first_slot,
					       .n_slots = l->n_slots });
	if (l->first_slot != p->first_slot)
		l->n_alternates = 0;
	l->first_slot = p->first_slot;
	l->n_slots = p->n_slots;
	alternates_go_on(l, r);
	live_write_service(l, r, p->want);
}

int plan_commit(struct reconcile *r, struct plan *p, struct leftovers *left)
{
	struct live *l = p->live;
	int err, clients;

	yield_commit(r, p);
	l->at = p->at;
	clients = dp_clients_set(r->dp, l->id, &p->want->clients.cgroups, &p->want->clients.namespaces);
	err = commit_members(r, p, left);
	l->conf = p->want;
	mark_leaving(p);
	commit_slots(r, p, left);
	if (p->fresh) {
		r->services[r->n_services++] = l; /* there is room for limits.services; the caller sorts */
		r->by_id[l->id] = l;
		p->fresh = false;
	}
	keep_purge(l, r);
	give_up_places(r, l, left);
	return err ? err : clients;
}

void plan_remove(struct reconcile *r, struct live *l, struct leftovers *left)
{
	__atomic_store_n(&dp_services(r->dp)[l->id].flags, 0, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < l->n_places; i++)
		if (l->places[i].node)
			give_up(r, l, i, left);
	leave(left, (struct leftover){ .member = SHUNT_UNSET, .first_slot = l->first_slot, .n_slots = l->n_slots,
				       .first_member = l->first_member, .n_members = l->n_places });
}

void plan_give_up(struct reconcile *r, struct live *l)
{
	struct leftovers left = { .items = calloc(live_leaves(l), sizeof(*left.items)) };

	if (!left.items)
		return;
	give_up_places(r, l, &left);
	quic_follow(r);
	leftovers_reclaim(r, &left);
}
