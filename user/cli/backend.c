/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt backend: who takes the packets of a service. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clean.h"
#include "cli/backends.h"
#include "cli/client.h"
#include "cli/output.h"

#define EVERY_SERVICE "*"

/* ---- list ---- */

/* What the last check said: its duration, or why it failed. */
static const char *check_text(const json_t *check, char text[CELL])
{
	if (!number_of(check, "checks"))
		snprintf(text, CELL, "-");
	else if (*text_of(check, "last_error"))
		snprintf(text, CELL, "%s", text_of(check, "last_error"));
	else
		snprintf(text, CELL, "ok, %.1f ms", real_of(check, "last_seconds") * 1e3);
	return text;
}

static const char *nexthop_text(const json_t *n, char text[CELL])
{
	if (json_is_null(n))
		snprintf(text, CELL, "-"); /* it needs none */
	else if (flag_of(n, "usable"))
		snprintf(text, CELL, "%s %s", text_of(n, "interface"), text_of(n, "mac"));
	else
		snprintf(text, CELL, "none: %s", text_of(n, "problem"));
	return text;
}

enum { SERVICE, ADDRESS, FROM, SERVER_ID, STATE, WEIGHT, SHARE, PACKETS, BYTES, OPEN, CONNECTS, CHECK, NEXT_HOP };

/* What none of them has anything to say in. */
static void hide_columns(struct libscols_table *t, const json_t *backends, bool with_service)
{
	bool with_id = false, nexthops = false, found = false;
	const json_t *b;
	size_t i;

	json_array_foreach(backends, i, b)
	{
		found |= *text_of(b, "from") || flag_of(b, "overridden");
		with_id |= *text_of(b, "server_id") != '\0';
		nexthops |= json_is_object(json_object_get(b, "nexthop"));
	}
	table_hide(t, SERVICE, !with_service);
	table_hide(t, FROM, !found);
	table_hide(t, SERVER_ID, !with_id);
	table_hide(t, PACKETS, !any_at(backends, "edge"));
	table_hide(t, BYTES, !any_at(backends, "edge"));
	table_hide(t, OPEN, !any_at(backends, "socket"));
	table_hide(t, CONNECTS, !any_at(backends, "socket"));
	table_hide(t, NEXT_HOP, !nexthops);
}

/* Who says that it is there, and whether a command said something of it. */
static const char *from_text(const json_t *b, char text[CELL])
{
	const char *from = text_of(b, "from");
	bool overridden = flag_of(b, "overridden") && strcmp(from, "command");

	snprintf(text, CELL, "%s%s", *from ? from : "file", overridden ? ", command" : "");
	return text;
}

void print_backends(const json_t *backends, bool with_service)
{
	char weight[CELL], share[CELL], packets[CELL], bytes[CELL], open[CELL], connects[CELL], check[CELL],
		nexthop[CELL], from[CELL];
	struct libscols_table *t = table_new("SERVICE", "ADDRESS", "FROM", "SERVER ID", "STATE", ">WEIGHT", ">SHARE",
					     ">PACKETS", ">BYTES", ">OPEN", ">CONNECTS", "CHECK", "NEXT HOP", NULL);
	const json_t *b;
	size_t i;

	hide_columns(t, backends, with_service);
	json_array_foreach(backends, i, b) table_row(
		t, text_of(b, "service"), text_of(b, "address"), from_text(b, from), text_of(b, "server_id"), text_of(b, "state"),
		count_text(number_of(b, "weight"), weight), percent_text(real_of(b, "share"), share),
		count_text(number_of(b, "packets"), packets), bytes_text(number_of(b, "bytes"), bytes),
		count_text(number_of(b, "connections"), open), count_text(number_of(b, "connects"), connects),
		check_text(json_object_get(b, "check"), check), nexthop_text(json_object_get(b, "nexthop"), nexthop));
	table_print(t);
}

/* "/v1/backends?service=NAME"; to be freed. */
static char *list_path(const char *service)
{
	_cleanup_free_ char *encoded = client_path(service, NULL); /* "/v1/NAME" */
	char *path;

	if (!encoded || asprintf(&path, "/v1/backends?service=%s", encoded + strlen("/v1/")) < 0)
		return NULL;
	return path;
}

/* A service without backends: where those should come from that are discovered. */
static int say_none(const struct cli *cli, const char *service)
{
	_cleanup_free_ char *path = client_path("services", service, NULL);
	json_t *reply;
	int status = client_get(cli, path, &reply);

	if (status)
		return status;
	if (json_array_size(json_object_get(reply, "discover")))
		fprintf(stderr, "service %s has no backends; see shunt source list %s\n", service, service);
	else
		fprintf(stderr, "service %s has no backends; give it some: shunt backend add %s ADDRESS:PORT\n", service, service);
	json_decref(reply);
	return DONE;
}

static int backend_list(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = argc ? list_path(argv[0]) : strdup("/v1/backends");
	json_t *reply;
	int status = client_get(cli, path, &reply);

	if (status)
		return status;
	if (cli->json)
		status = print_json(reply);
	else if (argc && !json_array_size(json_object_get(reply, "backends")))
		status = say_none(cli, argv[0]);
	else
		print_backends(json_object_get(reply, "backends"), !argc);
	json_decref(reply);
	return status;
}

/* ---- changes ---- */

static int check_address(const struct cli *cli, const char *text)
{
	struct endpoint at;

	if (!endpoint_parse(text, &at)) /* a backend may have no port */
		return DONE;
	return complain(cli, WRONG_USAGE, "\"%s\" is no ADDRESS:PORT, such as 10.0.0.11:80 or [2001:db8::11]:80", text);
}

static int parse_weight(const struct cli *cli, const char *text, int *out)
{
	size_t len = strlen(text);
	long n = strtol(text, NULL, 10);

	if (!len || len > 5 || strspn(text, "0123456789") != len || n > 65535)
		return complain(cli, WRONG_USAGE, "weight \"%s\" is no whole number from 0 to 65535", text);
	*out = n;
	return DONE;
}

/* "weight N", "server-id HEX", in any order. */
static int take_words(const struct cli *cli, int argc, char **argv, json_t *body)
{
	for (int i = 0; i < argc; i += 2) {
		int weight, status = DONE;

		if (i + 1 < argc && !strcmp(argv[i], "weight")) {
			status = parse_weight(cli, argv[i + 1], &weight);
			if (!status)
				json_object_set_new(body, "weight", json_integer(weight));
		} else if (i + 1 < argc && !strcmp(argv[i], "server-id")) {
			json_object_set_new(body, "server_id", json_string(argv[i + 1]));
		} else {
			status = complain(cli, WRONG_USAGE,
					  "usage: shunt backend add SERVICE ADDRESS:PORT [weight N] [server-id HEX]");
		}
		if (status)
			return status;
	}
	return DONE;
}

static int backend_add(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = client_path("services", argv[0], "backends", NULL);
	json_t *body, *reply = NULL;
	int status = check_address(cli, argv[1]);

	if (status)
		return status;
	body = json_pack("{s:s}", "address", argv[1]);
	status = take_words(cli, argc - 2, argv + 2, body);
	if (status) {
		json_decref(body);
		return status;
	}
	return client_report(cli, client_post_json(cli, path, body, &reply), &reply);
}

/* [SERVICE] ADDRESS:PORT; without a service every one that has the backend is meant. */
static char *backend_path(int argc, char **argv)
{
	return client_path("services", argc == 1 ? EVERY_SERVICE : argv[0], "backends", argv[argc - 1], NULL);
}

static int backend_delete(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = backend_path(argc, argv);
	int status = check_address(cli, argv[argc - 1]);
	json_t *reply = NULL;

	if (status)
		return status;
	return client_report(cli, client_delete(cli, path, &reply), &reply);
}

static int set_admin(const struct cli *cli, int argc, char **argv, const char *admin)
{
	_cleanup_free_ char *path = backend_path(argc, argv);
	int status = check_address(cli, argv[argc - 1]);
	json_t *reply = NULL;

	if (status)
		return status;
	return client_report(cli, client_post_json(cli, path, json_pack("{s:s}", "admin", admin), &reply), &reply);
}

static int backend_drain(const struct cli *cli, int argc, char **argv)
{
	return set_admin(cli, argc, argv, "drain");
}

static int backend_disable(const struct cli *cli, int argc, char **argv)
{
	return set_admin(cli, argc, argv, "disable");
}

static int backend_enable(const struct cli *cli, int argc, char **argv)
{
	return set_admin(cli, argc, argv, "enable");
}

static int backend_weight(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = backend_path(argc - 1, argv);
	int status = check_address(cli, argv[argc - 2]), weight;
	json_t *reply = NULL;

	if (!status)
		status = parse_weight(cli, argv[argc - 1], &weight);
	if (status)
		return status;
	return client_report(cli, client_post_json(cli, path, json_pack("{s:i}", "weight", weight), &reply), &reply);
}

static const struct verb verbs[] = {
	{ "list", 0, 1, "[SERVICE]", "backends, their state, share, checks and next hops", backend_list, false },
	{ "show", 0, 1, "[SERVICE]", "the same as list", backend_list, false },
	{ "add", 2, 6, "SERVICE ADDRESS:PORT [weight N] [server-id HEX]", "give the service one more backend", backend_add, false },
	{ "delete", 1, 2, "[SERVICE] ADDRESS:PORT", "take it away; without SERVICE from every service that has it",
	  backend_delete, false },
	{ "drain", 1, 2, "[SERVICE] ADDRESS:PORT", "give it no new flows; those that it has stay with it; it is still checked", backend_drain, false },
	{ "disable", 1, 2, "[SERVICE] ADDRESS:PORT", "give it nothing: the flows that it has go to the others at once; it is still checked", backend_disable, false },
	{ "enable", 1, 2, "[SERVICE] ADDRESS:PORT", "take it back: end draining or disabling", backend_enable, false },
	{ "weight", 2, 3, "[SERVICE] ADDRESS:PORT N", "set its weight, 0 to 65535; 0 gets no flows", backend_weight, false },
};

const struct object backend_object = OBJECT("backend", "who takes the packets of a service", verbs);
