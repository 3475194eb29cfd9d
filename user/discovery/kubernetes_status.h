/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes the status of Services: one request at a time, and each Service's again after a while (backoff.h) for as long
 * as it is not seen to be right. So two who do not agree about a status do not wear the server out.
 */
#ifndef DISCOVERY_KUBERNETES_STATUS_H
#define DISCOVERY_KUBERNETES_STATUS_H

#include "discovery/http.h"

struct kubernetes_status_conf {
	struct event_base *base;
	struct http *http;
	const char *const *headers; /* of each request; NULL: none */
	uint32_t timeout_ms;
	void (*problem)(void *arg, const char *sentence); /* NULL: there is none any more */
	void *arg;
};

struct kubernetes_status;
int kubernetes_status_new(const struct kubernetes_status_conf *conf, struct kubernetes_status **out); /* -ENOMEM */
void kubernetes_status_free(struct kubernetes_status *s); /* what was not written stays as it is. NULL is fine */

/* A Service's status is not as it should be; the merge patch makes it so. -ENOMEM */
int kubernetes_status_write(struct kubernetes_status *s, const char *namespace, const char *name, const char *patch);
/* It is right, or not ours. */
void kubernetes_status_leave(struct kubernetes_status *s, const char *namespace, const char *name);

#endif
