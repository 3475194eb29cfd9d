/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one screen: what is attached, what runs, how it differs from the file, what is wrong. */
#include <string.h>

#include "api/announced.h"
#include "api/call.h"
#include "api/render.h"
#include "api/sources.h"
#include "base/clean.h"
#include "base/clock.h"
#include "model/diff.h"

#define PROBLEMS_MAX 100 /* the rest is counted */

/* ---- configuration ---- */

static void note_difference(void *list, const struct diff *d)
{
	char text[DIFF_TEXT];

	json_array_append_new(list, json_string(diff_state(d, text)));
}

/* Of what is found, or is not there now; what is listed is compared with the file. */
static void note_override(void *list, const struct override *o, bool is_there)
{
	char at[ENDPOINT_TEXT], weight[40] = "";

	if (o->has_weight)
		snprintf(weight, sizeof(weight), "%sweight %u", o->has_admin ? ", " : "", o->weight);
	json_array_append_new(list, json_sprintf("service %s: backend %s: by command %s%s%s", o->service,
						 endpoint_format(&o->at, at), o->has_admin ? admin_names[o->admin] : "", weight,
						 is_there ? "" : " (it is not there now)"));
}

static json_t *status_config(const struct api *a)
{
	_cleanup_(config_freep) struct config *listed = api_listed(a);
	json_t *differences = json_array();

	if (a->x->file && listed)
		config_diff(a->x->file, listed, note_difference, differences);
	if (listed)
		api_overrides_each(a, listed, note_override, differences);
	return json_pack("{s:s, s:o, s:b, s:o, s:s}", "file", a->x->config_path ?: "", "applied",
			 json_text(a->x->applied), "differs", json_array_size(differences) > 0, "differences",
			 differences, "last_reload_error", a->x->last_reload_error);
}

/* ---- interfaces ---- */

static json_t *roles(unsigned roles)
{
	json_t *list = json_array();

	if (roles & ROLE_EDGE)
		json_array_append_new(list, json_string("edge"));
	if (roles & ROLE_BACKEND)
		json_array_append_new(list, json_string("backend"));
	return list;
}

static const char *mode(const struct dp_interface *i)
{
	return i->mode == XDP_MODE_NATIVE ? "native" : i->mode == XDP_MODE_GENERIC ? "generic" : "none";
}

static json_t *status_interfaces(const struct api *a, json_t *problems)
{
	const struct dp_interface *all;
	size_t n = dp_interfaces(a->x->dp, &all);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		json_array_append_new(list, json_pack("{s:s, s:i, s:o, s:s, s:I, s:s}", "name", all[i].name, "ifindex",
						      all[i].ifindex, "roles", roles(all[i].roles), "mode",
						      mode(&all[i]), "send_errors", (json_int_t)all[i].send_errors,
						      "problem", all[i].problem));
		if (all[i].problem[0])
			json_array_append_new(problems, json_sprintf("interface %s: %s", all[i].name, all[i].problem));
	}
	return list;
}

/* ---- backends ---- */

/* What keeps a backend that should work from working; NULL: nothing. */
static const char *backend_problem(const struct reconcile_backend *b)
{
	if (b->state == STATE_DISABLED)
		return NULL;
	if (b->nexthop && !b->nexthop->usable)
		return b->nexthop->problem[0] ? b->nexthop->problem : "its next hop is not known yet";
	if (b->state == STATE_UNHEALTHY)
		return b->health.last_error[0] ? b->health.last_error : "unhealthy";
	return NULL;
}

static void note_backend(const struct reconcile_service *s, const struct reconcile_backend *b, json_t *problems,
			 size_t *left_out)
{
	const char *problem = backend_problem(b);
	char at[ENDPOINT_TEXT];

	if (!problem)
		return;
	if (json_array_size(problems) < PROBLEMS_MAX)
		json_array_append_new(problems, json_sprintf("service %s: backend %s: %s", s->conf->name,
							     endpoint_format(&b->at, at), problem));
	else
		++*left_out;
}

/* A host that only takes packets out of tunnels drops none for want of a backend. */
static bool balances(const struct api *a)
{
	const struct dp_interface *all;
	bool edge = false;

	for (size_t i = 0, n = dp_interfaces(a->x->dp, &all); i < n; i++)
		edge |= all[i].roles & ROLE_EDGE;
	return edge;
}

/* at: bits of enum where: what this host does of it */
static void note_service(const struct reconcile_service *s, unsigned at, json_t *problems)
{
	for (size_t i = 0; i < s->n_backends; i++)
		if (s->backends[i].slots)
			return;
	if (at)
		json_array_append_new(problems, json_sprintf("service %s: no usable backend, its %s%s%s", s->conf->name,
							     !(at & AT_EDGE)			       ? "" :
							     s->conf->forward == FORWARD_LOCAL ? "packets are refused" :
												 "packets are dropped",
							     at == (AT_EDGE | AT_SOCKET) ? ", its " : "",
							     at & AT_SOCKET ? "local connections are refused" : ""));
}

static json_t *status_backends(const struct api *a, const struct services *all, json_t *problems)
{
	unsigned here = AT_SOCKET | (balances(a) ? AT_EDGE : 0), counts[N_STATES] = {};
	json_t *o = json_object();
	size_t left_out = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct reconcile_service *s = &all->list[i];

		note_service(s, s->at & here, problems);
		for (size_t j = 0; j < s->n_backends; j++) {
			counts[s->backends[j].state]++;
			note_backend(s, &s->backends[j], problems, &left_out);
		}
	}
	if (left_out)
		json_array_append_new(problems, json_sprintf("and %zu backends more", left_out));
	for (int i = 0; i < N_STATES; i++)
		json_object_set_new(o, state_names[i], json_integer(counts[i]));
	return o;
}

/* ---- connections of local processes ---- */

static json_t *text_after(const char *before, const char *text)
{
	char line[512];

	snprintf(line, sizeof(line), "%s%s", before, text);
	return json_text(line);
}

struct unknown {
	const struct api *api;
	json_t *problems;
};

static void note_unknown(void *arg, uint32_t service, const char *path)
{
	const struct unknown *u = arg;
	const char *name = reconcile_service_name(u->api->x->reconcile, service);

	if (name)
		json_array_append_new(u->problems, json_sprintf("service %s: clients: %s is not there now: it names no process",
								name, path));
	else
		json_array_append_new(u->problems, json_sprintf("socket: except: %s is not there now: it names no process",
								path));
}

static json_t *status_sockets(const struct api *a, const struct services *all, json_t *problems)
{
	const char *cgroup, *problem, *ending = dp_ending_problem(a->x->dp);
	bool attached = dp_sockets(a->x->dp, &cgroup, &problem);
	uint64_t open = 0;

	for (size_t i = 0; i < all->n; i++)
		open += all->list[i].connections;
	dp_clients_unknown(a->x->dp, note_unknown, &(struct unknown){ a, problems });
	if (attached && problem[0])
		json_array_append_new(problems, text_after("cgroup: ", problem));
	if (attached && ending[0])
		json_array_append_new(problems, text_after("cgroup: ", ending));
	return json_pack("{s:b, s:o, s:o, s:I, s:I}", "attached", attached, "cgroup", json_text(attached ? cgroup : ""),
			 "problem", json_text(!attached ? "" : problem[0] ? problem : ending), "connections",
			 (json_int_t)open, "ended", (json_int_t)a->x->ended);
}

/* ---- packets and limits ---- */

static void status_packets(const struct api *a, json_t *status)
{
	uint64_t counted[SHUNT_N_VERDICTS] = {};
	json_t *packets = json_object(), *rates = json_object();

	dp_verdicts(a->x->dp, counted);
	for (int i = 0; i < SHUNT_N_VERDICTS; i++) {
		json_object_set_new(packets, verdict_words[i], json_integer(counted[i]));
		json_object_set_new(rates, verdict_words[i], json_real(a->rates.per_second[i]));
	}
	json_object_set_new(status, "packets", packets);
	json_object_set_new(status, "rates", rates);
}

static json_int_t count_drops(const struct api *a)
{
	_cleanup_free_ struct dp_drop *drops = NULL;
	json_int_t sum = 0;
	size_t n = 0;

	if (dp_drops(a->x->dp, &drops, &n))
		return 0;
	for (size_t i = 0; i < n; i++)
		sum += drops[i].packets;
	return sum;
}

static json_t *limit(uint32_t used, uint32_t of)
{
	return json_pack("{s:I, s:I}", "used", (json_int_t)used, "of", (json_int_t)of);
}

static json_t *status_limits(const struct api *a)
{
	const struct limits *of = dp_limits(a->x->dp);
	struct reconcile_stats now;

	reconcile_stats(a->x->reconcile, &now);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "services", limit(now.services, of->services), "listeners",
			 limit(now.listeners, of->listeners), "members", limit(now.members, of->members),
			 "backends", limit(now.backends, of->backends), "slots",
			 limit(now.slots, of->slots), "flows", limit(now.flows, of->flows));
}

static json_t *status_lacks(const struct api *a)
{
	json_t *list = json_array();

	for (const char *const *text = dp_lacks(a->x->dp); text && *text; text++)
		json_array_append_new(list, json_string(*text));
	return list;
}

static json_t *status_daemon(const struct api *a)
{
	uint64_t now = realtime_ms();

	return json_pack("{s:s, s:i, s:I, s:f, s:b}", "version", SHUNT_VERSION, "pid", (int)getpid(), "started_ms",
			 (json_int_t)a->x->started_ms, "uptime_seconds",
			 now > a->x->started_ms ? (now - a->x->started_ms) / 1e3 : 0.0, "adopted", a->x->adopted);
}

int get_status(struct call *c)
{
	_cleanup_(services_free) struct services all = {};
	json_t *status, *problems;

	if (services_load(c->api, &all))
		return call_error(c, 500, "out of memory");
	status = status_daemon(c->api);
	problems = json_array();
	if (c->api->problem[0])
		json_array_append_new(problems, json_text(c->api->problem));
	json_object_set_new(status, "config", status_config(c->api));
	json_object_set_new(status, "interfaces", status_interfaces(c->api, problems));
	json_object_set_new(status, "sockets", status_sockets(c->api, &all, problems));
	json_object_set_new(status, "sources", status_sources(c->api, problems));
	json_object_set_new(status, "register", status_announced(c->api, problems));
	json_object_set_new(status, "services", json_integer(all.n));
	json_object_set_new(status, "backends", status_backends(c->api, &all, problems));
	status_packets(c->api, status);
	json_object_set_new(status, "drops", json_integer(count_drops(c->api)));
	json_object_set_new(status, "limits", status_limits(c->api));
	json_object_set_new(status, "problems", problems);
	json_object_set_new(status, "lacks", status_lacks(c->api));
	return call_ok(c, status);
}
