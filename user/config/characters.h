/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a file may be made of: UTF-8, without control characters. libyaml says only the offset, people want the line. */
#ifndef CONFIG_CHARACTERS_H
#define CONFIG_CHARACTERS_H

#include <stddef.h>

#include "config/mistake.h"

int characters_check(const char *text, size_t len, struct mistakes *m); /* 0 or -EINVAL (said in m) */

#endif
