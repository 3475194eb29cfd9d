/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When the kernel is made to ask (NTF_USE: as if a packet had been sent there):
 *   no entry, or one that failed    at once, then after 1, 2, 4, 8, 15, 15 ... seconds
 *   stale                           at once, but at most every 15 seconds
 * The kernel could keep them by itself (NTF_EXT_MANAGED), but such entries would stay when we are gone.
 */
#include "base/clock.h"
#include "datapath/neighbour.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define PAUSE_FIRST_MS 1000
#define PAUSE_MAX_MS 15000
#define STALE_PAUSE_MS 15000
#define NUD_HAS_MAC (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

bool neighbour_failed(const struct neighbour *b)
{
	return b->state & NUD_FAILED;
}

bool neighbour_settled(const struct neighbour *b)
{
	return b->state & (NUD_HAS_MAC | NUD_FAILED);
}

/* ---- the table ---- */

static uint32_t bucket_of(uint32_t ifindex, const struct addr *a)
{
	uint32_t h = ifindex * 0x9e3779b1u;

	for (int i = 0; i < 16; i++)
		h = (h ^ a->b[i]) * 0x01000193u;
	return (h ^ h >> 16) % NEIGHBOUR_BUCKETS;
}

static struct neighbour *find(struct neighbours *n, uint32_t ifindex, const struct addr *a)
{
	struct neighbour *b;

	SLIST_FOREACH(b, &n->buckets[bucket_of(ifindex, a)], in_bucket)
		if (b->ifindex == ifindex && !addr_compare(&b->addr, a))
			return b;
	return NULL;
}

void neighbours_init(struct neighbours *n, struct nl *nl)
{
	n->nl = nl;
	for (int i = 0; i < NEIGHBOUR_BUCKETS; i++)
		SLIST_INIT(&n->buckets[i]);
	TAILQ_INIT(&n->all);
	TAILQ_INIT(&n->dirty);
}

static void mark_dirty(struct neighbours *n, struct neighbour *b)
{
	if (b->dirty)
		return;
	b->dirty = true;
	TAILQ_INSERT_TAIL(&n->dirty, b, in_dirty);
}

struct neighbour *neighbours_take_dirty(struct neighbours *n)
{
	struct neighbour *b = TAILQ_FIRST(&n->dirty);

	if (!b)
		return NULL;
	TAILQ_REMOVE(&n->dirty, b, in_dirty);
	b->dirty = false;
	return b;
}

void neighbour_put_if_unused(struct neighbours *n, struct neighbour *b)
{
	if (!TAILQ_EMPTY(&b->wants))
		return;
	if (b->dirty)
		TAILQ_REMOVE(&n->dirty, b, in_dirty);
	TAILQ_REMOVE(&n->all, b, in_all);
	SLIST_REMOVE(&n->buckets[bucket_of(b->ifindex, &b->addr)], b, neighbour, in_bucket);
	free(b);
}

/* ---- asking ---- */

static void ask(struct neighbours *n, struct neighbour *b, uint64_t now)
{
	char buf[256], text[ADDR_TEXT];
	struct nlmsghdr *m;
	struct ndmsg *h;
	int err;

	m = nl_request(buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, sizeof(*h), &h);
	h->ndm_family = nl_family(&b->addr);
	h->ndm_ifindex = b->ifindex;
	h->ndm_flags = NTF_USE;
	nl_put_addr(m, NDA_DST, &b->addr);
	b->asked_ms = now;
	err = nl_talk(n->nl, m, NULL, NULL);
	if (err)
		log_debug("cannot ask for neighbour %s: %s", addr_format(&b->addr, text), strerror(-err));
}

static bool is_due(const struct neighbour *b, uint64_t now)
{
	uint64_t since = now - b->asked_ms;

	if (!b->asked_ms)
		return true;
	return since >= (b->state & NUD_STALE ? STALE_PAUSE_MS : b->pause_ms);
}

static void ask_if_due(struct neighbours *n, struct neighbour *b, uint64_t now)
{
	bool missing = !neighbour_settled(b) || neighbour_failed(b);

	if (b->state & NUD_REACHABLE)
		b->pause_ms = 0; /* the next failure is asked about at once */
	if (!(missing || b->state & NUD_STALE) || !is_due(b, now))
		return;
	if (missing)
		b->pause_ms = b->pause_ms ? b->pause_ms * 2 : PAUSE_FIRST_MS;
	if (b->pause_ms > PAUSE_MAX_MS)
		b->pause_ms = PAUSE_MAX_MS;
	ask(n, b, now);
}

void neighbours_tick(struct neighbours *n)
{
	uint64_t now = monotonic_ms();
	struct neighbour *b;

	TAILQ_FOREACH(b, &n->all, in_all)
		ask_if_due(n, b, now);
}

/* ---- what the kernel says ---- */

static void take_state(struct neighbours *n, struct neighbour *b, uint16_t state, const struct nlattr *mac)
{
	bool changed = b->state != state;

	b->state = state;
	if (state & NUD_HAS_MAC && mac && mnl_attr_get_payload_len(mac) == sizeof(b->mac)) {
		changed |= !b->has_mac || memcmp(b->mac, mnl_attr_get_payload(mac), sizeof(b->mac));
		memcpy(b->mac, mnl_attr_get_payload(mac), sizeof(b->mac));
		b->has_mac = true;
	}
	if (changed)
		mark_dirty(n, b);
}

static struct neighbour *take_message(struct neighbours *n, const struct nlmsghdr *m)
{
	const struct ndmsg *h = mnl_nlmsg_get_payload(m);
	const struct nlattr *attr[NDA_MAX + 1];
	struct neighbour *b;
	struct addr a;

	if (mnl_nlmsg_get_payload_len(m) < sizeof(*h) || (h->ndm_family != AF_INET && h->ndm_family != AF_INET6) ||
	    h->ndm_flags & NTF_PROXY)
		return NULL;
	nl_attributes(m, sizeof(*h), attr, NDA_MAX);
	if (!attr[NDA_DST] || !nl_get_addr(attr[NDA_DST], &a))
		return NULL;
	b = find(n, h->ndm_ifindex, &a);
	if (b)
		take_state(n, b, m->nlmsg_type == RTM_NEWNEIGH ? h->ndm_state : 0, attr[NDA_LLADDR]);
	return b;
}

void neighbours_message(struct neighbours *n, const struct nlmsghdr *m)
{
	struct neighbour *b = take_message(n, m);

	if (b)
		ask_if_due(n, b, monotonic_ms());
}

static int on_answer(const struct nlmsghdr *m, void *arg)
{
	if (m->nlmsg_type == RTM_NEWNEIGH)
		take_message(arg, m);
	return MNL_CB_OK;
}

/* What the kernel knows of one neighbour now. */
static void read_state(struct neighbours *n, struct neighbour *b)
{
	struct nlmsghdr *m;
	struct ndmsg *h;
	char buf[256];

	m = nl_request(buf, RTM_GETNEIGH, 0, sizeof(*h), &h);
	h->ndm_family = nl_family(&b->addr);
	h->ndm_ifindex = b->ifindex;
	nl_put_addr(m, NDA_DST, &b->addr);
	if (nl_talk(n->nl, m, on_answer, n))
		take_state(n, b, 0, NULL);
}

struct neighbour *neighbour_get(struct neighbours *n, uint32_t ifindex, const struct addr *a)
{
	struct neighbour *b = find(n, ifindex, a);

	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->ifindex = ifindex;
	b->addr = *a;
	TAILQ_INIT(&b->wants);
	TAILQ_INSERT_TAIL(&n->all, b, in_all);
	SLIST_INSERT_HEAD(&n->buckets[bucket_of(ifindex, a)], b, in_bucket);
	read_state(n, b);
	ask_if_due(n, b, monotonic_ms());
	return b;
}

void neighbours_resync(struct neighbours *n)
{
	struct neighbour *b;

	TAILQ_FOREACH(b, &n->all, in_all) {
		read_state(n, b);
		ask_if_due(n, b, monotonic_ms());
	}
}
