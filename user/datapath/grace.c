/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Waiting until every program that runs now has ended: they run under RCU, so a grace period is what to wait for.
 * membarrier(GLOBAL) is one, except on kernels with CPUs without ticks (nohz_full), which refuse it. There, replacing
 * an entry of a map of maps does the same: the kernel waits for the programs that may use the old one, as a promise
 * to user space (Linux 5.0, "bpf: wait for running BPF programs when updating map-in-map").
 */
#include "datapath/internal.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
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

/* ---- without waiting ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t asked_for;
	bool runs; /* there is a thread */
	uint64_t asked, over; /* numbers */
} later = { .lock = PTHREAD_MUTEX_INITIALIZER, .asked_for = PTHREAD_COND_INITIALIZER };

static void *wait_for_others(void *arg)
{
	pthread_mutex_lock(&later.lock);
	for (;;) {
		uint64_t asked = later.asked;

		if (later.over == asked) {
			pthread_cond_wait(&later.asked_for, &later.lock);
			continue;
		}
		pthread_mutex_unlock(&later.lock);
		dp_grace();
		pthread_mutex_lock(&later.lock);
		later.over = asked;
	}
	return arg;
}

/* Signals are for the thread that has the loop. */
static bool start_thread(void)
{
	pthread_t thread;
	sigset_t all, was;
	bool runs;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	runs = !pthread_create(&thread, NULL, wait_for_others, NULL);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (runs)
		pthread_detach(thread);
	return runs;
}

uint64_t dp_grace_begin(void)
{
	uint64_t number;

	pthread_mutex_lock(&later.lock);
	number = ++later.asked;
	later.runs = later.runs || start_thread();
	if (!later.runs) { /* then all wait */
		dp_grace();
		later.over = number;
	}
	pthread_cond_signal(&later.asked_for);
	pthread_mutex_unlock(&later.lock);
	return number;
}

bool dp_grace_is_over(uint64_t number)
{
	bool over;

	pthread_mutex_lock(&later.lock);
	over = later.over >= number;
	pthread_mutex_unlock(&later.lock);
	return over;
}
