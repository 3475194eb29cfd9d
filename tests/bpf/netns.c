/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "netns.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void format(char command[512], const char *fmt, va_list args)
{
	vsnprintf(command, 512, fmt, args);
}

void sh(const char *fmt, ...)
{
	char command[512];
	va_list args;

	va_start(args, fmt);
	format(command, fmt, args);
	va_end(args);
	if (system(command))
		fail_msg("failed: %s", command);
}

bool sh_ok(const char *fmt, ...)
{
	char command[512];
	va_list args;

	va_start(args, fmt);
	format(command, fmt, args);
	va_end(args);
	strncat(command, " >/dev/null 2>&1", sizeof(command) - strlen(command) - 1);
	return !system(command);
}

const char *sh_line(const char *fmt, ...)
{
	static char line[256];
	char command[512];
	va_list args;
	FILE *out;

	va_start(args, fmt);
	format(command, fmt, args);
	va_end(args);
	out = popen(command, "r");
	assert_non_null(out);
	if (!fgets(line, sizeof(line), out))
		line[0] = '\0';
	pclose(out);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

void netns_enter(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sh("ip link set lo up");
}

void netns_add(const char *name)
{
	sh_ok("ip netns delete %s", name);
	sh("ip netns add %s && ip -n %s link set lo up", name, name);
}

void netns_delete(const char *name)
{
	sh_ok("ip netns delete %s", name);
}
