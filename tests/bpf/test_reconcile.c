/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From configurations to maps: the real datapath, in a network namespace of its own, with pins of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clean.h"
#include "base/log.h"
#include "config/config.h"
#include "model/table.h"
#include "reconcile/reconcile.h"

#define PINS "/sys/fs/bpf/shunt-test-reconcile"

static struct world {
	struct event_base *base;
	struct datapath *dp;
	struct health *health;
	struct nexthops *nexthops;
	struct reconcile *r;
} w;

static void run(const char *command)
{
	if (system(command))
		fail_msg("failed: %s", command);
}

static void say(void *arg, const char *sentence)
{
	(void)arg;
	fprintf(stderr, "%s\n", sentence);
}

static struct config *parse(const char *services)
{
	_cleanup_free_ char *text = NULL;
	struct config *c = NULL;

	assert_true(asprintf(&text, "pins: " PINS "\nlimits: { services: 64, listeners: 256, members: 2048, backends: 1024, "
			     "slots: 524288 }\n%s", services) > 0);
	assert_int_equal(config_parse("test", text, strlen(text), say, NULL, &c), 0);
	return c;
}

static void open_world(void)
{
	_cleanup_(config_freep) struct config *c = parse("services: []\n");
	bool adopted;

	w.base = event_base_new();
	assert_int_equal(dp_open(c, &w.dp, &adopted), 0);
	assert_int_equal(health_new(w.base, 64, &w.health), 0);
	assert_int_equal(nexthops_new(w.base, &w.nexthops), 0);
	assert_int_equal(reconcile_new(w.base, w.dp, w.health, w.nexthops, &w.r), 0);
}

static void close_world(void)
{
	reconcile_free(w.r);
	nexthops_free(w.nexthops);
	health_free(w.health);
	dp_close(w.dp);
	event_base_free(w.base);
}

/* Runs the loop for 30 ms: what was put off by the last apply is done well before. */
static void settle(void)
{
	struct timeval wait = { .tv_usec = 30000 };

	event_base_loopexit(w.base, &wait);
	event_base_dispatch(w.base);
}

static int setup(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET))
		return -1;
	dp_unload(PINS);
	run("ip link set lo up && ip link add v0 type veth peer name v1 && ip addr add 10.9.0.1/16 dev v0 && "
	    "ip link set v0 up && ip link set v1 up");
	run("for i in $(seq 2 60); do echo neigh replace 10.9.0.$i lladdr 02:00:00:00:00:01 nud permanent dev v0; done | "
	    "ip -batch -");
	open_world();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close_world();
	return dp_unload(PINS);
}

static void apply(const char *services)
{
	_cleanup_(config_freep) struct config *c = parse(services);

	assert_int_equal(reconcile_apply(w.r, c), 0);
	settle();
}

/* ---- what the maps say ---- */

static const struct shunt_backend *owner(const struct reconcile_service *s, uint32_t slot)
{
	__u64 table = dp_services(w.dp)[s->id].table;
	__u64 word = dp_slots(w.dp)[shunt_table_first_slot(table) + slot];
	const struct shunt_member *m;

	assert_true(slot <= shunt_table_mask(table));
	if (shunt_slot_current(word) == SHUNT_NONE)
		return NULL;
	m = &dp_members(w.dp)[shunt_table_first_member(table) + shunt_slot_current(word)];
	assert_true(m->flags & SHUNT_MEMBER_USED);
	return &dp_backends(w.dp)[m->backend];
}

static struct reconcile_service service(const char *name)
{
	struct reconcile_service s;

	assert_int_equal(reconcile_service(w.r, name, &s), 0);
	return s;
}

/* Slots of a service whose owner has this address, as the kernel would find it. */
static uint32_t slots_of(const char *name, const char *address)
{
	struct reconcile_service s = service(name);
	struct addr a;
	uint32_t n = 0;

	assert_int_equal(addr_parse(address, &a), 0);
	for (uint32_t i = 0; i < s.n_slots; i++) {
		const struct shunt_backend *b = owner(&s, i);

		n += b && !memcmp(&b->address, a.b, 16);
	}
	reconcile_service_clear(&s);
	return n;
}

#define WEB(backends) "services:\n  - { name: web, listen: '192.0.2.10:80/tcp', health: none, backends: [" backends "] }\n"
#define B(n) "'10.9.0." #n ":80'"

static void every_slot_leads_to_an_enabled_backend(void **state)
{
	(void)state;
	apply(WEB(B(2) "," B(3) "," B(4)));
	struct reconcile_service s = service("web");
	uint32_t total = slots_of("web", "10.9.0.2") + slots_of("web", "10.9.0.3") + slots_of("web", "10.9.0.4");

	assert_int_equal(total, s.n_slots);
	assert_in_range(slots_of("web", "10.9.0.2"), s.n_slots * 31 / 100, s.n_slots * 35 / 100);
	for (size_t i = 0; i < s.n_backends; i++)
		assert_true(dp_backends(w.dp)[s.backends[i].id].flags & SHUNT_BACKEND_NEXTHOP);
	reconcile_service_clear(&s);
}

static void a_drained_backend_owns_no_slot_and_gets_the_same_ones_back(void **state)
{
	(void)state;
	apply(WEB(B(2) "," B(3)));
	struct reconcile_service before = service("web");

	apply(WEB(B(2) ", { address: " B(3) ", state: draining }"));
	assert_int_equal(slots_of("web", "10.9.0.3"), 0);
	assert_int_equal(slots_of("web", "10.9.0.2"), before.n_slots);
	apply(WEB(B(2) "," B(3)));
	struct reconcile_service after = service("web");

	assert_int_equal(before.fingerprint, after.fingerprint);
	reconcile_service_clear(&before);
	reconcile_service_clear(&after);
}

static void a_new_daemon_changes_no_slot(void **state)
{
	(void)state;
	const char *text = WEB(B(2) "," B(3) ", { address: " B(4) ", weight: 50 }," B(5));

	apply(WEB(B(9) "," B(2) "," B(7)));
	apply(text);
	size_t size = 524288 * sizeof(__u64);
	_cleanup_free_ __u64 *slots = malloc(size);
	__u64 table;

	memcpy(slots, dp_slots(w.dp), size);
	struct reconcile_service s = service("web");

	table = dp_services(w.dp)[s.id].table;
	reconcile_service_clear(&s);
	close_world();
	open_world();
	apply(text);
	s = service("web");
	assert_int_equal(table, dp_services(w.dp)[s.id].table);
	reconcile_service_clear(&s);
	assert_memory_equal(slots, dp_slots(w.dp), size);
}

static void what_is_in_use_is_given_back(void **state)
{
	struct reconcile_stats st;

	(void)state;
	for (int i = 0; i < 20; i++) {
		apply(WEB(B(2) "," B(3)));
		apply(WEB(B(4) "," B(5) "," B(6) "," B(7) "," B(8) "," B(9) "," B(10) "," B(11) "," B(12)));
		apply("services:\n  - { name: dns, listen: ['192.0.2.11:53/udp', '192.0.2.11:*/tcp'], health: none, "
		      "backends: ['10.9.0.2', '10.9.0.3'] }\n");
	}
	apply("services: []\n");
	reconcile_stats(w.r, &st);
	assert_int_equal(st.services, 0);
	assert_int_equal(st.listeners, 0);
	assert_int_equal(st.members, 0);
	assert_int_equal(st.backends, 0);
	assert_int_equal(st.slots, 0);
	for (uint32_t i = 0; i < 1024; i++)
		assert_int_equal(dp_backends(w.dp)[i].flags, 0);
}

static void a_service_that_does_not_fit_changes_nothing(void **state)
{
	_cleanup_(config_freep) struct config *c = NULL;
	struct reconcile_stats before, after;

	(void)state;
	apply(WEB(B(2) "," B(3)));
	reconcile_stats(w.r, &before);
	c = parse("services:\n"
		  "  - { name: web, listen: '192.0.2.10:80/tcp', health: none, backends: [" B(4) "] }\n"
		  "  - { name: big, listen: '192.0.2.11:80/tcp', health: none, slots: 1048576, backends: [" B(5) "] }\n");
	assert_int_equal(reconcile_apply(w.r, c), -ENOSPC);
	reconcile_stats(w.r, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(slots_of("web", "10.9.0.2") > 0);
	assert_int_equal(slots_of("web", "10.9.0.4"), 0);
}

static void services_share_a_backend_and_its_check(void **state)
{
	(void)state;
	apply("services:\n"
	      "  - { name: a, listen: '192.0.2.1:80/tcp', health: none, backends: [" B(2) "] }\n"
	      "  - { name: b, listen: '192.0.2.2:80/tcp', health: none, backends: [" B(2) "] }\n");
	struct reconcile_service a = service("a"), b = service("b");

	assert_int_equal(a.backends[0].id, b.backends[0].id);
	assert_int_not_equal(a.backends[0].member, b.backends[0].member);
	reconcile_service_clear(&a);
	reconcile_service_clear(&b);
}

static void a_backend_that_fails_its_check_owns_no_slot(void **state)
{
	(void)state;
	/* our own address: nobody listens there, so the check is refused at once */
	run("ip addr add 10.9.0.50/32 dev lo");
	apply("services:\n"
	      "  - { name: web, listen: '192.0.2.10:80/tcp', health: { tcp: {}, interval: 50ms, timeout: 50ms, fall: 1, rise: 1 },\n"
	      "      backends: [" B(50) "] }\n"
	      "  - { name: other, listen: '192.0.2.11:80/tcp', health: none, backends: [" B(2) "] }\n");
	struct reconcile_service s;

	for (int i = 0; i < 100; i++) {
		settle();
		s = service("web");
		if (s.backends[0].state == STATE_UNHEALTHY)
			break;
		reconcile_service_clear(&s);
	}
	assert_int_equal(s.backends[0].state, STATE_UNHEALTHY);
	assert_false(dp_backends(w.dp)[s.backends[0].id].flags & SHUNT_BACKEND_UP);
	assert_int_equal(s.backends[0].slots, 0);
	reconcile_service_clear(&s);
	run("ip addr del 10.9.0.50/32 dev lo");
}

static void a_table_that_could_be_smaller_stays_so_that_older_flows_keep_their_slots(void **state)
{
	struct reconcile_service s;
	uint32_t slots;

	(void)state;
	apply("services: []\n");
	apply(WEB(B(2) "," B(3) ", { address: " B(4) ", weight: 5 }"));
	s = service("web");
	slots = s.n_slots;
	reconcile_service_clear(&s);
	apply(WEB(B(2) "," B(3) "," B(4)));
	s = service("web");
	assert_int_equal(s.n_slots, slots);
	reconcile_service_clear(&s);
	apply("services: []\n");
	apply(WEB(B(2) "," B(3) "," B(4)));
	s = service("web");
	assert_true(s.n_slots < slots);
	reconcile_service_clear(&s);
}

static void a_service_that_has_just_come_has_no_slot_in_transition(void **state)
{
	struct reconcile_service s;

	(void)state;
	apply("services: []\n");
	apply(WEB(B(2) "," B(3) "," B(4) "," B(5) "," B(6) "," B(7) "," B(8) "," B(9) "," B(10) "," B(11) "," B(12)));
	s = service("web");
	assert_true(s.backends[0].slots > 0 && s.backends[10].slots > 0);
	assert_int_equal(s.moving, 0);
	reconcile_service_clear(&s);
}

/* Before the loop runs again: nobody has looked up a next hop meanwhile. */
static void another_check_keeps_backends_reachable_and_slots_owned(void **state)
{
	_cleanup_(config_freep) struct config *c = NULL;
	const char *text = "services:\n  - { name: web, listen: '192.0.2.10:80/tcp', backends: [" B(2) "," B(3) "],\n"
			   "      health: { tcp: {}, interval: %s, timeout: 10s, fall: 9 } }\n";
	_cleanup_free_ char *before = NULL, *after = NULL;

	(void)state;
	assert_true(asprintf(&before, text, "60s") > 0 && asprintf(&after, text, "61s") > 0);
	apply(before);
	assert_true(slots_of("web", "10.9.0.2") > 0);
	c = parse(after);
	assert_int_equal(reconcile_apply(w.r, c), 0);
	struct reconcile_service s = service("web");

	for (size_t i = 0; i < s.n_backends; i++) {
		assert_true(dp_backends(w.dp)[s.backends[i].id].flags & SHUNT_BACKEND_NEXTHOP);
		assert_true(dp_backends(w.dp)[s.backends[i].id].room > 0);
	}
	assert_int_equal(slots_of("web", "10.9.0.2") + slots_of("web", "10.9.0.3"), s.n_slots);
	reconcile_service_clear(&s);
}

/* ---- any sequence of configurations ends where its last one alone would ---- */

static unsigned seed;

static unsigned dice(unsigned n)
{
	return rand_r(&seed) % n;
}

static char *random_services(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	unsigned n = dice(4);

	fprintf(f, "services:%s\n", n ? "" : " []");
	for (unsigned i = 0; i < n; i++) {
		fprintf(f, "  - name: s%u\n    listen: ['192.0.2.%u:80/tcp']\n    health: none\n    backends:\n", i, i + 1);
		for (unsigned k = 0, some = 0; k < 20 || !some; k++) {
			if (dice(2))
				continue;
			some = 1;
			fprintf(f, "      - { address: '10.9.0.%u:80', weight: %u, state: %s }\n", 2 + k, 1 + dice(3),
				dice(5) ? "enabled" : "draining");
		}
	}
	fclose(f);
	return text;
}

/* The owner of each slot by an own table of the configuration, everyone reachable. */
static void check_against_table(const struct service *conf)
{
	_cleanup_free_ struct table_member *m = calloc(conf->n_backends, sizeof(*m));
	_cleanup_(table_freep) struct table *t = NULL;
	struct reconcile_service s = service(conf->name);

	for (size_t i = 0; i < conf->n_backends; i++)
		m[i] = (struct table_member){ table_key(conf->backends[i].at.addr.b, conf->backends[i].at.port),
					      conf->backends[i].weight,
					      conf->backends[i].admin == ADMIN_ENABLED };
	assert_int_equal(table_build(&t, m, conf->n_backends, s.n_slots), 0);
	for (uint32_t i = 0; i < s.n_slots; i++) {
		const struct shunt_backend *b = owner(&s, i);

		if (t->current[i] == TABLE_NONE)
			assert_null(b);
		else if (memcmp(&b->address, conf->backends[t->current[i]].at.addr.b, 16))
			fail_msg("service %s, slot %u of %u (SEED=%u)", conf->name, i, s.n_slots, seed);
	}
	reconcile_service_clear(&s);
}

static void any_sequence_of_configurations_ends_where_its_last_alone_would(void **state)
{
	(void)state;
	seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 20261121;
	print_message("SEED=%u\n", seed);
	for (int round = 0; round < 60; round++) {
		_cleanup_free_ char *text = random_services();

		apply(text);
		for (size_t i = 0; i < reconcile_config(w.r)->n_services; i++)
			check_against_table(&reconcile_config(w.r)->services[i]);
		if (round % 10 == 9) {
			close_world();
			open_world();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot_leads_to_an_enabled_backend),
		cmocka_unit_test(a_drained_backend_owns_no_slot_and_gets_the_same_ones_back),
		cmocka_unit_test(a_new_daemon_changes_no_slot),
		cmocka_unit_test(what_is_in_use_is_given_back),
		cmocka_unit_test(a_service_that_does_not_fit_changes_nothing),
		cmocka_unit_test(services_share_a_backend_and_its_check),
		cmocka_unit_test(a_backend_that_fails_its_check_owns_no_slot),
		cmocka_unit_test(a_table_that_could_be_smaller_stays_so_that_older_flows_keep_their_slots),
		cmocka_unit_test(a_service_that_has_just_come_has_no_slot_in_transition),
		cmocka_unit_test(another_check_keeps_backends_reachable_and_slots_owned),
		cmocka_unit_test(any_sequence_of_configurations_ends_where_its_last_alone_would),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, setup, teardown);
}
