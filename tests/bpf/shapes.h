/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets of every shape that a service's packet may come in: tags, options, extension headers. */
#ifndef TESTS_SHAPES_H
#define TESTS_SHAPES_H

#include "packet.h"

struct named_shape {
	const char *name;
	struct shape shape;
};

/* Each with a name; the list ends with a NULL name. */
extern const struct named_shape shapes_tagged[], shapes4[], shapes6[];
const struct named_shape *shapes_of(const struct flow *flow); /* shapes4 or shapes6 */

extern const uint8_t options_router_alert[4], options_timestamp[40];

/* Extension headers. */
void ext_hop_by_hop(struct packet *p);
void ext_destination(struct packet *p);
void ext_long_destination(struct packet *p); /* 264 bytes */
void ext_route(struct packet *p);
void ext_atomic_fragment(struct packet *p); /* offset 0, no more: the packet is whole */
void ext_first_fragment(struct packet *p);
void ext_later_fragment(struct packet *p);
void ext_last_fragment(struct packet *p);
void ext_chain(struct packet *p); /* each of them once, in the order of RFC 8200, with an atomic fragment */
void ext_eight(struct packet *p);

#endif
