/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A service's options `affinity` and `quic`: as read, validated, compared, taken from requests and explained. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "api/parse.h"
#include "api/steps.h"
#include "base/clean.h"
#include "config/config.h"
#include "model/diff.h"

static void say(void *text, const char *sentence)
{
	strcat(strcat(text, sentence), "\n");
}

static struct config *parse(const char *services)
{
	char said[4096] = "";
	struct config *c = NULL;

	if (config_parse("test", services, strlen(services), say, said, &c))
		fail_msg("refused: %s", said);
	return c;
}

#define HEAD "services:\n  - name: web\n    listen: '192.0.2.10:443/udp'\n    "
#define QUIC HEAD "quic: { config: 2, server-id: 2 }\n    "

/* ---- text ---- */

static void a_server_id_is_hexadecimal_digits(void **state)
{
	static const char *const wrong[] = { "", "0", "0a0", "0x0a", "0a 0b", "0g", "0a0b0c0d0e0f101112", "-1" };
	struct server_id id, other;
	char text[SERVER_ID_TEXT];

	(void)state;
	assert_int_equal(server_id_parse("0A0bff", &id), 0);
	assert_int_equal(id.length, 3);
	assert_memory_equal(id.b, ((uint8_t[]){ 0x0a, 0x0b, 0xff, 0, 0, 0, 0, 0 }), SERVER_ID_MAX);
	assert_string_equal(server_id_format(&id, text), "0a0bff");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		other = id;
		assert_int_equal(server_id_parse(wrong[i], &other), -EINVAL);
		assert_int_equal(server_id_compare(&other, &id), 0); /* untouched */
	}
	assert_int_equal(server_id_parse("0102030405060708", &other), 0);
	assert_int_equal(other.length, SERVER_ID_MAX);
	assert_string_equal(server_id_format(&other, text), "0102030405060708");
	assert_string_equal(server_id_format(&(struct server_id){}, text), "");
}

static void server_ids_of_different_lengths_differ(void **state)
{
	struct server_id a, b;

	(void)state;
	assert_int_equal(server_id_parse("0a", &a) | server_id_parse("0a00", &b), 0);
	assert_true(server_id_compare(&a, &b) < 0 && server_id_compare(&b, &a) > 0);
}

/* ---- a file ---- */

static void what_a_file_says_arrives(void **state)
{
	_cleanup_(config_freep) struct config *c = parse(
		QUIC "affinity: client\n    backends: [{ address: '10.0.0.11:443', server-id: 0a0b }]\n");
	_cleanup_(config_freep) struct config *copy = config_copy(c);
	const struct service *s = &copy->services[0];
	char text[SERVER_ID_TEXT];

	(void)state;
	assert_int_equal(s->affinity, AFFINITY_CLIENT);
	assert_int_equal(s->quic.config, 2);
	assert_int_equal(s->quic.server_id, 2);
	assert_string_equal(server_id_format(&s->backends[0].server_id, text), "0a0b");
}

static void what_it_leaves_out_is_off(void **state)
{
	_cleanup_(config_freep) struct config *c = parse(HEAD "backends: ['10.0.0.11:443']\n");
	_cleanup_(config_freep) struct config *short_one = parse(
		HEAD "quic: { server-id: 1 }\n    backends: [{ address: '10.0.0.11:443', server-id: 'ff' }]\n");

	(void)state;
	assert_int_equal(c->services[0].affinity, AFFINITY_FLOW);
	assert_int_equal(c->services[0].quic.server_id, 0);
	assert_int_equal(c->services[0].backends[0].server_id.length, 0);
	assert_int_equal(short_one->services[0].quic.config, 0);
}

/* ---- several together ---- */

static void count_fault(void *n, const struct service *s, const struct backend *b, const struct announce *a,
			const char *sentence)
{
	(void)s;
	(void)b;
	(void)a;
	assert_true(strlen(sentence) > 20);
	++*(unsigned *)n;
}

static unsigned faults(const struct config *c)
{
	unsigned n = 0, returned = config_validate(c, count_fault, &n);

	assert_int_equal(returned, n);
	return n;
}

static void what_does_not_go_together_is_a_fault_each(void **state)
{
	_cleanup_(config_freep) struct config *c = parse(
		QUIC "backends: [{ address: '10.0.0.11:443', server-id: 0a0b }, { address: '10.0.0.12:443', server-id: 0a0c }]\n");
	struct service *s = &c->services[0];

	(void)state;
	assert_int_equal(faults(c), 0);
	s->backends[1].server_id = s->backends[0].server_id;
	assert_int_equal(faults(c), 1); /* the same twice */
	s->backends[1].server_id = (struct server_id){};
	assert_int_equal(faults(c), 1); /* none */
	s->backends[1].server_id = (struct server_id){ 3, { 1, 2, 3 } };
	assert_int_equal(faults(c), 1); /* another length */
	s->backends[1].server_id = (struct server_id){ 2, { 1, 2 } };
	assert_int_equal(faults(c), 0);
	s->listens[0].proto = IPPROTO_TCP;
	assert_int_equal(faults(c), 1);
	s->listens[0].proto = IPPROTO_UDP;
	s->quic.config = QUIC_CONFIG_MAX + 1;
	assert_int_equal(faults(c), 1);
	s->quic = (struct quic){};
	assert_int_equal(faults(c), 2); /* IDs that nobody looks at */
}

/* ---- differences ---- */

static void hear(void *changes, const struct diff *d)
{
	char text[DIFF_TEXT];

	strcat(strcat(changes, diff_change(d, text)), "\n");
}

static void assert_changes(const char *from, const char *to, const char *expected)
{
	_cleanup_(config_freep) struct config *a = parse(from), *b = parse(to);
	char changes[4096] = "";

	config_diff(a, b, hear, changes);
	assert_string_equal(changes, expected);
	changes[0] = '\0';
	config_diff(b, b, hear, changes);
	assert_string_equal(changes, "");
}

static void differences_are_said(void **state)
{
	(void)state;
	assert_changes(HEAD "backends: ['10.0.0.11:443']\n", HEAD "affinity: client\n    backends: ['10.0.0.11:443']\n",
		       "service web: affinity: flow -> client\n");
	assert_changes(HEAD "backends: ['10.0.0.11:443']\n",
		       QUIC "backends: [{ address: '10.0.0.11:443', server-id: 0a0b }]\n",
		       "service web: quic: none -> config 2, server-id of 2 bytes\n"
		       "service web: backend 10.0.0.11:443: server-id: none -> 0a0b\n");
	assert_changes(QUIC "backends: []\n", HEAD "quic: { config: 3, server-id: 1 }\n    backends: []\n",
		       "service web: quic: config 2, server-id of 2 bytes -> config 3, server-id of 1 byte\n");
	assert_changes(QUIC "backends: [{ address: '10.0.0.11:443', server-id: 0a0b }]\n",
		       QUIC "backends: [{ address: '10.0.0.11:443', server-id: 0a0c }, "
			    "{ address: '10.0.0.12:443', server-id: 0a0b, state: draining }]\n",
		       "service web: backend 10.0.0.11:443: server-id: 0a0b -> 0a0c\n"
		       "service web: backend 10.0.0.12:443: added (weight 100, server-id 0a0b, draining)\n");
}

/* ---- requests ---- */

static int ask_service(const char *body, struct service *s, char error[PARSE_ERROR])
{
	json_t *o = json_loads(body, 0, NULL);
	int err = parse_service(o, s, error);

	json_decref(o);
	return err;
}

static void a_request_for_a_service_may_have_them(void **state)
{
	static const char *const wrong[] = {
		"{\"name\": \"a\", \"listen\": [\"192.0.2.1:1/udp\"], \"affinity\": \"source\"}",
		"{\"name\": \"a\", \"listen\": [\"192.0.2.1:1/udp\"], \"quic\": 2}",
		"{\"name\": \"a\", \"listen\": [\"192.0.2.1:1/udp\"], \"quic\": {\"config\": 1}}",
		"{\"name\": \"a\", \"listen\": [\"192.0.2.1:1/udp\"], \"quic\": {\"config\": 7, \"server_id\": 1}}",
		"{\"name\": \"a\", \"listen\": [\"192.0.2.1:1/udp\"], \"quic\": {\"server_id\": 9}}",
	};
	char error[PARSE_ERROR];
	struct service s = {};

	(void)state;
	assert_int_equal(ask_service("{\"name\": \"a\", \"listen\": [\"192.0.2.1:1/udp\"], \"affinity\": \"client\", "
				     "\"quic\": {\"config\": 1, \"server_id\": 8}}", &s, error), 0);
	assert_int_equal(s.affinity, AFFINITY_CLIENT);
	assert_int_equal(s.quic.config, 1);
	assert_int_equal(s.quic.server_id, 8);
	service_clear(&s);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		error[0] = '\0';
		assert_int_equal(ask_service(wrong[i], &s, error), -EINVAL);
		assert_true(strlen(error) > 10);
	}
}

static void a_request_for_a_backend_may_have_a_server_id(void **state)
{
	json_t *fine = json_pack("{s:s}", "server_id", "0a0b"), *wrong = json_pack("{s:s}", "server_id", "0a0"),
	       *number = json_pack("{s:i}", "server_id", 10);
	struct backend b = { .weight = 7 };
	char error[PARSE_ERROR];

	(void)state;
	assert_int_equal(parse_backend(fine, &b, error), 0);
	assert_int_equal(b.server_id.length, 2);
	assert_int_equal(b.weight, 7);
	assert_int_equal(parse_backend(wrong, &b, error), -EINVAL);
	assert_int_equal(parse_backend(number, &b, error), -EINVAL);
	assert_int_equal(b.server_id.length, 2);
	json_decref(fine);
	json_decref(wrong);
	json_decref(number);
}

/* ---- explain ---- */

static struct steps question(void)
{
	struct steps s = { .asked = { .proto = IPPROTO_UDP }, .interface = "eth0", .slot = SHUNT_UNSET, .service = "web",
			   .nexthop_problem = "", .out_interface = "", .quic = true,
			   .verdict = SHUNT_VERDICT_EDGE_PASSED };

	assert_int_equal(endpoint_parse("203.0.113.5:4711", &s.asked.src), 0);
	assert_int_equal(endpoint_parse("192.0.2.10:443", &s.asked.dst), 0);
	return s;
}

static void assert_step(const struct steps *s, size_t i, const char *expected)
{
	json_t *list = steps_render(s);

	assert_string_equal(json_string_value(json_array_get(list, i)) ?: "(nothing)", expected);
	json_decref(list);
}

static void steps_say_what_a_connection_id_decides(void **state)
{
	struct steps s = question();

	(void)state;
	assert_step(&s, 2, "has no QUIC connection ID that a backend issued, as the first packets of a connection (cid HEX "
		    "gives it one): the flow's hash decides");
	memcpy(s.asked.cid, "\x40\x0a\x0b", 3);
	s.asked.cid_length = 3;
	assert_step(&s, 2, "its QUIC connection ID 400a0b names no backend that can take it: the flow's hash decides");
	s.flags = SHUNT_TRACE_QUIC;
	s.chosen = (struct steps_backend){ .known = true, .state = "draining" };
	assert_int_equal(endpoint_parse("10.0.0.11:443", &s.chosen.at), 0);
	assert_step(&s, 2, "has the QUIC connection ID 400a0b, which 10.0.0.11:443 (draining) issued, and goes there whatever "
		    "its client's address");
}

static void steps_say_that_the_client_decides(void **state)
{
	struct steps s = question();

	(void)state;
	s.quic = false;
	s.by_client = true;
	s.slot = 5;
	s.n_slots = 64;
	assert_step(&s, 2, "falls in slot 5 of 64, by its client's address alone, which nobody owns");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_id_is_hexadecimal_digits),
		cmocka_unit_test(server_ids_of_different_lengths_differ),
		cmocka_unit_test(what_a_file_says_arrives),
		cmocka_unit_test(what_it_leaves_out_is_off),
		cmocka_unit_test(what_does_not_go_together_is_a_fault_each),
		cmocka_unit_test(differences_are_said),
		cmocka_unit_test(a_request_for_a_service_may_have_them),
		cmocka_unit_test(a_request_for_a_backend_may_have_a_server_id),
		cmocka_unit_test(steps_say_what_a_connection_id_decides),
		cmocka_unit_test(steps_say_that_the_client_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
