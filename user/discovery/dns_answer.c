/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/dns_answer.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "model/model.h"

#define HEADER 12
#define CLASS_IN 1
#define ALIASES_MAX 16 /* in a chain */
#define NAME_MAX_WIRE 255
#define LABELS_MAX 127 /* in a name of that length */

enum { TYPE_NS = 2, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_OPT = 41 }; /* beside enum dns_type */
enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL, N_SECTIONS };
enum { FLAG_RESPONSE = 0x8000, FLAG_AUTHORITATIVE = 0x0400, FLAG_TRUNCATED = 0x0200 };

const char *dns_type_name(enum dns_type type)
{
	return type == DNS_A ? "A" : type == DNS_AAAA ? "AAAA" : "SRV";
}

static int refuse(char why[DNS_WHY], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(char why[DNS_WHY], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, DNS_WHY, fmt, args);
	va_end(args);
	return -EINVAL;
}

/* ---- names ---- */

/* A dot or a backslash within a label would need quoting; no host is called so. */
static bool label_is_plain(const uint8_t *label, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (label[i] <= ' ' || label[i] >= 0x7f || label[i] == '.' || label[i] == '\\')
			return false;
	return true;
}

static void copy_lower(char *to, const void *from, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (char)tolower(((const uint8_t *)from)[i]);
}

bool dns_name(const char *text, char name[DNS_NAME])
{
	size_t len = strlen(text), label;

	if (len > 1 && text[len - 1] == '.')
		len--;
	if (!len || len > NAME_MAX_WIRE - 2)
		return false;
	for (size_t at = 0; at < len && !(len == 1 && text[0] == '.'); at += label + 1) {
		label = strcspn(text + at, ".");
		if (!label || label > 63 || !label_is_plain((const uint8_t *)text + at, label) || at + label + 1 == len)
			return false;
	}
	copy_lower(name, text, len);
	name[len] = '\0';
	return true;
}

/* ---- bytes ---- */

struct packet {
	const uint8_t *bytes;
	size_t len;
};

struct cursor {
	const struct packet *packet;
	size_t at;
	bool bad; /* it went over the end, or met what is no name; then all that is read is 0 */
};

static uint32_t take(struct cursor *c, unsigned bytes)
{
	uint32_t value = 0;

	if (c->bad || c->packet->len - c->at < bytes) {
		c->bad = true;
		return 0;
	}
	while (bytes--)
		value = value << 8 | c->packet->bytes[c->at++];
	return value;
}

/*
 * The next label of a name, over pointers. Those lead only to before where the name, or what they led to last, begins,
 * so that they come to an end; and no name needs more of them than it may have labels, or many names that all lead over
 * thousands would take long. -1: this is no name; 0: its end.
 */
static int next_label(const struct packet *p, size_t *at, size_t *begin, size_t *behind, unsigned *pointers)
{
	while (*at < p->len && p->bytes[*at] >= 0xc0) {
		size_t to = *at + 1 < p->len ? (p->bytes[*at] & 0x3f) << 8 | p->bytes[*at + 1] : SIZE_MAX;

		if (to >= *begin || ++*pointers > LABELS_MAX)
			return -1;
		if (!*behind)
			*behind = *at + 2;
		*at = *begin = to;
	}
	if (*at >= p->len || p->bytes[*at] > 63 || p->len - *at <= p->bytes[*at])
		return -1;
	return p->bytes[*at];
}

/* A name that is not plain is "": it equals none that anybody asks for. */
static void take_name(struct cursor *c, char name[DNS_NAME])
{
	size_t at = c->at, begin = c->at, behind = 0, len = 0;
	unsigned pointers = 0;
	bool plain = true;
	int label;

	name[0] = '\0';
	while (!c->bad && (label = next_label(c->packet, &at, &begin, &behind, &pointers))) {
		c->bad = label < 0 || len + label + 2 > NAME_MAX_WIRE;
		if (c->bad)
			return;
		plain &= label_is_plain(&c->packet->bytes[at + 1], label);
		copy_lower(name + len, &c->packet->bytes[at + 1], label);
		len += label;
		name[len++] = '.';
		at += label + 1;
	}
	if (c->bad)
		return;
	c->at = behind ?: at + 1;
	if (!len)
		strcpy(name, ".");
	else
		name[plain ? len - 1 : 0] = '\0';
}

/* ---- records ---- */

struct record {
	enum section section;
	char name[DNS_NAME];
	uint16_t type;
	uint16_t class;
	uint32_t ttl;
	size_t data, len;
};

struct message {
	struct packet packet;
	uint16_t flags, code; /* code: with the part of it that EDNS carries */
	struct record *records;
	size_t n, room;
};

static void message_clear(struct message *m)
{
	free(m->records);
}

static struct cursor data_of(const struct message *m, const struct record *r)
{
	return (struct cursor){ .packet = &m->packet, .at = r->data };
}

static int take_record(struct message *m, struct cursor *c, enum section section)
{
	struct record *r;

	if (m->n == m->room) {
		r = reallocarray(m->records, 2 * m->room + 16, sizeof(*r));
		if (!r)
			return -ENOMEM;
		m->records = r;
		m->room = 2 * m->room + 16;
	}
	r = &m->records[m->n];
	r->section = section;
	take_name(c, r->name);
	r->type = take(c, 2);
	r->class = take(c, 2);
	r->ttl = take(c, 4);
	if (r->ttl > INT32_MAX) /* RFC 2181: as if it were 0 */
		r->ttl = r->type == TYPE_OPT ? r->ttl : 0;
	r->len = take(c, 2);
	r->data = c->at;
	c->bad |= c->packet->len - c->at < r->len;
	if (c->bad)
		return -EINVAL;
	c->at += r->len;
	if (r->type == TYPE_OPT)
		m->code |= r->ttl >> 24 << 4;
	m->n += r->class == CLASS_IN;
	return 0;
}

/* The question, which must be ours. */
static int take_question(struct cursor *c, unsigned count, const char *name, enum dns_type type, char why[DNS_WHY])
{
	char asked[DNS_NAME];

	if (count != 1)
		return refuse(why, "an answer to %u questions", count);
	take_name(c, asked);
	if (c->bad || take(c, 2) != type || take(c, 2) != CLASS_IN || strcmp(asked, name))
		return refuse(why, "an answer to another question");
	return 0;
}

static int take_message(struct message *m, const char *name, enum dns_type type, char why[DNS_WHY])
{
	struct cursor c = { .packet = &m->packet, .at = 2 /* the number is looked at by who receives */ };
	unsigned questions, counts[N_SECTIONS];
	int err;

	m->flags = take(&c, 2);
	m->code = m->flags & 0xf;
	questions = take(&c, 2);
	for (int i = 0; i < N_SECTIONS; i++)
		counts[i] = take(&c, 2);
	if (c.bad || !(m->flags & FLAG_RESPONSE) || m->flags & 0x7800)
		return refuse(why, "no answer of DNS");
	if (m->flags & FLAG_TRUNCATED)
		return refuse(why, "a truncated answer");
	err = take_question(&c, questions, name, type, why);
	for (int s = 0; s < N_SECTIONS; s++)
		for (unsigned i = 0; i < counts[s] && !err; i++) {
			err = take_record(m, &c, s);
			if (err)
				refuse(why, err == -ENOMEM ? "out of memory" : "a malformed answer");
		}
	return err;
}

static const struct record *find(const struct message *m, enum section section, uint16_t type, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->records[i].section == section && m->records[i].type == type &&
		    (!name || !strcmp(m->records[i].name, name)))
			return &m->records[i];
	return NULL;
}

/* ---- what they say ---- */

/* Where the aliases lead to. */
static int follow_aliases(const struct message *m, char name[DNS_NAME], uint32_t *ttl, unsigned *aliases,
			  char why[DNS_WHY])
{
	const struct record *r;

	for (*aliases = 0; (r = find(m, SECTION_ANSWER, TYPE_CNAME, name)); ++*aliases) {
		struct cursor c = data_of(m, r);

		if (*aliases == ALIASES_MAX)
			return refuse(why, "a circle of aliases, or more than %d", ALIASES_MAX);
		take_name(&c, name);
		if (c.bad || c.at != r->data + r->len || !name[0])
			return refuse(why, "a malformed alias");
		*ttl = dns_ttl_least(*ttl, r->ttl);
	}
	return 0;
}

static bool take_host(const struct message *m, const struct record *r, struct dns_answer *a)
{
	const uint8_t *data = m->packet.bytes + r->data;
	struct dns_host *h = &a->hosts[a->n_hosts];

	if (r->len != (r->type == DNS_A ? 4 : 16))
		return false;
	memcpy(h->name, r->name, sizeof(h->name));
	h->ttl = r->ttl;
	if (r->type == DNS_A)
		h->addr = (struct addr){ { [10] = 0xff, 0xff, data[0], data[1], data[2], data[3] } };
	else
		memcpy(h->addr.b, data, sizeof(h->addr.b));
	a->n_hosts++;
	return true;
}

static bool take_srv(const struct message *m, const struct record *r, struct dns_answer *a)
{
	struct dns_srv *s = &a->srvs[a->n_srvs++];
	struct cursor c = data_of(m, r);

	s->priority = take(&c, 2);
	s->weight = take(&c, 2);
	s->port = take(&c, 2);
	take_name(&c, s->target);
	return !c.bad && c.at == r->data + r->len && s->target[0];
}

/* Records of the answer at name, and addresses that were sent along. */
static int take_records(const struct message *m, const char *name, enum dns_type type, struct dns_answer *a,
			char why[DNS_WHY])
{
	a->hosts = calloc(m->n + 1, sizeof(*a->hosts));
	a->srvs = type == DNS_SRV ? calloc(m->n + 1, sizeof(*a->srvs)) : NULL;
	if (!a->hosts || (type == DNS_SRV && !a->srvs)) {
		refuse(why, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < m->n; i++) {
		const struct record *r = &m->records[i];
		bool answers = r->section == SECTION_ANSWER && r->type == type && !strcmp(r->name, name), fine = true;
		bool along = type == DNS_SRV && r->section == SECTION_ADDITIONAL &&
			     (r->type == DNS_A || r->type == DNS_AAAA);

		if (answers)
			a->ttl = dns_ttl_least(a->ttl, r->ttl);
		if (answers && type == DNS_SRV)
			fine = take_srv(m, r, a);
		else if (answers || along)
			fine = take_host(m, r, a);
		if (!fine)
			return refuse(why, "a malformed %s record", dns_type_name(r->type));
	}
	return 0;
}

/* How long 'none' holds: RFC 2308. */
static int judge_none(const struct message *m, unsigned aliases, struct dns_answer *a, char why[DNS_WHY])
{
	const struct record *soa = find(m, SECTION_AUTHORITY, TYPE_SOA, NULL);

	if (soa) {
		struct cursor c = data_of(m, soa);

		c.at += soa->len >= 20 ? soa->len - 4 : 0; /* the last field */
		a->ttl = dns_ttl_least(a->ttl, dns_ttl_least(soa->ttl, take(&c, 4)));
		return soa->len >= 20 ? 0 : refuse(why, "a malformed SOA record");
	}
	if (!a->exists)
		return 0;
	if (!(m->flags & FLAG_AUTHORITATIVE) && find(m, SECTION_AUTHORITY, TYPE_NS, NULL))
		return refuse(why, "a referral to other servers; give a resolver that asks them itself");
	return aliases ? refuse(why, "an alias, but not what it stands for") : 0;
}

static int judge(const struct message *m, const char *name, enum dns_type type, struct dns_answer *a, char why[DNS_WHY])
{
	static const char *const codes[] = {
		[1] = "FORMERR", [2] = "SERVFAIL", [4] = "NOTIMP", [5] = "REFUSED", [9] = "NOTAUTH", [16] = "BADVERS"
	};
	char at[DNS_NAME];
	unsigned aliases;
	int err;

	if (m->code < ARRAY_SIZE(codes) && codes[m->code])
		return refuse(why, "%s", codes[m->code]);
	if (m->code && m->code != 3)
		return refuse(why, "the code %u", m->code);
	a->exists = !m->code;
	snprintf(at, sizeof(at), "%s", name);
	err = follow_aliases(m, at, &a->ttl, &aliases, why);
	if (!err)
		err = take_records(m, at, type, a, why);
	if (!err && !(type == DNS_SRV ? a->n_srvs : a->n_hosts))
		err = judge_none(m, aliases, a, why);
	return err;
}

void dns_answer_clear(struct dns_answer *a)
{
	free(a->srvs);
	free(a->hosts);
	*a = (struct dns_answer){};
}

int dns_answer(const uint8_t *bytes, size_t len, const char *name, enum dns_type type, struct dns_answer *out,
	       char why[DNS_WHY])
{
	_cleanup_(message_clear) struct message m = { .packet = { bytes, len } };
	_cleanup_(dns_answer_clear) struct dns_answer a = { .ttl = DNS_NO_TTL };
	int err = len < HEADER ? refuse(why, "%zu bytes, which are no answer", len) : take_message(&m, name, type, why);

	if (!err)
		err = judge(&m, name, type, &a, why);
	if (err)
		return err;
	*out = a;
	a = (struct dns_answer){};
	return 0;
}

/* ---- which SRV records count ---- */

static int by_target(const void *a, const void *b)
{
	const struct dns_srv *x = a, *y = b;
	int order = strcmp(x->target, y->target);

	if (!order)
		order = x->port - y->port;
	return order ? order : (x->weight < y->weight) - (x->weight > y->weight);
}

static void fit_weights(struct dns_srv *list, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++)
		any |= list[i].weight != 0;
	for (size_t i = 0; i < n; i++)
		if (!list[i].weight)
			list[i].weight = any ? 1 : WEIGHT_DEFAULT;
}

size_t dns_srv_best(struct dns_srv *list, size_t n, struct dns_rest *rest)
{
	size_t here = 0, best = 0, kept = 0;
	uint32_t lowest = UINT32_MAX;

	*rest = (struct dns_rest){};
	for (size_t i = 0; i < n; i++) /* those that are somewhere */
		if (strcmp(list[i].target, ".")) {
			lowest = list[i].priority < lowest ? list[i].priority : lowest;
			list[here++] = list[i];
		} else {
			rest->absent = true;
		}
	for (size_t i = 0; i < here; i++)
		if (list[i].priority == lowest)
			list[best++] = list[i];
	rest->lower = here - best;
	qsort(list, best, sizeof(*list), by_target);
	for (size_t i = 0; i < best; i++)
		if (!kept || list[kept - 1].port != list[i].port || strcmp(list[kept - 1].target, list[i].target))
			list[kept++] = list[i];
	fit_weights(list, kept);
	return kept;
}
