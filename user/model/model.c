/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration as a whole: its words, its defaults, copies, order, and finding services in it. */
#include "model/model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/search.h"
#include "model/copy.h"

const char *const algorithm_names[4] = { "consistent", "round-robin", "random", "least-connections" };
const char *const admin_names[3] = { "enabled", "draining", "disabled" };
const char *const affinity_names[2] = { "flow", "client" };
const char *const where_names[2] = { "edge", "socket" };
const char *const no_backend_names[2] = { "unreachable", "refused" };
const char *const forward_names[5] = { "ipip", "gue", "l2", "nat", "local" };
const char *const state_names[N_STATES] = { "unknown", "healthy", "unhealthy", "ejected", "draining", "disabled" };

static struct config defaults(void)
{
	struct config c = {
		.edge.icmp_rate = 100,
		.backend.second_chance = true,
		.backend.second_chance_rate = 50000,
		.limits = { .services = 4096, .listeners = 16384, .members = 65536, .backends = 65536, .slots = 1 << 21,
			    .flows = 1 << 20, .connections = 1 << 17 },
		.checks_under_way = 256,
	};

	endpoint_parse("127.0.0.1:9650", &c.metrics);
	/* set aside for benchmarks between networks (RFC 2544, RFC 5180): nobody's real addresses */
	prefix_parse("198.18.0.0/16", &c.edge.source4);
	prefix_parse("2001:2::/64", &c.edge.source6);
	return c;
}

struct config *config_new(void)
{
	_cleanup_(config_freep) struct config *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	*c = defaults();
	if (text_copy(&c->control_socket, "/run/shunt/shunt.sock") || text_copy(&c->pins, "/sys/fs/bpf/shunt"))
		return NULL;
	const struct prefix allow[] = { c->edge.source4, c->edge.source6 };
	if (ARRAY_COPY(&c->backend.allow, allow, ARRAY_SIZE(allow)))
		return NULL;
	c->backend.n_allow = ARRAY_SIZE(allow);
	return TAKE_PTR(c);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_services; i++)
		service_clear(&c->services[i]);
	for (size_t i = 0; i < c->n_sources; i++)
		source_clear(&c->sources[i]);
	for (size_t i = 0; i < c->n_announces; i++)
		announce_clear(&c->announces[i]);
	free(c->services);
	free(c->sources);
	free(c->announces);
	free(c->state);
	config_overrides_clear(c);
	free(c->interfaces);
	free(c->control_socket);
	free(c->control_group);
	free(c->pins);
	free(c->backend.allow);
	free(c->cgroup);
	texts_clear(&c->except);
	free(c);
}

static int services_copy(const struct config *from, struct config *to)
{
	to->services = calloc(from->n_services, sizeof(*to->services));
	if (from->n_services && !to->services)
		return -ENOMEM;
	for (; to->n_services < from->n_services; to->n_services++)
		if (service_copy(&from->services[to->n_services], &to->services[to->n_services]))
			return -ENOMEM;
	return 0;
}

static int sources_copy(const struct config *from, struct config *to)
{
	to->sources = calloc(from->n_sources + 1, sizeof(*to->sources));
	to->announces = calloc(from->n_announces + 1, sizeof(*to->announces));
	if (!to->sources || !to->announces)
		return -ENOMEM;
	for (; to->n_sources < from->n_sources; to->n_sources++)
		if (source_copy(&from->sources[to->n_sources], &to->sources[to->n_sources]))
			return -ENOMEM;
	for (; to->n_announces < from->n_announces; to->n_announces++)
		if (announce_copy(&from->announces[to->n_announces], &to->announces[to->n_announces]))
			return -ENOMEM;
	return 0;
}

struct config *config_copy(const struct config *from)
{
	_cleanup_(config_freep) struct config *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	*c = *from;
	c->interfaces = NULL;
	c->control_socket = c->control_group = c->pins = NULL;
	c->cgroup = NULL;
	c->except = (struct texts){};
	c->backend.allow = NULL;
	c->services = NULL;
	c->sources = NULL;
	c->announces = NULL;
	c->state = NULL;
	c->overrides = NULL;
	c->n_overrides = 0;
	c->n_services = c->n_sources = c->n_announces = 0; /* count what is copied so far */
	if (ARRAY_COPY(&c->interfaces, from->interfaces, from->n_interfaces) ||
	    text_copy(&c->control_socket, from->control_socket) ||
	    text_copy(&c->control_group, from->control_group) || text_copy(&c->pins, from->pins) ||
	    text_copy(&c->cgroup, from->cgroup) || text_copy(&c->state, from->state) ||
	    sources_copy(from, c) || config_overrides_copy(from, c) || texts_copy(&c->except, &from->except) ||
	    ARRAY_COPY(&c->backend.allow, from->backend.allow, from->backend.n_allow) || services_copy(from, c))
		return NULL;
	return TAKE_PTR(c);
}

/* ---- order ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct service *)a)->name, ((const struct service *)b)->name);
}

static int by_endpoint(const void *a, const void *b)
{
	return endpoint_compare(&((const struct backend *)a)->at, &((const struct backend *)b)->at);
}

static int by_listen(const void *a, const void *b)
{
	return listen_compare(a, b);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(void *array, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (n > 1)
		qsort(array, n, size, compare);
}

static void sort_texts(struct texts *t)
{
	sort(t->list, t->n, sizeof(*t->list), by_text);
}

void config_normalise(struct config *c)
{
	sort_texts(&c->except);
	for (size_t i = 0; i < c->n_services; i++) {
		struct service *s = &c->services[i];

		sort(s->backends, s->n_backends, sizeof(*s->backends), by_endpoint);
		sort(s->listens, s->n_listens, sizeof(*s->listens), by_listen);
		sort_texts(&s->clients.cgroups);
		sort_texts(&s->clients.namespaces);
	}
	sort(c->services, c->n_services, sizeof(*c->services), by_name);
}

static int compare_name(const void *service, const void *name)
{
	return strcmp(((const struct service *)service)->name, name);
}

/* First service whose name is not below this one. */
static size_t place(const struct config *c, const char *name)
{
	return search_place(name, c->services, c->n_services, sizeof(*c->services), compare_name);
}

static bool is_named(const struct config *c, size_t i, const char *name)
{
	return i < c->n_services && !strcmp(c->services[i].name, name);
}

struct service *config_service(const struct config *c, const char *name)
{
	size_t i = place(c, name);

	return is_named(c, i, name) ? &c->services[i] : NULL;
}

int config_service_add(struct config *c, struct service *s)
{
	size_t i = place(c, s->name);
	struct service *grown;

	if (is_named(c, i, s->name))
		return -EEXIST;
	grown = reallocarray(c->services, c->n_services + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->services = grown;
	memmove(grown + i + 1, grown + i, (c->n_services - i) * sizeof(*grown));
	grown[i] = *s;
	c->n_services++;
	*s = (struct service){};
	return 0;
}

int config_service_delete(struct config *c, const char *name)
{
	size_t i = place(c, name);

	if (!is_named(c, i, name))
		return -ENOENT;
	service_clear(&c->services[i]);
	c->n_services--;
	memmove(c->services + i, c->services + i + 1, (c->n_services - i) * sizeof(*c->services));
	return 0;
}

/* ---- discovery ---- */

const struct source *config_source(const struct config *c, enum source_kind kind, const char *name)
{
	for (size_t i = 0; i < c->n_sources; i++)
		if (c->sources[i].kind == kind && (!name || !strcmp(c->sources[i].name, name)))
			return &c->sources[i];
	return NULL;
}

char *config_state(const struct config *c, char text[STATE_TEXT])
{
	static const char bpffs[] = "/sys/fs/bpf/";
	const char *name = strncmp(c->pins, bpffs, strlen(bpffs)) ? c->pins + 1 : c->pins + strlen(bpffs);

	if (c->state) {
		snprintf(text, STATE_TEXT, "%s", c->state);
		return text;
	}
	snprintf(text, STATE_TEXT, "/var/lib/%s", name);
	for (char *slash = text + strlen("/var/lib/"); *slash; slash++)
		if (*slash == '/')
			*slash = '-';
	return text;
}

int admin_parse(const char *word)
{
	for (size_t i = 0; word && i < ARRAY_SIZE(admin_names); i++)
		if (!strcmp(admin_names[i], word))
			return i;
	return -1;
}
