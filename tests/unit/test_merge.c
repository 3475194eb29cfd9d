/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* reconcile/merge: layers, what is found and breaks a rule, services that are offered, what stays meanwhile. */
#include "asked.h"

#include <arpa/inet.h>

#include "model/diff.h"
#include "model/table.h"
#include "reconcile/merge.h"

static struct event_base *base;
static struct discovery *d;
static struct config *running; /* what was merged last */
static struct merged m;

static int begin(void **state)
{
	(void)state;
	asked = (struct asked){};
	base = event_base_new();
	state_make();
	return discovery_new(base, NULL, NULL, NULL, &d);
}

static int end(void **state)
{
	(void)state;
	merged_clear(&m);
	config_free(running);
	running = NULL;
	discovery_free(d);
	event_base_free(base);
	state_remove();
	return 0;
}

/* What the daemon does with a configuration, or when something was found: m and running are what comes of it. */
static int merge_again(const struct config *listed)
{
	struct merged next = {};
	int err = merge(listed, d, running, NULL, &next);

	if (err)
		return err;
	merged_clear(&m);
	m = next;
	config_free(running);
	running = config_copy(m.config);
	return 0;
}

/* Of services (YAML), and lines of the file beside them. Asked for, and merged. */
static struct config *listed(const char *services, const char *lines)
{
	struct config *c = parse_config("state: %s\n%s\nservices:\n%s\n", state_dir, lines, services);

	assert_int_equal(discovery_follow(d, c), 0);
	assert_int_equal(merge_again(c), 0);
	return c;
}

static const char *has(const char *service)
{
	const struct service *s = config_service(m.config, service);

	assert_non_null(s);
	return backends_text(s->backends, s->n_backends);
}

static const struct backend *one(const char *service, const char *at)
{
	struct endpoint e;
	const struct backend *b;

	assert_int_equal(endpoint_parse(at, &e), 0);
	b = service_backend(config_service(m.config, service), &e);
	assert_non_null(b);
	return b;
}

static void assert_refused(size_t i, const char *service, const char *at, const char *words)
{
	struct endpoint e = {};

	assert_true(i < m.n_refused);
	if (*at)
		assert_int_equal(endpoint_parse(at, &e), 0);
	assert_string_equal(m.refused[i].service, service);
	assert_int_equal(endpoint_compare(&m.refused[i].at, &e), 0);
	if (!strstr(m.refused[i].sentence, words))
		fail_msg("expected \"%s\" in: %s", words, m.refused[i].sentence);
}

static void set_override(struct config *c, const char *service, const char *at, int weight, int admin)
{
	struct override o = { .service = (char *)service, .has_weight = weight >= 0, .weight = weight, .has_admin = admin >= 0,
			      .admin = admin < 0 ? ADMIN_ENABLED : admin };

	assert_int_equal(endpoint_parse(at, &o.at), 0);
	assert_int_equal(config_override_set(c, &o), 0);
}

static void note_difference(void *differs, const struct diff *one)
{
	(void)one;
	*(bool *)differs = true;
}

/* Nothing would be done if the same were found again. */
static void assert_settled(const struct config *c)
{
	_cleanup_(merged_clear) struct merged again = {};
	bool differs = false;

	assert_int_equal(merge(c, d, running, NULL, &again), 0);
	config_diff(running, again.config, note_difference, &differs);
	assert_false(differs);
}

#define WEB "  - { name: web, listen: 192.0.2.10:80/tcp, discover: { consul: { service: web } } }\n"

/* ---- layers ---- */

static void without_discovery_what_is_listed_is_all_there_is(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_config(
		"services: [{ name: web, listen: 192.0.2.10:80/tcp, backends: [\"10.0.0.1:80\"], discover: { consul: { service: web } } }]\n");

	(void)state;
	set_override(c, "web", "10.0.0.1:80", 7, -1);
	assert_int_equal(merge(c, NULL, NULL, NULL, &m), 0);
	assert_string_equal(has("web"), "10.0.0.1:80*7");
	assert_int_equal(m.n_refused, 0);
}

static void whether_there_is_something_to_be_found_is_known(void **state)
{
	_cleanup_(config_freep) struct config *none = parse_config("sources: [{ consul: {} }, { kubernetes: {} }]\n"),
				       *discovers = parse_config("services:\n" WEB),
				       *class = parse_config("sources: [{ kubernetes: { class: shunt } }]\n"),
				       *label = parse_config("sources: [{ kubernetes: { label: a=b } }]\n");

	(void)state;
	assert_false(merge_finds(none));
	assert_true(merge_finds(discovers));
	assert_true(merge_finds(class));
	assert_true(merge_finds(label));
}

static void what_is_found_joins_what_is_listed(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(
		"  - { name: web, listen: 192.0.2.10:80/tcp, backends: [\"10.0.0.9:80\"], discover: { consul: { service: web } } }\n", "");

	(void)state;
	assert_string_equal(has("web"), "10.0.0.9:80");
	answer("web", "10.0.0.1:80*5 10.0.0.2:80/draining");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("web"), "10.0.0.1:80*5 10.0.0.2:80/draining 10.0.0.9:80");
	assert_int_equal(one("web", "10.0.0.9:80")->from, 0);
	assert_int_equal(one("web", "10.0.0.1:80")->from, 1);
	assert_settled(c);
}

static void the_uppermost_layer_speaks_for_an_endpoint_as_a_whole(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(
		"  - name: web\n    listen: 192.0.2.10:80/tcp\n    backends: [{ address: \"10.0.0.1:80\", weight: 1 }]\n"
		"    discover: [{ consul: { service: first } }, { consul: { service: second } }]\n", "");

	(void)state;
	answer("second", "10.0.0.1:80*22/draining 10.0.0.2:80*22/draining 10.0.0.3:80*22/draining");
	answer("first", "10.0.0.1:80*11 10.0.0.2:80*11");
	set_override(c, "web", "10.0.0.3:80", -1, ADMIN_DISABLED);
	set_override(c, "web", "10.0.0.2:80", 5, -1);
	set_override(c, "web", "10.0.0.4:80", 5, -1); /* which nobody knows */
	set_override(c, "other", "10.0.0.1:80", 5, -1);
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("web"), "10.0.0.1:80*1 10.0.0.2:80*5 10.0.0.3:80*22/disabled");
	assert_int_equal(one("web", "10.0.0.1:80")->from, 0);
	assert_int_equal(one("web", "10.0.0.2:80")->from, 1);
	assert_int_equal(one("web", "10.0.0.3:80")->from, 2);
	assert_true(one("web", "10.0.0.2:80")->overridden);
	assert_int_equal(one("web", "10.0.0.2:80")->below_weight, 11);
	assert_int_equal(one("web", "10.0.0.3:80")->below_admin, ADMIN_DRAINING);
	assert_false(one("web", "10.0.0.1:80")->overridden);
	assert_settled(c);
}

static void an_override_holds_when_its_endpoint_goes_and_comes_back(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(WEB, "");

	(void)state;
	set_override(c, "web", "10.0.0.1:80", -1, ADMIN_DRAINING);
	answer("web", "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("web"), "10.0.0.1:80/draining 10.0.0.2:80");
	answer("web", "10.0.0.2:80");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("web"), "10.0.0.2:80");
	answer("web", "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("web"), "10.0.0.1:80/draining 10.0.0.2:80");
}

/* ---- until there is an answer ---- */

static void a_question_without_an_answer_keeps_what_was_found_before(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(WEB, ""), *other = NULL;

	(void)state;
	answer("web", "10.0.0.1:80 10.0.0.2:80*7");
	set_override(c, "web", "10.0.0.2:80", 9, ADMIN_DISABLED);
	assert_int_equal(merge_again(c), 0);
	other = listed("  - { name: web, listen: 192.0.2.10:80/tcp, discover: [{ consul: { service: a } }, { consul: { service: b } }] }\n", "");
	assert_string_equal(has("web"), "10.0.0.1:80 10.0.0.2:80*7"); /* without what the override said: this has none */
	answer("a", "10.0.0.3:80");
	assert_int_equal(merge_again(other), 0);
	assert_string_equal(has("web"), "10.0.0.1:80 10.0.0.2:80*7 10.0.0.3:80");
	assert_int_equal(one("web", "10.0.0.3:80")->from, 1);
	assert_int_equal(one("web", "10.0.0.1:80")->from, 3); /* neither's */
	assert_settled(other);
	answer("b", "10.0.0.2:80");
	assert_int_equal(merge_again(other), 0);
	assert_string_equal(has("web"), "10.0.0.2:80 10.0.0.3:80");
}

static void what_was_listed_and_is_no_more_goes_also_while_a_question_waits(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(
		"  - { name: web, listen: 192.0.2.10:80/tcp, backends: [\"10.0.0.1:80\", \"10.0.0.2:80\"], discover: { consul: { service: web } } }\n", "");
	_cleanup_(config_freep) struct config *less = NULL;

	(void)state;
	assert_string_equal(has("web"), "10.0.0.1:80 10.0.0.2:80");
	less = listed("  - { name: web, listen: 192.0.2.10:80/tcp, backends: [\"10.0.0.2:80\"], discover: { consul: { service: web } } }\n", "");
	assert_string_equal(has("web"), "10.0.0.2:80");
}

static void what_one_question_takes_away_goes_while_another_has_no_answer(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(
		"  - { name: web, listen: 192.0.2.10:80/tcp, discover: [{ consul: { service: a } }, { consul: { service: b } }] }\n", "");

	(void)state;
	answer("a", "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(merge_again(c), 0);
	answer("a", "10.0.0.1:80");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("web"), "10.0.0.1:80");
	assert_settled(c);
}

static void a_question_whose_first_answer_is_none_takes_nothing_away(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(WEB, ""), *other = NULL;

	(void)state;
	answer("web", "10.0.0.1:80");
	assert_int_equal(merge_again(c), 0);
	other = listed("  - { name: web, listen: 192.0.2.10:80/tcp, discover: { consul: { service: wbe } } }\n", "");
	answer("wbe", "");
	assert_int_equal(merge_again(other), 0);
	assert_string_equal(has("web"), "10.0.0.1:80");
}

/* ---- room ---- */

static void the_service_that_grew_most_keeps_what_it_had_where_there_is_no_room(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(
		WEB "  - { name: edge, listen: 192.0.2.11:80/tcp, discover: { consul: { service: edge } } }\n", "");
	_cleanup_(texts_clear) struct texts held = {};
	struct merged next = {};

	(void)state;
	answer("web", "10.0.0.1:80");
	answer("edge", "10.0.0.2:80");
	assert_int_equal(merge_again(c), 0);
	answer("web", "10.0.0.3:80 10.0.0.4:80 10.0.0.5:80");
	answer("edge", "10.0.0.2:80 10.0.0.6:80");
	assert_int_equal(merge(c, d, running, &held, &next), 0);
	assert_string_equal(merge_grown(next.config, running, &held), "web");
	assert_int_equal(texts_add(&held, "web"), 0);
	assert_string_equal(merge_grown(next.config, running, &held), "edge");
	merged_clear(&m);
	merged_clear(&next);
	assert_int_equal(merge(c, d, running, &held, &m), 0);
	assert_string_equal(has("web"), "10.0.0.1:80");
	assert_string_equal(has("edge"), "10.0.0.2:80 10.0.0.6:80");
	assert_refused(0, "web", "", "no room");
	assert_int_equal(texts_add(&held, "edge"), 0);
	assert_null(merge_grown(m.config, running, &held));
}

/* What a question without an answer may have found is not taken for what another one found, and does not say any more. */
static void what_was_kept_for_want_of_room_still_waits_for_its_question(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(WEB, ""), *other = NULL;
	_cleanup_(texts_clear) struct texts held = {};
	struct merged next = {};

	(void)state;
	answer("web", "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(merge_again(c), 0);
	other = listed("  - { name: web, listen: 192.0.2.10:80/tcp, discover: [{ consul: { service: a } }, { consul: { service: b } }] }\n", "");
	answer("a", "10.0.0.3:80");
	assert_int_equal(merge_again(other), 0);
	answer("a", "10.0.0.3:80 10.0.0.4:80");
	assert_int_equal(texts_add(&held, "web"), 0);
	assert_int_equal(merge(other, d, running, &held, &next), 0);
	config_free(running);
	running = config_copy(next.config);
	merged_clear(&next);
	assert_int_equal(merge_again(other), 0); /* there is room again */
	assert_string_equal(has("web"), "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80 10.0.0.4:80");
	assert_int_equal(one("web", "10.0.0.3:80")->from, 1);
}

static void a_service_that_discovers_no_more_has_only_what_is_listed(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(WEB, ""), *plain = NULL;

	(void)state;
	answer("web", "10.0.0.1:80");
	assert_int_equal(merge_again(c), 0);
	plain = listed("  - { name: web, listen: 192.0.2.10:80/tcp, backends: [\"10.0.0.9:80\"] }\n", "");
	assert_string_equal(has("web"), "10.0.0.9:80");
}

static void nothing_running_and_no_answer_is_nothing_found(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_config("state: %s\nservices:\n" WEB, state_dir);

	(void)state;
	assert_int_equal(merge(c, d, NULL, NULL, &m), 0); /* nobody was asked, even */
	assert_string_equal(has("web"), "");
}

/* ---- rules ---- */

static void what_breaks_a_rule_is_left_out_with_the_sentence_and_the_rest_is_taken(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(
		WEB "  - { name: edge, listen: 192.0.2.11:80/tcp, discover: { consul: { service: edge } } }\n", "");

	(void)state;
	answer("web", "10.0.0.1:80 224.0.0.1:80 0.0.0.0:80 192.0.2.10:80 10.0.0.2:81");
	answer("edge", "10.0.0.3:80 10.0.0.4:80#0a");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("web"), "10.0.0.1:80");
	assert_string_equal(has("edge"), "10.0.0.3:80");
	assert_int_equal(m.n_refused, 5);
	assert_refused(0, "edge", "10.0.0.4:80", "has a server-id, but the service does not look at connection IDs");
	assert_refused(1, "web", "0.0.0.0:80", "the unspecified address");
	assert_refused(2, "web", "10.0.0.2:81", "must be one of the listen ports");
	assert_refused(3, "web", "224.0.0.1:80", "a multicast address");
	assert_refused(4, "web", "192.0.2.10:80", "contains itself");
	assert_settled(c);
	answer("web", "10.0.0.1:80");
	answer("edge", "10.0.0.3:80");
	assert_int_equal(merge_again(c), 0);
	assert_int_equal(m.n_refused, 0);
}

static void a_circle_that_is_closed_by_what_was_found_is_opened_there(void **state)
{
	/* a is looked at first: b's listed backend closes the circle */
	_cleanup_(config_freep) struct config *c = listed(
		"  - { name: a, listen: 192.0.2.1:80/tcp, discover: { consul: { service: a } } }\n"
		"  - { name: b, listen: 192.0.2.2:80/tcp, backends: [\"192.0.2.1:80\"] }\n", "");

	(void)state;
	answer("a", "10.0.0.1:80 192.0.2.2:80");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("a"), "10.0.0.1:80");
	assert_string_equal(has("b"), "192.0.2.1:80");
	assert_refused(0, "a", "192.0.2.2:80", "that makes a circle");
	answer("a", "10.0.0.1:80 192.0.2.2"); /* without a port */
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("a"), "10.0.0.1:80");
	assert_refused(0, "a", "192.0.2.2", "that makes a circle");
}

static void of_two_with_one_server_id_the_listed_one_stays(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(
		"  - name: quic\n    listen: 192.0.2.1:443/udp\n    quic: { server-id: 1 }\n"
		"    backends: [{ address: 10.0.0.5, server-id: \"0a\" }]\n    discover: { consul: { service: quic } }\n", "");

	(void)state;
	answer("quic", "10.0.0.1#0a 10.0.0.2#0b 10.0.0.9#0a 10.0.0.8#0c 10.0.0.7#0c");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("quic"), "10.0.0.2#0b 10.0.0.5#0a 10.0.0.7#0c");
	assert_int_equal(m.n_refused, 3);
}

static void answer_many(const char *service, size_t n)
{
	struct backend *list = calloc(n, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = (struct backend){ .at = { addr_from4(htonl(0x0b000000 + i)), 80 }, .weight = 100 };
	found(asked_finder(service), &(struct answer){ .backends = list, .n = n });
	free(list);
}

static void more_backends_than_a_service_may_have_leave_it_what_it_had(void **state)
{
	_cleanup_(config_freep) struct config *c = listed(
		WEB "  - { name: small, listen: 192.0.2.11:80/tcp, backends: [{ address: \"10.0.0.1:80\", weight: 3 }],"
		"  discover: { consul: { service: small } } }\n", "");

	(void)state;
	answer("web", "10.0.0.7:80");
	answer("small", "10.0.0.8:80*5");
	set_override(c, "small", "10.0.0.1:80", 50, -1);
	set_override(c, "small", "10.0.0.8:80", 60, -1);
	assert_int_equal(merge_again(c), 0);
	answer_many("small", TABLE_MEMBERS_MAX + 1);
	answer("web", "10.0.0.9:80");
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("small"), "10.0.0.1:80*50 10.0.0.8:80*60");
	assert_int_equal(one("small", "10.0.0.1:80")->below_weight, 3);
	assert_int_equal(one("small", "10.0.0.8:80")->below_weight, 5);
	assert_string_equal(has("web"), "10.0.0.9:80"); /* the others go on */
	assert_int_equal(m.n_refused, 1);
	assert_refused(0, "small", "", "a service has at most");
	assert_settled(c);
	answer("small", "10.0.0.8:80");
	assert_int_equal(merge_again(c), 0);
	assert_int_equal(m.n_refused, 0);
}

static void too_many_at_the_start_are_none(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_config("state: %s\nservices:\n" WEB, state_dir);

	(void)state;
	assert_int_equal(discovery_follow(d, c), 0);
	answer_many("web", TABLE_MEMBERS_MAX + 1);
	assert_int_equal(merge(c, d, NULL, NULL, &m), 0);
	assert_string_equal(has("web"), "");
	assert_refused(0, "web", "", "a service has at most");
}

static void what_it_had_goes_where_it_does_not_fit_what_is_listed_now(void **state)
{
	struct config *c = listed(WEB, "");
	struct service *web;

	(void)state;
	answer_many("web", TABLE_MEMBERS_MAX);
	assert_int_equal(merge_again(c), 0);
	assert_int_equal(config_service(m.config, "web")->n_backends, TABLE_MEMBERS_MAX);
	web = config_service(c, "web");
	assert_int_equal(service_backend_add(web, &(struct backend){ .at = { addr_from4(htonl(0x0a000001)), 80 }, .weight = 100 }), 0);
	assert_int_equal(merge_again(c), 0); /* one more is listed: the operator is obeyed */
	assert_string_equal(has("web"), "10.0.0.1:80");
	assert_true(m.n_refused >= 1);
	config_free(c);
}

/* ---- services that are offered ---- */

#define OFFERING "sources: [{ kubernetes: { url: \"http://10.0.0.5\", class: shunt } }]"

static void offer(size_t n, const char *const (*list)[2])
{
	struct offer offers[8] = {};

	for (size_t i = 0; i < n; i++) {
		offers[i] = (struct offer){ .name = strdup(list[i][0]), .listens = calloc(1, sizeof(struct listen)),
					    .n_listens = *list[i][1] ? 1 : 0,
					    .discover = { .kind = SOURCE_KUBERNETES, .name = strdup(list[i][0]) } };
		if (*list[i][1])
			assert_int_equal(listen_parse(list[i][1], offers[i].listens), 0);
	}
	offers_found(asked.offers, offers, n);
	for (size_t i = 0; i < n; i++)
		offer_clear(&offers[i]);
	while (event_pending(d->settle, EV_TIMEOUT, NULL)) /* then what they discover is asked */
		event_base_loop(base, EVLOOP_ONCE);
}

static void a_service_that_is_offered_is_one_with_what_it_discovers(void **state)
{
	static const char *const list[][2] = { { "shop", "192.0.2.20:80/tcp" }, { "dns", "192.0.2.20:53/udp" } };
	_cleanup_(config_freep) struct config *c = listed("  []", OFFERING);
	const struct service *s;

	(void)state;
	assert_int_equal(m.config->n_services, 0);
	offer(2, list);
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("shop"), "");
	answer("shop", "10.0.0.1:80 10.0.0.2:80");
	set_override(c, "shop", "10.0.0.1:80", -1, ADMIN_DRAINING);
	assert_int_equal(merge_again(c), 0);
	assert_string_equal(has("shop"), "10.0.0.1:80/draining 10.0.0.2:80");
	s = config_service(m.config, "shop");
	assert_string_equal(s->offered_by, "kubernetes");
	assert_int_equal(s->check.kind, CHECK_TCP);
	assert_int_equal(config_service(m.config, "dns")->check.kind, CHECK_NONE);
	assert_settled(c);
	offer(1, list + 1);
	assert_int_equal(merge_again(c), 0);
	assert_null(config_service(m.config, "shop"));
}

static void the_operator_wins_where_a_name_or_an_address_is_taken(void **state)
{
	static const char *const list[][2] = { { "web", "192.0.2.30:80/tcp" }, /* the name */
					       { "a-first", "192.0.2.10:80/tcp" }, /* where web listens, before it in order */
					       { "z-last", "192.0.2.10:80/tcp" }, /* the same, behind it */
					       { "nowhere", "" }, { "bad name", "192.0.2.31:80/tcp" },
					       { "plain", "192.0.2.12:80/tcp" }, /* where a service listens that discovers nothing */
					       { "fine", "192.0.2.32:80/tcp" } };
	_cleanup_(config_freep) struct config *c = listed(
		WEB "  - { name: zero, listen: 192.0.2.12:80/tcp, backends: [\"10.0.0.5:80\"] }\n", OFFERING);

	(void)state;
	answer("web", "10.0.0.1:80");
	offer(7, list);
	assert_int_equal(merge_again(c), 0);
	assert_int_equal(m.config->n_services, 3);
	assert_string_equal(has("web"), "10.0.0.1:80");
	assert_string_equal(has("zero"), "10.0.0.5:80");
	assert_non_null(config_service(m.config, "fine"));
	assert_int_equal(m.n_refused, 6);
	assert_refused(0, "web", "", "there is a service of that name already");
	assert_settled(c);
}

static void of_two_offers_with_one_address_one_is_taken(void **state)
{
	static const char *const list[][2] = { { "b", "192.0.2.20:80/tcp" }, { "a", "192.0.2.20:80/tcp" } };
	_cleanup_(config_freep) struct config *c = listed("  []", OFFERING);

	(void)state;
	offer(2, list);
	assert_int_equal(merge_again(c), 0);
	assert_int_equal(m.config->n_services, 1);
	assert_non_null(config_service(m.config, "a"));
	assert_refused(0, "b", "", "already belongs to service a");
}

static void a_source_that_is_to_offer_no_more_is_not_waited_for(void **state)
{
	static const char *const list[][2] = { { "shop", "192.0.2.20:80/tcp" } };
	_cleanup_(config_freep) struct config *c = listed("  []", OFFERING);
	_cleanup_(config_freep) struct config *without = parse_config("state: %s\n", state_dir);

	(void)state;
	offer(1, list);
	assert_int_equal(merge_again(c), 0);
	assert_non_null(config_service(m.config, "shop"));
	assert_int_equal(merge_again(without), 0); /* before discovery follows it, as a reload does */
	assert_null(config_service(m.config, "shop"));
}

/* The kernel's services do not go because their source has another name: what that says counts. */
static void a_source_with_another_name_is_waited_for(void **state)
{
	static const char *const list[][2] = { { "shop", "192.0.2.20:80/tcp" }, { "mall", "192.0.2.21:80/tcp" } };
	_cleanup_(config_freep) struct config *c = listed("  []", OFFERING);
	_cleanup_(config_freep) struct config *renamed = parse_config(
		"state: %s\nsources: [{ name: cluster, kubernetes: { url: \"http://10.0.0.5\", class: shunt } }]\n", state_dir);

	(void)state;
	offer(2, list);
	answer("shop", "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(merge_again(c), 0);
	assert_int_equal(merge_again(renamed), 0); /* before discovery follows it, as a reload does */
	assert_string_equal(has("shop"), "10.0.0.1:80 10.0.0.2:80");
	assert_string_equal(config_service(m.config, "shop")->offered_by, "cluster");
	assert_int_equal(config_service(m.config, "shop")->n_listens, 1);
	assert_int_equal(discovery_follow(d, renamed), 0);
	assert_int_equal(merge_again(renamed), 0); /* it was not heard yet */
	assert_string_equal(has("shop"), "10.0.0.1:80 10.0.0.2:80");
	assert_non_null(config_service(m.config, "mall"));
	offer(1, list);
	assert_int_equal(merge_again(renamed), 0);
	assert_string_equal(has("shop"), "10.0.0.1:80 10.0.0.2:80"); /* until its own question is answered */
	assert_null(config_service(m.config, "mall"));
	answer("shop", "10.0.0.2:80");
	assert_int_equal(merge_again(renamed), 0);
	assert_string_equal(has("shop"), "10.0.0.2:80");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_discovery_what_is_listed_is_all_there_is),
		TEST(whether_there_is_something_to_be_found_is_known),
		TEST(what_is_found_joins_what_is_listed),
		TEST(the_uppermost_layer_speaks_for_an_endpoint_as_a_whole),
		TEST(an_override_holds_when_its_endpoint_goes_and_comes_back),
		TEST(a_question_without_an_answer_keeps_what_was_found_before),
		TEST(what_was_listed_and_is_no_more_goes_also_while_a_question_waits),
		TEST(what_one_question_takes_away_goes_while_another_has_no_answer),
		TEST(a_question_whose_first_answer_is_none_takes_nothing_away),
		TEST(the_service_that_grew_most_keeps_what_it_had_where_there_is_no_room),
		TEST(what_was_kept_for_want_of_room_still_waits_for_its_question),
		TEST(a_service_that_discovers_no_more_has_only_what_is_listed),
		TEST(nothing_running_and_no_answer_is_nothing_found),
		TEST(what_breaks_a_rule_is_left_out_with_the_sentence_and_the_rest_is_taken),
		TEST(a_circle_that_is_closed_by_what_was_found_is_opened_there),
		TEST(of_two_with_one_server_id_the_listed_one_stays),
		TEST(more_backends_than_a_service_may_have_leave_it_what_it_had),
		TEST(too_many_at_the_start_are_none),
		TEST(what_it_had_goes_where_it_does_not_fit_what_is_listed_now),
		TEST(a_service_that_is_offered_is_one_with_what_it_discovers),
		TEST(the_operator_wins_where_a_name_or_an_address_is_taken),
		TEST(of_two_offers_with_one_address_one_is_taken),
		TEST(a_source_that_is_to_offer_no_more_is_not_waited_for),
		TEST(a_source_with_another_name_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
