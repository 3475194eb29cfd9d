/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kubernetes: its answers, slices, services and kubeconfigs as pure functions, and the source against a server that
 * speaks the protocol (tests/e2e/kubernetes_server.py).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clean.h"
#include "base/log.h"
#include "discovery/kubeconfig.h"
#include "discovery/kubernetes_answer.h"
#include "discovery/kubernetes_services.h"
#include "discovery/kubernetes_slices.h"
#include "discovery/kubernetes_watch.h"
#include "discovery/source.h"
#include "heard.h"

/* ---- which services a source offers, noted ---- */

struct offers {
	size_t n;
	char names[16][SERVICE_NAME_MAX + 1];
	size_t listens[16];
	char problem[1024];
	unsigned answers, problems;
	unsigned lists_of_none;
};

void offers_changed(struct offers *o, const struct offer *list, size_t n)
{
	o->n = n;
	for (size_t i = 0; i < n && i < 16; i++) {
		snprintf(o->names[i], sizeof(o->names[i]), "%s", list[i].name);
		o->listens[i] = list[i].n_listens;
	}
	o->problem[0] = '\0';
	o->answers++;
}

void offers_found(struct offers *o, const struct offer *list, size_t n)
{
	o->lists_of_none += !n;
	if (n)
		offers_changed(o, list, n);
}

void offers_problem(struct offers *o, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(o->problem, sizeof(o->problem), fmt, args);
	va_end(args);
	o->problems++;
}

void offer_clear(struct offer *o)
{
	free(o->name);
	free(o->listens);
	discover_clear(&o->discover);
	*o = (struct offer){};
}

/* ---- answers ---- */

static json_t *json(const char *text)
{
	json_t *root = json_loads(text, 0, NULL);

	assert_non_null(root);
	return root;
}

static void a_page_says_what_follows(void **state)
{
	struct kubernetes_page p;
	const char *more = "{\"metadata\":{\"resourceVersion\":\"7\",\"continue\":\"abc\"},\"items\":[{},{}]}";
	const char *last = "{\"metadata\":{\"resourceVersion\":\"7\",\"continue\":\"\"},\"items\":null}";

	(void)state;
	assert_int_equal(kubernetes_page(more, strlen(more), &p), 0);
	assert_string_equal(p.next, "abc");
	assert_string_equal(p.version, "7");
	assert_int_equal(json_array_size(p.items), 2);
	kubernetes_page_clear(&p);
	assert_int_equal(kubernetes_page(last, strlen(last), &p), 0);
	assert_null(p.next);
	assert_int_equal(json_array_size(p.items), 0);
	kubernetes_page_clear(&p);
}

static void what_is_no_page_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"null",
		"[]",
		"{}",
		"42",
		"{\"items\":[]}",
		"{\"metadata\":{\"resourceVersion\":7},\"items\":[]}",
		"{\"metadata\":{\"resourceVersion\":\"\"},\"items\":[]}",
		"{\"metadata\":{\"resourceVersion\":\"7\"}}",
		"{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":{}}",
		"{\"metadata\":[],\"items\":[]}",
		"\xff\xfe",
		"{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[]} x",
	};
	struct kubernetes_page p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kubernetes_page(bad[i], strlen(bad[i]), &p), -EBADMSG);
}

static void a_line_is_an_event(void **state)
{
	static const struct {
		const char *line;
		enum kubernetes_event_kind kind;
	} good[] = {
		{ "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}", KUBERNETES_IS },
		{ "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}", KUBERNETES_IS },
		{ "{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}", KUBERNETES_GONE },
		{ "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}",
		  KUBERNETES_BOOKMARK },
		{ "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"old\"}}", KUBERNETES_ERROR },
		{ "{\"type\":\"ERROR\",\"object\":{}}", KUBERNETES_ERROR },
	};
	static const char *const bad[] = {
		"",
		"{",
		"{\"type\":\"ADDED\"}",
		"{\"type\":7,\"object\":{}}",
		"{\"object\":{}}",
		"{\"type\":\"ADDED\",\"object\":{\"metadata\":{}}}",
		"{\"type\":\"ADDED\",\"object\":[]}",
		"{\"type\":\"HELLO\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}"
	};
	struct kubernetes_event e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(kubernetes_event(good[i].line, strlen(good[i].line), &e), 0);
		assert_int_equal(e.kind, good[i].kind);
		if (e.kind != KUBERNETES_ERROR)
			assert_string_equal(e.version, "9");
		kubernetes_event_clear(&e);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kubernetes_event(bad[i], strlen(bad[i]), &e), -EBADMSG);
}

/* ---- slices ---- */

#define SLICE(ports, endpoints) \
	"{\"metadata\":{\"name\":\"a\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},\"addressType\":\"IPv4\"," \
	"\"ports\":[" ports "],\"endpoints\":[" endpoints "]}"
#define HTTP "{\"name\":\"http\",\"port\":80}"
#define AT(address, ...) "{\"addresses\":[\"" address "\"]" __VA_ARGS__ "}"
#define READY ",\"conditions\":{\"ready\":true}"
#define DRAINS ",\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}"

static struct slice *slice_of(const char *text, const char *zone)
{
	json_t *root = json(text);
	struct slice *s = NULL;

	assert_int_equal(slice_parse(root, zone, &s), 0);
	json_decref(root);
	return s;
}

struct asked {
	int err;
	struct slices_answer a;
	char problem[SLICES_TEXT];
	char text[1024]; /* "10.0.0.1:80 10.0.0.2:80/drains" */
};

static void say_backends(struct asked *asked)
{
	char at[ENDPOINT_TEXT];

	for (size_t i = 0; i < asked->a.n; i++)
		snprintf(asked->text + strlen(asked->text), sizeof(asked->text) - strlen(asked->text), "%s%s%s",
			 i ? " " : "", endpoint_format(&asked->a.backends[i].at, at),
			 asked->a.backends[i].admin == ADMIN_DRAINING ? "/drains" : "");
}

static struct asked ask(const char *zone, const char *port, const char *one, const char *two)
{
	struct slice *s[2] = { slice_of(one, zone), two ? slice_of(two, zone) : NULL };
	const struct discover what = { .kind = SOURCE_KUBERNETES, .name = "web", .port_name = (char *)port };
	struct asked asked = {};

	asked.err = slices_backends((const struct slice *const *)s, two ? 2 : 1, &what, &asked.a, asked.problem);
	if (!asked.err)
		say_backends(&asked);
	free(asked.a.backends);
	slice_free(s[0]);
	slice_free(s[1]);
	return asked;
}

static void all_slices_of_a_service_are_one(void **state)
{
	struct asked a = ask(NULL, NULL, SLICE(HTTP, AT("10.0.0.2", READY) "," AT("10.0.0.1")),
			     SLICE(HTTP, AT("2001:db8::1", READY) "," AT("10.0.0.1", READY)));

	(void)state;
	assert_string_equal(a.text, "10.0.0.1:80 10.0.0.2:80 [2001:db8::1]:80");
	assert_string_equal(a.a.note, "");
}

static void an_endpoint_that_one_slice_calls_ready_is_ready(void **state)
{
	struct asked a =
		ask(NULL, NULL, SLICE(HTTP, AT("10.0.0.1", DRAINS) "," AT("10.0.0.2")), SLICE(HTTP, AT("10.0.0.1")));

	(void)state;
	assert_string_equal(a.text, "10.0.0.1:80 10.0.0.2:80");
}

#define SAYS(conditions) ",\"conditions\":{" conditions "}"

static void conditions_that_are_not_said_are_assumed(void **state)
{
	struct asked a = ask(NULL, NULL,
			     SLICE(HTTP, AT("10.0.0.1") "," AT("10.0.0.2", SAYS("")) ","
				   AT("10.0.0.3", SAYS("\"ready\":null")) ","
				   AT("10.0.0.4", SAYS("\"ready\":false")) ","
				   AT("10.0.0.5", SAYS("\"ready\":false,\"serving\":true")) ","
				   AT("10.0.0.6", SAYS("\"ready\":false,\"terminating\":true")) ","
				   AT("10.0.0.7", SAYS("\"ready\":false,\"serving\":false,\"terminating\":true"))),
			     NULL);

	(void)state;
	assert_string_equal(a.text, "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80 10.0.0.6:80/drains");
	assert_string_equal(a.a.note, "1 terminate, 3 not ready");
}

static void what_terminates_is_drained_and_used_where_none_is_ready(void **state)
{
	struct asked a = ask(NULL, NULL, SLICE(HTTP, AT("10.0.0.1", READY) "," AT("10.0.0.2", DRAINS)), NULL);
	struct asked b = ask(NULL, NULL, SLICE(HTTP, AT("10.0.0.1", DRAINS) "," AT("10.0.0.2", DRAINS)), NULL);

	(void)state;
	assert_string_equal(a.text, "10.0.0.1:80 10.0.0.2:80/drains");
	assert_string_equal(a.a.note, "1 terminate");
	assert_string_equal(b.text, "10.0.0.1:80 10.0.0.2:80");
	assert_string_equal(b.a.note, "none is ready, and 2 that terminate are used");
}

static void the_first_address_speaks(void **state)
{
	struct asked a = ask(NULL, NULL,
			     SLICE(HTTP, "{\"addresses\":[\"10.0.0.1\",\"10.0.0.9\"]}," AT("pod.example") "," AT(
						 "0.0.0.0") ",{\"addresses\":[]},{},{\"addresses\":[7]}"),
			     NULL);

	(void)state;
	assert_string_equal(a.text, "10.0.0.1:80");
	assert_string_equal(a.a.note, "5 without an address of IPv4 or IPv6");
}

static void slices_of_host_names_are_left_out(void **state)
{
	struct asked a =
		ask(NULL, NULL,
		    "{\"metadata\":{\"labels\":{\"kubernetes.io/service-name\":\"web\"}},\"addressType\":\"FQDN\","
		    "\"ports\":[" HTTP "],\"endpoints\":[" AT("10.0.0.1") "]}",
		    NULL);

	(void)state;
	assert_int_equal(a.err, 0);
	assert_string_equal(a.text, "");
	assert_string_equal(a.a.note, "1 without an address of IPv4 or IPv6");
}

#define TWO_PORTS \
	"{\"name\":\"http\",\"port\":8080},{\"name\":\"metrics\",\"port\":9090,\"protocol\":\"TCP\"}," \
	"{\"name\":\"assoc\",\"port\":5,\"protocol\":\"SCTP\"}"

static void a_port_is_chosen_by_name_or_number(void **state)
{
	struct asked by_name = ask(NULL, "metrics", SLICE(TWO_PORTS, AT("10.0.0.1")), NULL);
	struct asked by_number = ask(NULL, "8080", SLICE(TWO_PORTS, AT("10.0.0.1")), NULL);
	struct asked none = ask(NULL, NULL, SLICE(TWO_PORTS, AT("10.0.0.1")), NULL);
	struct asked other = ask(NULL, "https", SLICE(TWO_PORTS, AT("10.0.0.1")), NULL);

	(void)state;
	assert_string_equal(by_name.text, "10.0.0.1:9090");
	assert_string_equal(by_number.text, "10.0.0.1:8080");
	assert_int_equal(none.err, -EINVAL);
	assert_string_equal(none.problem, "service default/web has several ports; choose one of them, with port: http: "
					  "http (8080/TCP), metrics (9090/TCP)");
	assert_int_equal(other.err, -EINVAL);
	assert_string_equal(other.problem,
			    "service default/web has no port https; it has http (8080/TCP), metrics (9090/TCP)");
}

static void a_port_may_have_another_number_in_another_slice(void **state)
{
	struct asked a = ask(NULL, "http", SLICE(HTTP, AT("10.0.0.1")),
			     SLICE("{\"name\":\"http\",\"port\":8080}", AT("10.0.0.2")));
	struct asked b = ask(NULL, "http", SLICE(HTTP, AT("10.0.0.1")), SLICE("", AT("10.0.0.2")));

	(void)state;
	assert_string_equal(a.text, "10.0.0.1:80 10.0.0.2:8080");
	assert_string_equal(b.text, "10.0.0.1:80");
	assert_string_equal(b.a.note, "1 without that port");
}

static void a_service_without_endpoints_has_none(void **state)
{
	struct asked a = ask(NULL, "http",
			     "{\"metadata\":{\"labels\":{\"kubernetes.io/service-name\":\"web\"}},"
			     "\"addressType\":\"IPv4\",\"ports\":null,\"endpoints\":null}",
			     NULL);

	(void)state;
	assert_int_equal(a.err, 0);
	assert_int_equal(a.a.n, 0);
}

#define FOR(zone) ",\"hints\":{\"forZones\":[{\"name\":\"" zone "\"}]}"

static void hints_count_if_all_have_them_and_some_are_for_us(void **state)
{
	const char *all = SLICE(HTTP, AT("10.0.0.1", FOR("a")) "," AT("10.0.0.2", FOR("b")) "," AT("10.0.0.3", DRAINS));
	const char *some = SLICE(HTTP, AT("10.0.0.1", FOR("a")) "," AT("10.0.0.2"));
	struct asked a = ask("a", NULL, all, NULL), c = ask("c", NULL, all, NULL), none = ask(NULL, NULL, all, NULL);
	struct asked unhinted = ask("a", NULL, some, NULL);

	(void)state;
	assert_string_equal(a.text, "10.0.0.1:80 10.0.0.3:80/drains");
	assert_string_equal(a.a.note, "1 terminate, 1 left to other zones");
	assert_string_equal(c.text, "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80/drains");
	assert_string_equal(none.text, "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80/drains");
	assert_string_equal(unhinted.text, "10.0.0.1:80 10.0.0.2:80");
}

static void slices_of_wrong_types_do_no_harm(void **state)
{
	static const char *const odd[] = {
		"{\"metadata\":{\"labels\":{\"kubernetes.io/service-name\":\"web\"}}}",
		"{\"metadata\":{\"labels\":{\"kubernetes.io/service-name\":\"web\"}},\"ports\":7,\"endpoints\":\"x\"}",
		"{\"metadata\":{\"labels\":{\"kubernetes.io/"
		"service-name\":\"web\"}},\"ports\":[7,null,{\"port\":\"80\"},{\"port\":70000},"
		"{\"port\":-1},{\"name\":[],\"port\":80,\"protocol\":{}}],\"endpoints\":[7,null,[],{\"addresses\":{}},"
		"{\"addresses\":[\"10.0.0.1\"],\"conditions\":[],\"hints\":7},{\"addresses\":[\"10.0.0.2\"],"
		"\"conditions\":{\"ready\":\"no\"},\"hints\":{\"forZones\":[7,{\"name\":8}]}}]}",
	};
	static const char *const none[] = { "{}",
					    "[]",
					    "7",
					    "{\"metadata\":{\"labels\":[]}}",
					    "{\"metadata\":{\"labels\":{\"kubernetes.io/service-name\":7}}}",
					    "{\"metadata\":{\"labels\":{\"kubernetes.io/service-name\":\"\"}}}" };
	struct slice *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		assert_int_equal(ask("a", NULL, odd[i], NULL).err, 0);
	assert_string_equal(ask("a", NULL, odd[2], NULL).text, "10.0.0.1:80 10.0.0.2:80");
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		json_t *root = json_loads(none[i], JSON_DECODE_ANY, NULL);

		assert_int_equal(slice_parse(root, "a", &s), -EBADMSG);
		json_decref(root);
	}
}

/* ---- services ---- */

#define SERVICE(spec, status) \
	"{\"metadata\":{\"namespace\":\"shop\",\"name\":\"web\",\"resourceVersion\":\"5\",\"labels\":{\"balance\":" \
	"\"yes\"}}," \
	"\"spec\":{" spec "},\"status\":{\"loadBalancer\":{" status "}}}"
#define OURS "\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"shunt/balancer\""
#define PORTS \
	",\"ports\":[{\"name\":\"http\",\"port\":80,\"targetPort\":8080},{\"name\":\"dns\",\"port\":53,\"protocol\":" \
	"\"UDP\"}," \
	"{\"name\":\"assoc\",\"port\":5,\"protocol\":\"SCTP\"}]"
#define PLACES \
	",\"clusterIP\":\"10.96.0.1\",\"clusterIPs\":[\"10.96.0.1\",\"fd00::1\"],\"externalIPs\":[\"192.0.2.9\"]," \
	"\"loadBalancerIP\":\"192.0.2.10\",\"sessionAffinity\":\"ClientIP\""

static const struct source by_class = { .name = "kubernetes", .kind = SOURCE_KUBERNETES, .class = "shunt/balancer" };
static const struct source by_label = { .name = "kubernetes", .kind = SOURCE_KUBERNETES, .label = "balance=yes" };

static struct kubernetes_service *service_of(const char *text, const struct source *conf,
					     const struct kubernetes_service *before)
{
	struct kubernetes_service *s = NULL;
	json_t *root = json(text);

	assert_int_equal(kubernetes_service_parse(root, conf, before, &s), 0);
	json_decref(root);
	return s;
}

static void a_service_is_offered_port_by_port(void **state)
{
	struct kubernetes_service *s = service_of(SERVICE(OURS PLACES PORTS, ""), &by_class, NULL);
	char text[LISTEN_TEXT];

	(void)state;
	assert_non_null(s);
	assert_int_equal(s->n_offers, 2);
	assert_string_equal(s->offers[0].name, "shop.web.http");
	assert_string_equal(s->offers[1].name, "shop.web.dns");
	assert_int_equal(s->offers[0].n_listens, 4);
	assert_string_equal(listen_format(&s->offers[0].listens[0], text), "10.96.0.1:80/tcp");
	assert_string_equal(listen_format(&s->offers[0].listens[1], text), "[fd00::1]:80/tcp");
	assert_string_equal(listen_format(&s->offers[0].listens[2], text), "192.0.2.10:80/tcp");
	assert_string_equal(listen_format(&s->offers[1].listens[3], text), "192.0.2.9:53/udp");
	assert_int_equal(s->offers[0].affinity, AFFINITY_CLIENT);
	assert_string_equal(s->offers[0].discover.namespace, "shop");
	assert_string_equal(s->offers[0].discover.name, "web");
	assert_string_equal(s->offers[0].discover.port_name, "http");
	assert_string_equal(s->offers[0].discover.source, "kubernetes");
	kubernetes_service_free(s);
}

#define ANNOTATED(annotations) \
	"{\"metadata\":{\"namespace\":\"shop\",\"name\":\"web\",\"annotations\":" annotations "}," \
	"\"spec\":{" OURS PLACES PORTS "}}"

static void a_service_may_allow_itself_to_have_none(void **state)
{
	static const struct {
		const char *text;
		bool allows;
	} cases[] = {
		{ ANNOTATED("{\"shunt/none\":\"allow\"}"), true }, { ANNOTATED("{\"shunt/none\":\"keep\"}"), false },
		{ ANNOTATED("{\"shunt/none\":true}"), false },	     { ANNOTATED("{\"other\":\"allow\"}"), false },
		{ ANNOTATED("[]"), false },			     { ANNOTATED("null"), false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kubernetes_service *s = service_of(cases[i].text, &by_class, NULL);

		assert_int_equal(s->n_offers, 2);
		assert_int_equal(s->offers[0].discover.allow_none, cases[i].allows);
		assert_int_equal(s->offers[1].discover.allow_none, cases[i].allows);
		kubernetes_service_free(s);
	}
}

static void a_single_port_needs_no_name(void **state)
{
	struct kubernetes_service *s = service_of(
		SERVICE(OURS ",\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":443}]", ""), &by_class, NULL);

	(void)state;
	assert_int_equal(s->n_offers, 1);
	assert_string_equal(s->offers[0].name, "shop.web.443");
	assert_null(s->offers[0].discover.port_name);
	assert_int_equal(s->offers[0].affinity, AFFINITY_FLOW);
	kubernetes_service_free(s);
}

static void only_class_and_label_are_ours(void **state)
{
	static const char *const other[] = {
		SERVICE("\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"example.com/other\"" PLACES PORTS, ""),
		SERVICE("\"type\":\"ClusterIP\",\"loadBalancerClass\":\"shunt/balancer\"" PLACES PORTS, ""),
	};
	struct kubernetes_service *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		assert_null(service_of(other[i], &by_class, NULL));
		assert_null(service_of(other[i], &by_label, NULL)); /* though it has the label */
	}
	assert_null(service_of(SERVICE("\"type\":\"LoadBalancer\"" PLACES PORTS, ""), &by_class, NULL));
	s = service_of(SERVICE("\"type\":\"LoadBalancer\"" PLACES PORTS, ""), &by_label, NULL);
	assert_int_equal(s->n_offers, 2);
	assert_false(s->ours);
	assert_false(s->differs); /* its status is somebody else's business */
	kubernetes_service_free(s);
}

static void a_headless_service_has_its_outer_addresses(void **state)
{
	struct kubernetes_service *s = service_of(SERVICE("\"clusterIP\":\"None\",\"clusterIPs\":[\"None\"],"
							  "\"externalIPs\":[\"192.0.2.9\"],\"ports\":[{\"port\":443}]",
							  ""),
						  &by_label, NULL);
	struct kubernetes_service *none =
		service_of(SERVICE("\"clusterIP\":\"None\",\"ports\":[{\"port\":443}]", ""), &by_label, NULL);

	(void)state;
	assert_int_equal(s->offers[0].n_listens, 1);
	assert_int_equal(none->n_offers, 0);
	kubernetes_service_free(s);
	kubernetes_service_free(none);
}

static void a_name_too_long_is_cut_and_told_apart(void **state)
{
	const char *name = "a-service-with-a-name-of-sixty-three-characters-which-is-the-most";
	char a[SERVICE_NAME_MAX + 1], b[SERVICE_NAME_MAX + 1];

	(void)state;
	kubernetes_offer_name("default", name, "http", a);
	kubernetes_offer_name("default", name, "https", b);
	assert_int_equal(strlen(a), SERVICE_NAME_MAX);
	assert_int_equal(strlen(b), SERVICE_NAME_MAX);
	assert_string_not_equal(a, b);
	kubernetes_offer_name("default", "web", "http", a);
	assert_string_equal(a, "default.web.http");
}

static void a_status_is_written_only_if_it_differs(void **state)
{
	static const struct {
		const char *status;
		bool differs;
	} cases[] = {
		{ "", true },
		{ "\"ingress\":[]", true },
		{ "\"ingress\":[{\"ip\":\"192.0.2.10\"}]", true },
		{ "\"ingress\":[{\"ip\":\"192.0.2.9\"},{\"ip\":\"192.0.2.10\",\"ipMode\":\"VIP\"}]", false },
		{ "\"ingress\":[{\"hostname\":\"a.example\"},{\"ip\":\"192.0.2.10\"}]", true },
		{ "\"ingress\":7", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = NULL, *patch = NULL;
		struct kubernetes_service *s;

		assert_true(asprintf(&text, SERVICE(OURS PLACES PORTS, "%s"), cases[i].status) > 0);
		s = service_of(text, &by_class, NULL);
		assert_true(s->ours);
		assert_int_equal(s->differs, cases[i].differs);
		patch = kubernetes_service_patch(s);
		assert_string_equal(
			patch,
			"{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"192.0.2.10\"},{\"ip\":\"192.0.2.9\"}]}},"
			"\"metadata\":{\"resourceVersion\":\"5\"}}");
		kubernetes_service_free(s);
	}
}

#define SHOWS "\"ingress\":[{\"ip\":\"192.0.2.10\"},{\"ip\":\"192.0.2.9\"}]"

static void a_status_that_is_left_behind_is_taken_away(void **state)
{
	struct kubernetes_service *before = service_of(SERVICE(OURS PLACES PORTS, SHOWS), &by_class, NULL), *after,
				  *later;
	_cleanup_free_ char *patch = NULL;

	(void)state;
	after = service_of(SERVICE("\"type\":\"ClusterIP\"" PLACES PORTS, SHOWS), &by_class, before);
	assert_non_null(after);
	assert_true(after->differs);
	assert_int_equal(after->n_offers, 0);
	patch = kubernetes_service_patch(after);
	assert_string_equal(
		patch, "{\"status\":{\"loadBalancer\":{\"ingress\":[]}},\"metadata\":{\"resourceVersion\":\"5\"}}");
	later = service_of(SERVICE("\"type\":\"ClusterIP\"" PLACES PORTS, ""), &by_class, after);
	assert_null(later);
	/* what another wrote, or took over, is left alone */
	assert_null(
		service_of(SERVICE("\"type\":\"ClusterIP\"" PLACES PORTS, "\"ingress\":[{\"ip\":\"198.51.100.1\"}]"),
			   &by_class, before));
	assert_null(service_of(SERVICE("\"type\":\"LoadBalancer\",\"loadBalancerClass\":\"other\"" PLACES PORTS, SHOWS),
			       &by_class, before));
	kubernetes_service_free(before);
	kubernetes_service_free(after);
}

static void services_of_wrong_types_do_no_harm(void **state)
{
	static const char *const odd[] = {
		"{}",
		"{\"metadata\":7}",
		"{\"metadata\":{\"namespace\":\"a\",\"name\":7},\"spec\":[]}",
		"{\"metadata\":{\"namespace\":\"../x\",\"name\":\"web\",\"labels\":{\"balance\":\"yes\"}}}",
		"{\"metadata\":{\"namespace\":\"a\",\"name\":\"we/b\",\"labels\":{\"balance\":\"yes\"}}}",
		"{\"metadata\":{\"namespace\":\"a\",\"name\":\"\",\"labels\":{\"balance\":\"yes\"}}}",
	};
	const char *yes =
		"{\"metadata\":{\"namespace\":\"a\",\"name\":\"web\",\"labels\":{\"balance\":\"yes\"}},\"spec\":{"
		"\"clusterIPs\":[7,"
		"\"10.0.0.1\",\"10.0.0.1\"],\"externalIPs\":{},\"ports\":[7,null,{},{\"port\":\"80\"},{\"port\":99999},"
		"{\"port\":80,\"name\":\"../../x\"}],\"sessionAffinity\":[]},\"status\":[]}";
	struct kubernetes_service *s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		assert_null(service_of(odd[i], &by_label, NULL));
	s = service_of(yes, &by_label, NULL);
	assert_int_equal(s->n_offers, 1);
	assert_int_equal(s->offers[0].n_listens, 1);
	assert_string_equal(s->offers[0].name, "a.web.80");
	kubernetes_service_free(s);
}

/* ---- kubeconfig ---- */

#define CONFIG(cluster, user) \
	"apiVersion: v1\nkind: Config\ncurrent-context: one\n" \
	"contexts: [{ name: one, context: { cluster: here, user: me, namespace: x } }, { name: two, context: { " \
	"cluster: there } }]\n" \
	"clusters: [{ name: here, cluster: { server: 'https://10.0.0.1:6443/'" cluster \
	" } }, { name: there, cluster: { server: 'http://b' } }]\n" \
	"users: [{ name: me, user: { " user " } }]\n"

static int parse(const char *text, const char *context, struct kubeconfig *out, char problem[KUBECONFIG_TEXT])
{
	return kubeconfig_parse(text, strlen(text), context, "/etc/kube", out, problem);
}

static void a_kubeconfig_says_where_and_who(void **state)
{
	char problem[KUBECONFIG_TEXT];
	struct kubeconfig k;

	(void)state;
	assert_int_equal(parse(CONFIG(", certificate-authority-data: aGVsbG8=, certificate-authority: ca.crt",
				      "client-certificate: me.crt, client-key: /keys/me.key, token: abc"),
			       NULL, &k, problem),
			 0);
	assert_string_equal(k.server, "https://10.0.0.1:6443");
	assert_string_equal(k.ca_data, "hello");
	assert_null(k.ca_file);
	assert_string_equal(k.cert_file, "/etc/kube/me.crt");
	assert_string_equal(k.key_file, "/keys/me.key");
	assert_string_equal(k.token, "abc");
	kubeconfig_clear(&k);
	assert_int_equal(parse(CONFIG("", "tokenFile: t, token: abc"), NULL, &k, problem), 0);
	assert_string_equal(k.token_file, "/etc/kube/t");
	assert_null(k.token);
	kubeconfig_clear(&k);
	assert_int_equal(parse(CONFIG("", ""), "two", &k, problem), 0);
	assert_string_equal(k.server, "http://b");
	kubeconfig_clear(&k);
}

static void a_kubeconfig_that_does_not_do_is_refused_with_a_sentence(void **state)
{
	static const struct {
		const char *text, *context, *has;
	} bad[] = {
		{ "", NULL, "it" },
		{ "{", NULL, "it:2: not YAML" },
		{ "[]", NULL, "no current-context" },
		{ "current-context: a", NULL, "no context a" },
		{ CONFIG("", ""), "three", "no context three" },
		{ "current-context: a\ncontexts: [{ name: a, context: { cluster: x } }]", NULL,
		  "is of cluster x, which is not there" },
		{ "current-context: a\ncontexts: [{ name: a, context: { cluster: x, user: y } }]\nclusters: [{ name: "
		  "x, cluster: {} }]",
		  NULL, "is of user y, which is not there" },
		{ CONFIG("", "exec: { command: aws }"), NULL, "exec is not supported" },
		{ CONFIG("", "auth-provider: { name: gcp }"), NULL, "auth-provider is not supported" },
		{ CONFIG(", insecure-skip-tls-verify: true", ""), NULL, "would not be verified" },
		{ CONFIG(", tls-server-name: x", ""), NULL, "tls-server-name" },
		{ CONFIG(", certificate-authority-data: '***'", ""), NULL, "no base64" },
		{ CONFIG(", certificate-authority-data: AAAA", ""), NULL, "no base64" },
		{ CONFIG("", "client-key: a"), NULL, "only one of client-certificate and client-key" },
		{ CONFIG("", "token: 'a b'"), NULL, "has spaces" },
		{ "current-context: a\ncontexts: [{ name: a, context: { cluster: x } }]\nclusters: [{ name: x, "
		  "cluster: { server: ftp } }]",
		  NULL, "server is no URL" },
		{ "current-context: [a]\ncontexts: 7\nclusters: ~\n", NULL, "no current-context" },
		{ "current-context: a\ncontexts: [7, [], { name: [] }, { name: a, context: 7 }]\n", NULL, "(none)" },
	};
	char problem[KUBECONFIG_TEXT];
	struct kubeconfig k;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse(bad[i].text, bad[i].context, &k, problem), -EINVAL);
		if (!strstr(problem, bad[i].has))
			fail_msg("%zu: \"%s\" has no \"%s\"", i, problem, bad[i].has);
	}
}

static void a_pod_knows_its_server(void **state)
{
	struct kubeconfig k;

	(void)state;
	assert_int_equal(kubeconfig_pod("/run/x", "10.96.0.1", "443", &k), 0);
	assert_string_equal(k.server, "https://10.96.0.1:443");
	assert_string_equal(k.ca_file, "/run/x/ca.crt");
	assert_string_equal(k.token_file, "/run/x/token");
	kubeconfig_clear(&k);
	assert_int_equal(kubeconfig_pod("/run/x", "fd00::1", "443", &k), 0);
	assert_string_equal(k.server, "https://[fd00::1]:443");
	kubeconfig_clear(&k);
	assert_int_equal(kubeconfig_pod("/run/x", NULL, "443", &k), -EINVAL);
	assert_int_equal(kubeconfig_pod("/run/x", "", "443", &k), -EINVAL);
}

/* ---- the source, against a server ---- */

struct question {
	struct discover what;
	struct finder f;
	void *watch;
};

struct lab {
	pid_t server;
	unsigned port, control;
	struct transfers *transfers;
	struct source conf;
	void *source;
	struct question web; /* the one that most ask; it ends with the test */
	struct offers offers;
	char dir[32], url[64], token_file[64], kubeconfig[64];
};

static int start_server(struct lab *l)
{
	int out[2];
	char line[64];
	FILE *from;

	if (pipe2(out, O_CLOEXEC))
		return -1;
	l->server = fork();
	if (!l->server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		execl("tests/e2e/kubernetes_server.py", "kubernetes_server.py", NULL);
		_exit(127);
	}
	close(out[1]);
	from = fdopen(out[0], "r");
	if (!from || !fgets(line, sizeof(line), from))
		line[0] = '\0';
	fclose(from);
	return sscanf(line, "%u %u", &l->port, &l->control) == 2 ? 0 : -1;
}

static void stop_server(struct lab *l)
{
	if (l->server > 0) {
		kill(l->server, SIGKILL);
		waitpid(l->server, NULL, 0);
	}
	l->server = 0;
}

/* Commands for the server; single quotes within do not occur. */
static void control(struct lab *l, const char *commands)
{
	_cleanup_free_ char *line = NULL;

	assert_true(asprintf(&line, "curl -sf -o /dev/null -d '%s' http://127.0.0.1:%u/", commands, l->control) > 0);
	assert_int_equal(system(line), 0);
}

/* A number that the server counts: "open", "lists" ... */
static long count(struct lab *l, const char *what)
{
	static char text[4 << 20];
	char line[128];
	FILE *p;
	json_t *root;
	size_t len;
	long n;

	snprintf(line, sizeof(line), "curl -sf http://127.0.0.1:%u/stats", l->control);
	p = popen(line, "re");
	assert_non_null(p);
	len = fread(text, 1, sizeof(text) - 1, p);
	text[len] = '\0';
	pclose(p);
	root = json(text);
	n = json_integer_value(json_object_get(root, what));
	json_decref(root);
	return n;
}

static void write_token(struct lab *l, const char *token)
{
	FILE *f = fopen(l->token_file, "we");

	assert_non_null(f);
	fprintf(f, "%s\n", token);
	fclose(f);
}

static void open_lab_source(struct lab *l)
{
	struct source_env env = { base, l->transfers, &l->offers };

	assert_int_equal(source_kubernetes.open(&env, &l->conf, &l->source), 0);
}

static void put_question(struct lab *l, struct question *q, const char *service, const char *port)
{
	q->what = (struct discover){ .kind = SOURCE_KUBERNETES, .name = (char *)service, .port_name = (char *)port };
	assert_int_equal(source_kubernetes.watch(l->source, &q->what, &q->f, &q->watch), 0);
}

static void end_question(struct question *q)
{
	source_kubernetes.unwatch(q->watch);
	free(q->f.set);
}

static int setup(void **state)
{
	struct lab *l = calloc(1, sizeof(*l));

	strcpy(l->dir, "/tmp/test-kubernetes-XXXXXX");
	if (!l || !mkdtemp(l->dir) || start_server(l))
		return -1;
	base = event_base_new();
	snprintf(l->url, sizeof(l->url), "http://127.0.0.1:%u/", l->port);
	snprintf(l->token_file, sizeof(l->token_file), "%s/token", l->dir);
	snprintf(l->kubeconfig, sizeof(l->kubeconfig), "%s/config", l->dir);
	write_token(l, "good");
	l->conf = source_default(SOURCE_KUBERNETES);
	l->conf.name = "kubernetes";
	l->conf.servers = (struct texts){ (char *[]){ NULL }, 1 };
	l->conf.servers.list = calloc(1, sizeof(char *));
	l->conf.servers.list[0] = l->url;
	l->conf.token_file = l->token_file;
	*state = l;
	return transfers_new(base, &l->transfers);
}

static int teardown(void **state)
{
	struct lab *l = *state;

	if (l->web.watch)
		end_question(&l->web);
	if (l->source)
		source_kubernetes.close(l->source);
	transfers_free(l->transfers);
	event_base_free(base);
	stop_server(l);
	unlink(l->token_file);
	unlink(l->kubeconfig);
	rmdir(l->dir);
	free(l->conf.servers.list);
	free(l);
	return 0;
}

#define WEB(ready) "{\"slice\":{\"name\":\"web-1\",\"service\":\"web\",\"ready\":[" ready "]}}"

/* Once the server is told this much. */
static void ask_for_web(struct lab *l, const char *commands)
{
	control(l, commands);
	open_lab_source(l);
	put_question(l, &l->web, "web", NULL);
}

static void a_list_then_a_watch(void **state)
{
	struct lab *l = *state;

	ask_for_web(l, "[" WEB("\"10.0.0.1\",\"10.0.0.2\"") ","
		       "{\"slice\":{\"name\":\"api-1\",\"service\":\"api\",\"ready\":[\"10.0.0.9\"]}}]");
	run_within(5, l->web.f.answers == 1 && l->web.f.n == 2);
	run_within(5, count(l, "open") == 1);
	control(l, "[" WEB("\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\"") "]");
	run_within(5, l->web.f.n == 3);
	assert_string_equal(l->web.f.version, "v4");
	control(l, "[{\"delete\":[\"EndpointSlice\",\"default\",\"web-1\"]}]");
	run_within(5, l->web.f.n == 0);
	assert_int_equal(l->web.f.answers, 3);
	assert_int_equal(l->web.f.problems, 0);
	assert_int_equal(count(l, "lists"), 1);
}

static void many_services_are_one_list_and_one_stream(void **state)
{
	struct lab *l = *state;
	struct question q[3] = {}, late = {};

	control(l,
		"[" WEB("\"10.0.0.1\"") ",{\"slice\":{\"name\":\"api-1\",\"service\":\"api\",\"ready\":[\"10.0.0.9\"],"
					"\"ports\":{\"a\":1,\"b\":2}}}]");
	open_lab_source(l);
	put_question(l, &q[0], "web", NULL);
	put_question(l, &q[1], "api", "a");
	put_question(l, &q[2], "api", NULL);
	run_within(5, q[0].f.n == 1 && q[1].f.n == 1 && q[2].f.problems == 1);
	run_within(5, count(l, "open") == 1);
	assert_int_equal(count(l, "lists"), 1);
	assert_non_null(strstr(q[2].f.problem, "has several ports"));
	/* of a service that is watched already: nothing is asked for it */
	put_question(l, &late, "api", "b");
	run_within(5, late.f.n == 1);
	assert_string_equal(late.f.set, "10.0.0.9:2*100");
	assert_int_equal(count(l, "lists"), 1);
	control(l, "[{\"set\":{\"bookmark_s\":0.2}},{\"close\":\"end\"}]");
	run_within(5, q[0].f.sames >= 1);
	assert_int_equal(q[2].f.sames, 0); /* that nothing changed makes it no better */
	for (int i = 0; i < 3; i++)
		end_question(&q[i]);
	end_question(&late);
	assert_int_equal(q[0].f.problems, 0);
}

static void a_service_that_comes_later_is_listed_too(void **state)
{
	struct lab *l = *state;
	struct question web = {}, api = {};

	control(l, "[" WEB("\"10.0.0.1\"") ",{\"slice\":{\"name\":\"api-1\",\"service\":\"api\",\"ready\":[\"10.0.0."
					   "9\"]}}]");
	open_lab_source(l);
	put_question(l, &web, "web", NULL);
	run_within(5, web.f.n == 1);
	put_question(l, &api, "api", NULL);
	run_within(5, api.f.n == 1);
	run_within(5, count(l, "open") == 1);
	end_question(&api);
	control(l, "[" WEB("\"10.0.0.1\",\"10.0.0.2\"") "]");
	run_within(5, web.f.n == 2);
	api = (struct question){};
	put_question(l, &api, "api", NULL); /* what was kept of it meanwhile is not believed */
	run_within(5, api.f.n == 1);
	end_question(&api);
	end_question(&web);
	assert_int_equal(web.f.problems, 0);
}

static void pages_are_one_answer(void **state)
{
	struct lab *l = *state;

	ask_for_web(l, "[{\"bulk\":{\"service\":\"web\",\"slices\":7,\"each\":10}},{\"set\":{\"page_max\":2}}]");
	run_within(5, l->web.f.answers == 1);
	assert_int_equal(l->web.f.n, 70);
	assert_int_equal(count(l, "pages"), 3);
}

static void a_page_that_is_too_old_begins_the_list_again(void **state)
{
	struct lab *l = *state;

	ask_for_web(l, "[{\"bulk\":{\"service\":\"web\",\"slices\":3,\"each\":10}},"
		       "{\"set\":{\"page_max\":1,\"list_410\":1}}]");
	run_within(5, l->web.f.answers == 1);
	assert_int_equal(l->web.f.n, 30);
	assert_int_equal(l->web.f.problems, 0);
	assert_int_equal(count(l, "lists"), 2);
}

static void a_list_without_end_is_a_problem(void **state)
{
	struct lab *l = *state;

	ask_for_web(l, "[{\"bulk\":{\"service\":\"web\",\"slices\":3,\"each\":10}},{\"set\":{\"list_again\":3}}]");
	run_within(5, strstr(l->web.f.problem, "it has no end"));
	assert_int_equal(l->web.f.answers, 0);
	assert_in_range(count(l, "pages"), 1, 2);
	run_within(5, l->web.f.answers == 1);
	assert_int_equal(l->web.f.n, 30);
}

/* Lists that go on being refused are a problem, and are not asked for without a pause. */
static void a_list_that_stays_too_old_is_a_problem(void **state)
{
	struct lab *l = *state;

	ask_for_web(l, "[" WEB("\"10.0.0.1\"") ",{\"set\":{\"list_410\":4}}]");
	run_within(10, l->web.f.answers == 1);
	assert_int_equal(l->web.f.problems, 3);
	assert_int_equal(l->web.f.n, 1);
}

static void watch_and(struct lab *l, const char *commands)
{
	ask_for_web(l, "[" WEB("\"10.0.0.1\"") "]");
	run_within(5, l->web.f.n == 1);
	run_within(5, count(l, "open") == 1);
	control(l, commands);
}

static void a_watch_that_is_too_old_lists_again(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[{\"event\":410}]"); /* status 200, an ERROR within */
	run_within(5, count(l, "lists") == 2);
	run_within(5, count(l, "open") == 1);
	control(l, "[{\"set\":{\"watch_410_status\":1}},{\"close\":\"end\"}]"); /* as a status */
	run_within(5, count(l, "lists") == 3);
	run_within(5, count(l, "open") == 1);
	control(l, "[" WEB("\"10.0.0.1\",\"10.0.0.2\"") "]");
	run_within(5, l->web.f.n == 2);
}

static void a_compacted_past_is_listed_anew(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[{\"compact\":null},{\"close\":\"end\"}]");
	run_within(5, count(l, "lists") == 2);
	run_within(5, count(l, "open") == 1);
}

static void watches_that_are_always_too_old_are_a_problem(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[{\"set\":{\"watch_410\":5}},{\"close\":\"end\"}]");
	run_within(10, l->web.f.problems >= 2);
	assert_true(count(l, "lists") < 12);
	run_within(10, count(l, "open") == 1);
}

static void an_error_of_another_kind_is_a_problem_and_lists_again(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[{\"event\":500}]");
	run_within(5, l->web.f.problems == 1);
	assert_non_null(strstr(l->web.f.problem, "as it was told to fail (500)"));
	run_within(5, l->web.f.answers == 2);
	assert_string_equal(l->web.f.problem, "");
}

static void garbage_in_a_stream_is_a_problem_and_lists_again(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[{\"event\":\"<html>\"}]");
	run_within(5, l->web.f.problems == 1);
	run_within(5, l->web.f.answers == 2);
	assert_int_equal(l->web.f.n, 1);
}

static void a_stream_that_ends_goes_on_from_where_it_was(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[{\"set\":{\"bookmark_s\":1}}]");
	run_within(5, l->web.f.sames >= 1);
	control(l, "[{\"close\":\"end\"}]");
	run_within(5, count(l, "watches") == 2);
	control(l, "[{\"close\":\"abort\"}," WEB(
			   "\"10.0.0.1\",\"10.0.0.2\"") "]"); /* what comes in between is not missed */
	run_within(5, l->web.f.n == 2);
	assert_int_equal(l->web.f.problems, 0);
	assert_int_equal(count(l, "lists"), 1);
}

static void streams_that_end_at_once_are_a_problem(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[{\"set\":{\"short\":4}},{\"close\":\"end\"}]");
	run_within(5, l->web.f.problems >= 1);
	assert_non_null(strstr(l->web.f.problem, "ends as soon as it begins"));
	run_within(10, count(l, "open") == 1 && l->web.f.answered);
}

/* Something between us and the server may end each stream behind its first line. */
static void streams_that_end_after_a_line_are_no_storm(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[{\"set\":{\"cut\":100000}},{\"close\":\"end\"}]");
	run_for(2);
	print_message("# result: %ld streams in 2 s\n", count(l, "watches"));
	assert_true(count(l, "watches") < 30);
	assert_int_equal(l->web.f.problems, 0); /* each says where we are */
	control(l, "[{\"set\":{\"cut\":0}}]");
	run_within(10, count(l, "open") == 1 && l->web.f.answered);
}

static void a_server_that_is_away_is_a_problem_until_it_is_back(void **state)
{
	struct lab *l = *state;

	watch_and(l, "[]");
	kill(l->server, SIGKILL);
	run_within(5, l->web.f.problems == 1);
	assert_non_null(strstr(l->web.f.problem, "http://127.0.0.1:"));
	assert_int_equal(l->web.f.n, 1);
}

/* What is sent before a stream ends may come by it still: only the next one shows that the source read things again. */
static void await_stream(struct lab *l, long nth)
{
	run_within(5, count(l, "watches") >= nth && count(l, "open") == 1);
}

static void a_token_is_read_again(void **state)
{
	struct lab *l = *state;

	control(l, "[{\"set\":{\"tokens\":[\"good\"]}}]");
	watch_and(l, "[{\"set\":{\"tokens\":[\"better\"]}}]");
	write_token(l, "better");
	control(l, "[{\"close\":\"end\"}," WEB("\"10.0.0.1\",\"10.0.0.2\"") "]");
	run_within(5, l->web.f.n == 2);
	await_stream(l, 2);
	assert_int_equal(l->web.f.problems, 0);
	control(l, "[{\"set\":{\"tokens\":[]}},{\"close\":\"end\"}]");
	run_within(5, strstr(l->web.f.problem,
			     "we are not known there (401: Unauthorized); is the token in /tmp/test-kubernetes-"));
	assert_int_equal(l->web.f.n, 2);
	control(l, "[{\"set\":{\"tokens\":[\"best\"]}}]");
	write_token(l, "best");
	run_within(5, l->web.f.answered && count(l, "open") == 1); /* a stream that is not there yet would not end */
	unlink(l->token_file); /* nobody is asked without: neither let in nor told why not */
	control(l, "[{\"set\":{\"tokens\":null}},{\"close\":\"end\"}]");
	run_within(5, strstr(l->web.f.problem, "/token cannot be used: No such file or directory"));
	write_token(l, "best");
	run_within(5, l->web.f.answered);
}

static void write_kubeconfig(const struct lab *l, const char *user)
{
	FILE *f = fopen(l->kubeconfig, "we");

	assert_non_null(f);
	fprintf(f, "current-context: a\ncontexts: [{ name: a, context: { cluster: c, user: u } }]\n"
		   "clusters: [{ name: c, cluster: { server: \"%s\" } }]\nusers: [{ name: u, user: { %s } }]\n",
		l->url, user);
	fclose(f);
}

/* Nothing else says where the server is and who we are. */
static void use_kubeconfig(struct lab *l, const char *user)
{
	write_kubeconfig(l, user);
	l->conf.kubeconfig = l->kubeconfig;
	l->conf.token_file = NULL;
	l->conf.servers.n = 0;
}

static void a_kubeconfig_is_read_again(void **state)
{
	struct lab *l = *state;

	use_kubeconfig(l, "token: good");
	control(l, "[{\"set\":{\"tokens\":[\"good\"]}}]");
	watch_and(l, "[{\"set\":{\"tokens\":[\"better\"]}}]");
	write_kubeconfig(l, "token: better");
	control(l, "[{\"close\":\"end\"}," WEB("\"10.0.0.1\",\"10.0.0.2\"") "]");
	run_within(5, l->web.f.n == 2);
	await_stream(l, 2);
	assert_int_equal(l->web.f.problems, 0);
	log_set_level(LOG_LEVEL_ERROR - 1);
	write_kubeconfig(l, "exec: {}"); /* which cannot be used: what was said before stays */
	control(l, "[{\"close\":\"end\"}," WEB("\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\"") "]");
	run_within(5, l->web.f.n == 3);
	await_stream(l, 3);
	assert_int_equal(l->web.f.problems, 0);
	log_set_level(LOG_LEVEL_INFO);
	write_kubeconfig(l, "tokenFile: token"); /* beside it */
	write_token(l, "best");
	control(l, "[{\"set\":{\"tokens\":[\"best\"]}},{\"close\":\"end\"}," WEB("\"10.0.0.1\"") "]");
	run_within(5, l->web.f.n == 1);
	await_stream(l, 4);
	assert_int_equal(l->web.f.problems, 0);
}

static void a_stream_that_is_silent_is_not_all_that_is_asked(void **state)
{
	struct lab *l = *state;

	kubernetes_pulse_ms = 200;
	l->conf.timeout_ms = 1000;
	watch_and(l, "[]");
	run_within(5, l->web.f.sames >= 3);
	control(l, "[{\"set\":{\"tokens\":[]}}]"); /* the stream goes on */
	run_within(5, strstr(l->web.f.problem, "we are not known there (401"));
	control(l, "[{\"set\":{\"tokens\":null,\"deny\":[\"list endpointslices\"]}}]");
	run_within(5, strstr(l->web.f.problem, "we may not list"));
	control(l, "[{\"set\":{\"deny\":[]}}]");
	run_within(5, l->web.f.answered);
	run_within(5, count(l, "open") == 1);
	control(l, "[{\"set\":{\"hold\":true}}]"); /* a server that hangs */
	run_within(5, l->web.f.problem[0]);
	control(l, "[{\"set\":{\"hold\":false}}," WEB("\"10.0.0.1\",\"10.0.0.2\"") "]");
	run_within(10, l->web.f.n == 2);
	kubernetes_pulse_ms = 10000;
}

/* With the first server told something, the second well: is it asked then? */
static void second_server(struct lab *l, struct lab *other)
{
	assert_int_equal(start_server(other), 0);
	snprintf(other->url, sizeof(other->url), "http://127.0.0.1:%u", other->port);
	l->conf.servers.list = realloc(l->conf.servers.list, 2 * sizeof(char *));
	assert_non_null(l->conf.servers.list);
	l->conf.servers.list[1] = other->url;
	l->conf.servers.n = 2;
	control(other, "[" WEB("\"10.0.0.1\",\"10.0.0.2\"") "]");
}

static void a_server_that_is_sick_is_left_for_the_next(void **state)
{
	struct lab *l = *state, other = {};

	second_server(l, &other);
	ask_for_web(l, "[" WEB("\"10.0.0.1\"") ",{\"set\":{\"fail\":[503,1000]}}]");
	run_within(5, l->web.f.n == 2);
	assert_int_equal(l->web.f.problems, 1);
	run_within(5, count(&other, "open") == 1);
	control(l, "[{\"set\":{\"fail\":[0,0],\"tokens\":[]}}]");
	control(&other, "[{\"event\":500}]"); /* both: to the first, which does not know us, and back */
	run_within(5, l->web.f.problems >= 2 && l->web.f.answered);
	assert_int_equal(l->web.f.n, 2);
	stop_server(&other);
}

static void a_server_whose_pulse_is_bad_is_left_for_the_next(void **state)
{
	struct lab *l = *state, other = {};

	kubernetes_pulse_ms = 100;
	second_server(l, &other);
	watch_and(l, "[{\"set\":{\"tokens\":[]}}]");
	run_within(5, count(&other, "open") == 1);
	kubernetes_pulse_ms = 10000;
	control(&other, "[" WEB("\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\"") "]");
	run_within(5, l->web.f.n == 3);
	stop_server(&other);
}

static void a_denial_names_the_verbs(void **state)
{
	struct lab *l = *state;

	ask_for_web(l, "[{\"set\":{\"deny\":[\"list endpointslices\"]}}]");
	run_within(5, l->web.f.problems == 1);
	assert_non_null(strstr(l->web.f.problem,
			       "we may not list endpointslices of discovery.k8s.io in namespace default (403: "));
	assert_non_null(strstr(l->web.f.problem, "allow the verbs list and watch in a Role"));
}

static void an_older_server_is_asked_as_it_understands(void **state)
{
	struct lab *l = *state;

	ask_for_web(l, "[" WEB("\"10.0.0.1\"") ",{\"set\":{\"api\":[\"v1beta1\"]}}]");
	run_within(5, l->web.f.n == 1);
	assert_int_equal(l->web.f.problems, 0);
	run_within(5, count(l, "open") == 1);
}

static void a_service_that_is_not_there_has_none(void **state)
{
	struct lab *l = *state;

	ask_for_web(l, "[]");
	run_within(5, l->web.f.answers == 1);
	assert_int_equal(l->web.f.n, 0);
	assert_string_equal(l->web.f.note, "it has no EndpointSlices: is there such a service?");
}

static void names_that_are_none_are_refused(void **state)
{
	struct lab *l = *state;
	static char *const bad[] = { "../../api", "web)", "a,b", "Web", "" };
	struct finder f = {};
	void *watch;

	open_lab_source(l);
	log_set_level(LOG_LEVEL_ERROR - 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct discover name = { .kind = SOURCE_KUBERNETES, .name = bad[i] };
		const struct discover namespace = { .kind = SOURCE_KUBERNETES, .name = "web", .namespace = bad[i] };

		assert_int_equal(source_kubernetes.watch(l->source, &name, &f, &watch), -EINVAL);
		assert_int_equal(source_kubernetes.watch(l->source, &namespace, &f, &watch), -EINVAL);
	}
	log_set_level(LOG_LEVEL_INFO);
}

static void ten_thousand_endpoints_arrive_soon(void **state)
{
	struct lab *l = *state;
	double began;

	control(l, "[{\"bulk\":{\"service\":\"web\",\"slices\":100,\"each\":100}}]");
	open_lab_source(l);
	began = now_s();
	put_question(l, &l->web, "web", NULL);
	run_within(10, l->web.f.answers == 1);
	assert_int_equal(l->web.f.n, 10000);
	print_message("# result: 10,000 endpoints from the Kubernetes API in %.0f ms (under sanitizers)\n",
		      (now_s() - began) * 1000);
}

/* ---- services that are taken over ---- */

#define PUT_SERVICE(name, class, more) \
	"{\"put\":{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"namespace\":\"shop\",\"name\":\"" name \
	"\"}," \
	"\"spec\":{\"type\":\"LoadBalancer\"" class ",\"clusterIP\":\"10.96.0.1\",\"clusterIPs\":[\"10.96.0.1\"]," \
						    "\"loadBalancerIP\":\"192.0.2.10\",\"ports\":[{\"name\":\"http\"," \
						    "\"port\":80}]}" more "}}"
#define CLASS ",\"loadBalancerClass\":\"shunt/balancer\""

/* Once the server is told this much, what is of our class is offered to us. */
static void take_offers(struct lab *l, const char *commands)
{
	l->conf.class = "shunt/balancer";
	control(l, commands);
	open_lab_source(l);
}

static void services_of_our_class_are_offered_and_published(void **state)
{
	struct lab *l = *state;

	take_offers(l, "[" PUT_SERVICE("web", CLASS, "") ","
		       PUT_SERVICE("other", ",\"loadBalancerClass\":\"other\"", "") ","
		       PUT_SERVICE("cloud", "", "") "]");
	run_within(5, l->offers.answers >= 1);
	assert_int_equal(l->offers.n, 1);
	assert_string_equal(l->offers.names[0], "shop.web.http");
	assert_int_equal(l->offers.listens[0], 2);
	run_within(5, count(l, "patches") == 1);
	run_within(5, l->offers.answers == 2); /* the status was seen to change; no second patch follows from it */
	control(l, "[" PUT_SERVICE("late", CLASS, "") "]");
	run_within(5, l->offers.n == 2);
	run_within(5, count(l, "patches") == 2);
	assert_int_equal(l->offers.problems, 0);
}

/* The request that writes a status may be the first one that finds it other. */
static void a_status_is_written_with_a_kubeconfig_that_changed(void **state)
{
	struct lab *l = *state;

	use_kubeconfig(l, "token: good");
	take_offers(l, "[{\"set\":{\"tokens\":[\"good\"]}}," PUT_SERVICE("web", CLASS, "") "]");
	run_within(5, count(l, "patches") == 1 && l->offers.answers == 2);
	write_kubeconfig(l, "token: better");
	control(l, "[{\"set\":{\"tokens\":[\"better\"]}}," PUT_SERVICE("late", CLASS, "") "]");
	run_within(5, count(l, "patches") == 2);
	assert_int_equal(l->offers.problems, 0);
}

static void a_status_that_may_not_be_written_is_a_problem(void **state)
{
	struct lab *l = *state;

	take_offers(l, "[" PUT_SERVICE("web", CLASS, "") ",{\"set\":{\"deny\":[\"patch services/status\"]}}]");
	run_within(5, l->offers.problems >= 2);
	assert_int_equal(l->offers.n, 1);
	assert_non_null(strstr(l->offers.problem, "we may not write the status of service shop/web (403: "));
	assert_non_null(strstr(l->offers.problem, "allow the verb patch on services/status"));
	control(l, "[{\"set\":{\"deny\":[],\"patch_409\":1}}]"); /* a conflict is no problem */
	run_within(10, !l->offers.problem[0]);
}

static void a_status_is_taken_away_with_the_class(void **state)
{
	struct lab *l = *state;
	long patches;

	take_offers(l, "[" PUT_SERVICE("web", CLASS, "") "]");
	run_within(5, count(l, "patches") == 1 && l->offers.answers == 2);
	control(l, "[" PUT_SERVICE("web", "",
				   ",\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"192.0.2.10\"}]}}") "]");
	run_within(5, l->offers.n == 0);
	run_within(5, (patches = count(l, "patches")) == 2);
	control(l,
		"[" PUT_SERVICE("web", ",\"loadBalancerClass\":\"other\"", "") "," PUT_SERVICE("new", CLASS, "") "]");
	run_within(5, l->offers.n == 1 && count(l, "patches") == 3);
}

static void services_with_a_label_are_chosen_by_the_server(void **state)
{
	struct lab *l = *state;

	l->conf.label = "shunt/balance=true";
	control(l, "[{\"put\":{\"kind\":\"Service\",\"metadata\":{\"namespace\":\"shop\",\"name\":\"web\",\"labels\":{"
		   "\"shunt/balance\":\"true\"}},"
		   "\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]}}}"
		   "," PUT_SERVICE("b", "", "") "]");
	open_lab_source(l);
	run_within(5, l->offers.n == 1);
	assert_string_equal(l->offers.names[0], "shop.web.80");
	assert_int_equal(count(l, "patches"), 0);
}

static void services_that_are_seen_to_go_are_gone(void **state)
{
	struct lab *l = *state;

	take_offers(l, "[" PUT_SERVICE("web", CLASS, "") "," PUT_SERVICE("api", CLASS, "") "]");
	run_within(5, l->offers.n == 2 && count(l, "open") == 1);
	control(l, "[{\"delete\":[\"Service\",\"shop\",\"web\"]}]");
	run_within(5, l->offers.n == 1);
	control(l, "[{\"delete\":[\"Service\",\"shop\",\"api\"]}]");
	run_within(5, l->offers.n == 0);
	assert_int_equal(l->offers.lists_of_none, 0);
}

/* Nor does anything that happens later to services of others make it believed. */
static void a_list_without_services_is_told_apart(void **state)
{
	struct lab *l = *state;

	take_offers(l, "[" PUT_SERVICE("web", CLASS, "") "]");
	run_within(5, l->offers.n == 1 && count(l, "open") == 1);
	control(l, "[{\"set\":{\"hold\":true}},{\"close\":\"end\"}]");
	run_within(5, count(l, "open") == 0);
	control(l, "[{\"delete\":[\"Service\",\"shop\",\"web\"]},{\"compact\":null},{\"set\":{\"hold\":false}}]");
	run_within(5, l->offers.lists_of_none == 1);
	run_within(5, count(l, "open") == 1);
	control(l, "[" PUT_SERVICE("cloud", "", "") ",{\"delete\":[\"Service\",\"shop\",\"cloud\"]},{\"event\":500}]");
	run_within(10, l->offers.lists_of_none == 2);
	assert_int_equal(l->offers.n, 1);
	run_within(5, count(l, "open") == 1);
	control(l, "[" PUT_SERVICE("web", CLASS, "") "]");
	run_within(5, !l->offers.problem[0]);
	control(l, "[{\"delete\":[\"Service\",\"shop\",\"web\"]}]");
	run_within(5, l->offers.n == 0);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_says_what_follows),
		cmocka_unit_test(what_is_no_page_is_refused),
		cmocka_unit_test(a_line_is_an_event),
		cmocka_unit_test(all_slices_of_a_service_are_one),
		cmocka_unit_test(an_endpoint_that_one_slice_calls_ready_is_ready),
		cmocka_unit_test(conditions_that_are_not_said_are_assumed),
		cmocka_unit_test(what_terminates_is_drained_and_used_where_none_is_ready),
		cmocka_unit_test(the_first_address_speaks),
		cmocka_unit_test(slices_of_host_names_are_left_out),
		cmocka_unit_test(a_port_is_chosen_by_name_or_number),
		cmocka_unit_test(a_port_may_have_another_number_in_another_slice),
		cmocka_unit_test(a_service_without_endpoints_has_none),
		cmocka_unit_test(hints_count_if_all_have_them_and_some_are_for_us),
		cmocka_unit_test(slices_of_wrong_types_do_no_harm),
		cmocka_unit_test(a_service_is_offered_port_by_port),
		cmocka_unit_test(a_service_may_allow_itself_to_have_none),
		cmocka_unit_test(a_single_port_needs_no_name),
		cmocka_unit_test(only_class_and_label_are_ours),
		cmocka_unit_test(a_headless_service_has_its_outer_addresses),
		cmocka_unit_test(a_name_too_long_is_cut_and_told_apart),
		cmocka_unit_test(a_status_is_written_only_if_it_differs),
		cmocka_unit_test(a_status_that_is_left_behind_is_taken_away),
		cmocka_unit_test(services_of_wrong_types_do_no_harm),
		cmocka_unit_test(a_kubeconfig_says_where_and_who),
		cmocka_unit_test(a_kubeconfig_that_does_not_do_is_refused_with_a_sentence),
		cmocka_unit_test(a_pod_knows_its_server),
		WITH_SERVER(a_list_then_a_watch),
		WITH_SERVER(many_services_are_one_list_and_one_stream),
		WITH_SERVER(a_service_that_comes_later_is_listed_too),
		WITH_SERVER(pages_are_one_answer),
		WITH_SERVER(a_page_that_is_too_old_begins_the_list_again),
		WITH_SERVER(a_list_without_end_is_a_problem),
		WITH_SERVER(a_list_that_stays_too_old_is_a_problem),
		WITH_SERVER(a_watch_that_is_too_old_lists_again),
		WITH_SERVER(a_compacted_past_is_listed_anew),
		WITH_SERVER(watches_that_are_always_too_old_are_a_problem),
		WITH_SERVER(an_error_of_another_kind_is_a_problem_and_lists_again),
		WITH_SERVER(garbage_in_a_stream_is_a_problem_and_lists_again),
		WITH_SERVER(a_stream_that_ends_goes_on_from_where_it_was),
		WITH_SERVER(streams_that_end_at_once_are_a_problem),
		WITH_SERVER(streams_that_end_after_a_line_are_no_storm),
		WITH_SERVER(a_server_that_is_away_is_a_problem_until_it_is_back),
		WITH_SERVER(a_token_is_read_again),
		WITH_SERVER(a_kubeconfig_is_read_again),
		WITH_SERVER(a_stream_that_is_silent_is_not_all_that_is_asked),
		WITH_SERVER(a_server_that_is_sick_is_left_for_the_next),
		WITH_SERVER(a_server_whose_pulse_is_bad_is_left_for_the_next),
		WITH_SERVER(a_denial_names_the_verbs),
		WITH_SERVER(an_older_server_is_asked_as_it_understands),
		WITH_SERVER(a_service_that_is_not_there_has_none),
		WITH_SERVER(names_that_are_none_are_refused),
		WITH_SERVER(ten_thousand_endpoints_arrive_soon),
		WITH_SERVER(services_of_our_class_are_offered_and_published),
		WITH_SERVER(a_status_is_written_with_a_kubeconfig_that_changed),
		WITH_SERVER(a_status_that_may_not_be_written_is_a_problem),
		WITH_SERVER(a_status_is_taken_away_with_the_class),
		WITH_SERVER(services_with_a_label_are_chosen_by_the_server),
		WITH_SERVER(services_that_are_seen_to_go_are_gone),
		WITH_SERVER(a_list_without_services_is_told_apart),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
