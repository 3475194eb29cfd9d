/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An answer of DNS. The first byte says to which question; the packet follows. Names that are accepted are names,
 * numbers are in range, and of SRV records those count that have the lowest priority, each once.
 */
#include <errno.h>

#include "discovery/dns_answer.h"
#include "fuzz.h"
#include "model/model.h"

static void check_name(const char *name)
{
	char again[DNS_NAME];

	must(strnlen(name, DNS_NAME) < DNS_NAME && dns_name(name, again) && !strcmp(name, again));
}

static void check_hosts(const struct dns_answer *a, enum dns_type type)
{
	for (size_t i = 0; i < a->n_hosts; i++) {
		const struct dns_host *h = &a->hosts[i];

		must(strnlen(h->name, DNS_NAME) < DNS_NAME && h->ttl <= INT32_MAX);
		must(type == DNS_SRV || addr_is4(&h->addr) || type == DNS_AAAA);
	}
}

static void check_srvs(struct dns_answer *a)
{
	struct dns_rest rest;
	size_t best = 0;

	for (size_t i = 0; i < a->n_srvs; i++)
		check_name(a->srvs[i].target);
	best = dns_srv_best(a->srvs, a->n_srvs, &rest);
	must(best + rest.lower <= a->n_srvs && (best || rest.absent || !a->n_srvs));
	for (size_t i = 0; i < best; i++) {
		must(a->srvs[i].weight && a->srvs[i].weight <= WEIGHT_MAX &&
		     a->srvs[i].priority == a->srvs[0].priority);
		for (size_t j = 0; j < i; j++)
			must(a->srvs[i].port != a->srvs[j].port || strcmp(a->srvs[i].target, a->srvs[j].target));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA, DNS_SRV };
	enum dns_type type = size ? types[data[0] % 3] : DNS_A; /* '0', '1', '2' */
	const char *name = type == DNS_SRV ? "_http._tcp.example.org" : "web.example.org";
	_cleanup_(dns_answer_clear) struct dns_answer a = {};
	char why[DNS_WHY] = "";
	int err;

	if (!size)
		return 0;
	err = dns_answer(data + 1, size - 1, name, type, &a, why);
	if (err) {
		must(err == -EINVAL && why[0] && !a.hosts && !a.srvs);
		return 0;
	}
	must(a.n_hosts <= size / 12 && a.n_srvs <= size / 12 && (a.exists || !why[0]));
	check_hosts(&a, type);
	if (type == DNS_SRV)
		check_srvs(&a);
	return 0;
}
