/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A hundred thousand flows: each goes to the slot that the hash in abi.h predicts, as its tunnel's destination shows,
 * and they spread evenly, whichever part of the flow it is that varies.
 */
#include "expect.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define SLOTS 1024
#define FLOWS 100000
#define SERVICE 1
#define FIRST_SLOT 2048 /* neither the first of the map nor of its own size */
#define FIRST_MEMBER 100
#define FIRST_BACKEND 50

static struct packet in;

/* Each slot has a member and a backend of its own, 10.1.x.y: the tunnel's destination tells the slot. */
static void slot_world(struct fixture *f)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		struct shunt_backend b = backend_at("10.1.0.0");

		put16((uint8_t *)&b.address + 14, i);
		backend_set(f, FIRST_BACKEND + i, &b);
		member_set(f, FIRST_MEMBER + i, FIRST_BACKEND + i);
		slot_set(f, FIRST_SLOT + i, i, SHUNT_NONE);
	}
	service_set(f, SERVICE, FIRST_SLOT, 10, FIRST_MEMBER);
	listen_add(f, VIP4, 80, IPPROTO_TCP, SERVICE);
	listen_add(f, VIP6, 80, IPPROTO_TCP, SERVICE);
	listen_add(f, VIP4, 53, IPPROTO_UDP, SERVICE);
	listen_add(f, VIP6, 53, IPPROTO_UDP, SERVICE);
}

static int balance_setup(void **state)
{
	static const struct loaded_sizes sizes = { .members = 2048, .backends = 2048, .services = 16, .slots = 4096 };
	struct shunt_settings s = fixture_settings();

	*state = fixture_open(&s, &sizes);
	slot_world(*state);
	return 0;
}

/* ---- flows ---- */

static uint64_t mixed(uint64_t x) /* splitmix64: random, but not by the hash under test */
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* The i-th flow of a population: writes the client's address and port into `in`. */
typedef void (*population)(uint8_t *client, size_t len, uint8_t *port, uint32_t i);

static void random_clients(uint8_t *client, size_t len, uint8_t *port, uint32_t i)
{
	put32(client + len - 4, mixed(i));
	put16(port, 1024 + mixed(i + FLOWS) % 64000);
}

static void clients_in_sequence(uint8_t *client, size_t len, uint8_t *port, uint32_t i)
{
	put32(client + len - 4, 0x0a000000 + i);
	put16(port, 40000);
}

/* As a NAT in front of us: one address, ports in sequence; the address changes when they are used up. */
static void ports_in_sequence(uint8_t *client, size_t len, uint8_t *port, uint32_t i)
{
	put32(client + len - 4, 0xc6336400 + i / 60000);
	put16(port, 1024 + i % 60000);
}

/* Networks whose hosts all have the same last byte, and ports that Linux gives: even ones. */
static void clients_far_apart(uint8_t *client, size_t len, uint8_t *port, uint32_t i)
{
	put32(client + len - 4, (i / 4) << 8 | 1);
	put16(port, 32768 + 2 * (i % 4));
}

/* The prefix differs and the rest is the same, as in SLAAC with one interface identifier. */
static void clients_by_prefix(uint8_t *client, size_t len, uint8_t *port, uint32_t i)
{
	put32(client + (len == 16 ? 4 : 0), 0x20000000 + i);
	put16(port, 40000);
}

/* ---- checks ---- */

/* Chi-square of counts that should be equal has n-1 degrees of freedom: mean n-1, variance 2(n-1). */
static void check_even(const char *what, const uint32_t *counts, size_t n, uint32_t total)
{
	double expected = (double)total / n, chi2 = 0, bound = n - 1 + 5 * sqrt(2.0 * (n - 1));

	for (size_t i = 0; i < n; i++)
		chi2 += (counts[i] - expected) * (counts[i] - expected) / expected;
	if (chi2 > bound)
		fail_msg("%s: chi-square %.0f over %zu, bound %.0f", what, chi2, n, bound);
}

/* What abi.h says of the flow in the packet. */
static uint64_t predicted(const struct fixture *f, const struct flow *flow, const uint8_t *client, const uint8_t *port)
{
	struct shunt_addr from = addr_of("0.0.0.0"), to = addr_of(flow->service);
	size_t len = strchr(flow->service, ':') ? 16 : 4;
	uint16_t cport;

	memcpy((uint8_t *)&from + 16 - len, client, len);
	memcpy(&cport, port, 2);
	return shunt_flow_hash(f->settings.seed, listener_hash(&to, flow->sport, flow->proto), &from, cport);
}

static void check_population(struct fixture *f, const struct flow *flow, population population, const char *what)
{
	size_t len = strchr(flow->service, ':') ? 16 : 4;
	uint8_t *client = in.b + 14 + (len == 16 ? 8 : 12), *port = in.b + 14 + (len == 16 ? 40 : 20);
	static uint32_t slots[SLOTS], sources[256];

	memset(slots, 0, sizeof(slots));
	memset(sources, 0, sizeof(sources));
	flow_packet(&in, flow, NULL);
	for (uint32_t i = 0; i < FLOWS; i++) {
		uint32_t slot;

		population(client, len, port, i);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
		slot = get16(f->out.b + 14 + 18);
		if (f->out.action != XDP_REDIRECT || slot != (predicted(f, flow, client, port) & (SLOTS - 1)))
			fail_msg("%s: flow %u went to slot %u, not where the hash says", what, i, slot);
		slots[slot]++;
		sources[f->out.b[14 + 15]]++; /* last byte of the outer source: what a network card spreads by */
	}
	check_even(what, slots, SLOTS, FLOWS);
	check_even(what, sources, 256, FLOWS);
}

static void random_flows_go_where_the_hash_says_and_spread(void **state)
{
	for (int i = 0; i < 4; i++)
		check_population(*state, world_flows[i], random_clients, "random clients");
}

static void clients_in_sequence_spread(void **state)
{
	check_population(*state, &tcp4, clients_in_sequence, "clients in sequence");
	check_population(*state, &udp6, clients_in_sequence, "clients in sequence, IPv6");
}

static void ports_in_sequence_spread(void **state)
{
	check_population(*state, &tcp4, ports_in_sequence, "ports in sequence");
	check_population(*state, &tcp6, ports_in_sequence, "ports in sequence, IPv6");
}

static void clients_that_differ_in_few_bits_spread(void **state)
{
	check_population(*state, &udp4, clients_far_apart, "clients far apart");
	check_population(*state, &tcp6, clients_by_prefix, "clients by prefix");
}

/* The other way round: one client, and the service's address and port vary. */
static void services_of_one_client_spread(void **state)
{
	static uint32_t slots[SLOTS];
	const struct fixture *f = *state;
	struct shunt_addr client = addr_of(CLIENT4);

	memset(slots, 0, sizeof(slots));
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct shunt_addr vip = addr_of(VIP4);

		vip.words[3] = htonl(0xcb007100 + i / 100);
		slots[shunt_flow_hash(f->settings.seed, listener_hash(&vip, 1 + i % 100, 6), &client, htons(40000)) %
		      SLOTS]++;
	}
	check_even("services of one client", slots, SLOTS, FLOWS);
}

/* What goes to one backend must still spread over its queues: the halves of the hash are independent. */
static void the_outer_source_spreads_the_flows_of_one_slot(void **state)
{
	struct fixture *f = *state;
	static uint32_t sources[256];
	uint32_t n = 0;

	memset(sources, 0, sizeof(sources));
	flow_packet(&in, &tcp4, NULL);
	service_set(f, SERVICE, FIRST_SLOT, 3, FIRST_MEMBER); /* 8 slots, of which one is looked at */
	for (uint32_t i = 0; i < FLOWS; i++) {
		random_clients(in.b + 26, 4, in.b + 34, i);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
		if (get16(f->out.b + 14 + 18) != 5)
			continue;
		sources[f->out.b[14 + 15]]++;
		n++;
	}
	assert_in_range(n, FLOWS / 8 * 9 / 10, FLOWS / 8 * 11 / 10);
	check_even("outer sources in one slot", sources, 256, n);
}

static void another_seed_spreads_the_same_flows_otherwise(void **state)
{
	static const struct loaded_sizes sizes = { .members = 2048, .backends = 2048, .services = 16, .slots = 4096 };
	struct shunt_settings s = fixture_settings();
	uint32_t same = 0;
	static uint16_t before[1000];

	for (int round = 0; round < 2; round++) {
		struct fixture *f = *state;

		flow_packet(&in, &tcp4, NULL);
		for (uint32_t i = 0; i < 1000; i++) {
			random_clients(in.b + 26, 4, in.b + 34, i);
			assert_int_equal(run_bytes(f, in.b, in.len), 0);
			same += round && before[i] == get16(f->out.b + 14 + 18);
			before[i] = get16(f->out.b + 14 + 18);
		}
		if (round)
			break;
		fixture_close(f);
		s.seed++;
		*state = fixture_open(&s, &sizes);
		slot_world(*state);
	}
	assert_in_range(same, 0, 20); /* by chance, one in 1024 */
}

#define balance_test(name) cmocka_unit_test_setup_teardown(name, balance_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		balance_test(random_flows_go_where_the_hash_says_and_spread),
		balance_test(clients_in_sequence_spread),
		balance_test(ports_in_sequence_spread),
		balance_test(clients_that_differ_in_few_bits_spread),
		balance_test(services_of_one_client_spread),
		balance_test(the_outer_source_spreads_the_flows_of_one_slot),
		balance_test(another_seed_spreads_the_same_flows_otherwise),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
