/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/sock_diag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>

#include "base/clean.h"

int sock_diag_open(struct nl *nl)
{
	return nl_open_bus(nl, NETLINK_SOCK_DIAG);
}

static struct addr addr_of(const struct shunt_addr *a)
{
	struct addr out;

	memcpy(&out, a, sizeof(out));
	return out;
}

/* What goes over IPv4 is in the tables of IPv4, of whichever family the socket is: it is asked for as such. */
static void put_addr(__be32 out[4], const struct addr *a, int family)
{
	if (family == AF_INET)
		memcpy(out, a->b + 12, 4);
	else
		memcpy(out, a->b, 16);
}

static struct nlmsghdr *request(void *buf, uint16_t type, uint16_t flags, int family, uint8_t proto,
				struct inet_diag_req_v2 **r)
{
	struct nlmsghdr *m = nl_request(buf, type, flags, sizeof(**r), r);

	(*r)->sdiag_family = family;
	(*r)->sdiag_protocol = proto;
	return m;
}

int sock_diag_end(struct nl *nl, const struct shunt_connection *c)
{
	const struct addr local = addr_of(&c->local), peer = addr_of(&c->given);
	int family = nl_family(&peer);
	struct inet_diag_req_v2 *r;
	struct nlmsghdr *m;
	char buf[256];

	m = request(buf, SOCK_DESTROY, NLM_F_ACK, family, c->proto, &r);
	r->idiag_states = -1;
	put_addr(r->id.idiag_src, &local, family);
	put_addr(r->id.idiag_dst, &peer, family);
	r->id.idiag_sport = c->local_port;
	r->id.idiag_dport = c->given_port;
	r->id.idiag_if = c->ifindex;
	r->id.idiag_cookie[0] = c->cookie;
	r->id.idiag_cookie[1] = c->cookie >> 32;
	return nl_talk(nl, m, NULL, NULL);
}

/* Whether a dump ends well: its last message says, which libmnl does not read. */
static int on_done(const struct nlmsghdr *m, void *arg)
{
	(void)arg;
	if (mnl_nlmsg_get_payload_len(m) < sizeof(int) || *(const int *)mnl_nlmsg_get_payload(m) >= 0)
		return MNL_CB_STOP;
	errno = -*(const int *)mnl_nlmsg_get_payload(m);
	return MNL_CB_ERROR;
}

/*
 * The kernel says "no such socket" of a protocol, too, for which it has no sock_diag, or may not load it. So it is
 * asked for all sockets that are in none of all states. Both families come together.
 */
bool sock_diag_knows(struct nl *nl, uint8_t proto)
{
	static mnl_cb_t control[NLMSG_DONE + 1] = { [NLMSG_DONE] = on_done };
	struct inet_diag_req_v2 *r;
	struct nlmsghdr *m;
	char buf[4096];
	ssize_t len;
	int more;

	m = request(buf, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, AF_INET, proto, &r);
	m->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->sock, m, m->nlmsg_len) < 0)
		return true; /* who cannot ask does not know better */
	do {
		len = mnl_socket_recvfrom(nl->sock, buf, sizeof(buf));
		more = len < 0 ? MNL_CB_STOP :
				 mnl_cb_run2(buf, len, nl->seq, mnl_socket_get_portid(nl->sock), NULL, NULL, control,
					     ARRAY_SIZE(control));
	} while (more > MNL_CB_STOP);
	return more == MNL_CB_STOP;
}
