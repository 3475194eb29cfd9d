/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clean.h"
#include "cli/output.h"

#define CONNECT_SECONDS 5L
#define ANSWER_SECONDS 120L /* a large configuration takes its time to apply */

struct text {
	char *data;
	size_t len;
};

/* ---- paths ---- */

static void add_encoded(FILE *out, const char *part)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (; *part; part++) {
		if (strchr(plain, *part))
			fputc(*part, out);
		else
			fprintf(out, "%%%02X", (unsigned char)*part);
	}
}

char *client_path(const char *part, ...)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	va_list args;

	if (!out)
		return NULL;
	fputs("/v1", out);
	va_start(args, part);
	for (; part; part = va_arg(args, const char *)) {
		fputc('/', out);
		add_encoded(out, part);
	}
	va_end(args);
	return fclose(out) ? NULL : TAKE_PTR(text);
}

/* ---- transport ---- */

static size_t receive(char *data, size_t size, size_t n, void *arg)
{
	struct text *t = arg;
	char *grown = realloc(t->data, t->len + size * n + 1);

	if (!grown)
		return 0;
	t->data = grown;
	memcpy(t->data + t->len, data, size * n);
	t->len += size * n;
	t->data[t->len] = '\0';
	return size * n;
}

/* Why nobody answers, and what to do. */
static int unreachable(const struct cli *cli, CURLcode code)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(cli->socket) >= sizeof(at.sun_path))
		return complain(cli, UNREACHABLE, "%s: the path of a socket has at most %zu characters", cli->socket,
				sizeof(at.sun_path) - 1);
	strcpy(at.sun_path, cli->socket);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return complain(cli, UNREACHABLE, "shuntd does not answer on %s; its log may say why", cli->socket);
	if (code != CURLE_COULDNT_CONNECT || fd < 0 || !connect(fd, (struct sockaddr *)&at, sizeof(at)))
		return complain(cli, UNREACHABLE, "%s: %s", cli->socket, curl_easy_strerror(code));
	if (errno == EACCES || errno == EPERM)
		return complain(cli, UNREACHABLE,
				"you may not use %s; be root, or a member of the group that control.group names",
				cli->socket);
	if (errno == ENOENT || errno == ECONNREFUSED)
		return complain(cli, UNREACHABLE,
				"no shuntd answers on %s; start it (systemctl start shuntd), or name its socket with -s",
				cli->socket);
	return complain(cli, UNREACHABLE, "%s: %s", cli->socket, strerror(errno));
}

static struct curl_slist *headers(void)
{
	/* no "Expect: 100-continue": it only waits */
	return curl_slist_append(curl_slist_append(NULL, "Expect:"), "Content-Type:");
}

static CURLcode perform(const struct cli *cli, const char *method, const char *path, const struct text *body,
			struct text *answer, long *status)
{
	struct curl_slist *list = headers();
	_cleanup_free_ char *url = NULL;
	CURL *curl = curl_easy_init();
	CURLcode code = CURLE_OUT_OF_MEMORY;

	if (curl && list && asprintf(&url, "http://shuntd%s", path) > 0) {
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, cli->socket);
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_SECONDS);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
		if (body) {
			curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
			curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data ?: "");
		}
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
		code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	}
	curl_slist_free_all(list);
	curl_easy_cleanup(curl);
	return code;
}

/* ---- answers ---- */

static int refused(const struct cli *cli, long status, const json_t *answer)
{
	const json_t *errors = json_object_get(answer, "errors"), *error;
	size_t i;

	if (cli->json && answer) {
		print_json(answer);
		return FAILED;
	}
	if (!*text_of(answer, "error"))
		return complain(cli, FAILED, status == 413 ? "the request is too large for shuntd (status %ld)" :
							     "shuntd answered with status %ld and no reason", status);
	json_array_foreach(errors, i, error)
		fprintf(stderr, "%s\n", json_string_value(error) ?: "");
	if (json_array_size(errors) != 1)
		fprintf(stderr, "shunt: %s\n", text_of(answer, "error"));
	return FAILED;
}

static int ask(const struct cli *cli, const char *method, const char *path, const struct text *body, json_t **reply)
{
	_cleanup_free_ char *received = NULL;
	struct text answer = {};
	json_t *o;
	CURLcode code;
	long status = 0;

	if (!path)
		return complain(cli, FAILED, "out of memory");
	code = perform(cli, method, path, body, &answer, &status);
	received = answer.data;
	if (code == CURLE_OUT_OF_MEMORY || code == CURLE_WRITE_ERROR)
		return complain(cli, FAILED, "out of memory");
	if (code)
		return unreachable(cli, code);
	o = json_loads(received ?: "", 0, NULL);
	if (status == 200 && o) {
		*reply = o;
		return DONE;
	}
	if (status == 200)
		return complain(cli, FAILED, "what answers on %s is no shuntd", cli->socket);
	status = refused(cli, status, o);
	json_decref(o);
	return status;
}

int client_get(const struct cli *cli, const char *path, json_t **reply)
{
	return ask(cli, "GET", path, NULL, reply);
}

int client_delete(const struct cli *cli, const char *path, json_t **reply)
{
	return ask(cli, "DELETE", path, NULL, reply);
}

int client_post(const struct cli *cli, const char *path, const char *body, size_t len, json_t **reply)
{
	struct text text = { .data = (char *)body, .len = len };

	return ask(cli, "POST", path, &text, reply);
}

int client_post_json(const struct cli *cli, const char *path, json_t *body, json_t **reply)
{
	_cleanup_free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (!text)
		return complain(cli, WRONG_USAGE, "an argument is no UTF-8 text");
	return client_post(cli, path, text, strlen(text), reply);
}

int client_report(const struct cli *cli, int status, json_t **reply)
{
	const json_t *changes, *change;
	size_t i;

	if (status)
		return status;
	changes = json_object_get(*reply, "changes");
	if (cli->json) {
		status = print_json(*reply);
	} else {
		json_array_foreach(changes, i, change)
			printf("%s\n", json_string_value(change) ?: "");
		if (!json_array_size(changes))
			printf("nothing to change\n");
	}
	json_decref(*reply);
	return status;
}
