/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Feeds config_parse whatever comes: it must answer every text with a configuration that the model accepts, or with
 * sentences of one line; and neither crash, nor leak, nor take long.
 *
 *   clang -O1 -g -fsanitize=fuzzer,address,undefined -DFUZZER -std=gnu11 -D_GNU_SOURCE -Iuser tests/fuzz/fuzz_config.c \
 *         user/{config,base}/?*.c user/model/{model,service,texts,listen,listeners,server_id,circle,where,validate}.c \
 *         -lyaml -o fuzz_config
 *   ./fuzz_config -max_total_time=300 CORPUS tests/config/good tests/config/broken
 *
 * Without -DFUZZER it has a main of its own, which replays the files (and the files of the folders) that it is given.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "config/config.h"

static void say(void *arg, const char *sentence)
{
	unsigned *n = arg;

	if (strncmp(sentence, "fuzz", 4) || strchr(sentence, '\n'))
		abort();
	++*n;
}

static void on_fault(void *arg, const struct service *s, const struct backend *b, const char *sentence)
{
	(void)arg;
	(void)s;
	(void)b;
	fprintf(stderr, "accepted, but %s\n", sentence);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_freep) struct config *c = NULL;
	unsigned said = 0;
	int err = config_parse("fuzz", (const char *)data, size, say, &said, &c);

	if (err ? err != -EINVAL || !said || c : said || !c)
		abort();
	if (c)
		config_validate(c, on_fault, NULL);
	return 0;
}

#ifndef FUZZER
static int replay_file(const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "r");
	_cleanup_free_ uint8_t *data = malloc(1 << 20);
	size_t size;

	if (!f || !data) {
		perror(path);
		return 1;
	}
	size = fread(data, 1, 1 << 20, f);
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

/* Returns how many could not be read. */
static int replay(const char *path, unsigned *n)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int failed = 0;

	if (!dir) {
		++*n;
		return replay_file(path);
	}
	while ((e = readdir(dir))) {
		_cleanup_free_ char *file = NULL;

		if (e->d_name[0] == '.' || asprintf(&file, "%s/%s", path, e->d_name) < 0)
			continue;
		failed += replay(file, n);
	}
	closedir(dir);
	return failed;
}

int main(int argc, char **argv)
{
	unsigned n = 0;
	int failed = 0;

	for (int i = 1; i < argc; i++)
		failed += replay(argv[i], &n);
	printf("%u files replayed, %d could not be read\n", n, failed);
	return failed || !n;
}
#endif
