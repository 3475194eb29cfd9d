/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "want.h"

#include <arpa/inet.h>
#include <string.h>

#define TEXT INET6_ADDRSTRLEN

static bool mapped(const struct shunt_addr *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(a, prefix, sizeof(prefix));
}

static const char *text_of(const struct shunt_addr *a, char text[TEXT])
{
	return mapped(a) ? inet_ntop(AF_INET, (const uint8_t *)a + 12, text, TEXT) : inet_ntop(AF_INET6, a, text, TEXT);
}

/* ---- tunnel ---- */

/* Source of the tunnel: the prefix, and the hash's upper half in the host bits of the last word. */
static struct shunt_addr tunnel_source(const struct shunt_prefix *prefix, uint64_t hash)
{
	struct shunt_addr a = prefix->addr;

	a.words[3] |= (uint32_t)(hash >> 32) & ~prefix->mask.words[3];
	return a;
}

static uint8_t traffic_class(const uint8_t *ip)
{
	return ip[0] >> 4 == 4 ? ip[1] : get16(ip) >> 4 & 0xff;
}

static void outer_header(struct packet *want, const struct shunt_settings *settings,
			 const struct shunt_backend *backend, uint64_t hash, uint8_t tos)
{
	bool outer4 = mapped(&backend->address);
	struct shunt_addr source = tunnel_source(outer4 ? &settings->source4 : &settings->source6, hash);
	char src[TEXT], dst[TEXT];

	text_of(&source, src);
	text_of(&backend->address, dst);
	if (outer4)
		ip4(want, (struct ip4){ .src = src, .dst = dst, .tos = tos, .frag = IP4_DF });
	else
		ip6(want, (struct ip6){ .src = src, .dst = dst, .tclass = tos, .flow = hash >> 32 & 0xfffff });
}

/* As a router passes it on. */
static void age(uint8_t *ip)
{
	if (ip[0] >> 4 == 4) {
		ip[8]--;
		ip4_checksum(ip);
	} else {
		ip[7]--;
	}
}

/* Between the outer IP header and what is inside. */
static void gue_headers(struct packet *p, const struct gue *gue, uint16_t port, uint8_t proto, bool v6)
{
	size_t each = v6 ? 16 : 4;
	uint8_t h[8 + 7 * 16] = { 1 + gue->n * each / 4, proto, 0, 0, 's', 'h', gue->next, gue->n };

	for (unsigned i = 0; i < gue->n; i++) {
		struct shunt_addr a = { .words = { 0 } };

		if (gue->hops[i])
			a = addr_of(gue->hops[i]);
		memcpy(h + 8 + each * i, (const uint8_t *)&a + 16 - each, each);
	}
	udp(p, port, 6080);
	bytes(p, h, 8 + each * gue->n);
}

/* All layers, then no checksum in the tunnel's UDP header. */
static void finish_tunnel(struct packet *p, bool gue)
{
	packet_finish(p);
	if (gue)
		put16(p->b + packet_layer(p, LAYER_UDP) + 6, 0);
}

static void next_header(struct packet *p, uint8_t proto)
{
	unsigned last = p->n_layers - 1;
	size_t at = p->layers[last].kind == LAYER_IP4 ? 9 : p->layers[last].kind == LAYER_IP6 ? 6 : 0;

	p->b[p->layers[last].at + at] = proto;
}

void want_tunnel(struct packet *want, const struct packet *in, const struct shunt_settings *settings,
		 const struct shunt_backend *backend, uint64_t hash, const struct gue *gue)
{
	static const struct gue nobody;
	const uint8_t *ip = in->b + packet_l3(in);
	bool is_gue = backend->forward == SHUNT_FORWARD_GUE;
	uint8_t proto = packet_is4(in) ? 4 : 41;
	size_t at;

	ether_between(want, backend->dmac, backend->smac);
	if (backend->vlan)
		vlan(want, 0x8100, ntohs(backend->vlan));
	outer_header(want, settings, backend, hash, traffic_class(ip));
	if (is_gue)
		gue_headers(want, gue ? gue : &nobody, 0xc000 | (hash >> 32 & 0x3fff), proto, !mapped(&backend->address));
	else
		next_header(want, proto);
	at = want->len;
	bytes(want, ip, packet_l3_len(in));
	age(want->b + at);
	finish_tunnel(want, is_gue);
}

/* ---- answers ---- */

static void swap_ends(uint8_t *a, uint8_t *b, size_t len)
{
	uint8_t tmp[16];

	memcpy(tmp, a, len);
	memcpy(a, b, len);
	memcpy(b, tmp, len);
}

void want_echo(struct packet *want, const struct packet *in)
{
	uint8_t *ip = want->b + packet_l3(in);

	*want = *in;
	swap_ends(want->b, want->b + 6, 6);
	if (packet_is4(in)) {
		swap_ends(ip + 12, ip + 16, 4);
		ip[8] = 64;
		want->b[packet_layer(in, LAYER_ICMP4)] = 0;
	} else {
		swap_ends(ip + 8, ip + 24, 16);
		ip[7] = 64;
		want->b[packet_layer(in, LAYER_ICMP6)] = 129;
	}
	want->len = packet_l3(in) + packet_l3_len(in);
	packet_finish(want);
	packet_pad(want, in->len - want->len);
}

static size_t at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

void want_icmp_error(struct packet *want, const struct packet *in, uint8_t type, uint8_t code, uint32_t rest)
{
	const uint8_t *ip = in->b + packet_l3(in);
	char src[TEXT], dst[TEXT];

	bare(want);
	ether_between(want, in->b + 6, in->b);
	for (unsigned i = 1; in->layers[i].kind == LAYER_VLAN; i++)
		vlan(want, get16(in->b + in->layers[i].at - 2), get16(in->b + in->layers[i].at));
	if (packet_is4(in)) {
		inet_ntop(AF_INET, ip + 16, src, TEXT);
		inet_ntop(AF_INET, ip + 12, dst, TEXT);
		ip4(want, (struct ip4){ .src = src, .dst = dst, .tos = 0xc0, .frag = IP4_DF });
		icmp4(want, type, code, rest);
		bytes(want, ip, at_most(packet_l3_len(in), 548));
	} else {
		inet_ntop(AF_INET6, ip + 24, src, TEXT);
		inet_ntop(AF_INET6, ip + 8, dst, TEXT);
		ip6(want, (struct ip6){ .src = src, .dst = dst });
		icmp6(want, type, code, rest);
		bytes(want, ip, at_most(packet_l3_len(in), 1232));
	}
	packet_finish(want);
}

/* ---- at the backend ---- */

static void tags_of(struct packet *p, const struct tunnel *t)
{
	for (int i = 0; i < 2 && t->tpid[i]; i++)
		vlan(p, t->tpid[i], t->tci[i]);
}

static void frame_of(struct packet *p, const struct tunnel *t)
{
	ether(p);
	tags_of(p, t);
}

/* From the outer IP header on. */
static void tunnel_in_frame(struct packet *p, const struct tunnel *t, const struct packet *inner)
{
	uint8_t next = packet_is4(inner) ? 4 : 41;

	if (t->outer6) {
		ip6(p, (struct ip6){ .src = t->src ? t->src : "fd00:99::1234",
				     .dst = t->dst ? t->dst : "2001:db8:bb::11", .tclass = t->tos, .hops = t->ttl });
		if (t->ext)
			t->ext(p);
	} else {
		ip4(p, (struct ip4){ .src = t->src ? t->src : "10.99.12.34", .dst = t->dst ? t->dst : "10.0.0.11",
				     .tos = t->tos, .ttl = t->ttl, .frag = t->frag, .options = t->options,
				     .n_options = t->n_options });
	}
	if (t->gue)
		gue_headers(p, t->gue, 0xc123, next, t->outer6);
	else
		next_header(p, next);
	bytes(p, inner->b, inner->len);
	finish_tunnel(p, t->gue);
}

void tunnel_packet(struct packet *p, const struct tunnel *t, const struct packet *inner)
{
	frame_of(p, t);
	tunnel_in_frame(p, t, inner);
}

void want_delivered(struct packet *want, const struct tunnel *t, const struct packet *inner)
{
	frame_of(want, t);
	put16(want->b + want->len - 2, packet_is4(inner) ? 0x0800 : 0x86dd);
	bytes(want, inner->b, inner->len);
}

void want_sent_on(struct packet *want, const struct tunnel *t, const struct packet *inner, unsigned to,
		  const struct shunt_backend *way)
{
	struct tunnel out = *t;
	struct gue gue = *t->gue;

	gue.next = to + 1;
	out.gue = &gue;
	out.dst = gue.hops[to];
	out.ttl = (t->ttl ? t->ttl : 64) - 1;
	if (!way) {
		ether_between(want, mac_peer, mac_ours);
		tags_of(want, t);
	} else {
		ether_between(want, way->dmac, way->smac);
		if (way->vlan)
			vlan(want, 0x8100, ntohs(way->vlan));
	}
	tunnel_in_frame(want, &out, inner);
}
