/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/render.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/steps.h"
#include "base/clean.h"

#define X(name, word, text) word,
const char *const verdict_words[SHUNT_N_VERDICTS] = { SHUNT_VERDICTS(X) };
const char *const reason_words[SHUNT_N_REASONS] = { SHUNT_REASONS(X) };
#undef X
#define X(name, word, text) text,
const char *const reason_texts[SHUNT_N_REASONS] = { SHUNT_REASONS(X) };
#undef X

const char *const flow_state_words[4] = {
	[SHUNT_FLOW_NEW] = "new",
	[SHUNT_FLOW_OPEN] = "open",
	[SHUNT_FLOW_CLOSING] = "closing",
	[SHUNT_FLOW_UDP] = "udp",
};
const char *const slot_phase_words[N_SLOT_PHASES] = {
	[SLOT_STEADY] = "steady",
	[SLOT_OBSERVING] = "observing",
	[SLOT_LINGERING] = "lingering",
};

double backend_share(const struct reconcile_service *s, const struct reconcile_backend *b)
{
	return s->n_slots ? (double)b->slots / s->n_slots : 0;
}

json_t *json_text(const char *text)
{
	json_t *o = json_string(text);
	char *copy;

	if (o || !(copy = strdup(text)))
		return o;
	for (char *p = copy; *p; p++)
		if (*p & 0x80)
			*p = '?';
	o = json_string(copy);
	free(copy);
	return o;
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

/* ---- checks ---- */

static const char *check_kind_word(enum check_kind kind)
{
	return kind == CHECK_TCP ? "tcp" : kind == CHECK_HTTP ? "http" : "none";
}

static json_t *render_check(const struct check *c)
{
	json_t *o = json_pack("{s:s}", "kind", check_kind_word(c->kind));

	if (!o || c->kind == CHECK_NONE)
		return o;
	json_object_set_new(o, "interval_ms", json_integer(c->interval_ms));
	json_object_set_new(o, "timeout_ms", json_integer(c->timeout_ms));
	json_object_set_new(o, "fall", json_integer(c->fall));
	json_object_set_new(o, "rise", json_integer(c->rise));
	if (c->port)
		json_object_set_new(o, "port", json_integer(c->port));
	if (c->kind == CHECK_TCP)
		return o;
	json_object_set_new(o, "path", text_or_null(c->path));
	json_object_set_new(o, "host", text_or_null(c->host));
	json_object_set_new(o, "status_min", json_integer(c->status_min));
	json_object_set_new(o, "status_max", json_integer(c->status_max));
	return o;
}

static json_t *render_tracking(const struct tracking *t)
{
	return json_pack("{s:I, s:I, s:{s:I, s:I, s:I}, s:I}", "transition_ms", (json_int_t)t->transition_ms, "drain_ms",
			 (json_int_t)t->drain_ms, "flow_timeout", "tcp_ms", (json_int_t)t->tcp_ms, "udp_ms",
			 (json_int_t)t->udp_ms, "closing_ms", (json_int_t)t->closing_ms, "flows", (json_int_t)t->flows);
}

static json_t *render_health(const struct health_info *h)
{
	return json_pack("{s:I, s:I, s:f, s:s, s:I, s:i}", "checks", (json_int_t)h->checks, "failures",
			 (json_int_t)h->failures, "last_seconds", h->last_seconds, "last_error", h->last_error,
			 "since_ms", (json_int_t)h->since_ms, "streak", (int)h->streak);
}

/* ---- next hops ---- */

static json_t *mac_text(const uint8_t mac[6])
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static json_t *interface_text(uint32_t ifindex)
{
	char name[IFNAMSIZ];

	return if_indextoname(ifindex, name) ? json_string(name) : json_sprintf("#%u", ifindex);
}

static json_t *render_nexthop(const struct nexthop *n)
{
	char via[ADDR_TEXT];

	if (!n) /* this host's own stack finds the way */
		return json_null();
	if (!n->usable)
		return json_pack("{s:b, s:s}", "usable", 0, "problem", n->problem);
	return json_pack("{s:b, s:o, s:o, s:s, s:i, s:i, s:s}", "usable", 1, "interface", interface_text(n->ifindex),
			 "mac", mac_text(n->dmac), "via", addr_format(&n->via, via), "mtu", n->mtu, "vlan",
			 n->vlan & 0xfff, "problem", n->problem);
}

/* ---- services and backends ---- */

static json_t *render_server_id(const struct server_id *id)
{
	char text[SERVER_ID_TEXT];

	return id->length ? json_string(server_id_format(id, text)) : json_null();
}

/* Where this host balances it. */
static json_t *render_at(unsigned at)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(where_names); i++)
		if (at & 1u << i)
			json_array_append_new(list, json_string(where_names[i]));
	return list;
}

static bool is_in(const struct config *file, const char *service, const struct endpoint *at)
{
	const struct service *s = config_service(file, service);

	return s && service_backend(s, at);
}

/* Who says that it is there: "" for the file, "command", or the question to which a source answers it. */
static json_t *render_from(const struct config *file, const struct service *conf, const struct backend *b)
{
	char what[DISCOVER_TEXT];

	if (!b || !b->from)
		return json_string(!b || !file || is_in(file, conf->name, &b->at) ? "" : "command");
	if (b->from > conf->n_discovers)
		return json_string("found before");
	return json_text(discover_format(&conf->discovers[b->from - 1], what));
}

json_t *render_backend(const struct config *file, const struct reconcile_service *s, const struct reconcile_backend *b)
{
	const struct backend *conf = service_backend(s->conf, &b->at);
	char at[ENDPOINT_TEXT];

	return json_pack("{s:s, s:s, s:o, s:b, s:i, s:o, s:s, s:f, s:i, s:I, s:I, s:o, s:I, s:I, s:o, s:o}", "service",
			 s->conf->name, "address", endpoint_format(&b->at, at), "from", render_from(file, s->conf, conf),
			 "overridden", conf && conf->overridden, "weight", (int)b->weight, "server_id",
			 render_server_id(&b->server_id), "state", state_names[b->state], "share", backend_share(s, b),
			 "slots", (int)b->slots, "packets", (json_int_t)b->packets, "bytes", (json_int_t)b->bytes, "at",
			 render_at(s->at), "connections", (json_int_t)b->connections, "connects",
			 (json_int_t)b->connects, "check", render_health(&b->health), "nexthop",
			 render_nexthop(b->nexthop));
}

static json_t *render_quic(const struct quic *q)
{
	if (!q->server_id)
		return json_null();
	return json_pack("{s:i, s:i}", "config", (int)q->config, "server_id", (int)q->server_id);
}

static json_t *render_listens(const struct service *conf)
{
	json_t *list = json_array();
	char text[LISTEN_TEXT];

	for (size_t i = 0; i < conf->n_listens; i++)
		json_array_append_new(list, json_string(listen_format(&conf->listens[i], text)));
	return list;
}

static json_t *render_texts(const struct texts *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n; i++)
		json_array_append_new(list, json_text(t->list[i]));
	return list;
}

/* Where it is balanced, for which processes, and what local connections came to. */
static void render_where(const struct reconcile_service *s, json_t *o)
{
	json_object_set_new(o, "at", render_at(s->at));
	json_object_set_new(o, "no_backend", json_string(no_backend_names[s->conf->refuses]));
	json_object_set_new(o, "clients",
			    json_pack("{s:o, s:o}", "cgroups", render_texts(&s->conf->clients.cgroups), "namespaces",
				      render_texts(&s->conf->clients.namespaces)));
	json_object_set_new(o, "connections", json_integer(s->connections));
	json_object_set_new(o, "refused", json_integer(s->refused));
}

/* What became of flows in transitions; the names of the metrics. now: noted at this moment, max: at most. */
static json_t *render_flows(const struct reconcile_service *s)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "now", (json_int_t)s->flows, "max", (json_int_t)s->max_flows,
			 "noted", (json_int_t)s->flows_noted, "evicted", (json_int_t)s->flows_evicted, "let_go",
			 (json_int_t)s->let_go, "uncached", (json_int_t)s->uncached);
}

/* What it discovers, and the source that offers it ("": the operator lists it). */
static void render_discovery(const struct service *conf, json_t *o)
{
	json_t *list = json_array();
	char what[DISCOVER_TEXT];

	for (size_t i = 0; i < conf->n_discovers; i++)
		json_array_append_new(list, json_text(discover_format(&conf->discovers[i], what)));
	json_object_set_new(o, "discover", list);
	json_object_set_new(o, "offered_by", json_text(conf->offered_by ?: ""));
}

json_t *render_service(const struct config *file, const struct reconcile_service *s)
{
	json_t *backends = json_array(), *o;

	for (size_t i = 0; i < s->n_backends; i++)
		json_array_append_new(backends, render_backend(file, s, &s->backends[i]));
	o = json_pack("{s:s, s:o, s:s, s:s, s:s, s:o, s:i, s:i, s:o, s:I, s:I, s:o, s:o, s:o, s:i, s:o}", "name",
		      s->conf->name, "listen", render_listens(s->conf), "algorithm",
		      algorithm_names[s->conf->algorithm], "forward", forward_names[s->conf->forward], "affinity",
		      affinity_names[s->conf->affinity], "quic", render_quic(&s->conf->quic), "slots", (int)s->n_slots,
		      "moving", (int)s->moving, "fingerprint", json_sprintf("%016" PRIx64, s->fingerprint), "packets",
		      (json_int_t)s->packets, "bytes", (json_int_t)s->bytes, "check", render_check(&s->conf->check),
		      "tracking", render_tracking(&s->conf->tracking), "flows", render_flows(s), "retiring",
		      (int)s->retiring, "backends", backends);
	if (o)
		render_where(s, o);
	if (o)
		render_discovery(s->conf, o);
	return o;
}

/* ---- drops ---- */

char *drop_interface(const struct dp_drop *d, char text[DROP_INTERFACE_TEXT])
{
	if (!d->ifname[0]) {
		snprintf(text, DROP_INTERFACE_TEXT, "#%u", d->ifindex);
		return text;
	}
	snprintf(text, DROP_INTERFACE_TEXT, "%s", d->ifname);
	for (char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~')
			*p = '?';
	return text;
}

json_t *render_drop(const struct dp_drop *d)
{
	char interface[DROP_INTERFACE_TEXT];
	/* a newer program may know reasons that this daemon does not */
	bool known = d->reason < SHUNT_N_REASONS;

	return json_pack("{s:s, s:s, s:I, s:s}", "interface", drop_interface(d, interface), "reason",
			 known ? reason_words[d->reason] : "unknown", "packets", (json_int_t)d->packets, "description",
			 known ? reason_texts[d->reason] : "a reason that this version does not know");
}

/* ---- flows ---- */

json_t *render_flow(const struct reconcile_flow *f)
{
	char backend[ENDPOINT_TEXT];

	return json_pack("{s:s, s:i, s:s, s:s, s:i, s:b}", "service", f->service, "slot", (int)f->slot, "backend",
			 endpoint_format(&f->backend, backend), "state", flow_state_words[f->state], "age_seconds",
			 (int)f->age_seconds, "elsewhere", f->elsewhere);
}

static json_t *endpoint_or_null(const struct endpoint *e)
{
	char text[ENDPOINT_TEXT];

	return e ? json_string(endpoint_format(e, text)) : json_null();
}

json_t *render_flow_place(const struct reconcile_flow_place *p)
{
	return json_pack("{s:s, s:i, s:i, s:s, s:o, s:o, s:o}", "service", p->service, "slot", (int)p->slot, "slots",
			 (int)p->n_slots, "phase", slot_phase_words[p->phase], "owner", endpoint_or_null(p->owner),
			 "anchor", endpoint_or_null(p->anchor), "flow", p->noted ? render_flow(&p->flow) : json_null());
}

/* ---- connections of local processes ---- */

/* Of TCP_* as in the kernel; connected UDP is established. */
static const char *const connection_state_words[] = {
	"unknown", "established", "syn-sent", "syn-recv", "fin-wait-1", "fin-wait-2",   "time-wait",
	"close",   "close-wait",  "last-ack", "listen",   "closing",    "new-syn-recv",
};

static json_t *render_end(const struct shunt_addr *addr, __be16 port)
{
	struct endpoint e = { .port = ntohs(port) };
	char text[ENDPOINT_TEXT];

	memcpy(e.addr.b, addr, sizeof(e.addr.b));
	return json_string(endpoint_format(&e, text));
}

json_t *render_connection(const struct shunt_connection *c, const char *service)
{
	uint32_t state = c->state < ARRAY_SIZE(connection_state_words) ? c->state : 0;

	return json_pack("{s:o, s:s, s:o, s:o, s:o, s:s, s:I, s:I, s:b}", "service", text_or_null(service), "protocol",
			 proto_word(c->proto), "local", render_end(&c->local, c->local_port), "asked",
			 render_end(&c->asked, c->asked_port), "backend", render_end(&c->given, c->given_port), "state",
			 connection_state_words[state], "netns", (json_int_t)c->netns, "cookie", (json_int_t)c->cookie,
			 "ends", c->flags & SHUNT_CONNECTION_ENDS);
}
