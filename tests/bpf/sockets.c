/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "config/config.h"
#include "datapath/sever.h"
#include "netns.h"

#define PINS "/sys/fs/bpf/shunt-test-socket"
#define CGROUP "shunt-test-socket"

struct world w;
static char cgroup_root[256], cgroup_before[256];
static pid_t servers;

/* ---- cgroups ---- */

static void find_cgroups(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *m;

	assert_non_null(mounts);
	while (!cgroup_root[0] && (m = getmntent(mounts)))
		if (!strcmp(m->mnt_type, "cgroup2"))
			snprintf(cgroup_root, sizeof(cgroup_root), "%s", m->mnt_dir);
	endmntent(mounts);
	if (!cgroup_root[0])
		fail_msg("no cgroup2 is mounted");
	snprintf(cgroup_before, sizeof(cgroup_before), "%s", sh_line("sed -n 's/^0:://p' /proc/self/cgroup"));
}

static void move_to(const char *fmt, ...)
{
	char path[512], pid[16];
	_cleanup_close_ int fd = -1;
	va_list args;
	int n;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	n = snprintf(pid, sizeof(pid), "%d", getpid());
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, pid, n) != n)
		fail_msg("cannot enter %s: %s", path, strerror(errno));
}

void cgroup_make(const char *path) { sh("mkdir -p %s/" CGROUP "/%s", cgroup_root, path); }
void cgroup_remove(const char *path) { sh("rmdir %s/" CGROUP "/%s", cgroup_root, path); }
void cgroup_enter(const char *path) { move_to("%s/" CGROUP "/%s/cgroup.procs", cgroup_root, path); }

static void remove_cgroups(void)
{
	if (sh_ok("test -d %s/" CGROUP, cgroup_root))
		sh("find %s/" CGROUP " -depth -type d -exec rmdir {} +", cgroup_root);
}

/* ---- servers ---- */

static int bound(const char *address, int type)
{
	struct at here = at(address, PORT);
	int fd = socket(here.a.ss_family, type | SOCK_NONBLOCK, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (here.a.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd < 0 || bind(fd, (struct sockaddr *)&here.a, here.len) || (type == SOCK_STREAM && listen(fd, 4096))) {
		perror(address);
		exit(1);
	}
	return fd;
}

static void follow(int epoll, int fd, char kind)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
		exit(1);
}

static void say_where(int fd, const struct at *to)
{
	struct at here = { .len = sizeof(here.a) };
	const char *where;

	getsockname(fd, (struct sockaddr *)&here.a, &here.len);
	where = text(&here);
	if (sendto(fd, where, strlen(where), MSG_NOSIGNAL, to ? (struct sockaddr *)&to->a : NULL, to ? to->len : 0) < 0)
		return; /* the client is gone */
}

static void serve_one(int epoll, int fd, char kind)
{
	struct at from = { .len = sizeof(from.a) };
	char buf[64];
	int conn;

	switch (kind) {
	case 'l':
		while ((conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
			say_where(conn, NULL);
			follow(epoll, conn, 'c');
		}
		break;
	case 'c':
		if (recv(fd, buf, sizeof(buf), 0) <= 0)
			close(fd);
		else
			say_where(fd, NULL);
		break;
	case 'u':
		if (recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from.a, &from.len) >= 0)
			say_where(fd, &from);
	}
}

static void serve(int ready)
{
	int epoll = epoll_create1(0);
	struct epoll_event e[64];
	char address[32];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	follow(epoll, bound("0.0.0.0", SOCK_STREAM), 'l');
	follow(epoll, bound("::", SOCK_STREAM), 'l');
	for (int i = 1; i <= SERVERS; i++) {
		snprintf(address, sizeof(address), "127.0.0.%d", i);
		follow(epoll, bound(address, SOCK_DGRAM), 'u');
	}
	for (int i = 1; i <= SERVERS6; i++) {
		snprintf(address, sizeof(address), "fd00::%d", i);
		follow(epoll, bound(address, SOCK_DGRAM), 'u');
	}
	if (write(ready, "", 1) != 1)
		exit(1);
	for (;;) {
		int n = epoll_wait(epoll, e, 64, -1);

		for (int i = 0; i < n; i++)
			serve_one(epoll, (uint32_t)e[i].data.u64, e[i].data.u64 >> 32);
	}
}

static void start_servers(void)
{
	int ready[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	servers = fork();
	if (!servers)
		serve(ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
}

/* ---- the world ---- */

static struct config *parse(const char *rest)
{
	return rooms_parse("pins: " PINS "\ncgroup: %s/" CGROUP "\nlimits: { services: 64, listeners: 256, members: 4096, "
			   "backends: 2048, slots: %u, flows: 65536 }\n%s",
			   cgroup_root, getenv("SOAK") ? 1u << 21 : 1u << 18, rest);
}

static void on_ended(void *arg, const struct sever_report *r)
{
	(void)arg;
	w.ended += r->ended;
	if (r->failed || r->problem[0])
		fprintf(stderr, "%u connections were not ended: %s\n", r->failed, r->problem);
}

static void exempt(void *arg, int fd)
{
	(void)arg;
	dp_exempt(w.rooms.dp, fd);
}

static void open_world(void)
{
	_cleanup_(config_freep) struct config *c = parse("services: []\n");

	assert_int_equal(sever_start(&w.sever), 0);
	rooms_open(&w.rooms, c);
	assert_int_equal(sever_attach(w.sever, w.rooms.base, on_ended, NULL), 0);
	dp_follow_sockets(w.rooms.dp, w.rooms.base, w.sever);
	health_on_socket(exempt, NULL);
}

static void close_world(void)
{
	rooms_close(&w.rooms);
	sever_free(w.sever);
}

void world_restart(void)
{
	close_world();
	open_world();
}

void world_run(unsigned ms)
{
	rooms_run(&w.rooms, ms);
}

bool world_until(bool (*is_so)(void *arg), void *arg)
{
	for (int i = 0; i < 500 && !is_so(arg); i++)
		world_run(10);
	return is_so(arg);
}

/* As the daemon does: the programs know what either configuration needs, then the services change. */
void world_apply(const char *fmt, ...)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *rest = NULL;
	bool any_port = false;
	va_list args;

	va_start(args, fmt);
	assert_true(vasprintf(&rest, fmt, args) >= 0);
	va_end(args);
	c = parse(rest);
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_listens; k++)
			any_port |= !c->services[i].listens[k].port;
	assert_int_equal(dp_configure(w.rooms.dp, c, any_port), 0);
	assert_int_equal(reconcile_apply(w.rooms.r, c), 0);
	world_run(20);
}

int sockets_setup(void **state)
{
	struct rlimit many;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &many);
	many.rlim_cur = many.rlim_max;
	setrlimit(RLIMIT_NOFILE, &many);
	find_cgroups();
	remove_cgroups();
	cgroup_make("");
	dp_unload(PINS);
	netns_enter();
	sh("sysctl -qw net.ipv4.ip_local_port_range='10000 65000' net.core.somaxconn=4096 net.ipv6.conf.all.disable_ipv6=0");
	for (int i = 1; i <= SERVERS6; i++)
		sh("ip address add fd00::%d/128 dev lo nodad", i);
	start_servers();
	open_world();
	cgroup_enter("");
	return 0;
}

int sockets_teardown(void **state)
{
	(void)state;
	close_world();
	dp_unload(PINS);
	move_to("%s%s/cgroup.procs", cgroup_root, cgroup_before);
	kill(servers, SIGKILL);
	waitpid(servers, NULL, 0);
	remove_cgroups();
	return 0;
}

/* ---- accounts ---- */

static bool is_at(const struct reconcile_backend *b, const char *backend)
{
	char where[ENDPOINT_TEXT];

	return !backend || !strcmp(endpoint_format(&b->at, where), backend);
}

struct tally tally(const char *service, const char *backend)
{
	struct reconcile_service s;
	struct tally sum = {};

	assert_int_equal(reconcile_service(w.rooms.r, service, &s), 0);
	for (size_t i = 0; i < s.n_backends; i++)
		if (is_at(&s.backends[i], backend)) {
			sum.open += s.backends[i].connections;
			sum.made += s.backends[i].connects;
		}
	reconcile_service_clear(&s);
	return sum;
}

enum state state_of(const char *service, const char *backend)
{
	struct reconcile_service s;
	enum state state = STATE_UNKNOWN;

	assert_int_equal(reconcile_service(w.rooms.r, service, &s), 0);
	for (size_t i = 0; i < s.n_backends; i++)
		if (is_at(&s.backends[i], backend))
			state = s.backends[i].state;
	reconcile_service_clear(&s);
	return state;
}

uint64_t open_of(const char *service) { return tally(service, NULL).open; }

/* ---- sockets ---- */

struct at at(const char *address, uint16_t port)
{
	struct at t = {};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&t.a;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&t.a;

	if (strchr(address, ':')) {
		*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
		assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
		t.len = sizeof(*v6);
	} else {
		*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
		assert_int_equal(inet_pton(AF_INET, address, &v4->sin_addr), 1);
		t.len = sizeof(*v4);
	}
	return t;
}

const char *text(const struct at *t)
{
	static char texts[4][INET6_ADDRSTRLEN];
	static unsigned next;
	char *out = texts[next++ % 4];
	const void *address = t->a.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&t->a)->sin6_addr :
							   (void *)&((struct sockaddr_in *)&t->a)->sin_addr;

	if (!inet_ntop(t->a.ss_family, address, out, INET6_ADDRSTRLEN))
		out[0] = '\0';
	return out;
}

int socket_in(const char *netns, int family, int type)
{
	_cleanup_close_ int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = -1;
	const struct timeval wait = { .tv_sec = 2 };
	char path[64];
	int fd;

	if (netns) {
		snprintf(path, sizeof(path), "/run/netns/%s", netns);
		there = open(path, O_RDONLY | O_CLOEXEC);
		assert_int_equal(setns(there, CLONE_NEWNET), 0);
	}
	fd = socket(family, type | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	if (netns)
		assert_int_equal(setns(here, CLONE_NEWNET), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

int client(const char *address, int type) { return socket_in(NULL, strchr(address, ':') ? AF_INET6 : AF_INET, type); }

int dial(int fd, const char *address, uint16_t port)
{
	const struct at to = at(address, port);

	return connect(fd, (const struct sockaddr *)&to.a, to.len) ? -errno : 0;
}

int dialled(const char *address, uint16_t port, int type)
{
	int fd = client(address, type), err = dial(fd, address, port);

	if (err)
		fail_msg("connect to %s: %s", address, strerror(-err));
	return fd;
}

void reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static const char *received(int fd, struct at *from)
{
	static char texts[4][64];
	static unsigned next;
	char *out = texts[next++ % 4];
	ssize_t n;

	from->len = sizeof(from->a);
	n = recvfrom(fd, out, 63, 0, (struct sockaddr *)&from->a, &from->len);
	out[n > 0 ? n : 0] = '\0';
	return out;
}

const char *told(int fd)
{
	int type = 0;
	struct at from;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){ sizeof(type) });
	if (type == SOCK_DGRAM && send(fd, "?", 1, 0) < 0)
		return "";
	return received(fd, &from);
}

const char *answer(int fd, struct at *from) { return received(fd, from); }

const char *peer(int fd)
{
	struct at a = { .len = sizeof(a.a) };

	return getpeername(fd, (struct sockaddr *)&a.a, &a.len) ? "" : text(&a);
}

uint16_t peer_port(int fd)
{
	struct at a = { .len = sizeof(a.a) };

	if (getpeername(fd, (struct sockaddr *)&a.a, &a.len))
		return 0;
	return ntohs(((struct sockaddr_in *)&a.a)->sin_port); /* where IPv6 has it, too */
}

int send_to(int fd, const char *address, uint16_t port)
{
	const struct at to = at(address, port);

	return sendto(fd, "?", 1, 0, (const struct sockaddr *)&to.a, to.len) < 0 ? -errno : 0;
}
