/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's own structures, as far as connection.bpf.c and local.bpf.c read them. They are no interface: the loader
 * finds each field in the BTF of the kernel that runs (CO-RE).
 */
#ifndef SHUNT_KERNEL_BPF_H
#define SHUNT_KERNEL_BPF_H

#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_t refs;
} refcount_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_ipv6only : 1;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	refcount_t skc_refcnt;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	int sk_err;
};

struct inet_sock {
	struct sock sk;
};

struct udp_sock {
	struct inet_sock inet;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_map;

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
};

#pragma clang attribute pop

#define AF_INET 2
#define AF_INET6 10

static __always_inline struct shunt_addr mapped(__be32 ip4)
{
	return (struct shunt_addr){ .words = { 0, 0, MAPPED, ip4 } };
}

static __always_inline struct shunt_addr from6(const struct in6_addr *a)
{
	return (struct shunt_addr){ .words = { a->in6_u.u6_addr32[0], a->in6_u.u6_addr32[1], a->in6_u.u6_addr32[2],
					       a->in6_u.u6_addr32[3] } };
}

/* What the socket is bound to. */
static __always_inline struct shunt_addr bound_addr(const struct sock_common *sk)
{
	return sk->skc_family == AF_INET6 ? from6(&sk->skc_v6_rcv_saddr) : mapped(sk->skc_rcv_saddr);
}

static __always_inline __u64 cookie_of(struct sock_common *sk)
{
	if (feature(SHUNT_FEATURE_TRACED_COOKIE))
		return bpf_get_socket_cookie(sk);
	return sk->skc_cookie.counter; /* 0: none was asked for yet */
}

#endif
