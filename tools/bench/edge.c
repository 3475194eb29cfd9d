/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * edge.*: what one packet costs in the edge program, the one that the product loads and fills for a configuration with
 * four services of 100 backends each. Each row runs the wrapper (wrap.bpf.c) in turn with the empty program and with
 * the edge program, a million packets each time. In the service of edge.tcp4.transition every 16th slot is observed, as
 * bpf/slot.h calls it. Rows of services' options, and of `forward: gue`, are run with a program of their own, so that
 * the others' has none of the code. Afterwards the product's own counters must say that every one of the packets took
 * the path that the row names.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netinet/in.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "world.h"
#include "wrap.h"
#include "wrap.bench.skel.h"

#define LOADS 3 /* the program is loaded anew so often, because where its code comes to lie costs some nanoseconds, too */
#define RUNS 5 /* of each load */
#define PACKETS 1000000 /* of a run */
#define WARM_UP 100000
#define ALL_PACKETS (WARM_UP + RUNS * PACKETS) /* of a row and a load */
#define BACKENDS 100

static const uint32_t flow_counts[] = { 1, 1000, 64000, 1000000 };

#define SYN 0x02
#define ACK 0x10

/* A kind of configuration has a program of its own. */
enum kind { PLAIN, OPTIONS, GUE, N_KINDS };

static const struct row {
	const char *name;
	const char *service; /* whose packets they are; NULL: nobody's */
	const char *client, *destination; /* the flow's number is mixed into the low bits of client */
	uint16_t port;
	uint8_t proto, tcp_flags;
	enum kind kind; /* of the configuration that the service is in */
} rows[] = {
	{ "edge.tcp4.established", "web4", "10.0.0.0", "203.0.113.10", 80, IPPROTO_TCP, ACK, PLAIN },
	{ "edge.tcp6.established", "web6", "2001:db8:c::", "2001:db8:113::10", 80, IPPROTO_TCP, ACK, PLAIN },
	{ "edge.udp4", "dns4", "10.0.0.0", "203.0.113.10", 53, IPPROTO_UDP, 0, PLAIN },
	{ "edge.tcp4.syn", "web4", "10.0.0.0", "203.0.113.10", 80, IPPROTO_TCP, SYN, PLAIN },
	{ "edge.tcp4.transition", "moving4", "10.0.0.0", "203.0.113.11", 80, IPPROTO_TCP, ACK, PLAIN },
	{ "edge.pass", NULL, "10.0.0.0", "198.51.0.0", 80, IPPROTO_TCP, ACK, PLAIN }, /* and into this destination's */
	{ "edge.udp4.client", "client4", "10.0.0.0", "203.0.113.10", 54, IPPROTO_UDP, 0, OPTIONS },
	{ "edge.udp4.quic", "quic4", "10.0.0.0", "203.0.113.10", 443, IPPROTO_UDP, 0, OPTIONS },
	{ "edge.tcp4.gue", "web4", "10.0.0.0", "203.0.113.10", 80, IPPROTO_TCP, ACK, GUE },
};

static int expected_verdict(const struct row *r)
{
	return r->service ? SHUNT_VERDICT_EDGE_FORWARDED : SHUNT_VERDICT_EDGE_PASSED;
}

/* Clients and backends are behind the same interface, as is usual for balancers of this kind. */
static __u32 expected_action(const struct row *r)
{
	return r->service ? XDP_TX : XDP_PASS;
}

/* ---- frames ---- */

static void put16(uint8_t *at, uint16_t host_order)
{
	at[0] = host_order >> 8;
	at[1] = host_order;
}

static uint8_t *put_ip4(uint8_t *ip, const struct row *r, const struct addr *from, const struct addr *to)
{
	ip[0] = 0x45;
	put16(ip + 2, WRAP_FRAME - 14);
	ip[8] = 64;
	ip[9] = r->proto;
	memcpy(ip + 12, from->b + 12, 4);
	memcpy(ip + 16, to->b + 12, 4);
	return ip + 20;
}

static uint8_t *put_ip6(uint8_t *ip, const struct row *r, const struct addr *from, const struct addr *to)
{
	ip[0] = 0x60;
	put16(ip + 4, WRAP_FRAME - 14 - 40);
	ip[6] = r->proto;
	ip[7] = 64;
	memcpy(ip + 8, from->b, 16);
	memcpy(ip + 24, to->b, 16);
	return ip + 40;
}

/* The row's packet, but for what makes one flow differ from the next. Returns whether it is IPv6. */
static bool make_frame(uint8_t frame[WRAP_FRAME], const struct row *r)
{
	struct addr from = world_address(r->client, 0), to = world_address(r->destination, 0);
	bool six = !addr_is4(&to);
	uint8_t *l4;

	memset(frame, 0, WRAP_FRAME);
	put16(frame + 12, six ? 0x86dd : 0x0800);
	l4 = six ? put_ip6(frame + 14, r, &from, &to) : put_ip4(frame + 14, r, &from, &to);
	put16(l4 + 2, r->port);
	if (r->proto == IPPROTO_UDP) {
		put16(l4 + 4, frame + WRAP_FRAME - l4);
		l4[8] = 0x40; /* QUIC's short header; the connection ID's codepoint is 0 */
	} else {
		l4[12] = 5 << 4;
		l4[13] = r->tcp_flags;
	}
	return six;
}

/* ---- the product ---- */

static struct service *quic_service(struct config *c)
{
	struct service *s = world_service(c, "quic4", "203.0.113.10:443/udp", "10.1.0.1", BACKENDS);

	if (s)
		s->quic = (struct quic){ .server_id = 2 };
	for (size_t i = 0; s && i < s->n_backends; i++)
		s->backends[i].server_id = (struct server_id){ 2, { 0, i } };
	return s;
}

static struct service *client_service(struct config *c)
{
	struct service *s = world_service(c, "client4", "203.0.113.10:54/udp", "10.1.0.1", BACKENDS);

	if (s)
		s->affinity = AFFINITY_CLIENT;
	return s;
}

/* All services go by GUE. */
static void use_gue(struct config *c)
{
	for (size_t i = 0; i < c->n_services; i++)
		c->services[i].forward = FORWARD_GUE;
}

static struct config *make_config(enum kind kind)
{
	_cleanup_(config_freep) struct config *c = world_config();

	if (!c || (kind == OPTIONS && (!quic_service(c) || !client_service(c))) || !world_service(c, "web4", "203.0.113.10:80/tcp", "10.1.0.1", BACKENDS) ||
	    !world_service(c, "dns4", "203.0.113.10:53/udp", "10.1.0.1", BACKENDS) ||
	    !world_service(c, "moving4", "203.0.113.11:80/tcp", "10.1.0.1", BACKENDS) ||
	    !world_service(c, "web6", "[2001:db8:113::10]:80/tcp", "2001:db8:1::1", BACKENDS))
		return NULL;
	if (kind == GUE)
		use_gue(c);
	return TAKE_PTR(c);
}

/* ---- measuring ---- */

struct counts {
	uint64_t verdicts[SHUNT_N_VERDICTS];
	uint64_t packets[BACKENDS]; /* of the row's service */
};

struct lab {
	struct world world;
	struct wrap_bench *wrap;
	int prog;
	uint32_t ifindex; /* where packets come in */
	enum kind kind; /* of its services */
	uint8_t frame[WRAP_FRAME];
};

static int set_target(const struct lab *lab, uint32_t key, int prog)
{
	if (bpf_map_update_elem(bpf_map__fd(lab->wrap->maps.targets), &key, &prog, BPF_ANY))
		return err_r(-errno, "bench: the kernel does not chain the wrapper to the program under test: %s",
			     strerror(errno));
	return 0;
}

/*
 * Every 16th slot of moving4 is observed, its older flows stay with another backend; a region of the flow cache as large
 * as 65,536 flows need. The daemon's part is not asked: it would end this while it is measured.
 */
static void move_slots(struct lab *lab)
{
	struct reconcile_service service;
	struct shunt_service *s;
	__u64 *slots;

	if (reconcile_service(lab->world.reconcile, "moving4", &service))
		return;
	s = &dp_services(lab->world.dp)[service.id];
	slots = dp_slots(lab->world.dp) + shunt_table_first_slot(s->table);
	dp_store(&s->flows, shunt_flows(0, 13));
	for (uint32_t i = 0; i < service.n_slots; i += 16) {
		__u16 current = shunt_slot_current(slots[i]), older = shunt_slot_runner_up(slots[i]);

		dp_store(&slots[i], shunt_slot(current, older, older, older));
	}
	reconcile_service_clear(&service);
}

static int open_lab(struct lab *lab)
{
	_cleanup_(config_freep) struct config *c = make_config(lab->kind);
	int edge, err;

	if (!c)
		return -ENOMEM;
	err = world_open(&lab->world, c);
	if (err)
		return err;
	lab->ifindex = if_nametoindex("bench0");
	lab->wrap = wrap_bench__open_and_load();
	if (!lab->wrap)
		return err_r(-errno, "bench: cannot load the wrapper: %s", strerror(errno));
	lab->prog = bpf_program__fd(lab->wrap->progs.wrap);
	edge = dp_program_fd(lab->world.dp, ROLE_EDGE);
	if (edge < 0)
		return err_r(edge, "bench: no edge program is loaded");
	move_slots(lab);
	err = set_target(lab, WRAP_EMPTY, bpf_program__fd(lab->wrap->progs.empty));
	return err ? err : set_target(lab, WRAP_TESTED, edge);
}

static void close_lab(struct lab *lab)
{
	wrap_bench__destroy(lab->wrap);
	world_close(&lab->world);
}

static void set_up(struct lab *lab, const struct row *r, uint32_t flows)
{
	lab->wrap->bss->six = make_frame(lab->frame, r);
	lab->wrap->bss->vary_destination = !r->service;
	lab->wrap->bss->servers = r->port == 443 ? BACKENDS : 0;
	memcpy(lab->wrap->bss->head, lab->frame, WRAP_HEAD);
	lab->wrap->bss->flow = 0;
	lab->wrap->data->flows = flows;
}

/* Nanoseconds a packet. Of this thread's time alone, because the machine has other things to do. */
static int run(struct lab *lab, uint32_t target, uint32_t packets, double *ns, __u32 *action)
{
	struct xdp_md in = { .data_end = WRAP_FRAME, .ingress_ifindex = lab->ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = lab->frame, .data_size_in = WRAP_FRAME, .ctx_in = &in,
		    .ctx_size_in = sizeof(in), .repeat = packets);
	struct timespec begin, end;
	int err;

	if (bench_stopped())
		return -EINTR;
	lab->wrap->bss->target = target;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	err = bpf_prog_test_run_opts(lab->prog, &opts);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	if (err)
		return bench_stopped() ? -EINTR : err_r(err, "bench: the kernel does not run the wrapper: %s", strerror(-err));
	*ns = ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / packets;
	*action = opts.retval;
	return 0;
}

static int run_pair(struct lab *lab, const struct row *r, uint32_t packets, double *gross, double *harness)
{
	__u32 action = XDP_ABORTED;
	int err = run(lab, WRAP_EMPTY, packets, harness, &action);

	if (!err && action != XDP_PASS)
		return err_r(-EPROTO, "%s: the empty program returned %u", r->name, action);
	if (!err)
		err = run(lab, WRAP_TESTED, packets, gross, &action);
	if (!err && action != expected_action(r))
		return err_r(-EPROTO, "%s: the program returned %u, and %u was expected", r->name, action,
			     expected_action(r));
	return err;
}

/* ---- did all the packets of a row take its path? ---- */

static int count(struct lab *lab, const struct row *r, struct counts *c)
{
	struct reconcile_service service;
	int err = dp_verdicts(lab->world.dp, c->verdicts);

	if (err || !r->service)
		return err;
	err = reconcile_service(lab->world.reconcile, r->service, &service);
	if (err)
		return err;
	for (size_t i = 0; i < BACKENDS; i++)
		c->packets[i] = service.backends[i].packets;
	reconcile_service_clear(&service);
	return 0;
}

static int check_verdicts(const struct row *r, const struct counts *before, const struct counts *after)
{
	for (int v = 0; v < SHUNT_N_VERDICTS; v++) {
		uint64_t n = after->verdicts[v] - before->verdicts[v];

		if (n != (v == expected_verdict(r) ? ALL_PACKETS : 0))
			return err_r(-EPROTO, "%s: of %u packets verdict %d was counted for %lu", r->name, ALL_PACKETS, v,
				     (unsigned long)n);
	}
	return 0;
}

/* Every packet is counted at a backend; of many flows each backend has some. */
static int check_spread(const struct row *r, uint32_t flows, const struct counts *before, const struct counts *after)
{
	uint32_t used = 0, least = flows == 1 ? 1 : BACKENDS * 9 / 10;
	uint64_t packets = 0;

	for (int i = 0; i < BACKENDS; i++) {
		packets += after->packets[i] - before->packets[i];
		used += after->packets[i] != before->packets[i];
	}
	if (packets != ALL_PACKETS || used < least)
		return err_r(-EPROTO, "%s: of %u packets of %u flows %lu were counted, at %u backends", r->name, ALL_PACKETS,
			     flows, (unsigned long)packets, used);
	return 0;
}

/* What was measured of one row with one number of flows. */
struct samples {
	double gross[LOADS * RUNS], harness[LOADS * RUNS];
};

static int measure(struct lab *lab, const struct row *r, uint32_t flows, double *gross, double *harness)
{
	struct counts before = {}, after = {};
	int err = count(lab, r, &before);

	set_up(lab, r, flows);
	if (!err)
		err = run_pair(lab, r, WARM_UP, &gross[0], &harness[0]);
	for (int i = 0; i < RUNS && !err; i++)
		err = run_pair(lab, r, PACKETS, &gross[i], &harness[i]);
	if (!err)
		err = count(lab, r, &after);
	if (!err)
		err = check_verdicts(r, &before, &after);
	return !err && r->service ? check_spread(r, flows, &before, &after) : err;
}

static bool is_of(const struct row *r, enum kind kind)
{
	return r->kind == kind && bench_wants(r->name);
}

static int measure_rows(struct lab *lab, int load, struct samples samples[][ARRAY_SIZE(flow_counts)])
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t k = 0; is_of(&rows[i], lab->kind) && k < ARRAY_SIZE(flow_counts) && !err; k++)
			err = measure(lab, &rows[i], flow_counts[k], &samples[i][k].gross[load * RUNS],
				      &samples[i][k].harness[load * RUNS]);
	return err;
}

static void report_rows(struct samples samples[][ARRAY_SIZE(flow_counts)])
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t k = 0; bench_wants(rows[i].name) && k < ARRAY_SIZE(flow_counts); k++)
			bench_row_ns(rows[i].name, flow_counts[k], samples[i][k].gross, samples[i][k].harness,
				     LOADS * RUNS);
}

/* A run that wanders between CPUs measures cold caches. */
static void stay_on_this_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static bool something_is_wanted(enum kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (is_of(&rows[i], kind))
			return true;
	return false;
}

static int load_and_measure(int load, enum kind kind, struct samples samples[][ARRAY_SIZE(flow_counts)])
{
	struct lab lab = { .kind = kind };
	int err;

	if (!something_is_wanted(kind))
		return 0;
	err = open_lab(&lab);
	if (!err)
		err = measure_rows(&lab, load, samples);
	close_lab(&lab);
	return err;
}

int bench_edge(void)
{
	static struct samples samples[ARRAY_SIZE(rows)][ARRAY_SIZE(flow_counts)];
	cpu_set_t everywhere;
	int err;

	if (!something_is_wanted(PLAIN) && !something_is_wanted(OPTIONS) && !something_is_wanted(GUE))
		return 0;
	err = world_enter();
	sched_getaffinity(0, sizeof(everywhere), &everywhere);
	stay_on_this_cpu();
	for (int load = 0; load < LOADS; load++)
		for (enum kind kind = PLAIN; kind < N_KINDS && !err; kind++)
			err = load_and_measure(load, kind, samples);
	sched_setaffinity(0, sizeof(everywhere), &everywhere);
	if (!err)
		report_rows(samples);
	return err;
}
