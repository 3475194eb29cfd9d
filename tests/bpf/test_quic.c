/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet with a connection ID that a backend issued goes to that backend, whoever sent it; any other goes by its
 * flow's hash, here always to HASHED.
 */
#include "expect.h"

#include <string.h>

#include <bpf/bpf.h>

#include "edge.skel.h"

#define N 4 /* members of the UDP service: backends 20.. */
#define HASHED 0
#define CONFIG 2
#define LENGTH 3 /* of server IDs */
#define FIRST (CONFIG << 5 | 0x0b) /* first octet of a connection ID */
#define LONG 0xc3
#define SHORT 0x41
#define DOWN (SHUNT_BACKEND_USED | SHUNT_BACKEND_NEXTHOP)

static struct packet in;
static const char *const ids[N] = { "aaa", "abc", "bcd", "b\xff\x01" };

static void slots(struct fixture *f, uint64_t word)
{
	for (uint32_t i = 0; i < 64; i++)
		slot_set_word(f, 64 * WORLD_UDP + i, word);
}

static struct fixture *with_features(void **state, uint32_t features)
{
	struct shunt_settings s = fixture_settings();
	struct fixture *f;

	s.features |= features;
	world_reopen(state, &s);
	f = *state;
	numbered_backends_set(f, 20, N);
	for (uint32_t i = 0; i < N; i++) {
		member_set(f, WORLD_UDP_MEMBER + i, 20 + i);
		quic_server_set(f, WORLD_UDP, ids[i], i);
	}
	slots(f, shunt_slot(HASHED, HASHED, SHUNT_NONE, SHUNT_NONE));
	service_flags_set(f, WORLD_UDP, shunt_service_quic(CONFIG, LENGTH));
	return f;
}

static struct fixture *with_quic(void **state)
{
	return with_features(state, SHUNT_FEATURE_QUIC);
}

/* ---- packets ---- */

static void datagram(const struct flow *flow, const uint8_t *data, size_t len)
{
	ether(&in);
	if (strchr(flow->service, ':'))
		ip6(&in, (struct ip6){ .src = flow->client, .dst = flow->service });
	else
		ip4(&in, (struct ip4){ .src = flow->client, .dst = flow->service });
	udp(&in, flow->cport, flow->sport);
	bytes(&in, data, len);
	packet_finish(&in);
}

/* A connection ID of cid bytes: the first octet, the server's ID and a nonce. */
static void put_cid(uint8_t *at, size_t cid, uint8_t first, const char *id)
{
	memset(at, 0x77, cid);
	at[0] = first;
	memcpy(at + 1, id, strlen(id) < cid ? strlen(id) : cid - 1);
}

static void short_packet(const struct flow *flow, uint8_t first, const char *id)
{
	uint8_t data[64] = { SHORT };

	put_cid(data + 1, 10, first, id);
	datagram(flow, data, sizeof(data));
}

static void long_packet(const struct flow *flow, uint8_t cid, uint8_t first, const char *id)
{
	uint8_t data[256] = { LONG, 0, 0, 0, 1, cid };

	put_cid(data + 6, cid, first, id);
	datagram(flow, data, sizeof(data));
}

#define expect_member(f, flow, number) expect_balanced(f, &in, flow, 20 + (number), WORLD_UDP_MEMBER + (number))

static const struct flow *const udp_flows[] = { &udp4, &udp6 };

/* ---- by the ID ---- */

static void a_short_header_goes_to_the_backend_that_issued_its_id(void **state)
{
	struct fixture *f = with_quic(state);

	for (int i = 0; i < 2; i++)
		for (uint32_t m = 0; m < N; m++) {
			in_case("flow %d, member %u", i, m);
			short_packet(udp_flows[i], FIRST, ids[m]);
			expect_member(f, udp_flows[i], m);
		}
}

static void a_long_header_goes_to_the_backend_that_issued_its_id(void **state)
{
	struct fixture *f = with_quic(state);

	for (int i = 0; i < 2; i++)
		for (uint32_t m = 0; m < N; m++)
			for (uint8_t cid = 1 + LENGTH; cid <= 20; cid++) {
				in_case("flow %d, member %u, an ID of %u bytes", i, m, cid);
				long_packet(udp_flows[i], cid, FIRST, ids[m]);
				expect_member(f, udp_flows[i], m);
			}
}

static void whatever_the_clients_address_and_port(void **state)
{
	struct fixture *f = with_quic(state);

	for (int i = 1; i < 60; i++) {
		struct flow flow = i % 2 ? udp4 : udp6;
		char client[40];

		snprintf(client, sizeof(client), i % 2 ? "198.51.100.%d" : "2001:db8:c::%d", i);
		flow.client = client;
		flow.cport = 1000 * i;
		in_case("client %s", client);
		short_packet(&flow, FIRST, ids[2]);
		expect_member(f, &flow, 2);
		long_packet(&flow, 8, FIRST, ids[3]);
		expect_member(f, &flow, 3);
	}
}

static void the_low_bits_of_the_first_octet_are_the_servers_own(void **state)
{
	struct fixture *f = with_quic(state);

	for (unsigned low = 0; low < 32; low++) {
		in_case("low bits %#x", low);
		short_packet(&udp4, CONFIG << 5 | low, ids[1]);
		expect_member(f, &udp4, 1);
	}
}

static void server_ids_have_1_to_8_bytes(void **state)
{
	static const char *const other[] = { "q", "qr", "qrs", "qrst", "qrstu", "qrstuv", "qrstuvw", "qrstuvwx" };
	struct fixture *f = with_quic(state);

	for (uint32_t n = 1; n <= SHUNT_SERVER_ID_MAX; n++) {
		for (uint32_t config = 0; config <= 6; config++) {
			service_flags_set(f, WORLD_UDP, shunt_service_quic(config, n));
			quic_server_set(f, WORLD_UDP, other[n - 1], 1 + n % 3);
			in_case("%u bytes, config %u", n, config);
			short_packet(&udp4, config << 5, other[n - 1]);
			expect_member(f, &udp4, 1 + n % 3);
			long_packet(&udp6, 9, config << 5 | 31, other[n - 1]);
			expect_member(f, &udp6, 1 + n % 3);
		}
	}
}

static void a_packet_by_its_id_neither_asks_nor_fills_the_flow_cache(void **state)
{
	struct fixture *f = with_quic(state);
	struct shunt_flow_bucket b;

	slots(f, shunt_slot(HASHED, 3, SHUNT_NONE, SHUNT_NONE));
	short_packet(&udp4, FIRST, ids[2]);
	expect_member(f, &udp4, 2);
	for (uint32_t i = 0; i < 1u << LOADED_LOG2_BUCKETS; i++) {
		uint32_t key = (WORLD_UDP << LOADED_LOG2_BUCKETS) + i;

		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(f->edge->maps.flows), &key, &b), 0);
		for (int way = 0; way < SHUNT_FLOW_WAYS; way++)
			assert_int_equal(b.ways[way], 0);
	}
	short_packet(&udp4, FIRST, "zzz"); /* by its flow: noted with the anchor */
	expect_member(f, &udp4, 3);
	short_packet(&udp4, FIRST, ids[2]);
	expect_member(f, &udp4, 2);
}

/* Draining is a matter of slots alone: no flow begins there, and a connection ID that it issued leads to it. */
static void a_draining_backend_still_takes_its_own(void **state)
{
	struct fixture *f = with_quic(state);

	slots(f, shunt_slot(1, 1, SHUNT_NONE, 2));
	short_packet(&udp4, FIRST, ids[3]);
	expect_member(f, &udp4, 3);
}

/* ---- by the flow's hash ---- */

static void other_codepoints_go_by_the_hash(void **state)
{
	struct fixture *f = with_quic(state);

	for (unsigned config = 0; config < 8; config++) {
		if (config == CONFIG)
			continue;
		in_case("codepoint %u", config);
		short_packet(&udp4, config << 5 | 0x0b, ids[1]);
		expect_member(f, &udp4, HASHED);
		long_packet(&udp6, 8, config << 5 | 0x0b, ids[1]);
		expect_member(f, &udp6, HASHED);
	}
}

static void unknown_servers_go_by_the_hash(void **state)
{
	struct fixture *f = with_quic(state);
	static const char *const strangers[] = { "zzz", "abd", "abb", "ab\x01", "bbc" };

	for (size_t i = 0; i < sizeof(strangers) / sizeof(*strangers); i++) {
		in_case("server %s", strangers[i]);
		short_packet(&udp4, FIRST, strangers[i]);
		expect_member(f, &udp4, HASHED);
		long_packet(&udp6, 20, FIRST, strangers[i]);
		expect_member(f, &udp6, HASHED);
	}
}

static void servers_of_another_service_are_strangers(void **state)
{
	struct fixture *f = with_quic(state);

	quic_server_set(f, WORLD_TCP, "xyz", 1);
	short_packet(&udp4, FIRST, "xyz");
	expect_member(f, &udp4, HASHED);
}

static void a_long_headers_id_that_is_too_short_goes_by_the_hash(void **state)
{
	struct fixture *f = with_quic(state);

	for (uint8_t cid = 1; cid < 1 + LENGTH; cid++) {
		in_case("an ID of %u bytes", cid);
		long_packet(&udp4, cid, FIRST, "");
		in.b[14 + 20 + 8 + 6] = FIRST; /* what follows could be taken for the rest */
		memcpy(&in.b[14 + 20 + 8 + 7], ids[1], LENGTH);
		expect_member(f, &udp4, HASHED);
	}
	long_packet(&udp4, 1, FIRST, "");
	in.b[14 + 20 + 8 + 5] = 0;
	expect_member(f, &udp4, HASHED);
}

/* Real QUIC packets are longer; whatever is cut short is no reason to drop. */
static void packets_that_are_cut_short_go_by_the_hash(void **state)
{
	struct fixture *f = with_quic(state);

	for (int i = 0; i < 2; i++) {
		for (size_t len = 0; len < 1 + 1 + SHUNT_SERVER_ID_MAX; len++) {
			uint8_t data[16] = { SHORT, FIRST, 'a', 'b', 'c' };

			in_case("flow %d, short header, %zu bytes", i, len);
			datagram(udp_flows[i], data, len);
			expect_member(f, udp_flows[i], HASHED);
		}
		for (size_t len = 0; len < 6 + 1 + SHUNT_SERVER_ID_MAX; len++) {
			uint8_t data[16] = { LONG, 0, 0, 0, 1, 8, FIRST, 'a', 'b', 'c' };

			in_case("flow %d, long header, %zu bytes", i, len);
			datagram(udp_flows[i], data, len);
			expect_member(f, udp_flows[i], HASHED);
		}
	}
}

/* What is behind the IP packet in its frame is none of it. */
static void padding_is_no_connection_id(void **state)
{
	struct fixture *f = with_quic(state);
	const uint8_t data[] = { SHORT };
	uint8_t behind[16] = { FIRST, 'a', 'b', 'c' };
	size_t len;

	datagram(&udp4, data, sizeof(data));
	len = in.len;
	packet_pad(&in, sizeof(behind));
	memcpy(in.b + len, behind, sizeof(behind));
	expect_member(f, &udp4, HASHED);
}

static void flags_set(struct fixture *f, uint32_t backend, uint32_t flags)
{
	struct shunt_backend b = f->backends[backend];

	b.flags = flags;
	backend_set(f, backend, &b);
}

static void a_backend_that_cannot_take_it_leaves_it_to_the_hash(void **state)
{
	struct fixture *f = with_quic(state);

	short_packet(&udp4, FIRST, ids[1]);
	flags_set(f, 21, DOWN);
	expect_member(f, &udp4, HASHED);
	flags_set(f, 21, SHUNT_BACKEND_USED | SHUNT_BACKEND_UP); /* no next hop */
	expect_member(f, &udp4, HASHED);
	flags_set(f, 21, SHUNT_BACKEND_USED | SHUNT_BACKEND_UP | SHUNT_BACKEND_NEXTHOP);
	expect_member(f, &udp4, 1);
	member_set(f, WORLD_UDP_MEMBER + 1, 21 | SHUNT_MEMBER_SHUT); /* disabled */
	expect_member(f, &udp4, HASHED);
	slots(f, shunt_slot(SHUNT_NONE, SHUNT_NONE, SHUNT_NONE, SHUNT_NONE));
	expect_dropped(f, &in, SHUNT_REASON_NO_BACKEND);
}

static void a_number_beyond_the_members_leaves_it_to_the_hash(void **state)
{
	struct fixture *f = with_quic(state);

	quic_server_set(f, WORLD_UDP, "xyz", 0xfffffff0);
	short_packet(&udp4, FIRST, "xyz");
	expect_member(f, &udp4, HASHED);
}

/* ---- who does not ask for it ---- */

static void without_the_service_asking_for_it_ids_are_not_looked_at(void **state)
{
	struct fixture *f = with_quic(state);

	service_flags_set(f, WORLD_UDP, 0);
	short_packet(&udp4, FIRST, ids[1]);
	expect_member(f, &udp4, HASHED);
}

static void without_the_feature_ids_are_not_looked_at(void **state)
{
	struct fixture *f = with_features(state, 0);

	short_packet(&udp4, FIRST, ids[1]);
	expect_member(f, &udp4, HASHED);
}

static void with_affinity_what_has_no_id_goes_by_its_client(void **state)
{
	struct fixture *f = with_features(state, SHUNT_FEATURE_QUIC | SHUNT_FEATURE_AFFINITY);
	struct shunt_addr client = addr_of(CLIENT4);
	uint32_t slot = shunt_client_hash(f->settings.seed, 0, &client) & 63;

	service_flags_set(f, WORLD_UDP, SHUNT_SERVICE_CLIENT | shunt_service_quic(CONFIG, LENGTH));
	slot_set(f, 64 * WORLD_UDP + slot, 3, SHUNT_NONE);
	for (int port = 1000; port < 1020; port++) {
		struct flow flow = udp4;

		flow.cport = port;
		in_case("port %d", port);
		short_packet(&flow, FIRST, "zzz");
		expect_member(f, &flow, 3);
		short_packet(&flow, FIRST, ids[2]);
		expect_member(f, &flow, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_short_header_goes_to_the_backend_that_issued_its_id),
		world_test(a_long_header_goes_to_the_backend_that_issued_its_id),
		world_test(whatever_the_clients_address_and_port),
		world_test(the_low_bits_of_the_first_octet_are_the_servers_own),
		world_test(server_ids_have_1_to_8_bytes),
		world_test(a_packet_by_its_id_neither_asks_nor_fills_the_flow_cache),
		world_test(a_draining_backend_still_takes_its_own),
		world_test(other_codepoints_go_by_the_hash),
		world_test(unknown_servers_go_by_the_hash),
		world_test(servers_of_another_service_are_strangers),
		world_test(a_long_headers_id_that_is_too_short_goes_by_the_hash),
		world_test(packets_that_are_cut_short_go_by_the_hash),
		world_test(padding_is_no_connection_id),
		world_test(a_backend_that_cannot_take_it_leaves_it_to_the_hash),
		world_test(a_number_beyond_the_members_leaves_it_to_the_hash),
		world_test(without_the_service_asking_for_it_ids_are_not_looked_at),
		world_test(without_the_feature_ids_are_not_looked_at),
		world_test(with_affinity_what_has_no_id_goes_by_its_client),
	};

	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
