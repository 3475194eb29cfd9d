/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Predicates over a request: who may change things, what it is about, what it wants to read. Pure. */
#ifndef API_PERMIT_H
#define API_PERMIT_H

#include <stdbool.h>
#include <sys/types.h>

/* The socket's owner and root may change things; who else may connect may look. */
static inline bool permit_change(uid_t peer, uid_t owner) { return peer == owner || peer == 0; }

/* path parts against "v1/services/?/backends": ? is any one part. */
bool route_matches(const char *pattern, char *const *parts, unsigned n);

/* Whether an Accept header (NULL: none) prefers OpenMetrics 1.0.0 to Prometheus' text format. */
bool accept_openmetrics(const char *header);

#endif
