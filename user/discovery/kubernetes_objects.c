/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/kubernetes_objects.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/search.h"
#include "discovery/kubernetes_answer.h"

static int compare_key(const void *object, const void *key)
{
	return strcmp(((const struct kubernetes_object *)object)->key, key);
}

/* Where it is, or would be. */
static size_t place(const struct kubernetes_objects *o, const char *key)
{
	if (o->n && strcmp(o->objects[o->n - 1].key, key) < 0) /* as a list comes: sorted */
		return o->n;
	return search_place(key, o->objects, o->n, sizeof(*o->objects), compare_key);
}

static bool is_at(const struct kubernetes_objects *o, size_t at, const char *key)
{
	return at < o->n && !strcmp(o->objects[at].key, key);
}

static void forget(struct kubernetes_objects *o, struct kubernetes_object *one)
{
	if (one->kept)
		o->keep(o->arg, NULL, one->kept);
	free(one->key);
}

static void remove_at(struct kubernetes_objects *o, size_t at)
{
	forget(o, &o->objects[at]);
	memmove(&o->objects[at], &o->objects[at + 1], (--o->n - at) * sizeof(*o->objects));
}

static int make_room(struct kubernetes_objects *o)
{
	struct kubernetes_object *grown;

	if (o->n < o->room)
		return 0;
	grown = reallocarray(o->objects, 2 * o->room + 16, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	o->objects = grown;
	o->room = 2 * o->room + 16;
	return 0;
}

/* Takes key. */
static int insert_at(struct kubernetes_objects *o, size_t at, char *key)
{
	if (make_room(o)) {
		free(key);
		return -ENOMEM;
	}
	memmove(&o->objects[at + 1], &o->objects[at], (o->n++ - at) * sizeof(*o->objects));
	o->objects[at] = (struct kubernetes_object){ .key = key };
	return 0;
}

int kubernetes_objects_is(struct kubernetes_objects *o, const json_t *object)
{
	_cleanup_free_ char *key = kubernetes_key(object);
	size_t at = key ? place(o, key) : 0;
	struct kubernetes_object *one;

	if (!key)
		return -EBADMSG;
	if (!is_at(o, at, key) && insert_at(o, at, TAKE_PTR(key)))
		return -ENOMEM;
	one = &o->objects[at];
	one->list = o->list;
	one->kept = o->keep(o->arg, object, one->kept);
	if (!one->kept)
		remove_at(o, at);
	return 0;
}

void kubernetes_objects_gone(struct kubernetes_objects *o, const json_t *object)
{
	_cleanup_free_ char *key = kubernetes_key(object);
	size_t at = key ? place(o, key) : o->n;

	if (key && is_at(o, at, key))
		remove_at(o, at);
}

void kubernetes_objects_listed(struct kubernetes_objects *o)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->n; i++)
		if (o->objects[i].list == o->list)
			o->objects[kept++] = o->objects[i];
		else
			forget(o, &o->objects[i]);
	o->n = kept;
}

void kubernetes_objects_clear(struct kubernetes_objects *o)
{
	for (size_t i = 0; i < o->n; i++)
		forget(o, &o->objects[i]);
	free(o->objects);
	o->objects = NULL;
	o->n = o->room = 0;
}
