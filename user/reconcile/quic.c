/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which member issued a QUIC connection ID: the map follows the places, all services' in one walk over two sorted
 * lists, what it has and what it shall have. A backend that was taken away and keeps its flows keeps its ID, unless the
 * configuration has given that to another.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "reconcile/internal.h"

uint32_t quic_flags(const struct service *s)
{
	return s->quic.server_id ? shunt_service_quic(s->quic.config, s->quic.server_id) : 0;
}

static struct shunt_quic_server key_of(const struct live *l, const struct server_id *id)
{
	struct shunt_quic_server key = { .service = l->id };

	memcpy(key.id, id->b, sizeof(key.id));
	return key;
}

static int compare_keys(const struct quic_entry *a, const struct quic_entry *b)
{
	return memcmp(&a->key, &b->key, sizeof(a->key));
}

/* Of two with one key the one that the configuration has comes first. */
static int compare(const void *a, const void *b)
{
	const struct quic_entry *x = a, *y = b;
	int order = compare_keys(x, y);

	return order ? order : (int)x->retiring - (int)y->retiring;
}

/* ---- what shall be ---- */

/* Of the IDs that programs look for; 0: they do not. */
static uint32_t length_of(const struct live *l)
{
	return l->conf ? l->conf->quic.server_id : 0;
}

/* An ID of another length is of a configuration before, and no packet is read as having it. */
static bool has_entry(const struct live *l, const struct place *p)
{
	return p->node && !p->let_go && !p->leaving && length_of(l) && p->server_id.length == length_of(l);
}

/* Packets that go by an ID are noted nowhere but in the member's counter. */
bool quic_busy(struct live *l, struct reconcile *r, uint32_t place)
{
	struct place *p = &l->places[place];
	struct shunt_counter c = {};

	if (!has_entry(l, p) || dp_member_counters(r->dp, l->first_member + place, 1, &c))
		return false;
	if (c.packets != p->quic_packets) {
		p->quic_packets = c.packets;
		p->quic_ms = monotonic_ms();
	}
	return p->quic_ms && monotonic_ms() - p->quic_ms < l->conf->tracking.udp_ms;
}

static void wanted_of(const struct live *l, struct quic_entry *all, size_t *n)
{
	for (uint32_t i = 0; length_of(l) && i < l->n_places; i++)
		if (has_entry(l, &l->places[i]))
			all[(*n)++] = (struct quic_entry){ key_of(l, &l->places[i].server_id), i,
							   l->places[i].retiring };
}

static size_t without_twins(struct quic_entry *all, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!kept || compare_keys(&all[kept - 1], &all[i]))
			all[kept++] = all[i];
	return kept;
}

/* To be freed; NULL: out of memory. */
static struct quic_entry *wanted(const struct reconcile *r, size_t *n)
{
	struct quic_entry *all;
	size_t room = 1;

	for (size_t i = 0; i < r->n_services; i++)
		room += length_of(r->services[i]) ? r->services[i]->n_places : 0;
	all = calloc(room, sizeof(*all));
	*n = 0;
	for (size_t i = 0; all && i < r->n_services; i++)
		wanted_of(r->services[i], all, n);
	if (*n)
		qsort(all, *n, sizeof(*all), compare);
	*n = without_twins(all, *n);
	return all;
}

/* ---- following ---- */

/* First what comes or leads elsewhere, so that no ID that stays is ever without a member. */
static int set_entries(struct reconcile *r, const struct quic_entry *want, size_t n)
{
	int err = 0;

	for (size_t i = 0, k = 0; i < n && !err; i++) {
		while (k < r->n_quic && compare_keys(&r->quic[k], &want[i]) < 0)
			k++;
		if (k == r->n_quic || compare_keys(&r->quic[k], &want[i]) || r->quic[k].place != want[i].place)
			err = dp_quic_set(r->dp, &want[i].key, want[i].place);
	}
	return err;
}

static int delete_entries(struct reconcile *r, const struct quic_entry *want, size_t n)
{
	int err = 0;

	for (size_t i = 0, k = 0; i < r->n_quic && !err; i++) {
		while (k < n && compare_keys(&want[k], &r->quic[i]) < 0)
			k++;
		if (k == n || compare_keys(&want[k], &r->quic[i]))
			err = dp_quic_delete(r->dp, &r->quic[i].key);
	}
	return err;
}

struct list {
	struct quic_entry *all;
	size_t n, room;
};

static int note_entry(void *arg, const struct shunt_quic_server *key, uint32_t place)
{
	struct list *list = arg;
	size_t room = list->room ? 2 * list->room : 64;
	struct quic_entry *more;

	if (list->n == list->room) {
		more = reallocarray(list->all, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		list->all = more;
		list->room = room;
	}
	list->all[list->n++] = (struct quic_entry){ .key = *key, .place = place };
	return 0;
}

/* r->quic becomes what the kernel has. */
static int read_entries(struct reconcile *r)
{
	struct list list = {};
	int err = dp_quic_each(r->dp, note_entry, &list);

	if (err) {
		free(list.all);
		return err;
	}
	if (list.n)
		qsort(list.all, list.n, sizeof(*list.all), compare);
	free(r->quic);
	r->quic = list.all;
	r->n_quic = list.n;
	return 0;
}

int quic_follow(struct reconcile *r)
{
	struct quic_entry *want;
	size_t n;
	int err;

	want = wanted(r, &n);
	if (!want)
		return -ENOMEM;
	err = set_entries(r, want, n);
	if (!err)
		err = delete_entries(r, want, n);
	if (err) {
		free(want);
		read_entries(r);
		return err;
	}
	free(r->quic);
	r->quic = want;
	r->n_quic = n;
	return 0;
}

/* ---- adopting ---- */

static void learn(struct reconcile *r, const struct quic_entry *e)
{
	struct live *l = e->key.service < r->service_ids.size ? r->by_id[e->key.service] : NULL;
	struct server_id *id;

	if (!l || e->place >= l->n_places || !l->places[e->place].node)
		return;
	id = &l->places[e->place].server_id;
	id->length = shunt_service_quic_length(dp_services(r->dp)[l->id].flags);
	memcpy(id->b, e->key.id, sizeof(id->b));
}

int quic_adopt(struct reconcile *r)
{
	int err = read_entries(r);

	for (size_t i = 0; i < r->n_quic && !err; i++)
		learn(r, &r->quic[i]);
	return err;
}
