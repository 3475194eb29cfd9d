/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps: made and pinned by libbpf from their declarations, sized by the configuration's limits, or taken up as
 * they are. `meta` gets its version last: without it the rest was made by a process that died half-way, and since
 * nothing is attached before it is there, the rest is removed and made again.
 */
#include "datapath/internal.h"
#include "datapath/skeleton.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>

#define REMEDY "; run `shuntd --unload` and start shuntd again (nothing is forwarded in between)"

const char *const dp_map_names[N_MAPS] = {
#define X(id, name) [MAP_##id] = #name,
	DP_MAPS(X)
#undef X
};

static int print_debug(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char text[900];

	(void)level;
	vsnprintf(text, sizeof(text), fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("%s", text);
	return 0;
}

void load_quiet_libbpf(void)
{
	libbpf_set_print(print_debug);
}

/* Each listener may need a mark for its address; four times the room keeps searches short (abi.h). */
static uint32_t log2_homes(const struct limits *l)
{
	uint32_t log2 = 1;

	while (1u << log2 < 8 * l->listeners)
		log2++;
	return log2;
}

/* 0: as declared */
static uint32_t map_limit(enum dp_map map, const struct limits *l)
{
	switch (map) {
	case MAP_LISTENERS:
		return places_of(log2_homes(l));
	case MAP_SERVICES:
	case MAP_SERVICE_INFO:
	case MAP_ICMP_BUCKETS:
	case MAP_HOP_BUCKETS:
	case MAP_FLOW_COUNTERS:
	case MAP_TURNS_TAKEN:
	case MAP_REFUSED:
		return l->services;
	case MAP_MEMBERS:
	case MAP_MEMBER_COUNTERS:
		return l->members;
	case MAP_BACKENDS:
		return l->backends;
	case MAP_QUIC_SERVERS:
	case MAP_CONNECTIONS:
		return 2 * l->members; /* in a change those of before and after stand side by side */
	case MAP_SLOTS:
	case MAP_ALTERNATES:
		return l->slots;
	case MAP_PEERS:
		return l->connections;
	case MAP_TURNS:
		return l->slots / SHUNT_TURNS;
	case MAP_FLOWS:
		return l->flows / SHUNT_FLOW_WAYS;
	default:
		return 0;
	}
}

/* Before 5.11 maps count against the limit of locked memory. */
static void raise_memlock(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &all))
		log_debug("cannot raise the limit of locked memory: %s", strerror(errno));
}

static int map_info(int fd, struct bpf_map_info *info)
{
	__u32 len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &len) ? -errno : 0;
}

/* 0: nothing complete is pinned. */
static uint32_t pinned_version(const char *pins)
{
	_cleanup_close_ int fd = pin_get(pins, dp_map_names[MAP_META]);
	struct shunt_meta meta = {};
	struct bpf_map_info info;
	__u32 key = 0;

	if (fd < 0 || map_info(fd, &info) || info.value_size != sizeof(meta))
		return 0;
	return bpf_map_lookup_elem(fd, &key, &meta) ? 0 : meta.abi_version;
}

/* The last step of a first load: from here on the pins are complete. Later ones only read the secret. */
static int sign_pins(struct datapath *dp)
{
	struct shunt_meta meta = { .abi_version = SHUNT_ABI_VERSION };
	const __u32 key = 0;

	if (dp->adopted && bpf_map_lookup_elem(dp->maps[MAP_META], &key, &meta))
		return -errno;
	if (!dp->adopted && getrandom(&meta.secret, sizeof(meta.secret), 0) != sizeof(meta.secret))
		return err_r(-EIO, "the kernel gave no random number for the flow cache");
	dp->secret = meta.secret;
	return bpf_map_update_elem(dp->maps[MAP_META], &key, &meta, BPF_ANY) ? -errno : 0;
}

static bool same_kind(const struct bpf_map *map, const struct bpf_map_info *info)
{
	return info->type == bpf_map__type(map) && info->key_size == bpf_map__key_size(map) &&
	       info->value_size == bpf_map__value_size(map) && info->map_flags == bpf_map__map_flags(map);
}

static int check_pinned(const char *pins, const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);
	_cleanup_close_ int fd = pin_get(pins, name);
	struct bpf_map_info info;

	if (fd < 0 || map_info(fd, &info))
		return err_r(-ENOENT, "%s/%s is missing or no map" REMEDY, pins, name);
	if (!same_kind(map, &info))
		return err_r(-EPROTO, "%s/%s has another layout than this shuntd needs" REMEDY, pins, name);
	if (info.max_entries != bpf_map__max_entries(map))
		return err_r(-EINVAL,
			     "%s/%s has room for %u entries, but the limits in the configuration ask for %u: sizes are "
			     "fixed while the map is loaded" REMEDY,
			     pins, name, info.max_entries, bpf_map__max_entries(map));
	return 0;
}

static int check_all_pinned(const char *pins, const struct bpf_object *obj)
{
	struct bpf_map *map;
	int err;

	for (int i = 0; i < N_MAPS; i++) {
		map = bpf_object__find_map_by_name(obj, dp_map_names[i]);
		err = check_pinned(pins, map);
		if (err)
			return err;
	}
	return 0;
}

static int found(void *arg, const char *pins, const char *name)
{
	(void)arg;
	(void)pins;
	(void)name;
	return 1;
}

static int remove_half_made(const char *pins)
{
	int err;

	if (pins_each(pins, "link_", found, NULL))
		return err_r(-EPROTO, "%s has programs attached but no version in %s/%s" REMEDY, pins, pins,
			     dp_map_names[MAP_META]);
	for (int i = 0; i < N_MAPS; i++) {
		err = pin_remove(pins, dp_map_names[i]);
		if (err)
			return err;
	}
	return 0;
}

/* Decides whether pins are adopted; refuses those of others. */
static int look_at_pins(struct datapath *dp, const struct bpf_object *obj)
{
	uint32_t version = pinned_version(dp->pins);

	dp->adopted = version != 0;
	if (!version)
		return remove_half_made(dp->pins);
	if (version != SHUNT_ABI_VERSION)
		return err_r(-EPROTO, "%s holds maps of version %u, and this shuntd works with version %u" REMEDY, dp->pins,
			     version, SHUNT_ABI_VERSION);
	return check_all_pinned(dp->pins, obj);
}

static int prepare_object(struct datapath *dp, struct bpf_object *obj)
{
	struct bpf_program *prog;
	char path[PIN_PATH];
	int err;

	bpf_object__for_each_program(prog, obj)
		bpf_program__set_autoload(prog, false);
	for (int i = 0; i < N_MAPS; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(obj, dp_map_names[i]);
		uint32_t limit = map_limit(i, &dp->limits);

		if (!map)
			return err_r(-EPROTO, "the programs have no map '%s'", dp_map_names[i]);
		if (limit)
			bpf_map__set_max_entries(map, limit);
		err = pin_path(dp->pins, dp_map_names[i], path);
		if (!err)
			err = bpf_map__set_pin_path(map, path);
		if (err)
			return err;
	}
	return 0;
}

static int map_memory(struct datapath *dp, enum dp_map i, const struct bpf_map *map)
{
	size_t page = sysconf(_SC_PAGESIZE), size = (size_t)bpf_map__max_entries(map) * bpf_map__value_size(map);
	void *p;

	if (!(bpf_map__map_flags(map) & BPF_F_MMAPABLE))
		return 0;
	size = (size + page - 1) & ~(page - 1);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, dp->maps[i], 0);
	if (p == MAP_FAILED) {
		int err = -errno;

		return err_r(err, "cannot map the memory of %s: %s", dp_map_names[i], strerror(-err));
	}
	dp->mapped[i] = p;
	dp->mapped_size[i] = size;
	return 0;
}

static int take_maps(struct datapath *dp, const struct bpf_object *obj)
{
	int err = 0;

	for (int i = 0; i < N_MAPS && !err; i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(obj, dp_map_names[i]);

		dp->maps[i] = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
		err = dp->maps[i] < 0 ? -errno : map_memory(dp, i, map);
	}
	return err;
}

int maps_open(struct datapath *dp)
{
	_cleanup_(skeleton_close) struct skeleton skel = {};
	int err;

	dp->log2_homes = log2_homes(&dp->limits);
	err = skeleton_edge(&skel);
	if (err)
		return err_r(err, "cannot read the built-in programs: %s", strerror(-err));
	raise_memlock();
	err = prepare_object(dp, skel.obj);
	if (!err)
		err = look_at_pins(dp, skel.obj);
	if (err)
		return err;
	err = bpf_object__load(skel.obj); /* no program: the maps alone */
	if (err)
		return err_r(err, "cannot make the maps in %s: %s%s", dp->pins, strerror(-err),
			     err == -EPERM ? " (shuntd needs CAP_BPF and CAP_NET_ADMIN)" :
			     err == -ENOMEM ? " (lower the limits in the configuration)" : "");
	err = take_maps(dp, skel.obj);
	return err ? err : sign_pins(dp);
}

void maps_close(struct datapath *dp)
{
	for (int i = 0; i < N_MAPS; i++) {
		if (dp->mapped[i])
			munmap(dp->mapped[i], dp->mapped_size[i]);
		clean_close(&dp->maps[i]);
	}
}
