/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clean.h"

/* Everything from fd. One byte more than is asked for has room: for the zero, or to see that there is more. */
static int read_all(int fd, size_t max, char **out, size_t *len)
{
	_cleanup_free_ char *text = NULL;
	size_t used = 0, room = 0;
	ssize_t n;

	do {
		if (used == room) {
			char *grown = realloc(text, room = room ? 2 * room : 16 << 10);

			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + used, room - used);
		if (n < 0 && errno != EINTR)
			return -errno;
		used += n > 0 ? n : 0;
	} while (n && used <= max);
	if (used > max)
		return -EFBIG;
	text[used] = '\0'; /* the last read had room, and gave nothing */
	*out = TAKE_PTR(text);
	*len = used;
	return 0;
}

int file_read(const char *path, size_t max, char **out, size_t *len)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : read_all(fd, max, out, len);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		data += n > 0 ? n : 0;
		len -= n > 0 ? n : 0;
	}
	return 0;
}

int file_write(const char *path, const char *data, size_t len, bool sync)
{
	_cleanup_close_ int fd = -1;
	char fresh[PATH_MAX];
	int err;

	if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data, len);
	if (!err && ((sync && fdatasync(fd)) || rename(fresh, path)))
		err = -errno;
	if (err)
		unlink(fresh);
	return err;
}

int file_first_line(const char *path, char **out)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	if (!file)
		return -errno;
	errno = 0;
	if (getline(&line, &room, file) <= 0)
		return errno ? -errno : -ENODATA;
	line[strcspn(line, "\r\n")] = '\0';
	if (!*line)
		return -ENODATA;
	*out = TAKE_PTR(line);
	return 0;
}

int directory_make(const char *path)
{
	char part[PATH_MAX];
	struct stat st;

	if (snprintf(part, sizeof(part), "%s/", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (stat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
