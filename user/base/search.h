/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where something is, or would be, in a sorted array; where only what is there matters, bsearch of the C library does. */
#ifndef BASE_SEARCH_H
#define BASE_SEARCH_H

#include <stddef.h>

/* The place of the first item that is not below the key, as compare(item, key) says; n: all are. */
static inline size_t search_place(const void *key, const void *items, size_t n, size_t size,
				  int (*compare)(const void *item, const void *key))
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare((const char *)items + middle * size, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

#endif
