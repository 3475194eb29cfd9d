// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What became of the connections that socket.bpf.c gave a backend: those that break while their socket is open are
 * counted out, and the sockets that are connected, or those that must end, are written out, of every network namespace.
 *
 * It ends nothing itself (the daemon does, socket by socket), and decides nothing about new connections.
 */
#include "vmlinux.h"
#include "abi.h"
#include "base.bpf.h"
#include "maps.bpf.h"
#include "asked.bpf.h"
#include "kernel.bpf.h"
#include "peer.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* ---- counting ---- */

#define EPIPE 32
#define ECONNABORTED 103
#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111

/* Is it over with the connection? Kernels before 6.10 report an error first and change the state after. */
static __always_inline bool is_broken(const struct sock *sk)
{
	int err = sk->sk_err;

	if (sk->sk_protocol == IPPROTO_UDP)
		return err == ECONNABORTED; /* ended; any other is about a datagram */
	if (sk->__sk_common.skc_state == BPF_TCP_CLOSE)
		return true;
	if (err == ECONNREFUSED) /* once it is established, an ICMP error that a socket with IP_RECVERR is told of */
		return sk->__sk_common.skc_state == BPF_TCP_SYN_SENT;
	return err == ECONNRESET || err == ETIMEDOUT || err == ECONNABORTED || err == EPIPE;
}

/* A socket has an error to tell: seldom, so that connections that go well pay nothing. The socket's lock is held. */
SEC("tp_btf/inet_sk_error_report")
int shunt_errors(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	__u64 cookie = sk->__sk_common.skc_cookie.counter; /* every socket that is noted has one */
	struct shunt_peer *p;

	if (!cookie || !is_broken(sk))
		return 0;
	p = bpf_map_lookup_elem(&peers, &cookie);
	if (p)
		peer_forget(cookie, p);
	return 0;
}

/* ---- listing ---- */

/* Who has the connection, and whether it may go on. */
static __always_inline void read_member(struct shunt_connection *c, const struct shunt_peer *p)
{
	struct shunt_connections *account = peer_account(p);
	__u32 member = account ? READ_ONCE(account->member) : SHUNT_UNSET;
	struct shunt_member *m = bpf_map_lookup_elem(&members, &member);

	c->member = m ? member : SHUNT_UNSET;
	c->backend = m ? READ_ONCE(m->backend) & ~SHUNT_MEMBER_SHUT : SHUNT_UNSET;
	c->flags = peer_lives(p) ? 0 : SHUNT_CONNECTION_ENDS;
}

/*
 * The socket as it is now. It may be closed while it is read, and its memory be another's: what is read means something
 * only if the cookie there is still the same afterwards, too.
 */
static __always_inline bool read_socket(struct shunt_connection *c, const struct shunt_peer *p, __u64 cookie)
{
	struct sock *sk = (void *)p->sk;
	struct shunt_addr peer;
	bool v6;

	c->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	v6 = c->family == AF_INET6;
	if (v6) {
		BPF_CORE_READ_INTO(&peer, sk, __sk_common.skc_v6_daddr);
		BPF_CORE_READ_INTO(&c->local, sk, __sk_common.skc_v6_rcv_saddr);
	} else {
		peer = mapped(BPF_CORE_READ(sk, __sk_common.skc_daddr));
		c->local = mapped(BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	}
	c->local_port = bpf_htons(BPF_CORE_READ(sk, __sk_common.skc_num));
	c->proto = BPF_CORE_READ(sk, sk_protocol);
	c->ifindex = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
	c->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	c->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	return same_addr(&peer, &p->given) && BPF_CORE_READ(sk, __sk_common.skc_dport) == p->given_port &&
	       c->state != BPF_TCP_CLOSE && BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) == (__s64)cookie;
}

/*
 * Is the socket gone without a word? The kernel does not say when sockets of its own (of NFS, for one) are closed.
 * Their memory is another socket's by now, or nobody's.
 */
static __always_inline bool is_gone(const struct shunt_peer *p, __u64 cookie)
{
	struct sock *sk = (void *)p->sk;

	return !BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter) ||
	       BPF_CORE_READ(sk, __sk_common.skc_cookie.counter) != (__s64)cookie;
}

static __always_inline int list(struct bpf_iter__bpf_map_elem *ctx, bool only_ending)
{
	struct shunt_connection c = {};
	struct shunt_peer *p = ctx->value;
	__u64 *cookie = ctx->key;

	if (!p || !cookie || !(p->flags & SHUNT_PEER_SET))
		return 0;
	if (is_gone(p, *cookie)) {
		peer_forget(*cookie, p);
		return 0;
	}
	read_member(&c, p);
	if ((only_ending && !(c.flags & SHUNT_CONNECTION_ENDS)) || !read_socket(&c, p, *cookie))
		return 0;
	c.cookie = *cookie;
	c.asked = p->asked;
	c.given = p->given;
	c.asked_port = p->asked_port;
	c.given_port = p->given_port;
	bpf_seq_write(ctx->meta->seq, &c, sizeof(c));
	return 0;
}

SEC("iter/bpf_map_elem")
int shunt_list(struct bpf_iter__bpf_map_elem *ctx)
{
	return list(ctx, false);
}

SEC("iter/bpf_map_elem")
int shunt_ending(struct bpf_iter__bpf_map_elem *ctx)
{
	return list(ctx, true);
}
