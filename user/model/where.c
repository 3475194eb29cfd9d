/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where services are balanced: what is said of local connections has an effect on this host, and services whose servers
 * are here (forward: local) say where.
 */
#include <stdio.h>
#include <string.h>

#include "model/validate.h"

bool takes_packets(const struct config *c, const struct service *s)
{
	return s->forward != FORWARD_LOCAL && s->at & AT_EDGE && service_is_at(c, s) != AT_SOCKET;
}

/* ---- what has no effect ---- */

struct cause {
	const char *why, *remedy;
};

/*
 * Why local connections to the service are not balanced here; NULL: they are. That it has no backends is no cause: they
 * come and go.
 */
static const struct cause *not_at_sockets(const struct config *c, const struct service *s)
{
	static const struct cause local = {
		"forward: local leads packets to a server of this host and does not balance "
		"connections of local processes",
		"use another forward"
	};
	static const struct cause edge = { "at: edge leaves connections of local processes alone", "add socket to at" };
	static const struct cause off = { "connections of local processes are not balanced on this host",
					  "turn that on with cgroup: /sys/fs/cgroup" };

	return s->forward == FORWARD_LOCAL ? &local : !(s->at & AT_SOCKET) ? &edge : !c->cgroup ? &off : NULL;
}

static bool has_clients(const struct service *s)
{
	return s->clients.cgroups.n || s->clients.namespaces.n;
}

static void validate_effect(const struct config *c, const struct service *s, struct faults *f)
{
	const struct cause *cause = not_at_sockets(c, s);

	if (!cause)
		return;
	if (s->at == AT_SOCKET) {
		fault(f, s, NULL, "at: socket has no effect, for %s; %s, or remove at", cause->why, cause->remedy);
		return; /* the rest follows */
	}
	if (s->algorithm != ALGORITHM_CONSISTENT)
		fault(f, s, NULL,
		      "algorithm: %s has no effect, for %s, and packets go by their flow's hash; %s, or use "
		      "consistent",
		      algorithm_names[s->algorithm], cause->why, cause->remedy);
	if (has_clients(s))
		fault(f, s, NULL, "clients have no effect, for %s; %s, or remove clients", cause->why, cause->remedy);
	if (s->refuses)
		fault(f, s, NULL, "no-backend: %s has no effect, for %s; %s, or remove no-backend", no_backend_names[1],
		      cause->why, cause->remedy);
}

/* ---- forward: local ---- */

static void validate_local(const struct service *s, struct faults *f)
{
	char text[ENDPOINT_TEXT], better[ENDPOINT_TEXT];

	if (s->forward != FORWARD_LOCAL)
		return;
	if (s->quic.server_id)
		fault(f, s, NULL,
		      "quic has no effect with forward: local, where packets are not looked into; remove quic, or "
		      "use ipip or gue");
	for (size_t i = 0; i < s->n_backends; i++) {
		const struct endpoint *at = &s->backends[i].at;

		if (!at->port)
			fault(f, s, &s->backends[i],
			      "backend %s has no port; forward: local needs the one on which the server "
			      "here listens, such as %s",
			      endpoint_format(at, text), endpoint_format(&(struct endpoint){ at->addr, 8080 }, better));
	}
}

/* ---- cgroups ---- */

/* What is left of a path when the folder is taken off its front; NULL: it is not below the folder. */
static const char *below(const char *folder, const char *path)
{
	size_t len = folder ? strlen(folder) : 0;

	return len > 1 && !strncmp(folder, path, len) && path[len] == '/' ? path + len : NULL;
}

/* key: how a sentence begins that is about the list. */
static void validate_cgroups(const struct config *c, const struct service *s, const char *key,
			     const struct texts *cgroups, struct faults *f)
{
	for (size_t i = 0; i < cgroups->n; i++) {
		const char *path = cgroups->list[i], *name = below(c->cgroup, path);

		if (name)
			fault(f, s, NULL,
			      "%s: %.160s is where files are; a cgroup is named by its path below %.80s: write %.160s",
			      key, path, c->cgroup, name);
	}
}

void validate_where(const struct config *c, const struct service *s, struct faults *f)
{
	validate_effect(c, s, f);
	validate_local(s, f);
	validate_cgroups(c, s, "clients: cgroups", &s->clients.cgroups, f);
}

void validate_except(const struct config *c, struct faults *f)
{
	if (c->except.n && !c->cgroup)
		fault(f, NULL, NULL,
		      "socket: except has no effect, for connections of local processes are not balanced on this "
		      "host; turn that on with cgroup: /sys/fs/cgroup, or remove socket");
	validate_cgroups(c, NULL, "socket: except", &c->except, f);
}
