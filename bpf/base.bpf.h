/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every file here needs: the settings, and a few words for loads and branches.
 *
 * Two rules come from kernel 5.10, the oldest that must load these programs: its verifier forgets the bounds of a number
 * that the compiler spills, so an offset is bounded again right before it is added to a pointer (`forget`); and a
 * helper newer than 5.10 stands behind a feature, whose code the verifier removes.
 */
#ifndef SHUNT_BASE_BPF_H
#define SHUNT_BASE_BPF_H

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* Constants for the verifier: code of a feature that is off is removed. */
const volatile struct shunt_settings settings = {};

static __always_inline bool feature(__u32 bit)
{
	return settings.features & bit;
}

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* One load, or one store, of what others may read or write at the same time. */
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

/* Words of a packet: at any address, over any type. */
typedef __u16 __attribute__((may_alias)) word16;
typedef __u32 __attribute__((may_alias)) word32;
typedef __u64 __attribute__((may_alias)) word64;

static __always_inline void *packet_start(struct xdp_md *ctx)
{
	return (void *)(long)ctx->data;
}

static __always_inline void *packet_end(struct xdp_md *ctx)
{
	return (void *)(long)ctx->data_end;
}

/* Bytes of the frame, those beyond the first buffer included. */
static __always_inline __u32 frame_length(struct xdp_md *ctx)
{
	if (feature(SHUNT_FEATURE_FRAGS))
		return bpf_xdp_get_buff_len(ctx);
	return packet_end(ctx) - packet_start(ctx);
}

/* The third word of an IPv4 address in the one form of addresses. */
#define MAPPED bpf_htonl(0xffff)

/* No header of a packet that is looked at begins further from the one before it than this. */
#define REACH 0x1fff

/*
 * *at = the same place, of which the verifier knows only that it lies within REACH after base: the ways that led there
 * become one, and so do all the states that follow. False: it is beyond.
 */
static __always_inline bool forget(void *base, void **at)
{
	__u64 offset = *at - base;

	asm volatile("" : "+r"(offset));
	if (offset > REACH)
		return false;
	*at = base + offset;
	return true;
}

#endif
