/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ends connections of local processes whose backend may have them no more, in whichever network namespace they are.
 * That needs privileges which the daemon gives up, so a process of its own does it, which knows nothing else. It ends
 * with the daemon; if it dies before, it is not started again.
 *
 * Nothing here waits for it. Callbacks come from the loop, never from in here.
 */
#ifndef DATAPATH_SEVER_H
#define DATAPATH_SEVER_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/types.h>

#define SEVER_PROBLEM 256

struct sever;

/* What one look did. */
struct sever_report {
	uint32_t found; /* connections that were to end: the sum of these three */
	uint32_t ended;
	uint32_t gone; /* before it came to them */
	uint32_t failed;
	char problem[SEVER_PROBLEM]; /* why the first one failed, or the look; "": nothing did */
};

typedef void (*sever_report_fn)(void *arg, const struct sever_report *r);
/* err: 0, and cookie is the namespace's; or -errno, and problem is a sentence. */
typedef void (*sever_netns_fn)(void *arg, int err, uint64_t cookie, const char *problem);

/* Forks: before any thread exists, and with all privileges. */
int sever_start(struct sever **out);
/* Results come by this loop; report is called for each look, and when the process died. Requests may be made before. */
int sever_attach(struct sever *s, struct event_base *base, sever_report_fn report, void *arg);
void sever_free(struct sever *s); /* ends the process; callbacks that wait are not called any more; NULL: fine */

/* Where looks find connections: the link of an iterator that writes struct shunt_connection. A copy of it is kept. */
int sever_set_link(struct sever *s, int link_fd);
/* Ends those with SHUNT_CONNECTION_ENDS. Those wanted while one is under way are one more after it. */
void sever_look(struct sever *s);
/* Asks which cookie (SO_NETNS_COOKIE) the network namespace has whose file is at path. Not 0: it will not be called. */
int sever_netns(struct sever *s, const char *path, sever_netns_fn fn, void *arg);

pid_t sever_pid(const struct sever *s); /* 0: it died */
/* Why connections are not ended: it died, or what the last look could not do. "": they are. */
const char *sever_problem(const struct sever *s);

#endif
