/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A directory of backends that is watched: what comes, goes, is replaced, is wrong. */
#include "heard.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"

static char top[] = "/tmp/shunt-test-files-XXXXXX";
static struct files_test {
	void *source, *watch;
	struct source conf;
	struct discover what;
	struct finder f;
	char dir[128];
} t;

/* ---- files ---- */

static const char *path_of(const char *name)
{
	static char path[4][256];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", top, name);
	return path[i];
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_by_rename(const char *name, const char *text)
{
	put("web.d/.new", text);
	assert_int_equal(rename(path_of("web.d/.new"), path_of(name)), 0);
}

static int remove_one(const char *path, const struct stat *s, int what, struct FTW *at)
{
	(void)s, (void)what, (void)at;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the source ---- */

static void begin_watching(const char *dir)
{
	const struct source_env env = { .base = base };

	snprintf(t.dir, sizeof(t.dir), "%s", path_of(dir));
	t.conf = source_default(SOURCE_FILES);
	t.conf.name = (char *)"files";
	t.what = (struct discover){ .kind = SOURCE_FILES, .name = t.dir };
	assert_int_equal(source_files.open(&env, &t.conf, &t.source), 0);
	assert_int_equal(source_files.watch(t.source, &t.what, &t.f, &t.watch), 0);
	assert_int_equal(t.f.answers + t.f.problems, 0);
}

static int setup(void **state)
{
	(void)state;
	t = (struct files_test){};
	strcpy(top + strlen(top) - 6, "XXXXXX");
	base = event_base_new();
	return base && mkdtemp(top) && !mkdir(path_of("web.d"), 0755) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	if (t.watch)
		source_files.unwatch(t.watch);
	if (t.source)
		source_files.close(t.source);
	free(t.f.set);
	event_base_free(base);
	remove_tree(top);
	return 0;
}

static bool set_is(const char *set)
{
	return t.f.set && !strcmp(t.f.set, set);
}

#define expect_set(set) run_until(set_is(set))
#define expect_problem(part) run_until(strstr(t.f.problem, part))

/* ---- tests ---- */

static void what_is_there_is_found_in_one_snapshot(void **state)
{
	(void)state;
	put("web.d/a.yaml", "address: \"10.0.0.1:80\"\nweight: 50\n");
	put("web.d/b.yml", "- \"10.0.0.2:80\"\n- { address: \"10.0.0.3:80\" }\n");
	put("web.d/c.json", "{ \"backends\": [\"10.0.0.4:80\"] }");
	put("web.d/.d.yaml", "\"10.0.0.5:80\"");
	put("web.d/e.yaml~", "\"10.0.0.6:80\"");
	put("web.d/README", "not for us");
	mkdir(path_of("web.d/f.yaml"), 0755);
	mkfifo(path_of("web.d/g.yaml"), 0644);
	begin_watching("web.d");
	expect_set("10.0.0.1:80*50 10.0.0.2:80*100 10.0.0.3:80*100 10.0.0.4:80*100");
	assert_int_equal(t.f.answers, 1);
	assert_int_equal(t.f.problems, 0);
	assert_int_equal(strlen(t.f.version), 16);
}

static void files_come_are_replaced_and_go(void **state)
{
	(void)state;
	begin_watching("web.d");
	expect_set("");
	put_by_rename("web.d/b.yaml", "\"10.0.0.2:80\"");
	expect_set("10.0.0.2:80*100");
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	expect_set("10.0.0.1:80*100 10.0.0.2:80*100");
	put_by_rename("web.d/a.yaml", "\"10.0.0.11:80\"");
	expect_set("10.0.0.11:80*100 10.0.0.2:80*100");
	assert_int_equal(rename(path_of("web.d/a.yaml"), path_of("web.d/a.off")), 0);
	expect_set("10.0.0.2:80*100");
	put("outside", "\"10.0.0.3:80\"");
	assert_int_equal(link(path_of("outside"), path_of("web.d/c.yaml")), 0);
	expect_set("10.0.0.2:80*100 10.0.0.3:80*100");
	unlink(path_of("web.d/b.yaml"));
	expect_set("10.0.0.3:80*100");
	unlink(path_of("web.d/c.yaml"));
	expect_set("");
	assert_int_equal(t.f.problems, 0);
}

static void a_file_counts_when_it_is_closed(void **state)
{
	FILE *f;

	(void)state;
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	begin_watching("web.d");
	expect_set("10.0.0.1:80*100");
	f = fopen(path_of("web.d/a.yaml"), "w");
	fputs("- \"10.0.0.2:80\"\n", f);
	fflush(f);
	put("web.d/b.yaml", "\"10.0.0.9:80\""); /* another one is read meanwhile */
	expect_set("10.0.0.1:80*100 10.0.0.9:80*100");
	fputs("- \"10.0.0.3:80\"\n", f);
	fclose(f);
	expect_set("10.0.0.2:80*100 10.0.0.3:80*100 10.0.0.9:80*100");
	unlink(path_of("web.d/a.yaml")); /* and one that is taken away and made again in one go */
	f = fopen(path_of("web.d/a.yaml"), "w");
	run_for(0.1);
	assert_string_equal(t.f.set, "10.0.0.2:80*100 10.0.0.3:80*100 10.0.0.9:80*100");
	fputs("\"10.0.0.4:80\"", f);
	fclose(f);
	expect_set("10.0.0.4:80*100 10.0.0.9:80*100");
}

static void many_changes_at_once_are_one_snapshot(void **state)
{
	char name[32], text[64];
	unsigned before;

	(void)state;
	begin_watching("web.d");
	expect_set("");
	before = t.f.answers;
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "web.d/%03d.yaml", i);
		snprintf(text, sizeof(text), "\"10.0.1.%d:80\"", i);
		put(name, text);
	}
	run_until(strstr(t.f.set, "10.0.1.199:80"));
	assert_int_equal(t.f.answers, before + 1);
}

static void a_wrong_file_keeps_what_it_said_and_stops_no_other(void **state)
{
	(void)state;
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	put("web.d/b.yaml", "\"10.0.0.2:80\"");
	begin_watching("web.d");
	expect_set("10.0.0.1:80*100 10.0.0.2:80*100");
	put("web.d/a.yaml", "- \"10.0.0.1:80\"\n- address: \"10.0.0.300:80\"\n");
	expect_problem("/web.d/a.yaml:2: ");
	assert_non_null(strstr(t.f.problem, "; what the file said before stays"));
	put("web.d/b.yaml", "\"10.0.0.22:80\"");
	expect_set("10.0.0.1:80*100 10.0.0.22:80*100");
	assert_non_null(strstr(t.f.problem, "/web.d/a.yaml:2: "));
	put("web.d/c.yaml", "{");
	expect_problem("; what the file said before stays; wrong too: c.yaml");
	for (char c = 'd'; c <= 'j'; c++)
		put((char[]){ 'w', 'e', 'b', '.', 'd', '/', c, '.', 'y', 'm', 'l', 0 }, "{");
	expect_problem("; wrong too: c.yaml, d.yml, e.yml, f.yml, g.yml and 3 more");
	for (char c = 'd'; c <= 'j'; c++)
		unlink(path_of((char[]){ 'w', 'e', 'b', '.', 'd', '/', c, '.', 'y', 'm', 'l', 0 }));
	unlink(path_of("web.d/c.yaml"));
	run_until(!strstr(t.f.problem, "too"));
	put("web.d/a.yaml", "\"10.0.0.11:80\"");
	expect_set("10.0.0.11:80*100 10.0.0.22:80*100");
	run_for(0.05);
	assert_string_equal(t.f.problem, "");
}

static void a_wrong_file_that_is_taken_away_says_nothing_more(void **state)
{
	(void)state;
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	begin_watching("web.d");
	expect_set("10.0.0.1:80*100");
	put("web.d/a.yaml", "nonsense");
	expect_problem("/web.d/a.yaml:1: ");
	put("web.d/b.yaml", "also: nonsense");
	expect_problem("; wrong too: b.yaml");
	unlink(path_of("web.d/a.yaml"));
	expect_set("");
	expect_problem("the file is left out");
	unlink(path_of("web.d/b.yaml"));
	run_until(!t.f.problem[0]);
}

static void at_the_start_a_wrong_file_takes_nothing_away_that_was_known_before(void **state)
{
	const struct backend before = { .weight = 7 };

	(void)state;
	put("web.d/a.yaml", "nonsense");
	put("web.d/b.yaml", "\"10.0.0.2:80\"");
	t.f.before[0] = before;
	assert_int_equal(endpoint_parse("10.0.0.1:80", &t.f.before[0].at), 0);
	t.f.has_before = true;
	t.f.n_before = 1;
	begin_watching("web.d");
	expect_set("10.0.0.2:80*100 10.0.0.1:80*7"); /* what others say counts */
	expect_problem("what was known before stays, too, until every file was right once");
	put("web.d/c.yaml", "\"10.0.0.3:80\"");
	run_until(strstr(t.f.set, "10.0.0.3:80"));
	assert_non_null(strstr(t.f.set, "10.0.0.1:80*7"));
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	expect_set("10.0.0.1:80*100 10.0.0.2:80*100 10.0.0.3:80*100");
	run_until(!t.f.problem[0]);
}

static void without_anything_known_before_the_right_files_count(void **state)
{
	(void)state;
	put("web.d/a.yaml", "nonsense");
	put("web.d/b.yaml", "\"10.0.0.2:80\"");
	begin_watching("web.d");
	expect_set("10.0.0.2:80*100");
	expect_problem("the file is left out");
}

static void a_missing_directory_is_a_problem_until_it_comes(void **state)
{
	(void)state;
	rmdir(path_of("web.d"));
	begin_watching("web.d");
	expect_problem("/web.d is not there");
	assert_int_equal(t.f.answers, 0);
	mkdir(path_of("new.d"), 0755);
	put("new.d/a.yaml", "\"10.0.0.1:80\"");
	rename(path_of("new.d"), path_of("web.d"));
	expect_set("10.0.0.1:80*100");
	remove_tree(path_of("web.d"));
	expect_problem("/web.d is not there");
	mkdir(path_of("web.d"), 0755);
	put("web.d/a.yaml", "\"10.0.0.2:80\"");
	expect_set("10.0.0.2:80*100");
	rename(path_of("web.d"), path_of("old.d"));
	expect_problem("/web.d is not there");
	put("web.d", "a file");
	expect_problem("/web.d is no directory");
}

/* In the new directory nothing was ever right: a wrong file there must not take away what it said in the old one. */
static void a_wrong_file_in_a_new_directory_replaces_nothing(void **state)
{
	(void)state;
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	put("web.d/b.yaml", "\"10.0.0.2:80\"");
	begin_watching("web.d");
	expect_set("10.0.0.1:80*100 10.0.0.2:80*100");
	rename(path_of("web.d"), path_of("old.d"));
	expect_problem("/web.d is not there");
	mkdir(path_of("new.d"), 0755);
	put("new.d/a.yaml", "nonsense");
	put("new.d/b.yaml", "\"10.0.0.2:80\"");
	rename(path_of("new.d"), path_of("web.d"));
	expect_problem("what was known before stays");
	assert_string_equal(t.f.set, "10.0.0.2:80*100 10.0.0.1:80*100 10.0.0.2:80*100"); /* of an endpoint the first counts */
	put("web.d/a.yaml", "\"10.0.0.11:80\"");
	expect_set("10.0.0.11:80*100 10.0.0.2:80*100");
}

static void a_path_whose_parents_come_later_is_found(void **state)
{
	(void)state;
	begin_watching("deep/er/web.d");
	expect_problem("/web.d is not there");
	mkdir(path_of("deep"), 0755);
	mkdir(path_of("deep/er"), 0755);
	mkdir(path_of("deep/er/web.d"), 0755);
	put("deep/er/web.d/a.yaml", "\"10.0.0.1:80\"");
	expect_set("10.0.0.1:80*100");
}

static void links_are_followed_and_their_swap_is_seen(void **state)
{
	(void)state;
	mkdir(path_of("web.d/..one"), 0755);
	mkdir(path_of("web.d/..two"), 0755);
	put("web.d/..one/a.yaml", "\"10.0.0.1:80\"");
	put("web.d/..one/b.yaml", "\"10.0.0.2:80\"");
	put("web.d/..two/a.yaml", "\"10.0.0.11:80\"");
	put("web.d/..two/b.yaml", "\"10.0.0.12:80\"");
	assert_int_equal(symlink("..one", path_of("web.d/..data")), 0);
	assert_int_equal(symlink("..data/a.yaml", path_of("web.d/a.yaml")), 0);
	assert_int_equal(symlink("..data/b.yaml", path_of("web.d/b.yaml")), 0);
	begin_watching("web.d");
	expect_set("10.0.0.1:80*100 10.0.0.2:80*100");
	assert_int_equal(symlink("..two", path_of("web.d/..data_tmp")), 0);
	assert_int_equal(rename(path_of("web.d/..data_tmp"), path_of("web.d/..data")), 0);
	expect_set("10.0.0.11:80*100 10.0.0.12:80*100");
	assert_int_equal(t.f.problems, 0);
}

static void the_directory_itself_may_be_a_link_that_is_swapped(void **state)
{
	(void)state;
	mkdir(path_of("one"), 0755);
	mkdir(path_of("two"), 0755);
	put("one/a.yaml", "\"10.0.0.1:80\"");
	put("two/a.yaml", "\"10.0.0.2:80\"");
	assert_int_equal(symlink("one", path_of("current")), 0);
	begin_watching("current/");
	expect_set("10.0.0.1:80*100");
	put("one/a.yaml", "\"10.0.0.11:80\"");
	expect_set("10.0.0.11:80*100");
	assert_int_equal(symlink("two", path_of("next")), 0);
	assert_int_equal(rename(path_of("next"), path_of("current")), 0);
	expect_set("10.0.0.2:80*100");
}

static void what_a_link_leads_to_elsewhere_is_looked_at_now_and_then(void **state)
{
	(void)state;
	put("outside", "\"10.0.0.1:80\"");
	assert_int_equal(symlink(path_of("outside"), path_of("web.d/a.yaml")), 0);
	begin_watching("web.d");
	expect_set("10.0.0.1:80*100");
	put("outside", "\"10.0.0.22:80\"");
	expect_set("10.0.0.22:80*100");
}

static void a_file_that_is_too_large_is_wrong(void **state)
{
	int fd;

	(void)state;
	fd = open(path_of("web.d/a.yaml"), O_WRONLY | O_CREAT, 0644);
	assert_int_equal(ftruncate(fd, (16 << 20) + 1), 0);
	close(fd);
	begin_watching("web.d");
	expect_problem("it is larger than 16 MiB");
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	expect_set("10.0.0.1:80*100");
	run_until(!t.f.problem[0]);
}

/* More notices than inotify keeps: everything is read again. */
static void when_notices_were_lost_everything_is_read_again(void **state)
{
	int most = 16384, fd;
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "r");

	(void)state;
	if (f && fscanf(f, "%d", &most) != 1)
		most = 16384;
	if (f)
		fclose(f);
	if (most > 200000)
		skip();
	begin_watching("web.d");
	expect_set("");
	for (int i = 0; i <= most; i++) {
		fd = open(path_of(i % 2 ? "web.d/x" : "web.d/y"), O_WRONLY | O_CREAT, 0644);
		close(fd);
	}
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	expect_set("10.0.0.1:80*100");
}

static void two_watches_may_share_a_directory(void **state)
{
	struct discover other = { .kind = SOURCE_FILES };
	struct finder g = {};
	char path[256];
	void *watch;

	(void)state;
	snprintf(path, sizeof(path), "%s/web.d/deeper", top);
	other.name = path;
	mkdir(path, 0755);
	put("web.d/a.yaml", "\"10.0.0.1:80\"");
	put("web.d/deeper/b.yaml", "\"10.0.0.2:80\"");
	begin_watching("web.d");
	assert_int_equal(source_files.watch(t.source, &other, &g, &watch), 0);
	run_until(set_is("10.0.0.1:80*100") && g.set && !strcmp(g.set, "10.0.0.2:80*100"));
	source_files.unwatch(watch); /* its parent is the other's directory */
	put("web.d/a.yaml", "\"10.0.0.11:80\"");
	expect_set("10.0.0.11:80*100");
	free(g.set);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_there_is_found_in_one_snapshot),
		TEST(files_come_are_replaced_and_go),
		TEST(a_file_counts_when_it_is_closed),
		TEST(many_changes_at_once_are_one_snapshot),
		TEST(a_wrong_file_keeps_what_it_said_and_stops_no_other),
		TEST(a_wrong_file_that_is_taken_away_says_nothing_more),
		TEST(at_the_start_a_wrong_file_takes_nothing_away_that_was_known_before),
		TEST(without_anything_known_before_the_right_files_count),
		TEST(a_missing_directory_is_a_problem_until_it_comes),
		TEST(a_wrong_file_in_a_new_directory_replaces_nothing),
		TEST(a_path_whose_parents_come_later_is_found),
		TEST(links_are_followed_and_their_swap_is_seen),
		TEST(the_directory_itself_may_be_a_link_that_is_swapped),
		TEST(what_a_link_leads_to_elsewhere_is_looked_at_now_and_then),
		TEST(a_file_that_is_too_large_is_wrong),
		TEST(when_notices_were_lost_everything_is_read_again),
		TEST(two_watches_may_share_a_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
