/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Opening the two listeners. Errors are logged with the remedy and returned as -errno. */
#ifndef API_LISTEN_H
#define API_LISTEN_H

#include <event2/event.h>
#include <event2/listener.h>

#include "base/addr.h"

/*
 * A UNIX socket at path: mode 0660 and the group's when one is given, else 0600. What a dead daemon left there is
 * replaced; a living one is not disturbed (-EADDRINUSE). The directory is made if it is missing.
 */
int listen_unix(struct event_base *base, const char *path, const char *group, struct evconnlistener **out);
int listen_unix_access(const char *path, const char *group); /* sets group and mode; group NULL: owner only */

int listen_tcp(struct event_base *base, const struct endpoint *at, struct evconnlistener **out);

#endif
