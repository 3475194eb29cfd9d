/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names for what an explained packet or connect met. */
#ifndef API_NAMES_H
#define API_NAMES_H

#include "api/internal.h"
#include "api/steps.h"

/* The listen of the service that `to` meets; "" if there is none. */
void names_listen(const struct service *conf, const struct endpoint *to, uint8_t proto, char listen[LISTEN_TEXT]);

/* The service that `to` meets, and which of its listens; NULL: none. */
const char *names_service(const struct config *c, const struct endpoint *to, uint8_t proto, char listen[LISTEN_TEXT]);

/* Where services listen on the same address, the first few, for who mistook the port or the protocol. */
#define NAMES_NEAR (2 * LISTEN_TEXT)
void names_near(const struct config *c, const struct addr *addr, char near[NAMES_NEAR]);

/*
 * The endpoint and state of an entry of `backends`; *out stays as it is if there is none. Returns the service's backend
 * with that endpoint, or NULL.
 */
const struct reconcile_backend *names_backend(const struct api *a, const struct reconcile_service *s, uint32_t backend,
					      struct steps_backend *out);

#endif
