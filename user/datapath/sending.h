/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does what a native program sends on an interface arrive? The kernel does not tell the program when a driver throws a
 * packet away after XDP_TX or a redirect. Two things give it away: the driver's counters of such errors (which
 * `ethtool -S` shows, under names that each driver chooses), and on veth, which takes such packets only if there is a
 * program at its other end, that other end.
 */
#ifndef DATAPATH_SENDING_H
#define DATAPATH_SENDING_H

#include <linux/ethtool.h>
#include <stdbool.h>
#include <stdint.h>

enum peer {
	PEER_TAKES, /* takes what native XDP sends to it; or this is no veth */
	PEER_LOSES, /* does not: no program runs there in native mode */
	PEER_UNSEEN, /* it is in a network namespace that we may not look into */
};
int peer_of(uint32_t ifindex, enum peer *out); /* an error: the kernel could not answer now */

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
