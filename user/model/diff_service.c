/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Services: two sorted lists, one walk. What only one has came or went, what both have is compared field by field. */
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "model/diff_walk.h"

static const char *check_text(const struct check *c, char text[DIFF_VALUE_MAX])
{
	size_t len;

	if (c->kind == CHECK_NONE)
		return "none";
	len = snprintf(text, DIFF_VALUE_MAX, "%s", c->kind == CHECK_TCP ? "tcp" : "http");
	if (c->kind == CHECK_HTTP)
		len += snprintf(text + len, DIFF_VALUE_MAX - len, " %.256s%s%.256s status %u-%u", c->path ?: "/",
				c->host ? " host " : "", c->host ?: "", c->status_min, c->status_max);
	if (c->port)
		len += snprintf(text + len, DIFF_VALUE_MAX - len, " port %u", c->port);
	snprintf(text + len, DIFF_VALUE_MAX - len, " every %u ms, timeout %u ms, fall %u, rise %u", c->interval_ms,
		 c->timeout_ms, c->fall, c->rise);
	return text;
}

static const char *server_id_text(const struct server_id *id, char text[SERVER_ID_TEXT])
{
	return id->length ? server_id_format(id, text) : "none";
}

static const char *quic_text(const struct quic *q, char text[DIFF_VALUE_MAX])
{
	if (!q->server_id)
		return "none";
	snprintf(text, DIFF_VALUE_MAX, "config %u, server-id of %u byte%s", q->config, q->server_id,
		 q->server_id == 1 ? "" : "s");
	return text;
}

static void diff_backend(struct diff_walk *w, const char *service, const struct backend *from, const struct backend *to)
{
	char at[ENDPOINT_TEXT], key[DIFF_SUBJECT_MAX], a[SERVER_ID_TEXT], b[SERVER_ID_TEXT];

	endpoint_format(&from->at, at);
	diff_subject(w, "service %s: backend %s", service, at);
	diff_text_field(w, admin_names[from->admin], admin_names[to->admin]);
	snprintf(key, sizeof(key), "service %s: backend %s: weight", service, at);
	diff_number_field(w, key, from->weight, to->weight);
	diff_subject(w, "service %s: backend %s: server-id", service, at);
	diff_text_field(w, server_id_text(&from->server_id, a), server_id_text(&to->server_id, b));
}

static void backend_came(struct diff_walk *w, const char *service, const struct backend *b)
{
	char at[ENDPOINT_TEXT], text[80], id[SERVER_ID_TEXT];

	diff_subject(w, "service %s: backend %s", service, endpoint_format(&b->at, at));
	snprintf(text, sizeof(text), "weight %u%s%s%s%s", b->weight, b->server_id.length ? ", server-id " : "",
		 server_id_format(&b->server_id, id), b->admin == ADMIN_ENABLED ? "" : ", ",
		 b->admin == ADMIN_ENABLED ? "" : admin_names[b->admin]);
	diff_say(w, DIFF_ADDED, NULL, text);
}

static void backend_went(struct diff_walk *w, const char *service, const struct backend *b)
{
	char at[ENDPOINT_TEXT];

	diff_subject(w, "service %s: backend %s", service, endpoint_format(&b->at, at));
	diff_say(w, DIFF_REMOVED, NULL, NULL);
}

static void diff_backends(struct diff_walk *w, const struct service *from, const struct service *to)
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

static void diff_listens(struct diff_walk *w, const struct service *from, const struct service *to)
{
	char text[LISTEN_TEXT];
	size_t i = 0, j = 0;

	while (i < from->n_listens || j < to->n_listens) {
		int order = i == from->n_listens ? 1 : j == to->n_listens ? -1 :
			    listen_compare(&from->listens[i], &to->listens[j]);
		const struct listen *l = order <= 0 ? &from->listens[i] : &to->listens[j];

		diff_subject(w, "service %s: listen %s", from->name, listen_format(l, text));
		if (order)
			diff_say(w, order < 0 ? DIFF_REMOVED : DIFF_ADDED, NULL, NULL);
		i += order <= 0;
		j += order >= 0;
	}
}

static void diff_tracking(struct diff_walk *w, const struct service *from, const struct service *to)
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
	char key[DIFF_SUBJECT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		snprintf(key, sizeof(key), "service %s: %s", from->name, durations[i].key);
		diff_duration_field(w, key, durations[i].from, durations[i].to);
	}
	snprintf(key, sizeof(key), "service %s: flows", from->name);
	diff_number_field(w, key, a->flows, b->flows);
}

static const char *where_text(unsigned at)
{
	static const char *const names[] = { "nowhere", "edge", "socket", "edge and socket" };

	return names[at & (AT_EDGE | AT_SOCKET)];
}

static void diff_where(struct diff_walk *w, const struct service *from, const struct service *to)
{
	char key[SERVICE_NAME_MAX + 64];

	diff_subject(w, "service %s: at", from->name);
	diff_text_field(w, where_text(from->at), where_text(to->at));
	snprintf(key, sizeof(key), "service %s: clients: cgroup", from->name);
	diff_texts(w, key, &from->clients.cgroups, &to->clients.cgroups);
	snprintf(key, sizeof(key), "service %s: clients: namespace", from->name);
	diff_texts(w, key, &from->clients.namespaces, &to->clients.namespaces);
	diff_subject(w, "service %s: no-backend", from->name);
	diff_text_field(w, no_backend_names[from->refuses], no_backend_names[to->refuses]);
}

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

static void diff_service(struct diff_walk *w, const struct service *from, const struct service *to)
{
	char a[DIFF_VALUE_MAX], b[DIFF_VALUE_MAX], key[DIFF_SUBJECT_MAX];

	diff_listens(w, from, to);
	diff_subject(w, "service %s: algorithm", from->name);
	diff_text_field(w, algorithm_names[from->algorithm], algorithm_names[to->algorithm]);
	diff_subject(w, "service %s: forward", from->name);
	diff_text_field(w, forward_names[from->forward], forward_names[to->forward]);
	diff_subject(w, "service %s: affinity", from->name);
	diff_text_field(w, affinity_names[from->affinity], affinity_names[to->affinity]);
	diff_subject(w, "service %s: quic", from->name);
	diff_text_field(w, quic_text(&from->quic, a), quic_text(&to->quic, b));
	diff_subject(w, "service %s: health", from->name);
	if (!check_equal(&from->check, &to->check))
		diff_say(w, DIFF_CHANGED, check_text(&from->check, a), check_text(&to->check, b));
	snprintf(key, sizeof(key), "service %s: slots", from->name);
	diff_number_field(w, key, from->slots, to->slots);
	diff_where(w, from, to);
	diff_tracking(w, from, to);
	diff_subject(w, "service %s: discover", from->name);
	if (!same_discovers(from, to)) /* what differs may have no room in the text */
		diff_say(w, DIFF_CHANGED, discovers_text(from, a, sizeof(a)), discovers_text(to, b, sizeof(b)));
	diff_backends(w, from, to);
}

static void service_came(struct diff_walk *w, const struct service *s)
{
	char listen[LISTEN_TEXT] = "nowhere", text[LISTEN_TEXT + 64];

	if (s->n_listens)
		listen_format(&s->listens[0], listen);
	snprintf(text, sizeof(text), "%s%s, %zu backend%s", listen, s->n_listens > 1 ? " and more" : "", s->n_backends,
		 s->n_backends == 1 ? "" : "s");
	diff_subject(w, "service %s", s->name);
	diff_say(w, DIFF_ADDED, NULL, text);
}

static void service_went(struct diff_walk *w, const struct service *s)
{
	diff_subject(w, "service %s", s->name);
	diff_say(w, DIFF_REMOVED, NULL, NULL);
}

void diff_services(struct diff_walk *w, const struct config *from, const struct config *to)
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
