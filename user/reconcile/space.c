/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "reconcile/space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int space_init(struct space *s, uint32_t size)
{
	*s = (struct space){ .taken = calloc(1, size ? size : 1), .size = size };
	return s->taken ? 0 : -ENOMEM;
}

void space_free(struct space *s)
{
	free(s->taken);
	*s = (struct space){};
}

static void mark(struct space *s, uint32_t first, uint32_t n)
{
	memset(s->taken + first, 1, n);
	s->used += n;
	while (s->hint < s->size && s->taken[s->hint])
		s->hint++;
}

int space_take(struct space *s, uint32_t n, uint32_t *first)
{
	for (uint32_t at = s->hint, run = 0; at < s->size; at++) {
		run = s->taken[at] ? 0 : run + 1;
		if (run == n) {
			*first = at + 1 - n;
			mark(s, *first, n);
			return 0;
		}
	}
	return -ENOSPC;
}

uint32_t space_longest(const struct space *s)
{
	uint32_t longest = 0;

	for (uint32_t at = s->hint, run = 0; at < s->size; at++) {
		run = s->taken[at] ? 0 : run + 1;
		if (run > longest)
			longest = run;
	}
	return longest;
}

int space_claim(struct space *s, uint32_t first, uint32_t n)
{
	if (first > s->size || n > s->size - first)
		return -ERANGE;
	if (memchr(s->taken + first, 1, n))
		return -EEXIST;
	mark(s, first, n);
	return 0;
}

void space_release(struct space *s, uint32_t first, uint32_t n)
{
	memset(s->taken + first, 0, n);
	s->used -= n;
	if (first < s->hint)
		s->hint = first;
}
