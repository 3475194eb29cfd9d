/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs a packet through f->program and checks everything at once: the action, the bytes, that it was counted once
 * under its verdict, once under its reason if it was dropped, and in a member's counters if and only if it went to
 * a backend. What differs is printed, with both packets in hex.
 */
#ifndef TESTS_EXPECT_H
#define TESTS_EXPECT_H

#include "fixture.h"
#include "want.h"

struct place {
	const char *file;
	int line;
};
#define HERE ((struct place){ __FILE__, __LINE__ })

void passed_at(struct place at, struct fixture *f, const struct packet *in);
void dropped_at(struct place at, struct fixture *f, const struct packet *in, enum shunt_reason reason);
void forwarded_at(struct place at, struct fixture *f, const struct packet *in, const struct packet *want,
		  uint32_t backend, uint32_t member);
void answered_at(struct place at, struct fixture *f, const struct packet *in, const struct packet *want);
void delivered_at(struct place at, struct fixture *f, const struct packet *in, const struct packet *want);
void sent_on_at(struct place at, struct fixture *f, const struct packet *in, const struct packet *want, int action);
/* Forwarded to this backend in a tunnel as want_tunnel() makes it. */
void balanced_at(struct place at, struct fixture *f, const struct packet *in, const struct flow *flow, uint32_t backend,
		 uint32_t member);

#define expect_passed(...) passed_at(HERE, __VA_ARGS__)
#define expect_dropped(...) dropped_at(HERE, __VA_ARGS__)
#define expect_forwarded(...) forwarded_at(HERE, __VA_ARGS__)
#define expect_answered(...) answered_at(HERE, __VA_ARGS__)
#define expect_delivered(...) delivered_at(HERE, __VA_ARGS__)
#define expect_sent_on(...) sent_on_at(HERE, __VA_ARGS__)
#define expect_balanced(...) balanced_at(HERE, __VA_ARGS__)
/* ... to the backend of the world. */
#define expect_to_world(f, in, flow) balanced_at(HERE, f, in, flow, WORLD_BACKEND, world_member(flow))

#endif
