/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changing services and backends: a copy of what is listed is changed, validated as a whole, applied. What is added or
 * deleted holds until the next apply or reload; what is said of an endpoint (drain, weight ...) until it is taken back, or
 * the next apply. The file is not touched.
 */
#include "api/change.h"

#include <errno.h>
#include <string.h>

#include "api/parse.h"
#include "api/render.h"
#include "base/clean.h"
#include "base/log.h"
#include "model/diff.h"

/* ---- applying ---- */

static void note_change(void *list, const struct diff *d)
{
	char text[DIFF_TEXT];

	json_array_append_new(list, json_string(diff_change(d, text)));
}

json_t *change_list(const struct config *from, const struct config *to)
{
	json_t *list = json_array();

	if (list)
		config_diff(from, to, note_change, list);
	return list;
}

static void note_error(void *list, enum log_level level, const char *line)
{
	if (level == LOG_LEVEL_ERROR)
		json_array_append_new(list, json_text(line));
}

/* What is logged as an error meanwhile becomes the reply. */
static int tapped(struct call *c, int (*fn)(struct api_context *x, const struct config *wanted),
		  const struct config *wanted)
{
	json_t *errors = json_array();
	int err;

	log_tap(note_error, errors);
	err = fn(c->api->x, wanted);
	log_tap(NULL, NULL);
	if (!err) {
		json_decref(errors);
		return 0;
	}
	if (!json_array_size(errors))
		json_array_append_new(errors, json_sprintf("applying failed: %s; the daemon's log says more", strerror(-err)));
	return call_errors(c, err == -ENOSPC || err == -EINVAL ? 400 : 500, errors);
}

int change_apply(struct call *c, const struct config *wanted)
{
	return tapped(c, c->api->x->apply, wanted);
}

int change_check(struct call *c, const struct config *wanted)
{
	return tapped(c, c->api->x->check, wanted);
}

static void note_fault(void *list, const struct service *s, const struct backend *b, const struct announce *a,
		       const char *sentence)
{
	char at[ENDPOINT_TEXT] = "";

	(void)a;
	if (b)
		endpoint_format(&b->at, at);
	json_array_append_new(list, json_sprintf("%s%s%s%s%s%s%s", s ? "service " : "", s ? s->name : "", s ? ": " : "",
						 b ? "backend " : "", at, b ? ": " : "", sentence));
}

static int validate(struct call *c, const struct config *wanted)
{
	json_t *errors = json_array();

	if (config_validate(wanted, note_fault, errors))
		return call_errors(c, 400, errors);
	json_decref(errors);
	return 0;
}

/* How many things commands said of endpoints. */
static size_t said(const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_overrides; i++)
		n += c->overrides[i].has_weight + c->overrides[i].has_admin;
	return n;
}

/* What is listed becomes wanted. Nothing happens when they are equal. */
static int commit(struct call *c, const struct config *wanted)
{
	_cleanup_(merged_clear) struct merged m = {};
	struct api_context *x = c->api->x;
	json_t *changes;
	bool differs, less;
	int status = validate(c, wanted);

	if (status)
		return status;
	if (merge(wanted, x->discovery, api_running(c->api), &c->api->x->held, &m))
		return call_error(c, 500, "what is wanted and what sources found cannot be merged; the daemon's log says why");
	changes = change_list(api_running(c->api), m.config);
	differs = config_differs(x->listed, wanted) || !config_overrides_equal(x->listed, wanted);
	less = said(wanted) < said(x->listed); /* what is listed is wanted when that is applied */
	status = differs || json_array_size(changes) ? change_apply(c, wanted) : 0;
	if (differs && !json_array_size(changes))
		json_array_append_new(changes, json_sprintf("%s: it makes no difference for now",
							    less ? "taken back" : "noted"));
	if (status) {
		json_decref(changes);
		return status;
	}
	return call_ok(c, json_pack("{s:o}", "changes", changes));
}

/* ---- services ---- */

static int add_service(struct call *c, struct service *s)
{
	_cleanup_(config_freep) struct config *wanted = config_copy(c->api->x->listed);
	_cleanup_free_ char *name = strdup(s->name);
	int err;

	if (!wanted || !name)
		return call_error(c, 500, "out of memory");
	tracking_fit(&s->tracking, &wanted->limits);
	err = config_service_add(wanted, s);
	if (err == -EEXIST)
		return call_error(c, 400, "there is a service %s already; delete it first, or use another name", name);
	if (err)
		return call_error(c, 500, "out of memory");
	config_normalise(wanted);
	return commit(c, wanted);
}

int post_service(struct call *c)
{
	_cleanup_(service_clear) struct service s = {};
	json_t *body = call_object(c, service_keys);
	char error[PARSE_ERROR];
	int err;

	if (!body)
		return 400;
	err = parse_service(body, &s, error);
	json_decref(body);
	if (err == -ENOMEM)
		return call_error(c, 500, "out of memory");
	return err ? call_error(c, 400, "%s", error) : add_service(c, &s);
}

/* What was said of its endpoints goes with it. */
static void forget_overrides(struct config *c, const char *service, const struct endpoint *at)
{
	for (size_t i = c->n_overrides; i--;) {
		struct override none = c->overrides[i];

		none.has_weight = none.has_admin = false;
		if (!strcmp(none.service, service) && (!at || !endpoint_compare(&none.at, at)))
			config_override_set(c, &none);
	}
}

int delete_service(struct call *c)
{
	_cleanup_(config_freep) struct config *wanted = config_copy(c->api->x->listed);
	const struct service *running = config_service(api_running(c->api), c->parts[2]);

	if (!wanted)
		return call_error(c, 500, "out of memory");
	if (running && running->offered_by)
		return call_error(c, 400, "service %s comes from the source %s; take it away there", c->parts[2],
				  running->offered_by);
	if (config_service_delete(wanted, c->parts[2]))
		return call_error(c, 404, "there is no service %s", c->parts[2]);
	forget_overrides(wanted, c->parts[2], NULL);
	return commit(c, wanted);
}

/* ---- backends ---- */

static int no_listed_service(struct call *c)
{
	const struct service *running = config_service(api_running(c->api), c->parts[2]);

	if (running && running->offered_by)
		return call_error(c, 400, "service %s comes from the source %s; add the backend there", c->parts[2],
				  running->offered_by);
	return call_error(c, 404, "there is no service %s", c->parts[2]);
}

int post_backend(struct call *c)
{
	_cleanup_(config_freep) struct config *wanted = config_copy(c->api->x->listed);
	struct backend b = { .weight = WEIGHT_DEFAULT };
	json_t *body = call_object(c, backend_keys);
	char error[PARSE_ERROR];
	struct service *s;
	int err;

	if (!body)
		return 400;
	err = parse_address(json_string_value(json_object_get(body, "address")), &b.at, error);
	if (!err)
		err = parse_backend(body, &b, error);
	json_decref(body);
	if (err)
		return call_error(c, 400, "%s", error);
	s = wanted ? config_service(wanted, c->parts[2]) : NULL;
	if (!s)
		return wanted ? no_listed_service(c) : call_error(c, 500, "out of memory");
	err = service_backend_add(s, &b);
	if (err == -EEXIST)
		return call_error(c, 400, "service %s has that backend already", s->name);
	return err ? call_error(c, 500, "out of memory") : commit(c, wanted);
}

/* The service that the path names, or with * every one; NULL after the last. i: where to go on. */
static struct service *next_service(const struct config *c, const char *name, size_t *i)
{
	if (strcmp(name, "*"))
		return (*i)++ ? NULL : config_service(c, name);
	return *i < c->n_services ? &c->services[(*i)++] : NULL;
}

static int no_backend(struct call *c, const struct config *config)
{
	if (!strcmp(c->parts[2], "*"))
		return call_error(c, 404, "no service has a backend %s", c->parts[4]);
	if (!config_service(config, c->parts[2]))
		return call_error(c, 404, "there is no service %s", c->parts[2]);
	return call_error(c, 404, "service %s has no backend %s", c->parts[2], c->parts[4]);
}

/*
 * What the request says of the endpoint, over what the layers below say now or later. To say what they say takes a weight
 * back, and to enable what they have enabled a state.
 */
static int override(struct config *wanted, const char *service, const struct backend *was, const struct backend *now,
		    const json_t *said)
{
	const struct override *before = config_override(wanted, service, &was->at);
	enum admin below_admin = was->overridden ? was->below_admin : was->admin;
	struct override o = { .at = was->at };

	if (before)
		o = *before;
	o.service = (char *)service;
	if (json_object_get(said, "weight")) {
		o.has_weight = now->weight != (was->overridden ? was->below_weight : was->weight);
		o.weight = now->weight;
	}
	if (json_object_get(said, "admin")) {
		o.has_admin = now->admin != ADMIN_ENABLED || below_admin != ADMIN_ENABLED;
		o.admin = now->admin;
	}
	return config_override_set(wanted, &o);
}

static int override_as_said(struct config *wanted, const char *service, const struct backend *was, const json_t *said,
			    char error[PARSE_ERROR])
{
	struct backend now = *was;

	return parse_backend(said, &now, error) ?: override(wanted, service, was, &now, said);
}

/* Of an endpoint that is not there now, something was said: it can be taken back, or said otherwise. */
static int override_absent(struct call *c, struct config *wanted, const struct endpoint *at, const json_t *said, size_t *found,
			   char error[PARSE_ERROR])
{
	const struct config *running = api_running(c->api), *listed = c->api->x->listed;
	int err = 0;

	for (size_t i = 0; i < listed->n_overrides && !err; i++) {
		const struct override *o = &listed->overrides[i];
		const struct service *s = config_service(running, o->service);
		struct backend was = { .at = *at, .weight = WEIGHT_DEFAULT };

		if (endpoint_compare(&o->at, at) || (strcmp(c->parts[2], "*") && strcmp(c->parts[2], o->service)) ||
		    (s && service_backend(s, at)))
			continue;
		++*found;
		err = override_as_said(wanted, o->service, &was, said, error);
	}
	return err;
}

int post_backend_change(struct call *c)
{
	static const char *const keys[] = { "admin", "weight", NULL };
	_cleanup_(config_freep) struct config *wanted = config_copy(c->api->x->listed);
	const struct config *running = api_running(c->api);
	json_t *body = call_object(c, keys);
	char error[PARSE_ERROR];
	struct endpoint at;
	size_t i = 0, found = 0;
	const struct service *s;
	int err;

	if (!body)
		return 400;
	err = wanted ? parse_address(c->parts[4], &at, error) : -ENOMEM;
	while (!err && (s = next_service(running, c->parts[2], &i))) {
		const struct backend *b = service_backend(s, &at);

		found += b != NULL;
		err = b ? override_as_said(wanted, s->name, b, body, error) : 0;
	}
	if (!err)
		err = override_absent(c, wanted, &at, body, &found, error);
	json_decref(body);
	if (err)
		return err == -ENOMEM ? call_error(c, 500, "out of memory") : call_error(c, 400, "%s", error);
	return found ? commit(c, wanted) : no_backend(c, running);
}

/* What a source found is not ours to delete. */
static int still_found(struct call *c, const struct endpoint *at)
{
	const struct config *running = api_running(c->api);
	const struct service *s;
	char text[ENDPOINT_TEXT], what[DISCOVER_TEXT];
	size_t i = 0;

	while ((s = next_service(running, c->parts[2], &i))) {
		const struct backend *b = service_backend(s, at);

		if (b && b->from && b->from <= s->n_discovers)
			return call_error(c, 400, "backend %s of service %s was found by %s; drain or disable it here, or take it away "
					  "there", endpoint_format(at, text), s->name,
					  discover_format(&s->discovers[b->from - 1], what));
	}
	return no_backend(c, running);
}

int delete_backend(struct call *c)
{
	_cleanup_(config_freep) struct config *wanted = config_copy(c->api->x->listed);
	char error[PARSE_ERROR];
	struct endpoint at;
	size_t i = 0, found = 0;
	struct service *s;

	if (!wanted)
		return call_error(c, 500, "out of memory");
	if (parse_address(c->parts[4], &at, error))
		return call_error(c, 400, "%s", error);
	while ((s = next_service(wanted, c->parts[2], &i))) {
		if (service_backend_delete(s, &at))
			continue;
		found++;
		if (!s->n_discovers) /* else it may still be found, and what was said of it holds */
			forget_overrides(wanted, s->name, &at);
	}
	return found ? commit(c, wanted) : still_found(c, &at);
}
