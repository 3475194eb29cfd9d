/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What goes with our programs on the host's interfaces:
 *
 * - Generic XDP sees packets after GRO has put several into one, which is then longer than the MTU. For an edge
 *   interface in generic mode GRO is turned off, there and on the interfaces below it (of a VLAN, bond or bridge).
 * - A backend has the services' addresses on lo. It must not answer ARP for them, nor ask with them as its own:
 *   arp_ignore 1, arp_announce 2. (IPv6 answers on an interface for that interface's addresses only.)
 *
 * The wanted settings are a list; what a note says we changed and is not on the list is put back.
 */
#include "datapath/internal.h"
#include "datapath/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#define WANTED_MAX 256

struct wanted {
	struct note notes[WANTED_MAX];
	size_t n;
};

/* ---- GRO ---- */

static int ethtool_value(const char *name, uint32_t cmd, uint32_t *value)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value v = { .cmd = cmd, .data = *value };
	struct ifreq req = { .ifr_data = (void *)&v };

	strcpy(req.ifr_name, name);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &req))
		return -errno;
	*value = v.data;
	return 0;
}

static int gro_get(const char *name, uint32_t *value)
{
	return ethtool_value(name, ETHTOOL_GGRO, value);
}

static int gro_set(const char *name, uint32_t value)
{
	return ethtool_value(name, ETHTOOL_SGRO, &value);
}

/* ---- ARP ---- */

static int sysctl_open(const char *name, const char *key, int flags)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", name, key);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int sysctl_get(const char *name, const char *key, uint32_t *value)
{
	_cleanup_close_ int fd = sysctl_open(name, key, O_RDONLY);
	char text[16] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return fd < 0 ? fd : -EIO;
	*value = strtoul(text, NULL, 10);
	return 0;
}

static int sysctl_set(const char *name, const char *key, uint32_t value)
{
	_cleanup_close_ int fd = sysctl_open(name, key, O_WRONLY);

	if (fd < 0)
		return fd;
	return dprintf(fd, "%u", value) < 0 ? -errno : 0;
}

static int arp_ignore_get(const char *name, uint32_t *value)
{
	return sysctl_get(name, "arp_ignore", value);
}

static int arp_ignore_set(const char *name, uint32_t value)
{
	return sysctl_set(name, "arp_ignore", value);
}

static int arp_announce_get(const char *name, uint32_t *value)
{
	return sysctl_get(name, "arp_announce", value);
}

static int arp_announce_set(const char *name, uint32_t value)
{
	return sysctl_set(name, "arp_announce", value);
}

/* ---- the same for all ---- */

static const struct setting {
	const char *what;
	uint32_t ours;
	int (*get)(const char *name, uint32_t *value);
	int (*set)(const char *name, uint32_t value);
} settings[N_NOTE_SETTINGS] = {
	[NOTE_GRO] = { "GRO", 0, gro_get, gro_set },
	[NOTE_ARP_IGNORE] = { "arp_ignore", 1, arp_ignore_get, arp_ignore_set },
	[NOTE_ARP_ANNOUNCE] = { "arp_announce", 2, arp_announce_get, arp_announce_set },
};

static int impose(int notes, const struct note *n, enum log_level level)
{
	const struct setting *s = &settings[n->kind];
	uint32_t value = 0;
	int err;

	err = s->get(n->name, &value);
	if (!err && value == s->ours)
		return 0;
	if (!err)
		err = note_write(notes, n, value);
	if (!err)
		err = s->set(n->name, s->ours);
	if (err)
		log_msg(level, "interface %s: cannot set %s to %u: %s", n->name, s->what, s->ours, strerror(-err));
	else
		log_info("interface %s: %s set from %u to %u while shunt uses it", n->name, s->what, value, s->ours);
	return err;
}

static bool is_wanted(const struct wanted *w, const struct note *n)
{
	for (size_t i = 0; i < w->n; i++)
		if (!memcmp(&w->notes[i], n, sizeof(*n)))
			return true;
	return false;
}

static void put_back(void *arg, int notes, const struct note *n, uint32_t value)
{
	const struct setting *s;
	int err;

	if (n->kind >= N_NOTE_SETTINGS || is_wanted(arg, n))
		return;
	s = &settings[n->kind];
	err = s->set(n->name, value);
	if (is_shortage(err))
		return; /* its turn comes */
	if (!err)
		log_info("interface %s: %s set back to %u", n->name, s->what, value);
	else if (err != -ENODEV && err != -ENOENT) /* gone with its interface */
		log_warn("interface %s: cannot set %s back to %u: %s", n->name, s->what, value, strerror(-err));
	note_delete(notes, n);
}

static void want(struct wanted *w, enum note_kind kind, const char *name)
{
	struct note n = { .kind = kind };

	strcpy(n.name, name);
	if (w->n < WANTED_MAX && !is_wanted(w, &n))
		w->notes[w->n++] = n;
}

/* ---- which ---- */

static void want_gro_off(struct wanted *w, const struct links *l, const struct nl_link *top)
{
	size_t before = w->n;

	want(w, NOTE_GRO, top->name);
	if (w->n == before)
		return; /* seen already */
	for (size_t i = 0; i < l->n; i++)
		if (l->list[i].ifindex == top->below || l->list[i].master == top->ifindex)
			want_gro_off(w, l, &l->list[i]);
}

static int want_for_generic(struct wanted *w, const struct datapath *dp)
{
	_cleanup_(links_clear) struct links l = {};
	_cleanup_(nl_close) struct nl nl = {};
	int err;

	err = nl_open(&nl);
	if (!err)
		err = links_read(&l, &nl);
	for (size_t i = 0; i < dp->n_interfaces && !err; i++) {
		const struct dp_interface *dev = &dp->interfaces[i];
		const struct nl_link *link = links_find(&l, dev->ifindex);

		if (link && dev->mode == XDP_MODE_GENERIC && dev->roles & ROLE_EDGE)
			want_gro_off(w, &l, link);
	}
	return err;
}

static void want_for_loopback(struct wanted *w, const struct datapath *dp)
{
	for (size_t i = 0; i < dp->n_interfaces; i++) {
		const struct dp_interface *dev = &dp->interfaces[i];

		if (!dev->ifindex || !(dev->roles & ROLE_BACKEND))
			continue;
		want(w, NOTE_ARP_IGNORE, dev->name);
		want(w, NOTE_ARP_ANNOUNCE, dev->name);
	}
}

/* Called again and again: what cannot be done is said once. */
void host_configure(struct datapath *dp, bool loopback)
{
	enum log_level level = dp->host_warned ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN;
	struct wanted w = {};
	int err;

	err = want_for_generic(&w, dp);
	if (err) { /* then it is not known what is wanted no more */
		log_msg(level, "cannot list the interfaces: %s", strerror(-err));
		dp->host_warned = true;
		return;
	}
	if (loopback)
		want_for_loopback(&w, dp);
	for (size_t i = 0; i < w.n; i++)
		if (impose(dp->notes, &w.notes[i], level))
			err = -1;
	dp->host_warned = err != 0;
	notes_each(dp->notes, put_back, &w);
}

void host_restore(int notes)
{
	struct wanted none = {};

	notes_each(notes, put_back, &none);
}
