/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The map `listeners`: a hash table with open addressing, in memory that the programs read at the same time. How an
 * entry is found and what one store may change says abi.h.
 *
 * A deleted place is made empty again once what follows it is empty too, so that searches stay short.
 */
#include "datapath/internal.h"

#include <errno.h>
#include <string.h>

struct search {
	struct shunt_listener *found; /* NULL: not there */
	struct shunt_listener *room; /* where it could stand; NULL: nowhere */
};

static struct shunt_listener *places(const struct datapath *dp)
{
	return dp->mapped[MAP_LISTENERS];
}

static bool same_addr(const struct shunt_addr *a, const struct shunt_addr *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool is_taken(const struct shunt_listener *l)
{
	return l->what & SHUNT_LISTENER_TAKEN;
}

/* No search goes on to this place. */
static bool is_end(const struct datapath *dp, const struct shunt_listener *l)
{
	return l == places(dp) + places_of(dp->log2_homes) || !l->what;
}

static struct search search(const struct datapath *dp, const struct shunt_addr *a, uint32_t key)
{
	uint64_t hash = shunt_listener_hash(shunt_addr_hash(a), key);
	struct shunt_listener *home = places(dp) + shunt_listener_home(hash, 64 - dp->log2_homes);
	struct search s = {};

	for (struct shunt_listener *l = home; l < home + SHUNT_LISTENER_PROBES && !s.found; l++) {
		if ((uint32_t)l->what == key && same_addr(&l->addr, a))
			s.found = l;
		else if (!is_taken(l) && !s.room)
			s.room = l;
		if (!l->what)
			break;
	}
	return s;
}

int place_get(const struct datapath *dp, const struct shunt_addr *a, uint32_t key, uint32_t *service)
{
	struct search s = search(dp, a, key);

	if (!s.found)
		return -ENOENT;
	*service = shunt_listener_service(s.found->what);
	return 0;
}

/* A program may still compare the address of a place that was taken a moment ago. */
static void write_address(struct datapath *dp, struct shunt_listener *l, const struct shunt_addr *a)
{
	if (dp->places_were_freed) {
		dp_grace();
		dp->places_were_freed = false;
	}
	l->addr = *a;
}

int place_put(struct datapath *dp, const struct shunt_addr *a, uint32_t key, uint32_t service)
{
	struct search s = search(dp, a, key);
	struct shunt_listener *l = s.found ? s.found : s.room;

	if (!l)
		return -ENOSPC;
	if (!s.found)
		write_address(dp, l, a);
	dp_store(&l->what, shunt_listener_what(key, service));
	return 0;
}

void place_drop(struct datapath *dp, const struct shunt_addr *a, uint32_t key)
{
	struct shunt_listener *l = search(dp, a, key).found;

	if (!l)
		return;
	dp_store(&l->what, SHUNT_LISTENER_DELETED);
	dp->places_were_freed = true;
	for (; l >= places(dp) && l->what == SHUNT_LISTENER_DELETED && is_end(dp, l + 1); l--)
		dp_store(&l->what, 0);
}

int places_each(struct datapath *dp, int (*fn)(struct datapath *dp, const struct shunt_addr *a, uint32_t key))
{
	int err = 0;

	for (struct shunt_listener *l = places(dp); !err && l < places(dp) + places_of(dp->log2_homes); l++)
		if (is_taken(l)) {
			const struct shunt_addr a = l->addr; /* fn may drop it */

			err = fn(dp, &a, l->what);
		}
	return err;
}
