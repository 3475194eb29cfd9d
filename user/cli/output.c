/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"

int print_json(const json_t *o)
{
	if (json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) || putchar('\n') == EOF || fflush(stdout)) {
		perror("shunt: standard output");
		return FAILED;
	}
	return DONE;
}

int show_reply(const struct cli *cli, json_t *reply, void (*print)(const json_t *reply))
{
	int status = DONE;

	if (cli->json)
		status = print_json(reply);
	else
		print(reply);
	json_decref(reply);
	return status;
}

int complain(const struct cli *cli, int status, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	json_t *o = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	if (cli->json)
		o = json_pack("{s:s}", "error", text ?: "out of memory");
	if (o)
		print_json(o);
	else
		fprintf(stderr, "shunt: %s\n", text ?: "out of memory");
	json_decref(o);
	return status;
}

/* ---- tables ---- */

struct libscols_table *table_new(const char *column, ...)
{
	struct libscols_table *t = scols_new_table();
	va_list args;

	if (!t)
		exit((perror("shunt"), FAILED));
	scols_table_set_column_separator(t, "  ");
	va_start(args, column);
	for (; column; column = va_arg(args, const char *))
		scols_table_new_column(t, column + (*column == '>'), 0, *column == '>' ? SCOLS_FL_RIGHT : 0);
	va_end(args);
	return t;
}

void table_row(struct libscols_table *t, ...)
{
	struct libscols_line *line = scols_table_new_line(t, NULL);
	va_list args;

	if (!line)
		return;
	va_start(args, t);
	for (size_t i = 0; i < scols_table_get_ncols(t); i++)
		scols_line_set_data(line, i, va_arg(args, const char *));
	va_end(args);
}

void table_hide(struct libscols_table *t, size_t column, bool hidden)
{
	if (hidden)
		scols_column_set_flags(scols_table_get_column(t, column), SCOLS_FL_HIDDEN);
}

void table_print(struct libscols_table *t)
{
	if (scols_table_get_nlines(t))
		scols_print_table(t);
	scols_unref_table(t);
}

/* ---- replies ---- */

const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "";
}

json_int_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

double real_of(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

bool flag_of(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

bool is_at(const json_t *o, const char *where)
{
	const json_t *word;
	size_t i;

	json_array_foreach(json_object_get(o, "at"), i,
			   word) if (!strcmp(json_string_value(word) ?: "", where)) return true;
	return false;
}

bool any_at(const json_t *list, const char *where)
{
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o) if (is_at(o, where)) return true;
	return false;
}

const char *count_text(json_int_t n, char text[CELL])
{
	snprintf(text, CELL, "%" JSON_INTEGER_FORMAT, n);
	return text;
}

const char *bytes_text(json_int_t n, char text[CELL])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = n;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	snprintf(text, CELL, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

const char *percent_text(double ratio, char text[CELL])
{
	snprintf(text, CELL, "%.1f %%", ratio * 100);
	return text;
}

const char *joined_text(const json_t *list, const char *between, char text[CELL])
{
	size_t len = 0, i;
	json_t *item;

	text[0] = '\0';
	json_array_foreach(list, i, item) {
		if (len < CELL)
			len += snprintf(text + len, CELL - len, "%s%s", i ? between : "", json_string_value(item) ?: "");
	}
	return text;
}
