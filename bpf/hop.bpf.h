/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Second chance: a packet of a TCP flow that this host does not know, and that does not begin one, goes on in its tunnel to
 * the next backend that may know it, as the GUE header says (slot.h, abi.h). Each is asked once: the header counts them. Who
 * is asked last keeps the packet, and answers it as TCP does.
 *
 * The way to the others comes from the daemon, in `hops`. Where it is missing the daemon is told, and the packet goes back to
 * who sent it: a router knows the way.
 */
#ifndef SHUNT_HOP_BPF_H
#define SHUNT_HOP_BPF_H

#define CURRENT_NETNS (-1)

/* ---- is the flow known here? ---- */

/* Held until it is released; a listening one if there is no other. NULL: none. */
static __always_inline struct bpf_sock *find_socket(struct xdp_md *ctx, const struct flow *f, bool v6)
{
	struct bpf_sock_tuple t = {};
	__be16 port = f->key; /* its lower half */

	if (v6) {
		__builtin_memcpy(t.ipv6.saddr, &f->client, sizeof(t.ipv6.saddr));
		__builtin_memcpy(t.ipv6.daddr, &f->service, sizeof(t.ipv6.daddr));
		t.ipv6.sport = f->client_port;
		t.ipv6.dport = port;
		return bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv6), CURRENT_NETNS, 0);
	}
	t.ipv4.saddr = f->client.words[3];
	t.ipv4.daddr = f->service.words[3];
	t.ipv4.sport = f->client_port;
	t.ipv4.dport = port;
	return bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv4), CURRENT_NETNS, 0);
}

/* A listener under a flood of SYNs keeps no sockets for those that it answered: it knows them by their cookie. */
static __always_inline bool answers_cookie(struct xdp_md *ctx, const struct packet *p, struct bpf_sock *listener)
{
	__u32 length = p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	void *tcp = p->transport, *end = packet_end(ctx);

	if (p->proto != IPPROTO_TCP || p->ip + sizeof(struct ipv6hdr) > end || tcp + sizeof(struct tcphdr) > end)
		return false;
	return !bpf_tcp_check_syncookie(listener, p->ip, length, tcp, sizeof(struct tcphdr));
}

static __always_inline bool is_known(struct xdp_md *ctx, const struct packet *p, const struct flow *f)
{
	struct bpf_sock *sk = find_socket(ctx, f, p->v6);
	bool known;

	if (!sk)
		return false;
	known = sk->state != BPF_TCP_LISTEN || answers_cookie(ctx, p, sk);
	bpf_sk_release(sk);
	return known;
}

/* A flow's first packet is at home wherever it is sent. */
static __always_inline bool is_first(struct xdp_md *ctx, const struct packet *p)
{
	const struct tcphdr *tcp = p->transport;

	return p->proto == IPPROTO_TCP && (void *)(tcp + 1) <= packet_end(ctx) && begins_flow(tcp);
}

/* ---- who is next? ---- */

/* The address at this place behind the GUE header. False: nobody's. */
static __always_inline bool read_hop(const struct shunt_gue *g, __u32 i, void *end, bool v6, struct shunt_addr *out)
{
	const word32 *w = (const void *)(g + 1);

	w += v6 ? 4 * i : i;
	if ((void *)(w + (v6 ? 4 : 1)) > end)
		return false;
	*out = v6 ? addr_from6((const void *)w) : addr_from4(*w);
	return v6 ? out->words[0] | out->words[1] | out->words[2] | out->words[3] : out->words[3];
}

/*
 * Who is to be asked after this host, counted in the header. False: nobody, because the packet came with no word of others,
 * or of no more, or its way ends here.
 */
static __always_inline bool next_hop(struct xdp_md *ctx, const struct tunnel *t, struct shunt_addr *out)
{
	void *at = t->outer.ip + t->gue, *end = packet_end(ctx);
	struct shunt_gue *g;

	if (t->outer.ttl <= 1 || !forget(t->outer.ip, &at))
		return false;
	g = at;
	if ((void *)(g + 1) > end || g->magic != bpf_htons(SHUNT_GUE_MAGIC))
		return false;
	if (g->n > SHUNT_HOPS || g->words != 1 + g->n * (t->outer.v6 ? 4 : 1))
		return false;
#pragma unroll
	for (__u32 i = 0; i < SHUNT_HOPS; i++) {
		if (i < g->next || i >= g->n || !read_hop(g, i, end, t->outer.v6, out))
			continue;
		g->next = i + 1;
		return true;
	}
	return false;
}

/* ---- there it goes ---- */

static __always_inline bool set_destination(const struct packet *outer, void *end, const struct shunt_addr *to)
{
	struct iphdr *ip = outer->ip;
	struct ipv6hdr *ip6 = outer->ip;

	if (outer->v6) {
		if ((void *)(ip6 + 1) > end)
			return false;
		__builtin_memcpy(&ip6->daddr, to, sizeof(ip6->daddr));
		return true;
	}
	if ((void *)(ip + 1) > end)
		return false;
	ip->check = ~sum_fold((__u64)(__u16)~ip->check + ~ip->daddr + to->words[3]);
	ip->daddr = to->words[3];
	return true;
}

/* Back to who sent it. */
static __always_inline int reflect(struct xdp_md *ctx)
{
	void *frame = packet_start(ctx);

	if (frame + sizeof(struct ethhdr) > packet_end(ctx))
		return XDP_DROP;
	swap_macs(frame);
	return XDP_TX;
}

/* To the next hop on the way to that backend, or back to who sent it. */
static __always_inline int send_to(struct xdp_md *ctx, const struct packet *outer, const struct shunt_addr *to)
{
	struct shunt_backend *hop = bpf_map_lookup_elem(&hops, to);
	__be16 vlan;

	if (!hop) {
		bpf_ringbuf_output(&strangers, (void *)to, sizeof(*to), 0);
		return reflect(ctx);
	}
	vlan = hop->vlan;
	if (bpf_xdp_adjust_head(ctx, (int)outer->link - (int)(sizeof(struct ethhdr) + (vlan ? TAG_LEN : 0))))
		return XDP_DROP;
	if (packet_start(ctx) + sizeof(struct ethhdr) + TAG_LEN > packet_end(ctx))
		return XDP_DROP;
	put_ethernet(packet_start(ctx), hop, vlan, bpf_htons(outer->v6 ? ETH_P_IPV6 : ETH_P_IP));
	return send(ctx, hop);
}

/* Sends the tunnel packet on to the next who may know its flow. Returns what becomes of it. */
static __always_inline int send_on(struct xdp_md *ctx, const struct packet *outer, const struct shunt_addr *to)
{
	if (!set_destination(outer, packet_end(ctx), to))
		return XDP_DROP;
	decrease_ttl(outer);
	return send_to(ctx, outer, to);
}

#endif
