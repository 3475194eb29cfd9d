/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/kubernetes_watch.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "discovery/backoff.h"
#include "discovery/kubernetes_answer.h"
#include "discovery/kubernetes_objects.h"

#define LIST_MS 120000 /* for a page, however slowly it comes */
/* A stream is ended by the server after so many seconds, at random so that not all streams are at once. */
#define STREAM_MIN_S 240
#define STREAM_SPREAD_S 240
/*
 * A stream says nothing when nothing changes, nor when the server hangs, has lost its own store, or does not let us in
 * any more. So after a silence one object is asked for beside it, which needs the server's store and the same rights.
 */
#define PULSE_MAX_MS 60000
#define SILENCE_S 150 /* bookmarks come about once a minute: a stream without is not trusted, whatever a pulse says */
#define STREAM_SHORT_MS 1000 /* one that ends sooner does not count as one that worked */
#define SHORTS_MAX 3 /* such ones in a row that are followed by another without a pause */
#define SHORT_DOUBLINGS 5 /* of that pause: up to 0.8 s */
#define TOO_OLD 410
#define PAGES_MAX 20000 /* a million objects and more */

uint32_t kubernetes_pulse_ms = 10000;

struct kubernetes_watch {
	struct kubernetes_watch_conf conf;
	char *labels; /* NULL: all */
	char *version; /* from which to watch; NULL: list first */
	char *next; /* where the next page of the list begins; NULL: at its start */
	struct kubernetes_objects objects;
	bool complete;
	bool older; /* conf.older_path is asked */
	struct http_request *request; /* NULL: waiting */
	struct http_request *pulse; /* beside a stream */
	struct event *again; /* timer: the next request, or the next pulse */
	struct event *told; /* what the lines of a stream said is handed on */
	bool dirty, heard; /* for told: objects changed; a bookmark came */
	bool over; /* the rest of the stream is of no use */
	bool retried; /* the last failure was passed over in silence */
	uint64_t began_ms, heard_ms; /* of the stream; the last line of it */
	unsigned pages; /* of this list, so far */
	unsigned shorts; /* streams in a row that ended soon, whatever they said */
	struct backoff backoff;
};

/* ---- where we are ---- */

static bool set_text(char **to, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return false;
	free(*to);
	*to = copy;
	return true;
}

static void cancel_pulse(struct kubernetes_watch *w)
{
	if (w->pulse)
		http_cancel(TAKE_PTR(w->pulse));
}

static void cancel(struct kubernetes_watch *w)
{
	if (w->request)
		http_cancel(TAKE_PTR(w->request));
	cancel_pulse(w);
	event_del(w->again);
}

static void list_anew(struct kubernetes_watch *w)
{
	set_text(&w->version, NULL);
	set_text(&w->next, NULL);
	w->pages = 0;
	w->complete = false;
	w->objects.list++;
}

static void wait_for(struct kubernetes_watch *w, struct timeval delay)
{
	event_add(w->again, &delay);
}

/* How long a server asks to be left alone: at least that. */
static struct timeval not_before(struct timeval delay, const struct http_request *r)
{
	const char *text = r ? http_header(r, "Retry-After") : NULL;
	long seconds = text ? strtol(text, NULL, 10) : 0;

	if (seconds > delay.tv_sec && seconds <= 60)
		delay.tv_sec = seconds;
	return delay;
}

static void fail(struct kubernetes_watch *w, const struct http_request *r, const char *sentence)
{
	list_anew(w);
	w->retried = true;
	w->conf.problem(w->conf.arg, sentence);
	wait_for(w, not_before(backoff_next(&w->backoff), r));
}

/* Streams that each say something and end are begun again, but not without a pause for ever. */
static uint32_t pause_ms(const struct kubernetes_watch *w)
{
	unsigned over = w->shorts > SHORTS_MAX ? w->shorts - SHORTS_MAX : 0;

	return over ? backoff_ms(over < SHORT_DOUBLINGS ? over : SHORT_DOUBLINGS, 0) : 0;
}

/* Tried again at once. false: that was done, and did not help. */
static bool pass_over(struct kubernetes_watch *w)
{
	if (w->retried)
		return false;
	w->retried = true;
	wait_for(w, (struct timeval){ .tv_usec = pause_ms(w) * 1000 });
	return true;
}

static void fail_without_answer(struct kubernetes_watch *w, const struct http_request *r, const struct http_answer *a)
{
	if (a->no_token)
		backoff_keep_short(&w->backoff);
	fail(w, r, a->problem);
}

/* What may well go over at once is tried again first, and is a problem only if it does not. */
static void fail_unless_first(struct kubernetes_watch *w, const struct http_request *r, const char *sentence)
{
	if (!pass_over(w))
		fail(w, r, sentence);
}

/* A list alone proves little: a server that denies the stream after it would be asked for lists without a pause. */
static void worked(struct kubernetes_watch *w)
{
	w->retried = false;
	backoff_reset(&w->backoff);
}

/* A stream is over. */
static void worked_if_long(struct kubernetes_watch *w)
{
	w->shorts++;
	if (monotonic_ms() - w->began_ms < STREAM_SHORT_MS)
		return;
	w->shorts = 0;
	worked(w);
}

/* ---- refusals ---- */

#define SENTENCE 600

static void say_denied(const struct kubernetes_watch *w, const char *url, const char *message, char text[SENTENCE])
{
	snprintf(text, SENTENCE, "%s: we may not list %s (403%s%.200s); allow the verbs list and watch in a Role", url,
		 w->conf.what, *message ? ": " : "", message);
}

static void say_status(const struct kubernetes_watch *w, const char *url, const struct http_answer *a,
		       char text[SENTENCE])
{
	char message[201];

	kubernetes_status_message(a->body, a->len, message, sizeof(message));
	if (a->status == 403)
		say_denied(w, url, message, text);
	else if (a->status == 401)
		snprintf(text, SENTENCE, "%s: we are not known there (401%s%s); is the %s still valid?", url,
			 *message ? ": " : "", message, w->conf.credentials);
	else if (a->status == 404)
		snprintf(text, SENTENCE,
			 "%s: there is no %s (404); is this the API of a Kubernetes cluster, 1.17 or newer?", url,
			 w->conf.path);
	else
		snprintf(text, SENTENCE, "%s: status %ld for %s%s%s", url, a->status, w->conf.what,
			 *message ? ": " : "", message);
}

/* Another server of the cluster may be well, or know us already: this one is not asked again before the others. */
static void leave_if_sick(struct kubernetes_watch *w, const char *url, long status)
{
	if (status / 100 == 5 || status == 401)
		http_next(w->conf.http, url);
}

/* An answer that is not 200. */
static void refused(struct kubernetes_watch *w, const struct http_request *r, const struct http_answer *a)
{
	char text[SENTENCE];
	bool first = !w->retried;

	say_status(w, http_request_url(r), a, text);
	leave_if_sick(w, http_request_url(r), a->status);
	if (a->status == TOO_OLD)
		list_anew(w);
	if (a->status == 404 && w->conf.older_path) {
		list_anew(w);
		w->older = !w->older;
	}
	/* 401: the token may have been replaced meanwhile; it is read for each request */
	if (first && (a->status == TOO_OLD || a->status == 401 || a->status == 404))
		fail_unless_first(w, r, text);
	else
		fail(w, r, text);
}

/* ---- listing ---- */

static const char *path_of(const struct kubernetes_watch *w)
{
	return w->older ? w->conf.older_path : w->conf.path;
}

static int read_page(struct kubernetes_watch *w, const struct http_answer *a)
{
	_cleanup_(kubernetes_page_clear) struct kubernetes_page page = {};
	int err = kubernetes_page(a->body, a->len, &page);
	const json_t *one;
	size_t i;

	if (err)
		return err;
	json_array_foreach(page.items, i, one)
		if (kubernetes_objects_is(&w->objects, one) == -ENOMEM)
			return -ENOMEM;
	if (page.next && ((w->next && !strcmp(page.next, w->next)) || w->pages++ == PAGES_MAX))
		return -ELOOP;
	if (!set_text(&w->next, page.next) || (!page.next && !set_text(&w->version, page.version)))
		return -ENOMEM;
	return 0;
}

static void on_page(void *arg, const struct http_request *r, const struct http_answer *a)
{
	struct kubernetes_watch *w = arg;
	char text[SENTENCE];
	int err;

	w->request = NULL;
	if (a->problem) {
		fail_without_answer(w, r, a);
		return;
	}
	if (a->status != 200) {
		refused(w, r, a);
		return;
	}
	err = read_page(w, a);
	if (err) {
		snprintf(text, sizeof(text), "%s: the answer is no list of %s%s", http_request_url(r), w->conf.what,
			 err == -ENOMEM ? ": out of memory" : err == -ELOOP ? ": it has no end" : "");
		fail(w, r, text);
		return;
	}
	if (w->version) {
		kubernetes_objects_listed(&w->objects);
		w->complete = true;
		malloc_trim(0); /* pages are large, and what is kept of them is small */
		w->conf.changed(w->conf.arg, w->version);
	}
	wait_for(w, (struct timeval){});
}

/* To be freed; NULL: out of memory. */
static char *list_path(const struct kubernetes_watch *w)
{
	_cleanup_free_ char *next = w->next ? http_escape(w->next) : NULL;
	char *path;

	if ((w->next && !next) ||
	    asprintf(&path, "%s?limit=%u%s%s%s%s", path_of(w), w->conf.page, w->labels ? "&labelSelector=" : "",
		     w->labels ?: "", next ? "&continue=" : "", next ?: "") < 0)
		return NULL;
	return path;
}

static int send_list(struct kubernetes_watch *w)
{
	_cleanup_free_ char *path = list_path(w);
	struct http_call call = { .method = "GET",
				  .path = path,
				  .headers = w->conf.headers,
				  .timeout_ms = LIST_MS,
				  .quiet_ms = w->conf.timeout_ms,
				  .done = on_page,
				  .arg = w };

	return path ? http_send(w->conf.http, &call, &w->request) : -ENOMEM;
}

/* ---- watching ---- */

static void await_line(struct kubernetes_watch *w)
{
	unsigned ms = kubernetes_pulse_ms * (w->conf.watches ? *w->conf.watches : 1);

	if (ms > PULSE_MAX_MS)
		ms = PULSE_MAX_MS;
	wait_for(w, (struct timeval){ ms / 1000, ms % 1000 * 1000 });
}

/* The stream ends here; what is to be done about it is done when we are out of it. */
static void end_stream(struct kubernetes_watch *w, const struct kubernetes_event *e)
{
	char text[SENTENCE];

	w->over = true;
	worked_if_long(w);
	if (e && e->code == TOO_OLD && pass_over(w)) {
		list_anew(w);
		return;
	}
	if (e)
		snprintf(text, sizeof(text), "%s: watching %s: %.300s (%ld)", http_request_url(w->request),
			 w->conf.what, e->message, e->code);
	else
		snprintf(text, sizeof(text), "%s: watching %s: a line is no event", http_request_url(w->request),
			 w->conf.what);
	if (e)
		leave_if_sick(w, http_request_url(w->request), e->code);
	fail(w, NULL, text);
}

static void take_event(struct kubernetes_watch *w, const struct kubernetes_event *e)
{
	if (e->kind == KUBERNETES_IS && kubernetes_objects_is(&w->objects, e->object) == -ENOMEM) {
		end_stream(w, NULL); /* the next list says it again */
		return;
	}
	if (e->kind == KUBERNETES_GONE)
		kubernetes_objects_gone(&w->objects, e->object);
	w->dirty |= e->kind != KUBERNETES_BOOKMARK;
	w->heard = true;
	set_text(&w->version, e->version);
	worked(w);
	w->heard_ms = monotonic_ms();
	await_line(w);
	event_active(w->told, 0, 0);
}

static void on_line(void *arg, const char *line, size_t len)
{
	_cleanup_(kubernetes_event_clear) struct kubernetes_event e = {};
	struct kubernetes_watch *w = arg;

	if (w->over)
		return;
	if (kubernetes_event(line, len, &e))
		end_stream(w, NULL);
	else if (e.kind == KUBERNETES_ERROR)
		end_stream(w, &e);
	else
		take_event(w, &e);
}

static void on_told(evutil_socket_t fd, short what, void *arg)
{
	struct kubernetes_watch *w = arg;
	bool dirty = w->dirty, heard = w->heard;

	(void)fd;
	(void)what;
	w->dirty = w->heard = false;
	if (!w->complete)
		return;
	if (dirty)
		w->conf.changed(w->conf.arg, w->version);
	else if (heard)
		w->conf.same(w->conf.arg);
}

static void on_stream_end(void *arg, const struct http_request *r, const struct http_answer *a)
{
	struct kubernetes_watch *w = arg;
	char text[SENTENCE];

	w->request = NULL;
	if (w->over) /* the timer has begun what comes next */
		return;
	cancel_pulse(w);
	event_del(w->again);
	if (a->status == 200)
		worked_if_long(w);
	if (a->problem) {
		fail_unless_first(w, r, a->problem);
	} else if (a->status != 200) {
		refused(w, r, a);
	} else {
		snprintf(text, sizeof(text), "%s: watching %s ends as soon as it begins", http_request_url(r),
			 w->conf.what);
		fail_unless_first(w, r, text);
	}
}

/* To be freed; NULL: out of memory. */
static char *stream_path(const struct kubernetes_watch *w)
{
	_cleanup_free_ char *version = http_escape(w->version);
	uint32_t random;
	char *path;

	evutil_secure_rng_get_bytes(&random, sizeof(random));
	if (!version || asprintf(&path, "%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=%s%s%s",
				 path_of(w), STREAM_MIN_S + random % STREAM_SPREAD_S, version,
				 w->labels ? "&labelSelector=" : "", w->labels ?: "") < 0)
		return NULL;
	return path;
}

static int send_watch(struct kubernetes_watch *w)
{
	_cleanup_free_ char *path = stream_path(w);
	struct http_call call = { .method = "GET",
				  .path = path,
				  .headers = w->conf.headers,
				  .line = on_line,
				  .done = on_stream_end,
				  .arg = w };

	if (!path)
		return -ENOMEM;
	w->over = false;
	w->began_ms = w->heard_ms = monotonic_ms();
	await_line(w);
	return http_send(w->conf.http, &call, &w->request);
}

/* ---- pulses ---- */

static void on_pulse(void *arg, const struct http_request *r, const struct http_answer *a)
{
	struct kubernetes_watch *w = arg;

	w->pulse = NULL;
	if (!a->problem && a->status == 200) {
		w->conf.same(w->conf.arg);
		return;
	}
	cancel(w);
	if (a->problem)
		fail_without_answer(w, r, a);
	else
		refused(w, r, a);
}

static void send_pulse(struct kubernetes_watch *w)
{
	_cleanup_free_ char *path = NULL;
	struct http_call call = { .method = "GET",
				  .headers = w->conf.headers,
				  .timeout_ms = w->conf.timeout_ms,
				  .done = on_pulse,
				  .arg = w };

	await_line(w);
	if (w->pulse)
		return;
	if (asprintf(&path, "%s?limit=1", path_of(w)) < 0)
		path = NULL;
	call.path = path;
	if (path)
		http_send(w->conf.http, &call, &w->pulse); /* if not, then the next time */
}

/* ---- one after the other ---- */

static void proceed(struct kubernetes_watch *w)
{
	if (w->version ? send_watch(w) : send_list(w))
		fail(w, NULL, "out of memory for a request");
}

/* Time for the next request, or for a pulse beside a stream, or for the end of one that was silent for too long. */
static void on_again(evutil_socket_t fd, short what, void *arg)
{
	struct kubernetes_watch *w = arg;

	(void)fd;
	(void)what;
	if (w->request && !w->over) {
		if (monotonic_ms() - w->heard_ms < SILENCE_S * 1000) {
			send_pulse(w);
			return;
		}
		list_anew(w);
	}
	cancel(w);
	proceed(w);
}

int kubernetes_watch_start(struct kubernetes_watch *w, const char *labels)
{
	if (!set_text(&w->labels, labels))
		return -ENOMEM;
	cancel(w);
	list_anew(w);
	proceed(w);
	return 0;
}

bool kubernetes_watch_complete(const struct kubernetes_watch *w)
{
	return w->complete;
}

unsigned kubernetes_watch_list(const struct kubernetes_watch *w)
{
	return w->objects.list;
}

const char *kubernetes_watch_version(const struct kubernetes_watch *w)
{
	return w->version;
}

void kubernetes_watch_each(const struct kubernetes_watch *w, void (*fn)(void *arg, void *kept), void *arg)
{
	for (size_t i = 0; i < w->objects.n; i++)
		fn(arg, w->objects.objects[i].kept);
}

/* ---- life ---- */

void kubernetes_watch_free(struct kubernetes_watch *w)
{
	if (!w)
		return;
	if (w->again)
		cancel(w);
	kubernetes_objects_clear(&w->objects);
	if (w->again)
		event_free(w->again);
	if (w->told)
		event_free(w->told);
	free(w->labels);
	free(w->version);
	free(w->next);
	free(w);
}

int kubernetes_watch_new(const struct kubernetes_watch_conf *conf, struct kubernetes_watch **out)
{
	struct kubernetes_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->conf = *conf;
	w->backoff.servers = http_servers(conf->http);
	w->objects = (struct kubernetes_objects){ .keep = conf->keep, .arg = conf->arg };
	w->again = evtimer_new(conf->base, on_again, w);
	w->told = event_new(conf->base, -1, 0, on_told, w);
	if (!w->again || !w->told) {
		kubernetes_watch_free(w);
		return -ENOMEM;
	}
	*out = w;
	return 0;
}
