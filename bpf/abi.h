/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the programs in the kernel and the daemon: what each map holds, the limits,
 * the reasons for a drop. Included by both sides; the kernel's includes vmlinux.h before it, the
 * daemon's <linux/types.h> (below).
 *
 * Every structure has its padding written out and its size asserted. A change to any of them, or to
 * a map's type, raises SHUNT_ABI_VERSION: a daemon that finds pins of another version refuses them.
 *
 * The way of a packet through the maps:
 *
 *   filter[address]? -> listeners[address, port, proto] -> services[] -> slots[] -> members[] -> backends[]
 *
 * and so goes the connect() of a local process, which may take turns[] in place of slots[].
 *
 * Units: addresses are 16 bytes in network order (IPv4 as ::ffff:a.b.c.d); ports and VLAN tags are in
 * network order where the type says __be16; everything else is in host order.
 */
#ifndef SHUNT_ABI_H
#define SHUNT_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#include "slot.h"

#define SHUNT_ABI_VERSION 5

/* ---- addresses and listeners ---- */

struct shunt_addr {
	__be32 words[4];
} __attribute__((aligned(8))); /* so that half of it is one load */
_Static_assert(sizeof(struct shunt_addr) == 16, "abi");

/*
 * `listeners` is a hash table with open addressing: as a flat array it is read without a helper's call, which would
 * cost more than all the rest of the look. A listener stands at its home, which its hash names, or at one of the places
 * after it; its search ends at an empty place. There are at least four times as many homes as entries, a power of two,
 * and SHUNT_LISTENER_PROBES places more.
 *
 * `what` is replaced by one aligned store, which makes the entry valid, changes its service, or deletes it:
 *   bits 0-15   port, as it lies in a packet; 0: every port
 *   bits 16-23  IPPROTO_TCP, IPPROTO_UDP; 0, with port 0: the address's mark, "this address is a service's" (any one of
 *               its services is given)
 *   bits 24-31  state: empty (0, and so is all of the word), taken, or deleted, which a search passes over
 *   bits 32-63  index into `services`
 * The address is written while the entry is empty, or deleted since before every program that runs now began.
 */
struct shunt_listener {
	__u64 what;
	__u64 pad;
	struct shunt_addr addr;
};
_Static_assert(sizeof(struct shunt_listener) == 32, "abi");
#define SHUNT_LISTENER_TAKEN (1u << 24)
#define SHUNT_LISTENER_DELETED (2u << 24)
#define SHUNT_LISTENER_PROBES 32 /* every entry is so near to its home */

/* What `what` says but for the service. port: network order */
static inline __u32 shunt_listener_key(__be16 port, __u8 proto)
{
	return SHUNT_LISTENER_TAKEN | (__u32)proto << 16 | port;
}
static inline __u64 shunt_listener_what(__u32 key, __u32 service) { return (__u64)service << 32 | key; }
static inline __u32 shunt_listener_service(__u64 what) { return what >> 32; }

/*
 * `filter`: one bit for each hash of a service's address, small enough to stay in the nearest cache, so that a packet
 * for nobody's address is passed on without a look at `listeners`. A set bit promises nothing; a clear bit promises
 * that no listener has the address.
 * The daemon sets a bit before it adds a listener and clears it after it deleted the last.
 */
#define SHUNT_FILTER_BITS 16
struct shunt_filter {
	__u64 words[(1 << SHUNT_FILTER_BITS) / 64];
};

/* ---- services, slots, members, backends ---- */

/*
 * `table` places the service's slots and members in one word, so that one aligned 8-byte store moves it:
 *   bits 0-5    log2 of the number of slots; a smaller table is repeated in them
 *   bits 6-31   first slot / 64      (regions of slots start at multiples of 64)
 *   bits 32-63  first member         (index into `members`)
 *
 * `flows` is its region of the flow cache, for as long as some of its slots are not steady:
 *   bits 0-5    log2 of the number of buckets
 *   bits 32-63  first bucket         (index into `flows`)
 * 0: none. The daemon empties a region before a service gets it.
 */
struct shunt_service {
	__u64 table;
	__u64 flows;
	__u32 flags; /* SHUNT_SERVICE_* */
	__u32 turns; /* members in its part of `turns`; 0: none */
	__u32 pad[2];
};
_Static_assert(sizeof(struct shunt_service) == 32, "abi");
#define SHUNT_SERVICE_USED (1u << 0)
#define SHUNT_SERVICE_CLIENT (1u << 1) /* the client's address alone chooses the slot: shunt_client_hash */
#define SHUNT_SERVICE_QUIC (1u << 2) /* connection IDs choose the backend; the service's configuration of them: */
#define SHUNT_SERVICE_QUIC_CONFIG 8 /* first bit of three: the codepoint */
#define SHUNT_SERVICE_QUIC_LENGTH 12 /* first bit of four: bytes of a server ID, 1 to SHUNT_SERVER_ID_MAX */

#define SHUNT_SERVICE_NOT_EDGE (1u << 16) /* the edge program passes its packets on */
#define SHUNT_SERVICE_SOCKET (1u << 17) /* local processes' connections to it are balanced */
#define SHUNT_SERVICE_LOCAL (1u << 18) /* its packets go to sockets of this host (sk_lookup) */
#define SHUNT_SERVICE_REFUSE (1u << 19) /* no usable backend: ECONNREFUSED; else EHOSTUNREACH */
#define SHUNT_SERVICE_CLIENTS (1u << 20) /* only for processes that `clients` names */
#define SHUNT_SERVICE_ALGORITHM 24 /* first bit of two: SHUNT_ALGORITHM_*, by which sockets choose; packets go by their hash */
#define SHUNT_ALGORITHM_CONSISTENT 0
#define SHUNT_ALGORITHM_ROUND_ROBIN 1
#define SHUNT_ALGORITHM_RANDOM 2
#define SHUNT_ALGORITHM_LEAST 3
static inline __u32 shunt_service_algorithm(__u32 flags) { return flags >> SHUNT_SERVICE_ALGORITHM & 3; }

static inline __u32 shunt_service_quic(__u32 config, __u32 length)
{
	return SHUNT_SERVICE_QUIC | config << SHUNT_SERVICE_QUIC_CONFIG | length << SHUNT_SERVICE_QUIC_LENGTH;
}
static inline __u32 shunt_service_quic_config(__u32 flags) { return flags >> SHUNT_SERVICE_QUIC_CONFIG & 7; }
static inline __u32 shunt_service_quic_length(__u32 flags) { return flags >> SHUNT_SERVICE_QUIC_LENGTH & 15; }

/*
 * Key of `quic_servers`: who issued a QUIC connection ID. The value is the member's number, a __u32, as it stands in
 * slots. IDs are bytes, not numbers; all of a service have one length.
 */
#define SHUNT_SERVER_ID_MAX 8
struct shunt_quic_server {
	__u32 service; /* index into `services` */
	__u32 pad;
	__u8 id[SHUNT_SERVER_ID_MAX]; /* zeroes behind its end */
};
_Static_assert(sizeof(struct shunt_quic_server) == 16, "abi");

static inline __u64 shunt_flows(__u32 first_bucket, __u32 log2) { return (__u64)first_bucket << 32 | log2; }
static inline __u32 shunt_flows_first(__u64 flows) { return flows >> 32; }
static inline __u32 shunt_flows_log2(__u64 flows) { return flows & 31; }

static inline __u64 shunt_table(__u32 first_slot, __u32 log2_slots, __u32 first_member)
{
	return (__u64)first_member << 32 | (first_slot & ~63u) | (log2_slots & 63);
}
static inline __u32 shunt_table_first_slot(__u64 table) { return (__u32)table & ~63u; }
static inline __u32 shunt_table_mask(__u64 table) { return (1u << (table & 31)) - 1; }
static inline __u32 shunt_table_first_member(__u64 table) { return table >> 32; }

/* Slots and the entries of the flow cache: slot.h. A bucket of entries is one cache line. */
struct shunt_flow_bucket {
	__u64 ways[SHUNT_FLOW_WAYS];
};
_Static_assert(sizeof(struct shunt_flow_bucket) == 64, "abi");

/* Of a service, since it was made. */
struct shunt_flow_counter {
	__u64 noted; /* flows that got an entry */
	__u64 evicted; /* flows that were open and lost theirs to another: the region is too small */
};

/* One backend of one service; its index counts its packets in `member_counters`. */
struct shunt_member {
	__u32 backend; /* index into `backends`; beyond it (SHUNT_MEMBER_SHUT): no backend, not even for noted flows */
	__u32 flags; /* SHUNT_MEMBER_* */
	__u32 account; /* index into `connections` */
	__u32 pad;
};
_Static_assert(sizeof(struct shunt_member) == 16, "abi");
#define SHUNT_MEMBER_USED 1u /* for the daemon: a place that is taken */
#define SHUNT_MEMBER_SHUT (1u << 31) /* in `backend`: disabled; the daemon finds the number below it */

/*
 * A backend, shared by all services that have it: an address, whether it is up, and its next hop. One cache line.
 * `flags`, the word of dmac and vlan, and the word of smac and room are each replaced by one aligned store.
 */
struct shunt_backend {
	__u32 flags; /* SHUNT_BACKEND_* */
	__u32 ifindex; /* interface of the next hop */
	struct shunt_addr address; /* of the backend; destination of the tunnel */
	__u8 dmac[6]; /* of the next hop */
	__be16 vlan; /* TCI of the tag to push; 0: none */
	__u8 smac[6]; /* of our interface */
	__u16 room; /* bytes of the longest packet that fits the way to the backend, inside the tunnel */
	__be16 port; /* of the endpoint (0: none given); no tunnel uses it */
	__u8 forward; /* SHUNT_FORWARD_* */
	__u8 pad[21];
};
_Static_assert(sizeof(struct shunt_backend) == 64, "abi");
#define SHUNT_BACKEND_USED (1u << 0)
#define SHUNT_BACKEND_UP (1u << 1) /* may be chosen */
#define SHUNT_BACKEND_NEXTHOP (1u << 2) /* dmac, smac, ifindex and room are valid */
#define SHUNT_BACKEND_CHECKED (1u << 3) /* for the daemon: UP, or its absence, is the verdict of a check */
#define SHUNT_BACKEND_IP6 (1u << 4) /* address is IPv6, and so is the tunnel */
#define SHUNT_FORWARD_IPIP 0
#define SHUNT_FORWARD_GUE 1
#define SHUNT_FORWARD_NONE 2 /* by this host's own stack, as anything else that it sends */

/* ---- sockets: connections of local processes ---- */

/*
 * `turns`: who is next, for round-robin. A service's part begins where its slots do; four members' numbers in each
 * word, the first one in the lowest bits. SHUNT_NONE: nobody.
 */
#define SHUNT_TURNS 4
static inline __u32 shunt_turn_word(__u32 turn) { return turn / SHUNT_TURNS; }
static inline __u16 shunt_turn_member(__u64 word, __u32 turn) { return word >> 16 * (turn % SHUNT_TURNS); }


/*
 * Entry of `connections`: what sockets have of a member. It stays where it is when the service's members move to
 * another region, so that what was counted in is counted out there. A connection counts from connect() until its socket
 * is closed by the last process that holds it, is connected elsewhere, or breaks: reset, refused, timed out, ended. Of
 * unconnected UDP each socket that sends to the member counts as one.
 */
struct shunt_connections {
	__u64 open;
	__u64 made; /* ever */
	__u32 member; /* index into `members` */
	__u32 weight;
	__u32 generation; /* another one in a socket's note says that it is of somebody who had this entry before */
	__u32 pad;
};
_Static_assert(sizeof(struct shunt_connections) == 32, "abi");

/*
 * What a socket asked for and what it was given: for what it is connected to (TCP, UDP) in `peers`, by the socket's
 * cookie, until the socket is closed or the connection breaks; for what it sends to without a connection SHUNT_SENDERS of
 * them in the socket's own storage, `senders`. (A hash table that is allocated beforehand takes a note in a fraction of
 * the time that a new socket's storage does, and unlike an LRU table never gives up one that is in use.)
 */
struct shunt_peer {
	__u64 sk; /* where the kernel has the socket: to be read from, if the cookie there is the same; 0: not noted */
	struct shunt_addr asked, given;
	__be16 asked_port, given_port;
	__u32 account; /* index into `connections` */
	__u32 generation; /* of that entry */
	__u32 flags; /* SHUNT_PEER_* */
};
_Static_assert(sizeof(struct shunt_peer) == 56, "abi");
#define SHUNT_PEER_SET 1u /* the rest is valid */
#define SHUNT_PEER_COUNTED 2u /* it is one of connections[account].open */
#define SHUNT_PEER_DIRECT 4u /* of a sender: it has sent to `given` by that name since */

#define SHUNT_SENDERS 8
struct shunt_senders {
	struct shunt_peer peer[SHUNT_SENDERS];
	__u32 used[SHUNT_SENDERS]; /* `clock` when it was used last */
	__u32 clock;
	__u32 pad;
};

/* Key of `clients`; the value, a __u32, says nothing. */
struct shunt_client {
	__u64 id; /* of a cgroup: its number; of a network namespace: its cookie */
	__u32 service; /* index into `services`; SHUNT_UNSET: processes that are left alone, whatever they ask for */
	__u32 kind; /* SHUNT_CLIENT_* */
};
_Static_assert(sizeof(struct shunt_client) == 16, "abi");
#define SHUNT_CLIENT_CGROUP 0
#define SHUNT_CLIENT_NETNS 1

/*
 * A connection made at a socket, as `connection.bpf.c` writes it out. Ports in network order.
 */
struct shunt_connection {
	__u64 cookie; /* of the socket */
	struct shunt_addr asked, given, local; /* given: the socket's own peer, too */
	__be16 asked_port, given_port, local_port;
	__u8 family; /* AF_INET, AF_INET6 */
	__u8 proto;
	__u32 ifindex; /* that the socket is bound to; 0: none */
	__u32 netns; /* inode number of its network namespace */
	__u32 member, backend; /* SHUNT_UNSET: its account is somebody else's by now */
	__u32 flags; /* SHUNT_CONNECTION_* */
	__u32 state; /* TCP_* as in the kernel; connected UDP is TCP_ESTABLISHED */
};
_Static_assert(sizeof(struct shunt_connection) == 88, "abi");
#define SHUNT_CONNECTION_ENDS 1u /* its backend may have it no more: failed, disabled, gone, or its drain is over */

/* ---- local sockets: services with SHUNT_SERVICE_LOCAL ---- */

/*
 * Key of `local_sockets`, the listening sockets of this host's servers: what the socket is bound to. The unspecified
 * addresses are two, 0.0.0.0 (mapped, as any IPv4 address) and ::, whose sockets take IPv4, too, unless they refuse it.
 * Sockets may share a binding, and the kernel spreads over all of them when it is given any one: a few are kept, so
 * that one is left when another is closed.
 */
struct shunt_bound {
	struct shunt_addr addr;
	__be16 port;
	__u8 proto;
	__u8 place; /* which of those with this binding, below SHUNT_BOUND_PLACES */
	__u8 pad[4];
};
#define SHUNT_BOUND_PLACES 4
_Static_assert(sizeof(struct shunt_bound) == 24, "abi");

/* What the walks over sockets write out. */
struct shunt_unusable {
	struct shunt_bound bound; /* a server's socket that the map does not take; port 0: no listening socket follows */
	__s32 error; /* -errno */
	__u32 pad;
};
_Static_assert(sizeof(struct shunt_unusable) == 32, "abi");

/*
 * The tunnel of SHUNT_FORWARD_GUE: UDP without a checksum (RFC 6935) to SHUNT_GUE_PORT, in it Generic UDP Encapsulation
 * (draft-ietf-intarea-gue) of version 0 without flags, in it the packet. The private data of the GUE header says which
 * other backends may know the packet's flow: n addresses of the tunnel's own family follow, 4 or 16 bytes each; 0: none
 * at this place. A receiver that does not know of them skips them by the header's length, as Linux does.
 */
#define SHUNT_GUE_PORT 6080
struct shunt_gue {
	__u8 words; /* of 4 bytes, behind the first; the version and the bit for control messages, above it, are 0 */
	__u8 proto; /* what is inside: IPPROTO_IPIP or IPPROTO_IPV6 */
	__be16 flags;
	/* private data */
	__be16 magic; /* SHUNT_GUE_MAGIC */
	__u8 next; /* the address to be asked next */
	__u8 n; /* at most SHUNT_HOPS */
};
_Static_assert(sizeof(struct shunt_gue) == 8, "abi");
#define SHUNT_GUE_MAGIC 0x7368
#define SHUNT_HOP_WAYS 4096 /* backends to which a backend program knows the way (map `hops`) */

/* Bytes that a tunnel takes at most, its outer IP header included. */
#define SHUNT_IPIP_LENGTH(v6) ((v6) ? 40 : 20)
#define SHUNT_GUE_LENGTH(v6) (SHUNT_IPIP_LENGTH(v6) + 8 + 8 + SHUNT_HOPS * ((v6) ? 16 : 4))

/* What only the daemon reads: how it finds its own work again after a restart. */
#define SHUNT_NAME_MAX 64
struct shunt_service_info {
	char name[SHUNT_NAME_MAX]; /* NUL-terminated */
	__u64 retired_packets; /* of members that are gone: the service's total is this and its members' sum */
	__u64 retired_bytes;
	/* Regions of members, used or not: what the service has and what it moves to; its `table` says which holds. */
	struct {
		__u32 first, n;
	} members[2];
};
_Static_assert(sizeof(struct shunt_service_info) == 96, "abi");

struct shunt_meta {
	__u32 abi_version;
	__u32 pad;
	__u64 secret; /* settings.secret: drawn once, so that a new program finds what the one before noted */
};

/* ---- settings: constants of a loaded program; a change loads it anew and swaps it in ---- */

struct shunt_prefix {
	struct shunt_addr addr; /* host bits are zero */
	struct shunt_addr mask;
};

#define SHUNT_ALLOW_MAX 16
struct shunt_settings {
	__u64 seed; /* of the flow hash; all balancers of one address need the same */
	__u64 secret; /* of the flow cache; this balancer's own */
	__u32 features; /* SHUNT_FEATURE_* */
	__u32 n_allow;
	struct shunt_prefix source4; /* outer source: the prefix, its host bits from the flow's hash */
	struct shunt_prefix source6;
	struct shunt_prefix allow[SHUNT_ALLOW_MAX]; /* backend program: outer sources that it believes */
	__u32 icmp_rate; /* ICMP errors a second, for each service on each CPU */
	__u32 hop_rate; /* the same of packets that the backend program sends on; 0: as many as there are */
	__u32 listener_shift; /* 64 less the binary logarithm of the number of homes in `listeners` */
	__u32 cgroup_levels; /* bit n: `clients` names some cgroup that is n below the root */
};
#define SHUNT_FEATURE_ANY_PORT (1u << 0) /* some service listens on every port */
#define SHUNT_FEATURE_THEN_EDGE (1u << 1) /* backend program: what is no tunnel packet of ours goes on to the edge program */
#define SHUNT_FEATURE_FRAGS (1u << 2) /* packets may be longer than their first buffer (jumbo frames; kernel 5.18) */
#define SHUNT_FEATURE_COARSE_CLOCK (1u << 3) /* bpf_ktime_get_coarse_ns is there (kernel 5.11) */
#define SHUNT_FEATURE_AFFINITY (1u << 4) /* some service has SHUNT_SERVICE_CLIENT */
#define SHUNT_FEATURE_QUIC (1u << 5) /* some service has SHUNT_SERVICE_QUIC */
#define SHUNT_FEATURE_GUE (1u << 6) /* some backend is reached by SHUNT_FORWARD_GUE */
#define SHUNT_FEATURE_SECOND_CHANCE (1u << 7) /* backend program: a flow that is not known here is sent on */
#define SHUNT_FEATURE_NOT_EDGE (1u << 8) /* some service has SHUNT_SERVICE_NOT_EDGE */
#define SHUNT_FEATURE_CLIENTS (1u << 9) /* socket programs: `clients` is not empty */
#define SHUNT_FEATURE_RETVAL (1u << 10) /* bpf_set_retval is there (kernel 5.18) */
#define SHUNT_FEATURE_TRACED_COOKIE (1u << 11) /* iterators can ask for a socket's cookie (kernel 5.12) */

/* ---- counters ---- */

struct shunt_counter {
	__u64 packets;
	__u64 bytes; /* of the client's packet, from its IP header on, as its length field says */
};

/* What became of a packet, or of a local process's connection: index into `verdicts`. X(NAME, "word", "sentence") */
#define SHUNT_VERDICTS(X) \
	X(EDGE_PASSED, "edge_passed", "not a service's: passed on untouched") \
	X(EDGE_FORWARDED, "edge_forwarded", "sent to a backend") \
	X(EDGE_ANSWERED, "edge_answered", "answered here: echo replies and ICMP errors") \
	X(EDGE_DROPPED, "edge_dropped", "dropped by the edge program, for a reason in drops") \
	X(BACKEND_PASSED, "backend_passed", "no tunnel packet of a service's: passed on untouched") \
	X(BACKEND_DELIVERED, "backend_delivered", "taken out of the tunnel and given to this host") \
	X(BACKEND_SENT_ON, "backend_sent_on", "not of a flow that is known here: sent on to a backend that may know it") \
	X(BACKEND_DROPPED, "backend_dropped", "dropped by the backend program, for a reason in drops") \
	X(SOCKET_PASSED, "socket_passed", "a local process's address that is no service's: left as it is") \
	X(SOCKET_GIVEN, "socket_given", "a local process's connection, or datagram, to a service: given a backend") \
	X(SOCKET_EXEMPT, "socket_exempt", "to a service, from a process for which it is not balanced: left as it is") \
	X(SOCKET_REFUSED, "socket_refused", "to a service that has no usable backend: refused") \
	X(SOCKET_UNNOTED, "socket_unnoted", "given a backend, but not noted, because limits.connections is reached") \
	X(LOCAL_GIVEN, "local_given", "for a local service: given to a socket of this host") \
	X(LOCAL_REFUSED, "local_refused", "for a local service that has no socket for it: refused")
enum shunt_verdict {
#define X(name, word, text) SHUNT_VERDICT_##name,
	SHUNT_VERDICTS(X)
#undef X
	SHUNT_N_VERDICTS
};

/* Why a packet was dropped. Add at the end only: the numbers are in pinned maps. X(NAME, "word", "sentence") */
#define SHUNT_REASONS(X) \
	X(NONE, "none", "not dropped") \
	X(MALFORMED, "malformed", "a header is cut short or its lengths contradict each other") \
	X(FRAGMENT, "fragment", "a fragment: ports are only in the first, so it cannot be balanced") \
	X(NO_BACKEND, "no_backend", "the service has no usable backend for this flow") \
	X(NO_NEXTHOP, "no_nexthop", "the backend has no route or its neighbour does not answer") \
	X(TTL_EXPIRED, "ttl_expired", "TTL or hop limit was used up, and the ICMP error was over its rate") \
	X(TOO_BIG, "too_big", "does not fit the way to the backend, and the ICMP error was over its rate") \
	X(NO_ROOM, "no_room", "the driver left no room in front of the packet for a header") \
	X(TUNNEL_SOURCE, "tunnel_source", "a tunnel packet for a service from a source that is not allowed") \
	X(SECOND_CHANCE_RATE, "second_chance_rate", "of no flow that is known here, and over the rate at which such are sent on")
enum shunt_reason {
#define X(name, word, text) SHUNT_REASON_##name,
	SHUNT_REASONS(X)
#undef X
	SHUNT_N_REASONS
};

/* Key of `drops` (per-CPU hash; value __u64). */
struct shunt_drop {
	__u32 ifindex;
	__u32 reason;
};

/* ---- explain: what a program decided about one packet ---- */

/*
 * `shunt explain` runs the loaded program on a packet that carries this structure as XDP metadata (between
 * data_meta and data). No driver puts metadata there before the program, so a packet from outside never has it.
 * A traced packet is not counted anywhere.
 */
#define SHUNT_TRACE_MAGIC 0x73686e74u /* "shnt" */
#define SHUNT_UNSET 0xffffffffu
struct shunt_trace {
	__u32 magic;
	__u32 verdict; /* enum shunt_verdict */
	__u32 reason; /* enum shunt_reason */
	__u32 service; /* these four: SHUNT_UNSET when not reached */
	__u32 slot; /* within the service's region of slots */
	__u32 member; /* index into `members` */
	__u32 backend; /* index into `backends` */
	__u32 flags; /* SHUNT_TRACE_* */
};
_Static_assert(sizeof(struct shunt_trace) == 32, "XDP metadata has 32 bytes at most on older kernels");
#define SHUNT_TRACE_FAILED_OVER 1u /* current was not up, the runner-up took the packet */
#define SHUNT_TRACE_ICMP_ERROR 2u /* the packet is an ICMP error about the flow, or was answered by one */
#define SHUNT_TRACE_TRANSITION 4u /* the slot is in transition: an older flow may belong to its anchor */
#define SHUNT_TRACE_QUIC 8u /* the packet's connection ID chose the backend */

/* The one entry of `question`: a socket of the daemon's, whose connect() is answered with the way it would go, and refused. */
struct shunt_question {
	__u64 cookie; /* of the socket; 0: nobody asks */
	struct shunt_trace trace;
	struct shunt_addr given;
	__be16 given_port;
	__u16 pad[3];
};

/* ---- hashes that both sides, and all balancers, must agree on ---- */

#define SHUNT_K1 0x9e3779b97f4a7c15ull
#define SHUNT_K2 0xc2b2ae3d27d4eb4full
#define SHUNT_K3 0x165667b19e3779f9ull
#define SHUNT_K4 0xd6e8feb86659fd93ull
#define SHUNT_K5 0xa0761d6478bd642full
#define SHUNT_K6 0xe7037ed1a0b428dbull

/* The finaliser of MurmurHash3 (Austin Appleby, public domain). */
static inline __u64 shunt_mix(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

/* Eight bytes of an address as they lie in memory, so that it is one load. */
static inline __u64 shunt_addr_half(const struct shunt_addr *a, int half)
{
	__u64 word;

	__builtin_memcpy(&word, __builtin_assume_aligned(&a->words[2 * half], sizeof(word)), sizeof(word));
	return word;
}

/*
 * Hashes are multilinear over words as they lie in memory: independent multiplications, so that they overlap in the
 * processor, and a sum that grows from step to step. Balancers of one address must have one byte order. The upper bits
 * are the good ones.
 */

/* Hash of a service's address. */
static inline __u64 shunt_addr_hash(const struct shunt_addr *a)
{
	return shunt_addr_half(a, 0) * SHUNT_K1 + shunt_addr_half(a, 1) * SHUNT_K2;
}
static inline __u32 shunt_filter_bit(__u64 addr_hash) { return addr_hash >> (64 - SHUNT_FILTER_BITS); }

/* Hash of a listener. key: shunt_listener_key */
static inline __u64 shunt_listener_hash(__u64 addr_hash, __u32 key) { return addr_hash + key * SHUNT_K3; }
static inline __u32 shunt_listener_home(__u64 listener_hash, __u32 shift) { return listener_hash >> shift; }

/*
 * Hash of a flow. listener_hash: of the address, port and protocol in the packet, even if the service listens on every
 * port. cport: network order.
 */
static inline __u64 shunt_flow_hash(__u64 seed, __u64 listener_hash, const struct shunt_addr *client, __be16 cport)
{
	return shunt_mix(seed + listener_hash + shunt_addr_half(client, 0) * SHUNT_K4 +
			 shunt_addr_half(client, 1) * SHUNT_K5 + cport * SHUNT_K6);
}

/*
 * Of a flow of a service with SHUNT_SERVICE_CLIENT: the bits that can choose a slot are the client's, of whatever port,
 * and to whatever address and port of the service. The others are the flow's own, and tell it apart from the client's
 * other flows in the flow cache and in the tunnel's source. flow_hash: shunt_flow_hash
 */
static inline __u64 shunt_client_hash(__u64 seed, __u64 flow_hash, const struct shunt_addr *client)
{
	const __u64 low = (1u << SHUNT_FLOW_LOW_BITS) - 1;
	__u64 hash = shunt_mix(seed + shunt_addr_half(client, 0) * SHUNT_K4 + shunt_addr_half(client, 1) * SHUNT_K5);

	return (flow_hash & ~low) | (hash & low);
}

#endif
