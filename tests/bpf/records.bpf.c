// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Writes out the connections that a test put into a map, as the iterator over sockets writes out those it finds. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"
#include "tests/bpf/records.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Of the kernel's BTF. */
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shunt_connection);
	__uint(max_entries, RECORDS);
} connections SEC(".maps");

__u32 looks;

SEC("iter/bpf_map_elem")
int records(struct bpf_iter__bpf_map_elem *ctx)
{
	struct shunt_connection *at = ctx->value, c;

	if (!at) {
		__sync_fetch_and_add(&looks, 1); /* called once more at the end */
		return 0;
	}
	c = *at;
	if (c.cookie)
		bpf_seq_write(ctx->meta->seq, &c, sizeof(c));
	return 0;
}
