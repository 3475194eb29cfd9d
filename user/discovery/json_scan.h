/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads JSON as it comes, without a tree and without memory of its own: for large answers of which little is wanted, that
 * is, Consul's. jansson, which reads all other JSON here, takes 35 us for an instance there: 3.5 ms of the 5 that a change
 * may take with a hundred of them, and a third of a second without the loop with ten thousand. This takes a tenth of it.
 *
 * The reader walks over every value, taking it or skipping it:
 *
 *   for (bool more = scan_open(&s, '{'); more; more = scan_more(&s, '}')) {
 *           scan_key(&s, key, sizeof(key));
 *           if (!strcmp(key, "Port")) ... else scan_skip(&s);
 *   }
 *
 * What is no JSON (or not all of it), or is nested more deeply than SCAN_DEPTH, sets bad; then nothing is read any more, and
 * all loops end. Bytes above 0x7f are taken as they are.
 */
#ifndef DISCOVERY_JSON_SCAN_H
#define DISCOVERY_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_DEPTH 64

struct scan {
	const char *at, *end;
	unsigned depth;
	bool bad;
};

/* First byte of the value that comes next, which says its kind: one of [ { " - 0-9 t f n. 0: there is nothing, or no value. */
char scan_peek(struct scan *s);
bool scan_open(struct scan *s, char bracket); /* '[' or '{': enters it; is there a first item? */
bool scan_more(struct scan *s, char bracket); /* ']' or '}', which is taken: is there another item? */
void scan_key(struct scan *s, char *out, size_t size); /* of a member, and its colon; as scan_text */
void scan_text(struct scan *s, char *out, size_t size); /* a string: what does not fit is cut off, a zero within is '?' */
bool scan_integer(struct scan *s, int64_t *out); /* false: a number, but no integer, or one that does not fit */
void scan_skip(struct scan *s); /* over any value */
void scan_end(struct scan *s); /* nothing but white space may follow */

#endif
