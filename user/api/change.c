/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Changing services and backends: a copy of what runs is changed, validated as a whole, applied. It holds until the
 * next apply or reload; the file is not touched.
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

static void note_fault(void *list, const struct service *s, const struct backend *b, const char *sentence)
{
	char at[ENDPOINT_TEXT] = "";

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

/* What runs becomes wanted. Nothing happens when they are equal. */
static int commit(struct call *c, const struct config *wanted)
{
	json_t *changes;
	int status = validate(c, wanted);

	if (status)
		return status;
	changes = change_list(api_running(c->api), wanted);
	status = json_array_size(changes) ? change_apply(c, wanted) : 0;
	if (status) {
		json_decref(changes);
		return status;
	}
	return call_ok(c, json_pack("{s:o}", "changes", changes));
}

/* ---- services ---- */

static int add_service(struct call *c, struct service *s)
{
	_cleanup_(config_freep) struct config *wanted = config_copy(api_running(c->api));
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

int delete_service(struct call *c)
{
	_cleanup_(config_freep) struct config *wanted = config_copy(api_running(c->api));

	if (!wanted)
		return call_error(c, 500, "out of memory");
	if (config_service_delete(wanted, c->parts[2]))
		return call_error(c, 404, "there is no service %s", c->parts[2]);
	return commit(c, wanted);
}

/* ---- backends ---- */

int post_backend(struct call *c)
{
	_cleanup_(config_freep) struct config *wanted = config_copy(api_running(c->api));
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
		return wanted ? call_error(c, 404, "there is no service %s", c->parts[2]) :
				call_error(c, 500, "out of memory");
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

int post_backend_change(struct call *c)
{
	static const char *const keys[] = { "admin", "weight", NULL };
	_cleanup_(config_freep) struct config *wanted = config_copy(api_running(c->api));
	json_t *body = call_object(c, keys);
	char error[PARSE_ERROR];
	struct endpoint at;
	size_t i = 0, found = 0;
	struct service *s;
	int err;

	if (!body)
		return 400;
	err = wanted ? parse_address(c->parts[4], &at, error) : -ENOMEM;
	while (!err && (s = next_service(wanted, c->parts[2], &i))) {
		struct backend *b = service_backend(s, &at);

		found += b != NULL;
		err = b ? parse_backend(body, b, error) : 0;
	}
	json_decref(body);
	if (err)
		return err == -ENOMEM ? call_error(c, 500, "out of memory") : call_error(c, 400, "%s", error);
	return found ? commit(c, wanted) : no_backend(c, wanted);
}

int delete_backend(struct call *c)
{
	_cleanup_(config_freep) struct config *wanted = config_copy(api_running(c->api));
	char error[PARSE_ERROR];
	struct endpoint at;
	size_t i = 0, found = 0;
	struct service *s;

	if (!wanted)
		return call_error(c, 500, "out of memory");
	if (parse_address(c->parts[4], &at, error))
		return call_error(c, 400, "%s", error);
	while ((s = next_service(wanted, c->parts[2], &i)))
		found += !service_backend_delete(s, &at);
	return found ? commit(c, wanted) : no_backend(c, wanted);
}
