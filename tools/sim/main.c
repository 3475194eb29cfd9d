/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt-sim: reads the options, runs the scenarios, prints a table for people or one JSON document. */
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clean.h"
#include "model/model.h"
#include "sim.h"

#define N_SCENARIOS 2
static const char *const scenario_says[N_SCENARIOS] = {
	"one backend drained for 5 s every 10 s",
	"ten more backends drained every 10 s, each for 30 s",
};

static const struct {
	const char *word, *says;
} policies[N_POLICIES] = {
	[POLICY_TABLE] = { "table", "table only" },
	[POLICY_FULL] = { "full", "full tracking" },
	[POLICY_TRACKING] = { "tracking", "tracking in transitions" },
	[POLICY_SECOND_CHANCE] = { "second_chance", "with second chance" },
};

/* ---- options ---- */

/* What the command line says, and what it leaves to the scenario: UNSET. */
#define UNSET UINT32_MAX
struct call {
	struct options o;
	uint32_t scenario; /* 0: all */
	bool json;
};

enum unit { NUMBER, MS, ENTRIES };
struct knob {
	const char *name, *says;
	enum unit unit;
	size_t at; /* of a uint32_t in struct options */
	uint32_t least, most;
};
#define KNOB(name, unit, field, least, most, says) { name, says, unit, offsetof(struct options, field), least, most }
#define DAY 86400000
static const struct knob knobs[] = {
	KNOB("backends", NUMBER, backends, 2, 60000, "backends, all of one weight"),
	KNOB("balancers", NUMBER, balancers, 1, 64, "balancers"),
	KNOB("flows", NUMBER, flows, 1, 10000000, "live flows; when one ends another begins"),
	KNOB("life", MS, life, 1, DAY, "mean life of a flow, exponential"),
	KNOB("packet-interval", MS, packet_interval, 1, DAY, "mean time between two packets of a flow, exponential"),
	KNOB("duration", MS, duration, 1, DAY, "length of the run"),
	KNOB("drain-first", MS, drain_first, 1, DAY, "the first drain"),
	KNOB("drain-every", MS, drain_every, 1, DAY, "time between two drains"),
	KNOB("drain-for", MS, drain_for, 1, DAY, "a drained backend returns after that time"),
	KNOB("drain-count", NUMBER, drain_count, 0, 60000, "backends drained each time"),
	KNOB("drain-most", NUMBER, drain_most, 0, 60000,
	     "if not 0: when so many are down, all return together, instead of --drain-for"),
	KNOB("skew", MS, skew, 0, DAY, "each balancer learns of a change within so long"),
	KNOB("fail-count", NUMBER, fail_count, 0, 63, "balancers that fail"),
	KNOB("fail-at", MS, fail_at, 0, DAY, "when they fail"),
	KNOB("return-at", MS, return_at, 0, DAY, "when they return, empty"),
	KNOB("transition", MS, transition, 0, DAY, "a slot is observed for so long after its owner changed"),
	KNOB("tcp-timeout", MS, tcp_timeout, 1, 7200000, "a noted flow that is quiet for so long is over"),
	KNOB("closing-timeout", MS, closing_timeout, 1, 7200000, "the same after FIN or RST"),
	KNOB("sweep", MS, sweep, 1, DAY, "the daemon looks at its flow cache every so often"),
	KNOB("region", ENTRIES, region, 512, 1 << 23, "entries of a balancer's flow cache, a power of two"),
};

enum { FIRST_KNOB = 256, SCENARIO = 512, ECMP, DRAIN_BY, COLD, SETTLE, SEED };

static uint32_t *value_of(const struct knob *k, struct options *o)
{
	return (uint32_t *)((char *)o + k->at);
}

static struct options defaults(void)
{
	struct tracking t = tracking_default();

	return (struct options){
		.seed = 1, .backends = 100, .balancers = 8, .flows = 100000, .life = 60000, .packet_interval = 1000,
		.duration = 480000, .drain_first = 10000, .drain_every = 10000, .drain_for = UNSET,
		.drain_count = UNSET, .fail_count = 2, .fail_at = 300000, .return_at = 420000,
		.transition = t.transition_ms, .tcp_timeout = t.tcp_ms, .closing_timeout = t.closing_ms,
		.sweep = 5000, .region = t.flows,
	};
}

static struct options scenario_options(const struct options *given, uint32_t scenario)
{
	struct options o = *given;

	if (o.drain_for == UNSET)
		o.drain_for = scenario == 1 ? 5000 : 30000;
	if (o.drain_count == UNSET)
		o.drain_count = scenario == 1 ? 1 : 10;
	return o;
}

static void help(void)
{
	struct options o = defaults();

	printf("usage: shunt-sim [-j] [OPTION VALUE]...\n\n"
	       "Simulates balancers behind ECMP that run shunt's own table, slots and flow cache, while backends are\n"
	       "drained and balancers fail. Counts the flows that break. The same options give the same result.\n\n"
	       "  -j, --json           one JSON document\n"
	       "  -h, --help           this\n"
	       "  --scenario 1|2       only this one; without it, both\n");
	for (uint32_t i = 0; i < N_SCENARIOS; i++)
		printf("                       %u: %s\n", i + 1, scenario_says[i]);
	printf("  --ecmp WORD          plain: a failure moves nearly all flows to other balancers (default)\n"
	       "                       resilient: only those of the balancers that fail\n"
	       "  --drain-by WORD      overlay: the drained are not alive, as the daemon does it (default)\n"
	       "                       rebuild: the table is built without them\n"
	       "  --cold WORD          who returns takes as the owner of what is older\n"
	       "                       current: who owns the slot now (default)\n"
	       "                       base: who owns it with everyone alive, if that lives\n"
	       "  --settle WORD        late: a slot stays unsteady for the whole transition time (default)\n"
	       "                       early: only until nothing is noted\n"
	       "  --seed N             of all that is random (default 1)\n");
	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		uint32_t v = *value_of(&knobs[i], &o);

		printf("  --%-18s %s", knobs[i].name, knobs[i].says);
		if (v == UNSET)
			printf(" (default: the scenario's)\n");
		else
			printf(" (default %u%s)\n", v, knobs[i].unit == MS ? " ms" : "");
	}
}

static int wrong(const char *option, const char *text, const char *right)
{
	fprintf(stderr, "--%s %s: give %s\n", option, text, right);
	return -EINVAL;
}

static int read_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
	unsigned long long v;
	char *end, right[64];

	errno = 0;
	v = strtoull(text, &end, 10);
	snprintf(right, sizeof(right), "a number from %llu to %llu", (unsigned long long)least,
		 (unsigned long long)most);
	if (errno || *end || *text < '0' || *text > '9' || v < least || v > most)
		return wrong(option, text, right);
	*out = v;
	return 0;
}

/* *second: is it the second of the two words? */
static int read_word(const char *option, const char *text, const char *first, const char *other, bool *second)
{
	char right[64];

	*second = !strcmp(text, other);
	snprintf(right, sizeof(right), "%s or %s", first, other);
	return *second || !strcmp(text, first) ? 0 : wrong(option, text, right);
}

static int read_knob(const struct knob *k, const char *text, struct options *o)
{
	uint64_t v;
	int err = read_number(k->name, text, k->least, k->most, &v);

	if (err)
		return err;
	if (k->unit == ENTRIES && (v & (v - 1)))
		return wrong(k->name, text, "a power of two");
	*value_of(k, o) = v;
	return 0;
}

static int read_option(int option, const char *text, struct call *c)
{
	uint64_t v = 0;
	int err;

	switch (option) {
	case 'j':
		c->json = true;
		return 0;
	case SCENARIO:
		err = read_number("scenario", text, 1, N_SCENARIOS, &v);
		c->scenario = v;
		return err;
	case ECMP:
		return read_word("ecmp", text, "plain", "resilient", &c->o.resilient);
	case DRAIN_BY:
		return read_word("drain-by", text, "overlay", "rebuild", &c->o.drain_rebuild);
	case COLD:
		return read_word("cold", text, "current", "base", &c->o.cold_base);
	case SETTLE:
		return read_word("settle", text, "late", "early", &c->o.settle_early);
	case SEED:
		return read_number("seed", text, 0, UINT64_MAX, &c->o.seed);
	default:
		return read_knob(&knobs[option - FIRST_KNOB], text, &c->o);
	}
}

static int check(const struct options *o)
{
	if (o->fail_count >= o->balancers) {
		fprintf(stderr, "--fail-count %u: one of the %u balancers must stay\n", o->fail_count, o->balancers);
		return -EINVAL;
	}
	if (o->return_at <= o->fail_at) {
		fprintf(stderr, "--return-at %u: give a time after --fail-at %u\n", o->return_at, o->fail_at);
		return -EINVAL;
	}
	return 0;
}

/* 0; 1: help was asked for and given; -EINVAL, with a sentence */
static int read_options(int argc, char **argv, struct call *c)
{
	struct option options[ARRAY_SIZE(knobs) + 9] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "scenario", required_argument, NULL, SCENARIO },
		{ "ecmp", required_argument, NULL, ECMP },
		{ "drain-by", required_argument, NULL, DRAIN_BY },
		{ "cold", required_argument, NULL, COLD },
		{ "settle", required_argument, NULL, SETTLE },
		{ "seed", required_argument, NULL, SEED },
	};
	int option, err;

	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++)
		options[8 + i] = (struct option){ knobs[i].name, required_argument, NULL, FIRST_KNOB + i };
	while ((option = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		if (option == 'h') {
			help();
			return 1;
		}
		err = option == '?' ? -EINVAL : read_option(option, optarg, c);
		if (err)
			return err;
	}
	if (optind < argc) {
		fprintf(stderr, "%s: there are only options; see --help\n", argv[optind]);
		return -EINVAL;
	}
	return check(&c->o);
}

/* ---- output ---- */

static void print_table(uint32_t scenario, const struct options *o, const struct results *r)
{
	printf("Scenario %u, %s ECMP: %s\n", scenario, o->resilient ? "resilient" : "plain", scenario_says[scenario - 1]);
	printf("%llu flows, %llu packets, %llu changes of the table; transition time %u ms\n\n",
	       (unsigned long long)r->flows, (unsigned long long)r->packets, (unsigned long long)r->changes,
	       o->transition);
	printf("%-24s %12s %10s %10s %12s %14s\n", "", "flows broken", "entries", "evicted", "redirected", "of all packets");
	for (int p = 0; p < N_POLICIES; p++)
		printf("%-24s %12llu %10u %10llu %12llu %12.5f %%\n", policies[p].says,
		       (unsigned long long)r->of[p].broken, r->of[p].entries, (unsigned long long)r->of[p].evicted,
		       (unsigned long long)r->of[p].redirected, 100.0 * r->of[p].redirected / r->packets);
	printf("\n");
}

static json_t *json_of(uint32_t scenario, struct options *o, const struct results *r)
{
	json_t *parameters = json_object(), *of = json_object();
	char key[32];

	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++) {
		snprintf(key, sizeof(key), "%s%s", knobs[i].name, knobs[i].unit == MS ? "_ms" : "");
		for (char *c = key; *c; c++)
			*c = *c == '-' ? '_' : *c;
		json_object_set_new(parameters, key, json_integer(*value_of(&knobs[i], o)));
	}
	for (int p = 0; p < N_POLICIES; p++)
		json_object_set_new(of, policies[p].word,
				    json_pack("{s:I, s:I, s:I, s:I}", "broken", (json_int_t)r->of[p].broken, "entries",
					      (json_int_t)r->of[p].entries, "evicted", (json_int_t)r->of[p].evicted,
					      "redirected", (json_int_t)r->of[p].redirected));
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "scenario", scenario, "ecmp",
			 o->resilient ? "resilient" : "plain", "drain_by", o->drain_rebuild ? "rebuild" : "overlay",
			 "cold", o->cold_base ? "base" : "current", "settle", o->settle_early ? "early" : "late",
			 "seed", (json_int_t)o->seed, "flows", (json_int_t)r->flows, "packets", (json_int_t)r->packets,
			 "changes", (json_int_t)r->changes, "parameters", parameters, "policies", of);
}

static int run(const struct call *c, uint32_t scenario, json_t *all)
{
	struct options o = scenario_options(&c->o, scenario);
	struct results r;
	int err = world_run(&o, &r);

	if (err) {
		fprintf(stderr, "scenario %u: %s\n", scenario, strerror(-err));
		return err;
	}
	if (c->json)
		json_array_append_new(all, json_of(scenario, &o, &r));
	else
		print_table(scenario, &o, &r);
	return 0;
}

int main(int argc, char **argv)
{
	struct call c = { .o = defaults() };
	json_t *all = json_array();
	int err = read_options(argc, argv, &c);

	if (err)
		return err < 0 ? 2 : 0;
	for (uint32_t s = 1; s <= N_SCENARIOS && !err; s++)
		if (!c.scenario || c.scenario == s)
			err = run(&c, s, all);
	if (!err && c.json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		printf("\n");
	}
	json_decref(all);
	return err ? 1 : 0;
}
