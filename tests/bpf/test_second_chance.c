/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The backend program's second chance: a packet of a TCP flow that has a socket here is delivered, one that has none goes
 * on to the next address in its GUE header. The sockets are real ones, in the test's namespace: those of both ends on
 * loopback, or only the server's, whose client is behind tb-peer (what it says) and tb-far (what it hears).
 */
#include "expect.h"
#include "netns.h"
#include "shapes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define FAR4 "198.51.100.8" /* clients that have no sockets here */
#define FAR6 "2001:db8:c::8"
#define HOP4(n) "10.0.0.2" #n
#define HOP6(n) "2001:db8:bb::2" #n

static struct packet in, want, inner, quoted;

/* ---- the namespace ---- */

static int sockets_namespace(void **state)
{
	if (fixture_namespace(state))
		return -1;
	sh("ip link set tb-in address 02:00:00:00:00:01 && for i in in peer out far; do ip link set tb-$i up; done");
	sh("for i in all tb-in; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done");
	sh("ip addr add " VIP4 "/32 dev lo && ip addr add " CLIENT4 "/32 dev lo");
	sh("ip addr add " VIP6 "/128 dev lo nodad && ip addr add " CLIENT6 "/128 dev lo nodad");
	sh("ip route add " FAR4 " dev tb-out && ip route add " FAR6 " dev tb-out");
	sh("ip neigh add " FAR4 " lladdr 02:00:00:00:00:99 dev tb-out && "
	   "ip neigh add " FAR6 " lladdr 02:00:00:00:00:99 dev tb-out");
	return 0;
}

/* ---- flows with sockets ---- */

static struct flow new_flow(bool six, bool far)
{
	static uint16_t port = 41000;

	return (struct flow){ six ? far ? FAR6 : CLIENT6 : far ? FAR4 : CLIENT4, six ? VIP6 : VIP4, port++, 80,
			      IPPROTO_TCP };
}

static socklen_t sockaddr_of(const char *text, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *six = (void *)ss;
	struct sockaddr_in *four = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		return sizeof(*four);
	}
	assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	return sizeof(*six);
}

static int bound_socket(const char *address, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = sockaddr_of(address, port, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

static int listen_for(const struct flow *flow)
{
	int fd = bound_socket(flow->service, flow->sport);

	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* Both ends of an established connection. */
struct connection {
	int server, client;
};

static struct connection connect_to(int listener, const struct flow *flow)
{
	struct connection c = { .client = bound_socket(flow->client, flow->cport) };
	struct sockaddr_storage ss;
	socklen_t len = sockaddr_of(flow->service, flow->sport, &ss);

	assert_int_equal(connect(c.client, (struct sockaddr *)&ss, len), 0);
	c.server = accept(listener, NULL, NULL);
	assert_true(c.server >= 0);
	return c;
}

static void disconnect(struct connection c)
{
	close(c.client);
	close(c.server);
}

/* ---- packets in tunnels, and what becomes of them ---- */

static const struct gue gue4 = { .n = 3, .hops = { HOP4(1), HOP4(2), HOP4(3) } };
static const struct gue gue6 = { .n = 3, .hops = { HOP6(1), HOP6(2), HOP6(3) } };
static const struct tunnel over4 = { .gue = &gue4 }, over6 = { .outer6 = true, .gue = &gue6 };
static const struct tunnel *const tunnels[2] = { &over4, &over6 };

static struct shunt_backend way_to(uint32_t ifindex, uint16_t tci)
{
	struct shunt_backend b = backend_at(BACKEND4); /* the next hop's fields count */

	b.ifindex = ifindex;
	b.vlan = htons(tci);
	return b;
}

static void inner_of(const struct flow *flow, uint8_t flags)
{
	flow_packet(&inner, flow, &(struct shape){ .bare = true, .payload = 33 });
	if (flow->proto == IPPROTO_TCP)
		inner.b[packet_layer(&inner, LAYER_TCP) + 13] = flags;
	packet_finish(&inner);
}

static void check_delivered(struct place at, struct fixture *f, const struct tunnel *t)
{
	tunnel_packet(&in, t, &inner);
	want_delivered(&want, t, &inner);
	delivered_at(at, f, &in, &want);
}

static struct shunt_backend usual_way;

/* Sent on to the address at this place, by the usual way. */
static void check_sent_on(struct place at, struct fixture *f, const struct tunnel *t, unsigned to)
{
	tunnel_packet(&in, t, &inner);
	want_sent_on(&want, t, &inner, to, &usual_way);
	sent_on_at(at, f, &in, &want, XDP_REDIRECT);
}

static void check_known(struct place at, struct fixture *f, const struct flow *flow)
{
	inner_of(flow, TCP_ACK);
	for (int t = 0; t < 2; t++)
		check_delivered(at, f, tunnels[t]);
}

static void check_strange(struct place at, struct fixture *f, const struct flow *flow)
{
	inner_of(flow, TCP_ACK);
	for (int t = 0; t < 2; t++)
		check_sent_on(at, f, tunnels[t], 0);
}

#define expect_known(...) check_known(HERE, __VA_ARGS__)
#define expect_strange(...) check_strange(HERE, __VA_ARGS__)

static void ways_are_usual(struct fixture *f)
{
	static const char *const all[] = { HOP4(1), HOP4(2), HOP4(3), HOP4(4), HOP4(5), HOP4(6), HOP4(7),
					   HOP6(1), HOP6(2), HOP6(3), HOP6(4), HOP6(5), HOP6(6), HOP6(7) };

	usual_way = way_to(IFINDEX_OUT, 0);
	for (int i = 0; i < 14; i++)
		hop_set(f, all[i], &usual_way);
}

/* Instead of the one that there is, if there is one. */
static struct fixture *other_world(void **state, uint32_t features, uint32_t hop_rate)
{
	struct shunt_settings s = fixture_settings();
	struct fixture *f;

	s.features = features;
	s.hop_rate = hop_rate;
	world_reopen(state, &s);
	f = *state;
	f->program = BACKEND;
	ways_are_usual(f);
	return f;
}

static int chance_setup(void **state)
{
	*state = NULL;
	other_world(state, SHUNT_FEATURE_SECOND_CHANCE, 0);
	return 0;
}

/* ---- known here ---- */

static void a_flow_with_a_connection_here_is_delivered(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct flow flow = new_flow(six, false);
		int listener = listen_for(&flow);
		struct connection c;

		in_case("%s", flow.client);
		expect_strange(*state, &flow);
		c = connect_to(listener, &flow);
		expect_known(*state, &flow);
		inner_of(&flow, 0x11); /* FIN */
		check_delivered(HERE, *state, tunnels[six]);
		inner_of(&flow, 0x04); /* RST */
		check_delivered(HERE, *state, tunnels[six]);
		close(listener);
		expect_known(*state, &flow);
		disconnect(c);
	}
}

static void a_server_that_listens_on_all_addresses_is_one_too(void **state)
{
	struct flow any = { .service = "::", .sport = 80 }; /* of both families */
	int listener = listen_for(&any);

	for (int six = 0; six < 2; six++) {
		struct flow flow = new_flow(six, false);
		struct connection c;

		in_case("%s", flow.client);
		expect_strange(*state, &flow);
		c = connect_to(listener, &flow);
		expect_known(*state, &flow);
		disconnect(c);
	}
	close(listener);
}

static void a_connection_that_has_just_ended_here_is_known(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct flow flow = new_flow(six, false);
		int listener = listen_for(&flow);
		struct connection c = connect_to(listener, &flow);

		in_case("%s", flow.client);
		close(c.server); /* who closes first waits */
		close(c.client);
		close(listener);
		expect_known(*state, &flow);
	}
}

static void a_listener_alone_knows_no_flow(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct flow flow = new_flow(six, false), other = new_flow(six, false);
		int listener = listen_for(&flow);
		struct connection c = connect_to(listener, &other);

		in_case("%s", flow.client);
		expect_strange(*state, &flow);
		disconnect(c);
		close(listener);
		expect_strange(*state, &flow);
	}
}

static void a_connection_of_another_namespace_is_not_one_of_this_host(void **state)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct flow flow = new_flow(false, false);
	struct connection c;
	int listener;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sh("ip link set lo up && ip addr add " VIP4 "/32 dev lo && ip addr add " CLIENT4 "/32 dev lo");
	listener = listen_for(&flow);
	c = connect_to(listener, &flow);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	expect_strange(*state, &flow);
	disconnect(c);
	close(listener);
	close(here);
}

/* ---- known here, though the connection is only beginning ---- */

static int packet_socket(int ifindex)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void send_syn(const struct flow *flow)
{
	int fd = packet_socket(IFINDEX_PEER);

	flow_packet(&in, flow, &(struct shape){ .payload = 0 });
	in.b[packet_layer(&in, LAYER_TCP) + 13] = TCP_SYN;
	packet_finish(&in);
	assert_int_equal(send(fd, in.b, in.len, 0), in.len);
	close(fd);
}

/* The TCP header in a frame to that client's port with these flags, or NULL. */
static const uint8_t *tcp_to(const uint8_t *b, size_t len, uint16_t port, uint8_t flags)
{
	size_t at = 14 + (get16(b + 12) == 0x0800 ? 20 : 40);

	return len >= at + 20 && get16(b + at + 2) == port && b[at + 13] == flags ? b + at : NULL;
}

/* The sequence number of the SYN-ACK that the client gets; ear: packet_socket(IFINDEX_FAR), open since before the SYN. */
static uint32_t hear_syn_ack(int ear, const struct flow *flow)
{
	struct pollfd p = { .fd = ear, .events = POLLIN };
	uint8_t b[2048];

	while (poll(&p, 1, 5000) > 0) {
		ssize_t len = recv(ear, b, sizeof(b), 0);
		const uint8_t *tcp = len > 0 ? tcp_to(b, len, flow->cport, TCP_SYN | TCP_ACK) : NULL;

		if (tcp)
			return get32(tcp + 4);
	}
	fail_msg("no SYN-ACK came to %s", flow->client);
	return 0;
}

/* What the client sends next: it acknowledges this. */
static void inner_acknowledges(const struct flow *flow, uint32_t sequence)
{
	uint8_t *tcp;

	inner_of(flow, TCP_ACK);
	tcp = inner.b + packet_layer(&inner, LAYER_TCP);
	put32(tcp + 4, get32(tcp + 4) + 1);
	put32(tcp + 8, sequence);
	packet_finish(&inner);
}

static void a_handshake_that_is_not_over_is_known(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct flow flow = new_flow(six, true);
		int listener = listen_for(&flow), ear = packet_socket(IFINDEX_FAR);

		in_case("%s", flow.client);
		expect_strange(*state, &flow);
		send_syn(&flow);
		hear_syn_ack(ear, &flow);
		expect_known(*state, &flow);
		close(ear);
		close(listener);
	}
}

static void a_handshake_of_which_only_the_cookie_is_left_is_known_by_it(void **state)
{
	sh("echo 2 > /proc/sys/net/ipv4/tcp_syncookies");
	for (int six = 0; six < 2; six++) {
		struct flow flow = new_flow(six, true);
		int listener = listen_for(&flow), ear = packet_socket(IFINDEX_FAR);
		uint32_t cookie;

		in_case("%s", flow.client);
		send_syn(&flow);
		cookie = hear_syn_ack(ear, &flow);
		for (int t = 0; t < 2; t++) {
			inner_acknowledges(&flow, cookie + 1);
			check_delivered(HERE, *state, tunnels[t]);
			inner_acknowledges(&flow, cookie + 0x10001);
			check_sent_on(HERE, *state, tunnels[t], 0);
		}
		close(ear);
		close(listener);
	}
	sh("echo 1 > /proc/sys/net/ipv4/tcp_syncookies");
}

/* ---- at home everywhere ---- */

static void what_begins_a_flow_and_udp_is_delivered(void **state)
{
	for (int t = 0; t < 2; t++) {
		for (int i = 0; i < 2; i++) {
			struct flow flow = new_flow(i, false);

			in_case("flow %d, tunnel %d", i, t);
			inner_of(&flow, TCP_SYN);
			check_delivered(HERE, *state, tunnels[t]);
			inner_of(&flow, TCP_SYN | TCP_ACK);
			check_sent_on(HERE, *state, tunnels[t], 0);
			inner_of(world_flows[2 + i], 0);
			check_delivered(HERE, *state, tunnels[t]);
		}
	}
}

/* An ICMP error about a flow, as a router between sends it to the service. */
static void inner_error(const struct flow *flow, bool six)
{
	struct flow answer = flow_reversed(flow);

	flow_packet(&quoted, &answer, &(struct shape){ .bare = true, .payload = 100 });
	bare(&inner);
	if (six) {
		ip6(&inner, (struct ip6){ .src = "2001:db8:dead::1", .dst = flow->service });
		icmp6(&inner, 2, 0, 1400);
	} else {
		ip4(&inner, (struct ip4){ .src = "192.0.2.254", .dst = flow->service });
		icmp4(&inner, 3, 4, 1400);
	}
	bytes(&inner, quoted.b, quoted.len);
	packet_finish(&inner);
}

static void icmp_errors_go_where_their_flow_is(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct flow flow = new_flow(six, false);
		int listener = listen_for(&flow);
		struct connection c;

		in_case("%s", flow.client);
		inner_error(&flow, six);
		check_sent_on(HERE, *state, tunnels[six], 0);
		c = connect_to(listener, &flow);
		check_delivered(HERE, *state, tunnels[six]);
		disconnect(c);
		close(listener);
		inner_error(world_flows[2 + six], six); /* about UDP */
		check_delivered(HERE, *state, tunnels[six]);
	}
}

static void without_the_feature_everything_is_delivered(void **state)
{
	struct fixture *f = other_world(state, 0, 0);

	for (int six = 0; six < 2; six++) {
		struct flow flow = new_flow(six, false);

		expect_known(f, &flow);
	}
}

static void a_source_that_is_not_allowed_has_no_chance(void **state)
{
	static const struct tunnel foreign[] = { { .src = "192.0.2.1", .gue = &gue4 },
						 { .src = "2001:db8::1", .outer6 = true, .gue = &gue6 } };
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	for (int t = 0; t < 2; t++) {
		tunnel_packet(&in, &foreign[t], &inner);
		expect_dropped(*state, &in, SHUNT_REASON_TUNNEL_SOURCE);
	}
}

/* ---- who is next ---- */

static const char *const seven_hops[2][7] = { { HOP4(1), HOP4(2), HOP4(3), HOP4(4), HOP4(5), HOP4(6), HOP4(7) },
					      { HOP6(1), HOP6(2), HOP6(3), HOP6(4), HOP6(5), HOP6(6), HOP6(7) } };

/* Each place holds somebody or nobody, in all ways, from each `next` on. */
static void empty_places_are_skipped_and_the_last_keeps_the_packet(void **state)
{
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	for (unsigned n = 0; n < 2 * 128 * 8; n++) {
		struct gue gue = { .n = 7, .next = n >> 8 };
		struct tunnel t = { .outer6 = n & 1, .gue = &gue };
		unsigned filled = n >> 1 & 127, to;

		in_case("tunnel %d, places %#x, next %u", t.outer6, filled, gue.next);
		for (int i = 0; i < 7; i++)
			gue.hops[i] = filled & 1 << i ? seven_hops[t.outer6][i] : NULL;
		for (to = gue.next; to < 7 && !gue.hops[to];)
			to++;
		if (to < 7)
			check_sent_on(HERE, *state, &t, to);
		else
			check_delivered(HERE, *state, &t);
	}
}

static void a_tunnel_packet_with_fewer_addresses_is_asked_on_as_far_as_they_go(void **state)
{
	struct flow flow = new_flow(true, false);

	inner_of(&flow, TCP_ACK);
	for (unsigned n = 0; n <= 7; n++) {
		for (unsigned next = 0; next <= 255; next += next < 8 ? 1 : 13) {
			for (int six = 0; six < 2; six++) {
				struct gue gue = { .n = n, .next = next };
				struct tunnel t = { .outer6 = six, .gue = &gue };

				in_case("tunnel %d, %u addresses, next %u", six, n, next);
				memcpy(gue.hops, seven_hops[six], sizeof(gue.hops));
				if (next < n)
					check_sent_on(HERE, *state, &t, next);
				else
					check_delivered(HERE, *state, &t);
			}
		}
	}
}

/* From host to host, none of which knows the flow; each gets it once, and it ends. */
static void the_way_of_a_packet_ends_after_seven_hosts(void **state)
{
	struct fixture *f = *state;
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	for (int six = 0; six < 2; six++) {
		struct gue gue = { .n = 7 };
		struct tunnel t = { .outer6 = six, .gue = &gue };
		static struct packet here;

		in_case("tunnel %d", six);
		memcpy(gue.hops, seven_hops[six], sizeof(gue.hops));
		tunnel_packet(&here, &t, &inner);
		for (unsigned to = 0; to < 7; to++) {
			want_sent_on(&want, &t, &inner, to, &usual_way);
			expect_sent_on(f, &here, &want, XDP_REDIRECT);
			t.ttl = 63 - to;
			t.dst = seven_hops[six][to];
			memcpy(here.b, f->out.b, here.len);
		}
		run(f, &here);
		assert_int_equal(f->out.action, XDP_PASS);
		assert_int_equal(f->out.verdicts[SHUNT_VERDICT_BACKEND_DELIVERED], 1);
		assert_int_equal(f->out.len, 14 + inner.len);
		assert_memory_equal(f->out.b + 14, inner.b, inner.len);
	}
}

static void a_packet_whose_ttl_is_used_up_stays(void **state)
{
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	for (int six = 0; six < 2; six++) {
		for (unsigned ttl = 1; ttl < 256; ttl++) {
			struct tunnel t = { .outer6 = six, .gue = six ? &gue6 : &gue4, .ttl = ttl };

			in_case("tunnel %d, TTL %u", six, ttl);
			if (ttl > 1)
				check_sent_on(HERE, *state, &t, 0);
			else
				check_delivered(HERE, *state, &t);
		}
	}
}

static void the_outer_checksum_stays_right_from_every_value(void **state)
{
	struct fixture *f = *state;
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	tunnel_packet(&in, &over4, &inner);
	for (unsigned id = 0; id < 65536; id++) {
		put16(in.b + 14 + 4, id);
		ip4_checksum(in.b + 14);
		assert_int_equal(run_bytes(f, in.b, in.len), 0);
		if (sum16(f->out.b + 14, 20, 0) != 0xffff || f->out.action != XDP_REDIRECT)
			fail_msg("identification %#x: checksum %#x", id, get16(f->out.b + 14 + 10));
	}
	count(f);
}

static void options_and_extension_headers_of_the_tunnel_are_kept(void **state)
{
	static void (*const ext[])(struct packet *) = { ext_hop_by_hop, ext_destination, ext_route, ext_chain };
	struct flow flow = new_flow(true, false);

	inner_of(&flow, TCP_ACK);
	for (int e = 0; e < 4; e++) {
		in_case("extension %d", e);
		check_sent_on(HERE, *state, &(struct tunnel){ .outer6 = true, .ext = ext[e], .gue = &gue6 }, 0);
	}
	in_case("options");
	check_sent_on(HERE, *state, &(struct tunnel){ .options = options_timestamp, .n_options = 40, .gue = &gue4 }, 0);
}

/* ---- private data that are none of ours ---- */

/* Where the GUE header is. */
static size_t gue_at(const struct tunnel *t)
{
	return 14 + (t->outer6 ? 40 : 20) + 8;
}

static void check_plain(struct place at, struct fixture *f, const struct tunnel *t)
{
	want_delivered(&want, t, &inner);
	delivered_at(at, f, &in, &want);
}

static void private_data_of_another_kind_are_taken_off_with_the_header(void **state)
{
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	for (int t = 0; t < 2; t++) {
		size_t gue = gue_at(tunnels[t]);

		for (int bit = 0; bit < 16; bit++) {
			in_case("tunnel %d, bit %d of the magic number is another", t, bit);
			tunnel_packet(&in, tunnels[t], &inner);
			in.b[gue + 4 + bit / 8] ^= 1 << bit % 8;
			check_plain(HERE, *state, tunnels[t]);
		}
		for (unsigned n = 0; n < 256; n++) {
			if (n == 3)
				continue;
			in_case("tunnel %d, three addresses that say they are %u", t, n);
			tunnel_packet(&in, tunnels[t], &inner);
			in.b[gue + 7] = n;
			check_plain(HERE, *state, tunnels[t]);
		}
	}
}

/* Eight would fit the length of the header. */
static void more_addresses_than_there_may_be_are_not_followed(void **state)
{
	struct flow flow = new_flow(false, false);
	struct gue gue = { .n = 7 };
	struct tunnel t = { .gue = &gue };
	struct packet longer;
	size_t at = gue_at(&t), behind = at + 8 + 7 * 4;

	memcpy(gue.hops, seven_hops[0], sizeof(gue.hops));
	inner_of(&flow, TCP_ACK);
	tunnel_packet(&in, &t, &inner);
	longer = in;
	memcpy(longer.b + behind + 4, in.b + behind, in.len - behind);
	memcpy(longer.b + behind, in.b + behind - 4, 4);
	longer.len = in.len + 4;
	longer.b[at]++;
	longer.b[at + 7] = 8;
	put16(longer.b + 14 + 2, longer.len - 14);
	ip4_checksum(longer.b + 14);
	in = longer;
	check_plain(HERE, *state, &t);
}

/* A tunnel packet with nothing between the first word of its GUE header and what is inside, as Linux makes it. */
static void a_header_without_private_data_is_taken_off(void **state)
{
	static const struct gue nothing = { .n = 0 };
	struct flow flow = new_flow(true, false);

	inner_of(&flow, TCP_ACK);
	for (int six = 0; six < 2; six++) {
		struct tunnel t = { .outer6 = six, .gue = &nothing };
		size_t at = gue_at(&t);

		in_case("tunnel %d", six);
		tunnel_packet(&in, &t, &inner);
		memmove(in.b + at + 4, in.b + at + 8, in.len - at - 8);
		in.b[at] = 0;
		in.len -= 4;
		if (six)
			put16(in.b + 14 + 4, in.len - 14 - 40);
		else
			put16(in.b + 14 + 2, in.len - 14);
		if (!six)
			ip4_checksum(in.b + 14);
		check_plain(HERE, *state, &t);
	}
}

static void what_is_no_gue_of_version_0_without_flags_passes(void **state)
{
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	for (int t = 0; t < 2; t++) {
		size_t gue = gue_at(tunnels[t]);

		for (int bit = 5; bit < 8; bit++) { /* control, version */
			in_case("tunnel %d, bit %d of the first byte", t, bit);
			tunnel_packet(&in, tunnels[t], &inner);
			in.b[gue] |= 1 << bit;
			expect_passed(*state, &in);
		}
		for (int bit = 0; bit < 16; bit++) {
			in_case("tunnel %d, flag %d", t, bit);
			tunnel_packet(&in, tunnels[t], &inner);
			in.b[gue + 2 + bit / 8] |= 1 << bit % 8;
			expect_passed(*state, &in);
			in_case("tunnel %d, another port, bit %d", t, bit);
			tunnel_packet(&in, tunnels[t], &inner);
			in.b[gue - 8 + 2 + bit / 8] ^= 1 << bit % 8;
			expect_passed(*state, &in);
		}
		in_case("tunnel %d, TCP inside", t);
		tunnel_packet(&in, tunnels[t], &inner);
		in.b[gue + 1] = IPPROTO_TCP;
		expect_passed(*state, &in);
	}
}

static void a_packet_cut_anywhere_passes_and_is_not_sent_on(void **state)
{
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	for (int t = 0; t < 2; t++) {
		tunnel_packet(&in, tunnels[t], &inner);
		for (size_t len = in.len - 1; len >= 14; len--) {
			in_case("tunnel %d, cut to %zu bytes", t, len);
			in.len = len;
			expect_passed(*state, &in);
		}
	}
}

/* ---- the way there ---- */

static void the_frame_is_that_of_the_way_to_the_next_host(void **state)
{
	static const uint32_t interfaces[] = { 1, IFINDEX_IN, IFINDEX_OUT };
	struct fixture *f = *state;
	struct flow flow = new_flow(false, false);

	inner_of(&flow, TCP_ACK);
	for (const struct named_shape *s = shapes_tagged; s->name; s++) {
		for (int n = 0; n < 12; n++) {
			struct shunt_backend way = way_to(interfaces[n % 3], n & 4 ? 0x6abc : 0);
			struct tunnel t = *tunnels[n / 6];
			bool here = interfaces[n % 3] == IFINDEX_IN;

			in_case("%s, tunnel %d, way with tag %#x, interface %u", s->name, t.outer6, ntohs(way.vlan),
				interfaces[n % 3]);
			memcpy(t.tpid, s->shape.tpid, sizeof(t.tpid));
			memcpy(t.tci, s->shape.tci, sizeof(t.tci));
			hop_set(f, t.gue->hops[0], &way);
			tunnel_packet(&in, &t, &inner);
			want_sent_on(&want, &t, &inner, 0, &way);
			expect_sent_on(f, &in, &want, here ? XDP_TX : XDP_REDIRECT);
		}
	}
}

struct heard {
	unsigned n;
	struct shunt_addr last;
};

static int hear(void *arg, void *data, size_t len)
{
	struct heard *h = arg;

	assert_true(len >= sizeof(h->last));
	h->n++;
	memcpy(&h->last, data, sizeof(h->last));
	return 0;
}

static void without_a_way_the_packet_goes_back_and_the_daemon_is_told(void **state)
{
	struct fixture *f = *state;
	struct flow flow = new_flow(false, false);
	struct heard heard = { .n = 0 };
	struct ring_buffer *ring = ring_buffer__new(map_fd(f, "strangers"), hear, &heard, NULL);

	assert_non_null(ring);
	inner_of(&flow, TCP_ACK);
	for (const struct named_shape *s = shapes_tagged; s->name; s++) {
		for (int n = 0; n < 2; n++) {
			struct tunnel t = *tunnels[n];
			struct shunt_addr to = addr_of(t.gue->hops[0]);

			in_case("%s, tunnel %d", s->name, n);
			memcpy(t.tpid, s->shape.tpid, sizeof(t.tpid));
			memcpy(t.tci, s->shape.tci, sizeof(t.tci));
			tunnel_packet(&in, &t, &inner);
			hop_set(f, t.gue->hops[0], &usual_way);
			heard.n = 0;
			want_sent_on(&want, &t, &inner, 0, &usual_way);
			expect_sent_on(f, &in, &want, XDP_REDIRECT);
			ring_buffer__consume(ring);
			assert_int_equal(heard.n, 0);
			hop_set(f, t.gue->hops[0], NULL);
			want_sent_on(&want, &t, &inner, 0, NULL);
			expect_sent_on(f, &in, &want, XDP_TX);
			ring_buffer__consume(ring);
			assert_int_equal(heard.n, 1);
			assert_memory_equal(&heard.last, &to, sizeof(to));
		}
	}
	ring_buffer__free(ring);
}

/* Nobody reads the ring. */
static void strangers_that_nobody_notes_go_back_all_the_same(void **state)
{
	struct fixture *f = *state;
	struct flow flow = new_flow(false, false);

	hop_set(f, HOP4(1), NULL);
	inner_of(&flow, TCP_ACK);
	tunnel_packet(&in, &over4, &inner);
	want_sent_on(&want, &over4, &inner, 0, NULL);
	for (int i = 0; i < 1000; i++)
		expect_sent_on(f, &in, &want, XDP_TX);
}

static void jumbo_packets_are_sent_on_with_the_feature(void **state)
{
	struct fixture *f = other_world(state, SHUNT_FEATURE_SECOND_CHANCE | SHUNT_FEATURE_FRAGS, 0);
	struct flow flow = new_flow(false, false);

	for (int t = 0; t < 2; t++) {
		flow_packet(&inner, &flow, &(struct shape){ .bare = true, .payload = 8700 });
		check_sent_on(HERE, f, tunnels[t], 0);
	}
}

/* ---- the rate ---- */

static void what_is_over_the_rate_of_its_service_is_dropped(void **state)
{
	struct fixture *f = other_world(state, SHUNT_FEATURE_SECOND_CHANCE, 1);
	struct flow flow = new_flow(false, false), other = flow;
	struct timespec begin, now;

	service_set(f, 7, 1024, 6, WORLD_TCP_MEMBER);
	other.sport = 443;
	listen_add(f, VIP4, 443, IPPROTO_TCP, 7);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	inner_of(&flow, TCP_ACK);
	check_sent_on(HERE, f, &over4, 0);
	tunnel_packet(&in, &over4, &inner);
	run(f, &in);
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - begin.tv_sec + (now.tv_nsec - begin.tv_nsec) / 1e9 >= 1)
		skip(); /* the machine stood still for as long as it takes to be allowed the next one */
	assert_int_equal(f->out.action, XDP_DROP);
	assert_int_equal(f->out.verdicts[SHUNT_VERDICT_BACKEND_DROPPED], 1);
	assert_int_equal(f->out.drop.reason, SHUNT_REASON_SECOND_CHANCE_RATE);
	inner_of(&other, TCP_ACK);
	check_sent_on(HERE, f, &over4, 0);
	inner_of(&flow, TCP_SYN); /* what stays is not limited */
	check_delivered(HERE, f, &over4);
}

#define chance_test(name) cmocka_unit_test_setup_teardown(name, chance_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		chance_test(a_flow_with_a_connection_here_is_delivered),
		chance_test(a_server_that_listens_on_all_addresses_is_one_too),
		chance_test(a_connection_that_has_just_ended_here_is_known),
		chance_test(a_listener_alone_knows_no_flow),
		chance_test(a_connection_of_another_namespace_is_not_one_of_this_host),
		chance_test(a_handshake_that_is_not_over_is_known),
		chance_test(a_handshake_of_which_only_the_cookie_is_left_is_known_by_it),
		chance_test(what_begins_a_flow_and_udp_is_delivered),
		chance_test(icmp_errors_go_where_their_flow_is),
		chance_test(without_the_feature_everything_is_delivered),
		chance_test(a_source_that_is_not_allowed_has_no_chance),
		chance_test(empty_places_are_skipped_and_the_last_keeps_the_packet),
		chance_test(a_tunnel_packet_with_fewer_addresses_is_asked_on_as_far_as_they_go),
		chance_test(the_way_of_a_packet_ends_after_seven_hosts),
		chance_test(a_packet_whose_ttl_is_used_up_stays),
		chance_test(the_outer_checksum_stays_right_from_every_value),
		chance_test(options_and_extension_headers_of_the_tunnel_are_kept),
		chance_test(private_data_of_another_kind_are_taken_off_with_the_header),
		chance_test(more_addresses_than_there_may_be_are_not_followed),
		chance_test(a_header_without_private_data_is_taken_off),
		chance_test(what_is_no_gue_of_version_0_without_flags_passes),
		chance_test(a_packet_cut_anywhere_passes_and_is_not_sent_on),
		chance_test(the_frame_is_that_of_the_way_to_the_next_host),
		chance_test(without_a_way_the_packet_goes_back_and_the_daemon_is_told),
		chance_test(strangers_that_nobody_notes_go_back_all_the_same),
		chance_test(jumbo_packets_are_sent_on_with_the_feature),
		chance_test(what_is_over_the_rate_of_its_service_is_dropped),
	};

	return cmocka_run_group_tests(tests, sockets_namespace, NULL);
}
