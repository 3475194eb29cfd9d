/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "fixture.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge.skel.h"
#include "backend.skel.h"

#define must(condition) _assert_true((uintptr_t)(condition), #condition, __FILE__, __LINE__)

/* ---- namespace ---- */

int fixture_namespace(void **state)
{
	cpu_set_t one;

	(void)state;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one); /* counters and token buckets are per CPU */
	if (sched_setaffinity(0, sizeof(one), &one) || unshare(CLONE_NEWNET))
		return -1;
	return system("ip link set lo up && "
		      "ip link add tb-in index 42 type veth peer name tb-peer index 43 && "
		      "ip link add tb-out index 44 type veth peer name tb-far index 45");
}

/* ---- cases ---- */

static char case_text[256];

void in_case(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(case_text, sizeof(case_text), fmt, args);
	va_end(args);
}

const char *the_case(void)
{
	return case_text;
}

/* ---- loading ---- */

struct shunt_settings fixture_settings(void)
{
	struct shunt_settings s = { .seed = 0x0123456789abcdefull, .icmp_rate = 1000, .n_allow = 2,
				    .listener_shift = 64 - LOADED_LOG2_HOMES };

	s.source4 = (struct shunt_prefix){ addr_of("10.99.0.0"), addr_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:0") };
	s.source6 = (struct shunt_prefix){ addr_of("fd00:99::"), addr_of("ffff:ffff:ffff:ffff:ffff:ffff::") };
	s.allow[0] = s.source4;
	s.allow[1] = s.source6;
	return s;
}

struct fixture *fixture_open(const struct shunt_settings *settings, const struct loaded_sizes *sizes)
{
	static const struct loaded_sizes small = { FIXTURE_MEMBERS, FIXTURE_BACKENDS, FIXTURE_SERVICES,
						   FIXTURE_SLOTS };
	struct fixture *f = calloc(1, sizeof(*f));

	must(f);
	in_case("%s", "");
	f->settings = *settings;
	f->cpus = libbpf_num_possible_cpus();
	f->ingress = IFINDEX_IN;
	f->loaded = loaded_take(settings, sizes ?: &small);
	f->edge = f->loaded->edge;
	f->backend = f->loaded->backend;
	return f;
}

void fixture_close(struct fixture *f)
{
	if (!f)
		return;
	loaded_give(f->loaded);
	free(f);
}

/* ---- maps ---- */

int map_fd(const struct fixture *f, const char *name)
{
	return bpf_object__find_map_fd_by_name(f->edge->obj, name);
}

static void map_set(struct fixture *f, const char *name, const void *key, const void *value)
{
	must(bpf_map_update_elem(map_fd(f, name), key, value, BPF_ANY) == 0);
}

void filter_set(struct fixture *f, const char *address, bool on)
{
	struct shunt_addr a = addr_of(address);
	uint32_t bit = shunt_filter_bit(shunt_addr_hash(&a)), key = 0;
	struct shunt_filter filter;

	must(bpf_map_lookup_elem(map_fd(f, "filter"), &key, &filter) == 0);
	if (on)
		filter.words[bit / 64] |= 1ull << (bit % 64);
	else
		filter.words[bit / 64] &= ~(1ull << (bit % 64));
	map_set(f, "filter", &key, &filter);
}

/* The place of the listener, or the first empty one. */
static uint32_t listener_place(struct fixture *f, const struct shunt_addr *a, uint16_t port, uint8_t proto)
{
	uint32_t place = shunt_listener_home(listener_hash(a, port, proto), 64 - LOADED_LOG2_HOMES);
	uint32_t key = shunt_listener_key(htons(port), proto);
	struct shunt_listener l;

	for (;; place++) {
		must(bpf_map_lookup_elem(map_fd(f, "listeners"), &place, &l) == 0);
		if (!l.what || ((uint32_t)l.what == key && !memcmp(&l.addr, a, sizeof(*a))))
			return place;
	}
}

void listener_set(struct fixture *f, const char *address, uint16_t port, uint8_t proto, uint32_t service)
{
	struct shunt_listener l = { .addr = addr_of(address),
				    .what = shunt_listener_what(shunt_listener_key(htons(port), proto), service) };
	uint32_t place = listener_place(f, &l.addr, port, proto);

	map_set(f, "listeners", &place, &l);
}

void listener_delete(struct fixture *f, const char *address, uint16_t port, uint8_t proto)
{
	struct shunt_listener l = { .addr = addr_of(address), .what = SHUNT_LISTENER_DELETED };
	uint32_t place = listener_place(f, &l.addr, port, proto);

	map_set(f, "listeners", &place, &l);
}

void listen_add(struct fixture *f, const char *address, uint16_t port, uint8_t proto, uint32_t service)
{
	filter_set(f, address, true);
	listener_set(f, address, 0, 0, service);
	listener_set(f, address, port, proto, service);
}

void service_set(struct fixture *f, uint32_t service, uint32_t first_slot, uint32_t log2_slots, uint32_t first_member)
{
	struct shunt_service s = { .table = shunt_table(first_slot, log2_slots, first_member),
				   .flows = shunt_flows(service << LOADED_LOG2_BUCKETS, LOADED_LOG2_BUCKETS),
				   .flags = SHUNT_SERVICE_USED };

	map_set(f, "services", &service, &s);
}

void service_flags_set(struct fixture *f, uint32_t service, uint32_t flags)
{
	struct shunt_service s;

	must(bpf_map_lookup_elem(map_fd(f, "services"), &service, &s) == 0);
	s.flags = SHUNT_SERVICE_USED | flags;
	map_set(f, "services", &service, &s);
}

void quic_server_set(struct fixture *f, uint32_t service, const char *id, uint32_t number)
{
	struct shunt_quic_server key = { .service = service };

	must(strlen(id) <= sizeof(key.id));
	memcpy(key.id, id, strlen(id));
	map_set(f, "quic_servers", &key, &number);
}

void slot_set_word(struct fixture *f, uint32_t slot, uint64_t word)
{
	map_set(f, "slots", &slot, &word);
}

void alternates_set(struct fixture *f, uint32_t slot, uint64_t owners, uint64_t ranked)
{
	struct shunt_alternates a = { owners, ranked };

	map_set(f, "alternates", &slot, &a);
}

void slot_set(struct fixture *f, uint32_t slot, uint16_t current, uint16_t runner_up)
{
	slot_set_word(f, slot, shunt_slot(current, current, SHUNT_NONE, runner_up));
}

void member_set(struct fixture *f, uint32_t member, uint32_t backend)
{
	struct shunt_member m = { .backend = backend };

	map_set(f, "members", &member, &m);
}

void backend_mtu(struct shunt_backend *b, uint16_t mtu)
{
	static const uint16_t headers[2][2] = { { 20, 40 }, { 20 + 8 + 8 + 7 * 4, 40 + 8 + 8 + 7 * 16 } };

	b->room = mtu - headers[b->forward == SHUNT_FORWARD_GUE][!!(b->flags & SHUNT_BACKEND_IP6)];
}

struct shunt_backend backend_at(const char *address)
{
	struct shunt_backend b = {
		.flags = SHUNT_BACKEND_USED | SHUNT_BACKEND_UP | SHUNT_BACKEND_NEXTHOP |
			 (strchr(address, ':') ? SHUNT_BACKEND_IP6 : 0),
		.ifindex = IFINDEX_OUT,
		.address = addr_of(address),
		.dmac = { 0x06, 0, 0, 0, 0, 0xdd },
		.smac = { 0x06, 0, 0, 0, 0, 0x55 },
	};

	backend_mtu(&b, 1500);
	return b;
}

void backend_set(struct fixture *f, uint32_t backend, const struct shunt_backend *b)
{
	if (backend < FIXTURE_BACKENDS)
		f->backends[backend] = *b;
	map_set(f, "backends", &backend, b);
}

void numbered_backends_set(struct fixture *f, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct shunt_backend b = backend_at("10.0.1.0");

		((uint8_t *)&b.address)[15] = i;
		b.dmac[4] = i;
		backend_set(f, first + i, &b);
	}
}

void hop_set(struct fixture *f, const char *address, const struct shunt_backend *way)
{
	struct shunt_addr a = addr_of(address);

	if (way)
		map_set(f, "hops", &a, way);
	else
		bpf_map_delete_elem(map_fd(f, "hops"), &a);
}

void tail_call_set(struct fixture *f)
{
	uint32_t key = 0; /* PROGRAM_EDGE */
	int fd = program_fd(f, EDGE);

	map_set(f, "programs", &key, &fd);
}

/* ---- counting ---- */

static uint64_t sum_u64(const struct fixture *f, const char *map, const void *key)
{
	uint64_t values[f->cpus], sum = 0;

	must(bpf_map_lookup_elem(map_fd(f, map), key, values) == 0);
	for (int i = 0; i < f->cpus; i++)
		sum += values[i];
	return sum;
}

static void count_verdicts(struct fixture *f)
{
	for (uint32_t i = 0; i < SHUNT_N_VERDICTS; i++) {
		uint64_t total = sum_u64(f, "verdicts", &i);

		f->out.verdicts[i] = total - f->total_verdicts[i];
		f->total_verdicts[i] = total;
	}
}

static void count_drops(struct fixture *f)
{
	struct shunt_drop key, *before = NULL;

	f->out.n_drops = 0;
	while (!bpf_map_get_next_key(map_fd(f, "drops"), before, &key)) {
		uint64_t total = sum_u64(f, "drops", &key);

		must(key.ifindex < 64 && key.reason < SHUNT_N_REASONS);
		if (total != f->total_drops[key.ifindex][key.reason])
			f->out.drop = key;
		f->out.n_drops += total - f->total_drops[key.ifindex][key.reason];
		f->total_drops[key.ifindex][key.reason] = total;
		before = &key;
	}
}

static struct shunt_counter sum_member(const struct fixture *f, uint32_t member)
{
	struct shunt_counter values[f->cpus], sum = { 0 };

	must(bpf_map_lookup_elem(map_fd(f, "member_counters"), &member, values) == 0);
	for (int i = 0; i < f->cpus; i++) {
		sum.packets += values[i].packets;
		sum.bytes += values[i].bytes;
	}
	return sum;
}

static void count_members(struct fixture *f)
{
	f->out.n_counted = 0;
	for (uint32_t i = 0; i < FIXTURE_MEMBERS && i < f->loaded->sizes.members; i++) {
		struct shunt_counter total = sum_member(f, i), *before = &f->total_members[i];

		if (total.packets == before->packets && total.bytes == before->bytes)
			continue;
		f->out.n_counted++;
		f->out.member = i;
		f->out.counter.packets = total.packets - before->packets;
		f->out.counter.bytes = total.bytes - before->bytes;
		*before = total;
	}
}

void count(struct fixture *f)
{
	count_verdicts(f);
	count_drops(f);
	count_members(f);
}

/* ---- running ---- */

int program_fd(const struct fixture *f, enum program program)
{
	return bpf_program__fd(program == EDGE ? f->edge->progs.shunt_edge : f->backend->progs.shunt_backend);
}

int run_bytes(struct fixture *f, const uint8_t *b, size_t len)
{
	static uint8_t in[PACKET_MAX + META_MAX], out[PACKET_MAX + META_MAX];
	struct xdp_md ctx = { .data = f->meta_len, .data_end = f->meta_len + len, .ingress_ifindex = f->ingress };
	struct xdp_md after;
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in, .data_size_in = f->meta_len + len, .data_out = out,
		    .data_size_out = sizeof(out), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .ctx_out = &after,
		    .ctx_size_out = sizeof(after), .repeat = 1);

	memcpy(in, f->meta, f->meta_len);
	memcpy(in + f->meta_len, b, len);
	if (bpf_prog_test_run_opts(program_fd(f, f->program), &o))
		return -errno;
	f->out.action = o.retval;
	f->out.len = o.data_size_out - after.data;
	memcpy(f->out.b, out + after.data, f->out.len);
	memcpy(f->out.meta, out, after.data);
	return 0;
}

void run(struct fixture *f, const struct packet *p)
{
	int r = run_bytes(f, p->b, p->len);

	if (r)
		fail_msg("a test run of %zu bytes failed: %s", p->len, strerror(-r));
	count(f);
}

/* ---- the world ---- */

const struct flow tcp4 = { CLIENT4, VIP4, 40000, 80, IPPROTO_TCP };
const struct flow tcp6 = { CLIENT6, VIP6, 40001, 80, IPPROTO_TCP };
const struct flow udp4 = { CLIENT4, VIP4, 40002, 53, IPPROTO_UDP };
const struct flow udp6 = { CLIENT6, VIP6, 40003, 53, IPPROTO_UDP };
const struct flow *const world_flows[4] = { &tcp4, &tcp6, &udp4, &udp6 };

uint32_t world_member(const struct flow *flow)
{
	return flow->proto == IPPROTO_TCP ? WORLD_TCP_MEMBER : WORLD_UDP_MEMBER;
}

static void world_service(struct fixture *f, uint32_t service, uint32_t member)
{
	service_set(f, service, 64 * service, 6, member);
	member_set(f, member, WORLD_BACKEND);
	for (uint32_t i = 0; i < 64; i++)
		slot_set(f, 64 * service + i, 0, SHUNT_NONE);
}

void world_backend(struct fixture *f, const char *address)
{
	struct shunt_backend b = backend_at(address);

	backend_set(f, WORLD_BACKEND, &b);
}

struct fixture *world_open(const struct shunt_settings *settings)
{
	struct fixture *f = fixture_open(settings, NULL);

	world_backend(f, BACKEND4);
	world_service(f, WORLD_TCP, WORLD_TCP_MEMBER);
	world_service(f, WORLD_UDP, WORLD_UDP_MEMBER);
	listen_add(f, VIP4, 80, IPPROTO_TCP, WORLD_TCP);
	listen_add(f, VIP6, 80, IPPROTO_TCP, WORLD_TCP);
	listen_add(f, VIP4, 53, IPPROTO_UDP, WORLD_UDP);
	listen_add(f, VIP6, 53, IPPROTO_UDP, WORLD_UDP);
	return f;
}

int world_setup(void **state)
{
	struct shunt_settings s = fixture_settings();

	*state = world_open(&s);
	return 0;
}

int world_teardown(void **state)
{
	fixture_close(*state);
	*state = NULL;
	return 0;
}

void world_reopen(void **state, const struct shunt_settings *settings)
{
	fixture_close(*state);
	*state = world_open(settings);
}
