/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How inputs are changed: those that are JSON as trees, mostly, because hardly any change of their bytes leaves JSON;
 * all others as bytes. Only for looking, not for replaying.
 */
#include <jansson.h>
#include <limits.h>

#include "fuzz.h"

#define NODES_MAX 512
#define TEXT_MAX 1024

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* A value and where it stands. */
struct place {
	json_t *in, *value;
	const char *key; /* in an object */
	size_t index; /* in an array */
};

struct places {
	struct place list[NODES_MAX];
	size_t n;
};

static void collect(struct places *p, json_t *in)
{
	json_t *value;
	const char *key;
	size_t i;

	json_object_foreach(in, key, value)
	{
		if (p->n == NODES_MAX)
			return;
		p->list[p->n++] = (struct place){ .in = in, .value = value, .key = key };
		collect(p, value);
	}
	json_array_foreach(in, i, value)
	{
		if (p->n == NODES_MAX)
			return;
		p->list[p->n++] = (struct place){ .in = in, .value = value, .index = i };
		collect(p, value);
	}
}

/* Takes value; one that is NULL changes nothing. */
static void put(const struct place *at, json_t *value)
{
	if (at->key)
		json_object_set_new(at->in, at->key, value);
	else
		json_array_set_new(at->in, at->index, value);
}

static void take_away(const struct place *at)
{
	if (at->key)
		json_object_del(at->in, at->key);
	else
		json_array_remove(at->in, at->index);
}

static json_t *odd_value(unsigned *seed)
{
	static const json_int_t numbers[] = { 0,     1,     -1,      80,       255,       256,
					      65535, 65536, INT_MAX, UINT_MAX, INT64_MAX, INT64_MIN };

	switch (rand_r(seed) % 8) {
	case 0:
		return json_null();
	case 1:
		return json_boolean(rand_r(seed) % 2);
	case 2:
		return json_array();
	case 3:
		return json_object();
	case 4:
		return json_string("");
	case 5:
		return json_real(1.5);
	default:
		return json_integer(numbers[rand_r(seed) % ARRAY_SIZE(numbers)]);
	}
}

/* Text with some of its bytes changed; what is no UTF-8 then is NULL. */
static json_t *other_text(const char *text, size_t len)
{
	char bytes[TEXT_MAX];

	if (len > sizeof(bytes))
		return NULL;
	memcpy(bytes, text, len);
	return json_stringn(bytes, LLVMFuzzerMutate((uint8_t *)bytes, len, sizeof(bytes)));
}

static void rename_key(const struct place *at)
{
	json_t *name = at->key ? other_text(at->key, strlen(at->key)) : NULL, *value = json_incref(at->value);

	if (name && strlen(json_string_value(name)) == json_string_length(name)) {
		take_away(at);
		json_object_set(at->in, json_string_value(name), value);
	}
	json_decref(value);
	json_decref(name);
}

static void change_value(const struct place *at, unsigned *seed)
{
	if (json_is_string(at->value))
		put(at, other_text(json_string_value(at->value), json_string_length(at->value)));
	else if (json_is_integer(at->value))
		put(at, json_integer((json_int_t)((uint64_t)json_integer_value(at->value) + rand_r(seed) % 3 - 1)));
	else
		put(at, odd_value(seed));
}

static void change_one(json_t *root, unsigned *seed)
{
	struct places p = {};
	const struct place *at, *other;

	collect(&p, root);
	if (!p.n)
		return;
	at = &p.list[rand_r(seed) % p.n];
	other = &p.list[rand_r(seed) % p.n];
	switch (rand_r(seed) % 10) {
	case 0:
		take_away(at);
		break;
	case 1:
		put(at, odd_value(seed));
		break;
	case 2:
		put(at, json_deep_copy(other->value));
		break;
	case 3:
		rename_key(at);
		break;
	case 4:
		json_array_append_new(json_is_array(at->value) ? at->value : at->in, json_deep_copy(other->value));
		break;
	default:
		change_value(at, seed);
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	json_t *root = rand_r(&seed) % 8 ? json_loadb((const char *)data, size, 0, NULL) : NULL;
	size_t len = 0;

	if (root) {
		for (int times = 1 + rand_r(&seed) % 3; times--;)
			change_one(root, &seed);
		len = json_dumpb(root, (char *)data, max, JSON_COMPACT);
		json_decref(root);
	}
	return len && len <= max ? len : LLVMFuzzerMutate(data, size, max);
}
