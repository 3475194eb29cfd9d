/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors about a service's flow go to the backend that has the flow. */
#include "expect.h"
#include "shapes.h"

#include <string.h>

#define ROUTER4 "192.0.2.254"
#define ROUTER6 "2001:db8:dead::1"

static struct packet in, embedded;
static const uint8_t types4[] = { 3, 11, 12 }, types6[] = { 1, 2, 3, 4 };

static bool is4(const struct flow *flow)
{
	return !strchr(flow->service, ':');
}

/* An ICMP error from a router, about what is in `embedded`, cut to `quoted` bytes. */
static void icmp_error(struct packet *p, const char *to, uint8_t type, uint8_t code, size_t quoted)
{
	ether(p);
	if (!strchr(to, ':')) {
		ip4(p, (struct ip4){ .src = ROUTER4, .dst = to, .tos = 0xc0, .ttl = 61 });
		icmp4(p, type, code, 1400);
	} else {
		ip6(p, (struct ip6){ .src = ROUTER6, .dst = to, .hops = 61 });
		icmp6(p, type, code, 1400);
	}
	bytes(p, embedded.b, quoted < embedded.len ? quoted : embedded.len);
	packet_finish(p);
}

/* What the service sent the client, for a router to complain about. */
static void embed(const struct flow *flow, const struct shape *shape)
{
	struct flow answer = flow_reversed(flow);
	struct shape s = *shape;

	s.bare = true;
	flow_packet(&embedded, &answer, &s);
}

static const struct shape long_answer = { .payload = 1300 };

static void each_type_and_code_of_error_reaches_the_flows_backend(void **state)
{
	for (int i = 0; i < 4; i++) {
		const struct flow *flow = world_flows[i];

		embed(flow, &long_answer);
		for (size_t t = 0; t < (is4(flow) ? 3 : 4); t++) {
			for (uint8_t code = 0; code < 16; code++) {
				in_case("flow %d, type %zu, code %u", i, t, code);
				icmp_error(&in, flow->service, is4(flow) ? types4[t] : types6[t], code, 548);
				expect_to_world(*state, &in, flow);
			}
		}
	}
}

static void an_error_goes_through_a_tunnel_of_either_family(void **state)
{
	for (int i = 0; i < 4; i++) {
		embed(world_flows[i], &long_answer);
		icmp_error(&in, world_flows[i]->service, 3, 4, 200);
		in_case("flow %d", i);
		world_backend(*state, BACKEND6);
		expect_to_world(*state, &in, world_flows[i]);
		world_backend(*state, BACKEND4);
		expect_to_world(*state, &in, world_flows[i]);
	}
}

static void the_packet_in_an_error_may_have_options_or_extension_headers(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (const struct named_shape *s = shapes_of(world_flows[i]); s->name; s++) {
			struct shape untagged = s->shape;

			in_case("flow %d, %s", i, s->name);
			untagged.tpid[0] = 0;
			embed(world_flows[i], &untagged);
			icmp_error(&in, world_flows[i]->service, 3, 1, 1000);
			expect_to_world(*state, &in, world_flows[i]);
		}
	}
}

/* RFC 792 asks for no more than 8 bytes behind the IP header. */
static void eight_bytes_behind_the_embedded_header_are_enough(void **state)
{
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		embed(world_flows[i], &long_answer);
		icmp_error(&in, world_flows[i]->service, 3, 1, (is4(world_flows[i]) ? 20 : 40) + 8);
		expect_to_world(*state, &in, world_flows[i]);
	}
}

static void an_error_may_have_tags_and_options_itself(void **state)
{
	embed(&tcp4, &long_answer);
	ether(&in);
	vlan(&in, 0x88a8, 7);
	vlan(&in, 0x8100, 8);
	ip4(&in, (struct ip4){ .src = ROUTER4, .dst = VIP4, .options = options_timestamp, .n_options = 40 });
	icmp4(&in, 11, 0, 0);
	bytes(&in, embedded.b, 100);
	packet_finish(&in);
	expect_to_world(*state, &in, &tcp4);

	embed(&udp6, &long_answer);
	ether(&in);
	ip6(&in, (struct ip6){ .src = ROUTER6, .dst = VIP6 });
	ext_chain(&in);
	icmp6(&in, 1, 4, 0);
	bytes(&in, embedded.b, 100);
	packet_finish(&in);
	expect_to_world(*state, &in, &udp6);
}

/* Many flows over many backends: the error must go where the flow's own packets go. */
static void an_error_goes_where_the_flow_goes(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 8; i++) {
		struct shunt_backend b = backend_at("10.0.1.0");

		((uint8_t *)&b.address)[15] = i;
		backend_set(f, 20 + i, &b);
		member_set(f, WORLD_TCP_MEMBER + i, 20 + i);
	}
	for (uint32_t i = 0; i < 64; i++)
		slot_set(f, 64 * WORLD_TCP + i, i % 8, SHUNT_NONE);
	for (int port = 1024; port < 1224; port++) {
		struct flow flow = port % 2 ? tcp4 : tcp6;
		uint32_t member;

		in_case("port %d", port);
		flow.cport = port;
		flow_packet(&in, &flow, NULL);
		member = WORLD_TCP_MEMBER + flow_hash(f->settings.seed, &flow) % 8;
		expect_balanced(f, &in, &flow, 10 + member, member);
		embed(&flow, &long_answer);
		icmp_error(&in, flow.service, 3, 1, 300);
		expect_balanced(f, &in, &flow, 10 + member, member);
	}
}

static void an_error_about_the_first_fragment_reaches_the_backend(void **state)
{
	embed(&udp4, &(struct shape){ .frag = IP4_MF, .payload = 100 });
	icmp_error(&in, VIP4, 3, 4, 548);
	expect_to_world(*state, &in, &udp4);
	embed(&udp6, &(struct shape){ .ext = ext_first_fragment, .payload = 100 });
	icmp_error(&in, VIP6, 2, 0, 548);
	expect_to_world(*state, &in, &udp6);
}

static void an_error_about_a_later_fragment_passes(void **state)
{
	embed(&udp4, &(struct shape){ .frag = IP4_MF | 185, .payload = 100 });
	icmp_error(&in, VIP4, 3, 4, 548);
	expect_passed(*state, &in);
	embed(&udp6, &(struct shape){ .ext = ext_last_fragment, .payload = 100 });
	icmp_error(&in, VIP6, 2, 0, 548);
	expect_passed(*state, &in);
}

static void an_error_about_no_flow_of_a_service_passes(void **state)
{
	struct flow port = tcp4, address = tcp4, proto = tcp6;

	port.sport = 81;
	address.service = OTHER4;
	proto.proto = IPPROTO_UDP;
	embed(&port, &long_answer);
	icmp_error(&in, VIP4, 3, 1, 300);
	expect_passed(*state, &in);
	embed(&address, &long_answer);
	icmp_error(&in, VIP4, 3, 1, 300);
	expect_passed(*state, &in);
	embed(&proto, &long_answer);
	icmp_error(&in, VIP6, 1, 1, 300);
	expect_passed(*state, &in);
}

/* The flow is the embedded packet's reversed: one that a client sent is not about a service's answer. */
static void an_error_about_a_packet_to_the_service_passes(void **state)
{
	flow_packet(&embedded, &tcp4, &(struct shape){ .bare = true, .payload = 100 });
	icmp_error(&in, VIP4, 3, 1, 300);
	expect_passed(*state, &in);
}

static void an_error_to_another_address_passes(void **state)
{
	filter_set(*state, OTHER4, true);
	filter_set(*state, OTHER6, true);
	embed(&tcp4, &long_answer);
	icmp_error(&in, OTHER4, 3, 1, 300);
	expect_passed(*state, &in);
	embed(&tcp6, &long_answer);
	icmp_error(&in, OTHER6, 1, 1, 300);
	expect_passed(*state, &in);
}

static void an_error_about_another_protocol_passes(void **state)
{
	static const uint8_t protocols[] = { 1, 4, 41, 47, 50, 58, 132 };

	for (int i = 0; i < 7; i++) {
		in_case("protocol %u", protocols[i]);
		bare(&embedded);
		ip4(&embedded, (struct ip4){ .src = VIP4, .dst = CLIENT4, .proto = protocols[i] });
		payload(&embedded, 60);
		packet_finish(&embedded);
		icmp_error(&in, VIP4, 3, 1, 300);
		expect_passed(*state, &in);
	}
}

/* Cut within the ports or before: there is no flow to be found. From the ports on it may be found. */
static void an_embedded_packet_cut_anywhere_before_its_ports_end_passes(void **state)
{
	for (int i = 0; i < 4; i++) {
		const struct flow *flow = world_flows[i];

		embed(flow, &long_answer);
		for (size_t n = 0; n < (is4(flow) ? 20 : 40) + 4; n++) {
			in_case("flow %d, %zu bytes", i, n);
			icmp_error(&in, flow->service, 3, 1, n);
			expect_passed(*state, &in);
		}
	}
}

static void ports_of_an_embedded_packet_are_not_read_from_the_padding(void **state)
{
	for (int i = 0; i < 4; i++) {
		const struct flow *flow = world_flows[i];
		size_t ports = is4(flow) ? 20 : 40;

		embed(flow, &long_answer);
		for (size_t n = ports; n < ports + 4; n++) {
			in_case("flow %d, %zu bytes", i, n);
			icmp_error(&in, flow->service, 3, 1, n);
			memcpy(in.b + in.len, embedded.b + n, 8); /* the very bytes that were cut off */
			in.len += 8;
			expect_passed(*state, &in);
		}
	}
}

static void an_embedded_packet_cut_within_its_extension_headers_passes(void **state)
{
	size_t ports;

	embed(&tcp6, &(struct shape){ .ext = ext_chain, .payload = 50 });
	ports = packet_layer(&embedded, LAYER_TCP);
	for (size_t n = 40; n < ports + 4; n++) {
		in_case("%zu bytes", n);
		icmp_error(&in, VIP6, 1, 0, n);
		expect_passed(*state, &in);
	}
}

static void an_embedded_packet_of_the_other_family_or_with_a_broken_header_passes(void **state)
{
	embed(&tcp6, &long_answer);
	icmp_error(&in, VIP4, 3, 1, 300);
	expect_passed(*state, &in);
	embed(&tcp4, &long_answer);
	icmp_error(&in, VIP6, 1, 1, 300);
	expect_passed(*state, &in);
	embed(&tcp4, &long_answer);
	embedded.b[0] = 0x44; /* a header of 16 bytes */
	icmp_error(&in, VIP4, 3, 1, 300);
	expect_passed(*state, &in);
}

static void an_error_with_no_room_for_its_own_header_is_not_forwarded(void **state)
{
	struct fixture *f = *state;

	for (size_t n = 0; n < 8; n++) {
		embed(&tcp4, &long_answer);
		icmp_error(&in, VIP4, 3, 1, 300);
		in.len = 34 + n;
		put16(in.b + 16, 20 + n);
		ip4_checksum(in.b + 14);
		run(f, &in);
		assert_int_equal(f->out.verdicts[SHUNT_VERDICT_EDGE_FORWARDED], 0);
		assert_int_equal(f->out.verdicts[SHUNT_VERDICT_EDGE_ANSWERED], 0);
	}
}

static void an_error_for_a_service_without_backends_is_dropped(void **state)
{
	struct shunt_backend down = backend_at(BACKEND4);

	down.flags &= ~SHUNT_BACKEND_UP;
	backend_set(*state, WORLD_BACKEND, &down);
	embed(&tcp4, &long_answer);
	icmp_error(&in, VIP4, 3, 1, 300);
	expect_dropped(*state, &in, SHUNT_REASON_NO_BACKEND);
	down = backend_at(BACKEND4);
	down.flags &= ~SHUNT_BACKEND_NEXTHOP;
	backend_set(*state, WORLD_BACKEND, &down);
	expect_dropped(*state, &in, SHUNT_REASON_NO_NEXTHOP);
}

static void a_listener_on_every_port_takes_errors_about_every_port(void **state)
{
	struct shunt_settings s = fixture_settings();
	struct flow flow = udp6;

	s.features = SHUNT_FEATURE_ANY_PORT;
	world_reopen(state, &s);
	listen_add(*state, VIP6, 0, IPPROTO_UDP, WORLD_UDP);
	flow.sport = 4433;
	embed(&flow, &long_answer);
	icmp_error(&in, VIP6, 2, 0, 1000);
	expect_to_world(*state, &in, &flow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(each_type_and_code_of_error_reaches_the_flows_backend),
		world_test(an_error_goes_through_a_tunnel_of_either_family),
		world_test(the_packet_in_an_error_may_have_options_or_extension_headers),
		world_test(eight_bytes_behind_the_embedded_header_are_enough),
		world_test(an_error_may_have_tags_and_options_itself),
		world_test(an_error_goes_where_the_flow_goes),
		world_test(an_error_about_the_first_fragment_reaches_the_backend),
		world_test(an_error_about_a_later_fragment_passes),
		world_test(an_error_about_no_flow_of_a_service_passes),
		world_test(an_error_about_a_packet_to_the_service_passes),
		world_test(an_error_to_another_address_passes),
		world_test(an_error_about_another_protocol_passes),
		world_test(an_embedded_packet_cut_anywhere_before_its_ports_end_passes),
		world_test(ports_of_an_embedded_packet_are_not_read_from_the_padding),
		world_test(an_embedded_packet_cut_within_its_extension_headers_passes),
		world_test(an_embedded_packet_of_the_other_family_or_with_a_broken_header_passes),
		world_test(an_error_with_no_room_for_its_own_header_is_not_forwarded),
		world_test(an_error_for_a_service_without_backends_is_dropped),
		world_test(a_listener_on_every_port_takes_errors_about_every_port),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
