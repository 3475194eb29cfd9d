/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A packet with a trace in its metadata: the decision is written there, and nothing is counted. */
#include "expect.h"
#include "shapes.h"

#include <string.h>

static struct packet in, want, inner;

static void ask(struct fixture *f)
{
	struct shunt_trace t;

	memset(&t, 0xa5, sizeof(t)); /* what it held before is no answer */
	t.magic = SHUNT_TRACE_MAGIC;
	memcpy(f->meta, &t, sizeof(t));
	f->meta_len = sizeof(t);
}

static void check_trace(const struct fixture *f, const struct shunt_trace *wanted)
{
	struct shunt_trace t;

	memcpy(&t, f->out.meta, sizeof(t));
	assert_int_equal(t.magic, SHUNT_TRACE_MAGIC);
	assert_int_equal(t.verdict, wanted->verdict);
	assert_int_equal(t.reason, wanted->reason);
	assert_int_equal(t.service, wanted->service);
	assert_int_equal(t.slot, wanted->slot);
	assert_int_equal(t.member, wanted->member);
	assert_int_equal(t.backend, wanted->backend);
	assert_int_equal(t.flags, wanted->flags);
}

static void check_nothing_counted(const struct fixture *f)
{
	for (int i = 0; i < SHUNT_N_VERDICTS; i++)
		assert_int_equal(f->out.verdicts[i], 0);
	assert_int_equal(f->out.n_drops, 0);
	assert_int_equal(f->out.n_counted, 0);
}

/* Runs `in` with a trace; wants this action and trace, and nothing counted. */
static void traced(struct fixture *f, int action, const struct shunt_trace *wanted)
{
	ask(f);
	run(f, &in);
	assert_int_equal(f->out.action, action);
	check_trace(f, wanted);
	check_nothing_counted(f);
	f->meta_len = 0;
}

static const struct shunt_trace nothing_reached = { .service = SHUNT_UNSET, .slot = SHUNT_UNSET,
						    .member = SHUNT_UNSET, .backend = SHUNT_UNSET };

static struct shunt_trace all_reached(const struct fixture *f, const struct flow *flow)
{
	return (struct shunt_trace){ .service = flow->proto == IPPROTO_TCP ? WORLD_TCP : WORLD_UDP,
				     .slot = flow_hash(f->settings.seed, flow) & 63,
				     .member = world_member(flow),
				     .backend = WORLD_BACKEND };
}

static void check_same_as_want(const struct fixture *f)
{
	assert_int_equal(f->out.len, want.len);
	assert_memory_equal(f->out.b, want.b, want.len);
}

static void a_forwarded_packet_is_traced_to_its_backend(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++) {
		struct shunt_trace t = all_reached(f, world_flows[i]);

		t.verdict = SHUNT_VERDICT_EDGE_FORWARDED;
		flow_packet(&in, world_flows[i], NULL);
		traced(f, XDP_REDIRECT, &t);
		want_tunnel(&want, &in, &f->settings, &f->backends[WORLD_BACKEND],
			    flow_hash(f->settings.seed, world_flows[i]), NULL);
		check_same_as_want(f);
	}
}

static void a_passed_packet_is_traced_as_passed(void **state)
{
	struct shunt_trace t = nothing_reached;
	struct flow flow = tcp4;

	t.verdict = SHUNT_VERDICT_EDGE_PASSED;
	flow.sport = 81;
	flow_packet(&in, &flow, NULL);
	traced(*state, XDP_PASS, &t);
	flow.service = OTHER4;
	flow_packet(&in, &flow, NULL);
	traced(*state, XDP_PASS, &t);
}

static void dropped_packets_are_traced_with_their_reason(void **state)
{
	struct shunt_trace t = nothing_reached;

	t.verdict = SHUNT_VERDICT_EDGE_DROPPED;
	t.reason = SHUNT_REASON_FRAGMENT;
	flow_packet(&in, &tcp4, &(struct shape){ .frag = IP4_MF, .payload = 40 });
	traced(*state, XDP_DROP, &t);
	t.reason = SHUNT_REASON_MALFORMED;
	flow_packet(&in, &tcp6, NULL);
	in.len--;
	traced(*state, XDP_DROP, &t);
}

static void a_service_without_backends_is_traced_as_far_as_it_goes(void **state)
{
	struct fixture *f = *state;
	struct shunt_trace t = all_reached(f, &tcp4);

	for (uint32_t i = 0; i < 64; i++)
		slot_set(f, 64 * WORLD_TCP + i, SHUNT_NONE, SHUNT_NONE);
	t.verdict = SHUNT_VERDICT_EDGE_DROPPED;
	t.reason = SHUNT_REASON_NO_BACKEND;
	t.member = t.backend = SHUNT_UNSET;
	flow_packet(&in, &tcp4, NULL);
	traced(f, XDP_DROP, &t);
}

static void a_missing_next_hop_is_traced_with_the_backend(void **state)
{
	struct fixture *f = *state;
	struct shunt_backend b = backend_at(BACKEND4);
	struct shunt_trace t = all_reached(f, &tcp4);

	b.flags &= ~SHUNT_BACKEND_NEXTHOP;
	backend_set(f, WORLD_BACKEND, &b);
	t.verdict = SHUNT_VERDICT_EDGE_DROPPED;
	t.reason = SHUNT_REASON_NO_NEXTHOP;
	flow_packet(&in, &tcp4, NULL);
	traced(f, XDP_DROP, &t);
}

static void failing_over_is_flagged(void **state)
{
	struct fixture *f = *state;
	struct shunt_backend up = backend_at("10.0.0.12"), down = backend_at(BACKEND4);
	struct shunt_trace t = all_reached(f, &udp6);

	down.flags &= ~SHUNT_BACKEND_UP;
	backend_set(f, WORLD_BACKEND, &down);
	backend_set(f, 5, &up);
	member_set(f, WORLD_UDP_MEMBER + 1, 5);
	for (uint32_t i = 0; i < 64; i++)
		slot_set(f, 64 * WORLD_UDP + i, 0, 1);
	t.verdict = SHUNT_VERDICT_EDGE_FORWARDED;
	t.member = WORLD_UDP_MEMBER + 1;
	t.backend = 5;
	t.flags = SHUNT_TRACE_FAILED_OVER;
	flow_packet(&in, &udp6, NULL);
	traced(f, XDP_REDIRECT, &t);
}

static void an_icmp_error_is_flagged_and_traced_like_its_flow(void **state)
{
	struct flow answer = flow_reversed(&tcp4);
	struct shunt_trace t = all_reached(*state, &tcp4);

	flow_packet(&inner, &answer, &(struct shape){ .bare = true, .payload = 100 });
	ether(&in);
	ip4(&in, (struct ip4){ .src = "192.0.2.254", .dst = VIP4 });
	icmp4(&in, 3, 4, 1400);
	bytes(&in, inner.b, inner.len);
	packet_finish(&in);
	t.verdict = SHUNT_VERDICT_EDGE_FORWARDED;
	t.flags = SHUNT_TRACE_ICMP_ERROR;
	traced(*state, XDP_REDIRECT, &t);
}

static void an_echo_request_is_traced_as_answered(void **state)
{
	struct shunt_trace t = nothing_reached;

	t.verdict = SHUNT_VERDICT_EDGE_ANSWERED;
	ether(&in);
	ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4 });
	icmp4(&in, 8, 0, 1);
	packet_finish(&in);
	traced(*state, XDP_TX, &t);
	want_echo(&want, &in);
	check_same_as_want(*state);
}

static void an_answer_to_a_question_takes_no_token(void **state)
{
	struct shunt_settings s = fixture_settings();
	struct shunt_trace t;

	s.icmp_rate = 1;
	world_reopen(state, &s);
	t = all_reached(*state, &tcp6);
	t.verdict = SHUNT_VERDICT_EDGE_ANSWERED;
	t.flags = SHUNT_TRACE_ICMP_ERROR;
	flow_packet(&in, &tcp6, &(struct shape){ .payload = 1450 });
	want_icmp_error(&want, &in, 2, 0, 1480);
	for (int i = 0; i < 10; i++) { /* more than the rate, and none is refused */
		traced(*state, XDP_TX, &t);
		check_same_as_want(*state);
	}
	expect_answered(*state, &in, &want); /* the one token is still there */
	expect_dropped(*state, &in, SHUNT_REASON_TOO_BIG);
	traced(*state, XDP_TX, &t);
}

static void a_rate_of_0_answers_questions_all_the_same(void **state)
{
	struct shunt_settings s = fixture_settings();
	struct shunt_trace t;

	s.icmp_rate = 0;
	world_reopen(state, &s);
	t = all_reached(*state, &udp4);
	t.verdict = SHUNT_VERDICT_EDGE_ANSWERED;
	t.flags = SHUNT_TRACE_ICMP_ERROR;
	flow_packet(&in, &udp4, &(struct shape){ .ttl = 1, .payload = 10 });
	traced(*state, XDP_TX, &t);
}

static void metadata_without_the_magic_number_is_no_question(void **state)
{
	struct fixture *f = *state;

	for (size_t len = 4; len <= 32; len += 4) {
		in_case("%zu bytes of metadata", len);
		f->meta_len = len;
		memset(f->meta, 0xa5, len);
		flow_packet(&in, &tcp4, NULL);
		expect_to_world(f, &in, &tcp4);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(f->out.meta[i], 0xa5);
	}
}

/* Less than a trace, even with the magic number, holds no answer. */
static void metadata_shorter_than_a_trace_is_no_question(void **state)
{
	struct fixture *f = *state;

	for (size_t len = 4; len < 32; len += 4) {
		in_case("%zu bytes of metadata", len);
		ask(f);
		f->meta_len = len;
		flow_packet(&in, &udp4, NULL);
		expect_to_world(f, &in, &udp4);
		assert_memory_equal(f->out.meta, f->meta, len);
	}
}

/* ---- the backend program ---- */

static void the_backend_program_traces_too(void **state)
{
	struct fixture *f = *state;
	struct tunnel tunnel = { .tos = 0 };
	struct shunt_trace t = nothing_reached;

	f->program = BACKEND;
	flow_packet(&inner, &tcp4, &(struct shape){ .bare = true, .payload = 20 });
	tunnel_packet(&in, &tunnel, &inner);
	t.verdict = SHUNT_VERDICT_BACKEND_DELIVERED;
	t.service = WORLD_TCP;
	traced(f, XDP_PASS, &t);
	want_delivered(&want, &tunnel, &inner);
	check_same_as_want(f);

	tunnel.src = "192.0.2.66";
	tunnel_packet(&in, &tunnel, &inner);
	t.verdict = SHUNT_VERDICT_BACKEND_DROPPED;
	t.reason = SHUNT_REASON_TUNNEL_SOURCE;
	traced(f, XDP_DROP, &t);

	t = nothing_reached;
	t.verdict = SHUNT_VERDICT_BACKEND_PASSED;
	flow_packet(&in, &tcp4, NULL);
	traced(f, XDP_PASS, &t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_forwarded_packet_is_traced_to_its_backend),
		world_test(a_passed_packet_is_traced_as_passed),
		world_test(dropped_packets_are_traced_with_their_reason),
		world_test(a_service_without_backends_is_traced_as_far_as_it_goes),
		world_test(a_missing_next_hop_is_traced_with_the_backend),
		world_test(failing_over_is_flagged),
		world_test(an_icmp_error_is_flagged_and_traced_like_its_flow),
		world_test(an_echo_request_is_traced_as_answered),
		world_test(an_answer_to_a_question_takes_no_token),
		world_test(a_rate_of_0_answers_questions_all_the_same),
		world_test(metadata_without_the_magic_number_is_no_question),
		world_test(metadata_shorter_than_a_trace_is_no_question),
		world_test(the_backend_program_traces_too),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
