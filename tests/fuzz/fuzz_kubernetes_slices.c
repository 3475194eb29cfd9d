/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A page of EndpointSlices, which are taken for those of one service: its backends are sorted, each once, with a
 * port; and what is refused is refused with a sentence.
 */
#include <errno.h>

#include "discovery/kubernetes_answer.h"
#include "discovery/kubernetes_slices.h"
#include "fuzz.h"

#define SLICES_MAX 64

static void ask(const struct slice *const *slices, size_t n, char *port, size_t size)
{
	const struct discover what = { .kind = SOURCE_KUBERNETES, .name = "web", .port_name = port };
	struct slices_answer a = {};
	char problem[SLICES_TEXT] = "";
	int err = slices_backends(slices, n, &what, &a, problem);

	must(err ? err == -EINVAL && problem[0] && !a.backends : !problem[0] && a.n <= size);
	must(strnlen(problem, sizeof(problem)) < sizeof(problem) && strnlen(a.note, sizeof(a.note)) < sizeof(a.note));
	for (size_t i = 0; i < a.n; i++) {
		const struct backend *b = &a.backends[i];

		must(b->at.port && b->weight == WEIGHT_DEFAULT &&
		     (b->admin == ADMIN_ENABLED || b->admin == ADMIN_DRAINING));
		must(!i || endpoint_compare(&a.backends[i - 1].at, &b->at) < 0);
	}
	free(a.backends);
}

static void try_zone(const struct kubernetes_page *p, const char *zone, size_t size)
{
	struct slice *slices[SLICES_MAX] = {};
	size_t n = 0, i;
	const json_t *one;

	json_array_foreach(p->items, i, one)
	{
		int err = n < SLICES_MAX ? slice_parse(one, zone, &slices[n]) : -EBADMSG;

		must(!err || err == -EBADMSG);
		n += !err;
	}
	ask((const struct slice *const *)slices, n, NULL, size);
	ask((const struct slice *const *)slices, n, "http", size);
	ask((const struct slice *const *)slices, n, "80", size);
	while (n--)
		slice_free(slices[n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kubernetes_page_clear) struct kubernetes_page p = {};
	int err = kubernetes_page((const char *)data, size, &p);

	must(err ? err == -EBADMSG && !p.root : p.version && *p.version && (!p.next || *p.next));
	if (err)
		return 0;
	try_zone(&p, NULL, size);
	try_zone(&p, "zone-a", size);
	return 0;
}
