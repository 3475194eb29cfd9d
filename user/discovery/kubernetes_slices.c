/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/kubernetes_slices.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "discovery/kubernetes_answer.h"

/* ---- one slice ---- */

void slice_free(struct slice *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_ports; i++)
		free(s->ports[i].name);
	free(s->ports);
	free(s->endpoints);
	free(s->service);
	free(s);
}

static void slice_freep(struct slice **s)
{
	slice_free(*s);
}

/* A condition that is not said is as it is assumed. */
static bool condition(const json_t *endpoint, const char *name, bool assumed)
{
	const json_t *c = json_object_get(json_object_get(endpoint, "conditions"), name);

	return json_is_boolean(c) ? json_is_true(c) : assumed;
}

/*
 * The API's documentation says today that a missing serving means true, as a missing ready does. It said once to follow
 * ready then; but what terminates is never ready, so such an endpoint could not be drained, and would be cut off.
 */
static uint8_t readiness(const json_t *endpoint)
{
	if (condition(endpoint, "ready", true))
		return SLICE_READY;
	return condition(endpoint, "serving", true) && condition(endpoint, "terminating", false) ? SLICE_DRAINS : 0;
}

static uint8_t hints(const json_t *endpoint, const char *zone)
{
	const json_t *zones = json_object_get(json_object_get(endpoint, "hints"), "forZones"), *one;
	uint8_t bits = 0;
	size_t i;

	json_array_foreach(zones, i, one) {
		const char *name = json_string_value(json_object_get(one, "name"));

		bits |= name ? SLICE_HINTED | (strcmp(name, zone) ? 0 : SLICE_HERE) : 0;
	}
	return bits;
}

/* Several addresses of an endpoint say the same: the first speaks. */
static bool address_of(const json_t *endpoint, struct addr *out)
{
	const char *text = json_string_value(json_array_get(json_object_get(endpoint, "addresses"), 0));

	return text && !addr_parse(text, out) && !addr_is_unspecified(out) && !addr_is_multicast(out) &&
	       !addr_is_broadcast(out);
}

static int read_endpoints(struct slice *s, const json_t *list, const char *zone)
{
	const json_t *one;
	size_t i;

	s->endpoints = calloc(json_array_size(list) + 1, sizeof(*s->endpoints));
	if (!s->endpoints)
		return -ENOMEM;
	json_array_foreach(list, i, one) {
		struct slice_endpoint *e = &s->endpoints[s->n_endpoints];
		uint8_t bits = readiness(one);

		if (!bits)
			s->n_unready++;
		else if (!address_of(one, &e->addr))
			s->n_unreadable++;
		else
			s->endpoints[s->n_endpoints++].bits = bits | (zone ? hints(one, zone) : 0);
	}
	return 0;
}

static int protocol(const json_t *port)
{
	const char *text = json_string_value(json_object_get(port, "protocol")) ?: "TCP";

	return !strcmp(text, "TCP") ? IPPROTO_TCP : !strcmp(text, "UDP") ? IPPROTO_UDP : -1;
}

static int read_ports(struct slice *s, const json_t *list)
{
	const json_t *one;
	size_t i;

	s->ports = calloc(json_array_size(list) + 1, sizeof(*s->ports));
	if (!s->ports)
		return -ENOMEM;
	json_array_foreach(list, i, one) {
		json_int_t number = json_integer_value(json_object_get(one, "port"));
		const char *name = json_string_value(json_object_get(one, "name")) ?: "";
		int proto = protocol(one);

		if (proto < 0 || number < 1 || number > 65535)
			continue;
		s->ports[s->n_ports] = (struct slice_port){ strdup(name), number, proto };
		if (!s->ports[s->n_ports++].name)
			return -ENOMEM;
	}
	return 0;
}

int slice_parse(const json_t *object, const char *zone, struct slice **out)
{
	_cleanup_(slice_freep) struct slice *s = calloc(1, sizeof(*s));
	const char *service = kubernetes_label(object, KUBERNETES_SERVICE_LABEL);
	const char *type = json_string_value(json_object_get(object, "addressType"));
	const json_t *endpoints = json_object_get(object, "endpoints");

	if (!service || !*service)
		return -EBADMSG;
	if (!s)
		return -ENOMEM;
	s->service = strdup(service);
	if (!s->service || read_ports(s, json_object_get(object, "ports")))
		return -ENOMEM;
	if (type && !strcmp(type, "FQDN"))
		s->n_unreadable = json_array_size(endpoints);
	else if (read_endpoints(s, endpoints, zone))
		return -ENOMEM;
	*out = TAKE_PTR(s);
	return 0;
}

/* ---- the port ---- */

#define PORTS_SHOWN 16

/* The port of a slice that is wanted: by name, else by number; NULL: the first. */
static const struct slice_port *port_of(const struct slice *s, const char *wanted)
{
	uint16_t number;

	for (size_t i = 0; i < s->n_ports; i++)
		if (!wanted || !strcmp(s->ports[i].name, wanted))
			return &s->ports[i];
	if (wanted && !port_parse(wanted, &number))
		for (size_t i = 0; i < s->n_ports; i++)
			if (s->ports[i].number == number)
				return &s->ports[i];
	return NULL;
}

/* The ports that the slices have, one of each name: at most PORTS_SHOWN of them. */
static size_t ports_known(const struct slice *const *slices, size_t n, const struct slice_port *known[PORTS_SHOWN])
{
	size_t n_known = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < slices[i]->n_ports; k++) {
			const struct slice_port *port = &slices[i]->ports[k];
			size_t at = 0;

			while (at < n_known && strcmp(known[at]->name, port->name))
				at++;
			if (at == n_known && n_known < PORTS_SHOWN)
				known[n_known++] = port;
		}
	return n_known;
}

static void add_text(char text[SLICES_TEXT], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add_text(char text[SLICES_TEXT], const char *fmt, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + len, SLICES_TEXT - len, fmt, args);
	va_end(args);
}

static void list_ports(char text[SLICES_TEXT], const struct slice_port *const *known, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_text(text, "%s%s%s%u/%s%s", i ? ", " : "", known[i]->name, known[i]->name[0] ? " (" : "",
			 known[i]->number, known[i]->proto == IPPROTO_TCP ? "TCP" : "UDP",
			 known[i]->name[0] ? ")" : "");
}

static int check_port(const struct slice *const *slices, size_t n, const struct discover *what,
		      char problem[SLICES_TEXT])
{
	const struct slice_port *known[PORTS_SHOWN];
	size_t n_known = ports_known(slices, n, known);
	const char *namespace = what->namespace ?: "default";

	problem[0] = '\0';
	if (!n_known) /* slices of a service without endpoints have no ports either */
		return 0;
	if (!what->port_name && n_known > 1) {
		add_text(problem, "service %s/%s has several ports; choose one of them, with port: %s: ", namespace,
			 what->name, known[0]->name[0] ? known[0]->name : known[1]->name);
		list_ports(problem, known, n_known);
		return -EINVAL;
	}
	for (size_t i = 0; i < n; i++)
		if (port_of(slices[i], what->port_name))
			return 0;
	add_text(problem, "service %s/%s has no port %s; it has ", namespace, what->name, what->port_name ?: "");
	list_ports(problem, known, n_known);
	return -EINVAL;
}

/* ---- all slices of a service ---- */

struct merged {
	struct endpoint at;
	uint8_t bits;
};

/* What is left out, and why. */
struct left_out {
	size_t unready, unreadable, portless, other_zones;
};

static int by_endpoint_best_first(const void *a, const void *b)
{
	const struct merged *x = a, *y = b;
	int order = endpoint_compare(&x->at, &y->at);

	return order ? order : (y->bits & SLICE_READY) - (x->bits & SLICE_READY);
}

/* Of an endpoint that is in several slices, the one that says ready is believed. Returns how many there are. */
static size_t drop_duplicates(struct merged *list, size_t n)
{
	size_t kept = 0;

	qsort(list, n, sizeof(*list), by_endpoint_best_first);
	for (size_t i = 0; i < n; i++)
		if (!kept || endpoint_compare(&list[kept - 1].at, &list[i].at))
			list[kept++] = list[i];
	return kept;
}

static size_t merge(const struct slice *const *slices, size_t n, const char *wanted, struct merged *list,
		    struct left_out *left)
{
	size_t total = 0;

	for (size_t i = 0; i < n; i++) {
		const struct slice *s = slices[i];
		const struct slice_port *port = port_of(s, wanted);

		left->unready += s->n_unready;
		left->unreadable += s->n_unreadable;
		if (!port)
			left->portless += s->n_endpoints;
		for (size_t k = 0; port && k < s->n_endpoints; k++)
			list[total++] = (struct merged){ { s->endpoints[k].addr, port->number }, s->endpoints[k].bits };
	}
	return drop_duplicates(list, total);
}

/* Which of those that are ready take part: all of these bits are set. Hints count only if each of them has some. */
static uint8_t bits_wanted(const struct merged *list, size_t n)
{
	size_t ready = 0, hinted = 0, here = 0;

	for (size_t i = 0; i < n; i++) {
		if (!(list[i].bits & SLICE_READY))
			continue;
		ready++;
		hinted += !!(list[i].bits & SLICE_HINTED);
		here += !!(list[i].bits & SLICE_HERE);
	}
	return !ready ? SLICE_DRAINS : ready == hinted && here ? SLICE_READY | SLICE_HERE : SLICE_READY;
}

static int make_backends(const struct merged *list, size_t n, struct slices_answer *out, struct left_out *left)
{
	uint8_t wanted = bits_wanted(list, n);

	out->backends = calloc(n + 1, sizeof(*out->backends));
	if (!out->backends)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		bool used = (list[i].bits & wanted) == wanted;

		if (!used && list[i].bits & SLICE_READY) {
			left->other_zones++;
			continue;
		}
		out->backends[out->n++] = (struct backend){ .at = list[i].at,
							    .weight = WEIGHT_DEFAULT,
							    .admin = used ? ADMIN_ENABLED : ADMIN_DRAINING };
	}
	return 0;
}

static void note_left_out(const struct left_out *left, const struct merged *list, size_t n, char note[SLICES_TEXT])
{
	size_t drain = 0;

	for (size_t i = 0; i < n; i++)
		drain += !(list[i].bits & SLICE_READY);
	note[0] = '\0';
	if (drain && drain == n)
		add_text(note, ", none is ready, and %zu that terminate are used", drain);
	else if (drain)
		add_text(note, ", %zu terminate", drain);
	if (left->unready)
		add_text(note, ", %zu not ready", left->unready);
	if (left->other_zones)
		add_text(note, ", %zu left to other zones", left->other_zones);
	if (left->unreadable)
		add_text(note, ", %zu without an address of IPv4 or IPv6", left->unreadable);
	if (left->portless)
		add_text(note, ", %zu without that port", left->portless);
	if (note[0])
		memmove(note, note + 2, strlen(note + 2) + 1);
}

int slices_backends(const struct slice *const *slices, size_t n, const struct discover *what, struct slices_answer *out,
		    char problem[SLICES_TEXT])
{
	_cleanup_free_ struct merged *list = NULL;
	struct left_out left = {};
	size_t total = 0;
	int err;

	err = check_port(slices, n, what, problem);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		total += slices[i]->n_endpoints;
	list = calloc(total + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	total = merge(slices, n, what->port_name, list, &left);
	*out = (struct slices_answer){};
	err = make_backends(list, total, out, &left);
	if (err)
		return err;
	note_left_out(&left, list, total, out->note);
	return 0;
}
