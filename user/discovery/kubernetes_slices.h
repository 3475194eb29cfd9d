/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * EndpointSlices to backends. A service has as many slices as its endpoints and its address families need; an endpoint
 * may be in two of them for a while. Pure.
 *
 * Of an endpoint's conditions: ready is used; serving and terminating is drained, and used where none is ready; what
 * is neither is left out. What is not said counts as ready, as serving where it is ready, and as not terminating.
 */
#ifndef DISCOVERY_KUBERNETES_SLICES_H
#define DISCOVERY_KUBERNETES_SLICES_H

#include <jansson.h>

#include "model/model.h"

#define KUBERNETES_SERVICE_LABEL "kubernetes.io/service-name" /* by which a slice says of which service it is */

struct slice_port {
	char *name; /* "": it has none */
	uint16_t number; /* host order */
	uint8_t proto; /* IPPROTO_TCP or IPPROTO_UDP */
};

/* Bits of what is kept of an endpoint. */
enum { SLICE_READY = 1, SLICE_DRAINS = 2, SLICE_HINTED = 4, SLICE_HERE = 8 /* a hint names our zone */ };
struct slice_endpoint {
	struct addr addr;
	uint8_t bits;
};

/* What is kept of an EndpointSlice. */
struct slice {
	char *service;
	struct slice_port *ports; /* those of TCP and UDP with a number */
	size_t n_ports;
	struct slice_endpoint *endpoints;
	size_t n_endpoints;
	size_t n_unready; /* not among endpoints */
	size_t n_unreadable; /* of no address that is one, or all of a slice of host names (FQDN) */
};

/* zone: ours; NULL: hints are not looked at. -EBADMSG: it is no slice of a service; -ENOMEM. */
int slice_parse(const json_t *object, const char *zone, struct slice **out);
void slice_free(struct slice *s); /* NULL is fine */

#define SLICES_TEXT 400
struct slices_answer {
	struct backend *backends; /* sorted, each endpoint once; free() */
	size_t n;
	char note[SLICES_TEXT]; /* what was left out; "": nothing */
};
/*
 * All slices of a service together, for the port that what names. 0, -ENOMEM, or -EINVAL: problem says why it cannot
 * be answered (no such port, or several and none is chosen).
 */
int slices_backends(const struct slice *const *slices, size_t n, const struct discover *what, struct slices_answer *out,
		    char problem[SLICES_TEXT]);

#endif
