/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bpf/slot.h and model/transition.h: entries of the flow cache, the phases of a slot, and the promise that both make
 * together, on random histories. These come from SEED (environment; it is printed), so that a failure can be seen
 * again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../bpf/abi.h"
#include "base/clean.h"
#include "model/transition.h"

/* ---- random numbers (xorshift64*, Vigna 2016) ---- */

static uint64_t seed = 1, random_state = 1;

static uint64_t random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 2685821657736338717ull;
}

static uint32_t random_below(uint32_t n)
{
	return (random64() >> 32) % n;
}

/* ---- where a flow is in its region ---- */

#define LOG2_LEAST 6
#define LOG2_MOST 20

static void the_low_bits_of_a_hash_can_be_told_from_bucket_and_tag(void **state)
{
	(void)state;
	for (uint32_t log2 = LOG2_LEAST; log2 <= LOG2_MOST; log2++) {
		for (int i = 0; i < 20000; i++) {
			uint64_t hash = random64();
			struct shunt_flow_place p = shunt_flow_place(hash, random64(), log2);
			uint64_t entry = shunt_flow_entry(p.tag, SHUNT_FLOW_UDP, 2047, 0xfffe);

			assert_true(p.bucket < 1u << log2);
			assert_true(p.tag < 1ull << SHUNT_FLOW_TAG_BITS);
			assert_int_equal(shunt_flow_tag(entry), p.tag);
			assert_int_equal(shunt_flow_low(p.tag, p.bucket, log2),
					 hash & ((1u << SHUNT_FLOW_LOW_BITS) - 1));
		}
	}
}

/* Of all 2^20 flows that differ in nothing but the low bits, no two are at one place. */
static void flows_of_different_slots_never_have_one_tag_in_one_bucket(void **state)
{
	const uint32_t n = 1u << SHUNT_FLOW_LOW_BITS;

	(void)state;
	for (uint32_t log2 = LOG2_LEAST; log2 <= LOG2_MOST; log2++) {
		uint64_t key = random64();

		for (uint32_t low = 0; low < n; low++) {
			struct shunt_flow_place p = shunt_flow_place(low, key, log2);

			if (shunt_flow_low(p.tag, p.bucket, log2) != low)
				fail_msg("log2 %u, key %llx: %x is taken for another", log2, (unsigned long long)key,
					 low);
		}
	}
}

static void flows_of_one_slot_spread_over_all_buckets(void **state)
{
	enum { LOG2 = 13, N = 1 << LOG2 };
	_cleanup_free_ uint8_t *load = calloc(N, 1);
	uint32_t used = 0;

	(void)state;
	for (int i = 0; i < N; i++) {
		uint64_t hash = random64() << SHUNT_FLOW_LOW_BITS | 12345;

		used += !load[shunt_flow_place(hash, shunt_mix(hash ^ 99), LOG2).bucket]++;
	}
	/* at random, 1 - 1/e of them are */
	assert_in_range(used, N * 60 / 100, N * 66 / 100);
}

/* ---- entries ---- */

static void an_entry_keeps_what_is_put_into_it(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t tag = random64() >> (64 - SHUNT_FLOW_TAG_BITS);
		uint32_t how = random_below(4), seen = random_below(1u << SHUNT_FLOW_SEEN_BITS);
		uint16_t member = random64();
		uint64_t entry = shunt_flow_entry(tag, how, seen, member);

		assert_true(entry & 1);
		assert_int_equal(shunt_flow_tag(entry), tag);
		assert_int_equal(shunt_flow_state(entry), how);
		assert_int_equal(shunt_flow_seen(entry), seen);
		assert_int_equal(shunt_flow_member(entry), member);
	}
}

static void age_goes_on_where_the_clock_goes_round(void **state)
{
	const uint64_t round = 1ull << (SHUNT_FLOW_UNIT + SHUNT_FLOW_SEEN_BITS), unit = 1ull << SHUNT_FLOW_UNIT;
	uint64_t entry = shunt_flow_entry(0, SHUNT_FLOW_OPEN, shunt_flow_now(5 * round - 3 * unit), 0);

	(void)state;
	assert_int_equal(shunt_flow_age(entry, shunt_flow_now(5 * round - 3 * unit)), 0);
	assert_int_equal(shunt_flow_age(entry, shunt_flow_now(5 * round - 2 * unit - 1)), 0);
	assert_int_equal(shunt_flow_age(entry, shunt_flow_now(5 * round - 1)), 2);
	assert_int_equal(shunt_flow_age(entry, shunt_flow_now(5 * round)), 3);
	assert_int_equal(shunt_flow_age(entry, shunt_flow_now(6 * round - 4 * unit)), 2047);
}

static void the_dearest_entries_are_open_flows_that_were_seen_last(void **state)
{
	const uint32_t now = 1; /* the clock has just gone round */
	const uint64_t order[] = {
		shunt_flow_entry(7, SHUNT_FLOW_CLOSING, 2000, 3), shunt_flow_entry(1, SHUNT_FLOW_CLOSING, 1, 3),
		shunt_flow_entry(9, SHUNT_FLOW_NEW, 2, 3),        shunt_flow_entry(9, SHUNT_FLOW_NEW, 2047, 3),
		shunt_flow_entry(9, SHUNT_FLOW_NEW, 1, 3),        shunt_flow_entry(5, SHUNT_FLOW_OPEN, 2, 3),
		shunt_flow_entry(1, SHUNT_FLOW_UDP, 2046, 3),     shunt_flow_entry(5, SHUNT_FLOW_OPEN, 2047, 3),
		shunt_flow_entry(4, SHUNT_FLOW_UDP, 0, 3),        shunt_flow_entry(1, SHUNT_FLOW_OPEN, 1, 3),
	};

	(void)state;
	for (size_t i = 1; i < ARRAY_SIZE(order); i++)
		assert_true(shunt_flow_worth(order[i - 1], now) < shunt_flow_worth(order[i], now));
	assert_int_equal(shunt_flow_worth(order[6], now),
			 shunt_flow_worth(shunt_flow_entry(8, SHUNT_FLOW_OPEN, 2046, 9), now));
}

static void a_flow_ends_with_its_last_packet_and_begins_anew_with_a_first(void **state)
{
	(void)state;
	for (uint32_t was = SHUNT_FLOW_NEW; was <= SHUNT_FLOW_CLOSING; was++) {
		uint32_t after = was == SHUNT_FLOW_CLOSING ? SHUNT_FLOW_CLOSING : SHUNT_FLOW_OPEN;

		assert_int_equal(shunt_flow_state_after(was, true, false), SHUNT_FLOW_NEW);
		assert_int_equal(shunt_flow_state_after(was, false, true), SHUNT_FLOW_CLOSING);
		assert_int_equal(shunt_flow_state_after(was, false, false), after);
	}
	assert_false(shunt_flow_is_live(0));
	assert_false(shunt_flow_is_live(shunt_flow_entry(0, SHUNT_FLOW_NEW, 0, 0)));
	assert_false(shunt_flow_is_live(shunt_flow_entry(0, SHUNT_FLOW_CLOSING, 0, 0)));
	assert_true(shunt_flow_is_live(shunt_flow_entry(0, SHUNT_FLOW_OPEN, 0, 0)));
	assert_true(shunt_flow_is_live(shunt_flow_entry(0, SHUNT_FLOW_UDP, 0, 0)));
}

/* ---- phases ---- */

enum { A, B, C, D, N_NAMED, NONE = SHUNT_NONE };

static void assert_choice(uint64_t slot, bool first, uint16_t noted, uint16_t owner, bool note)
{
	struct shunt_choice choice = shunt_choose(slot, first, noted);

	assert_int_equal(choice.owner, owner);
	assert_int_equal(choice.note, note);
}

static void while_observing_all_are_noted_first_packets_for_current_others_for_the_anchor(void **state)
{
	uint64_t slot = shunt_slot(B, A, A, C);

	(void)state;
	assert_true(shunt_slot_observing(slot));
	assert_choice(slot, true, NONE, B, true);
	assert_choice(slot, true, A, B, true);
	assert_choice(slot, false, NONE, A, true);
	assert_choice(slot, false, B, B, true);
	assert_choice(slot, false, D, D, true);
}

static void while_lingering_only_who_was_noted_stays_noted(void **state)
{
	uint64_t slot = shunt_slot(B, B, A, C);

	(void)state;
	assert_false(shunt_slot_steady(slot));
	assert_false(shunt_slot_observing(slot));
	assert_choice(slot, true, NONE, B, false);
	assert_choice(slot, true, A, B, true);
	assert_choice(slot, false, NONE, B, false);
	assert_choice(slot, false, A, A, true);
}

static void a_slot_whose_owner_lives_goes_through_both_phases(void **state)
{
	const bool keeps[N_NAMED] = { true, true, true, true };
	uint64_t slot = shunt_slot(A, A, NONE, B);

	(void)state;
	slot = transition_follow(slot, B, C, keeps, N_NAMED);
	assert_true(slot == shunt_slot(B, A, A, C));
	slot = transition_observed(slot);
	assert_true(shunt_slot_current(slot) == B && !shunt_slot_observing(slot) && !shunt_slot_steady(slot));
	slot = transition_settled(slot);
	assert_true(slot == shunt_slot(B, B, NONE, C));
	assert_true(transition_observed(slot) == slot);
}

static void who_was_anchor_is_named_as_previous_if_nobody_else_is(void **state)
{
	(void)state;
	assert_true(transition_observed(shunt_slot(B, A, B, C)) == shunt_slot(B, B, A, C));
	assert_true(transition_observed(shunt_slot(B, A, D, C)) == shunt_slot(B, B, D, C));
}

static void a_slot_whose_owner_is_dead_has_no_transition(void **state)
{
	const bool keeps[N_NAMED] = { false, true, true, true };

	(void)state;
	assert_true(transition_follow(shunt_slot(A, A, NONE, B), B, C, keeps, N_NAMED) == shunt_slot(B, B, NONE, C));
	/* nor one whose owner's number is none of the table's any more */
	assert_true(transition_follow(shunt_slot(D, D, NONE, B), B, C, keeps, D) == shunt_slot(B, B, NONE, C));
}

static void a_second_change_keeps_the_anchor(void **state)
{
	const bool keeps[N_NAMED] = { true, true, true, true };
	uint64_t slot = transition_follow(shunt_slot(B, A, A, C), C, D, keeps, N_NAMED);

	(void)state;
	assert_int_equal(shunt_slot_current(slot), C);
	assert_int_equal(shunt_slot_anchor(slot), A);
	/* back to the anchor: flows of B and C are noted */
	slot = transition_follow(slot, A, B, keeps, N_NAMED);
	assert_int_equal(shunt_slot_anchor(slot), A);
	assert_false(shunt_slot_steady(slot));
}

static void without_its_anchor_a_slot_lingers(void **state)
{
	const bool keeps[N_NAMED] = { false, true, true, true };
	uint64_t slot = transition_follow(shunt_slot(B, A, A, C), B, C, keeps, N_NAMED);

	(void)state;
	assert_int_equal(shunt_slot_anchor(slot), B);
	assert_false(shunt_slot_steady(slot));
}

/* ---- the promise ---- */

/*
 * A flow that has been seen keeps its backend for as long as that lives. Limits: it is not silent for so long as the
 * transition time while it is not noted, nor for so long as the timeout while it is; and the cache forgets nothing.
 */
#define N_SLOTS 8
#define N_MEMBERS 6
#define N_FLOWS 64
#define TRANSITION 100
#define TIMEOUT 700
#define STEPS 20000
#define HISTORIES 150

enum health { HEALTHY, DRAINING, DEAD };

struct flow {
	bool open;
	uint16_t owner;
	uint32_t life; /* of its owner, when it began */
	uint32_t seen;
	uint16_t noted; /* the cache, with a place for every flow */
	uint32_t noted_at;
};

struct world {
	uint32_t now;
	enum health health[N_MEMBERS];
	uint32_t lives[N_MEMBERS]; /* how often it died */
	bool keeps[N_MEMBERS];
	uint8_t ranking[N_SLOTS][N_MEMBERS];
	uint64_t slots[N_SLOTS];
	uint32_t changed[N_SLOTS];
	struct flow flows[N_FLOWS];
	uint32_t kept, noted_kept; /* packets that reached their flow's backend; beyond current */
};

static uint16_t slot_of(uint32_t flow)
{
	return flow % N_SLOTS;
}

/* The nth healthy member in the slot's ranking. */
static uint16_t nth_healthy(const struct world *w, uint32_t slot, uint32_t nth)
{
	for (int i = 0; i < N_MEMBERS; i++)
		if (w->health[w->ranking[slot][i]] == HEALTHY && !nth--)
			return w->ranking[slot][i];
	return SHUNT_NONE;
}

static void follow(struct world *w)
{
	for (uint32_t s = 0; s < N_SLOTS; s++) {
		uint16_t current = nth_healthy(w, s, 0);

		if (shunt_slot_current(w->slots[s]) != current)
			w->changed[s] = w->now;
		w->slots[s] = transition_follow(w->slots[s], current, nth_healthy(w, s, 1), w->keeps, N_MEMBERS);
	}
}

/* Flows of who is dead are over, and so is what was noted of them. */
static void die(struct world *w, uint32_t m)
{
	w->lives[m]++;
	for (int f = 0; f < N_FLOWS; f++)
		if (w->flows[f].noted == m)
			w->flows[f].noted = SHUNT_NONE;
}

static void change(struct world *w)
{
	uint32_t m = random_below(N_MEMBERS);
	enum health health = random_below(3);

	if (health == w->health[m])
		return;
	if (health == DEAD)
		die(w, m);
	w->health[m] = health;
	w->keeps[m] = health != DEAD;
	follow(w);
}

static void tick(struct world *w)
{
	bool elsewhere[N_SLOTS] = {};

	for (int f = 0; f < N_FLOWS; f++) {
		struct flow *flow = &w->flows[f];
		uint64_t slot = w->slots[slot_of(f)];

		if (w->now - flow->noted_at >= TIMEOUT || shunt_slot_steady(slot))
			flow->noted = SHUNT_NONE;
		elsewhere[slot_of(f)] |= flow->noted != SHUNT_NONE && flow->noted != shunt_slot_current(slot);
	}
	for (int s = 0; s < N_SLOTS; s++) {
		if (w->now - w->changed[s] >= TRANSITION)
			w->slots[s] = transition_observed(w->slots[s]);
		if (!shunt_slot_observing(w->slots[s]) && !elsewhere[s])
			w->slots[s] = transition_settled(w->slots[s]);
	}
}

static uint16_t owner_of_packet(struct world *w, uint32_t f, bool first)
{
	struct flow *flow = &w->flows[f];
	uint64_t slot = w->slots[slot_of(f)];
	struct shunt_choice choice;

	if (shunt_slot_steady(slot))
		return shunt_slot_current(slot);
	choice = shunt_choose(slot, first, flow->noted);
	if (choice.note) {
		flow->noted = choice.owner;
		flow->noted_at = w->now;
	}
	return choice.owner;
}

/* Is the flow beyond what is promised? */
static bool is_over(const struct world *w, const struct flow *flow)
{
	uint32_t silent = w->now - flow->seen;

	return w->lives[flow->owner] != flow->life || silent >= (flow->noted == SHUNT_NONE ? TRANSITION : TIMEOUT);
}

static void packet(struct world *w, uint32_t f)
{
	struct flow *flow = &w->flows[f];
	uint64_t slot = w->slots[slot_of(f)];
	uint16_t owner;

	if (flow->open && (is_over(w, flow) || !random_below(50)))
		flow->open = false;
	if (!flow->open) {
		flow->owner = owner_of_packet(w, f, true);
		if (flow->owner == SHUNT_NONE)
			return;
		flow->life = w->lives[flow->owner];
		flow->open = true;
	} else {
		owner = owner_of_packet(w, f, false);
		if (owner != flow->owner)
			fail_msg(
				"SEED=%llu, time %u: flow %u of member %u went to %u; slot %04llx %04llx %04llx %04llx "
				"(current, anchor, previous, runner-up), changed at %u, noted %04x",
				(unsigned long long)seed, w->now, f, flow->owner, owner, slot & 0xffffull,
				slot >> 16 & 0xffffull, slot >> 32 & 0xffffull, slot >> 48, w->changed[slot_of(f)],
				flow->noted);
		w->kept++;
		w->noted_kept += owner != shunt_slot_current(slot);
	}
	flow->seen = w->now;
}

static void world_init(struct world *w)
{
	*w = (struct world){};
	for (int m = 0; m < N_MEMBERS; m++)
		w->keeps[m] = true;
	for (int s = 0; s < N_SLOTS; s++) {
		for (int i = 0; i < N_MEMBERS; i++) {
			uint32_t other = random_below(i + 1);

			w->ranking[s][i] = w->ranking[s][other];
			w->ranking[s][other] = i;
		}
		w->slots[s] = shunt_slot(w->ranking[s][0], w->ranking[s][0], SHUNT_NONE, w->ranking[s][1]);
	}
	for (int f = 0; f < N_FLOWS; f++)
		w->flows[f].noted = SHUNT_NONE;
}

/* Some histories have a change in almost every moment, some have long rests. */
static void history(struct world *w)
{
	uint32_t calm = 1u << random_below(10);

	world_init(w);
	for (int i = 0; i < STEPS; i++) {
		w->now += random_below(4);
		if (!random_below(4 * calm))
			change(w);
		else if (!random_below(8))
			tick(w);
		else
			packet(w, random_below(N_FLOWS / (1 + i / 4096 % 4)));
	}
}

static void a_flow_that_was_seen_keeps_its_backend_while_that_lives(void **state)
{
	uint64_t kept = 0, noted_kept = 0;
	struct world w;

	(void)state;
	for (int i = 0; i < HISTORIES; i++) {
		history(&w);
		kept += w.kept;
		noted_kept += w.noted_kept;
	}
	/* it was about something: many flows stayed with who does not own their slot */
	assert_true(kept > 1000000);
	assert_true(noted_kept > kept / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_low_bits_of_a_hash_can_be_told_from_bucket_and_tag),
		cmocka_unit_test(flows_of_different_slots_never_have_one_tag_in_one_bucket),
		cmocka_unit_test(flows_of_one_slot_spread_over_all_buckets),
		cmocka_unit_test(an_entry_keeps_what_is_put_into_it),
		cmocka_unit_test(age_goes_on_where_the_clock_goes_round),
		cmocka_unit_test(the_dearest_entries_are_open_flows_that_were_seen_last),
		cmocka_unit_test(a_flow_ends_with_its_last_packet_and_begins_anew_with_a_first),
		cmocka_unit_test(while_observing_all_are_noted_first_packets_for_current_others_for_the_anchor),
		cmocka_unit_test(while_lingering_only_who_was_noted_stays_noted),
		cmocka_unit_test(a_slot_whose_owner_lives_goes_through_both_phases),
		cmocka_unit_test(who_was_anchor_is_named_as_previous_if_nobody_else_is),
		cmocka_unit_test(a_slot_whose_owner_is_dead_has_no_transition),
		cmocka_unit_test(a_second_change_keeps_the_anchor),
		cmocka_unit_test(without_its_anchor_a_slot_lingers),
		cmocka_unit_test(a_flow_that_was_seen_keeps_its_backend_while_that_lives),
	};
	const char *given = getenv("SEED");

	if (given)
		seed = strtoull(given, NULL, 0);
	random_state = seed ? seed : 1;
	print_message("SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
