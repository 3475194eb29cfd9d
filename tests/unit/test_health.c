/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Health checks against real listeners on loopback, all in one loop with the checks themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clean.h"
#include "health/checker.h"
#include "health/health.h"
#include "health/spread.h"
#include "health/verdict.h"
#include "until.h"

static struct event_base *base;
static struct health *health;

#define run_until(condition) assert_true(loop_until(base, condition))

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int fds_before;

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	health_new(base, 64, &health);
	fds_before = count_fds();
	return 0;
}

/* libcurl's multi handle and what was logged have descriptors of their own until health is freed. */
static int teardown(void **state)
{
	(void)state;
	health_free(health);
	event_base_free(base);
	return 0;
}

/* ---- servers ---- */

/* Listens on every address of its family; what it says depends on the path it is asked for. */
struct server {
	struct evconnlistener *listener;
	uint16_t port;
	unsigned accepted, open, most_open;
	size_t sent;
	char request[512];
	bool busy; /* answer "/switch" with 503 */
	unsigned delay_ms; /* of the answer to "/late" */
	double *arrivals; /* when the first so many connections came */
	unsigned n_arrivals;
};

struct conn {
	struct server *server;
	struct bufferevent *bev;
	struct event *timer;
};

static void conn_free(struct conn *c)
{
	c->server->open--;
	bufferevent_free(c->bev);
	if (c->timer)
		event_free(c->timer);
	free(c);
}

static void on_conn_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev, (void)what;
	conn_free(arg);
}

static void on_sent(struct bufferevent *bev, void *arg)
{
	(void)bev;
	conn_free(arg);
}

static void more_body(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;
	static char block[16384];

	c->server->sent += sizeof(block);
	bufferevent_write(bev, block, sizeof(block));
}

static void more_header(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	for (int i = 0; i < 500; i++)
		c->server->sent += evbuffer_add_printf(bufferevent_get_output(bev), "X-Number-%d: %040d\r\n", i, i);
}

static void answer(struct conn *c, const char *text)
{
	bufferevent_setcb(c->bev, NULL, on_sent, on_conn_event, c);
	bufferevent_write(c->bev, text, strlen(text));
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	answer(arg, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void answer_late(struct conn *c)
{
	struct timeval tv = { .tv_usec = c->server->delay_ms * 1000 };

	c->timer = evtimer_new(base, on_late, c);
	evtimer_add(c->timer, &tv);
}

static const struct {
	const char *path, *answer;
} answers[] = {
	{ "/ok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" },
	{ "/a/../b?c=%20#d", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" },
	{ "/", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" },
	{ "/unread", "HTTP/1.0 200 OK\r\n\r\nuntil the connection closes" },
	{ "/missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" },
	{ "/busy", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" },
	{ "/moved", "HTTP/1.1 302 Found\r\nLocation: /missing\r\nContent-Length: 0\r\n\r\n" },
	{ "/garbage", "\x16\x03\x01 what is this?\r\n\r\n" },
	{ "/short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nno more" },
};

static void route(struct conn *c, const char *path)
{
	struct server *s = c->server;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		if (!strcmp(path, answers[i].path))
			return answer(c, answers[i].answer);
	if (!strcmp(path, "/switch"))
		return answer(c, answers[s->busy ? 5 : 0].answer);
	if (!strcmp(path, "/late"))
		return answer_late(c);
	if (!strcmp(path, "/hangup"))
		return conn_free(c);
	if (!strcmp(path, "/endless") || !strcmp(path, "/headers")) {
		bufferevent_setcb(c->bev, NULL, !strcmp(path, "/endless") ? more_body : more_header, on_conn_event, c);
		evbuffer_add_printf(bufferevent_get_output(c->bev), "HTTP/1.1 200 OK\r\n%s",
				    !strcmp(path, "/endless") ? "\r\n" : "");
	}
	/* "/silent": nothing */
}

static void on_request(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;
	char path[64] = "";
	size_t len = evbuffer_copyout(bufferevent_get_input(bev), c->server->request, sizeof(c->server->request) - 1);

	c->server->request[len] = '\0';
	if (!strstr(c->server->request, "\r\n\r\n"))
		return;
	sscanf(c->server->request, "GET %63s", path);
	route(c, path);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct server *s = arg;

	(void)l, (void)from, (void)len;
	if (s->accepted < s->n_arrivals)
		s->arrivals[s->accepted] = now_s();
	s->accepted++;
	if (++s->open > s->most_open)
		s->most_open = s->open;
	*c = (struct conn){ .server = s, .bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE) };
	bufferevent_setcb(c->bev, on_request, NULL, on_conn_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static struct endpoint local(const char *text, uint16_t port)
{
	struct endpoint e;

	assert_int_equal(addr_parse(text, &e.addr), 0);
	e.port = port;
	return e;
}

static void serve_on(struct server *s, const char *address, uint16_t port)
{
	struct endpoint at = local(address, port);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_sockaddr(&at, &ss);

	s->listener = evconnlistener_new_bind(base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
					      (struct sockaddr *)&ss, len);
	assert_non_null(s->listener);
	getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&ss, &len);
	s->port = ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

static void serve(struct server *s)
{
	serve_on(s, "0.0.0.0", 0);
}

static void server_stop(struct server *s)
{
	run_until(!s->open);
	if (s->listener)
		evconnlistener_free(s->listener);
}

/* A port of this host that nobody listens on, and nobody else gets, until fd is closed. */
static uint16_t refusing_port(int *fd)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);

	*fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	getsockname(*fd, (struct sockaddr *)&sin, &len);
	return ntohs(sin.sin_port);
}

/* A listener whose queue is full does not answer a SYN. fds[0] listens, the others fill. */
static uint16_t silent_port(int fds[4])
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port = refusing_port(&fds[0]);

	assert_int_equal(listen(fds[0], 0), 0);
	sin.sin_port = htons(port);
	for (int i = 1; i < 4; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], (struct sockaddr *)&sin, sizeof(sin));
	}
	return port;
}

static void close_all(int *fds, int n)
{
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

/* ---- targets ---- */

struct probe {
	struct health_target *target;
	unsigned changes;
	enum state last;
	struct health_info at_change[4]; /* what was so when it changed: later there may have been more checks */
};

static void on_change(void *arg, struct health_target *t, enum state now)
{
	struct probe *p = arg;

	assert_ptr_equal(t, p->target);
	if (p->changes < ARRAY_SIZE(p->at_change))
		health_query(t, &p->at_change[p->changes]);
	p->changes++;
	p->last = now;
}

static const struct check tcp_check = {
	.kind = CHECK_TCP, .interval_ms = 20, .timeout_ms = 1000, .fall = 3, .rise = 2,
};

static struct check http_check(char *path)
{
	return (struct check){ .kind = CHECK_HTTP, .path = path, .status_min = 200, .status_max = 399,
			       .interval_ms = 20, .timeout_ms = 2000, .fall = 3, .rise = 2 };
}

static void add(struct probe *p, struct endpoint at, const struct check *c, enum state initial)
{
	assert_int_equal(health_add(health, &at, c, initial, on_change, p, &p->target), 0);
}

static struct health_info info(const struct probe *p)
{
	struct health_info i;

	health_query(p->target, &i);
	return i;
}

static bool checked(const struct probe *p)
{
	return info(p).checks > 0;
}

static bool is_healthy(const struct probe *p)
{
	return info(p).state == STATE_HEALTHY;
}

static bool is_unhealthy(const struct probe *p)
{
	return info(p).state == STATE_UNHEALTHY;
}

/* What one check of this endpoint says. */
static struct health_info check_once(struct endpoint at, const struct check *c)
{
	struct check once = *c;
	struct probe p = {};
	struct health_info i;

	add(&p, at, &once, STATE_UNKNOWN);
	run_until(checked(&p));
	i = p.at_change[0];
	assert_int_equal(p.changes, 1);
	assert_int_equal(p.last, i.state);
	health_remove(p.target);
	return i;
}

static struct health_info ask(struct server *s, char *path)
{
	struct check c = http_check(path);

	return check_once(local("127.0.0.1", s->port), &c);
}

#define assert_failed(i, text) \
	do { \
		struct health_info i_ = (i); \
		assert_string_equal(i_.last_error, text); \
		assert_int_equal(i_.state, STATE_UNHEALTHY); \
	} while (0)
#define assert_passed(i) \
	do { \
		struct health_info i_ = (i); \
		assert_string_equal(i_.last_error, ""); \
		assert_int_equal(i_.state, STATE_HEALTHY); \
	} while (0)

/* ---- the verdict by itself ---- */

static void the_first_check_decides_alone(void **state)
{
	static const enum state initials[] = { STATE_UNKNOWN, STATE_HEALTHY, STATE_UNHEALTHY };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(initials); i++) {
		struct verdict up = verdict_from(initials[i]), down = up;

		assert_int_equal(verdict_note(&up, true, 3, 2), initials[i] != STATE_HEALTHY);
		assert_int_equal(up.state, STATE_HEALTHY);
		assert_int_equal(verdict_note(&down, false, 3, 2), initials[i] != STATE_UNHEALTHY);
		assert_int_equal(down.state, STATE_UNHEALTHY);
	}
}

static void fall_failures_in_a_row_make_it_unhealthy(void **state)
{
	struct verdict v = verdict_from(STATE_UNKNOWN);

	(void)state;
	verdict_note(&v, true, 3, 2);
	assert_false(verdict_note(&v, false, 3, 2));
	assert_false(verdict_note(&v, false, 3, 2));
	assert_int_equal(v.streak, 2);
	assert_int_equal(v.state, STATE_HEALTHY);
	assert_true(verdict_note(&v, false, 3, 2));
	assert_int_equal(v.state, STATE_UNHEALTHY);
	assert_int_equal(v.streak, 0);
}

static void rise_successes_in_a_row_make_it_healthy(void **state)
{
	struct verdict v = verdict_from(STATE_UNKNOWN);

	(void)state;
	verdict_note(&v, false, 3, 2);
	assert_false(verdict_note(&v, true, 3, 2));
	assert_int_equal(v.streak, 1);
	assert_true(verdict_note(&v, true, 3, 2));
	assert_int_equal(v.state, STATE_HEALTHY);
}

static void one_check_that_agrees_breaks_the_streak(void **state)
{
	struct verdict v = verdict_from(STATE_UNKNOWN);

	(void)state;
	verdict_note(&v, true, 3, 2);
	for (int i = 0; i < 10; i++) {
		assert_false(verdict_note(&v, false, 3, 2));
		assert_false(verdict_note(&v, false, 3, 2));
		assert_false(verdict_note(&v, true, 3, 2));
		assert_int_equal(v.streak, 0);
	}
	assert_int_equal(v.state, STATE_HEALTHY);
}

static void fall_or_rise_of_nought_counts_as_one(void **state)
{
	struct verdict v = verdict_from(STATE_UNKNOWN);

	(void)state;
	verdict_note(&v, true, 0, 0);
	assert_true(verdict_note(&v, false, 0, 0));
	assert_true(verdict_note(&v, true, 0, 0));
}

static void states_that_no_check_gives_are_unknown_to_begin_with(void **state)
{
	(void)state;
	assert_int_equal(verdict_from(STATE_DRAINING).state, STATE_UNKNOWN);
	assert_int_equal(verdict_from(STATE_HEALTHY).state, STATE_HEALTHY);
	assert_int_equal(verdict_from(STATE_UNHEALTHY).state, STATE_UNHEALTHY);
}

static void a_check_contradicts_a_state_that_says_otherwise(void **state)
{
	struct verdict up = verdict_from(STATE_HEALTHY), down = verdict_from(STATE_UNHEALTHY);
	struct verdict unknown = verdict_from(STATE_UNKNOWN);

	(void)state;
	assert_false(verdict_contradicts(&up, true));
	assert_true(verdict_contradicts(&up, false));
	assert_true(verdict_contradicts(&down, true));
	assert_false(verdict_contradicts(&down, false));
	assert_true(verdict_contradicts(&unknown, true));
	assert_true(verdict_contradicts(&unknown, false));
}

/* ---- when checks are due, by itself ---- */

/* Each tenth of the interval gets its tenth of the checks, give or take a few, wherever the sequence begins. */
static void first_checks_fall_evenly_into_one_interval(void **state)
{
	static const uint64_t begins[] = { 0, 1, 0x123456789abcdef0, UINT64_MAX };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(begins); k++) {
		uint64_t spread = begins[k];
		unsigned tenths[10] = {};

		for (int i = 0; i < 1000; i++) {
			uint64_t us = spread_first_us(&spread, 2000);

			assert_true(us < 2000000);
			tenths[us / 200000]++;
		}
		for (int i = 0; i < 10; i++)
			assert_in_range(tenths[i], 97, 103);
	}
}

static void what_is_unknown_is_checked_a_thousand_a_second_but_within_its_interval(void **state)
{
	uint64_t spread = 0;

	(void)state;
	assert_int_equal(spread_unknown_us(0, &spread, 2000), 0);
	assert_int_equal(spread_unknown_us(20, &spread, 2000), 20000);
	assert_int_equal(spread_unknown_us(1999, &spread, 2000), 1999000);
	for (uint32_t ahead = 2000; ahead < 9000; ahead++)
		assert_true(spread_unknown_us(ahead, &spread, 2000) < 2000000);
}

static void first_checks_begin_where_chance_says(void **state)
{
	uint64_t a = 0, b = 1ull << 63;

	(void)state;
	assert_int_not_equal(spread_first_us(&a, 2000), spread_first_us(&b, 2000));
}

static void the_next_check_is_an_interval_after_the_start_of_the_last(void **state)
{
	(void)state;
	assert_int_equal(spread_next_us(0, 2000, 0), 1900000);
	assert_in_range(spread_next_us(UINT64_MAX, 2000, 0), 2099990, 2100000);
	assert_int_equal(spread_next_us(0, 2000, 400000), 1500000);
	assert_int_equal(spread_next_us(0, 2000, 1900000), 0);
	assert_int_equal(spread_next_us(0, 2000, 5000000), 0); /* it took longer than the interval */
	assert_true(spread_next_us(0, UINT32_MAX, 0) > UINT32_MAX * 900ull);
}

/* ---- predicates ---- */

static void errors_of_this_host_are_told_from_errors_of_the_backend(void **state)
{
	(void)state;
	assert_true(checker_errno_is_ours(EMFILE));
	assert_true(checker_errno_is_ours(ENFILE));
	assert_true(checker_errno_is_ours(EADDRNOTAVAIL));
	assert_true(checker_errno_is_ours(ENOBUFS));
	assert_false(checker_errno_is_ours(ECONNREFUSED));
	assert_false(checker_errno_is_ours(EHOSTUNREACH));
	assert_false(checker_errno_is_ours(ECONNRESET));
	assert_false(checker_errno_is_ours(ETIMEDOUT));
}

static void a_connection_with_itself_is_recognised(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int self = -1, other = -1;
	struct server s = {};

	(void)state;
	sin.sin_port = htons(refusing_port(&self));
	assert_int_equal(connect(self, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_true(checker_connected_to_itself(self));

	serve(&s);
	other = socket(AF_INET, SOCK_STREAM, 0);
	sin.sin_port = htons(s.port);
	assert_int_equal(connect(other, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_false(checker_connected_to_itself(other));
	evconnlistener_free(s.listener);
}

/* ---- a network namespace of our own ---- */

static void write_file(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

/* Into a network namespace of our own, with loopback up. Returns the old one, or -1 where that is not allowed. */
static int enter_namespace(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	_cleanup_close_ int old = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int fd = -1;

	if (old < 0 || unshare(CLONE_NEWNET))
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	return TAKE_FD(old);
}

/* ---- TCP ---- */

static void a_listener_passes_a_tcp_check(void **state)
{
	struct server s = {};
	struct health_info i;

	(void)state;
	serve(&s);
	i = check_once(local("127.0.0.1", s.port), &tcp_check);
	assert_passed(i);
	assert_int_equal(i.checks, 1);
	assert_int_equal(i.failures, 0);
	assert_true(i.last_seconds > 0 && i.last_seconds < 5);
	assert_true(i.since_ms / 1000 + 60 > (uint64_t)time(NULL));
	server_stop(&s);
}

static void a_tcp_check_speaks_ipv6(void **state)
{
	struct server s = {};

	(void)state;
	serve_on(&s, "::1", 0);
	assert_passed(check_once(local("::1", s.port), &tcp_check));
	server_stop(&s);
}

static void a_closed_port_fails_with_connection_refused(void **state)
{
	_cleanup_close_ int fd = -1;
	struct check http = http_check("/ok");
	struct endpoint at;
	struct health_info i;

	(void)state;
	at = local("127.0.0.1", refusing_port(&fd));
	i = check_once(at, &tcp_check);
	assert_failed(i, "connection refused");
	assert_int_equal(i.failures, 1);
	assert_failed(check_once(at, &http), "connection refused");
}

static void a_silent_port_fails_when_the_time_is_over(void **state)
{
	struct check tcp = tcp_check, http = http_check("/ok");
	struct health_info i;
	struct endpoint at;
	int fds[4];

	(void)state;
	at = local("127.0.0.1", silent_port(fds));
	tcp.timeout_ms = http.timeout_ms = 150;
	i = check_once(at, &tcp);
	assert_failed(i, "no connection within 150 ms");
	assert_true(i.last_seconds >= 0.14 && i.last_seconds < 5);
	i = check_once(at, &http);
	assert_failed(i, "no connection within 150 ms");
	assert_true(i.last_seconds >= 0.14 && i.last_seconds < 5);
	tcp.timeout_ms = 1000;
	assert_failed(check_once(at, &tcp), "no connection within 1 s");
	close_all(fds, 4);
}

struct hold_up {
	struct endpoint at;
	struct check check;
	struct outcome outcome;
	double begin, end;
	void *run;
};

static void on_outcome(void *arg, const struct outcome *outcome)
{
	struct hold_up *h = arg;

	h->end = now_s();
	h->outcome = *outcome;
}

/* In the loop, which knows the time of before the delay. */
static void start_late(evutil_socket_t fd, short what, void *arg)
{
	struct hold_up *h = arg;

	(void)fd, (void)what;
	for (double until = now_s() + 0.1; now_s() < until;)
		;
	h->begin = now_s();
	assert_int_equal(checker_tcp.start(base, NULL, &h->at, &h->check, on_outcome, h, &h->run), 0);
}

static void a_loop_that_was_held_up_does_not_cut_the_time_of_a_check(void **state)
{
	struct hold_up h = { .check = tcp_check };
	int fds[4];

	(void)state;
	h.at = local("127.0.0.1", silent_port(fds));
	h.check.timeout_ms = 150;
	event_base_once(base, -1, EV_TIMEOUT, start_late, &h, &(struct timeval){});
	run_until(h.end > 0);
	assert_int_equal(h.outcome.kind, OUTCOME_FAILED);
	assert_true(h.end - h.begin >= 0.14);
	close_all(fds, 4);
}

static void an_address_without_a_route_fails_in_plain_words(void **state)
{
	_cleanup_close_ int old = enter_namespace();
	struct check http = http_check("/ok");

	(void)state;
	if (old < 0)
		skip();
	assert_failed(check_once(local("192.0.2.1", 80), &tcp_check), "network is unreachable");
	assert_failed(check_once(local("2001:db8::1", 80), &http), "network is unreachable");
	assert_int_equal(setns(old, CLONE_NEWNET), 0);
}

static void the_port_of_the_check_goes_before_the_backends(void **state)
{
	struct check c = tcp_check;
	struct server s = {};

	(void)state;
	serve(&s);
	c.port = s.port;
	assert_passed(check_once(local("127.0.0.1", 1), &c));
	assert_passed(check_once(local("127.0.0.1", 0), &c));
	server_stop(&s);
}

/* ---- HTTP ---- */

static void an_http_check_judges_by_the_status(void **state)
{
	struct check exact = http_check("/missing");
	struct server s = {};

	(void)state;
	serve(&s);
	assert_passed(ask(&s, "/ok"));
	assert_passed(ask(&s, "/unread"));
	assert_failed(ask(&s, "/missing"), "status 404, expected 200-399");
	assert_failed(ask(&s, "/busy"), "status 503, expected 200-399");
	exact.status_min = exact.status_max = 204;
	assert_failed(check_once(local("127.0.0.1", s.port), &exact), "status 404, expected 204");
	exact.status_min = exact.status_max = 404;
	assert_passed(check_once(local("127.0.0.1", s.port), &exact));
	server_stop(&s);
}

static void an_http_check_speaks_ipv6(void **state)
{
	struct check c = http_check("/ok");
	struct server s = {};
	char host[64];

	(void)state;
	serve_on(&s, "::1", 0);
	assert_passed(check_once(local("::1", s.port), &c));
	snprintf(host, sizeof(host), "\r\nHost: [::1]:%u\r\n", s.port);
	assert_non_null(strstr(s.request, host));
	server_stop(&s);
}

static void an_answer_that_is_too_slow_fails(void **state)
{
	struct check c = http_check("/silent");
	struct server s = {};
	struct health_info i;

	(void)state;
	serve(&s);
	c.timeout_ms = 150;
	i = check_once(local("127.0.0.1", s.port), &c);
	assert_failed(i, "no complete answer within 150 ms");
	assert_true(i.last_seconds >= 0.14 && i.last_seconds < 5);
	server_stop(&s);
}

static void answers_that_make_no_sense_fail_in_plain_words(void **state)
{
	struct server s = {};

	(void)state;
	serve(&s);
	assert_failed(ask(&s, "/garbage"), "the answer is not HTTP");
	assert_failed(ask(&s, "/hangup"), "connection closed without an answer");
	assert_failed(ask(&s, "/short"), "connection broke off before the end of the answer");
	server_stop(&s);
}

static void an_endless_answer_is_cut_off(void **state)
{
	struct server s = {};

	(void)state;
	serve(&s);
	assert_passed(ask(&s, "/endless"));
	server_stop(&s);
	assert_true(s.sent < 32u << 20); /* what the sockets' buffers take beside the 64 KB that are read */
	s = (struct server){};
	serve(&s);
	assert_failed(ask(&s, "/headers"), "the header of the answer is longer than 65536 bytes");
	server_stop(&s);
}

static void a_redirect_is_not_followed(void **state)
{
	struct server s = {};

	(void)state;
	serve(&s);
	assert_passed(ask(&s, "/moved"));
	assert_int_equal(s.accepted, 1);
	server_stop(&s);
}

static void the_request_is_what_was_configured(void **state)
{
	struct check c = http_check("/a/../b?c=%20#d");
	struct server s = {};
	char host[64];

	(void)state;
	serve(&s);
	c.host = "www.example.org";
	assert_passed(check_once(local("127.0.0.1", s.port), &c));
	assert_non_null(strstr(s.request, "GET /a/../b?c=%20#d HTTP/1.1\r\n"));
	assert_non_null(strstr(s.request, "\r\nHost: www.example.org\r\n"));
	assert_null(strstr(s.request, "127.0.0.1"));

	c = http_check(NULL);
	assert_passed(check_once(local("127.0.0.1", s.port), &c));
	snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n", s.port);
	assert_non_null(strstr(s.request, "GET / HTTP/1.1\r\n"));
	assert_non_null(strstr(s.request, host));
	server_stop(&s);
}

static void a_proxy_in_the_environment_is_not_asked(void **state)
{
	struct server s = {}, proxy = {};
	char url[64];

	(void)state;
	serve(&s);
	serve(&proxy);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", proxy.port);
	setenv("http_proxy", url, 1);
	setenv("all_proxy", url, 1);
	assert_passed(ask(&s, "/ok"));
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	assert_int_equal(proxy.accepted, 0);
	server_stop(&s);
	server_stop(&proxy);
}

static void every_http_check_is_a_connection_of_its_own(void **state)
{
	struct check c = http_check("/ok");
	struct server s = {};
	struct probe p = {};

	(void)state;
	serve(&s);
	add(&p, local("127.0.0.1", s.port), &c, STATE_UNKNOWN);
	run_until(info(&p).checks >= 10);
	assert_true(s.accepted >= 10);
	assert_true(s.accepted <= info(&p).checks + 1);
	health_remove(p.target);
	server_stop(&s);
}

/* Lines of /proc/net/tcp about this remote port in state 06. */
static unsigned in_time_wait(uint16_t port)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/net/tcp", "r");
	unsigned here, there, n = 0, st;
	char line[256];

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d: %*8x:%x %*8x:%x %x", &here, &there, &st) == 3)
			n += st == 6 && there == port;
	return n;
}

static void a_check_leaves_no_port_in_time_wait(void **state)
{
	struct check http = http_check("/ok");
	struct probe a = {}, b = {};
	struct server s = {};

	(void)state;
	serve(&s);
	add(&a, local("127.0.0.1", s.port), &http, STATE_UNKNOWN);
	add(&b, local("127.0.0.1", s.port), &tcp_check, STATE_UNKNOWN);
	run_until(info(&a).checks >= 10);
	run_until(info(&b).checks >= 10);
	health_remove(a.target);
	health_remove(b.target);
	run_until(!s.open);
	assert_int_equal(in_time_wait(s.port), 0);
	server_stop(&s);
}

/* ---- verdicts over several checks ---- */

static void a_verdict_changes_after_fall_failures_and_rise_successes(void **state)
{
	struct check c = http_check("/switch");
	const struct health_info *went, *came;
	struct server s = {};
	struct probe p = {};

	(void)state;
	serve(&s);
	add(&p, local("127.0.0.1", s.port), &c, STATE_UNKNOWN);
	run_until(is_healthy(&p));
	s.busy = true;
	run_until(is_unhealthy(&p));
	s.busy = false;
	run_until(is_healthy(&p));
	went = &p.at_change[1];
	came = &p.at_change[2];
	assert_int_equal(went->failures, 3);
	assert_int_equal(came->checks - came->failures - (went->checks - went->failures), 2);
	assert_int_equal(p.changes, 3);
	health_remove(p.target);
	server_stop(&s);
}

static void an_earlier_state_holds_until_the_first_check_which_decides(void **state)
{
	struct probe up = {}, down = {}, same = {};
	_cleanup_close_ int fd = -1;
	struct server s = {};
	uint16_t closed;

	(void)state;
	serve(&s);
	closed = refusing_port(&fd);
	add(&up, local("127.0.0.1", closed), &tcp_check, STATE_HEALTHY);
	add(&down, local("127.0.0.1", s.port), &tcp_check, STATE_UNHEALTHY);
	add(&same, local("127.0.0.1", s.port), &tcp_check, STATE_HEALTHY);
	assert_int_equal(info(&up).state, STATE_HEALTHY);
	assert_int_equal(info(&down).state, STATE_UNHEALTHY);
	run_until(is_unhealthy(&up));
	run_until(is_healthy(&down));
	run_until(checked(&same));
	assert_int_equal(up.at_change[0].checks, 1);
	assert_int_equal(down.at_change[0].checks, 1);
	assert_int_equal(same.changes, 0);
	assert_int_equal(info(&same).since_ms, 0);
	health_remove(up.target);
	health_remove(down.target);
	health_remove(same.target);
	server_stop(&s);
}

static void an_unfit_check_is_refused(void **state)
{
	struct endpoint at = local("127.0.0.1", 80), portless = local("127.0.0.1", 0);
	struct check none = {}, http = http_check("/a b"), never_due = tcp_check;
	struct health_target *t = NULL;

	(void)state;
	assert_int_equal(health_add(health, &at, &none, STATE_UNKNOWN, on_change, NULL, &t), -EINVAL);
	assert_int_equal(health_add(health, &portless, &tcp_check, STATE_UNKNOWN, on_change, NULL, &t), -EINVAL);
	assert_int_equal(health_add(health, &at, &http, STATE_UNKNOWN, on_change, NULL, &t), -EINVAL);
	http = http_check("/");
	http.host = "a\r\nX: y";
	assert_int_equal(health_add(health, &at, &http, STATE_UNKNOWN, on_change, NULL, &t), -EINVAL);
	never_due.interval_ms = 0;
	assert_int_equal(health_add(health, &at, &never_due, STATE_UNKNOWN, on_change, NULL, &t), -EINVAL);
	assert_null(t);
}

/* ---- the schedule ---- */

#define MANY 200

/* Whatever the machine does meanwhile: without a spread they would all come within milliseconds. */
static void first_checks_of_what_is_known_do_not_come_all_at_once(void **state)
{
	struct server s = { .n_arrivals = MANY };
	struct check c = tcp_check;
	struct probe p[MANY] = {};
	double arrivals[MANY];

	(void)state;
	s.arrivals = arrivals;
	serve(&s);
	c.interval_ms = 1200;
	for (int i = 0; i < MANY; i++)
		add(&p[i], local("127.0.0.1", s.port), &c, STATE_HEALTHY);
	run_until(s.accepted >= s.n_arrivals);
	assert_true(arrivals[MANY - 1] - arrivals[0] > 0.3);
	for (int i = 0; i < MANY; i++)
		health_remove(p[i].target);
	server_stop(&s);
}

/* An hour is longer than the test waits. Who was removed leaves nobody waiting behind it. */
static void what_was_never_checked_is_checked_at_once(void **state)
{
	struct check c = tcp_check;
	struct server s = {};
	struct probe p = {}, q = {};

	(void)state;
	serve(&s);
	c.interval_ms = 3600000;
	for (int i = 0; i < 20000; i++) {
		add(&p, local("127.0.0.1", s.port), &c, STATE_UNKNOWN);
		health_remove(p.target);
	}
	add(&p, local("127.0.0.1", s.port), &c, STATE_UNKNOWN);
	add(&q, local("127.0.0.1", s.port), &c, STATE_UNKNOWN);
	run_until(is_healthy(&p));
	run_until(is_healthy(&q));
	health_remove(p.target);
	health_remove(q.target);
	server_stop(&s);
}

static void later_checks_keep_the_interval(void **state)
{
	struct check c = tcp_check;
	struct server s = {};
	struct probe p = {};
	uint64_t before;
	double begin;

	(void)state;
	serve(&s);
	c.interval_ms = 50;
	add(&p, local("127.0.0.1", s.port), &c, STATE_UNKNOWN);
	run_until(checked(&p));
	before = info(&p).checks;
	begin = now_s();
	loop_for(base, 0.5);
	assert_true(info(&p).checks - before <= (now_s() - begin) / 0.0475 + 1);
	assert_true(info(&p).checks - before >= 2); /* 10 on a quiet machine */
	health_remove(p.target);
	server_stop(&s);
}

#define CROWD 40
static bool all_checked_thrice(const struct probe *p)
{
	for (int i = 0; i < CROWD; i++)
		if (info(&p[i]).checks < 3)
			return false;
	return true;
}

/* The server closes first, so that what it counts as open is no more than what is under way. */
static void no_more_checks_than_the_cap_run_at_once_and_all_get_their_turn(void **state)
{
	struct check c = http_check("/late");
	struct server s = { .delay_ms = 10 };
	struct probe p[CROWD] = {};
	uint64_t least = UINT64_MAX, most = 0;

	(void)state;
	serve(&s);
	health_set_under_way(health, 4);
	c.interval_ms = 1; /* always due: the queue never empties */
	for (int i = 0; i < CROWD; i++)
		add(&p[i], local("127.0.0.1", s.port), &c, STATE_UNKNOWN);
	run_until(all_checked_thrice(p));
	assert_int_equal(s.most_open, 4);
	for (int i = 0; i < CROWD; i++) {
		uint64_t n = info(&p[i]).checks;

		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	assert_true(most - least <= 1);

	health_set_under_way(health, 9);
	s.accepted = 0;
	s.n_arrivals = 60;
	s.arrivals = calloc(60, sizeof(double));
	run_until(s.accepted >= s.n_arrivals);
	assert_int_equal(s.most_open, 9);
	for (int i = 0; i < CROWD; i++)
		health_remove(p[i].target);
	server_stop(&s);
	free(s.arrivals);
}

/* ---- adding and removing ---- */

struct chain {
	struct server *server;
	struct health_target *first, *second, *added;
	unsigned calls;
};

static void on_added(void *arg, struct health_target *t, enum state now)
{
	struct chain *chain = arg;

	assert_int_equal(now, STATE_HEALTHY);
	health_remove(t);
	chain->added = NULL;
}

static void on_first(void *arg, struct health_target *t, enum state now)
{
	struct check c = http_check("/ok");
	struct chain *chain = arg;
	struct endpoint at = local("127.0.0.1", chain->server->port);

	(void)now;
	chain->calls++;
	assert_ptr_equal(t, chain->first);
	health_remove(t);
	health_remove(chain->second);
	chain->first = chain->second = NULL;
	assert_int_equal(health_add(health, &at, &c, STATE_UNKNOWN, on_added, chain, &chain->added), 0);
}

static void on_no_account(void *arg, struct health_target *t, enum state now)
{
	(void)arg, (void)t, (void)now;
	fail_msg("a target that was removed has called");
}

static void a_callback_may_remove_itself_and_others_and_add(void **state)
{
	struct check quick = http_check("/ok"), slow = http_check("/silent");
	struct server s = {};
	struct chain chain = { .server = &s };
	struct endpoint at;

	(void)state;
	serve(&s);
	at = local("127.0.0.1", s.port);
	slow.interval_ms = 1;
	quick.interval_ms = 100;
	assert_int_equal(health_add(health, &at, &slow, STATE_UNKNOWN, on_no_account, &chain, &chain.second), 0);
	assert_int_equal(health_add(health, &at, &quick, STATE_UNKNOWN, on_first, &chain, &chain.first), 0);
	run_until(chain.calls && !chain.added);
	assert_int_equal(chain.calls, 1);
	server_stop(&s);
}

static void a_check_under_way_is_dropped_with_its_target(void **state)
{
	struct check c = http_check("/silent"), tcp = tcp_check;
	struct health_target *t[3], *waiting, *syn_sent;
	struct server s = {};
	struct endpoint at, silent;
	int fds[4], before;

	(void)state;
	serve(&s);
	silent = local("127.0.0.1", silent_port(fds));
	before = count_fds();
	c.interval_ms = tcp.interval_ms = 1;
	at = local("127.0.0.1", s.port);
	health_set_under_way(health, 4);
	assert_int_equal(health_add(health, &silent, &tcp, STATE_UNKNOWN, on_no_account, NULL, &syn_sent), 0);
	loop_for(base, 0.02);
	for (int i = 0; i < 3; i++)
		assert_int_equal(health_add(health, &at, &c, STATE_UNKNOWN, on_no_account, NULL, &t[i]), 0);
	run_until(s.open >= 3);
	assert_int_equal(health_add(health, &at, &c, STATE_UNKNOWN, on_no_account, NULL, &waiting), 0);
	loop_for(base, 0.02); /* long enough to be due; the cap keeps it in the queue */
	assert_int_equal(s.accepted, 3);
	health_remove(syn_sent);
	for (int i = 0; i < 3; i++)
		health_remove(t[i]);
	health_remove(waiting);
	run_until(!s.open);
	assert_int_equal(count_fds(), before + 2); /* libcurl's multi handle has two of its own */
	close_all(fds, 4);
	server_stop(&s);
}

/* ---- when this host runs out of something ---- */

/* Standard error goes to a file for a while. */
struct capture {
	int saved;
	FILE *file;
};

static void capture_begin(struct capture *c)
{
	fflush(stderr);
	c->saved = dup(STDERR_FILENO);
	c->file = tmpfile();
	dup2(fileno(c->file), STDERR_FILENO);
}

static unsigned capture_end(struct capture *c, const char *text)
{
	char line[512];
	unsigned n = 0;

	fflush(stderr);
	dup2(c->saved, STDERR_FILENO);
	close(c->saved);
	rewind(c->file);
	while (fgets(line, sizeof(line), c->file))
		n += strstr(line, text) != NULL;
	fclose(c->file);
	return n;
}

static void without_descriptors_checks_are_put_off_and_said_once(void **state)
{
	struct check http = http_check("/ok");
	struct rlimit limit, none;
	struct capture capture;
	struct probe p[2] = {};
	struct server s = {};

	(void)state;
	serve(&s);
	add(&p[0], local("127.0.0.1", s.port), &tcp_check, STATE_HEALTHY);
	add(&p[1], local("127.0.0.1", s.port), &http, STATE_HEALTHY);
	capture_begin(&capture);
	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	loop_for(base, 0.3);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_int_equal(capture_end(&capture, "no file descriptors are left: raise LimitNOFILE"), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(info(&p[i]).checks, 0);
		assert_int_equal(info(&p[i]).state, STATE_HEALTHY);
	}
	run_until(checked(&p[0]) && checked(&p[1]));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(info(&p[i]).failures, 0);
		assert_int_equal(p[i].changes, 0);
		health_remove(p[i].target);
	}
	server_stop(&s);
}

static void without_local_ports_checks_are_put_off_and_said_once(void **state)
{
	_cleanup_close_ int old = enter_namespace();
	struct check http = http_check("/ok");
	struct capture capture;
	struct probe p[2] = {};
	struct server s = {};
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int held[2];

	(void)state;
	if (old < 0)
		skip();
	serve(&s);
	to.sin_port = htons(s.port);
	write_file("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001");
	for (int i = 0; i < 2; i++) {
		held[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(held[i], (struct sockaddr *)&to, sizeof(to)), 0);
	}
	capture_begin(&capture);
	add(&p[0], local("127.0.0.1", s.port), &tcp_check, STATE_HEALTHY);
	add(&p[1], local("127.0.0.1", s.port), &http, STATE_HEALTHY);
	loop_for(base, 0.3);
	assert_int_equal(capture_end(&capture, "no local ports are left: widen net.ipv4.ip_local_port_range"), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(info(&p[i]).checks, 0);
		setsockopt(held[i], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
		close(held[i]);
	}
	run_until(checked(&p[0]) && checked(&p[1]));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(info(&p[i]).failures, 0);
		health_remove(p[i].target);
	}
	server_stop(&s);
	assert_int_equal(setns(old, CLONE_NEWNET), 0);
}

/* ---- thousands ---- */

#define THOUSANDS 5000

static bool all_are_healthy(const struct probe *p)
{
	for (int i = 0; i < THOUSANDS; i++)
		if (!is_healthy(&p[i]))
			return false;
	return true;
}

static void five_thousand_targets_share_one_loop(void **state)
{
	_cleanup_free_ struct probe *p = calloc(THOUSANDS, sizeof(*p));
	struct check tcp = tcp_check, http = http_check("/switch");
	struct server s = {};

	(void)state;
	serve(&s);
	tcp.interval_ms = http.interval_ms = 1500;
	http.fall = 1;
	health_set_under_way(health, 128);
	for (int i = 0; i < THOUSANDS; i++) {
		char address[32];

		snprintf(address, sizeof(address), "127.1.%d.%d", i / 250, i % 250 + 1);
		add(&p[i], local(address, s.port), i % 5 ? &tcp : &http, STATE_UNKNOWN);
	}
	run_until(all_are_healthy(p));
	for (int i = 0; i < THOUSANDS; i++)
		assert_int_equal(p[i].changes, 1);
	for (int i = 0; i < THOUSANDS; i++)
		health_remove(p[i].target);
	server_stop(&s);
	assert_true(count_fds() <= fds_before + 2); /* libcurl's multi handle */
}

int main(void)
{
#define test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_check_decides_alone),
		cmocka_unit_test(fall_failures_in_a_row_make_it_unhealthy),
		cmocka_unit_test(rise_successes_in_a_row_make_it_healthy),
		cmocka_unit_test(one_check_that_agrees_breaks_the_streak),
		cmocka_unit_test(fall_or_rise_of_nought_counts_as_one),
		cmocka_unit_test(states_that_no_check_gives_are_unknown_to_begin_with),
		cmocka_unit_test(a_check_contradicts_a_state_that_says_otherwise),
		cmocka_unit_test(first_checks_fall_evenly_into_one_interval),
		cmocka_unit_test(first_checks_begin_where_chance_says),
		cmocka_unit_test(what_is_unknown_is_checked_a_thousand_a_second_but_within_its_interval),
		cmocka_unit_test(the_next_check_is_an_interval_after_the_start_of_the_last),
		cmocka_unit_test(errors_of_this_host_are_told_from_errors_of_the_backend),
		test(a_connection_with_itself_is_recognised),
		test(a_listener_passes_a_tcp_check),
		test(a_tcp_check_speaks_ipv6),
		test(a_closed_port_fails_with_connection_refused),
		test(a_silent_port_fails_when_the_time_is_over),
		test(a_loop_that_was_held_up_does_not_cut_the_time_of_a_check),
		test(an_address_without_a_route_fails_in_plain_words),
		test(the_port_of_the_check_goes_before_the_backends),
		test(an_http_check_judges_by_the_status),
		test(an_http_check_speaks_ipv6),
		test(an_answer_that_is_too_slow_fails),
		test(answers_that_make_no_sense_fail_in_plain_words),
		test(an_endless_answer_is_cut_off),
		test(a_redirect_is_not_followed),
		test(the_request_is_what_was_configured),
		test(a_proxy_in_the_environment_is_not_asked),
		test(every_http_check_is_a_connection_of_its_own),
		test(a_check_leaves_no_port_in_time_wait),
		test(a_verdict_changes_after_fall_failures_and_rise_successes),
		test(an_earlier_state_holds_until_the_first_check_which_decides),
		test(an_unfit_check_is_refused),
		test(first_checks_of_what_is_known_do_not_come_all_at_once),
		test(what_was_never_checked_is_checked_at_once),
		test(later_checks_keep_the_interval),
		test(no_more_checks_than_the_cap_run_at_once_and_all_get_their_turn),
		test(a_callback_may_remove_itself_and_others_and_add),
		test(a_check_under_way_is_dropped_with_its_target),
		test(without_descriptors_checks_are_put_off_and_said_once),
		test(without_local_ports_checks_are_put_off_and_said_once),
		test(five_thousand_targets_share_one_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
