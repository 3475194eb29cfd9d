/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A value below a prefix of etcd's: it stands for one backend, or a sentence says why it does not. */
#include <errno.h>

#include "discovery/etcd_answer.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct backend b = {};
	char why[ETCD_WHY] = "";
	int err = etcd_value_parse(data, size, &b, why);

	if (err)
		must(err == -EINVAL && why[0] && !strchr(why, '\n'));
	else
		must(!why[0] && b.weight <= WEIGHT_MAX && b.admin <= ADMIN_DISABLED &&
		     b.server_id.length <= SERVER_ID_MAX);
	return 0;
}
