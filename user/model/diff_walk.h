/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files that compare configurations (diff.h) share. Within model only. */
#ifndef MODEL_DIFF_WALK_H
#define MODEL_DIFF_WALK_H

#include "model/diff.h"

#define DIFF_SUBJECT_MAX (CLIENT_PATH_MAX + 256)
#define DIFF_VALUE_MAX 896 /* holds ALLOW_MAX prefixes */

struct diff_walk {
	diff_fn fn;
	void *arg;
	char subject[DIFF_SUBJECT_MAX];
};

/* What the next differences are about. */
void diff_subject(struct diff_walk *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void diff_say(struct diff_walk *w, enum diff_kind kind, const char *from, const char *to);
/* Say it if they differ. NULL: none. key: the subject. */
void diff_text_field(struct diff_walk *w, const char *from, const char *to);
void diff_number_field(struct diff_walk *w, const char *key, uint64_t from, uint64_t to);
void diff_duration_field(struct diff_walk *w, const char *key, uint64_t from, uint64_t to);
/* What is in one list alone came or went. what: of which kind it is. Both are sorted. */
void diff_texts(struct diff_walk *w, const char *what, const struct texts *from, const struct texts *to);

void diff_services(struct diff_walk *w, const struct config *from, const struct config *to);
void diff_discovery(struct diff_walk *w, const struct config *from, const struct config *to);

#endif
