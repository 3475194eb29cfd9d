/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * shunt-traffic: TCP connections that live for long and check every byte, to see whether a balancer breaks any.
 *
 * Both directions of a connection carry the same bytes, which follow from the connection's number and their place in
 * the stream, but for the first eight: the client's are that number, the server's are its name. So either side can
 * check what comes, and make anew what it still has to send: nothing is ever stored.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define HEAD 8 /* bytes of the stream that name who speaks */
#define CHUNK 4096 /* bytes that are read or written at once */

/* ---- stream.c ---- */

/* The first HEAD bytes of what is sent, and what the rest follows from. */
struct stream {
	uint8_t head[HEAD];
	uint64_t connection;
};

void stream_fill(const struct stream *s, uint64_t at, uint8_t *bytes, size_t n);
/* Are these the stream's bytes from place `at` on? Those of the head are not looked at. */
bool stream_matches(const struct stream *s, uint64_t at, const uint8_t *bytes, size_t n);

/*
 * Writes from *at to `until`, as much as the socket takes, and moves *at. 0: all is written; -EAGAIN: the socket is
 * full; other -errno: the connection is broken.
 */
int stream_write(const struct stream *s, int fd, uint64_t *at, uint64_t until);

double clock_now(void); /* seconds, monotonic */
void clock_text(double t, char text[32]); /* seconds since the epoch, for a log */

/* As many descriptors as this process may have, and room for n connections at least; or -errno with a sentence. */
int descriptors_raise(size_t n);

/* ---- server.c, client.c ---- */

struct server_options {
	struct endpoint listen;
	const char *name;
};
int server_run(const struct server_options *o); /* until SIGTERM or SIGINT; exit status */

struct client_options {
	struct endpoint connect;
	struct addr source; /* the first; unspecified: the kernel's choice */
	uint32_t sources; /* so many addresses from there on */
	uint32_t connections;
	uint32_t rate; /* connections opened in a second */
	uint32_t silent_percent, short_percent;
	uint32_t burst; /* bytes at most */
	uint64_t duration_ms, interval_ms, life_ms, timeout_ms, progress_ms;
	uint64_t seed;
	const char *leave; /* file; NULL: none */
};
int client_run(const struct client_options *o); /* exit status */

#endif
