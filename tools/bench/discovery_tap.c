/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"

#define PAIRS_MAX 32

struct pair {
	int daemon, server; /* -1: free */
};

static struct {
	int listener;
	uint16_t port, to;
	struct pair pairs[PAIRS_MAX];
	const struct pair *answers; /* that brings the first answer since tap_mark; NULL: none yet */
	double answered;
	bool over; /* it was whole: the daemon has asked something else on that connection */
} tap = { .listener = -1 };

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

int tap_open(uint16_t to)
{
	struct sockaddr_in at = loopback(0);
	socklen_t len = sizeof(at);

	memset(&tap, 0xff, sizeof(tap)); /* no descriptors */
	tap.to = to;
	tap_mark();
	tap.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (tap.listener < 0 || bind(tap.listener, (struct sockaddr *)&at, len) || listen(tap.listener, PAIRS_MAX) ||
	    getsockname(tap.listener, (struct sockaddr *)&at, &len))
		return err_r(-errno, "bench: cannot listen on loopback: %s", strerror(errno));
	tap.port = ntohs(at.sin_port);
	return 0;
}

static void pair_close(struct pair *p)
{
	clean_close(&p->daemon);
	clean_close(&p->server);
	*p = (struct pair){ -1, -1 };
}

void tap_close(void)
{
	for (int i = 0; tap.listener >= 0 && i < PAIRS_MAX; i++)
		pair_close(&tap.pairs[i]);
	clean_close(&tap.listener);
	tap.listener = -1;
}

uint16_t tap_port(void)
{
	return tap.port;
}

void tap_mark(void)
{
	tap.answers = NULL;
	tap.answered = 0;
	tap.over = false;
}

double tap_answered(void)
{
	return tap.answered;
}

static void take_connection(void)
{
	struct sockaddr_in at = loopback(tap.to);
	int fd = accept4(tap.listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
	struct pair *p = tap.pairs;

	while (p < tap.pairs + PAIRS_MAX && p->daemon >= 0)
		p++;
	if (fd < 0 || p == tap.pairs + PAIRS_MAX) {
		clean_close(&fd);
		return;
	}
	*p = (struct pair){ fd, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	setsockopt(p->daemon, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(p->server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(p->server, (struct sockaddr *)&at, sizeof(at)))
		pair_close(p);
}

static void note_answer(const struct pair *p)
{
	if (!tap.answers)
		tap.answers = p;
	if (tap.answers == p && !tap.over)
		tap.answered = bench_now_us();
}

static void pass_on(struct pair *p, bool answer)
{
	int from = answer ? p->server : p->daemon, to = answer ? p->daemon : p->server;
	char bytes[65536];
	ssize_t n = recv(from, bytes, sizeof(bytes), 0);

	if (n <= 0) {
		pair_close(p);
		return;
	}
	if (answer)
		note_answer(p);
	else if (tap.answers == p)
		tap.over = true;
	for (ssize_t at = 0, sent; at < n; at += sent) {
		sent = send(to, bytes + at, n - at, MSG_NOSIGNAL);
		if (sent <= 0) {
			pair_close(p);
			return;
		}
	}
}

void tap_pump(uint32_t us)
{
	struct pollfd fds[1 + 2 * PAIRS_MAX] = { { .fd = tap.listener, .events = POLLIN } };

	for (int i = 0; i < PAIRS_MAX; i++) { /* those of free pairs are negative, and left out */
		fds[1 + 2 * i] = (struct pollfd){ .fd = tap.pairs[i].daemon, .events = POLLIN };
		fds[2 + 2 * i] = (struct pollfd){ .fd = tap.pairs[i].server, .events = POLLIN };
	}
	if (ppoll(fds, ARRAY_SIZE(fds), &(struct timespec){ .tv_nsec = us * 1000 }, NULL) <= 0)
		return;
	for (int i = 0; i < PAIRS_MAX; i++) {
		if (fds[1 + 2 * i].revents && tap.pairs[i].daemon >= 0)
			pass_on(&tap.pairs[i], false);
		if (fds[2 + 2 * i].revents && tap.pairs[i].server >= 0)
			pass_on(&tap.pairs[i], true);
	}
	if (fds[0].revents)
		take_connection();
}
