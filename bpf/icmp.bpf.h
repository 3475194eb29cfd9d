/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the edge says itself: echo replies for the services' addresses, and ICMP errors to a sender whose packet cannot
 * go on (time exceeded, too big), as many of them as the rate allows.
 */
#ifndef SHUNT_ICMP_BPF_H
#define SHUNT_ICMP_BPF_H

#define ICMP_TTL 64

/* An ICMP error to be sent: type, code and the second word of the ICMP header. */
struct icmp_error {
	__u8 type;
	__u8 code;
	__be32 info;
};

static __always_inline struct icmp_error time_exceeded(bool v6)
{
	return (struct icmp_error){ .type = v6 ? 3 : 11 };
}

static __always_inline struct icmp_error too_big(bool v6, __u32 mtu)
{
	/* IPv4: unreachable, fragmentation needed, the MTU in the lower half */
	return (struct icmp_error){ .type = v6 ? 2 : 3, .code = v6 ? 0 : 4, .info = bpf_htonl(mtu) };
}

/* May anything be sent there in answer? */
static __always_inline bool is_unicast(const struct shunt_addr *a)
{
	if (addr_is4(a)) /* neither 0.0.0.0 nor multicast, reserved, broadcast (224.0.0.0/3) */
		return a->words[3] && (a->words[3] & bpf_htonl(0xe0000000)) != bpf_htonl(0xe0000000);
	return (a->words[0] | a->words[1] | a->words[2] | a->words[3]) &&
	       (a->words[0] & bpf_htonl(0xff000000)) != bpf_htonl(0xff000000);
}

/* ---- echo ---- */

/*
 * +0x0800 with end-around carry is what RFC 1624 says for a type that goes from 8 to 0, and gives 0xffff where that
 * would give 0, which is wrong for a reply of nothing but zeroes.
 */
static __always_inline void echo4(struct iphdr *ip, struct icmphdr *icmp)
{
	__be32 addr = ip->saddr;

	ip->saddr = ip->daddr;
	ip->daddr = addr;
	ip->check = sum_replace(ip->check, *(word16 *)&ip->ttl, bpf_htons(ICMP_TTL << 8 | IPPROTO_ICMP));
	ip->ttl = ICMP_TTL;
	icmp->type = 0;
	icmp->checksum = sum_fold((__u64)icmp->checksum + bpf_htons(0x0800));
}

static __always_inline void echo6(struct ipv6hdr *ip6, struct icmphdr *icmp)
{
	struct in6_addr addr = ip6->saddr;

	ip6->saddr = ip6->daddr;
	ip6->daddr = addr;
	ip6->hop_limit = ICMP_TTL;
	icmp->type = 129;
	icmp->checksum = sum_replace(icmp->checksum, bpf_htons(0x8000), bpf_htons(0x8100));
}

/* Makes an echo request its reply, in place. False: its sender is nobody's address. */
static __always_inline bool echo_reply(struct xdp_md *ctx, const struct packet *p)
{
	void *end = packet_end(ctx), *frame = packet_start(ctx);
	struct icmphdr *icmp = p->transport;
	struct shunt_addr from;

	if (!read_source(p, end, &from) || !is_unicast(&from))
		return false;
	/* it was parsed, so all of this is there */
	if (frame + sizeof(struct ethhdr) > end || p->ip + (p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) > end ||
	    (void *)(icmp + 1) > end)
		return false;
	swap_macs(frame);
	if (p->v6)
		echo6(p->ip, icmp);
	else
		echo4(p->ip, icmp);
	return true;
}

/* ---- errors ---- */

/*
 * Sum of the bytes from offset to the packet's end, folded. A function of its own, because it is verified once, and
 * not once for each way to it.
 */
__noinline __u32 sum_from(struct xdp_md *ctx, __u32 offset)
{
	void *data = packet_start(ctx), *end = packet_end(ctx), *at;
	__u64 sum = 0;

	if (offset > REACH)
		return 0;
	at = data + offset;
	for (int i = 0; i < 1280 / 4; i++, at += 4) {
		if (at + 4 > end)
			break;
		sum += *(word32 *)at;
	}
	if (at + 2 <= end) {
		sum += *(word16 *)at;
		at += 2;
	}
	if (at + 1 <= end)
		sum += bpf_htons(*(__u8 *)at << 8);
	return sum_fold(sum);
}

/* Bytes of an IP and an ICMP header. */
static __always_inline __u32 error_headers(bool v6)
{
	asm volatile("" : "+r"(v6)); /* worked out anew each time: kernel 5.10 has forgotten the last time's bounds */
	return v6 ? sizeof(struct ipv6hdr) + ICMP_HEADER : sizeof(struct iphdr) + ICMP_HEADER;
}

/* Bytes of the packet that are quoted: what is there, so that the error has 576 bytes (IPv6: 1280) at most. */
static __always_inline __u32 quote_length(const struct packet *p, void *end)
{
	__u32 quote = end - p->ip, most = (p->v6 ? 1280 : 576) - error_headers(p->v6);

	if (quote > p->length)
		quote = p->length;
	return quote < most ? quote : most;
}

static __always_inline void put_error4(struct xdp_md *ctx, void *at, __u32 offset, const struct icmp_error *e,
				       __u32 quote)
{
	const struct iphdr *quoted = at + sizeof(struct iphdr) + ICMP_HEADER;
	struct iphdr *ip = at;
	struct icmphdr *icmp = (void *)(ip + 1);
	word32 *w = at;

	w[0] = bpf_htonl(0x45c00000 | (__u32)(sizeof(*ip) + ICMP_HEADER + quote));
	w[1] = bpf_htonl(IP_DF);
	w[2] = bpf_htonl(ICMP_TTL << 24 | IPPROTO_ICMP << 16);
	w[3] = quoted->daddr;
	w[4] = quoted->saddr;
	ip->check = ~sum_fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]);
	w[5] = bpf_htonl(e->type << 24 | e->code << 16);
	w[6] = e->info;
	icmp->checksum = ~sum_from(ctx, offset + sizeof(*ip));
}

static __always_inline void put_error6(struct xdp_md *ctx, void *at, __u32 offset, const struct icmp_error *e,
				       __u32 quote)
{
	const struct ipv6hdr *quoted = at + sizeof(struct ipv6hdr) + ICMP_HEADER;
	struct ipv6hdr *ip6 = at;
	struct icmphdr *icmp = (void *)(ip6 + 1);
	word32 *w = at;
	__u64 pseudo = bpf_htonl(ICMP_HEADER + quote) + (__u64)bpf_htonl(IPPROTO_ICMPV6);

	w[0] = bpf_htonl(6u << 28);
	ip6->payload_len = bpf_htons(ICMP_HEADER + quote);
	ip6->nexthdr = IPPROTO_ICMPV6;
	ip6->hop_limit = ICMP_TTL;
	ip6->saddr = quoted->daddr;
	ip6->daddr = quoted->saddr;
	w[10] = bpf_htonl(e->type << 24 | e->code << 16);
	w[11] = e->info;
#pragma unroll
	for (int i = 2; i < 10; i++)
		pseudo += w[i];
	icmp->checksum = ~sum_fold(pseudo + sum_from(ctx, offset + sizeof(*ip6)));
}

/*
 * Makes the packet an ICMP error to its sender: cut off behind what is quoted, moved behind the new headers, and the
 * Ethernet header with its tags moved to the front. False: the driver left no room.
 */
static __always_inline bool error_reply(struct xdp_md *ctx, const struct packet *p, const struct icmp_error *e)
{
	__u32 quote = quote_length(p, packet_end(ctx)), link = p->link;
	int cut = frame_length(ctx) - link - quote;
	void *frame, *end, *at;
	word64 *to, *from;

	if ((cut && bpf_xdp_adjust_tail(ctx, -cut)) || bpf_xdp_adjust_head(ctx, -(int)error_headers(p->v6)))
		return false;
	frame = packet_start(ctx);
	end = packet_end(ctx);
	to = frame;
	from = frame + error_headers(p->v6);
	if ((void *)(from + 3) > end)
		return false;
	for (int i = 0; i < 3; i++) /* 24 bytes: all of the link header; what follows it is written anew */
		to[i] = from[i];
	swap_macs(frame);
	asm volatile("" : "+r"(link));
	if (link > sizeof(struct ethhdr) + 2 * TAG_LEN)
		return false;
	at = frame + link;
	if (!p->v6 && at + sizeof(struct iphdr) + ICMP_HEADER + sizeof(struct iphdr) <= end)
		put_error4(ctx, at, link, e, quote);
	else if (p->v6 && at + sizeof(struct ipv6hdr) + ICMP_HEADER + sizeof(struct ipv6hdr) <= end)
		put_error6(ctx, at, link, e, quote);
	else
		return false;
	return true;
}

#endif
