/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the socket programs decided about one connect(), step by step, in words. Pure. */
#ifndef API_SOCKET_STEPS_H
#define API_SOCKET_STEPS_H

#include "api/steps.h"

struct socket_steps {
	const char *cgroup; /* of the process that connects */
	struct endpoint to;
	uint8_t proto;
	uint32_t verdict, flags; /* of struct shunt_trace */
	const char *
		service; /* that the programs found, or that listens there and is not balanced at sockets; NULL: none */
	char listen[LISTEN_TEXT]; /* of it */
	char near[2 * LISTEN_TEXT]; /* no service: listens of the same address, the first few; "": there is none */
	bool excepted; /* SOCKET_EXEMPT: by socket.except */
	bool by_client; /* affinity: client */
	bool finds_none; /* as in struct steps */
	enum algorithm algorithm;
	uint32_t slot, n_slots; /* slot SHUNT_UNSET: not reached */
	uint32_t turns; /* of round-robin, until it begins anew */
	struct steps_backend chosen;
	uint32_t weight; /* these three: of chosen */
	uint64_t connections;
	uint64_t others_least, others_most; /* connections of the service's other backends that take some */
	unsigned n_others;
	struct endpoint given;
	const char *error; /* SOCKET_REFUSED: what the process sees, such as EHOSTUNREACH */
};

json_t *socket_steps_render(const struct socket_steps *s); /* an array of sentences; NULL: out of memory */

#endif
