/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For which processes a service is: the map `clients` follows the cgroups and network namespaces that the configuration
 * names, which come and go, and have another number each time.
 */
#include "datapath/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datapath/cgroup.h"
#include "datapath/sever.h"

/* One path that somebody named. */
struct named {
	struct named *next;
	struct datapath *dp;
	uint32_t service; /* SHUNT_UNSET: left alone */
	uint32_t kind; /* SHUNT_CLIENT_* */
	uint64_t id; /* as it stands in the map; 0: it does not */
	bool asked; /* its number is on its way */
	bool gone; /* ... and nobody wants it any more */
	ino_t file; /* of a namespace, when its number was asked for; 0: never. Numbers come again, at another time */
	struct timespec made;
	char path[];
};

/* ---- the map ---- */

/* Does another path lead to the same number? */
static bool is_shared(const struct datapath *dp, const struct named *n)
{
	for (const struct named *o = dp->clients.first; o; o = o->next)
		if (o != n && o->id == n->id && o->service == n->service && o->kind == n->kind)
			return true;
	return false;
}

/* ---- what the daemon before left: it holds until its successor has looked up the same, or did not ---- */

static int read_old(struct datapath *dp)
{
	struct clients *c = &dp->clients;
	struct shunt_client key, *more;
	const struct shunt_client *last = NULL;

	c->known = true;
	while (!bpf_map_get_next_key(dp->maps[MAP_CLIENTS], last, &key)) {
		more = reallocarray(c->old, c->n_old + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->old = more;
		c->old[c->n_old] = key;
		last = &c->old[c->n_old++];
	}
	return 0;
}

static void claim_old(struct datapath *dp, const struct shunt_client *key)
{
	struct clients *c = &dp->clients;

	for (size_t i = 0; i < c->n_old; i++)
		if (!memcmp(&c->old[i], key, sizeof(*key)))
			c->old[i--] = c->old[--c->n_old];
}

static void drop_old(struct datapath *dp)
{
	struct clients *c = &dp->clients;

	while (c->n_old)
		bpf_map_delete_elem(dp->maps[MAP_CLIENTS], &c->old[--c->n_old]);
}

/* ---- numbers ---- */

static void set_id(struct datapath *dp, struct named *n, uint64_t id)
{
	struct shunt_client key = { .id = n->id, .service = n->service, .kind = n->kind };
	const __u32 value = 1;

	if (n->id == id)
		return;
	if (n->id && !is_shared(dp, n))
		bpf_map_delete_elem(dp->maps[MAP_CLIENTS], &key);
	n->id = key.id = id;
	claim_old(dp, &key);
	if (id && bpf_map_update_elem(dp->maps[MAP_CLIENTS], &key, &value, BPF_ANY))
		log_error("clients: the kernel does not take %s: %s", n->path, strerror(errno));
}

/* ---- numbers of paths ---- */

static uint64_t cgroup_number(const struct datapath *dp, const char *path)
{
	unsigned level;
	uint64_t id;

	return cgroup_id(dp->sockets.cgroup, path, &id, &level) ? 0 : id;
}

static void free_named(struct named *n)
{
	if (n->asked)
		n->gone = true; /* until the answer is here */
	else
		free(n);
}

static void on_cookie(void *arg, int err, uint64_t cookie, const char *problem)
{
	struct named *n = arg;

	n->asked = false;
	if (n->gone) {
		free(n);
		return;
	}
	if (err) {
		log_debug("clients: %s: %s", n->path, problem);
		n->file = 0; /* the next look asks again */
	}
	set_id(n->dp, n, err ? 0 : cookie);
}

/* Is it another namespace than at the last look, as far as can be seen from here? */
static bool is_new_namespace(struct named *n)
{
	struct stat st = {};
	bool same;

	stat(n->path, &st);
	same = st.st_ino && st.st_ino == n->file && !memcmp(&st.st_ctim, &n->made, sizeof(n->made));
	n->file = st.st_ino;
	n->made = st.st_ctim;
	return !same;
}

static void look_up(struct datapath *dp, struct named *n)
{
	if (n->kind == SHUNT_CLIENT_CGROUP)
		set_id(dp, n, cgroup_number(dp, n->path));
	else if (!n->asked && dp->clients.sever && is_new_namespace(n))
		n->asked = !sever_netns(dp->clients.sever, n->path, on_cookie, n);
}

static bool is_asking(const struct datapath *dp)
{
	for (const struct named *n = dp->clients.first; n; n = n->next)
		if (n->asked)
			return true;
	return false;
}

/* The first time services have not named theirs yet, and then their namespaces are still being asked for. */
void clients_refresh(struct datapath *dp)
{
	if (dp->clients.refreshed && !is_asking(dp))
		drop_old(dp);
	dp->clients.refreshed = true;
	for (struct named *n = dp->clients.first; n; n = n->next)
		look_up(dp, n);
}

static void on_cgroups(void *arg)
{
	clients_refresh(arg);
}

/* ---- what is watched ---- */

/* Paths of cgroups, as the watch takes them; free() the list. */
static size_t watched(const struct datapath *dp, char ***out)
{
	size_t n = 0;

	for (const struct named *i = dp->clients.first; i; i = i->next)
		n++;
	*out = calloc(n + 1, sizeof(**out));
	n = 0;
	for (struct named *i = dp->clients.first; i && *out; i = i->next)
		if (i->kind == SHUNT_CLIENT_CGROUP)
			(*out)[n++] = i->path;
	return n;
}

static void watch(struct datapath *dp)
{
	_cleanup_free_ char **paths = NULL;
	size_t n = watched(dp, &paths);
	int err = 0;

	if (!paths || !dp->clients.base || (!n && !dp->clients.watch))
		return;
	if (!dp->clients.watch)
		err = cgroup_watch_new(dp->clients.base, dp->sockets.cgroup, on_cgroups, dp, &dp->clients.watch);
	if (!err)
		cgroup_watch_set(dp->clients.watch, paths, n);
}

/* ---- from outside ---- */

static struct named *find(struct datapath *dp, uint32_t service, uint32_t kind, const char *path)
{
	for (struct named *n = dp->clients.first; n; n = n->next)
		if (n->service == service && n->kind == kind && !strcmp(n->path, path))
			return n;
	return NULL;
}

static int add(struct datapath *dp, uint32_t service, uint32_t kind, const struct texts *paths, bool *changed)
{
	for (size_t i = 0; paths && i < paths->n; i++) {
		size_t size = strlen(paths->list[i]) + 1;
		struct named *n = find(dp, service, kind, paths->list[i]);

		if (n)
			continue;
		n = calloc(1, sizeof(*n) + size);
		if (!n)
			return -ENOMEM;
		n->dp = dp;
		n->service = service;
		n->kind = kind;
		memcpy(n->path, paths->list[i], size);
		n->next = dp->clients.first;
		dp->clients.first = n;
		look_up(dp, n);
		*changed = true;
	}
	return 0;
}

static void drop(struct datapath *dp, uint32_t service, uint32_t kind, const struct texts *keep, bool *changed)
{
	for (struct named **at = &dp->clients.first; *at;) {
		struct named *n = *at;

		if (n->service != service || n->kind != kind || (keep && texts_have(keep, n->path))) {
			at = &n->next;
			continue;
		}
		set_id(dp, n, 0);
		*at = n->next;
		free_named(n);
		*changed = true;
	}
}

int dp_clients_set(struct datapath *dp, uint32_t service, const struct texts *cgroups, const struct texts *namespaces)
{
	bool changed = false;
	int err;

	if (dp->sockets.cgroup < 0)
		return 0;
	err = dp->clients.known ? 0 : read_old(dp);
	if (!err)
		err = add(dp, service, SHUNT_CLIENT_CGROUP, cgroups, &changed);
	if (!err)
		err = add(dp, service, SHUNT_CLIENT_NETNS, namespaces, &changed);
	drop(dp, service, SHUNT_CLIENT_CGROUP, cgroups, &changed);
	drop(dp, service, SHUNT_CLIENT_NETNS, namespaces, &changed);
	if (!err && changed)
		watch(dp); /* says why it cannot; then they are noticed when they are looked up again */
	return err;
}

void dp_clients_unknown(const struct datapath *dp, dp_unknown_fn fn, void *arg)
{
	for (const struct named *n = dp->clients.first; n; n = n->next)
		if (!n->id && !n->asked)
			fn(arg, n->service, n->path);
}

uint32_t clients_levels(const struct datapath *dp, const struct texts *paths)
{
	uint32_t levels = 0;

	for (size_t i = 0; i < paths->n; i++) {
		unsigned level = dp->sockets.level;

		for (const char *p = paths->list[i]; *p; p++)
			level += p[0] == '/' && p[1];
		levels |= level < 32 ? 1u << level : 0;
	}
	return levels;
}

void dp_follow_sockets(struct datapath *dp, struct event_base *base, struct sever *sever)
{
	dp->clients.base = base;
	dp->clients.sever = sever;
}

void clients_close(struct datapath *dp)
{
	free(dp->clients.old);
	dp->clients.old = NULL;
	dp->clients.n_old = 0;
	cgroup_watch_free(dp->clients.watch);
	dp->clients.watch = NULL;
	while (dp->clients.first) {
		struct named *n = dp->clients.first;

		dp->clients.first = n->next;
		free_named(n);
	}
}
