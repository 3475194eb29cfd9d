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
#include "reconcile/merge.h"
#include "reconcile/reconcile.h"
#include "register/register.h"

struct api_context {
	struct event_base *base;
	struct datapath *dp;
	struct reconcile *reconcile;
	struct discovery *discovery;
	struct registrar *registrar;
	const char *config_path; /* what SIGHUP reads */
	struct config *file; /* what was last loaded or applied as a whole; the running state may differ by commands. Owned by shuntd.c, replaced by api_set_file */
	/*
	 * What the operator lists now: the file's, changed by commands, with what commands said of endpoints. With what sources
	 * find it makes what runs (reconcile_config). Owned by shuntd.c
	 */
	struct config *listed;
	struct refusal *refused; /* what sources found and was not taken, when it was merged last */
	size_t n_refused;
	struct texts held; /* services for which there was no room, when it was planned last */
	char found_problem[256]; /* why what sources found could not be applied; "": it is */
	uint64_t found_problem_ms; /* CLOCK_REALTIME: since when */
	uint64_t found_applies, found_failures; /* changes that came from sources: applied, and refused by a limit or the kernel */
	struct events *events; /* made by api_event */
	char applied[256]; /* what `shunt apply` called the file that was last applied so; "": config_path was loaded since */
	uint64_t started_ms; /* CLOCK_REALTIME */
	bool adopted; /* took up what an earlier daemon left */
	uint64_t ended; /* local connections, because their backend may have them no more */
	uint64_t reloads, reload_failures;
	char last_reload_error[256]; /* "": the last one was fine */
	/* Whether c could be listed as things are: 0, or what apply would say, and nothing changes. -errno, logged. */
	int (*check)(struct api_context *x, const struct config *c);
	/*
	 * Applies c, as the operator lists it (copied), with what sources find: settings, attachments, loopback, services,
	 * sources; or nothing. 0 or -errno, logged.
	 */
	int (*apply)(struct api_context *x, const struct config *c);
};

struct api;
int api_new(struct api_context *x, struct api **out); /* opens the control socket and the metrics listener as x->file says */
int api_reopen(struct api *a); /* after x->file changed: listeners that moved are opened anew */
void api_free(struct api *a);

/* Notes and logs what an operator may look for later: subject is what it is about, as people name it. */
void api_event(struct api_context *x, const char *subject, const char *sentence);

void api_set_file(struct api_context *x, struct config *c); /* takes c, frees the one before */

#endif
