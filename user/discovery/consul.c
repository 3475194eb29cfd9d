/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Consul: a blocking query for each question, which the server answers when something changed, or after a while.
 *
 *   queued --place free--> asking --answer--> queued           (at once, but see rest_after)
 *                                 --failure--> resting --timer--> queued
 *
 * A query names the index of the last answer. It names none, and so does not block, after a failure: a server that was
 * started anew may have begun to count anew, and would say nothing until it has come as far as we are. There are at most
 * ASKING_MAX queries at once. If there are more questions they take turns, and then none waits for longer than its turn.
 *
 * All instances are asked for, whatever their state and tags: so the index says when any of them changed, and what was
 * left out can be told.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "discovery/backoff.h"
#include "discovery/consul_answer.h"
#include "discovery/http.h"
#include "discovery/source.h"

#define ASKING_MAX 32 /* an agent takes 200 connections of a client, and we may not be the only one on this host */
#define WAIT_MS 60000 /* of a query, where there are no turns to take */
#define WAIT_MIN_MS 100
#define ROUND_MS 3000 /* in which every question has its turn, if WAIT_MIN_MS allows */
#define REST_FACTOR 4 /* see rest_after */
#define REST_FROM_MS 5
#define IDLE_DOUBLINGS 5 /* of the rest after answers without news: up to 1.6 s */
#define CONTACT_MAX_MS 10000 /* since a server heard from its leader: what it says may be old */
#define SHOWN_MAX 200 /* bytes of what a server says */

enum phase { PHASE_QUEUED, PHASE_ASKING, PHASE_RESTING };

struct watch {
	struct consul *consul;
	struct finder *finder;
	const struct discover *what;
	char *path; /* without index */
	enum phase phase;
	TAILQ_ENTRY(watch) place; /* while queued or asking */
	struct http_request *request; /* while asking */
	uint32_t wait_ms; /* of the query; 0: it does not block */
	uint64_t asked_ms;
	struct event *rest; /* while resting */
	uint64_t index; /* of the last answer; 0: ask without */
	struct backoff backoff;
	unsigned idle; /* answers in a row that came early and had no news */
	bool answered;
	bool none; /* the last answer was of no instance */
	uint64_t digest; /* of the last answer's body */
	bool old; /* its server had not heard from its leader */
};

struct consul {
	struct event_base *base;
	const struct source *conf;
	struct http *http;
	TAILQ_HEAD(watches, watch) queued, asking; /* first in, first out */
	size_t n_watches, n_asking;
	struct event *start; /* active: there may be place for one that is queued */
};

/* ---- queued and resting ---- */

static void enqueue(struct watch *w)
{
	w->phase = PHASE_QUEUED;
	TAILQ_INSERT_TAIL(&w->consul->queued, w, place);
	event_active(w->consul->start, 0, 0);
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	enqueue(arg);
}

static void rest(struct watch *w, const struct timeval *how_long)
{
	w->phase = PHASE_RESTING;
	event_base_update_cache_time(w->consul->base); /* from now on, not from when the loop last looked */
	event_add(w->rest, how_long);
}

/* Gives its place among those that ask to another. */
static void leave(struct watch *w)
{
	TAILQ_REMOVE(&w->consul->asking, w, place);
	w->consul->n_asking--;
	w->request = NULL;
	if (!TAILQ_EMPTY(&w->consul->queued))
		event_active(w->consul->start, 0, 0);
}

/* Nothing is done after the finder is told. */
static void fail(struct watch *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct watch *w, const char *fmt, ...)
{
	const struct timeval how_long = backoff_next(&w->backoff);
	char why[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	w->index = 0;
	w->idle = 0;
	rest(w, &how_long);
	found_problem(w->finder, "%s", why);
}

/* ---- answers ---- */

/* An index that goes back is a server that counts anew: no index then. 0 would not block. */
static uint64_t next_index(uint64_t last, const char *header)
{
	uint64_t index = header ? strtoull(header, NULL, 10) : 0;

	if (index < last)
		return 0;
	return index ? index : 1;
}

/*
 * How long to leave a question alone that was answered, in milliseconds. As a rule not at all. But the answer about a
 * large service takes long to read: of many changes in a row only some are looked at, so that it takes a fifth of our
 * time at most. And a server (or what stands before it) that does not block is not asked without end, whatever differs in
 * what it says while its index is the same; nor is one that has news of something else all the time, as of all services
 * when ours does not exist.
 */
static uint32_t rest_after(struct watch *w, bool news, uint32_t reading_ms)
{
	uint32_t lasted = monotonic_ms() - w->asked_ms, rest = 0;

	w->idle = news || (w->wait_ms && lasted >= w->wait_ms) ? 0 : w->idle + 1;
	if (w->idle > 1)
		rest = backoff_ms(w->idle - 1 < IDLE_DOUBLINGS ? w->idle - 1 : IDLE_DOUBLINGS, 0);
	return reading_ms >= REST_FROM_MS ? rest + REST_FACTOR * reading_ms : rest;
}

static void go_on(struct watch *w, uint32_t rest_ms)
{
	const struct timeval how_long = { .tv_sec = rest_ms / 1000, .tv_usec = rest_ms % 1000 * 1000 };

	backoff_reset(&w->backoff);
	if (rest_ms)
		rest(w, &how_long);
	else
		enqueue(w);
}

static void add_contact(char note[CONSUL_NOTE], uint64_t contact_ms)
{
	size_t len = strlen(note);

	snprintf(note + len, CONSUL_NOTE - len, "%sthis may be old: the server has not heard from its leader for %" PRIu64 " s",
		 len ? "; " : "", contact_ms / 1000);
}

/* By what an answer is told from the last one. */
struct told {
	uint64_t digest;
	uint64_t contact_ms; /* since its server heard from the leader */
	const char *index;
};

static void take_news(struct watch *w, const struct http_request *r, const struct http_answer *a, const struct told *t)
{
	_cleanup_free_ struct backend *list = NULL;
	char note[CONSUL_NOTE] = "out of memory";
	uint64_t begin = monotonic_ms(), index = w->index;
	bool wrong;
	size_t n;

	if (consul_answer(a->body, a->len, w->what, &list, &n, note, &wrong)) {
		http_next(w->consul->http, http_request_url(r));
		fail(w, "%s: no answer of Consul's: %s", http_request_url(r), note);
		return;
	}
	w->old = t->contact_ms > CONTACT_MAX_MS;
	if (w->old)
		add_contact(note, t->contact_ms);
	w->digest = t->digest;
	w->answered = true;
	w->none = !n;
	w->index = next_index(w->index, t->index);
	go_on(w, rest_after(w, w->index != index, monotonic_ms() - begin));
	found(w->finder, &(struct answer){ .backends = list, .n = n, .version = t->index, .note = note, .wrong = wrong });
}

static void take(struct watch *w, const struct http_request *r, const struct http_answer *a)
{
	const char *contact = http_header(r, "X-Consul-LastContact");
	struct told t = { .digest = hash_bytes(a->body, a->len), .contact_ms = contact ? strtoull(contact, NULL, 10) : 0,
			  .index = http_header(r, "X-Consul-Index") };

	if (!w->answered || t.digest != w->digest || (t.contact_ms > CONTACT_MAX_MS) != w->old) {
		take_news(w, r, a, &t);
		return;
	}
	w->index = next_index(w->index, t.index);
	go_on(w, rest_after(w, false, 0));
	found_same(w->finder);
}

/* What the server says of why it does not answer, with the remedy where we know one. */
static void deny(struct watch *w, const struct http_request *r, const struct http_answer *a)
{
	const char *token_file = w->consul->conf->token_file;
	size_t len = strcspn(a->body, "\r\n");
	char remedy[SHOWN_MAX + 64] = "";

	if (len > SHOWN_MAX)
		len = SHOWN_MAX;
	if (a->status == 403)
		backoff_keep_short(&w->backoff);
	if (a->status == 403 && token_file)
		snprintf(remedy, sizeof(remedy), "; put a token that may read the service into %s", token_file);
	else if (a->status == 403)
		snprintf(remedy, sizeof(remedy), "; give the source a token-file");
	http_next(w->consul->http, http_request_url(r));
	fail(w, "%s: status %ld%s%.*s%s", http_request_url(r), a->status, len ? ": " : "", (int)len, a->body, remedy);
}

/* An answer from which something is missing that we may not read: it is as if it were not there. */
static bool is_filtered(const struct http_request *r)
{
	const char *filtered = http_header(r, "X-Consul-Results-Filtered-By-ACLs");

	return filtered && !strcasecmp(filtered, "true");
}

static void reject_filtered(struct watch *w, const struct http_request *r)
{
	const char *token_file = w->consul->conf->token_file;

	backoff_keep_short(&w->backoff);
	http_next(w->consul->http, http_request_url(r));
	if (token_file)
		fail(w, "%s: the token in %s may not read all of service %s; give it service:read and node:read",
		     http_request_url(r), token_file, w->what->name);
	else
		fail(w, "%s: without a token we may not read all of service %s; give the source a token-file",
		     http_request_url(r), w->what->name);
}

static void on_done(void *arg, const struct http_request *r, const struct http_answer *a)
{
	const char *leader = http_header(r, "X-Consul-KnownLeader");
	struct watch *w = arg;

	leave(w);
	if (a->no_token)
		backoff_keep_short(&w->backoff);
	if (a->problem) {
		fail(w, "%s", a->problem);
	} else if (a->status != 200) {
		deny(w, r, a);
	} else if (leader && !strcmp(leader, "false")) {
		http_next(w->consul->http, http_request_url(r));
		fail(w, "%s: Consul's servers have no leader, and what they say may be old", http_request_url(r));
	} else if (is_filtered(r)) {
		reject_filtered(w, r);
	} else {
		take(w, r, a);
	}
}

/* ---- questions ---- */

static uint32_t turn_ms(const struct consul *c)
{
	uint32_t turn = c->n_watches <= ASKING_MAX ? WAIT_MS : (uint64_t)ROUND_MS * ASKING_MAX / c->n_watches;

	return turn > WAIT_MIN_MS ? turn : WAIT_MIN_MS;
}

/* An answer of none is looked at again soon: we may have lost the right to read more, and no query wakes up when it is back. */
static uint32_t wait_of(const struct watch *w)
{
	uint32_t turn = turn_ms(w->consul);

	return w->none && turn > ROUND_MS ? ROUND_MS : turn;
}

/* A blocking query takes up to a sixteenth longer than it says. */
static int send_query(struct watch *w)
{
	const struct source *conf = w->consul->conf;
	_cleanup_free_ char *path = NULL;
	struct http_call call = { .method = "GET", .done = on_done, .arg = w };
	int len;

	w->wait_ms = w->index ? wait_of(w) : 0;
	if (w->index)
		len = asprintf(&path, "%sindex=%" PRIu64 "&wait=%ums", w->path, w->index, w->wait_ms);
	else
		len = asprintf(&path, "%s", w->path);
	if (len < 0)
		return -ENOMEM;
	call.path = path;
	call.timeout_ms = w->wait_ms / 16 * 17 + conf->timeout_ms;
	w->asked_ms = monotonic_ms();
	return http_send(w->consul->http, &call, &w->request);
}

static void ask(struct watch *w)
{
	struct consul *c = w->consul;

	TAILQ_REMOVE(&c->queued, w, place);
	if (send_query(w)) {
		fail(w, "%s: out of memory for a question", http_url(c->http));
	} else {
		w->phase = PHASE_ASKING;
		TAILQ_INSERT_TAIL(&c->asking, w, place);
		c->n_asking++;
	}
}

/* Queries that are to wait for much longer than a turn is now: they were sent when there were fewer questions. */
static void recall(struct consul *c)
{
	struct watch *w = TAILQ_FIRST(&c->asking);

	while (w) {
		struct watch *next = TAILQ_NEXT(w, place);

		if (w->wait_ms > 2 * turn_ms(c)) {
			http_cancel(w->request);
			leave(w);
			enqueue(w);
		}
		w = next;
	}
}

static void on_start(evutil_socket_t fd, short what, void *arg)
{
	struct consul *c = arg;
	struct watch *w;

	(void)fd;
	(void)what;
	if (c->n_asking == ASKING_MAX && !TAILQ_EMPTY(&c->queued))
		recall(c);
	while (c->n_asking < ASKING_MAX && (w = TAILQ_FIRST(&c->queued)))
		ask(w);
}

/* The path of a question, to which index and wait are added. NULL: out of memory. */
static char *make_path(const struct consul *c, const struct discover *what)
{
	const char *datacenter = what->datacenter ?: c->conf->datacenter;
	_cleanup_free_ char *name = http_escape(what->name), *dc = http_escape(datacenter ?: "");
	char *path;

	if (!name || !dc || asprintf(&path, "/v1/health/service/%s?%s%s%s", name, *dc ? "dc=" : "", dc, *dc ? "&" : "") < 0)
		return NULL;
	return path;
}

static void consul_unwatch(void *watch)
{
	struct watch *w = watch;
	struct consul *c = w->consul;

	if (w->phase == PHASE_QUEUED)
		TAILQ_REMOVE(&c->queued, w, place);
	if (w->phase == PHASE_ASKING) {
		http_cancel(w->request);
		leave(w);
	}
	c->n_watches--;
	event_free(w->rest);
	free(w->path);
	free(w);
}

static int consul_watch(void *source, const struct discover *what, struct finder *f, void **out)
{
	struct watch *w = calloc(1, sizeof(*w));
	struct consul *c = source;

	if (w) {
		*w = (struct watch){ .consul = c, .finder = f, .what = what, .path = make_path(c, what),
				     .backoff = { .servers = http_servers(c->http) } };
		w->rest = evtimer_new(c->base, on_rested, w);
	}
	if (!w || !w->path || !w->rest) {
		if (w && w->rest)
			event_free(w->rest);
		free(w ? w->path : NULL);
		free(w);
		return err_r(-ENOMEM, "source %s: out of memory for a question", c->conf->name);
	}
	c->n_watches++;
	enqueue(w);
	*out = w;
	return 0;
}

/* ---- the source ---- */

static void consul_close(void *source)
{
	struct consul *c = source;

	http_free(c->http);
	if (c->start)
		event_free(c->start);
	free(c);
}

static int consul_open(const struct source_env *env, const struct source *conf, void **out)
{
	static char *default_url = "http://127.0.0.1:8500";
	struct http_settings s = { .urls = conf->servers, .tls = conf->tls, .token_file = conf->token_file,
				   .token_head = "X-Consul-Token: ", .connect_ms = conf->timeout_ms };
	struct consul *c = calloc(1, sizeof(*c));

	if (!s.urls.n)
		s.urls = (struct texts){ .list = &default_url, .n = 1 };
	if (!c)
		return err_r(-ENOMEM, "source %s: out of memory", conf->name);
	*c = (struct consul){ .base = env->base, .conf = conf };
	TAILQ_INIT(&c->queued);
	TAILQ_INIT(&c->asking);
	c->start = event_new(env->base, -1, 0, on_start, c);
	if (!c->start || http_new(env->transfers, &s, &c->http)) {
		consul_close(c);
		return err_r(-ENOMEM, "source %s: out of memory", conf->name);
	}
	*out = c;
	return 0;
}

const struct source_ops source_consul = {
	.open = consul_open, .close = consul_close, .watch = consul_watch, .unwatch = consul_unwatch,
	.one_at_a_time = true
};
