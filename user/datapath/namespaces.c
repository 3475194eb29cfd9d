/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/clean.h"

/* Nearly every namespace has a process in it; a thread may have left the others of its process. */
static const char *const places[] = { "/proc/self/ns/net", "/run/netns/*", "/proc/[0-9]*/ns/net",
				      "/proc/[0-9]*/task/[0-9]*/ns/net" };

static const struct namespace *find(const struct namespaces *s, ino_t ino)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->list[i].ino == ino)
			return &s->list[i];
	return NULL;
}

static int add(struct namespaces *s, ino_t ino, const char *path)
{
	struct namespace *list;

	if (s->n == s->room) {
		list = reallocarray(s->list, s->room * 2 + 16, sizeof(*list));
		if (!list)
			return -ENOMEM;
		s->list = list;
		s->room = s->room * 2 + 16;
	}
	s->list[s->n] = (struct namespace){ .ino = ino, .path = strdup(path) };
	return s->list[s->n].path ? (s->n++, 0) : -ENOMEM;
}

/* Files of namespaces are of one file system, in which a number means one file. */
static int search(struct namespaces *s, const char *place)
{
	struct stat here, there;
	glob_t paths = {};
	int err = 0;

	if (stat(places[0], &here))
		return -errno;
	if (glob(place, GLOB_NOSORT, NULL, &paths) == GLOB_NOSPACE)
		err = -ENOMEM;
	for (size_t i = 0; !err && i < paths.gl_pathc; i++)
		if (!stat(paths.gl_pathv[i], &there) && there.st_dev == here.st_dev && !find(s, there.st_ino))
			err = add(s, there.st_ino, paths.gl_pathv[i]);
	globfree(&paths);
	return err;
}

/* The process that showed it may have gone, and another one may have its number. */
static int open_same(const struct namespace *n)
{
	_cleanup_close_ int fd = namespace_open(n->path);
	struct stat s;

	if (fd < 0)
		return fd;
	return !fstat(fd, &s) && s.st_ino == n->ino ? TAKE_FD(fd) : -ENOENT;
}

int namespaces_open(struct namespaces *s, ino_t ino)
{
	const struct namespace *found = find(s, ino);
	int err = 0;

	for (; !found && !err && s->searched < ARRAY_SIZE(places); s->searched++) {
		err = search(s, places[s->searched]);
		found = find(s, ino);
	}
	if (!found)
		return err ? err : -ENOENT;
	return open_same(found);
}

void namespaces_clear(struct namespaces *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i].path);
	free(s->list);
	*s = (struct namespaces){};
}

int namespace_open(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be anything, a FIFO too */
	struct statfs fs;

	if (fd < 0)
		return -errno;
	return !fstatfs(fd, &fs) && fs.f_type == NSFS_MAGIC ? TAKE_FD(fd) : -EINVAL;
}

int namespace_enter(int fd)
{
	return setns(fd, CLONE_NEWNET) ? -errno : 0;
}
