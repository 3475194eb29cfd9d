/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asking over HTTP: what ends does not wait, whom we believe. (What is asked and answered: test_consul, test_etcd, test_kubernetes.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <event2/listener.h>
#include <netdb.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clean.h"
#include "discovery/http.h"
#include "until.h"

#define SLOW_S 3

static sem_t resolving, resolved;

/* In place of the C library's: a resolver that does not answer for a while, and then knows nothing. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
	struct timespec end;

	(void)host, (void)port, (void)hints, (void)out;
	sem_post(&resolving);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += SLOW_S;
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &end, NULL))
		;
	sem_post(&resolved);
	return EAI_AGAIN;
}

static struct event_base *base;
static struct transfers *transfers;
static struct http *http;

static int setup(void **state)
{
	static char *url = "http://slow.example";
	const struct http_settings s = { .urls = { &url, 1 } };

	(void)state;
	sem_init(&resolving, 0, 0);
	sem_init(&resolved, 0, 0);
	base = event_base_new();
	return transfers_new(base, &transfers) || http_new(transfers, &s, &http);
}

static int teardown(void **state)
{
	(void)state;
	http_free(http);
	transfers_free(transfers);
	event_base_free(base);
	return 0;
}

static void on_done(void *arg, const struct http_request *r, const struct http_answer *a)
{
	(void)arg, (void)r, (void)a;
}

static void ending_a_request_does_not_wait_for_the_resolver(void **state)
{
	const struct http_call call = { .method = "GET", .path = "/", .done = on_done };
	struct http_request *r;
	double began;

	(void)state;
	if (curl_version_info(CURLVERSION_NOW)->version_num < 0x075700)
		skip(); /* libcurl cannot leave it alone */
	assert_int_equal(http_send(http, &call, &r), 0);
	while (sem_trywait(&resolving)) {
		event_base_loopexit(base, &(struct timeval){ .tv_usec = 5000 });
		event_base_dispatch(base);
	}
	began = now_s();
	http_cancel(r);
	assert_true(now_s() - began < SLOW_S / 2.0);
	sem_wait(&resolved); /* the thread has ended, or is about to: nothing is left of it */
}

/* ---- whom we believe ---- */

/* Authorities a and b, and a server's certificate that a signed; a is among the system's, for this process. */
static const char make_certificates[] =
	"exec > log 2>&1; new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'\n"
	"for i in a b; do $new -x509 -days 2 -subj /CN=$i -keyout $i.key -out $i.pem || exit; done\n"
	"echo subjectAltName=IP:127.0.0.1 > ext; $new -subj /CN=server -keyout server.key -out server.csr &&\n"
	"openssl x509 -req -in server.csr -CA a.pem -CAkey a.key -CAcreateserial -days 2 -extfile ext -out server.pem &&\n"
	"mkdir system && cp a.pem system && openssl rehash system\n";

static char certificates[] = "/tmp/test-http-XXXXXX";

/* Into the directory of certificates, where the test then is. false: that cannot be had here. */
static bool be_in_a_system_of_our_own(void)
{
	const char *path = curl_version_info(CURLVERSION_NOW)->capath;

	return path && mkdtemp(certificates) && !chdir(certificates) && !system(make_certificates) &&
	       !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("system", path, NULL, MS_BIND, NULL);
}

static int remove_certificates(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", certificates);
	return system(command);
}

static char server_at[32]; /* 127.0.0.1 and a port of this process */

static pid_t start_server(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execlp("openssl", "openssl", "s_server", "-accept", server_at, "-cert", "server.pem", "-key", "server.key",
	       "-www", "-quiet", NULL);
	_exit(127);
}

static void note_answer(void *text, const struct http_request *r, const struct http_answer *a)
{
	(void)r;
	snprintf(text, 400, "%s", a->problem ?: "fine");
}

/* With a connection of its own: the server closes it behind its answer. Waits until the server listens. */
static const char *ask(const struct http_settings *s)
{
	static char text[400];
	struct http_call call = { .method = "GET", .path = "/", .timeout_ms = 2000, .done = note_answer, .arg = text };
	double end = now_s() + 10;
	struct http_request *r;

	do {
		text[0] = '\0';
		http_set(http, s);
		assert_int_equal(http_send(http, &call, &r), 0);
		while (!text[0])
			event_base_loop(base, EVLOOP_ONCE);
	} while (strstr(text, "connect") && now_s() < end);
	return text;
}

static void only_the_authorities_of_the_file_are_believed_as_it_is_now(void **state)
{
	char text[64], *url = text;
	struct http_settings s = { .urls = { &url, 1 }, .tls = { .ca = (char *)"ca.pem" } };
	char pem[4096] = "";
	pid_t server;
	FILE *f;

	(void)state;
	if (!be_in_a_system_of_our_own())
		skip();
	snprintf(server_at, sizeof(server_at), "127.0.0.1:%u", 10000 + getpid() % 20000);
	snprintf(text, sizeof(text), "https://%s", server_at);
	server = start_server();
	assert_int_equal(system("cp b.pem ca.pem"), 0);
	assert_non_null(strstr(ask(&s), "its certificate is not believed"));
	assert_int_equal(system("cp a.pem ca.pem"), 0);
	assert_string_equal(ask(&s), "fine");
	f = fopen("b.pem", "re");
	assert_true(f && fread(pem, 1, sizeof(pem) - 1, f) > 0);
	fclose(f);
	s.tls.ca = NULL;
	s.ca_data = pem;
	assert_non_null(strstr(ask(&s), "its certificate is not believed"));
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	assert_int_equal(chdir("/") | remove_certificates(), 0);
}

/* ---- what goes wrong with TLS ---- */

static char problem[1000];

static void note_problem(void *arg, const struct http_request *r, const struct http_answer *a)
{
	(void)arg, (void)r;
	snprintf(problem, sizeof(problem), "%s", a->problem ?: "there is an answer");
}

static int last = -1; /* connection, which stays open: what a client sent before it read would end it otherwise */

static void close_last(void)
{
	if (last >= 0)
		close(last);
	last = -1;
}

/* A server of HTTP without TLS, which says so. */
static void on_connection(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

	(void)l, (void)from, (void)len, (void)arg;
	assert_int_equal(write(fd, answer, strlen(answer)), strlen(answer));
	close_last();
	last = fd;
}

static struct evconnlistener *listen_plainly(char url[64])
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	struct evconnlistener *l = evconnlistener_new_bind(base, on_connection, NULL, LEV_OPT_CLOSE_ON_FREE, -1,
							   (struct sockaddr *)&at, sizeof(at));

	assert_non_null(l);
	getsockname(evconnlistener_get_fd(l), (struct sockaddr *)&at, &len);
	snprintf(url, 64, "https://127.0.0.1:%u", ntohs(at.sin_port));
	return l;
}

/* Asks with these files; what became of it is in problem. */
static void ask_with(char *url, struct tls tls)
{
	const struct http_call call = { .method = "GET", .path = "/", .timeout_ms = 5000, .done = note_problem };
	const struct http_settings s = { .urls = { &url, 1 }, .tls = tls };
	struct http_request *r;

	http_set(http, &s);
	problem[0] = '\0';
	assert_int_equal(http_send(http, &call, &r), 0);
	assert_true(loop_until(base, problem[0]));
}

static void a_server_without_tls_is_said_to_be_one(void **state)
{
	char url[64];
	struct evconnlistener *l = listen_plainly(url);

	(void)state;
	ask_with(url, (struct tls){});
	assert_int_equal(strncmp(problem, url, strlen(url)), 0);
	assert_non_null(strstr(problem, ": the server there speaks no TLS ("));
	assert_non_null(strstr(problem, "); write http://"));
	close_last();
	evconnlistener_free(l);
}

static void a_file_of_tls_that_cannot_be_used_is_named(void **state)
{
	char path[] = "/tmp/shunt-test-ca.XXXXXX", url[64], expected[200];
	struct evconnlistener *l = listen_plainly(url);
	int fd = mkstemp(path);

	(void)state;
	close(fd);
	ask_with(url, (struct tls){ .ca = "/nope.pem" });
	snprintf(expected, sizeof(expected),
		 "%s: the file of tls: ca, /nope.pem, cannot be read: No such file or directory", url);
	assert_string_equal(problem, expected);
	ask_with(url, (struct tls){ .ca = path });
	snprintf(expected, sizeof(expected), "%s: the file of tls: ca, %s, has no certificates as PEM", url, path);
	assert_string_equal(problem, expected);
	ask_with(url, (struct tls){ .cert = "/nope.pem", .key = path });
	snprintf(expected, sizeof(expected),
		 "%s: the file of tls: cert, /nope.pem, cannot be read: No such file or directory", url);
	assert_string_equal(problem, expected);
	unlink(path);
	close_last();
	evconnlistener_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_server_without_tls_is_said_to_be_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_of_tls_that_cannot_be_used_is_named, setup, teardown),
		/* takes the system's certificates away from those that follow */
		cmocka_unit_test_setup_teardown(only_the_authorities_of_the_file_are_believed_as_it_is_now, setup, teardown),
		cmocka_unit_test_setup_teardown(ending_a_request_does_not_wait_for_the_resolver, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
