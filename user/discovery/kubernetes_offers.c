/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All Services of the cluster are watched; those that are ours are offered, and their status is written. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "discovery/kubernetes_answer.h"
#include "discovery/kubernetes_api.h"
#include "discovery/kubernetes_services.h"
#include "discovery/kubernetes_status.h"
#include "discovery/kubernetes_watch.h"

#define PAGE 500 /* Services */

struct kubernetes_offers {
	struct kubernetes_api *api;
	struct kubernetes_watch *watch;
	struct kubernetes_status *status; /* NULL: no class is ours, so no status is either */
	struct event *soon; /* timer: the beginning */
	char *trouble; /* of the status; NULL: none */
	bool dirty; /* the offers are to be said */
	unsigned list; /* number of the list that was said last */
	bool some; /* there were some, in that list or since */
};

/* ---- what is kept ---- */

static void tend_status(struct kubernetes_offers *o, const struct kubernetes_service *s)
{
	_cleanup_free_ char *patch = NULL;

	if (!o->status)
		return;
	if (!s->differs) {
		kubernetes_status_leave(o->status, s->namespace, s->name);
		return;
	}
	patch = kubernetes_service_patch(s);
	if (!patch || kubernetes_status_write(o->status, s->namespace, s->name, patch))
		log_error("source %s: out of memory for the status of service %s/%s", o->api->conf->name, s->namespace,
			  s->name);
}

static void *keep_service(void *arg, const json_t *object, void *before)
{
	struct kubernetes_offers *o = arg;
	struct kubernetes_service *was = before, *is = NULL;

	if (object && kubernetes_service_parse(object, o->api->conf, was, &is)) {
		log_error("source %s: out of memory for a service", o->api->conf->name);
		return before;
	}
	o->dirty |= was || is;
	if (is)
		tend_status(o, is);
	else if (was && o->status)
		kubernetes_status_leave(o->status, was->namespace, was->name);
	kubernetes_service_free(was);
	return is;
}

/* ---- what is said ---- */

struct gathered {
	struct offer *list; /* borrowed contents */
	size_t n;
};

static void count_offers(void *arg, void *kept)
{
	*(size_t *)arg += ((const struct kubernetes_service *)kept)->n_offers;
}

static void gather(void *arg, void *kept)
{
	const struct kubernetes_service *s = kept;
	struct gathered *g = arg;

	for (size_t i = 0; i < s->n_offers; i++)
		g->list[g->n++] = s->offers[i];
}

/* If there is none: were there some that were seen to go, one by one? Or does a list have none, which may be wrong? */
static bool saw_some(struct kubernetes_offers *o, size_t n)
{
	unsigned list = kubernetes_watch_list(o->watch);

	o->some = n || (o->some && o->list == list);
	o->list = list;
	return o->some;
}

static void say_offers(struct kubernetes_offers *o)
{
	_cleanup_free_ struct offer *list = NULL;
	struct gathered g = {};
	size_t n = 0;

	kubernetes_watch_each(o->watch, count_offers, &n);
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return; /* it stays dirty */
	g.list = list;
	kubernetes_watch_each(o->watch, gather, &g);
	if (saw_some(o, g.n))
		offers_changed(o->api->env.offers, g.list, g.n);
	else
		offers_found(o->api->env.offers, g.list, g.n);
	if (o->trouble)
		offers_problem(o->api->env.offers, "%s", o->trouble);
	o->dirty = false;
}

static void on_changed(void *arg, const char *version)
{
	struct kubernetes_offers *o = arg;

	(void)version;
	if (o->dirty)
		say_offers(o);
}

static void on_same(void *arg)
{
	(void)arg;
}

static void on_problem(void *arg, const char *sentence)
{
	struct kubernetes_offers *o = arg;

	o->dirty = true; /* an answer ends the problem, even if nothing changed */
	offers_problem(o->api->env.offers, "%s", sentence);
}

/* NULL: there is none any more. */
static void on_trouble(void *arg, const char *sentence)
{
	struct kubernetes_offers *o = arg;

	free(o->trouble);
	o->trouble = sentence ? strdup(sentence) : NULL;
	o->dirty = true;
	if (sentence)
		offers_problem(o->api->env.offers, "%s", sentence);
	else if (kubernetes_watch_complete(o->watch))
		event_add(o->soon, &(struct timeval){});
}

/* ---- life ---- */

/* Without a class only what has the label is of interest, and the server chooses. */
static int begin(struct kubernetes_offers *o)
{
	const struct source *conf = o->api->conf;
	_cleanup_free_ char *labels = conf->class ? NULL : http_escape(conf->label);

	return !conf->class && !labels ? -ENOMEM : kubernetes_watch_start(o->watch, labels);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct kubernetes_offers *o = arg;

	(void)fd;
	(void)what;
	if (kubernetes_watch_complete(o->watch))
		on_changed(o, NULL);
	else if (begin(o))
		event_add(o->soon, &(struct timeval){ .tv_sec = 1 });
}

void kubernetes_offers_free(struct kubernetes_offers *o)
{
	struct kubernetes_status *status = o ? o->status : NULL;

	if (!o)
		return;
	o->api->watches--;
	o->status = NULL; /* what is let go of is not left */
	kubernetes_status_free(status);
	kubernetes_watch_free(o->watch);
	if (o->soon)
		event_free(o->soon);
	free(o->trouble);
	free(o);
}

static int make_parts(struct kubernetes_offers *o)
{
	const struct kubernetes_api *api = o->api;
	const struct kubernetes_watch_conf watch = { .base = api->env.base,
						     .http = api->http,
						     .headers = api->headers,
						     .what = "services in all namespaces",
						     .credentials = api->credentials,
						     .path = "/api/v1/services",
						     .page = PAGE,
						     .watches = &api->watches,
						     .timeout_ms = api->conf->timeout_ms,
						     .keep = keep_service,
						     .changed = on_changed,
						     .same = on_same,
						     .problem = on_problem,
						     .arg = o };
	const struct kubernetes_status_conf status = { .base = api->env.base,
						       .http = api->http,
						       .headers = api->headers,
						       .timeout_ms = api->conf->timeout_ms,
						       .problem = on_trouble,
						       .arg = o };
	int err = kubernetes_watch_new(&watch, &o->watch);

	if (!err && api->conf->class)
		err = kubernetes_status_new(&status, &o->status);
	o->soon = evtimer_new(api->env.base, on_soon, o);
	return err || !o->soon || event_add(o->soon, &(struct timeval){}) ? -ENOMEM : 0;
}

int kubernetes_offers_new(struct kubernetes_api *api, struct kubernetes_offers **out)
{
	struct kubernetes_offers *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	*o = (struct kubernetes_offers){ .api = api, .dirty = true };
	api->watches++;
	if (make_parts(o)) {
		kubernetes_offers_free(o);
		return -ENOMEM;
	}
	*out = o;
	return 0;
}
