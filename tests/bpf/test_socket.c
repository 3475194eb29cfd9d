/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What local processes see of services that are balanced at their sockets: real sockets, and servers that say who they are. */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/mptcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "netns.h"

#define VIP "10.9.9.9"
#define MAPPED_VIP "::ffff:10.9.9.9"
#define VIP6 "fd99::6"

#define LISTEN4 "listen: ['" VIP ":80/tcp', '" VIP ":80/udp']"
#define LISTEN6 "listen: ['[" VIP6 "]:80/tcp', '[" VIP6 "]:80/udp']"
#define SERVICE(name, listen, options, backends) \
	"  - { name: " name ", health: none, drain: 0s, " listen ", " options ", backends: [" backends "] }\n"
#define B(n) "{ address: '127.0.0." #n ":8000' }"
#define B6(n) "{ address: '[fd00::" #n "]:8000' }"
#define RR "algorithm: round-robin"

/* A service at each kind of address, with backends of that family. */
static void apply_usual(void)
{
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1) "," B(2) "," B(3)) /* */
		    SERVICE("six", LISTEN6, RR, B6(1) "," B6(2) "," B6(3)));
}

/* How a process can name a service, and whom it is answered by. */
static const struct way {
	const char *asked, *prefix; /* of the answerer's address */
} ways[] = { { VIP, "127.0.0." }, { VIP6, "fd00::" }, { MAPPED_VIP, "127.0.0." } };

static void assert_told(const char *by, const char *prefix)
{
	if (strncmp(by, prefix, strlen(prefix)))
		fail_msg("answered by '%s', not by one of %s", by, prefix);
}

/* ---- connected ---- */

static void a_connection_is_given_a_backend_and_shown_the_service(void **state)
{
	const int types[] = { SOCK_STREAM, SOCK_DGRAM };

	(void)state;
	apply_usual();
	for (size_t i = 0; i < ARRAY_SIZE(ways) * 2; i++) {
		const struct way *way = &ways[i / 2];
		int fd = dialled(way->asked, 80, types[i % 2]);
		struct at from;

		assert_told(told(fd), way->prefix);
		assert_string_equal(peer(fd), way->asked);
		assert_int_equal(peer_port(fd), 80);
		if (types[i % 2] == SOCK_DGRAM) {
			assert_int_equal(send(fd, "?", 1, 0), 1);
			assert_told(answer(fd, &from), way->prefix);
			assert_string_equal(text(&from), way->asked);
		}
		close(fd);
	}
}

static void a_host_without_ipv6_is_served_through_mapped_addresses(void **state)
{
	const int types[] = { SOCK_STREAM, SOCK_DGRAM };

	(void)state;
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1) "," B(2) "," B(3)));
	sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
	for (int i = 0; i < 2; i++) {
		int fd = dialled(MAPPED_VIP, 80, types[i]);

		assert_told(told(fd), "127.0.0.");
		assert_string_equal(peer(fd), MAPPED_VIP);
		close(fd);
	}
	for (int i = 0; i < 2; i++) {
		int fd = client(MAPPED_VIP, SOCK_DGRAM);
		struct at from;

		assert_int_equal(send_to(fd, MAPPED_VIP, 80), 0);
		assert_told(answer(fd, &from), "127.0.0.");
		assert_string_equal(text(&from), MAPPED_VIP);
		close(fd);
	}
	sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=0");
	for (int i = 1; i <= SERVERS6; i++)
		sh("ip address replace fd00::%d/128 dev lo nodad", i);
}

/* An IPv4 address in an IPv4 structure may be given to an IPv6 socket over UDP, too. */
static void an_ipv4_structure_in_an_ipv6_socket_is_balanced_too(void **state)
{
	int fd = socket_in(NULL, AF_INET6, SOCK_DGRAM);

	(void)state;
	apply_usual();
	assert_int_equal(send_to(fd, VIP, 80), 0);
	assert_told(answer(fd, &(struct at){}), "127.0.0.");
	assert_int_equal(dial(fd, VIP, 80), 0);
	assert_told(told(fd), "127.0.0.");
	assert_string_equal(peer(fd), MAPPED_VIP);
	close(fd);
}

static void an_ipv6_socket_is_given_the_other_family_when_only_that_is_there(void **state)
{
	int fd;

	(void)state;
	world_apply("services:\n" SERVICE("six", LISTEN6, RR, B(1) "," B(2)));
	fd = dialled(VIP6, 80, SOCK_STREAM);
	assert_told(told(fd), "127.0.0.");
	assert_string_equal(peer(fd), VIP6);
	close(fd);
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B6(1) "," B6(2)));
	fd = client(VIP, SOCK_STREAM);
	assert_int_equal(dial(fd, VIP, 80), -EHOSTUNREACH); /* it cannot be: nobody is usable for it */
	close(fd);
}

/* Both families stand behind the service, and the socket is for IPv6 alone. */
static void a_socket_for_ipv6_alone_is_given_no_ipv4_backend(void **state)
{
	const int on = 1;

	(void)state;
	world_apply("services:\n" SERVICE("six", LISTEN6, RR, B(1) "," B6(1) "," B(2) "," B6(2)));
	for (int i = 0; i < 8; i++) {
		int fd = client(VIP6, SOCK_STREAM);

		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		assert_int_equal(dial(fd, VIP6, 80), 0);
		assert_told(told(fd), "fd00::");
		close(fd);
	}
}

static void a_service_on_every_port_keeps_the_port_that_was_asked_for(void **state)
{
	struct at from;
	int fd;

	(void)state;
	world_apply("services:\n" SERVICE("any", "listen: ['" VIP ":*/tcp', '" VIP ":*/udp']", RR,
					  "{ address: 127.0.0.1 }, { address: 127.0.0.2 }"));
	fd = dialled(VIP, PORT, SOCK_STREAM);
	assert_told(told(fd), "127.0.0.");
	assert_string_equal(peer(fd), VIP);
	assert_int_equal(peer_port(fd), PORT);
	close(fd);
	fd = client(VIP, SOCK_DGRAM);
	assert_int_equal(send_to(fd, VIP, PORT), 0);
	assert_told(answer(fd, &from), "127.0.0.");
	assert_string_equal(text(&from), VIP);
	close(fd);
}

static void tcp_fast_open_is_balanced(void **state)
{
	const struct at to = at(VIP, 80);
	int fd = client(VIP, SOCK_STREAM);

	(void)state;
	apply_usual();
	assert_int_equal(sendto(fd, "?", 1, MSG_FASTOPEN, (const struct sockaddr *)&to.a, to.len), 1);
	assert_told(told(fd), "127.0.0.");
	assert_string_equal(peer(fd), VIP);
	close(fd);
}

/* ---- nobody is usable ---- */

static void assert_refused(const char *asked, int error)
{
	int tcp = client(asked, SOCK_STREAM), udp = client(asked, SOCK_DGRAM), loose = client(asked, SOCK_DGRAM);

	fcntl(tcp, F_SETFL, O_NONBLOCK); /* even then: at once */
	assert_int_equal(dial(tcp, asked, 80), -error);
	assert_int_equal(dial(udp, asked, 80), -error);
	assert_int_equal(send_to(loose, asked, 80), -error);
	close(tcp);
	close(udp);
	close(loose);
}

static void a_service_without_a_usable_backend_refuses_at_once(void **state)
{
	static const char *const backends[][2] = {
		{ "", "" },
		{ "{ address: '127.0.0.1:8000', state: disabled }, { address: '127.0.0.2:8000', state: disabled }",
		  "{ address: '[fd00::1]:8000', state: disabled }" },
		{ "{ address: '127.0.0.1:8000', weight: 0 }, { address: '127.0.0.2:8000', weight: 0 }",
		  "{ address: '[fd00::1]:8000', weight: 0 }" },
	};
	static const char *const algorithms[] = { "consistent", "random", "round-robin", "least-connections" };
	static const struct {
		const char *word;
		int error;
	} answers[] = { { "unreachable", EHOSTUNREACH }, { "refused", ECONNREFUSED } };

	(void)state;
	for (size_t i = 0; i < 3 * 4; i++) {
		const char *const *b = backends[i / 4], *algorithm = algorithms[i % 4];

		world_apply("services:\n" SERVICE("web", LISTEN4, "algorithm: %s, no-backend: %s", "%s") /* */
			    SERVICE("six", LISTEN6, "algorithm: %s, no-backend: %s", "%s"),
			    algorithm, answers[i % 2].word, b[0], algorithm, answers[i % 2].word, b[1]);
		for (size_t k = 0; k < ARRAY_SIZE(ways); k++)
			assert_refused(ways[k].asked, answers[i % 2].error);
		world_apply("services: []\n");
	}
}

/* ---- UDP without a connection ---- */

static void datagrams_of_one_socket_stay_with_one_backend_and_replies_come_from_the_service(void **state)
{
	(void)state;
	apply_usual();
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		int fd = client(ways[i].asked, SOCK_DGRAM);
		char first[64] = "";

		for (int n = 0; n < 8; n++) {
			struct at from;
			const char *by;

			assert_int_equal(send_to(fd, ways[i].asked, 80), 0);
			by = answer(fd, &from);
			assert_told(by, ways[i].prefix);
			if (!n)
				snprintf(first, sizeof(first), "%s", by);
			assert_string_equal(by, first);
			assert_string_equal(text(&from), ways[i].asked);
			assert_string_equal(peer(fd), "");
		}
		close(fd);
	}
}

static void recvmmsg_shows_the_service_in_each_message(void **state)
{
	int fd = client(VIP, SOCK_DGRAM);
	struct mmsghdr m[4] = {};
	struct iovec part[4];
	struct at from[4];
	char buf[4][64];

	(void)state;
	apply_usual();
	for (int i = 0; i < 4; i++) {
		part[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
		m[i].msg_hdr = (struct msghdr){ .msg_name = &from[i].a, .msg_namelen = sizeof(from[i].a), .msg_iov = &part[i],
						.msg_iovlen = 1 };
		assert_int_equal(send_to(fd, VIP, 80), 0);
	}
	assert_int_equal(recvmmsg(fd, m, 4, 0, NULL), 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(text(&from[i]), VIP);
	close(fd);
}

#define MANY 12 /* more services than a socket's notes have room for */

static void one_socket_may_ask_more_services_than_it_has_notes(void **state)
{
	char services[MANY * 200] = "services:\n", vip[32];
	int fd = client(VIP, SOCK_DGRAM);

	(void)state;
	for (int i = 1; i <= MANY; i++)
		sprintf(services + strlen(services), "  - { name: s%d, listen: '10.9.8.%d:80/udp', health: none, " RR
			", backends: [" B(1) "," B(2) "," B(3) "] }\n", i, i);
	world_apply("%s", services);
	for (int i = 0; i < 3 * MANY; i++) {
		struct at from;

		snprintf(vip, sizeof(vip), "10.9.8.%d", i % MANY + 1);
		assert_int_equal(send_to(fd, vip, 80), 0);
		assert_told(answer(fd, &from), "127.0.0.");
		assert_string_equal(text(&from), vip);
	}
	close(fd);
}

static void of_two_services_with_one_backend_a_reply_is_shown_as_the_one_asked_last(void **state)
{
	int fd = client(VIP, SOCK_DGRAM);

	(void)state;
	world_apply("services:\n" SERVICE("a", "listen: '10.9.8.1:80/udp'", RR, B(1)) /* */
		    SERVICE("b", "listen: '10.9.8.2:80/udp'", RR, B(1)));
	for (int i = 0; i < 6; i++) {
		const char *vip = i % 2 ? "10.9.8.1" : "10.9.8.2";
		struct at from;

		assert_int_equal(send_to(fd, vip, 80), 0);
		assert_string_equal(answer(fd, &from), "127.0.0.1");
		assert_string_equal(text(&from), vip);
	}
	close(fd);
}

/* ---- no longer ---- */

static void assert_direct(int fd, const char *backend)
{
	struct at from;

	assert_int_equal(dial(fd, backend, PORT), 0);
	assert_string_equal(told(fd), strncmp(backend, "::ffff:", 7) ? backend : backend + 7);
	assert_string_equal(peer(fd), backend);
	assert_int_equal(peer_port(fd), PORT);
	if (send(fd, "?", 1, 0) == 1 && *answer(fd, &from) && from.len)
		assert_string_equal(text(&from), backend);
}

static void undo_connect(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	assert_int_equal(connect(fd, &nobody, sizeof(nobody)), 0);
}

static void who_reconnects_to_the_backend_itself_is_shown_the_backend(void **state)
{
	const int types[] = { SOCK_STREAM, SOCK_DGRAM };

	(void)state;
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)) SERVICE("six", LISTEN6, RR, B6(1)));
	for (int i = 0; i < 6; i++) {
		const char *backend = i / 2 == 0 ? "127.0.0.1" : i / 2 == 1 ? "fd00::1" : "::ffff:127.0.0.1";
		int fd = dialled(ways[i / 2].asked, 80, types[i % 2]);

		assert_string_equal(peer(fd), ways[i / 2].asked);
		undo_connect(fd);
		assert_string_equal(peer(fd), "");
		assert_direct(fd, backend);
		close(fd);
	}
	for (int i = 0; i < 2; i++) { /* UDP needs no end of the connection before another */
		int fd = dialled(ways[i].asked, 80, SOCK_DGRAM);

		assert_direct(fd, i ? "fd00::1" : "127.0.0.1");
		close(fd);
	}
	assert_int_equal(open_of("web") + open_of("six"), 0);
}

static void who_is_connected_no_more_and_sends_to_the_backend_itself_is_shown_the_backend(void **state)
{
	int fd = dialled(VIP, 80, SOCK_DGRAM);
	struct at from;

	(void)state;
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)));
	assert_int_equal(dial(fd, VIP, 80), 0);
	undo_connect(fd);
	assert_int_equal(send_to(fd, "127.0.0.1", PORT), 0);
	assert_string_equal(answer(fd, &from), "127.0.0.1");
	assert_string_equal(text(&from), "127.0.0.1");
	close(fd);
}

static void who_sends_to_the_backend_itself_after_the_service_is_shown_the_backend(void **state)
{
	struct at from;
	int fd = client(VIP, SOCK_DGRAM);

	(void)state;
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)));
	for (int i = 0; i < 4; i++) {
		assert_int_equal(i % 2 ? send_to(fd, "127.0.0.1", PORT) : send_to(fd, VIP, 80), 0);
		assert_string_equal(answer(fd, &from), "127.0.0.1");
		assert_string_equal(text(&from), i % 2 ? "127.0.0.1" : VIP);
	}
	close(fd);
}

static void who_reconnects_to_another_service_is_shown_that(void **state)
{
	int fd = client(VIP, SOCK_DGRAM);

	(void)state;
	world_apply("services:\n" SERVICE("a", "listen: ['10.9.8.1:80/udp', '10.9.8.1:80/tcp']", RR, B(1)) /* */
		    SERVICE("b", "listen: ['10.9.8.2:80/udp', '10.9.8.2:80/tcp']", RR, B(1)));
	for (int i = 0; i < 4; i++) {
		const char *vip = i % 2 ? "10.9.8.1" : "10.9.8.2";

		assert_int_equal(dial(fd, vip, 80), 0);
		assert_string_equal(told(fd), "127.0.0.1");
		assert_string_equal(peer(fd), vip);
		assert_int_equal(open_of(i % 2 ? "a" : "b"), 1);
		assert_int_equal(open_of(i % 2 ? "b" : "a"), 0);
	}
	close(fd);
	fd = client(VIP, SOCK_STREAM);
	for (int i = 0; i < 4; i++) {
		const char *vip = i % 2 ? "10.9.8.1" : "10.9.8.2";

		assert_int_equal(dial(fd, vip, 80), 0);
		assert_string_equal(told(fd), "127.0.0.1");
		assert_string_equal(peer(fd), vip);
		undo_connect(fd);
		assert_int_equal(open_of("a") + open_of("b"), 0);
	}
	close(fd);
}

enum { CROWDS = 4, CROWD = 5000 };

/* Opens a crowd of sockets, says so, and when it is told to go on, says by its exit whether each is shown what it asked for. */
static void crowd(int say, int hear)
{
	static int fds[CROWD];
	unsigned wrong = 0;
	char c;

	for (int i = 0; i < CROWD; i++) {
		fds[i] = client(VIP, SOCK_DGRAM);
		wrong += dial(fds[i], i % 2 ? "10.9.8.1" : "10.9.8.2", 80) != 0;
	}
	if (write(say, "", 1) != 1 || read(hear, &c, 1) != 1)
		_exit(2);
	for (int i = 0; i < CROWD; i++)
		wrong += strcmp(peer(fds[i]), i % 2 ? "10.9.8.1" : "10.9.8.2") != 0;
	_exit(wrong ? 1 : 0);
}

static void what_is_shown_does_not_depend_on_how_many_sockets_there_are(void **state)
{
	int up[2], down[2], status;
	char c[CROWDS];

	(void)state;
	world_apply("services:\n" SERVICE("a", "listen: '10.9.8.1:80/udp'", RR, B(1) "," B(2)) /* */
		    SERVICE("b", "listen: '10.9.8.2:80/udp'", RR, B(1) "," B(2)));
	assert_true(!pipe(up) && !pipe(down));
	for (int i = 0; i < CROWDS; i++)
		if (!fork())
			crowd(up[1], down[0]);
	for (int i = 0; i < CROWDS; i++)
		assert_int_equal(read(up[0], c, 1), 1);
	assert_int_equal(open_of("a"), CROWDS * CROWD / 2);
	assert_int_equal(open_of("b"), CROWDS * CROWD / 2);
	assert_int_equal(write(down[1], c, CROWDS), CROWDS);
	for (int i = 0; i < CROWDS; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
	assert_int_equal(open_of("a") + open_of("b"), 0);
}

/* ---- the end of a backend ---- */

static bool has_ended(void *fd)
{
	struct pollfd p = { .fd = *(int *)fd };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP);
}

static bool either_has_ended(void *fds) { return has_ended(fds) || has_ended((int *)fds + 1); }

/* Who answers; the socket is closed. */
static char *owner(int fd)
{
	static char who[64];

	snprintf(who, sizeof(who), "%s", told(fd));
	close(fd);
	return who;
}

#define OTHER_NETNS "shunt-test-socket-far"

enum { TCP, UDP, MAPPED, SIX, BOUND, FAR_TCP, FAR_UDP, DIRECT, DIRECT_UDP, LOOSE, ELSEWHERE, N_KINDS };

/* One socket of each kind; those below DIRECT were given the first backend of their service. */
static void open_kinds(int fds[N_KINDS])
{
	fds[TCP] = dialled("10.9.8.1", 80, SOCK_STREAM);
	fds[UDP] = dialled("10.9.8.1", 80, SOCK_DGRAM);
	fds[MAPPED] = dialled("::ffff:10.9.8.1", 80, SOCK_STREAM);
	fds[SIX] = dialled("fd99::1", 80, SOCK_STREAM);
	fds[BOUND] = client(VIP, SOCK_DGRAM);
	setsockopt(fds[BOUND], SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
	assert_int_equal(dial(fds[BOUND], "10.9.8.1", 80), 0);
	fds[FAR_TCP] = socket_in(OTHER_NETNS, AF_INET, SOCK_STREAM);
	fds[FAR_UDP] = socket_in(OTHER_NETNS, AF_INET6, SOCK_DGRAM);
	assert_int_equal(dial(fds[FAR_TCP], "10.9.8.3", 80), 0);
	assert_int_equal(dial(fds[FAR_UDP], "::ffff:10.9.8.3", 80), 0);
	fds[DIRECT] = dialled("127.0.0.1", PORT, SOCK_STREAM);
	fds[DIRECT_UDP] = dialled("127.0.0.1", PORT, SOCK_DGRAM);
	fds[LOOSE] = client(VIP, SOCK_DGRAM);
	assert_int_equal(send_to(fds[LOOSE], "10.9.8.1", 80), 0);
	assert_string_equal(answer(fds[LOOSE], &(struct at){}), "127.0.0.1");
	fds[ELSEWHERE] = dialled("10.9.8.2", 80, SOCK_STREAM);
	for (int i = 0; i < N_KINDS; i++)
		assert_false(has_ended(&fds[i]));
}

static void assert_ended(int fds[N_KINDS])
{
	struct at from;

	for (int i = 0; i < DIRECT; i++)
		if (!world_until(has_ended, &fds[i]))
			fail_msg("kind %d was not ended", i);
	world_run(50);
	for (int i = DIRECT; i < N_KINDS; i++)
		if (has_ended(&fds[i]))
			fail_msg("kind %d was ended", i);
	assert_int_equal(send_to(fds[LOOSE], "10.9.8.1", 80), 0); /* goes on by itself, with another */
	assert_string_equal(answer(fds[LOOSE], &from), "127.0.0.2");
	assert_string_equal(text(&from), "10.9.8.1");
	assert_string_equal(owner(dialled("10.9.8.1", 80, SOCK_STREAM)), "127.0.0.2");
	assert_string_equal(owner(dialled("10.9.8.1", 80, SOCK_DGRAM)), "127.0.0.2");
	for (int i = 0; i < N_KINDS; i++)
		close(fds[i]);
}

/* first, second: backends of each service but "other", which has the first backend alone, and keeps it. */
static void apply_pair(const char *first, const char *first6, const char *first_far, const char *options)
{
	world_apply("services:\n"
		    "  - { name: web, health: none, listen: ['10.9.8.1:80/tcp', '10.9.8.1:80/udp'], %s, backends: [%s] }\n"
		    "  - { name: far, health: none, listen: ['10.9.8.3:80/tcp', '10.9.8.3:80/udp'], %s, backends: [%s] }\n"
		    "  - { name: six, health: none, listen: ['[fd99::1]:80/tcp'], %s, backends: [%s] }\n"
		    "  - { name: other, health: none, listen: ['10.9.8.2:80/tcp'], backends: [" B(1) "] }\n",
		    options, first, options, first_far, options, first6);
}

static void far_namespace(void)
{
	netns_add(OTHER_NETNS);
	sh("ip link add v0 type veth peer name v0 netns " OTHER_NETNS " && ip addr add 10.8.0.1/24 dev v0 && "
	   "ip link set v0 up && ip -n " OTHER_NETNS " addr add 10.8.0.2/24 dev v0 && ip -n " OTHER_NETNS " link set v0 up");
}

static void near_namespace(void)
{
	sh("ip link delete v0");
	netns_delete(OTHER_NETNS);
}

#define FAR_B "{ address: '10.8.0.1:8000' }"

static void connections_to_a_backend_that_is_gone_end_and_no_others(void **state)
{
	static const struct {
		const char *name, *web, *six, *far, *options;
	} cases[] = {
		{ "deleted", B(2), B6(2), B(2), "drain: 0s" },
		{ "disabled", "{ address: '127.0.0.1:8000', state: disabled }, " B(2),
		  "{ address: '[fd00::1]:8000', state: disabled }, " B6(2),
		  "{ address: '10.8.0.1:8000', state: disabled }, " B(2), "drain: 1h" },
		{ "its drain is over", B(2), B6(2), B(2), "drain: 300ms" },
		{ "draining, and its drain is over", "{ address: '127.0.0.1:8000', state: draining }, " B(2),
		  "{ address: '[fd00::1]:8000', state: draining }, " B6(2),
		  "{ address: '10.8.0.1:8000', state: draining }, " B(2), "drain: 300ms" },
	};

	(void)state;
	far_namespace();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int fds[N_KINDS];

		print_message("# %s\n", cases[i].name);
		apply_pair(B(1), B6(1), FAR_B, cases[i].options);
		open_kinds(fds);
		apply_pair(cases[i].web, cases[i].six, cases[i].far, cases[i].options);
		assert_ended(fds);
		world_apply("services: []\n");
	}
	near_namespace();
}

/* A server of the test's own, so that it can fail. */
static int open_sick(void)
{
	const struct at here = at("127.0.0.100", PORT + 1);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (const struct sockaddr *)&here.a, here.len), 0);
	assert_int_equal(listen(fd, 128), 0);
	return fd;
}

static bool is_unhealthy(void *backend) { return state_of("web", backend) == STATE_UNHEALTHY; }

static bool is_healthy(void *backend) { return state_of("web", backend) == STATE_HEALTHY; }

/* What a listener that closes has not accepted is reset: that would end connections, too. */
static int accept_all(int server, int fds[16])
{
	int n = 0;

	while (n < 16 && (fds[n] = accept(server, NULL, NULL)) >= 0)
		n++;
	close(server);
	return n;
}

static void connections_to_a_backend_that_fails_end_and_the_next_go_elsewhere(void **state)
{
	char sick[] = "127.0.0.100:8001";
	int server = open_sick(), accepted[16], n, given[2], direct;

	(void)state;
	world_apply("services: []\n");
	world_apply("services:\n  - { name: web, listen: '" VIP ":80/tcp', " RR ", backends: [{ address: '%s' }, " B(2) "],\n"
		    "      health: { tcp: {}, interval: 100ms, timeout: 90ms, fall: 1, rise: 1 } }\n", sick);
	assert_true(world_until(is_healthy, sick));
	for (int i = 0; i < 2; i++) /* one of two turns is its */
		given[i] = dialled(VIP, 80, SOCK_STREAM);
	assert_int_equal(tally("web", sick).open, 1);
	direct = dialled("127.0.0.100", PORT + 1, SOCK_STREAM);
	n = accept_all(server, accepted);
	assert_true(world_until(is_unhealthy, sick));
	assert_true(world_until(either_has_ended, given));
	assert_int_equal(tally("web", sick).open, 0);
	assert_int_equal(open_of("web"), 1);
	assert_false(has_ended(&direct));
	for (int i = 0; i < 6; i++)
		assert_string_equal(owner(dialled(VIP, 80, SOCK_STREAM)), "127.0.0.2");
	while (n)
		close(accepted[--n]);
	close(direct);
	close(given[0]);
	close(given[1]);
	world_apply("services: []\n");
}

static void a_service_whose_backends_all_fail_refuses_until_one_is_back(void **state)
{
	char sick[] = "127.0.0.100:8001";
	int server = open_sick();

	(void)state;
	world_apply("services:\n  - { name: web, listen: ['" VIP ":80/tcp', '" VIP ":80/udp'], " RR ", backends: [{ address: '%s' }],\n"
		    "      health: { tcp: {}, interval: 100ms, timeout: 90ms, fall: 1, rise: 1 } }\n", sick);
	assert_true(world_until(is_healthy, sick));
	close(dialled(VIP, 80, SOCK_STREAM));
	close(server);
	assert_true(world_until(is_unhealthy, sick));
	assert_refused(VIP, EHOSTUNREACH);
	world_run(100);
	assert_refused(VIP, EHOSTUNREACH);
	server = open_sick();
	assert_true(world_until(is_healthy, sick));
	close(dialled(VIP, 80, SOCK_STREAM));
	close(server);
	world_apply("services: []\n");
}

#define MANY_ENDING 3000

static bool all_have_ended(void *fds)
{
	int n = 0;

	while (n < MANY_ENDING && has_ended((int *)fds + n))
		n++;
	return n == MANY_ENDING;
}

static void thousands_of_connections_end_at_once(void **state)
{
	static int fds[MANY_ENDING];
	unsigned before;

	(void)state;
	world_apply("services: []\n");
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)));
	for (int i = 0; i < MANY_ENDING; i++)
		fds[i] = dialled(i % 2 ? VIP : MAPPED_VIP, 80, i % 3 ? SOCK_DGRAM : SOCK_STREAM);
	before = w.ended;
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(2)));
	assert_true(world_until(all_have_ended, fds));
	world_run(50);
	assert_int_equal(w.ended - before, MANY_ENDING);
	for (int i = 0; i < MANY_ENDING; i++)
		close(fds[i]);
}

/* ... which may take minutes until the kernel gives up. */
static void a_connect_that_waits_for_a_backend_that_is_gone_ends(void **state)
{
	int fd = client(VIP, SOCK_STREAM | SOCK_NONBLOCK);

	(void)state;
	sh("ip link add v0 type veth peer name v1 && ip address add 10.7.0.1/24 dev v0 && ip link set v0 up && "
	   "ip link set v1 up && ip neigh replace 10.7.0.2 lladdr 02:00:00:00:00:01 nud permanent dev v0");
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, "{ address: '10.7.0.2:80' }"));
	assert_int_equal(dial(fd, VIP, 80), -EINPROGRESS);
	world_run(50);
	assert_false(has_ended(&fd));
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)));
	assert_true(world_until(has_ended, &fd));
	assert_int_equal(open_of("web"), 0);
	close(fd);
	sh("ip link delete v0");
}

/* The daemon was away when the configuration lost the backend. */
static void connections_that_a_new_daemon_finds_without_a_backend_end(void **state)
{
	static const char *const after[] = { B(2), "{ address: '127.0.0.1:8000', state: disabled }, " B(2) };

	(void)state;
	for (int i = 0; i < 2; i++) {
		int fds[2];

		world_apply("services: []\n");
		world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)));
		fds[0] = dialled(VIP, 80, SOCK_STREAM);
		fds[1] = dialled(VIP, 80, SOCK_DGRAM);
		world_restart();
		world_apply("services:\n" SERVICE("web", LISTEN4, RR, "%s"), after[i]);
		for (int k = 0; k < 2; k++) {
			if (!world_until(has_ended, &fds[k]))
				fail_msg("case %d, socket %d was not ended", i, k);
			close(fds[k]);
		}
		assert_int_equal(open_of("web"), 0);
	}
}

static void a_service_that_a_new_daemon_does_not_have_loses_its_connections(void **state)
{
	int fd;

	(void)state;
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)));
	fd = dialled(VIP, 80, SOCK_STREAM);
	world_restart();
	world_apply("services: []\n");
	assert_true(world_until(has_ended, &fd));
	close(fd);
}

static void a_backend_of_weight_0_keeps_what_it_has(void **state)
{
	int fds[2];

	(void)state;
	world_apply("services: []\n");
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)));
	fds[0] = dialled(VIP, 80, SOCK_STREAM);
	fds[1] = dialled(VIP, 80, SOCK_DGRAM);
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, "{ address: '127.0.0.1:8000', weight: 0 }, " B(2)));
	world_run(200);
	for (int i = 0; i < 2; i++) {
		assert_false(has_ended(&fds[i]));
		assert_string_equal(told(fds[i]), "127.0.0.1");
		assert_string_equal(owner(dialled(VIP, 80, SOCK_STREAM)), "127.0.0.2");
	}
	assert_int_equal(tally("web", "127.0.0.1:8000").open, 2);
	close(fds[0]);
	close(fds[1]);
}

static void a_check_reaches_the_backend_itself_at_a_services_address(void **state)
{
	char backend[] = "127.0.0.1:8000";

	(void)state;
	/* The backend of web is at the address of trap, which has nobody to answer. */
	world_apply("services:\n  - { name: web, listen: '" VIP ":80/tcp', backends: [" B(1) "],\n"
		    "      health: { tcp: {}, interval: 100ms, timeout: 90ms, fall: 1, rise: 1 } }\n"
		    "  - { name: trap, listen: '127.0.0.1:8000/tcp', health: none, backends: [{ address: '127.0.0.100:9' }] }\n");
	assert_true(world_until(is_healthy, backend));
	world_run(300);
	assert_true(is_healthy(backend));
	assert_int_equal(tally("trap", NULL).made, 0);
	world_apply("services: []\n");
}

/* ---- who ---- */

#define EIGHT B(1) "," B(2) "," B(3) "," B(4) "," B(5) "," B(6) "," B(7) "," B(8)

/* The one backend that all of a namespace's sockets are given. */
static int owner_for(const char *netns)
{
	char backend[32];
	int n = 0;

	world_apply("services: []\n");
	world_apply("services:\n" SERVICE("web", LISTEN4, "affinity: client", EIGHT));
	for (int i = 0; i < 5; i++) {
		int fd = socket_in(netns, i % 2 ? AF_INET : AF_INET6, SOCK_DGRAM);

		assert_int_equal(dial(fd, VIP, 80), 0);
		close(fd);
	}
	do
		snprintf(backend, sizeof(backend), "127.0.0.%d:8000", ++n);
	while (n < 8 && !tally("web", backend).made);
	assert_int_equal(tally("web", backend).made, 5);
	return n;
}

static void affinity_gives_all_of_a_network_namespace_one_backend(void **state)
{
	bool differs = false;
	int own = owner_for(NULL), other;

	(void)state;
	for (int i = 0; i < 6; i++) {
		netns_add("shunt-test-blue");
		other = owner_for("shunt-test-blue");
		assert_int_equal(owner_for("shunt-test-blue"), other);
		differs |= other != own;
		netns_delete("shunt-test-blue");
	}
	assert_int_equal(owner_for(NULL), own);
	assert_true(differs);
}

static void affinity_looks_at_the_backends_state_each_time(void **state)
{
	char first[64], line[512], *who;

	(void)state;
	world_apply("services:\n" SERVICE("web", LISTEN4, "affinity: client", B(1) "," B(2) "," B(3)));
	snprintf(first, sizeof(first), "%s", owner(dialled(VIP, 80, SOCK_STREAM)));
	line[0] = '\0';
	for (int i = 1; i <= 3; i++) {
		char name[32];

		snprintf(name, sizeof(name), "127.0.0.%d", i);
		sprintf(line + strlen(line), "%s{ address: '%s:8000'%s }", i > 1 ? ", " : "", name,
			strcmp(name, first) ? "" : ", state: disabled");
	}
	world_apply("services:\n" SERVICE("web", LISTEN4, "affinity: client", "%s"), line);
	who = owner(dialled(VIP, 80, SOCK_STREAM));
	assert_string_not_equal(who, first);
	world_apply("services:\n" SERVICE("web", LISTEN4, "affinity: client", B(1) "," B(2) "," B(3)));
	assert_string_equal(owner(dialled(VIP, 80, SOCK_STREAM)), first);
}

/* Is this process's connection balanced? Nobody is at the service's address otherwise. */
static bool is_balanced(void)
{
	int fd = client(VIP, SOCK_DGRAM);
	bool is;

	assert_int_equal(dial(fd, VIP, 80), 0);
	is = tally("web", NULL).open == 1;
	close(fd);
	return is;
}

/* So that a socket whose connection is left as it is can be connected, too. */
static void with_route(bool on) { sh("ip route %s " VIP " dev lo", on ? "add" : "del"); }

static void a_cgroup_opts_out_with_all_that_is_below_it(void **state)
{
	(void)state;
	with_route(true);
	cgroup_make("out/below");
	cgroup_make("in");
	world_apply("socket: { except: [/out] }\nservices:\n" SERVICE("web", LISTEN4, RR, B(1)));
	assert_true(is_balanced());
	cgroup_enter("out");
	assert_false(is_balanced());
	cgroup_enter("out/below");
	assert_false(is_balanced());
	cgroup_enter("in");
	assert_true(is_balanced());
	world_apply("services:\n" SERVICE("web", LISTEN4, RR, B(1)));
	cgroup_enter("out");
	assert_true(is_balanced());
	cgroup_enter("");
	cgroup_remove("out/below");
	cgroup_remove("out");
	cgroup_remove("in");
	with_route(false);
}

static void a_service_is_for_the_cgroups_that_it_names(void **state)
{
	(void)state;
	with_route(true);
	cgroup_make("one/below/deep");
	world_apply("services:\n" SERVICE("web", LISTEN4, "clients: { cgroups: [/one/below, /later] }", B(1)));
	assert_false(is_balanced());
	cgroup_enter("one");
	assert_false(is_balanced());
	cgroup_enter("one/below");
	assert_true(is_balanced());
	cgroup_enter("one/below/deep");
	assert_true(is_balanced());
	cgroup_enter("");
	for (int i = 0; i < 3; i++) { /* gone and made again: it has another number each time */
		cgroup_make("later");
		world_run(20);
		cgroup_enter("later");
		assert_true(is_balanced());
		cgroup_enter("");
		cgroup_remove("later");
		world_run(5);
	}
	cgroup_remove("one/below/deep");
	cgroup_remove("one/below");
	world_run(20);
	cgroup_make("one/below/deep");
	world_run(20);
	cgroup_enter("one/below/deep");
	assert_true(is_balanced());
	cgroup_enter("");
	cgroup_remove("one/below/deep");
	cgroup_remove("one/below");
	cgroup_remove("one");
	with_route(false);
}

static bool is_balanced_there(void *netns)
{
	int fd = socket_in(netns, AF_INET, SOCK_DGRAM);
	bool is;

	dial(fd, VIP, 80);
	is = tally("web", NULL).open == 1;
	close(fd);
	return is;
}

static void a_service_is_for_the_namespaces_that_it_names(void **state)
{
	(void)state;
	netns_add("shunt-test-blue");
	netns_add("shunt-test-red");
	world_apply("services:\n" SERVICE("web", LISTEN4, "clients: { namespaces: [/run/netns/shunt-test-blue] }", B(1)));
	assert_true(world_until(is_balanced_there, "shunt-test-blue"));
	assert_false(is_balanced_there("shunt-test-red"));
	assert_false(is_balanced_there(NULL));
	netns_delete("shunt-test-blue");
	netns_add("shunt-test-blue"); /* gone and made again: it has another cookie, which is seen when the daemon looks again */
	world_apply("services:\n" SERVICE("web", LISTEN4, "clients: { namespaces: [/run/netns/shunt-test-blue] }", B(1)));
	assert_true(world_until(is_balanced_there, "shunt-test-blue"));
	netns_delete("shunt-test-blue");
	netns_delete("shunt-test-red");
}

/* ---- others that connect ---- */

/* One IORING_OP_CONNECT by a worker of the kernel's, not by this thread. */
static int dial_by_worker(int fd, const char *address, uint16_t port)
{
	struct io_uring_params p = {};
	const struct at to = at(address, port);
	int ring = syscall(SYS_io_uring_setup, 4, &p), err;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqe;
	char *sq, *cq;

	if (ring < 0)
		return -ENOSYS;
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(*cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	assert_true(sq != MAP_FAILED && cq != MAP_FAILED && sqes != MAP_FAILED);
	sqes[0] = (struct io_uring_sqe){ .opcode = IORING_OP_CONNECT, .flags = IOSQE_ASYNC, .fd = fd,
					 .addr = (uintptr_t)&to.a, .off = to.len };
	*(unsigned *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	assert_int_equal(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0), 1);
	cqe = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
	err = cqe->res;
	close(ring);
	return err;
}

static void a_connection_made_by_the_kernels_worker_is_balanced(void **state)
{
	int fd = client(VIP, SOCK_STREAM), err;

	(void)state;
	apply_usual();
	err = dial_by_worker(fd, VIP, 80);
	if (err == -ENOSYS)
		skip();
	assert_int_equal(err, 0);
	assert_told(told(fd), "127.0.0.");
	assert_string_equal(peer(fd), VIP);
	assert_int_equal(open_of("web"), 1);
	close(fd);
}

static bool none_open(void *nothing)
{
	(void)nothing;
	return !open_of("web");
}

/* Of its connections one is made by the process, and more by the kernel later on. */
static void multipath_tcp_is_balanced(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	(void)state;
	if (fd < 0)
		skip();
	apply_usual();
	assert_int_equal(dial(fd, VIP, 80), 0);
	assert_told(told(fd), "127.0.0.");
	assert_int_equal(open_of("web"), 1);
	close(fd);
	assert_true(world_until(none_open, NULL));
}

/* ---- while tables are being written ---- */

#define THREE SERVICE("web", LISTEN4, RR, B(1) "," B(2) "," B(3))

/* Where web's turns end, another service's begin: of one with more members, whose numbers reach beyond web's members, too. */
static void turns_that_are_being_rewritten_lead_to_nobody_elses_backend(void **state)
{
	enum { OTHERS = 40, CONNECTS = 12000 };
	struct reconcile_service s;
	char others[OTHERS * 64] = "";

	(void)state;
	for (int i = 1; i <= OTHERS; i++)
		sprintf(others + strlen(others), "%s{ address: '127.0.1.%d:8000' }", i > 1 ? "," : "", i);
	world_apply("services: []\n");
	world_apply("services:\n" THREE);
	world_apply("services:\n" THREE SERVICE("six", LISTEN6, RR, "%s"), others);
	assert_int_equal(reconcile_service(w.rooms.r, "web", &s), 0);
	dp_services(w.rooms.dp)[s.id].turns = CONNECTS; /* of a larger table, to which it has not moved yet */
	reconcile_service_clear(&s);
	for (int i = 0; i < CONNECTS; i++)
		close(dialled(VIP, 80, SOCK_DGRAM));
	assert_int_equal(tally("six", NULL).made, 0);
	assert_int_equal(tally("web", NULL).made, CONNECTS);
	world_apply("services: []\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_given_a_backend_and_shown_the_service),
		cmocka_unit_test(a_host_without_ipv6_is_served_through_mapped_addresses),
		cmocka_unit_test(an_ipv4_structure_in_an_ipv6_socket_is_balanced_too),
		cmocka_unit_test(an_ipv6_socket_is_given_the_other_family_when_only_that_is_there),
		cmocka_unit_test(a_socket_for_ipv6_alone_is_given_no_ipv4_backend),
		cmocka_unit_test(a_service_on_every_port_keeps_the_port_that_was_asked_for),
		cmocka_unit_test(tcp_fast_open_is_balanced),
		cmocka_unit_test(a_service_without_a_usable_backend_refuses_at_once),
		cmocka_unit_test(datagrams_of_one_socket_stay_with_one_backend_and_replies_come_from_the_service),
		cmocka_unit_test(recvmmsg_shows_the_service_in_each_message),
		cmocka_unit_test(one_socket_may_ask_more_services_than_it_has_notes),
		cmocka_unit_test(of_two_services_with_one_backend_a_reply_is_shown_as_the_one_asked_last),
		cmocka_unit_test(who_reconnects_to_the_backend_itself_is_shown_the_backend),
		cmocka_unit_test(who_is_connected_no_more_and_sends_to_the_backend_itself_is_shown_the_backend),
		cmocka_unit_test(who_sends_to_the_backend_itself_after_the_service_is_shown_the_backend),
		cmocka_unit_test(who_reconnects_to_another_service_is_shown_that),
		cmocka_unit_test(what_is_shown_does_not_depend_on_how_many_sockets_there_are),
		cmocka_unit_test(connections_to_a_backend_that_is_gone_end_and_no_others),
		cmocka_unit_test(connections_to_a_backend_that_fails_end_and_the_next_go_elsewhere),
		cmocka_unit_test(a_service_whose_backends_all_fail_refuses_until_one_is_back),
		cmocka_unit_test(thousands_of_connections_end_at_once),
		cmocka_unit_test(a_connect_that_waits_for_a_backend_that_is_gone_ends),
		cmocka_unit_test(connections_that_a_new_daemon_finds_without_a_backend_end),
		cmocka_unit_test(a_service_that_a_new_daemon_does_not_have_loses_its_connections),
		cmocka_unit_test(a_backend_of_weight_0_keeps_what_it_has),
		cmocka_unit_test(a_check_reaches_the_backend_itself_at_a_services_address),
		cmocka_unit_test(affinity_gives_all_of_a_network_namespace_one_backend),
		cmocka_unit_test(affinity_looks_at_the_backends_state_each_time),
		cmocka_unit_test(a_cgroup_opts_out_with_all_that_is_below_it),
		cmocka_unit_test(a_service_is_for_the_cgroups_that_it_names),
		cmocka_unit_test(a_service_is_for_the_namespaces_that_it_names),
		cmocka_unit_test(a_connection_made_by_the_kernels_worker_is_balanced),
		cmocka_unit_test(multipath_tcp_is_balanced),
		cmocka_unit_test(turns_that_are_being_rewritten_lead_to_nobody_elses_backend),
	};

	return cmocka_run_group_tests(tests, sockets_setup, sockets_teardown);
}
