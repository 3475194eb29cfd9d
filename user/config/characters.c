/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "config/characters.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

static uint32_t utf8_first(unsigned char c, size_t *len)
{
	*len = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
	return c & (0xff >> (*len + (*len > 1)));
}

/* One character of UTF-8: its length, or 0 when there is none (cut short, too long a form, out of range). */
static size_t utf8_decode(const unsigned char *s, size_t left, uint32_t *out)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len;
	uint32_t c = utf8_first(*s, &len);

	if (!len || len > left)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*out = c;
	return len;
}

/* What YAML allows in a file (after the byte order mark at its beginning). */
static bool is_printable(uint32_t c)
{
	if (c < 0x20)
		return c == '\t' || c == '\n' || c == '\r';
	return (c < 0x7f) || c == 0x85 || (c >= 0xa0 && c != 0xfeff && c != 0xfffe && c != 0xffff);
}

int characters_check(const char *text, size_t len, struct mistakes *m)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t line = 1, step;
	uint32_t c;

	for (size_t i = 0; i < len; i += step) {
		step = utf8_decode(s + i, len - i, &c);
		if (!step) {
			mistake(m, line, "byte 0x%02x is not UTF-8; save the file in UTF-8", s[i]);
			return -EINVAL;
		}
		if (!is_printable(c)) {
			mistake(m, line,
				"control character U+%04X; remove it, or write it as an escape in double quotes", c);
			return -EINVAL;
		}
		line += c == '\n';
	}
	return 0;
}
