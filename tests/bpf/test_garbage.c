/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A million packets, of which most are garbage: valid ones of every kind with some of their bytes changed, cut off,
 * made longer, or nothing but random bytes; each through both programs. Whatever they are, a packet that is not for a
 * service's address passes unchanged, and every packet is counted once.
 *
 * SEED=n in the environment begins with another seed; PACKETS=n runs another number.
 */
#include "expect.h"
#include "shapes.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEMPLATES 2048
#define VARIANTS 6 /* of each flow, with other client ports: for all kinds of slots */
#define MAX_LEN 1700

static uint64_t seed = 20240229, rng_state;
static unsigned n_packets = 1000000;

static uint64_t rng(void)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return rng_state * 0x2545f4914f6cdd1dull;
}

static unsigned below(unsigned n)
{
	return (rng() >> 32) % n;
}

/* ---- valid packets of all kinds ---- */

static struct packet *templates[MAX_TEMPLATES];
static unsigned n_templates;

static struct packet *new_template(void)
{
	assert_true(n_templates < MAX_TEMPLATES);
	return templates[n_templates++] = calloc(1, sizeof(struct packet));
}

static void templates_of_flows(const struct flow *flow)
{
	const struct named_shape *lists[] = { shapes_of(flow), shapes_tagged };
	static const struct shape others[] = {
		{ .ttl = 1, .payload = 20 },
		{ .payload = 1470 },
		{ .payload = 1400, .tos = 0xff },
		{ .frag = IP4_MF, .ext = ext_first_fragment, .payload = 40 },
		{ .frag = 185, .ext = ext_later_fragment, .payload = 40 },
	};

	for (int l = 0; l < 2; l++)
		for (const struct named_shape *s = lists[l]; s->name; s++)
			flow_packet(new_template(), flow, &s->shape);
	for (int i = 0; i < 5; i++)
		flow_packet(new_template(), flow, &others[i]);
}

static void templates_of_icmp(const struct flow *flow)
{
	static struct packet embedded;
	struct flow answer = flow_reversed(flow);

	flow_packet(&embedded, &answer, &(struct shape){ .bare = true, .payload = 100 });
	for (int echo = 0; echo < 2; echo++) {
		struct packet *p = new_template();

		ether(p);
		if (!strchr(flow->service, ':')) {
			ip4(p, (struct ip4){ .src = flow->client, .dst = flow->service });
			icmp4(p, echo ? 8 : 3, echo ? 0 : 1, 1);
		} else {
			ip6(p, (struct ip6){ .src = flow->client, .dst = flow->service });
			icmp6(p, echo ? 128 : 2, 0, 1);
		}
		bytes(p, embedded.b, embedded.len);
		packet_finish(p);
	}
}

static const struct gue nobody, some4 = { .n = 3, .hops = { NULL, "10.0.0.12", "10.0.0.13" } };
static const struct gue all4 = { .n = 6, .next = 2, .hops = { "10.0.0.12", "10.0.0.13", "10.0.0.14", "10.0.0.15",
							      "10.0.0.16", "10.0.0.17" } };
static const struct gue some6 = { .n = 2, .hops = { "2001:db8:bb::12", "2001:db8:bb::13" } };

static void templates_of_tunnels(const struct flow *flow)
{
	static const struct tunnel tunnels[] = {
		{ .tos = 0 },
		{ .outer6 = true },
		{ .tos = 3, .tpid = { 0x8100 }, .tci = { 5 } },
		{ .tos = 3, .outer6 = true, .tpid = { 0x88a8, 0x8100 }, .tci = { 5, 6 } },
		{ .src = "192.0.2.1" },
		{ .outer6 = true, .ext = ext_chain },
		{ .options = options_timestamp, .n_options = 40 },
		{ .gue = &some4 },
		{ .gue = &all4 },
		{ .outer6 = true, .gue = &some6 },
		{ .gue = &nobody, .tpid = { 0x8100 }, .tci = { 5 } },
		{ .outer6 = true, .gue = &some6, .ext = ext_chain },
		{ .src = "192.0.2.1", .gue = &some4 },
	};
	static struct packet inner;
	const struct named_shape *s = shapes_of(flow);

	for (int i = 0; i < 13; i++, s += s[1].name ? 1 : 0) {
		struct shape shape = s->shape;

		shape.bare = true;
		shape.tpid[0] = 0;
		shape.tos = i;
		flow_packet(&inner, flow, &shape);
		tunnel_packet(new_template(), &tunnels[i], &inner);
	}
}

static void templates_of(const struct flow *flow)
{
	struct flow variant = *flow;

	for (int i = 0; i < VARIANTS; i++, variant.cport++) {
		templates_of_flows(&variant);
		templates_of_icmp(&variant);
		templates_of_tunnels(&variant);
	}
}

static void make_templates(void)
{
	struct flow other4 = tcp4, other6 = udp6;

	for (int i = 0; i < 4; i++)
		templates_of(world_flows[i]);
	other4.service = OTHER4;
	other6.service = OTHER6;
	templates_of(&other4);
	templates_of(&other6);
}

static void free_templates(void)
{
	while (n_templates)
		free(templates[--n_templates]);
}

/* ---- garbage ---- */

struct garbage {
	size_t len;
	uint8_t b[MAX_LEN];
};

static void random_bytes(uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		b[i] = rng() >> 56;
}

static void mutate(struct garbage *g)
{
	/* mostly in the headers; often to a value next to the old one, or to an extreme */
	for (unsigned n = 1 + below(8); n; n--) {
		size_t reach = below(4) ? 80 : MAX_LEN;
		uint8_t *b = &g->b[12 + below((reach < g->len ? reach : g->len) - 12)];

		switch (below(4)) {
		case 0:
			*b += 1 - 2 * (int)below(2);
			break;
		case 1:
			*b = below(2) ? 0xff : 0;
			break;
		case 2:
			*b ^= 1 << below(8);
			break;
		default:
			*b = below(256);
		}
	}
}

/* Frames of 14 bytes at least: the kernel runs no test with less. */
static void make_garbage(struct garbage *g)
{
	const struct packet *t = templates[below(n_templates)];
	unsigned what = below(16);
	size_t more;

	g->len = t->len;
	memcpy(g->b, t->b, t->len);
	if (what == 0) {
		g->len = 14 + below(100);
		random_bytes(g->b + (below(2) ? 14 : 0), g->len - 14);
	}
	if (what >= 1 && what <= 12 && g->len > 12)
		mutate(g);
	if (what == 2 || what == 3 || what == 13)
		g->len = 14 + below(g->len - 13);
	if (what == 4 || what == 5 || what == 14) {
		more = below(MAX_LEN - g->len < 80 ? MAX_LEN - g->len + 1 : 80);
		random_bytes(g->b + g->len, more);
		g->len += more;
	}
}

/* ---- an opinion of its own on whom a packet is for ---- */

/* Offset of the IP header behind up to two tags, or 0; *type is its EtherType. */
static size_t find_ip(const struct garbage *g, unsigned *type)
{
	size_t at = 14;

	*type = get16(g->b + 12);
	for (int i = 0; i < 2 && (*type == 0x8100 || *type == 0x88a8); i++) {
		if (at + 4 > g->len)
			return 0;
		*type = get16(g->b + at + 2);
		at += 4;
	}
	return *type == 0x0800 || *type == 0x86dd ? at : 0;
}

/* Whether the IP header there is to a service's address. */
static bool to_service(const struct garbage *g, size_t ip, unsigned type)
{
	struct shunt_addr vip4 = addr_of(VIP4), vip6 = addr_of(VIP6);

	if (type == 0x0800)
		return ip + 20 <= g->len && !memcmp(g->b + ip + 16, &vip4.words[3], 4);
	return ip + 40 <= g->len && (!memcmp(g->b + ip + 24, &vip6, 16) || !memcmp(g->b + ip + 24, &vip4, 16));
}

/* Offset behind an outer header and its extensions, or 0; *proto is what follows. */
static size_t behind_ip(const struct garbage *g, size_t ip, unsigned type, unsigned *proto)
{
	size_t at = ip + 40;

	if (type == 0x0800) {
		*proto = ip + 20 <= g->len ? g->b[ip + 9] : 255;
		return ip + 4 * (g->b[ip] & 15);
	}
	if (at > g->len)
		return 0;
	*proto = g->b[ip + 6];
	while (*proto == 0 || *proto == 43 || *proto == 44 || *proto == 51 || *proto == 60) {
		if (at + 8 > g->len)
			return 0;
		type = *proto;
		*proto = g->b[at];
		at += type == 44 ? 8 : type == 51 ? 4 * (g->b[at + 1] + 2) : 8 * (g->b[at + 1] + 1);
	}
	return at;
}

static bool is_edges(const struct garbage *g)
{
	unsigned type;
	size_t ip = find_ip(g, &type);

	return ip && to_service(g, ip, type);
}

/* Offset behind UDP and GUE headers, or 0; *proto is what follows. */
static size_t behind_gue(const struct garbage *g, size_t at, unsigned *proto)
{
	if (at + 12 > g->len || get16(g->b + at + 2) != 6080 || g->b[at + 8] >> 5)
		return 0;
	*proto = g->b[at + 9];
	return at + 12 + 4 * g->b[at + 8];
}

static bool is_backends(const struct garbage *g)
{
	unsigned type, proto = 0;
	size_t ip = find_ip(g, &type), inner = ip ? behind_ip(g, ip, type, &proto) : 0;

	if (inner && proto == 17)
		inner = behind_gue(g, inner, &proto);
	if (!inner || (proto != 4 && proto != 41))
		return false;
	return to_service(g, inner, proto == 4 ? 0x0800 : 0x86dd);
}

/* ---- checks ---- */

static void wrong(const struct fixture *f, const struct garbage *g, unsigned number, const char *what)
{
	print_error("SEED=%llu, packet %u, %s program: %s (returned %d, %zu bytes)\n", (unsigned long long)seed, number,
		    f->program == EDGE ? "edge" : "backend", what, f->out.action, f->out.len);
	for (size_t i = 0; i < g->len; i++)
		print_error("%02x%s", g->b[i], i % 32 == 31 || i + 1 == g->len ? "\n" : "");
	fail();
}

static bool unchanged(const struct fixture *f, const struct garbage *g)
{
	return f->out.len == g->len && !memcmp(f->out.b, g->b, g->len);
}

static void check_edge(const struct fixture *f, const struct garbage *g, unsigned number)
{
	bool passed = f->out.action == XDP_PASS;

	if (passed && !unchanged(f, g))
		wrong(f, g, number, "passed, but changed");
	if (!passed && !is_edges(g))
		wrong(f, g, number, "no service's, but not passed");
	if (f->out.action == XDP_REDIRECT && f->out.len < 14 + 20 + 20 + 8)
		wrong(f, g, number, "forwarded without room for its headers");
	if (f->out.action == XDP_REDIRECT && get16(f->out.b + 12) == 0x0800 && sum16(f->out.b + 14, 20, 0) != 0xffff)
		wrong(f, g, number, "forwarded with a wrong checksum");
}

/* Of the outer IPv4 header as it came: what was wrong stays wrong by as much. */
static uint16_t sum_of_outer(const struct garbage *g)
{
	unsigned type;
	size_t ip = find_ip(g, &type);

	return sum16(g->b + ip, 4 * (g->b[ip] & 15), 0);
}

static void check_backend(const struct fixture *f, const struct garbage *g, unsigned number)
{
	bool sent_on = f->out.action == XDP_TX || f->out.action == XDP_REDIRECT;

	if (f->out.action != XDP_PASS && f->out.action != XDP_DROP && !sent_on)
		wrong(f, g, number, "neither passed nor dropped nor sent on");
	if (sent_on && (f->out.len < 14 + 20 + 8 + 8 + 4 + 20 || f->out.len > g->len + 4))
		wrong(f, g, number, "sent on with another length");
	if (sent_on && get16(f->out.b + 12) == 0x0800 &&
	    sum16(f->out.b + 14, 4 * (f->out.b[14] & 15), 0) != sum_of_outer(g))
		wrong(f, g, number, "sent on with a wrong checksum");
	if (is_backends(g) || (f->out.action == XDP_PASS && unchanged(f, g)))
		return;
	wrong(f, g, number, "no service's, but not passed unchanged");
}

static void run_both(struct fixture *f, const struct garbage *g, unsigned number)
{
	for (f->program = EDGE; f->program <= BACKEND; f->program++) {
		if (run_bytes(f, g->b, g->len))
			wrong(f, g, number, "the run failed");
		if (f->program == EDGE)
			check_edge(f, g, number);
		else
			check_backend(f, g, number);
	}
	f->program = EDGE;
}

/*
 * Every kind of slot: to each family, with a tag, in each tunnel, down with and without a runner-up, without next hop,
 * empty. Of the hosts that tunnel packets name some can be reached.
 */
#define SLOT_KINDS 8
static void garbage_world(struct fixture *f)
{
	static const uint16_t slots[SLOT_KINDS][2] = {
		{ 0, SHUNT_NONE }, { 1, 0 }, { 2, 1 }, { 3, 2 }, { SHUNT_NONE, 0 }, { 2, 2 }, { 4, 0 }, { 5, 4 },
	};
	struct shunt_backend b[6] = { backend_at(BACKEND4), backend_at(BACKEND6), backend_at("10.0.0.13"),
				      backend_at("10.0.0.14"), backend_at("10.0.0.15"), backend_at("2001:db8:bb::16") };

	b[1].vlan = htons(7);
	b[4].forward = b[5].forward = SHUNT_FORWARD_GUE;
	backend_mtu(&b[4], 1500);
	backend_mtu(&b[5], 1500);
	hop_set(f, "10.0.0.12", &b[0]);
	hop_set(f, "2001:db8:bb::12", &b[1]);
	b[2].flags &= ~SHUNT_BACKEND_UP;
	b[3].flags &= ~SHUNT_BACKEND_NEXTHOP;
	for (uint32_t i = 0; i < 6; i++) {
		backend_set(f, 30 + i, &b[i]);
		member_set(f, WORLD_TCP_MEMBER + i, 30 + i);
		member_set(f, WORLD_UDP_MEMBER + i, 30 + i);
	}
	for (uint32_t i = 0; i < 64; i++) {
		slot_set(f, 64 * WORLD_TCP + i, slots[i % SLOT_KINDS][0], slots[i % SLOT_KINDS][1]);
		slot_set(f, 64 * WORLD_UDP + i, slots[i % SLOT_KINDS][0], slots[i % SLOT_KINDS][1]);
		alternates_set(f, 64 * WORLD_TCP + i, 0xffffffff00050002ull, 0x0004000200010000ull);
	}
	filter_set(f, OTHER4, true); /* the filter promises nothing */
	filter_set(f, OTHER6, true);
}

static void check_sums(const struct fixture *f)
{
	const uint64_t *v = f->total_verdicts;
	uint64_t drops = 0, edge = 0, backend = 0;

	for (int i = SHUNT_VERDICT_EDGE_PASSED; i <= SHUNT_VERDICT_EDGE_DROPPED; i++)
		edge += v[i];
	for (int i = SHUNT_VERDICT_BACKEND_PASSED; i <= SHUNT_VERDICT_BACKEND_DROPPED; i++)
		backend += v[i];
	for (int i = 0; i < SHUNT_N_REASONS; i++)
		drops += f->total_drops[f->ingress][i];
	assert_int_equal(edge, n_packets);
	assert_int_equal(backend, n_packets);
	assert_int_equal(drops, v[SHUNT_VERDICT_EDGE_DROPPED] + v[SHUNT_VERDICT_BACKEND_DROPPED]);
	assert_int_equal(f->out.n_drops, drops); /* none on another interface */
}

/* What the backend program passed, the edge program has counted, once each. */
static void check_chain_sums(const struct fixture *f)
{
	const uint64_t *v = f->total_verdicts;

	assert_int_equal(v[SHUNT_VERDICT_BACKEND_PASSED] + v[SHUNT_VERDICT_BACKEND_DELIVERED] +
				 v[SHUNT_VERDICT_BACKEND_SENT_ON] + v[SHUNT_VERDICT_BACKEND_DROPPED],
			 n_packets / 4);
	assert_int_equal(v[SHUNT_VERDICT_EDGE_PASSED] + v[SHUNT_VERDICT_EDGE_FORWARDED] +
				 v[SHUNT_VERDICT_EDGE_ANSWERED] + v[SHUNT_VERDICT_EDGE_DROPPED],
			 v[SHUNT_VERDICT_BACKEND_PASSED]);
	assert_int_equal(f->out.n_drops, v[SHUNT_VERDICT_EDGE_DROPPED] + v[SHUNT_VERDICT_BACKEND_DROPPED]);
}

/* Garbage that reaches every verdict of a packet's and reason is worth running; reasons that only a driver gives aside. */
static void check_everything_was_met(const struct fixture *f)
{
	for (int i = 0; i <= SHUNT_VERDICT_BACKEND_DROPPED; i++) /* those behind it are of sockets */
		assert_true(f->total_verdicts[i] >= n_packets / 1000);
	for (int i = SHUNT_REASON_MALFORMED; i < SHUNT_N_REASONS; i++)
		if (i != SHUNT_REASON_NO_ROOM && f->total_drops[f->ingress][i] < n_packets / 10000)
			fail_msg("only %llu drops for reason %d", (unsigned long long)f->total_drops[f->ingress][i], i);
}

static void garbage_for_nobody_passes_unchanged_and_all_is_counted_once(void **state)
{
	struct shunt_settings s = fixture_settings();
	static struct garbage g;
	struct fixture *f;

	s.icmp_rate = 50; /* so that the rates are met, too */
	s.hop_rate = 300;
	s.features = SHUNT_FEATURE_GUE | SHUNT_FEATURE_SECOND_CHANCE;
	world_reopen(state, &s);
	f = *state;
	make_templates();
	garbage_world(f);
	for (unsigned i = 0; i < n_packets; i++) {
		make_garbage(&g);
		run_both(f, &g, i);
	}
	count(f);
	check_sums(f);
	check_everything_was_met(f);
	free_templates();
}

/* With every feature: what is no tunnel packet of a service's goes on to the edge program. */
static void garbage_is_harmless_with_all_features_too(void **state)
{
	struct shunt_settings s = fixture_settings();
	static struct garbage g;
	struct fixture *f;

	s.features = SHUNT_FEATURE_ANY_PORT | SHUNT_FEATURE_THEN_EDGE | SHUNT_FEATURE_FRAGS | SHUNT_FEATURE_AFFINITY |
		     SHUNT_FEATURE_QUIC | SHUNT_FEATURE_GUE | SHUNT_FEATURE_SECOND_CHANCE;
	world_reopen(state, &s);
	f = *state;
	make_templates();
	garbage_world(f);
	listen_add(f, VIP4, 0, IPPROTO_UDP, WORLD_UDP);
	listen_add(f, VIP6, 0, IPPROTO_UDP, WORLD_UDP);
	service_flags_set(f, WORLD_UDP, SHUNT_SERVICE_CLIENT | shunt_service_quic(0, 1));
	tail_call_set(f);
	f->program = BACKEND;
	for (unsigned i = 0; i < n_packets / 4; i++) {
		make_garbage(&g);
		if (run_bytes(f, g.b, g.len))
			wrong(f, &g, i, "the run failed");
		if (!is_backends(&g) && !is_edges(&g) && (f->out.action != XDP_PASS || !unchanged(f, &g)))
			wrong(f, &g, i, "no service's, but not passed unchanged");
	}
	count(f);
	check_chain_sums(f);
	free_templates();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(garbage_for_nobody_passes_unchanged_and_all_is_counted_once),
		world_test(garbage_is_harmless_with_all_features_too),
	};

	if (getenv("SEED"))
		seed = strtoull(getenv("SEED"), NULL, 0);
	if (getenv("PACKETS"))
		n_packets = strtoul(getenv("PACKETS"), NULL, 0);
	rng_state = seed ? seed : 1;
	printf("# SEED=%llu PACKETS=%u\n", (unsigned long long)seed, n_packets);
	fflush(stdout);
	return cmocka_run_group_tests(tests, fixture_namespace, NULL);
}
