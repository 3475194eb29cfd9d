/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers of DNS, byte by byte, and the source against servers of the test's own that answer, err, lie and keep silent. */
#include "heard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clean.h"
#include "discovery/dns_answer.h"
#include "discovery/resolvers.h"

/* ---- packets ---- */

struct packet {
	size_t n;
	uint8_t b[65535];
};

static void p8(struct packet *p, unsigned v)
{
	assert_true(p->n < sizeof(p->b));
	p->b[p->n++] = v;
}

static void p16(struct packet *p, unsigned v)
{
	p8(p, v >> 8);
	p8(p, v & 0xff);
}

static void p32(struct packet *p, uint32_t v)
{
	p16(p, v >> 16);
	p16(p, v & 0xffff);
}

static void pname(struct packet *p, const char *name)
{
	while (*name && strcmp(name, ".")) {
		size_t len = strcspn(name, ".");

		p8(p, len);
		for (size_t i = 0; i < len; i++)
			p8(p, name[i]);
		name += len + (name[len] == '.');
	}
	p8(p, 0);
}

enum { CNAME = 5, NS = 2, SOA = 6, OPT = 41 };

/* Header and question; the counts of the sections are set by record(). */
static void begin(struct packet *p, unsigned id, unsigned flags, const char *name, unsigned type)
{
	p->n = 0;
	p16(p, id);
	p16(p, flags);
	p16(p, 1);
	p16(p, 0);
	p16(p, 0);
	p16(p, 0);
	pname(p, name);
	p16(p, type);
	p16(p, 1);
}

static void count(struct packet *p, int section)
{
	uint8_t *at = &p->b[6 + 2 * section];
	unsigned n = (at[0] << 8 | at[1]) + 1;

	at[0] = n >> 8;
	at[1] = n;
}

/* data: an address; "10 20 80 target" for SRV; a name for CNAME and NS; the minimum for SOA */
static void record(struct packet *p, int section, const char *name, unsigned type, uint32_t ttl, const char *data)
{
	unsigned priority, weight, port;
	char target[256];
	uint8_t addr[16];
	size_t at;

	count(p, section);
	pname(p, name);
	p16(p, type);
	p16(p, 1);
	p32(p, ttl);
	p16(p, 0);
	at = p->n;
	if (type == DNS_A || type == DNS_AAAA) {
		assert_int_equal(inet_pton(type == DNS_A ? AF_INET : AF_INET6, data, addr), 1);
		for (int i = 0; i < (type == DNS_A ? 4 : 16); i++)
			p8(p, addr[i]);
	} else if (type == DNS_SRV) {
		assert_int_equal(sscanf(data, "%u %u %u %255s", &priority, &weight, &port, target), 4);
		p16(p, priority);
		p16(p, weight);
		p16(p, port);
		pname(p, target);
	} else if (type == SOA) {
		pname(p, "ns.example.org");
		pname(p, "root.example.org");
		for (int i = 0; i < 4; i++)
			p32(p, 1);
		p32(p, atoi(data));
	} else {
		pname(p, data);
	}
	p->b[at - 2] = (p->n - at) >> 8;
	p->b[at - 1] = p->n - at;
}

/* ---- answers, byte by byte ---- */

static struct packet pk;
static struct dns_answer an;
static char why[DNS_WHY];

static int read_as(const char *name, enum dns_type type)
{
	/* of exactly its size, so that a byte too far is seen */
	_cleanup_free_ uint8_t *exact = malloc(pk.n + 1);

	dns_answer_clear(&an);
	why[0] = '\0';
	memcpy(exact + 1, pk.b, pk.n);
	return dns_answer(exact + 1, pk.n, name, type, &an, why);
}

static int forget(void **state)
{
	(void)state;
	dns_answer_clear(&an);
	return 0;
}

static bool host_is(size_t i, const char *text)
{
	char at[ADDR_TEXT];

	return i < an.n_hosts && !strcmp(addr_format(&an.hosts[i].addr, at), text);
}

static void an_address_is_read_with_its_ttl(void **state)
{
	/* as bind9 sent it, with a compressed name and EDNS */
	static const uint8_t bytes[] = "\x12\x34\x84\x80\x00\x01\x00\x01\x00\x00\x00\x01"
				       "\x03web\x07" "example\x03org\x00\x00\x01\x00\x01"
				       "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x0b"
				       "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";

	(void)state;
	memcpy(pk.b, bytes, pk.n = sizeof(bytes) - 1);
	assert_int_equal(read_as("web.example.org", DNS_A), 0);
	assert_int_equal(an.n_hosts, 1);
	assert_true(an.exists && host_is(0, "10.0.0.11"));
	assert_int_equal(an.ttl, 60);
	for (pk.n = 0; pk.n < sizeof(bytes) - 1; pk.n++)
		assert_int_equal(read_as("web.example.org", DNS_A), -EINVAL);
}

static void srv_records_come_with_addresses(void **state)
{
	/* a target that is compressed, and one that is not */
	static const uint8_t bytes[] = "\x00\x01\x81\x80\x00\x01\x00\x02\x00\x00\x00\x02"
				       "\x05_http\x04_tcp\x01" "e\x00\x00\x21\x00\x01"
				       "\xc0\x0c\x00\x21\x00\x01\x00\x00\x01\x2c\x00\x0a\x00\x0a\x00\x05\x00\x50\x01" "a\xc0\x17"
				       "\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x1e\x00\x0b\x00\x14\x00\x00\x1f\x90\x01" "B\x01" "e\x00"
				       "\x01" "a\xc0\x17\x00\x01\x00\x01\x00\x00\x00\x0a\x00\x04\x0a\x00\x00\x01"
				       "\xc0\x30\x00\x1c\x00\x01\x00\x00\x00\x0b\x00\x10\xfd\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";

	(void)state;
	memcpy(pk.b, bytes, pk.n = sizeof(bytes) - 1);
	assert_int_equal(read_as("_http._tcp.e", DNS_SRV), 0);
	assert_int_equal(an.n_srvs, 2);
	assert_string_equal(an.srvs[0].target, "a.e");
	assert_int_equal(an.srvs[0].priority, 10);
	assert_int_equal(an.srvs[0].weight, 5);
	assert_int_equal(an.srvs[0].port, 80);
	assert_string_equal(an.srvs[1].target, "b.e");
	assert_int_equal(an.srvs[1].port, 8080);
	assert_int_equal(an.ttl, 30);
	assert_int_equal(an.n_hosts, 2);
	assert_true(host_is(0, "10.0.0.1") && !strcmp(an.hosts[0].name, "a.e") && an.hosts[0].ttl == 10);
	assert_true(host_is(1, "fd77::1") && !strcmp(an.hosts[1].name, "a.e") && an.hosts[1].ttl == 11);
	for (pk.n = 0; pk.n < sizeof(bytes) - 1; pk.n++)
		assert_int_equal(read_as("_http._tcp.e", DNS_SRV), -EINVAL);
}

static void aliases_are_followed_and_count_with_their_ttl(void **state)
{
	(void)state;
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	record(&pk, 0, "x.e", DNS_A, 100, "10.0.0.1");
	record(&pk, 0, "y.e", CNAME, 50, "x.e");
	record(&pk, 0, "WEB.E", CNAME, 7, "Y.e");
	record(&pk, 0, "other.e", DNS_A, 1, "10.0.0.9");
	assert_int_equal(read_as("web.e", DNS_A), 0);
	assert_int_equal(an.n_hosts, 1);
	assert_true(host_is(0, "10.0.0.1"));
	assert_int_equal(an.ttl, 7);

	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	record(&pk, 0, "web.e", CNAME, 7, "y.e");
	record(&pk, 0, "y.e", CNAME, 7, "web.e");
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	assert_non_null(strstr(why, "circle of aliases"));

	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	record(&pk, 0, "web.e", CNAME, 7, "elsewhere.org");
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	record(&pk, 1, "org", SOA, 30, "20"); /* nothing is there: said with authority */
	assert_int_equal(read_as("web.e", DNS_A), 0);
	assert_int_equal(an.n_hosts, 0);
	assert_int_equal(an.ttl, 7);
}

static void none_is_an_answer_and_says_how_long_it_holds(void **state)
{
	(void)state;
	begin(&pk, 1, 0x8183, "web.e", DNS_A);
	record(&pk, 1, "e", SOA, 30, "20");
	assert_int_equal(read_as("web.e", DNS_A), 0);
	assert_true(!an.exists && !an.n_hosts);
	assert_int_equal(an.ttl, 20);
	begin(&pk, 1, 0x8180, "web.e", DNS_SRV);
	record(&pk, 1, "e", SOA, 15, "20");
	assert_int_equal(read_as("web.e", DNS_SRV), 0);
	assert_true(an.exists && !an.n_srvs);
	assert_int_equal(an.ttl, 15);
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	assert_int_equal(read_as("web.e", DNS_A), 0);
	assert_int_equal(an.ttl, DNS_NO_TTL);
	record(&pk, 1, "e", NS, 15, "ns.e");
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	assert_non_null(strstr(why, "referral"));
}

static void codes_are_told_apart(void **state)
{
	(void)state;
	begin(&pk, 1, 0x8182, "web.e", DNS_A);
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	assert_string_equal(why, "SERVFAIL");
	begin(&pk, 1, 0x8185, "web.e", DNS_A);
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	assert_string_equal(why, "REFUSED");
	begin(&pk, 1, 0x818b, "web.e", DNS_A);
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	assert_string_equal(why, "the code 11");
	begin(&pk, 1, 0x8180, "web.e", DNS_A); /* the upper bits of a code are in EDNS: 16 is BADVERS, and not 'none' */
	count(&pk, 2);
	pname(&pk, ".");
	p16(&pk, OPT);
	p16(&pk, 1232);
	p32(&pk, 0x01000000);
	p16(&pk, 0);
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	assert_string_equal(why, "BADVERS");
}

static void what_is_no_whole_answer_to_the_question_is_refused(void **state)
{
	(void)state;
	begin(&pk, 1, 0x8380, "web.e", DNS_A);
	record(&pk, 0, "web.e", DNS_A, 100, "10.0.0.1");
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	assert_string_equal(why, "a truncated answer");
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	record(&pk, 0, "web.e", DNS_A, 100, "10.0.0.1");
	assert_int_equal(read_as("web.e", DNS_AAAA), -EINVAL);
	assert_int_equal(read_as("web.f", DNS_A), -EINVAL);
	begin(&pk, 1, 0x0100, "web.e", DNS_A);
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	pk.b[5] = 0;
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	record(&pk, 0, "web.e", CNAME, 100, "x"); /* an address of three bytes */
	pk.b[pk.n - 12] = DNS_A;
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
}

static void ttls_beyond_31_bits_are_zero(void **state)
{
	(void)state;
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	record(&pk, 0, "web.e", DNS_A, 0x80000000, "10.0.0.1");
	assert_int_equal(read_as("web.e", DNS_A), 0);
	assert_int_equal(an.ttl, 0);
}

static void pointers_in_circles_come_to_an_end(void **state)
{
	/* to itself, forwards, to each other, to the end, into the header, cut off */
	static const struct {
		uint16_t first, second;
	} cases[] = { { 0xc01d, 0 }, { 0xc01f, 0xc01d }, { 0xc0ff, 0 }, { 0xffff, 0 }, { 0xc01e, 0 }, { 0x4001, 0 }, { 0x8001, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(&pk, 1, 0x8180, "web.e", DNS_A);
		assert_int_equal(pk.n, 23);
		count(&pk, 0);
		while (pk.n < 29)
			p8(&pk, 1);
		p16(&pk, cases[i].first);
		p16(&pk, cases[i].second);
		assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	}
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	pk.n = 12;
	p16(&pk, 0xc00c); /* the question's own name */
	p32(&pk, 0x00010001);
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
}

static int answer_over_pointers(int n)
{
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	count(&pk, 0);
	p16(&pk, 0xc00c);
	p16(&pk, 16); /* TXT, whose data are pointers to each other */
	p16(&pk, 1);
	p32(&pk, 60);
	p16(&pk, 2 * (n - 1));
	for (int i = 1; i < n; i++)
		p16(&pk, 0xc000 | (i > 1 ? pk.n - 2 : 12));
	record(&pk, 0, "", DNS_A, 60, "10.0.0.1");
	pk.n -= 15; /* its name, the root, is the last of the pointers */
	p16(&pk, 0xc000 | (pk.n - 2));
	p16(&pk, DNS_A);
	p16(&pk, 1);
	p32(&pk, 60);
	p16(&pk, 4);
	p32(&pk, 0x0a000001);
	return read_as("web.e", DNS_A);
}

/* Thousands of names that lead over thousands of pointers would keep the loop busy. */
static void a_name_over_more_pointers_than_labels_is_malformed(void **state)
{
	(void)state;
	assert_int_equal(answer_over_pointers(127), 0);
	assert_true(an.n_hosts == 1 && host_is(0, "10.0.0.1"));
	assert_int_equal(answer_over_pointers(128), -EINVAL);
}

static void a_name_longer_than_255_bytes_is_malformed(void **state)
{
	(void)state;
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	count(&pk, 0);
	for (int i = 0; i < 128; i++) {
		p8(&pk, 1);
		p8(&pk, 'a');
	}
	p8(&pk, 0);
	p16(&pk, DNS_A);
	p16(&pk, 1);
	p32(&pk, 1);
	p16(&pk, 0);
	assert_int_equal(read_as("web.e", DNS_A), -EINVAL);
	assert_string_equal(why, "a malformed answer");
}

static void names_with_dots_within_labels_are_nobodys(void **state)
{
	(void)state;
	begin(&pk, 1, 0x8180, "web.e", DNS_A);
	count(&pk, 0);
	pk.b[pk.n++] = 5;
	memcpy(pk.b + pk.n, "web.e", 6);
	pk.n += 6;
	p16(&pk, DNS_A);
	p16(&pk, 1);
	p32(&pk, 100);
	p16(&pk, 4);
	p32(&pk, 0x0a000001);
	assert_int_equal(read_as("web.e", DNS_A), 0);
	assert_int_equal(an.n_hosts, 0);
}

static void any_bytes_are_survived(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		begin(&pk, 1, 0x8180, "_h._tcp.e", DNS_SRV);
		record(&pk, 0, "_h._tcp.e", CNAME, 5, "x.e");
		record(&pk, 0, "x.e", DNS_SRV, 5, "1 2 3 a.e");
		record(&pk, 1, "e", SOA, 5, "20");
		record(&pk, 2, "a.e", DNS_AAAA, 5, "fd77::1");
		for (int i = 0; i < 1 + round % 7; i++) {
			seed = seed * 1664525 + 1013904223;
			pk.b[2 + (seed >> 8) % (pk.n - 2)] = seed >> 24;
		}
		if (round % 5 == 0)
			pk.n = (seed >> 3) % pk.n;
		read_as("_h._tcp.e", DNS_SRV);
	}
}

static void names_are_checked_and_made_lower(void **state)
{
	char name[DNS_NAME], longest[300];

	(void)state;
	assert_true(dns_name("_HTTP._tcp.Example.org.", name));
	assert_string_equal(name, "_http._tcp.example.org");
	assert_true(dns_name("a", name) && dns_name(".", name));
	assert_false(dns_name("", name) || dns_name("a..b", name) || dns_name(".a", name) || dns_name("a..", name));
	assert_false(dns_name("a\\b", name) || dns_name("a\xc3\xa4", name));
	memset(longest, 'a', sizeof(longest));
	for (int i = 63; i < 253; i += 64)
		longest[i] = '.';
	longest[253] = '\0';
	assert_true(dns_name(longest, name));
	longest[253] = 'a', longest[254] = '\0';
	assert_false(dns_name(longest, name));
	longest[64] = '\0', longest[63] = 'a';
	assert_false(dns_name(longest, name));
}

static void of_srv_records_the_best_priority_counts(void **state)
{
	struct dns_srv list[] = { { 20, 80, 5, "z.e" }, { 10, 80, 0, "b.e" }, { 10, 81, 7, "a.e" },
				  { 10, 80, 3, "a.e" }, { 10, 80, 9, "a.e" }, { 5, 1, 1, "." } };
	struct dns_srv zeroes[] = { { 1, 80, 0, "a.e" }, { 1, 80, 0, "b.e" } }, gone[] = { { 0, 0, 0, "." } };
	struct dns_rest rest;

	(void)state;
	assert_int_equal(dns_srv_best(list, 6, &rest), 3);
	assert_int_equal(rest.lower, 1);
	assert_true(!strcmp(list[0].target, "a.e") && list[0].port == 80 && list[0].weight == 9);
	assert_true(!strcmp(list[1].target, "a.e") && list[1].port == 81 && list[1].weight == 7);
	assert_true(!strcmp(list[2].target, "b.e") && list[2].weight == 1);
	assert_int_equal(dns_srv_best(zeroes, 2, &rest), 2);
	assert_true(zeroes[0].weight == WEIGHT_DEFAULT && zeroes[1].weight == WEIGHT_DEFAULT);
	assert_int_equal(dns_srv_best(gone, 1, &rest), 0);
	assert_true(rest.absent);
}

/* ---- servers ---- */

enum manner { ANSWERS, SILENT, SERVFAIL, REFUSED, GARBAGE, LIES, CUT, CUT_WITHOUT_TCP, CUT_EVEN_OVER_TCP, CLOSES_TCP, NO_EDNS };

struct zone_record {
	const char *name;
	unsigned type;
	uint32_t ttl;
	const char *data;
};

struct server {
	enum manner manner;
	unsigned ill_type; /* manner is only for questions of this type; 0: for all */
	struct zone_record zone[512];
	size_t n;
	uint32_t soa_ttl; /* of 'none'; 0: without SOA */
	bool along; /* addresses come with SRV records */
	int udp, tcp;
	struct event *on_udp, *on_tcp;
	unsigned questions, over_tcp;
	struct {
		int fd;
		struct event *event;
	} conns[64];
};

#define SERVERS 2
static struct server servers[SERVERS];
static char resolver_texts[SERVERS][ENDPOINT_TEXT];
static char *resolver_list[SERVERS];

static void zone(struct server *s, const char *name, unsigned type, uint32_t ttl, const char *data)
{
	s->zone[s->n++] = (struct zone_record){ name, type, ttl, data };
}

/* Name and type of a question; its length, 0 for none. */
static size_t read_question(const uint8_t *b, size_t n, char name[256], unsigned *type)
{
	size_t at = 12, len = 0;

	while (at < n && b[at] && at + b[at] + 5 < n) {
		memcpy(name + len, b + at + 1, b[at]);
		len += b[at];
		name[len++] = '.';
		at += b[at] + 1;
	}
	name[len ? len - 1 : 0] = '\0';
	*type = b[at + 1] << 8 | b[at + 2];
	return at + 5;
}

static void answer_from_zone(const struct server *s, unsigned id, const char *name, unsigned type, struct packet *p)
{
	bool exists = false, any = false;

	begin(p, id, 0x8180, name, type);
	for (size_t i = 0; i < s->n; i++) {
		bool here = !strcasecmp(s->zone[i].name, name);

		exists |= here;
		if (here && s->zone[i].type == type)
			record(p, 0, name, type, s->zone[i].ttl, s->zone[i].data), any = true;
	}
	if (!exists)
		p->b[3] |= 3;
	if (!any && s->soa_ttl)
		record(p, 1, "e", SOA, s->soa_ttl, "1000");
	for (size_t i = 0; i < s->n && type == DNS_SRV && s->along; i++)
		if (s->zone[i].type != DNS_SRV)
			record(p, 2, s->zone[i].name, s->zone[i].type, s->zone[i].ttl, s->zone[i].data);
}

/* false: nothing is sent. */
static bool make_answer(struct server *s, const uint8_t *b, size_t n, bool tcp, struct packet *p)
{
	unsigned id = b[0] << 8 | b[1], type;
	enum manner m;
	char name[256];

	s->questions++;
	s->over_tcp += tcp;
	read_question(b, n, name, &type);
	m = !s->ill_type || s->ill_type == type ? s->manner : ANSWERS;
	if (m == SILENT || (m == CUT_WITHOUT_TCP && tcp))
		return false;
	answer_from_zone(s, id, name, type, p);
	if (m == SERVFAIL || m == REFUSED)
		begin(p, id, m == SERVFAIL ? 0x8182 : 0x8185, name, type);
	if (m == GARBAGE) /* the question is right, and then comes anything */
		for (size_t i = 12 + strlen(name) + 6; i < p->n; i++)
			p->b[i] = 0xc7 ^ i;
	if (m == LIES)
		begin(p, id, 0x8180, "another.e", type);
	if (m == NO_EDNS && (b[10] << 8 | b[11]))
		begin(p, id, 0x8181, name, type);
	if ((m >= CUT && m <= CLOSES_TCP && !tcp) || m == CUT_EVEN_OVER_TCP || (!tcp && p->n > 1232)) {
		begin(p, id, 0x8380, name, type);
		if (s->n && s->zone[0].type == type)
			record(p, 0, name, type, s->zone[0].ttl, s->zone[0].data);
	}
	return true;
}

static void on_server_udp(evutil_socket_t fd, short what, void *arg)
{
	static struct packet p;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint8_t b[4096];
	ssize_t n = recvfrom(fd, b, sizeof(b), 0, (struct sockaddr *)&from, &len);

	(void)what;
	if (n > 12 && make_answer(arg, b, n, false, &p))
		sendto(fd, p.b, p.n, 0, (struct sockaddr *)&from, len);
}

static void close_conn(struct server *s, int i)
{
	event_free(TAKE_PTR(s->conns[i].event));
	close(s->conns[i].fd);
}

static void on_server_conn(evutil_socket_t fd, short what, void *arg)
{
	static struct packet p;
	struct server *s = arg;
	uint8_t b[4096], length[2];
	ssize_t n = recv(fd, b, sizeof(b), 0);
	int i = 0;

	(void)what;
	while (s->conns[i].fd != fd || !s->conns[i].event)
		i++;
	if (n <= 2 || s->manner == CLOSES_TCP) {
		close_conn(s, i);
		return;
	}
	for (ssize_t at = 0; at + 2 < n; at += 2 + (b[at] << 8 | b[at + 1])) {
		if (!make_answer(s, b + at + 2, n - at - 2, true, &p))
			continue;
		length[0] = p.n >> 8, length[1] = p.n;
		assert_int_equal(send(fd, length, 2, MSG_MORE), 2);
		assert_int_equal(send(fd, p.b, p.n, 0), p.n);
	}
}

static void on_server_tcp(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	int conn = accept(fd, NULL, NULL), i = 0;

	(void)what;
	while (s->conns[i].event)
		i++;
	s->conns[i].fd = conn;
	s->conns[i].event = event_new(base, conn, EV_READ | EV_PERSIST, on_server_conn, s);
	event_add(s->conns[i].event, NULL);
}

static void stop_server(struct server *s)
{
	if (!s->on_udp)
		return;
	event_free(TAKE_PTR(s->on_udp));
	event_free(TAKE_PTR(s->on_tcp));
	close(s->udp);
	close(s->tcp);
	for (int i = 0; i < 64; i++)
		if (s->conns[i].event)
			close_conn(s, i);
}

/* Both of its sockets have one port, which it keeps. */
static bool start_server(int i)
{
	struct server *s = &servers[i];
	static struct sockaddr_in at[SERVERS];
	socklen_t len = sizeof(at[i]);
	struct endpoint e = {};

	at[i].sin_family = AF_INET;
	at[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	s->tcp = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(s->tcp, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(s->udp, (struct sockaddr *)&at[i], len) || getsockname(s->udp, (struct sockaddr *)&at[i], &len) ||
	    bind(s->tcp, (struct sockaddr *)&at[i], len) || listen(s->tcp, 16))
		return false;
	s->on_udp = event_new(base, s->udp, EV_READ | EV_PERSIST, on_server_udp, s);
	s->on_tcp = event_new(base, s->tcp, EV_READ | EV_PERSIST, on_server_tcp, s);
	event_add(s->on_udp, NULL);
	event_add(s->on_tcp, NULL);
	e = (struct endpoint){ addr_from4(at[i].sin_addr.s_addr), ntohs(at[i].sin_port) };
	endpoint_format(&e, resolver_texts[i]);
	resolver_list[i] = resolver_texts[i];
	return true;
}

/* ---- the source ---- */

static struct dns_test {
	void *source, *watch;
	struct source conf;
	struct discover what;
	struct finder f;
} t;

static int setup(void **state)
{
	(void)state;
	t = (struct dns_test){};
	memset(servers, 0, sizeof(servers));
	base = event_base_new();
	t.conf = source_default(SOURCE_DNS);
	t.conf.name = (char *)"dns";
	t.conf.ttl_min_ms = 100;
	t.conf.timeout_ms = 3000;
	for (int i = 0; i < SERVERS; i++) {
		servers[i].soa_ttl = 1000;
		if (!start_server(i))
			return -1;
	}
	t.conf.servers = (struct texts){ resolver_list, 1 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (t.watch)
		source_dns.unwatch(t.watch);
	if (t.source)
		source_dns.close(t.source);
	for (int i = 0; i < SERVERS; i++)
		stop_server(&servers[i]);
	free(t.f.set);
	event_base_free(base);
	return 0;
}

static void ask(const char *name, bool srv)
{
	const struct source_env env = { .base = base };

	t.what = (struct discover){ .kind = SOURCE_DNS, .name = (char *)name, .srv = srv, .port = srv ? 0 : 80 };
	assert_int_equal(source_dns.open(&env, &t.conf, &t.source), 0);
	assert_int_equal(source_dns.watch(t.source, &t.what, &t.f, &t.watch), 0);
	assert_int_equal(t.f.answers + t.f.problems, 0);
}

static bool set_is(const char *set)
{
	return t.f.set && !strcmp(t.f.set, set);
}

#define expect_set(set) run_until(set_is(set))
#define expect_problem(part) run_until(strstr(t.f.problem, part))

static void a_name_gives_the_addresses_of_both_families(void **state)
{
	(void)state;
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.2");
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	zone(&servers[0], "web.e", DNS_AAAA, 0, "fd77::1");
	ask("Web.E.", false);
	run_until(t.f.answers);
	assert_string_equal(t.f.set, "10.0.0.1:80*100 10.0.0.2:80*100 [fd77::1]:80*100");
	servers[0].zone[0].data = "10.0.0.1"; /* in another order it is the same */
	servers[0].zone[1].data = "10.0.0.2";
	run_until(t.f.sames >= 2);
	assert_int_equal(t.f.answers, 1);
	servers[0].zone[0].data = "10.0.0.3";
	expect_set("10.0.0.2:80*100 10.0.0.3:80*100 [fd77::1]:80*100");
	assert_int_equal(t.f.problems, 0);
}

static void an_answer_is_asked_for_again_when_its_ttl_is_over(void **state)
{
	double begin, took;

	(void)state;
	servers[0].soa_ttl = 1000;
	t.conf.ttl_min_ms = 100;
	zone(&servers[0], "web.e", DNS_A, 1000, "10.0.0.1");
	zone(&servers[0], "web.e", DNS_AAAA, 1, "fd77::1"); /* the least */
	ask("web.e", false);
	run_until(t.f.answers);
	begin = now_s();
	run_until(t.f.sames);
	took = now_s() - begin;
	assert_true(took >= 0.99);
}

static void the_floor_holds_for_a_ttl_of_zero(void **state)
{
	unsigned before;
	double begin;

	(void)state;
	t.conf.ttl_min_ms = 250;
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	zone(&servers[0], "web.e", DNS_AAAA, 0, "fd77::1");
	ask("web.e", false);
	run_until(t.f.answers);
	before = servers[0].questions;
	begin = now_s();
	run_for(0.9);
	assert_in_range(servers[0].questions - before, 2, 2 * (1 + (now_s() - begin) / 0.25)); /* two at a time */
}

static void the_ceiling_holds_for_a_long_ttl(void **state)
{
	(void)state;
	t.conf.ttl_max_ms = 200;
	zone(&servers[0], "web.e", DNS_A, 86400, "10.0.0.1");
	ask("web.e", false);
	run_until(t.f.answers);
	servers[0].zone[0].data = "10.0.0.2";
	expect_set("10.0.0.2:80*100");
}

static void srv_targets_are_asked_for_what_did_not_come_along(void **state)
{
	(void)state;
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "10 5 81 b.e");
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "10 0 80 A.e");
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "20 9 80 c.e");
	zone(&servers[0], "a.e", DNS_A, 10, "10.0.0.1");
	zone(&servers[0], "b.e", DNS_AAAA, 10, "fd77::2");
	zone(&servers[0], "b.e", DNS_A, 10, "10.0.0.2");
	servers[0].soa_ttl = 0;
	ask("_h._tcp.e", true);
	run_until(t.f.answers);
	assert_string_equal(t.f.set, "10.0.0.1:80*1 10.0.0.2:81*5 [fd77::2]:81*5");
	assert_string_equal(t.f.note, "1 SRV records of lower priority are left out");
	assert_int_equal(servers[0].questions, 5);
	servers[0].along = true;
	run_until(t.f.sames);
	servers[0].questions = 0;
	run_until(t.f.sames >= 2 && servers[0].questions >= 2);
	run_until(t.f.sames >= 3);
	assert_int_equal(t.f.answers, 1);
}

static void srv_weights_are_taken_and_equal_ones_are_the_default(void **state)
{
	(void)state;
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "10 0 80 a.e");
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "10 0 80 b.e");
	zone(&servers[0], "a.e", DNS_A, 0, "10.0.0.1");
	zone(&servers[0], "b.e", DNS_A, 0, "10.0.0.2");
	ask("_h._tcp.e", true);
	expect_set("10.0.0.1:80*100 10.0.0.2:80*100");
	servers[0].zone[0].data = "10 30 80 a.e";
	expect_set("10.0.0.1:80*30 10.0.0.2:80*1");
	servers[0].zone[1].data = "10 70 8080 b.e";
	expect_set("10.0.0.1:80*30 10.0.0.2:8080*70");
}

static void a_target_without_address_is_said_and_the_others_count(void **state)
{
	(void)state;
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "10 0 80 a.e");
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "10 0 80 b.e");
	zone(&servers[0], "a.e", DNS_A, 0, "10.0.0.1");
	ask("_h._tcp.e", true);
	expect_set("10.0.0.1:80*100");
	assert_string_equal(t.f.problem, "target b.e has no address");
}

static void none_is_found_with_its_reason(void **state)
{
	(void)state;
	servers[0].soa_ttl = 0;
	ask("web.e", false);
	run_until(t.f.answers);
	assert_true(set_is("") && !t.f.problems);
	assert_string_equal(t.f.note, "web.e: there is no such name");
	zone(&servers[0], "web.e", DNS_SRV, 0, "1 1 1 a.e");
	run_until(!strcmp(t.f.note, "web.e: the name has no address"));
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	expect_set("10.0.0.1:80*100");
	assert_int_equal(t.f.problems, 0);
}

static void the_negative_ttl_says_when_to_ask_again(void **state)
{
	double begin, took;

	(void)state;
	servers[0].soa_ttl = 1;
	ask("_h._tcp.e", true);
	run_until(t.f.answers);
	begin = now_s();
	run_until(t.f.sames);
	took = now_s() - begin;
	assert_true(took >= 0.99);
}

static void a_target_of_a_dot_declares_the_service_absent(void **state)
{
	(void)state;
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "0 0 0 .");
	ask("_h._tcp.e", true);
	run_until(t.f.answers);
	assert_true(set_is("") && strstr(t.f.note, "absent"));
	assert_int_equal(servers[0].questions, 1);
}

/* Whatever goes wrong is a problem, the set stays, and what comes after is found. */
static void stays_through(enum manner m, unsigned type, const char *part)
{
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	zone(&servers[0], "web.e", DNS_AAAA, 0, "fd77::1");
	ask("web.e", false);
	expect_set("10.0.0.1:80*100 [fd77::1]:80*100");
	servers[0].manner = m;
	servers[0].ill_type = type;
	servers[0].zone[0].data = "10.0.0.2";
	expect_problem(part);
	run_until(t.f.problems >= 3);
	assert_int_equal(t.f.answers, 1);
	servers[0].manner = ANSWERS;
	expect_set("10.0.0.2:80*100 [fd77::1]:80*100");
	assert_string_equal(t.f.problem, "");
}

static void servfail_is_a_problem(void **state)
{
	(void)state;
	stays_through(SERVFAIL, 0, "A records of web.e: 127.0.0.1:");
	assert_true(t.f.problems < 20);
}

static void refused_is_a_problem(void **state)
{
	(void)state;
	stays_through(REFUSED, 0, ": REFUSED");
}

static void silence_is_a_problem(void **state)
{
	(void)state;
	t.conf.timeout_ms = 300;
	stays_through(SILENT, 0, ": no answer within 300ms");
}

static void garbage_is_a_problem(void **state)
{
	(void)state;
	stays_through(GARBAGE, 0, ": a malformed answer");
}

static void an_answer_to_another_question_is_none(void **state)
{
	(void)state;
	t.conf.timeout_ms = 300;
	stays_through(LIES, 0, ": no answer within 300ms");
}

static void half_an_answer_is_a_problem(void **state)
{
	(void)state;
	stays_through(SERVFAIL, DNS_AAAA, "AAAA records of web.e: 127.0.0.1:");
}

static void a_server_that_is_not_there_is_a_problem(void **state)
{
	(void)state;
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	ask("web.e", false);
	expect_set("10.0.0.1:80*100");
	stop_server(&servers[0]);
	expect_problem("it cannot be reached");
	servers[0].zone[0].data = "10.0.0.2";
	assert_true(start_server(0));
	expect_set("10.0.0.2:80*100");
}

static void one_target_that_fails_makes_the_answer_a_half(void **state)
{
	(void)state;
	zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, "10 0 80 a.e");
	zone(&servers[0], "a.e", DNS_A, 0, "10.0.0.1");
	servers[0].manner = SERVFAIL;
	servers[0].ill_type = DNS_AAAA;
	ask("_h._tcp.e", true);
	expect_problem("AAAA records of a.e: ");
	assert_int_equal(t.f.answers, 0);
	servers[0].manner = ANSWERS;
	expect_set("10.0.0.1:80*100");
}

static void a_truncated_answer_is_fetched_over_tcp(void **state)
{
	(void)state;
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.2");
	servers[0].manner = CUT;
	ask("web.e", false);
	run_until(t.f.answers);
	assert_string_equal(t.f.set, "10.0.0.1:80*100 10.0.0.2:80*100");
	assert_true(servers[0].over_tcp >= 2 && !t.f.problems);
}

static void without_tcp_a_truncated_answer_is_a_problem(void **state)
{
	(void)state;
	t.conf.timeout_ms = 300;
	stays_through(CUT_WITHOUT_TCP, 0, "no answer within 300ms over TCP, and over UDP only a part of it");
}

static void closed_connections_are_a_problem(void **state)
{
	(void)state;
	stays_through(CLOSES_TCP, 0, "over TCP, and over UDP only a part of it");
}

static void an_answer_that_is_truncated_over_tcp_too_is_a_problem(void **state)
{
	(void)state;
	stays_through(CUT_EVEN_OVER_TCP, 0, ": a truncated answer");
}

static void hundreds_of_addresses_are_read(void **state)
{
	static char texts[400][16];
	char last[32];

	(void)state;
	for (int i = 0; i < 400; i++) {
		snprintf(texts[i], sizeof(texts[i]), "10.0.%d.%d", 1 + i / 250, 1 + i % 250);
		zone(&servers[0], "web.e", DNS_A, 0, texts[i]);
	}
	ask("web.e", false);
	run_until(t.f.answers);
	snprintf(last, sizeof(last), " %s:80*100", texts[399]);
	assert_non_null(strstr(t.f.set, last));
	assert_true(servers[0].over_tcp > 0);
}

static void many_targets_are_asked_for_without_drowning_the_server(void **state)
{
	static char texts[200][32], names[200][16], addrs[200][16];

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(names[i], sizeof(names[i]), "host%d.e", i);
		snprintf(texts[i], sizeof(texts[i]), "1 1 80 %s", names[i]);
		snprintf(addrs[i], sizeof(addrs[i]), "10.0.1.%d", i);
		zone(&servers[0], "_h._tcp.e", DNS_SRV, 0, texts[i]);
		zone(&servers[0], names[i], DNS_A, 0, addrs[i]);
	}
	ask("_h._tcp.e", true);
	run_until(t.f.answers);
	assert_non_null(strstr(t.f.set, "10.0.1.199:80*1"));
	assert_int_equal(t.f.problems, 0);
	assert_in_range(servers[0].questions, 401, 403);
}

static void a_server_without_edns_is_asked_without(void **state)
{
	(void)state;
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	servers[0].manner = NO_EDNS;
	ask("web.e", false);
	expect_set("10.0.0.1:80*100");
	assert_int_equal(t.f.problems, 0);
}

static void two_servers(void)
{
	t.conf.servers.n = 2;
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	zone(&servers[1], "web.e", DNS_A, 0, "10.0.0.1");
	ask("web.e", false);
	expect_set("10.0.0.1:80*100");
	assert_int_equal(servers[1].questions, 0);
}

static void the_second_resolver_takes_over_from_a_silent_one_and_back(void **state)
{
	(void)state;
	t.conf.timeout_ms = 300;
	two_servers();
	servers[0].manner = SILENT;
	servers[1].zone[0].data = "10.0.0.2";
	expect_set("10.0.0.2:80*100");
	run_for(0.5); /* and it is the one that is asked now */
	servers[0].questions = 0;
	run_for(0.5);
	assert_int_equal(servers[0].questions, 0);
	servers[0].manner = ANSWERS;
	servers[0].zone[0].data = "10.0.0.3";
	servers[1].manner = SILENT;
	expect_set("10.0.0.3:80*100");
	assert_int_equal(t.f.problems, 0);
}

static void the_first_resolver_is_tried_again_after_a_while(void **state)
{
	(void)state;
	resolvers_first_again_ms = 300;
	two_servers();
	servers[0].manner = REFUSED;
	servers[1].zone[0].data = "10.0.0.2";
	expect_set("10.0.0.2:80*100");
	servers[0].manner = ANSWERS;
	servers[0].zone[0].data = "10.0.0.3";
	expect_set("10.0.0.3:80*100");
	servers[1].questions = 0;
	run_for(0.5);
	assert_int_equal(servers[1].questions, 0);
	resolvers_first_again_ms = 60000;
}

static void the_second_resolver_takes_over_from_one_that_errs(void **state)
{
	(void)state;
	two_servers();
	servers[0].manner = SERVFAIL;
	servers[1].zone[0].data = "10.0.0.2";
	expect_set("10.0.0.2:80*100");
	servers[1].manner = REFUSED;
	expect_problem(": REFUSED; 127.0.0.1:");
	assert_non_null(strstr(t.f.problem, ": SERVFAIL"));
}

static bool alone; /* in this network */

static void resolvers_are_read_from_their_file_and_again_when_it_changes(void **state)
{
	char path[] = "/tmp/shunt-test-dns-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	if (!alone) {
		unlink(path);
		skip(); /* at port 53 some resolver may be */
	}
	assert_true(fd >= 0 && dprintf(fd, "search e\n# nothing\nnameserver 127.0.0.251\nnameserver nonsense\n") > 0);
	resolvers_file = path;
	t.conf.servers = (struct texts){};
	ask("web.e", false);
	expect_problem("127.0.0.251:53: ");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_true(pwrite(fd, "nameserver 127.0.0.252\nnameserver 127.0.0.253\n", 46, 0) == 46);
	expect_problem("127.0.0.252:53: ");
	assert_non_null(strstr(t.f.problem, "127.0.0.253:53: "));
	unlink(path);
	expect_problem("127.0.0.1:53: ");
	close(fd);
	resolvers_file = "/etc/resolv.conf";
}

static void questions_may_be_given_up_at_any_time(void **state)
{
	struct finder g[50] = {};
	void *watches[50];

	(void)state;
	t.conf.timeout_ms = 300;
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	ask("web.e", false);
	for (int round = 0; round < 20; round++) {
		servers[0].manner = round % 2 ? SILENT : CUT;
		for (int i = 0; i < 50; i++)
			assert_int_equal(source_dns.watch(t.source, &t.what, &g[i], &watches[i]), 0);
		run_for(0.003 * round);
		for (int i = 0; i < 50; i++)
			source_dns.unwatch(watches[i]);
	}
	servers[0].manner = ANSWERS;
	expect_set("10.0.0.1:80*100");
	for (int i = 0; i < 50; i++)
		free(g[i].set);
}

static void addresses_that_are_nobodys_are_no_answer(void **state)
{
	(void)state;
	zone(&servers[0], "web.e", DNS_A, 0, "0.0.0.0");
	zone(&servers[0], "web.e", DNS_AAAA, 0, "ff02::1");
	ask("web.e", false);
	expect_problem("0.0.0.0");
	zone(&servers[0], "web.e", DNS_A, 0, "10.0.0.1");
	expect_set("10.0.0.1:80*100");
	assert_string_equal(t.f.problem, "2 addresses that can be no backend's are left out");
}

static void what_is_no_name_is_not_asked_for(void **state)
{
	const struct source_env env = { .base = base };
	void *watch;

	(void)state;
	t.what = (struct discover){ .kind = SOURCE_DNS, .name = (char *)"web..example" };
	assert_int_equal(source_dns.open(&env, &t.conf, &t.source), 0);
	assert_int_equal(source_dns.watch(t.source, &t.what, &t.f, &watch), -EINVAL);
}

/* Into a network where nobody else is: at port 53, too. */
static bool go_away(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	_cleanup_close_ int fd = -1;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	return !ioctl(fd, SIOCSIFFLAGS, &lo);
}

int main(void)
{
#define READS(name) cmocka_unit_test_teardown(name, forget)
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		READS(an_address_is_read_with_its_ttl),
		READS(srv_records_come_with_addresses),
		READS(aliases_are_followed_and_count_with_their_ttl),
		READS(none_is_an_answer_and_says_how_long_it_holds),
		READS(codes_are_told_apart),
		READS(what_is_no_whole_answer_to_the_question_is_refused),
		READS(ttls_beyond_31_bits_are_zero),
		READS(pointers_in_circles_come_to_an_end),
		READS(a_name_over_more_pointers_than_labels_is_malformed),
		READS(a_name_longer_than_255_bytes_is_malformed),
		READS(names_with_dots_within_labels_are_nobodys),
		READS(any_bytes_are_survived),
		READS(names_are_checked_and_made_lower),
		READS(of_srv_records_the_best_priority_counts),
		TEST(a_name_gives_the_addresses_of_both_families),
		TEST(an_answer_is_asked_for_again_when_its_ttl_is_over),
		TEST(the_floor_holds_for_a_ttl_of_zero),
		TEST(the_ceiling_holds_for_a_long_ttl),
		TEST(srv_targets_are_asked_for_what_did_not_come_along),
		TEST(srv_weights_are_taken_and_equal_ones_are_the_default),
		TEST(a_target_without_address_is_said_and_the_others_count),
		TEST(none_is_found_with_its_reason),
		TEST(the_negative_ttl_says_when_to_ask_again),
		TEST(a_target_of_a_dot_declares_the_service_absent),
		TEST(servfail_is_a_problem),
		TEST(refused_is_a_problem),
		TEST(silence_is_a_problem),
		TEST(garbage_is_a_problem),
		TEST(an_answer_to_another_question_is_none),
		TEST(half_an_answer_is_a_problem),
		TEST(a_server_that_is_not_there_is_a_problem),
		TEST(one_target_that_fails_makes_the_answer_a_half),
		TEST(a_truncated_answer_is_fetched_over_tcp),
		TEST(without_tcp_a_truncated_answer_is_a_problem),
		TEST(closed_connections_are_a_problem),
		TEST(an_answer_that_is_truncated_over_tcp_too_is_a_problem),
		TEST(hundreds_of_addresses_are_read),
		TEST(many_targets_are_asked_for_without_drowning_the_server),
		TEST(a_server_without_edns_is_asked_without),
		TEST(the_second_resolver_takes_over_from_a_silent_one_and_back),
		TEST(the_first_resolver_is_tried_again_after_a_while),
		TEST(the_second_resolver_takes_over_from_one_that_errs),
		TEST(resolvers_are_read_from_their_file_and_again_when_it_changes),
		TEST(questions_may_be_given_up_at_any_time),
		TEST(addresses_that_are_nobodys_are_no_answer),
		TEST(what_is_no_name_is_not_asked_for),
	};

	alone = go_away();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
