/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is in force, in files of the state directory: one JSON document for each question and for each source that
 * offers services, below "found/", named by a hash of what it answers. A file that is damaged, or of another question,
 * is as good as none.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "discovery/internal.h"

#define FOLDER "found"
#define NAME_LEN 21 /* sixteen digits and ".json" */
#define PATH_TEXT (STATE_TEXT + 32)
#define SIZE_MAX_BYTES ((size_t)256 << 20)

static void json_freep(json_t **o)
{
	json_decref(*o);
}
#define _cleanup_json_ _cleanup_(json_freep)

static void path_of(const struct discovery *d, const char *key, char path[PATH_TEXT])
{
	snprintf(path, PATH_TEXT, "%s/" FOLDER "/%016" PRIx64 ".json", d->state, hash_bytes(key, strlen(key)));
}

/* ---- files ---- */

/* The document about key; NULL: there is none that can be used. */
static json_t *load(const struct discovery *d, const char *key)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_TEXT];
	json_error_t error;
	const char *about;
	size_t len = 0;
	json_t *o;
	int err;

	if (!d->state[0])
		return NULL;
	path_of(d, key, path);
	err = file_read(path, SIZE_MAX_BYTES, &text, &len);
	if (err) {
		if (err != -ENOENT)
			log_warn("%s: what was found before cannot be read: %s", path, strerror(-err));
		return NULL;
	}
	o = json_loadb(text, len, 0, &error);
	if (o && (about = json_string_value(json_object_get(o, "key"))) && !strcmp(about, key))
		return o;
	if (!o)
		log_warn("%s: what was found before is damaged (%s): it is not used", path, error.text);
	json_decref(o);
	return NULL;
}

/* Takes o. */
static int save(const struct discovery *d, const char *key, json_t *o)
{
	_cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	char path[PATH_TEXT];
	int err;

	json_decref(o);
	snprintf(path, sizeof(path), "%s/" FOLDER, d->state);
	err = text ? directory_make(path) : -ENOMEM;
	path_of(d, key, path);
	if (!err)
		err = file_write(path, text, strlen(text), false);
	if (err)
		log_warn("%s cannot be written: %s; what is found will not outlive a restart", path, strerror(-err));
	return err;
}

/* ---- sets of endpoints ---- */

static json_t *backend_json(const struct backend *b)
{
	char at[ENDPOINT_TEXT], id[SERVER_ID_TEXT];

	return json_pack("{s:s, s:I, s:s, s:s}", "address", endpoint_format(&b->at, at), "weight", (json_int_t)b->weight,
			 "state", admin_names[b->admin], "server-id", server_id_format(&b->server_id, id));
}

static bool backend_from(const json_t *o, struct backend *b)
{
	const char *at, *state, *id;
	json_int_t weight;
	int admin;

	*b = (struct backend){};
	if (json_unpack((json_t *)o, "{s:s, s:I, s:s, s:s}", "address", &at, "weight", &weight, "state", &state, "server-id",
			&id) || endpoint_parse(at, &b->at) || weight < 0 || weight > WEIGHT_MAX)
		return false;
	admin = admin_parse(state);
	b->weight = weight;
	b->admin = admin;
	return admin >= 0 && (!*id || !server_id_parse(id, &b->server_id));
}

static int by_endpoint(const void *a, const void *b)
{
	return endpoint_compare(&((const struct backend *)a)->at, &((const struct backend *)b)->at);
}

/* All of a list, sorted. To be freed; NULL: something in it is no backend, or is there twice. */
static struct backend *set_from(const json_t *list)
{
	_cleanup_free_ struct backend *set = calloc(json_array_size(list) + 1, sizeof(*set));
	const json_t *item;
	size_t i;

	if (!json_is_array(list) || !set)
		return NULL;
	json_array_foreach(list, i, item) if (!backend_from(item, &set[i])) return NULL;
	qsort(set, json_array_size(list), sizeof(*set), by_endpoint);
	for (i = 1; i < json_array_size(list); i++)
		if (!by_endpoint(&set[i - 1], &set[i]))
			return NULL;
	return TAKE_PTR(set);
}

void store_load_finder(const struct discovery *d, struct finder *f, const struct discover *what)
{
	_cleanup_free_ char *key = discover_key(what);
	_cleanup_json_ json_t *o = key ? load(d, key) : NULL;
	const json_t *list = json_object_get(o, "backends");
	struct backend *set = o ? set_from(list) : NULL;
	char text[DISCOVER_TEXT];

	if (o && !set)
		log_warn("%s: what was found before is damaged: it is not used", discover_format(what, text));
	if (!set)
		return;
	free(f->set);
	f->set = set;
	f->n = json_array_size(list);
	f->known = true;
	f->changed_ms = json_integer_value(json_object_get(o, "changed_ms"));
	f->standing.heard_ms = json_integer_value(json_object_get(o, "heard_ms"));
	snprintf(f->version, sizeof(f->version), "%s", json_string_value(json_object_get(o, "version")) ?: "");
	text_clean(f->version);
}

int store_save_finder(const struct discovery *d, const struct finder *f)
{
	json_t *list = json_array();
	char what[DISCOVER_TEXT];

	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(list, backend_json(&f->set[i]));
	return save(d, f->key, json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "key", f->key, "question",
					 discover_format(&f->what, what), "version", f->version, "heard_ms",
					 (json_int_t)f->standing.heard_ms, "changed_ms", (json_int_t)f->changed_ms, "backends", list));
}

/* ---- offers ---- */

static char *offers_key(const struct offers *o)
{
	char *key;

	return asprintf(&key, "offers of %s", o->source->conf.name) < 0 ? NULL : key;
}

static json_t *offer_json(const struct offer *f)
{
	json_t *listens = json_array();
	char text[LISTEN_TEXT];

	for (size_t i = 0; i < f->n_listens; i++)
		json_array_append_new(listens, json_string(listen_format(&f->listens[i], text)));
	return json_pack("{s:s, s:o, s:b, s:s, s:s?, s:s?, s:s?, s:b}", "name", f->name, "listen", listens, "client",
			 f->affinity == AFFINITY_CLIENT, "service", f->discover.name, "namespace", f->discover.namespace,
			 "port", f->discover.port_name, "source", f->discover.source, "none", f->discover.allow_none);
}

static char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? strdup(text) : NULL;
}

static bool offer_from(const json_t *o, enum source_kind kind, struct offer *f)
{
	const json_t *listens = json_object_get(o, "listen"), *item;
	size_t i;

	*f = (struct offer){ .name = text_of(o, "name"), .listens = calloc(json_array_size(listens) + 1, sizeof(*f->listens)) };
	f->affinity = json_is_true(json_object_get(o, "client")) ? AFFINITY_CLIENT : AFFINITY_FLOW;
	f->discover = (struct discover){ .kind = kind, .name = text_of(o, "service"), .namespace = text_of(o, "namespace"),
					 .port_name = text_of(o, "port"), .source = text_of(o, "source"),
					 .allow_none = json_is_true(json_object_get(o, "none")) };
	json_array_foreach(listens, i, item) {
		const char *text = json_string_value(item);

		if (f->listens && text && !listen_parse(text, &f->listens[f->n_listens]))
			f->n_listens++;
	}
	if (f->name && f->listens && f->n_listens && f->discover.name)
		return true;
	offer_clear(f);
	return false;
}

void store_load_offers(const struct discovery *d, struct offers *o)
{
	_cleanup_free_ char *key = offers_key(o);
	_cleanup_json_ json_t *doc = key ? load(d, key) : NULL;
	const json_t *list = json_object_get(doc, "offers"), *item;
	size_t i;

	if (!json_is_array(list))
		return;
	o->list = calloc(json_array_size(list) + 1, sizeof(*o->list));
	if (!o->list)
		return;
	json_array_foreach(list, i, item) if (offer_from(item, o->source->conf.kind, &o->list[o->n])) o->n++;
	o->n = offers_sort(o->list, o->n);
	o->known = true;
}

int store_save_offers(const struct discovery *d, const struct offers *o)
{
	_cleanup_free_ char *key = offers_key(o);
	json_t *list = json_array();

	for (size_t i = 0; i < o->n; i++)
		json_array_append_new(list, offer_json(&o->list[i]));
	return key ? save(d, key, json_pack("{s:s, s:o}", "key", key, "offers", list)) : -ENOMEM;
}

/* ---- what nobody needs ---- */

struct needed {
	uint64_t *hashes;
	size_t n, room;
	bool failed;
};

static void need(struct needed *all, const char *key)
{
	if (all->n == all->room) {
		uint64_t *grown = reallocarray(all->hashes, 2 * all->room + 64, sizeof(*grown));

		if (!grown) {
			all->failed = true;
			return;
		}
		all->hashes = grown;
		all->room = 2 * all->room + 64;
	}
	all->hashes[all->n++] = hash_bytes(key, strlen(key));
}

static void need_set(void *arg, const struct found_set *set)
{
	_cleanup_free_ char *key = discover_key(set->what);

	if (key)
		need(arg, key);
	else
		((struct needed *)arg)->failed = true;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void sweep(DIR *dir, const struct needed *all)
{
	const struct dirent *e;
	uint64_t h;
	int end;

	while ((e = readdir(dir))) {
		if (strlen(e->d_name) != NAME_LEN || sscanf(e->d_name, "%16" SCNx64 ".json%n", &h, &end) != 1 || end != NAME_LEN)
			continue;
		if (!all->n || !bsearch(&h, all->hashes, all->n, sizeof(h), by_number))
			unlinkat(dirfd(dir), e->d_name, 0);
	}
}

void store_sweep(const struct discovery *d)
{
	struct needed all = {};
	char path[PATH_TEXT];
	DIR *dir;

	snprintf(path, sizeof(path), "%s/" FOLDER, d->state);
	dir = opendir(path);
	if (!dir)
		return;
	discovery_each(d, need_set, &all);
	for (size_t i = 0; i < d->n_sources; i++) {
		_cleanup_free_ char *key = offers_key(&d->sources[i]->offers);

		if (key)
			need(&all, key);
	}
	if (all.n)
		qsort(all.hashes, all.n, sizeof(*all.hashes), by_number);
	if (!all.failed)
		sweep(dir, &all);
	closedir(dir);
	free(all.hashes);
}
