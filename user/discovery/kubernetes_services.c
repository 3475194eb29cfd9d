/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/kubernetes_services.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "discovery/kubernetes_answer.h"

void kubernetes_service_free(struct kubernetes_service *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_offers; i++)
		offer_clear(&s->offers[i]);
	free(s->offers);
	free(s->publish);
	free(s->namespace);
	free(s->name);
	free(s->version);
	free(s);
}

static void service_freep(struct kubernetes_service **s)
{
	kubernetes_service_free(*s);
}

/* ---- names ---- */

void kubernetes_offer_name(const char *namespace, const char *name, const char *port, char out[SERVICE_NAME_MAX + 1])
{
	_cleanup_free_ char *whole = NULL;
	uint32_t hash = 2166136261u; /* FNV-1a */

	if (asprintf(&whole, "%s.%s.%s", namespace, name, port) < 0) {
		whole = NULL;
		out[0] = '\0';
		return;
	}
	for (const char *c = whole; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619u;
	if (strlen(whole) <= SERVICE_NAME_MAX)
		snprintf(out, SERVICE_NAME_MAX + 1, "%s", whole);
	else
		snprintf(out, SERVICE_NAME_MAX + 1, "%.*s-%08x", SERVICE_NAME_MAX - 9, whole, hash);
}

/* A name of Kubernetes: nothing else may get into paths of requests and names of services. */
static bool is_label(const char *text)
{
	return text && *text && *text != '-' && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text) &&
	       strlen(text) <= 63;
}

/* ---- is it ours? ---- */

static const char *spec_text(const json_t *object, const char *field)
{
	return json_string_value(json_object_get(json_object_get(object, "spec"), field));
}

static bool is_balanced(const json_t *object)
{
	const char *type = spec_text(object, "type");

	return type && !strcmp(type, "LoadBalancer");
}

static bool has_class(const json_t *object, const struct source *conf)
{
	const char *class = spec_text(object, "loadBalancerClass");

	return is_balanced(object) && class && conf->class && !strcmp(class, conf->class);
}

static bool is_foreign(const json_t *object, const struct source *conf)
{
	return spec_text(object, "loadBalancerClass") && !has_class(object, conf);
}

static bool has_label(const json_t *object, const struct source *conf)
{
	_cleanup_free_ char *label = conf->label ? strdup(conf->label) : NULL;
	char *value = label ? strchr(label, '=') : NULL;
	const char *is;

	if (!value)
		return false;
	*value++ = '\0';
	is = kubernetes_label(object, label);
	return is && !strcmp(is, value);
}

/* ---- addresses ---- */

/* Who may create a Service may write many into it; what is above these is not balanced. */
#define ADDRESSES_MAX 256
#define PORTS_MAX 1024

struct addresses {
	struct addr *list;
	size_t n;
};

static bool addresses_have(const struct addr *list, size_t n, const struct addr *one)
{
	for (size_t i = 0; i < n; i++)
		if (!addr_compare(&list[i], one))
			return true;
	return false;
}

/* What is no address ("None" of a headless service) is passed over. a has room. */
static void addresses_add(struct addresses *a, const char *text)
{
	struct addr one;

	if (a->n < ADDRESSES_MAX && text && !addr_parse(text, &one) && !addresses_have(a->list, a->n, &one))
		a->list[a->n++] = one;
}

static void addresses_add_list(struct addresses *a, const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
		addresses_add(a, json_string_value(one));
}

static int addresses_room(struct addresses *a, const json_t *spec)
{
	size_t most = 2 + json_array_size(json_object_get(spec, "clusterIPs")) +
		      json_array_size(json_object_get(spec, "externalIPs"));

	a->list = calloc(most, sizeof(*a->list));
	return a->list ? 0 : -ENOMEM;
}

/* By which the service is reached from outside the cluster: these are published. */
static void add_outer(struct addresses *a, const json_t *spec)
{
	addresses_add(a, json_string_value(json_object_get(spec, "loadBalancerIP")));
	addresses_add_list(a, json_object_get(spec, "externalIPs"));
}

static void add_inner(struct addresses *a, const json_t *spec)
{
	addresses_add(a, json_string_value(json_object_get(spec, "clusterIP")));
	addresses_add_list(a, json_object_get(spec, "clusterIPs"));
}

/* ---- offers ---- */

static enum affinity affinity_of(const json_t *object)
{
	const char *affinity = spec_text(object, "sessionAffinity");

	return affinity && !strcmp(affinity, "ClientIP") ? AFFINITY_CLIENT : AFFINITY_FLOW;
}

/* May its endpoints be none at all, where there were some? As "none: allow" says of what the configuration discovers. */
static bool allows_none(const json_t *object)
{
	const json_t *notes = json_object_get(json_object_get(object, "metadata"), "annotations");
	const char *none = json_string_value(json_object_get(notes, "shunt/none"));

	return none && !strcmp(none, "allow");
}

/* The port of a Service; 0: none that can be balanced (SCTP). */
static uint16_t read_port(const json_t *port, uint8_t *proto)
{
	json_int_t number = json_integer_value(json_object_get(port, "port"));
	const char *protocol = json_string_value(json_object_get(port, "protocol")) ?: "TCP";

	*proto = !strcmp(protocol, "UDP") ? IPPROTO_UDP : IPPROTO_TCP;
	if (number < 1 || number > 65535 || (strcmp(protocol, "TCP") && strcmp(protocol, "UDP")))
		return 0;
	return number;
}

/* Slices name their ports as the Service does; their numbers are the pods'. Only a single port may have no name. */
static int fill_offer(struct offer *o, const struct kubernetes_service *s, const json_t *port,
		      const struct source *conf)
{
	const char *port_name = json_string_value(json_object_get(port, "name"));
	char number[8], name[SERVICE_NAME_MAX + 1];

	snprintf(number, sizeof(number), "%u", o->listens[0].port);
	if (!is_label(port_name))
		port_name = NULL;
	kubernetes_offer_name(s->namespace, s->name, port_name ?: number, name);
	o->name = strdup(name);
	o->discover = (struct discover){ .kind = SOURCE_KUBERNETES,
					 .source = strdup(conf->name),
					 .name = strdup(s->name),
					 .namespace = strdup(s->namespace),
					 .port_name = port_name ? strdup(port_name) : NULL };
	return o->name && o->discover.source && o->discover.name && o->discover.namespace &&
			       (!port_name || o->discover.port_name)
		       ? 0
		       : -ENOMEM;
}

static int add_offer(struct kubernetes_service *s, const json_t *object, const json_t *port, const struct source *conf,
		     const struct addresses *at)
{
	struct offer *o = &s->offers[s->n_offers];
	uint8_t proto;
	uint16_t number = read_port(port, &proto);

	if (!number || !at->n)
		return 0;
	s->n_offers++;
	o->affinity = affinity_of(object);
	o->listens = calloc(at->n, sizeof(*o->listens));
	if (!o->listens)
		return -ENOMEM;
	for (; o->n_listens < at->n; o->n_listens++)
		o->listens[o->n_listens] = (struct listen){ at->list[o->n_listens], number, proto };
	if (fill_offer(o, s, port, conf))
		return -ENOMEM;
	o->discover.allow_none = allows_none(object);
	return 0;
}

static int read_offers(struct kubernetes_service *s, const json_t *object, const struct source *conf)
{
	const json_t *spec = json_object_get(object, "spec"), *ports = json_object_get(spec, "ports"), *one;
	_cleanup_free_ struct addr *list = NULL;
	struct addresses at = {};
	int err = addresses_room(&at, spec);
	size_t i;

	list = at.list;
	s->offers = calloc(json_array_size(ports) + 1, sizeof(*s->offers));
	if (err || !s->offers)
		return -ENOMEM;
	add_inner(&at, spec);
	add_outer(&at, spec);
	json_array_foreach(ports, i, one) {
		err = add_offer(s, object, one, conf, &at);
		if (err)
			return err;
	}
	return 0;
}

/* ---- status ---- */

static const json_t *ingress_of(const json_t *object)
{
	return json_object_get(json_object_get(json_object_get(object, "status"), "loadBalancer"), "ingress");
}

/* Does the status show exactly these, in whatever order? */
static bool ingress_shows(const json_t *ingress, const struct addr *list, size_t n)
{
	const json_t *one;
	size_t i;

	if (json_array_size(ingress) != n)
		return false;
	json_array_foreach(ingress, i, one) {
		const char *ip = json_string_value(json_object_get(one, "ip"));
		struct addr addr;

		if (!ip || addr_parse(ip, &addr) || !addresses_have(list, n, &addr))
			return false;
	}
	return true;
}

static int read_publish(struct kubernetes_service *s, const json_t *object)
{
	const json_t *spec = json_object_get(object, "spec");
	struct addresses a = {};

	if (addresses_room(&a, spec))
		return -ENOMEM;
	add_outer(&a, spec);
	s->publish = a.list;
	s->n_publish = a.n;
	s->ours = true;
	s->differs = !ingress_shows(ingress_of(object), s->publish, s->n_publish);
	return 0;
}

/* It was ours, is nobody's now, and still shows what we published: that is to be taken away. */
static bool is_left_behind(const json_t *object, const struct source *conf, const struct kubernetes_service *before)
{
	return before && before->n_publish && !is_foreign(object, conf) &&
	       ingress_shows(ingress_of(object), before->publish, before->n_publish);
}

static int take_publish(struct kubernetes_service *s, const struct kubernetes_service *before)
{
	s->publish = calloc(before->n_publish, sizeof(*s->publish));
	if (!s->publish)
		return -ENOMEM;
	memcpy(s->publish, before->publish, before->n_publish * sizeof(*s->publish));
	s->n_publish = before->n_publish;
	s->differs = true;
	return 0;
}

char *kubernetes_service_patch(const struct kubernetes_service *s)
{
	json_t *ingress = json_array(), *patch;
	char *text, ip[ADDR_TEXT];

	for (size_t i = 0; s->ours && i < s->n_publish; i++)
		json_array_append_new(ingress, json_pack("{s:s}", "ip", addr_format(&s->publish[i], ip)));
	patch = json_pack("{s:{s:{s:o}}}", "status", "loadBalancer", "ingress", ingress);
	if (patch && s->version[0])
		json_object_set_new(patch, "metadata", json_pack("{s:s}", "resourceVersion", s->version));
	text = patch ? json_dumps(patch, JSON_COMPACT) : NULL;
	json_decref(patch);
	return text;
}

/* ---- a Service ---- */

static int read_identity(struct kubernetes_service *s, const json_t *object)
{
	s->namespace = strdup(kubernetes_metadata(object, "namespace"));
	s->name = strdup(kubernetes_metadata(object, "name"));
	s->version = strdup(kubernetes_metadata(object, "resourceVersion") ?: "");
	return s->namespace && s->name && s->version ? 0 : -ENOMEM;
}

int kubernetes_service_parse(const json_t *object, const struct source *conf, const struct kubernetes_service *before,
			     struct kubernetes_service **out)
{
	bool ours = has_class(object, conf), offered = ours || (has_label(object, conf) && !is_foreign(object, conf));
	bool left_behind = !ours && is_left_behind(object, conf, before);
	_cleanup_(service_freep) struct kubernetes_service *s = NULL;
	int err;

	*out = NULL;
	if (!is_label(kubernetes_metadata(object, "namespace")) || !is_label(kubernetes_metadata(object, "name")) ||
	    !(offered || left_behind))
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	err = read_identity(s, object);
	if (!err && offered)
		err = read_offers(s, object, conf);
	if (!err && ours)
		err = read_publish(s, object);
	if (!err && left_behind)
		err = take_publish(s, before);
	if (err)
		return err;
	*out = TAKE_PTR(s);
	return 0;
}
