/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which backend a flow goes to: service, slot, member, backend are four loads from arrays, one after the other. Only a
 * slot in transition remembers flows. A QUIC connection ID may name the backend instead. The trace notes each step.
 */
#ifndef SHUNT_CHOOSE_BPF_H
#define SHUNT_CHOOSE_BPF_H

#define READY (SHUNT_BACKEND_UP | SHUNT_BACKEND_NEXTHOP)

/* Nobody is ready: who is up and lacks no more than a next hop, or NULL. */
static __always_inline struct shunt_backend *unreachable(__u64 table, __u64 word, struct shunt_trace *t)
{
	struct shunt_backend *b = backend_with(SHUNT_BACKEND_UP, table, shunt_slot_current(word), t);

	return b ? b : backend_with(SHUNT_BACKEND_UP, table, shunt_slot_runner_up(word), t);
}

/* What the packet is to the flow cache. */
static __always_inline __u32 packet_in_flow(struct xdp_md *ctx, const struct packet *p)
{
	const struct tcphdr *tcp = p->transport;
	__u32 what = asked_trace(ctx) ? CACHE_PEEK : 0;

	if (p->proto == IPPROTO_UDP)
		return what | CACHE_UDP;
	if (p->proto != IPPROTO_TCP)
		return CACHE_PEEK; /* an ICMP error about the flow */
	if ((void *)(tcp + 1) > packet_end(ctx))
		return what;
	if (begins_flow(tcp))
		return what | CACHE_FIRST;
	return tcp->fin || tcp->rst ? what | CACHE_LAST : what;
}

/* The backend that issued the packet's QUIC connection ID, if it can take the packet; else NULL. */
static __always_inline struct shunt_backend *quic_backend(struct xdp_md *ctx, const struct packet *p, __u32 flags,
							  __u64 table, struct shunt_trace *t)
{
	struct shunt_backend *b;

	if (!feature(SHUNT_FEATURE_QUIC) || !(flags & SHUNT_SERVICE_QUIC))
		return NULL;
	b = backend_with(READY, table, quic_member(ctx, p->link, t->service, flags), t);
	if (b)
		t->flags |= SHUNT_TRACE_QUIC;
	else
		t->member = t->backend = SHUNT_UNSET;
	return b;
}

/*
 * The owner of the flow's slot or, while that is not up or cannot be reached, the slot's current owner or its runner-up. The
 * packet may be an ICMP error about the flow. NULL: the service has no backend for this flow; one without a next hop:
 * there is no other.
 */
static __always_inline struct shunt_backend *choose(struct xdp_md *ctx, const struct packet *p, const struct flow *f,
						    __u32 service, __u64 hash, struct shunt_trace *t)
{
	struct shunt_service *s = bpf_map_lookup_elem(&services, &service);
	struct shunt_backend *b;
	__u64 table, *slot, word;
	__u32 number;
	__u16 owner;

	if (!s)
		return NULL;
	table = READ_ONCE(s->table);
	t->service = service;
	/* asked once for both: each question costs all packets a load */
	if (unlikely(feature(SHUNT_FEATURE_QUIC | SHUNT_FEATURE_AFFINITY))) {
		b = quic_backend(ctx, p, READ_ONCE(s->flags), table, t);
		if (b)
			return b;
		hash = slot_hash(s, f, hash);
	}
	t->slot = (__u32)hash & shunt_table_mask(table);
	number = shunt_table_first_slot(table) + t->slot;
	slot = bpf_map_lookup_elem(&slots, &number);
	if (!slot)
		return NULL;
	word = READ_ONCE(*slot);
	owner = shunt_slot_current(word);
	if (unlikely(!shunt_slot_steady(word))) {
		t->flags |= SHUNT_TRACE_TRANSITION;
		owner = cache_owner(hash, READ_ONCE(s->flows), word, packet_in_flow(ctx, p), service);
	}
	b = backend_with(READY, table, owner, t);
	if (likely(b))
		return b;
	if (owner != shunt_slot_current(word))
		b = backend_with(READY, table, shunt_slot_current(word), t);
	if (b)
		return b;
	b = backend_with(READY, table, shunt_slot_runner_up(word), t);
	if (!b)
		return unreachable(table, word, t);
	t->flags |= SHUNT_TRACE_FAILED_OVER;
	return b;
}

#endif
