/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The guard, what is handed on and when, what outlives a restart, trying a source. */
#include "asked.h"

#include <errno.h>
#include <math.h>
#include <jansson.h>
#include <sys/stat.h>

#include "base/log.h"
#include "discovery/backoff.h"

static struct event_base *base;
static struct discovery *d;
static unsigned changes;
static double changed_at[64];
static struct {
	unsigned n;
	char last[700];
} events;

static void on_changed(void *arg)
{
	(void)arg;
	changed_at[changes++ % 64] = now_s();
}

static void on_event(void *arg, const char *subject, const char *sentence)
{
	(void)arg;
	events.n++;
	snprintf(events.last, sizeof(events.last), "%s: %s", subject, sentence);
}

static int begin(void **state)
{
	(void)state;
	asked = (struct asked){};
	changes = events.n = 0;
	events.last[0] = '\0';
	base = event_base_new();
	state_make();
	return discovery_new(base, on_changed, on_event, NULL, &d);
}

static int end(void **state)
{
	(void)state;
	discovery_free(d);
	d = NULL;
	event_base_free(base);
	state_remove();
	assert_int_equal(asked.opens, asked.closes);
	assert_int_equal(asked.watches, asked.unwatches);
	return 0;
}

/* What the daemon does when it is stopped and started. */
static void restart(void)
{
	discovery_free(d);
	assert_int_equal(discovery_new(base, on_changed, on_event, NULL, &d), 0);
}

/* lines: further ones of the configuration. */
static void follow(const char *discover, const char *lines)
{
	_cleanup_(config_freep) struct config *c = parse_config(
		"state: %s\n%s\nservices: [{ name: web, listen: 192.0.2.10:80/tcp, discover: %s }]\n", state_dir, lines, discover);

	assert_int_equal(discovery_follow(d, c), 0);
}

#define WEB "{ consul: { service: web } }"
#define WEB_ALLOW "{ consul: { service: web }, none: allow }"

static struct found_set look(bool allow_none)
{
	const struct discover what = { .kind = SOURCE_CONSUL, .name = (char *)"web", .allow_none = allow_none };
	struct found_set set = {};

	assert_true(discovery_find(d, &what, &set));
	return set;
}

static void assert_set(const struct found_set *set, enum found_state state, const char *backends)
{
	assert_string_equal(found_state_names[set->state], found_state_names[state]);
	assert_true(set->known);
	assert_string_equal(backends_text(set->backends, set->n), backends);
}

static void assert_in_force(enum found_state state, const char *backends)
{
	struct found_set set = look(false);

	assert_set(&set, state, backends);
}

/* Whether a change is on its way to who is told of changes. */
static bool is_unsettled(void)
{
	return event_pending(d->settle, EV_TIMEOUT, NULL);
}

static void settle(void)
{
	if (is_unsettled())
		run_until(base, !is_unsettled());
}

/* ---- the guard ---- */

static void nobody_asks_what_is_not_followed(void **state)
{
	const struct discover other = { .kind = SOURCE_CONSUL, .name = (char *)"other" };
	struct found_set set;

	(void)state;
	assert_false(discovery_find(d, &other, &set));
	follow(WEB, "");
	assert_false(discovery_find(d, &other, &set));
	set = look(false);
	assert_int_equal(set.state, FOUND_WAITING);
	assert_false(set.known);
	assert_string_equal(set.problem, "");
	assert_string_equal(set.source->name, "consul");
	assert_false(is_unsettled());
}

static void an_answer_is_in_force_sorted_and_with_all_it_says(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB, "");
	answer_with(asked_finder("web"), "10.0.0.2:80*7 [2001:db8::1]:80#0a0b 10.0.0.1:81/draining", "17", "all is well");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:81/draining 10.0.0.2:80*7 [2001:db8::1]:80#0a0b");
	set = look(false);
	assert_string_equal(set.version, "17");
	assert_string_equal(set.note, "all is well");
	assert_int_equal(set.answers, 1);
	assert_int_equal(set.changes, 1);
	assert_true(set.heard_ms && set.changed_ms && set.since_ms);
	assert_string_equal(events.last, "consul web: answers, with 3 endpoints");
	assert_true(is_unsettled());
}

/* The question may have a mistake in it, or we no right to ask: what the service had before is in force until it is answered. */
static void none_as_the_first_answer_is_no_answer_unless_it_may_be(void **state)
{
	(void)state;
	follow(WEB, "");
	answer("web", "");
	assert_int_equal(look(false).state, FOUND_WAITING);
	assert_false(look(false).known);
	assert_non_null(strstr(look(false).problem, "says that there is none"));
	answer("web", "");
	assert_int_equal(look(false).changes, 0);
	answer("web", "10.0.0.1:80");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
	assert_string_equal(look(false).problem, "");
	settle();
	follow(WEB_ALLOW, "");
	answer("web", "");
	assert_true(look(true).known);
	assert_int_equal(look(true).n, 0);
}

static void a_sudden_none_leaves_the_last_good_set_in_force(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	settle();
	answer_with(asked_finder("web"), "", "18", "5 instances are critical");
	assert_in_force(FOUND_STALE, "10.0.0.1:80");
	assert_false(is_unsettled());
	set = look(false);
	assert_string_equal(set.problem, "the source says that there is none (5 instances are critical) (none: allow would believe it)");
	assert_string_equal(set.version, "18");
	assert_int_equal(set.problems, 1);
	assert_int_equal(events.n, 2);
	assert_non_null(strstr(events.last, "; the last good set of 1 endpoints stays in force"));
}

static void what_of_an_answer_cannot_be_used_is_a_problem_and_the_rest_counts(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB, "");
	answer_in_part("web", "10.0.0.1:80", "1 of 2 values is not understood");
	assert_in_force(FOUND_PARTIAL, "10.0.0.1:80");
	set = look(false);
	assert_string_equal(set.problem, "1 of 2 values is not understood");
	assert_string_equal(set.note, ""); /* not said twice */
	assert_string_equal(events.last, "consul web: answers, with 1 endpoints, and not all of it can be used: "
			    "1 of 2 values is not understood");
	answer_in_part("web", "10.0.0.1:80 10.0.0.2:80", "1 of 3 values is not understood");
	assert_in_force(FOUND_PARTIAL, "10.0.0.1:80 10.0.0.2:80");
	found_same(asked_finder("web"));
	assert_in_force(FOUND_PARTIAL, "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(events.n, 1); /* it is the same, but for the number */
	found_problem(asked_finder("web"), "gone");
	assert_in_force(FOUND_STALE, "10.0.0.1:80 10.0.0.2:80");
	found_same(asked_finder("web"));
	assert_in_force(FOUND_PARTIAL, "10.0.0.1:80 10.0.0.2:80");
	assert_string_equal(look(false).problem, "1 of 3 values is not understood");
	answer("web", "10.0.0.1:80 10.0.0.2:80");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80 10.0.0.2:80");
	assert_string_equal(look(false).problem, "");
	assert_string_equal(events.last, "consul web: all of it can be used again: 2 endpoints");
	answer_in_part("web", "", "2 of 2 values are not understood");
	assert_in_force(FOUND_STALE, "10.0.0.1:80 10.0.0.2:80"); /* and still none is not believed */
}

static void another_reason_is_news_but_not_too_often(void **state)
{
	(void)state;
	standing_calm_ms = 0;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	found_problem(asked_finder("web"), "10.9.9.9: no answer after 2001 ms");
	found_problem(asked_finder("web"), "10.9.9.8: no answer after 1999 ms");
	assert_int_equal(events.n, 2);
	found_problem(asked_finder("web"), "status 403: denied");
	assert_string_equal(events.last, "consul web: status 403: denied; the last good set of 1 endpoints stays in force");
	assert_int_equal(events.n, 3);
	standing_calm_ms = 60000;
	found_problem(asked_finder("web"), "10.9.9.9: no answer after 2001 ms");
	assert_int_equal(events.n, 3);
	assert_string_equal(look(false).problem, "10.9.9.9: no answer after 2001 ms");
	answer("web", "10.0.0.1:80");
	found_problem(asked_finder("web"), "status 403: denied"); /* another state is always news */
	assert_int_equal(events.n, 5);
}

static void none_is_no_better_for_being_said_again(void **state)
{
	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	answer("web", "");
	found_same(asked_finder("web"));
	assert_in_force(FOUND_STALE, "10.0.0.1:80");
	answer("web", "");
	found_same(asked_finder("web"));
	assert_in_force(FOUND_STALE, "10.0.0.1:80");
	assert_int_equal(events.n, 2);
	answer("web", "10.0.0.1:80");
	found_same(asked_finder("web"));
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
	assert_int_equal(events.n, 3);
	assert_string_equal(events.last, "consul web: answers again, with 1 endpoints");
}

static void none_is_believed_where_it_is_allowed(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB_ALLOW, "");
	answer("web", "10.0.0.1:80");
	settle();
	answer("web", "");
	set = look(true);
	assert_set(&set, FOUND_CURRENT, "");
	assert_true(is_unsettled());
}

static void a_problem_leaves_the_last_good_set_in_force_until_the_source_answers(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80 10.0.0.2:80");
	settle();
	found_problem(asked_finder("web"), "no route to %s", "10.9.9.9");
	assert_in_force(FOUND_STALE, "10.0.0.1:80 10.0.0.2:80");
	set = look(false);
	assert_string_equal(set.problem, "no route to 10.9.9.9");
	assert_string_equal(events.last, "consul web: no route to 10.9.9.9; the last good set of 2 endpoints stays in force");
	for (int i = 0; i < 10; i++)
		found_problem(asked_finder("web"), "still no route");
	set = look(false);
	assert_string_equal(set.problem, "still no route");
	assert_int_equal(set.problems, 11);
	assert_int_equal(events.n, 2); /* one for each transition, not for each repetition */
	found_same(asked_finder("web"));
	set = look(false);
	assert_set(&set, FOUND_CURRENT, "10.0.0.1:80 10.0.0.2:80");
	assert_string_equal(set.problem, "");
	assert_int_equal(events.n, 3);
	assert_false(is_unsettled());
}

static void while_nothing_is_known_a_problem_is_said_once_and_nothing_is_stale(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB, "");
	for (int i = 0; i < 5; i++)
		found_problem(asked_finder("web"), "connection refused");
	set = look(false);
	assert_int_equal(set.state, FOUND_WAITING);
	assert_false(set.known);
	assert_string_equal(set.problem, "connection refused");
	assert_int_equal(events.n, 1);
	assert_string_equal(events.last, "consul web: connection refused; nothing is known yet");
	answer("web", "10.0.0.1:80");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
	assert_int_equal(events.n, 2);
}

static void the_same_answer_is_no_change_whatever_its_order(void **state)
{
	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80 10.0.0.2:80*5 10.0.0.3:80/draining");
	settle();
	answer("web", "10.0.0.3:80/draining 10.0.0.2:80*5 10.0.0.1:80");
	assert_false(is_unsettled());
	assert_int_equal(look(false).changes, 1);
	assert_int_equal(look(false).answers, 2);
	assert_int_equal(events.n, 1);
}

static void each_thing_that_an_endpoint_says_is_a_change(void **state)
{
	static const char *const sets[] = { "10.0.0.1:80", "10.0.0.1:80*1", "10.0.0.1:80/draining", "10.0.0.1:80#0a", "10.0.0.1:81",
					    "10.0.0.2:81", "10.0.0.1:80 10.0.0.2:81" };

	(void)state;
	follow(WEB, "");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		answer("web", sets[i]);
		assert_in_force(FOUND_CURRENT, sets[i]);
		assert_int_equal(look(false).changes, i + 1);
	}
}

static void of_an_endpoint_that_is_there_twice_the_first_counts(void **state)
{
	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.2:80*1 10.0.0.1:80*3 10.0.0.2:80*2 10.0.0.1:80*4 10.0.0.1:80*5");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80*3 10.0.0.2:80*1");
}

static bool is_plain(const char *text)
{
	json_t *o = json_string(text); /* NULL: no UTF-8 */
	bool plain = o != NULL;

	for (; *text; text++)
		plain &= (unsigned char)*text >= ' ' && *text != 0x7f;
	json_decref(o);
	return plain;
}

static void what_a_server_says_is_one_line_of_text(void **state)
{
	char endless[1200];
	struct found_set set;

	(void)state;
	follow(WEB, "");
	answer_with(asked_finder("web"), "10.0.0.1:80", "1\033[31m\xff", "two\nlines\xc3");
	found_problem(asked_finder("web"), "status 500: \xff\xfe \033[2J\r\n bad \xe2\x82 end \xe2\x82\xac");
	set = look(false);
	assert_true(is_plain(set.version) && is_plain(set.note) && is_plain(set.problem));
	assert_string_equal(set.note, "two?lines?");
	assert_non_null(strstr(set.problem, "end \xe2\x82\xac")); /* what is text stays */
	assert_true(is_plain(events.last));
	for (size_t i = 0; i + 2 < sizeof(endless); i += 2)
		memcpy(endless + i, "\xc3\xa9", 3);
	for (int i = 0; i < 2; i++) { /* cut at odd and at even places */
		answer_with(asked_finder("web"), "10.0.0.1:80", endless + 2 * i, endless);
		found_problem(asked_finder("web"), "%s%s", i ? "x" : "", endless);
		set = look(false);
		assert_true(is_plain(set.version) && is_plain(set.note) && is_plain(set.problem));
	}
}

/* ---- handing on ---- */

struct train {
	struct event *event;
	unsigned n, most;
	double next, every, until;
};

/* Says something else when it is time to; a source is heard before timers, however long something else took. */
static void on_train(evutil_socket_t fd, short what, void *arg)
{
	struct backend b = {};
	struct train *t = arg;

	(void)fd, (void)what;
	if (now_s() >= t->next) {
		t->next += t->every;
		b.weight = ++t->n;
		endpoint_parse("10.0.0.1:80", &b.at);
		found(asked_finder("web"), &(struct answer){ .backends = &b, .n = 1 });
	}
	if (t->n < t->most && now_s() < t->until)
		event_add(t->event, &(struct timeval){});
}

/* Returns how long it took. */
static double run_train(unsigned most, double seconds, double every)
{
	double begin = now_s();
	struct train t = { .most = most, .next = begin, .every = every, .until = begin + seconds };

	t.event = evtimer_new(base, on_train, &t);
	event_add(t.event, &(struct timeval){});
	while (event_pending(t.event, EV_TIMEOUT, NULL))
		event_base_loop(base, EVLOOP_ONCE);
	event_free(t.event);
	seconds = now_s() - begin;
	settle();
	return seconds;
}

static void a_hundred_changes_in_50_ms_are_handed_on_once(void **state)
{
	unsigned tries = 0;
	double took;

	(void)state;
	follow(WEB, "");
	do { /* a busy machine may take longer than what counts as one moment */
		changes = 0;
		took = run_train(100, 1, 0.0005);
	} while (took > 0.09 && ++tries < 20);
	print_message("# result: 100 changes in %.0f ms, handed on %u times\n", took * 1e3, changes);
	assert_int_equal(changes, 1);
	assert_int_equal(look(false).changes, 100 * (tries + 1));
}

static void a_train_of_changes_is_handed_on_every_100_ms(void **state)
{
	double took;

	(void)state;
	follow(WEB, "");
	took = run_train(1000, 0.55, 0.001);
	print_message("# result: %.0f ms of changes, handed on %u times\n", took * 1e3, changes);
	assert_true(changes >= 3 && changes <= took / 0.095 + 1);
	for (unsigned i = 1; i + 1 < changes; i++) /* the last comes when things are calm */
		assert_true(changed_at[i] - changed_at[i - 1] > 0.09);
}

static void one_change_is_handed_on_within_milliseconds(void **state)
{
	double begin, best = 1;

	(void)state;
	follow(WEB, "");
	for (int i = 0; i < 10; i++) {
		begin = now_s();
		answer("web", i % 2 ? "10.0.0.1:80" : "10.0.0.2:80");
		settle();
		best = fmin(best, changed_at[changes - 1] - begin);
	}
	assert_int_equal(changes, 10);
	assert_true(best < 0.01);
}

/* ---- following the configuration ---- */

static void what_is_the_same_goes_on_undisturbed(void **state)
{
	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	follow(WEB, "metrics: { listen: off }");
	assert_int_equal(asked.opens, 1);
	assert_int_equal(asked.watches, 1);
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
}

static void the_same_question_of_several_services_is_one_watch(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_config(
		"state: %s\nservices:\n"
		"  - { name: a, listen: 192.0.2.10:80/tcp, discover: " WEB " }\n"
		"  - { name: b, listen: 192.0.2.11:80/tcp, discover: [" WEB ", { consul: { service: other } }] }\n", state_dir);

	(void)state;
	assert_int_equal(discovery_follow(d, c), 0);
	assert_int_equal(asked.opens, 1);
	assert_int_equal(asked.watches, 2);
}

static void what_is_not_asked_any_more_is_let_go(void **state)
{
	const struct discover what = { .kind = SOURCE_CONSUL, .name = (char *)"web" };
	struct found_set set;

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	follow("{ consul: { service: other } }", "");
	assert_false(discovery_find(d, &what, &set));
	assert_int_equal(asked.unwatches, 1);
	assert_int_equal(asked.closes, 0);
	follow("[]", "");
	assert_int_equal(asked.closes, 1);
}

static void a_source_whose_settings_change_is_opened_anew_and_what_it_found_stays(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB, "sources: [{ consul: { url: \"http://10.0.0.5:8500\" } }]");
	answer("web", "10.0.0.1:80");
	settle();
	follow(WEB, "sources: [{ consul: { url: \"http://10.0.0.6:8500\" } }]");
	assert_int_equal(asked.opens, 2);
	assert_int_equal(asked.closes, 1);
	assert_int_equal(asked.unwatches, 1);
	assert_in_force(FOUND_WAITING, "10.0.0.1:80"); /* the other one has not said anything yet */
	set = look(false);
	assert_string_equal(set.source->servers.list[0], "http://10.0.0.6:8500");
	assert_false(is_unsettled());
	found_problem(asked_finder("web"), "connection refused");
	assert_in_force(FOUND_STALE, "10.0.0.1:80");
	answer("web", "10.0.0.1:80");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
}

static void another_opinion_about_none_keeps_what_was_found(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	follow(WEB_ALLOW, "");
	set = look(true);
	assert_set(&set, FOUND_WAITING, "10.0.0.1:80");
	assert_int_equal(asked.watches, 2);
	follow(WEB, "");
	assert_in_force(FOUND_WAITING, "10.0.0.1:80");
}

static void a_source_that_cannot_be_opened_is_a_problem_of_its_questions_until_it_can(void **state)
{
	struct found_set set;

	(void)state;
	asked.cannot_open = true;
	follow(WEB, "");
	set = look(false);
	assert_string_equal(set.problem, "source consul: there is no such file");
	assert_int_equal(events.n, 1); /* it offers no services: nothing is said of such */
	follow(WEB, "");
	assert_int_equal(events.n, 1);
	asked.cannot_open = false;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
}

/* A kubeconfig that was not there yet, for example. */
static void a_source_that_cannot_be_opened_is_opened_when_it_can_be(void **state)
{
	(void)state;
	discovery_reopen_ms = 50;
	asked.cannot_open = true;
	follow(WEB, "");
	loop_for(base, 0.2);
	assert_int_equal(events.n, 1);
	asked.cannot_open = false;
	run_until(base, asked_finder("web"));
	answer("web", "10.0.0.1:80");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
	assert_int_equal(asked.opens, 1);
	discovery_reopen_ms = 30000;
}

static void a_question_that_cannot_be_asked_is_asked_when_the_configuration_is_followed_again(void **state)
{
	(void)state;
	asked.cannot_watch = true;
	follow(WEB, "");
	assert_string_equal(look(false).problem, "web is no name of a service");
	asked.cannot_watch = false;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
}

/* ---- what is kept ---- */

static char *only_file(void)
{
	_cleanup_free_ char *out = NULL;
	char command[256];
	size_t room = 0;
	FILE *list;

	snprintf(command, sizeof(command), "ls -A %s/found", state_dir);
	list = popen(command, "r");
	assert_true(getline(&out, &room, list) > 0);
	assert_int_equal(fgetc(list), EOF);
	pclose(list);
	out[strcspn(out, "\n")] = '\0';
	snprintf(command, sizeof(command), "%s/found/%s", state_dir, out);
	return strdup(command);
}

static bool there_are_files(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/found", state_dir);
	return !rmdir(path) ? false : errno == ENOTEMPTY;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static char *get(const char *path)
{
	char *text = NULL;
	size_t room = 0;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_true(getdelim(&text, &room, EOF, f) >= 0);
	fclose(f);
	return text;
}

static void what_is_in_force_outlives_a_restart_without_the_source(void **state)
{
	_cleanup_free_ char *path = NULL;
	struct found_set set;
	struct stat st;
	size_t n;

	(void)state;
	follow(WEB, "");
	answer_with(asked_finder("web"), "[2001:db8::1]:80#0a0b 10.0.0.1:80*0 10.0.0.2/draining 10.0.0.3:80*65535/disabled", "17", "a note");
	restart();
	path = only_file();
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	follow(WEB, "");
	set = look(false);
	assert_set(&set, FOUND_WAITING, "10.0.0.1:80*0 10.0.0.2/draining 10.0.0.3:80*65535/disabled [2001:db8::1]:80#0a0b");
	assert_string_equal(set.version, "17");
	assert_true(set.changed_ms > 0);
	assert_true(is_unsettled());
	assert_non_null(found_before(asked_finder("web"), &n));
	found_problem(asked_finder("web"), "connection refused");
	set = look(false);
	assert_int_equal(set.state, FOUND_STALE);
	answer("web", ""); /* what was kept is guarded, too */
	set = look(false);
	assert_int_equal(set.n, 4);
}

static void what_was_found_to_be_none_is_kept_as_well(void **state)
{
	(void)state;
	follow(WEB_ALLOW, "");
	answer("web", "");
	restart();
	follow(WEB_ALLOW, "");
	assert_int_equal(look(true).state, FOUND_WAITING);
	assert_true(look(true).known);
	assert_int_equal(look(true).n, 0);
}

static void it_is_written_without_a_stop_too(void **state)
{
	_cleanup_free_ char *path = NULL;

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	assert_false(there_are_files());
	run_until(base, !event_pending(d->save, EV_TIMEOUT, NULL)); /* a second */
	path = only_file();
	answer("web", "10.0.0.1:80");
	assert_false(event_pending(d->save, EV_TIMEOUT, NULL)); /* nothing new to write */
}

static void a_version_that_is_no_text_does_not_keep_the_set_from_being_kept(void **state)
{
	(void)state;
	follow(WEB, "");
	answer_with(asked_finder("web"), "10.0.0.1:80", "\xff\xfe", NULL);
	restart();
	follow(WEB, "");
	assert_in_force(FOUND_WAITING, "10.0.0.1:80");
}

static void a_file_that_is_damaged_is_as_good_as_none(void **state)
{
	static const char *const texts[] = {
		"", "{", "[]", "null", "{}", "\xff", "{\"key\": 7, \"backends\": []}", "{\"key\": \"%s\"}",
		"{\"key\": \"%s\", \"backends\": 7}",
		"{\"key\": \"%s\", \"backends\": [7]}",
		"{\"key\": \"%s\", \"backends\": [{\"address\": \"10.0.0.300:80\", \"weight\": 1, \"state\": \"enabled\", \"server-id\": \"\"}]}",
		"{\"key\": \"%s\", \"backends\": [{\"address\": \"10.0.0.1:80\", \"weight\": -1, \"state\": \"enabled\", \"server-id\": \"\"}]}",
		"{\"key\": \"%s\", \"backends\": [{\"address\": \"10.0.0.1:80\", \"weight\": 65536, \"state\": \"enabled\", \"server-id\": \"\"}]}",
		"{\"key\": \"%s\", \"backends\": [{\"address\": \"10.0.0.1:80\", \"weight\": 1, \"state\": \"gone\", \"server-id\": \"\"}]}",
		"{\"key\": \"%s\", \"backends\": [{\"address\": \"10.0.0.1:80\", \"weight\": 1, \"state\": \"enabled\", \"server-id\": \"z\"}]}",
		"{\"key\": \"%s\", \"backends\": [{\"address\": \"10.0.0.1:80\", \"weight\": 1, \"state\": \"enabled\", \"server-id\": \"\"},"
		"{\"address\": \"10.0.0.1:80\", \"weight\": 2, \"state\": \"enabled\", \"server-id\": \"\"}]}",
	};
	_cleanup_free_ char *path = NULL, *key = NULL;
	char text[2048];
	json_t *quoted;

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	quoted = json_string(asked_finder("web")->key);
	key = json_dumps(quoted, JSON_ENCODE_ANY);
	json_decref(quoted);
	key[strlen(key) - 1] = '\0'; /* without its quotes */
	restart();
	path = only_file();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		snprintf(text, sizeof(text), texts[i], key + 1);
		put(path, text);
		follow(WEB, "");
		if (look(false).known)
			fail_msg("taken: %s", text);
		restart();
	}
}

static void a_file_of_another_question_is_as_good_as_none(void **state)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	char *key;

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	restart();
	path = only_file();
	text = get(path);
	key = strstr(text, "\\nweb");
	assert_non_null(key);
	memcpy(key, "\\nwob", 5);
	put(path, text);
	follow(WEB, "");
	assert_false(look(false).known);
}

static void what_nobody_asks_any_more_is_swept_away_and_nothing_else(void **state)
{
	_cleanup_free_ char *path = NULL, *left = NULL;
	char other[256];

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	restart();
	path = only_file();
	snprintf(other, sizeof(other), "%s/found/README", state_dir);
	put(other, "mine\n");
	follow(WEB, "");
	assert_int_equal(access(path, F_OK), 0);
	follow("[]", "");
	left = only_file();
	assert_string_equal(left, other);
}

static void a_state_directory_that_cannot_be_written_is_only_said(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_config(
		"state: /proc/shunt/none\nservices: [{ name: web, listen: 192.0.2.10:80/tcp, discover: " WEB " }]\n");

	(void)state;
	assert_int_equal(discovery_follow(d, c), 0);
	answer("web", "10.0.0.1:80");
	event_active(d->save, EV_TIMEOUT, 1);
	settle();
	assert_in_force(FOUND_CURRENT, "10.0.0.1:80");
	assert_int_equal(changes, 1);
	answer("web", "10.0.0.2:80");
	assert_in_force(FOUND_CURRENT, "10.0.0.2:80");
}

static unsigned warnings;

static void note_warning(void *arg, enum log_level level, const char *line)
{
	(void)arg, (void)line;
	warnings += level == LOG_LEVEL_WARN;
}

/* As a full disk does: each of many sets would be a line of the log, every second. */
static void a_state_directory_that_cannot_be_written_is_not_said_without_end(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_config(
		"state: /proc/shunt/none\nservices: [{ name: web, listen: 192.0.2.10:80/tcp, discover: [ { consul: { service: a } },"
		" { consul: { service: b } }, { consul: { service: c } } ] }]\n");

	(void)state;
	assert_int_equal(discovery_follow(d, c), 0);
	answer("a", "10.0.0.1:80");
	answer("b", "10.0.0.2:80");
	answer("c", "10.0.0.3:80");
	log_set_level(LOG_LEVEL_ERROR);
	log_tap(note_warning, NULL);
	loop_for(base, 3.5);
	log_tap(NULL, NULL);
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(warnings, 1);
}

static void another_state_directory_gets_all_that_is_in_force(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_config(
		"state: %s/other\nservices: [{ name: web, listen: 192.0.2.10:80/tcp, discover: " WEB " }]\n", state_dir);

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	event_active(d->save, EV_TIMEOUT, 1);
	settle();
	assert_int_equal(discovery_follow(d, c), 0);
	restart();
	assert_int_equal(discovery_follow(d, c), 0);
	assert_in_force(FOUND_WAITING, "10.0.0.1:80");
}

static void what_was_kept_is_found_by_another_opinion_about_none(void **state)
{
	struct found_set set;

	(void)state;
	follow(WEB, "");
	answer("web", "10.0.0.1:80");
	restart();
	follow(WEB_ALLOW, "");
	set = look(true);
	assert_set(&set, FOUND_WAITING, "10.0.0.1:80");
	restart(); /* and is kept under that one */
	follow(WEB_ALLOW, "");
	set = look(true);
	assert_set(&set, FOUND_WAITING, "10.0.0.1:80");
}

/* ---- services that are offered ---- */

#define OFFERING "sources: [{ kubernetes: { url: \"http://10.0.0.5\", class: shunt } }]"

static struct offer make_offer(const char *name, const char *listen, const char *more)
{
	struct offer o = { .name = strdup(name), .listens = calloc(2, sizeof(*o.listens)), .n_listens = 1 };

	assert_int_equal(listen_parse(listen, &o.listens[0]), 0);
	if (more)
		assert_int_equal(listen_parse(more, &o.listens[o.n_listens++]), 0);
	o.discover = (struct discover){ .kind = SOURCE_KUBERNETES, .name = strdup(name), .namespace = strdup("prod"),
					.port_name = strdup("http"), .source = strdup("kubernetes") };
	return o;
}

static void offer_two(bool backwards)
{
	struct offer list[2] = { make_offer("shop", "192.0.2.20:80/tcp", "192.0.2.21:80/tcp"),
				 make_offer("blog", "192.0.2.22:80/tcp", NULL) };
	struct offer swapped[2] = { list[1], list[0] };
	struct listen first = list[0].listens[0];

	list[0].affinity = swapped[1].affinity = AFFINITY_CLIENT;
	if (backwards) {
		list[0].listens[0] = list[0].listens[1];
		list[0].listens[1] = first;
	}
	offers_found(asked.offers, backwards ? swapped : list, 2);
	for (int i = 0; i < 2; i++)
		offer_clear(&list[i]);
}

static char offered_text[512];

static void note_offered(void *arg, const struct offered *o)
{
	char listen[LISTEN_TEXT];

	(void)arg;
	for (size_t i = 0; i < o->n; i++) {
		const struct offer *f = &o->offers[i];

		sprintf(offered_text + strlen(offered_text), "%s%s=%s/%s:%s:%s", *offered_text ? " " : "", f->name,
			f->discover.namespace, f->discover.name, f->discover.port_name, affinity_names[f->affinity]);
		for (size_t k = 0; k < f->n_listens; k++)
			sprintf(offered_text + strlen(offered_text), ",%s", listen_format(&f->listens[k], listen));
	}
}

static const char *offered(void)
{
	offered_text[0] = '\0';
	discovery_each_offered(d, note_offered, NULL);
	return offered_text;
}

#define TWO_OFFERED \
	"blog=prod/blog:http:flow,192.0.2.22:80/tcp shop=prod/shop:http:client,192.0.2.20:80/tcp,192.0.2.21:80/tcp"

static void offers_are_listed_and_what_they_discover_is_asked(void **state)
{
	(void)state;
	follow("[]", OFFERING);
	assert_string_equal(offered(), "");
	offer_two(false);
	settle();
	assert_string_equal(offered(), TWO_OFFERED);
	assert_int_equal(asked.watches, 2);
	assert_non_null(asked_finder("shop"));
	assert_int_equal(changes, 1);
	offer_two(true); /* in another order */
	assert_false(is_unsettled());
	assert_int_equal(events.n, 1);
	offers_changed(asked.offers, NULL, 0);
	settle();
	assert_string_equal(offered(), "");
	assert_null(asked_finder("shop"));
}

static void offers_outlive_problems_and_a_restart(void **state)
{
	size_t n;

	(void)state;
	follow("[]", OFFERING);
	offer_two(false);
	settle();
	answer("shop", "10.0.0.1:80");
	for (int i = 0; i < 3; i++)
		offers_problem(asked.offers, "connection refused");
	assert_string_equal(offered(), TWO_OFFERED);
	assert_string_equal(events.last, "kubernetes: connection refused; the last good list of 2 services stays in force");
	assert_int_equal(events.n, 3);
	restart();
	follow("[]", OFFERING);
	assert_string_equal(offered(), TWO_OFFERED);
	assert_non_null(found_before(asked_finder("shop"), &n));
	assert_true(is_unsettled());
	offers_problem(asked.offers, "connection refused");
	offer_two(false);
	assert_string_equal(events.last, "kubernetes: offers 2 services");
}

/* Nobody saw them go: a server that lost its store, or we some rights, would say the same. */
static void a_list_without_services_is_not_believed(void **state)
{
	(void)state;
	follow("[]", OFFERING);
	offers_found(asked.offers, NULL, 0);
	assert_string_equal(events.last, "kubernetes: offers 0 services"); /* there never were any */
	offer_two(false);
	settle();
	offers_found(asked.offers, NULL, 0);
	assert_false(is_unsettled());
	assert_string_equal(offered(), TWO_OFFERED);
	assert_non_null(strstr(events.last, "kubernetes: the source says that it has no services any more; "));
	assert_non_null(strstr(events.last, "; the last good list of 2 services stays in force"));
	restart();
	follow("[]", OFFERING);
	offers_found(asked.offers, NULL, 0);
	assert_string_equal(offered(), TWO_OFFERED);
	offer_two(false);
	assert_string_equal(events.last, "kubernetes: offers 2 services");
	offers_changed(asked.offers, NULL, 0);
	assert_string_equal(offered(), "");
}

static void note_allow_none(void *allows, const struct offered *o)
{
	*(bool *)allows = o->n && o->offers[0].discover.allow_none;
}

static void what_is_offered_may_allow_none_before_and_after_a_restart(void **state)
{
	struct offer one = make_offer("shop", "192.0.2.20:80/tcp", NULL);
	bool allows = false;

	(void)state;
	one.discover.allow_none = true;
	follow("[]", OFFERING);
	offers_found(asked.offers, &one, 1);
	settle();
	discovery_each_offered(d, note_allow_none, &allows);
	assert_true(allows);
	restart();
	follow("[]", OFFERING);
	discovery_each_offered(d, note_allow_none, &allows);
	assert_true(allows);
	offer_clear(&one);
}

static void a_problem_before_anything_was_offered_says_so(void **state)
{
	(void)state;
	follow("[]", OFFERING);
	offers_problem(asked.offers, "connection refused");
	offers_problem(asked.offers, "connection refused");
	assert_int_equal(events.n, 1);
	assert_string_equal(events.last, "kubernetes: connection refused; nothing is known yet");
}

static void a_source_that_offers_and_whose_settings_change_keeps_its_offers(void **state)
{
	(void)state;
	follow("[]", OFFERING);
	offer_two(false);
	settle();
	follow("[]", "sources: [{ kubernetes: { url: \"http://10.0.0.6\", class: shunt } }]");
	assert_string_equal(offered(), TWO_OFFERED);
	assert_non_null(asked_finder("shop"));
}

static void services_of_a_source_that_offers_no_more_are_a_change(void **state)
{
	(void)state;
	follow("[]", OFFERING);
	offer_two(false);
	settle();
	follow("[]", "sources: [{ kubernetes: { url: \"http://10.0.0.5\" } }]");
	assert_string_equal(offered(), "");
	assert_true(is_unsettled());
}

/* ---- trying ---- */

static struct tested {
	unsigned n;
	bool heard;
	char backends[256], problem[256];
} tested;

static void on_tested(void *arg, const struct found_set *set)
{
	(void)arg;
	tested.n++;
	tested.heard = set;
	if (!set)
		return;
	snprintf(tested.backends, sizeof(tested.backends), "%s", backends_text(set->backends, set->n));
	snprintf(tested.problem, sizeof(tested.problem), "%s", set->problem);
}

static struct discovery_test *try(uint32_t timeout_ms)
{
	_cleanup_(config_freep) struct config *c = parse_config("state: %s\n", state_dir);
	const struct discover what = { .kind = SOURCE_CONSUL, .name = (char *)"web" };
	struct discovery_test *t = NULL;

	tested = (struct tested){};
	assert_int_equal(discovery_test(base, c, &what, timeout_ms, on_tested, NULL, &t), 0);
	assert_non_null(t);
	return t;
}

static void trying_a_source_gives_its_first_answer_and_keeps_nothing(void **state)
{
	(void)state;
	try(5000);
	answer("web", "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(tested.n, 0); /* not from within the source's call */
	run_until(base, tested.n);
	assert_true(tested.heard);
	assert_string_equal(tested.backends, "10.0.0.1:80 10.0.0.2:80");
	assert_int_equal(asked.closes, 1);
	assert_false(there_are_files());
	assert_int_equal(changes + events.n, 0);
}

static void trying_a_source_gives_its_problem(void **state)
{
	(void)state;
	try(5000);
	found_problem(asked_finder("web"), "status 403");
	run_until(base, tested.n);
	assert_string_equal(tested.problem, "status 403");
}

static void trying_a_source_asks_each_of_its_servers(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_config("state: %s\nsources: [{ consul: { url: [\"http://a:1\", "
								"\"http://b:1\"] } }]\n", state_dir);
	const struct discover what = { .kind = SOURCE_CONSUL, .name = (char *)"web" };
	struct discovery_test *test = NULL;

	(void)state;
	for (int round = 0; round < 2; round++) {
		tested = (struct tested){};
		assert_int_equal(discovery_test(base, c, &what, 5000, on_tested, NULL, &test), 0);
		found_problem(asked_finder("web"), "a: connection refused");
		loop_for(base, 0.02);
		assert_int_equal(tested.n, 0);
		if (round)
			found_problem(asked_finder("web"), "b: status 403");
		else
			answer("web", "10.0.0.1:80");
		run_until(base, tested.n);
		assert_string_equal(tested.backends, round ? "" : "10.0.0.1:80");
		assert_string_equal(tested.problem, round ? "b: status 403" : "");
	}
}

static void trying_a_source_that_cannot_be_opened_is_a_problem(void **state)
{
	(void)state;
	asked.cannot_open = true;
	try(5000);
	run_until(base, tested.n);
	assert_string_equal(tested.problem, "source consul: there is no such file");
}

static void trying_a_source_that_says_nothing_ends_in_time(void **state)
{
	double begin = now_s();

	(void)state;
	try(50);
	run_until(base, tested.n);
	assert_true(now_s() - begin > 0.045);
	assert_false(tested.heard);
}

static void trying_a_source_can_be_given_up(void **state)
{
	(void)state;
	discovery_test_cancel(try(50));
	discovery_test_cancel(NULL);
	assert_int_equal(asked.closes, 1);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(tested.n, 0);
}

/* ---- backoff ---- */

static void waiting_grows_to_half_a_minute_at_random_between_half_and_all(void **state)
{
	struct backoff b = {};

	(void)state;
	assert_int_equal(backoff_ms(1, 0), 50);
	assert_int_equal(backoff_ms(1, 50), 100);
	assert_int_equal(backoff_ms(2, 0), 100);
	assert_int_equal(backoff_ms(8, 0), 6400);
	assert_int_equal(backoff_ms(9, 12800), 25600);
	assert_int_equal(backoff_ms(10, 0), BACKOFF_MAX_MS / 2);
	assert_int_equal(backoff_ms(1000000, 15000), BACKOFF_MAX_MS);
	for (unsigned i = 1; i < 100; i++) {
		struct timeval t = backoff_next(&b);
		uint32_t ms = t.tv_sec * 1000 + t.tv_usec / 1000, most = i < 10 ? 100u << (i - 1) : BACKOFF_MAX_MS;

		if (most > BACKOFF_MAX_MS)
			most = BACKOFF_MAX_MS;
		assert_in_range(ms, most / 2, most);
		assert_true(t.tv_usec < 1000000);
	}
	backoff_reset(&b);
	assert_true(backoff_next(&b).tv_usec <= 100000);
	b = (struct backoff){ .servers = 3 }; /* a round of all counts once */
	for (int i = 1; i <= 60; i++) {
		struct timeval t = backoff_next(&b);

		if (i % 3)
			assert_true(t.tv_sec == 0 && t.tv_usec <= 100000);
		else if (i >= 30)
			assert_true(t.tv_sec >= BACKOFF_MAX_MS / 2000);
	}
	backoff_keep_short(&b);
	for (int i = 0; i < 3; i++)
		assert_true(backoff_next(&b).tv_sec <= 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_asks_what_is_not_followed),
		TEST(an_answer_is_in_force_sorted_and_with_all_it_says),
		TEST(none_as_the_first_answer_is_no_answer_unless_it_may_be),
		TEST(a_sudden_none_leaves_the_last_good_set_in_force),
		TEST(what_of_an_answer_cannot_be_used_is_a_problem_and_the_rest_counts),
		TEST(another_reason_is_news_but_not_too_often),
		TEST(none_is_no_better_for_being_said_again),
		TEST(none_is_believed_where_it_is_allowed),
		TEST(a_problem_leaves_the_last_good_set_in_force_until_the_source_answers),
		TEST(while_nothing_is_known_a_problem_is_said_once_and_nothing_is_stale),
		TEST(the_same_answer_is_no_change_whatever_its_order),
		TEST(each_thing_that_an_endpoint_says_is_a_change),
		TEST(of_an_endpoint_that_is_there_twice_the_first_counts),
		TEST(what_a_server_says_is_one_line_of_text),
		TEST(a_hundred_changes_in_50_ms_are_handed_on_once),
		TEST(a_train_of_changes_is_handed_on_every_100_ms),
		TEST(one_change_is_handed_on_within_milliseconds),
		TEST(what_is_the_same_goes_on_undisturbed),
		TEST(the_same_question_of_several_services_is_one_watch),
		TEST(what_is_not_asked_any_more_is_let_go),
		TEST(a_source_whose_settings_change_is_opened_anew_and_what_it_found_stays),
		TEST(another_opinion_about_none_keeps_what_was_found),
		TEST(a_source_that_cannot_be_opened_is_a_problem_of_its_questions_until_it_can),
		TEST(a_source_that_cannot_be_opened_is_opened_when_it_can_be),
		TEST(a_question_that_cannot_be_asked_is_asked_when_the_configuration_is_followed_again),
		TEST(what_is_in_force_outlives_a_restart_without_the_source),
		TEST(what_was_found_to_be_none_is_kept_as_well),
		TEST(it_is_written_without_a_stop_too),
		TEST(a_version_that_is_no_text_does_not_keep_the_set_from_being_kept),
		TEST(a_file_that_is_damaged_is_as_good_as_none),
		TEST(a_file_of_another_question_is_as_good_as_none),
		TEST(what_nobody_asks_any_more_is_swept_away_and_nothing_else),
		TEST(a_state_directory_that_cannot_be_written_is_only_said),
		TEST(a_state_directory_that_cannot_be_written_is_not_said_without_end),
		TEST(another_state_directory_gets_all_that_is_in_force),
		TEST(what_was_kept_is_found_by_another_opinion_about_none),
		TEST(offers_are_listed_and_what_they_discover_is_asked),
		TEST(offers_outlive_problems_and_a_restart),
		TEST(what_is_offered_may_allow_none_before_and_after_a_restart),
		TEST(a_list_without_services_is_not_believed),
		TEST(a_problem_before_anything_was_offered_says_so),
		TEST(a_source_that_offers_and_whose_settings_change_keeps_its_offers),
		TEST(services_of_a_source_that_offers_no_more_are_a_change),
		TEST(trying_a_source_gives_its_first_answer_and_keeps_nothing),
		TEST(trying_a_source_gives_its_problem),
		TEST(trying_a_source_asks_each_of_its_servers),
		TEST(trying_a_source_that_cannot_be_opened_is_a_problem),
		TEST(trying_a_source_that_says_nothing_ends_in_time),
		TEST(trying_a_source_can_be_given_up),
		cmocka_unit_test(waiting_grows_to_half_a_minute_at_random_between_half_and_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
