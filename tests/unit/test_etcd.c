/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* etcd's answers, and the source against a server that behaves as etcd's gateway does, or not, in the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clean.h"
#include "discovery/etcd_answer.h"
#include "discovery/etcd_ask.h"
#include "discovery/etcd_keys.h"
#include "discovery/etcd_session.h"
#include "discovery/source.h"
#include "heard.h"
#include "http_server.h"

/* ---- answers ---- */

static char why[ETCD_WHY];

/* In memory that ends where the text does, for the sanitizer. */
static int parse_range(const char *text, struct etcd_range *r)
{
	_cleanup_free_ char *exact = malloc(strlen(text) ?: 1);

	memcpy(exact, text, strlen(text));
	why[0] = '\0';
	return etcd_range_parse(exact, strlen(text), r, why);
}

static int parse_line(const char *text, struct etcd_line *l)
{
	_cleanup_free_ char *exact = malloc(strlen(text) ?: 1);

	memcpy(exact, text, strlen(text));
	why[0] = '\0';
	return etcd_line_parse(exact, strlen(text), l, why);
}

static int parse_value(const char *text, struct backend *b)
{
	_cleanup_free_ uint8_t *exact = malloc(strlen(text) ?: 1);

	memcpy(exact, text, strlen(text));
	return etcd_value_parse(exact, strlen(text), b, why);
}

#define HEAD \
	"\"header\":{\"cluster_id\":\"14841639068965178418\",\"member_id\":\"10276657743932975437\"," \
	"\"revision\":\"9007199254740993\",\"raft_term\":\"2\"}"
#define KV_A \
	"{\"key\":\"L3MvYQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\",\"version\":\"1\"," \
	"\"value\":\"eyJhZGRyZXNzIjoiMTAuMC4wLjE6ODAifQ==\"}"

static void a_range_has_its_keys_and_where_the_cluster_is(void **state)
{
	struct etcd_range r;

	(void)state;
	assert_int_equal(parse_range("{" HEAD ",\"kvs\":[" KV_A ",{\"key\":\"L3MvYg==\",\"mod_revision\":\"3\"}],"
				     "\"more\":true,\"count\":\"9\"}",
				     &r),
			 0);
	assert_true(r.head.cluster == 14841639068965178418u);
	assert_true(r.head.revision == 9007199254740993); /* no double holds it */
	assert_int_equal(r.head.term, 2);
	assert_int_equal(r.n, 2);
	assert_true(r.more);
	assert_string_equal((char *)r.pairs[0].key, "/s/a");
	assert_string_equal((char *)r.pairs[0].value, "{\"address\":\"10.0.0.1:80\"}");
	assert_int_equal(r.pairs[0].revision, 2);
	assert_int_equal(r.pairs[1].value_len, 0);
	etcd_range_clear(&r);
}

static void what_is_zero_is_left_out(void **state)
{
	struct etcd_range r;

	(void)state;
	assert_int_equal(parse_range("{\"header\":{\"cluster_id\":\"1\"}}", &r), 0);
	assert_int_equal(r.n, 0);
	assert_int_equal(r.head.revision, 0);
	assert_false(r.more);
	etcd_range_clear(&r);
}

static void lines_of_a_watch_say_what_they_are(void **state)
{
	struct etcd_line l;

	(void)state;
	assert_int_equal(parse_line("{\"result\":{" HEAD ",\"created\":true}}", &l), 0);
	assert_true(l.created && !l.canceled && !l.n);
	etcd_line_clear(&l);
	assert_int_equal(parse_line("{\"result\":{" HEAD ",\"events\":[{\"kv\":" KV_A "},"
				    "{\"type\":\"DELETE\",\"kv\":{\"key\":\"L3MvYw==\",\"mod_revision\":\"5\"}}]}}",
				    &l),
			 0);
	assert_int_equal(l.n, 2);
	assert_false(l.pairs[0].deleted);
	assert_true(l.pairs[1].deleted);
	assert_int_equal(l.pairs[1].revision, 5);
	etcd_line_clear(&l);
	assert_int_equal(
		parse_line("{\"result\":{\"header\":{\"cluster_id\":\"1\",\"raft_term\":\"2\"},\"canceled\":true,"
			   "\"compact_revision\":\"5\"}}",
			   &l),
		0);
	assert_true(l.canceled && l.compacted == 5 && !l.reason);
	etcd_line_clear(&l);
	assert_int_equal(parse_line("{\"result\":{" HEAD
				    ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,\"cancel_reason\":"
				    "\"rpc error: code = PermissionDenied desc = etcdserver: permission denied\"}}",
				    &l),
			 0);
	assert_true(l.created && l.canceled);
	assert_string_equal(l.reason, "rpc error: code = PermissionDenied desc = etcdserver: permission denied");
	etcd_line_clear(&l);
	assert_int_equal(
		parse_line("{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"transport is closing\","
			   "\"http_status\":\"Service Unavailable\"}}",
			   &l),
		0);
	assert_true(l.canceled);
	assert_string_equal(l.reason, "transport is closing");
	etcd_line_clear(&l);
}

static const char *const no_answers[] = {
	"",
	"{",
	"[]",
	"null",
	"<html>",
	"\xff\xfe",
	"{}",
	"{\"header\":[]}",
	"{\"header\":{\"revision\":\"x\"}}",
	"{\"header\":{\"revision\":\"-1\"}}",
	"{\"header\":{\"revision\":-1}}",
	"{\"header\":{\"revision\":1.5}}",
	"{\"header\":{\"revision\":\"9223372036854775808\"}}",
	"{\"header\":{\"revision\":\"99999999999999999999\"}}",
	"{" HEAD ",\"kvs\":{}}",
	"{" HEAD ",\"kvs\":[1]}",
	"{" HEAD ",\"kvs\":[{}]}",
	"{" HEAD ",\"kvs\":[{\"key\":\"!\"}]}",
	"{" HEAD ",\"kvs\":[{\"key\":7}]}",
	"{" HEAD ",\"kvs\":[{\"key\":\"YQ==\",\"value\":\"YQ\"}]}",
	"{" HEAD ",\"kvs\":[{\"key\":\"YQ==\",\"mod_revision\":{}}]}",
	"{" HEAD ",\"kvs\":[" KV_A ",{\"key\":\"YQ\"}]}",
};
static const char *const no_lines[] = {
	"{\"result\":7}",
	"{\"result\":{}}",
	"{\"result\":{" HEAD ",\"events\":7}}",
	"{\"result\":{" HEAD ",\"events\":[{}]}}",
	"{\"result\":{" HEAD ",\"events\":[{\"type\":\"MOVE\",\"kv\":" KV_A "}]}}",
	"{\"result\":{" HEAD ",\"events\":[{\"kv\":" KV_A "},{\"type\":\"DELETE\"}]}}",
	"{\"result\":{" HEAD ",\"compact_revision\":\"z\"}}",
	"{\"result\":{" HEAD "}",
};

static void garbage_is_no_answer(void **state)
{
	struct etcd_range r;
	struct etcd_line l;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(no_answers); i++) {
		assert_int_equal(parse_range(no_answers[i], &r), -EINVAL);
		assert_true(why[0]);
		assert_int_equal(parse_line(no_answers[i], &l), -EINVAL);
		assert_true(why[0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no_lines); i++)
		assert_int_equal(parse_line(no_lines[i], &l), -EINVAL);
}

/* Cut anywhere, a byte of it changed: no answer or another one, and never a byte outside it read. */
static void no_damage_is_harmful(void **state)
{
	static const char whole[] = "{\"result\":{" HEAD ",\"events\":[{\"kv\":" KV_A "}]}}";
	struct etcd_line l;

	(void)state;
	for (size_t i = 0; i < sizeof(whole) - 1; i++) {
		_cleanup_free_ char *text = strndup(whole, i);

		assert_int_equal(parse_line(text, &l), -EINVAL);
		for (int bit = 0; bit < 8; bit++) {
			char changed[sizeof(whole)];

			memcpy(changed, whole, sizeof(whole));
			changed[i] ^= 1 << bit;
			if (!etcd_line_parse(changed, sizeof(whole) - 1, &l, why))
				etcd_line_clear(&l);
		}
	}
}

static void a_value_is_one_backend(void **state)
{
	struct backend b;
	char text[ENDPOINT_TEXT], id[SERVER_ID_TEXT];

	(void)state;
	assert_int_equal(parse_value("{\"address\": \"10.0.0.11:80\", \"weight\": 50, \"state\": \"draining\", "
				     "\"server-id\": \"0a0b\"}",
				     &b),
			 0);
	assert_string_equal(endpoint_format(&b.at, text), "10.0.0.11:80");
	assert_int_equal(b.weight, 50);
	assert_int_equal(b.admin, ADMIN_DRAINING);
	assert_string_equal(server_id_format(&b.server_id, id), "0a0b");
	assert_int_equal(parse_value("{\"address\":\"[2001:db8::1]:80\"}", &b), 0);
	assert_int_equal(b.weight, WEIGHT_DEFAULT);
	assert_int_equal(b.admin, ADMIN_ENABLED);
}

static void a_value_that_is_none_is_answered_with_a_sentence(void **state)
{
	static const char *const values[][2] = {
		{ "", "" },
		{ "{", "" },
		{ "\xff\xff", "" },
		{ "[]", "0 backends" },
		{ "7", "" },
		{ "null", "" },
		{ "{\"weight\": 50}", "address" },
		{ "{\"address\": \"10.0.0.11:80\", \"wait\": 50}", "weight" },
		{ "{\"address\": \"host:80\"}", "host:80" },
		{ "[\"10.0.0.1:80\", \"10.0.0.2:80\"]",
		  "holds 2 backends, and a key stands for one; give each a key of its own" },
	};
	struct backend b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		assert_int_equal(parse_value(values[i][0], &b), -EINVAL);
		assert_true(why[0]);
		assert_true(strncmp(why, "value", 5) && !strchr(why, '\n'));
		if (!strstr(why, values[i][1]))
			fail_msg("%s: %s", values[i][0], why);
	}
}

/* ---- questions ---- */

static char *field(const char *body, const char *inner, const char *name)
{
	json_t *root = json_loads(body, 0, NULL), *of = inner ? json_object_get(root, inner) : root;
	const char *text = json_string_value(json_object_get(of, name));
	uint8_t *bytes = NULL;
	size_t n;

	assert_non_null(text);
	assert_int_equal(base64_decode(text, strlen(text), &bytes, &n), 0);
	json_decref(root);
	return (char *)bytes;
}

static void a_prefix_ends_where_its_last_byte_is_one_more(void **state)
{
	static const char *const ends[][2] = { { "/s/", "/s0" }, { "a", "b" }, { "a\xff", "b" }, { "\xff\xff", "" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		_cleanup_free_ char *body = etcd_ask_watch(ends[i][0], 7),
				    *end = field(body, "create_request", "range_end");

		assert_string_equal(end, ends[i][1]);
	}
}

static void the_next_page_begins_behind_the_last_key(void **state)
{
	_cleanup_free_ char *body = etcd_ask_range("/s/", (const uint8_t *)"/s/b", 4, 10, 5),
			    *key = field(body, NULL, "key");

	(void)state;
	assert_memory_equal(key, "/s/b\0", 6);
}

/* ---- keys ---- */

static void apply(struct etcd_keys *k, const char *key, const char *value)
{
	struct etcd_pair p = { .key = (uint8_t *)key,
			       .key_len = strlen(key),
			       .deleted = !value,
			       .value = (uint8_t *)value,
			       .value_len = value ? strlen(value) : 0 };

	assert_int_equal(etcd_keys_apply(k, &p), 0);
}

static void values_that_are_not_understood_are_told_and_left_out(void **state)
{
	_cleanup_(etcd_keys_clear) struct etcd_keys k = {};
	struct backend *list;
	char note[ETCD_NOTE];
	size_t n;

	(void)state;
	apply(&k, "/s/b", "{\"address\":\"10.0.0.2:80\"}");
	apply(&k, "/s/a", "{\"address\":\"10.0.0.1:80\"}");
	apply(&k, "/s/c\n", "oops");
	assert_int_equal(etcd_keys_backends(&k, &list, &n, note), 0);
	assert_int_equal(n, 2);
	assert_int_equal(list[0].at.addr.b[15], 1);
	free(list);
	assert_int_equal(strncmp(note, "1 of 3 values is not understood: /s/c?: \"oops\"", 46), 0);
	apply(&k, "/s/a", "");
	apply(&k, "/s/a", NULL);
	apply(&k, "/s/a", "");
	assert_int_equal(etcd_keys_backends(&k, &list, &n, note), 0);
	assert_int_equal(n, 1);
	free(list);
	assert_int_equal(strncmp(note, "2 of 3 values are not understood: /s/a: ", 40), 0);
	apply(&k, "/s/a", "10.0.0.1:80");
	apply(&k, "/s/c\n", NULL);
	apply(&k, "/s/none", NULL);
	assert_int_equal(etcd_keys_backends(&k, &list, &n, note), 0);
	assert_int_equal(n, 2);
	free(list);
	assert_string_equal(note, "");
}

static void expect_keys(const struct etcd_keys *k, size_t count, const char *note_head)
{
	_cleanup_free_ struct backend *list = NULL;
	char note[ETCD_NOTE];
	size_t n;

	assert_int_equal(etcd_keys_backends(k, &list, &n, note), 0);
	assert_int_equal(n, count);
	if (strncmp(note, note_head, strlen(note_head)))
		fail_msg("the note is: %s", note);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(list[i].at.addr.b[15], i + 1);
}

static void a_value_that_becomes_wrong_takes_nothing_away(void **state)
{
	_cleanup_(etcd_keys_clear) struct etcd_keys k = {}, later = {};

	(void)state;
	apply(&k, "/s/a", "10.0.0.1:80");
	apply(&k, "/s/b", "10.0.0.2:80");
	apply(&k, "/s/a", "oops");
	apply(&k, "/s/a", "oops again");
	expect_keys(&k, 2, "1 of 2 values is not understood (what the key said before stays): /s/a: ");
	apply(&k, "/s/c", "oops");
	expect_keys(&k, 2, "2 of 3 values are not understood (what 1 of them said before stays): /s/a: ");
	/* listed again: it is the same key still */
	apply(&later, "/s/a", "oops");
	apply(&later, "/s/b", "oops");
	apply(&later, "/s/c", "10.0.0.3:80");
	apply(&later, "/s/d", "oops");
	etcd_keys_recall(&later, &k);
	expect_keys(&later, 3, "3 of 4 values are not understood (what 2 of them said before stays): /s/a: ");
	apply(&later, "/s/d", NULL);
	apply(&later, "/s/b", "10.0.0.2:80");
	apply(&later, "/s/a", "10.0.0.1:80");
	expect_keys(&later, 3, "");
	apply(&later, "/s/b", "oops");
	apply(&later, "/s/c", NULL);
	apply(&later, "/s/b", NULL); /* the key goes: so does what it said */
	expect_keys(&later, 1, "");
	assert_int_equal(later.bad + later.kept, 0);
}

/* ---- a server ---- */

static struct fake {
	struct evhttp *http;
	uint16_t port;
	uint64_t cluster, term;
	int64_t revision, compacted;
	struct {
		char key[40], value[80];
	} keys[3000];
	size_t n;
	struct evhttp_request *stream; /* the last watch */
	unsigned ranges, pulses, watches, logins;
	int64_t watched_from;
	char token[20]; /* that is wanted; "": none */
	bool denied; /* the user may do nothing */
	bool no_leader;
	bool no_watch; /* a watch is taken, and over at once */
	bool repeats; /* each page is the first, and there are more */
} fake;

/* Why a request is refused; NULL: it is not. */
static const char *refusal(struct evhttp_request *q)
{
	const char *token = evhttp_find_header(evhttp_request_get_input_headers(q), "Authorization");

	if (fake.token[0] && !token)
		return "etcdserver: user name is empty";
	if (fake.token[0] && strcmp(token, fake.token))
		return "etcdserver: invalid auth token";
	return fake.denied ? "etcdserver: permission denied" : NULL;
}

static char *fake_head(char text[200])
{
	snprintf(text, 200,
		 "\"header\":{\"cluster_id\":\"%" PRIu64 "\",\"revision\":\"%" PRId64 "\",\"raft_term\":\"%" PRIu64
		 "\"}",
		 fake.cluster, fake.revision, fake.term);
	return text;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void fake_page(struct evhttp_request *q, const char *from, const char *end, size_t limit)
{
	struct evbuffer *body = evbuffer_new();
	char head[200];
	size_t given = 0, left = 0;

	if (fake.repeats)
		from = "";
	qsort(fake.keys, fake.n, sizeof(fake.keys[0]), by_name);
	evbuffer_add_printf(body, "{%s,\"kvs\":[", fake_head(head));
	for (size_t i = 0; i < fake.n; i++) {
		_cleanup_free_ char *key = base64_encode(fake.keys[i].key, strlen(fake.keys[i].key));
		_cleanup_free_ char *value = base64_encode(fake.keys[i].value, strlen(fake.keys[i].value));

		if (strcmp(fake.keys[i].key, from) < 0 || strcmp(fake.keys[i].key, end) >= 0)
			continue;
		if (given == limit)
			left++;
		else
			evbuffer_add_printf(body, "%s{\"key\":\"%s\",\"value\":\"%s\"}", given++ ? "," : "", key,
					    value);
	}
	evbuffer_add_printf(body, "]%s}", left || fake.repeats ? ",\"more\":true" : "");
	evhttp_send_reply(q, 200, "OK", body);
	evbuffer_free(body);
}

static void on_range(struct evhttp_request *q, void *arg)
{
	_cleanup_free_ char *key = NULL, *end = NULL;
	json_t *root = request_json(q);
	const char *coded = json_string_value(json_object_get(root, "key"));
	size_t limit = atoi(json_string_value(json_object_get(root, "limit")) ?: "0");
	bool pulse = json_is_true(json_object_get(root, "count_only"));
	const char *no = refusal(q);
	char *text, head[200];
	uint8_t *bytes;
	size_t n;

	(void)arg;
	fake.ranges += !pulse;
	fake.pulses += pulse;
	text = json_dumps(root, 0);
	if (fake.no_leader) {
		reply(q, 503, "{\"message\":\"etcdserver: no leader\",\"code\":14}");
	} else if (no) {
		reply(q,
		      strstr(no, "token")   ? 401
		      : strstr(no, "empty") ? 400
					    : 403,
		      "{\"error\":\"%s\",\"message\":\"%s\",\"code\":7}", no, no);
	} else if (pulse) {
		reply(q, 200, "{%s}", fake_head(head));
	} else {
		assert_int_equal(base64_decode(coded, strlen(coded), &bytes, &n), 0);
		key = (char *)bytes;
		if (n > strlen(key)) /* a zero follows the key that is known: strcmp must see it */
			key[n - 1] = '\x01';
		end = field(text, NULL, "range_end");
		fake_page(q, key, end, limit);
	}
	free(text);
	json_decref(root);
}

static void fake_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void fake_line(const char *fmt, ...)
{
	struct evbuffer *line = evbuffer_new();
	va_list args;

	va_start(args, fmt);
	evbuffer_add_vprintf(line, fmt, args);
	va_end(args);
	if (fake.stream)
		evhttp_send_reply_chunk(fake.stream, line);
	evbuffer_free(line);
}

static void on_stream_closed(struct evhttp_connection *c, void *arg)
{
	(void)c;
	if (fake.stream == arg)
		fake.stream = NULL;
	if (!evhttp_request_get_connection(arg)) /* the peer closed: it is ours now */
		evhttp_request_free(arg);
}

static void on_watch(struct evhttp_request *q, void *arg)
{
	json_t *root = request_json(q), *create = json_object_get(root, "create_request");
	const char *no = refusal(q);
	char head[200];

	(void)arg;
	fake.watches++;
	fake.watched_from = atoll(json_string_value(json_object_get(create, "start_revision")));
	json_decref(root);
	if (fake.no_watch) {
		reply(q, 200, "%s", "");
		return;
	}
	fake.stream = q;
	evhttp_connection_set_closecb(evhttp_request_get_connection(q), on_stream_closed, q);
	evhttp_send_reply_start(q, 200, "OK");
	if (no) {
		fake_line("{\"result\":{%s,\"created\":true,\"canceled\":true,\"cancel_reason\":\"rpc error: desc = "
			  "%s\"}}\n",
			  fake_head(head), no);
		return;
	}
	fake_line("{\"result\":{%s,\"created\":true}}\n", fake_head(head));
	if (fake.watched_from <= fake.compacted)
		fake_line("{\"result\":{\"header\":{\"cluster_id\":\"%" PRIu64 "\",\"raft_term\":\"%" PRIu64
			  "\"},\"canceled\":true,"
			  "\"compact_revision\":\"%" PRId64 "\"}}\n",
			  fake.cluster, fake.term, fake.compacted);
}

static void on_authenticate(struct evhttp_request *q, void *arg)
{
	json_t *root = request_json(q);
	const char *password = json_string_value(json_object_get(root, "password"));

	(void)arg;
	fake.logins++;
	if (!fake.token[0])
		reply(q, 412, "{\"message\":\"etcdserver: authentication is not enabled\",\"code\":9}");
	else if (!password || strcmp(password, "secret"))
		reply(q, 400,
		      "{\"message\":\"etcdserver: authentication failed, invalid user ID or password\",\"code\":3}");
	else
		reply(q, 200, "{\"header\":{},\"token\":\"%s\"}", fake.token);
	json_decref(root);
}

static void fake_listen(void)
{
	fake.http = http_listen(base, &fake.port);
	evhttp_set_cb(fake.http, "/v3/kv/range", on_range, NULL);
	evhttp_set_cb(fake.http, "/v3/watch", on_watch, NULL);
	evhttp_set_cb(fake.http, "/v3/auth/authenticate", on_authenticate, NULL);
}

static void fake_stop(void)
{
	evhttp_free(fake.http);
	fake.http = NULL;
	fake.stream = NULL;
}

static void fake_end_stream(void)
{
	struct evhttp_request *q = fake.stream;

	fake.stream = NULL;
	evhttp_connection_set_closecb(evhttp_request_get_connection(q), NULL, NULL);
	evhttp_send_reply_end(q);
}

/* Stored, and told unless value is NULL and the key is not there. */
static void fake_put(const char *key, const char *value)
{
	size_t i = 0;

	while (i < fake.n && strcmp(fake.keys[i].key, key))
		i++;
	snprintf(fake.keys[i].key, sizeof(fake.keys[i].key), "%s", key);
	snprintf(fake.keys[i].value, sizeof(fake.keys[i].value), "%s", value ?: "");
	fake.n += i == fake.n;
	fake.revision++;
	if (!value)
		fake.keys[i] = fake.keys[--fake.n];
}

static void fake_change(const char *key, const char *value)
{
	_cleanup_free_ char *k = base64_encode(key, strlen(key)), *v = base64_encode(value ?: "", strlen(value ?: ""));
	char head[200];

	fake_put(key, value);
	fake_line("{\"result\":{%s,\"events\":[{%s\"kv\":{\"key\":\"%s\",\"value\":\"%s\",\"mod_revision\":\"%" PRId64
		  "\"}}]}}\n",
		  fake_head(head), value ? "" : "\"type\":\"DELETE\",", k, v, fake.revision);
}

/* ---- what the source says ---- */

static struct finder heard;
static struct source conf;
static struct discover what;
static struct transfers *transfers;
static void *source, *watched;
static char url[2][64], password_file[40];

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	etcd_pulse_ms = 300;
	fake = (struct fake){ .cluster = 77, .term = 2, .revision = 10 };
	fake_listen();
	heard = (struct finder){};
	snprintf(url[0], sizeof(url[0]), "http://127.0.0.1:%u", fake.port);
	conf = source_default(SOURCE_ETCD);
	conf.servers.list = calloc(2, sizeof(char *));
	conf.servers.list[0] = url[0];
	conf.servers.n = 1;
	what = (struct discover){ .kind = SOURCE_ETCD, .name = "/s/" };
	assert_int_equal(transfers_new(base, &transfers), 0);
	fake_put("/s/a", "{\"address\":\"10.0.0.1:80\"}");
	return 0;
}

static void begin(void)
{
	struct source_env env = { .base = base, .transfers = transfers };

	assert_int_equal(source_etcd.open(&env, &conf, &source), 0);
	assert_int_equal(source_etcd.watch(source, &what, &heard, &watched), 0);
}

static int teardown(void **state)
{
	(void)state;
	if (watched)
		source_etcd.unwatch(watched);
	if (source)
		source_etcd.close(source);
	source = watched = NULL;
	transfers_free(transfers);
	if (fake.http)
		fake_stop();
	event_base_free(base);
	free(heard.set);
	free(conf.servers.list);
	if (password_file[0])
		unlink(password_file);
	password_file[0] = '\0';
	return 0;
}

/* The stream stands, and what was listed was told. */
static void begin_well(void)
{
	begin();
	run_until(heard.answers == 1 && fake.stream);
	assert_int_equal(heard.problems, 0);
}

static void keys_are_listed_then_followed(void **state)
{
	(void)state;
	begin_well();
	assert_int_equal(heard.n, 1);
	assert_string_equal(heard.version, "11");
	assert_int_equal(fake.watched_from, 12);
	fake_change("/s/b", "{\"address\":\"10.0.0.2:80\"}");
	run_until(heard.n == 2);
	assert_string_equal(heard.version, "12");
	fake_change("/s/a", NULL);
	run_until(heard.n == 1);
	assert_string_equal(heard.set, "10.0.0.2:80*100");
	fake_change("/s/a", "oops");
	run_until(heard.wrong && heard.problem[0]);
	assert_int_equal(heard.n, 1);
	assert_int_equal(fake.ranges, 1);
	assert_int_equal(heard.problems, 0);
}

static void many_keys_are_listed_in_pages_and_told_once(void **state)
{
	(void)state;
	for (int i = 0; i < 2500; i++) {
		snprintf(fake.keys[i].key, sizeof(fake.keys[i].key), "/s/%04d", i);
		snprintf(fake.keys[i].value, sizeof(fake.keys[i].value), "{\"address\":\"10.1.%d.%d:80\"}", i / 250,
			 i % 250 + 1);
	}
	fake.n = 2500;
	begin_well();
	assert_int_equal(heard.n, 2500);
	assert_int_equal(fake.ranges, 3);
}

static void pages_that_repeat_are_a_problem(void **state)
{
	(void)state;
	fake.repeats = true;
	begin();
	run_until(strstr(heard.problem, "there is more behind 1 keys: the same again"));
	assert_int_equal(heard.answers, 0);
	assert_in_range(fake.ranges, 2, 4);
	fake.repeats = false;
	run_until(heard.answers);
}

static void nothing_below_the_prefix_is_an_answer(void **state)
{
	(void)state;
	fake.n = 0;
	begin_well();
	assert_int_equal(heard.n, 0);
}

static void lines_that_come_together_are_one_snapshot(void **state)
{
	(void)state;
	begin_well();
	for (int i = 2; i < 102; i++) {
		char key[20], value[60];

		snprintf(key, sizeof(key), "/s/%d", i);
		snprintf(value, sizeof(value), "{\"address\":\"10.0.0.%d:80\"}", i);
		fake_change(key, value);
	}
	run_until(heard.n == 101);
	assert_in_range(heard.answers, 2, 10);
}

static void a_stream_that_ends_goes_on_behind_the_last_change(void **state)
{
	(void)state;
	begin_well();
	fake_change("/s/b", "{\"address\":\"10.0.0.2:80\"}");
	run_until(heard.n == 2);
	fake_end_stream();
	fake_put("/t/x", "of no interest");
	run_until(fake.stream);
	assert_int_equal(fake.watched_from, 13);
	fake_change("/s/c", "{\"address\":\"10.0.0.3:80\"}");
	run_until(heard.n == 3);
	assert_int_equal(fake.ranges, 1);
	assert_int_equal(heard.problems, 0);
}

/* As something between us and etcd may do: nothing that changes would be heard of, and nobody would know. */
static void a_stream_that_ends_before_it_begins_is_a_problem(void **state)
{
	(void)state;
	begin_well();
	fake.no_watch = true;
	fake_end_stream();
	run_until(heard.problems);
	assert_non_null(strstr(heard.problem, "ended the watch before it began"));
	heard.sames = 0;
	fake.no_watch = false;
	run_until(fake.stream && heard.sames);
}

static void half_a_line_counts_for_nothing(void **state)
{
	(void)state;
	begin_well();
	fake_line("{\"result\":{\"header\":{\"cluster_id\":\"77\"");
	fake_end_stream();
	run_until(fake.stream);
	assert_int_equal(fake.watched_from, 12);
	assert_int_equal(heard.problems, 0);
	assert_int_equal(fake.ranges, 1);
}

static void a_line_in_pieces_is_one(void **state)
{
	(void)state;
	begin_well();
	fake.revision++;
	fake_line("{\"result\":{\"header\":{\"cluster_id\":\"77\",\"revision\":\"12\",\"raft_term\":\"2\"},\"events\":["
		  "{\"kv\":{\"key\":\"L3");
	for (int i = 0; i < 10; i++)
		event_base_loop(base, EVLOOP_ONCE);
	fake_line("MvYg==\",\"mod_revision\":\"12\",\"value\":\"eyJhZGRyZXNzIjoiMTAuMC4wLjE6ODEifQ==\"}}]}}\n");
	run_until(heard.n == 2);
}

static void what_was_compacted_is_listed_again(void **state)
{
	(void)state;
	begin_well();
	fake_end_stream();
	fake_put("/s/b", "{\"address\":\"10.0.0.2:80\"}");
	fake_put("/s/a", NULL);
	fake.compacted = fake.revision;
	run_until(heard.answers == 2 && fake.stream);
	assert_string_equal(heard.set, "10.0.0.2:80*100");
	assert_int_equal(heard.n, 1);
	assert_int_equal(fake.ranges, 2);
	assert_int_equal(fake.watched_from, 14);
	assert_int_equal(heard.problems, 0);
}

static void a_canceled_watch_is_a_problem_then_goes_on(void **state)
{
	char head[200];

	(void)state;
	begin_well();
	fake_line("{\"result\":{%s,\"canceled\":true,\"cancel_reason\":\"so be it\"}}\n", fake_head(head));
	run_until(heard.problems == 1);
	assert_non_null(strstr(heard.problem, "so be it"));
	assert_non_null(strstr(heard.problem, url[0]));
	run_until(heard.sames >= 1);
	assert_int_equal(fake.ranges, 1);
	assert_int_equal(fake.watches, 2);
}

static void nonsense_in_the_stream_is_a_problem_then_goes_on(void **state)
{
	(void)state;
	begin_well();
	fake_line("<html>\n");
	run_until(heard.problems == 1);
	run_until(heard.sames >= 1);
	fake_change("/s/b", "{\"address\":\"10.0.0.2:80\"}");
	run_until(heard.n == 2);
}

static void a_cluster_that_went_back_is_listed_again(void **state)
{
	(void)state;
	begin_well();
	fake.revision = 5;
	strcpy(fake.keys[0].value, "{\"address\":\"10.0.0.9:80\"}");
	fake_end_stream();
	run_until(heard.answers == 2 && fake.stream);
	assert_string_equal(heard.set, "10.0.0.9:80*100");
	assert_string_equal(heard.version, "5");
	assert_int_equal(fake.watched_from, 6);
}

static void another_cluster_is_listed_again(void **state)
{
	(void)state;
	begin_well();
	fake.cluster = 78;
	fake.revision = 50;
	strcpy(fake.keys[0].value, "{\"address\":\"10.0.0.9:80\"}");
	fake_end_stream();
	run_until(heard.answers == 2 && fake.stream);
	assert_string_equal(heard.version, "50");
}

static void a_pulse_finds_that_the_cluster_went_back(void **state)
{
	(void)state;
	begin_well();
	fake.term = 1;
	run_until(heard.answers == 2);
	assert_int_equal(fake.ranges, 2);
	assert_in_range(fake.pulses, 1, 2);
}

static void a_server_that_is_gone_is_a_problem_until_it_is_back(void **state)
{
	(void)state;
	begin_well();
	fake_stop();
	run_until(heard.problems >= 1);
	assert_non_null(strstr(heard.problem, url[0]));
	fake_listen();
	run_until(fake.stream && heard.sames);
	assert_int_equal(fake.watched_from, 12);
	assert_int_equal(heard.answers, 1);
}

static void a_server_that_is_of_no_use_is_left_for_the_next(void **state)
{
	(void)state;
	strcpy(url[1], url[0]);
	strcpy(url[0], "http://127.0.0.1:1");
	conf.servers.list[1] = url[1];
	conf.servers.n = 2;
	begin_well();
}

static void a_server_without_a_leader_says_so(void **state)
{
	(void)state;
	fake.no_leader = true;
	begin();
	run_until(heard.problems >= 1);
	assert_non_null(strstr(heard.problem, "etcd says: etcdserver: no leader"));
	fake.no_leader = false;
	run_until(heard.answers == 1);
}

/* ---- users ---- */

static void with_user(const char *password)
{
	FILE *f;

	strcpy(fake.token, "one.1");
	strcpy(password_file, "/tmp/test_etcd.XXXXXX");
	f = fdopen(mkstemp(password_file), "w");
	fprintf(f, "%s\n", password);
	fclose(f);
	conf.user = "shunt";
	conf.password_file = password_file;
}

static void a_user_gets_a_token(void **state)
{
	(void)state;
	with_user("secret");
	begin_well();
	assert_int_equal(fake.logins, 1);
}

static void a_token_that_is_refused_is_got_anew(void **state)
{
	(void)state;
	with_user("secret");
	begin_well();
	strcpy(fake.token, "two.2");
	fake_end_stream(); /* the watch learns it by a line */
	run_until(heard.sames >= 1);
	assert_int_equal(fake.logins, 2);
	strcpy(fake.token, "three.3"); /* the pulse by a status: nobody else notices */
	run_until(heard.sames >= 2);
	assert_int_equal(fake.logins, 3);
	assert_int_equal(heard.answers, 1);
}

static void a_user_without_rights_is_a_problem_until_they_are_given(void **state)
{
	(void)state;
	with_user("secret");
	fake.denied = true;
	begin();
	run_until(heard.problems >= 2);
	assert_non_null(strstr(heard.problem, "permission denied; grant the user a role that may read the prefix /s/"));
	fake.denied = false;
	run_until(heard.answers == 1 && fake.stream);
	fake.denied = true;
	fake_end_stream();
	run_until(heard.problems >= 3);
	assert_int_equal(heard.answers, 1);
}

static void rights_that_are_taken_are_found_though_the_stream_stays(void **state)
{
	(void)state;
	with_user("secret");
	begin_well();
	fake.denied = true;
	run_until(heard.problems >= 1);
	assert_non_null(strstr(heard.problem, "permission denied"));
}

static void a_wrong_password_and_none_are_told_with_the_remedy(void **state)
{
	(void)state;
	with_user("wrong");
	begin();
	run_until(heard.problems >= 1);
	assert_non_null(strstr(heard.problem, "mend user or password-file"));
	unlink(password_file);
	heard.problems = 0;
	run_until(heard.problems >= 1 && strstr(heard.problem, "cannot be read"));
}

static void a_server_that_wants_a_user_says_so(void **state)
{
	(void)state;
	strcpy(fake.token, "one.1");
	begin();
	run_until(heard.problems >= 1);
	assert_non_null(strstr(heard.problem, "give the source user and password-file"));
}

static void a_user_is_not_needed_where_users_are_not_enabled(void **state)
{
	(void)state;
	with_user("secret");
	fake.token[0] = '\0';
	begin_well();
}

#define with_server(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_has_its_keys_and_where_the_cluster_is),
		cmocka_unit_test(what_is_zero_is_left_out),
		cmocka_unit_test(lines_of_a_watch_say_what_they_are),
		cmocka_unit_test(garbage_is_no_answer),
		cmocka_unit_test(no_damage_is_harmful),
		cmocka_unit_test(a_value_is_one_backend),
		cmocka_unit_test(a_value_that_is_none_is_answered_with_a_sentence),
		cmocka_unit_test(a_prefix_ends_where_its_last_byte_is_one_more),
		cmocka_unit_test(the_next_page_begins_behind_the_last_key),
		cmocka_unit_test(values_that_are_not_understood_are_told_and_left_out),
		cmocka_unit_test(a_value_that_becomes_wrong_takes_nothing_away),
		with_server(keys_are_listed_then_followed),
		with_server(many_keys_are_listed_in_pages_and_told_once),
		with_server(pages_that_repeat_are_a_problem),
		with_server(nothing_below_the_prefix_is_an_answer),
		with_server(lines_that_come_together_are_one_snapshot),
		with_server(a_stream_that_ends_goes_on_behind_the_last_change),
		with_server(a_stream_that_ends_before_it_begins_is_a_problem),
		with_server(half_a_line_counts_for_nothing),
		with_server(a_line_in_pieces_is_one),
		with_server(what_was_compacted_is_listed_again),
		with_server(a_canceled_watch_is_a_problem_then_goes_on),
		with_server(nonsense_in_the_stream_is_a_problem_then_goes_on),
		with_server(a_cluster_that_went_back_is_listed_again),
		with_server(another_cluster_is_listed_again),
		with_server(a_pulse_finds_that_the_cluster_went_back),
		with_server(a_server_that_is_gone_is_a_problem_until_it_is_back),
		with_server(a_server_that_is_of_no_use_is_left_for_the_next),
		with_server(a_server_without_a_leader_says_so),
		with_server(a_user_gets_a_token),
		with_server(a_token_that_is_refused_is_got_anew),
		with_server(a_user_without_rights_is_a_problem_until_they_are_given),
		with_server(rights_that_are_taken_are_found_though_the_stream_stays),
		with_server(a_wrong_password_and_none_are_told_with_the_remedy),
		with_server(a_server_that_wants_a_user_says_so),
		with_server(a_user_is_not_needed_where_users_are_not_enabled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
