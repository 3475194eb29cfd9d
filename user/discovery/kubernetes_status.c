/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/kubernetes_status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clean.h"
#include "base/clock.h"
#include "discovery/backoff.h"
#include "discovery/kubernetes_answer.h"

struct job {
	TAILQ_ENTRY(job) entry;
	char *namespace, *name;
	char *patch; /* NULL: it was sent, and nothing else is wanted until now */
	struct backoff backoff; /* of all attempts, also those that went well */
	uint64_t due_ms; /* not before */
};

struct kubernetes_status {
	struct kubernetes_status_conf conf;
	TAILQ_HEAD(, job) jobs;
	struct http_request *request;
	struct job *under_way; /* whose request that is; NULL: it is left meanwhile */
	char *sent; /* the patch of that request */
	struct event *timer;
	bool troubled; /* a problem was said */
};

static void job_free(struct job *j)
{
	free(j->namespace);
	free(j->name);
	free(j->patch);
	free(j);
}

static struct job *job_find(struct kubernetes_status *s, const char *namespace, const char *name)
{
	struct job *j;

	TAILQ_FOREACH(j, &s->jobs, entry)
		if (!strcmp(j->name, name) && !strcmp(j->namespace, namespace))
			return j;
	return NULL;
}

static struct job *job_new(struct kubernetes_status *s, const char *namespace, const char *name)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	*j = (struct job){ .namespace = strdup(namespace), .name = strdup(name) };
	if (!j->namespace || !j->name) {
		job_free(j);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&s->jobs, j, entry);
	return j;
}

/* ---- one after the other ---- */

/* The job whose time comes first; NULL: none. */
static struct job *next_job(struct kubernetes_status *s)
{
	struct job *j, *first = NULL;

	TAILQ_FOREACH(j, &s->jobs, entry)
		if (j->patch && (!first || j->due_ms < first->due_ms))
			first = j;
	return first;
}

static void plan(struct kubernetes_status *s)
{
	const struct job *j = s->request ? NULL : next_job(s);
	uint64_t now = monotonic_ms(), wait = j && j->due_ms > now ? j->due_ms - now : 0;

	if (j)
		event_add(s->timer, &(struct timeval){ wait / 1000, wait % 1000 * 1000 });
	else
		event_del(s->timer);
}

static void delay(struct job *j)
{
	struct timeval t = backoff_next(&j->backoff);

	j->due_ms = monotonic_ms() + t.tv_sec * 1000ull + t.tv_usec / 1000;
}

#define SENTENCE 600

static void say(struct kubernetes_status *s, const struct http_answer *a, const char *namespace, const char *name)
{
	char text[SENTENCE], message[201];

	s->troubled = true;
	kubernetes_status_message(a->body, a->len, message, sizeof(message));
	if (a->problem)
		snprintf(text, sizeof(text), "the status of service %s/%s could not be written: %s", namespace, name,
			 a->problem);
	else if (a->status == 403)
		snprintf(text, sizeof(text),
			 "%s: we may not write the status of service %s/%s (403%s%s); allow the verb patch on "
			 "services/status in a ClusterRole",
			 http_url(s->conf.http), namespace, name, message[0] ? ": " : "", message);
	else
		snprintf(text, sizeof(text), "%s: the status of service %s/%s could not be written: status %ld%s%s",
			 http_url(s->conf.http), namespace, name, a->status, message[0] ? ": " : "", message);
	s->conf.problem(s->conf.arg, text);
}

static void calm(struct kubernetes_status *s)
{
	if (!s->troubled)
		return;
	s->troubled = false;
	s->conf.problem(s->conf.arg, NULL);
}

/* 404: it is gone, and the watch says so too; 409: it is another by now, and the watch brings what it is. */
static bool goes_over(const struct http_answer *a)
{
	return !a->problem && (a->status / 100 == 2 || a->status == 404 || a->status == 409);
}

static void on_done(void *arg, const struct http_request *r, const struct http_answer *a)
{
	struct kubernetes_status *s = arg;
	struct job *j = s->under_way;

	(void)r;
	s->request = NULL;
	s->under_way = NULL;
	if (j && !goes_over(a))
		say(s, a, j->namespace, j->name);
	else if (a->status / 100 == 2)
		calm(s);
	/* What failed is sent once more, unless something else is wanted meanwhile. */
	if (j && !j->patch && (a->problem || a->status / 100 != 2))
		j->patch = TAKE_PTR(s->sent);
	free(TAKE_PTR(s->sent));
	plan(s);
}

/* To be freed; NULL: out of memory. */
static char *status_path(const struct job *j)
{
	char *path;

	return asprintf(&path, "/api/v1/namespaces/%s/services/%s/status", j->namespace, j->name) < 0 ? NULL : path;
}

static int send_patch(struct kubernetes_status *s, struct job *j)
{
	struct http_call call = { .method = "PATCH",
				  .body = j->patch,
				  .type = "Content-Type: application/merge-patch+json",
				  .headers = s->conf.headers,
				  .timeout_ms = s->conf.timeout_ms,
				  .done = on_done,
				  .arg = s };
	_cleanup_free_ char *path = status_path(j);
	int err;

	if (!path)
		return -ENOMEM;
	call.path = path;
	err = http_send(s->conf.http, &call, &s->request);
	if (err)
		return err;
	s->under_way = j;
	s->sent = TAKE_PTR(j->patch);
	return 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct kubernetes_status *s = arg;
	struct job *j = next_job(s);

	(void)fd;
	(void)what;
	if (s->request || !j)
		return;
	delay(j); /* of the next attempt */
	if (send_patch(s, j))
		plan(s);
}

/* ---- what is wanted ---- */

int kubernetes_status_write(struct kubernetes_status *s, const char *namespace, const char *name, const char *patch)
{
	struct job *j = job_find(s, namespace, name) ?: job_new(s, namespace, name);
	char *copy = strdup(patch);

	if (!j || !copy) {
		free(copy);
		return -ENOMEM;
	}
	free(j->patch);
	j->patch = copy;
	plan(s);
	return 0;
}

void kubernetes_status_leave(struct kubernetes_status *s, const char *namespace, const char *name)
{
	struct job *j = job_find(s, namespace, name);

	if (!j)
		return;
	if (s->under_way == j)
		s->under_way = NULL;
	TAILQ_REMOVE(&s->jobs, j, entry);
	job_free(j);
	if (TAILQ_EMPTY(&s->jobs))
		calm(s);
	plan(s);
}

/* ---- life ---- */

void kubernetes_status_free(struct kubernetes_status *s)
{
	struct job *j;

	if (!s)
		return;
	if (s->request)
		http_cancel(s->request);
	while ((j = TAILQ_FIRST(&s->jobs))) {
		TAILQ_REMOVE(&s->jobs, j, entry);
		job_free(j);
	}
	if (s->timer)
		event_free(s->timer);
	free(s->sent);
	free(s);
}

int kubernetes_status_new(const struct kubernetes_status_conf *conf, struct kubernetes_status **out)
{
	struct kubernetes_status *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->conf = *conf;
	TAILQ_INIT(&s->jobs);
	s->timer = evtimer_new(conf->base, on_timer, s);
	if (!s->timer) {
		kubernetes_status_free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}
