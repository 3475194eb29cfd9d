/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/etcd_ask.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clean.h"

static char *format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *format(const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	return n < 0 ? NULL : text;
}

/* The first key behind all that begin with the prefix, as base64: its last byte plus one, where that is no 255. */
static char *end_of(const char *prefix)
{
	_cleanup_free_ uint8_t *end = (uint8_t *)strdup(prefix);
	size_t n = strlen(prefix);

	if (!end)
		return NULL;
	while (n && end[n - 1] == 0xff)
		n--;
	if (!n)
		return base64_encode("", 1); /* one zero: as far as there are keys */
	end[n - 1]++;
	return base64_encode(end, n);
}

/* The key that comes right after another has a zero more, which stands behind it already. */
static char *start_of(const char *prefix, const uint8_t *from, size_t from_len)
{
	return from ? base64_encode(from, from_len + 1) : base64_encode(prefix, strlen(prefix));
}

char *etcd_ask_range(const char *prefix, const uint8_t *from, size_t from_len, unsigned limit, int64_t revision)
{
	_cleanup_free_ char *start = start_of(prefix, from, from_len), *end = end_of(prefix);

	if (!start || !end)
		return NULL;
	return format("{\"key\":\"%s\",\"range_end\":\"%s\",\"limit\":\"%u\",\"revision\":\"%" PRId64 "\"}", start, end,
		      limit, revision);
}

char *etcd_ask_one(const char *key)
{
	_cleanup_free_ char *text = base64_encode(key, strlen(key));

	return text ? format("{\"key\":\"%s\",\"count_only\":true}", text) : NULL;
}

char *etcd_ask_watch(const char *prefix, int64_t start_revision)
{
	_cleanup_free_ char *start = start_of(prefix, NULL, 0), *end = end_of(prefix);

	if (!start || !end)
		return NULL;
	return format("{\"create_request\":{\"key\":\"%s\",\"range_end\":\"%s\",\"start_revision\":\"%" PRId64 "\","
		      "\"progress_notify\":true}}",
		      start, end, start_revision);
}

char *etcd_ask_put(const char *key, const char *value, int64_t lease)
{
	_cleanup_free_ char *k = base64_encode(key, strlen(key)), *v = base64_encode(value, strlen(value));

	if (!k || !v)
		return NULL;
	return format("{\"key\":\"%s\",\"value\":\"%s\",\"lease\":\"%" PRId64 "\"}", k, v, lease);
}

char *etcd_ask_delete(const char *key)
{
	_cleanup_free_ char *text = base64_encode(key, strlen(key));

	return text ? format("{\"key\":\"%s\"}", text) : NULL;
}

char *etcd_ask_user(const char *name, const char *password)
{
	json_t *j = json_pack("{s:s, s:s}", "name", name, "password", password);
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	return text;
}

char *etcd_ask_lease(const char *field, int64_t number)
{
	return format("{\"%s\":\"%" PRId64 "\"}", field, number);
}
