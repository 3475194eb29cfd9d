/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happened when: the last events, in memory; each is logged too. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "api/render.h"
#include "base/clean.h"
#include "base/clock.h"
#include "base/log.h"

#define EVENTS_MAX 1024
#define EVENT_TEXT 700

struct events {
	uint64_t n; /* ever */
	struct {
		uint64_t ms; /* CLOCK_REALTIME */
		char subject[DISCOVER_TEXT / 2];
		char text[EVENT_TEXT];
	} list[EVENTS_MAX]; /* the oldest give way */
};

void api_event(struct api_context *x, const char *subject, const char *sentence)
{
	size_t i;

	log_info("%s: %s", subject, sentence);
	if (!x->events)
		x->events = calloc(1, sizeof(*x->events));
	if (!x->events)
		return;
	i = x->events->n++ % EVENTS_MAX;
	x->events->list[i].ms = realtime_ms();
	snprintf(x->events->list[i].subject, sizeof(x->events->list[i].subject), "%s", subject);
	snprintf(x->events->list[i].text, sizeof(x->events->list[i].text), "%s", sentence);
}

int get_events(struct call *c)
{
	const struct events *e = c->api->x->events;
	uint64_t total = e ? e->n : 0, kept = total < EVENTS_MAX ? total : EVENTS_MAX, limit;
	int status = call_limit(c, 100, EVENTS_MAX, &limit);
	json_t *list;

	if (status)
		return status;
	if (limit > kept)
		limit = kept;
	list = json_array();
	for (uint64_t i = total - limit; i < total; i++)
		json_array_append_new(list, json_pack("{s:I, s:o, s:o}", "ms", (json_int_t)e->list[i % EVENTS_MAX].ms, "subject",
						      json_text(e->list[i % EVENTS_MAX].subject), "text",
						      json_text(e->list[i % EVENTS_MAX].text)));
	return call_ok(c, json_pack("{s:I, s:o}", "total", (json_int_t)total, "events", list));
}
