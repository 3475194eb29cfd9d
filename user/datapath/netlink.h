/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Netlink by libmnl: requests that wait for their answer, and what we read of links. */
#ifndef DATAPATH_NETLINK_H
#define DATAPATH_NETLINK_H

#include <libmnl/libmnl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

#define NL_KIND 16 /* room for the kind of a link */

struct nl {
	struct mnl_socket *sock;
	uint32_t seq;
};

struct nl_link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	uint8_t mac[6]; /* zero where there is none of that length */
	uint32_t mtu;
	uint32_t flags; /* IFF_* */
	bool ethernet, vlan, double_tagged; /* double_tagged: a VLAN device with 802.1ad tags */
	uint16_t vlan_id;
	uint32_t below; /* ifindex of the device that a VLAN device is on; 0: none, or in another namespace */
	uint32_t master;
	char kind[NL_KIND]; /* "bridge", ...; "": a driver's own interface */
	bool veth;
	uint32_t peer; /* ifindex of a veth's other end; 0: not told */
	int32_t peer_netns; /* id of its network namespace; -1: the same */
	bool native_xdp; /* a program runs in its driver */
};

int nl_open(struct nl *nl); /* for routes, neighbours and links */
/* For a family of generic netlink; *type is what its messages have. -ENOENT: the kernel does not have it. */
int nl_open_generic(struct nl *nl, const char *family, uint16_t *type);
int nl_open_bus(struct nl *nl, int bus); /* another one, NETLINK_* */
void nl_close(struct nl *nl); /* fine when it is not open */

/* A request of this type in buf, with a zeroed header of `extra` bytes at *header. */
struct nlmsghdr *nl_request(void *buf, uint16_t type, uint16_t flags, size_t extra, void *header);
/* Sends m, calls fn (may be NULL) for each message of the answer, returns 0 or the kernel's error as -errno. */
int nl_talk(struct nl *nl, struct nlmsghdr *m, mnl_cb_t fn, void *arg);

/* The attributes of a message; those of a type above max are left out, the absent are NULL. */
void nl_attributes(const struct nlmsghdr *m, size_t header, const struct nlattr **table, uint16_t max);
void nl_nested(const struct nlattr *nest, const struct nlattr **table, uint16_t max);

bool nl_link_parse(const struct nlmsghdr *m, struct nl_link *out);

/* What of XDP an interface can (NETDEV_XDP_ACT_*), by the generic family `netdev`, of which netdev is the type. */
int nl_xdp_features(struct nl *nl, uint16_t netdev, uint32_t ifindex, uint64_t *out);
bool nl_xdp_features_parse(const struct nlmsghdr *m, uint64_t *out); /* false: the message does not say */

/* Addresses as attributes, in the family's own length; get returns false when the length is wrong. */
int nl_family(const struct addr *a);
void nl_put_addr(struct nlmsghdr *m, uint16_t type, const struct addr *a);
bool nl_get_addr(const struct nlattr *attr, struct addr *out);

#endif
