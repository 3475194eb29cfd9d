/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A directory of files, each with some backends, that is watched: files are dropped in, replaced and taken away, and
 * count when they are whole (closed after writing, renamed, linked), not while they are written.
 *
 * A file that is wrong does not stop the others: what it said before stays in force as long as it is there, and the
 * answer says file, line and remedy. One that was never right since we started is left out; but if a set from before a
 * restart is in force, or from before the directory was away, nothing of that goes until every file was right once,
 * because it may hold what the wrong one said.
 *
 * Names with a leading dot are nobody's backends, but may be links through which others lead (Kubernetes' ..data): when
 * such a link is swapped everything is read again. The path of the directory, and files that are links to elsewhere,
 * are looked at every few seconds besides, as inotify does not follow them.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "discovery/backoff.h"
#include "discovery/folder.h"
#include "discovery/source.h"

#define CALM_ALONE_MS 1 /* without another change, after one alone */
#define CALM_MS 5 /* after others: where there are two there are more */
#define CALM_ALL_MS 20 /* when the directory itself is new or another: who made it is about to fill it */
#define ALONE_MS 20 /* a change is alone if the last one was read so long ago */
#define UNREST_MS 50 /* at most, from the first change on */
#define LOOK_MS 5000 /* between looks at what inotify does not see */

#define INSIDE \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | \
	 IN_MOVE_SELF)
#define ABOVE (IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE)

struct files {
	struct event_base *base;
	const struct source *conf;
	int fd; /* inotify */
	struct event *event;
	struct watch *watches;
};

struct watch {
	struct files *of;
	struct finder *finder;
	struct watch *next;
	int inside, above; /* inotify's watches of the directory and of the one that it is in; -1: none */
	struct folder folder;
	bool all; /* everything is to be read again */
	uint64_t unsettled_ms,
		settled_ms; /* of the first change that was not read (0: none), and of the last reading */
	struct event *settle, *look;
	struct backoff backoff;
	char *blind; /* why inotify does not help; NULL: it does */
	char *said; /* version and notes of the last answer; NULL: none, or a problem with the directory since */
	bool answered; /* all there is to know was found since we began, or since the directory was away */
};

static void in_ms(struct event *e, uint32_t ms)
{
	event_add(e, &(struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 });
}

/* ---- the directory ---- */

static bool wd_is_used(const struct files *s, int wd)
{
	for (const struct watch *w = s->watches; w; w = w->next)
		if (w->inside == wd || w->above == wd)
			return true;
	return false;
}

/* A directory may be watched for several reasons; inotify knows it once. */
static void wd_drop(struct files *s, int *wd)
{
	int old = *wd;

	*wd = -1;
	if (old >= 0 && !wd_is_used(s, old))
		inotify_rm_watch(s->fd, old);
}

static int wd_set(struct files *s, int *wd, const char *path, uint32_t mask)
{
	int new = inotify_add_watch(s->fd, path, mask | IN_ONLYDIR | IN_MASK_ADD), err = new < 0 ? errno : 0;

	if (new != *wd)
		wd_drop(s, wd);
	*wd = new;
	return err;
}

/* Path of the directory without slashes at its end; above: of the one that it is in. To be freed; NULL: no memory. */
static char *path_of(const struct watch *w, bool above)
{
	char *path = strdup(w->folder.path), *slash;

	if (!path)
		return NULL;
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	slash = above ? strrchr(path, '/') : NULL;
	if (slash)
		slash[slash == path] = '\0';
	return path;
}

static void set_watches(struct watch *w)
{
	_cleanup_free_ char *dir = path_of(w, false), *parent = path_of(w, true);
	int err = dir && parent ? 0 : ENOMEM;

	if (!err) {
		wd_set(w->of, &w->above, parent, ABOVE);
		err = wd_set(w->of, &w->inside, dir, INSIDE);
	}
	free(TAKE_PTR(w->blind));
	if (err == ENOSPC)
		text_set(&w->blind,
			 "changes are seen only every %u s, as there are too many inotify watches; raise "
			 "fs.inotify.max_user_watches",
			 LOOK_MS / 1000);
	else if (err)
		text_set(&w->blind, "changes are seen only every %u s: %s", LOOK_MS / 1000, strerror(err));
}

static void directory_problem(struct watch *w, int err)
{
	const char *path = w->folder.path;

	if (err == -ENOENT || err == -ENOTDIR) {
		folder_forget(&w->folder);
		w->answered = false; /* what was right in the old one is not known of files in a new one */
	}
	free(TAKE_PTR(w->said));
	if (err == -ENOENT)
		found_problem(w->finder, "the directory %s is not there; create it, or correct its path", path);
	else if (err == -ENOTDIR)
		found_problem(w->finder, "%s is no directory; create one, or correct its path", path);
	else if (err == -E2BIG)
		found_problem(w->finder, "%s has more than %d files; join some of them", path, FOLDER_MAX);
	else
		found_problem(w->finder, "the directory %s cannot be read: %s", path, strerror(-err));
	w->all = true;
}

/* ---- what all files say together ---- */

#define NAMED_MAX 5 /* of further files */

/* "; wrong too: b.yaml, c.yaml and 3 more" */
static void say_further(const struct watch *w, const struct folder_wrongs *x, char **text)
{
	size_t named = 0;

	for (const struct file *f = x->first + 1; f < w->folder.files + w->folder.n && named < NAMED_MAX; f++)
		if (f->wrong)
			text_set(text, "%s%s%s", *text, named++ ? ", " : "; wrong too: ", f->name);
	if (x->n > named + 1)
		text_set(text, "%s and %zu more", *text, x->n - named - 1);
}

/* To be freed. */
static char *say_wrongs(const struct watch *w, const struct folder_wrongs *x, bool waiting)
{
	const char *then = x->first->right ? "what the file said before stays" : "the file is left out";
	char *text = NULL;

	if (waiting)
		then = "what was known before stays, too, until every file was right once";
	text_set(&text, "%s; %s", x->first->wrong, then);
	say_further(w, x, &text);
	return text;
}

static void tell_found(struct watch *w, const char *version, bool waiting, const char *note, bool wrong)
{
	size_t n_before = 0, n;
	const struct backend *before = waiting ? found_before(w->finder, &n_before) : NULL;
	_cleanup_free_ struct backend *all = folder_join(&w->folder, before, n_before, &n);

	if (all)
		found(w->finder, &(struct answer){ .backends = all, .n = n, .version = version, .note = note, .wrong = wrong });
	else
		found_problem(w->finder, "out of memory for %zu endpoints", n);
}

static void tell(struct watch *w)
{
	struct folder_wrongs x = folder_wrongs(&w->folder);
	size_t n_before;
	bool waiting = x.never_right && !w->answered && found_before(w->finder, &n_before);
	_cleanup_free_ char *wrongs = x.n ? say_wrongs(w, &x, waiting) : NULL, *says = NULL;
	char version[20];

	snprintf(version, sizeof(version), "%016llx", (unsigned long long)folder_version(&w->folder));
	text_set(&says, "%s\n%s\n%s", version, w->blind ?: "", wrongs ?: "");
	if (w->said && !strcmp(w->said, says)) {
		found_same(w->finder);
		return;
	}
	free(w->said);
	w->said = TAKE_PTR(says);
	w->answered |= !waiting;
	tell_found(w, version, waiting, wrongs ?: w->blind, wrongs);
}

/* ---- when ---- */

/* The next look at what inotify does not tell: soon after a failure. */
static void plan_look(struct watch *w, bool failed)
{
	struct timeval wait = backoff_next(&w->backoff);
	const struct timeval calm = { .tv_sec = LOOK_MS / 1000 };

	if (!failed)
		backoff_reset(&w->backoff);
	event_add(w->look, failed && timercmp(&wait, &calm, <) ? &wait : &calm);
}

/* Those with news. */
static void read_those(struct watch *w)
{
	folder_read(&w->folder);
	tell(w);
	plan_look(w, folder_is_unread(&w->folder));
}

static void read_all(struct watch *w)
{
	int err;

	set_watches(w);
	err = folder_list(&w->folder);
	w->all = false;
	if (err) {
		directory_problem(w, err);
		plan_look(w, true);
		return;
	}
	read_those(w);
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	w->unsettled_ms = 0;
	w->settled_ms = monotonic_ms();
	if (w->all)
		read_all(w);
	else
		read_those(w);
}

static void unsettle(struct watch *w)
{
	uint64_t now = monotonic_ms();
	bool alone = !w->unsettled_ms && now - w->settled_ms > ALONE_MS;
	uint32_t calm = w->all ? CALM_ALL_MS : alone ? CALM_ALONE_MS : CALM_MS;

	if (!w->unsettled_ms)
		w->unsettled_ms = now;
	if (now - w->unsettled_ms <= UNREST_MS - calm)
		in_ms(w->settle, calm);
}

/* What inotify does not see. */
static void look_at_file(struct watch *w, struct file *f)
{
	if ((!f->linked && !f->unread) || !folder_has_changed(&w->folder, f))
		return;
	f->news = NEWS_READ;
	unsettle(w);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	w->all |= w->blind || folder_is_other(&w->folder);
	if (w->all) {
		read_all(w);
		return;
	}
	plan_look(w, folder_is_unread(&w->folder));
	for (size_t i = 0; i < w->folder.n; i++)
		look_at_file(w, &w->folder.files[i]);
}

/* ---- what inotify tells ---- */

/* Made by link() or symlink(): it is whole. Else somebody is about to write. */
static bool is_whole(const struct watch *w, const char *name, bool *link)
{
	_cleanup_free_ char *path = NULL;
	struct stat s = {};

	if (asprintf(&path, "%s/%s", w->folder.path, name) >= 0)
		lstat(path, &s);
	*link = S_ISLNK(s.st_mode);
	return *link || s.st_nlink > 1;
}

static void on_name(struct watch *w, uint32_t mask, const char *name)
{
	bool link, whole = is_whole(w, name, &link), ours = folder_is_ours(name);
	struct file *f = ours ? folder_find(&w->folder, name) : NULL;

	if (!ours)
		w->all |= link; /* others may lead through it */
	else if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO) || (mask & IN_CREATE && whole))
		w->all |= !folder_note(&w->folder, name, NEWS_READ);
	else if (mask & (IN_DELETE | IN_MOVED_FROM))
		folder_note(&w->folder, name, NEWS_GONE);
	else if (f && (mask & IN_CREATE || !f->wrong))
		f->news = f->news == NEWS_GONE ? NEWS_NONE : f->news; /* what it said stays while it is written */
	else if (f)
		f->news = NEWS_READ; /* permissions changed */
	else
		return;
	unsettle(w);
}

static bool is_its_name(const struct watch *w, const char *name)
{
	_cleanup_free_ char *dir = path_of(w, false);
	const char *slash = dir ? strrchr(dir, '/') : NULL;

	return slash && !strcmp(slash + 1, name);
}

static void on_notice(struct watch *w, const struct inotify_event *e)
{
	bool inside = e->wd == w->inside, above = e->wd == w->above;

	if (e->mask & IN_Q_OVERFLOW || (inside && !e->len) || (above && e->len && is_its_name(w, e->name))) {
		w->all = true;
		unsettle(w);
	}
	if (e->mask & IN_IGNORED && inside)
		w->inside = -1;
	if (e->mask & IN_IGNORED && above)
		w->above = -1;
	if (inside && e->len && !(e->mask & IN_ISDIR))
		on_name(w, e->mask, e->name);
}

static void on_inotify(evutil_socket_t fd, short what, void *arg)
{
	char buf[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct files *s = arg;
	ssize_t n;

	(void)what;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (char *at = buf; at < buf + n;
		     at += sizeof(struct inotify_event) + ((struct inotify_event *)at)->len)
			for (struct watch *w = s->watches; w; w = w->next)
				on_notice(w, (struct inotify_event *)at);
}

/* ---- life ---- */

static void files_unwatch(void *watch)
{
	struct watch *w = watch, **at = &w->of->watches;

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
	wd_drop(w->of, &w->inside);
	wd_drop(w->of, &w->above);
	if (w->settle)
		event_free(w->settle);
	if (w->look)
		event_free(w->look);
	folder_forget(&w->folder);
	free(w->blind);
	free(w->said);
	free(w);
}

static int files_watch(void *source, const struct discover *what, struct finder *f, void **out)
{
	struct files *s = source;
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return err_r(-ENOMEM, "%s is not watched: out of memory", what->name);
	*w = (struct watch){ .of = s,
			     .folder = { .path = what->name },
			     .finder = f,
			     .next = s->watches,
			     .inside = -1,
			     .above = -1,
			     .all = true };
	s->watches = w;
	w->settle = evtimer_new(s->base, on_settle, w);
	w->look = evtimer_new(s->base, on_look, w);
	if (!w->settle || !w->look) {
		files_unwatch(w);
		return err_r(-ENOMEM, "%s is not watched: out of memory", what->name);
	}
	in_ms(w->settle, 0);
	*out = w;
	return 0;
}

static void files_close(void *source)
{
	struct files *s = source;

	if (s->event)
		event_free(s->event);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

static int files_open(const struct source_env *env, const struct source *conf, void **out)
{
	struct files *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return err_r(-ENOMEM, "source %s: out of memory", conf->name);
	*s = (struct files){ .base = env->base, .conf = conf, .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC) };
	err = s->fd < 0 ? -errno : 0;
	if (!err)
		s->event = event_new(env->base, s->fd, EV_READ | EV_PERSIST, on_inotify, s);
	if (!err && (!s->event || event_add(s->event, NULL)))
		err = -ENOMEM;
	if (err) {
		files_close(s);
		return err_r(err,
			     "source %s cannot watch directories: %s; fs.inotify.max_user_instances may be too small",
			     conf->name, strerror(-err));
	}
	*out = s;
	return 0;
}

const struct source_ops source_files = {
	.open = files_open,
	.close = files_close,
	.watch = files_watch,
	.unwatch = files_unwatch,
};
