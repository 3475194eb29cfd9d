/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The daemon's side: requests one after the other, so that a message always finds room. */
#include "datapath/sever.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clean.h"
#include "base/log.h"
#include "datapath/sever_child.h"

/* One that waits, or that is under way; looks have none, as at most one waits. */
struct request {
	struct request *next;
	enum sever_kind kind;
	int fd; /* SEVER_LINK; else -1 */
	char *path; /* SEVER_NETNS; else NULL */
	sever_netns_fn fn;
	void *arg;
};

struct sever {
	pid_t pid; /* 0: it died */
	int sock; /* -1: the same */
	struct event *event;
	sever_report_fn report;
	void *arg;
	struct request *first, **end;
	bool busy, look_wanted;
	enum sever_kind asked; /* busy: what for */
	char problem[SEVER_PROBLEM];
};

static void request_free(struct request *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	free(r->path);
	free(r);
}

static struct request *take_first(struct sever *s)
{
	struct request *r = s->first;

	if (r)
		s->first = r->next;
	if (!s->first)
		s->end = &s->first;
	return r;
}

/* ---- asking ---- */

static int send_message(int sock, const struct sever_request *m, size_t length, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fd))] = {};
	struct iovec part = { (void *)m, length };
	struct msghdr h = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		h.msg_control = control;
		h.msg_controllen = sizeof(control);
		*CMSG_FIRSTHDR(&h) = (struct cmsghdr){ CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&h)), &fd, sizeof(fd));
	}
	return sendmsg(sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void send_next(struct sever *s)
{
	const struct request *r = s->first;
	struct sever_request m = { .kind = r ? r->kind : SEVER_LOOK };

	if (s->busy || s->sock < 0 || (!r && !s->look_wanted))
		return;
	if (!r)
		s->look_wanted = false;
	if (r && r->path)
		strcpy(m.path, r->path);
	s->busy = true;
	s->asked = m.kind;
	/* one that does not hear us is as good as dead, which the loop will see */
	if (send_message(s->sock, &m, offsetof(struct sever_request, path) + strlen(m.path) + 1, r ? r->fd : -1))
		shutdown(s->sock, SHUT_RDWR);
}

static int enqueue(struct sever *s, struct request *r)
{
	*s->end = r;
	s->end = &r->next;
	send_next(s);
	return 0;
}

static struct request *request_new(enum sever_kind kind)
{
	struct request *r = calloc(1, sizeof(*r));

	if (r)
		*r = (struct request){ .kind = kind, .fd = -1 };
	return r;
}

int sever_set_link(struct sever *s, int link_fd)
{
	struct request *r = s->pid ? request_new(SEVER_LINK) : NULL;

	if (!r)
		return s->pid ? -ENOMEM : -EPIPE;
	r->fd = fcntl(link_fd, F_DUPFD_CLOEXEC, 0);
	if (r->fd < 0) {
		int err = -errno;

		request_free(r);
		return err;
	}
	return enqueue(s, r);
}

void sever_look(struct sever *s)
{
	s->look_wanted = true;
	send_next(s);
}

int sever_netns(struct sever *s, const char *path, sever_netns_fn fn, void *arg)
{
	struct request *r;

	if (!s->pid)
		return -EPIPE;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	r = request_new(SEVER_NETNS);
	if (!r)
		return -ENOMEM;
	r->fn = fn;
	r->arg = arg;
	r->path = strdup(path);
	if (!r->path) {
		request_free(r);
		return -ENOMEM;
	}
	return enqueue(s, r);
}

/* ---- being answered ---- */

/* Callbacks come last, as one of them may free s. */
static void answered(struct sever *s, const struct sever_reply *reply)
{
	struct request *r = s->asked == SEVER_LOOK ? NULL : take_first(s);

	s->busy = false;
	send_next(s);
	if (!r) {
		strcpy(s->problem, reply->report.problem);
		s->report(s->arg, &reply->report);
	} else if (r->kind == SEVER_NETNS) {
		r->fn(r->arg, reply->err, reply->cookie, reply->report.problem);
	} else if (reply->err) {
		log_error("%s", reply->report.problem);
	}
	request_free(r);
}

static void say_why(struct sever *s)
{
	char how[64] = "ended";
	int status = 0;

	kill(s->pid, SIGKILL); /* it may live, if what it sent is no reply; how another one ended stays */
	if (waitpid(s->pid, &status, 0) == s->pid && WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (WIFEXITED(status))
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
	snprintf(s->problem, sizeof(s->problem), "the process that ends connections (%d) %s: connections to a backend "
		 "that fails are not ended, and network namespaces that come (`clients`) are not known, until shuntd "
		 "is started again", s->pid, how);
	log_error("%s", s->problem);
}

static void let_go(struct sever *s)
{
	if (s->event)
		event_free(s->event);
	s->event = NULL;
	if (s->sock >= 0)
		close(s->sock);
	s->sock = -1;
	s->pid = 0;
}

static void died(struct sever *s)
{
	struct sever_report last = {};
	sever_report_fn report = s->report;
	struct request *r, *waiting = s->first;
	void *arg = s->arg;

	say_why(s);
	let_go(s);
	s->first = NULL;
	s->end = &s->first;
	strcpy(last.problem, s->problem);
	while ((r = waiting)) {
		waiting = r->next;
		if (r->fn)
			r->fn(r->arg, -EPIPE, 0, last.problem);
		request_free(r);
	}
	report(arg, &last);
}

static void on_reply(evutil_socket_t sock, short what, void *arg)
{
	struct sever *s = arg;
	struct sever_reply reply;
	ssize_t len = recv(sock, &reply, sizeof(reply), MSG_DONTWAIT);

	(void)what;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len == sizeof(reply) && s->busy)
		answered(s, &reply);
	else
		died(s);
}

/* ---- from start to end ---- */

int sever_start(struct sever **out)
{
	_cleanup_free_ struct sever *s = calloc(1, sizeof(*s));
	int socks[2];

	if (!s)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return err_r(-errno, "no process could be started that ends connections: %s", strerror(errno));
	s->pid = fork();
	if (!s->pid)
		sever_child(socks[1]);
	close(socks[1]);
	if (s->pid < 0) {
		int err = -errno;

		close(socks[0]);
		return err_r(err, "no process could be started that ends connections: %s", strerror(-err));
	}
	s->sock = socks[0];
	s->end = &s->first;
	*out = TAKE_PTR(s);
	return 0;
}

int sever_attach(struct sever *s, struct event_base *base, sever_report_fn report, void *arg)
{
	s->report = report;
	s->arg = arg;
	s->event = event_new(base, s->sock, EV_READ | EV_PERSIST, on_reply, s);
	return s->event && !event_add(s->event, NULL) ? 0 : -ENOMEM;
}

void sever_free(struct sever *s)
{
	struct request *r;

	if (!s)
		return;
	while ((r = take_first(s)))
		request_free(r);
	if (s->pid) { /* whatever it does, it may be left at any point */
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	let_go(s);
	free(s);
}

pid_t sever_pid(const struct sever *s)
{
	return s->pid;
}

const char *sever_problem(const struct sever *s)
{
	return s->problem;
}
