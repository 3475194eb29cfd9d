/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* shuntd: wiring only. Options, signals and privileges; every room is made here and handed to those above it. */
#include <cap-ng.h>
#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon.h"
#include "reconcile/overrides.h"

#define CONFIG_FILE "/etc/shunt/shunt.yaml"
#define STOP_MS 2000 /* for taking away what is announced */
#define REVISIT_SECONDS 2 /* how often interfaces are looked at that come and go */

struct options {
	const char *config, *check, *pins;
	bool named; /* config was given, not assumed */
	bool unload, verbose;
};

static const char usage[] =
	"Usage: shuntd [--config FILE]\n"
	"       shuntd --check FILE\n"
	"       shuntd --unload [--config FILE | --pins DIRECTORY]\n"
	"\n"
	"Balances what the configuration names; runs in the foreground and logs to standard error.\n"
	"\n"
	"  -c, --config FILE   the configuration (default: " CONFIG_FILE ")\n"
	"      --check FILE    only say whether FILE is valid: exit 0, or 1 and every error as FILE:LINE: sentence\n"
	"      --unload        stop forwarding: detach the programs and remove all that is pinned\n"
	"      --pins DIR      with --unload: what is pinned there, whatever a configuration says\n"
	"  -v, --verbose       log more\n"
	"  -V, --version       print the version\n"
	"  -h, --help          print this\n"
	"\n"
	"SIGHUP reloads the configuration; a bad file changes nothing. SIGTERM ends the daemon and leaves forwarding as it\n"
	"is: the next shuntd takes it up. See shuntd(8), shunt.yaml(5), shunt(8).\n";

static void say(void *arg, const char *sentence)
{
	(void)arg;
	fprintf(stderr, "%s\n", sentence);
}

static void say_log(void *arg, const char *sentence)
{
	char *first = arg;

	log_error("%s", sentence);
	if (first && !*first)
		snprintf(first, sizeof(((struct api_context *)0)->last_reload_error), "%s", sentence);
}

static int check(const char *path)
{
	_cleanup_(config_freep) struct config *c = NULL;

	return config_load(path, say, NULL, &c) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void say_nothing(void *arg, const char *sentence)
{
	(void)arg;
	(void)sentence;
}

/* Pins of the configuration; of the default where there is none to ask. A file that was named is meant: no other pins then. */
static int unload(const struct options *o)
{
	_cleanup_(config_freep) struct config *c = NULL;

	if (!o->pins && config_load(o->config, o->named ? say : say_nothing, NULL, &c)) {
		if (o->named) {
			log_error("nothing was unloaded: which pins is not known; give a valid --config, or --pins");
			return EXIT_FAILURE;
		}
		c = config_new();
		if (!c)
			return EXIT_FAILURE;
		log_warn("%s cannot be used: unloading %s, the default (--pins names another)", o->config, c->pins);
	}
	return dp_unload(o->pins ? o->pins : c->pins) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- events ---- */

static void reload(struct daemon *d)
{
	struct api_context *x = &d->context;
	_cleanup_(config_freep) struct config *c = NULL;
	int err;

	sd_notify(0, "RELOADING=1");
	x->reloads++;
	x->last_reload_error[0] = '\0';
	err = config_load(x->config_path, say_log, x->last_reload_error, &c);
	if (!err)
		err = daemon_apply_file(d, c);
	if (err) {
		x->reload_failures++;
		if (!x->last_reload_error[0])
			snprintf(x->last_reload_error, sizeof(x->last_reload_error), "%s: %s (the log says more)",
				 x->config_path, strerror(-err));
		log_error("%s was not loaded: what was running goes on", x->config_path);
	} else {
		api_set_file(x, TAKE_PTR(c));
		x->applied[0] = '\0';
		api_reopen(d->api);
		log_info("loaded %s", x->config_path);
	}
	sd_notify(0, "READY=1");
}

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	if (signal == SIGHUP) {
		reload(d);
		return;
	}
	log_info("stopping: forwarding stays as it is (`shuntd --unload` removes it)");
	event_base_loopbreak(d->context.base);
}

/* Interfaces that were missing may have come, others may have been made anew; services on every port may have gone. */
static void on_revisit(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;
	const struct config *c = reconcile_config(d->context.reconcile);

	(void)fd;
	(void)what;
	dp_configure(d->context.dp, c, any_port(c));
}

static int follow_events(struct daemon *d)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	struct timeval every = { .tv_sec = REVISIT_SECONDS };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		d->signals[i] = evsignal_new(d->context.base, numbers[i], on_signal, d);
		if (!d->signals[i] || event_add(d->signals[i], NULL))
			return -ENOMEM;
	}
	d->revisit = event_new(d->context.base, -1, EV_PERSIST, on_revisit, d);
	return d->revisit && !event_add(d->revisit, &every) ? 0 : -ENOMEM;
}

/* ---- privileges ---- */

/* Thousands of checks need as many descriptors. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What maps, programs, routes and neighbours need; before 5.8 there was only CAP_SYS_ADMIN for the first two. */
static void drop_privileges(void)
{
	bool old = capng_get_caps_process() || !capng_have_capability(CAPNG_PERMITTED, CAP_BPF);

	capng_clear(CAPNG_SELECT_BOTH);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
	if (old) {
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_SYS_ADMIN);
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_SYS_RESOURCE);
	} else {
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_BPF);
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_PERFMON);
	}
	if (capng_apply(CAPNG_SELECT_BOTH))
		log_warn("capabilities could not be dropped: going on with all of them");
}

/* ---- from start to end ---- */

static void on_severed(void *arg, const struct sever_report *r)
{
	struct api_context *x = arg;

	x->ended += r->ended;
	if (r->ended || r->failed)
		log_info("%u local connections to backends that may have them no more were ended, %u could not be%s%s", r->ended,
			 r->failed, r->problem[0] ? ": " : "", r->problem);
}

static void on_event(void *arg, const char *subject, const char *sentence)
{
	api_event(arg, subject, sentence);
}

static void on_check_socket(void *arg, int fd)
{
	dp_exempt(arg, fd);
}

static int start_sockets(struct daemon *d)
{
	struct api_context *x = &d->context;
	int err = 0;

	if (d->sever)
		err = sever_attach(d->sever, x->base, on_severed, x);
	dp_follow_sockets(x->dp, x->base, d->sever);
	health_on_socket(on_check_socket, x->dp);
	return err;
}

/* Before anything is applied: what was found, or said, before a restart is in force at once. */
static int start_discovery(struct api_context *x)
{
	int err = 0;

	x->listed = config_copy(x->file);
	if (!x->listed)
		return -ENOMEM;
	((struct daemon *)x)->found_again = evtimer_new(x->base, daemon_on_found_again, x);
	err = ((struct daemon *)x)->found_again ? overrides_load(x->listed) : -ENOMEM;
	if (!err)
		err = discovery_new(x->base, daemon_on_found, on_event, x, &x->discovery);
	return err ? err : discovery_follow(x->discovery, x->listed);
}

static int build(struct daemon *d)
{
	struct api_context *x = &d->context;
	int err = dp_open(x->file, &x->dp, &x->adopted);

	if (!err)
		err = start_sockets(d);
	if (!err)
		err = health_new(x->base, x->file->checks_under_way, &d->health);
	if (!err)
		err = nexthops_new(x->base, &d->nexthops);
	if (!err)
		err = reconcile_new(x->base, x->dp, d->health, d->nexthops, &x->reconcile);
	if (!err)
		err = start_discovery(x);
	if (!err)
		err = register_new(x->base, d->health, on_event, x, &x->registrar);
	if (!err)
		err = api_new(x, &d->api);
	if (!err)
		err = daemon_apply(x, x->listed);
	return err ? err : follow_events(d);
}

static void tear_down(struct daemon *d)
{
	struct api_context *x = &d->context;

	for (size_t i = 0; i < ARRAY_SIZE(d->signals); i++)
		if (d->signals[i])
			event_free(d->signals[i]);
	if (d->revisit)
		event_free(d->revisit);
	daemon_forget_found(d);
	if (d->api)
		api_free(d->api);
	register_free(x->registrar);
	discovery_free(x->discovery);
	reconcile_free(x->reconcile);
	if (d->nexthops)
		nexthops_free(d->nexthops);
	if (d->health)
		health_free(d->health);
	if (x->dp)
		dp_close(x->dp);
	sever_free(d->sever);
	config_free(x->file);
	config_free(x->listed);
	free(x->events);
	event_base_free(x->base);
}

/* Timers to the microsecond: sources' changes wait for some milliseconds, and the coarse clock's step is four of them. */
static struct event_base *make_loop(void)
{
	struct event_config *c = event_config_new();
	struct event_base *base = NULL;

	if (c && !event_config_set_flag(c, EVENT_BASE_FLAG_PRECISE_TIMER))
		base = event_base_new_with_config(c);
	if (c)
		event_config_free(c);
	return base;
}

static int run(const struct options *o)
{
	struct daemon d = { .context = { .config_path = o->config, .started_ms = realtime_ms(), .check = daemon_check,
					 .apply = daemon_apply } };
	char pins[PATH_MAX] = "";
	int err;

	if (config_load(o->config, say_log, NULL, &d.context.file))
		return EXIT_FAILURE;
	err = d.context.file->cgroup ? sever_start(&d.sever) : 0; /* first: it shares nothing that is opened after */
	raise_descriptors();
	signal(SIGHUP, SIG_IGN); /* until there is something to reload */
	signal(SIGPIPE, SIG_IGN);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	d.context.base = make_loop();
	if (!err)
		err = d.context.base ? build(&d) : -ENOMEM;
	if (err) {
		log_error("shuntd did not start: %s", strerror(-err));
	} else {
		drop_privileges();
		log_info("shuntd %s runs: %zu services from %s%s", SHUNT_VERSION, d.context.file->n_services, o->config,
			 d.context.adopted ? "; took up what was loaded" : "");
		sd_notify(0, "READY=1");
		event_base_dispatch(d.context.base);
		sd_notify(0, "STOPPING=1");
		register_stop(d.context.registrar, STOP_MS);
	}
	if (err && d.context.dp && !d.context.adopted)
		snprintf(pins, sizeof(pins), "%s", d.context.file->pins);
	tear_down(&d);
	if (pins[0]) /* it made them, and nothing was attached before: a start that fails leaves nothing */
		dp_unload(pins);
	curl_global_cleanup();
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", required_argument, NULL, 'k' },
		{ "unload", no_argument, NULL, 'u' },	    { "pins", required_argument, NULL, 'p' },
		{ "verbose", no_argument, NULL, 'v' },	    { "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },	    {},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "c:vVh", longs, NULL)) != -1)
		switch (letter) {
		case 'c': o->config = optarg; o->named = true; break;
		case 'k': o->check = optarg; break;
		case 'u': o->unload = true; break;
		case 'p': o->pins = optarg; break;
		case 'v': o->verbose = true; break;
		case 'V': printf("shuntd %s\n", SHUNT_VERSION); exit(EXIT_SUCCESS);
		case 'h': fputs(usage, stdout); exit(EXIT_SUCCESS);
		default: return -EINVAL; /* getopt has said what */
		}
	if (optind < argc)
		return err_r(-EINVAL, "shuntd takes no argument `%s` (is it --config %s?)", argv[optind], argv[optind]);
	if (o->pins && !o->unload)
		return err_r(-EINVAL, "--pins goes with --unload; a running daemon takes `pins:` from its configuration");
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = { .config = CONFIG_FILE };

	if (parse(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	if (o.verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	if (o.check)
		return check(o.check);
	if (geteuid()) {
		log_error("shuntd needs root to load programs and to attach them: run it with sudo, or by systemd");
		return EXIT_FAILURE;
	}
	return o.unload ? unload(&o) : run(&o);
}
