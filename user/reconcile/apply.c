/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A whole configuration: plan every service, and only when all plans stand, carry them out; or go back. */
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
		err = accounts_init(r);
	if (!err)
		err = space_init(&r->slot_units, max->slots / SLOT_UNIT);
	if (!err)
		err = space_init(&r->flow_units, max->flows / SHUNT_FLOW_WAYS / FLOW_UNIT);
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
	r->settle = event_new(base, -1, EV_PERSIST, keep_tick, r);
	r->alternates = event_new(base, -1, 0, alternates_work, r);
	r->config = config_new();
	err = r->work && r->alternates && r->config && r->settle ? make_spaces(r) : -ENOMEM;
	if (!err && event_add(r->settle, &(struct timeval){ .tv_sec = 1 }))
		err = -ENOMEM;
	if (!err)
		err = adopt(r);
	if (!err)
		err = hops_new(r, &r->hops);
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
	if (r->alternates)
		event_free(r->alternates);
	hops_free(r->hops);
	space_free(&r->service_ids);
	space_free(&r->backend_ids);
	space_free(&r->members);
	space_free(&r->slot_units);
	space_free(&r->flow_units);
	space_free(&r->accounts);
	free(r->services);
	free(r->by_id);
	free(r->node_by_id);
	free(r->listens);
	free(r->quic);
	config_free(r->config);
	free(r);
}

const struct config *reconcile_config(const struct reconcile *r)
{
	return r->config;
}

/* ---- listeners ---- */

/* What config c listens on, sorted; services by number. */
static int wanted_listens(const struct config *c, const struct plan *plans, struct applied_listen **out, size_t *n)
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
			all[(*n)++] = (struct applied_listen){ c->services[i].listens[k], plans[i].live->id };
	qsort(all, *n, sizeof(*all), listens_compare);
	*out = all;
	return 0;
}

/* A walk over two sorted lists: first everything that is new or leads elsewhere, so that no address is ever without. */
static int set_listens(struct reconcile *r, const struct applied_listen *want, size_t n)
{
	int err = 0;

	for (size_t i = 0, k = 0; i < n && !err; i++) {
		while (k < r->n_listens && listens_compare(&r->listens[k], &want[i]) < 0)
			k++;
		if (k < r->n_listens && !listens_compare(&r->listens[k], &want[i]) &&
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
		while (k < n && listens_compare(&want[k], &r->listens[i]) < 0)
			k++;
		if (k == n || listens_compare(&want[k], &r->listens[i]))
			err = dp_listener_delete(r->dp, &r->listens[i].listen);
	}
	return err;
}

/* Old and new listeners stand side by side for a moment. */
static int check_listeners(const struct reconcile *r, const struct applied_listen *want, size_t n)
{
	size_t all = r->n_listens;

	for (size_t i = 0, k = 0; i < n; i++) {
		while (k < r->n_listens && listens_compare(&r->listens[k], &want[i]) < 0)
			k++;
		all += k == r->n_listens || listens_compare(&r->listens[k], &want[i]);
	}
	if (all > r->limits->listeners)
		return err_r(-ENOSPC, "%zu listen addresses, with those that they replace, are more than limits.listeners "
			     "(%u): raise it", all, r->limits->listeners);
	return 0;
}

/* ---- a change: all that is needed to carry it out ---- */

struct reconcile_change {
	struct reconcile *r;
	struct config *config;
	struct plan *plans; /* [config->n_services] */
	struct applied_listen *listens;
	size_t n_listens;
	struct live **gone; /* services that nobody wants any more; room for all that there are */
	size_t n_gone;
	struct leftovers left;
	double seconds; /* what it took until now */
};

static double now_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void reconcile_drop(struct reconcile_change *ch)
{
	for (size_t i = 0; ch->plans && i < ch->config->n_services; i++)
		if (ch->plans[i].want)
			plan_drop(ch->r, &ch->plans[i]);
	free(ch->plans);
	free(ch->listens);
	free(ch->gone);
	free(ch->left.items);
	config_free(ch->config);
	free(ch);
}

static int make_room(struct reconcile *r, struct reconcile_change *ch)
{
	size_t leaves = 0;

	for (size_t i = 0; i < ch->config->n_services; i++)
		leaves += plan_leaves(&ch->plans[i]);
	for (size_t i = 0; i < r->n_services; i++)
		leaves += live_leaves(r->services[i]);
	ch->left.items = calloc(leaves + 1, sizeof(*ch->left.items));
	ch->gone = calloc(r->n_services + 1, sizeof(*ch->gone));
	return ch->left.items && ch->gone ? 0 : -ENOMEM;
}

static bool something_goes(const struct reconcile *r, const struct config *c)
{
	bool goes = false;

	for (size_t i = 0; i < r->n_services && !goes; i++)
		goes = !config_service(c, r->services[i]->name);
	return goes;
}

static int make(struct reconcile *r, struct reconcile_change *ch)
{
	const struct config *c = ch->config;
	int err = 0;

	for (size_t i = 0; i < c->n_services && !err; i++)
		err = plan_make(r, c, &c->services[i], &ch->plans[i]);
	if (!err)
		err = wanted_listens(c, ch->plans, &ch->listens, &ch->n_listens);
	if (!err)
		err = check_listeners(r, ch->listens, ch->n_listens);
	if (err == -ENOSPC && something_goes(r, c))
		log_error("what this configuration removes keeps its room until that is done: delete it first, with "
			  "`shunt service delete`, and apply it again");
	return err ? err : make_room(r, ch);
}

/* Takes c. */
static int change_new(struct reconcile *r, struct config *c, struct reconcile_change **out)
{
	struct reconcile_change *ch = calloc(1, sizeof(*ch));
	double begin = now_seconds();
	int err;

	if (!ch) {
		config_free(c);
		return -ENOMEM;
	}
	*ch = (struct reconcile_change){ .r = r, .config = c };
	ch->plans = calloc(c->n_services + 1, sizeof(*ch->plans));
	err = ch->plans ? make(r, ch) : -ENOMEM;
	if (err) {
		reconcile_drop(ch);
		return err;
	}
	ch->seconds = now_seconds() - begin;
	*out = ch;
	return 0;
}

int reconcile_plan(struct reconcile *r, const struct config *c, struct reconcile_change **out)
{
	struct config *copy = config_copy(c);

	return copy ? change_new(r, copy, out) : -ENOMEM;
}

/* ---- carrying it out ---- */

static int commit_services(struct reconcile *r, struct reconcile_change *ch)
{
	int err = 0;

	for (size_t i = 0; i < r->n_services; i++)
		r->services[i]->wanted = false;
	for (size_t i = 0; i < ch->config->n_services; i++) {
		int one = plan_commit(r, &ch->plans[i], &ch->left);

		ch->plans[i].live->wanted = true;
		err = err ? err : one;
	}
	qsort(r->services, r->n_services, sizeof(*r->services), live_compare);
	for (size_t i = 0; i < r->n_services; i++)
		if (!r->services[i]->wanted)
			r->services[i]->conf = NULL;
	return err ? err_r(err, "the kernel refuses to note a service: %s", strerror(-err)) : 0;
}

static int commit_listens(struct reconcile *r, struct reconcile_change *ch)
{
	int err = set_listens(r, ch->listens, ch->n_listens);

	if (!err)
		err = delete_listens(r, ch->listens, ch->n_listens);
	if (err) {
		listens_read(r);
		return err;
	}
	free(r->listens);
	r->listens = TAKE_PTR(ch->listens);
	r->n_listens = ch->n_listens;
	return 0;
}

static void remove_unwanted(struct reconcile *r, struct reconcile_change *ch)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n_services; i++) {
		struct live *l = r->services[i];

		if (l->wanted) {
			r->services[kept++] = l;
			continue;
		}
		plan_remove(r, l, &ch->left);
		live_unmark(l, r);
		r->by_id[l->id] = NULL;
		ch->gone[ch->n_gone++] = l;
	}
	r->n_services = kept;
}

static void forget_removed(struct reconcile *r, struct reconcile_change *ch)
{
	static const struct shunt_service_info empty;

	for (size_t i = 0; i < ch->n_gone; i++) {
		struct live *l = ch->gone[i];

		dp_store(&dp_services(r->dp)[l->id].table, 0);
		keep_forget(l, r);
		dp_clients_set(r->dp, l->id, NULL, NULL);
		dp_service_info_set(r->dp, l->id, &empty);
		space_release(&r->service_ids, l->id, 1);
		live_free(l);
	}
}

/* The config of before is the caller's then. What is refused leaves old services beside the new ones. */
static int carry_out(struct reconcile *r, struct reconcile_change *ch)
{
	double begin = now_seconds();
	int err = commit_services(r, ch), quic;

	if (!err)
		err = commit_listens(r, ch);
	if (!err)
		remove_unwanted(r, ch);
	quic = quic_follow(r);
	err = err ? err : quic;
	leftovers_reclaim(r, &ch->left);
	forget_removed(r, ch);
	ch->seconds += now_seconds() - begin;
	r->stats.last_apply_seconds = ch->seconds;
	for (size_t i = 0; i < ch->config->n_services; i++)
		plan_drop(r, &ch->plans[i]);
	free(ch->plans);
	ch->plans = NULL;
	r->config = TAKE_PTR(ch->config);
	reconcile_drop(ch);
	return err;
}

/* Takes was: what was applied before something was refused. */
static void go_back(struct reconcile *r, struct config *was)
{
	struct config *failed = r->config;
	struct reconcile_change *back;
	int err = change_new(r, was, &back);

	if (!err) {
		err = carry_out(r, back);
		config_free(failed);
	}
	if (err)
		log_error("going back failed too: what runs is in part the old and in part the new configuration; "
			  "apply one of them again");
}

int reconcile_commit(struct reconcile_change *ch)
{
	struct reconcile *r = ch->r;
	struct config *was = r->config;
	int err = carry_out(r, ch);

	if (err) {
		go_back(r, was);
		return err;
	}
	config_free(was);
	r->stats.applies++;
	return 0;
}

int reconcile_apply(struct reconcile *r, const struct config *c)
{
	struct reconcile_change *ch;
	int err = reconcile_plan(r, c, &ch);

	return err ? err : reconcile_commit(ch);
}
