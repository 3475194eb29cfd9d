/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/etcd_keys.h"

#include <ctype.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>

#include "base/clean.h"
#include "config/mistake.h"

struct key {
	const uint8_t *bytes; /* follow the structure, with a zero behind them */
	size_t len;
	struct backend backend; /* if right */
	bool right; /* a value was understood: this one, or one before */
	char *why; /* the value is not understood; NULL: it is */
};

static int compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void key_free(void *key)
{
	struct key *k = key;

	free(k->why);
	free(k);
}

/* Counts a key that is not understood, or takes it out of the count. */
static void count(struct etcd_keys *k, const struct key *key, int by)
{
	k->bad += key->why ? by : 0;
	k->kept += key->why && key->right ? by : 0;
}

static int delete_key(struct etcd_keys *k, struct key *sought)
{
	struct key **found = tfind(sought, &k->root, compare), *old;

	if (!found)
		return 0;
	old = *found;
	tdelete(sought, &k->root, compare);
	k->n--;
	count(k, old, -1);
	key_free(old);
	return 0;
}

/* The one that is there, or a new one, of which nothing is known yet. NULL: out of memory. */
static struct key *find_or_add(struct etcd_keys *k, const struct key *sought)
{
	struct key **found = tfind(sought, &k->root, compare), *new;

	if (found)
		return *found;
	new = calloc(1, sizeof(*new) + sought->len + 1);
	if (!new)
		return NULL;
	new->bytes = memcpy(new + 1, sought->bytes, sought->len);
	new->len = sought->len;
	if (!tsearch(new, &k->root, compare)) {
		free(new);
		return NULL;
	}
	k->n++;
	return new;
}

static int put_key(struct etcd_keys *k, const struct key *sought, const struct etcd_pair *pair)
{
	struct key *key = find_or_add(k, sought);
	struct backend now;
	char why[ETCD_WHY];
	int err;

	if (!key)
		return -ENOMEM;
	count(k, key, -1);
	free(TAKE_PTR(key->why));
	err = etcd_value_parse(pair->value, pair->value_len, &now, why);
	if (err == -EINVAL) {
		key->why = strdup(why);
		err = key->why ? 0 : -ENOMEM;
		count(k, key, 1);
	} else if (!err) {
		key->backend = now;
		key->right = true;
	}
	return err;
}

int etcd_keys_apply(struct etcd_keys *k, const struct etcd_pair *pair)
{
	struct key sought = { .bytes = pair->key, .len = pair->key_len };

	return pair->deleted ? delete_key(k, &sought) : put_key(k, &sought, pair);
}

struct recalled {
	struct etcd_keys *keys;
	const struct etcd_keys *before;
};

static void recall(const void *node, VISIT visit, void *arg)
{
	struct key *key = *(struct key *const *)node;
	const struct recalled *r = arg;
	struct key *const *was;

	if ((visit != postorder && visit != leaf) || !key->why || key->right)
		return;
	was = tfind(key, &r->before->root, compare);
	if (!was || !(*was)->right)
		return;
	key->backend = (*was)->backend;
	key->right = true;
	r->keys->kept++;
}

void etcd_keys_recall(struct etcd_keys *k, const struct etcd_keys *before)
{
	twalk_r(k->root, recall, &(struct recalled){ k, before });
}

void etcd_keys_clear(struct etcd_keys *k)
{
	tdestroy(k->root, key_free);
	*k = (struct etcd_keys){};
}

/* ---- what they say together ---- */

struct collected {
	struct backend *backends;
	size_t n;
	const struct key *bad; /* the first */
};

static void collect(const void *node, VISIT visit, void *arg)
{
	const struct key *key = *(const struct key *const *)node;
	struct collected *c = arg;

	if (visit != postorder && visit != leaf)
		return;
	if (key->right)
		c->backends[c->n++] = key->backend;
	if (key->why && !c->bad)
		c->bad = key;
}

/* Somebody else's bytes, as they may stand in a sentence. */
static void write_note(const struct etcd_keys *k, const struct key *bad, char note[ETCD_NOTE])
{
	char kept[64] = "";

	if (k->kept && k->bad == 1)
		snprintf(kept, sizeof(kept), " (what the key said before stays)");
	else if (k->kept)
		snprintf(kept, sizeof(kept), " (what %zu of them said before stays)", k->kept);
	snprintf(note, ETCD_NOTE, "%zu of %zu values %s not understood%s: %s: %s", k->bad, k->n,
		 k->bad == 1 ? "is" : "are", kept, SHOWN((const char *)bad->bytes), bad->why);
	for (char *c = note; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}

int etcd_keys_backends(const struct etcd_keys *k, struct backend **out, size_t *n, char note[ETCD_NOTE])
{
	struct collected c = { .backends = calloc(k->n - k->bad + k->kept + 1, sizeof(*c.backends)) };

	if (!c.backends)
		return -ENOMEM;
	twalk_r(k->root, collect, &c);
	note[0] = '\0';
	if (c.bad)
		write_note(k, c.bad, note);
	*out = c.backends;
	*n = c.n;
	return 0;
}
