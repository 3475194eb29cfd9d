/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Consul: a service of the agent, with a check of its own that becomes critical when it is not renewed in time. What is
 * unhealthy stays registered and is critical, with what the check said. An agent that forgot us is told anew.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "discovery/http.h"
#include "register/announcer.h"
#include "register/consul_ask.h"

#define PROBLEM 512

struct consul {
	const struct source *conf;
	struct http *http;
};

struct announcement {
	struct consul *consul;
	const struct announce *what;
	const char *id;
	struct registration *registration;
	struct http_request *request; /* NULL: nothing is under way */
	bool up; /* is being made so */
	char output[128];
	bool registered; /* the agent knows it, as it is now */
	bool anew; /* it was told so a moment ago */
	uint64_t changes, registered_changes; /* of what it says: how many there were, and when it was registered */
};

typedef void (*done_fn)(void *arg, const struct http_request *r, const struct http_answer *a);

/* id: behind the path, or NULL; body is taken over */
static int ask(struct announcement *a, const char *path, const char *id, char *body, done_fn done)
{
	_cleanup_free_ char *owned = body, *escaped = http_escape(id ?: ""), *whole = NULL;
	struct http_call call = {
		.method = "PUT", .body = body, .timeout_ms = a->consul->conf->timeout_ms, .done = done, .arg = a
	};

	if (!body || !escaped || asprintf(&whole, "%s%s", path, escaped) < 0)
		return -ENOMEM;
	call.path = whole;
	return http_send(a->consul->http, &call, &a->request);
}

static bool is_fine(const struct http_answer *answer)
{
	return !answer->problem && answer->status / 100 == 2;
}

static void failed(struct announcement *a, const struct http_request *r, const struct http_answer *answer)
{
	char problem[PROBLEM];

	if (answer->problem)
		snprintf(problem, sizeof(problem), "%s", answer->problem);
	else
		snprintf(problem, sizeof(problem), "%s: Consul says: %.200s (status %ld)%s", http_request_url(r),
			 answer->body, answer->status,
			 answer->status != 403         ? ""
			 : a->consul->conf->token_file ? "; grant the token service:write"
						       : "; give the source a token-file");
	registration_failed(a->registration, problem);
}

/* ---- being there ---- */

static int update(struct announcement *a);
static int announce(struct announcement *a);

/* Consul 1.8 says it with status 500, later ones with 404. */
static bool is_forgotten(const struct http_answer *answer)
{
	return answer->status == 404 || strstr(answer->body, "does not have associated TTL") ||
	       strstr(answer->body, "Unknown check");
}

static void on_updated(void *arg, const struct http_request *r, const struct http_answer *answer)
{
	struct announcement *a = arg;

	a->request = NULL;
	if (is_fine(answer)) {
		registration_made(a->registration);
	} else if (!answer->problem && is_forgotten(answer) && !a->anew) {
		a->registered = false;
		if (announce(a))
			registration_failed(a->registration, "out of memory");
	} else {
		failed(a, r, answer);
	}
}

static int update(struct announcement *a)
{
	_cleanup_free_ char *check = NULL;

	if (asprintf(&check, "service:%s", a->id) < 0)
		return -ENOMEM;
	return ask(a, "/v1/agent/check/update/", check, consul_ask_update(consul_status(a->what, a->up), a->output),
		   on_updated);
}

static void on_registered(void *arg, const struct http_request *r, const struct http_answer *answer)
{
	struct announcement *a = arg;

	a->request = NULL;
	if (!is_fine(answer)) {
		failed(a, r, answer);
		return;
	}
	a->registered = a->registered_changes == a->changes;
	if (update(a)) /* with what the check said */
		registration_failed(a->registration, "out of memory");
}

static int announce(struct announcement *a)
{
	a->registered_changes = a->changes;
	a->anew = true;
	return ask(a, "/v1/agent/service/register", NULL,
		   consul_ask_register(a->what, a->id, consul_status(a->what, a->up)), on_registered);
}

/* ---- not being there ---- */

static void on_deregistered(void *arg, const struct http_request *r, const struct http_answer *answer)
{
	struct announcement *a = arg;

	a->request = NULL;
	if (!is_fine(answer) &&
	    (answer->problem || (answer->status != 404 && !strstr(answer->body, "Unknown service")))) {
		failed(a, r, answer);
		return;
	}
	a->registered = false;
	registration_made(a->registration);
}

/* ---- the announcer ---- */

static int consul_make(void *announcement, enum wanted wanted, const char *output)
{
	struct announcement *a = announcement;

	if (wanted == WANTED_GONE)
		return ask(a, "/v1/agent/service/deregister/", a->id, strdup(""), on_deregistered);
	a->up = wanted == WANTED_UP;
	a->anew = false;
	snprintf(a->output, sizeof(a->output), "%s", output);
	return a->registered ? update(a) : announce(a);
}

static void consul_changed(void *announcement)
{
	struct announcement *a = announcement;

	a->changes++;
	a->registered = false;
}

static void consul_end(void *announcement)
{
	struct announcement *a = announcement;

	if (a->request)
		http_cancel(a->request);
	free(a);
}

static int consul_begin(void *server, const struct announce *what, const char *id, struct registration *r, void **out)
{
	struct announcement *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	*a = (struct announcement){ .consul = server, .what = what, .id = id, .registration = r };
	*out = a;
	return 0;
}

static void consul_close(void *server)
{
	struct consul *c = server;

	http_free(c->http);
	free(c);
}

static int consul_open(const struct announcer_env *env, const struct source *conf, void **server)
{
	static char *defaults[] = { "http://127.0.0.1:8500" };
	struct http_settings s = { .urls = conf->servers,
				   .tls = conf->tls,
				   .token_file = conf->token_file,
				   .token_head = "X-Consul-Token: ",
				   .connect_ms = conf->timeout_ms };
	struct consul *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->conf = conf;
	if (!s.urls.n)
		s.urls = (struct texts){ .list = defaults, .n = 1 };
	if (http_new(env->transfers, &s, &c->http)) {
		free(c);
		return -ENOMEM;
	}
	*server = c;
	return 0;
}

const struct announcer_ops announcer_consul = { .open = consul_open,
						.close = consul_close,
						.begin = consul_begin,
						.end = consul_end,
						.changed = consul_changed,
						.make = consul_make };
