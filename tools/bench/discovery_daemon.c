/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clean.h"
#include "base/log.h"
#include "bench.h"
#include "datapath/datapath.h"

#define PINS "/sys/fs/bpf/shunt-bench-discovery"
#define START_S 20

/* ---- its life ---- */

static const char head[] =
	"interfaces: [{ name: bench0, role: edge, mode: generic }]\n"
	"control: { socket: " PLACE_RUN "/shunt.sock }\n"
	"metrics: { listen: off }\n"
	"pins: " PINS "\n"
	"state: " DISCOVERY_STATE "\n";

static int write_config(const char *config)
{
	_cleanup_fclose_ FILE *f = fopen(PLACE_RUN "/shunt.yaml", "we");

	if (f && fputs(head, f) >= 0 && fputs(config, f) >= 0 && !fflush(f))
		return 0;
	return err_r(-EIO, "cannot write " PLACE_RUN "/shunt.yaml: %s", strerror(errno));
}

/* One of the pinned arrays, as it is now. NULL: it is not there, or not mappable. */
static const void *map_array(const char *name, uint32_t *n)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	char path[256];
	_cleanup_close_ int fd = -1;
	void *at;

	snprintf(path, sizeof(path), PINS "/%s", name);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return NULL;
	*n = info.max_entries;
	at = mmap(NULL, (size_t)info.max_entries * info.value_size, PROT_READ, MAP_SHARED, fd, 0);
	return at == MAP_FAILED ? NULL : at;
}

static void unmap(const void *at, size_t size)
{
	if (at)
		munmap((void *)at, size);
}

static bool map_all(struct subject *s)
{
	s->service = map_array("services", &s->services);
	s->member = map_array("members", &s->members);
	s->backend = map_array("backends", &s->backends);
	s->slot = map_array("slots", &s->slots);
	return s->service && s->member && s->backend && s->slot;
}

static void unmap_all(struct subject *s)
{
	unmap(s->service, s->services * sizeof(*s->service));
	unmap(s->member, s->members * sizeof(*s->member));
	unmap(s->backend, s->backends * sizeof(*s->backend));
	unmap(s->slot, s->slots * sizeof(*s->slot));
}

/* The control socket comes after the maps. */
static int await_start(const struct subject *s)
{
	double end = bench_now_us() + START_S * 1e6;

	while (access(PLACE_RUN "/shunt.sock", F_OK)) {
		if (bench_stopped())
			return -EINTR;
		if (place_is_gone(s->pid) || bench_now_us() > end)
			return -ECHILD;
		usleep(2000);
	}
	return 0;
}

int subject_start(struct subject *s, const char *config)
{
	const struct place here = { .netns = -1, .cpu = -1 };
	int err = write_config(config);

	*s = (struct subject){};
	if (err)
		return err;
	s->pid = place_shuntd(&here, "shuntd.log", PLACE_RUN "/shunt.yaml");
	err = s->pid < 0 ? s->pid : await_start(s);
	if (!err && !map_all(s))
		err = -ENOENT;
	if (!err || err == -EINTR)
		return err;
	place_show("shuntd.log");
	return err_r(err, "shuntd did not start as the bench wants it (above is what it says)");
}

void subject_end(struct subject *s)
{
	unmap_all(s);
	place_end(&s->pid);
	*s = (struct subject){};
	subject_clear();
}

void subject_clear(void)
{
	if (!access(PINS, F_OK))
		dp_unload(PINS);
	unlink(PLACE_RUN "/shunt.sock");
}

/* ---- what it has done ---- */

static bool is_reached(const struct shunt_backend *b)
{
	const uint32_t wanted = SHUNT_BACKEND_USED | SHUNT_BACKEND_UP | SHUNT_BACKEND_NEXTHOP;

	return (__atomic_load_n(&b->flags, __ATOMIC_ACQUIRE) & wanted) == wanted;
}

typedef bool (*owner_fn)(void *arg, const struct subject *s, uint32_t member);

/* Calls fn with the owner of each slot of a service until it returns true, and returns whether it did. */
static bool any_owner(const struct subject *s, uint32_t service, owner_fn fn, void *arg)
{
	__u64 table = __atomic_load_n(&s->service[service].table, __ATOMIC_ACQUIRE);
	const __u64 *slots = s->slot + shunt_table_first_slot(table);

	if (!(s->service[service].flags & SHUNT_SERVICE_USED) || !table)
		return false;
	for (uint32_t i = 0; i <= shunt_table_mask(table); i++) {
		uint16_t number = shunt_slot_current(__atomic_load_n(&slots[i], __ATOMIC_RELAXED));

		if (number != SHUNT_NONE && fn(arg, s, shunt_table_first_member(table) + number))
			return true;
	}
	return false;
}

static bool has_address(void *arg, const struct subject *s, uint32_t member)
{
	uint32_t backend = member < s->members ? s->member[member].backend : UINT32_MAX;

	return backend < s->backends && !memcmp(&s->backend[backend].address, arg, sizeof(struct shunt_addr)) &&
	       is_reached(&s->backend[backend]);
}

bool subject_leads_to(const struct subject *s, const struct addr *address)
{
	struct shunt_addr at = dp_addr(address);

	for (uint32_t i = 0; i < s->services; i++)
		if (any_owner(s, i, has_address, &at))
			return true;
	return false;
}

struct seen {
	bool *members;
	uint32_t n;
};

static bool note_owner(void *arg, const struct subject *s, uint32_t member)
{
	struct seen *seen = arg;

	if (member >= s->members || seen->members[member])
		return false;
	seen->members[member] = true;
	seen->n += s->member[member].backend < s->backends && is_reached(&s->backend[s->member[member].backend]);
	return false;
}

uint32_t subject_reaches(const struct subject *s)
{
	_cleanup_free_ bool *members = calloc(s->members, sizeof(*members));
	struct seen seen = { .members = members };

	for (uint32_t i = 0; members && i < s->services; i++)
		any_owner(s, i, note_owner, &seen);
	return seen.n;
}

int subject_memory(const struct subject *s, double *resident, double *own, double *peak)
{
	const struct { const char *form; double *to; } figures[] = {
		{ "VmHWM: %lf", peak }, { "VmRSS: %lf", resident }, { "RssAnon: %lf", own },
	};
	char path[64], line[256];
	_cleanup_fclose_ FILE *f = NULL;
	size_t found = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", s->pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
			if (sscanf(line, figures[i].form, figures[i].to) == 1) {
				*figures[i].to /= 1024; /* KiB */
				found++;
			}
	return found == ARRAY_SIZE(figures) ? 0 : err_r(-EIO, "bench: %s does not say what memory shuntd has", path);
}
