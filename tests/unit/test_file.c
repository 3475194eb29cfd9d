/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* base/file: whole files, read with a limit, replaced at once; and base/text: what others say, made one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clean.h"
#include "base/file.h"
#include "base/text.h"

static char top[64];

static int begin(void **state)
{
	(void)state;
	strcpy(top, "/tmp/shunt-test-file-XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *s, int what, struct FTW *at)
{
	(void)s, (void)what, (void)at;
	return remove(path);
}

static int end(void **state)
{
	(void)state;
	return nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_top(const char *name)
{
	static char path[2][256];
	static unsigned i;

	i = !i;
	snprintf(path[i], sizeof(path[i]), "%s/%s", top, name);
	return path[i];
}

static void what_is_written_is_read(void **state)
{
	static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 32768, 100000 };
	const char *path = in_top("file");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *data = malloc(sizes[i] + 1), *text = NULL;
		size_t len = 7;

		memset(data, 'a' + i, sizes[i]);
		assert_int_equal(file_write(path, data, sizes[i], true), 0);
		assert_int_equal(file_read(path, sizes[i], &text, &len), 0); /* just as much as is allowed */
		assert_int_equal(len, sizes[i]);
		assert_memory_equal(text, data, len);
		assert_int_equal(text[len], '\0');
	}
}

static void more_than_is_allowed_is_refused(void **state)
{
	static const size_t sizes[] = { 1, 2, 16384, 16385, 50000 };
	char *text = (char *)1;
	char data[50000] = {};
	size_t len = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(file_write(in_top("file"), data, sizes[i], true), 0);
		assert_int_equal(file_read(in_top("file"), sizes[i] - 1, &text, &len), -EFBIG);
	}
	assert_ptr_equal(text, (char *)1);
	assert_int_equal(len, 7);
	assert_int_equal(file_read("/dev/zero", 1 << 20, &text, &len), -EFBIG); /* without an end */
}

static void what_cannot_be_read_is_its_errno(void **state)
{
	char *text = (char *)1;
	size_t len;

	(void)state;
	assert_int_equal(file_read(in_top("missing"), 10, &text, &len), -ENOENT);
	assert_int_equal(file_read(top, 10, &text, &len), -EISDIR);
	assert_ptr_equal(text, (char *)1);
}

static void the_first_line_is_without_its_end(void **state)
{
	static const char *const one[] = { "secret", "secret\n", "secret\r\n", "secret\nmore\n" };
	static const char *const none[] = { "", "\n", "\r\n", "\nsecret\n" };
	char *line = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(one); i++) {
		assert_int_equal(file_write(in_top("file"), one[i], strlen(one[i]), false), 0);
		assert_int_equal(file_first_line(in_top("file"), &line), 0);
		assert_string_equal(line, "secret");
		free(line);
	}
	line = (char *)1;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		assert_int_equal(file_write(in_top("file"), none[i], strlen(none[i]), false), 0);
		assert_int_equal(file_first_line(in_top("file"), &line), -ENODATA);
	}
	assert_int_equal(file_first_line(in_top("missing"), &line), -ENOENT);
	assert_int_equal(file_first_line(top, &line), -EISDIR);
	assert_ptr_equal(line, (char *)1);
}

static void what_is_written_is_for_its_owner_alone_and_leaves_nothing_beside_it(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(file_write(in_top("file"), "one", 3, true), 0);
	assert_int_equal(stat(in_top("file"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(in_top("file.new"), &st), -1);
}

static void who_has_the_old_content_open_keeps_it(void **state)
{
	_cleanup_close_ int fd = -1;
	char text[8] = {};

	(void)state;
	assert_int_equal(file_write(in_top("file"), "old", 3, true), 0);
	fd = open(in_top("file"), O_RDONLY);
	assert_int_equal(file_write(in_top("file"), "newer", 5, true), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 3);
	assert_string_equal(text, "old");
}

static void a_failure_leaves_what_was_there(void **state)
{
	_cleanup_free_ char *text = NULL;
	char endless[PATH_MAX + 10];
	size_t len;

	(void)state;
	assert_int_equal(file_write(in_top("missing/file"), "x", 1, true), -ENOENT);
	memset(endless, 'a', sizeof(endless));
	endless[0] = '/';
	endless[sizeof(endless) - 1] = '\0';
	assert_int_equal(file_write(endless, "x", 1, true), -ENAMETOOLONG);
	assert_int_equal(mkdir(in_top("folder"), 0700), 0);
	assert_int_equal(file_write(in_top("folder"), "x", 1, true), -EISDIR); /* the name cannot be taken */
	assert_int_equal(file_read(in_top("folder.new"), 10, &text, &len), -ENOENT);
}

static void nobody_leads_it_elsewhere_by_a_link(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(file_write(in_top("other"), "mine", 4, true), 0);
	assert_int_equal(symlink(in_top("other"), in_top("file.new")), 0);
	assert_int_equal(file_write(in_top("file"), "x", 1, true), -ELOOP);
	assert_int_equal(file_read(in_top("other"), 10, &text, &len), 0);
	assert_string_equal(text, "mine");
}

static void a_directory_is_made_with_those_above_it(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(directory_make(in_top("a/b/c")), 0);
	assert_int_equal(stat(in_top("a/b/c"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(directory_make(in_top("a/b/c")), 0);
	assert_int_equal(directory_make(in_top("a/d/")), 0);
	assert_int_equal(stat(in_top("a/d"), &st), 0);
	assert_int_equal(file_write(in_top("file"), "x", 1, true), 0);
	assert_int_equal(directory_make(in_top("file")), -ENOTDIR);
	assert_int_equal(directory_make(in_top("file/below")), -ENOTDIR);
	assert_int_equal(directory_make("/proc/shunt"), -ENOENT);
}

/* ---- text ---- */

static void assert_clean(const char *text, const char *expected)
{
	char copy[64];

	snprintf(copy, sizeof(copy), "%s", text);
	assert_string_equal(text_clean(copy), expected);
}

static void what_others_say_becomes_one_line_of_text(void **state)
{
	(void)state;
	assert_clean("", "");
	assert_clean("plain ~", "plain ~");
	assert_clean("a\tb\r\nc\033[31m\x7f", "a?b??c?[31m?");
	assert_clean("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	assert_clean("cut \xf0\x9f\x98", "cut ???");
	assert_clean("cut \xe2\x82", "cut ??");
	assert_clean("\xff\xfe\x80", "???");
	assert_clean("\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "?? ??? ????"); /* longer forms than needed */
	assert_clean("\xed\xa0\x80 \xf4\x90\x80\x80", "??? ????"); /* half a pair, beyond the end */
	assert_clean("\xc2\x9b\x32J", "??2J"); /* a control character of two bytes */
	assert_clean("\xc2\xa0", "\xc2\xa0");
}

static void a_text_is_made_of_what_it_was(void **state)
{
	char *text = NULL;

	(void)state;
	text_set(&text, "%d", 7);
	assert_string_equal(text, "7");
	text_set(&text, "%s and %s", text, text);
	assert_string_equal(text, "7 and 7");
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read),
		TEST(more_than_is_allowed_is_refused),
		TEST(what_cannot_be_read_is_its_errno),
		TEST(the_first_line_is_without_its_end),
		TEST(what_is_written_is_for_its_owner_alone_and_leaves_nothing_beside_it),
		TEST(who_has_the_old_content_open_keeps_it),
		TEST(a_failure_leaves_what_was_there),
		TEST(nobody_leads_it_elsewhere_by_a_link),
		TEST(a_directory_is_made_with_those_above_it),
		cmocka_unit_test(a_text_is_made_of_what_it_was),
		cmocka_unit_test(what_others_say_becomes_one_line_of_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
