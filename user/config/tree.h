/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * YAML to a tree whose nodes know their lines, from libyaml's events.
 *
 * Not libcyaml, although it has a schema: what it loads are plain structures without lines, and mistakes that only show
 * when several values are put together (an address twice, a circle of services) need the line of each of them. It
 * also stops at the first mistake. So this stands on the parser below libcyaml; the schema is in read.h.
 *
 * Refused here, with a sentence: what is not UTF-8, tags, a second document, keys that are no text, nesting deeper
 * than a configuration can be. Aliases are resolved by sharing the nodes, and what they stand for is counted, so that
 * a small file cannot become a large configuration.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/mistake.h"

#define TREE_DEPTH_MAX 16
#define TREE_ANCHORS_MAX 256
#define TREE_ALIASED_MAX 1000000 /* nodes that all aliases of a file may stand for */

enum node_kind { NODE_SCALAR = 1, NODE_LIST = 2, NODE_MAP = 4 }; /* bits */

struct node {
	enum node_kind kind;
	bool plain; /* scalar: written without quotes */
	size_t line; /* from 1; of an alias: where the alias stands */
	const char *text; /* scalar */
	struct node *first; /* list: items; map: key, value, key, value ... */
	struct node *next; /* in the list or map that it is in */
	size_t weight; /* nodes in it and itself, aliases counted as what they stand for */
};

struct tree;
/* 0 and *out, -EINVAL (said in m) or -ENOMEM. empty: what is said when nothing stands there. */
int tree_parse(const char *text, size_t len, const char *empty, struct mistakes *m, struct tree **out);
const struct node *tree_root(const struct tree *t);
void tree_free(struct tree *t); /* NULL is fine */
static inline void tree_freep(struct tree **t)
{
	tree_free(*t);
}

/* Is it a value that is not there ("key:", "key: ~", "key: null")? */
bool node_is_null(const struct node *n);

/* The key of a map with this name of len bytes (its value is ->next); NULL: none. */
const struct node *node_key(const struct node *map, const char *name, size_t len);

/* Walks a list, or, where one value may stand for a list of one, that value. */
static inline const struct node *node_items(const struct node *n)
{
	return n->kind == NODE_LIST ? n->first : n;
}
static inline const struct node *node_after(const struct node *n, const struct node *item)
{
	return item == n ? NULL : item->next;
}

#endif
