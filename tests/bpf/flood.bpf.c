// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A flood: makes of every frame that it gets a packet of some flow or other to one address, the first of its flow or a
 * later one, and tail-calls the program that is flooded. What a run before left in the frame is written over.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tests/bpf/flood.h"

char _license[] SEC("license") = "Dual BSD/GPL";

__u64 head[FLOOD_HEAD / 8]; /* the template */
__u64 packets; /* made */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} target SEC(".maps");

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	__u64 *frame = (void *)(long)ctx->data;
	__u32 source = bpf_get_prandom_u32(), rest = bpf_get_prandom_u32();

	if ((void *)frame + FLOOD_HEAD > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
#pragma unroll
	for (int i = 0; i < FLOOD_HEAD / 8; i++)
		frame[i] = head[i];
	*(__u16 *)((void *)frame + FLOOD_SOURCE) = source;
	*(__u16 *)((void *)frame + FLOOD_SOURCE + 2) = source >> 16;
	*(__u16 *)((void *)frame + FLOOD_PORT) = rest;
	*((__u8 *)frame + FLOOD_FLAGS) = rest >> 16 & 1 ? FLOOD_SYN : FLOOD_ACK;
	__sync_fetch_and_add(&packets, 1);
	bpf_tail_call(ctx, &target, 0);
	return XDP_ABORTED;
}
