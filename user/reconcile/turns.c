/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/turns.h"

#include <stdlib.h>

#include "base/clean.h"
#include "reconcile/internal.h"

#define TURNS_MAX 65536 /* so that a change is written at once; by then no share is wrong by more than a 65536th */

static uint32_t deal(const struct table *t, uint32_t *weights, uint16_t *turns, uint32_t room)
{
	for (uint32_t i = 0; i < t->n_members; i++)
		weights[i] = t->members[i].alive ? t->members[i].weight : 0;
	return turns_build(weights, t->n_members, turns, room);
}

/*
 * Readers take the turns as they are while this goes on: each names a member of this service, or nobody. room: turns
 * that the service's part has room for; behind the last one nobody's name is left, as readers may go by an older number
 * of turns.
 */
static void store(__u64 *words, const uint16_t *turns, uint32_t n, uint32_t room)
{
	for (uint32_t i = 0; i < room; i += SHUNT_TURNS) {
		__u64 word = 0;

		for (uint32_t k = 0; k < SHUNT_TURNS; k++)
			word |= (__u64)(i + k < n ? turns[i + k] : SHUNT_NONE) << 16 * k;
		dp_store(&words[i / SHUNT_TURNS], word);
	}
}

static bool has_turns(const struct live *l)
{
	return l->at & AT_SOCKET && l->conf->algorithm == ALGORITHM_ROUND_ROBIN;
}

void turns_write(struct live *l, struct reconcile *r, uint32_t first_slot, uint32_t n_slots)
{
	uint32_t room = n_slots < TURNS_MAX ? n_slots : TURNS_MAX, n = 0;
	_cleanup_free_ uint32_t *weights = NULL;
	_cleanup_free_ uint16_t *turns = NULL;

	if (has_turns(l)) {
		weights = calloc(l->table->n_members + 1, sizeof(*weights));
		turns = calloc(room, sizeof(*turns));
		n = weights && turns ? deal(l->table, weights, turns, room) : 0;
		store(dp_turns(r->dp) + shunt_turn_word(first_slot), turns, n, n_slots);
	}
	__atomic_store_n(&dp_services(r->dp)[l->id].turns, n, __ATOMIC_RELEASE);
}

void turns_follow(struct live *l, struct reconcile *r)
{
	bool had = __atomic_load_n(&dp_services(r->dp)[l->id].turns, __ATOMIC_RELAXED);

	if (had != has_turns(l))
		turns_write(l, r, l->first_slot, l->n_slots);
}
