/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The server: checks what comes, sends it back, and says its name first. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/listener.h>
#include <jansson.h>

#include "base/clean.h"
#include "base/log.h"
#include "traffic.h"

struct server {
	struct event_base *base;
	struct evconnlistener *listener;
	const char *name;
	LIST_HEAD(, peer) peers;
	json_int_t accepted, empty, completed, reset, wrong; /* empty: ended without a byte, as a health check does */
};

struct peer {
	LIST_ENTRY(peer) next;
	struct server *server;
	struct event *readable, *writable;
	struct stream stream;
	uint64_t received, sent;
	bool ended; /* the client sends no more */
};

static void peer_close(struct peer *p, json_int_t *counter)
{
	evutil_socket_t fd = event_get_fd(p->readable);

	if (counter)
		++*counter;
	LIST_REMOVE(p, next);
	event_free(p->readable);
	event_free(p->writable);
	close(fd);
	evconnlistener_enable(p->server->listener);
	free(p);
}

/* Nothing is sent before the client's number is known. */
static void answer(struct peer *p)
{
	uint64_t until = p->received < HEAD ? 0 : p->received;
	int err = stream_write(&p->stream, event_get_fd(p->readable), &p->sent, until);

	if (err == -EAGAIN)
		event_add(p->writable, NULL);
	else if (err)
		peer_close(p, &p->server->reset);
	else if (p->ended)
		peer_close(p, p->received ? &p->server->completed : &p->server->empty);
}

static void take_head(struct peer *p, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n && p->received + i < HEAD; i++)
		p->stream.connection |= (uint64_t)bytes[i] << (p->received + i) * 8;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	uint8_t bytes[CHUNK];
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		peer_close(p, p->received ? &p->server->reset : &p->server->empty);
		return;
	}
	take_head(p, bytes, n);
	if (!stream_matches(&p->stream, p->received, bytes, n)) {
		log_error("%s: wrong bytes in connection %llu after %llu right ones", p->server->name,
			  (unsigned long long)p->stream.connection, (unsigned long long)p->received);
		peer_close(p, &p->server->wrong);
		return;
	}
	p->received += n;
	if (!n) {
		p->ended = true;
		event_del(p->readable);
	}
	answer(p);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	answer(arg);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int n, void *arg)
{
	struct server *s = arg;
	struct peer *p = calloc(1, sizeof(*p));

	(void)l;
	(void)from;
	(void)n;
	if (!p) {
		close(fd);
		return;
	}
	p->server = s;
	memcpy(p->stream.head, s->name, strnlen(s->name, HEAD));
	p->readable = event_new(s->base, fd, EV_READ | EV_PERSIST, on_readable, p);
	p->writable = event_new(s->base, fd, EV_WRITE, on_writable, p);
	LIST_INSERT_HEAD(&s->peers, p, next);
	s->accepted++;
	event_add(p->readable, NULL);
}

/* No descriptor is free: others are accepted when one that is there has ended. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
	(void)arg;
	log_error("no connection can be accepted: %s", strerror(errno));
	evconnlistener_disable(l);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	event_base_loopbreak(arg);
}

static void report(const struct server *s)
{
	json_t *j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "name", s->name, "accepted", s->accepted, "empty",
			      s->empty, "completed", s->completed, "reset", s->reset, "wrong", s->wrong);

	json_dumpf(j, stdout, JSON_COMPACT);
	puts("");
	json_decref(j);
}

static void close_all(struct server *s)
{
	while (!LIST_EMPTY(&s->peers))
		peer_close(LIST_FIRST(&s->peers), NULL);
}

int server_run(const struct server_options *o)
{
	struct event_base *base = event_base_new();
	struct server s = { .base = base, .name = o->name };
	struct event *term = evsignal_new(base, SIGTERM, on_signal, base),
		     *stop = evsignal_new(base, SIGINT, on_signal, base);
	struct sockaddr_storage at;
	socklen_t n = endpoint_sockaddr(&o->listen, &at);

	if (descriptors_raise(0))
		return 1;
	s.listener = evconnlistener_new_bind(base, on_accept, &s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
					     (struct sockaddr *)&at, n);
	if (!s.listener) {
		log_error("cannot listen: %s", strerror(errno));
		return 1;
	}
	evconnlistener_set_error_cb(s.listener, on_accept_error);
	event_add(term, NULL);
	event_add(stop, NULL);
	event_base_dispatch(base);
	report(&s);
	close_all(&s);
	evconnlistener_free(s.listener);
	event_free(term);
	event_free(stop);
	event_base_free(base);
	return s.wrong ? 1 : 0;
}
