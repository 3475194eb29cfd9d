/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of this room share, beside what sources see (source.h). */
#ifndef DISCOVERY_INTERNAL_H
#define DISCOVERY_INTERNAL_H

#include "discovery/finder.h"

/* Services that a source offers. */
struct offers {
	struct discovery *discovery;
	struct opened *source;
	struct standing standing;
	struct offer *list; /* sorted by name */
	size_t n;
	bool known, unsaved;
};

/* A source that is asked. */
struct opened {
	struct source conf;
	struct source_env env;
	const struct source_ops *ops;
	void *handle; /* NULL: it could not be opened */
	char *why; /* it could not; NULL: it could */
	struct offers offers;
	bool wanted; /* mark of discovery_follow */
};

struct discovery {
	struct event_base *base;
	struct transfers *transfers;
	struct config *config; /* that is followed; NULL: none yet */
	discovery_changed_fn changed;
	discovery_event_fn event;
	void *arg;
	struct opened **sources;
	size_t n_sources;
	void *finders; /* tsearch tree by key */
	struct event *settle;
	uint64_t unsettled_us, changed_us; /* CLOCK_MONOTONIC of the first change that was not handed on (0: none), and of the last */
	uint64_t settled_us; /* when changes were handed on last */
	uint64_t calm_us; /* how long there is to be no other change until it is handed on */
	struct event *save;
	struct event *reopen; /* pending: some source could not be opened */
	char state[STATE_TEXT]; /* directory; "": nothing is kept */
	bool reoffered; /* offers are others: what they discover is to be followed */
	struct discovery_test *test; /* NULL: this one is in earnest */
};

/* ---- discovery.c ---- */
extern uint32_t discovery_reopen_ms; /* until sources that could not be opened are tried again: for tests, which are in a hurry */
void discovery_event(struct discovery *d, const char *subject, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void discovery_changed(struct discovery *d); /* some set or offer: it is handed on when things are calm, and kept */

/* ---- opened.c ---- */
/* The source that is meant, opened if it is not yet, or could not be before. NULL: out of memory. */
struct opened *opened_for(struct discovery *d, const struct config *c, enum source_kind kind, const char *name);
void opened_close_unwanted(struct discovery *d);
void opened_free(struct opened *o);

/* ---- test.c ---- */
void discovery_heard(struct discovery *d, struct finder *f); /* an answer or a problem came */

/* ---- offers.c ---- */
void offers_init(struct offers *o, struct discovery *d, struct opened *source);
void offers_clear(struct offers *o);
void offers_take_over(struct offers *o, const struct offers *from); /* what is in force for another, if o has nothing yet */
size_t offers_sort(struct offer *list, size_t n); /* by name, of two with one name the first; how many there are */

/* ---- store.c: sets and offers in the state directory ---- */
void store_load_finder(const struct discovery *d, struct finder *f, const struct discover *what); /* what is kept about what */
void store_load_offers(const struct discovery *d, struct offers *o);
int store_save_finder(const struct discovery *d, const struct finder *f); /* -errno, logged */
int store_save_offers(const struct discovery *d, const struct offers *o);
void store_sweep(const struct discovery *d); /* removes what no question and no source needs any more */

#endif
