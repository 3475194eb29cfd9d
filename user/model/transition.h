/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What becomes of a slot when its owner changes, and when time has passed: the daemon's half of bpf/slot.h, where the
 * phases are described. Pure. All numbers of members are those of one service.
 */
#ifndef MODEL_TRANSITION_H
#define MODEL_TRANSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "../bpf/slot.h"

/*
 * The slot when current (and runner_up) own it from now on; was: the slot until now. keeps[m]: may member m keep flows
 * that it has? (it lives, and nobody took it away); n of them. Who does not keep loses what the slot says of it.
 */
uint64_t transition_follow(uint64_t was, uint16_t current, uint16_t runner_up, const bool *keeps, uint32_t n);

/* The slot when it has been observed for long enough: who was not noted until now is with current. */
uint64_t transition_observed(uint64_t slot);

/* The slot when no flow is noted elsewhere than with current any more. */
uint64_t transition_settled(uint64_t slot);

#endif
