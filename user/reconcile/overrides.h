/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the operator said by commands outlives the daemon: "overrides.json" in the state directory. */
#ifndef RECONCILE_OVERRIDES_H
#define RECONCILE_OVERRIDES_H

#include "model/model.h"

int overrides_load(struct config *c); /* into c; what cannot be read is logged. -ENOMEM */
int overrides_save(const struct config *c); /* -errno, logged */

#endif
