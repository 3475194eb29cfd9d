/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * First how often each member appears: exactly by its weight where there is room for it, else by largest remainder.
 * Then when. A member that appears c times in a sequence of L turns has its k-th turn in the window
 * [floor(k * L / c), ceil((k + 1) * L / c)). One turn after the other goes to whoever may take it and must take it
 * soonest. That keeps every window (Baruah, Cohen, Plaxton and Varvel 1996, "Proportionate progress"), so that at no
 * moment anybody is a whole turn ahead of its share or behind it. The windows of a cycle end with it: two cycles behind
 * each other are as even as one.
 */
#include "model/turns.h"

#include <stdlib.h>

#include "base/clean.h"
#include "model/model.h"

#define NOBODY UINT32_MAX

/* ---- a heap: the least key first, of equal keys the least number ---- */

struct item {
	int64_t key;
	uint32_t number;
};

struct heap {
	struct item *items;
	uint32_t n;
};

static bool is_before(const struct item *a, const struct item *b)
{
	return a->key != b->key ? a->key < b->key : a->number < b->number;
}

static void heap_push(struct heap *h, struct item new)
{
	uint32_t i = h->n++;

	for (; i && is_before(&new, &h->items[(i - 1) / 2]); i = (i - 1) / 2)
		h->items[i] = h->items[(i - 1) / 2];
	h->items[i] = new;
}

static uint32_t heap_pop(struct heap *h)
{
	const struct item last = h->items[--h->n];
	uint32_t number = h->items[0].number, i = 0, child;

	for (; (child = 2 * i + 1) < h->n; i = child) {
		child += child + 1 < h->n && is_before(&h->items[child + 1], &h->items[child]);
		if (!is_before(&h->items[child], &last))
			break;
		h->items[i] = h->items[child];
	}
	h->items[i] = last;
	return number;
}

/* ---- how often ---- */

struct turns {
	const uint32_t *weights;
	uint32_t n;
	uint64_t sum; /* of the weights */
	uint32_t length;
	uint32_t *counts; /* [n] */
	uint32_t *taken; /* [n] turns that a member has had */
	uint32_t *next; /* [n] in the list that a member waits in */
	uint32_t *waiting; /* [length] the first of those whose window begins then */
	struct heap heap; /* room for n */
};

static void turns_clear(struct turns *t)
{
	free(t->counts);
	free(t->taken);
	free(t->next);
	free(t->waiting);
	free(t->heap.items);
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Turns, times the sum of the weights, that a member has beyond its share. */
static int64_t surplus(const struct turns *t, uint32_t i)
{
	return (int64_t)(t->counts[i] * t->sum) - (int64_t)((uint64_t)t->weights[i] * t->length);
}

/* The turns that rounding down left over: to those that lack most. */
static void give_rest(struct turns *t)
{
	uint32_t left = t->length;

	t->heap.n = 0;
	for (uint32_t i = 0; i < t->n; i++) {
		t->counts[i] = (uint64_t)t->weights[i] * t->length / t->sum;
		left -= t->counts[i];
		heap_push(&t->heap, (struct item){ surplus(t, i), i });
	}
	while (left--)
		t->counts[heap_pop(&t->heap)]++;
}

/* Who has a weight but no turn gets one from whoever then lacks least. There are at least as many turns as weights. */
static void give_each_one(struct turns *t)
{
	t->heap.n = 0;
	for (uint32_t i = 0; i < t->n; i++)
		if (t->counts[i] > 1)
			heap_push(&t->heap, (struct item){ -surplus(t, i), i });
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t giver;

		if (!t->weights[i] || t->counts[i])
			continue;
		t->counts[i] = 1;
		giver = heap_pop(&t->heap);
		if (--t->counts[giver] > 1)
			heap_push(&t->heap, (struct item){ -surplus(t, giver), giver });
	}
}

/* Fills counts, and length: at most room. */
static void count_turns(struct turns *t, uint32_t room)
{
	uint64_t divisor = 0;
	uint32_t weighted = 0;

	for (uint32_t i = 0; i < t->n; i++) {
		divisor = common_divisor(t->weights[i], divisor);
		weighted += t->weights[i] > 0;
	}
	t->length = t->sum / divisor <= room ? t->sum / divisor : room;
	give_rest(t);
	if (weighted <= t->length)
		give_each_one(t);
}

/* ---- when ---- */

/* The member's next window begins then. */
static void wait_for_turn(struct turns *t, uint32_t i)
{
	uint32_t begin = (uint64_t)t->taken[i] * t->length / t->counts[i];

	t->next[i] = t->waiting[begin];
	t->waiting[begin] = i;
}

/* The member may take a turn from now on, and must before its window ends. */
static void may_take(struct turns *t, uint32_t i)
{
	uint64_t end = ((uint64_t)(t->taken[i] + 1) * t->length + t->counts[i] - 1) / t->counts[i];

	heap_push(&t->heap, (struct item){ end, i });
}

static void spread(struct turns *t, uint16_t *out)
{
	t->heap.n = 0;
	for (uint32_t at = 0; at < t->length; at++)
		t->waiting[at] = NOBODY;
	for (uint32_t i = 0; i < t->n; i++)
		if (t->counts[i])
			wait_for_turn(t, i);
	for (uint32_t at = 0; at < t->length; at++) {
		uint32_t i;

		for (i = t->waiting[at]; i != NOBODY; i = t->next[i])
			may_take(t, i);
		out[at] = i = heap_pop(&t->heap);
		if (++t->taken[i] == t->counts[i])
			continue;
		/* windows overlap by a turn at most: the next one may have begun by now */
		if ((uint64_t)t->taken[i] * t->length / t->counts[i] > at)
			wait_for_turn(t, i);
		else
			may_take(t, i);
	}
}

static bool turns_alloc(struct turns *t)
{
	t->counts = calloc(t->n, sizeof(*t->counts));
	t->taken = calloc(t->n, sizeof(*t->taken));
	t->next = calloc(t->n, sizeof(*t->next));
	t->heap.items = calloc(t->n, sizeof(*t->heap.items));
	return t->counts && t->taken && t->next && t->heap.items;
}

uint32_t turns_build(const uint32_t *weights, uint32_t n, uint16_t *out, uint32_t room)
{
	_cleanup_(turns_clear) struct turns t = { .weights = weights, .n = n };

	for (uint32_t i = 0; i < n; i++)
		t.sum += weights[i];
	if (!t.sum || !room || !turns_alloc(&t))
		return 0;
	count_turns(&t, room);
	t.waiting = calloc(t.length, sizeof(*t.waiting));
	if (!t.waiting)
		return 0;
	spread(&t, out);
	return t.length;
}
