/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A network namespace of the test's own, and a named one for the other ends of its veth pairs. */
#ifndef TESTS_NETNS_H
#define TESTS_NETNS_H

#include <stdbool.h>

void netns_enter(void); /* the process moves into a fresh one, with lo up */
void netns_add(const char *name); /* a named one, with lo up; one that is left over is removed first */
void netns_delete(const char *name);

/* Runs a command; the test fails if it does. */
void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool sh_ok(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* silent; whether it worked */
/* The first line of what a command prints, without its end; static memory. */
const char *sh_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
