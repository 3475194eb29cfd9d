// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The edge program: balances what arrives at an interface for a service's address.
 *
 * parse -> service -> choose -> forward: a packet to a listener goes, by its flow's hash, to a backend, in a tunnel; an
 * ICMP error about such a flow goes to the same backend. Echo requests to services' addresses are answered. What is no
 * service's is passed on untouched. Every drop has a reason.
 *
 * It keeps no state of flows (but for slots whose owner is just changing), looks up no routes (next hops stand in
 * the backends' entries), does not put fragments together and does not look beyond the transport header (but for
 * QUIC connection IDs, where a service asks for that).
 */
#include "vmlinux.h"
#include "abi.h"
#include "base.bpf.h"
#include "maps.bpf.h"
#include "sum.bpf.h"
#include "parse.bpf.h"
#include "service.bpf.h"
#include "flow.bpf.h"
#include "count.bpf.h"
#include "cache.bpf.h"
#include "quic.bpf.h"
#include "member.bpf.h"
#include "choose.bpf.h"
#include "forward.bpf.h"
#include "gue.bpf.h"
#include "icmp.bpf.h"
#include "rate.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

static __always_inline int pass(struct xdp_md *ctx, const struct shunt_trace *t)
{
	return count_other(ctx, t, SHUNT_VERDICT_EDGE_PASSED, XDP_PASS);
}

static __always_inline int drop(struct xdp_md *ctx, const struct shunt_trace *t, enum shunt_reason reason)
{
	return count_dropped(ctx, t, SHUNT_VERDICT_EDGE_DROPPED, reason);
}

static __always_inline int answered(struct xdp_md *ctx, const struct shunt_trace *t)
{
	return count_other(ctx, t, SHUNT_VERDICT_EDGE_ANSWERED, XDP_TX);
}

/* A packet that has no flow to balance: echo, fragment, malformed, anything else. */
static __always_inline int without_flow(struct xdp_md *ctx, const struct packet *p, const struct flow *f, enum kind kind,
					const struct shunt_trace *t)
{
	__u32 service = kind == KIND_OTHER ? NO_SERVICE : marked_service(f);

	if (service == NO_SERVICE || is_not_edge(service))
		return pass(ctx, t);
	if (kind == KIND_MALFORMED)
		return drop(ctx, t, SHUNT_REASON_MALFORMED);
	if (kind == KIND_FRAGMENT)
		return drop(ctx, t, SHUNT_REASON_FRAGMENT);
	return echo_reply(ctx, p) ? answered(ctx, t) : pass(ctx, t);
}

/* The packet cannot go on: an ICMP error says so to its sender; without one it is dropped for this reason. */
static __always_inline int refuse(struct xdp_md *ctx, const struct packet *p, const struct shunt_addr *client,
				  const struct icmp_error *e, enum shunt_reason reason, struct shunt_trace *t)
{
	if (t->flags & SHUNT_TRACE_ICMP_ERROR || !is_unicast(client))
		return drop(ctx, t, reason);
	if (!asked_trace(ctx) && !rate_allows(&icmp_buckets, t->service, settings.icmp_rate))
		return drop(ctx, t, reason);
	if (!error_reply(ctx, p, e))
		return drop(ctx, t, SHUNT_REASON_NO_ROOM);
	t->flags |= SHUNT_TRACE_ICMP_ERROR;
	return answered(ctx, t);
}

/* To the backend that the flow's hash chooses, as a router would: with an eye on TTL and MTU. */
static __always_inline int balance(struct xdp_md *ctx, const struct packet *p, const struct flow *f, __u64 hash,
				   __u32 service, struct shunt_trace *t)
{
	struct shunt_backend *b = choose(ctx, p, f, service, hash, t);
	enum shunt_reason reason = SHUNT_REASON_NONE;
	struct icmp_error e;
	__u32 flags, room;

	if (unlikely(!b))
		return drop(ctx, t, SHUNT_REASON_NO_BACKEND);
	flags = READ_ONCE(b->flags);
	if (unlikely(!(flags & SHUNT_BACKEND_NEXTHOP)))
		return drop(ctx, t, SHUNT_REASON_NO_NEXTHOP);
	room = READ_ONCE(b->room);
	if (unlikely(p->ttl <= 1)) {
		reason = SHUNT_REASON_TTL_EXPIRED;
		e = time_exceeded(p->v6);
	} else if (unlikely(p->length > room)) {
		reason = SHUNT_REASON_TOO_BIG;
		e = too_big(p->v6, room);
	}
	if (unlikely(reason))
		return refuse(ctx, p, &f->client, &e, reason, t);
	if (!tunnel(ctx, p, b, flags & SHUNT_BACKEND_IP6, hash >> 32, t))
		return drop(ctx, t, SHUNT_REASON_NO_ROOM);
	return count_forwarded(ctx, t, p->length, send(ctx, b));
}

/* One packet, from its IP header on. */
static __always_inline int edge(struct xdp_md *ctx, struct packet *p)
{
	struct shunt_trace t = TRACE_START;
	void *end = packet_end(ctx);
	struct flow f = {};
	enum kind kind;
	__u32 service, room;

	if (!read_destination(p, end, &f.service))
		return pass(ctx, &t);
	f.service_hash = shunt_addr_hash(&f.service);
	if (!filter_has(f.service_hash))
		return pass(ctx, &t);
	room = frame_rest(ctx, p, end);
	kind = likely(classify_plain(p, end, room, &f)) ? KIND_FLOW : classify(p, end, room, &f);
	if (unlikely(!has_flow(kind)))
		return without_flow(ctx, p, &f, kind, &t);
	service = find_service(&f);
	if (service == NO_SERVICE)
		return pass(ctx, &t);
	if (is_not_edge(service)) {
		t.service = service;
		return pass(ctx, &t);
	}
	if (unlikely(kind == KIND_FIRST_FRAGMENT || kind == KIND_SHORT))
		return drop(ctx, &t, kind == KIND_SHORT ? SHUNT_REASON_MALFORMED : SHUNT_REASON_FRAGMENT);
	if (unlikely(kind == KIND_ICMP_ERROR))
		t.flags = SHUNT_TRACE_ICMP_ERROR;
	return balance(ctx, p, &f, flow_hash(&f), service, &t);
}

SEC("xdp")
int shunt_edge(struct xdp_md *ctx)
{
	struct shunt_trace t = TRACE_START;
	struct packet p;

	if (!parse_link(ctx, &p))
		return pass(ctx, &t);
	/* once for each family, so that the compiler knows it from here on */
	if (p.v6) {
		p.v6 = true;
		return edge(ctx, &p);
	}
	p.v6 = false;
	return edge(ctx, &p);
}
