/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the user reads: tables and JSON on standard output, messages on standard error. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>
#include <libsmartcols/libsmartcols.h>

#include "cli/cli.h"

/* Says what is wrong, as JSON on standard output with -j, and returns status. */
int complain(const struct cli *cli, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int print_json(const json_t *o); /* DONE, or FAILED when it cannot be written */
/* As JSON with -j, else for people; takes the reply. */
int show_reply(const struct cli *cli, json_t *reply, void (*print)(const json_t *reply));

/* Columns: names in turn, ended by NULL; a name that begins with '>' is a column of numbers, aligned to the right. */
struct libscols_table *table_new(const char *column, ...) __attribute__((sentinel));
/* Cells: texts in turn, one for each column. */
void table_row(struct libscols_table *t, ...);
void table_hide(struct libscols_table *t, size_t column, bool hidden);
void table_print(struct libscols_table *t); /* and frees it */

/* Reading replies: what is missing is "", 0 or an empty list. */
const char *text_of(const json_t *o, const char *key);
json_int_t number_of(const json_t *o, const char *key);
double real_of(const json_t *o, const char *key);
bool flag_of(const json_t *o, const char *key);

/* Does the daemon's host balance this service, or backend, at "edge", or "socket"? And any of these? */
bool is_at(const json_t *o, const char *where);
bool any_at(const json_t *list, const char *where);

/* As text, in the buffer given. */
#define CELL 256
const char *count_text(json_int_t n, char text[CELL]);
const char *bytes_text(json_int_t n, char text[CELL]); /* "1.5 MiB" */
const char *percent_text(double ratio, char text[CELL]); /* "33.3 %" */
const char *joined_text(const json_t *list, const char *between, char text[CELL]);

#endif
