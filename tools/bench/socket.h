/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * socket.*: what it costs a local process to reach a service, by each of the ways there are.
 *
 *   client ---- a way ----> server at 127.0.0.2 or 127.0.0.3, all over the loopback of one network namespace
 *
 * The client is the same code in every row, and asks the same servers; rows differ in the address that it asks and in
 * what is loaded around it.
 */
#ifndef BENCH_SOCKET_H
#define BENCH_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "place.h"

/* ---- what is measured ---- */

/* In the order of a row's figures; which of them are valid is the kind's business. */
enum figure { CONNECT_US, RTT_US, CYCLE_US, SENDTO_NS = 0, GBIT = 0, FIGURES = 3 };

enum kind { KIND_CONNECT, KIND_SENDTO, KIND_THROUGHPUT, KINDS };

/* Each kind has a port of its own, at which the servers, the services and the proxy listen. */
static inline in_port_t socket_port(enum kind kind) { return 7001 + kind; }

/* ---- socket_peer.c: the servers ---- */

#define BACKENDS 2
#define BACKEND_FIRST 0x7f000002 /* 127.0.0.2 */

struct peer {
	pid_t pid;
	int netns; /* descriptor of the namespace that it has made for itself */
	volatile struct peer_counts *counts;
};
struct peer_counts {
	bool ready;
	uint64_t datagrams; /* received since the beginning */
};

/* Starts the servers in a new network namespace, after the command, for system(3), has run there. 0 or -errno (said) */
int peer_start(struct peer *p, const char *command);
void peer_end(struct peer *p);

/* ---- socket_client.c: the process that measures ---- */

struct job {
	enum kind kind;
	const char *cgroup; /* that the client is in, if cgroup v2 is mounted: a name for place_cgroup */
	const struct peer *peer; /* in whose namespace it runs */
	uint32_t to[BACKENDS]; /* IPv4 addresses, asked in turn */
	uint32_t n; /* connections or datagrams */
};

/* Figures of one round. 0, -EIO (said) or -EINTR */
int client_measure(const struct job *job, double out[FIGURES]);

/* Waits until the job's address answers a connection. 0, -ETIMEDOUT or -EINTR; -ECHILD: the process went before. */
int client_await(const struct job *job, pid_t process);

/* ---- socket_ways.c: the ways ---- */

struct way {
	const char *name; /* the end of a row's name */
	unsigned kinds; /* bits of enum kind: rows that it has */
	uint32_t to[BACKENDS]; /* as in struct job */
	const char *cgroup;
	bool loaded; /* measured while shunt's programs are loaded; the others while they are not */
	const struct peer *peer;
	int (*begin)(struct way *); /* 0 (and perhaps skipped), or -errno (said) */
	char skipped[160]; /* why it cannot be measured; empty: it can */
};

#define WAYS 5
#define WAY_DIRECT 0
extern struct way ways[WAYS];

/* Prepares the ways that are wanted; shunt is not loaded yet. 0 or -errno (said) */
int ways_begin(bool (*wanted)(const struct way *));
void ways_end(void);

/* The daemon with its programs, from nothing until its services answer; and away again. */
int ways_load(void);
void ways_unload(void);

/* Removes what is left of all of them when the process that made it is gone. */
void ways_clear(void);

#endif
