/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * discovery.*: the whole daemon, from what a source says to the kernel's arrays, as a balancer of packets with its
 * settings at their defaults. An endpoint is in the kernel when slots of the service lead to it and the way to it is
 * known; it is out when no slot leads to it.
 *
 * discovery.files.latency, .consul.latency, .etcd.latency: a service of n endpoints gets one more, and loses it, in
 * turn. Files: from the rename, or removal, of a file in the directory. Real servers of Consul and etcd: from the moment
 * that the last byte of their answer is sent to the daemon, which asks them through a relay of ours that sees it pass.
 *
 * discovery.10k: n endpoints in one service that had none. files: from the rename of one JSON file; consul: from the
 * first byte of an answer by a server of ours that speaks Consul's protocol.
 *
 * discovery.memory: of the daemon when n endpoints are in, 100 in each service. What is resident and not anonymous is,
 * for the most part, the kernel's arrays, which are there in the size of `limits` whatever is in them: at their defaults,
 * but for 100,000 endpoints.
 */
#include "discovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "world.h"

#define ENDPOINTS 100
#define CHANGES 100
#define CHANGE_S 5 /* for one to arrive */
#define PAUSE_US 40000 /* between two */
#define LARGE 10000
#define LARGE_RUNS 3
#define LARGE_S 60
#define EACH 100 /* endpoints of a service of discovery.memory */
#define LOOK_US 50 /* between looks at the kernel's arrays */

static struct subject subject;

/* ---- one change after the other ---- */

static int await_change(const struct finding *f, const struct addr *at, bool there)
{
	double end = bench_now_us() + CHANGE_S * 1e6;

	while (subject_leads_to(&subject, at) != there) {
		if (bench_stopped())
			return -EINTR;
		if (bench_now_us() > end)
			return err_r(-ETIMEDOUT, "bench: a change by %s did not come to the kernel in %d s", f->name, CHANGE_S);
		f->pump(LOOK_US);
	}
	return 0;
}

static int time_change(const struct finding *f, const struct addr *at, bool there, double *us)
{
	char text[ADDR_TEXT];
	double begin, end;
	int err = f->change(addr_format(at, text), there, &begin);

	if (!err)
		err = await_change(f, at, there);
	end = bench_now_us();
	begin = begin ?: f->answered();
	if (!err && !begin)
		return err_r(-EIO, "bench: %s changed the kernel without an answer", f->name);
	*us = end - begin;
	for (double until = end + PAUSE_US; bench_now_us() < until;)
		f->pump(LOOK_US);
	return err;
}

static int change_often(const struct finding *f, const char *row)
{
	struct addr last = world_address(DISCOVERY_FIRST, ENDPOINTS - 1), more = world_address(DISCOVERY_FIRST, ENDPOINTS);
	double us[CHANGES];
	int err = await_change(f, &last, true);

	if (!err)
		place_await_rest(subject.pid);
	for (int i = 0; i < CHANGES && !err; i++)
		err = time_change(f, &more, i % 2 == 0, &us[i]);
	if (!err)
		bench_row_us(row, ENDPOINTS, us, CHANGES);
	return err;
}

static int start_with(const struct finding *f)
{
	char config[1024];

	snprintf(config, sizeof(config),
		 "limits: { services: 64, listeners: 64, members: 1024, backends: 1024 }\n"
		 "%s"
		 "services: [{ name: web, listen: \"203.0.113.1:80/tcp\", health: none, discover: %s }]\n",
		 f->sources, f->discover);
	return subject_start(&subject, config);
}

static int bench_latency(struct finding *f)
{
	char row[64];
	int err;

	snprintf(row, sizeof(row), "discovery.%s.latency", f->name);
	if (!bench_wants(row))
		return 0;
	err = place_prepare();
	if (!err)
		err = f->begin(f, ENDPOINTS);
	if (!err && f->skipped)
		bench_row_skipped(row, f->skipped);
	if (!err && !f->skipped)
		err = start_with(f);
	if (!err && !f->skipped)
		err = change_often(f, row);
	if (err && err != -EINTR)
		place_show("shuntd.log");
	subject_end(&subject);
	f->end();
	place_clear();
	return err;
}

/* ---- many at once ---- */

static int await_all(uint32_t n, void (*pump)(uint32_t us))
{
	double end = bench_now_us() + LARGE_S * 1e6;

	while (subject_reaches(&subject) < n) {
		if (bench_stopped())
			return -EINTR;
		if (bench_now_us() > end)
			return err_r(-ETIMEDOUT, "bench: %u of %u endpoints are in the kernel after %d s", subject_reaches(&subject), n,
				     LARGE_S);
		pump(LOOK_US);
	}
	return 0;
}

static void sleep_us(uint32_t us)
{
	usleep(us);
}

static int large_by_file(double *us)
{
	_cleanup_free_ char *text = finding_document(DISCOVERY_FIRST, LARGE);
	int err = text ? finding_write(PLACE_RUN "/large.json", text) : -ENOMEM;

	if (!err && mkdir(FINDING_DIRECTORY, 0755))
		err = err_r(-errno, "cannot make " FINDING_DIRECTORY);
	if (!err)
		err = subject_start(&subject, "services: [{ name: web, listen: \"203.0.113.1:80/tcp\", health: none, "
				    "discover: { files: { directory: " FINDING_DIRECTORY " } } }]\n");
	if (err)
		return err;
	place_await_rest(subject.pid);
	*us = bench_now_us();
	if (rename(PLACE_RUN "/large.json", FINDING_DIRECTORY "/large.json"))
		return -errno;
	err = await_all(LARGE, sleep_us);
	*us = bench_now_us() - *us;
	return err;
}

static int large_by_consul(double *us)
{
	char config[512];
	int err = fake_open(LARGE);

	snprintf(config, sizeof(config), "sources: [{ consul: { url: \"http://127.0.0.1:%u\" } }]\n"
		 "services: [{ name: web, listen: \"203.0.113.1:80/tcp\", health: none, discover: { consul: { service: web } } }]\n",
		 fake_port());
	if (!err)
		err = subject_start(&subject, config);
	if (!err)
		err = await_all(LARGE, fake_pump);
	*us = bench_now_us() - fake_answered();
	fake_close();
	return err;
}

static int bench_large(const char *row, int (*run)(double *us))
{
	double us[LARGE_RUNS];
	int err = 0;

	for (int i = 0; i < LARGE_RUNS && !err && bench_wants(row); i++) {
		err = place_prepare();
		if (!err)
			err = run(&us[i]);
		if (err && err != -EINTR)
			place_show("shuntd.log");
		subject_end(&subject);
		place_clear();
	}
	if (!err && bench_wants(row))
		bench_row_us(row, LARGE, us, LARGE_RUNS);
	return err;
}

/* ---- memory ---- */

#define MEMORY "discovery.memory"
#define DEFAULT_HOLDS 10000 /* endpoints for which no limit needs to be raised */

static int add_service(FILE *f, uint32_t i)
{
	struct addr at = world_address(DISCOVERY_FIRST, i * EACH);
	char first[ADDR_TEXT], path[PLACE_PATH];
	_cleanup_free_ char *text = finding_document(addr_format(&at, first), EACH);

	snprintf(path, sizeof(path), FINDING_DIRECTORY "/%u", i);
	if (!text || mkdir(path, 0755))
		return err_r(-EIO, "cannot make %s: %s", path, strerror(errno));
	fprintf(f, " - { name: s%04u, listen: \"203.0.%u.%u:80/tcp\", health: none, discover: { files: { directory: %s } } }\n",
		i, i / 250, i % 250 + 1, path);
	strcat(path, "/all.json");
	return finding_write(path, text);
}

static char *memory_config(uint32_t n)
{
	_cleanup_free_ char *config = NULL;
	size_t len;
	FILE *f = open_memstream(&config, &len);
	int err = f ? 0 : -ENOMEM;

	if (f && n > DEFAULT_HOLDS)
		fprintf(f, "limits: { members: %u, backends: %u, slots: %u }\n", 4 * n, 2 * n, 1 << 25);
	if (f)
		fputs("services:\n", f);
	for (uint32_t i = 0; i < n / EACH && !err; i++)
		err = add_service(f, i);
	if (f && fclose(f))
		err = -ENOMEM;
	return err ? NULL : TAKE_PTR(config);
}

static int report_memory(uint32_t n)
{
	double resident, own, peak;
	int err;

	place_await_rest(subject.pid); /* what was found is kept, and let go of what it needed meanwhile */
	err = subject_memory(&subject, &resident, &own, &peak);
	if (err)
		return err;
	bench_title(MEMORY, "MiB of the daemon      endpoints     resident   of it anonymous    at most");
	printf("%-22s %9u %12.1f %17.1f %10.1f\n", MEMORY, n, resident, own, peak);
	bench_row_add(MEMORY, n, json_pack("{s:f, s:f, s:f}", "mib", resident, "mib_anonymous", own, "mib_max", peak));
	return 0;
}

static int bench_memory(uint32_t n)
{
	_cleanup_free_ char *config = NULL;
	int err = place_prepare();

	if (!err && mkdir(FINDING_DIRECTORY, 0755))
		err = err_r(-errno, "cannot make " FINDING_DIRECTORY);
	if (!err)
		config = memory_config(n);
	if (!err)
		err = config ? subject_start(&subject, config) : -ENOMEM;
	if (!err)
		err = await_all(n, sleep_us);
	if (!err)
		err = report_memory(n);
	else if (err != -EINTR)
		place_show("shuntd.log");
	subject_end(&subject);
	place_clear();
	return err;
}

/* ---- all ---- */

static bool wants_any(void)
{
	static const char *const rows[] = { "discovery.files.latency", "discovery.consul.latency", "discovery.etcd.latency",
					    "discovery.10k.files", "discovery.10k.consul", MEMORY };
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		any |= bench_wants(rows[i]);
	return any;
}

int bench_discovery(void)
{
	struct finding *const findings[] = { &finding_files, &finding_consul, &finding_etcd };
	static const uint32_t sizes[] = { 100, 10000, 100000 };
	int err = wants_any() ? world_enter() : 0;

	for (size_t i = 0; i < ARRAY_SIZE(findings) && !err; i++)
		err = bench_latency(findings[i]);
	if (!err)
		err = bench_large("discovery.10k.files", large_by_file);
	if (!err)
		err = bench_large("discovery.10k.consul", large_by_consul);
	for (size_t i = 0; i < ARRAY_SIZE(sizes) && !err && bench_wants(MEMORY); i++)
		err = bench_memory(sizes[i]);
	return err;
}

void bench_discovery_clear(void)
{
	subject_clear();
	place_clear();
}
