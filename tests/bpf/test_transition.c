/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Slots whose owner is just changing: new flows go to current, older ones stay with the anchor, and both are remembered.
 * Member 1 is the new owner, member 2 the old one.
 */
#include "expect.h"

#include <bpf/bpf.h>
#include <string.h>

#include "edge.skel.h"

#define SYN 0x02
#define ACK 0x10
#define RST 0x04
#define FIN 0x01
#define NEW_OWNER 1
#define OLD_OWNER 2
#define DOWN (SHUNT_BACKEND_USED | SHUNT_BACKEND_NEXTHOP)

static struct packet in;

static void all_slots(struct fixture *f, uint16_t current, uint16_t anchor, uint16_t runner_up)
{
	for (uint32_t i = 0; i < 64; i++)
		slot_set_word(f, 64 * WORLD_TCP + i, shunt_slot(current, anchor, SHUNT_NONE, runner_up));
}

static struct fixture *in_transition(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 4; i++) {
		struct shunt_backend b = backend_at("10.0.1.0");

		((uint8_t *)&b.address)[15] = i;
		b.dmac[4] = i;
		backend_set(f, 20 + i, &b);
		member_set(f, WORLD_TCP_MEMBER + i, 20 + i);
	}
	all_slots(f, NEW_OWNER, OLD_OWNER, 3);
	return f;
}

static void segment(const struct flow *flow, unsigned flags)
{
	ether(&in);
	ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4 });
	tcp(&in, flow->cport, flow->sport, flags);
	packet_finish(&in);
}

static struct flow port(uint16_t cport)
{
	struct flow flow = tcp4;

	flow.cport = cport;
	return flow;
}

#define expect_owner(f, flow, owner) expect_balanced(f, &in, flow, 20 + (owner), WORLD_TCP_MEMBER + (owner))

static void a_flow_that_begins_goes_to_the_new_owner_and_stays_there(void **state)
{
	struct fixture *f = in_transition(state);

	for (int p = 1000; p < 1100; p++) {
		struct flow flow = port(p);

		in_case("port %d", p);
		segment(&flow, SYN);
		expect_owner(f, &flow, NEW_OWNER);
		segment(&flow, ACK);
		expect_owner(f, &flow, NEW_OWNER);
		segment(&flow, FIN | ACK);
		expect_owner(f, &flow, NEW_OWNER);
	}
}

static void an_older_flow_stays_with_the_old_owner(void **state)
{
	struct fixture *f = in_transition(state);

	for (int p = 1000; p < 1100; p++) {
		struct flow flow = port(p);

		in_case("port %d", p);
		segment(&flow, ACK);
		expect_owner(f, &flow, OLD_OWNER);
		segment(&flow, RST);
		expect_owner(f, &flow, OLD_OWNER);
	}
}

static void an_answer_to_a_connect_is_no_first_packet(void **state)
{
	struct fixture *f = in_transition(state);

	segment(&tcp4, SYN | ACK);
	expect_owner(f, &tcp4, OLD_OWNER);
}

static void an_older_flow_that_was_seen_is_remembered_when_the_anchor_moves(void **state)
{
	struct fixture *f = in_transition(state);

	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, OLD_OWNER);
	all_slots(f, NEW_OWNER, 0, 3);
	expect_owner(f, &tcp4, OLD_OWNER);
}

static void a_new_flow_stays_where_it_began_when_current_comes_back_to_the_anchor(void **state)
{
	struct fixture *f = in_transition(state);

	segment(&tcp4, SYN);
	expect_owner(f, &tcp4, NEW_OWNER);
	for (uint32_t i = 0; i < 64; i++)
		slot_set_word(f, 64 * WORLD_TCP + i, shunt_slot(OLD_OWNER, OLD_OWNER, NEW_OWNER, 3));
	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, NEW_OWNER);
	segment(&tcp4, SYN);
	expect_owner(f, &tcp4, OLD_OWNER);
}

static void a_port_that_is_used_again_begins_a_new_flow(void **state)
{
	struct fixture *f = in_transition(state);

	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, OLD_OWNER);
	segment(&tcp4, SYN);
	expect_owner(f, &tcp4, NEW_OWNER);
	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, NEW_OWNER);
}

static void the_next_transition_begins_with_nothing_remembered(void **state)
{
	struct fixture *f = in_transition(state);
	struct shunt_service s;
	uint32_t key = WORLD_TCP;
	int services = bpf_map__fd(f->edge->maps.services);

	segment(&tcp4, SYN);
	expect_owner(f, &tcp4, NEW_OWNER);
	assert_int_equal(bpf_map_lookup_elem(services, &key, &s), 0);
	s.epoch++;
	assert_int_equal(bpf_map_update_elem(services, &key, &s, 0), 0);
	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, OLD_OWNER);
}

static void an_old_owner_that_is_down_loses_its_flows_to_the_new_one(void **state)
{
	struct fixture *f = in_transition(state);
	struct shunt_backend b = f->backends[20 + OLD_OWNER];

	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, OLD_OWNER);
	b.flags = DOWN;
	backend_set(f, 20 + OLD_OWNER, &b);
	expect_owner(f, &tcp4, NEW_OWNER);
}

static void with_both_owners_down_the_runner_up_takes_over(void **state)
{
	struct fixture *f = in_transition(state);

	for (int i = NEW_OWNER; i <= OLD_OWNER; i++) {
		struct shunt_backend b = f->backends[20 + i];

		b.flags = DOWN;
		backend_set(f, 20 + i, &b);
	}
	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, 3);
	segment(&tcp4, SYN);
	expect_owner(f, &tcp4, 3);
}

static void a_steady_slot_remembers_nothing(void **state)
{
	struct fixture *f = in_transition(state);
	struct shunt_flow_bucket bucket, empty = {};
	int flows = bpf_map__fd(f->edge->maps.flows);

	all_slots(f, NEW_OWNER, NEW_OWNER, 3);
	for (int p = 1000; p < 1050; p++) {
		struct flow flow = port(p);

		segment(&flow, p % 2 ? SYN : ACK);
		expect_owner(f, &flow, NEW_OWNER);
	}
	for (uint32_t i = 0; i < SHUNT_FLOW_BUCKETS; i++) {
		assert_int_equal(bpf_map_lookup_elem(flows, &i, &bucket), 0);
		assert_memory_equal(&bucket, &empty, sizeof(bucket));
	}
}

/* More flows than the cache holds at once: it stays within its bounds, and most of what it holds is right. */
static void a_flood_of_new_flows_evicts_but_does_not_grow(void **state)
{
	struct fixture *f = in_transition(state);
	unsigned kept = 0;

	for (int p = 1; p < 60001; p++) {
		struct flow flow = port(p);

		segment(&flow, SYN);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
	}
	count(f);
	for (int p = 1; p < 60001; p += 60) {
		struct flow flow = port(p);
		uint8_t owner;

		segment(&flow, ACK);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
		owner = f->out.b[14 + 19]; /* last byte of the tunnel's destination */
		assert_true(owner == NEW_OWNER || owner == OLD_OWNER);
		kept += owner == NEW_OWNER;
	}
	count(f);
	assert_in_range(kept, 990, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_flow_that_begins_goes_to_the_new_owner_and_stays_there),
		world_test(an_older_flow_stays_with_the_old_owner),
		world_test(an_answer_to_a_connect_is_no_first_packet),
		world_test(an_older_flow_that_was_seen_is_remembered_when_the_anchor_moves),
		world_test(a_new_flow_stays_where_it_began_when_current_comes_back_to_the_anchor),
		world_test(a_port_that_is_used_again_begins_a_new_flow),
		world_test(the_next_transition_begins_with_nothing_remembered),
		world_test(an_old_owner_that_is_down_loses_its_flows_to_the_new_one),
		world_test(with_both_owners_down_the_runner_up_takes_over),
		world_test(a_steady_slot_remembers_nothing),
		world_test(a_flood_of_new_flows_evicts_but_does_not_grow),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
