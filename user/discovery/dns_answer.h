/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an answer of DNS (RFC 1035, 2308, 2782) says to one question, read from its bytes, whatever they are. Pure.
 *
 * Only a whole answer is one: what is truncated, does not belong to the question, refers to other servers, follows an
 * alias to nowhere, or carries a code that is neither "here it is" nor "there is none" is refused, with the reason.
 */
#ifndef DISCOVERY_DNS_ANSWER_H
#define DISCOVERY_DNS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33 };
const char *dns_type_name(enum dns_type type);

#define DNS_NAME 256 /* bytes for a name as text, in lower case and without a dot at its end; the root is "." */
/* As above. false: it is too long, or has other characters than printable ones of ASCII, or empty parts. */
bool dns_name(const char *text, char name[DNS_NAME]);

#define DNS_NO_TTL UINT32_MAX /* nothing says how long it holds */
static inline uint32_t dns_ttl_least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

struct dns_srv {
	uint16_t priority, port;
	uint32_t weight;
	char target[DNS_NAME];
};

struct dns_host {
	char name[DNS_NAME];
	struct addr addr;
	uint32_t ttl; /* seconds */
};

struct dns_answer {
	bool exists; /* false: there is no such name */
	struct dns_srv *srvs; /* to DNS_SRV */
	size_t n_srvs;
	struct dns_host *hosts; /* to DNS_A and DNS_AAAA: the answer; to DNS_SRV: addresses of some targets, sent along */
	size_t n_hosts;
	uint32_t ttl; /* seconds, the least of the answer and the aliases that led to it; of 'none': how long that holds */
};
void dns_answer_clear(struct dns_answer *a);

#define DNS_WHY 128
/* name: as dns_name makes it. 0, -EINVAL (why says what is wrong with it, such as "SERVFAIL"), -ENOMEM (why as well). */
int dns_answer(const uint8_t *bytes, size_t len, const char *name, enum dns_type type, struct dns_answer *out,
	       char why[DNS_WHY]);

struct dns_rest {
	size_t lower; /* records of lower priority, which are left out */
	bool absent; /* a target of ".": the service is declared not to be here */
};
/*
 * Leaves in list what counts: the most preferred priority (the lowest number), each target and port once, sorted; and
 * makes their weights ours: as they are if any is not 0 (a 0 among them is 1 then), else all the default. How many.
 */
size_t dns_srv_best(struct dns_srv *list, size_t n, struct dns_rest *rest);

#endif
