/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/http.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clean.h"
#include "base/file.h"

/* A peer that is gone without a word is found by these, whatever a request may take: seconds. */
#define KEEP_IDLE 5
#define KEEP_INTERVAL 2
#define KEEP_COUNT 3

#define HEADERS_MAX (64u << 10) /* bytes */

struct http {
	struct transfers *transfers;
	struct http_settings settings;
	size_t at; /* of the URLs */
};

struct bytes {
	char *data; /* a zero follows */
	size_t len, room;
};

struct http_request {
	struct http *http;
	struct http_call call;
	struct transfer transfer;
	struct curl_slist *headers;
	size_t at; /* URL that is asked */
	struct bytes head, body; /* of a stream body holds the line that is not complete */
	bool too_long;
	char *no_token; /* why it cannot be used: the request is not sent; NULL: it can */
	struct event *unsent; /* active: done says so */
	char error[CURL_ERROR_SIZE];
};

/* ---- the server ---- */

int http_new(struct transfers *t, const struct http_settings *s, struct http **out)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	*h = (struct http){ .transfers = t, .settings = *s };
	*out = h;
	return 0;
}

void http_set(struct http *h, const struct http_settings *s)
{
	h->settings = *s;
}

void http_free(struct http *h)
{
	free(h);
}

unsigned http_servers(const struct http *h)
{
	return h->settings.urls.n;
}

const char *http_url(const struct http *h)
{
	return h->settings.urls.list[h->at];
}

void http_next(struct http *h, const char *url)
{
	if (h->settings.urls.list[h->at] == url) /* others that were under way there move it once */
		h->at = (h->at + 1) % h->settings.urls.n;
}

const char *http_request_url(const struct http_request *r)
{
	return r->http->settings.urls.list[r->at];
}

/* ---- what arrives ---- */

static bool bytes_add(struct bytes *b, const char *data, size_t n, size_t most)
{
	if (b->len + n > most)
		return false;
	if (b->len + n + 1 > b->room) {
		size_t room = 2 * (b->len + n + 1);
		char *grown = realloc(b->data, room);

		if (!grown)
			return false;
		b->data = grown;
		b->room = room;
	}
	memcpy(b->data + b->len, data, n);
	b->len += n;
	b->data[b->len] = '\0';
	return true;
}

/* Lines are kept without their ends, each with a zero behind it. */
static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_request *r = arg;
	size_t len = size * n;

	if (len > 5 && !strncmp(data, "HTTP/", 5))
		r->head.len = 0; /* what came before was of a 100 */
	while (len && (data[len - 1] == '\n' || data[len - 1] == '\r'))
		len--;
	r->too_long |= !bytes_add(&r->head, data, len, HEADERS_MAX) || !bytes_add(&r->head, "", 1, HEADERS_MAX);
	return r->too_long ? 0 : size * n;
}

static long status_of(const struct http_request *r)
{
	long status = 0;

	curl_easy_getinfo(r->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

/* Hands over the lines that are complete; line may not cancel the request. */
static bool hand_over_lines(struct http_request *r, const char *data, size_t n)
{
	const char *end;

	while ((end = memchr(data, '\n', n))) {
		size_t len = end - data;

		if (!bytes_add(&r->body, data, len, HTTP_BODY_MAX))
			return false;
		if (r->body.len)
			r->call.line(r->call.arg, r->body.data, r->body.len);
		r->body.len = 0;
		data += len + 1;
		n -= len + 1;
	}
	return bytes_add(&r->body, data, n, HTTP_BODY_MAX);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_request *r = arg;

	if (r->call.line && status_of(r) / 100 == 2)
		r->too_long |= !hand_over_lines(r, data, size * n);
	else
		r->too_long |= !bytes_add(&r->body, data, size * n, HTTP_BODY_MAX);
	return r->too_long ? 0 : size * n;
}

const char *http_header(const struct http_request *r, const char *name)
{
	const char *end = r->head.data + r->head.len;
	size_t len = strlen(name);

	for (const char *line = r->head.data; line && line < end; line += strlen(line) + 1)
		if (!strncasecmp(line, name, len) && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
	return NULL;
}

/* ---- the end ---- */

static void request_free(struct http_request *r)
{
	transfer_stop(&r->transfer);
	curl_easy_cleanup(r->transfer.easy);
	curl_slist_free_all(r->headers);
	if (r->unsent)
		event_free(r->unsent);
	free(r->no_token);
	free(r->head.data);
	free(r->body.data);
	free(r);
}

static void request_freep(struct http_request **r)
{
	if (*r)
		request_free(*r);
}

void http_cancel(struct http_request *r)
{
	request_free(r);
}

/* What the other side says of TLS in an alert is worth more than that the connection ended by it. */
static bool broke_off(const struct http_request *r, CURLcode code)
{
	switch (code) {
	case CURLE_PARTIAL_FILE:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return !strstr(r->error, " alert ");
	default:
		return false;
	}
}

/* false: it is not for the files of tls that there is no connection. */
static bool say_file(const struct http_request *r, CURLcode code, char *text, size_t size)
{
	const struct tls *t = &r->http->settings.tls;
	const struct {
		const char *key, *path;
	} files[] = { { "ca", t->ca }, { "cert", t->cert }, { "key", t->key } };

	if (code != CURLE_SSL_CACERT_BADFILE && code != CURLE_SSL_CERTPROBLEM)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (files[i].path && access(files[i].path, R_OK)) {
			snprintf(text, size, "%s: the file of tls: %s, %s, cannot be read: %s", http_request_url(r),
				 files[i].key, files[i].path, strerror(errno));
			return true;
		}
	if (code == CURLE_SSL_CACERT_BADFILE && t->ca)
		snprintf(text, size, "%s: the file of tls: ca, %s, has no certificates as PEM", http_request_url(r), t->ca);
	return code == CURLE_SSL_CACERT_BADFILE && t->ca;
}

/* What OpenSSL makes of an answer that is not of TLS. */
static bool speaks_no_tls(const struct http_request *r, CURLcode code)
{
	return code == CURLE_SSL_CONNECT_ERROR &&
	       (strstr(r->error, "wrong version number") || strstr(r->error, "packet length too long"));
}

/* In libcurl's error there may be words of another connection, which it found dead on the way. */
static void say_problem(const struct http_request *r, CURLcode code, char *text, size_t size)
{
	const char *url = http_request_url(r);

	if (r->too_long)
		snprintf(text, size, "%s: the answer is too long", url);
	else if (say_file(r, code, text, size))
		return;
	else if (speaks_no_tls(r, code))
		snprintf(text, size, "%s: the server there speaks no TLS (%s); write http://", url, r->error);
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(text, size, "%s: its certificate is not believed (%s); tls: { ca: FILE } says by whom it may be signed",
			 url, r->error[0] ? r->error : curl_easy_strerror(code));
	else if (broke_off(r, code))
		snprintf(text, size, "%s: the connection broke off before the end of the answer", url);
	else
		snprintf(text, size, "%s: %s", url, r->error[0] ? r->error : curl_easy_strerror(code));
}

static void on_done(void *arg, CURLcode code)
{
	_cleanup_(request_freep) struct http_request *r = arg;
	char problem[CURL_ERROR_SIZE + 1100];
	struct http_answer a = { .status = status_of(r), .body = r->body.data ?: "", .len = r->body.len };

	if (code) {
		say_problem(r, code, problem, sizeof(problem));
		a.problem = problem;
		a.timed_out = code == CURLE_OPERATION_TIMEDOUT;
		http_next(r->http, http_request_url(r));
	}
	r->call.done(r->call.arg, r, &a);
}

static void on_unsent(evutil_socket_t fd, short what, void *arg)
{
	_cleanup_(request_freep) struct http_request *r = arg;

	(void)fd;
	(void)what;
	r->call.done(r->call.arg, r, &(struct http_answer){ .problem = r->no_token, .no_token = true, .body = "" });
}

/* ---- the beginning ---- */

static int on_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	unsigned patience_ms = (KEEP_IDLE + KEEP_INTERVAL * KEEP_COUNT) * 1000;
	int count = KEEP_COUNT;

	(void)arg;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof(patience_ms));
	return CURL_SOCKOPT_OK;
}

static int add_header(struct http_request *r, const char *line)
{
	struct curl_slist *longer = curl_slist_append(r->headers, line);

	if (!longer)
		return -ENOMEM;
	r->headers = longer;
	return 0;
}

static int refuse_token(struct http_request *r, int err)
{
	int n = asprintf(&r->no_token, "token-file %s cannot be used: %s", r->http->settings.token_file,
			 err == -ENODATA ? "it is empty" : strerror(-err));

	if (n < 0)
		r->no_token = NULL;
	return r->no_token ? 0 : -ENOMEM;
}

/* Without its token a request may be answered, but not truly. */
static int add_token(struct http_request *r)
{
	const struct http_settings *s = &r->http->settings;
	_cleanup_free_ char *line = NULL, *header = NULL;
	int err = s->token_file ? file_first_line(s->token_file, &line) : 0;

	if (err)
		return refuse_token(r, err);
	if (!line)
		return 0;
	if (asprintf(&header, "%s%s", s->token_head, line) < 0)
		return -ENOMEM;
	return add_header(r, header);
}

static int set_headers(struct http_request *r, const struct http_call *call)
{
	int err = add_token(r);

	if (!err)
		err = add_header(r, "Expect:"); /* a body is sent at once */
	if (!err && call->type)
		err = add_header(r, call->type);
	for (const char *const *line = call->headers; line && *line && !err; line++)
		err = add_header(r, *line);
	return err;
}

/* A text that libcurl copies: another may take its place while the request is under way. */
static CURLcode set_blob(CURL *e, CURLoption option, const char *text)
{
	struct curl_blob blob = { .data = (void *)text, .len = strlen(text), .flags = CURL_BLOB_COPY };

	return curl_easy_setopt(e, option, &blob);
}

/*
 * libcurl would believe those of the system's directory besides; and it would keep what it read of a file for a day, where
 * it has no directory.
 */
static CURLcode believe_no_others(CURL *e)
{
	CURLcode bad = curl_easy_setopt(e, CURLOPT_CAPATH, NULL);

#if LIBCURL_VERSION_NUM >= 0x075700
	bad |= curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
	return bad;
}

static CURLcode set_tls(CURL *e, const struct http_settings *s)
{
	CURLcode bad = s->tls.ca || s->ca_data ? believe_no_others(e) : CURLE_OK;

	if (s->tls.ca)
		bad |= curl_easy_setopt(e, CURLOPT_CAINFO, s->tls.ca);
	if (s->tls.cert)
		bad |= curl_easy_setopt(e, CURLOPT_SSLCERT, s->tls.cert);
	if (s->tls.key)
		bad |= curl_easy_setopt(e, CURLOPT_SSLKEY, s->tls.key);
	if (s->ca_data)
		bad |= set_blob(e, CURLOPT_CAINFO_BLOB, s->ca_data);
	if (s->cert_data)
		bad |= set_blob(e, CURLOPT_SSLCERT_BLOB, s->cert_data);
	if (s->key_data)
		bad |= set_blob(e, CURLOPT_SSLKEY_BLOB, s->key_data);
	return bad;
}

/* Ending a transfer does not wait for the thread that asks the resolver for a host's name: it ends by itself. */
static CURLcode set_quick_exit(CURL *e)
{
#if LIBCURL_VERSION_NUM >= 0x075700
	return curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#else
	(void)e;
	return CURLE_OK;
#endif
}

static CURLcode set_patience(CURL *e, const struct http_settings *s, const struct http_call *call)
{
	CURLcode bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(s->connect_ms ?: 5000));
	bad |= set_quick_exit(e);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, (long)KEEP_IDLE);
	bad |= curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, (long)KEEP_INTERVAL);
	bad |= curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
	if (call->quiet_ms) {
		bad |= curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		bad |= curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((call->quiet_ms + 999) / 1000));
	}
	return bad;
}

/* A URL may end in a slash, and a path begins with one: Consul sends who asks for both elsewhere. NULL: out of memory. */
static char *whole_url(const char *url, const char *path)
{
	size_t len = strlen(url);
	char *whole;

	while (len && url[len - 1] == '/')
		len--;
	return asprintf(&whole, "%.*s%s", (int)len, url, path) < 0 ? NULL : whole;
}

static CURLcode set_request(struct http_request *r, const struct http_call *call)
{
	_cleanup_free_ char *url = whole_url(r->http->settings.urls.list[r->at], call->path);
	CURL *e = r->transfer.easy;
	CURLcode bad = 0;

	if (!url)
		return CURLE_OUT_OF_MEMORY;
	bad |= curl_easy_setopt(e, CURLOPT_URL, url);
	bad |= curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, call->method);
	if (call->body)
		bad |= curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, call->body);
	bad |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers);
	bad |= curl_easy_setopt(e, CURLOPT_USERAGENT, "shunt");
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
	bad |= curl_easy_setopt(e, CURLOPT_PIPEWAIT, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, call->line ? NULL : "");
	bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_PROXY, ""); /* not even from the environment */
	bad |= curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	bad |= curl_easy_setopt(e, CURLOPT_HEADERDATA, r);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	bad |= curl_easy_setopt(e, CURLOPT_WRITEDATA, r);
	return bad;
}

static int start(struct http_request *r, const struct http_call *call)
{
	const struct http_settings *s = &r->http->settings;

	if (set_request(r, call) || set_patience(r->transfer.easy, s, call) || set_tls(r->transfer.easy, s))
		return -ENOMEM;
	return transfer_start(r->http->transfers, &r->transfer);
}

/* It is over as others are: later, from the loop. */
static int end_unsent(struct http_request *r)
{
	r->unsent = event_new(transfers_base(r->http->transfers), -1, 0, on_unsent, r);
	if (!r->unsent)
		return -ENOMEM;
	event_active(r->unsent, 0, 0);
	return 0;
}

int http_send(struct http *h, const struct http_call *call, struct http_request **out)
{
	_cleanup_(request_freep) struct http_request *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	if (h->settings.before)
		h->settings.before(h->settings.arg);
	*r = (struct http_request){ .http = h, .call = *call, .at = h->at };
	r->transfer = (struct transfer){ .easy = curl_easy_init(), .done = on_done, .arg = r };
	if (!r->transfer.easy || set_headers(r, call))
		return -ENOMEM;
	err = r->no_token ? end_unsent(r) : start(r, call);
	if (err)
		return err;
	*out = TAKE_PTR(r);
	return 0;
}

char *http_escape(const char *text)
{
	size_t len = strlen(text);
	char *out = malloc(3 * len + 1), *at = out;

	for (; out && *text; text++)
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			*at++ = *text;
		else
			at += sprintf(at, "%%%02X", (unsigned char)*text);
	if (out)
		*at = '\0';
	return out;
}
