/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The programs: their settings from the configuration, loaded only where a role needs them.
 *
 * The edge program that the backend program goes on to is in a prog array of its own for every load, because a prog
 * array keeps for ever the kind (with fragments or without) of the first program that used it. A pin keeps it filled
 * when the daemon is gone; the pin of the one before goes when no link runs its program any more.
 */
#include "datapath/internal.h"
#include "datapath/skeleton.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define VERIFIER_LOG (4u << 20)
#define VERIFIER_LINES 12
#define PROGRAM_EDGE 0 /* as in bpf/maps.bpf.h */

enum variant variant_of(unsigned roles)
{
	if (roles == ROLE_BACKEND)
		return VARIANT_BACKEND;
	return roles & ROLE_BACKEND ? VARIANT_BOTH : VARIANT_EDGE;
}

static void settings_prefix(struct shunt_prefix *out, const struct prefix *p)
{
	const struct addr mask = addr_mask(p->len);

	memcpy(&out->addr, p->addr.b, sizeof(out->addr));
	memcpy(&out->mask, mask.b, sizeof(out->mask));
}

static int interface_mtu(const char *name)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {};

	strcpy(req.ifr_name, name);
	return fd >= 0 && !ioctl(fd, SIOCGIFMTU, &req) ? req.ifr_mtu : -errno;
}

bool programs_have_frags(const struct datapath *dp)
{
	for (int v = 0; v < N_VARIANTS; v++)
		if (dp->programs[v].fd >= 0 && dp->programs[v].settings.features & SHUNT_FEATURE_FRAGS)
			return true;
	return false;
}

static bool needs_frags(const struct datapath *dp, const struct config *c)
{
	if (!dp->has.xdp_frags)
		return false;
	for (size_t i = 0; i < c->n_interfaces; i++) {
		int mtu = interface_mtu(c->interfaces[i].name);

		if (mtu > MTU_WITHOUT_FRAGS)
			return true;
		if (is_shortage(mtu) && programs_have_frags(dp)) /* no reason to think that it has changed */
			return true;
	}
	return false;
}

static void settings_allow(struct shunt_settings *s, const struct config *c)
{
	if (!c->backend.n_allow) {
		settings_prefix(&s->allow[0], &c->edge.source4);
		settings_prefix(&s->allow[1], &c->edge.source6);
		s->n_allow = 2;
		return;
	}
	for (size_t i = 0; i < c->backend.n_allow && i < SHUNT_ALLOW_MAX; i++)
		settings_prefix(&s->allow[s->n_allow++], &c->backend.allow[i]);
}

/* What services need: those that come, and those that are in the maps until they do. */
static uint32_t services_features(const struct datapath *dp, const struct config *c)
{
	const struct shunt_service *services = dp->mapped[MAP_SERVICES];
	uint32_t flags = 0, features = 0;

	for (size_t i = 0; i < c->n_services; i++) {
		flags |= service_is_at(c, &c->services[i]) & AT_EDGE ? 0 : SHUNT_SERVICE_NOT_EDGE;
		flags |= c->services[i].forward == FORWARD_LOCAL ? SHUNT_SERVICE_NOT_EDGE : 0;
		flags |= c->services[i].affinity == AFFINITY_CLIENT ? SHUNT_SERVICE_CLIENT : 0;
		flags |= c->services[i].quic.server_id ? SHUNT_SERVICE_QUIC : 0;
		features |= c->services[i].forward == FORWARD_GUE ? SHUNT_FEATURE_GUE : 0;
	}
	for (uint32_t i = 0; i < dp->limits.services; i++)
		flags |= services[i].flags;
	return features | (flags & SHUNT_SERVICE_NOT_EDGE ? SHUNT_FEATURE_NOT_EDGE : 0) |
	       (flags & SHUNT_SERVICE_CLIENT ? SHUNT_FEATURE_AFFINITY : 0) |
	       (flags & SHUNT_SERVICE_QUIC ? SHUNT_FEATURE_QUIC : 0);
}

void settings_fill(struct shunt_settings *s, const struct datapath *dp, const struct config *c, bool any_port)
{
	memset(s, 0, sizeof(*s)); /* compared with memcmp */
	s->seed = c->edge.seed;
	s->secret = dp->secret;
	s->icmp_rate = c->edge.icmp_rate;
	s->hop_rate = c->backend.second_chance_rate;
	s->listener_shift = 64 - dp->log2_homes;
	settings_prefix(&s->source4, &c->edge.source4);
	settings_prefix(&s->source6, &c->edge.source6);
	settings_allow(s, c);
	if (any_port)
		s->features |= SHUNT_FEATURE_ANY_PORT;
	s->features |= services_features(dp, c);
	if (c->backend.second_chance && dp->has.second_chance)
		s->features |= SHUNT_FEATURE_SECOND_CHANCE;
	if (dp->has.coarse_clock)
		s->features |= SHUNT_FEATURE_COARSE_CLOCK;
	if (needs_frags(dp, c))
		s->features |= SHUNT_FEATURE_FRAGS;
}

/* What went wrong is at the end of the verifier's log. */
static void log_verifier(const char *name, const char *log)
{
	const char *tail = log + strlen(log);
	char line[512];

	for (int lines = 0; tail > log && lines <= VERIFIER_LINES; tail--)
		lines += tail[-1] == '\n';
	while (*tail) {
		int len = strcspn(tail, "\n");

		snprintf(line, sizeof(line), "%.*s", len, tail);
		if (len)
			log_error("verifier: %s: %s", name, line);
		tail += len + (tail[len] == '\n');
	}
}

static int share_maps(const struct datapath *dp, struct bpf_object *obj)
{
	for (int i = 0; i < N_MAPS; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(obj, dp_map_names[i]);
		int err = map ? bpf_map__reuse_fd(map, dp->maps[i]) : 0;

		if (err)
			return err;
	}
	return 0;
}

static int take_program(const struct bpf_program *prog, struct program *out)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return -errno;
	out->fd = fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 0);
	out->id = info.id;
	return out->fd < 0 ? -errno : 0;
}

int object_load(const struct datapath *dp, struct skeleton *skel)
{
	_cleanup_free_ char *log = calloc(1, VERIFIER_LOG);
	const char *name = "of this object"; /* the one that is refused is the last to write a log */
	struct bpf_program *prog;
	int err = log ? share_maps(dp, skel->obj) : -ENOMEM;

	if (err)
		return err;
	bpf_object__for_each_program(prog, skel->obj) {
		bpf_program__set_log_buf(prog, log, VERIFIER_LOG);
		name = bpf_program__name(prog);
	}
	err = bpf_object__load(skel->obj);
	if (!err)
		return 0;
	log_verifier(name, log);
	return err_r(err, "the kernel refuses the program %s: %s%s", name, strerror(-err),
		     err == -EPERM ? " (shuntd needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN)" : "");
}

static int load_skeleton(const struct datapath *dp, struct skeleton *skel, struct program *out)
{
	int err;

	*skel->settings = out->settings;
	if (out->settings.features & SHUNT_FEATURE_FRAGS)
		bpf_program__set_flags(skel->prog, bpf_program__flags(skel->prog) | BPF_F_XDP_HAS_FRAGS);
	err = object_load(dp, skel);
	return err ? err : take_program(skel->prog, out);
}

static int load_edge(const struct datapath *dp, struct program *out)
{
	_cleanup_(skeleton_close) struct skeleton skel = {};
	int err = skeleton_edge(&skel);

	return err ? err : load_skeleton(dp, &skel, out);
}

/* A name that is not taken: "programs", "programs_1", ... */
static int pin_programs(struct datapath *dp, int map, char name[32])
{
	char path[PIN_PATH];

	strcpy(name, "programs");
	for (int i = 1; i < 100; i++) {
		int err = pin_path(dp->pins, name, path);

		if (!err)
			err = bpf_obj_pin(map, path) ? -errno : 0;
		if (err != -EEXIST)
			return err;
		snprintf(name, 32, "programs_%d", i);
	}
	return -EEXIST;
}

static int fill_programs(struct datapath *dp, const struct bpf_object *obj, int edge, char pin[32])
{
	int map = bpf_object__find_map_fd_by_name(obj, "programs");
	const __u32 key = PROGRAM_EDGE;

	if (bpf_map_update_elem(map, &key, &edge, BPF_ANY))
		return -errno;
	return pin_programs(dp, map, pin);
}

static int load_backend(struct datapath *dp, struct program *out, int edge)
{
	_cleanup_(skeleton_close) struct skeleton skel = {};
	int err = skeleton_backend(&skel);

	if (!err)
		err = load_skeleton(dp, &skel, out);
	if (err || edge < 0)
		return err;
	err = fill_programs(dp, skel.obj, edge, out->pin);
	return err ? err_r(err, "cannot chain the backend program to the edge program: %s", strerror(-err)) : 0;
}

static int load_variant(struct datapath *dp, enum variant v, struct program fresh[N_VARIANTS])
{
	const struct program *edge = fresh[VARIANT_EDGE].fd >= 0 ? &fresh[VARIANT_EDGE] : &dp->programs[VARIANT_EDGE];

	if (v == VARIANT_EDGE)
		return load_edge(dp, &fresh[v]);
	return load_backend(dp, &fresh[v], v == VARIANT_BOTH ? edge->fd : -1);
}

static bool must_load(const struct program *old, const struct program *fresh)
{
	return old->fd < 0 || memcmp(&old->settings, &fresh->settings, sizeof(old->settings));
}

unsigned variants_needed(const struct config *c)
{
	unsigned needed = 0;

	for (size_t i = 0; i < c->n_interfaces; i++)
		needed |= 1u << variant_of(c->interfaces[i].roles);
	if (needed & 1u << VARIANT_BOTH)
		needed |= 1u << VARIANT_EDGE;
	return needed;
}

int programs_load(struct datapath *dp, const struct config *c, bool any_port, struct program fresh[N_VARIANTS])
{
	unsigned needed = variants_needed(c);
	int err = 0;

	for (int v = 0; v < N_VARIANTS; v++)
		fresh[v] = (struct program){ .fd = -1 };
	for (int v = 0; v < N_VARIANTS && !err; v++) {
		bool must = v == VARIANT_BOTH && fresh[VARIANT_EDGE].fd >= 0; /* goes on to that one */

		settings_fill(&fresh[v].settings, dp, c, any_port);
		if (v == VARIANT_BOTH)
			fresh[v].settings.features |= SHUNT_FEATURE_THEN_EDGE;
		if (needed & 1u << v && (must || must_load(&dp->programs[v], &fresh[v])))
			err = load_variant(dp, v, fresh);
	}
	if (err)
		programs_close(fresh);
	return err;
}

void programs_swap(struct datapath *dp, unsigned needed, struct program fresh[N_VARIANTS])
{
	for (int v = 0; v < N_VARIANTS; v++) {
		struct program old = dp->programs[v];

		if (fresh[v].fd < 0 && needed & 1u << v)
			continue;
		dp->programs[v] = fresh[v];
		fresh[v] = old;
	}
}

void programs_close(struct program p[N_VARIANTS])
{
	for (int v = 0; v < N_VARIANTS; v++) {
		clean_close(&p[v].fd);
		p[v].fd = -1;
	}
}

static int remove_unless_used(void *arg, const char *pins, const char *name)
{
	const struct datapath *dp = arg;

	return strcmp(name, dp->programs[VARIANT_BOTH].pin) ? pin_remove(pins, name) : 0;
}

void programs_remove_old_pins(struct datapath *dp)
{
	pins_each(dp->pins, "programs", remove_unless_used, dp);
}
