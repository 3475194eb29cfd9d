/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sources, discovers and announcements: what a configuration makes of each key, copies, comparing, words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "config/config.h"
#include "model/copy.h"
#include "model/diff.h"

static char said[4096];

static void say(void *arg, const char *sentence)
{
	(void)arg;
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", sentence);
}

static struct config *parse(const char *text)
{
	struct config *c = NULL;

	said[0] = '\0';
	if (config_parse("test.yaml", text, strlen(text), say, NULL, &c))
		fail_msg("refused: %s", said);
	return c;
}

/* tests/config/good/discovery.yaml, which has every key. */
static struct config *every_key(void)
{
	char here[] = __FILE__, path[512];
	struct config *c = NULL;

	said[0] = '\0';
	snprintf(path, sizeof(path), "%s/../config/good/discovery.yaml", dirname(here));
	if (config_load(path, say, NULL, &c))
		fail_msg("refused: %s", said);
	return c;
}

/* ---- sources ---- */

static void a_source_of_which_nothing_is_said_has_its_defaults(void **state)
{
	_cleanup_(config_freep) struct config *c = parse("sources: [{ consul: }, { kubernetes: {} }, { etcd: {} }, { dns: }]\n");

	(void)state;
	assert_int_equal(c->n_sources, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct source *s = &c->sources[i];
		struct source expected = source_default(s->kind);

		assert_int_equal(s->kind, i);
		assert_string_equal(s->name, source_kind_names[i]);
		expected.name = s->name;
		assert_true(source_equal(s, &expected));
		assert_int_equal(s->timeout_ms, s->kind == SOURCE_DNS ? 2000 : 5000);
		assert_int_equal(s->ttl_min_ms, 1000);
		assert_int_equal(s->ttl_max_ms, 300000);
		assert_int_equal(s->servers.n, 0);
		assert_null(s->class);
	}
}

static void every_key_of_a_source_arrives(void **state)
{
	_cleanup_(config_freep) struct config *c = every_key();
	const struct source *s = c->sources;

	(void)state;
	assert_int_equal(c->n_sources, 7);
	assert_string_equal(s[0].name, "consul");
	assert_string_equal(s[1].name, "consul-east");
	assert_int_equal(s[1].kind, SOURCE_CONSUL);
	assert_int_equal(s[1].servers.n, 2);
	assert_string_equal(s[1].servers.list[1], "https://[2001:db8::1]:8501/path");
	assert_string_equal(s[1].tls.ca, "/etc/shunt/ca.pem");
	assert_string_equal(s[1].tls.cert, "/etc/shunt/cert.pem");
	assert_string_equal(s[1].tls.key, "/etc/shunt/key.pem");
	assert_string_equal(s[1].token_file, "/etc/shunt/consul.token");
	assert_string_equal(s[1].datacenter, "dc1");
	assert_int_equal(s[1].timeout_ms, 3000);
	assert_int_equal(s[2].kind, SOURCE_KUBERNETES);
	assert_string_equal(s[2].class, "shunt/balancer");
	assert_string_equal(s[2].zone, "zone-a");
	assert_string_equal(s[2].token_file, "/etc/shunt/kubernetes.token");
	assert_string_equal(s[3].kubeconfig, "/root/.kube/config");
	assert_string_equal(s[3].context, "production");
	assert_string_equal(s[3].label, "shunt/balance=true");
	assert_string_equal(s[4].name, "pod");
	assert_string_equal(s[5].user, "shunt");
	assert_string_equal(s[5].password_file, "/etc/shunt/etcd.password");
	assert_int_equal(s[6].servers.n, 2);
	assert_string_equal(s[6].servers.list[1], "[2001:db8::53]:5353");
	assert_int_equal(s[6].ttl_min_ms, 500);
	assert_int_equal(s[6].ttl_max_ms, 3600000);
	assert_int_equal(s[6].timeout_ms, 1000);
}

static void the_name_may_stand_before_or_behind_the_kind(void **state)
{
	_cleanup_(config_freep) struct config *c = parse(
		"sources: [{ name: a, consul: { datacenter: x } }, { consul: { datacenter: x }, name: b }]\n");

	(void)state;
	assert_string_equal(c->sources[0].name, "a");
	assert_string_equal(c->sources[0].datacenter, "x");
	assert_string_equal(c->sources[1].name, "b");
	assert_string_equal(c->sources[1].datacenter, "x");
}

static void a_source_is_found_by_kind_and_name_and_the_first_of_a_kind_without(void **state)
{
	_cleanup_(config_freep) struct config *c = every_key(), *none = parse("services: []\n");

	(void)state;
	assert_ptr_equal(config_source(c, SOURCE_CONSUL, NULL), &c->sources[0]);
	assert_ptr_equal(config_source(c, SOURCE_CONSUL, "consul-east"), &c->sources[1]);
	assert_ptr_equal(config_source(c, SOURCE_KUBERNETES, NULL), &c->sources[2]);
	assert_null(config_source(c, SOURCE_CONSUL, "cluster"));
	assert_null(config_source(c, SOURCE_FILES, NULL));
	assert_null(config_source(none, SOURCE_CONSUL, NULL));
}

/* Every text of a structure, by where it is. */
static void change_texts(void *structure, const size_t *texts, size_t n, bool (*same)(const void *other))
{
	for (size_t i = 0; i < n; i++) {
		char **text = (char **)((char *)structure + texts[i]), *was = *text;

		*text = was ? NULL : (char *)"";
		assert_false(same(structure)); /* NULL and "" are not the same either */
		*text = (char *)"other";
		assert_false(same(structure));
		*text = was;
		assert_true(same(structure));
	}
}

static struct source source_copied;
static bool same_source(const void *other)
{
	const struct config a = { .sources = (struct source *)other, .n_sources = 1 };
	const struct config b = { .sources = &source_copied, .n_sources = 1 };
	bool same = source_equal(other, &source_copied);

	assert_int_equal(source_equal(&source_copied, other), same);
	if (a.sources->name) /* which it always has */
		assert_int_equal(config_differs(&a, &b), !same); /* else a reload would not see it */
	return same;
}

static void copies_of_sources_are_deep_and_differ_by_each_thing(void **state)
{
	static const size_t texts[] = {
		offsetof(struct source, name), offsetof(struct source, tls.ca), offsetof(struct source, tls.cert),
		offsetof(struct source, tls.key), offsetof(struct source, token_file), offsetof(struct source, user),
		offsetof(struct source, password_file), offsetof(struct source, datacenter), offsetof(struct source, kubeconfig),
		offsetof(struct source, context), offsetof(struct source, class), offsetof(struct source, label),
		offsetof(struct source, zone),
	};
	_cleanup_(config_freep) struct config *c = every_key();

	(void)state;
	/* as many texts as there are pointers: who adds one sees it here */
	assert_int_equal(sizeof(struct source), ARRAY_SIZE(texts) * sizeof(char *) + 2 * sizeof(int) + sizeof(struct texts) +
			 4 * sizeof(uint32_t));
	for (size_t i = 0; i < c->n_sources; i++) {
		struct source *s = &c->sources[i];

		assert_int_equal(source_copy(s, &source_copied), 0);
		assert_ptr_not_equal(s->name, source_copied.name);
		change_texts(s, texts, ARRAY_SIZE(texts), same_source);
		s->timeout_ms++;
		assert_false(same_source(s));
		s->timeout_ms--, s->ttl_min_ms++;
		assert_false(same_source(s));
		s->ttl_min_ms--, s->ttl_max_ms++;
		assert_false(same_source(s));
		s->ttl_max_ms--, s->kind = (s->kind + 1) % N_SOURCE_KINDS;
		assert_false(same_source(s));
		s->kind = source_copied.kind;
		assert_true(same_source(s));
		if (s->servers.n) {
			s->servers.n--;
			assert_false(same_source(s));
			s->servers.n++;
			s->servers.list[0][0]++;
			assert_false(same_source(s));
		}
		source_clear(&source_copied);
		assert_null(source_copied.name);
	}
}

/* ---- discovers ---- */

static void every_key_of_discover_arrives(void **state)
{
	_cleanup_(config_freep) struct config *c = every_key();
	const struct service *s = config_service(c, "web");
	const struct discover *d = s->discovers;

	(void)state;
	assert_int_equal(s->n_discovers, 6);
	for (int i = 0; i < 4; i++)
		assert_int_equal(d[i].kind, i);
	assert_string_equal(d[0].name, "web");
	assert_true(d[0].tags.n == 2 && texts_have(&d[0].tags, "blue"));
	assert_string_equal(d[0].datacenter, "dc2");
	assert_string_equal(d[0].source, "consul-east");
	assert_true(d[0].allow_none);
	assert_string_equal(d[1].namespace, "prod");
	assert_string_equal(d[1].port_name, "http");
	assert_false(d[1].allow_none);
	assert_string_equal(d[2].name, "/shunt/services/web/");
	assert_true(d[3].srv);
	assert_string_equal(d[3].name, "_http._tcp.example.org");
	assert_false(d[4].srv);
	assert_int_equal(d[4].port, 80);
	assert_null(d[4].source);
	assert_false(d[4].allow_none);
	assert_int_equal(d[5].kind, SOURCE_FILES);
	assert_string_equal(d[5].name, "/etc/shunt/web.d");
	assert_int_equal(config_service(c, "api")->n_discovers, 1);
}

static struct discover discover_copied;
static bool same_discover(const void *other)
{
	_cleanup_free_ char *a = discover_key(other), *b = discover_key(&discover_copied);
	bool same = discover_equal(other, &discover_copied);

	assert_int_equal(same, !strcmp(a, b)); /* while allow_none is the same */
	return same;
}

static void copies_of_discovers_are_deep_and_differ_by_each_thing(void **state)
{
	static const size_t texts[] = { offsetof(struct discover, source), offsetof(struct discover, namespace),
					offsetof(struct discover, port_name), offsetof(struct discover, datacenter) };
	_cleanup_(config_freep) struct config *c = every_key();
	struct service *s = config_service(c, "web");

	(void)state;
	for (size_t i = 0; i < s->n_discovers; i++) {
		struct discover *d = &s->discovers[i];
		char *name = d->name;

		assert_int_equal(discover_copy(d, &discover_copied), 0);
		change_texts(d, texts, ARRAY_SIZE(texts), same_discover);
		d->name = (char *)"other";
		assert_false(same_discover(d));
		d->name = name;
		d->srv = !d->srv;
		assert_false(same_discover(d));
		d->srv = !d->srv, d->port++;
		assert_false(same_discover(d));
		d->port--, d->kind = (d->kind + 1) % N_SOURCE_KINDS;
		assert_false(same_discover(d));
		d->kind = discover_copied.kind;
		if (d->tags.n) {
			d->tags.n--;
			assert_false(same_discover(d));
			d->tags.n++;
		}
		assert_true(same_discover(d));
		discover_clear(&discover_copied);
	}
}

static void a_key_tells_what_is_asked_and_whether_none_is_believed(void **state)
{
	struct discover a = { .name = (char *)"web" }, b = a;
	_cleanup_free_ char *keep = discover_key(&a), *allow = NULL;

	(void)state;
	b.allow_none = true;
	allow = discover_key(&b);
	assert_true(discover_equal(&a, &b));
	assert_string_not_equal(keep, allow);
}

static void a_text_that_moves_to_another_field_is_another_key(void **state)
{
	struct discover list[] = {
		{ .name = (char *)"a" }, { .name = (char *)"a", .source = (char *)"a" }, { .name = (char *)"a", .namespace = (char *)"a" },
		{ .name = (char *)"a", .port_name = (char *)"a" }, { .name = (char *)"a", .datacenter = (char *)"a" },
		{ .name = (char *)"a", .tags = { (char *[]){ (char *)"a" }, 1 } },
		{ .name = (char *)"a", .tags = { (char *[]){ (char *)"a", (char *)"a" }, 2 } },
		{ .name = (char *)"a", .port = 1 }, { .name = (char *)"a", .port = 11 }, { .name = (char *)"a", .srv = true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		for (size_t k = 0; k < i; k++) {
			_cleanup_free_ char *x = discover_key(&list[i]), *y = discover_key(&list[k]);

			assert_string_not_equal(x, y);
			assert_false(discover_equal(&list[i], &list[k]));
		}
}

static void a_question_reads_as_people_ask_it(void **state)
{
	static const char *const expected[] = {
		"consul web with tags v2, blue in dc2 (source consul-east), none: allow",
		"kubernetes prod/web port http (source cluster)",
		"etcd /shunt/services/web/ (source etcd)",
		"dns _http._tcp.example.org SRV (source dns)",
		"dns web.example.org port 80",
		"files /etc/shunt/web.d",
	};
	_cleanup_(config_freep) struct config *c = every_key();
	struct discover plain = { .kind = SOURCE_KUBERNETES, .name = (char *)"web" };
	char text[DISCOVER_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(discover_format(&config_service(c, "web")->discovers[i], text), expected[i]);
	assert_string_equal(discover_format(&plain, text), "kubernetes default/web");
}

static void a_long_question_is_cut_between_characters_and_is_one_line(void **state)
{
	char name[1100], text[DISCOVER_TEXT];
	struct discover d = { .kind = SOURCE_FILES, .name = name };

	(void)state;
	for (size_t len = 500; len < 520; len++) {
		memset(name, 'a', sizeof(name));
		strcpy(name + len - 3, "\xe2\x82\xac and more\nthan that");
		memset(name + strlen(name), 'b', 500);
		name[1000] = '\0';
		discover_format(&d, text);
		assert_true(strlen(text) < DISCOVER_TEXT);
		json_t *o = json_string(text); /* NULL: no UTF-8 */
		assert_non_null(o);
		json_decref(o);
		assert_null(strchr(text, '\n'));
	}
}

static void questions_by_themselves_are_read_as_under_discover(void **state)
{
	static const char one[] = "consul: { service: web }", list[] = "[{ dns: { name: a } }, { files: { directory: /b }, none: allow }]",
			  json[] = "{\"etcd\": {\"prefix\": \"/a/\"}}", wrong[] = "consul: {}", twice[] = "[{ dns: { name: a } }, { dns: { name: a } }]";
	struct discover *out = (struct discover *)1;
	size_t n = 7;

	(void)state;
	said[0] = '\0';
	assert_int_equal(config_parse_discovers("q", wrong, strlen(wrong), say, NULL, &out, &n), -EINVAL);
	assert_string_equal(said, "q:1: consul needs \"service\"; add, for example, service: web\n");
	assert_int_equal(config_parse_discovers("q", twice, strlen(twice), say, NULL, &out, &n), -EINVAL);
	assert_int_equal(config_parse_discovers("q", "", 0, say, NULL, &out, &n), -EINVAL);
	assert_int_equal(config_parse_discovers("q", "web", 3, say, NULL, &out, &n), -EINVAL);
	assert_ptr_equal(out, (struct discover *)1);
	for (int i = 0; i < 3; i++) {
		const char *text = i == 0 ? one : i == 1 ? list : json;

		assert_int_equal(config_parse_discovers("q", text, strlen(text), say, NULL, &out, &n), 0);
		assert_int_equal(n, i == 1 ? 2 : 1);
		assert_int_equal(out[0].kind, i == 0 ? SOURCE_CONSUL : i == 1 ? SOURCE_DNS : SOURCE_ETCD);
		if (i == 1)
			assert_true(out[1].allow_none);
		while (n)
			discover_clear(&out[--n]);
		free(out);
	}
}

static void backends_by_themselves_are_read_in_each_form(void **state)
{
	static const char *const texts[] = {
		"10.0.0.1:80", "\"10.0.0.1:80\"", "address: \"10.0.0.1:80\"", "{\"address\": \"10.0.0.1:80\", \"weight\": 100}",
		"- 10.0.0.1:80", "[{ address: \"10.0.0.1:80\" }]", "backends: [\"10.0.0.1:80\"]",
		"{\"backends\": [{\"address\": \"10.0.0.1:80\", \"state\": \"enabled\"}]}",
	};
	static const char *const wrong[] = { "", "web", "weight: 5", "{}", "backends: {}", "[[]]", "- 10.0.0.1:80\n- null",
					     "backends: []\nweight: 5", "\xff", "10.0.0.1:80\n---\n10.0.0.2:80" };
	struct backend *list;
	char at[ENDPOINT_TEXT];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(config_parse_backends("b", texts[i], strlen(texts[i]), say, NULL, &list, &n), 0);
		assert_int_equal(n, 1);
		assert_string_equal(endpoint_format(&list[0].at, at), "10.0.0.1:80");
		assert_int_equal(list[0].weight, WEIGHT_DEFAULT);
		free(list);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		said[0] = '\0';
		if (config_parse_backends("b", wrong[i], strlen(wrong[i]), say, NULL, &list, &n) != -EINVAL)
			fail_msg("taken: %s", wrong[i]);
		assert_int_equal(strncmp(said, "b:1:", 2), 0);
	}
	assert_int_equal(config_parse_backends("b", "[]", 2, say, NULL, &list, &n), 0);
	assert_int_equal(n, 0);
	free(list);
}

/* ---- announcements ---- */

static void every_key_of_register_arrives(void **state)
{
	_cleanup_(config_freep) struct config *c = every_key();
	const struct announce *a = c->announces;
	char at[ENDPOINT_TEXT];

	(void)state;
	assert_int_equal(c->n_announces, 3);
	assert_int_equal(a[0].kind, SOURCE_CONSUL);
	assert_string_equal(a[0].name, "web");
	assert_string_equal(a[0].id, "web-1");
	assert_int_equal(a[0].tags.n, 2);
	assert_string_equal(a[0].source, "consul-east");
	assert_string_equal(endpoint_format(&a[0].at, at), "10.0.0.11:80");
	assert_int_equal(a[0].weight, 50);
	assert_int_equal(a[0].ttl_ms, 30000);
	assert_int_equal(a[0].check.kind, CHECK_HTTP);
	assert_string_equal(a[0].check.path, "/healthz");
	assert_string_equal(a[0].check.host, "example.org");
	assert_int_equal(a[1].kind, SOURCE_ETCD);
	assert_int_equal(a[1].check.kind, CHECK_NONE);
	assert_int_equal(a[1].weight, WEIGHT_DEFAULT);
	assert_int_equal(a[1].ttl_ms, 15000);
	assert_int_equal(a[2].check.kind, CHECK_TCP);
	assert_int_equal(a[2].check.interval_ms, 2000);
}

static struct announce announce_copied;
static bool same_announce(const void *other)
{
	return announce_equal(other, &announce_copied);
}

static void copies_of_announcements_are_deep_and_differ_by_each_thing(void **state)
{
	static const size_t texts[] = { offsetof(struct announce, source), offsetof(struct announce, name),
					offsetof(struct announce, id), offsetof(struct announce, check.path),
					offsetof(struct announce, check.host) };
	_cleanup_(config_freep) struct config *c = every_key(), *copy = config_copy(c);

	(void)state;
	for (size_t i = 0; i < c->n_announces; i++) {
		struct announce *a = &copy->announces[i];

		assert_true(announce_equal(a, &c->announces[i]));
		assert_int_equal(announce_copy(a, &announce_copied), 0);
		change_texts(a, texts, ARRAY_SIZE(texts), same_announce);
		a->weight++;
		assert_false(same_announce(a));
		a->weight--, a->ttl_ms++;
		assert_false(same_announce(a));
		a->ttl_ms--, a->at.port++;
		assert_false(same_announce(a));
		a->at.port--, a->check.fall++;
		assert_false(same_announce(a));
		a->check.fall--, a->kind++;
		assert_false(same_announce(a));
		a->kind--;
		assert_true(same_announce(a));
		announce_clear(&announce_copied);
	}
}

/* ---- what differs ---- */

static void note(void *arg, const struct diff *d)
{
	char text[DIFF_TEXT];

	(void)arg;
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", diff_change(d, text));
}

static void assert_differ(const char *from, const char *to, const char *expected)
{
	_cleanup_(config_freep) struct config *a = parse(from), *b = parse(to);

	said[0] = '\0';
	config_diff(a, b, note, NULL);
	assert_string_equal(said, expected);
	said[0] = '\0';
	config_diff(b, b, note, NULL);
	assert_string_equal(said, "");
}

static void what_differs_in_sources_is_said(void **state)
{
	(void)state;
	assert_differ("sources: [{ consul: {} }]\n", "sources: [{ consul: { datacenter: a } }, { etcd: {} }]\n",
		      "source consul: datacenter: none -> a\nsource etcd: added (etcd)\n");
	assert_differ("sources: [{ name: d, dns: { resolvers: [10.0.0.1, 10.0.0.2] } }, { kubernetes: { label: a=b } }]\n",
		      "sources: [{ name: d, dns: { resolvers: 10.0.0.1, ttl: { min: 2s, max: 1m }, timeout: 1s } },\n"
		      "  { kubernetes: { url: \"https://a:1\", tls: { ca: /ca, cert: /cert, key: /key }, token-file: /t, class: a/b,\n"
		      "    zone: z } }]\n",
		      "source d: resolvers: 10.0.0.1, 10.0.0.2 -> 10.0.0.1\nsource d: ttl: min: 1s -> 2s\n"
		      "source d: ttl: max: 5m -> 1m\nsource d: timeout: 2s -> 1s\n"
		      "source kubernetes: url: none -> https://a:1\nsource kubernetes: tls: ca: none -> /ca\n"
		      "source kubernetes: tls: cert: none -> /cert\nsource kubernetes: tls: key: none -> /key\n"
		      "source kubernetes: token-file: none -> /t\nsource kubernetes: class: none -> a/b\n"
		      "source kubernetes: label: a=b -> none\nsource kubernetes: zone: none -> z\n");
	assert_differ("sources: [{ etcd: { user: a, password-file: /p } }, { kubernetes: { kubeconfig: /k, context: c } }]\n",
		      "sources: [{ etcd: {} }, { kubernetes: {} }]\n",
		      "source etcd: user: a -> none\nsource etcd: password-file: /p -> none\n"
		      "source kubernetes: kubeconfig: /k -> none\nsource kubernetes: context: c -> none\n");
	assert_differ("sources: [{ consul: {} }, { dns: {} }]\n", "services: []\n", "source consul: removed\nsource dns: removed\n");
	assert_differ("sources: [{ name: a, consul: {} }]\n", "sources: [{ name: a, etcd: {} }]\n", "source a: removed\nsource a: added (etcd)\n");
	assert_differ("sources: [{ name: a, consul: {} }, { name: b, consul: {} }]\n",
		      "sources: [{ name: b, consul: {} }, { name: a, consul: {} }]\n", "first source of kind consul: a -> b\n");
	assert_differ("state: /var/lib/a\n", "state: /var/lib/b\n", "state: /var/lib/a -> /var/lib/b\n");
	assert_differ("state: /var/lib/shunt\n", "services: []\n", "");
}

#define WEB_WITH(more) "services: [{ name: web, listen: 192.0.2.10:80/tcp" more " }]\n"
#define WEB(discover) WEB_WITH(", discover: " discover)

static void what_differs_in_discover_is_said(void **state)
{
	char many[2][32768] = { "", "" };

	(void)state;
	assert_differ(WEB_WITH(""), WEB("{ consul: { service: web } }"), "service web: discover: nothing -> consul web\n");
	assert_differ(WEB("{ consul: { service: web } }"), WEB("{ consul: { service: web }, none: allow }"),
		      "service web: discover: consul web -> consul web, none: allow\n");
	assert_differ(WEB("[{ dns: { name: a } }, { dns: { name: b } }]"), WEB("[{ dns: { name: b } }, { dns: { name: a } }]"),
		      "service web: discover: dns a; dns b -> dns b; dns a\n");
	for (int i = 0; i < 2; i++) { /* more than has room in a line */
		char *end = stpcpy(many[i], "services:\n  - name: web\n    listen: 192.0.2.10:80/tcp\n    discover:\n");

		for (int k = 0; k < 200; k++)
			end += sprintf(end, "      - dns: { name: name-%d.example.org }\n", k == 199 && i ? 1000 : k);
	}
	_cleanup_(config_freep) struct config *a = parse(many[0]), *b = parse(many[1]);
	said[0] = '\0';
	config_diff(a, b, note, NULL);
	assert_int_equal(strncmp(said, "service web: discover: dns name-0.example.org; ", 40), 0);
}

static void what_differs_in_register_is_said(void **state)
{
	(void)state;
	assert_differ("register: { consul: { service: web }, address: \"10.0.0.1:80\" }\n",
		      "register: { consul: { service: web }, address: \"10.0.0.1:80\", ttl: 20s }\n",
		      "register consul web at 10.0.0.1:80: removed\nregister consul web at 10.0.0.1:80: added\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_of_which_nothing_is_said_has_its_defaults),
		cmocka_unit_test(every_key_of_a_source_arrives),
		cmocka_unit_test(the_name_may_stand_before_or_behind_the_kind),
		cmocka_unit_test(a_source_is_found_by_kind_and_name_and_the_first_of_a_kind_without),
		cmocka_unit_test(copies_of_sources_are_deep_and_differ_by_each_thing),
		cmocka_unit_test(every_key_of_discover_arrives),
		cmocka_unit_test(copies_of_discovers_are_deep_and_differ_by_each_thing),
		cmocka_unit_test(a_key_tells_what_is_asked_and_whether_none_is_believed),
		cmocka_unit_test(a_text_that_moves_to_another_field_is_another_key),
		cmocka_unit_test(a_question_reads_as_people_ask_it),
		cmocka_unit_test(a_long_question_is_cut_between_characters_and_is_one_line),
		cmocka_unit_test(questions_by_themselves_are_read_as_under_discover),
		cmocka_unit_test(backends_by_themselves_are_read_in_each_form),
		cmocka_unit_test(every_key_of_register_arrives),
		cmocka_unit_test(copies_of_announcements_are_deep_and_differ_by_each_thing),
		cmocka_unit_test(what_differs_in_sources_is_said),
		cmocka_unit_test(what_differs_in_discover_is_said),
		cmocka_unit_test(what_differs_in_register_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
