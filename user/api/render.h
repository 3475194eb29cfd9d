/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Structures as JSON, for the control socket. Each returns a new reference, NULL when out of memory. */
#ifndef API_RENDER_H
#define API_RENDER_H

#include <jansson.h>

#include "reconcile/reconcile.h"

json_t *json_text(const char *text); /* like json_string, but bytes that are no UTF-8 text become '?' */
/* file: to tell what commands added; NULL: all is taken to be of it */
json_t *render_service(const struct config *file, const struct reconcile_service *s);
json_t *render_backend(const struct config *file, const struct reconcile_service *s, const struct reconcile_backend *b);
json_t *render_drop(const struct dp_drop *d);
json_t *render_flow(const struct reconcile_flow *f);
json_t *render_flow_place(const struct reconcile_flow_place *p);
json_t *render_connection(const struct shunt_connection *c, const char *service); /* service: NULL: nobody's any more */

/* Name of the interface of a drop: "eth0", or "#7" for one that is gone. Bytes that are no plain text become '?'. */
#define DROP_INTERFACE_TEXT 24
char *drop_interface(const struct dp_drop *d, char text[DROP_INTERFACE_TEXT]);

extern const char *const verdict_words[SHUNT_N_VERDICTS];
extern const char *const reason_words[SHUNT_N_REASONS];
extern const char *const reason_texts[SHUNT_N_REASONS];

extern const char *const flow_state_words[4]; /* of SHUNT_FLOW_* */
extern const char *const slot_phase_words[N_SLOT_PHASES];

double backend_share(const struct reconcile_service *s, const struct reconcile_backend *b); /* 0 to 1, of the slots */

#endif
