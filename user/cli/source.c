/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt source: what is asked of sources of discovery, how that stands, and trying one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "cli/client.h"
#include "cli/output.h"

/* ---- list ---- */

/* How long ago a time of CLOCK_REALTIME was; "never". */
static const char *ago_text(json_int_t ms, char text[CELL])
{
	struct timespec now;
	double seconds;

	clock_gettime(CLOCK_REALTIME, &now);
	seconds = now.tv_sec + now.tv_nsec / 1e9 - ms / 1e3;
	if (!ms)
		snprintf(text, CELL, "never");
	else if (seconds < 120)
		snprintf(text, CELL, "%.0f s ago", seconds > 0 ? seconds : 0);
	else if (seconds < 7200)
		snprintf(text, CELL, "%.0f min ago", seconds / 60);
	else
		snprintf(text, CELL, "%.0f h ago", seconds / 3600);
	return text;
}

/* What is wrong; where nothing is, what there is to know about the last answer. */
static const char *remark(const json_t *s)
{
	return *text_of(s, "problem") ? text_of(s, "problem") : text_of(s, "note");
}

/* Services that are offered have no endpoints of their own. */
static bool is_question(const json_t *s)
{
	return json_is_integer(json_object_get(s, "endpoints"));
}

static void print_list(const json_t *list)
{
	struct libscols_table *t = table_new("SOURCE", "QUESTION", "SERVICES", "STATE", ">SINCE", ">HEARD", ">ENDPOINTS",
					     "VERSION", "REMARK", NULL);
	char services[CELL], since[CELL], heard[CELL], endpoints[CELL];
	const json_t *s;
	size_t i;

	json_array_foreach(list, i, s)
		table_row(t, text_of(s, "source"), text_of(s, "question"),
			  joined_text(json_object_get(s, "services"), ", ", services), text_of(s, "state"),
			  ago_text(number_of(s, "since_ms"), since),
			  is_question(s) ? ago_text(number_of(s, "heard_ms"), heard) : "",
			  is_question(s) ? count_text(number_of(s, "endpoints"), endpoints) : "", text_of(s, "version"),
			  remark(s));
	if (!json_array_size(list))
		fprintf(stderr, "no service discovers anything\n");
	table_print(t);
}

/* ---- one, with what it found ---- */

static void print_found(const json_t *s)
{
	struct libscols_table *t = table_new("ADDRESS", ">WEIGHT", "STATE", "SERVER ID", NULL);
	const json_t *backends = json_object_get(s, "backends"), *b;
	char weight[CELL];
	size_t i;

	json_array_foreach(backends, i, b)
		table_row(t, text_of(b, "address"), count_text(number_of(b, "weight"), weight), text_of(b, "state"),
			  text_of(b, "server_id"));
	table_print(t);
}

static void print_refused(const json_t *refused)
{
	const json_t *r;
	size_t i;

	json_array_foreach(refused, i, r)
		printf("not taken: %s%s%s: %s\n", text_of(r, "service"), *text_of(r, "address") ? " " : "",
		       text_of(r, "address"), text_of(r, "sentence"));
}

static void print_one(const json_t *s)
{
	char since[CELL], changed[CELL], heard[CELL], services[CELL];

	printf("%s: %s, since %s\n", text_of(s, "question"), text_of(s, "state"), ago_text(number_of(s, "since_ms"), since));
	printf("  source %s, services %s\n", text_of(s, "source"),
	       joined_text(json_object_get(s, "services"), ", ", services));
	if (is_question(s)) {
		printf("  heard %s, changed %s, version %s\n", ago_text(number_of(s, "heard_ms"), heard),
		       ago_text(number_of(s, "changed_ms"), changed), *text_of(s, "version") ? text_of(s, "version") : "unknown");
		printf("  %" JSON_INTEGER_FORMAT " answers believed, %" JSON_INTEGER_FORMAT " changes, %" JSON_INTEGER_FORMAT
		       " problems; an answer of none: %s\n", number_of(s, "answers"), number_of(s, "changes"),
		       number_of(s, "problems"), strcmp(text_of(s, "none"), "allow") ? "not believed" : "believed");
	}
	if (*text_of(s, "problem"))
		printf("  problem: %s\n", text_of(s, "problem"));
	if (*text_of(s, "note"))
		printf("  note: %s\n", text_of(s, "note"));
	print_found(s);
	print_refused(json_object_get(s, "refused"));
}

static void print_shown(const json_t *reply)
{
	const json_t *list = json_object_get(reply, "sources"), *s;
	size_t i;

	json_array_foreach(list, i, s) {
		if (i)
			printf("\n");
		print_one(s);
	}
}

static void print_listed(const json_t *reply)
{
	print_list(json_object_get(reply, "sources"));
}

static int source_list(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = client_path("sources", argc ? argv[0] : NULL, NULL);
	json_t *reply;
	int status = client_get(cli, path, &reply);

	return status ? status : show_reply(cli, reply, argc ? print_shown : print_listed);
}

/* ---- trying ---- */

static void print_tested(const json_t *s)
{
	bool answers = !strcmp(text_of(s, "state"), "current") || !strcmp(text_of(s, "state"), "partial");

	printf("%s\n", text_of(s, "question"));
	if (answers)
		printf("  answers with %" JSON_INTEGER_FORMAT " endpoints\n", number_of(s, "endpoints"));
	if (*text_of(s, "problem"))
		printf("  problem: %s\n", text_of(s, "problem"));
	if (*text_of(s, "note"))
		printf("  note: %s\n", text_of(s, "note"));
	print_found(s);
}

static int source_test(const struct cli *cli, int argc, char **argv)
{
	json_t *reply;
	int status;

	(void)argc;
	status = client_post(cli, "/v1/sources/test", argv[0], strlen(argv[0]), &reply);
	if (status)
		return status;
	status = *text_of(reply, "problem") ? FAILED : DONE;
	return show_reply(cli, reply, print_tested) ?: status;
}

static const struct verb verbs[] = {
	{ "list", 0, 1, "[SOURCE | SERVICE]", "what is asked of sources, and how that stands; of one with what it found",
	  source_list, 0 },
	{ "show", 0, 1, "[SOURCE | SERVICE]", "the same as list", source_list, 0 },
	{ "test", 1, 1, "QUESTION",
	  "ask, and say what the source would give; nothing is changed. As under discover: 'consul: { service: web }'",
	  source_test, 0 },
};

const struct object source_object = OBJECT("source", "where backends are discovered: Consul, Kubernetes, etcd, DNS, files", verbs);
