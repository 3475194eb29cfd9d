/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What answers of the Kubernetes API are made of, whatever kind of object they are about: pages of a list, lines of a
 * watch, and the Status that explains a refusal. Pure, and at ease with any bytes.
 */
#ifndef DISCOVERY_KUBERNETES_ANSWER_H
#define DISCOVERY_KUBERNETES_ANSWER_H

#include <jansson.h>
#include <stddef.h>

/* A page of a list. What it points to lives as long as root. */
struct kubernetes_page {
	json_t *root;
	const json_t *items; /* an array */
	const char *version; /* of the whole list; never "" */
	const char *next; /* where the next page begins; NULL: this was the last */
};
int kubernetes_page(const char *body, size_t len, struct kubernetes_page *out); /* -EBADMSG: it is none */
void kubernetes_page_clear(struct kubernetes_page *p);

/* A line of a watch. */
enum kubernetes_event_kind {
	KUBERNETES_IS, /* an object is new, or another now */
	KUBERNETES_GONE,
	KUBERNETES_BOOKMARK, /* nothing happened up to this version */
	KUBERNETES_ERROR,
};
struct kubernetes_event {
	json_t *root;
	enum kubernetes_event_kind kind;
	const json_t *object;
	const char *version; /* from which to watch on; never "", NULL for errors */
	long code; /* of an error: 410: that version is too old; 0: it names none */
	const char *message; /* of an error; "": none */
};
int kubernetes_event(const char *line, size_t len, struct kubernetes_event *out); /* -EBADMSG */
void kubernetes_event_clear(struct kubernetes_event *e);

/* The sentence of a Status, cut to size; "": the body is none. Returns text. */
char *kubernetes_status_message(const char *body, size_t len, char *text, size_t size);

/* "NAMESPACE/NAME" of an object, which free() takes; NULL: it has no name (or memory is out). */
char *kubernetes_key(const json_t *object);

/* A text of an object's metadata; NULL: there is none. */
const char *kubernetes_metadata(const json_t *object, const char *field);
/* The value of a label; NULL: it does not have it. */
const char *kubernetes_label(const json_t *object, const char *label);

#endif
