/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections are ended, in whichever network namespace: real sockets, and records of them that a test writes where the
 * kernel's program would find them itself (records.bpf.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <linux/capability.h>

#include "base/addr.h"
#include "base/clean.h"
#include "datapath/sever.h"
#include "netns.h"
#include "records.h"
#include "records.test.skel.h"
#include "../../bpf/abi.h"

#define OTHER "sever-other"
#define OTHER_FILE "/run/netns/" OTHER
#define OWN "/proc/self/ns/net"

static struct world {
	struct event_base *base;
	struct records_test *source;
	struct bpf_link *link;
	struct sever *s;
	uint32_t n; /* records */
	unsigned reports;
	struct sever_report last;
	unsigned answers; /* of sever_netns; the last one: */
	int err;
	uint64_t cookie;
	char problem[SEVER_PROBLEM];
} w;

/* ---- the loop ---- */

static void on_report(void *arg, const struct sever_report *r)
{
	assert_ptr_equal(arg, &w);
	w.reports++;
	w.last = *r;
}

static void on_cookie(void *arg, int err, uint64_t cookie, const char *problem)
{
	assert_ptr_equal(arg, &w);
	w.answers++;
	w.err = err;
	w.cookie = cookie;
	snprintf(w.problem, sizeof(w.problem), "%s", problem);
}

/* Until *counter is n; a test that hangs is ended by who runs it. */
static void turn_until(const unsigned *counter, unsigned n)
{
	while (*counter < n)
		assert_int_equal(event_base_loop(w.base, EVLOOP_ONCE), 0);
	assert_int_equal(*counter, n);
}

static void look(void)
{
	w.reports = 0;
	sever_look(w.s);
	turn_until(&w.reports, 1);
}

static void ask(const char *path)
{
	w.answers = 0;
	assert_int_equal(sever_netns(w.s, path, on_cookie, &w), 0);
	turn_until(&w.answers, 1);
}

/* ---- sockets ---- */

static void move_to(const char *netns)
{
	_cleanup_close_ int fd = open(netns, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
}

static ino_t ino_of(const char *netns)
{
	struct stat s;

	assert_int_equal(stat(netns, &s), 0);
	return s.st_ino;
}

/* A socket at one end, and who it is connected to. */
struct pair {
	int app, peer;
};

static void give_patience(int fd)
{
	const struct timeval limit = { .tv_sec = 5 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
}

static int socket_of(const struct sockaddr_storage *to, int type)
{
	int fd = socket(to->ss_family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	give_patience(fd);
	return fd;
}

static struct sockaddr_storage sockaddr_of(const char *at, socklen_t *length)
{
	struct sockaddr_storage out;
	struct endpoint e;

	assert_int_equal(endpoint_parse(at, &e), 0);
	*length = endpoint_sockaddr(&e, &out);
	return out;
}

/* Who is listened for at `at` (port 0: any); *at_now: where that is. */
static int listen_at(const char *at, int type, struct sockaddr_storage *at_now, socklen_t *length)
{
	int fd;

	*at_now = sockaddr_of(at, length);
	fd = socket_of(at_now, type);
	assert_int_equal(bind(fd, (void *)at_now, *length), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (void *)at_now, length), 0);
	return fd;
}

static struct sockaddr_storage mapped(const struct sockaddr_storage *four)
{
	const struct sockaddr_in *from = (const void *)four;
	struct sockaddr_storage out = {};
	struct sockaddr_in6 *to = (void *)&out;

	to->sin6_family = AF_INET6;
	to->sin6_port = from->sin_port;
	to->sin6_addr.s6_addr[10] = to->sin6_addr.s6_addr[11] = 0xff;
	memcpy(to->sin6_addr.s6_addr + 12, &from->sin_addr, 4);
	return out;
}

enum form { PLAIN, MAPPED };

/* at: without a port */
static struct pair connect_pair(const char *at, int type, enum form form)
{
	struct sockaddr_storage to;
	socklen_t length;
	int listener = listen_at(at, type, &to, &length);
	struct pair p = { .peer = listener };

	if (form == MAPPED) {
		to = mapped(&to);
		length = sizeof(struct sockaddr_in6);
	}
	p.app = socket_of(&to, type);
	assert_int_equal(connect(p.app, (void *)&to, length), 0);
	if (type == SOCK_STREAM) {
		p.peer = accept(listener, NULL, NULL);
		assert_true(p.peer >= 0);
		give_patience(p.peer);
		close(listener);
	}
	return p;
}

static void close_pair(struct pair p)
{
	close(p.app);
	close(p.peer);
}

/* ---- records ---- */

static uint64_t cookie_of(int fd)
{
	uint64_t cookie;
	socklen_t length = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length), 0);
	return cookie;
}

static int option(int fd, int name)
{
	socklen_t length = sizeof(int);
	int value;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, name, &value, &length), 0);
	return value;
}

static void put_address(const struct sockaddr_storage *from, struct shunt_addr *addr, __be16 *port)
{
	const struct sockaddr_in6 *six = (const void *)from;
	const struct sockaddr_storage as_six = mapped(from);

	if (from->ss_family == AF_INET)
		six = (const void *)&as_six;
	memcpy(addr, &six->sin6_addr, sizeof(*addr));
	*port = six->sin6_port;
}

static struct shunt_connection record_of(int fd, ino_t netns)
{
	struct shunt_connection c = { .cookie = cookie_of(fd), .netns = netns, .flags = SHUNT_CONNECTION_ENDS };
	struct sockaddr_storage local = {}, peer = {};
	socklen_t length = sizeof(local);

	assert_int_equal(getsockname(fd, (void *)&local, &length), 0);
	put_address(&local, &c.local, &c.local_port);
	length = sizeof(peer);
	if (!getpeername(fd, (void *)&peer, &length)) /* a socket that connects has none yet */
		put_address(&peer, &c.given, &c.given_port);
	c.family = option(fd, SO_DOMAIN);
	c.proto = option(fd, SO_PROTOCOL);
	c.state = TCP_ESTABLISHED;
	return c;
}

static void put(const struct shunt_connection *c)
{
	int map = bpf_map__fd(w.source->maps.connections);

	assert_int_equal(bpf_map_update_elem(map, &w.n, c, BPF_ANY), 0);
	w.n++;
}

static void put_socket(int fd, ino_t netns)
{
	const struct shunt_connection c = record_of(fd, netns);

	put(&c);
}

/* ---- what became of them ---- */

static int error_of_read(int fd)
{
	char b;

	return recv(fd, &b, 1, 0) < 0 ? errno : 0;
}

static void is_alive(struct pair p)
{
	char b = 'x';

	assert_int_equal(send(p.app, &b, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(p.peer, &b, 1, 0), 1);
	assert_int_equal(b, 'x');
}

static void assert_report(uint32_t ended, uint32_t gone, uint32_t failed)
{
	assert_int_equal(w.last.found, ended + gone + failed);
	assert_int_equal(w.last.ended, ended);
	assert_int_equal(w.last.gone, gone);
	assert_int_equal(w.last.failed, failed);
	if (!failed)
		assert_string_equal(w.last.problem, "");
	assert_string_equal(sever_problem(w.s), w.last.problem);
}

/* ---- the world ---- */

static int make_source(void)
{
	union bpf_iter_link_info info = {};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));

	w.source = records_test__open_and_load();
	assert_non_null(w.source);
	info.map.map_fd = bpf_map__fd(w.source->maps.connections);
	w.link = bpf_program__attach_iter(w.source->progs.records, &opts);
	assert_non_null(w.link);
	return bpf_link__fd(w.link);
}

static int setup(void **state)
{
	(void)state;
	w = (struct world){};
	netns_enter();
	netns_add(OTHER);
	assert_int_equal(sever_start(&w.s), 0);
	w.base = event_base_new();
	assert_int_equal(sever_attach(w.s, w.base, on_report, &w), 0);
	assert_int_equal(sever_set_link(w.s, make_source()), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sever_free(w.s);
	event_base_free(w.base);
	bpf_link__destroy(w.link);
	records_test__destroy(w.source);
	netns_delete(OTHER);
	return 0;
}

/* ---- which connections ---- */

/* A second one like it, to the same address, goes on. */
static void one_is_ended_and_its_neighbour_is_not(const char *at, int type, enum form form, const char *netns)
{
	struct pair p, neighbour;

	move_to(netns);
	p = connect_pair(at, type, form);
	neighbour = connect_pair(at, type, form);
	put_socket(p.app, ino_of(OWN));
	look();
	assert_report(1, 0, 0);
	assert_int_equal(error_of_read(p.app), ECONNABORTED);
	if (type == SOCK_STREAM)
		assert_int_equal(error_of_read(p.peer), ECONNRESET);
	is_alive(neighbour);
	close_pair(p);
	close_pair(neighbour);
}

static void a_tcp_connection_over_ipv4_is_ended(void **state)
{
	(void)state;
	one_is_ended_and_its_neighbour_is_not("127.0.0.1", SOCK_STREAM, PLAIN, OWN);
}

static void a_tcp_connection_over_ipv6_is_ended(void **state)
{
	(void)state;
	one_is_ended_and_its_neighbour_is_not("::1", SOCK_STREAM, PLAIN, OWN);
}

static void a_tcp_connection_of_an_ipv6_socket_over_ipv4_is_ended(void **state)
{
	(void)state;
	one_is_ended_and_its_neighbour_is_not("127.0.0.1", SOCK_STREAM, MAPPED, OWN);
}

static void a_connected_udp_socket_is_ended(void **state)
{
	(void)state;
	one_is_ended_and_its_neighbour_is_not("127.0.0.1", SOCK_DGRAM, PLAIN, OWN);
}

static void a_connected_udp_socket_of_ipv6_is_ended(void **state)
{
	(void)state;
	one_is_ended_and_its_neighbour_is_not("::1", SOCK_DGRAM, PLAIN, OWN);
}

static void a_connected_udp_socket_of_ipv6_over_ipv4_is_ended(void **state)
{
	(void)state;
	one_is_ended_and_its_neighbour_is_not("127.0.0.1", SOCK_DGRAM, MAPPED, OWN);
}

static void a_socket_in_another_namespace_is_ended(void **state)
{
	(void)state;
	one_is_ended_and_its_neighbour_is_not("127.0.0.1", SOCK_STREAM, PLAIN, OTHER_FILE);
}

static void a_udp_socket_in_another_namespace_is_ended(void **state)
{
	(void)state;
	one_is_ended_and_its_neighbour_is_not("::1", SOCK_DGRAM, PLAIN, OTHER_FILE);
}

/* A socket bound to where the other one is, in the namespace that this thread is in now. */
static int bound_like(int other)
{
	struct sockaddr_storage at;
	socklen_t length = sizeof(at);
	const int on = 1;
	int fd;

	assert_int_equal(getsockname(other, (void *)&at, &length), 0);
	fd = socket_of(&at, SOCK_DGRAM);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (void *)&at, length), 0);
	return fd;
}

/* The same addresses and ports in both: only the one that is meant. */
static void namespaces_are_told_apart(void **state)
{
	struct pair here = connect_pair("127.0.0.1", SOCK_DGRAM, PLAIN), there;
	struct sockaddr_storage to;
	socklen_t length = sizeof(to);

	(void)state;
	assert_int_equal(getsockname(here.peer, (void *)&to, &length), 0);
	move_to(OTHER_FILE);
	there = (struct pair){ .app = bound_like(here.app), .peer = bound_like(here.peer) };
	assert_int_equal(connect(there.app, (void *)&to, length), 0);
	put_socket(there.app, ino_of(OWN));
	look();
	assert_report(1, 0, 0);
	assert_int_equal(error_of_read(there.app), ECONNABORTED);
	is_alive(here);
	close_pair(here);
	close_pair(there);
}

/* All addresses are the same: the kernel finds one of them, whichever is meant. Both orders, as it may be any. */
static void udp_sockets_that_share_their_addresses_are_all_ended(void **state)
{
	struct sockaddr_storage to;
	socklen_t length;
	int peer = listen_at("127.0.0.1", SOCK_DGRAM, &to, &length);
	int like = listen_at("127.0.0.1", SOCK_DGRAM, &to, &length);
	int on = 1, apps[3];

	(void)state;
	assert_int_equal(setsockopt(like, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	length = sizeof(to);
	assert_int_equal(getsockname(peer, (void *)&to, &length), 0);
	for (int forwards = 0; forwards < 2; forwards++) {
		for (int i = 0; i < 3; i++)
			apps[i] = bound_like(like);
		w.n = 0;
		for (int i = 0; i < 3; i++) {
			int fd = apps[forwards ? i : 2 - i];

			assert_int_equal(connect(fd, (void *)&to, length), 0);
			put_socket(fd, ino_of(OWN));
		}
		look();
		assert_report(3, 0, 0);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(error_of_read(apps[i]), ECONNABORTED);
			close(apps[i]);
		}
	}
	close(like);
	close(peer);
}

/* Its process shows it, no file does. */
static void a_namespace_without_a_name_is_found_by_its_process(void **state)
{
	struct pair p;
	int ready[2];
	pid_t child;
	char b;

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sh("ip link set lo up");
	p = connect_pair("::1", SOCK_STREAM, PLAIN);
	put_socket(p.app, ino_of(OWN));
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		close(ready[1]);
		_exit(read(ready[0], &b, 1) != 0);
	}
	move_to(OTHER_FILE); /* the child is left there alone */
	look();
	close(ready[0]);
	close(ready[1]);
	waitpid(child, NULL, 0);
	assert_report(1, 0, 0);
	assert_int_equal(error_of_read(p.app), ECONNABORTED);
	close_pair(p);
}

struct elsewhere {
	struct pair p;
	int done[2];
};

static void *connect_elsewhere(void *arg)
{
	struct elsewhere *e = arg;
	char b;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sh("ip link set lo up");
	e->p = connect_pair("127.0.0.1", SOCK_STREAM, PLAIN);
	put_socket(e->p.app, ino_of("/proc/thread-self/ns/net"));
	assert_int_equal(write(e->done[1], "x", 1), 1);
	assert_int_equal(read(e->done[1], &b, 1), 1);
	return NULL;
}

/* Its process is somewhere else. */
static void a_namespace_of_a_thread_is_found(void **state)
{
	struct elsewhere e;
	pthread_t thread;
	char b;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, e.done), 0);
	assert_int_equal(pthread_create(&thread, NULL, connect_elsewhere, &e), 0);
	assert_int_equal(read(e.done[0], &b, 1), 1);
	look();
	assert_int_equal(write(e.done[0], "x", 1), 1);
	pthread_join(thread, NULL);
	assert_report(1, 0, 0);
	assert_int_equal(error_of_read(e.p.app), ECONNABORTED);
	close_pair(e.p);
	close(e.done[0]);
	close(e.done[1]);
}

static void a_connection_that_is_being_made_is_ended(void **state)
{
	struct sockaddr_storage to;
	struct shunt_connection c;
	socklen_t length;
	int fd;

	(void)state;
	sh("ip link add silent type veth peer name nobody && ip addr add 10.9.0.1/24 dev silent");
	sh("ip link set silent up && ip link set nobody up");
	to = sockaddr_of("10.9.0.2:80", &length);
	fd = socket_of(&to, SOCK_STREAM | SOCK_NONBLOCK);
	assert_int_equal(connect(fd, (void *)&to, length), -1);
	assert_int_equal(errno, EINPROGRESS);
	c = record_of(fd, ino_of(OWN));
	put_address(&to, &c.given, &c.given_port);
	c.state = TCP_SYN_SENT;
	put(&c);
	look();
	assert_report(1, 0, 0);
	assert_int_equal(option(fd, SO_ERROR), ECONNABORTED);
	close(fd);
}

static void a_socket_bound_to_an_interface_is_ended(void **state)
{
	struct shunt_connection c;
	struct pair p;

	(void)state;
	p = connect_pair("127.0.0.1", SOCK_STREAM, PLAIN);
	assert_int_equal(setsockopt(p.app, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
	c = record_of(p.app, ino_of(OWN));
	c.ifindex = 1;
	put(&c);
	look();
	assert_report(1, 0, 0);
	assert_int_equal(error_of_read(p.app), ECONNABORTED);
	close_pair(p);
}

static void many_in_several_namespaces_are_ended_by_one_look(void **state)
{
	struct pair here[20], there[20];
	ino_t own = ino_of(OWN);

	(void)state;
	for (int i = 0; i < 20; i++)
		here[i] = connect_pair("127.0.0.1", SOCK_STREAM, PLAIN);
	move_to(OTHER_FILE);
	for (int i = 0; i < 20; i++) {
		there[i] = connect_pair("::1", SOCK_DGRAM, PLAIN);
		put_socket(here[i].app, own);
		put_socket(there[i].app, ino_of(OWN));
	}
	look();
	assert_report(40, 0, 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(error_of_read(here[i].app), ECONNABORTED);
		assert_int_equal(error_of_read(there[i].app), ECONNABORTED);
		close_pair(here[i]);
		close_pair(there[i]);
	}
}

/* ---- which not ---- */

static void another_cookie_ends_nothing(void **state)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct pair p = connect_pair("127.0.0.1", types[i], PLAIN);
		struct shunt_connection c = record_of(p.app, ino_of(OWN));

		c.cookie += 1000;
		w.n = 0;
		put(&c);
		look();
		assert_report(0, 1, 0);
		is_alive(p);
		close_pair(p);
	}
}

static void what_need_not_end_is_left_alone(void **state)
{
	struct pair p = connect_pair("127.0.0.1", SOCK_STREAM, PLAIN);
	struct shunt_connection c = record_of(p.app, ino_of(OWN));

	(void)state;
	c.flags = 0;
	put(&c);
	c.flags = SHUNT_CONNECTION_ENDS;
	c.state = TCP_CLOSE; /* it has ended, and its process does not know yet */
	put(&c);
	look();
	assert_report(0, 0, 0);
	is_alive(p);
	close_pair(p);
}

static void a_connection_that_was_closed_meanwhile_is_no_failure(void **state)
{
	struct pair p = connect_pair("127.0.0.1", SOCK_DGRAM, PLAIN);

	(void)state;
	put_socket(p.app, ino_of(OWN));
	close_pair(p);
	look();
	assert_report(0, 1, 0);
}

/* ---- what cannot be done is said ---- */

static void a_namespace_that_nobody_shows_is_reported(void **state)
{
	struct pair here = connect_pair("127.0.0.1", SOCK_STREAM, PLAIN), lost;
	ino_t own = ino_of(OWN), ino;

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sh("ip link set lo up");
	lost = connect_pair("127.0.0.1", SOCK_STREAM, PLAIN);
	ino = ino_of(OWN);
	move_to(OTHER_FILE); /* only the sockets are left in it */
	put_socket(lost.app, ino);
	put_socket(here.app, own);
	look();
	assert_report(1, 0, 1);
	assert_non_null(strstr(w.last.problem, "neither /run/netns nor a process"));
	assert_int_equal(error_of_read(here.app), ECONNABORTED);
	is_alive(lost);
	close_pair(lost);
	close_pair(here);
}

/* Of SCTP no kernel ends connections. */
static void a_protocol_that_the_kernel_does_not_end_is_reported(void **state)
{
	struct pair p = connect_pair("127.0.0.1", SOCK_STREAM, PLAIN);
	struct shunt_connection c = record_of(p.app, ino_of(OWN));

	(void)state;
	c.proto = IPPROTO_SCTP;
	put(&c);
	look();
	assert_report(0, 0, 1);
	assert_non_null(strstr(w.last.problem, "does not end connections of"));
	close_pair(p);
}

static void a_look_without_an_iterator_is_reported(void **state)
{
	struct sever *fresh;

	(void)state;
	assert_int_equal(sever_start(&fresh), 0);
	assert_int_equal(sever_attach(fresh, w.base, on_report, &w), 0);
	sever_look(fresh);
	turn_until(&w.reports, 1);
	assert_non_null(strstr(w.last.problem, "cannot be listed"));
	assert_string_equal(sever_problem(fresh), w.last.problem);
	assert_int_equal(sever_set_link(fresh, bpf_link__fd(w.link)), 0);
	sever_look(fresh);
	turn_until(&w.reports, 2);
	assert_string_equal(sever_problem(fresh), "");
	sever_free(fresh);
}

/* ---- asking ---- */

static void looks_while_one_is_under_way_are_one_more(void **state)
{
	(void)state;
	ask(OWN); /* the link has been taken */
	for (int i = 0; i < 5; i++)
		sever_look(w.s);
	ask(OWN);
	turn_until(&w.reports, 2);
	ask(OWN);
	assert_int_equal(w.reports, 2);
	assert_int_equal(w.source->bss->looks, 2);
	look();
	assert_int_equal(w.source->bss->looks, 3);
}

static uint64_t own_cookie(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t length = sizeof(uint64_t);
	uint64_t cookie;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length), 0);
	return cookie;
}

static void a_namespace_has_the_cookie_that_its_sockets_say(void **state)
{
	uint64_t own = own_cookie();

	(void)state;
	ask(OTHER_FILE);
	assert_int_equal(w.err, 0);
	move_to(OTHER_FILE);
	assert_true(w.cookie == own_cookie());
	assert_true(w.cookie != own);
	ask(OWN); /* of the process that answers, which is where it was */
	assert_true(w.cookie == own);
}

static void several_questions_are_answered_in_turn(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++)
		assert_int_equal(sever_netns(w.s, i == 299 ? OTHER_FILE : OWN, on_cookie, &w), 0);
	turn_until(&w.answers, 300);
	move_to(OTHER_FILE);
	assert_true(w.cookie == own_cookie());
}

static void what_is_no_network_namespace_is_said(void **state)
{
	static const struct {
		const char *path, *problem;
	} cases[] = {
		{ "/run/netns/sever-none", "/run/netns/sever-none cannot be entered: No such file" },
		{ "/etc/passwd", "/etc/passwd is no network namespace" },
		{ "/proc/self/ns/mnt", "/proc/self/ns/mnt is no network namespace" },
		{ "/", "/ is no network namespace" },
	};
	char far[PATH_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		ask(cases[i].path);
		assert_true(w.err < 0);
		assert_non_null(strstr(w.problem, cases[i].problem));
	}
	memset(far, 'x', PATH_MAX);
	far[PATH_MAX] = '\0';
	assert_int_equal(sever_netns(w.s, far, on_cookie, &w), -ENAMETOOLONG);
}

/* ---- the process ---- */

static uint64_t status_of(pid_t pid, const char *key)
{
	return strtoull(sh_line("awk '$1 == \"%s:\" { print $2 }' /proc/%d/status", key, pid), NULL, 16);
}

static void it_has_the_privileges_for_this_and_no_others(void **state)
{
	const uint64_t needed = 1ull << CAP_SYS_ADMIN | 1ull << CAP_NET_ADMIN | 1ull << CAP_SYS_PTRACE |
				1ull << CAP_DAC_READ_SEARCH;
	pid_t pid = sever_pid(w.s);

	(void)state;
	look(); /* it is what it will be */
	assert_true(status_of(pid, "CapEff") == needed);
	assert_true(status_of(pid, "CapPrm") == needed);
	assert_true(status_of(pid, "CapBnd") == 0);
	assert_int_equal(status_of(pid, "NoNewPrivs"), 1);
	assert_string_equal(sh_line("cat /proc/%d/comm", pid), "shuntd-ender");
}

/* Standard input, output and error; its socket, its namespace, the link. */
static void it_holds_no_descriptors_of_the_daemon(void **state)
{
	(void)state;
	look();
	assert_string_equal(sh_line("ls /proc/%d/fd | wc -l", sever_pid(w.s)), "6");
	look();
	assert_int_equal(sever_set_link(w.s, bpf_link__fd(w.link)), 0);
	look();
	assert_string_equal(sh_line("ls /proc/%d/fd | wc -l", sever_pid(w.s)), "6");
}

static void signals_to_the_whole_service_do_not_end_it(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

	(void)state;
	ask(OWN);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		assert_int_equal(kill(sever_pid(w.s), signals[i]), 0);
	ask(OWN);
	assert_int_equal(w.err, 0);
}

static void its_death_is_noticed(void **state)
{
	pid_t pid = sever_pid(w.s);

	(void)state;
	look();
	w.reports = 0;
	kill(pid, SIGSTOP);
	sever_look(w.s);
	assert_int_equal(sever_netns(w.s, OWN, on_cookie, &w), 0);
	kill(pid, SIGKILL);
	turn_until(&w.reports, 1);
	assert_non_null(strstr(w.last.problem, "was killed by signal 9"));
	assert_string_equal(sever_problem(w.s), w.last.problem);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.err, -EPIPE);
	assert_int_equal(sever_pid(w.s), 0);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* it was waited for */
	sever_look(w.s);
	assert_int_equal(sever_netns(w.s, OWN, on_cookie, &w), -EPIPE);
	assert_int_equal(sever_set_link(w.s, 0), -EPIPE);
}

/* Whoever is left without a daemon, however that ended, ends. */
static void it_ends_with_the_daemon(void **state)
{
	int say[2];
	pid_t daemon, pid;
	char b;

	(void)state;
	assert_int_equal(pipe(say), 0);
	daemon = fork();
	if (!daemon) {
		struct sever *s;

		if (!sever_start(&s)) {
			pid = sever_pid(s);
			pid = write(say[1], &pid, sizeof(pid));
		}
		pause();
	}
	assert_int_equal(read(say[0], &pid, sizeof(pid)), sizeof(pid));
	assert_int_equal(kill(pid, 0), 0);
	close(say[1]);
	kill(daemon, SIGKILL);
	waitpid(daemon, NULL, 0);
	while (!sh_ok("! test -e /proc/%d || grep -q '^State:.Z' /proc/%d/status", pid, pid))
		usleep(1000);
	assert_int_equal(read(say[0], &b, 1), 0);
	close(say[0]);
}

#define sever_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		sever_test(a_tcp_connection_over_ipv4_is_ended),
		sever_test(a_tcp_connection_over_ipv6_is_ended),
		sever_test(a_tcp_connection_of_an_ipv6_socket_over_ipv4_is_ended),
		sever_test(a_connected_udp_socket_is_ended),
		sever_test(a_connected_udp_socket_of_ipv6_is_ended),
		sever_test(a_connected_udp_socket_of_ipv6_over_ipv4_is_ended),
		sever_test(a_socket_in_another_namespace_is_ended),
		sever_test(a_udp_socket_in_another_namespace_is_ended),
		sever_test(namespaces_are_told_apart),
		sever_test(udp_sockets_that_share_their_addresses_are_all_ended),
		sever_test(a_namespace_without_a_name_is_found_by_its_process),
		sever_test(a_namespace_of_a_thread_is_found),
		sever_test(a_connection_that_is_being_made_is_ended),
		sever_test(a_socket_bound_to_an_interface_is_ended),
		sever_test(many_in_several_namespaces_are_ended_by_one_look),
		sever_test(another_cookie_ends_nothing),
		sever_test(what_need_not_end_is_left_alone),
		sever_test(a_connection_that_was_closed_meanwhile_is_no_failure),
		sever_test(a_namespace_that_nobody_shows_is_reported),
		sever_test(a_protocol_that_the_kernel_does_not_end_is_reported),
		sever_test(a_look_without_an_iterator_is_reported),
		sever_test(looks_while_one_is_under_way_are_one_more),
		sever_test(a_namespace_has_the_cookie_that_its_sockets_say),
		sever_test(several_questions_are_answered_in_turn),
		sever_test(what_is_no_network_namespace_is_said),
		sever_test(it_has_the_privileges_for_this_and_no_others),
		sever_test(it_holds_no_descriptors_of_the_daemon),
		sever_test(signals_to_the_whole_service_do_not_end_it),
		sever_test(its_death_is_noticed),
		sever_test(it_ends_with_the_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
