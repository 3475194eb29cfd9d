/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/socket_steps.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- which service, and for whom ---- */

static void connects(const struct socket_steps *s, json_t *list)
{
	char to[ENDPOINT_TEXT];

	step(list, "a process in cgroup %s connects to %s/%s", s->cgroup, endpoint_format(&s->to, to),
	     proto_word(s->proto));
}

static void finds_no_service(const struct socket_steps *s, json_t *list)
{
	char to[ENDPOINT_TEXT];

	if (s->service) {
		step(list,
		     "service %s (%s) is not balanced for local processes on this host: see its at, forward and "
		     "backends",
		     s->service, s->listen);
		return;
	}
	step(list, "no service listens on %s/%s", endpoint_format(&s->to, to), proto_word(s->proto));
	if (s->near[0])
		step(list, "a service has this address, but listens on %s", s->near);
}

static void is_left_alone(const struct socket_steps *s, json_t *list)
{
	if (s->excepted)
		step(list, "is not balanced for this process: its cgroup, or one above it, is in socket.except");
	else
		step(list, "is not balanced for this process: the service's clients name neither its cgroup, nor one "
			   "above it, "
			   "nor the daemon's network namespace, from where this was asked");
}

/* ---- the choice ---- */

/* What least-connections goes by, as it is now. */
static void compares(const struct socket_steps *s, json_t *list)
{
	char chosen[ENDPOINT_TEXT], others[80] = "there is no other";

	if (s->n_others == 1)
		snprintf(others, sizeof(others), "the other has %" PRIu64, s->others_least);
	else if (s->n_others)
		snprintf(others, sizeof(others), "the others have %" PRIu64 " to %" PRIu64, s->others_least,
			 s->others_most);
	step(list, "%s (weight %u) has %" PRIu64 " open, %s", endpoint_format(&s->chosen.at, chosen), s->weight,
	     s->connections, others);
}

static void draws(const struct socket_steps *s, json_t *list)
{
	switch (s->algorithm) {
	case ALGORITHM_RANDOM:
		step(list, "draws slot %u of %u at random (random)", s->slot, s->n_slots);
		break;
	case ALGORITHM_LEAST_CONNECTIONS:
		step(list,
		     "draws two slots at random, and takes slot %u of %u, whose owner has fewer connections for its "
		     "weight "
		     "(least-connections)",
		     s->slot, s->n_slots);
		compares(s, list);
		break;
	case ALGORITHM_ROUND_ROBIN:
		step(list, "draws slot %u of %u at random, as nobody has a turn (round-robin)", s->slot, s->n_slots);
		break;
	case ALGORITHM_CONSISTENT:
		step(list, "falls in slot %u of %u, by %s (consistent)", s->slot, s->n_slots,
		     s->by_client ? "its network namespace, whichever socket it is" : "the socket's cookie");
		break;
	}
}

static void chooses(const struct socket_steps *s, json_t *list)
{
	char chosen[ENDPOINT_TEXT];

	if (s->slot != SHUNT_UNSET)
		draws(s, list);
	else if (s->turns)
		step(list, "has the next of %u turns (round-robin), which this question does not use up", s->turns);
	if (s->flags & SHUNT_TRACE_FAILED_OVER && s->chosen.known)
		step(list, "whose turn or slot that is cannot be used: %s takes its place",
		     endpoint_format(&s->chosen.at, chosen));
}

/* ---- the end ---- */

static bool is_drawn(const struct socket_steps *s)
{
	return s->algorithm != ALGORITHM_CONSISTENT || !s->by_client;
}

static void is_connected(const struct socket_steps *s, json_t *list)
{
	char given[ENDPOINT_TEXT], to[ENDPOINT_TEXT];

	chooses(s, list);
	step(list, "is connected to %s (%s); getpeername says %s", endpoint_format(&s->given, given),
	     s->chosen.known ? s->chosen.state : "unknown", endpoint_format(&s->to, to));
	if (is_drawn(s))
		step(list, "another socket may get another backend");
}

static void is_refused(const struct socket_steps *s, json_t *list)
{
	step(list, "is refused with %s: the service has no usable backend", s->error);
	step_to_backends(list, s->service ?: "", s->finds_none);
}

json_t *socket_steps_render(const struct socket_steps *s)
{
	json_t *list = json_array();

	if (!list)
		return NULL;
	connects(s, list);
	if (s->verdict == SHUNT_VERDICT_SOCKET_PASSED)
		finds_no_service(s, list);
	else
		step(list, "is for service %s (%s)", s->service ?: "that is just going", s->listen);
	if (s->verdict == SHUNT_VERDICT_SOCKET_EXEMPT)
		is_left_alone(s, list);
	if (s->verdict == SHUNT_VERDICT_SOCKET_GIVEN)
		is_connected(s, list);
	else if (s->verdict == SHUNT_VERDICT_SOCKET_REFUSED)
		is_refused(s, list);
	else
		step(list, "connects to where it asked");
	return list;
}
