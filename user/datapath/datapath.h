/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The loaded programs and their maps. The only room that knows libbpf. All of it is pinned: closing a datapath, or
 * dying, leaves forwarding as it is, and the next dp_open adopts it: maps are taken up with what is in them, programs
 * are loaded anew and swapped in by updating the pinned links, so that no packet is lost.
 *
 * Errors are logged here, with the place and the remedy, and returned as -errno.
 */
#ifndef DATAPATH_DATAPATH_H
#define DATAPATH_DATAPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "../bpf/abi.h"
#include "model/model.h"

struct datapath;
struct strangers;

/* An address as the maps hold it. */
static inline struct shunt_addr dp_addr(const struct addr *a)
{
	struct shunt_addr k;

	memcpy(&k, a->b, sizeof(k));
	return k;
}

/*
 * Mounts bpffs where the pins need it, loads or adopts. Sizes of the maps come from c->limits; pins of other sizes or
 * another SHUNT_ABI_VERSION are refused with a sentence. Nothing is attached yet. adopted: there were pins.
 */
int dp_open(const struct config *c, struct datapath **out, bool *adopted);
void dp_close(struct datapath *dp); /* leaves everything in place */
static inline void dp_closep(struct datapath **dp) { dp_close(*dp); }
int dp_unload(const char *pins); /* detaches and removes everything that is pinned there; fine if there is nothing */

/*
 * Makes settings (edge, backend, features) and attachments equal to c: loads programs anew if settings changed and
 * swaps them in, attaches new interfaces, detaches others. An interface that does not exist is logged, shown by
 * dp_interface, and tried again at the next call. any_port: some service listens on every port.
 *
 * AUTO is native where the driver can, but generic for the edge role while an interface on which a native program would
 * send, its own or that of a next hop in dp_backends, does not send that (sending.h); this is looked at again at every
 * call, and followed. What drivers lose shows in dp_interface.
 *
 * Interfaces get settings that go with it, and their old ones back when they are not needed any more or at
 * dp_unload: an edge interface in generic mode has GRO off (also what is below a VLAN, bond or bridge), because
 * packets put together would be longer than the MTU; with backend.loopback a backend interface has arp_ignore 1 and
 * arp_announce 2, so that the backend is silent about the services' addresses. What was changed is noted in the
 * pinned map `notes`, and so are the addresses put on lo.
 */
int dp_configure(struct datapath *dp, const struct config *c, bool any_port);

struct dp_interface {
	char name[IFNAMSIZ];
	int ifindex; /* 0: there is no such interface */
	unsigned roles;
	enum xdp_mode mode; /* NATIVE or GENERIC; AUTO: not attached */
	char problem[256]; /* why it is not attached, or what to look after; "": fine */
	uint64_t send_errors; /* packets that its driver counted as not sent for a native program; 0 in generic mode */
};
size_t dp_interfaces(const struct datapath *dp, const struct dp_interface **out);

const struct limits *dp_limits(const struct datapath *dp); /* of the maps that are loaded */

/* The loaded program of a role, to be run by itself (a bench, a test); the descriptor stays ours. -ENODEV: none is loaded. */
int dp_program_fd(const struct datapath *dp, enum role role);

/* The mapped arrays, [limits.x] each. One writer. Words of 8 bytes are replaced with dp_store. */
struct shunt_service *dp_services(struct datapath *dp);
__u64 *dp_slots(struct datapath *dp);
struct shunt_alternates *dp_alternates(struct datapath *dp); /* [limits.slots] */
struct shunt_member *dp_members(struct datapath *dp);
struct shunt_backend *dp_backends(struct datapath *dp);
struct shunt_flow_bucket *dp_flows(struct datapath *dp); /* [limits.flows / SHUNT_FLOW_WAYS] */
__u64 *dp_turns(struct datapath *dp); /* [limits.slots / SHUNT_TURNS] */
__u64 *dp_refused(struct datapath *dp); /* [limits.services] connects that found no usable backend; programs count */
struct shunt_connections *dp_connections(struct datapath *dp); /* [2 * limits.members]; programs count open and made */
uint64_t dp_secret(const struct datapath *dp); /* of the flow cache, as the programs have it */
static inline void dp_store(__u64 *word, __u64 value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

/* listeners, and with them the filter and the address marks */
int dp_listener_set(struct datapath *dp, const struct listen *l, uint32_t service);
int dp_listener_delete(struct datapath *dp, const struct listen *l);
/* Calls fn for each listener in the kernel (not for address marks); a non-zero return ends the walk and is returned. */
int dp_listener_each(struct datapath *dp, int (*fn)(void *arg, const struct listen *l, uint32_t service), void *arg);

/* quic_servers: who issued a connection ID. Setting replaces; deleting is fine if it is not there. */
int dp_quic_set(struct datapath *dp, const struct shunt_quic_server *key, uint32_t number);
int dp_quic_delete(struct datapath *dp, const struct shunt_quic_server *key);
/* Calls fn for each; it changes nothing there. A non-zero return ends the walk and is returned. */
int dp_quic_each(struct datapath *dp, int (*fn)(void *arg, const struct shunt_quic_server *key, uint32_t number),
		 void *arg);

int dp_service_info_set(struct datapath *dp, uint32_t service, const struct shunt_service_info *info);
int dp_service_info_get(struct datapath *dp, uint32_t service, struct shunt_service_info *out);

/*
 * Returns when no program runs any more that began before the call, so that what was taken out can be used again.
 * About 10 ms, by membarrier, or by a change to a map of maps where that is refused (CPUs without ticks).
 */
void dp_grace(void);
/*
 * The same without waiting: a grace period begins, in a thread of its own, and is asked for by its number, which is never 0.
 * One that began after several calls is over for all of them.
 */
uint64_t dp_grace_begin(void);
bool dp_grace_is_over(uint64_t number);

/* ---- counters ---- */

/* Sums over CPUs, members [first, first + n) into out. */
int dp_member_counters(struct datapath *dp, uint32_t first, uint32_t n, struct shunt_counter *out);
int dp_member_counters_clear(struct datapath *dp, uint32_t member);
/* Of one service. */
int dp_flow_counters(struct datapath *dp, uint32_t service, struct shunt_flow_counter *out);
int dp_flow_counters_clear(struct datapath *dp, uint32_t service);
int dp_verdicts(struct datapath *dp, uint64_t out[SHUNT_N_VERDICTS]);

struct dp_drop {
	uint32_t ifindex;
	char ifname[IFNAMSIZ]; /* "" when the interface is gone */
	enum shunt_reason reason;
	uint64_t packets;
};
int dp_drops(struct datapath *dp, struct dp_drop **out, size_t *n); /* free(*out); sorted by ifindex, reason */

/* ---- explain ---- */

#define DP_CID_MAX 20
struct dp_question {
	struct endpoint src, dst; /* one family */
	uint8_t proto;
	bool syn; /* TCP: a first packet, else an established one */
	uint32_t ifindex; /* where it arrives; 0: the first edge interface */
	uint16_t length; /* of the IP packet, bytes; 0: the shortest */
	uint8_t cid[DP_CID_MAX]; /* UDP: destination connection ID of a QUIC packet with a short header */
	uint8_t cid_length; /* 0: no QUIC packet */
};
struct dp_answer {
	struct shunt_trace trace;
	int xdp; /* XDP_PASS, XDP_DROP, XDP_TX, XDP_REDIRECT */
	uint8_t packet[2048]; /* as it leaves */
	size_t len;
};
/* -EOPNOTSUPP: the kernel cannot (before 5.14); -ENODEV: no edge program is loaded */
int dp_explain(struct datapath *dp, const struct dp_question *q, struct dp_answer *a);

/* ---- hops: the way to other backends, for packets that the backend program sends on ---- */

/* way: of it only the next hop's fields count. -E2BIG: there are as many as there may be */
int dp_hop_set(struct datapath *dp, const struct addr *to, const struct shunt_backend *way);
int dp_hop_delete(struct datapath *dp, const struct addr *to); /* fine if there is none */
/* Calls fn for each address that has an entry; a non-zero return ends the walk and is returned. */
typedef int (*dp_hop_fn)(void *arg, const struct addr *to);
int dp_hop_each(struct datapath *dp, dp_hop_fn fn, void *arg);

/* Addresses for which a program lacked the way, as they come: fn is called by strangers_read, for each of them. */
int strangers_open(struct datapath *dp, dp_hop_fn fn, void *arg, struct strangers **out);
int strangers_fd(const struct strangers *s); /* readable (epoll) when there are some */
void strangers_read(struct strangers *s);
void strangers_close(struct strangers *s); /* NULL is fine */

/* ---- sockets: connections of local processes (config.cgroup) ---- */

/* True: the programs are attached. cgroup: where; problem: what to look after, "" if there is nothing. */
bool dp_sockets(const struct datapath *dp, const char **cgroup, const char **problem);
const char *dp_ending_problem(const struct datapath *dp); /* why connections are not ended; "": they are */
/* A socket of the daemon's own goes where it asks to, services or not. Fine while the programs are not attached. */
int dp_exempt(struct datapath *dp, int socket);
/* Calls fn for each socket that is connected to a backend which it was given, in every network namespace. */
typedef void (*dp_connection_fn)(void *arg, const struct shunt_connection *c);
int dp_connections_each(struct datapath *dp, dp_connection_fn fn, void *arg);

/*
 * Asks the programs what they would do with the connect() of a process in a cgroup ("/system.slice/x" below the
 * directory to which they are attached, or "/"), in this network namespace. Nothing is sent, counted or changed. It
 * waits for a process that asks, for 2 seconds at most. -ENODEV: no programs are attached; other errors are said.
 */
struct dp_socket_answer {
	struct shunt_trace trace; /* its verdict is one of SOCKET_* */
	struct endpoint given; /* with SOCKET_GIVEN: what the socket would be connected to */
	bool names_error; /* the kernel lets programs say why they refuse; else the process sees EPERM */
};
int dp_ask(struct datapath *dp, const struct endpoint *dst, uint8_t proto, const char *cgroup,
	   struct dp_socket_answer *out);

/*
 * Ends connections whose backend may have them no more (failed, disabled, gone, or its drain is over), soon: by another
 * process, which dp_follow_sockets is given. Without it, or without sockets, nothing is done.
 */
struct event_base;
struct sever;
void dp_end_connections(struct datapath *dp);
/* For which processes a service is (struct service, clients); both NULL, or empty: all. */
int dp_clients_set(struct datapath *dp, uint32_t service, const struct texts *cgroups, const struct texts *namespaces);
/* Calls fn for each cgroup and namespace that is named, but is not there now; service: SHUNT_UNSET for those left alone. */
typedef void (*dp_unknown_fn)(void *arg, uint32_t service, const char *path);
void dp_clients_unknown(const struct datapath *dp, dp_unknown_fn fn, void *arg);
/*
 * Follows cgroups and namespaces by the loop as they come and go. Before the first dp_configure; sever is borrowed, and
 * may be NULL.
 */
void dp_follow_sockets(struct datapath *dp, struct event_base *base, struct sever *sever);

/* ---- addresses on loopback (backend.loopback) ---- */

/*
 * Makes the addresses that we put on lo equal to this list (those of others are left alone). Survives restarts.
 * The host does not take them as sources of its own: IPv4 has host scope, IPv6 no preferred lifetime. Call
 * dp_configure before, which makes the interfaces silent about them.
 */
int dp_loopback(struct datapath *dp, const struct addr *addrs, size_t n);

/* What the running kernel lacks, and what that costs; one sentence each, NULL-terminated. */
const char *const *dp_lacks(const struct datapath *dp);

#endif
