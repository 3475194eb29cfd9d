/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asks the socket programs what they would do with a connect(): a socket's cookie is put into the map `question`, and
 * its connect() is answered there by the program that runs on the hook, and refused.
 *
 * Programs go by the process that calls, so a process of its own asks, which moves into the cgroup in question. Nothing
 * leaves the host, not even where no program sees the call: in TCP's repair mode connect() and close() send no packet,
 * and UDP's never do.
 */
#include "datapath/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ASK_TIMEOUT_MS 2000 /* it takes about 10 ms, most of it the move */

/* What the asking process may fail at, in its order. */
enum stage { ASKED, MOVING, MAKING };

struct outcome {
	enum stage stage;
	int err; /* errno; 0 with ASKED */
};

struct asker {
	struct shunt_question *question;
	const struct endpoint *to;
	uint8_t proto;
	int procs; /* cgroup.procs of its cgroup */
	int tell; /* end of a pipe */
};

/* ---- the process that asks: it may be forked from one of several threads, so nothing but system calls ---- */

static socklen_t fill_address(const struct endpoint *to, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *six = (void *)out;
	struct sockaddr_in *four = (void *)out;

	memset(out, 0, sizeof(*out));
	if (addr_is4(&to->addr)) {
		four->sin_family = AF_INET;
		four->sin_port = htons(to->port);
		memcpy(&four->sin_addr, to->addr.b + 12, 4);
		return sizeof(*four);
	}
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(to->port);
	memcpy(&six->sin6_addr, to->addr.b, 16);
	return sizeof(*six);
}

/* A socket that cannot send anything; its cookie. A descriptor, or -errno. */
static int make_socket(const struct asker *a, uint64_t *cookie)
{
	int family = addr_is4(&a->to->addr) ? AF_INET : AF_INET6, on = 1;
	int kind = (a->proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK;
	int sock = socket(family, kind, 0);
	socklen_t len = sizeof(*cookie);

	if (sock < 0 || getsockopt(sock, SOL_SOCKET, SO_COOKIE, cookie, &len))
		return -errno;
	if (a->proto != IPPROTO_UDP && setsockopt(sock, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		return -errno;
	return sock;
}

static void put_question(struct shunt_question *q, uint64_t cookie)
{
	memset(&q->trace, 0, sizeof(*q) - offsetof(struct shunt_question, trace));
	__atomic_store_n(&q->cookie, cookie, __ATOMIC_RELEASE);
}

static struct outcome ask(const struct asker *a)
{
	struct sockaddr_storage to;
	socklen_t len = fill_address(a->to, &to);
	uint64_t cookie;
	int sock;

	if (write(a->procs, "0", 1) != 1)
		return (struct outcome){ MOVING, errno };
	sock = make_socket(a, &cookie);
	if (sock < 0)
		return (struct outcome){ MAKING, -sock };
	put_question(a->question, cookie);
	(void)connect(sock, (struct sockaddr *)&to, len); /* what it came to is in the map */
	return (struct outcome){ ASKED, 0 };
}

static void __attribute__((noreturn)) asking_process(const struct asker *a)
{
	struct outcome outcome;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	outcome = ask(a);
	_exit(write(a->tell, &outcome, sizeof(outcome)) != sizeof(outcome));
}

/* ---- the daemon's side ---- */

/* Handlers of the daemon's signals are not for the new process. */
static pid_t fork_deaf(void)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

static int hear(int fd, struct outcome *out)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, ASK_TIMEOUT_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -ETIMEDOUT;
	return read(fd, out, sizeof(*out)) == sizeof(*out) ? 0 : -EIO;
}

static int let_ask(struct asker *a, struct outcome *out)
{
	int ends[2], err;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	a->tell = ends[1];
	pid = fork_deaf();
	if (!pid)
		asking_process(a);
	err = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (!err) {
		err = hear(ends[0], out);
		kill(pid, SIGKILL); /* it has nothing more to do */
		waitpid(pid, NULL, 0);
	}
	close(ends[0]);
	return err;
}

/* A descriptor of the cgroup's cgroup.procs, or -errno, said. "/" is the directory to which programs are attached. */
static int open_procs(const struct datapath *dp, const char *cgroup)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s%scgroup.procs", cgroup + 1, cgroup[1] ? "/" : "") >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = openat(dp->sockets.cgroup, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENOTDIR || errno == ENODEV)
		return err_r(-ENOENT,
			     "there is no cgroup %s below %s; give it as /proc/PID/cgroup shows it behind \"0::\"",
			     cgroup, dp->sockets.where);
	return err_r(-errno,
		     "cgroup %s cannot be asked for, its cgroup.procs is not to be written (%s): name one that belongs "
		     "to root, such as the one above it",
		     cgroup, strerror(errno));
}

static int say_moving(const char *cgroup, int err)
{
	if (err == EBUSY)
		return err_r(-err,
			     "cgroup %s takes no processes itself, because controllers are enabled for those below it "
			     "(cgroup.subtree_control): name one of those",
			     cgroup);
	if (err == EOPNOTSUPP)
		return err_r(
			-err,
			"cgroup %s takes no processes, it is threaded or below a threaded one (cgroup.type): name the "
			"one above it",
			cgroup);
	if (err == ENODEV)
		return err_r(-ENOENT, "cgroup %s has just been removed", cgroup);
	return err_r(-err, "no process can be put into cgroup %s to ask: %s", cgroup, strerror(err));
}

static int check_outcome(const struct datapath *dp, const char *cgroup, const struct outcome *outcome)
{
	const struct shunt_question *q = dp->mapped[MAP_QUESTION];

	if (outcome->stage == MOVING)
		return say_moving(cgroup, outcome->err);
	if (outcome->stage == MAKING)
		return err_r(-outcome->err, "explain: no socket can be made that asks: %s", strerror(outcome->err));
	if (__atomic_load_n(&q->trace.magic, __ATOMIC_ACQUIRE) == SHUNT_TRACE_MAGIC)
		return 0;
	return err_r(
		-EIO,
		"explain: no program of ours saw the connect in cgroup %s: is it still attached? `bpftool cgroup show "
		"%s` says so; a restart of shuntd attaches it again",
		cgroup, dp->sockets.where);
}

static void take_answer(const struct datapath *dp, struct dp_socket_answer *out)
{
	const struct shunt_question *q = dp->mapped[MAP_QUESTION];

	out->trace = q->trace;
	memcpy(out->given.addr.b, &q->given, sizeof(q->given));
	out->given.port = ntohs(q->given_port);
	out->names_error = dp->has.set_retval;
}

int dp_ask(struct datapath *dp, const struct endpoint *dst, uint8_t proto, const char *cgroup,
	   struct dp_socket_answer *out)
{
	struct asker a = { .question = dp->mapped[MAP_QUESTION], .to = dst, .proto = proto };
	struct outcome outcome = {};
	_cleanup_close_ int procs = -1;
	int err;

	if (!dp->sockets.loaded)
		return -ENODEV;
	if (cgroup[0] != '/' || (cgroup[1] && !cgroup_path_is_fine(cgroup)))
		return err_r(-EINVAL,
			     "%.200s is no path of a cgroup: give it as in /proc/PID/cgroup, such as "
			     "/system.slice/web.service",
			     cgroup);
	procs = a.procs = open_procs(dp, cgroup);
	if (procs < 0)
		return procs;
	err = let_ask(&a, &outcome);
	if (err)
		err_r(err, "explain: the process that asks in cgroup %s did not answer%s (%s)", cgroup,
		      err == -ETIMEDOUT ? ": is the cgroup, or one above it, frozen (cgroup.freeze)?" : "",
		      strerror(-err));
	else
		err = check_outcome(dp, cgroup, &outcome);
	if (!err)
		take_answer(dp, out);
	__atomic_store_n(&a.question->cookie, 0, __ATOMIC_RELEASE);
	return err;
}
