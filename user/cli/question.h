/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A flow as `explain` and `flow show` take it: SRC:PORT DST:PORT/tcp, or /udp; without a protocol it is tcp. */
#ifndef CLI_QUESTION_H
#define CLI_QUESTION_H

#include "cli/cli.h"

struct question {
	const char *source;
	char *destination; /* freed by question_clear */
	const char *protocol;
};

/* Only DST:PORT/tcp, or /udp: source is NULL. */
int question_read_destination(const struct cli *cli, const char *destination, struct question *out);
/* DONE, or what is wrong was said, and the exit status is returned. */
int question_read(const struct cli *cli, const char *source, const char *destination, struct question *out);
void question_clear(struct question *q);

#endif
