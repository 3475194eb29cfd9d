/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A slot's leaders: who ranks first and second in it of all members, alive or not; where matching begins. To find them
 * is what building a table costs, a draw for each slot and member. But a rank depends on the slot and the member alone
 * (rank.h), so the leaders of a table with nearly the same members follow from those of the other: members that came
 * are weighed against them, and only slots that lost one of theirs are scanned. Within model only.
 */
#ifndef MODEL_LEADERS_H
#define MODEL_LEADERS_H

#include "model/overlay.h"

/* Fills f->leaders, once its members are ranked. was: a table to follow; NULL: none. 0 or -ENOMEM */
int leaders_find(struct full_table *f, const struct full_table *was);

#endif
