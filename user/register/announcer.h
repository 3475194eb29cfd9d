/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a kind of place to announce at is to the rest of the room: something that can be made so, once at a time, and
 * says how that ended. When, how often and after which failures is decided in register.c.
 */
#ifndef REGISTER_ANNOUNCER_H
#define REGISTER_ANNOUNCER_H

#include <event2/event.h>

#include "loop/transfers.h"
#include "model/model.h"

struct registration;

enum wanted { WANTED_UP, WANTED_DOWN, WANTED_GONE };

struct announcer_env {
	struct event_base *base;
	struct transfers *transfers;
};

struct announcer_ops {
	/* conf stays as long as the server is open. -ENOMEM */
	int (*open)(const struct announcer_env *env, const struct source *conf, void **server);
	void (*close)(void *server); /* no announcements are left */
	/* what and id stay, but may change (see changed). Nothing is sent. -ENOMEM */
	int (*begin)(void *server, const struct announce *what, const char *id, struct registration *r, void **out);
	void (*end)(void *announcement); /* what is under way is dropped, nothing is taken away */
	void (*changed)(void *announcement); /* what it says is other: it is to be announced anew */
	/*
	 * Makes it so, or confirms that it is: registration_made() or _failed() comes later. output: in words, of the
	 * check. 1: there is nothing to do. -ENOMEM
	 */
	int (*make)(void *announcement, enum wanted wanted, const char *output);
};
extern const struct announcer_ops announcer_consul, announcer_etcd;

/* The announcement may be gone afterwards. */
void registration_made(struct registration *r);
void registration_failed(struct registration *r, const char *problem);

#endif
