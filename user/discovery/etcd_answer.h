/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What etcd answers through its JSON gateway, taken apart. Pure. Keys and values are base64 there, 64-bit integers are
 * strings, and what is zero is left out.
 */
#ifndef DISCOVERY_ETCD_ANSWER_H
#define DISCOVERY_ETCD_ANSWER_H

#include "model/model.h"

/* Which cluster it was that answered, and how far it was. */
struct etcd_head {
	uint64_t cluster, term;
	int64_t revision; /* of all its keys together; 0: not said */
};

struct etcd_pair {
	uint8_t *key, *value; /* with a zero behind each, which does not count */
	size_t key_len, value_len;
	int64_t revision; /* at which it came to be so */
	bool deleted;
};

struct etcd_range {
	struct etcd_head head;
	struct etcd_pair *pairs;
	size_t n;
	bool more; /* than were asked for */
};
void etcd_range_clear(struct etcd_range *r);

/* A line of a watch. */
struct etcd_line {
	struct etcd_head head;
	bool created; /* the first one */
	bool canceled; /* nothing follows, though the stream may stay open ... */
	int64_t compacted; /* ... because what was asked for is no longer kept: only what is after this is */
	char *reason; /* canceled, or the stream broke: why, in etcd's words; NULL: not said */
	struct etcd_pair *pairs; /* what changed, in the order in which it did */
	size_t n;
};
void etcd_line_clear(struct etcd_line *l);

#define ETCD_WHY 256
/* -EINVAL: it is none (why says what is wrong with it), -ENOMEM; *out is untouched then, else to be cleared. */
int etcd_range_parse(const char *body, size_t len, struct etcd_range *out, char why[ETCD_WHY]);
int etcd_line_parse(const char *line, size_t len, struct etcd_line *out, char why[ETCD_WHY]);

/* A text or number of the answer itself, such as "token" or "ID". NULL, false: it has none. The text is to be freed. */
char *etcd_text(const char *body, size_t len, const char *name);
bool etcd_number(const char *body, size_t len, const char *name, int64_t *out);

/* Does a lease that was renewed have time to live? One that is over has none left in the answer. */
bool etcd_lease_lives(const char *body, size_t len);

/* The one backend that a value stands for. -EINVAL: why says what is wrong with it and what would be right, -ENOMEM. */
int etcd_value_parse(const uint8_t *value, size_t len, struct backend *out, char why[ETCD_WHY]);

/* Has it become another cluster since, or gone back to an earlier time (was restored from a backup)? */
bool etcd_head_went_back(const struct etcd_head *was, const struct etcd_head *now);

#endif
