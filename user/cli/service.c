/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt service: addresses that are balanced. */
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/duration.h"
#include "cli/backends.h"
#include "cli/client.h"
#include "cli/output.h"

/* ---- list, show ---- */

/* How many of the backends take flows. */
static const char *up_text(const json_t *backends, char text[CELL])
{
	size_t i, up = 0;
	const json_t *b;

	json_array_foreach(backends, i, b)
		up += number_of(b, "slots") > 0;
	snprintf(text, CELL, "%zu/%zu", up, json_array_size(backends));
	return text;
}

enum { NAME, LISTEN, AT, FORWARD, ALGORITHM, UP, SLOTS, PACKETS, BYTES, OPEN, REFUSED };

/* What no service has anything to say in. */
static void hide_columns(struct libscols_table *t, const json_t *services)
{
	bool edge = any_at(services, "edge"), socket = any_at(services, "socket");

	table_hide(t, AT, !socket);
	table_hide(t, FORWARD, !edge && socket);
	table_hide(t, ALGORITHM, !socket);
	table_hide(t, PACKETS, !edge && socket);
	table_hide(t, BYTES, !edge && socket);
	table_hide(t, OPEN, !socket);
	table_hide(t, REFUSED, !socket);
}

static void print_services(const json_t *services)
{
	struct libscols_table *t = table_new("NAME", "LISTEN", "AT", "FORWARD", "ALGORITHM", ">UP", ">SLOTS",
					     ">PACKETS", ">BYTES", ">OPEN", ">REFUSED", NULL);
	char listen[CELL], at[CELL], up[CELL], slots[CELL], packets[CELL], bytes[CELL], open[CELL], refused[CELL];
	const json_t *s;
	size_t i;

	hide_columns(t, services);
	json_array_foreach(services, i, s)
		table_row(t, text_of(s, "name"), joined_text(json_object_get(s, "listen"), " ", listen),
			  *joined_text(json_object_get(s, "at"), ",", at) ? at : "-", text_of(s, "forward"),
			  text_of(s, "algorithm"), up_text(json_object_get(s, "backends"), up),
			  count_text(number_of(s, "slots"), slots), count_text(number_of(s, "packets"), packets),
			  bytes_text(number_of(s, "bytes"), bytes), count_text(number_of(s, "connections"), open),
			  count_text(number_of(s, "refused"), refused));
	table_print(t);
}

static void print_check(const json_t *c)
{
	const char *kind = text_of(c, "kind"), *host = text_of(c, "host");

	printf("check        %s", kind);
	if (!strcmp(kind, "http"))
		printf(" %s%s%s, status %d-%d", text_of(c, "path"), *host ? " of " : "", host,
		       (int)number_of(c, "status_min"), (int)number_of(c, "status_max"));
	if (number_of(c, "port"))
		printf(", port %d", (int)number_of(c, "port"));
	if (strcmp(kind, "none"))
		printf(", every %g s, timeout %g s, fall %d, rise %d", number_of(c, "interval_ms") / 1e3,
		       number_of(c, "timeout_ms") / 1e3, (int)number_of(c, "fall"), (int)number_of(c, "rise"));
	printf("\n");
}

static char *ms_text(const json_t *o, const char *key, char text[DURATION_TEXT])
{
	return duration_format(number_of(o, key), text);
}

static void print_tracking(const json_t *t)
{
	const json_t *timeout = json_object_get(t, "flow_timeout");
	char a[DURATION_TEXT], b[DURATION_TEXT], c[DURATION_TEXT];

	printf("transition   %s\n", ms_text(t, "transition_ms", a));
	printf("drain        %s\n", ms_text(t, "drain_ms", a));
	printf("flows        at most %" JSON_INTEGER_FORMAT " noted; over when quiet for: tcp %s, udp %s, closing %s\n",
	       number_of(t, "flows"), ms_text(timeout, "tcp_ms", a), ms_text(timeout, "udp_ms", b),
	       ms_text(timeout, "closing_ms", c));
}

/* What became of flows in transitions. */
static void print_flows(const json_t *f)
{
	printf("noted        %" JSON_INTEGER_FORMAT " now, %" JSON_INTEGER_FORMAT " in all; %" JSON_INTEGER_FORMAT
	       " live ones evicted, %" JSON_INTEGER_FORMAT " let go, %" JSON_INTEGER_FORMAT " changes without room\n",
	       number_of(f, "now"), number_of(f, "noted"), number_of(f, "evicted"), number_of(f, "let_go"),
	       number_of(f, "uncached"));
}

static void print_quic(const json_t *q)
{
	if (json_is_object(q))
		printf("quic         connection IDs of config %d choose the backend, by server IDs of %d bytes\n",
		       (int)number_of(q, "config"), (int)number_of(q, "server_id"));
}

/* Of local processes' connections, where they are balanced. */
static void print_sockets(const json_t *s)
{
	const json_t *clients = json_object_get(s, "clients"), *client;
	const char *kind;
	char text[CELL];

	if (!is_at(s, "socket"))
		return;
	json_object_foreach((json_t *)clients, kind, client) if (json_array_size(client))
		printf("clients      %s %s\n", kind, joined_text(client, " ", text));
	printf("no-backend   %s\n", text_of(s, "no_backend"));
	printf("connections  %" JSON_INTEGER_FORMAT " of local processes, %" JSON_INTEGER_FORMAT " refused\n",
	       number_of(s, "connections"), number_of(s, "refused"));
}

/* What sources are asked for its backends, and which of them offered it. */
static void print_discover(const json_t *s)
{
	const json_t *list = json_object_get(s, "discover"), *what;
	size_t i;

	json_array_foreach(list, i, what)
		printf("%-12s %s\n", i ? "" : "discover", json_string_value(what) ?: "");
	if (*text_of(s, "offered_by"))
		printf("offered by   %s\n", text_of(s, "offered_by"));
}

static void print_service(const json_t *s)
{
	const json_t *listen = json_object_get(s, "listen"), *l;
	char bytes[CELL], at[CELL];
	size_t i;

	printf("name         %s\n", text_of(s, "name"));
	json_array_foreach(listen, i, l)
		printf("%-12s %s\n", i ? "" : "listen", json_string_value(l) ?: "");
	printf("algorithm    %s\n", text_of(s, "algorithm"));
	printf("forward      %s\n", text_of(s, "forward"));
	printf("affinity     %s\n", text_of(s, "affinity"));
	printf("at           %s\n", *joined_text(json_object_get(s, "at"), ", ", at) ? at : "nowhere on this host");
	print_discover(s);
	print_sockets(s);
	print_quic(json_object_get(s, "quic"));
	print_check(json_object_get(s, "check"));
	printf("slots        %d", (int)number_of(s, "slots"));
	if (number_of(s, "moving"))
		printf(", %d of them in transition: older flows stay where they are", (int)number_of(s, "moving"));
	printf("\n");
	print_tracking(json_object_get(s, "tracking"));
	print_flows(json_object_get(s, "flows"));
	printf("fingerprint  %s\n", text_of(s, "fingerprint"));
	printf("packets      %" JSON_INTEGER_FORMAT " (%s)\n\n", number_of(s, "packets"),
	       bytes_text(number_of(s, "bytes"), bytes));
	print_backends(json_object_get(s, "backends"), false);
}

static int service_list(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = argc ? client_path("services", argv[0], NULL) : strdup("/v1/services");
	json_t *reply;
	int status = client_get(cli, path, &reply);

	if (status)
		return status;
	if (cli->json)
		status = print_json(reply);
	else if (argc)
		print_service(reply);
	else
		print_services(json_object_get(reply, "services"));
	json_decref(reply);
	return status;
}

/* ---- changes ---- */

#define ADD_USAGE \
	"usage: shunt service add NAME ADDRESS:PORT/PROTOCOL... [algorithm WORD] [forward WORD] [affinity WORD] [at WORD] " \
	"[no-backend WORD]"

/* The key that the daemon knows it by; NULL: it is none of the words. */
static const char *key_of(const char *word)
{
	static const char *const words[] = { "algorithm", "forward", "affinity", "at" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return words[i];
	return strcmp(word, "no-backend") ? NULL : "no_backend";
}

/* "at" is a list, of which a word may have several: "edge,socket". */
static json_t *list_of(const char *text)
{
	json_t *list = json_array();
	size_t len;

	for (;; text += len + 1) {
		len = strcspn(text, ",");
		json_array_append_new(list, json_stringn(text, len));
		if (!text[len])
			return list;
	}
}

/* Words with their values, in any order, behind the listens. */
static int take_words(const struct cli *cli, int argc, char **argv, json_t *body)
{
	for (int i = 0; i < argc; i += 2) {
		const char *key = key_of(argv[i]);

		if (!key || i + 1 == argc)
			return complain(cli, WRONG_USAGE, ADD_USAGE);
		if (json_object_set_new(body, key, strcmp(key, "at") ? json_string(argv[i + 1]) : list_of(argv[i + 1])))
			return complain(cli, WRONG_USAGE, "%s \"%s\" is no UTF-8 text", argv[i], argv[i + 1]);
	}
	return DONE;
}

static int service_add(const struct cli *cli, int argc, char **argv)
{
	json_t *listen = json_array(), *body, *reply = NULL;
	int i = 1, status;

	for (; i < argc && !key_of(argv[i]); i++) {
		if (!json_array_append_new(listen, json_string(argv[i])))
			continue;
		json_decref(listen);
		return complain(cli, WRONG_USAGE, "argument %d is no UTF-8 text", i + 1);
	}
	body = json_pack("{s:s, s:o}", "name", argv[0], "listen", listen);
	status = take_words(cli, argc - i, argv + i, body);
	if (status) {
		json_decref(body);
		return status;
	}
	return client_report(cli, client_post_json(cli, "/v1/services", body, &reply), &reply);
}

static int service_delete(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *path = client_path("services", argv[0], NULL);
	json_t *reply = NULL;

	(void)argc;
	return client_report(cli, client_delete(cli, path, &reply), &reply);
}

#define LISTENS_MAX 4096

static const struct verb verbs[] = {
	{ "list", 0, 1, "[NAME]", "services, or one with its backends", service_list, false },
	{ "show", 0, 1, "[NAME]", "the same as list", service_list, false },
	{ "add", 2, LISTENS_MAX, "NAME ADDRESS:PORT/PROTOCOL... [KEY WORD]...",
	  "a new service without backends, e.g. web 192.0.2.10:80/tcp; port * is every port; KEY is algorithm, forward, "
	  "affinity, at or no-backend", service_add, false },
	{ "delete", 1, 1, "NAME", "end a service; its packets are passed on untouched", service_delete, false },
};

const struct object service_object = OBJECT("service", "addresses that are balanced", verbs);
