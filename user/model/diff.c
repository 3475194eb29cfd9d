/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings, and what differs in words; services and discovery are compared in files of their own. */
#include "model/diff.h"

#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "model/diff_walk.h"

/* ---- settings ---- */

static const char *roles_text(unsigned roles)
{
	static const char *const names[] = { "no role", "edge", "backend", "edge and backend" };

	return names[roles & (ROLE_EDGE | ROLE_BACKEND)];
}

static const char *mode_text(enum xdp_mode mode)
{
	return mode == XDP_MODE_NATIVE ? "native" : mode == XDP_MODE_GENERIC ? "generic" : "auto";
}

static const struct interface *find_interface(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_interfaces; i++)
		if (!strcmp(c->interfaces[i].name, name))
			return &c->interfaces[i];
	return NULL;
}

static void diff_interface(struct diff_walk *w, const struct interface *from, const struct interface *to)
{
	diff_subject(w, "interface %s: role", from->name);
	diff_text_field(w, roles_text(from->roles), roles_text(to->roles));
	diff_subject(w, "interface %s: mode", from->name);
	diff_text_field(w, mode_text(from->mode), mode_text(to->mode));
}

static void diff_interfaces(struct diff_walk *w, const struct config *from, const struct config *to)
{
	for (size_t i = 0; i < from->n_interfaces; i++) {
		const struct interface *other = find_interface(to, from->interfaces[i].name);

		diff_subject(w, "interface %s", from->interfaces[i].name);
		if (other)
			diff_interface(w, &from->interfaces[i], other);
		else
			diff_say(w, DIFF_REMOVED, NULL, NULL);
	}
	for (size_t i = 0; i < to->n_interfaces; i++) {
		diff_subject(w, "interface %s", to->interfaces[i].name);
		if (!find_interface(from, to->interfaces[i].name))
			diff_say(w, DIFF_ADDED, NULL, roles_text(to->interfaces[i].roles));
	}
}

static const char *metrics_text(const struct config *c, char text[ENDPOINT_TEXT])
{
	return c->metrics.port ? endpoint_format(&c->metrics, text) : "off";
}

static const char *allow_text(const struct config *c, char text[DIFF_VALUE_MAX])
{
	char one[PREFIX_TEXT];
	size_t len = 0;

	snprintf(text, DIFF_VALUE_MAX, "nobody");
	for (size_t i = 0; i < c->backend.n_allow && len < DIFF_VALUE_MAX; i++)
		len += snprintf(text + len, DIFF_VALUE_MAX - len, "%s%s", i ? ", " : "",
				prefix_format(&c->backend.allow[i], one));
	return text;
}

static void diff_control(struct diff_walk *w, const struct config *from, const struct config *to)
{
	char a[ENDPOINT_TEXT], b[ENDPOINT_TEXT];

	diff_subject(w, "metrics.listen");
	diff_text_field(w, metrics_text(from, a), metrics_text(to, b));
	diff_subject(w, "control.socket");
	diff_text_field(w, from->control_socket, to->control_socket);
	diff_subject(w, "control.group");
	diff_text_field(w, from->control_group, to->control_group);
	diff_subject(w, "pins");
	diff_text_field(w, from->pins, to->pins);
}

static void diff_edge(struct diff_walk *w, const struct config *from, const struct config *to)
{
	char a[PREFIX_TEXT], b[PREFIX_TEXT];

	diff_subject(w, "edge.source (IPv4)");
	diff_text_field(w, prefix_format(&from->edge.source4, a), prefix_format(&to->edge.source4, b));
	diff_subject(w, "edge.source (IPv6)");
	diff_text_field(w, prefix_format(&from->edge.source6, a), prefix_format(&to->edge.source6, b));
	diff_number_field(w, "edge.icmp-rate", from->edge.icmp_rate, to->edge.icmp_rate);
	diff_number_field(w, "edge.seed", from->edge.seed, to->edge.seed);
}

static void diff_backend_role(struct diff_walk *w, const struct config *from, const struct config *to)
{
	char a[DIFF_VALUE_MAX], b[DIFF_VALUE_MAX];

	diff_subject(w, "backend.allow");
	diff_text_field(w, allow_text(from, a), allow_text(to, b));
	diff_subject(w, "backend.loopback");
	diff_text_field(w, from->backend.loopback ? "true" : "false", to->backend.loopback ? "true" : "false");
	diff_subject(w, "backend.second-chance");
	diff_text_field(w, from->backend.second_chance ? "true" : "false", to->backend.second_chance ? "true" : "false");
	diff_number_field(w, "backend.second-chance-rate", from->backend.second_chance_rate, to->backend.second_chance_rate);
}

static void diff_sockets(struct diff_walk *w, const struct config *from, const struct config *to)
{
	diff_subject(w, "cgroup");
	diff_text_field(w, from->cgroup, to->cgroup);
	diff_texts(w, "socket.except", &from->except, &to->except);
}

static void diff_limits(struct diff_walk *w, const struct config *from, const struct config *to)
{
	diff_number_field(w, "limits.services", from->limits.services, to->limits.services);
	diff_number_field(w, "limits.listeners", from->limits.listeners, to->limits.listeners);
	diff_number_field(w, "limits.members", from->limits.members, to->limits.members);
	diff_number_field(w, "limits.backends", from->limits.backends, to->limits.backends);
	diff_number_field(w, "limits.slots", from->limits.slots, to->limits.slots);
	diff_number_field(w, "limits.flows", from->limits.flows, to->limits.flows);
	diff_number_field(w, "limits.connections", from->limits.connections, to->limits.connections);
	diff_number_field(w, "limits.checks", from->checks_under_way, to->checks_under_way);
}

void config_diff(const struct config *from, const struct config *to, diff_fn fn, void *arg)
{
	struct diff_walk w = { .fn = fn, .arg = arg };

	diff_interfaces(&w, from, to);
	diff_control(&w, from, to);
	diff_edge(&w, from, to);
	diff_backend_role(&w, from, to);
	diff_sockets(&w, from, to);
	diff_limits(&w, from, to);
	diff_discovery(&w, from, to);
	diff_services(&w, from, to);
}

static void note_difference(void *differs, const struct diff *d)
{
	(void)d;
	*(bool *)differs = true;
}

bool config_differs(const struct config *from, const struct config *to)
{
	bool differs = false;

	config_diff(from, to, note_difference, &differs);
	return differs;
}

/* ---- in words ---- */

char *diff_change(const struct diff *d, char text[DIFF_TEXT])
{
	if (d->kind == DIFF_REMOVED)
		snprintf(text, DIFF_TEXT, "%s: removed", d->subject);
	else if (d->kind == DIFF_CHANGED)
		snprintf(text, DIFF_TEXT, "%s: %s -> %s", d->subject, d->from, d->to);
	else if (d->to)
		snprintf(text, DIFF_TEXT, "%s: added (%s)", d->subject, d->to);
	else
		snprintf(text, DIFF_TEXT, "%s: added", d->subject);
	return text;
}

char *diff_state(const struct diff *d, char text[DIFF_TEXT])
{
	if (d->kind == DIFF_REMOVED)
		snprintf(text, DIFF_TEXT, "%s is not there, the file has it", d->subject);
	else if (d->kind == DIFF_ADDED)
		snprintf(text, DIFF_TEXT, "%s is not in the file", d->subject);
	else
		snprintf(text, DIFF_TEXT, "%s is %s, the file says %s", d->subject, d->to, d->from);
	return text;
}
