/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The schema: a mapping is a table of its keys, and each key says what kind of value it takes, who reads the value and
 * into which field. What one value alone can have wrong is said here, with the line of that value; what several
 * together can have wrong is the model's business (config_validate).
 */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include <stddef.h>
#include <stdint.h>

#include "config/mistake.h"
#include "config/tree.h"
#include "model/model.h"

#define SCHEMA_KEYS_MAX 24
#define TEXT_MAX 1023 /* characters of names, paths and URLs */

struct reader {
	struct mistakes *mistakes;
	struct config *config; /* what is being filled */
	const struct node *root;
	const struct node **services; /* [config->n_services] where each was read, in the same order */
	const struct node **announces; /* likewise */
	bool allow_given;
};

struct key;
/* field: where the value goes; untouched when the value is wrong. Faults are in r->mistakes afterwards. */
typedef void (*read_fn)(struct reader *r, const struct key *k, const struct node *value, void *field);

struct key {
	const char *name;
	unsigned kinds; /* of value that it takes: bits of enum node_kind */
	read_fn read; /* NULL: a key that this version does not have; help says what to do */
	size_t offset; /* of the field in what the mapping fills */
	bool required;
	bool may_be_null; /* "key:" without a value reads as an empty mapping */
	uint64_t min, max; /* numbers and durations (milliseconds): both included; texts: length */
	const char *const *words; /* read_word: the number of the word goes to an int */
	size_t n_words;
	const struct schema *schema; /* read_map */
	const char *help; /* an example of a good value */
};

struct schema {
	const char *what; /* "a backend" */
	const struct key *keys;
	size_t n;
};

#define SCHEMA(of, list) \
	{ \
		.what = (of), .keys = (list), .n = ARRAY_SIZE(list) \
	}

void read_schema(struct reader *r, const struct schema *s, const struct node *map, void *target);
bool schema_has(const struct schema *s, const char *name); /* a key of that name */
void list_names(const char *const *names, size_t n, char *out, size_t size); /* "a, b and c" */

void read_map(struct reader *r, const struct key *k, const struct node *value, void *field);
void read_u16(struct reader *r, const struct key *k, const struct node *value, void *field);
void read_u32(struct reader *r, const struct key *k, const struct node *value, void *field);
void read_power(struct reader *r, const struct key *k, const struct node *value,
		void *field); /* to a uint32_t, rounded up to a power of two; max is one */
void read_u64(struct reader *r, const struct key *k, const struct node *value, void *field); /* also 0x... */
void read_bool(struct reader *r, const struct key *k, const struct node *value, void *field);
void read_word(struct reader *r, const struct key *k, const struct node *value, void *field); /* to an int or enum */
void read_bits(struct reader *r, const struct key *k, const struct node *value,
	       void *field); /* one word or several: their numbers are the bits of an unsigned */
void read_text(struct reader *r, const struct key *k, const struct node *value, void *field); /* to a char * */
void read_path(struct reader *r, const struct key *k, const struct node *value,
	       void *field); /* absolute, to a char * */
void read_cgroups(struct reader *r, const struct key *k, const struct node *value,
		  void *field); /* to a struct texts */
/* To a struct texts; remedy: how a sentence ends about an item that is not fine. */
void read_list(struct reader *r, const struct key *k, const struct node *value, struct texts *t,
	       bool (*is_fine)(const char *text), const char *remedy);
void read_namespaces(struct reader *r, const struct key *k, const struct node *value,
		     void *field); /* to a struct texts */
void read_duration(struct reader *r, const struct key *k, const struct node *value,
		   void *field); /* ms, to a uint32_t */

/* Is it, in a list of single values, one? If not, says so. */
bool item_is_fine(struct reader *r, const struct key *k, const struct node *item);

/* Number of the word among the key's words; -1 (said) when it is none of them. */
int word_number(struct reader *r, const struct key *k, const struct node *value);

/* Digits only, without sign; 0, -EINVAL or -ERANGE. */
int number_parse(const char *text, uint64_t *out);

/*
 * Room for one more element, zeroed, behind the n that an array has. NULL (noted in r->mistakes): out of memory.
 * The array grows whenever n is a power of two, so it needs no field for its capacity.
 */
void *array_add(struct reader *r, void *array_pointer, size_t n, size_t size);
/* A copy; NULL (noted) when out of memory. */
char *text_keep(struct reader *r, const char *text);

/* ---- the tables ---- */

extern const struct schema host_schema; /* of a whole file; fills a struct config */
void read_services(struct reader *r, const struct key *k, const struct node *value, void *field);
void read_sources(struct reader *r, const struct key *k, const struct node *value, void *field);
void read_announces(struct reader *r, const struct key *k, const struct node *value, void *field);
void read_discovers(struct reader *r, const struct key *k, const struct node *value,
		    void *field); /* one or a list, to a struct service; k is not looked at */
void read_address(struct reader *r, const struct key *k, const struct node *value, void *field); /* to a struct endpoint */
void read_health(struct reader *r, const struct key *k, const struct node *value, void *field); /* to a struct check */
/* A backend, a list of backends, or a mapping with "backends": into s. */
void read_backend_document(struct reader *r, const struct node *root, struct service *s);
void fit_services(struct reader *r); /* when the limits are known: what services leave out and depends on them */

#endif
