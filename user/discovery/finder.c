/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/finder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/text.h"
#include "discovery/internal.h"

struct finder *finder_new(struct discovery *d, const struct discover *what)
{
	struct finder *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->discovery = d;
	f->standing.since_ms = realtime_ms();
	f->key = discover_key(what);
	if (!f->key || discover_copy(what, &f->what)) {
		finder_free(f);
		return NULL;
	}
	return f;
}

void finder_take_over(struct finder *f, const struct finder *from)
{
	struct backend *copy = f->known || !from->known ? NULL : calloc(from->n + 1, sizeof(*copy));

	if (!copy)
		return;
	memcpy(copy, from->set, from->n * sizeof(*copy));
	free(f->set);
	f->set = copy;
	f->n = from->n;
	f->known = f->unsaved = true;
	f->changed_ms = from->changed_ms;
}

void finder_begin_anew(struct finder *f)
{
	f->standing.state = FOUND_WAITING;
	f->standing.since_ms = realtime_ms();
	f->standing.problem[0] = f->standing.told[0] = '\0';
	f->denied_none = f->wrong = false;
}

void finder_free(struct finder *f)
{
	discover_clear(&f->what);
	free(f->key);
	free(f->set);
	free(f);
}

void finder_show(const struct finder *f, const struct source *source, struct found_set *out)
{
	const struct standing *s = &f->standing;

	*out = (struct found_set){ .what = &f->what,	      .source = source,		.state = s->state,
				   .since_ms = s->since_ms,   .problem = s->problem,	.note = f->wrong ? "" : f->note,
				   .version = f->version,     .heard_ms = s->heard_ms,	.changed_ms = f->changed_ms,
				   .answers = s->answers,     .changes = f->changes,	.problems = s->problems,
				   .backends = f->set,	      .n = f->n,		.known = f->known };
}

/* ---- sets ---- */

struct numbered {
	struct backend b;
	size_t order;
};

/* Of one endpoint what was said first comes first. */
static int by_endpoint_and_order(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;
	int order = endpoint_compare(&x->b.at, &y->b.at);

	return order ? order : (x->order > y->order) - (x->order < y->order);
}

/* Sorted, each endpoint once. To be freed; NULL: out of memory. */
static struct backend *make_set(const struct backend *list, size_t n, size_t *kept)
{
	_cleanup_free_ struct numbered *sorted = calloc(n + 1, sizeof(*sorted));
	struct backend *set = calloc(n + 1, sizeof(*set));

	*kept = 0;
	if (!sorted || !set) {
		free(set);
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		sorted[i] = (struct numbered){ list[i], i };
	qsort(sorted, n, sizeof(*sorted), by_endpoint_and_order);
	for (size_t i = 0; i < n; i++)
		if (!*kept || endpoint_compare(&set[*kept - 1].at, &sorted[i].b.at))
			set[(*kept)++] = sorted[i].b;
	return set;
}

static bool same_backend(const struct backend *a, const struct backend *b)
{
	return !endpoint_compare(&a->at, &b->at) && a->weight == b->weight && a->admin == b->admin &&
	       !server_id_compare(&a->server_id, &b->server_id);
}

static bool same_set(const struct finder *f, const struct backend *set, size_t n)
{
	if (!f->known || f->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!same_backend(&f->set[i], &set[i]))
			return false;
	return true;
}

/* ---- news ---- */

static void say_good(struct finder *f, enum found_state was)
{
	char what[DISCOVER_TEXT];

	discover_format(&f->what, what);
	if (f->wrong)
		discovery_event(f->discovery, what, "answers, with %zu endpoints, and not all of it can be used: %s", f->n, f->note);
	else if (was == FOUND_PARTIAL)
		discovery_event(f->discovery, what, "all of it can be used again: %zu endpoints", f->n);
	else if (was == FOUND_STALE)
		discovery_event(f->discovery, what, "answers again, with %zu endpoints", f->n);
	else
		discovery_event(f->discovery, what, "answers, with %zu endpoints", f->n);
}

static void say_bad(struct finder *f)
{
	char what[DISCOVER_TEXT];

	discover_format(&f->what, what);
	if (f->known)
		discovery_event(f->discovery, what, "%s; the last good set of %zu endpoints stays in force", f->standing.problem,
				f->n);
	else
		discovery_event(f->discovery, what, "%s; nothing is known yet", f->standing.problem);
}

void found_problem(struct finder *f, const char *fmt, ...)
{
	va_list args;
	bool news;

	va_start(args, fmt);
	news = standing_bad(&f->standing, f->known, fmt, args);
	va_end(args);
	if (news)
		say_bad(f);
	discovery_heard(f->discovery, f);
}

static void good(struct finder *f)
{
	enum found_state was = f->standing.state;

	if (standing_good(&f->standing, f->wrong ? f->note : NULL))
		say_good(f, was);
	discovery_heard(f->discovery, f);
}

const struct backend *found_before(const struct finder *f, size_t *n)
{
	*n = f->known ? f->n : 0;
	return f->known ? f->set : NULL;
}

/* ---- the guard ---- */

static void doubt(struct finder *f)
{
	f->standing.heard_ms = realtime_ms();
	found_problem(f, "the source says that there is none%s%s%s (none: allow would believe it)", f->note[0] ? " (" : "",
		      f->note, f->note[0] ? ")" : "");
}

void found_same(struct finder *f)
{
	if (f->denied_none) /* what was not believed is no better for being said again */
		doubt(f);
	else
		good(f);
}

/*
 * Nothing at all, where something was, or at first: a scale-down to zero, or a source that lost its mind or our rights, or a
 * question with a mistake in it.
 */
static bool is_doubtful(const struct finder *f, const struct answer *a)
{
	return !a->n && (f->n || !f->known) && !f->what.allow_none;
}

void found(struct finder *f, const struct answer *a)
{
	size_t n;
	struct backend *set;

	snprintf(f->note, sizeof(f->note), "%s", a->note ?: "");
	snprintf(f->version, sizeof(f->version), "%s", a->version ?: "");
	text_clean(f->note);
	text_clean(f->version);
	f->wrong = a->wrong;
	f->denied_none = is_doubtful(f, a);
	if (f->denied_none) {
		doubt(f);
		return;
	}
	set = make_set(a->backends, a->n, &n);
	if (!set) {
		found_problem(f, "out of memory for %zu endpoints", a->n);
		return;
	}
	if (same_set(f, set, n)) {
		free(set);
		good(f);
		return;
	}
	free(f->set);
	f->set = set;
	f->n = n;
	f->known = f->unsaved = true;
	f->changed_ms = realtime_ms();
	f->changes++;
	good(f);
	discovery_changed(f->discovery);
}
