/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One question to the kernel's routing: which way does a packet to this address go? */
#ifndef DATAPATH_ROUTE_H
#define DATAPATH_ROUTE_H

#include "datapath/netlink.h"

enum route_kind { ROUTE_NONE, ROUTE_LOCAL, ROUTE_UNICAST, ROUTE_OTHER };

struct route {
	enum route_kind kind;
	uint32_t ifindex;
	struct addr via; /* gateway, or the address itself */
	uint32_t mtu; /* 0: that of the interface */
};

/* 0, also when there is no route (kind says it); -errno: the kernel could not be asked. */
int route_lookup(struct nl *nl, const struct addr *to, struct route *out);

/* The destinations that a message about a route speaks of; false: not about forwarding. */
bool route_message_prefix(const struct nlmsghdr *m, struct prefix *out);

#endif
