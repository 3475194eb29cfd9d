/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Looking into the flow cache: the flows that are noted, and where one flow is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/parse.h"
#include "api/render.h"
#include "base/clean.h"

#define FLOWS_DEFAULT 1000
#define FLOWS_MOST 65536 /* the loop waits while they are written: some 50 ms */

/* ---- list ---- */

/* Which flows are asked for, and what was found. */
struct search {
	const char *service; /* NULL: every one */
	bool one_backend, one_state;
	struct endpoint backend;
	uint32_t state;
	uint64_t limit, total; /* total: the flows beyond the limit included */
	json_t *list;
};

static void take(void *arg, const struct reconcile_flow *f)
{
	struct search *s = arg;

	if (s->one_backend && endpoint_compare(&f->backend, &s->backend))
		return;
	if (s->one_state && f->state != s->state)
		return;
	if (s->total++ < s->limit)
		json_array_append_new(s->list, render_flow(f));
}

static bool has_backend(const struct config *c, const char *service, const struct endpoint *at)
{
	for (size_t i = 0; i < c->n_services; i++)
		if ((!service || !strcmp(service, c->services[i].name)) && service_backend(&c->services[i], at))
			return true;
	return false;
}

static int read_service(struct call *c, struct search *s)
{
	s->service = call_query(c, "service");
	if (s->service && !config_service(api_running(c->api), s->service))
		return call_error(c, 404, "there is no service %s", s->service);
	return 0;
}

static int read_backend(struct call *c, struct search *s)
{
	const char *text = call_query(c, "backend");
	char error[PARSE_ERROR];

	s->one_backend = text;
	if (!text)
		return 0;
	if (parse_address(text, &s->backend, error))
		return call_error(c, 400, "%s", error);
	if (has_backend(api_running(c->api), s->service, &s->backend))
		return 0;
	return s->service ? call_error(c, 404, "service %s has no backend %s", s->service, text) :
			    call_error(c, 404, "no service has a backend %s", text);
}

static int read_state(struct call *c, struct search *s)
{
	const char *text = call_query(c, "state");

	s->one_state = text;
	for (s->state = 0; text && s->state < ARRAY_SIZE(flow_state_words); s->state++)
		if (!strcmp(text, flow_state_words[s->state]))
			return 0;
	return text ? call_error(c, 400, "state \"%.32s\": write new, open, closing or udp", text) : 0;
}

int get_flows(struct call *c)
{
	struct search s = {};
	int status = read_service(c, &s), room;

	if (!status)
		status = read_backend(c, &s);
	if (!status)
		status = read_state(c, &s);
	if (!status)
		status = call_limit(c, FLOWS_DEFAULT, FLOWS_MOST, &s.limit);
	if (status)
		return status;
	s.list = json_array();
	room = reconcile_flows_each(c->api->x->reconcile, s.service, take, &s);
	return call_ok(c, json_pack("{s:o, s:I, s:I}", "flows", s.list, "total", (json_int_t)s.total, "max_flows",
				    (json_int_t)(room < 0 ? 0 : room)));
}

/* ---- one flow: /v1/flows/SOURCE/DESTINATION/PROTOCOL ---- */

int get_flow(struct call *c)
{
	const char *from = c->parts[2], *to = c->parts[3], *protocol = c->parts[4];
	struct reconcile_flow_place place;
	char text[LISTEN_TEXT];
	struct endpoint client;
	struct listen listen;

	if (endpoint_parse(from, &client) || !client.port)
		return call_error(c, 400, "source \"%.80s\": write ADDRESS:PORT, such as 203.0.113.5:4711", from);
	if (snprintf(text, sizeof(text), "%s/%s", to, protocol) >= (int)sizeof(text) || listen_parse(text, &listen) ||
	    !listen.port)
		return call_error(c, 400, "destination \"%.80s\", \"%.32s\": write ADDRESS:PORT, such as 192.0.2.10:80, "
				  "and tcp or udp", to, protocol);
	if (addr_is4(&client.addr) != addr_is4(&listen.addr))
		return call_error(c, 400, "source and destination are one IPv4 and one IPv6 address; "
				  "write two of one family");
	if (reconcile_flow_of(c->api->x->reconcile, &client, &listen, &place))
		return call_error(c, 404, "no service listens on %s", text);
	return call_ok(c, render_flow_place(&place));
}
