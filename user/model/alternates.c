/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "model/alternates.h"

static uint16_t member_at(uint64_t word, int i) { return word >> 16 * i; }

struct list {
	uint64_t word;
	int n;
};

/* Unless it is there, or there is no room. */
static void add(struct list *l, uint16_t member)
{
	if (l->n == SHUNT_ALTERNATES || shunt_word_has(l->word, member))
		return;
	l->word ^= (uint64_t)(member ^ SHUNT_NONE) << 16 * l->n++;
}

uint64_t alternates_remember(uint64_t owners, uint16_t owner)
{
	struct list l = { ALTERNATES_NOBODY, 0 };

	add(&l, owner);
	for (int i = 0; i < SHUNT_ALTERNATES; i++)
		add(&l, member_at(owners, i));
	return l.word;
}

uint64_t alternates_forget(uint64_t owners, const bool *keeps, uint32_t n)
{
	struct list l = { ALTERNATES_NOBODY, 0 };

	for (int i = 0; i < SHUNT_ALTERNATES; i++)
		if (member_at(owners, i) < n && keeps[member_at(owners, i)])
			add(&l, member_at(owners, i));
	return l.word;
}

uint64_t alternates_ranked(uint16_t base, const uint16_t ranked[TABLE_RANKED], uint16_t current)
{
	struct list l = { ALTERNATES_NOBODY, 0 };

	if (base != current)
		add(&l, base);
	for (int i = 0; i < TABLE_RANKED; i++)
		if (ranked[i] != current)
			add(&l, ranked[i]);
	return l.word;
}

/* The first in the ranking whom neither the slot nor these words name; SHUNT_NONE: nobody. */
static uint16_t unnamed(uint64_t owners, uint64_t others, const uint16_t ranked[TABLE_RANKED], uint16_t current)
{
	for (int i = 0; i < TABLE_RANKED; i++)
		if (ranked[i] != current && !shunt_word_has(owners, ranked[i]) && !shunt_word_has(others, ranked[i]))
			return ranked[i];
	return SHUNT_NONE;
}

uint64_t alternates_guess(const struct shunt_alternates *a, const uint16_t ranked[TABLE_RANKED], uint16_t current)
{
	uint64_t owners = a->owners;

	for (int at = SHUNT_ALTERNATES / 2; at < SHUNT_ALTERNATES; at++)
		if (member_at(owners, at) == SHUNT_NONE)
			owners ^= (uint64_t)(unnamed(owners, a->ranked, ranked, current) ^ SHUNT_NONE) << 16 * at;
	return owners;
}
