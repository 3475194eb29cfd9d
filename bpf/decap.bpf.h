/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Out of the tunnel, IPIP or GUE: which packet is in it, whether its sender is believed, and how the outer headers are taken
 * off.
 */
#ifndef SHUNT_DECAP_BPF_H
#define SHUNT_DECAP_BPF_H

#define ECN_MASK 3
#define ECN_CE 3

/* A packet in a tunnel. */
struct tunnel {
	struct packet outer; /* header and transport are all that is in front of inner */
	struct packet inner;
	__u32 gue; /* bytes from the outer IP header to the GUE header; 0: there is none */
};

#define GUE_HLEN 0x1f /* of the first byte; the version and the bit for control messages are the rest */

/* UDP and GUE headers count as part of outer's header from here on. False: it is no packet in GUE without flags. */
static __always_inline bool skip_gue(struct tunnel *t, void *end)
{
	struct packet *outer = &t->outer;
	struct udphdr *udp = outer->transport;
	struct shunt_gue *g = (void *)(udp + 1); /* without private data only the first half of it is there */
	__u32 length;

	if ((void *)&g->magic > end || udp->dest != bpf_htons(SHUNT_GUE_PORT) || g->words & ~GUE_HLEN || g->flags)
		return false;
	t->gue = outer->header + sizeof(*udp);
	length = sizeof(*udp) + 4 + g->words * 4;
	outer->header += length;
	outer->transport += length;
	outer->proto = g->proto;
	return outer->header <= outer->length && forget(outer->ip, &outer->transport);
}

/* Finds out what is inside a whole tunnel packet. False: outer is no tunnel packet, or its contents are not IP. */
static __always_inline bool find_inner(struct tunnel *t, void *end)
{
	struct packet *outer = &t->outer, *inner = &t->inner;
	const __u8 *first;

	if (outer->fragment != WHOLE || (outer->proto == IPPROTO_UDP && !skip_gue(t, end)))
		return false;
	if (outer->proto != IPPROTO_IPIP && outer->proto != IPPROTO_IPV6)
		return false;
	first = outer->transport;
	inner->v6 = outer->proto == IPPROTO_IPV6;
	inner->ip = outer->transport;
	return (void *)(first + 1) <= end && *first >> 4 == (inner->v6 ? 6 : 4);
}

static __always_inline bool in_prefix(const struct shunt_addr *a, const volatile struct shunt_prefix *p)
{
	for (int i = 0; i < 4; i++)
		if ((a->words[i] & p->mask.words[i]) != p->addr.words[i])
			return false;
	return true;
}

/* Whether settings.allow has the outer source. */
static __always_inline bool is_allowed(const struct shunt_addr *source)
{
	for (__u32 i = 0; i < SHUNT_ALLOW_MAX && i < settings.n_allow; i++)
		if (in_prefix(source, &settings.allow[i]))
			return true;
	return false;
}

/* RFC 6040: congestion met in the tunnel is told on, to those who understand it. */
static __always_inline bool must_mark(__u8 outer_tos, __u8 inner_tos)
{
	return (outer_tos & ECN_MASK) == ECN_CE && (inner_tos & ECN_MASK) != 0 && (inner_tos & ECN_MASK) != ECN_CE;
}

static __always_inline void mark_ce4(struct iphdr *ip)
{
	__u16 before = *(word16 *)ip;

	ip->tos |= ECN_CE;
	ip->check = sum_replace(ip->check, before, *(word16 *)ip);
}

/* inner was parsed: its header is there */
static __always_inline void copy_ce(const struct packet *outer, const struct packet *inner, void *end)
{
	struct ipv6hdr *ip6 = inner->ip;

	if (likely(!must_mark(outer->tos, inner->tos)) || inner->ip + sizeof(struct iphdr) > end)
		return;
	if (inner->v6)
		ip6->flow_lbl[0] |= ECN_CE << 4; /* the traffic class ends in this byte */
	else
		mark_ce4(inner->ip);
}

/* The bytes of an Ethernet header with up to two VLAN tags. */
struct link_header {
	__u64 macs;
	__u32 mac_end;
	__u32 tags[2];
};

static __always_inline bool read_link(struct xdp_md *ctx, struct link_header *l)
{
	const word32 *w = packet_start(ctx);

	if ((void *)(w + 5) > packet_end(ctx))
		return false;
	l->macs = *(const word64 *)w;
	l->mac_end = w[2];
	l->tags[0] = w[3];
	l->tags[1] = w[4];
	return true;
}

static __always_inline bool write_link(struct xdp_md *ctx, const struct link_header *l, __u32 link, bool v6)
{
	word32 *w = packet_start(ctx);
	void *end = packet_end(ctx), *type = w + 3;

	if ((void *)(w + 5) + sizeof(__be16) > end)
		return false;
	*(word64 *)w = l->macs;
	w[2] = l->mac_end;
	if (link > sizeof(struct ethhdr)) {
		w[3] = l->tags[0];
		type += sizeof(*w);
	}
	if (link > sizeof(struct ethhdr) + TAG_LEN) {
		w[4] = l->tags[1];
		type += sizeof(*w);
	}
	*(word16 *)type = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	return true;
}

/* Takes the outer headers off: the Ethernet header and its tags move up to the inner packet. */
static __always_inline bool decapsulate(struct xdp_md *ctx, const struct packet *outer, const struct packet *inner)
{
	struct link_header l;

	if (!read_link(ctx, &l))
		return false;
	copy_ce(outer, inner, packet_end(ctx));
	return !bpf_xdp_adjust_head(ctx, outer->header) && write_link(ctx, &l, outer->link, inner->v6);
}

#endif
