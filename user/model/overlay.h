/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who owns the slots while some members are not alive, and who is next. Within model only. */
#ifndef MODEL_OVERLAY_H
#define MODEL_OVERLAY_H

#include "model/match.h"

/* A table with what it needs to change. */
struct full_table {
	struct table t; /* first: what others see */
	struct ranking r;
	uint32_t *ids; /* [n_members] RANK_NONE: weight 0 */
	uint8_t *alive; /* [r.n], by id */
	uint32_t n_alive; /* of them */
	uint16_t (*leaders)[RANK_SCAN]; /* [n_slots] ids, see leaders.h; NO_LEADER where there are fewer members */
	uint32_t *limit; /* [n_slots] no member whose u is above this can become the slot's owner or runner-up */
};

static inline struct full_table *full(struct table *t) { return (struct full_table *)t; }

void overlay_build(struct full_table *f, const struct match_window *windows); /* current and runner_up of all slots */
uint32_t overlay_fall(struct full_table *f, uint32_t id); /* alive[id] has just become false; slots that change owner */
uint32_t overlay_rise(struct full_table *f, uint32_t id); /* alive[id] has just become true */

#endif
