/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/base64.h"

#include <errno.h>
#include <stdlib.h>

static const char letters[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *bytes, size_t n)
{
	char *text = malloc((n + 2) / 3 * 4 + 1), *to = text;
	const uint8_t *from = bytes;

	for (size_t i = 0; text && i < n; i += 3) {
		size_t left = n - i;
		uint32_t three = from[i] << 16 | (left > 1 ? from[i + 1] << 8 : 0) | (left > 2 ? from[i + 2] : 0);

		*to++ = letters[three >> 18];
		*to++ = letters[three >> 12 & 63];
		*to++ = left > 1 ? letters[three >> 6 & 63] : '=';
		*to++ = left > 2 ? letters[three & 63] : '=';
	}
	if (text)
		*to = '\0';
	return text;
}

/* -1: none of the letters. */
static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The bits behind the last byte are zero: each text stands for its bytes alone. */
static int decode(const char *text, size_t len, uint8_t *out)
{
	uint32_t bits = 0;
	unsigned held = 0;

	for (size_t i = 0; i < len; i++) {
		int v = value(text[i]);

		if (v < 0)
			return -EINVAL;
		bits = bits << 6 | v;
		held += 6;
		if (held >= 8) {
			held -= 8;
			*out++ = bits >> held;
			bits &= (1u << held) - 1;
		}
	}
	return bits ? -EINVAL : 0;
}

int base64_decode(const char *text, size_t len, uint8_t **out, size_t *n)
{
	size_t padding = 0, bytes;
	uint8_t *to;

	if (len % 4)
		return -EINVAL;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	bytes = len / 4 * 3 - padding;
	to = malloc(bytes + 1);
	if (!to)
		return -ENOMEM;
	if (decode(text, len - padding, to)) {
		free(to);
		return -EINVAL;
	}
	to[bytes] = 0;
	*out = to;
	*n = bytes;
	return 0;
}
