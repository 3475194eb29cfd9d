/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What differs between two configurations, one thing at a time, in words. Both must be normalised. */
#ifndef MODEL_DIFF_H
#define MODEL_DIFF_H

#include "model/model.h"

enum diff_kind { DIFF_ADDED, DIFF_REMOVED, DIFF_CHANGED };

/* The texts live as long as the call that hands them over. */
struct diff {
	enum diff_kind kind;
	const char *subject; /* "service web: backend 10.0.0.11:80: weight", "edge.seed" */
	const char *from, *to; /* of DIFF_CHANGED both; of DIFF_ADDED `to` describes what came; else NULL */
};
typedef void (*diff_fn)(void *arg, const struct diff *d);

/* Calls fn for each thing that `to` has otherwise than `from`: settings first, then services in order of name. */
void config_diff(const struct config *from, const struct config *to, diff_fn fn, void *arg);

bool config_differs(const struct config *from, const struct config *to);

#define DIFF_TEXT 2048
/* As what will happen: "service web: backend 10.0.0.11:80: enabled -> draining". Returns text. */
char *diff_change(const struct diff *d, char text[DIFF_TEXT]);
/* As a state, `from` being the file: "service web: backend 10.0.0.11:80 is draining, the file says enabled". */
char *diff_state(const struct diff *d, char text[DIFF_TEXT]);

#endif
