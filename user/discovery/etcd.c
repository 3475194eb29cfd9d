/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * etcd: each key below a prefix is a backend. The prefix is listed, in pages of one revision, then watched from there:
 *
 *   listing --all pages--> watching --stream over: from the last revision on--> watching
 *      ^                      |
 *      +---- compacted, or the cluster is not what it was ----
 *
 * A watch says nothing when nothing changes, nor when the member that it is with has lost the others, the user its
 * rights or the network its cables. So beside it, every few seconds, one key is asked for: that answer comes by way of
 * the cluster's majority and needs the same rights. It also shows a revision that went back.
 */
#include <errno.h>
#include <event2/util.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "discovery/backoff.h"
#include "discovery/etcd_answer.h"
#include "discovery/etcd_ask.h"
#include "discovery/etcd_keys.h"
#include "discovery/etcd_session.h"
#include "discovery/source.h"

#define PAGE 1000 /* keys: some 10 ms of work */
#define KEYS_MAX 200000 /* more than a service can have backends */
#define SOON_MS 1000 /* a stream that ends before was no good */
#define KEYS_PER_MS 500 /* of the pause between two snapshots */
#define PROBLEM 1600
#define READS(w) .right = "read", .prefix = (w)->what->name /* what a user of etcd needs for a call */

uint32_t etcd_pulse_ms = 5000;

struct etcd {
	const struct source *conf;
	struct event_base *base;
	struct etcd_session *session;
};

struct etcd_watch {
	struct etcd *etcd;
	const struct discover *what;
	struct finder *finder;
	struct backoff backoff;
	struct event *start; /* list, or watch */
	struct event *beat; /* the next pulse is due */
	struct event *tell; /* pending: keys changed */
	uint64_t told_ms; /* CLOCK_MONOTONIC: last */
	struct etcd_request *request; /* a page, or the stream */
	struct etcd_request *pulse;
	const char *url; /* of the stream */

	struct etcd_head head; /* as far as keys are known; revision 0: they are not, and have to be listed */
	struct etcd_keys keys;
	int64_t version; /* of keys: the revision at which they became what they are */
	struct etcd_head listed; /* of the pages so far */
	struct etcd_keys pages;

	uint64_t began_ms; /* CLOCK_MONOTONIC: of the stream */
	bool streaming; /* the watch stands */
	int64_t pulse_revision; /* known when the pulse was sent */

	struct event *mend; /* active: a line of the stream, in which it may not be ended, was such that it has to be */
	bool broken;
	char problem[PROBLEM]; /* then; "": list again */
};

/* ---- what is done next ---- */

static void after_ms(struct event *e, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_add(e, &tv);
}

static void stop(struct etcd_watch *w)
{
	etcd_cancel(w->request);
	etcd_cancel(w->pulse);
	w->request = w->pulse = NULL;
	w->streaming = w->broken = false;
	w->problem[0] = '\0';
	event_del(w->start);
	event_del(w->beat);
	event_del(w->mend);
	etcd_keys_clear(&w->pages);
}

static void start_again(struct etcd_watch *w)
{
	struct timeval wait = backoff_next(&w->backoff);

	stop(w);
	event_add(w->start, &wait);
}

/* With several servers it is none before each was tried. */
static void failed(struct etcd_watch *w, const char *problem)
{
	_cleanup_free_ char *text = strdup(problem); /* it may be of what is stopped */

	start_again(w);
	if (w->backoff.failures >= etcd_session_servers(w->etcd->session))
		found_problem(w->finder, "%s", text ?: "out of memory");
}

static void list_again(struct etcd_watch *w)
{
	w->head.revision = 0;
	start_again(w);
}

/* ---- what was found ---- */

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
	_cleanup_free_ struct backend *backends = NULL;
	struct etcd_watch *w = arg;
	char note[ETCD_NOTE], version[24];
	struct answer a = { .version = version, .note = note };

	(void)fd;
	(void)what;
	w->told_ms = monotonic_ms();
	if (etcd_keys_backends(&w->keys, &backends, &a.n, note)) {
		w->head.revision = 0;
		failed(w, "out of memory");
		return;
	}
	a.backends = backends;
	snprintf(version, sizeof(version), "%" PRId64, w->version);
	a.wrong = note[0];
	found(w->finder, &a);
}

/*
 * All lines that are there already are taken in before. A large snapshot takes some milliseconds to compare: while
 * changes come one after the other, there is a pause between two that is a few times as long.
 */
static void tell(struct etcd_watch *w)
{
	uint64_t pause = w->keys.n / KEYS_PER_MS, gone = monotonic_ms() - w->told_ms;

	if (!event_pending(w->tell, EV_TIMEOUT, NULL))
		after_ms(w->tell, gone < pause ? pause - gone : 0);
}

/* ---- the pulse ---- */

static void beat_later(struct etcd_watch *w)
{
	uint32_t random;

	evutil_secure_rng_get_bytes(&random, sizeof(random));
	after_ms(w->beat, etcd_pulse_ms * 4 / 5 + random % (etcd_pulse_ms * 2 / 5));
}

static void on_pulse(void *arg, const char *problem, int code, const char *body, size_t len)
{
	_cleanup_(etcd_range_clear) struct etcd_range r = {};
	struct etcd_watch *w = arg;
	struct etcd_head then = w->head;
	char why[ETCD_WHY] = "out of memory";

	(void)code;
	w->pulse = NULL;
	if (!problem && etcd_range_parse(body, len, &r, why))
		problem = why;
	if (problem) {
		failed(w, problem);
		return;
	}
	then.revision = w->pulse_revision; /* the stream may have been faster than the answer */
	if (etcd_head_went_back(&then, &r.head)) {
		list_again(w);
		return;
	}
	w->head.term = r.head.term;
	backoff_reset(&w->backoff);
	beat_later(w);
	found_same(w->finder);
}

/* In place of the watch there is nothing, from a server that answers. */
static void not_begun(struct etcd_watch *w, const char *what)
{
	char problem[PROBLEM];

	etcd_session_next(w->etcd->session, w->url);
	snprintf(problem, sizeof(problem), "%s: etcd %s", w->url, what);
	failed(w, problem);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	struct etcd_watch *w = arg;
	struct etcd_call call = {
		.path = "/v3/kv/range", .body = etcd_ask_one(w->what->name), .done = on_pulse, .arg = w, READS(w)
	};

	(void)fd;
	(void)what;
	w->pulse_revision = w->head.revision;
	if (w->streaming && w->url != etcd_session_url(w->etcd->session)) { /* others found that it is of no use */
		free(call.body);
		start_again(w);
	} else if (!w->streaming) {
		free(call.body);
		not_begun(w, "took the watch and did not begin it");
	} else if (etcd_send(w->etcd->session, &call, &w->pulse)) {
		failed(w, "out of memory");
	}
}

/* ---- watching ---- */

/* Everything of the line counts, or is heard again: head moves on at its end. -ENOMEM */
static int take_in(struct etcd_watch *w, const struct etcd_line *l)
{
	int err = 0;

	for (size_t i = 0; i < l->n && !err; i++)
		err = etcd_keys_apply(&w->keys, &l->pairs[i]);
	if (err)
		return err;
	/* The head of a line with changes may be ahead of them: more may follow that were before it. */
	w->head.revision = l->n ? l->pairs[l->n - 1].revision : l->head.revision;
	w->head.term = l->head.term;
	if (l->n) {
		w->version = w->head.revision;
		tell(w);
	}
	return 0;
}

/* The watch stands. After a failure a pulse says at once that all is well. */
static void began(struct etcd_watch *w, const struct etcd_line *l)
{
	w->streaming = true;
	w->head.term = l->head.term;
	if (w->backoff.failures)
		after_ms(w->beat, 0);
	else
		beat_later(w);
}

/* The stream is of no use any more. "": what is known is not what there was before what comes. */
static void broken(struct etcd_watch *w, const char *problem)
{
	w->broken = true;
	if (problem != w->problem)
		snprintf(w->problem, sizeof(w->problem), "%s", problem);
	event_active(w->mend, EV_TIMEOUT, 1);
}

static void on_line(void *arg, const char *text, size_t len)
{
	_cleanup_(etcd_line_clear) struct etcd_line l = {};
	struct etcd_watch *w = arg;
	char why[ETCD_WHY] = "out of memory";

	if (w->broken)
		return;
	if (etcd_line_parse(text, len, &l, why)) {
		snprintf(w->problem, sizeof(w->problem), "%s: %s", w->url, why);
		broken(w, w->problem);
	} else if (l.compacted) {
		broken(w, "");
	} else if (l.canceled) {
		etcd_refused(w->request, l.reason ?: "the watch is canceled", w->problem, sizeof(w->problem));
		broken(w, w->problem);
	} else if (etcd_head_went_back(&w->head, &l.head)) {
		broken(w, "");
	} else if (l.created) {
		began(w, &l);
	} else if (take_in(w, &l)) {
		broken(w, why);
	}
}

static void mend(struct etcd_watch *w)
{
	if (w->problem[0])
		failed(w, w->problem);
	else
		list_again(w);
}

static void on_mend(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	mend(arg);
}

/* Servers and proxies end streams when they like: that alone is no problem, once they began. */
static void on_stream_over(void *arg, const char *problem, int code, const char *body, size_t len)
{
	struct etcd_watch *w = arg;

	(void)code;
	(void)body;
	(void)len;
	w->request = NULL;
	if (w->broken) {
		mend(w);
	} else if (problem) {
		failed(w, problem);
	} else if (w->streaming && monotonic_ms() - w->began_ms >= SOON_MS) {
		stop(w);
		after_ms(w->start, 0);
	} else if (w->streaming) {
		start_again(w);
	} else {
		not_begun(w, "ended the watch before it began");
	}
}

static int watch(struct etcd_watch *w)
{
	struct etcd_call call = { .path = "/v3/watch",
				  .body = etcd_ask_watch(w->what->name, w->head.revision + 1),
				  .endless = true,
				  READS(w),
				  .line = on_line,
				  .done = on_stream_over,
				  .arg = w };

	w->began_ms = monotonic_ms();
	w->url = etcd_session_url(w->etcd->session);
	after_ms(w->beat, w->etcd->conf->timeout_ms);
	return etcd_send(w->etcd->session, &call, &w->request);
}

/* ---- listing ---- */

static int ask_page(struct etcd_watch *w, const struct etcd_pair *after);

/* All pages are there. */
static int take_over(struct etcd_watch *w)
{
	etcd_keys_recall(&w->pages, &w->keys);
	etcd_keys_clear(&w->keys);
	w->keys = w->pages;
	w->pages = (struct etcd_keys){};
	w->head = w->listed;
	w->version = w->head.revision;
	tell(w);
	return watch(w);
}

/* why is said, unless memory is out. */
static int take_page(struct etcd_watch *w, const struct etcd_range *r, char why[ETCD_WHY])
{
	size_t before = w->pages.n;
	int err = 0;

	if (!w->listed.revision)
		w->listed = r->head;
	for (size_t i = 0; i < r->n && !err; i++)
		err = etcd_keys_apply(&w->pages, &r->pairs[i]);
	if (err)
		return err;
	if (!r->more)
		return take_over(w);
	if (w->pages.n < before + r->n || !r->n || w->pages.n > KEYS_MAX) {
		snprintf(why, ETCD_WHY, "there is more behind %zu keys: %s", w->pages.n,
			 w->pages.n > KEYS_MAX ? "choose a longer prefix" : "the same again");
		return -EBADMSG;
	}
	return ask_page(w, &r->pairs[r->n - 1]);
}

static void on_page(void *arg, const char *problem, int code, const char *body, size_t len)
{
	_cleanup_(etcd_range_clear) struct etcd_range r = {};
	struct etcd_watch *w = arg;
	char why[ETCD_WHY] = "out of memory";

	(void)code;
	w->request = NULL;
	if (problem)
		failed(w, problem);
	else if (etcd_range_parse(body, len, &r, why) || take_page(w, &r, why))
		failed(w, why);
}

/* Of the revision of the first page, so that all are of one moment. */
static int ask_page(struct etcd_watch *w, const struct etcd_pair *after)
{
	struct etcd_call call = { .path = "/v3/kv/range", .done = on_page, .arg = w, READS(w) };

	call.body = etcd_ask_range(w->what->name, after ? after->key : NULL, after ? after->key_len : 0, PAGE,
				   w->listed.revision);
	return etcd_send(w->etcd->session, &call, &w->request);
}

static void on_start(evutil_socket_t fd, short what, void *arg)
{
	struct etcd_watch *w = arg;

	(void)fd;
	(void)what;
	w->listed = (struct etcd_head){};
	if (w->head.revision ? watch(w) : ask_page(w, NULL))
		failed(w, "out of memory");
}

/* ---- the source ---- */

static void etcd_unwatch(void *watch)
{
	struct etcd_watch *w = watch;
	struct event *events[] = { w->start, w->beat, w->tell, w->mend };

	if (w->start && w->beat && w->tell && w->mend)
		stop(w);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		if (events[i])
			event_free(events[i]);
	etcd_keys_clear(&w->keys);
	free(w);
}

static int etcd_watch(void *source, const struct discover *what, struct finder *f, void **out)
{
	struct etcd_watch *w = calloc(1, sizeof(*w));
	struct etcd *e = source;

	if (!w)
		return -ENOMEM;
	*w = (struct etcd_watch){ .etcd = e, .what = what, .finder = f,
				  .backoff = { .servers = etcd_session_servers(e->session) } };
	w->start = evtimer_new(e->base, on_start, w);
	w->beat = evtimer_new(e->base, on_beat, w);
	w->tell = evtimer_new(e->base, on_tell, w);
	w->mend = evtimer_new(e->base, on_mend, w);
	if (!w->start || !w->beat || !w->tell || !w->mend) {
		etcd_unwatch(w);
		return -ENOMEM;
	}
	after_ms(w->start, 0);
	*out = w;
	return 0;
}

static void etcd_close(void *source)
{
	struct etcd *e = source;

	etcd_session_free(e->session);
	free(e);
}

static int etcd_open(const struct source_env *env, const struct source *conf, void **out)
{
	struct etcd *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	*e = (struct etcd){ .conf = conf, .base = env->base };
	if (etcd_session_new(env->base, env->transfers, conf, &e->session)) {
		free(e);
		return -ENOMEM;
	}
	*out = e;
	return 0;
}

const struct source_ops source_etcd = {
	.open = etcd_open, .close = etcd_close, .watch = etcd_watch, .unwatch = etcd_unwatch
};
