/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The keys of a service, its check and its backends. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "config/read.h"

/* ---- listen ---- */

static void read_listen(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct service *s = field;
	struct listen l, *new;

	for (const struct node *item = node_items(value); item && !mistakes_full(r->mistakes);
	     item = node_after(value, item)) {
		if (!item_is_fine(r, k, item))
			continue;
		if (listen_parse(item->text, &l)) {
			mistake(r->mistakes, item->line,
				"\"%s\" in \"listen\" is no ADDRESS:PORT/PROTOCOL; write it like "
				"\"192.0.2.10:80/tcp\", \"[2001:db8::1]:53/udp\" or, for every port, "
				"\"192.0.2.10:*/tcp\" "
				"(ports are 1 to 65535)",
				SHOWN(item->text));
			continue;
		}
		new = array_add(r, &s->listens, s->n_listens, sizeof(*new));
		if (!new)
			return;
		*new = l;
		s->n_listens++;
	}
}

/* ---- health ---- */

static bool is_http_status(uint64_t n)
{
	return n >= 100 && n <= 599;
}

/* "200-399" or "200". */
static bool status_parse(const char *text, uint16_t *min, uint16_t *max)
{
	size_t first = strcspn(text, "-");
	uint64_t from, to;
	char copy[8];

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	copy[first] = '\0';
	if (number_parse(copy, &from) || number_parse(text[first] ? copy + first + 1 : copy, &to))
		return false;
	*min = from;
	*max = to;
	return is_http_status(from) && is_http_status(to);
}

static void read_status(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct check *c = field;
	uint16_t min, max;

	(void)k;
	if (!status_parse(value->text, &min, &max)) {
		mistake(r->mistakes, value->line,
			"\"status\" is \"%s\"; write one status from 100 to 599 or a range, such as "
			"200-399",
			SHOWN(value->text));
		return;
	}
	c->status_min = min;
	c->status_max = max;
}

#define CHECK_PORT \
	{ \
		"port", NODE_SCALAR, read_u16, offsetof(struct check, port), .min = 1, .max = 65535, .help = "8080" \
	}

static const struct key tcp_keys[] = { CHECK_PORT };
static const struct schema tcp_schema = SCHEMA("a tcp check", tcp_keys);

static const struct key http_keys[] = {
	CHECK_PORT,
	{ "path", NODE_SCALAR, read_text, offsetof(struct check, path), .min = 1, .max = 1024, .help = "/healthz" },
	{ "host", NODE_SCALAR, read_text, offsetof(struct check, host), .min = 1, .max = 255, .help = "example.org" },
	{ "status", NODE_SCALAR, read_status, 0, .help = "200-399" },
};
static const struct schema http_schema = SCHEMA("an http check", http_keys);

static void read_check_kind(struct reader *r, const struct key *k, const struct node *value, enum check_kind kind,
			    struct check *c)
{
	if (c->kind != CHECK_NONE)
		mistake(r->mistakes, value->line, "\"health\" has both tcp and http; keep one of the two");
	c->kind = kind;
	if (value->kind == NODE_MAP)
		read_schema(r, k->schema, value, c);
}

static void read_tcp(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	read_check_kind(r, k, value, CHECK_TCP, field);
}

static void read_http(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	const struct check fresh = check_default(CHECK_HTTP);
	struct check *c = field;

	c->status_min = fresh.status_min;
	c->status_max = fresh.status_max;
	read_check_kind(r, k, value, CHECK_HTTP, c);
	if (!c->path)
		c->path = text_keep(r, "/");
}

#define DURATION .min = 10, .max = 3600 * 1000
static const struct key health_keys[] = {
	{ "tcp", NODE_MAP, read_tcp, 0, .may_be_null = true, .schema = &tcp_schema, .help = "{ port: 8080 }" },
	{ "http", NODE_MAP, read_http, 0, .may_be_null = true, .schema = &http_schema, .help = "{ path: /healthz }" },
	{ "interval", NODE_SCALAR, read_duration, offsetof(struct check, interval_ms), DURATION, .help = "2s" },
	{ "timeout", NODE_SCALAR, read_duration, offsetof(struct check, timeout_ms), DURATION, .help = "1s" },
	{ "fall", NODE_SCALAR, read_u16, offsetof(struct check, fall), .min = 1, .max = 1000, .help = "3" },
	{ "rise", NODE_SCALAR, read_u16, offsetof(struct check, rise), .min = 1, .max = 1000, .help = "2" },
};
static const struct schema health_schema = SCHEMA("health", health_keys);

void read_health(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct check *c = field;

	(void)k;
	*c = check_default(CHECK_TCP);
	c->kind = CHECK_NONE; /* until a kind is read */
	if (value->kind == NODE_MAP) {
		read_schema(r, &health_schema, value, c);
		if (!node_key(value, "tcp", 3) && !node_key(value, "http", 4))
			mistake(r->mistakes, value->line,
				"\"health\" says neither tcp nor http; add tcp: {} or "
				"http: { path: /healthz }");
	} else if (strcmp(value->text, "none")) {
		mistake(r->mistakes, value->line,
			"\"health\" is \"%s\"; write { tcp: {} }, { http: { path: /healthz } } or "
			"none",
			SHOWN(value->text));
	} else {
		*c = check_default(CHECK_NONE);
	}
}

/* ---- how flows are kept ---- */

static const struct key timeout_keys[] = {
	{ "tcp", NODE_SCALAR, read_duration, offsetof(struct tracking, tcp_ms), .min = FLOW_TIMEOUT_MIN_MS,
	  .max = FLOW_TIMEOUT_MAX_MS, .help = "1h" },
	{ "udp", NODE_SCALAR, read_duration, offsetof(struct tracking, udp_ms), .min = FLOW_TIMEOUT_MIN_MS,
	  .max = FLOW_TIMEOUT_MAX_MS, .help = "2m" },
	{ "closing", NODE_SCALAR, read_duration, offsetof(struct tracking, closing_ms), .min = FLOW_TIMEOUT_MIN_MS,
	  .max = FLOW_TIMEOUT_MAX_MS, .help = "30s" },
};
static const struct schema timeout_schema = SCHEMA("flow-timeout", timeout_keys);

/*
 * A service that does not say how many flows it may have gets no more than there are for all. Only when the whole file
 * is read is it known how many that is.
 */
void fit_services(struct reader *r)
{
	struct config *c = r->config;

	for (size_t i = 0; i < c->n_services; i++)
		if (!node_key(r->services[i], "flows", strlen("flows")))
			tracking_fit(&c->services[i].tracking, &c->limits);
}

/* ---- backends ---- */

void read_address(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct endpoint at;

	(void)k;
	if (!endpoint_parse(value->text, &at))
		*(struct endpoint *)field = at;
	else
		mistake(r->mistakes, value->line,
			"\"%s\" is no address of a backend; write ADDRESS:PORT, such as "
			"\"10.0.0.11:80\" or \"[2001:db8::11]:80\" (ports are 1 to 65535)",
			SHOWN(value->text));
}

static void read_server_id(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	(void)k;
	if (server_id_parse(value->text, field))
		mistake(r->mistakes, value->line,
			"\"%s\" is no server-id; write 1 to %d bytes as hexadecimal digits, two for each, in quotes, such "
			"as \"0a0b\"",
			SHOWN(value->text), SERVER_ID_MAX);
}

static const struct key backend_keys[] = {
	{ "address", NODE_SCALAR, read_address, offsetof(struct backend, at), .required = true,
	  .help = "\"10.0.0.11:80\"" },
	{ "weight", NODE_SCALAR, read_u32, offsetof(struct backend, weight), .max = WEIGHT_MAX, .help = "100" },
	{ "state", NODE_SCALAR, read_word, offsetof(struct backend, admin), .words = admin_names,
	  .n_words = ARRAY_SIZE(admin_names), .help = "enabled" },
	{ "server-id", NODE_SCALAR, read_server_id, offsetof(struct backend, server_id), .help = "\"0a0b\"" },
};
static const struct schema backend_schema = SCHEMA("a backend", backend_keys);

static void read_backend(struct reader *r, const struct node *item, struct backend *b)
{
	b->weight = WEIGHT_DEFAULT;
	if (item->kind == NODE_MAP)
		read_schema(r, &backend_schema, item, b);
	else if (item->kind == NODE_SCALAR && !node_is_null(item))
		read_address(r, &backend_keys[0], item, &b->at);
	else
		mistake(r->mistakes, item->line,
			"a backend is an address or a mapping; write \"10.0.0.11:80\" or { address: "
			"\"10.0.0.11:80\", weight: 100 }");
}

static void read_backends(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct service *s = field;
	struct backend *new;

	(void)k;
	for (const struct node *item = value->first; item && !mistakes_full(r->mistakes); item = item->next) {
		new = array_add(r, &s->backends, s->n_backends, sizeof(*new));
		if (!new)
			return;
		s->n_backends++;
		read_backend(r, item, new);
	}
}

static const struct key document_keys[] = {
	{ "backends", NODE_LIST, read_backends, 0, .required = true, .help = "[\"10.0.0.11:80\"]" },
};
static const struct schema document_schema = SCHEMA("a list of backends", document_keys);

void read_backend_document(struct reader *r, const struct node *root, struct service *s)
{
	struct backend *one;

	if (root->kind == NODE_LIST) {
		read_backends(r, NULL, root, s);
	} else if (root->kind == NODE_MAP && node_key(root, "backends", strlen("backends"))) {
		read_schema(r, &document_schema, root, s);
	} else {
		one = array_add(r, &s->backends, 0, sizeof(*one));
		if (!one)
			return;
		s->n_backends = 1;
		read_backend(r, root, one);
	}
}

/* ---- local connections ---- */

static const struct key clients_keys[] = {
	{ "cgroups", NODE_SCALAR | NODE_LIST, read_cgroups, offsetof(struct service, clients.cgroups),
	  .help = "[/system.slice/web.service]" },
	{ "namespaces", NODE_SCALAR | NODE_LIST, read_namespaces, offsetof(struct service, clients.namespaces),
	  .help = "[/run/netns/blue]" },
};
static const struct schema clients_schema = SCHEMA("clients", clients_keys);

static void read_clients(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	if (!value->first)
		mistake(r->mistakes, value->line,
			"\"clients\" says neither cgroups nor namespaces; write, for example, %s, or remove the line "
			"for all processes",
			k->help);
	read_schema(r, k->schema, value, field);
}

static void read_no_backend(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	*(bool *)field = word_number(r, k, value) == 1;
}

/* ---- a service ---- */

static const struct key quic_keys[] = {
	{ "config", NODE_SCALAR, read_u32, offsetof(struct quic, config), .max = QUIC_CONFIG_MAX, .help = "0" },
	{ "server-id", NODE_SCALAR, read_u32, offsetof(struct quic, server_id), .required = true, .min = 1,
	  .max = SERVER_ID_MAX, .help = "2" },
};
static const struct schema quic_schema = SCHEMA("quic", quic_keys);

static const struct key service_keys[] = {
	{ "name", NODE_SCALAR, read_text, offsetof(struct service, name), .required = true, .min = 1,
	  .max = SERVICE_NAME_MAX, .help = "web" },
	{ "listen", NODE_SCALAR | NODE_LIST, read_listen, 0, .required = true, .help = "\"192.0.2.10:80/tcp\"" },
	{ "algorithm", NODE_SCALAR, read_word, offsetof(struct service, algorithm), .words = algorithm_names,
	  .n_words = ARRAY_SIZE(algorithm_names), .help = "consistent" },
	{ "forward", NODE_SCALAR, read_word, offsetof(struct service, forward), .words = forward_names,
	  .n_words = ARRAY_SIZE(forward_names), .help = "ipip" },
	{ "affinity", NODE_SCALAR, read_word, offsetof(struct service, affinity), .words = affinity_names,
	  .n_words = ARRAY_SIZE(affinity_names), .help = "flow" },
	{ "at", NODE_SCALAR | NODE_LIST, read_bits, offsetof(struct service, at), .words = where_names,
	  .n_words = ARRAY_SIZE(where_names), .help = "socket" },
	{ "clients", NODE_MAP, read_clients, 0, .schema = &clients_schema,
	  .help = "{ cgroups: [/system.slice/web.service] }" },
	{ "no-backend", NODE_SCALAR, read_no_backend, offsetof(struct service, refuses), .words = no_backend_names,
	  .n_words = ARRAY_SIZE(no_backend_names), .help = "unreachable" },
	{ "quic", NODE_MAP, read_map, offsetof(struct service, quic), .schema = &quic_schema,
	  .help = "{ config: 0, server-id: 2 }" },
	{ "slots", NODE_SCALAR, read_u32, offsetof(struct service, slots), .min = 64, .max = 1 << 20, .help = "4096" },
	{ "transition", NODE_SCALAR, read_duration, offsetof(struct service, tracking.transition_ms),
	  .max = TRANSITION_MAX_MS, .help = "5m" },
	{ "drain", NODE_SCALAR, read_duration, offsetof(struct service, tracking.drain_ms), .max = DRAIN_MAX_MS,
	  .help = "1h" },
	{ "flow-timeout", NODE_MAP, read_map, offsetof(struct service, tracking), .schema = &timeout_schema,
	  .help = "{ tcp: 1h, udp: 2m, closing: 30s }" },
	{ "flows", NODE_SCALAR, read_power, offsetof(struct service, tracking.flows), .min = FLOWS_MIN,
	  .max = FLOWS_MAX, .help = "65536" },
	{ "health", NODE_SCALAR | NODE_MAP, read_health, offsetof(struct service, check), .help = "{ tcp: {} }" },
	{ "backends", NODE_LIST, read_backends, 0, .help = "[\"10.0.0.11:80\"]" },
	{ "discover", NODE_MAP | NODE_LIST, read_discovers, 0, .help = "{ consul: { service: web } }" },
};
static const struct schema service_schema = SCHEMA("a service", service_keys);

static bool has_tcp_listen(const struct service *s)
{
	for (size_t i = 0; i < s->n_listens; i++)
		if (s->listens[i].proto == IPPROTO_TCP)
			return true;
	return false;
}

static void read_service(struct reader *r, const struct node *item, struct service *s)
{
	if (item->kind != NODE_MAP) {
		mistake(r->mistakes, item->line,
			"a service is a mapping; write { name: web, listen: \"192.0.2.10:80/tcp\", "
			"backends: [\"10.0.0.11:80\"] }");
		return;
	}
	read_schema(r, &service_schema, item, s);
	if (!node_key(item, "health", strlen("health")) && has_tcp_listen(s))
		s->check = check_default(CHECK_TCP); /* a UDP server answers no connection: ask for a check there */
}

/*
 * A service with faults is left out of what is validated as a whole: its faults are said, and what follows from them
 * would only hide the others.
 */
static void keep_service(struct reader *r, const struct node *item, struct service *s)
{
	struct config *c = r->config;
	const struct node **place = array_add(r, &r->services, c->n_services, sizeof(*place));
	struct service *new = array_add(r, &c->services, c->n_services, sizeof(*new));

	if (!place || !new)
		return;
	*place = item;
	*new = *s;
	*s = (struct service){};
	c->n_services++;
}

void read_services(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	(void)k;
	(void)field;
	for (const struct node *item = value->first; item && !mistakes_full(r->mistakes); item = item->next) {
		_cleanup_(service_clear) struct service s = service_default();
		size_t before = r->mistakes->n;

		read_service(r, item, &s);
		if (r->mistakes->n == before && !r->mistakes->error)
			keep_service(r, item, &s);
	}
}
