/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/link.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

static struct nl_link *find(const struct links *l, uint32_t ifindex)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->list[i].ifindex == ifindex)
			return &l->list[i];
	return NULL;
}

const struct nl_link *links_find(const struct links *l, uint32_t ifindex)
{
	return find(l, ifindex);
}

bool link_is_up(const struct nl_link *l)
{
	return l->flags & IFF_UP && l->flags & IFF_RUNNING;
}

/* Flags and statistics come and go; these are what next hops are made of. */
static bool is_same(const struct nl_link *a, const struct nl_link *b)
{
	return link_is_up(a) == link_is_up(b) && !memcmp(a->mac, b->mac, sizeof(a->mac)) && a->mtu == b->mtu &&
	       a->ethernet == b->ethernet && a->vlan == b->vlan && a->vlan_id == b->vlan_id && a->below == b->below &&
	       a->double_tagged == b->double_tagged && !strcmp(a->name, b->name);
}

static bool set(struct links *l, const struct nl_link *now)
{
	struct nl_link *old = find(l, now->ifindex), *more;
	bool changed = !old || !is_same(old, now);

	if (!old) {
		more = reallocarray(l->list, l->n + 1, sizeof(*more));
		if (!more)
			return false;
		l->list = more;
		old = &more[l->n++];
	}
	*old = *now;
	return changed;
}

static bool drop(struct links *l, uint32_t ifindex)
{
	struct nl_link *old = find(l, ifindex);

	if (!old)
		return false;
	*old = l->list[--l->n];
	return true;
}

bool links_message(struct links *l, const struct nlmsghdr *m)
{
	struct nl_link now;

	if (!nl_link_parse(m, &now))
		return false;
	return m->nlmsg_type == RTM_NEWLINK ? set(l, &now) : drop(l, now.ifindex);
}

static int on_link(const struct nlmsghdr *m, void *arg)
{
	links_message(arg, m);
	return MNL_CB_OK;
}

int links_read(struct links *l, struct nl *nl)
{
	char buf[256];
	struct ifinfomsg *h;
	struct nlmsghdr *m = nl_request(buf, RTM_GETLINK, NLM_F_DUMP, sizeof(*h), &h);

	l->n = 0;
	return nl_talk(nl, m, on_link, l);
}

void links_clear(struct links *l)
{
	free(l->list);
	*l = (struct links){};
}

/*
 * What every IPv4 link carries whole (RFC 791). Less than that and the header before it is no way for a tunnel; the
 * programs count on it, since they subtract the header from the MTU.
 */
#define INNER_MIN 68

static const char *obstacle(const struct nl_link *on, const struct nl_link *below)
{
	if (!below)
		return "is on one that is not in this network namespace";
	if (!on->ethernet)
		return "is no Ethernet interface";
	if (on->double_tagged || (on->vlan && below->vlan))
		return "needs more than the one 802.1Q tag that can be sent";
	return link_is_up(on) ? NULL : "is down";
}

bool links_way(const struct links *l, uint32_t ifindex, uint32_t route_mtu, uint32_t outer, struct nexthop *out)
{
	const struct nl_link *on = find(l, ifindex), *below = on;
	const char *why;
	uint32_t mtu;

	if (!on) {
		snprintf(out->problem, sizeof(out->problem), "interface %u of the route is gone", ifindex);
		return false;
	}
	if (on->vlan)
		below = find(l, on->below);
	why = obstacle(on, below);
	if (why) {
		snprintf(out->problem, sizeof(out->problem), "interface %s %s", on->name, why);
		return false;
	}
	mtu = route_mtu ? route_mtu : on->mtu;
	if (mtu < outer + INNER_MIN) {
		snprintf(out->problem, sizeof(out->problem), "MTU %u on %s is too small for a tunnel, which needs %u",
			 mtu, on->name, outer + INNER_MIN);
		return false;
	}
	out->ifindex = below->ifindex;
	out->vlan = on->vlan ? on->vlan_id : 0;
	out->mtu = mtu > UINT16_MAX ? UINT16_MAX : mtu;
	memcpy(out->smac, on->mac, sizeof(out->smac));
	return true;
}
