/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which backend local processes' connections go to, by each algorithm, and that what is counted of them is true: real
 * sockets. SOAK=1: 1,000 backends and 100,000 connections.
 */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "netns.h"

#define VIP "10.9.9.9"
#define LISTEN "listen: ['" VIP ":80/tcp', '" VIP ":80/udp']"
#define B(n) "{ address: '127.0.0." #n ":8000' }"

static unsigned n_backends(void) { return getenv("SOAK") ? 1000 : 200; }
static unsigned n_connects(void) { return getenv("SOAK") ? 100000 : 20000; }

static unsigned unequal(unsigned i) { return 1 + i % 4; }
static unsigned equal(unsigned i) { return 1 + 0 * i; }

/* Backend i of many; the servers listen on all of 127.0.0.0/8. */
static const char *many(unsigned i)
{
	static char where[32];

	snprintf(where, sizeof(where), "127.1.%u.%u:8000", i / 200, i % 200 + 1);
	return where;
}

static void apply_many(unsigned n, const char *algorithm, unsigned (*weight)(unsigned))
{
	_cleanup_free_ char *list = calloc(n, 64);
	size_t at = 0;

	for (unsigned i = 0; i < n; i++)
		at += sprintf(list + at, "%s{ address: '%s', weight: %u }", i ? ", " : "", many(i), weight(i));
	world_apply("services: []\n");
	world_apply("services:\n  - { name: web, health: none, drain: 0s, " LISTEN ", algorithm: %s, backends: [%s] }\n", algorithm, list);
}

/* ---- shares ---- */

struct share {
	double connects, weight, slots, open;
};

static struct share *shares(size_t *n, struct share *sum)
{
	struct reconcile_service s;
	struct share *all;

	assert_int_equal(reconcile_service(w.rooms.r, "web", &s), 0);
	*n = s.n_backends;
	*sum = (struct share){};
	all = calloc(s.n_backends, sizeof(*all));
	for (size_t i = 0; i < s.n_backends; i++) {
		const struct reconcile_backend *b = &s.backends[i];

		all[i] = (struct share){ b->connects, b->weight, b->slots, b->connections };
		sum->connects += b->connects;
		sum->weight += b->weight;
		sum->slots += b->slots;
		sum->open += b->connections;
	}
	reconcile_service_clear(&s);
	return all;
}

/* By two processes at once. */
static void make_connects(unsigned n, int type)
{
	pid_t other = fork();
	int status;

	for (unsigned i = 0; i < n / 2; i++)
		reset(dialled(VIP, 80, type));
	if (!other)
		_exit(0);
	assert_true(waitpid(other, &status, 0) == other && !status);
}

/*
 * The table's share of a backend is within 1.05 of its weight's (or a slot of it), and what it gets within that and 5 sigma
 * of the binomial distribution.
 */
static void assert_by_slots(void)
{
	size_t n;
	struct share sum;
	_cleanup_free_ struct share *all = shares(&n, &sum);

	assert_int_equal(sum.connects, n_connects());
	for (size_t i = 0; i < n; i++) {
		double most = sum.slots * all[i].weight / sum.weight * 1.05 + 1, p = all[i].slots / sum.slots;
		double wanted = p * sum.connects, sigma = sqrt(wanted * (1 - p));

		if (all[i].slots > most || fabs(all[i].connects - wanted) > 5 * sigma + 1)
			fail_msg("backend %zu with %g of %g slots (%g at most) had %g connects, %g were right", i, all[i].slots,
				 sum.slots, most, all[i].connects, wanted);
	}
}

static void assert_by_turns(void)
{
	size_t n;
	struct share sum;
	_cleanup_free_ struct share *all = shares(&n, &sum);

	assert_int_equal(sum.connects, n_connects());
	for (size_t i = 0; i < n; i++) {
		double wanted = sum.connects * all[i].weight / sum.weight;

		if (fabs(all[i].connects - wanted) > all[i].weight)
			fail_msg("backend %zu of weight %g had %g turns, not %g", i, all[i].weight, all[i].connects, wanted);
	}
}

static void each_algorithm_keeps_its_promise(const char *algorithm, void (*check)(void))
{
	for (int i = 0; i < 2; i++) {
		apply_many(n_backends(), algorithm, i ? unequal : equal);
		make_connects(n_connects(), i ? SOCK_STREAM : SOCK_DGRAM);
		check();
		assert_int_equal(open_of("web"), 0);
	}
}

static void consistent_follows_the_table(void **state)
{
	(void)state;
	each_algorithm_keeps_its_promise("consistent", assert_by_slots);
}

static void random_follows_the_table(void **state)
{
	(void)state;
	each_algorithm_keeps_its_promise("random", assert_by_slots);
}

static void round_robin_gives_each_its_turns(void **state)
{
	(void)state;
	each_algorithm_keeps_its_promise("round-robin", assert_by_turns);
}

/* Connections that stay: no backend has many more for its weight than another. */
static void least_connections_keeps_what_is_open_even(void **state)
{
	enum { HELD = 4000 };
	static int fds[HELD];

	(void)state;
	for (int k = 0; k < 2; k++) {
		double least = 1e9, most = 0;
		struct share sum;
		size_t n;

		apply_many(50, "least-connections", k ? unequal : equal);
		for (int i = 0; i < HELD; i++)
			fds[i] = dialled(VIP, 80, SOCK_DGRAM);
		_cleanup_free_ struct share *all = shares(&n, &sum);

		assert_int_equal(sum.open, HELD);
		for (size_t i = 0; i < n; i++) {
			double load = all[i].open / all[i].weight;

			least = load < least ? load : least;
			most = load > most ? load : most;
		}
		print_message("# result: least-connections: %g to %g open for each weight, %g even\n", least, most, sum.open / sum.weight);
		assert_true(most - least <= 6 + 0.1 * sum.open / sum.weight);
		for (int i = 0; i < HELD; i++)
			close(fds[i]);
		assert_int_equal(open_of("web"), 0);
	}
}

static void least_connections_goes_to_those_that_lost_theirs(void **state)
{
	int fds[40], more[20];

	(void)state;
	world_apply("services: []\n");
	world_apply("services:\n  - { name: web, health: none, " LISTEN ", algorithm: least-connections, backends: [" B(1) "," B(2) "] }\n");
	for (int i = 0; i < 40; i++)
		fds[i] = dialled(VIP, 80, SOCK_STREAM);
	for (int i = 0; i < 40; i++)
		if (!strcmp(told(fds[i]), "127.0.0.1")) {
			reset(fds[i]);
			fds[i] = -1;
		}
	for (int i = 0; i < 15; i++) {
		more[i] = dialled(VIP, 80, SOCK_STREAM);
		assert_string_equal(told(more[i]), "127.0.0.1");
	}
	for (int i = 0; i < 15; i++)
		reset(more[i]);
	for (int i = 0; i < 40; i++)
		if (fds[i] >= 0)
			reset(fds[i]);
	assert_int_equal(open_of("web"), 0);
}

/* ---- counts ---- */

static void apply_two(void)
{
	world_apply("services: []\n");
	world_apply("services:\n  - { name: web, health: none, " LISTEN ", algorithm: round-robin, backends: [" B(1) "," B(2) "] }\n");
}

static bool none_open(void *nothing)
{
	(void)nothing;
	return !open_of("web");
}

static void a_close_is_counted_whichever_side_begins(void **state)
{
	int fds[10];

	(void)state;
	apply_two();
	for (int i = 0; i < 10; i++)
		fds[i] = dialled(VIP, 80, SOCK_STREAM);
	assert_int_equal(open_of("web"), 10);
	for (int i = 0; i < 5; i++)
		reset(fds[i]);
	assert_int_equal(open_of("web"), 5);
	for (int i = 5; i < 10; i++)
		close(fds[i]);
	assert_true(world_until(none_open, NULL));
	assert_int_equal(tally("web", NULL).made, 10);
}

static void sockets_of_a_killed_process_are_counted_out(void **state)
{
	int ready[2], status;
	pid_t pid;
	char c;

	(void)state;
	apply_two();
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 50; i++) {
			dialled(VIP, 80, SOCK_STREAM);
			dialled(VIP, 80, SOCK_DGRAM);
			send_to(client(VIP, SOCK_DGRAM), VIP, 80);
		}
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(open_of("web"), 150);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_true(world_until(none_open, NULL));
	close(ready[0]);
	close(ready[1]);
}

/* Each step of a child that shares the sockets: it waits to be told, and says when it is done. */
static void child_of_fork(int tcp, int udp, int hear, int say)
{
	char c;

	close(tcp);
	close(udp);
	if (write(say, "", 1) != 1 || read(hear, &c, 1) != 1)
		_exit(1);
	_exit(0);
}

static void a_socket_shared_by_processes_counts_once_until_the_last_closes_it(void **state)
{
	int tcp, udp, up[2], down[2], status;
	pid_t first, second;
	char c;

	(void)state;
	apply_two();
	assert_true(!pipe(up) && !pipe(down));
	tcp = dialled(VIP, 80, SOCK_STREAM);
	udp = dialled(VIP, 80, SOCK_DGRAM);
	first = fork();
	if (!first)
		child_of_fork(tcp, udp, down[0], up[1]);
	assert_int_equal(read(up[0], &c, 1), 1);
	assert_int_equal(open_of("web"), 2); /* the child has closed its, the parent has not */
	second = fork();
	if (!second) {
		if (read(down[0], &c, 1) != 1)
			_exit(1);
		_exit(0); /* holds both until here */
	}
	close(tcp);
	close(udp);
	assert_int_equal(open_of("web"), 2);
	assert_int_equal(write(down[1], "..", 2), 2);
	assert_true(waitpid(first, &status, 0) == first && !status);
	assert_true(waitpid(second, &status, 0) == second && !status);
	assert_true(world_until(none_open, NULL));
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
}

static int listen_at(const char *address, uint16_t port)
{
	const struct at here = at(address, port);
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (const struct sockaddr *)&here.a, here.len), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void a_reset_by_the_peer_counts_while_the_descriptor_is_open(void **state)
{
	int server = listen_at("127.0.0.100", 8001), fd;

	(void)state;
	world_apply("services: []\n");
	world_apply("services:\n  - { name: web, health: none, " LISTEN ", backends: [{ address: '127.0.0.100:8001' }] }\n");
	fd = dialled(VIP, 80, SOCK_STREAM);
	assert_int_equal(open_of("web"), 1);
	reset(accept(server, NULL, NULL));
	assert_true(world_until(none_open, NULL));
	close(fd);
	close(server);
	assert_int_equal(open_of("web"), 0);
}

/* Nobody listens there any more: refused; again on the same socket, which may try again. */
static void a_refused_connect_is_not_open(void **state)
{
	int fd = client(VIP, SOCK_STREAM);

	(void)state;
	world_apply("services: []\n");
	world_apply("services:\n  - { name: web, health: none, " LISTEN ", backends: [{ address: '127.0.0.100:8001' }] }\n");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dial(fd, VIP, 80), -ECONNREFUSED);
		assert_int_equal(open_of("web"), 0);
	}
	close(fd);
	assert_int_equal(open_of("web"), 0);
	assert_int_equal(tally("web", NULL).made, 3);
}

/* A backend that never answers, and connects that are given up: by close, by connect(AF_UNSPEC), by another connect. */
static void a_connect_that_is_given_up_is_not_open(void **state)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	int fds[6];

	(void)state;
	sh("ip link add v0 type veth peer name v1 && ip address add 10.7.0.1/24 dev v0 && ip link set v0 up && "
	   "ip link set v1 up && ip neigh replace 10.7.0.2 lladdr 02:00:00:00:00:01 nud permanent dev v0");
	world_apply("services: []\n");
	world_apply("services:\n  - { name: web, health: none, " LISTEN ", backends: [{ address: '10.7.0.2:80' }] }\n");
	for (int i = 0; i < 6; i++) {
		fds[i] = client(VIP, SOCK_STREAM | SOCK_NONBLOCK);
		assert_int_equal(dial(fds[i], VIP, 80), -EINPROGRESS);
		assert_int_equal(dial(fds[i], VIP, 80), -EALREADY);
	}
	assert_int_equal(open_of("web"), 6);
	for (int i = 0; i < 3; i++)
		assert_int_equal(connect(fds[i], &nobody, sizeof(nobody)), 0);
	assert_int_equal(open_of("web"), 3);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	assert_int_equal(open_of("web"), 0);
	sh("ip link delete v0");
}

static void connected_udp_counts_once_however_often_it_connects(void **state)
{
	int fd = client(VIP, SOCK_DGRAM);

	(void)state;
	apply_two();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(dial(fd, VIP, 80), 0);
		assert_int_equal(open_of("web"), 1);
	}
	assert_int_equal(send_to(fd, VIP, 80), 0); /* a sender of its own, beside the connection */
	assert_int_equal(send_to(fd, VIP, 80), 0);
	assert_int_equal(open_of("web"), 2);
	close(fd);
	assert_int_equal(open_of("web"), 0);
}

static void counts_are_of_all_cgroups_and_namespaces(void **state)
{
	int fds[3];

	(void)state;
	netns_add("shunt-test-blue");
	cgroup_make("a/b");
	apply_two();
	fds[0] = dialled(VIP, 80, SOCK_STREAM);
	cgroup_enter("a/b");
	fds[1] = dialled(VIP, 80, SOCK_STREAM);
	fds[2] = socket_in("shunt-test-blue", AF_INET, SOCK_DGRAM);
	assert_int_equal(dial(fds[2], VIP, 80), 0);
	cgroup_enter("");
	assert_int_equal(open_of("web"), 3);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	assert_true(world_until(none_open, NULL));
	cgroup_remove("a/b");
	cgroup_remove("a");
	netns_delete("shunt-test-blue");
}

/* ---- what changes around connections ---- */

#define HEALTH(n) "health: { tcp: {}, interval: " n ", timeout: 90ms, fall: 2, rise: 1 }"

static void list_backends(char *list, unsigned n)
{
	list[0] = '\0';
	for (unsigned i = 1; i <= n; i++)
		sprintf(list + strlen(list), "%s{ address: '127.0.0.%u:8000' }", i > 1 ? ", " : "", i);
}

static void assert_alive(const int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		char c;

		if (recv(fds[i], &c, 1, MSG_DONTWAIT) < 0 && errno != EAGAIN)
			fail_msg("connection %d: %s", i, strerror(errno));
		assert_int_equal(send(fds[i], "?", 1, MSG_NOSIGNAL), 1);
	}
}

static void a_service_that_grows_shrinks_and_changes_keeps_connections_and_counts(void **state)
{
	static const struct {
		unsigned n;
		const char *options;
	} steps[] = {
		{ 3, "health: none, algorithm: round-robin" },	       { 40, "health: none, algorithm: round-robin" },
		{ 40, "health: none, algorithm: least-connections" },  { 40, HEALTH("100ms") ", algorithm: random" },
		{ 40, HEALTH("200ms") ", algorithm: consistent" },     { 3, HEALTH("200ms") ", algorithm: round-robin" },
		{ 48, "health: none, algorithm: round-robin" },	       { 48, "health: none, affinity: client" },
	};
	char list[64 * SERVERS];
	unsigned ended = w.ended;
	int fds[12];

	(void)state;
	world_apply("services: []\n");
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		list_backends(list, steps[i].n);
		world_apply("services:\n  - { name: web, drain: 1h, " LISTEN ", %s, backends: [%s] }\n", steps[i].options, list);
		if (!i)
			for (int k = 0; k < 12; k++)
				fds[k] = dialled(VIP, 80, k % 2 ? SOCK_STREAM : SOCK_DGRAM);
		world_run(250);
		assert_alive(fds, 12);
		assert_int_equal(open_of("web"), 12);
		assert_int_equal(tally("web", "127.0.0.1:8000").open, 4);
		assert_int_equal(w.ended, ended);
	}
	for (int k = 0; k < 12; k++)
		reset(fds[k]);
	assert_int_equal(open_of("web"), 0);
}

static void another_daemon_takes_up_connections_and_counts(void **state)
{
	int fds[12];

	(void)state;
	apply_two();
	for (int k = 0; k < 12; k++)
		fds[k] = dialled(VIP, 80, k % 2 ? SOCK_STREAM : SOCK_DGRAM);
	for (int i = 0; i < 2; i++) {
		world_restart();
		world_apply("services:\n  - { name: web, health: none, " LISTEN ", algorithm: round-robin, backends: [" B(1) "," B(2) "] }\n");
		world_run(50);
		assert_alive(fds, 12);
		assert_int_equal(tally("web", "127.0.0.1:8000").open, 6);
		assert_int_equal(tally("web", "127.0.0.1:8000").made, 6);
	}
	for (int k = 0; k < 12; k++)
		reset(fds[k]);
	assert_int_equal(open_of("web"), 0);
	make_connects(4, SOCK_STREAM);
	assert_int_equal(tally("web", NULL).made, 16);
}

/* Connects, asks and closes in every way until it is killed. */
static void churn(unsigned seed)
{
	int fds[16];

	for (int i = 0; i < 16; i++)
		fds[i] = -1;
	for (;;) {
		int *fd = &fds[rand_r(&seed) % 16], how = rand_r(&seed) % 4;

		if (*fd >= 0 && how)
			reset(*fd);
		else if (*fd >= 0)
			close(*fd);
		*fd = client(VIP, how % 2 ? SOCK_STREAM : SOCK_DGRAM);
		if (how < 2)
			dial(*fd, VIP, 80);
		else if (how == 2)
			send_to(*fd, VIP, 80);
		else
			dial(*fd, "127.0.0.1", PORT);
	}
}

static void counts_are_true_whatever_changes_meanwhile(void **state)
{
	static const char *const backends[] = {
		B(1) "," B(2) "," B(3), B(2) "," B(3) "," B(4), "{ address: '127.0.0.2:8000', state: disabled }," B(1) "," B(5),
		B(1) "," B(2) "," B(3) "," B(4) "," B(5) "," B(6) "," B(7) "," B(8) "," B(9) "," B(10) "," B(11) "," B(12) ","
		B(13) "," B(14) "," B(15) "," B(16) "," B(17) "," B(18), "{ address: '127.0.0.3:8000', state: draining }," B(2),
	};
	static const char *const algorithms[] = { "round-robin", "least-connections", "consistent", "random" };
	unsigned seed = 1, rounds = getenv("SOAK") ? 1000 : 60;
	pid_t pids[3];

	(void)state;
	apply_two();
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		if (!pids[i])
			churn(i + 1);
	}
	for (unsigned i = 0; i < rounds; i++)
		world_apply("services:\n  - { name: web, health: none, drain: 0s, " LISTEN ", algorithm: %s, backends: [%s] }\n",
			    algorithms[rand_r(&seed) % 4], backends[rand_r(&seed) % 5]);
	for (int i = 0; i < 3; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	world_run(200);
	for (uint32_t i = 1; i < 2 * dp_limits(w.rooms.dp)->members; i++)
		if (dp_connections(w.rooms.dp)[i].generation && (int64_t)dp_connections(w.rooms.dp)[i].open < 0)
			fail_msg("account %u has %lld open", i, (long long)dp_connections(w.rooms.dp)[i].open);
	assert_true(world_until(none_open, NULL));
}

static bool is_free(void *members)
{
	struct reconcile_stats s;

	reconcile_stats(w.rooms.r, &s);
	return s.members == *(uint32_t *)members;
}

static void a_backend_that_leaves_keeps_its_connections_until_they_close(void **state)
{
	struct reconcile_stats before;
	int fds[4];

	(void)state;
	apply_two();
	world_apply("services:\n  - { name: web, health: none, drain: 1h, " LISTEN ", backends: [" B(1) "] }\n");
	world_run(2000);
	reconcile_stats(w.rooms.r, &before);
	world_apply("services:\n  - { name: web, health: none, drain: 1h, algorithm: round-robin, " LISTEN ", backends: [" B(1) "," B(2) "] }\n");
	for (int i = 0; i < 4; i++)
		fds[i] = dialled(VIP, 80, i < 2 ? SOCK_STREAM : SOCK_DGRAM);
	world_apply("services:\n  - { name: web, health: none, drain: 1h, algorithm: round-robin, " LISTEN ", backends: [" B(1) "] }\n");
	world_run(1500);
	assert_alive(fds, 4);
	make_connects(10, SOCK_STREAM);
	assert_int_equal(tally("web", "127.0.0.1:8000").open, 2);
	assert_int_equal(tally("web", "127.0.0.1:8000").made, 12);
	for (int i = 0; i < 4; i++)
		reset(fds[i]);
	assert_true(world_until(is_free, &before.members));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(consistent_follows_the_table),
		cmocka_unit_test(random_follows_the_table),
		cmocka_unit_test(round_robin_gives_each_its_turns),
		cmocka_unit_test(least_connections_keeps_what_is_open_even),
		cmocka_unit_test(least_connections_goes_to_those_that_lost_theirs),
		cmocka_unit_test(a_close_is_counted_whichever_side_begins),
		cmocka_unit_test(sockets_of_a_killed_process_are_counted_out),
		cmocka_unit_test(a_socket_shared_by_processes_counts_once_until_the_last_closes_it),
		cmocka_unit_test(a_reset_by_the_peer_counts_while_the_descriptor_is_open),
		cmocka_unit_test(a_refused_connect_is_not_open),
		cmocka_unit_test(a_connect_that_is_given_up_is_not_open),
		cmocka_unit_test(connected_udp_counts_once_however_often_it_connects),
		cmocka_unit_test(counts_are_of_all_cgroups_and_namespaces),
		cmocka_unit_test(a_service_that_grows_shrinks_and_changes_keeps_connections_and_counts),
		cmocka_unit_test(another_daemon_takes_up_connections_and_counts),
		cmocka_unit_test(counts_are_true_whatever_changes_meanwhile),
		cmocka_unit_test(a_backend_that_leaves_keeps_its_connections_until_they_close),
	};

	return cmocka_run_group_tests(tests, sockets_setup, sockets_teardown);
}
