/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two programs in the kernel. To verify them takes half a second, so what a test gives back is kept, and taken by
 * the next that asks for the same, with its maps emptied.
 */
#ifndef TESTS_LOADED_H
#define TESTS_LOADED_H

#include <stdint.h>

#include "../bpf/abi.h"

#define LOADED_LOG2_HOMES 8 /* of listeners */
#define LOADED_LOG2_BUCKETS 12 /* of each service in the flow cache */

struct loaded_sizes {
	uint32_t members, backends, services, slots; /* entries */
};

struct loaded {
	struct loaded *next;
	struct shunt_settings settings;
	struct loaded_sizes sizes;
	struct edge *edge;
	struct backend *backend;
};

/* Never NULL: fails the test if they cannot be loaded. */
struct loaded *loaded_take(const struct shunt_settings *settings, const struct loaded_sizes *sizes);
void loaded_give(struct loaded *l);

#endif
