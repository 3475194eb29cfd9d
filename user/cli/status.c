/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt status: all of it on one screen. */
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "cli/client.h"
#include "cli/output.h"

#define LINES_MAX 10 /* of one list; -j has them all */
#define NEARLY_FULL 0.8

static void print_lines(const char *title, const json_t *list)
{
	const json_t *line;
	size_t i;

	if (!json_array_size(list))
		return;
	printf("\n%s\n", title);
	json_array_foreach(list, i, line) {
		if (i == LINES_MAX) {
			printf("  and %zu more (shunt -j status has them all)\n", json_array_size(list) - i);
			return;
		}
		printf("  %s\n", json_string_value(line) ?: "");
	}
}

static const char *uptime_text(double seconds, char text[CELL])
{
	long s = seconds;

	if (s >= 86400)
		snprintf(text, CELL, "%ld d %ld h", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		snprintf(text, CELL, "%ld h %ld min", s / 3600, s / 60 % 60);
	else if (s >= 60)
		snprintf(text, CELL, "%ld min %ld s", s / 60, s % 60);
	else
		snprintf(text, CELL, "%ld s", s);
	return text;
}

static void print_daemon(const json_t *o)
{
	const json_t *config = json_object_get(o, "config");
	char text[CELL];

	printf("shuntd %s, pid %d, up %s%s\n", text_of(o, "version"), (int)number_of(o, "pid"),
	       uptime_text(real_of(o, "uptime_seconds"), text),
	       flag_of(o, "adopted") ? ", took up what an earlier daemon left" : "");
	printf("configuration %s%s, %s\n", *text_of(config, "applied") ? "applied from " : "",
	       text_of(config, *text_of(config, "applied") ? "applied" : "file"),
	       flag_of(config, "differs") ? "what runs differs from it (below)" : "as it runs");
	if (*text_of(config, "applied"))
		printf("until the next reload or restart, which read %s\n", text_of(config, "file"));
	if (*text_of(config, "last_reload_error"))
		printf("the last reload failed and changed nothing: %s\n", text_of(config, "last_reload_error"));
}

static void print_interfaces(const json_t *interfaces)
{
	struct libscols_table *t = table_new("INTERFACE", "ROLE", "MODE", NULL);
	const json_t *interface;
	char roles[CELL];
	size_t i;

	json_array_foreach(interfaces, i, interface)
		table_row(t, text_of(interface, "name"), joined_text(json_object_get(interface, "roles"), ", ", roles),
			  text_of(interface, "mode"));
	printf("\n");
	if (!json_array_size(interfaces))
		printf("no interfaces: no packets are balanced\n");
	table_print(t);
}

static void print_sockets(const json_t *o)
{
	if (flag_of(o, "attached"))
		printf("\nconnections of local processes: balanced at %s, %" JSON_INTEGER_FORMAT
		       " open, %" JSON_INTEGER_FORMAT " ended\n",
		       text_of(o, "cgroup"), number_of(o, "connections"), number_of(o, "ended"));
}

/* Only where something is discovered. */
static void print_sources(const json_t *o)
{
	json_t *n;
	const char *state, *before = "\nsources: ";

	json_object_foreach((json_t *)o, state, n) {
		if (!json_integer_value(n))
			continue;
		printf("%s%d %s", before, (int)json_integer_value(n), state);
		before = ", ";
	}
	if (*before == ',')
		printf(" (shunt source list)\n");
}

/* Only where something is announced. */
static void print_announced(const json_t *list)
{
	const json_t *one;
	size_t i, n = 0;

	json_array_foreach(list, i, one)
		n += flag_of(one, "registered");
	if (json_array_size(list))
		printf("\nannounced to others: %zu of %zu servers of this host\n", n, json_array_size(list));
}

static void print_backends_by_state(const json_t *o)
{
	json_t *backends = json_object_get(o, "backends"), *n;
	const char *state, *before = ": ";
	json_int_t all = 0;

	json_object_foreach(backends, state, n)
		all += json_integer_value(n);
	printf("\n%d services, %d backends", (int)number_of(o, "services"), (int)all);
	json_object_foreach(backends, state, n) {
		if (!json_integer_value(n))
			continue;
		printf("%s%d %s", before, (int)json_integer_value(n), state);
		before = ", ";
	}
	printf("\n");
}

/* Is a program of this role attached anywhere? */
static bool has_role(const json_t *status, const char *role, size_t len)
{
	const json_t *interfaces = json_object_get(status, "interfaces");
	const json_t *interface, *r;
	size_t i, j;

	if (flag_of(json_object_get(status, "sockets"), "attached") && !strncmp("socket", role, len))
		return true;
	json_array_foreach(interfaces, i, interface)
		json_array_foreach(json_object_get(interface, "roles"), j, r)
			if (!strncmp(json_string_value(r) ?: "", role, len))
				return true;
	return false;
}

/* What deserves a word beside its number. */
static void explain_packets(const json_t *o)
{
	json_int_t drops = number_of(o, "drops"), sent_on = number_of(json_object_get(o, "packets"), "backend_sent_on");

	if (drops)
		printf("%" JSON_INTEGER_FORMAT " packets dropped, see shunt drop list\n", drops);
	if (sent_on)
		printf("%" JSON_INTEGER_FORMAT " packets, of flows that are not known here, sent on to backends that may know "
		       "them\n", sent_on);
}

static void print_packets(const json_t *o)
{
	bool sockets = flag_of(json_object_get(o, "sockets"), "attached");
	struct libscols_table *t = table_new(sockets ? "PACKETS, CONNECTS" : "PACKETS", ">TOTAL", ">PER SECOND", NULL);
	json_t *packets = json_object_get(o, "packets"), *total;
	char label[CELL], count[CELL], rate[CELL];
	const char *verdict;

	json_object_foreach(packets, verdict, total) {
		size_t role = strcspn(verdict, "_");

		if (!json_integer_value(total) && !has_role(o, verdict, role))
			continue;
		snprintf(label, CELL, "%.*s %s", (int)role, verdict, verdict + role + (verdict[role] == '_'));
		snprintf(rate, CELL, "%.0f", real_of(json_object_get(o, "rates"), verdict));
		table_row(t, label, count_text(json_integer_value(total), count), rate);
	}
	printf("\n");
	table_print(t);
	explain_packets(o);
}

static void print_limits(const json_t *o)
{
	json_t *limits = json_object_get(o, "limits"), *limit;
	const char *name;

	json_object_foreach(limits, name, limit) {
		json_int_t used = number_of(limit, "used"), of = number_of(limit, "of");

		if (of && used >= of * NEARLY_FULL)
			printf("\nlimits.%s is nearly reached: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT "\n", name,
			       used, of);
	}
}

static void print_status(const json_t *o)
{
	print_daemon(o);
	print_interfaces(json_object_get(o, "interfaces"));
	print_sockets(json_object_get(o, "sockets"));
	print_sources(json_object_get(o, "sources"));
	print_announced(json_object_get(o, "register"));
	print_backends_by_state(o);
	print_packets(o);
	print_limits(o);
	print_lines("differences from the file (shunt apply takes them back)",
		    json_object_get(json_object_get(o, "config"), "differences"));
	print_lines("problems", json_object_get(o, "problems"));
	print_lines("this kernel lacks", json_object_get(o, "lacks"));
}

static int status(const struct cli *cli, int argc, char **argv)
{
	json_t *reply;
	int err = client_get(cli, "/v1/status", &reply);

	(void)argc;
	(void)argv;
	if (err)
		return err;
	if (cli->json)
		err = print_json(reply);
	else
		print_status(reply);
	json_decref(reply);
	return err;
}

static const struct verb verbs[] = {
	{ "show", 0, 0, "", "what is attached, what runs, how it differs from the file, what is wrong", status, false },
	{ "list", 0, 0, "", "the same as show", status, false },
};

const struct object status_object = OBJECT("status", "everything on one screen", verbs);
