/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is wanted of each announcement follows from the configuration and its check; the announcer of its kind makes it
 * so, one thing at a time:
 *
 *   idle --something to do, or time to renew--> making --made--> idle (at once again, if something else is wanted now)
 *                                                 |--failed--> idle, for as long as the backoff says
 */
#include "register/register.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"
#include "discovery/backoff.h"
#include "register/announcer.h"

#define PROBLEM 512
#define RENEWALS 3 /* in the time to live */
#define SOON_MS 50

/* A source at which something is announced. */
struct server {
	struct source conf;
	const struct announcer_ops *ops;
	void *handle;
	unsigned users;
	TAILQ_ENTRY(server) list;
};

struct registration {
	struct registrar *registrar;
	struct server *server;
	struct announce what;
	char *id;
	void *announcement; /* of the announcer */
	struct health_target *check; /* NULL: there is none, or it is to go */
	enum state state;
	bool listed; /* the configuration names it */
	bool making;
	bool again; /* something changed while it was made */
	enum wanted made; /* last; or being made */
	bool is_made;
	bool announced; /* was said last */
	uint64_t confirmed_ms; /* CLOCK_MONOTONIC */
	struct backoff backoff;
	struct event *timer;
	char problem[PROBLEM];
	TAILQ_ENTRY(registration) list;
};

struct registrar {
	struct event_base *base;
	struct health *health;
	struct transfers *transfers;
	register_event_fn event;
	void *arg;
	bool stopping;
	TAILQ_HEAD(servers, server) servers;
	TAILQ_HEAD(registrations, registration) all;
};

static const struct announcer_ops *ops_of(enum source_kind kind)
{
	return kind == SOURCE_CONSUL ? &announcer_consul : &announcer_etcd;
}

static void say(struct registration *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct registration *r, const char *fmt, ...)
{
	char subject[DISCOVER_TEXT], sentence[PROBLEM + 128], at[ENDPOINT_TEXT];
	va_list args;

	snprintf(subject, sizeof(subject), "register %s in %s %s", endpoint_format(&r->what.at, at),
		 r->server->conf.name, r->what.name);
	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	if (r->registrar->event)
		r->registrar->event(r->registrar->arg, subject, sentence);
}

/* ---- servers ---- */

static void server_release(struct registrar *r, struct server *s)
{
	if (--s->users)
		return;
	TAILQ_REMOVE(&r->servers, s, list);
	s->ops->close(s->handle);
	source_clear(&s->conf);
	free(s);
}

/* The one that is open, or a new one; released by server_release. NULL: out of memory. */
static struct server *server_use(struct registrar *r, const struct source *conf)
{
	struct announcer_env env = { .base = r->base, .transfers = r->transfers };
	struct server *s;

	TAILQ_FOREACH(s, &r->servers, list)
		if (source_equal(&s->conf, conf)) {
			s->users++;
			return s;
		}
	s = calloc(1, sizeof(*s));
	if (!s || source_copy(conf, &s->conf)) {
		free(s);
		return NULL;
	}
	s->ops = ops_of(conf->kind);
	if (s->ops->open(&env, &s->conf, &s->handle)) {
		source_clear(&s->conf);
		free(s);
		return NULL;
	}
	s->users = 1;
	TAILQ_INSERT_TAIL(&r->servers, s, list);
	return s;
}

/* ---- what is wanted ---- */

static void registration_free(struct registration *r)
{
	TAILQ_REMOVE(&r->registrar->all, r, list);
	if (r->check)
		health_remove(r->check);
	if (r->announcement)
		r->server->ops->end(r->announcement);
	server_release(r->registrar, r->server);
	if (r->timer)
		event_free(r->timer);
	announce_clear(&r->what);
	free(r->id);
	free(r);
}

/* false: nothing yet, for nothing is known. */
static bool want(const struct registration *r, enum wanted *out)
{
	*out = !r->listed || r->registrar->stopping ? WANTED_GONE : r->state == STATE_HEALTHY ? WANTED_UP : WANTED_DOWN;
	return *out == WANTED_GONE || r->state != STATE_UNKNOWN;
}

static void wait_ms(struct registration *r, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_add(r->timer, &tv);
}

static void output_of(const struct registration *r, char text[128])
{
	struct health_info info = {};

	if (r->check)
		health_query(r->check, &info);
	snprintf(text, 128, "%s", info.last_error);
}

/* Announced as the same, at a source that is configured otherwise. */
static bool is_twin(const struct registration *a, const struct registration *b)
{
	return a != b && a->what.kind == b->what.kind && !strcmp(a->what.name, b->what.name) && !strcmp(a->id, b->id);
}

/* One that was announced as the same is being taken away. */
static bool has_predecessor(const struct registration *r)
{
	struct registration *other;

	TAILQ_FOREACH(other, &r->registrar->all, list)
		if (!other->listed && !other->backoff.failures && is_twin(other, r))
			return true;
	return false;
}

static void go_on(struct registration *r)
{
	enum wanted wanted;
	char output[128];
	int err;

	if (r->making) {
		r->again = true;
		return;
	}
	event_del(r->timer);
	if (!want(r, &wanted))
		return;
	if (r->listed && has_predecessor(r)) { /* it would take away what is announced now */
		wait_ms(r, SOON_MS);
		return;
	}
	output_of(r, output);
	if (r->made != wanted)
		r->is_made = false;
	r->made = wanted;
	r->again = false;
	r->making = true;
	err = r->server->ops->make(r->announcement, wanted, output);
	if (err > 0)
		registration_made(r);
	else if (err)
		registration_failed(r, "out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	go_on(arg);
}

/* What was never announced, or no longer is, goes without a word. */
static void say_made(struct registration *r)
{
	static const char *const words[] = { "announced", "not announced: its check fails", "taken away" };
	bool was_announced = r->announced;
	char output[128];

	r->announced = r->made == WANTED_UP;
	if (r->made == WANTED_GONE && !was_announced)
		return;
	output_of(r, output);
	say(r, "%s%s%s%s", words[r->made], r->made == WANTED_DOWN && output[0] ? " (" : "",
	    r->made == WANTED_DOWN ? output : "", r->made == WANTED_DOWN && output[0] ? ")" : "");
}

/* Do two sources share a server? */
static bool share_server(const struct source *a, const struct source *b)
{
	for (size_t i = 0; i < a->servers.n; i++)
		for (size_t k = 0; k < b->servers.n; k++)
			if (!strcmp(a->servers.list[i], b->servers.list[k]))
				return true;
	return !a->servers.n && !b->servers.n;
}

/* What stands at the server is r's now: whoever could not be taken away there is not to be any more. */
static void forget_predecessors(const struct registration *r)
{
	struct registration *other, *next;

	for (other = TAILQ_FIRST(&r->registrar->all); other; other = next) {
		next = TAILQ_NEXT(other, list);
		if (!other->listed && !other->making && is_twin(other, r) &&
		    share_server(&other->server->conf, &r->server->conf))
			registration_free(other);
	}
}

/* It was taken away at last; if its server is a successor's under another name, the successor was taken away with it. */
static void restore_successors(const struct registration *r)
{
	struct registration *other;

	TAILQ_FOREACH(other, &r->registrar->all, list) {
		if (!other->listed || !is_twin(other, r))
			continue;
		other->is_made = false;
		other->server->ops->changed(other->announcement);
		if (other->making)
			other->again = true;
		else
			wait_ms(other, 0);
	}
}

void registration_made(struct registration *r)
{
	enum wanted wanted;

	r->making = false;
	r->confirmed_ms = monotonic_ms();
	backoff_reset(&r->backoff);
	if (!r->is_made || r->problem[0])
		say_made(r);
	r->is_made = true;
	r->problem[0] = '\0';
	if (r->made == WANTED_UP && r->listed)
		forget_predecessors(r);
	if (r->made == WANTED_GONE && want(r, &wanted) && wanted == WANTED_GONE) {
		restore_successors(r);
		registration_free(r);
	} else if (r->again) {
		go_on(r);
	} else {
		wait_ms(r, r->what.ttl_ms / RENEWALS);
	}
}

/* What cannot be taken away in time is left behind when the daemon stops: each server of the source was tried then. */
static bool gives_up(const struct registration *r)
{
	size_t servers = r->server->conf.servers.n ?: 1;

	return r->registrar->stopping && r->made == WANTED_GONE && r->backoff.failures >= servers;
}

void registration_failed(struct registration *r, const char *problem)
{
	struct timeval wait = backoff_next(&r->backoff);
	uint32_t ms = wait.tv_sec * 1000 + wait.tv_usec / 1000, most = r->what.ttl_ms / RENEWALS;
	bool news = !r->problem[0];

	r->making = false;
	snprintf(r->problem, sizeof(r->problem), "%s", problem);
	if (gives_up(r)) {
		say(r, "%s; not taken away: it ends with its TTL of %u s", r->problem, r->what.ttl_ms / 1000);
		registration_free(r);
		return;
	}
	if (news)
		say(r, "%s", r->problem);
	if (r->again && r->backoff.failures == 1)
		go_on(r);
	else
		wait_ms(r, ms < most ? ms : most);
}

/* ---- the check ---- */

static void on_verdict(void *arg, struct health_target *t, enum state now)
{
	struct registration *r = arg;

	(void)t;
	r->state = now;
	go_on(r);
}

/* Without a check it is well as long as the daemon is there. What is known already stands until the first check. */
static int start_check(struct registration *r)
{
	if (r->check)
		health_remove(r->check);
	r->check = NULL;
	if (r->what.check.kind != CHECK_NONE)
		return health_add(r->registrar->health, &r->what.at, &r->what.check, r->state, on_verdict, r,
				  &r->check);
	r->state = STATE_HEALTHY;
	return 0;
}

/* ---- following the configuration ---- */

/* By which it is known where it is announced; to be freed. NULL: out of memory. */
static char *make_id(const struct announce *a)
{
	char at[ENDPOINT_TEXT], *id = NULL;

	if (a->id)
		return strdup(a->id);
	endpoint_format(&a->at, at);
	if (a->kind == SOURCE_ETCD)
		return strdup(at);
	return asprintf(&id, "%s-%s", a->name, at) < 0 ? NULL : id;
}

static struct registration *find(const struct registrar *r, const struct source *conf, const struct announce *a,
				 const char *id)
{
	struct registration *one;

	TAILQ_FOREACH(one, &r->all, list)
		if (source_equal(&one->server->conf, conf) && !strcmp(one->what.name, a->name) && !strcmp(one->id, id))
			return one;
	return NULL;
}

static int add(struct registrar *r, const struct source *conf, const struct announce *a, const char *id)
{
	struct registration *new = calloc(1, sizeof(*new));
	int err;

	if (!new)
		return -ENOMEM;
	*new = (struct registration){
		.registrar = r, .server = server_use(r, conf), .listed = true, .made = WANTED_DOWN,
		.backoff = { .servers = conf->servers.n }
	};
	if (!new->server) {
		free(new);
		return -ENOMEM;
	}
	TAILQ_INSERT_TAIL(&r->all, new, list);
	new->id = strdup(id);
	new->timer = evtimer_new(r->base, on_timer, new);
	err = new->id && new->timer ? announce_copy(a, &new->what) : -ENOMEM;
	if (!err)
		err = new->server->ops->begin(new->server->handle, &new->what, new->id, new, &new->announcement);
	if (!err)
		err = start_check(new);
	if (err)
		registration_free(new);
	else
		wait_ms(new, 0);
	return err;
}

/* The same one, of which other things are said, or which was about to go. */
static int change(struct registration *r, const struct announce *a)
{
	bool other_check = !check_equal(&r->what.check, &a->check) || endpoint_compare(&r->what.at, &a->at);
	struct announce copy = {};
	int err = announce_copy(a, &copy);

	if (err)
		return err;
	announce_clear(&r->what);
	r->what = copy;
	r->is_made = false;
	if (other_check || !r->check)
		err = start_check(r);
	if (!err) {
		r->server->ops->changed(r->announcement);
		go_on(r);
	}
	return err;
}

static int follow_one(struct registrar *r, const struct config *c, const struct announce *a)
{
	const struct source *listed = config_source(c, a->kind, a->source);
	_cleanup_free_ char *id = make_id(a);
	struct source assumed = source_default(a->kind);
	struct registration *same;
	bool was_listed;

	if (!id)
		return -ENOMEM;
	assumed.name = (char *)source_kind_names[a->kind];
	same = find(r, listed ?: &assumed, a, id);
	if (!same)
		return add(r, listed ?: &assumed, a, id);
	was_listed = same->listed;
	same->listed = true;
	return was_listed && announce_equal(&same->what, a) ? 0 : change(same, a);
}

/* Of two with one identity the first counts. */
static bool is_repeated(const struct config *c, size_t i)
{
	_cleanup_free_ char *id = make_id(&c->announces[i]);
	const struct announce *a = &c->announces[i];
	bool repeated = false;

	for (size_t k = 0; k < i && id && !repeated; k++) {
		const struct announce *b = &c->announces[k];
		_cleanup_free_ char *other = make_id(b);

		repeated = a->kind == b->kind && other && !strcmp(id, other) && !strcmp(a->name, b->name) &&
			   config_source(c, a->kind, a->source) == config_source(c, b->kind, b->source);
	}
	if (repeated)
		log_warn("register: %s is announced twice in %s as %s: the first counts; give each an id of its own",
			 a->name, source_kind_names[a->kind], id);
	return repeated;
}

static bool is_named(const struct registration *r, const struct config *c)
{
	for (size_t i = 0; i < c->n_announces; i++) {
		const struct announce *a = &c->announces[i];
		const struct source *listed = config_source(c, a->kind, a->source);
		struct source assumed = source_default(a->kind);
		_cleanup_free_ char *id = make_id(a);

		assumed.name = (char *)source_kind_names[a->kind];
		if (!id || (!strcmp(a->name, r->what.name) && !strcmp(id, r->id) &&
			    source_equal(listed ?: &assumed, &r->server->conf)))
			return true;
	}
	return false;
}

/* It may be gone after this. */
static void let_go(struct registration *r)
{
	r->listed = false;
	if (r->check)
		health_remove(r->check);
	r->check = NULL;
	go_on(r);
}

int register_follow(struct registrar *r, const struct config *c)
{
	struct registration *one, *next;
	int err = 0;

	for (one = TAILQ_FIRST(&r->all); one; one = next) {
		next = TAILQ_NEXT(one, list);
		if (one->listed && !is_named(one, c))
			let_go(one);
	}
	for (size_t i = 0; i < c->n_announces && !err; i++)
		if (!is_repeated(c, i))
			err = follow_one(r, c, &c->announces[i]);
	if (err)
		log_error("not all is announced that register says: %s", strerror(-err));
	return err;
}

/* ---- the end ---- */

static void on_late(evutil_socket_t fd, short what, void *late)
{
	(void)fd;
	(void)what;
	*(bool *)late = true;
}

void register_stop(struct registrar *r, uint32_t timeout_ms)
{
	struct timeval in = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	struct registration *one, *next;
	bool late = false;
	struct event *limit = evtimer_new(r->base, on_late, &late);

	r->stopping = true;
	for (one = TAILQ_FIRST(&r->all); one; one = next) {
		next = TAILQ_NEXT(one, list);
		backoff_reset(&one->backoff);
		let_go(one);
	}
	if (limit)
		event_add(limit, &in);
	while (limit && !TAILQ_EMPTY(&r->all) && !late)
		event_base_loop(r->base, EVLOOP_ONCE);
	TAILQ_FOREACH(one, &r->all, list)
		say(one, "not taken away in time: it ends with its TTL of %u s", one->what.ttl_ms / 1000);
	if (limit)
		event_free(limit);
}

void register_each(const struct registrar *r, register_fn fn, void *arg)
{
	uint64_t now = monotonic_ms();
	struct registration *one;

	TAILQ_FOREACH(one, &r->all, list) {
		struct health_info h = {};

		if (one->check)
			health_query(one->check, &h);
		fn(arg, &(struct register_info){ .what = &one->what,
						 .source = &one->server->conf,
						 .id = one->id,
						 .registered = one->is_made && one->made == WANTED_UP &&
							       now - one->confirmed_ms < one->what.ttl_ms,
						 .state = one->state,
						 .output = h.last_error,
						 .problem = one->problem });
	}
}

void register_free(struct registrar *r)
{
	if (!r)
		return;
	while (!TAILQ_EMPTY(&r->all))
		registration_free(TAILQ_FIRST(&r->all));
	transfers_free(r->transfers);
	free(r);
}

int register_new(struct event_base *base, struct health *h, register_event_fn event, void *arg, struct registrar **out)
{
	struct registrar *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct registrar){ .base = base, .health = h, .event = event, .arg = arg };
	TAILQ_INIT(&r->servers);
	TAILQ_INIT(&r->all);
	if (transfers_new(base, &r->transfers)) {
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}
