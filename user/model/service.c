/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One service and its backends: comparing, copying, freeing; finding, adding and deleting backends by endpoint. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/search.h"
#include "model/copy.h"
#include "model/model.h"

struct tracking tracking_default(void)
{
	return (struct tracking){ .transition_ms = 300 * 1000,
				  .drain_ms = 3600 * 1000,
				  .tcp_ms = 3600 * 1000,
				  .udp_ms = 120 * 1000,
				  .closing_ms = 30 * 1000,
				  .flows = 65536 };
}

void tracking_fit(struct tracking *t, const struct limits *l)
{
	if (t->flows > l->flows)
		t->flows = l->flows;
}

struct service service_default(void)
{
	return (struct service){ .tracking = tracking_default(), .at = AT_EDGE | AT_SOCKET };
}

struct check check_default(enum check_kind kind)
{
	if (kind == CHECK_NONE)
		return (struct check){ .kind = CHECK_NONE };
	return (struct check){ .kind = kind,
			       .interval_ms = 2000,
			       .timeout_ms = 1000,
			       .fall = 3,
			       .rise = 2,
			       .status_min = kind == CHECK_HTTP ? 200 : 0,
			       .status_max = kind == CHECK_HTTP ? 399 : 0 };
}

bool check_equal(const struct check *a, const struct check *b)
{
	return a->kind == b->kind && a->port == b->port && same_text(a->path, b->path) && same_text(a->host, b->host) &&
	       a->status_min == b->status_min && a->status_max == b->status_max && a->interval_ms == b->interval_ms &&
	       a->timeout_ms == b->timeout_ms && a->fall == b->fall && a->rise == b->rise;
}

void service_clear(struct service *s)
{
	free(s->name);
	free(s->listens);
	free(s->check.path);
	free(s->check.host);
	texts_clear(&s->clients.cgroups);
	texts_clear(&s->clients.namespaces);
	free(s->backends);
	for (size_t i = 0; i < s->n_discovers; i++)
		discover_clear(&s->discovers[i]);
	free(s->discovers);
	free(s->offered_by);
	*s = (struct service){};
}

static int discovers_copy(const struct service *from, struct service *to)
{
	to->discovers = from->n_discovers ? calloc(from->n_discovers, sizeof(*to->discovers)) : NULL;
	if (from->n_discovers && !to->discovers)
		return -ENOMEM;
	for (; to->n_discovers < from->n_discovers; to->n_discovers++)
		if (discover_copy(&from->discovers[to->n_discovers], &to->discovers[to->n_discovers]))
			return -ENOMEM;
	return 0;
}

int service_copy(const struct service *from, struct service *to)
{
	_cleanup_(service_clear) struct service s = *from;

	s.name = s.check.path = s.check.host = NULL;
	s.listens = NULL;
	s.backends = NULL;
	s.discovers = NULL;
	s.n_discovers = 0; /* counts what is copied so far */
	s.offered_by = NULL;
	s.clients.cgroups = s.clients.namespaces = (struct texts){};
	if (text_copy(&s.name, from->name) || text_copy(&s.check.path, from->check.path) ||
	    text_copy(&s.check.host, from->check.host) || ARRAY_COPY(&s.listens, from->listens, from->n_listens) ||
	    ARRAY_COPY(&s.backends, from->backends, from->n_backends) || discovers_copy(from, &s) ||
	    text_copy(&s.offered_by, from->offered_by) ||
	    texts_copy(&s.clients.cgroups, &from->clients.cgroups) ||
	    texts_copy(&s.clients.namespaces, &from->clients.namespaces))
		return -ENOMEM;
	*to = s;
	s = (struct service){};
	return 0;
}

static bool has_role(const struct config *c, enum role role)
{
	for (size_t i = 0; i < c->n_interfaces; i++)
		if (c->interfaces[i].roles & role)
			return true;
	return false;
}

/* On a backend's host a service without backends names addresses of the host's own: connections stay with it. */
unsigned service_is_at(const struct config *c, const struct service *s)
{
	bool edge = has_role(c, ROLE_EDGE) || !c->cgroup;
	bool socket = c->cgroup && (s->n_backends || s->n_discovers || !has_role(c, ROLE_BACKEND));

	if (s->forward == FORWARD_LOCAL)
		return AT_EDGE;
	return s->at & ((edge ? AT_EDGE : 0) | (socket ? AT_SOCKET : 0));
}

static int compare_at(const void *backend, const void *at)
{
	return endpoint_compare(&((const struct backend *)backend)->at, at);
}

/* First backend that is not below `at`. */
static size_t place(const struct service *s, const struct endpoint *at)
{
	return search_place(at, s->backends, s->n_backends, sizeof(*s->backends), compare_at);
}

static bool is_at(const struct service *s, size_t i, const struct endpoint *at)
{
	return i < s->n_backends && !endpoint_compare(&s->backends[i].at, at);
}

struct backend *service_backend(const struct service *s, const struct endpoint *at)
{
	size_t i = place(s, at);

	return is_at(s, i, at) ? &s->backends[i] : NULL;
}

int service_backend_add(struct service *s, const struct backend *b)
{
	size_t i = place(s, &b->at);
	struct backend *grown;

	if (is_at(s, i, &b->at))
		return -EEXIST;
	grown = reallocarray(s->backends, s->n_backends + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->backends = grown;
	memmove(grown + i + 1, grown + i, (s->n_backends - i) * sizeof(*grown));
	grown[i] = *b;
	s->n_backends++;
	return 0;
}

int service_backend_delete(struct service *s, const struct endpoint *at)
{
	size_t i = place(s, at);

	if (!is_at(s, i, at))
		return -ENOENT;
	s->n_backends--;
	memmove(s->backends + i, s->backends + i + 1, (s->n_backends - i) * sizeof(*s->backends));
	return 0;
}
