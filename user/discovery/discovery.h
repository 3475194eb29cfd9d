/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Service discovery: asks the sources of a configuration what its services discover, and keeps for each question the
 * set of endpoints that is in force, which is the last one that was believed. Nothing blocks.
 *
 * THE GUARD: a source that cannot be reached, denies, errs, breaks off in the middle or says that there is suddenly
 * nothing leaves the last good set in force, marked stale with the time and the reason. Sets are kept in the state
 * directory, and are in force again after a restart until the source has answered. Where `none: allow` is said, an
 * answer of nothing is believed; else not even a first one is.
 */
#ifndef DISCOVERY_DISCOVERY_H
#define DISCOVERY_DISCOVERY_H

#include <event2/event.h>

#include "model/model.h"

struct discovery;

/*
 * Sets in force, or services offered, are others now. Called from the loop, once for all that changes together: when
 * there was no change for a moment (1 ms after one alone, 3 ms after several), or after 100 ms.
 */
typedef void (*discovery_changed_fn)(void *arg);
/* Something that an operator may want to know about when looking back: subject is a source's name or a question. */
typedef void (*discovery_event_fn)(void *arg, const char *subject, const char *sentence);

int discovery_new(struct event_base *base, discovery_changed_fn changed, discovery_event_fn event, void *arg,
		  struct discovery **out);
void discovery_free(struct discovery *d); /* what is kept stays in the state directory. NULL is fine */

/* Asks what c wants to know (copied), and no longer what it does not. What is the same goes on undisturbed. */
int discovery_follow(struct discovery *d, const struct config *c);

/* ---- what was found ---- */

enum found_state {
	FOUND_WAITING, /* the source has not answered yet; what is in force, if anything, was kept from before a restart */
	FOUND_CURRENT, /* the source's last answer is in force */
	FOUND_PARTIAL, /* it is, but for what is wrong in it: see problem */
	FOUND_STALE, /* it is not: see problem */
	N_FOUND_STATES
};
extern const char *const found_state_names[N_FOUND_STATES]; /* "waiting", "current", "partial", "stale" */

/* Of one question. All is valid until the loop runs. */
struct found_set {
	const struct discover *what;
	const struct source *source; /* that is asked */
	enum found_state state;
	uint64_t since_ms; /* CLOCK_REALTIME: of the state */
	const char *problem; /* stale, partial, or waiting in vain: why. "": nothing is wrong */
	const char *note; /* about the last answer; "": nothing */
	const char *version; /* of the last answer, in the source's own words; "": none */
	uint64_t heard_ms; /* CLOCK_REALTIME of the last answer or sign of life; 0: never */
	uint64_t changed_ms; /* CLOCK_REALTIME at which the set in force became what it is; 0: nothing was ever found */
	uint64_t answers, changes, problems; /* since the start: counted */
	const struct backend *backends; /* in force, sorted by endpoint */
	size_t n;
	bool known; /* there is a set in force: an answer was believed, or one kept from before */
};
/* The set for a question of a service. false: nobody asks it (discovery_follow was not called with it). */
bool discovery_find(const struct discovery *d, const struct discover *what, struct found_set *out);
typedef void (*discovery_set_fn)(void *arg, const struct found_set *set);
void discovery_each(const struct discovery *d, discovery_set_fn fn, void *arg);

/* Services that sources offer whole; valid until the loop runs. */
struct offered {
	const struct source *source;
	enum found_state state;
	uint64_t since_ms;
	const char *problem;
	bool known; /* the source has said which services it offers, now or before a restart */
	const struct offer *offers; /* discovery/source.h; sorted by name */
	size_t n;
};
typedef void (*discovery_offered_fn)(void *arg, const struct offered *o);
void discovery_each_offered(const struct discovery *d, discovery_offered_fn fn, void *arg);

/* ---- trying a source ---- */

/* A discovery of its own asks one question, as c's sources say, and fn gets the first answer or problem (set NULL: timeout). */
struct discovery_test;
typedef void (*discovery_test_fn)(void *arg, const struct found_set *set);
int discovery_test(struct event_base *base, const struct config *c, const struct discover *what, uint32_t timeout_ms,
		   discovery_test_fn fn, void *arg, struct discovery_test **out); /* fn is called once, then it is freed */
void discovery_test_cancel(struct discovery_test *t);

#endif
