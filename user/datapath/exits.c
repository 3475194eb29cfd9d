/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exits: the interfaces on which native programs send, which are those that they are attached to (XDP_TX) and those of
 * the backends' next hops (redirect). Whether they can send is looked at each time, what their drivers count of losses
 * now and then.
 */
#include "base/clock.h"
#include "datapath/internal.h"

#include <net/if.h>
#include <string.h>

#define LOOK_MS 5000 /* reading counters makes some drivers ask their firmware */
#define NEXT_HOPS_MAX (EXITS_MAX / 2) /* watched; the rest of the table is for the programs' own interfaces */
#define HOLD_MS 10000 /* so long an exit counts as used after its last next hop: routes come back, modes do not flap */
#define RECENT_MS 60000 /* errors older than that are no problem any more */

static uint64_t last_ms(const struct exit *e)
{
	return e->looked_ms > e->used_ms ? e->looked_ms : e->used_ms;
}

/* The one of this interface; a new one takes the place of that which nobody has looked at for longest. */
static struct exit *find(struct datapath *dp, uint32_t ifindex)
{
	struct exit *oldest = &dp->exits[0];

	for (size_t i = 0; i < EXITS_MAX; i++) {
		struct exit *e = &dp->exits[i];

		if (e->ifindex == ifindex)
			return e;
		if (last_ms(e) < last_ms(oldest))
			oldest = e;
	}
	*oldest = (struct exit){ .ifindex = ifindex };
	return oldest;
}

void exit_forget(struct datapath *dp, uint32_t ifindex)
{
	struct exit *e = find(dp, ifindex);

	e->errors = (struct send_errors){};
	e->looked_ms = e->grew_ms = 0;
}

const struct exit *exit_look(struct datapath *dp, uint32_t ifindex)
{
	struct exit *e = find(dp, ifindex);
	uint64_t now = monotonic_ms();
	struct send_errors errors;

	if (e->looked_ms && now - e->looked_ms < LOOK_MS)
		return e;
	if (!send_errors_read(ifindex, &errors)) {
		if (e->looked_ms && errors.n > e->errors.n)
			e->grew_ms = now;
		e->errors = errors;
	}
	e->looked_ms = now;
	return e;
}

static bool is_among(uint32_t ifindex, const uint32_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == ifindex)
			return true;
	return false;
}

/* The interfaces of next hops, each once, the first so many. */
static size_t next_hop_exits(struct datapath *dp, uint32_t list[NEXT_HOPS_MAX])
{
	const struct shunt_backend *b = dp_backends(dp);
	size_t n = 0;

	for (uint32_t i = 0; i < dp->limits.backends && n < NEXT_HOPS_MAX; i++) {
		uint32_t to = __atomic_load_n(&b[i].ifindex, __ATOMIC_RELAXED);

		if (to && b[i].flags & SHUNT_BACKEND_NEXTHOP && !is_among(to, list, n)) /* 0: SHUNT_FORWARD_NONE */
			list[n++] = to;
	}
	return n;
}

/* ---- can they send? ---- */

static bool is_used(const struct exit *e, uint64_t now)
{
	return e->used_ms && now - e->used_ms < HOLD_MS;
}

/* Our own attachment to it, or -1. */
static ssize_t own(const struct datapath *dp, const struct exit *e)
{
	for (size_t i = 0; i < dp->n_interfaces; i++)
		if (!strcmp(dp->interfaces[i].name, e->to.name))
			return i;
	return -1;
}

static void survey_one(struct datapath *dp, struct sending_ask *ask, struct exit *e)
{
	int err = sending_redirect(ask, e->ifindex, &e->to);
	ssize_t i = own(dp, e);

	if (err == -ENODEV)
		e->used_ms = 0;
	if (err) /* what is known of it stays */
		return;
	if (e->to.how == SENDS)
		e->mute = false;
	else if (i >= 0 && dp->interfaces[i].mode == XDP_MODE_NATIVE)
		e->mute = true;
}

void exits_survey(struct datapath *dp)
{
	_cleanup_(sending_close) struct sending_ask ask = {};
	uint32_t list[NEXT_HOPS_MAX];
	size_t n = next_hop_exits(dp, list);
	uint64_t now = monotonic_ms();

	for (size_t i = 0; i < n; i++)
		find(dp, list[i])->used_ms = now;
	if (sending_open(&ask))
		return;
	for (size_t i = 0; i < EXITS_MAX; i++)
		if (is_used(&dp->exits[i], now))
			survey_one(dp, &ask, &dp->exits[i]);
}

/*
 * Will a program of ours make it send? Interfaces that lead to each other would else all wait for the others to be
 * native.
 */
static bool gets_program(const struct datapath *dp, const struct exit *e)
{
	ssize_t i = own(dp, e);

	if (i < 0 || e->mute)
		return false;
	if (dp->interfaces[i].mode == XDP_MODE_AUTO)
		return !dp->interfaces[i].problem[0]; /* not tried yet */
	return dp->interfaces[i].mode == XDP_MODE_NATIVE || dp->attachments[i].for_exits;
}

static bool loses(const struct datapath *dp, const struct exit *e)
{
	switch (e->to.how) {
	case SENDS:
		return false;
	case SENDS_WHOLE:
		return programs_have_frags(dp);
	case SENDS_WITH_PROGRAM:
		return !gets_program(dp, e);
	default:
		return true;
	}
}

static int loss_back(const struct dp_interface *i, struct sending *out)
{
	_cleanup_(sending_close) struct sending_ask ask = {};
	int err = sending_open(&ask);

	return err ? err : sending_back(&ask, i->ifindex, out);
}

int exits_loss(struct datapath *dp, const struct dp_interface *i, struct sending *out)
{
	uint64_t now = monotonic_ms();
	int err;

	*out = (struct sending){ .how = SENDS };
	if (!i->ifindex || !(i->roles & ROLE_EDGE)) /* only the edge program sends */
		return 0;
	err = loss_back(i, out);
	if (err)
		return err;
	for (size_t k = 0; k < EXITS_MAX && out->how == SENDS; k++) {
		const struct exit *e = &dp->exits[k];

		if (e->ifindex != (uint32_t)i->ifindex && is_used(e, now) && loses(dp, e))
			*out = e->to;
	}
	return 0;
}

/* ---- do drivers count losses? ---- */

static bool exit_problem(struct datapath *dp, uint32_t ifindex, char *text, size_t size)
{
	const struct exit *e = exit_look(dp, ifindex);
	char name[IFNAMSIZ];

	if (!e->grew_ms || monotonic_ms() - e->grew_ms >= RECENT_MS || !if_indextoname(ifindex, name))
		return false;
	snprintf(text, size, "the driver of %s loses packets that native XDP sends (`ethtool -S %s`: %s); if that "
		 "goes on, set mode: generic", name, name, e->errors.counter);
	return true;
}

bool exits_problem(struct datapath *dp, uint32_t ifindex, char *text, size_t size)
{
	uint32_t others[NEXT_HOPS_MAX];
	size_t n = next_hop_exits(dp, others);
	bool found = exit_problem(dp, ifindex, text, size);

	for (size_t i = 0; i < n && !found; i++)
		found = exit_problem(dp, others[i], text, size);
	return found;
}
