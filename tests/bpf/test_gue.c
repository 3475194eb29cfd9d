/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The edge program's tunnel packets with `forward: gue`: headers, entropy, room, and who else they name. */
#include "expect.h"
#include "shapes.h"

#include <arpa/inet.h>
#include <string.h>

static struct packet in, want;

/*
 * Members 0 to 7 of both services are backends FIRST to FIRST + 7: four over IPv4, then four over IPv6. In the comments of
 * slots and alternates they go by these numbers.
 */
#define FIRST 20
static const char *const addresses[8] = { "10.0.0.20", "10.0.0.21", "10.0.0.22", "10.0.0.23",
					  "2001:db8:bb::24", "2001:db8:bb::25", "2001:db8:bb::26", "2001:db8:bb::27" };

#define RANKING(a, b, c, d) ((uint64_t)(d) << 48 | (uint64_t)(c) << 32 | (uint64_t)(b) << 16 | (a))
#define NONE SHUNT_NONE

static void slots_are(struct fixture *f, uint64_t word, uint64_t ranking)
{
	for (uint32_t i = 0; i < 64; i++) {
		slot_set_word(f, 64 * WORLD_TCP + i, word);
		slot_set_word(f, 64 * WORLD_UDP + i, word);
		alternates_set(f, 64 * WORLD_TCP + i, ~0ull, ranking);
		alternates_set(f, 64 * WORLD_UDP + i, ~0ull, ranking);
	}
}

static struct shunt_backend gue_at(const char *address)
{
	struct shunt_backend b = backend_at(address);

	b.forward = SHUNT_FORWARD_GUE;
	backend_mtu(&b, 1500);
	return b;
}

static struct fixture *world_with(uint32_t features)
{
	struct shunt_settings s = fixture_settings();

	s.features = features;
	return world_open(&s);
}

static void fill(struct fixture *f)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct shunt_backend b = gue_at(addresses[i]);

		b.dmac[4] = i;
		backend_set(f, FIRST + i, &b);
		member_set(f, WORLD_TCP_MEMBER + i, FIRST + i);
		member_set(f, WORLD_UDP_MEMBER + i, FIRST + i);
	}
	slots_are(f, shunt_slot(0, 0, NONE, 1), RANKING(0, 1, 2, 3));
}

static int gue_setup(void **state)
{
	*state = world_with(SHUNT_FEATURE_GUE);
	fill(*state);
	return 0;
}

/* The packet in `in` goes to this member, and names these. */
static void check_names(struct place at, struct fixture *f, const struct flow *flow, uint32_t member, const struct gue *gue)
{
	want_tunnel(&want, &in, &f->settings, &f->backends[FIRST + member], flow_hash(f->settings.seed, flow), gue);
	forwarded_at(at, f, &in, &want, FIRST + member, world_member(flow) + member);
}
#define expect_names(f, flow, member, ...) check_names(HERE, f, flow, member, &(struct gue){ __VA_ARGS__ })

static size_t tcp_at(const struct packet *p)
{
	return packet_layer(p, LAYER_TCP);
}

/* With other flags than ACK. */
static void tcp_packet(const struct flow *flow, uint8_t flags, const struct shape *shape)
{
	flow_packet(&in, flow, shape);
	in.b[tcp_at(&in) + 13] = flags;
	packet_finish(&in);
}

#define FIN 0x01
#define RST 0x04

/* ---- the tunnel ---- */

static void each_family_goes_through_a_tunnel_of_each_family(void **state)
{
	struct fixture *f = *state;

	for (int six = 0; six < 2; six++) {
		slots_are(f, shunt_slot(4 * six, 4 * six, NONE, NONE), ~0ull);
		for (int i = 0; i < 4; i++) {
			for (const struct named_shape *s = shapes_of(world_flows[i]); s->name; s++) {
				in_case("flow %d, %s, to %s", i, s->name, addresses[4 * six]);
				flow_packet(&in, world_flows[i], &s->shape);
				expect_names(f, world_flows[i], 4 * six, .n = 0);
			}
		}
	}
}

static void received_tags_are_removed_and_the_backends_is_pushed(void **state)
{
	struct fixture *f = *state;

	for (int m = 0; m < 8; m += 4) {
		for (int tagged = 0; tagged < 2; tagged++) {
			struct shunt_backend b = gue_at(addresses[m]);

			b.vlan = tagged ? htons(0x6abc) : 0;
			backend_set(f, FIRST + m, &b);
			slots_are(f, shunt_slot(m, m, NONE, m + 1), ~0ull);
			for (const struct named_shape *s = shapes_tagged; s->name; s++) {
				for (int i = 0; i < 2; i++) {
					in_case("flow %d, %s, to %s", i, s->name, addresses[m]);
					flow_packet(&in, world_flows[i], &s->shape);
					expect_names(f, world_flows[i], m, .n = 1, .hops = { addresses[m + 1] });
				}
			}
		}
	}
}

static void the_source_port_is_the_flows_entropy(void **state)
{
	struct fixture *f = *state;
	uint16_t before = 0, differ = 0;

	for (unsigned port = 1000; port < 1100; port++) {
		struct flow flow = udp4;
		uint16_t sport;

		flow.cport = port;
		flow_packet(&in, &flow, NULL);
		in_case("port %u", port);
		expect_names(f, &flow, 0, .n = 0);
		sport = get16(f->out.b + 14 + 20);
		assert_in_range(sport, 49152, 65535);
		differ += sport != before;
		before = sport;
	}
	assert_in_range(differ, 95, 100);
}

static void dscp_and_ttl_are_as_in_any_tunnel(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (unsigned n = 2; n < 256; n += 3) {
			in_case("flow %d, %u", i, n);
			flow_packet(&in, world_flows[i], &(struct shape){ .tos = n, .ttl = n, .payload = 5 });
			if (i < 2)
				expect_names(*state, world_flows[i], 0, .n = 3,
					     .hops = { addresses[1], addresses[2], addresses[3] });
			else
				expect_names(*state, world_flows[i], 0, .n = 0);
		}
	}
}

/* Room for all addresses that there may be, whatever the packet carries: what a sender is told does not change. */
static void what_fits_the_way_with_all_headers_is_forwarded_and_more_is_answered(void **state)
{
	struct fixture *f = *state;

	for (int m = 0; m < 8; m += 4) {
		unsigned room = 1500 - (m ? 168 : 64);

		slots_are(f, shunt_slot(m, m, NONE, NONE), ~0ull);
		for (int i = 0; i < 4; i++) {
			bool is4 = i % 2 == 0;
			struct shape s = { .payload = 0 };

			in_case("flow %d to %s", i, addresses[m]);
			flow_packet(&in, world_flows[i], &s);
			s.payload = room - packet_l3_len(&in);
			flow_packet(&in, world_flows[i], &s);
			expect_names(f, world_flows[i], m, .n = 0);
			s.payload++;
			flow_packet(&in, world_flows[i], &s);
			want_icmp_error(&want, &in, is4 ? 3 : 2, is4 ? 4 : 0, room);
			expect_answered(f, &in, &want);
		}
	}
}

static void the_longest_packet_with_all_addresses_is_as_long_as_the_mtu(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 8; i++) { /* seven others of one family */
		struct shunt_backend b = gue_at("10.0.0.20");

		((uint8_t *)&b.address)[15] += i;
		backend_set(f, FIRST + i, &b);
	}
	slots_are(f, shunt_slot(0, 0, 6, 5), RANKING(1, 2, 3, 4));
	for (uint32_t i = 0; i < 64; i++)
		alternates_set(f, 64 * WORLD_TCP + i, RANKING(7, 0, NONE, NONE), RANKING(1, 2, 3, 4));
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 1436 - 40 });
	expect_names(f, &tcp4, 0, .n = 7, .hops = { "10.0.0.26", "10.0.0.27", "10.0.0.21", "10.0.0.22", "10.0.0.23",
						    "10.0.0.24", "10.0.0.25" });
	assert_int_equal(f->out.len, 14 + 1500);
}

/* ---- who else is named ---- */

static void a_packet_that_begins_its_flow_and_udp_name_nobody(void **state)
{
	for (int i = 0; i < 2; i++) {
		in_case("flow %d", i);
		tcp_packet(world_flows[i], TCP_SYN, NULL);
		expect_names(*state, world_flows[i], 0, .n = 0);
		flow_packet(&in, world_flows[2 + i], NULL);
		expect_names(*state, world_flows[2 + i], 0, .n = 0);
	}
}

static void any_other_packet_of_tcp_names_the_others(void **state)
{
	static const uint8_t flags[] = { TCP_ACK, TCP_SYN | TCP_ACK, FIN, FIN | TCP_ACK, RST, RST | TCP_ACK, 0 };

	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < 7; k++) {
			in_case("flow %d, flags %#x", i, flags[k]);
			tcp_packet(world_flows[i], flags[k], NULL);
			expect_names(*state, world_flows[i], 0, .n = 3,
				     .hops = { addresses[1], addresses[2], addresses[3] });
		}
	}
}

static void an_icmp_error_names_the_others_of_its_flow(void **state)
{
	static struct packet quoted;
	struct fixture *f = *state;
	struct flow answer = flow_reversed(&tcp4);

	flow_packet(&quoted, &answer, &(struct shape){ .bare = true, .payload = 100 });
	ether(&in);
	ip4(&in, (struct ip4){ .src = "192.0.2.254", .dst = VIP4 });
	icmp4(&in, 3, 4, 1400);
	bytes(&in, quoted.b, quoted.len);
	packet_finish(&in);
	expect_names(f, &tcp4, 0, .n = 3, .hops = { addresses[1], addresses[2], addresses[3] });
	answer = flow_reversed(&tcp6);
	flow_packet(&quoted, &answer, &(struct shape){ .bare = true, .payload = 100 });
	ether(&in);
	ip6(&in, (struct ip6){ .src = "2001:db8:dead::1", .dst = VIP6 });
	icmp6(&in, 2, 0, 1400);
	bytes(&in, quoted.b, quoted.len);
	packet_finish(&in);
	expect_names(f, &tcp6, 0, .n = 3, .hops = { addresses[1], addresses[2], addresses[3] });
}

static void in_a_slot_that_changes_the_other_owners_come_first(void **state)
{
	struct fixture *f = *state;

	/* observed: what nobody has noted goes to the anchor, 2 */
	slots_are(f, shunt_slot(3, 2, 1, 0), RANKING(0, 1, 2, 3));
	flow_packet(&in, &tcp4, NULL);
	expect_names(f, &tcp4, 2, .n = 3, .hops = { addresses[3], addresses[1], addresses[0] });
	/* it lingers: 3 has it, and 2 may have been the owner */
	slots_are(f, shunt_slot(3, 3, 2, 1), RANKING(0, 3, NONE, NONE));
	flow_packet(&in, &tcp6, NULL);
	expect_names(f, &tcp6, 3, .n = 3, .hops = { addresses[2], addresses[0], addresses[1] });
}

static void who_owned_the_slot_before_comes_before_its_ranking(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 64; i++)
		alternates_set(f, 64 * WORLD_TCP + i, RANKING(3, 2, NONE, NONE), RANKING(0, 1, 2, NONE));
	flow_packet(&in, &tcp4, NULL);
	expect_names(f, &tcp4, 0, .n = 3, .hops = { addresses[3], addresses[2], addresses[1] });
}

static void the_ranking_is_that_of_the_packets_own_slot(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 64; i++)
		alternates_set(f, 64 * WORLD_TCP + i, ~0ull, RANKING(1 + i % 3, NONE, NONE, NONE));
	for (unsigned port = 2000; port < 2030; port++) {
		struct flow flow = tcp4;
		unsigned ranked;

		flow.cport = port;
		ranked = 1 + (flow_hash(f->settings.seed, &flow) & 63) % 3;
		in_case("port %u", port);
		flow_packet(&in, &flow, NULL);
		if (ranked == 1)
			expect_names(f, &flow, 0, .n = 1, .hops = { addresses[1] });
		else
			expect_names(f, &flow, 0, .n = 2, .hops = { addresses[ranked], addresses[1] });
	}
}

static void the_runner_up_names_the_owner_that_is_down_as_nobody(void **state)
{
	struct fixture *f = *state;
	struct shunt_backend down = f->backends[FIRST];

	down.flags &= ~SHUNT_BACKEND_UP;
	backend_set(f, FIRST, &down);
	flow_packet(&in, &tcp4, NULL);
	expect_names(f, &tcp4, 1, .n = 3, .hops = { NULL, addresses[2], addresses[3] });
}

static void who_is_down_or_of_the_other_family_is_an_empty_place(void **state)
{
	struct fixture *f = *state;
	struct shunt_backend down = f->backends[FIRST + 2];

	down.flags &= ~SHUNT_BACKEND_UP;
	backend_set(f, FIRST + 2, &down);
	slots_are(f, shunt_slot(0, 0, 5, 3), RANKING(2, 4, 1, 0));
	flow_packet(&in, &tcp4, NULL);
	expect_names(f, &tcp4, 0, .n = 5, .hops = { NULL, NULL, NULL, addresses[1], addresses[3] });
	slots_are(f, shunt_slot(4, 4, 5, 7), RANKING(2, 4, 1, 6));
	flow_packet(&in, &tcp6, NULL);
	expect_names(f, &tcp6, 4, .n = 5, .hops = { addresses[5], NULL, NULL, addresses[6], addresses[7] });
}

/* It may be reached by another host's routes. */
static void who_has_no_next_hop_here_is_named(void **state)
{
	struct fixture *f = *state;
	struct shunt_backend b = f->backends[FIRST + 1];

	b.flags &= ~SHUNT_BACKEND_NEXTHOP;
	backend_set(f, FIRST + 1, &b);
	flow_packet(&in, &tcp4, NULL);
	expect_names(f, &tcp4, 0, .n = 3, .hops = { addresses[1], addresses[2], addresses[3] });
}

/* ---- the feature ---- */

static void services_of_both_tunnels_live_beside_each_other(void **state)
{
	struct fixture *f = *state;
	struct shunt_backend plain = backend_at(addresses[1]);

	backend_set(f, FIRST + 1, &plain);
	slots_are(f, shunt_slot(1, 1, NONE, 0), RANKING(0, 1, 2, 3));
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		flow_packet(&in, world_flows[i], NULL);
		expect_balanced(f, &in, world_flows[i], FIRST + 1, world_member(world_flows[i]) + 1);
	}
}

static void without_the_feature_there_is_nothing_of_it(void **state)
{
	struct fixture *f = world_with(0);
	struct shunt_backend plain;

	(void)state;
	fill(f);
	plain = f->backends[FIRST];
	plain.forward = SHUNT_FORWARD_IPIP;
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		flow_packet(&in, world_flows[i], NULL);
		want_tunnel(&want, &in, &f->settings, &plain, flow_hash(f->settings.seed, world_flows[i]), NULL);
		expect_forwarded(f, &in, &want, FIRST, world_member(world_flows[i]));
	}
	fixture_close(f);
}

#define gue_test(name) cmocka_unit_test_setup_teardown(name, gue_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		gue_test(each_family_goes_through_a_tunnel_of_each_family),
		gue_test(received_tags_are_removed_and_the_backends_is_pushed),
		gue_test(the_source_port_is_the_flows_entropy),
		gue_test(dscp_and_ttl_are_as_in_any_tunnel),
		gue_test(what_fits_the_way_with_all_headers_is_forwarded_and_more_is_answered),
		gue_test(the_longest_packet_with_all_addresses_is_as_long_as_the_mtu),
		gue_test(a_packet_that_begins_its_flow_and_udp_name_nobody),
		gue_test(any_other_packet_of_tcp_names_the_others),
		gue_test(an_icmp_error_names_the_others_of_its_flow),
		gue_test(in_a_slot_that_changes_the_other_owners_come_first),
		gue_test(who_owned_the_slot_before_comes_before_its_ranking),
		gue_test(the_ranking_is_that_of_the_packets_own_slot),
		gue_test(the_runner_up_names_the_owner_that_is_down_as_nobody),
		gue_test(who_is_down_or_of_the_other_family_is_an_empty_place),
		gue_test(who_has_no_next_hop_here_is_named),
		gue_test(services_of_both_tunnels_live_beside_each_other),
		gue_test(without_the_feature_there_is_nothing_of_it),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
