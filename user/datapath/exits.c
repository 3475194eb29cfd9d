/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exits: the interfaces on which native programs send, which are those that they are attached to (XDP_TX) and those of
 * the backends' next hops (redirect). Each is looked at now and then, for whether what is sent there arrives.
 */
#include "datapath/internal.h"

#include <net/if.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 5000 /* reading counters makes some drivers ask their firmware */
#define NEXT_HOPS_MAX (EXITS_MAX / 2) /* watched; the rest of the table is for the programs' own interfaces */
#define RECENT_MS 60000 /* errors older than that are no problem any more */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

/* The one of this interface; a new one takes the place of that which nobody has looked at for longest. */
static struct exit *find(struct datapath *dp, uint32_t ifindex)
{
	struct exit *oldest = &dp->exits[0];

	for (size_t i = 0; i < EXITS_MAX; i++) {
		struct exit *e = &dp->exits[i];

		if (e->ifindex == ifindex)
			return e;
		if (e->looked_ms < oldest->looked_ms)
			oldest = e;
	}
	*oldest = (struct exit){ .ifindex = ifindex };
	return oldest;
}

void exit_forget(struct datapath *dp, uint32_t ifindex)
{
	*find(dp, ifindex) = (struct exit){ .ifindex = ifindex };
}

const struct exit *exit_look(struct datapath *dp, uint32_t ifindex)
{
	struct exit *e = find(dp, ifindex);
	uint64_t now = now_ms();
	struct send_errors errors;

	if (e->looked_ms && now - e->looked_ms < LOOK_MS)
		return e;
	peer_of(ifindex, &e->peer);
	if (!send_errors_read(ifindex, &errors)) {
		if (e->looked_ms && errors.n > e->errors.n)
			e->grew_ms = now;
		e->errors = errors;
	}
	e->looked_ms = now;
	return e;
}

static bool exit_problem(struct datapath *dp, uint32_t ifindex, char *text, size_t size)
{
	const struct exit *e = exit_look(dp, ifindex);
	bool loses = e->peer == PEER_LOSES, errors = e->grew_ms && now_ms() - e->grew_ms < RECENT_MS;
	char name[IFNAMSIZ];

	if ((!loses && !errors) || !if_indextoname(ifindex, name))
		return false;
	if (loses)
		snprintf(text, size, "native XDP loses what it sends on %s: no XDP program runs on its veth peer; put one "
			 "there that passes everything, or set mode: generic", name);
	else
		snprintf(text, size, "the driver of %s loses packets that native XDP sends (`ethtool -S %s`: %s); if that "
			 "goes on, set mode: generic", name, name, e->errors.counter);
	return true;
}

static bool is_among(uint32_t ifindex, const uint32_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == ifindex)
			return true;
	return false;
}

/* The interfaces of next hops, each once, the first so many. */
static size_t next_hop_exits(struct datapath *dp, uint32_t list[NEXT_HOPS_MAX])
{
	const struct shunt_backend *b = dp_backends(dp);
	size_t n = 0;

	for (uint32_t i = 0; i < dp->limits.backends && n < NEXT_HOPS_MAX; i++) {
		uint32_t to = __atomic_load_n(&b[i].ifindex, __ATOMIC_RELAXED);

		if (b[i].flags & SHUNT_BACKEND_NEXTHOP && !is_among(to, list, n))
			list[n++] = to;
	}
	return n;
}

bool exits_problem(struct datapath *dp, uint32_t ifindex, char *text, size_t size)
{
	uint32_t others[NEXT_HOPS_MAX];
	size_t n = next_hop_exits(dp, others);
	bool found = exit_problem(dp, ifindex, text, size);

	for (size_t i = 0; i < n && !found; i++)
		found = exit_problem(dp, others[i], text, size);
	return found;
}
