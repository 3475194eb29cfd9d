/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whole files: read with a limit, written so that who reads sees the old or the new content, also after a crash. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* A zero follows the content. -EFBIG: it has more than max bytes. -errno; *out is untouched then. */
int file_read(const char *path, size_t max, char **out, size_t *len);
/*
 * Mode 0600, in the place of what was there. sync: it is on the disk when this returns, which takes its time; without, a host
 * that goes down soon after may have the old content, or a damaged one. -errno
 */
int file_write(const char *path, const char *data, size_t len, bool sync);
int file_first_line(const char *path, char **out); /* without its end. -ENODATA: there is none, or it is empty; -errno */
int directory_make(const char *path); /* with those above it, mode 0755; it may be there. -errno */

#endif
