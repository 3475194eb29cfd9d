/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the operator said by commands, sorted by service and endpoint. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/search.h"
#include "model/copy.h"
#include "model/model.h"

static int compare(const void *override, const void *key)
{
	const struct override *o = override, *k = key;
	int order = strcmp(o->service, k->service);

	return order ? order : endpoint_compare(&o->at, &k->at);
}

static struct override key_of(const char *service, const struct endpoint *at)
{
	return (struct override){ .service = (char *)service, .at = *at };
}

/* The first that is not before. */
static size_t place(const struct config *c, const char *service, const struct endpoint *at)
{
	const struct override key = key_of(service, at);

	return search_place(&key, c->overrides, c->n_overrides, sizeof(*c->overrides), compare);
}

static bool is_at(const struct config *c, size_t i, const char *service, const struct endpoint *at)
{
	const struct override key = key_of(service, at);

	return i < c->n_overrides && !compare(&c->overrides[i], &key);
}

const struct override *config_override(const struct config *c, const char *service, const struct endpoint *at)
{
	size_t i = place(c, service, at);

	return is_at(c, i, service, at) ? &c->overrides[i] : NULL;
}

static void remove_at(struct config *c, size_t i)
{
	free(c->overrides[i].service);
	c->n_overrides--;
	memmove(c->overrides + i, c->overrides + i + 1, (c->n_overrides - i) * sizeof(*c->overrides));
}

static int insert_at(struct config *c, size_t i, const struct override *o)
{
	struct override *grown = reallocarray(c->overrides, c->n_overrides + 1, sizeof(*grown));
	char *service = strdup(o->service);

	if (grown)
		c->overrides = grown;
	if (!grown || !service) {
		free(service);
		return -ENOMEM;
	}
	memmove(grown + i + 1, grown + i, (c->n_overrides - i) * sizeof(*grown));
	grown[i] = *o;
	grown[i].service = service;
	c->n_overrides++;
	return 0;
}

int config_override_set(struct config *c, const struct override *o)
{
	size_t i = place(c, o->service, &o->at);
	bool there = is_at(c, i, o->service, &o->at);

	if (!o->has_weight && !o->has_admin) {
		if (there)
			remove_at(c, i);
		return 0;
	}
	if (!there)
		return insert_at(c, i, o);
	char *service = c->overrides[i].service;
	c->overrides[i] = *o;
	c->overrides[i].service = service;
	return 0;
}

void config_overrides_clear(struct config *c)
{
	for (size_t i = 0; i < c->n_overrides; i++)
		free(c->overrides[i].service);
	free(TAKE_PTR(c->overrides));
	c->n_overrides = 0;
}

int config_overrides_copy(const struct config *from, struct config *to)
{
	config_overrides_clear(to);
	to->overrides = calloc(from->n_overrides + 1, sizeof(*to->overrides));
	if (!to->overrides)
		return -ENOMEM;
	for (; to->n_overrides < from->n_overrides; to->n_overrides++) {
		to->overrides[to->n_overrides] = from->overrides[to->n_overrides];
		if (text_copy(&to->overrides[to->n_overrides].service, from->overrides[to->n_overrides].service))
			return -ENOMEM;
	}
	return 0;
}

bool config_overrides_equal(const struct config *a, const struct config *b)
{
	if (a->n_overrides != b->n_overrides)
		return false;
	for (size_t i = 0; i < a->n_overrides; i++) {
		const struct override *x = &a->overrides[i], *y = &b->overrides[i];

		if (compare(x, y) || x->has_weight != y->has_weight || x->has_admin != y->has_admin ||
		    (x->has_weight && x->weight != y->weight) || (x->has_admin && x->admin != y->admin))
			return false;
	}
	return true;
}
