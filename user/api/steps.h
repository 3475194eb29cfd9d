/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a program decided about one packet, step by step, in words. Pure. */
#ifndef API_STEPS_H
#define API_STEPS_H

#include <jansson.h>

#include "datapath/datapath.h"

struct steps_backend {
	bool known; /* there is one */
	struct endpoint at;
	const char *state; /* a word of state_names */
};

struct steps {
	struct dp_question asked;
	const char *interface; /* where the packet arrives */
	uint32_t verdict, reason, flags; /* of struct shunt_trace */
	int xdp;
	const char *service; /* NULL: none */
	const char *unbalanced; /* no service: one that is not balanced for packets here; NULL: none */
	char listen[LISTEN_TEXT]; /* of either, that the packet met; "": not known (an ICMP flow) */
	char near[2 * LISTEN_TEXT]; /* no service: listens of the same address, the first few; "": there is none */
	bool by_client; /* its slots are chosen by the client's address alone */
	bool quic; /* it looks at connection IDs */
	bool local; /* its servers are on this host */
	bool finds_none; /* it has no backends, and sources are to find them */
	uint32_t slot, n_slots; /* slot SHUNT_UNSET: not reached */
	struct steps_backend owner; /* of the slot */
	struct steps_backend chosen; /* who gets the packet */
	const char *nexthop_problem; /* of chosen; "": none */
	bool tunnel; /* the packet that leaves is in a tunnel from .. to .. */
	struct addr tunnel_from, tunnel_to;
	enum forward forward; /* which tunnel */
	struct addr others[SHUNT_HOPS]; /* that a GUE tunnel names: who else may know the flow, in this order */
	unsigned n_others;
	const char *out_interface; /* "" : it does not leave */
	uint8_t out_mac[6];
	uint16_t mtu; /* of the way to chosen; 0: not known */
};

json_t *steps_render(const struct steps *s); /* an array of sentences; NULL: out of memory */

/* For steps of others: adds a sentence; the word of a protocol. */
void step(json_t *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *proto_word(uint8_t proto);
/* Where to look when a service has nobody to give; finds_none: it has no backends, and sources are to find them. */
void step_to_backends(json_t *list, const char *service, bool finds_none);

/* Finds tunnel and MAC address in a packet as it leaves (Ethernet, at most two VLAN tags, outer IP, perhaps GUE). */
void steps_read_packet(struct steps *s, const uint8_t *packet, size_t len);

#endif
