/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One way of merging what the operator lists, what sources find, and what the operator said by command.
 *
 * An endpoint is known by address and port. Of one that several layers know, the uppermost that knows it speaks for its
 * weight and state as a whole:
 *
 *   overrides    drain, disable, enable, weight: of the operator, by command; only for what they say
 *   backends     listed under the service
 *   discover     what is found, in the order of the list
 *
 * What is found is held to the rules that a configuration is held to (config_validate); an endpoint that breaks one is
 * left out, with the sentence. Until every question of a service was answered once, what it had before stays. Services
 * that sources offer come behind those of the operator, who wins where names or addresses are the same.
 */
#ifndef RECONCILE_MERGE_H
#define RECONCILE_MERGE_H

#include "discovery/discovery.h"

/* Something found that is not taken. */
struct refusal {
	char *service;
	struct endpoint at; /* port and address 0: the service as a whole */
	char *sentence;
};

struct merged {
	struct config *config; /* normalised; the caller's */
	struct refusal *refused;
	size_t n_refused;
};
void merged_clear(struct merged *m);

/*
 * base: what the operator lists, with overrides; valid. d: NULL: nothing is found. running: what was merged before, by which
 * services keep what they had; NULL: nothing. held: services for which there was no room: they keep what they had, whatever
 * is found; NULL: none. -ENOMEM
 */
int merge(const struct config *base, const struct discovery *d, const struct config *running, const struct texts *held,
	  struct merged *out);

/* The service of which more was found than of any other since `running`, but for those held; NULL: nothing more was found. */
const char *merge_grown(const struct config *merged, const struct config *running, const struct texts *held);

/* Is there something to be found at all? Where not, what the operator lists is all there is. */
bool merge_finds(const struct config *base);

#endif
