/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Announcing servers of this host where others discover them, for as long as their checks pass: an announcement has a
 * time to live and is renewed three times in it, follows the check's verdict at once, and is taken away when it is no
 * longer configured or the daemon stops. If the daemon dies, time ends it. Before its first check nothing is said of a
 * server: what an earlier daemon announced stays until then, or until its time is over.
 */
#ifndef REGISTER_REGISTER_H
#define REGISTER_REGISTER_H

#include <event2/event.h>

#include "health/health.h"
#include "model/model.h"

struct registrar;

/* Something that an operator may want to know about when looking back: subject is what is announced. */
typedef void (*register_event_fn)(void *arg, const char *subject, const char *sentence);

int register_new(struct event_base *base, struct health *h, register_event_fn event, void *arg, struct registrar **out);
void register_free(struct registrar *r); /* without taking anything away. NULL is fine */

/* Announces what c says (copied), and no longer what it does not; the same goes on undisturbed. -ENOMEM, logged */
int register_follow(struct registrar *r, const struct config *c);

/* Takes all away, in so much time at most; runs the loop for it. Whoever cannot be reached is left to the TTL. */
void register_stop(struct registrar *r, uint32_t timeout_ms);

/* Valid until the loop runs. */
struct register_info {
	const struct announce *what;
	const struct source *source; /* where it is announced */
	const char *id;
	bool registered; /* others find it there, as one that is well */
	enum state state; /* of its check: unknown, healthy or unhealthy */
	const char *output; /* of the last check: why it failed, or "" */
	const char *problem; /* why it is not announced as it should be, "": it is */
};
typedef void (*register_fn)(void *arg, const struct register_info *info);
void register_each(const struct registrar *r, register_fn fn, void *arg);

#endif
