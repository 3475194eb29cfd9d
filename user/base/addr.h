/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses, endpoints and prefixes: one form for both families, 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	uint8_t b[16];
};

struct endpoint {
	struct addr addr;
	uint16_t port; /* host order; 0: none given */
};

struct prefix {
	struct addr addr; /* host bits are zero */
	uint8_t len; /* 0-128, counted in the 16-byte form: 10.0.0.0/8 has 104 */
};

#define ADDR_TEXT 48 /* bytes for any address as text, with its NUL */
#define ENDPOINT_TEXT 64
#define PREFIX_TEXT 64

bool addr_is4(const struct addr *a);
bool addr_is_unspecified(const struct addr *a); /* 0.0.0.0, :: */
bool addr_is_loopback(const struct addr *a); /* 127.0.0.0/8, ::1 */
bool addr_is_multicast(const struct addr *a); /* 224.0.0.0/4, ff00::/8 */
bool addr_is_broadcast(const struct addr *a); /* 255.255.255.255 */
int addr_compare(const struct addr *a, const struct addr *b); /* order of memcmp */
int addr_parse(const char *text, struct addr *out); /* "10.0.0.1", "2001:db8::1"; 0 or -EINVAL */
char *addr_format(const struct addr *a, char text[ADDR_TEXT]); /* returns text */
struct addr addr_from4(uint32_t network_order);
bool addr_in_prefix(const struct addr *a, const struct prefix *p);
struct addr addr_mask(uint8_t len); /* len one bits, then zeroes */

int endpoint_compare(const struct endpoint *a, const struct endpoint *b);
/* "10.0.0.1:80", "[2001:db8::1]:80"; without ":port" (and then without brackets, or with) port is 0; 0 or -EINVAL */
int endpoint_parse(const char *text, struct endpoint *out);
char *endpoint_format(const struct endpoint *e, char text[ENDPOINT_TEXT]); /* port 0 is left out */
socklen_t endpoint_sockaddr(const struct endpoint *e, struct sockaddr_storage *out); /* returns its length */

int prefix_parse(const char *text, struct prefix *out); /* "10.0.0.0/8", "2001:db8::/32"; host bits must be 0; 0 or -EINVAL */
char *prefix_format(const struct prefix *p, char text[PREFIX_TEXT]);

int port_parse(const char *text, uint16_t *out); /* "1".."65535", digits only; 0 or -EINVAL */

#endif
