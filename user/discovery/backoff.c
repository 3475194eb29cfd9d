/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/backoff.h"

#include <event2/util.h>

uint32_t backoff_first_ms = BACKOFF_FIRST_MS;

uint32_t backoff_ms(unsigned failures, uint32_t random)
{
	unsigned doublings = failures - 1 < 16 ? failures - 1 : 16;
	uint32_t most = backoff_first_ms << doublings;

	if (most > BACKOFF_MAX_MS)
		most = BACKOFF_MAX_MS;
	return most / 2 + random % (most / 2 + 1);
}

struct timeval backoff_next(struct backoff *b)
{
	unsigned servers = b->servers ?: 1, failures = ++b->failures;
	uint32_t random, ms;

	evutil_secure_rng_get_bytes(&random, sizeof(random));
	ms = backoff_ms(failures % servers ? 1 : failures / servers, random);
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}
