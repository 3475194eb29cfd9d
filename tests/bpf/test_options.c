/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a service's options `quic` and `affinity` come to in the maps, and how these follow the configuration: the real
 * datapath, in a network namespace of its own, with pins of its own. Packets say whether the programs see it so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "config/config.h"
#include "packet.h"
#include "reconcile/reconcile.h"
#include "rooms.h"

#define PINS "/sys/fs/bpf/shunt-test-options"

static struct rooms w;

static struct config *parse(const char *services)
{
	return rooms_parse("pins: " PINS "\ninterfaces: [{ name: v0, role: edge }]\nlimits: { services: 16, "
			   "listeners: 64, members: 256, backends: 256, slots: 65536, flows: 65536 }\n%s", services);
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
	rooms_network(30);
	open_world();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close_world();
	return dp_unload(PINS);
}

/* As the daemon does: the programs know what either configuration needs, then the services change. */
static void apply(const char *services)
{
	_cleanup_(config_freep) struct config *c = parse(services);

	assert_int_equal(dp_configure(w.dp, c, false), 0);
	assert_int_equal(reconcile_apply(w.r, c), 0);
	settle();
}

static void restart(const char *services)
{
	close_world();
	open_world();
	apply(services);
}

/* No slot of a new service is in transition; the next daemon takes it for an old one. */
static void apply_as_old(const char *services)
{
	apply("services: []\n");
	apply(services);
	restart(services);
}

/* ---- packets ---- */

#define HASHED 0 /* to whomever the flow's hash leads: the tests' IDs lead elsewhere at least once */

/* The last byte of the address that it is sent to; data: UDP's, behind the header */
static unsigned sent_to(const char *client, uint16_t port, const uint8_t *data, size_t len)
{
	uint8_t out[512] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_out = out, .data_size_out = sizeof(out));
	struct packet in;

	ether(&in);
	ip4(&in, (struct ip4){ .src = client, .dst = "192.0.2.10" });
	udp(&in, port, 443);
	bytes(&in, data, len);
	packet_finish(&in);
	opts.data_in = in.b;
	opts.data_size_in = in.len;
	assert_int_equal(bpf_prog_test_run_opts(dp_program_fd(w.dp, ROLE_EDGE), &opts), 0);
	assert_true(opts.data_size_out > in.len);
	return out[14 + 19];
}

static unsigned sent_plain(const char *client, uint16_t port)
{
	const uint8_t nothing[32] = {};

	return sent_to(client, port, nothing, sizeof(nothing));
}

/* Whom a server's connection ID leads to, from 40 ports: one backend, or HASHED: it depends on the port. */
static unsigned led_to(uint8_t config, const char *id)
{
	uint8_t data[40] = { 0x40, config << 5 };
	unsigned first = 0;

	memcpy(data + 2, id, strlen(id));
	for (int port = 1000; port < 1040; port++) {
		unsigned to = sent_to("198.51.100.7", port, data, sizeof(data));

		if (first && to != first)
			return HASHED;
		first = to;
	}
	return first;
}

/* ---- the map ---- */

static int count_entry(void *n, const struct shunt_quic_server *key, uint32_t place)
{
	(void)key;
	(void)place;
	++*(unsigned *)n;
	return 0;
}

static unsigned entries(void)
{
	unsigned n = 0;

	assert_int_equal(dp_quic_each(w.dp, count_entry, &n), 0);
	return n;
}

static void wait_for_entries(unsigned n, unsigned seconds)
{
	for (unsigned i = 0; i < seconds * 33 && entries() != n; i++)
		settle();
	assert_int_equal(entries(), n);
}

#define QUIC(options, backends) \
	"services:\n  - { name: quic, listen: '192.0.2.10:443/udp', health: none, quic: { config: 1, server-id: 2 },\n" \
	"      flow-timeout: { tcp: 1s, udp: 1s, closing: 1s }, " options ", backends: [" backends "] }\n"
#define S(n, id) "{ address: '10.9.0." #n ":443', server-id: '" #id "' }" /* 6161: "aa" */
#define DRAINING(n, id) "{ address: '10.9.0." #n ":443', server-id: '" #id "', state: draining }"
#define DISABLED(n, id) "{ address: '10.9.0." #n ":443', server-id: '" #id "', state: disabled }"

/* ---- connection IDs ---- */

static void ids_come_and_go_with_their_backends(void **state)
{
	(void)state;
	apply(QUIC("drain: 0s", S(2, 6161) "," S(3, 6162) "," S(4, 6163)));
	assert_int_equal(entries(), 3);
	assert_int_equal(led_to(1, "aa"), 2);
	assert_int_equal(led_to(1, "ab"), 3);
	assert_int_equal(led_to(1, "ac"), 4);
	assert_int_equal(led_to(1, "ad"), HASHED);
	apply(QUIC("drain: 0s", S(2, 6161) "," S(4, 6163) "," S(5, 6164)));
	assert_int_equal(entries(), 3);
	assert_int_equal(led_to(1, "aa"), 2);
	assert_int_equal(led_to(1, "ab"), HASHED);
	assert_int_equal(led_to(1, "ac"), 4);
	assert_int_equal(led_to(1, "ad"), 5);
	apply("services: []\n");
	assert_int_equal(entries(), 0);
}

static void an_id_that_changes_leads_nowhere_and_the_new_one_to_its_backend(void **state)
{
	(void)state;
	apply(QUIC("drain: 0s", S(2, 6161) "," S(3, 6162)));
	apply(QUIC("drain: 0s", S(2, 6165) "," S(3, 6162)));
	assert_int_equal(led_to(1, "aa"), HASHED);
	assert_int_equal(led_to(1, "ae"), 2);
	apply(QUIC("drain: 0s", S(2, 6162) "," S(3, 6165))); /* each the other's */
	assert_int_equal(led_to(1, "ab"), 2);
	assert_int_equal(led_to(1, "ae"), 3);
	assert_int_equal(entries(), 2);
	apply("services: []\n");
}

static void the_codepoint_and_the_length_follow_the_configuration(void **state)
{
	(void)state;
	apply(QUIC("drain: 0s", S(2, 6161) "," S(3, 6162)));
	assert_int_equal(led_to(2, "aa"), HASHED);
	apply("services:\n  - { name: quic, listen: '192.0.2.10:443/udp', health: none, quic: { config: 2, server-id: 3 },\n"
	      "      backends: [" S(2, 616100) "," S(3, 616278) "] }\n");
	assert_int_equal(led_to(1, "aa"), HASHED);
	assert_int_equal(led_to(2, "abx"), 3);
	assert_int_equal(led_to(2, "aay"), HASHED);
	assert_int_equal(entries(), 2);
	apply("services:\n  - { name: quic, listen: '192.0.2.10:443/udp', health: none,\n"
	      "      backends: ['10.9.0.2:443', '10.9.0.3:443'] }\n");
	assert_int_equal(led_to(2, "abx"), HASHED);
	assert_int_equal(entries(), 0);
	apply("services: []\n");
}

/* More backends than there are places: the members move, their numbers stay. */
static void ids_lead_to_their_backends_when_the_members_move(void **state)
{
	uint32_t first;

	(void)state;
	apply(QUIC("drain: 0s", S(2, 6161) "," S(3, 6162)));
	first = shunt_table_first_member(dp_services(w.dp)[0].table);
	apply(QUIC("drain: 0s", S(2, 6161) "," S(3, 6162) "," S(4, 6163) "," S(5, 6164) "," S(6, 6165) "," S(7, 6166) ","
		   S(8, 6167) "," S(9, 6168) "," S(10, 6169)));
	assert_int_not_equal(shunt_table_first_member(dp_services(w.dp)[0].table), first);
	for (char i = 0; i < 9; i++)
		assert_int_equal(led_to(1, (char[]){ 'a', 'a' + i, 0 }), 2 + i);
	apply("services: []\n");
}

static void services_have_ids_of_their_own(void **state)
{
	(void)state;
	apply(QUIC("drain: 0s", S(2, 6161) "," S(3, 6162))
	      "  - { name: other, listen: '192.0.2.11:443/udp', health: none, quic: { config: 1, server-id: 2 },\n"
	      "      backends: [" S(4, 6161) "," S(5, 6163) "] }\n");
	assert_int_equal(entries(), 4);
	assert_int_equal(led_to(1, "aa"), 2);
	assert_int_equal(led_to(1, "ac"), HASHED);
	apply("services: []\n");
}

static void a_draining_backend_keeps_its_id_and_a_disabled_one_does_not(void **state)
{
	(void)state;
	apply(QUIC("drain: 1h", S(2, 6161) "," DRAINING(3, 6162) "," S(4, 6163) "," DISABLED(5, 6164)));
	assert_int_equal(led_to(1, "ab"), 3);
	assert_int_equal(led_to(1, "ad"), HASHED);
	for (int port = 1; port < 100; port++)
		assert_true(sent_plain("198.51.100.7", port) % 2 == 0); /* 2 or 4 */
	apply("services: []\n");
}

/* ---- backends that were taken away ---- */

static void a_backend_that_was_taken_away_keeps_its_id_while_it_is_used(void **state)
{
	(void)state;
	apply_as_old(QUIC("transition: 1s", S(2, 6161) "," S(3, 6162) "," S(4, 6163)));
	assert_int_equal(led_to(1, "ab"), 3);
	apply(QUIC("transition: 1s", S(2, 6161) "," S(4, 6163)));
	for (int i = 0; i < 130; i++) { /* four seconds: long after the transition */
		assert_int_equal(led_to(1, "ab"), 3);
		settle();
	}
	restart(QUIC("transition: 1s", S(2, 6161) "," S(4, 6163)));
	assert_int_equal(led_to(1, "ab"), 3);
	wait_for_entries(2, 10);
	assert_int_equal(led_to(1, "ab"), HASHED);
	apply("services: []\n");
}

static void a_drain_that_is_over_ends_what_goes_by_ids(void **state)
{
	(void)state;
	apply_as_old(QUIC("transition: 1s, drain: 2s", S(2, 6161) "," S(3, 6162) "," S(4, 6163)));
	apply(QUIC("transition: 1s, drain: 2s", S(2, 6161) "," S(4, 6163)));
	for (int i = 0; i < 200 && led_to(1, "ab") == 3; i++)
		settle();
	assert_int_equal(led_to(1, "ab"), HASHED);
	wait_for_entries(2, 5);
	apply("services: []\n");
}

static void an_id_that_another_has_now_leads_to_the_other(void **state)
{
	(void)state;
	apply_as_old(QUIC("transition: 60s", S(2, 6161) "," S(3, 6162) "," S(4, 6163)));
	apply(QUIC("transition: 60s", S(2, 6161) "," S(4, 6163) "," S(5, 6162)));
	assert_int_equal(led_to(1, "ab"), 5);
	assert_int_equal(entries(), 3);
	apply("services: []\n");
}

/* ---- the next daemon ---- */

static void the_next_daemon_makes_the_map_what_it_wants(void **state)
{
	const char *services = QUIC("drain: 0s", S(2, 6161) "," S(3, 6162));
	struct shunt_quic_server stale[] = { { .id = "zz" }, { .service = 9, .id = "aa" }, { .id = "ab" } };

	(void)state;
	apply(services);
	for (size_t i = 0; i < ARRAY_SIZE(stale); i++)
		assert_int_equal(dp_quic_set(w.dp, &stale[i], 0), 0);
	assert_int_equal(led_to(1, "ab"), 2); /* wrong */
	restart(services);
	assert_int_equal(entries(), 2);
	assert_int_equal(led_to(1, "aa"), 2);
	assert_int_equal(led_to(1, "ab"), 3);
	assert_int_equal(led_to(1, "zz"), HASHED);
	restart("services: []\n");
	assert_int_equal(entries(), 0);
}

/* ---- what is loaded ---- */

static uint32_t program_id(void)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(dp_program_fd(w.dp, ROLE_EDGE), &info, &len), 0);
	return info.id;
}

static void configure(const char *services)
{
	_cleanup_(config_freep) struct config *c = parse(services);

	assert_int_equal(dp_configure(w.dp, c, false), 0);
}

#define PLAIN(option) "services:\n  - { name: quic, listen: '192.0.2.10:443/udp', " option " health: none, " \
	"backends: ['10.9.0.2:443', '10.9.0.3:443', '10.9.0.4:443'] }\n"

/* A program without a service that needs it has none of the code: what a packet costs is measured with that. */
static void the_programs_know_only_what_a_service_needs(void **state)
{
	static const char *const options[] = { QUIC("drain: 0s", S(2, 6161)), PLAIN("affinity: client,") };
	uint32_t plain, with;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		apply(PLAIN(""));
		configure(PLAIN(""));
		plain = program_id();
		configure(PLAIN(""));
		assert_int_equal(program_id(), plain);
		apply(options[i]);
		with = program_id();
		assert_int_not_equal(with, plain);
		configure(PLAIN("")); /* the services are still those of before */
		assert_int_equal(program_id(), with);
		apply(PLAIN(""));
		assert_int_equal(program_id(), with);
		configure(PLAIN(""));
		assert_int_not_equal(program_id(), with);
	}
	apply("services: []\n");
}

/* ---- affinity ---- */

static struct reconcile_flow_place place_of(uint16_t port)
{
	struct endpoint client = { .port = port };
	struct reconcile_flow_place p;
	struct listen to;

	assert_int_equal(addr_parse("198.51.100.7", &client.addr), 0);
	assert_int_equal(listen_parse("192.0.2.10:443/udp", &to), 0);
	assert_int_equal(reconcile_flow_of(w.r, &client, &to, &p), 0);
	return p;
}

static void flows_of_a_client_are_found_where_the_programs_send_them(void **state)
{
	unsigned to;

	(void)state;
	apply_as_old(PLAIN("affinity: client,"));
	to = sent_plain("198.51.100.7", 999);
	for (int port = 1000; port < 1050; port++) {
		assert_int_equal(sent_plain("198.51.100.7", port), to);
		assert_int_equal(place_of(port).owner->addr.b[15], to);
		assert_int_equal(place_of(port).slot, place_of(999).slot);
	}
	apply(PLAIN(""));
	for (int port = 1000; port < 1050; port++)
		assert_int_equal(place_of(port).owner->addr.b[15], sent_plain("198.51.100.7", port));
	apply("services: []\n");
}

static void count_flow(void *n, const struct reconcile_flow *flow)
{
	assert_int_equal(flow->slot, place_of(1000).slot);
	++*(unsigned *)n;
}

/* Its slot is in transition: each of its flows is noted by itself, and found. */
static void each_flow_of_a_client_is_noted_by_itself(void **state)
{
	char both[512];
	unsigned n = 0;

	(void)state;
	apply_as_old(PLAIN("affinity: client,"));
	snprintf(both, sizeof(both), "services:\n  - { name: quic, listen: '192.0.2.10:443/udp', affinity: client, "
		 "health: none, backends: [{ address: '10.9.0.%u:443', state: draining }", sent_plain("198.51.100.7", 1));
	for (unsigned i = 2; i <= 4; i++)
		if (i != sent_plain("198.51.100.7", 1))
			sprintf(both + strlen(both), ", '10.9.0.%u:443'", i);
	strcat(both, "] }\n");
	apply(both);
	assert_int_equal(place_of(1000).phase, SLOT_OBSERVING);
	for (int port = 1000; port < 1050; port++) {
		unsigned to = sent_plain("198.51.100.7", port);
		struct reconcile_flow_place p = place_of(port);

		assert_true(p.noted);
		assert_int_equal(p.flow.backend.addr.b[15], to);
	}
	assert_true(reconcile_flows_each(w.r, "quic", count_flow, &n) > 0);
	assert_int_equal(n, 50);
	apply("services: []\n");
}

static void note_move(void *arg, const char *service, bool fresh, uint32_t moved, uint32_t of)
{
	(void)service;
	assert_false(fresh);
	assert_true(of > 0);
	*(double *)arg = (double)moved / of;
}

static void a_preview_says_that_another_affinity_moves_flows(void **state)
{
	_cleanup_(config_freep) struct config *same = parse(PLAIN("")), *other = parse(PLAIN("affinity: client,"));
	double moved;

	(void)state;
	apply(PLAIN(""));
	assert_int_equal(reconcile_preview(w.r, same, note_move, &moved), 0);
	assert_true(moved == 0);
	assert_int_equal(reconcile_preview(w.r, other, note_move, &moved), 0);
	assert_true(moved > 0.5);
	apply("services: []\n");
}

static void note_slots(void *arg, const char *service, bool fresh, uint32_t moved, uint32_t of)
{
	(void)service;
	(void)fresh;
	(void)moved;
	*(uint32_t *)arg = of;
}

/* A table that has become smaller is repeated in its old region for a while. */
static void a_preview_speaks_of_the_table_whose_region_is_larger(void **state)
{
	_cleanup_(config_freep) struct config *other = parse(PLAIN("slots: 64, affinity: client,"));
	uint32_t of = 0;

	(void)state;
	apply_as_old(PLAIN("slots: 1024,"));
	apply(PLAIN("slots: 64,"));
	assert_int_equal(reconcile_preview(w.r, other, note_slots, &of), 0);
	assert_int_equal(of, 64);
	apply("services: []\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_come_and_go_with_their_backends),
		cmocka_unit_test(an_id_that_changes_leads_nowhere_and_the_new_one_to_its_backend),
		cmocka_unit_test(the_codepoint_and_the_length_follow_the_configuration),
		cmocka_unit_test(ids_lead_to_their_backends_when_the_members_move),
		cmocka_unit_test(services_have_ids_of_their_own),
		cmocka_unit_test(a_draining_backend_keeps_its_id_and_a_disabled_one_does_not),
		cmocka_unit_test(a_backend_that_was_taken_away_keeps_its_id_while_it_is_used),
		cmocka_unit_test(a_drain_that_is_over_ends_what_goes_by_ids),
		cmocka_unit_test(an_id_that_another_has_now_leads_to_the_other),
		cmocka_unit_test(the_next_daemon_makes_the_map_what_it_wants),
		cmocka_unit_test(the_programs_know_only_what_a_service_needs),
		cmocka_unit_test(flows_of_a_client_are_found_where_the_programs_send_them),
		cmocka_unit_test(each_flow_of_a_client_is_noted_by_itself),
		cmocka_unit_test(a_preview_says_that_another_affinity_moves_flows),
		cmocka_unit_test(a_preview_speaks_of_the_table_whose_region_is_larger),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, setup, teardown);
}
