/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Trying a source: one question is asked, and who asked is answered when the source was heard, or was not in time. */
#include <errno.h>
#include <event2/http.h>
#include <string.h>

#include "api/call.h"
#include "api/render.h"
#include "api/sources.h"
#include "base/clean.h"

#define TEST_MS 8000 /* below the time after which the control socket gives up */

struct trial {
	struct api *api;
	struct evhttp_request *request; /* NULL: who asked has gone */
	struct discovery_test *test;
	struct trial *next;
};

static void trial_free(struct trial *t)
{
	struct evhttp_connection *of = t->request ? evhttp_request_get_connection(t->request) : NULL;

	if (of)
		evhttp_connection_set_closecb(of, NULL, NULL);
	for (struct trial **at = &t->api->trials; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	free(t);
}

void trials_cancel(struct api *a)
{
	while (a->trials) {
		discovery_test_cancel(a->trials->test);
		trial_free(a->trials);
	}
}

static void on_gone(struct evhttp_connection *connection, void *arg)
{
	struct trial *t = arg;

	(void)connection;
	t->request = NULL;
	discovery_test_cancel(t->test);
	trial_free(t);
}

static void on_tested(void *arg, const struct found_set *set)
{
	struct trial *t = arg;
	struct evhttp_request *request = t->request;
	json_t *reply;

	if (set) {
		reply = render_found(set);
	} else {
		reply = json_pack("{s:s}", "error", "the source said nothing within 8 seconds; is its address right, and does anything "
				  "answer there?");
	}
	trial_free(t);
	call_reply(request, set ? 200 : 500, reply);
	json_decref(reply);
}

static void note_sentence(void *list, const char *sentence)
{
	json_array_append_new(list, json_text(sentence));
}

static int try_source(struct call *c, const struct discover *what)
{
	const struct config *running = api_running(c->api);
	struct trial *t;
	int err;

	if (what->source && !config_source(running, what->kind, what->source))
		return call_error(c, 400, "there is no source \"%s\" of kind %s; the configuration lists them under sources",
				  what->source, source_kind_names[what->kind]);
	t = calloc(1, sizeof(*t));
	if (!t)
		return call_error(c, 500, "out of memory");
	*t = (struct trial){ .api = c->api, .request = c->request, .next = c->api->trials };
	err = discovery_test(c->api->x->base, running, what, TEST_MS, on_tested, t, &t->test);
	if (err) {
		free(t);
		return call_error(c, 500, "the source cannot be tried: %s", strerror(-err));
	}
	c->api->trials = t;
	evhttp_connection_set_closecb(evhttp_request_get_connection(c->request), on_gone, t);
	return CALL_LATER;
}

/* The body is what stands under discover in a service, as YAML or JSON: one question. */
int post_source_test(struct call *c)
{
	struct discover *list = NULL;
	json_t *errors = json_array();
	size_t n = 0;
	int err = config_parse_discovers("discover", c->body ?: "", c->body_len, note_sentence, errors, &list, &n), status;

	if (err && json_array_size(errors))
		return call_errors(c, 400, errors);
	json_decref(errors);
	if (err)
		return call_error(c, 500, "%s", strerror(-err));
	status = n == 1 ? try_source(c, &list[0]) :
			  call_error(c, 400, "give one question, such as consul: { service: web }");
	for (size_t i = 0; i < n; i++)
		discover_clear(&list[i]);
	free(list);
	return status;
}
