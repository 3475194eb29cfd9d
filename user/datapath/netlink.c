/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

#define ANSWER (32 * 1024) /* what the kernel fills at most in one part of a dump */

int nl_open_bus(struct nl *nl, int bus)
{
	nl->seq = time(NULL);
	nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->sock)
		return -errno;
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID)) {
		int err = -errno;

		nl_close(nl);
		return err;
	}
	return 0;
}

int nl_open(struct nl *nl)
{
	const int on = 1;
	int err = nl_open_bus(nl, NETLINK_ROUTE);

	if (err)
		return err;
	/* lets a dump be filtered by what its header asks for; kernels that cannot give everything */
	mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, (void *)&on, sizeof(on));
	return 0;
}

void nl_close(struct nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	nl->sock = NULL;
}

struct nlmsghdr *nl_request(void *buf, uint16_t type, uint16_t flags, size_t extra, void *header)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
	void **h = header;

	m->nlmsg_type = type;
	m->nlmsg_flags = NLM_F_REQUEST | flags;
	*h = mnl_nlmsg_put_extra_header(m, extra);
	return m;
}

/* Reads one part of the answer to m; parts of answers to requests given up before are skipped. */
static int read_part(struct nl *nl, const struct nlmsghdr *m, mnl_cb_t fn, void *arg)
{
	char buf[ANSWER];
	const struct nlmsghdr *first = (const void *)buf;
	ssize_t len;

	do {
		len = mnl_socket_recvfrom(nl->sock, buf, sizeof(buf));
		if (len < 0)
			return -errno;
	} while (!mnl_nlmsg_ok(first, len) || first->nlmsg_seq != m->nlmsg_seq);
	len = mnl_cb_run(buf, len, m->nlmsg_seq, mnl_socket_get_portid(nl->sock), fn, arg);
	return len < 0 ? -errno : len;
}

int nl_talk(struct nl *nl, struct nlmsghdr *m, mnl_cb_t fn, void *arg)
{
	bool several = m->nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK); /* until a message that says: done */
	int more;

	m->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->sock, m, m->nlmsg_len) < 0)
		return -errno;
	do
		more = read_part(nl, m, fn, arg);
	while (several && more > MNL_CB_STOP);
	return more < 0 ? more : 0;
}

struct table {
	const struct nlattr **attr;
	uint16_t max;
};

static int collect(const struct nlattr *attr, void *arg)
{
	const struct table *t = arg;

	if (mnl_attr_get_type(attr) <= t->max)
		t->attr[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

void nl_attributes(const struct nlmsghdr *m, size_t header, const struct nlattr **table, uint16_t max)
{
	struct table t = { table, max };

	memset(table, 0, (max + 1) * sizeof(*table));
	mnl_attr_parse(m, header, collect, &t);
}

void nl_nested(const struct nlattr *nest, const struct nlattr **table, uint16_t max)
{
	struct table t = { table, max };

	memset(table, 0, (max + 1) * sizeof(*table));
	if (nest)
		mnl_attr_parse_nested(nest, collect, &t);
}

static uint32_t get_u32(const struct nlattr *attr)
{
	return attr && !mnl_attr_validate(attr, MNL_TYPE_U32) ? mnl_attr_get_u32(attr) : 0;
}

static bool is_kind(const struct nlattr *kind, const char *name)
{
	return kind && !mnl_attr_validate(kind, MNL_TYPE_NUL_STRING) && !strcmp(mnl_attr_get_str(kind), name);
}

static void parse_vlan(const struct nlattr *data, struct nl_link *out)
{
	const struct nlattr *vlan[IFLA_VLAN_MAX + 1];

	nl_nested(data, vlan, IFLA_VLAN_MAX);
	if (!vlan[IFLA_VLAN_ID])
		return;
	out->vlan = true;
	out->vlan_id = mnl_attr_get_u16(vlan[IFLA_VLAN_ID]);
	out->double_tagged = vlan[IFLA_VLAN_PROTOCOL] && mnl_attr_get_u16(vlan[IFLA_VLAN_PROTOCOL]) == htons(ETH_P_8021AD);
}

static void parse_kind(const struct nlattr *info, struct nl_link *out)
{
	const struct nlattr *parts[IFLA_INFO_MAX + 1];

	nl_nested(info, parts, IFLA_INFO_MAX);
	if (parts[IFLA_INFO_KIND] && !mnl_attr_validate(parts[IFLA_INFO_KIND], MNL_TYPE_NUL_STRING))
		strncpy(out->kind, mnl_attr_get_str(parts[IFLA_INFO_KIND]), NL_KIND - 1);
	if (is_kind(parts[IFLA_INFO_KIND], "vlan"))
		parse_vlan(parts[IFLA_INFO_DATA], out);
	out->veth = is_kind(parts[IFLA_INFO_KIND], "veth");
}

/* What IFLA_LINK names is below a VLAN device, and at the other end of a veth; it may be in another namespace. */
static void parse_other(const struct nlattr *link, const struct nlattr *netns, struct nl_link *out)
{
	if (out->vlan && !netns)
		out->below = get_u32(link);
	if (!out->veth)
		return;
	out->peer = get_u32(link);
	out->peer_netns = netns ? (int32_t)get_u32(netns) : -1;
}

static bool has_native_xdp(const struct nlattr *nest)
{
	const struct nlattr *xdp[IFLA_XDP_MAX + 1];

	nl_nested(nest, xdp, IFLA_XDP_MAX);
	return get_u32(xdp[IFLA_XDP_DRV_PROG_ID]);
}

bool nl_link_parse(const struct nlmsghdr *m, struct nl_link *out)
{
	const struct ifinfomsg *h = mnl_nlmsg_get_payload(m);
	const struct nlattr *attr[IFLA_MAX + 1];

	if (mnl_nlmsg_get_payload_len(m) < sizeof(*h) || h->ifi_family != AF_UNSPEC)
		return false; /* a bridge's ports are told twice */
	nl_attributes(m, sizeof(*h), attr, IFLA_MAX);
	memset(out, 0, sizeof(*out));
	out->ifindex = h->ifi_index;
	out->flags = h->ifi_flags;
	out->ethernet = h->ifi_type == ARPHRD_ETHER;
	out->mtu = get_u32(attr[IFLA_MTU]);
	out->master = get_u32(attr[IFLA_MASTER]);
	if (attr[IFLA_IFNAME])
		strncpy(out->name, mnl_attr_get_payload(attr[IFLA_IFNAME]), IFNAMSIZ - 1);
	if (attr[IFLA_ADDRESS] && mnl_attr_get_payload_len(attr[IFLA_ADDRESS]) == sizeof(out->mac))
		memcpy(out->mac, mnl_attr_get_payload(attr[IFLA_ADDRESS]), sizeof(out->mac));
	parse_kind(attr[IFLA_LINKINFO], out);
	parse_other(attr[IFLA_LINK], attr[IFLA_LINK_NETNSID], out);
	out->native_xdp = has_native_xdp(attr[IFLA_XDP]);
	return true;
}

/* ---- generic netlink ---- */

/* Of linux/netdev.h, which distributions with a newer kernel than headers lack. */
#define NETDEV_GET 1 /* NETDEV_CMD_DEV_GET */
#define NETDEV_IFINDEX 1 /* NETDEV_A_DEV_IFINDEX: u32 */
#define NETDEV_XDP_FEATURES 3 /* NETDEV_A_DEV_XDP_FEATURES: u64 */

static struct nlmsghdr *generic_request(void *buf, uint16_t type, uint8_t command)
{
	struct genlmsghdr *h;
	struct nlmsghdr *m = nl_request(buf, type, 0, sizeof(*h), &h);

	h->cmd = command;
	h->version = 1;
	return m;
}

static int on_family(const struct nlmsghdr *m, void *arg)
{
	const struct nlattr *attr[CTRL_ATTR_FAMILY_ID + 1];
	uint16_t *type = arg;

	nl_attributes(m, sizeof(struct genlmsghdr), attr, CTRL_ATTR_FAMILY_ID);
	if (attr[CTRL_ATTR_FAMILY_ID] && !mnl_attr_validate(attr[CTRL_ATTR_FAMILY_ID], MNL_TYPE_U16))
		*type = mnl_attr_get_u16(attr[CTRL_ATTR_FAMILY_ID]);
	return MNL_CB_OK;
}

int nl_open_generic(struct nl *nl, const char *family, uint16_t *type)
{
	struct nlmsghdr *m;
	char buf[256];
	int err;

	*type = 0;
	err = nl_open_bus(nl, NETLINK_GENERIC);
	if (err)
		return err;
	m = generic_request(buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	mnl_attr_put_strz(m, CTRL_ATTR_FAMILY_NAME, family);
	err = nl_talk(nl, m, on_family, type);
	return err || *type ? err : -ENOENT;
}

bool nl_xdp_features_parse(const struct nlmsghdr *m, uint64_t *out)
{
	const struct nlattr *attr[NETDEV_XDP_FEATURES + 1];

	if (mnl_nlmsg_get_payload_len(m) < sizeof(struct genlmsghdr))
		return false;
	nl_attributes(m, sizeof(struct genlmsghdr), attr, NETDEV_XDP_FEATURES);
	if (!attr[NETDEV_XDP_FEATURES] || mnl_attr_validate(attr[NETDEV_XDP_FEATURES], MNL_TYPE_U64))
		return false;
	*out = mnl_attr_get_u64(attr[NETDEV_XDP_FEATURES]);
	return true;
}

struct features_answer {
	uint64_t features;
	bool told;
};

static int on_features(const struct nlmsghdr *m, void *arg)
{
	struct features_answer *a = arg;

	a->told = nl_xdp_features_parse(m, &a->features);
	return MNL_CB_OK;
}

int nl_xdp_features(struct nl *nl, uint16_t netdev, uint32_t ifindex, uint64_t *out)
{
	struct features_answer a = {};
	struct nlmsghdr *m;
	char buf[256];
	int err;

	m = generic_request(buf, netdev, NETDEV_GET);
	mnl_attr_put_u32(m, NETDEV_IFINDEX, ifindex);
	err = nl_talk(nl, m, on_features, &a);
	if (!err && !a.told)
		err = -EPROTO;
	if (!err)
		*out = a.features;
	return err;
}

/* ---- addresses ---- */

int nl_family(const struct addr *a)
{
	return addr_is4(a) ? AF_INET : AF_INET6;
}

void nl_put_addr(struct nlmsghdr *m, uint16_t type, const struct addr *a)
{
	if (addr_is4(a))
		mnl_attr_put(m, type, 4, a->b + 12);
	else
		mnl_attr_put(m, type, 16, a->b);
}

bool nl_get_addr(const struct nlattr *attr, struct addr *out)
{
	uint32_t four;

	switch (mnl_attr_get_payload_len(attr)) {
	case 4:
		memcpy(&four, mnl_attr_get_payload(attr), 4);
		*out = addr_from4(four);
		return true;
	case 16:
		memcpy(out->b, mnl_attr_get_payload(attr), 16);
		return true;
	default:
		return false;
	}
}
