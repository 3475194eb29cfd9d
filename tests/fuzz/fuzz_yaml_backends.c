/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Backends by themselves (files that are dropped in): they are in range, and as YAML again they are the same. */
#include <errno.h>

#include "config/config.h"
#include "fuzz.h"

static void say(void *arg, const char *sentence)
{
	must(!strncmp(sentence, "fuzz", 4) && !strchr(sentence, '\n'));
	++*(unsigned *)arg;
}

static int parse(const char *text, size_t size, struct backend **list, size_t *n)
{
	unsigned said = 0;
	int err;

	*list = NULL;
	*n = 0;
	err = config_parse_backends("fuzz", text, size, say, &said, list, n);
	must(err ? err == -EINVAL && said && !*list && !*n : !said);
	return err;
}

static void write_backend(FILE *f, const struct backend *b)
{
	static const char *const states[] = {
		[ADMIN_ENABLED] = "enabled", [ADMIN_DRAINING] = "draining", [ADMIN_DISABLED] = "disabled"
	};
	char at[ENDPOINT_TEXT], id[SERVER_ID_TEXT];

	must(b->weight <= WEIGHT_MAX && b->admin < ARRAY_SIZE(states) && b->server_id.length <= SERVER_ID_MAX);
	fprintf(f, "- { address: \"%s\", weight: %u, state: %s", endpoint_format(&b->at, at), b->weight,
		states[b->admin]);
	if (b->server_id.length)
		fprintf(f, ", server-id: \"%s\"", server_id_format(&b->server_id, id));
	fputs(" }\n", f);
}

static bool same(const struct backend *a, const struct backend *b)
{
	return !endpoint_compare(&a->at, &b->at) && a->weight == b->weight && a->admin == b->admin &&
	       !server_id_compare(&a->server_id, &b->server_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ struct backend *list = NULL, *again = NULL;
	_cleanup_free_ char *text = NULL;
	size_t n, m, len = 0;
	FILE *f;

	if (parse((const char *)data, size, &list, &n) || !n)
		return 0;
	f = open_memstream(&text, &len);
	for (size_t i = 0; i < n; i++)
		write_backend(f, &list[i]);
	fclose(f);
	must(!parse(text, len, &again, &m) && m == n);
	for (size_t i = 0; i < n; i++)
		must(same(&list[i], &again[i]));
	return 0;
}
