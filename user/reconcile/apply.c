/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A whole configuration: plan every service, and only when all plans stand, carry them out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "base/log.h"
#include "reconcile/internal.h"

/* ---- making and ending ---- */

static int make_spaces(struct reconcile *r)
{
	const struct limits *max = r->limits;
	int err = space_init(&r->service_ids, max->services);

	if (!err)
		err = space_init(&r->backend_ids, max->backends);
	if (!err)
		err = space_init(&r->members, max->members);
	if (!err)
		err = space_init(&r->slot_units, max->slots / SLOT_UNIT);
	r->by_id = calloc(max->services, sizeof(*r->by_id));
	r->node_by_id = calloc(max->backends, sizeof(*r->node_by_id));
	r->services = calloc(max->services, sizeof(*r->services));
	return err ? err : r->by_id && r->node_by_id && r->services ? 0 : -ENOMEM;
}

int reconcile_new(struct event_base *base, struct datapath *dp, struct health *health, struct nexthops *nexthops,
		  struct reconcile **out)
{
	struct reconcile *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	*r = (struct reconcile){ .base = base, .dp = dp, .health = health, .nexthops = nexthops,
				  .limits = dp_limits(dp) };
	r->dirty_tail = &r->dirty;
	r->work = event_new(base, -1, 0, live_work, r);
	r->settle = event_new(base, -1, EV_PERSIST, live_settle, r);
	r->config = config_new();
	err = r->work && r->config && r->settle && !event_add(r->settle, &(struct timeval){ .tv_sec = 1 }) ? make_spaces(r) : -ENOMEM;
	if (!err)
		err = adopt(r);
	if (err) {
		reconcile_free(r);
		return err;
	}
	*out = r;
	return 0;
}

void reconcile_free(struct reconcile *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; r->node_by_id && i < r->backend_ids.size; i++)
		if (r->node_by_id[i])
			node_forget(r->node_by_id[i]);
	for (size_t i = 0; i < r->n_services; i++)
		live_free(r->services[i]);
	if (r->work)
		event_free(r->work);
	if (r->settle)
		event_free(r->settle);
	space_free(&r->service_ids);
	space_free(&r->backend_ids);
	space_free(&r->members);
	space_free(&r->slot_units);
	free(r->services);
	free(r->by_id);
	free(r->node_by_id);
	free(r->listens);
	config_free(r->config);
	free(r);
}

const struct config *reconcile_config(const struct reconcile *r)
{
	return r->config;
}

/* ---- listeners ---- */

static int compare_listens(const void *a, const void *b)
{
	return listen_compare(&((const struct applied_listen *)a)->listen, &((const struct applied_listen *)b)->listen);
}

/* What config c listens on, sorted; services by number. */
static int wanted_listens(struct reconcile *r, const struct config *c, struct applied_listen **out, size_t *n)
{
	struct applied_listen *all;
	size_t total = 0;

	for (size_t i = 0; i < c->n_services; i++)
		total += c->services[i].n_listens;
	all = calloc(total + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	*n = 0;
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_listens; k++)
			all[(*n)++] = (struct applied_listen){ c->services[i].listens[k],
							       live_find(r, c->services[i].name)->id };
	qsort(all, *n, sizeof(*all), compare_listens);
	*out = all;
	return 0;
}

/* A walk over two sorted lists: first everything that is new or leads elsewhere, so that no address is ever without. */
static int set_listens(struct reconcile *r, const struct applied_listen *want, size_t n)
{
	int err = 0;

	for (size_t i = 0, k = 0; i < n && !err; i++) {
		while (k < r->n_listens && compare_listens(&r->listens[k], &want[i]) < 0)
			k++;
		if (k < r->n_listens && !compare_listens(&r->listens[k], &want[i]) &&
		    r->listens[k].service == want[i].service)
			continue;
		err = dp_listener_set(r->dp, &want[i].listen, want[i].service);
	}
	return err;
}

static int delete_listens(struct reconcile *r, const struct applied_listen *want, size_t n)
{
	int err = 0;

	for (size_t i = 0, k = 0; i < r->n_listens && !err; i++) {
		while (k < n && compare_listens(&want[k], &r->listens[i]) < 0)
			k++;
		if (k == n || compare_listens(&want[k], &r->listens[i]))
			err = dp_listener_delete(r->dp, &r->listens[i].listen);
	}
	return err;
}

static int apply_listens(struct reconcile *r, const struct config *c)
{
	struct applied_listen *want;
	size_t n;
	int err = wanted_listens(r, c, &want, &n);

	if (err)
		return err;
	err = set_listens(r, want, n);
	if (!err)
		err = delete_listens(r, want, n);
	free(r->listens);
	r->listens = want;
	r->n_listens = n;
	return err;
}

/* Listeners and the marks of their addresses share a map. */
static int check_listeners(const struct reconcile *r, const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_services; i++)
		n += 2 * c->services[i].n_listens;
	if (n > r->limits->listeners)
		return err_r(-ENOSPC, "%zu listen addresses need %zu entries of limits.listeners (%u): raise it", n / 2, n,
			     r->limits->listeners);
	return 0;
}

/* ---- services that nobody wants any more ---- */

static int remove_unwanted(struct reconcile *r, struct leftovers *left, struct live ***out, size_t *n)
{
	struct live **gone = calloc(r->n_services + 1, sizeof(*gone));
	size_t kept = 0;
	int err = gone ? 0 : -ENOMEM;

	*n = 0;
	for (size_t i = 0; i < r->n_services && !err; i++) {
		struct live *l = r->services[i];

		if (l->wanted) {
			r->services[kept++] = l;
			continue;
		}
		err = plan_remove(r, l, left);
		live_unmark(l, r);
		r->by_id[l->id] = NULL;
		gone[(*n)++] = l;
	}
	if (!err)
		r->n_services = kept;
	*out = gone;
	return err;
}

static void forget_removed(struct reconcile *r, struct live **gone, size_t n)
{
	static const struct shunt_service_info empty;

	for (size_t i = 0; i < n; i++) {
		dp_store(&dp_services(r->dp)[gone[i]->id].table, 0);
		dp_service_info_set(r->dp, gone[i]->id, &empty);
		space_release(&r->service_ids, gone[i]->id, 1);
		live_free(gone[i]);
	}
	free(gone);
}

/* ---- apply ---- */

static int plan_all(struct reconcile *r, const struct config *c, struct plan *plans)
{
	int err = check_listeners(r, c);

	for (size_t i = 0; i < c->n_services && !err; i++)
		err = plan_make(r, &c->services[i], &plans[i]);
	for (size_t i = 0; i < c->n_services && err; i++)
		if (plans[i].want)
			plan_drop(r, &plans[i]);
	return err;
}

static int commit_all(struct reconcile *r, const struct config *c, struct plan *plans)
{
	struct leftovers left = {};
	struct live **gone = NULL;
	size_t n_gone = 0;
	int err = 0;

	for (size_t i = 0; i < r->n_services; i++)
		r->services[i]->wanted = false;
	for (size_t i = 0; i < c->n_services; i++) {
		struct live *l = plans[i].live;
		int one = plan_commit(r, &plans[i], &left);

		l->wanted = true;
		err = err ? err : one;
		plan_drop(r, &plans[i]);
	}
	qsort(r->services, r->n_services, sizeof(*r->services), live_compare);
	if (!err)
		err = apply_listens(r, c);
	if (!err)
		err = remove_unwanted(r, &left, &gone, &n_gone);
	leftovers_reclaim(r, &left);
	forget_removed(r, gone, n_gone);
	return err;
}

static double now_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int reconcile_apply(struct reconcile *r, const struct config *c)
{
	_cleanup_(config_freep) struct config *copy = config_copy(c);
	_cleanup_free_ struct plan *plans = calloc(c->n_services + 1, sizeof(*plans));
	double begin = now_seconds();
	int err;

	if (!copy || !plans)
		return -ENOMEM;
	err = plan_all(r, copy, plans);
	if (err)
		return err;
	err = commit_all(r, copy, plans);
	config_free(r->config);
	r->config = TAKE_PTR(copy);
	r->stats.applies++;
	r->stats.last_apply_seconds = now_seconds() - begin;
	return err;
}
