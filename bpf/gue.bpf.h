/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * `forward: gue`: between the outer IP header and the packet stand UDP and GUE headers (abi.h, struct shunt_gue), which say
 * who else may know the packet's flow: second chance, slot.h.
 */
#ifndef SHUNT_GUE_BPF_H
#define SHUNT_GUE_BPF_H

#define GUE_HEADERS (sizeof(struct udphdr) + sizeof(struct shunt_gue))
#define ENTROPY_PORTS 0xc000 /* source ports say nothing but the flow's hash: 49152 and above */

/*
 * Who may know the flow beside the one chosen: nobody, if the packet begins its flow or it is not TCP's. The slot is looked up
 * again: what choose() found is not worth a register to all the other packets.
 */
static __always_inline struct shunt_hops other_owners(struct xdp_md *ctx, const struct packet *p, __u64 table,
						      const struct shunt_trace *t)
{
	__u32 number = shunt_table_first_slot(table) + t->slot;
	struct shunt_alternates *others = bpf_map_lookup_elem(&alternates, &number);
	__u64 *slot = bpf_map_lookup_elem(&slots, &number);

	if (!others || !slot || packet_in_flow(ctx, p) & (CACHE_FIRST | CACHE_UDP))
		return (struct shunt_hops){};
	return shunt_hops(READ_ONCE(*slot), others, t->member - shunt_table_first_member(table));
}

/* The backend behind a number in a slot, if it is up and has an address of this family, or NULL. */
static __always_inline struct shunt_backend *hop_backend(__u64 table, __u16 number, bool v6)
{
	struct shunt_trace unused;
	struct shunt_backend *b = backend_with(SHUNT_BACKEND_UP, table, number, &unused);

	return b && !!(READ_ONCE(b->flags) & SHUNT_BACKEND_IP6) == v6 ? b : NULL;
}

static __always_inline bool put_hop4(word32 *at, void *end, __u64 table, __u16 number)
{
	struct shunt_backend *b = hop_backend(table, number, false);

	if ((void *)(at + 1) > end)
		return false;
	*at = b ? b->address.words[3] : 0;
	return true;
}

static __always_inline bool put_hop6(word32 *at, void *end, __u64 table, __u16 number)
{
	struct shunt_backend *b = hop_backend(table, number, true);

	if ((void *)(at + 4) > end)
		return false;
	for (int i = 0; i < 4; i++)
		at[i] = b ? b->address.words[i] : 0;
	return true;
}

static __always_inline bool put_hops(void *at, void *end, const struct shunt_hops *h, __u64 table, bool outer6)
{
#pragma unroll
	for (__u32 i = 0; i < SHUNT_HOPS; i++) {
		if (i >= h->n)
			break;
		if (!(outer6 ? put_hop6((word32 *)at + 4 * i, end, table, shunt_hop(h, i)) :
			       put_hop4((word32 *)at + i, end, table, shunt_hop(h, i))))
			return false;
	}
	return true;
}

static __always_inline bool put_gue(void *at, void *end, const struct packet *p, const struct shunt_hops *h, __u64 table,
				    bool outer6, __u32 entropy, __u32 between)
{
	struct udphdr *udp = at;
	struct shunt_gue *g = at + sizeof(*udp);

	if ((void *)(g + 1) > end)
		return false;
	udp->source = bpf_htons(ENTROPY_PORTS | (entropy & ~ENTROPY_PORTS));
	udp->dest = bpf_htons(SHUNT_GUE_PORT);
	udp->len = bpf_htons(p->length + between);
	udp->check = 0;
	g->words = (between - sizeof(*udp)) / 4 - 1;
	g->proto = p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	g->flags = 0;
	g->magic = bpf_htons(SHUNT_GUE_MAGIC);
	g->next = 0;
	g->n = h->n;
	return put_hops(g + 1, end, h, table, outer6);
}

static __always_inline bool tunnel_gue(struct xdp_md *ctx, const struct packet *p, const struct shunt_backend *b,
				       bool outer6, __u32 entropy, const struct shunt_trace *t)
{
	__u32 service = t->service, between;
	struct shunt_service *s = bpf_map_lookup_elem(&services, &service);
	struct shunt_hops h;
	__u64 table;
	void *at;

	if (!s)
		return false;
	table = READ_ONCE(s->table);
	h = other_owners(ctx, p, table, t);
	between = GUE_HEADERS + h.n * (outer6 ? 16 : 4);
	decrease_ttl(p);
	at = encapsulate(ctx, p, b, outer6, entropy, between);
	return at && put_gue(at, packet_end(ctx), p, &h, table, outer6, entropy, between);
}

/* Puts the packet into a tunnel to the backend. False: there was no room for it. */
static __always_inline bool tunnel(struct xdp_md *ctx, const struct packet *p, const struct shunt_backend *b,
				   bool outer6, __u32 entropy, const struct shunt_trace *t)
{
	if (unlikely(feature(SHUNT_FEATURE_GUE)) && b->forward == SHUNT_FORWARD_GUE)
		return tunnel_gue(ctx, p, b, outer6, entropy, t);
	decrease_ttl(p);
	return encapsulate(ctx, p, b, outer6, entropy, 0);
}

#endif
