/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The process that measures, a new one for each round. What is timed:
 *
 *   connect     connect() alone, to where a listener is; a clock is read before and after it. Then one byte there and
 *               back (rtt: from connect() on), and all from socket() to close() (cycle). Connections end with a reset,
 *               so that none is left waiting. A mean of n.
 *   sendto      sendto() of 32 bytes on an unconnected socket. The mean of n; afterwards all n must have arrived.
 *   throughput  one connection: from the first byte sent until the server has said how many it got.
 */
#include "socket.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"

#define THROUGHPUT_S 0.6
#define CHUNK (256 << 10)
#define DATAGRAM 32
#define ANSWER_S 10 /* for anything that is awaited */

static struct sockaddr_in target(const struct job *j, uint32_t i)
{
	return (struct sockaddr_in){ AF_INET, htons(socket_port(j->kind)), { htonl(j->to[i % BACKENDS]) }, {} };
}

static int open_socket(int type)
{
	const struct timeval limit = { .tv_sec = ANSWER_S };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* ---- connect ---- */

/* Adds the times of one connection to out. */
static int connect_once(const struct sockaddr_in *to, double out[FIGURES])
{
	const struct linger reset = { .l_onoff = 1 };
	double begin = bench_now_us(), before, connected, answered;
	_cleanup_close_ int fd = open_socket(SOCK_STREAM);
	char byte = 1;

	before = bench_now_us();
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)))
		return -errno;
	connected = bench_now_us();
	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1)
		return errno ? -errno : -ECONNRESET;
	answered = bench_now_us();
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(TAKE_FD(fd));
	out[CONNECT_US] += connected - before;
	out[RTT_US] += answered - before;
	out[CYCLE_US] += bench_now_us() - begin;
	return 0;
}

#define WARM 500 /* before it counts: caches, and a program's first pages */

static int measure_connect(const struct job *j, double out[FIGURES])
{
	double unused[FIGURES] = {};
	int err = 0;

	for (uint32_t i = 0; i < WARM && !err; i++) {
		const struct sockaddr_in to = target(j, i);

		err = connect_once(&to, unused);
	}
	for (uint32_t i = 0; i < j->n && !err; i++) {
		const struct sockaddr_in to = target(j, i);

		err = connect_once(&to, out);
	}
	for (int f = 0; f < FIGURES; f++)
		out[f] /= j->n;
	return err;
}

/* ---- sendto ---- */

static int await_datagrams(const struct job *j, uint64_t n)
{
	double end = bench_now_us() + ANSWER_S * 1e6;

	while (j->peer->counts->datagrams < n && bench_now_us() < end)
		usleep(1000);
	return j->peer->counts->datagrams == n ? 0 : -ENODATA;
}

static int measure_sendto(const struct job *j, double out[FIGURES])
{
	const struct sockaddr_in to[BACKENDS] = { target(j, 0), target(j, 1) };
	const uint64_t before = j->peer->counts->datagrams;
	_cleanup_close_ int fd = open_socket(SOCK_DGRAM);
	const char datagram[DATAGRAM] = {};
	double begin = bench_now_us();

	for (uint32_t i = 0; i < j->n; i++)
		if (sendto(fd, datagram, DATAGRAM, 0, (const struct sockaddr *)&to[i % BACKENDS], sizeof(to[0])) < 0)
			return -errno;
	out[SENDTO_NS] = (bench_now_us() - begin) * 1e3 / j->n;
	return await_datagrams(j, before + j->n);
}

/* ---- throughput ---- */

static int measure_throughput(const struct job *j, double out[FIGURES])
{
	static char chunk[CHUNK];
	const struct sockaddr_in to = target(j, 0);
	_cleanup_close_ int fd = open_socket(SOCK_STREAM);
	uint64_t sent = 0, arrived = 0;
	double begin;

	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)))
		return -errno;
	begin = bench_now_us();
	while (bench_now_us() < begin + THROUGHPUT_S * 1e6) {
		ssize_t n = send(fd, chunk, CHUNK, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		sent += n;
	}
	shutdown(fd, SHUT_WR);
	if (recv(fd, &arrived, sizeof(arrived), MSG_WAITALL) != sizeof(arrived))
		return -errno;
	out[GBIT] = sent * 8 / ((bench_now_us() - begin) * 1e3);
	return sent == arrived ? 0 : -ENODATA;
}

/* ---- the process ---- */

static int (*const measures[KINDS])(const struct job *, double[FIGURES]) = {
	[KIND_CONNECT] = measure_connect,
	[KIND_SENDTO] = measure_sendto,
	[KIND_THROUGHPUT] = measure_throughput,
};

struct result {
	double figures[FIGURES];
	int err;
};

/* Results come through memory that both have. */
static struct result *room(void)
{
	static struct result *r = MAP_FAILED;

	if (r == MAP_FAILED)
		r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED)
		return NULL;
	*r = (struct result){ .err = -ECHILD };
	return r;
}

/*
 * Client and server of a connection take turns, so one CPU does: waking another one costs more than a connection, and a
 * different amount each time. Where one side works while the other does, each has its own.
 */
static int cpu_for(enum kind kind)
{
	return place_cpu(kind == KIND_CONNECT ? 0 : 1);
}

/* -ECHILD: it did not get to the place where it measures, and has said why. */
static int run_client(const struct job *j, double out[FIGURES])
{
	const struct place place = { .netns = j->peer->netns, .cgroup = j->cgroup, .cpu = cpu_for(j->kind) };
	struct result *r = room();
	pid_t pid = r ? place_fork(&place) : -ENOMEM;
	int err;

	if (!pid) {
		r->err = measures[j->kind](j, r->figures);
		_exit(0);
	}
	err = place_wait(pid);
	if (!err || err == -EIO)
		err = r->err;
	if (!err)
		memcpy(out, r->figures, sizeof(r->figures));
	return err;
}

int client_measure(const struct job *j, double out[FIGURES])
{
	int err = run_client(j, out);

	if (!err || err == -EINTR)
		return err;
	return err_r(-EIO, "to port %u: %s", socket_port(j->kind),
		     err == -ENODATA ? "not all that was sent has arrived" : strerror(-err));
}

int client_await(const struct job *j, pid_t process)
{
	double unused[FIGURES], end = bench_now_us() + ANSWER_S * 1e6;
	struct job one = *j;
	int err;

	one.n = 1;
	do {
		err = run_client(&one, unused);
		if (!err || err == -EINTR || err == -ECHILD)
			return err;
		if (place_is_gone(process))
			return -ECHILD;
		usleep(5000);
	} while (bench_now_us() < end);
	return -ETIMEDOUT;
}
