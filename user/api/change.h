/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a change is made: all of it is checked, then applied as a whole, or nothing is. */
#ifndef API_CHANGE_H
#define API_CHANGE_H

#include "api/call.h"

/* What would change, and the sentences of it. NULL: out of memory. */
json_t *change_list(const struct config *from, const struct config *to);

/*
 * Applies wanted through the daemon. 0; else the reply is set, with what was logged on the way, and its status
 * returned.
 */
int change_apply(struct call *c, const struct config *wanted);
int change_check(struct call *c, const struct config *wanted); /* the same, without applying it */

#endif
