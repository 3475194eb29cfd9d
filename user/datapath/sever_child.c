/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The process's side: it waits for a request, does it, replies. It keeps the privileges for that and no other. */
#include "datapath/sever_child.h"

#include <bpf/bpf.h>
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/clean.h"
#include "base/log.h"
#include "datapath/namespaces.h"
#include "datapath/sock_diag.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct child {
	int sock, link; /* link: -1: none was given yet */
	int home; /* its own network namespace */
};

/* ---- a look: all connections that are to end, by network namespace ---- */

struct connections {
	struct shunt_connection *list;
	size_t n, room; /* room: bytes */
};

static void connections_free(struct connections *c)
{
	free(c->list);
}

static int make_room(struct connections *c, size_t used)
{
	const size_t step = 256 * sizeof(*c->list);
	void *list;

	if (used < c->room)
		return 0;
	list = realloc(c->list, c->room * 2 + step);
	if (!list)
		return -ENOMEM;
	c->list = list;
	c->room = c->room * 2 + step;
	return 0;
}

/* All of them before the first is ended, so that the iterator's place stays what it was. */
static int read_all(int link, struct connections *c)
{
	_cleanup_close_ int iter = bpf_iter_create(link);
	size_t used = 0;
	ssize_t len = 1;

	if (iter < 0)
		return iter;
	while (len) {
		if (make_room(c, used))
			return -ENOMEM;
		len = read(iter, (char *)c->list + used, c->room - used);
		if (len < 0 && errno != EAGAIN && errno != EINTR) /* EAGAIN: it went far without meeting any */
			return -errno;
		used += len > 0 ? len : 0;
	}
	c->n = used / sizeof(*c->list);
	return 0;
}

/* A socket that is closed, and not yet let go of by its process, has nothing left to end. */
static bool is_to_end(const struct shunt_connection *c)
{
	return c->flags & SHUNT_CONNECTION_ENDS && c->state != TCP_CLOSE;
}

static void keep_those_to_end(struct connections *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++)
		if (is_to_end(&c->list[i]))
			c->list[kept++] = c->list[i];
	c->n = kept;
}

static int compare_place(const void *a, const void *b)
{
	const struct shunt_connection *x = a, *y = b;

	return x->netns != y->netns ? (x->netns > y->netns) - (x->netns < y->netns) : x->proto - y->proto;
}

static void __attribute__((format(printf, 3, 4))) failed(struct sever_report *r, uint32_t n, const char *fmt, ...)
{
	va_list args;

	r->failed += n;
	if (r->problem[0])
		return;
	va_start(args, fmt);
	vsnprintf(r->problem, sizeof(r->problem), fmt, args);
	va_end(args);
}

static void not_supported(struct sever_report *r, uint8_t proto)
{
	const char *name = proto == IPPROTO_UDP ? "udp" : "tcp";

	failed(r, 1, "this kernel does not end connections of %s: it lacks CONFIG_INET_DIAG_DESTROY or the module "
	       "%s_diag (try `modprobe %s_diag`)", name, name, name);
}

/* Returns how many were not found; they are first in the list then. */
static size_t end_each(struct nl *nl, struct shunt_connection *list, size_t n, struct sever_report *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		int err = sock_diag_end(nl, &list[i]);

		if (!err)
			r->ended++;
		else if (err == -ENOENT)
			list[kept++] = list[i];
		else if (err == -EOPNOTSUPP)
			not_supported(r, list[i].proto);
		else
			failed(r, 1, "a connection in network namespace %u cannot be ended: %s", list[i].netns,
			       strerror(-err));
	}
	return kept;
}

static void count_gone(struct nl *nl, const struct shunt_connection *list, size_t n, struct sever_report *r)
{
	bool known = true;

	for (size_t i = 0; i < n; i++) {
		if (!i || list[i].proto != list[i - 1].proto)
			known = sock_diag_knows(nl, list[i].proto);
		if (known)
			r->gone++;
		else
			not_supported(r, list[i].proto);
	}
}

/*
 * Of UDP sockets that share all addresses the kernel finds always the same one, until that has ended. So those that
 * were not found are tried again for as long as others end.
 */
static void end_list(struct nl *nl, struct shunt_connection *list, size_t n, struct sever_report *r)
{
	uint32_t before;

	do {
		before = r->ended;
		n = end_each(nl, list, n, r);
	} while (n && r->ended > before);
	count_gone(nl, list, n, r);
}

static void clean_nl(struct nl *nl)
{
	nl_close(nl);
}

/* A request that is made from nowhere known would be answered for other sockets than meant. */
static void go_home(const struct child *c)
{
	if (namespace_enter(c->home)) {
		log_error("the process that ends connections cannot return to its network namespace: it ends");
		_exit(EXIT_FAILURE);
	}
}

/* A netlink socket stays in the namespace in which it was opened. */
static int open_there(const struct child *c, struct namespaces *known, uint32_t netns, struct nl *nl)
{
	_cleanup_close_ int fd = namespaces_open(known, netns);
	int err = fd < 0 ? fd : namespace_enter(fd);

	if (err)
		return err;
	err = sock_diag_open(nl);
	go_home(c);
	return err;
}

/* n connections of one namespace */
static void end_in(const struct child *c, struct namespaces *known, struct shunt_connection *list, size_t n,
		   struct sever_report *r)
{
	_cleanup_(clean_nl) struct nl nl = {};
	int err = open_there(c, known, list->netns, &nl);

	if (err == -ENOENT)
		failed(r, n, "connections cannot be ended in network namespace %u: neither /run/netns nor a process "
		       "that is seen here shows it; restart what is connected there", list->netns);
	else if (err == -EPROTONOSUPPORT)
		failed(r, n, "this kernel does not end connections: it lacks CONFIG_INET_DIAG or the module inet_diag");
	else if (err)
		failed(r, n, "connections cannot be ended in network namespace %u: %s", list->netns, strerror(-err));
	else
		end_list(&nl, list, n, r);
}

static void end_all(const struct child *c, struct connections *all, struct sever_report *r)
{
	struct namespaces known = {};

	if (all->n)
		qsort(all->list, all->n, sizeof(*all->list), compare_place);
	for (size_t i = 0, n; i < all->n; i += n) {
		for (n = 1; i + n < all->n && all->list[i + n].netns == all->list[i].netns; n++)
			;
		end_in(c, &known, &all->list[i], n, r);
	}
	namespaces_clear(&known);
}

static void look(const struct child *c, struct sever_report *r)
{
	_cleanup_(connections_free) struct connections all = {};
	int err = c->link < 0 ? -ENOENT : read_all(c->link, &all);

	if (err) {
		failed(r, 0, "connections to end cannot be listed: %s", strerror(-err));
		return;
	}
	keep_those_to_end(&all);
	r->found = all.n;
	end_all(c, &all, r);
}

/* ---- the cookie of a namespace ---- */

static int read_cookie(uint64_t *cookie)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(*cookie);

	return fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length) ? -errno : 0;
}

static int ask_cookie(const struct child *c, const char *path, uint64_t *cookie)
{
	_cleanup_close_ int fd = namespace_open(path);
	int err = fd < 0 ? fd : namespace_enter(fd);

	if (err)
		return err;
	err = read_cookie(cookie);
	go_home(c);
	return err;
}

static int netns(const struct child *c, const char *path, uint64_t *cookie, char problem[SEVER_PROBLEM])
{
	int err = ask_cookie(c, path, cookie);

	if (err == -EINVAL)
		snprintf(problem, SEVER_PROBLEM, "%.150s is no network namespace: name a file such as /run/netns/blue",
			 path);
	else if (err == -ENOPROTOOPT)
		snprintf(problem, SEVER_PROBLEM, "%.120s: this kernel does not tell network namespaces apart "
			 "(SO_NETNS_COOKIE, Linux 5.14): name cgroups instead", path);
	else if (err)
		snprintf(problem, SEVER_PROBLEM, "network namespace %.150s cannot be entered: %s", path,
			 strerror(-err));
	return err;
}

/* ---- requests ---- */

static void take_link(struct child *c, struct msghdr *h, struct sever_reply *reply)
{
	const struct cmsghdr *m = CMSG_FIRSTHDR(h);

	if (!m || m->cmsg_type != SCM_RIGHTS || m->cmsg_len != CMSG_LEN(sizeof(c->link))) {
		reply->err = -EBADF;
		failed(&reply->report, 0, "the process that ends connections did not get the link of their iterator");
		return;
	}
	if (c->link >= 0)
		close(c->link);
	memcpy(&c->link, CMSG_DATA(m), sizeof(c->link));
}

/* False: there is nobody any more to serve. */
static bool serve(struct child *c)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct sever_request m = {};
	struct sever_reply reply = {};
	struct iovec part = { &m, sizeof(m) };
	struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t len = recvmsg(c->sock, &h, MSG_CMSG_CLOEXEC);

	if (len <= 0)
		return len < 0 && errno == EINTR;
	switch (m.kind) {
	case SEVER_LINK: take_link(c, &h, &reply); break;
	case SEVER_LOOK: look(c, &reply.report); break;
	case SEVER_NETNS: reply.err = netns(c, m.path, &reply.cookie, reply.report.problem); break;
	}
	return send(c->sock, &reply, sizeof(reply), MSG_NOSIGNAL) == sizeof(reply);
}

/* ---- being a process of its own ---- */

/* It ends with the daemon, not by a Ctrl-C or a signal to all of a service, at which the daemon may still need it. */
static void be_deaf(void)
{
	static const int meant_for_the_daemon[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	for (size_t i = 0; i < ARRAY_SIZE(meant_for_the_daemon); i++)
		signal(meant_for_the_daemon[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns the one descriptor that is left, beside standard error. */
static int close_others(int sock)
{
	int kept = fcntl(sock, F_DUPFD_CLOEXEC, 3), nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (kept < 0 || nothing < 0)
		_exit(EXIT_FAILURE);
	dup2(nothing, STDIN_FILENO);
	dup2(nothing, STDOUT_FILENO);
	for (int fd = 3; fd < kept; fd++)
		close(fd);
	closefrom(kept + 1);
	return kept;
}

/* SYS_ADMIN enters namespaces and reads the iterator, NET_ADMIN ends sockets, the others see which namespaces exist. */
static void keep_privileges(void)
{
	static const unsigned needed[] = { CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH };
	bool has[ARRAY_SIZE(needed)];

	capng_get_caps_process();
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		has[i] = capng_have_capability(CAPNG_PERMITTED, needed[i]);
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (has[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, needed[i]);
	if (capng_apply(CAPNG_SELECT_BOTH))
		log_warn("the process that ends connections could not drop capabilities: going on with all of them");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void sever_child(int sock)
{
	struct child c = { .link = -1 };

	be_deaf();
	prctl(PR_SET_NAME, "shuntd-ender");
	c.sock = close_others(sock);
	c.home = namespace_open("/proc/self/ns/net");
	if (c.home < 0) {
		log_error("the process that ends connections does not see its network namespace: is /proc mounted?");
		_exit(EXIT_FAILURE);
	}
	keep_privileges();
	while (serve(&c))
		;
	_exit(EXIT_SUCCESS);
}
