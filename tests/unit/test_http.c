/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Asking over HTTP: what ends does not wait. (What is asked and answered: test_consul, test_etcd, test_kubernetes.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netdb.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "base/clean.h"
#include "discovery/http.h"

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

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ending_a_request_does_not_wait_for_the_resolver, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
