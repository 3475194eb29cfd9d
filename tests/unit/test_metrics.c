/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* api/expo: the two formats for Prometheus; the rates; which format an Accept header asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/expo.h"
#include "api/permit.h"
#include "api/rates.h"

/* What was written since the last call; lives until the next. */
static const char *written(struct expo *e)
{
	static char text[4096];

	assert_true(e->len < sizeof(text) && !e->failed);
	memcpy(text, e->data, e->len);
	text[e->len] = '\0';
	e->len = 0;
	return text;
}

static struct expo begin(bool openmetrics)
{
	return (struct expo){ .openmetrics = openmetrics };
}

static void a_counter_is_named_total_in_text_format(void **state)
{
	struct expo e = begin(false);

	(void)state;
	expo_family(&e, EXPO_COUNTER, "shunt_packets", "Packets.");
	expo_count(&e, 7, "verdict", "edge_passed", NULL);
	expo_end(&e);
	assert_string_equal(written(&e), "# HELP shunt_packets_total Packets.\n# TYPE shunt_packets_total counter\n"
					 "shunt_packets_total{verdict=\"edge_passed\"} 7\n");
	free(e.data);
}

static void openmetrics_leaves_total_to_the_samples_and_ends_with_a_mark(void **state)
{
	struct expo e = begin(true);

	(void)state;
	expo_family(&e, EXPO_COUNTER, "shunt_packets", "Packets.");
	expo_count(&e, 7, "verdict", "edge_passed", NULL);
	expo_end(&e);
	assert_string_equal(written(&e), "# HELP shunt_packets Packets.\n# TYPE shunt_packets counter\n"
					 "shunt_packets_total{verdict=\"edge_passed\"} 7\n# EOF\n");
	free(e.data);
}

static void a_gauge_has_one_name(void **state)
{
	struct expo e = begin(false);

	(void)state;
	expo_family(&e, EXPO_GAUGE, "shunt_adopted", "Adopted.");
	expo_count(&e, 1, NULL);
	assert_string_equal(written(&e), "# HELP shunt_adopted Adopted.\n# TYPE shunt_adopted gauge\nshunt_adopted 1\n");
	free(e.data);
}

static void label_values_are_escaped(void **state)
{
	struct expo e = begin(false);

	(void)state;
	expo_family(&e, EXPO_GAUGE, "x", "X.");
	written(&e);
	expo_count(&e, 1, "a", "q\"b\\n\nend", "b", "", "c", "\"", NULL);
	assert_string_equal(written(&e), "x{a=\"q\\\"b\\\\n\\nend\",b=\"\",c=\"\\\"\"} 1\n");
	free(e.data);
}

static void numbers_are_exact(void **state)
{
	struct expo e = begin(false);

	(void)state;
	expo_family(&e, EXPO_GAUGE, "x", "X.");
	written(&e);
	expo_count(&e, UINT64_MAX, NULL);
	expo_count(&e, 0, NULL);
	expo_value(&e, 0.25, NULL);
	expo_value(&e, 1795222222.125, NULL);
	expo_value(&e, NAN, NULL);
	expo_value(&e, -INFINITY, NULL);
	assert_string_equal(written(&e), "x 18446744073709551615\nx 0\nx 0.25\nx 1795222222.12\nx NaN\nx -Inf\n");
	free(e.data);
}

static void text_grows_as_it_must(void **state)
{
	struct expo e = begin(false);

	(void)state;
	expo_family(&e, EXPO_GAUGE, "x", "X.");
	for (int i = 0; i < 100000; i++)
		expo_count(&e, 5, "label", "value", NULL);
	assert_false(e.failed);
	assert_int_equal(e.len, strlen("# HELP x X.\n# TYPE x gauge\n") + 100000 * strlen("x{label=\"value\"} 5\n"));
	assert_memory_equal(e.data + e.len - 6, "e\"} 5\n", 6);
	free(e.data);
}

static void content_types_name_their_versions(void **state)
{
	(void)state;
	assert_string_equal(expo_content_type(false), "text/plain; version=0.0.4; charset=utf-8");
	assert_string_equal(expo_content_type(true), "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

static void who_asks_for_nothing_or_anything_gets_text(void **state)
{
	(void)state;
	assert_false(accept_openmetrics(NULL));
	assert_false(accept_openmetrics(""));
	assert_false(accept_openmetrics("*/*"));
	assert_false(accept_openmetrics("text/html,application/xhtml+xml,*/*;q=0.8"));
	assert_false(accept_openmetrics("text/plain;version=0.0.4"));
	assert_false(accept_openmetrics("text/plain, application/openmetrics-text"));
}

static void who_prefers_openmetrics_gets_it(void **state)
{
	(void)state;
	assert_true(accept_openmetrics("application/openmetrics-text"));
	assert_true(accept_openmetrics("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8"));
	assert_true(accept_openmetrics("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
				       "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
	assert_true(accept_openmetrics("text/plain;q=0.3 , application/openmetrics-text; q=0.4"));
}

static void weights_and_versions_rule_openmetrics_out(void **state)
{
	(void)state;
	assert_false(accept_openmetrics("application/openmetrics-text;q=0"));
	assert_false(accept_openmetrics("application/openmetrics-text;q=0.4,text/*;q=0.5"));
	assert_false(accept_openmetrics("application/openmetrics-text;version=0.0.1"));
	assert_false(accept_openmetrics(";;,,=;q=,application/openmetrics-textual"));
}

static void rates_are_packets_per_second_between_samples(void **state)
{
	uint64_t counted[SHUNT_N_VERDICTS] = { 1000 };
	struct rates r = {};

	(void)state;
	rates_sample(&r, 5000000000, counted);
	assert_float_equal(r.per_second[0], 0, 0); /* of one sample nothing follows */
	counted[0] = 1500;
	rates_sample(&r, 5500000000, counted);
	assert_float_equal(r.per_second[0], 1000, 1e-9);
	assert_float_equal(r.per_second[1], 0, 0);
	rates_sample(&r, 6500000000, counted);
	assert_float_equal(r.per_second[0], 0, 0);
}

static void a_counter_that_went_back_is_no_rate(void **state)
{
	uint64_t counted[SHUNT_N_VERDICTS] = { 1000 };
	struct rates r = {};

	(void)state;
	rates_sample(&r, 1000000000, counted);
	counted[0] = 10;
	rates_sample(&r, 2000000000, counted);
	assert_float_equal(r.per_second[0], 0, 0);
	counted[0] = 30;
	rates_sample(&r, 3000000000, counted);
	assert_float_equal(r.per_second[0], 20, 1e-9);
	counted[0] = 40;
	rates_sample(&r, 3000000000, counted); /* no time has passed */
	assert_true(r.per_second[0] == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_counter_is_named_total_in_text_format),
		cmocka_unit_test(openmetrics_leaves_total_to_the_samples_and_ends_with_a_mark),
		cmocka_unit_test(a_gauge_has_one_name),
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(numbers_are_exact),
		cmocka_unit_test(text_grows_as_it_must),
		cmocka_unit_test(content_types_name_their_versions),
		cmocka_unit_test(who_asks_for_nothing_or_anything_gets_text),
		cmocka_unit_test(who_prefers_openmetrics_gets_it),
		cmocka_unit_test(weights_and_versions_rule_openmetrics_out),
		cmocka_unit_test(rates_are_packets_per_second_between_samples),
		cmocka_unit_test(a_counter_that_went_back_is_no_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
