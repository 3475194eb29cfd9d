/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/names.h"

#include <stdio.h>
#include <string.h>

void names_listen(const struct service *conf, const struct endpoint *to, uint8_t proto, char listen[LISTEN_TEXT])
{
	listen[0] = '\0';
	for (size_t i = 0; i < conf->n_listens; i++) {
		const struct listen *l = &conf->listens[i];

		if (!addr_compare(&l->addr, &to->addr) && l->proto == proto && (!l->port || l->port == to->port))
			listen_format(l, listen);
	}
}

const char *names_service(const struct config *c, const struct endpoint *to, uint8_t proto, char listen[LISTEN_TEXT])
{
	for (size_t i = 0; i < c->n_services; i++) {
		names_listen(&c->services[i], to, proto, listen);
		if (listen[0])
			return c->services[i].name;
	}
	return NULL;
}

static void add_near(const struct listen *l, const struct addr *addr, char near[NAMES_NEAR])
{
	size_t len = strlen(near);
	char text[LISTEN_TEXT];

	if (addr_compare(&l->addr, addr))
		return;
	listen_format(l, text);
	if (len + strlen(", ") + strlen(text) < NAMES_NEAR)
		sprintf(near + len, "%s%s", len ? ", " : "", text);
}

void names_near(const struct config *c, const struct addr *addr, char near[NAMES_NEAR])
{
	near[0] = '\0';
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t j = 0; j < c->services[i].n_listens; j++)
			add_near(&c->services[i].listens[j], addr, near);
}

static const struct reconcile_backend *find(const struct reconcile_service *s, const struct endpoint *at)
{
	for (size_t i = 0; i < s->n_backends; i++)
		if (!endpoint_compare(&s->backends[i].at, at))
			return &s->backends[i];
	return NULL;
}

const struct reconcile_backend *names_backend(const struct api *a, const struct reconcile_service *s, uint32_t backend,
					      struct steps_backend *out)
{
	const struct reconcile_backend *b;

	if (!reconcile_backend_at(a->x->reconcile, backend, &out->at))
		return NULL;
	out->known = true;
	b = find(s, &out->at);
	out->state = b ? state_names[b->state] : "no longer in the service";
	return b;
}
