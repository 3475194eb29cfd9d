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

void want_tunnel(struct packet *want, const struct packet *in, const struct shunt_settings *settings,
		 const struct shunt_backend *backend, uint64_t hash)
{
	const uint8_t *ip = in->b + packet_l3(in);
	size_t at;

	ether_between(want, backend->dmac, backend->smac);
	if (backend->vlan)
		vlan(want, 0x8100, ntohs(backend->vlan));
	outer_header(want, settings, backend, hash, traffic_class(ip));
	want->b[want->layers[want->n_layers - 1].at + (mapped(&backend->address) ? 9 : 6)] = packet_is4(in) ? 4 : 41;
	at = want->len;
	bytes(want, ip, packet_l3_len(in));
	age(want->b + at);
	packet_finish(want);
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

static void frame_of(struct packet *p, const struct tunnel *t)
{
	ether(p);
	for (int i = 0; i < 2 && t->tpid[i]; i++)
		vlan(p, t->tpid[i], t->tci[i]);
}

void tunnel_packet(struct packet *p, const struct tunnel *t, const struct packet *inner)
{
	uint8_t next = packet_is4(inner) ? 4 : 41;

	frame_of(p, t);
	if (t->outer6) {
		ip6(p, (struct ip6){ .src = t->src ? t->src : "fd00:99::1234",
				     .dst = t->dst ? t->dst : "2001:db8:bb::11", .tclass = t->tos });
		if (t->ext)
			t->ext(p);
		p->b[p->layers[p->n_layers - 1].at + (p->layers[p->n_layers - 1].kind == LAYER_IP6 ? 6 : 0)] = next;
	} else {
		ip4(p, (struct ip4){ .src = t->src ? t->src : "10.99.12.34", .dst = t->dst ? t->dst : "10.0.0.11",
				     .tos = t->tos, .proto = next, .frag = t->frag, .options = t->options,
				     .n_options = t->n_options });
	}
	bytes(p, inner->b, inner->len);
	packet_finish(p);
}

void want_delivered(struct packet *want, const struct tunnel *t, const struct packet *inner)
{
	frame_of(want, t);
	put16(want->b + want->len - 2, packet_is4(inner) ? 0x0800 : 0x86dd);
	bytes(want, inner->b, inner->len);
}
