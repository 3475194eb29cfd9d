/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Base owners by deferred acceptance (Gale and Shapley, 1962): every slot asks the members in its own order; a member
 * holds at most its cap of slots, those that draw the smallest u for it (then the smallest number), and lets go of the
 * worst when a better one asks. The outcome does not depend on the order of asking. Within model only.
 */
#ifndef MODEL_MATCH_H
#define MODEL_MATCH_H

#include "model/rank.h"

/* A part of a slot's ranking, in order, with its base owner in it. */
struct match_window {
	uint16_t ids[RANK_SCAN];
	uint8_t n;
	uint8_t owner; /* ids[owner] */
};

/* Most slots that a member of this weight owns with everyone alive: its share and 2 % more, rounded up. */
uint32_t match_cap(uint32_t n_slots, uint32_t weight, uint64_t total_weight);

#define NO_LEADER 0xffff

/* leaders: see leaders.h. *out: a window for each slot; free(). r->n > 0. 0 or -ENOMEM */
int match(const struct ranking *r, uint32_t n_slots, const uint16_t (*leaders)[RANK_SCAN], struct match_window **out);

#endif
