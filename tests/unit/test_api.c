/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The pure parts of the control socket: who may, routes, requests as structures, structures as JSON, the steps of explain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <string.h>

#include "api/parse.h"
#include "api/permit.h"
#include "api/render.h"
#include "api/socket_steps.h"
#include "api/steps.h"
#include "base/clean.h"

/* ---- permissions and routes ---- */

static void only_root_and_the_owner_may_change(void **state)
{
	(void)state;
	assert_true(permit_change(0, 0));
	assert_true(permit_change(0, 1000));
	assert_true(permit_change(1000, 1000));
	assert_false(permit_change(1000, 0));
	assert_false(permit_change(1001, 1000));
	assert_false(permit_change((uid_t)-1, 0));
}

static void a_route_matches_its_parts_and_no_others(void **state)
{
	char *parts[] = { "v1", "services", "web", "backends", "10.0.0.11:80" };

	(void)state;
	assert_true(route_matches("v1/services", parts, 2));
	assert_true(route_matches("v1/services/?", parts, 3));
	assert_true(route_matches("v1/services/?/backends/?", parts, 5));
	assert_false(route_matches("v1/services", parts, 1));
	assert_false(route_matches("v1/services", parts, 3));
	assert_false(route_matches("v1/service", parts, 2));
	assert_false(route_matches("v1/services/?/backend", parts, 4));
	assert_false(route_matches("v1/services/w?b", parts, 3));
	assert_false(route_matches("v1", parts, 0));
}

/* ---- requests ---- */

/* Parses text (JSON with ' for ") as a service. */
static int service_of(const char *text, struct service *out, char error[PARSE_ERROR])
{
	_cleanup_free_ char *copy = strdup(text);
	json_t *o;
	int err;

	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	o = json_loads(copy, 0, NULL);
	assert_non_null(o);
	error[0] = '\0';
	err = parse_service(o, out, error);
	json_decref(o);
	return err;
}

static void a_service_has_the_defaults_of_a_file(void **state)
{
	const struct tracking expected = tracking_default();
	struct service s = {};
	char error[PARSE_ERROR];

	(void)state;
	assert_int_equal(service_of("{'name': 'web', 'listen': ['192.0.2.10:80/tcp', '[2001:db8::10]:*/udp']}", &s, error), 0);
	assert_string_equal(s.name, "web");
	assert_int_equal(s.n_listens, 2);
	assert_int_equal(s.listens[1].port, 0);
	assert_int_equal(s.listens[1].proto, IPPROTO_UDP);
	assert_int_equal(s.algorithm, ALGORITHM_CONSISTENT);
	assert_int_equal(s.forward, FORWARD_IPIP);
	assert_int_equal(s.check.kind, CHECK_TCP); /* it listens on TCP, among others */
	assert_int_equal(s.check.interval_ms, 2000);
	assert_int_equal(s.n_backends, 0);
	assert_memory_equal(&s.tracking, &expected, sizeof(expected));
	service_clear(&s);
	assert_int_equal(service_of("{'name': 'dns', 'listen': ['192.0.2.10:53/udp']}", &s, error), 0);
	assert_int_equal(s.check.kind, CHECK_NONE);
	service_clear(&s);
}

static void a_check_is_filled_with_defaults(void **state)
{
	struct service s = {};
	char error[PARSE_ERROR];

	(void)state;
	assert_int_equal(service_of("{'name': 'web', 'listen': ['192.0.2.10:80/tcp'],"
				    " 'check': {'kind': 'http', 'host': 'example.org', 'fall': 5}}", &s, error), 0);
	assert_int_equal(s.check.kind, CHECK_HTTP);
	assert_string_equal(s.check.path, "/");
	assert_string_equal(s.check.host, "example.org");
	assert_int_equal(s.check.interval_ms, 2000);
	assert_int_equal(s.check.timeout_ms, 1000);
	assert_int_equal(s.check.fall, 5);
	assert_int_equal(s.check.rise, 2);
	assert_int_equal(s.check.status_min, 200);
	assert_int_equal(s.check.status_max, 399);
	service_clear(&s);
}

static void how_local_connections_are_balanced_is_taken_from_a_request(void **state)
{
	struct service s = {};
	char error[PARSE_ERROR];

	(void)state;
	assert_int_equal(service_of("{'name': 'db', 'listen': ['127.0.0.9:80/tcp'], 'algorithm': 'round-robin', 'at': ['socket'],"
				    " 'no_backend': 'refused', 'clients': {'cgroups': ['/a', '/b/c'],"
				    " 'namespaces': ['/run/netns/blue']}}", &s, error), 0);
	assert_int_equal(s.algorithm, ALGORITHM_ROUND_ROBIN);
	assert_int_equal(s.at, AT_SOCKET);
	assert_true(s.refuses);
	assert_int_equal(s.clients.cgroups.n, 2);
	assert_string_equal(s.clients.cgroups.list[1], "/b/c");
	assert_string_equal(s.clients.namespaces.list[0], "/run/netns/blue");
	service_clear(&s);
	assert_int_equal(service_of("{'name': 'db', 'listen': ['127.0.0.9:80/tcp'], 'at': null, 'clients': null}", &s, error), 0);
	assert_int_equal(s.at, AT_EDGE | AT_SOCKET);
	assert_false(s.refuses);
	service_clear(&s);
}

#define WEB_AND "{'name': 'web', 'listen': ['192.0.2.10:80/tcp'], "

static void what_is_wrong_with_a_service_is_said(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "{}", "\"name\" is missing" },
		{ "{'name': null, 'listen': []}", "\"name\" is missing" },
		{ "{'name': 5}", "\"name\" is no text" },
		{ "{'name': 'web'}", "\"listen\" is no list" },
		{ "{'name': 'web', 'listen': []}", "\"listen\" is no list" },
		{ "{'name': 'web', 'listen': ['192.0.2.10:80']}", "write ADDRESS:PORT/tcp" },
		{ "{'name': 'web', 'listen': [80]}", "write ADDRESS:PORT/tcp" },
		{ "{'name': 'web', 'listen': ['192.0.2.10:80/tcp'], 'forward': 'pigeon'}", "\"forward\" is none of ipip, gue" },
		{ "{'name': 'web', 'listen': ['192.0.2.10:80/tcp'], 'slots': 1.5}", "\"slots\" is no whole number" },
		{ "{'name': 'web', 'listen': ['192.0.2.10:80/tcp'], 'check': 'tcp'}", "\"check\" is no object" },
		{ "{'name': 'web', 'listen': ['192.0.2.10:80/tcp'], 'check': {'knd': 'tcp'}}", "unknown key \"knd\"" },
		{ "{'name': 'web', 'listen': ['192.0.2.10:80/tcp'], 'check': {'fall': 0}}", "from 1 to 1000" },
		{ WEB_AND "'at': 'socket'}", "\"at\" is no list of edge, socket or both" },
		{ WEB_AND "'at': []}", "\"at\" is no list" },
		{ WEB_AND "'at': ['edge', 'sokcet']}", "\"at\" is no list" },
		{ WEB_AND "'no_backend': 'later'}", "\"no_backend\" is none of unreachable, refused" },
		{ WEB_AND "'clients': '/a'}", "\"clients\" is no object" },
		{ WEB_AND "'clients': {'cgroup': []}}", "unknown key \"cgroup\" in \"clients\"" },
		{ WEB_AND "'clients': {'cgroups': '/a'}}", "\"cgroups\" is no list" },
		{ WEB_AND "'clients': {'cgroups': ['/a', '/b/../c']}}", "\"/b/../c\" in \"cgroups\" is no path" },
		{ WEB_AND "'clients': {'namespaces': [5]}}", "in \"namespaces\" is no path" },
	};
	struct service s = {};
	char error[PARSE_ERROR];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(service_of(cases[i].text, &s, error), -EINVAL);
		if (!strstr(error, cases[i].says))
			fail_msg("%s: \"%s\"", cases[i].text, error);
		assert_null(s.name); /* untouched */
	}
}

static void a_backend_keeps_what_is_not_given(void **state)
{
	struct backend b = { .weight = 7, .admin = ADMIN_DRAINING };
	json_t *weight = json_pack("{s:i}", "weight", 0), *enable = json_pack("{s:s}", "admin", "enable");
	char error[PARSE_ERROR];

	(void)state;
	assert_int_equal(parse_backend(weight, &b, error), 0);
	assert_int_equal(b.weight, 0);
	assert_int_equal(b.admin, ADMIN_DRAINING);
	assert_int_equal(parse_backend(enable, &b, error), 0);
	assert_int_equal(b.weight, 0);
	assert_int_equal(b.admin, ADMIN_ENABLED);
	json_decref(weight);
	json_decref(enable);
}

static void a_wrong_backend_changes_nothing(void **state)
{
	struct backend b = { .weight = 7, .admin = ADMIN_DRAINING };
	json_t *o = json_pack("{s:i, s:s}", "weight", 5, "admin", "enabled"), *big = json_pack("{s:i}", "weight", 65536);
	char error[PARSE_ERROR];
	struct endpoint at;

	(void)state;
	assert_int_equal(parse_backend(o, &b, error), -EINVAL);
	assert_string_equal(error, "\"admin\" is none of enable, drain, disable");
	assert_int_equal(parse_backend(big, &b, error), -EINVAL);
	assert_int_equal(b.weight, 7);
	assert_int_equal(b.admin, ADMIN_DRAINING);
	assert_int_equal(parse_address("10.0.0.11:", &at, error), -EINVAL);
	assert_int_equal(parse_address(NULL, &at, error), -EINVAL);
	assert_int_equal(parse_address("[2001:db8::11]:80", &at, error), 0);
	json_decref(o);
	json_decref(big);
}

/* ---- JSON ---- */

static const char *text_at(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void a_service_is_rendered_with_its_backends(void **state)
{
	struct listen listens[2];
	struct service conf = { .name = "web", .listens = listens, .n_listens = 2, .check = { .kind = CHECK_TCP, .fall = 3 } };
	struct nexthop way = { .usable = true, .ifindex = 1, .dmac = { 2, 0, 0, 0, 0, 9 }, .mtu = 1500, .vlan = 0x2064 };
	struct reconcile_backend b = { .weight = 100, .state = STATE_UNHEALTHY, .nexthop = &way, .slots = 16, .packets = 5,
				       .health = { .checks = 4, .failures = 3, .last_error = "connection refused" } };
	struct reconcile_service s = { .conf = &conf, .n_slots = 64, .fingerprint = 0xabc, .n_backends = 1, .backends = &b };
	json_t *o, *list, *backend, *nexthop;

	(void)state;
	assert_int_equal(listen_parse("192.0.2.10:80/tcp", &listens[0]), 0);
	assert_int_equal(listen_parse("[2001:db8::10]:*/udp", &listens[1]), 0);
	assert_int_equal(endpoint_parse("10.0.0.11:80", &b.at), 0);
	assert_int_equal(addr_parse("10.0.0.1", &way.via), 0);
	o = render_service(NULL, &s);
	assert_string_equal(text_at(o, "fingerprint"), "0000000000000abc");
	list = json_object_get(o, "listen");
	assert_string_equal(json_string_value(json_array_get(list, 1)), "[2001:db8::10]:*/udp");
	assert_string_equal(text_at(json_object_get(o, "check"), "kind"), "tcp");
	assert_null(json_object_get(json_object_get(o, "check"), "path"));
	backend = json_array_get(json_object_get(o, "backends"), 0);
	assert_string_equal(text_at(backend, "service"), "web");
	assert_string_equal(text_at(backend, "address"), "10.0.0.11:80");
	assert_string_equal(text_at(backend, "state"), "unhealthy");
	assert_float_equal(json_real_value(json_object_get(backend, "share")), 0.25, 0);
	assert_string_equal(text_at(json_object_get(backend, "check"), "last_error"), "connection refused");
	nexthop = json_object_get(backend, "nexthop");
	assert_string_equal(text_at(nexthop, "interface"), "lo");
	assert_string_equal(text_at(nexthop, "mac"), "02:00:00:00:00:09");
	assert_string_equal(text_at(nexthop, "via"), "10.0.0.1");
	assert_int_equal(json_integer_value(json_object_get(nexthop, "vlan")), 100);
	json_decref(o);
}

static void a_service_says_how_it_keeps_flows(void **state)
{
	struct service conf = { .name = "web", .tracking = { 1, 2, 3, 4, 5, 512 } };
	struct reconcile_service s = { .conf = &conf };
	json_t *o = render_service(NULL, &s), *expected;

	(void)state;
	expected = json_pack("{s:i, s:i, s:{s:i, s:i, s:i}, s:i}", "transition_ms", 1, "drain_ms", 2, "flow_timeout",
			     "tcp_ms", 3, "udp_ms", 4, "closing_ms", 5, "flows", 512);
	assert_true(json_equal(json_object_get(o, "tracking"), expected));
	json_decref(expected);
	json_decref(o);
}

static void a_service_says_what_became_of_flows(void **state)
{
	struct service conf = { .name = "web" };
	struct reconcile_service s = { .conf = &conf, .flows = 1, .max_flows = 2, .flows_noted = 3ull << 32,
				       .flows_evicted = 4, .let_go = 5, .uncached = 6, .retiring = 7 };
	json_t *o = render_service(NULL, &s), *expected;

	(void)state;
	expected = json_pack("{s:i, s:i, s:I, s:i, s:i, s:i}", "now", 1, "max", 2, "noted", (json_int_t)3 << 32,
			     "evicted", 4, "let_go", 5, "uncached", 6);
	assert_true(json_equal(json_object_get(o, "flows"), expected));
	assert_int_equal(json_integer_value(json_object_get(o, "retiring")), 7);
	json_decref(expected);
	json_decref(o);
}

static void a_backend_that_the_file_does_not_have_came_by_command(void **state)
{
	struct backend kept[2] = {};
	struct service in_file = { .name = "web", .backends = kept, .n_backends = 1 };
	struct service conf = { .name = "web", .backends = kept, .n_backends = 2 };
	struct config file = { .services = &in_file, .n_services = 1 };
	struct reconcile_backend b = {};
	struct reconcile_service s = { .conf = &conf };
	json_t *o;

	(void)state;
	assert_int_equal(endpoint_parse("10.0.0.11:80", &kept[0].at), 0);
	assert_int_equal(endpoint_parse("10.0.0.12:80", &kept[1].at), 0);
	for (size_t i = 0; i < 2; i++) {
		b.at = kept[i].at;
		o = render_backend(&file, &s, &b);
		assert_string_equal(text_at(o, "from"), i ? "command" : "");
		json_decref(o);
	}
	conf.name = "extra"; /* which the file does not have at all */
	o = render_backend(&file, &s, &b);
	assert_string_equal(text_at(o, "from"), "command");
	json_decref(o);
}

static void a_backend_without_a_way_says_why(void **state)
{
	struct service conf = { .name = "web" };
	struct nexthop way = { .problem = "no route" };
	struct reconcile_backend b = { .nexthop = &way };
	struct reconcile_service s = { .conf = &conf };
	json_t *o = render_backend(NULL, &s, &b);

	(void)state;
	assert_true(json_is_false(json_object_get(json_object_get(o, "nexthop"), "usable")));
	assert_string_equal(text_at(json_object_get(o, "nexthop"), "problem"), "no route");
	assert_float_equal(json_real_value(json_object_get(o, "share")), 0, 0); /* of no slots */
	json_decref(o);
}

static void a_backend_that_needs_no_next_hop_has_none(void **state)
{
	struct service conf = { .name = "web" };
	struct reconcile_backend b = { .nexthop = NULL };
	struct reconcile_service s = { .conf = &conf };
	json_t *o = render_backend(NULL, &s, &b);

	(void)state;
	assert_true(json_is_null(json_object_get(o, "nexthop")));
	json_decref(o);
}

static void a_service_says_where_it_is_balanced_and_for_whom(void **state)
{
	char *cgroups[] = { "/system.slice/web.service" };
	struct service conf = { .name = "web", .refuses = true, .clients.cgroups = { cgroups, 1 } };
	struct reconcile_backend b = { .connections = 3, .connects = 5ull << 32 };
	struct reconcile_service s = { .conf = &conf,
				       .at = AT_EDGE | AT_SOCKET,
				       .connections = 4,
				       .refused = 7,
				       .backends = &b,
				       .n_backends = 1 };
	json_t *o = render_service(NULL, &s), *backend = json_array_get(json_object_get(o, "backends"), 0);
	json_t *at = json_pack("[s, s]", "edge", "socket");
	json_t *clients = json_pack("{s:[s], s:[]}", "cgroups", cgroups[0], "namespaces");

	(void)state;
	assert_true(json_equal(json_object_get(o, "at"), at));
	assert_true(json_equal(json_object_get(o, "clients"), clients));
	assert_string_equal(text_at(o, "no_backend"), "refused");
	assert_int_equal(json_integer_value(json_object_get(o, "connections")), 4);
	assert_int_equal(json_integer_value(json_object_get(o, "refused")), 7);
	assert_true(json_equal(json_object_get(backend, "at"), at));
	assert_int_equal(json_integer_value(json_object_get(backend, "connections")), 3);
	assert_true(json_integer_value(json_object_get(backend, "connects")) == (json_int_t)5 << 32);
	json_decref(clients);
	json_decref(at);
	json_decref(o);
}

static struct shunt_addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return dp_addr(&a);
}

static void a_connection_is_rendered_with_what_it_asked_for_and_was_given(void **state)
{
	struct shunt_connection c = { .asked = addr_of("10.9.9.9"),
				      .asked_port = htons(80),
				      .given = addr_of("2001:db8::1"),
				      .given_port = htons(8001),
				      .local = addr_of("2001:db8::2"),
				      .local_port = htons(40000),
				      .proto = IPPROTO_TCP,
				      .netns = 0xf0000001,
				      .cookie = 77,
				      .state = 8,
				      .flags = SHUNT_CONNECTION_ENDS };
	json_t *o = render_connection(&c, "db"), *expected;

	(void)state;
	expected = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:b}", "service", "db", "protocol", "tcp",
			     "local", "[2001:db8::2]:40000", "asked", "10.9.9.9:80", "backend", "[2001:db8::1]:8001",
			     "state", "close-wait", "netns", (json_int_t)0xf0000001, "cookie", 77, "ends", 1);
	assert_true(json_equal(o, expected));
	json_decref(expected);
	json_decref(o);
	c.state = 99; /* a newer kernel may know others */
	o = render_connection(&c, NULL);
	assert_string_equal(text_at(o, "state"), "unknown");
	assert_true(json_is_null(json_object_get(o, "service")));
	json_decref(o);
}

static void a_flow_is_rendered_with_its_backend_and_how_it_was_seen(void **state)
{
	struct reconcile_flow f = { .service = "web", .slot = 17, .state = SHUNT_FLOW_CLOSING, .age_seconds = 8,
				    .elsewhere = true };
	json_t *o, *expected = json_pack("{s:s, s:i, s:s, s:s, s:i, s:b}", "service", "web", "slot", 17, "backend",
					 "[2001:db8::11]:80", "state", "closing", "age_seconds", 8, "elsewhere", 1);

	(void)state;
	assert_int_equal(endpoint_parse("[2001:db8::11]:80", &f.backend), 0);
	o = render_flow(&f);
	assert_true(json_equal(o, expected));
	json_decref(expected);
	json_decref(o);
}

static void a_flow_that_is_not_noted_has_its_slot_all_the_same(void **state)
{
	struct endpoint owner = {};
	struct reconcile_flow_place p = { .service = "web", .slot = 17, .n_slots = 64, .phase = SLOT_OBSERVING,
					  .owner = &owner };
	json_t *o, *expected = json_pack("{s:s, s:i, s:i, s:s, s:s, s:n, s:n}", "service", "web", "slot", 17, "slots", 64,
					 "phase", "observing", "owner", "10.0.0.11:80", "anchor", "flow");

	(void)state;
	assert_int_equal(endpoint_parse("10.0.0.11:80", &owner), 0);
	o = render_flow_place(&p);
	assert_true(json_equal(o, expected));
	json_decref(expected);
	json_decref(o);
}

static void an_interface_that_is_gone_is_named_by_its_number(void **state)
{
	struct dp_drop gone = { .ifindex = 7, .reason = SHUNT_REASON_FRAGMENT, .packets = 3 };
	struct dp_drop odd = { .ifindex = 8, .ifname = "e\x80\"\n", .reason = SHUNT_N_REASONS };
	char text[DROP_INTERFACE_TEXT];
	json_t *o = render_drop(&gone);

	(void)state;
	assert_string_equal(text_at(o, "interface"), "#7");
	assert_string_equal(text_at(o, "reason"), "fragment");
	assert_int_equal(json_integer_value(json_object_get(o, "packets")), 3);
	json_decref(o);
	assert_string_equal(drop_interface(&odd, text), "e?\"?");
	o = render_drop(&odd);
	assert_string_equal(text_at(o, "reason"), "unknown");
	json_decref(o);
}

static void text_that_is_not_utf8_is_made_so(void **state)
{
	json_t *fine = json_text("caf\xc3\xa9"), *broken = json_text("caf\xe9");

	(void)state;
	assert_string_equal(json_string_value(fine), "caf\xc3\xa9");
	assert_string_equal(json_string_value(broken), "caf?");
	json_decref(fine);
	json_decref(broken);
}

/* ---- explain ---- */

static struct steps question(const char *dst)
{
	struct steps s = { .asked = { .proto = IPPROTO_TCP, .syn = true }, .interface = "eth0", .slot = SHUNT_UNSET,
			   .nexthop_problem = "", .out_interface = "" };

	assert_int_equal(endpoint_parse("203.0.113.5:4711", &s.asked.src), 0);
	assert_int_equal(endpoint_parse(dst, &s.asked.dst), 0);
	return s;
}

/* The list, which is freed, has these texts, up to NULL. */
static void assert_texts(json_t *list, va_list wanted)
{
	const char *text;
	size_t i = 0;

	while ((text = va_arg(wanted, const char *)))
		assert_string_equal(json_string_value(json_array_get(list, i++)) ?: "(nothing)", text);
	assert_int_equal(json_array_size(list), i);
	json_decref(list);
}

static void assert_steps(const struct steps *s, ...)
{
	va_list wanted;

	va_start(wanted, s);
	assert_texts(steps_render(s), wanted);
	va_end(wanted);
}

static void met_service(struct steps *s, const char *owner, const char *owner_state)
{
	s->service = "web";
	strcpy(s->listen, "192.0.2.10:80/tcp");
	s->slot = 812;
	s->n_slots = 16384;
	s->owner.state = owner_state;
	s->owner.known = true;
	assert_int_equal(endpoint_parse(owner, &s->owner.at), 0);
	s->chosen = s->owner;
}

static void a_forwarded_packet_is_followed_to_its_next_hop(void **state)
{
	struct steps s = question("192.0.2.10:80");

	(void)state;
	met_service(&s, "10.0.0.11:80", "healthy");
	s.verdict = SHUNT_VERDICT_EDGE_FORWARDED;
	s.xdp = XDP_TX;
	s.tunnel = true;
	addr_parse("198.18.3.9", &s.tunnel_from);
	addr_parse("10.0.0.11", &s.tunnel_to);
	s.out_interface = "eth0";
	memcpy(s.out_mac, (uint8_t[]){ 2, 0, 0, 0, 0, 0xb }, 6);
	assert_steps(&s, "a TCP SYN from 203.0.113.5:4711 to 192.0.2.10:80 arrives on eth0",
		     "is for service web (192.0.2.10:80/tcp)", "falls in slot 812 of 16384, owned by 10.0.0.11:80 (healthy)",
		     "is sent in an IPIP tunnel from 198.18.3.9 to 10.0.0.11",
		     "leaves on eth0 to 02:00:00:00:00:0b (the interface it came in on)", NULL);
}

static void a_gue_tunnel_is_said_with_who_else_may_know_the_flow(void **state)
{
	struct steps s = question("192.0.2.10:80");

	(void)state;
	s.verdict = SHUNT_VERDICT_EDGE_FORWARDED;
	s.xdp = XDP_REDIRECT;
	s.tunnel = true;
	s.forward = FORWARD_GUE;
	addr_parse("2001:2::9", &s.tunnel_from);
	addr_parse("2001:db8::11", &s.tunnel_to);
	s.out_interface = "eth1";
	assert_steps(&s, "a TCP SYN from 203.0.113.5:4711 to 192.0.2.10:80 arrives on eth0",
		     "is sent in a GUE tunnel from 2001:2::9 to 2001:db8::11", "leaves on eth1 to 00:00:00:00:00:00", NULL);
	s.n_others = 1;
	addr_parse("2001:db8::12", &s.others[0]);
	assert_steps(&s, "a TCP SYN from 203.0.113.5:4711 to 192.0.2.10:80 arrives on eth0",
		     "is sent in a GUE tunnel from 2001:2::9 to 2001:db8::11",
		     "if the flow is not known there, it is sent on to 2001:db8::12, who may know it",
		     "leaves on eth1 to 00:00:00:00:00:00", NULL);
	for (s.n_others = 0; s.n_others < SHUNT_HOPS; s.n_others++)
		addr_parse("2001:db8:1111:2222:3333:4444:5555:6666", &s.others[s.n_others]);
	addr_parse("2001:db8::12", &s.others[0]);
#define LONG ", 2001:db8:1111:2222:3333:4444:5555:6666"
	assert_steps(&s, "a TCP SYN from 203.0.113.5:4711 to 192.0.2.10:80 arrives on eth0",
		     "is sent in a GUE tunnel from 2001:2::9 to 2001:db8::11",
		     "if the flow is not known there, it is sent on to 2001:db8::12" LONG LONG LONG LONG LONG LONG
		     ", one after the other until one knows it", "leaves on eth1 to 00:00:00:00:00:00", NULL);
}

static void a_runner_up_is_named(void **state)
{
	struct steps s = question("192.0.2.10:80");

	(void)state;
	met_service(&s, "10.0.0.11:80", "unhealthy");
	endpoint_parse("10.0.0.12:80", &s.chosen.at);
	s.flags = SHUNT_TRACE_FAILED_OVER;
	s.verdict = SHUNT_VERDICT_EDGE_FORWARDED;
	s.xdp = XDP_REDIRECT;
	s.out_interface = "eth1";
	assert_steps(&s, "a TCP SYN from 203.0.113.5:4711 to 192.0.2.10:80 arrives on eth0",
		     "is for service web (192.0.2.10:80/tcp)",
		     "falls in slot 812 of 16384, owned by 10.0.0.11:80 (unhealthy)",
		     "10.0.0.11:80 is down: its runner-up 10.0.0.12:80 takes it", "leaves on eth1 to 00:00:00:00:00:00", NULL);
}

static void a_slot_in_transition_is_said_with_who_gets_the_packet(void **state)
{
	struct steps s = question("192.0.2.10:80");

	(void)state;
	met_service(&s, "10.0.0.11:80", "healthy");
	endpoint_parse("10.0.0.12:80", &s.chosen.at);
	s.flags = SHUNT_TRACE_TRANSITION;
	s.verdict = SHUNT_VERDICT_EDGE_FORWARDED;
	s.xdp = XDP_REDIRECT;
	s.out_interface = "eth1";
	assert_steps(&s, "a TCP SYN from 203.0.113.5:4711 to 192.0.2.10:80 arrives on eth0",
		     "is for service web (192.0.2.10:80/tcp)", "falls in slot 812 of 16384, owned by 10.0.0.11:80 (healthy)",
		     "the slot is in transition: flows from before the change keep their backend, and this packet goes to "
		     "10.0.0.12:80", "leaves on eth1 to 00:00:00:00:00:00", NULL);
}

static void a_drop_says_why_and_what_to_do(void **state)
{
	struct steps s = question("192.0.2.10:80");

	(void)state;
	met_service(&s, "10.0.0.11:80", "healthy");
	s.verdict = SHUNT_VERDICT_EDGE_DROPPED;
	s.reason = SHUNT_REASON_NO_NEXTHOP;
	s.nexthop_problem = "neighbour 10.0.0.11 on eth0 does not answer";
	assert_steps(&s, "a TCP SYN from 203.0.113.5:4711 to 192.0.2.10:80 arrives on eth0",
		     "is for service web (192.0.2.10:80/tcp)", "falls in slot 812 of 16384, owned by 10.0.0.11:80 (healthy)",
		     "is dropped: the backend has no route or its neighbour does not answer (no_nexthop)",
		     "what to do: neighbour 10.0.0.11 on eth0 does not answer; give this host a route to the backend and "
		     "see that its neighbour answers", NULL);
}

static void what_is_no_services_is_passed_with_a_hint(void **state)
{
	struct steps s = question("192.0.2.10:81");

	(void)state;
	s.asked.syn = false;
	s.verdict = SHUNT_VERDICT_EDGE_PASSED;
	s.xdp = XDP_PASS;
	strcpy(s.near, "192.0.2.10:80/tcp");
	assert_steps(&s, "a TCP packet from 203.0.113.5:4711 to 192.0.2.10:81 arrives on eth0",
		     "no service listens on 192.0.2.10:81/tcp", "a service has this address, but listens on 192.0.2.10:80/tcp",
		     "is passed on untouched to this host's own network stack", NULL);
	s.unbalanced = "db";
	strcpy(s.listen, "192.0.2.10:81/tcp");
	assert_steps(&s, "a TCP packet from 203.0.113.5:4711 to 192.0.2.10:81 arrives on eth0",
		     "service db (192.0.2.10:81/tcp) is not balanced for packets on this host: see its at and forward",
		     "is passed on untouched to this host's own network stack", NULL);
}

/* ---- explain --connect ---- */

static struct socket_steps connect_to(const char *to, uint32_t verdict)
{
	struct socket_steps s = { .cgroup = "/web", .proto = IPPROTO_TCP, .verdict = verdict, .slot = SHUNT_UNSET };

	assert_int_equal(endpoint_parse(to, &s.to), 0);
	s.given = s.to;
	if (verdict == SHUNT_VERDICT_SOCKET_PASSED)
		return s;
	s.service = "db";
	strcpy(s.listen, "10.9.9.9:5432/tcp");
	return s;
}

static struct socket_steps is_given(enum algorithm algorithm)
{
	struct socket_steps s = connect_to("10.9.9.9:5432", SHUNT_VERDICT_SOCKET_GIVEN);

	s.algorithm = algorithm;
	s.chosen.known = true;
	s.chosen.state = "healthy";
	s.slot = 17;
	s.n_slots = 64;
	s.weight = 50;
	assert_int_equal(endpoint_parse("10.0.0.11:5432", &s.given), 0);
	s.chosen.at = s.given;
	return s;
}

static void assert_socket_steps(const struct socket_steps *s, ...)
{
	va_list wanted;

	va_start(wanted, s);
	assert_texts(socket_steps_render(s), wanted);
	va_end(wanted);
}

#define ASKS "a process in cgroup /web connects to 10.9.9.9:5432/tcp", "is for service db (10.9.9.9:5432/tcp)"
#define IS_GIVEN "is connected to 10.0.0.11:5432 (healthy); getpeername says 10.9.9.9:5432"
#define MAY_DIFFER "another socket may get another backend"

static void a_connect_says_by_which_algorithm_its_backend_was_chosen(void **state)
{
	struct socket_steps s = is_given(ALGORITHM_CONSISTENT);

	(void)state;
	assert_socket_steps(&s, ASKS, "falls in slot 17 of 64, by the socket's cookie (consistent)", IS_GIVEN,
			    MAY_DIFFER, NULL);
	s.by_client = true;
	assert_socket_steps(&s, ASKS,
			    "falls in slot 17 of 64, by its network namespace, whichever socket it is (consistent)",
			    IS_GIVEN, NULL);
	s = is_given(ALGORITHM_RANDOM);
	assert_socket_steps(&s, ASKS, "draws slot 17 of 64 at random (random)", IS_GIVEN, MAY_DIFFER, NULL);
	s = is_given(ALGORITHM_ROUND_ROBIN);
	s.slot = SHUNT_UNSET;
	s.turns = 3;
	assert_socket_steps(&s, ASKS, "has the next of 3 turns (round-robin), which this question does not use up",
			    IS_GIVEN, MAY_DIFFER, NULL);
}

static void least_connections_says_what_it_compares(void **state)
{
	struct socket_steps s = is_given(ALGORITHM_LEAST_CONNECTIONS);
#define DRAWS \
	"draws two slots at random, and takes slot 17 of 64, whose owner has fewer connections for its weight " \
	"(least-connections)"

	(void)state;
	s.connections = 2;
	assert_socket_steps(&s, ASKS, DRAWS, "10.0.0.11:5432 (weight 50) has 2 open, there is no other", IS_GIVEN,
			    MAY_DIFFER, NULL);
	s.n_others = 1;
	s.others_least = s.others_most = 5;
	assert_socket_steps(&s, ASKS, DRAWS, "10.0.0.11:5432 (weight 50) has 2 open, the other has 5", IS_GIVEN,
			    MAY_DIFFER, NULL);
	s.n_others = 2;
	s.others_most = 9;
	assert_socket_steps(&s, ASKS, DRAWS, "10.0.0.11:5432 (weight 50) has 2 open, the others have 5 to 9", IS_GIVEN,
			    MAY_DIFFER, NULL);
}

static void a_connect_that_fails_over_says_so(void **state)
{
	struct socket_steps s = is_given(ALGORITHM_RANDOM);

	(void)state;
	s.flags = SHUNT_TRACE_FAILED_OVER;
	assert_socket_steps(&s, ASKS, "draws slot 17 of 64 at random (random)",
			    "whose turn or slot that is cannot be used: 10.0.0.11:5432 takes its place", IS_GIVEN,
			    MAY_DIFFER, NULL);
}

static void a_connect_that_is_refused_says_how_and_what_to_do(void **state)
{
	struct socket_steps s = connect_to("10.9.9.9:5432", SHUNT_VERDICT_SOCKET_REFUSED);

	(void)state;
	s.error = "ECONNREFUSED";
	assert_socket_steps(&s, ASKS, "is refused with ECONNREFUSED: the service has no usable backend",
			    "what to do: `shunt backend list db` shows the state of its backends and why checks fail",
			    NULL);
	s.finds_none = true;
	assert_socket_steps(&s, ASKS, "is refused with ECONNREFUSED: the service has no usable backend",
			    "what to do: `shunt source list db` shows what the sources say that are to find its backends",
			    NULL);
}

static void a_connect_that_is_left_alone_says_why(void **state)
{
	struct socket_steps s = connect_to("10.9.9.9:5432", SHUNT_VERDICT_SOCKET_EXEMPT);
	const char *asks = "a process in cgroup /web connects to 10.9.9.9:81/tcp";

	(void)state;
	assert_socket_steps(&s, ASKS,
			    "is not balanced for this process: the service's clients name neither its cgroup, nor one "
			    "above it, nor the daemon's network namespace, from where this was asked",
			    "connects to where it asked", NULL);
	s.excepted = true;
	assert_socket_steps(&s, ASKS,
			    "is not balanced for this process: its cgroup, or one above it, is in socket.except",
			    "connects to where it asked", NULL);
	s = connect_to("10.9.9.9:81", SHUNT_VERDICT_SOCKET_PASSED);
	assert_socket_steps(&s, asks, "no service listens on 10.9.9.9:81/tcp", "connects to where it asked", NULL);
	strcpy(s.near, "10.9.9.9:5432/tcp");
	assert_socket_steps(&s, asks, "no service listens on 10.9.9.9:81/tcp",
			    "a service has this address, but listens on 10.9.9.9:5432/tcp",
			    "connects to where it asked", NULL);
	s.service = "db";
	strcpy(s.listen, "10.9.9.9:81/tcp");
	assert_socket_steps(&s, asks,
			    "service db (10.9.9.9:81/tcp) is not balanced for local processes on this host: see its "
			    "at, forward and backends",
			    "connects to where it asked", NULL);
}

static void every_reason_has_steps(void **state)
{
	(void)state;
	for (uint32_t reason = 0; reason <= SHUNT_N_REASONS; reason++) {
		struct steps s = question("192.0.2.10:80");
		json_t *list;

		s.verdict = SHUNT_VERDICT_EDGE_DROPPED;
		s.reason = reason;
		list = steps_render(&s);
		assert_non_null(strstr(json_string_value(json_array_get(list, 1)), "is dropped: "));
		json_decref(list);
	}
}

static void a_tunnel_is_read_from_the_packet_that_leaves(void **state)
{
	/* Ethernet, one VLAN tag, IPv4 in IPv4 */
	static const uint8_t four[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 5, 8, 0,
					0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 4, 0, 0, 198, 18, 3, 9, 10, 0, 0, 11 };
	uint8_t six[14 + 40] = { [12] = 0x86, 0xdd, 0x60, [20] = 41, 64, 0x20, 1, 0, 2, [38] = 0x20, 1, 0xd, 0xb8, [53] = 0x11 };
	struct steps s = {};
	char text[ADDR_TEXT];

	(void)state;
	for (size_t len = 0; len < sizeof(four); len++) {
		steps_read_packet(&s, four, len);
		assert_false(s.tunnel);
	}
	steps_read_packet(&s, four, sizeof(four));
	assert_true(s.tunnel);
	assert_string_equal(addr_format(&s.tunnel_from, text), "198.18.3.9");
	assert_string_equal(addr_format(&s.tunnel_to, text), "10.0.0.11");
	assert_memory_equal(s.out_mac, four, 6);
	s = (struct steps){};
	steps_read_packet(&s, six, sizeof(six) - 1);
	assert_false(s.tunnel);
	steps_read_packet(&s, six, sizeof(six));
	assert_true(s.tunnel);
	assert_string_equal(addr_format(&s.tunnel_from, text), "2001:2::");
	assert_string_equal(addr_format(&s.tunnel_to, text), "2001:db8::11");
	assert_int_equal(s.forward, FORWARD_IPIP);
}

static void a_gue_tunnel_is_read_with_the_addresses_in_it(void **state)
{
	/* Ethernet, IPv4, UDP, GUE with three places of which one is empty */
	static const uint8_t packet[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
					  0x45, 0, 0, 76, 0, 0, 0x40, 0, 64, 17, 0, 0, 198, 18, 3, 9, 10, 0, 0, 11,
					  0xc1, 0x23, 0x17, 0xc0, 0, 56, 0, 0, 4, 4, 0, 0, 's', 'h', 0, 3,
					  10, 0, 0, 12, 0, 0, 0, 0, 10, 0, 0, 14 };
	struct steps s = {};
	char text[ADDR_TEXT];
	uint8_t other[sizeof(packet)];

	(void)state;
	for (size_t len = 0; len < sizeof(packet); len++) {
		steps_read_packet(&s, packet, len);
		assert_false(s.tunnel);
		assert_int_equal(s.n_others, 0);
	}
	memcpy(other, packet, sizeof(other));
	other[37]++; /* another port */
	steps_read_packet(&s, other, sizeof(other));
	assert_false(s.tunnel);
	memcpy(other, packet, sizeof(other));
	other[49] = SHUNT_HOPS + 1;
	steps_read_packet(&s, other, sizeof(other));
	assert_false(s.tunnel);
	steps_read_packet(&s, packet, sizeof(packet));
	assert_true(s.tunnel);
	assert_int_equal(s.forward, FORWARD_GUE);
	assert_string_equal(addr_format(&s.tunnel_to, text), "10.0.0.11");
	assert_int_equal(s.n_others, 2);
	assert_string_equal(addr_format(&s.others[0], text), "10.0.0.12");
	assert_string_equal(addr_format(&s.others[1], text), "10.0.0.14");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_root_and_the_owner_may_change),
		cmocka_unit_test(a_route_matches_its_parts_and_no_others),
		cmocka_unit_test(a_service_has_the_defaults_of_a_file),
		cmocka_unit_test(a_check_is_filled_with_defaults),
		cmocka_unit_test(how_local_connections_are_balanced_is_taken_from_a_request),
		cmocka_unit_test(what_is_wrong_with_a_service_is_said),
		cmocka_unit_test(a_backend_keeps_what_is_not_given),
		cmocka_unit_test(a_wrong_backend_changes_nothing),
		cmocka_unit_test(a_service_is_rendered_with_its_backends),
		cmocka_unit_test(a_service_says_how_it_keeps_flows),
		cmocka_unit_test(a_service_says_what_became_of_flows),
		cmocka_unit_test(a_backend_that_the_file_does_not_have_came_by_command),
		cmocka_unit_test(a_backend_without_a_way_says_why),
		cmocka_unit_test(a_backend_that_needs_no_next_hop_has_none),
		cmocka_unit_test(a_service_says_where_it_is_balanced_and_for_whom),
		cmocka_unit_test(a_connection_is_rendered_with_what_it_asked_for_and_was_given),
		cmocka_unit_test(a_flow_is_rendered_with_its_backend_and_how_it_was_seen),
		cmocka_unit_test(a_flow_that_is_not_noted_has_its_slot_all_the_same),
		cmocka_unit_test(an_interface_that_is_gone_is_named_by_its_number),
		cmocka_unit_test(text_that_is_not_utf8_is_made_so),
		cmocka_unit_test(a_forwarded_packet_is_followed_to_its_next_hop),
		cmocka_unit_test(a_gue_tunnel_is_said_with_who_else_may_know_the_flow),
		cmocka_unit_test(a_runner_up_is_named),
		cmocka_unit_test(a_slot_in_transition_is_said_with_who_gets_the_packet),
		cmocka_unit_test(a_drop_says_why_and_what_to_do),
		cmocka_unit_test(what_is_no_services_is_passed_with_a_hint),
		cmocka_unit_test(a_connect_says_by_which_algorithm_its_backend_was_chosen),
		cmocka_unit_test(least_connections_says_what_it_compares),
		cmocka_unit_test(a_connect_that_fails_over_says_so),
		cmocka_unit_test(a_connect_that_is_refused_says_how_and_what_to_do),
		cmocka_unit_test(a_connect_that_is_left_alone_says_why),
		cmocka_unit_test(every_reason_has_steps),
		cmocka_unit_test(a_tunnel_is_read_from_the_packet_that_leaves),
		cmocka_unit_test(a_gue_tunnel_is_read_with_the_addresses_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
