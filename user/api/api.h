/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the daemon says to the outside: the control socket (HTTP with JSON over a UNIX socket; the socket's owner may
 * change things, everyone who may connect may look) and /metrics for Prometheus.
 */
#ifndef API_API_H
#define API_API_H

#include <event2/event.h>

#include "config/config.h"
#include "datapath/datapath.h"
#include "reconcile/reconcile.h"

struct api_context {
	struct event_base *base;
	struct datapath *dp;
	struct reconcile *reconcile;
	const char *config_path; /* what SIGHUP reads */
	struct config *file; /* what was last loaded or applied as a whole; the running state may differ by commands. Owned by shuntd.c, replaced by api_set_file */
	char applied[256]; /* what `shunt apply` called the file that was last applied so; "": config_path was loaded since */
	uint64_t started_ms; /* CLOCK_REALTIME */
	bool adopted; /* took up what an earlier daemon left */
	uint64_t ended; /* local connections, because their backend may have them no more */
	uint64_t reloads, reload_failures;
	char last_reload_error[256]; /* "": the last one was fine */
	/* Whether c could be applied as things are: 0, or what apply would say, and nothing changes. -errno, logged. */
	int (*check)(struct api_context *x, const struct config *c);
	/* Applies c everywhere: settings, attachments, loopback, services; or nothing. 0 or -errno, logged. */
	int (*apply)(struct api_context *x, const struct config *c);
};

struct api;
int api_new(struct api_context *x, struct api **out); /* opens the control socket and the metrics listener as x->file says */
int api_reopen(struct api *a); /* after x->file changed: listeners that moved are opened anew */
void api_free(struct api *a);

void api_set_file(struct api_context *x, struct config *c); /* takes c, frees the one before */

#endif
