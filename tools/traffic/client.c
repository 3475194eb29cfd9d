/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The client: opens its connections one by one, replaces those that end, and ends all when its time is over. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "client.h"

#define RAMPS 20 /* times in a second at which connections are opened */
#define SPREAD 2 /* seconds at most over which the ends of many are spread */
#define PAUSE 1 /* seconds at most before another takes the place of one that is gone */

double draw(struct client *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return (c->random >> 11) * 0x1p-53;
}

/* ---- beginning ---- */

static enum kind draw_kind(struct client *c)
{
	double percent = draw(c) * 100;

	if (percent < c->o->silent_percent)
		return SILENT;
	return percent < c->o->silent_percent + c->o->short_percent ? SHORT : WHOLE;
}

static void on_ramp(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	double due = (clock_now() - c->begun) * c->o->rate;

	(void)fd;
	(void)what;
	while (c->n_begun < c->o->connections && c->n_begun < due) {
		struct conn *next = &c->conns[c->n_begun++];

		next->client = c;
		next->kind = draw_kind(c);
		conn_open(next);
	}
	if (c->n_begun == c->o->connections)
		event_del(c->ramp);
}

static void on_replace(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	if (!c->client->finishing)
		conn_open(c);
}

void client_ended(struct client *c, struct conn *which)
{
	struct timeval pause = { .tv_usec = draw(c) * PAUSE * 999999 };

	c->n_open--;
	if (!c->finishing)
		event_base_once(c->base, -1, EV_TIMEOUT, on_replace, which, &pause);
	else if (!c->n_open)
		event_base_loopbreak(c->base);
}

/* ---- the end ---- */

static double spread(const struct client *c)
{
	double tenth = c->o->duration_ms / 1e4;

	return tenth < SPREAD ? tenth : SPREAD;
}

static void on_finish(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	if (c->finishing)
		return;
	c->finishing = true;
	c->r.alive_at_end = c->n_open;
	event_del(c->ramp);
	for (uint32_t i = 0; i < c->n_begun; i++)
		conn_end_within(&c->conns[i], spread(c));
	if (!c->n_open)
		event_base_loopbreak(c->base);
}

static bool is_named(const char *names, const char *name)
{
	size_t n = strlen(name);

	for (const char *at = names; n && (at = strstr(at, name)); at += n)
		if ((at == names || strchr(" \n", at[-1])) && strchr(" \n", at[n]))
			return true;
	return false;
}

/* Users of these servers turn away from them: their connections end, others take their places. */
static void on_leave(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	char names[1024];
	_cleanup_fclose_ FILE *f = c->o->leave ? fopen(c->o->leave, "re") : NULL;
	size_t n;

	(void)fd;
	(void)what;
	if (!f) {
		log_error("SIGUSR1: there is no file of names to read: give --leave FILE");
		return;
	}
	n = fread(names, 1, sizeof(names) - 1, f);
	names[n] = 0;
	for (uint32_t i = 0; i < c->n_begun; i++) {
		if (!conn_is_open(&c->conns[i]) || !is_named(names, c->conns[i].server))
			continue;
		c->conns[i].leaving = true;
		conn_end_within(&c->conns[i], spread(c));
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	double now = clock_now();

	(void)fd;
	(void)what;
	for (uint32_t i = 0; i < c->n_begun; i++)
		if (conn_is_open(&c->conns[i]))
			conn_look(&c->conns[i], now);
}

static void on_progress(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	result_progress(arg);
}

/* ---- wiring ---- */

static struct event *every(struct client *c, double seconds, event_callback_fn fn)
{
	struct timeval t = { .tv_sec = seconds, .tv_usec = (seconds - (long)seconds) * 1e6 };
	struct event *e = event_new(c->base, -1, EV_PERSIST, fn, c);

	event_add(e, &t);
	return e;
}

static void set_up(struct client *c)
{
	const int numbers[] = { SIGTERM, SIGINT, SIGUSR1 };
	double seconds = c->o->duration_ms / 1e3;

	c->begun = clock_now();
	c->middle = c->begun + seconds / 2;
	c->random = (c->o->seed + 1) * 0x9e3779b97f4a7c15ull | 1;
	c->ramp = every(c, 1.0 / RAMPS, on_ramp);
	c->tick = every(c, 1, on_tick);
	c->progress = every(c, c->o->progress_ms / 1e3, on_progress);
	c->finish = every(c, seconds, on_finish);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		c->signals[i] = evsignal_new(c->base, numbers[i], numbers[i] == SIGUSR1 ? on_leave : on_finish, c);
		event_add(c->signals[i], NULL);
	}
}

static void tear_down(struct client *c)
{
	struct event *all[] = { c->ramp, c->tick, c->progress, c->finish, c->signals[0], c->signals[1], c->signals[2] };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		event_free(all[i]);
	event_base_free(c->base);
	free(c->conns);
}

int client_run(const struct client_options *o)
{
	struct client c = { .o = o, .conns = calloc(o->connections, sizeof(*c.conns)) };

	if (descriptors_raise(o->connections))
		return 1;
	c.base = event_base_new();
	if (!c.conns || !c.base) {
		log_error("there is no memory for %u connections", o->connections);
		return 1;
	}
	set_up(&c);
	event_base_dispatch(c.base);
	result_print(&c);
	tear_down(&c);
	return result_broken(&c.r) || c.r.outcomes[NOT_CONNECTED] ? 1 : 0;
}
