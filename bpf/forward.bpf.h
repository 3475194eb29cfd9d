/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * To the backend: the packet as it came but for its TTL, behind an outer IP header (and, with `forward: gue`, what gue.bpf.h
 * puts) and an Ethernet header to the backend's next hop. The flow's hash is spread over the outer source address (and flow
 * label), so that a backend's network card spreads tunnel packets over its queues.
 */
#ifndef SHUNT_FORWARD_BPF_H
#define SHUNT_FORWARD_BPF_H

#define OUTER_TTL 64
#define IP_DF 0x4000

/* Like ip_decrease_ttl of the kernel: the checksum of IPv4 gains what the TTL loses. */
static __always_inline void decrease_ttl(const struct packet *p)
{
	struct iphdr *ip = p->ip;
	struct ipv6hdr *ip6 = p->ip;
	__u32 check;

	if (p->v6) {
		ip6->hop_limit = p->ttl - 1;
		return;
	}
	check = ip->check + bpf_htons(0x0100);
	ip->check = check + (check >= 0xffff);
	ip->ttl = p->ttl - 1;
}

/* The frame goes back to who sent it. */
static __always_inline void swap_macs(void *frame)
{
	word16 *w = frame;

	for (int i = 0; i < 3; i++) {
		__u16 mac = w[i];

		w[i] = w[i + 3];
		w[i + 3] = mac;
	}
}

/* Addresses of the next hop; each word is read once, with what lies beside it (abi.h), and so written. */
static __always_inline void put_macs(void *frame, const struct shunt_backend *b)
{
	*(word64 *)frame = READ_ONCE(*(const word64 *)b->dmac);
	*(word64 *)(frame + 6) = READ_ONCE(*(const word64 *)b->smac);
}

/* Returns the place behind the Ethernet header. */
static __always_inline void *put_ethernet(void *frame, const struct shunt_backend *b, __be16 vlan, __be16 type)
{
	put_macs(frame, b);
	if (likely(!vlan)) {
		*(word16 *)(frame + 12) = type;
		return frame + 14;
	}
	*(word16 *)(frame + 12) = bpf_htons(ETH_P_8021Q);
	*(word16 *)(frame + 14) = vlan;
	*(word16 *)(frame + 16) = type;
	return frame + 18;
}

/* What stands between the outer IP header and the packet: so many bytes, 0 for ipip. */
static __always_inline __u8 outer_proto(const struct packet *p, __u32 between)
{
	return between ? IPPROTO_UDP : p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

static __always_inline void put_outer4(void *at, const struct packet *p, const struct shunt_backend *b, __be32 entropy,
				       __u32 between)
{
	__u32 total = p->length + sizeof(struct iphdr) + between;
	word32 *w = at;

	__be32 lengths = bpf_htonl(0x45000000 | p->tos << 16 | total);
	__be32 fragment = bpf_htonl(IP_DF);
	__be32 proto = bpf_htonl(OUTER_TTL << 24 | outer_proto(p, between) << 16);
	__be32 source = settings.source4.addr.words[3] | (entropy & ~settings.source4.mask.words[3]);
	__be32 dest = b->address.words[3];

	w[0] = lengths;
	w[1] = fragment;
	w[2] = proto;
	w[3] = source;
	w[4] = dest;
	((struct iphdr *)at)->check = ~sum_fold((__u64)lengths + fragment + proto + source + dest);
}

static __always_inline void put_outer6(void *at, const struct packet *p, const struct shunt_backend *b, __be32 entropy,
				       __u32 between)
{
	struct ipv6hdr *ip6 = at;
	word32 *w = at;

	w[0] = bpf_htonl(6u << 28 | p->tos << 20 | (entropy & 0xfffff));
	ip6->payload_len = bpf_htons(p->length + between);
	ip6->nexthdr = outer_proto(p, between);
	ip6->hop_limit = OUTER_TTL;
	w[2] = settings.source6.addr.words[0];
	w[3] = settings.source6.addr.words[1];
	w[4] = settings.source6.addr.words[2];
	w[5] = settings.source6.addr.words[3] | (entropy & ~settings.source6.mask.words[3]);
	w[6] = b->address.words[0];
	w[7] = b->address.words[1];
	w[8] = b->address.words[2];
	w[9] = b->address.words[3];
}

/*
 * Returns the place behind the outer IP header, where `between` bytes are left for the caller. NULL: the driver left no room
 * for the headers. Pointers into the packet are no longer valid after it.
 */
static __always_inline void *encapsulate(struct xdp_md *ctx, const struct packet *p, const struct shunt_backend *b,
					 bool outer6, __u32 entropy, __u32 between)
{
	__u32 outer_length = outer6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__be16 vlan = READ_ONCE(b->vlan);
	__u32 link = sizeof(struct ethhdr) + (vlan ? TAG_LEN : 0);
	void *frame, *outer;

	if (bpf_xdp_adjust_head(ctx, (int)p->link - (int)(link + outer_length + between)))
		return NULL;
	frame = packet_start(ctx);
	/* no inner packet is so short that this much is not there */
	if (frame + sizeof(struct ethhdr) + TAG_LEN + sizeof(struct ipv6hdr) > packet_end(ctx))
		return NULL;
	outer = put_ethernet(frame, b, vlan, outer6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP));
	if (likely(!outer6))
		put_outer4(outer, p, b, entropy, between);
	else
		put_outer6(outer, p, b, entropy, between);
	return outer + outer_length;
}

static __always_inline int send(struct xdp_md *ctx, const struct shunt_backend *b)
{
	__u32 ifindex = READ_ONCE(b->ifindex);

	return ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(ifindex, 0);
}

#endif
