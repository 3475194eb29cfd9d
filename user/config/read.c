/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "config/read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/duration.h"

/* ---- memory ---- */

void *array_add(struct reader *r, void *array_pointer, size_t n, size_t size)
{
	void **array = array_pointer;
	char *grown = *array;

	if (!(n & (n - 1))) {
		grown = reallocarray(grown, n ? 2 * n : 1, size);
		if (!grown) {
			r->mistakes->error = -ENOMEM;
			return NULL;
		}
		*array = grown;
	}
	return memset(grown + n * size, 0, size);
}

char *text_keep(struct reader *r, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		r->mistakes->error = -ENOMEM;
	return copy;
}

/* ---- kinds ---- */

static const char *found_kind(const struct node *n)
{
	return n->kind == NODE_MAP ? "a mapping (key: value)" : n->kind == NODE_LIST ? "a list" : "a single value";
}

static const char *wanted_kinds(unsigned kinds)
{
	switch (kinds) {
	case NODE_SCALAR:
		return "one value";
	case NODE_LIST:
		return "a list ([a, b], or lines that begin with \"- \")";
	case NODE_MAP:
		return "a mapping ({ key: value }, or lines of key: value)";
	case NODE_SCALAR | NODE_LIST:
		return "one value or a list of values ([a, b])";
	case NODE_MAP | NODE_LIST:
		return "a mapping ({ key: value }) or a list of them";
	default:
		return "one value or a mapping ({ key: value })";
	}
}

/* Is the value after this key of the kinds that k takes? If not, says so. */
static bool kind_is_fine(struct reader *r, const struct key *k, const struct node *key)
{
	const struct node *value = key->next;
	bool is_null = node_is_null(value);

	if (is_null && k->may_be_null)
		return true;
	if (is_null)
		mistake(r->mistakes, key->line, "\"%s\" has no value; give it %s, such as %s, or remove the line",
			k->name, wanted_kinds(k->kinds), k->help);
	else if (!(value->kind & k->kinds))
		mistake(r->mistakes, key->line, "\"%s\" takes %s, not %s; write, for example, %s: %s", k->name,
			wanted_kinds(k->kinds), found_kind(value), k->name, k->help);
	else
		return true;
	return false;
}

bool item_is_fine(struct reader *r, const struct key *k, const struct node *item)
{
	if (item->kind == NODE_SCALAR && !node_is_null(item))
		return true;
	mistake(r->mistakes, item->line, "an item of \"%s\" is %s; write one value, such as %s", k->name,
		item->kind == NODE_SCALAR ? "empty" : found_kind(item), k->help);
	return false;
}

/* ---- mappings ---- */

void list_names(const char *const *names, size_t n, char *out, size_t size)
{
	size_t used = 0;

	*out = '\0';
	for (size_t i = 0; i < n && used < size; i++)
		used += snprintf(out + used, size - used, "%s%s", i ? (i + 1 < n ? ", " : " and ") : "", names[i]);
}

static void unknown_key(struct reader *r, const struct schema *s, const struct node *key)
{
	const char *names[SCHEMA_KEYS_MAX], *meant;
	char list[256];

	for (size_t i = 0; i < s->n; i++)
		names[i] = s->keys[i].name;
	meant = nearest(key->text, names, s->n);
	list_names(names, s->n, list, sizeof(list));
	if (!strcmp(key->text, "<<"))
		mistake(r->mistakes, key->line, "merge keys (<<) are not available; write the keys of %s out", s->what);
	else if (meant)
		mistake(r->mistakes, key->line, "unknown key \"%s\" in %s; did you mean \"%s\"?", SHOWN(key->text),
			s->what, meant);
	else
		mistake(r->mistakes, key->line, "unknown key \"%s\" in %s; %s %s", SHOWN(key->text), s->what,
			s->n > 1 ? "the keys there are" : "the only key there is", list);
}

static const struct key *find_key(const struct schema *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->keys[i].name, name))
			return &s->keys[i];
	return NULL;
}

bool schema_has(const struct schema *s, const char *name)
{
	return find_key(s, name) != NULL;
}

/* seen: line of each key of the schema so far, 0: not yet. */
static void read_pair(struct reader *r, const struct schema *s, const struct node *key, size_t *seen, void *target)
{
	const struct key *k = find_key(s, key->text);
	size_t *line;

	if (!k) {
		unknown_key(r, s, key);
		return;
	}
	line = &seen[k - s->keys];
	if (*line)
		mistake(r->mistakes, key->line, "\"%s\" is already given on line %zu; keep one of the two", k->name,
			*line);
	else if (!k->read)
		mistake(r->mistakes, key->line, "%s: %s", k->name, k->help);
	else if (kind_is_fine(r, k, key))
		k->read(r, k, key->next, (char *)target + k->offset);
	*line = key->line;
}

void read_schema(struct reader *r, const struct schema *s, const struct node *map, void *target)
{
	size_t seen[SCHEMA_KEYS_MAX] = { 0 };

	for (const struct node *key = map->first; key && !mistakes_full(r->mistakes); key = key->next->next)
		read_pair(r, s, key, seen, target);
	for (size_t i = 0; i < s->n; i++)
		if (s->keys[i].required && !seen[i])
			mistake(r->mistakes, map->line, "%s needs \"%s\"; add, for example, %s: %s", s->what,
				s->keys[i].name, s->keys[i].name, s->keys[i].help);
}

void read_map(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	read_schema(r, k->schema, value, field);
}

/* ---- numbers ---- */

static int digits_parse(const char *text, const char *digits, int base, uint64_t *out)
{
	char *end;

	if (!*text || strspn(text, digits) != strlen(text))
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &end, base);
	return errno ? -ERANGE : 0;
}

int number_parse(const char *text, uint64_t *out)
{
	return digits_parse(text, "0123456789", 10, out);
}

static int number_or_hex_parse(const char *text, uint64_t *out)
{
	if (!strncmp(text, "0x", 2))
		return digits_parse(text + 2, "0123456789abcdefABCDEF", 16, out);
	return number_parse(text, out);
}

static bool number_is_fine(struct reader *r, const struct key *k, const struct node *value, int err, uint64_t n)
{
	if (err == -EINVAL)
		mistake(r->mistakes, value->line,
			"\"%s\" is \"%s\", which is no number; write a whole number from %" PRIu64 " to %" PRIu64,
			k->name, SHOWN(value->text), k->min, k->max);
	else if (err || n < k->min || n > k->max)
		mistake(r->mistakes, value->line,
			"\"%s\" is %s, which is out of range; write a number from %" PRIu64 " to %" PRIu64, k->name,
			SHOWN(value->text), k->min, k->max);
	else
		return true;
	return false;
}

void read_u64(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	uint64_t n = 0;
	int err = number_or_hex_parse(value->text, &n);

	if (number_is_fine(r, k, value, err, n))
		*(uint64_t *)field = n;
}

void read_u32(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	uint64_t n = 0;
	int err = number_parse(value->text, &n);

	if (number_is_fine(r, k, value, err, n))
		*(uint32_t *)field = n;
}

void read_u16(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	uint64_t n = 0;
	int err = number_parse(value->text, &n);

	if (number_is_fine(r, k, value, err, n))
		*(uint16_t *)field = n;
}

/* The power of two that has room for n. */
static uint32_t power_for(uint32_t n)
{
	return n < 2 ? n : 1u << (32 - __builtin_clz(n - 1));
}

void read_power(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	uint32_t *n = field;

	read_u32(r, k, value, n);
	*n = power_for(*n); /* of what was there before, if the value is wrong: a power already */
}

void read_duration(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	uint64_t ms = 0, bare;
	int err = duration_parse(value->text, &ms);
	char min[DURATION_TEXT], max[DURATION_TEXT];

	if (!number_parse(value->text, &bare))
		mistake(r->mistakes, value->line, "\"%s\" is %s without a unit; write %ss or %sms", k->name,
			SHOWN(value->text), SHOWN(value->text), SHOWN(value->text));
	else if (err == -EINVAL)
		mistake(r->mistakes, value->line,
			"\"%s\" is \"%s\", which is no duration; write a whole number and ms, s, m "
			"or h, such as %s",
			k->name, SHOWN(value->text), k->help);
	else if (err || ms < k->min || ms > k->max)
		mistake(r->mistakes, value->line, "\"%s\" is %s, which is out of range; write a duration from %s to %s",
			k->name, SHOWN(value->text), duration_format(k->min, min), duration_format(k->max, max));
	else
		*(uint32_t *)field = ms;
}

/* ---- words and texts ---- */

void read_bool(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	if (!strcmp(value->text, "true"))
		*(bool *)field = true;
	else if (!strcmp(value->text, "false"))
		*(bool *)field = false;
	else
		mistake(r->mistakes, value->line, "\"%s\" is \"%s\"; write true or false", k->name, SHOWN(value->text));
}

int word_number(struct reader *r, const struct key *k, const struct node *value)
{
	const char *meant;
	char list[128];

	for (size_t i = 0; i < k->n_words; i++)
		if (!strcmp(k->words[i], value->text))
			return i;
	meant = nearest(value->text, k->words, k->n_words);
	list_names(k->words, k->n_words, list, sizeof(list));
	if (meant)
		mistake(r->mistakes, value->line, "\"%s\" is \"%s\"; did you mean \"%s\"?", k->name, SHOWN(value->text),
			meant);
	else
		mistake(r->mistakes, value->line, "\"%s\" is \"%s\"; the words it takes are %s", k->name,
			SHOWN(value->text), list);
	return -1;
}

void read_word(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	int n = word_number(r, k, value);

	if (n >= 0)
		*(int *)field = n;
}

void read_bits(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	unsigned bits = 0;
	int n;

	if (!node_items(value))
		mistake(r->mistakes, value->line, "\"%s\" is empty; write %s, %s or [%s, %s]", k->name, k->words[0],
			k->words[1], k->words[0], k->words[1]);
	for (const struct node *item = node_items(value); item; item = node_after(value, item)) {
		n = item_is_fine(r, k, item) ? word_number(r, k, item) : -1;
		if (n >= 0)
			bits |= 1u << n;
	}
	*(unsigned *)field = bits;
}

void read_text(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	size_t len = strlen(value->text);
	char **text = field;

	if (len < k->min || len > k->max) {
		mistake(r->mistakes, value->line,
			"\"%s\" has %zu characters; give it %" PRIu64 " to %" PRIu64 ", such as %s", k->name, len,
			k->min, k->max, k->help);
		return;
	}
	free(*text);
	*text = text_keep(r, value->text);
}

void read_path(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	if (*value->text == '/')
		read_text(r, k, value, field);
	else
		mistake(r->mistakes, value->line, "\"%s\" is \"%s\"; give the whole path, from /, such as %s", k->name,
			SHOWN(value->text), k->help);
}

/* ---- lists of texts ---- */

static void add_text(struct reader *r, const struct key *k, const struct node *item, struct texts *t)
{
	char **new;

	if (texts_have(t, item->text)) {
		mistake(r->mistakes, item->line, "\"%s\" is in \"%s\" twice; delete one of the two", SHOWN(item->text),
			k->name);
		return;
	}
	new = array_add(r, &t->list, t->n, sizeof(*new));
	if (new && (*new = text_keep(r, item->text)))
		t->n++;
}

void read_list(struct reader *r, const struct key *k, const struct node *value, struct texts *t,
	       bool (*is_fine)(const char *text), const char *remedy)
{
	if (!node_items(value))
		mistake(r->mistakes, value->line, "\"%s\" is empty; write, for example, %s, or remove the line",
			k->name, k->help);
	for (const struct node *item = node_items(value); item; item = node_after(value, item)) {
		if (t->n == TEXTS_MAX) {
			mistake(r->mistakes, item->line, "\"%s\" has more than %d items; leave some out", k->name,
				TEXTS_MAX);
			return;
		}
		if (!item_is_fine(r, k, item))
			continue;
		if (is_fine(item->text))
			add_text(r, k, item, t);
		else
			mistake(r->mistakes, item->line, "\"%s\" in \"%s\" is %s", SHOWN(item->text), k->name, remedy);
	}
}

void read_cgroups(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	read_list(r, k, value, field, cgroup_path_is_fine,
		   "no cgroup; write its path below the root of cgroup v2, from /, without // and .., at most 31 "
		   "levels, such as /system.slice/web.service");
}

void read_namespaces(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	read_list(r, k, value, field, namespace_path_is_fine,
		   "no path of a network namespace; write the whole path of its file, from /, such as /run/netns/blue");
}
