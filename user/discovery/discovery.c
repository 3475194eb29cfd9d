/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sources and questions follow the configuration; changes are handed on together; what is in force is kept. */
#include "discovery/discovery.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"
#include "discovery/internal.h"

uint32_t discovery_reopen_ms = 30000;

/* ---- changes, handed on when things are calm ---- */

#define CALM_ALONE_US 1000 /* without another change, after one alone */
#define CALM_US 3000 /* after others: where there are two there are more */
#define ALONE_US 20000 /* a change is alone if the last ones were handed on so long ago */
#define UNREST_US 100000 /* at most, from the first change on */
#define SAVE_SECONDS 1
#define SAVE_AGAIN_SECONDS 60 /* after a failure, which is logged */

static bool may_wait(const struct discovery *d, uint64_t now)
{
	return now - d->unsettled_us <= UNREST_US - CALM_US;
}

void discovery_changed(struct discovery *d)
{
	const struct timeval save = { .tv_sec = SAVE_SECONDS };

	d->changed_us = monotonic_us();
	d->calm_us = d->unsettled_us || d->changed_us - d->settled_us < ALONE_US ? CALM_US : CALM_ALONE_US;
	if (!d->unsettled_us)
		d->unsettled_us = d->changed_us;
	if (may_wait(d, d->changed_us))
		event_add(d->settle, &(struct timeval){ .tv_usec = d->calm_us });
	if (d->state[0] && !event_pending(d->save, EV_TIMEOUT, NULL))
		event_add(d->save, &save);
}

void discovery_event(struct discovery *d, const char *subject, const char *fmt, ...)
{
	char sentence[PROBLEM_TEXT + 128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	if (d->event)
		d->event(d->arg, subject, sentence);
}

/* ---- walking over questions ---- */

struct walk {
	void (*fn)(void *arg, struct finder *f);
	void *arg;
};

static void visit(const void *node, VISIT which, void *arg)
{
	const struct walk *w = arg;

	if (which == postorder || which == leaf)
		w->fn(w->arg, *(struct finder *const *)node);
}

static void finders_each(const struct discovery *d, void (*fn)(void *arg, struct finder *f), void *arg)
{
	twalk_r(d->finders, visit, &(struct walk){ fn, arg });
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct finder *)a)->key, ((const struct finder *)b)->key);
}

static struct finder *finder_find(const struct discovery *d, const struct discover *what)
{
	_cleanup_free_ char *key = discover_key(what);
	struct finder probe = { .key = key }, **found;

	if (!key)
		return NULL;
	found = tfind(&probe, (void *const *)&d->finders, by_key);
	return found ? *found : NULL;
}

/* ---- keeping ---- */

#define SAVE_US 10000 /* at once; the rest with the next tick */

struct saving {
	struct discovery *d;
	uint64_t until_us;
	bool left; /* something was not saved: for want of time, or it failed */
	bool failed; /* for want of room on the disk, as a rule: the rest is not tried */
};

static void save_finder(void *arg, struct finder *f)
{
	struct saving *s = arg;

	if (!f->unsaved)
		return;
	if (!s->failed && monotonic_us() < s->until_us) {
		f->unsaved = store_save_finder(s->d, f);
		s->failed = f->unsaved;
	}
	s->left |= f->unsaved;
}

/* Returns in how many seconds the rest is to be saved; 0: all is. */
static unsigned save(struct discovery *d, uint64_t us)
{
	struct saving s = { .d = d, .until_us = monotonic_us() + us };

	if (!d->state[0])
		return 0;
	finders_each(d, save_finder, &s);
	for (size_t i = 0; i < d->n_sources; i++) {
		struct offers *o = &d->sources[i]->offers;

		if (o->unsaved && !s.failed) {
			o->unsaved = store_save_offers(d, o);
			s.failed = o->unsaved;
		}
		s.left |= o->unsaved;
	}
	return s.failed ? SAVE_AGAIN_SECONDS : s.left ? SAVE_SECONDS : 0;
}

static void on_save(evutil_socket_t fd, short what, void *arg)
{
	struct discovery *d = arg;
	struct timeval again = {};

	(void)fd;
	(void)what;
	again.tv_sec = save(d, SAVE_US);
	if (again.tv_sec)
		event_add(d->save, &again);
}

/* ---- questions ---- */

static void stop_watching(struct finder *f)
{
	if (f->watch)
		f->source->ops->unwatch(f->watch);
	f->watch = NULL;
}

static void watch(struct finder *f, struct opened *o)
{
	stop_watching(f);
	if (f->source && f->source != o)
		finder_begin_anew(f);
	f->source = o;
	if (!o->handle || o->ops->watch(o->handle, &f->what, f, &f->watch)) {
		f->watch = NULL;
		found_problem(f, "%s", o->handle ? log_last_error() : o->why);
	}
}

/* What was found for the same question, which only believed another answer of none. */
static void take_over_twin(struct discovery *d, struct finder *f)
{
	struct discover twin = f->what;
	const struct finder *other;

	twin.allow_none = !twin.allow_none;
	other = finder_find(d, &twin);
	if (other)
		finder_take_over(f, other);
	else
		store_load_finder(d, f, &twin);
	f->unsaved = f->known;
}

/* NULL: out of memory. */
static struct finder *begin(struct discovery *d, const struct discover *what)
{
	struct finder *f = finder_new(d, what);

	if (!f)
		return NULL;
	if (!tsearch(f, &d->finders, by_key)) {
		finder_free(f);
		return NULL;
	}
	store_load_finder(d, f, what);
	if (!f->known)
		take_over_twin(d, f);
	if (f->known)
		discovery_changed(d);
	return f;
}

static int ask(struct discovery *d, const struct config *c, const struct discover *what)
{
	struct opened *o = opened_for(d, c, what->kind, what->source);
	struct finder *f = o ? finder_find(d, what) ?: begin(d, what) : NULL; /* never one without a source */
	bool again;

	if (!f)
		return -ENOMEM;
	again = !f->wanted && !f->watch && o->handle; /* it could not be asked before */
	f->wanted = true;
	if (f->source != o || again)
		watch(f, o);
	return 0;
}

struct unwanted {
	struct finder **list;
	size_t n, room;
};

static void note_unwanted(void *arg, struct finder *f)
{
	struct unwanted *u = arg;

	if (f->wanted)
		return;
	if (u->n == u->room) {
		struct finder **grown = reallocarray(u->list, 2 * u->room + 16, sizeof(*grown));

		if (!grown)
			return; /* it is asked on, until the next time */
		u->list = grown;
		u->room = 2 * u->room + 16;
	}
	u->list[u->n++] = f;
}

static void drop_unwanted(struct discovery *d)
{
	struct unwanted u = {};

	finders_each(d, note_unwanted, &u);
	for (size_t i = 0; i < u.n; i++) {
		stop_watching(u.list[i]);
		tdelete(u.list[i], &d->finders, by_key);
		finder_free(u.list[i]);
	}
	free(u.list);
}

static void unmark(void *arg, struct finder *f)
{
	(void)arg;
	f->wanted = false;
}

/* What services of the configuration discover, and what those discover that sources offer. */
static int ask_all(struct discovery *d, const struct config *c)
{
	int err = 0;

	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_discovers && !err; k++)
			err = ask(d, c, &c->services[i].discovers[k]);
	for (size_t i = 0; i < c->n_sources && !err; i++)
		if (source_takes_over(&c->sources[i]))
			err = opened_for(d, c, c->sources[i].kind, c->sources[i].name) ? 0 : -ENOMEM;
	for (size_t i = 0; i < d->n_sources && !err; i++)
		for (size_t k = 0; d->sources[i]->wanted && k < d->sources[i]->offers.n && !err; k++)
			err = ask(d, c, &d->sources[i]->offers.list[k].discover);
	return err;
}

/* What could not be opened is tried again by and by: a kubeconfig may come later than we do. */
static void plan_reopen(struct discovery *d)
{
	const struct timeval in = { .tv_sec = discovery_reopen_ms / 1000, .tv_usec = discovery_reopen_ms % 1000 * 1000 };

	event_del(d->reopen);
	for (size_t i = 0; i < d->n_sources; i++)
		if (!d->sources[i]->handle)
			event_add(d->reopen, &in);
}

static int follow(struct discovery *d, const struct config *c)
{
	int err;

	for (size_t i = 0; i < d->n_sources; i++)
		d->sources[i]->wanted = false;
	finders_each(d, unmark, NULL);
	err = ask_all(d, c);
	if (err)
		return err; /* what was asked is asked on */
	drop_unwanted(d);
	opened_close_unwanted(d);
	plan_reopen(d);
	if (d->state[0] && !save(d, UINT64_MAX / 2)) /* what was taken over from another question is still in its file */
		store_sweep(d);
	return 0;
}

static void mark_unsaved(void *arg, struct finder *f)
{
	(void)arg;
	f->unsaved = f->known;
}

/* Another directory is to hold all that is in force, too. */
static void set_state(struct discovery *d, const struct config *c)
{
	char before[STATE_TEXT];

	strcpy(before, d->state);
	config_state(c, d->state);
	if (!before[0] || !strcmp(before, d->state))
		return;
	finders_each(d, mark_unsaved, NULL);
	for (size_t i = 0; i < d->n_sources; i++)
		d->sources[i]->offers.unsaved = d->sources[i]->offers.known;
	discovery_changed(d);
}

int discovery_follow(struct discovery *d, const struct config *c)
{
	struct config *copy = config_copy(c);
	int err = copy ? 0 : -ENOMEM;

	if (!d->test)
		set_state(d, c);
	if (!err)
		err = follow(d, copy);
	if (err) {
		config_free(copy);
		return err_r(err, "sources are not asked for all that the configuration discovers: %s", strerror(-err));
	}
	config_free(d->config);
	d->config = copy;
	return 0;
}

static void on_reopen(evutil_socket_t fd, short what, void *arg)
{
	struct discovery *d = arg;

	(void)fd;
	(void)what;
	if (d->config)
		follow(d, d->config);
}

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
	struct discovery *d = arg;
	bool reoffered = d->reoffered;
	uint64_t now = monotonic_us(), calm = now - d->changed_us;

	(void)fd;
	(void)what;
	if (calm < d->calm_us && may_wait(d, now)) { /* the loop's own clock may have ticks of some milliseconds */
		event_add(d->settle, &(struct timeval){ .tv_usec = d->calm_us - calm });
		return;
	}
	d->unsettled_us = 0;
	d->settled_us = now;
	d->reoffered = false;
	if (reoffered && d->config)
		follow(d, d->config);
	if (d->changed)
		d->changed(d->arg);
}

/* ---- life ---- */

int discovery_new(struct event_base *base, discovery_changed_fn changed, discovery_event_fn event, void *arg,
		  struct discovery **out)
{
	struct discovery *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	*d = (struct discovery){ .base = base, .changed = changed, .event = event, .arg = arg };
	d->settle = evtimer_new(base, on_settled, d);
	d->save = evtimer_new(base, on_save, d);
	d->reopen = evtimer_new(base, on_reopen, d);
	if (!d->settle || !d->save || !d->reopen || transfers_new(base, &d->transfers)) {
		discovery_free(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

void discovery_free(struct discovery *d)
{
	if (!d)
		return;
	save(d, UINT64_MAX / 2);
	finders_each(d, unmark, NULL);
	drop_unwanted(d);
	for (size_t i = 0; i < d->n_sources; i++)
		opened_free(d->sources[i]);
	free(d->sources);
	if (d->settle)
		event_free(d->settle);
	if (d->save)
		event_free(d->save);
	if (d->reopen)
		event_free(d->reopen);
	transfers_free(d->transfers);
	config_free(d->config);
	free(d);
}

/* ---- what was found ---- */

bool discovery_find(const struct discovery *d, const struct discover *what, struct found_set *out)
{
	const struct finder *f = finder_find(d, what);

	if (f)
		finder_show(f, &f->source->conf, out);
	return f;
}

struct show {
	discovery_set_fn fn;
	void *arg;
};

static void show_finder(void *arg, struct finder *f)
{
	const struct show *s = arg;
	struct found_set set;

	finder_show(f, &f->source->conf, &set);
	s->fn(s->arg, &set);
}

void discovery_each(const struct discovery *d, discovery_set_fn fn, void *arg)
{
	finders_each(d, show_finder, &(struct show){ fn, arg });
}

void discovery_each_offered(const struct discovery *d, discovery_offered_fn fn, void *arg)
{
	for (size_t i = 0; i < d->n_sources; i++) {
		const struct offers *o = &d->sources[i]->offers;

		if (source_takes_over(&o->source->conf))
			fn(arg, &(struct offered){ .source = &o->source->conf, .state = o->standing.state,
						   .since_ms = o->standing.since_ms, .problem = o->standing.problem,
						   .known = o->known, .offers = o->list, .n = o->n });
	}
}
