/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wants, and what makes them be looked at again:
 *   a route changed             the wants in its prefix
 *   a rule, an address, a nexthop object or a link changed   all wants (the kernel removes IPv4 routes silently with these)
 *   a neighbour changed         the wants that use it; no system call
 *   messages were lost          everything
 * Changes gather for up to 20 ms, then the dirty wants are looked up and reported in portions, so that the loop goes
 * on. Besides, every want is looked up again once a minute: what the kernel learns of MTUs it does not tell.
 *
 * A new way is reported when its neighbour has answered, or has not; until then the old one stays.
 */
#include "datapath/nexthop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "datapath/link.h"
#include "datapath/neighbour.h"
#include "datapath/route.h"

#define GATHER_MS 20
#define PORTION 1000 /* wants looked up in one go: a few milliseconds */
/*
 * New wants that are looked up before anything else, in 60 ms: who takes the place of others is used without a pause, and
 * a table is made once for all who come together, not changed for each of them.
 */
#define AT_ONCE 16384
#define PREFIXES_MAX 64 /* more changed routes than that: everything is looked up */
#define REFRESH_SECONDS 60
#define WATCH_BUFFER (4 << 20)

struct nexthop_want {
	struct nexthops *owner;
	struct addr address;
	uint32_t header; /* bytes that go before each packet */
	nexthop_change_fn changed;
	void *arg;
	struct nexthop now;
	struct route route;
	struct neighbour *neighbour; /* NULL: none is needed, or there is no way */
	bool known; /* `now` was reported, or is about to be */
	bool dirty, report; /* in the list of that name */
	TAILQ_ENTRY(nexthop_want) in_all, in_dirty, in_report, in_neighbour;
};
TAILQ_HEAD(wants, nexthop_want);

struct nexthops {
	struct nl ask; /* for questions; answers come at once */
	struct mnl_socket *watch; /* for messages about changes */
	struct event *readable, *flush, *tick;
	struct neighbours neighbours;
	struct links links;
	struct wants all, dirty, report;
	size_t n_wants, refresh; /* refresh: 60ths of a want that are due to be looked up again */
	struct prefix prefixes[PREFIXES_MAX]; /* of routes that changed */
	size_t n_prefixes;
	size_t at_once; /* wants looked up at once since the last flush */
	bool everything; /* every want must be looked up */
	bool lost; /* messages were lost */
};

static const int groups[] = { RTNLGRP_LINK,	   RTNLGRP_NEIGH,      RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
			      RTNLGRP_IPV4_ROUTE,  RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,
			      RTNLGRP_NEXTHOP };

/* ---- what a want comes to ---- */

static void say(struct nexthop *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct nexthop *h, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(h->problem, sizeof(h->problem), fmt, args);
	va_end(args);
}

/* false: it has not answered yet, and nothing is known from before */
static bool compute_neighbour(const struct nexthop_want *w, struct nexthop *h)
{
	const struct neighbour *b = w->neighbour;
	const struct nl_link *l = links_find(&w->owner->links, w->route.ifindex);
	char text[ADDR_TEXT];

	/* without an answer the last known address is still the best there is */
	h->usable = b->has_mac;
	memcpy(h->dmac, b->mac, sizeof(h->dmac));
	if (neighbour_failed(b))
		say(h, "neighbour %s on %s does not answer", addr_format(&b->addr, text), l->name);
	else if (!b->has_mac)
		say(h, "neighbour %s on %s is being asked", addr_format(&b->addr, text), l->name);
	return b->has_mac || neighbour_settled(b);
}

/* false: it will be known when the neighbour has answered */
static bool compute(const struct nexthop_want *w, struct nexthop *h)
{
	memset(h, 0, sizeof(*h)); /* compared with memcmp */
	h->via = w->route.via;
	switch (w->route.kind) {
	case ROUTE_NONE:
		say(h, "no route");
		return true;
	case ROUTE_LOCAL:
		say(h, "is an address of this host");
		return true;
	case ROUTE_OTHER:
		say(h, "is no unicast address");
		return true;
	case ROUTE_UNICAST:
		break;
	}
	return !links_way(&w->owner->links, w->route.ifindex, w->route.mtu, w->header, h) ||
	       compute_neighbour(w, h);
}

static void unlist(struct nexthop_want *w)
{
	struct nexthops *n = w->owner;

	if (w->dirty)
		TAILQ_REMOVE(&n->dirty, w, in_dirty);
	if (w->report)
		TAILQ_REMOVE(&n->report, w, in_report);
	w->dirty = w->report = false;
}

static void queue_report(struct nexthop_want *w)
{
	if (w->report)
		return;
	w->report = true;
	TAILQ_INSERT_TAIL(&w->owner->report, w, in_report);
}

static void review(struct nexthop_want *w)
{
	struct nexthop h;

	if (!compute(w, &h)) {
		if (!w->known)
			w->now = h; /* says what it waits for */
		return;
	}
	if (w->known && !memcmp(&w->now, &h, sizeof(h)))
		return;
	w->known = true;
	w->now = h;
	queue_report(w);
}

/* ---- looking up ---- */

static void mark_dirty(struct nexthop_want *w)
{
	if (w->dirty)
		return;
	w->dirty = true;
	TAILQ_INSERT_TAIL(&w->owner->dirty, w, in_dirty);
}

static void use_neighbour(struct nexthop_want *w, struct neighbour *b)
{
	struct neighbour *old = w->neighbour;

	if (old == b)
		return;
	if (old)
		TAILQ_REMOVE(&old->wants, w, in_neighbour);
	if (b)
		TAILQ_INSERT_TAIL(&b->wants, w, in_neighbour);
	w->neighbour = b;
	if (old)
		neighbour_put_if_unused(&w->owner->neighbours, old);
}

static int look_up(struct nexthop_want *w)
{
	struct nexthops *n = w->owner;
	struct neighbour *b = NULL;
	struct route r;
	int err;

	err = route_lookup(&n->ask, &w->address, &r);
	if (err)
		return err;
	if (r.kind == ROUTE_UNICAST) {
		b = neighbour_get(&n->neighbours, r.ifindex, &r.via);
		if (!b)
			return -ENOMEM;
	}
	w->route = r;
	use_neighbour(w, b);
	review(w);
	return 0;
}

static void look_up_portion(struct nexthops *n)
{
	char text[ADDR_TEXT];

	for (int i = 0; i < PORTION && !TAILQ_EMPTY(&n->dirty); i++) {
		struct nexthop_want *w = TAILQ_FIRST(&n->dirty);
		int err;

		TAILQ_REMOVE(&n->dirty, w, in_dirty);
		w->dirty = false;
		err = look_up(w);
		if (err) /* the refresh comes back to it */
			log_warn("cannot ask the kernel for the route to %s: %s", addr_format(&w->address, text), strerror(-err));
	}
}

static bool in_changed_prefix(const struct nexthops *n, const struct addr *a)
{
	for (size_t i = 0; i < n->n_prefixes; i++)
		if (addr_in_prefix(a, &n->prefixes[i]))
			return true;
	return false;
}

static void mark_changed(struct nexthops *n)
{
	struct nexthop_want *w;

	if (!n->everything && !n->n_prefixes)
		return;
	TAILQ_FOREACH(w, &n->all, in_all)
		if (n->everything || in_changed_prefix(n, &w->address))
			mark_dirty(w);
	n->everything = false;
	n->n_prefixes = 0;
}

static void review_neighbours(struct nexthops *n)
{
	struct neighbour *b;
	struct nexthop_want *w;

	while ((b = neighbours_take_dirty(&n->neighbours)))
		TAILQ_FOREACH(w, &b->wants, in_neighbour)
			if (!w->dirty) /* else its turn comes */
				review(w);
}

/* Messages were lost: what they said is asked for. */
static void resync(struct nexthops *n)
{
	n->lost = false;
	if (links_read(&n->links, &n->ask))
		log_warn("cannot list the interfaces");
	neighbours_resync(&n->neighbours);
	n->everything = true;
}

/* A callback may drop any want, the one it is called for included. */
static void deliver(struct nexthops *n)
{
	struct nexthop_want *w;

	while ((w = TAILQ_FIRST(&n->report))) {
		const struct nexthop now = w->now;

		TAILQ_REMOVE(&n->report, w, in_report);
		w->report = false;
		w->changed(w->arg, &now);
	}
}

/* ---- the loop ---- */

static void schedule(struct nexthops *n, int ms)
{
	const struct timeval soon = { .tv_usec = ms * 1000 };

	if (!evtimer_pending(n->flush, NULL))
		evtimer_add(n->flush, &soon);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct nexthops *n = arg;

	(void)fd;
	(void)what;
	n->at_once = 0;
	if (n->lost)
		resync(n);
	mark_changed(n);
	look_up_portion(n);
	review_neighbours(n);
	if (!TAILQ_EMPTY(&n->dirty))
		schedule(n, 0);
	deliver(n);
}

static void on_route(struct nexthops *n, const struct nlmsghdr *m)
{
	struct prefix p;

	if (!route_message_prefix(m, &p))
		return;
	if (n->n_prefixes < PREFIXES_MAX)
		n->prefixes[n->n_prefixes++] = p;
	else
		n->everything = true;
}

static int on_change(const struct nlmsghdr *m, void *arg)
{
	struct nexthops *n = arg;

	switch (m->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		n->everything |= links_message(&n->links, m);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		neighbours_message(&n->neighbours, m);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		on_route(n, m);
		break;
	default: /* addresses, rules, nexthop objects */
		n->everything = true;
	}
	return MNL_CB_OK;
}

static bool has_work(const struct nexthops *n)
{
	return n->lost || n->everything || n->n_prefixes || !TAILQ_EMPTY(&n->dirty) ||
	       !TAILQ_EMPTY(&n->neighbours.dirty);
}

/*
 * After an overrun the kernel drops every message until all that are queued have been read, and says so only once.
 * So these go unread, and what they said is asked for after them.
 */
static void skip_queued(struct nexthops *n)
{
	char unread;

	while (recv(mnl_socket_get_fd(n->watch), &unread, sizeof(unread), MSG_TRUNC) >= 0 || errno == ENOBUFS)
		;
	n->lost = true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct nexthops *n = arg;
	char buf[32 * 1024];
	ssize_t len = 1;

	(void)fd;
	(void)what;
	for (int i = 0; i < 64 && len > 0; i++) { /* then others have their turn */
		len = mnl_socket_recvfrom(n->watch, buf, sizeof(buf));
		if (len > 0)
			mnl_cb_run(buf, len, 0, 0, on_change, n);
		else if (len < 0 && errno == ENOBUFS)
			skip_queued(n);
	}
	if (has_work(n))
		schedule(n, GATHER_MS);
}

/* Once a second: neighbours that must be asked again, and a share of the wants. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct nexthops *n = arg;

	(void)fd;
	(void)what;
	neighbours_tick(&n->neighbours);
	for (n->refresh += n->n_wants; n->refresh >= REFRESH_SECONDS; n->refresh -= REFRESH_SECONDS) {
		struct nexthop_want *w = TAILQ_FIRST(&n->all);

		TAILQ_REMOVE(&n->all, w, in_all);
		TAILQ_INSERT_TAIL(&n->all, w, in_all);
		mark_dirty(w);
	}
	if (has_work(n))
		schedule(n, GATHER_MS);
}

/* ---- the outside ---- */

static int open_watch(struct nexthops *n)
{
	const int size = WATCH_BUFFER;
	int fd;

	n->watch = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!n->watch || mnl_socket_bind(n->watch, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	fd = mnl_socket_get_fd(n->watch);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		log_debug("cannot enlarge the buffer for netlink messages: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (mnl_socket_setsockopt(n->watch, NETLINK_ADD_MEMBERSHIP, (void *)&groups[i], sizeof(groups[i])))
			return -errno;
	return 0;
}

static int start_events(struct nexthops *n, struct event_base *base)
{
	const struct timeval second = { .tv_sec = 1 };

	n->readable = event_new(base, mnl_socket_get_fd(n->watch), EV_READ | EV_PERSIST, on_readable, n);
	n->flush = evtimer_new(base, on_flush, n);
	n->tick = event_new(base, -1, EV_PERSIST, on_tick, n);
	if (!n->readable || !n->flush || !n->tick)
		return -ENOMEM;
	return event_add(n->readable, NULL) || event_add(n->tick, &second) ? -ENOMEM : 0;
}

static void nexthops_freep(struct nexthops **n)
{
	nexthops_free(*n);
}

int nexthops_new(struct event_base *base, struct nexthops **out)
{
	_cleanup_(nexthops_freep) struct nexthops *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	TAILQ_INIT(&n->all);
	TAILQ_INIT(&n->dirty);
	TAILQ_INIT(&n->report);
	neighbours_init(&n->neighbours, &n->ask);
	err = nl_open(&n->ask);
	if (!err)
		err = open_watch(n); /* before the links are listed: no change is missed */
	if (!err)
		err = links_read(&n->links, &n->ask);
	if (!err)
		err = start_events(n, base);
	if (err)
		return err_r(err, "cannot follow routes and neighbours over netlink: %s", strerror(-err));
	*out = TAKE_PTR(n);
	return 0;
}

void nexthops_free(struct nexthops *n)
{
	if (!n)
		return;
	if (n->readable)
		event_free(n->readable);
	if (n->flush)
		event_free(n->flush);
	if (n->tick)
		event_free(n->tick);
	if (n->watch)
		mnl_socket_close(n->watch);
	nl_close(&n->ask);
	links_clear(&n->links);
	free(n);
}

int nexthop_want(struct nexthops *n, const struct addr *address, uint32_t header, nexthop_change_fn changed, void *arg,
		 struct nexthop_want **out)
{
	struct nexthop_want *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->owner = n;
	w->address = *address;
	w->header = header;
	w->changed = changed;
	w->arg = arg;
	w->now.via = *address;
	say(&w->now, "not looked up yet");
	TAILQ_INSERT_TAIL(&n->all, w, in_all);
	n->n_wants++;
	if (n->at_once++ >= AT_ONCE || look_up(w))
		mark_dirty(w);
	schedule(n, 0);
	*out = w;
	return 0;
}

void nexthop_drop(struct nexthop_want *w)
{
	if (!w)
		return;
	unlist(w);
	use_neighbour(w, NULL);
	TAILQ_REMOVE(&w->owner->all, w, in_all);
	w->owner->n_wants--;
	free(w);
}

const struct nexthop *nexthop_get(const struct nexthop_want *w)
{
	return &w->now;
}
