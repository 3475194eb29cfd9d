/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Services that contain themselves: a backend of one is where another (or the same) listens, and so on back to the
 * first. A walk in depth over the services, once for each protocol; every backend that closes a circle is a fault.
 * Only services that take packets lead on: a local connection is given its backend once, and a local server is the end
 * of the way.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "model/validate.h"

enum { ON_TCP = 1, ON_UDP = 2 };

static unsigned bit_of(uint8_t proto)
{
	return proto == IPPROTO_UDP ? ON_UDP : ON_TCP;
}

/* A backend of `from` is where `to` listens. */
struct edge {
	uint32_t from, to;
	const struct backend *backend;
	unsigned protos; /* ON_*: with which packets */
};

struct graph {
	struct edge *edges; /* in the order of from */
	size_t n, room;
	size_t *first; /* [n_services + 1] of a service's edges */
};

static void graph_clear(struct graph *g)
{
	free(g->edges);
	free(g->first);
}

static int add_edge(struct graph *g, uint32_t from, uint32_t to, const struct backend *b, uint8_t proto)
{
	struct edge *last = g->n ? &g->edges[g->n - 1] : NULL;

	if (last && last->from == from && last->to == to && last->backend == b) {
		last->protos |= bit_of(proto);
		return 0;
	}
	if (g->n == g->room) {
		size_t room = g->room ? 2 * g->room : 16;
		struct edge *grown = reallocarray(g->edges, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		g->edges = grown;
		g->room = room;
	}
	g->edges[g->n++] = (struct edge){ from, to, b, bit_of(proto) };
	return 0;
}

/* Packets for every port of an address reach whoever listens there at all. */
static int add_all_at(struct graph *g, const struct listeners *all, size_t first, uint32_t from,
		      const struct backend *b, uint8_t proto)
{
	for (size_t i = first; i < all->n && !addr_compare(&all->list[i].at->addr, &b->at.addr); i++)
		if (all->list[i].at->proto == proto && add_edge(g, from, all->list[i].service, b, proto))
			return -ENOMEM;
	return 0;
}

/* Where do packets go that this listen takes and that this backend gets? first: what listens at the backend's address. */
static int add_backend(struct graph *g, const struct listeners *all, size_t first, uint32_t from,
		       const struct listen *l, const struct backend *b)
{
	uint16_t port = b->at.port ?: l->port;
	const struct listener *there;

	if (!port)
		return add_all_at(g, all, first, from, b, l->proto);
	there = listeners_find(all, &b->at.addr, port, l->proto);
	return there ? add_edge(g, from, there->service, b, l->proto) : 0;
}

static int add_service(struct graph *g, const struct config *c, const struct listeners *all, uint32_t from)
{
	const struct service *s = &c->services[from];

	if (!takes_packets(c, s))
		return 0;
	for (size_t i = 0; i < s->n_backends; i++) {
		size_t first = listeners_at(all, &s->backends[i].at.addr);

		if (first == all->n)
			continue; /* a server like nearly all of them */
		for (size_t k = 0; k < s->n_listens; k++)
			if (add_backend(g, all, first, from, &s->listens[k], &s->backends[i]))
				return -ENOMEM;
	}
	return 0;
}

static int graph_build(struct graph *g, const struct config *c, const struct listeners *all)
{
	g->first = calloc(c->n_services + 1, sizeof(*g->first));
	if (!g->first)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_services; i++) {
		g->first[i] = g->n;
		if (add_service(g, c, all, i))
			return -ENOMEM;
	}
	g->first[c->n_services] = g->n;
	return 0;
}

/* ---- the walk ---- */

struct walk {
	const struct config *c;
	struct graph *g;
	struct faults *f;
	uint32_t *path; /* services from where the walk began to where it is */
	size_t depth;
	size_t *next; /* [n_services] edge to look at next; where it began is g->first */
	enum { NEW, ON_PATH, DONE } *seen; /* [n_services] */
};

static void walk_clear(struct walk *w)
{
	free(w->path);
	free(w->next);
	free(w->seen);
}

static int walk_new(struct walk *w, const struct config *c, struct graph *g, struct faults *f)
{
	*w = (struct walk){ .c = c, .g = g, .f = f };
	w->path = calloc(c->n_services + 1, sizeof(*w->path));
	w->next = calloc(c->n_services + 1, sizeof(*w->next));
	w->seen = calloc(c->n_services + 1, sizeof(*w->seen));
	return w->path && w->next && w->seen ? 0 : -ENOMEM;
}

/* "web -> api -> web"; a long one is cut. */
static void circle_format(const struct walk *w, uint32_t again, char *text, size_t size)
{
	size_t i = w->depth, used = 0;

	while (w->path[i - 1] != again)
		i--;
	for (i--; i < w->depth && size - used > 2 * SERVICE_NAME_MAX + 16; i++)
		used += snprintf(text + used, size - used, "%.*s -> ", SERVICE_NAME_MAX,
				 name_of(&w->c->services[w->path[i]]));
	snprintf(text + used, size - used, "%s%.*s", i < w->depth ? "... -> " : "", SERVICE_NAME_MAX,
		 name_of(&w->c->services[again]));
}

static void report_circle(struct walk *w, struct edge *e)
{
	const struct service *s = &w->c->services[e->from];
	char at[ENDPOINT_TEXT], circle[384];

	endpoint_format(&e->backend->at, at);
	if (e->from == e->to) {
		fault(w->f, s, e->backend, "backend %s is where the service itself listens, so that it contains itself; give "
		      "the address of a server", at);
	} else {
		circle_format(w, e->to, circle, sizeof(circle));
		fault(w->f, s, e->backend, "backend %s closes a circle of services (%s); give the address of a server",
		      at, circle);
	}
	e->protos = 0; /* said once */
}

static void enter(struct walk *w, uint32_t service)
{
	w->seen[service] = ON_PATH;
	w->next[service] = w->g->first[service];
	w->path[w->depth++] = service;
}

static void walk_from(struct walk *w, uint32_t start, unsigned proto)
{
	enter(w, start);
	while (w->depth) {
		uint32_t here = w->path[w->depth - 1];
		struct edge *e = &w->g->edges[w->next[here]++];

		if (e == &w->g->edges[w->g->first[here + 1]]) {
			w->seen[here] = DONE;
			w->depth--;
		} else if (!(e->protos & proto)) {
			continue;
		} else if (w->seen[e->to] == NEW) {
			enter(w, e->to);
		} else if (w->seen[e->to] == ON_PATH) {
			report_circle(w, e);
		}
	}
}

void validate_circles(const struct config *c, const struct listeners *all, struct faults *f)
{
	_cleanup_(graph_clear) struct graph g = {};
	_cleanup_(walk_clear) struct walk w = {};

	if (graph_build(&g, c, all) || walk_new(&w, c, &g, f)) {
		fault(f, NULL, NULL, "out of memory while looking for circles; free some");
		return;
	}
	for (unsigned proto = ON_TCP; g.n && proto <= ON_UDP; proto++) {
		memset(w.seen, 0, c->n_services * sizeof(*w.seen));
		for (uint32_t i = 0; i < c->n_services; i++)
			if (w.seen[i] == NEW)
				walk_from(&w, i, proto);
	}
}
