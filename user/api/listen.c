/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/listen.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clean.h"
#include "base/log.h"

#define BACKLOG 128

static int unix_address(const char *path, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(out->sun_path))
		return err_r(-ENAMETOOLONG, "control.socket %s: the path is too long; %zu characters are possible", path,
			     sizeof(out->sun_path) - 1);
	strcpy(out->sun_path, path);
	return 0;
}

static void make_directory(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);

	if (copy)
		mkdir(dirname(copy), 0755); /* what is wrong with it, bind says better */
}

static bool answers(const struct sockaddr_un *at)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return false;
	/* EAGAIN: its queue is full, so there is somebody */
	return !connect(fd, (const struct sockaddr *)at, sizeof(*at)) || errno == EAGAIN;
}

static int remove_stale(const struct sockaddr_un *at)
{
	const char *path = at->sun_path;
	struct stat st;

	if (lstat(path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_r(-EEXIST, "control.socket %s is there already and is no socket; remove it or use another path",
			     path);
	if (answers(at))
		return err_r(-EADDRINUSE,
			     "another shuntd answers on %s; stop it, or use other control.socket and pins for this one",
			     path);
	if (unlink(path))
		return err_r(-errno, "cannot remove the old socket %s: %s", path, strerror(errno));
	return 0;
}

int listen_unix_access(const char *path, const char *group)
{
	const struct group *g = NULL;

	errno = 0;
	if (group && !(g = getgrnam(group)))
		return err_r(errno ? -errno : -ENOENT,
			     "control.group %s: there is no such group; make it (groupadd %s) or leave control.group out",
			     group, group);
	/* a running daemon has given up the right to hand files to other groups */
	if (chown(path, -1, g ? g->gr_gid : getegid()) || chmod(path, g ? 0660 : 0600))
		return err_r(-errno, "cannot give %s to the group of control.group: %s; restart shuntd (forwarding goes on)",
			     path, strerror(errno));
	return 0;
}

static int bind_private(const struct sockaddr_un *at)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t before;
	int err;

	if (fd < 0)
		return -errno;
	before = umask(0177); /* nobody gets in before group and mode are set */
	err = bind(fd, (const struct sockaddr *)at, sizeof(*at)) ? -errno : 0;
	umask(before);
	return err ? err : TAKE_FD(fd);
}

int listen_unix(struct event_base *base, const char *path, const char *group, struct evconnlistener **out)
{
	struct evconnlistener *listener;
	struct sockaddr_un at;
	int fd, err;

	err = unix_address(path, &at);
	if (err)
		return err;
	make_directory(path);
	err = remove_stale(&at);
	if (err)
		return err;
	fd = bind_private(&at);
	if (fd < 0)
		return err_r(fd, "cannot open the control socket %s: %s; give another control.socket", path, strerror(-fd));
	err = listen_unix_access(path, group);
	listener = err ? NULL : evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, BACKLOG, fd);
	if (!listener) {
		close(fd);
		unlink(path);
		return err ? err : -ENOMEM;
	}
	*out = listener;
	return 0;
}

int listen_tcp(struct event_base *base, const struct endpoint *at, struct evconnlistener **out)
{
	struct evconnlistener *listener;
	struct sockaddr_storage ss;
	socklen_t len = endpoint_sockaddr(at, &ss);
	char text[ENDPOINT_TEXT];

	errno = 0;
	listener = evconnlistener_new_bind(base, NULL, NULL,
					   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, BACKLOG,
					   (const struct sockaddr *)&ss, len);
	if (!listener)
		return err_r(errno ? -errno : -EINVAL, "metrics.listen %s: %s; give another address or port",
			     endpoint_format(at, text), strerror(errno));
	*out = listener;
	return 0;
}
