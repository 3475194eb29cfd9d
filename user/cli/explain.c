/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt explain: what the loaded program decides about a packet, and why. */
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/clean.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/question.h"

/* "syn", "dev IFNAME", "length N", "cid HEX", in any order. */
static int take_words(const struct cli *cli, int argc, char **argv, json_t *body)
{
	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "syn")) {
			json_object_set_new(body, "syn", json_true());
		} else if (!strcmp(argv[i], "dev") && i + 1 < argc) {
			json_object_set_new(body, "interface", json_string(argv[++i]));
		} else if (!strcmp(argv[i], "length") && i + 1 < argc) {
			uint16_t length;

			if (port_parse(argv[++i], &length))
				return complain(cli, WRONG_USAGE, "length \"%s\" is no number from 1 to 65535", argv[i]);
			json_object_set_new(body, "length", json_integer(length));
		} else if (!strcmp(argv[i], "cid") && i + 1 < argc) {
			json_object_set_new(body, "connection_id", json_string(argv[++i]));
		} else {
			return complain(cli, WRONG_USAGE, "\"%s\": after the addresses come syn, dev IFNAME, length N, cid HEX",
					argv[i]);
		}
	}
	return DONE;
}

static void print_steps(const json_t *reply)
{
	const json_t *steps = json_object_get(reply, "steps"), *step;
	size_t i;

	json_array_foreach(steps, i, step)
		printf("%2zu. %s\n", i + 1, json_string_value(step) ?: "");
}

static int ask(const struct cli *cli, json_t *body)
{
	json_t *reply;
	int status = client_post_json(cli, "/v1/explain", body, &reply);

	return status ? status : show_reply(cli, reply, print_steps);
}

static int explain(const struct cli *cli, int argc, char **argv)
{
	_cleanup_(question_clear) struct question q = {};
	int status = question_read(cli, argv[0], argv[1], &q);
	json_t *body;

	if (status)
		return status;
	body = json_pack("{s:s, s:s, s:s}", "source", q.source, "destination", q.destination, "protocol", q.protocol);
	status = take_words(cli, argc - 2, argv + 2, body);
	if (!status)
		return ask(cli, body);
	json_decref(body);
	return status;
}

static const struct verb verbs[] = {
	{ "", 2, 9, "SRC:PORT DST:PORT/tcp|udp [syn] [dev IFNAME] [length N] [cid HEX]",
	  "run the loaded program on that packet and say, step by step, what it decides and why", explain, false },
};

const struct object explain_object = OBJECT("explain", "what becomes of a packet, and why", verbs);
