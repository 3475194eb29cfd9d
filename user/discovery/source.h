/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a kind of source is to the rest of the room. A source is opened once for each that the configuration lists (or
 * means by default), and watches any number of questions; the same question of several services is one watch.
 *
 * It says what it found as whole snapshots, whenever it likes, and what went wrong, in words that name the place and
 * the remedy; it never blocks, goes on trying by itself (backoff.h), and decides nothing: whether an answer is believed
 * is the finder's business (finder.h).
 */
#ifndef DISCOVERY_SOURCE_H
#define DISCOVERY_SOURCE_H

#include <event2/event.h>

#include "loop/transfers.h"
#include "model/model.h"

struct finder;
struct offers;

struct source_env {
	struct event_base *base;
	struct transfers *transfers; /* shared by all sources, connections are kept */
	struct offers *offers; /* of this source */
};

struct source_ops {
	/* conf stays as long as the source is open. 0, or -errno (logged): it cannot be asked, as it is configured. */
	int (*open)(const struct source_env *env, const struct source *conf, void **out);
	void (*close)(void *source); /* no watches are left */
	/* what stays as long as the watch does; f is told, but not from within this call. -errno, logged */
	int (*watch)(void *source, const struct discover *what, struct finder *f, void **out);
	void (*unwatch)(void *watch);
	bool one_at_a_time; /* a problem is that of one of its servers, and the next attempt is another's */
};
extern const struct source_ops source_consul, source_kubernetes, source_etcd, source_dns, source_files;

/* ---- what a watch tells ---- */

/* Everything that there is, now. Order does not matter; of an endpoint that is there twice the first counts. */
struct answer {
	const struct backend *backends; /* at, weight, admin (enabled or draining), server_id; the rest is zero */
	size_t n;
	const char *version; /* the source's own: an index, a revision, a serial; NULL: it has none */
	const char *note; /* what a person should know who looks: "2 of 5 instances are critical"; NULL: nothing */
	bool wrong; /* note says what of it cannot be used, and would be mended at the source: the rest counts */
};
void found(struct finder *f, const struct answer *a);
void found_same(struct finder *f); /* the source was heard, and what it said last still holds */
void found_problem(struct finder *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The set in force, found since the start or kept from before it; until something is found. NULL: there is none. */
const struct backend *found_before(const struct finder *f, size_t *n);

/* ---- services that come from a source whole (Kubernetes) ---- */

struct offer {
	char *name; /* of the service here */
	struct listen *listens;
	size_t n_listens;
	enum affinity affinity;
	struct discover discover; /* of this very source */
};
void offer_clear(struct offer *o);
/* All that there are, as a list says at one stroke: none, where some were, is not believed. The list is copied. */
void offers_found(struct offers *o, const struct offer *list, size_t n);
/* All that there are, after they were added and taken away one by one: none is believed. The list is copied. */
void offers_changed(struct offers *o, const struct offer *list, size_t n);
void offers_problem(struct offers *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
