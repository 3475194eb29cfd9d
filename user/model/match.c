/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/match.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clean.h"

/* The slots that a member holds: a heap with the worst on top once it is full. A slot is u << 32 | its number. */
struct holder {
	uint64_t *slots;
	uint32_t n, cap;
};

struct matching {
	const struct ranking *r;
	struct match_window *windows;
	struct holder *holders; /* by id */
	uint64_t *slots; /* what the holders hold, one after the other */
};

static void matching_clear(struct matching *m)
{
	free(m->windows);
	free(m->holders);
	free(m->slots);
}

uint32_t match_cap(uint32_t n_slots, uint32_t weight, uint64_t total_weight)
{
	uint64_t share = (uint64_t)n_slots * weight * TABLE_CAP_PERMILLE, whole = total_weight * 1000;
	uint64_t cap = (share + whole - 1) / whole;

	return cap < n_slots ? cap : n_slots;
}

static int matching_init(struct matching *m, const struct ranking *r, uint32_t n_slots)
{
	uint64_t total_weight = 0, room = 0;

	for (uint32_t g = 0; g < r->n_groups; g++)
		total_weight += (uint64_t)r->groups[g].weight * (r->groups[g].end - r->groups[g].first);
	m->r = r;
	m->windows = calloc(n_slots, sizeof(*m->windows));
	m->holders = calloc(r->n, sizeof(*m->holders));
	if (!m->windows || !m->holders)
		return -ENOMEM;
	for (uint32_t id = 0; id < r->n; id++) {
		m->holders[id].cap = match_cap(n_slots, r->groups[r->group_of[id]].weight, total_weight);
		room += m->holders[id].cap;
	}
	m->slots = calloc(room, sizeof(*m->slots));
	if (!m->slots)
		return -ENOMEM;
	for (uint32_t id = 0, at = 0; id < r->n; at += m->holders[id++].cap)
		m->holders[id].slots = m->slots + at;
	return 0;
}

/* Puts the value at place i where it belongs among what is below i. */
static void sift_down(struct holder *h, uint32_t i)
{
	uint64_t value = h->slots[i];

	for (uint32_t child = 2 * i + 1; child < h->n; child = 2 * i + 1) {
		if (child + 1 < h->n && h->slots[child + 1] > h->slots[child])
			child++;
		if (h->slots[child] <= value)
			break;
		h->slots[i] = h->slots[child];
		i = child;
	}
	h->slots[i] = value;
}

/* Asks a member to hold a slot. Returns the slot that is left without: the one that asks, another, or none. */
static uint32_t ask(struct holder *h, uint32_t slot, uint32_t u)
{
	uint64_t value = (uint64_t)u << 32 | slot, worst;

	if (h->n < h->cap) {
		h->slots[h->n++] = value;
		for (uint32_t i = h->n / 2; h->n == h->cap && i--;)
			sift_down(h, i);
		return RANK_NONE;
	}
	worst = h->slots[0];
	if (value > worst)
		return slot;
	h->slots[0] = value;
	sift_down(h, 0);
	return worst;
}

static void set_window(struct match_window *w, const rank_t ranks[RANK_SCAN])
{
	*w = (struct match_window){};
	for (; w->n < RANK_SCAN && ranks[w->n] != RANK_NOBODY; w->n++)
		w->ids[w->n] = rank_id(ranks[w->n]);
}

static void first_window(struct match_window *w, const uint16_t leaders[RANK_SCAN])
{
	*w = (struct match_window){};
	for (; w->n < RANK_SCAN && leaders[w->n] != NO_LEADER; w->n++)
		w->ids[w->n] = leaders[w->n];
}

/* The slot turns to the next member in its ranking. There is one: all caps together are at least all slots. */
static void turn_to_next(struct matching *m, uint32_t slot)
{
	struct match_window *w = &m->windows[slot];
	rank_t ranks[RANK_SCAN];

	if (++w->owner < w->n)
		return;
	rank_scan(m->r, slot, rank_of(m->r, slot, w->ids[w->n - 1]) + 1, NULL, ranks, RANK_SCAN);
	set_window(w, ranks);
}

static void settle(struct matching *m, uint32_t slot)
{
	for (;;) {
		uint32_t id = m->windows[slot].ids[m->windows[slot].owner];

		slot = ask(&m->holders[id], slot, rank_hash(m->r, slot, id));
		if (slot == RANK_NONE)
			return;
		turn_to_next(m, slot);
	}
}

int match(const struct ranking *r, uint32_t n_slots, const uint16_t (*leaders)[RANK_SCAN], struct match_window **out)
{
	_cleanup_(matching_clear) struct matching m = {};

	if (matching_init(&m, r, n_slots))
		return -ENOMEM;
	for (uint32_t slot = 0; slot < n_slots; slot++)
		first_window(&m.windows[slot], leaders[slot]);
	for (uint32_t slot = 0; slot < n_slots; slot++)
		settle(&m, slot);
	*out = TAKE_PTR(m.windows);
	return 0;
}
