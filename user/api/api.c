/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two HTTP servers and their listeners. A server lives as long as the daemon; its listener is replaced when the
 * configuration moves it, so that a request under way (the very one that moved it, for example) gets its answer.
 */
#include "api/api.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "api/internal.h"
#include "api/listen.h"
#include "base/clean.h"
#include "base/log.h"

#define CONTROL_BODY_MAX (32 << 20) /* what is between this and what we take gets a better answer than evhttp's own */
#define METRICS_BODY_MAX 4096
#define REQUEST_SECONDS 10 /* without a byte read or written */
#define HEADERS_MAX 16384 /* bytes */

const struct config *api_running(const struct api *a)
{
	return reconcile_config(a->x->reconcile) ?: a->x->file;
}

struct config *api_listed(const struct api *a)
{
	struct merged m = {};

	return merge(a->x->listed ?: a->x->file, NULL, NULL, NULL, &m) ? NULL : m.config;
}

static bool has_backend(const struct config *c, const struct override *o)
{
	const struct service *s = config_service(c, o->service);

	return s && service_backend(s, &o->at);
}

void api_overrides_each(const struct api *a, const struct config *listed, api_override_fn fn, void *arg)
{
	const struct config *said = a->x->listed;

	for (size_t i = 0; said && i < said->n_overrides; i++)
		if (!has_backend(listed, &said->overrides[i]))
			fn(arg, &said->overrides[i], has_backend(api_running(a), &said->overrides[i]));
}

/* ---- listeners ---- */

/* Out of descriptors, most likely: the queue waits for the next second, instead of turning in a loop. */
static void accept_failed(struct evconnlistener *listener, void *arg)
{
	int err = EVUTIL_SOCKET_ERROR();

	(void)arg;
	log_warn("cannot accept a connection: %s", strerror(err));
	evconnlistener_disable(listener);
}

/* Half of the descriptors is for checks and maps, however many clients keep a connection open. */
static bool descriptors_short(struct evconnlistener *listener)
{
	int lowest = dup(evconnlistener_get_fd(listener)); /* the lowest that is free: about as many are in use */
	struct rlimit limit;

	if (lowest < 0)
		return true;
	close(lowest);
	return !getrlimit(RLIMIT_NOFILE, &limit) && (rlim_t)lowest > limit.rlim_cur / 2;
}

/* A connection was accepted on one of our listeners; while descriptors are short, it is one for each second. */
static struct bufferevent *accepted(struct event_base *base, struct evhttp_bound_socket *bound)
{
	struct evconnlistener *listener = bound ? evhttp_bound_socket_get_listener(bound) : NULL;

	if (listener && descriptors_short(listener))
		evconnlistener_disable(listener);
	return bufferevent_socket_new(base, -1, 0);
}

static struct bufferevent *control_accepted(struct event_base *base, void *arg)
{
	return accepted(base, ((struct api *)arg)->control_bound);
}

static struct bufferevent *metrics_accepted(struct event_base *base, void *arg)
{
	return accepted(base, ((struct api *)arg)->metrics_bound);
}

static void resume(struct evhttp_bound_socket *bound)
{
	if (bound)
		evconnlistener_enable(evhttp_bound_socket_get_listener(bound));
}

static int replace_listener(struct evhttp *http, struct evconnlistener *listener, struct evhttp_bound_socket **bound)
{
	struct evhttp_bound_socket *fresh = evhttp_bind_listener(http, listener);

	if (!fresh) {
		evconnlistener_free(listener);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(listener, accept_failed);
	if (*bound)
		evhttp_del_accept_socket(http, *bound);
	*bound = fresh;
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static void place_clear(struct control_place *p)
{
	struct stat st;

	if (p->path && !lstat(p->path, &st) && st.st_dev == p->dev && st.st_ino == p->ino)
		unlink(p->path);
	free(p->path);
	free(p->group);
	*p = (struct control_place){};
}

static int place_set(struct api *a, const char *path, const char *group)
{
	struct control_place fresh = { .path = strdup(path), .group = group ? strdup(group) : NULL };
	struct stat st;

	if (!fresh.path || (group && !fresh.group) || lstat(path, &st)) {
		free(fresh.path);
		free(fresh.group);
		return -ENOMEM;
	}
	fresh.dev = st.st_dev;
	fresh.ino = st.st_ino;
	if (!same_text(a->place.path, path))
		place_clear(&a->place);
	free(a->place.path);
	free(a->place.group);
	a->place = fresh;
	a->owner = st.st_uid;
	return 0;
}

static int open_control(struct api *a, const struct config *c)
{
	struct evconnlistener *listener;
	int err;

	if (same_text(a->place.path, c->control_socket)) {
		if (same_text(a->place.group, c->control_group))
			return 0;
		err = listen_unix_access(c->control_socket, c->control_group);
		return err ? err : place_set(a, c->control_socket, c->control_group);
	}
	err = listen_unix(a->x->base, c->control_socket, c->control_group, &listener);
	if (!err)
		err = replace_listener(a->control, listener, &a->control_bound);
	return err ? err : place_set(a, c->control_socket, c->control_group);
}

static int open_metrics(struct api *a, const struct config *c)
{
	struct evconnlistener *listener;
	int err;

	if (!endpoint_compare(&a->metrics_at, &c->metrics))
		return 0;
	if (c->metrics.port) {
		err = listen_tcp(a->x->base, &c->metrics, &listener);
		if (!err)
			err = replace_listener(a->metrics, listener, &a->metrics_bound);
		if (err)
			return err;
	} else if (a->metrics_bound) {
		evhttp_del_accept_socket(a->metrics, a->metrics_bound);
		a->metrics_bound = NULL;
	}
	a->metrics_at = c->metrics;
	return 0;
}

static void note_problem(void *arg, enum log_level level, const char *line)
{
	struct api *a = arg;

	if (level == LOG_LEVEL_ERROR)
		snprintf(a->problem, sizeof(a->problem), "%s", line);
}

int api_reopen(struct api *a)
{
	int control, metrics;

	a->problem[0] = '\0';
	log_tap(note_problem, a);
	control = open_control(a, a->x->file);
	metrics = open_metrics(a, a->x->file);
	log_tap(NULL, NULL);
	return control ? control : metrics;
}

/* ---- life ---- */

static void every_second(evutil_socket_t fd, short what, void *arg)
{
	uint64_t counted[SHUNT_N_VERDICTS];
	struct api *a = arg;
	struct timespec now;

	(void)fd;
	(void)what;
	clock_gettime(CLOCK_MONOTONIC, &now);
	resume(a->control_bound);
	resume(a->metrics_bound);
	if (!dp_verdicts(a->x->dp, counted))
		rates_sample(&a->rates, now.tv_sec * 1000000000ull + now.tv_nsec, counted);
}

static struct evhttp *new_server(struct api *a, size_t body_max, void (*request)(struct evhttp_request *, void *))
{
	struct evhttp *http = evhttp_new(a->x->base);

	if (!http)
		return NULL;
	evhttp_set_timeout(http, REQUEST_SECONDS);
	evhttp_set_max_headers_size(http, HEADERS_MAX);
	evhttp_set_max_body_size(http, body_max);
	/* every method gets to us, so that the answer is ours */
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
						 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(http, request, a);
	return http;
}

static int start(struct api *a)
{
	const struct timeval second = { .tv_sec = 1 };

	a->control = new_server(a, CONTROL_BODY_MAX, control_request);
	a->metrics = new_server(a, METRICS_BODY_MAX, metrics_request);
	a->second = event_new(a->x->base, -1, EV_PERSIST, every_second, a);
	if (!a->control || !a->metrics || !a->second || event_add(a->second, &second))
		return -ENOMEM;
	evhttp_set_bevcb(a->control, control_accepted, a);
	evhttp_set_bevcb(a->metrics, metrics_accepted, a);
	evhttp_set_flags(a->control, EVHTTP_SERVER_LINGERING_CLOSE); /* who sends too much still hears so */
	every_second(-1, 0, a);
	return api_reopen(a);
}

int api_new(struct api_context *x, struct api **out)
{
	struct api *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->x = x;
	err = start(a);
	if (err) {
		api_free(a);
		return err;
	}
	*out = a;
	return 0;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	if (a->second)
		event_free(a->second);
	trials_cancel(a);
	if (a->control)
		evhttp_free(a->control);
	if (a->metrics)
		evhttp_free(a->metrics);
	place_clear(&a->place);
	free(a);
}

void api_set_file(struct api_context *x, struct config *c)
{
	config_free(x->file);
	x->file = c;
}

/* ---- services ---- */

int services_load(const struct api *a, struct services *out)
{
	const struct config *c = api_running(a);
	struct services s = { .list = calloc(c->n_services ?: 1, sizeof(*s.list)) };

	if (!s.list)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_services; i++)
		if (!reconcile_service(a->x->reconcile, c->services[i].name, &s.list[s.n]))
			s.n++;
	*out = s;
	return 0;
}

void services_free(struct services *s)
{
	for (size_t i = 0; i < s->n; i++)
		reconcile_service_clear(&s->list[i]);
	free(s->list);
	*s = (struct services){};
}
