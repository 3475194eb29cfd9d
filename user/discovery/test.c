/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Trying a source: a discovery of its own, that keeps nothing and ends with the first answer, problem, or in time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "discovery/internal.h"

struct discovery_test {
	struct discovery *discovery;
	struct config *config; /* the sources, and a service that discovers what is asked */
	struct event *end; /* in time, or at once when something was heard */
	struct discover what;
	discovery_test_fn fn;
	void *arg;
};

void discovery_test_cancel(struct discovery_test *t)
{
	if (!t)
		return;
	discovery_free(t->discovery);
	config_free(t->config);
	if (t->end)
		event_free(t->end);
	discover_clear(&t->what);
	free(t);
}

static void test_freep(struct discovery_test **t)
{
	discovery_test_cancel(*t);
}

/* One of several servers may be ill: each is tried. */
static bool is_decided(const struct finder *f)
{
	const struct opened *o = f->source;
	size_t tries = f->watch && o->ops->one_at_a_time && o->conf.servers.n ? o->conf.servers.n : 1;

	return f->standing.answers || f->denied_none || f->standing.problems >= tries;
}

/* Not from within the source's own call. */
void discovery_heard(struct discovery *d, struct finder *f)
{
	const struct timeval now = {};

	if (d->test && is_decided(f))
		event_add(d->test->end, &now);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct discovery_test *t = arg;
	struct found_set set;
	bool heard = discovery_find(t->discovery, &t->what, &set) && (set.answers || set.problems);

	(void)fd;
	(void)what;
	t->fn(t->arg, heard ? &set : NULL);
	discovery_test_cancel(t);
}

/* Sources as they are, without the services that they may offer. */
static int make_config(struct discovery_test *t, const struct config *c, const struct discover *what)
{
	struct service s = service_default();
	int err;

	t->config = config_copy(c);
	if (!t->config)
		return -ENOMEM;
	while (t->config->n_services)
		service_clear(&t->config->services[--t->config->n_services]);
	for (size_t i = 0; i < t->config->n_sources; i++) {
		free(TAKE_PTR(t->config->sources[i].class));
		free(TAKE_PTR(t->config->sources[i].label));
	}
	s.name = strdup("test");
	s.discovers = calloc(1, sizeof(*s.discovers));
	err = s.name && s.discovers ? discover_copy(what, &s.discovers[0]) : -ENOMEM;
	s.n_discovers = !err;
	if (!err)
		err = config_service_add(t->config, &s);
	service_clear(&s);
	return err;
}

int discovery_test(struct event_base *base, const struct config *c, const struct discover *what, uint32_t timeout_ms,
		   discovery_test_fn fn, void *arg, struct discovery_test **out)
{
	_cleanup_(test_freep) struct discovery_test *t = calloc(1, sizeof(*t));
	const struct timeval in_time = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	int err;

	if (!t)
		return -ENOMEM;
	*t = (struct discovery_test){ .fn = fn, .arg = arg, .end = evtimer_new(base, on_end, t) };
	err = t->end ? discover_copy(what, &t->what) : -ENOMEM;
	if (!err)
		err = make_config(t, c, what);
	if (!err)
		err = discovery_new(base, NULL, NULL, NULL, &t->discovery);
	if (err)
		return err;
	t->discovery->test = t;
	event_add(t->end, &in_time);
	err = discovery_follow(t->discovery, t->config);
	if (!err)
		*out = TAKE_PTR(t);
	return err;
}
