/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The address and port that a local process named in a system call, and putting others in their place. An IPv4-mapped
 * address in an IPv6 socket's call and the same address in an IPv4 socket's are one.
 */
#ifndef SHUNT_ASKED_BPF_H
#define SHUNT_ASKED_BPF_H

#include "kernel.bpf.h"

/* What the call can take instead: by its socket's family, and by what the kernel lets a program write. */
#define TAKES_IP4 1u
#define TAKES_IP6 2u

struct asked {
	struct shunt_addr addr;
	__be16 port;
	__u8 proto;
	__u32 takes;
};

static __always_inline struct asked asked4(const struct bpf_sock_addr *ctx)
{
	struct asked a = { .port = ctx->user_port, .proto = ctx->protocol, .takes = TAKES_IP4 };

	a.addr.words[2] = MAPPED;
	a.addr.words[3] = ctx->user_ip4;
	return a;
}

static __always_inline struct asked asked6(const struct bpf_sock_addr *ctx, __u32 takes)
{
	struct asked a = { .port = ctx->user_port, .proto = ctx->protocol, .takes = takes };

	a.addr.words[0] = ctx->user_ip6[0];
	a.addr.words[1] = ctx->user_ip6[1];
	a.addr.words[2] = ctx->user_ip6[2];
	a.addr.words[3] = ctx->user_ip6[3];
	return a;
}

/* An IPv6 socket takes both families, but for one that is for IPv6 alone (IPV6_V6ONLY). */
static __always_inline __u32 taken_by(const struct bpf_sock_addr *ctx, const struct asked *a)
{
	const struct sock *sk;

	if (a->takes != (TAKES_IP4 | TAKES_IP6))
		return a->takes;
	sk = a->proto == IPPROTO_TCP ? (void *)bpf_skc_to_tcp6_sock(ctx->sk) : (void *)bpf_skc_to_udp6_sock(ctx->sk);
	return sk && BPF_CORE_READ_BITFIELD(&sk->__sk_common, skc_ipv6only) ? TAKES_IP6 : a->takes;
}

static __always_inline void answer4(struct bpf_sock_addr *ctx, const struct shunt_addr *to, __be16 port)
{
	ctx->user_ip4 = to->words[3];
	ctx->user_port = port;
}

static __always_inline void answer6(struct bpf_sock_addr *ctx, const struct shunt_addr *to, __be16 port)
{
	ctx->user_ip6[0] = to->words[0];
	ctx->user_ip6[1] = to->words[1];
	ctx->user_ip6[2] = to->words[2];
	ctx->user_ip6[3] = to->words[3];
	ctx->user_port = port;
}

/* A backend of a service on every port has none of its own. */
static __always_inline __be16 port_of(const struct shunt_backend *b, const struct asked *a)
{
	return b->port ? b->port : a->port;
}

static __always_inline bool same_addr(const struct shunt_addr *a, const struct shunt_addr *b)
{
	return shunt_addr_half(a, 0) == shunt_addr_half(b, 0) && shunt_addr_half(a, 1) == shunt_addr_half(b, 1);
}

#endif
