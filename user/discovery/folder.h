/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The files of a directory that a source of files reads (files.c), and what each of them says. A file that is wrong goes
 * on saying what it said when it was right.
 */
#ifndef DISCOVERY_FOLDER_H
#define DISCOVERY_FOLDER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "model/model.h"

#define FOLDER_MAX 4096 /* files in a directory */

enum news { NEWS_NONE, NEWS_READ, NEWS_GONE };

struct file {
	char *name;
	enum news news; /* what folder_read is to do about it */
	bool right; /* it was once: backends are what it said then */
	char *wrong; /* why its content does not count; NULL: it does */
	bool unread; /* wrong because it could not be read: worth trying again */
	bool linked; /* a link: inotify does not see where it leads */
	struct backend *backends;
	size_t n;
	uint64_t hash; /* of that content */
	struct stat seen; /* when it was read last */
};

struct folder {
	const char *path;
	struct stat seen; /* the directory, when it was listed last */
	struct file *files; /* sorted by name */
	size_t n;
};

bool folder_is_ours(const char *name); /* a name that counts: it ends as YAML or JSON, and is not hidden */
struct file *folder_find(const struct folder *d, const char *name);
bool folder_note(struct folder *d, const char *name, enum news news); /* false: out of memory, or there are too many */
/* What is listed is to be read, what is not is gone. 0 or -errno; -E2BIG: more than FOLDER_MAX files. */
int folder_list(struct folder *d);
bool folder_is_other(const struct folder *d); /* than the one that was listed, or gone */
void folder_read(struct folder *d); /* files with news */
void folder_forget(struct folder *d); /* all files */
bool folder_has_changed(const struct folder *d, const struct file *f); /* since it was read, or it could not be */

/* ---- what all files say together ---- */

/* With others behind them. To be freed; NULL: out of memory. */
struct backend *folder_join(const struct folder *d, const struct backend *others, size_t n_others, size_t *n);
uint64_t folder_version(const struct folder *d); /* another one if any file says something else */
bool folder_is_unread(const struct folder *d); /* a file could not be read */

struct folder_wrongs {
	const struct file *first; /* NULL: none */
	size_t n;
	bool never_right; /* one was not since it is known here */
};
struct folder_wrongs folder_wrongs(const struct folder *d);

#endif
