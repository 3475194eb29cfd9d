/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A slot's ranking, closed to a circle that begins with the base owner: the first alive member in it is current, the
 * second the runner-up. A change of one member touches only the slots where it was, or becomes, one of the two.
 */
#include "model/overlay.h"

#include <string.h>

static uint16_t number_of(const struct full_table *f, uint32_t id)
{
	return id == RANK_NONE ? TABLE_NONE : f->r.numbers[id];
}

static uint32_t id_of(const struct full_table *f, uint16_t number)
{
	return number == TABLE_NONE ? RANK_NONE : f->ids[number];
}

/* The next alive member after this one in the slot's circle; itself, if it is the only one; RANK_NONE: none is. */
static uint32_t next_alive(const struct full_table *f, uint32_t slot, uint32_t id)
{
	rank_t next, found;

	if (!f->n_alive)
		return RANK_NONE;
	if (f->n_alive == 1 && f->alive[id])
		return id;
	next = rank_of(&f->r, slot, id) + 1;
	if (rank_scan(&f->r, slot, next, f->alive, &found, 1) || rank_scan(&f->r, slot, 0, f->alive, &found, 1))
		return rank_id(found);
	return RANK_NONE;
}

/* Does a come before b in the circle that begins with base? */
static bool comes_before(const struct full_table *f, uint32_t slot, uint32_t base, uint32_t a, uint32_t b)
{
	rank_t first = rank_of(&f->r, slot, base), left = rank_of(&f->r, slot, a), right = rank_of(&f->r, slot, b);

	/* who ranks before base comes after the end; unsigned subtraction goes round just so */
	return left - first < right - first;
}

/*
 * To come in before a runner-up that is below the base owner, a member needs a place above the runner-up, and so, were
 * it the heaviest of all, a small u. Where the circle has already gone over the end, or ends, anyone may come in.
 */
static uint32_t limit_for(const struct full_table *f, uint32_t slot, uint32_t base, uint32_t runner_up)
{
	rank_t last;

	if (runner_up == RANK_NONE)
		return UINT32_MAX;
	last = rank_of(&f->r, slot, runner_up);
	if (last < rank_of(&f->r, slot, base))
		return UINT32_MAX;
	return rank_u_bound(&f->r, rank_score(last), f->r.groups[f->r.n_groups - 1].weight);
}

static void set_slot(struct full_table *f, uint32_t slot, uint32_t current, uint32_t runner_up)
{
	f->t.current[slot] = number_of(f, current);
	f->t.runner_up[slot] = number_of(f, runner_up);
	f->limit[slot] = limit_for(f, slot, id_of(f, f->t.base[slot]), runner_up);
}

/* ---- from nothing ---- */

/* next_alive, but first in the part of the ranking that is at hand. *at: where id is in the window; moves on. */
static uint32_t next_in_window(const struct full_table *f, uint32_t slot, const struct match_window *w, uint32_t *at,
			       uint32_t id)
{
	while (++*at < w->n)
		if (f->alive[w->ids[*at]])
			return w->ids[*at];
	return next_alive(f, slot, id);
}

void overlay_build(struct full_table *f, const struct match_window *windows)
{
	for (uint32_t slot = 0; slot < f->t.n_slots; slot++) {
		const struct match_window *w = &windows[slot];
		uint32_t at = w->owner, current = w->ids[at], runner_up = RANK_NONE;

		f->t.base[slot] = number_of(f, current);
		if (!f->alive[current])
			current = next_in_window(f, slot, w, &at, current);
		if (current != RANK_NONE)
			runner_up = next_in_window(f, slot, w, &at, current);
		set_slot(f, slot, current, runner_up == current ? RANK_NONE : runner_up);
	}
}

/* ---- rankings, whoever is alive ---- */

void table_ranked(const struct table *t, uint32_t first, uint32_t n, uint16_t (*out)[TABLE_RANKED])
{
	const struct full_table *f = (const struct full_table *)t;
	uint32_t heads[RANK_SLOTS][TABLE_RANKED];

	if (!f->r.n) {
		memset(out, 0xff, n * sizeof(*out)); /* TABLE_NONE */
		return;
	}
	for (uint32_t at = 0; at < n; at += RANK_SLOTS) {
		rank_heads(&f->r, first + at, heads);
		for (uint32_t k = 0; k < RANK_SLOTS && at + k < n; k++)
			for (uint32_t i = 0; i < TABLE_RANKED; i++)
				out[at + k][i] = number_of(f, heads[k][i]);
	}
}

/* ---- changes ---- */

static void fall_in_slot(struct full_table *f, uint32_t slot, uint32_t id)
{
	uint32_t current = id_of(f, f->t.current[slot]), next;

	if (current == id)
		current = id_of(f, f->t.runner_up[slot]);
	next = current == RANK_NONE ? RANK_NONE : next_alive(f, slot, current);
	set_slot(f, slot, current, next == current ? RANK_NONE : next);
}

uint32_t overlay_fall(struct full_table *f, uint32_t id)
{
	uint16_t number = number_of(f, id);
	uint32_t changed = 0;

	for (uint32_t slot = 0; slot < f->t.n_slots; slot++) {
		bool owned = f->t.current[slot] == number;

		if (!owned && f->t.runner_up[slot] != number)
			continue;
		fall_in_slot(f, slot, id);
		changed += owned;
	}
	return changed;
}

/* Returns whether the slot changed its owner. */
static bool rise_in_slot(struct full_table *f, uint32_t slot, uint32_t id)
{
	uint32_t base = id_of(f, f->t.base[slot]);
	uint32_t current = id_of(f, f->t.current[slot]), runner_up = id_of(f, f->t.runner_up[slot]);

	if (current == RANK_NONE || comes_before(f, slot, base, id, current)) {
		set_slot(f, slot, id, current);
		return true;
	}
	if (runner_up == RANK_NONE || comes_before(f, slot, base, id, runner_up))
		set_slot(f, slot, current, id);
	return false;
}

uint32_t overlay_rise(struct full_table *f, uint32_t id)
{
	uint32_t u[RANK_LANES], changed = 0;

	for (uint32_t first = 0; first < f->t.n_slots; first += RANK_LANES) {
		rank_hash_slots(&f->r, first, id, u);
		for (uint32_t k = 0; k < RANK_LANES; k++)
			if (u[k] <= f->limit[first + k])
				changed += rise_in_slot(f, first + k, id);
	}
	return changed;
}
