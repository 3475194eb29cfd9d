/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Backends by DNS: the addresses of a name, or those of the targets of its SRV records. Asked again when the least TTL of
 * all that made up the answer is over, within the floor and the ceiling of the source, and a little later at random.
 *
 * Half an answer is none: if one of the questions that belong together fails (A or AAAA, or a single target of many),
 * that is a problem, and is asked again with backoff, but no more seldom than when all is well. That there is no such
 * name, or nothing at it, is an answer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "discovery/backoff.h"
#include "discovery/resolvers.h"
#include "discovery/source.h"

#define NOTE_TEXT 400

struct dns {
	struct event_base *base;
	const struct source *conf;
	struct resolvers *resolvers;
};

/* A name whose addresses are asked for. */
struct host {
	char name[DNS_NAME];
	struct question *questions[2]; /* A, AAAA; NULL: none is under way */
	struct addr *addrs;
	size_t n;
};

struct watch {
	struct dns *of;
	const struct discover *what;
	struct finder *finder;
	char name[DNS_NAME];
	struct event *timer; /* the next asking */
	struct backoff backoff;
	uint32_t pace_ms; /* between askings while all is well */

	/* an asking under way */
	struct question *srv;
	struct dns_srv *srvs; /* that count */
	size_t n_srvs;
	struct dns_rest rest;
	bool exists; /* the name does */
	struct host *hosts; /* sorted by name */
	size_t n_hosts;
	unsigned pending; /* questions */
	uint32_t ttl; /* the least of what was answered */

	/* what was told last */
	bool told;
	struct backend *set; /* sorted */
	size_t n_set;
	char note[NOTE_TEXT];
};

/* ---- askings begin and end ---- */

static void asking_clear(struct watch *w)
{
	if (w->srv)
		question_cancel(w->srv);
	for (size_t i = 0; i < w->n_hosts; i++) {
		for (int k = 0; k < 2; k++)
			if (w->hosts[i].questions[k])
				question_cancel(w->hosts[i].questions[k]);
		free(w->hosts[i].addrs);
	}
	free(TAKE_PTR(w->hosts));
	free(TAKE_PTR(w->srvs));
	w->srv = NULL;
	w->n_hosts = w->n_srvs = w->pending = 0;
	w->rest = (struct dns_rest){};
	w->exists = false;
	w->ttl = DNS_NO_TTL;
}

static uint32_t random_below(uint32_t limit)
{
	uint32_t random;

	evutil_secure_rng_get_bytes(&random, sizeof(random));
	return limit ? random % limit : 0;
}

static void again_in(struct watch *w, uint32_t ms)
{
	event_add(w->timer, &(struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 });
}

/* A little late, so that what many ask for is not asked for by all at once. */
static void plan_when_well(struct watch *w)
{
	const struct source *s = w->of->conf;
	uint64_t ms = w->ttl == DNS_NO_TTL ? 0 : w->ttl * 1000ull;

	ms = ms < s->ttl_min_ms ? s->ttl_min_ms : ms > s->ttl_max_ms ? s->ttl_max_ms : ms;
	w->pace_ms = ms;
	backoff_reset(&w->backoff);
	again_in(w, ms + random_below(ms < 16000 ? ms / 16 : 1000));
}

static void plan_after_problem(struct watch *w)
{
	struct timeval wait = backoff_next(&w->backoff);
	uint32_t ms = wait.tv_sec * 1000 + wait.tv_usec / 1000;

	again_in(w, ms < w->pace_ms ? ms : w->pace_ms / 2 + random_below(w->pace_ms / 2 + 1));
}

static void out_of_memory(struct watch *w)
{
	asking_clear(w);
	plan_after_problem(w);
	found_problem(w->finder, "%s: out of memory", w->name);
}

/* ---- what was found ---- */

static int by_endpoint_and_weight(const void *a, const void *b)
{
	const struct backend *x = a, *y = b;
	int order = endpoint_compare(&x->at, &y->at);

	return order ? order : (x->weight < y->weight) - (x->weight > y->weight);
}

static bool is_usable(const struct addr *a)
{
	return !addr_is_unspecified(a) && !addr_is_multicast(a) && !addr_is_broadcast(a);
}

static int compare_name(const void *name, const void *host)
{
	return strcmp(name, ((const struct host *)host)->name);
}

static struct host *host_find(const struct watch *w, const char *name)
{
	return w->n_hosts ? bsearch(name, w->hosts, w->n_hosts, sizeof(*w->hosts), compare_name) : NULL;
}

struct gathered {
	struct backend *list;
	size_t n;
	size_t unusable; /* addresses */
	const char *nowhere; /* a target without addresses; NULL: none */
};

static void gather_host(struct gathered *g, const struct host *h, uint16_t port, uint32_t weight)
{
	for (size_t i = 0; i < h->n; i++)
		if (is_usable(&h->addrs[i]))
			g->list[g->n++] = (struct backend){ .at = { h->addrs[i], port }, .weight = weight };
		else
			g->unusable++;
	if (!h->n)
		g->nowhere = h->name;
}

static bool gather(const struct watch *w, struct gathered *g)
{
	size_t room = 1;

	for (size_t i = 0; i < w->n_srvs; i++)
		room += host_find(w, w->srvs[i].target)->n;
	for (size_t i = 0; !w->what->srv && i < w->n_hosts; i++)
		room += w->hosts[i].n;
	g->list = calloc(room, sizeof(*g->list));
	if (!g->list)
		return false;
	for (size_t i = 0; i < w->n_srvs; i++)
		gather_host(g, host_find(w, w->srvs[i].target), w->srvs[i].port, w->srvs[i].weight);
	for (size_t i = 0; !w->what->srv && i < w->n_hosts; i++)
		gather_host(g, &w->hosts[i], w->what->port, WEIGHT_DEFAULT);
	qsort(g->list, g->n, sizeof(*g->list), by_endpoint_and_weight);
	return true;
}

static const char *none_because(const struct watch *w)
{
	if (!w->exists)
		return "there is no such name";
	if (w->rest.absent && !w->n_srvs)
		return "the target \".\" declares the service absent";
	if (w->n_srvs)
		return "no target has an address";
	return w->what->srv ? "the name has no SRV record" : "the name has no address";
}

static void write_note(const struct watch *w, const struct gathered *g, char note[NOTE_TEXT])
{
	size_t len = 0;

	note[0] = '\0';
	if (!g->n)
		len = snprintf(note, NOTE_TEXT, "%s: %s", w->name, none_because(w));
	else if (g->nowhere && w->what->srv)
		len = snprintf(note, NOTE_TEXT, "target %s has no address", g->nowhere);
	if (g->unusable)
		len += snprintf(note + len, NOTE_TEXT - len, "%s%zu addresses that can be no backend's are left out",
				len ? "; " : "", g->unusable);
	if (w->rest.lower)
		snprintf(note + len, NOTE_TEXT - len, "%s%zu SRV records of lower priority are left out",
			 len ? "; " : "", w->rest.lower);
}

static bool same_as_told(const struct watch *w, const struct gathered *g, const char *note)
{
	if (!w->told || w->n_set != g->n || strcmp(w->note, note))
		return false;
	for (size_t i = 0; i < g->n; i++)
		if (by_endpoint_and_weight(&w->set[i], &g->list[i]))
			return false;
	return true;
}

static void tell(struct watch *w, struct gathered *g)
{
	bool wrong = g->n && (g->nowhere || g->unusable);
	char note[NOTE_TEXT];

	write_note(w, g, note);
	if (same_as_told(w, g, note)) {
		free(g->list);
		found_same(w->finder);
		return;
	}
	free(w->set);
	w->set = g->list;
	w->n_set = g->n;
	w->told = true;
	memcpy(w->note, note, sizeof(note));
	found(w->finder, &(struct answer){ .backends = w->set, .n = w->n_set, .note = note, .wrong = wrong });
}

/* Everything was answered. */
static void conclude(struct watch *w)
{
	struct gathered g = {};

	if (!gather(w, &g)) {
		out_of_memory(w);
		return;
	}
	plan_when_well(w);
	if (!g.n && g.unusable) { /* some resolvers answer so in place of what they will not say */
		free(g.list);
		found_problem(w->finder, "%s has only addresses that can be no backend's, such as 0.0.0.0", w->name);
	} else {
		tell(w, &g);
	}
	asking_clear(w);
}

static void fail(struct watch *w, const char *name, enum dns_type type, const char *problem)
{
	asking_clear(w);
	plan_after_problem(w);
	found_problem(w->finder, "%s records of %s: %s", dns_type_name(type), name, problem);
}

/* ---- addresses of a name ---- */

static bool host_add(struct host *h, const struct addr *a)
{
	struct addr *grown = reallocarray(h->addrs, h->n + 1, sizeof(*grown));

	if (!grown)
		return false;
	h->addrs = grown;
	h->addrs[h->n++] = *a;
	return true;
}

static const enum dns_type address_types[2] = { DNS_A, DNS_AAAA };

static void on_address(void *arg, const struct question *q, const struct dns_answer *a, const char *problem)
{
	struct watch *w = arg;
	struct host *h = w->hosts;
	int k = 0;

	while (h->questions[0] != q && h->questions[1] != q)
		h++;
	k = h->questions[1] == q;
	h->questions[k] = NULL;
	if (!a) {
		char name[DNS_NAME];

		memcpy(name, h->name, sizeof(name));
		fail(w, name, address_types[k], problem);
		return;
	}
	for (size_t i = 0; i < a->n_hosts; i++)
		if (!host_add(h, &a->hosts[i].addr)) {
			out_of_memory(w);
			return;
		}
	w->exists |= a->exists;
	w->ttl = dns_ttl_least(w->ttl, a->ttl);
	if (!--w->pending)
		conclude(w);
}

static bool ask_host(struct watch *w, struct host *h, int k)
{
	if (question_ask(w->of->resolvers, h->name, address_types[k], on_address, w, &h->questions[k]))
		return false;
	w->pending++;
	return true;
}

/* ---- SRV ---- */

/* Addresses that came along with the SRV records. Of one kind all come, or none (RFC 2181, section 9). */
static bool take_along(struct watch *w, struct host *h, const struct dns_answer *a, bool have[2])
{
	for (size_t i = 0; i < a->n_hosts; i++) {
		if (strcmp(a->hosts[i].name, h->name))
			continue;
		if (!host_add(h, &a->hosts[i].addr))
			return false;
		have[!addr_is4(&a->hosts[i].addr)] = true;
		w->ttl = dns_ttl_least(w->ttl, a->hosts[i].ttl);
	}
	return true;
}

/* Each target once; srvs are sorted by target. */
static bool list_targets(struct watch *w)
{
	w->hosts = calloc(w->n_srvs + 1, sizeof(*w->hosts));
	for (size_t i = 0; w->hosts && i < w->n_srvs; i++)
		if (!i || strcmp(w->srvs[i].target, w->srvs[i - 1].target))
			memcpy(w->hosts[w->n_hosts++].name, w->srvs[i].target, DNS_NAME);
	return w->hosts;
}

static bool ask_targets(struct watch *w, const struct dns_answer *a)
{
	for (size_t i = 0; i < w->n_hosts; i++) {
		bool have[2] = {};

		if (!take_along(w, &w->hosts[i], a, have))
			return false;
		for (int k = 0; k < 2; k++)
			if (!have[k] && !ask_host(w, &w->hosts[i], k))
				return false;
	}
	return true;
}

static void on_srv(void *arg, const struct question *q, const struct dns_answer *a, const char *problem)
{
	struct watch *w = arg;

	(void)q;
	w->srv = NULL;
	w->pending--;
	if (!a) {
		fail(w, w->name, DNS_SRV, problem);
		return;
	}
	w->exists = a->exists;
	w->ttl = a->ttl;
	w->srvs = calloc(a->n_srvs + 1, sizeof(*w->srvs));
	if (w->srvs) {
		memcpy(w->srvs, a->srvs, a->n_srvs * sizeof(*w->srvs));
		w->n_srvs = dns_srv_best(w->srvs, a->n_srvs, &w->rest);
	}
	if (!w->srvs || !list_targets(w) || !ask_targets(w, a))
		out_of_memory(w);
	else if (!w->pending)
		conclude(w);
}

/* ---- asking ---- */

static bool ask_srv(struct watch *w)
{
	if (question_ask(w->of->resolvers, w->name, DNS_SRV, on_srv, w, &w->srv))
		return false;
	w->pending++;
	return true;
}

static bool ask_name(struct watch *w)
{
	w->hosts = calloc(1, sizeof(*w->hosts));
	if (!w->hosts)
		return false;
	w->n_hosts = 1;
	memcpy(w->hosts[0].name, w->name, DNS_NAME);
	return ask_host(w, &w->hosts[0], 0) && ask_host(w, &w->hosts[0], 1);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	if (!(w->what->srv ? ask_srv(w) : ask_name(w)))
		out_of_memory(w);
}

static void dns_unwatch(void *watch)
{
	struct watch *w = watch;

	asking_clear(w);
	if (w->timer)
		event_free(w->timer);
	free(w->set);
	free(w);
}

static int dns_watch(void *source, const struct discover *what, struct finder *f, void **out)
{
	struct dns *s = source;
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return err_r(-ENOMEM, "%s is not asked for: out of memory", what->name);
	*w = (struct watch){ .of = s, .what = what, .finder = f, .ttl = DNS_NO_TTL, .pace_ms = s->conf->ttl_max_ms };
	if (!dns_name(what->name, w->name)) {
		free(w);
		return err_r(-EINVAL, "%s is no name of DNS; write labels of 1 to 63 characters with dots between them",
			     what->name);
	}
	w->timer = evtimer_new(s->base, on_timer, w);
	if (!w->timer) {
		free(w);
		return err_r(-ENOMEM, "%s is not asked for: out of memory", what->name);
	}
	again_in(w, 0);
	*out = w;
	return 0;
}

static void dns_close(void *source)
{
	struct dns *s = source;

	resolvers_free(s->resolvers);
	free(s);
}

static int dns_open(const struct source_env *env, const struct source *conf, void **out)
{
	struct dns *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return err_r(-ENOMEM, "source %s: out of memory", conf->name);
	*s = (struct dns){ .base = env->base, .conf = conf };
	err = resolvers_new(env->base, conf, &s->resolvers);
	if (err) {
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

const struct source_ops source_dns = {
	.open = dns_open, .close = dns_close, .watch = dns_watch, .unwatch = dns_unwatch
};
