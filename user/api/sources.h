/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sources: what they found as JSON, for the status screen and for Prometheus. */
#ifndef API_SOURCES_H
#define API_SOURCES_H

#include <jansson.h>

#include "api/expo.h"
#include "api/internal.h"

json_t *render_found(const struct found_set *set); /* that no service asks for, with its endpoints */
/* How many questions stand how; what is wrong goes to problems. */
json_t *status_sources(const struct api *a, json_t *problems);
void sources_write(struct expo *e, const struct api *a);

#endif
