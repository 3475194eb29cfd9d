/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_set(char **text, const char *fmt, ...)
{
	char *old = *text; /* it may be part of the new one */
	va_list args;

	va_start(args, fmt);
	if (vasprintf(text, fmt, args) < 0)
		*text = strdup("");
	va_end(args);
	free(old);
}

/* Length of the character at s, or 0: there is none that may stay. A zero ends the text. */
static size_t character(const unsigned char *s)
{
	static const uint32_t smallest[] = { 0, 0x20, 0xa0, 0x800, 0x10000 }; /* below 0x20 and 0xa0: control characters */
	size_t len = *s < 0x80 ? 1 : (*s & 0xe0) == 0xc0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 : (*s & 0xf8) == 0xf0 ? 4 : 0;
	uint32_t c = len > 1 ? *s & (0x7f >> len) : *s;

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (!len || c < smallest[len] || c == 0x7f || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return len;
}

char *text_clean(char *text)
{
	for (char *at = text; *at;) {
		size_t len = character((const unsigned char *)at);

		if (!len)
			*at = '?';
		at += len ? len : 1;
	}
	return text;
}
