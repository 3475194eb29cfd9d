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

static void all_words(struct fixture *f, uint32_t service, uint64_t word)
{
	for (uint32_t i = 0; i < 64; i++)
		slot_set_word(f, 64 * service + i, word);
}

static void all_slots(struct fixture *f, uint16_t current, uint16_t anchor, uint16_t runner_up)
{
	all_words(f, WORLD_TCP, shunt_slot(current, anchor, SHUNT_NONE, runner_up));
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

/* ---- what is noted ---- */

static uint64_t only_entry(const struct fixture *f, uint32_t service, uint32_t *bucket)
{
	struct shunt_flow_bucket b;

	for (uint32_t i = 0; i < 1u << LOADED_LOG2_BUCKETS; i++) {
		uint32_t key = (service << LOADED_LOG2_BUCKETS) + i;

		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(f->edge->maps.flows), &key, &b), 0);
		for (int way = 0; way < SHUNT_FLOW_WAYS; way++)
			if (b.ways[way]) {
				*bucket = i;
				return b.ways[way];
			}
	}
	return 0;
}

static unsigned entries(const struct fixture *f, uint32_t service)
{
	struct shunt_flow_bucket b;
	unsigned n = 0;

	for (uint32_t i = 0; i < 1u << LOADED_LOG2_BUCKETS; i++) {
		uint32_t key = (service << LOADED_LOG2_BUCKETS) + i;

		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(f->edge->maps.flows), &key, &b), 0);
		for (int way = 0; way < SHUNT_FLOW_WAYS; way++)
			n += b.ways[way] != 0;
	}
	return n;
}

static struct shunt_flow_counter flow_counter(const struct fixture *f, uint32_t service)
{
	struct shunt_flow_counter values[f->cpus], sum = {};

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(f->edge->maps.flow_counters), &service, values), 0);
	for (int i = 0; i < f->cpus; i++) {
		sum.noted += values[i].noted;
		sum.evicted += values[i].evicted;
	}
	return sum;
}

/* ---- who gets what ---- */

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
	all_words(f, WORLD_TCP, shunt_slot(OLD_OWNER, OLD_OWNER, NEW_OWNER, 3));
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

static void a_slot_that_lingers_keeps_who_was_noted_and_gives_the_rest_to_current(void **state)
{
	struct fixture *f = in_transition(state);
	struct flow quiet = port(2000), fresh = port(2001);

	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, OLD_OWNER);
	all_words(f, WORLD_TCP, shunt_slot(NEW_OWNER, NEW_OWNER, OLD_OWNER, 3));
	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, OLD_OWNER);
	segment(&quiet, ACK);
	expect_owner(f, &quiet, NEW_OWNER);
	segment(&fresh, SYN);
	expect_owner(f, &fresh, NEW_OWNER);
	assert_int_equal(entries(f, WORLD_TCP), 1); /* who is with current needs no note */
}

static void a_service_without_a_region_notes_nothing(void **state)
{
	struct fixture *f = in_transition(state);
	struct shunt_service s;
	uint32_t key = WORLD_TCP;
	int services = bpf_map__fd(f->edge->maps.services);

	assert_int_equal(bpf_map_lookup_elem(services, &key, &s), 0);
	s.flows = 0;
	assert_int_equal(bpf_map_update_elem(services, &key, &s, 0), 0);
	segment(&tcp4, SYN);
	expect_owner(f, &tcp4, NEW_OWNER);
	segment(&tcp4, ACK);
	expect_owner(f, &tcp4, OLD_OWNER);
	assert_int_equal(entries(f, WORLD_TCP), 0);
}

/* What the daemon reads from an entry: its slot, its member, how it was seen. */
static void an_entry_says_what_it_is_about(void **state)
{
	struct fixture *f = in_transition(state);
	static const struct { unsigned flags; uint32_t state; } seen[] = {
		{ SYN, SHUNT_FLOW_NEW }, { ACK, SHUNT_FLOW_OPEN }, { FIN | ACK, SHUNT_FLOW_CLOSING },
		{ ACK, SHUNT_FLOW_CLOSING }, { SYN, SHUNT_FLOW_NEW }, { RST, SHUNT_FLOW_CLOSING },
	};

	for (int i = 0; i < 6; i++) {
		struct shunt_flow_place at;
		uint64_t entry;

		in_case("packet %d", i);
		segment(&tcp4, seen[i].flags);
		expect_owner(f, &tcp4, NEW_OWNER);
		assert_int_equal(entries(f, WORLD_TCP), 1);
		entry = only_entry(f, WORLD_TCP, &at.bucket);
		assert_int_equal(shunt_flow_member(entry), NEW_OWNER);
		assert_int_equal(shunt_flow_state(entry), seen[i].state);
		assert_int_equal(shunt_flow_low(shunt_flow_tag(entry), at.bucket, LOADED_LOG2_BUCKETS),
				 flow_hash(f->settings.seed, &tcp4) & 0xfffff);
	}
}

/* A router's complaint about what the service sent to the client. */
static void error_about_answer(const struct flow *flow)
{
	struct flow answer = flow_reversed(flow);
	struct packet embedded;

	flow_packet(&embedded, &answer, &(struct shape){ .bare = true });
	ether(&in);
	ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4, .proto = IPPROTO_ICMP });
	icmp4(&in, 3, 4, 1400);
	bytes(&in, embedded.b, embedded.len);
	packet_finish(&in);
}

static void an_icmp_error_follows_the_flow_and_notes_nothing(void **state)
{
	struct fixture *f = in_transition(state);
	uint64_t before;
	uint32_t bucket;

	error_about_answer(&tcp4);
	expect_owner(f, &tcp4, OLD_OWNER);
	assert_int_equal(entries(f, WORLD_TCP), 0);
	segment(&tcp4, SYN);
	expect_owner(f, &tcp4, NEW_OWNER);
	before = only_entry(f, WORLD_TCP, &bucket);
	error_about_answer(&tcp4);
	expect_owner(f, &tcp4, NEW_OWNER);
	assert_int_equal(only_entry(f, WORLD_TCP, &bucket), before);
}

static void udp_stays_with_the_anchor_while_it_is_active(void **state)
{
	struct fixture *f = in_transition(state);
	uint64_t entry;
	uint32_t bucket;

	for (uint32_t i = 0; i < 4; i++)
		member_set(f, WORLD_UDP_MEMBER + i, 20 + i);
	all_words(f, WORLD_UDP, shunt_slot(NEW_OWNER, OLD_OWNER, OLD_OWNER, 3));
	flow_packet(&in, &udp4, NULL);
	expect_balanced(f, &in, &udp4, 20 + OLD_OWNER, WORLD_UDP_MEMBER + OLD_OWNER);
	entry = only_entry(f, WORLD_UDP, &bucket);
	assert_int_equal(shunt_flow_state(entry), SHUNT_FLOW_UDP);
	all_words(f, WORLD_UDP, shunt_slot(NEW_OWNER, NEW_OWNER, OLD_OWNER, 3));
	expect_balanced(f, &in, &udp4, 20 + OLD_OWNER, WORLD_UDP_MEMBER + OLD_OWNER);
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

	all_slots(f, NEW_OWNER, NEW_OWNER, 3);
	for (int p = 1000; p < 1050; p++) {
		struct flow flow = port(p);

		segment(&flow, p % 2 ? SYN : ACK);
		expect_owner(f, &flow, NEW_OWNER);
	}
	assert_int_equal(entries(f, WORLD_TCP), 0);
}

/* Far more first packets than the region holds: open flows are not pushed out, and what is another's is not touched. */
static void a_flood_of_first_packets_pushes_out_no_open_flow_and_no_other_services(void **state)
{
	struct fixture *f = in_transition(state);

	for (int p = 1; p <= 1000; p++) {
		struct flow flow = port(p);

		segment(&flow, ACK);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
	}
	for (int p = 1001; p < 61001; p++) {
		struct flow flow = port(p);

		segment(&flow, SYN);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
	}
	count(f);
	all_slots(f, NEW_OWNER, 0, 3); /* who is forgotten goes to member 0 */
	for (int p = 1; p <= 1000; p++) {
		struct flow flow = port(p);

		in_case("port %d", p);
		segment(&flow, ACK);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
		assert_int_equal(f->out.b[14 + 19], OLD_OWNER); /* last byte of the tunnel's destination */
	}
	count(f);
	for (uint32_t service = 0; service < FIXTURE_SERVICES; service++)
		assert_true(service == WORLD_TCP || entries(f, service) == 0);
	assert_true(entries(f, WORLD_TCP) <= SHUNT_FLOW_WAYS << LOADED_LOG2_BUCKETS);
}

/* More open flows than there is room for: who loses its entry is counted. */
static void open_flows_that_are_pushed_out_are_counted(void **state)
{
	struct fixture *f = in_transition(state);
	unsigned room = SHUNT_FLOW_WAYS << LOADED_LOG2_BUCKETS;
	struct shunt_flow_counter c;

	for (int p = 1; p < 60001; p++) {
		struct flow flow = port(p);

		segment(&flow, ACK);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
	}
	count(f);
	c = flow_counter(f, WORLD_TCP);
	assert_int_equal(c.noted, 60000);
	assert_int_equal(c.evicted, 60000 - entries(f, WORLD_TCP));
	assert_in_range(entries(f, WORLD_TCP), room * 95 / 100, room);
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
		world_test(a_slot_that_lingers_keeps_who_was_noted_and_gives_the_rest_to_current),
		world_test(a_service_without_a_region_notes_nothing),
		world_test(an_entry_says_what_it_is_about),
		world_test(an_icmp_error_follows_the_flow_and_notes_nothing),
		world_test(udp_stays_with_the_anchor_while_it_is_active),
		world_test(an_old_owner_that_is_down_loses_its_flows_to_the_new_one),
		world_test(with_both_owners_down_the_runner_up_takes_over),
		world_test(a_steady_slot_remembers_nothing),
		world_test(a_flood_of_first_packets_pushes_out_no_open_flow_and_no_other_services),
		world_test(open_flows_that_are_pushed_out_are_counted),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
