/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/steps.h"

#include <linux/bpf.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>

#include "api/render.h"
#include "base/hex.h"

void step(json_t *list, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	json_array_append_new(list, json_vsprintf(fmt, args));
	va_end(args);
}

const char *proto_word(uint8_t proto)
{
	return proto == IPPROTO_UDP ? "udp" : "tcp";
}

/* ---- the way in ---- */

static void arrives(const struct steps *s, json_t *list)
{
	const char *what = s->asked.proto == IPPROTO_UDP ? "UDP packet" : s->asked.syn ? "TCP SYN" : "TCP packet";
	char src[ENDPOINT_TEXT], dst[ENDPOINT_TEXT];

	step(list, "a %s from %s to %s arrives on %s", what, endpoint_format(&s->asked.src, src),
	     endpoint_format(&s->asked.dst, dst), s->interface);
}

static void finds_no_service(const struct steps *s, json_t *list)
{
	char dst[ENDPOINT_TEXT];

	if (s->unbalanced) {
		step(list, "service %s (%s) is not balanced for packets on this host: see its at and forward",
		     s->unbalanced, s->listen);
		return;
	}
	step(list, "no service listens on %s/%s", endpoint_format(&s->asked.dst, dst), proto_word(s->asked.proto));
	if (s->near[0])
		step(list, "a service has this address, but listens on %s", s->near);
}

static void finds_service(const struct steps *s, json_t *list)
{
	if (s->listen[0])
		step(list, "is for service %s (%s)", s->service, s->listen);
	else
		step(list, "is for service %s", s->service);
}

/* ---- the choice ---- */

static void looks_at_connection_id(const struct steps *s, json_t *list)
{
	char chosen[ENDPOINT_TEXT], cid[2 * DP_CID_MAX + 1];

	if (!s->quic)
		return;
	hex_format(s->asked.cid, s->asked.cid_length, cid);
	if (s->flags & SHUNT_TRACE_QUIC && s->chosen.known)
		step(list, "has the QUIC connection ID %s, which %s (%s) issued, and goes there whatever its client's "
			   "address", cid, endpoint_format(&s->chosen.at, chosen), s->chosen.state);
	else if (s->asked.cid_length)
		step(list, "its QUIC connection ID %s names no backend that can take it: the flow's hash decides", cid);
	else
		step(list, "has no QUIC connection ID that a backend issued, as the first packets of a connection (cid HEX "
			   "gives it one): the flow's hash decides");
}

static void falls_in_slot(const struct steps *s, json_t *list)
{
	const char *by = s->by_client ? ", by its client's address alone" : "";
	char owner[ENDPOINT_TEXT];

	if (s->slot == SHUNT_UNSET)
		return;
	if (s->owner.known)
		step(list, "falls in slot %u of %u%s, owned by %s (%s)", s->slot, s->n_slots, by,
		     endpoint_format(&s->owner.at, owner), s->owner.state);
	else
		step(list, "falls in slot %u of %u%s, which nobody owns", s->slot, s->n_slots, by);
}

/* After a change the slot has a new owner, and flows from before it keep the one that they had. */
static void is_in_transition(const struct steps *s, json_t *list)
{
	char chosen[ENDPOINT_TEXT];

	if (!(s->flags & SHUNT_TRACE_TRANSITION) || s->flags & SHUNT_TRACE_FAILED_OVER || !s->chosen.known)
		return;
	step(list, "the slot is in transition: flows from before the change keep their backend, and this packet goes to %s",
	     endpoint_format(&s->chosen.at, chosen));
}

static void fails_over(const struct steps *s, json_t *list)
{
	char owner[ENDPOINT_TEXT], chosen[ENDPOINT_TEXT];

	if (!(s->flags & SHUNT_TRACE_FAILED_OVER) || !s->chosen.known)
		return;
	step(list, "%s is down: its runner-up %s takes it", endpoint_format(&s->owner.at, owner),
	     endpoint_format(&s->chosen.at, chosen));
}

/* ---- the way out ---- */

static void names_others(const struct steps *s, json_t *list)
{
	char text[SHUNT_HOPS * (ADDR_TEXT + 2)], other[ADDR_TEXT];
	size_t len = 0;

	for (unsigned i = 0; i < s->n_others; i++)
		len += sprintf(text + len, "%s%s", i ? ", " : "", addr_format(&s->others[i], other));
	if (len)
		step(list, "if the flow is not known there, it is sent on to %s, %s", text,
		     s->n_others > 1 ? "one after the other until one knows it" : "who may know it");
}

static void leaves(const struct steps *s, json_t *list)
{
	char from[ADDR_TEXT], to[ADDR_TEXT];
	const uint8_t *m = s->out_mac;

	if (s->tunnel)
		step(list, "is sent in %s tunnel from %s to %s", s->forward == FORWARD_GUE ? "a GUE" : "an IPIP",
		     addr_format(&s->tunnel_from, from), addr_format(&s->tunnel_to, to));
	names_others(s, list);
	step(list, "leaves on %s to %02x:%02x:%02x:%02x:%02x:%02x%s", s->out_interface, m[0], m[1], m[2], m[3], m[4],
	     m[5], s->xdp == XDP_TX ? " (the interface it came in on)" : "");
}

static void is_answered(const struct steps *s, json_t *list)
{
	if (!(s->flags & SHUNT_TRACE_ICMP_ERROR)) {
		step(list, "is answered here");
		return;
	}
	if (s->mtu)
		step(list, "does not fit: the way to the backend takes %u bytes, the tunnel's header included", s->mtu);
	step(list, "is answered with an ICMP error, so that the sender sends what fits; a larger MTU on the way to "
		   "the backends would let it pass");
}

void step_to_backends(json_t *list, const char *service, bool finds_none)
{
	if (finds_none)
		step(list, "what to do: `shunt source list %s` shows what the sources say that are to find its backends", service);
	else
		step(list, "what to do: `shunt backend list %s` shows the state of its backends and why checks fail", service);
}

static void what_to_do(const struct steps *s, json_t *list)
{
	switch (s->reason) {
	case SHUNT_REASON_NO_BACKEND:
		step_to_backends(list, s->service ?: "", s->finds_none);
		break;
	case SHUNT_REASON_NO_NEXTHOP:
		step(list, "what to do: %s; give this host a route to the backend and see that its neighbour answers",
		     s->nexthop_problem && *s->nexthop_problem ? s->nexthop_problem : "the next hop is not known");
		break;
	case SHUNT_REASON_TOO_BIG:
	case SHUNT_REASON_TTL_EXPIRED:
		step(list, "what to do: raise edge.icmp-rate if senders must be told more often");
		break;
	case SHUNT_REASON_TUNNEL_SOURCE:
		step(list, "what to do: add the balancer's source prefix to backend.allow, if it is yours");
		break;
	default:
		break;
	}
}

static void is_dropped(const struct steps *s, json_t *list)
{
	bool known = s->reason < SHUNT_N_REASONS;

	step(list, "is dropped: %s (%s)", known ? reason_texts[s->reason] : "a reason that this version does not know",
	     known ? reason_words[s->reason] : "unknown");
	what_to_do(s, list);
}

json_t *steps_render(const struct steps *s)
{
	json_t *list = json_array();

	if (!list)
		return NULL;
	arrives(s, list);
	if (s->service)
		finds_service(s, list);
	else if (s->verdict == SHUNT_VERDICT_EDGE_PASSED)
		finds_no_service(s, list);
	looks_at_connection_id(s, list);
	falls_in_slot(s, list);
	is_in_transition(s, list);
	fails_over(s, list);
	if (s->verdict == SHUNT_VERDICT_EDGE_FORWARDED)
		leaves(s, list);
	else if (s->verdict == SHUNT_VERDICT_EDGE_ANSWERED)
		is_answered(s, list);
	else if (s->verdict == SHUNT_VERDICT_EDGE_DROPPED || s->verdict == SHUNT_VERDICT_BACKEND_DROPPED)
		is_dropped(s, list);
	else
		step(list, "is passed on untouched to this host's own network stack%s",
		     s->local ? ", where a program (sk_lookup) gives it to the listening socket of a backend" : "");
	return list;
}

/* ---- the packet as it leaves ---- */

static uint16_t be16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static struct addr addr_at(const uint8_t *at, size_t size)
{
	struct addr a = { .b = { [10] = 0xff, 0xff } };

	memcpy(a.b + sizeof(a.b) - size, at, size);
	return a;
}

static bool is_nobody(const uint8_t *at, size_t size)
{
	static const uint8_t zero[16];

	return !memcmp(at, zero, size);
}

/* From the UDP header on; size: of an address. False: it is not what the edge program writes. */
static bool read_gue(struct steps *s, const uint8_t *udp, size_t len, size_t size)
{
	const uint8_t *gue = udp + 8, *hop = gue + sizeof(struct shunt_gue);
	unsigned n;

	if (len < 8 + sizeof(struct shunt_gue) || be16(udp + 2) != SHUNT_GUE_PORT ||
	    be16(gue + offsetof(struct shunt_gue, magic)) != SHUNT_GUE_MAGIC)
		return false;
	n = gue[offsetof(struct shunt_gue, n)];
	if (n > SHUNT_HOPS || len < 8 + sizeof(struct shunt_gue) + n * size)
		return false;
	for (unsigned i = 0; i < n; i++, hop += size)
		if (!is_nobody(hop, size))
			s->others[s->n_others++] = addr_at(hop, size);
	s->forward = FORWARD_GUE;
	return true;
}

static void read_outer(struct steps *s, const uint8_t *ip, size_t len, bool v6)
{
	size_t header = v6 ? 40 : 20, size = v6 ? 16 : 4;
	uint8_t proto;

	if (len < header)
		return;
	proto = ip[v6 ? 6 : 9];
	s->tunnel = proto == IPPROTO_IPIP || proto == IPPROTO_IPV6 ||
		    (proto == IPPROTO_UDP && read_gue(s, ip + header, len - header, size));
	if (!s->tunnel)
		return;
	s->tunnel_from = addr_at(ip + header - 2 * size, size);
	s->tunnel_to = addr_at(ip + header - size, size);
}

void steps_read_packet(struct steps *s, const uint8_t *packet, size_t len)
{
	size_t at = 12;

	if (len < 14)
		return;
	memcpy(s->out_mac, packet, 6);
	while (len >= at + 6 && (be16(packet + at) == 0x8100 || be16(packet + at) == 0x88a8))
		at += 4;
	if (be16(packet + at) == 0x0800)
		read_outer(s, packet + at + 2, len - at - 2, false);
	else if (be16(packet + at) == 0x86dd)
		read_outer(s, packet + at + 2, len - at - 2, true);
}
