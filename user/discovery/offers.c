/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Services that a source offers whole: the last good list stays in force, as sets of endpoints do (finder.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/clock.h"
#include "discovery/internal.h"

void offer_clear(struct offer *o)
{
	free(o->name);
	free(o->listens);
	discover_clear(&o->discover);
	*o = (struct offer){};
}

static void list_free(struct offer *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		offer_clear(&list[i]);
	free(list);
}

void offers_init(struct offers *o, struct discovery *d, struct opened *source)
{
	*o = (struct offers){ .discovery = d, .source = source, .standing.since_ms = realtime_ms() };
}

void offers_clear(struct offers *o)
{
	list_free(o->list, o->n);
	*o = (struct offers){};
}

static int by_listen(const void *a, const void *b)
{
	return listen_compare(a, b);
}

/* With its listens in order, as a configuration has them. */
static int offer_copy(const struct offer *from, struct offer *to)
{
	*to = (struct offer){ .name = strdup(from->name), .n_listens = from->n_listens, .affinity = from->affinity };
	to->listens = calloc(from->n_listens + 1, sizeof(*to->listens));
	if (!to->name || !to->listens || discover_copy(&from->discover, &to->discover)) {
		free(to->name);
		free(to->listens);
		*to = (struct offer){};
		return -ENOMEM;
	}
	for (size_t i = 0; i < from->n_listens; i++)
		to->listens[i] = from->listens[i];
	qsort(to->listens, to->n_listens, sizeof(*to->listens), by_listen);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct offer *)a)->name, ((const struct offer *)b)->name);
}

static bool same_offer(const struct offer *a, const struct offer *b)
{
	if (strcmp(a->name, b->name) || a->n_listens != b->n_listens || a->affinity != b->affinity ||
	    !discover_equal(&a->discover, &b->discover) || a->discover.allow_none != b->discover.allow_none)
		return false;
	for (size_t i = 0; i < a->n_listens; i++)
		if (listen_compare(&a->listens[i], &b->listens[i]))
			return false;
	return true;
}

static bool same_list(const struct offers *o, const struct offer *list, size_t n)
{
	if (!o->known || o->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!same_offer(&o->list[i], &list[i]))
			return false;
	return true;
}

size_t offers_sort(struct offer *list, size_t n)
{
	size_t unique = 0;

	if (n)
		qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n; i++)
		if (unique && !strcmp(list[unique - 1].name, list[i].name))
			offer_clear(&list[i]);
		else
			list[unique++] = list[i];
	return unique;
}

/* Sorted copies; of two with one name the first in the list stays. NULL: out of memory. */
static struct offer *copy_list(const struct offer *list, size_t n, size_t *kept)
{
	struct offer *copy = calloc(n + 1, sizeof(*copy));

	for (size_t i = 0; copy && i < n; i++)
		if (offer_copy(&list[i], &copy[i])) {
			list_free(copy, i);
			return NULL;
		}
	*kept = copy ? offers_sort(copy, n) : 0;
	return copy;
}

void offers_take_over(struct offers *o, const struct offers *from)
{
	struct offer *copy = o->known || !from->known ? NULL : copy_list(from->list, from->n, &o->n);

	if (!copy)
		return;
	o->list = copy;
	o->known = o->unsaved = true;
}

static void good(struct offers *o)
{
	if (standing_good(&o->standing, NULL))
		discovery_event(o->discovery, o->source->conf.name, "offers %zu services", o->n);
}

void offers_changed(struct offers *o, const struct offer *list, size_t n)
{
	size_t kept;
	struct offer *copy = copy_list(list, n, &kept);

	if (!copy) {
		offers_problem(o, "out of memory for %zu services", n);
		return;
	}
	if (same_list(o, copy, kept)) {
		list_free(copy, kept);
		good(o);
		return;
	}
	list_free(o->list, o->n);
	o->list = copy;
	o->n = kept;
	o->known = o->unsaved = o->discovery->reoffered = true;
	good(o);
	discovery_changed(o->discovery);
}

void offers_problem(struct offers *o, const char *fmt, ...)
{
	va_list args;
	bool news;

	va_start(args, fmt);
	news = standing_bad(&o->standing, o->known, fmt, args);
	va_end(args);
	if (news && o->known)
		discovery_event(o->discovery, o->source->conf.name, "%s; the last good list of %zu services stays in force",
				o->standing.problem, o->n);
	else if (news)
		discovery_event(o->discovery, o->source->conf.name, "%s; nothing is known yet", o->standing.problem);
}

/* None at all, where some were: all were deleted while nobody looked, or a source lost its mind or our rights. */
void offers_found(struct offers *o, const struct offer *list, size_t n)
{
	if (n || !o->n) {
		offers_changed(o, list, n);
		return;
	}
	o->standing.heard_ms = realtime_ms();
	offers_problem(o, "the source says that it has no services any more; if so, offer one and delete it, or take class "
		       "and label from the source");
}
