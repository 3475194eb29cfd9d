/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Looking at the connections of local processes that were given a backend, in every network namespace. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/parse.h"
#include "api/render.h"
#include "base/clean.h"

#define CONNECTIONS_DEFAULT 1000
#define CONNECTIONS_MOST 16384 /* the loop waits while they are written: some 100 ms, and as much to count 50,000 */

/* Which connections are asked for, and what was found. */
struct search {
	const char *service; /* NULL: every one */
	bool one_backend;
	struct endpoint backend; /* port 0: every port */
	struct reconcile_region *regions;
	size_t n_regions;
	uint64_t limit, total; /* total: the connections beyond the limit included */
	json_t *list;
};

static void search_clear(struct search *s)
{
	free(s->regions);
}

static int compare_region(const void *member, const void *region)
{
	const struct reconcile_region *r = region;
	uint32_t m = *(const uint32_t *)member;

	return m < r->first ? -1 : m >= r->first + r->n;
}

/* Whose the member is; NULL: nobody's any more. */
static const char *service_of(const struct search *s, uint32_t member)
{
	const struct reconcile_region *r =
		bsearch(&member, s->regions, s->n_regions, sizeof(*s->regions), compare_region);

	return r ? r->service : NULL;
}

static bool is_with(const struct shunt_connection *c, const struct endpoint *backend)
{
	return !memcmp(&c->given, backend->addr.b, sizeof(c->given)) &&
	       (!backend->port || c->given_port == htons(backend->port));
}

static void take(void *arg, const struct shunt_connection *c)
{
	struct search *s = arg;
	const char *service = service_of(s, c->member);

	if (s->service && (!service || strcmp(service, s->service)))
		return;
	if (s->one_backend && !is_with(c, &s->backend))
		return;
	if (s->total++ < s->limit)
		json_array_append_new(s->list, render_connection(c, service));
}

static int read_query(struct call *c, struct search *s)
{
	const char *backend = call_query(c, "backend");
	char error[PARSE_ERROR];

	s->service = call_query(c, "service");
	s->one_backend = backend;
	if (s->service && !config_service(api_running(c->api), s->service))
		return call_error(c, 404, "there is no service %s", s->service);
	if (backend && parse_address(backend, &s->backend, error))
		return call_error(c, 400, "%s", error);
	return call_limit(c, CONNECTIONS_DEFAULT, CONNECTIONS_MOST, &s->limit);
}

int get_connections(struct call *c)
{
	_cleanup_(search_clear) struct search s = {};
	int status = read_query(c, &s), err;

	if (status)
		return status;
	err = reconcile_regions(c->api->x->reconcile, &s.regions, &s.n_regions);
	if (err)
		return call_error(c, 500, "out of memory");
	s.list = json_array();
	err = dp_connections_each(c->api->x->dp, take, &s);
	if (!err)
		return call_ok(c, json_pack("{s:o, s:I}", "connections", s.list, "total", (json_int_t)s.total));
	json_decref(s.list);
	return call_error(c, 500, "connections cannot be listed: %s", strerror(-err));
}
