/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/transition.h"

static bool may_keep(const bool *keeps, uint32_t n, uint16_t member)
{
	return member < n && keeps[member];
}

/*
 * previous is who owned the slot last and lives. Where there is none, but flows may still be noted elsewhere, it is current
 * itself, so that the slot is not taken for steady; where there is nobody for new flows either, any number does.
 */
uint64_t transition_follow(uint64_t was, uint16_t current, uint16_t runner_up, const bool *keeps, uint32_t n)
{
	uint16_t owner = shunt_slot_current(was), anchor = shunt_slot_anchor(was), previous = shunt_slot_previous(was);

	if (shunt_slot_steady(was) && (owner == current || !may_keep(keeps, n, owner)))
		return shunt_slot(current, current, SHUNT_NONE, runner_up);
	if (owner != current)
		previous = owner;
	if (!may_keep(keeps, n, previous))
		previous = current != SHUNT_NONE ? current : 0;
	if (!may_keep(keeps, n, anchor))
		anchor = current;
	return shunt_slot(current, anchor, previous, runner_up);
}

uint64_t transition_observed(uint64_t slot)
{
	uint16_t current = shunt_slot_current(slot), previous = shunt_slot_previous(slot);

	if (shunt_slot_steady(slot))
		return slot;
	return shunt_slot(current, current, previous == current ? shunt_slot_anchor(slot) : previous,
			  shunt_slot_runner_up(slot));
}

uint64_t transition_settled(uint64_t slot)
{
	uint16_t current = shunt_slot_current(slot);

	return shunt_slot(current, current, SHUNT_NONE, shunt_slot_runner_up(slot));
}
