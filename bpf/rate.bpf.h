/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is allowed so many times a second, for each service on each CPU: a bucket of tokens, of one second's at most. */
#ifndef SHUNT_RATE_BPF_H
#define SHUNT_RATE_BPF_H

#define SECOND 1000000000ull /* ns */

/* Takes a token of the service's. buckets: a per-CPU array by service; rate: tokens a second */
static __always_inline bool rate_allows(void *buckets, __u32 service, __u64 rate)
{
	struct token_bucket *bucket = bpf_map_lookup_elem(buckets, &service);
	__u64 now = bpf_ktime_get_ns(), passed, more;

	if (!bucket || !rate)
		return false;
	passed = now - bucket->filled_ns;
	if (passed >= SECOND) {
		bucket->tokens = rate;
		bucket->filled_ns = now;
	} else {
		more = passed * rate / SECOND;
		bucket->tokens += more;
		bucket->filled_ns += more * SECOND / rate;
		if (bucket->tokens > rate)
			bucket->tokens = rate;
	}
	if (!bucket->tokens)
		return false;
	bucket->tokens--;
	return true;
}

#endif
