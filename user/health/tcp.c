/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A TCP check passes when the connection is established in time. Nothing is sent or read. */
#include <errno.h>
#include <sys/socket.h>

#include "base/clean.h"
#include "health/checker.h"

struct tcp_run {
	int fd;
	int err; /* of connect, when it failed at once */
	struct event *event;
	uint32_t timeout_ms;
	checker_done_fn done;
	void *arg;
};

static void tcp_stop(void *arg)
{
	struct tcp_run *run = arg;

	if (run->event)
		event_free(run->event);
	if (run->fd >= 0)
		close(run->fd);
	free(run);
}

static void tcp_stopp(struct tcp_run **run)
{
	if (*run)
		tcp_stop(*run);
}

static int connect_error(const struct tcp_run *run)
{
	socklen_t len = sizeof(int);
	int err = run->err;

	if (!err && getsockopt(run->fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (!err && checker_connected_to_itself(run->fd))
		err = ECONNREFUSED;
	return err;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	_cleanup_(tcp_stopp) struct tcp_run *run = arg;
	checker_done_fn done = run->done;
	void *done_arg = run->arg;
	struct outcome outcome;

	(void)fd;
	if (what & EV_WRITE) /* also when the time is over: a loop that was held up is no fault of the backend */
		outcome_from_errno(&outcome, connect_error(run));
	else
		outcome_timed_out(&outcome, "no connection", run->timeout_ms);
	tcp_stop(TAKE_PTR(run));
	done(done_arg, &outcome);
}

static int begin_connect(struct tcp_run *run, const struct endpoint *at)
{
	struct sockaddr_storage to;
	socklen_t len = endpoint_sockaddr(at, &to);

	run->fd = checker_socket(to.ss_family);
	if (run->fd < 0)
		return run->fd;
	if (!connect(run->fd, (struct sockaddr *)&to, len) || errno == EINPROGRESS)
		return 0;
	if (checker_errno_is_ours(errno))
		return -errno;
	run->err = errno;
	return 0;
}

static int tcp_start(struct event_base *base, void *shared, const struct endpoint *at, const struct check *c,
		     checker_done_fn done, void *arg, void **out)
{
	struct timeval timeout = { c->timeout_ms / 1000, c->timeout_ms % 1000 * 1000 };
	_cleanup_(tcp_stopp) struct tcp_run *run = calloc(1, sizeof(*run));
	int err;

	(void)shared;
	if (!run)
		return -ENOMEM;
	*run = (struct tcp_run){ .fd = -1, .timeout_ms = c->timeout_ms, .done = done, .arg = arg };
	err = begin_connect(run, at);
	if (err)
		return err;
	/* The loop counts from when it last looked at the clock: one that was held up since would cut the time short. */
	event_base_update_cache_time(base);
	run->event = event_new(base, run->fd, EV_WRITE, on_event, run);
	if (!run->event || event_add(run->event, &timeout))
		return -ENOMEM;
	if (run->err)
		event_active(run->event, EV_WRITE, 1);
	*out = TAKE_PTR(run);
	return 0;
}

static int tcp_open(struct event_base *base, void **shared)
{
	(void)base;
	*shared = NULL;
	return 0;
}

static void tcp_close(void *shared)
{
	(void)shared;
}

const struct checker checker_tcp = { .open = tcp_open, .close = tcp_close, .start = tcp_start, .stop = tcp_stop };
