/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map, declared once. The daemon sets max_entries from the configuration's `limits` before it loads, and
 * pins each under the map's own name. Arrays that the daemon writes in place are mappable.
 */
#ifndef SHUNT_MAPS_BPF_H
#define SHUNT_MAPS_BPF_H

/* as many homes as settings.listener_shift says, and places behind the last */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_listener);
	__uint(max_entries, (1 << 17) + SHUNT_LISTENER_PROBES);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_filter);
	__uint(max_entries, 1);
} filter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_service);
	__uint(max_entries, 4096);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1 << 21);
} slots SEC(".maps");

/* as many entries as `slots`: who else may know the slot's flows (slot.h, second chance) */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_alternates);
	__uint(max_entries, 1 << 21);
} alternates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_member);
	__uint(max_entries, 65536);
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_backend);
	__uint(max_entries, 65536);
} backends SEC(".maps");

/* which member issued a QUIC connection ID (quic.bpf.h) */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct shunt_quic_server);
	__type(value, __u32);
	__uint(max_entries, 65536);
} quic_servers SEC(".maps");

/* the flow cache */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_flow_bucket);
	__uint(max_entries, 1 << 17);
} flows SEC(".maps");

/* as many entries as `services` */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_flow_counter);
	__uint(max_entries, 4096);
} flow_counters SEC(".maps");

/* as many entries as `members` */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_counter);
	__uint(max_entries, 65536);
} member_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, SHUNT_N_VERDICTS);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, struct shunt_drop);
	__type(value, __u64);
	__uint(max_entries, 4096);
} drops SEC(".maps");

struct token_bucket {
	__u64 filled_ns; /* bpf_ktime_get_ns() up to which tokens were given */
	__u64 tokens;
};
/* of ICMP errors; as many entries as `services` */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct token_bucket);
	__uint(max_entries, 4096);
} icmp_buckets SEC(".maps");

/* of packets that the backend program sends on; as many entries as `services` */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct token_bucket);
	__uint(max_entries, 4096);
} hop_buckets SEC(".maps");

/* PROGRAM_EDGE: where the backend program goes on with SHUNT_FEATURE_THEN_EDGE. */
#define PROGRAM_EDGE 0
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} programs SEC(".maps");

/*
 * The way to other backends, for packets that the backend program sends on: the next hop's fields of shunt_backend, by the
 * backend's address. The program says in `strangers` (as struct shunt_addr) which one is missing.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct shunt_addr);
	__type(value, struct shunt_backend);
	__uint(max_entries, SHUNT_HOP_WAYS);
} hops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} strangers SEC(".maps");

/* ---- sockets ---- */

/* for the slots of `slots`, four turns in each word: a fourth of its entries */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, (1 << 21) / SHUNT_TURNS);
} turns SEC(".maps");

/* how many turns were taken; as many entries as `services` */
struct turn {
	struct bpf_spin_lock lock;
	__u32 taken;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct turn);
	__uint(max_entries, 4096);
} turns_taken SEC(".maps");

/* connects that found no usable backend; as many entries as `services` */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 4096);
} refused SEC(".maps");

/* twice as many entries as `members`: in a change those of before and after stand side by side */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_connections);
	__uint(max_entries, 2 * 65536);
} connections SEC(".maps");

/* by the socket's cookie */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);
	__type(value, struct shunt_peer);
	__uint(max_entries, 131072);
} peers SEC(".maps");

/* the daemon's own probes, whose addresses are left alone; the value says nothing */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} exempt SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct shunt_senders);
} senders SEC(".maps");

/* which processes a service is for */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct shunt_client);
	__type(value, __u32);
	__uint(max_entries, 65536);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct shunt_question);
	__uint(max_entries, 1);
} question SEC(".maps");

/* by what they are bound to: the sockets on which the servers of local services listen. A closed one leaves by itself. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__type(key, struct shunt_bound);
	__type(value, __u64);
	__uint(max_entries, 16384);
} local_sockets SEC(".maps");

/* The last two are the daemon's own notes, kept here so that they live as long as what they are about. */

/* as many entries as `services` */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_service_info);
	__uint(max_entries, 4096);
} service_info SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_meta);
	__uint(max_entries, 1);
} meta SEC(".maps");

#endif
