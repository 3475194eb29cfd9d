/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What became of a packet: counted, or, for a packet of `shunt explain`, written into its trace. Every way out of a
 * program ends here once.
 */
#ifndef SHUNT_COUNT_BPF_H
#define SHUNT_COUNT_BPF_H

#define TRACE_START \
	{ .service = SHUNT_UNSET, .slot = SHUNT_UNSET, .member = SHUNT_UNSET, .backend = SHUNT_UNSET }

/* The trace in front of the packet, or NULL: this packet is nobody's question. */
static __always_inline struct shunt_trace *asked_trace(struct xdp_md *ctx)
{
	struct shunt_trace *t = (void *)(long)ctx->data_meta;

	if (likely((void *)(t + 1) > packet_start(ctx)))
		return NULL;
	return t->magic == SHUNT_TRACE_MAGIC ? t : NULL;
}

static __always_inline void count_verdict(__u32 verdict)
{
	__u64 *n = bpf_map_lookup_elem(&verdicts, &verdict);

	if (n)
		*n += 1;
}

static __always_inline void count_member(__u32 member, __u32 bytes)
{
	struct shunt_counter *c = bpf_map_lookup_elem(&member_counters, &member);

	if (!c)
		return;
	c->packets += 1;
	c->bytes += bytes;
}

static __always_inline void count_drop(__u32 ifindex, __u32 reason)
{
	struct shunt_drop key = { .ifindex = ifindex, .reason = reason };
	__u64 none = 0, *n = bpf_map_lookup_elem(&drops, &key);

	if (!n) {
		bpf_map_update_elem(&drops, &key, &none, BPF_NOEXIST);
		n = bpf_map_lookup_elem(&drops, &key);
	}
	if (n)
		*n += 1;
}

static __always_inline void answer_trace(struct shunt_trace *to, const struct shunt_trace *t, __u32 verdict,
					 __u32 reason)
{
	to->verdict = verdict;
	to->reason = reason;
	to->service = t->service;
	to->slot = t->slot;
	to->member = t->member;
	to->backend = t->backend;
	to->flags = t->flags;
}

/* A packet that was neither forwarded nor dropped: only its verdict is counted. Returns action. */
static __always_inline int count_other(struct xdp_md *ctx, const struct shunt_trace *t, __u32 verdict, int action)
{
	struct shunt_trace *asked = asked_trace(ctx);

	if (unlikely(asked))
		answer_trace(asked, t, verdict, SHUNT_REASON_NONE);
	else
		count_verdict(verdict);
	return action;
}

/* bytes: of the client's packet. Returns action. */
static __always_inline int count_forwarded(struct xdp_md *ctx, const struct shunt_trace *t, __u32 bytes, int action)
{
	struct shunt_trace *asked = asked_trace(ctx);

	if (unlikely(asked)) {
		answer_trace(asked, t, SHUNT_VERDICT_EDGE_FORWARDED, SHUNT_REASON_NONE);
		return action;
	}
	count_member(t->member, bytes);
	count_verdict(SHUNT_VERDICT_EDGE_FORWARDED);
	return action;
}

/* Returns XDP_DROP. */
static __always_inline int count_dropped(struct xdp_md *ctx, const struct shunt_trace *t, __u32 verdict, __u32 reason)
{
	struct shunt_trace *asked = asked_trace(ctx);

	if (unlikely(asked)) {
		answer_trace(asked, t, verdict, reason);
		return XDP_DROP;
	}
	count_verdict(verdict);
	count_drop(ctx->ingress_ifindex, reason);
	return XDP_DROP;
}

#endif
