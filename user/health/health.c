/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The schedule of the checks. A target waits for its timer, is due and stands in the queue, or has a check under way:
 *
 *   waiting --timer--> due --place free--> under way --outcome--> waiting
 */
#include "health/health.h"

#include <errno.h>
#include <event2/util.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"
#include "health/checker.h"
#include "health/spread.h"
#include "health/verdict.h"

#define PUT_OFF_US 1000000u /* how long to leave a check that this host could not make */
#define QUIET_NS (60 * 1000000000ull) /* after so long without a check put off, the next one is news again */

enum phase { PHASE_WAITING, PHASE_DUE, PHASE_UNDER_WAY };

struct health_target {
	struct health *health;
	const struct checker *checker;
	struct endpoint at; /* what is checked: with the port of the check */
	struct check check;
	health_change_fn changed;
	void *arg;

	enum phase phase;
	struct event *timer; /* while waiting */
	bool ahead; /* counted in health->ahead */
	TAILQ_ENTRY(health_target) queue; /* while due */
	void *run; /* while under way */
	uint64_t started_ns;

	struct verdict verdict;
	struct health_info info; /* but for what the verdict knows */
};

struct health {
	struct event_base *base;
	struct {
		void *shared;
		bool open;
	} kinds[CHECK_HTTP + 1];
	TAILQ_HEAD(, health_target) due; /* first in, first started */
	struct event *start; /* active: there may be place for one that is due */
	uint32_t under_way, under_way_max;
	uint64_t spread; /* see spread_first_us */
	uint32_t ahead; /* targets of which nothing is known and whose first check is not due yet */
	uint64_t put_off_ns; /* when a check was last put off; 0: never */
};

static const struct checker *const checkers[CHECK_HTTP + 1] = {
	[CHECK_TCP] = &checker_tcp,
	[CHECK_HTTP] = &checker_http,
};

/* ---- time ---- */

static void wait_us(struct health_target *t, uint64_t us)
{
	struct timeval tv = { us / 1000000, us % 1000000 };

	t->phase = PHASE_WAITING;
	event_base_update_cache_time(t->health->base); /* from now on, not from when the loop last looked */
	event_add(t->timer, &tv);
}

/* ---- checks that could not be made ---- */

static void put_off(struct health_target *t, const char *why)
{
	uint64_t interval = t->check.interval_ms * 1000ull, now = clock_ns(CLOCK_MONOTONIC);
	struct health *h = t->health;

	if (!h->put_off_ns || now - h->put_off_ns > QUIET_NS)
		log_warn("health checks are put off, verdicts stay as they are: %s, or lower checks_under_way", why);
	h->put_off_ns = now;
	wait_us(t, interval < PUT_OFF_US ? interval : PUT_OFF_US);
}

/* ---- start and end of a check ---- */

static void on_done(void *arg, const struct outcome *outcome);

static void start_check(struct health_target *t)
{
	struct health *h = t->health;
	struct outcome outcome;
	int err;

	t->started_ns = clock_ns(CLOCK_MONOTONIC);
	err = t->checker->start(h->base, h->kinds[t->check.kind].shared, &t->at, &t->check, on_done, t, &t->run);
	if (err) {
		outcome_from_errno(&outcome, -err);
		put_off(t, outcome.why);
		return;
	}
	t->phase = PHASE_UNDER_WAY;
	h->under_way++;
}

static void on_start(evutil_socket_t fd, short what, void *arg)
{
	struct health_target *t;
	struct health *h = arg;

	(void)fd, (void)what;
	while (h->under_way < h->under_way_max && (t = TAILQ_FIRST(&h->due))) {
		TAILQ_REMOVE(&h->due, t, queue);
		start_check(t);
	}
}

/* From the loop: verdicts that wait there come first, and whoever removes all targets starts no more checks by it. */
static void start_due(struct health *h)
{
	if (h->under_way < h->under_way_max && !TAILQ_EMPTY(&h->due))
		event_active(h->start, EV_TIMEOUT, 1);
}

static void no_longer_ahead(struct health_target *t)
{
	t->health->ahead -= t->ahead;
	t->ahead = false;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct health_target *t = arg;

	(void)fd, (void)what;
	no_longer_ahead(t);
	t->phase = PHASE_DUE;
	TAILQ_INSERT_TAIL(&t->health->due, t, queue);
	start_due(t->health);
}

static void note(struct health_target *t, const struct outcome *outcome, uint64_t now_ns)
{
	bool passed = outcome->kind == OUTCOME_PASSED;

	t->info.checks++;
	t->info.failures += !passed;
	t->info.last_seconds = (now_ns - t->started_ns) / 1e9;
	snprintf(t->info.last_error, sizeof(t->info.last_error), "%s", outcome->why);
}

static uint64_t delay_of_next(struct health_target *t, uint64_t now_ns)
{
	uint64_t random;

	if (t->verdict.state == STATE_UNKNOWN) /* this was its first check, and came with many others */
		return spread_first_us(&t->health->spread, t->check.interval_ms);
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	return spread_next_us(random, t->check.interval_ms, (now_ns - t->started_ns) / 1000);
}

static void on_done(void *arg, const struct outcome *outcome)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct health_target *t = arg;
	struct health *h = t->health;
	bool changed;

	t->run = NULL;
	h->under_way--;
	if (outcome->kind == OUTCOME_PUT_OFF) {
		put_off(t, outcome->why);
		return start_due(h);
	}
	note(t, outcome, now);
	wait_us(t, delay_of_next(t, now));
	changed = verdict_note(&t->verdict, outcome->kind == OUTCOME_PASSED, t->check.fall, t->check.rise);
	if (changed) {
		t->info.since_ms = clock_ns(CLOCK_REALTIME) / 1000000;
		t->changed(t->arg, t, t->verdict.state); /* t may be gone after this */
	}
	start_due(h);
}

/* ---- targets ---- */

static int open_kind(struct health *h, enum check_kind kind)
{
	int err = 0;

	if (!h->kinds[kind].open)
		err = checkers[kind]->open(h->base, &h->kinds[kind].shared);
	if (!err)
		h->kinds[kind].open = true;
	return err;
}

static void target_free(struct health_target *t)
{
	if (t->timer)
		event_free(t->timer);
	free(t->check.path);
	free(t->check.host);
	free(t);
}

static void target_freep(struct health_target **t)
{
	if (*t)
		target_free(*t);
}

/* Text that goes into the head of a request must not end its line, nor (in a path) its word. */
static bool fits_request(const char *text, char lowest)
{
	for (; text && *text; text++)
		if ((unsigned char)*text < lowest || *text == 0x7f)
			return false;
	return true;
}

static int check_valid(const struct check *c, uint16_t port)
{
	if (c->kind != CHECK_TCP && c->kind != CHECK_HTTP)
		return -EINVAL;
	if (!port || !c->interval_ms || !c->timeout_ms)
		return -EINVAL;
	if (c->kind == CHECK_HTTP && (!fits_request(c->path, '!') || !fits_request(c->host, ' ')))
		return -EINVAL;
	return 0;
}

static int check_copy(struct check *to, const struct check *from)
{
	*to = *from;
	to->path = NULL;
	to->host = NULL;
	if (from->kind != CHECK_HTTP)
		return 0;
	to->path = strdup(from->path ? from->path : "/");
	to->host = from->host ? strdup(from->host) : NULL;
	return to->path && !from->host == !to->host ? 0 : -ENOMEM;
}

int health_add(struct health *h, const struct endpoint *at, const struct check *c, enum state initial,
	       health_change_fn changed, void *arg, struct health_target **out)
{
	_cleanup_(target_freep) struct health_target *t = NULL;
	uint16_t port = c->port ? c->port : at->port;
	int err = check_valid(c, port);

	if (!err)
		err = open_kind(h, c->kind);
	if (err)
		return err;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct health_target){ .health = h, .checker = checkers[c->kind], .changed = changed, .arg = arg };
	t->at = (struct endpoint){ .addr = at->addr, .port = port };
	t->verdict = verdict_from(initial);
	t->timer = evtimer_new(h->base, on_timer, t);
	err = check_copy(&t->check, c);
	if (err || !t->timer)
		return -ENOMEM;
	t->ahead = t->verdict.state == STATE_UNKNOWN;
	wait_us(t, t->ahead ? spread_unknown_us(h->ahead, &h->spread, c->interval_ms) :
			      spread_first_us(&h->spread, c->interval_ms));
	h->ahead += t->ahead;
	*out = TAKE_PTR(t);
	return 0;
}

void health_remove(struct health_target *t)
{
	struct health *h = t->health;

	no_longer_ahead(t);
	if (t->phase == PHASE_DUE)
		TAILQ_REMOVE(&h->due, t, queue);
	if (t->phase == PHASE_UNDER_WAY) {
		t->checker->stop(t->run);
		h->under_way--;
	}
	target_free(t);
	start_due(h);
}

void health_query(const struct health_target *t, struct health_info *out)
{
	*out = t->info;
	out->state = t->verdict.state;
	out->streak = t->verdict.streak;
}

/* ---- all of it ---- */

void health_set_under_way(struct health *h, uint32_t under_way)
{
	h->under_way_max = under_way ? under_way : 1;
	start_due(h);
}

int health_new(struct event_base *base, uint32_t under_way, struct health **out)
{
	struct health *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->base = base;
	TAILQ_INIT(&h->due);
	h->start = evtimer_new(base, on_start, h);
	if (!h->start) {
		free(h);
		return -ENOMEM;
	}
	evutil_secure_rng_get_bytes(&h->spread, sizeof(h->spread));
	health_set_under_way(h, under_way);
	*out = h;
	return 0;
}

void health_free(struct health *h)
{
	for (int kind = 0; kind <= CHECK_HTTP; kind++)
		if (h->kinds[kind].open)
			checkers[kind]->close(h->kinds[kind].shared);
	event_free(h->start);
	free(h);
}
