/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "health/checker.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "health/health.h"

static void (*on_socket)(void *arg, int fd);
static void *on_socket_arg;

void health_on_socket(void (*fn)(void *arg, int fd), void *arg)
{
	on_socket = fn;
	on_socket_arg = arg;
}

int checker_socket(int family)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (on_socket)
		on_socket(on_socket_arg, fd);
	return fd;
}

bool checker_errno_is_ours(int err)
{
	switch (err) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL: /* of connect: every local port is taken */
	case EAGAIN:
		return true;
	}
	return false;
}

bool checker_connected_to_itself(int fd)
{
	struct sockaddr_storage here = {}, there = {};
	socklen_t here_len = sizeof(here), there_len = sizeof(there);

	if (getsockname(fd, (struct sockaddr *)&here, &here_len) || getpeername(fd, (struct sockaddr *)&there, &there_len))
		return false;
	return here_len == there_len && !memcmp(&here, &there, here_len);
}

static const char *remedy(int err)
{
	switch (err) {
	case EMFILE:
		return "no file descriptors are left: raise LimitNOFILE of the service";
	case ENFILE:
		return "the system has no file descriptors left: raise fs.file-max";
	case EADDRNOTAVAIL:
		return "no local ports are left: widen net.ipv4.ip_local_port_range";
	}
	return "the kernel has no memory left for sockets";
}

void outcome_from_errno(struct outcome *o, int err)
{
	*o = (struct outcome){ .kind = OUTCOME_PASSED };
	if (!err)
		return;
	if (checker_errno_is_ours(err)) {
		o->kind = OUTCOME_PUT_OFF;
		snprintf(o->why, sizeof(o->why), "%s", remedy(err));
		return;
	}
	outcome_failed(o, "%s", strerror(err));
	o->why[0] = tolower(o->why[0]);
}

void outcome_failed(struct outcome *o, const char *fmt, ...)
{
	va_list args;

	o->kind = OUTCOME_FAILED;
	va_start(args, fmt);
	vsnprintf(o->why, sizeof(o->why), fmt, args);
	va_end(args);
}

void outcome_timed_out(struct outcome *o, const char *what, uint32_t timeout_ms)
{
	if (timeout_ms % 1000)
		outcome_failed(o, "%s within %u ms", what, timeout_ms);
	else
		outcome_failed(o, "%s within %u s", what, timeout_ms / 1000);
}
