// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Services with servers on this host: what arrives for a service's address and any of its ports goes to a socket that
 * listens elsewhere, as it is, and is answered from the service's address.
 *
 * packet -> service -> slot -> member -> socket: as at the edge, by the same hash. It is asked once for each TCP
 * connection and datagram, before the kernel looks for a listening socket by itself, and not for what is connected.
 *
 * Two walks over the sockets of this network namespace find those that servers listen on; another program says when to
 * walk again. They change no packet and no socket, and do not remember flows.
 */
#include "vmlinux.h"
#include "abi.h"
#include "base.bpf.h"
#include "maps.bpf.h"
#include "parse.bpf.h"
#include "service.bpf.h"
#include "flow.bpf.h"
#include "member.bpf.h"
#include "count.bpf.h"
#include "asked.bpf.h"
#include "kernel.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define SK_DROP 0 /* as if nobody listened: TCP answers with RST, UDP with ICMP */
#define SK_PASS 1

/* These two are of one load of these programs, and its daemon's alone. */

/* what sockets may be bound to that are looked for, at place 0; the value says nothing */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct shunt_bound);
	__type(value, __u32);
	__uint(max_entries, 16384);
} wanted SEC(".maps");

/* a struct shunt_bound for each that is listened on by another socket now */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} listening SEC(".maps");

/* ---- what arrives ---- */

static __always_inline struct flow flow_of(const struct bpf_sk_lookup *ctx)
{
	struct flow f = {};

	if (ctx->family == AF_INET) {
		f.service = mapped(ctx->local_ip4);
		f.client = mapped(ctx->remote_ip4);
	} else {
		for (int i = 0; i < 4; i++) {
			f.service.words[i] = ctx->local_ip6[i];
			f.client.words[i] = ctx->remote_ip6[i];
		}
	}
	f.service_hash = shunt_addr_hash(&f.service);
	set_ports(&f, ctx->protocol, bpf_htons(ctx->local_port), ctx->remote_port);
	return f;
}

/* A socket with this binding, if one takes the packet: those of the other family may not. */
static __always_inline bool give_socket(struct bpf_sk_lookup *ctx, struct shunt_bound *bound)
{
	struct bpf_sock *sk;
	long err;

	for (int i = 0; i < SHUNT_BOUND_PLACES; i++) {
		bound->place = i;
		sk = bpf_map_lookup_elem(&local_sockets, bound);
		if (!sk)
			continue;
		err = bpf_sk_assign(ctx, sk, 0); /* of those that share the binding the kernel takes one */
		bpf_sk_release(sk);
		if (!err)
			return true;
	}
	return false;
}

/* To whoever would get it, had it come to the backend's address and port: who is bound to just that comes first. */
static __always_inline bool give_backend(struct bpf_sk_lookup *ctx, const struct shunt_backend *b, __u8 proto)
{
	struct shunt_bound bound = { .addr = b->address, .port = b->port, .proto = proto };

	if (give_socket(ctx, &bound))
		return true;
	if (!(READ_ONCE(b->flags) & SHUNT_BACKEND_IP6)) {
		bound.addr = mapped(0);
		if (give_socket(ctx, &bound))
			return true;
	}
	bound.addr = (struct shunt_addr){};
	return give_socket(ctx, &bound);
}

static __always_inline bool give_member(struct bpf_sk_lookup *ctx, __u64 table, __u16 number, __u8 proto)
{
	struct shunt_trace t;
	struct shunt_backend *b = backend_with(SHUNT_BACKEND_UP, table, number, &t);

	return b && give_backend(ctx, b, proto);
}

/* To the owner of the flow's slot or, while that is not up or does not listen, to its runner-up. */
static __always_inline bool give(struct bpf_sk_lookup *ctx, const struct shunt_service *s, const struct flow *f)
{
	__u64 table = READ_ONCE(s->table), hash = slot_hash(s, f, flow_hash(f)), *slot, word;
	__u32 number = shunt_table_first_slot(table) + ((__u32)hash & shunt_table_mask(table));

	slot = bpf_map_lookup_elem(&slots, &number);
	if (!slot)
		return false;
	word = READ_ONCE(*slot);
	return give_member(ctx, table, shunt_slot_current(word), f->proto) ||
	       give_member(ctx, table, shunt_slot_runner_up(word), f->proto);
}

SEC("sk_lookup")
int shunt_lookup(struct bpf_sk_lookup *ctx)
{
	struct flow f = flow_of(ctx);
	struct shunt_service *s;
	__u32 service;

	if (likely(!filter_has(f.service_hash)))
		return SK_PASS;
	service = find_service(&f);
	s = bpf_map_lookup_elem(&services, &service);
	if (!s || !(READ_ONCE(s->flags) & SHUNT_SERVICE_LOCAL) || ctx->sk) /* another's program has chosen */
		return SK_PASS;
	if (give(ctx, s, &f)) {
		count_verdict(SHUNT_VERDICT_LOCAL_GIVEN);
		return SK_PASS;
	}
	count_verdict(SHUNT_VERDICT_LOCAL_REFUSED);
	return SK_DROP; /* a stranger that listens on every address does not get it */
}

/* ---- who listens ---- */

static __always_inline struct shunt_bound bound_to(const struct sock_common *sk, __u8 proto)
{
	return (struct shunt_bound){ .addr = bound_addr(sk), .port = bpf_htons(sk->skc_num), .proto = proto };
}

/* Sockets that are opened one after the other have cookies one after the other. */
static __always_inline __u8 place_of(struct sock_common *sk)
{
	return cookie_of(sk) % SHUNT_BOUND_PLACES;
}

/* A server's socket goes into the map. One that is bound to a device, too, does not take what comes by others. */
static __always_inline void take(struct seq_file *seq, struct sock_common *sk, __u8 proto)
{
	struct shunt_bound bound = bound_to(sk, proto);
	struct shunt_unusable u = { .bound = bound };

	if (sk->skc_bound_dev_if || !bpf_map_lookup_elem(&wanted, &bound))
		return;
	bound.place = place_of(sk);
	u.error = bpf_map_update_elem(&local_sockets, &bound, sk, BPF_ANY);
	if (u.error)
		bpf_seq_write(seq, &u, sizeof(u));
}

/* Listening sockets come first: whoever reads this may stop when that is over. */
SEC("iter/tcp")
int shunt_tcp(struct bpf_iter__tcp *ctx)
{
	const struct shunt_unusable end = {};
	struct sock_common *sk = ctx->sk_common;

	if (!sk)
		return 0;
	if (sk->skc_state == BPF_TCP_LISTEN)
		take(ctx->meta->seq, sk, IPPROTO_TCP);
	else
		bpf_seq_write(ctx->meta->seq, &end, sizeof(end));
	return 0;
}

/* Those that are connected have the state of an established connection. */
SEC("iter/udp")
int shunt_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *udp = ctx->udp_sk;

	if (udp && udp->inet.sk.__sk_common.skc_state == BPF_TCP_CLOSE)
		take(ctx->meta->seq, &udp->inet.sk.__sk_common, IPPROTO_UDP);
	return 0;
}

/* Before it listens, and after it did. A connection is a copy of its listening socket, and leaves that state, too. */
SEC("tp_btf/inet_sock_set_state")
int shunt_listening(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int from = ctx[1], to = ctx[2];
	struct shunt_bound bound;

	if (to != BPF_TCP_LISTEN && (from != BPF_TCP_LISTEN || to != BPF_TCP_CLOSE))
		return 0;
	bound = bound_to(&sk->__sk_common, IPPROTO_TCP);
	if (bpf_map_lookup_elem(&wanted, &bound))
		bpf_ringbuf_output(&listening, &bound, sizeof(bound), 0);
	return 0;
}
