/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "base/duration.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"

static const struct unit {
	const char *name;
	uint64_t ms;
} units[] = { { "h", 3600 * 1000 }, { "m", 60 * 1000 }, { "s", 1000 }, { "ms", 1 } }; /* the largest first */

static const struct unit *unit_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcmp(units[i].name, name))
			return &units[i];
	return NULL;
}

/* Nine digits and a unit: no product overflows. */
int duration_parse(const char *text, uint64_t *ms)
{
	size_t digits = strspn(text, "0123456789");
	const struct unit *unit = unit_find(text + digits);
	char number[10] = "";

	if (!digits || !unit)
		return -EINVAL;
	if (digits >= sizeof(number))
		return -ERANGE;
	memcpy(number, text, digits);
	*ms = strtoull(number, NULL, 10) * unit->ms;
	return 0;
}

char *duration_format(uint64_t ms, char text[DURATION_TEXT])
{
	const struct unit *unit = units;

	while (ms % unit->ms)
		unit++;
	if (!ms)
		unit = unit_find("s");
	snprintf(text, DURATION_TEXT, "%" PRIu64 "%s", ms / unit->ms, unit->name);
	return text;
}
