/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/list.h"

#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/clean.h"
#include "cli/client.h"
#include "cli/output.h"

#define LIMIT_DEFAULT "1000"

/* Adds "&KEY=VALUE" to a query, if there is a value. */
static void ask_for(FILE *query, const char *key, const char *value)
{
	_cleanup_free_ char *encoded = value ? client_path(value, NULL) : NULL; /* "/v1/VALUE" */

	if (encoded)
		fprintf(query, "&%s=%s", key, encoded + strlen("/v1/"));
}

char *list_path(const struct cli *cli, const char *object, const char *service, const char *state)
{
	_cleanup_free_ char *path = NULL;
	size_t len;
	FILE *out = open_memstream(&path, &len);

	if (!out)
		return NULL;
	fprintf(out, "/v1/%s?limit=%s", object, cli->limit ?: LIMIT_DEFAULT); /* digits */
	ask_for(out, "service", service);
	ask_for(out, "backend", cli->backend);
	ask_for(out, "state", state);
	return fclose(out) ? NULL : TAKE_PTR(path);
}

static int check_backend(const struct cli *cli)
{
	struct endpoint at;

	if (!cli->backend || !endpoint_parse(cli->backend, &at))
		return DONE;
	return complain(cli, WRONG_USAGE, "\"%s\" is no ADDRESS:PORT, such as 10.0.0.11:80 or [2001:db8::11]:80",
			cli->backend);
}

static int check_limit(const struct cli *cli)
{
	size_t len = cli->limit ? strlen(cli->limit) : 1;

	if (!cli->limit || (len && len <= 5 && strspn(cli->limit, "0123456789") == len))
		return DONE;
	return complain(cli, WRONG_USAGE, "limit \"%s\" is no whole number of at most five digits", cli->limit);
}

int list_check(const struct cli *cli)
{
	return check_backend(cli) ?: check_limit(cli);
}

void list_more(json_int_t more)
{
	if (more > 0)
		fprintf(stderr, "and %" JSON_INTEGER_FORMAT " more (--limit says how many are listed)\n", more);
}
