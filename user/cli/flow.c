/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt flow: the flows that are noted while slots are in transition. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/duration.h"
#include "cli/client.h"
#include "cli/list.h"
#include "cli/output.h"
#include "cli/question.h"
#include "cli/word.h"

/* ---- list ---- */

static const char *const states[] = { "new", "open", "closing", "udp" };

static const char *state_name(const void *table, size_t i)
{
	return ((const char *const *)table)[i];
}

static const char *age_text(const json_t *flow, char text[DURATION_TEXT])
{
	return duration_format(number_of(flow, "age_seconds") * 1000, text);
}

static void print_flows(const json_t *reply)
{
	struct libscols_table *t = table_new("SERVICE", ">SLOT", "BACKEND", "STATE", ">AGE", "SLOT'S OWNER", NULL);
	const json_t *flows = json_object_get(reply, "flows"), *f;
	json_int_t total = number_of(reply, "total");
	char slot[CELL], age[DURATION_TEXT];
	size_t i;

	json_array_foreach(flows, i, f)
		table_row(t, text_of(f, "service"), count_text(number_of(f, "slot"), slot), text_of(f, "backend"),
			  text_of(f, "state"), age_text(f, age), flag_of(f, "elsewhere") ? "another" : "the same");
	if (!number_of(reply, "max_flows"))
		fprintf(stderr, "no flow is noted: no slot is in transition\n");
	else if (!total)
		fprintf(stderr, "no such flow is noted\n");
	table_print(t);
	list_more(total - (json_int_t)i);
}

/* *state: the word that is meant, or NULL. */
static int check_state(const struct cli *cli, const char **state)
{
	int found = cli->state ? word_find(cli->state, states, ARRAY_SIZE(states), state_name) : 0;

	*state = cli->state && found >= 0 ? states[found] : NULL;
	if (found >= 0)
		return DONE;
	return complain(cli, WRONG_USAGE, "there is no state \"%s\"; there are new, open, closing, udp", cli->state);
}

static int flow_list(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = NULL;
	const char *state = NULL;
	json_t *reply;
	int status = list_check(cli) ?: check_state(cli, &state);

	if (status)
		return status;
	path = list_path(cli, "flows", argc ? argv[0] : NULL, state);
	status = client_get(cli, path, &reply);
	return status ? status : show_reply(cli, reply, print_flows);
}

/* ---- show ---- */

static const char *endpoint_text(const json_t *o, const char *key)
{
	const char *text = text_of(o, key);

	return *text ? text : "nobody";
}

static const char *phase_text(const char *phase)
{
	if (!strcmp(phase, "observing"))
		return "observing: its owner has changed, and older flows stay where they are";
	if (!strcmp(phase, "lingering"))
		return "lingering: only flows that are noted stay elsewhere than with its owner";
	return "steady: all its flows are with its owner";
}

static void print_place(const json_t *p)
{
	const json_t *flow = json_object_get(p, "flow");
	char age[DURATION_TEXT];

	printf("service      %s\n", text_of(p, "service"));
	printf("slot         %d of %d\n", (int)number_of(p, "slot"), (int)number_of(p, "slots"));
	printf("phase        %s\n", phase_text(text_of(p, "phase")));
	printf("owner        %s\n", endpoint_text(p, "owner"));
	if (strcmp(endpoint_text(p, "owner"), endpoint_text(p, "anchor")))
		printf("before       %s has the flows that are not noted\n", endpoint_text(p, "anchor"));
	if (json_is_object(flow))
		printf("noted        with %s, %s, seen %s ago\n", text_of(flow, "backend"), text_of(flow, "state"),
		       age_text(flow, age));
	else
		printf("noted        no\n");
}

static int flow_show(const struct cli *cli, int argc, char **argv)
{
	_cleanup_(question_clear) struct question q = {};
	_cleanup_free_ char *path = NULL;
	json_t *reply;
	int status = question_read(cli, argv[0], argv[1], &q);

	(void)argc;
	if (status)
		return status;
	path = client_path("flows", q.source, q.destination, q.protocol, NULL);
	status = client_get(cli, path, &reply);
	return status ? status : show_reply(cli, reply, print_place);
}

static const struct verb verbs[] = {
	{ "list", 0, 1, "[SERVICE]",
	  "flows that are noted, their backends, how they were seen last and when; states: new, open, closing, udp",
	  flow_list, OPTION_BACKEND | OPTION_STATE | OPTION_LIMIT },
	{ "show", 2, 2, "SRC:PORT DST:PORT/tcp|udp", "the slot of one flow, its owner, and where the flow is noted",
	  flow_show, 0 },
};

const struct object flow_object = OBJECT("flow", "flows that are noted while slots are in transition", verbs);
