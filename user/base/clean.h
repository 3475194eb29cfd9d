/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The cleanup idiom: a variable that owns something says so where it is declared, and what leaves the function is
 * passed on by name (TAKE_PTR, TAKE_FD). The reader sees that nothing leaks without reading what is called.
 */
#ifndef BASE_CLEAN_H
#define BASE_CLEAN_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void clean_free(void *p) { free(*(void **)p); }
static inline void clean_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void clean_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_ _cleanup_(clean_free)
#define _cleanup_close_ _cleanup_(clean_close)
#define _cleanup_fclose_ _cleanup_(clean_fclose)

#define TAKE_PTR(p) ({ __typeof__(p) taken_ = (p); (p) = NULL; taken_; })
#define TAKE_FD(fd) ({ int taken_ = (fd); (fd) = -1; taken_; })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
