/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One list and one stream for all services of a namespace that are asked for: their slices are chosen by the server,
 * with a selector that names the services. Where there are too many to be named it sends all, and we choose.
 */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clean.h"
#include "base/log.h"
#include "discovery/kubernetes_answer.h"
#include "discovery/kubernetes_api.h"
#include "discovery/kubernetes_slices.h"
#include "discovery/kubernetes_watch.h"

#define PAGE 50 /* slices, of up to 100 endpoints (the server's default) */
#define SELECTOR_MAX 3000 /* characters: proxies take a request line of 8 KB */

struct service_slices;

struct kubernetes_question {
	LIST_ENTRY(kubernetes_question) entry;
	struct kubernetes_namespace *namespace;
	struct service_slices *service;
	const struct discover *what;
	struct finder *finder;
	bool well; /* what was said last was an answer */
};

/* A service that is asked for, or was: it goes when it has neither questions nor slices. */
struct service_slices {
	char *name;
	LIST_HEAD(, kubernetes_question) questions;
	struct kept_slice **list;
	size_t n, room;
	bool covered; /* the selector has it */
	bool dirty; /* its questions are to be answered */
};

struct kept_slice {
	struct slice *slice;
	struct service_slices *service;
	size_t at; /* in its list */
};

struct kubernetes_namespace {
	struct kubernetes_api *api;
	char *name, *path, *older_path, *what;
	struct kubernetes_watch *watch;
	struct event *soon; /* timer: answers and new selectors, together for all that is asked at once */
	void *services; /* tsearch tree by name */
	size_t n_questions;
	bool begin; /* for soon: some service is not covered */
};

/* ---- services ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct service_slices *)a)->name, ((const struct service_slices *)b)->name);
}

static struct service_slices *service_find(const struct kubernetes_namespace *n, const char *name)
{
	struct service_slices probe = { .name = (char *)name },
			      **found = tfind(&probe, (void *const *)&n->services, by_name);

	return found ? *found : NULL;
}

static void service_free(struct service_slices *s)
{
	free(s->list);
	free(s->name);
	free(s);
}

static void service_free_if_idle(struct kubernetes_namespace *n, struct service_slices *s)
{
	if (s->n || !LIST_EMPTY(&s->questions))
		return;
	tdelete(s, &n->services, by_name);
	service_free(s);
}

static struct service_slices *service_new(struct kubernetes_namespace *n, const char *name)
{
	struct service_slices *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->name = strdup(name);
	if (!s->name || !tsearch(s, &n->services, by_name)) {
		service_free(s);
		return NULL;
	}
	return s;
}

struct walk {
	void (*fn)(struct service_slices *s, void *arg);
	void *arg;
};

static void visit(const void *node, VISIT which, void *arg)
{
	const struct walk *w = arg;

	if (which == postorder || which == leaf)
		w->fn(*(struct service_slices *const *)node, w->arg);
}

static void services_each(const struct kubernetes_namespace *n, void (*fn)(struct service_slices *s, void *arg),
			  void *arg)
{
	twalk_r(n->services, visit, &(struct walk){ fn, arg });
}

/* ---- slices ---- */

static void slice_drop(struct kubernetes_namespace *n, struct kept_slice *k)
{
	struct service_slices *s = k->service;

	s->list[k->at] = s->list[--s->n];
	s->list[k->at]->at = k->at;
	s->dirty = true;
	slice_free(k->slice);
	free(k);
	service_free_if_idle(n, s);
}

static struct kept_slice *slice_add(struct service_slices *s, struct slice *slice)
{
	struct kept_slice *k = malloc(sizeof(*k));

	if (s->n == s->room) {
		struct kept_slice **grown = reallocarray(s->list, 2 * s->room + 4, sizeof(*grown));

		if (grown) {
			s->list = grown;
			s->room = 2 * s->room + 4;
		}
	}
	if (!k || s->n == s->room) {
		free(k);
		return NULL;
	}
	*k = (struct kept_slice){ slice, s, s->n };
	s->list[s->n++] = k;
	s->dirty = true;
	return k;
}

/* The service of a slice, if somebody asks for it. */
static struct service_slices *asked_service(const struct kubernetes_namespace *n, const json_t *object)
{
	const char *name = kubernetes_label(object, KUBERNETES_SERVICE_LABEL);
	struct service_slices *s = name ? service_find(n, name) : NULL;

	return s && !LIST_EMPTY(&s->questions) ? s : NULL;
}

static void *keep_slice(void *arg, const json_t *object, void *before)
{
	struct kubernetes_namespace *n = arg;
	struct service_slices *s = object ? asked_service(n, object) : NULL;
	struct kept_slice *k = NULL;
	struct slice *slice;
	int err = s ? slice_parse(object, n->api->conf->zone, &slice) : -ENOENT;

	if (!err) {
		k = slice_add(s, slice);
		if (!k) {
			slice_free(slice);
			err = -ENOMEM;
		}
	}
	if (err == -ENOMEM) {
		log_error("source %s: out of memory for a slice of service %s/%s", n->api->conf->name, n->name,
			  s->name);
		return before;
	}
	if (before)
		slice_drop(n, before);
	return k;
}

/* ---- answers ---- */

static void answer(struct kubernetes_question *q, const struct slice *const *slices, size_t n, const char *version)
{
	struct slices_answer a = {};
	char problem[SLICES_TEXT];
	int err = slices_backends(slices, n, q->what, &a, problem);
	struct answer whole = { .backends = a.backends, .n = a.n, .version = version, .note = a.note };

	if (!n)
		whole.note = "it has no EndpointSlices: is there such a service?";
	q->well = !err;
	if (!err)
		found(q->finder, &whole);
	else if (err == -EINVAL)
		found_problem(q->finder, "%s", problem);
	else
		found_problem(q->finder, "out of memory for the endpoints of service %s", q->what->name);
	free(a.backends);
}

static void answer_service(struct service_slices *s, void *version)
{
	_cleanup_free_ const struct slice **slices = NULL;
	struct kubernetes_question *q;

	if (!s->dirty)
		return;
	slices = calloc(s->n + 1, sizeof(*slices));
	if (!slices)
		return; /* it stays dirty */
	for (size_t i = 0; i < s->n; i++)
		slices[i] = s->list[i]->slice;
	LIST_FOREACH(q, &s->questions, entry)
		answer(q, slices, s->n, version);
	s->dirty = false;
}

static void on_changed(void *arg, const char *version)
{
	struct kubernetes_namespace *n = arg;

	services_each(n, answer_service, (void *)version);
}

static void same_service(struct service_slices *s, void *arg)
{
	struct kubernetes_question *q;

	(void)arg;
	LIST_FOREACH(q, &s->questions, entry)
		if (q->well)
			found_same(q->finder);
}

static void on_same(void *arg)
{
	services_each(arg, same_service, NULL);
}

static void problem_service(struct service_slices *s, void *sentence)
{
	struct kubernetes_question *q;

	s->dirty = true; /* an answer ends the problem, even if nothing changed */
	LIST_FOREACH(q, &s->questions, entry) {
		q->well = false;
		found_problem(q->finder, "%s", (const char *)sentence);
	}
}

static void on_problem(void *arg, const char *sentence)
{
	services_each(arg, problem_service, (void *)sentence);
}

/* ---- the selector ---- */

static void name_service(struct service_slices *s, void *out)
{
	s->covered = !LIST_EMPTY(&s->questions);
	if (s->covered)
		fprintf(out, "%s%s", ftell(out) ? "," : "", s->name);
}

static void name_questions(struct service_slices *s, void *arg)
{
	(void)arg;
	s->dirty = true;
}

/* "kubernetes.io/service-name in (web,api)", escaped; NULL: out of memory. */
static char *selector(const struct kubernetes_namespace *n)
{
	_cleanup_free_ char *names = NULL, *text = NULL;
	size_t len;
	FILE *out = open_memstream(&names, &len);

	if (!out)
		return NULL;
	services_each(n, name_service, out);
	if (fclose(out))
		return NULL;
	if (len > SELECTOR_MAX)
		return http_escape(KUBERNETES_SERVICE_LABEL);
	if (asprintf(&text, KUBERNETES_SERVICE_LABEL " in (%s)", names) < 0)
		return text = NULL;
	return http_escape(text);
}

static void begin(struct kubernetes_namespace *n)
{
	_cleanup_free_ char *labels = selector(n);

	services_each(n, name_questions, NULL);
	n->begin = false;
	if (!labels || kubernetes_watch_start(n->watch, labels)) {
		n->begin = true;
		event_add(n->soon, &(struct timeval){ .tv_sec = 1 });
		on_problem(n, "out of memory for the question");
	}
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct kubernetes_namespace *n = arg;

	(void)fd;
	(void)what;
	if (n->begin)
		begin(n);
	else if (kubernetes_watch_complete(n->watch))
		on_changed(n, kubernetes_watch_version(n->watch));
}

/* ---- questions ---- */

int kubernetes_question_new(struct kubernetes_namespace *n, const struct discover *what, struct finder *f,
			    struct kubernetes_question **out)
{
	struct service_slices *s = service_find(n, what->name) ?: service_new(n, what->name);
	struct kubernetes_question *q = calloc(1, sizeof(*q));

	if (!s || !q) {
		free(q);
		if (s)
			service_free_if_idle(n, s);
		return -ENOMEM;
	}
	*q = (struct kubernetes_question){ .namespace = n, .service = s, .what = what, .finder = f };
	LIST_INSERT_HEAD(&s->questions, q, entry);
	s->dirty = true;
	n->n_questions++;
	n->begin |= !s->covered;
	event_add(n->soon, &(struct timeval){});
	*out = q;
	return 0;
}

struct kubernetes_namespace *kubernetes_question_free(struct kubernetes_question *q)
{
	struct kubernetes_namespace *n = q->namespace;
	struct service_slices *s = q->service;

	LIST_REMOVE(q, entry);
	free(q);
	if (LIST_EMPTY(&s->questions))
		s->covered = false; /* what comes of it now is not kept */
	service_free_if_idle(n, s);
	return --n->n_questions ? NULL : n;
}

/* ---- life ---- */

const char *kubernetes_namespace_name(const struct kubernetes_namespace *n)
{
	return n->name;
}

void kubernetes_namespace_free(struct kubernetes_namespace *n)
{
	n->api->watches--;
	kubernetes_watch_free(n->watch);
	if (n->soon)
		event_free(n->soon);
	free(n->name);
	free(n->path);
	free(n->older_path);
	free(n->what);
	free(n);
}

static int make_texts(struct kubernetes_namespace *n, const char *name)
{
	static const char *const path = "/apis/discovery.k8s.io/%s/namespaces/%s/endpointslices";

	n->name = strdup(name);
	if (asprintf(&n->path, path, "v1", name) < 0)
		n->path = NULL;
	if (asprintf(&n->older_path, path, "v1beta1", name) < 0)
		n->older_path = NULL;
	if (asprintf(&n->what, "endpointslices of discovery.k8s.io in namespace %s", name) < 0)
		n->what = NULL;
	return n->name && n->path && n->older_path && n->what ? 0 : -ENOMEM;
}

int kubernetes_namespace_new(struct kubernetes_api *api, const char *name, struct kubernetes_namespace **out)
{
	struct kubernetes_namespace *n = calloc(1, sizeof(*n));
	struct kubernetes_watch_conf conf = { .base = api->env.base,
					      .http = api->http,
					      .headers = api->headers,
					      .credentials = api->credentials,
					      .timeout_ms = api->conf->timeout_ms,
					      .page = PAGE,
					      .watches = &api->watches,
					      .keep = keep_slice,
					      .changed = on_changed,
					      .same = on_same,
					      .problem = on_problem,
					      .arg = n };

	if (!n)
		return -ENOMEM;
	n->api = api;
	api->watches++;
	n->soon = evtimer_new(api->env.base, on_soon, n);
	if (!n->soon || make_texts(n, name)) {
		kubernetes_namespace_free(n);
		return -ENOMEM;
	}
	conf.what = n->what;
	conf.path = n->path;
	conf.older_path = n->older_path;
	if (kubernetes_watch_new(&conf, &n->watch)) {
		kubernetes_namespace_free(n);
		return -ENOMEM;
	}
	*out = n;
	return 0;
}
