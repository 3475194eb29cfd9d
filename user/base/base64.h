/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bytes as base64 text (RFC 4648, section 4), with padding and on one line. Pure. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* With a zero behind it; free() it. NULL: out of memory. */
char *base64_encode(const void *bytes, size_t n);

/* *out: *n bytes and a zero, freed by the caller. -EINVAL: no such text, -ENOMEM; *out is untouched then. */
int base64_decode(const char *text, size_t len, uint8_t **out, size_t *n);

#endif
