/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What was kept in the state directory, damaged or not: a set of endpoints, and what a source offered. What is
 * believed is in range, and kept again it is the same.
 */
#include <dirent.h>

#include "base/file.h"
#include "base/log.h"
#include "discovery/internal.h"
#include "fuzz.h"

static struct discovery room;
static char set_path[sizeof(room.state) + 300], offers_path[sizeof(set_path)];
static struct opened source = { .conf = { .name = "kube", .kind = SOURCE_KUBERNETES } };

static struct finder finder_of(void)
{
	static char *key;
	const struct discover what = { .kind = SOURCE_CONSUL, .name = "web" };

	key = key ?: discover_key(&what);
	must(key);
	return (struct finder){ .key = key, .what = what };
}

static void remove_room(void)
{
	char found[sizeof(room.state) + 8];

	snprintf(found, sizeof(found), "%s/found", room.state);
	unlink(set_path);
	unlink(offers_path);
	rmdir(found);
	rmdir(room.state);
}

/* The one file in the directory that is not known yet. */
static void find_path(char *path, size_t size)
{
	char found[sizeof(room.state) + 8];
	const struct dirent *e;
	DIR *dir;

	snprintf(found, sizeof(found), "%s/found", room.state);
	dir = opendir(found);
	must(dir);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && (!set_path[0] || strcmp(strrchr(set_path, '/') + 1, e->d_name)))
			snprintf(path, size, "%s/%s", found, e->d_name);
	closedir(dir);
	must(path[0]);
}

/* A directory, and where in it the two are kept. */
static void make_room(void)
{
	const struct finder f = finder_of();
	const struct offers o = { .source = &source };

	log_set_level(LOG_LEVEL_ERROR);
	snprintf(room.state, sizeof(room.state), "%s/shunt-fuzz-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	must(mkdtemp(room.state));
	atexit(remove_room);
	must(!store_save_finder(&room, &f));
	find_path(set_path, sizeof(set_path));
	must(!store_save_offers(&room, &o));
	find_path(offers_path, sizeof(offers_path));
}

static void write_input(const char *path, const uint8_t *data, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen(path, "w");

	must(f && fwrite(data, 1, size, f) == size);
}

static void try_set(const uint8_t *data, size_t size)
{
	struct finder f = finder_of(), again = finder_of();

	write_input(set_path, data, size);
	store_load_finder(&room, &f, &f.what);
	if (f.known) {
		must(f.n <= size && !store_save_finder(&room, &f));
		store_load_finder(&room, &again, &again.what);
		must(again.known && again.n == f.n && again.changed_ms == f.changed_ms &&
		     !strcmp(again.version, f.version));
	}
	for (size_t i = 0; i < f.n; i++) {
		const struct backend *a = &f.set[i], *b = &again.set[i];

		must(a->weight <= WEIGHT_MAX && a->admin <= ADMIN_DISABLED && a->weight == b->weight &&
		     a->admin == b->admin);
		must(!i || endpoint_compare(&f.set[i - 1].at, &a->at) < 0);
		must(!endpoint_compare(&a->at, &b->at) && !server_id_compare(&a->server_id, &b->server_id));
	}
	free(f.set);
	free(again.set);
}

static void check_offers(const struct offers *o)
{
	for (size_t i = 0; i < o->n; i++)
		must(o->list[i].n_listens && o->list[i].discover.name &&
		     (!i || strcmp(o->list[i - 1].name, o->list[i].name) < 0));
}

static void try_offers(const uint8_t *data, size_t size)
{
	struct offers o = { .source = &source }, again = { .source = &source };

	write_input(offers_path, data, size);
	store_load_offers(&room, &o);
	if (o.known) {
		must(o.n <= size && !store_save_offers(&room, &o));
		store_load_offers(&room, &again);
		must(again.known && again.n == o.n);
	}
	check_offers(&o);
	for (size_t i = 0; i < o.n; i++) {
		must(!strcmp(o.list[i].name, again.list[i].name) && o.list[i].n_listens == again.list[i].n_listens);
		offer_clear(&o.list[i]);
		offer_clear(&again.list[i]);
	}
	free(o.list);
	free(again.list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!room.state[0])
		make_room();
	try_set(data, size);
	try_offers(data, size);
	return 0;
}
