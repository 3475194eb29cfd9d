/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "health/spread.h"

#define GOLDEN 0x9e3779b97f4a7c15ull /* 2^64 over the golden ratio */

/* 64 bits as a fraction, from 0 to 1. */
static double fraction(uint64_t bits)
{
	return (bits >> 11) * 0x1p-53;
}

uint64_t spread_first_us(uint64_t *spread, uint32_t interval_ms)
{
	*spread += GOLDEN;
	return fraction(*spread) * interval_ms * 1000;
}

uint64_t spread_unknown_us(uint32_t ahead, uint64_t *spread, uint32_t interval_ms)
{
	return ahead < interval_ms ? ahead * 1000ull : spread_first_us(spread, interval_ms);
}

uint64_t spread_next_us(uint64_t random, uint32_t interval_ms, uint64_t gone_us)
{
	uint64_t delay = (0.95 + 0.1 * fraction(random)) * interval_ms * 1000;

	return delay > gone_us ? delay - gone_us : 0;
}
