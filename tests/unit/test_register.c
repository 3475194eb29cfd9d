/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Announcing to servers that behave as etcd's gateway and Consul's agent do, or not, in the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clean.h"
#include "base/log.h"
#include "config/config.h"
#include "http_server.h"
#include "register/consul_ask.h"
#include "register/register.h"
#include "until.h"

#define TTL_MS 600

static struct event_base *base;
static struct health *health;
static struct registrar *registrar;
static struct evconnlistener *listener; /* what is checked */
static uint16_t checked_port;
static const char *url_tail; /* of the source */
static const char *more_keys; /* of the source: ", token-file: /x" */
static char password_file[40]; /* "": none; it goes with the test */
static uint32_t ttl_ms;

/* ---- a server, which is etcd and Consul ---- */

static struct fake {
	struct evhttp *http;
	uint16_t port;
	unsigned requests;
	bool refuses;
	bool denies; /* to put */
	/* etcd */
	int64_t lease, leases; /* 0: none; how many there were */
	char key[80], value[120]; /* "": none */
	int64_t of; /* the key's lease */
	unsigned ttl, renewals, puts;
	bool locked; /* tokens are not known any more, and the user is given no other */
	/* Consul */
	char id[80], status[20], output[128], body[1024]; /* "": not registered */
	unsigned registrations, updates, deregistrations;
	bool keeps; /* no service is taken away */
	int forgets; /* status with which it says so; 0: it does not */
} fake;

static void decode(const json_t *root, const char *name, char *out, size_t size)
{
	const char *text = json_string_value(json_object_get(root, name));
	uint8_t *bytes;
	size_t n;

	assert_int_equal(base64_decode(text, strlen(text), &bytes, &n), 0);
	snprintf(out, size, "%s", (char *)bytes);
	free(bytes);
}

static int64_t number(const json_t *root, const char *name)
{
	return atoll(json_string_value(json_object_get(root, name)) ?: "0");
}

static void end_lease(void)
{
	if (fake.of == fake.lease)
		fake.key[0] = fake.value[0] = '\0';
	fake.lease = 0;
}

static void answer_etcd(struct evhttp_request *q, const char *path, const json_t *root)
{
	bool known = fake.lease && number(root, "ID") == fake.lease;

	if (!strcmp(path, "/v3/auth/authenticate")) {
		reply(q, fake.locked ? 400 : 200, fake.locked ? "{\"message\":\"etcdserver: not now\",\"code\":3}" :
								"{\"token\":\"x\"}");
	} else if (fake.locked) {
		reply(q, 401, "{\"message\":\"etcdserver: invalid auth token\",\"code\":16}");
	} else if (!strcmp(path, "/v3/kv/put") && fake.denies) {
		reply(q, 403, "{\"error\":\"etcdserver: permission denied\",\"message\":\"etcdserver: permission denied\",\"code\":7}");
	} else if (!strcmp(path, "/v3/lease/grant")) {
		fake.ttl = number(root, "TTL");
		fake.lease = 9007199254740993 + fake.leases++;
		reply(q, 200, "{\"header\":{},\"ID\":\"%" PRId64 "\",\"TTL\":\"%u\"}", fake.lease, fake.ttl);
	} else if (!strcmp(path, "/v3/lease/keepalive")) {
		fake.renewals++;
		reply(q, 200, "{\"result\":{\"header\":{},\"ID\":\"1\"%s}}\n", known ? ",\"TTL\":\"5\"" : "");
	} else if (!strcmp(path, "/v3/lease/revoke")) {
		if (known)
			end_lease();
		reply(q, known ? 200 : 404,
		      known ? "{}" : "{\"message\":\"etcdserver: requested lease not found\",\"code\":5}");
	} else if (!strcmp(path, "/v3/kv/put")) {
		fake.puts++;
		decode(root, "key", fake.key, sizeof(fake.key));
		decode(root, "value", fake.value, sizeof(fake.value));
		fake.of = number(root, "lease");
		assert_true(fake.of && fake.of == fake.lease);
		reply(q, 200, "{\"header\":{}}");
	} else {
		reply(q, 200, fake.key[0] ? "{\"header\":{},\"count\":\"1\"}" : "{\"header\":{}}");
	}
}

static void note_text(char *out, size_t size, const json_t *root, const char *name)
{
	snprintf(out, size, "%s", json_string_value(json_object_get(root, name)) ?: "");
}

static void answer_consul(struct evhttp_request *q, const char *path, const json_t *root)
{
	char *text;

	if (strstr(path, "/service/register")) {
		fake.registrations++;
		text = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT);
		snprintf(fake.body, sizeof(fake.body), "%s", text);
		free(text);
		note_text(fake.id, sizeof(fake.id), root, "ID");
		note_text(fake.status, sizeof(fake.status), json_object_get(root, "Check"), "Status");
		reply(q, 200, "%s", "");
	} else if (strstr(path, "/check/update/")) {
		fake.updates++;
		if (fake.forgets || !fake.id[0]) {
			reply(q, fake.forgets ?: 404, "CheckID \"x\" does not have associated TTL");
			return;
		}
		note_text(fake.status, sizeof(fake.status), root, "Status");
		note_text(fake.output, sizeof(fake.output), root, "Output");
		reply(q, 200, "%s", "");
	} else if (fake.keeps) {
		reply(q, 500, "not now");
	} else {
		fake.deregistrations++;
		fake.id[0] = fake.status[0] = '\0';
		reply(q, 200, "%s", "");
	}
}

static void on_request(struct evhttp_request *q, void *arg)
{
	const char *path = evhttp_request_get_uri(q);
	/* nothing is sent to take a service away from Consul */
	bool empty = !evbuffer_get_length(evhttp_request_get_input_buffer(q));
	json_t *root = empty ? NULL : request_json(q);

	(void)arg;
	fake.requests++;
	if (fake.refuses)
		reply(q, 503, "{\"message\":\"not now\",\"code\":14}");
	else if (!strncmp(path, "/v3/", 4))
		answer_etcd(q, path, root);
	else
		answer_consul(q, path, root);
	json_decref(root);
}

static void fake_listen(void)
{
	fake.http = http_listen(base, &fake.port);
	evhttp_set_allowed_methods(fake.http, EVHTTP_REQ_PUT | EVHTTP_REQ_POST);
	evhttp_set_gencb(fake.http, on_request, NULL);
}

static void fake_stop(void)
{
	evhttp_free(fake.http);
	fake.http = NULL;
}

/* ---- what is checked ---- */

static void on_connection(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
	(void)l, (void)from, (void)len, (void)arg;
	close(fd);
}

static void server_up(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(checked_port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	listener = evconnlistener_new_bind(base, on_connection, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, -1,
					   (struct sockaddr *)&at, sizeof(at));
	assert_non_null(listener);
	getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&at, &len);
	checked_port = ntohs(at.sin_port);
}

static void server_down(void)
{
	evconnlistener_free(listener);
	listener = NULL;
}

/* ---- the loop ---- */

static char last_event[800];

static void on_event(void *arg, const char *subject, const char *sentence)
{
	(void)arg;
	snprintf(last_event, sizeof(last_event), "%s: %s", subject, sentence);
}

#define run_until(so) \
	do { \
		if (!loop_until(base, so)) \
			fail_msg("not so in time: %s (last event: %s)", #so, last_event); \
	} while (0)

static void run_for(double seconds)
{
	loop_for(base, seconds);
}

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	base = event_base_new();
	fake = (struct fake){};
	last_event[0] = '\0';
	url_tail = more_keys = "";
	ttl_ms = TTL_MS;
	fake_listen();
	checked_port = 0;
	server_up();
	assert_int_equal(health_new(base, 8, &health), 0);
	assert_int_equal(register_new(base, health, on_event, NULL, &registrar), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	register_free(registrar);
	health_free(health);
	if (fake.http)
		fake_stop();
	if (listener)
		server_down();
	event_base_free(base);
	if (password_file[0])
		unlink(password_file);
	password_file[0] = '\0';
	return 0;
}

/* ---- what is configured ---- */

static void say(void *arg, const char *sentence)
{
	(void)arg;
	fail_msg("%s", sentence);
}

#define CHECK "health: { tcp: {}, interval: 100ms, timeout: 90ms, fall: 1, rise: 1 }"
#define NO_CHECK "health: none"

/* more: lines of the configuration after its source, which is etcd or consul; name: the source's */
static void follow_as(const char *kind, const char *name, const char *more)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *text = NULL;

	assert_true(asprintf(&text, "sources: [{ name: %s, %s: { url: 'http://127.0.0.1:%u%s', timeout: 500ms%s } }]\n%s",
			     name, kind, fake.port, url_tail, more_keys, more) > 0);
	assert_int_equal(config_parse("test", text, strlen(text), say, NULL, &c), 0);
	for (size_t i = 0; i < c->n_announces; i++)
		c->announces[i].ttl_ms = ttl_ms;
	assert_int_equal(register_follow(registrar, c), 0);
}

static void follow(const char *kind, const char *more)
{
	follow_as(kind, "one", more);
}

/* of: "etcd: { prefix: /s/ }"; how: weight and health */
static void announce(const char *kind, const char *of, const char *how)
{
	_cleanup_free_ char *text = NULL;

	assert_true(asprintf(&text, "register: { %s: { %s }, address: '127.0.0.1:%u', %s }\n", kind, of, checked_port,
			     how) > 0);
	follow(kind, text);
}

static void note_info(void *out, const struct register_info *i)
{
	*(struct register_info *)out = *i;
}

static struct register_info info(void)
{
	struct register_info i = {};

	register_each(registrar, note_info, &i);
	return i;
}

/* ---- etcd ---- */

static bool key_is(const char *weight)
{
	char key[80], value[120];

	snprintf(key, sizeof(key), "/s/127.0.0.1:%u", checked_port);
	snprintf(value, sizeof(value), "{\"address\":\"127.0.0.1:%u\",\"weight\":%s}", checked_port, weight);
	return !strcmp(fake.key, key) && !strcmp(fake.value, value) && fake.of == fake.lease;
}

static void etcd_has_a_key_that_is_renewed(void **state)
{
	(void)state;
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(key_is("100") && info().registered);
	assert_int_equal(fake.ttl, 1); /* whole seconds, rounded up */
	assert_string_equal(info().id, fake.key + 3);
	run_until(fake.renewals >= 3);
	assert_int_equal(fake.leases, 1);
	assert_int_equal(fake.puts, 1);
}

static void a_lease_that_is_lost_is_had_again(void **state)
{
	(void)state;
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(key_is("100"));
	end_lease();
	run_until(key_is("100"));
	assert_int_equal(fake.leases, 2);
}

static void a_key_that_somebody_deleted_comes_back(void **state)
{
	(void)state;
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(key_is("100"));
	fake.key[0] = '\0';
	run_until(key_is("100"));
	assert_int_equal(fake.leases, 1);
}

static void the_key_follows_the_check(void **state)
{
	(void)state;
	announce("etcd", "prefix: /s/", CHECK);
	assert_int_equal(info().state, STATE_UNKNOWN);
	run_until(key_is("100"));
	server_down();
	run_until(!fake.key[0]);
	run_until(strstr(last_event, "not announced: its check fails (connection refused)"));
	assert_false(info().registered);
	run_for(0.5);
	assert_int_equal(fake.lease, 0);
	server_up();
	run_until(key_is("100") && info().registered);
}

static void what_was_never_well_is_never_announced(void **state)
{
	(void)state;
	server_down();
	announce("etcd", "prefix: /s/", CHECK);
	run_until(info().state == STATE_UNHEALTHY);
	run_for(0.3);
	assert_int_equal(fake.requests, 0);
}

static void another_weight_is_put_with_the_same_lease(void **state)
{
	(void)state;
	announce("etcd", "prefix: /s/", NO_CHECK ", weight: 50");
	run_until(key_is("50"));
	announce("etcd", "prefix: /s/", NO_CHECK ", weight: 70");
	run_until(key_is("70"));
	assert_int_equal(fake.leases, 1);
	announce("etcd", "prefix: /s/", NO_CHECK ", weight: 70");
	assert_int_equal(fake.puts, 2);
}

static void what_is_no_longer_configured_is_taken_away(void **state)
{
	(void)state;
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(key_is("100"));
	follow("etcd", "");
	run_until(!fake.lease && !fake.key[0]);
	run_until(!info().what);
}

static void what_was_not_announced_is_not_said_to_be_taken_away(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		server_down();
		announce(i ? "consul" : "etcd", i ? "service: web" : "prefix: /s/", CHECK);
		run_until(strstr(last_event, "not announced: its check fails"));
		follow(i ? "consul" : "etcd", "");
		run_until(!info().what);
		assert_non_null(strstr(last_event, "not announced: its check fails"));
		server_up();
	}
	announce("consul", "service: web", CHECK);
	run_until(info().registered);
	register_stop(registrar, 2000);
	assert_non_null(strstr(last_event, "in one web: taken away"));
}

static void what_is_taken_away_and_comes_back_is_there(void **state)
{
	(void)state;
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(info().registered);
	follow("etcd", "");
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(fake.leases == 2 && key_is("100") && info().registered);
}

static void of_two_with_one_identity_the_first_counts(void **state)
{
	(void)state;
	follow("etcd", "register:\n"
		       "  - { etcd: { prefix: /s/, id: x }, address: '10.0.0.1:80', health: none }\n"
		       "  - { etcd: { prefix: /s/, id: x, source: one }, address: '10.0.0.2:80', health: none }\n");
	run_until(fake.key[0]);
	run_for(0.5);
	assert_string_equal(fake.value, "{\"address\":\"10.0.0.1:80\",\"weight\":100}");
}

/* ---- Consul ---- */

static void consul_knows_the_service_with_its_check(void **state)
{
	char expected[600], at[40];

	(void)state;
	announce("consul", "service: web, tags: [a, b]", NO_CHECK ", weight: 250");
	run_until(!strcmp(fake.status, "passing") && info().registered);
	snprintf(at, sizeof(at), "web-127.0.0.1:%u", checked_port);
	snprintf(expected, sizeof(expected),
		 "{\"Address\":\"127.0.0.1\",\"Check\":{\"CheckID\":\"service:%s\",\"DeregisterCriticalServiceAfter\":"
		 "\"60000ms\",\"Name\":\"checked by shunt on its "
		 "host\","
		 "\"Status\":\"passing\",\"TTL\":\"600ms\"},\"ID\":\"%s\",\"Name\":\"web\",\"Port\":%u,\"Tags\":[\"a\","
		 "\"b\"],"
		 "\"Weights\":{\"Passing\":3,\"Warning\":3}}",
		 at, at, checked_port);
	assert_string_equal(fake.body, expected);
	run_until(fake.updates >= 3);
	assert_int_equal(fake.registrations, 1);
}

static void the_status_follows_the_check_with_its_words(void **state)
{
	(void)state;
	announce("consul", "service: web", CHECK);
	run_until(!strcmp(fake.status, "passing"));
	server_down();
	run_until(!strcmp(fake.status, "critical") && !strcmp(fake.output, "connection refused"));
	run_until(!info().registered);
	server_up();
	run_until(!strcmp(fake.status, "passing") && !fake.output[0]);
	assert_int_equal(fake.registrations, 1);
}

static void an_agent_that_forgot_is_told_anew(void **state)
{
	(void)state;
	announce("consul", "service: web", NO_CHECK);
	run_until(info().registered);
	fake.id[0] = '\0';
	run_until(fake.id[0]);
	fake.forgets = 500; /* of Consul 1.8 */
	run_until(fake.registrations == 3);
	run_for(0.5); /* it forgets again and again: that is told, and not tried without a pause */
	assert_in_range(fake.registrations, 3, 8);
	assert_non_null(strstr(info().problem, "Consul says: CheckID"));
	fake.forgets = 0;
	run_until(!info().problem[0]);
}

static void what_is_critical_for_long_is_forgotten_and_registered_anew(void **state)
{
	struct announce slow = { .name = (char *)"web", .ttl_ms = 3600 * 1000 };
	_cleanup_free_ char *body = consul_ask_register(&slow, "x", "passing");

	(void)state;
	assert_non_null(strstr(body, "\"DeregisterCriticalServiceAfter\":\"72000000ms\""));
	announce("consul", "service: web", CHECK);
	run_until(!strcmp(fake.status, "passing"));
	server_down();
	run_until(!strcmp(fake.status, "critical"));
	fake.id[0] = fake.status[0] = '\0'; /* as the agent does when the time is over */
	run_until(!strcmp(fake.status, "critical") && fake.registrations == 2);
	run_until(!strcmp(fake.output, "connection refused")); /* the first check may have been reset */
	assert_false(info().problem[0]);
}

static void weights_are_consuls(void **state)
{
	(void)state;
	assert_int_equal(consul_weight(0), 0);
	assert_int_equal(consul_weight(1), 1);
	assert_int_equal(consul_weight(100), 1);
	assert_int_equal(consul_weight(149), 1);
	assert_int_equal(consul_weight(150), 2);
	assert_int_equal(consul_weight(65535), 655);
}

static void a_weight_of_zero_is_a_warning_that_has_it(void **state)
{
	(void)state;
	announce("consul", "service: web", NO_CHECK ", weight: 0");
	run_until(!strcmp(fake.status, "warning"));
	assert_non_null(strstr(fake.body, "\"Weights\":{\"Passing\":1,\"Warning\":0}"));
}

#define ONE "register: { consul: { service: web, id: x }, address: '10.0.0.1:80', health: none }"

static void a_source_that_is_configured_otherwise_keeps_what_is_announced(void **state)
{
	(void)state;
	follow_as("consul", "one", ONE);
	run_until(info().registered);
	follow_as("consul", "other", ONE);
	run_until(fake.deregistrations == 1);
	run_until(fake.registrations == 2);
	run_for(0.3);
	assert_true(fake.id[0]);
	assert_true(info().registered);
}

static void note_other(void *made, const struct register_info *i)
{
	*(bool *)made |= !strcmp(i->source->name, "other") && i->registered;
}

static bool other_is_registered(void)
{
	bool made = false;

	register_each(registrar, note_other, &made);
	return made;
}

static void what_could_not_be_taken_away_does_not_take_its_successor_away(void **state)
{
	(void)state;
	follow_as("consul", "one", ONE);
	run_until(info().registered);
	fake.keeps = true;
	follow_as("consul", "other", ONE);
	run_until(other_is_registered());
	fake.keeps = false;
	run_for(0.6);
	assert_int_equal(fake.deregistrations, 0);
	assert_true(fake.id[0]);
}

/* The same server by another URL: that cannot be known before. */
static void what_was_taken_away_with_its_predecessor_is_back_at_once(void **state)
{
	double begin;

	(void)state;
	ttl_ms = 9000;
	follow_as("consul", "one", ONE);
	run_until(info().registered);
	fake.keeps = true;
	url_tail = "/by-another-way";
	follow_as("consul", "other", ONE);
	run_until(other_is_registered());
	fake.keeps = false;
	run_until(fake.deregistrations == 1);
	begin = now_s();
	run_until(fake.id[0] && other_is_registered());
	assert_true(now_s() - begin < 1);
}

/* ---- servers that fail, and the end ---- */

static void a_server_that_refuses_is_a_problem_until_it_does_not(void **state)
{
	(void)state;
	fake.refuses = true;
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(info().problem[0]);
	assert_non_null(strstr(info().problem, "etcd says: not now"));
	assert_false(info().registered);
	fake.refuses = false;
	run_until(info().registered && !info().problem[0]);
}

static void nobody_is_asked_without_the_token(void **state)
{
	char dir[] = "/tmp/test-register-XXXXXX", path[64], keys[80];
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/token", dir);
	snprintf(keys, sizeof(keys), ", token-file: %s", path);
	more_keys = keys;
	announce("consul", "service: web", NO_CHECK);
	run_until(info().problem[0]);
	assert_non_null(strstr(info().problem, "/token cannot be used: No such file or directory"));
	f = fopen(path, "we");
	run_until(strstr(info().problem, "/token cannot be used: it is empty"));
	assert_int_equal(fake.requests, 0);
	fprintf(f, "secret\n");
	fclose(f);
	run_until(info().registered && !info().problem[0]);
	unlink(path);
	rmdir(dir);
}

/* etcd is asked as a user, whose password is in a file. */
static void with_user(void)
{
	static char keys[100];
	int fd;

	strcpy(password_file, "/tmp/test-register-XXXXXX");
	fd = mkstemp(password_file);
	assert_true(fd >= 0 && write(fd, "secret\n", 7) == 7);
	close(fd);
	snprintf(keys, sizeof(keys), ", user: shunt, password-file: %s", password_file);
	more_keys = keys;
}

static void a_user_of_etcd_without_the_right_is_told_which(void **state)
{
	(void)state;
	with_user();
	fake.denies = true;
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(info().problem[0]);
	assert_non_null(strstr(info().problem, ": etcd says: etcdserver: permission denied; grant the user a role that "
					       "may readwrite the prefix /s/"));
	fake.denies = false;
	run_until(info().registered && !info().problem[0]);
}

static void without_its_password_etcd_is_not_asked(void **state)
{
	(void)state;
	more_keys = ", user: shunt, password-file: /nonexistent/password";
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(info().problem[0]);
	assert_string_equal(info().problem,
			    "password-file /nonexistent/password cannot be read: No such file or directory");
	assert_int_equal(fake.requests, 0);
}

/* Consul has the service, and is gone then. Since when? */
static double announce_and_lose_consul(void)
{
	announce("consul", "service: web", NO_CHECK);
	run_until(info().registered);
	fake_stop();
	return now_s();
}

static void what_cannot_be_renewed_is_over_with_its_time(void **state)
{
	double begin;

	(void)state;
	begin = announce_and_lose_consul();
	run_until(info().problem[0]);
	assert_true(info().registered || now_s() - begin > TTL_MS / 1000.0 * 0.6);
	run_until(!info().registered);
	fake_listen();
	run_until(info().registered);
}

static void a_stop_takes_everything_away(void **state)
{
	(void)state;
	follow("etcd", "register:\n"
		       "  - { etcd: { prefix: /s/, id: x }, address: '10.0.0.1:80', health: none }\n");
	run_until(fake.key[0]);
	register_stop(registrar, 2000);
	assert_null(info().what);
	assert_int_equal(fake.lease, 0);
	assert_string_equal(fake.key, "");
}

static void a_stop_of_what_is_under_way_takes_it_away_too(void **state)
{
	(void)state;
	announce("consul", "service: web", NO_CHECK);
	while (!fake.registrations)
		event_base_loop(base, EVLOOP_ONCE);
	register_stop(registrar, 2000);
	assert_null(info().what);
	assert_string_equal(fake.id, "");
	assert_int_equal(fake.deregistrations, 1);
}

static void a_stop_ends_in_time_where_nobody_answers(void **state)
{
	double begin;

	(void)state;
	begin = announce_and_lose_consul();
	register_stop(registrar, 2000);
	assert_true(now_s() - begin < 1); /* refused: no need to wait */
	assert_null(info().what);
	assert_non_null(strstr(last_event, "not taken away: it ends with its TTL"));
}

/* Who is told so is the last who used the session, and ends it. */
static void a_stop_ends_where_no_token_is_had(void **state)
{
	(void)state;
	with_user();
	announce("etcd", "prefix: /s/", NO_CHECK);
	run_until(info().registered);
	fake.locked = true;
	register_stop(registrar, 2000);
	assert_null(info().what);
	assert_non_null(strstr(last_event, "not taken away: it ends with its TTL"));
}

#define with_server(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(etcd_has_a_key_that_is_renewed),
		with_server(a_lease_that_is_lost_is_had_again),
		with_server(a_key_that_somebody_deleted_comes_back),
		with_server(the_key_follows_the_check),
		with_server(what_was_never_well_is_never_announced),
		with_server(another_weight_is_put_with_the_same_lease),
		with_server(what_is_no_longer_configured_is_taken_away),
		with_server(what_was_not_announced_is_not_said_to_be_taken_away),
		with_server(what_is_taken_away_and_comes_back_is_there),
		with_server(of_two_with_one_identity_the_first_counts),
		with_server(consul_knows_the_service_with_its_check),
		with_server(the_status_follows_the_check_with_its_words),
		with_server(an_agent_that_forgot_is_told_anew),
		with_server(what_is_critical_for_long_is_forgotten_and_registered_anew),
		cmocka_unit_test(weights_are_consuls),
		with_server(a_weight_of_zero_is_a_warning_that_has_it),
		with_server(a_source_that_is_configured_otherwise_keeps_what_is_announced),
		with_server(what_could_not_be_taken_away_does_not_take_its_successor_away),
		with_server(what_was_taken_away_with_its_predecessor_is_back_at_once),
		with_server(a_server_that_refuses_is_a_problem_until_it_does_not),
		with_server(nobody_is_asked_without_the_token),
		with_server(a_user_of_etcd_without_the_right_is_told_which),
		with_server(without_its_password_etcd_is_not_asked),
		with_server(what_cannot_be_renewed_is_over_with_its_time),
		with_server(a_stop_takes_everything_away),
		with_server(a_stop_of_what_is_under_way_takes_it_away_too),
		with_server(a_stop_ends_in_time_where_nobody_answers),
		with_server(a_stop_ends_where_no_token_is_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
