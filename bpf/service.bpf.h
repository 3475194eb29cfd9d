/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose an address and port is: the filter, then the table of listeners, as abi.h describes them. */
#ifndef SHUNT_SERVICE_BPF_H
#define SHUNT_SERVICE_BPF_H

#define NO_SERVICE 0xffffffffu

/* False: no listener has this address. True promises nothing. */
static __always_inline bool filter_has(__u64 addr_hash)
{
	__u32 bit = shunt_filter_bit(addr_hash), zero = 0;
	struct shunt_filter *f = bpf_map_lookup_elem(&filter, &zero);

	return f && f->words[bit / 64] >> (bit & 63) & 1;
}

/* Is the entry at this place the listener's? *what: its key and service; 0: no search goes on from here. */
static __always_inline bool listener_at(__u32 place, __u32 key, __u64 half0, __u64 half1, __u64 *what)
{
	struct shunt_listener *l = bpf_map_lookup_elem(&listeners, &place);

	*what = l ? READ_ONCE(l->what) : 0;
	return l && (__u32)*what == key && shunt_addr_half(&l->addr, 0) == half0 &&
	       shunt_addr_half(&l->addr, 1) == half1;
}

/*
 * The search from this place on: the service, or NO_SERVICE. A function of its own, because it is verified once, and
 * not once for each way to it; and seldom called.
 */
__noinline __u32 find_from(__u32 place, __u32 key, __u64 half0, __u64 half1)
{
	__u64 what;

	for (int i = 1; i < SHUNT_LISTENER_PROBES; i++, place++) {
		if (listener_at(place, key, half0, half1, &what))
			return shunt_listener_service(what);
		if (!what)
			break;
	}
	return NO_SERVICE;
}

/* The service that listens on this address with this key, or NO_SERVICE. hash: of both */
static __always_inline __u32 find_listener(const struct shunt_addr *a, __u32 key, __u64 hash)
{
	__u32 home = shunt_listener_home(hash, settings.listener_shift);
	__u64 half0 = shunt_addr_half(a, 0), half1 = shunt_addr_half(a, 1), what;

	if (likely(listener_at(home, key, half0, half1, &what)))
		return shunt_listener_service(what);
	return what ? find_from(home + 1, key, half0, half1) : NO_SERVICE;
}

/* Packets of this service are not the edge program's: it is balanced at sockets alone, or local. */
static __always_inline bool is_not_edge(__u32 service)
{
	struct shunt_service *s;

	if (!feature(SHUNT_FEATURE_NOT_EDGE))
		return false;
	s = bpf_map_lookup_elem(&services, &service);
	return s && READ_ONCE(s->flags) & SHUNT_SERVICE_NOT_EDGE;
}

#endif
