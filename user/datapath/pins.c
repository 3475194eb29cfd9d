/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The directory of pins: bpffs under it, one daemon in it, and the names there. */
#include "datapath/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#define BPFFS "/sys/fs/bpf"
#define LOCK_WAIT_MS 3000 /* a daemon that was just killed still holds its descriptors for a moment */

bool pins_on_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && path[len] == '/' && path[len + 1];
}

/* Cuts path to the part of it that exists. */
static void cut_to_existing(char *path)
{
	while (access(path, F_OK)) {
		char *slash = strrchr(path, '/');

		if (!slash || slash == path) {
			strcpy(path, "/");
			return;
		}
		*slash = '\0';
	}
}

static int mount_bpffs(const char *pins)
{
	if (!is_below(pins, BPFFS))
		return err_r(-EINVAL, "pins: %s is not on a BPF filesystem; use a directory below " BPFFS, pins);
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700")) {
		int err = -errno;

		return err_r(err, "pins: cannot mount a BPF filesystem at " BPFFS ": %s", strerror(-err));
	}
	log_info("mounted a BPF filesystem at " BPFFS);
	return 0;
}

static int make_directories(const char *pins)
{
	char path[PIN_PATH];

	strcpy(path, pins);
	for (char *p = path + 1;; p++) {
		char end = *p;

		if (end && end != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) && errno != EEXIST) {
			int err = -errno;

			return err_r(err, "pins: cannot make %s: %s%s", path, strerror(-err),
				     strchr(path, '.') ? " (a name on a BPF filesystem may have no '.')" : "");
		}
		if (!end)
			return 0;
		*p = '/';
	}
}

int pins_prepare(const char *pins)
{
	char path[PIN_PATH];
	int err;

	/* leaves room for the names in it */
	if (pins[0] != '/' || strlen(pins) >= sizeof(path) - 64)
		return err_r(-EINVAL, "pins: '%s' must be an absolute path of at most %zu bytes", pins, sizeof(path) - 64);
	strcpy(path, pins);
	cut_to_existing(path);
	if (!pins_on_bpffs(path)) {
		err = mount_bpffs(pins);
		if (err)
			return err;
	}
	return make_directories(pins);
}

int pins_lock(const char *pins)
{
	_cleanup_close_ int fd = open(pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	if (fd < 0)
		return -errno;
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += 20) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (waited >= LOCK_WAIT_MS)
			return err_r(-EBUSY, "another shuntd is running with the pins in %s; stop it first, or use other pins",
				     pins);
		nanosleep(&pause, NULL);
	}
	return TAKE_FD(fd);
}

/* A directory where a shuntd, of whatever version, once finished its first load. */
bool pins_are_ours(const char *pins)
{
	_cleanup_close_ int fd = pin_get(pins, dp_map_names[MAP_META]);

	return fd >= 0;
}

int pin_path(const char *pins, const char *name, char out[PIN_PATH])
{
	int len = snprintf(out, PIN_PATH, "%s/%s", pins, name);

	return len < PIN_PATH ? 0 : -ENAMETOOLONG;
}

int pin_get(const char *pins, const char *name)
{
	char path[PIN_PATH];
	int fd, err;

	err = pin_path(pins, name, path);
	if (err)
		return err;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int pin_remove(const char *pins, const char *name)
{
	char path[PIN_PATH];
	int err;

	err = pin_path(pins, name, path);
	if (err)
		return err;
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

/* Names on bpffs may have no '.', names of interfaces no ':'. */
void link_pin_name(const char *ifname, char out[IFNAMSIZ + 8])
{
	snprintf(out, IFNAMSIZ + 8, "link_%s", ifname);
	for (char *p = out; *p; p++)
		if (*p == '.')
			*p = ':';
}

void link_pin_ifname(const char *pin, char out[IFNAMSIZ])
{
	snprintf(out, IFNAMSIZ, "%s", pin + strlen("link_"));
	for (char *p = out; *p; p++)
		if (*p == ':')
			*p = '.';
}

int pins_each(const char *pins, const char *prefix, int (*fn)(void *arg, const char *pins, const char *name), void *arg)
{
	struct dirent **names;
	int n, err = 0;

	/* the whole list first: fn may remove what it gets */
	n = scandir(pins, &names, NULL, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (!err && names[i]->d_name[0] != '.' && !strncmp(names[i]->d_name, prefix, strlen(prefix)))
			err = fn(arg, pins, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return err;
}
