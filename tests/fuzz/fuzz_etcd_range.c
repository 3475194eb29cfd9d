/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* etcd's answer with the keys below a prefix: numbers are in range, and the keys have as many backends as they say. */
#include <errno.h>

#include "discovery/etcd_keys.h"
#include "fuzz.h"

static void check_keys(const struct etcd_range *r)
{
	_cleanup_(etcd_keys_clear) struct etcd_keys keys = {};
	_cleanup_free_ struct backend *list = NULL;
	char note[ETCD_NOTE] = "";
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		must(!etcd_keys_apply(&keys, &r->pairs[i]));
	must(keys.n <= r->n && keys.bad <= keys.n && keys.kept <= keys.bad);
	must(!etcd_keys_backends(&keys, &list, &n, note) && n == keys.n - keys.bad + keys.kept && !note[0] == !keys.bad);
	for (size_t i = 0; i < n; i++)
		must(list[i].weight <= WEIGHT_MAX && list[i].admin <= ADMIN_DISABLED);
	for (size_t i = 0; i < r->n; i++) {
		struct etcd_pair gone = r->pairs[i];

		gone.deleted = true;
		must(!etcd_keys_apply(&keys, &gone));
	}
	must(!keys.n && !keys.bad && !keys.kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *)data;
	_cleanup_free_ char *token = etcd_text(body, size, "token");
	_cleanup_(etcd_range_clear) struct etcd_range r = {};
	char why[ETCD_WHY] = "";
	int64_t number = 0;
	int err = etcd_range_parse(body, size, &r, why);

	if (etcd_number(body, size, "ID", &number))
		must(number >= 0);
	etcd_lease_lives(body, size);
	must(!token || *token);
	must(err ? err == -EINVAL && why[0] && !r.pairs : !why[0] && r.n <= size && r.head.revision >= 0);
	for (size_t i = 0; i < r.n; i++)
		must(r.pairs[i].key_len && r.pairs[i].revision >= 0 && !r.pairs[i].key[r.pairs[i].key_len] &&
		     !r.pairs[i].value[r.pairs[i].value_len] && !r.pairs[i].deleted);
	if (!err)
		check_keys(&r);
	return 0;
}
