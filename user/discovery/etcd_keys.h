/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The keys below a prefix, with the backends that their values stand for, in the order of the keys. */
#ifndef DISCOVERY_ETCD_KEYS_H
#define DISCOVERY_ETCD_KEYS_H

#include "discovery/etcd_answer.h"

struct etcd_keys {
	void *root; /* of a tree (tsearch(3)) */
	size_t n;
	size_t bad; /* of them, whose values are not understood ... */
	size_t kept; /* ... but were before: what they said then stays */
};

int etcd_keys_apply(struct etcd_keys *k, const struct etcd_pair *pair); /* put or deleted. -ENOMEM */
/* What keys of k that are not understood said before, when they were in that. */
void etcd_keys_recall(struct etcd_keys *k, const struct etcd_keys *before);
void etcd_keys_clear(struct etcd_keys *k);

#define ETCD_NOTE 512
/* The backends of values that are, or were, understood (freed by the caller); what is to be said of the others. -ENOMEM */
int etcd_keys_backends(const struct etcd_keys *k, struct backend **out, size_t *n, char note[ETCD_NOTE]);

#endif
