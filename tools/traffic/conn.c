/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One connection of the client: bursts at random intervals, every echoed byte checked, and an end in good order. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "client.h"

static void finish(struct conn *c, enum outcome outcome)
{
	if (outcome != COMPLETED && !c->connected)
		outcome = NOT_CONNECTED;
	event_del(&c->readable);
	event_del(&c->writable);
	event_del(&c->timer);
	result_note(&c->client->r, c, outcome);
	close(c->fd);
	c->fd = -1;
	client_ended(c->client, c);
}

static void set_timer(struct conn *c, double seconds)
{
	struct timeval t = { .tv_sec = seconds, .tv_usec = (seconds - (long)seconds) * 1e6 };

	event_add(&c->timer, &t);
}

#define NEVER 1e6 /* seconds: no run is so long */

/* ---- sending ---- */

/* Sends what is due; the end follows when all has come back. The connection may be no more afterwards. */
static void push(struct conn *c)
{
	int err = stream_write(&c->stream, c->fd, &c->sent, c->target);

	if (err == -EAGAIN) {
		event_add(&c->writable, NULL);
	} else if (err) {
		finish(c, RESET);
	} else if (c->ending && c->echoed == c->target && !c->shut) {
		c->shut = true;
		c->asked = clock_now();
		shutdown(c->fd, SHUT_WR);
	}
}

static void burst(struct conn *c, double now)
{
	if (c->echoed == c->target) {
		c->asked = now;
		c->quiet = now - c->heard;
		if (c->quiet > c->longest_quiet)
			c->longest_quiet = c->quiet;
	}
	c->target += 1 + (uint64_t)(draw(c->client) * c->client->o->burst);
	push(c);
}

/* Who is silent speaks around the middle of the run, and then not before its end. */
static double next_burst(struct conn *c, double now)
{
	double interval = c->client->o->interval_ms / 1e3, middle = c->client->middle + interval * draw(c->client);

	if (c->kind != SILENT)
		return interval * (0.5 + draw(c->client));
	return now < c->client->middle ? middle - now : NEVER;
}

static void wait_for_burst(struct conn *c, double now)
{
	double next = next_burst(c, now);

	set_timer(c, c->ends && c->ends < now + next ? c->ends - now : next);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	double now = clock_now();

	(void)fd;
	(void)what;
	if (!c->connected) { /* asked to end before it began: somewhat later */
		set_timer(c, 0.5);
		return;
	}
	c->ending = c->ending || (c->ends && now >= c->ends);
	if (!c->ending)
		wait_for_burst(c, now);
	if (!c->shut)
		burst(c, now);
}

void conn_end_within(struct conn *c, double seconds)
{
	double in = seconds * draw(c->client);

	if (!conn_is_open(c) || c->ending)
		return;
	c->ends = clock_now() + in;
	set_timer(c, in);
}

/* ---- receiving ---- */

static void take_name(struct conn *c, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n && c->echoed + i < HEAD; i++)
		c->server[c->echoed + i] = bytes[i];
	if (c->echoed < HEAD && c->echoed + n >= HEAD)
		result_served(&c->client->r, c->server);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	uint8_t bytes[CHUNK];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	(void)what;
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			finish(c, errno == ETIMEDOUT ? TIMEOUT : RESET);
		return;
	}
	if (!n) {
		finish(c, c->shut ? COMPLETED : CLOSED);
		return;
	}
	take_name(c, bytes, n);
	if (c->echoed + n > c->sent || !stream_matches(&c->stream, c->echoed, bytes, n)) {
		finish(c, WRONG);
		return;
	}
	c->echoed += n;
	c->client->r.bytes += n;
	c->heard = c->asked = clock_now();
	push(c);
}

void conn_look(struct conn *c, double now)
{
	bool waiting = !c->connected || c->echoed < c->target || c->shut;

	if (conn_is_open(c) && waiting && now - c->asked > c->client->o->timeout_ms / 1e3)
		finish(c, TIMEOUT);
}

/* ---- opening ---- */

static void note_source(struct conn *c)
{
	struct sockaddr_storage at;
	const struct sockaddr_in *four = (struct sockaddr_in *)&at;
	const struct sockaddr_in6 *six = (struct sockaddr_in6 *)&at;
	socklen_t n = sizeof(at);

	if (getsockname(c->fd, (struct sockaddr *)&at, &n))
		return;
	if (at.ss_family == AF_INET)
		c->from.addr = addr_from4(four->sin_addr.s_addr);
	else
		memcpy(c->from.addr.b, &six->sin6_addr, sizeof(c->from.addr.b));
	c->from.port = ntohs(at.ss_family == AF_INET ? four->sin_port : six->sin6_port);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	int err = 0;
	socklen_t n = sizeof(err);

	(void)what;
	if (c->connected) {
		push(c);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n);
	if (err) {
		finish(c, RESET);
		return;
	}
	c->connected = true;
	c->client->r.connected++;
	note_source(c);
	c->heard = clock_now();
	event_add(&c->readable, NULL);
	if (!event_pending(&c->timer, EV_TIMEOUT, NULL))
		wait_for_burst(c, c->heard);
	burst(c, c->heard);
}

static struct addr nth_after(struct addr a, uint32_t n)
{
	for (int i = sizeof(a.b) - 1; i >= 0 && n; i--, n >>= 8) {
		n += a.b[i];
		a.b[i] = n;
	}
	return a;
}

/* The kernel chooses the port when it knows where the connection goes, so that each address has all ports. */
static int bind_source(const struct conn *c)
{
	const struct client_options *o = c->client->o;
	struct endpoint e = { .addr = nth_after(o->source, c->stream.connection % o->sources) };
	struct sockaddr_storage at;
	socklen_t n = endpoint_sockaddr(&e, &at);
	int yes = 1;

	if (addr_is_unspecified(&o->source))
		return 0;
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
	return bind(c->fd, (struct sockaddr *)&at, n) ? -errno : 0;
}

static int begin(struct conn *c)
{
	struct sockaddr_storage to;
	socklen_t n = endpoint_sockaddr(&c->client->o->connect, &to);
	int yes = 1, err;

	c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	event_assign(&c->readable, c->client->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	event_assign(&c->writable, c->client->base, c->fd, EV_WRITE, on_writable, c);
	event_assign(&c->timer, c->client->base, -1, 0, on_timer, c);
	if (c->fd < 0)
		return -errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	err = bind_source(c);
	if (err)
		return err;
	return connect(c->fd, (struct sockaddr *)&to, n) && errno != EINPROGRESS ? -errno : 0;
}

void conn_open(struct conn *c)
{
	struct client *client = c->client;
	double now = clock_now(), life = client->o->life_ms / 1e3;
	int err;

	*c = (struct conn){
		.client = client, .kind = c->kind, .begun = now, .heard = now, .asked = now, .target = HEAD
	};
	c->stream.connection = client->numbers++;
	for (int i = 0; i < HEAD; i++)
		c->stream.head[i] = c->stream.connection >> i * 8;
	if (c->kind == SHORT)
		c->ends = now + life * (0.5 + draw(client));
	client->n_open++;
	client->r.opened++;
	err = begin(c);
	if (err) {
		log_error("connection %llu cannot begin: %s", (unsigned long long)c->stream.connection, strerror(-err));
		finish(c, NOT_CONNECTED);
		return;
	}
	event_add(&c->writable, NULL);
}
