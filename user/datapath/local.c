/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Services with servers on this host (forward: local): the lookup program on this network namespace, by a link pinned
 * as hook_lookup, and the map of the sockets on which the servers listen.
 *
 * A socket gets into the map by a walk over the namespace's sockets, and leaves it when it is closed. TCP's are walked
 * when one of those that are looked for begins or ends to listen, as a program says; of UDP's nobody says anything, so
 * they are walked every second while there are local UDP services. dp_configure walks both.
 */
#include "datapath/internal.h"
#include "datapath/skeleton.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LOOKUP_PIN "hook_lookup"
#define SOON_US 10000 /* a socket says that it listens before it does; and servers open several at a time */
#define UDP_SECONDS 1
#define IP4_ANY { .b = { [10] = 0xff, [11] = 0xff } }

/* What a server's socket may be bound to. */
struct wanted {
	struct shunt_bound at;
	bool stays; /* no longer in the configuration, but the services that change with it may be those of before */
	bool told; /* the programs know it */
	bool said; /* that its socket cannot be used */
};

void local_init(struct datapath *dp)
{
	struct local *l = &dp->local;

	l->program = l->link = l->tcp = l->udp = l->events = l->wanted_map = -1;
}

static void close_fd(int *fd)
{
	clean_close(fd);
	*fd = -1;
}

static void close_loaded(struct local *l)
{
	if (l->changed)
		event_free(l->changed);
	l->changed = NULL;
	if (l->ring)
		ring_buffer__free(l->ring);
	l->ring = NULL;
	close_fd(&l->program);
	close_fd(&l->tcp);
	close_fd(&l->udp);
	close_fd(&l->events);
	close_fd(&l->wanted_map);
	for (size_t i = 0; i < l->n_wanted; i++)
		l->wanted[i].told = false;
	l->loaded = false;
}

void local_close(struct datapath *dp)
{
	struct local *l = &dp->local;

	close_loaded(l);
	if (l->look)
		event_free(l->look);
	l->look = NULL;
	close_fd(&l->link);
	free(l->wanted);
	l->wanted = NULL;
	l->n_wanted = 0;
	l->soon = l->known = false;
}

/* ---- what is looked for: sorted ---- */

static int by_bound(const void *a, const void *b)
{
	return memcmp(&((const struct wanted *)a)->at, &((const struct wanted *)b)->at, sizeof(struct shunt_bound));
}

static struct wanted *find(struct wanted *list, size_t n, const struct shunt_bound *at)
{
	const struct wanted key = { .at = *at };

	return n ? bsearch(&key, list, n, sizeof(*list), by_bound) : NULL;
}

static void add(struct wanted *list, size_t *n, const struct addr *a, uint16_t port, uint8_t proto)
{
	list[(*n)++] = (struct wanted){ .at = { .addr = dp_addr(a), .port = htons(port), .proto = proto } };
}

static void add_service(struct wanted *list, size_t *n, const struct service *s, uint8_t proto)
{
	static const struct addr every4 = IP4_ANY, every;
	bool has = false;

	for (size_t i = 0; i < s->n_listens; i++)
		has |= s->listens[i].proto == proto;
	for (size_t i = 0; has && i < s->n_backends; i++) {
		const struct endpoint *at = &s->backends[i].at;

		add(list, n, &at->addr, at->port, proto);
		if (addr_is4(&at->addr))
			add(list, n, &every4, at->port, proto);
		add(list, n, &every, at->port, proto);
	}
}

static size_t sort(struct wanted *list, size_t n)
{
	size_t kept = 0;

	qsort(list, n, sizeof(*list), by_bound);
	for (size_t i = 0; i < n; i++)
		if (!kept || by_bound(&list[kept - 1], &list[i]))
			list[kept++] = list[i];
	return kept;
}

/* What c looks for, with room for `more`. NULL: out of memory. */
static struct wanted *collect(const struct config *c, size_t more, size_t *n)
{
	struct wanted *list;
	size_t room = more + 1;

	for (size_t i = 0; i < c->n_services; i++)
		room += c->services[i].forward == FORWARD_LOCAL ? 6 * c->services[i].n_backends : 0;
	list = calloc(room, sizeof(*list));
	*n = 0;
	for (size_t i = 0; list && i < c->n_services; i++) {
		if (c->services[i].forward != FORWARD_LOCAL)
			continue;
		add_service(list, n, &c->services[i], IPPROTO_TCP);
		add_service(list, n, &c->services[i], IPPROTO_UDP);
	}
	if (list)
		*n = sort(list, *n);
	return list;
}

/* Nobody looks for it any more. */
static void drop(struct datapath *dp, const struct shunt_bound *at)
{
	struct shunt_bound key = *at;

	bpf_map_delete_elem(dp->local.wanted_map, &key);
	for (key.place = 0; key.place < SHUNT_BOUND_PLACES; key.place++)
		bpf_map_delete_elem(dp->maps[MAP_LOCAL_SOCKETS], &key);
}

/*
 * Those of before that are not in the list, which has room for them: c may not be in force yet, and until it is their
 * servers are still asked for, so they are dropped by the second call that does not name them.
 */
static size_t keep_old(struct datapath *dp, struct wanted *list, size_t named)
{
	const struct local *l = &dp->local;
	size_t n = named;

	for (size_t i = 0; i < l->n_wanted; i++) {
		const struct wanted *old = &l->wanted[i];
		struct wanted *same = find(list, named, &old->at);

		if (same)
			*same = (struct wanted){ .at = old->at, .told = old->told, .said = old->said };
		else if (old->stays)
			drop(dp, &old->at);
		else
			list[n++] = (struct wanted){ .at = old->at, .told = old->told, .stays = true };
	}
	return n;
}

static int tell(struct local *l)
{
	const uint32_t value = 1;

	for (size_t i = 0; i < l->n_wanted; i++) {
		struct wanted *w = &l->wanted[i];

		if (!w->told && bpf_map_update_elem(l->wanted_map, &w->at, &value, BPF_ANY))
			return -errno;
		w->told = true;
	}
	return 0;
}

static int follow(struct datapath *dp, const struct config *c)
{
	struct local *l = &dp->local;
	struct wanted *list;
	size_t n;
	int err;

	list = collect(c, l->n_wanted, &n);
	if (!list)
		return -ENOMEM;
	n = keep_old(dp, list, n);
	free(l->wanted);
	l->wanted = list;
	l->n_wanted = sort(list, n);
	l->has_udp = false;
	for (size_t i = 0; i < l->n_wanted; i++)
		l->has_udp |= list[i].at.proto == IPPROTO_UDP;
	err = tell(l);
	return err ? err_r(err, "forward: local: %zu sockets to look for are too many: %s", n, strerror(-err)) : 0;
}

/* What a daemon before this one found holds until its successor knows better. */
static int read_found(struct datapath *dp)
{
	struct local *l = &dp->local;
	const struct shunt_bound *last = NULL;
	struct shunt_bound key;
	struct wanted *more;

	l->known = true;
	for (; !bpf_map_get_next_key(dp->maps[MAP_LOCAL_SOCKETS], last, &key); last = &key) {
		more = reallocarray(l->wanted, l->n_wanted + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->wanted = more;
		more[l->n_wanted] = (struct wanted){ .at = key };
		more[l->n_wanted++].at.place = 0;
	}
	l->n_wanted = sort(l->wanted, l->n_wanted);
	return 0;
}

/* ---- walks ---- */

static void complain(struct datapath *dp, const struct shunt_unusable *u)
{
	struct wanted *w = find(dp->local.wanted, dp->local.n_wanted, &u->bound);
	struct endpoint at = { .port = ntohs(u->bound.port) };
	char text[ENDPOINT_TEXT];

	if (!w || w->said)
		return;
	w->said = true;
	memcpy(at.addr.b, &u->bound.addr, sizeof(at.addr.b));
	log_warn("forward: local: the server's socket on %s cannot be used: %s%s", endpoint_format(&at, text),
		 strerror(-u->error),
		 u->bound.proto == IPPROTO_TCP ? " (is it one of Multipath TCP? Let the server open a plain TCP socket; "
						 "programs in Go do so with GODEBUG=multipathtcp=0)" :
						 "");
}

static int walk(struct datapath *dp, int iterator)
{
	_cleanup_close_ int fd = bpf_iter_create(iterator);
	struct shunt_unusable u;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, &u, sizeof(u))) == sizeof(u) && u.bound.port)
		complain(dp, &u);
	return n < 0 ? -errno : 0;
}

static int walk_all(struct datapath *dp, bool tcp, bool udp)
{
	int err = tcp ? walk(dp, dp->local.tcp) : 0;

	if (!err && udp)
		err = walk(dp, dp->local.udp);
	if (err)
		log_warn("forward: local: the listening sockets of this host cannot be listed: %s", strerror(-err));
	return err;
}

static void walk_after(struct local *l, long seconds, long us)
{
	const struct timeval t = { seconds, us };

	if (l->look)
		event_add(l->look, &t);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct datapath *dp = arg;
	struct local *l = &dp->local;
	bool soon = l->soon;

	(void)fd;
	(void)what;
	l->soon = false;
	if (!l->loaded)
		return;
	walk_all(dp, soon, l->has_udp);
	if (l->has_udp)
		walk_after(l, UDP_SECONDS, 0);
}

static int on_listening(void *arg, void *data, size_t size)
{
	struct local *l = arg;

	(void)data;
	(void)size;
	if (!l->soon)
		walk_after(l, 0, SOON_US);
	l->soon = true;
	return 0;
}

static void on_changed(evutil_socket_t fd, short what, void *arg)
{
	struct local *l = arg;

	(void)fd;
	(void)what;
	ring_buffer__consume(l->ring);
}

/* ---- loading ---- */

static bool is_needed(const struct datapath *dp, const struct config *c)
{
	const struct shunt_service *services = dp->mapped[MAP_SERVICES];
	uint32_t flags = 0;

	for (size_t i = 0; i < c->n_services; i++)
		flags |= c->services[i].forward == FORWARD_LOCAL ? SHUNT_SERVICE_LOCAL : 0;
	for (uint32_t i = 0; i < dp->limits.services; i++)
		flags |= services[i].flags;
	return flags & SHUNT_SERVICE_LOCAL;
}

/* Of all the settings those that say anything to these programs. */
static void fill(struct shunt_settings *s, const struct datapath *dp, const struct config *c, bool any_port)
{
	struct shunt_settings all;

	settings_fill(&all, dp, c, any_port);
	memset(s, 0, sizeof(*s));
	s->seed = all.seed;
	s->listener_shift = all.listener_shift;
	s->features = all.features & (SHUNT_FEATURE_ANY_PORT | SHUNT_FEATURE_AFFINITY);
	if (dp->has.traced_cookie)
		s->features |= SHUNT_FEATURE_TRACED_COOKIE;
}

static int program(const struct bpf_object *obj, const char *name)
{
	return bpf_program__fd(bpf_object__find_program_by_name(obj, name));
}

static int take_lookup(struct local *l, int fd)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	l->id = info.id;
	l->program = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return l->program < 0 ? -errno : 0;
}

/* Without a loop nobody follows what changes: dp_configure alone walks. */
static int follow_events(struct datapath *dp, int ring)
{
	struct local *l = &dp->local;

	if (!dp->clients.base)
		return 0;
	l->ring = ring_buffer__new(ring, on_listening, l, NULL);
	if (!l->ring)
		return -errno;
	if (!l->look)
		l->look = event_new(dp->clients.base, -1, 0, on_look, dp);
	l->changed = event_new(dp->clients.base, ring_buffer__epoll_fd(l->ring), EV_READ | EV_PERSIST, on_changed, l);
	return l->look && l->changed && !event_add(l->changed, NULL) ? 0 : -ENOMEM;
}

static int take(struct datapath *dp, const struct bpf_object *obj)
{
	struct local *l = &dp->local;
	int err = take_lookup(l, program(obj, "shunt_lookup"));

	if (err)
		return err;
	l->wanted_map = fcntl(bpf_object__find_map_fd_by_name(obj, "wanted"), F_DUPFD_CLOEXEC, 0);
	l->tcp = bpf_link_create(program(obj, "shunt_tcp"), 0, BPF_TRACE_ITER, NULL);
	l->udp = bpf_link_create(program(obj, "shunt_udp"), 0, BPF_TRACE_ITER, NULL);
	l->events = bpf_link_create(program(obj, "shunt_listening"), 0, BPF_TRACE_RAW_TP, NULL);
	if (l->wanted_map < 0 || l->tcp < 0 || l->udp < 0 || l->events < 0)
		return -errno;
	return follow_events(dp, bpf_object__find_map_fd_by_name(obj, "listening"));
}

static int load(struct datapath *dp, const struct shunt_settings *settings)
{
	_cleanup_(skeleton_close) struct skeleton skel = {};
	struct local *l = &dp->local;
	int err = skeleton_local(&skel);

	if (err)
		return err_r(err, "cannot read the built-in programs: %s", strerror(-err));
	*skel.settings = *settings;
	err = object_load(dp, &skel);
	if (err)
		return err;
	close_loaded(l);
	err = take(dp, skel.obj);
	if (err) {
		close_loaded(l);
		return err_r(err, "forward: local: cannot look for listening sockets: %s", strerror(-err));
	}
	l->settings = *settings;
	l->loaded = true;
	return 0;
}

/* ---- attaching ---- */

static int link_info(int link, uint64_t *netns, uint32_t *prog)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(link, &info, &len))
		return -errno;
	*netns = info.netns.netns_ino;
	*prog = info.prog_id;
	return 0;
}

static void detach(struct datapath *dp)
{
	struct local *l = &dp->local;

	if (l->link < 0)
		l->link = pin_get(dp->pins, LOOKUP_PIN);
	if (l->link >= 0)
		bpf_link_detach(l->link);
	close_fd(&l->link);
	pin_remove(dp->pins, LOOKUP_PIN);
}

static int create(struct datapath *dp, int netns)
{
	_cleanup_close_ int link = -1;
	char path[PIN_PATH];
	int err = pin_path(dp->pins, LOOKUP_PIN, path);

	if (err)
		return err;
	link = bpf_link_create(dp->local.program, netns, BPF_SK_LOOKUP, NULL);
	if (link < 0 || bpf_obj_pin(link, path)) {
		err = -errno;
		return err_r(err, "forward: local: cannot attach the program shunt_lookup to the network namespace: %s",
			     strerror(-err));
	}
	dp->local.link = TAKE_FD(link);
	return 0;
}

/* A link that is there is kept, unless it is on another namespace, and its program replaced in one step. */
static int attach(struct datapath *dp)
{
	_cleanup_close_ int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct local *l = &dp->local;
	uint32_t prog = 0;
	uint64_t on = 0;
	struct stat st;

	if (netns < 0 || fstat(netns, &st))
		return -errno;
	if (l->link < 0)
		l->link = pin_get(dp->pins, LOOKUP_PIN);
	if (l->link >= 0 && (link_info(l->link, &on, &prog) || on != st.st_ino))
		detach(dp);
	if (l->link < 0)
		return create(dp, netns);
	return prog == l->id || !bpf_link_update(l->link, l->program, NULL) ? 0 : -errno;
}

/* ---- all of it ---- */

static void turn_off(struct datapath *dp)
{
	struct shunt_bound key;

	if (dp->local.off)
		return;
	detach(dp);
	local_close(dp);
	dp->local.off = true;
	while (!bpf_map_get_next_key(dp->maps[MAP_LOCAL_SOCKETS], NULL, &key) &&
	       !bpf_map_delete_elem(dp->maps[MAP_LOCAL_SOCKETS], &key))
		;
}

static int make_ready(struct datapath *dp, const struct config *c, bool any_port)
{
	struct local *l = &dp->local;
	struct shunt_settings settings;
	int err = l->known ? 0 : read_found(dp);

	l->off = false;
	fill(&settings, dp, c, any_port);
	if (!err && (!l->loaded || memcmp(&l->settings, &settings, sizeof(settings))))
		err = load(dp, &settings);
	if (!err)
		err = follow(dp, c);
	return err ? err : walk_all(dp, true, l->has_udp);
}

int local_configure(struct datapath *dp, const struct config *c, bool any_port)
{
	int err;

	if (!is_needed(dp, c)) {
		turn_off(dp);
		return 0;
	}
	if (!dp->has.sk_lookup)
		return err_r(-EOPNOTSUPP, "forward: local: this kernel has no programs that choose a packet's socket (Linux 5.9, "
					  "CONFIG_BPF_SYSCALL and CONFIG_INET)");
	err = make_ready(dp, c, any_port);
	if (!err)
		err = attach(dp);
	if (!err && dp->local.has_udp && !dp->local.soon)
		walk_after(&dp->local, UDP_SECONDS, 0);
	return err;
}
