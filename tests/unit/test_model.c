/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration as structures: defaults, copies, order, finding, and the rules that join several fields. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clean.h"
#include "model/model.h"

/* ---- building ---- */

static struct endpoint at(const char *text)
{
	struct endpoint e;

	if (endpoint_parse(text, &e))
		fail_msg("%s is no endpoint", text);
	return e;
}

static struct listen on(const char *text)
{
	struct listen l;

	if (listen_parse(text, &l))
		fail_msg("%s is no listen address", text);
	return l;
}

/* Adds a service at the end, not in order; listens and backends are separated by spaces. */
static struct service *add(struct config *c, const char *name, const char *listens, const char *backends)
{
	_cleanup_free_ char *l = strdup(listens), *b = strdup(backends);
	struct service *s;
	char *word, *rest;

	c->services = reallocarray(c->services, c->n_services + 1, sizeof(*c->services));
	s = &c->services[c->n_services++];
	*s = service_default();
	s->name = strdup(name);
	for (word = strtok_r(l, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		s->listens = reallocarray(s->listens, s->n_listens + 1, sizeof(*s->listens));
		s->listens[s->n_listens++] = on(word);
	}
	for (word = strtok_r(b, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		s->backends = reallocarray(s->backends, s->n_backends + 1, sizeof(*s->backends));
		s->backends[s->n_backends++] = (struct backend){ .at = at(word), .weight = WEIGHT_DEFAULT };
	}
	return s;
}

static void text_add(struct texts *t, const char *text)
{
	t->list = reallocarray(t->list, t->n + 1, sizeof(*t->list));
	t->list[t->n++] = strdup(text);
}

static struct check http_check(void)
{
	return (struct check){
		.kind = CHECK_HTTP, .path = strdup("/"), .status_min = 200, .status_max = 399,
		.interval_ms = 2000, .timeout_ms = 1000, .fall = 3, .rise = 2,
	};
}

/* ---- what is reported ---- */

struct report {
	unsigned n;
	char service[64], backend[ENDPOINT_TEXT], sentence[600]; /* of the last one */
	char all[8192];
};

static void take(void *arg, const struct service *s, const struct backend *b, const struct announce *a,
		 const char *sentence)
{
	struct report *r = arg;
	size_t used = strlen(r->all);

	(void)a;
	r->n++;
	snprintf(r->service, sizeof(r->service), "%s", s && s->name ? s->name : "");
	r->backend[0] = '\0';
	if (b)
		endpoint_format(&b->at, r->backend);
	snprintf(r->sentence, sizeof(r->sentence), "%s", sentence);
	snprintf(r->all + used, sizeof(r->all) - used, "%s %s: %s\n", r->service, r->backend, sentence);
}

static struct report validate(const struct config *c)
{
	struct report r = {};
	unsigned faults = config_validate(c, take, &r);

	assert_int_equal(faults, r.n);
	return r;
}

static void expect_fine(const struct config *c)
{
	struct report r = validate(c);

	if (r.n)
		fail_msg("%u faults in what is fine:\n%s", r.n, r.all);
}

/* Exactly one fault, at this service and backend ("": none), whose sentence has these words and these. */
static void expect_fault(const struct config *c, const char *service, const char *backend, const char *what,
			 const char *remedy)
{
	struct report r = validate(c);

	if (r.n != 1)
		fail_msg("%u faults instead of one (%s):\n%s", r.n, what, r.all);
	assert_string_equal(r.service, service);
	assert_string_equal(r.backend, backend);
	if (!strstr(r.sentence, what) || !strstr(r.sentence, remedy))
		fail_msg("\"%s\" does not say \"%s\" and \"%s\"", r.sentence, what, remedy);
}

/* ---- names ---- */

static void test_listens_come_back_as_they_were_written(void **state)
{
	const char *const texts[] = { "192.0.2.10:80/tcp", "192.0.2.10:65535/udp", "192.0.2.10:*/tcp",
				      "[2001:db8::10]:80/tcp", "[2001:db8::10]:*/udp",
				      "[1111:2222:3333:4444:5555:6666:7777:8888]:65535/udp" };
	char text[LISTEN_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct listen l = on(texts[i]);

		assert_string_equal(listen_format(&l, text), texts[i]);
	}
	assert_int_equal(on("192.0.2.10:*/udp").port, 0);
	assert_int_equal(on("192.0.2.10:*/udp").proto, IPPROTO_UDP);
	assert_int_equal(on("192.0.2.10:80/tcp").port, 80);
	assert_int_equal(on("192.0.2.10:80/tcp").proto, IPPROTO_TCP);
}

static void test_what_is_no_listen_is_refused_and_changes_nothing(void **state)
{
	const char *const texts[] = {
		"", "/", "/tcp", ":*/tcp", "192.0.2.10/tcp", "192.0.2.10:80", "192.0.2.10:80/", "192.0.2.10:80/sctp",
		"192.0.2.10:80/TCP", "192.0.2.10:0/tcp", "192.0.2.10:65536/tcp", "192.0.2.10:/tcp", "192.0.2.10:**/tcp",
		"192.0.2.10:8*/tcp", "192.0.2.10:80/tcp/udp", "2001:db8::10:*/udp", "2001:db8::10/udp", "[2001:db8::10]/udp",
		"[2001:db8::10]*/udp", "*:80/tcp", "web:80/tcp", "192.0.2.10:80 /tcp",
		"[1111:2222:3333:4444:5555:6666:7777:8888]:65535/tcp                                   ",
	};
	struct listen l = on("192.0.2.1:7/udp"), before = l;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (listen_parse(texts[i], &l) != -EINVAL)
			fail_msg("\"%s\" was taken", texts[i]);
		assert_memory_equal(&l, &before, sizeof(l));
	}
}

static void test_listens_are_ordered_by_address_port_and_protocol(void **state)
{
	const char *const ordered[] = { "192.0.2.1:443/tcp", "192.0.2.2:*/tcp", "192.0.2.2:80/tcp", "192.0.2.2:80/udp",
					"192.0.2.2:81/tcp" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ordered); i++)
		for (size_t k = 0; k < ARRAY_SIZE(ordered); k++) {
			struct listen a = on(ordered[i]), b = on(ordered[k]);
			int order = listen_compare(&a, &b);

			assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
		}
}

static void test_words_are_those_of_the_documentation(void **state)
{
	(void)state;
	assert_string_equal(algorithm_names[ALGORITHM_CONSISTENT], "consistent");
	assert_string_equal(algorithm_names[ALGORITHM_LEAST_CONNECTIONS], "least-connections");
	assert_string_equal(forward_names[FORWARD_IPIP], "ipip");
	assert_string_equal(forward_names[FORWARD_LOCAL], "local");
	assert_string_equal(state_names[STATE_UNKNOWN], "unknown");
	assert_string_equal(state_names[STATE_HEALTHY], "healthy");
	assert_string_equal(state_names[STATE_UNHEALTHY], "unhealthy");
	assert_string_equal(state_names[STATE_EJECTED], "ejected");
	assert_string_equal(state_names[STATE_DRAINING], "draining");
	assert_string_equal(state_names[STATE_DISABLED], "disabled");
}

/* ---- copies and order ---- */

static void test_a_new_config_has_the_documented_defaults(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	char text[PREFIX_TEXT];

	(void)state;
	assert_string_equal(endpoint_format(&c->metrics, text), "127.0.0.1:9650");
	assert_string_equal(c->control_socket, "/run/shunt/shunt.sock");
	assert_null(c->control_group);
	assert_string_equal(c->pins, "/sys/fs/bpf/shunt");
	assert_string_equal(prefix_format(&c->edge.source4, text), "198.18.0.0/16");
	assert_string_equal(prefix_format(&c->edge.source6, text), "2001:2::/64");
	assert_int_equal(c->edge.icmp_rate, 100);
	assert_int_equal(c->edge.seed, 0);
	assert_int_equal(c->backend.n_allow, 2);
	assert_memory_equal(&c->backend.allow[0], &c->edge.source4, sizeof(struct prefix));
	assert_memory_equal(&c->backend.allow[1], &c->edge.source6, sizeof(struct prefix));
	assert_false(c->backend.loopback);
	assert_true(c->backend.second_chance);
	assert_int_equal(c->backend.second_chance_rate, 50000);
	assert_int_equal(c->limits.services, 4096);
	assert_int_equal(c->limits.listeners, 16384);
	assert_int_equal(c->limits.members, 65536);
	assert_int_equal(c->limits.backends, 65536);
	assert_int_equal(c->limits.slots, 1 << 21);
	assert_int_equal(c->limits.flows, 1 << 20);
	assert_int_equal(c->limits.connections, 1 << 17);
	assert_int_equal(c->checks_under_way, 256);
	assert_int_equal(c->n_services, 0);
	assert_int_equal(c->n_interfaces, 0);
	expect_fine(c);
}

static void test_a_copy_shares_nothing_with_the_original(void **state)
{
	_cleanup_(config_freep) struct config *copy = NULL;
	struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp 192.0.2.10:443/tcp", "10.0.0.1:80 10.0.0.2:443");

	(void)state;
	s->check = http_check();
	s->check.host = strdup("example.org");
	s->tracking.drain_ms = 7000;
	add(c, "empty", "192.0.2.11:80/tcp", "");
	c->interfaces = calloc(1, sizeof(*c->interfaces));
	c->interfaces[c->n_interfaces++] = (struct interface){ "eth0", ROLE_EDGE, XDP_MODE_NATIVE };
	c->control_group = strdup("adm");
	c->cgroup = strdup("/sys/fs/cgroup");
	text_add(&c->except, "/a");
	text_add(&c->services[0].clients.cgroups, "/b");
	text_add(&c->services[0].clients.cgroups, "/c");
	c->services[0].refuses = true;
	c->services[0].at = AT_SOCKET;
	copy = config_copy(c);
	config_free(c); /* reading what it owned would be seen by the sanitizer */

	assert_string_equal(copy->control_group, "adm");
	assert_string_equal(copy->cgroup, "/sys/fs/cgroup");
	assert_string_equal(copy->except.list[0], "/a");
	assert_int_equal(copy->services[0].clients.cgroups.n, 2);
	assert_string_equal(copy->services[0].clients.cgroups.list[1], "/c");
	assert_int_equal(copy->services[0].clients.namespaces.n, 0);
	assert_true(copy->services[0].refuses);
	assert_int_equal(copy->services[0].at, AT_SOCKET);
	assert_string_equal(copy->control_socket, "/run/shunt/shunt.sock");
	assert_string_equal(copy->pins, "/sys/fs/bpf/shunt");
	assert_int_equal(copy->backend.n_allow, 2);
	assert_int_equal(copy->backend.allow[1].len, 64);
	assert_int_equal(copy->n_interfaces, 1);
	assert_string_equal(copy->interfaces[0].name, "eth0");
	assert_int_equal(copy->n_services, 2);
	s = &copy->services[0];
	assert_string_equal(s->name, "web");
	assert_int_equal(s->listens[1].port, 443);
	assert_int_equal(s->backends[1].at.port, 443);
	assert_string_equal(s->check.path, "/");
	assert_string_equal(s->check.host, "example.org");
	assert_int_equal(s->tracking.drain_ms, 7000);
	assert_int_equal(s->tracking.flows, 65536);
	assert_int_equal(copy->services[1].n_backends, 0);
}

static void test_checks_are_equal_when_every_field_is(void **state)
{
	struct check a = http_check(), b = http_check();

	(void)state;
	assert_true(check_equal(&a, &b));
#define DIFFERS(field, value)                                  \
	do {                                                   \
		__typeof__(b.field) was_ = b.field;            \
		b.field = value;                               \
		assert_false(check_equal(&a, &b));             \
		assert_false(check_equal(&b, &a));             \
		b.field = was_;                                \
	} while (0)
	DIFFERS(kind, CHECK_TCP);
	DIFFERS(port, 8080);
	DIFFERS(path, "/healthz");
	DIFFERS(path, NULL);
	DIFFERS(host, "example.org");
	DIFFERS(status_min, 100);
	DIFFERS(status_max, 500);
	DIFFERS(interval_ms, 1);
	DIFFERS(timeout_ms, 1);
	DIFFERS(fall, 1);
	DIFFERS(rise, 1);
#undef DIFFERS
	assert_true(check_equal(&a, &b));
	free(a.path);
	free(b.path);
}

static void test_a_normalised_config_is_sorted_and_searchable(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct endpoint known = at("10.0.0.2:443"), unknown = at("10.0.0.2:8080");
	struct service *s;

	(void)state;
	add(c, "web", "192.0.2.10:443/tcp 192.0.2.10:80/tcp", "10.0.0.9:80 10.0.0.2:443 10.0.0.2:80");
	add(c, "api", "192.0.2.11:80/tcp", "10.0.0.1:80");
	add(c, "dns", "192.0.2.12:53/udp", "");
	config_normalise(c);
	assert_string_equal(c->services[0].name, "api");
	assert_string_equal(c->services[1].name, "dns");
	assert_string_equal(c->services[2].name, "web");
	s = config_service(c, "web");
	assert_ptr_equal(s, &c->services[2]);
	assert_int_equal(s->listens[0].port, 80);
	assert_int_equal(s->backends[0].at.port, 80);
	assert_int_equal(s->backends[1].at.port, 443);
	assert_ptr_equal(service_backend(s, &known), &s->backends[1]);
	assert_null(service_backend(s, &unknown));
	assert_null(service_backend(config_service(c, "dns"), &known));
	assert_null(config_service(c, "we"));
	assert_null(config_service(c, "zzz"));
}

static void test_services_are_added_in_order_and_deleted_by_name(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	const char *const names[] = { "m", "z", "a", "n" };
	struct service again = { .name = strdup("n") };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct service s = { .name = strdup(names[i]) };

		assert_int_equal(config_service_add(c, &s), 0);
		assert_null(s.name);
	}
	assert_int_equal(config_service_add(c, &again), -EEXIST);
	assert_string_equal(again.name, "n");
	service_clear(&again);
	for (size_t i = 1; i < c->n_services; i++)
		assert_true(strcmp(c->services[i - 1].name, c->services[i].name) < 0);
	assert_int_equal(config_service_delete(c, "m"), 0);
	assert_int_equal(config_service_delete(c, "m"), -ENOENT);
	assert_int_equal(c->n_services, 3);
	assert_null(config_service(c, "m"));
	assert_non_null(config_service(c, "a"));
	assert_non_null(config_service(c, "z"));
}

static void test_backends_are_added_in_order_and_deleted_by_endpoint(void **state)
{
	const char *const texts[] = { "10.0.0.5:80", "10.0.0.9:80", "10.0.0.1:80", "10.0.0.5:79" };
	struct endpoint known = at("10.0.0.5:79"), unknown = at("10.0.0.2:80");
	struct service s = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct backend b = { .at = at(texts[i]), .weight = i };

		assert_int_equal(service_backend_add(&s, &b), 0);
		assert_int_equal(service_backend_add(&s, &b), -EEXIST);
	}
	for (size_t i = 1; i < s.n_backends; i++)
		assert_true(endpoint_compare(&s.backends[i - 1].at, &s.backends[i].at) < 0);
	assert_int_equal(service_backend(&s, &known)->weight, 3);
	assert_int_equal(service_backend_delete(&s, &unknown), -ENOENT);
	assert_int_equal(service_backend_delete(&s, &known), 0);
	assert_int_equal(s.n_backends, 3);
	assert_null(service_backend(&s, &known));
	service_clear(&s);
	assert_null(s.backends);
	assert_int_equal(s.n_backends, 0);
}

/* ---- rules: a service by itself ---- */

static void test_a_config_as_people_write_it_is_fine(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();

	(void)state;
	add(c, "web-1", "192.0.2.10:80/tcp [2001:db8::10]:80/tcp 192.0.2.10:443/tcp",
	    "10.0.0.11:80 10.0.0.12 [2001:db8:1::1]:443")->check = http_check();
	c->services[0].check.port = 8080;
	add(c, "every.port", "192.0.2.10:*/tcp", "10.0.0.11:8080 10.0.0.12")->slots = 64;
	add(c, "dns_2", "192.0.2.10:53/udp", "10.0.0.11")->check = http_check();
	add(c, "0", "192.0.2.10:53/tcp", "")->slots = 1 << 20;
	expect_fine(c);
	config_normalise(c);
	expect_fine(c);
}

static void test_a_service_needs_a_usable_name_of_its_own(void **state)
{
	const char *const bad[] = { "", "-web", ".web", "_web", "we b", "web/1", "w\xc3\xa9" "b", "web\n",
				    "a123456789012345678901234567890123456789012345678901234567890123" };
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct report r;

		free(s->name);
		s->name = strdup(bad[i]);
		r = validate(c);
		if (r.n != 1 || !strstr(r.sentence, "rename the service"))
			fail_msg("name \"%s\":\n%s", bad[i], r.all);
	}
	free(s->name);
	s->name = strdup("a12345678901234567890123456789012345678901234567890123456789012");
	expect_fine(c);
	add(c, s->name, "192.0.2.11:80/tcp", "");
	expect_fault(c, c->services[0].name, "", "another service has the same name", "rename one");
	for (int i = 0; i < 2; i++) {
		free(c->services[i].name);
		c->services[i].name = NULL; /* as a reader leaves it that goes on after a mistake */
	}
	assert_int_equal(validate(c).n, 2);
}

static void test_a_service_needs_a_listen_address_that_packets_reach(void **state)
{
	const struct {
		const char *listen, *what;
	} cases[] = {
		{ "0.0.0.0:80/tcp", "the unspecified address" },  { "[::]:80/tcp", "the unspecified address" },
		{ "127.0.0.1:80/tcp", "a loopback address" },	  { "[::1]:80/tcp", "a loopback address" },
		{ "224.0.0.1:80/udp", "a multicast address" },	  { "[ff02::1]:80/udp", "a multicast address" },
		{ "255.255.255.255:80/udp", "the broadcast address" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(config_freep) struct config *c = config_new();

		add(c, "web", cases[i].listen, "");
		expect_fault(c, "web", "", cases[i].what, "give the address that clients connect to");
		expect_fault(c, "web", "", cases[i].listen, "");
	}
	_cleanup_(config_freep) struct config *c = config_new();
	add(c, "web", "", "");
	expect_fault(c, "web", "", "listens nowhere", "give listen an address");
}

static void test_what_this_version_does_not_have_is_said(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80");

	(void)state;
	s->forward = FORWARD_L2;
	expect_fault(c, "web", "", "forward: l2 is not available in this version", "use ipip, gue or local");
	s->forward = FORWARD_NAT;
	expect_fault(c, "web", "", "forward: nat is not available in this version", "use ipip, gue or local");
	s->forward = FORWARD_GUE;
	expect_fine(c);
}

static void test_slots_are_a_power_of_two_from_64_to_2_to_the_20(void **state)
{
	const uint32_t bad[] = { 1, 32, 63, 65, 100, 4095, (1 << 20) + 1, 1 << 21, UINT32_MAX };
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		s->slots = bad[i];
		expect_fault(c, "web", "", "is not a power of two from 64 to 1048576", "leave it out");
	}
	for (s->slots = 64; s->slots <= 1 << 20; s->slots *= 2)
		expect_fine(c);
}

static void test_a_new_service_keeps_flows_as_documented(void **state)
{
	const struct service s = service_default();

	(void)state;
	assert_null(s.name);
	assert_int_equal(s.check.kind, CHECK_NONE);
	assert_int_equal(s.tracking.transition_ms, 5 * 60 * 1000);
	assert_int_equal(s.tracking.drain_ms, 60 * 60 * 1000);
	assert_int_equal(s.tracking.tcp_ms, 60 * 60 * 1000);
	assert_int_equal(s.tracking.udp_ms, 2 * 60 * 1000);
	assert_int_equal(s.tracking.closing_ms, 30 * 1000);
	assert_int_equal(s.tracking.flows, 65536);
}

static void test_durations_of_flows_are_within_their_ranges(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct tracking *t = &add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80")->tracking;
	const struct {
		uint32_t *ms, min, max;
		const char *what, *remedy;
	} all[] = {
		{ &t->transition_ms, 0, 2 * 3600 * 1000, "transition is", "from 0s to 2h" },
		{ &t->drain_ms, 0, 24 * 3600 * 1000, "drain is", "from 0s to 24h" },
		{ &t->tcp_ms, 1000, 2 * 3600 * 1000, "flow-timeout: tcp is", "from 1s to 2h" },
		{ &t->udp_ms, 1000, 2 * 3600 * 1000, "flow-timeout: udp is", "from 1s to 2h" },
		{ &t->closing_ms, 1000, 2 * 3600 * 1000, "flow-timeout: closing is", "from 1s to 2h" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		*all[i].ms = all[i].max + 1;
		expect_fault(c, "web", "", all[i].what, all[i].remedy);
		*all[i].ms = all[i].min - 1; /* of 0: far too long */
		expect_fault(c, "web", "", all[i].what, all[i].remedy);
		*all[i].ms = all[i].max;
		expect_fine(c);
		*all[i].ms = all[i].min;
		expect_fine(c);
	}
}

static void test_flows_are_a_power_of_two_within_the_limit(void **state)
{
	const uint32_t bad[] = { 0, 1, 256, 511, 513, 65535, (1 << 22) + 1, 1 << 23, UINT32_MAX };
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		s->tracking.flows = bad[i];
		expect_fault(c, "web", "", "is not a power of two from 512 to 4194304", "such as 65536");
	}
	c->limits.flows = 1 << 22;
	for (s->tracking.flows = 512; s->tracking.flows <= 1 << 22; s->tracking.flows *= 2)
		expect_fine(c);
	s->tracking.flows = 2048;
	c->limits.flows = 1024;
	expect_fault(c, "web", "", "2048 are more than all services together may have", "at most 1024");
	tracking_fit(&s->tracking, &c->limits);
	assert_int_equal(s->tracking.flows, 1024);
	expect_fine(c);
	c->limits.flows = 4096;
	tracking_fit(&s->tracking, &c->limits);
	assert_int_equal(s->tracking.flows, 1024);
}

static void test_a_check_must_make_sense(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct check *k = &add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80")->check;

	(void)state;
	expect_fine(c); /* no check: its fields do not matter */
	*k = http_check();
	expect_fine(c);
#define WRONG(field, value, what, remedy)                          \
	do {                                                       \
		__typeof__(k->field) was_ = k->field;              \
		k->field = value;                                  \
		expect_fault(c, "web", "", what, remedy);          \
		k->field = was_;                                   \
	} while (0)
	WRONG(interval_ms, 0, "interval is 0", "give a time");
	WRONG(timeout_ms, 0, "timeout is 0", "give a time");
	WRONG(timeout_ms, 2001, "timeout (2001 ms) is longer than interval (2000 ms)", "make it at most the interval");
	WRONG(fall, 0, "fall is 0", "give 1 or more");
	WRONG(rise, 0, "rise is 0", "give 1 or more");
	WRONG(status_min, 400, "400-399 is an empty range", "399-400");
	WRONG(path, NULL, "path of an http check", "/healthz");
	WRONG(path, "healthz", "path of an http check", "/healthz");
	WRONG(path, "/a b", "path of an http check", "/healthz");
	WRONG(path, "/\r\nX: y", "path of an http check", "/healthz");
	WRONG(host, "", "host of an http check", "example.org");
	WRONG(host, "a\r\nb", "host of an http check", "example.org");
#undef WRONG
	k->timeout_ms = 2000;
	k->status_min = 399;
	expect_fine(c);
}

static void test_a_check_must_have_a_port_to_connect_to(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp [2001:db8::10]:80/tcp", "10.0.0.1");

	(void)state;
	s->check = http_check();
	expect_fine(c); /* the one listen port */
	s->listens[1].port = 443;
	expect_fault(c, "web", "10.0.0.1", "no port to connect to", "10.0.0.1:80");
	s->check.port = 8080;
	expect_fine(c);
	s->check.port = 0;
	s->backends[0].at.port = 443;
	expect_fine(c);
	s->backends[0].at.port = 0;
	s->listens[0].port = 0; /* every port, and 443 */
	expect_fault(c, "web", "10.0.0.1", "no port to connect to", "10.0.0.1:443");
	s->listens[1].port = 0;
	expect_fault(c, "web", "10.0.0.1", "no port to connect to", "health: port");
	s->check.kind = CHECK_NONE;
	expect_fine(c);
}

/* ---- rules: backends ---- */

static void test_an_endpoint_is_in_a_service_only_once(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();

	(void)state;
	add(c, "web", "192.0.2.10:80/tcp", "10.0.0.2:80 10.0.0.1:80 10.0.0.1 10.0.0.2:80");
	add(c, "api", "192.0.2.11:80/tcp", "10.0.0.2:80"); /* once there is fine */
	expect_fault(c, "web", "10.0.0.2:80", "in this service twice", "delete one");
}

static void test_a_backend_needs_a_server_s_address_and_a_weight_that_fits(void **state)
{
	const char *const bad[] = { "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255" };
	_cleanup_(config_freep) struct config *c = config_new();
	struct backend *b = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1")->backends;

	(void)state;
	b->weight = WEIGHT_MAX;
	expect_fine(c);
	b->weight = WEIGHT_MAX + 1;
	expect_fault(c, "web", "10.0.0.1", "weight 65536 is too large", "65535");
	b->weight = 0;
	expect_fine(c);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		b->at = at(bad[i]);
		expect_fault(c, "web", bad[i], "address", "give the address of a server");
	}
}

static void test_a_backend_s_port_behind_a_tunnel_is_one_of_the_listen_ports(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp [2001:db8::1]:80/tcp", "10.0.0.11:8080");

	(void)state;
	expect_fault(c, "web", "10.0.0.11:8080",
		     "forward: ipip delivers packets unchanged, so the backend's port must be one of the listen ports (80)",
		     "write 10.0.0.11:80");
	s->forward = FORWARD_GUE;
	expect_fault(c, "web", "10.0.0.11:8080", "forward: gue delivers packets unchanged", "write 10.0.0.11:80");
	s->listens[1].port = 443;
	expect_fault(c, "web", "10.0.0.11:8080", "(80, 443)", "write 10.0.0.11:80");
	s->listens[1].port = 8080;
	expect_fine(c);
	s->listens[1].port = 0; /* every port */
	expect_fine(c);
	s->listens[1].port = 443;
	s->backends[0].at.port = 0;
	expect_fine(c);
}

static void test_a_long_list_of_ports_is_cut(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:10001/tcp", "10.0.0.11:80");

	(void)state;
	s->n_listens = 30;
	s->listens = reallocarray(s->listens, s->n_listens, sizeof(*s->listens));
	for (unsigned i = 1; i < s->n_listens; i++) {
		s->listens[i] = s->listens[0];
		s->listens[i].port += i;
	}
	expect_fault(c, "web", "10.0.0.11:80", "10007, 10008, ...)", "write 10.0.0.11:10001");
}

static void test_a_service_has_at_most_65535_backends(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "");

	(void)state;
	s->backends = calloc(65536, sizeof(*s->backends));
	for (; s->n_backends < 65535; s->n_backends++)
		s->backends[s->n_backends].at.addr = addr_from4(htonl(0x0a000000 + s->n_backends));
	expect_fine(c);
	s->backends[s->n_backends++].at = at("192.0.2.200");
	expect_fault(c, "web", "", "at most 65535 backends, and this one has 65536", "several services");
}

/* ---- rules: local connections ---- */

/* Balances local processes' connections, and has no interface: its services are at sockets alone. */
static struct config *config_of_sockets(void)
{
	struct config *c = config_new();

	c->cgroup = strdup("/sys/fs/cgroup");
	return c;
}

static void give_interface(struct config *c, unsigned roles)
{
	c->interfaces = reallocarray(c->interfaces, c->n_interfaces + 1, sizeof(*c->interfaces));
	c->interfaces[c->n_interfaces++] = (struct interface){ "eth0", roles, XDP_MODE_AUTO };
}

static void test_a_service_is_where_this_host_can_balance_it(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80");

	(void)state;
	assert_int_equal(service_is_at(c, s), AT_EDGE);
	c->cgroup = strdup("/sys/fs/cgroup");
	assert_int_equal(service_is_at(c, s), AT_SOCKET);
	give_interface(c, ROLE_BACKEND);
	assert_int_equal(service_is_at(c, s), AT_SOCKET);
	s->n_backends = 0;
	assert_int_equal(service_is_at(c, s), 0); /* its own addresses: left alone */
	s->n_backends = 1;
	give_interface(c, ROLE_EDGE);
	assert_int_equal(service_is_at(c, s), AT_EDGE | AT_SOCKET);
	s->at = AT_SOCKET;
	assert_int_equal(service_is_at(c, s), AT_SOCKET);
	s->forward = FORWARD_LOCAL;
	assert_int_equal(service_is_at(c, s), AT_EDGE);
}

static void test_algorithms_govern_local_connections(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80");

	(void)state;
	for (s->algorithm = ALGORITHM_ROUND_ROBIN; s->algorithm <= ALGORITHM_LEAST_CONNECTIONS; s->algorithm++)
		expect_fault(c, "web", "", "has no effect, for connections of local processes are not balanced on this host",
			     "turn that on with cgroup: /sys/fs/cgroup, or use consistent");
	s->algorithm = ALGORITHM_RANDOM;
	c->cgroup = strdup("/sys/fs/cgroup");
	expect_fine(c);
	s->affinity = AFFINITY_CLIENT;
	expect_fine(c);
	give_interface(c, ROLE_EDGE);
	expect_fine(c);
	s->at = AT_EDGE;
	expect_fault(c, "web", "", "algorithm: random has no effect, for at: edge leaves", "add socket to at");
	s->at = AT_EDGE | AT_SOCKET;
	s->forward = FORWARD_LOCAL;
	expect_fault(c, "web", "", "algorithm: random has no effect, for forward: local", "use another forward, or use consistent");
}

static void test_a_last_backend_may_be_deleted_whatever_the_algorithm(void **state)
{
	_cleanup_(config_freep) struct config *c = config_of_sockets();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80");

	(void)state;
	give_interface(c, ROLE_BACKEND);
	s->algorithm = ALGORITHM_ROUND_ROBIN;
	expect_fine(c);
	s->n_backends = 0;
	expect_fine(c);
}

static void test_what_is_said_of_local_connections_has_an_effect(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80");

	(void)state;
	s->refuses = true;
	expect_fault(c, "web", "", "no-backend: refused has no effect", "cgroup: /sys/fs/cgroup, or remove no-backend");
	s->refuses = false;
	text_add(&s->clients.namespaces, "/run/netns/blue");
	expect_fault(c, "web", "", "clients have no effect", "cgroup: /sys/fs/cgroup, or remove clients");
	s->at = AT_SOCKET; /* said once, the rest follows */
	expect_fault(c, "web", "", "at: socket has no effect", "cgroup: /sys/fs/cgroup, or remove at");
	text_add(&c->except, "/system.slice/backup.service");
	assert_int_equal(validate(c).n, 2);
	c->cgroup = strdup("/sys/fs/cgroup");
	s->refuses = true;
	expect_fine(c);
	s->at = AT_EDGE;
	assert_int_equal(validate(c).n, 2);
}

static void test_exceptions_need_somebody_who_balances(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();

	(void)state;
	text_add(&c->except, "/system.slice/backup.service");
	expect_fault(c, "", "", "socket: except has no effect", "turn that on with cgroup: /sys/fs/cgroup, or remove socket");
	c->cgroup = strdup("/sys/fs/cgroup");
	expect_fine(c);
}

static void test_cgroups_are_named_below_their_root(void **state)
{
	_cleanup_(config_freep) struct config *c = config_of_sockets();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:80");

	(void)state;
	text_add(&s->clients.cgroups, "/sys/fs/cgroups/fine");
	expect_fine(c);
	text_add(&s->clients.cgroups, "/sys/fs/cgroup/system.slice/web.service");
	expect_fault(c, "web", "", "clients: cgroups: /sys/fs/cgroup/system.slice/web.service is where files are",
		     "write /system.slice/web.service");
	s->clients.cgroups.n--;
	free(s->clients.cgroups.list[s->clients.cgroups.n]);
	text_add(&c->except, "/sys/fs/cgroup/x");
	expect_fault(c, "", "", "socket: except: /sys/fs/cgroup/x is where files are", "write /x");
}

static void test_paths_of_cgroups_and_namespaces_are_told_from_others(void **state)
{
	const char *const good[] = { "/a", "/system.slice/web.service", "/a/..b/.c/...", "/user.slice/user@1000.service/a b" };
	const char *const bad[] = { "", "/", "a", "a/b", "//a", "/a//b", "/a/", "/a/../b", "/..", "/a/.", "/./a" };
	char long_path[CLIENT_PATH_MAX + 3] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(cgroup_path_is_fine(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(cgroup_path_is_fine(bad[i]));
	memset(long_path, 'a', CLIENT_PATH_MAX);
	long_path[0] = '/';
	assert_true(cgroup_path_is_fine(long_path));
	assert_true(namespace_path_is_fine(long_path));
	long_path[CLIENT_PATH_MAX] = 'a';
	assert_false(cgroup_path_is_fine(long_path));
	assert_false(namespace_path_is_fine(long_path));
	for (int i = 0; i <= CGROUP_LEVELS_MAX; i++)
		memcpy(long_path + 2 * i, "/a", 3);
	assert_false(cgroup_path_is_fine(long_path));
	assert_true(cgroup_path_is_fine(long_path + 2));
	assert_true(namespace_path_is_fine("/proc/1/ns/net"));
	assert_false(namespace_path_is_fine("blue"));
	assert_false(namespace_path_is_fine("/"));
}

static void test_a_service_at_sockets_alone_has_any_address_and_port(void **state)
{
	_cleanup_(config_freep) struct config *c = config_of_sockets();
	struct service *s = add(c, "web", "127.0.0.53:80/tcp [::1]:80/tcp 192.0.2.10:*/tcp",
				"10.0.0.1:8080 127.0.0.1:81 [::1]:82 [2001:db8::1]");

	(void)state;
	s->check = check_default(CHECK_TCP);
	s->check.port = 80;
	expect_fine(c);
	give_interface(c, ROLE_EDGE);
	assert_int_equal(validate(c).n, 2); /* where packets do not come */
	s->at = AT_SOCKET;
	expect_fine(c);
	s->n_listens = 1;
	expect_fine(c);
	s->at = AT_EDGE | AT_SOCKET;
	s->listens[0] = on("192.0.2.10:80/tcp");
	assert_int_equal(validate(c).n, 3); /* other ports than the one that packets have */
	s->at = AT_SOCKET;
	s->listens[0] = on("224.0.0.1:80/udp");
	expect_fault(c, "web", "", "a multicast address", "give the address that clients connect to");
}

static void test_circles_are_of_packets_not_of_local_connections(void **state)
{
	_cleanup_(config_freep) struct config *c = config_of_sockets();

	(void)state;
	add(c, "a", "192.0.2.1:80/tcp", "192.0.2.2:80 192.0.2.1:80");
	add(c, "b", "192.0.2.2:80/tcp", "192.0.2.1:80");
	expect_fine(c); /* a connection is given its backend once */
	give_interface(c, ROLE_EDGE);
	assert_int_equal(validate(c).n, 2);
	c->services[0].at = AT_SOCKET;
	expect_fine(c);
	c->services[0].at = AT_EDGE | AT_SOCKET;
	c->services[0].n_backends = 1;
	c->services[1].at = AT_SOCKET; /* packets to b are nobody's here */
	expect_fine(c);
	c->services[1].at = AT_EDGE;
	expect_fault(c, "b", "192.0.2.1:80", "closes a circle of services (a -> b -> a)", "give the address of a server");
}

static void test_a_local_service_leads_to_a_port_of_this_host(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:*/tcp [2001:db8::10]:443/tcp 127.0.0.9:80/tcp",
				"127.0.0.1:8080 [::1]:8443 192.0.2.10:8080");

	(void)state;
	s->forward = FORWARD_LOCAL;
	expect_fine(c);
	give_interface(c, ROLE_EDGE);
	c->cgroup = strdup("/sys/fs/cgroup");
	expect_fine(c);
	s->at = AT_SOCKET;
	expect_fault(c, "web", "", "at: socket has no effect, for forward: local", "use another forward, or remove at");
	s->at = AT_EDGE;
	s->backends[1].at.port = 0;
	expect_fault(c, "web", "::1", "has no port; forward: local needs the one on which the server here listens", "[::1]:8080");
	s->backends[1].at.port = 8443;
	s->n_listens = 1;
	s->listens[0].proto = IPPROTO_UDP;
	s->quic.server_id = 1;
	for (size_t i = 0; i < s->n_backends; i++)
		s->backends[i].server_id = (struct server_id){ .length = 1, .b = { i } };
	expect_fault(c, "web", "", "quic has no effect with forward: local", "remove quic");
}

/* ---- rules: services together ---- */

static void test_a_listen_address_belongs_to_one_service_once(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp 192.0.2.10:80/udp 192.0.2.10:80/tcp", "");

	(void)state;
	expect_fault(c, "web", "", "listen 192.0.2.10:80/tcp is given twice", "delete one");
	s->n_listens = 2;
	add(c, "api", "192.0.2.10:81/tcp 192.0.2.11:80/tcp", "");
	expect_fine(c);
	add(c, "old", "192.0.2.10:80/udp", "");
	expect_fault(c, "old", "", "listen 192.0.2.10:80/udp already belongs to service web", "delete it from one");
}

static void test_an_exact_listen_and_one_for_every_port_go_together(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();

	(void)state;
	add(c, "web", "192.0.2.10:80/tcp", "");
	add(c, "rest", "192.0.2.10:*/tcp", "");
	add(c, "udp", "192.0.2.10:*/udp", "");
	expect_fine(c);
	add(c, "more", "192.0.2.10:*/udp", "");
	expect_fault(c, "more", "", "listen 192.0.2.10:*/udp already belongs to service udp", "delete it from one");
}

static void test_a_service_that_contains_itself_is_refused(void **state)
{
	const struct {
		const char *listens, *backend;
		bool fine;
	} cases[] = {
		{ "192.0.2.10:80/tcp", "192.0.2.10:80", false },
		{ "192.0.2.10:80/tcp", "192.0.2.10", false },
		{ "192.0.2.10:*/tcp", "192.0.2.10:80", false },
		{ "192.0.2.10:*/tcp 192.0.2.10:*/udp", "192.0.2.10", false },
		{ "192.0.2.10:80/tcp 192.0.2.11:80/udp", "192.0.2.11:80", false },
		{ "192.0.2.10:80/udp 192.0.2.11:81/udp", "192.0.2.10:81", true }, /* nobody listens there */
		{ "192.0.2.10:80/tcp", "192.0.2.11:80", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(config_freep) struct config *c = config_new();

		add(c, "web", cases[i].listens, cases[i].backend);
		if (cases[i].fine)
			expect_fine(c);
		else
			expect_fault(c, "web", cases[i].backend, "the service itself listens", "give the address of a server");
	}
}

static void test_a_circle_of_services_of_any_length_is_refused(void **state)
{
	(void)state;
	for (unsigned length = 2; length < 40; length++) {
		_cleanup_(config_freep) struct config *c = config_new();
		char name[16], listen[40], backend[40], last[40];

		for (unsigned i = 0; i < length; i++) {
			snprintf(name, sizeof(name), "s%u", i);
			snprintf(listen, sizeof(listen), "192.0.2.%u:80/tcp", i + 1);
			snprintf(backend, sizeof(backend), "192.0.2.%u:80", i + 2);
			add(c, name, listen, i + 1 < length ? backend : "");
		}
		expect_fine(c); /* a chain */
		add(c, "last", "192.0.2.200:80/tcp", "192.0.2.1:80 10.0.0.1:80");
		c->services[length - 1].backends = calloc(1, sizeof(struct backend));
		c->services[length - 1].backends[0].at = at("192.0.2.200:80");
		c->services[length - 1].n_backends = 1;
		snprintf(last, sizeof(last), "(s0 -> s1 -> %s", length == 2 ? "last -> s0)" : "s2 -> ");
		expect_fault(c, "last", "192.0.2.1:80", "closes a circle of services", last);
		expect_fault(c, "last", "192.0.2.1:80", " -> s0)", "give the address of a server");
	}
}

static void test_services_that_share_a_backend_service_make_no_circle(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();

	(void)state;
	add(c, "a", "192.0.2.1:80/tcp", "192.0.2.2:80 192.0.2.3:80");
	add(c, "b", "192.0.2.2:80/tcp", "192.0.2.4:80");
	add(c, "c", "192.0.2.3:80/tcp", "192.0.2.4:80");
	add(c, "d", "192.0.2.4:80/tcp", "10.0.0.1:80");
	expect_fine(c);
	add(c, "e", "192.0.2.5:80/tcp", "192.0.2.6"); /* gets packets to port 80, which f does not take */
	add(c, "f", "192.0.2.6:81/tcp", "192.0.2.5");
	expect_fine(c);
}

static void test_a_circle_is_one_protocol_s_and_goes_through_exact_listens_first(void **state)
{
	_cleanup_(config_freep) struct config *tcp = config_new(), *exact = config_new();

	(void)state;
	add(tcp, "a", "192.0.2.1:80/tcp 192.0.2.1:80/udp", "192.0.2.2:80");
	add(tcp, "b", "192.0.2.2:80/tcp 192.0.2.3:80/udp", "192.0.2.4:80");
	add(tcp, "c", "192.0.2.4:80/udp", "192.0.2.1:80"); /* what b gets over tcp does not come here */
	expect_fine(tcp);
	add(exact, "rest", "192.0.2.1:*/tcp", "192.0.2.1:80"); /* port 80 is web's, not its own */
	add(exact, "web", "192.0.2.1:80/tcp", "10.0.0.1:80");
	expect_fine(exact);
	exact->services[0].backends[0].at.port = 81;
	expect_fault(exact, "rest", "192.0.2.1:81", "the service itself listens", "");
}

static void test_every_fault_is_reported(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	struct service *s = add(c, "web", "192.0.2.10:80/tcp", "10.0.0.1:81 10.0.0.1:81 192.0.2.10:80");
	struct report r;

	(void)state;
	s->check = http_check();
	s->check.fall = 0;
	s->slots = 3;
	add(c, "web", "", "");
	r = validate(c);
	if (r.n != 8) /* two ports, one twice, one circle, fall, slots, one name, one listens nowhere */
		fail_msg("%u faults:\n%s", r.n, r.all);
}

static void test_a_hundred_thousand_backends_are_validated_in_a_moment(void **state)
{
	_cleanup_(config_freep) struct config *c = config_new();
	clock_t begin;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		char name[16], listens[64];
		struct service *s;

		snprintf(name, sizeof(name), "s%u", i);
		snprintf(listens, sizeof(listens), "192.0.2.%u:80/tcp 192.0.2.%u:443/tcp", i + 1, i + 1);
		s = add(c, name, listens, "");
		s->check = http_check();
		s->backends = calloc(1000, sizeof(*s->backends));
		for (; s->n_backends < 1000; s->n_backends++) {
			struct backend *b = &s->backends[s->n_backends];

			b->at.addr = addr_from4(htonl(0x0a000000 + i * 1000 + (s->n_backends * 7919) % 1000));
			b->at.port = 80;
		}
	}
	begin = clock();
	expect_fine(c);
	assert_true(clock() - begin < 2 * CLOCKS_PER_SEC); /* quadratic work takes minutes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listens_come_back_as_they_were_written),
		cmocka_unit_test(test_what_is_no_listen_is_refused_and_changes_nothing),
		cmocka_unit_test(test_listens_are_ordered_by_address_port_and_protocol),
		cmocka_unit_test(test_words_are_those_of_the_documentation),
		cmocka_unit_test(test_a_new_config_has_the_documented_defaults),
		cmocka_unit_test(test_a_copy_shares_nothing_with_the_original),
		cmocka_unit_test(test_checks_are_equal_when_every_field_is),
		cmocka_unit_test(test_a_normalised_config_is_sorted_and_searchable),
		cmocka_unit_test(test_services_are_added_in_order_and_deleted_by_name),
		cmocka_unit_test(test_backends_are_added_in_order_and_deleted_by_endpoint),
		cmocka_unit_test(test_a_config_as_people_write_it_is_fine),
		cmocka_unit_test(test_a_service_needs_a_usable_name_of_its_own),
		cmocka_unit_test(test_a_service_needs_a_listen_address_that_packets_reach),
		cmocka_unit_test(test_what_this_version_does_not_have_is_said),
		cmocka_unit_test(test_slots_are_a_power_of_two_from_64_to_2_to_the_20),
		cmocka_unit_test(test_a_new_service_keeps_flows_as_documented),
		cmocka_unit_test(test_durations_of_flows_are_within_their_ranges),
		cmocka_unit_test(test_flows_are_a_power_of_two_within_the_limit),
		cmocka_unit_test(test_a_check_must_make_sense),
		cmocka_unit_test(test_a_check_must_have_a_port_to_connect_to),
		cmocka_unit_test(test_an_endpoint_is_in_a_service_only_once),
		cmocka_unit_test(test_a_backend_needs_a_server_s_address_and_a_weight_that_fits),
		cmocka_unit_test(test_a_backend_s_port_behind_a_tunnel_is_one_of_the_listen_ports),
		cmocka_unit_test(test_a_long_list_of_ports_is_cut),
		cmocka_unit_test(test_a_service_has_at_most_65535_backends),
		cmocka_unit_test(test_a_service_is_where_this_host_can_balance_it),
		cmocka_unit_test(test_algorithms_govern_local_connections),
		cmocka_unit_test(test_a_last_backend_may_be_deleted_whatever_the_algorithm),
		cmocka_unit_test(test_what_is_said_of_local_connections_has_an_effect),
		cmocka_unit_test(test_exceptions_need_somebody_who_balances),
		cmocka_unit_test(test_cgroups_are_named_below_their_root),
		cmocka_unit_test(test_paths_of_cgroups_and_namespaces_are_told_from_others),
		cmocka_unit_test(test_a_service_at_sockets_alone_has_any_address_and_port),
		cmocka_unit_test(test_circles_are_of_packets_not_of_local_connections),
		cmocka_unit_test(test_a_local_service_leads_to_a_port_of_this_host),
		cmocka_unit_test(test_a_listen_address_belongs_to_one_service_once),
		cmocka_unit_test(test_an_exact_listen_and_one_for_every_port_go_together),
		cmocka_unit_test(test_a_service_that_contains_itself_is_refused),
		cmocka_unit_test(test_a_circle_of_services_of_any_length_is_refused),
		cmocka_unit_test(test_services_that_share_a_backend_service_make_no_circle),
		cmocka_unit_test(test_a_circle_is_one_protocol_s_and_goes_through_exact_listens_first),
		cmocka_unit_test(test_every_fault_is_reported),
		cmocka_unit_test(test_a_hundred_thousand_backends_are_validated_in_a_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
