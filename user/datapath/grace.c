/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waiting until every program that runs now has ended: they run under RCU, so a grace period is what to wait for.
 * membarrier(GLOBAL) is one, except on kernels with CPUs without ticks (nohz_full), which refuse it. There, replacing
 * an entry of a map of maps does the same: the kernel waits for the programs that may use the old one, as a promise
 * to user space (Linux 5.0, "bpf: wait for running BPF programs when updating map-in-map").
 */
#include "datapath/internal.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>

static int make_array(void)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "shunt_grace_in", sizeof(__u32), sizeof(__u32), 1, NULL);
}

static int replace_in_outer(int outer)
{
	_cleanup_close_ int inner = make_array();
	const __u32 key = 0;

	if (inner < 0)
		return -1;
	return bpf_map_update_elem(outer, &key, &inner, BPF_ANY);
}

static int wait_by_map(void)
{
	_cleanup_close_ int inner = make_array(), outer = -1;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner);

	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "shunt_grace", sizeof(__u32), sizeof(__u32), 1, &opts);
	return outer < 0 ? -1 : replace_in_outer(outer);
}

void dp_grace(void)
{
	const struct timespec second = { .tv_sec = 1 };

	if (!syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) || !wait_by_map())
		return;
	nanosleep(&second, NULL); /* no program runs for that long */
}
