/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt event: what happened when. */
#include <stdio.h>
#include <time.h>

#include "base/clean.h"
#include "cli/client.h"
#include "cli/list.h"
#include "cli/output.h"

static void print_events(const json_t *reply)
{
	const json_t *events = json_object_get(reply, "events"), *e;
	char when[CELL];
	size_t i;

	json_array_foreach(events, i, e) {
		time_t seconds = number_of(e, "ms") / 1000;
		struct tm local;

		localtime_r(&seconds, &local);
		strftime(when, sizeof(when), "%F %T", &local);
		printf("%s.%03d  %s: %s\n", when, (int)(number_of(e, "ms") % 1000), text_of(e, "subject"), text_of(e, "text"));
	}
	if (!number_of(reply, "total"))
		fprintf(stderr, "nothing has happened since the daemon started\n");
}

static int event_list(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = NULL;
	json_t *reply;
	int status = list_check(cli);

	(void)argc;
	(void)argv;
	if (status)
		return status;
	if (asprintf(&path, "/v1/events?limit=%s", cli->limit ?: "100") < 0)
		path = NULL;
	status = client_get(cli, path, &reply);
	return status ? status : show_reply(cli, reply, print_events);
}

static const struct verb verbs[] = {
	{ "list", 0, 0, "", "the last events, the newest at the end", event_list, OPTION_LIMIT },
	{ "show", 0, 0, "", "the same as list", event_list, OPTION_LIMIT },
};

const struct object event_object = OBJECT("event", "what happened when: sources, announcements", verbs);
