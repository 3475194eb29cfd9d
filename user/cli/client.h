/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The control socket, seen from the command. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>

#include "cli/cli.h"

/* "/v1/services/web/backends/10.0.0.11%3A80" of its parts, ended by NULL; to be freed. NULL: out of memory. */
char *client_path(const char *part, ...) __attribute__((sentinel));

/*
 * Asks the daemon. path may be NULL (out of memory). DONE: *reply is its answer, to be released. Else what is wrong
 * was said, and the exit status is returned.
 */
int client_get(const struct cli *cli, const char *path, json_t **reply);
int client_delete(const struct cli *cli, const char *path, json_t **reply);
int client_post(const struct cli *cli, const char *path, const char *body, size_t len, json_t **reply);
int client_post_json(const struct cli *cli, const char *path, json_t *body, json_t **reply); /* takes body */

/* Prints what a change did (with -j the reply as it is) and releases it. status: of the call that filled in *reply. */
int client_report(const struct cli *cli, int status, json_t **reply);

#endif
