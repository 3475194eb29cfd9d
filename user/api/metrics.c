/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* /metrics for Prometheus: one function a group of families. */
#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/announced.h"
#include "api/expo.h"
#include "api/internal.h"
#include "api/permit.h"
#include "api/process.h"
#include "api/render.h"
#include "api/sources.h"
#include "base/clean.h"
#include "model/diff.h"

/* ---- the daemon ---- */

static void note_override(void *differs, const struct override *o, bool is_there)
{
	(void)o;
	(void)is_there;
	*(bool *)differs = true;
}

static bool differs(const struct api *a)
{
	_cleanup_(config_freep) struct config *listed = api_listed(a);
	bool yes = false;

	if (a->x->file && listed)
		yes = config_differs(a->x->file, listed);
	if (listed)
		api_overrides_each(a, listed, note_override, &yes);
	return yes;
}

static void write_daemon(struct expo *e, const struct api *a)
{
	expo_family(e, EXPO_GAUGE, "shunt_build_info", "Version of the daemon; the value is 1.");
	expo_count(e, 1, "version", SHUNT_VERSION, NULL);
	expo_family(e, EXPO_GAUGE, "shunt_start_time_seconds", "When the daemon started, seconds since 1970.");
	expo_value(e, a->x->started_ms / 1e3, NULL);
	expo_family(e, EXPO_GAUGE, "shunt_adopted", "Whether the daemon took up what an earlier one left (1) or not (0).");
	expo_count(e, a->x->adopted, NULL);
}

static void write_config(struct expo *e, const struct api *a)
{
	expo_family(e, EXPO_GAUGE, "shunt_config_differs", "Whether what runs differs from the configuration file.");
	expo_count(e, differs(a), NULL);
	expo_family(e, EXPO_COUNTER, "shunt_config_reloads", "Reloads of the configuration file, failed ones included.");
	expo_count(e, a->x->reloads, NULL);
	expo_family(e, EXPO_COUNTER, "shunt_config_reload_failures", "Reloads that failed and changed nothing.");
	expo_count(e, a->x->reload_failures, NULL);
	expo_family(e, EXPO_GAUGE, "shunt_config_last_reload_successful", "Whether the last configuration was taken.");
	expo_count(e, !a->x->last_reload_error[0], NULL);
}

static void write_process(struct expo *e, const struct api *a)
{
	struct process_usage usage;

	process_usage(&usage);
	expo_family(e, EXPO_COUNTER, "process_cpu_seconds", "Processor time that the daemon used, user and system.");
	expo_value(e, usage.cpu_seconds, NULL);
	expo_family(e, EXPO_GAUGE, "process_resident_memory_bytes", "Resident memory of the daemon.");
	expo_count(e, usage.resident_bytes, NULL);
	expo_family(e, EXPO_GAUGE, "process_open_fds", "Open file descriptors of the daemon.");
	expo_count(e, usage.open_fds, NULL);
	expo_family(e, EXPO_GAUGE, "process_start_time_seconds", "When the daemon started, seconds since 1970.");
	expo_value(e, a->x->started_ms / 1e3, NULL);
}

/* ---- interfaces and packets ---- */

static const char *mode(const struct dp_interface *i)
{
	return i->mode == XDP_MODE_NATIVE ? "native" : i->mode == XDP_MODE_GENERIC ? "generic" : "none";
}

static void write_interface(struct expo *e, const struct dp_interface *i, unsigned role, const char *word)
{
	if (i->roles & role)
		expo_count(e, i->mode != XDP_MODE_AUTO, "interface", i->name, "role", word, "mode", mode(i), NULL);
}

static void write_interfaces(struct expo *e, const struct api *a)
{
	const struct dp_interface *all;
	size_t n = dp_interfaces(a->x->dp, &all);

	expo_family(e, EXPO_GAUGE, "shunt_interface_attached", "Whether the program of this role is attached.");
	for (size_t i = 0; i < n; i++) {
		write_interface(e, &all[i], ROLE_EDGE, "edge");
		write_interface(e, &all[i], ROLE_BACKEND, "backend");
	}
	expo_family(e, EXPO_COUNTER, "shunt_interface_send_errors",
		    "Packets that the interface's driver counted as not sent for a native XDP program.");
	for (size_t i = 0; i < n; i++)
		if (all[i].roles & ROLE_EDGE)
			expo_count(e, all[i].send_errors, "interface", all[i].name, NULL);
}

static void write_packets(struct expo *e, const struct api *a)
{
	_cleanup_free_ struct dp_drop *drops = NULL;
	uint64_t counted[SHUNT_N_VERDICTS] = {};
	char interface[DROP_INTERFACE_TEXT];
	size_t n = 0;

	dp_verdicts(a->x->dp, counted);
	expo_family(e, EXPO_COUNTER, "shunt_packets",
		    "Packets, and connects of local processes, by what became of them.");
	for (int i = 0; i < SHUNT_N_VERDICTS; i++)
		expo_count(e, counted[i], "verdict", verdict_words[i], NULL);
	expo_family(e, EXPO_COUNTER, "shunt_drops", "Dropped packets by interface and reason.");
	if (dp_drops(a->x->dp, &drops, &n))
		return;
	for (size_t i = 0; i < n; i++)
		if (drops[i].reason < SHUNT_N_REASONS)
			expo_count(e, drops[i].packets, "interface", drop_interface(&drops[i], interface), "reason",
				   reason_words[drops[i].reason], NULL);
}

static void write_sockets(struct expo *e, const struct api *a)
{
	const char *cgroup, *problem;

	expo_family(e, EXPO_GAUGE, "shunt_socket_attached", "Whether connections of local processes are balanced.");
	expo_count(e, dp_sockets(a->x->dp, &cgroup, &problem), NULL);
	expo_family(e, EXPO_COUNTER, "shunt_connections_ended",
		    "Local connections that were ended, because their backend may have them no more.");
	expo_count(e, a->x->ended, NULL);
}

/* ---- services ---- */

static uint64_t service_packets(const struct reconcile_service *s) { return s->packets; }
static uint64_t service_bytes(const struct reconcile_service *s) { return s->bytes; }
static uint64_t service_slots(const struct reconcile_service *s) { return s->n_slots; }
static uint64_t service_moving(const struct reconcile_service *s) { return s->moving; }
static uint64_t service_flows(const struct reconcile_service *s) { return s->flows; }
static uint64_t service_max_flows(const struct reconcile_service *s) { return s->max_flows; }
static uint64_t service_noted(const struct reconcile_service *s) { return s->flows_noted; }
static uint64_t service_evicted(const struct reconcile_service *s) { return s->flows_evicted; }
static uint64_t service_let_go(const struct reconcile_service *s) { return s->let_go; }
static uint64_t service_refused(const struct reconcile_service *s) { return s->refused; }

static const struct service_family {
	enum expo_type type;
	const char *name, *help;
	uint64_t (*value)(const struct reconcile_service *s);
} service_families[] = {
	{ EXPO_COUNTER, "shunt_service_packets", "Packets of clients sent to backends of the service.",
	  service_packets },
	{ EXPO_COUNTER, "shunt_service_bytes", "Bytes of those packets, from their IP headers on.", service_bytes },
	{ EXPO_GAUGE, "shunt_service_slots", "Slots of the service's table.", service_slots },
	{ EXPO_GAUGE, "shunt_service_slots_moving", "Slots whose older flows stay with the backend before.",
	  service_moving },
	{ EXPO_GAUGE, "shunt_service_flows", "Flows noted while slots are in transition, a second ago at most.",
	  service_flows },
	{ EXPO_GAUGE, "shunt_service_flows_max", "How many can be noted; 0 while nothing is in transition.",
	  service_max_flows },
	{ EXPO_COUNTER, "shunt_flows_noted", "Flows that were noted.", service_noted },
	{ EXPO_COUNTER, "shunt_flows_evicted", "Live flows whose note gave way to another, for want of room.",
	  service_evicted },
	{ EXPO_COUNTER, "shunt_flows_let_go",
	  "Live flows that lost their backend to a deadline, to others or to the operator.", service_let_go },
	{ EXPO_COUNTER, "shunt_service_refused",
	  "Connects and datagrams of local processes that were refused, for want of a usable backend.",
	  service_refused },
};

static void write_services(struct expo *e, const struct services *all)
{
	for (size_t i = 0; i < ARRAY_SIZE(service_families); i++) {
		const struct service_family *family = &service_families[i];

		expo_family(e, family->type, family->name, family->help);
		for (size_t j = 0; j < all->n; j++)
			expo_count(e, family->value(&all->list[j]), "service", all->list[j].conf->name, NULL);
	}
}

/*
 * ---- backends: a writer for each family, called for every backend ----
 *
 * They are nearly all of the text, and the loop waits while it is made. So what many samples share is made once: a
 * family's name, a backend's labels, a value that is that of the sample before.
 */

#define SAMPLE_NUMBER 32 /* bytes for any value with what is around it */

struct samples {
	struct expo *e;
	char head[96]; /* name and brace */
	const char *labels; /* of the backend at hand, without braces */
	size_t head_len, labels_len;
	double value; /* the last one, and as text */
	char text[SAMPLE_NUMBER];
};

static char *put(char *to, const char *bytes, size_t n)
{
	memcpy(to, bytes, n);
	return to + n;
}

/* more: labels beyond those of the backend, each after a comma. */
static void sample_text(struct samples *s, const char *more, const char *value, size_t len)
{
	size_t more_len = strlen(more);
	char *begin = expo_reserve(s->e, s->head_len + s->labels_len + more_len + len + 3), *to = begin;

	if (!begin)
		return;
	to = put(to, s->head, s->head_len);
	to = put(to, s->labels, s->labels_len);
	to = put(to, more, more_len);
	to = put(to, "} ", 2);
	to = put(to, value, len);
	*to++ = '\n';
	s->e->len += to - begin;
}

static void sample_count(struct samples *s, const char *more, uint64_t n)
{
	char text[SAMPLE_NUMBER], *p = text + sizeof(text);

	do
		*--p = '0' + n % 10;
	while (n /= 10);
	sample_text(s, more, p, text + sizeof(text) - p);
}

static void sample_value(struct samples *s, double value)
{
	if (value != s->value || !s->text[0]) {
		snprintf(s->text, sizeof(s->text), "%.12g", value);
		s->value = value;
	}
	sample_text(s, "", s->text, strlen(s->text));
}

static void write_backend_packets(struct samples *s, const struct reconcile_service *service,
				  const struct reconcile_backend *b)
{
	(void)service;
	sample_count(s, "", b->packets);
}

static void write_backend_bytes(struct samples *s, const struct reconcile_service *service,
				const struct reconcile_backend *b)
{
	(void)service;
	sample_count(s, "", b->bytes);
}

static void write_backend_state(struct samples *s, const struct reconcile_service *service,
				const struct reconcile_backend *b)
{
	(void)service;
	for (int i = 0; i < N_STATES; i++) {
		char more[SAMPLE_NUMBER] = ",state=\"";

		strcat(strcat(more, state_names[i]), "\"");
		sample_count(s, more, b->state == (enum state)i);
	}
}

static void write_backend_weight(struct samples *s, const struct reconcile_service *service,
				 const struct reconcile_backend *b)
{
	(void)service;
	sample_count(s, "", b->weight);
}

static void write_backend_share(struct samples *s, const struct reconcile_service *service,
				const struct reconcile_backend *b)
{
	sample_value(s, backend_share(service, b));
}

static void write_backend_nexthop(struct samples *s, const struct reconcile_service *service,
				  const struct reconcile_backend *b)
{
	(void)service;
	if (b->nexthop) /* else it needs none */
		sample_count(s, "", b->nexthop->usable);
}

static void write_backend_connections(struct samples *s, const struct reconcile_service *service,
				      const struct reconcile_backend *b)
{
	if (service->at & AT_SOCKET)
		sample_count(s, "", b->connections);
}

static void write_backend_connects(struct samples *s, const struct reconcile_service *service,
				   const struct reconcile_backend *b)
{
	if (service->at & AT_SOCKET)
		sample_count(s, "", b->connects);
}

static void write_backend_checks(struct samples *s, const struct reconcile_service *service,
				 const struct reconcile_backend *b)
{
	(void)service;
	sample_count(s, ",result=\"passed\"", b->health.checks - b->health.failures);
	sample_count(s, ",result=\"failed\"", b->health.failures);
}

static void write_backend_check_duration(struct samples *s, const struct reconcile_service *service,
					 const struct reconcile_backend *b)
{
	(void)service;
	sample_value(s, b->health.last_seconds);
}

static const struct backend_family {
	enum expo_type type;
	const char *name, *help;
	void (*write)(struct samples *s, const struct reconcile_service *service, const struct reconcile_backend *b);
} backend_families[] = {
	{ EXPO_COUNTER, "shunt_backend_packets", "Packets of clients sent to the backend.", write_backend_packets },
	{ EXPO_COUNTER, "shunt_backend_bytes", "Bytes of those packets, from their IP headers on.",
	  write_backend_bytes },
	{ EXPO_GAUGE, "shunt_backend_state", "1 for the state that the backend is in, 0 for the others.",
	  write_backend_state },
	{ EXPO_GAUGE, "shunt_backend_weight", "Configured weight.", write_backend_weight },
	{ EXPO_GAUGE, "shunt_backend_share_ratio", "Share of the service's slots that the backend owns, 0 to 1.",
	  write_backend_share },
	{ EXPO_GAUGE, "shunt_backend_nexthop_usable", "Whether the way to the backend is known.",
	  write_backend_nexthop },
	{ EXPO_GAUGE, "shunt_backend_connections", "Connections of local processes to the backend that are open.",
	  write_backend_connections },
	{ EXPO_COUNTER, "shunt_backend_connects", "Connections of local processes to the backend that were made.",
	  write_backend_connects },
	{ EXPO_COUNTER, "shunt_backend_checks", "Health checks that ended, by result.", write_backend_checks },
	{ EXPO_GAUGE, "shunt_backend_check_duration_seconds", "Duration of the last health check.",
	  write_backend_check_duration },
};

/* The labels of all backends in their order; lens[i]: of the i-th. */
struct backend_labels {
	struct expo text;
	uint32_t *lens;
};
#define LABELS_AROUND 5 /* what expo writes around labels: "{" and "} 0\n" */

static void labels_clear(struct backend_labels *l)
{
	free(l->text.data);
	free(l->lens);
}

static int labels_make(struct backend_labels *l, const struct services *all)
{
	char at[ENDPOINT_TEXT];
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++)
		n += all->list[i].n_backends;
	*l = (struct backend_labels){ .text = { .name = "", .type = EXPO_GAUGE }, .lens = calloc(n + 1, sizeof(*l->lens)) };
	n = 0;
	for (size_t i = 0; l->lens && i < all->n; i++)
		for (size_t j = 0; j < all->list[i].n_backends; j++) {
			size_t before = l->text.len;

			endpoint_format(&all->list[i].backends[j].at, at);
			expo_count(&l->text, 0, "service", all->list[i].conf->name, "backend", at, NULL);
			l->lens[n++] = l->text.len - before;
		}
	return l->lens && !l->text.failed ? 0 : -ENOMEM;
}

static void write_backend_family(struct expo *e, const struct services *all, const struct backend_labels *l,
				 const struct backend_family *family)
{
	struct samples s = { .e = e, .labels = l->text.data };
	const uint32_t *len = l->lens;

	expo_family(e, family->type, family->name, family->help);
	s.head_len = snprintf(s.head, sizeof(s.head), "%s%s{", family->name, family->type == EXPO_COUNTER ? "_total" : "");
	for (size_t i = 0; i < all->n; i++)
		for (size_t j = 0; j < all->list[i].n_backends; j++) {
			const char *next = s.labels + *len;

			s.labels++;
			s.labels_len = *len++ - LABELS_AROUND;
			family->write(&s, &all->list[i], &all->list[i].backends[j]);
			s.labels = next;
		}
}

static int write_backends(struct expo *e, const struct services *all)
{
	_cleanup_(labels_clear) struct backend_labels labels = {};

	if (labels_make(&labels, all))
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(backend_families); i++)
		write_backend_family(e, all, &labels, &backend_families[i]);
	return 0;
}

/* ---- reconciling and limits ---- */

static void write_limits(struct expo *e, const struct api *a, const struct reconcile_stats *now)
{
	const struct limits *of = dp_limits(a->x->dp);
	const struct {
		const char *name;
		uint32_t used, of;
	} limits[] = {
		{ "services", now->services, of->services },
		{ "listeners", now->listeners, of->listeners },
		{ "members", now->members, of->members },
		{ "backends", now->backends, of->backends },
		{ "slots", now->slots, of->slots },
		{ "flows", now->flows, of->flows },
	};

	expo_family(e, EXPO_GAUGE, "shunt_limit", "Size of the map, from limits in the configuration.");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		expo_count(e, limits[i].of, "limit", limits[i].name, NULL);
	expo_family(e, EXPO_GAUGE, "shunt_limit_used", "How much of the map is in use.");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		expo_count(e, limits[i].used, "limit", limits[i].name, NULL);
}

static void write_reconcile(struct expo *e, const struct api *a)
{
	struct reconcile_stats now;

	reconcile_stats(a->x->reconcile, &now);
	write_limits(e, a, &now);
	expo_family(e, EXPO_COUNTER, "shunt_applies", "Configurations applied, changes by command included.");
	expo_count(e, now.applies, NULL);
	expo_family(e, EXPO_GAUGE, "shunt_apply_duration_seconds", "Duration of the last one.");
	expo_value(e, now.last_apply_seconds, NULL);
	expo_family(e, EXPO_COUNTER, "shunt_transitions_uncached",
		    "Changes whose older flows moved too, because no part of the flow cache was free.");
	expo_count(e, now.uncached, NULL);
	expo_family(e, EXPO_COUNTER, "shunt_health_changes", "Backends that became healthy or unhealthy.");
	expo_count(e, now.verdicts, NULL);
	expo_family(e, EXPO_GAUGE, "shunt_failover_duration_seconds", "Last time from a verdict to its store in the kernel.");
	expo_value(e, now.last_verdict_seconds, NULL);
}

/* ---- the request ---- */

static int write_all(struct expo *e, const struct api *a)
{
	_cleanup_(services_free) struct services all = {};
	int err = services_load(a, &all);

	if (err)
		return err;
	write_daemon(e, a);
	write_config(e, a);
	write_interfaces(e, a);
	write_packets(e, a);
	write_sockets(e, a);
	write_announced(e, a);
	write_services(e, &all);
	err = write_backends(e, &all);
	write_reconcile(e, a);
	sources_write(e, a);
	write_process(e, a);
	expo_end(e);
	return e->failed ? -ENOMEM : err;
}

static void free_text(const void *data, size_t len, void *text)
{
	(void)data;
	(void)len;
	free(text);
}

static void send_metrics(struct evhttp_request *req, const struct api *a, struct evbuffer *out)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");
	struct expo e = { .openmetrics = accept_openmetrics(accept) };

	if (write_all(&e, a) || evbuffer_add_reference(out, e.data, e.len, free_text, e.data)) {
		free(e.data);
		evhttp_send_error(req, 500, "Out of memory");
		return;
	}
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", expo_content_type(e.openmetrics));
	evhttp_send_reply(req, 200, "OK", out);
}

static void send_index(struct evhttp_request *req, struct evbuffer *out)
{
	evbuffer_add_printf(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><title>shuntd</title></head><body>\n"
				 "<h1>shuntd %s</h1>\n<p><a href=\"/metrics\">Metrics for Prometheus</a></p>\n"
				 "</body></html>\n", SHUNT_VERSION);
	evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "text/html; charset=utf-8");
	evhttp_send_reply(req, 200, "OK", out);
}

void metrics_request(struct evhttp_request *req, void *arg)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	struct evbuffer *out = evbuffer_new();

	if (!out) {
		evhttp_send_error(req, 500, "Out of memory");
		return;
	}
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		evhttp_send_error(req, 405, "Method Not Allowed");
	} else if (path && !strcmp(path, "/metrics")) {
		send_metrics(req, arg, out);
	} else if (path && !strcmp(path, "/")) {
		send_index(req, out);
	} else {
		evhttp_send_error(req, 404, "Not Found");
	}
	evbuffer_free(out);
}
