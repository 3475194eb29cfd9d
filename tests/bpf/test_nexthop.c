/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Next hops, followed in a network namespace with two veth pairs to another: dpt0 (10.9.0.1/24, fd09::1/64) and
 * dpt1 (10.9.1.1/24), their other ends peer0 and peer1 with .2 and ::2. "Within a second" is what the tests wait for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "datapath/nexthop.h"
#include "netns.h"

#define PEER "dpt-peer"
#define SECOND 1000

struct want {
	struct nexthop_want *want;
	struct nexthop last; /* as reported */
	unsigned reports;
};

struct world {
	struct event_base *base;
	struct nexthops *n;
	struct want w;
	bool inside; /* a call into nexthops is under way: nothing may be reported */
};

static struct world *now_in; /* for the callback */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static void on_change(void *arg, const struct nexthop *now)
{
	struct want *w = arg;

	assert_false(now_in->inside);
	w->last = *now;
	w->reports++;
}

/* ---- waiting for a condition ---- */

typedef bool (*condition)(const struct want *w, const void *arg);

static void wake(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static bool turns(struct world *x, const struct want *w, condition c, const void *arg, unsigned ms)
{
	const struct timeval pause = { .tv_usec = 5000 };
	struct event *timer = event_new(x->base, -1, EV_PERSIST, wake, NULL);
	uint64_t end = now_ms() + ms;
	bool ok;

	event_add(timer, &pause);
	while (!(ok = c(w, arg)) && now_ms() < end)
		event_base_loop(x->base, EVLOOP_ONCE);
	event_free(timer);
	return ok;
}

static bool is_reported(const struct want *w, const void *arg)
{
	(void)arg;
	return w->reports;
}

static bool is_usable(const struct want *w, const void *arg)
{
	(void)arg;
	return w->reports && w->last.usable && !w->last.problem[0];
}

static bool has_mac(const struct want *w, const void *mac)
{
	return is_usable(w, NULL) && !memcmp(w->last.dmac, mac, 6);
}

static bool has_problem(const struct want *w, const void *text)
{
	return w->reports && strstr(w->last.problem, text);
}

static bool leaves_on(const struct want *w, const void *ifname)
{
	return is_usable(w, NULL) && w->last.ifindex == if_nametoindex(ifname);
}

static bool has_mtu(const struct want *w, const void *mtu)
{
	return is_usable(w, NULL) && w->last.mtu == *(const uint16_t *)mtu;
}

static bool never(const struct want *w, const void *arg)
{
	(void)w;
	(void)arg;
	return false;
}

/* ---- the world ---- */

static struct addr address(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static void follow(struct world *x, struct want *w, const char *text)
{
	const struct addr a = address(text);

	x->inside = true;
	assert_int_equal(nexthop_want(x->n, &a, addr_is4(&a) ? 20 : 40, on_change, w, &w->want), 0);
	x->inside = false;
}

static void mac_of(const char *netns, const char *dev, uint8_t mac[6])
{
	const char *text = sh_line("ip %s %s -br link show dev %s | awk '{ print $3 }'", netns ? "-n" : "", netns ? netns : "",
				   dev);

	assert_int_equal(sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5), 6);
}

static void add_pair(int i)
{
	sh("ip link add dpt%d type veth peer name peer%d netns " PEER, i, i);
	sh("ip link set dpt%d up && ip -n " PEER " link set peer%d up", i, i);
	sh("ip addr add 10.9.%d.1/24 dev dpt%d && ip -n " PEER " addr add 10.9.%d.2/24 dev peer%d", i, i, i, i);
	sh("ip addr add fd09:0:0:%d::1/64 dev dpt%d nodad && ip -n " PEER " addr add fd09:0:0:%d::2/64 dev peer%d nodad", i,
	   i, i, i);
}

static int setup(void **state)
{
	struct world *x = calloc(1, sizeof(*x));

	netns_enter();
	netns_add(PEER);
	/* IPv6 neighbours are asked from the link-local address, which must not be waited for */
	sh("sysctl -qw net.ipv6.conf.default.accept_dad=0");
	sh("nsenter --net=/run/netns/" PEER " sysctl -qw net.ipv6.conf.default.accept_dad=0 "
	   "net.ipv4.conf.default.arp_notify=1 net.ipv6.conf.default.ndisc_notify=1");
	add_pair(0);
	add_pair(1);
	x->base = event_base_new();
	assert_int_equal(nexthops_new(x->base, &x->n), 0);
	now_in = x;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct world *x = *state;

	nexthop_drop(x->w.want);
	nexthops_free(x->n);
	event_base_free(x->base);
	free(x);
	netns_delete(PEER);
	return 0;
}

/* Not every kernel has VLAN devices. */
static void add_vlan(const char *below, int id)
{
	if (!sh_ok("ip link add link %s name %s.%d type vlan id %d", below, below, id, id))
		skip();
	sh("ip link set %s.%d up", below, id);
}

/* ---- what is known at first ---- */

static void a_neighbour_on_the_link_is_resolved(void **state, const char *to)
{
	struct world *x = *state;
	uint8_t dmac[6], smac[6];

	mac_of(PEER, "peer0", dmac);
	mac_of(NULL, "dpt0", smac);
	follow(x, &x->w, to);
	assert_false(nexthop_get(x->w.want)->usable);
	assert_true(turns(x, &x->w, is_usable, NULL, SECOND));
	assert_memory_equal(x->w.last.dmac, dmac, 6);
	assert_memory_equal(x->w.last.smac, smac, 6);
	assert_int_equal(x->w.last.ifindex, if_nametoindex("dpt0"));
	assert_int_equal(x->w.last.mtu, 1500);
	assert_int_equal(x->w.last.vlan, 0);
	assert_int_equal(x->w.reports, 1);
	assert_memory_equal(nexthop_get(x->w.want), &x->w.last, sizeof(x->w.last));
}

static void an_ipv4_neighbour_is_resolved(void **state)
{
	a_neighbour_on_the_link_is_resolved(state, "10.9.0.2");
}

static void an_ipv6_neighbour_is_resolved(void **state)
{
	a_neighbour_on_the_link_is_resolved(state, "fd09::2");
}

static void a_gateway_is_the_next_hop(void **state)
{
	struct world *x = *state;
	struct addr via = address("10.9.1.2");

	sh("ip route add 198.51.100.0/24 via 10.9.1.2");
	follow(x, &x->w, "198.51.100.7");
	assert_true(turns(x, &x->w, leaves_on, "dpt1", SECOND));
	assert_int_equal(addr_compare(&x->w.last.via, &via), 0);
}

static void an_ipv4_route_may_have_an_ipv6_gateway(void **state)
{
	struct world *x = *state;
	struct addr via = address("fd09:0:0:1::2");
	uint8_t mac[6];

	mac_of(PEER, "peer1", mac);
	sh("ip route add 198.51.100.0/24 via inet6 fd09:0:0:1::2");
	follow(x, &x->w, "198.51.100.7");
	assert_true(turns(x, &x->w, has_mac, mac, SECOND));
	assert_int_equal(addr_compare(&x->w.last.via, &via), 0);
}

static void an_address_without_a_route_has_none(void **state)
{
	struct world *x = *state;

	follow(x, &x->w, "198.51.100.7");
	assert_true(turns(x, &x->w, has_problem, "no route", SECOND));
	assert_false(x->w.last.usable);
}

static void a_blackhole_is_no_route(void **state)
{
	struct world *x = *state;

	sh("ip route add blackhole 198.51.100.0/24 && ip route add blackhole 2001:db8::/64");
	follow(x, &x->w, "198.51.100.7");
	assert_true(turns(x, &x->w, has_problem, "no route", SECOND));
	nexthop_drop(x->w.want);
	x->w.reports = 0;
	follow(x, &x->w, "2001:db8::7");
	assert_true(turns(x, &x->w, has_problem, "no route", SECOND));
}

static void an_address_of_this_host_is_refused(void **state)
{
	struct world *x = *state;

	follow(x, &x->w, "10.9.0.1");
	assert_true(turns(x, &x->w, has_problem, "is an address of this host", SECOND));
	nexthop_drop(x->w.want);
	x->w.reports = 0;
	follow(x, &x->w, "fd09::1");
	assert_true(turns(x, &x->w, has_problem, "is an address of this host", SECOND));
	assert_false(x->w.last.usable);
}

static void a_neighbour_that_never_answers_is_said(void **state)
{
	struct world *x = *state;

	follow(x, &x->w, "10.9.0.99");
	assert_true(turns(x, &x->w, has_problem, "neighbour 10.9.0.99 on dpt0 does not answer", 5 * SECOND));
	assert_false(x->w.last.usable);
	assert_int_equal(x->w.reports, 1);
}

static void a_neighbour_that_appears_is_found(void **state)
{
	struct world *x = *state;

	follow(x, &x->w, "10.9.0.99");
	assert_true(turns(x, &x->w, has_problem, "does not answer", 5 * SECOND));
	sh("ip -n " PEER " addr add 10.9.0.99/24 dev peer0");
	assert_true(turns(x, &x->w, is_usable, NULL, 5 * SECOND));
}

static void a_route_on_a_vlan_device_gives_the_device_below_and_the_tag(void **state)
{
	struct world *x = *state;
	uint8_t mac[6];

	add_vlan("dpt0", 7);
	sh("ip link set dpt0.7 address 02:00:00:00:07:01");
	sh("ip addr add 10.9.7.1/24 dev dpt0.7");
	sh("ip -n " PEER " link add link peer0 name peer0.7 type vlan id 7 && ip -n " PEER " link set peer0.7 up");
	sh("ip -n " PEER " addr add 10.9.7.2/24 dev peer0.7");
	mac_of(PEER, "peer0.7", mac);
	follow(x, &x->w, "10.9.7.2");
	assert_true(turns(x, &x->w, has_mac, mac, SECOND));
	assert_int_equal(x->w.last.ifindex, if_nametoindex("dpt0"));
	assert_int_equal(x->w.last.vlan, 7);
	assert_memory_equal(x->w.last.smac, ((uint8_t[]){ 2, 0, 0, 0, 7, 1 }), 6);
}

static void a_second_vlan_tag_is_refused(void **state)
{
	struct world *x = *state;

	add_vlan("dpt0", 7);
	add_vlan("dpt0.7", 8);
	sh("ip addr add 10.9.8.1/24 dev dpt0.7.8");
	follow(x, &x->w, "10.9.8.2");
	assert_true(turns(x, &x->w, has_problem, "only one 802.1Q tag", SECOND));
}

static void a_route_into_a_tunnel_is_refused(void **state)
{
	struct world *x = *state;

	if (!sh_ok("ip tuntap add dev dpttun mode tun"))
		skip(); /* no /dev/net/tun, as in many containers */
	sh("ip link set dpttun up && ip route add 198.51.100.0/24 dev dpttun");
	follow(x, &x->w, "198.51.100.7");
	assert_true(turns(x, &x->w, has_problem, "dpttun is", SECOND));
	assert_false(x->w.last.usable);
}

/* ---- what changes ---- */

static void resolved(struct world *x, const char *to)
{
	follow(x, &x->w, to);
	assert_true(turns(x, &x->w, is_usable, NULL, SECOND));
}

static void a_new_mac_is_followed_within_a_second(void **state, const char *to)
{
	struct world *x = *state;

	resolved(x, to);
	sh("ip -n " PEER " link set peer0 address 02:00:00:00:99:01");
	assert_true(turns(x, &x->w, has_mac, (uint8_t[]){ 2, 0, 0, 0, 0x99, 1 }, SECOND));
}

static void a_new_mac_is_followed_within_a_second_ipv4(void **state)
{
	a_new_mac_is_followed_within_a_second(state, "10.9.0.2");
}

static void a_new_mac_is_followed_within_a_second_ipv6(void **state)
{
	a_new_mac_is_followed_within_a_second(state, "fd09::2");
}

static bool source_is(const struct want *w, const void *mac)
{
	return is_usable(w, NULL) && !memcmp(w->last.smac, mac, 6);
}

static void our_own_new_mac_is_followed_within_a_second(void **state)
{
	struct world *x = *state;

	resolved(x, "10.9.0.2");
	sh("ip link set dpt0 address 02:00:00:00:99:02");
	assert_true(turns(x, &x->w, source_is, (uint8_t[]){ 2, 0, 0, 0, 0x99, 2 }, SECOND));
}

static void a_replaced_route_is_followed_within_a_second(void **state)
{
	struct world *x = *state;

	sh("ip route add 198.51.100.0/24 via 10.9.0.2");
	resolved(x, "198.51.100.7");
	sh("ip route replace 198.51.100.0/24 via 10.9.1.2");
	assert_true(turns(x, &x->w, leaves_on, "dpt1", SECOND));
	sh("ip route add 198.51.100.7/32 via 10.9.0.2");
	assert_true(turns(x, &x->w, leaves_on, "dpt0", SECOND));
	sh("ip route delete 198.51.100.7/32");
	assert_true(turns(x, &x->w, leaves_on, "dpt1", SECOND));
	sh("ip route delete 198.51.100.0/24");
	assert_true(turns(x, &x->w, has_problem, "no route", SECOND));
	sh("ip route add 198.51.100.0/24 via 10.9.0.2");
	assert_true(turns(x, &x->w, leaves_on, "dpt0", SECOND));
}

static void an_ipv6_route_is_followed_within_a_second(void **state)
{
	struct world *x = *state;

	sh("ip route add 2001:db8::/64 via fd09::2");
	resolved(x, "2001:db8::7");
	sh("ip route replace 2001:db8::/64 via fd09:0:0:1::2");
	assert_true(turns(x, &x->w, leaves_on, "dpt1", SECOND));
	sh("ip route delete 2001:db8::/64");
	assert_true(turns(x, &x->w, has_problem, "no route", SECOND));
}

static void a_rule_is_followed_within_a_second(void **state)
{
	struct world *x = *state;

	resolved(x, "10.9.0.2");
	sh("ip route add default via 10.9.1.2 table 77 && ip rule add to 10.9.0.2 lookup 77 priority 10");
	assert_true(turns(x, &x->w, leaves_on, "dpt1", SECOND));
	sh("ip rule delete priority 10");
	assert_true(turns(x, &x->w, leaves_on, "dpt0", SECOND));
}

static void a_nexthop_object_is_followed_within_a_second(void **state)
{
	struct world *x = *state;

	sh("sysctl -qw net.ipv4.nexthop_compat_mode=0"); /* no messages about the routes that use it */
	sh("ip nexthop add id 5 via 10.9.0.2 dev dpt0 && ip route add 198.51.100.0/24 nhid 5");
	resolved(x, "198.51.100.7");
	sh("ip nexthop replace id 5 via 10.9.1.2 dev dpt1");
	assert_true(turns(x, &x->w, leaves_on, "dpt1", SECOND));
}

static void the_mtu_of_the_route_then_of_the_interface_counts(void **state)
{
	struct world *x = *state;

	sh("ip route add 198.51.100.0/24 via 10.9.0.2 mtu 1400");
	follow(x, &x->w, "198.51.100.7");
	assert_true(turns(x, &x->w, has_mtu, &(uint16_t){ 1400 }, SECOND));
	sh("ip route replace 198.51.100.0/24 via 10.9.0.2");
	assert_true(turns(x, &x->w, has_mtu, &(uint16_t){ 1500 }, SECOND));
	sh("ip link set dpt0 mtu 1450");
	assert_true(turns(x, &x->w, has_mtu, &(uint16_t){ 1450 }, SECOND));
}

static void a_route_too_narrow_for_a_tunnel_is_no_way(void **state)
{
	struct world *x = *state;

	sh("ip route add 198.51.100.0/24 via 10.9.0.2 mtu 87");
	follow(x, &x->w, "198.51.100.7");
	assert_true(turns(x, &x->w, has_problem, "MTU 87 on dpt0 is too small for a tunnel", SECOND));
	assert_false(x->w.last.usable);
	sh("ip route change 198.51.100.0/24 via 10.9.0.2 mtu 88");
	assert_true(turns(x, &x->w, has_mtu, &(uint16_t){ 88 }, SECOND));
	assert_string_equal(x->w.last.problem, "");
	sh("ip route change 198.51.100.0/24 via 10.9.0.2 mtu 80");
	assert_true(turns(x, &x->w, has_problem, "MTU 80 on dpt0 is too small", SECOND));
	assert_false(x->w.last.usable);
}

static void a_deleted_neighbour_is_asked_for_again_and_stays_in_use_meanwhile(void **state)
{
	struct world *x = *state;
	unsigned before;

	resolved(x, "10.9.0.2");
	before = x->w.reports;
	sh("ip neigh delete 10.9.0.2 dev dpt0");
	turns(x, &x->w, never, NULL, SECOND / 2);
	assert_true(x->w.last.usable);
	assert_int_equal(x->w.reports, before);
	assert_true(sh_ok("ip neigh show 10.9.0.2 dev dpt0 | grep -q REACHABLE"));
}

static void a_neighbour_that_stops_answering_is_said_and_its_last_mac_kept(void **state)
{
	struct world *x = *state;
	uint8_t mac[6];

	resolved(x, "10.9.0.2");
	memcpy(mac, x->w.last.dmac, 6);
	sh("ip -n " PEER " addr delete 10.9.0.2/24 dev peer0");
	sh("ip neigh delete 10.9.0.2 dev dpt0");
	assert_true(turns(x, &x->w, has_problem, "does not answer", 6 * SECOND));
	assert_true(x->w.last.usable);
	assert_memory_equal(x->w.last.dmac, mac, 6);
}

static void an_interface_going_down_and_up_is_followed_within_a_second(void **state)
{
	struct world *x = *state;

	resolved(x, "10.9.0.2");
	sh("ip link set dpt0 down");
	assert_true(turns(x, &x->w, has_problem, "no route", SECOND));
	assert_false(x->w.last.usable);
	sh("ip link set dpt0 up");
	assert_true(turns(x, &x->w, is_usable, NULL, 2 * SECOND));
}

static void a_lost_carrier_is_followed_within_a_second(void **state)
{
	struct world *x = *state;

	resolved(x, "10.9.0.2");
	sh("ip -n " PEER " link set peer0 down");
	assert_true(turns(x, &x->w, has_problem, "interface dpt0 is down", SECOND));
	assert_false(x->w.last.usable);
	sh("ip -n " PEER " link set peer0 up");
	assert_true(turns(x, &x->w, is_usable, NULL, 2 * SECOND));
}

static void an_address_that_becomes_ours_is_refused_within_a_second(void **state)
{
	struct world *x = *state;

	resolved(x, "10.9.0.2");
	sh("ip addr add 10.9.0.2/32 dev lo");
	assert_true(turns(x, &x->w, has_problem, "is an address of this host", SECOND));
	sh("ip addr delete 10.9.0.2/32 dev lo");
	assert_true(turns(x, &x->w, is_usable, NULL, SECOND));
}

static void a_stale_neighbour_is_asked_again(void **state)
{
	struct world *x = *state;
	uint8_t mac[6];

	/* known before, and not used: the kernel alone would leave it so */
	sh("sysctl -qw net.ipv4.neigh.dpt0.delay_first_probe_time=1");
	sh("ip neigh add 10.9.0.2 lladdr 02:00:00:00:99:03 dev dpt0 nud stale");
	follow(x, &x->w, "10.9.0.2");
	assert_true(turns(x, &x->w, has_mac, (uint8_t[]){ 2, 0, 0, 0, 0x99, 3 }, SECOND));
	/* the probes go to the wrong MAC; then it is asked for anew */
	mac_of(PEER, "peer0", mac);
	assert_true(turns(x, &x->w, has_mac, mac, 8 * SECOND));
}

/* ---- many ---- */

#define MANY 10000

static uint64_t system_time_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_stime.tv_sec * 1000000ull + u.ru_stime.tv_usec;
}

static bool all_usable(const struct want *w, const void *arg)
{
	(void)arg;
	for (int i = 0; i < MANY; i++)
		if (!is_usable(&w[i], NULL))
			return false;
	return true;
}

static bool all_have_mac(const struct want *w, const void *mac)
{
	for (int i = 0; i < MANY; i++)
		if (!has_mac(&w[i], mac))
			return false;
	return true;
}

static void ten_thousand_wants_behind_one_gateway_follow_its_mac_without_asking(void **state)
{
	struct world *x = *state;
	struct want *w = calloc(MANY, sizeof(*w));
	uint64_t before;
	char text[32];

	sh("ip route add 10.20.0.0/16 via 10.9.0.2");
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "10.20.%d.%d", i / 250, i % 250 + 1);
		follow(x, &w[i], text);
	}
	assert_true(turns(x, w, all_usable, NULL, 10 * SECOND));
	before = system_time_us();
	sh("ip -n " PEER " link set peer0 address 02:00:00:00:99:04");
	assert_true(turns(x, w, all_have_mac, (uint8_t[]){ 2, 0, 0, 0, 0x99, 4 }, SECOND));
	assert_true(system_time_us() - before < 20000); /* 10,000 system calls take more */
	for (int i = 0; i < MANY; i++)
		nexthop_drop(w[i].want);
	free(w);
}

/* ---- callbacks ---- */

static struct want dropping[2];

static void drop_both(void *arg, const struct nexthop *now)
{
	(void)arg;
	(void)now;
	for (int i = 0; i < 2; i++) {
		nexthop_drop(dropping[i].want);
		dropping[i].want = NULL;
		dropping[i].reports++;
	}
}

static void a_callback_may_drop_its_own_and_other_wants(void **state)
{
	struct world *x = *state;
	const struct addr a = address("198.51.100.7");

	memset(dropping, 0, sizeof(dropping));
	for (int i = 0; i < 2; i++)
		assert_int_equal(nexthop_want(x->n, &a, 20, drop_both, NULL, &dropping[i].want), 0);
	assert_true(turns(x, &dropping[0], is_reported, NULL, SECOND));
	turns(x, &x->w, never, NULL, 100);
	assert_int_equal(dropping[1].reports, 1);
}

static void lost_messages_are_made_up_for(void **state)
{
	struct world *x = *state;

	sh("ip route add 198.51.100.0/24 via 10.9.0.2");
	resolved(x, "198.51.100.7");
	/* more than any buffer takes, while nobody reads; the last one counts */
	sh("for i in $(seq 40); do for j in $(seq 250); do echo route replace 10.$((100+i)).$j.0/24 via 10.9.1.2; done; done | ip -b -");
	sh("for i in $(seq 40); do for j in $(seq 250); do echo route replace 10.$((100+i)).$j.0/24 via 10.9.0.2; done; done | ip -b -");
	sh("ip route replace 198.51.100.0/24 via 10.9.1.2");
	assert_true(turns(x, &x->w, leaves_on, "dpt1", SECOND));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(an_ipv4_neighbour_is_resolved),
		test(an_ipv6_neighbour_is_resolved),
		test(a_gateway_is_the_next_hop),
		test(an_ipv4_route_may_have_an_ipv6_gateway),
		test(an_address_without_a_route_has_none),
		test(a_blackhole_is_no_route),
		test(an_address_of_this_host_is_refused),
		test(a_neighbour_that_never_answers_is_said),
		test(a_neighbour_that_appears_is_found),
		test(a_route_on_a_vlan_device_gives_the_device_below_and_the_tag),
		test(a_second_vlan_tag_is_refused),
		test(a_route_into_a_tunnel_is_refused),
		test(a_new_mac_is_followed_within_a_second_ipv4),
		test(a_new_mac_is_followed_within_a_second_ipv6),
		test(our_own_new_mac_is_followed_within_a_second),
		test(a_replaced_route_is_followed_within_a_second),
		test(an_ipv6_route_is_followed_within_a_second),
		test(a_rule_is_followed_within_a_second),
		test(a_nexthop_object_is_followed_within_a_second),
		test(the_mtu_of_the_route_then_of_the_interface_counts),
		test(a_route_too_narrow_for_a_tunnel_is_no_way),
		test(a_deleted_neighbour_is_asked_for_again_and_stays_in_use_meanwhile),
		test(a_neighbour_that_stops_answering_is_said_and_its_last_mac_kept),
		test(an_interface_going_down_and_up_is_followed_within_a_second),
		test(a_lost_carrier_is_followed_within_a_second),
		test(an_address_that_becomes_ours_is_refused_within_a_second),
		test(a_stale_neighbour_is_asked_again),
		test(ten_thousand_wants_behind_one_gateway_follow_its_mac_without_asking),
		test(a_callback_may_drop_its_own_and_other_wants),
		test(lost_messages_are_made_up_for),
	};

	return cmocka_run_group_tests_name("next hops", tests, NULL, NULL);
}
