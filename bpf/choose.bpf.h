/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which backend a flow goes to: service, slot, member, backend are four loads from arrays, one after the other. Only a
 * slot in transition remembers flows. The trace notes each step.
 */
#ifndef SHUNT_CHOOSE_BPF_H
#define SHUNT_CHOOSE_BPF_H

/* The backend behind a number in a slot, or NULL. */
static __always_inline struct shunt_backend *slot_backend(__u64 table, __u16 number, struct shunt_trace *t)
{
	__u32 member = shunt_table_first_member(table) + number, backend;
	struct shunt_member *m;

	if (unlikely(number == SHUNT_NONE))
		return NULL;
	m = bpf_map_lookup_elem(&members, &member);
	if (!m)
		return NULL;
	backend = READ_ONCE(m->backend);
	t->member = member;
	t->backend = backend;
	return bpf_map_lookup_elem(&backends, &backend);
}

/* The backend behind a number in a slot if it may be chosen, or NULL. */
static __always_inline struct shunt_backend *up_backend(__u64 table, __u16 number, struct shunt_trace *t)
{
	struct shunt_backend *b = slot_backend(table, number, t);

	return b && READ_ONCE(b->flags) & SHUNT_BACKEND_UP ? b : NULL;
}

static __always_inline bool is_syn(struct xdp_md *ctx, const struct packet *p)
{
	const struct tcphdr *tcp = p->transport;

	return (void *)(tcp + 1) <= packet_end(ctx) && tcp->syn && !tcp->ack;
}

/*
 * The owner of a flow in a slot in transition. A first packet goes to current; any other follows what was noted, else
 * it is older than the transition and belongs to the anchor. Both are noted, so that a flow stays where it was seen.
 * UDP has no first packet: it goes to current.
 */
static __always_inline __u16 owner_in_transition(struct xdp_md *ctx, const struct packet *p, __u8 proto, __u64 hash,
						 __u32 epoch, __u64 word, struct shunt_trace *t)
{
	bool first = p->proto == IPPROTO_TCP && is_syn(ctx, p);
	__u32 what = first ? 0 : CACHE_LOOK;

	t->flags |= SHUNT_TRACE_TRANSITION;
	if (proto != IPPROTO_TCP)
		return shunt_slot_current(word);
	if (p->proto == IPPROTO_TCP && !asked_trace(ctx))
		what |= CACHE_NOTE;
	return cache_owner(hash, epoch, first ? shunt_slot_current(word) : shunt_slot_anchor(word), what);
}

/*
 * The owner of the flow's slot or, while that is not up, the slot's current owner or its runner-up. proto: the flow's;
 * the packet may be an ICMP error about it. NULL: the service has no backend for this flow.
 */
static __always_inline struct shunt_backend *choose(struct xdp_md *ctx, const struct packet *p, __u32 service,
						    __u8 proto, __u64 hash, struct shunt_trace *t)
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
	t->slot = (__u32)hash & shunt_table_mask(table);
	number = shunt_table_first_slot(table) + t->slot;
	slot = bpf_map_lookup_elem(&slots, &number);
	if (!slot)
		return NULL;
	word = READ_ONCE(*slot);
	owner = shunt_slot_current(word);
	if (unlikely(!shunt_slot_steady(word)))
		owner = owner_in_transition(ctx, p, proto, hash, READ_ONCE(s->epoch), word, t);
	b = up_backend(table, owner, t);
	if (likely(b))
		return b;
	if (owner != shunt_slot_current(word))
		b = up_backend(table, shunt_slot_current(word), t);
	if (b)
		return b;
	b = up_backend(table, shunt_slot_runner_up(word), t);
	if (b)
		t->flags |= SHUNT_TRACE_FAILED_OVER;
	return b;
}

#endif
