// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The backend program: takes packets for known services out of the tunnel (IPIP or GUE; IPv4 or IPv6, inside either), so
 * that a stock server which has the service's address on loopback answers the client directly. With GUE, a packet of a flow
 * that is not known here goes on to another backend that may know it (hop.bpf.h).
 *
 * Only what comes from a source in settings.allow, and only packets of a listener's flow, or ICMP errors about one.
 * Everything else is passed on untouched, to the edge program if this interface balances too. It does not put
 * fragments together and changes nothing of the inner packet but its ECN mark.
 */
#include "vmlinux.h"
#include "abi.h"
#include "base.bpf.h"
#include "maps.bpf.h"
#include "sum.bpf.h"
#include "parse.bpf.h"
#include "service.bpf.h"
#include "flow.bpf.h"
#include "decap.bpf.h"
#include "count.bpf.h"
#include "forward.bpf.h"
#include "rate.bpf.h"
#include "hop.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

static __always_inline int pass(struct xdp_md *ctx, const struct shunt_trace *t)
{
	int action = count_other(ctx, t, SHUNT_VERDICT_BACKEND_PASSED, XDP_PASS);

	if (feature(SHUNT_FEATURE_THEN_EDGE))
		bpf_tail_call(ctx, &programs, PROGRAM_EDGE); /* returns only if there is none */
	return action;
}

static __always_inline int drop(struct xdp_md *ctx, const struct shunt_trace *t, enum shunt_reason reason)
{
	return count_dropped(ctx, t, SHUNT_VERDICT_BACKEND_DROPPED, reason);
}

static __always_inline int deliver(struct xdp_md *ctx, const struct tunnel *tunnel, const struct shunt_trace *t)
{
	if (!decapsulate(ctx, &tunnel->outer, &tunnel->inner))
		return drop(ctx, t, SHUNT_REASON_NO_ROOM);
	return count_other(ctx, t, SHUNT_VERDICT_BACKEND_DELIVERED, XDP_PASS);
}

/* The service whose flow the tunnel packet carries, or NO_SERVICE. */
static __always_inline __u32 inner_service(struct xdp_md *ctx, struct tunnel *t, struct flow *f, enum kind *kind)
{
	void *end = packet_end(ctx);

	if (!parse_ip(&t->outer, end, frame_rest(ctx, &t->outer, end)) || !find_inner(t, end))
		return NO_SERVICE;
	if (!read_destination(&t->inner, end, &f->service))
		return NO_SERVICE;
	f->service_hash = shunt_addr_hash(&f->service);
	if (!filter_has(f->service_hash))
		return NO_SERVICE;
	*kind = classify(&t->inner, end, t->outer.length - t->outer.header, f);
	return *kind == KIND_FLOW || *kind == KIND_ICMP_ERROR ? find_service(f) : NO_SERVICE;
}

/* Has another host to be asked for the packet's flow? */
static __always_inline bool is_strange(struct xdp_md *ctx, const struct tunnel *t, const struct flow *f)
{
	return feature(SHUNT_FEATURE_SECOND_CHANCE) && t->gue && f->proto == IPPROTO_TCP &&
	       !is_first(ctx, &t->inner) && !is_known(ctx, &t->inner, f);
}

SEC("xdp")
int shunt_backend(struct xdp_md *ctx)
{
	struct shunt_trace t = TRACE_START;
	struct tunnel tunnel = {};
	enum kind kind = KIND_OTHER;
	struct shunt_addr source, to;
	struct flow f = {};

	if (!parse_link(ctx, &tunnel.outer))
		return pass(ctx, &t);
	t.service = inner_service(ctx, &tunnel, &f, &kind);
	if (t.service == NO_SERVICE)
		return pass(ctx, &t);
	if (kind == KIND_ICMP_ERROR)
		t.flags = SHUNT_TRACE_ICMP_ERROR;
	if (!read_source(&tunnel.outer, packet_end(ctx), &source) || !is_allowed(&source))
		return drop(ctx, &t, SHUNT_REASON_TUNNEL_SOURCE);
	if (!is_strange(ctx, &tunnel, &f) || !next_hop(ctx, &tunnel, &to))
		return deliver(ctx, &tunnel, &t);
	if (settings.hop_rate && !rate_allows(&hop_buckets, t.service, settings.hop_rate))
		return drop(ctx, &t, SHUNT_REASON_SECOND_CHANCE_RATE);
	return count_other(ctx, &t, SHUNT_VERDICT_BACKEND_SENT_ON, send_on(ctx, &tunnel.outer, &to));
}
