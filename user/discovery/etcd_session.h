/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asking etcd as the user that is configured: a token is got before the first request, and anew when etcd does not take
 * it any more (they end after some minutes without use, with a restart, and when users change). What goes wrong is said
 * with the server and the remedy; a server that says it cannot serve is left for the next one.
 */
#ifndef DISCOVERY_ETCD_SESSION_H
#define DISCOVERY_ETCD_SESSION_H

#include <event2/event.h>

#include "loop/transfers.h"
#include "model/source.h"

struct etcd_session;
/* conf stays as long as the session does. -ENOMEM */
int etcd_session_new(struct event_base *base, struct transfers *t, const struct source *conf,
		     struct etcd_session **out);
void etcd_session_free(struct etcd_session *s); /* no request is under way. NULL is fine */
const char *etcd_session_url(const struct etcd_session *s); /* of the server that is asked now */
size_t etcd_session_servers(const struct etcd_session *s); /* how many there are to try */
void etcd_session_next(struct etcd_session *s, const char *url); /* that server is of no use: the next one */

struct etcd_request;
struct etcd_call {
	const char *path; /* stays as it is: "/v3/kv/range" */
	char *body; /* taken over, also on failure; NULL: out of memory */
	const char *right, *prefix; /* that the user needs for it, "readwrite" and "/a/"; copied. NULL: that is not said */
	bool endless; /* a stream, however long it takes */
	void (*line)(void *arg, const char *line, size_t len); /* of a stream */
	/* problem: there is no answer, or etcd says no, in words; code: etcd's own, 0: none. The request is over. */
	void (*done)(void *arg, const char *problem, int code, const char *body, size_t len);
	void *arg;
};
/* -ENOMEM; done comes later: after a problem it sends nothing itself. */
int etcd_send(struct etcd_session *s, const struct etcd_call *call, struct etcd_request **out);
void etcd_cancel(struct etcd_request *r); /* done is not called; not from within its line. NULL is fine */

extern uint32_t etcd_pulse_ms; /* how often a watch is tried, 20 % more or less: for tests, which are in a hurry */

#define ETCD_NOT_FOUND 5 /* codes: of gRPC */
/* A stream says no in a line: what that means, in words; a token that it does not take is not used again. */
void etcd_refused(struct etcd_request *r, const char *reason, char *text, size_t size);

#endif
