/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writes metrics for Prometheus: text format 0.0.4, or OpenMetrics 1.0.0. A family is begun, then gets its samples;
 * the two formats differ in the family's name of a counter (OpenMetrics leaves "_total" to the samples), in the
 * content type and in the end mark.
 */
#ifndef API_EXPO_H
#define API_EXPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum expo_type { EXPO_COUNTER, EXPO_GAUGE };

/* Begins zeroed but for the format; data is the caller's to free. */
struct expo {
	bool openmetrics;
	bool failed; /* out of memory: what is in data is not whole */
	char *data; /* len bytes, no terminator */
	size_t len, room;
	const char *name; /* of the family begun last, without _total */
	enum expo_type type;
};

/* name: without "_total"; help: one line of plain text without quotes */
void expo_family(struct expo *e, enum expo_type type, const char *name, const char *help);

/* Labels: name and value in turn, ended by NULL. */
void expo_count(struct expo *e, uint64_t value, ...) __attribute__((sentinel));
void expo_value(struct expo *e, double value, ...) __attribute__((sentinel));

/* Room for n bytes at the end of the text, for who writes samples itself and then adds to len; NULL: out of memory. */
char *expo_reserve(struct expo *e, size_t n);
void expo_end(struct expo *e);
const char *expo_content_type(bool openmetrics);

#endif
