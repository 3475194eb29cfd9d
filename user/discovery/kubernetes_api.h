/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all that asks one cluster's API shares, and the two that ask: for endpoints in a namespace, and for Services. */
#ifndef DISCOVERY_KUBERNETES_API_H
#define DISCOVERY_KUBERNETES_API_H

#include "discovery/http.h"
#include "discovery/source.h"

struct kubernetes_api {
	struct source_env env;
	const struct source *conf;
	struct http *http;
	const char *headers[2]; /* of each request; NULL-terminated */
	unsigned watches; /* that there are */
	const char *credentials; /* by which we are known, as people read it */
};

/* ---- kubernetes_namespace.c: the endpoints of the services that are asked for, by one list and one stream ---- */

struct kubernetes_namespace;
struct kubernetes_question;
/* -ENOMEM */
int kubernetes_namespace_new(struct kubernetes_api *api, const char *name, struct kubernetes_namespace **out);
void kubernetes_namespace_free(struct kubernetes_namespace *n); /* no question is left */
const char *kubernetes_namespace_name(const struct kubernetes_namespace *n);
int kubernetes_question_new(struct kubernetes_namespace *n, const struct discover *what, struct finder *f,
			    struct kubernetes_question **out); /* -ENOMEM */
/* Returns the namespace if this was its last question, to be freed; NULL: it has others. */
struct kubernetes_namespace *kubernetes_question_free(struct kubernetes_question *q);

/* ---- kubernetes_offers.c: Services that are taken over, and their status ---- */

struct kubernetes_offers;
int kubernetes_offers_new(struct kubernetes_api *api, struct kubernetes_offers **out); /* -ENOMEM */
void kubernetes_offers_free(struct kubernetes_offers *o); /* NULL is fine */

#endif
