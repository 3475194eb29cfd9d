/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sources that are asked: those that the configuration lists, or means by default. */
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "base/text.h"
#include "discovery/internal.h"

static const struct source_ops *const kinds[N_SOURCE_KINDS] = {
	[SOURCE_CONSUL] = &source_consul, [SOURCE_KUBERNETES] = &source_kubernetes, [SOURCE_ETCD] = &source_etcd,
	[SOURCE_DNS] = &source_dns,       [SOURCE_FILES] = &source_files,
};

static struct opened *find(const struct discovery *d, const struct source *conf)
{
	for (size_t i = 0; i < d->n_sources; i++)
		if (source_equal(&d->sources[i]->conf, conf))
			return d->sources[i];
	return NULL;
}

void opened_free(struct opened *o)
{
	if (o->handle)
		o->ops->close(o->handle);
	free(o->why);
	offers_clear(&o->offers);
	source_clear(&o->conf);
	free(o);
}

/* The services that it offered before its settings changed, or before a restart. */
static void take_up_offers(struct discovery *d, struct opened *o)
{
	const struct opened *before = NULL;

	if (!source_takes_over(&o->conf))
		return;
	for (size_t i = 0; i < d->n_sources && !before; i++)
		if (d->sources[i]->conf.kind == o->conf.kind && !strcmp(d->sources[i]->conf.name, o->conf.name) &&
		    d->sources[i]->offers.known)
			before = d->sources[i];
	if (before)
		offers_take_over(&o->offers, &before->offers);
	else
		store_load_offers(d, &o->offers);
}

/* A source that cannot be opened stands in the list all the same: its questions say so. */
static void open_source(struct opened *o)
{
	free(TAKE_PTR(o->why));
	if (!o->ops->open(&o->env, &o->conf, &o->handle))
		return;
	o->handle = NULL;
	text_set(&o->why, "%s", log_last_error());
	if (source_takes_over(&o->conf))
		offers_problem(&o->offers, "%s", o->why);
}

/* NULL: out of memory. */
static struct opened *add(struct discovery *d, const struct source *conf)
{
	struct opened **grown = reallocarray(d->sources, d->n_sources + 1, sizeof(*grown)), *o = calloc(1, sizeof(*o));

	if (grown)
		d->sources = grown;
	if (!grown || !o || source_copy(conf, &o->conf)) {
		free(o);
		return NULL;
	}
	o->ops = kinds[conf->kind];
	o->env = (struct source_env){ .base = d->base, .transfers = d->transfers, .offers = &o->offers };
	offers_init(&o->offers, d, o);
	take_up_offers(d, o);
	d->sources[d->n_sources++] = o;
	return o;
}

struct opened *opened_for(struct discovery *d, const struct config *c, enum source_kind kind, const char *name)
{
	const struct source *listed = config_source(c, kind, name);
	struct source assumed = source_default(kind);
	struct opened *o;

	assumed.name = (char *)source_kind_names[kind];
	o = find(d, listed ?: &assumed) ?: add(d, listed ?: &assumed);
	if (!o)
		return NULL;
	if (!o->wanted && !o->handle) /* once each time that the configuration is followed */
		open_source(o);
	o->wanted = true;
	return o;
}

void opened_close_unwanted(struct discovery *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n_sources; i++)
		if (d->sources[i]->wanted) {
			d->sources[kept++] = d->sources[i];
		} else {
			if (d->sources[i]->offers.n)
				discovery_changed(d);
			opened_free(d->sources[i]);
		}
	d->n_sources = kept;
}
