/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the daemon itself uses. */
#ifndef API_PROCESS_H
#define API_PROCESS_H

#include <stdint.h>

struct process_usage {
	double cpu_seconds; /* user and system */
	uint64_t resident_bytes;
	uint64_t open_fds;
};
void process_usage(struct process_usage *out); /* what cannot be read is 0 */

#endif
