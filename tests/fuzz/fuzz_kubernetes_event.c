/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A line of a watch of Kubernetes', or the Status that explains a refusal: what is accepted has what it promises. */
#include <errno.h>

#include "discovery/kubernetes_answer.h"
#include "fuzz.h"

static void try_status(const char *body, size_t size)
{
	char text[64];

	must(kubernetes_status_message(body, size, text, sizeof(text)) == text &&
	     strnlen(text, sizeof(text)) < sizeof(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kubernetes_event_clear) struct kubernetes_event e = {};
	_cleanup_free_ char *key = NULL;
	int err = kubernetes_event((const char *)data, size, &e);

	try_status((const char *)data, size);
	if (err) {
		must(err == -EBADMSG && !e.root);
		return 0;
	}
	must(e.kind <= KUBERNETES_ERROR && json_is_object(e.object));
	must(e.kind == KUBERNETES_ERROR ? !!e.message : e.version && *e.version);
	key = kubernetes_key(e.object);
	must(!key || (strchr(key, '/') && key[strlen(key) - 1]));
	return 0;
}
