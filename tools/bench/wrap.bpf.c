// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The harness around a program under test. BPF_PROG_TEST_RUN hands a packet to the next repeat as the last one left it,
 * so a program that encapsulates would see its own output from the second packet on, and always the same flow. This
 * program makes a fresh packet of it, of the next flow, and tail-calls the one under test, or an empty one: the
 * difference of the two is what the program under test costs. Both ways execute the same instructions here.
 *
 * Checksums are those of the template: no program under test looks at them.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tools/bench/wrap.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define IP4_SOURCE 26 /* offsets in the frame */
#define IP4_DESTINATION 30
#define IP4_PORTS 34
#define IP4_QUIC_SERVER 44 /* behind UDP's header, a short header's first byte, and the connection ID's */
#define IP6_SOURCE_END 34 /* last words of the addresses */
#define IP6_PORTS 54

__u64 head[WRAP_HEAD / 8]; /* the template */
__u32 flows = 1; /* how many there are */
__u32 flow; /* the next one */
__u32 target; /* WRAP_EMPTY or WRAP_TESTED */
bool six; /* the template is IPv6 */
__u32 servers; /* so many numbers, of two bytes, are issuers of QUIC connection IDs (IPv4); 0: there are no such IDs */
bool vary_destination; /* the low half of the (IPv4) destination as well */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 2);
} targets SEC(".maps");

static __always_inline __u64 frame_length(const struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

/* Cuts off what was put in front and writes the head again. Returns the frame, or NULL. */
static __always_inline void *restore(struct xdp_md *ctx)
{
	__u64 *frame;

	if (bpf_xdp_adjust_head(ctx, (int)frame_length(ctx) - WRAP_FRAME))
		return NULL;
	frame = (void *)(long)ctx->data;
	if ((void *)frame + WRAP_HEAD > (void *)(long)ctx->data_end)
		return NULL;
#pragma unroll
	for (int i = 0; i < WRAP_HEAD / 8; i++)
		frame[i] = head[i];
	return frame;
}

/*
 * The next flow's number, mixed. An odd factor is a bijection of the low 24 bits, which become the client's address:
 * as many flows as numbers.
 */
static __always_inline __u32 next_flow(void)
{
	__u32 number = flow;

	flow = number + 1 < flows ? number + 1 : 0;
	return number * 0x9e3779b1u;
}

static __always_inline void put_flow(void *frame, __u32 mixed)
{
	__be32 low = bpf_htonl(mixed & 0xffffff);
	__be16 port = bpf_htons(1024 + (mixed >> 8) % 60000);

	if (six) {
		*(__u32 *)(frame + IP6_SOURCE_END) ^= low;
		*(__u16 *)(frame + IP6_PORTS) = port;
		return;
	}
	*(__u32 *)(frame + IP4_SOURCE) ^= low;
	*(__u16 *)(frame + IP4_PORTS) = port;
	if (servers)
		*(__u16 *)(frame + IP4_QUIC_SERVER) = bpf_htons((mixed >> 8) % servers);
	if (vary_destination)
		*(__u16 *)(frame + IP4_DESTINATION + 2) ^= (__u16)(mixed >> 16);
}

SEC("xdp")
int wrap(struct xdp_md *ctx)
{
	void *frame = restore(ctx);

	if (!frame)
		return XDP_ABORTED;
	put_flow(frame, next_flow());
	bpf_tail_call(ctx, &targets, target);
	return XDP_ABORTED;
}

SEC("xdp")
int empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}
