/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does what a native program sends on an interface arrive? The kernel does not tell the program when a packet is thrown
 * away after XDP_TX or a redirect. Three things give it away:
 *
 * - A redirect is lost on an interface that does not transmit XDP frames. Since 6.3 the kernel says which do (netlink
 *   family `netdev`); before, the kind of the interface tells those that never do.
 * - XDP_TX on a veth is lost unless a program runs at its other end. (What the kernel says of redirects is not enough:
 *   with GRO alone at the other end these arrive, but nothing wakes it after XDP_TX.)
 * - Drivers count such errors (`ethtool -S` shows it), under names that each chooses.
 */
#ifndef DATAPATH_SENDING_H
#define DATAPATH_SENDING_H

#include <linux/ethtool.h>
#include <stdbool.h>
#include <stdint.h>

#include "datapath/netlink.h"

enum sends {
	SENDS, /* all; or nothing is known to the contrary */
	SENDS_WHOLE, /* but no frame that takes several buffers */
	SENDS_WITH_PROGRAM, /* does not, or only while a native program runs on it: many drivers then set up queues */
	SENDS_NEVER, /* does not, whatever one does: it has no native XDP */
	PEER_LOSES, /* a veth: no program runs at its other end in native mode */
	PEER_UNSEEN, /* a veth: its other end is in a network namespace that we may not look into */
};

struct sending {
	enum sends how;
	char name[IFNAMSIZ], kind[NL_KIND]; /* of the interface */
};

/* By what the kernel says of an interface, and where it does not, by its kind ("": a driver's own). */
enum sends sends_by_features(uint64_t features, bool veth);
enum sends sends_by_kind(const char *kind);

struct sending_ask {
	struct nl route, generic;
	uint16_t netdev; /* id of the family; 0: the kernel has none */
};
int sending_open(struct sending_ask *s);
void sending_close(struct sending_ask *s); /* fine when it is not open */
/* -ENODEV: there is no such interface; other errors: the kernel could not answer now */
int sending_redirect(struct sending_ask *s, uint32_t ifindex, struct sending *out);
int sending_back(struct sending_ask *s, uint32_t ifindex, struct sending *out); /* XDP_TX of a program on it */

/* A sentence about one that does not send all. */
void sending_text(const struct sending *s, char *text, size_t size);

struct send_errors {
	uint64_t n; /* since the driver began to count */
	char counter[ETH_GSTRING_LEN + 1]; /* the driver's name of one that is not zero; "": all are */
};
bool is_send_error(const char *counter); /* is this the name of such a counter? */
/* Gathers one counter: drivers that count for each queue and in all are not counted twice. */
struct send_errors_sum {
	uint64_t all, queues;
};
void send_errors_add(struct send_errors *e, struct send_errors_sum *sum, const char *counter, uint64_t value);
/* -EOPNOTSUPP: the driver counts nothing */
int send_errors_read(uint32_t ifindex, struct send_errors *out);

#endif
