/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/announced.h"

#include "api/render.h"

struct listing {
	json_t *list, *problems;
};

/* Why others do not find it; NULL: they do, or will in a moment. */
static const char *problem_of(const struct register_info *i)
{
	if (i->problem[0])
		return i->problem;
	return i->state == STATE_UNHEALTHY ? "not announced, its check fails" : NULL;
}

static void list_one(void *arg, const struct register_info *i)
{
	const struct listing *l = arg;
	const char *problem = problem_of(i), *output = i->state == STATE_UNHEALTHY && !i->problem[0] ? i->output : "";
	char at[ENDPOINT_TEXT];

	endpoint_format(&i->what->at, at);
	json_array_append_new(l->list, json_pack("{s:s, s:o, s:o, s:o, s:s, s:I, s:b, s:s, s:o, s:o}", "address", at,
						 "service", json_text(i->what->name), "id", json_text(i->id), "source",
						 json_text(i->source->name), "kind", source_kind_names[i->source->kind],
						 "weight", (json_int_t)i->what->weight, "registered", i->registered,
						 "state", state_names[i->state], "output", json_text(i->output),
						 "problem", json_text(i->problem)));
	if (problem)
		json_array_append_new(l->problems, json_sprintf("register %s in %s %s: %s%s%s", at, i->source->name,
								i->what->name, problem, output[0] ? ": " : "", output));
}

json_t *status_announced(const struct api *a, json_t *problems)
{
	struct listing l = { json_array(), problems };

	if (a->x->registrar)
		register_each(a->x->registrar, list_one, &l);
	return l.list;
}

static void write_one(void *e, const struct register_info *i)
{
	char at[ENDPOINT_TEXT];

	expo_count(e, i->registered, "service", i->what->name, "address", endpoint_format(&i->what->at, at), "source",
		   i->source->name, NULL);
}

void write_announced(struct expo *e, const struct api *a)
{
	expo_family(e, EXPO_GAUGE, "shunt_registered",
		    "Whether others find this host's server where it is to be announced.");
	if (a->x->registrar)
		register_each(a->x->registrar, write_one, e);
}
