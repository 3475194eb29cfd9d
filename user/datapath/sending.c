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

/* ---- the other end of a veth ---- */

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

int peer_of(uint32_t ifindex, enum peer *out)
{
	_cleanup_(nl_close) struct nl nl = {};
	struct nl_link here, there = {};
	int err;

	err = nl_open(&nl);
	if (!err)
		err = link_get(&nl, ifindex, -1, &here);
	if (err)
		return err;
	if (here.veth && here.peer)
		err = link_get(&nl, here.peer, here.peer_netns, &there);
	if (is_shortage(err))
		return err;
	if (!here.veth)
		*out = PEER_TAKES;
	else if (err || !there.ifindex)
		*out = PEER_UNSEEN;
	else
		*out = there.native_xdp ? PEER_TAKES : PEER_LOSES;
	return 0;
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
