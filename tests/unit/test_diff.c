/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* model/diff: what differs between two configurations, in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "model/diff.h"

struct heard {
	char changes[4096], states[4096]; /* a line each */
	int n;
};

static void hear(void *arg, const struct diff *d)
{
	char text[DIFF_TEXT];
	struct heard *h = arg;

	h->n++;
	strcat(strcat(h->changes, diff_change(d, text)), "\n");
	strcat(strcat(h->states, diff_state(d, text)), "\n");
}

static struct backend backend(const char *at, uint32_t weight, enum admin admin)
{
	struct backend b = { .weight = weight, .admin = admin };

	assert_int_equal(endpoint_parse(at, &b.at), 0);
	return b;
}

/* One interface, service web on 192.0.2.10:80/tcp with backends .11 and .12. */
static struct config *example(void)
{
	struct config *c = config_new();
	struct service s = service_default();
	struct backend a = backend("10.0.0.11:80", 100, ADMIN_ENABLED), b = backend("10.0.0.12:80", 100, ADMIN_ENABLED);

	c->interfaces = calloc(1, sizeof(*c->interfaces));
	c->n_interfaces = 1;
	c->interfaces[0] = (struct interface){ .name = "eth0", .roles = ROLE_EDGE };
	s.name = strdup("web");
	s.listens = calloc(1, sizeof(*s.listens));
	s.n_listens = 1;
	assert_int_equal(listen_parse("192.0.2.10:80/tcp", &s.listens[0]), 0);
	assert_int_equal(service_backend_add(&s, &a), 0);
	assert_int_equal(service_backend_add(&s, &b), 0);
	assert_int_equal(config_service_add(c, &s), 0);
	return c;
}

static struct heard compare(const struct config *from, const struct config *to)
{
	struct heard h = {};

	config_diff(from, to, hear, &h);
	return h;
}

static void a_copy_does_not_differ(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);

	(void)state;
	assert_int_equal(compare(a, b).n, 0);
}

static void a_drained_backend_is_said_in_both_ways(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);
	struct heard h;

	(void)state;
	b->services[0].backends[0].admin = ADMIN_DRAINING;
	h = compare(a, b);
	assert_string_equal(h.changes, "service web: backend 10.0.0.11:80: enabled -> draining\n");
	assert_string_equal(h.states, "service web: backend 10.0.0.11:80 is draining, the file says enabled\n");
}

static void backends_that_came_and_went_are_named(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);
	struct backend came = backend("10.0.0.13:80", 50, ADMIN_DISABLED);
	struct service *s = &b->services[0];
	struct heard h;

	(void)state;
	assert_int_equal(service_backend_delete(s, &s->backends[0].at), 0);
	assert_int_equal(service_backend_add(s, &came), 0);
	h = compare(a, b);
	assert_string_equal(h.changes, "service web: backend 10.0.0.11:80: removed\n"
				       "service web: backend 10.0.0.13:80: added (weight 50, disabled)\n");
	assert_string_equal(h.states, "service web: backend 10.0.0.11:80 is not there, the file has it\n"
				      "service web: backend 10.0.0.13:80 is not in the file\n");
}

static void weights_are_compared(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);

	(void)state;
	b->services[0].backends[1].weight = 7;
	assert_string_equal(compare(a, b).changes, "service web: backend 10.0.0.12:80: weight: 100 -> 7\n");
}

static void a_service_is_told_whole_not_by_its_parts(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_new();

	(void)state;
	b->interfaces = calloc(1, sizeof(*b->interfaces));
	b->interfaces[0] = a->interfaces[0];
	b->n_interfaces = 1;
	assert_string_equal(compare(a, b).changes, "service web: removed\n");
	assert_string_equal(compare(b, a).changes, "service web: added (192.0.2.10:80/tcp, 2 backends)\n");
}

static void listens_are_compared_one_by_one(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);

	(void)state;
	assert_int_equal(listen_parse("192.0.2.10:443/tcp", &b->services[0].listens[0]), 0);
	assert_string_equal(compare(a, b).changes, "service web: listen 192.0.2.10:80/tcp: removed\n"
						   "service web: listen 192.0.2.10:443/tcp: added\n");
}

static void checks_are_shown_whole(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);

	(void)state;
	b->services[0].check = (struct check){ .kind = CHECK_HTTP, .path = strdup("/healthz"), .status_min = 200,
					       .status_max = 399, .interval_ms = 2000, .timeout_ms = 1000, .fall = 3,
					       .rise = 2 };
	assert_string_equal(compare(a, b).changes,
			    "service web: health: none -> http /healthz status 200-399 every 2000 ms, timeout 1000 ms, "
			    "fall 3, rise 2\n");
}

static void how_flows_are_kept_is_compared_one_by_one(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);
	struct heard h;

	(void)state;
	b->services[0].tracking = (struct tracking){ .transition_ms = 90 * 1000,
						     .drain_ms = 0,
						     .tcp_ms = 2 * 3600 * 1000,
						     .udp_ms = 1500,
						     .closing_ms = 60 * 1000,
						     .flows = 1024 };
	h = compare(a, b);
	assert_string_equal(h.changes, "service web: transition: 5m -> 90s\n"
				       "service web: drain: 1h -> 0s\n"
				       "service web: flow-timeout: tcp: 1h -> 2h\n"
				       "service web: flow-timeout: udp: 2m -> 1500ms\n"
				       "service web: flow-timeout: closing: 30s -> 1m\n"
				       "service web: flows: 65536 -> 1024\n");
	assert_non_null(strstr(h.states, "service web: drain is 0s, the file says 1h\n"));
}

static void add_text(struct texts *t, const char *text)
{
	t->list = reallocarray(t->list, t->n + 1, sizeof(*t->list));
	t->list[t->n++] = strdup(text);
}

static void what_concerns_local_connections_is_compared(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);
	struct heard h;

	(void)state;
	b->cgroup = strdup("/sys/fs/cgroup");
	add_text(&a->except, "/a");
	add_text(&a->except, "/c");
	add_text(&b->except, "/b");
	add_text(&b->except, "/c");
	b->services[0].algorithm = ALGORITHM_LEAST_CONNECTIONS;
	b->services[0].at = AT_SOCKET;
	b->services[0].refuses = true;
	add_text(&b->services[0].clients.cgroups, "/system.slice/web.service");
	add_text(&a->services[0].clients.namespaces, "/run/netns/blue");
	h = compare(a, b);
	assert_string_equal(h.changes, "cgroup: none -> /sys/fs/cgroup\n"
				       "socket.except /a: removed\n"
				       "socket.except /b: added\n"
				       "service web: algorithm: consistent -> least-connections\n"
				       "service web: at: edge and socket -> socket\n"
				       "service web: clients: cgroup /system.slice/web.service: added\n"
				       "service web: clients: namespace /run/netns/blue: removed\n"
				       "service web: no-backend: unreachable -> refused\n");
	assert_non_null(strstr(h.states, "service web: at is socket, the file says edge and socket\n"));
	assert_non_null(strstr(h.states, "service web: clients: namespace /run/netns/blue is not there, the file has it\n"));
}

static void every_setting_is_compared(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);
	struct heard h;

	(void)state;
	b->interfaces[0].roles |= ROLE_BACKEND;
	b->interfaces[0].mode = XDP_MODE_GENERIC;
	b->metrics.port = 0;
	b->control_group = strdup("adm");
	free(b->control_socket);
	b->control_socket = strdup("/run/other.sock");
	free(b->pins);
	b->pins = strdup("/sys/fs/bpf/other");
	assert_int_equal(prefix_parse("10.9.0.0/16", &b->edge.source4), 0);
	assert_int_equal(prefix_parse("2001:db8::/64", &b->edge.source6), 0);
	b->edge.icmp_rate++;
	b->edge.seed++;
	b->backend.n_allow = 1;
	b->backend.loopback = !b->backend.loopback;
	b->backend.second_chance = !b->backend.second_chance;
	b->backend.second_chance_rate++;
	b->limits.services++;
	b->limits.listeners++;
	b->limits.members++;
	b->limits.backends++;
	b->limits.slots++;
	b->limits.flows++;
	b->limits.connections++;
	b->checks_under_way++;
	h = compare(a, b);
	assert_int_equal(h.n, 22);
	assert_non_null(strstr(h.changes, "interface eth0: role: edge -> edge and backend\n"));
	assert_non_null(strstr(h.changes, "metrics.listen: 127.0.0.1:9650 -> off\n"));
	assert_non_null(strstr(h.changes, "edge.source (IPv4): 198.18.0.0/16 -> 10.9.0.0/16\n"));
	assert_non_null(strstr(h.changes, "backend.allow: 198.18.0.0/16, 2001:2::/64 -> 198.18.0.0/16\n"));
	assert_non_null(strstr(h.changes, "backend.second-chance: true -> false\n"));
	assert_non_null(strstr(h.changes, "backend.second-chance-rate: 50000 -> 50001\n"));
	assert_non_null(strstr(h.states, "control.group is adm, the file says none\n"));
}

static void interfaces_are_found_in_any_order(void **state)
{
	_cleanup_(config_freep) struct config *a = example(), *b = config_copy(a);
	struct interface eth0 = b->interfaces[0];

	(void)state;
	free(b->interfaces);
	b->interfaces = calloc(2, sizeof(*b->interfaces));
	b->n_interfaces = 2;
	b->interfaces[0] = (struct interface){ .name = "eth1", .roles = ROLE_BACKEND };
	b->interfaces[1] = eth0;
	assert_string_equal(compare(a, b).changes, "interface eth1: added (backend)\n");
	assert_string_equal(compare(b, a).changes, "interface eth1: removed\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_does_not_differ),
		cmocka_unit_test(a_drained_backend_is_said_in_both_ways),
		cmocka_unit_test(backends_that_came_and_went_are_named),
		cmocka_unit_test(weights_are_compared),
		cmocka_unit_test(a_service_is_told_whole_not_by_its_parts),
		cmocka_unit_test(listens_are_compared_one_by_one),
		cmocka_unit_test(checks_are_shown_whole),
		cmocka_unit_test(how_flows_are_kept_is_compared_one_by_one),
		cmocka_unit_test(what_concerns_local_connections_is_compared),
		cmocka_unit_test(every_setting_is_compared),
		cmocka_unit_test(interfaces_are_found_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
