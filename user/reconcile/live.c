/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A service as it is in the kernel: its slots follow who of its backends may be chosen. */
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "model/alternates.h"
#include "model/transition.h"
#include "reconcile/internal.h"

int live_compare(const void *a, const void *b)
{
	return strcmp((*(struct live *const *)a)->name, (*(struct live *const *)b)->name);
}

struct live *live_find(const struct reconcile *r, const char *name)
{
	struct live key, *at = &key, **found;

	if (strlen(name) >= sizeof(key.name))
		return NULL;
	strcpy(key.name, name);
	found = bsearch(&at, r->services, r->n_services, sizeof(*r->services), live_compare);
	return found ? *found : NULL;
}

bool live_proven(const struct live *l)
{
	for (uint32_t i = 0; i < l->n_places; i++) {
		const struct place *p = &l->places[i];

		if (p->node && p->weight && p->admin == ADMIN_ENABLED && !p->leaving && node_proven(p->node))
			return true;
	}
	return false;
}

/* others: somebody else of the service is proven, so that who waits for a verdict can wait */
static bool place_alive(const struct place *p, bool others)
{
	return p->node && p->admin == ADMIN_ENABLED &&
	       (p->waits && others ? node_proven(p->node) : node_usable(p->node));
}

void live_free(struct live *l)
{
	if (!l)
		return;
	table_free(l->table);
	table_free(l->wider);
	free(l->places);
	free(l->owned);
	free(l->since);
	free(l);
}

/* The slots of a dirty service are rewritten from the loop, one service at a time, so that verdicts are never late. */
void live_mark_dirty(struct live *l, struct reconcile *r)
{
	if (l->dirty)
		return;
	l->dirty = true;
	l->next_dirty = NULL;
	*r->dirty_tail = l;
	r->dirty_tail = &l->next_dirty;
	event_active(r->work, 0, 0);
}

/* ---- slots ---- */

uint32_t live_table_slot(const struct live *l, uint32_t slot)
{
	return slot & (l->table->n_slots - 1);
}

static __u64 steady_word(const struct live *l, uint32_t i)
{
	uint32_t slot = live_table_slot(l, i);
	uint16_t current = l->table->current[slot];

	return shunt_slot(current, current, SHUNT_NONE, l->table->runner_up[slot]);
}

/* What slot i was; a region of another size finds the old owner of a slot where the packet's mask found it. */
static __u64 word_before(const struct live *l, const __u64 *old, uint32_t i)
{
	if (!l->n_slots)
		return shunt_slot(SHUNT_NONE, SHUNT_NONE, SHUNT_NONE, SHUNT_NONE);
	return old[i & (l->n_slots - 1)];
}

static __u64 next_word(const struct live *l, uint32_t i, __u64 was, const bool *keeps)
{
	uint32_t slot = live_table_slot(l, i);

	return transition_follow(was, l->table->current[slot], l->table->runner_up[slot], keeps, l->n_places);
}

/* Does any slot leave flows with an owner of before? */
static bool something_stays(const struct live *l, const __u64 *old, uint32_t n_slots, const bool *keeps)
{
	for (uint32_t i = 0; i < n_slots; i++)
		if (!shunt_slot_steady(next_word(l, i, word_before(l, old, i), keeps)))
			return true;
	return false;
}

/*
 * Who owned slot i before may know flows of it, too: the balancer's memory of second chance. What the slot's ranking
 * says goes with it into another region, until it is ranked anew.
 */
static void remember_owner(const struct live *l, struct reconcile *r, uint32_t first_slot, uint32_t i, __u64 was, __u64 word,
			   const bool *keeps)
{
	struct shunt_alternates *all = dp_alternates(r->dp), *at = &all[first_slot + i];
	struct shunt_alternates now = { ALTERNATES_NOBODY, ALTERNATES_NOBODY };
	uint16_t owner = shunt_slot_current(was);

	if (l->n_slots)
		now = all[l->first_slot + (i & (l->n_slots - 1))];
	if (owner != shunt_slot_current(word) && owner < l->n_places && keeps && keeps[owner])
		now.owners = alternates_remember(now.owners, owner);
	if (at->owners != now.owners)
		dp_store(&at->owners, now.owners);
	if (at->ranked != now.ranked)
		dp_store(&at->ranked, now.ranked);
}

/*
 * Stores only what differs: the lines of slots that nothing happened to stay in the caches of the other CPUs.
 */
void live_write_slots(struct live *l, struct reconcile *r, uint32_t first_slot, uint32_t n_slots)
{
	const __u64 *old = dp_slots(r->dp) + l->first_slot;
	__u64 *slots = dp_slots(r->dp) + first_slot;
	bool young = l->born_ms && monotonic_ms() - l->born_ms < YOUNG_MS;
	_cleanup_free_ bool *keeps = keep_members(l);
	bool stay = !young && l->conf->tracking.transition_ms && keeps && something_stays(l, old, n_slots, keeps) &&
		    keep_begin(l, r, n_slots);
	uint32_t now = monotonic_ms() / 1000;

	l->moving = 0;
	for (uint32_t i = 0; i < n_slots; i++) {
		__u64 was = word_before(l, old, i), word = stay ? next_word(l, i, was, keeps) : steady_word(l, i);

		if (stay && shunt_slot_current(was) != shunt_slot_current(word))
			l->since[i] = now;
		l->moving += !shunt_slot_steady(word);
		remember_owner(l, r, first_slot, i, was, word, keeps);
		if (slots[i] != word)
			dp_store(&slots[i], word);
	}
	l->digest_valid = false;
	turns_write(l, r, first_slot, n_slots);
}

static uint32_t socket_flags(const struct service *s)
{
	return SHUNT_SERVICE_SOCKET | (s->refuses ? SHUNT_SERVICE_REFUSE : 0) |
	       (s->clients.cgroups.n || s->clients.namespaces.n ? SHUNT_SERVICE_CLIENTS : 0) |
	       (uint32_t)s->algorithm << SHUNT_SERVICE_ALGORITHM; /* in the order of SHUNT_ALGORITHM_* */
}

static uint32_t service_flags(const struct service *s, unsigned at)
{
	return SHUNT_SERVICE_USED | (s->affinity == AFFINITY_CLIENT ? SHUNT_SERVICE_CLIENT : 0) | quic_flags(s) |
	       (at & AT_EDGE && s->forward != FORWARD_LOCAL ? 0 : SHUNT_SERVICE_NOT_EDGE) |
	       (s->forward == FORWARD_LOCAL ? SHUNT_SERVICE_LOCAL : 0) | (at & AT_SOCKET ? socket_flags(s) : 0);
}

void live_write_service(const struct live *l, struct reconcile *r, const struct service *want)
{
	struct shunt_service *s = &dp_services(r->dp)[l->id];

	dp_store(&s->table, shunt_table(l->first_slot, __builtin_ctz(l->n_slots), l->first_member));
	__atomic_store_n(&s->flags, service_flags(want, l->at), __ATOMIC_RELEASE);
}

/* No flow goes to the member any more, not even one that is noted for it; or it may again. */
void live_shut(struct live *l, struct reconcile *r, uint32_t place, bool shut)
{
	struct shunt_member *m = &dp_members(r->dp)[l->first_member + place];
	uint32_t backend = (m->backend & ~SHUNT_MEMBER_SHUT) | (shut ? SHUNT_MEMBER_SHUT : 0);

	__atomic_store_n(&m->backend, backend, __ATOMIC_RELEASE);
	if (shut)
		dp_end_connections(r->dp);
}

/* ---- who is alive ---- */

unsigned live_follow(struct live *l, unsigned most)
{
	bool proven = live_proven(l);
	unsigned changed = 0;

	for (uint32_t i = 0; l->table && changed < most && i < l->table->n_members; i++) {
		bool alive = place_alive(&l->places[i], proven);

		if (!l->table->members[i].weight || l->table->members[i].alive == alive)
			continue;
		table_set_alive(l->table, i, alive);
		changed++;
	}
	return changed;
}

/* So many changes at once that verdicts which come in meanwhile wait for no more than a few milliseconds. */
#define CHANGES_AT_ONCE 8

void live_work(evutil_socket_t fd, short what, void *arg)
{
	struct reconcile *r = arg;
	struct live *l = r->dirty;
	unsigned changed;

	(void)fd;
	(void)what;
	if (!l)
		return;
	live_unmark(l, r);
	changed = live_follow(l, CHANGES_AT_ONCE);
	if (changed) {
		live_write_slots(l, r, l->first_slot, l->n_slots);
		keep_purge(l, r);
	}
	if (changed == CHANGES_AT_ONCE)
		live_mark_dirty(l, r);
	if (r->dirty)
		event_active(r->work, 0, 0);
}

void live_unmark(struct live *l, struct reconcile *r)
{
	for (struct live **at = &r->dirty; *at; at = &(*at)->next_dirty) {
		if (*at != l)
			continue;
		*at = l->next_dirty;
		if (!*at)
			r->dirty_tail = at;
		break;
	}
	l->dirty = false;
}

/* Who owns how much, and a number that is equal where the tables are: both are computed when somebody asks. */
void live_digest(struct live *l)
{
	uint64_t h = 0;

	if (l->digest_valid || !l->table)
		return;
	free(l->owned);
	l->owned = calloc(l->n_places ? l->n_places : 1, sizeof(*l->owned));
	if (!l->owned)
		return;
	for (uint32_t i = 0; i < l->table->n_slots; i++) {
		uint16_t owner = l->table->current[i];

		h = shunt_mix(h ^ (owner == TABLE_NONE ? 0 : l->table->members[owner].key)) + i;
		if (owner != TABLE_NONE)
			l->owned[owner]++;
	}
	l->fingerprint = h;
	l->digest_valid = true;
}
