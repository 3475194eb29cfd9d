/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shunt-traffic: reads the options of its two sides. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/duration.h"
#include "base/log.h"
#include "traffic.h"

static const char help[] =
	"usage: shunt-traffic server --listen ADDRESS:PORT --name NAME\n"
	"       shunt-traffic client --connect ADDRESS:PORT [OPTION VALUE]...\n\n"
	"TCP connections that live for long and check every byte. The server says its name (at most 8 bytes) and\n"
	"sends back what comes, until SIGTERM. The client holds a number of connections, each of which speaks in\n"
	"bursts at random intervals, until its time is over or SIGTERM comes; then each speaks once more and ends in\n"
	"good order. At the end both print one line of JSON. The client writes a line to standard error for each\n"
	"connection that broke, and exits with 0 only if none did and all were accepted.\n\n"
	"  --connections N      held at the same time (default 1000)\n"
	"  --duration TIME      length of the run (default 60s); times are whole numbers with ms, s, m or h\n"
	"  --rate N             connections opened in a second, at first (default 500)\n"
	"  --source ADDRESS     first of the client's addresses (default: the kernel's choice)\n"
	"  --sources N          so many addresses from there on (default 1)\n"
	"  --interval TIME      between two bursts of a connection: 0.5 to 1.5 times that (default 2s)\n"
	"  --burst N            bytes in a burst, at most (default 2000)\n"
	"  --silent PERCENT     of the connections speak at their begin, in the middle of the run and at its end only\n"
	"                       (default 10)\n"
	"  --short PERCENT      of the connections end before the run does, and others take their places (default 20)\n"
	"  --life TIME          of these: 0.5 to 1.5 times that (default 20s)\n"
	"  --timeout TIME       a connection without answer for so long is broken (default 30s)\n"
	"  --progress TIME      between two lines of progress on standard error (default 10s)\n"
	"  --leave FILE         on SIGUSR1, connections with the servers that are named in it end and others take\n"
	"                       their places, as if users turned away from a server that is to go\n"
	"  --seed N             of all that is random (default 1)\n";

/* ---- values ---- */

static int wrong(const char *option, const char *text, const char *right)
{
	return err_r(-EINVAL, "--%s %s: give %s", option, text, right);
}

static int read_number(const char *option, const char *text, uint64_t most, uint64_t *out)
{
	char *end, right[64];
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	snprintf(right, sizeof(right), "a number from 0 to %llu", (unsigned long long)most);
	if (errno || *end || *text < '0' || *text > '9' || v > most)
		return wrong(option, text, right);
	*out = v;
	return 0;
}

static int read_small(const char *option, const char *text, uint32_t most, uint32_t *out)
{
	uint64_t v = 0;
	int err = read_number(option, text, most, &v);

	if (!err)
		*out = v;
	return err;
}

static int read_time(const char *option, const char *text, uint64_t *ms)
{
	return duration_parse(text, ms) || !*ms ? wrong(option, text, "a time such as 500ms or 30s") : 0;
}

static int read_endpoint(const char *option, const char *text, struct endpoint *e)
{
	return endpoint_parse(text, e) || !e->port ? wrong(option, text, "ADDRESS:PORT") : 0;
}

/* ---- the two sides ---- */

static int server_option(const char *option, const char *text, struct server_options *o)
{
	if (!strcmp(option, "listen"))
		return read_endpoint(option, text, &o->listen);
	o->name = text;
	return *text && strlen(text) <= HEAD ? 0 : wrong(option, text, "1 to 8 bytes");
}

struct number {
	const char *name;
	uint32_t *value, most;
};

struct duration {
	const char *name;
	uint64_t *ms;
};

static int client_option(const char *option, const char *text, struct client_options *o)
{
	const struct number numbers[] = {
		{ "sources", &o->sources, 65536 }, { "connections", &o->connections, 1000000 },
		{ "rate", &o->rate, 1000000 }, { "silent", &o->silent_percent, 100 },
		{ "short", &o->short_percent, 100 }, { "burst", &o->burst, 1 << 20 },
	};
	const struct duration times[] = {
		{ "duration", &o->duration_ms }, { "interval", &o->interval_ms }, { "life", &o->life_ms },
		{ "timeout", &o->timeout_ms }, { "progress", &o->progress_ms },
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!strcmp(option, numbers[i].name))
			return read_small(option, text, numbers[i].most, numbers[i].value);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (!strcmp(option, times[i].name))
			return read_time(option, text, times[i].ms);
	if (!strcmp(option, "connect"))
		return read_endpoint(option, text, &o->connect);
	if (!strcmp(option, "source"))
		return addr_parse(text, &o->source) ? wrong(option, text, "an address") : 0;
	if (!strcmp(option, "seed"))
		return read_number(option, text, UINT64_MAX, &o->seed);
	o->leave = text;
	return 0;
}

#define TAKES(name) { name, required_argument, NULL, 1 }
#define HELP { "help", no_argument, NULL, 'h' }
static const struct option of_server[] = { HELP, TAKES("listen"), TAKES("name"), {} };
static const struct option of_client[] = {
	HELP, TAKES("connect"), TAKES("source"), TAKES("sources"), TAKES("connections"), TAKES("rate"),
	TAKES("silent"), TAKES("short"), TAKES("burst"), TAKES("duration"), TAKES("interval"), TAKES("life"),
	TAKES("timeout"), TAKES("progress"), TAKES("leave"), TAKES("seed"), {},
};

static int call_server(int argc, char **argv)
{
	struct server_options o = {};
	int c, at;

	while ((c = getopt_long(argc, argv, "h", of_server, &at)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?' || server_option(of_server[at].name, optarg, &o))
			return 2;
	}
	if (optind < argc || !o.name || !o.listen.port) {
		log_error("server: give --listen ADDRESS:PORT and --name NAME; see --help");
		return 2;
	}
	return server_run(&o);
}

static int call_client(int argc, char **argv)
{
	struct client_options o = {
		.sources = 1, .connections = 1000, .rate = 500, .silent_percent = 10, .short_percent = 20,
		.burst = 2000, .duration_ms = 60000, .interval_ms = 2000, .life_ms = 20000, .timeout_ms = 30000,
		.progress_ms = 10000, .seed = 1,
	};
	int c, at;

	while ((c = getopt_long(argc, argv, "h", of_client, &at)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?' || client_option(of_client[at].name, optarg, &o))
			return 2;
	}
	if (optind < argc || !o.connect.port || !o.sources || !o.connections || !o.rate) {
		log_error("client: give --connect ADDRESS:PORT, and at least 1 as --connections, --rate and "
			  "--sources; see --help");
		return 2;
	}
	return client_run(&o);
}

int main(int argc, char **argv)
{
	const char *side = argc > 1 ? argv[1] : "";

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(side, "server"))
		return call_server(argc - 1, argv + 1);
	if (!strcmp(side, "client"))
		return call_client(argc - 1, argv + 1);
	fputs(help, !strcmp(side, "--help") || !strcmp(side, "-h") || !strcmp(side, "help") ? stdout : stderr);
	return argc > 1 && strchr("-h", side[0]) ? 0 : 2;
}
