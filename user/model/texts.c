/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lists of texts, and what the texts that name processes look like. */
#include "model/copy.h"

void texts_clear(struct texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->list[i]);
	free(t->list);
	*t = (struct texts){};
}

int texts_copy(struct texts *to, const struct texts *from)
{
	to->list = calloc(from->n, sizeof(*to->list));
	if (from->n && !to->list)
		return -ENOMEM;
	for (; to->n < from->n; to->n++)
		if (text_copy(&to->list[to->n], from->list[to->n]))
			return -ENOMEM;
	return 0;
}

int texts_add(struct texts *t, const char *text)
{
	char **grown = reallocarray(t->list, t->n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	t->list = grown;
	if (text_copy(&t->list[t->n], text))
		return -ENOMEM;
	t->n++;
	return 0;
}

bool texts_have(const struct texts *t, const char *text)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->list[i], text))
			return true;
	return false;
}

bool texts_equal(const struct texts *a, const struct texts *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->list[i], b->list[i]))
			return false;
	return true;
}

static bool is_dots(const char *part, size_t len)
{
	return (len == 1 || len == 2) && !strncmp(part, "..", len);
}

/* Each cgroup has one path: what is not in its shortest form would be another name of it. */
bool cgroup_path_is_fine(const char *path)
{
	size_t levels = 0;

	if (*path != '/' || strlen(path) > CLIENT_PATH_MAX)
		return false;
	while (*path) {
		size_t len = strcspn(++path, "/");

		if (!len || is_dots(path, len) || ++levels > CGROUP_LEVELS_MAX)
			return false;
		path += len;
	}
	return true;
}

bool namespace_path_is_fine(const char *path)
{
	return path[0] == '/' && path[1] && strlen(path) <= CLIENT_PATH_MAX;
}
