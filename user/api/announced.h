/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this host announces of itself, for the status and the metrics. */
#ifndef API_ANNOUNCED_H
#define API_ANNOUNCED_H

#include <jansson.h>

#include "api/expo.h"
#include "api/internal.h"

json_t *status_announced(const struct api *a, json_t *problems);
void write_announced(struct expo *e, const struct api *a);

#endif
