/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "api/permit.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clean.h"

bool route_matches(const char *pattern, char *const *parts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		size_t len = strcspn(pattern, "/");
		bool any = len == 1 && *pattern == '?';

		if (!len || (!any && (strlen(parts[i]) != len || memcmp(pattern, parts[i], len))))
			return false;
		pattern += len;
		pattern += *pattern == '/';
	}
	return !*pattern;
}

/* ---- Accept ---- */

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t");
	for (len = strlen(text); len && strchr(" \t", text[len - 1]);)
		text[--len] = '\0';
	return text;
}

/* One of a range's parameters: q is a weight, a version other than ours rules the range out. */
static void take_parameter(char *text, double *q, bool *other_version)
{
	char *value = strchr(text, '=');

	if (!value)
		return;
	*value++ = '\0';
	text = trim(text);
	value = trim(value);
	if (!strcasecmp(text, "q"))
		*q = strtod(value, NULL);
	else if (!strcasecmp(text, "version"))
		*other_version = strcmp(value, "1.0.0") && strcmp(value, "\"1.0.0\"");
}

/* One range of the header, "type/subtype; parameter=value; …": raises the weight of what it names. */
static void take_range(char *range, double *openmetrics, double *text)
{
	bool other_version = false;
	double q = 1;
	char *save, *type = strtok_r(range, ";", &save), *parameter;

	if (!type)
		return;
	while ((parameter = strtok_r(NULL, ";", &save)))
		take_parameter(parameter, &q, &other_version);
	type = trim(type);
	if (!strcasecmp(type, "application/openmetrics-text")) {
		if (!other_version && q > *openmetrics)
			*openmetrics = q;
	} else if (!strcasecmp(type, "text/plain") || !strcasecmp(type, "text/*") || !strcmp(type, "*/*")) {
		if (q > *text)
			*text = q;
	}
}

bool accept_openmetrics(const char *header)
{
	_cleanup_free_ char *copy = header ? strdup(header) : NULL;
	double openmetrics = 0, text = 0;
	char *save, *range;

	if (!copy)
		return false;
	for (range = strtok_r(copy, ",", &save); range; range = strtok_r(NULL, ",", &save))
		take_range(range, &openmetrics, &text);
	return openmetrics > text;
}
