/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "rooms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clean.h"
#include "netns.h"

static void say(void *arg, const char *sentence)
{
	(void)arg;
	fprintf(stderr, "%s\n", sentence);
}

struct config *rooms_parse(const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	struct config *c = NULL;
	va_list args;

	va_start(args, fmt);
	assert_true(vasprintf(&text, fmt, args) > 0);
	va_end(args);
	assert_int_equal(config_parse("test", text, strlen(text), say, NULL, &c), 0);
	return c;
}

void rooms_open(struct rooms *w, const struct config *c)
{
	bool adopted;

	w->base = event_base_new();
	assert_int_equal(dp_open(c, &w->dp, &adopted), 0);
	assert_int_equal(health_new(w->base, 64, &w->health), 0);
	assert_int_equal(nexthops_new(w->base, &w->nexthops), 0);
	assert_int_equal(reconcile_new(w->base, w->dp, w->health, w->nexthops, &w->r), 0);
}

void rooms_close(struct rooms *w)
{
	reconcile_free(w->r);
	nexthops_free(w->nexthops);
	health_free(w->health);
	dp_close(w->dp);
	event_base_free(w->base);
}

void rooms_run(const struct rooms *w, unsigned ms)
{
	const struct timeval wait = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_base_loopexit(w->base, &wait);
	event_base_dispatch(w->base);
}

void rooms_network(unsigned last)
{
	netns_enter();
	sh("ip link add v0 type veth peer name v1 && ip addr add 10.9.0.1/16 dev v0 && ip link set v0 up && "
	   "ip link set v1 up");
	sh("for i in $(seq 2 %u); do echo neigh replace 10.9.0.$i lladdr 02:00:00:00:00:01 nud permanent dev v0; done | "
	   "ip -batch -", last);
}
