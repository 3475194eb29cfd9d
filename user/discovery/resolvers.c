/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Each resolver is a channel of c-ares with a single server: so we know what each one said, and pass on what it refuses.
 * c-ares looks at numbers, addresses and questions of what arrives, sends once more what may be lost, and goes over to
 * TCP; what an answer means is read by dns_answer.c. Questions wait in line so that a burst of answers fits the socket.
 */
#include "discovery/resolvers.h"

#include <ares.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "base/clean.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/log.h"

#define PORT 53
#define RESOLVERS_MAX 8
#define UNDER_WAY_MAX 100
#define PACKET_MAX 1232 /* bytes over UDP, that are never cut into fragments */
#define SAID_TEXT 512

const char *resolvers_file = "/etc/resolv.conf";
uint32_t resolvers_first_again_ms = 60000;

struct resolver {
	struct resolvers *of;
	struct endpoint at;
	ares_channel channel;
	struct event *timer; /* the next thing that c-ares does by itself */
	struct socket_event *sockets;
	unsigned streams; /* connections of TCP that were made, counted */
};

struct socket_event {
	struct socket_event *next;
	struct event *event;
	struct resolver *of;
	ares_socket_t fd;
};

TAILQ_HEAD(line, question);

struct resolvers {
	struct event_base *base;
	const struct source *conf;
	struct resolver *list[RESOLVERS_MAX];
	size_t n;
	struct stat seen; /* of resolvers_file, when it was read */
	size_t preferred;
	uint64_t until_ms; /* CLOCK_MONOTONIC: so long, if it is not the first */
	struct line waiting;
	unsigned under_way;
	struct event *next; /* those who wait may go on */
};

enum stage { WAITING, ASKED, ANSWERED, FAILED, CANCELLED };

struct question {
	TAILQ_ENTRY(question) in_line;
	struct resolvers *of;
	char name[DNS_NAME];
	enum dns_type type;
	answered_fn fn;
	void *arg;
	enum stage stage;
	struct event *over; /* to be told, or asked elsewhere */
	size_t first, tried; /* resolvers: where we began, how many were asked */
	bool repeated; /* because one does not know EDNS, of which c-ares asks nobody there any more */
	struct resolver *asked;
	unsigned streams; /* of that resolver when it was asked */
	struct dns_answer answer;
	char said[SAID_TEXT]; /* by those that were asked */
};

/* ---- c-ares in the loop ---- */

static void plan(struct resolver *r)
{
	struct timeval tv, *wait = ares_timeout(r->channel, NULL, &tv);

	if (wait)
		evtimer_add(r->timer, wait);
	else
		evtimer_del(r->timer);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = arg;

	(void)fd;
	(void)what;
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	plan(r);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *r = ((struct socket_event *)arg)->of;

	ares_process_fd(r->channel, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	plan(r);
}

static struct socket_event **socket_place(struct resolver *r, ares_socket_t fd)
{
	struct socket_event **at = &r->sockets;

	while (*at && (*at)->fd != fd)
		at = &(*at)->next;
	return at;
}

static void socket_forget(struct socket_event **at)
{
	struct socket_event *s = *at;

	*at = s->next;
	if (s->event)
		event_free(s->event);
	free(s);
}

/* c-ares waits for this, or, with neither, closes it. Without memory the question's time runs out. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = arg;
	struct socket_event **at = socket_place(r, fd), *s;

	if (*at)
		socket_forget(at);
	if (!readable && !writable)
		return;
	s = calloc(1, sizeof(*s));
	if (!s)
		return;
	*s = (struct socket_event){ .of = r, .fd = fd, .next = r->sockets };
	s->event = event_new(r->of->base, fd, EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0),
			     on_socket, s);
	if (s->event)
		event_add(s->event, NULL);
	r->sockets = s;
}

static int on_new_socket(ares_socket_t fd, int type, void *arg)
{
	struct resolver *r = arg;

	(void)fd;
	r->streams += type == SOCK_STREAM;
	return 0;
}

/* ---- resolvers ---- */

static void resolver_free(struct resolver *r)
{
	if (r->channel)
		ares_destroy(r->channel);
	while (r->sockets)
		socket_forget(&r->sockets);
	if (r->timer)
		event_free(r->timer);
	free(r);
}

static int set_server(struct resolver *r)
{
	struct ares_addr_port_node node = { .udp_port = r->at.port, .tcp_port = r->at.port };

	node.family = addr_is4(&r->at.addr) ? AF_INET : AF_INET6;
	if (node.family == AF_INET)
		memcpy(&node.addr.addr4, r->at.addr.b + 12, 4);
	else
		memcpy(&node.addr.addr6, r->at.addr.b, 16);
	return ares_set_servers_ports(r->channel, &node);
}

/* Sent at most twice: it waits once, and the second time twice as long. */
static int open_channel(struct resolver *r, uint32_t timeout_ms)
{
	static char nowhere[] = "/dev/null", only_dns[] = "b";
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP | ARES_FLAG_EDNS,
		.timeout = timeout_ms / 3,
		.tries = 2,
		.lookups = only_dns,
		.ednspsz = PACKET_MAX,
		.resolvconf_path = nowhere,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = r,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ |
		   ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE;
	int err = ares_init_options(&r->channel, &o, mask);

	if (err)
		return err;
	ares_set_socket_callback(r->channel, on_new_socket, r);
	return set_server(r);
}

static int resolver_add(struct resolvers *rs, const struct endpoint *at)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	*r = (struct resolver){ .of = rs, .at = *at };
	r->at.port = at->port ?: PORT;
	r->timer = evtimer_new(rs->base, on_timer, r);
	err = r->timer ? open_channel(r, rs->conf->timeout_ms) : ARES_ENOMEM;
	if (err) {
		resolver_free(r);
		return err_r(-ENOMEM, "source %s: c-ares cannot be used: %s", rs->conf->name, ares_strerror(err));
	}
	rs->list[rs->n++] = r;
	return 0;
}

/* Questions that are under way there begin again (on_reply). */
static void drop_all(struct resolvers *rs)
{
	while (rs->n)
		resolver_free(rs->list[--rs->n]);
	rs->preferred = 0;
}

static int add_configured(struct resolvers *rs)
{
	struct endpoint at;
	int err = 0;

	for (size_t i = 0; i < rs->conf->servers.n && rs->n < RESOLVERS_MAX && !err; i++)
		if (!endpoint_parse(rs->conf->servers.list[i], &at))
			err = resolver_add(rs, &at);
	return err;
}

/* resolv.conf(5): lines of "nameserver ADDRESS"; none means the one on this host. */
static int add_of_file(struct resolvers *rs)
{
	_cleanup_fclose_ FILE *f = fopen(resolvers_file, "re");
	char line[1024], address[ADDR_TEXT];
	struct endpoint at = {};
	int err = 0;

	while (f && !err && rs->n < RESOLVERS_MAX && fgets(line, sizeof(line), f))
		if (sscanf(line, " nameserver %47s", address) == 1 && !addr_parse(address, &at.addr))
			err = resolver_add(rs, &at);
	if (!err && !rs->n) {
		addr_parse("127.0.0.1", &at.addr);
		err = resolver_add(rs, &at);
	}
	return err;
}

static bool file_is_new(struct resolvers *rs)
{
	struct stat now = {}, was = rs->seen;

	stat(resolvers_file, &now);
	rs->seen = now;
	return now.st_ino != was.st_ino || now.st_dev != was.st_dev || now.st_size != was.st_size ||
	       now.st_mtim.tv_sec != was.st_mtim.tv_sec || now.st_mtim.tv_nsec != was.st_mtim.tv_nsec;
}

/* Not from within c-ares. */
static void refresh(struct resolvers *rs)
{
	if (rs->conf->servers.n || (!file_is_new(rs) && rs->n))
		return;
	drop_all(rs);
	add_of_file(rs);
}

/* ---- one question ---- */

static void question_free(struct question *q)
{
	dns_answer_clear(&q->answer);
	if (q->over)
		event_free(q->over);
	free(q);
}

static void note_failure(struct question *q, const char *why)
{
	size_t len = strlen(q->said);
	char text[ENDPOINT_TEXT];

	snprintf(q->said + len, sizeof(q->said) - len, "%s%s: %s", len ? "; " : "",
		 endpoint_format(&q->asked->at, text), why);
}

static void note_silence(struct question *q, int status)
{
	const char *over = q->asked->streams != q->streams ? " over TCP, and over UDP only a part of it" : "";
	char why[DNS_WHY], time[DURATION_TEXT];

	if (status == ARES_ETIMEOUT)
		snprintf(why, sizeof(why), "no answer within %s%s", duration_format(q->of->conf->timeout_ms, time),
			 over);
	else if (status == ARES_ECONNREFUSED)
		snprintf(why, sizeof(why), "it cannot be reached%s", over);
	else
		snprintf(why, sizeof(why), "%s", ares_strerror(status));
	note_failure(q, why);
}

static void prefer(struct resolvers *rs, const struct resolver *r)
{
	for (size_t i = 0; i < rs->n; i++)
		if (rs->list[i] == r && i != rs->preferred) {
			rs->preferred = i;
			rs->until_ms = monotonic_ms() + resolvers_first_again_ms;
		}
}

static void take_reply(struct question *q, int status, const uint8_t *bytes, int len)
{
	char why[DNS_WHY];

	q->stage = FAILED;
	if (status == ARES_EDESTRUCTION) { /* other resolvers are asked, from the first on */
		q->tried = 0;
		q->said[0] = '\0';
	} else if (!bytes) {
		note_silence(q, status);
	} else if (dns_answer(bytes, len, q->name, q->type, &q->answer, why)) {
		if (q->repeated || strcmp(why, "FORMERR"))
			note_failure(q, why);
		else
			q->repeated = q->tried--;
	} else {
		q->stage = ANSWERED;
		prefer(q->of, q->asked);
	}
	q->asked = NULL;
}

/* From within c-ares: what follows is done from the loop. */
static void on_reply(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
	struct question *q = arg;

	(void)timeouts;
	q->of->under_way--;
	if (!TAILQ_EMPTY(&q->of->waiting))
		event_active(q->of->next, 0, 0);
	if (q->stage == CANCELLED) {
		question_free(q);
		return;
	}
	take_reply(q, status, bytes, len);
	event_active(q->over, 0, 0);
}

static void ask_next_resolver(struct question *q)
{
	struct resolvers *rs = q->of;
	struct resolver *r;

	if (rs->preferred && monotonic_ms() >= rs->until_ms)
		rs->preferred = 0;
	if (!q->tried)
		q->first = rs->preferred;
	r = rs->list[(q->first + q->tried++) % rs->n];
	q->asked = r;
	q->streams = r->streams;
	q->stage = ASKED;
	rs->under_way++;
	ares_query(r->channel, q->name, 1 /* IN */, q->type, on_reply, q);
	plan(r);
}

static void stand_in_line(struct question *q)
{
	q->stage = WAITING;
	TAILQ_INSERT_TAIL(&q->of->waiting, q, in_line);
	event_active(q->of->next, 0, 0);
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
	struct resolvers *rs = arg;
	struct question *q;

	(void)fd;
	(void)what;
	refresh(rs);
	while (rs->n && rs->under_way < UNDER_WAY_MAX && (q = TAILQ_FIRST(&rs->waiting))) {
		TAILQ_REMOVE(&rs->waiting, q, in_line);
		ask_next_resolver(q);
	}
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
	struct question *q = arg;

	(void)fd;
	(void)what;
	if (q->stage == FAILED && q->tried < q->of->n) {
		stand_in_line(q);
		return;
	}
	q->fn(q->arg, q, q->stage == ANSWERED ? &q->answer : NULL, q->said[0] ? q->said : "there is no resolver to ask");
	question_free(q);
}

int question_ask(struct resolvers *r, const char *name, enum dns_type type, answered_fn fn, void *arg,
		 struct question **out)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	*q = (struct question){ .of = r, .type = type, .fn = fn, .arg = arg };
	snprintf(q->name, sizeof(q->name), "%s", name);
	q->over = event_new(r->base, -1, 0, on_over, q);
	if (!q->over) {
		free(q);
		return -ENOMEM;
	}
	stand_in_line(q);
	*out = q;
	return 0;
}

void question_cancel(struct question *q)
{
	if (q->stage == ASKED) { /* c-ares has it still */
		event_del(q->over);
		q->stage = CANCELLED;
		return;
	}
	if (q->stage == WAITING)
		TAILQ_REMOVE(&q->of->waiting, q, in_line);
	question_free(q);
}

/* ---- life ---- */

void resolvers_free(struct resolvers *r)
{
	if (!r)
		return;
	drop_all(r);
	if (r->next)
		event_free(r->next);
	free(r);
	ares_library_cleanup();
}

int resolvers_new(struct event_base *base, const struct source *conf, struct resolvers **out)
{
	struct resolvers *r = calloc(1, sizeof(*r));
	int err;

	if (!r || ares_library_init(ARES_LIB_INIT_ALL)) {
		free(r);
		return err_r(-ENOMEM, "source %s: c-ares cannot be used", conf->name);
	}
	*r = (struct resolvers){ .base = base, .conf = conf, .next = event_new(base, -1, 0, on_next, r) };
	TAILQ_INIT(&r->waiting);
	err = r->next ? add_configured(r) : -ENOMEM;
	if (err) {
		resolvers_free(r);
		return err;
	}
	*out = r;
	return 0;
}
