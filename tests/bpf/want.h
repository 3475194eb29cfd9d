/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a packet must become: made from the packet that went in, by the same layers that made it, never by the code
 * under test.
 */
#ifndef TESTS_WANT_H
#define TESTS_WANT_H

#include "packet.h"

/* The GUE header of a tunnel packet: who else may know the flow. */
struct gue {
	unsigned n; /* addresses */
	const char *hops[7]; /* NULL: nobody at this place */
	uint8_t next;
};

/*
 * The tunnel packet to a backend. hash: of the flow. gue: for a backend that is reached so; NULL: nobody else. Padding of
 * the frame is not part of it.
 */
void want_tunnel(struct packet *want, const struct packet *in, const struct shunt_settings *settings,
		 const struct shunt_backend *backend, uint64_t hash, const struct gue *gue);

/* The answer to an echo request. */
void want_echo(struct packet *want, const struct packet *in);

/* The ICMP error about a packet, by its family: type, code, and the four bytes after the checksum. */
void want_icmp_error(struct packet *want, const struct packet *in, uint8_t type, uint8_t code, uint32_t rest);

/* A tunnel packet with its frame's MAC addresses and tags, and an inner packet without a frame. */
struct tunnel {
	uint16_t tpid[2], tci[2];
	const char *src, *dst; /* outer; NULL: an allowed source, the backend's address */
	bool outer6;
	uint8_t tos, ttl; /* ttl 0: 64 */
	uint16_t frag;
	const uint8_t *options;
	size_t n_options;
	void (*ext)(struct packet *p);
	const struct gue *gue; /* NULL: IPIP */
};
void tunnel_packet(struct packet *p, const struct tunnel *t, const struct packet *inner);

/* What it must become when it is delivered: the frame's addresses and tags, then the inner packet. */
void want_delivered(struct packet *want, const struct tunnel *t, const struct packet *inner);

/* What it must become when it is sent on to `to`, its next address: by this way, or back to its sender (NULL). */
void want_sent_on(struct packet *want, const struct tunnel *t, const struct packet *inner, unsigned to,
		  const struct shunt_backend *way);

#endif
