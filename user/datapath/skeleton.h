/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The built-in objects, opened but not loaded. Apart from the rest because the names that bpftool makes up
 * (struct backend) are also those of the model.
 */
#ifndef DATAPATH_SKELETON_H
#define DATAPATH_SKELETON_H

#include "../bpf/abi.h"

struct bpf_object;
struct bpf_program;

struct skeleton {
	struct bpf_object *obj;
	struct bpf_program *prog; /* NULL: there are several */
	struct shunt_settings *settings; /* constants, to be filled before loading */
	void *own;
	void (*destroy)(void *own);
};

/* 0 or -errno */
int skeleton_edge(struct skeleton *out);
int skeleton_backend(struct skeleton *out);
int skeleton_socket(struct skeleton *out);
int skeleton_connection(struct skeleton *out);
int skeleton_local(struct skeleton *out);
static inline void skeleton_close(struct skeleton *s)
{
	if (s->own)
		s->destroy(s->own);
}

#endif
