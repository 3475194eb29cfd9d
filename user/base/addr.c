/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool addr_is4(const struct addr *a)
{
	return !memcmp(a->b, mapped, sizeof(mapped));
}

bool addr_is_unspecified(const struct addr *a)
{
	static const uint8_t zeroes[16];

	return !memcmp(a->b + 12, zeroes, 4) && (addr_is4(a) || !memcmp(a->b, zeroes, 12));
}

bool addr_is_loopback(const struct addr *a)
{
	static const struct addr one = { { [15] = 1 } };

	return addr_is4(a) ? a->b[12] == 127 : !addr_compare(a, &one);
}

bool addr_is_multicast(const struct addr *a)
{
	return addr_is4(a) ? a->b[12] >> 4 == 14 : a->b[0] == 0xff;
}

bool addr_is_broadcast(const struct addr *a)
{
	static const uint8_t ones[4] = { 255, 255, 255, 255 };

	return addr_is4(a) && !memcmp(a->b + 12, ones, 4);
}

int addr_compare(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

struct addr addr_from4(uint32_t network_order)
{
	struct addr a;

	memcpy(a.b, mapped, sizeof(mapped));
	memcpy(a.b + 12, &network_order, 4);
	return a;
}

int addr_parse(const char *text, struct addr *out)
{
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, text, &four) == 1) {
		*out = addr_from4(four.s_addr);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &six) != 1)
		return -EINVAL;
	memcpy(out->b, &six, sizeof(out->b));
	return 0;
}

char *addr_format(const struct addr *a, char text[ADDR_TEXT])
{
	if (addr_is4(a))
		inet_ntop(AF_INET, a->b + 12, text, ADDR_TEXT);
	else
		inet_ntop(AF_INET6, a->b, text, ADDR_TEXT);
	return text;
}

struct addr addr_mask(uint8_t len)
{
	struct addr m = {};

	for (int i = 0; i < 16 && len; i++) {
		uint8_t bits = len < 8 ? len : 8;

		m.b[i] = 0xff << (8 - bits);
		len -= bits;
	}
	return m;
}

bool addr_in_prefix(const struct addr *a, const struct prefix *p)
{
	struct addr m = addr_mask(p->len);

	for (int i = 0; i < 16; i++)
		if ((a->b[i] & m.b[i]) != p->addr.b[i])
			return false;
	return true;
}

int port_parse(const char *text, uint16_t *out)
{
	unsigned long port;
	size_t len = strlen(text);

	if (!len || len > 5 || strspn(text, "0123456789") != len)
		return -EINVAL;
	port = strtoul(text, NULL, 10);
	if (!port || port > 65535)
		return -EINVAL;
	*out = port;
	return 0;
}

int endpoint_compare(const struct endpoint *a, const struct endpoint *b)
{
	int order = addr_compare(&a->addr, &b->addr);

	return order ? order : (a->port > b->port) - (a->port < b->port);
}

/* Splits "[v6]:port", "[v6]", "v4:port", "v4" or "v6" in place; *port is NULL when there is none. */
static int split_endpoint(char *text, char **host, char **port)
{
	char *end;

	*port = NULL;
	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		*host = text + 1;
		if (!strchr(*host, ':') || strchr(*host, ':') > end)
			return -EINVAL; /* brackets are for IPv6 */
		*port = end[1] ? end + 2 : NULL;
		*end = '\0';
		return 0;
	}
	*host = text;
	end = strchr(text, ':');
	if (end && !strchr(end + 1, ':')) { /* one colon: v4:port; more: a bare IPv6 address */
		*end = '\0';
		*port = end + 1;
	}
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *out)
{
	char copy[ENDPOINT_TEXT], *host, *port;
	struct endpoint e = {};

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	if (split_endpoint(copy, &host, &port) || addr_parse(host, &e.addr))
		return -EINVAL;
	if (port && port_parse(port, &e.port))
		return -EINVAL;
	*out = e;
	return 0;
}

char *endpoint_format(const struct endpoint *e, char text[ENDPOINT_TEXT])
{
	char host[ADDR_TEXT];

	addr_format(&e->addr, host);
	if (!e->port)
		snprintf(text, ENDPOINT_TEXT, "%s", host);
	else
		snprintf(text, ENDPOINT_TEXT, addr_is4(&e->addr) ? "%s:%u" : "[%s]:%u", host, e->port);
	return text;
}

socklen_t endpoint_sockaddr(const struct endpoint *e, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	struct sockaddr_in *four = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (addr_is4(&e->addr)) {
		four->sin_family = AF_INET;
		four->sin_port = htons(e->port);
		memcpy(&four->sin_addr, e->addr.b + 12, 4);
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(e->port);
	memcpy(&six->sin6_addr, e->addr.b, 16);
	return sizeof(*six);
}

int prefix_parse(const char *text, struct prefix *out)
{
	char copy[PREFIX_TEXT], *slash;
	struct prefix p;
	unsigned max, len;
	struct addr m;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	slash = strchr(copy, '/');
	if (!slash)
		return -EINVAL;
	*slash++ = '\0';
	if (addr_parse(copy, &p.addr))
		return -EINVAL;
	if (!*slash || strlen(slash) > 3 || strspn(slash, "0123456789") != strlen(slash))
		return -EINVAL;
	max = strchr(copy, ':') ? 128 : 32; /* "::ffff:10.0.0.0/104" counts as it is written */
	len = strtoul(slash, NULL, 10);
	if (len > max)
		return -EINVAL;
	p.len = len + 128 - max;
	m = addr_mask(p.len);
	for (int i = 0; i < 16; i++)
		if (p.addr.b[i] & ~m.b[i])
			return -EINVAL;
	*out = p;
	return 0;
}

char *prefix_format(const struct prefix *p, char text[PREFIX_TEXT])
{
	bool four = addr_is4(&p->addr) && p->len >= 96;
	char host[ADDR_TEXT];

	snprintf(text, PREFIX_TEXT, "%s/%u", addr_format(&p->addr, host), four ? p->len - 96u : p->len);
	return text;
}
