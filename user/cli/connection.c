/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt connection: connections of local processes that were given a backend. */
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "cli/client.h"
#include "cli/list.h"
#include "cli/output.h"

/* The last column is for those that are about to be ended; seldom are there any. */
static const char *end_text(const json_t *c)
{
	return flag_of(c, "ends") ? "ends" : "";
}

static bool any_ends(const json_t *connections)
{
	const json_t *c;
	size_t i;

	json_array_foreach(connections, i, c) if (flag_of(c, "ends")) return true;
	return false;
}

static void print_connections(const json_t *reply)
{
	struct libscols_table *t =
		table_new("SERVICE", "PROTOCOL", "LOCAL", "ASKED", "BACKEND", "STATE", ">NETNS", "ENDS", NULL);
	const json_t *connections = json_object_get(reply, "connections"), *c;
	json_int_t total = number_of(reply, "total");
	char netns[CELL];
	size_t i;

	table_hide(t, 7, !any_ends(connections));
	json_array_foreach(connections, i, c)
		table_row(t, *text_of(c, "service") ? text_of(c, "service") : "-", text_of(c, "protocol"),
			  text_of(c, "local"), text_of(c, "asked"), text_of(c, "backend"), text_of(c, "state"),
			  count_text(number_of(c, "netns"), netns), end_text(c));
	if (!total)
		fprintf(stderr, "no local process has such a connection\n");
	table_print(t);
	list_more(total - (json_int_t)i);
}

static int connection_list(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = NULL;
	json_t *reply;
	int status = list_check(cli);

	if (status)
		return status;
	path = list_path(cli, "connections", argc ? argv[0] : NULL, NULL);
	status = client_get(cli, path, &reply);
	return status ? status : show_reply(cli, reply, print_connections);
}

static const struct verb verbs[] = {
	{ "list", 0, 1, "[SERVICE]",
	  "connections of local processes to backends that they were given, in every network namespace",
	  connection_list, OPTION_BACKEND | OPTION_LIMIT },
	{ "show", 0, 1, "[SERVICE]", "the same as list", connection_list, OPTION_BACKEND | OPTION_LIMIT },
};

const struct object connection_object = OBJECT("connection", "connections of local processes to backends", verbs);
