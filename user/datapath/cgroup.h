/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The cgroup v2 hierarchy: its root, to which programs are attached, and the numbers that its cgroups have. */
#ifndef DATAPATH_CGROUP_H
#define DATAPATH_CGROUP_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_PROBLEM 256

/*
 * *out: a descriptor of `path`, if that is a directory of cgroup v2; else of where cgroup v2 is mounted; else of a
 * mount that nobody else sees and that ends with the last descriptor of it. problem: a sentence, if there may be
 * processes outside of the directory, which programs there do not see; else "". Returns 0 or -errno, which is said.
 */
int cgroup_open(const char *path, int *out, char problem[CGROUP_PROBLEM]);

/*
 * The number that bpf_get_current_cgroup_id gives for the cgroup `path` ("/system.slice/x") below the directory `root`,
 * and at which level it stands, as bpf_get_current_ancestor_cgroup_id counts: 0 is the hierarchy's own root.
 * -ENOENT: there is no such cgroup now. -EINVAL, said: no path of a cgroup. -EXDEV, said: the level cannot be known.
 */
int cgroup_id(int root, const char *path, uint64_t *id, unsigned *level);

/*
 * Says at once when cgroups of a list come, go, or are made anew, by which they get other numbers. What happens until
 * the loop comes to it is one call. cgroups that are made through the mount of another cgroup namespace, as in a
 * container, come unnoticed: look at their numbers from time to time, too.
 */
struct cgroup_watch;
int cgroup_watch_new(struct event_base *base, int root, void (*changed)(void *arg), void *arg,
		     struct cgroup_watch **out);
/* Paths as in cgroup_id, in place of those before. Changes from now on are told: look at the numbers afterwards. */
int cgroup_watch_set(struct cgroup_watch *w, char *const *paths, size_t n);
void cgroup_watch_free(struct cgroup_watch *w); /* NULL: fine */

#endif
