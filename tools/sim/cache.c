/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow cache of one service, line by line as bpf/cache.bpf.h has it, but for what takes the kernel: its map, its
 * clock and the number of its CPU. What decides is bpf/slot.h in both.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

int cache_init(struct cache *c, uint32_t entries, uint64_t secret)
{
	*c = (struct cache){ .secret = secret, .log2 = __builtin_ctz(entries / SHUNT_FLOW_WAYS) };
	c->buckets = calloc(1u << c->log2, sizeof(*c->buckets));
	return c->buckets ? 0 : -ENOMEM;
}

void cache_empty(struct cache *c)
{
	memset(c->buckets, 0, sizeof(*c->buckets) << c->log2);
}

static uint32_t cache_find(const struct shunt_flow_bucket *b, uint64_t tag)
{
	for (uint32_t i = 0; i < SHUNT_FLOW_WAYS; i++)
		if (b->ways[i] & 1 && shunt_flow_tag(b->ways[i]) == tag)
			return i;
	return SHUNT_FLOW_WAYS;
}

static uint32_t cache_least(const struct shunt_flow_bucket *b, uint32_t now)
{
	uint32_t least = ~0u;

	for (uint32_t i = 0; i < SHUNT_FLOW_WAYS; i++) {
		uint64_t entry = b->ways[i];
		uint32_t worth = (entry ? 1 + shunt_flow_worth(entry, now) : 0) << 3 | i;

		if (worth < least)
			least = worth;
	}
	return least & (SHUNT_FLOW_WAYS - 1);
}

uint16_t cache_owner(struct cache *c, uint64_t hash, uint64_t slot, uint32_t what, uint64_t now_ns)
{
	struct shunt_flow_place at = shunt_flow_place(hash, shunt_mix(hash ^ c->secret), c->log2);
	struct shunt_flow_bucket *b = &c->buckets[at.bucket];
	uint32_t now = shunt_flow_now(now_ns), way = cache_find(b, at.tag), state;
	uint64_t was = way < SHUNT_FLOW_WAYS ? b->ways[way] : 0;
	struct shunt_choice choice = shunt_choose(slot, what & CACHE_FIRST, was ? shunt_flow_member(was) : SHUNT_NONE);

	if (!choice.note)
		return choice.owner;
	state = shunt_flow_state_after(was ? shunt_flow_state(was) : SHUNT_FLOW_NEW, what & CACHE_FIRST,
				       what & CACHE_LAST);
	if (!was) {
		way = cache_least(b, now);
		c->evicted += shunt_flow_is_live(b->ways[way]);
	}
	b->ways[way] = shunt_flow_entry(at.tag, state, now, choice.owner);
	return choice.owner;
}
