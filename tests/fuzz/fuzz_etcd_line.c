/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A line of a watch of etcd's, and the keys after what it says. */
#include <errno.h>

#include "discovery/etcd_keys.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(etcd_line_clear) struct etcd_line l = {};
	_cleanup_(etcd_keys_clear) struct etcd_keys keys = {};
	char why[ETCD_WHY] = "";
	int err = etcd_line_parse((const char *)data, size, &l, why);

	if (err) {
		must(err == -EINVAL && why[0] && !l.pairs && !l.reason);
		return 0;
	}
	must(!why[0] && l.n <= size && l.head.revision >= 0 && l.compacted >= 0 && (!l.reason || *l.reason));
	must(!etcd_head_went_back(&l.head, &l.head));
	for (size_t i = 0; i < l.n; i++) {
		must(l.pairs[i].key_len && !l.pairs[i].key[l.pairs[i].key_len] && !l.pairs[i].value[l.pairs[i].value_len]);
		must(!etcd_keys_apply(&keys, &l.pairs[i]) && keys.n <= i + 1 && keys.bad <= keys.n &&
		     keys.kept <= keys.bad);
	}
	return 0;
}
