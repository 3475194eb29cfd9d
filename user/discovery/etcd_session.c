/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/etcd_session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clean.h"
#include "base/file.h"
#include "discovery/etcd_answer.h"
#include "discovery/etcd_ask.h"
#include "discovery/http.h"

#define PROBLEM 1600
#define NOT_ENABLED "authentication is not enabled"

struct etcd_request {
	struct etcd_session *session;
	struct etcd_call call;
	char *prefix; /* of call */
	struct http_request *http; /* NULL: waits for the token */
	uint64_t token; /* number of the one that it has */
	bool again; /* once more already, with a new token */
	TAILQ_ENTRY(etcd_request) waiting;
};

struct etcd_session {
	const struct source *conf;
	struct http *http;
	TAILQ_HEAD(, etcd_request) waiting; /* for the token */
	struct http_request *login; /* under way */
	struct event *failed; /* active: there is no token to be had: see problem */
	char problem[PROBLEM];
	char *token; /* NULL: none yet; "": none is needed */
	uint64_t tokens; /* that there were: number of the last */
};

static void request_free(struct etcd_request *r)
{
	free(r->call.body);
	free(r->prefix);
	free(r);
}

/* ---- what etcd says ---- */

static bool token_is_refused(const char *reason)
{
	return strstr(reason, "invalid auth token") || strstr(reason, "auth store is old");
}

#define REMEDY 1200

static const char *say_right(const struct etcd_request *r, char text[REMEDY])
{
	int n = snprintf(text, REMEDY, "; grant the user a role that may");

	if (r->prefix)
		snprintf(text + n, REMEDY - n, " %s the prefix %s", r->call.right, r->prefix);
	return text;
}

/* asked: NULL: it was a login */
static const char *remedy(const struct etcd_session *s, const struct etcd_request *asked, const char *reason,
			  char text[REMEDY])
{
	if (strstr(reason, "user name is empty"))
		return "; it wants a user: give the source user and password-file";
	if (strstr(reason, "permission denied"))
		return s->conf->user && asked ? say_right(asked, text) : "; give the source user and password-file";
	if (strstr(reason, "invalid user ID or password"))
		return "; mend user or password-file of the source";
	return "";
}

static void say(const struct etcd_session *s, const struct etcd_request *asked, const char *url, const char *reason, char *text,
		size_t size)
{
	char then[REMEDY];

	snprintf(text, size, "%s: etcd says: %.300s%s", url, reason, remedy(s, asked, reason, then));
}

/* Of an answer that is none: its message, or its status. */
static void say_answer(const struct etcd_session *s, const struct etcd_request *asked, const struct http_request *r,
		       const struct http_answer *a, char *text, size_t size)
{
	_cleanup_free_ char *message = etcd_text(a->body, a->len, "message");
	char status[80];

	snprintf(status, sizeof(status), "status %ld%s", a->status,
		 a->status == 404 ? "; has it the gateway /v3 (etcd 3.4 and later)?" : "");
	say(s, asked, http_request_url(r), message ?: status, text, size);
}

/* ---- the token ---- */

static int request_start(struct etcd_request *r);
static void request_end(struct etcd_request *r, const char *problem, int code, const char *body, size_t len)
{
	r->call.done(r->call.arg, problem, code, body, len);
	request_free(r);
}

/*
 * All that waited go on; done of one may end others, or begin new ones, with which the rest waits again. With done of the
 * last one the session itself may end.
 */
static void waiting_go_on(struct etcd_session *s, const char *problem)
{
	struct etcd_request *r;
	bool more = true;

	while (more && (r = TAILQ_FIRST(&s->waiting)) && (s->token || (problem && !s->login))) {
		TAILQ_REMOVE(&s->waiting, r, waiting);
		more = !TAILQ_EMPTY(&s->waiting);
		if (problem)
			request_end(r, problem, 0, "", 0);
		else if (request_start(r))
			request_end(r, "out of memory", 0, "", 0);
	}
}

static void on_login(void *arg, const struct http_request *r, const struct http_answer *a)
{
	struct etcd_session *s = arg;

	s->login = NULL;
	if (a->problem)
		snprintf(s->problem, sizeof(s->problem), "%s", a->problem);
	else if (a->status / 100 == 2)
		s->token = etcd_text(a->body, a->len, "token");
	else if (strstr(a->body, NOT_ENABLED))
		s->token = strdup("");
	else
		say_answer(s, NULL, r, a, s->problem, sizeof(s->problem));
	s->tokens += s->token != NULL;
	if (!s->token && !s->problem[0])
		snprintf(s->problem, sizeof(s->problem), "%s: etcd gave no token to user %s", http_request_url(r),
			 s->conf->user);
	waiting_go_on(s, s->token ? NULL : s->problem);
}

static void on_failed(evutil_socket_t fd, short what, void *arg)
{
	struct etcd_session *s = arg;

	(void)fd;
	(void)what;
	waiting_go_on(s, s->problem);
}

/* The first line of the file; NULL: see problem. */
static char *read_password(struct etcd_session *s)
{
	char *password = NULL;
	int err = s->conf->password_file ? file_first_line(s->conf->password_file, &password) : 0;

	if (!err)
		return password ?: strdup("");
	snprintf(s->problem, sizeof(s->problem), "password-file %s cannot be read: %s", s->conf->password_file,
		 err == -ENODATA ? "it is empty" : strerror(-err));
	return NULL;
}

static int send_login(struct etcd_session *s)
{
	_cleanup_free_ char *password = read_password(s);
	_cleanup_free_ char *body = password ? etcd_ask_user(s->conf->user, password) : NULL;
	struct http_call call = { .method = "POST",
				  .path = "/v3/auth/authenticate",
				  .body = body,
				  .timeout_ms = s->conf->timeout_ms,
				  .done = on_login,
				  .arg = s };

	if (!body)
		return -ENOMEM;
	return http_send(s->http, &call, &s->login);
}

static void wait_for_token(struct etcd_request *r)
{
	struct etcd_session *s = r->session;

	TAILQ_INSERT_TAIL(&s->waiting, r, waiting);
	if (s->login)
		return;
	s->problem[0] = '\0';
	if (send_login(s)) {
		if (!s->problem[0])
			snprintf(s->problem, sizeof(s->problem), "out of memory");
		event_active(s->failed, EV_TIMEOUT, 1);
	}
}

/* Several requests may learn of one token that it is refused: the next one has a greater number. */
static void forget_token(struct etcd_request *r)
{
	struct etcd_session *s = r->session;

	if (r->token != s->tokens || !s->conf->user)
		return;
	free(s->token);
	s->token = NULL;
}

void etcd_refused(struct etcd_request *r, const char *reason, char *text, size_t size)
{
	if (token_is_refused(reason))
		forget_token(r);
	say(r->session, r, http_request_url(r->http), reason, text, size);
}

/* ---- requests ---- */

static void on_line(void *arg, const char *line, size_t len)
{
	struct etcd_request *r = arg;

	r->call.line(r->call.arg, line, len);
}

static void on_refused(struct etcd_request *r, const struct http_answer *a)
{
	char problem[PROBLEM];
	int64_t code = 0;

	if (token_is_refused(a->body) && r->session->conf->user && !r->again) {
		forget_token(r);
		r->again = true;
		r->http = NULL;
		if (!r->session->token)
			wait_for_token(r);
		else if (request_start(r))
			request_end(r, "out of memory", 0, "", 0);
		return;
	}
	say_answer(r->session, r, r->http, a, problem, sizeof(problem));
	etcd_number(a->body, a->len, "code", &code);
	if (a->status / 100 == 5)
		http_next(r->session->http, http_request_url(r->http));
	request_end(r, problem, code, a->body, a->len);
}

static void on_done(void *arg, const struct http_request *http, const struct http_answer *a)
{
	struct etcd_request *r = arg;

	(void)http;
	if (!a->problem && a->status / 100 != 2)
		on_refused(r, a);
	else
		request_end(r, a->problem, 0, a->body, a->len);
}

static int request_start(struct etcd_request *r)
{
	struct etcd_session *s = r->session;
	_cleanup_free_ char *header = NULL;
	const char *headers[] = { NULL, NULL };
	struct http_call call = { .method = "POST",
				  .path = r->call.path,
				  .body = r->call.body,
				  .headers = headers,
				  .timeout_ms = r->call.endless ? 0 : s->conf->timeout_ms,
				  .done = on_done,
				  .arg = r,
				  .line = r->call.line ? on_line : NULL };

	r->token = s->tokens;
	if (s->token && s->token[0]) {
		if (asprintf(&header, "Authorization: %s", s->token) < 0)
			return -ENOMEM;
		headers[0] = header;
	}
	return http_send(s->http, &call, &r->http);
}

int etcd_send(struct etcd_session *s, const struct etcd_call *call, struct etcd_request **out)
{
	struct etcd_request *r = calloc(1, sizeof(*r));
	int err = 0;

	if (!r || !call->body) {
		free(call->body);
		free(r);
		return -ENOMEM;
	}
	*r = (struct etcd_request){ .session = s, .call = *call, .prefix = call->prefix ? strdup(call->prefix) : NULL };
	if (call->prefix && !r->prefix)
		err = -ENOMEM;
	else if (s->conf->user && !s->token)
		wait_for_token(r);
	else
		err = request_start(r);
	if (err) {
		request_free(r);
		return err;
	}
	*out = r;
	return 0;
}

void etcd_cancel(struct etcd_request *r)
{
	if (!r)
		return;
	if (r->http)
		http_cancel(r->http);
	else
		TAILQ_REMOVE(&r->session->waiting, r, waiting);
	request_free(r);
}

/* ---- the session ---- */

const char *etcd_session_url(const struct etcd_session *s)
{
	return http_url(s->http);
}

size_t etcd_session_servers(const struct etcd_session *s)
{
	return s->conf->servers.n ?: 1;
}

void etcd_session_next(struct etcd_session *s, const char *url)
{
	http_next(s->http, url);
}

void etcd_session_free(struct etcd_session *s)
{
	if (!s)
		return;
	if (s->login)
		http_cancel(s->login);
	http_free(s->http);
	if (s->failed)
		event_free(s->failed);
	free(s->token);
	free(s);
}

int etcd_session_new(struct event_base *base, struct transfers *t, const struct source *conf, struct etcd_session **out)
{
	static char *defaults[] = { "http://127.0.0.1:2379" };
	struct http_settings settings = { .urls = conf->servers, .tls = conf->tls, .connect_ms = conf->timeout_ms };
	struct etcd_session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->conf = conf;
	TAILQ_INIT(&s->waiting);
	if (!settings.urls.n)
		settings.urls = (struct texts){ .list = defaults, .n = 1 };
	s->failed = event_new(base, -1, 0, on_failed, s);
	if (!s->failed || http_new(t, &settings, &s->http)) {
		etcd_session_free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}
