/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets per second by verdict, from two samples of the counters. Pure. */
#ifndef API_RATES_H
#define API_RATES_H

#include <stdbool.h>
#include <stdint.h>

#include "../bpf/abi.h"

struct rates {
	bool sampled; /* there is a sample before */
	uint64_t at_ns; /* of the last sample, on any steady clock */
	uint64_t counted[SHUNT_N_VERDICTS];
	double per_second[SHUNT_N_VERDICTS]; /* between the last two samples */
};
/* A counter that went back (the maps are new) counts as nothing. */
void rates_sample(struct rates *r, uint64_t now_ns, const uint64_t counted[SHUNT_N_VERDICTS]);

#endif
