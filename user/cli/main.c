/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options, then an object and a verb from the tables, then the verb runs. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/word.h"

static const struct object *const objects[] = { &status_object,  &service_object, &backend_object, &apply_object,
						&explain_object, &drop_object,    &flow_object,    &connection_object,
						&source_object,  &event_object };

static const char *object_name(const void *table, size_t i)
{
	return ((const struct object *const *)table)[i]->name;
}

static const char *verb_name(const void *table, size_t i)
{
	return ((const struct verb *)table)[i].name;
}

/* Options that only some verbs know. */
static const struct {
	unsigned option;
	const char *name, *usage;
} verb_options[] = {
	{ OPTION_DRY_RUN, "dry-run", "--dry-run" },   { OPTION_BACKEND, "backend", "--backend ADDRESS:PORT" },
	{ OPTION_STATE, "state", "--state STATE" },   { OPTION_LIMIT, "limit", "--limit N" },
	{ OPTION_CONNECT, "connect", NULL }, /* an argument, rather: help shows it as such */
	{ OPTION_CGROUP, "cgroup", "--cgroup PATH" },
};

#define VERB_OPTIONS (OPTION_DRY_RUN | OPTION_BACKEND | OPTION_STATE | OPTION_LIMIT | OPTION_CONNECT | OPTION_CGROUP)

/* ---- help ---- */

static void print_verb(const struct object *o, const struct verb *v)
{
	printf("  shunt %s%s%s%s%s", o->name, *v->name ? " " : "", v->name, *v->arguments ? " " : "", v->arguments);
	for (size_t i = 0; i < ARRAY_SIZE(verb_options); i++)
		if (v->options & verb_options[i].option && verb_options[i].usage)
			printf(" [%s]", verb_options[i].usage);
	printf("\n      %s\n", v->help);
}

static int help_object(const struct object *o)
{
	printf("shunt %s: %s\n\n", o->name, o->help);
	for (size_t i = 0; i < o->n_verbs; i++)
		print_verb(o, &o->verbs[i]);
	return DONE;
}

static int help_verb(const struct object *o, const struct verb *v)
{
	print_verb(o, v);
	return DONE;
}

static int help_all(void)
{
	printf("usage: shunt [-j] [-s SOCKET] OBJECT VERB [ARGUMENTS]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		printf("  %-10s %s\n", objects[i]->name, objects[i]->help);
	printf("\n"
	       "  -j, --json           print one JSON document\n"
	       "  -s, --socket SOCKET  the daemon's control socket (%s)\n"
	       "  -h, --help           help, also for an object or a verb; so does the word help\n"
	       "      --version        print the version\n\n"
	       "Words may be cut short as long as only one is meant. list and show are the same, but of flow.\n"
	       "Exit status: 0 done, 1 failed, 2 wrong usage, 3 daemon not reachable.\n",
	       SHUNT_SOCKET);
	return DONE;
}

/* ---- finding what is meant ---- */

static int no_such_word(const struct cli *cli, int found, const char *what, const char *text, const void *table,
			size_t n, const char *(*name)(const void *, size_t))
{
	char words[CELL];

	if (found == WORD_AMBIGUOUS)
		return complain(cli, WRONG_USAGE, "%s \"%s\" may mean %s", what, text,
				word_list(text, table, n, name, words, sizeof(words)));
	return complain(cli, WRONG_USAGE, "there is no %s \"%s\"; there are %s", what, text,
			word_list("", table, n, name, words, sizeof(words)));
}

static bool is_help(int argc, char **argv)
{
	return argc == 1 && !strcmp(argv[0], "help");
}

static int run_verb(const struct cli *cli, const struct object *o, const struct verb *v, int argc, char **argv)
{
	const char *space = *v->name ? " " : "";

	if (is_help(argc, argv))
		return help_verb(o, v);
	if (argc < v->min || argc > v->max)
		return complain(cli, WRONG_USAGE, "too %s arguments; usage: shunt %s%s%s %s", argc < v->min ? "few" : "many",
				o->name, space, v->name, v->arguments);
	for (size_t i = 0; i < ARRAY_SIZE(verb_options); i++)
		if (cli->options & ~v->options & verb_options[i].option)
			return complain(cli, WRONG_USAGE, "--%s is no option of %s%s%s; see shunt %s help",
					verb_options[i].name, o->name, space, v->name, o->name);
	return v->run(cli, argc, argv);
}

/* The one that knows the options that are given; else the first. */
static const struct verb *nameless_verb(const struct cli *cli, const struct object *o)
{
	for (size_t i = 0; i < o->n_verbs; i++)
		if (!(cli->options & ~o->verbs[i].options))
			return &o->verbs[i];
	return &o->verbs[0];
}

static int run_object(const struct cli *cli, const struct object *o, bool help, int argc, char **argv)
{
	const struct verb *v;
	int found;

	if (!*o->verbs[0].name)
		return help || is_help(argc, argv) ? help_object(o)
						   : run_verb(cli, o, nameless_verb(cli, o), argc, argv);
	if (!argc)
		return help ? help_object(o) : run_verb(cli, o, &o->verbs[0], 0, argv);
	if (!strcmp(argv[0], "help"))
		return help_object(o);
	found = word_find(argv[0], o->verbs, o->n_verbs, verb_name);
	if (found < 0)
		return no_such_word(cli, found, "verb", argv[0], o->verbs, o->n_verbs, verb_name);
	v = &o->verbs[found];
	return help ? help_verb(o, v) : run_verb(cli, o, v, argc - 1, argv + 1);
}

static int run(const struct cli *cli, bool help, int argc, char **argv)
{
	int found;

	if (!argc && !help)
		return complain(cli, WRONG_USAGE,
				"usage: shunt [-j] [-s SOCKET] OBJECT VERB [ARGUMENTS]; shunt help says more");
	if (argc > 1 && !strcmp(argv[0], "help"))
		return run(cli, true, argc - 1, argv + 1);
	if (!argc || !strcmp(argv[0], "help"))
		return help_all();
	found = word_find(argv[0], objects, ARRAY_SIZE(objects), object_name);
	if (found < 0)
		return no_such_word(cli, found, "object", argv[0], objects, ARRAY_SIZE(objects), object_name);
	return run_object(cli, objects[found], help, argc - 1, argv + 1);
}

/*
 * An argument that begins with "- " is a list in YAML and no option: "--" before the first one says so. To be freed;
 * NULL: out of memory.
 */
static char **with_end_of_options(int *argc, char **argv)
{
	char **out = calloc(*argc + 2, sizeof(*out));
	bool ended = false;
	int n = 0;

	for (int i = 0; i < *argc && out; i++) {
		if (!ended && !strncmp(argv[i], "- ", 2))
			out[n++] = (char *)"--";
		ended |= n > i || !strcmp(argv[i], "--");
		out[n++] = argv[i];
	}
	*argc = n;
	return out;
}

int main(int argc, char **given)
{
	_cleanup_free_ char **argv = with_end_of_options(&argc, given);
	enum { VERSION = 256 };
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "socket", required_argument, NULL, 's' },
						 { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, VERSION },
						 { "dry-run", no_argument, NULL, OPTION_DRY_RUN },
						 { "backend", required_argument, NULL, OPTION_BACKEND },
						 { "state", required_argument, NULL, OPTION_STATE },
						 { "limit", required_argument, NULL, OPTION_LIMIT },
						 { "connect", required_argument, NULL, OPTION_CONNECT },
						 { "cgroup", required_argument, NULL, OPTION_CGROUP },
						 {} };
	struct cli cli = { .socket = SHUNT_SOCKET };
	bool help = false;
	int option;

	if (!argv)
		return complain(&cli, FAILED, "out of memory");
	opterr = 0; /* we say it, as JSON where asked */
	while ((option = getopt_long(argc, argv, "js:h", options, NULL)) != -1) {
		switch (option) {
		case 'j': cli.json = true; break;
		case 's': cli.socket = optarg; break;
		case 'h': help = true; break;
		case OPTION_DRY_RUN: cli.dry_run = true; break;
		case OPTION_BACKEND: cli.backend = optarg; break;
		case OPTION_STATE: cli.state = optarg; break;
		case OPTION_LIMIT: cli.limit = optarg; break;
		case OPTION_CONNECT:
			cli.connect = optarg;
			break;
		case OPTION_CGROUP:
			cli.cgroup = optarg;
			break;
		case VERSION: return printf("shunt %s\n", SHUNT_VERSION) < 0;
		default:
			return complain(&cli, WRONG_USAGE, "option %s is unknown, or lacks its argument; see shunt help",
					argv[optind - 1]);
		}
		cli.options |= option & VERB_OPTIONS;
	}
	return run(&cli, help, argc - optind, argv + optind);
}
