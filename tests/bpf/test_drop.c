/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the edge program drops, and that it drops nothing else: malformed packets cut at every byte, fragments. */
#include "expect.h"
#include "shapes.h"

#include <errno.h>
#include <string.h>

static struct packet in;

static bool is4(const struct flow *flow)
{
	return !strchr(flow->service, ':');
}

static size_t ip_header(const struct flow *flow)
{
	return is4(flow) ? 20 : 40;
}

/* ---- malformed ---- */

/* The frame ends early: the lengths in the packet promise more. Passed until the destination can be read. */
static void cut_at_every_byte(struct fixture *f, const struct flow *flow, const struct named_shape *s)
{
	size_t whole, readable;

	flow_packet(&in, flow, &s->shape);
	whole = in.len;
	readable = packet_l3(&in) + ip_header(flow);
	for (size_t len = 14; len < whole; len++) {
		in_case("%s %u, %s, cut to %zu of %zu bytes", flow->service, flow->proto, s->name, len, whole);
		in.len = len;
		if (len < readable)
			expect_passed(f, &in);
		else
			expect_dropped(f, &in, SHUNT_REASON_MALFORMED);
	}
	in.len = whole;
	expect_to_world(f, &in, flow);
}

static void a_packet_cut_at_any_byte_is_malformed_once_its_destination_is_known(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (const struct named_shape *s = shapes_of(world_flows[i]); s->name; s++)
			cut_at_every_byte(*state, world_flows[i], s);
		for (const struct named_shape *s = shapes_tagged; s->name; s++)
			cut_at_every_byte(*state, world_flows[i], s);
	}
}

/* The packet ends early and its IP length says so; the headers behind it do not fit. */
static void shorten_at_every_byte(struct fixture *f, const struct flow *flow, const struct named_shape *s)
{
	size_t l3, whole, needed;

	flow_packet(&in, flow, &s->shape);
	l3 = packet_l3(&in);
	whole = in.len;
	needed = packet_layer(&in, flow->proto == IPPROTO_TCP ? LAYER_TCP : LAYER_UDP) +
		 (flow->proto == IPPROTO_TCP ? 20 : 8);
	for (size_t len = l3 + ip_header(flow); len <= whole; len++) {
		in_case("%s %u, %s, shortened to %zu of %zu bytes", flow->service, flow->proto, s->name, len, whole);
		in.len = len;
		put16(in.b + l3 + (is4(flow) ? 2 : 4), len - l3 - (is4(flow) ? 0 : 40));
		if (is4(flow))
			ip4_checksum(in.b + l3);
		if (len < needed)
			expect_dropped(f, &in, SHUNT_REASON_MALFORMED);
		else
			expect_to_world(f, &in, flow);
	}
}

static void a_packet_without_room_for_its_headers_is_malformed(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (const struct named_shape *s = shapes_of(world_flows[i]); s->name; s++)
			shorten_at_every_byte(*state, world_flows[i], s);
	}
}

static void headers_may_not_reach_into_the_padding(void **state)
{
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 0 });
	put16(in.b + 14 + 2, 39);
	ip4_checksum(in.b + 14);
	expect_dropped(*state, &in, SHUNT_REASON_MALFORMED);
	flow_packet(&in, &udp6, &(struct shape){ .payload = 0 });
	put16(in.b + 14 + 4, 7);
	expect_dropped(*state, &in, SHUNT_REASON_MALFORMED);
}

static void an_ipv4_header_length_below_5_is_malformed(void **state)
{
	for (unsigned ihl = 0; ihl < 5; ihl++) {
		in_case("header length %u", ihl);
		flow_packet(&in, &tcp4, NULL);
		in.b[14] = 0x40 | ihl;
		expect_dropped(*state, &in, SHUNT_REASON_MALFORMED);
	}
}

static void a_total_length_below_the_header_is_malformed(void **state)
{
	for (unsigned len = 0; len < 20; len++) {
		in_case("total length %u", len);
		flow_packet(&in, &udp4, NULL);
		put16(in.b + 16, len);
		ip4_checksum(in.b + 14);
		expect_dropped(*state, &in, SHUNT_REASON_MALFORMED);
	}
}

static void a_length_beyond_the_frame_is_malformed(void **state)
{
	static const unsigned beyond[] = { 1, 2, 100, 30000 };

	for (int i = 0; i < 4; i++) {
		for (int b = 0; b < 4; b++) {
			uint8_t *field;

			in_case("flow %d, %u bytes beyond", i, beyond[b]);
			flow_packet(&in, world_flows[i], NULL);
			field = in.b + 14 + (is4(world_flows[i]) ? 2 : 4);
			put16(field, get16(field) + beyond[b]);
			if (is4(world_flows[i]))
				ip4_checksum(in.b + 14);
			expect_dropped(*state, &in, SHUNT_REASON_MALFORMED);
		}
	}
}

static void an_extension_header_longer_than_the_packet_is_malformed(void **state)
{
	for (unsigned units = 3; units < 256; units += 9) {
		in_case("a header of %u * 8 bytes more", units);
		flow_packet(&in, &udp6, &(struct shape){ .ext = ext_hop_by_hop, .payload = 0 });
		in.b[14 + 40 + 1] = units;
		expect_dropped(*state, &in, SHUNT_REASON_MALFORMED);
	}
}

/* ---- fragments ---- */

static const uint16_t fragments4[] = { IP4_MF, IP4_MF | 1, IP4_MF | 185, 1, 185, 0x1fff };

static void fragments_for_a_service_are_dropped_under_their_own_reason(void **state)
{
	static void (*const ext[])(struct packet *) = { ext_first_fragment, ext_later_fragment, ext_last_fragment };

	for (int i = 0; i < 4; i++) {
		for (int n = 0; n < (is4(world_flows[i]) ? 6 : 3); n++) {
			struct shape s = { .payload = 40 };

			in_case("flow %d, fragment %d", i, n);
			if (is4(world_flows[i]))
				s.frag = fragments4[n];
			else
				s.ext = ext[n];
			flow_packet(&in, world_flows[i], &s);
			expect_dropped(*state, &in, SHUNT_REASON_FRAGMENT);
		}
	}
}

static void a_first_fragment_for_a_port_without_listener_passes(void **state)
{
	struct flow four = tcp4, six = udp6;

	four.sport = 81;
	six.sport = 54;
	flow_packet(&in, &four, &(struct shape){ .frag = IP4_MF, .payload = 40 });
	expect_passed(*state, &in);
	flow_packet(&in, &six, &(struct shape){ .ext = ext_first_fragment, .payload = 40 });
	expect_passed(*state, &in);
}

static void later_fragments_to_a_service_address_are_dropped_whatever_their_port_was(void **state)
{
	struct flow four = tcp4, six = udp6;

	four.sport = 81;
	six.sport = 54;
	flow_packet(&in, &four, &(struct shape){ .frag = 185, .payload = 40 });
	expect_dropped(*state, &in, SHUNT_REASON_FRAGMENT);
	flow_packet(&in, &six, &(struct shape){ .ext = ext_later_fragment, .payload = 40 });
	expect_dropped(*state, &in, SHUNT_REASON_FRAGMENT);
}

static void df_and_the_reserved_bit_make_no_fragment(void **state)
{
	static const uint16_t flags[] = { IP4_DF, 0x8000, 0x8000 | IP4_DF };

	for (int i = 0; i < 3; i++) {
		in_case("flags %#x", flags[i]);
		flow_packet(&in, &tcp4, &(struct shape){ .frag = flags[i], .payload = 40 });
		expect_to_world(*state, &in, &tcp4);
	}
}

/* ---- no way to a backend ---- */

static void a_backend_without_next_hop_drops(void **state)
{
	struct shunt_backend b = backend_at(BACKEND4);

	b.flags &= ~SHUNT_BACKEND_NEXTHOP;
	backend_set(*state, WORLD_BACKEND, &b);
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		flow_packet(&in, world_flows[i], NULL);
		expect_dropped(*state, &in, SHUNT_REASON_NO_NEXTHOP);
	}
}

/* Metadata that leaves 256 - 216 = 40 bytes, which the kernel keeps for itself (struct xdp_frame). */
static void a_driver_that_leaves_no_room_for_a_header_drops(void **state)
{
	struct fixture *f = *state;

	f->meta_len = 216;
	memset(f->meta, 0xff, f->meta_len);
	flow_packet(&in, &tcp4, NULL);
	if (run_bytes(f, in.b, in.len) == -EINVAL)
		skip(); /* older kernels allow 32 bytes of metadata */
	count(f);
	expect_dropped(f, &in, SHUNT_REASON_NO_ROOM);
	world_backend(f, BACKEND6);
	flow_packet(&in, &udp6, NULL);
	expect_dropped(f, &in, SHUNT_REASON_NO_ROOM);
}

/* ---- counted where ---- */

static void drops_are_counted_for_each_interface_and_reason(void **state)
{
	static const uint32_t interfaces[] = { 1, IFINDEX_IN, IFINDEX_OUT };
	struct fixture *f = *state;

	for (int i = 0; i < 9; i++) {
		f->ingress = interfaces[i % 3];
		in_case("on interface %u", f->ingress);
		flow_packet(&in, &tcp4, &(struct shape){ .frag = IP4_MF, .payload = 40 });
		expect_dropped(f, &in, SHUNT_REASON_FRAGMENT);
		flow_packet(&in, &tcp4, NULL);
		in.len--;
		expect_dropped(f, &in, SHUNT_REASON_MALFORMED);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(f->total_drops[interfaces[i]][SHUNT_REASON_FRAGMENT], 3);
		assert_int_equal(f->total_drops[interfaces[i]][SHUNT_REASON_MALFORMED], 3);
	}
	assert_int_equal(f->total_verdicts[SHUNT_VERDICT_EDGE_DROPPED], 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_packet_cut_at_any_byte_is_malformed_once_its_destination_is_known),
		world_test(a_packet_without_room_for_its_headers_is_malformed),
		world_test(headers_may_not_reach_into_the_padding),
		world_test(an_ipv4_header_length_below_5_is_malformed),
		world_test(a_total_length_below_the_header_is_malformed),
		world_test(a_length_beyond_the_frame_is_malformed),
		world_test(an_extension_header_longer_than_the_packet_is_malformed),
		world_test(fragments_for_a_service_are_dropped_under_their_own_reason),
		world_test(a_first_fragment_for_a_port_without_listener_passes),
		world_test(later_fragments_to_a_service_address_are_dropped_whatever_their_port_was),
		world_test(df_and_the_reserved_bit_make_no_fragment),
		world_test(a_backend_without_next_hop_drops),
		world_test(a_driver_that_leaves_no_room_for_a_header_drops),
		world_test(drops_are_counted_for_each_interface_and_reason),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
