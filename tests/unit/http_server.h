/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What servers over HTTP that are the test itself have in common, whatever they stand for: port, questions, replies. */
#ifndef TESTS_HTTP_SERVER_H
#define TESTS_HTTP_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* On loopback. *port is 0 for any that is free, and then which: so that a server may come back where it was. */
static inline struct evhttp *http_listen(struct event_base *base, uint16_t *port)
{
	struct evhttp *http = evhttp_new(base);
	struct evhttp_bound_socket *s;
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	s = evhttp_bind_socket_with_handle(http, "127.0.0.1", *port);
	assert_non_null(s);
	getsockname(evhttp_bound_socket_get_fd(s), (struct sockaddr *)&at, &len);
	*port = ntohs(at.sin_port);
	return http;
}

/* The body, which has to be JSON. */
static inline json_t *request_json(struct evhttp_request *q)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(q);
	json_t *root = json_loadb((char *)evbuffer_pullup(in, -1), evbuffer_get_length(in), 0, NULL);

	assert_non_null(root);
	return root;
}

static inline void reply(struct evhttp_request *q, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static inline void reply(struct evhttp_request *q, int status, const char *fmt, ...)
{
	struct evbuffer *body = evbuffer_new();
	va_list args;

	va_start(args, fmt);
	evbuffer_add_vprintf(body, fmt, args);
	va_end(args);
	evhttp_send_reply(q, status, "as it is", body);
	evbuffer_free(body);
}

#endif
