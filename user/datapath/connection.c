/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections that sockets were given: the program that counts out those that break (pinned as hook_errors, so that
 * counts are true while the daemon is gone), and the iterators that list them.
 */
#include "datapath/internal.h"
#include "datapath/skeleton.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "datapath/sever.h"

#define ERRORS_PIN "hook_errors"

/* An iterator over what is noted of sockets. */
static int make_iterator(const struct datapath *dp, struct bpf_object *obj, const char *name)
{
	union bpf_iter_link_info on = { .map.map_fd = dp->maps[MAP_PEERS] };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &on, .iter_info_len = sizeof(on));
	int fd = bpf_link_create(bpf_program__fd(bpf_object__find_program_by_name(obj, name)), 0, BPF_TRACE_ITER, &opts);

	return fd < 0 ? -errno : fd;
}

static int tag_of(int prog, struct bpf_prog_info *out)
{
	__u32 len = sizeof(*out);

	memset(out, 0, len);
	return bpf_obj_get_info_by_fd(prog, out, &len) ? -errno : 0;
}

/* Does the link of the daemon before run the very same program? */
static bool is_attached(const struct datapath *dp, int prog)
{
	_cleanup_close_ int link = pin_get(dp->pins, ERRORS_PIN), old = -1;
	struct bpf_link_info info = {};
	struct bpf_prog_info a, b;
	__u32 len = sizeof(info);

	if (link < 0 || bpf_obj_get_info_by_fd(link, &info, &len))
		return false;
	old = bpf_prog_get_fd_by_id(info.prog_id);
	return old >= 0 && !tag_of(old, &a) && !tag_of(prog, &b) && !memcmp(a.tag, b.tag, sizeof(a.tag));
}

/*
 * Links to tracepoints take no other program. The one of the daemon before counts until this one does: who counts out
 * takes the note away, so none is twice.
 */
static int attach_errors(struct datapath *dp, struct bpf_object *obj)
{
	int prog = bpf_program__fd(bpf_object__find_program_by_name(obj, "shunt_errors")), err;
	_cleanup_close_ int link = -1;
	char path[PIN_PATH];

	if (is_attached(dp, prog))
		return 0;
	link = bpf_link_create(prog, 0, BPF_TRACE_RAW_TP, NULL);
	err = link < 0 ? -errno : pin_path(dp->pins, ERRORS_PIN, path);
	if (!err)
		err = pin_remove(dp->pins, ERRORS_PIN);
	if (!err && bpf_obj_pin(link, path))
		err = -errno;
	return err;
}

static int load(struct datapath *dp, bool errors, struct skeleton *skel)
{
	int err = skeleton_connection(skel);

	if (err)
		return err;
	memset(skel->settings, 0, sizeof(*skel->settings));
	bpf_program__set_autoload(bpf_object__find_program_by_name(skel->obj, "shunt_errors"), errors);
	return object_load(dp, skel);
}

int connections_open(struct datapath *dp)
{
	_cleanup_(skeleton_close) struct skeleton skel = {};
	struct tracking_links *t = &dp->connections;
	int err;

	if (t->open)
		return 0;
	err = load(dp, dp->has.socket_errors, &skel);
	if (!err && dp->has.socket_errors)
		err = attach_errors(dp, skel.obj);
	if (err)
		return err_r(err, "cgroup: connections cannot be counted: %s", strerror(-err));
	t->list = make_iterator(dp, skel.obj, "shunt_list");
	t->ending = make_iterator(dp, skel.obj, "shunt_ending");
	if (t->list < 0 || t->ending < 0) {
		err = t->list < 0 ? t->list : t->ending;
		connections_close(dp);
		return err_r(err, "cgroup: connections cannot be listed: %s", strerror(-err));
	}
	t->open = true;
	return dp->clients.sever ? sever_set_link(dp->clients.sever, t->ending) : 0;
}

void connections_close(struct datapath *dp)
{
	struct tracking_links *t = &dp->connections;

	clean_close(&t->list);
	clean_close(&t->ending);
	t->list = t->ending = -1;
	t->open = false;
}

void connections_remove(struct datapath *dp)
{
	connections_close(dp);
	pin_remove(dp->pins, ERRORS_PIN);
}

/* Sockets that send without a connection keep what they noted: by another generation it is known to be over. */
static void forget_account(struct shunt_connections *c)
{
	__atomic_store_n(&c->generation, c->generation + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&c->open, 0, __ATOMIC_RELAXED);
}

void connections_forget(struct datapath *dp)
{
	struct shunt_connections *c = dp->mapped[MAP_CONNECTIONS];
	__u64 cookie;

	while (!bpf_map_get_next_key(dp->maps[MAP_PEERS], NULL, &cookie))
		if (bpf_map_delete_elem(dp->maps[MAP_PEERS], &cookie))
			break;
	for (uint32_t i = 0; i < 2 * dp->limits.members; i++)
		if (c[i].open)
			forget_account(&c[i]);
}

static void look(struct datapath *dp)
{
	if (dp->connections.open && dp->clients.sever)
		sever_look(dp->clients.sever);
}

void dp_end_connections(struct datapath *dp)
{
	look(dp);
	dp->connections.look_again = 2;
}

#define QUIET_MAX 30

/*
 * A connect() that was on its way from choosing the backend to the socket's state was not seen by the first look. And once
 * in a while one counts out what is gone without a word (is_gone in connection.bpf.c).
 */
void connections_look_again(struct datapath *dp)
{
	struct tracking_links *t = &dp->connections;

	if (!t->look_again && ++t->quiet < QUIET_MAX)
		return;
	look(dp);
	t->look_again -= t->look_again > 0;
	t->quiet = 0;
}

/*
 * A read fills what it can of 32 KiB, the room that the kernel has for it.
 */
#define READ_AT_ONCE (32768 / sizeof(struct shunt_connection))

int dp_connections_each(struct datapath *dp, dp_connection_fn fn, void *arg)
{
	struct shunt_connection c[READ_AT_ONCE];
	_cleanup_close_ int fd = -1;
	ssize_t n;

	if (!dp->connections.open)
		return 0;
	fd = bpf_iter_create(dp->connections.list);
	if (fd < 0)
		return -errno;
	/* EAGAIN: it went far without meeting any */
	while ((n = read(fd, c, sizeof(c))) > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(*c); i++)
			fn(arg, &c[i]);
	return n < 0 ? -errno : 0;
}
