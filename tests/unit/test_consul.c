/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Consul's answers, and the source against a server that behaves as Consul does, or not, in the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clean.h"
#include "discovery/backoff.h"
#include "discovery/consul_answer.h"
#include "discovery/source.h"
#include "heard.h"
#include "http_server.h"

/* ---- answers ---- */

static struct backend *list;
static size_t n;
static char note[CONSUL_NOTE];
static bool wrong; /* of the last answer */

static int parse_tagged(const char *text, size_t len, const char *tag1, const char *tag2)
{
	char *tags[] = { (char *)tag1, (char *)tag2 };
	struct discover what = { .kind = SOURCE_CONSUL, .name = "web", .tags = { tags, !!tag1 + !!tag2 } };
	/* exactly as long as it says, for the sanitizer */
	_cleanup_free_ char *exact = malloc(len ?: 1);

	memcpy(exact, text, len);
	free(TAKE_PTR(list));
	n = 0;
	return consul_answer(exact, len, &what, &list, &n, note, &wrong);
}

static int parse(const char *text)
{
	return parse_tagged(text, strlen(text), NULL, NULL);
}

static int parse_end(void **state)
{
	(void)state;
	free(TAKE_PTR(list));
	return 0;
}

/* What a Consul 1.8 said of six instances: passing, warning, in maintenance, warning with a weight of 0 and without an
 * address, critical, with a host's name for an address. To be freed. */
static char *real_answer(void)
{
	FILE *f = fopen("tests/unit/consul/web.json", "r");
	char *text = calloc(1, 65536);

	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) > 1000);
	fclose(f);
	return text;
}

static void assert_backend(size_t i, const char *at, uint32_t weight)
{
	char text[ENDPOINT_TEXT];

	assert_true(i < n);
	assert_string_equal(endpoint_format(&list[i].at, text), at);
	assert_int_equal(list[i].weight, weight);
	assert_int_equal(list[i].admin, ADMIN_ENABLED);
}

static void instances_are_backends_with_the_weight_of_their_state(void **state)
{
	_cleanup_free_ char *text = real_answer();
	char id[SERVER_ID_TEXT];

	(void)state;
	assert_int_equal(parse(text), 0);
	assert_int_equal(n, 3);
	assert_backend(0, "10.0.0.1:80", 300);
	assert_string_equal(server_id_format(&list[0].server_id, id), "0a0b");
	assert_backend(1, "10.0.0.2:80", 200);
	assert_int_equal(list[1].server_id.length, 0);
	assert_backend(2, "127.0.0.1:8080", 0);
	assert_string_equal(note, "2 of 6 instances are critical; "
				  "1 of 6 instances has no IP address that could be used and is left out (\"host.example\")");
}

static void only_instances_with_all_tags_count_whatever_their_case(void **state)
{
	_cleanup_free_ char *text = real_answer();

	(void)state;
	assert_int_equal(parse_tagged(text, strlen(text), "v2", NULL), 0);
	assert_int_equal(n, 3);
	assert_string_equal(note, "");
	assert_int_equal(parse_tagged(text, strlen(text), "BLUE", "v2"), 0);
	assert_int_equal(n, 1);
	assert_backend(0, "10.0.0.1:80", 300);
	assert_int_equal(parse_tagged(text, strlen(text), "v2", "green"), 0);
	assert_int_equal(n, 0);
	assert_string_equal(note, "none of 6 instances has all the tags");
	assert_int_equal(parse_tagged(text, strlen(text), "green", NULL), 0);
	assert_string_equal(note, "none of 6 instances has the tag");
}

static void no_instances_are_an_answer(void **state)
{
	(void)state;
	assert_int_equal(parse("[]"), 0);
	assert_int_equal(n, 0);
	assert_string_equal(note, "there is no such service, or we may not read it");
	assert_int_equal(parse(" [ ]\n"), 0);
	assert_int_equal(n, 0);
}

static void when_all_are_critical_the_note_says_so(void **state)
{
	(void)state;
	assert_int_equal(parse("[{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"Port\":80},\"Checks\":["
			       "{\"CheckID\":\"_node_maintenance\",\"Status\":\"critical\"},{\"Status\":\"passing\"}]}]"), 0);
	assert_int_equal(n, 0);
	assert_string_equal(note, "1 of 1 instance is critical");
}

#define ONE(service, checks) "[{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{" service "},\"Checks\":" checks "}]"
#define WEIGHTS(passing, warning) "\"Port\":80,\"Weights\":{\"Passing\":" passing ",\"Warning\":" warning "}"

static void a_state_that_nobody_knows_is_critical(void **state)
{
	(void)state;
	assert_int_equal(parse(ONE("\"Port\":80", "[{\"Status\":\"splendid\"}]")), 0);
	assert_int_equal(n, 0);
	assert_string_equal(note, "1 of 1 instance is critical");
}

static void without_checks_an_instance_passes(void **state)
{
	(void)state;
	assert_int_equal(parse(ONE("\"Port\":80,\"Tags\":null,\"Meta\":null", "null")), 0);
	assert_backend(0, "10.0.0.1:80", 100);
	assert_int_equal(parse(ONE("\"Port\":80", "[]")), 0);
	assert_backend(0, "10.0.0.1:80", 100);
}

static void ipv6_addresses_are_taken(void **state)
{
	(void)state;
	assert_int_equal(parse(ONE("\"Address\":\"2001:db8::1\",\"Port\":443", "[]")), 0);
	assert_backend(0, "[2001:db8::1]:443", 100);
}

static void addresses_and_ports_of_nobody_are_left_out_and_told(void **state)
{
	static const char *const bad[] = {
		ONE("\"Address\":\"0.0.0.0\",\"Port\":80", "[]"),   ONE("\"Address\":\"224.0.0.1\",\"Port\":80", "[]"),
		ONE("\"Address\":\"unix:///x\",\"Port\":80", "[]"), ONE("\"Port\":70000", "[]"),
		ONE("\"Port\":-1", "[]"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse(bad[i]), 0);
		assert_int_equal(n, 0);
		assert_non_null(strstr(note, "left out"));
	}
	assert_string_equal(note, "1 of 1 instance has a port above 65535 and is left out (\"-1\")");
}

static void weights_are_a_hundred_times_as_large_and_end_at_the_most(void **state)
{
	(void)state;
	assert_int_equal(parse(ONE(WEIGHTS("655", "1"), "[]")), 0);
	assert_backend(0, "10.0.0.1:80", 65500);
	assert_string_equal(note, "");
	assert_int_equal(parse(ONE(WEIGHTS("656", "1"), "[]")), 0);
	assert_backend(0, "10.0.0.1:80", WEIGHT_MAX);
	assert_string_equal(note, "1 of 1 instance has a weight above 655 and gets that");
	assert_int_equal(parse(ONE(WEIGHTS("9223372036854775807", "1"), "[]")), 0);
	assert_backend(0, "10.0.0.1:80", WEIGHT_MAX);
	assert_int_equal(parse(ONE(WEIGHTS("-5", "1"), "[]")), 0);
	assert_backend(0, "10.0.0.1:80", 0);
	assert_int_equal(parse(ONE(WEIGHTS("5", "0"), "[{\"Status\":\"warning\"}]")), 0);
	assert_backend(0, "10.0.0.1:80", 0);
}

static void a_server_id_that_is_none_is_told(void **state)
{
	(void)state;
	assert_int_equal(parse(ONE("\"Port\":80,\"Meta\":{\"shunt-server-id\":\"x\"}", "[]")), 0);
	assert_backend(0, "10.0.0.1:80", 100);
	assert_int_equal(list[0].server_id.length, 0);
	assert_string_equal(note, "1 of 1 instance has a shunt-server-id that is none (\"x\")");
}

static void what_is_no_answer_is_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {
		"", "null", "{}", "\"web\"", "rpc error", "<html>", "[", "[{", "[{}", "[1]", "[{},]", "[{}]", "[[]]", "[null]", "[]]",
		"[] x", "[{\"Service\":[]}]", "[{\"Service\":{}}]",
		ONE("\"Port\":80", "{}"), ONE("\"Port\":80", "[{}]"), ONE("\"Port\":80", "[{\"Status\":1}]"),
		ONE("\"Port\":80", "[7]"), ONE("\"Port\":\"80\"", "[]"), ONE("\"Port\":80.5", "[]"),
		ONE("\"Port\":80,\"Address\":7", "[]"), ONE("\"Port\":80,\"Meta\":{\"shunt-server-id\":7}", "[]"),
		ONE(WEIGHTS("\"1\"", "1"), "[]"), ONE(WEIGHTS("1.5", "1"), "[]"),
		ONE(WEIGHTS("99999999999999999999999999", "1"), "[]"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		note[0] = '\0';
		if (parse(bad[i]) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_true(note[0]);
		assert_null(list);
	}
}

static void every_beginning_of_an_answer_is_refused(void **state)
{
	_cleanup_free_ char *text = real_answer();
	size_t len = strlen(text);

	(void)state;
	while (text[len - 1] != ']')
		len--;
	assert_int_equal(parse_tagged(text, len, NULL, NULL), 0);
	for (size_t part = 0; part < len; part += part < 200 ? 1 : 7)
		assert_int_equal(parse_tagged(text, part, NULL, NULL), -EINVAL);
}

static void broken_bytes_do_no_harm(void **state)
{
	_cleanup_free_ char *text = real_answer();
	size_t len = strlen(text);

	(void)state;
	srandom(1);
	for (int i = 0; i < 3000; i++) {
		size_t at = random() % len;
		char was = text[at];

		text[at] = random();
		parse_tagged(text, len, "v2", NULL);
		if (i % 4)
			text[at] = was;
	}
}

static void a_note_has_its_end(void **state)
{
	char text[4096] = "[", *at = text + 1;

	(void)state;
	for (int i = 0; i < 5; i++)
		at += sprintf(at, "%s{\"Service\":{\"Address\":\"%s\",\"Port\":%s,\"Meta\":{\"shunt-server-id\":\"%0*d\"},"
				  "\"Weights\":{\"Passing\":1000}},\"Checks\":[%s]}", i ? "," : "", i == 1 ? "x\\u001b\\n\\u0000" : "10.0.0.1",
			      i == 2 ? "99999999" : "80", 300, 0, i == 3 ? "{\"Status\":\"critical\"}" : "");
	strcpy(at, "]");
	assert_int_equal(parse(text), 0);
	assert_int_equal(n, 2);
	assert_true(strlen(note) < CONSUL_NOTE);
	assert_non_null(strstr(note, "(\"x???\")"));
}

/* ---- a server ---- */

/* A request that waits for a change, or for its time. */
struct held {
	struct evhttp_request *request;
	struct event *timer;
	LIST_ENTRY(held) place;
};

/* index, status, body and leader are what it says; it blocks as Consul does. */
static struct server {
	struct evhttp *http;
	uint16_t port;
	uint64_t index;
	int status;
	const char *body, *leader, *contact;
	const char *filtered; /* NULL: nothing is said of that */
	bool silent; /* never answers */
	bool cut; /* breaks off in the middle */
	bool hasty; /* does not block */
	bool restless; /* nor says the same twice */
	unsigned requests, plain; /* of them, those without an index */
	char uri[256], token[64]; /* of the last one */
	unsigned wait_ms;
	LIST_HEAD(, held) held;
	unsigned n_held, most_held;
	double asked_s; /* when the last request came */
} server;

static void on_cut(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	evhttp_connection_free(arg);
}

static void break_off(struct evhttp_request *r)
{
	static const char part[] = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n[{\"Node\":";
	struct evhttp_connection *c = evhttp_request_get_connection(r);

	assert_int_equal(write(bufferevent_getfd(evhttp_connection_get_bufferevent(c)), part, strlen(part)), strlen(part));
	event_base_once(base, -1, EV_TIMEOUT, on_cut, c, &(struct timeval){});
}

static void answer(struct evhttp_request *r)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(r);
	char index[24];

	if (server.cut) {
		break_off(r);
		return;
	}
	snprintf(index, sizeof(index), "%llu", (unsigned long long)server.index);
	evhttp_add_header(headers, "X-Consul-Index", index);
	evhttp_add_header(headers, "X-Consul-Knownleader", server.leader);
	evhttp_add_header(headers, "X-Consul-Lastcontact", server.contact);
	if (server.filtered)
		evhttp_add_header(headers, "X-Consul-Results-Filtered-By-Acls", server.filtered);
	reply(r, server.status, "%s", server.body);
}

static void held_free(struct held *h)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(h->request), NULL, NULL);
	LIST_REMOVE(h, place);
	server.n_held--;
	event_free(h->timer);
	free(h);
}

static void on_wait_over(evutil_socket_t fd, short what, void *arg)
{
	struct held *h = arg;
	struct evhttp_request *r = h->request;

	(void)fd, (void)what;
	held_free(h);
	answer(r);
}

static void on_client_gone(struct evhttp_connection *c, void *arg)
{
	(void)c;
	held_free(arg);
}

static void hold(struct evhttp_request *r, unsigned ms)
{
	struct held *h = calloc(1, sizeof(*h));
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	h->request = r;
	h->timer = evtimer_new(base, on_wait_over, h);
	if (ms)
		event_add(h->timer, &tv);
	evhttp_connection_set_closecb(evhttp_request_get_connection(r), on_client_gone, h);
	LIST_INSERT_HEAD(&server.held, h, place);
	if (++server.n_held > server.most_held)
		server.most_held = server.n_held;
}

static void release_all(void)
{
	while (!LIST_EMPTY(&server.held))
		on_wait_over(-1, 0, LIST_FIRST(&server.held));
}

/* A change: who waits is answered. */
static void change(uint64_t index, const char *body)
{
	server.index = index;
	server.body = body;
	release_all();
}

static const char *restless[2]; /* answers in turn, where it is */

static void on_request(struct evhttp_request *r, void *arg)
{
	const char *index, *wait, *token;
	struct evkeyvalq query;

	(void)arg;
	server.requests++;
	if (server.hasty && server.restless)
		server.body = server.requests & 1 ? restless[0] : restless[1];
	server.asked_s = now_s();
	snprintf(server.uri, sizeof(server.uri), "%s", evhttp_request_get_uri(r));
	token = evhttp_find_header(evhttp_request_get_input_headers(r), "X-Consul-Token");
	snprintf(server.token, sizeof(server.token), "%s", token ?: "");
	evhttp_parse_query_str(evhttp_uri_get_query(evhttp_request_get_evhttp_uri(r)) ?: "", &query);
	index = evhttp_find_header(&query, "index");
	wait = evhttp_find_header(&query, "wait");
	server.plain += !index;
	if (wait)
		server.wait_ms = atoi(wait);
	if (server.silent)
		hold(r, 0);
	else if (index && server.index <= strtoull(index, NULL, 10) && !server.hasty && server.status == 200)
		hold(r, server.wait_ms);
	else
		answer(r);
	evhttp_clear_headers(&query);
}

static void server_start(void)
{
	server.http = http_listen(base, &server.port);
	evhttp_set_gencb(server.http, on_request, NULL);
}

static void server_stop(void)
{
	while (!LIST_EMPTY(&server.held)) {
		struct held *h = LIST_FIRST(&server.held);
		struct evhttp_connection *c = evhttp_request_get_connection(h->request);

		held_free(h);
		evhttp_connection_free(c);
	}
	evhttp_free(server.http);
	server.http = NULL;
}

/* ---- a source, and questions ---- */

#define QUESTIONS_MAX 400

static struct transfers *transfers;
static struct source conf;
static void *source;
static struct finder finders[QUESTIONS_MAX], *finder = &finders[0];
static struct discover whats[QUESTIONS_MAX];
static void *watches[QUESTIONS_MAX];
static char names[QUESTIONS_MAX][16];
static size_t n_watches;
static char url[64], *urls[1] = { url };

#define ONE_AT(address) \
	"[{\"Node\":{\"Address\":\"10.0.0.1\"},\"Service\":{\"Address\":\"" address "\",\"Port\":80},\"Checks\":[]}]"

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	server = (struct server){ .index = 10, .status = 200, .body = ONE_AT("10.0.0.1"), .leader = "true", .contact = "0" };
	server_start();
	memset(finders, 0, sizeof(finders));
	n_watches = 0;
	source = NULL;
	conf = source_default(SOURCE_CONSUL);
	conf.name = "consul";
	conf.timeout_ms = 300;
	conf.servers = (struct texts){ urls, 1 };
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", server.port);
	return transfers_new(base, &transfers);
}

static void open_source(void)
{
	assert_int_equal(source_consul.open(&(struct source_env){ .base = base, .transfers = transfers }, &conf, &source), 0);
}

static void ask(size_t upto)
{
	if (!source)
		open_source();
	for (; n_watches < upto; n_watches++) {
		struct discover *what = &whats[n_watches];

		snprintf(names[n_watches], sizeof(names[0]), "s%zu", n_watches);
		*what = (struct discover){ .kind = SOURCE_CONSUL, .name = names[n_watches] };
		assert_int_equal(source_consul.watch(source, what, &finders[n_watches], &watches[n_watches]), 0);
	}
}

static int teardown(void **state)
{
	(void)state;
	while (n_watches)
		source_consul.unwatch(watches[--n_watches]);
	if (source)
		source_consul.close(source);
	for (size_t i = 0; i < QUESTIONS_MAX; i++)
		free(finders[i].set);
	transfers_free(transfers);
	if (server.http)
		server_stop();
	event_base_free(base);
	return 0;
}

static void the_first_question_does_not_block_and_the_next_does(void **state)
{
	(void)state;
	ask(1);
	assert_int_equal(server.requests, 0);
	run_until(finder->answers == 1);
	assert_string_equal(finder->set, "10.0.0.1:80*100");
	assert_string_equal(finder->version, "10");
	assert_string_equal(finder->note, "");
	assert_string_equal(server.uri, "/v1/health/service/s0?");
	run_until(server.n_held == 1);
	assert_string_equal(server.uri, "/v1/health/service/s0?index=10&wait=60000ms");
	assert_int_equal(server.requests, 2);
}

static void a_change_is_told_and_the_next_question_goes_out_at_once(void **state)
{
	double begin, told;

	(void)state;
	ask(1);
	run_until(server.n_held == 1);
	begin = now_s();
	change(11, ONE_AT("10.0.0.2"));
	run_until(finder->answers == 2);
	told = now_s();
	assert_string_equal(finder->set, "10.0.0.2:80*100");
	assert_string_equal(finder->version, "11");
	run_until(server.n_held == 1);
	assert_true(now_s() - begin < 0.5 && now_s() - told < 0.1);
	assert_int_equal(server.plain, 1);
}

static void a_return_without_a_change_is_not_news(void **state)
{
	(void)state;
	ask(1);
	run_until(server.n_held == 1);
	release_all();
	run_until(finder->sames == 1);
	change(11, server.body);
	run_for(0.05);
	assert_int_equal(finder->sames, 2);
	assert_int_equal(finder->answers, 1);
	assert_int_equal(finder->problems, 0);
}

static void names_and_datacenters_are_escaped(void **state)
{
	struct discover what = { .kind = SOURCE_CONSUL, .name = "a/b?&c", .datacenter = "d c" };

	(void)state;
	open_source();
	assert_int_equal(source_consul.watch(source, &what, finder, &watches[n_watches++]), 0);
	run_until(finder->answers == 1);
	assert_string_equal(server.uri, "/v1/health/service/a%2Fb%3F%26c?dc=d%20c&");
}

static void the_source_has_a_datacenter_unless_the_question_has(void **state)
{
	(void)state;
	conf.datacenter = "dc9";
	ask(1);
	run_until(finder->answers == 1);
	assert_string_equal(server.uri, "/v1/health/service/s0?dc=dc9&");
}

static void a_url_may_end_in_a_slash(void **state)
{
	(void)state;
	strcat(url, "/");
	ask(1);
	run_until(finder->answers == 1);
	assert_string_equal(server.uri, "/v1/health/service/s0?");
}

static void an_index_that_goes_back_begins_anew(void **state)
{
	(void)state;
	ask(1);
	run_until(server.n_held == 1);
	assert_int_equal(server.plain, 1);
	change(3, ONE_AT("10.0.0.3"));
	run_until(finder->answers == 2);
	assert_string_equal(finder->set, "10.0.0.3:80*100");
	run_until(server.n_held == 1);
	assert_int_equal(server.plain, 2);
	assert_string_equal(server.uri, "/v1/health/service/s0?index=3&wait=60000ms");
	assert_int_equal(finder->problems, 0);
}

static void an_index_of_zero_is_one(void **state)
{
	(void)state;
	server.index = 0;
	ask(1);
	run_until(server.n_held == 1);
	assert_string_equal(server.uri, "/v1/health/service/s0?index=1&wait=60000ms");
}

static void a_server_that_does_not_block_is_left_alone_for_longer_and_longer(void **state)
{
	unsigned first;

	(void)state;
	server.hasty = true;
	ask(1);
	run_for(0.5);
	first = server.requests;
	assert_in_range(first, 4, 12);
	run_for(1.0);
	assert_in_range(server.requests - first, 1, 3);
	assert_int_equal(finder->answers, 1);
	server.body = ONE_AT("10.0.0.7");
	run_until(finder->answers == 2);
}

/* Such as what each check says, with the time: nothing that we want to know. */
static void nor_is_one_whose_answers_differ_in_what_is_not_asked_for(void **state)
{
	(void)state;
	restless[0] = ONE_AT("10.0.0.1");
	restless[1] = ONE_AT("10.0.0.1") " ";
	server.hasty = server.restless = true;
	ask(1);
	run_for(1.0);
	assert_in_range(server.requests, 4, 60);
}

static void an_answer_of_none_is_handed_on_and_looked_at_again_soon(void **state)
{
	(void)state;
	ask(1);
	run_until(server.n_held == 1);
	change(11, "[]");
	run_until(finder->answers == 2);
	assert_int_equal(finder->n, 0);
	assert_int_equal(finder->problems, 0);
	run_until(server.n_held == 1);
	assert_string_equal(server.uri, "/v1/health/service/s0?index=11&wait=3000ms");
	change(12, ONE_AT("10.0.0.1"));
	run_until(server.n_held == 1);
	assert_string_equal(server.uri, "/v1/health/service/s0?index=12&wait=60000ms");
}

static void a_large_answer_is_not_asked_for_without_a_rest(void **state)
{
	static const char one[] = "{\"Service\":{\"Address\":\"10.0.0.1\",\"Port\":80},\"Checks\":[]},";
	_cleanup_free_ char *body = malloc(100000 * sizeof(one));
	char *at = body;

	(void)state;
	*at++ = '[';
	for (int i = 0; i < 100000; i++)
		at = stpcpy(at, one);
	at[-1] = ']';
	server.body = body;
	ask(1);
	run_until(server.n_held == 1);
	assert_int_equal(finder->n, 100000);
	assert_true(server.asked_s - finder->answered_s > 0.02);
	release_all();
	run_until(finder->sames == 1);
}

static void an_error_is_a_problem_with_the_servers_words(void **state)
{
	(void)state;
	server.status = 500;
	server.body = "No path to datacenter\nsecond line";
	ask(1);
	run_until(finder->problems == 1);
	assert_non_null(strstr(finder->problem, ": status 500: No path to datacenter"));
	assert_null(strstr(finder->problem, "second"));
	assert_non_null(strstr(finder->problem, url));
	server.status = 200;
	server.body = ONE_AT("10.0.0.1");
	run_until(finder->answers == 1);
}

static void a_denial_says_what_to_do(void **state)
{
	(void)state;
	server.status = 403;
	server.body = "ACL not found";
	ask(1);
	run_until(finder->problems == 1);
	assert_non_null(strstr(finder->problem, ": status 403: ACL not found; give the source a token-file"));
}

static void after_a_failure_questions_come_back_ever_more_slowly_and_do_not_block(void **state)
{
	(void)state;
	ask(1);
	run_until(server.n_held == 1);
	server.status = 500;
	server.body = "rpc error";
	release_all();
	run_until(finder->problems == 1);
	run_for(1.5);
	assert_in_range(finder->problems, 3, 6);
	server.status = 200;
	server.body = ONE_AT("10.0.0.1");
	server.index = 2; /* it has forgotten: a blocking query for 11 would hang */
	run_until(finder->sames == 1);
	run_until(server.n_held == 1);
	assert_string_equal(server.uri, "/v1/health/service/s0?index=2&wait=60000ms");
}

static void without_a_leader_it_is_no_answer(void **state)
{
	(void)state;
	server.leader = "false";
	server.body = "[]";
	ask(1);
	run_until(finder->problems == 1);
	assert_int_equal(finder->answers, 0);
	assert_non_null(strstr(finder->problem, "no leader"));
	server.leader = "true";
	run_until(finder->answers == 1);
}

/* What we may not read any more is missing from an answer as if it were gone. */
static void an_answer_that_was_filtered_is_none(void **state)
{
	(void)state;
	server.filtered = "false";
	ask(1);
	run_until(server.n_held == 1);
	server.filtered = "true";
	change(11, "[]");
	run_until(finder->problems == 1);
	assert_int_equal(finder->answers, 1);
	assert_non_null(strstr(finder->problem, ": without a token we may not read all of service s0; give the source a token-file"));
	server.filtered = NULL;
	run_until(finder->answers == 2);
}

static void an_answer_that_may_be_old_says_so(void **state)
{
	(void)state;
	server.contact = "12000";
	ask(1);
	run_until(server.n_held == 1);
	assert_string_equal(finder->note, "this may be old: the server has not heard from its leader for 12 s");
	server.contact = "0";
	release_all();
	run_until(finder->answers == 2);
	assert_string_equal(finder->note, "");
}

static void an_answer_that_breaks_off_is_a_problem(void **state)
{
	(void)state;
	server.cut = true;
	ask(1);
	run_until(finder->problems == 1);
	assert_int_equal(finder->answers, 0);
	assert_non_null(strstr(finder->problem, "broke off"));
	server.cut = false;
	run_until(finder->answers == 1);
}

static void nonsense_is_a_problem(void **state)
{
	(void)state;
	server.body = "<html>welcome</html>";
	ask(1);
	run_until(finder->problems == 1);
	assert_non_null(strstr(finder->problem, "no answer of Consul's: this is no list of instances"));
}

static void silence_is_a_problem_in_time(void **state)
{
	double begin = now_s();

	(void)state;
	server.silent = true;
	ask(1);
	run_until(finder->problems == 1);
	assert_in_range((now_s() - begin) * 1000, 250, 1500);
	server.silent = false;
	run_until(finder->answers == 1);
}

static void a_server_that_was_away_is_found_again(void **state)
{
	(void)state;
	ask(1);
	run_until(server.n_held == 1);
	server_stop();
	run_until(finder->problems == 2);
	server_start();
	server.index = 1;
	run_until(finder->sames == 1);
	run_until(server.n_held == 1);
}

static void of_several_servers_another_is_asked_when_one_is_of_no_use(void **state)
{
	static char nobody[] = "http://127.0.0.1:1";
	static char *both[] = { url, nobody };

	(void)state;
	conf.servers = (struct texts){ both, 2 };
	server.status = 500;
	ask(1);
	run_until(finder->problems == 1);
	assert_non_null(strstr(finder->problem, "status 500"));
	run_until(finder->problems == 2);
	assert_non_null(strstr(finder->problem, nobody));
	run_until(finder->problems == 3);
	assert_non_null(strstr(finder->problem, url));
	server.status = 200;
	run_until(finder->answers == 1);
	assert_in_range(finder->problems, 3, 4);
}

static void a_token_is_read_for_each_question_and_none_is_asked_without(void **state)
{
	char path[] = "/tmp/shunt-test-token.XXXXXX";
	_cleanup_close_ int fd = mkstemp(path);

	(void)state;
	conf.token_file = path;
	ask(1);
	run_until(finder->problems == 1);
	assert_int_equal(server.requests, 0);
	assert_non_null(strstr(finder->problem, "it is empty"));
	assert_int_equal(write(fd, "secret\n", 7), 7);
	run_until(finder->answers == 1);
	assert_string_equal(server.token, "secret");
	run_until(server.n_held == 1);
	assert_int_equal(pwrite(fd, "public\n", 7, 0), 7);
	release_all();
	run_until(finder->sames == 1);
	run_until(server.n_held == 1);
	assert_string_equal(server.token, "public");
	unlink(path);
	server.status = 403;
	release_all();
	run_until(finder->problems == 2);
	assert_non_null(strstr(finder->problem, path));
}

static void a_token_that_was_missing_for_long_is_found_soon(void **state)
{
	char path[] = "/tmp/shunt-test-token.XXXXXX";
	_cleanup_close_ int fd = mkstemp(path);

	(void)state;
	unlink(path);
	conf.token_file = path;
	backoff_first_ms = 2; /* 64 ms at most, where it would be seconds by then */
	ask(1);
	run_for(1.5);
	backoff_first_ms = BACKOFF_FIRST_MS;
	assert_int_equal(server.requests, 0);
	assert_in_range(finder->problems, 20, 60);
	assert_non_null(strstr(finder->problem, "cannot be used: No such file or directory"));
}

/* ---- many questions ---- */

static bool all_found(void)
{
	for (size_t i = 0; i < n_watches; i++)
		if (!finders[i].answers)
			return false;
	return true;
}

static bool all_told_twice(void)
{
	for (size_t i = 0; i < n_watches; i++)
		if (finders[i].answers + finders[i].sames < 2)
			return false;
	return true;
}

static bool all_have_problems(void)
{
	for (size_t i = 0; i < n_watches; i++)
		if (!finders[i].problems)
			return false;
	return true;
}

static bool all_have_the_change(void)
{
	for (size_t i = 0; i < n_watches; i++)
		if (strcmp(finders[i].version, "11"))
			return false;
	return true;
}

static void many_questions_take_turns(void **state)
{
	double begin = now_s();

	(void)state;
	ask(160);
	run_until(all_found());
	assert_true(now_s() - begin < 3);
	run_within(8, all_told_twice());
	assert_int_equal(server.most_held, 32);
	assert_int_equal(server.wait_ms, 600);
	begin = now_s();
	change(11, ONE_AT("10.0.0.2"));
	run_until(all_have_the_change());
	assert_true(now_s() - begin < 5);
	assert_int_equal(server.most_held, 32);
	for (size_t i = 0; i < n_watches; i++)
		assert_int_equal(finders[i].problems, 0);
}

static void questions_that_come_later_need_not_wait_for_those_that_wait(void **state)
{
	(void)state;
	ask(32);
	run_until(server.n_held == 32);
	assert_int_equal(server.wait_ms, 60000);
	ask(40);
	run_within(4, all_found());
	assert_int_equal(server.wait_ms, 2400);
	while (n_watches > 1)
		source_consul.unwatch(watches[--n_watches]);
	server.most_held = 0;
	change(12, ONE_AT("10.0.0.9"));
	run_until(finder->answers == 2);
	run_until(server.n_held == 1);
	assert_int_equal(server.wait_ms, 60000);
}

static void silence_of_a_query_that_waits_is_a_problem_soon_after_its_time(void **state)
{
	double begin;

	(void)state;
	ask(96); /* a second each */
	run_until(all_found());
	server.silent = true;
	begin = now_s();
	run_until(all_have_problems());
	assert_in_range((now_s() - begin) * 1000, 300, 6000);
}

#define watch_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instances_are_backends_with_the_weight_of_their_state),
		cmocka_unit_test(only_instances_with_all_tags_count_whatever_their_case),
		cmocka_unit_test(no_instances_are_an_answer),
		cmocka_unit_test(when_all_are_critical_the_note_says_so),
		cmocka_unit_test(a_state_that_nobody_knows_is_critical),
		cmocka_unit_test(without_checks_an_instance_passes),
		cmocka_unit_test(ipv6_addresses_are_taken),
		cmocka_unit_test(addresses_and_ports_of_nobody_are_left_out_and_told),
		cmocka_unit_test(weights_are_a_hundred_times_as_large_and_end_at_the_most),
		cmocka_unit_test(a_server_id_that_is_none_is_told),
		cmocka_unit_test(what_is_no_answer_is_refused_with_a_reason),
		cmocka_unit_test(every_beginning_of_an_answer_is_refused),
		cmocka_unit_test(broken_bytes_do_no_harm),
		cmocka_unit_test(a_note_has_its_end),
		watch_test(the_first_question_does_not_block_and_the_next_does),
		watch_test(a_change_is_told_and_the_next_question_goes_out_at_once),
		watch_test(a_return_without_a_change_is_not_news),
		watch_test(names_and_datacenters_are_escaped),
		watch_test(the_source_has_a_datacenter_unless_the_question_has),
		watch_test(a_url_may_end_in_a_slash),
		watch_test(an_index_that_goes_back_begins_anew),
		watch_test(an_index_of_zero_is_one),
		watch_test(a_server_that_does_not_block_is_left_alone_for_longer_and_longer),
		watch_test(nor_is_one_whose_answers_differ_in_what_is_not_asked_for),
		watch_test(an_answer_of_none_is_handed_on_and_looked_at_again_soon),
		watch_test(a_large_answer_is_not_asked_for_without_a_rest),
		watch_test(an_error_is_a_problem_with_the_servers_words),
		watch_test(a_denial_says_what_to_do),
		watch_test(after_a_failure_questions_come_back_ever_more_slowly_and_do_not_block),
		watch_test(without_a_leader_it_is_no_answer),
		watch_test(an_answer_that_was_filtered_is_none),
		watch_test(an_answer_that_may_be_old_says_so),
		watch_test(an_answer_that_breaks_off_is_a_problem),
		watch_test(nonsense_is_a_problem),
		watch_test(silence_is_a_problem_in_time),
		watch_test(a_server_that_was_away_is_found_again),
		watch_test(of_several_servers_another_is_asked_when_one_is_of_no_use),
		watch_test(a_token_is_read_for_each_question_and_none_is_asked_without),
		watch_test(a_token_that_was_missing_for_long_is_found_soon),
		watch_test(many_questions_take_turns),
		watch_test(questions_that_come_later_need_not_wait_for_those_that_wait),
		watch_test(silence_of_a_query_that_waits_is_a_problem_soon_after_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, parse_end);
}
