/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bytes of a stream, and what client and server share beside. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "traffic.h"

/* Every bit of the result depends on every bit of connection and place (the finalizer of MurmurHash3). */
static uint64_t word(uint64_t connection, uint64_t index)
{
	uint64_t x = connection * 0x9e3779b97f4a7c15ull + index;

	x = (x ^ x >> 33) * 0xff51afd7ed558ccdull;
	x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static uint8_t byte(const struct stream *s, uint64_t at)
{
	return word(s->connection, at / 8) >> at % 8 * 8;
}

void stream_fill(const struct stream *s, uint64_t at, uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = at + i < HEAD ? s->head[at + i] : byte(s, at + i);
}

bool stream_matches(const struct stream *s, uint64_t at, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at + i >= HEAD && bytes[i] != byte(s, at + i))
			return false;
	return true;
}

int stream_write(const struct stream *s, int fd, uint64_t *at, uint64_t until)
{
	uint8_t bytes[CHUNK];

	while (*at < until) {
		size_t n = until - *at < CHUNK ? until - *at : CHUNK;
		ssize_t done;

		stream_fill(s, *at, bytes, n);
		done = send(fd, bytes, n, MSG_NOSIGNAL);
		if (done < 0)
			return -errno;
		*at += done;
	}
	return 0;
}

double clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void clock_text(double at, char text[32])
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(text, 32, "%.3f", t.tv_sec + t.tv_nsec / 1e9 - clock_now() + at);
}

#define DESCRIPTORS_BESIDE 64 /* of the event loop, logs, listeners */

int descriptors_raise(size_t n)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return err_r(-errno, "the limit of descriptors cannot be read: %s", strerror(errno));
	if (limit.rlim_max < n + DESCRIPTORS_BESIDE)
		limit.rlim_max = n + DESCRIPTORS_BESIDE;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return err_r(-errno,
			     "%zu connections need more descriptors than this process may have: start it as root or "
			     "raise ulimit -Hn",
			     n);
	return 0;
}
