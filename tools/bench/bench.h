/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the groups of rows share: who wants which row, how to time, and where results go. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* Is a row of this name asked for? A group asks before it prepares anything. */
bool bench_wants(const char *name);

/* Ctrl-C was pressed, or the time is over: end at the next opportunity, with -EINTR. */
bool bench_stopped(void);

double bench_now_us(void); /* CLOCK_MONOTONIC */

/* Sorts the n samples. */
double bench_percentile(double *samples, size_t n, double percent);

/* A row {"name","n","us","us_p99"}: median and 99th percentile of the samples (sorted by this), in microseconds. */
void bench_row_us(const char *name, uint32_t n, double *samples_us, size_t n_samples);

/*
 * A row {"name","n","ns_gross","ns_harness","ns_net"}: medians; net is the median of the differences within each run.
 * gross and harness: nanoseconds a packet of each run; both are sorted by this.
 */
void bench_row_ns(const char *name, uint32_t n, double *gross, double *harness, size_t n_runs);

/* For rows of other forms: a title where one of another form than the last begins, and what goes to the file. */
void bench_title(const char *form, const char *text);
void bench_row_add(const char *name, uint32_t n, json_t *figures); /* figures become the row's: not to be freed */
void bench_row_skipped(const char *name, const char *why);

/* The groups. Each measures those of its rows that are wanted and reports them. 0 or -errno (and has said why). */
int bench_edge(void); /* edge.*: a packet through the edge program */
int bench_table(void); /* table.build, table.follow, table.ranked, table.flip: the slot table alone */
int bench_control(void); /* control.*: from a verdict or a configuration to the kernel */
int bench_discovery(void); /* discovery.*: from what a source says to the kernel, and the memory that it takes */
void bench_discovery_clear(void); /* what is left of it when its process was killed */
int bench_socket(void); /* socket.*: a local process's way to a service */
void bench_socket_clear(void); /* what is left of it when its process was killed */

#endif
