/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "reconcile/overrides.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "base/file.h"
#include "base/log.h"

#define SIZE_MAX_BYTES ((size_t)16 << 20)
#define PATH_TEXT (STATE_TEXT + 20)

static char *path_of(const struct config *c, char path[PATH_TEXT])
{
	char state[STATE_TEXT];

	snprintf(path, PATH_TEXT, "%s/overrides.json", config_state(c, state));
	return path;
}

static int take(struct config *c, const json_t *o)
{
	const char *at = json_string_value(json_object_get(o, "address"));
	const json_t *weight = json_object_get(o, "weight");
	int admin = admin_parse(json_string_value(json_object_get(o, "state")));
	struct override one = { .service = (char *)json_string_value(json_object_get(o, "service")) };

	if (!one.service || !at || endpoint_parse(at, &one.at))
		return 0;
	one.has_weight = json_is_integer(weight) && json_integer_value(weight) >= 0 && json_integer_value(weight) <= WEIGHT_MAX;
	one.weight = one.has_weight ? json_integer_value(weight) : 0;
	one.has_admin = admin >= 0;
	one.admin = one.has_admin ? admin : ADMIN_ENABLED;
	return config_override_set(c, &one);
}

int overrides_load(struct config *c)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_TEXT];
	json_error_t error;
	json_t *list, *item;
	size_t len = 0, i;
	int err = file_read(path_of(c, path), SIZE_MAX_BYTES, &text, &len);

	if (err == -ENOENT)
		return 0;
	list = err ? NULL : json_loadb(text, len, 0, &error);
	if (!json_is_array(list)) {
		log_error("%s cannot be used (%s): drains and weights that were set by command are lost; set them again", path,
			  err ? strerror(-err) : list ? "no list" : error.text);
		json_decref(list);
		return 0;
	}
	err = 0;
	json_array_foreach(list, i, item) err = err ? err : take(c, item);
	json_decref(list);
	return err;
}

static json_t *override_json(const struct override *o)
{
	char at[ENDPOINT_TEXT];
	json_t *one = json_pack("{s:s, s:s}", "service", o->service, "address", endpoint_format(&o->at, at));

	if (o->has_weight)
		json_object_set_new(one, "weight", json_integer(o->weight));
	if (o->has_admin)
		json_object_set_new(one, "state", json_string(admin_names[o->admin]));
	return one;
}

int overrides_save(const struct config *c)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_TEXT], state[STATE_TEXT];
	json_t *list = json_array();
	int err;

	for (size_t i = 0; i < c->n_overrides; i++)
		json_array_append_new(list, override_json(&c->overrides[i]));
	text = json_dumps(list, JSON_INDENT(1));
	json_decref(list);
	err = text ? directory_make(config_state(c, state)) : -ENOMEM;
	if (!err)
		err = file_write(path_of(c, path), text, strlen(text), true);
	if (err)
		log_warn("%s cannot be written: %s; what was set by command will not outlive a restart", path, strerror(-err));
	return err;
}
