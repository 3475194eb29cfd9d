/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Backends as the kernel knows them: shared, checked, and followed to their next hop. */
#include <arpa/inet.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "base/log.h"
#include "reconcile/internal.h"

static int compare(const void *a, const void *b)
{
	const struct node *x = a, *y = b;
	int order = endpoint_compare(&x->at, &y->at);

	return order ? order : (int)x->forward - (int)y->forward;
}

bool node_usable(const struct node *n)
{
	return n->health != STATE_UNHEALTHY && n->reachable;
}

bool node_proven(const struct node *n)
{
	return node_usable(n) && (n->health == STATE_HEALTHY || n->check.kind == CHECK_NONE);
}

/* The one store that takes a backend out of every service, or puts it back. */
static void store_flags(struct node *n)
{
	__u32 flags = SHUNT_BACKEND_USED;

	if (n->health != STATE_UNHEALTHY)
		flags |= SHUNT_BACKEND_UP;
	if (n->health != STATE_UNKNOWN)
		flags |= SHUNT_BACKEND_CHECKED;
	if (n->reachable && n->forward != FORWARD_LOCAL)
		flags |= SHUNT_BACKEND_NEXTHOP;
	if (!addr_is4(&n->at.addr))
		flags |= SHUNT_BACKEND_IP6;
	__atomic_store_n(&dp_backends(n->r->dp)[n->id].flags, flags, __ATOMIC_RELEASE);
}

static void users_dirty(struct node *n)
{
	for (size_t i = 0; i < n->n_users; i++)
		live_mark_dirty(n->users[i].service, n->r);
}

static double seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - then->tv_sec + (now.tv_nsec - then->tv_nsec) / 1e9;
}

static void health_changed(void *arg, struct health_target *t, enum state now)
{
	char text[ENDPOINT_TEXT];
	struct node *n = arg;
	struct timespec begin;
	bool first = n->health == STATE_UNKNOWN;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	n->health = now;
	store_flags(n);
	n->r->stats.last_verdict_seconds = seconds_since(&begin);
	n->r->stats.verdicts++;
	users_dirty(n);
	if (now == STATE_UNHEALTHY) {
		struct health_info info;

		dp_end_connections(n->r->dp);
		health_query(t, &info);
		log_warn("backend %s is unhealthy: %s", endpoint_format(&n->at, text), info.last_error);
	} else if (!first) {
		log_info("backend %s is healthy again", endpoint_format(&n->at, text));
	}
}

/* A word of 8 bytes in the entry, of six bytes of MAC and two of something else, replaced at once. */
static void store_mac(__u8 *at, const uint8_t mac[6], uint16_t extra)
{
	__u64 word;

	memcpy(&word, mac, 6);
	memcpy((char *)&word + 6, &extra, 2);
	dp_store((__u64 *)(void *)at, word);
}

/* Bytes of the headers that its tunnel puts before each packet, at most. */
static uint16_t tunnel_length(const struct node *n)
{
	bool v6 = !addr_is4(&n->at.addr);

	return n->forward == FORWARD_GUE ? SHUNT_GUE_LENGTH(v6) : SHUNT_IPIP_LENGTH(v6);
}

static uint16_t room_in_tunnel(const struct node *n, uint16_t mtu)
{
	uint16_t outer = tunnel_length(n);

	return mtu > outer ? mtu - outer : 0;
}

static void nexthop_changed(void *arg, const struct nexthop *now)
{
	struct node *n = arg;
	struct shunt_backend *b = &dp_backends(n->r->dp)[n->id];
	char text[ENDPOINT_TEXT];
	bool was = n->reachable;

	if (now->usable) {
		store_mac(b->dmac, now->dmac, htons(now->vlan));
		store_mac(b->smac, now->smac, room_in_tunnel(n, now->mtu));
		__atomic_store_n(&b->ifindex, now->ifindex, __ATOMIC_RELEASE);
	}
	n->reachable = now->usable;
	store_flags(n);
	if (was == now->usable)
		return;
	users_dirty(n);
	if (!now->usable)
		log_warn("backend %s cannot be reached: %s", endpoint_format(&n->at, text), now->problem);
}

static int start(struct node *n, enum state initial)
{
	char text[ENDPOINT_TEXT];
	struct endpoint at = { n->at.addr, n->check.port };
	const struct nexthop *hop;
	int err;

	n->health = n->check.kind == CHECK_NONE ? STATE_UNKNOWN : initial;
	if (n->check.kind != CHECK_NONE) {
		err = health_add(n->r->health, &at, &n->check, initial, health_changed, n, &n->target);
		if (err)
			return err_r(err, "cannot check backend %s: %s", endpoint_format(&n->at, text), strerror(-err));
	}
	if (n->forward == FORWARD_LOCAL) {
		n->reachable = true;
	} else if (!n->want) {
		err = nexthop_want(n->r->nexthops, &n->at.addr, tunnel_length(n), nexthop_changed, n, &n->want);
		if (err)
			return err_r(err, "cannot follow the route to backend %s: %s", endpoint_format(&n->at, text),
				     strerror(-err));
		hop = nexthop_get(n->want);
		if (hop->usable)
			nexthop_changed(n, hop);
	}
	store_flags(n);
	return 0;
}

static void stop(struct node *n)
{
	if (n->target)
		health_remove(n->target);
	if (n->want)
		nexthop_drop(n->want);
	n->target = NULL;
	n->want = NULL;
}

/* The check of a service for one backend: with its port, and none for what cannot be connected to. */
static struct check resolved_check(const struct service *s, const struct endpoint *at)
{
	struct check c = s->check;

	if (!c.port)
		c.port = at->port;
	for (size_t i = 0; !c.port && i < s->n_listens; i++)
		c.port = s->listens[i].port;
	if (!c.port)
		c.kind = CHECK_NONE;
	if (c.kind == CHECK_NONE)
		c = (struct check){ .kind = CHECK_NONE };
	return c;
}

static int copy_check(struct check *to, const struct check *from)
{
	*to = *from;
	to->path = from->path ? strdup(from->path) : NULL;
	to->host = from->host ? strdup(from->host) : NULL;
	return (from->path && !to->path) || (from->host && !to->host) ? -ENOMEM : 0;
}

static int link_in(struct node *n)
{
	struct node **head = tsearch(n, &n->r->nodes, compare);

	if (!head)
		return -ENOMEM;
	if (*head != n) {
		n->twin = (*head)->twin;
		(*head)->twin = n;
	}
	n->r->node_by_id[n->id] = n;
	return 0;
}

static void link_out(struct node *n)
{
	struct node **head = tfind(n, &n->r->nodes, compare);

	n->r->node_by_id[n->id] = NULL;
	if (!head)
		return;
	if (*head == n) {
		struct node *twin = n->twin;

		tdelete(n, &n->r->nodes, compare);
		if (twin) /* tsearch finds no equal, so the twin becomes the head with its own chain */
			tsearch(twin, &n->r->nodes, compare);
		return;
	}
	for (struct node *at = *head; at; at = at->twin)
		if (at->twin == n) {
			at->twin = n->twin;
			return;
		}
}

void node_forget(struct node *n)
{
	stop(n);
	link_out(n);
	free(n->check.path);
	free(n->check.host);
	free(n->users);
	free(n);
}

static struct node *find(struct reconcile *r, const struct endpoint *at, enum forward forward, const struct check *c)
{
	struct node key = { .at = *at, .forward = forward };
	struct node **head = tfind(&key, &r->nodes, compare);

	for (struct node *n = head ? *head : NULL; n; n = n->twin)
		if (!n->adopted && check_equal(&n->check, c))
			return n;
	return NULL;
}

static void write_entry(const struct node *n)
{
	struct shunt_backend *b = &dp_backends(n->r->dp)[n->id];

	memset(b, 0, sizeof(*b));
	memcpy(&b->address, n->at.addr.b, sizeof(b->address));
	b->port = htons(n->at.port);
	b->forward = n->forward == FORWARD_LOCAL ? SHUNT_FORWARD_NONE :
		     n->forward == FORWARD_GUE	 ? SHUNT_FORWARD_GUE :
						   SHUNT_FORWARD_IPIP;
}

/* A node that takes the place of another with the same address can be reached as that one can. */
static void inherit_nexthop(struct node *n, const struct node *from)
{
	const struct shunt_backend *old = &dp_backends(n->r->dp)[from->id];
	struct shunt_backend *b = &dp_backends(n->r->dp)[n->id];

	memcpy(b->dmac, old->dmac, 6);
	memcpy(b->smac, old->smac, 6);
	b->vlan = old->vlan;
	b->room = room_in_tunnel(n, old->room + tunnel_length(from));
	b->ifindex = old->ifindex;
	n->reachable = from->reachable;
}

/* The entry in the kernel is free again. */
static void give_back(struct node *n)
{
	struct reconcile *r = n->r;
	uint32_t id = n->id;

	node_forget(n);
	memset(&dp_backends(r->dp)[id], 0, sizeof(struct shunt_backend));
	space_release(&r->backend_ids, id, 1);
}

/* like: the node that the member had until now, with another check; NULL: none */
static int create(struct reconcile *r, const struct endpoint *at, enum forward forward, const struct check *c,
		  const struct node *like, struct node **out)
{
	struct node *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	*n = (struct node){ .r = r, .at = *at, .forward = forward };
	if (space_take(&r->backend_ids, 1, &n->id)) {
		free(n);
		return err_r(-ENOSPC, "more backends than limits.backends (%u): raise it", r->backend_ids.size);
	}
	write_entry(n);
	if (like)
		inherit_nexthop(n, like);
	err = link_in(n);
	if (!err)
		err = copy_check(&n->check, c);
	if (!err)
		err = start(n, like ? like->health : STATE_UNKNOWN);
	if (err)
		give_back(n);
	else
		*out = n;
	return err;
}

/* What an earlier daemon left gets the check of the first service that has it. */
static int claim(struct node *n, const struct check *c)
{
	int err = copy_check(&n->check, c);

	n->adopted = false;
	return err ? err : start(n, n->health);
}

int node_get(struct reconcile *r, const struct service *s, enum forward forward, const struct endpoint *at,
	     struct node *hint, struct node **out)
{
	struct check c = resolved_check(s, at);
	struct node *n = NULL;
	int err = 0;

	if (hint && hint->forward == forward && (hint->adopted || check_equal(&hint->check, &c)))
		n = hint;
	if (!n)
		n = find(r, at, forward, &c);
	if (!n)
		err = create(r, at, forward, &c, hint, &n);
	else if (n->adopted)
		err = claim(n, &c);
	if (err)
		return err;
	err = node_hold(n);
	if (!err)
		*out = n;
	else if (!n->refs)
		give_back(n);
	return err;
}

int node_hold(struct node *n)
{
	size_t room = n->room_users ? 2 * n->room_users : 4;
	struct user *more;

	if (n->refs == n->room_users) {
		more = realloc(n->users, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		n->users = more;
		n->room_users = room;
	}
	n->refs++;
	return 0;
}

void node_put(struct node *n)
{
	if (!--n->refs)
		give_back(n);
}

void node_use(struct node *n, struct live *service, uint32_t place)
{
	n->users[n->n_users++] = (struct user){ service, place };
}

void node_unuse(struct node *n, const struct live *service, uint32_t place)
{
	for (size_t i = 0; i < n->n_users; i++)
		if (n->users[i].service == service && n->users[i].place == place) {
			n->users[i] = n->users[--n->n_users];
			return;
		}
}

int node_adopt(struct reconcile *r, uint32_t id, struct node **out)
{
	const struct shunt_backend *b = &dp_backends(r->dp)[id];
	struct node *n;
	int err;

	if (r->node_by_id[id]) {
		*out = r->node_by_id[id];
		return 0;
	}
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct node){ .r = r, .id = id, .adopted = true };
	memcpy(n->at.addr.b, &b->address, sizeof(n->at.addr.b));
	n->at.port = ntohs(b->port);
	n->forward = b->forward == SHUNT_FORWARD_NONE ? FORWARD_LOCAL :
		     b->forward == SHUNT_FORWARD_GUE  ? FORWARD_GUE :
							FORWARD_IPIP;
	n->reachable = b->flags & SHUNT_BACKEND_NEXTHOP || n->forward == FORWARD_LOCAL;
	if (b->flags & SHUNT_BACKEND_CHECKED)
		n->health = b->flags & SHUNT_BACKEND_UP ? STATE_HEALTHY : STATE_UNHEALTHY;
	err = space_claim(&r->backend_ids, id, 1);
	if (!err)
		err = link_in(n);
	if (err) {
		free(n);
		return err;
	}
	*out = n;
	return 0;
}
