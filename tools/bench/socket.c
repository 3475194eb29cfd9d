/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rows of socket.*. Each round measures every way once: those of shunt, with its programs loaded, and the others,
 * without them; which comes first changes from round to round. A row's ratio is the median of its ratios to `direct` in
 * the same round, so that what the machine does meanwhile falls on both: for shunt's ways to a direct one that takes
 * turns with them, from a process in a cgroup to which the programs are not attached, for the others to the row's own.
 */
#include "socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"

#define ROUNDS 7

static const struct {
	const char *name;
	uint32_t n; /* in a round */
	uint32_t parts; /* in which shunt's ways and the direct one take turns */
	const char *figures[FIGURES + 1];
	const char *title;
} kinds[KINDS] = {
	[KIND_CONNECT] = {
		"connect", 4000, 8, { "us", "us_rtt", "us_cycle" },
		"microseconds a connection       connect() alone           and a byte there and back "
		"  from socket() to close()\n"
		"on loopback         in a round     median  minimum  ratio     median  minimum  ratio  "
		"   median  minimum  ratio",
	},
	[KIND_SENDTO] = {
		"udp.sendto", 20000, 8, { "ns" },
		"nanoseconds a sendto() of 32 bytes on an unconnected socket\n"
		"                    in a round     median  minimum  ratio",
	},
	[KIND_THROUGHPUT] = {
		"throughput", 1, 2, { "gbit" },
		"Gbit/s of one connection, until the server has said that it got all\n"
		"                    in a round     median  minimum  ratio",
	},
};

static double results[KINDS][WAYS][FIGURES][ROUNDS];
static double beside[KINDS][FIGURES][ROUNDS]; /* `direct`, in turns with shunt's ways */
static bool failed[WAYS];

/* ---- who is measured ---- */

static void row_name(enum kind kind, const struct way *w, char out[64])
{
	snprintf(out, 64, "socket.%s.%s", kinds[kind].name, w->name);
}

static bool is_wanted(enum kind kind, const struct way *w)
{
	char name[64];

	row_name(kind, w, name);
	return w->kinds & 1 << kind && bench_wants(name);
}

/* All rows are compared with the direct ones. */
static bool is_measured(enum kind kind, const struct way *w)
{
	bool is = is_wanted(kind, w);

	for (int i = 0; i < WAYS && w == &ways[WAY_DIRECT]; i++)
		is |= is_wanted(kind, &ways[i]);
	return is && !*w->skipped && !failed[w - ways];
}

static bool way_is_measured(const struct way *w)
{
	for (enum kind kind = 0; kind < KINDS; kind++)
		if (is_measured(kind, w))
			return true;
	return false;
}

/* ---- rounds ---- */

/* Adds a part's share of the means to `to`. */
static int measure_part(enum kind kind, int way, uint32_t parts, double to[FIGURES][ROUNDS], int round)
{
	struct job job = { kind, ways[way].cgroup, ways[way].peer, {}, kinds[kind].n > parts ? kinds[kind].n / parts : 1 };
	double figures[FIGURES];
	int err;

	memcpy(job.to, ways[way].to, sizeof(job.to));
	err = client_measure(&job, figures);
	for (int f = 0; f < FIGURES && !err; f++)
		to[f][round] += figures[f] / parts;
	if (err && err != -EINTR)
		log_error("socket.*.%s ends here", ways[way].name);
	failed[way] |= !!err;
	return err;
}

/* A way that fails gets no rows; the others go on. Only -EINTR ends all. */
static int measure_alone(enum kind kind, int round)
{
	int err = 0;

	for (int i = 0; i < WAYS && err != -EINTR; i++)
		if (!ways[i].loaded && is_measured(kind, &ways[i]))
			err = measure_part(kind, i, 1, results[kind][i], round);
	return err;
}

/* Shunt's ways, and the direct one of a process to which the programs do not apply, in short turns. */
static int measure_in_turns(enum kind kind, int round)
{
	int err = 0;

	for (uint32_t part = 0; part < kinds[kind].parts; part++)
		for (int turn = 0; turn < WAYS && err != -EINTR; turn++) {
			int i = (turn + part) % WAYS;

			if (i == WAY_DIRECT)
				err = measure_part(kind, i, kinds[kind].parts, beside[kind], round);
			else if (ways[i].loaded && is_measured(kind, &ways[i]))
				err = measure_part(kind, i, kinds[kind].parts, results[kind][i], round);
		}
	return err;
}

static int measure_ways(bool loaded, int round)
{
	int err = 0;

	for (enum kind kind = 0; kind < KINDS && err != -EINTR; kind++)
		err = loaded ? measure_in_turns(kind, round) : measure_alone(kind, round);
	return err == -EINTR ? err : 0;
}

static bool any_is_loaded(void)
{
	for (int i = 0; i < WAYS; i++)
		if (ways[i].loaded && way_is_measured(&ways[i]))
			return true;
	return false;
}

static int measure_loaded(int round)
{
	int err;

	if (!any_is_loaded())
		return 0;
	err = ways_load();
	for (int i = 0; i < WAYS && err; i++)
		failed[i] |= ways[i].loaded;
	if (!err)
		err = measure_ways(true, round);
	ways_unload();
	return err == -EINTR ? err : 0;
}

static int measure_rounds(void)
{
	int err = 0;

	for (int half = 0; half < 2 * ROUNDS && !err; half++) {
		int round = half / 2;
		bool loaded = half % 2 == round % 2;

		err = loaded ? measure_loaded(round) : measure_ways(false, round);
		if (bench_stopped())
			err = -EINTR;
	}
	return err;
}

/* ---- rows ---- */

/* Prints median, minimum and ratio of one figure, and puts them into the row. */
static void report_figure(enum kind kind, int way, int f, json_t *row)
{
	const double *mine = results[kind][way][f], *direct = ways[way].loaded ? beside[kind][f] : results[kind][WAY_DIRECT][f];
	const char *name = kinds[kind].figures[f];
	double sorted[ROUNDS], ratios[ROUNDS], median, ratio;
	char key[32];

	for (int round = 0; round < ROUNDS; round++) {
		sorted[round] = mine[round];
		ratios[round] = mine[round] / direct[round];
	}
	median = bench_percentile(sorted, ROUNDS, 50);
	ratio = bench_percentile(ratios, ROUNDS, 50);
	printf("   %8.2f %8.2f %6.3f", median, sorted[0], ratio);
	json_object_set_new(row, name, json_real(median));
	snprintf(key, sizeof(key), "%s_min", name);
	json_object_set_new(row, key, json_real(sorted[0]));
	snprintf(key, sizeof(key), "%s_ratio", name);
	json_object_set_new(row, key, json_real(ratio));
}

static void report_way(enum kind kind, int way)
{
	json_t *row = json_object();
	char name[64];

	row_name(kind, &ways[way], name);
	bench_title(kinds[kind].name, kinds[kind].title);
	if (*ways[way].skipped) {
		json_decref(row);
		bench_row_skipped(name, ways[way].skipped);
		return;
	}
	printf("%-26s %5u", name, kinds[kind].n);
	for (int f = 0; f < FIGURES && kinds[kind].figures[f]; f++)
		report_figure(kind, way, f, row);
	printf("\n");
	bench_row_add(name, kinds[kind].n, row);
}

static int report(void)
{
	int err = 0;

	for (enum kind kind = 0; kind < KINDS; kind++)
		for (int i = 0; i < WAYS; i++) {
			if (!is_wanted(kind, &ways[i]))
				continue;
			if (failed[i] || failed[WAY_DIRECT])
				err = -EIO;
			else
				report_way(kind, i);
		}
	return err;
}

int bench_socket(void)
{
	bool any = false;
	int err;

	for (int i = 0; i < WAYS; i++)
		any |= way_is_measured(&ways[i]);
	if (!any)
		return 0;
	err = ways_begin(way_is_measured);
	if (!err)
		err = measure_rounds();
	ways_end();
	return err ? err : report();
}

void bench_socket_clear(void)
{
	ways_clear();
}
