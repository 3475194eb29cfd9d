/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "register/consul_ask.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

uint32_t consul_weight(uint32_t weight)
{
	uint32_t rounded = (weight + WEIGHT_DEFAULT / 2) / WEIGHT_DEFAULT;

	return weight && !rounded ? 1 : rounded;
}

const char *consul_status(const struct announce *what, bool up)
{
	return !up ? "critical" : what->weight ? "passing" : "warning";
}

static char *dump(json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	return text;
}

#define FORGOTTEN_MIN_MS 60000 /* Consul takes no less */
#define FORGOTTEN_TTLS 20

/*
 * What is critical for so long goes: else the instance of a host that died stays for ever. One that is only unhealthy
 * goes as well, and is registered anew, critical, as soon as the agent says that it does not know it.
 */
static uint64_t forgotten_ms(const struct announce *what)
{
	uint64_t ms = (uint64_t)what->ttl_ms * FORGOTTEN_TTLS;

	return ms > FORGOTTEN_MIN_MS ? ms : FORGOTTEN_MIN_MS;
}

char *consul_ask_register(const struct announce *what, const char *id, const char *status)
{
	json_int_t weight = consul_weight(what->weight);
	char address[ADDR_TEXT], ttl[24], forgotten[24], check[2048];
	json_t *tags = json_array();

	for (size_t i = 0; i < what->tags.n; i++)
		json_array_append_new(tags, json_string(what->tags.list[i]));
	snprintf(ttl, sizeof(ttl), "%ums", what->ttl_ms);
	snprintf(forgotten, sizeof(forgotten), "%" PRIu64 "ms", forgotten_ms(what));
	snprintf(check, sizeof(check), "service:%s", id);
	return dump(json_pack("{s:s, s:s, s:o, s:s, s:i, s:{s:I, s:I}, s:{s:s, s:s, s:s, s:s, s:s}}", "ID", id, "Name",
			      what->name, "Tags", tags, "Address", addr_format(&what->at.addr, address), "Port",
			      (int)what->at.port, "Weights", "Passing", weight ?: 1, "Warning", weight, "Check",
			      "CheckID", check, "Name", "checked by shunt on its host", "TTL", ttl, "Status", status,
			      "DeregisterCriticalServiceAfter", forgotten));
}

char *consul_ask_update(const char *status, const char *output)
{
	json_t *said = json_string(output) ?: json_string("");

	return dump(json_pack("{s:s, s:o}", "Status", status, "Output", said));
}
