/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes as hexadecimal text, two digits each. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* 1 to room bytes; *n: how many. -EINVAL: no such text, and nothing is written. */
int hex_parse(const char *text, uint8_t *out, size_t room, size_t *n);
char *hex_format(const uint8_t *bytes, size_t n, char *text); /* text has 2n + 1 bytes; returns it */

#endif
