/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What this host announces of itself: copies, comparing, freeing. */
#include <errno.h>

#include "base/clean.h"
#include "model/copy.h"
#include "model/model.h"

void announce_clear(struct announce *a)
{
	free(a->source);
	free(a->name);
	free(a->id);
	free(a->check.path);
	free(a->check.host);
	texts_clear(&a->tags);
	*a = (struct announce){};
}

int announce_copy(const struct announce *from, struct announce *to)
{
	_cleanup_(announce_clear) struct announce a = *from;

	a.source = a.name = a.id = a.check.path = a.check.host = NULL;
	a.tags = (struct texts){};
	if (text_copy(&a.source, from->source) || text_copy(&a.name, from->name) || text_copy(&a.id, from->id) ||
	    text_copy(&a.check.path, from->check.path) || text_copy(&a.check.host, from->check.host) ||
	    texts_copy(&a.tags, &from->tags))
		return -ENOMEM;
	*to = a;
	a = (struct announce){};
	return 0;
}

bool announce_equal(const struct announce *a, const struct announce *b)
{
	return a->kind == b->kind && same_text(a->source, b->source) && same_text(a->name, b->name) &&
	       same_text(a->id, b->id) && !endpoint_compare(&a->at, &b->at) && a->weight == b->weight &&
	       texts_equal(&a->tags, &b->tags) && check_equal(&a->check, &b->check) && a->ttl_ms == b->ttl_ms;
}
