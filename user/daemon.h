/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of the daemon itself share: its rooms, wired together (shuntd.c), and what is applied to them (apply.c). */
#ifndef DAEMON_H
#define DAEMON_H

#include "api/api.h"
#include "datapath/sever.h"

struct daemon {
	struct api_context context; /* first: apply() gets from one to the other */
	struct health *health;
	struct nexthops *nexthops;
	struct api *api;
	struct sever *sever; /* NULL: local connections are not balanced */
	struct event *signals[3], *revisit, *found_again;
	bool runs; /* a configuration is applied: there is something to go back to */
};

bool any_port(const struct config *c); /* does some service listen on every port? */

/* For struct api_context: see there. */
int daemon_check(struct api_context *x, const struct config *listed);
int daemon_apply(struct api_context *x, const struct config *listed);
/* A file, and what commands said of endpoints over it; what they listed themselves is gone. */
int daemon_apply_file(struct daemon *d, const struct config *file);
/* When sources found something; a discovery_changed_fn, arg: struct daemon. */
void daemon_on_found(void *arg);
void daemon_on_found_again(evutil_socket_t fd, short what, void *arg);
void daemon_forget_found(struct daemon *d); /* frees what is noted about it */

#endif
