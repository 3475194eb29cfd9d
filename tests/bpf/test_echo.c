/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP echo: answered for services' addresses, for no other. */
#include "expect.h"
#include "shapes.h"

#include <string.h>

static struct packet in, want;

struct echo {
	const char *src, *dst;
	uint8_t code;
	uint32_t rest; /* identifier and sequence */
	size_t payload;
};

static void echo_request(struct packet *p, const struct echo *e, const struct shape *shape)
{
	ether(p);
	for (int i = 0; i < 2 && shape->tpid[i]; i++)
		vlan(p, shape->tpid[i], shape->tci[i]);
	if (!strchr(e->dst, ':')) {
		ip4(p, (struct ip4){ .src = e->src, .dst = e->dst, .tos = shape->tos, .ttl = shape->ttl, .id = 0x4321,
				     .frag = shape->frag, .options = shape->options, .n_options = shape->n_options });
		icmp4(p, 8, e->code, e->rest);
	} else {
		ip6(p, (struct ip6){ .src = e->src, .dst = e->dst, .tclass = shape->tos, .hops = shape->ttl,
				     .flow = 0x54321 });
		if (shape->ext)
			shape->ext(p);
		icmp6(p, 128, e->code, e->rest);
	}
	payload(p, e->payload);
	packet_finish(p);
}

static const struct echo echo4 = { CLIENT4, VIP4, 0, 0x00070001, 56 }, echo6 = { CLIENT6, VIP6, 0, 0x00070001, 56 };
static const struct echo *const echoes[] = { &echo4, &echo6 };
static const struct shape plain;

static void an_echo_request_to_a_service_is_answered(void **state)
{
	for (int i = 0; i < 2; i++) {
		echo_request(&in, echoes[i], &plain);
		want_echo(&want, &in);
		expect_answered(*state, &in, &want);
	}
}

static void a_payload_of_any_size_is_answered(void **state)
{
	for (int i = 0; i < 2; i++) {
		for (size_t size = 0; size <= 1472; size += size < 80 ? 1 : 29) {
			struct echo e = *echoes[i];

			in_case("family %d, %zu bytes", i, size);
			e.payload = size;
			echo_request(&in, &e, &plain);
			want_echo(&want, &in);
			expect_answered(*state, &in, &want);
		}
	}
}

static void tags_options_and_extension_headers_stay_in_the_answer(void **state)
{
	const struct named_shape *lists[] = { shapes_tagged, shapes4, shapes6 };

	for (int l = 0; l < 3; l++) {
		for (const struct named_shape *s = lists[l]; s->name; s++) {
			for (int i = 0; i < 2; i++) {
				in_case("family %d, %s", i, s->name);
				echo_request(&in, echoes[i], &s->shape);
				want_echo(&want, &in);
				expect_answered(*state, &in, &want);
			}
		}
	}
}

static void every_ttl_and_traffic_class_is_answered_with_a_ttl_of_64(void **state)
{
	for (int i = 0; i < 2; i++) {
		for (unsigned v = 0; v < 256; v++) {
			struct shape s = { .ttl = v, .tos = 255 - v };

			in_case("family %d, TTL %u", i, v);
			echo_request(&in, echoes[i], &s);
			want_echo(&want, &in);
			expect_answered(*state, &in, &want);
		}
	}
}

static void ethernet_padding_does_not_disturb_the_answer(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct echo e = *echoes[i];

		e.payload = 1;
		echo_request(&in, &e, &plain);
		packet_pad(&in, 17);
		want_echo(&want, &in);
		expect_answered(*state, &in, &want);
	}
}

/* ---- every checksum ---- */

static bool icmp_right(const struct result *out)
{
	const uint8_t *ip = out->b + 14;

	if (ip[0] >> 4 == 4)
		return sum16(ip, 20, 0) == 0xffff && sum16(ip + 20, out->len - 34, 0) == 0xffff;
	return icmp6_sum(ip, ip + 40, out->len - 54) == 0xffff;
}

/* The request has this identifier and a checksum of its own, or the other zero of one's complement. */
static void check_identifier(struct fixture *f, size_t icmp, unsigned id, bool other_zero)
{
	put16(in.b + icmp + 4, id);
	packet_finish(&in);
	if (other_zero && get16(in.b + icmp + 2) == 0)
		put16(in.b + icmp + 2, 0xffff);
	assert_int_equal(run_bytes(f, in.b, in.len), 0);
	if (f->out.action != XDP_TX || f->out.b[icmp] == in.b[icmp] || !icmp_right(&f->out))
		fail_msg("identifier %#x: request's checksum %#x, reply's %#x, returned %d", id, get16(in.b + icmp + 2),
			 get16(f->out.b + icmp + 2), f->out.action);
	if (memcmp(f->out.b + icmp + 4, in.b + icmp + 4, in.len - icmp - 4))
		fail_msg("identifier %#x: the reply's identifier, sequence or payload differ", id);
}

static void check_every_checksum(struct fixture *f, const struct echo *e)
{
	size_t icmp;

	echo_request(&in, e, &plain);
	icmp = in.layers[2].at;
	for (unsigned id = 0; id < 65536; id++)
		check_identifier(f, icmp, id, false);
	for (unsigned id = 0; id < 65536; id++) {
		put16(in.b + icmp + 4, id);
		packet_finish(&in);
		if (get16(in.b + icmp + 2) == 0)
			check_identifier(f, icmp, id, true);
	}
	count(f);
	assert_in_range(f->out.verdicts[SHUNT_VERDICT_EDGE_ANSWERED], 65537, 65540);
	assert_int_equal(f->out.n_drops, 0);
}

static void the_answers_checksum_is_right_for_every_identifier_v4(void **state)
{
	check_every_checksum(*state, &echo4);
}

static void the_answers_checksum_is_right_for_every_identifier_v6(void **state)
{
	check_every_checksum(*state, &echo6);
}

/* ---- not answered ---- */

static void an_echo_request_to_another_address_passes(void **state)
{
	static const struct echo others[] = {
		{ CLIENT4, OTHER4, 0, 1, 8 }, { CLIENT6, OTHER6, 0, 1, 8 },
	};

	for (int hit = 0; hit < 2; hit++) {
		for (int i = 0; i < 2; i++) {
			echo_request(&in, &others[i], &plain);
			expect_passed(*state, &in);
			filter_set(*state, others[i].dst, true); /* in the second round: the filter alone says yes */
		}
	}
}

static void an_echo_request_from_nobodys_address_passes(void **state)
{
	static const struct echo others[] = {
		{ "224.0.0.1", VIP4, 0, 1, 8 }, { "255.255.255.255", VIP4, 0, 1, 8 }, { "0.0.0.0", VIP4, 0, 1, 8 },
		{ "ff02::1", VIP6, 0, 1, 8 },	{ "::", VIP6, 0, 1, 8 },
	};

	for (int i = 0; i < 5; i++) {
		in_case("from %s", others[i].src);
		echo_request(&in, &others[i], &plain);
		expect_passed(*state, &in);
	}
}

static void an_echo_request_with_another_code_passes(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct echo e = *echoes[i];

		e.code = 1;
		echo_request(&in, &e, &plain);
		expect_passed(*state, &in);
	}
}

/* Every type but echo requests and the errors. */
static void other_icmp_to_a_service_passes(void **state)
{
	for (unsigned type = 0; type < 256; type++) {
		in_case("type %u", type);
		if (type != 3 && type != 8 && type != 11 && type != 12) {
			ether(&in);
			ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4 });
			icmp4(&in, type, 0, 0x00070001);
			payload(&in, 40);
			packet_finish(&in);
			expect_passed(*state, &in);
		}
		if (type != 128 && (type < 1 || type > 4)) {
			ether(&in);
			ip6(&in, (struct ip6){ .src = CLIENT6, .dst = VIP6 });
			icmp6(&in, type, 0, 0x00070001);
			payload(&in, 40);
			packet_finish(&in);
			expect_passed(*state, &in);
		}
	}
}

static void fragments_of_an_echo_request_are_dropped(void **state)
{
	static const uint16_t fragments[] = { IP4_MF, IP4_MF | 10, 10 };
	void (*const ext[])(struct packet *) = { ext_first_fragment, ext_later_fragment, ext_last_fragment };

	for (int i = 0; i < 3; i++) {
		in_case("fragment %d", i);
		echo_request(&in, &echo4, &(struct shape){ .frag = fragments[i] });
		expect_dropped(*state, &in, SHUNT_REASON_FRAGMENT);
		echo_request(&in, &echo6, &(struct shape){ .ext = ext[i] });
		expect_dropped(*state, &in, SHUNT_REASON_FRAGMENT);
	}
}

/* Cut short with the IP length that fits: never answered, never anything but passed or malformed. */
static void an_echo_request_cut_within_its_header_is_not_answered(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		size_t l3 = 14, header = i ? 40 : 20;

		echo_request(&in, echoes[i], &plain);
		for (size_t n = 0; n < 8; n++) {
			in_case("family %d, %zu bytes", i, n);
			in.len = l3 + header + n;
			put16(in.b + l3 + (i ? 4 : 2), i ? n : header + n);
			if (!i)
				ip4_checksum(in.b + l3);
			run(f, &in);
			assert_true(f->out.action == XDP_PASS || f->out.action == XDP_DROP);
			if (f->out.action == XDP_DROP)
				expect_dropped(f, &in, SHUNT_REASON_MALFORMED);
			else
				expect_passed(f, &in);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(an_echo_request_to_a_service_is_answered),
		world_test(a_payload_of_any_size_is_answered),
		world_test(tags_options_and_extension_headers_stay_in_the_answer),
		world_test(every_ttl_and_traffic_class_is_answered_with_a_ttl_of_64),
		world_test(ethernet_padding_does_not_disturb_the_answer),
		world_test(the_answers_checksum_is_right_for_every_identifier_v4),
		world_test(the_answers_checksum_is_right_for_every_identifier_v6),
		world_test(an_echo_request_to_another_address_passes),
		world_test(an_echo_request_from_nobodys_address_passes),
		world_test(an_echo_request_with_another_code_passes),
		world_test(other_icmp_to_a_service_passes),
		world_test(fragments_of_an_echo_request_are_dropped),
		world_test(an_echo_request_cut_within_its_header_is_not_answered),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
