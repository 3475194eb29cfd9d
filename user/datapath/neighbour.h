/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The neighbours that somebody uses: what the kernel knows of them, kept up by its messages, and asked for again
 * where it does not know. The others on the network cost nothing but a look into a hash table.
 */
#ifndef DATAPATH_NEIGHBOUR_H
#define DATAPATH_NEIGHBOUR_H

#include <sys/queue.h>

#include "datapath/netlink.h"

struct nexthop_want;

struct neighbour {
	uint32_t ifindex;
	struct addr addr;
	uint16_t state; /* NUD_*; 0: the kernel has no entry */
	bool has_mac;
	uint8_t mac[6]; /* the last known */
	uint64_t asked_ms; /* when the kernel was last made to ask; 0: never */
	uint32_t pause_ms; /* before it is made to ask again */
	bool dirty; /* in neighbours.dirty */
	TAILQ_HEAD(, nexthop_want) wants; /* who uses it */
	SLIST_ENTRY(neighbour) in_bucket;
	TAILQ_ENTRY(neighbour) in_all;
	TAILQ_ENTRY(neighbour) in_dirty;
};

#define NEIGHBOUR_BUCKETS 4096
struct neighbours {
	struct nl *nl;
	SLIST_HEAD(, neighbour) buckets[NEIGHBOUR_BUCKETS];
	TAILQ_HEAD(, neighbour) all;
	TAILQ_HEAD(, neighbour) dirty; /* changed since they were taken from here */
};

void neighbours_init(struct neighbours *n, struct nl *nl);
struct neighbour *neighbour_get(struct neighbours *n, uint32_t ifindex, const struct addr *a); /* NULL: out of memory */
void neighbour_put_if_unused(struct neighbours *n, struct neighbour *b);

bool neighbour_settled(const struct neighbour *b); /* its state says yes or no; not: we are waiting for an answer */
bool neighbour_failed(const struct neighbour *b);

void neighbours_message(struct neighbours *n, const struct nlmsghdr *m); /* RTM_NEWNEIGH, RTM_DELNEIGH */
void neighbours_resync(struct neighbours *n); /* after messages were lost */
void neighbours_tick(struct neighbours *n); /* asks where it is time; call about once a second */
struct neighbour *neighbours_take_dirty(struct neighbours *n); /* NULL: no more */

#endif
