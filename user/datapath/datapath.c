/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The life of a datapath: opened or adopted, configured, closed, unloaded. */
#include "datapath/internal.h"

#include <errno.h>
#include <string.h>

static struct datapath *datapath_new(const struct config *c)
{
	struct datapath *dp = calloc(1, sizeof(*dp));

	if (!dp)
		return NULL;
	snprintf(dp->pins, sizeof(dp->pins), "%s", c->pins);
	dp->limits = c->limits;
	dp->lock = dp->notes = -1;
	dp->n_cpus = libbpf_num_possible_cpus();
	for (int i = 0; i < N_MAPS; i++)
		dp->maps[i] = -1;
	for (int v = 0; v < N_VARIANTS; v++)
		dp->programs[v].fd = -1;
	sockets_init(dp);
	local_init(dp);
	return dp;
}

void dp_close(struct datapath *dp)
{
	if (!dp)
		return;
	clients_close(dp);
	local_close(dp);
	sockets_close(dp);
	connections_close(dp);
	interfaces_close(dp);
	programs_close(dp->programs);
	listeners_close(dp);
	maps_close(dp);
	clean_close(&dp->notes);
	clean_close(&dp->lock);
	free(dp);
}

static int lock_and_open(struct datapath *dp)
{
	int err;

	dp->lock = pins_lock(dp->pins);
	if (dp->lock < 0)
		return dp->lock;
	features_probe(dp);
	if (!dp->has.xdp_link)
		return err_r(-EOPNOTSUPP, "this kernel cannot attach XDP programs by link; shunt needs Linux 5.10 or newer");
	err = maps_open(dp);
	if (err)
		return err;
	dp->notes = notes_open(dp->pins, true);
	if (dp->notes < 0)
		return err_r(dp->notes, "cannot make %s/notes: %s", dp->pins, strerror(-dp->notes));
	return listeners_adopt(dp);
}

int dp_open(const struct config *c, struct datapath **out, bool *adopted)
{
	_cleanup_(dp_closep) struct datapath *dp = NULL;
	int err;

	load_quiet_libbpf();
	err = pins_prepare(c->pins);
	if (err)
		return err;
	dp = datapath_new(c);
	if (!dp)
		return -ENOMEM;
	if (dp->n_cpus < 0)
		return err_r(dp->n_cpus, "cannot read the number of CPUs from /sys/devices/system/cpu/possible");
	err = lock_and_open(dp);
	if (err)
		return err;
	*adopted = dp->adopted;
	*out = TAKE_PTR(dp);
	return 0;
}

int dp_configure(struct datapath *dp, const struct config *c, bool any_port)
{
	struct program fresh[N_VARIANTS];
	bool all_moved;
	int err;

	err = programs_load(dp, c, any_port, fresh);
	if (err)
		return err;
	programs_swap(dp, variants_needed(c), fresh);
	err = interfaces_configure(dp, c, &all_moved);
	programs_close(fresh);
	if (err)
		return err;
	if (all_moved)
		programs_remove_old_pins(dp);
	host_configure(dp, c->backend.loopback);
	err = local_configure(dp, c, any_port);
	return err ? err : sockets_configure(dp, c, any_port);
}

static void undo_notes(const char *pins)
{
	_cleanup_close_ int notes = notes_open(pins, false);

	if (notes < 0)
		return;
	host_restore(notes);
	loopback_remove(notes);
}

static int remove_but_meta(void *arg, const char *pins, const char *name)
{
	(void)arg;
	return strcmp(name, dp_map_names[MAP_META]) ? pin_remove(pins, name) : 0;
}

/* Whatever is pinned, since another version may have other maps; but only where a version says that it is ours. */
static int remove_pins(const char *pins)
{
	int err = 0;

	if (pins_are_ours(pins))
		err = pins_each(pins, "", remove_but_meta, NULL);
	for (int i = 0; i < N_MAPS && !err; i++)
		err = pin_remove(pins, dp_map_names[i]);
	if (!err && rmdir(pins))
		err = -errno;
	return err;
}

int dp_unload(const char *pins)
{
	_cleanup_close_ int lock = -1;
	int err;

	load_quiet_libbpf();
	if (access(pins, F_OK) || !pins_on_bpffs(pins))
		return 0;
	lock = pins_lock(pins);
	if (lock < 0)
		return lock;
	if (pins_are_ours(pins)) {
		links_remove(pins);
		undo_notes(pins);
	}
	err = remove_pins(pins);
	return err ? err_r(err, "cannot remove all of %s: %s", pins, strerror(-err)) : 0;
}

/* ---- what is loaded ---- */

const struct limits *dp_limits(const struct datapath *dp)
{
	return &dp->limits;
}

int dp_program_fd(const struct datapath *dp, enum role role)
{
	const struct program *p = &dp->programs[variant_of(role)];

	if (role == ROLE_BACKEND && p->fd < 0)
		p = &dp->programs[VARIANT_BOTH];
	return p->fd < 0 ? -ENODEV : p->fd;
}

struct shunt_service *dp_services(struct datapath *dp)
{
	return dp->mapped[MAP_SERVICES];
}

__u64 *dp_slots(struct datapath *dp)
{
	return dp->mapped[MAP_SLOTS];
}

struct shunt_member *dp_members(struct datapath *dp)
{
	return dp->mapped[MAP_MEMBERS];
}

struct shunt_backend *dp_backends(struct datapath *dp)
{
	return dp->mapped[MAP_BACKENDS];
}

uint64_t dp_secret(const struct datapath *dp)
{
	return dp->secret;
}

struct shunt_alternates *dp_alternates(struct datapath *dp)
{
	return dp->mapped[MAP_ALTERNATES];
}

__u64 *dp_turns(struct datapath *dp)
{
	return dp->mapped[MAP_TURNS];
}

__u64 *dp_refused(struct datapath *dp)
{
	return dp->mapped[MAP_REFUSED];
}

struct shunt_connections *dp_connections(struct datapath *dp)
{
	return dp->mapped[MAP_CONNECTIONS];
}

struct shunt_flow_bucket *dp_flows(struct datapath *dp)
{
	return dp->mapped[MAP_FLOWS];
}

int dp_service_info_set(struct datapath *dp, uint32_t service, const struct shunt_service_info *info)
{
	return bpf_map_update_elem(dp->maps[MAP_SERVICE_INFO], &service, info, BPF_ANY) ? -errno : 0;
}

int dp_service_info_get(struct datapath *dp, uint32_t service, struct shunt_service_info *out)
{
	return bpf_map_lookup_elem(dp->maps[MAP_SERVICE_INFO], &service, out) ? -errno : 0;
}
