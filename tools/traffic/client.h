/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The client: client.c opens and ends connections, conn.c leads one, result.c counts and says what became of them. */
#ifndef TRAFFIC_CLIENT_H
#define TRAFFIC_CLIENT_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "traffic.h"

enum outcome { COMPLETED, RESET, TIMEOUT, WRONG, CLOSED, NOT_CONNECTED, N_OUTCOMES };

enum kind {
	WHOLE, /* lives for the whole run */
	SHORT, /* ends, and another takes its place */
	SILENT, /* lives for the whole run, and speaks at its start, middle and end only */
};

#define SERVERS_MAX 64
struct served {
	char name[HEAD + 1];
	uint64_t connections, broken;
};

struct results {
	uint64_t opened, connected, outcomes[N_OUTCOMES], alive_at_end, bytes, said;
	double oldest, longest_quiet; /* seconds, of those that completed */
	struct served served[SERVERS_MAX];
	unsigned n_served;
};

struct conn {
	struct client *client;
	struct event readable, writable, timer;
	int fd; /* -1: none */
	enum kind kind;
	bool connected, ending, shut; /* ending: when all is echoed; shut: our FIN is sent */
	bool leaving; /* its server is to go */
	struct stream stream;
	uint64_t target, sent, echoed; /* places in the stream: what shall be sent, is sent, came back */
	double begun, ends; /* ends: 0: with the run */
	double heard; /* when the last byte came; at first: begun */
	double asked; /* since when an answer is due */
	double quiet, longest_quiet; /* before what was asked last; of all */
	char server[HEAD + 1]; /* "": not known yet */
	struct endpoint from;
};

struct client {
	const struct client_options *o;
	struct event_base *base;
	struct conn *conns; /* [o->connections] */
	uint32_t n_begun; /* of them; the others are still to be opened */
	uint32_t n_open;
	uint64_t numbers, random;
	double begun, middle;
	bool finishing;
	struct event *ramp, *tick, *progress, *finish, *signals[3];
	struct results r;
};

double draw(struct client *c); /* at random, from 0 to below 1 */

/* ---- conn.c ---- */
void conn_open(struct conn *c);
void conn_end_within(struct conn *c, double seconds); /* a last burst somewhen in that time, then the end */
void conn_look(struct conn *c, double now); /* is it over time? */
static inline bool conn_is_open(const struct conn *c) { return c->fd >= 0; }

/* ---- client.c ---- */
void client_ended(struct client *c, struct conn *which); /* by whatever outcome: another may take its place */

/* ---- result.c ---- */
void result_served(struct results *r, const char *server);
void result_note(struct results *r, const struct conn *c, enum outcome outcome);
void result_print(const struct client *c);
void result_progress(const struct client *c);
uint64_t result_broken(const struct results *r);

#endif
