/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

static uint32_t metric_mtu(const struct nlattr *metrics)
{
	const struct nlattr *attr[RTAX_MAX + 1];

	nl_nested(metrics, attr, RTAX_MAX);
	return attr[RTAX_MTU] ? mnl_attr_get_u32(attr[RTAX_MTU]) : 0;
}

/* An IPv4 route may have an IPv6 gateway. */
static void take_via(const struct nlattr *attr, struct addr *out)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr);
	uint32_t four;

	if (len == sizeof(*via) + 16) {
		memcpy(out->b, via->rtvia_addr, 16);
	} else if (len == sizeof(*via) + 4) {
		memcpy(&four, via->rtvia_addr, 4);
		*out = addr_from4(four);
	}
}

static enum route_kind kind_of(const struct rtmsg *h)
{
	switch (h->rtm_type) {
	case RTN_UNICAST:
		return ROUTE_UNICAST;
	case RTN_LOCAL:
	case RTN_ANYCAST:
		return ROUTE_LOCAL;
	case RTN_UNREACHABLE:
	case RTN_BLACKHOLE:
	case RTN_PROHIBIT:
		return ROUTE_NONE;
	default:
		return ROUTE_OTHER;
	}
}

static int take_route(const struct nlmsghdr *m, void *arg)
{
	const struct rtmsg *h = mnl_nlmsg_get_payload(m);
	const struct nlattr *attr[RTA_MAX + 1];
	struct route *r = arg;

	if (m->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	nl_attributes(m, sizeof(*h), attr, RTA_MAX);
	r->kind = kind_of(h);
	if (attr[RTA_OIF])
		r->ifindex = mnl_attr_get_u32(attr[RTA_OIF]);
	if (attr[RTA_GATEWAY])
		nl_get_addr(attr[RTA_GATEWAY], &r->via);
	if (attr[RTA_VIA])
		take_via(attr[RTA_VIA], &r->via);
	r->mtu = metric_mtu(attr[RTA_METRICS]);
	return MNL_CB_OK;
}

int route_lookup(struct nl *nl, const struct addr *to, struct route *out)
{
	struct rtmsg *h;
	struct nlmsghdr *m;
	char buf[256];
	int err;

	m = nl_request(buf, RTM_GETROUTE, 0, sizeof(*h), &h);
	h->rtm_family = nl_family(to);
	h->rtm_dst_len = addr_is4(to) ? 32 : 128;
	nl_put_addr(m, RTA_DST, to);
	*out = (struct route){ .kind = ROUTE_NONE, .via = *to };
	err = nl_talk(nl, m, take_route, out);
	switch (err) {
	case -ENETUNREACH:
	case -EHOSTUNREACH:
	case -EACCES: /* a prohibiting route */
	case -EINVAL: /* a blackhole */
	case -ESRCH:
	case -EAGAIN: /* a rule that throws */
		return 0;
	default:
		return err;
	}
}

bool route_message_prefix(const struct nlmsghdr *m, struct prefix *out)
{
	const struct rtmsg *h = mnl_nlmsg_get_payload(m);
	const struct nlattr *attr[RTA_MAX + 1];

	if (mnl_nlmsg_get_payload_len(m) < sizeof(*h) || h->rtm_flags & RTM_F_CLONED)
		return false;
	if (h->rtm_family != AF_INET && h->rtm_family != AF_INET6)
		return false;
	*out = (struct prefix){ .len = h->rtm_dst_len };
	if (h->rtm_family == AF_INET) {
		out->addr = addr_from4(0);
		out->len += 96;
	}
	nl_attributes(m, sizeof(*h), attr, RTA_MAX);
	if (attr[RTA_DST])
		nl_get_addr(attr[RTA_DST], &out->addr);
	return true;
}
