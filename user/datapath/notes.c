/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Notes of what we changed on the host outside of our maps, so that a later process can undo it: a pinned map that
 * no program reads. Like the pins, and like what they are about, notes live until the host is started anew.
 * A note is written before the change and deleted after it was undone: a crash in between leaves one too many, which
 * is undone as if it had been needed.
 */
#include "datapath/internal.h"

#include <errno.h>
#include <string.h>

#define NOTES "notes"
#define NOTES_MAX 65536

int notes_open(const char *pins, bool create)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	_cleanup_close_ int fd = pin_get(pins, NOTES);
	char path[PIN_PATH];
	int err;

	if (fd != -ENOENT || !create)
		return TAKE_FD(fd);
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "shunt_notes", sizeof(struct note), sizeof(uint32_t), NOTES_MAX, &opts);
	if (fd < 0)
		return -errno;
	err = pin_path(pins, NOTES, path);
	if (!err)
		err = bpf_obj_pin(fd, path) ? -errno : 0;
	return err ? err : TAKE_FD(fd);
}

int note_write(int notes, const struct note *n, uint32_t value)
{
	return bpf_map_update_elem(notes, n, &value, BPF_NOEXIST) && errno != EEXIST ? -errno : 0;
}

bool note_exists(int notes, const struct note *n)
{
	uint32_t value;

	return !bpf_map_lookup_elem(notes, n, &value);
}

void note_delete(int notes, const struct note *n)
{
	bpf_map_delete_elem(notes, n);
}

void notes_each(int notes, void (*fn)(void *arg, int notes, const struct note *n, uint32_t value), void *arg)
{
	struct note n, next;
	uint32_t value;
	int err = bpf_map_get_next_key(notes, NULL, &next);

	while (!err) {
		n = next;
		err = bpf_map_get_next_key(notes, &n, &next); /* before fn deletes n */
		if (!bpf_map_lookup_elem(notes, &n, &value))
			fn(arg, notes, &n, value);
	}
}
