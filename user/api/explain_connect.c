/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Has the loaded socket programs decide about a connect() that somebody describes, and finds names for what it met. */
#include <errno.h>
#include <string.h>

#include "api/call.h"
#include "api/names.h"
#include "api/parse.h"
#include "api/render.h"
#include "api/socket_steps.h"
#include "base/clean.h"
#include "base/log.h"

struct found {
	struct socket_steps steps;
	struct reconcile_service service; /* cleared by found_clear; conf NULL: none */
};

static void found_clear(struct found *f)
{
	if (f->service.conf)
		reconcile_service_clear(&f->service);
}

/* ---- what it met ---- */

static bool lies_in(const char *cgroup, const char *folder)
{
	size_t len = strlen(folder);

	return !strncmp(cgroup, folder, len) && (!cgroup[len] || cgroup[len] == '/');
}

static bool is_excepted(const struct config *c, const char *cgroup)
{
	for (size_t i = 0; i < c->except.n; i++)
		if (lies_in(cgroup, c->except.list[i]))
			return true;
	return false;
}

/* One that the programs leave alone, because connections to it are not balanced here. */
static void find_unbalanced(const struct config *c, struct socket_steps *s)
{
	names_near(c, &s->to.addr, s->near);
	s->service = names_service(c, &s->to, s->proto, s->listen);
}

static void find_others(const struct reconcile_backend *chosen, struct found *f)
{
	struct socket_steps *s = &f->steps;

	for (size_t i = 0; i < f->service.n_backends; i++) {
		const struct reconcile_backend *b = &f->service.backends[i];

		if (b == chosen || !b->slots)
			continue;
		if (!s->n_others || b->connections < s->others_least)
			s->others_least = b->connections;
		if (b->connections > s->others_most)
			s->others_most = b->connections;
		s->n_others++;
	}
}

static void find_choice(const struct api *a, const struct shunt_trace *t, struct found *f)
{
	const struct reconcile_backend *chosen;
	struct socket_steps *s = &f->steps;

	s->turns = dp_services(a->x->dp)[t->service].turns;
	s->n_slots = f->service.n_slots;
	s->slot = t->slot == SHUNT_UNSET ? SHUNT_UNSET
					 : t->slot & (s->n_slots - 1); /* its table may stand there more than once */
	if (t->backend == SHUNT_UNSET)
		return;
	chosen = names_backend(a, &f->service, t->backend, &s->chosen);
	if (!chosen)
		return;
	s->connections = chosen->connections;
	s->weight = chosen->weight;
	find_others(chosen, f);
}

static const char *error_word(const struct dp_socket_answer *answer, const struct service *conf)
{
	if (!answer->names_error)
		return "EPERM (this kernel does not let a program say why)";
	return conf->refuses ? "ECONNREFUSED" : "EHOSTUNREACH";
}

static void find_all(const struct api *a, const struct dp_socket_answer *answer, struct found *f)
{
	const struct shunt_trace *t = &answer->trace;
	struct socket_steps *s = &f->steps;
	const char *name = t->service == SHUNT_UNSET ? NULL : reconcile_service_name(a->x->reconcile, t->service);

	s->verdict = t->verdict;
	s->flags = t->flags;
	s->slot = SHUNT_UNSET;
	s->given = t->verdict == SHUNT_VERDICT_SOCKET_GIVEN ? answer->given : s->to;
	s->excepted = is_excepted(api_running(a), s->cgroup);
	if (!name || reconcile_service(a->x->reconcile, name, &f->service)) {
		f->service = (struct reconcile_service){};
		find_unbalanced(api_running(a), s);
		return;
	}
	s->service = f->service.conf->name;
	s->by_client = f->service.conf->affinity == AFFINITY_CLIENT;
	s->finds_none = f->service.conf->n_discovers && !f->service.n_backends;
	s->algorithm = f->service.conf->algorithm;
	names_listen(f->service.conf, &s->to, s->proto, s->listen);
	if (t->verdict == SHUNT_VERDICT_SOCKET_GIVEN)
		find_choice(a, t, f);
	else if (t->verdict == SHUNT_VERDICT_SOCKET_REFUSED)
		s->error = error_word(answer, f->service.conf);
}

/* ---- the answer ---- */

static json_t *word_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static void render_choice(const struct socket_steps *s, json_t *o)
{
	char text[ENDPOINT_TEXT];

	json_object_set_new(o, "algorithm", json_string(algorithm_names[s->algorithm]));
	if (s->slot != SHUNT_UNSET) {
		json_object_set_new(o, "slot", json_integer(s->slot));
		json_object_set_new(o, "slots", json_integer(s->n_slots));
	}
	if (s->chosen.known) {
		json_object_set_new(o, "backend", json_string(endpoint_format(&s->chosen.at, text)));
		json_object_set_new(o, "state", json_string(s->chosen.state));
		json_object_set_new(o, "connections", json_integer(s->connections));
	}
	json_object_set_new(o, "failed_over", json_boolean(s->flags & SHUNT_TRACE_FAILED_OVER));
}

static json_t *render_answer(const struct socket_steps *s)
{
	bool refused = s->verdict == SHUNT_VERDICT_SOCKET_REFUSED;
	char given[ENDPOINT_TEXT];
	json_t *o = json_pack("{s:s, s:o, s:o, s:o, s:o}", "verdict",
			      s->verdict < SHUNT_N_VERDICTS ? verdict_words[s->verdict] : "unknown", "cgroup",
			      json_text(s->cgroup), "service", word_or_null(s->service), "given",
			      word_or_null(refused ? NULL : endpoint_format(&s->given, given)), "error",
			      word_or_null(s->error));

	if (s->verdict == SHUNT_VERDICT_SOCKET_GIVEN)
		render_choice(s, o);
	json_object_set_new(o, "steps", socket_steps_render(s));
	return o;
}

/* ---- the question ---- */

struct complaint {
	char text[1024];
};

/* The last error that was logged on the way, for who asked. */
static void note_error(void *arg, enum log_level level, const char *line)
{
	struct complaint *c = arg;

	if (level == LOG_LEVEL_ERROR)
		snprintf(c->text, sizeof(c->text), "%s", line);
}

static int ask(struct call *c, const struct socket_steps *s, struct dp_socket_answer *answer)
{
	struct complaint said = {};
	int err;

	log_tap(note_error, &said);
	err = dp_ask(c->api->x->dp, &s->to, s->proto, s->cgroup, answer);
	log_tap(NULL, NULL);
	if (!err)
		return 0;
	if (err == -ENODEV)
		return call_error(c, 400,
				  "connections of local processes are not balanced on this host: turn that on with "
				  "`cgroup: /sys/fs/cgroup` in %s and restart shuntd",
				  c->api->x->config_path ?: "the configuration");
	return call_error(c, err == -EIO || err == -ETIMEDOUT ? 500 : 400, "%s",
			  said.text[0] ? said.text : strerror(-err));
}

static int parse_cgroup(const json_t *body, const char **cgroup, char error[PARSE_ERROR])
{
	const json_t *given = json_object_get(body, "cgroup");

	*cgroup = given ? json_string_value(given) : "/";
	if (*cgroup)
		return 0;
	snprintf(error, PARSE_ERROR, "\"cgroup\" is no text such as \"/system.slice/web.service\"");
	return -EINVAL;
}

/* found.steps has texts of the body. */
static int explain(struct call *c, const json_t *body)
{
	_cleanup_(found_clear) struct found found = {};
	struct dp_socket_answer answer = {};
	char error[PARSE_ERROR];
	int status;

	if (parse_endpoint(body, "destination", &found.steps.to, error) ||
	    parse_protocol(body, &found.steps.proto, error) || parse_cgroup(body, &found.steps.cgroup, error))
		return call_error(c, 400, "%s", error);
	status = ask(c, &found.steps, &answer);
	if (status)
		return status;
	find_all(c->api, &answer, &found);
	return call_ok(c, render_answer(&found.steps));
}

int post_explain_connect(struct call *c)
{
	static const char *const keys[] = { "destination", "protocol", "cgroup", NULL };
	json_t *body = call_object(c, keys);
	int status;

	if (!body)
		return 400;
	status = explain(c, body);
	json_decref(body);
	return status;
}
