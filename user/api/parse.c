/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>

#include "base/clean.h"

const char *const service_keys[] = { "name", "listen", "algorithm", "forward", "affinity", "quic", "slots",
					  "check", "at", "no_backend", "clients", NULL };
const char *const backend_keys[] = { "address", "weight", "admin", "server_id", NULL };

#define wrong(error, ...) (snprintf(error, PARSE_ERROR, __VA_ARGS__), -EINVAL)

int parse_number(const json_t *o, const char *key, uint64_t min, uint64_t max, uint64_t *out, char error[PARSE_ERROR])
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	if (!v)
		return 0;
	if (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max)
		return wrong(error, "\"%s\" is no whole number from %" PRIu64 " to %" PRIu64, key, min, max);
	*out = n;
	return 0;
}

/* One of n words, by its number; *out is untouched when o has no such key. */
static int parse_word(const json_t *o, const char *key, const char *const *words, int n, int *out,
		      char error[PARSE_ERROR])
{
	const json_t *v = json_object_get(o, key);
	char known[128] = "";

	if (!v)
		return 0;
	for (int i = 0; i < n; i++) {
		size_t len = strlen(known);

		if (json_is_string(v) && !strcmp(words[i], json_string_value(v))) {
			*out = i;
			return 0;
		}
		snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "", words[i]);
	}
	return wrong(error, "\"%s\" is none of %s", key, known);
}

static int parse_text(const json_t *o, const char *key, char **out, char error[PARSE_ERROR])
{
	const json_t *v = json_object_get(o, key);
	char *copy;

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return wrong(error, "\"%s\" is no text", key);
	copy = strdup(json_string_value(v));
	if (!copy)
		return -ENOMEM;
	free(*out);
	*out = copy;
	return 0;
}

/* ---- checks ---- */

static const char *const check_kinds[] = { "none", "tcp", "http" };
static const char *const check_keys[] = { "kind", "port", "path", "host", "status_min", "status_max",
					  "interval_ms", "timeout_ms", "fall", "rise" };

static int check_unknown_keys(const json_t *o, const char *name, const char *const *keys, size_t n,
			      char error[PARSE_ERROR])
{
	json_t *copy = json_copy((json_t *)o);
	const char *left;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		json_object_del(copy, keys[i]);
	left = json_object_iter_key(json_object_iter(copy));
	if (left)
		err = wrong(error, "unknown key \"%.64s\" in \"%s\"", left, name);
	json_decref(copy);
	return err;
}

static int parse_check_numbers(const json_t *o, struct check *c, char error[PARSE_ERROR])
{
	uint64_t port = 0, status_min = c->status_min, status_max = c->status_max, interval = c->interval_ms,
		 timeout = c->timeout_ms, fall = c->fall, rise = c->rise;

	if (parse_number(o, "port", 1, 65535, &port, error) ||
	    parse_number(o, "status_min", 100, 599, &status_min, error) ||
	    parse_number(o, "status_max", 100, 599, &status_max, error) ||
	    parse_number(o, "interval_ms", 10, 3600000, &interval, error) ||
	    parse_number(o, "timeout_ms", 10, 3600000, &timeout, error) ||
	    parse_number(o, "fall", 1, 1000, &fall, error) || parse_number(o, "rise", 1, 1000, &rise, error))
		return -EINVAL;
	c->port = port;
	c->status_min = c->kind == CHECK_HTTP ? status_min : 0;
	c->status_max = c->kind == CHECK_HTTP ? status_max : 0;
	c->interval_ms = interval;
	c->timeout_ms = timeout;
	c->fall = fall;
	c->rise = rise;
	return 0;
}

/* What is not said is as in a file: a TCP check where there is TCP. */
static struct check unsaid_check(const struct service *s)
{
	for (size_t i = 0; i < s->n_listens; i++)
		if (s->listens[i].proto == IPPROTO_TCP)
			return check_default(CHECK_TCP);
	return check_default(CHECK_NONE);
}

static int parse_check(const json_t *o, struct check *c, char error[PARSE_ERROR])
{
	int kind = CHECK_TCP, err;

	if (!json_is_object(o))
		return wrong(error, "\"check\" is no object such as {\"kind\": \"tcp\"}");
	err = check_unknown_keys(o, "check", check_keys, ARRAY_SIZE(check_keys), error);
	if (!err)
		err = parse_word(o, "kind", check_kinds, ARRAY_SIZE(check_kinds), &kind, error);
	*c = check_default(kind);
	if (err || kind == CHECK_NONE)
		return err;
	err = parse_check_numbers(o, c, error);
	if (err || kind != CHECK_HTTP)
		return err;
	err = parse_text(o, "path", &c->path, error);
	if (!err)
		err = parse_text(o, "host", &c->host, error);
	if (!err && !c->path && !(c->path = strdup("/")))
		err = -ENOMEM;
	return err;
}

/* ---- services ---- */

static int parse_listens(const json_t *list, struct service *s, char error[PARSE_ERROR])
{
	if (!json_is_array(list) || !json_array_size(list))
		return wrong(error, "\"listen\" is no list such as [\"192.0.2.10:80/tcp\"]");
	s->listens = calloc(json_array_size(list), sizeof(*s->listens));
	if (!s->listens)
		return -ENOMEM;
	for (; s->n_listens < json_array_size(list); s->n_listens++) {
		const char *text = json_string_value(json_array_get(list, s->n_listens));

		if (!text || listen_parse(text, &s->listens[s->n_listens]))
			return wrong(error, "listen \"%.80s\": write ADDRESS:PORT/tcp or ADDRESS:PORT/udp, with * for every port,"
				     " such as 192.0.2.10:80/tcp or [2001:db8::1]:*/udp", text ?: "");
	}
	return 0;
}

static int parse_quic(const json_t *o, struct quic *q, char error[PARSE_ERROR])
{
	uint64_t config = 0, server_id = 0;

	if (!o || json_is_null(o))
		return 0;
	if (!json_is_object(o) || !json_object_get(o, "server_id"))
		return wrong(error, "\"quic\" is no object such as {\"config\": 0, \"server_id\": 2}");
	if (parse_number(o, "config", 0, QUIC_CONFIG_MAX, &config, error) ||
	    parse_number(o, "server_id", 1, SERVER_ID_MAX, &server_id, error))
		return -EINVAL;
	*q = (struct quic){ .config = config, .server_id = server_id };
	return 0;
}

/* ---- local connections ---- */

/* A list of words of which each is one bit. */
static int parse_at(const json_t *list, unsigned *out, char error[PARSE_ERROR])
{
	unsigned bits = 0;
	const json_t *word;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	json_array_foreach(list, i, word)
		for (size_t n = 0; n < ARRAY_SIZE(where_names); n++)
			bits |= json_is_string(word) && !strcmp(json_string_value(word), where_names[n]) ? 1u << n : 0;
	if (!bits || json_array_size(list) != (size_t)__builtin_popcount(bits))
		return wrong(error, "\"at\" is no list of edge, socket or both, such as [\"socket\"]");
	*out = bits;
	return 0;
}

static int parse_paths(const json_t *o, const char *key, bool (*is_fine)(const char *), struct texts *t,
		       char error[PARSE_ERROR])
{
	const json_t *list = json_object_get(o, key);

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list) || json_array_size(list) > TEXTS_MAX)
		return wrong(error, "\"%s\" is no list of at most %d paths", key, TEXTS_MAX);
	t->list = calloc(json_array_size(list) + 1, sizeof(*t->list));
	if (!t->list)
		return -ENOMEM;
	for (; t->n < json_array_size(list); t->n++) {
		const char *text = json_string_value(json_array_get(list, t->n));

		if (!text || !is_fine(text))
			return wrong(error, "\"%.80s\" in \"%s\" is no path that begins with / and has no // or ..",
				     text ?: "", key);
		t->list[t->n] = strdup(text);
		if (!t->list[t->n])
			return -ENOMEM;
	}
	return 0;
}

static int parse_clients(const json_t *o, struct service *s, char error[PARSE_ERROR])
{
	static const char *const keys[] = { "cgroups", "namespaces" };
	int err;

	if (!o || json_is_null(o))
		return 0;
	if (!json_is_object(o))
		return wrong(error, "\"clients\" is no object such as {\"cgroups\": [\"/system.slice/web.service\"]}");
	err = check_unknown_keys(o, "clients", keys, ARRAY_SIZE(keys), error);
	if (!err)
		err = parse_paths(o, "cgroups", cgroup_path_is_fine, &s->clients.cgroups, error);
	if (!err)
		err = parse_paths(o, "namespaces", namespace_path_is_fine, &s->clients.namespaces, error);
	return err;
}

static int parse_socket(const json_t *o, struct service *s, char error[PARSE_ERROR])
{
	int refuses = s->refuses, err = parse_at(json_object_get(o, "at"), &s->at, error);

	if (!err)
		err = parse_word(o, "no_backend", no_backend_names, ARRAY_SIZE(no_backend_names), &refuses, error);
	s->refuses = refuses;
	return err ?: parse_clients(json_object_get(o, "clients"), s, error);
}

/* ---- a whole service ---- */

int parse_service(const json_t *o, struct service *out, char error[PARSE_ERROR])
{
	_cleanup_(service_clear) struct service s = service_default();
	int algorithm = ALGORITHM_CONSISTENT, forward = FORWARD_IPIP, affinity = AFFINITY_FLOW, err;
	uint64_t slots = 0;

	if (!json_object_get(o, "name"))
		return wrong(error, "\"name\" is missing");
	err = parse_text(o, "name", &s.name, error);
	if (!err && !s.name)
		return wrong(error, "\"name\" is missing");
	if (!err)
		err = parse_listens(json_object_get(o, "listen"), &s, error);
	if (!err)
		err = parse_word(o, "algorithm", algorithm_names, ARRAY_SIZE(algorithm_names), &algorithm, error);
	if (!err)
		err = parse_word(o, "forward", forward_names, ARRAY_SIZE(forward_names), &forward, error);
	if (!err)
		err = parse_word(o, "affinity", affinity_names, ARRAY_SIZE(affinity_names), &affinity, error);
	if (!err)
		err = parse_quic(json_object_get(o, "quic"), &s.quic, error);
	if (!err)
		err = parse_socket(o, &s, error);
	if (!err)
		err = parse_number(o, "slots", 64, 1 << 20, &slots, error);
	if (!err && json_object_get(o, "check"))
		err = parse_check(json_object_get(o, "check"), &s.check, error);
	else if (!err)
		s.check = unsaid_check(&s);
	if (err)
		return err;
	s.algorithm = algorithm;
	s.forward = forward;
	s.affinity = affinity;
	s.slots = slots;
	*out = s;
	s = (struct service){};
	return 0;
}

/* ---- backends ---- */

int parse_address(const char *text, struct endpoint *out, char error[PARSE_ERROR])
{
	struct endpoint at;

	if (!text || endpoint_parse(text, &at))
		return wrong(error, "backend \"%.80s\": write ADDRESS:PORT, such as 10.0.0.11:80 or [2001:db8::11]:80",
			     text ?: "");
	*out = at;
	return 0;
}

int parse_backend(const json_t *o, struct backend *b, char error[PARSE_ERROR])
{
	static const char *const admins[] = {
		[ADMIN_ENABLED] = "enable", [ADMIN_DRAINING] = "drain", [ADMIN_DISABLED] = "disable"
	};
	const json_t *id = json_object_get(o, "server_id");
	uint64_t weight = b->weight;
	int admin = b->admin;

	if (parse_number(o, "weight", 0, WEIGHT_MAX, &weight, error) ||
	    parse_word(o, "admin", admins, ARRAY_SIZE(admins), &admin, error))
		return -EINVAL;
	if (id && (!json_is_string(id) || server_id_parse(json_string_value(id), &b->server_id)))
		return wrong(error, "\"server_id\" is no text of 1 to %d bytes as hexadecimal digits, such as \"0a0b\"",
			     SERVER_ID_MAX);
	b->weight = weight;
	b->admin = admin;
	return 0;
}

/* ---- explain ---- */

int parse_endpoint(const json_t *o, const char *key, struct endpoint *out, char error[PARSE_ERROR])
{
	const char *text = json_string_value(json_object_get(o, key));

	if (text && !endpoint_parse(text, out) && out->port)
		return 0;
	snprintf(error, PARSE_ERROR, "%s \"%.80s\": write ADDRESS:PORT, such as 192.0.2.10:80 or [2001:db8::10]:80",
		 key, text ?: "");
	return -EINVAL;
}

int parse_protocol(const json_t *o, uint8_t *out, char error[PARSE_ERROR])
{
	const char *text = json_string_value(json_object_get(o, "protocol")) ?: "tcp";

	*out = strcmp(text, "udp") ? IPPROTO_TCP : IPPROTO_UDP;
	if (*out == IPPROTO_UDP || !strcmp(text, "tcp"))
		return 0;
	snprintf(error, PARSE_ERROR, "protocol \"%.32s\": write tcp or udp", text);
	return -EINVAL;
}
