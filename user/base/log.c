/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum log_level threshold = LOG_LEVEL_INFO;
static log_tap_fn tap;
static void *tap_arg;
static char last_error[1024];

void log_set_level(enum log_level level)
{
	threshold = level;
}

void log_tap(log_tap_fn fn, void *arg)
{
	tap = fn;
	tap_arg = arg;
}

const char *log_last_error(void)
{
	return last_error;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	static const struct {
		const char *journal, *terminal;
	} prefix[] = {
		[LOG_LEVEL_ERROR] = { "<3>", "error: " },
		[LOG_LEVEL_WARN] = { "<4>", "warning: " },
		[LOG_LEVEL_INFO] = { "<6>", "" },
		[LOG_LEVEL_DEBUG] = { "<7>", "debug: " },
	};
	char line[1024];
	va_list args;

	if (level > threshold && !tap)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (level == LOG_LEVEL_ERROR)
		memcpy(last_error, line, sizeof(line));
	if (tap)
		tap(tap_arg, level, line);
	if (level > threshold)
		return;
	fprintf(stderr, "%s%s\n", getenv("JOURNAL_STREAM") ? prefix[level].journal : prefix[level].terminal, line);
}
