/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table as others see it: its life, its size, comparing two. rank.c ranks, leaders.c finds who ranks first, match.c
 * decides, overlay.c repairs.
 */
#include "model/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "model/leaders.h"
#include "model/overlay.h"

#define SLOTS_MIN 64
#define SLOTS_MAX (1 << 20)
#define SLOTS_MANY (1 << 17) /* what any number of members gets, however long that takes */
#define DRAWS_MAX (1ull << 31) /* members times slots: for more slots than SLOTS_MANY no more than half a second of work */

/* Eight bytes as one number, the same on machines of either byte order. */
static uint64_t big_endian(const uint8_t bytes[8])
{
	uint64_t word = 0;

	for (int i = 0; i < 8; i++)
		word = word << 8 | bytes[i];
	return word;
}

/*
 * One round for each half of the address and one for the port: within one IPv4 or one IPv6 /64 network of hosts that
 * are numbered in order, the golden ratio keeps the products far enough apart for no two ports to meet.
 */
uint64_t table_key(const uint8_t addr[16], uint16_t port)
{
	const uint64_t words[] = { big_endian(addr), big_endian(addr + 8), port };
	uint64_t key = 0;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		key = (key ^ words[i]) * 0x9e3779b97f4a7c15ull;
		key ^= key >> 32;
	}
	return key;
}

uint32_t table_slots_for(const struct table_member *members, uint32_t n)
{
	static const struct { uint64_t units; uint32_t slots; } classes[] = {
		{ 32, 1 << 12 }, { 128, 1 << 14 }, { 1024, 1 << 17 }, { UINT64_MAX, SLOTS_MAX },
	};
	uint64_t sum = 0, lightest = UINT64_MAX, units;
	uint32_t i = 0, weighty = 0, slots;

	for (uint32_t m = 0; m < n; m++) {
		sum += members[m].weight;
		weighty += members[m].weight > 0;
		if (members[m].weight && members[m].weight < lightest)
			lightest = members[m].weight;
	}
	/* how many of the lightest the sum would make: at least as many as there are members */
	units = sum ? (sum + lightest - 1) / lightest : 0;
	while (units > classes[i].units)
		i++;
	for (slots = classes[i].slots; slots > SLOTS_MANY && slots * (uint64_t)weighty > DRAWS_MAX;)
		slots /= 2;
	return slots;
}

static int table_alloc(struct full_table *f, const struct table_member *members, uint32_t n, uint32_t n_slots)
{
	f->t.n_slots = n_slots;
	f->t.n_members = n;
	f->t.members = calloc(n + 1, sizeof(*f->t.members));
	f->t.base = calloc(n_slots, sizeof(*f->t.base));
	f->t.current = calloc(n_slots, sizeof(*f->t.current));
	f->t.runner_up = calloc(n_slots, sizeof(*f->t.runner_up));
	f->ids = calloc(n + 1, sizeof(*f->ids));
	f->alive = calloc(n + 1, sizeof(*f->alive));
	f->leaders = calloc(n_slots, sizeof(*f->leaders));
	f->limit = calloc(n_slots, sizeof(*f->limit));
	if (!f->t.members || !f->t.base || !f->t.current || !f->t.runner_up || !f->ids || !f->alive || !f->leaders ||
	    !f->limit)
		return -ENOMEM;
	if (n)
		memcpy(f->t.members, members, n * sizeof(*members));
	return 0;
}

static void number_members(struct full_table *f)
{
	for (uint32_t number = 0; number < f->t.n_members; number++)
		f->ids[number] = RANK_NONE;
	for (uint32_t id = 0; id < f->r.n; id++) {
		f->ids[f->r.numbers[id]] = id;
		f->alive[id] = f->t.members[f->r.numbers[id]].alive;
		f->n_alive += f->alive[id];
	}
}

static int fill(struct full_table *f, const struct full_table *was)
{
	_cleanup_free_ struct match_window *windows = NULL;
	size_t size = f->t.n_slots * sizeof(*f->t.base);

	if (!f->r.n) {
		memset(f->t.base, 0xff, size); /* TABLE_NONE */
		memset(f->t.current, 0xff, size);
		memset(f->t.runner_up, 0xff, size);
		memset(f->leaders, 0xff, f->t.n_slots * sizeof(*f->leaders)); /* NO_LEADER */
		return 0;
	}
	if (leaders_find(f, was) || match(&f->r, f->t.n_slots, f->leaders, &windows))
		return -ENOMEM;
	overlay_build(f, windows);
	return 0;
}

int table_follow(struct table **out, const struct table *was, const struct table_member *members, uint32_t n,
		 uint32_t n_slots)
{
	_cleanup_(table_freep) struct table *t = NULL;
	struct full_table *f;
	int err;

	if (n > TABLE_MEMBERS_MAX || n_slots < SLOTS_MIN || n_slots > SLOTS_MAX || (n_slots & (n_slots - 1)))
		return -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	t = &f->t;
	err = table_alloc(f, members, n, n_slots);
	if (!err)
		err = ranking_init(&f->r, members, n);
	if (err)
		return err;
	number_members(f);
	err = fill(f, was ? full((struct table *)was) : NULL);
	if (err)
		return err;
	*out = TAKE_PTR(t);
	return 0;
}

int table_build(struct table **out, const struct table_member *members, uint32_t n, uint32_t n_slots)
{
	return table_follow(out, NULL, members, n, n_slots);
}

void table_free(struct table *t)
{
	if (!t)
		return;
	ranking_clear(&full(t)->r);
	free(full(t)->ids);
	free(full(t)->alive);
	free(full(t)->leaders);
	free(full(t)->limit);
	free(t->members);
	free(t->base);
	free(t->current);
	free(t->runner_up);
	free(full(t));
}

uint32_t table_set_alive(struct table *t, uint32_t member, bool alive)
{
	struct full_table *f = full(t);
	uint32_t id;

	if (member >= t->n_members || t->members[member].alive == alive)
		return 0;
	t->members[member].alive = alive;
	id = f->ids[member];
	if (id == RANK_NONE)
		return 0;
	f->alive[id] = alive;
	f->n_alive += alive ? 1 : -1;
	return alive ? overlay_rise(f, id) : overlay_fall(f, id);
}

/* ---- comparing ---- */

static bool same_owner(const struct table *a, const struct table *b, uint32_t slot)
{
	uint16_t left = a->current[slot & (a->n_slots - 1)], right = b->current[slot & (b->n_slots - 1)];

	if (left == TABLE_NONE || right == TABLE_NONE)
		return left == right;
	return a->members[left].key == b->members[right].key;
}

uint32_t table_moved(const struct table *was, const struct table *now, uint32_t *of)
{
	uint32_t larger = 0, moved = 0;

	if (was)
		larger = was->n_slots;
	if (now && now->n_slots > larger)
		larger = now->n_slots;
	*of = larger;
	if (!was || !now)
		return larger;
	for (uint32_t slot = 0; slot < larger; slot++)
		moved += !same_owner(was, now, slot);
	return moved;
}
