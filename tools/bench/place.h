/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where a process of the bench runs: in which network namespace, in which cgroup, on which CPU.
 *
 * All of them end with the process that started them, whatever becomes of that one, and what they print goes where its
 * own goes. Folders of ours, PLACE_RUN for files and one below the root of cgroup v2, are removed by place_clear.
 */
#ifndef BENCH_PLACE_H
#define BENCH_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

#define PLACE_RUN "/run/shunt-bench"

struct place {
	int netns; /* a descriptor; -1: the caller's */
	const char *cgroup; /* a name as for place_cgroup; NULL, or cgroup v2 is not mounted: the caller's */
	int cpu; /* -1: any */
};

/* The n-th CPU that we may use; there being fewer, the last. */
int place_cpu(int n);

/* fork(), with the child in that place; a child that cannot get there has said why and ended. */
pid_t place_fork(const struct place *p);

/* The same with a program: its output goes to the file LOG in PLACE_RUN. pid or -errno (said). */
pid_t place_start(const struct place *p, const char *log, const char *const argv[]);

/* The same with shuntd, which stands beside this program. */
pid_t place_shuntd(const struct place *p, const char *log, const char *config);

/* Waits for a process. 0, -EIO (it failed, and has said why) or -EINTR (then it was killed). */
int place_wait(pid_t pid);

/* Has our process ended by itself? It stays to be waited for. */
bool place_is_gone(pid_t pid);

/* Waits until a process has used no processor for a while (at most some seconds): what it has to do at its start is done. */
void place_await_rest(pid_t pid);

/* Ends a process, if it is one (pid > 0): politely, and after a few seconds by force. *pid = 0 */
void place_end(pid_t *pid);

/* Says what a program that failed wrote last. */
void place_show(const char *log);

/* The root of cgroup v2; NULL: it is not mounted. */
const char *place_cgroups(void);

/* The path of our cgroup of that name, at `out`; it is made if it is not there. 0 or -errno (said). */
#define PLACE_PATH 512
int place_cgroup(const char *name, char out[PLACE_PATH]);

/* Makes PLACE_RUN, empty. 0 or -errno (said) */
int place_prepare(void);

/* Removes all folders of ours; fine if there are none. */
void place_clear(void);

#endif
