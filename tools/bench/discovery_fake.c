/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "world.h"

#define CLIENTS_MAX 8

static struct {
	int listener, clients[CLIENTS_MAX];
	uint16_t port;
	char *answer; /* with its header */
	size_t len;
	double answered;
} fake = { .listener = -1 };

/* What an agent says of an instance with one check: about 1.2 kB. */
static void write_instance(FILE *f, uint32_t i)
{
	struct addr at = world_address(DISCOVERY_FIRST, i);
	char text[ADDR_TEXT];

	addr_format(&at, text);
	fprintf(f, "%s{\"Node\":{\"ID\":\"4f6a1e6e-8d3c-9d3e-2d34-7d3b4a%06x\",\"Node\":\"node-%u\",\"Address\":\"%s\","
		"\"Datacenter\":\"dc1\",\"TaggedAddresses\":{\"lan\":\"%s\",\"lan_ipv4\":\"%s\",\"wan\":\"%s\",\"wan_ipv4\":\"%s\"},"
		"\"Meta\":{\"consul-network-segment\":\"\"},\"CreateIndex\":%u,\"ModifyIndex\":%u},"
		"\"Service\":{\"ID\":\"web-%u\",\"Service\":\"web\",\"Tags\":[\"v2\",\"production\"],\"Address\":\"%s\","
		"\"TaggedAddresses\":{\"lan_ipv4\":{\"Address\":\"%s\",\"Port\":80},\"wan_ipv4\":{\"Address\":\"%s\",\"Port\":80}},"
		"\"Meta\":{\"version\":\"2.1\"},\"Port\":80,\"Weights\":{\"Passing\":1,\"Warning\":1},\"EnableTagOverride\":false,"
		"\"Proxy\":{\"MeshGateway\":{},\"Expose\":{}},\"Connect\":{},\"CreateIndex\":%u,\"ModifyIndex\":%u},"
		"\"Checks\":[{\"Node\":\"node-%u\",\"CheckID\":\"serfHealth\",\"Name\":\"Serf Health Status\",\"Status\":\"passing\","
		"\"Notes\":\"\",\"Output\":\"Agent alive and reachable\",\"ServiceID\":\"\",\"ServiceName\":\"\",\"ServiceTags\":[],"
		"\"Type\":\"\",\"Definition\":{},\"CreateIndex\":%u,\"ModifyIndex\":%u}]}",
		i ? "," : "[", i, i, text, text, text, text, text, i + 10, i + 10, i, text, text, text, i + 10, i + 10, i, i + 10,
		i + 10);
}

static int make_answer(uint32_t n)
{
	_cleanup_free_ char *body = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&body, &len);

	for (uint32_t i = 0; f && i < n; i++)
		write_instance(f, i);
	if (!f || fputs("]", f) < 0 || fclose(f))
		return -ENOMEM;
	fake.len = asprintf(&fake.answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Consul-Index: 42\r\n"
			    "X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\nContent-Length: %zu\r\n\r\n%s", len, body);
	return fake.answer ? 0 : -ENOMEM;
}

int fake_open(uint32_t n)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int err = make_answer(n);

	memset(fake.clients, 0xff, sizeof(fake.clients)); /* no descriptors */
	fake.answered = 0;
	fake.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!err && (fake.listener < 0 || bind(fake.listener, (struct sockaddr *)&at, len) ||
		     listen(fake.listener, CLIENTS_MAX) || getsockname(fake.listener, (struct sockaddr *)&at, &len)))
		err = -errno;
	fake.port = ntohs(at.sin_port);
	return err ? err_r(err, "bench: cannot listen on loopback: %s", strerror(-err)) : 0;
}

void fake_close(void)
{
	for (int i = 0; fake.listener >= 0 && i < CLIENTS_MAX; i++)
		clean_close(&fake.clients[i]);
	clean_close(&fake.listener);
	fake.listener = -1;
	free(TAKE_PTR(fake.answer));
}

uint16_t fake_port(void)
{
	return fake.port;
}

double fake_answered(void)
{
	return fake.answered;
}

/* A question with an index waits for a change, and there is none. */
static void answer(int *client)
{
	char request[8192];
	ssize_t n = recv(*client, request, sizeof(request) - 1, 0), sent;

	if (n <= 0) {
		clean_close(client);
		*client = -1;
		return;
	}
	request[n] = '\0';
	if (strstr(request, "index="))
		return;
	fake.answered = bench_now_us();
	for (size_t at = 0; at < fake.len; at += sent) {
		sent = send(*client, fake.answer + at, fake.len - at, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
	}
}

void fake_pump(uint32_t us)
{
	struct pollfd fds[1 + CLIENTS_MAX] = { { .fd = fake.listener, .events = POLLIN } };

	for (int i = 0; i < CLIENTS_MAX; i++)
		fds[1 + i] = (struct pollfd){ .fd = fake.clients[i], .events = POLLIN };
	if (ppoll(fds, ARRAY_SIZE(fds), &(struct timespec){ .tv_nsec = us * 1000 }, NULL) <= 0)
		return;
	for (int i = 0; i < CLIENTS_MAX; i++) {
		if (fds[1 + i].revents)
			answer(&fake.clients[i]);
		if (fds[0].revents && fake.clients[i] < 0) {
			fake.clients[i] = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC);
			fds[0].revents = 0;
		}
	}
}
