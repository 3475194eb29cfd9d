/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is not a service's passes the edge program untouched. */
#include "expect.h"
#include "shapes.h"

#include <arpa/inet.h>
#include <string.h>

static struct packet in;

/* A flow with another service address, port or protocol. */
static void pass_flow(struct fixture *f, const char *what, const char *service, uint16_t port, uint8_t proto)
{
	struct flow flow = { strchr(service, ':') ? CLIENT6 : CLIENT4, service, 40000, port, proto };

	for (const struct named_shape *s = shapes_of(&flow); s->name; s++) {
		in_case("%s, %s", what, s->name);
		flow_packet(&in, &flow, &s->shape);
		expect_passed(f, &in);
	}
}

static void another_address_passes(void **state)
{
	pass_flow(*state, OTHER4, OTHER4, 80, IPPROTO_TCP);
	pass_flow(*state, OTHER6, OTHER6, 80, IPPROTO_TCP);
	pass_flow(*state, OTHER4, OTHER4, 53, IPPROTO_UDP);
	pass_flow(*state, OTHER6, OTHER6, 53, IPPROTO_UDP);
	pass_flow(*state, "::ffff:203.0.113.10", "::ffff:203.0.113.10", 81, IPPROTO_UDP);
}

static void another_port_or_protocol_passes(void **state)
{
	pass_flow(*state, "port 81", VIP4, 81, IPPROTO_TCP);
	pass_flow(*state, "port 81", VIP6, 81, IPPROTO_TCP);
	pass_flow(*state, "80 over UDP", VIP4, 80, IPPROTO_UDP);
	pass_flow(*state, "80 over UDP", VIP6, 80, IPPROTO_UDP);
	pass_flow(*state, "port 0", VIP4, 0, IPPROTO_TCP);
	pass_flow(*state, "port 0", VIP6, 0, IPPROTO_UDP);
}

static void packets_from_a_service_pass(void **state)
{
	struct flow four = flow_reversed(&tcp4), six = flow_reversed(&udp6);

	flow_packet(&in, &four, NULL);
	expect_passed(*state, &in);
	flow_packet(&in, &six, NULL);
	expect_passed(*state, &in);
}

static void a_bit_of_the_filter_alone_makes_no_service(void **state)
{
	filter_set(*state, OTHER4, true);
	filter_set(*state, OTHER6, true);
	another_address_passes(state);
}

static void an_address_without_its_bit_in_the_filter_passes(void **state)
{
	filter_set(*state, VIP4, false);
	flow_packet(&in, &tcp4, NULL);
	expect_passed(*state, &in);
}

/* Ethernet frames of a type that is not IP. */
static void other_ethertypes_pass(void **state)
{
	static const uint16_t types[] = { 0x0806, 0x8847, 0x88cc, 0x8863, 0x0000, 0x05dc, 0xffff, 0x0801, 0x86dc };

	for (int i = 0; i < 9; i++) {
		in_case("type %#x", types[i]);
		flow_packet(&in, &tcp4, NULL);
		put16(in.b + 12, types[i]);
		expect_passed(*state, &in);
	}
}

static void three_tags_pass(void **state)
{
	ether(&in);
	for (int i = 0; i < 3; i++)
		vlan(&in, 0x8100, 10 + i);
	ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4 });
	tcp(&in, 40000, 80, TCP_SYN);
	packet_finish(&in);
	expect_passed(*state, &in);
}

static void arp_for_a_service_passes(void **state)
{
	uint8_t arp[28] = { 0, 1, 8, 0, 6, 4, 0, 1 };

	memcpy(arp + 8, mac_peer, 6);
	inet_pton(AF_INET, CLIENT4, arp + 14);
	inet_pton(AF_INET, VIP4, arp + 24);
	ether(&in);
	put16(in.b + 12, 0x0806);
	bytes(&in, arp, sizeof(arp));
	packet_pad(&in, 18);
	expect_passed(*state, &in);
}

static void neighbour_discovery_passes(void **state)
{
	static const char *const to[] = { VIP6, "ff02::1:ff00:10" };

	for (int i = 0; i < 2; i++) {
		for (uint8_t type = 133; type <= 137; type++) {
			uint8_t target[16];

			in_case("type %u to %s", type, to[i]);
			inet_pton(AF_INET6, VIP6, target);
			ether(&in);
			ip6(&in, (struct ip6){ .src = CLIENT6, .dst = to[i], .hops = 255 });
			icmp6(&in, type, 0, 0);
			bytes(&in, target, 16);
			packet_finish(&in);
			expect_passed(*state, &in);
		}
	}
}

/* Protocols that have no listeners, to a service's address. */
static void other_protocols_to_a_service_pass(void **state)
{
	static const uint8_t protocols[] = { 0, 2, 4, 33, 41, 47, 50, 51, 89, 132, 136, 253, 255 };

	for (int i = 0; i < 13; i++) {
		in_case("protocol %u", protocols[i]);
		ether(&in);
		ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4, .proto = protocols[i] });
		payload(&in, 60);
		packet_finish(&in);
		expect_passed(*state, &in);
	}
}

static void fragments_of_other_protocols_to_a_service_pass(void **state)
{
	static const uint8_t protocols[] = { 4, 41, 47, 50, 132 };

	for (int i = 0; i < 10; i++) {
		in_case("protocol %u, %s fragment", protocols[i / 2], i % 2 ? "later" : "first");
		ether(&in);
		ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4, .proto = protocols[i / 2],
				       .frag = i % 2 ? 185 : IP4_MF });
		payload(&in, 64);
		packet_finish(&in);
		expect_passed(*state, &in);
	}
}

/* Its ports are there, and nobody listens: whatever is wrong with the rest is not ours to judge. */
static void a_short_packet_for_a_port_without_listener_passes(void **state)
{
	static const struct flow four = { CLIENT4, VIP4, 40000, 4711, IPPROTO_TCP };
	static const struct flow six = { CLIENT6, VIP6, 40000, 4711, IPPROTO_TCP };

	flow_packet(&in, &four, NULL);
	in.len = 14 + 20 + 12;
	put16(in.b + 16, 32);
	ip4_checksum(in.b + 14);
	expect_passed(*state, &in);
	flow_packet(&in, &six, NULL);
	in.len = 14 + 40 + 12;
	put16(in.b + 18, 12);
	expect_passed(*state, &in);
}

static void other_next_headers_to_a_service_pass(void **state)
{
	static const uint8_t protocols[] = { 1, 2, 4, 33, 41, 47, 50, 59, 89, 132, 135, 253, 255 };

	for (int i = 0; i < 13; i++) {
		in_case("next header %u", protocols[i]);
		ether(&in);
		ip6(&in, (struct ip6){ .src = CLIENT6, .dst = VIP6, .next = protocols[i] });
		payload(&in, 60);
		packet_finish(&in);
		expect_passed(*state, &in);
	}
}

static void nine_headers(struct packet *p)
{
	ext_eight(p);
	ext_options(p, IPPROTO_DSTOPTS, 8);
}

static void more_than_eight_extension_headers_pass(void **state)
{
	flow_packet(&in, &tcp6, &(struct shape){ .ext = nine_headers, .payload = 10 });
	expect_passed(*state, &in);
}

static void icmp_of_the_other_family_passes(void **state)
{
	ether(&in);
	ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4 });
	icmp6(&in, 128, 0, 0);
	packet_finish(&in);
	expect_passed(*state, &in);
	ether(&in);
	ip6(&in, (struct ip6){ .src = CLIENT6, .dst = VIP6 });
	icmp4(&in, 8, 0, 0);
	packet_finish(&in);
	expect_passed(*state, &in);
}

static void a_malformed_packet_for_another_address_passes(void **state)
{
	static const char *const to[] = { OTHER4, OTHER6 };

	for (int i = 0; i < 2; i++) {
		struct flow flow = { i ? CLIENT6 : CLIENT4, to[i], 40000, 80, IPPROTO_TCP };

		flow_packet(&in, &flow, NULL);
		for (size_t cut = in.len - 1; cut >= 14; cut--) {
			in_case("%s, cut to %zu bytes", to[i], cut);
			in.len = cut;
			expect_passed(*state, &in);
		}
	}
}

static void fragments_for_another_address_pass(void **state)
{
	static const uint16_t fragments[] = { IP4_MF, IP4_MF | 185, 185 };
	void (*const ext[])(struct packet *) = { ext_first_fragment, ext_later_fragment, ext_last_fragment };

	filter_set(*state, OTHER4, true);
	filter_set(*state, OTHER6, true);
	for (int i = 0; i < 3; i++) {
		struct flow four = tcp4, six = tcp6;

		in_case("fragment %d", i);
		four.service = OTHER4;
		six.service = OTHER6;
		flow_packet(&in, &four, &(struct shape){ .frag = fragments[i], .payload = 40 });
		expect_passed(*state, &in);
		flow_packet(&in, &six, &(struct shape){ .ext = ext[i], .payload = 40 });
		expect_passed(*state, &in);
	}
}

static void a_deleted_listener_no_longer_takes_packets(void **state)
{
	struct fixture *f = *state;
	struct flow flow = tcp4;

	flow.sport = 8080;
	listen_add(f, VIP4, 8080, IPPROTO_TCP, WORLD_TCP);
	flow_packet(&in, &flow, NULL);
	expect_to_world(f, &in, &flow);
	listener_delete(f, VIP4, 8080, IPPROTO_TCP);
	expect_passed(f, &in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(another_address_passes),
		world_test(another_port_or_protocol_passes),
		world_test(packets_from_a_service_pass),
		world_test(a_bit_of_the_filter_alone_makes_no_service),
		world_test(an_address_without_its_bit_in_the_filter_passes),
		world_test(other_ethertypes_pass),
		world_test(three_tags_pass),
		world_test(arp_for_a_service_passes),
		world_test(neighbour_discovery_passes),
		world_test(other_protocols_to_a_service_pass),
		world_test(fragments_of_other_protocols_to_a_service_pass),
		world_test(a_short_packet_for_a_port_without_listener_passes),
		world_test(other_next_headers_to_a_service_pass),
		world_test(more_than_eight_extension_headers_pass),
		world_test(icmp_of_the_other_family_passes),
		world_test(a_malformed_packet_for_another_address_passes),
		world_test(fragments_for_another_address_pass),
		world_test(a_deleted_listener_no_longer_takes_packets),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
