/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Looking: services, backends, drops. */
#include <string.h>

#include "api/call.h"
#include "api/render.h"
#include "base/clean.h"

int get_services(struct call *c)
{
	_cleanup_(services_free) struct services all = {};
	json_t *list = json_array();

	if (services_load(c->api, &all)) {
		json_decref(list);
		return call_error(c, 500, "out of memory");
	}
	for (size_t i = 0; i < all.n; i++)
		json_array_append_new(list, render_service(c->api->x->file, &all.list[i]));
	return call_ok(c, json_pack("{s:o}", "services", list));
}

int get_service(struct call *c)
{
	_cleanup_(reconcile_service_clear) struct reconcile_service s = {};

	if (reconcile_service(c->api->x->reconcile, c->parts[2], &s))
		return call_error(c, 404, "there is no service %s", c->parts[2]);
	return call_ok(c, render_service(c->api->x->file, &s));
}

int get_backends(struct call *c)
{
	_cleanup_(services_free) struct services all = {};
	const char *only = call_query(c, "service");
	json_t *list;

	if (only && !config_service(api_running(c->api), only))
		return call_error(c, 404, "there is no service %s", only);
	if (services_load(c->api, &all))
		return call_error(c, 500, "out of memory");
	list = json_array();
	for (size_t i = 0; i < all.n; i++)
		for (size_t j = 0; j < all.list[i].n_backends; j++)
			if (!only || !strcmp(only, all.list[i].conf->name))
				json_array_append_new(list, render_backend(c->api->x->file, &all.list[i], &all.list[i].backends[j]));
	return call_ok(c, json_pack("{s:o}", "backends", list));
}

int get_drops(struct call *c)
{
	_cleanup_free_ struct dp_drop *drops = NULL;
	json_t *list;
	size_t n = 0;

	if (dp_drops(c->api->x->dp, &drops, &n))
		return call_error(c, 500, "the drop counters cannot be read; the daemon's log says why");
	list = json_array();
	for (size_t i = 0; i < n; i++)
		if (drops[i].packets)
			json_array_append_new(list, render_drop(&drops[i]));
	return call_ok(c, json_pack("{s:o}", "drops", list));
}
