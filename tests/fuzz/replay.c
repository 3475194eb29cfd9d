/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Feeds every file of a corpus to the fuzz target that this is linked with. Speaks TAP, and names the file that the
 * target does not survive, or is longer about than LIMIT_S.
 *
 * replay NAME FOLDER
 */
#include <dirent.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>

#include "base/file.h"
#include "fuzz.h"

#define LIMIT_S 10
#define SIZE_MAX_BYTES ((size_t)1 << 20)

static const char *target;
static char path[4096]; /* of the input that is being answered */

static void on_death(void)
{
	fprintf(stderr, "not ok 1 - %s: this input breaks it: %s\n", target, path);
}

static void on_signal(int number)
{
	on_death();
	signal(number, SIG_DFL);
	raise(number);
}

/* In memory that ends where the input does, for the sanitizer. */
static void replay(const char *folder, const char *name)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ uint8_t *exact = NULL;
	size_t size = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	must(!file_read(path, SIZE_MAX_BYTES, &text, &size));
	exact = malloc(size ?: 1);
	must(exact);
	memcpy(exact, text, size);
	alarm(LIMIT_S);
	LLVMFuzzerTestOneInput(exact, size);
}

static unsigned replay_all(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *e;
	unsigned n = 0;

	if (!dir)
		return 0;
	for (; (e = readdir(dir)); n += e->d_name[0] != '.')
		if (e->d_name[0] != '.')
			replay(folder, e->d_name);
	closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	unsigned n;

	if (argc != 3) {
		fprintf(stderr, "usage: %s NAME FOLDER\n", argv[0]);
		return 2;
	}
	target = argv[1];
	signal(SIGABRT, on_signal);
	signal(SIGALRM, on_signal);
	__sanitizer_set_death_callback(on_death);
	setlinebuf(stdout);
	puts("1..1");
	n = replay_all(argv[2]);
	printf("%s 1 - %s: %u inputs of %s are answered\n", n ? "ok" : "not ok", target, n, argv[2]);
	return !n;
}
