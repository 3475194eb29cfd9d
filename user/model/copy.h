/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Deep copies in one expression each: 0 or -ENOMEM; what was empty stays NULL. Comparing texts. Within model only. */
#ifndef MODEL_COPY_H
#define MODEL_COPY_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

static inline int text_copy(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

/* NULL is equal to NULL alone. */
static inline bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static inline void *memory_copy(const void *from, size_t n, size_t size)
{
	void *to = n ? reallocarray(NULL, n, size) : NULL;

	return to ? memcpy(to, from, n * size) : NULL;
}

int texts_copy(struct texts *to, const struct texts *from); /* to is empty */

#define ARRAY_COPY(to, from, n) ((*(to) = memory_copy(from, n, sizeof(**(to)))) || !(n) ? 0 : -ENOMEM)

#endif
