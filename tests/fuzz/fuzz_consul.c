/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Consul's answer about a service: backends are in range, and no more than the answer has room for; tags only take
 * away.
 */
#include <ctype.h>
#include <errno.h>

#include "discovery/consul_answer.h"
#include "fuzz.h"

/* How many backends; the answer is refused: -1. */
static ssize_t ask(const uint8_t *data, size_t size, const struct discover *what)
{
	_cleanup_free_ struct backend *list = NULL;
	char note[CONSUL_NOTE] = "";
	bool wrong;
	size_t n = 0;
	int err = consul_answer((const char *)data, size, what, &list, &n, note, &wrong);

	must(strnlen(note, sizeof(note)) < sizeof(note));
	for (const char *c = note; *c; c++)
		must(!iscntrl((unsigned char)*c));
	if (err) {
		must(err == -EINVAL && !list && !n && note[0]);
		return -1;
	}
	must(n <= size / 2 && !list == !n);
	for (size_t i = 0; i < n; i++)
		must(list[i].weight <= WEIGHT_MAX && list[i].admin == ADMIN_ENABLED &&
		     list[i].server_id.length <= SERVER_ID_MAX && !addr_is_unspecified(&list[i].at.addr));
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *tag = "v2", *tags[] = { "v2", "eu" };
	const struct discover all = { .kind = SOURCE_CONSUL, .name = "web" };
	const struct discover one = { .kind = SOURCE_CONSUL, .name = "web", .tags = { &tag, 1 } };
	const struct discover two = { .kind = SOURCE_CONSUL, .name = "web", .tags = { tags, 2 } };
	ssize_t of_all = ask(data, size, &all), of_one = ask(data, size, &one), of_two = ask(data, size, &two);

	must(of_all < 0 || (of_one >= 0 && of_one <= of_all && of_two <= of_one));
	return 0;
}
