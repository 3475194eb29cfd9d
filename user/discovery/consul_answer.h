/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Consul's answer about a service (/v1/health/service/NAME, all instances) as backends. Pure.
 *
 * An instance is as well as the worst of its checks and of its node's. Passing: its weight is Weights.Passing; warning:
 * Weights.Warning; critical, which is what maintenance is, too: it is left out.
 */
#ifndef DISCOVERY_CONSUL_ANSWER_H
#define DISCOVERY_CONSUL_ANSWER_H

#include "model/model.h"

#define CONSUL_NOTE 512
#define CONSUL_WEIGHT 100 /* here, of a weight of 1 in Consul */

/*
 * Tags are compared without regard to case, as Consul does. On success *out (free() it; NULL if *n is 0) holds what may be
 * used, in Consul's order, and note what a person should know ("": nothing): what was left out, and why; *wrong: not only
 * because it is ill. -EINVAL: this is no such answer, and note says what is wrong with it; -ENOMEM.
 */
int consul_answer(const char *body, size_t len, const struct discover *what, struct backend **out, size_t *n,
		  char note[CONSUL_NOTE], bool *wrong);

#endif
