/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A page of Services, each taken for what the one before it became: offers have names that services may have, and
 * what is to be published is a JSON object.
 */
#include <ctype.h>
#include <errno.h>

#include "discovery/kubernetes_answer.h"
#include "discovery/kubernetes_services.h"
#include "fuzz.h"

static bool is_name(const char *text)
{
	size_t len = strlen(text);

	return len && len <= SERVICE_NAME_MAX && isalnum((unsigned char)*text) &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len;
}

static void check_offer(const struct kubernetes_service *s, const struct offer *o)
{
	must(is_name(o->name) && o->n_listens && o->discover.kind == SOURCE_KUBERNETES);
	must(!strcmp(o->discover.name, s->name) && !strcmp(o->discover.namespace, s->namespace));
	for (size_t i = 0; i < o->n_listens; i++)
		must(o->listens[i].port && o->listens[i].port == o->listens[0].port &&
		     o->listens[i].proto == o->listens[0].proto);
}

static void check_service(const struct kubernetes_service *s)
{
	_cleanup_free_ char *patch = kubernetes_service_patch(s);
	json_t *o = patch ? json_loads(patch, 0, NULL) : NULL;

	must(is_name(s->namespace) && is_name(s->name) && s->version && json_is_object(o));
	must(s->ours || !s->differs || s->n_publish);
	for (size_t i = 0; i < s->n_offers; i++)
		check_offer(s, &s->offers[i]);
	json_decref(o);
}

static void try_page(const struct kubernetes_page *p, const struct source *conf)
{
	struct kubernetes_service *before = NULL, *now;
	const json_t *one;
	size_t i;

	json_array_foreach(p->items, i, one)
	{
		must(!kubernetes_service_parse(one, conf, before, &now));
		if (now)
			check_service(now);
		kubernetes_service_free(before);
		before = now;
	}
	kubernetes_service_free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct source by_class = { .name = "kubernetes", .kind = SOURCE_KUBERNETES, .class = "shunt/balancer" };
	const struct source by_label = { .name = "kubernetes", .kind = SOURCE_KUBERNETES, .label = "balance=yes" };
	_cleanup_(kubernetes_page_clear) struct kubernetes_page p = {};

	if (kubernetes_page((const char *)data, size, &p))
		return 0;
	try_page(&p, &by_class);
	try_page(&p, &by_label);
	return 0;
}
