/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Server IDs of QUIC connection IDs. */
#include <errno.h>
#include <string.h>

#include "base/hex.h"
#include "model/model.h"

int server_id_parse(const char *text, struct server_id *out)
{
	struct server_id id = {};
	size_t n;

	if (hex_parse(text, id.b, sizeof(id.b), &n))
		return -EINVAL;
	id.length = n;
	*out = id;
	return 0;
}

char *server_id_format(const struct server_id *id, char text[SERVER_ID_TEXT])
{
	return hex_format(id->b, id->length, text);
}

int server_id_compare(const struct server_id *a, const struct server_id *b)
{
	int order = (int)a->length - (int)b->length;

	return order ? order : memcmp(a->b, b->b, sizeof(a->b));
}
