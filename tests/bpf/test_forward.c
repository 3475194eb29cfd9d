/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The edge program's tunnel packets: every family in every family, from packets of every shape. */
#include "expect.h"
#include "shapes.h"

#include <arpa/inet.h>
#include <string.h>

static struct packet in;
static const char *const backends[] = { BACKEND4, BACKEND6 };

static void each_family_goes_through_a_tunnel_of_each_family(void **state)
{
	struct fixture *f = *state;

	for (int b = 0; b < 2; b++) {
		world_backend(f, backends[b]);
		for (int i = 0; i < 4; i++) {
			in_case("flow %d to %s", i, backends[b]);
			flow_packet(&in, world_flows[i], NULL);
			expect_to_world(f, &in, world_flows[i]);
		}
	}
}

static void options_and_extension_headers_are_skipped_and_kept(void **state)
{
	struct fixture *f = *state;

	for (int b = 0; b < 2; b++) {
		world_backend(f, backends[b]);
		for (int i = 0; i < 4; i++) {
			for (const struct named_shape *s = shapes_of(world_flows[i]); s->name; s++) {
				in_case("flow %d, %s, to %s", i, s->name, backends[b]);
				flow_packet(&in, world_flows[i], &s->shape);
				expect_to_world(f, &in, world_flows[i]);
			}
		}
	}
}

static void received_tags_are_removed(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++) {
		for (const struct named_shape *s = shapes_tagged; s->name; s++) {
			in_case("flow %d, %s", i, s->name);
			flow_packet(&in, world_flows[i], &s->shape);
			expect_to_world(f, &in, world_flows[i]);
		}
	}
}

static void the_tag_of_the_backend_is_pushed(void **state)
{
	struct fixture *f = *state;

	for (int b = 0; b < 2; b++) {
		struct shunt_backend tagged = backend_at(backends[b]);

		tagged.vlan = htons(0x6abc);
		backend_set(f, WORLD_BACKEND, &tagged);
		for (const struct named_shape *s = shapes_tagged; s->name; s++) {
			for (int i = 0; i < 4; i++) {
				in_case("flow %d, %s, to %s", i, s->name, backends[b]);
				flow_packet(&in, world_flows[i], &s->shape);
				expect_to_world(f, &in, world_flows[i]);
			}
		}
	}
}

static void dscp_and_ecn_are_copied_to_the_outer_header(void **state)
{
	struct fixture *f = *state;

	for (int b = 0; b < 2; b++) {
		world_backend(f, backends[b]);
		for (int i = 0; i < 4; i++) {
			for (unsigned tos = 0; tos < 256; tos++) {
				struct shape s = { .tos = tos, .payload = 5 };

				in_case("flow %d, traffic class %#x, to %s", i, tos, backends[b]);
				flow_packet(&in, world_flows[i], &s);
				expect_to_world(f, &in, world_flows[i]);
			}
		}
	}
}

static void ttl_is_decremented_from_every_value_above_1(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++) {
		for (unsigned ttl = 2; ttl < 256; ttl++) {
			struct shape s = { .ttl = ttl, .payload = 5 };

			in_case("flow %d, TTL %u", i, ttl);
			flow_packet(&in, world_flows[i], &s);
			expect_to_world(f, &in, world_flows[i]);
		}
	}
}

static void check_inner_checksum(struct fixture *f, unsigned id)
{
	uint8_t *inner = f->out.b + 14 + 20;
	uint16_t checksum;

	assert_int_equal(run_bytes(f, in.b, in.len), 0);
	checksum = get16(inner + 10);
	ip4_checksum(inner);
	if (checksum != get16(inner + 10) || inner[8] != 63)
		fail_msg("identification %#x: checksum %#x, not %#x; TTL %u", id, checksum, get16(inner + 10),
			 inner[8]);
}

static void inner_checksum_stays_right_from_every_value(void **state)
{
	unsigned zeroes = 0;

	flow_packet(&in, &tcp4, NULL);
	for (unsigned id = 0; id < 65536; id++) {
		put16(in.b + 14 + 4, id);
		ip4_checksum(in.b + 14);
		check_inner_checksum(*state, id);
		if (get16(in.b + 14 + 10))
			continue;
		put16(in.b + 14 + 10, 0xffff); /* the other zero of one's complement */
		check_inner_checksum(*state, id);
		zeroes++;
	}
	assert_true(zeroes);
}

static void the_outer_source_is_the_prefix_and_the_flows_entropy(void **state)
{
	struct fixture *f = *state;
	unsigned differ = 0;

	for (unsigned port = 1000; port < 1100; port++) {
		struct flow flow = tcp4;
		static uint8_t before[4];

		flow.cport = port;
		flow_packet(&in, &flow, NULL);
		in_case("port %u", port);
		expect_to_world(f, &in, &flow);
		assert_int_equal(f->out.b[14 + 12], 10);
		assert_int_equal(f->out.b[14 + 13], 99);
		differ += !!memcmp(before, f->out.b + 14 + 12, 4);
		memcpy(before, f->out.b + 14 + 12, 4);
	}
	assert_in_range(differ, 95, 100);
}

static void a_source_prefix_of_full_length_is_the_source(void **state)
{
	struct shunt_settings s = fixture_settings();

	s.source4 = (struct shunt_prefix){ addr_of("192.0.2.77"), addr_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") };
	s.source6 = (struct shunt_prefix){ addr_of("2001:db8::77"),
					   addr_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") };
	world_reopen(state, &s);
	for (int b = 0; b < 2; b++) {
		world_backend(*state, backends[b]);
		flow_packet(&in, &udp6, NULL);
		expect_to_world(*state, &in, &udp6);
	}
}

static void a_source_prefix_may_end_within_a_byte_or_before_the_last_word(void **state)
{
	struct shunt_settings s = fixture_settings();

	s.source4 = (struct shunt_prefix){ addr_of("100.64.0.0"), addr_of("ffff:ffff:ffff:ffff:ffff:ffff:ffc0:0") };
	s.source6 = (struct shunt_prefix){ addr_of("2001:db8:5::"), addr_of("ffff:ffff:ffff:ffff::") };
	world_reopen(state, &s);
	for (int b = 0; b < 2; b++) {
		world_backend(*state, backends[b]);
		for (int i = 0; i < 4; i++) {
			flow_packet(&in, world_flows[i], NULL);
			expect_to_world(*state, &in, world_flows[i]);
		}
	}
}

static void a_packet_leaves_by_tx_where_it_came_in_and_by_redirect_elsewhere(void **state)
{
	struct fixture *f = *state;
	static const uint32_t interfaces[] = { 1, IFINDEX_IN, IFINDEX_OUT };

	for (int from = 0; from < 3; from++) {
		for (int to = 0; to < 3; to++) {
			struct shunt_backend b = backend_at(BACKEND4);

			in_case("from interface %u to %u", interfaces[from], interfaces[to]);
			b.ifindex = interfaces[to];
			backend_set(f, WORLD_BACKEND, &b);
			f->ingress = interfaces[from];
			flow_packet(&in, &tcp4, NULL);
			expect_to_world(f, &in, &tcp4);
			assert_int_equal(f->out.action, from == to ? XDP_TX : XDP_REDIRECT);
		}
	}
}

static void ethernet_padding_is_not_counted_as_the_packet(void **state)
{
	struct fixture *f = *state;
	static const struct shape empty = { .payload = 0 };

	for (int i = 0; i < 4; i++) {
		for (size_t padding = 1; padding <= 18; padding++) {
			in_case("flow %d, %zu bytes of padding", i, padding);
			flow_packet(&in, world_flows[i], &empty);
			packet_pad(&in, padding);
			expect_to_world(f, &in, world_flows[i]);
		}
	}
}

static void packets_of_every_size_up_to_the_mtu_are_forwarded(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++) {
		for (size_t size = 0; size <= 1400; size += 1 + size / 16) {
			struct shape s = { .payload = size };

			in_case("flow %d, %zu bytes of payload", i, size);
			flow_packet(&in, world_flows[i], &s);
			expect_to_world(f, &in, world_flows[i]);
		}
	}
}

static void a_packet_that_just_fits_is_forwarded(void **state)
{
	struct fixture *f = *state;

	for (int b = 0; b < 2; b++) {
		world_backend(f, backends[b]);
		for (int i = 0; i < 4; i++) {
			struct shape s = { .payload = 0 };

			in_case("flow %d to %s", i, backends[b]);
			flow_packet(&in, world_flows[i], &s);
			s.payload = 1500 - (b ? 40 : 20) - packet_l3_len(&in);
			flow_packet(&in, world_flows[i], &s);
			expect_to_world(f, &in, world_flows[i]);
		}
	}
}

static void jumbo_packets_are_forwarded_with_the_feature(void **state)
{
	struct shunt_settings s = fixture_settings();
	struct shunt_backend b = backend_at(BACKEND4);

	s.features = SHUNT_FEATURE_FRAGS;
	backend_mtu(&b, 9000);
	world_reopen(state, &s);
	backend_set(*state, WORLD_BACKEND, &b);
	for (int i = 0; i < 4; i++) {
		struct shape big = { .payload = 8900 };

		in_case("flow %d", i);
		flow_packet(&in, world_flows[i], &big);
		expect_to_world(*state, &in, world_flows[i]);
		flow_packet(&in, world_flows[i], NULL);
		expect_to_world(*state, &in, world_flows[i]);
	}
}

/* ---- every port ---- */

static void every_port_world(void **state, uint32_t features)
{
	struct shunt_settings s = fixture_settings();

	s.features = features;
	world_reopen(state, &s);
	listen_add(*state, VIP4, 0, IPPROTO_UDP, WORLD_UDP);
	listen_add(*state, VIP6, 0, IPPROTO_UDP, WORLD_UDP);
}

static void a_listener_on_every_port_takes_every_port_of_its_protocol(void **state)
{
	static const uint16_t ports[] = { 0, 1, 52, 54, 80, 443, 8080, 65535 };

	every_port_world(state, SHUNT_FEATURE_ANY_PORT);
	for (int i = 0; i < 8; i++) {
		struct flow four = udp4, six = udp6, other = tcp4;

		in_case("port %u", ports[i]);
		four.sport = six.sport = other.sport = ports[i];
		flow_packet(&in, &four, NULL);
		expect_to_world(*state, &in, &four);
		flow_packet(&in, &six, NULL);
		expect_to_world(*state, &in, &six);
		flow_packet(&in, &other, NULL);
		if (ports[i] == 80)
			expect_to_world(*state, &in, &other);
		else
			expect_passed(*state, &in);
	}
}

static void a_listener_on_the_port_wins_over_one_on_every_port(void **state)
{
	every_port_world(state, SHUNT_FEATURE_ANY_PORT);
	listen_add(*state, VIP4, 0, IPPROTO_TCP, WORLD_UDP);
	flow_packet(&in, &tcp4, NULL);
	expect_to_world(*state, &in, &tcp4); /* WORLD_TCP's member counts */
}

static void without_the_feature_a_listener_on_every_port_is_not_looked_up(void **state)
{
	struct flow flow = udp4;

	every_port_world(state, 0);
	flow.sport = 54;
	flow_packet(&in, &flow, NULL);
	expect_passed(*state, &in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(each_family_goes_through_a_tunnel_of_each_family),
		world_test(options_and_extension_headers_are_skipped_and_kept),
		world_test(received_tags_are_removed),
		world_test(the_tag_of_the_backend_is_pushed),
		world_test(dscp_and_ecn_are_copied_to_the_outer_header),
		world_test(ttl_is_decremented_from_every_value_above_1),
		world_test(inner_checksum_stays_right_from_every_value),
		world_test(the_outer_source_is_the_prefix_and_the_flows_entropy),
		world_test(a_source_prefix_of_full_length_is_the_source),
		world_test(a_source_prefix_may_end_within_a_byte_or_before_the_last_word),
		world_test(a_packet_leaves_by_tx_where_it_came_in_and_by_redirect_elsewhere),
		world_test(ethernet_padding_is_not_counted_as_the_packet),
		world_test(packets_of_every_size_up_to_the_mtu_are_forwarded),
		world_test(a_packet_that_just_fits_is_forwarded),
		world_test(jumbo_packets_are_forwarded_with_the_feature),
		world_test(a_listener_on_every_port_takes_every_port_of_its_protocol),
		world_test(a_listener_on_the_port_wins_over_one_on_every_port),
		world_test(without_the_feature_a_listener_on_every_port_is_not_looked_up),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
