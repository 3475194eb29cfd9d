/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ways to other backends, for packets that the backend program sends on (bpf/hop.bpf.h): it says whom it lacks,
 * here the kernel's route and neighbour are followed from then on, and the program finds them in the map. They outlive
 * the daemon.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "reconcile/internal.h"

struct hop {
	struct hops *owner;
	struct addr to;
	struct nexthop_want *want;
};

struct hops {
	struct reconcile *r;
	struct strangers *strangers;
	struct event *readable;
	void *tree; /* of struct hop, by address */
	size_t n; /* in it */
};

static int compare(const void *a, const void *b)
{
	return memcmp(&((const struct hop *)a)->to, &((const struct hop *)b)->to, sizeof(struct addr));
}

static void way_changed(void *arg, const struct nexthop *now)
{
	struct hop *h = arg;
	struct shunt_backend way = { .flags = SHUNT_BACKEND_NEXTHOP, .ifindex = now->ifindex, .vlan = htons(now->vlan) };
	const char *problem = now->problem;
	char text[ADDR_TEXT];
	int err;

	memcpy(way.dmac, now->dmac, sizeof(way.dmac));
	memcpy(way.smac, now->smac, sizeof(way.smac));
	if (now->usable) {
		err = dp_hop_set(h->owner->r->dp, &h->to, &way);
		if (!err)
			return;
		problem = strerror(-err);
	}
	dp_hop_delete(h->owner->r->dp, &h->to);
	log_debug("packets for backend %s go back to who sent them: %s", addr_format(&h->to, text), problem);
}

static void hop_free(void *at)
{
	struct hop *h = at;

	nexthop_drop(h->want);
	free(h);
}

static int follow(struct hops *all, const struct addr *to)
{
	struct hop *h = all->n < SHUNT_HOP_WAYS ? calloc(1, sizeof(*h)) : NULL, **found;
	int err;

	if (!h)
		return -ENOMEM;
	*h = (struct hop){ .owner = all, .to = *to };
	found = tsearch(h, &all->tree, compare);
	if (!found || *found != h) { /* known: its way is being looked for, or there is none */
		free(h);
		return found ? 0 : -ENOMEM;
	}
	err = nexthop_want(all->r->nexthops, to, 0, way_changed, h, &h->want);
	if (!err && nexthop_get(h->want)->usable)
		way_changed(h, nexthop_get(h->want));
	if (err) {
		tdelete(h, &all->tree, compare);
		free(h);
	} else {
		all->n++;
	}
	return err;
}

static int on_stranger(void *arg, const struct addr *to)
{
	follow(arg, to); /* if memory is short, the program asks again */
	return 0;
}

static int adopt_hop(void *arg, const struct addr *to)
{
	return follow(arg, to);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct hops *all = arg;

	(void)fd;
	(void)what;
	strangers_read(all->strangers);
}

int hops_new(struct reconcile *r, struct hops **out)
{
	struct hops *all = *out = calloc(1, sizeof(*all));
	int err;

	if (!all)
		return -ENOMEM;
	all->r = r;
	err = strangers_open(r->dp, on_stranger, all, &all->strangers);
	if (err)
		return err;
	all->readable = event_new(r->base, strangers_fd(all->strangers), EV_READ | EV_PERSIST, on_readable, all);
	if (!all->readable || event_add(all->readable, NULL))
		return -ENOMEM;
	return dp_hop_each(r->dp, adopt_hop, all);
}

void hops_free(struct hops *all)
{
	if (!all)
		return;
	if (all->readable)
		event_free(all->readable);
	strangers_close(all->strangers);
	tdestroy(all->tree, hop_free);
	free(all);
}
