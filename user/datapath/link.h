/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The host's interfaces as the kernel tells of them, and what it takes to send on one. */
#ifndef DATAPATH_LINK_H
#define DATAPATH_LINK_H

#include "datapath/netlink.h"
#include "datapath/nexthop.h"

struct links {
	struct nl_link *list; /* in no order: hosts have few */
	size_t n;
};

int links_read(struct links *l, struct nl *nl); /* all of them, instead of what was known */
void links_clear(struct links *l);
bool links_message(struct links *l, const struct nlmsghdr *m); /* true: something changed that matters for sending */
const struct nl_link *links_find(const struct links *l, uint32_t ifindex); /* NULL: there is none */

bool link_is_up(const struct nl_link *l); /* and has a carrier */

/*
 * Fills in ifindex, vlan, smac and mtu of a next hop on an interface (route_mtu 0: the interface's), or its problem
 * and returns false: nothing can be sent on that interface, or nothing that has a header of `outer` bytes before it.
 */
bool links_way(const struct links *l, uint32_t ifindex, uint32_t route_mtu, uint32_t outer, struct nexthop *out);

#endif
