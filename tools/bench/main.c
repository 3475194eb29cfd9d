/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt-bench: how fast the parts are. A table for people on standard output, and rows for programs in a file. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "world.h"

#define LIMIT_S 290 /* the whole of it ends before five minutes are over */
#define GRACE_S 3 /* to end after being asked to */

/* ---- rows that there must be ---- */

#define ANY 0 /* of whatever size */
static const struct expected {
	const char *name;
	uint32_t n[4];
} expected[] = {
	{ "edge.tcp4.established", { 1, 1000, 64000, 1000000 } },
	{ "edge.tcp6.established", { 1, 1000, 64000, 1000000 } },
	{ "edge.udp4", { 1, 1000, 64000, 1000000 } },
	{ "edge.tcp4.syn", { 1, 1000, 64000, 1000000 } },
	{ "edge.tcp4.transition", { 1, 1000, 64000, 1000000 } },
	{ "edge.pass", { 1, 1000, 64000, 1000000 } },
	{ "edge.udp4.client", { 1, 1000, 64000, 1000000 } },
	{ "edge.udp4.quic", { 1, 1000, 64000, 1000000 } },
	{ "edge.tcp4.gue", { 1, 1000, 64000, 1000000 } },
	{ "table.build", { ANY } },
	{ "table.follow", { ANY } },
	{ "table.ranked", { ANY } },
	{ "table.flip", { ANY } },
	{ "control.failover", { 1, 1000 } },
	{ "control.apply", { 1000 } },
	{ "control.apply.settled", { 1000 } },
	{ "control.apply.change", { 1000 } },
	{ "discovery.files.latency", { ANY } },
	{ "discovery.consul.latency", { ANY } },
	{ "discovery.etcd.latency", { ANY } },
	{ "discovery.10k.files", { 10000 } },
	{ "discovery.10k.consul", { 10000 } },
	{ "discovery.memory", { 100, 10000, 100000 } },
	{ "socket.connect.direct", { ANY } },
	{ "socket.connect.service", { ANY } },
	{ "socket.connect.other", { ANY } },
	{ "socket.connect.haproxy", { ANY } },
	{ "socket.connect.nftables", { ANY } },
	{ "socket.udp.sendto.direct", { ANY } },
	{ "socket.udp.sendto.service", { ANY } },
	{ "socket.udp.sendto.nftables", { ANY } },
	{ "socket.throughput.direct", { ANY } },
	{ "socket.throughput.service", { ANY } },
	{ "socket.throughput.haproxy", { ANY } },
	{ "socket.throughput.nftables", { ANY } },
};

static char **prefixes; /* NULL-terminated; empty: all rows */
static volatile sig_atomic_t stopped;
static double deadline_us;
static json_t *rows;

bool bench_wants(const char *name)
{
	for (char **p = prefixes; *p; p++)
		if (!strncmp(name, *p, strlen(*p)))
			return true;
	return !*prefixes;
}

bool bench_stopped(void)
{
	return stopped || bench_now_us() > deadline_us;
}

double bench_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e6 + ts.tv_nsec / 1e3;
}

/* ---- results ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_percentile(double *samples, size_t n, double percent)
{
	size_t at = percent / 100 * n;

	qsort(samples, n, sizeof(*samples), compare);
	return samples[at < n ? at : n - 1];
}

/* Three digits behind the point are plenty. */
static double rounded(double x)
{
	return (long long)(x * 1000 + 0.5) / 1000.0;
}

/* A title where a row of another form than the last begins. */
void bench_title(const char *form, const char *text)
{
	static const char *last;

	if (form != last)
		printf("%s%s\n", last ? "\n" : "", text);
	last = form;
}

void bench_row_us(const char *name, uint32_t n, double *samples_us, size_t n_samples)
{
	static const char form[] = "us";
	double p99 = bench_percentile(samples_us, n_samples, 99), median = bench_percentile(samples_us, n_samples, 50);

	bench_title(form, "microseconds                   n       median         p99     minimum   samples");
	printf("%-24s %7u %12.1f %11.1f %11.1f %9zu\n", name, n, median, p99, samples_us[0], n_samples);
	fflush(stdout);
	json_array_append_new(rows, json_pack("{s:s, s:i, s:f, s:f}", "name", name, "n", (int)n, "us", rounded(median),
					      "us_p99", rounded(p99)));
}

void bench_row_ns(const char *name, uint32_t n, double *gross, double *harness, size_t n_runs)
{
	static const char form[] = "ns";
	double net[n_runs], median, g, h;

	for (size_t i = 0; i < n_runs; i++)
		net[i] = gross[i] - harness[i];
	median = bench_percentile(net, n_runs, 50);
	g = bench_percentile(gross, n_runs, 50);
	h = bench_percentile(harness, n_runs, 50);
	bench_title(form, "nanoseconds a packet      (medians:)                           (minima:)\n"
		    "                           flows   harness     gross       net   harness     gross       net");
	printf("%-22s %9u %9.1f %9.1f %9.1f %9.1f %9.1f %9.1f\n", name, n, h, g, median, harness[0], gross[0],
	       gross[0] - harness[0]);
	fflush(stdout);
	json_array_append_new(rows, json_pack("{s:s, s:i, s:f, s:f, s:f}", "name", name, "n", (int)n, "ns_gross", rounded(g),
					      "ns_harness", rounded(h), "ns_net", rounded(median)));
}

void bench_row_add(const char *name, uint32_t n, json_t *figures)
{
	json_t *row = json_pack("{s:s, s:i}", "name", name, "n", (int)n), *value;
	const char *key;

	json_object_foreach(figures, key, value)
		json_object_set_new(row, key, json_real(rounded(json_real_value(value))));
	json_decref(figures);
	json_array_append_new(rows, row);
	fflush(stdout);
}

void bench_row_skipped(const char *name, const char *why)
{
	printf("%-25s skipped: %s\n", name, why);
	fflush(stdout);
	json_array_append_new(rows, json_pack("{s:s, s:s}", "name", name, "skipped", why));
}

static bool has_row(const char *name, uint32_t n)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (!strcmp(json_string_value(json_object_get(row, "name")), name) &&
		    (n == ANY || json_integer_value(json_object_get(row, "n")) == n))
			return true;
	return false;
}

static bool is_missing(const struct expected *e)
{
	bool missing = !has_row(e->name, e->n[0]);

	for (int k = 1; k < 4; k++)
		missing |= e->n[k] && !has_row(e->name, e->n[k]);
	return missing;
}

static int report_missing(void)
{
	int missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		if (!bench_wants(expected[i].name) || !is_missing(&expected[i]))
			continue;
		log_error("row %s is missing, or one of its sizes", expected[i].name);
		missing++;
	}
	return missing;
}

static int write_rows(const char *path)
{
	if (!path || !json_dump_file(rows, path, JSON_INDENT(1)))
		return 0;
	return err_r(-EIO, "cannot write %s: %s", path, strerror(errno));
}

/* ---- all of it ---- */

static const struct {
	const char *prefix;
	int (*run)(void);
} groups[] = {
	{ "edge.", bench_edge },
	{ "table.", bench_table },
	{ "control.", bench_control },
	{ "discovery.", bench_discovery },
	{ "socket.", bench_socket },
};

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

/* Without SA_RESTART: what waits in the kernel comes back. */
static void catch_signals(void)
{
	const struct sigaction stop = { .sa_handler = on_signal };

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	sigaction(SIGALRM, &stop, NULL);
}

/*
 * Waits for the process that measures. A signal, or the end of the time, asks it to end; it may be in the midst of a
 * configuration of 100,000 backends and not listen, so it is killed at last. Its pins go in any case.
 */
static int supervise(pid_t child)
{
	bool asked = false;
	int status;

	alarm(LIMIT_S);
	while (waitpid(child, &status, 0) < 0) {
		kill(child, asked ? SIGKILL : SIGTERM);
		asked = true;
		alarm(GRACE_S);
	}
	world_unload();
	bench_discovery_clear();
	bench_socket_clear();
	if (WIFSIGNALED(status))
		log_error("the bench was killed by signal %d", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int run_groups(void)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		int one = stopped ? -EINTR : groups[i].run();

		if (one && one != -EINTR)
			log_error("the rows %s* failed: %s", groups[i].prefix, strerror(-one));
		err = err ? err : one;
	}
	return err;
}

static int usage(FILE *to, const char *self)
{
	fprintf(to,
		"usage: %s [-o FILE] [ROW...]\n"
		"\n"
		"Measures what the parts of shunt cost and prints a table. ROW: only rows whose names begin so.\n"
		"  -o, --output FILE   write the rows to FILE as well, as a JSON list\n"
		"  -l, --list          print the names of the rows\n"
		"  -h, --help          print this\n"
		"\n"
		"Needs root. It works in network namespaces and cgroups of its own and with pins in " WORLD_PINS "*,\n"
		"and leaves none of them behind. socket.* and discovery.* need shuntd beside this program; rows of what\n"
		"else they need (haproxy, nft, etcd, consul) are skipped where that is not installed. All rows together\n"
		"take less than five minutes.\n",
		self);
	return to == stdout ? 0 : 2;
}

static int list(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		printf("%s\n", expected[i].name);
	return 0;
}

static bool names_a_row(const char *prefix)
{
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (!strncmp(expected[i].name, prefix, strlen(prefix)))
			return true;
	return false;
}

static int measure(const char *output)
{
	int err;

	deadline_us = bench_now_us() + LIMIT_S * 1e6;
	rows = json_array();
	err = run_groups();
	if (bench_stopped())
		log_error("ended early: %s", stopped ? "interrupted" : "the time is over");
	if (report_missing() || write_rows(output))
		err = err ? err : -ENOENT;
	json_decref(rows);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	const char *output = NULL;
	pid_t child;
	int c;

	while ((c = getopt_long(argc, argv, "o:lh", options, NULL)) != -1) {
		if (c == 'o')
			output = optarg;
		else
			return c == 'l' ? list() : usage(c == 'h' ? stdout : stderr, argv[0]);
	}
	prefixes = argv + optind;
	for (char **p = prefixes; *p; p++)
		if (!names_a_row(*p)) {
			log_error("no row begins with '%s'; --list prints their names", *p);
			return 2;
		}
	log_set_level(LOG_LEVEL_ERROR); /* verdicts are what we make */
	catch_signals();
	child = fork();
	if (child < 0)
		return 1;
	if (!child)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	return child ? supervise(child) : measure(output);
}
