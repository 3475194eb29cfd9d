/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs on interfaces, by links that are pinned as link_IFNAME. A link that is there is kept and its program
 * replaced in one step; only a change of mode, or an interface that was made anew, takes it away first.
 */
#include "datapath/internal.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const char *const mode_names[] = { "auto", "native", "generic" };

/* What to say of an interface: logged once, as long as it stays the same. */
static void problem(struct dp_interface *i, const char *before, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void problem(struct dp_interface *i, const char *before, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(i->problem, sizeof(i->problem), fmt, args);
	va_end(args);
	if (strcmp(i->problem, before))
		log_msg(i->mode == XDP_MODE_AUTO ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "interface %s: %s", i->name,
			i->problem);
}

static enum xdp_mode attached_mode(int ifindex, uint32_t *prog_id)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);

	*prog_id = 0;
	if (bpf_xdp_query(ifindex, 0, &q))
		return XDP_MODE_AUTO;
	*prog_id = q.skb_prog_id ? q.skb_prog_id : q.prog_id;
	if (q.skb_prog_id)
		return XDP_MODE_GENERIC;
	return q.drv_prog_id || q.hw_prog_id ? XDP_MODE_NATIVE : XDP_MODE_AUTO;
}

static int link_info(int link, uint32_t *ifindex, uint32_t *prog_id)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(link, &info, &len))
		return -errno;
	if (info.type != BPF_LINK_TYPE_XDP)
		return -EINVAL;
	*ifindex = info.xdp.ifindex;
	*prog_id = info.prog_id;
	return 0;
}

/* ---- taking away ---- */

static void detach(const struct datapath *dp, const char *name, struct attachment *a)
{
	char pin[IFNAMSIZ + 8];

	if (a->link >= 0) {
		bpf_link_detach(a->link);
		close(a->link);
		a->link = -1;
	}
	link_pin_name(name, pin);
	pin_remove(dp->pins, pin);
}

static int remove_link(void *arg, const char *pins, const char *name)
{
	_cleanup_close_ int link = pin_get(pins, name);

	(void)arg;
	if (link >= 0)
		bpf_link_detach(link);
	return pin_remove(pins, name);
}

void links_remove(const char *pins)
{
	pins_each(pins, "link_", remove_link, NULL);
}

struct leftover {
	struct datapath *dp;
	const struct config *c;
};

static bool is_configured(const struct config *c, const char *ifname)
{
	for (size_t i = 0; i < c->n_interfaces; i++)
		if (!strcmp(c->interfaces[i].name, ifname))
			return true;
	return false;
}

static int remove_leftover(void *arg, const char *pins, const char *name)
{
	const struct leftover *l = arg;
	char ifname[IFNAMSIZ];

	link_pin_ifname(name, ifname);
	if (is_configured(l->c, ifname))
		return 0;
	log_info("interface %s: no longer configured, program detached", ifname);
	return remove_link(NULL, pins, name);
}

/* ---- putting on ---- */

static int create(const struct datapath *dp, struct dp_interface *i, struct attachment *a, enum xdp_mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = mode == XDP_MODE_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	char pin[IFNAMSIZ + 8], path[PIN_PATH];
	_cleanup_close_ int link = -1;
	int err;

	link_pin_name(i->name, pin);
	err = pin_path(dp->pins, pin, path);
	if (err)
		return err;
	link = bpf_link_create(dp->programs[a->variant].fd, i->ifindex, BPF_XDP, &opts);
	if (link < 0)
		return -errno;
	pin_remove(dp->pins, pin); /* of an interface that is gone */
	if (bpf_obj_pin(link, path))
		return -errno;
	a->link = TAKE_FD(link);
	a->adopted = false;
	i->mode = mode;
	log_info("interface %s: program attached in %s mode", i->name, mode_names[mode]);
	return 0;
}

static bool is_taken(int err)
{
	return err == -EBUSY || err == -EEXIST;
}

static const char *refusal(int err)
{
	switch (err) {
	case -EOPNOTSUPP:
		return "its driver has no native XDP";
	case -ERANGE:
		return "its MTU, or its peer's, is too large for native XDP";
	case -EPERM:
		return "shuntd needs CAP_NET_ADMIN and CAP_BPF";
	default:
		return strerror(-err);
	}
}

static void say_failed(struct dp_interface *i, const char *before, int err)
{
	uint32_t id = 0;
	bool generic = attached_mode(i->ifindex, &id) == XDP_MODE_GENERIC;

	if (is_taken(err) && id)
		problem(i, before, "another XDP program (id %u) is on it; take it off with `ip link set dev %s %s off`", id,
			i->name, generic ? "xdpgeneric" : "xdp");
	else
		problem(i, before, "cannot attach: %s", refusal(err));
}

/* `auto` does without native mode where that loses what it sends: a lost packet is worse than a slow one. */
static enum xdp_mode allowed(enum xdp_mode wanted, const struct sending *loss)
{
	return wanted == XDP_MODE_AUTO && loss->how != SENDS ? XDP_MODE_GENERIC : wanted;
}

static void say_why_generic(struct dp_interface *i, struct attachment *a, const struct sending *loss,
			    const char *before)
{
	const char *why = a->refused ? refusal(a->refused) : "native was not possible when it was attached";
	char text[sizeof(i->problem) - 48];

	a->for_exits = loss->how != SENDS && !a->refused;
	if (a->for_exits)
		sending_text(loss, text, sizeof(text));
	problem(i, before, "in generic mode, which is slower: %s", a->for_exits ? text : why);
}

static void attach(const struct datapath *dp, struct dp_interface *i, struct attachment *a, const struct sending *loss,
		   const char *before)
{
	bool generic = allowed(a->wanted, loss) == XDP_MODE_GENERIC;
	int err = create(dp, i, a, generic ? XDP_MODE_GENERIC : XDP_MODE_NATIVE);

	a->refused = generic ? 0 : err;
	if (err && !generic && a->wanted == XDP_MODE_AUTO && !is_taken(err) && err != -ENODEV && err != -EPERM)
		err = create(dp, i, a, XDP_MODE_GENERIC);
	if (err)
		say_failed(i, before, err);
	else if (i->mode == XDP_MODE_GENERIC && a->wanted == XDP_MODE_AUTO)
		say_why_generic(i, a, loss, before);
}

/* ---- what is there already ---- */

static bool keeps(const struct dp_interface *i, const struct attachment *a, enum xdp_mode wanted,
		  const struct sending *loss)
{
	wanted = allowed(wanted, loss);
	if (wanted == i->mode)
		return true;
	if (wanted != XDP_MODE_AUTO)
		return false;
	/* auto takes what it found, unless generic was for the exits' sake, or asked for until now */
	return i->mode == XDP_MODE_NATIVE || (!a->for_exits && (a->adopted || a->wanted == XDP_MODE_AUTO));
}

/* Forgets a link that is no longer right. Not 0: it is not known whether there is one. */
static int review(const struct datapath *dp, struct dp_interface *i, struct attachment *a, enum xdp_mode wanted,
		  const struct sending *loss)
{
	uint32_t ifindex = 0, prog = 0, on_device;
	char pin[IFNAMSIZ + 8];

	if (a->link < 0) {
		link_pin_name(i->name, pin);
		a->link = pin_get(dp->pins, pin);
		a->adopted = true;
	}
	i->mode = XDP_MODE_AUTO;
	if (a->link < 0)
		return is_shortage(a->link) ? a->link : 0;
	if (!link_info(a->link, &ifindex, &prog) && ifindex && ifindex == (uint32_t)i->ifindex) {
		i->mode = attached_mode(i->ifindex, &on_device);
		if (i->mode == XDP_MODE_AUTO) { /* the kernel does not say: no reason to take it off */
			i->mode = wanted == XDP_MODE_GENERIC || a->for_exits ? XDP_MODE_GENERIC : XDP_MODE_NATIVE;
			return 0;
		}
		if (keeps(i, a, wanted, loss))
			return 0;
		wanted = allowed(wanted, loss);
		log_info("interface %s: mode changes from %s to %s", i->name, mode_names[i->mode],
			 wanted == XDP_MODE_AUTO ? "native, if it can be" : mode_names[wanted]);
	}
	detach(dp, i->name, a);
	i->mode = XDP_MODE_AUTO;
	return 0;
}

/* false: the link still runs another program */
static bool update(const struct datapath *dp, struct dp_interface *i, struct attachment *a, const struct sending *loss,
		   const char *before)
{
	const struct program *p = &dp->programs[a->variant];
	uint32_t ifindex, prog = 0;

	link_info(a->link, &ifindex, &prog);
	if (prog != p->id && bpf_link_update(a->link, p->fd, NULL)) {
		problem(i, before, "still runs the program from before: %s", refusal(-errno));
		return false;
	}
	if (i->mode == XDP_MODE_GENERIC && a->wanted == XDP_MODE_AUTO)
		say_why_generic(i, a, loss, before);
	return true;
}

/* What the native program sends may be lost on its way out. */
static void watch_sending(struct datapath *dp, struct dp_interface *i, const struct sending *loss, const char *before)
{
	char text[sizeof(i->problem) - 32];

	i->send_errors = 0;
	if (i->mode != XDP_MODE_NATIVE || !(i->roles & ROLE_EDGE))
		return;
	i->send_errors = exit_look(dp, i->ifindex)->errors.n;
	if (i->problem[0])
		return;
	if (loss->how != SENDS && loss->how != PEER_UNSEEN) { /* unseen: the operator knows */
		sending_text(loss, text, sizeof(text));
		problem(i, before, "%s, or set mode: generic", text);
	} else if (exits_problem(dp, i->ifindex, text, sizeof(text))) {
		problem(i, before, "%s", text);
	}
}

/* *out 0: there is no such interface. (if_nametoindex does not say why it failed: for want of a descriptor, ENOENT.) */
static int index_of(const char *name, int *out)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {};
	bool found;

	strcpy(req.ifr_name, name);
	found = fd >= 0 && !ioctl(fd, SIOCGIFINDEX, &req);
	if (!found && errno != ENODEV)
		return -errno;
	*out = found ? req.ifr_ifindex : 0;
	return 0;
}

/* Nothing is known of it now: it stays as it is. */
static bool leave_alone(struct dp_interface *i, const char *before, int err)
{
	problem(i, before, "cannot be looked at: %s", strerror(-err));
	return false;
}

/* false: it may still run another program */
static bool configure_one(struct datapath *dp, const struct interface *conf, struct dp_interface *i,
			  struct attachment *a)
{
	char before[sizeof(i->problem)];
	struct sending loss;
	bool moved = true;
	int err, index = 0;

	strcpy(before, i->problem);
	i->problem[0] = '\0';
	i->roles = conf->roles;
	err = index_of(conf->name, &index);
	if (err)
		return leave_alone(i, before, err);
	i->ifindex = index;
	err = exits_loss(dp, i, &loss);
	if (!err)
		err = review(dp, i, a, conf->mode, &loss);
	if (err)
		return leave_alone(i, before, err);
	a->wanted = conf->mode;
	a->for_exits = false;
	a->variant = variant_of(conf->roles);
	if (!i->ifindex) {
		problem(i, before, "there is no such interface");
	} else if (a->link >= 0) {
		moved = update(dp, i, a, &loss, before);
	} else {
		exit_forget(dp, i->ifindex);
		attach(dp, i, a, &loss, before);
	}
	watch_sending(dp, i, &loss, before);
	return moved;
}

static ssize_t find(const struct datapath *dp, const char *name)
{
	for (size_t i = 0; i < dp->n_interfaces; i++)
		if (!strcmp(dp->interfaces[i].name, name))
			return i;
	return -1;
}

/* New arrays, in the order of c, with what is known of each; the links of the others are closed. */
static int rearrange(struct datapath *dp, const struct config *c)
{
	_cleanup_free_ struct dp_interface *interfaces = calloc(c->n_interfaces + 1, sizeof(*interfaces));
	_cleanup_free_ struct attachment *attachments = calloc(c->n_interfaces + 1, sizeof(*attachments));

	if (!interfaces || !attachments)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_interfaces; i++) {
		ssize_t old = find(dp, c->interfaces[i].name);

		strcpy(interfaces[i].name, c->interfaces[i].name);
		attachments[i].link = -1;
		if (old < 0)
			continue;
		interfaces[i] = dp->interfaces[old];
		attachments[i] = dp->attachments[old];
		dp->attachments[old].link = -1;
	}
	interfaces_close(dp);
	dp->interfaces = TAKE_PTR(interfaces);
	dp->attachments = TAKE_PTR(attachments);
	dp->n_interfaces = c->n_interfaces;
	return 0;
}

int interfaces_configure(struct datapath *dp, const struct config *c, bool *all_moved)
{
	struct leftover l = { dp, c };
	int err;

	*all_moved = true;
	err = rearrange(dp, c);
	if (err)
		return err;
	exits_survey(dp);
	for (size_t i = 0; i < dp->n_interfaces; i++)
		if (!configure_one(dp, &c->interfaces[i], &dp->interfaces[i], &dp->attachments[i]))
			*all_moved = false;
	pins_each(dp->pins, "link_", remove_leftover, &l);
	return 0;
}

void interfaces_close(struct datapath *dp)
{
	for (size_t i = 0; i < dp->n_interfaces; i++)
		clean_close(&dp->attachments[i].link);
	free(dp->interfaces);
	free(dp->attachments);
	dp->interfaces = NULL;
	dp->attachments = NULL;
	dp->n_interfaces = 0;
}

size_t dp_interfaces(const struct datapath *dp, const struct dp_interface **out)
{
	*out = dp->interfaces;
	return dp->n_interfaces;
}
