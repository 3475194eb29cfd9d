/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The keys of a whole file, and those that are about this host: interfaces, sockets, tunnels, sizes. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/clean.h"
#include "config/read.h"

/* ---- interfaces ---- */

/* What the kernel accepts as a device's name. */
static bool interface_name_is_fine(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || isspace((unsigned char)*name))
			return false;
	return true;
}

static void read_interface_name(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	(void)k;
	if (interface_name_is_fine(value->text))
		strcpy(field, value->text);
	else
		mistake(r->mistakes, value->line,
			"\"%s\" cannot be an interface's name; write one that `ip link` lists, "
			"such as eth0",
			SHOWN(value->text));
}

static const char *const role_names[] = { "edge", "backend" }; /* in the order of the bits of enum role */
static const char *const mode_names[] = { "auto", "native", "generic" };

static const struct key interface_keys[] = {
	{ "name", NODE_SCALAR, read_interface_name, offsetof(struct interface, name), .required = true,
	  .help = "eth0" },
	{ "role", NODE_SCALAR | NODE_LIST, read_bits, offsetof(struct interface, roles), .required = true,
	  .words = role_names, .n_words = ARRAY_SIZE(role_names), .help = "edge" },
	{ "mode", NODE_SCALAR, read_word, offsetof(struct interface, mode), .words = mode_names,
	  .n_words = ARRAY_SIZE(mode_names), .help = "auto" },
};
static const struct schema interface_schema = SCHEMA("an interface", interface_keys);

static bool interface_is_known(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_interfaces; i++)
		if (!strcmp(c->interfaces[i].name, name))
			return true;
	return false;
}

static void read_interface(struct reader *r, const struct node *item)
{
	struct config *c = r->config;
	struct interface *new, one = {};

	if (item->kind != NODE_MAP) {
		mistake(r->mistakes, item->line, "an interface is a mapping; write { name: eth0, role: edge }");
		return;
	}
	read_schema(r, &interface_schema, item, &one);
	if (*one.name && interface_is_known(c, one.name)) {
		mistake(r->mistakes, item->line,
			"interface %s is listed twice; join the two, with role: [edge, backend]", one.name);
		return;
	}
	new = array_add(r, &c->interfaces, c->n_interfaces, sizeof(*new));
	if (new) {
		*new = one;
		c->n_interfaces++;
	}
}

#define INTERFACES_MAX 256

static void read_interfaces(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	(void)k;
	(void)field;
	for (const struct node *item = value->first; item && !mistakes_full(r->mistakes); item = item->next) {
		if (r->config->n_interfaces == INTERFACES_MAX) {
			mistake(r->mistakes, item->line, "more than %d interfaces; remove those that carry no service",
				INTERFACES_MAX);
			return;
		}
		read_interface(r, item);
	}
}

/* ---- metrics and control ---- */

static void read_metrics_listen(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct endpoint at = {};

	if (strcmp(value->text, "off") && (endpoint_parse(value->text, &at) || !at.port))
		mistake(r->mistakes, value->line, "\"listen\" is \"%s\"; write ADDRESS:PORT, such as %s, or off",
			SHOWN(value->text), k->help);
	else
		*(struct endpoint *)field = at;
}

static const struct key metrics_keys[] = {
	{ "listen", NODE_SCALAR, read_metrics_listen, 0, .help = "\"127.0.0.1:9650\"" },
};
static const struct schema metrics_schema = SCHEMA("metrics", metrics_keys);

static const struct key control_keys[] = {
	{ "socket", NODE_SCALAR, read_path, offsetof(struct config, control_socket), .min = 2,
	  .max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1, .help = "/run/shunt/shunt.sock" },
	{ "group", NODE_SCALAR, read_text, offsetof(struct config, control_group), .min = 1, .max = 32, .help = "adm" },
};
static const struct schema control_schema = SCHEMA("control", control_keys);

/* ---- tunnels ---- */

#define PREFIX_REMEDY "write NETWORK/LENGTH with all bits after LENGTH zero, such as 10.0.0.0/8 or \"2001:db8::/32\""

static bool read_prefix(struct reader *r, const struct key *k, const struct node *item, struct prefix *out)
{
	if (!item_is_fine(r, k, item))
		return false;
	if (!prefix_parse(item->text, out))
		return true;
	mistake(r->mistakes, item->line, "\"%s\" in \"%s\" is no prefix; " PREFIX_REMEDY, SHOWN(item->text), k->name);
	return false;
}

static void read_source(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	size_t lines[2] = { 0 }; /* where each family was given */
	struct prefix p;

	(void)field;
	for (const struct node *item = node_items(value); item; item = node_after(value, item)) {
		if (!read_prefix(r, k, item, &p))
			continue;
		bool four = addr_is4(&p.addr) && p.len >= 96;

		if (lines[four])
			mistake(r->mistakes, item->line,
				"a second %s prefix in \"source\" (the first is on line %zu); keep one "
				"of each family",
				four ? "IPv4" : "IPv6", lines[four]);
		else if (four)
			r->config->edge.source4 = p;
		else
			r->config->edge.source6 = p;
		lines[four] = item->line;
	}
}

static void read_allow(struct reader *r, const struct key *k, const struct node *value, void *field)
{
	struct config *c = r->config;
	struct prefix p, *new;

	(void)field;
	free(TAKE_PTR(c->backend.allow));
	c->backend.n_allow = 0;
	r->allow_given = true;
	if (!node_items(value))
		mistake(r->mistakes, value->line,
			"\"allow\" is empty, so that no balancer would be believed; list prefixes, or "
			"remove the line for those of edge: source");
	for (const struct node *item = node_items(value); item; item = node_after(value, item)) {
		if (c->backend.n_allow == ALLOW_MAX) {
			mistake(r->mistakes, item->line, "\"allow\" has more than %d prefixes; join some", ALLOW_MAX);
			return;
		}
		if (!read_prefix(r, k, item, &p))
			continue;
		new = array_add(r, &c->backend.allow, c->backend.n_allow, sizeof(*new));
		if (!new)
			return;
		*new = p;
		c->backend.n_allow++;
	}
}

static const struct key edge_keys[] = {
	{ "source", NODE_SCALAR | NODE_LIST, read_source, 0, .help = "[198.18.0.0/16, \"2001:2::/64\"]" },
	{ "icmp-rate", NODE_SCALAR, read_u32, offsetof(struct config, edge.icmp_rate), .max = 1000000, .help = "100" },
	{ "seed", NODE_SCALAR, read_u64, offsetof(struct config, edge.seed), .max = UINT64_MAX, .help = "1234" },
};
static const struct schema edge_schema = SCHEMA("edge", edge_keys);

static const struct key backend_keys[] = {
	{ "allow", NODE_SCALAR | NODE_LIST, read_allow, 0, .help = "[198.18.0.0/16, \"2001:2::/64\"]" },
	{ "loopback", NODE_SCALAR, read_bool, offsetof(struct config, backend.loopback), .help = "true" },
	{ "second-chance", NODE_SCALAR, read_bool, offsetof(struct config, backend.second_chance), .help = "true" },
	{ "second-chance-rate", NODE_SCALAR, read_u32, offsetof(struct config, backend.second_chance_rate),
	  .max = 100000000, .help = "50000" },
};
static const struct schema backend_schema = SCHEMA("backend", backend_keys);

/* ---- local connections ---- */

static const struct key socket_keys[] = {
	{ "except", NODE_SCALAR | NODE_LIST, read_cgroups, offsetof(struct config, except),
	  .help = "[/system.slice/backup.service]" },
};
static const struct schema socket_schema = SCHEMA("socket", socket_keys);

/* ---- sizes ---- */

static const struct key limits_keys[] = {
	{ "services", NODE_SCALAR, read_u32, offsetof(struct config, limits.services), .min = 1, .max = 1 << 20,
	  .help = "4096" },
	{ "listeners", NODE_SCALAR, read_u32, offsetof(struct config, limits.listeners), .min = 1, .max = 1 << 22,
	  .help = "16384" },
	{ "members", NODE_SCALAR, read_u32, offsetof(struct config, limits.members), .min = 1, .max = 1 << 24,
	  .help = "65536" },
	{ "backends", NODE_SCALAR, read_u32, offsetof(struct config, limits.backends), .min = 1, .max = 1 << 24,
	  .help = "65536" },
	{ "slots", NODE_SCALAR, read_u32, offsetof(struct config, limits.slots), .min = 64, .max = 1 << 28,
	  .help = "2097152" },
	{ "flows", NODE_SCALAR, read_power, offsetof(struct config, limits.flows), .min = FLOWS_MIN,
	  .max = LIMIT_FLOWS_MAX, .help = "1048576" },
	{ "connections", NODE_SCALAR, read_u32, offsetof(struct config, limits.connections), .min = 64, .max = 1 << 24,
	  .help = "131072" },
	{ "checks", NODE_SCALAR, read_u32, offsetof(struct config, checks_under_way), .min = 1, .max = 65536,
	  .help = "256" },
};
static const struct schema limits_schema = SCHEMA("limits", limits_keys);

/* ---- a whole file ---- */

static const struct key host_keys[] = {
	{ "interfaces", NODE_LIST, read_interfaces, 0, .help = "[{ name: eth0, role: edge }]" },
	{ "metrics", NODE_MAP, read_map, offsetof(struct config, metrics), .schema = &metrics_schema,
	  .help = "{ listen: \"127.0.0.1:9650\" }" },
	{ "control", NODE_MAP, read_map, 0, .schema = &control_schema, .help = "{ socket: /run/shunt/shunt.sock }" },
	{ "pins", NODE_SCALAR, read_path, offsetof(struct config, pins), .min = 2, .max = 255,
	  .help = "/sys/fs/bpf/shunt" },
	{ "edge", NODE_MAP, read_map, 0, .schema = &edge_schema, .help = "{ icmp-rate: 100 }" },
	{ "backend", NODE_MAP, read_map, 0, .schema = &backend_schema, .help = "{ loopback: true }" },
	{ "limits", NODE_MAP, read_map, 0, .schema = &limits_schema, .help = "{ services: 4096 }" },
	{ "services", NODE_LIST, read_services, 0, .help = "[{ name: web, listen: \"192.0.2.10:80/tcp\" }]" },
	{ "state", NODE_SCALAR, read_path, offsetof(struct config, state), .min = 2, .max = 255, .help = "/var/lib/shunt" },
	{ "sources", NODE_LIST, read_sources, 0, .help = "[{ consul: { url: \"http://127.0.0.1:8500\" } }]" },
	{ "register", NODE_MAP | NODE_LIST, read_announces, 0,
	  .help = "[{ consul: { service: web }, address: \"10.0.0.11:80\" }]" },
	{ "cgroup", NODE_SCALAR, read_path, offsetof(struct config, cgroup), .min = 2, .max = 255,
	  .help = "/sys/fs/cgroup" },
	{ "socket", NODE_MAP, read_map, 0, .schema = &socket_schema,
	  .help = "{ except: [/system.slice/backup.service] }" },
};
const struct schema host_schema = SCHEMA("a configuration", host_keys);
