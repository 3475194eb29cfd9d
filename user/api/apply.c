/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A whole file at once: what would change and move, and on request all of it. */
#include <errno.h>
#include <string.h>

#include "api/change.h"
#include "api/render.h"
#include "base/clean.h"
#include "base/log.h"

static void note_sentence(void *list, const char *sentence)
{
	json_array_append_new(list, json_text(sentence));
}

static int parse(struct call *c, struct config **out)
{
	const char *name = call_query(c, "name");
	json_t *errors = json_array();
	int err = config_parse(name && *name ? name : "input", c->body ?: "", c->body_len, note_sentence, errors, out);

	if (err && json_array_size(errors))
		return call_errors(c, 400, errors);
	json_decref(errors);
	return err ? call_error(c, 500, "%s", strerror(-err)) : 0;
}

static void note_move(void *list, const char *service, bool fresh, uint32_t moved, uint32_t of)
{
	json_array_append_new(list, json_pack("{s:s, s:b, s:i, s:i, s:f}", "service", service, "new", fresh, "moved",
					      (int)moved, "of", (int)of, "share", of ? (double)moved / of : 0.0));
}

static int really_apply(struct call *c, struct config *wanted)
{
	_cleanup_(config_freep) struct config *file = config_copy(wanted);
	const char *name = call_query(c, "name");
	struct api_context *x = c->api->x;
	int status;

	if (!file)
		return call_error(c, 500, "out of memory");
	status = change_apply(c, wanted);
	if (status)
		return status;
	api_set_file(x, TAKE_PTR(file));
	snprintf(x->applied, sizeof(x->applied), "%s", name && *name ? name : "input");
	x->last_reload_error[0] = '\0';
	api_reopen(c->api); /* what it cannot open it logs, and keeps what it has */
	return 0;
}

int post_apply(struct call *c)
{
	_cleanup_(config_freep) struct config *wanted = NULL;
	_cleanup_(merged_clear) struct merged m = {};
	const char *dry = call_query(c, "dry_run");
	bool dry_run = dry && strcmp(dry, "0");
	json_t *changes, *moves;
	int status;

	if (!dry_run && !c->may_change)
		return call_forbidden(c);
	status = parse(c, &wanted);
	if (status)
		return status;
	if (merge(wanted, c->api->x->discovery, api_running(c->api), &c->api->x->held, &m))
		return call_error(c, 500, "the file and what sources found cannot be merged; the daemon's log says why");
	changes = change_list(api_running(c->api), m.config);
	moves = json_array();
	if (reconcile_preview(c->api->x->reconcile, m.config, note_move, moves))
		status = call_error(c, 500, "what would move cannot be computed; the daemon's log says why");
	else
		status = dry_run ? change_check(c, wanted) : really_apply(c, wanted);
	if (status) {
		json_decref(changes);
		json_decref(moves);
		return status;
	}
	return call_ok(c, json_pack("{s:b, s:o, s:o, s:s}", "dry_run", dry_run, "changes", changes, "moves", moves,
				    "warning", dry_run ? "" : c->api->problem));
}
