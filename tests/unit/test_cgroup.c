/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Real cgroups, made below the root of the hierarchy while a test runs. Skipped where there is no cgroup v2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/log.h"
#include "datapath/cgroup.h"

static struct world {
	char mount[256]; /* where cgroup v2 is */
	char name[64]; /* "/shunt-test-PID", below it */
	int root;
	struct event_base *base;
	struct cgroup_watch *watch;
	unsigned changes;
} w;

/* ---- cgroups ---- */

static char *path_of(const char *below, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s%s%s", w.mount, w.name, below);
	return path;
}

static void make(const char *below)
{
	char path[PATH_MAX];

	assert_int_equal(mkdir(path_of(below, path), 0755), 0);
}

static void drop(const char *below)
{
	char path[PATH_MAX];

	assert_int_equal(rmdir(path_of(below, path)), 0);
}

static int id_of(const char *below, uint64_t *id, unsigned *level)
{
	char path[128];

	snprintf(path, sizeof(path), "%s%s", w.name, below);
	return cgroup_id(w.root, path, id, level);
}

static bool is_below_another(int dir)
{
	return !faccessat(dir, "cgroup.type", F_OK, 0);
}

/* ---- the world ---- */

static bool find_mount(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *m = NULL;

	while (mounts && (m = getmntent(mounts)) && strcmp(m->mnt_type, "cgroup2"))
		;
	if (m)
		snprintf(w.mount, sizeof(w.mount), "%s", m->mnt_dir);
	if (mounts)
		endmntent(mounts);
	return m;
}

static int setup(void **state)
{
	char path[PATH_MAX];

	(void)state;
	w = (struct world){ .root = -1 };
	snprintf(w.name, sizeof(w.name), "/shunt-test-%d", getpid());
	if (!find_mount() || mkdir(path_of("", path), 0755))
		return 0; /* need_cgroups says so */
	w.root = open(w.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w.base = event_base_new();
	return 0;
}

static int teardown(void **state)
{
	static const char *const made[] = { "/a/b/c", "/a/b", "/a", "/other", "" };
	char path[PATH_MAX];

	(void)state;
	cgroup_watch_free(w.watch);
	if (w.base)
		event_base_free(w.base);
	if (w.root < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		rmdir(path_of(made[i], path));
	close(w.root);
	return 0;
}

static void need_cgroups(void)
{
	if (w.root >= 0)
		return;
	print_message("# no cgroup v2 is mounted here, or none can be made\n");
	skip();
}

static void need_true_root(void)
{
	need_cgroups();
	if (!is_below_another(w.root))
		return;
	print_message("# the root of cgroup v2 is not to be seen here\n");
	skip();
}

/* ---- watching ---- */

static void on_change(void *arg)
{
	assert_ptr_equal(arg, &w);
	w.changes++;
}

static void watch(const char *one, const char *two)
{
	char paths[2][128], *list[2] = { paths[0], paths[1] };

	snprintf(paths[0], sizeof(paths[0]), "%s%s", w.name, one);
	snprintf(paths[1], sizeof(paths[1]), "%s%s", w.name, two);
	if (!w.watch)
		assert_int_equal(cgroup_watch_new(w.base, w.root, on_change, &w, &w.watch), 0);
	assert_int_equal(cgroup_watch_set(w.watch, list, 2), 0);
	w.changes = 0;
}

/* What the kernel has told by now is heard; returns how often something had changed. */
static unsigned heard(void)
{
	unsigned changes;

	event_base_loop(w.base, EVLOOP_NONBLOCK);
	changes = w.changes;
	w.changes = 0;
	return changes;
}

/* ---- which directory ---- */

static bool is_same(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void a_directory_of_cgroup_v2_is_taken(void **state)
{
	_cleanup_close_ int dir = -1;
	char problem[CGROUP_PROBLEM] = "x";

	(void)state;
	need_true_root();
	assert_int_equal(cgroup_open(w.mount, &dir, problem), 0);
	assert_true(is_same(dir, w.root));
	assert_string_equal(problem, "");
}

static void another_directory_leads_to_where_it_is_mounted(void **state)
{
	_cleanup_close_ int dir = -1;
	char problem[CGROUP_PROBLEM] = "x";

	(void)state;
	need_true_root();
	assert_int_equal(cgroup_open("/tmp", &dir, problem), 0);
	assert_true(is_same(dir, w.root));
	assert_string_equal(problem, "");
}

static void a_part_of_the_hierarchy_is_taken_and_what_it_lacks_is_said(void **state)
{
	_cleanup_close_ int dir = -1, meant = -1;
	char problem[CGROUP_PROBLEM], path[PATH_MAX];

	(void)state;
	need_cgroups();
	assert_int_equal(cgroup_open(path_of("", path), &dir, problem), 0);
	meant = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(is_same(dir, meant));
	assert_non_null(strstr(problem, path));
	assert_non_null(strstr(problem, "only processes in it are balanced"));
}

static void what_is_no_directory_is_refused(void **state)
{
	char problem[CGROUP_PROBLEM];
	int dir = -7;

	(void)state;
	assert_int_equal(cgroup_open("/shunt-test-none", &dir, problem), -ENOENT);
	assert_int_equal(cgroup_open("/etc/passwd", &dir, problem), -ENOTDIR);
	assert_int_equal(dir, -7);
}

/* Runs fn in a process of its own, which sees no mount of cgroup v2; 0: all was as it ought to be. */
static int without_mounts(int (*fn)(void), int flags)
{
	char path[PATH_MAX];
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		_cleanup_close_ int procs = open(strcat(path_of("", path), "/cgroup.procs"), O_WRONLY);

		if ((flags & CLONE_NEWCGROUP && write(procs, "0", 1) != 1) || unshare(CLONE_NEWNS | flags) ||
		    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(90);
		while (find_mount())
			if (umount2(w.mount, MNT_DETACH))
				_exit(91);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Of a directory that was opened by itself. */
static bool hears_there(int dir)
{
	char path[PATH_MAX], *list[] = { path };

	snprintf(path, sizeof(path), "%s/a", w.name);
	if (cgroup_watch_new(w.base, dir, on_change, &w, &w.watch) || cgroup_watch_set(w.watch, list, 1))
		return false;
	return !mkdirat(dir, path + 1, 0755) && heard() == 1 && !unlinkat(dir, path + 1, AT_REMOVEDIR) && heard() == 1;
}

static int uses_one_of_its_own(void)
{
	char problem[CGROUP_PROBLEM];
	uint64_t id, before;
	unsigned level;
	int dir;

	if (cgroup_open("/tmp", &dir, problem))
		return 1;
	if (problem[0] || !is_same(dir, w.root) || find_mount())
		return 2;
	if (id_of("", &before, &level) || cgroup_id(dir, w.name, &id, &level))
		return 3;
	if (id != before || level != 1)
		return 4;
	return hears_there(dir) ? 0 : 5;
}

static void where_it_is_mounted_nowhere_a_mount_is_used_that_nobody_sees(void **state)
{
	(void)state;
	need_true_root();
	assert_int_equal(without_mounts(uses_one_of_its_own, 0), 0);
}

static int sees_a_part_only(void)
{
	char problem[CGROUP_PROBLEM];
	unsigned level;
	uint64_t id;
	int dir;

	if (cgroup_open("/tmp", &dir, problem) || !strstr(problem, "only processes in it"))
		return 1;
	return cgroup_id(dir, "/", &id, &level) == -EXDEV ? 0 : 2;
}

static void in_a_cgroup_namespace_levels_are_not_known(void **state)
{
	(void)state;
	need_true_root();
	assert_int_equal(without_mounts(sees_a_part_only, CLONE_NEWCGROUP), 0);
}

/* ---- numbers and levels ---- */

#define CALL(function) { .code = BPF_JMP | BPF_CALL, .imm = function }
#define LOAD_64(r, value) { .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = r, .imm = (uint32_t)(value) }, \
	{ .imm = (value) >> 32 }
#define LOAD(r, value) { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = r, .imm = value }

/* Whether a program finds that the process is in that cgroup, whose number the kernel gives for this level. */
static bool kernel_agrees(uint64_t id, unsigned level)
{
	const struct bpf_insn insns[] = {
		CALL(BPF_FUNC_get_current_cgroup_id),
		LOAD_64(BPF_REG_6, id),
		{ .code = BPF_JMP | BPF_JNE | BPF_X, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_6, .off = 5 },
		LOAD(BPF_REG_1, (int)level),
		CALL(BPF_FUNC_get_current_ancestor_cgroup_id),
		{ .code = BPF_JMP | BPF_JNE | BPF_X, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_6, .off = 2 },
		LOAD(BPF_REG_0, 1),
		{ .code = BPF_JMP | BPF_EXIT },
		LOAD(BPF_REG_0, 0),
		{ .code = BPF_JMP | BPF_EXIT },
	};
	_cleanup_close_ int prog =
		bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "agrees", "GPL", insns, ARRAY_SIZE(insns), NULL);
	LIBBPF_OPTS(bpf_test_run_opts, run);

	return prog >= 0 && !bpf_prog_test_run_opts(prog, &run) && run.retval == 1;
}

static void a_number_and_a_level_are_those_that_programs_see(void **state)
{
	char path[PATH_MAX];
	unsigned level;
	uint64_t id;
	int status;
	pid_t pid;

	(void)state;
	need_true_root();
	make("/a");
	make("/a/b");
	assert_int_equal(id_of("/a/b", &id, &level), 0);
	assert_int_equal(level, 3);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		_cleanup_close_ int procs = open(strcat(path_of("/a/b", path), "/cgroup.procs"), O_WRONLY);

		if (write(procs, "0", 1) != 1 || !kernel_agrees(id, level))
			_exit(1);
		_exit(kernel_agrees(id, level - 1) ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_number_is_that_of_the_files_handle(void **state)
{
	struct {
		struct file_handle h;
		uint64_t id; /* where h.f_handle is */
	} handle = { .h.handle_bytes = sizeof(handle.id) };
	char path[PATH_MAX];
	unsigned level;
	uint64_t id;
	int mount;

	(void)state;
	need_true_root();
	assert_int_equal(id_of("", &id, &level), 0);
	assert_int_equal(name_to_handle_at(AT_FDCWD, path_of("", path), &handle.h, &mount, 0), 0);
	assert_true(id == handle.id);
}

static void levels_are_counted_from_the_true_root(void **state)
{
	_cleanup_close_ int part = -1;
	uint64_t by_root, by_part;
	char path[PATH_MAX];
	unsigned level;

	(void)state;
	need_true_root();
	make("/a");
	make("/a/b");
	part = open(path_of("/a", path), O_RDONLY | O_DIRECTORY);
	assert_int_equal(cgroup_id(part, "/", &by_part, &level), 0);
	assert_int_equal(level, 2);
	assert_int_equal(cgroup_id(part, "/b", &by_part, &level), 0);
	assert_int_equal(level, 3);
	assert_int_equal(id_of("/a/b", &by_root, &level), 0);
	assert_int_equal(level, 3);
	assert_true(by_root == by_part);
	assert_int_equal(cgroup_id(w.root, "/", &by_root, &level), 0);
	assert_int_equal(level, 0);
	assert_int_equal(cgroup_id(w.root, "", &by_root, &level), 0);
	assert_int_equal(level, 0);
}

static void a_path_may_be_written_in_any_way_but_upwards(void **state)
{
	uint64_t id, same;
	unsigned level;

	(void)state;
	need_true_root();
	make("/a");
	assert_int_equal(id_of("/a", &id, &level), 0);
	assert_int_equal(id_of("/./a//", &same, &level), 0);
	assert_true(id == same);
	assert_int_equal(level, 2);
	assert_int_equal(cgroup_id(w.root, w.name + 1, &same, &level), 0);
	assert_int_equal(level, 1);
	assert_int_equal(id_of("/../a", &id, &level), -EINVAL);
	assert_int_equal(cgroup_id(w.root, "..", &id, &level), -EINVAL);
}

static void what_is_not_there_has_no_number(void **state)
{
	uint64_t id = 7;
	unsigned level;

	(void)state;
	need_true_root();
	assert_int_equal(id_of("/none", &id, &level), -ENOENT);
	assert_int_equal(id_of("/none/deeper", &id, &level), -ENOENT);
	assert_int_equal(id_of("/cgroup.procs", &id, &level), -ENOENT);
	assert_int_equal(id_of("/cgroup.procs/deeper", &id, &level), -ENOENT);
	assert_true(id == 7);
}

/* ---- cgroups that come and go ---- */

static void a_cgroup_that_comes_or_goes_is_told(void **state)
{
	(void)state;
	need_cgroups();
	watch("/a", "/none");
	assert_int_equal(heard(), 0);
	make("/a");
	assert_int_equal(heard(), 1);
	assert_int_equal(heard(), 0);
	drop("/a");
	assert_int_equal(heard(), 1);
}

static void one_that_is_made_anew_is_told_once(void **state)
{
	(void)state;
	need_cgroups();
	make("/a");
	watch("/a", "/none");
	for (int i = 0; i < 20; i++) {
		drop("/a");
		make("/a");
	}
	assert_int_equal(heard(), 1);
	assert_int_equal(heard(), 0);
}

static void others_are_not_told(void **state)
{
	(void)state;
	need_cgroups();
	make("/a");
	watch("/a", "/none");
	make("/other");
	make("/a/b");
	drop("/other");
	assert_int_equal(heard(), 0);
}

static void one_in_a_cgroup_that_is_not_there_yet_is_told(void **state)
{
	(void)state;
	need_cgroups();
	watch("/a/b/c", "/none");
	make("/a");
	assert_int_equal(heard(), 0);
	make("/a/b");
	make("/a/b/c"); /* before anybody could watch /a/b */
	assert_int_equal(heard(), 1);
	drop("/a/b/c");
	assert_int_equal(heard(), 1);
	make("/a/b/c");
	assert_int_equal(heard(), 1);
}

static void another_list_takes_the_place_of_the_first(void **state)
{
	(void)state;
	need_cgroups();
	watch("/a", "/none");
	watch("/other", "/none");
	make("/a");
	assert_int_equal(heard(), 0);
	make("/other");
	assert_int_equal(heard(), 1);
	assert_int_equal(cgroup_watch_set(w.watch, NULL, 0), 0);
	drop("/other");
	assert_int_equal(heard(), 0);
}

#define cgroup_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cgroup_test(a_directory_of_cgroup_v2_is_taken),
		cgroup_test(another_directory_leads_to_where_it_is_mounted),
		cgroup_test(a_part_of_the_hierarchy_is_taken_and_what_it_lacks_is_said),
		cgroup_test(what_is_no_directory_is_refused),
		cgroup_test(where_it_is_mounted_nowhere_a_mount_is_used_that_nobody_sees),
		cgroup_test(in_a_cgroup_namespace_levels_are_not_known),
		cgroup_test(a_number_and_a_level_are_those_that_programs_see),
		cgroup_test(a_number_is_that_of_the_files_handle),
		cgroup_test(levels_are_counted_from_the_true_root),
		cgroup_test(a_path_may_be_written_in_any_way_but_upwards),
		cgroup_test(what_is_not_there_has_no_number),
		cgroup_test(a_cgroup_that_comes_or_goes_is_told),
		cgroup_test(one_that_is_made_anew_is_told_once),
		cgroup_test(others_are_not_told),
		cgroup_test(one_in_a_cgroup_that_is_not_there_yet_is_told),
		cgroup_test(another_list_takes_the_place_of_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
