/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* JSON of requests as structures. Pure. On failure error holds a sentence and the structure is as it was. */
#ifndef API_PARSE_H
#define API_PARSE_H

#include <jansson.h>

#include "model/model.h"

#define PARSE_ERROR 256

extern const char *const service_keys[]; /* NULL-terminated */
extern const char *const backend_keys[];

int parse_service(const json_t *o, struct service *out, char error[PARSE_ERROR]); /* 0, -EINVAL, -ENOMEM */

/* Sets what is given in o ("weight", "admin") and leaves the rest of b as it is. */
int parse_backend(const json_t *o, struct backend *b, char error[PARSE_ERROR]); /* 0 or -EINVAL */
/* Of a backend; its port may be left out. text may be NULL. */
int parse_address(const char *text, struct endpoint *out, char error[PARSE_ERROR]);

/* A text with a port, such as 192.0.2.10:80. */
int parse_endpoint(const json_t *o, const char *key, struct endpoint *out, char error[PARSE_ERROR]);
/* "protocol" as IPPROTO_TCP, which is meant where o has no such key, or IPPROTO_UDP. */
int parse_protocol(const json_t *o, uint8_t *out, char error[PARSE_ERROR]);

/* A whole number from min to max; *out is untouched when o has no such key. */
int parse_number(const json_t *o, const char *key, uint64_t min, uint64_t max, uint64_t *out, char error[PARSE_ERROR]);

#endif
