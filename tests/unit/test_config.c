/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Configurations: what good ones mean, and that each broken one is answered with its line and a remedy. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "base/clean.h"
#include "config/config.h"
#include "config/mistake.h"

/* ---- what was said ---- */

struct said {
	char *text; /* sentences, a line each */
	unsigned n;
};

static void say(void *arg, const char *sentence)
{
	struct said *s = arg;
	char *longer = NULL;

	assert_null(strchr(sentence, '\n'));
	assert_true(asprintf(&longer, "%s%s\n", s->text ? s->text : "", sentence) > 0);
	free(s->text);
	s->text = longer;
	s->n++;
}

static void said_clear(struct said *s)
{
	free(s->text);
}

static struct config *parse_good(const char *text)
{
	_cleanup_(said_clear) struct said said = {};
	struct config *c = NULL;

	if (config_parse("test.yaml", text, strlen(text), say, &said, &c))
		fail_msg("refused: %s", said.text);
	assert_int_equal(said.n, 0);
	return c;
}

/* All sentences about a text that must be refused; to be freed. */
static char *parse_broken(const char *text, size_t len)
{
	struct config *untouched = (struct config *)1, *c = untouched;
	struct said said = {};

	assert_int_equal(config_parse("test.yaml", text, len, say, &said, &c), -EINVAL);
	assert_ptr_equal(c, untouched);
	assert_true(said.n >= 1);
	return said.text;
}

static void assert_says(const char *said, const char *expected)
{
	if (!strstr(said, expected))
		fail_msg("expected \"%s\" in:\n%s", expected, said);
}

static void assert_refused(const char *text, const char *expected)
{
	_cleanup_free_ char *said = parse_broken(text, strlen(text));

	assert_says(said, expected);
}

/* ---- files ---- */

static char *beside_this_file(const char *name)
{
	char here[] = __FILE__, *path;

	assert_true(asprintf(&path, "%s/%s", dirname(here), name) > 0);
	return path;
}

static bool is_yaml(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && !strcmp(dot, ".yaml");
}

/* Calls check with the path of each *.yaml in a folder; returns how many there are. */
static unsigned each_yaml(const char *folder, void (*check)(const char *path))
{
	_cleanup_free_ char *base = beside_this_file(folder);
	DIR *dir = opendir(base);
	struct dirent *e;
	unsigned n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir))) {
		_cleanup_free_ char *path = NULL;

		if (!is_yaml(e->d_name))
			continue;
		assert_true(asprintf(&path, "%s/%s", base, e->d_name) > 0);
		check(path);
		n++;
	}
	closedir(dir);
	return n;
}

/* "# expect: LINE: substring" on the first line. */
static void read_expectation(const char *path, char *expected, size_t size)
{
	FILE *f = fopen(path, "r");
	char line[512];
	int at, from = 0;

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	if (sscanf(line, "# expect: %d: %n", &at, &from) != 1 || !from)
		fail_msg("%s does not begin with an expectation", path);
	line[strcspn(line, "\n")] = '\0';
	snprintf(expected, size, "%s:%d: \n%s", path, at, line + from);
}

/* Some sentence has this place at its beginning and these words in it. */
static void assert_sentence(const char *said, const char *expected)
{
	const char *words = strchr(expected, '\n') + 1, *end;
	size_t place = words - 1 - expected;

	for (const char *s = said; *s; s = end + 1) {
		const char *found = strstr(s, words);

		end = strchr(s, '\n');
		if (!strncmp(s, expected, place) && found && found < end)
			return;
	}
	fail_msg("expected %s\nbut it said\n%s", expected, said);
}

static void is_refused_as_expected(const char *path)
{
	_cleanup_(said_clear) struct said said = {};
	struct config *c = NULL;
	char expected[1024];

	read_expectation(path, expected, sizeof(expected));
	if (config_load(path, say, &said, &c) != -EINVAL)
		fail_msg("%s was not refused", path);
	assert_null(c);
	assert_sentence(said.text, expected);
}

static void is_accepted(const char *path)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(said_clear) struct said said = {};

	if (config_load(path, say, &said, &c))
		fail_msg("%s was refused:\n%s", path, said.text);
	assert_int_equal(said.n, 0);
}

static void every_broken_file_is_answered_with_its_line_and_the_remedy(void **state)
{
	(void)state;
	assert_true(each_yaml("../config/broken", is_refused_as_expected) > 100);
}

static void every_good_file_is_accepted(void **state)
{
	(void)state;
	assert_true(each_yaml("../config/good", is_accepted) >= 5);
}

static void the_packaged_example_is_accepted_and_touches_no_interface(void **state)
{
	_cleanup_free_ char *path = beside_this_file("../../tools/packaging/shunt.yaml");
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(said_clear) struct said said = {};

	(void)state;
	if (config_load(path, say, &said, &c))
		fail_msg("%s", said.text);
	assert_int_equal(c->n_interfaces, 0);
	assert_int_equal(c->n_services, 0);
	assert_false(c->backend.loopback);
}

/* Prose is "# " and a word; what else is commented out are settings, indented or not. */
static bool is_setting_commented_out(const char *line)
{
	return line[0] == '#' && line[1] != '\n' && (line[1] != ' ' || line[2] == ' ');
}

static void the_packaged_example_is_accepted_with_everything_in_use(void **state)
{
	_cleanup_free_ char *path = beside_this_file("../../tools/packaging/shunt.yaml"), *text = calloc(1, 65536);
	_cleanup_(config_freep) struct config *c = NULL;
	FILE *f = fopen(path, "r");
	char line[256], *to = text;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "[]\n")) /* "interfaces: []": the list below takes its place */
			continue;
		to = stpcpy(to, line + is_setting_commented_out(line));
	}
	fclose(f);
	c = parse_good(text);
	assert_true(c->n_interfaces > 0);
	assert_true(c->n_services > 1);
}

static void a_file_that_cannot_be_read_is_said_so_with_its_errno(void **state)
{
	_cleanup_(said_clear) struct said missing = {}, folder = {};
	struct config *c = NULL;

	(void)state;
	assert_int_equal(config_load("/nonexistent/shunt.yaml", say, &missing, &c), -ENOENT);
	assert_says(missing.text, "/nonexistent/shunt.yaml: cannot be read: No such file or directory");
	assert_int_equal(config_load("/", say, &folder, &c), -EISDIR);
	assert_says(folder.text, "/: cannot be read: Is a directory");
	assert_null(c);
}

static void a_file_of_more_than_16_mib_is_refused(void **state)
{
	_cleanup_(said_clear) struct said said = {};
	char path[] = "/tmp/test_config.XXXXXX";
	struct config *c = NULL;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (16 << 20) + 1), 0);
	close(fd);
	assert_int_equal(config_load(path, say, &said, &c), -EINVAL);
	unlink(path);
	assert_says(said.text, "is larger than 16 MiB");
}

static void a_file_is_read_from_a_pipe(void **state)
{
	static const char text[] = "pins: /sys/fs/bpf/other\n";
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_(said_clear) struct said said = {};
	char path[64];
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
	close(ends[1]);
	snprintf(path, sizeof(path), "/dev/fd/%d", ends[0]);
	assert_int_equal(config_load(path, say, &said, &c), 0);
	close(ends[0]);
	assert_string_equal(c->pins, "/sys/fs/bpf/other");
}

/* ---- what a good one means ---- */

static void what_is_left_out_has_its_default(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_good("services: []\n"), *expected = config_new();
	char is[ENDPOINT_TEXT];

	(void)state;
	assert_string_equal(endpoint_format(&c->metrics, is), "127.0.0.1:9650");
	assert_string_equal(c->control_socket, "/run/shunt/shunt.sock");
	assert_null(c->control_group);
	assert_string_equal(c->pins, "/sys/fs/bpf/shunt");
	assert_int_equal(c->backend.n_allow, 2);
	assert_memory_equal(&c->limits, &expected->limits, sizeof(c->limits));
	assert_int_equal(c->checks_under_way, expected->checks_under_way);
	assert_int_equal(c->edge.icmp_rate, expected->edge.icmp_rate);
	assert_int_equal(c->edge.seed, expected->edge.seed);
}

static void every_setting_of_the_host_arrives(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_good(
		"interfaces:\n"
		"  - { name: eth0, role: [edge, backend], mode: native }\n"
		"  - { name: eth1.42, role: backend, mode: generic }\n"
		"  - { name: bond0, role: edge }\n"
		"metrics: { listen: \"[::1]:9000\" }\n"
		"control: { socket: /run/b/b.sock, group: adm }\n"
		"pins: /sys/fs/bpf/b\n"
		"edge: { source: [\"2001:db8::/64\", 10.9.0.0/16], icmp-rate: 7, seed: 0xffffffffffffffff }\n"
		"backend: { allow: 10.0.0.0/8, loopback: true, second-chance: false, second-chance-rate: 0 }\n"
		"limits: { services: 1, listeners: 2, members: 3, backends: 4, slots: 64, checks: 6, flows: 513, connections: 1000 }\n");
	char text[ENDPOINT_TEXT];

	(void)state;
	assert_int_equal(c->n_interfaces, 3);
	assert_string_equal(c->interfaces[1].name, "eth1.42");
	assert_int_equal(c->interfaces[0].roles, ROLE_EDGE | ROLE_BACKEND);
	assert_int_equal(c->interfaces[1].roles, ROLE_BACKEND);
	assert_int_equal(c->interfaces[2].roles, ROLE_EDGE);
	assert_int_equal(c->interfaces[0].mode, XDP_MODE_NATIVE);
	assert_int_equal(c->interfaces[1].mode, XDP_MODE_GENERIC);
	assert_int_equal(c->interfaces[2].mode, XDP_MODE_AUTO);
	assert_string_equal(endpoint_format(&c->metrics, text), "[::1]:9000");
	assert_string_equal(c->control_socket, "/run/b/b.sock");
	assert_string_equal(c->control_group, "adm");
	assert_string_equal(c->pins, "/sys/fs/bpf/b");
	assert_string_equal(prefix_format(&c->edge.source4, text), "10.9.0.0/16");
	assert_string_equal(prefix_format(&c->edge.source6, text), "2001:db8::/64");
	assert_int_equal(c->edge.icmp_rate, 7);
	assert_true(c->edge.seed == UINT64_MAX);
	assert_int_equal(c->backend.n_allow, 1);
	assert_string_equal(prefix_format(&c->backend.allow[0], text), "10.0.0.0/8");
	assert_true(c->backend.loopback);
	assert_false(c->backend.second_chance);
	assert_int_equal(c->backend.second_chance_rate, 0);
	assert_int_equal(c->limits.services, 1);
	assert_int_equal(c->limits.listeners, 2);
	assert_int_equal(c->limits.members, 3);
	assert_int_equal(c->limits.backends, 4);
	assert_int_equal(c->limits.slots, 64);
	assert_int_equal(c->limits.flows, 1024); /* rounded up */
	assert_int_equal(c->limits.connections, 1000);
	assert_int_equal(c->checks_under_way, 6);
}

static void backends_believe_the_configured_sources_unless_told_otherwise(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_good("edge: { source: 10.9.0.0/16 }\n");
	char text[PREFIX_TEXT];

	(void)state;
	assert_int_equal(c->backend.n_allow, 2);
	assert_string_equal(prefix_format(&c->backend.allow[0], text), "10.9.0.0/16");
	assert_string_equal(prefix_format(&c->backend.allow[1], text), "2001:2::/64");
}

static void metrics_can_be_turned_off(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_good("metrics: { listen: off }\n");

	(void)state;
	assert_int_equal(c->metrics.port, 0);
}

static void services_and_backends_arrive_in_order_with_all_they_say(void **state)
{
	_cleanup_(config_freep) struct config *c =
		parse_good("services:\n"
			   "  - name: web\n"
			   "    listen: [\"192.0.2.10:80/tcp\", \"[2001:db8::10]:80/tcp\"]\n"
			   "    algorithm: consistent\n"
			   "    forward: ipip\n"
			   "    slots: 128\n"
			   "    backends:\n"
			   "      - { address: \"10.0.0.12:80\", weight: 7, state: draining }\n"
			   "      - 10.0.0.11:80\n"
			   "      - { address: 10.0.0.13, weight: 0, state: disabled }\n"
			   "  - name: dns\n"
			   "    listen: 192.0.2.10:53/udp\n");
	const struct service *s;

	(void)state;
	assert_int_equal(c->n_services, 2);
	assert_string_equal(c->services[0].name, "dns");
	s = config_service(c, "web");
	assert_non_null(s);
	assert_int_equal(s->n_listens, 2);
	assert_int_equal(s->slots, 128);
	assert_int_equal(s->n_backends, 3);
	assert_int_equal(s->backends[0].weight, WEIGHT_DEFAULT);
	assert_int_equal(s->backends[0].admin, ADMIN_ENABLED);
	assert_int_equal(s->backends[1].weight, 7);
	assert_int_equal(s->backends[1].admin, ADMIN_DRAINING);
	assert_int_equal(s->backends[2].weight, 0);
	assert_int_equal(s->backends[2].admin, ADMIN_DISABLED);
	assert_int_equal(s->backends[2].at.port, 0);
}

#define WEB "services:\n  - name: web\n    listen: 192.0.2.10:80/tcp\n"

static struct check check_of(const char *health)
{
	_cleanup_(config_freep) struct config *c = NULL;
	char text[512];
	struct check k;

	snprintf(text, sizeof(text), WEB "%s", health);
	c = parse_good(text);
	k = c->services[0].check;
	c->services[0].check.path = c->services[0].check.host = NULL; /* the caller's */
	return k;
}

static void a_tcp_service_without_health_is_checked_over_tcp(void **state)
{
	struct check k = check_of("");

	(void)state;
	assert_int_equal(k.kind, CHECK_TCP);
	assert_int_equal(k.port, 0);
	assert_int_equal(k.interval_ms, 2000);
	assert_int_equal(k.timeout_ms, 1000);
	assert_int_equal(k.fall, 3);
	assert_int_equal(k.rise, 2);
}

static void a_service_on_udp_alone_is_not_checked_unless_told_to(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_good(
		"services:\n"
		"  - { name: dns, listen: 192.0.2.10:53/udp, backends: [10.0.0.11] }\n"
		"  - { name: dns2, listen: 192.0.2.11:53/udp, backends: [10.0.0.11], health: { tcp: } }\n"
		"  - { name: dns3, listen: [192.0.2.12:53/udp, 192.0.2.12:53/tcp], backends: [10.0.0.11] }\n");

	(void)state;
	assert_int_equal(c->services[0].check.kind, CHECK_NONE);
	assert_int_equal(c->services[1].check.kind, CHECK_TCP);
	assert_int_equal(c->services[2].check.kind, CHECK_TCP);
}

static void health_none_means_no_check(void **state)
{
	(void)state;
	assert_int_equal(check_of("    health: none\n").kind, CHECK_NONE);
}

static void an_http_check_has_defaults_and_takes_all_it_is_told(void **state)
{
	struct check plain = check_of("    health: { http: {} }\n");
	struct check full = check_of("    health:\n"
				     "      interval: 1m\n"
				     "      timeout: 500ms\n"
				     "      fall: 1\n"
				     "      rise: 1000\n"
				     "      http: { path: \"/a?b=c\", port: 8080, host: example.org, status: 204 }\n");
	struct check range = check_of("    health: { http: { status: 200-299 } }\n");

	(void)state;
	assert_int_equal(plain.kind, CHECK_HTTP);
	assert_string_equal(plain.path, "/");
	assert_null(plain.host);
	assert_int_equal(plain.status_min, 200);
	assert_int_equal(plain.status_max, 399);
	assert_int_equal(full.interval_ms, 60000);
	assert_int_equal(full.timeout_ms, 500);
	assert_int_equal(full.fall, 1);
	assert_int_equal(full.rise, 1000);
	assert_string_equal(full.path, "/a?b=c");
	assert_string_equal(full.host, "example.org");
	assert_int_equal(full.port, 8080);
	assert_int_equal(full.status_min, 204);
	assert_int_equal(full.status_max, 204);
	assert_int_equal(range.status_min, 200);
	assert_int_equal(range.status_max, 299);
	free(plain.path);
	free(full.path);
	free(full.host);
	free(range.path);
}

/* ---- how flows are kept ---- */

static struct tracking tracking_of(const char *keys)
{
	_cleanup_(config_freep) struct config *c = NULL;
	char text[512];

	snprintf(text, sizeof(text), WEB "%s", keys);
	c = parse_good(text);
	return c->services[0].tracking;
}

static void what_is_left_out_of_how_flows_are_kept_has_its_default(void **state)
{
	const struct tracking plain = tracking_of(""), expected = tracking_default();
	struct tracking some = tracking_of("    flow-timeout: { udp: 10s }\n");

	(void)state;
	assert_memory_equal(&plain, &expected, sizeof(plain));
	assert_int_equal(some.udp_ms, 10000);
	some.udp_ms = expected.udp_ms;
	assert_memory_equal(&some, &expected, sizeof(some));
}

static void how_flows_are_kept_arrives(void **state)
{
	const struct tracking t = tracking_of("    transition: 90s\n"
					      "    drain: 24h\n"
					      "    flow-timeout: { tcp: 2h, udp: 1s, closing: 1500ms }\n"
					      "    flows: 131072\n");

	(void)state;
	assert_int_equal(t.transition_ms, 90 * 1000);
	assert_int_equal(t.drain_ms, 24 * 3600 * 1000);
	assert_int_equal(t.tcp_ms, 2 * 3600 * 1000);
	assert_int_equal(t.udp_ms, 1000);
	assert_int_equal(t.closing_ms, 1500);
	assert_int_equal(t.flows, 131072);
}

static void a_change_may_move_flows_at_once(void **state)
{
	const struct tracking t = tracking_of("    transition: 0s\n    drain: 0ms\n");

	(void)state;
	assert_int_equal(t.transition_ms, 0);
	assert_int_equal(t.drain_ms, 0);
}

static void the_number_of_flows_is_rounded_up_to_a_power_of_two(void **state)
{
	static const struct {
		const char *key;
		uint32_t flows;
	} cases[] = {
		{ "    flows: 512\n", 512 },
		{ "    flows: 513\n", 1024 },
		{ "    flows: 1023\n", 1024 },
		{ "    flows: 100000\n", 131072 },
		{ "    flows: 524289\n", 1 << 20 },
		{ "    flows: 3000000\nlimits: { flows: 4000000 }\n", 1 << 22 },
		{ "    flows: 4194304\nlimits: { flows: 67108864 }\n", 1 << 22 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(tracking_of(cases[i].key).flows, cases[i].flows);
}

static void a_service_that_does_not_say_how_many_flows_has_no_more_than_there_are(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_good("services:\n"
							      "  - { name: a, listen: 192.0.2.1:80/tcp }\n"
							      "  - { name: b, listen: 192.0.2.2:80/tcp, flows: 600 }\n"
							      "limits: { flows: 2048 }\n");

	(void)state;
	assert_int_equal(c->services[0].tracking.flows, 2048);
	assert_int_equal(c->services[1].tracking.flows, 1024);
}

static void what_concerns_local_connections_arrives_in_order(void **state)
{
	_cleanup_(config_freep) struct config *c =
		parse_good("cgroup: /sys/fs/cgroup\n"
			   "socket: { except: [/b, /a] }\n"
			   "services:\n"
			   "  - name: db\n"
			   "    listen: 127.0.0.53:5432/tcp\n"
			   "    algorithm: least-connections\n"
			   "    at: socket\n"
			   "    clients: { cgroups: [/z, /y.slice/x], namespaces: /run/netns/blue }\n"
			   "    no-backend: refused\n"
			   "    backends: [127.0.0.1:5433]\n"
			   "  - { name: web, listen: 192.0.2.10:80/tcp, no-backend: unreachable, at: [socket, edge] }\n"
			   "  - { name: www, listen: 192.0.2.11:80/tcp, at: edge }\n");
	const struct service *s = &c->services[0];

	(void)state;
	assert_string_equal(c->cgroup, "/sys/fs/cgroup");
	assert_int_equal(c->except.n, 2);
	assert_string_equal(c->except.list[0], "/a");
	assert_int_equal(s->algorithm, ALGORITHM_LEAST_CONNECTIONS);
	assert_int_equal(s->at, AT_SOCKET);
	assert_true(s->refuses);
	assert_int_equal(s->clients.cgroups.n, 2);
	assert_string_equal(s->clients.cgroups.list[0], "/y.slice/x");
	assert_int_equal(s->clients.namespaces.n, 1);
	assert_string_equal(s->clients.namespaces.list[0], "/run/netns/blue");
	assert_false(c->services[1].refuses);
	assert_int_equal(c->services[1].at, AT_EDGE | AT_SOCKET);
	assert_int_equal(c->services[2].at, AT_EDGE);
}

static void local_connections_are_left_alone_unless_told_otherwise(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_good(WEB);

	(void)state;
	assert_null(c->cgroup);
	assert_int_equal(c->except.n, 0);
	assert_int_equal(c->services[0].at, AT_EDGE | AT_SOCKET);
	assert_int_equal(c->services[0].clients.cgroups.n + c->services[0].clients.namespaces.n, 0);
	assert_false(c->services[0].refuses);
}

static void a_list_of_cgroups_has_an_end(void **state)
{
	char text[TEXTS_MAX * 8 + 64] = "cgroup: /sys/fs/cgroup\nsocket:\n  except: [ /x";
	size_t len = strlen(text);

	(void)state;
	for (int i = 1; i <= TEXTS_MAX; i++)
		len += sprintf(text + len, ",/%d", i);
	strcpy(text + len, "]\n");
	assert_refused(text, "test.yaml:3: \"except\" has more than 256 items");
}

static void aliases_stand_for_what_they_name(void **state)
{
	_cleanup_(config_freep) struct config *c =
		parse_good("services:\n"
			   "  - { name: a, listen: 192.0.2.1:80/tcp, health: &fast { tcp: {}, interval: 1s }, "
			   "backends: &pool [10.0.0.1, 10.0.0.2] }\n"
			   "  - { name: b, listen: 192.0.2.2:80/tcp, health: *fast, backends: *pool }\n");

	(void)state;
	assert_int_equal(c->services[1].n_backends, 2);
	assert_int_equal(c->services[1].check.interval_ms, 1000);
}

/* ---- how mistakes are said ---- */

static void all_mistakes_of_a_file_are_said_in_the_order_of_the_lines(void **state)
{
	static const char text[] =
		"pins: here\n"
		"services:\n"
		"  - name: web\n"
		"    listen: 192.0.2.10:80/tcp\n"
		"    backends: [10.0.0.1:80, 10.0.0.1:80]\n" /* the model finds this, after the rest */
		"  - name: api\n"
		"    listen: 192.0.2.11:0/tcp\n"
		"bakend: {}\n";
	_cleanup_free_ char *said = parse_broken(text, strlen(text));
	static const char *const begins[] = { "test.yaml:1: ", "test.yaml:5: ", "test.yaml:7: ", "test.yaml:8: " };
	const char *line = said;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		if (strncmp(line, begins[i], strlen(begins[i])))
			fail_msg("expected %s in its turn in\n%s", begins[i], said);
		line = strchr(line, '\n') + 1;
	}
	assert_string_equal(line, "");
}

static void mistakes_of_one_service_do_not_hide_those_of_another(void **state)
{
	(void)state;
	assert_refused("services:\n"
		       "  - { name: bad, listen: nowhere }\n"
		       "  - { name: web, listen: 192.0.2.10:80/tcp, backends: [10.0.0.1:80, 10.0.0.1:80] }\n",
		       "test.yaml:3: service web: backend 10.0.0.1:80 is in this service twice");
}

static void of_endless_mistakes_the_first_hundred_are_said(void **state)
{
	_cleanup_free_ char *text = calloc(10000, 10), *said = NULL;
	unsigned lines = 0;
	char *to = text;

	(void)state;
	for (int i = 0; i < 10000; i++)
		to += sprintf(to, "k%d: 1\n", i);
	said = parse_broken(text, to - text);
	for (const char *s = said; (s = strchr(s, '\n')); s++)
		lines++;
	assert_int_equal(lines, MISTAKES_MAX + 1);
	assert_says(said, "test.yaml: there are more mistakes than are listed here");
}

static void an_empty_file_is_refused(void **state)
{
	_cleanup_free_ char *none = parse_broken("", 0), *mark = parse_broken("\xef\xbb\xbf", 3);

	(void)state;
	assert_says(none, "test.yaml:1: the file is empty");
	assert_says(mark, "test.yaml:1: the file is empty");
}

static void a_byte_order_mark_and_windows_lines_are_accepted(void **state)
{
	_cleanup_(config_freep) struct config *c = parse_good("\xef\xbb\xbfpins: /p\r\nlimits:\r\n  services: 5\r\n");

	(void)state;
	assert_string_equal(c->pins, "/p");
	assert_int_equal(c->limits.services, 5);
}

static void utf_16_is_refused(void **state)
{
	_cleanup_free_ char *said = parse_broken("\xff\xfep\0i\0n\0s\0", 10);

	(void)state;
	assert_says(said, "test.yaml:1: byte 0xff is not UTF-8");
}

static void what_the_user_wrote_is_shown_short_and_without_control_characters(void **state)
{
	char text[4096] = "pins: \"";

	(void)state;
	assert_refused("pins: \"a\\x1b[2J\\nb\\u009b\"\n", "\"pins\" is \"a?[2J?b?\"; give the whole path");
	memset(text + 7, 'x', 3000);
	strcpy(text + 3007, "\"\n");
	assert_refused(text, "xxx...\"; give the whole path");
}

static void a_long_text_is_not_cut_within_a_character(void **state)
{
	char text[256];

	(void)state;
	for (int ascii = 0; ascii < 4; ascii++) {
		const char *s;
		size_t n = ascii;

		memset(text, 'x', n);
		while (n < 200)
			n = stpcpy(text + n, "\xe2\x82\xac") - text;
		s = SHOWN(text);
		assert_int_equal((strlen(s) - ascii - 3) % 3, 0);
		assert_string_equal(s + strlen(s) - 3, "...");
	}
	assert_string_equal(SHOWN("short"), "short");
}

static void a_near_word_is_found_and_a_far_one_is_not(void **state)
{
	static const char *const words[] = { "name", "listen", "health", "backends", "tcp" };

	(void)state;
	assert_string_equal(nearest("nmae", words, 5), "name"); /* swapped */
	assert_string_equal(nearest("listn", words, 5), "listen"); /* one less */
	assert_string_equal(nearest("heallth", words, 5), "health"); /* one more */
	assert_string_equal(nearest("BACKENDS", words, 5), "backends");
	assert_string_equal(nearest("tpc", words, 5), "tcp");
	assert_null(nearest("servers", words, 5));
	assert_null(nearest("", words, 5));
	assert_null(nearest("a-word-that-is-longer-than-any-key-can-ever-be", words, 5));
}

/* ---- much of it ---- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void a_hundred_thousand_backends_are_read_in_a_few_seconds(void **state)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *text = malloc(16 << 20);
	char *to = text;
	double start;

	(void)state;
	to += sprintf(to, "services:\n");
	for (int s = 0; s < 100; s++) {
		to += sprintf(to, "  - name: s%d\n    listen: 192.0.2.%d:80/tcp\n    backends:\n", s, s + 1);
		for (int b = 0; b < 1000; b++)
			to += sprintf(to, "      - { address: \"10.%d.%d.%d:80\", weight: 100 }\n", s, b / 250,
				      b % 250 + 1);
	}
	start = seconds();
	c = parse_good(text);
	assert_true(seconds() - start <
		    10); /* under sanitizers on a busy machine; without, it is a fraction of a second */
	assert_int_equal(c->n_services, 100);
	assert_int_equal(c->services[99].n_backends, 1000);
}

/* A list with one more item than it may have, item having one %d, and what is said of it. */
__attribute__((format(printf, 2, 0))) static void assert_endless(const char *head, const char *item, int most, const char *expected)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "%s\n", head);
	for (int i = 0; i <= most; i++) {
		fputs("  - ", f);
		fprintf(f, item, i);
		fputc('\n', f);
	}
	fclose(f);
	assert_refused(text, expected);
}

static void lists_of_discovery_have_an_end(void **state)
{
	(void)state;
	assert_endless("sources:", "{ consul: {}, name: c%d }", SOURCES_MAX, "test.yaml:258: there are more than 256 sources");
	assert_endless("register:", "{ consul: { service: s%d }, address: \"10.0.0.1:80\" }", ANNOUNCES_MAX,
		       "test.yaml:1026: there are more than 1024 servers to register");
	assert_endless("services:\n- name: a\n  listen: 192.0.2.1:80/tcp\n  discover:", "consul: { service: s%d }", DISCOVERS_MAX,
		       "test.yaml:261: there are more than 256 discovers of one service");
}

static void hostile_files_are_refused_in_a_few_seconds(void **state)
{
	static const char *const pieces[] = { "[",    "{",   "- ",       "? ",     "&a x: ", "*a ,",    "a: {",
					      "\"",   "x: ", "[a, b]: ", "!t ",    "- - ",   "#",       "|\n",
					      "? - ", "'",   ": ",       "\n\n a", "k: 1\n", "- &a x\n" };
	size_t size = 1 << 20, n;
	_cleanup_free_ char *text = malloc(size);
	double start = seconds();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		for (n = 0; n + strlen(pieces[i]) <= size; n += strlen(pieces[i]))
			memcpy(text + n, pieces[i], strlen(pieces[i]));
		free(parse_broken(text, n));
	}
	assert_true(seconds() - start < 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_broken_file_is_answered_with_its_line_and_the_remedy),
		cmocka_unit_test(every_good_file_is_accepted),
		cmocka_unit_test(the_packaged_example_is_accepted_and_touches_no_interface),
		cmocka_unit_test(the_packaged_example_is_accepted_with_everything_in_use),
		cmocka_unit_test(a_file_that_cannot_be_read_is_said_so_with_its_errno),
		cmocka_unit_test(a_file_of_more_than_16_mib_is_refused),
		cmocka_unit_test(a_file_is_read_from_a_pipe),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(every_setting_of_the_host_arrives),
		cmocka_unit_test(backends_believe_the_configured_sources_unless_told_otherwise),
		cmocka_unit_test(metrics_can_be_turned_off),
		cmocka_unit_test(services_and_backends_arrive_in_order_with_all_they_say),
		cmocka_unit_test(a_tcp_service_without_health_is_checked_over_tcp),
		cmocka_unit_test(a_service_on_udp_alone_is_not_checked_unless_told_to),
		cmocka_unit_test(health_none_means_no_check),
		cmocka_unit_test(an_http_check_has_defaults_and_takes_all_it_is_told),
		cmocka_unit_test(what_is_left_out_of_how_flows_are_kept_has_its_default),
		cmocka_unit_test(how_flows_are_kept_arrives),
		cmocka_unit_test(a_change_may_move_flows_at_once),
		cmocka_unit_test(the_number_of_flows_is_rounded_up_to_a_power_of_two),
		cmocka_unit_test(a_service_that_does_not_say_how_many_flows_has_no_more_than_there_are),
		cmocka_unit_test(what_concerns_local_connections_arrives_in_order),
		cmocka_unit_test(local_connections_are_left_alone_unless_told_otherwise),
		cmocka_unit_test(a_list_of_cgroups_has_an_end),
		cmocka_unit_test(aliases_stand_for_what_they_name),
		cmocka_unit_test(all_mistakes_of_a_file_are_said_in_the_order_of_the_lines),
		cmocka_unit_test(mistakes_of_one_service_do_not_hide_those_of_another),
		cmocka_unit_test(of_endless_mistakes_the_first_hundred_are_said),
		cmocka_unit_test(an_empty_file_is_refused),
		cmocka_unit_test(a_byte_order_mark_and_windows_lines_are_accepted),
		cmocka_unit_test(utf_16_is_refused),
		cmocka_unit_test(what_the_user_wrote_is_shown_short_and_without_control_characters),
		cmocka_unit_test(a_long_text_is_not_cut_within_a_character),
		cmocka_unit_test(a_near_word_is_found_and_a_far_one_is_not),
		cmocka_unit_test(a_hundred_thousand_backends_are_read_in_a_few_seconds),
		cmocka_unit_test(lists_of_discovery_have_an_end),
		cmocka_unit_test(hostile_files_are_refused_in_a_few_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
