/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All listens of a configuration in one order: finding who listens where, and who listens twice. */
#include <errno.h>
#include <stdlib.h>

#include "base/search.h"
#include "model/validate.h"

static int by_listen(const void *a, const void *b)
{
	const struct listener *left = a, *right = b;
	int order = listen_compare(left->at, right->at);

	if (!order)
		order = left->offered - right->offered;
	return order ? order : (left->service > right->service) - (left->service < right->service);
}

int listeners_collect(const struct config *c, struct listeners *out)
{
	struct listeners all = {};

	for (size_t i = 0; i < c->n_services; i++)
		all.n += c->services[i].n_listens;
	all.list = calloc(all.n + 1, sizeof(*all.list));
	if (!all.list)
		return -ENOMEM;
	all.n = 0;
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_listens; k++)
			all.list[all.n++] = (struct listener){ &c->services[i].listens[k], i, c->services[i].offered_by != NULL };
	qsort(all.list, all.n, sizeof(*all.list), by_listen);
	*out = all;
	return 0;
}

void validate_listeners(const struct config *c, const struct listeners *all, struct faults *f)
{
	char text[LISTEN_TEXT];

	for (size_t i = 1; i < all->n; i++) {
		const struct listener *was = &all->list[i - 1], *now = &all->list[i];
		const struct service *s = &c->services[now->service];

		if (listen_compare(was->at, now->at))
			continue;
		listen_format(now->at, text);
		if (was->service == now->service)
			fault(f, s, NULL, "listen %s is given twice; delete one of the two", text);
		else
			fault(f, s, NULL, "listen %s already belongs to service %s; delete it from one of the two", text,
			      name_of(&c->services[was->service]));
	}
}

static int compare_listen(const void *listener, const void *listen)
{
	return listen_compare(((const struct listener *)listener)->at, listen);
}

/* First listener that is not below this one. */
static size_t place(const struct listeners *all, const struct listen *l)
{
	return search_place(l, all->list, all->n, sizeof(*all->list), compare_listen);
}

size_t listeners_at(const struct listeners *all, const struct addr *a)
{
	size_t i = place(all, &(struct listen){ .addr = *a });

	return i < all->n && !addr_compare(&all->list[i].at->addr, a) ? i : all->n;
}

const struct listener *listeners_find(const struct listeners *all, const struct addr *a, uint16_t port, uint8_t proto)
{
	const uint16_t ports[] = { port, 0 };

	for (int k = 0; k < 2; k++) {
		struct listen wanted = { .addr = *a, .port = ports[k], .proto = proto };
		size_t i = place(all, &wanted);

		if (i < all->n && !listen_compare(all->list[i].at, &wanted))
			return &all->list[i];
	}
	return NULL;
}
