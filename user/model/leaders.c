/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/leaders.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clean.h"

/* From the members of one ranking to those of another. */
struct change {
	uint32_t *ids; /* [was->r.n] now; RANK_NONE: it went, or has another weight */
	uint32_t *came; /* [n_came] ids now: it was not there, or had another weight */
	uint32_t n_came, n_went;
};

static void change_clear(struct change *c)
{
	free(c->ids);
	free(c->came);
}

/* ---- who came and went: members are in the order of weight and key in both ---- */

static int compare(const struct full_table *a, uint32_t i, const struct full_table *b, uint32_t k)
{
	const struct table_member *left, *right;

	if (i == a->r.n || k == b->r.n)
		return i == a->r.n ? 1 : -1;
	left = &a->t.members[a->r.numbers[i]];
	right = &b->t.members[b->r.numbers[k]];
	if (left->weight != right->weight)
		return left->weight < right->weight ? -1 : 1;
	return (left->key > right->key) - (left->key < right->key);
}

static int change_init(struct change *c, const struct full_table *was, const struct full_table *now)
{
	uint32_t i = 0, k = 0;

	c->ids = calloc(was->r.n + 1, sizeof(*c->ids));
	c->came = calloc(now->r.n + 1, sizeof(*c->came));
	if (!c->ids || !c->came)
		return -ENOMEM;
	while (i < was->r.n || k < now->r.n) {
		int order = compare(was, i, now, k);

		if (order > 0) {
			c->came[c->n_came++] = k++;
			continue;
		}
		c->n_went += order < 0;
		c->ids[i++] = order < 0 ? RANK_NONE : k++;
	}
	return 0;
}

/*
 * In draws for each slot: a few for its leaders, some more for each that came, and for one in n / 2 of those that went
 * all n, which are drawn one slot at a time. Else it is one for each member.
 */
static bool is_worth_it(const struct change *c, const struct full_table *now)
{
	return 32 + 3ull * c->n_came + 4ull * c->n_went < now->r.n;
}

/* ---- slots ---- */

static void set_leaders(struct full_table *f, uint32_t slot, const rank_t ranks[RANK_SCAN])
{
	for (int i = 0; i < RANK_SCAN; i++)
		f->leaders[slot][i] = ranks[i] == RANK_NOBODY ? NO_LEADER : rank_id(ranks[i]);
}

static void scan_all(struct full_table *f)
{
	rank_t ranks[RANK_SLOTS][RANK_SCAN];

	for (uint32_t first = 0; first < f->t.n_slots; first += RANK_SLOTS) {
		rank_scan_slots(&f->r, first, ranks);
		for (uint32_t k = 0; k < RANK_SLOTS; k++)
			set_leaders(f, first + k, ranks[k]);
	}
}

static void scan_one(struct full_table *f, uint32_t slot)
{
	rank_t ranks[RANK_SCAN];

	rank_scan(&f->r, slot, 0, NULL, ranks, RANK_SCAN);
	set_leaders(f, slot, ranks);
}

/* Those of before, by what they are now; if one of them went, the leaders of all. */
static void keep_leaders(struct full_table *f, const struct full_table *was, const struct change *c, uint32_t slot)
{
	for (int i = 0; i < RANK_SCAN; i++) {
		uint16_t leader = was->leaders[slot][i];
		uint32_t id = leader == NO_LEADER ? NO_LEADER : c->ids[leader];

		if (id == RANK_NONE) {
			scan_one(f, slot);
			return;
		}
		f->leaders[slot][i] = id;
	}
}

static rank_t rank_of_leader(const struct full_table *f, uint32_t slot, int i)
{
	uint16_t leader = f->leaders[slot][i];

	return leader == NO_LEADER ? RANK_NOBODY : rank_of(&f->r, slot, leader);
}

/* A member whose u in the slot is above this does not lead it. */
static uint32_t limit_of(const struct full_table *f, uint32_t slot)
{
	rank_t last = rank_of_leader(f, slot, RANK_SCAN - 1);

	if (last == RANK_NOBODY)
		return UINT32_MAX;
	return rank_u_bound(&f->r, rank_score(last), f->r.groups[f->r.n_groups - 1].weight);
}

static void weigh(struct full_table *f, uint32_t slot, uint32_t id)
{
	rank_t ranks[RANK_SCAN] = { rank_of_leader(f, slot, 0), rank_of_leader(f, slot, 1) };
	rank_t rank = rank_of(&f->r, slot, id);

	if (rank == ranks[0] || rank >= ranks[1]) /* it leads already, if all were scanned; or it does not */
		return;
	ranks[1] = rank < ranks[0] ? ranks[0] : rank;
	ranks[0] = rank < ranks[0] ? rank : ranks[0];
	set_leaders(f, slot, ranks);
}

/* RANK_LANES slots. */
static void weigh_those_who_came(struct full_table *f, const struct change *c, uint32_t first)
{
	uint32_t limit[RANK_LANES], u[RANK_LANES];

	for (uint32_t k = 0; k < RANK_LANES; k++)
		limit[k] = limit_of(f, first + k);
	for (uint32_t i = 0; i < c->n_came; i++) {
		rank_hash_slots(&f->r, first, c->came[i], u);
		for (uint32_t k = 0; k < RANK_LANES; k++)
			if (u[k] <= limit[k])
				weigh(f, first + k, c->came[i]);
	}
}

static void follow(struct full_table *f, const struct full_table *was, const struct change *c)
{
	for (uint32_t slot = 0; slot < f->t.n_slots; slot++)
		keep_leaders(f, was, c, slot);
	for (uint32_t first = 0; c->n_came && first < f->t.n_slots; first += RANK_LANES)
		weigh_those_who_came(f, c, first);
}

int leaders_find(struct full_table *f, const struct full_table *was)
{
	_cleanup_(change_clear) struct change c = {};

	if (was && was->t.n_slots >= f->t.n_slots && change_init(&c, was, f))
		return -ENOMEM;
	if (c.ids && is_worth_it(&c, f))
		follow(f, was, &c);
	else
		scan_all(f);
	return 0;
}
