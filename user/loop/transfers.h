/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * libcurl's multi interface in the event loop: it says which sockets and which timer it waits for, and those are events
 * of ours. Nothing blocks, and nothing is done before the loop runs.
 */
#ifndef LOOP_TRANSFERS_H
#define LOOP_TRANSFERS_H

#include <curl/curl.h>
#include <event2/event.h>

struct transfers;
/* A transfer ended, and is no longer under way. What done does may start and stop others. */
typedef void (*transfer_done_fn)(void *arg, CURLcode code);

struct transfer {
	struct transfers *of; /* NULL: not under way */
	CURL *easy; /* the owner's; CURLOPT_PRIVATE is ours */
	transfer_done_fn done;
	void *arg;
};

int transfers_new(struct event_base *base, struct transfers **out); /* -ENOMEM */
void transfers_free(struct transfers *t); /* NULL is fine; none may be under way */
CURLM *transfers_multi(struct transfers *t); /* for options */
struct event_base *transfers_base(const struct transfers *t);

int transfer_start(struct transfers *t, struct transfer *one); /* easy, done and arg are set. -ENOMEM */
void transfer_stop(struct transfer *one); /* one that is not under way is fine */

#endif
