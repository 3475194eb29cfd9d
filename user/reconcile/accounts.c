/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Accounts: how many connections sockets have with each place of a service. Programs count in them while nobody looks,
 * so an account is never moved or copied; one that is given up gets another generation, by which what was still open is
 * known to be nobody's (abi.h, struct shunt_connections).
 */
#include "reconcile/internal.h"

static struct shunt_connections *at(const struct reconcile *r, uint32_t account)
{
	return &dp_connections(r->dp)[account];
}

int accounts_init(struct reconcile *r)
{
	int err = space_init(&r->accounts, 2 * r->limits->members);

	return err ? err : space_claim(&r->accounts, 0, 1);
}

static void next_generation(struct shunt_connections *c)
{
	__atomic_store_n(&c->generation, c->generation + 1, __ATOMIC_RELEASE);
}

uint32_t account_open(struct reconcile *r)
{
	struct shunt_connections *c;
	uint32_t account;

	if (space_take(&r->accounts, 1, &account))
		return 0;
	c = at(r, account);
	next_generation(c);
	__atomic_store_n(&c->open, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->made, 0, __ATOMIC_RELAXED);
	return account;
}

void account_write(struct reconcile *r, const struct place *p, uint32_t member)
{
	struct shunt_connections *c = at(r, p->account);

	__atomic_store_n(&c->weight, p->weight, __ATOMIC_RELAXED);
	__atomic_store_n(&c->member, member, __ATOMIC_RELEASE);
}

void account_end(struct reconcile *r, uint32_t account)
{
	if (account)
		next_generation(at(r, account));
}

void account_close(struct reconcile *r, uint32_t account)
{
	if (account)
		space_release(&r->accounts, account, 1);
}

/* Its weight is still true, and not known here before the configuration says it again. */
int account_adopt(struct reconcile *r, uint32_t account, uint32_t member)
{
	int err = account ? space_claim(&r->accounts, account, 1) : 0;

	if (!err)
		__atomic_store_n(&at(r, account)->member, member, __ATOMIC_RELEASE);
	return err;
}

void accounts_close_unknown(struct reconcile *r)
{
	for (uint32_t i = 1; i < r->accounts.size; i++)
		if (at(r, i)->generation && !space_has(&r->accounts, i))
			next_generation(at(r, i));
}

bool account_busy(const struct reconcile *r, const struct place *p)
{
	return p->account && !p->let_go && __atomic_load_n(&at(r, p->account)->open, __ATOMIC_RELAXED);
}
