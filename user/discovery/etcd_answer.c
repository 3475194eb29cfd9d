/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/etcd_answer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clean.h"
#include "config/config.h"

static void json_freep(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(json_freep)

/* ---- single values ---- */

/* In quotes or not. Left out: zero. -EINVAL: something else stands there. */
static int read_number(const json_t *of, const char *name, uint64_t *out)
{
	const json_t *j = json_object_get(of, name);
	const char *text = json_string_value(j);
	char *end;

	*out = 0;
	if (!j)
		return 0;
	if (json_is_integer(j)) {
		*out = json_integer_value(j);
		return json_integer_value(j) < 0 ? -EINVAL : 0;
	}
	if (!text || !*text || strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno ? -EINVAL : 0;
}

static int read_signed(const json_t *of, const char *name, int64_t *out)
{
	uint64_t number;
	int err = read_number(of, name, &number);

	if (err || number > INT64_MAX)
		return -EINVAL;
	*out = number;
	return 0;
}

/* Left out: no bytes. */
static int read_bytes(const json_t *of, const char *name, uint8_t **out, size_t *n)
{
	const json_t *j = json_object_get(of, name);

	if (j && !json_is_string(j))
		return -EINVAL;
	return base64_decode(j ? json_string_value(j) : "", j ? json_string_length(j) : 0, out, n);
}

static int read_head(const json_t *of, struct etcd_head *out)
{
	const json_t *j = json_object_get(of, "header");

	if (!json_is_object(j) || read_number(j, "cluster_id", &out->cluster) ||
	    read_number(j, "raft_term", &out->term))
		return -EINVAL;
	return read_signed(j, "revision", &out->revision);
}

/* ---- pairs ---- */

static void pairs_free(struct etcd_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	free(pairs);
}

static int read_pair(const json_t *j, struct etcd_pair *out)
{
	int err = read_bytes(j, "key", &out->key, &out->key_len);

	if (!err)
		err = read_bytes(j, "value", &out->value, &out->value_len);
	if (!err)
		err = read_signed(j, "mod_revision", &out->revision);
	return err ? err : out->key_len ? 0 : -EINVAL;
}

/* An event: {"type":"DELETE","kv":{...}}; a PUT is the zero among the types. */
static int read_event(const json_t *j, struct etcd_pair *out)
{
	const json_t *type = json_object_get(j, "type");
	const char *text = json_string_value(type) ?: "";

	out->deleted = !strcmp(text, "DELETE");
	if (type && !out->deleted && strcmp(text, "PUT"))
		return -EINVAL;
	return read_pair(json_object_get(j, "kv"), out);
}

typedef int (*read_pair_fn)(const json_t *j, struct etcd_pair *out);

static int read_pairs(const json_t *list, read_pair_fn read, struct etcd_pair **out, size_t *n)
{
	size_t count = json_array_size(list);
	struct etcd_pair *pairs;
	int err = 0;

	if (list && !json_is_array(list))
		return -EINVAL;
	pairs = calloc(count + 1, sizeof(*pairs));
	if (!pairs)
		return -ENOMEM;
	for (size_t i = 0; i < count && !err; i++)
		err = read(json_array_get(list, i), &pairs[i]);
	if (err) {
		pairs_free(pairs, count);
		return err;
	}
	*out = pairs;
	*n = count;
	return 0;
}

/* ---- answers ---- */

void etcd_range_clear(struct etcd_range *r)
{
	pairs_free(r->pairs, r->n);
	*r = (struct etcd_range){};
}

void etcd_line_clear(struct etcd_line *l)
{
	pairs_free(l->pairs, l->n);
	free(l->reason);
	*l = (struct etcd_line){};
}

static int load(const char *text, size_t len, json_t **out, char why[ETCD_WHY])
{
	_cleanup_json_ json_t *root = json_loadb(text, len, 0, NULL);

	if (!json_is_object(root)) {
		snprintf(why, ETCD_WHY, "the answer is not JSON as etcd's gateway has it; is this etcd 3.4 or later?");
		return -EINVAL;
	}
	*out = TAKE_PTR(root);
	return 0;
}

static int not_understood(int err, const char *what, char why[ETCD_WHY])
{
	if (err == -EINVAL)
		snprintf(why, ETCD_WHY, "the answer is not understood: its %s is not as etcd 3.4 has it", what);
	return err;
}

int etcd_range_parse(const char *body, size_t len, struct etcd_range *out, char why[ETCD_WHY])
{
	_cleanup_json_ json_t *root = NULL;
	struct etcd_range r = {};
	int err = load(body, len, &root, why);

	if (err)
		return err;
	err = read_head(root, &r.head);
	if (err)
		return not_understood(err, "header", why);
	err = read_pairs(json_object_get(root, "kvs"), read_pair, &r.pairs, &r.n);
	if (err)
		return not_understood(err, "list of keys", why);
	r.more = json_is_true(json_object_get(root, "more"));
	*out = r;
	return 0;
}

static int copy_text(const json_t *j, char **out)
{
	if (!json_is_string(j) || !json_string_length(j))
		return 0;
	*out = strdup(json_string_value(j));
	return *out ? 0 : -ENOMEM;
}

/* {"error":{"grpc_code":14,"message":"transport is closing", ...}}: the stream ends. */
static int read_broken(const json_t *error, struct etcd_line *out)
{
	out->canceled = true;
	return copy_text(json_is_object(error) ? json_object_get(error, "message") : error, &out->reason);
}

static int read_line(const json_t *root, struct etcd_line *out)
{
	const json_t *result = json_object_get(root, "result"), *error = json_object_get(root, "error");
	int err;

	if (error)
		return read_broken(error, out);
	err = read_head(result, &out->head);
	if (!err)
		err = read_signed(result, "compact_revision", &out->compacted);
	if (!err)
		err = copy_text(json_object_get(result, "cancel_reason"), &out->reason);
	if (!err)
		err = read_pairs(json_object_get(result, "events"), read_event, &out->pairs, &out->n);
	out->created = json_is_true(json_object_get(result, "created"));
	out->canceled = json_is_true(json_object_get(result, "canceled"));
	return err;
}

int etcd_line_parse(const char *line, size_t len, struct etcd_line *out, char why[ETCD_WHY])
{
	_cleanup_(etcd_line_clear) struct etcd_line l = {};
	_cleanup_json_ json_t *root = NULL;
	int err = load(line, len, &root, why);

	if (err)
		return err;
	err = read_line(root, &l);
	if (err)
		return not_understood(err, "line of a watch", why);
	*out = l;
	l = (struct etcd_line){};
	return 0;
}

char *etcd_text(const char *body, size_t len, const char *name)
{
	_cleanup_json_ json_t *root = json_loadb(body, len, 0, NULL);
	char *text = NULL;

	copy_text(json_object_get(root, name), &text);
	return text;
}

bool etcd_number(const char *body, size_t len, const char *name, int64_t *out)
{
	_cleanup_json_ json_t *root = json_loadb(body, len, 0, NULL);

	return json_object_get(root, name) && !read_signed(root, name, out);
}

bool etcd_lease_lives(const char *body, size_t len)
{
	_cleanup_json_ json_t *root = json_loadb(body, len, JSON_DISABLE_EOF_CHECK, NULL);
	int64_t left = 0;

	return !read_signed(json_object_get(root, "result"), "TTL", &left) && left > 0;
}

bool etcd_head_went_back(const struct etcd_head *was, const struct etcd_head *now)
{
	return now->cluster != was->cluster || now->term < was->term || now->revision < was->revision;
}

/* ---- values ---- */

/* The first mistake, without the name and line before it: a value has one line, as a rule. */
static void note_mistake(void *arg, const char *sentence)
{
	const char *behind = strstr(sentence, ": ");
	char *why = arg;

	if (!*why)
		snprintf(why, ETCD_WHY, "%s", behind ? behind + 2 : sentence);
}

int etcd_value_parse(const uint8_t *value, size_t len, struct backend *out, char why[ETCD_WHY])
{
	_cleanup_free_ struct backend *list = NULL;
	size_t n = 0;
	int err;

	why[0] = '\0';
	err = config_parse_backends("value", (const char *)value, len, note_mistake, why, &list, &n);
	if (err)
		return err;
	if (n != 1) {
		snprintf(why, ETCD_WHY, "it holds %zu backends, and a key stands for one; give each a key of its own",
			 n);
		return -EINVAL;
	}
	*out = list[0];
	return 0;
}
