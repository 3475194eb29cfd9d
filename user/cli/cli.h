/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `shunt`: an object, a verb, arguments. Each object is a file that ends in its table of verbs. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#define SHUNT_SOCKET "/run/shunt/shunt.sock"

/* Exit statuses; scripts depend on them. */
enum { DONE = 0, FAILED = 1, WRONG_USAGE = 2, UNREACHABLE = 3 };

/* Options that only some verbs know: bits beyond the letters of the others. */
enum {
	OPTION_DRY_RUN = 1 << 9,
	OPTION_BACKEND = 1 << 10,
	OPTION_STATE = 1 << 11,
	OPTION_LIMIT = 1 << 12,
	OPTION_CONNECT = 1 << 13,
	OPTION_CGROUP = 1 << 14
};

struct cli {
	const char *socket;
	bool json; /* one JSON document on standard output, errors too */
	unsigned options; /* OPTION_* that are given */
	bool dry_run;
	const char *backend, *state, *limit, *connect, *cgroup; /* as they were given; NULL: not */
};

struct verb {
	/* "": the object has no verbs, its arguments follow at once; of several the options say which is meant */
	const char *name;
	int min, max; /* number of arguments */
	const char *arguments; /* "NAME LISTEN...", for help */
	const char *help; /* what it does, for help */
	int (*run)(const struct cli *cli, int argc, char **argv); /* returns an exit status */
	unsigned options; /* OPTION_* that it knows; false: none */
};

struct object {
	const char *name, *help;
	const struct verb *verbs; /* the first is meant when none is given and min is 0 */
	size_t n_verbs;
};
#define OBJECT(object_name, text, table) \
	{ .name = (object_name), .help = (text), .verbs = (table), .n_verbs = sizeof(table) / sizeof((table)[0]) }

extern const struct object status_object, service_object, backend_object, apply_object, explain_object, drop_object,
	flow_object, connection_object, source_object, event_object;

#endif
