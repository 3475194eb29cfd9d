/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses, endpoints, prefixes and ports: what is understood, what is refused, and that text comes back the same. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "base/clean.h"

static struct addr addr(const char *text)
{
	struct addr a;

	if (addr_parse(text, &a))
		fail_msg("%s is not understood", text);
	return a;
}

static struct prefix prefix(const char *text)
{
	struct prefix p;

	if (prefix_parse(text, &p))
		fail_msg("%s is not understood", text);
	return p;
}

static void test_an_ipv4_address_is_kept_as_a_mapped_one(void **state)
{
	const uint8_t bytes[16] = { [10] = 0xff, 0xff, 10, 1, 2, 3 };
	struct addr a = addr("10.1.2.3"), six = addr("2001:db8::1");

	(void)state;
	assert_memory_equal(a.b, bytes, 16);
	assert_true(addr_is4(&a));
	assert_false(addr_is4(&six));
	a = addr_from4(htonl(0x0a010203));
	assert_memory_equal(a.b, bytes, 16);
	a = addr("::ffff:10.1.2.3");
	assert_memory_equal(a.b, bytes, 16);
}

static void test_addresses_come_back_as_they_were_written(void **state)
{
	const char *const texts[] = { "0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1",
				      "2001:db8:1111:2222:3333:4444:5555:6666" };
	char text[ADDR_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct addr a = addr(texts[i]);

		assert_string_equal(addr_format(&a, text), texts[i]);
	}
}

static void test_what_is_no_address_is_refused_and_changes_nothing(void **state)
{
	const char *const texts[] = { "", "10", "10.0.0", "10.0.0.256", "10.0.0.1.2", "010.0.0.1", " 10.0.0.1", "10.0.0.1 ",
				      "example.org", ":::", "2001:db8::1::2", "12345::", "fe80::1%lo", "[::1]" };
	struct addr a = addr("192.0.2.1"), before = a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(addr_parse(texts[i], &a), -EINVAL);
		assert_memory_equal(&a, &before, sizeof(a));
	}
}

static void test_addresses_with_a_special_meaning_are_known(void **state)
{
	enum { ORDINARY, UNSPECIFIED, LOOPBACK, MULTICAST, BROADCAST };
	const struct {
		const char *text;
		int kind;
	} cases[] = {
		{ "0.0.0.0", UNSPECIFIED },	{ "::", UNSPECIFIED },	  { "127.0.0.1", LOOPBACK },
		{ "127.255.0.9", LOOPBACK },	{ "::1", LOOPBACK },	  { "224.0.0.1", MULTICAST },
		{ "239.255.255.255", MULTICAST }, { "ff02::1", MULTICAST }, { "255.255.255.255", BROADCAST },
		{ "0.0.0.1", ORDINARY },	{ "10.0.0.1", ORDINARY }, { "126.0.0.1", ORDINARY },
		{ "128.0.0.1", ORDINARY },	{ "223.0.0.1", ORDINARY }, { "240.0.0.1", ORDINARY },
		{ "2001:db8::1", ORDINARY },	{ "::2", ORDINARY },	  { "1::", ORDINARY },
		{ "fe80::1", ORDINARY },	{ "::fffe:0:0", ORDINARY }, { "::7f00:1", ORDINARY },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct addr a = addr(cases[i].text);

		assert_int_equal(addr_is_unspecified(&a), cases[i].kind == UNSPECIFIED);
		assert_int_equal(addr_is_loopback(&a), cases[i].kind == LOOPBACK);
		assert_int_equal(addr_is_multicast(&a), cases[i].kind == MULTICAST);
		assert_int_equal(addr_is_broadcast(&a), cases[i].kind == BROADCAST);
	}
}

static void test_addresses_are_ordered_by_their_bytes(void **state)
{
	struct addr a = addr("10.0.0.1"), b = addr("10.0.0.2"), c = addr("2001:db8::");

	(void)state;
	assert_true(addr_compare(&a, &b) < 0);
	assert_true(addr_compare(&b, &a) > 0);
	assert_int_equal(addr_compare(&a, &a), 0);
	assert_true(addr_compare(&b, &c) < 0);
}

static void test_endpoints_are_understood_with_and_without_port(void **state)
{
	const struct {
		const char *text, *host, *again;
		uint16_t port;
	} cases[] = {
		{ "10.0.0.1:80", "10.0.0.1", "10.0.0.1:80", 80 },
		{ "10.0.0.1", "10.0.0.1", "10.0.0.1", 0 },
		{ "10.0.0.1:65535", "10.0.0.1", "10.0.0.1:65535", 65535 },
		{ "[2001:db8::1]:443", "2001:db8::1", "[2001:db8::1]:443", 443 },
		{ "[2001:db8::1]", "2001:db8::1", "2001:db8::1", 0 },
		{ "2001:db8::1", "2001:db8::1", "2001:db8::1", 0 },
		{ "::", "::", "::", 0 },
		{ "[1111:2222:3333:4444:5555:6666:7777:8888]:65535", "1111:2222:3333:4444:5555:6666:7777:8888",
		  "[1111:2222:3333:4444:5555:6666:7777:8888]:65535", 65535 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct addr host = addr(cases[i].host);
		char text[ENDPOINT_TEXT];
		struct endpoint e;

		assert_int_equal(endpoint_parse(cases[i].text, &e), 0);
		assert_memory_equal(&e.addr, &host, sizeof(host));
		assert_int_equal(e.port, cases[i].port);
		assert_string_equal(endpoint_format(&e, text), cases[i].again);
	}
}

static void test_what_is_no_endpoint_is_refused_and_changes_nothing(void **state)
{
	const char *const texts[] = {
		"", ":", ":80", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:http", "10.0.0.1:-1", "10.0.0.1:+1",
		"10.0.0.1: 80", "[10.0.0.1]:80", "[::1", "[::1]80", "[::1]:", "[::1]:0", "::1]:80", "[]:80", "[[::1]]:80",
		"[example.org]:80", "[x]:8:0", "example.org:80", "10.0.0.1:80:80",
		"[1111:2222:3333:4444:5555:6666:7777:8888]:000000000000000000000000000000080",
	};
	struct endpoint e = { addr("192.0.2.1"), 7 }, before = e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (endpoint_parse(texts[i], &e) != -EINVAL)
			fail_msg("\"%s\" was taken", texts[i]);
		assert_memory_equal(&e, &before, sizeof(e));
	}
}

static void test_endpoints_are_ordered_by_address_then_port(void **state)
{
	struct endpoint a = { addr("10.0.0.1"), 443 }, b = { addr("10.0.0.2"), 80 }, c = { addr("10.0.0.2"), 443 };

	(void)state;
	assert_true(endpoint_compare(&a, &b) < 0);
	assert_true(endpoint_compare(&b, &c) < 0);
	assert_true(endpoint_compare(&c, &b) > 0);
	assert_int_equal(endpoint_compare(&c, &c), 0);
}

static void test_an_endpoint_becomes_a_socket_address_of_its_family(void **state)
{
	struct endpoint four = { addr("10.1.2.3"), 80 }, six = { addr("2001:db8::1"), 443 };
	struct sockaddr_storage out;
	struct sockaddr_in *sin = (struct sockaddr_in *)&out;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&out;

	(void)state;
	assert_int_equal(endpoint_sockaddr(&four, &out), sizeof(*sin));
	assert_int_equal(sin->sin_family, AF_INET);
	assert_int_equal(sin->sin_port, htons(80));
	assert_int_equal(sin->sin_addr.s_addr, htonl(0x0a010203));
	assert_int_equal(endpoint_sockaddr(&six, &out), sizeof(*sin6));
	assert_int_equal(sin6->sin6_family, AF_INET6);
	assert_int_equal(sin6->sin6_port, htons(443));
	assert_memory_equal(&sin6->sin6_addr, six.addr.b, 16);
	assert_int_equal(sin6->sin6_scope_id, 0);
}

static void test_prefixes_come_back_as_they_were_written(void **state)
{
	const char *const texts[] = { "0.0.0.0/0", "10.0.0.0/8", "192.0.2.128/25", "192.0.2.1/32", "::/0",
				      "2001:db8::/32", "2001:db8::8000/113", "::1/128" };
	char text[PREFIX_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct prefix p = prefix(texts[i]);

		assert_string_equal(prefix_format(&p, text), texts[i]);
	}
	assert_int_equal(prefix("10.0.0.0/8").len, 104);
	assert_int_equal(prefix("2001:db8::/32").len, 32);
	assert_int_equal(prefix("::ffff:10.0.0.0/104").len, 104);
}

static void test_what_is_no_prefix_is_refused_and_changes_nothing(void **state)
{
	const char *const texts[] = {
		"", "/", "/8", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "10.0.0.0/ 8",
		"10.0.0.0/0008", "10.0.0.1/8", "10.128.0.0/8", "2001:db8::1/32", "::/129", "::1/127", "[::]/0", "example.org/8",
		"::ffff:10.0.0.0/8", "10.0.0.0/8/8",
	};
	struct prefix p = prefix("192.0.2.0/24"), before = p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (prefix_parse(texts[i], &p) != -EINVAL)
			fail_msg("\"%s\" was taken", texts[i]);
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

static bool within(const char *address, const char *network)
{
	struct addr a = addr(address);
	struct prefix p = prefix(network);

	return addr_in_prefix(&a, &p);
}

static void test_an_address_is_in_a_prefix_when_the_first_bits_agree(void **state)
{
	(void)state;
	assert_true(within("10.255.0.1", "10.0.0.0/8"));
	assert_false(within("11.0.0.0", "10.0.0.0/8"));
	assert_true(within("192.0.2.129", "192.0.2.128/25"));
	assert_false(within("192.0.2.127", "192.0.2.128/25"));
	assert_true(within("192.0.2.1", "192.0.2.1/32"));
	assert_false(within("192.0.2.2", "192.0.2.1/32"));
	assert_true(within("1.2.3.4", "0.0.0.0/0"));
	assert_false(within("2001:db8::1", "0.0.0.0/0"));
	assert_true(within("2001:db8::1", "::/0"));
	assert_true(within("2001:db8:0:1::", "2001:db8::/63"));
	assert_false(within("2001:db8:0:2::", "2001:db8::/63"));
}

static void test_a_mask_has_its_ones_first(void **state)
{
	struct addr m = addr_mask(0), zero = {};

	(void)state;
	assert_memory_equal(&m, &zero, sizeof(m));
	for (unsigned len = 1; len <= 128; len++) {
		m = addr_mask(len);
		for (unsigned bit = 0; bit < 128; bit++)
			assert_int_equal(m.b[bit / 8] >> (7 - bit % 8) & 1, bit < len);
	}
}

static void test_ports_are_1_to_65535_in_digits(void **state)
{
	const char *const bad[] = { "", "0", "65536", "99999", "100000", "80x", " 80", "80 ", "+80", "-1", "0x50", "*" };
	uint16_t port = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(port_parse(bad[i], &port), -EINVAL);
	assert_int_equal(port, 7);
	assert_int_equal(port_parse("1", &port), 0);
	assert_int_equal(port, 1);
	assert_int_equal(port_parse("65535", &port), 0);
	assert_int_equal(port, 65535);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_ipv4_address_is_kept_as_a_mapped_one),
		cmocka_unit_test(test_addresses_come_back_as_they_were_written),
		cmocka_unit_test(test_what_is_no_address_is_refused_and_changes_nothing),
		cmocka_unit_test(test_addresses_with_a_special_meaning_are_known),
		cmocka_unit_test(test_addresses_are_ordered_by_their_bytes),
		cmocka_unit_test(test_endpoints_are_understood_with_and_without_port),
		cmocka_unit_test(test_what_is_no_endpoint_is_refused_and_changes_nothing),
		cmocka_unit_test(test_endpoints_are_ordered_by_address_then_port),
		cmocka_unit_test(test_an_endpoint_becomes_a_socket_address_of_its_family),
		cmocka_unit_test(test_prefixes_come_back_as_they_were_written),
		cmocka_unit_test(test_what_is_no_prefix_is_refused_and_changes_nothing),
		cmocka_unit_test(test_an_address_is_in_a_prefix_when_the_first_bits_agree),
		cmocka_unit_test(test_a_mask_has_its_ones_first),
		cmocka_unit_test(test_ports_are_1_to_65535_in_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
