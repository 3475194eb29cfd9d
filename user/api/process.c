/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "base/clean.h"

static uint64_t resident_bytes(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages;

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		return 0;
	return (uint64_t)pages * sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!dir)
		return 0;
	for (const struct dirent *entry; (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* without the one that just counted */
}

static double seconds(const struct timeval *tv)
{
	return tv->tv_sec + tv->tv_usec / 1e6;
}

void process_usage(struct process_usage *out)
{
	struct rusage usage = {};

	getrusage(RUSAGE_SELF, &usage);
	out->cpu_seconds = seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
	out->resident_bytes = resident_bytes();
	out->open_fds = open_fds();
}
