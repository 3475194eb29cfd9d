/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What became of the connections: a line on standard error for each that broke, one line of JSON at the end. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/clean.h"
#include "client.h"

static const char *const outcome_words[N_OUTCOMES] = {
	[COMPLETED] = "completed", [RESET] = "reset", [TIMEOUT] = "timeout", [WRONG] = "wrong", [CLOSED] = "closed",
	[NOT_CONNECTED] = "not_connected",
};

static struct served *served_by(struct results *r, const char *server)
{
	for (unsigned i = 0; i < r->n_served; i++)
		if (!strcmp(r->served[i].name, server))
			return &r->served[i];
	if (r->n_served == SERVERS_MAX)
		return &r->served[SERVERS_MAX - 1]; /* who comes late is counted with the last */
	strcpy(r->served[r->n_served].name, server);
	return &r->served[r->n_served++];
}

#define SAID_MAX 5000 /* lines about broken connections: a log has an end */

void result_served(struct results *r, const char *server)
{
	served_by(r, server)->connections++;
}

static void say_broken(const struct conn *c, enum outcome outcome, double now)
{
	char from[ENDPOINT_TEXT], at[32];

	clock_text(now, at);
	fprintf(stderr,
		"%s %s: %s to %s, age %.1f s, was quiet for %.1f s, asked %.1f s ago, %llu of %llu bytes came back%s\n",
		at, outcome_words[outcome], endpoint_format(&c->from, from), *c->server ? c->server : "nobody",
		now - c->begun, c->quiet, now - c->asked, (unsigned long long)c->echoed, (unsigned long long)c->sent,
		c->shut ? ", at its end" : "");
}

void result_note(struct results *r, const struct conn *c, enum outcome outcome)
{
	double now = clock_now();

	r->outcomes[outcome]++;
	if (outcome == COMPLETED) {
		r->oldest = now - c->begun > r->oldest ? now - c->begun : r->oldest;
		r->longest_quiet = c->longest_quiet > r->longest_quiet ? c->longest_quiet : r->longest_quiet;
		return;
	}
	if (*c->server)
		served_by(r, c->server)->broken++;
	if (++r->said <= SAID_MAX)
		say_broken(c, outcome, now);
}

uint64_t result_broken(const struct results *r)
{
	return r->outcomes[RESET] + r->outcomes[TIMEOUT] + r->outcomes[WRONG] + r->outcomes[CLOSED];
}

void result_progress(const struct client *c)
{
	unsigned leaving = 0;
	char at[32];

	for (uint32_t i = 0; i < c->n_begun; i++)
		leaving += conn_is_open(&c->conns[i]) && c->conns[i].leaving;
	clock_text(clock_now(), at);
	fprintf(stderr, "%s open %u leaving %u opened %llu completed %llu broken %llu not_connected %llu\n", at,
		c->n_open, leaving, (unsigned long long)c->r.opened, (unsigned long long)c->r.outcomes[COMPLETED],
		(unsigned long long)result_broken(&c->r), (unsigned long long)c->r.outcomes[NOT_CONNECTED]);
}

static json_t *served_json(const struct results *r)
{
	json_t *all = json_object();

	for (unsigned i = 0; i < r->n_served; i++)
		json_object_set_new(all, r->served[i].name,
				    json_pack("{s:I, s:I}", "connections", (json_int_t)r->served[i].connections,
					      "broken", (json_int_t)r->served[i].broken));
	return all;
}

void result_print(const struct client *c)
{
	const struct results *r = &c->r;
	json_t *j = json_pack("{s:f, s:I, s:I, s:I, s:I}", "seconds", clock_now() - c->begun, "opened",
			      (json_int_t)r->opened, "connected", (json_int_t)r->connected, "alive_at_end",
			      (json_int_t)r->alive_at_end, "broken", (json_int_t)result_broken(r));

	for (int i = 0; i < N_OUTCOMES; i++)
		json_object_set_new(j, outcome_words[i], json_integer(r->outcomes[i]));
	json_object_set_new(j, "bytes", json_integer(r->bytes));
	json_object_set_new(j, "oldest_seconds", json_real(r->oldest));
	json_object_set_new(j, "longest_quiet_seconds", json_real(r->longest_quiet));
	json_object_set_new(j, "served", served_json(r));
	json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	puts("");
	json_decref(j);
}
