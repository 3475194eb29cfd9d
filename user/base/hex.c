/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/hex.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint8_t digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

int hex_parse(const char *text, uint8_t *out, size_t room, size_t *n)
{
	size_t len = strlen(text);

	if (!len || len % 2 || len / 2 > room || strspn(text, "0123456789abcdefABCDEF") != len)
		return -EINVAL;
	*n = len / 2;
	for (size_t i = 0; i < *n; i++)
		out[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
	return 0;
}

char *hex_format(const uint8_t *bytes, size_t n, char *text)
{
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	return text;
}
