/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Requests to etcd's JSON gateway. Pure. Each returns a text to be freed; NULL: out of memory. */
#ifndef DISCOVERY_ETCD_ASK_H
#define DISCOVERY_ETCD_ASK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Keys that begin with the prefix; from is NULL, or the last key that is known: those after it. revision: how it was
 * then; 0: how it is now.
 */
char *etcd_ask_range(const char *prefix, const uint8_t *from, size_t from_len, unsigned limit, int64_t revision);
char *etcd_ask_one(const char *key); /* is it there? Its value is not asked for */
char *etcd_ask_watch(const char *prefix, int64_t start_revision); /* what changes from that revision on */
char *etcd_ask_put(const char *key, const char *value, int64_t lease);
char *etcd_ask_delete(const char *key);
char *etcd_ask_user(const char *name, const char *password);
char *etcd_ask_lease(const char *field, int64_t number); /* {"ID": "7"}, {"TTL": "15"} */

#endif
