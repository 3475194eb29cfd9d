/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which backend the edge program chooses: the slot of the flow's hash, and the runner-up while current is not up. */
#include "expect.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

static struct packet in, want;

/* Members 0..n-1 of the TCP service are backends 20..20+n-1 at 10.0.1.0.. */
static void many_backends(struct fixture *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct shunt_backend b = backend_at("10.0.1.0");

		((uint8_t *)&b.address)[15] = i;
		b.dmac[4] = i;
		b.vlan = htons(i);
		backend_set(f, 20 + i, &b);
		member_set(f, WORLD_TCP_MEMBER + i, 20 + i);
	}
}

static void flags_set(struct fixture *f, uint32_t backend, uint32_t flags)
{
	struct shunt_backend b = f->backends[backend];

	b.flags = flags;
	backend_set(f, backend, &b);
}

#define DOWN (SHUNT_BACKEND_USED | SHUNT_BACKEND_NEXTHOP)

static void the_slot_is_the_hash_masked(void **state)
{
	struct fixture *f = *state;

	many_backends(f, 16);
	for (uint32_t log2 = 0; log2 <= 6; log2++) {
		uint32_t slots = 1 << log2;

		service_set(f, WORLD_TCP, 64 * WORLD_TCP, log2, WORLD_TCP_MEMBER);
		for (uint32_t i = 0; i < 64; i++) /* a slot beyond the mask would have no backend */
			slot_set(f, 64 * WORLD_TCP + i, i < slots ? i * 7 % 16 : SHUNT_NONE, SHUNT_NONE);
		for (int port = 2000; port < 2040; port++) {
			struct flow flow = port % 2 ? tcp4 : tcp6;
			uint32_t member;

			flow.cport = port;
			member = (flow_hash(f->settings.seed, &flow) & (slots - 1)) * 7 % 16;
			in_case("port %d in %u slots", port, slots);
			flow_packet(&in, &flow, NULL);
			expect_balanced(f, &in, &flow, 20 + member, WORLD_TCP_MEMBER + member);
		}
	}
}

static void services_have_their_own_slots_and_members(void **state)
{
	struct fixture *f = *state;

	many_backends(f, 4);
	service_set(f, 7, 1024, 9, WORLD_TCP_MEMBER + 2); /* its member 1 is the third of the others' */
	for (uint32_t i = 0; i < 512; i++)
		slot_set(f, 1024 + i, 1, SHUNT_NONE);
	listen_add(f, VIP4, 8443, IPPROTO_TCP, 7);
	for (int port = 3000; port < 3020; port++) {
		struct flow flow = tcp4;

		in_case("port %d", port);
		flow.cport = port;
		flow.sport = 8443;
		flow_packet(&in, &flow, NULL);
		expect_balanced(f, &in, &flow, 23, WORLD_TCP_MEMBER + 3);
	}
}

static void another_seed_chooses_otherwise(void **state)
{
	struct shunt_settings s = fixture_settings();

	s.seed = 0xfeedfacecafebeefull;
	world_reopen(state, &s);
	the_slot_is_the_hash_masked(state);
}

/* All of a packet's kinds go where the flow goes: the hash knows of addresses, ports and protocol alone. */
static void every_packet_of_a_flow_goes_to_the_same_backend(void **state)
{
	struct fixture *f = *state;
	uint32_t member = flow_hash(f->settings.seed, &tcp4) % 8;

	many_backends(f, 8);
	for (uint32_t i = 0; i < 64; i++)
		slot_set(f, 64 * WORLD_TCP + i, i % 8, SHUNT_NONE);
	for (unsigned flags = 0; flags < 256; flags++) {
		in_case("TCP flags %#x", flags);
		ether(&in);
		ip4(&in, (struct ip4){ .src = CLIENT4, .dst = VIP4, .id = flags, .tos = flags, .ttl = 2 + flags / 2 });
		tcp(&in, tcp4.cport, tcp4.sport, flags);
		payload(&in, flags);
		packet_finish(&in);
		expect_balanced(f, &in, &tcp4, 20 + member, WORLD_TCP_MEMBER + member);
	}
}

static void all_slots(struct fixture *f, uint16_t current, uint16_t runner_up)
{
	for (uint32_t i = 0; i < 64; i++)
		slot_set(f, 64 * WORLD_TCP + i, current, runner_up);
}

static void the_runner_up_takes_over_while_current_is_down(void **state)
{
	struct fixture *f = *state;

	many_backends(f, 3);
	all_slots(f, 1, 2);
	flow_packet(&in, &tcp4, NULL);
	expect_balanced(f, &in, &tcp4, 21, WORLD_TCP_MEMBER + 1);
	flags_set(f, 21, DOWN);
	expect_balanced(f, &in, &tcp4, 22, WORLD_TCP_MEMBER + 2);
	flags_set(f, 21, DOWN | SHUNT_BACKEND_UP);
	expect_balanced(f, &in, &tcp4, 21, WORLD_TCP_MEMBER + 1);
}

static void an_unused_backend_is_not_up(void **state)
{
	struct fixture *f = *state;

	many_backends(f, 3);
	all_slots(f, 1, 2);
	flags_set(f, 21, 0);
	flow_packet(&in, &tcp4, NULL);
	expect_balanced(f, &in, &tcp4, 22, WORLD_TCP_MEMBER + 2);
}

static void without_a_runner_up_that_is_up_the_packet_is_dropped(void **state)
{
	struct fixture *f = *state;

	many_backends(f, 3);
	flow_packet(&in, &tcp6, NULL);
	all_slots(f, 1, SHUNT_NONE);
	flags_set(f, 21, DOWN);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
	all_slots(f, 1, 2);
	flags_set(f, 22, DOWN);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
	all_slots(f, 1, 1);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
}

static void the_runner_up_needs_a_next_hop_too(void **state)
{
	struct fixture *f = *state;

	many_backends(f, 3);
	all_slots(f, 1, 2);
	flags_set(f, 21, DOWN);
	flags_set(f, 22, SHUNT_BACKEND_USED | SHUNT_BACKEND_UP);
	flow_packet(&in, &tcp4, NULL);
	expect_dropped(f, &in, SHUNT_REASON_NO_NEXTHOP);
}

/* A backend that is up but cannot be reached is no better than one that is down, if there is another. */
static void a_missing_next_hop_fails_over(void **state)
{
	struct fixture *f = *state;

	many_backends(f, 3);
	all_slots(f, 1, 2);
	flags_set(f, 21, SHUNT_BACKEND_USED | SHUNT_BACKEND_UP);
	flow_packet(&in, &tcp4, NULL);
	expect_balanced(f, &in, &tcp4, 22, WORLD_TCP_MEMBER + 2);
	all_slots(f, 1, SHUNT_NONE);
	expect_dropped(f, &in, SHUNT_REASON_NO_NEXTHOP);
	all_slots(f, 1, 2);
	flags_set(f, 22, DOWN);
	expect_dropped(f, &in, SHUNT_REASON_NO_NEXTHOP);
}

static void the_previous_owner_of_a_slot_is_never_chosen(void **state)
{
	struct fixture *f = *state;

	many_backends(f, 4);
	for (uint32_t i = 0; i < 64; i++)
		slot_set_word(f, 64 * WORLD_TCP + i, shunt_slot(1, 1, 3, SHUNT_NONE));
	flow_packet(&in, &tcp4, NULL);
	expect_balanced(f, &in, &tcp4, 21, WORLD_TCP_MEMBER + 1);
	flags_set(f, 21, DOWN);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
}

/* Numbers that no array has: the program must not believe them. */
static void numbers_beyond_the_maps_drop(void **state)
{
	struct fixture *f = *state;

	flow_packet(&in, &tcp4, NULL);
	all_slots(f, 0xfffe, SHUNT_NONE);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
	all_slots(f, 0, SHUNT_NONE);
	member_set(f, WORLD_TCP_MEMBER, 0xffffffff);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
	service_set(f, WORLD_TCP, 1u << 30, 6, WORLD_TCP_MEMBER);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
	listener_set(f, VIP4, 80, IPPROTO_TCP, 0xfffffffe);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
}

static void a_drained_service_is_dropped_while_others_go_on(void **state)
{
	struct fixture *f = *state;

	all_slots(f, SHUNT_NONE, SHUNT_NONE);
	flow_packet(&in, &tcp4, NULL);
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
	flow_packet(&in, &udp4, NULL);
	expect_to_world(f, &in, &udp4);
}

/* ---- the interface that a packet leaves on ---- */

static int packet_socket(int ifindex)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Waits, for two seconds at most, for a frame equal to `want`; others pass by. */
static bool received(int fd)
{
	static uint8_t frame[2048];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, 2000) <= 0)
			return false;
		n = recv(fd, frame, sizeof(frame), 0);
		if (n == (ssize_t)want.len && !memcmp(frame, want.b, want.len))
			return true;
	}
}

/* Really sends the packet, as if it had come in on IFINDEX_IN. */
static void run_live(struct fixture *f)
{
	struct xdp_md ctx = { .data_end = in.len, .ingress_ifindex = IFINDEX_IN };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in.b, .data_size_in = in.len, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = 1, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	if (bpf_prog_test_run_opts(program_fd(f, EDGE), &o))
		skip(); /* before kernel 5.18 */
}

static void a_redirected_packet_leaves_on_the_backends_interface(void **state)
{
	struct fixture *f = *state;
	int fd;

	/* a veth takes frames from XDP when its peer polls */
	assert_int_equal(system("ip link set tb-in up && ip link set tb-peer up && ip link set tb-out up && "
				"ip link set tb-far up && ethtool -K tb-far gro on && ethtool -K tb-peer gro on"), 0);
	fd = packet_socket(IFINDEX_FAR);
	flow_packet(&in, &tcp4, NULL);
	want_tunnel(&want, &in, &f->settings, &f->backends[WORLD_BACKEND], flow_hash(f->settings.seed, &tcp4),
		    NULL);
	run_live(f);
	assert_true(received(fd));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(the_slot_is_the_hash_masked),
		world_test(services_have_their_own_slots_and_members),
		world_test(another_seed_chooses_otherwise),
		world_test(every_packet_of_a_flow_goes_to_the_same_backend),
		world_test(the_runner_up_takes_over_while_current_is_down),
		world_test(an_unused_backend_is_not_up),
		world_test(without_a_runner_up_that_is_up_the_packet_is_dropped),
		world_test(the_runner_up_needs_a_next_hop_too),
		world_test(a_missing_next_hop_fails_over),
		world_test(the_previous_owner_of_a_slot_is_never_chosen),
		world_test(numbers_beyond_the_maps_drop),
		world_test(a_drained_service_is_dropped_while_others_go_on),
		world_test(a_redirected_packet_leaves_on_the_backends_interface),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
