/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a socket asked for and what it was given, and the count of what each member has. A note lives as long as the
 * connection, and nobody else's can push it out. The kernel holds the socket's lock whenever one of these runs, but
 * not when the socket is closed.
 */
#ifndef SHUNT_PEER_BPF_H
#define SHUNT_PEER_BPF_H

/* The account of what the socket was given, if it is still that member's. */
static __always_inline struct shunt_connections *peer_account(const struct shunt_peer *p)
{
	__u32 account = p->account;
	struct shunt_connections *c = bpf_map_lookup_elem(&connections, &account);

	return c && READ_ONCE(c->generation) == p->generation ? c : NULL;
}

static __always_inline void peer_count(struct shunt_peer *p)
{
	struct shunt_connections *c = peer_account(p);

	if (p->flags & SHUNT_PEER_COUNTED || !c)
		return;
	__sync_fetch_and_add(&c->open, 1);
	__sync_fetch_and_add(&c->made, 1);
	p->flags |= SHUNT_PEER_COUNTED;
}

static __always_inline void peer_uncount(struct shunt_peer *p)
{
	struct shunt_connections *c;

	if (!(p->flags & SHUNT_PEER_COUNTED))
		return;
	p->flags &= ~SHUNT_PEER_COUNTED;
	c = peer_account(p);
	if (c)
		__sync_fetch_and_add(&c->open, -1);
}

/*
 * The socket is connected to nothing of a service any more. A reset may come while the socket is closed: whoever takes
 * the note away counts it out, and nobody else.
 */
static __always_inline void peer_forget(__u64 cookie, const struct shunt_peer *p)
{
	struct shunt_peer was = *p;

	if (!bpf_map_delete_elem(&peers, &cookie))
		peer_uncount(&was);
}

/* member: index into `members` */
static __always_inline void peer_write(struct shunt_peer *p, const struct asked *a, const struct shunt_backend *b,
				       __u32 member)
{
	struct shunt_member *m = bpf_map_lookup_elem(&members, &member);
	__u32 account = m ? READ_ONCE(m->account) : SHUNT_UNSET;
	struct shunt_connections *c = bpf_map_lookup_elem(&connections, &account);

	peer_uncount(p);
	p->asked = a->addr;
	p->asked_port = a->port;
	p->given = b->address;
	p->given_port = port_of(b, a);
	p->account = account;
	p->generation = c ? READ_ONCE(c->generation) : 0;
	p->flags = SHUNT_PEER_SET;
}

static __always_inline bool peer_asked(const struct shunt_peer *p, const struct asked *a)
{
	return p->flags & SHUNT_PEER_SET && p->asked_port == a->port && same_addr(&p->asked, &a->addr);
}

static __always_inline bool peer_given(const struct shunt_peer *p, const struct asked *a)
{
	return p->flags & SHUNT_PEER_SET && p->given_port == a->port && same_addr(&p->given, &a->addr);
}

/* May what was given be used again? Its backend lives, and the member is not shut; drained is no reason. */
static __always_inline bool peer_lives(const struct shunt_peer *p)
{
	struct shunt_connections *c = peer_account(p);
	struct shunt_member *m;
	struct shunt_backend *b;
	__u32 member, backend;

	if (!c)
		return false;
	member = READ_ONCE(c->member);
	m = bpf_map_lookup_elem(&members, &member);
	if (!m)
		return false;
	backend = READ_ONCE(m->backend);
	b = bpf_map_lookup_elem(&backends, &backend);
	return b && READ_ONCE(b->flags) & SHUNT_BACKEND_UP;
}

#endif
