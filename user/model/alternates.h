/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The words of struct shunt_alternates (bpf/slot.h, second chance): four members of the service in each. Pure. */
#ifndef MODEL_ALTERNATES_H
#define MODEL_ALTERNATES_H

#include <stdbool.h>

#include "../bpf/slot.h"
#include "model/table.h"

#define ALTERNATES_NOBODY (~0ull)

/* The owners when this one has just lost the slot, too: it comes first, and who is last falls out. */
uint64_t alternates_remember(uint64_t owners, uint16_t owner);

/* The owners without those that may have no flows: keeps[m], n of them, says whether member m may. */
uint64_t alternates_forget(uint64_t owners, const bool *keeps, uint32_t n);

/*
 * Who owns the slot with everyone alive, and the head of its ranking (table_ranked); but for its owner now, which will be
 * remembered when it loses the slot.
 */
uint64_t alternates_ranked(uint16_t base, const uint16_t ranked[TABLE_RANKED], uint16_t current);

/* While fewer than four owners are remembered: who comes next in the ranking, in the last two places. a: without them */
uint64_t alternates_guess(const struct shunt_alternates *a, const uint16_t ranked[TABLE_RANKED], uint16_t current);

#endif
