/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a number in a slot to the backend behind it: member, backend. The trace notes both. */
#ifndef SHUNT_MEMBER_BPF_H
#define SHUNT_MEMBER_BPF_H

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

/* The backend behind a number in a slot if it has these flags, or NULL. */
static __always_inline struct shunt_backend *backend_with(__u32 flags, __u64 table, __u16 number, struct shunt_trace *t)
{
	struct shunt_backend *b = slot_backend(table, number, t);

	return b && (READ_ONCE(b->flags) & flags) == flags ? b : NULL;
}

#endif
