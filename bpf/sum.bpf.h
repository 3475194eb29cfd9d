/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Internet checksums (RFC 1071, 1624). Sums are of words as they lie in memory: the order of bytes does not matter. */
#ifndef SHUNT_SUM_BPF_H
#define SHUNT_SUM_BPF_H

/* 16 bits of ones' complement out of a sum of fewer than 65,535 words of 16 or 32 bits. */
static __always_inline __u16 sum_fold(__u64 sum)
{
	sum = (__u32)sum + (sum >> 32); /* so few words that the carries below do not add up to another */
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

/* The checksum after one word under it changed (RFC 1624, equation 3). */
static __always_inline __sum16 sum_replace(__sum16 check, __u16 from, __u16 to)
{
	return ~sum_fold((__u64)(__u16)~check + (__u16)~from + to);
}

#endif
