/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt explain: what the loaded programs decide about a packet, or about a local process's connect, and why. */
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

static int ask(const struct cli *cli, const char *path, json_t *body)
{
	json_t *reply;
	int status = client_post_json(cli, path, body, &reply);

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
		return ask(cli, "/v1/explain", body);
	json_decref(body);
	return status;
}

static int explain_connect(const struct cli *cli, int argc, char **argv)
{
	_cleanup_(question_clear) struct question q = {};
	json_t *body;
	int status;

	(void)argc;
	(void)argv;
	if (!cli->connect)
		return complain(cli, WRONG_USAGE, "--cgroup goes with --connect; see shunt explain help");
	status = question_read_destination(cli, cli->connect, &q);
	if (status)
		return status;
	body = json_pack("{s:s, s:s}", "destination", q.destination, "protocol", q.protocol);
	if (!cli->cgroup || !json_object_set_new(body, "cgroup", json_string(cli->cgroup)))
		return ask(cli, "/v1/explain/connect", body);
	json_decref(body);
	return complain(cli, WRONG_USAGE, "cgroup \"%s\" is no UTF-8 text", cli->cgroup);
}

static const struct verb verbs[] = {
	{ "", 2, 9, "SRC:PORT DST:PORT/tcp|udp [syn] [dev IFNAME] [length N] [cid HEX]",
	  "run the loaded program on that packet and say, step by step, what it decides and why", explain, 0 },
	{ "", 0, 0, "--connect DST:PORT/tcp|udp",
	  "have the loaded programs decide about the connect of a process in a cgroup (PATH is as in /proc/PID/cgroup, "
	  "such as "
	  "/system.slice/web.service) and say which backend it gets, and why",
	  explain_connect, OPTION_CONNECT | OPTION_CGROUP },
};

const struct object explain_object = OBJECT("explain", "what becomes of a packet or of a connect, and why", verbs);
