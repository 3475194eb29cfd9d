/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sources that are measured: a directory of files, and real servers of Consul and etcd in our own namespace. */
#include "discovery.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "world.h"

#define SERVER_S 20 /* for a server to start */

static const char *address_of(uint32_t i, char text[ADDR_TEXT])
{
	struct addr at = world_address(DISCOVERY_FIRST, i);

	return addr_format(&at, text);
}

/* ---- files ---- */

int finding_write(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *f = fopen(PLACE_RUN "/new", "we");

	if (f && fputs(text, f) >= 0 && !fflush(f) && !rename(PLACE_RUN "/new", path))
		return 0;
	return err_r(-EIO, "cannot write %s: %s", path, strerror(errno));
}

char *finding_document(const char *first, uint32_t n)
{
	char *text = NULL, at[ADDR_TEXT];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	for (uint32_t i = 0; f && i < n; i++) {
		struct addr a = world_address(first, i);

		fprintf(f, "%s{ \"address\": \"%s:80\", \"weight\": 100 }", i ? ",\n" : "[\n", addr_format(&a, at));
	}
	if (f && (fputs("\n]\n", f) < 0 || fclose(f)))
		free(TAKE_PTR(text));
	return text;
}

static int file_change(const char *address, bool there, double *us)
{
	char path[PLACE_PATH], text[128];
	int err;

	snprintf(path, sizeof(path), FINDING_DIRECTORY "/%s.json", address);
	snprintf(text, sizeof(text), "{ \"address\": \"%s:80\" }\n", address);
	err = there ? finding_write(PLACE_RUN "/one.json", text) : 0;
	if (err)
		return err;
	*us = bench_now_us();
	if (there ? rename(PLACE_RUN "/one.json", path) : unlink(path))
		return err_r(-errno, "cannot change %s: %s", path, strerror(errno));
	return 0;
}

static int files_begin(struct finding *f, uint32_t n)
{
	char text[ADDR_TEXT];
	double us;
	int err = mkdir(FINDING_DIRECTORY, 0755) ? err_r(-errno, "cannot make " FINDING_DIRECTORY) : 0;

	strcpy(f->discover, "{ files: { directory: " FINDING_DIRECTORY " } }");
	for (uint32_t i = 0; i < n && !err; i++)
		err = file_change(address_of(i, text), true, &us);
	return err;
}

static void idle(uint32_t us)
{
	usleep(us);
}

static void files_end(void)
{
}

struct finding finding_files = {
	.name = "files", .begin = files_begin, .change = file_change, .pump = idle, .end = files_end,
};

/* ---- servers ---- */

static CURL *client;
static pid_t server;

static size_t ignore(char *bytes, size_t size, size_t n, void *arg)
{
	(void)bytes, (void)arg;
	return size * n;
}

/* HTTP status, or -EIO: there was no answer (then `why` says why). */
static long ask(const char *method, const char *url, const char *body, char why[CURL_ERROR_SIZE])
{
	long status = -EIO;

	client = client ?: curl_easy_init();
	if (!client)
		return -EIO;
	curl_easy_reset(client); /* its connection stays */
	curl_easy_setopt(client, CURLOPT_URL, url);
	curl_easy_setopt(client, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(client, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(client, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(client, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(client, CURLOPT_TIMEOUT, 5L);
	curl_easy_setopt(client, CURLOPT_ERRORBUFFER, why);
	if (!curl_easy_perform(client))
		curl_easy_getinfo(client, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static int tell(const char *method, const char *url, const char *body)
{
	char why[CURL_ERROR_SIZE] = "";
	long status = ask(method, url, body, why);

	if (status == 200)
		return 0;
	return err_r(-EIO, "bench: %s %s: %s (status %ld)", method, url, why, status);
}

static bool is_installed(const char *program)
{
	char command[PLACE_PATH + 32];

	snprintf(command, sizeof(command), "command -v %s > /dev/null", program);
	return !system(command);
}

static void servers_end(void)
{
	tap_close();
	place_end(&server);
	if (client)
		curl_easy_cleanup(TAKE_PTR(client));
}

/* Starts a server, waits until it says hello, and tells it the n endpoints. Who does not say hello is `skipped`. */
static int server_begin(struct finding *f, uint32_t n, const char *const argv[], uint16_t port, int (*hello)(void))
{
	const struct place here = { .netns = -1, .cpu = -1 };
	double end = bench_now_us() + SERVER_S * 1e6, us;
	char text[ADDR_TEXT], log[64];
	int err;

	snprintf(log, sizeof(log), "%s.log", f->name);
	server = place_start(&here, log, argv);
	if (server < 0)
		return server;
	while (hello()) {
		if (bench_stopped())
			return -EINTR;
		if (place_is_gone(server) || bench_now_us() > end) {
			place_show(log);
			f->skipped = "its server does not answer (above is what it says)";
			return 0;
		}
		usleep(20000);
	}
	err = tap_open(port);
	for (uint32_t i = 0; i < n && !err; i++)
		err = bench_stopped() ? -EINTR : f->change(address_of(i, text), true, &us);
	snprintf(f->sources, sizeof(f->sources), "sources: [{ %s: { url: \"http://127.0.0.1:%u\" } }]\n", f->name, tap_port());
	return err;
}

/* ---- Consul ---- */

#define CONSUL_PORT 8500
#define CONSUL "http://127.0.0.1:8500/v1"

static int consul_hello(void)
{
	char why[CURL_ERROR_SIZE];

	return ask("GET", CONSUL "/health/service/consul?passing", NULL, why) == 200 ? 0 : -EAGAIN;
}

static int consul_change(const char *address, bool there, double *us)
{
	char url[128], body[256];

	*us = 0;
	tap_mark();
	if (!there) {
		snprintf(url, sizeof(url), CONSUL "/agent/service/deregister/%s", address);
		return tell("PUT", url, "");
	}
	snprintf(body, sizeof(body), "{\"Name\":\"web\",\"ID\":\"%s\",\"Address\":\"%s\",\"Port\":80}", address, address);
	return tell("PUT", CONSUL "/agent/service/register", body);
}

/* Beside this program, where tools/consul.sh puts it. */
static int consul_path(char path[PLACE_PATH])
{
	ssize_t n = readlink("/proc/self/exe", path, PLACE_PATH - 64);

	if (n < 0)
		return -errno;
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, "consul/usr/bin/consul");
	return access(path, X_OK) ? -errno : 0;
}

static int consul_begin(struct finding *f, uint32_t n)
{
	char path[PLACE_PATH] = {};
	const char *const command[] = { path, "agent", "-dev", "-node", "bench", "-bind", "127.0.0.1", "-client", "127.0.0.1",
					"-log-level", "warn", "-data-dir", PLACE_RUN "/consul", "-config-format", "hcl", "-hcl",
					"disable_update_check = true", NULL };

	f->skipped = consul_path(path) ? "Consul is not there (tools/consul.sh fetches it)" : NULL;
	strcpy(f->discover, "{ consul: { service: web } }");
	return f->skipped ? 0 : server_begin(f, n, command, CONSUL_PORT, consul_hello);
}

struct finding finding_consul = {
	.name = "consul", .begin = consul_begin, .change = consul_change, .answered = tap_answered, .pump = tap_pump,
	.end = servers_end,
};

/* ---- etcd ---- */

#define ETCD_PORT 2379
#define ETCD "http://127.0.0.1:2379"
#define PREFIX "/shunt/services/web/"

static int etcd_hello(void)
{
	char why[CURL_ERROR_SIZE];

	return ask("POST", ETCD "/v3/kv/range", "{\"key\":\"Lw==\"}", why) == 200 ? 0 : -EAGAIN;
}

static void base64(const char *text, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i += 3) {
		uint32_t word = 0;

		for (size_t k = i; k < i + 3; k++)
			word = word << 8 | (k < len ? (uint8_t)text[k] : 0);
		for (int k = 0; k < 4; k++)
			*out++ = i + k > len ? '=' : digits[word >> (18 - 6 * k) & 63];
	}
	*out = '\0';
}

static int etcd_change(const char *address, bool there, double *us)
{
	char key[128], value[128], key64[256], value64[256], body[640];

	*us = 0;
	tap_mark();
	snprintf(key, sizeof(key), PREFIX "%s", address);
	snprintf(value, sizeof(value), "{\"address\":\"%s:80\"}", address);
	base64(key, key64);
	base64(value, value64);
	snprintf(body, sizeof(body), "{\"key\":\"%s\",\"value\":\"%s\"}", key64, value64);
	if (there)
		return tell("POST", ETCD "/v3/kv/put", body);
	snprintf(body, sizeof(body), "{\"key\":\"%s\"}", key64);
	return tell("POST", ETCD "/v3/kv/deleterange", body);
}

static int etcd_begin(struct finding *f, uint32_t n)
{
	static const char *const command[] = { "etcd", "--data-dir", PLACE_RUN "/etcd", "--listen-client-urls", ETCD,
					       "--advertise-client-urls", ETCD, "--logger", "zap", "--log-level", "error", NULL };

	f->skipped = is_installed("etcd") ? NULL : "etcd is not installed (tools/deps.sh etcd-server)";
	strcpy(f->discover, "{ etcd: { prefix: " PREFIX " } }");
	return f->skipped ? 0 : server_begin(f, n, command, ETCD_PORT, etcd_hello);
}

struct finding finding_etcd = {
	.name = "etcd", .begin = etcd_begin, .change = etcd_change, .answered = tap_answered, .pump = tap_pump,
	.end = servers_end,
};
