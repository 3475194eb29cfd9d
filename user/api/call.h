/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One request to the control socket, taken apart; a handler for each route fills in the reply and returns the status. */
#ifndef API_CALL_H
#define API_CALL_H

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>

#include "api/internal.h"

#define CALL_PARTS_MAX 8

struct call {
	struct api *api;
	char *parts[CALL_PARTS_MAX]; /* of the path, decoded: "v1", "services", "web", … */
	size_t n_parts;
	struct evkeyvalq query;
	const char *body; /* not terminated */
	size_t body_len;
	bool may_change; /* who asks is the socket's owner or root */
	json_t *reply;
	struct evhttp_request *request; /* for who answers later */
};

/* A handler's status: it answers later, with call_reply. */
#define CALL_LATER 0
void call_reply(struct evhttp_request *request, int status, const json_t *reply);

typedef int (*call_handler)(struct call *c);

const char *call_query(const struct call *c, const char *key); /* NULL: not there */
/* Of a list: "limit" of the query, a number up to most, or what is meant without it. Returns 0, or a status. */
int call_limit(struct call *c, uint64_t without, uint64_t most, uint64_t *out);

/* Set the reply and return the status. */
int call_ok(struct call *c, json_t *reply); /* takes reply; NULL (out of memory) becomes a 500 */
int call_error(struct call *c, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int call_errors(struct call *c, int status, json_t *errors); /* takes errors, an array of texts with at least one */
int call_forbidden(struct call *c);

/*
 * The body as a JSON object that has no other keys than these (NULL-terminated). NULL: the reply is set, status
 * 400. Freed by the caller.
 */
json_t *call_object(struct call *c, const char *const *keys);

/* show.c */
int get_services(struct call *c);
int get_service(struct call *c);
int get_backends(struct call *c);
int get_drops(struct call *c);
/* flows.c */
int get_flows(struct call *c);
int get_flow(struct call *c);
/* status.c */
int get_status(struct call *c);
/* change.c */
int post_service(struct call *c);
int delete_service(struct call *c);
int post_backend(struct call *c);
int post_backend_change(struct call *c);
int delete_backend(struct call *c);
/* apply.c */
int post_apply(struct call *c);
/* explain.c */
int post_explain(struct call *c);
/* explain_connect.c */
int post_explain_connect(struct call *c);
/* sources.c */
int get_sources(struct call *c);
int get_source(struct call *c);
int post_source_test(struct call *c);
/* events.c */
int get_events(struct call *c);
/* connections.c */
int get_connections(struct call *c);

#endif
