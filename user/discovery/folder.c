/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/hash.h"
#include "base/search.h"
#include "base/text.h"
#include "config/config.h"

#define FILE_MAX (16u << 20) /* bytes */

/* ---- the list of files ---- */

bool folder_is_ours(const char *name)
{
	static const char *const ends[] = { ".yaml", ".yml", ".json" };
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(ends) && name[0] != '.'; i++)
		if (len > strlen(ends[i]) && !strcmp(name + len - strlen(ends[i]), ends[i]))
			return true;
	return false;
}

static void file_clear(struct file *f)
{
	free(f->name);
	free(f->wrong);
	free(f->backends);
}

static void file_remove(struct folder *d, struct file *f)
{
	size_t at = f - d->files;

	file_clear(f);
	memmove(f, f + 1, (--d->n - at) * sizeof(*f));
}

static int compare_name(const void *file, const void *name)
{
	return strcmp(((const struct file *)file)->name, name);
}

/* Where the name is, or would be. */
static size_t file_place(const struct folder *d, const char *name)
{
	return search_place(name, d->files, d->n, sizeof(*d->files), compare_name);
}

struct file *folder_find(const struct folder *d, const char *name)
{
	size_t at = file_place(d, name);

	return at < d->n && !strcmp(d->files[at].name, name) ? &d->files[at] : NULL;
}

/* NULL: out of memory, or there are too many. */
static struct file *file_add(struct folder *d, const char *name)
{
	size_t at = file_place(d, name);
	struct file *grown = d->n < FOLDER_MAX ? reallocarray(d->files, d->n + 1, sizeof(*grown)) : NULL;
	char *copy = strdup(name);

	if (grown)
		d->files = grown;
	if (!grown || !copy) {
		free(copy);
		return NULL;
	}
	memmove(&grown[at + 1], &grown[at], (d->n++ - at) * sizeof(*grown));
	grown[at] = (struct file){ .name = copy };
	return &grown[at];
}

bool folder_note(struct folder *d, const char *name, enum news news)
{
	struct file *f = folder_find(d, name);

	if (!f && news == NEWS_READ)
		f = file_add(d, name);
	if (f)
		f->news = news;
	return f || news != NEWS_READ;
}

/* ---- reading one ---- */

struct complaint {
	char *first;
	unsigned n;
};

static void on_mistake(void *arg, const char *sentence)
{
	struct complaint *c = arg;

	if (!c->n++)
		text_set(&c->first, "%s", sentence);
}

static void take_content(struct file *f, const char *path, const char *text, size_t len)
{
	struct complaint c = {};
	struct backend *list;
	size_t n;
	int err = config_parse_backends(path, text, len, on_mistake, &c, &list, &n);

	if (err) {
		if (!c.n)
			text_set(&f->wrong, "%s: %s", path, strerror(-err));
		else if (c.n > 1)
			text_set(&f->wrong, "%s (and %u more)", c.first, c.n - 1);
		else
			f->wrong = TAKE_PTR(c.first);
		free(c.first);
		return;
	}
	free(f->backends);
	f->backends = list;
	f->n = n;
	f->hash = hash_bytes(text, len);
	f->right = true;
}

/* To be freed; NULL: f says why. Regular files only, and no more than FILE_MAX bytes of them. */
static char *read_whole(struct file *f, const char *path, int fd, size_t *len)
{
	size_t room = f->seen.st_size <= FILE_MAX ? (size_t)f->seen.st_size + 1 : FILE_MAX + 1;
	_cleanup_free_ char *text = malloc(room);
	ssize_t n;

	*len = 0;
	do {
		n = text ? read(fd, text + *len, room - *len) : -1;
		*len += n > 0 ? n : 0;
	} while (n > 0 && *len < room);
	f->unread = n < 0 || (*len == room && room <= FILE_MAX);
	if (n < 0)
		text_set(&f->wrong, "%s: it cannot be read: %s", path, strerror(text ? errno : ENOMEM));
	else if (*len > FILE_MAX)
		text_set(&f->wrong, "%s: it is larger than %u MiB; divide it into several files", path, FILE_MAX >> 20);
	else if (*len == room)
		text_set(&f->wrong, "%s: it grows while it is read; write it under another name and rename it", path);
	return f->wrong ? NULL : TAKE_PTR(text);
}

/* false: there is no such file (any more). */
static bool file_take(struct folder *d, struct file *f)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	_cleanup_close_ int fd = -1;
	struct stat link;
	size_t len;

	free(TAKE_PTR(f->wrong));
	f->unread = false;
	if (asprintf(&path, "%s/%s", d->path, f->name) < 0)
		return f->unread = true;
	if (lstat(path, &link))
		return false;
	f->linked = S_ISLNK(link.st_mode);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &f->seen)) {
		f->unread = true;
		f->seen = (struct stat){};
		text_set(&f->wrong, "%s: it cannot be read: %s", path, strerror(errno));
		return true;
	}
	if (!S_ISREG(f->seen.st_mode))
		return false;
	text = read_whole(f, path, fd, &len);
	if (text)
		take_content(f, path, text, len);
	return true;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool folder_has_changed(const struct folder *d, const struct file *f)
{
	_cleanup_free_ char *path = NULL;
	struct stat now = {};

	if (f->unread || asprintf(&path, "%s/%s", d->path, f->name) < 0)
		return true;
	stat(path, &now);
	return !same_stat(&now, &f->seen);
}

/* ---- all of them ---- */

int folder_list(struct folder *d)
{
	DIR *dir = opendir(d->path);
	struct dirent *e;
	int err = 0;

	if (!dir || fstat(dirfd(dir), &d->seen)) {
		err = -errno;
		if (dir)
			closedir(dir);
		return err;
	}
	for (size_t i = 0; i < d->n; i++)
		d->files[i].news = NEWS_GONE;
	while (errno = 0, !err && (e = readdir(dir)))
		if (folder_is_ours(e->d_name) && !folder_note(d, e->d_name, NEWS_READ))
			err = d->n < FOLDER_MAX ? -ENOMEM : -E2BIG;
	if (!err)
		err = -errno;
	closedir(dir);
	return err;
}

bool folder_is_other(const struct folder *d)
{
	struct stat now;

	return stat(d->path, &now) || now.st_dev != d->seen.st_dev || now.st_ino != d->seen.st_ino;
}

void folder_forget(struct folder *d)
{
	while (d->n)
		file_remove(d, &d->files[d->n - 1]);
	free(TAKE_PTR(d->files));
}

void folder_read(struct folder *d)
{
	for (size_t i = d->n; i--;) {
		struct file *f = &d->files[i];
		bool there = f->news != NEWS_GONE;

		if (f->news == NEWS_READ)
			there = file_take(d, f);
		f->news = NEWS_NONE;
		if (!there)
			file_remove(d, f);
	}
}

/* ---- what they say together ---- */

static size_t append(struct backend *to, const struct backend *list, size_t n)
{
	if (n)
		memcpy(to, list, n * sizeof(*to));
	return n;
}

struct backend *folder_join(const struct folder *d, const struct backend *others, size_t n_others, size_t *n)
{
	struct backend *all;
	size_t room = n_others;

	for (size_t i = 0; i < d->n; i++)
		room += d->files[i].n;
	all = calloc(room + 1, sizeof(*all));
	*n = 0;
	for (size_t i = 0; all && i < d->n; i++)
		*n += append(all + *n, d->files[i].backends, d->files[i].n);
	if (all)
		*n += append(all + *n, others, n_others);
	return all;
}

uint64_t folder_version(const struct folder *d)
{
	uint64_t version = 0;

	for (size_t i = 0; i < d->n; i++)
		if (d->files[i].right)
			version += (d->files[i].hash ^ hash_bytes(d->files[i].name, strlen(d->files[i].name))) | 1;
	return version;
}

struct folder_wrongs folder_wrongs(const struct folder *d)
{
	struct folder_wrongs x = {};

	for (size_t i = 0; i < d->n; i++) {
		if (!d->files[i].wrong)
			continue;
		if (!x.n++)
			x.first = &d->files[i];
		x.never_right |= !d->files[i].right;
	}
	return x;
}

bool folder_is_unread(const struct folder *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->files[i].unread)
			return true;
	return false;
}
