/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which places of a map are taken: numbers 0..size-1, handed out in runs, first fit. */
#ifndef RECONCILE_SPACE_H
#define RECONCILE_SPACE_H

#include <stdbool.h>
#include <stdint.h>

struct space {
	uint8_t *taken; /* [size], one byte each */
	uint32_t size, used;
	uint32_t hint; /* everything below is taken */
};

int space_init(struct space *s, uint32_t size); /* -ENOMEM */
void space_free(struct space *s);
int space_take(struct space *s, uint32_t n, uint32_t *first); /* -ENOSPC */
uint32_t space_longest(const struct space *s); /* of the runs that are free */
int space_claim(struct space *s, uint32_t first, uint32_t n); /* exactly these; -EEXIST, -ERANGE */
static inline bool space_has(const struct space *s, uint32_t at) { return s->taken[at]; }
void space_release(struct space *s, uint32_t first, uint32_t n);

#endif
