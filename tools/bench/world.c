/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "datapath/nexthop.h"

#define SETTLE_S 20 /* for the next hops of a configuration */

static int near_ns = -1, far_ns = -1;

/* ---- namespaces ---- */

/* The far end moves to the first namespace of the two, whose descriptor is the number in its place. */
static const char *const commands[] = {
	"ip link set lo up",
	"ip link add bench0 type veth peer name bench1",
	"ip link set bench1 netns /proc/$PPID/fd/%d",
	"ip link set bench0 address 02:00:00:00:ff:01 up",
	"ip addr add " WORLD_FAR ".1/24 dev bench0",
	"ip addr add fd00:255::1/64 dev bench0 nodad",
	"nsenter --net=/proc/$PPID/fd/%d sh -c '"
	"echo 1 > /proc/sys/net/ipv6/conf/bench1/disable_ipv6; " /* its own packets would be counted */
	"ip link set lo up; ip link set bench1 address 02:00:00:00:ff:02 up; "
	"ip addr add " WORLD_FAR ".2/24 dev bench1; "
	"ip route add local " WORLD_FAR ".128/25 dev lo'",
	"ip route add default via " WORLD_FAR ".2",
	"ip -6 route add default via fd00:255::2",
	"ip neigh replace " WORLD_FAR ".2 lladdr 02:00:00:00:ff:02 dev bench0 nud permanent",
	"ip neigh replace fd00:255::2 lladdr 02:00:00:00:ff:02 dev bench0 nud permanent",
};

static int run_command(const char *format)
{
	char command[512];

	snprintf(command, sizeof(command), format, far_ns);
	if (system(command))
		return err_r(-EIO, "cannot set up the network namespaces: '%s' failed; install iproute2 and run as root",
			     command);
	return 0;
}

/* Not CLOEXEC: ip finds it in our /proc directory. */
static int make_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET))
		return -errno;
	fd = open("/proc/self/ns/net", O_RDONLY);
	return fd < 0 ? -errno : fd;
}

int world_enter(void)
{
	int err = 0;

	if (near_ns >= 0)
		return 0;
	far_ns = make_namespace();
	near_ns = far_ns < 0 ? far_ns : make_namespace();
	if (near_ns < 0)
		return err_r(near_ns, "cannot make a network namespace: %s; run as root", strerror(-near_ns));
	for (size_t i = 0; i < ARRAY_SIZE(commands) && !err; i++)
		err = run_command(commands[i]);
	return err;
}

void world_unload(void)
{
	if (!access(WORLD_PINS, F_OK))
		dp_unload(WORLD_PINS);
}

int world_far_socket(const struct endpoint *at)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage ss;
	socklen_t len = endpoint_sockaddr(at, &ss);

	if (setns(far_ns, CLONE_NEWNET))
		return -errno;
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (setns(near_ns, CLONE_NEWNET))
		return -errno;
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len))
		return -errno;
	return TAKE_FD(fd);
}

/* ---- configurations ---- */

struct config *world_config(void)
{
	_cleanup_(config_freep) struct config *c = config_new();

	if (!c)
		return NULL;
	free(c->pins);
	c->pins = strdup(WORLD_PINS);
	c->interfaces = calloc(1, sizeof(*c->interfaces));
	if (!c->pins || !c->interfaces)
		return NULL;
	c->interfaces[0] = (struct interface){ .name = "bench0", .roles = ROLE_EDGE, .mode = XDP_MODE_GENERIC };
	c->n_interfaces = 1;
	return TAKE_PTR(c);
}

struct addr world_address(const char *first, uint32_t n)
{
	struct addr a = {};

	addr_parse(first, &a);
	for (int i = 15; i >= 12 && n; i--) {
		n += a.b[i];
		a.b[i] = n;
		n >>= 8;
	}
	return a;
}

static int fill_service(struct service *s, const char *name, const char *listen, const char *first, uint32_t n)
{
	s->name = strdup(name);
	s->listens = calloc(1, sizeof(*s->listens));
	s->backends = calloc(n, sizeof(*s->backends));
	if (!s->name || !s->listens || !s->backends)
		return -ENOMEM;
	s->n_listens = 1;
	s->n_backends = n;
	s->check.kind = CHECK_NONE;
	for (uint32_t i = 0; i < n; i++)
		s->backends[i].weight = WEIGHT_DEFAULT;
	if (listen_parse(listen, &s->listens[0]))
		return err_r(-EINVAL, "bench: bad listen address %s", listen);
	for (uint32_t i = 0; i < n; i++)
		s->backends[i].at = (struct endpoint){ world_address(first, i), s->listens[0].port };
	return 0;
}

struct service *world_service(struct config *c, const char *name, const char *listen, const char *first, uint32_t n)
{
	struct service s = service_default();
	int err = fill_service(&s, name, listen, first, n);

	if (!err)
		err = config_service_add(c, &s);
	if (err)
		service_clear(&s);
	return err ? NULL : config_service(c, name);
}

static void complain(void *arg, const struct service *s, const struct backend *b, const struct announce *a,
		     const char *sentence)
{
	(void)arg, (void)b, (void)a;
	log_error("bench: service %s: %s", s ? s->name : "-", sentence);
}

/* ---- the product ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

int world_run_until(struct world *w, bool (*so)(void *arg), void *arg, double seconds)
{
	struct event *tick = event_new(w->base, -1, EV_PERSIST, on_tick, NULL);
	double end = bench_now_us() + seconds * 1e6;
	bool is_so;

	if (!tick)
		return -ENOMEM;
	event_add(tick, &(struct timeval){ .tv_usec = 20000 });
	while (!(is_so = so(arg)) && bench_now_us() < end && !bench_stopped())
		event_base_loop(w->base, EVLOOP_ONCE);
	event_free(tick);
	return is_so ? 0 : bench_stopped() ? -EINTR : -ETIMEDOUT;
}

/* Entries in use are at the front: nothing was freed before. */
bool world_has_settled(void *arg)
{
	struct world *w = arg;
	const struct shunt_backend *b = dp_backends(w->dp);
	struct reconcile_stats stats;

	reconcile_stats(w->reconcile, &stats);
	while (w->known < stats.backends && b[w->known].flags & SHUNT_BACKEND_NEXTHOP)
		w->known++;
	return w->known == stats.backends && !event_base_get_num_events(w->base, EVENT_BASE_COUNT_ACTIVE);
}

static void end_transition(struct world *w, uint32_t service)
{
	__u64 table = dp_services(w->dp)[service].table;
	__u64 *slots = dp_slots(w->dp) + shunt_table_first_slot(table);

	for (uint32_t i = 0; i <= shunt_table_mask(table); i++) {
		__u16 current = shunt_slot_current(slots[i]);

		dp_store(&slots[i], shunt_slot(current, current, SHUNT_NONE, shunt_slot_runner_up(slots[i])));
	}
}

static int end_transitions(struct world *w, const struct config *c)
{
	for (size_t i = 0; i < c->n_services; i++) {
		struct reconcile_service s;
		int err = reconcile_service(w->reconcile, c->services[i].name, &s);

		if (err)
			return err;
		if (s.moving)
			end_transition(w, s.id);
		reconcile_service_clear(&s);
	}
	return 0;
}

static int open_rooms(struct world *w, const struct config *c)
{
	bool adopted;
	int err = dp_open(c, &w->dp, &adopted);

	if (!err)
		err = dp_configure(w->dp, c, false);
	if (!err)
		err = health_new(w->base, c->checks_under_way, &w->health);
	if (!err)
		err = nexthops_new(w->base, &w->nexthops);
	if (!err)
		err = reconcile_new(w->base, w->dp, w->health, w->nexthops, &w->reconcile);
	return err;
}

int world_open(struct world *w, const struct config *c)
{
	int err;

	*w = (struct world){};
	if (config_validate(c, complain, NULL))
		return -EINVAL;
	world_unload(); /* what an earlier run that was killed left */
	w->base = event_base_new();
	err = w->base ? open_rooms(w, c) : -ENOMEM;
	if (!err)
		err = reconcile_apply(w->reconcile, c);
	if (!err)
		err = world_run_until(w, world_has_settled, w, SETTLE_S);
	if (err == -ETIMEDOUT)
		log_error("bench: after %d s the next hops of the backends are not known, or slots are still being written",
			  SETTLE_S);
	return err ? err : end_transitions(w, c);
}

void world_close(struct world *w)
{
	if (w->reconcile)
		reconcile_free(w->reconcile);
	if (w->nexthops)
		nexthops_free(w->nexthops);
	if (w->health)
		health_free(w->health);
	if (w->dp)
		dp_close(w->dp);
	if (w->base)
		event_base_free(w->base);
	*w = (struct world){};
	world_unload();
}
