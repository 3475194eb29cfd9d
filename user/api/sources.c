/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sources: what is asked of them, how that stands, and what they found. */
#include "api/sources.h"

#include <string.h>
#include <time.h>

#include "api/call.h"
#include "api/render.h"
#include "base/clean.h"
#include "discovery/source.h"

/* ---- one question ---- */

/* Names of the services that ask it. */
static json_t *services_of(const struct api *a, const struct discover *what)
{
	const struct config *c = api_running(a);
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_discovers; k++)
			if (discover_equal(&c->services[i].discovers[k], what) &&
			    c->services[i].discovers[k].allow_none == what->allow_none)
				json_array_append_new(list, json_string(c->services[i].name));
	return list;
}

/* Of sets (offers NULL) and of services that are offered. */
static json_t *render_standing(const struct source *source, const char *what, enum found_state state, uint64_t since_ms,
			       const char *problem)
{
	return json_pack("{s:o, s:s, s:o, s:s, s:I, s:o}", "source", json_text(source->name), "kind",
			 source_kind_names[source->kind], "question", json_text(what), "state", found_state_names[state],
			 "since_ms", (json_int_t)since_ms, "problem", json_text(problem));
}

static json_t *render_set(const struct api *a, const struct found_set *set)
{
	char what[DISCOVER_TEXT];
	json_t *o = render_standing(set->source, discover_format(set->what, what), set->state, set->since_ms, set->problem);

	json_object_set_new(o, "services", a ? services_of(a, set->what) : json_array());
	json_object_set_new(o, "note", json_text(set->note));
	json_object_set_new(o, "version", json_text(set->version));
	json_object_set_new(o, "heard_ms", json_integer(set->heard_ms));
	json_object_set_new(o, "changed_ms", json_integer(set->changed_ms));
	json_object_set_new(o, "answers", json_integer(set->answers));
	json_object_set_new(o, "changes", json_integer(set->changes));
	json_object_set_new(o, "problems", json_integer(set->problems));
	json_object_set_new(o, "endpoints", json_integer(set->n));
	json_object_set_new(o, "none", json_string(set->what->allow_none ? "allow" : "keep"));
	return o;
}

static json_t *render_offered(const struct offered *of)
{
	json_t *o = render_standing(of->source, "services", of->state, of->since_ms, of->problem), *names = json_array();

	for (size_t i = 0; i < of->n; i++)
		json_array_append_new(names, json_text(of->offers[i].name));
	json_object_set_new(o, "services", names);
	return o;
}

static json_t *render_endpoints(const struct found_set *set)
{
	char at[ENDPOINT_TEXT], id[SERVER_ID_TEXT];
	json_t *list = json_array();

	for (size_t i = 0; i < set->n; i++) {
		const struct backend *b = &set->backends[i];

		json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s}", "address", endpoint_format(&b->at, at), "weight",
						      (json_int_t)b->weight, "state", admin_names[b->admin], "server_id",
						      server_id_format(&b->server_id, id)));
	}
	return list;
}

json_t *render_found(const struct found_set *set)
{
	json_t *o = render_set(NULL, set);

	json_object_set_new(o, "backends", render_endpoints(set));
	return o;
}

/* ---- lists ---- */

struct listing {
	const struct api *api;
	json_t *list;
	const char *name; /* of a source, or of a service; NULL: all, without endpoints */
};

static bool has_text(const json_t *list, const char *text)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item) if (!strcmp(json_string_value(item) ?: "", text)) return true;
	return false;
}

/* What was found for these services and not taken. */
static json_t *render_refused(const struct api *a, const json_t *services)
{
	json_t *list = json_array();
	char at[ENDPOINT_TEXT];

	for (size_t i = 0; i < a->x->n_refused; i++) {
		const struct refusal *r = &a->x->refused[i];

		if (r->service && r->sentence && has_text(services, r->service))
			json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "service", json_text(r->service), "address",
							      addr_is_unspecified(&r->at.addr) ? "" : endpoint_format(&r->at, at),
							      "sentence", json_text(r->sentence)));
	}
	return list;
}

static void list_set(void *arg, const struct found_set *set)
{
	const struct listing *l = arg;
	json_t *o = render_set(l->api, set);
	const json_t *services = json_object_get(o, "services");

	if (l->name && strcmp(set->source->name, l->name) && !has_text(services, l->name)) {
		json_decref(o);
		return;
	}
	if (l->name) {
		json_object_set_new(o, "backends", render_endpoints(set));
		json_object_set_new(o, "refused", render_refused(l->api, services));
	}
	json_array_append_new(l->list, o);
}

static void list_offered(void *arg, const struct offered *of)
{
	const struct listing *l = arg;
	json_t *o = render_offered(of);

	if (l->name && strcmp(of->source->name, l->name)) {
		json_decref(o);
		return;
	}
	if (l->name)
		json_object_set_new(o, "refused", render_refused(l->api, json_object_get(o, "services")));
	json_array_append_new(l->list, o);
}

int get_sources(struct call *c)
{
	struct listing l = { .api = c->api, .list = json_array() };

	discovery_each(c->api->x->discovery, list_set, &l);
	discovery_each_offered(c->api->x->discovery, list_offered, &l);
	return call_ok(c, json_pack("{s:o}", "sources", l.list));
}

int get_source(struct call *c)
{
	struct listing l = { .api = c->api, .list = json_array(), .name = c->parts[2] };

	discovery_each(c->api->x->discovery, list_set, &l);
	discovery_each_offered(c->api->x->discovery, list_offered, &l);
	if (json_array_size(l.list))
		return call_ok(c, json_pack("{s:o}", "sources", l.list));
	json_decref(l.list);
	return call_error(c, 404, "nothing is asked of a source %s, nor for a service %s; see shunt source list", l.name, l.name);
}

/* ---- status ---- */

struct standing_count {
	size_t by_state[N_FOUND_STATES];
	json_t *problems;
};

/* "12:34:56", with the date where that is not today; of CLOCK_REALTIME. */
static const char *when(uint64_t ms, char text[32])
{
	time_t then = ms / 1000, now = time(NULL);
	struct tm at, today;

	localtime_r(&then, &at);
	localtime_r(&now, &today);
	strftime(text, 32, at.tm_yday == today.tm_yday && at.tm_year == today.tm_year ? "%T" : "%F %T", &at);
	return text;
}

static void count(struct standing_count *n, const char *source, const char *what, enum found_state state, uint64_t since_ms,
		  const char *problem)
{
	char since[32];

	n->by_state[state]++;
	if (*problem)
		json_array_append_new(n->problems, json_sprintf("source %s: %s: %s since %s: %s%s", source, what,
								found_state_names[state], when(since_ms, since), problem,
								state == FOUND_STALE ? "; what was found last stays in force" : ""));
}

static void count_set(void *arg, const struct found_set *set)
{
	char what[DISCOVER_TEXT];

	count(arg, set->source->name, discover_format(set->what, what), set->state, set->since_ms, set->problem);
}

static void count_offered(void *arg, const struct offered *of)
{
	count(arg, of->source->name, "services", of->state, of->since_ms, of->problem);
}

static void note_not_applied(const struct api_context *x, json_t *problems)
{
	char since[32];

	if (x->found_problem[0])
		json_array_append_new(problems, json_sprintf("since %s what sources found cannot be applied: %s",
							     when(x->found_problem_ms, since), x->found_problem));
}

json_t *status_sources(const struct api *a, json_t *problems)
{
	struct standing_count n = { .problems = problems };
	json_t *o = json_object();

	discovery_each(a->x->discovery, count_set, &n);
	discovery_each_offered(a->x->discovery, count_offered, &n);
	note_not_applied(a->x, problems);
	for (size_t i = 0; i < a->x->n_refused; i++) {
		const struct refusal *r = &a->x->refused[i];
		char at[ENDPOINT_TEXT];

		if (i < 20 && r->service && r->sentence)
			json_array_append_new(problems, json_sprintf("service %s: found %s: %s", r->service,
								     addr_is_unspecified(&r->at.addr) ? "and not taken" :
								     endpoint_format(&r->at, at), r->sentence));
	}
	for (int i = 0; i < N_FOUND_STATES; i++)
		json_object_set_new(o, found_state_names[i], json_integer(n.by_state[i]));
	json_object_set_new(o, "refused", json_integer(a->x->n_refused));
	return o;
}

/* ---- metrics ---- */

struct family {
	struct expo *e;
	enum { SOURCE_UP, SOURCE_SINCE, SOURCE_HEARD, SOURCE_ENDPOINTS, SOURCE_ANSWERS, SOURCE_CHANGES, SOURCE_PROBLEMS } what;
};

static void write_set(void *arg, const struct found_set *set)
{
	const struct family *f = arg;
	const char *source = set->source->name, *kind = source_kind_names[set->source->kind];
	char q[DISCOVER_TEXT];

	discover_format(set->what, q);
	switch (f->what) {
	case SOURCE_UP:
		for (int i = 0; i < N_FOUND_STATES; i++)
			expo_count(f->e, (int)set->state == i, "source", source, "kind", kind, "question", q, "state",
				   found_state_names[i], NULL);
		break;
	case SOURCE_SINCE: expo_value(f->e, set->since_ms / 1e3, "source", source, "question", q, NULL); break;
	case SOURCE_HEARD: expo_value(f->e, set->heard_ms / 1e3, "source", source, "question", q, NULL); break;
	case SOURCE_ENDPOINTS: expo_count(f->e, set->n, "source", source, "question", q, NULL); break;
	case SOURCE_ANSWERS: expo_count(f->e, set->answers, "source", source, "question", q, NULL); break;
	case SOURCE_CHANGES: expo_count(f->e, set->changes, "source", source, "question", q, NULL); break;
	case SOURCE_PROBLEMS: expo_count(f->e, set->problems, "source", source, "question", q, NULL); break;
	}
}

/* Services that are offered: what they have in common with sets. */
static void write_offered(void *arg, const struct offered *of)
{
	const struct family *f = arg;
	const char *source = of->source->name;

	if (f->what == SOURCE_UP)
		for (int i = 0; i < N_FOUND_STATES; i++)
			expo_count(f->e, (int)of->state == i, "source", source, "kind", source_kind_names[of->source->kind],
				   "question", "services", "state", found_state_names[i], NULL);
	if (f->what == SOURCE_SINCE)
		expo_value(f->e, of->since_ms / 1e3, "source", source, "question", "services", NULL);
}

void sources_write(struct expo *e, const struct api *a)
{
	static const struct {
		enum expo_type type;
		const char *name, *help;
	} families[] = {
		[SOURCE_UP] = { EXPO_GAUGE, "shunt_source_state", "How a question to a source stands: 1 for its state, else 0." },
		[SOURCE_SINCE] = { EXPO_GAUGE, "shunt_source_state_since_seconds", "Since when, seconds since 1970." },
		[SOURCE_HEARD] = { EXPO_GAUGE, "shunt_source_heard_seconds",
				   "When the source was heard last, seconds since 1970; 0: never." },
		[SOURCE_ENDPOINTS] = { EXPO_GAUGE, "shunt_source_endpoints", "Endpoints that are in force." },
		[SOURCE_ANSWERS] = { EXPO_COUNTER, "shunt_source_answers", "Answers that were believed." },
		[SOURCE_CHANGES] = { EXPO_COUNTER, "shunt_source_changes", "Answers that changed what is in force." },
		[SOURCE_PROBLEMS] = { EXPO_COUNTER, "shunt_source_problems", "Failures, and answers that were not believed." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		expo_family(e, families[i].type, families[i].name, families[i].help);
		discovery_each(a->x->discovery, write_set, &(struct family){ e, i });
		discovery_each_offered(a->x->discovery, write_offered, &(struct family){ e, i });
	}
	expo_family(e, EXPO_GAUGE, "shunt_source_refused", "Endpoints and services that were found and break a rule.");
	expo_count(e, a->x->n_refused, NULL);
	expo_family(e, EXPO_COUNTER, "shunt_source_applies", "Changes of what sources found that were applied.");
	expo_count(e, a->x->found_applies, NULL);
	expo_family(e, EXPO_COUNTER, "shunt_source_apply_failures",
		    "Changes of what sources found that could not be applied: a limit, or the kernel.");
	expo_count(e, a->x->found_failures, NULL);
}
