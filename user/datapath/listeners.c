/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Listeners, and what the programs need beside them: a bit of the filter and a mark for each address. The kernel's map
 * is the truth; the sorted copy here tells which listeners share an address.
 *
 * Order of stores, so that a packet never misses its listener: bit, mark, listener; and the other way round.
 */
#include "datapath/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static struct addr user_addr(const struct shunt_addr *k)
{
	struct addr a;

	memcpy(a.b, k, sizeof(a.b));
	return a;
}

static uint32_t key_of(const struct listen *l)
{
	return shunt_listener_key(htons(l->port), l->proto);
}

#define MARK SHUNT_LISTENER_TAKEN /* key of an address's mark: no port, no protocol */

/* ---- the filter ---- */

static uint32_t bit_of(const struct addr *a)
{
	const struct shunt_addr k = dp_addr(a);

	return shunt_filter_bit(shunt_addr_hash(&k));
}

static __u64 *filter_word(struct datapath *dp, uint32_t bit)
{
	struct shunt_filter *f = dp->mapped[MAP_FILTER];

	return &f->words[bit / 64];
}

static void filter_take(struct datapath *dp, const struct addr *a)
{
	uint32_t bit = bit_of(a);
	__u64 *word = filter_word(dp, bit);

	dp->filter_users[bit]++;
	dp_store(word, *word | 1ull << bit % 64);
}

static void filter_drop(struct datapath *dp, const struct addr *a)
{
	uint32_t bit = bit_of(a);
	__u64 *word = filter_word(dp, bit);

	if (!--dp->filter_users[bit])
		dp_store(word, *word & ~(1ull << bit % 64));
}

/* ---- the copy ---- */

/* The place of l, or where it would be; *there says which. */
static size_t place(const struct datapath *dp, const struct listen *l, bool *there)
{
	size_t low = 0, high = dp->n_listeners;

	*there = false;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = listen_compare(&dp->listeners[mid].at, l);

		if (!order) {
			*there = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool same_addr(const struct datapath *dp, size_t i, const struct addr *a)
{
	return i < dp->n_listeners && !addr_compare(&dp->listeners[i].at.addr, a);
}

/* A listener with this address next to place i of the copy, i itself left out; NULL: none. */
static const struct listener *neighbour(const struct datapath *dp, size_t i, const struct addr *a)
{
	if (i && same_addr(dp, i - 1, a))
		return &dp->listeners[i - 1];
	return same_addr(dp, i + 1, a) ? &dp->listeners[i + 1] : NULL;
}

static int make_room(struct datapath *dp)
{
	size_t room = dp->room_listeners ? 2 * dp->room_listeners : 64;
	struct listener *more;

	if (dp->n_listeners < dp->room_listeners)
		return 0;
	more = reallocarray(dp->listeners, room, sizeof(*more));
	if (!more)
		return -ENOMEM;
	dp->listeners = more;
	dp->room_listeners = room;
	return 0;
}

static void insert(struct datapath *dp, size_t i, const struct listen *l, uint32_t service)
{
	memmove(&dp->listeners[i + 1], &dp->listeners[i], (dp->n_listeners - i) * sizeof(*dp->listeners));
	dp->listeners[i] = (struct listener){ *l, service };
	dp->n_listeners++;
}

static void take_out(struct datapath *dp, size_t i)
{
	dp->n_listeners--;
	memmove(&dp->listeners[i], &dp->listeners[i + 1], (dp->n_listeners - i) * sizeof(*dp->listeners));
}

/* ---- the kernel's map ---- */

static int put(struct datapath *dp, const struct addr *a, uint32_t key, uint32_t service)
{
	const struct shunt_addr k = dp_addr(a);

	return place_put(dp, &k, key, service);
}

static void drop(struct datapath *dp, const struct addr *a, uint32_t key)
{
	const struct shunt_addr k = dp_addr(a);

	place_drop(dp, &k, key);
}

static int get(const struct datapath *dp, const struct addr *a, uint32_t key, uint32_t *service)
{
	const struct shunt_addr k = dp_addr(a);

	return place_get(dp, &k, key, service);
}

static int say(const struct listen *l, int err)
{
	char text[LISTEN_TEXT];

	return err_r(err, "cannot change listener %s: %s%s", listen_format(l, text), strerror(-err),
		     err == -ENOSPC ? " (limits.listeners is reached)" : "");
}

/* The mark's service is gone, or speaks of another: take that of a listener that stays. */
static int repair_mark(struct datapath *dp, const struct addr *a, uint32_t gone, uint32_t service)
{
	uint32_t now;

	if (!get(dp, a, MARK, &now) && now != gone)
		return 0;
	return put(dp, a, MARK, service);
}

static int add(struct datapath *dp, size_t i, const struct listen *l, uint32_t service)
{
	bool first = !same_addr(dp, i, &l->addr) && !(i && same_addr(dp, i - 1, &l->addr));
	int err;

	err = dp->n_listeners < dp->limits.listeners ? make_room(dp) : -ENOSPC;
	if (err)
		return err;
	if (first) {
		filter_take(dp, &l->addr);
		err = put(dp, &l->addr, MARK, service);
	}
	if (!err)
		err = put(dp, &l->addr, key_of(l), service);
	if (!err) {
		insert(dp, i, l, service);
	} else if (first) {
		drop(dp, &l->addr, MARK);
		filter_drop(dp, &l->addr);
	}
	return err;
}

static int change(struct datapath *dp, size_t i, uint32_t service)
{
	struct listener *at = &dp->listeners[i];
	uint32_t gone = at->service;
	int err;

	if (gone == service)
		return 0;
	err = put(dp, &at->at.addr, key_of(&at->at), service);
	if (err)
		return err;
	at->service = service;
	return repair_mark(dp, &at->at.addr, gone, service);
}

int dp_listener_set(struct datapath *dp, const struct listen *l, uint32_t service)
{
	bool there;
	size_t i = place(dp, l, &there);
	int err = there ? change(dp, i, service) : add(dp, i, l, service);

	return err ? say(l, err) : 0;
}

int dp_listener_delete(struct datapath *dp, const struct listen *l)
{
	const struct listener *other;
	bool there;
	size_t i = place(dp, l, &there);
	int err = 0;

	if (!there)
		return -ENOENT;
	drop(dp, &l->addr, key_of(l));
	other = neighbour(dp, i, &l->addr);
	if (other) {
		err = repair_mark(dp, &l->addr, dp->listeners[i].service, other->service);
	} else {
		drop(dp, &l->addr, MARK);
		filter_drop(dp, &l->addr);
	}
	take_out(dp, i);
	return err ? say(l, err) : 0;
}

int dp_listener_each(struct datapath *dp, int (*fn)(void *arg, const struct listen *l, uint32_t service), void *arg)
{
	size_t n = dp->n_listeners;
	_cleanup_free_ struct listener *copy = calloc(n + 1, sizeof(*copy)); /* fn may change the listeners */
	int err = 0;

	if (!copy)
		return -ENOMEM;
	if (n)
		memcpy(copy, dp->listeners, n * sizeof(*copy));
	for (size_t i = 0; i < n && !err; i++)
		err = fn(arg, &copy[i].at, copy[i].service);
	return err;
}

/* ---- adoption ---- */

static int by_listen(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return listen_compare(&x->at, &y->at);
}

static int read_one(struct datapath *dp, const struct shunt_addr *a, uint32_t key)
{
	struct listen l = { .addr = user_addr(a), .port = ntohs(key & 0xffff), .proto = key >> 16 };
	uint32_t service;
	int err;

	if (key == MARK || place_get(dp, a, key, &service))
		return 0;
	err = make_room(dp);
	if (!err)
		dp->listeners[dp->n_listeners++] = (struct listener){ l, service };
	return err;
}

/* Marks of addresses without a listener: left by a process that died between two stores. */
static int remove_stray_mark(struct datapath *dp, const struct shunt_addr *a, uint32_t key)
{
	const struct listen any = { .addr = user_addr(a) };
	bool there;
	size_t i = place(dp, &any, &there);

	if (key == MARK && !same_addr(dp, i, &any.addr))
		place_drop(dp, a, key);
	return 0;
}

/* Whether some listener of the address at place i has this service. */
static bool address_has(const struct datapath *dp, size_t i, uint32_t service)
{
	const struct addr *a = &dp->listeners[i].at.addr;

	for (; same_addr(dp, i, a); i++)
		if (dp->listeners[i].service == service)
			return true;
	return false;
}

static int repair_address(struct datapath *dp, size_t i)
{
	const struct addr *a = &dp->listeners[i].at.addr;
	uint32_t service;

	filter_take(dp, a);
	if (!get(dp, a, MARK, &service) && address_has(dp, i, service))
		return 0;
	return put(dp, a, MARK, dp->listeners[i].service);
}

static void clear_unused_bits(struct datapath *dp)
{
	for (uint32_t bit = 0; bit < 1u << SHUNT_FILTER_BITS; bit++) {
		__u64 *word = filter_word(dp, bit);

		if (!dp->filter_users[bit] && *word & 1ull << bit % 64)
			dp_store(word, *word & ~(1ull << bit % 64));
	}
}

int listeners_adopt(struct datapath *dp)
{
	int err;

	dp->filter_users = calloc(1u << SHUNT_FILTER_BITS, sizeof(*dp->filter_users));
	if (!dp->filter_users)
		return -ENOMEM;
	dp->places_were_freed = dp->adopted; /* perhaps, by the process before */
	err = places_each(dp, read_one);
	if (err)
		return err;
	if (dp->n_listeners)
		qsort(dp->listeners, dp->n_listeners, sizeof(*dp->listeners), by_listen);
	for (size_t i = 0; i < dp->n_listeners && !err; i++)
		if (!i || !same_addr(dp, i - 1, &dp->listeners[i].at.addr))
			err = repair_address(dp, i);
	if (!err)
		err = places_each(dp, remove_stray_mark);
	clear_unused_bits(dp);
	return err;
}

void listeners_close(struct datapath *dp)
{
	free(dp->listeners);
	free(dp->filter_users);
}
