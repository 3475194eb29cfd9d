/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which flow a packet belongs to: its own, or, if it is an ICMP error, that of the packet which the error quotes.
 * And whose it is.
 */
#ifndef SHUNT_FLOW_BPF_H
#define SHUNT_FLOW_BPF_H

#define IPPROTO_ICMPV6 58
#define ICMP_HEADER 8 /* bytes, of both families */
#define PORTS 4 /* bytes: source and destination port, at the head of TCP and UDP */

enum kind {
	/* with these, the flow is filled in */
	KIND_FLOW, /* TCP or UDP */
	KIND_ICMP_ERROR, /* the flow is that of the embedded packet */
	KIND_FIRST_FRAGMENT,
	KIND_SHORT, /* the transport header is cut short behind its ports */
	/* with these, only its service's address */
	KIND_ECHO, /* echo request */
	KIND_FRAGMENT,
	KIND_MALFORMED,
	KIND_OTHER,
};

static __always_inline bool has_flow(enum kind kind)
{
	return kind <= KIND_SHORT;
}

struct flow {
	struct shunt_addr service, client;
	__u64 service_hash; /* shunt_addr_hash of service */
	__u64 listener_hash; /* shunt_listener_hash of service and key */
	__u32 key; /* shunt_listener_key: the service's port, and the protocol */
	__be16 client_port;
	__u8 proto;
};

static __always_inline void set_ports(struct flow *f, __u8 proto, __be16 service, __be16 client)
{
	f->proto = proto;
	f->key = shunt_listener_key(service, proto);
	f->client_port = client;
}

static __always_inline __u64 flow_hash(const struct flow *f)
{
	return shunt_flow_hash(settings.seed, f->listener_hash, &f->client, f->client_port);
}

/* What the slot is chosen by. hash: of the flow */
static __always_inline __u64 slot_hash(const struct shunt_service *s, const struct flow *f, __u64 hash)
{
	if (feature(SHUNT_FEATURE_AFFINITY) && READ_ONCE(s->flags) & SHUNT_SERVICE_CLIENT)
		return shunt_client_hash(settings.seed, hash, &f->client);
	return hash;
}

static __always_inline bool begins_flow(const struct tcphdr *tcp)
{
	return tcp->syn && !tcp->ack;
}

/* ---- services ---- */

/* The flow's service, or NO_SERVICE. Sets its listener_hash. */
static __always_inline __u32 find_service(struct flow *f)
{
	__u32 service, every = shunt_listener_key(0, f->proto);

	f->listener_hash = shunt_listener_hash(f->service_hash, f->key);
	service = find_listener(&f->service, f->key, f->listener_hash);
	if (likely(service != NO_SERVICE) || !feature(SHUNT_FEATURE_ANY_PORT))
		return service;
	return find_listener(&f->service, every, shunt_listener_hash(f->service_hash, every));
}

/* The address mark: a service that has the flow's address, or NO_SERVICE. */
static __always_inline __u32 marked_service(const struct flow *f)
{
	__u32 mark = shunt_listener_key(0, 0);

	return find_listener(&f->service, mark, shunt_listener_hash(f->service_hash, mark));
}

static __always_inline bool is_marked(const struct flow *f)
{
	return marked_service(f) != NO_SERVICE;
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

	if (!parse_embedded(&p, end) || !read_source(&p, end, &f->service) ||
	    !read_destination(&p, end, &f->client))
		return false;
	ports = p.transport;
	if ((void *)(ports + 2) > end || p.transport - p.ip + PORTS > room)
		return false;
	f->service_hash = shunt_addr_hash(&f->service);
	set_ports(f, p.proto, ports[0], ports[1]);
	return true;
}

static __always_inline enum kind classify_icmp(const struct packet *p, void *end, struct flow *f)
{
	struct icmphdr *icmp = p->transport;

	if (p->header + ICMP_HEADER > p->length || (void *)(icmp + 1) > end)
		return KIND_OTHER;
	if (is_echo_request(icmp, p->v6))
		return KIND_ECHO;
	if (!is_icmp_error(icmp, p->v6) || !is_marked(f))
		return KIND_OTHER;
	return embedded_flow(p, end, f) ? KIND_ICMP_ERROR : KIND_OTHER;
}

/* ---- every packet ---- */

static __always_inline enum kind classify_ports(const struct packet *p, void *end, struct flow *f)
{
	__u32 need = p->proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	const word16 *ports = p->transport;

	if (unlikely(p->fragment == LATER_FRAGMENT))
		return KIND_FRAGMENT;
	if (p->header + PORTS > p->length || (void *)(ports + 2) > end || !read_source(p, end, &f->client))
		return p->fragment == WHOLE ? KIND_MALFORMED : KIND_FRAGMENT;
	set_ports(f, p->proto, ports[1], ports[0]);
	if (unlikely(p->fragment == FIRST_FRAGMENT))
		return KIND_FIRST_FRAGMENT;
	return likely(p->header + need <= p->length) ? KIND_FLOW : KIND_SHORT;
}

static __always_inline bool plain_ports(struct packet *p, const struct tcphdr *ports, __u32 room, struct flow *f)
{
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP) /* their headers begin alike */
		return false;
	if (p->length < p->header + sizeof(*ports) || p->length > room)
		return false;
	p->fragment = WHOLE;
	set_ports(f, p->proto, ports->dest, ports->source);
	return true;
}

static __always_inline bool classify_plain4(struct packet *p, void *end, __u32 room, struct flow *f)
{
	struct iphdr *ip = p->ip;
	struct tcphdr *ports = (void *)(ip + 1);

	if ((void *)(ports + 1) > end || *(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
		return false;
	p->header = sizeof(*ip);
	p->transport = ports;
	p->proto = ip->protocol;
	p->length = bpf_ntohs(ip->tot_len);
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	f->client = addr_from4(ip->saddr);
	return plain_ports(p, ports, room, f);
}

static __always_inline bool classify_plain6(struct packet *p, void *end, __u32 room, struct flow *f)
{
	struct ipv6hdr *ip6 = p->ip;
	struct tcphdr *ports = (void *)(ip6 + 1);

	if ((void *)(ports + 1) > end || ip6->version != 6)
		return false;
	p->header = sizeof(*ip6);
	p->transport = ports;
	p->proto = ip6->nexthdr;
	p->length = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
	p->tos = bpf_ntohs(*(word16 *)ip6) >> 4;
	p->ttl = ip6->hop_limit;
	f->client = addr_from6(&ip6->saddr);
	return plain_ports(p, ports, room, f);
}

/*
 * What nearly every packet is: whole, TCP or UDP, and without IPv4 options or IPv6 extension headers. Fills p and f, at a
 * fraction of the cost of the close look; false: take that.
 */
static __always_inline bool classify_plain(struct packet *p, void *end, __u32 room, struct flow *f)
{
	return likely(!p->v6) ? classify_plain4(p, end, room, f) : classify_plain6(p, end, room, f);
}

/* f->service and its hash are the packet's destination's already; room: bytes of the frame from p->ip on. Fills p, f. */
static __always_inline enum kind classify(struct packet *p, void *end, __u32 room, struct flow *f)
{
	if (!parse_ip(p, end, room))
		return KIND_MALFORMED;
	if (likely(p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP))
		return classify_ports(p, end, f);
	if (p->proto != (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return KIND_OTHER;
	return p->fragment == WHOLE ? classify_icmp(p, end, f) : KIND_FRAGMENT;
}

#endif
