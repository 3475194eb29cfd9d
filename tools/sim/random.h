/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Random numbers (xorshift64*, Vigna 2016). */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

static inline uint64_t random64(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ull;
}

static inline uint32_t random_below(uint64_t *state, uint32_t n)
{
	return (random64(state) >> 32) * n >> 32;
}

#endif
