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

static const struct scenario {
	const char *name, *says;
} scenarios[] = {
	{ "one", "one backend drained for 5 s every 10 s" },
	{ "ten", "ten more backends drained every 10 s, each for 30 s" },
	{ "lab", "as the end-to-end lab: every 10 s a backend added, drained, enabled, reweighted or removed" },
};
enum { ONE, TEN, LAB, ALL };

static const struct {
	const char *word, *says;
} policies[N_POLICIES] = {
	[POLICY_TABLE] = { "table", "table only" },
	[POLICY_FULL] = { "full", "full tracking" },
	[POLICY_TRACKING] = { "tracking", "tracking in transitions" },
	[POLICY_SECOND_CHANCE] = { "second_chance", "with second chance" },
};

/* ---- options ---- */

/* What the command line says. A number that it leaves to the scenario is UNSET. */
#define UNSET UINT32_MAX
struct call {
	struct options o;
	uint32_t scenario;
	bool json;
};

enum unit { NUMBER, MS, POWER }; /* POWER: of two */
struct knob {
	const char *name, *says;
	enum unit unit;
	size_t at; /* of a uint32_t in struct options */
	uint32_t least, most;
};
#define KNOB(name, unit, field, least, most, says) { name, says, unit, offsetof(struct options, field), least, most }
#define DAY 86400000
static const struct knob knobs[] = {
	KNOB("backends", NUMBER, backends, 2, 60000, "backends at the beginning; all have weight 100"),
	KNOB("spare", NUMBER, spare, 0, 5000, "backends that may be added to them"),
	KNOB("slots", POWER, slots, 0, 1 << 20, "of the table; 0: as many as the backends want, as shunt has it"),
	KNOB("balancers", NUMBER, balancers, 1, 64, "balancers"),
	KNOB("flows", NUMBER, flows, 1, 10000000, "live flows; when one ends another begins"),
	KNOB("life", MS, life, 1, DAY, "mean life of a flow, exponential"),
	KNOB("packet-interval", MS, packet_interval, 1, DAY, "mean time between two packets of a flow, exponential"),
	KNOB("duration", MS, duration, 1, DAY, "length of the run"),
	KNOB("drain-first", MS, drain_first, 1, DAY, "the first drain"),
	KNOB("drain-every", MS, drain_every, 0, DAY, "time between two drains; 0: none"),
	KNOB("drain-for", MS, drain_for, 1, DAY, "a drained backend returns after that time"),
	KNOB("drain-count", NUMBER, drain_count, 0, 60000, "backends drained each time"),
	KNOB("drain-most", NUMBER, drain_most, 0, 60000,
	     "if not 0: when so many are down, all return together, instead of --drain-for"),
	KNOB("change-first", MS, change_first, 1, DAY, "the first change of any kind"),
	KNOB("change-every", MS, change_every, 0, DAY,
	     "time between two; a random backend is added, drained, enabled, reweighted or removed; 0: none"),
	KNOB("weight", NUMBER, weight, 1, 65535, "of a backend that is reweighted, until it has 100 again"),
	KNOB("skew", MS, skew, 0, DAY, "each balancer learns of a change within so long"),
	KNOB("fail-count", NUMBER, fail_count, 0, 63, "balancers that fail"),
	KNOB("fail-at", MS, fail_at, 0, DAY, "when they fail"),
	KNOB("return-at", MS, return_at, 0, DAY, "when they return, empty"),
	KNOB("transition", MS, transition, 0, DAY, "a slot is observed for so long after its owner changed"),
	KNOB("tcp-timeout", MS, tcp_timeout, 1, 7200000, "a noted flow that is quiet for so long is over"),
	KNOB("closing-timeout", MS, closing_timeout, 1, 7200000, "the same after FIN or RST"),
	KNOB("sweep", MS, sweep, 1, DAY, "the daemon looks at its flow cache every so often"),
	KNOB("region", POWER, region, 512, 1 << 23, "entries of a balancer's flow cache, a power of two"),
};

enum { FIRST_KNOB = 256, SCENARIO = 512, ECMP, DRAIN_BY, COLD, SETTLE, SEED };

static uint32_t *value_of(const struct knob *k, struct options *o)
{
	return (uint32_t *)((char *)o + k->at);
}

static struct options nothing_given(void)
{
	struct options o = { .seed = 1 };

	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++)
		*value_of(&knobs[i], &o) = UNSET;
	return o;
}

static struct options defaults(uint32_t scenario)
{
	struct tracking t = tracking_default();
	struct options o = {
		.backends = 100, .balancers = 8, .flows = 100000, .life = 60000, .packet_interval = 1000,
		.duration = 480000, .drain_first = 10000, .drain_every = 10000, .drain_for = 5000, .drain_count = 1,
		.change_first = 5000, .weight = 60, .fail_count = 2, .fail_at = 300000, .return_at = 420000,
		.transition = t.transition_ms, .tcp_timeout = t.tcp_ms, .closing_timeout = t.closing_ms,
		.sweep = 5000, .region = t.flows,
	};

	if (scenario == TEN) {
		o.drain_for = 30000;
		o.drain_count = 10;
	}
	if (scenario == LAB) {
		o.backends = 8;
		o.spare = 4;
		o.balancers = 4;
		o.flows = 2000;
		o.life = 180000;
		o.duration = 300000;
		o.drain_every = 0;
		o.change_every = 10000;
		o.fail_count = 1;
		o.fail_at = 150000;
		o.return_at = 200000;
		o.transition = 20000;
		o.sweep = 1000; /* as the daemon */
	}
	return o;
}

static struct options scenario_options(const struct options *given, uint32_t scenario)
{
	struct options o = *given, usual = defaults(scenario);

	for (size_t i = 0; i < ARRAY_SIZE(knobs); i++)
		if (*value_of(&knobs[i], &o) == UNSET)
			*value_of(&knobs[i], &o) = *value_of(&knobs[i], &usual);
	return o;
}

/* One value, or one for each scenario. */
static void print_defaults(const struct knob *k)
{
	uint32_t v[ALL];
	bool differ = false;

	for (uint32_t s = 0; s < ALL; s++) {
		struct options o = defaults(s);

		v[s] = *value_of(k, &o);
		differ |= v[s] != v[0];
	}
	printf(" (default %u", v[0]);
	for (uint32_t s = 1; s < ALL && differ; s++)
		printf(", %u", v[s]);
	printf("%s)\n", k->unit == MS ? " ms" : "");
}

static void help(void)
{
	printf("usage: shunt-sim [-j] [OPTION VALUE]...\n\n"
	       "Simulates balancers behind ECMP that run shunt's own table, slots and flow cache, while backends are\n"
	       "drained, added, reweighted or removed and balancers fail. Counts the flows that break, side by side:\n"
	       "with the table only; with full tracking, where a balancer remembers every flow that it has seen; with\n"
	       "tracking in transitions, as shunt does it; and with second chance too, where a backend that does not\n"
	       "know a flow sends its packets on. 'of removed': broken flows whose backend the configuration does not\n"
	       "name any more. 'redirected': how often packets were sent on. The same options give the same result.\n\n"
	       "  -j, --json           one JSON document\n"
	       "  -h, --help           this\n"
	       "  --scenario WORD      only this one; without it, all. Three defaults are those of the scenarios\n");
	for (uint32_t i = 0; i < ALL; i++)
		printf("                       %u or %s: %s\n", i + 1, scenarios[i].name, scenarios[i].says);
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
		printf("  --%-18s %s", knobs[i].name, knobs[i].says);
		print_defaults(&knobs[i]);
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
	if (k->unit == POWER && (v & (v - 1)))
		return wrong(k->name, text, "a power of two");
	*value_of(k, o) = v;
	return 0;
}

static int read_scenario(const char *text, uint32_t *out)
{
	for (*out = 0; *out < ALL; ++*out)
		if (!strcmp(text, scenarios[*out].name) || (*text == '1' + (int)*out && !text[1]))
			return 0;
	return wrong("scenario", text, "1 or one, 2 or ten, 3 or lab");
}

static int read_option(int option, const char *text, struct call *c)
{
	switch (option) {
	case 'j':
		c->json = true;
		return 0;
	case SCENARIO:
		return read_scenario(text, &c->scenario);
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
	if (o->slots && o->slots < 64) {
		fprintf(stderr, "--slots %u: give 0 or at least 64\n", o->slots);
		return -EINVAL;
	}
	if (o->weight == 100 && o->change_every) {
		fprintf(stderr, "--weight 100: that is what all others have; give another\n");
		return -EINVAL;
	}
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
	return 0;
}

/* ---- output ---- */

static void print_table(uint32_t scenario, const struct options *o, const struct results *r)
{
	printf("Scenario %u (%s), %s ECMP: %s\n", scenario + 1, scenarios[scenario].name,
	       o->resilient ? "resilient" : "plain", scenarios[scenario].says);
	printf("%llu flows, %llu packets, %llu changes of the table; transition time %u ms\n\n",
	       (unsigned long long)r->flows, (unsigned long long)r->packets, (unsigned long long)r->changes,
	       o->transition);
	printf("%-24s %12s %11s %9s %9s %12s %14s\n", "", "flows broken", "of removed", "entries", "evicted",
	       "redirected", "of all packets");
	for (int p = 0; p < N_POLICIES; p++)
		printf("%-24s %12llu %11llu %9u %9llu %12llu %12.5f %%\n", policies[p].says,
		       (unsigned long long)r->of[p].broken, (unsigned long long)r->of[p].removed, r->of[p].entries,
		       (unsigned long long)r->of[p].evicted, (unsigned long long)r->of[p].redirected,
		       100.0 * r->of[p].redirected / r->packets);
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
				    json_pack("{s:I, s:I, s:I, s:I, s:I}", "broken", (json_int_t)r->of[p].broken,
					      "broken_of_removed", (json_int_t)r->of[p].removed, "entries",
					      (json_int_t)r->of[p].entries, "evicted", (json_int_t)r->of[p].evicted,
					      "redirected", (json_int_t)r->of[p].redirected));
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o}", "scenario", scenario + 1,
			 "name", scenarios[scenario].name, "ecmp", o->resilient ? "resilient" : "plain",
			 "drain_by", o->drain_rebuild ? "rebuild" : "overlay",
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
		fprintf(stderr, "scenario %u: %s\n", scenario + 1, strerror(-err));
		return err;
	}
	if (c->json)
		json_array_append_new(all, json_of(scenario, &o, &r));
	else
		print_table(scenario, &o, &r);
	return 0;
}

/* All of it is right before anything runs. */
static int check_scenarios(const struct call *c)
{
	int err = 0;

	for (uint32_t s = 0; s < ALL && !err; s++) {
		struct options o = scenario_options(&c->o, s);

		if (c->scenario == ALL || c->scenario == s)
			err = check(&o);
	}
	return err;
}

int main(int argc, char **argv)
{
	struct call c = { .o = nothing_given(), .scenario = ALL };
	json_t *all = json_array();
	int err = read_options(argc, argv, &c);

	if (!err)
		err = check_scenarios(&c);
	if (err)
		return err < 0 ? 2 : 0;
	for (uint32_t s = 0; s < ALL && !err; s++)
		if (c.scenario == ALL || c.scenario == s)
			err = run(&c, s, all);
	if (!err && c.json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		printf("\n");
	}
	json_decref(all);
	return err ? 1 : 0;
}
