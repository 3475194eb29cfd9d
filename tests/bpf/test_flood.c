/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A flood to one service while slots move: the other service's flows stay where they are. The real daemon's rooms give
 * the services their parts of the flow cache, and the flood is as large as the machine makes it in two seconds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "base/log.h"
#include "config/config.h"
#include "flood.h"
#include "flood.test.skel.h"
#include "netns.h"
#include "packet.h"
#include "reconcile/reconcile.h"
#include "rooms.h"

#define PINS "/sys/fs/bpf/shunt-test-flood"
#define FLOODED "192.0.2.10"
#define SPARED "192.0.2.11"

static struct rooms w;

/* ---- two services ---- */

#define OPTIONS "health: none, transition: %s, backends: [%s]"

static struct config *services(const char *transition, const char *backends)
{
	return rooms_parse("pins: " PINS "\ninterfaces: [{ name: v0, role: edge }]\nservices:\n"
			   "  - { name: flooded, listen: '" FLOODED ":80/tcp', " OPTIONS " }\n"
			   "  - { name: spared, listen: '" SPARED ":80/tcp', " OPTIONS " }\n",
			   transition, backends, transition, backends);
}

static void settle(void)
{
	rooms_run(&w, 30);
}

static void apply(const char *transition, const char *backends)
{
	_cleanup_(config_freep) struct config *c = services(transition, backends);

	assert_int_equal(reconcile_apply(w.r, c), 0);
	assert_int_equal(dp_configure(w.dp, c, false), 0);
	settle();
}

static void open_world(void)
{
	_cleanup_(config_freep) struct config *c = services("60s", "");

	rooms_open(&w, c);
}

static void close_world(void)
{
	rooms_close(&w);
}

static int setup(void **state)
{
	(void)state;
	dp_unload(PINS);
	rooms_network(5);
	open_world();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close_world();
	return dp_unload(PINS);
}

/* Its numbers. */
static struct reconcile_service service(const char *name)
{
	struct reconcile_service s, numbers;

	assert_int_equal(reconcile_service(w.r, name, &s), 0);
	numbers = s;
	reconcile_service_clear(&s);
	return numbers;
}

#define TWO "'10.9.0.2:80', '10.9.0.3:80'"
#define FOUR TWO ", '10.9.0.4:80', '10.9.0.5:80'"

/* Half of the slots of both services get another owner, and neither service is young. */
static void begin_transitions(void)
{
	apply("60s", TWO);
	close_world();
	open_world();
	apply("60s", TWO);
	apply("60s", FOUR);
	assert_true(service("flooded").moving > 0 && service("spared").moving > 0);
}

/* ---- flows of the service that is spared ---- */

#define FLOWS 5000

static struct known {
	struct endpoint client;
	enum { BEGUN, OPEN, OLDER, N_AGES } age; /* BEGUN: its first packet was all; OLDER: from before the change */
	unsigned backend; /* last byte of its address */
} flows[FLOWS];

/* The last byte of the address that the packet is sent to. */
static unsigned send_packet(const struct endpoint *client, unsigned flags)
{
	uint8_t out[256] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_out = out, .data_size_out = sizeof(out));
	char from[ADDR_TEXT];
	struct packet in;

	ether(&in);
	ip4(&in, (struct ip4){ .src = addr_format(&client->addr, from), .dst = SPARED });
	tcp(&in, client->port, 80, flags);
	packet_finish(&in);
	opts.data_in = in.b;
	opts.data_size_in = in.len;
	assert_int_equal(bpf_prog_test_run_opts(dp_program_fd(w.dp, ROLE_EDGE), &opts), 0);
	assert_true(opts.data_size_out > in.len);
	return out[14 + 19];
}

static bool is_noted(const struct endpoint *client)
{
	struct reconcile_flow_place place;
	struct listen to;

	assert_int_equal(listen_parse(SPARED ":80/tcp", &to), 0);
	assert_int_equal(reconcile_flow_of(w.r, client, &to, &place), 0);
	return place.noted;
}

/* Those of slots in which nothing changes need no note, and are none of ours. */
static void note_flows(void)
{
	struct known k = {};
	char text[ENDPOINT_TEXT];

	for (unsigned i = 0, n = 0; n < FLOWS; i++) {
		snprintf(text, sizeof(text), "198.51.%u.%u:%u", i / 200 % 200, 1 + i % 200, 1024 + i / 40000);
		assert_int_equal(endpoint_parse(text, &k.client), 0);
		k.age = n % N_AGES;
		k.backend = send_packet(&k.client, k.age == OLDER ? TCP_ACK : TCP_SYN);
		if (k.age == OPEN)
			send_packet(&k.client, TCP_ACK);
		if (is_noted(&k.client))
			flows[n++] = k;
	}
}

/* Returns how many are with another backend than before. */
static unsigned lost(bool older)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FLOWS; i++)
		if ((flows[i].age == OLDER) == older)
			n += send_packet(&flows[i].client, TCP_ACK) != flows[i].backend;
	return n;
}

/* ---- the flood ---- */

#define SECONDS 2
#define MOST 20000000
#define AT_ONCE (1 << 16)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static struct flood_test *flood_open(void)
{
	struct flood_test *f = flood_test__open_and_load();
	int program = dp_program_fd(w.dp, ROLE_EDGE);
	uint32_t key = 0;
	struct packet p;

	assert_non_null(f);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(f->maps.target), &key, &program, 0), 0);
	ether(&p);
	ip4(&p, (struct ip4){ .src = "198.51.100.7", .dst = FLOODED });
	tcp(&p, 1024, 80, TCP_SYN);
	packet_finish(&p);
	memcpy(f->bss->head, p.b, p.len < FLOOD_HEAD ? p.len : FLOOD_HEAD);
	return f;
}

/* Frames that are really sent, as if they had come in on v0. Returns how many. */
static uint64_t run_flood(struct flood_test *f)
{
	uint8_t frame[FLOOD_HEAD] = {};
	struct xdp_md ctx = { .data_end = sizeof(frame), .ingress_ifindex = if_nametoindex("v0") };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = sizeof(frame), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = AT_ONCE, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	double begin = now();

	while (now() - begin < SECONDS && f->bss->packets < MOST) {
		if (!bpf_prog_test_run_opts(bpf_program__fd(f->progs.flood), &o))
			continue;
		assert_int_equal(errno, EINVAL);
		print_message("this kernel cannot run programs on live frames: that takes Linux 5.18\n");
		skip();
	}
	print_message("the flood: %llu packets in %.1f s\n", (unsigned long long)f->bss->packets, now() - begin);
	return f->bss->packets;
}

static bool observed(void)
{
	const __u64 *slots = dp_slots(w.dp) + shunt_table_first_slot(dp_services(w.dp)[service("spared").id].table);
	bool some = false;

	for (uint32_t i = 0; i < service("spared").n_slots && !some; i++)
		some = shunt_slot_observing(slots[i]);
	return some;
}

/* The loop runs until nothing is observed any more, at most five seconds. */
static void end_observation(void)
{
	apply("1s", FOUR);
	for (int i = 0; i < 166 && observed(); i++)
		settle();
	assert_false(observed());
}

/*
 * While slots are observed, a flow that began in them and lost its note would be with the old owner; an older one shows
 * only when the observation ended.
 */
static void a_flood_to_one_service_costs_the_other_no_flow(void **state)
{
	struct reconcile_service flooded, spared;
	struct flood_test *f;
	uint64_t packets;

	(void)state;
	begin_transitions();
	note_flows();
	f = flood_open();
	packets = run_flood(f);
	flood_test__destroy(f);
	flooded = service("flooded");
	assert_in_range(flooded.packets, packets * 9 / 10, packets);
	assert_true(flooded.flows_noted > flooded.max_flows); /* more than there is room for */
	assert_int_equal(lost(false), 0);
	end_observation();
	assert_int_equal(lost(true), 0);
	spared = service("spared");
	assert_int_equal(spared.flows_evicted, 0);
	assert_int_equal(spared.let_go, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_to_one_service_costs_the_other_no_flow),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, setup, teardown);
}
