/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a service listens: "ADDRESS:PORT/PROTOCOL", with * for every port. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "model/model.h"

static int proto_parse(const char *text, uint8_t *out)
{
	if (!strcmp(text, "tcp"))
		*out = IPPROTO_TCP;
	else if (!strcmp(text, "udp"))
		*out = IPPROTO_UDP;
	else
		return -EINVAL;
	return 0;
}

/* "ADDRESS:*" in place: leaves "ADDRESS:1", which endpoint_parse understands. */
static bool take_wildcard(char *text)
{
	size_t len = strlen(text);

	if (len < 2 || strcmp(text + len - 2, ":*"))
		return false;
	text[len - 1] = '1';
	return true;
}

int listen_parse(const char *text, struct listen *out)
{
	char copy[LISTEN_TEXT], *slash;
	struct endpoint at;
	uint8_t proto;
	bool every;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	slash = strchr(copy, '/');
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	every = take_wildcard(copy);
	if (endpoint_parse(copy, &at) || !at.port || proto_parse(slash + 1, &proto))
		return -EINVAL;
	*out = (struct listen){ .addr = at.addr, .port = every ? 0 : at.port, .proto = proto };
	return 0;
}

char *listen_format(const struct listen *l, char text[LISTEN_TEXT])
{
	char host[ADDR_TEXT], port[8] = "*";
	bool four = addr_is4(&l->addr);

	if (l->port)
		snprintf(port, sizeof(port), "%u", l->port);
	snprintf(text, LISTEN_TEXT, "%s%s%s:%s/%s", four ? "" : "[", addr_format(&l->addr, host), four ? "" : "]", port,
		 l->proto == IPPROTO_UDP ? "udp" : "tcp");
	return text;
}

int listen_compare(const struct listen *a, const struct listen *b)
{
	int order = addr_compare(&a->addr, &b->addr);

	if (!order)
		order = (a->port > b->port) - (a->port < b->port);
	return order ? order : (a->proto > b->proto) - (a->proto < b->proto);
}
