/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What netlink messages say, and what it takes to send on an interface: without a kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if_arp.h>
#include <linux/genetlink.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "datapath/link.h"
#include "datapath/route.h"
#include "datapath/sending.h"

#define UP (IFF_UP | IFF_RUNNING)

static char buf[1024];

static struct nlmsghdr *link_message(uint16_t type, uint32_t ifindex, const char *name, unsigned flags)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct ifinfomsg *h;
	struct nlmsghdr *m;

	memset(buf, 0, sizeof(buf));
	m = nl_request(buf, type, 0, sizeof(*h), &h);
	h->ifi_index = ifindex;
	h->ifi_flags = flags;
	h->ifi_type = ARPHRD_ETHER;
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	mnl_attr_put_u32(m, IFLA_MTU, 1500);
	mnl_attr_put(m, IFLA_ADDRESS, sizeof(mac), mac);
	return m;
}

static struct nlmsghdr *vlan_message(uint32_t ifindex, const char *name, uint32_t below, uint16_t id, uint16_t protocol)
{
	struct nlmsghdr *m = link_message(RTM_NEWLINK, ifindex, name, UP);
	struct nlattr *info, *data;

	mnl_attr_put_u32(m, IFLA_LINK, below);
	info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	mnl_attr_put_strz(m, IFLA_INFO_KIND, "vlan");
	data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
	mnl_attr_put_u16(m, IFLA_VLAN_ID, id);
	mnl_attr_put_u16(m, IFLA_VLAN_PROTOCOL, htons(protocol));
	mnl_attr_nest_end(m, data);
	mnl_attr_nest_end(m, info);
	return m;
}

static int setup(void **state)
{
	static struct links l;

	l = (struct links){};
	links_message(&l, link_message(RTM_NEWLINK, 2, "eth0", UP));
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	links_clear(*state);
	return 0;
}

static bool way(struct links *l, uint32_t ifindex, uint32_t route_mtu, struct nexthop *h)
{
	*h = (struct nexthop){};
	return links_way(l, ifindex, route_mtu, 20, h);
}

static void only_what_matters_for_sending_is_a_change(void **state)
{
	struct links *l = *state;
	struct nlmsghdr *m;

	assert_false(links_message(l, link_message(RTM_NEWLINK, 2, "eth0", UP)));
	assert_false(links_message(l, link_message(RTM_NEWLINK, 2, "eth0", UP | IFF_PROMISC)));
	assert_true(links_message(l, link_message(RTM_NEWLINK, 2, "eth0", IFF_UP)));
	assert_true(links_message(l, link_message(RTM_NEWLINK, 3, "eth1", UP)));
	assert_true(links_message(l, link_message(RTM_DELLINK, 3, "eth1", UP)));
	assert_false(links_message(l, link_message(RTM_DELLINK, 3, "eth1", UP)));
	m = link_message(RTM_DELLINK, 2, "eth0", UP); /* it left a bridge, not the host */
	((struct ifinfomsg *)mnl_nlmsg_get_payload(m))->ifi_family = AF_BRIDGE;
	assert_false(links_message(l, m));
	assert_non_null(links_find(l, 2));
}

static void an_interface_gives_its_mac_and_mtu(void **state)
{
	struct nexthop h;

	assert_true(way(*state, 2, 0, &h));
	assert_int_equal(h.ifindex, 2);
	assert_int_equal(h.vlan, 0);
	assert_int_equal(h.mtu, 1500);
	assert_memory_equal(h.smac, ((uint8_t[]){ 2, 0, 0, 0, 0, 1 }), 6);
	assert_true(way(*state, 2, 1400, &h));
	assert_int_equal(h.mtu, 1400);
	assert_true(way(*state, 2, 65536, &h));
	assert_int_equal(h.mtu, 65535);
}

static void a_vlan_device_gives_the_interface_below_and_its_tag(void **state)
{
	struct links *l = *state;
	struct nexthop h;

	assert_true(links_message(l, vlan_message(5, "eth0.7", 2, 7, ETH_P_8021Q)));
	assert_true(way(l, 5, 0, &h));
	assert_int_equal(h.ifindex, 2);
	assert_int_equal(h.vlan, 7);
	assert_true(links_message(l, vlan_message(5, "eth0.7", 2, 8, ETH_P_8021Q)));
}

static void what_cannot_be_sent_is_refused_with_a_reason(void **state)
{
	struct links *l = *state;
	struct nlmsghdr *m;
	struct nexthop h;

	links_message(l, vlan_message(5, "eth0.7", 2, 7, ETH_P_8021Q));
	links_message(l, vlan_message(6, "eth0.7.8", 5, 8, ETH_P_8021Q));
	assert_false(way(l, 6, 0, &h));
	assert_non_null(strstr(h.problem, "eth0.7.8 needs more than the one 802.1Q tag"));
	links_message(l, vlan_message(7, "s9", 2, 9, ETH_P_8021AD));
	assert_false(way(l, 7, 0, &h));
	assert_non_null(strstr(h.problem, "802.1Q"));
	m = vlan_message(8, "far", 2, 9, ETH_P_8021Q);
	mnl_attr_put_u32(m, IFLA_LINK_NETNSID, 1);
	links_message(l, m);
	assert_false(way(l, 8, 0, &h));
	assert_non_null(strstr(h.problem, "network namespace"));
	links_message(l, link_message(RTM_NEWLINK, 2, "eth0", IFF_UP));
	assert_false(way(l, 2, 0, &h));
	assert_string_equal(h.problem, "interface eth0 is down");
	assert_false(way(l, 99, 0, &h));
}

static void a_way_has_room_for_a_tunnel_header_and_the_smallest_packet(void **state)
{
	struct links *l = *state;
	struct nexthop h = {};

	assert_true(links_way(l, 2, 88, 20, &h));
	assert_int_equal(h.mtu, 88);
	assert_false(links_way(l, 2, 87, 20, &h));
	assert_string_equal(h.problem, "MTU 87 on eth0 is too small for a tunnel, which needs 88");
	assert_true(links_way(l, 2, 108, 40, &h));
	assert_false(links_way(l, 2, 107, 40, &h));
	assert_false(links_way(l, 2, 19, 20, &h));
}

/* ---- what is lost in sending ---- */

static struct nlmsghdr *veth_message(uint32_t peer, int netns)
{
	struct nlmsghdr *m = link_message(RTM_NEWLINK, 9, "veth0", UP);
	struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);

	mnl_attr_put_strz(m, IFLA_INFO_KIND, "veth");
	mnl_attr_nest_end(m, info);
	mnl_attr_put_u32(m, IFLA_LINK, peer);
	if (netns >= 0)
		mnl_attr_put_u32(m, IFLA_LINK_NETNSID, netns);
	return m;
}

static void a_veth_names_its_peer(void **state)
{
	struct nl_link l;

	(void)state;
	assert_true(nl_link_parse(veth_message(7, -1), &l));
	assert_true(l.veth);
	assert_string_equal(l.kind, "veth");
	assert_int_equal(l.peer, 7);
	assert_int_equal(l.peer_netns, -1);
	assert_int_equal(l.below, 0);
	assert_true(nl_link_parse(veth_message(7, 0), &l));
	assert_int_equal(l.peer_netns, 0);
	assert_true(nl_link_parse(link_message(RTM_NEWLINK, 2, "eth0", UP), &l));
	assert_false(l.veth);
	assert_string_equal(l.kind, "");
}

static bool has_native_xdp(uint16_t mode, uint32_t prog)
{
	struct nlmsghdr *m = link_message(RTM_NEWLINK, 9, "eth9", UP);
	struct nlattr *xdp = mnl_attr_nest_start(m, IFLA_XDP);
	struct nl_link l;

	mnl_attr_put_u32(m, mode, prog);
	mnl_attr_nest_end(m, xdp);
	assert_true(nl_link_parse(m, &l));
	return l.native_xdp;
}

static void a_program_in_the_driver_is_told_from_a_generic_one(void **state)
{
	(void)state;
	assert_true(has_native_xdp(IFLA_XDP_DRV_PROG_ID, 5));
	assert_false(has_native_xdp(IFLA_XDP_DRV_PROG_ID, 0));
	assert_false(has_native_xdp(IFLA_XDP_SKB_PROG_ID, 5));
	assert_false(has_native_xdp(IFLA_XDP_PROG_ID, 5));
}

/* Values of linux/netdev.h (NETDEV_XDP_ACT_*) as the kernel gives them. */
static void what_the_kernel_says_an_interface_can_decides_whether_it_sends(void **state)
{
	(void)state;
	assert_int_equal(sends_by_features(0x67, true), SENDS); /* a veth with a program at its other end */
	assert_int_equal(sends_by_features(0x23, true), PEER_LOSES); /* and without */
	assert_int_equal(sends_by_features(0x7, false), SENDS_WHOLE); /* a tap */
	assert_int_equal(sends_by_features(0x2b, false), SENDS_WITH_PROGRAM); /* virtio without a program */
	assert_int_equal(sends_by_features(0, false), SENDS_NEVER); /* a bridge */
}

static void before_the_kernel_says_it_the_kind_of_an_interface_decides(void **state)
{
	(void)state;
	assert_int_equal(sends_by_kind("bridge"), SENDS_NEVER);
	assert_int_equal(sends_by_kind("macvlan"), SENDS_NEVER);
	assert_int_equal(sends_by_kind("bond"), SENDS_NEVER);
	assert_int_equal(sends_by_kind(""), SENDS);
}

static struct nlmsghdr *netdev_message(void)
{
	struct genlmsghdr *h;

	memset(buf, 0, sizeof(buf));
	return nl_request(buf, 30, 0, sizeof(*h), &h);
}

static void xdp_features_are_read_where_the_kernel_tells_them(void **state)
{
	struct nlmsghdr *m = netdev_message();
	uint64_t features = 5;

	(void)state;
	mnl_attr_put_u32(m, 1, 7); /* the interface */
	assert_false(nl_xdp_features_parse(m, &features));
	mnl_attr_put_u64(m, 3, 0x67);
	mnl_attr_put_u64(m, 4, 0xff); /* of later kernels */
	assert_true(nl_xdp_features_parse(m, &features));
	assert_int_equal(features, 0x67);
	m = netdev_message();
	mnl_attr_put_u32(m, 3, 0x23); /* of another size than agreed */
	assert_false(nl_xdp_features_parse(m, &features));
	assert_int_equal(features, 0x67);
	m->nlmsg_len = sizeof(*m) + 2;
	assert_false(nl_xdp_features_parse(m, &features));
}

static void counters_of_send_errors_are_known_by_their_names(void **state)
{
	static const char *const errors[] = { "rx_queue_0_xdp_tx_errors", "tx_queue_3_xdp_xmit_errors", "rx_xdp_tx_full",
					      "rx0_xdp_tx_err",		  "tx_xdp_err",			"tx_xdp_full",
					      "rx_queue_0_xdp_tx_drops",  "rx_xdp_redirect_errors" };
	static const char *const others[] = { "rx_queue_0_xdp_drops", "rx_xdp_drop", "rx_queue_0_xdp_tx", "tx_xdp_xmit",
					      "rx_errors", "tx_err_xdp_packets", "rx_queue_0_xdp_packets", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		assert_true(is_send_error(errors[i]));
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(is_send_error(others[i]));
}

static void send_errors_are_not_counted_twice(void **state)
{
	struct send_errors_sum sum = {};
	struct send_errors e = {};

	(void)state;
	send_errors_add(&e, &sum, "rx_xdp_drop", 100);
	send_errors_add(&e, &sum, "rx_xdp_tx_err", 0);
	assert_string_equal(e.counter, "");
	send_errors_add(&e, &sum, "rx_xdp_tx_full", 7);
	send_errors_add(&e, &sum, "rx0_xdp_tx_full", 4);
	send_errors_add(&e, &sum, "rx1_xdp_tx_full", 3);
	assert_int_equal(e.n, 7);
	assert_string_equal(e.counter, "rx_xdp_tx_full");
	e = (struct send_errors){};
	sum = (struct send_errors_sum){};
	send_errors_add(&e, &sum, "rx_queue_0_xdp_tx_errors", 4);
	send_errors_add(&e, &sum, "tx_queue_0_xdp_xmit_errors", 1);
	assert_int_equal(e.n, 5);
}

static struct nlmsghdr *route_message(int family, const char *dst, uint8_t len, unsigned flags)
{
	struct rtmsg *h;
	struct nlmsghdr *m;
	struct addr a;

	memset(buf, 0, sizeof(buf));
	m = nl_request(buf, RTM_NEWROUTE, 0, sizeof(*h), &h);
	h->rtm_family = family;
	h->rtm_dst_len = len;
	h->rtm_flags = flags;
	if (dst) {
		assert_int_equal(addr_parse(dst, &a), 0);
		nl_put_addr(m, RTA_DST, &a);
	}
	return m;
}

static void assert_prefix(const struct nlmsghdr *m, const char *text)
{
	char is[PREFIX_TEXT];
	struct prefix p;

	assert_true(route_message_prefix(m, &p));
	assert_string_equal(prefix_format(&p, is), text);
}

static void a_route_message_speaks_of_a_prefix(void **state)
{
	struct prefix p;

	(void)state;
	assert_prefix(route_message(AF_INET, "198.51.100.0", 24, 0), "198.51.100.0/24");
	assert_prefix(route_message(AF_INET, NULL, 0, 0), "0.0.0.0/0");
	assert_prefix(route_message(AF_INET6, "2001:db8::", 32, 0), "2001:db8::/32");
	assert_prefix(route_message(AF_INET6, NULL, 0, 0), "::/0");
	assert_false(route_message_prefix(route_message(AF_INET6, "2001:db8::", 32, RTM_F_CLONED), &p));
	assert_false(route_message_prefix(route_message(AF_MPLS, NULL, 0, 0), &p));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(only_what_matters_for_sending_is_a_change),
		test(an_interface_gives_its_mac_and_mtu),
		test(a_vlan_device_gives_the_interface_below_and_its_tag),
		test(what_cannot_be_sent_is_refused_with_a_reason),
		test(a_way_has_room_for_a_tunnel_header_and_the_smallest_packet),
		test(a_veth_names_its_peer),
		test(a_program_in_the_driver_is_told_from_a_generic_one),
		test(what_the_kernel_says_an_interface_can_decides_whether_it_sends),
		test(before_the_kernel_says_it_the_kind_of_an_interface_decides),
		test(xdp_features_are_read_where_the_kernel_tells_them),
		test(counters_of_send_errors_are_known_by_their_names),
		test(send_errors_are_not_counted_twice),
		test(a_route_message_speaks_of_a_prefix),
	};

	return cmocka_run_group_tests_name("links and routes", tests, NULL, NULL);
}
