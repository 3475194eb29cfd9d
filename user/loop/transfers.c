/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "loop/transfers.h"

#include <errno.h>
#include <stdlib.h>

struct transfers {
	struct event_base *base;
	CURLM *multi;
	struct event *timer;
};

/* Hands over every transfer that has ended. What done does may stop and start others. */
static void end_transfers(struct transfers *t)
{
	struct CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(t->multi, &left))) {
		CURLcode code = msg->data.result;
		struct transfer *one = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&one);
		transfer_stop(one);
		one->done(one->arg, code);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct transfers *t = arg;
	int running;

	(void)fd, (void)what;
	curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	end_transfers(t);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	int mask = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	struct transfers *t = arg;
	int running;

	curl_multi_socket_action(t->multi, fd, mask, &running);
	end_transfers(t);
}

/* libcurl: "wait for this on that socket". An event that cannot be made ends in the transfer's timeout. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
	short flags = EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);
	struct event *event = assigned;
	struct transfers *t = arg;

	(void)easy;
	if (event)
		event_free(event);
	event = what == CURL_POLL_REMOVE ? NULL : event_new(t->base, fd, flags, on_socket, t);
	if (event)
		event_add(event, NULL);
	curl_multi_assign(t->multi, fd, event);
	return 0;
}

/* libcurl: "call me in so many milliseconds"; -1: not at all. */
static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	struct transfers *t = arg;

	(void)multi;
	if (ms < 0)
		event_del(t->timer);
	else
		event_add(t->timer, &tv);
	return 0;
}

int transfer_start(struct transfers *t, struct transfer *one)
{
	/* libcurl begins in its timer, not in here */
	if (curl_easy_setopt(one->easy, CURLOPT_PRIVATE, one) || curl_multi_add_handle(t->multi, one->easy) != CURLM_OK)
		return -ENOMEM;
	one->of = t;
	return 0;
}

void transfer_stop(struct transfer *one)
{
	if (one->of)
		curl_multi_remove_handle(one->of->multi, one->easy);
	one->of = NULL;
}

CURLM *transfers_multi(struct transfers *t)
{
	return t->multi;
}

void transfers_free(struct transfers *t)
{
	if (!t)
		return;
	if (t->multi)
		curl_multi_cleanup(t->multi);
	if (t->timer)
		event_free(t->timer);
	free(t);
	curl_global_cleanup();
}

struct event_base *transfers_base(const struct transfers *t)
{
	return t->base;
}

int transfers_new(struct event_base *base, struct transfers **out)
{
	struct transfers *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(t);
		return -ENOMEM;
	}
	*t = (struct transfers){ .base = base, .multi = curl_multi_init(), .timer = evtimer_new(base, on_timer, t) };
	if (!t->multi || !t->timer) {
		transfers_free(t);
		return -ENOMEM;
	}
	curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	*out = t;
	return 0;
}
