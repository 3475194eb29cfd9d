/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asking resolvers of DNS. c-ares carries the questions, over UDP and, where an answer does not fit, over TCP; several
 * resolvers are asked in turn, each when the one before it was silent, erred or answered nonsense, beginning with the one
 * that answered last (and after a minute with the first again). Names are asked as they are: no search list, no
 * /etc/hosts. Without configured ones, those of /etc/resolv.conf are asked, which is read again when it changes.
 */
#ifndef DISCOVERY_RESOLVERS_H
#define DISCOVERY_RESOLVERS_H

#include <event2/event.h>

#include "discovery/dns_answer.h"
#include "model/source.h"

struct resolvers;
extern const char *resolvers_file; /* "/etc/resolv.conf" */
extern uint32_t resolvers_first_again_ms; /* another than the first is preferred for so long: 60000 */

/* conf is borrowed. -errno, logged */
int resolvers_new(struct event_base *base, const struct source *conf, struct resolvers **out);
void resolvers_free(struct resolvers *r); /* no question is under way. NULL is fine */

struct question;
/* a: freed afterwards; NULL: problem says what each resolver said. The question is over then. */
typedef void (*answered_fn)(void *arg, const struct question *q, const struct dns_answer *a, const char *problem);
/* name: as dns_name makes it. fn is called later, from the loop. -ENOMEM */
int question_ask(struct resolvers *r, const char *name, enum dns_type type, answered_fn fn, void *arg,
		 struct question **out);
void question_cancel(struct question *q); /* fn is not called; not from within it */

#endif
