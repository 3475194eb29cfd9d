/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/clean.h"
#include "base/file.h"
#include "config/read.h"

#define FILE_MAX ((size_t)16 << 20) /* bytes */
#define EMPTY "the file is empty; a configuration that does nothing yet is written \"services: []\""
#define TOO_LARGE "is larger than %zu MiB, which no configuration is; is it the right file?"

/* ---- lines for what the model finds wrong ---- */

static bool is_key_letter(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* The first key of the map itself that the sentence names; NULL: none. */
static const struct node *find_own_key(const struct node *map, const char *sentence)
{
	const struct node *key;
	size_t len;

	while (*sentence) {
		for (len = 0; is_key_letter(sentence[len]); len++)
			;
		key = node_key(map, sentence, len);
		if (key)
			return key;
		sentence += len + !len;
	}
	return NULL;
}

/* The same, and where the map has none, in the mappings in it ("health: expected status ..." is in its http). */
static const struct node *find_named_key(const struct node *map, const char *sentence)
{
	const struct node *found = find_own_key(map, sentence);

	for (const struct node *key = map->first; key && !found; key = key->next->next)
		if (key->next->kind == NODE_MAP)
			found = find_named_key(key->next, sentence);
	return found;
}

/* The last item of a list that stands in the sentence as the file has it (the later of two equal ones); NULL: none. */
static const struct node *find_named_item(const struct node *list, const char *sentence)
{
	const struct node *found = NULL;

	for (const struct node *item = list->first; list->kind == NODE_LIST && item; item = item->next)
		if (item->kind == NODE_SCALAR && *item->text && strstr(sentence, item->text))
			found = item;
	return found;
}

/*
 * The model says what is wrong with a service, a backend or an announcement, not with which key; but its sentences name
 * the keys as the file does, so that following them into the tree gives the line ("health: timeout (5000 ms) is longer
 * ...").
 */
static size_t line_of(const struct node *at, const char *sentence)
{
	size_t line = at->line;
	const struct node *next;

	while (at->kind == NODE_MAP && (next = find_named_key(at, sentence))) {
		line = next->line;
		at = next->next;
	}
	next = find_named_item(at, sentence);
	return next ? next->line : line;
}

static const struct node *backend_node(const struct node *service, size_t i)
{
	const struct node *item = node_key(service, "backends", strlen("backends"))->next->first;

	while (i--)
		item = item->next;
	return item;
}

static void on_fault(void *arg, const struct service *s, const struct backend *b, const struct announce *a,
		     const char *sentence)
{
	struct reader *r = arg;
	const struct node *at;

	if (mistakes_full(r->mistakes))
		return;
	if (a) {
		at = r->announces[a - r->config->announces];
		mistake(r->mistakes, line_of(at, sentence), "%s", sentence);
		return;
	}
	if (!s) {
		at = find_own_key(r->root, sentence) ? r->root : NULL;
		mistake(r->mistakes, at ? line_of(at, sentence) : 0, "%s", sentence);
		return;
	}
	at = r->services[s - r->config->services];
	if (b)
		at = backend_node(at, b - s->backends);
	mistake(r->mistakes, line_of(at, sentence), "service %s: %s", s->name, sentence);
}

/* ---- the whole ---- */

/* Who may send to the backend program, when nobody says it: balancers that are configured like this one. */
static void allow_sources(struct config *c)
{
	c->backend.allow[0] = c->edge.source4;
	c->backend.allow[1] = c->edge.source6;
}

static void read_root(struct reader *r, const struct node *root)
{
	if (root->kind != NODE_MAP) {
		mistake(r->mistakes, root->line,
			"a configuration is a mapping; write keys such as \"services:\" at the "
			"beginning of a line");
		return;
	}
	r->root = root;
	read_schema(r, &host_schema, root, r->config);
	if (!r->allow_given)
		allow_sources(r->config);
	fit_services(r);
	if (!r->mistakes->error)
		config_validate(r->config, on_fault, r);
}

static int parse(const char *text, size_t len, struct mistakes *m, struct config *c)
{
	_cleanup_(tree_freep) struct tree *tree = NULL;
	struct reader r = { .mistakes = m, .config = c };
	int err;

	if (len > FILE_MAX) {
		mistake(m, 0, TOO_LARGE, FILE_MAX >> 20);
		return -EINVAL;
	}
	err = tree_parse(text, len, EMPTY, m, &tree);
	if (err)
		return err;
	read_root(&r, tree_root(tree));
	free(r.services);
	free(r.announces);
	return m->error ?: m->n ? -EINVAL : 0;
}

int config_parse(const char *name, const char *text, size_t len, config_error_fn report, void *arg, struct config **out)
{
	_cleanup_(config_freep) struct config *c = config_new();
	_cleanup_(mistakes_clear) struct mistakes m = {};
	int err;

	if (!c)
		return -ENOMEM;
	err = parse(text, len, &m, c);
	if (err == -EINVAL)
		mistakes_report(&m, name, report, arg);
	if (err)
		return err;
	config_normalise(c);
	*out = TAKE_PTR(c);
	return 0;
}

int config_load(const char *path, config_error_fn report, void *arg, struct config **out)
{
	_cleanup_free_ char *text = NULL, *sentence = NULL;
	size_t len = 0;
	int err = file_read(path, FILE_MAX, &text, &len), n;

	if (!err)
		return config_parse(path, text, len, report, arg, out);
	if (err == -EFBIG)
		n = asprintf(&sentence, "%s: " TOO_LARGE, path, FILE_MAX >> 20);
	else
		n = asprintf(&sentence, "%s: cannot be read: %s; is the path right, and may you read it?", path,
			     strerror(-err));
	if (n < 0)
		return -ENOMEM;
	report(arg, sentence);
	return err == -EFBIG ? -EINVAL : err;
}
