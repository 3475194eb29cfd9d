/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The objects that a list and a watch of Kubernetes are about: of each, what their owner keeps of it. */
#ifndef DISCOVERY_KUBERNETES_OBJECTS_H
#define DISCOVERY_KUBERNETES_OBJECTS_H

#include <jansson.h>

/*
 * What is to be kept of an object, before being what was kept of it: the owner lets go of that itself. NULL: nothing.
 * object NULL: it is gone.
 */
typedef void *(*kubernetes_keep_fn)(void *arg, const json_t *object, void *before);

struct kubernetes_object {
	char *key;
	void *kept; /* never NULL: of a thousand that mean nothing to the owner none costs anything */
	unsigned list; /* number of the list that it was in last */
};

struct kubernetes_objects {
	kubernetes_keep_fn keep;
	void *arg;
	struct kubernetes_object *objects; /* sorted by key */
	size_t n, room;
	unsigned list; /* number of the list that is read, or was read last */
};

int kubernetes_objects_is(struct kubernetes_objects *o, const json_t *object); /* -EBADMSG: it is none; -ENOMEM */
void kubernetes_objects_gone(struct kubernetes_objects *o, const json_t *object);
void kubernetes_objects_listed(struct kubernetes_objects *o); /* what was not in this list is there no more */
void kubernetes_objects_clear(struct kubernetes_objects *o);

#endif
