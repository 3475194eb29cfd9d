/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A request about a service or a backend (control socket): what is accepted is in range, what is not is as it was. */
#include <errno.h>
#include <netinet/in.h>

#include "api/parse.h"
#include "fuzz.h"

static void check_service(const struct service *s)
{
	must(s->name && s->n_listens && s->listens);
	must((unsigned)s->algorithm < ARRAY_SIZE(algorithm_names) && (unsigned)s->forward < ARRAY_SIZE(forward_names));
	must((unsigned)s->affinity < ARRAY_SIZE(affinity_names) && (unsigned)s->check.kind <= CHECK_HTTP);
	must(s->quic.config <= QUIC_CONFIG_MAX && s->quic.server_id <= SERVER_ID_MAX);
	must(s->at && !(s->at & ~(unsigned)(AT_EDGE | AT_SOCKET)));
	must(s->clients.cgroups.n <= TEXTS_MAX && s->clients.namespaces.n <= TEXTS_MAX);
	must(!s->slots || (s->slots >= 64 && s->slots <= 1 << 20));
	must(s->check.kind == CHECK_HTTP ? s->check.path && s->check.status_min >= 100 : !s->check.path);
	for (size_t i = 0; i < s->n_listens; i++)
		must(s->listens[i].proto == IPPROTO_TCP || s->listens[i].proto == IPPROTO_UDP);
}

static void try_service(const json_t *o)
{
	_cleanup_(service_clear) struct service s = {}, copy = {};
	char error[PARSE_ERROR] = "";
	int err = parse_service(o, &s, error);

	must(err ? err == -EINVAL && error[0] && !s.name : !error[0]);
	if (err)
		return;
	check_service(&s);
	must(!service_copy(&s, &copy) && copy.n_listens == s.n_listens && check_equal(&s.check, &copy.check));
}

static void try_backend(const json_t *o)
{
	const struct backend before = { .weight = WEIGHT_DEFAULT };
	struct backend b = before;
	struct endpoint at = {};
	char error[PARSE_ERROR] = "";
	uint8_t proto;

	if (!parse_backend(o, &b, error))
		must(b.weight <= WEIGHT_MAX && b.admin <= ADMIN_DISABLED && b.server_id.length <= SERVER_ID_MAX);
	else
		must(error[0] && b.weight == before.weight && b.admin == before.admin);
	if (!parse_endpoint(o, "address", &at, error))
		must(at.port);
	if (!parse_protocol(o, &proto, error))
		must(proto == IPPROTO_TCP || proto == IPPROTO_UDP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *o = json_loadb((const char *)data, size, 0, NULL);

	if (json_is_object(o)) { /* others are refused before */
		try_service(o);
		try_backend(o);
	}
	json_decref(o);
	return 0;
}
