/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lists that may be long, of which some are asked for: --backend, --limit. */
#ifndef CLI_LIST_H
#define CLI_LIST_H

#include <jansson.h>

#include "cli/cli.h"

int list_check(const struct cli *cli); /* DONE, or what is wrong was said, and the exit status is returned */
/* "/v1/flows?limit=1000&service=web&state=open"; service and state may be NULL; to be freed. */
char *list_path(const struct cli *cli, const char *object, const char *service, const char *state);
void list_more(json_int_t more); /* says how many are not listed, if there are some */

#endif
