/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The logarithm that weighted rendezvous hashing needs, in integers, so that all machines agree. Within model only. */
#ifndef MODEL_LOG2_H
#define MODEL_LOG2_H

#include <stdint.h>

#define LOG2_BITS 40 /* after the binary point */

/*
 * -log2(1 - u / 2^32): exponentially distributed when u is uniform. Never falls as u grows; 0 to 32.
 * For all u: at least 0.999 * u / (2^32 * ln 2).
 */
uint64_t log2_negative(uint32_t u);

#endif
