/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Network namespaces of this host: found by the number of their inode, entered by their file. Only for a process of one
 * thread that may (CAP_SYS_ADMIN; CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH to see other users' processes).
 */
#ifndef DATAPATH_NAMESPACES_H
#define DATAPATH_NAMESPACES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Those met so far. They come and go: for one look only. Zeroed: none yet. */
struct namespaces {
	struct namespace {
		ino_t ino;
		char *path;
	} *list;
	size_t n, room;
	unsigned searched; /* places */
};

/*
 * A descriptor of the namespace's file, or -ENOENT: neither /run/netns nor a process shows it. What is not known yet is
 * searched for, first where it is cheap.
 */
int namespaces_open(struct namespaces *s, ino_t ino);
void namespaces_clear(struct namespaces *s);

/* A descriptor of the namespace's file at this path. -EINVAL: there is none of a namespace. */
int namespace_open(const char *path);
/* Moves this thread there. -EINVAL: it is no network namespace. */
int namespace_enter(int fd);

#endif
