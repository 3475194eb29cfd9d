/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One question and the set of endpoints that is in force for it: the guard between what a source says and what the
 * rest believes (discovery.h). Sources see only its name (source.h).
 */
#ifndef DISCOVERY_FINDER_H
#define DISCOVERY_FINDER_H

#include "discovery/source.h"
#include "discovery/standing.h"

struct opened;

struct finder {
	struct discovery *discovery;
	char *key; /* discover_key */
	struct discover what;
	struct opened *source; /* that is asked */
	void *watch; /* of the source; NULL: it could not be begun */
	struct standing standing;
	struct backend *set; /* in force, sorted by endpoint */
	size_t n;
	bool known;
	bool denied_none; /* the last answer was 'none', and was not believed */
	bool wrong; /* note says what of the last answer is not in force */
	char version[64], note[PROBLEM_TEXT];
	uint64_t changed_ms, changes;
	bool wanted; /* mark of discovery_follow */
	bool unsaved;
};

struct finder *finder_new(struct discovery *d, const struct discover *what); /* NULL: out of memory */
void finder_take_over(struct finder *f, const struct finder *from); /* what is in force for another, if f has nothing yet */
void finder_begin_anew(struct finder *f); /* another source is asked now: what is in force stays, how that one stands is not known */
void finder_free(struct finder *f); /* its watch is gone */
void finder_show(const struct finder *f, const struct source *source, struct found_set *out);

#endif
