/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/skeleton.h"

#include "backend.skel.h"
#include "edge.skel.h"

static void destroy_edge(void *own)
{
	edge__destroy(own);
}

static void destroy_backend(void *own)
{
	backend__destroy(own);
}

int skeleton_edge(struct skeleton *out)
{
	struct edge *skel = edge__open();

	if (!skel)
		return -errno;
	*out = (struct skeleton){
		.obj = skel->obj,
		.prog = skel->progs.shunt_edge,
		.settings = (struct shunt_settings *)&skel->rodata->settings,
		.own = skel,
		.destroy = destroy_edge,
	};
	return 0;
}

int skeleton_backend(struct skeleton *out)
{
	struct backend *skel = backend__open();

	if (!skel)
		return -errno;
	*out = (struct skeleton){
		.obj = skel->obj,
		.prog = skel->progs.shunt_backend,
		.settings = (struct shunt_settings *)&skel->rodata->settings,
		.own = skel,
		.destroy = destroy_backend,
	};
	return 0;
}
