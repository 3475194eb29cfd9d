/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The servers, in a process of their own: one loop, as servers have it, that sends bytes back at one port, and at another
 * only counts them, and says at their end how many there were. Datagrams are taken from their queue now and then: it has
 * room for a whole round, so none is lost, and sending never waits for a reader nor wakes one.
 */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"

#define BUFFER (256 << 10)
#define QUEUE (64 << 20) /* bytes of waiting datagrams; a small one takes 768 */
#define DRAIN_MS 20 /* from one look into that queue to the next */
#define READY_S 10

struct server {
	int epoll;
	int datagrams[BACKENDS];
	volatile struct peer_counts *counts;
	char buffer[BUFFER];
};

struct source {
	int fd;
	void (*ready)(struct server *s, struct source *me);
	enum kind kind;
	uint64_t total; /* bytes received */
};

static int watch(struct server *s, int fd, enum kind kind, void (*ready)(struct server *, struct source *))
{
	struct source *new = malloc(sizeof(*new));
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = new };

	if (!new)
		return -ENOMEM;
	*new = (struct source){ .fd = fd, .ready = ready, .kind = kind };
	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

/* ---- what happens ---- */

static void finish(struct source *me)
{
	close(me->fd);
	free(me);
}

static void on_echo(struct server *s, struct source *me)
{
	ssize_t n = recv(me->fd, s->buffer, BUFFER, MSG_DONTWAIT);

	if (n <= 0 || send(me->fd, s->buffer, n, MSG_NOSIGNAL) != n)
		finish(me);
}

static void on_bulk(struct server *s, struct source *me)
{
	ssize_t n = recv(me->fd, s->buffer, BUFFER, MSG_DONTWAIT);

	if (n > 0) {
		me->total += n;
		return;
	}
	send(me->fd, &me->total, sizeof(me->total), MSG_NOSIGNAL);
	finish(me);
}

static void take_datagrams(struct server *s)
{
	for (int i = 0; i < BACKENDS; i++)
		while (recv(s->datagrams[i], s->buffer, BUFFER, MSG_DONTWAIT) >= 0)
			s->counts->datagrams++;
}

static void on_connection(struct server *s, struct source *me)
{
	int fd = accept4(me->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		watch(s, fd, me->kind, me->kind == KIND_CONNECT ? on_echo : on_bulk);
}

/* ---- beginning ---- */

/* A descriptor or -errno. */
static int open_socket(enum kind kind, int type, int backend)
{
	const struct sockaddr_in at = { AF_INET, htons(socket_port(kind)), { htonl(BACKEND_FIRST + backend) }, {} };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) || (type == SOCK_STREAM && listen(fd, 4096)))
		return -errno;
	return fd;
}

static int open_listener(struct server *s, enum kind kind, int backend)
{
	int fd = open_socket(kind, SOCK_STREAM, backend);

	return fd < 0 ? fd : watch(s, fd, kind, on_connection);
}

static int open_queue(struct server *s, int backend)
{
	int fd = s->datagrams[backend] = open_socket(KIND_SENDTO, SOCK_DGRAM, backend);

	/* the kernel doubles it */
	return fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &(int){ QUEUE / 2 }, sizeof(int)) ? -errno : 0;
}

static int open_sockets(struct server *s)
{
	int err = 0;

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < BACKENDS && !err; i++) {
		err = open_listener(s, KIND_CONNECT, i);
		err = err ? err : open_listener(s, KIND_THROUGHPUT, i);
		err = err ? err : open_queue(s, i);
	}
	return err;
}

static int make_namespace(const char *command)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	_cleanup_close_ int fd = -1;

	if (unshare(CLONE_NEWNET))
		return err_r(-errno, "cannot make a network namespace: %s; run as root", strerror(errno));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo))
		return err_r(-errno, "cannot set the loopback of a new network namespace up: %s", strerror(errno));
	return system(command) ? err_r(-EIO, "failed: %s", command) : 0;
}

static int serve(volatile struct peer_counts *counts, const char *command)
{
	struct server *s = calloc(1, sizeof(*s));
	struct epoll_event e;
	int err = s ? make_namespace(command) : -ENOMEM;

	if (err)
		return err;
	s->counts = counts;
	err = open_sockets(s);
	if (err)
		return err_r(err, "the bench's servers cannot listen: %s", strerror(-err));
	counts->ready = true;
	while (true)
		if (epoll_wait(s->epoll, &e, 1, DRAIN_MS) == 1)
			((struct source *)e.data.ptr)->ready(s, e.data.ptr);
		else
			take_datagrams(s);
}

int peer_start(struct peer *p, const char *command)
{
	const struct place place = { .netns = -1, .cpu = place_cpu(0) };
	double end = bench_now_us() + READY_S * 1e6;
	char path[64];

	p->counts = mmap(NULL, sizeof(*p->counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p->counts == MAP_FAILED)
		return -errno;
	p->pid = place_fork(&place);
	if (!p->pid)
		_exit(serve(p->counts, command) ? 1 : 0);
	while (p->pid > 0 && !p->counts->ready && !place_is_gone(p->pid) && bench_now_us() < end && !bench_stopped())
		usleep(1000);
	if (bench_stopped())
		return -EINTR;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", p->pid);
	p->netns = p->counts->ready ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	return p->netns < 0 ? -EIO : 0;
}

void peer_end(struct peer *p)
{
	if (p->pid > 0)
		close(p->netns);
	place_end(&p->pid);
}
