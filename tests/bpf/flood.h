/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the flooding program and the one who runs it agree on: offsets in a frame of IPv4 and TCP. */
#ifndef TESTS_FLOOD_H
#define TESTS_FLOOD_H

#define FLOOD_HEAD 64 /* bytes of a frame: all of it is written anew */
#define FLOOD_SOURCE 26
#define FLOOD_PORT 34
#define FLOOD_FLAGS 47
#define FLOOD_SYN 0x02
#define FLOOD_ACK 0x10

#endif
