/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Texts of one value: what one stands for, written and read again, is the same. The first byte says of what kind it
 * is: a digit, the number of one of the functions below.
 */
#include <jansson.h>

#include "base/addr.h"
#include "base/duration.h"
#include "base/hex.h"
#include "base/text.h"
#include "fuzz.h"
#include "model/model.h"

static void try_addr(const char *text)
{
	struct addr a, b;
	char out[ADDR_TEXT];

	if (!addr_parse(text, &a))
		must(!addr_parse(addr_format(&a, out), &b) && !addr_compare(&a, &b));
}

static void try_endpoint(const char *text)
{
	struct endpoint a, b;
	char out[ENDPOINT_TEXT];

	if (!endpoint_parse(text, &a))
		must(!endpoint_parse(endpoint_format(&a, out), &b) && !endpoint_compare(&a, &b));
}

static void try_prefix(const char *text)
{
	struct prefix a, b;
	char out[PREFIX_TEXT];

	if (prefix_parse(text, &a))
		return;
	must(a.len <= 128 && addr_in_prefix(&a.addr, &a));
	must(!prefix_parse(prefix_format(&a, out), &b) && a.len == b.len && !addr_compare(&a.addr, &b.addr));
}

static void try_listen(const char *text)
{
	struct listen a, b;
	char out[LISTEN_TEXT];

	if (!listen_parse(text, &a))
		must(!listen_parse(listen_format(&a, out), &b) && !listen_compare(&a, &b));
}

static void try_server_id(const char *text)
{
	struct server_id a, b;
	char out[SERVER_ID_TEXT];

	if (server_id_parse(text, &a))
		return;
	must(a.length >= 1 && a.length <= SERVER_ID_MAX);
	must(!server_id_parse(server_id_format(&a, out), &b) && !server_id_compare(&a, &b));
}

static void try_hex(const char *text)
{
	uint8_t a[32], b[32];
	char out[2 * sizeof(a) + 1];
	size_t n = 0, m = 0;

	if (hex_parse(text, a, sizeof(a), &n))
		return;
	must(n >= 1 && n <= sizeof(a));
	must(!hex_parse(hex_format(a, n, out), b, sizeof(b), &m) && n == m && !memcmp(a, b, n));
}

static void try_duration(const char *text)
{
	uint64_t a, b;
	char out[DURATION_TEXT];

	if (!duration_parse(text, &a))
		must(!duration_parse(duration_format(a, out), &b) ? a == b : a > 999999999);
}

static void try_port(const char *text)
{
	uint16_t a, b;
	char out[8];

	if (port_parse(text, &a))
		return;
	snprintf(out, sizeof(out), "%u", a);
	must(a && !port_parse(out, &b) && a == b);
}

/* Another's words become a text that JSON takes, and stay so. */
static void try_clean(const char *text)
{
	_cleanup_free_ char *once = strdup(text), *twice = NULL;
	json_t *o = json_string(text_clean(once));

	must(o && strlen(once) == strlen(text) && !once[strcspn(once, "\n\r\t\x1b\x7f")]);
	json_decref(o);
	twice = strdup(once);
	must(!strcmp(once, text_clean(twice)));
}

static void (*const tries[])(const char *text) = { try_addr, try_endpoint, try_prefix, try_listen, try_server_id,
						   try_hex,  try_duration, try_port,   try_clean };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = NULL;

	if (!size)
		return 0;
	text = fuzz_text(data + 1, size - 1);
	tries[(uint8_t)(data[0] - '0') % ARRAY_SIZE(tries)](text);
	return 0;
}
