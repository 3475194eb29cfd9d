/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All objects of one kind, in one namespace or in all: listed page by page, then watched, and listed again whenever
 * what was watched cannot be trusted any more. For each object stands what the owner keeps of it.
 *
 * A stream that ends, in whatever way, goes on from where it was; only if that does not succeed either there is a
 * problem, and then everything is listed once more: a server that came back may be another.
 */
#ifndef DISCOVERY_KUBERNETES_WATCH_H
#define DISCOVERY_KUBERNETES_WATCH_H

#include "discovery/http.h"
#include "discovery/kubernetes_objects.h"

struct kubernetes_watch_conf {
	struct event_base *base;
	struct http *http;
	const char *const *headers; /* of each request; NULL: none */
	const char *what; /* as people read it: "endpointslices in namespace default" */
	const char *credentials; /* as people read it, for when they are refused: "token in /etc/shunt/token" */
	const char *path; /* "/api/v1/services" */
	const char *older_path; /* of an older API, for servers that do not have the first; NULL: there is none */
	const unsigned *watches; /* how many there are of this server; NULL: one */
	uint32_t timeout_ms; /* of an answer that does not come on */
	unsigned page; /* objects in one answer: what is taken apart at a time, without a look at anything else */
	kubernetes_keep_fn keep;
	void (*changed)(void *arg, const char *version); /* all of a list, or of what came at once */
	void (*same)(void *arg); /* nothing happened, or the server is at least well */
	void (*problem)(void *arg, const char *sentence);
	void *arg;
};

extern uint32_t kubernetes_pulse_ms; /* of a single watch; those of many share it. Tests are more impatient */

struct kubernetes_watch;
/* -ENOMEM. conf is copied, but not its texts. */
int kubernetes_watch_new(const struct kubernetes_watch_conf *conf, struct kubernetes_watch **out);
void kubernetes_watch_free(struct kubernetes_watch *w); /* what was kept is let go: keep with NULL. NULL is fine */

/* Begins, or begins again, with a list. labels: a selector, escaped; NULL: all objects. Copied. */
int kubernetes_watch_start(struct kubernetes_watch *w, const char *labels); /* -ENOMEM */
bool kubernetes_watch_complete(const struct kubernetes_watch *w); /* what is kept is all that there is */
unsigned kubernetes_watch_list(const struct kubernetes_watch *w); /* number of the list on which that is based */
const char *kubernetes_watch_version(const struct kubernetes_watch *w); /* of that; NULL: it is not complete */
void kubernetes_watch_each(const struct kubernetes_watch *w, void (*fn)(void *arg, void *kept), void *arg);

#endif
