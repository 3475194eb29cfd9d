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

/* The head of the slot's ranking (table_ranked) without its owner, which, if it loses the slot, will be remembered. */
uint64_t alternates_ranked(const uint16_t ranked[TABLE_RANKED], uint16_t current);

#endif
