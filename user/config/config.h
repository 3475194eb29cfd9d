/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* YAML to model: reads a configuration and says everything that is wrong with it, each fault with its line. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "model/model.h"

/* One "FILE:LINE: what is wrong and what would be right" (or "FILE: ..." where no line is to blame), without newline. */
typedef void (*config_error_fn)(void *arg, const char *sentence);

/*
 * Parses the len bytes at text; name is what errors call it. On success *out is a normalised, validated config.
 * 0, -EINVAL (report was called at least once), -ENOMEM. *out is untouched on failure.
 */
int config_parse(const char *name, const char *text, size_t len, config_error_fn report, void *arg, struct config **out);

/* The same from a file; a file that cannot be read is reported too (and its errno returned). */
int config_load(const char *path, config_error_fn report, void *arg, struct config **out);

/*
 * Backends by themselves, as YAML or JSON: one ("10.0.0.11:80" or { address: "10.0.0.11:80", weight: 50 }), a list of
 * them, or { backends: [...] }, with the keys that a service's backends have. *out is freed by the caller; errors as
 * of config_parse.
 */
int config_parse_backends(const char *name, const char *text, size_t len, config_error_fn report, void *arg,
			  struct backend **out, size_t *n);
/* What a service may have under discover, by itself. The caller clears each of *out, then frees it. */
int config_parse_discovers(const char *name, const char *text, size_t len, config_error_fn report, void *arg,
			   struct discover **out, size_t *n);

#endif
