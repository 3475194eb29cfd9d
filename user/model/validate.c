/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* config_validate: the rules that need more than one field, each fault with its remedy. O(n log n). */
#include "model/validate.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/duration.h"
#include "model/copy.h"
#include "model/table.h"

void fault(struct faults *f, const struct service *s, const struct backend *b, const char *fmt, ...)
{
	char sentence[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	f->n++;
	f->report(f->arg, s, b, f->announce, sentence);
}

/* ---- the ports on which a service listens, as a set ---- */

struct ports {
	uint8_t in[65536 / 8];
	unsigned n; /* different ones */
	uint16_t first;
	bool every; /* some listen takes every port */
	char list[64]; /* "80, 443"; of many the first few */
	size_t list_len;
};

static bool ports_has(const struct ports *p, uint16_t port)
{
	return p->in[port / 8] >> port % 8 & 1;
}

static void ports_add(struct ports *p, uint16_t port)
{
	size_t room = sizeof(p->list) - p->list_len;

	p->in[port / 8] |= 1 << port % 8;
	if (!p->n++)
		p->first = port;
	if (room > sizeof("12345, ..., "))
		p->list_len += snprintf(p->list + p->list_len, room, "%s%u", p->n > 1 ? ", " : "", port);
	else if (p->list[p->list_len - 1] != '.')
		p->list_len += snprintf(p->list + p->list_len, room, ", ...");
}

static void ports_collect(struct ports *p, const struct service *s)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < s->n_listens; i++) {
		uint16_t port = s->listens[i].port;

		if (!port)
			p->every = true;
		else if (!ports_has(p, port))
			ports_add(p, port);
	}
}

/* ---- the service itself ---- */

static bool name_is_fine(const char *name)
{
	size_t len = strlen(name);

	if (len > SERVICE_NAME_MAX || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

/* What an address is that is nobody's; NULL: it is fine. */
static const char *unfit(const struct addr *a)
{
	if (addr_is_unspecified(a))
		return "the unspecified address";
	if (addr_is_multicast(a))
		return "a multicast address";
	if (addr_is_broadcast(a))
		return "the broadcast address";
	return NULL;
}

/* The loopback interface is for local connections and local servers. */
static void validate_listen(const struct config *c, const struct service *s, const struct listen *l, struct faults *f)
{
	const char *what = unfit(&l->addr);
	bool packets = takes_packets(c, s);
	char text[LISTEN_TEXT];

	if (packets && addr_is_loopback(&l->addr))
		what = "a loopback address";
	if (what)
		fault(f, s, NULL, "listen %s is %s, where no %s; give the address that clients connect to",
		      listen_format(l, text), what, packets ? "packet arrives from outside" : "connection goes");
}

static void validate_listens(const struct config *c, const struct service *s, struct faults *f)
{
	if (!s->n_listens)
		fault(f, s, NULL, "the service listens nowhere; give listen an address, such as \"192.0.2.10:80/tcp\"");
	for (size_t i = 0; i < s->n_listens; i++)
		validate_listen(c, s, &s->listens[i], f);
}

static void validate_choices(const struct service *s, struct faults *f)
{
	if (s->forward == FORWARD_L2 || s->forward == FORWARD_NAT)
		fault(f, s, NULL, "forward: %s is not available in this version: use ipip, gue or local",
		      forward_names[s->forward]);
	if (s->slots && (s->slots < 64 || s->slots > 1 << 20 || (s->slots & (s->slots - 1))))
		fault(f, s, NULL, "slots: %u is not a power of two from 64 to 1048576; "
		      "leave it out, and it is chosen to suit the backends", s->slots);
	if (s->n_backends > TABLE_MEMBERS_MAX)
		fault(f, s, NULL, "backends: a service has at most %u backends, and this one has %zu; make several services of it",
		      TABLE_MEMBERS_MAX, s->n_backends);
}

/* ---- how flows are kept ---- */

static void validate_durations(const struct service *s, struct faults *f)
{
	const struct tracking *t = &s->tracking;
	const struct {
		const char *key;
		uint32_t ms, min_ms, max_ms;
	} all[] = {
		{ "transition", t->transition_ms, 0, TRANSITION_MAX_MS },
		{ "drain", t->drain_ms, 0, DRAIN_MAX_MS },
		{ "flow-timeout: tcp", t->tcp_ms, FLOW_TIMEOUT_MIN_MS, FLOW_TIMEOUT_MAX_MS },
		{ "flow-timeout: udp", t->udp_ms, FLOW_TIMEOUT_MIN_MS, FLOW_TIMEOUT_MAX_MS },
		{ "flow-timeout: closing", t->closing_ms, FLOW_TIMEOUT_MIN_MS, FLOW_TIMEOUT_MAX_MS },
	};
	char is[DURATION_TEXT], min[DURATION_TEXT], max[DURATION_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].ms < all[i].min_ms || all[i].ms > all[i].max_ms)
			fault(f, s, NULL, "%s is %s, which is out of range; give a duration from %s to %s", all[i].key,
			      duration_format(all[i].ms, is), duration_format(all[i].min_ms, min),
			      duration_format(all[i].max_ms, max));
}

static void validate_flows(const struct service *s, const struct limits *l, struct faults *f)
{
	uint32_t n = s->tracking.flows;

	if (n < FLOWS_MIN || n > FLOWS_MAX || (n & (n - 1)))
		fault(f, s, NULL, "flows: %u is not a power of two from %u to %u; give one, such as 65536", n, FLOWS_MIN,
		      FLOWS_MAX);
	else if (n > l->flows)
		fault(f, s, NULL, "flows: %u are more than all services together may have (limits: flows: %u); "
		      "give this one at most %u, or raise the limit", n, l->flows, l->flows);
}

/* ---- checks ---- */

/* As it stands in a line of an HTTP request: no spaces, nothing that would end the line. */
static bool is_request_word(const char *text)
{
	for (; *text; text++)
		if (!isgraph((unsigned char)*text))
			return false;
	return true;
}

static void validate_http(const struct service *s, const char *where, const struct check *c, struct faults *f)
{
	if (!c->path || c->path[0] != '/' || !is_request_word(c->path))
		fault(f, s, NULL, "%shealth: the path of an http check starts with / and has no spaces; "
		      "write it as in a URL, such as /healthz", where);
	if (c->host && (!*c->host || !is_request_word(c->host)))
		fault(f, s, NULL, "%shealth: the host of an http check has no spaces; write a name such as example.org", where);
	if (c->status_min > c->status_max)
		fault(f, s, NULL, "%shealth: expected status %u-%u is an empty range; write the lower number first, %u-%u",
		      where, c->status_min, c->status_max, c->status_max, c->status_min);
}

/* Of a service, or (s NULL) of what is announced; where: how a sentence begins. */
static void validate_check(const struct service *s, const char *where, const struct check *c, struct faults *f)
{
	if (c->kind == CHECK_NONE)
		return;
	if (!c->interval_ms)
		fault(f, s, NULL, "%shealth: interval is 0; give a time such as 2s", where);
	if (!c->timeout_ms)
		fault(f, s, NULL, "%shealth: timeout is 0; give a time such as 1s", where);
	if (c->interval_ms && c->timeout_ms > c->interval_ms)
		fault(f, s, NULL, "%shealth: timeout (%u ms) is longer than interval (%u ms), so checks would overlap; "
		      "make it at most the interval", where, c->timeout_ms, c->interval_ms);
	if (!c->fall)
		fault(f, s, NULL, "%shealth: fall is 0; it counts failures in a row, so give 1 or more", where);
	if (!c->rise)
		fault(f, s, NULL, "%shealth: rise is 0; it counts successes in a row, so give 1 or more", where);
	if (c->kind == CHECK_HTTP)
		validate_http(s, where, c, f);
}

/* ---- backends ---- */

static bool is_unreachable_by_tunnel(const struct backend *b, const struct ports *ports)
{
	return b->at.port && ports->n && !ports->every && !ports_has(ports, b->at.port);
}

static bool lacks_check_port(const struct service *s, const struct backend *b, const struct ports *ports)
{
	return s->check.kind != CHECK_NONE && !s->check.port && !b->at.port && (ports->every || ports->n != 1);
}

static void validate_port(const struct config *c, const struct service *s, const struct backend *b,
			  const struct ports *ports, struct faults *f)
{
	struct endpoint better = { b->at.addr, ports->n ? ports->first : 80 };
	char text[ENDPOINT_TEXT];

	if (is_unreachable_by_tunnel(b, ports) && takes_packets(c, s))
		fault(f, s, b, "forward: %s delivers packets unchanged, so the backend's port must be one of the listen "
		      "ports (%s); write %s%s", forward_names[s->forward], ports->list, endpoint_format(&better, text),
		      c->cgroup ? ", or let the service be at: socket alone" : "");
	if (lacks_check_port(s, b, ports))
		fault(f, s, b, "the check has no port to connect to; give the backend a port, such as %s, "
		      "or the check one (health: port)", endpoint_format(&better, text));
}

static void validate_backend(const struct config *c, const struct service *s, const struct backend *b,
			     const struct ports *ports, struct faults *f)
{
	const char *what = unfit(&b->at.addr);
	char text[ENDPOINT_TEXT];

	if (what)
		fault(f, s, b, "backend %s is %s; give the address of a server", endpoint_format(&b->at, text), what);
	if (b->weight > WEIGHT_MAX)
		fault(f, s, b, "weight %u is too large; the greatest weight is %u", b->weight, WEIGHT_MAX);
	validate_port(c, s, b, ports, f);
}

static int by_endpoint(const void *a, const void *b)
{
	const struct backend *left = *(const struct backend *const *)a, *right = *(const struct backend *const *)b;
	int order = endpoint_compare(&left->at, &right->at);

	return order ? order : (left > right) - (left < right);
}

/* To be freed; NULL, and said: out of memory. */
static const struct backend **sorted_backends(const struct service *s, int (*compare)(const void *, const void *),
					      struct faults *f)
{
	const struct backend **sorted = calloc(s->n_backends + 1, sizeof(*sorted));

	if (!sorted) {
		fault(f, s, NULL, "out of memory while checking %zu backends; free some", s->n_backends);
		return NULL;
	}
	for (size_t i = 0; i < s->n_backends; i++)
		sorted[i] = &s->backends[i];
	qsort(sorted, s->n_backends, sizeof(*sorted), compare);
	return sorted;
}

static void validate_unique(const struct service *s, struct faults *f)
{
	_cleanup_free_ const struct backend **sorted = sorted_backends(s, by_endpoint, f);
	char text[ENDPOINT_TEXT];

	for (size_t i = 1; sorted && i < s->n_backends; i++)
		if (!endpoint_compare(&sorted[i - 1]->at, &sorted[i]->at))
			fault(f, s, sorted[i], "backend %s is in this service twice; delete one of the two",
			      endpoint_format(&sorted[i]->at, text));
}

/* ---- QUIC ---- */

static bool is_udp_alone(const struct service *s)
{
	for (size_t i = 0; i < s->n_listens; i++)
		if (s->listens[i].proto != IPPROTO_UDP)
			return false;
	return true;
}

static void validate_server_id(const struct service *s, const struct backend *b, struct faults *f)
{
	char text[ENDPOINT_TEXT];
	uint32_t n = s->quic.server_id;

	endpoint_format(&b->at, text);
	if (b->server_id.length == n)
		return;
	if (!n)
		fault(f, s, b, "backend %s has a server-id, but the service does not look at connection IDs; give the "
		      "service quic: { config: 0, server-id: %u }, or take the server-id away", text, b->server_id.length);
	else if (!b->server_id.length)
		fault(f, s, b, "backend %s has no server-id, but the service has quic; write server-id: and the %u bytes "
		      "that this server puts into its connection IDs, as %u hexadecimal digits in quotes", text, n,
		      2 * n);
	else
		fault(f, s, b, "the server-id of backend %s has %u bytes, but the service's quic says %u; write %u "
		      "hexadecimal digits", text, b->server_id.length, n, 2 * n);
}

static int by_server_id(const void *a, const void *b)
{
	const struct backend *left = *(const struct backend *const *)a, *right = *(const struct backend *const *)b;
	int order = server_id_compare(&left->server_id, &right->server_id);

	if (!order) /* what is listed comes first: the fault is of what was found */
		order = (left->from > right->from) - (left->from < right->from);
	return order ? order : (left > right) - (left < right);
}

static void validate_server_ids(const struct service *s, struct faults *f)
{
	_cleanup_free_ const struct backend **sorted = sorted_backends(s, by_server_id, f);
	char id[SERVER_ID_TEXT], text[ENDPOINT_TEXT];

	for (size_t i = 1; sorted && i < s->n_backends; i++)
		if (sorted[i]->server_id.length &&
		    !server_id_compare(&sorted[i - 1]->server_id, &sorted[i]->server_id))
			fault(f, s, sorted[i], "backend %s has the server-id \"%s\", and so has another backend of the "
			      "service; give each server its own", endpoint_format(&sorted[i]->at, text),
			      server_id_format(&sorted[i]->server_id, id));
}

static void validate_quic(const struct service *s, struct faults *f)
{
	const struct quic *q = &s->quic;

	if (q->config > QUIC_CONFIG_MAX || q->server_id > SERVER_ID_MAX)
		fault(f, s, NULL, "quic: { config: %u, server-id: %u } is out of range; config is a codepoint from 0 to "
		      "%d, and server-id a length of 1 to %d bytes", q->config, q->server_id, QUIC_CONFIG_MAX, SERVER_ID_MAX);
	else if (q->server_id && !is_udp_alone(s))
		fault(f, s, NULL, "quic is for services that listen on UDP alone; put the TCP listens into a service of "
		      "their own");
	for (size_t i = 0; i < s->n_backends; i++)
		validate_server_id(s, &s->backends[i], f);
	validate_server_ids(s, f);
}

static void validate_service(const struct config *c, const struct service *s, struct ports *ports, struct faults *f)
{
	if (!name_is_fine(name_of(s)))
		fault(f, s, NULL, "a service's name has 1 to %d letters, digits, '.', '_' or '-' and starts with a letter "
		      "or digit; rename the service", SERVICE_NAME_MAX);
	validate_listens(c, s, f);
	validate_choices(s, f);
	validate_where(c, s, f);
	validate_durations(s, f);
	validate_flows(s, &c->limits, f);
	validate_check(s, "", &s->check, f);
	ports_collect(ports, s);
	for (size_t i = 0; i < s->n_backends; i++)
		validate_backend(c, s, &s->backends[i], ports, f);
	validate_unique(s, f);
	validate_quic(s, f);
}

/* ---- services together ---- */

static int by_name(const void *a, const void *b)
{
	const struct service *left = *(const struct service *const *)a, *right = *(const struct service *const *)b;
	int order = strcmp(name_of(left), name_of(right));

	return order ? order : (left > right) - (left < right);
}

static int validate_names(const struct config *c, struct faults *f)
{
	_cleanup_free_ const struct service **sorted = calloc(c->n_services + 1, sizeof(*sorted));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_services; i++)
		sorted[i] = &c->services[i];
	qsort(sorted, c->n_services, sizeof(*sorted), by_name);
	for (size_t i = 1; i < c->n_services; i++)
		if (*name_of(sorted[i]) && !strcmp(name_of(sorted[i - 1]), name_of(sorted[i])))
			fault(f, sorted[i], NULL, "another service has the same name; rename one of the two");
	return 0;
}

/* ---- discovery ---- */

static void validate_source(const struct config *c, const struct service *s, const char *key, enum source_kind kind,
			    const char *name, struct faults *f)
{
	if (name && !config_source(c, kind, name))
		fault(f, s, NULL, "%s: there is no source \"%.80s\" of kind %s; list it under sources, or remove source", key, name,
		      source_kind_names[kind]);
}

/* Would one take the place of the other, where they are announced? In Consul an id is of one service, in etcd of its prefix. */
static bool is_announced_as(const struct announce *a, const struct announce *b)
{
	if (a->kind != b->kind || !same_text(a->source, b->source))
		return false;
	if (a->kind == SOURCE_CONSUL && a->id && same_text(a->id, b->id))
		return true;
	if (strcmp(a->name, b->name))
		return false;
	return a->id || b->id ? same_text(a->id, b->id) : !endpoint_compare(&a->at, &b->at);
}

static void validate_announce(const struct config *c, size_t i, struct faults *f)
{
	const struct announce *a = &c->announces[i];
	const char *what = unfit(&a->at.addr);
	char text[ENDPOINT_TEXT];

	endpoint_format(&a->at, text);
	validate_source(c, NULL, "register", a->kind, a->source, f);
	validate_check(NULL, "register: ", &a->check, f);
	if (what)
		fault(f, NULL, NULL, "register: %s is %s; give the address at which others reach the server", text, what);
	for (size_t k = 0; k < i; k++)
		if (is_announced_as(a, &c->announces[k])) {
			fault(f, NULL, NULL, "register: %.80s at %s is there twice; delete one of the two, or give each an id of its own", a->name,
			      text);
			break;
		}
}

static void validate_discovery(const struct config *c, struct faults *f)
{
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_discovers; k++)
			validate_source(c, &c->services[i], "discover", c->services[i].discovers[k].kind,
					c->services[i].discovers[k].source, f);
	for (size_t i = 0; i < c->n_announces; i++) {
		f->announce = &c->announces[i];
		validate_announce(c, i, f);
	}
	f->announce = NULL;
}

unsigned config_validate(const struct config *c, config_fault_fn report, void *arg)
{
	_cleanup_(listeners_clear) struct listeners all = {};
	_cleanup_free_ struct ports *ports = malloc(sizeof(*ports));
	struct faults f = { .report = report, .arg = arg };

	if (!ports || listeners_collect(c, &all) || validate_names(c, &f)) {
		fault(&f, NULL, NULL, "out of memory while checking the configuration; free some");
		return f.n;
	}
	for (size_t i = 0; i < c->n_services; i++)
		validate_service(c, &c->services[i], ports, &f);
	validate_except(c, &f);
	validate_discovery(c, &f);
	validate_listeners(c, &all, &f);
	validate_circles(c, &all, &f);
	return f.n;
}
