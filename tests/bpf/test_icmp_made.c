/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors that the edge program makes: too big, time exceeded; their rate, and to whom it makes none. */
#include "expect.h"
#include "shapes.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

static struct packet in, want, embedded;
static const char *const backends[] = { BACKEND4, BACKEND6 };

static bool is4(const struct flow *flow)
{
	return !strchr(flow->service, ':');
}

static void want_too_big(const struct flow *flow, unsigned mtu)
{
	want_icmp_error(&want, &in, is4(flow) ? 3 : 2, is4(flow) ? 4 : 0, mtu);
}

static void want_expired(const struct flow *flow)
{
	want_icmp_error(&want, &in, is4(flow) ? 11 : 3, 0, 0);
}

/* Checks the sums by adding them up, beside the comparison with `want`. */
static void check_sums(const struct packet *p)
{
	size_t at = packet_l3(p);
	const uint8_t *ip = p->b + at;

	if (!packet_is4(p)) {
		assert_int_equal(icmp6_sum(ip, ip + 40, p->len - at - 40), 0xffff);
		return;
	}
	assert_int_equal(sum16(ip, 20, 0), 0xffff);
	assert_int_equal(sum16(ip + 20, p->len - at - 20, 0), 0xffff);
}

/* ---- too big ---- */

static void a_packet_that_does_not_fit_is_answered_with_the_mtu(void **state)
{
	for (int b = 0; b < 2; b++) {
		unsigned mtu = 1500 - (b ? 40 : 20);

		world_backend(*state, backends[b]);
		for (int i = 0; i < 4; i++) {
			struct shape s = { .payload = 0, .tos = 0x2e };

			in_case("flow %d to %s", i, backends[b]);
			flow_packet(&in, world_flows[i], &s);
			s.payload = mtu + 1 - packet_l3_len(&in);
			flow_packet(&in, world_flows[i], &s);
			want_too_big(world_flows[i], mtu);
			check_sums(&want);
			expect_answered(*state, &in, &want);
		}
	}
}

static void the_mtu_is_that_of_the_way_to_the_backend(void **state)
{
	static const uint16_t mtus[] = { 576, 1280, 1281, 1400, 1499 };

	for (int m = 0; m < 5; m++) {
		for (int b = 0; b < 2; b++) {
			struct shunt_backend backend = backend_at(backends[b]);

			backend_mtu(&backend, mtus[m]);
			backend_set(*state, WORLD_BACKEND, &backend);
			for (int i = 0; i < 4; i++) {
				in_case("flow %d to %s, MTU %u", i, backends[b], mtus[m]);
				flow_packet(&in, world_flows[i], &(struct shape){ .payload = 1480 });
				want_too_big(world_flows[i], mtus[m] - (b ? 40 : 20));
				expect_answered(*state, &in, &want);
			}
		}
	}
}

static void df_makes_no_difference(void **state)
{
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 1460, .frag = IP4_DF });
	want_too_big(&tcp4, 1480);
	expect_answered(*state, &in, &want);
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 1460 });
	want_too_big(&tcp4, 1480);
	expect_answered(*state, &in, &want);
}

/* Small MTUs, so that packets of every length around the limits of a quote (548, 1232) are too big. */
static void the_quote_is_whole_up_to_its_limit(void **state)
{
	struct shunt_backend b = backend_at(BACKEND4);

	backend_mtu(&b, 68);
	backend_set(*state, WORLD_BACKEND, &b);
	for (int i = 0; i < 4; i++) {
		for (size_t size = 60; size < 1400; size += (size > 460 && size < 560) || size > 1160 ? 1 : 13) {
			in_case("flow %d, %zu bytes", i, size);
			flow_packet(&in, world_flows[i], &(struct shape){ .payload = size });
			want_too_big(world_flows[i], 48);
			check_sums(&want);
			expect_answered(*state, &in, &want);
		}
	}
}

static void the_quote_is_the_packet_as_it_came_in(void **state)
{
	const struct named_shape *lists[] = { shapes4, shapes6, shapes_tagged };

	for (int i = 0; i < 4; i++) {
		for (int l = 0; l < 3; l++) {
			if (l < 2 && lists[l] != shapes_of(world_flows[i]))
				continue;
			for (const struct named_shape *s = lists[l]; s->name; s++) {
				struct shape big = s->shape;

				in_case("flow %d, %s", i, s->name);
				big.payload = 1480;
				big.ttl = 17;
				flow_packet(&in, world_flows[i], &big);
				want_too_big(world_flows[i], 1480);
				expect_answered(*state, &in, &want);
			}
		}
	}
}

static void padding_is_not_quoted(void **state)
{
	struct shunt_backend b = backend_at(BACKEND4);

	backend_mtu(&b, 40);
	backend_set(*state, WORLD_BACKEND, &b);
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		flow_packet(&in, world_flows[i], &(struct shape){ .payload = 3 });
		packet_pad(&in, 15);
		want_too_big(world_flows[i], 20);
		expect_answered(*state, &in, &want);
	}
}

static void jumbo_packets_are_answered_with_the_feature(void **state)
{
	struct shunt_settings s = fixture_settings();

	s.features = SHUNT_FEATURE_FRAGS;
	world_reopen(state, &s);
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		flow_packet(&in, world_flows[i], &(struct shape){ .payload = 8000 });
		want_too_big(world_flows[i], 1480);
		expect_answered(*state, &in, &want);
	}
}

/* ---- time exceeded ---- */

static void a_packet_whose_ttl_is_used_up_is_answered(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (size_t size = 0; size < 1400; size += 111) {
			in_case("flow %d, %zu bytes", i, size);
			flow_packet(&in, world_flows[i], &(struct shape){ .ttl = 1, .payload = size, .tos = 0xb8 });
			want_expired(world_flows[i]);
			check_sums(&want);
			expect_answered(*state, &in, &want);
		}
	}
}

static void a_ttl_of_0_is_used_up_too(void **state)
{
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		flow_packet(&in, world_flows[i], NULL);
		in.b[14 + (is4(world_flows[i]) ? 8 : 7)] = 0;
		if (is4(world_flows[i]))
			ip4_checksum(in.b + 14);
		want_expired(world_flows[i]);
		expect_answered(*state, &in, &want);
	}
}

static void the_ttl_is_looked_at_before_the_size(void **state)
{
	flow_packet(&in, &tcp4, &(struct shape){ .ttl = 1, .payload = 1460 });
	want_expired(&tcp4);
	expect_answered(*state, &in, &want);
}

static void a_tag_stays_on_the_error(void **state)
{
	for (int i = 0; i < 4; i++) {
		for (const struct named_shape *s = shapes_tagged; s->name; s++) {
			struct shape expired = s->shape;

			in_case("flow %d, %s", i, s->name);
			expired.ttl = 1;
			flow_packet(&in, world_flows[i], &expired);
			want_expired(world_flows[i]);
			expect_answered(*state, &in, &want);
		}
	}
}

/* ---- to whom there is none ---- */

static void a_source_that_is_no_unicast_address_gets_no_error(void **state)
{
	static const char *const sources[] = { "0.0.0.0", "224.0.0.1", "239.255.255.250", "255.255.255.255",
					       "::", "ff02::1", "ff0e::1234" };

	for (int i = 0; i < 7; i++) {
		struct flow flow = i < 4 ? tcp4 : tcp6;

		in_case("from %s", sources[i]);
		flow.client = sources[i];
		flow_packet(&in, &flow, &(struct shape){ .ttl = 1, .payload = 10 });
		expect_dropped(*state, &in, SHUNT_REASON_TTL_EXPIRED);
		flow_packet(&in, &flow, &(struct shape){ .payload = 1470 });
		expect_dropped(*state, &in, SHUNT_REASON_TOO_BIG);
	}
}

/* An ICMP error about a flow, itself with this TTL and size. */
static void error_about(const struct flow *flow, uint8_t ttl, size_t size)
{
	struct flow answer = flow_reversed(flow);

	flow_packet(&embedded, &answer, &(struct shape){ .bare = true, .payload = size });
	ether(&in);
	if (is4(flow)) {
		ip4(&in, (struct ip4){ .src = "192.0.2.254", .dst = flow->service, .ttl = ttl });
		icmp4(&in, 3, 1, 0);
	} else {
		ip6(&in, (struct ip6){ .src = "2001:db8:dead::1", .dst = flow->service, .hops = ttl });
		icmp6(&in, 1, 1, 0);
	}
	bytes(&in, embedded.b, embedded.len);
	packet_finish(&in);
}

static void there_is_no_error_about_an_icmp_error(void **state)
{
	for (int i = 0; i < 4; i++) {
		in_case("flow %d", i);
		error_about(world_flows[i], 1, 100);
		expect_dropped(*state, &in, SHUNT_REASON_TTL_EXPIRED);
		error_about(world_flows[i], 64, 1450);
		expect_dropped(*state, &in, SHUNT_REASON_TOO_BIG);
	}
}

/* ---- rate ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void world_of_rate(void **state, uint32_t rate)
{
	struct shunt_settings s = fixture_settings();

	s.icmp_rate = rate;
	world_reopen(state, &s);
}

static void errors_over_the_rate_are_drops_with_their_reason(void **state)
{
	struct fixture *f;

	world_of_rate(state, 2);
	f = *state;
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 1460 });
	want_too_big(&tcp4, 1480);
	for (int i = 0; i < 2; i++)
		expect_answered(f, &in, &want);
	expect_dropped(f, &in, SHUNT_REASON_TOO_BIG);
	flow_packet(&in, &tcp6, &(struct shape){ .ttl = 1 });
	expect_dropped(f, &in, SHUNT_REASON_TTL_EXPIRED);
}

static void each_service_has_its_own_rate(void **state)
{
	world_of_rate(state, 1);
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 1460 });
	want_too_big(&tcp4, 1480);
	expect_answered(*state, &in, &want);
	expect_dropped(*state, &in, SHUNT_REASON_TOO_BIG);
	flow_packet(&in, &udp4, &(struct shape){ .payload = 1472 });
	want_too_big(&udp4, 1480);
	expect_answered(*state, &in, &want);
	expect_dropped(*state, &in, SHUNT_REASON_TOO_BIG);
}

static void a_rate_of_0_makes_no_errors(void **state)
{
	world_of_rate(state, 0);
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 1460 });
	expect_dropped(*state, &in, SHUNT_REASON_TOO_BIG);
	flow_packet(&in, &udp6, &(struct shape){ .ttl = 1 });
	expect_dropped(*state, &in, SHUNT_REASON_TTL_EXPIRED);
}

/* For a second: the burst at once, then as many a second as the rate, not more and not much less. */
static void tokens_come_back_at_the_rate(void **state)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	const unsigned rate = 20;
	unsigned answered = 0;
	double start, passed;
	struct fixture *f;

	world_of_rate(state, rate);
	f = *state;
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 1460 });
	start = now();
	do {
		run(f, &in);
		answered += f->out.verdicts[SHUNT_VERDICT_EDGE_ANSWERED];
		nanosleep(&pause, NULL); /* the tokens' clock is what is tested */
		passed = now() - start;
	} while (passed < 1.0);
	assert_in_range(answered, rate + (unsigned)(0.8 * rate), rate + (unsigned)(passed * rate) + 1);
}

/* Runs the packet in `in` until it is refused, returns how often it was not. */
static unsigned until_refused(struct fixture *f)
{
	unsigned answered = 0;

	for (;;) {
		run(f, &in);
		if (!f->out.verdicts[SHUNT_VERDICT_EDGE_ANSWERED])
			return answered;
		answered++;
	}
}

static void check_burst(struct fixture *f, unsigned rate)
{
	double start = now();
	unsigned answered = until_refused(f);

	assert_in_range(answered, rate, rate + (unsigned)((now() - start) * rate) + 1);
}

static void a_pause_gives_no_more_than_the_burst(void **state)
{
	const struct timespec pause = { .tv_nsec = 700000000 };
	const unsigned rate = 30;
	struct fixture *f;

	world_of_rate(state, rate);
	f = *state;
	flow_packet(&in, &tcp4, &(struct shape){ .payload = 1460 });
	check_burst(f, rate); /* the pause since the machine's start */
	nanosleep(&pause, NULL); /* the tokens' clock is what is tested: 21 come back ... */
	run(f, &in);
	nanosleep(&pause, NULL); /* ... and of 41 there are 30 */
	check_burst(f, rate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_packet_that_does_not_fit_is_answered_with_the_mtu),
		world_test(the_mtu_is_that_of_the_way_to_the_backend),
		world_test(df_makes_no_difference),
		world_test(the_quote_is_whole_up_to_its_limit),
		world_test(the_quote_is_the_packet_as_it_came_in),
		world_test(padding_is_not_quoted),
		world_test(jumbo_packets_are_answered_with_the_feature),
		world_test(a_packet_whose_ttl_is_used_up_is_answered),
		world_test(a_ttl_of_0_is_used_up_too),
		world_test(the_ttl_is_looked_at_before_the_size),
		world_test(a_tag_stays_on_the_error),
		world_test(a_source_that_is_no_unicast_address_gets_no_error),
		world_test(there_is_no_error_about_an_icmp_error),
		world_test(errors_over_the_rate_are_drops_with_their_reason),
		world_test(each_service_has_its_own_rate),
		world_test(a_rate_of_0_makes_no_errors),
		world_test(tokens_come_back_at_the_rate),
		world_test(a_pause_gives_no_more_than_the_burst),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
