/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What no slot leads to any more is taken back, in two steps with a grace period before each: flows may be noted for it,
 * and find nobody after the first; after the second no program sees what it led to. A change waits for that. Backends
 * that only kept their last flows go by and by instead: each second it is looked whether a step may be taken.
 */
#include <stdlib.h>
#include <string.h>

#include "reconcile/internal.h"

/* ---- entries of the kernel ---- */

void member_store(struct reconcile *r, uint32_t member, uint32_t backend, uint32_t flags)
{
	struct shunt_member m = { .backend = backend, .flags = flags }, *at = &dp_members(r->dp)[member];
	__u64 word;

	memcpy(&word, &m, sizeof(word));
	if (memcmp(at, &m, sizeof(word)))
		dp_store((__u64 *)(void *)at, word);
}

int live_write_info(struct reconcile *r, const struct live *l, uint32_t first_member, uint32_t n_places)
{
	struct shunt_service_info info = {
		.retired_packets = l->retired.packets,
		.retired_bytes = l->retired.bytes,
		.members = { { l->first_member, l->n_places }, { first_member, n_places } },
	};

	memcpy(info.name, l->name, sizeof(info.name));
	return dp_service_info_set(r->dp, l->id, &info);
}

/* ---- what a change leaves ---- */

/* place: that has the counts from now on; NULL: the service alone has. */
static void retire_counts(struct reconcile *r, struct live *l, uint32_t member, struct place *place)
{
	struct shunt_counter c;

	if (dp_member_counters(r->dp, member, 1, &c))
		return;
	dp_member_counters_clear(r->dp, member);
	if (!c.packets)
		return;
	l->retired.packets += c.packets;
	l->retired.bytes += c.bytes;
	if (place) {
		place->carried.packets += c.packets;
		place->carried.bytes += c.bytes;
	}
	live_write_info(r, l, l->first_member, l->n_places);
}

/*
 * No slot leads there any more, but flows may be noted for it: they find nobody before what it led to is taken back.
 * And no socket is counted in or out there any more, before somebody else is.
 */
static void shut_members(struct reconcile *r, const struct leftovers *left)
{
	bool shut = false;

	for (size_t i = 0; i < left->n; i++) {
		account_end(r, left->items[i].account);
		shut |= left->items[i].account != 0;
		if (left->items[i].member == SHUNT_UNSET)
			continue;
		member_store(r, left->items[i].member, SHUNT_UNSET, 0);
		shut = true;
	}
	if (shut)
		dp_grace();
}

void leftovers_reclaim(struct reconcile *r, struct leftovers *left)
{
	bool waits = false;

	for (size_t i = 0; i < left->n; i++) /* a node that somebody still uses needs no waiting */
		waits |= left->items[i].member != SHUNT_UNSET || left->items[i].n_slots || left->items[i].n_members ||
			 (left->items[i].node && !left->items[i].node->n_users);
	if (waits)
		dp_grace();
	shut_members(r, left);
	for (size_t i = 0; i < left->n; i++) {
		struct leftover *item = &left->items[i];

		if (item->member != SHUNT_UNSET)
			retire_counts(r, item->live, item->member,
				      item->carry ? &item->live->places[item->place] : NULL);
		if (item->node)
			node_put(item->node);
		account_close(r, item->account);
		if (item->n_slots)
			space_release(&r->slot_units, item->first_slot / SLOT_UNIT, item->n_slots / SLOT_UNIT);
		if (item->n_members)
			space_release(&r->members, item->first_member, item->n_members);
	}
	free(left->items);
	*left = (struct leftovers){};
	dp_end_connections(r->dp); /* of what was taken away */
}

/* ---- places that go by and by ---- */

/* It leads to its backend until the first grace period is over: packets under way may have found it in a slot. */
void places_begin_to_go(struct live *l, struct reconcile *r)
{
	uint64_t grace;

	for (uint32_t i = 0; i < l->n_places; i++)
		if (place_is_to_go(&l->places[i]))
			__atomic_store_n(&dp_members(r->dp)[l->first_member + i].flags, 0, __ATOMIC_RELEASE);
	quic_follow(r);
	grace = dp_grace_begin();
	for (uint32_t i = 0; i < l->n_places; i++)
		if (place_is_to_go(&l->places[i]))
			l->places[i].going = grace;
}

static void shut_place(struct live *l, struct reconcile *r, uint32_t i)
{
	account_end(r, l->places[i].account);
	member_store(r, l->first_member + i, SHUNT_UNSET, 0);
	l->places[i].shut = true;
	l->places[i].going = dp_grace_begin();
}

static void free_place(struct live *l, struct reconcile *r, uint32_t i)
{
	struct place *p = &l->places[i];

	retire_counts(r, l, l->first_member + i, NULL);
	node_unuse(p->node, l, i);
	node_put(p->node);
	account_close(r, p->account);
	l->n_retiring -= p->retiring;
	*p = (struct place){};
}

void places_go_on(struct live *l, struct reconcile *r)
{
	bool some = false;

	for (uint32_t i = 0; i < l->n_places; i++) {
		struct place *p = &l->places[i];

		if (!p->going || !dp_grace_is_over(p->going))
			continue;
		some |= p->shut;
		if (p->shut)
			free_place(l, r, i);
		else
			shut_place(l, r, i);
	}
	if (some)
		dp_end_connections(r->dp); /* of what was taken away */
}
