/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The services' addresses on lo, so that a stock server accepts what the backend program takes out of the tunnel.
 * Which of the addresses there are ours is noted (notes.c): one that was there before us stays when we go.
 *
 * IPv4 addresses get host scope and IPv6 addresses no preferred lifetime, so that the host does not choose them as
 * the source of connections of its own.
 */
#include "datapath/internal.h"
#include "datapath/netlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

struct loopback {
	struct nl nl;
	uint32_t ifindex;
	const struct addr *wanted; /* sorted */
	size_t n_wanted;
};

static struct note note_of(const struct addr *a)
{
	return (struct note){ .kind = NOTE_ADDRESS, .addr = *a };
}

static int request(struct loopback *lo, uint16_t type, uint16_t flags, const struct addr *a)
{
	const struct ifa_cacheinfo deprecated = { .ifa_prefered = 0, .ifa_valid = UINT32_MAX };
	struct ifaddrmsg *h;
	struct nlmsghdr *m;
	char buf[256];

	m = nl_request(buf, type, NLM_F_ACK | flags, sizeof(*h), &h);
	h->ifa_family = nl_family(a);
	h->ifa_prefixlen = addr_is4(a) ? 32 : 128;
	h->ifa_index = lo->ifindex;
	h->ifa_scope = addr_is4(a) ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
	nl_put_addr(m, IFA_LOCAL, a);
	nl_put_addr(m, IFA_ADDRESS, a);
	if (type == RTM_NEWADDR && !addr_is4(a)) {
		mnl_attr_put_u32(m, IFA_FLAGS, IFA_F_NODAD);
		mnl_attr_put(m, IFA_CACHEINFO, sizeof(deprecated), &deprecated);
	}
	return nl_talk(&lo->nl, m, NULL, NULL);
}

static int add(struct loopback *lo, int notes, const struct addr *a)
{
	const struct note n = note_of(a);
	bool known = note_exists(notes, &n);
	char text[ADDR_TEXT];
	int err = 0;

	if (!known)
		err = note_write(notes, &n, 1);
	if (!err)
		err = request(lo, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, a);
	if (err && !known)
		note_delete(notes, &n);
	if (!err)
		log_debug("address %s put on lo", addr_format(a, text));
	return err == -EEXIST ? 0 : err; /* ours from before, or of others */
}

static int take_away(struct loopback *lo, int notes, const struct note *n)
{
	char text[ADDR_TEXT];
	int err = request(lo, RTM_DELADDR, 0, &n->addr);

	if (err && err != -EADDRNOTAVAIL)
		return err;
	log_debug("address %s taken off lo", addr_format(&n->addr, text));
	note_delete(notes, n);
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static void take_away_unwanted(void *arg, int notes, const struct note *n, uint32_t value)
{
	struct loopback *lo = arg;
	char text[ADDR_TEXT];
	int err;

	(void)value;
	if (n->kind != NOTE_ADDRESS)
		return;
	if (lo->n_wanted && bsearch(&n->addr, lo->wanted, lo->n_wanted, sizeof(n->addr), by_addr))
		return;
	err = take_away(lo, notes, n);
	if (err)
		log_warn("cannot take %s off lo: %s", addr_format(&n->addr, text), strerror(-err));
}

static void loopback_close(struct loopback *lo)
{
	nl_close(&lo->nl);
}

static int loopback_open(struct loopback *lo)
{
	lo->ifindex = if_nametoindex("lo");
	return lo->ifindex ? nl_open(&lo->nl) : -ENODEV;
}

int dp_loopback(struct datapath *dp, const struct addr *addrs, size_t n)
{
	_cleanup_free_ struct addr *sorted = calloc(n + 1, sizeof(*sorted));
	_cleanup_(loopback_close) struct loopback lo = { .wanted = sorted, .n_wanted = n };
	int err, first = 0;

	if (!sorted)
		return -ENOMEM;
	if (n)
		memcpy(sorted, addrs, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_addr);
	err = loopback_open(&lo);
	if (err)
		return err_r(err, "cannot change addresses on lo: %s", strerror(-err));
	notes_each(dp->notes, take_away_unwanted, &lo);
	for (size_t i = 0; i < n; i++) {
		char text[ADDR_TEXT];

		err = add(&lo, dp->notes, &sorted[i]);
		if (!err)
			continue;
		log_error("cannot put %s on lo: %s", addr_format(&sorted[i], text), strerror(-err));
		first = first ? first : err;
	}
	return first;
}

void loopback_remove(int notes)
{
	_cleanup_(loopback_close) struct loopback lo = {};

	if (!loopback_open(&lo))
		notes_each(notes, take_away_unwanted, &lo);
}
