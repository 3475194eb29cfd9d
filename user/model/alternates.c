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

uint64_t alternates_ranked(const uint16_t ranked[TABLE_RANKED], uint16_t current)
{
	struct list l = { ALTERNATES_NOBODY, 0 };

	for (int i = 0; i < TABLE_RANKED; i++)
		if (ranked[i] != current)
			add(&l, ranked[i]);
	return l.word;
}
