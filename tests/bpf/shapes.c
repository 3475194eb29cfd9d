/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "shapes.h"

#include <netinet/in.h>
#include <string.h>

const uint8_t options_router_alert[4] = { 0x94, 4, 0, 0 };
const uint8_t options_timestamp[40] = { 0x44, 40, 5, 0 };

void ext_hop_by_hop(struct packet *p)
{
	ext_options(p, IPPROTO_HOPOPTS, 8);
}

void ext_destination(struct packet *p)
{
	ext_options(p, IPPROTO_DSTOPTS, 24);
}

void ext_long_destination(struct packet *p)
{
	ext_options(p, IPPROTO_DSTOPTS, 264);
}

void ext_route(struct packet *p)
{
	ext_routing(p, 24);
}

void ext_atomic_fragment(struct packet *p)
{
	ext_fragment(p, 0, false);
}

void ext_first_fragment(struct packet *p)
{
	ext_fragment(p, 0, true);
}

void ext_later_fragment(struct packet *p)
{
	ext_fragment(p, 185, true);
}

void ext_last_fragment(struct packet *p)
{
	ext_fragment(p, 185, false);
}

void ext_chain(struct packet *p)
{
	ext_hop_by_hop(p);
	ext_destination(p);
	ext_route(p);
	ext_atomic_fragment(p);
	ext_ah(p);
	ext_destination(p);
}

void ext_eight(struct packet *p)
{
	ext_hop_by_hop(p);
	for (int i = 0; i < 7; i++)
		ext_options(p, IPPROTO_DSTOPTS, 8);
}

const struct named_shape shapes_tagged[] = {
	{ "no tag", { .payload = 33 } },
	{ "one 802.1Q tag", { .tpid = { 0x8100 }, .tci = { 0x6123 }, .payload = 33 } },
	{ "one 802.1ad tag", { .tpid = { 0x88a8 }, .tci = { 77 }, .payload = 33 } },
	{ "802.1ad and 802.1Q", { .tpid = { 0x88a8, 0x8100 }, .tci = { 77, 88 }, .payload = 33 } },
	{ "two 802.1Q tags", { .tpid = { 0x8100, 0x8100 }, .tci = { 77, 88 }, .payload = 33 } },
	{ NULL, { .payload = 0 } },
};

const struct named_shape shapes4[] = {
	{ "plain", { .payload = 10 } },
	{ "no payload", { .payload = 0 } },
	{ "DF", { .frag = IP4_DF, .payload = 10 } },
	{ "4 bytes of options", { .options = options_router_alert, .n_options = 4, .payload = 10 } },
	{ "40 bytes of options", { .options = options_timestamp, .n_options = 40, .payload = 10 } },
	{ "options behind two tags",
	  { .tpid = { 0x88a8, 0x8100 }, .tci = { 77, 88 }, .options = options_router_alert, .n_options = 4 } },
	{ NULL, { .payload = 0 } },
};

const struct named_shape shapes6[] = {
	{ "plain", { .payload = 10 } },
	{ "no payload", { .payload = 0 } },
	{ "hop-by-hop options", { .ext = ext_hop_by_hop, .payload = 10 } },
	{ "destination options", { .ext = ext_destination, .payload = 10 } },
	{ "264 bytes of destination options", { .ext = ext_long_destination, .payload = 10 } },
	{ "a routing header", { .ext = ext_route, .payload = 10 } },
	{ "an authentication header", { .ext = ext_ah, .payload = 10 } },
	{ "an atomic fragment", { .ext = ext_atomic_fragment, .payload = 10 } },
	{ "a chain of all", { .ext = ext_chain, .payload = 10 } },
	{ "eight headers", { .ext = ext_eight, .payload = 10 } },
	{ "a chain behind two tags",
	  { .tpid = { 0x88a8, 0x8100 }, .tci = { 77, 88 }, .ext = ext_chain, .payload = 10 } },
	{ NULL, { .payload = 0 } },
};

const struct named_shape *shapes_of(const struct flow *flow)
{
	return strchr(flow->service, ':') ? shapes6 : shapes4;
}
