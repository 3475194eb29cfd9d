/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt drop: dropped packets by interface and reason. */
#include <stdio.h>

#include "cli/client.h"
#include "cli/output.h"

static void print_drops(const json_t *drops)
{
	struct libscols_table *t = table_new("INTERFACE", "REASON", ">PACKETS", "DESCRIPTION", NULL);
	const json_t *d;
	char n[CELL];
	size_t i;

	json_array_foreach(drops, i, d)
		table_row(t, text_of(d, "interface"), text_of(d, "reason"), count_text(number_of(d, "packets"), n),
			  text_of(d, "description"));
	if (!json_array_size(drops))
		fprintf(stderr, "no packet was dropped\n");
	table_print(t);
}

static int drop_list(const struct cli *cli, int argc, char **argv)
{
	json_t *reply;
	int status = client_get(cli, "/v1/drops", &reply);

	(void)argc;
	(void)argv;
	if (status)
		return status;
	if (cli->json)
		status = print_json(reply);
	else
		print_drops(json_object_get(reply, "drops"));
	json_decref(reply);
	return status;
}

static const struct verb verbs[] = {
	{ "list", 0, 0, "", "how many packets were dropped, where, and why", drop_list, false },
	{ "show", 0, 0, "", "the same as list", drop_list, false },
};

const struct object drop_object = OBJECT("drop", "dropped packets by interface and reason", verbs);
