/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Next hops from the kernel's own routes and neighbours, followed over netlink in the loop: for each wanted address the
 * interface, the MAC addresses and the MTU of the way there. An address without a neighbour is resolved, and kept so.
 * A change of route, neighbour, link or address is reported within a second (bursts are taken together).
 */
#ifndef DATAPATH_NEXTHOP_H
#define DATAPATH_NEXTHOP_H

#include <event2/event.h>
#include <stdbool.h>

#include "base/addr.h"

struct nexthops;
struct nexthop_want;

struct nexthop {
	/*
	 * The fields below are valid. So are the last known ones of a neighbour that is asked again, or that does not
	 * answer any more (problem says so): whether the backend lives is for its checks to say.
	 */
	bool usable;
	uint32_t ifindex; /* the interface to send on; for a VLAN device the one below it */
	uint8_t dmac[6], smac[6];
	uint16_t vlan; /* TCI, host order; 0: none */
	uint16_t mtu; /* bytes: the route's, else the interface's */
	struct addr via; /* gateway, or the address itself */
	/* "no route", "neighbour 10.0.0.1 on eth0 does not answer", "is an address of this host"; "": fine */
	char problem[96];
};

typedef void (*nexthop_change_fn)(void *arg, const struct nexthop *now);

int nexthops_new(struct event_base *base, struct nexthops **out);
void nexthops_free(struct nexthops *n); /* all wants must be dropped before */

/*
 * Follows the way to address. changed is called when it is first known and at every change, never from in here.
 * header: bytes of the tunnel's headers, at most; a way that has no room for the smallest packet behind them is none.
 * A way whose neighbour is still being asked is not known yet: until the answer, or its lack, the one before stays.
 */
int nexthop_want(struct nexthops *n, const struct addr *address, uint32_t header, nexthop_change_fn changed, void *arg,
		 struct nexthop_want **out);
void nexthop_drop(struct nexthop_want *w);
const struct nexthop *nexthop_get(const struct nexthop_want *w);

#endif
