/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whom discovery asks, and what is registered. */
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "model/diff_walk.h"

/* Who is meant where no source is named. */
static void diff_firsts(struct diff_walk *w, const struct config *from, const struct config *to)
{
	for (int kind = 0; kind < N_SOURCE_KINDS; kind++) {
		const struct source *was = config_source(from, kind, NULL), *is = config_source(to, kind, NULL);

		diff_subject(w, "first source of kind %s", source_kind_names[kind]);
		if (was && is)
			diff_text_field(w, was->name, is->name);
	}
}

static const char *list_text(const struct texts *t, char text[DIFF_VALUE_MAX])
{
	size_t used = 0;

	snprintf(text, DIFF_VALUE_MAX, "none");
	for (size_t i = 0; i < t->n && used < DIFF_VALUE_MAX; i++)
		used += snprintf(text + used, DIFF_VALUE_MAX - used, "%s%s", i ? ", " : "", t->list[i]);
	return text;
}

static void diff_source_texts(struct diff_walk *w, const struct source *from, const struct source *to)
{
	const struct {
		const char *key, *from, *to;
	} texts[] = {
		{ "tls: ca", from->tls.ca, to->tls.ca },
		{ "tls: cert", from->tls.cert, to->tls.cert },
		{ "tls: key", from->tls.key, to->tls.key },
		{ "token-file", from->token_file, to->token_file },
		{ "user", from->user, to->user },
		{ "password-file", from->password_file, to->password_file },
		{ "datacenter", from->datacenter, to->datacenter },
		{ "kubeconfig", from->kubeconfig, to->kubeconfig },
		{ "context", from->context, to->context },
		{ "class", from->class, to->class },
		{ "label", from->label, to->label },
		{ "zone", from->zone, to->zone },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		diff_subject(w, "source %s: %s", from->name, texts[i].key);
		diff_text_field(w, texts[i].from, texts[i].to);
	}
}

static void diff_source(struct diff_walk *w, const struct source *from, const struct source *to)
{
	char key[DIFF_SUBJECT_MAX], a[DIFF_VALUE_MAX], b[DIFF_VALUE_MAX];

	diff_subject(w, "source %s: %s", from->name, from->kind == SOURCE_DNS ? "resolvers" : "url");
	if (!texts_equal(&from->servers, &to->servers)) /* what differs may have no room in the text */
		diff_say(w, DIFF_CHANGED, list_text(&from->servers, a), list_text(&to->servers, b));
	diff_source_texts(w, from, to);
	snprintf(key, sizeof(key), "source %s: ttl: min", from->name);
	diff_duration_field(w, key, from->ttl_min_ms, to->ttl_min_ms);
	snprintf(key, sizeof(key), "source %s: ttl: max", from->name);
	diff_duration_field(w, key, from->ttl_max_ms, to->ttl_max_ms);
	snprintf(key, sizeof(key), "source %s: timeout", from->name);
	diff_duration_field(w, key, from->timeout_ms, to->timeout_ms);
}

static void diff_sources(struct diff_walk *w, const struct config *from, const struct config *to)
{
	for (size_t i = 0; i < from->n_sources; i++) {
		const struct source *was = &from->sources[i], *is = config_source(to, was->kind, was->name);

		diff_subject(w, "source %s", was->name);
		if (is)
			diff_source(w, was, is);
		else
			diff_say(w, DIFF_REMOVED, NULL, NULL);
	}
	for (size_t i = 0; i < to->n_sources; i++) {
		diff_subject(w, "source %s", to->sources[i].name);
		if (!config_source(from, to->sources[i].kind, to->sources[i].name))
			diff_say(w, DIFF_ADDED, NULL, source_kind_names[to->sources[i].kind]);
	}
}

static bool is_announced(const struct config *c, const struct announce *a)
{
	for (size_t i = 0; i < c->n_announces; i++)
		if (announce_equal(&c->announces[i], a))
			return true;
	return false;
}

static void diff_announce(struct diff_walk *w, enum diff_kind kind, const struct announce *a)
{
	char at[ENDPOINT_TEXT];

	diff_subject(w, "register %s %s at %s", source_kind_names[a->kind], a->name, endpoint_format(&a->at, at));
	diff_say(w, kind, NULL, NULL);
}

void diff_discovery(struct diff_walk *w, const struct config *from, const struct config *to)
{
	char a[STATE_TEXT], b[STATE_TEXT];

	diff_subject(w, "state");
	if (from->state || to->state) /* else it goes by pins, which are said */
		diff_text_field(w, config_state(from, a), config_state(to, b));
	diff_sources(w, from, to);
	diff_firsts(w, from, to);
	for (size_t i = 0; i < from->n_announces; i++)
		if (!is_announced(to, &from->announces[i]))
			diff_announce(w, DIFF_REMOVED, &from->announces[i]);
	for (size_t i = 0; i < to->n_announces; i++)
		if (!is_announced(from, &to->announces[i]))
			diff_announce(w, DIFF_ADDED, &to->announces[i]);
}
