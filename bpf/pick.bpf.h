/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which backend a local process's connection goes to, by the service's algorithm. All but round-robin choose among
 * slots, whose table has the weights in it:
 *   consistent          by a hash of the socket's cookie, or of its network namespace's, for affinity: client
 *   random              any slot
 *   least-connections   two slots, and of their owners the one with fewer connections for its weight ("The Power of Two
 *                       Choices in Randomized Load Balancing", Mitzenmacher, 2001); one owner: with the slot's runner-up
 *   round-robin         the next in `turns`, where the daemon spread the members evenly
 * A backend that fails is left at once: its slot's runner-up takes its place, then other slots do.
 */
#ifndef SHUNT_PICK_BPF_H
#define SHUNT_PICK_BPF_H

struct pick {
	__u64 table;
	__u32 turns; /* of the service */
	__u32 takes; /* TAKES_* */
	bool peek; /* somebody only asks: no turn is taken */
};

/* How many other turns are tried before slots are, which go by weights too. */
#define TURN_TRIES 32
/*
 * How many other slots are tried before a service counts as one without a usable backend. Many: few of its backends
 * may be of a family that the socket takes.
 */
#define SLOT_TRIES 512

/* Does the call take this backend? */
static __always_inline bool is_usable(const struct shunt_backend *b, __u32 takes)
{
	__u32 flags = b ? READ_ONCE(b->flags) : 0;

	return flags & SHUNT_BACKEND_UP && takes & (flags & SHUNT_BACKEND_IP6 ? TAKES_IP6 : TAKES_IP4);
}

static __always_inline struct shunt_backend *usable(const struct pick *p, __u16 number, struct shunt_trace *t)
{
	struct shunt_backend *b = slot_backend(p->table, number, t);

	return is_usable(b, p->takes) ? b : NULL;
}

/* The owner of the slot, or its runner-up. */
static __always_inline struct shunt_backend *slot_owner(const struct pick *p, __u32 hash, struct shunt_trace *t)
{
	__u32 slot = hash & shunt_table_mask(p->table), number = shunt_table_first_slot(p->table) + slot;
	__u64 *word = bpf_map_lookup_elem(&slots, &number);
	struct shunt_backend *b;

	if (!word)
		return NULL;
	t->slot = slot;
	b = usable(p, shunt_slot_current(READ_ONCE(*word)), t);
	if (likely(b))
		return b;
	b = usable(p, shunt_slot_runner_up(READ_ONCE(*word)), t);
	if (b)
		t->flags |= SHUNT_TRACE_FAILED_OVER;
	return b;
}

/* ---- the search for another one: functions of their own, verified once, and seldom called ---- */

/* The number, if its backend can be taken; else SHUNT_NONE. */
__noinline __u32 usable_number(__u64 table, __u16 number, __u32 takes)
{
	struct shunt_trace t;

	return is_usable(slot_backend(table, number, &t), takes) ? number : SHUNT_NONE;
}

/* The number of a usable member in some other slot, and the slot above it (from bit 16); SHUNT_NONE: there is none. */
__noinline __u64 search_slots(__u64 table, __u32 hash, __u32 takes)
{
	__u32 found;

	for (int i = 0; i < SLOT_TRIES; i++) {
		__u32 slot, number;
		__u64 *word;

		hash += 0x9e3779b1; /* odd: comes by every slot */
		slot = hash & shunt_table_mask(table);
		number = shunt_table_first_slot(table) + slot;
		word = bpf_map_lookup_elem(&slots, &number);
		if (!word)
			break;
		found = usable_number(table, shunt_slot_current(READ_ONCE(*word)), takes);
		if (found == SHUNT_NONE)
			found = usable_number(table, shunt_slot_runner_up(READ_ONCE(*word)), takes);
		if (found != SHUNT_NONE)
			return (__u64)slot << 16 | found;
	}
	return SHUNT_NONE;
}

/* The number of a usable member in a turn after this one; SHUNT_NONE: there is none. */
__noinline __u64 search_turns(__u64 table, __u32 turn, __u32 turns_of_it, __u32 takes)
{
	for (int i = 0; i < TURN_TRIES; i++) {
		__u32 at;
		__u64 *word;
		__u32 found;

		turn = turn + 1 < turns_of_it ? turn + 1 : 0;
		at = shunt_turn_word(shunt_table_first_slot(table) + turn);
		word = bpf_map_lookup_elem(&turns, &at);
		if (!word)
			break;
		found = usable_number(table, shunt_turn_member(READ_ONCE(*word), turn), takes);
		if (found != SHUNT_NONE)
			return found;
	}
	return SHUNT_NONE;
}

static __always_inline struct shunt_backend *by_slot(const struct pick *p, __u32 hash, struct shunt_trace *t)
{
	struct shunt_backend *b = slot_owner(p, hash, t);
	__u64 found;

	if (likely(b))
		return b;
	found = search_slots(p->table, hash, p->takes);
	if (found == SHUNT_NONE)
		return NULL;
	t->flags |= SHUNT_TRACE_FAILED_OVER;
	t->slot = found >> 16;
	return slot_backend(p->table, found, t);
}

/* ---- round-robin ---- */

static __always_inline __u32 take_turn(__u32 service, bool peek)
{
	struct turn *turn = bpf_map_lookup_elem(&turns_taken, &service);
	__u32 taken = 0;

	if (!turn)
		return 0;
	bpf_spin_lock(&turn->lock);
	taken = turn->taken;
	if (!peek)
		turn->taken = taken + 1;
	bpf_spin_unlock(&turn->lock);
	return taken;
}

/*
 * No more than there are slots, so that none is another service's: while a service moves to another region, its number
 * of turns may be of the one and its table of the other.
 */
static __always_inline __u32 turns_of(const struct pick *p)
{
	__u32 slots = shunt_table_mask(p->table) + 1;

	return p->turns < slots ? p->turns : slots;
}

static __always_inline struct shunt_backend *turn_owner(const struct pick *p, __u32 turn, struct shunt_trace *t)
{
	__u32 at = shunt_turn_word(shunt_table_first_slot(p->table) + turn);
	__u64 *word = bpf_map_lookup_elem(&turns, &at);

	return word ? usable(p, shunt_turn_member(READ_ONCE(*word), turn), t) : NULL;
}

static __always_inline struct shunt_backend *by_turn(const struct pick *p, struct shunt_trace *t)
{
	struct shunt_backend *b;
	__u32 turn;

	if (!p->turns)
		return by_slot(p, bpf_get_prandom_u32(), t);
	turn = take_turn(t->service, p->peek) % turns_of(p);
	b = turn_owner(p, turn, t);
	if (likely(b))
		return b;
	t->flags |= SHUNT_TRACE_FAILED_OVER;
	b = slot_backend(p->table, search_turns(p->table, turn, turns_of(p), p->takes), t);
	return b ? b : by_slot(p, turn, t);
}

/* ---- least-connections ---- */

static __always_inline struct shunt_connections *account_of(__u32 member)
{
	struct shunt_member *m = bpf_map_lookup_elem(&members, &member);
	__u32 account = m ? READ_ONCE(m->account) : SHUNT_UNSET;

	return bpf_map_lookup_elem(&connections, &account);
}

/* Would a, with one more, have fewer connections for its weight than b with one more? As many: yes. */
static __always_inline bool is_idler(__u32 a, __u32 b)
{
	struct shunt_connections *of_a = account_of(a), *of_b = account_of(b);

	return !of_a || !of_b ||
	       (READ_ONCE(of_a->open) + 1) * READ_ONCE(of_b->weight) <= (READ_ONCE(of_b->open) + 1) * READ_ONCE(of_a->weight);
}

/* The next in the ranking of t's slot, if it can be taken. */
static __always_inline struct shunt_backend *runner_up(const struct pick *p, struct shunt_trace *t)
{
	__u32 number = shunt_table_first_slot(p->table) + t->slot;
	__u64 *word = bpf_map_lookup_elem(&slots, &number);

	return word ? usable(p, shunt_slot_runner_up(READ_ONCE(*word)), t) : NULL;
}

static __always_inline struct shunt_backend *by_connections(const struct pick *p, struct shunt_trace *t)
{
	struct shunt_trace other = *t;
	struct shunt_backend *a = by_slot(p, bpf_get_prandom_u32(), t), *b;

	if (!a)
		return NULL;
	b = slot_owner(p, bpf_get_prandom_u32(), &other);
	if (b == a) /* so that of few backends, too, two different ones are compared */
		b = runner_up(p, &other);
	if (!b || is_idler(t->member, other.member))
		return a;
	*t = other;
	return b;
}

/* ---- all of them ---- */

static __always_inline __u32 socket_hash(struct bpf_sock_addr *ctx, __u32 flags)
{
	__u64 who = flags & SHUNT_SERVICE_CLIENT ? bpf_get_netns_cookie(ctx) : bpf_get_socket_cookie(ctx);

	return shunt_mix(who ^ settings.secret); /* cookies are counted from 1 on every host */
}

/* NULL: the service has no usable backend for this socket. s: t->service's entry; flags: its flags */
static __always_inline struct shunt_backend *pick(struct bpf_sock_addr *ctx, const struct shunt_service *s, __u32 flags,
						  __u32 takes, bool peek, struct shunt_trace *t)
{
	const struct pick p = { .table = READ_ONCE(s->table), .turns = READ_ONCE(s->turns), .takes = takes, .peek = peek };

	switch (shunt_service_algorithm(flags)) {
	case SHUNT_ALGORITHM_ROUND_ROBIN:
		return by_turn(&p, t);
	case SHUNT_ALGORITHM_LEAST:
		return by_connections(&p, t);
	case SHUNT_ALGORITHM_RANDOM:
		return by_slot(&p, bpf_get_prandom_u32(), t);
	default:
		return by_slot(&p, socket_hash(ctx, flags), t);
	}
}

#endif
