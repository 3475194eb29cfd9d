/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of this room share. */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include <event2/event.h>
#include <event2/http.h>

#include "api/api.h"
#include "api/rates.h"

struct api {
	struct api_context *x;
	struct evhttp *control, *metrics; /* live as long as the api; their listeners come and go */
	struct evhttp_bound_socket *control_bound, *metrics_bound; /* NULL: not open */
	struct control_place {
		char *path; /* of the socket that is open */
		char *group; /* NULL: root only */
		dev_t dev;
		ino_t ino; /* to know our own socket again before it is removed */
	} place;
	struct endpoint metrics_at; /* port 0: not open */
	char problem[256]; /* what the last reopening could not open, in words; "": nothing */
	uid_t owner; /* who owns the control socket, and so may change things */
	struct rates rates;
	struct event *second;
	struct trial *trials; /* of sources, under way (sources.c) */
};
void trials_cancel(struct api *a);

/* What the daemon runs: what is applied, or the file's before anything is. */
const struct config *api_running(const struct api *a);

/*
 * What the operator lists, with what commands said, and without what sources find: to be compared with the file. The
 * caller's; NULL: out of memory.
 */
struct config *api_listed(const struct api *a);

/* Calls fn for each thing that commands said of an endpoint that api_listed does not have: it is found, or not there. */
typedef void (*api_override_fn)(void *arg, const struct override *o, bool is_there);
void api_overrides_each(const struct api *a, const struct config *listed, api_override_fn fn, void *arg);

void control_request(struct evhttp_request *req, void *arg); /* arg: struct api */
void metrics_request(struct evhttp_request *req, void *arg); /* arg: struct api */

/* All services as reconcile shows them; freed by services_free. -ENOMEM */
struct services {
	struct reconcile_service *list;
	size_t n;
};
int services_load(const struct api *a, struct services *out);
void services_free(struct services *s);

#endif
