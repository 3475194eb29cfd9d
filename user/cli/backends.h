/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of backends, as `backend list` and `service show` print it. */
#ifndef CLI_BACKENDS_H
#define CLI_BACKENDS_H

#include <jansson.h>
#include <stdbool.h>

void print_backends(const json_t *backends, bool with_service);

#endif
