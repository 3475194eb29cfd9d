/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * control.*: from a verdict, or a configuration, to the kernel's arrays.
 *
 * control.failover: a real TCP check of a listener that goes away. The time is the product's own: from the moment that
 * its callback has the verdict until the store in the mapped array that takes the backend out of all its services
 * (reconcile_stats.last_verdict_seconds); the bench looks into that array each time to see that it is so. How long a
 * check takes to notice is the configuration's business (interval, timeout, fall) and not in it.
 *
 * control.apply: reconcile_apply from the call to its return: all services new. Next hops are looked up after it, in
 * the loop; control.apply.settled is the time from the same call until all are known and the slots have followed.
 * Then control.apply.change: the call again, with one weight of one service changed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "world.h"

/* The name and the listen address of the i-th of many services. */
static struct service *add_service(struct config *c, uint32_t i, const char *first, uint32_t n)
{
	char name[16], listen[LISTEN_TEXT];

	snprintf(name, sizeof(name), "s%04u", i);
	snprintf(listen, sizeof(listen), "203.0.%u.%u:80/tcp", i / 250, i % 250 + 1);
	return world_service(c, name, listen, first, n);
}

/* ---- failover ---- */

#define FLIPS 200
#define FLIP_S 5 /* for a verdict to come */
#define SHARED 10 /* backends, which all the services have; the first fails */
#define SHARED_SLOTS 512 /* of each service: what is rewritten after a verdict is not measured, but waited for */
#define SHARED_FIRST WORLD_FAR ".130"

struct failover {
	struct world world;
	int listeners[SHARED];
	struct event *accepts[SHARED];
	uint64_t verdicts; /* before the flip */
	bool up; /* what is awaited of the victim */
	struct shunt_backend *victim;
};

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
	int conn;

	(void)what, (void)arg;
	while ((conn = accept(fd, NULL, NULL)) >= 0)
		close(conn);
}

static int listen_far(struct failover *f)
{
	for (uint32_t i = 0; i < SHARED; i++) {
		struct endpoint at = { world_address(SHARED_FIRST, i), 80 };

		f->listeners[i] = world_far_socket(&at);
		if (f->listeners[i] < 0 || listen(f->listeners[i], 64))
			return err_r(-EIO, "bench: cannot listen in the far namespace: %s", strerror(errno));
		f->accepts[i] = event_new(f->world.base, f->listeners[i], EV_READ | EV_PERSIST, on_connection, NULL);
		if (!f->accepts[i] || event_add(f->accepts[i], NULL))
			return -ENOMEM;
	}
	return 0;
}

static void listen_end(struct failover *f)
{
	for (uint32_t i = 0; i < SHARED; i++) {
		if (f->accepts[i])
			event_free(f->accepts[i]);
		clean_close(&f->listeners[i]);
	}
}

static struct config *failover_config(uint32_t n)
{
	_cleanup_(config_freep) struct config *c = world_config();

	for (uint32_t i = 0; c && i < n; i++) {
		struct service *s = add_service(c, i, SHARED_FIRST, SHARED);

		if (!s)
			return NULL;
		s->slots = SHARED_SLOTS;
		s->check = (struct check){ .kind = CHECK_TCP, .interval_ms = 40, .timeout_ms = 40, .fall = 1, .rise = 1 };
	}
	return TAKE_PTR(c);
}

static uint64_t verdicts_now(const struct failover *f)
{
	struct reconcile_stats stats;

	reconcile_stats(f->world.reconcile, &stats);
	return stats.verdicts;
}

static bool all_checked(void *arg)
{
	return verdicts_now(arg) >= SHARED;
}

static bool victim_is_up(const struct failover *f)
{
	return __atomic_load_n(&f->victim->flags, __ATOMIC_ACQUIRE) & SHUNT_BACKEND_UP;
}

/* In the array that the program reads. */
static bool victim_flipped(void *arg)
{
	const struct failover *f = arg;

	return victim_is_up(f) == f->up;
}

static int find_victim(struct failover *f)
{
	struct addr at = world_address(SHARED_FIRST, 0);
	struct shunt_backend *b = dp_backends(f->world.dp);

	for (uint32_t i = 0; i < SHARED; i++)
		if (!memcmp(&b[i].address, at.b, sizeof(at.b)))
			f->victim = &b[i];
	return f->victim ? 0 : err_r(-ENOENT, "bench: the shared backend is not in the kernel");
}

/*
 * Makes the victim's listener come or go, and waits for the verdict. *us: how long it took to the kernel; < 0: other
 * verdicts came with it (on a busy machine a check may time out), so it is not known which of them was timed.
 */
static int flip(struct failover *f, bool up, double *us)
{
	struct reconcile_stats stats;
	int err;

	f->verdicts = verdicts_now(f);
	f->up = up;
	if (up ? listen(f->listeners[0], 64) : shutdown(f->listeners[0], SHUT_RDWR))
		return -errno;
	err = world_run_until(&f->world, victim_flipped, f, FLIP_S);
	if (err)
		return err == -EINTR ? err : err_r(err, "bench: no verdict came within %d s", FLIP_S);
	reconcile_stats(f->world.reconcile, &stats);
	*us = stats.verdicts == f->verdicts + 1 ? stats.last_verdict_seconds * 1e6 : -1;
	return 0;
}

static int flip_often(struct failover *f, uint32_t n)
{
	double down[FLIPS + 1], up;
	size_t known = 0;
	int err = 0;

	for (int i = 0; i < 2 * FLIPS && known < FLIPS && !err; i++) {
		err = flip(f, false, &down[known]);
		if (!err && down[known] >= 0)
			known++;
		if (!err)
			err = flip(f, true, &up);
	}
	if (!err && known < FLIPS)
		err = err_r(-EBUSY, "bench: other checks failed too often; run it on a quieter machine");
	if (!err)
		bench_row_us("control.failover", n, down, known);
	return err;
}

static int bench_failover(uint32_t n)
{
	_cleanup_(config_freep) struct config *c = failover_config(n);
	struct failover f = {};
	int err;

	memset(f.listeners, -1, sizeof(f.listeners));
	err = c ? world_open(&f.world, c) : -ENOMEM;
	if (!err)
		err = listen_far(&f);
	if (!err)
		err = world_run_until(&f.world, all_checked, &f, FLIP_S);
	if (!err)
		err = find_victim(&f);
	if (!err)
		err = flip_often(&f, n);
	listen_end(&f);
	world_close(&f.world);
	return err;
}

/* ---- apply ---- */

#define SERVICES 1000
#define BACKENDS 100 /* of each service, and of no other */
#define SETTLE_S 100
#define CHANGES 100

static struct config *apply_config(uint32_t n)
{
	_cleanup_(config_freep) struct config *c = world_config();

	if (!c)
		return NULL;
	c->limits.members = c->limits.backends = 4 * SERVICES * BACKENDS;
	c->limits.slots = 1u << 25;
	for (uint32_t i = 0; i < n; i++) {
		char first[ADDR_TEXT];

		snprintf(first, sizeof(first), "10.%u.%u.1", 1 + i / 250, i % 250);
		if (!add_service(c, i, first, BACKENDS))
			return NULL;
	}
	return TAKE_PTR(c);
}

static int timed_apply(struct world *w, const struct config *c, double *us)
{
	double begin = bench_now_us();
	int err = bench_stopped() ? -EINTR : reconcile_apply(w->reconcile, c);

	*us = bench_now_us() - begin;
	return err;
}

static int apply_all(struct world *w, const struct config *full)
{
	double apply, settle, begin = bench_now_us();
	int err = timed_apply(w, full, &apply);

	if (err)
		return err;
	if (bench_wants("control.apply"))
		bench_row_us("control.apply", SERVICES, &apply, 1);
	err = world_run_until(w, world_has_settled, w, SETTLE_S);
	settle = bench_now_us() - begin;
	if (err == -ETIMEDOUT)
		log_error("bench: %u of %u next hops are known after %d s, or slots are still being written", w->known,
			  SERVICES * BACKENDS, SETTLE_S);
	if (!err && bench_wants("control.apply.settled"))
		bench_row_us("control.apply.settled", SERVICES, &settle, 1);
	return err;
}

/* Every time the weight of one backend: down, and up again. */
static int apply_changes(struct world *w, struct config *c)
{
	double us[CHANGES];
	int err = 0;

	for (uint32_t i = 0; i < CHANGES && !err; i++) {
		c->services[i / 2].backends[0].weight = i % 2 ? WEIGHT_DEFAULT : WEIGHT_DEFAULT / 2;
		err = timed_apply(w, c, &us[i]);
	}
	if (!err)
		bench_row_us("control.apply.change", SERVICES, us, CHANGES);
	return err;
}

static int bench_apply(void)
{
	_cleanup_(config_freep) struct config *empty = apply_config(0);
	_cleanup_(config_freep) struct config *full = apply_config(SERVICES);
	struct world w = {};
	int err;

	err = empty && full ? world_open(&w, empty) : -ENOMEM;
	if (!err)
		err = apply_all(&w, full);
	if (!err && bench_wants("control.apply.change"))
		err = apply_changes(&w, full);
	world_close(&w);
	return err;
}

int bench_control(void)
{
	static const uint32_t sharing[] = { 1, 1000 };
	bool failover = bench_wants("control.failover");
	bool apply = bench_wants("control.apply") || bench_wants("control.apply.settled") ||
		     bench_wants("control.apply.change");
	int err = failover || apply ? world_enter() : 0;

	for (size_t i = 0; failover && i < ARRAY_SIZE(sharing) && !err; i++)
		err = bench_failover(sharing[i]);
	if (apply && !err)
		err = bench_apply();
	return err;
}
