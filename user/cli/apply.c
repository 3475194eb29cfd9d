/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt apply: make the running state equal to a file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "cli/client.h"
#include "cli/output.h"

#define FILE_MAX (16 << 20) /* what the daemon takes */

static int read_file(const struct cli *cli, FILE *f, const char *name, char *text, size_t *len)
{
	*len = fread(text, 1, FILE_MAX + 1, f);
	if (ferror(f))
		return complain(cli, FAILED, "%s: %s", name, strerror(errno));
	if (*len > FILE_MAX)
		return complain(cli, FAILED, "%s: a configuration has at most %d MiB", name, FILE_MAX >> 20);
	return DONE;
}

/* "/v1/apply?name=FILE"; to be freed. */
static char *apply_path(const struct cli *cli, const char *name)
{
	_cleanup_free_ char *encoded = client_path(name, NULL); /* "/v1/FILE" */
	char *path;

	if (!encoded || asprintf(&path, "/v1/apply?%sname=%s", cli->dry_run ? "dry_run=1&" : "",
				 encoded + strlen("/v1/")) < 0)
		return NULL;
	return path;
}

static void print_moves(const json_t *moves)
{
	struct libscols_table *t = table_new("SERVICE", ">SLOTS MOVED", ">OF", ">SHARE OF FLOWS", NULL);
	char moved[CELL], of[CELL], share[CELL];
	const json_t *m;
	size_t i;

	json_array_foreach(moves, i, m) {
		if (!number_of(m, "moved"))
			continue;
		table_row(t, text_of(m, "service"), count_text(number_of(m, "moved"), moved),
			  count_text(number_of(m, "of"), of), percent_text(real_of(m, "share"), share));
	}
	if (scols_table_get_nlines(t))
		printf("\n");
	table_print(t);
}

static void print_changes(const json_t *reply)
{
	const json_t *changes = json_object_get(reply, "changes"), *change;
	size_t i;

	json_array_foreach(changes, i, change)
		printf("%s\n", json_string_value(change) ?: "");
	if (!json_array_size(changes))
		printf("nothing to change\n");
	print_moves(json_object_get(reply, "moves"));
	if (*text_of(reply, "warning"))
		fprintf(stderr, "shunt: applied, but %s\n", text_of(reply, "warning"));
	if (flag_of(reply, "dry_run"))
		fprintf(stderr, "dry run: nothing was changed\n");
}

static int send_file(const struct cli *cli, FILE *f, const char *name)
{
	_cleanup_free_ char *text = malloc(FILE_MAX + 1), *path = apply_path(cli, name);
	json_t *reply;
	size_t len;
	int status;

	if (!text)
		return complain(cli, FAILED, "out of memory");
	status = read_file(cli, f, name, text, &len);
	if (!status)
		status = client_post(cli, path, text, len, &reply);
	return status ? status : show_reply(cli, reply, print_changes);
}

static int apply(const struct cli *cli, int argc, char **argv)
{
	_cleanup_fclose_ FILE *f = NULL;

	(void)argc;
	if (!strcmp(argv[0], "-"))
		return send_file(cli, stdin, "standard input");
	f = fopen(argv[0], "re");
	if (!f)
		return complain(cli, FAILED, "%s: %s", argv[0], strerror(errno));
	return send_file(cli, f, argv[0]);
}

static const struct verb verbs[] = {
	{ "", 1, 1, "FILE",
	  "make the running state equal to FILE (-: standard input); --dry-run only says what would change and move",
	  apply, OPTION_DRY_RUN },
};

const struct object apply_object = OBJECT("apply", "make the running state equal to a file", verbs);
