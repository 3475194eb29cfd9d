/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Durations as people write them: a whole number and ms, s, m or h. */
#ifndef BASE_DURATION_H
#define BASE_DURATION_H

#include <stdint.h>

#define DURATION_TEXT 24 /* bytes for any duration as text, with its NUL */

int duration_parse(const char *text, uint64_t *ms); /* at most nine digits; 0, -EINVAL or -ERANGE */
char *duration_format(uint64_t ms, char text[DURATION_TEXT]); /* in the largest unit that fits whole; returns text */

#endif
