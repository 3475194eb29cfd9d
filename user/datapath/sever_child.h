/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What sever.c and its process say to each other: one message of a SOCK_SEQPACKET each, a reply to every request. */
#ifndef DATAPATH_SEVER_CHILD_H
#define DATAPATH_SEVER_CHILD_H

#include <limits.h>

#include "datapath/sever.h"

enum sever_kind { SEVER_LINK, SEVER_LOOK, SEVER_NETNS };

struct sever_request {
	uint32_t kind;
	char path[PATH_MAX]; /* SEVER_NETNS. SEVER_LINK comes with a descriptor */
};

struct sever_reply {
	int32_t err;
	uint64_t cookie; /* SEVER_NETNS */
	struct sever_report report; /* SEVER_LOOK; its problem of every kind */
};

/* What the process does: never returns. */
void sever_child(int sock) __attribute__((noreturn));

#endif
