/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the operator lists, with what sources find, applied everywhere: programs and their settings, addresses, services,
 * sources, announcements. All of it or nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon.h"
#include "model/diff.h"
#include "reconcile/overrides.h"

/* ---- beside the services ---- */

bool any_port(const struct config *c)
{
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_listens; k++)
			if (!c->services[i].listens[k].port)
				return true;
	return false;
}

static int compare_addr(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static size_t count_listens(const struct config *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_services; i++)
		n += c->services[i].n_listens;
	return n;
}

/* Addresses that this host takes packets for: all of a backend, and those of local services. */
static size_t note_addresses(const struct config *c, struct addr *addrs)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_services; i++) {
		const struct service *s = &c->services[i];

		for (size_t k = 0; k < s->n_listens && (c->backend.loopback || s->forward == FORWARD_LOCAL); k++)
			if (!addr_is_loopback(&s->listens[k].addr))
				addrs[n++] = s->listens[k].addr;
	}
	return n;
}

/* The services' addresses of both configurations, which may be the same one. */
static int put_on_loopback(struct datapath *dp, const struct config *a, const struct config *b)
{
	_cleanup_free_ struct addr *addrs = calloc(count_listens(a) + count_listens(b) + 1, sizeof(*addrs));
	size_t n, kept = 0;

	if (!addrs)
		return -ENOMEM;
	n = note_addresses(a, addrs);
	n += note_addresses(b, addrs + n);
	qsort(addrs, n, sizeof(*addrs), compare_addr);
	for (size_t i = 0; i < n; i++)
		if (!kept || addr_compare(&addrs[kept - 1], &addrs[i]))
			addrs[kept++] = addrs[i];
	return dp_loopback(dp, addrs, kept);
}

static int fixed_while_running(const struct config *was, const struct config *now)
{
	if (strcmp(was->pins, now->pins))
		return err_r(-EINVAL, "pins: cannot change from %s to %s while running: stop shuntd, run `shuntd --unload "
			     "--pins %s`, start it again", was->pins, now->pins, was->pins);
	if (memcmp(&was->limits, &now->limits, sizeof(was->limits)))
		return err_r(-EINVAL, "limits: cannot change while the maps are loaded: stop shuntd, run `shuntd --unload`, "
			     "start it again");
	return 0;
}

/* The process that ends connections needs privileges that are given up at the start. */
static int fixed_cgroup(const struct config *was, const struct config *now)
{
	const char *before = was->cgroup ?: "", *after = now->cgroup ?: "";

	if (!strcmp(before, after))
		return 0;
	return err_r(-EINVAL, "cgroup: cannot change from %s to %s while running: restart shuntd",
		     *before ? before : "none", *after ? after : "none");
}

/* ---- what is listed together with what is found ---- */

#define HELD_ONE_BY_ONE 8

/* Of what was found, the service that grew most gives way; where that does not help soon, all that grew. */
static int hold_grown(const struct config *merged, const struct config *running, struct texts *held)
{
	bool all = held->n >= HELD_ONE_BY_ONE;
	const char *grown = merge_grown(merged, running, held);
	int err = grown ? 0 : -ENOSPC;

	while (grown && !err) {
		log_warn("service %s: there is no room for what was found: what it had before stays", grown);
		err = texts_add(held, grown);
		grown = all ? merge_grown(merged, running, held) : NULL;
	}
	return err;
}

/* if_other: *out is NULL, and nothing is planned, if it is the same as what runs. */
static int plan_with_room(struct api_context *x, const struct config *listed, const struct config *running, bool if_other,
			  struct merged *m, struct reconcile_change **out)
{
	int err;

	*out = NULL;
	texts_clear(&x->held);
	do {
		merged_clear(m);
		err = merge(listed, x->discovery, running, &x->held, m);
		if (!err && (!if_other || config_differs(running, m->config)))
			err = reconcile_plan(x->reconcile, m->config, out);
	} while (err == -ENOSPC && !hold_grown(m->config, running, &x->held));
	return err;
}

static int plan(struct api_context *x, const struct config *listed, struct merged *m, struct reconcile_change **out)
{
	_cleanup_(config_freep) struct config *adopted = NULL;
	int err = fixed_while_running(x->file, listed);

	if (!err)
		err = fixed_cgroup(x->file, listed);
	if (err)
		return err;
	if (((struct daemon *)x)->runs)
		return plan_with_room(x, listed, reconcile_config(x->reconcile), false, m, out);
	adopted = reconcile_adopted(x->reconcile);
	return adopted ? plan_with_room(x, listed, adopted, false, m, out) : -ENOMEM;
}

int daemon_check(struct api_context *x, const struct config *listed)
{
	_cleanup_(merged_clear) struct merged m = {};
	struct reconcile_change *change;
	int err = plan(x, listed, &m, &change);

	if (!err)
		reconcile_drop(change);
	return err;
}

static int is_any_port(void *arg, const struct listen *l, uint32_t service)
{
	(void)arg;
	(void)service;
	return !l->port;
}

/*
 * What may fail beside the services. They are still those of before, and go on while this is done: so the programs know
 * what either needs (a later call lets go of it, see on_revisit), and lo has the addresses of both.
 */
static int make_ready(struct api_context *x, const struct config *c)
{
	bool any = any_port(c) || dp_listener_each(x->dp, is_any_port, NULL);
	int err = dp_configure(x->dp, c, any);

	return err ? err : put_on_loopback(x->dp, reconcile_config(x->reconcile), c);
}

/* A start that fails leaves what is loaded as it is: there is no configuration to go back to. */
static void go_back(struct daemon *d)
{
	struct api_context *x = &d->context;
	const struct config *was = reconcile_config(x->reconcile);

	if (!d->runs)
		return;
	if (dp_configure(x->dp, was, any_port(was)) || put_on_loopback(x->dp, was, was))
		log_error("going back to what was running failed in part: see `shunt status`, then reload");
}

static bool same_listens(const struct service *a, const struct service *b)
{
	bool same = a->n_listens == b->n_listens;

	for (size_t i = 0; same && i < a->n_listens; i++)
		same = !listen_compare(&a->listens[i], &b->listens[i]);
	return same;
}

/* Nothing but backends, of services that have some: programs and addresses are what they need to be already. */
static bool only_backends_differ(const struct config *was, const struct config *now)
{
	if (was->n_services != now->n_services)
		return false;
	for (size_t i = 0; i < now->n_services; i++) {
		const struct service *a = &was->services[i], *b = &now->services[i];

		if (strcmp(a->name, b->name) || a->affinity != b->affinity || !same_listens(a, b) ||
		    b->forward == FORWARD_LOCAL || !a->n_backends != !b->n_backends)
			return false;
	}
	return true;
}

/* All of it or nothing: programs and addresses are made ready, if need be, then the services change. */
static int carry_out(struct daemon *d, const struct config *c, struct reconcile_change *change, bool ready)
{
	struct api_context *x = &d->context;
	int err = ready ? 0 : make_ready(x, c);

	if (err)
		reconcile_drop(change);
	else
		err = reconcile_commit(change);
	if (err) {
		go_back(d);
		return err;
	}
	d->runs = true;
	if (!ready)
		put_on_loopback(x->dp, c, c); /* takes away only, and says what it could not */
	return 0;
}

static void keep_refusals(struct api_context *x, struct merged *m)
{
	struct merged before = { .refused = x->refused, .n_refused = x->n_refused };

	x->refused = TAKE_PTR(m->refused);
	x->n_refused = m->n_refused;
	m->n_refused = 0;
	merged_clear(&before);
}

/* They outlive a restart: where they are others, or are kept elsewhere. */
static void keep_overrides(const struct config *was, const struct config *now)
{
	char before[STATE_TEXT], after[STATE_TEXT];
	bool moved = strcmp(config_state(was, before), config_state(now, after));

	if (!config_overrides_equal(was, now) || (moved && now->n_overrides))
		overrides_save(now);
}

/* What can run out is planned first. */
int daemon_apply(struct api_context *x, const struct config *listed)
{
	_cleanup_(config_freep) struct config *copy = config_copy(listed);
	_cleanup_(merged_clear) struct merged m = {};
	struct daemon *d = (struct daemon *)x;
	struct reconcile_change *change;
	int err = copy ? plan(x, listed, &m, &change) : -ENOMEM;

	if (!err)
		err = carry_out(d, m.config, change, false);
	if (err)
		return err;
	keep_overrides(x->listed, copy);
	config_free(x->listed);
	x->listed = TAKE_PTR(copy);
	keep_refusals(x, &m);
	health_set_under_way(d->health, x->listed->checks_under_way);
	discovery_follow(x->discovery, x->listed); /* what it says is new comes with on_found */
	register_follow(x->registrar, x->listed);
	return 0;
}

static void note_found_problem(void *arg, enum log_level level, const char *line)
{
	struct api_context *x = arg;

	if (level == LOG_LEVEL_ERROR)
		snprintf(x->found_problem, sizeof(x->found_problem), "%s", line);
}

/* Only what they change is done, and nothing where it is the same in the end. */
static int apply_found(struct api_context *x, struct merged *m)
{
	const struct config *running = reconcile_config(x->reconcile);
	struct reconcile_change *change;
	bool ready;
	int err = plan_with_room(x, x->listed, running, true, m, &change);

	if (err || !change)
		return err;
	ready = only_backends_differ(running, m->config);
	err = carry_out((struct daemon *)x, m->config, change, ready);
	x->found_applies += !err;
	return err;
}

#define AGAIN_SECONDS 60 /* until what found no room, or could not be applied, is tried again */

/* Sources found something. */
void daemon_on_found(void *arg)
{
	const struct timeval again = { .tv_sec = AGAIN_SECONDS };
	_cleanup_(merged_clear) struct merged m = {};
	struct daemon *d = arg;
	struct api_context *x = arg;
	bool failed_before = x->found_problem[0];
	int err;

	x->found_problem[0] = '\0';
	log_tap(note_found_problem, x);
	err = apply_found(x, &m);
	log_tap(NULL, NULL);
	if (err) {
		x->found_failures++;
		if (!x->found_problem[0])
			snprintf(x->found_problem, sizeof(x->found_problem), "%s", strerror(-err));
		if (!failed_before) {
			x->found_problem_ms = realtime_ms();
			api_event(x, "sources", x->found_problem);
		}
	} else {
		x->found_problem[0] = '\0';
		keep_refusals(x, &m);
	}
	if (err || x->held.n)
		event_add(d->found_again, &again);
}

void daemon_on_found_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	daemon_on_found(arg);
}

/* ---- a file ---- */

int daemon_apply_file(struct daemon *d, const struct config *file)
{
	struct api_context *x = &d->context;
	_cleanup_(config_freep) struct config *listed = config_copy(file);

	if (!listed || config_overrides_copy(x->listed, listed))
		return -ENOMEM;
	return daemon_apply(x, listed);
}

void daemon_forget_found(struct daemon *d)
{
	struct api_context *x = &d->context;

	keep_refusals(x, &(struct merged){});
	texts_clear(&x->held);
	if (d->found_again)
		event_free(d->found_again);
}
