/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The map of QUIC server IDs. */
#include "datapath/internal.h"

#include <errno.h>
#include <string.h>

int dp_quic_set(struct datapath *dp, const struct shunt_quic_server *key, uint32_t number)
{
	if (!bpf_map_update_elem(dp->maps[MAP_QUIC_SERVERS], key, &number, BPF_ANY))
		return 0;
	return err_r(-errno, "the kernel refuses a QUIC server ID: %s", strerror(errno));
}

int dp_quic_delete(struct datapath *dp, const struct shunt_quic_server *key)
{
	if (!bpf_map_delete_elem(dp->maps[MAP_QUIC_SERVERS], key) || errno == ENOENT)
		return 0;
	return err_r(-errno, "the kernel keeps a QUIC server ID: %s", strerror(errno));
}

int dp_quic_each(struct datapath *dp, int (*fn)(void *arg, const struct shunt_quic_server *key, uint32_t number),
		 void *arg)
{
	struct shunt_quic_server key, *before = NULL;
	uint32_t number;
	int err = 0;

	while (!err && !bpf_map_get_next_key(dp->maps[MAP_QUIC_SERVERS], before, &key)) {
		before = &key;
		if (!bpf_map_lookup_elem(dp->maps[MAP_QUIC_SERVERS], &key, &number))
			err = fn(arg, &key, number);
	}
	return err;
}
