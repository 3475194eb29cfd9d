/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/kubernetes_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"

/* jansson takes NULL and what is of another type for what is not there: so do these. */
const char *kubernetes_metadata(const json_t *object, const char *field)
{
	return json_string_value(json_object_get(json_object_get(object, "metadata"), field));
}

const char *kubernetes_label(const json_t *object, const char *label)
{
	return json_string_value(
		json_object_get(json_object_get(json_object_get(object, "metadata"), "labels"), label));
}

static const char *unless_empty(const char *text)
{
	return text && *text ? text : NULL;
}

char *kubernetes_key(const json_t *object)
{
	const char *name = unless_empty(kubernetes_metadata(object, "name"));
	char *key;

	if (!name || asprintf(&key, "%s/%s", kubernetes_metadata(object, "namespace") ?: "", name) < 0)
		return NULL;
	return key;
}

/* ---- pages ---- */

void kubernetes_page_clear(struct kubernetes_page *p)
{
	json_decref(p->root);
	*p = (struct kubernetes_page){};
}

int kubernetes_page(const char *body, size_t len, struct kubernetes_page *out)
{
	_cleanup_(kubernetes_page_clear) struct kubernetes_page p = { .root = json_loadb(body, len, 0, NULL) };

	p.items = json_object_get(p.root, "items");
	p.version = unless_empty(kubernetes_metadata(p.root, "resourceVersion"));
	p.next = unless_empty(kubernetes_metadata(p.root, "continue"));
	/* Servers written in Go say null for a list of nothing. */
	if (!p.version || !p.items || !(json_is_array(p.items) || json_is_null(p.items)))
		return -EBADMSG;
	*out = p;
	p = (struct kubernetes_page){};
	return 0;
}

/* ---- lines ---- */

static const char *const event_names[] = {
	[KUBERNETES_IS] = "ADDED",
	[KUBERNETES_GONE] = "DELETED",
	[KUBERNETES_BOOKMARK] = "BOOKMARK",
	[KUBERNETES_ERROR] = "ERROR",
};

static int event_kind(const char *type)
{
	if (type && !strcmp(type, "MODIFIED"))
		return KUBERNETES_IS;
	for (size_t i = 0; type && i < ARRAY_SIZE(event_names); i++)
		if (!strcmp(type, event_names[i]))
			return i;
	return -EBADMSG;
}

void kubernetes_event_clear(struct kubernetes_event *e)
{
	json_decref(e->root);
	*e = (struct kubernetes_event){};
}

int kubernetes_event(const char *line, size_t len, struct kubernetes_event *out)
{
	_cleanup_(kubernetes_event_clear) struct kubernetes_event e = { .root = json_loadb(line, len, 0, NULL) };
	int kind = event_kind(json_string_value(json_object_get(e.root, "type")));

	e.object = json_object_get(e.root, "object");
	if (kind < 0 || !json_is_object(e.object))
		return -EBADMSG;
	e.kind = kind;
	if (kind == KUBERNETES_ERROR) {
		e.code = json_integer_value(json_object_get(e.object, "code"));
		e.message = json_string_value(json_object_get(e.object, "message")) ?: "";
	} else {
		e.version = unless_empty(kubernetes_metadata(e.object, "resourceVersion"));
		if (!e.version)
			return -EBADMSG;
	}
	*out = e;
	e = (struct kubernetes_event){};
	return 0;
}

char *kubernetes_status_message(const char *body, size_t len, char *text, size_t size)
{
	json_t *root = json_loadb(body, len, 0, NULL);

	snprintf(text, size, "%s", json_string_value(json_object_get(root, "message")) ?: "");
	json_decref(root);
	return text;
}
