/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two programs, loaded with small maps in a network namespace of the test's own, and one packet at a time run
 * through one of them (BPF_PROG_TEST_RUN). Each run also says what was counted meanwhile.
 */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/bpf.h>

#include "loaded.h"
#include "packet.h"

/* Interfaces of the namespace, besides lo: two veth pairs, tb-in and tb-peer, tb-out and tb-far. */
#define IFINDEX_IN 42
#define IFINDEX_PEER 43
#define IFINDEX_OUT 44
#define IFINDEX_FAR 45

#define FIXTURE_MEMBERS 128
#define FIXTURE_BACKENDS 64
#define FIXTURE_SERVICES 16
#define FIXTURE_SLOTS 2048
#define META_MAX 252

enum program { EDGE, BACKEND };

/* What one run did. */
struct result {
	int action; /* XDP_* */
	size_t len;
	uint8_t b[PACKET_MAX];
	uint8_t meta[META_MAX];
	uint64_t verdicts[SHUNT_N_VERDICTS]; /* counted during the run */
	unsigned n_drops; /* counted during the run, whatever their key; the key of the last */
	struct shunt_drop drop;
	unsigned n_counted; /* members whose counters moved; the last one and by how much */
	uint32_t member;
	struct shunt_counter counter;
};

struct fixture {
	struct shunt_settings settings;
	struct loaded *loaded;
	struct edge *edge; /* of it */
	struct backend *backend;
	int cpus;
	enum program program; /* that runs */
	uint32_t ingress; /* interface that packets come in on */
	size_t meta_len; /* metadata in front of the packet: */
	uint8_t meta[META_MAX];
	struct shunt_backend backends[FIXTURE_BACKENDS]; /* as set with backend_set */
	struct result out; /* of the last run */
	uint64_t total_verdicts[SHUNT_N_VERDICTS]; /* until the last run */
	uint64_t total_drops[64][SHUNT_N_REASONS]; /* by interface */
	struct shunt_counter total_members[FIXTURE_MEMBERS];
};

int fixture_namespace(void **state); /* group setup: a namespace with the interfaces, and one CPU */
struct shunt_settings fixture_settings(void); /* usual ones */
/* Both programs, which share their maps; the maps are empty. sizes NULL: the usual, small ones. Fails the test if it
 * cannot. */
struct fixture *fixture_open(const struct shunt_settings *settings, const struct loaded_sizes *sizes);
void fixture_close(struct fixture *f);

/* Says in which case of a loop a test is; printed when it fails. Forgotten when a fixture is opened. */
void in_case(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *the_case(void);

/* ---- filling the maps ---- */
void filter_set(struct fixture *f, const char *address, bool on);
void listener_set(struct fixture *f, const char *address, uint16_t port, uint8_t proto, uint32_t service);
void listener_delete(struct fixture *f, const char *address, uint16_t port, uint8_t proto);
/* The listener, its address's mark and its bit of the filter. */
void listen_add(struct fixture *f, const char *address, uint16_t port, uint8_t proto, uint32_t service);
void service_set(struct fixture *f, uint32_t service, uint32_t first_slot, uint32_t log2_slots, uint32_t first_member);
void service_flags_set(struct fixture *f, uint32_t service, uint32_t flags); /* beside SHUNT_SERVICE_USED */
/* id: as many bytes, up to 8, as the text has; to the member with this number. */
void quic_server_set(struct fixture *f, uint32_t service, const char *id, uint32_t number);
void slot_set(struct fixture *f, uint32_t slot, uint16_t current, uint16_t runner_up);
void slot_set_word(struct fixture *f, uint32_t slot, uint64_t word);
void alternates_set(struct fixture *f, uint32_t slot, uint64_t owners, uint64_t ranked); /* slot.h */
void member_set(struct fixture *f, uint32_t member, uint32_t backend);
void backend_mtu(struct shunt_backend *b, uint16_t mtu); /* of the way there, the tunnel's headers included */
struct shunt_backend backend_at(const char *address); /* up, with a next hop on IFINDEX_OUT and an MTU of 1500 */
void backend_set(struct fixture *f, uint32_t backend, const struct shunt_backend *b);
/* n of them from `first` on, 10.0.1.0 and after, each with its number in the MAC of its next hop. */
void numbered_backends_set(struct fixture *f, uint32_t first, uint32_t n);
void hop_set(struct fixture *f, const char *address, const struct shunt_backend *way); /* NULL: not known */
int map_fd(const struct fixture *f, const char *name);
void tail_call_set(struct fixture *f); /* programs[PROGRAM_EDGE] = the edge program */

/* ---- running ---- */
int program_fd(const struct fixture *f, enum program program);
/* Only the run: action, len, b and meta of f->out. Returns 0 or -errno. */
int run_bytes(struct fixture *f, const uint8_t *b, size_t len);
/* The run and what it counted. Fails the test if the run fails. */
void run(struct fixture *f, const struct packet *p);
void count(struct fixture *f); /* fills in what f->out says was counted since the last time */

/* ---- a world: what most tests want ---- */

#define VIP4 "203.0.113.10"
#define VIP6 "2001:db8:113::10"
#define CLIENT4 "198.51.100.7"
#define CLIENT6 "2001:db8:c::7"
#define OTHER4 "203.0.113.99"
#define OTHER6 "2001:db8:113::99"
#define BACKEND4 "10.0.0.11"
#define BACKEND6 "2001:db8:bb::11"

/* Port 80 of both VIPs over TCP is WORLD_TCP, port 53 over UDP is WORLD_UDP; both have the one backend. */
#define WORLD_TCP 1
#define WORLD_UDP 2
#define WORLD_TCP_MEMBER 10
#define WORLD_UDP_MEMBER 20
#define WORLD_BACKEND 3
extern const struct flow tcp4, tcp6, udp4, udp6;
extern const struct flow *const world_flows[4];
uint32_t world_member(const struct flow *flow);

struct fixture *world_open(const struct shunt_settings *settings);
int world_setup(void **state); /* *state is a struct fixture * */
int world_teardown(void **state);
void world_reopen(void **state, const struct shunt_settings *settings); /* anew, with these settings */
void world_backend(struct fixture *f, const char *address); /* the backend is at this address */

#define world_test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

#endif
