/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/rates.h"

#include <string.h>

void rates_sample(struct rates *r, uint64_t now_ns, const uint64_t counted[SHUNT_N_VERDICTS])
{
	double seconds = (now_ns - r->at_ns) / 1e9;

	for (int i = 0; i < SHUNT_N_VERDICTS; i++) {
		bool grew = r->sampled && now_ns > r->at_ns && counted[i] > r->counted[i];

		r->per_second[i] = grew ? (counted[i] - r->counted[i]) / seconds : 0;
	}
	memcpy(r->counted, counted, sizeof(r->counted));
	r->at_ns = now_ns;
	r->sampled = true;
}
