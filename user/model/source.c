/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sources, discovers and announcements: defaults, copies, comparing, freeing. Each kind of structure lists its texts. */
#include "model/source.h"

#include <stdio.h>

#include "base/clean.h"
#include "base/text.h"
#include "model/copy.h"

const char *const source_kind_names[N_SOURCE_KINDS] = { "consul", "kubernetes", "etcd", "dns", "files" };

/* ---- structures by their lists of texts (char *) and of lists (struct texts) ---- */

struct fields {
	const size_t *texts;
	size_t n_texts;
	size_t lists; /* offset of the only one */
};

#define FIELDS(array, list_offset) { .texts = (array), .n_texts = ARRAY_SIZE(array), .lists = (list_offset) }

static char **text_at(const void *structure, size_t offset)
{
	return (char **)((char *)structure + offset);
}

static struct texts *list_at(const void *structure, const struct fields *f)
{
	return (struct texts *)((char *)structure + f->lists);
}

static void fields_clear(void *structure, const struct fields *f)
{
	for (size_t i = 0; i < f->n_texts; i++)
		free(*text_at(structure, f->texts[i]));
	texts_clear(list_at(structure, f));
}

/* to is a plain copy of from, whose texts are replaced; -ENOMEM: all that it holds is its own, or NULL. */
static int fields_copy(const void *from, void *to, const struct fields *f)
{
	int err = 0;

	for (size_t i = 0; i < f->n_texts; i++)
		*text_at(to, f->texts[i]) = NULL;
	*list_at(to, f) = (struct texts){};
	for (size_t i = 0; i < f->n_texts && !err; i++)
		err = text_copy(text_at(to, f->texts[i]), *text_at(from, f->texts[i]));
	return err ? err : texts_copy(list_at(to, f), list_at(from, f));
}

static bool fields_equal(const void *a, const void *b, const struct fields *f)
{
	for (size_t i = 0; i < f->n_texts; i++)
		if (!same_text(*text_at(a, f->texts[i]), *text_at(b, f->texts[i])))
			return false;
	return texts_equal(list_at(a, f), list_at(b, f));
}

/* ---- sources ---- */

static const size_t source_texts[] = {
	offsetof(struct source, name),	     offsetof(struct source, tls.ca),	  offsetof(struct source, tls.cert),
	offsetof(struct source, tls.key),    offsetof(struct source, token_file), offsetof(struct source, user),
	offsetof(struct source, password_file), offsetof(struct source, datacenter), offsetof(struct source, kubeconfig),
	offsetof(struct source, context),    offsetof(struct source, class),	  offsetof(struct source, label),
	offsetof(struct source, zone),
};
static const struct fields source_fields = FIELDS(source_texts, offsetof(struct source, servers));

struct source source_default(enum source_kind kind)
{
	return (struct source){ .kind = kind,
				.timeout_ms = kind == SOURCE_DNS ? 2000 : 5000,
				.ttl_min_ms = 1000,
				.ttl_max_ms = 300 * 1000 };
}

bool source_takes_over(const struct source *s)
{
	return s->class || s->label;
}

void source_clear(struct source *s)
{
	fields_clear(s, &source_fields);
	*s = (struct source){};
}

int source_copy(const struct source *from, struct source *to)
{
	_cleanup_(source_clear) struct source s = *from;
	int err = fields_copy(from, &s, &source_fields);

	if (err)
		return err;
	*to = s;
	s = (struct source){};
	return 0;
}

bool source_equal(const struct source *a, const struct source *b)
{
	return a->kind == b->kind && a->ttl_min_ms == b->ttl_min_ms && a->ttl_max_ms == b->ttl_max_ms &&
	       a->timeout_ms == b->timeout_ms && fields_equal(a, b, &source_fields);
}

/* ---- discovers ---- */

static const size_t discover_texts[] = {
	offsetof(struct discover, source),    offsetof(struct discover, name),	     offsetof(struct discover, namespace),
	offsetof(struct discover, port_name), offsetof(struct discover, datacenter),
};
static const struct fields discover_fields = FIELDS(discover_texts, offsetof(struct discover, tags));

void discover_clear(struct discover *d)
{
	fields_clear(d, &discover_fields);
	*d = (struct discover){};
}

int discover_copy(const struct discover *from, struct discover *to)
{
	_cleanup_(discover_clear) struct discover d = *from;
	int err = fields_copy(from, &d, &discover_fields);

	if (err)
		return err;
	*to = d;
	d = (struct discover){};
	return 0;
}

bool discover_equal(const struct discover *a, const struct discover *b)
{
	return a->kind == b->kind && a->srv == b->srv && a->port == b->port && fields_equal(a, b, &discover_fields);
}

char *discover_key(const struct discover *d)
{
	char *key = NULL;
	size_t len;
	FILE *out = open_memstream(&key, &len);

	if (!out)
		return NULL;
	fprintf(out, "%s srv=%d port=%u none=%d", source_kind_names[d->kind], d->srv, d->port, d->allow_none);
	for (size_t i = 0; i < ARRAY_SIZE(discover_texts); i++)
		fprintf(out, "\n%s", *text_at(d, discover_texts[i]) ?: "\r"); /* which no text may hold */
	for (size_t i = 0; i < d->tags.n; i++)
		fprintf(out, "\n%s", d->tags.list[i]);
	if (fclose(out)) {
		free(key);
		return NULL;
	}
	return key;
}

static void format_tags(FILE *out, const struct texts *tags)
{
	for (size_t i = 0; i < tags->n; i++)
		fprintf(out, "%s%s", i ? ", " : tags->n > 1 ? " with tags " : " with tag ", tags->list[i]);
}

static void format(FILE *out, const struct discover *d)
{
	fprintf(out, "%s ", source_kind_names[d->kind]);
	if (d->kind == SOURCE_KUBERNETES)
		fprintf(out, "%s/", d->namespace ?: "default");
	fputs(d->name, out);
	format_tags(out, &d->tags);
	if (d->port_name)
		fprintf(out, " port %s", d->port_name);
	if (d->port)
		fprintf(out, " port %u", d->port);
	if (d->srv)
		fputs(" SRV", out);
	if (d->datacenter)
		fprintf(out, " in %s", d->datacenter);
	if (d->source)
		fprintf(out, " (source %s)", d->source);
	if (d->allow_none)
		fputs(", none: allow", out);
}

char *discover_format(const struct discover *d, char text[DISCOVER_TEXT])
{
	FILE *out = fmemopen(text, DISCOVER_TEXT - 1, "w"); /* what has no room is cut */

	text[0] = text[DISCOVER_TEXT - 1] = '\0';
	if (!out)
		return text;
	format(out, d);
	fclose(out);
	return text_clean(text);
}
