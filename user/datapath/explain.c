/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs the loaded program on one described packet: the packet is built, the trace is put before it as XDP metadata,
 * and the kernel runs the program as if it had come in on that interface. Nothing is sent and nothing is counted.
 */
#include "datapath/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#define ROOM 256 /* for the headers that the program adds */
#define ALIGN 2 /* so that the headers behind trace and Ethernet are aligned */
#define IP_MAX 65535
#define QUIC_BEHIND_ID 20 /* a QUIC packet has so many bytes at least behind its connection ID */

/* ---- the packet ---- */

static uint32_t add_words(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (; len > 1; len -= 2, p += 2)
		sum += p[0] << 8 | p[1];
	return len ? sum + (p[0] << 8) : sum;
}

/* Internet checksum (RFC 1071), in network order. */
static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

static uint16_t l4_checksum(const struct dp_question *q, const void *l4, size_t len)
{
	uint32_t sum = add_words(0, l4, len);

	/* an IPv4 address in its 16-byte form would add its prefix: take the last four bytes */
	size_t skip = addr_is4(&q->dst.addr) ? 12 : 0;

	sum = add_words(sum, q->src.addr.b + skip, 16 - skip);
	sum = add_words(sum, q->dst.addr.b + skip, 16 - skip);
	return fold(sum + q->proto + len);
}

static void build_tcp(const struct dp_question *q, void *l4, size_t len)
{
	struct tcphdr *tcp = l4;

	tcp->source = htons(q->src.port);
	tcp->dest = htons(q->dst.port);
	tcp->seq = htonl(1);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->syn = q->syn;
	tcp->ack = !q->syn;
	tcp->ack_seq = htonl(!q->syn);
	tcp->window = htons(65535);
	tcp->check = l4_checksum(q, l4, len);
}

static void build_quic(const struct dp_question *q, uint8_t *quic)
{
	if (!q->cid_length)
		return;
	quic[0] = 0x40; /* a short header */
	memcpy(quic + 1, q->cid, q->cid_length);
}

static void build_udp(const struct dp_question *q, void *l4, size_t len)
{
	struct udphdr *udp = l4;

	build_quic(q, l4 + sizeof(*udp));
	udp->source = htons(q->src.port);
	udp->dest = htons(q->dst.port);
	udp->len = htons(len);
	udp->check = l4_checksum(q, l4, len);
	if (!udp->check)
		udp->check = 0xffff; /* zero would say: none */
}

static void build_ip4(const struct dp_question *q, void *l3, size_t len)
{
	struct iphdr *ip = l3;

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tot_len = htons(len);
	ip->frag_off = htons(IP_DF);
	ip->ttl = 64;
	ip->protocol = q->proto;
	memcpy(&ip->saddr, q->src.addr.b + 12, 4);
	memcpy(&ip->daddr, q->dst.addr.b + 12, 4);
	ip->check = fold(add_words(0, ip, sizeof(*ip)));
}

static void build_ip6(const struct dp_question *q, void *l3, size_t len)
{
	struct ip6_hdr *ip = l3;

	ip->ip6_vfc = 6 << 4;
	ip->ip6_plen = htons(len - sizeof(*ip));
	ip->ip6_nxt = q->proto;
	ip->ip6_hlim = 64;
	memcpy(&ip->ip6_src, q->src.addr.b, 16);
	memcpy(&ip->ip6_dst, q->dst.addr.b, 16);
}

static size_t ip_header_length(const struct dp_question *q)
{
	return addr_is4(&q->dst.addr) ? sizeof(struct iphdr) : sizeof(struct ip6_hdr);
}

static size_t shortest(const struct dp_question *q)
{
	size_t quic = q->cid_length ? 1 + q->cid_length + QUIC_BEHIND_ID : 0;

	return ip_header_length(q) + (q->proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr) + quic);
}

/* Builds the frame in zeroed memory; returns its length. */
static size_t build_frame(const struct dp_question *q, size_t ip_len, uint8_t *frame)
{
	static const struct ether_addr src = { { 2, 0, 0, 0, 0, 1 } }, dst = { { 2, 0, 0, 0, 0, 2 } };
	struct ether_header *eth = (struct ether_header *)frame;
	size_t ip_head = ip_header_length(q);
	uint8_t *l3 = frame + sizeof(*eth), *l4 = l3 + ip_head;

	memcpy(eth->ether_dhost, &dst, ETH_ALEN);
	memcpy(eth->ether_shost, &src, ETH_ALEN);
	if (addr_is4(&q->dst.addr)) {
		eth->ether_type = htons(ETHERTYPE_IP);
		build_ip4(q, l3, ip_len);
	} else {
		eth->ether_type = htons(ETHERTYPE_IPV6);
		build_ip6(q, l3, ip_len);
	}
	if (q->proto == IPPROTO_TCP)
		build_tcp(q, l4, ip_len - ip_head);
	else
		build_udp(q, l4, ip_len - ip_head);
	return sizeof(*eth) + ip_len;
}

/* ---- the run ---- */

static bool can_be_asked(const struct dp_question *q)
{
	return addr_is4(&q->src.addr) == addr_is4(&q->dst.addr) &&
	       (q->proto == IPPROTO_TCP || q->proto == IPPROTO_UDP);
}

/* The interface that the question names, or the first with the edge role; NULL: none with a program. */
static const struct dp_interface *interface_for(const struct datapath *dp, uint32_t ifindex, int *prog)
{
	for (size_t i = 0; i < dp->n_interfaces; i++) {
		const struct dp_interface *dev = &dp->interfaces[i];

		if (!dev->ifindex || dp->attachments[i].link < 0)
			continue;
		if (ifindex ? ifindex != (uint32_t)dev->ifindex : !(dev->roles & ROLE_EDGE))
			continue;
		*prog = dp->programs[variant_of(dev->roles)].fd;
		return dev;
	}
	return NULL;
}

static int run(int prog, uint32_t ifindex, uint8_t *in, size_t in_len, uint8_t *out, size_t *out_len, int *xdp)
{
	struct xdp_md ctx = {
		.data = sizeof(struct shunt_trace),
		.data_end = in_len,
		.ingress_ifindex = ifindex,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = in_len, .data_out = out,
		    .data_size_out = *out_len, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);

	if (bpf_prog_test_run_opts(prog, &opts))
		return -errno;
	*out_len = opts.data_size_out;
	*xdp = opts.retval;
	return 0;
}

static int take_answer(struct dp_answer *a, const uint8_t *out, size_t len)
{
	if (len < sizeof(a->trace))
		return -EIO;
	memcpy(&a->trace, out, sizeof(a->trace));
	if (a->trace.magic != SHUNT_TRACE_MAGIC)
		return err_r(-EIO, "explain: the program left no trace");
	a->len = len - sizeof(a->trace);
	if (a->len > sizeof(a->packet))
		a->len = sizeof(a->packet); /* the headers are what is looked at */
	memcpy(a->packet, out + sizeof(a->trace), a->len);
	return 0;
}

static const struct shunt_trace blank = {
	.magic = SHUNT_TRACE_MAGIC,
	.service = SHUNT_UNSET,
	.slot = SHUNT_UNSET,
	.member = SHUNT_UNSET,
	.backend = SHUNT_UNSET,
};

int dp_explain(struct datapath *dp, const struct dp_question *q, struct dp_answer *a)
{
	size_t ip_len = q->length ? q->length : shortest(q), in_len, out_len = ip_len + ROOM;
	_cleanup_free_ uint8_t *room = calloc(1, out_len), *out = calloc(1, out_len);
	const struct dp_interface *dev;
	uint8_t *in = room + ALIGN;
	int prog, err;

	if (!room || !out)
		return -ENOMEM;
	if (!dp->has.test_run_metadata)
		return -EOPNOTSUPP;
	if (ip_len < shortest(q) || ip_len > IP_MAX)
		return err_r(-EINVAL, "explain: a packet of this kind has a length of %zu to %d bytes", shortest(q), IP_MAX);
	if (!can_be_asked(q))
		return -EINVAL;
	dev = interface_for(dp, q->ifindex, &prog);
	if (!dev)
		return -ENODEV;
	memcpy(in, &blank, sizeof(blank));
	in_len = sizeof(blank) + build_frame(q, ip_len, in + sizeof(blank));
	err = run(prog, dev->ifindex, in, in_len, out, &out_len, &a->xdp);
	return err ? err_r(err, "explain: the kernel does not run the program on a packet of %zu bytes on %s: %s", ip_len,
			   dev->name, strerror(-err)) :
		     take_answer(a, out, out_len);
}
