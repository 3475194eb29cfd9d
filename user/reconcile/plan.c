/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One service, from what it is to what it shall be. A plan takes everything that can run out (places, regions, memory,
 * tables) before the kernel sees any of it; committing it is stores only, in an order in which a packet between any two of
 * them finds an old or a new backend, never none. What falls out of use is reclaimed after a grace period.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
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

/*
 * Backends without a place get free ones. A place that is given up by this very change is not free yet: packets may still
 * find it in a slot. If the places do not suffice, the region moves to a larger one, where each keeps its number.
 */
static int new_places(struct reconcile *r, struct plan *p)
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
	p->first_member = l->first_member;
	p->n_places = l->n_places;
	if (!p->fresh && next <= l->n_places)
		return 0;
	if (next > TABLE_MEMBERS_MAX)
		return err_r(-ENOSPC, "service %s: more than %u backends", p->want->name, TABLE_MEMBERS_MAX);
	p->n_places = places_for(next > p->want->n_backends ? next : p->want->n_backends);
	if (space_take(&r->members, p->n_places, &p->first_member)) {
		p->n_places = l->n_places;
		return err_r(-ENOSPC, "service %s: no room for its backends: raise limits.members (%u)", p->want->name,
			     r->members.size);
	}
	return 0;
}

/* ---- nodes, table, slots ---- */

static int get_nodes(struct reconcile *r, struct plan *p)
{
	for (size_t i = 0; i < p->want->n_backends; i++) {
		struct node *has = p->place[i] < p->live->n_places ? p->live->places[p->place[i]].node : NULL;
		int err = node_get(r, p->want, &p->want->backends[i].at, has, &p->node[i]);

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

static bool same_base(const struct table *t, const struct table_member *m, uint32_t n, uint32_t n_slots)
{
	if (!t || t->n_slots != n_slots || t->n_members != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (t->members[i].weight != m[i].weight || (m[i].weight && t->members[i].key != m[i].key))
			return false;
	return true;
}

static int plan_table(struct reconcile *r, struct plan *p)
{
	_cleanup_free_ struct table_member *m = plan_members(p->want, p->place, p->node, p->n_places);
	uint32_t unit;
	int err;

	if (!m)
		return -ENOMEM;
	p->n_slots = p->want->slots ? p->want->slots : table_slots_for(m, p->n_places);
	/* A smaller table would have to forget the anchors of slots that fall together: older flows would break. */
	if (!p->want->slots && p->n_slots < p->live->n_slots)
		p->n_slots = p->live->n_slots;
	p->first_slot = p->live->first_slot;
	if (!same_base(p->live->table, m, p->n_places, p->n_slots)) {
		err = table_build(&p->table, m, p->n_places, p->n_slots);
		if (err)
			return err;
	}
	if (!p->fresh && p->n_slots == p->live->n_slots)
		return 0;
	if (space_take(&r->slot_units, p->n_slots / SLOT_UNIT, &unit)) {
		uint32_t slots = p->n_slots;

		p->n_slots = p->live->n_slots;
		return err_r(-ENOSPC, "service %s: no room for its %u slots: raise limits.slots (%u)", p->want->name,
			     slots, r->slot_units.size * SLOT_UNIT);
	}
	p->first_slot = unit * SLOT_UNIT;
	return 0;
}

static int fresh_live(struct reconcile *r, struct plan *p)
{
	p->live = calloc(1, sizeof(*p->live));
	if (!p->live)
		return -ENOMEM;
	p->fresh = true;
	p->live->id = SHUNT_UNSET;
	p->live->born_ms = live_now_ms();
	strcpy(p->live->name, p->want->name);
	if (space_take(&r->service_ids, 1, &p->live->id))
		return err_r(-ENOSPC, "more services than limits.services (%u): raise it", r->service_ids.size);
	return 0;
}

int plan_make(struct reconcile *r, const struct service *want, struct plan *p)
{
	int err = 0;

	*p = (struct plan){ .want = want, .live = live_find(r, want->name) };
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
	free(p->node);
	*p = (struct plan){};
}

/* ---- carrying it out ---- */

static int leave(struct leftovers *left, struct leftover item)
{
	if (left->n == left->room) {
		size_t room = left->room ? 2 * left->room : 64;
		struct leftover *more = realloc(left->items, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		left->items = more;
		left->room = room;
	}
	left->items[left->n++] = item;
	return 0;
}

/* The region of members moves: places keep their numbers, counters begin anew and the old ones are carried along. */
static int move_members(struct reconcile *r, struct plan *p, struct leftovers *left)
{
	struct live *l = p->live;
	struct place *places = calloc(p->n_places, sizeof(*places));
	int err = places ? 0 : -ENOMEM;

	if (err)
		return err;
	if (l->n_places)
		memcpy(places, l->places, l->n_places * sizeof(*places));
	memset(dp_members(r->dp) + p->first_member, 0, p->n_places * sizeof(struct shunt_member)); /* of a service before */
	for (uint32_t i = 0; i < l->n_places; i++) {
		dp_members(r->dp)[p->first_member + i] = dp_members(r->dp)[l->first_member + i];
		if (places[i].node && !err)
			err = leave(left, (struct leftover){ .live = l, .place = i, .member = l->first_member + i,
							     .carry = true });
	}
	if (l->n_places && !err)
		err = leave(left, (struct leftover){ .member = SHUNT_UNSET, .first_member = l->first_member,
						     .n_members = l->n_places });
	free(l->places);
	l->places = places;
	return err;
}

static int set_place(struct reconcile *r, struct plan *p, size_t i, struct leftovers *left)
{
	struct live *l = p->live;
	const struct backend *b = &p->want->backends[i];
	struct place *at = &l->places[p->place[i]];
	int err = 0;

	if (at->node != p->node[i]) {
		if (at->node)
			node_unuse(at->node, l, p->place[i]);
		err = node_use(p->node[i], l, p->place[i]);
		dp_members(r->dp)[p->first_member + p->place[i]] =
			(struct shunt_member){ p->node[i]->id, SHUNT_MEMBER_USED };
	}
	if (!at->node)
		at->carried = (struct shunt_counter){};
	if (at->node && !err) /* every plan takes references of its own */
		err = leave(left, (struct leftover){ .node = at->node, .member = SHUNT_UNSET });
	at->node = TAKE_PTR(p->node[i]);
	at->at = b->at;
	at->weight = b->weight;
	at->admin = b->admin;
	return err;
}

/* Places that the new configuration does not name: no slot may lead there any more. */
static void mark_leaving(struct plan *p)
{
	struct live *l = p->live;

	for (uint32_t i = 0; i < p->n_places; i++)
		l->places[i].leaving = true;
	for (size_t i = 0; i < p->want->n_backends; i++)
		l->places[p->place[i]].leaving = false;
}

/* They stay in the members' map until the grace period is over. */
static int give_up_places(struct reconcile *r, struct plan *p, struct leftovers *left)
{
	struct live *l = p->live;
	int err = 0;

	for (uint32_t i = 0; !err && i < p->n_places; i++) {
		struct place *at = &l->places[i];

		if (!at->node || !at->leaving)
			continue;
		node_unuse(at->node, l, i);
		err = leave(left, (struct leftover){ .live = l, .place = i, .node = at->node,
						     .member = p->first_member + i });
		dp_members(r->dp)[p->first_member + i].flags = 0;
		*at = (struct place){};
	}
	return err;
}

static int write_info(struct reconcile *r, const struct live *l)
{
	struct shunt_service_info info = {
		.retired_packets = l->retired.packets,
		.retired_bytes = l->retired.bytes,
		.n_members = l->n_places,
	};

	memcpy(info.name, l->name, sizeof(info.name));
	return dp_service_info_set(r->dp, l->id, &info);
}

static void write_service(struct reconcile *r, const struct live *l)
{
	struct shunt_service *s = &dp_services(r->dp)[l->id];

	dp_store(&s->table, shunt_table(l->first_slot, __builtin_ctz(l->n_slots), l->first_member));
	__atomic_store_n(&s->flags, SHUNT_SERVICE_USED, __ATOMIC_RELEASE);
}

int plan_commit(struct reconcile *r, struct plan *p, struct leftovers *left)
{
	struct live *l = p->live;
	bool moves = p->fresh || p->n_places != l->n_places, changed = p->fresh || p->table;
	uint32_t old_slot = l->first_slot, old_slots = l->n_slots;
	int err = 0;

	if (moves)
		err = move_members(r, p, left);
	for (size_t i = 0; !err && i < p->want->n_backends; i++)
		err = set_place(r, p, i, left);
	if (err)
		return err;
	l->first_member = p->first_member;
	l->n_places = p->n_places;
	mark_leaving(p);
	if (p->table) {
		table_free(l->table);
		l->table = TAKE_PTR(p->table);
	}
	l->conf = p->want;
	changed |= live_follow(l, UINT32_MAX) > 0; /* what this configuration drains or enables */
	if (changed || l->moving || p->first_slot != l->first_slot)
		live_write_slots(l, r, p->first_slot);
	l->first_slot = p->first_slot;
	l->n_slots = p->n_slots;
	err = write_info(r, l);
	write_service(r, l);
	if (p->fresh) {
		r->services[r->n_services++] = l; /* there is room for limits.services; reconcile_apply sorts */
		r->by_id[l->id] = l;
		p->fresh = false;
	} else if (old_slots != l->n_slots) {
		err = leave(left, (struct leftover){ .member = SHUNT_UNSET, .first_slot = old_slot,
						     .n_slots = old_slots });
	}
	return err ? err : give_up_places(r, p, left);
}

int plan_remove(struct reconcile *r, struct live *l, struct leftovers *left)
{
	int err = 0;

	__atomic_store_n(&dp_services(r->dp)[l->id].flags, 0, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < l->n_places && !err; i++) {
		if (!l->places[i].node)
			continue;
		node_unuse(l->places[i].node, l, i);
		err = leave(left, (struct leftover){ .live = l, .place = i, .node = l->places[i].node,
						     .member = l->first_member + i });
		dp_members(r->dp)[l->first_member + i].flags = 0;
	}
	if (!err)
		err = leave(left, (struct leftover){ .member = SHUNT_UNSET, .first_slot = l->first_slot,
						     .n_slots = l->n_slots, .first_member = l->first_member,
						     .n_members = l->n_places });
	return err;
}

/* ---- after the grace period ---- */

static void retire_counts(struct reconcile *r, const struct leftover *item)
{
	struct shunt_counter c;
	struct live *l = item->live;

	if (dp_member_counters(r->dp, item->member, 1, &c))
		return;
	dp_member_counters_clear(r->dp, item->member);
	if (!c.packets)
		return;
	l->retired.packets += c.packets;
	l->retired.bytes += c.bytes;
	if (item->carry) {
		l->places[item->place].carried.packets += c.packets;
		l->places[item->place].carried.bytes += c.bytes;
	}
	write_info(r, l);
}

void leftovers_reclaim(struct reconcile *r, struct leftovers *left)
{
	bool waits = false;

	for (size_t i = 0; i < left->n; i++) /* a node that somebody still uses needs no waiting */
		waits |= left->items[i].member != SHUNT_UNSET || left->items[i].n_slots || left->items[i].n_members ||
			 (left->items[i].node && !left->items[i].node->n_users);
	if (waits)
		dp_grace();
	for (size_t i = 0; i < left->n; i++) {
		struct leftover *item = &left->items[i];

		if (item->member != SHUNT_UNSET)
			retire_counts(r, item);
		if (item->node)
			node_put(item->node);
		if (item->n_slots)
			space_release(&r->slot_units, item->first_slot / SLOT_UNIT, item->n_slots / SLOT_UNIT);
		if (item->n_members)
			space_release(&r->members, item->first_member, item->n_members);
	}
	free(left->items);
	*left = (struct leftovers){};
}
