/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The backends as the operator's configuration has them, and the tables that daemons make of it. A backend keeps its
 * number for ever; one that is removed lives on, and keeps the flows that it has with balancers that knew it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "random.h"
#include "sim.h"

#define NOBODY UINT32_MAX
#define WEIGHT 100

/* ---- tables ---- */

static void forget_view(struct view *v)
{
	table_free(v->table);
	free(v->ranked);
	*v = (struct view){};
}

static void forget_views(struct backends *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(b->views); i++)
		forget_view(&b->views[i]);
}

/* Who was removed ranks as before with those who knew it (user/reconcile/ranking.c). */
static int rank_all(const struct backends *b, struct view *v)
{
	_cleanup_free_ struct table_member *m = calloc(b->n, sizeof(*m));
	_cleanup_(table_freep) struct table *wider = NULL;
	uint32_t n_slots = v->table->n_slots;
	int err;

	v->ranked = calloc(n_slots, sizeof(*v->ranked));
	if (!m || !v->ranked)
		return -ENOMEM;
	memcpy(m, b->members, b->n * sizeof(*m));
	for (uint32_t i = 0; i < b->n; i++)
		if (b->removed[i] > v->begun_after)
			m[i].weight = WEIGHT;
	err = table_build(&wider, m, b->n, n_slots);
	if (!err)
		table_ranked(wider, 0, n_slots, v->ranked);
	return err;
}

static int make_view(const struct backends *b, struct view *v)
{
	uint32_t n_slots = b->o->slots ? b->o->slots : table_slots_for(b->members, b->n);
	int err = table_build(&v->table, b->members, b->n, n_slots);

	return err ? err : rank_all(b, v);
}

int backends_view(struct backends *b, uint32_t begun_after, const struct view **out)
{
	struct view *v = &b->views[begun_after ? 1 : 0];

	*out = v;
	if (v->ranked && v->begun_after == begun_after)
		return 0;
	forget_view(v);
	v->begun_after = begun_after;
	return make_view(b, v);
}

/* ---- what changes; a weight has all tables built anew, who is drained does not ---- */

static void set_weight(struct backends *b, uint32_t i, uint32_t weight)
{
	b->members[i].weight = weight;
	forget_views(b);
}

static void set_drained(struct backends *b, uint32_t i, uint32_t batch)
{
	bool alive = batch == NOBODY;

	b->batch[i] = batch;
	if (b->o->drain_rebuild) {
		set_weight(b, i, alive ? WEIGHT : 0);
		return;
	}
	b->members[i].alive = alive;
	for (size_t k = 0; k < ARRAY_SIZE(b->views); k++)
		if (b->views[k].ranked)
			table_set_alive(b->views[k].table, i, alive);
}

/* ---- who is in which state ---- */

static bool is_there(const struct backends *b, uint32_t i) { return b->there[i]; }
static bool is_absent(const struct backends *b, uint32_t i) { return !b->there[i]; }
static bool is_drained(const struct backends *b, uint32_t i) { return b->there[i] && b->batch[i] != NOBODY; }
static bool is_enabled(const struct backends *b, uint32_t i) { return b->there[i] && b->batch[i] == NOBODY; }
static uint32_t weight(const struct backends *b, uint32_t i) { return b->there[i] ? b->members[i].weight : 0; }
static bool is_heavy(const struct backends *b, uint32_t i) { return weight(b, i) == WEIGHT; }
static bool is_light(const struct backends *b, uint32_t i) { return weight(b, i) == b->o->weight; }

static uint32_t count(const struct backends *b, bool (*is)(const struct backends *b, uint32_t i))
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		n += is(b, i);
	return n;
}

/* A random one; NOBODY: there is none. */
static uint32_t pick(struct backends *b, bool (*is)(const struct backends *b, uint32_t i))
{
	uint32_t n = count(b, is), left = n ? random_below(b->random, n) : 0;

	for (uint32_t i = 0; i < b->n && n; i++)
		if (is(b, i) && !left--)
			return i;
	return NOBODY;
}

/* ---- drains in batches ---- */

void backends_undrain(struct backends *b, uint32_t batch)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (is_drained(b, i) && (b->batch[i] == batch || batch == ALL_BATCHES))
			set_drained(b, i, NOBODY);
}

uint32_t backends_drain(struct backends *b)
{
	uint32_t batch = b->n_batches++;

	if (b->o->drain_most && count(b, is_drained) >= b->o->drain_most) {
		backends_undrain(b, ALL_BATCHES);
		return batch;
	}
	for (uint32_t n = 0; n < b->o->drain_count && count(b, is_enabled) > 1; n++)
		set_drained(b, pick(b, is_enabled), batch);
	return batch;
}

/* ---- changes of all kinds: each returns whether there was anything to change ---- */

static bool add_one(struct backends *b)
{
	uint32_t i = pick(b, is_absent);

	if (i == NOBODY)
		return false;
	b->there[i] = true;
	b->removed[i] = 0;
	b->batch[i] = NOBODY;
	b->members[i].alive = true;
	set_weight(b, i, WEIGHT);
	return true;
}

static bool remove_one(struct backends *b)
{
	uint32_t i = count(b, is_there) > b->o->backends ? pick(b, is_there) : NOBODY;

	if (i == NOBODY || (is_enabled(b, i) && count(b, is_enabled) == 1))
		return false;
	b->there[i] = false;
	b->removed[i] = ++b->n_removals;
	set_weight(b, i, 0);
	return true;
}

static bool drain_one(struct backends *b)
{
	if (count(b, is_enabled) < 2)
		return false;
	set_drained(b, pick(b, is_enabled), b->n_batches++);
	return true;
}

static bool enable_one(struct backends *b)
{
	uint32_t i = pick(b, is_drained);

	if (i != NOBODY)
		set_drained(b, i, NOBODY);
	return i != NOBODY;
}

static bool reweight_one(struct backends *b)
{
	uint32_t i = pick(b, is_heavy);

	if (i != NOBODY)
		set_weight(b, i, b->o->weight);
	return i != NOBODY;
}

static bool restore_one(struct backends *b)
{
	uint32_t i = pick(b, is_light);

	if (i != NOBODY)
		set_weight(b, i, WEIGHT);
	return i != NOBODY;
}

void backends_change(struct backends *b)
{
	static bool (*const kinds[])(struct backends *b) = {
		add_one, drain_one, reweight_one, enable_one, restore_one, remove_one,
	};
	uint32_t first = random_below(b->random, ARRAY_SIZE(kinds));

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[(first + i) % ARRAY_SIZE(kinds)](b))
			return;
}

/* ---- the whole ---- */

int backends_init(struct backends *b, const struct options *o, uint64_t *random)
{
	*b = (struct backends){ .o = o, .random = random, .n = o->backends + o->spare };
	b->members = calloc(b->n, sizeof(*b->members));
	b->there = calloc(b->n, sizeof(*b->there));
	b->removed = calloc(b->n, sizeof(*b->removed));
	b->keeps = calloc(b->n, sizeof(*b->keeps));
	b->batch = calloc(b->n, sizeof(*b->batch));
	if (!b->members || !b->there || !b->removed || !b->keeps || !b->batch)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++) {
		uint8_t address[16] = { [10] = 0xff, 0xff, 10, 0, i >> 8, i };

		b->there[i] = i < o->backends;
		b->members[i] = (struct table_member){ table_key(address, 80), b->there[i] ? WEIGHT : 0, true };
		b->keeps[i] = true; /* nobody dies */
		b->batch[i] = NOBODY;
	}
	return 0;
}

void backends_clear(struct backends *b)
{
	forget_views(b);
	free(b->members);
	free(b->there);
	free(b->removed);
	free(b->keeps);
	free(b->batch);
}
