/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A service in which all flows of a client's address go to one backend: its slots are chosen without the port. */
#include "expect.h"

#include <string.h>

#include <bpf/bpf.h>

#include "edge.skel.h"

#define SYN 0x02
#define ACK 0x10
#define N 4 /* members, of the TCP and of the UDP service: backends 20.. */

static struct packet in;

static uint64_t hash_of(const struct fixture *f, const struct flow *flow)
{
	struct shunt_addr client = addr_of(flow->client);

	return shunt_client_hash(f->settings.seed, flow_hash(f->settings.seed, flow), &client);
}

static uint32_t member_of(const struct fixture *f, const struct flow *flow)
{
	return (hash_of(f, flow) & 63) % N;
}

static struct fixture *with_affinity(void **state)
{
	struct shunt_settings s = fixture_settings();
	struct fixture *f;

	s.features |= SHUNT_FEATURE_AFFINITY;
	world_reopen(state, &s);
	f = *state;
	numbered_backends_set(f, 20, N);
	for (uint32_t i = 0; i < N; i++) {
		member_set(f, WORLD_TCP_MEMBER + i, 20 + i);
		member_set(f, WORLD_UDP_MEMBER + i, 20 + i);
	}
	for (uint32_t i = 0; i < 64; i++) {
		slot_set(f, 64 * WORLD_TCP + i, i % N, SHUNT_NONE);
		slot_set(f, 64 * WORLD_UDP + i, i % N, SHUNT_NONE);
	}
	service_flags_set(f, WORLD_TCP, SHUNT_SERVICE_CLIENT);
	service_flags_set(f, WORLD_UDP, SHUNT_SERVICE_CLIENT);
	return f;
}

#define expect_member(f, flow, number) \
	expect_balanced(f, &in, flow, 20 + (number), world_member(flow) + (number))

static void every_port_of_a_client_goes_to_one_backend(void **state)
{
	struct fixture *f = with_affinity(state);

	for (int i = 0; i < 4; i++) {
		uint32_t member = member_of(f, world_flows[i]);

		for (int port = 1; port < 65536; port += 997) {
			struct flow flow = *world_flows[i];

			flow.cport = port;
			in_case("flow %d, port %d", i, port);
			flow_packet(&in, &flow, NULL);
			expect_member(f, &flow, member);
		}
	}
}

/* ... of all that the service listens on: what stays together is with the service, not with one of its ports. */
static void every_port_of_the_service_leads_a_client_to_the_same_backend(void **state)
{
	struct fixture *f = with_affinity(state);
	uint32_t member = member_of(f, &tcp4);

	for (int port = 8001; port < 8011; port++) {
		struct flow flow = tcp4;

		flow.sport = port;
		listen_add(f, VIP4, port, IPPROTO_TCP, WORLD_TCP);
		in_case("port %d", port);
		flow_packet(&in, &flow, NULL);
		expect_member(f, &flow, member);
	}
}

static void clients_are_spread_over_the_backends(void **state)
{
	struct fixture *f = with_affinity(state);
	unsigned seen[N] = {};

	for (int i = 1; i < 250; i++) {
		struct flow flow = tcp4;
		char client[32];

		snprintf(client, sizeof(client), "198.51.100.%d", i);
		flow.client = client;
		in_case("client %s", client);
		flow_packet(&in, &flow, NULL);
		expect_member(f, &flow, member_of(f, &flow));
		seen[member_of(f, &flow)]++;
	}
	for (int i = 0; i < N; i++)
		assert_in_range(seen[i], 250 / N * 6 / 10, 250 / N * 14 / 10);
}

static void without_the_service_asking_for_it_the_port_counts(void **state)
{
	struct fixture *f = with_affinity(state);

	service_flags_set(f, WORLD_TCP, 0);
	for (int port = 1000; port < 1040; port++) {
		struct flow flow = tcp4;

		flow.cport = port;
		in_case("port %d", port);
		flow_packet(&in, &flow, NULL);
		expect_member(f, &flow, (flow_hash(f->settings.seed, &flow) & 63) % N);
	}
}

/* A router's complaint about what the service sent to the client. */
static void an_icmp_error_goes_to_the_clients_backend(void **state)
{
	struct fixture *f = with_affinity(state);

	for (int port = 1000; port < 1010; port++) {
		struct flow flow = tcp4, answer;
		struct packet embedded;

		flow.cport = port;
		answer = flow_reversed(&flow);
		flow_packet(&embedded, &answer, &(struct shape){ .bare = true });
		ether(&in);
		ip4(&in, (struct ip4){ .src = "192.0.2.254", .dst = VIP4, .proto = IPPROTO_ICMP });
		icmp4(&in, 3, 4, 1400);
		bytes(&in, embedded.b, embedded.len);
		packet_finish(&in);
		in_case("port %d", port);
		expect_member(f, &flow, member_of(f, &tcp4));
	}
}

/* ---- the flow cache ---- */

static void segment(const struct flow *flow, unsigned flags)
{
	ether(&in);
	ip4(&in, (struct ip4){ .src = flow->client, .dst = flow->service });
	tcp(&in, flow->cport, flow->sport, flags);
	packet_finish(&in);
}

static struct fixture *in_transition(void **state)
{
	struct fixture *f = with_affinity(state);

	for (uint32_t i = 0; i < 64; i++)
		slot_set_word(f, 64 * WORLD_TCP + i, shunt_slot(1, 2, SHUNT_NONE, 3));
	return f;
}

/* One client, one slot: an older flow stays with the old owner while a new one goes to the new one. */
static void flows_of_one_client_are_told_apart_while_its_slot_is_in_transition(void **state)
{
	struct fixture *f = in_transition(state);

	for (int port = 1000; port < 1100; port++) {
		struct flow flow = tcp4;

		flow.cport = port;
		in_case("port %d", port);
		segment(&flow, port % 2 ? SYN : ACK);
		expect_member(f, &flow, port % 2 ? 1 : 2);
	}
	for (int port = 1000; port < 1100; port++) {
		struct flow flow = tcp4;

		flow.cport = port;
		in_case("port %d again", port);
		segment(&flow, ACK);
		expect_member(f, &flow, port % 2 ? 1 : 2);
	}
}

static void an_entry_says_which_slot_it_is_about(void **state)
{
	struct fixture *f = in_transition(state);
	unsigned found = 0;

	segment(&tcp4, SYN);
	expect_member(f, &tcp4, 1);
	for (uint32_t i = 0; i < 1u << LOADED_LOG2_BUCKETS; i++) {
		uint32_t key = (WORLD_TCP << LOADED_LOG2_BUCKETS) + i;
		struct shunt_flow_bucket b;

		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(f->edge->maps.flows), &key, &b), 0);
		for (int way = 0; way < SHUNT_FLOW_WAYS; way++) {
			if (!b.ways[way])
				continue;
			found++;
			assert_int_equal(shunt_flow_low(shunt_flow_tag(b.ways[way]), i, LOADED_LOG2_BUCKETS),
					 hash_of(f, &tcp4) & 0xfffff);
		}
	}
	assert_int_equal(found, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(every_port_of_a_client_goes_to_one_backend),
		world_test(every_port_of_the_service_leads_a_client_to_the_same_backend),
		world_test(clients_are_spread_over_the_backends),
		world_test(without_the_service_asking_for_it_the_port_counts),
		world_test(an_icmp_error_goes_to_the_clients_backend),
		world_test(flows_of_one_client_are_told_apart_while_its_slot_is_in_transition),
		world_test(an_entry_says_which_slot_it_is_about),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
