/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is said to a Consul agent. Pure. Texts are to be freed; NULL: out of memory. */
#ifndef REGISTER_CONSUL_ASK_H
#define REGISTER_CONSUL_ASK_H

#include "model/model.h"

/* "passing", "warning" or "critical". Consul has no weight of 0 but for instances in warning. */
const char *consul_status(const struct announce *what, bool up);
char *consul_ask_register(const struct announce *what, const char *id, const char *status);
char *consul_ask_update(const char *status, const char *output);
uint32_t consul_weight(uint32_t weight); /* Consul's 1 is our 100 */

#endif
