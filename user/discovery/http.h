/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asking a server over HTTP, with connections that are kept and shared (HTTP/2 where TLS offers it, so that many
 * requests that wait need one connection). Several URLs that say the same are tried in turn: a request goes to the one
 * that answered last, and a failure moves on to the next.
 */
#ifndef DISCOVERY_HTTP_H
#define DISCOVERY_HTTP_H

#include "loop/transfers.h"
#include "model/source.h"

/* All are borrowed as long as the server is asked; NULL: not so. */
struct http_settings {
	struct texts urls; /* "http://10.0.0.1:8500", a path may follow; at least one */
	struct tls tls;
	const char *ca_data, *cert_data, *key_data; /* PEM, in place of files */
	/* Read for each request; its first line, behind token_head, is a header. Nothing is asked without it. */
	const char *token_file;
	const char *token_head; /* "X-Consul-Token: " */
	uint32_t connect_ms; /* at most for a connection */
	void (*before)(void *arg); /* called before each request, which may set others (http_set); NULL: nobody is */
	void *arg;
};

struct http;
int http_new(struct transfers *t, const struct http_settings *s, struct http **out); /* -ENOMEM */
void http_free(struct http *h); /* no request is under way. NULL is fine */
void http_set(struct http *h, const struct http_settings *s); /* for requests to come; as many urls as before */
const char *http_url(const struct http *h); /* that is asked now */
unsigned http_servers(const struct http *h); /* how many there are to be tried in turn */
/* That server answers, but what it says is of no use: further requests go to the next one. */
void http_next(struct http *h, const char *url);

#define HTTP_BODY_MAX (256u << 20) /* bytes of an answer, and of one line of a stream */

struct http_answer {
	const char *problem; /* why there is no whole answer, in words with the URL; NULL: there is one */
	bool timed_out; /* then problem says so too */
	bool no_token; /* likewise: nobody was asked, for the token-file cannot be used */
	long status; /* 0: none */
	const char *body; /* with a zero behind it */
	size_t len;
};

struct http_request;
struct http_call {
	const char *method, *path; /* "GET", "/v1/status/leader?x=y": escaped already */
	const char *body; /* NULL: none; copied */
	/* NULL-terminated, "Name: value"; NULL: no further ones. Looked at behind http_settings.before, which may change them */
	const char *const *headers;
	const char *type; /* of the body: a header as well; NULL: none */
	uint32_t timeout_ms; /* for the whole answer; 0: however long it takes */
	uint32_t quiet_ms; /* without a byte for so long it has failed; 0: however long. In whole seconds */
	/* Of a stream: each line of a 2xx answer, without its end; the body is not collected then. NULL: no stream */
	void (*line)(void *arg, const char *line, size_t len);
	/* The request is over, and freed after this returns. */
	void (*done)(void *arg, const struct http_request *r, const struct http_answer *a);
	void *arg;
};
int http_send(struct http *h, const struct http_call *call, struct http_request **out); /* -ENOMEM; done comes later */
void http_cancel(struct http_request *r); /* done is not called; not from within its own line */
const char *http_request_url(const struct http_request *r); /* that it asks, without the path */
const char *http_header(const struct http_request *r, const char *name); /* of the answer, in done; NULL: it has none */
char *http_escape(const char *text); /* for a path or a query; free() it. NULL: out of memory */

#endif
