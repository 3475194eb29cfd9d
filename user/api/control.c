/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The control socket: takes a request apart, finds its route, asks whether it is allowed, sends what the handler says. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "api/call.h"
#include "api/permit.h"
#include "base/clean.h"

#define BODY_MAX (16 << 20) /* bytes */

static const struct route {
	enum evhttp_cmd_type method;
	const char *pattern;
	bool changes; /* for the owner only; apply decides itself, for a dry run changes nothing */
	call_handler handler;
} routes[] = {
	{ EVHTTP_REQ_GET, "v1/status", false, get_status },
	{ EVHTTP_REQ_GET, "v1/services", false, get_services },
	{ EVHTTP_REQ_POST, "v1/services", true, post_service },
	{ EVHTTP_REQ_GET, "v1/services/?", false, get_service },
	{ EVHTTP_REQ_DELETE, "v1/services/?", true, delete_service },
	{ EVHTTP_REQ_POST, "v1/services/?/backends", true, post_backend },
	{ EVHTTP_REQ_POST, "v1/services/?/backends/?", true, post_backend_change },
	{ EVHTTP_REQ_DELETE, "v1/services/?/backends/?", true, delete_backend },
	{ EVHTTP_REQ_GET, "v1/backends", false, get_backends },
	{ EVHTTP_REQ_POST, "v1/apply", false, post_apply },
	{ EVHTTP_REQ_POST, "v1/explain", false, post_explain },
	{ EVHTTP_REQ_POST, "v1/explain/connect", false, post_explain_connect },
	{ EVHTTP_REQ_GET, "v1/drops", false, get_drops },
	{ EVHTTP_REQ_GET, "v1/flows", false, get_flows },
	{ EVHTTP_REQ_GET, "v1/flows/?/?/?", false, get_flow },
	{ EVHTTP_REQ_GET, "v1/connections", false, get_connections },
	{ EVHTTP_REQ_GET, "v1/sources", false, get_sources },
	{ EVHTTP_REQ_GET, "v1/sources/?", false, get_source },
	{ EVHTTP_REQ_POST, "v1/sources/test", true, post_source_test },
	{ EVHTTP_REQ_GET, "v1/events", false, get_events },
};

/* ---- what handlers use ---- */

const char *call_query(const struct call *c, const char *key)
{
	return evhttp_find_header(&c->query, key);
}

int call_limit(struct call *c, uint64_t without, uint64_t most, uint64_t *out)
{
	const char *text = call_query(c, "limit");
	size_t len = text ? strlen(text) : 0;

	*out = text ? strtoul(text, NULL, 10) : without;
	if (!text || (len && len <= 5 && strspn(text, "0123456789") == len && *out <= most))
		return 0;
	return call_error(c, 400, "limit \"%.32s\" is no whole number from 0 to %" PRIu64, text, most);
}

int call_ok(struct call *c, json_t *reply)
{
	if (!reply)
		return call_error(c, 500, "out of memory");
	json_decref(c->reply);
	c->reply = reply;
	return 200;
}

int call_error(struct call *c, int status, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	json_decref(c->reply);
	/* what came from outside may be no text that JSON can carry */
	c->reply = json_pack("{s:s}", "error", text ?: "out of memory");
	if (!c->reply)
		c->reply = json_pack("{s:s}", "error", "the request is not UTF-8 text");
	return status;
}

int call_errors(struct call *c, int status, json_t *errors)
{
	size_t n = json_array_size(errors);

	if (n == 1)
		call_error(c, status, "%s", json_string_value(json_array_get(errors, 0)));
	else
		call_error(c, status, "%zu errors, nothing was changed", n);
	json_object_set_new(c->reply, "errors", errors);
	return status;
}

int call_forbidden(struct call *c)
{
	return call_error(c, 403, "only root and the owner of the control socket may change things, the socket's group may look");
}

static bool known_key(const char *key, const char *const *keys)
{
	for (; *keys; keys++)
		if (!strcmp(*keys, key))
			return true;
	return false;
}

json_t *call_object(struct call *c, const char *const *keys)
{
	json_error_t error;
	json_t *body = json_loadb(c->body ?: "", c->body_len, JSON_REJECT_DUPLICATES, &error), *value;
	const char *key;

	if (!json_is_object(body)) {
		call_error(c, 400, "the body is no JSON object: %s", body ? "it is something else" : error.text);
		json_decref(body);
		return NULL;
	}
	json_object_foreach(body, key, value) {
		if (known_key(key, keys))
			continue;
		call_error(c, 400, "unknown key \"%s\" in the body", key);
		json_decref(body);
		return NULL;
	}
	return body;
}

/* ---- the way of a request ---- */

static bool may_change(const struct api *a, struct evhttp_request *req)
{
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(bufferevent_getfd(bev), SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       permit_change(peer.uid, a->owner);
}

static int split_path(struct call *c, const char *path)
{
	_cleanup_free_ char *copy = strdup(path ?: "");
	char *save, *part;

	if (!copy)
		return -ENOMEM;
	for (part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (c->n_parts == CALL_PARTS_MAX)
			return -E2BIG;
		c->parts[c->n_parts] = evhttp_uridecode(part, 0, NULL);
		if (!c->parts[c->n_parts++])
			return -ENOMEM;
	}
	return 0;
}

static int route(struct call *c, enum evhttp_cmd_type method)
{
	bool path_known = false;

	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		const struct route *r = &routes[i];

		if (!route_matches(r->pattern, c->parts, c->n_parts))
			continue;
		path_known = true;
		if (r->method != method)
			continue;
		return r->changes && !c->may_change ? call_forbidden(c) : r->handler(c);
	}
	if (path_known)
		return call_error(c, 405, "this path does not take this method");
	return call_error(c, 404, "there is nothing at this path; see shunt(8) for what there is");
}

static int dispatch(struct call *c, struct evhttp_request *req)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	struct evbuffer *body = evhttp_request_get_input_buffer(req);

	c->body_len = evbuffer_get_length(body);
	if (c->body_len > BODY_MAX)
		return call_error(c, 413, "the body is larger than %d MiB", BODY_MAX >> 20);
	c->body = c->body_len ? (const char *)evbuffer_pullup(body, -1) : NULL;
	if (c->body_len && !c->body)
		return call_error(c, 500, "out of memory");
	if (split_path(c, evhttp_uri_get_path(uri)))
		return call_error(c, 404, "there is nothing at this path");
	if (evhttp_uri_get_query(uri) && evhttp_parse_query_str(evhttp_uri_get_query(uri), &c->query))
		return call_error(c, 400, "the query is malformed");
	return route(c, evhttp_request_get_command(req));
}

static const char *reason_phrase(int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 413: return "Content Too Large";
	}
	return "Internal Server Error";
}

static void free_text(const void *data, size_t len, void *text)
{
	(void)data;
	(void)len;
	free(text);
}

void call_reply(struct evhttp_request *req, int status, const json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT | JSON_REAL_PRECISION(10)) : NULL;
	struct evbuffer *out = evbuffer_new();

	if (!text || !out || evbuffer_add_reference(out, text, strlen(text), free_text, text)) {
		free(text);
		status = 500;
	} else {
		evbuffer_add(out, "\n", 1);
	}
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "application/json");
	evhttp_send_reply(req, status, reason_phrase(status), out);
	if (out)
		evbuffer_free(out);
}

void control_request(struct evhttp_request *req, void *arg)
{
	struct call c = { .api = arg, .may_change = may_change(arg, req), .request = req };
	int status;

	TAILQ_INIT(&c.query);
	status = dispatch(&c, req);
	if (status != CALL_LATER)
		call_reply(req, status, c.reply);
	json_decref(c.reply);
	evhttp_clear_headers(&c.query);
	for (size_t i = 0; i < c.n_parts; i++)
		free(c.parts[i]);
}
