/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What slot tables cost: table.build from nothing, table.follow from the table of before, with one backend less and then
 * one more in turn, table.ranked, the rankings of all its slots (second chance), and
 * table.flip, one member's health going down and up in turn. n is the number of backends, all of one weight; the table
 * has the size that they get.
 */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/clean.h"
#include "base/log.h"
#include "model/table.h"

#define RUNS_MAX 2000
#define RUNS_MIN 5
#define BUDGET_US 1500000.0 /* for each row */

struct samples {
	double us[RUNS_MAX];
	double spent;
	size_t n;
};

static bool enough(const struct samples *s)
{
	return s->n == RUNS_MAX || (s->spent > BUDGET_US && s->n >= RUNS_MIN);
}

static void take(struct samples *s, double us)
{
	s->us[s->n++] = us;
	s->spent += us;
}

static struct table_member *members_new(uint32_t n)
{
	struct table_member *m = calloc(n, sizeof(*m));

	for (uint32_t i = 0; m && i < n; i++) {
		struct addr a = addr_from4(0);

		a.b[12] = 10;
		a.b[14] = i >> 8;
		a.b[15] = i;
		m[i] = (struct table_member){ .key = table_key(a.b, 80), .weight = 100, .alive = true };
	}
	return m;
}

static int measure_build(const struct table_member *m, uint32_t n, struct samples *s)
{
	while (!enough(s)) {
		_cleanup_(table_freep) struct table *t = NULL;
		double begin = bench_now_us();
		int err = table_build(&t, m, n, table_slots_for(m, n));

		take(s, bench_now_us() - begin);
		if (err || bench_stopped())
			return err ? err : -EINTR;
	}
	return 0;
}

static int measure_follow(const struct table_member *m, uint32_t n, struct samples *s)
{
	_cleanup_(table_freep) struct table *was = NULL;
	uint32_t n_slots = table_slots_for(m, n);
	int err = table_build(&was, m, n, n_slots);

	while (!err && !enough(s)) {
		struct table *t = NULL;
		double begin = bench_now_us();

		err = table_follow(&t, was, m, n - (s->n + 1) % 2, n_slots);
		take(s, bench_now_us() - begin);
		table_free(was);
		was = t;
		if (bench_stopped())
			err = err ?: -EINTR;
	}
	return err;
}

static int measure_ranked(const struct table_member *m, uint32_t n, struct samples *s)
{
	_cleanup_(table_freep) struct table *t = NULL;
	_cleanup_free_ uint16_t (*ranked)[TABLE_RANKED] = NULL;
	int err = table_build(&t, m, n, table_slots_for(m, n));

	if (err)
		return err;
	ranked = calloc(t->n_slots, sizeof(*ranked));
	if (!ranked)
		return -ENOMEM;
	while (!enough(s)) {
		double begin = bench_now_us();

		table_ranked(t, 0, t->n_slots, ranked);
		take(s, bench_now_us() - begin);
		if (bench_stopped())
			return -EINTR;
	}
	return 0;
}

static int measure_flip(const struct table_member *m, uint32_t n, struct samples *s)
{
	_cleanup_(table_freep) struct table *t = NULL;
	int err = table_build(&t, m, n, table_slots_for(m, n));

	while (!err && !enough(s)) {
		uint32_t member = s->n / 2 % n;
		bool alive = s->n % 2; /* down, then up again */
		double begin = bench_now_us();

		table_set_alive(t, member, alive);
		take(s, bench_now_us() - begin);
		if (bench_stopped())
			err = -EINTR;
	}
	return err;
}

static int measure_row(const char *name, uint32_t n,
		       int (*measure)(const struct table_member *m, uint32_t n, struct samples *s))
{
	_cleanup_free_ struct table_member *m = members_new(n);
	_cleanup_free_ struct samples *s = calloc(1, sizeof(*s));
	int err;

	if (!bench_wants(name))
		return 0;
	err = m && s ? measure(m, n, s) : -ENOMEM;
	if (err == -EINTR)
		return err;
	if (err)
		return err_r(err, "%s with %u backends: no memory for the table; free some", name, n);
	bench_row_us(name, n, s->us, s->n);
	return 0;
}

int bench_table(void)
{
	static const uint32_t sizes[] = { 10, 100, 1000, 2000, 10000 }; /* 2,000 get the largest table that there is */
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(sizes); i++)
		err = measure_row("table.build", sizes[i], measure_build);
	for (size_t i = 0; !err && i < ARRAY_SIZE(sizes); i++)
		err = measure_row("table.follow", sizes[i], measure_follow);
	for (size_t i = 0; !err && i < ARRAY_SIZE(sizes); i++)
		err = measure_row("table.ranked", sizes[i], measure_ranked);
	for (size_t i = 0; !err && i < ARRAY_SIZE(sizes); i++)
		err = measure_row("table.flip", sizes[i], measure_flip);
	return err;
}
