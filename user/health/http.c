/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An HTTP check passes when the answer to a GET has an expected status and ends in time. libcurl speaks
 * HTTP, in our loop (loop/transfers.h).
 *
 * Every check is a connection of its own, straight to the endpoint: nothing is reused, followed, proxied or resolved.
 * The answer is thrown away, and after ANSWER_MAX bytes of it no more is read.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "health/checker.h"
#include "loop/transfers.h"

#define ANSWER_MAX 65536 /* bytes of header, and of body */
#define TARGET_TEXT (ENDPOINT_TEXT + 16)

struct http {
	struct transfers *transfers;
};

struct http_run {
	struct http *http;
	const struct check *check;
	CURL *easy;
	struct transfer transfer;
	struct curl_slist *headers;
	size_t header_bytes, body_bytes;
	int socket_err; /* errno when no socket could be made */
	checker_done_fn done;
	void *arg;
};

/* ---- one check ---- */

static void http_stop(void *arg)
{
	struct http_run *run = arg;

	transfer_stop(&run->transfer);
	curl_easy_cleanup(run->easy);
	curl_slist_free_all(run->headers);
	free(run);
}

static void http_stopp(struct http_run **run)
{
	if (*run)
		http_stop(*run);
}

static void judge_status(const struct http_run *run, struct outcome *o)
{
	const struct check *c = run->check;
	long status = 0;

	curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &status);
	outcome_from_errno(o, 0);
	if (status >= c->status_min && status <= c->status_max)
		return;
	if (c->status_min == c->status_max)
		outcome_failed(o, "status %ld, expected %u", status, c->status_min);
	else
		outcome_failed(o, "status %ld, expected %u-%u", status, c->status_min, c->status_max);
}

static void judge_connect(const struct http_run *run, struct outcome *o)
{
	long err = run->socket_err;

	if (!err)
		curl_easy_getinfo(run->easy, CURLINFO_OS_ERRNO, &err);
	outcome_from_errno(o, err ? err : ECONNREFUSED);
}

static void judge_timeout(const struct http_run *run, struct outcome *o)
{
	curl_off_t connected = 0;

	curl_easy_getinfo(run->easy, CURLINFO_CONNECT_TIME_T, &connected);
	outcome_timed_out(o, connected ? "no complete answer" : "no connection", run->check->timeout_ms);
}

static void judge(const struct http_run *run, CURLcode code, struct outcome *o)
{
	switch (code) {
	case CURLE_OK:
		return judge_status(run, o);
	case CURLE_WRITE_ERROR: /* we stopped it */
		if (run->header_bytes <= ANSWER_MAX)
			return judge_status(run, o);
		return outcome_failed(o, "the header of the answer is longer than %u bytes", ANSWER_MAX);
	case CURLE_COULDNT_CONNECT:
		return judge_connect(run, o);
	case CURLE_OPERATION_TIMEDOUT:
		return judge_timeout(run, o);
	case CURLE_GOT_NOTHING:
		return outcome_failed(o, "connection closed without an answer");
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		return outcome_failed(o, "the answer is not HTTP");
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
		return outcome_failed(o, "connection broke off before the end of the answer");
	case CURLE_OUT_OF_MEMORY:
		return outcome_from_errno(o, ENOMEM);
	default:
		return outcome_failed(o, "%s", curl_easy_strerror(code));
	}
}

static void end_run(void *ended, CURLcode code)
{
	_cleanup_(http_stopp) struct http_run *run = ended;
	checker_done_fn done = run->done;
	void *arg = run->arg;
	struct outcome outcome;

	judge(run, code, &outcome);
	http_stop(TAKE_PTR(run));
	done(arg, &outcome);
}

/* A number of bytes that is not the one given makes libcurl end the transfer. */
static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_run *run = arg;

	(void)data;
	run->header_bytes += size * n;
	return run->header_bytes <= ANSWER_MAX ? size * n : 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_run *run = arg;

	(void)data;
	run->body_bytes += size * n;
	return run->body_bytes <= ANSWER_MAX ? size * n : 0;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct http_run *run = arg;
	int fd = checker_socket(to->family);

	(void)purpose;
	if (fd >= 0)
		return fd;
	run->socket_err = -fd;
	return CURL_SOCKET_BAD;
}

static int add_header(struct http_run *run, const char *line)
{
	struct curl_slist *longer = curl_slist_append(run->headers, line);

	if (!longer)
		return -ENOMEM;
	run->headers = longer;
	return 0;
}

static int set_headers(struct http_run *run)
{
	_cleanup_free_ char *host = NULL;
	int err = add_header(run, "Connection: close");

	if (err || !run->check->host)
		return err;
	if (asprintf(&host, "Host: %s", run->check->host) < 0)
		return -ENOMEM;
	return add_header(run, host);
}

static int set_options(struct http_run *run, const struct endpoint *at)
{
	char url[TARGET_TEXT], text[ENDPOINT_TEXT];
	CURL *e = run->easy;
	CURLcode bad = 0;

	snprintf(url, sizeof(url), "http://%s/", endpoint_format(at, text));
	bad |= curl_easy_setopt(e, CURLOPT_URL, url);
	bad |= curl_easy_setopt(e, CURLOPT_REQUEST_TARGET, run->check->path); /* as it was written, not normalised */
	bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, run->headers);
	bad |= curl_easy_setopt(e, CURLOPT_USERAGENT, "shunt");
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	bad |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)run->check->timeout_ms);
	bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_PROXY, ""); /* not even from the environment */
	bad |= curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 4096L);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, run);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, run);
	bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	bad |= curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, run);
	return bad ? -ENOMEM : 0;
}

static int http_start(struct event_base *base, void *shared, const struct endpoint *at, const struct check *c,
		      checker_done_fn done, void *arg, void **out)
{
	_cleanup_(http_stopp) struct http_run *run = calloc(1, sizeof(*run));
	int err;

	(void)base;
	if (!run)
		return -ENOMEM;
	*run = (struct http_run){ .http = shared, .check = c, .easy = curl_easy_init(), .done = done, .arg = arg };
	if (!run->easy)
		return -ENOMEM;
	err = set_headers(run);
	if (!err)
		err = set_options(run, at);
	if (err)
		return err;
	run->transfer = (struct transfer){ .easy = run->easy, .done = end_run, .arg = run };
	err = transfer_start(run->http->transfers, &run->transfer);
	if (err)
		return err;
	*out = TAKE_PTR(run);
	return 0;
}

/* ---- what all share ---- */

static void http_close(void *shared)
{
	struct http *http = shared;

	transfers_free(http->transfers);
	free(http);
}

static int http_open(struct event_base *base, void **shared)
{
	struct http *http = calloc(1, sizeof(*http));
	int err = http ? transfers_new(base, &http->transfers) : -ENOMEM;

	if (err)
		free(http);
	else
		*shared = http;
	return err;
}

const struct checker checker_http = { .open = http_open, .close = http_close, .start = http_start, .stop = http_stop };
