/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The keys of discovery: sources, what a service discovers, and what this host announces (register). */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "config/read.h"

/* ---- single values ---- */

/* http:// or https://, then a host; a path may follow. What is wrong with those two: check_url. */
static bool url_is_fine(const char *url)
{
	const char *host = !strncmp(url, "http://", 7) ? url + 7 : !strncmp(url, "https://", 8) ? url + 8 : "";

	if (!*host || *host == '/' || *host == ':' || strlen(url) > TEXT_MAX)
		return false;
	for (const char *c = url; *c; c++)
		if (!isgraph((unsigned char)*c) || strchr("?#\"\\", *c))
			return false;
	return true;
}

/* A name and a password before the host would be sent to whoever is asked, and shown to whoever asks us. */
static bool url_has_user(const char *url)
{
	const char *host = url ? strstr(url, "://") : NULL;

	return host && memchr(host + 3, '@', strcspn(host + 3, "/"));
}

/* [ADDRESS]:PORT or NAME:PORT, or without a port. */
static bool host_is_fine(const char *host, size_t len)
{
	const char *end = *host == '[' ? memchr(host, ']', len) : host - 1;
	const char *colon = end ? memchr(end + 1, ':', host + len - end - 1) : NULL;
	char port[6];
	uint16_t number;

	if (!end || (*host == '[' && end + 1 != host + len && end + 1 != colon))
		return false;
	if (!colon)
		return true;
	snprintf(port, sizeof(port), "%.*s", (int)(host + len - colon - 1), colon + 1);
	return host + len - colon - 1 < (int)sizeof(port) && !port_parse(port, &number);
}

/* Paths of the servers' own are put behind a URL, so one may stand there only if it leads to where those begin. */
static bool path_is_fine(const char *path)
{
	static const char *const own[] = { "/v1", "/v3", "/api", "/apis" };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (!strncmp(path, own[i], strlen(own[i])) && (path[strlen(own[i])] == '/' || !path[strlen(own[i])]))
			return false;
	return true;
}

/* What a list has no sentence for; the first mistake is said. */
static bool check_url(struct reader *r, const struct key *k, const struct node *item)
{
	const char *scheme = strstr(item->text, "://"), *host = scheme ? scheme + 3 : "";
	size_t len = strcspn(host, "/");

	if (url_has_user(item->text)) /* which is not repeated */
		mistake(r->mistakes, item->line, "\"%s\" has a name or password in it, before @; remove it, and give "
			"token-file, or user and password-file, in its place", k->name);
	else if (url_is_fine(item->text) && !host_is_fine(host, len))
		mistake(r->mistakes, item->line, "\"%s\" in \"%s\" has no port from 1 to 65535 behind its host; write HOST:PORT, "
			"or [ADDRESS]:PORT with an IPv6 address, such as %s", SHOWN(item->text), k->name, k->help);
	else if (url_is_fine(item->text) && !path_is_fine(host + len))
		mistake(r->mistakes, item->line, "\"%s\" in \"%s\" has a path that is put behind it anyway; end it with the host and "
			"its port, such as %s", SHOWN(item->text), k->name, k->help);
	else
		return true;
	return false;
}

static void read_urls(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	for (const struct node *item = node_items(value); item; item = node_after(value, item))
		if (item->kind == NODE_SCALAR && !check_url(r, k, item))
			return;
	read_list(r, k, value, field, url_is_fine, "no URL; write http:// or https://, a host and its port, without ? and #");
}

static bool resolver_is_fine(const char *text)
{
	struct endpoint at;

	return !endpoint_parse(text, &at);
}

static void read_resolvers(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	read_list(r, k, value, field, resolver_is_fine,
		  "no address of a resolver; write ADDRESS or ADDRESS:PORT, such as 10.0.0.53 or \"[2001:db8::53]:5353\"");
}

static bool word_is_fine(const char *text)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return false;
	return *text && strlen(text) <= TEXT_MAX;
}

static void read_tags(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	read_list(r, k, value, field, word_is_fine, "no tag; write one without spaces");
}

/* A word that goes into requests: without spaces. */
static void read_name(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	if (word_is_fine(value->text))
		read_text(r, k, value, field);
	else
		mistake(r->mistakes, value->line, "\"%s\" is \"%s\"; write it without spaces and at most %d characters, such as %s",
			k->name, SHOWN(value->text), TEXT_MAX, k->help);
}

static void read_label(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	const char *equals = strchr(value->text, '=');

	if (equals && equals != value->text && !strchr(equals + 1, '='))
		read_name(r, k, value, field);
	else
		mistake(r->mistakes, value->line, "\"%s\" is \"%s\"; write KEY=VALUE, such as %s", k->name,
			SHOWN(value->text), k->help);
}

/* ---- sources ---- */

#define NAME(key, structure, field, ...) \
	{ \
		key, NODE_SCALAR, read_name, offsetof(struct structure, field), .min = 1, .max = TEXT_MAX, __VA_ARGS__ \
	}
#define FILE_PATH(key, structure, field, example) \
	{ \
		key, NODE_SCALAR, read_path, offsetof(struct structure, field), .min = 2, .max = TEXT_MAX, .help = (example) \
	}
#define TIMEOUT \
	{ \
		"timeout", NODE_SCALAR, read_duration, offsetof(struct source, timeout_ms), .min = 100, .max = 60000, \
		.help = "5s" \
	}

static const struct key tls_keys[] = {
	FILE_PATH("ca", source, tls.ca, "/etc/shunt/ca.pem"),
	FILE_PATH("cert", source, tls.cert, "/etc/shunt/cert.pem"),
	FILE_PATH("key", source, tls.key, "/etc/shunt/key.pem"),
};
static const struct schema tls_schema = SCHEMA("tls", tls_keys);

#define URLS(example) \
	{ \
		"url", NODE_SCALAR | NODE_LIST, read_urls, offsetof(struct source, servers), .help = (example) \
	}
#define TLS \
	{ \
		"tls", NODE_MAP, read_map, 0, .schema = &tls_schema, .help = "{ ca: /etc/shunt/ca.pem }" \
	}

static const struct key consul_keys[] = {
	URLS("http://127.0.0.1:8500"),
	TLS,
	TIMEOUT,
	FILE_PATH("token-file", source, token_file, "/etc/shunt/consul.token"),
	NAME("datacenter", source, datacenter, .help = "dc1"),
};
static const struct key kubernetes_keys[] = {
	URLS("https://10.0.0.1:6443"),
	TLS,
	TIMEOUT,
	FILE_PATH("token-file", source, token_file, "/etc/shunt/kubernetes.token"),
	FILE_PATH("kubeconfig", source, kubeconfig, "/root/.kube/config"),
	NAME("context", source, context, .help = "production"),
	NAME("class", source, class, .help = "shunt/balancer"),
	{ "label", NODE_SCALAR, read_label, offsetof(struct source, label), .min = 1, .max = TEXT_MAX,
	  .help = "shunt/balance=true" },
	NAME("zone", source, zone, .help = "zone-a"),
};
static const struct key etcd_keys[] = {
	URLS("http://127.0.0.1:2379"),
	TLS,
	TIMEOUT,
	NAME("user", source, user, .help = "shunt"),
	FILE_PATH("password-file", source, password_file, "/etc/shunt/etcd.password"),
};
static const struct key ttl_keys[] = {
	{ "min", NODE_SCALAR, read_duration, offsetof(struct source, ttl_min_ms), .min = 100, .max = 3600 * 1000,
	  .help = "1s" },
	{ "max", NODE_SCALAR, read_duration, offsetof(struct source, ttl_max_ms), .min = 100, .max = 24 * 3600 * 1000,
	  .help = "5m" },
};
static const struct schema ttl_schema = SCHEMA("ttl", ttl_keys);
static const struct key dns_keys[] = {
	{ "resolvers", NODE_SCALAR | NODE_LIST, read_resolvers, offsetof(struct source, servers), .help = "[10.0.0.53]" },
	{ "ttl", NODE_MAP, read_map, 0, .schema = &ttl_schema, .help = "{ min: 1s, max: 5m }" },
	TIMEOUT,
};
static const struct key files_keys[] = {};

static const struct schema source_schemas[N_SOURCE_KINDS] = {
	[SOURCE_CONSUL] = SCHEMA("consul", consul_keys),       [SOURCE_KUBERNETES] = SCHEMA("kubernetes", kubernetes_keys),
	[SOURCE_ETCD] = SCHEMA("etcd", etcd_keys),	       [SOURCE_DNS] = SCHEMA("dns", dns_keys),
	[SOURCE_FILES] = SCHEMA("files", files_keys),
};

static int kind_of(const char *name)
{
	for (int kind = 0; kind < N_SOURCE_KINDS; kind++)
		if (!strcmp(source_kind_names[kind], name))
			return kind;
	return -1;
}

static void read_source_kind(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct source *s = field, fresh = source_default(kind_of(k->name));

	fresh.name = s->name;
	*s = fresh;
	if (value->kind == NODE_MAP)
		read_schema(r, &source_schemas[s->kind], value, s);
}

#define SOURCE_KIND(kind) \
	{ \
		kind, NODE_MAP, read_source_kind, 0, .may_be_null = true, .help = "{}" \
	}
static const struct key source_keys[] = {
	SOURCE_KIND("consul"), SOURCE_KIND("kubernetes"), SOURCE_KIND("etcd"), SOURCE_KIND("dns"),
	NAME("name", source, name, .help = "consul-east"),
};
static const struct schema source_schema = SCHEMA("a source", source_keys);

/* None of the keys is a kind that the schema has: one may have been meant. */
static void say_no_kind(struct reader *r, const struct node *map, const struct schema *s, const char *example)
{
	const char *kinds[N_SOURCE_KINDS], *meant;
	char list[128];
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (kind_of(s->keys[i].name) >= 0)
			kinds[n++] = s->keys[i].name;
	for (const struct node *key = map->kind == NODE_MAP ? map->first : NULL; key; key = key->next->next) {
		meant = schema_has(s, key->text) ? NULL : nearest(key->text, kinds, n);
		if (!meant)
			continue;
		mistake(r->mistakes, key->line, "%s names no kind of source; did you mean \"%s\" in place of \"%s\"?", s->what, meant,
			SHOWN(key->text));
		return;
	}
	list_names(kinds, n, list, sizeof(list));
	mistake(r->mistakes, map->line, "%s names no kind of source; write, for example, %s; the kinds are %s", s->what,
		example, list);
}

/* The one key among those of a mapping that names a kind of source; NULL (said): none does, or several. */
static const struct node *kind_key(struct reader *r, const struct node *map, const struct schema *s, const char *example)
{
	const struct node *found = NULL;

	for (const struct node *key = map->kind == NODE_MAP ? map->first : NULL; key; key = key->next->next) {
		if (kind_of(key->text) < 0)
			continue;
		if (found) {
			mistake(r->mistakes, key->line, "%s is of one kind, and this one is %s already; write two", s->what,
				found->text);
			return NULL;
		}
		found = key;
	}
	if (!found)
		say_no_kind(r, map, s, example);
	return found;
}

static bool source_is_known(const struct config *c, const struct source *s)
{
	for (size_t i = 0; i < c->n_sources; i++)
		if (!strcmp(c->sources[i].name, s->name))
			return true;
	return false;
}

static bool there_is_room(struct reader *r, const struct node *item, size_t n, size_t most, const char *of_what)
{
	if (n >= most)
		mistake(r->mistakes, item->line, "there are more than %zu %s; remove some", most, of_what);
	return n < most;
}

/* What several keys of a source together can have wrong. */
static void check_source(struct reader *r, const struct node *item, const struct source *s)
{
	if (s->ttl_min_ms > s->ttl_max_ms)
		mistake(r->mistakes, item->line, "source %s: ttl: min is larger than max; write the shorter time first", s->name);
	if (!s->tls.cert != !s->tls.key)
		mistake(r->mistakes, item->line, "source %s: tls has only one of cert and key; give both, or neither", s->name);
	if (!s->user != !s->password_file)
		mistake(r->mistakes, item->line, "source %s: only one of user and password-file is given; give both, or neither",
			s->name);
	if (s->context && !s->kubeconfig)
		mistake(r->mistakes, item->line, "source %s: context is of a kubeconfig, and none is given; add kubeconfig", s->name);
	if (s->kubeconfig && (s->servers.n || s->token_file))
		mistake(r->mistakes, item->line, "source %s: kubeconfig says server and credentials; remove url and token-file, "
			"or kubeconfig", s->name);
	if (source_is_known(r->config, s))
		mistake(r->mistakes, item->line, "another source has the name %s; give this one a name of its own, name: %s-2",
			SHOWN(s->name), SHOWN(s->name));
}

static void read_source(struct reader *r, const struct node *item)
{
	_cleanup_(source_clear) struct source s = {};
	const struct node *kind = kind_key(r, item, &source_schema, "{ consul: { url: \"http://127.0.0.1:8500\" } }");
	size_t before = r->mistakes->n;
	struct source *new;

	if (!kind || !there_is_room(r, item, r->config->n_sources, SOURCES_MAX, "sources"))
		return;
	read_schema(r, &source_schema, item, &s);
	if (!s.name)
		s.name = text_keep(r, kind->text);
	if (r->mistakes->n != before || r->mistakes->error)
		return;
	check_source(r, item, &s);
	new = array_add(r, &r->config->sources, r->config->n_sources, sizeof(*new));
	if (!new)
		return;
	*new = s;
	s = (struct source){};
	r->config->n_sources++;
}

void read_sources(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	(void)k;
	(void)field;
	for (const struct node *item = value->first; item && !mistakes_full(r->mistakes); item = item->next)
		read_source(r, item);
}

/* ---- what is asked of them ---- */

#define SOURCE_NAME(structure) NAME("source", structure, source, .help = "consul-east")

static const struct key discover_consul_keys[] = {
	NAME("service", discover, name, .required = true, .help = "web"),
	{ "tags", NODE_SCALAR | NODE_LIST, read_tags, offsetof(struct discover, tags), .help = "[v2]" },
	NAME("datacenter", discover, datacenter, .help = "dc2"),
	SOURCE_NAME(discover),
};

/* A port of a Service or its slices, by name or by number. */
static void read_port_name(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	uint16_t number;

	if (value->text[strspn(value->text, "0123456789")] || !*value->text || !port_parse(value->text, &number))
		read_name(r, k, value, field);
	else
		mistake(r->mistakes, value->line, "\"%s\" is %s; give the name of a port, such as %s, or a number from 1 to 65535",
			k->name, SHOWN(value->text), k->help);
}

static const struct key discover_kubernetes_keys[] = {
	NAME("service", discover, name, .required = true, .help = "web"),
	NAME("namespace", discover, namespace, .help = "default"),
	{ "port", NODE_SCALAR, read_port_name, offsetof(struct discover, port_name), .min = 1, .max = TEXT_MAX, .help = "http" },
	SOURCE_NAME(discover),
};
static const struct key discover_etcd_keys[] = {
	NAME("prefix", discover, name, .required = true, .help = "/shunt/services/web/"),
	SOURCE_NAME(discover),
};

#define DNS_NAME_MAX 253 /* characters, as it is written */
#define DNS_LABEL_MAX 63

/* Labels with dots between them, and perhaps one at the end. */
static bool dns_name_is_fine(const char *text)
{
	size_t len = strlen(text), label;

	if (len > 1 && text[len - 1] == '.')
		len--;
	for (size_t at = 0; at < len; at += label + 1) {
		label = strcspn(text + at, ".");
		if (!label || label > DNS_LABEL_MAX || at + label + 1 == len)
			return false;
	}
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)text[i]) || text[i] == '\\')
			return false;
	return len <= DNS_NAME_MAX;
}

static void read_name_of_dns(struct reader *r, const struct key *k, const struct node *value, struct discover *d)
{
	if (d->name)
		mistake(r->mistakes, value->line, "\"dns\" has both name and srv; keep one of the two");
	if (dns_name_is_fine(value->text))
		read_name(r, k, value, &d->name);
	else
		mistake(r->mistakes, value->line, "\"%s\" is \"%s\", which is no name of DNS; write labels of 1 to %d characters with "
			"dots between them, at most %d in all, such as %s", k->name, SHOWN(value->text), DNS_LABEL_MAX,
			DNS_NAME_MAX, k->help);
}

static void read_srv(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct discover *d = field;

	d->srv = true;
	read_name_of_dns(r, k, value, d);
}

static void read_dns_name(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct discover *d = field;

	d->srv = false;
	read_name_of_dns(r, k, value, d);
}

static const struct key discover_dns_keys[] = {
	{ "name", NODE_SCALAR, read_dns_name, 0, .min = 1, .max = TEXT_MAX, .help = "web.example.org" },
	{ "srv", NODE_SCALAR, read_srv, 0, .min = 1, .max = TEXT_MAX, .help = "_http._tcp.example.org" },
	{ "port", NODE_SCALAR, read_u16, offsetof(struct discover, port), .min = 1, .max = 65535, .help = "80" },
	SOURCE_NAME(discover),
};
static const struct key discover_files_keys[] = {
	{ "directory", NODE_SCALAR, read_path, offsetof(struct discover, name), .required = true, .min = 2, .max = TEXT_MAX,
	  .help = "/etc/shunt/web.d" },
};

static const struct schema discover_schemas[N_SOURCE_KINDS] = {
	[SOURCE_CONSUL] = SCHEMA("consul", discover_consul_keys),
	[SOURCE_KUBERNETES] = SCHEMA("kubernetes", discover_kubernetes_keys),
	[SOURCE_ETCD] = SCHEMA("etcd", discover_etcd_keys),
	[SOURCE_DNS] = SCHEMA("dns", discover_dns_keys),
	[SOURCE_FILES] = SCHEMA("files", discover_files_keys),
};

static void read_discover_kind(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct discover *d = field;

	d->kind = kind_of(k->name);
	read_schema(r, &discover_schemas[d->kind], value, d);
	if (d->kind == SOURCE_KUBERNETES && !d->namespace)
		d->namespace = text_keep(r, "default");
	if (d->kind == SOURCE_DNS && !d->name)
		mistake(r->mistakes, value->line, "\"dns\" needs a name or srv; add, for example, srv: _http._tcp.example.org");
	if (d->srv && d->port)
		mistake(r->mistakes, value->line, "SRV records say the port themselves; remove port, or use name in place of srv");
}

static const char *const none_words[] = { "keep", "allow" };

static void read_none(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	*(bool *)field = word_number(r, k, value) == 1;
}

#define DISCOVER_KIND(kind, example) \
	{ \
		kind, NODE_MAP, read_discover_kind, 0, .help = (example) \
	}
static const struct key discover_keys[] = {
	DISCOVER_KIND("consul", "{ service: web }"),
	DISCOVER_KIND("kubernetes", "{ service: web, namespace: default }"),
	DISCOVER_KIND("etcd", "{ prefix: /shunt/services/web/ }"),
	DISCOVER_KIND("dns", "{ srv: _http._tcp.example.org }"),
	DISCOVER_KIND("files", "{ directory: /etc/shunt/web.d }"),
	{ "none", NODE_SCALAR, read_none, offsetof(struct discover, allow_none), .words = none_words,
	  .n_words = ARRAY_SIZE(none_words), .help = "keep" },
};
static const struct schema discover_schema = SCHEMA("discover", discover_keys);

static void add_discover(struct reader *r, const struct node *item, struct service *s)
{
	_cleanup_(discover_clear) struct discover d = {};
	size_t before = r->mistakes->n;
	struct discover *new;

	if (!kind_key(r, item, &discover_schema, "{ consul: { service: web } }") ||
	    !there_is_room(r, item, s->n_discovers, DISCOVERS_MAX, "discovers of one service"))
		return;
	read_schema(r, &discover_schema, item, &d);
	if (r->mistakes->n != before || r->mistakes->error)
		return;
	for (size_t i = 0; i < s->n_discovers; i++)
		if (discover_equal(&s->discovers[i], &d))
			mistake(r->mistakes, item->line, "the same is discovered twice; delete one of the two");
	new = array_add(r, &s->discovers, s->n_discovers, sizeof(*new));
	if (!new)
		return;
	*new = d;
	d = (struct discover){};
	s->n_discovers++;
}

void read_discovers(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	(void)k;
	for (const struct node *item = node_items(value); item && !mistakes_full(r->mistakes); item = node_after(value, item))
		add_discover(r, item, field);
}

/* ---- what this host announces ---- */

static const struct key announce_consul_keys[] = {
	NAME("service", announce, name, .required = true, .help = "web"),
	NAME("id", announce, id, .help = "web-1"),
	{ "tags", NODE_SCALAR | NODE_LIST, read_tags, offsetof(struct announce, tags), .help = "[v2]" },
	SOURCE_NAME(announce),
};
static const struct key announce_etcd_keys[] = {
	NAME("prefix", announce, name, .required = true, .help = "/shunt/services/web/"),
	NAME("id", announce, id, .help = "web-1"),
	SOURCE_NAME(announce),
};
static const struct schema announce_consul_schema = SCHEMA("consul", announce_consul_keys);
static const struct schema announce_etcd_schema = SCHEMA("etcd", announce_etcd_keys);

static void read_announce_kind(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct announce *a = field;

	a->kind = kind_of(k->name);
	read_schema(r, k->schema, value, a);
}

static const struct key announce_keys[] = {
	{ "consul", NODE_MAP, read_announce_kind, 0, .schema = &announce_consul_schema, .help = "{ service: web }" },
	{ "etcd", NODE_MAP, read_announce_kind, 0, .schema = &announce_etcd_schema, .help = "{ prefix: /shunt/services/web/ }" },
	{ "address", NODE_SCALAR, read_address, offsetof(struct announce, at), .required = true, .help = "\"10.0.0.11:80\"" },
	{ "weight", NODE_SCALAR, read_u32, offsetof(struct announce, weight), .max = WEIGHT_MAX, .help = "100" },
	{ "health", NODE_SCALAR | NODE_MAP, read_health, offsetof(struct announce, check), .help = "{ tcp: {} }" },
	{ "ttl", NODE_SCALAR, read_duration, offsetof(struct announce, ttl_ms), .min = 2000, .max = 3600 * 1000, .help = "15s" },
};
static const struct schema announce_schema = SCHEMA("register", announce_keys);

#define ANNOUNCE_TTL_MS 15000

static void read_announce(struct reader *r, const struct node *item)
{
	_cleanup_(announce_clear) struct announce a = { .weight = WEIGHT_DEFAULT, .check = check_default(CHECK_TCP),
							.ttl_ms = ANNOUNCE_TTL_MS };
	size_t before = r->mistakes->n;
	const struct node **place;
	struct announce *new;

	if (!kind_key(r, item, &announce_schema, "{ consul: { service: web }, address: \"10.0.0.11:80\" }") ||
	    !there_is_room(r, item, r->config->n_announces, ANNOUNCES_MAX, "servers to register"))
		return;
	read_schema(r, &announce_schema, item, &a);
	if (r->mistakes->n == before && !a.at.port)
		mistake(r->mistakes, item->line, "the address to register has no port; write ADDRESS:PORT, such as \"10.0.0.11:80\"");
	if (r->mistakes->n != before || r->mistakes->error)
		return;
	place = array_add(r, &r->announces, r->config->n_announces, sizeof(*place));
	new = array_add(r, &r->config->announces, r->config->n_announces, sizeof(*new));
	if (!place || !new)
		return;
	*place = item;
	*new = a;
	a = (struct announce){};
	r->config->n_announces++;
}

void read_announces(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	(void)k;
	(void)field;
	for (const struct node *item = node_items(value); item && !mistakes_full(r->mistakes); item = node_after(value, item))
		read_announce(r, item);
}

/* ---- parts of a service by themselves ---- */

/* Into s, which is cleared by the caller. */
static int parse_part(const char *name, const char *text, size_t len, const char *empty, config_error_fn report, void *arg,
		      struct service *s, void (*read)(struct reader *r, const struct node *root, struct service *s))
{
	_cleanup_(tree_freep) struct tree *tree = NULL;
	_cleanup_(mistakes_clear) struct mistakes m = {};
	struct reader r = { .mistakes = &m };
	int err = tree_parse(text, len, empty, &m, &tree);

	if (!err) {
		read(&r, tree_root(tree), s);
		err = m.error ?: m.n ? -EINVAL : 0;
	}
	if (err == -EINVAL)
		mistakes_report(&m, name, report, arg);
	return err;
}

int config_parse_backends(const char *name, const char *text, size_t len, config_error_fn report, void *arg,
			  struct backend **out, size_t *n)
{
	_cleanup_(service_clear) struct service s = {};
	int err = parse_part(name, text, len, "it is empty; write a backend, such as { address: \"10.0.0.11:80\" }", report, arg,
			     &s, read_backend_document);

	if (err)
		return err;
	*out = TAKE_PTR(s.backends);
	*n = s.n_backends;
	return 0;
}

static void read_discover_document(struct reader *r, const struct node *root, struct service *s)
{
	read_discovers(r, NULL, root, s);
}

int config_parse_discovers(const char *name, const char *text, size_t len, config_error_fn report, void *arg,
			   struct discover **out, size_t *n)
{
	_cleanup_(service_clear) struct service s = {};
	int err = parse_part(name, text, len, "it is empty; write a question, such as consul: { service: web }", report, arg, &s,
			     read_discover_document);

	if (err)
		return err;
	*out = TAKE_PTR(s.discovers);
	*n = s.n_discovers;
	s.n_discovers = 0;
	return 0;
}
