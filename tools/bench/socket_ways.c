/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ways from a client to a service, each as it is meant to be used: shunt's programs on the client's cgroup, HAProxy
 * in TCP mode beside the client, nftables with DNAT where the client sends. Nothing of them is loaded where another is
 * measured: shunt comes and goes with every round, since its programs are there for all namespaces; nftables has a
 * namespace of its own, since connection tracking costs every connection of its namespace.
 *
 * The service's address leads nowhere in either namespace, unless the way translates it. So what gets through has been
 * where the row says.
 */
#include "socket.h"

#include <errno.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "datapath/datapath.h"

#define PINS "/sys/fs/bpf/shunt-bench-socket"
#define SERVICE "192.0.2.1"
#define TO_BACKENDS { BACKEND_FIRST, BACKEND_FIRST + 1 }
#define TO_SERVICE { 0xc0000201, 0xc0000201 } /* SERVICE */
#define TO_PROXY { INADDR_LOOPBACK, INADDR_LOOPBACK }

#define TCP_KINDS (1 << KIND_CONNECT | 1 << KIND_THROUGHPUT)
#define ALL_KINDS (TCP_KINDS | 1 << KIND_SENDTO)

static struct peer plain, nat;
static pid_t proxy, daemon_pid;

static void skip(struct way *w, const char *why)
{
	snprintf(w->skipped, sizeof(w->skipped), "%s", why);
}

static int write_file(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *f = fopen(path, "we");

	return f && fputs(text, f) >= 0 && !fflush(f) ? 0 : err_r(-EIO, "cannot write %s: %s", path, strerror(errno));
}

static bool is_installed(const char *program)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v %s > /dev/null", program);
	return !system(command);
}

/* ---- HAProxy ---- */

/* A thread for each of two CPUs; connections that client and server take turns at are taken where these are. */
static const char haproxy_config[] =
	"global\n"
	"	nbthread 2\n"
	"	cpu-map 1/1 %d\n"
	"defaults\n"
	"	mode tcp\n"
	"	maxconn 4096\n"
	"	balance roundrobin\n"
	"	option splice-auto\n"
	"	timeout connect 5s\n"
	"	timeout client 30s\n"
	"	timeout server 30s\n"
	"listen connect\n"
	"	bind 127.0.0.1:7001 process 1/1\n"
	"	option nolinger\n" /* its connections end with a reset, too */
	"	server a 127.0.0.2:7001\n"
	"	server b 127.0.0.3:7001\n"
	"listen throughput\n"
	"	bind 127.0.0.1:7003\n"
	"	server a 127.0.0.2:7003\n"
	"	server b 127.0.0.3:7003\n";

static struct job first_job(const struct way *w, enum kind kind)
{
	struct job j = { .kind = kind, .cgroup = w->cgroup, .peer = w->peer };

	memcpy(j.to, w->to, sizeof(j.to));
	return j;
}

static int begin_haproxy(struct way *w)
{
	const char *const command[] = { "haproxy", "-db", "-f", PLACE_RUN "/haproxy.cfg", NULL };
	const struct place place = { .netns = plain.netns, .cpu = -1 };
	const struct job job = first_job(w, KIND_CONNECT);
	char text[sizeof(haproxy_config) + 16];
	int err;

	if (!is_installed("haproxy")) {
		skip(w, "haproxy is not installed (tools/deps.sh haproxy)");
		return 0;
	}
	snprintf(text, sizeof(text), haproxy_config, place_cpu(0));
	err = write_file(PLACE_RUN "/haproxy.cfg", text);
	if (err)
		return err;
	proxy = place_start(&place, "haproxy.log", command);
	err = proxy < 0 ? proxy : client_await(&job, proxy);
	if (!err || err == -EINTR)
		return err;
	place_show("haproxy.log");
	skip(w, "haproxy does not answer (above is what it says)");
	return 0;
}

/* ---- nftables ---- */

static const char nftables_rules[] =
	"table ip shunt_bench {\n"
	"	chain output {\n"
	"		type nat hook output priority -100; policy accept;\n"
	"		ip daddr " SERVICE " meta l4proto { tcp, udp } th dport { 7001, 7002, 7003 }"
	" dnat to numgen inc mod 2 map { 0: 127.0.0.2, 1: 127.0.0.3 }\n"
	"	}\n"
	"}\n";

static int begin_nftables(struct way *w)
{
	int err;

	if (!is_installed("nft")) {
		skip(w, "nftables is not installed (tools/deps.sh nftables)");
		return 0;
	}
	err = write_file(PLACE_RUN "/nftables.conf", nftables_rules);
	if (err)
		return err;
	err = peer_start(&nat, "ip route add " SERVICE " dev lo src 127.0.0.1 && nft -f " PLACE_RUN "/nftables.conf");
	if (err != -EIO)
		return err;
	skip(w, "the rules could not be loaded (above is why); does the kernel have nf_tables with NAT?");
	return 0;
}

/* ---- shunt ---- */

static int begin_shunt(struct way *w)
{
	char cgroup[PLACE_PATH], text[2048];
	int err;

	if (!place_cgroups()) {
		skip(w, "cgroup v2 is not mounted (mount -t cgroup2 none /sys/fs/cgroup)");
		return 0;
	}
	err = place_cgroup(w->cgroup, cgroup);
	if (err)
		return err;
	snprintf(text, sizeof(text),
		 "cgroup: %s\n"
		 "control: { socket: " PLACE_RUN "/shunt.sock }\n"
		 "pins: " PINS "\n"
		 "metrics: { listen: off }\n"
		 "limits: { services: 8, listeners: 16, members: 256, backends: 64, slots: 65536 }\n"
		 "services:\n"
		 "  - name: connect\n"
		 "    listen: [\"" SERVICE ":7001/tcp\"]\n"
		 "    health: none\n"
		 "    backends: [{ address: \"127.0.0.2:7001\" }, { address: \"127.0.0.3:7001\" }]\n"
		 "  - name: sendto\n"
		 "    listen: [\"" SERVICE ":7002/udp\"]\n"
		 "    health: none\n"
		 "    backends: [{ address: \"127.0.0.2:7002\" }, { address: \"127.0.0.3:7002\" }]\n"
		 "  - name: throughput\n"
		 "    listen: [\"" SERVICE ":7003/tcp\"]\n"
		 "    health: none\n"
		 "    backends: [{ address: \"127.0.0.2:7003\" }, { address: \"127.0.0.3:7003\" }]\n",
		 cgroup);
	return write_file(PLACE_RUN "/shunt.yaml", text);
}

static int start_daemon(void)
{
	const struct place place = { .netns = plain.netns, .cpu = -1 };

	daemon_pid = place_shuntd(&place, "shuntd.log", PLACE_RUN "/shunt.yaml");
	return daemon_pid < 0 ? daemon_pid : 0;
}

/* ---- all ---- */

static int begin_nothing(struct way *w)
{
	(void)w;
	return 0;
}

struct way ways[WAYS] = {
	[WAY_DIRECT] = { "direct", ALL_KINDS, TO_BACKENDS, "direct", false, &plain, begin_nothing, "" },
	{ "service", ALL_KINDS, TO_SERVICE, "service", true, &plain, begin_shunt, "" },
	{ "other", 1 << KIND_CONNECT, TO_BACKENDS, "service", true, &plain, begin_shunt, "" },
	{ "haproxy", TCP_KINDS, TO_PROXY, "direct", false, &plain, begin_haproxy, "" },
	{ "nftables", ALL_KINDS, TO_SERVICE, "direct", false, &nat, begin_nftables, "" },
};

int ways_load(void)
{
	int err = start_daemon();

	for (enum kind kind = 0; kind < KINDS && !err; kind++) {
		const struct job job = first_job(&ways[WAY_DIRECT + 1], kind);

		err = client_await(&job, daemon_pid);
	}
	if (!err)
		place_await_rest(daemon_pid);
	if (!err || err == -EINTR)
		return err;
	place_show("shuntd.log");
	return err_r(err, "shuntd does not balance at the socket: %s (above is what it says)",
		     err == -ECHILD ? "it has ended" : "what goes to the service does not arrive");
}

void ways_unload(void)
{
	place_end(&daemon_pid);
	if (access(PINS, F_OK))
		return;
	dp_unload(PINS);
	usleep(300000); /* the kernel frees its maps behind it */
}

int ways_begin(bool (*wanted)(const struct way *))
{
	int err;

	ways_unload(); /* what an earlier run that was killed left */
	err = place_prepare();
	if (!err)
		err = peer_start(&plain, "true");
	for (int i = 0; i < WAYS && !err; i++)
		if (wanted(&ways[i]))
			err = ways[i].begin(&ways[i]);
	return err;
}

void ways_end(void)
{
	ways_unload();
	place_end(&proxy);
	peer_end(&plain);
	peer_end(&nat);
	place_clear();
}

void ways_clear(void)
{
	ways_unload();
	place_clear();
}
