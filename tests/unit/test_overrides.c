/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the operator said by command: in the model, and in the file that outlives the daemon. */
#include <jansson.h>

#include "asked.h"
#include "base/log.h"
#include "reconcile/overrides.h"

static struct config *c;
static char path[128];
static unsigned errors;

static void count_errors(void *arg, enum log_level level, const char *line)
{
	(void)arg, (void)line;
	errors += level == LOG_LEVEL_ERROR;
}

static int begin(void **state)
{
	(void)state;
	state_make();
	snprintf(path, sizeof(path), "%s/overrides.json", state_dir);
	c = parse_config("state: %s\n", state_dir);
	errors = 0;
	log_tap(count_errors, NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	log_tap(NULL, NULL);
	config_free(c);
	state_remove();
	return 0;
}

static int set(const char *service, const char *at, int weight, int admin)
{
	struct override o = { .service = (char *)service, .has_weight = weight >= 0, .weight = weight < 0 ? 0 : weight,
			      .has_admin = admin >= 0, .admin = admin < 0 ? ADMIN_ENABLED : admin };

	assert_int_equal(endpoint_parse(at, &o.at), 0);
	return config_override_set(c, &o);
}

/* "a 10.0.0.1:80 weight 5 draining": all of them, in their order. */
static const char *all(void)
{
	static const char *const words[] = { "enabled", "draining", "disabled" };
	static char text[2048];
	char at[ENDPOINT_TEXT];

	text[0] = '\0';
	for (size_t i = 0; i < c->n_overrides; i++) {
		const struct override *o = &c->overrides[i];

		sprintf(text + strlen(text), "%s%s %s", i ? ", " : "", o->service, endpoint_format(&o->at, at));
		if (o->has_weight)
			sprintf(text + strlen(text), " weight %u", o->weight);
		if (o->has_admin)
			sprintf(text + strlen(text), " %s", words[o->admin]);
	}
	return text;
}

static void put(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void they_are_in_order_and_found(void **state)
{
	struct endpoint at;

	(void)state;
	set("web", "10.0.0.2:80", 5, -1);
	set("api", "10.0.0.9:80", -1, ADMIN_DISABLED);
	set("web", "10.0.0.1:80", -1, ADMIN_DRAINING);
	set("web", "[2001:db8::1]:80", 0, ADMIN_ENABLED);
	assert_string_equal(all(), "api 10.0.0.9:80 disabled, web 10.0.0.1:80 draining, web 10.0.0.2:80 weight 5, "
			    "web [2001:db8::1]:80 weight 0 enabled");
	endpoint_parse("10.0.0.2:80", &at);
	assert_int_equal(config_override(c, "web", &at)->weight, 5);
	assert_null(config_override(c, "api", &at));
	assert_null(config_override(c, "zzz", &at));
	assert_null(config_override(c, "", &at));
}

static void one_takes_the_place_of_another_and_one_that_says_nothing_takes_it_back(void **state)
{
	(void)state;
	set("web", "10.0.0.1:80", 5, -1);
	set("web", "10.0.0.1:80", -1, ADMIN_DRAINING);
	assert_string_equal(all(), "web 10.0.0.1:80 draining");
	set("web", "10.0.0.2:80", -1, -1);
	assert_int_equal(c->n_overrides, 1);
	set("web", "10.0.0.1:80", -1, -1);
	assert_int_equal(c->n_overrides, 0);
	set("web", "10.0.0.1:80", -1, -1);
	assert_int_equal(c->n_overrides, 0);
}

static void taking_one_back_by_its_own_text_is_fine(void **state)
{
	struct override none;

	(void)state;
	set("api", "10.0.0.1:80", 5, -1);
	set("web", "10.0.0.1:80", 5, -1);
	none = c->overrides[0];
	none.has_weight = false;
	assert_int_equal(config_override_set(c, &none), 0);
	assert_string_equal(all(), "web 10.0.0.1:80 weight 5");
	none = c->overrides[0];
	none.weight = 6;
	assert_int_equal(config_override_set(c, &none), 0);
	assert_string_equal(all(), "web 10.0.0.1:80 weight 6");
}

static void copies_are_deep(void **state)
{
	_cleanup_(config_freep) struct config *copy = NULL, *other = config_new();

	(void)state;
	set("web", "10.0.0.1:80", 5, -1);
	copy = config_copy(c);
	assert_int_equal(config_overrides_copy(c, other), 0);
	assert_int_equal(config_overrides_copy(c, other), 0); /* in the place of what was there */
	config_overrides_clear(c);
	assert_int_equal(c->n_overrides, 0);
	assert_string_equal(copy->overrides[0].service, "web");
	assert_int_equal(other->n_overrides, 1);
	assert_string_equal(other->overrides[0].service, "web");
}

static void they_outlive_the_daemon(void **state)
{
	_cleanup_free_ char *was = NULL;

	(void)state;
	set("web", "10.0.0.2:80", 65535, -1);
	set("web", "10.0.0.1:80", -1, ADMIN_DRAINING);
	set("web", "[2001:db8::1]:80", 0, ADMIN_ENABLED);
	set("web", "10.0.0.3", 7, ADMIN_DISABLED);
	was = strdup(all());
	assert_int_equal(overrides_save(c), 0);
	config_overrides_clear(c);
	assert_int_equal(overrides_load(c), 0);
	assert_string_equal(all(), was);
	config_overrides_clear(c);
	assert_int_equal(overrides_save(c), 0);
	set("web", "10.0.0.1:80", 1, -1);
	assert_int_equal(overrides_load(c), 0); /* it holds none: what is there stays */
	assert_int_equal(c->n_overrides, 1);
	assert_int_equal(errors, 0);
}

static void no_file_is_none_said(void **state)
{
	(void)state;
	assert_int_equal(overrides_load(c), 0);
	assert_int_equal(c->n_overrides, 0);
	assert_int_equal(errors, 0);
}

static void a_file_that_is_damaged_is_said_and_not_taken(void **state)
{
	static const char *const texts[] = { "", "{", "{}", "7", "null", "[", "[{]", "\xff" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		put(texts[i]);
		assert_int_equal(overrides_load(c), 0);
		assert_int_equal(c->n_overrides, 0);
		assert_int_equal(errors, i + 1);
	}
}

static void of_a_list_what_can_be_used_is(void **state)
{
	(void)state;
	put("[7, null, {}, {\"service\": \"web\"}, {\"service\": 7, \"address\": \"10.0.0.1:80\", \"weight\": 1},"
	    " {\"service\": \"web\", \"address\": \"10.0.0.300:80\", \"weight\": 1},"
	    " {\"service\": \"web\", \"address\": \"10.0.0.1:80\", \"weight\": -1},"
	    " {\"service\": \"web\", \"address\": \"10.0.0.2:80\", \"weight\": 65536, \"state\": \"draining\"},"
	    " {\"service\": \"web\", \"address\": \"10.0.0.3:80\", \"weight\": 5, \"state\": \"gone\"},"
	    " {\"service\": \"web\", \"address\": \"10.0.0.4:80\", \"weight\": \"5\"}]");
	assert_int_equal(overrides_load(c), 0);
	assert_string_equal(all(), "web 10.0.0.2:80 draining, web 10.0.0.3:80 weight 5");
}

static void a_directory_that_cannot_be_written_is_an_error_that_is_returned(void **state)
{
	(void)state;
	free(c->state);
	c->state = strdup("/proc/shunt/none");
	set("web", "10.0.0.1:80", 5, -1);
	assert_int_equal(overrides_save(c), -ENOENT);
	assert_string_equal(all(), "web 10.0.0.1:80 weight 5");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(they_are_in_order_and_found),
		TEST(one_takes_the_place_of_another_and_one_that_says_nothing_takes_it_back),
		TEST(taking_one_back_by_its_own_text_is_fine),
		TEST(copies_are_deep),
		TEST(they_outlive_the_daemon),
		TEST(no_file_is_none_said),
		TEST(a_file_that_is_damaged_is_said_and_not_taken),
		TEST(of_a_list_what_can_be_used_is),
		TEST(a_directory_that_cannot_be_written_is_an_error_that_is_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
