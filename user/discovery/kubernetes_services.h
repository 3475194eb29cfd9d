/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Services of Kubernetes that are taken over whole: those whose loadBalancerClass is ours, and those with a label; and
 * what is to be published in their status. A Service with the loadBalancerClass of somebody else is never ours. Pure.
 */
#ifndef DISCOVERY_KUBERNETES_SERVICES_H
#define DISCOVERY_KUBERNETES_SERVICES_H

#include <jansson.h>

#include "discovery/source.h"

/* What is kept of a Service. */
struct kubernetes_service {
	char *namespace, *name;
	char *version; /* of the object, by which a change that crosses ours is noticed; "": it names none */
	struct offer *offers; /* one for each port */
	size_t n_offers;
	struct addr *publish; /* addresses that its status shows, or showed before it was no longer ours */
	size_t n_publish;
	bool ours; /* its status is ours to write: type LoadBalancer, of our class */
	bool differs; /* its status is to be written */
};

/*
 * before: what was kept of the same Service; NULL: nothing. *out is NULL for one with which we have nothing to do (any
 * more). 0 or -ENOMEM. What is not a Service at all is one with which we have nothing to do.
 */
int kubernetes_service_parse(const json_t *object, const struct source *conf, const struct kubernetes_service *before,
			     struct kubernetes_service **out);
void kubernetes_service_free(struct kubernetes_service *s); /* NULL is fine */

/* The merge patch that makes the status right; refused by the server if the object is another by now. free() */
char *kubernetes_service_patch(const struct kubernetes_service *s);

/* The name of an offered service: NAMESPACE.NAME.PORT; one too long is cut, and told from others by a hash. */
void kubernetes_offer_name(const char *namespace, const char *name, const char *port, char out[SERVICE_NAME_MAX + 1]);

#endif
