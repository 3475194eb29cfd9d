/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the flow cache knows: the flows that are noted, and where one flow is. Read as the programs write it, so that a
 * moment later some of it may be otherwise.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "reconcile/internal.h"

static __u64 *ways_of(const struct live *l, const struct reconcile *r, uint32_t bucket)
{
	return dp_flows(r->dp)[l->first_bucket + bucket].ways;
}

static __u64 slot_word(const struct live *l, const struct reconcile *r, uint32_t slot)
{
	return dp_slots(r->dp)[l->first_slot + slot];
}

static const struct place *place_of(const struct live *l, uint16_t member)
{
	return member < l->n_places && l->places[member].node ? &l->places[member] : NULL;
}

static const struct endpoint *endpoint_of(const struct live *l, uint16_t member)
{
	const struct place *p = place_of(l, member);

	return p ? &p->at : NULL;
}

/* slot: of the region. False: nobody has it; an entry of a backend that is gone is taken out at the next look. */
static bool view_entry(const struct live *l, const struct reconcile *r, __u64 entry, uint32_t slot,
		       struct reconcile_flow *out)
{
	uint16_t member = shunt_flow_member(entry);
	const struct place *p = place_of(l, member);

	if (!entry || !p)
		return false;
	*out = (struct reconcile_flow){
		.service = l->name,
		.slot = live_table_slot(l, slot),
		.backend = p->at,
		.backend_id = p->node->id,
		.state = shunt_flow_state(entry),
		.age_seconds = ((uint64_t)shunt_flow_age(entry, keep_clock()) << SHUNT_FLOW_UNIT) / 1000000000,
		.elsewhere = member != shunt_slot_current(slot_word(l, r, slot)),
	};
	return true;
}

/* ---- every flow ---- */

/* Returns how many there is room for. */
static uint32_t each_of(const struct live *l, const struct reconcile *r, reconcile_flow_fn fn, void *arg)
{
	uint32_t n = l->conf && l->log2_buckets ? 1u << l->log2_buckets : 0;
	struct reconcile_flow flow;

	for (uint32_t i = 0; i < n; i++)
		for (int way = 0; way < SHUNT_FLOW_WAYS; way++) {
			__u64 entry = __atomic_load_n(&ways_of(l, r, i)[way], __ATOMIC_RELAXED);
			uint32_t low = shunt_flow_low(shunt_flow_tag(entry), i, l->log2_buckets);

			if (view_entry(l, r, entry, low & (l->n_slots - 1), &flow))
				fn(arg, &flow);
		}
	return n * SHUNT_FLOW_WAYS;
}

int reconcile_flows_each(const struct reconcile *r, const char *service, reconcile_flow_fn fn, void *arg)
{
	const struct live *only = service ? live_find(r, service) : NULL;
	int room = 0;

	if (service)
		return only && only->conf ? (int)each_of(only, r, fn, arg) : -ENOENT;
	for (size_t i = 0; i < r->n_services; i++)
		room += each_of(r->services[i], r, fn, arg);
	return room;
}

/* ---- one flow ---- */

/* As the programs compute it: with the port that the packet goes to, whatever the service listens on. */
static uint64_t hash_of(const struct reconcile *r, const struct live *l, const struct endpoint *client,
			const struct listen *to)
{
	struct shunt_addr from = dp_addr(&client->addr), service = dp_addr(&to->addr);
	uint32_t key = shunt_listener_key(htons(to->port), to->proto);
	uint64_t seed = r->config->edge.seed;
	uint64_t hash = shunt_flow_hash(seed, shunt_listener_hash(shunt_addr_hash(&service), key), &from,
					htons(client->port));

	return l->conf->affinity == AFFINITY_CLIENT ? shunt_client_hash(seed, hash, &from) : hash;
}

static const struct applied_listen *find_listen(const struct reconcile *r, struct listen to)
{
	const struct applied_listen key = { .listen = to };

	return r->n_listens ? bsearch(&key, r->listens, r->n_listens, sizeof(key), listens_compare) : NULL;
}

/* The service that listens there, on this port or else on every one; NULL: none. */
static const struct live *find_service(const struct reconcile *r, struct listen to)
{
	const struct applied_listen *found = find_listen(r, to);

	to.port = 0;
	if (!found)
		found = find_listen(r, to);
	return found && r->by_id[found->service] && r->by_id[found->service]->conf ? r->by_id[found->service] : NULL;
}

static bool find_entry(const struct live *l, const struct reconcile *r, uint64_t hash, uint32_t slot,
		       struct reconcile_flow *out)
{
	struct shunt_flow_place at;

	if (!l->log2_buckets)
		return false;
	at = shunt_flow_place(hash, shunt_mix(hash ^ dp_secret(r->dp)), l->log2_buckets);
	for (int way = 0; way < SHUNT_FLOW_WAYS; way++) {
		__u64 entry = __atomic_load_n(&ways_of(l, r, at.bucket)[way], __ATOMIC_RELAXED);

		if (entry && shunt_flow_tag(entry) == at.tag)
			return view_entry(l, r, entry, slot, out);
	}
	return false;
}

static enum slot_phase phase_of(__u64 word)
{
	if (shunt_slot_steady(word))
		return SLOT_STEADY;
	return shunt_slot_observing(word) ? SLOT_OBSERVING : SLOT_LINGERING;
}

int reconcile_flow_of(const struct reconcile *r, const struct endpoint *client, const struct listen *to,
		      struct reconcile_flow_place *out)
{
	const struct live *l = find_service(r, *to);
	uint64_t hash, word;
	uint32_t slot;

	if (!l)
		return -ENOENT;
	hash = hash_of(r, l, client, to);
	slot = hash & (l->n_slots - 1);
	word = slot_word(l, r, slot);
	*out = (struct reconcile_flow_place){ .service = l->name, .slot = live_table_slot(l, slot),
					      .n_slots = l->table->n_slots };
	out->phase = phase_of(word);
	out->owner = endpoint_of(l, shunt_slot_current(word));
	out->anchor = endpoint_of(l, shunt_slot_anchor(word));
	out->noted = find_entry(l, r, hash, slot, &out->flow);
	return 0;
}
