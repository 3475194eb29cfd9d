/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * etcd: a key below the prefix, which lives as long as its lease, with a value as the etcd source reads it. It is there
 * while the server is well: the lease is revoked, which takes the key along, when it is not.
 *
 *   up:   grant a lease -> put the key -> made;   with a lease: renew it -> is the key there? -> made
 *   down: revoke the lease -> made
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "discovery/etcd_answer.h"
#include "discovery/etcd_ask.h"
#include "discovery/etcd_session.h"
#include "register/announcer.h"

struct announcement {
	struct etcd_session *session;
	const struct announce *what;
	const char *id;
	struct registration *registration;
	struct etcd_request *request; /* NULL: nothing is under way */
	int64_t lease; /* 0: none */
	uint32_t lease_ms; /* for how long it was granted */
	bool put; /* the key stands as it should */
	uint64_t changes, put_changes; /* of what it says: how many there were, and when it was put */
};

typedef void (*done_fn)(void *arg, const char *problem, int code, const char *body, size_t len);

static int ask(struct announcement *a, const char *path, char *body, done_fn done)
{
	struct etcd_call call = {
		.path = path, .body = body, .right = "readwrite", .prefix = a->what->name, .done = done, .arg = a
	};

	return etcd_send(a->session, &call, &a->request);
}

static void failed(struct announcement *a, const char *problem)
{
	registration_failed(a->registration, problem);
}

/* ---- up ---- */

static int grant(struct announcement *a);

static char *key_of(const struct announcement *a)
{
	char *key = NULL;

	return asprintf(&key, "%s%s", a->what->name, a->id) < 0 ? NULL : key;
}

static char *value_of(const struct announcement *a)
{
	char *value = NULL, at[ENDPOINT_TEXT];

	return asprintf(&value, "{\"address\":\"%s\",\"weight\":%u}", endpoint_format(&a->what->at, at),
			a->what->weight) < 0
		       ? NULL
		       : value;
}

/* The lease is over, or never was: with a new one the key comes back. */
static void lost(struct announcement *a)
{
	a->lease = 0;
	a->put = false;
	if (grant(a))
		failed(a, "out of memory");
}

static void on_put(void *arg, const char *problem, int code, const char *body, size_t len)
{
	struct announcement *a = arg;

	(void)body;
	(void)len;
	a->request = NULL;
	if (problem && code == ETCD_NOT_FOUND)
		a->lease = 0;
	if (problem) {
		failed(a, problem);
		return;
	}
	a->put = a->put_changes == a->changes;
	registration_made(a->registration);
}

static int put(struct announcement *a)
{
	_cleanup_free_ char *key = key_of(a), *value = value_of(a);

	if (!key || !value)
		return -ENOMEM;
	a->put_changes = a->changes;
	return ask(a, "/v3/kv/put", etcd_ask_put(key, value, a->lease), on_put);
}

static void on_granted(void *arg, const char *problem, int code, const char *body, size_t len)
{
	struct announcement *a = arg;

	(void)code;
	a->request = NULL;
	if (problem)
		failed(a, problem);
	else if (!etcd_number(body, len, "ID", &a->lease) || !a->lease)
		failed(a, "etcd granted a lease without an ID; is this etcd 3.4 or later?");
	else if (put(a))
		failed(a, "out of memory");
}

/* The key goes over from the lease that it had, if any, when it is put. */
static int grant(struct announcement *a)
{
	a->lease = 0;
	a->put = false;
	a->lease_ms = a->what->ttl_ms;
	return ask(a, "/v3/lease/grant", etcd_ask_lease("TTL", (a->lease_ms + 999) / 1000), on_granted);
}

/* Somebody may have deleted the key, which the lease does not notice. */
static void on_there(void *arg, const char *problem, int code, const char *body, size_t len)
{
	struct announcement *a = arg;
	int64_t count = 0;

	(void)code;
	a->request = NULL;
	if (problem)
		failed(a, problem);
	else if (etcd_number(body, len, "count", &count) && count)
		registration_made(a->registration);
	else if (put(a))
		failed(a, "out of memory");
}

static void on_renewed(void *arg, const char *problem, int code, const char *body, size_t len)
{
	_cleanup_free_ char *key = NULL;
	struct announcement *a = arg;

	(void)code;
	a->request = NULL;
	key = key_of(a);
	if (problem)
		failed(a, problem);
	else if (!etcd_lease_lives(body, len))
		lost(a);
	else if (!key || ask(a, "/v3/kv/range", etcd_ask_one(key), on_there))
		failed(a, "out of memory");
}

static int make_up(struct announcement *a)
{
	if (!a->lease || a->lease_ms != a->what->ttl_ms)
		return grant(a);
	if (!a->put)
		return put(a);
	return ask(a, "/v3/lease/keepalive", etcd_ask_lease("ID", a->lease), on_renewed);
}

/* ---- down ---- */

static void on_revoked(void *arg, const char *problem, int code, const char *body, size_t len)
{
	struct announcement *a = arg;

	(void)body;
	(void)len;
	a->request = NULL;
	if (problem && code != ETCD_NOT_FOUND) {
		failed(a, problem);
		return;
	}
	a->lease = 0;
	a->put = false;
	registration_made(a->registration);
}

static int make_down(struct announcement *a)
{
	if (!a->lease)
		return 1;
	return ask(a, "/v3/lease/revoke", etcd_ask_lease("ID", a->lease), on_revoked);
}

/* ---- the announcer ---- */

static int etcd_make(void *announcement, enum wanted wanted, const char *output)
{
	(void)output;
	return wanted == WANTED_UP ? make_up(announcement) : make_down(announcement);
}

static void etcd_changed(void *announcement)
{
	struct announcement *a = announcement;

	a->changes++;
	a->put = false;
}

static void etcd_end(void *announcement)
{
	struct announcement *a = announcement;

	etcd_cancel(a->request);
	free(a);
}

static int etcd_begin(void *server, const struct announce *what, const char *id, struct registration *r, void **out)
{
	struct announcement *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	*a = (struct announcement){ .session = server, .what = what, .id = id, .registration = r };
	*out = a;
	return 0;
}

static int etcd_open(const struct announcer_env *env, const struct source *conf, void **server)
{
	struct etcd_session *s;
	int err = etcd_session_new(env->base, env->transfers, conf, &s);

	if (!err)
		*server = s;
	return err;
}

static void etcd_close(void *server)
{
	etcd_session_free(server);
}

const struct announcer_ops announcer_etcd = { .open = etcd_open,
					      .close = etcd_close,
					      .begin = etcd_begin,
					      .end = etcd_end,
					      .changed = etcd_changed,
					      .make = etcd_make };
