/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "model/copy.h"

#define DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* ---- the directory to attach to ---- */

static bool is_cgroup2(int dir)
{
	struct statfs fs;

	return !fstatfs(dir, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Every cgroup has this file, but for the first. */
static bool is_true_root(int dir)
{
	return faccessat(dir, "cgroup.type", F_OK, 0) && errno == ENOENT;
}

static void clean_mounts(FILE **mounts)
{
	if (*mounts)
		endmntent(*mounts);
}

/* A descriptor, or -ENOENT. A mount of the true root is taken before those of parts. */
static int open_mounted(char where[PATH_MAX])
{
	_cleanup_(clean_mounts) FILE *mounts = setmntent("/proc/self/mounts", "re");
	_cleanup_close_ int found = -1;
	const struct mntent *m;

	while (mounts && (m = getmntent(mounts))) {
		_cleanup_close_ int dir = strcmp(m->mnt_type, "cgroup2") ? -1 : open(m->mnt_dir, DIRECTORY);

		if (dir < 0 || !is_cgroup2(dir) || (found >= 0 && !is_true_root(dir)))
			continue;
		if (found >= 0)
			close(found);
		found = TAKE_FD(dir);
		snprintf(where, PATH_MAX, "%s", m->mnt_dir);
		if (is_true_root(found))
			break;
	}
	return found < 0 ? -ENOENT : TAKE_FD(found);
}

/* Mounted nowhere: nothing stays behind, and nobody is surprised by it. */
static int open_unmounted(void)
{
	_cleanup_close_ int fs = fsopen("cgroup2", FSOPEN_CLOEXEC);
	_cleanup_close_ int mount = -1;
	int dir;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	mount = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mount < 0)
		return -errno;
	dir = openat(mount, ".", DIRECTORY);
	return dir < 0 ? -errno : dir;
}

static int open_elsewhere(const char *path, char where[PATH_MAX])
{
	int dir = open_mounted(where);

	if (dir >= 0) {
		log_info("cgroup: %s is not of cgroup v2: taking %s", path, where);
		return dir;
	}
	dir = open_unmounted();
	if (dir < 0)
		return err_r(dir, "cgroup: %s is not of cgroup v2, which is mounted nowhere and cannot be mounted "
			     "(%s): run `mount -t cgroup2 none DIRECTORY` and name that directory", path,
			     strerror(-dir));
	snprintf(where, PATH_MAX, "the root that this process sees");
	log_info("cgroup: %s is not of cgroup v2, which is mounted nowhere: using it without a mount", path);
	return dir;
}

int cgroup_open(const char *path, int *out, char problem[CGROUP_PROBLEM])
{
	_cleanup_close_ int dir = open(path, DIRECTORY);
	char where[PATH_MAX];

	if (dir < 0)
		return err_r(-errno, "cgroup: %s cannot be opened (%s): name a directory of cgroup v2, such as "
			     "/sys/fs/cgroup", path, strerror(errno));
	snprintf(where, sizeof(where), "%s", path);
	if (!is_cgroup2(dir)) {
		close(TAKE_FD(dir));
		dir = open_elsewhere(path, where);
		if (dir < 0)
			return dir;
	}
	problem[0] = '\0';
	if (!is_true_root(dir))
		snprintf(problem, CGROUP_PROBLEM, "%.120s is not the root of cgroup v2: only processes in it are "
			 "balanced; in a container give it the host's /sys/fs/cgroup", where);
	*out = TAKE_FD(dir);
	return 0;
}

/* ---- numbers and levels ---- */

/* Of mount's roots one cannot go up further. */
static bool is_root_of_mount(int dir)
{
	struct statx s;

	return statx(dir, "", AT_EMPTY_PATH, 0, &s) || s.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static int level_of_root(int root, unsigned *level)
{
	_cleanup_close_ int dir = openat(root, ".", DIRECTORY);

	if (dir < 0)
		return -errno;
	for (*level = 0; !is_true_root(dir); (*level)++) {
		int up = is_root_of_mount(dir) ? -1 : openat(dir, "..", DIRECTORY);

		if (up < 0)
			return err_r(-EXDEV, "cgroups cannot be told apart here: how far this one is below the root of "
				     "cgroup v2 is not to be seen; mount the host's /sys/fs/cgroup and name that as "
				     "`cgroup`");
		close(dir);
		dir = up;
	}
	return 0;
}

/*
 * The next part of a path: *part begins it and is moved behind it. Returns its length, 0 at the end, or -EINVAL for one
 * that leads up.
 */
static int next_part(const char **part)
{
	size_t length;

	*part += strspn(*part, "/");
	length = strcspn(*part, "/");
	if (length == 1 && **part == '.') {
		(*part)++;
		return next_part(part);
	}
	if (length > NAME_MAX || (length == 2 && !strncmp(*part, "..", 2)))
		return -EINVAL;
	*part += length;
	return length;
}

/* Calls fn for each part of the path, with the path up to there, without a slash before it; ends at what is not 0. */
static int each_prefix(const char *path, int (*fn)(void *arg, const char *prefix), void *arg)
{
	char prefix[PATH_MAX] = "";
	size_t at = 0;
	int length, err = 0;

	while (!err && (length = next_part(&path))) {
		if (length < 0 || at + length + 2 > sizeof(prefix))
			return -EINVAL;
		at += snprintf(prefix + at, sizeof(prefix) - at, "%s%.*s", at ? "/" : "", length, path - length);
		err = fn(arg, prefix);
	}
	return err;
}

struct walk {
	int root;
	unsigned depth;
	ino_t ino;
};

/* On 64-bit kernels the number of a cgroup is that of its directory's inode. */
_Static_assert(sizeof(ino_t) == sizeof(uint64_t), "numbers of cgroups have 64 bits");

static int step(void *arg, const char *prefix)
{
	struct walk *w = arg;
	struct stat s;

	if (fstatat(w->root, *prefix ? prefix : ".", &s, AT_SYMLINK_NOFOLLOW))
		return errno == ENOTDIR || errno == ENODEV ? -ENOENT : -errno;
	if (!S_ISDIR(s.st_mode))
		return -ENOENT;
	w->ino = s.st_ino;
	w->depth += *prefix != '\0';
	return 0;
}

static int look(int root, const char *path, struct walk *w)
{
	int err;

	*w = (struct walk){ .root = root };
	err = step(w, "");
	return err ? err : each_prefix(path, step, w);
}

int cgroup_id(int root, const char *path, uint64_t *id, unsigned *level)
{
	unsigned above;
	struct walk w;
	int err = look(root, path, &w);

	if (err == -EINVAL)
		return err_r(err, "%s is no path of a cgroup: give it as in /proc/PID/cgroup, such as "
			     "/system.slice/web.service", path);
	if (!err)
		err = level_of_root(root, &above);
	if (err)
		return err;
	*id = w.ino;
	*level = above + w.depth;
	return 0;
}

/* ---- watching ---- */

struct cgroup_watch {
	struct event_base *base;
	int root, notify; /* notify: -1 while nothing is watched */
	struct event *event;
	void (*changed)(void *arg);
	void *arg;
	struct texts paths;
	ino_t *inos; /* of the paths, as last seen; 0: there is no such cgroup */
};

static ino_t number_of(const struct cgroup_watch *w, size_t i)
{
	struct walk walk;

	return look(w->root, w->paths.list[i], &walk) ? 0 : walk.ino;
}

static int watch_directory(void *arg, const char *prefix)
{
	const struct cgroup_watch *w = arg;
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", w->root, prefix);
	if (inotify_add_watch(w->notify, path, IN_CREATE | IN_DELETE | IN_ONLYDIR) >= 0)
		return 0;
	return errno == ENOTDIR || errno == ENODEV ? -ENOENT : -errno;
}

/*
 * Watches what there is of each path, from above: what comes below a directory before it is watched is met on the way
 * down, what comes later is told.
 */
static int watch_all(struct cgroup_watch *w)
{
	int err = watch_directory(w, "");

	for (size_t i = 0; i < w->paths.n && (!err || err == -ENOENT); i++)
		err = each_prefix(w->paths.list[i], watch_directory, w);
	if (!err || err == -ENOENT)
		return 0;
	return err_r(err, "cgroups cannot be watched (%s): those that come or go are noticed late; look at "
		     "fs.inotify.max_user_watches and max_user_instances", strerror(-err));
}

static bool compare_with_kernel(struct cgroup_watch *w)
{
	bool differs = false;

	for (size_t i = 0; i < w->paths.n; i++) {
		ino_t now = number_of(w, i);

		differs |= now != w->inos[i];
		w->inos[i] = now;
	}
	return differs;
}

/* Most of what is told is of cgroups that nobody asked for. */
static void on_notify(evutil_socket_t fd, short what, void *arg)
{
	struct cgroup_watch *w = arg;
	char told[4096];

	(void)what;
	while (read(fd, told, sizeof(told)) > 0)
		;
	watch_all(w);
	if (compare_with_kernel(w))
		w->changed(w->arg);
}

static void unwatch(struct cgroup_watch *w)
{
	if (w->event)
		event_free(w->event);
	if (w->notify >= 0)
		close(w->notify);
	w->event = NULL;
	w->notify = -1;
	texts_clear(&w->paths);
	free(w->inos);
	w->inos = NULL;
}

int cgroup_watch_new(struct event_base *base, int root, void (*changed)(void *arg), void *arg,
		     struct cgroup_watch **out)
{
	struct cgroup_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct cgroup_watch){ .base = base, .root = root, .notify = -1, .changed = changed, .arg = arg };
	*out = w;
	return 0;
}

static int follow(struct cgroup_watch *w)
{
	w->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->notify < 0)
		return err_r(-errno, "cgroups cannot be watched (%s): those that come or go are noticed late; look at "
			     "fs.inotify.max_user_instances", strerror(errno));
	w->event = event_new(w->base, w->notify, EV_READ | EV_PERSIST, on_notify, w);
	return w->event && !event_add(w->event, NULL) ? watch_all(w) : -ENOMEM;
}

int cgroup_watch_set(struct cgroup_watch *w, char *const *paths, size_t n)
{
	const struct texts given = { (char **)paths, n };
	int err;

	unwatch(w);
	if (!n)
		return 0;
	w->inos = calloc(n, sizeof(*w->inos));
	err = w->inos ? texts_copy(&w->paths, &given) : -ENOMEM;
	if (!err)
		err = follow(w);
	if (err)
		unwatch(w);
	else
		compare_with_kernel(w);
	return err;
}

void cgroup_watch_free(struct cgroup_watch *w)
{
	if (w)
		unwatch(w);
	free(w);
}
