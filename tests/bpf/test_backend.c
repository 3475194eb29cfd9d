/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The backend program: what it takes out of the tunnel, what it leaves alone, whom it does not believe. */
#include "expect.h"
#include "shapes.h"

#include <stdio.h>
#include <string.h>

static struct packet in, want, inner, embedded;
static const struct gue gue4 = { .n = 2, .hops = { "10.0.0.12", "10.0.0.13" } };
static const struct gue gue6 = { .n = 2, .hops = { "2001:db8:bb::12", "2001:db8:bb::13" } };
static const struct tunnel over4, over6 = { .outer6 = true };
static const struct tunnel over_gue4 = { .gue = &gue4 }, over_gue6 = { .outer6 = true, .gue = &gue6 };
#define TUNNELS 4
static const struct tunnel *const tunnels[TUNNELS] = { &over4, &over6, &over_gue4, &over_gue6 };

static int backend_setup(void **state)
{
	struct fixture *f;

	world_setup(state);
	f = *state;
	f->program = BACKEND;
	return 0;
}

static bool is4(const struct flow *flow)
{
	return !strchr(flow->service, ':');
}

static void inner_of(const struct flow *flow, const struct shape *shape)
{
	struct shape s = *shape;

	s.bare = true;
	s.tpid[0] = 0;
	flow_packet(&inner, flow, &s);
}

static const struct shape plain = { .payload = 33 };

/* The inner packet comes out of this tunnel as it went in. */
static void check_delivered(struct place at, struct fixture *f, const struct tunnel *t)
{
	tunnel_packet(&in, t, &inner);
	want_delivered(&want, t, &inner);
	delivered_at(at, f, &in, &want);
}

/* ---- delivered ---- */

static void each_family_comes_out_of_a_tunnel_of_each_family(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (int t = 0; t < TUNNELS; t++) {
			in_case("flow %d, tunnel %d", i, t);
			inner_of(world_flows[i], &plain);
			check_delivered(HERE, *state, tunnels[t]);
		}
	}
}

static void tags_are_kept_on_what_comes_out(void **state)
{
	for (const struct named_shape *s = shapes_tagged; s->name; s++) {
		for (int i = 0; i < 4; i++) {
			for (int t = 0; t < TUNNELS; t++) {
				struct tunnel tagged = *tunnels[t];

				in_case("flow %d, tunnel %d, %s", i, t, s->name);
				memcpy(tagged.tpid, s->shape.tpid, sizeof(tagged.tpid));
				memcpy(tagged.tci, s->shape.tci, sizeof(tagged.tci));
				inner_of(world_flows[i], &plain);
				check_delivered(HERE, *state, &tagged);
			}
		}
	}
}

static void inner_options_and_extension_headers_are_kept(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (const struct named_shape *s = shapes_of(world_flows[i]); s->name; s++) {
			for (int t = 0; t < TUNNELS; t++) {
				in_case("flow %d, tunnel %d, %s", i, t, s->name);
				inner_of(world_flows[i], &s->shape);
				check_delivered(HERE, *state, tunnels[t]);
			}
		}
	}
}

static void outer_options_and_extension_headers_are_removed(void **state)
{
	static void (*const ext[])(struct packet *) = { ext_hop_by_hop, ext_destination, ext_route, ext_ah,
							ext_atomic_fragment, ext_chain };

	for (int i = 0; i < 4; i++) {
		inner_of(world_flows[i], &plain);
		for (int e = 0; e < 6; e++) {
			in_case("flow %d, extension %d", i, e);
			check_delivered(HERE, *state, &(struct tunnel){ .outer6 = true, .ext = ext[e] });
		}
		in_case("flow %d, options", i);
		check_delivered(HERE, *state, &(struct tunnel){ .options = options_timestamp, .n_options = 40 });
	}
}

static void packets_of_every_size_come_out(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (size_t size = 0; size <= 1440; size += 1 + size / 16) {
			for (int t = 0; t < TUNNELS; t++) {
				in_case("flow %d, tunnel %d, %zu bytes", i, t, size);
				inner_of(world_flows[i], &(struct shape){ .payload = size });
				check_delivered(HERE, *state, tunnels[t]);
			}
		}
	}
}

static void jumbo_packets_come_out_with_the_feature(void **state)
{
	struct shunt_settings s = fixture_settings();

	s.features = SHUNT_FEATURE_FRAGS;
	world_reopen(state, &s);
	((struct fixture *)*state)->program = BACKEND;
	for (int i = 0; i < 4; i++) {
		for (int t = 0; t < TUNNELS; t++) {
			in_case("flow %d, tunnel %d", i, t);
			inner_of(world_flows[i], &(struct shape){ .payload = 8800 });
			check_delivered(HERE, *state, tunnels[t]);
		}
	}
}

static void padding_behind_a_tunnel_packet_does_not_matter(void **state)
{
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		inner_of(world_flows[i], &(struct shape){ .payload = 0 });
		tunnel_packet(&in, &over4, &inner);
		packet_pad(&in, 6);
		want_delivered(&want, &over4, &inner);
		expect_delivered(*state, &in, &want);
	}
}

static void the_inner_ttl_is_not_touched(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (unsigned ttl = 1; ttl < 256; ttl++) {
			in_case("flow %d, TTL %u", i, ttl);
			inner_of(world_flows[i], &(struct shape){ .ttl = ttl });
			check_delivered(HERE, *state, &over4);
		}
	}
}

static void a_listener_on_every_port_takes_every_port(void **state)
{
	struct shunt_settings s = fixture_settings();
	struct flow flow = udp4;

	flow.sport = 9999;
	inner_of(&flow, &plain);
	for (int feature = 0; feature < 2; feature++) {
		s.features = feature ? SHUNT_FEATURE_ANY_PORT : 0;
		world_reopen(state, &s);
		((struct fixture *)*state)->program = BACKEND;
		listen_add(*state, VIP4, 0, IPPROTO_UDP, WORLD_UDP);
		if (feature) {
			check_delivered(HERE, *state, &over4);
		} else {
			tunnel_packet(&in, &over4, &inner);
			expect_passed(*state, &in);
		}
	}
}

/* ---- ECN ---- */

#define ECN_CE 3

/* RFC 6040, but that CE outside and no ECN inside is delivered as it is. */
static void congestion_met_in_the_tunnel_is_told_on(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (unsigned n = 0; n < TUNNELS * 4 * 4 * 4; n++) {
			unsigned outer = n & 3, own = n >> 2 & 3, dscp = (n >> 4 & 3) * 0x54;
			struct tunnel t = *tunnels[n >> 6];
			bool marked = outer == ECN_CE && own;

			in_case("flow %d, tunnel %u, ECN %u outside, %u inside, DSCP %#x", i, n >> 6, outer, own, dscp);
			t.tos = 0xb8 | outer;
			inner_of(world_flows[i], &(struct shape){ .tos = dscp | own, .payload = 9 });
			tunnel_packet(&in, &t, &inner);
			if (marked)
				own = ECN_CE;
			inner_of(world_flows[i], &(struct shape){ .tos = dscp | own, .payload = 9 });
			want_delivered(&want, &t, &inner);
			expect_delivered(*state, &in, &want);
		}
	}
}

static void marking_keeps_the_inner_checksum_right_from_every_value(void **state)
{
	static const struct tunnel t = { .tos = ECN_CE };
	struct fixture *f = *state;
	size_t at = 14 + 20;

	inner_of(&tcp4, &(struct shape){ .tos = 2 });
	tunnel_packet(&in, &t, &inner);
	for (unsigned id = 0; id < 65536; id++) {
		put16(in.b + at + 4, id);
		ip4_checksum(in.b + at);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
		if (sum16(f->out.b + 14, 20, 0) != 0xffff || f->out.b[15] != 3)
			fail_msg("identification %#x: checksum %#x", id, get16(f->out.b + 14 + 10));
	}
}

/* ---- ICMP errors ---- */

static void embed(const struct flow *flow, uint8_t type, size_t quoted)
{
	struct flow answer = flow_reversed(flow);

	flow_packet(&embedded, &answer, &(struct shape){ .bare = true, .payload = 100 });
	bare(&inner);
	if (is4(flow)) {
		ip4(&inner, (struct ip4){ .src = "192.0.2.254", .dst = flow->service });
		icmp4(&inner, type, 1, 1400);
	} else {
		ip6(&inner, (struct ip6){ .src = "2001:db8:dead::1", .dst = flow->service });
		icmp6(&inner, type, 1, 1400);
	}
	bytes(&inner, embedded.b, quoted);
	packet_finish(&inner);
}

static void icmp_errors_about_a_services_flow_come_out(void **state)
{
	static const uint8_t types[] = { 3, 11, 12, 1, 2, 3, 4 };

	for (int i = 0; i < 4; i++) {
		for (int n = is4(world_flows[i]) ? 0 : 3; n < (is4(world_flows[i]) ? 3 : 7); n++) {
			for (int t = 0; t < TUNNELS; t++) {
				in_case("flow %d, tunnel %d, type %u", i, t, types[n]);
				embed(world_flows[i], types[n], 60);
				check_delivered(HERE, *state, tunnels[t]);
			}
		}
	}
}

static void other_icmp_is_left_alone(void **state)
{
	struct flow other = tcp4;

	other.sport = 81;
	embed(&other, 3, 60); /* about no service's flow */
	tunnel_packet(&in, &over4, &inner);
	expect_passed(*state, &in);
	embed(&tcp4, 8, 60); /* an echo request */
	tunnel_packet(&in, &over4, &inner);
	expect_passed(*state, &in);
	embed(&tcp6, 128, 60);
	tunnel_packet(&in, &over4, &inner);
	expect_passed(*state, &in);
	for (size_t quoted = 0; quoted < 24; quoted++) { /* cut before its ports' end */
		embed(&tcp4, 3, quoted);
		tunnel_packet(&in, &over6, &inner);
		expect_passed(*state, &in);
	}
}

/* ---- left alone ---- */

static void what_is_no_tunnel_packet_passes(void **state)
{
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		flow_packet(&in, world_flows[i], NULL);
		expect_passed(*state, &in);
	}
	ether(&in);
	put16(in.b + 12, 0x0806);
	payload(&in, 46);
	expect_passed(*state, &in);
}

static void a_tunnel_packet_for_no_service_passes(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (int t = 0; t < TUNNELS; t++) {
			struct flow address = *world_flows[i], port = address, proto = address;

			in_case("flow %d, tunnel %d", i, t);
			address.service = is4(&address) ? OTHER4 : OTHER6;
			port.sport++;
			proto.proto = proto.proto == IPPROTO_TCP ? IPPROTO_UDP : IPPROTO_TCP;
			inner_of(&address, &plain);
			tunnel_packet(&in, tunnels[t], &inner);
			expect_passed(*state, &in);
			inner_of(&port, &plain);
			tunnel_packet(&in, tunnels[t], &inner);
			expect_passed(*state, &in);
			inner_of(&proto, &plain);
			tunnel_packet(&in, tunnels[t], &inner);
			expect_passed(*state, &in);
		}
	}
}

static void a_tunnel_in_a_tunnel_passes(void **state)
{
	static struct packet middle;

	inner_of(&tcp4, &plain);
	bare(&middle);
	ip4(&middle, (struct ip4){ .src = "10.99.1.1", .dst = VIP4, .proto = 4 });
	bytes(&middle, inner.b, inner.len);
	packet_finish(&middle);
	tunnel_packet(&in, &over4, &middle);
	expect_passed(*state, &in);
}

static void fragments_of_a_tunnel_packet_pass(void **state)
{
	static const uint16_t fragments[] = { IP4_MF, IP4_MF | 10, 10 };
	static void (*const ext[])(struct packet *) = { ext_first_fragment, ext_later_fragment, ext_last_fragment };

	inner_of(&tcp4, &plain);
	for (int i = 0; i < 3; i++) {
		in_case("fragment %d", i);
		tunnel_packet(&in, &(struct tunnel){ .frag = fragments[i] }, &inner);
		expect_passed(*state, &in);
		tunnel_packet(&in, &(struct tunnel){ .outer6 = true, .ext = ext[i] }, &inner);
		expect_passed(*state, &in);
	}
}

static void inner_fragments_pass(void **state)
{
	static const uint16_t fragments[] = { IP4_MF, IP4_MF | 10, 10 };
	static void (*const ext[])(struct packet *) = { ext_first_fragment, ext_later_fragment, ext_last_fragment };

	for (int i = 0; i < 3; i++) {
		in_case("fragment %d", i);
		inner_of(&udp4, &(struct shape){ .frag = fragments[i], .payload = 40 });
		tunnel_packet(&in, &over4, &inner);
		expect_passed(*state, &in);
		inner_of(&udp6, &(struct shape){ .ext = ext[i], .payload = 40 });
		tunnel_packet(&in, &over6, &inner);
		expect_passed(*state, &in);
	}
}

static void other_protocols_in_the_outer_header_pass(void **state)
{
	inner_of(&tcp4, &plain);
	for (unsigned proto = 0; proto < 256; proto++) {
		if (proto == 4)
			continue;
		in_case("protocol %u", proto);
		tunnel_packet(&in, &over4, &inner);
		in.b[14 + 9] = proto; /* 41 too: inside there is no IPv6 */
		ip4_checksum(in.b + 14);
		expect_passed(*state, &in);
	}
}

static void an_inner_packet_of_the_wrong_family_passes(void **state)
{
	inner_of(&tcp6, &plain);
	tunnel_packet(&in, &over6, &inner);
	in.b[14 + 6] = 4;
	expect_passed(*state, &in);
	in.b[14 + 6] = 41;
	in.b[14 + 40] = 0x50; /* version 5 */
	expect_passed(*state, &in);
}

/* Cut at every byte, with the frame alone, with the outer length right, and with both lengths right. */
static void a_tunnel_packet_cut_anywhere_passes(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (int t = 0; t < TUNNELS; t++) {
			inner_of(world_flows[i], &plain);
			tunnel_packet(&in, tunnels[t], &inner);
			for (size_t len = in.len - 1; len >= 14; len--) {
				in_case("flow %d, tunnel %d, cut to %zu bytes", i, t, len);
				in.len = len;
				expect_passed(*state, &in);
			}
		}
	}
}

static void an_inner_packet_cut_anywhere_passes(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (int t = 0; t < TUNNELS; t++) {
			inner_of(world_flows[i], &plain);
			for (size_t len = inner.len; len-- > 0;) {
				in_case("flow %d, tunnel %d, inner packet cut to %zu bytes", i, t, len);
				inner.len = len;
				tunnel_packet(&in, tunnels[t], &inner);
				expect_passed(*state, &in);
			}
		}
	}
}

static void an_inner_packet_without_room_for_its_headers_passes(void **state)
{
	for (int i = 0; i < 4; i++) {
		size_t header = is4(world_flows[i]) ? 20 : 40, l4 = world_flows[i]->proto == IPPROTO_TCP ? 20 : 8;

		inner_of(world_flows[i], &plain);
		for (size_t len = header; len < header + l4; len++) {
			in_case("flow %d, %zu bytes", i, len);
			inner.len = len;
			put16(inner.b + (header == 20 ? 2 : 4), header == 20 ? len : len - 40);
			if (header == 20)
				ip4_checksum(inner.b);
			tunnel_packet(&in, &over4, &inner);
			expect_passed(*state, &in);
		}
	}
}

static void an_outer_header_that_contradicts_itself_passes(void **state)
{
	inner_of(&tcp4, &plain);
	for (unsigned ihl = 0; ihl < 5; ihl++) {
		tunnel_packet(&in, &over4, &inner);
		in.b[14] = 0x40 | ihl;
		expect_passed(*state, &in);
	}
	tunnel_packet(&in, &over4, &inner);
	put16(in.b + 16, get16(in.b + 16) + 1);
	ip4_checksum(in.b + 14);
	expect_passed(*state, &in);
	tunnel_packet(&in, &over6, &inner);
	put16(in.b + 18, get16(in.b + 18) + 1);
	expect_passed(*state, &in);
}

/* ---- whom it believes ---- */

static void a_source_that_is_not_allowed_is_dropped_under_its_own_reason(void **state)
{
	static const char *const sources[] = { "10.98.255.255", "10.100.0.0", "192.0.2.1", "0.0.0.0",
					       "fd00:99:0:0:0:1::", "fd00:98::1", "2001:db8::1", "::" };

	for (int n = 0; n < 8; n++) {
		for (int i = 0; i < 4; i++) {
			struct tunnel t = { .src = sources[n], .outer6 = n >= 4 };

			in_case("flow %d from %s", i, sources[n]);
			inner_of(world_flows[i], &plain);
			tunnel_packet(&in, &t, &inner);
			expect_dropped(*state, &in, SHUNT_REASON_TUNNEL_SOURCE);
		}
	}
}

static void an_icmp_error_from_a_source_that_is_not_allowed_is_dropped(void **state)
{
	embed(&tcp4, 3, 60);
	tunnel_packet(&in, &(struct tunnel){ .src = "192.0.2.1" }, &inner);
	expect_dropped(*state, &in, SHUNT_REASON_TUNNEL_SOURCE);
}

static void what_is_no_services_passes_whatever_its_source(void **state)
{
	struct flow other = tcp4;

	other.sport = 81;
	inner_of(&other, &plain);
	tunnel_packet(&in, &(struct tunnel){ .src = "192.0.2.1" }, &inner);
	expect_passed(*state, &in);
}

static void every_source_within_a_prefix_is_allowed(void **state)
{
	static const char *const sources[] = { "10.99.0.0", "10.99.255.255", "10.99.0.1",
					       "fd00:99::", "fd00:99::ffff:ffff", "fd00:99::1" };

	for (int n = 0; n < 6; n++) {
		in_case("from %s", sources[n]);
		inner_of(&udp6, &plain);
		check_delivered(HERE, *state, &(struct tunnel){ .src = sources[n], .outer6 = n >= 3 });
	}
}

static void settings_of_allow(void **state, uint32_t n)
{
	struct shunt_settings s = fixture_settings();

	for (uint32_t i = 0; i < SHUNT_ALLOW_MAX; i++) {
		s.allow[i].addr = addr_of("172.16.0.0");
		((uint8_t *)&s.allow[i].addr)[15] = i;
		memset(&s.allow[i].mask, 0xff, sizeof(s.allow[i].mask));
	}
	s.n_allow = n;
	world_reopen(state, &s);
	((struct fixture *)*state)->program = BACKEND;
}

static void each_of_the_allowed_prefixes_counts_and_none_beyond_their_number(void **state)
{
	static const uint32_t numbers[] = { 0, 1, 5, SHUNT_ALLOW_MAX };

	for (int n = 0; n < 4; n++) {
		settings_of_allow(state, numbers[n]);
		inner_of(&tcp4, &plain);
		for (uint32_t i = 0; i < SHUNT_ALLOW_MAX; i++) {
			char src[16];

			in_case("prefix %u of %u", i, numbers[n]);
			snprintf(src, sizeof(src), "172.16.0.%u", i);
			tunnel_packet(&in, &(struct tunnel){ .src = src }, &inner);
			want_delivered(&want, &over4, &inner);
			if (i < numbers[n])
				expect_delivered(*state, &in, &want);
			else
				expect_dropped(*state, &in, SHUNT_REASON_TUNNEL_SOURCE);
		}
	}
}

/* ---- then the edge program ---- */

static struct fixture *both_world(void **state, bool tail_call)
{
	struct shunt_settings s = fixture_settings();
	struct fixture *f;

	s.features = SHUNT_FEATURE_THEN_EDGE;
	world_reopen(state, &s);
	f = *state;
	f->program = BACKEND;
	if (tail_call)
		tail_call_set(f);
	return f;
}

/* One verdict of each program. */
static void check_both(const struct fixture *f, enum shunt_verdict edge)
{
	for (int i = 0; i < SHUNT_N_VERDICTS; i++)
		assert_int_equal(f->out.verdicts[i], i == (int)edge || i == SHUNT_VERDICT_BACKEND_PASSED);
}

static void what_is_no_tunnel_packet_goes_on_to_the_edge_program(void **state)
{
	struct fixture *f = both_world(state, true);
	struct flow other = tcp6;

	for (int i = 0; i < 4; i++) {
		flow_packet(&in, world_flows[i], NULL);
		run(f, &in);
		want_tunnel(&want, &in, &f->settings, &f->backends[WORLD_BACKEND],
			    flow_hash(f->settings.seed, world_flows[i]), NULL);
		assert_int_equal(f->out.action, XDP_REDIRECT);
		assert_int_equal(f->out.len, want.len);
		assert_memory_equal(f->out.b, want.b, want.len);
		assert_int_equal(f->out.n_counted, 1);
		check_both(f, SHUNT_VERDICT_EDGE_FORWARDED);
	}
	other.service = OTHER6;
	flow_packet(&in, &other, NULL);
	run(f, &in);
	assert_int_equal(f->out.action, XDP_PASS);
	assert_int_equal(f->out.len, in.len);
	assert_memory_equal(f->out.b, in.b, in.len);
	check_both(f, SHUNT_VERDICT_EDGE_PASSED);
}

static void what_comes_out_of_the_tunnel_is_not_balanced_again(void **state)
{
	both_world(state, true);
	for (int i = 0; i < 4; i++) {
		inner_of(world_flows[i], &plain);
		check_delivered(HERE, *state, &over4);
	}
	tunnel_packet(&in, &(struct tunnel){ .src = "192.0.2.1" }, &inner);
	expect_dropped(*state, &in, SHUNT_REASON_TUNNEL_SOURCE);
}

static void without_an_edge_program_to_go_on_to_packets_pass(void **state)
{
	both_world(state, false);
	what_is_no_tunnel_packet_passes(state);
}

static void without_the_feature_packets_do_not_go_on(void **state)
{
	tail_call_set(*state);
	what_is_no_tunnel_packet_passes(state);
}

#define backend_test(name) cmocka_unit_test_setup_teardown(name, backend_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		backend_test(each_family_comes_out_of_a_tunnel_of_each_family),
		backend_test(tags_are_kept_on_what_comes_out),
		backend_test(inner_options_and_extension_headers_are_kept),
		backend_test(outer_options_and_extension_headers_are_removed),
		backend_test(packets_of_every_size_come_out),
		backend_test(jumbo_packets_come_out_with_the_feature),
		backend_test(padding_behind_a_tunnel_packet_does_not_matter),
		backend_test(the_inner_ttl_is_not_touched),
		backend_test(a_listener_on_every_port_takes_every_port),
		backend_test(congestion_met_in_the_tunnel_is_told_on),
		backend_test(marking_keeps_the_inner_checksum_right_from_every_value),
		backend_test(icmp_errors_about_a_services_flow_come_out),
		backend_test(other_icmp_is_left_alone),
		backend_test(what_is_no_tunnel_packet_passes),
		backend_test(a_tunnel_packet_for_no_service_passes),
		backend_test(a_tunnel_in_a_tunnel_passes),
		backend_test(fragments_of_a_tunnel_packet_pass),
		backend_test(inner_fragments_pass),
		backend_test(other_protocols_in_the_outer_header_pass),
		backend_test(an_inner_packet_of_the_wrong_family_passes),
		backend_test(a_tunnel_packet_cut_anywhere_passes),
		backend_test(an_inner_packet_cut_anywhere_passes),
		backend_test(an_inner_packet_without_room_for_its_headers_passes),
		backend_test(an_outer_header_that_contradicts_itself_passes),
		backend_test(a_source_that_is_not_allowed_is_dropped_under_its_own_reason),
		backend_test(an_icmp_error_from_a_source_that_is_not_allowed_is_dropped),
		backend_test(what_is_no_services_passes_whatever_its_source),
		backend_test(every_source_within_a_prefix_is_allowed),
		backend_test(each_of_the_allowed_prefixes_counts_and_none_beyond_their_number),
		backend_test(what_is_no_tunnel_packet_goes_on_to_the_edge_program),
		backend_test(what_comes_out_of_the_tunnel_is_not_balanced_again),
		backend_test(without_an_edge_program_to_go_on_to_packets_pass),
		backend_test(without_the_feature_packets_do_not_go_on),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
