/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Discovery whose sources are the test itself: it takes the place of those of Consul (questions) and Kubernetes (services
 * that are offered), notes what they are asked, and answers when it likes.
 */
#ifndef TESTS_ASKED_H
#define TESTS_ASKED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "config/config.h"
#include "discovery/internal.h"
#include "until.h"

#define WATCHES_MAX 64

static struct asked {
	bool cannot_open, cannot_watch;
	unsigned opens, closes, watches, unwatches;
	struct watched {
		const struct discover *what;
		struct finder *finder; /* NULL: not watched any more */
	} list[WATCHES_MAX];
	struct offers *offers; /* of the source that was opened last */
} asked;

static int asked_open(const struct source_env *env, const struct source *conf, void **out)
{
	if (asked.cannot_open)
		return err_r(-EINVAL, "source %s: there is no such file", conf->name);
	asked.opens++;
	asked.offers = env->offers;
	*out = &asked;
	return 0;
}

static void asked_close(void *source)
{
	(void)source;
	asked.closes++;
}

static int asked_watch(void *source, const struct discover *what, struct finder *f, void **out)
{
	struct watched *w = &asked.list[asked.watches % WATCHES_MAX];

	(void)source;
	if (asked.cannot_watch)
		return err_r(-EINVAL, "%s is no name of a service", what->name);
	assert_null(w->finder);
	asked.watches++;
	*w = (struct watched){ what, f };
	*out = w;
	return 0;
}

static void asked_unwatch(void *watch)
{
	asked.unwatches++;
	((struct watched *)watch)->finder = NULL;
}

#define ASKED \
	{ .open = asked_open, .close = asked_close, .watch = asked_watch, .unwatch = asked_unwatch, \
	  .one_at_a_time = true }
const struct source_ops source_consul = ASKED, source_kubernetes = ASKED;

/* The question that is watched about a service of this name; of several the one asked last. NULL: none. */
static inline struct finder *asked_finder(const char *name)
{
	struct finder *found = NULL;

	for (size_t i = 0; i < WATCHES_MAX; i++)
		if (asked.list[i].finder && !strcmp(asked.list[i].what->name, name))
			found = asked.list[i].finder;
	return found;
}

/* "10.0.0.1:80*50" or "10.0.0.1:80", with "/draining" or "#0a0b" (server-id) behind; separated by spaces. */
static inline size_t backends_parse(const char *text, struct backend *list, size_t room)
{
	_cleanup_free_ char *copy = strdup(text);
	size_t n = 0;
	char *rest = copy;

	for (char *word; (word = strtok_r(rest, " ", &rest)) && n < room; n++) {
		char *id = strchr(word, '#'), *state = strchr(word, '/'), *weight = strchr(word, '*');
		struct backend b = { .weight = WEIGHT_DEFAULT };

		if (id) {
			assert_int_equal(server_id_parse(id + 1, &b.server_id), 0);
			*id = '\0';
		}
		if (state) {
			b.admin = !strcmp(state, "/draining") ? ADMIN_DRAINING : ADMIN_DISABLED;
			*state = '\0';
		}
		if (weight) {
			b.weight = strtoul(weight + 1, NULL, 10);
			*weight = '\0';
		}
		assert_int_equal(endpoint_parse(word, &b.at), 0);
		list[n] = b;
	}
	return n;
}

/* In the same words; to be used before the next call. */
static inline const char *backends_text(const struct backend *list, size_t n)
{
	static char text[4096];
	char at[ENDPOINT_TEXT], id[SERVER_ID_TEXT];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		const struct backend *b = &list[i];

		used += snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "", endpoint_format(&b->at, at));
		if (b->weight != WEIGHT_DEFAULT)
			used += snprintf(text + used, sizeof(text) - used, "*%u", b->weight);
		if (b->admin)
			used += snprintf(text + used, sizeof(text) - used, b->admin == ADMIN_DRAINING ? "/draining" : "/disabled");
		if (b->server_id.length)
			used += snprintf(text + used, sizeof(text) - used, "#%s", server_id_format(&b->server_id, id));
		assert_true(used < sizeof(text));
	}
	return text;
}

/* The source says what there is. */
static inline void answer_with(struct finder *f, const char *backends, const char *version, const char *note)
{
	struct backend list[64];
	size_t n = backends_parse(backends, list, 64);

	assert_non_null(f);
	found(f, &(struct answer){ .backends = list, .n = n, .version = version, .note = note });
}

/* It says what there is, and that something of it cannot be used. */
static inline void answer_in_part(const char *service, const char *backends, const char *wrong)
{
	struct backend list[64];
	size_t n = backends_parse(backends, list, 64);

	found(asked_finder(service), &(struct answer){ .backends = list, .n = n, .note = wrong, .wrong = true });
}

static inline void answer(const char *service, const char *backends)
{
	answer_with(asked_finder(service), backends, NULL, NULL);
}

/* ---- configurations ---- */

static void asked_say(void *arg, const char *sentence)
{
	(void)arg;
	print_message("%s\n", sentence);
}

static inline struct config *parse_config(const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	struct config *c = NULL;
	va_list args;

	va_start(args, fmt);
	assert_true(vasprintf(&text, fmt, args) >= 0);
	va_end(args);
	if (config_parse("test.yaml", text, strlen(text), asked_say, NULL, &c))
		fail_msg("refused: %s", text);
	return c;
}

/* ---- a directory for state ---- */

static char state_dir[64];

static inline void state_make(void)
{
	strcpy(state_dir, "/tmp/shunt-test-state-XXXXXX");
	assert_non_null(mkdtemp(state_dir));
}

static inline int remove_one(const char *path, const struct stat *s, int what, struct FTW *at)
{
	(void)s, (void)what, (void)at;
	return remove(path);
}

static inline void state_remove(void)
{
	nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- time ---- */

#define run_until(base, condition) assert_true(loop_until(base, condition))

#endif
