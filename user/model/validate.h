/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of config_validate share. Within model only. */
#ifndef MODEL_VALIDATE_H
#define MODEL_VALIDATE_H

#include <stdlib.h>

#include "model/model.h"

struct faults {
	config_fault_fn report;
	void *arg;
	const struct announce *announce; /* whose rules are looked at; NULL: of none */
	unsigned n;
};
/* b may be NULL, s too when the configuration as a whole is meant. */
void fault(struct faults *f, const struct service *s, const struct backend *b, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* A reader that goes on after a mistake leaves services without a name. */
static inline const char *name_of(const struct service *s) { return s->name ?: ""; }

/* Every listen of a config, sorted by address, port, protocol and service, those that the operator lists first. */
struct listener {
	const struct listen *at;
	uint32_t service; /* its number in the config */
	bool offered; /* by a source: who comes behind the operator's own */
};
struct listeners {
	struct listener *list;
	size_t n;
};
int listeners_collect(const struct config *c, struct listeners *out); /* -ENOMEM */
static inline void listeners_clear(struct listeners *l) { free(l->list); }
void validate_listeners(const struct config *c, const struct listeners *all, struct faults *f);

/* The first with this address; the others of that address follow. all->n: none. */
size_t listeners_at(const struct listeners *all, const struct addr *a);
/* Who takes a packet to this port: an exact listen wins over one for every port. NULL: nobody. */
const struct listener *listeners_find(const struct listeners *all, const struct addr *a, uint16_t port, uint8_t proto);

/*
 * Are packets that arrive for the service sent to its backends? The rules about them do not hold for a service of local
 * connections alone, whose addresses and ports are rewritten, nor for one whose servers are here.
 */
bool takes_packets(const struct config *c, const struct service *s);
void validate_where(const struct config *c, const struct service *s, struct faults *f);
void validate_except(const struct config *c, struct faults *f);

/* Services that reach themselves through their backends. */
void validate_circles(const struct config *c, const struct listeners *all, struct faults *f);

#endif
