/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From configurations to maps: the real datapath, in a network namespace of its own, with pins of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "config/config.h"
#include "model/alternates.h"
#include "model/table.h"
#include "netns.h"
#include "packet.h"
#include "reconcile/reconcile.h"
#include "rooms.h"
#include "want.h"

#define PINS "/sys/fs/bpf/shunt-test-reconcile"

static struct rooms w;

static struct config *parse(const char *services)
{
	return rooms_parse("pins: " PINS "\nlimits: { services: 64, listeners: 256, members: 2048, backends: 1024, "
			   "slots: 524288 }\n%s", services);
}

static void open_world(void)
{
	_cleanup_(config_freep) struct config *c = parse("services: []\n");

	rooms_open(&w, c);
}

static void close_world(void)
{
	rooms_close(&w);
}

/* What was put off by the last apply is done well before. */
static void settle(void)
{
	rooms_run(&w, 30);
}

static int setup(void **state)
{
	(void)state;
	dp_unload(PINS);
	rooms_network(60);
	sh("ip route add 10.8.0.0/16 via 10.9.0.60"); /* where many are */
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
	sh("ip addr add 10.9.0.50/32 dev lo");
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
	sh("ip addr del 10.9.0.50/32 dev lo");
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

/* ---- limits and refusals ---- */

static char *many_listens(int net)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fprintf(f, "services:\n  - { name: web, health: none, backends: [" B(2) "], listen: [");
	for (int i = 1; i <= 200; i++)
		fprintf(f, "'198.51.%d.%d:80/tcp', ", net, i);
	fprintf(f, "] }\n");
	fclose(f);
	return text;
}

static void listeners_of_before_and_after_must_fit_side_by_side(void **state)
{
	_cleanup_free_ char *text = many_listens(1), *other = many_listens(2);
	_cleanup_(config_freep) struct config *c = parse(other);

	(void)state;
	apply("services: []\n");
	apply(text);
	assert_int_equal(reconcile_apply(w.r, c), -ENOSPC);
	assert_true(listen_compare(&reconcile_config(w.r)->services[0].listens[0], &c->services[0].listens[0]) < 0);
	apply("services: []\n");
	apply(other);
	apply("services: []\n");
}

static struct listen strange(unsigned i)
{
	struct listen l = { .port = 80, .proto = 6 };
	char text[32];

	snprintf(text, sizeof(text), "203.0.%u.%u", i / 250, i % 250 + 1);
	assert_int_equal(addr_parse(text, &l.addr), 0);
	return l;
}

static int count_listener(void *n, const struct listen *l, uint32_t id)
{
	struct reconcile_service s = service("web");

	(void)l;
	assert_int_equal(id, s.id);
	reconcile_service_clear(&s);
	++*(unsigned *)n;
	return 0;
}

/* The map of listeners is full with what reconcile does not know of. */
static void what_the_kernel_refuses_leaves_the_configuration_of_before(void **state)
{
	_cleanup_(config_freep) struct config *c = parse(
		"services:\n"
		"  - { name: web, listen: ['192.0.2.10:80/tcp', '192.0.2.12:80/tcp'], health: none,\n"
		"      backends: [" B(4) "] }\n"
		"  - { name: dns, listen: '192.0.2.11:53/udp', health: none, backends: ['10.9.0.5:53'] }\n");
	struct reconcile_service s;
	unsigned n = 0;

	(void)state;
	apply("services: []\n");
	apply("services:\n"
	      "  - { name: web, listen: '192.0.2.10:80/tcp', health: none, backends: [" B(2) "," B(3) "] }\n"
	      "  - { name: old, listen: '192.0.2.13:80/tcp', health: none, backends: [" B(6) "] }\n");
	for (struct listen l = strange(0); n < 20000 && !dp_listener_set(w.dp, &l, 0); l = strange(++n))
		;
	assert_in_range(n, 1, 19999);
	assert_int_not_equal(reconcile_apply(w.r, c), 0);
	settle();
	assert_int_equal(reconcile_config(w.r)->n_services, 2);
	assert_string_equal(reconcile_config(w.r)->services[0].name, "old");
	assert_int_equal(reconcile_service(w.r, "dns", &s), -ENOENT);
	assert_int_equal(slots_of("web", "10.9.0.4"), 0);
	assert_true(slots_of("web", "10.9.0.2") > 0);
	assert_true(slots_of("old", "10.9.0.6") > 0);
	apply(WEB(B(2)));
	n = 0;
	assert_int_equal(dp_listener_each(w.dp, count_listener, &n), 0);
	assert_int_equal(n, 1);
}

/* ---- flows that were noted in a transition ---- */

/* The last byte of the address that the packet of a client's port is sent to; 0: to nobody. */
static unsigned backend_of(uint16_t port, unsigned flags)
{
	uint8_t out[256] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_out = out, .data_size_out = sizeof(out));
	struct packet in;

	ether(&in);
	ip4(&in, (struct ip4){ .src = "198.51.100.7", .dst = "192.0.2.10" });
	tcp(&in, port, 80, flags);
	packet_finish(&in);
	opts.data_in = in.b;
	opts.data_size_in = in.len;
	assert_int_equal(bpf_prog_test_run_opts(dp_program_fd(w.dp, ROLE_EDGE), &opts), 0);
	assert_int_equal(out[14 + 9], opts.data_size_out > in.len ? 4 : 6);
	return opts.data_size_out > in.len ? out[14 + 19] : 0;
}

/* The balancer runs on v0. */
static void configure_edge(void)
{
	_cleanup_(config_freep) struct config *c = parse("interfaces: [{ name: v0, role: edge }]\nservices: []\n");

	assert_int_equal(dp_configure(w.dp, c, true), 0);
}

/* ... and no service is young. */
static void begin_transitions(const char *services)
{
	apply("services: []\n");
	apply(services);
	close_world();
	open_world();
	apply(services);
	configure_edge();
}

/* A service whose flows are over when they have been quiet for a few seconds. */
#define SHORT(options, backends) \
	"services:\n  - { name: web, listen: '192.0.2.10:80/tcp', health: none, backends: [" backends "],\n" \
	"      flow-timeout: { tcp: 1s, udp: 1s, closing: 1s }, " options " }\n"

/* The loop has not run yet: their next hops were looked up at once, so that no packet finds nobody. */
static void backends_that_replace_all_others_are_used_at_once(void **state)
{
	_cleanup_(config_freep) struct config *c = parse(WEB(B(4) "," B(5)));

	(void)state;
	apply(WEB(B(2) "," B(3)));
	assert_int_equal(reconcile_apply(w.r, c), 0);
	assert_true(slots_of("web", "10.9.0.4") > 0);
	assert_true(slots_of("web", "10.9.0.5") > 0);
	apply("services: []\n");
}

#define PORTS 400
#define DRAINING(n) "{ address: " B(n) ", state: draining }"
#define OTHER "  - { name: other, listen: '192.0.2.11:80/tcp', health: none, backends: [" B(3) "] }\n"

static void no_flow_of_a_transition_stays_with_a_backend_that_is_taken_away(void **state)
{
	const char *taken[] = {
		WEB(DRAINING(2) ", { address: " B(3) ", state: disabled }," B(4) "," B(5)) OTHER,
		SHORT("drain: 0s", DRAINING(2) "," B(4) "," B(5)) OTHER,
	};

	(void)state;
	for (size_t how = 0; how < ARRAY_SIZE(taken); how++) {
		unsigned began[PORTS], noted = 0;

		begin_transitions(WEB(B(2) "," B(3) "," B(4) "," B(5)) OTHER);
		apply(WEB(DRAINING(2) "," B(3) "," B(4) "," B(5)) OTHER);
		for (int i = 0; i < PORTS; i++) {
			began[i] = backend_of(1000 + i, TCP_SYN);
			noted += backend_of(5000 + i, TCP_ACK) == 2;
		}
		assert_true(noted > 0); /* the transition is on */
		apply(taken[how]);
		for (int i = 0; i < PORTS; i++) {
			unsigned now = backend_of(1000 + i, TCP_ACK);

			assert_int_not_equal(now, 3);
			if (began[i] != 3)
				assert_int_equal(now, began[i]); /* what another has, it keeps */
		}
	}
	apply("services: []\n");
}

/* ---- phases of a transition ---- */

static uint32_t observing(const char *name)
{
	struct reconcile_service s = service(name);
	const __u64 *slots = dp_slots(w.dp) + shunt_table_first_slot(dp_services(w.dp)[s.id].table);
	uint32_t n = 0;

	for (uint32_t i = 0; i < s.n_slots; i++)
		n += shunt_slot_observing(slots[i]);
	reconcile_service_clear(&s);
	return n;
}

static uint32_t moving(const char *name)
{
	struct reconcile_service s = service(name);
	uint32_t n = s.moving;

	reconcile_service_clear(&s);
	return n;
}

static uint32_t room_for_flows(const char *name)
{
	struct reconcile_service s = service(name);
	uint32_t n = s.max_flows;

	reconcile_service_clear(&s);
	return n;
}

static void wait_until_zero(uint32_t (*count)(const char *name), unsigned seconds)
{
	for (unsigned i = 0; i < seconds * 33 && count("web"); i++)
		settle();
	assert_int_equal(count("web"), 0);
}

/* Every second flow is seen while its slot is observed: only those stay, for as long as they are not quiet. */
static void who_was_noted_stays_beyond_the_transition_and_until_it_is_quiet(void **state)
{
	unsigned before[PORTS], moved = 0;

	(void)state;
	begin_transitions(SHORT("transition: 1s", B(2) "," B(3)));
	assert_int_equal(room_for_flows("web"), 0);
	for (int i = 0; i < PORTS; i++)
		before[i] = backend_of(1000 + i, TCP_ACK);
	apply(SHORT("transition: 1s", B(2) "," B(3) "," B(4) "," B(5)));
	assert_true(observing("web") > 0);
	assert_int_equal(room_for_flows("web"), 65536);
	do {
		for (int i = 0; i < PORTS; i += 2)
			assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
		settle();
	} while (observing("web"));
	assert_true(moving("web") > 0);
	for (int i = 0; i < PORTS; i += 2)
		assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
	for (int i = 1; i < PORTS; i += 2)
		moved += backend_of(1000 + i, TCP_ACK) != before[i];
	assert_in_range(moved, PORTS / 8, PORTS * 3 / 8); /* half of the slots have a new owner */
	wait_until_zero(moving, 20);
	wait_until_zero(room_for_flows, 2);
	apply("services: []\n");
}

static void a_drain_has_a_deadline_and_who_is_left_is_counted(void **state)
{
	unsigned before[PORTS], left = 0;
	struct reconcile_service s;

	(void)state;
	begin_transitions(SHORT("transition: 60s, drain: 2s", B(2) "," B(3) "," B(4)));
	for (int i = 0; i < PORTS; i++)
		before[i] = backend_of(1000 + i, TCP_ACK);
	apply(SHORT("transition: 60s, drain: 2s", DRAINING(2) "," B(3) "," B(4)));
	for (int i = 0; i < PORTS; i++) {
		left += before[i] == 2;
		assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
		assert_int_not_equal(backend_of(5000 + i, TCP_SYN), 2);
	}
	wait_until_zero(observing, 6); /* the deadline comes before the end of the transition */
	for (int i = 0; i < PORTS; i++) {
		unsigned now = backend_of(1000 + i, TCP_ACK);

		assert_int_not_equal(now, 2);
		if (before[i] != 2)
			assert_int_equal(now, before[i]);
	}
	s = service("web");
	assert_int_equal(s.let_go, left);
	reconcile_service_clear(&s);
	apply("services: []\n");
}

static uint32_t retiring(const char *name)
{
	struct reconcile_service s = service(name);
	uint32_t n = s.retiring;

	reconcile_service_clear(&s);
	return n;
}

/* The backend that is taken away lives: its flows stay, nobody new comes, and when they are over it is gone. */
static void a_backend_that_is_taken_away_keeps_its_flows_until_they_are_quiet(void **state)
{
	struct reconcile_stats stats;
	unsigned before[PORTS], left = 0;

	(void)state;
	begin_transitions(SHORT("transition: 1s", B(2) "," B(3) "," B(4)));
	for (int i = 0; i < PORTS; i++)
		before[i] = backend_of(1000 + i, TCP_ACK);
	apply(SHORT("transition: 1s", B(3) "," B(4)));
	assert_int_equal(retiring("web"), 1);
	do {
		for (int i = 0; i < PORTS; i++) {
			left += before[i] == 2;
			assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
			assert_int_not_equal(backend_of(5000 + i, TCP_SYN), 2);
		}
		settle();
	} while (observing("web"));
	assert_true(left > 0);
	wait_until_zero(retiring, 20);
	reconcile_stats(w.r, &stats);
	assert_int_equal(stats.backends, 2);
	for (int i = 0; i < PORTS; i++)
		assert_int_not_equal(backend_of(1000 + i, TCP_ACK), 2);
	apply("services: []\n");
}

/* Taken away and brought back, it is who it was. */
static void a_backend_that_comes_back_while_it_keeps_flows_is_the_same(void **state)
{
	unsigned before[PORTS];

	(void)state;
	begin_transitions(SHORT("transition: 60s", B(2) "," B(3)));
	for (int i = 0; i < PORTS; i++)
		before[i] = backend_of(1000 + i, TCP_ACK);
	apply(SHORT("transition: 60s", B(3)));
	assert_int_equal(retiring("web"), 1);
	for (int i = 0; i < PORTS; i++)
		assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
	apply(SHORT("transition: 60s", B(2) "," B(3)));
	assert_int_equal(retiring("web"), 0);
	assert_true(slots_of("web", "10.9.0.2") > 0);
	for (int i = 0; i < PORTS; i++)
		assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
	apply("services: []\n");
}

/* What has no flows any more goes in steps, each after a grace period for which nobody waits. */
enum step { STEP_NO_SLOT, STEP_SHUT };

static struct shunt_member *first_member(const char *name)
{
	struct reconcile_service s = service(name);
	struct shunt_member *m = &dp_members(w.dp)[shunt_table_first_member(dp_services(w.dp)[s.id].table)];

	reconcile_service_clear(&s);
	return m;
}

/* 10.9.0.2, which has the first place. */
static struct shunt_member *goes(enum step step)
{
	struct shunt_member *m;

	begin_transitions(SHORT("transition: 1s", B(2) "," B(3) "," B(4)));
	apply(SHORT("transition: 1s", B(3) "," B(4)));
	m = first_member("web");
	for (int i = 0; i < 20 * 33 && (step == STEP_SHUT ? m->backend != SHUNT_UNSET : m->flags); i++)
		settle();
	assert_int_equal(m->flags, 0);
	assert_true((m->backend == SHUNT_UNSET) == (step == STEP_SHUT));
	assert_int_equal(retiring("web"), 1);
	return m;
}

static void settle_for(unsigned seconds)
{
	for (unsigned i = 0; i < seconds * 33; i++)
		settle();
}

static void a_backend_that_comes_back_while_it_goes_stays(void **state)
{
	struct reconcile_stats stats;

	(void)state;
	for (enum step step = STEP_NO_SLOT; step <= STEP_SHUT; step++) {
		struct shunt_member *m = goes(step);
		unsigned seen = 0;

		apply(SHORT("transition: 1s", B(2) "," B(3) "," B(4)));
		assert_int_equal(retiring("web"), 0);
		settle_for(2); /* two ticks */
		assert_int_equal(m->flags, SHUNT_MEMBER_USED);
		assert_true(slots_of("web", "10.9.0.2") > 0);
		for (int i = 0; i < PORTS; i++)
			seen += backend_of(1000 + i, TCP_SYN) == 2;
		assert_true(seen > 0);
		reconcile_stats(w.r, &stats);
		assert_int_equal(stats.backends, 3);
		apply("services: []\n");
	}
}

static void while_a_backend_goes_nobody_has_its_place(void **state)
{
	struct shunt_member *m = goes(STEP_NO_SLOT), was = *m;
	struct reconcile_stats stats;

	(void)state;
	apply(SHORT("transition: 1s", B(3) "," B(4) "," B(5)));
	assert_memory_equal(m, &was, sizeof(was));
	assert_true(slots_of("web", "10.9.0.5") > 0);
	wait_until_zero(retiring, 5);
	assert_int_equal(m->backend, SHUNT_UNSET);
	assert_true(slots_of("web", "10.9.0.5") > 0);
	reconcile_stats(w.r, &stats);
	assert_int_equal(stats.backends, 3);
	apply("services: []\n");
}

/* It is not waited for: what it has is given back at once. */
static void a_service_that_goes_takes_along_who_goes(void **state)
{
	struct reconcile_stats stats;

	(void)state;
	goes(STEP_SHUT);
	apply("services: []\n");
	reconcile_stats(w.r, &stats);
	assert_int_equal(stats.backends, 0);
	assert_int_equal(stats.members, 0);
}

static void the_next_daemon_finishes_what_the_one_before_began(void **state)
{
	const char *text = SHORT("transition: 1s", B(2) "," B(3) "," B(4) "," B(5));
	unsigned before[PORTS];

	(void)state;
	begin_transitions(SHORT("transition: 1s", B(2) "," B(3)));
	for (int i = 0; i < PORTS; i++)
		before[i] = backend_of(1000 + i, TCP_ACK);
	apply(text);
	for (int i = 0; i < PORTS; i++)
		assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
	close_world();
	open_world();
	apply(text);
	configure_edge();
	for (int i = 0; i < PORTS; i++)
		assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
	assert_int_equal(room_for_flows("web"), 65536);
	wait_until_zero(moving, 20);
	wait_until_zero(room_for_flows, 2);
	apply("services: []\n");
}

static void without_a_transition_flows_move_at_once(void **state)
{
	(void)state;
	begin_transitions(SHORT("transition: 0s", B(2) "," B(3)));
	apply(SHORT("transition: 0s", B(2) "," B(3) "," B(4) "," B(5)));
	assert_int_equal(moving("web"), 0);
	assert_int_equal(room_for_flows("web"), 0);
	apply("services: []\n");
}

/* ---- looking into the flow cache ---- */

#define TCP_FIN 0x01
#define FLOWS(backends) \
	"services:\n" \
	"  - { name: web, listen: '192.0.2.10:80/tcp', health: none, transition: 1s, backends: [" backends "] }\n" \
	"  - { name: any, listen: ['192.0.2.12:*/udp', '[2001:db8::12]:*/udp'], health: none,\n" \
	"      backends: [" backends "] }\n"

/* The last byte of the backend's address that the flow's packet is sent to; to: as explain says it. */
static unsigned send_packet(const char *from, uint16_t port, const char *to, unsigned flags)
{
	uint8_t out[256] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_out = out, .data_size_out = sizeof(out));
	char service[ADDR_TEXT];
	struct listen l;
	struct packet in;

	assert_int_equal(listen_parse(to, &l), 0);
	addr_format(&l.addr, service);
	ether(&in);
	if (addr_is4(&l.addr))
		ip4(&in, (struct ip4){ .src = from, .dst = service });
	else
		ip6(&in, (struct ip6){ .src = from, .dst = service });
	if (l.proto == IPPROTO_UDP)
		udp(&in, port, l.port);
	else
		tcp(&in, port, l.port, flags);
	packet_finish(&in);
	opts.data_in = in.b;
	opts.data_size_in = in.len;
	assert_int_equal(bpf_prog_test_run_opts(dp_program_fd(w.dp, ROLE_EDGE), &opts), 0);
	assert_true(opts.data_size_out > in.len);
	return out[14 + 19];
}

static struct reconcile_flow_place place_of(const char *from, uint16_t port, const char *to)
{
	struct reconcile_flow_place p;
	struct endpoint client = { .port = port };
	struct listen l;

	assert_int_equal(addr_parse(from, &client.addr), 0);
	assert_int_equal(listen_parse(to, &l), 0);
	assert_int_equal(reconcile_flow_of(w.r, &client, &l, &p), 0);
	return p;
}

/* Of an endpoint 10.9.0.N */
static unsigned last_byte(const struct endpoint *e) { return e ? e->addr.b[15] : 0; }

struct flow_count {
	unsigned all, of_state[4], elsewhere;
};

static void count_flow(void *arg, const struct reconcile_flow *f)
{
	struct flow_count *n = arg;

	n->all++;
	n->of_state[f->state]++;
	n->elsewhere += f->elsewhere;
	assert_in_range(f->age_seconds, 0, 20);
}

static struct flow_count count_flows(const char *name, uint32_t room)
{
	struct flow_count n = {};

	assert_int_equal(reconcile_flows_each(w.r, name, count_flow, &n), room);
	return n;
}

/* Packets to a destination of every kind; each is noted if its slot is in transition. */
static const struct kind {
	const char *service, *from, *to;
	unsigned flags, state;
} kinds[] = {
	{ "web", "198.51.100.7", "192.0.2.10:80/tcp", TCP_ACK, SHUNT_FLOW_OPEN },
	{ "web", "198.51.100.8", "192.0.2.10:80/tcp", TCP_SYN, SHUNT_FLOW_NEW },
	{ "web", "198.51.100.9", "192.0.2.10:80/tcp", TCP_ACK | TCP_FIN, SHUNT_FLOW_CLOSING },
	{ "any", "198.51.100.7", "192.0.2.12:4321/udp", 0, SHUNT_FLOW_UDP },
	{ "any", "2001:db8::7", "[2001:db8::12]:4321/udp", 0, SHUNT_FLOW_UDP },
};

/* Sends one, and finds it again. Returns whether it is noted. */
static bool is_found(const struct kind *k, uint16_t port)
{
	unsigned to = send_packet(k->from, port, k->to, k->flags);
	struct reconcile_flow_place p = place_of(k->from, port, k->to);

	assert_string_equal(p.service, k->service);
	assert_int_equal(p.noted, p.phase == SLOT_OBSERVING);
	assert_int_equal(last_byte(k->flags == TCP_SYN ? p.owner : p.anchor), to);
	if (!p.noted)
		return false;
	assert_int_equal(last_byte(&p.flow.backend), to);
	assert_int_equal(p.flow.state, k->state);
	assert_int_equal(p.flow.elsewhere, k->flags != TCP_SYN);
	assert_int_equal(p.flow.slot, p.slot);
	return true;
}

static void every_noted_flow_is_found_with_its_backend(void **state)
{
	(void)state;
	begin_transitions(FLOWS(B(2) "," B(3)));
	assert_int_equal(count_flows(NULL, 0).all, 0);
	apply(FLOWS(B(2) "," B(3) "," B(4) "," B(5)));
	for (const struct kind *k = kinds; k < kinds + ARRAY_SIZE(kinds); k++) {
		struct flow_count before = count_flows(k->service, 65536), after;
		unsigned noted = 0;

		for (int i = 0; i < PORTS; i++)
			noted += is_found(k, 1000 + i);
		after = count_flows(k->service, 65536);
		assert_in_range(noted, PORTS / 4, PORTS * 3 / 4); /* half of the slots have a new owner */
		assert_int_equal(after.all - before.all, noted);
		assert_int_equal(after.of_state[k->state] - before.of_state[k->state], noted);
		assert_int_equal(after.elsewhere - before.elsewhere, k->flags == TCP_SYN ? 0 : noted);
	}
	assert_int_equal(count_flows(NULL, 131072).all, count_flows("web", 65536).all + count_flows("any", 65536).all);
	apply("services: []\n");
}

static void a_noted_flow_lingers_when_the_transition_has_ended(void **state)
{
	unsigned lingering = 0;

	(void)state;
	begin_transitions(FLOWS(B(2) "," B(3)));
	apply(FLOWS(B(2) "," B(3) "," B(4) "," B(5)));
	for (int i = 0; i < PORTS; i++)
		send_packet(kinds[0].from, 1000 + i, kinds[0].to, TCP_ACK);
	wait_until_zero(observing, 5);
	for (int i = 0; i < PORTS; i++) {
		struct reconcile_flow_place p = place_of(kinds[0].from, 1000 + i, kinds[0].to);

		assert_int_not_equal(p.phase, SLOT_OBSERVING);
		assert_true(!p.noted || p.phase == SLOT_LINGERING);
		assert_int_equal(last_byte(p.anchor), last_byte(p.owner));
		assert_int_equal(last_byte(p.noted ? &p.flow.backend : p.owner),
				 send_packet(kinds[0].from, 1000 + i, kinds[0].to, TCP_ACK));
		lingering += p.phase == SLOT_LINGERING;
	}
	assert_in_range(lingering, PORTS / 4, PORTS * 3 / 4);
	apply("services: []\n");
}

static void what_no_service_listens_on_has_no_place(void **state)
{
	struct reconcile_flow_place p;
	struct endpoint client;
	struct listen l;

	(void)state;
	apply(FLOWS(B(2) "," B(3)));
	assert_int_equal(endpoint_parse("198.51.100.7:1000", &client), 0);
	assert_int_equal(listen_parse("192.0.2.12:80/tcp", &l), 0); /* every port, but of UDP */
	assert_int_equal(reconcile_flow_of(w.r, &client, &l, &p), -ENOENT);
	assert_int_equal(listen_parse("192.0.2.10:81/tcp", &l), 0);
	assert_int_equal(reconcile_flow_of(w.r, &client, &l, &p), -ENOENT);
	assert_int_equal(reconcile_flows_each(w.r, "nosuch", count_flow, NULL), -ENOENT);
	apply("services: []\n");
}

/* More flows than there is room for; the next service with the number begins at zero. */
static void flows_that_had_to_give_way_are_counted_for_their_service(void **state)
{
	struct reconcile_service s;
	unsigned noted = 0;

	(void)state;
	begin_transitions(SHORT("flows: 512", B(2) "," B(3)));
	apply(SHORT("flows: 512", B(2) "," B(3) "," B(4) "," B(5)));
	for (int i = 0; i < 4000; i++) {
		send_packet("198.51.100.7", 1000 + i, "192.0.2.10:80/tcp", TCP_ACK);
		noted += place_of("198.51.100.7", 1000 + i, "192.0.2.10:80/tcp").noted;
	}
	s = service("web");
	assert_true(noted > 1000);
	assert_int_equal(s.flows_noted, noted);
	assert_int_equal(s.flows_evicted, noted - count_flows("web", 512).all);
	reconcile_service_clear(&s);
	close_world();
	open_world(); /* the next daemon goes on counting */
	apply(SHORT("flows: 512", B(2) "," B(3) "," B(4) "," B(5)));
	s = service("web");
	assert_int_equal(s.flows_noted, noted);
	reconcile_service_clear(&s);
	apply("services: []\n");
	apply(FLOWS(B(2)));
	for (int i = 0; i < 2; i++) {
		s = service(i ? "web" : "any");
		assert_int_equal(s.flows_noted, 0);
		assert_int_equal(s.flows_evicted, 0);
		reconcile_service_clear(&s);
	}
	apply("services: []\n");
}

/* As if the daemon had died after it gave a backend up, and before it noted what was counted there. */
static void what_was_counted_before_a_death_stays_the_services_and_is_no_others(void **state)
{
	struct reconcile_service s;
	uint64_t packets;

	(void)state;
	begin_transitions(WEB(B(2) "," B(3)));
	for (int i = 0; i < 100; i++)
		backend_of(1000 + i, TCP_ACK);
	s = service("web");
	packets = s.packets;
	assert_true(packets >= 100 && s.backends[0].packets && s.backends[1].packets);
	dp_members(w.dp)[s.backends[1].member].flags = 0;
	reconcile_service_clear(&s);
	close_world();
	open_world();
	apply(WEB(B(2) "," B(4)));
	s = service("web");
	assert_int_equal(s.packets, packets);
	assert_int_equal(s.backends[1].packets, 0);
	reconcile_service_clear(&s);
	apply("services: []\n");
}

/* ---- the size of a table follows from its configuration ---- */

#define HASHES (1 << 17) /* as many as the largest region here has slots */

/* What a packet of each hash finds, and what is said of the table. */
struct picture {
	uint64_t fingerprint;
	uint32_t n_slots, moved, of;
	uint64_t owner[HASHES]; /* address and port */
};

static void note_move(void *arg, const char *name, bool fresh, uint32_t moved, uint32_t of)
{
	struct picture *p = arg;

	assert_string_equal(name, "web");
	assert_false(fresh);
	p->moved = moved;
	p->of = of;
}

/* other: a configuration, to be asked how much it would move */
static struct picture *picture_of(const char *name, const char *other)
{
	_cleanup_(config_freep) struct config *wanted = parse(other);
	struct picture *p = calloc(1, sizeof(*p));
	struct reconcile_service s = service(name);
	uint32_t mask = shunt_table_mask(dp_services(w.dp)[s.id].table);

	p->fingerprint = s.fingerprint;
	p->n_slots = s.n_slots;
	for (uint32_t hash = 0; hash < HASHES; hash++) {
		const struct shunt_backend *b = owner(&s, hash & mask);

		assert_non_null(b);
		p->owner[hash] = (uint64_t)b->address.words[3] << 16 | b->port;
	}
	assert_int_equal(reconcile_preview(w.r, wanted, note_move, p), 0);
	reconcile_service_clear(&s);
	return p;
}

static void assert_same_picture(const struct picture *a, const struct picture *b)
{
	assert_int_equal(a->n_slots, b->n_slots);
	assert_int_equal(a->fingerprint, b->fingerprint);
	assert_int_equal(a->moved, b->moved);
	assert_int_equal(a->of, b->of);
	assert_memory_equal(a->owner, b->owner, sizeof(a->owner));
}

/* Slots of the service's region beyond those of its table. */
static uint32_t slots_beyond(const char *name)
{
	struct reconcile_service s = service(name);
	uint32_t region = shunt_table_mask(dp_services(w.dp)[s.id].table) + 1, slots = s.n_slots;

	reconcile_service_clear(&s);
	assert_true(region >= slots);
	return region - slots;
}

/* A service `web` with this many backends */
static char *web_of(const char *options, unsigned n)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fprintf(f, "services:\n  - { name: web, listen: '192.0.2.10:80/tcp', health: none, transition: 1s, %s\n"
		"      backends: [", options);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "'10.8.0.%u:80', ", 1 + i);
	fprintf(f, "] }\n");
	fclose(f);
	return text;
}

/* Two balancers, of which one had 200 backends before. */
static void equal_configurations_have_equal_tables_whatever_was_before(void **state)
{
	static const char *const sizes[][2] = { { "", "" }, { "slots: 131072,", "slots: 64," } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *many = web_of(sizes[i][0], 200), *few = web_of(sizes[i][1], 5);
		_cleanup_free_ char *other = web_of(sizes[i][1], 6);
		_cleanup_free_ struct picture *alone, *at_once, *shrunk;
		struct reconcile_stats stats;

		begin_transitions(few);
		alone = picture_of("web", other);
		assert_int_equal(slots_beyond("web"), 0);
		begin_transitions(many);
		apply(few);
		assert_true(moving("web") > 0);
		assert_true(slots_beyond("web") > 0);
		at_once = picture_of("web", other);
		assert_same_picture(at_once, alone);
		wait_until_zero(slots_beyond, 20);
		assert_int_equal(moving("web"), 0);
		shrunk = picture_of("web", other);
		assert_same_picture(shrunk, alone);
		reconcile_stats(w.r, &stats);
		assert_int_equal(stats.slots, alone->n_slots);
	}
	apply("services: []\n");
}

/* Slots that the smaller table has in common had owners of their own. */
static void flows_stay_where_they_are_while_a_table_gets_smaller_and_larger(void **state)
{
	const char *large = SHORT("transition: 1s, slots: 4096", B(2) "," B(3) "," B(4));
	const char *small = SHORT("transition: 1s, slots: 64", B(2) "," B(3) "," B(4) "," B(5));
	const char *sizes[] = { small, large, small };
	unsigned before[PORTS], after[PORTS];
	struct reconcile_flow_place place;

	(void)state;
	begin_transitions(large);
	for (int i = 0; i < PORTS; i++)
		before[i] = backend_of(1000 + i, TCP_ACK);
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		apply(sizes[k]);
		for (int i = 0; i < PORTS; i++)
			assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
	}
	assert_int_equal(slots_beyond("web"), 4096 - 64);
	assert_in_range(moving("web"), 1, 64); /* of the table */
	place = place_of("198.51.100.7", 1000, "192.0.2.10:80/tcp");
	assert_int_equal(place.n_slots, 64);
	assert_in_range(place.slot, 0, 63);
	for (int i = 0; i < 100 && observing("web"); i++)
		settle();
	for (int i = 0; i < PORTS; i++) /* they are noted, and that keeps the region as it is */
		assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
	assert_int_equal(slots_beyond("web"), 4096 - 64);
	wait_until_zero(moving, 20);
	for (int i = 0; i < PORTS; i++)
		after[i] = backend_of(1000 + i, TCP_ACK);
	wait_until_zero(slots_beyond, 3);
	for (int i = 0; i < PORTS; i++)
		assert_int_equal(backend_of(1000 + i, TCP_ACK), after[i]);
	apply("services: []\n");
}

/* ---- members run out ---- */

/*
 * Service a, with the backends 10.9.0.first to last and eight places for them, and others that take all the rest of the
 * 2048, but for one that has 16: it can be left out.
 */
static char *crowd(unsigned first, unsigned last, bool all)
{
	static const unsigned others[] = { 600, 300, 150, 75, 37, 18, 5, 9 }; /* in 1024, 512, ... 8 and 16 places */
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fprintf(f, "services:\n  - { name: a, listen: '192.0.2.10:80/tcp', health: none, backends: [");
	for (unsigned i = first; i <= last; i++)
		fprintf(f, "'10.9.0.%u:80', ", i);
	fprintf(f, "] }\n");
	for (size_t i = 0; i < ARRAY_SIZE(others) - !all; i++) {
		fprintf(f, "  - { name: o%zu, listen: '192.0.2.%zu:80/tcp', slots: 64, health: none, backends: [", i,
			100 + i);
		for (unsigned k = 0; k < others[i]; k++)
			fprintf(f, "'10.8.%u.%u:80', ", k / 200, 1 + k % 200);
		fprintf(f, "] }\n");
	}
	fclose(f);
	return text;
}

static int apply_crowd(unsigned first, unsigned last, bool all)
{
	_cleanup_free_ char *text = crowd(first, last, all);
	_cleanup_(config_freep) struct config *c = parse(text);
	int err = reconcile_apply(w.r, c);

	settle();
	return err;
}

/* Backends 2 and 3 of the service are taken away, 2 first, and keep their flows; before: who has the flows. */
static void begin_retirement(bool all, unsigned before[PORTS])
{
	_cleanup_free_ char *text = crowd(2, 5, all);
	struct reconcile_stats stats;

	begin_transitions(text);
	reconcile_stats(w.r, &stats);
	assert_int_equal(stats.members, all ? 2048 : 2032);
	for (int i = 0; i < PORTS; i++)
		before[i] = backend_of(1000 + i, TCP_ACK);
	assert_int_equal(apply_crowd(3, 5, all), 0);
	assert_int_equal(apply_crowd(4, 5, all), 0);
	for (int i = 0; i < PORTS; i++)
		assert_int_equal(backend_of(1000 + i, TCP_ACK), before[i]);
	assert_int_equal(retiring("a"), 2);
}

/* Only those of backend 2 are with others, if that had to go, and are counted. */
static void check_retirement(bool gone, unsigned last, const unsigned before[PORTS])
{
	struct reconcile_service s = service("a");
	unsigned lost = 0;

	for (int i = 0; i < PORTS; i++) {
		unsigned now = backend_of(1000 + i, TCP_ACK);

		if (gone && before[i] == 2)
			assert_in_range(now, 4, last);
		else
			assert_int_equal(now, before[i]);
		lost += gone && before[i] == 2;
	}
	assert_int_equal(s.retiring, gone ? 1 : 2);
	assert_int_equal(s.let_go, lost);
	assert_int_equal(slots_of("a", "10.9.0.2"), 0);
	for (size_t i = 0; i < s.n_backends; i++)
		assert_true(s.backends[i].slots > 0);
	assert_int_equal(s.n_backends, last - 3);
	reconcile_service_clear(&s);
}

static void when_members_run_out_who_retires_for_longest_goes(void **state)
{
	static const struct {
		bool all;
		unsigned last; /* backends 6 to this come to the four that are there or retire */
		bool gone;
	} cases[] = {
		{ true, 10, true }, /* nine, for eight places */
		{ false, 17, false }, /* 16, for 16 places */
		{ false, 18, true },
	};
	unsigned before[PORTS];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin_retirement(cases[i].all, before);
		assert_int_equal(apply_crowd(4, cases[i].last, cases[i].all), 0);
		check_retirement(cases[i].gone, cases[i].last, before);
	}
	apply("services: []\n");
}

static void who_retires_stays_when_not_even_that_would_make_room(void **state)
{
	struct reconcile_stats stats, again;
	unsigned before[PORTS];

	(void)state;
	begin_retirement(true, before);
	reconcile_stats(w.r, &stats);
	assert_int_equal(apply_crowd(4, 12, true), -ENOSPC);
	reconcile_stats(w.r, &again);
	assert_memory_equal(&stats, &again, sizeof(stats));
	check_retirement(false, 5, before);
	apply("services: []\n");
}

/* ---- who was never checked ---- */

#define FAR "shunt-test-reconcile-far"

/* A network whose hosts 10.10.0.51 to .53 accept connections on port 80, and whose hosts .61 to .63 are silent. */
static int far_server;

static int far_begin(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(80) };
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there;

	netns_add(FAR);
	sh("ip link add v2 type veth peer name v3 netns " FAR " && ip addr add 10.10.0.1/16 dev v2");
	sh("ip -n " FAR " link set v3 address 02:00:00:00:00:03 up && ip link set v2 up");
	sh("for i in 51 52 53; do ip -n " FAR " addr add 10.10.0.$i/16 dev v3; done");
	sh("for i in 51 52 53 61 62 63; do ip neigh replace 10.10.0.$i lladdr 02:00:00:00:00:03 nud permanent dev v2; "
	   "done");
	there = open("/run/netns/" FAR, O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	far_server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(far_server, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(far_server, 64), 0);
	assert_int_equal(setns(here, CLONE_NEWNET), 0);
	close(there);
	close(here);
	(void)state;
	return 0;
}

static int far_end(void **state)
{
	(void)state;
	close(far_server);
	netns_delete(FAR);
	return 0;
}

static enum state state_of(const char *name, const char *address)
{
	struct reconcile_service s = service(name);
	enum state found = N_STATES;
	struct addr a;

	assert_int_equal(addr_parse(address, &a), 0);
	for (size_t i = 0; i < s.n_backends; i++)
		if (!addr_compare(&s.backends[i].at.addr, &a))
			found = s.backends[i].state;
	reconcile_service_clear(&s);
	return found;
}

/* Within five seconds, and what follows from it; the interval of the checks below is a minute. */
static void wait_for_state(const char *name, const char *address, enum state wanted)
{
	for (int i = 0; i < 150 && state_of(name, address) != wanted; i++)
		settle();
	assert_int_equal(state_of(name, address), wanted);
	settle();
}

#define CHECKED(name, address, backends) \
	"  - { name: " name ", listen: '" address ":80/tcp', backends: [" backends "],\n" \
	"      health: { tcp: {}, interval: 60s, timeout: 50s } }\n"
#define FAR_B(n) "'10.10.0." #n ":80'"

static void who_was_never_checked_gets_nothing_while_another_is_proven(void **state)
{
	const char *both = "services:\n" CHECKED("web", "192.0.2.10", FAR_B(51) "," FAR_B(61));

	(void)state;
	apply("services: []\n");
	apply("services:\n" CHECKED("web", "192.0.2.10", FAR_B(51)));
	assert_true(slots_of("web", "10.10.0.51") > 0); /* whether checked or not */
	wait_for_state("web", "10.10.0.51", STATE_HEALTHY);
	apply(both);
	assert_int_equal(state_of("web", "10.10.0.61"), STATE_UNKNOWN);
	assert_int_equal(slots_of("web", "10.10.0.61"), 0);
	apply("services:\n" CHECKED("web", "192.0.2.10", FAR_B(51) "," FAR_B(52) "," FAR_B(61)));
	wait_for_state("web", "10.10.0.52", STATE_HEALTHY);
	assert_true(slots_of("web", "10.10.0.52") > 0);
	assert_int_equal(slots_of("web", "10.10.0.61"), 0);
	close_world(); /* the next daemon keeps that up */
	open_world();
	apply(both);
	assert_int_equal(state_of("web", "10.10.0.61"), STATE_UNKNOWN);
	assert_int_equal(slots_of("web", "10.10.0.61"), 0);
	apply("services:\n" CHECKED("web", "192.0.2.10", "{ address: " FAR_B(51) ", state: disabled }, " FAR_B(61)));
	assert_true(slots_of("web", "10.10.0.61") > 0); /* nobody else is left */
	apply("services: []\n");
}

static void verdicts_of_a_service_that_starts_move_nothing_but_what_fails(void **state)
{
	const char *text = "services:\n"
		CHECKED("web", "192.0.2.10", FAR_B(51) "," FAR_B(52) "," FAR_B(53) "," FAR_B(61));
	uint32_t owned[2];

	(void)state;
	apply("services: []\n");
	apply(text);
	owned[0] = slots_of("web", "10.10.0.61");
	owned[1] = slots_of("web", "10.10.0.51");
	assert_true(owned[0] > 0 && owned[1] > 0);
	for (int i = 51; i <= 53; i++) {
		char address[16];

		snprintf(address, sizeof(address), "10.10.0.%d", i);
		wait_for_state("web", address, STATE_HEALTHY);
	}
	assert_int_equal(slots_of("web", "10.10.0.61"), owned[0]);
	assert_int_equal(slots_of("web", "10.10.0.51"), owned[1]);
	close_world(); /* it was used before, so the next daemon uses it too */
	open_world();
	apply(text);
	assert_int_equal(slots_of("web", "10.10.0.61"), owned[0]);
	assert_int_equal(moving("web"), 0);
	apply("services: []\n");
}

/* ---- death ---- */

#ifdef __x86_64__
/*
 * The mapped arrays are made read-only, so that each store into them is caught: it is let through as a single step, or
 * the process dies before it. Where many stores are alike, some count.
 */
static struct {
	struct {
		char *at;
		size_t size;
		unsigned stores, every; /* so many count as one */
	} maps[4], *hit; /* hit: that of the store under way */
	int left; /* stores until it dies */
} trap;

#define DIED 77

static void on_store(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	char *at = info->si_addr;

	trap.hit = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(trap.maps); i++)
		if (at >= trap.maps[i].at && at < trap.maps[i].at + trap.maps[i].size)
			trap.hit = &trap.maps[i];
	if (!trap.hit) {
		signal(number, SIG_DFL);
		return;
	}
	if (!(trap.hit->stores++ % trap.hit->every) && !trap.left--)
		_exit(DIED);
	mprotect(trap.hit->at, trap.hit->size, PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= 0x100; /* one step */
}

static void on_step(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)number;
	(void)info;
	uc->uc_mcontext.gregs[REG_EFL] &= ~0x100;
	mprotect(trap.hit->at, trap.hit->size, PROT_READ);
}

static void add_trap(int i, void *at, size_t size, unsigned every)
{
	trap.maps[i].at = at;
	trap.maps[i].size = size;
	trap.maps[i].every = every;
	mprotect(at, size, PROT_READ);
}

static void set_traps(int left)
{
	struct sigaction store = { .sa_sigaction = on_store, .sa_flags = SA_SIGINFO };
	struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };
	const struct limits *l = dp_limits(w.dp);

	trap.left = left;
	sigaction(SIGSEGV, &store, NULL);
	sigaction(SIGTRAP, &step, NULL);
	add_trap(0, dp_services(w.dp), l->services * sizeof(struct shunt_service), 1);
	add_trap(1, dp_members(w.dp), l->members * sizeof(struct shunt_member), 1);
	add_trap(2, dp_backends(w.dp), l->backends * sizeof(struct shunt_backend), getenv("SOAK") ? 1 : 16);
	add_trap(3, dp_slots(w.dp), l->slots * sizeof(__u64), getenv("SOAK") ? 1 : 32);
}

/* What a daemon of its own does that is to die before this store; returns whether it could. */
static bool applies(int store, const char *services)
{
	struct config *c = parse(services);

	set_traps(store);
	return !reconcile_apply(w.r, c);
}

static bool shrinks(int store, const char *services)
{
	struct config *c = parse(services);

	if (reconcile_apply(w.r, c))
		return false;
	set_traps(store);
	for (int i = 0; i < 100 && slots_beyond("web"); i++)
		settle();
	return !slots_beyond("web");
}

/* False: it came to the end before. */
static bool dies_before(int store, const char *services, bool (*does)(int store, const char *services))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		open_world();
		_exit(does(store, services) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == DIED || WEXITSTATUS(status) == 0);
	return WEXITSTATUS(status) == DIED;
}

struct found {
	const char *address;
	unsigned first, last; /* whose backends have these last bytes */
	unsigned n;
};

/* A listener leads to a service whose slots lead to its own backends, as the packet would find them. */
static int forwards(void *arg, const struct listen *l, uint32_t id)
{
	struct found *found = arg;
	struct reconcile_service s = { .id = id };
	uint32_t slots = shunt_table_mask(dp_services(w.dp)[id].table) + 1;
	struct addr a;

	assert_int_equal(addr_parse(found->address, &a), 0);
	if (addr_compare(&a, &l->addr))
		return 0;
	for (uint32_t i = 0; i < slots; i++) {
		const struct shunt_backend *b = owner(&s, i);

		if (!b && found->first == found->last)
			continue; /* it has just come, and its next hop is not known yet */
		assert_non_null(b);
		assert_true(b->flags & SHUNT_BACKEND_UP);
		assert_in_range(((const uint8_t *)&b->address)[15], found->first, found->last);
	}
	found->n++;
	return 0;
}

static unsigned forwarded(const char *address, unsigned first, unsigned last)
{
	struct found found = { address, first, last, 0 };

	assert_int_equal(dp_listener_each(w.dp, forwards, &found), 0);
	return found.n;
}

#define SERVICE(name, address, slots, backends) "  - { name: " name ", listen: '192.0.2." #address ":80/tcp', " \
	"health: none, slots: " #slots ", backends: [" backends "] }\n"

/* web: members move and slots stay; big: both move; old goes and fresh comes. */
static void a_daemon_that_dies_between_stores_leaves_what_the_next_takes_up(void **state)
{
	const char *before = "services:\n" SERVICE("big", 12, 64, B(12) "," B(13) "," B(14))
		SERVICE("old", 13, 64, B(22)) SERVICE("web", 10, 64, B(2) "," B(3) "," B(4));
	const char *after = "services:\n"
		SERVICE("big", 12, 128, B(13) "," B(14) "," B(15) "," B(16) "," B(17) "," B(18))
		SERVICE("fresh", 14, 64, B(32)) SERVICE("web", 10, 64, B(3) "," B(5) "," B(6) "," B(7) "," B(8));
	struct reconcile_stats st;
	int stores = 0;
	bool died;

	(void)state;
	do {
		_cleanup_(config_freep) struct config *nothing = parse("services: []\n");

		assert_int_equal(reconcile_apply(w.r, nothing), 0);
		apply(before);
		close_world();
		died = dies_before(stores++, after, applies);
		open_world();
		assert_int_equal(forwarded("192.0.2.10", 2, 8), 1);
		assert_int_equal(forwarded("192.0.2.12", 12, 18), 1);
		assert_int_equal(forwarded("192.0.2.13", 22, 22) + forwarded("192.0.2.14", 32, 32) > 0, 1);
		apply(after);
		assert_int_equal(forwarded("192.0.2.10", 3, 8) + forwarded("192.0.2.12", 13, 18) +
				 forwarded("192.0.2.14", 32, 32), 3);
	} while (died);
assert_true(stores > 50);
	apply("services: []\n");
	reconcile_stats(w.r, &st);
	assert_int_equal(st.services + st.members + st.backends + st.slots, 0);
}
/* ... nor does it matter how far it came with a region of slots that was larger than its table. */
static void a_daemon_that_dies_while_slots_are_given_back_leaves_what_the_next_takes_up(void **state)
{
	const char *large = SHORT("transition: 0s, slots: 4096", B(2) "," B(3) "," B(4));
	const char *small = SHORT("transition: 0s, slots: 64", B(2) "," B(3) "," B(4));
	_cleanup_(config_freep) struct config *c = parse(small);
	struct reconcile_stats st;
	int stores = 0;
	bool died;

	(void)state;
	do {
		apply("services: []\n");
		apply(large);
		assert_int_equal(reconcile_apply(w.r, c), 0);
		assert_int_equal(slots_beyond("web"), 4096 - 64);
		close_world();
		died = dies_before(stores++, small, shrinks);
		open_world();
		assert_int_equal(forwarded("192.0.2.10", 2, 4), 1);
		assert_int_equal(reconcile_apply(w.r, c), 0);
		wait_until_zero(slots_beyond, 3);
		assert_int_equal(forwarded("192.0.2.10", 2, 4), 1);
		reconcile_stats(w.r, &st);
		assert_int_equal(st.slots, 64);
	} while (died);
	assert_true(stores > 1);
	apply("services: []\n");
}
#else
static void a_daemon_that_dies_between_stores_leaves_what_the_next_takes_up(void **state)
{
	(void)state;
	skip(); /* catching single stores is written for x86-64 only */
}

static void a_daemon_that_dies_while_slots_are_given_back_leaves_what_the_next_takes_up(void **state)
{
	(void)state;
	skip(); /* likewise */
}
#endif

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

/* ---- forward: gue ---- */

#define GUE(options, backends) \
	"services:\n  - { name: web, listen: '192.0.2.10:80/tcp', health: none, forward: gue, " \
	"backends: [" backends "]" options " }\n"

/* The backend whose number is at this place of the head of the slot's ranking in the kernel, or NULL. */
static const struct shunt_backend *ranked(const struct reconcile_service *s, uint32_t slot, int place)
{
	__u64 table = dp_services(w.dp)[s->id].table;
	__u16 number = dp_alternates(w.dp)[shunt_table_first_slot(table) + slot].ranked >> 16 * place;

	if (number == SHUNT_NONE)
		return NULL;
	return &dp_backends(w.dp)[dp_members(w.dp)[shunt_table_first_member(table) + number].backend];
}

static bool is_at(const struct shunt_backend *b, const struct service *conf, uint16_t number)
{
	return number == TABLE_NONE ? !b : b && !memcmp(&b->address, conf->backends[number].at.addr.b, 16);
}

static uint16_t number_of(const struct shunt_backend *b, const struct service *conf)
{
	uint16_t n = 0;

	while (n < conf->n_backends && !is_at(b, conf, n))
		n++;
	return n < conf->n_backends ? n : TABLE_NONE;
}

/* t: an own table of the configuration */
static bool rankings_are_those_of(const struct table *t, const struct service *conf)
{
	_cleanup_free_ uint16_t(*heads)[TABLE_RANKED] = calloc(t->n_slots, sizeof(*heads));
	struct reconcile_service s = service(conf->name);
	bool same = true;

	table_ranked(t, 0, t->n_slots, heads);
	for (uint32_t i = 0; i < s.n_slots && same; i++) {
		uint64_t word = alternates_ranked(t->base[i], heads[i], number_of(owner(&s, i), conf));

		for (int k = 0; k < SHUNT_ALTERNATES && same; k++)
			same = is_at(ranked(&s, i, k), conf, word >> 16 * k);
	}
	reconcile_service_clear(&s);
	return same;
}

/* The loop may need a while. */
static void check_rankings(const char *name)
{
	const struct service *conf = config_service(reconcile_config(w.r), name);
	_cleanup_free_ struct table_member *m = calloc(conf->n_backends, sizeof(*m));
	_cleanup_(table_freep) struct table *t = NULL;
	struct reconcile_service s = service(name);
	int patience = 300;

	for (size_t i = 0; i < conf->n_backends; i++)
		m[i] = (struct table_member){ table_key(conf->backends[i].at.addr.b, conf->backends[i].at.port),
					      conf->backends[i].weight, true };
	assert_int_equal(table_build(&t, m, conf->n_backends, s.n_slots), 0);
	reconcile_service_clear(&s);
	while (!rankings_are_those_of(t, conf) && --patience)
		settle();
	if (!patience)
		fail_msg("the rankings of service %s are not those of its table", name);
}

/* Who is taken away is gone at once: it would rank on as long as it has flows. */
#define AT_ONCE ", transition: 0s, drain: 0s"

static void rankings_follow_the_table_through_every_change(void **state)
{
	static const char *const steps[] = {
		GUE(AT_ONCE, B(2) "," B(3) "," B(4)),
		GUE(AT_ONCE, B(2) "," B(3) "," B(4) "," B(5)),
		GUE(AT_ONCE, "{ address: " B(2) ", weight: 20 }," B(3) ", { address: " B(4) ", state: draining }," B(5)),
		GUE(AT_ONCE, B(5) "," B(3)),
		GUE(AT_ONCE, B(5)),
		GUE(AT_ONCE ", slots: 1024", B(5) "," B(6) "," B(7)),
		GUE(AT_ONCE ", slots: 8192", B(5) "," B(6) "," B(7)), /* the region moves, and nothing else is new */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		apply(steps[i]);
		check_rankings("web");
	}
}

static void rankings_are_there_when_nothing_but_the_tunnel_is_another(void **state)
{
	(void)state;
	apply("services: []\n");
	memset(dp_alternates(w.dp), 0x11, 524288 * sizeof(struct shunt_alternates));
	apply(WEB(B(2) "," B(3) "," B(4)));
	apply(GUE("", B(2) "," B(3) "," B(4)));
	check_rankings("web");
	apply(WEB(B(2) "," B(3) "," B(4)));
	apply(WEB(B(2) "," B(3)));
	apply(GUE("", B(2) "," B(3)));
	check_rankings("web");
}

#define LARGE(name, address, backends) \
	"  - { name: " name ", listen: '" address ":80/tcp', health: none, forward: gue, slots: 131072, " \
	"backends: [" backends "] }\n"

static void no_large_service_waits_for_another_for_ever(void **state)
{
	(void)state;
	apply("services: []\n");
	apply("services:\n" LARGE("a", "192.0.2.20", B(2) "," B(3) "," B(4))
	      LARGE("b", "192.0.2.21", B(5) "," B(6) "," B(7)));
	check_rankings("a");
	check_rankings("b");
}

static void name_members(uint64_t word, uint32_t n, uint32_t slot)
{
	for (int k = 0; k < SHUNT_ALTERNATES; k++) {
		uint16_t number = word >> 16 * k;

		if (number != SHUNT_NONE && number >= n)
			fail_msg("slot %u: number %u is no member of the service", slot, number);
	}
}

/* Numbers of another service's members would lead to its backends. */
static void until_they_are_known_alternates_name_nobody(void **state)
{
	_cleanup_(config_freep) struct config *c = parse("services:\n" LARGE("a", "192.0.2.20", B(2) "," B(3)));
	const struct shunt_alternates *all;

	(void)state;
	apply("services: []\n");
	memset(dp_alternates(w.dp), 0x11, 524288 * sizeof(struct shunt_alternates));
	assert_int_equal(reconcile_apply(w.r, c), 0);
	struct reconcile_service s = service("a");

	all = dp_alternates(w.dp) + shunt_table_first_slot(dp_services(w.dp)[s.id].table);
	for (uint32_t i = 0; i < s.n_slots; i++) {
		name_members(all[i].owners, 2, i);
		name_members(all[i].ranked, 2, i);
	}
	reconcile_service_clear(&s);
	check_rankings("a");
}

static const struct shunt_backend *entry_of(const char *address)
{
	struct addr a;

	assert_int_equal(addr_parse(address, &a), 0);
	for (uint32_t i = 0; i < 1024; i++) {
		const struct shunt_backend *b = &dp_backends(w.dp)[i];

		if (b->flags & SHUNT_BACKEND_USED && !memcmp(&b->address, a.b, 16))
			return b;
	}
	return NULL;
}

static void entries_say_their_tunnel_and_the_room_in_it(void **state)
{
	(void)state;
	sh("ip addr add fd09::1/64 dev v0 nodad && ip neigh replace fd09::2 lladdr 02:00:00:00:00:01 nud permanent dev v0");
	apply("services: []\n");
	apply(GUE("", B(2) ", '[fd09::2]:80'"));
	assert_int_equal(entry_of("10.9.0.2")->forward, SHUNT_FORWARD_GUE);
	assert_int_equal(entry_of("10.9.0.2")->room, 1500 - 64);
	assert_int_equal(entry_of("fd09::2")->forward, SHUNT_FORWARD_GUE);
	assert_int_equal(entry_of("fd09::2")->room, 1500 - 168);
	apply(WEB(B(2) ", '[fd09::2]:80'"));
	assert_int_equal(entry_of("10.9.0.2")->forward, SHUNT_FORWARD_IPIP);
	assert_int_equal(entry_of("10.9.0.2")->room, 1500 - 20);
	assert_int_equal(entry_of("fd09::2")->room, 1500 - 40);
	sh("ip addr del fd09::1/64 dev v0");
}

/* The loop does not run in between: what it would look up is inherited. */
static void a_backend_that_changes_its_tunnel_can_be_reached_at_once(void **state)
{
	_cleanup_(config_freep) struct config *gue = parse(GUE("", B(2))), *ipip = parse(WEB(B(2)));

	(void)state;
	apply("services: []\n");
	apply(WEB(B(2)));
	assert_int_equal(reconcile_apply(w.r, gue), 0);
	for (int i = 0; i < 2; i++) {
		struct reconcile_service s = service("web");
		const struct shunt_backend *b = owner(&s, 0);

		assert_true(b->flags & SHUNT_BACKEND_NEXTHOP);
		assert_int_equal(b->forward, i ? SHUNT_FORWARD_IPIP : SHUNT_FORWARD_GUE);
		assert_int_equal(b->room, i ? 1480 : 1436);
		reconcile_service_clear(&s);
		assert_int_equal(reconcile_apply(w.r, ipip), 0);
	}
	settle();
}

static void the_next_daemon_takes_up_backends_and_rankings_as_they_are(void **state)
{
	_cleanup_(config_freep) struct config *c = parse(GUE(", slots: 65536", B(2) "," B(3)));
	struct reconcile_stats before, after;
	const struct shunt_backend *entry;

	(void)state;
	apply("services: []\n");
	apply(GUE(", slots: 65536", B(2) "," B(3)));
	check_rankings("web");
	entry = entry_of("10.9.0.2");
	reconcile_stats(w.r, &before);
	uint32_t id = entry - dp_backends(w.dp);

	close_world();
	open_world();
	assert_int_equal(reconcile_apply(w.r, c), 0); /* the loop has not run */
	entry = entry_of("10.9.0.2");
	assert_int_equal(entry - dp_backends(w.dp), id);
	assert_true(entry->flags & SHUNT_BACKEND_NEXTHOP);
	struct reconcile_service s = service("web");

	for (uint32_t i = 0; i < s.n_slots; i++)
		assert_true(ranked(&s, i, 0)); /* the one of the two that does not own it */
	reconcile_service_clear(&s);
	check_rankings("web");
	settle();
	reconcile_stats(w.r, &after);
	assert_int_equal(before.backends, after.backends);
	assert_int_equal(entry_of("10.9.0.2")->room, 1500 - 64);
}

/* ---- the ways to other backends ---- */

static void configure_backend(void)
{
	_cleanup_(config_freep) struct config *c = parse("interfaces: [{ name: v0, role: backend }]\nservices: []\n");

	assert_int_equal(dp_configure(w.dp, c, true), 0);
}

/* A packet of a flow that nobody has here arrives, and names this one: what the backend program does with it. */
static int arrives_strange(const char *next)
{
	static const struct flow flow = { "198.51.100.7", "192.0.2.10", 40000, 80, IPPROTO_TCP };
	const struct gue gue = { .n = 1, .hops = { next } };
	const struct tunnel t = { .src = "198.18.0.1", .gue = &gue };
	static struct packet in, inner;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in.b);

	flow_packet(&inner, &flow, &(struct shape){ .bare = true });
	tunnel_packet(&in, &t, &inner);
	opts.data_size_in = in.len;
	assert_int_equal(bpf_prog_test_run_opts(dp_program_fd(w.dp, ROLE_BACKEND), &opts), 0);
	return opts.retval;
}

static void wait_for_action(const char *next, int action)
{
	int patience = 300;

	while (arrives_strange(next) != action && --patience)
		settle();
	assert_true(patience);
}

static int count_hop(void *n, const struct addr *to)
{
	(void)to;
	++*(int *)n;
	return 0;
}

static int hops(void)
{
	int n = 0;

	assert_int_equal(dp_hop_each(w.dp, count_hop, &n), 0);
	return n;
}

static void the_way_to_a_stranger_is_found_kept_by_the_next_daemon_and_forgotten_with_its_route(void **state)
{
	(void)state;
	sh("ip addr add 10.11.0.1/16 dev v0 && ip neigh replace 10.11.0.7 lladdr 02:00:00:00:00:07 nud permanent dev v0 && "
	   "ip neigh replace 10.11.0.8 lladdr 02:00:00:00:00:08 nud permanent dev v0");
	apply(GUE("", B(2)));
	configure_backend();
	assert_int_equal(hops(), 0);
	assert_int_equal(arrives_strange("10.11.0.7"), XDP_TX);
	wait_for_action("10.11.0.7", XDP_REDIRECT);
	wait_for_action("10.11.0.8", XDP_REDIRECT);
	assert_int_equal(arrives_strange("172.16.0.1"), XDP_TX); /* no route leads there */
	settle();
	assert_int_equal(arrives_strange("172.16.0.1"), XDP_TX);
	assert_int_equal(hops(), 2);
	close_world();
	open_world();
	apply(GUE("", B(2)));
	configure_backend();
	assert_int_equal(arrives_strange("10.11.0.7"), XDP_REDIRECT);
	assert_int_equal(hops(), 2);
	sh("ip addr del 10.11.0.1/16 dev v0"); /* and the route with it */
	wait_for_action("10.11.0.7", XDP_TX);
	wait_for_action("10.11.0.8", XDP_TX);
	assert_int_equal(hops(), 0);
	sh("ip addr add 10.11.0.1/16 dev v0");
	sh("ip neigh replace 10.11.0.7 lladdr 02:00:00:00:00:07 nud permanent dev v0");
	wait_for_action("10.11.0.7", XDP_REDIRECT);
	sh("ip addr del 10.11.0.1/16 dev v0");
	wait_for_action("10.11.0.7", XDP_TX);
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
		cmocka_unit_test(a_service_that_has_just_come_has_no_slot_in_transition),
		cmocka_unit_test(another_check_keeps_backends_reachable_and_slots_owned),
		cmocka_unit_test(listeners_of_before_and_after_must_fit_side_by_side),
		cmocka_unit_test(what_the_kernel_refuses_leaves_the_configuration_of_before),
		cmocka_unit_test(no_flow_of_a_transition_stays_with_a_backend_that_is_taken_away),
		cmocka_unit_test(backends_that_replace_all_others_are_used_at_once),
		cmocka_unit_test(who_was_noted_stays_beyond_the_transition_and_until_it_is_quiet),
		cmocka_unit_test(a_drain_has_a_deadline_and_who_is_left_is_counted),
		cmocka_unit_test(a_backend_that_is_taken_away_keeps_its_flows_until_they_are_quiet),
		cmocka_unit_test(a_backend_that_comes_back_while_it_goes_stays),
		cmocka_unit_test(while_a_backend_goes_nobody_has_its_place),
		cmocka_unit_test(a_service_that_goes_takes_along_who_goes),
		cmocka_unit_test(a_backend_that_comes_back_while_it_keeps_flows_is_the_same),
		cmocka_unit_test(the_next_daemon_finishes_what_the_one_before_began),
		cmocka_unit_test(without_a_transition_flows_move_at_once),
		cmocka_unit_test(every_noted_flow_is_found_with_its_backend),
		cmocka_unit_test(a_noted_flow_lingers_when_the_transition_has_ended),
		cmocka_unit_test(what_no_service_listens_on_has_no_place),
		cmocka_unit_test(flows_that_had_to_give_way_are_counted_for_their_service),
		cmocka_unit_test(what_was_counted_before_a_death_stays_the_services_and_is_no_others),
		cmocka_unit_test(equal_configurations_have_equal_tables_whatever_was_before),
		cmocka_unit_test(flows_stay_where_they_are_while_a_table_gets_smaller_and_larger),
		cmocka_unit_test(when_members_run_out_who_retires_for_longest_goes),
		cmocka_unit_test(who_retires_stays_when_not_even_that_would_make_room),
		cmocka_unit_test_setup(who_was_never_checked_gets_nothing_while_another_is_proven, far_begin),
		cmocka_unit_test_teardown(verdicts_of_a_service_that_starts_move_nothing_but_what_fails, far_end),
		cmocka_unit_test(rankings_follow_the_table_through_every_change),
		cmocka_unit_test(rankings_are_there_when_nothing_but_the_tunnel_is_another),
		cmocka_unit_test(no_large_service_waits_for_another_for_ever),
		cmocka_unit_test(until_they_are_known_alternates_name_nobody),
		cmocka_unit_test(entries_say_their_tunnel_and_the_room_in_it),
		cmocka_unit_test(a_backend_that_changes_its_tunnel_can_be_reached_at_once),
		cmocka_unit_test(the_next_daemon_takes_up_backends_and_rankings_as_they_are),
		cmocka_unit_test(the_way_to_a_stranger_is_found_kept_by_the_next_daemon_and_forgotten_with_its_route),
		cmocka_unit_test(a_daemon_that_dies_between_stores_leaves_what_the_next_takes_up),
		cmocka_unit_test(a_daemon_that_dies_while_slots_are_given_back_leaves_what_the_next_takes_up),
		cmocka_unit_test(any_sequence_of_configurations_ends_where_its_last_alone_would),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, setup, teardown);
}
