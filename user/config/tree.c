/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "config/tree.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "base/clean.h"
#include "config/characters.h"

/* ---- memory: everything of a tree is freed at once ---- */

#define CHUNK_SIZE ((size_t)256 << 10)

struct chunk {
	struct chunk *next;
	size_t used, size;
	char data[];
};

struct tree {
	struct chunk *chunks;
	struct node *root;
};

static void *tree_alloc(struct tree *t, size_t size)
{
	struct chunk *c = t->chunks;
	void *p;

	size = (size + 7) & ~(size_t)7;
	if (!c || c->size - c->used < size) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		c = malloc(sizeof(*c) + room);
		if (!c)
			return NULL;
		*c = (struct chunk){ .next = t->chunks, .size = room };
		t->chunks = c;
	}
	p = c->data + c->used;
	c->used += size;
	return p;
}

static char *tree_text(struct tree *t, const void *text, size_t len)
{
	char *copy = tree_alloc(t, len + 1);

	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

const struct node *tree_root(const struct tree *t)
{
	return t->root;
}

void tree_free(struct tree *t)
{
	struct chunk *next;

	if (!t)
		return;
	for (struct chunk *c = t->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(t);
}

bool node_is_null(const struct node *n)
{
	return n->kind == NODE_SCALAR && n->plain &&
	       (!*n->text || !strcmp(n->text, "~") || !strcmp(n->text, "null") || !strcmp(n->text, "Null") ||
		!strcmp(n->text, "NULL"));
}

const struct node *node_key(const struct node *map, const char *name, size_t len)
{
	for (const struct node *key = map->first; key; key = key->next->next)
		if (strlen(key->text) == len && !memcmp(key->text, name, len))
			return key;
	return NULL;
}

/* ---- events to nodes ---- */

struct composer {
	struct mistakes *mistakes;
	struct tree *tree;
	struct {
		struct node *node;
		struct node **tail; /* where the next child goes */
		bool is_value; /* map: the next child is a value, not a key */
	} open[TREE_DEPTH_MAX];
	size_t depth;
	struct {
		const char *name;
		struct node *node;
	} anchors[TREE_ANCHORS_MAX];
	size_t n_anchors;
	size_t aliased; /* nodes that the aliases so far stand for */
	bool done; /* the document is complete */
};

static struct node *new_node(struct composer *c, enum node_kind kind, const yaml_event_t *e)
{
	struct node *n = tree_alloc(c->tree, sizeof(*n));

	if (n)
		*n = (struct node){ .kind = kind, .line = e->start_mark.line + 1, .weight = 1 };
	return n;
}

/* Puts a node where the document goes on. */
static int attach(struct composer *c, struct node *n)
{
	size_t top = c->depth - 1;

	if (!c->depth) {
		c->tree->root = n;
		return 0;
	}
	if (c->open[top].node->kind == NODE_MAP) {
		if (!c->open[top].is_value && n->kind != NODE_SCALAR) {
			mistake(c->mistakes, n->line,
				"a key must be a word, not a list or a mapping; write key: "
				"value, and put an IPv6 address in brackets in quotes");
			return -EINVAL;
		}
		c->open[top].is_value = !c->open[top].is_value;
	}
	*c->open[top].tail = n;
	c->open[top].tail = &n->next;
	return 0;
}

static int refuse_tag(struct composer *c, const yaml_event_t *e, const yaml_char_t *tag)
{
	if (!tag)
		return 0;
	mistake(c->mistakes, e->start_mark.line + 1,
		"the tag \"%s\" has no meaning here; remove it, or put text that begins with \"!\" in quotes",
		SHOWN((const char *)tag));
	return -EINVAL;
}

static int note_anchor(struct composer *c, struct node *n, const yaml_char_t *name)
{
	char *copy;

	if (!name)
		return 0;
	if (c->n_anchors == TREE_ANCHORS_MAX) {
		mistake(c->mistakes, n->line, "more than %d anchors (&name); write the values out", TREE_ANCHORS_MAX);
		return -EINVAL;
	}
	copy = tree_text(c->tree, name, strlen((const char *)name));
	if (!copy)
		return -ENOMEM;
	c->anchors[c->n_anchors].name = copy;
	c->anchors[c->n_anchors++].node = n;
	return 0;
}

static int on_scalar(struct composer *c, const yaml_event_t *e)
{
	const yaml_char_t *value = e->data.scalar.value;
	struct node *n = new_node(c, NODE_SCALAR, e);

	if (!n)
		return -ENOMEM;
	if (strlen((const char *)value) != e->data.scalar.length) {
		mistake(c->mistakes, n->line, "a value holds a zero character; remove it");
		return -EINVAL;
	}
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->text = tree_text(c->tree, value, e->data.scalar.length);
	if (!n->text)
		return -ENOMEM;
	return refuse_tag(c, e, e->data.scalar.tag) ?: note_anchor(c, n, e->data.scalar.anchor) ?: attach(c, n);
}

static int on_start(struct composer *c, const yaml_event_t *e, enum node_kind kind, const yaml_char_t *anchor,
		    const yaml_char_t *tag)
{
	struct node *n = new_node(c, kind, e);
	int err;

	if (!n)
		return -ENOMEM;
	err = refuse_tag(c, e, tag) ?: note_anchor(c, n, anchor) ?: attach(c, n);
	if (err)
		return err;
	if (c->depth == TREE_DEPTH_MAX) {
		mistake(c->mistakes, n->line,
			"nested deeper than %d levels, which no configuration is; check the brackets", TREE_DEPTH_MAX);
		return -EINVAL;
	}
	c->open[c->depth].node = n;
	c->open[c->depth].tail = &n->first;
	c->open[c->depth++].is_value = false;
	return 0;
}

static int on_end(struct composer *c)
{
	struct node *n = c->open[--c->depth].node;

	for (const struct node *child = n->first; child; child = child->next)
		n->weight += child->weight;
	return 0;
}

static struct node *find_anchor(const struct composer *c, const char *name)
{
	for (size_t i = c->n_anchors; i--;)
		if (!strcmp(c->anchors[i].name, name))
			return c->anchors[i].node;
	return NULL;
}

static bool is_open(const struct composer *c, const struct node *n)
{
	for (size_t i = 0; i < c->depth; i++)
		if (c->open[i].node == n)
			return true;
	return false;
}

static int on_alias(struct composer *c, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;
	struct node *target = find_anchor(c, name), *n = new_node(c, NODE_SCALAR, e);
	size_t line = e->start_mark.line + 1;

	if (!n)
		return -ENOMEM;
	if (!target)
		mistake(c->mistakes, line,
			"no \"&%s\" stands before \"*%s\"; name the value first, or put text that begins with "
			"\"*\" in quotes",
			SHOWN(name), SHOWN(name));
	else if (is_open(c, target))
		mistake(c->mistakes, line, "\"*%s\" stands within the value that it repeats; write the value out",
			SHOWN(name));
	else if ((c->aliased += target->weight) > TREE_ALIASED_MAX)
		mistake(c->mistakes, line, "the aliases up to here stand for more than %d values; write them out",
			TREE_ALIASED_MAX);
	else {
		*n = *target;
		n->line = line;
		n->next = NULL;
		return attach(c, n);
	}
	return -EINVAL;
}

static int on_document(struct composer *c, const yaml_event_t *e)
{
	if (!c->done)
		return 0;
	mistake(c->mistakes, e->start_mark.line + 1,
		"a second document begins here; one file holds one configuration, remove \"---\"");
	return -EINVAL;
}

static int on_event(struct composer *c, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return on_document(c, e);
	case YAML_DOCUMENT_END_EVENT:
		c->done = true;
		return 0;
	case YAML_SCALAR_EVENT:
		return on_scalar(c, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(c, e, NODE_LIST, e->data.sequence_start.anchor, e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_start(c, e, NODE_MAP, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(c);
	case YAML_ALIAS_EVENT:
		return on_alias(c, e);
	default:
		return 0;
	}
}

/* ---- what the parser says, and what helps ---- */

static const char *remedy(const char *problem)
{
	static const struct {
		const char *problem, *remedy;
	} known[] = {
		{ "cannot start any token",
		  "indent with spaces, not tabs, and put text that begins with %, @ or ` in quotes" },
		{ "expected ',' or ']'", "close the list with \"]\", and put an IPv6 address in brackets in quotes: "
					 "\"[2001:db8::1]:80\"" },
		{ "expected ',' or '}'", "close the mapping with \"}\", and put an IPv6 address in brackets in quotes: "
					 "\"[2001:db8::1]:80\"" },
		{ "expected key", "check the indentation of this line and the one before, and put an IPv6 address in "
				  "brackets in quotes" },
		{ "mapping values are not allowed",
		  "check the indentation and the space after each key's colon, and put "
		  "text that holds \": \" in quotes" },
		{ "could not find expected ':'", "write \": \" after the key, with a space" },
		{ "expected '-' indicator", "begin each item of a list with \"- \", all at one indentation" },
		{ "sequence entries are not allowed", "begin the list on a line of its own, below its key" },
		{ "unexpected end of stream", "close the quotation mark" },
		{ "unexpected document indicator", "close the quotation mark" },
		{ "undefined tag handle", "put text that begins with \"!\" in quotes" },
		{ "alphabetic or numeric character", "put text that begins with \"*\" or \"&\" in quotes" },
		{ "unknown escape character", "write \\\\ for a backslash, or use single quotes" },
		{ "expected <document start>", "write everything as key: value, and lists with \"- \" or in [ ]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strstr(problem, known[i].problem))
			return known[i].remedy;
	return "shunt.yaml(5) shows how it is written";
}

static int on_parser_error(const yaml_parser_t *p, struct mistakes *m)
{
	const char *problem = p->problem ? p->problem : "unreadable";
	size_t line = p->problem_mark.line + 1;

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->context && strstr(problem, "end of stream")) /* that is where it was noticed, not where it is */
		line = p->context_mark.line + 1;
	if (p->context && p->context_mark.line + 1 != line && p->context_mark.line)
		mistake(m, line, "not YAML: %s (%s that begins at line %zu); %s", problem, p->context,
			p->context_mark.line + 1, remedy(problem));
	else
		mistake(m, line, "not YAML: %s; %s", problem, remedy(problem));
	return -EINVAL;
}

static int compose(struct composer *c, yaml_parser_t *p)
{
	yaml_event_type_t type;
	yaml_event_t e;
	int err;

	do {
		if (!yaml_parser_parse(p, &e))
			return on_parser_error(p, c->mistakes);
		type = e.type;
		err = on_event(c, &e);
		yaml_event_delete(&e);
	} while (!err && type != YAML_STREAM_END_EVENT);
	return err;
}

static size_t byte_order_mark(const char *text, size_t len)
{
	return len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

int tree_parse(const char *text, size_t len, const char *empty, struct mistakes *m, struct tree **out)
{
	_cleanup_(tree_freep) struct tree *t = calloc(1, sizeof(*t));
	_cleanup_free_ struct composer *c = calloc(1, sizeof(*c));
	size_t skip = byte_order_mark(text, len);
	yaml_parser_t parser;
	int err;

	if (!t || !c)
		return -ENOMEM;
	text += skip;
	len -= skip;
	err = characters_check(text, len, m);
	if (err)
		return err;
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	c->mistakes = m;
	c->tree = t;
	err = compose(c, &parser);
	yaml_parser_delete(&parser);
	if (!err && !t->root) {
		mistake(m, 1, "%s", empty);
		err = -EINVAL;
	}
	if (!err)
		*out = TAKE_PTR(t);
	return err;
}
