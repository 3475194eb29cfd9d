/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "packet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

const uint8_t mac_ours[6] = { 0x02, 0, 0, 0, 0, 0x01 };
const uint8_t mac_peer[6] = { 0x02, 0, 0, 0, 0, 0x02 };

/* ---- bytes and sums ---- */

void put16(uint8_t *b, uint16_t value)
{
	b[0] = value >> 8;
	b[1] = value;
}

void put32(uint8_t *b, uint32_t value)
{
	put16(b, value >> 16);
	put16(b + 2, value);
}

uint16_t get16(const uint8_t *b)
{
	return b[0] << 8 | b[1];
}

uint32_t get32(const uint8_t *b)
{
	return (uint32_t)get16(b) << 16 | get16(b + 2);
}

uint16_t sum16(const uint8_t *b, size_t len, uint64_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? b[i] : b[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static size_t ip4_len(const uint8_t *ip)
{
	return (ip[0] & 15) * 4;
}

void ip4_checksum(uint8_t *ip)
{
	put16(ip + 10, 0);
	put16(ip + 10, ~sum16(ip, ip4_len(ip), 0));
}

/* Sum of the pseudo header of what an IP header carries. */
static uint64_t pseudo_sum(const uint8_t *ip, uint8_t proto, size_t len)
{
	if (ip[0] >> 4 == 4)
		return (uint64_t)sum16(ip + 12, 8, 0) + proto + len;
	return (uint64_t)sum16(ip + 8, 32, 0) + proto + len;
}

uint16_t icmp6_sum(const uint8_t *ip, const uint8_t *icmp, size_t len)
{
	return sum16(icmp, len, pseudo_sum(ip, IPPROTO_ICMPV6, len));
}

struct shunt_addr addr_of(const char *text)
{
	struct shunt_addr a = { .words = { 0, 0, htonl(0xffff) } };

	if (inet_pton(AF_INET, text, &a.words[3]) == 1)
		return a;
	assert(inet_pton(AF_INET6, text, &a) == 1);
	return a;
}

/* ---- layers ---- */

static uint8_t *grow(struct packet *p, size_t len)
{
	uint8_t *at = p->b + p->len;

	assert(p->len + len <= sizeof(p->b));
	memset(at, 0, len);
	p->len += len;
	return at;
}

static bool is_link(enum layer_kind kind)
{
	return kind == LAYER_ETHER || kind == LAYER_VLAN;
}

/* Writes into the layer before what follows it: `type` after Ethernet and VLAN tags, `proto` after IP. */
static void link_to(struct packet *p, uint16_t type, uint8_t proto)
{
	static const int at[] = {
		[LAYER_ETHER] = 12, [LAYER_VLAN] = 2, [LAYER_IP4] = 9, [LAYER_IP6] = 6, [LAYER_EXT] = 0,
	};
	enum layer_kind before;
	uint8_t *where;

	if (!p->n_layers)
		return;
	before = p->layers[p->n_layers - 1].kind;
	if (before > LAYER_EXT)
		return;
	where = p->b + p->layers[p->n_layers - 1].at + at[before];
	if (is_link(before))
		put16(where, type);
	else
		*where = proto;
}

static uint8_t *add(struct packet *p, enum layer_kind kind, size_t len)
{
	assert(p->n_layers < PACKET_LAYERS);
	p->layers[p->n_layers].kind = kind;
	p->layers[p->n_layers++].at = p->len;
	return grow(p, len);
}

void bare(struct packet *p)
{
	p->len = 0;
	p->n_layers = 0;
}

void ether_between(struct packet *p, const uint8_t dst[6], const uint8_t src[6])
{
	uint8_t *h;

	bare(p);
	h = add(p, LAYER_ETHER, 14);
	memcpy(h, dst, 6);
	memcpy(h + 6, src, 6);
}

void ether(struct packet *p)
{
	ether_between(p, mac_ours, mac_peer);
}

void vlan(struct packet *p, uint16_t tpid, uint16_t tci)
{
	link_to(p, tpid, 0);
	put16(add(p, LAYER_VLAN, 4), tci);
}

void ip4(struct packet *p, struct ip4 h)
{
	uint8_t *ip;

	link_to(p, 0x0800, IPPROTO_IPIP);
	ip = add(p, LAYER_IP4, 20 + h.n_options);
	ip[0] = 0x40 | (20 + h.n_options) / 4;
	ip[1] = h.tos;
	put16(ip + 4, h.id);
	put16(ip + 6, h.frag);
	ip[8] = h.ttl ? h.ttl : 64;
	ip[9] = h.proto;
	assert(inet_pton(AF_INET, h.src, ip + 12) == 1 && inet_pton(AF_INET, h.dst, ip + 16) == 1);
	if (h.n_options)
		memcpy(ip + 20, h.options, h.n_options);
}

void ip6(struct packet *p, struct ip6 h)
{
	uint8_t *ip;

	link_to(p, 0x86dd, IPPROTO_IPV6);
	ip = add(p, LAYER_IP6, 40);
	put32(ip, 6u << 28 | (uint32_t)h.tclass << 20 | h.flow);
	ip[6] = h.next;
	ip[7] = h.hops ? h.hops : 64;
	assert(inet_pton(AF_INET6, h.src, ip + 8) == 1 && inet_pton(AF_INET6, h.dst, ip + 24) == 1);
}

void ext_options(struct packet *p, uint8_t type, size_t len)
{
	uint8_t *h;

	link_to(p, 0, type);
	h = add(p, LAYER_EXT, len);
	h[0] = IPPROTO_NONE;
	h[1] = len / 8 - 1;
	h[2] = 1; /* PadN */
	h[3] = len - 4;
}

void ext_routing(struct packet *p, size_t len)
{
	uint8_t *h;

	link_to(p, 0, IPPROTO_ROUTING);
	h = add(p, LAYER_EXT, len);
	h[0] = IPPROTO_NONE;
	h[1] = len / 8 - 1;
	h[2] = 253; /* type for experiments */
}

void ext_ah(struct packet *p)
{
	uint8_t *h;

	link_to(p, 0, IPPROTO_AH);
	h = add(p, LAYER_EXT, 24);
	h[0] = IPPROTO_NONE;
	h[1] = 24 / 4 - 2; /* AH alone counts in units of 4, minus 2 */
	put32(h + 4, 1);
}

void ext_fragment(struct packet *p, uint16_t offset8, bool more)
{
	uint8_t *h;

	link_to(p, 0, IPPROTO_FRAGMENT);
	h = add(p, LAYER_EXT, 8);
	h[0] = IPPROTO_NONE;
	put16(h + 2, offset8 << 3 | more);
	put32(h + 4, 0xabad1dea);
}

void tcp(struct packet *p, uint16_t sport, uint16_t dport, uint8_t flags)
{
	uint8_t *h;

	link_to(p, 0, IPPROTO_TCP);
	h = add(p, LAYER_TCP, 20);
	put16(h, sport);
	put16(h + 2, dport);
	put32(h + 4, 0x01020304);
	h[12] = 5 << 4;
	h[13] = flags;
	put16(h + 14, 0x2000);
}

void udp(struct packet *p, uint16_t sport, uint16_t dport)
{
	uint8_t *h;

	link_to(p, 0, IPPROTO_UDP);
	h = add(p, LAYER_UDP, 8);
	put16(h, sport);
	put16(h + 2, dport);
}

static void icmp(struct packet *p, enum layer_kind kind, uint8_t type, uint8_t code, uint32_t rest)
{
	uint8_t *h = add(p, kind, 8);

	h[0] = type;
	h[1] = code;
	put32(h + 4, rest);
}

void icmp4(struct packet *p, uint8_t type, uint8_t code, uint32_t rest)
{
	link_to(p, 0, IPPROTO_ICMP);
	icmp(p, LAYER_ICMP4, type, code, rest);
}

void icmp6(struct packet *p, uint8_t type, uint8_t code, uint32_t rest)
{
	link_to(p, 0, IPPROTO_ICMPV6);
	icmp(p, LAYER_ICMP6, type, code, rest);
}

void payload(struct packet *p, size_t len)
{
	uint8_t *b = add(p, LAYER_PAYLOAD, len);

	for (size_t i = 0; i < len; i++)
		b[i] = i * 7 + 3;
}

void bytes(struct packet *p, const void *data, size_t len)
{
	memcpy(add(p, LAYER_PAYLOAD, len), data, len);
}

/* ---- lengths and checksums ---- */

static const uint8_t *ip_before(const struct packet *p, unsigned layer)
{
	while (p->layers[layer].kind != LAYER_IP4 && p->layers[layer].kind != LAYER_IP6)
		layer--;
	return p->b + p->layers[layer].at;
}

static void checksum_into(uint8_t *field, const uint8_t *h, size_t len, uint64_t sum)
{
	put16(field, 0);
	put16(field, ~sum16(h, len, sum));
}

static void finish_udp(uint8_t *h, size_t len, const uint8_t *ip)
{
	put16(h + 4, len);
	checksum_into(h + 6, h, len, pseudo_sum(ip, IPPROTO_UDP, len));
	if (!get16(h + 6)) /* 0 would mean: no checksum */
		put16(h + 6, 0xffff);
}

static void finish_layer(struct packet *p, unsigned i)
{
	uint8_t *h = p->b + p->layers[i].at;
	size_t len = p->len - p->layers[i].at;

	switch (p->layers[i].kind) {
	case LAYER_IP4:
		put16(h + 2, len);
		ip4_checksum(h);
		break;
	case LAYER_IP6:
		put16(h + 4, len - 40);
		break;
	case LAYER_TCP:
		checksum_into(h + 16, h, len, pseudo_sum(ip_before(p, i), IPPROTO_TCP, len));
		break;
	case LAYER_UDP:
		finish_udp(h, len, ip_before(p, i));
		break;
	case LAYER_ICMP4:
		checksum_into(h + 2, h, len, 0);
		break;
	case LAYER_ICMP6:
		checksum_into(h + 2, h, len, pseudo_sum(ip_before(p, i), IPPROTO_ICMPV6, len));
		break;
	default:
		break;
	}
}

void packet_finish(struct packet *p)
{
	for (unsigned i = p->n_layers; i > 0; i--) /* inner checksums are part of outer ones */
		finish_layer(p, i - 1);
}

void packet_pad(struct packet *p, size_t len)
{
	grow(p, len);
}

/* ---- where things are ---- */

size_t packet_layer(const struct packet *p, enum layer_kind kind)
{
	for (unsigned i = 0; i < p->n_layers; i++)
		if (p->layers[i].kind == kind)
			return p->layers[i].at;
	assert(!"the packet has such a layer");
	return 0;
}

size_t packet_l3(const struct packet *p)
{
	unsigned i = 0;

	while (is_link(p->layers[i].kind))
		i++;
	return p->layers[i].at;
}

bool packet_is4(const struct packet *p)
{
	return p->b[packet_l3(p)] >> 4 == 4;
}

size_t packet_l3_len(const struct packet *p)
{
	const uint8_t *ip = p->b + packet_l3(p);

	return packet_is4(p) ? get16(ip + 2) : 40 + get16(ip + 4);
}

/* ---- flows ---- */

static void flow_ip(struct packet *p, const struct flow *flow, const struct shape *s)
{
	if (!strchr(flow->service, ':')) {
		ip4(p, (struct ip4){ .src = flow->client, .dst = flow->service, .tos = s->tos, .ttl = s->ttl,
				     .id = 0x1234, .frag = s->frag, .options = s->options, .n_options = s->n_options });
		return;
	}
	ip6(p, (struct ip6){ .src = flow->client, .dst = flow->service, .tclass = s->tos, .hops = s->ttl,
			     .flow = 0xbeef1 });
	if (s->ext)
		s->ext(p);
}

void flow_packet(struct packet *p, const struct flow *flow, const struct shape *shape)
{
	static const struct shape plain = { .payload = 10 };
	const struct shape *s = shape ? shape : &plain;

	if (s->bare)
		bare(p);
	else
		ether(p);
	for (int i = 0; i < 2 && s->tpid[i]; i++)
		vlan(p, s->tpid[i], s->tci[i]);
	flow_ip(p, flow, s);
	if (flow->proto == IPPROTO_TCP)
		tcp(p, flow->cport, flow->sport, TCP_ACK);
	else
		udp(p, flow->cport, flow->sport);
	payload(p, s->payload);
	packet_finish(p);
}

uint64_t listener_hash(const struct shunt_addr *address, uint16_t port, uint8_t proto)
{
	return shunt_listener_hash(shunt_addr_hash(address), shunt_listener_key(htons(port), proto));
}

uint64_t flow_hash(uint64_t seed, const struct flow *flow)
{
	struct shunt_addr client = addr_of(flow->client), service = addr_of(flow->service);

	return shunt_flow_hash(seed, listener_hash(&service, flow->sport, flow->proto), &client, htons(flow->cport));
}

struct flow flow_reversed(const struct flow *flow)
{
	return (struct flow){ flow->service, flow->client, flow->sport, flow->cport, flow->proto };
}
