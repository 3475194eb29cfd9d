/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/sending.h"
#include "datapath/internal.h"
#include "datapath/netlink.h"

#include <ctype.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#define COUNTERS_MAX 65536 /* no driver has so many; what it says is not trusted further */

/* ---- what the kernel says ---- */

/* Values of linux/netdev.h, which distributions with a newer kernel than headers lack. */
#define XDP_BASIC (1u << 0) /* NETDEV_XDP_ACT_BASIC: has native XDP */
#define XDP_TRANSMITS (1u << 2) /* NETDEV_XDP_ACT_NDO_XMIT */
#define XDP_TRANSMITS_FRAGS (1u << 6) /* NETDEV_XDP_ACT_NDO_XMIT_SG */

enum sends sends_by_features(uint64_t features, bool veth)
{
	if (features & XDP_TRANSMITS)
		return features & XDP_TRANSMITS_FRAGS ? SENDS : SENDS_WHOLE;
	if (veth)
		return PEER_LOSES;
	return features & XDP_BASIC ? SENDS_WITH_PROGRAM : SENDS_NEVER;
}

enum sends sends_by_kind(const char *kind)
{
	static const char *const never[] = { "bridge", "macvlan", "macvtap", "ipvlan", "ipvtap", "vlan",  "bond",
					     "team",   "dummy",	  "tun",     "ifb",    "vxlan",	 "geneve" };

	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (!strcmp(kind, never[i]))
			return SENDS_NEVER;
	return SENDS;
}

int sending_open(struct sending_ask *s)
{
	int err;

	*s = (struct sending_ask){};
	err = nl_open(&s->route);
	if (!err)
		err = nl_open_generic(&s->generic, "netdev", &s->netdev);
	if (is_shortage(err))
		sending_close(s);
	return is_shortage(err) || !s->route.sock ? err : 0;
}

void sending_close(struct sending_ask *s)
{
	nl_close(&s->route);
	nl_close(&s->generic);
}

static int on_link(const struct nlmsghdr *m, void *arg)
{
	nl_link_parse(m, arg);
	return MNL_CB_OK;
}

/* netns: the id of another network namespace, -1: this one */
static int link_get(struct nl *nl, uint32_t ifindex, int32_t netns, struct nl_link *out)
{
	struct ifinfomsg *h;
	struct nlmsghdr *m;
	char buf[256];

	m = nl_request(buf, RTM_GETLINK, 0, sizeof(*h), &h);
	h->ifi_index = ifindex;
	if (netns >= 0)
		mnl_attr_put_u32(m, IFLA_TARGET_NETNSID, netns);
	*out = (struct nl_link){};
	return nl_talk(nl, m, on_link, out);
}

static int by_peer(struct nl *nl, const struct nl_link *here, enum sends *out)
{
	struct nl_link there = {};
	int err = here->peer ? link_get(nl, here->peer, here->peer_netns, &there) : 0;

	if (is_shortage(err))
		return err;
	if (err || !there.ifindex)
		*out = PEER_UNSEEN;
	else
		*out = there.native_xdp ? SENDS : PEER_LOSES;
	return 0;
}

static int named(struct sending_ask *s, uint32_t ifindex, struct nl_link *link, struct sending *out)
{
	int err = link_get(&s->route, ifindex, -1, link);

	if (err)
		return err;
	*out = (struct sending){ .how = SENDS };
	strcpy(out->name, link->name);
	strcpy(out->kind, link->kind);
	return 0;
}

int sending_back(struct sending_ask *s, uint32_t ifindex, struct sending *out)
{
	struct nl_link link;
	int err = named(s, ifindex, &link, out);

	return err || !link.veth ? err : by_peer(&s->route, &link, &out->how);
}

int sending_redirect(struct sending_ask *s, uint32_t ifindex, struct sending *out)
{
	struct nl_link link;
	uint64_t features;
	int err = named(s, ifindex, &link, out);

	if (err)
		return err;
	if (s->netdev) {
		err = nl_xdp_features(&s->generic, s->netdev, ifindex, &features);
		if (!err)
			out->how = sends_by_features(features, link.veth);
		return err;
	}
	if (link.veth)
		return by_peer(&s->route, &link, &out->how);
	out->how = sends_by_kind(link.kind);
	return 0;
}

/* ---- in words ---- */

static const char *reason(enum sends how)
{
	switch (how) {
	case SENDS_WHOLE:
		return "its driver cannot send frames of several buffers, which arrive by an interface with an MTU "
		       "above 3400; lower that MTU";
	case SENDS_WITH_PROGRAM:
		return "its driver cannot, or only while an XDP program runs on it in native mode; put one there that "
		       "passes everything";
	case PEER_UNSEEN:
		return "its veth peer cannot be seen from here; if an XDP program runs there, set mode: native";
	default:
		return "no XDP program runs on its veth peer; put one there that passes everything";
	}
}

void sending_text(const struct sending *s, char *text, size_t size)
{
	if (s->how == SENDS_NEVER)
		snprintf(text, size, "native XDP loses what it sends on %s: %s%s cannot transmit it; lead the route to "
			 "the backends over one that can", s->name, *s->kind ? "an interface of kind " : "its driver",
			 s->kind);
	else
		snprintf(text, size, "native XDP loses what it sends on %s: %s", s->name, reason(s->how));
}

/* ---- the driver's counters ---- */

/*
 * For instance rx_queue_0_xdp_tx_errors, tx_queue_0_xdp_xmit_errors, rx_xdp_tx_full, tx_xdp_err. Not xdp_drops and its
 * like: most drivers so count what a program drops on purpose.
 */
bool is_send_error(const char *counter)
{
	static const char *const words[] = { "err", "full", "tx_drop", "xmit_drop" };
	const char *xdp = strstr(counter, "xdp");

	for (size_t i = 0; xdp && i < ARRAY_SIZE(words); i++)
		if (strstr(xdp, words[i]))
			return true;
	return false;
}

void send_errors_add(struct send_errors *e, struct send_errors_sum *sum, const char *counter, uint64_t value)
{
	if (!value || !is_send_error(counter))
		return;
	*(strpbrk(counter, "0123456789") ? &sum->queues : &sum->all) += value;
	e->n = sum->queues > sum->all ? sum->queues : sum->all;
	if (!e->counter[0])
		snprintf(e->counter, sizeof(e->counter), "%s", counter);
}

static int ethtool(int fd, struct ifreq *req, void *command)
{
	req->ifr_data = command;
	return ioctl(fd, SIOCETHTOOL, req) ? -errno : 0;
}

static int count_counters(int fd, struct ifreq *req, uint32_t *n)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t n;
	} ask = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_STATS } };
	int err = ethtool(fd, req, &ask);

	if (err)
		return err;
	*n = ask.info.sset_mask ? ask.n : 0;
	return *n && *n <= COUNTERS_MAX ? 0 : -EOPNOTSUPP;
}

static int read_counters(int fd, struct ifreq *req, uint32_t n, struct send_errors *out)
{
	/* the kernel writes as many as there are by then, whatever we say: room for queues that come meanwhile */
	const size_t room = 2 * (size_t)n + 4096;
	_cleanup_free_ struct ethtool_gstrings *names = calloc(1, sizeof(*names) + room * ETH_GSTRING_LEN);
	_cleanup_free_ struct ethtool_stats *values = calloc(1, sizeof(*values) + room * sizeof(values->data[0]));
	struct send_errors_sum sum = {};
	char name[ETH_GSTRING_LEN + 1];
	int err;

	if (!names || !values)
		return -ENOMEM;
	*names = (struct ethtool_gstrings){ .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS, .len = n };
	*values = (struct ethtool_stats){ .cmd = ETHTOOL_GSTATS, .n_stats = n };
	err = ethtool(fd, req, names);
	if (!err)
		err = ethtool(fd, req, values);
	if (!err && (names->len != n || values->n_stats != n))
		err = -EAGAIN; /* queues came or went meanwhile */
	for (uint32_t i = 0; i < n && !err; i++) {
		snprintf(name, sizeof(name), "%.*s", ETH_GSTRING_LEN,
			 (char *)names->data + (size_t)i * ETH_GSTRING_LEN);
		send_errors_add(out, &sum, name, values->data[i]);
	}
	return err;
}

int send_errors_read(uint32_t ifindex, struct send_errors *out)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {};
	uint32_t n;
	int err;

	*out = (struct send_errors){};
	if (fd < 0 || !if_indextoname(ifindex, req.ifr_name))
		return -errno;
	err = count_counters(fd, &req, &n);
	return err ? err : read_counters(fd, &req, n, out);
}
