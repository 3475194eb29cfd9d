/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <mntent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"

#define END_S 5 /* to end after being asked to */
#define CGROUP "shunt-bench" /* the parent of ours: nothing is ever attached to it, nor a process in it */

/* ---- folders ---- */

const char *place_cgroups(void)
{
	static char root[PLACE_PATH / 2];
	FILE *mounts = *root ? NULL : setmntent("/proc/mounts", "r");
	struct mntent *m;

	while (mounts && !*root && (m = getmntent(mounts)))
		if (!strcmp(m->mnt_type, "cgroup2"))
			snprintf(root, sizeof(root), "%s", m->mnt_dir);
	if (mounts)
		endmntent(mounts);
	return *root ? root : NULL;
}

int place_cgroup(const char *name, char out[PLACE_PATH])
{
	const char *root = place_cgroups();
	char parent[PLACE_PATH];

	if (!root)
		return err_r(-ENOENT, "cgroup v2 is not mounted; mount it: mount -t cgroup2 none /sys/fs/cgroup");
	snprintf(parent, sizeof(parent), "%s/" CGROUP, root);
	snprintf(out, PLACE_PATH, "%s/" CGROUP "/%s", root, name);
	if ((mkdir(parent, 0755) && errno != EEXIST) || (mkdir(out, 0755) && errno != EEXIST))
		return err_r(-errno, "cannot make the cgroup %s: %s", out, strerror(errno));
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)where;
	if (kind == FTW_DP)
		rmdir(path);
	else
		unlink(path); /* fails, and need not succeed, in a cgroup: its files go with it */
	return 0;
}

/* A cgroup that a process has just left is busy for a moment. */
static void remove_tree(const char *path)
{
	double end = bench_now_us() + 2e6;

	do {
		nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	} while (!access(path, F_OK) && bench_now_us() < end && !usleep(10000));
	if (!access(path, F_OK))
		log_error("cannot remove %s; see what is in it", path);
}

void place_clear(void)
{
	char path[PLACE_PATH];

	remove_tree(PLACE_RUN);
	if (!place_cgroups())
		return;
	snprintf(path, sizeof(path), "%s/" CGROUP, place_cgroups());
	remove_tree(path);
}

int place_prepare(void)
{
	place_clear(); /* what an earlier run that was killed left */
	return mkdir(PLACE_RUN, 0755) ? err_r(-errno, "cannot make %s: %s", PLACE_RUN, strerror(errno)) : 0;
}

/* ---- processes ---- */

int place_cpu(int n)
{
	cpu_set_t may;
	int found = 0;

	sched_getaffinity(0, sizeof(may), &may);
	for (int cpu = 0; cpu < CPU_SETSIZE && n >= 0; cpu++)
		if (CPU_ISSET(cpu, &may)) {
			found = cpu;
			n--;
		}
	return found;
}

static int enter_cgroup(const char *name)
{
	char path[PLACE_PATH + 16];
	_cleanup_close_ int fd = -1;
	int err = place_cgroup(name, path);

	if (err)
		return err;
	strcat(path, "/cgroup.procs");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		return err_r(-errno, "cannot enter the cgroup of %s: %s", path, strerror(errno));
	return 0;
}

static int go_to(const struct place *p)
{
	cpu_set_t one;

	if (p->netns >= 0 && setns(p->netns, CLONE_NEWNET))
		return err_r(-errno, "cannot enter the network namespace: %s", strerror(errno));
	CPU_ZERO(&one);
	CPU_SET(p->cpu < 0 ? 0 : p->cpu, &one);
	if (p->cpu >= 0 && sched_setaffinity(0, sizeof(one), &one))
		return err_r(-errno, "cannot run on CPU %d: %s", p->cpu, strerror(errno));
	return p->cgroup && place_cgroups() ? enter_cgroup(p->cgroup) : 0;
}

pid_t place_fork(const struct place *p)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid < 0 ? err_r(-errno, "cannot start a process: %s", strerror(errno)) : pid;
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || go_to(p))
		_exit(1);
	return 0;
}

pid_t place_start(const struct place *p, const char *log, const char *const argv[])
{
	char path[PLACE_PATH];
	pid_t pid = place_fork(p);
	int fd;

	if (pid)
		return pid;
	snprintf(path, sizeof(path), PLACE_RUN "/%s", log);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(1);
	execvp(argv[0], (char *const *)argv);
	fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

pid_t place_shuntd(const struct place *p, const char *log, const char *config)
{
	char path[PLACE_PATH] = {};
	const char *const command[] = { path, "--config", config, NULL };

	if (readlink("/proc/self/exe", path, sizeof(path) - sizeof("shuntd")) < 0)
		return -errno;
	strcpy(strrchr(path, '/') + 1, "shuntd");
	return place_start(p, log, command);
}

int place_wait(pid_t pid)
{
	int status;

	if (pid < 0)
		return pid;
	while (waitpid(pid, &status, 0) < 0)
		if (bench_stopped())
			kill(pid, SIGKILL);
	if (bench_stopped())
		return -EINTR;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

bool place_is_gone(pid_t pid)
{
	siginfo_t info = {};

	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == pid;
}

/* Ticks of processor time, of user and system. */
static unsigned long ticks_of(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		user = system = 0;
	if (f)
		fclose(f);
	return user + system;
}

void place_await_rest(pid_t pid)
{
	double end = bench_now_us() + END_S * 1e6;
	unsigned long before, now = ticks_of(pid);

	do {
		before = now;
		usleep(300000);
		now = ticks_of(pid);
	} while (now != before && bench_now_us() < end && !bench_stopped());
}

void place_end(pid_t *pid)
{
	double end = bench_now_us() + END_S * 1e6;
	pid_t gone = 0;

	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	while (!(gone = waitpid(*pid, NULL, WNOHANG)) && bench_now_us() < end)
		usleep(2000);
	if (!gone) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

void place_show(const char *log)
{
	char path[PLACE_PATH], line[256];
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(path, sizeof(path), PLACE_RUN "/%s", log);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "  %s", line);
}
