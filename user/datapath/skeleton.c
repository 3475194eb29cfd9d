/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "datapath/skeleton.h"

#include "backend.skel.h"
#include "connection.skel.h"
#include "edge.skel.h"
#include "local.skel.h"
#include "socket.skel.h"

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

static void destroy_socket(void *own)
{
	socket__destroy(own);
}

int skeleton_socket(struct skeleton *out)
{
	struct socket *skel = socket__open();

	if (!skel)
		return -errno;
	*out = (struct skeleton){
		.obj = skel->obj,
		.settings = (struct shunt_settings *)&skel->rodata->settings,
		.own = skel,
		.destroy = destroy_socket,
	};
	return 0;
}

static void destroy_connection(void *own)
{
	connection__destroy(own);
}

int skeleton_connection(struct skeleton *out)
{
	struct connection *skel = connection__open();

	if (!skel)
		return -errno;
	*out = (struct skeleton){
		.obj = skel->obj,
		.settings = (struct shunt_settings *)&skel->rodata->settings,
		.own = skel,
		.destroy = destroy_connection,
	};
	return 0;
}

static void destroy_local(void *own)
{
	local__destroy(own);
}

int skeleton_local(struct skeleton *out)
{
	struct local *skel = local__open();

	if (!skel)
		return -errno;
	*out = (struct skeleton){
		.obj = skel->obj,
		.settings = (struct shunt_settings *)&skel->rodata->settings,
		.own = skel,
		.destroy = destroy_local,
	};
	return 0;
}
