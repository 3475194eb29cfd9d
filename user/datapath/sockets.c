/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The socket programs on the root of cgroup v2, by links that are pinned as hook_NAME, beside whatever others have
 * attached there. A link that is there is kept and its program replaced in one step.
 */
#include "datapath/internal.h"
#include "datapath/skeleton.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/cgroup.h"
#include "datapath/sever.h"

#define HOOK_NAME_MAX 32

static const struct {
	const char *name;
	enum bpf_attach_type type;
} hooks[] = {
#define X(name, type) { #name, type },
	DP_HOOKS(X)
#undef X
};
_Static_assert(ARRAY_SIZE(hooks) == N_HOOKS, "one for each");

static void hook_pin(size_t i, char name[HOOK_NAME_MAX])
{
	snprintf(name, HOOK_NAME_MAX, "hook_%s", hooks[i].name);
}

void sockets_init(struct datapath *dp)
{
	dp->sockets.cgroup = dp->connections.list = dp->connections.ending = -1;
	for (size_t i = 0; i < N_HOOKS; i++)
		dp->sockets.programs[i] = dp->sockets.links[i] = -1;
}

static void close_programs(int programs[N_HOOKS])
{
	for (size_t i = 0; i < N_HOOKS; i++) {
		clean_close(&programs[i]);
		programs[i] = -1;
	}
}

void sockets_close(struct datapath *dp)
{
	struct sockets *s = &dp->sockets;

	for (size_t i = 0; i < N_HOOKS; i++) {
		clean_close(&s->links[i]);
		s->links[i] = -1;
	}
	close_programs(s->programs);
	clean_close(&s->cgroup);
	s->cgroup = -1;
	s->loaded = false;
}

/* ---- loading ---- */

static bool has_clients(const struct config *c)
{
	bool has = c->except.n;

	for (size_t i = 0; i < c->n_services; i++)
		has |= c->services[i].clients.cgroups.n || c->services[i].clients.namespaces.n;
	return has;
}

/* Constants of the programs: what services need, and at which levels cgroups are named. */
static void fill(struct shunt_settings *s, const struct datapath *dp, const struct config *c, bool any_port)
{
	settings_fill(s, dp, c, any_port);
	if (dp->has.set_retval)
		s->features |= SHUNT_FEATURE_RETVAL;
	if (has_clients(c))
		s->features |= SHUNT_FEATURE_CLIENTS;
	s->cgroup_levels = clients_levels(dp, &c->except);
	for (size_t i = 0; i < c->n_services; i++)
		s->cgroup_levels |= clients_levels(dp, &c->services[i].clients.cgroups);
}

static int take(const struct bpf_program *prog, int *fd, uint32_t *id)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return -errno;
	*id = info.id;
	*fd = fcntl(bpf_program__fd(prog), F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

static int load(struct datapath *dp, const struct shunt_settings *settings)
{
	_cleanup_(skeleton_close) struct skeleton skel = {};
	struct sockets *s = &dp->sockets;
	int programs[N_HOOKS], err = skeleton_socket(&skel);
	char name[HOOK_NAME_MAX];
	uint32_t ids[N_HOOKS];

	if (err)
		return err_r(err, "cannot read the built-in programs: %s", strerror(-err));
	*skel.settings = *settings;
	err = object_load(dp, &skel);
	if (err)
		return err;
	memset(programs, 0xff, sizeof(programs)); /* -1 */
	for (size_t i = 0; i < N_HOOKS && !err; i++) {
		snprintf(name, sizeof(name), "shunt_%s", hooks[i].name);
		err = take(bpf_object__find_program_by_name(skel.obj, name), &programs[i], &ids[i]);
	}
	if (err) {
		close_programs(programs);
		return err;
	}
	close_programs(s->programs);
	memcpy(s->programs, programs, sizeof(programs));
	memcpy(s->ids, ids, sizeof(ids));
	s->settings = *settings;
	s->loaded = true;
	return 0;
}

/* ---- attaching ---- */

/* What runs there, and on which cgroup. */
static int link_info(int link, uint64_t *cgroup, uint32_t *prog)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(link, &info, &len))
		return -errno;
	*cgroup = info.cgroup.cgroup_id;
	*prog = info.prog_id;
	return 0;
}

static void detach(struct datapath *dp, size_t i)
{
	struct sockets *s = &dp->sockets;
	char pin[HOOK_NAME_MAX];

	hook_pin(i, pin);
	if (s->links[i] < 0)
		s->links[i] = pin_get(dp->pins, pin);
	if (s->links[i] >= 0) {
		bpf_link_detach(s->links[i]);
		close(s->links[i]);
		s->links[i] = -1;
	}
	pin_remove(dp->pins, pin);
}

static int create(struct datapath *dp, size_t i)
{
	struct sockets *s = &dp->sockets;
	char pin[HOOK_NAME_MAX], path[PIN_PATH];
	_cleanup_close_ int link = -1;
	int err;

	hook_pin(i, pin);
	err = pin_path(dp->pins, pin, path);
	if (err)
		return err;
	link = bpf_link_create(s->programs[i], s->cgroup, hooks[i].type, NULL);
	if (link < 0) {
		err = -errno;
		return err_r(err, "cgroup: cannot attach the program shunt_%s to %s: %s%s", hooks[i].name, s->where,
			     strerror(-err), err == -EPERM ? " (another program is attached there for itself alone, without "
							     "BPF_F_ALLOW_MULTI; `bpftool cgroup tree` shows it)" : "");
	}
	if (bpf_obj_pin(link, path))
		return -errno;
	s->links[i] = TAKE_FD(link);
	return 0;
}

/* The link that is there, if it is on our cgroup; what is on another goes. */
static void review(struct datapath *dp, size_t i, uint64_t cgroup)
{
	struct sockets *s = &dp->sockets;
	char pin[HOOK_NAME_MAX];
	uint64_t on = 0;
	uint32_t prog;

	hook_pin(i, pin);
	if (s->links[i] < 0)
		s->links[i] = pin_get(dp->pins, pin);
	if (s->links[i] >= 0 && (link_info(s->links[i], &on, &prog) || on != cgroup))
		detach(dp, i);
}

static int attach(struct datapath *dp, size_t i, uint64_t cgroup)
{
	struct sockets *s = &dp->sockets;
	uint32_t prog = 0;
	uint64_t on;

	review(dp, i, cgroup);
	if (s->links[i] < 0)
		return create(dp, i);
	if (!link_info(s->links[i], &on, &prog) && prog == s->ids[i])
		return 0;
	return bpf_link_update(s->links[i], s->programs[i], NULL) ? -errno : 0;
}

static int attach_all(struct datapath *dp)
{
	struct stat st;
	int err = fstat(dp->sockets.cgroup, &st) ? -errno : 0;

	for (size_t i = 0; i < N_HOOKS && !err; i++)
		err = attach(dp, i, st.st_ino); /* a cgroup's number */
	return err;
}

/* ---- all of it ---- */

static bool is_attached(const struct datapath *dp)
{
	char pin[HOOK_NAME_MAX];
	_cleanup_close_ int link = -1;

	hook_pin(N_HOOKS - 1, pin); /* sock_release */
	link = pin_get(dp->pins, pin);
	return link >= 0;
}

static void turn_off(struct datapath *dp)
{
	bool was_on = is_attached(dp);

	for (size_t i = 0; i < N_HOOKS; i++)
		detach(dp, i);
	if (was_on)
		connections_forget(dp);
	sockets_close(dp);
	connections_remove(dp);
	dp->sockets.path[0] = '\0';
}

/* Where cgroup v2 was found, for who is told to look there. */
static void note_where(struct sockets *s)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", s->cgroup);
	n = readlink(link, s->where, sizeof(s->where) - 1);
	s->where[n > 0 ? n : 0] = '\0';
}

static int open_cgroup(struct sockets *s, const char *path)
{
	int cgroup, err;
	uint64_t id;

	if (s->cgroup >= 0 && !strcmp(s->path, path))
		return 0;
	err = cgroup_open(path, &cgroup, s->problem);
	if (err)
		return err;
	clean_close(&s->cgroup);
	s->cgroup = cgroup;
	if (cgroup_id(cgroup, "/", &id, &s->level))
		s->level = 0; /* a cgroup namespace hides it: clients are said to be unknown then */
	snprintf(s->path, sizeof(s->path), "%s", path);
	note_where(s);
	if (s->problem[0])
		log_warn("cgroup: %s", s->problem);
	return 0;
}

int sockets_configure(struct datapath *dp, const struct config *c, bool any_port)
{
	struct sockets *s = &dp->sockets;
	struct shunt_settings settings;
	int err;

	if (!c->cgroup) {
		turn_off(dp);
		return 0;
	}
	err = open_cgroup(s, c->cgroup);
	if (!err)
		err = connections_open(dp);
	if (err)
		return err;
	fill(&settings, dp, c, any_port);
	if (!s->loaded || memcmp(&s->settings, &settings, sizeof(settings))) {
		err = load(dp, &settings);
		if (err)
			return err;
	}
	err = dp_clients_set(dp, SHUNT_UNSET, &c->except, NULL);
	if (!err)
		err = attach_all(dp);
	clients_refresh(dp);
	connections_look_again(dp);
	return err;
}

/* ---- the daemon's own sockets ---- */

int dp_exempt(struct datapath *dp, int socket)
{
	const __u32 yes = 1;

	if (!dp->sockets.loaded)
		return 0;
	return bpf_map_update_elem(dp->maps[MAP_EXEMPT], &socket, &yes, BPF_ANY) ? -errno : 0;
}

bool dp_sockets(const struct datapath *dp, const char **cgroup, const char **problem)
{
	*cgroup = dp->sockets.where;
	*problem = dp->sockets.problem;
	return dp->sockets.loaded;
}

const char *dp_ending_problem(const struct datapath *dp)
{
	return dp->clients.sever ? sever_problem(dp->clients.sever) : "";
}
