/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose turn it is, for round-robin with weights: a sequence that is gone through again and again. */
#ifndef MODEL_TURNS_H
#define MODEL_TURNS_H

#include <stdint.h>

/*
 * Writes the numbers of the n members into out, which has room for `room` of them, each as often as its share says and
 * evenly spread. Members of weight 0 never appear; equal weights give 0, 1, 2 ... n - 1. n is at most 65535, a weight
 * WEIGHT_MAX.
 *
 * Where room allows it the sequence is as long as the sum of the weights divided by their greatest common divisor, and
 * shares are exact. Else it fills the room, and every share is off by less than one turn; but as long as room has a turn
 * for everybody, each appears, and then those with the most turns may give up more than one for it.
 *
 * Deterministic. O(length * log n). Returns the length; 0: nobody has a weight, there is no room, or no memory.
 */
uint32_t turns_build(const uint32_t *weights, uint32_t n, uint16_t *out, uint32_t room);

#endif
