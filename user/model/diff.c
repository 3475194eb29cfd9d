/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Two sorted lists, one walk: what only one of them has came or went, what both have is compared field by field. */
#include "model/diff.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/duration.h"

#define SUBJECT_MAX (CLIENT_PATH_MAX + 256)
#define VALUE_MAX 896 /* holds ALLOW_MAX prefixes */

struct walk {
	diff_fn fn;
	void *arg;
	char subject[SUBJECT_MAX];
};

static void subject(struct walk *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void subject(struct walk *w, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(w->subject, sizeof(w->subject), fmt, args);
	va_end(args);
}

static void say(struct walk *w, enum diff_kind kind, const char *from, const char *to)
{
	struct diff d = { .kind = kind, .subject = w->subject, .from = from, .to = to };

	w->fn(w->arg, &d);
}

static void text_field(struct walk *w, const char *from, const char *to)
{
	if (strcmp(from, to))
		say(w, DIFF_CHANGED, from, to);
}

static void number_field(struct walk *w, const char *key, uint64_t from, uint64_t to)
{
	char a[24], b[24];

	snprintf(a, sizeof(a), "%" PRIu64, from);
	snprintf(b, sizeof(b), "%" PRIu64, to);
	subject(w, "%s", key);
	text_field(w, a, b);
}

static void duration_field(struct walk *w, const char *key, uint64_t from, uint64_t to)
{
	char a[DURATION_TEXT], b[DURATION_TEXT];

	subject(w, "%s", key);
	text_field(w, duration_format(from, a), duration_format(to, b));
}

/* ---- settings ---- */

static const char *roles_text(unsigned roles)
{
	static const char *const names[] = { "no role", "edge", "backend", "edge and backend" };

	return names[roles & (ROLE_EDGE | ROLE_BACKEND)];
}

static const char *mode_text(enum xdp_mode mode)
{
	return mode == XDP_MODE_NATIVE ? "native" : mode == XDP_MODE_GENERIC ? "generic" : "auto";
}

static const struct interface *find_interface(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_interfaces; i++)
		if (!strcmp(c->interfaces[i].name, name))
			return &c->interfaces[i];
	return NULL;
}

static void diff_interface(struct walk *w, const struct interface *from, const struct interface *to)
{
	subject(w, "interface %s: role", from->name);
	text_field(w, roles_text(from->roles), roles_text(to->roles));
	subject(w, "interface %s: mode", from->name);
	text_field(w, mode_text(from->mode), mode_text(to->mode));
}

static void diff_interfaces(struct walk *w, const struct config *from, const struct config *to)
{
	for (size_t i = 0; i < from->n_interfaces; i++) {
		const struct interface *other = find_interface(to, from->interfaces[i].name);

		subject(w, "interface %s", from->interfaces[i].name);
		if (other)
			diff_interface(w, &from->interfaces[i], other);
		else
			say(w, DIFF_REMOVED, NULL, NULL);
	}
	for (size_t i = 0; i < to->n_interfaces; i++) {
		subject(w, "interface %s", to->interfaces[i].name);
		if (!find_interface(from, to->interfaces[i].name))
			say(w, DIFF_ADDED, NULL, roles_text(to->interfaces[i].roles));
	}
}

static const char *metrics_text(const struct config *c, char text[ENDPOINT_TEXT])
{
	return c->metrics.port ? endpoint_format(&c->metrics, text) : "off";
}

static const char *allow_text(const struct config *c, char text[VALUE_MAX])
{
	char one[PREFIX_TEXT];
	size_t len = 0;

	snprintf(text, VALUE_MAX, "nobody");
	for (size_t i = 0; i < c->backend.n_allow && len < VALUE_MAX; i++)
		len += snprintf(text + len, VALUE_MAX - len, "%s%s", i ? ", " : "",
				prefix_format(&c->backend.allow[i], one));
	return text;
}

static void diff_control(struct walk *w, const struct config *from, const struct config *to)
{
	char a[ENDPOINT_TEXT], b[ENDPOINT_TEXT];

	subject(w, "metrics.listen");
	text_field(w, metrics_text(from, a), metrics_text(to, b));
	subject(w, "control.socket");
	text_field(w, from->control_socket ?: "none", to->control_socket ?: "none");
	subject(w, "control.group");
	text_field(w, from->control_group ?: "none", to->control_group ?: "none");
	subject(w, "pins");
	text_field(w, from->pins ?: "none", to->pins ?: "none");
}

static void diff_edge(struct walk *w, const struct config *from, const struct config *to)
{
	char a[PREFIX_TEXT], b[PREFIX_TEXT];

	subject(w, "edge.source (IPv4)");
	text_field(w, prefix_format(&from->edge.source4, a), prefix_format(&to->edge.source4, b));
	subject(w, "edge.source (IPv6)");
	text_field(w, prefix_format(&from->edge.source6, a), prefix_format(&to->edge.source6, b));
	number_field(w, "edge.icmp-rate", from->edge.icmp_rate, to->edge.icmp_rate);
	number_field(w, "edge.seed", from->edge.seed, to->edge.seed);
}

static void diff_backend_role(struct walk *w, const struct config *from, const struct config *to)
{
	char a[VALUE_MAX], b[VALUE_MAX];

	subject(w, "backend.allow");
	text_field(w, allow_text(from, a), allow_text(to, b));
	subject(w, "backend.loopback");
	text_field(w, from->backend.loopback ? "true" : "false", to->backend.loopback ? "true" : "false");
	subject(w, "backend.second-chance");
	text_field(w, from->backend.second_chance ? "true" : "false", to->backend.second_chance ? "true" : "false");
	number_field(w, "backend.second-chance-rate", from->backend.second_chance_rate, to->backend.second_chance_rate);
}

/* What is in one list alone came or went. what: of which kind it is. */
static void diff_texts(struct walk *w, const char *what, const struct texts *from, const struct texts *to)
{
	size_t i = 0, j = 0;

	while (i < from->n || j < to->n) {
		int order = i == from->n ? 1 : j == to->n ? -1 : strcmp(from->list[i], to->list[j]);

		subject(w, "%s %s", what, order <= 0 ? from->list[i] : to->list[j]);
		if (order)
			say(w, order < 0 ? DIFF_REMOVED : DIFF_ADDED, NULL, NULL);
		i += order <= 0;
		j += order >= 0;
	}
}

static void diff_sockets(struct walk *w, const struct config *from, const struct config *to)
{
	subject(w, "cgroup");
	text_field(w, from->cgroup ?: "none", to->cgroup ?: "none");
	diff_texts(w, "socket.except", &from->except, &to->except);
}

static void diff_limits(struct walk *w, const struct config *from, const struct config *to)
{
	number_field(w, "limits.services", from->limits.services, to->limits.services);
	number_field(w, "limits.listeners", from->limits.listeners, to->limits.listeners);
	number_field(w, "limits.members", from->limits.members, to->limits.members);
	number_field(w, "limits.backends", from->limits.backends, to->limits.backends);
	number_field(w, "limits.slots", from->limits.slots, to->limits.slots);
	number_field(w, "limits.flows", from->limits.flows, to->limits.flows);
	number_field(w, "limits.connections", from->limits.connections, to->limits.connections);
	number_field(w, "limits.checks", from->checks_under_way, to->checks_under_way);
}

/* ---- services ---- */

static const char *admin_text(enum admin a)
{
	return a == ADMIN_ENABLED ? "enabled" : a == ADMIN_DRAINING ? "draining" : "disabled";
}

static const char *check_text(const struct check *c, char text[VALUE_MAX])
{
	size_t len;

	if (c->kind == CHECK_NONE)
		return "none";
	len = snprintf(text, VALUE_MAX, "%s", c->kind == CHECK_TCP ? "tcp" : "http");
	if (c->kind == CHECK_HTTP)
		len += snprintf(text + len, VALUE_MAX - len, " %.256s%s%.256s status %u-%u", c->path ?: "/",
				c->host ? " host " : "", c->host ?: "", c->status_min, c->status_max);
	if (c->port)
		len += snprintf(text + len, VALUE_MAX - len, " port %u", c->port);
	snprintf(text + len, VALUE_MAX - len, " every %u ms, timeout %u ms, fall %u, rise %u", c->interval_ms,
		 c->timeout_ms, c->fall, c->rise);
	return text;
}

static const char *server_id_text(const struct server_id *id, char text[SERVER_ID_TEXT])
{
	return id->length ? server_id_format(id, text) : "none";
}

static const char *quic_text(const struct quic *q, char text[VALUE_MAX])
{
	if (!q->server_id)
		return "none";
	snprintf(text, VALUE_MAX, "config %u, server-id of %u byte%s", q->config, q->server_id,
		 q->server_id == 1 ? "" : "s");
	return text;
}

static void diff_backend(struct walk *w, const char *service, const struct backend *from, const struct backend *to)
{
	char at[ENDPOINT_TEXT], key[SUBJECT_MAX], a[SERVER_ID_TEXT], b[SERVER_ID_TEXT];

	endpoint_format(&from->at, at);
	subject(w, "service %s: backend %s", service, at);
	text_field(w, admin_text(from->admin), admin_text(to->admin));
	snprintf(key, sizeof(key), "service %s: backend %s: weight", service, at);
	number_field(w, key, from->weight, to->weight);
	subject(w, "service %s: backend %s: server-id", service, at);
	text_field(w, server_id_text(&from->server_id, a), server_id_text(&to->server_id, b));
}

static void backend_came(struct walk *w, const char *service, const struct backend *b)
{
	char at[ENDPOINT_TEXT], text[80], id[SERVER_ID_TEXT];

	subject(w, "service %s: backend %s", service, endpoint_format(&b->at, at));
	snprintf(text, sizeof(text), "weight %u%s%s%s%s", b->weight, b->server_id.length ? ", server-id " : "",
		 server_id_format(&b->server_id, id), b->admin == ADMIN_ENABLED ? "" : ", ",
		 b->admin == ADMIN_ENABLED ? "" : admin_text(b->admin));
	say(w, DIFF_ADDED, NULL, text);
}

static void backend_went(struct walk *w, const char *service, const struct backend *b)
{
	char at[ENDPOINT_TEXT];

	subject(w, "service %s: backend %s", service, endpoint_format(&b->at, at));
	say(w, DIFF_REMOVED, NULL, NULL);
}

static void diff_backends(struct walk *w, const struct service *from, const struct service *to)
{
	size_t i = 0, j = 0;

	while (i < from->n_backends || j < to->n_backends) {
		int order = i == from->n_backends ? 1 : j == to->n_backends ? -1 :
			    endpoint_compare(&from->backends[i].at, &to->backends[j].at);

		if (order < 0)
			backend_went(w, from->name, &from->backends[i++]);
		else if (order > 0)
			backend_came(w, to->name, &to->backends[j++]);
		else
			diff_backend(w, from->name, &from->backends[i++], &to->backends[j++]);
	}
}

static void diff_listens(struct walk *w, const struct service *from, const struct service *to)
{
	char text[LISTEN_TEXT];
	size_t i = 0, j = 0;

	while (i < from->n_listens || j < to->n_listens) {
		int order = i == from->n_listens ? 1 : j == to->n_listens ? -1 :
			    listen_compare(&from->listens[i], &to->listens[j]);
		const struct listen *l = order <= 0 ? &from->listens[i] : &to->listens[j];

		subject(w, "service %s: listen %s", from->name, listen_format(l, text));
		if (order)
			say(w, order < 0 ? DIFF_REMOVED : DIFF_ADDED, NULL, NULL);
		i += order <= 0;
		j += order >= 0;
	}
}

static void diff_tracking(struct walk *w, const struct service *from, const struct service *to)
{
	const struct tracking *a = &from->tracking, *b = &to->tracking;
	const struct {
		const char *key;
		uint32_t from, to;
	} durations[] = {
		{ "transition", a->transition_ms, b->transition_ms },
		{ "drain", a->drain_ms, b->drain_ms },
		{ "flow-timeout: tcp", a->tcp_ms, b->tcp_ms },
		{ "flow-timeout: udp", a->udp_ms, b->udp_ms },
		{ "flow-timeout: closing", a->closing_ms, b->closing_ms },
	};
	char key[SUBJECT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		snprintf(key, sizeof(key), "service %s: %s", from->name, durations[i].key);
		duration_field(w, key, durations[i].from, durations[i].to);
	}
	snprintf(key, sizeof(key), "service %s: flows", from->name);
	number_field(w, key, a->flows, b->flows);
}

static const char *where_text(unsigned at)
{
	static const char *const names[] = { "nowhere", "edge", "socket", "edge and socket" };

	return names[at & (AT_EDGE | AT_SOCKET)];
}

static void diff_where(struct walk *w, const struct service *from, const struct service *to)
{
	char key[SERVICE_NAME_MAX + 64];

	subject(w, "service %s: at", from->name);
	text_field(w, where_text(from->at), where_text(to->at));
	snprintf(key, sizeof(key), "service %s: clients: cgroup", from->name);
	diff_texts(w, key, &from->clients.cgroups, &to->clients.cgroups);
	snprintf(key, sizeof(key), "service %s: clients: namespace", from->name);
	diff_texts(w, key, &from->clients.namespaces, &to->clients.namespaces);
	subject(w, "service %s: no-backend", from->name);
	text_field(w, no_backend_names[from->refuses], no_backend_names[to->refuses]);
}

/* ---- discovery ---- */

static bool same_discovers(const struct service *a, const struct service *b)
{
	if (a->n_discovers != b->n_discovers)
		return false;
	for (size_t i = 0; i < a->n_discovers; i++)
		if (!discover_equal(&a->discovers[i], &b->discovers[i]) || a->discovers[i].allow_none != b->discovers[i].allow_none)
			return false;
	return true;
}

/* In the order of the list, which says who speaks for an endpoint. */
static char *discovers_text(const struct service *s, char *text, size_t size)
{
	char one[DISCOVER_TEXT];
	size_t used = 0;

	snprintf(text, size, "nothing");
	for (size_t i = 0; i < s->n_discovers && used < size; i++)
		used += snprintf(text + used, size - used, "%s%s", i ? "; " : "", discover_format(&s->discovers[i], one));
	return text;
}

/* Who is meant where no source is named. */
static void diff_firsts(struct walk *w, const struct config *from, const struct config *to)
{
	for (int kind = 0; kind < N_SOURCE_KINDS; kind++) {
		const struct source *was = config_source(from, kind, NULL), *is = config_source(to, kind, NULL);

		subject(w, "first source of kind %s", source_kind_names[kind]);
		if (was && is)
			text_field(w, was->name, is->name);
	}
}

static void diff_sources(struct walk *w, const struct config *from, const struct config *to)
{
	for (size_t i = 0; i < from->n_sources; i++) {
		const struct source *was = &from->sources[i], *is = config_source(to, was->kind, was->name);

		subject(w, "source %s", was->name);
		if (!is)
			say(w, DIFF_REMOVED, NULL, NULL);
		else if (!source_equal(was, is))
			say(w, DIFF_CHANGED, "its settings of before", "other settings");
	}
	for (size_t i = 0; i < to->n_sources; i++) {
		subject(w, "source %s", to->sources[i].name);
		if (!config_source(from, to->sources[i].kind, to->sources[i].name))
			say(w, DIFF_ADDED, NULL, source_kind_names[to->sources[i].kind]);
	}
}

static bool is_announced(const struct config *c, const struct announce *a)
{
	for (size_t i = 0; i < c->n_announces; i++)
		if (announce_equal(&c->announces[i], a))
			return true;
	return false;
}

static void diff_announce(struct walk *w, enum diff_kind kind, const struct announce *a)
{
	char at[ENDPOINT_TEXT];

	subject(w, "register %s %s at %s", source_kind_names[a->kind], a->name, endpoint_format(&a->at, at));
	say(w, kind, NULL, NULL);
}

static void diff_discovery(struct walk *w, const struct config *from, const struct config *to)
{
	char a[STATE_TEXT], b[STATE_TEXT];

	subject(w, "state");
	if (from->state || to->state) /* else it goes by pins, which are said */
		text_field(w, config_state(from, a), config_state(to, b));
	diff_sources(w, from, to);
	diff_firsts(w, from, to);
	for (size_t i = 0; i < from->n_announces; i++)
		if (!is_announced(to, &from->announces[i]))
			diff_announce(w, DIFF_REMOVED, &from->announces[i]);
	for (size_t i = 0; i < to->n_announces; i++)
		if (!is_announced(from, &to->announces[i]))
			diff_announce(w, DIFF_ADDED, &to->announces[i]);
}

static void diff_service(struct walk *w, const struct service *from, const struct service *to)
{
	char a[VALUE_MAX], b[VALUE_MAX], key[SUBJECT_MAX];

	diff_listens(w, from, to);
	subject(w, "service %s: algorithm", from->name);
	text_field(w, algorithm_names[from->algorithm], algorithm_names[to->algorithm]);
	subject(w, "service %s: forward", from->name);
	text_field(w, forward_names[from->forward], forward_names[to->forward]);
	subject(w, "service %s: affinity", from->name);
	text_field(w, affinity_names[from->affinity], affinity_names[to->affinity]);
	subject(w, "service %s: quic", from->name);
	text_field(w, quic_text(&from->quic, a), quic_text(&to->quic, b));
	subject(w, "service %s: health", from->name);
	if (!check_equal(&from->check, &to->check))
		say(w, DIFF_CHANGED, check_text(&from->check, a), check_text(&to->check, b));
	snprintf(key, sizeof(key), "service %s: slots", from->name);
	number_field(w, key, from->slots, to->slots);
	diff_where(w, from, to);
	diff_tracking(w, from, to);
	subject(w, "service %s: discover", from->name);
	if (!same_discovers(from, to)) /* what differs may have no room in the text */
		say(w, DIFF_CHANGED, discovers_text(from, a, sizeof(a)), discovers_text(to, b, sizeof(b)));
	diff_backends(w, from, to);
}

static void service_came(struct walk *w, const struct service *s)
{
	char listen[LISTEN_TEXT] = "nowhere", text[LISTEN_TEXT + 64];

	if (s->n_listens)
		listen_format(&s->listens[0], listen);
	snprintf(text, sizeof(text), "%s%s, %zu backend%s", listen, s->n_listens > 1 ? " and more" : "", s->n_backends,
		 s->n_backends == 1 ? "" : "s");
	subject(w, "service %s", s->name);
	say(w, DIFF_ADDED, NULL, text);
}

static void service_went(struct walk *w, const struct service *s)
{
	subject(w, "service %s", s->name);
	say(w, DIFF_REMOVED, NULL, NULL);
}

static void diff_services(struct walk *w, const struct config *from, const struct config *to)
{
	size_t i = 0, j = 0;

	while (i < from->n_services || j < to->n_services) {
		int order = i == from->n_services ? 1 : j == to->n_services ? -1 :
			    strcmp(from->services[i].name, to->services[j].name);

		if (order < 0)
			service_went(w, &from->services[i++]);
		else if (order > 0)
			service_came(w, &to->services[j++]);
		else
			diff_service(w, &from->services[i++], &to->services[j++]);
	}
}

void config_diff(const struct config *from, const struct config *to, diff_fn fn, void *arg)
{
	struct walk w = { .fn = fn, .arg = arg };

	diff_interfaces(&w, from, to);
	diff_control(&w, from, to);
	diff_edge(&w, from, to);
	diff_backend_role(&w, from, to);
	diff_sockets(&w, from, to);
	diff_limits(&w, from, to);
	diff_discovery(&w, from, to);
	diff_services(&w, from, to);
}

static void note_difference(void *differs, const struct diff *d)
{
	(void)d;
	*(bool *)differs = true;
}

bool config_differs(const struct config *from, const struct config *to)
{
	bool differs = false;

	config_diff(from, to, note_difference, &differs);
	return differs;
}

/* ---- in words ---- */

char *diff_change(const struct diff *d, char text[DIFF_TEXT])
{
	if (d->kind == DIFF_REMOVED)
		snprintf(text, DIFF_TEXT, "%s: removed", d->subject);
	else if (d->kind == DIFF_CHANGED)
		snprintf(text, DIFF_TEXT, "%s: %s -> %s", d->subject, d->from, d->to);
	else if (d->to)
		snprintf(text, DIFF_TEXT, "%s: added (%s)", d->subject, d->to);
	else
		snprintf(text, DIFF_TEXT, "%s: added", d->subject);
	return text;
}

char *diff_state(const struct diff *d, char text[DIFF_TEXT])
{
	if (d->kind == DIFF_REMOVED)
		snprintf(text, DIFF_TEXT, "%s is not there, the file has it", d->subject);
	else if (d->kind == DIFF_ADDED)
		snprintf(text, DIFF_TEXT, "%s is not in the file", d->subject);
	else
		snprintf(text, DIFF_TEXT, "%s is %s, the file says %s", d->subject, d->to, d->from);
	return text;
}
