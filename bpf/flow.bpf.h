/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which flow a packet belongs to: its own, or, if it is an ICMP error, that of the packet which the error quotes.
 * And whether the flow, or an address, is a service's.
 */
#ifndef SHUNT_FLOW_BPF_H
#define SHUNT_FLOW_BPF_H

#define IPPROTO_ICMPV6 58
#define ICMP_HEADER 8 /* bytes, of both families */
#define PORTS 4 /* bytes: source and destination port, at the head of TCP and UDP */

enum kind {
	KIND_FLOW, /* TCP or UDP: flow is filled in */
	KIND_ICMP_ERROR, /* flow is that of the embedded packet */
	KIND_ECHO, /* echo request */
	KIND_FIRST_FRAGMENT, /* flow is filled in */
	KIND_FRAGMENT,
	KIND_MALFORMED,
	KIND_OTHER,
};

struct flow {
	struct shunt_listener service; /* key of `listeners` */
	struct shunt_addr client;
	__be16 port; /* the client's */
};

static __always_inline __u64 flow_hash(const struct flow *f)
{
	return shunt_flow_hash(settings.seed, &f->client, &f->service.addr, f->port, f->service.port, f->service.proto);
}

/* ---- services ---- */

/* False: no listener has this address. True promises nothing. */
static __always_inline bool filter_has(const struct shunt_addr *a)
{
	__u32 bit = shunt_filter_bit(a), zero = 0;
	struct shunt_filter *f = bpf_map_lookup_elem(&filter, &zero);

	return f && f->words[bit / 64] >> (bit & 63) & 1;
}

/* The index of the flow's service, or NULL. */
static __always_inline __u32 *find_service(const struct flow *f)
{
	/* a copy, so that the flow itself can stay in registers */
	struct shunt_listener key __attribute__((aligned(8))) = f->service;
	__u32 *service = bpf_map_lookup_elem(&listeners, &key);

	if (likely(service) || !feature(SHUNT_FEATURE_ANY_PORT))
		return service;
	key.port = 0;
	return bpf_map_lookup_elem(&listeners, &key);
}

/* The address mark: whether the address is a service's. */
static __always_inline bool is_marked(const struct shunt_addr *a)
{
	struct shunt_listener key = { .addr = *a };

	return bpf_map_lookup_elem(&listeners, &key);
}

/* ---- ICMP ---- */

static __always_inline bool is_echo_request(const struct icmphdr *icmp, bool v6)
{
	return icmp->type == (v6 ? 128 : 8) && icmp->code == 0;
}

/* v4: unreachable, time exceeded, parameter problem; v6: those and packet too big */
static __always_inline bool is_icmp_error(const struct icmphdr *icmp, bool v6)
{
	if (v6)
		return icmp->type >= 1 && icmp->type <= 4;
	return icmp->type == 3 || icmp->type == 11 || icmp->type == 12;
}

/*
 * The header of an embedded packet: like parse_ip, but the packet may be cut off anywhere, so that its length says
 * nothing. False: not to be read, or a fragment other than the first.
 */
static __always_inline bool parse_embedded(struct packet *p, void *end)
{
	struct iphdr *ip = p->ip;
	struct ipv6hdr *ip6 = p->ip;

	if (!p->v6) {
		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
			return false;
		p->fragment = fragment4(ip->frag_off);
		p->proto = ip->protocol;
		p->transport = p->ip + ip->ihl * 4;
	} else {
		if ((void *)(ip6 + 1) > end || ip6->version != 6)
			return false;
		p->fragment = WHOLE;
		p->proto = ip6->nexthdr;
		p->transport = ip6 + 1;
		if (!skip_extensions(p, end))
			return false;
	}
	return p->fragment != LATER_FRAGMENT && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP);
}

/* The flow of the packet in an ICMP error: it was on its way from the service to the client. */
static __always_inline bool embedded_flow(const struct packet *outer, void *end, struct flow *f)
{
	struct packet p = { .ip = outer->transport + ICMP_HEADER, .v6 = outer->v6 };
	__u32 room = outer->length - outer->header - ICMP_HEADER;
	const word16 *ports;

	if (!parse_embedded(&p, end) || !read_source(&p, end, &f->service.addr) ||
	    !read_destination(&p, end, &f->client))
		return false;
	ports = p.transport;
	if ((void *)(ports + 2) > end || p.transport - p.ip + PORTS > room)
		return false;
	f->service.port = ports[0];
	f->service.proto = p.proto;
	f->port = ports[1];
	return true;
}

static __always_inline enum kind classify_icmp(const struct packet *p, void *end, struct flow *f)
{
	struct icmphdr *icmp = p->transport;

	if (p->header + ICMP_HEADER > p->length || (void *)(icmp + 1) > end)
		return KIND_OTHER;
	if (is_echo_request(icmp, p->v6))
		return KIND_ECHO;
	if (!is_icmp_error(icmp, p->v6) || !is_marked(&f->service.addr))
		return KIND_OTHER;
	return embedded_flow(p, end, f) ? KIND_ICMP_ERROR : KIND_OTHER;
}

/* ---- every packet ---- */

static __always_inline enum kind classify_ports(const struct packet *p, void *end, struct flow *f)
{
	__u32 need = p->proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	const word16 *ports = p->transport;
	bool first = p->fragment == FIRST_FRAGMENT;

	if (unlikely(first))
		need = PORTS;
	if (p->header + need > p->length || (void *)(ports + 2) > end)
		return first ? KIND_FRAGMENT : KIND_MALFORMED;
	if (!read_source(p, end, &f->client))
		return KIND_MALFORMED;
	f->port = ports[0];
	f->service.port = ports[1];
	f->service.proto = p->proto;
	return likely(!first) ? KIND_FLOW : KIND_FIRST_FRAGMENT;
}

/* f->service.addr is the packet's destination already; room: bytes of the frame from p->ip on. Fills p and f. */
static __always_inline enum kind classify(struct packet *p, void *end, __u32 room, struct flow *f)
{
	if (!parse_ip(p, end, room))
		return KIND_MALFORMED;
	if (unlikely(p->fragment == LATER_FRAGMENT))
		return KIND_FRAGMENT;
	if (likely(p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP))
		return classify_ports(p, end, f);
	if (p->fragment != WHOLE)
		return KIND_FRAGMENT;
	if (p->proto == (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return classify_icmp(p, end, f);
	return KIND_OTHER;
}

#endif
