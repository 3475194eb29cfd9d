/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to its IP header, and from an IP header to the transport header: VLAN tags, IPv4 options, IPv6 extension
 * headers, fragments, and whether the lengths hold together. Nothing is changed, nothing is counted.
 */
#ifndef SHUNT_PARSE_BPF_H
#define SHUNT_PARSE_BPF_H

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define TAG_LEN 4 /* bytes of a VLAN tag */

#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_AUTH 51
#define NEXTHDR_DEST 60
#define MAX_EXTENSIONS 8

enum fragment { WHOLE, FIRST_FRAGMENT, LATER_FRAGMENT };

struct packet {
	void *ip; /* its IP header */
	void *transport; /* what comes after it and its extension headers */
	__u32 link; /* bytes of Ethernet header and VLAN tags */
	__u32 header; /* bytes from ip to transport */
	__u32 length; /* bytes of the IP packet, as its header says */
	bool v6;
	__u8 proto; /* of transport */
	__u8 tos; /* or traffic class */
	__u8 ttl; /* or hop limit */
	enum fragment fragment;
};

static __always_inline bool is_vlan(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* Moves *at behind a VLAN tag, if there is one; *type: what follows. False: it is cut short. */
static __always_inline bool skip_tag(void **at, void *end, __be16 *type)
{
	struct vlan_hdr *tag = *at;

	if (!is_vlan(*type))
		return true;
	if ((void *)(tag + 1) > end)
		return false;
	*at = tag + 1;
	*type = tag->h_vlan_encapsulated_proto;
	return true;
}

/* Sets link, ip and v6. False: not IP behind at most two VLAN tags. */
static __always_inline bool parse_link(struct xdp_md *ctx, struct packet *p)
{
	void *data = packet_start(ctx), *end = packet_end(ctx);
	struct ethhdr *eth = data;
	void *at = eth + 1;
	__be16 type;

	if (at > end)
		return false;
	type = eth->h_proto;
	if (unlikely(type != bpf_htons(ETH_P_IP)) && (!skip_tag(&at, end, &type) || !skip_tag(&at, end, &type)))
		return false;
	p->ip = at;
	p->link = at - data;
	p->v6 = type != bpf_htons(ETH_P_IP);
	return !p->v6 || type == bpf_htons(ETH_P_IPV6);
}

/* Bytes of the frame from p->ip on, those beyond the first buffer included. */
static __always_inline __u32 frame_rest(struct xdp_md *ctx, const struct packet *p, void *end)
{
	if (feature(SHUNT_FEATURE_FRAGS))
		return bpf_xdp_get_buff_len(ctx) - p->link;
	return end - p->ip;
}

static __always_inline struct shunt_addr addr_from4(__be32 v4)
{
	return (struct shunt_addr){ { 0, 0, bpf_htonl(0xffff), v4 } };
}

static __always_inline struct shunt_addr addr_from6(const struct in6_addr *v6)
{
	const word64 *half = (const void *)v6;
	__u64 halves[2] = { half[0], half[1] };
	struct shunt_addr a;

	__builtin_memcpy(&a, halves, sizeof(a));
	return a;
}

static __always_inline bool addr_is4(const struct shunt_addr *a)
{
	return a->words[2] == bpf_htonl(0xffff) && !(a->words[0] | a->words[1]);
}

/* False: the fixed part of the IP header is not there. */
static __always_inline bool read_destination(const struct packet *p, void *end, struct shunt_addr *out)
{
	struct iphdr *ip = p->ip;
	struct ipv6hdr *ip6 = p->ip;

	if (likely(!p->v6)) {
		if ((void *)(ip + 1) > end)
			return false;
		*out = addr_from4(ip->daddr);
		return true;
	}
	if ((void *)(ip6 + 1) > end)
		return false;
	*out = addr_from6(&ip6->daddr);
	return true;
}

static __always_inline bool read_source(const struct packet *p, void *end, struct shunt_addr *out)
{
	struct iphdr *ip = p->ip;
	struct ipv6hdr *ip6 = p->ip;

	if (likely(!p->v6)) {
		if ((void *)(ip + 1) > end)
			return false;
		*out = addr_from4(ip->saddr);
		return true;
	}
	if ((void *)(ip6 + 1) > end)
		return false;
	*out = addr_from6(&ip6->saddr);
	return true;
}

static __always_inline enum fragment fragment4(__be16 frag_off)
{
	if (likely(!(frag_off & bpf_htons(0x3fff))))
		return WHOLE;
	return frag_off & bpf_htons(0x1fff) ? LATER_FRAGMENT : FIRST_FRAGMENT;
}

/* A fragment header with neither offset nor more to come is an atomic fragment: a whole packet. */
static __always_inline enum fragment fragment6(__be16 frag_off)
{
	if (frag_off & bpf_htons(0xfff8))
		return LATER_FRAGMENT;
	return frag_off & bpf_htons(1) ? FIRST_FRAGMENT : WHOLE;
}

static __always_inline bool is_extension(__u8 proto)
{
	return proto == NEXTHDR_HOP || proto == NEXTHDR_ROUTING || proto == NEXTHDR_DEST || proto == NEXTHDR_AUTH ||
	       proto == NEXTHDR_FRAGMENT;
}

/*
 * Moves p->transport and p->proto over extension headers; stops at what is none, after a later fragment's header, and
 * after MAX_EXTENSIONS. False: one is cut short.
 */
static __always_inline bool skip_extensions(struct packet *p, void *end)
{
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		struct ipv6_opt_hdr *option = p->transport;
		struct frag_hdr *fragment = p->transport;
		__u8 proto = p->proto;

		if (likely(!is_extension(proto)) || p->fragment == LATER_FRAGMENT)
			return true;
		if ((void *)(fragment + 1) > end) /* 8 bytes, as the shortest of each kind */
			return false;
		p->proto = option->nexthdr;
		if (proto == NEXTHDR_FRAGMENT) {
			p->fragment = fragment6(fragment->frag_off);
			p->transport += sizeof(*fragment);
		} else if (proto == NEXTHDR_AUTH) {
			p->transport += (option->hdrlen + 2) * 4;
		} else {
			p->transport += (option->hdrlen + 1) * 8;
		}
		if (!forget(p->ip, &p->transport))
			return false;
	}
	return true;
}

/* room: bytes of the frame from p->ip on */
static __always_inline bool parse_ip4(struct packet *p, void *end, __u32 room)
{
	struct iphdr *ip = p->ip;

	if ((void *)(ip + 1) > end)
		return false;
	p->header = ip->ihl * 4;
	p->length = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || p->header < sizeof(*ip) || p->length < p->header || p->length > room)
		return false;
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	p->proto = ip->protocol;
	p->fragment = fragment4(ip->frag_off);
	p->transport = p->ip + p->header;
	return true;
}

static __always_inline bool parse_ip6(struct packet *p, void *end, __u32 room)
{
	struct ipv6hdr *ip6 = p->ip;

	if ((void *)(ip6 + 1) > end)
		return false;
	p->length = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
	if (ip6->version != 6 || p->length > room)
		return false;
	p->tos = bpf_ntohs(*(word16 *)ip6) >> 4;
	p->ttl = ip6->hop_limit;
	p->proto = ip6->nexthdr;
	p->fragment = WHOLE;
	p->transport = ip6 + 1;
	if (!skip_extensions(p, end))
		return false;
	p->header = p->transport - p->ip;
	return p->header <= p->length;
}

/* The IP header at p->ip, of the family p->v6. False: malformed. */
static __always_inline bool parse_ip(struct packet *p, void *end, __u32 room)
{
	return likely(!p->v6) ? parse_ip4(p, end, room) : parse_ip6(p, end, room);
}

#endif
