/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ten thousand instances are ten megabytes of which little is wanted: they are read as they come (json_scan.h). */
#include "discovery/consul_answer.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clean.h"
#include "discovery/json_scan.h"

#define META_SERVER_ID "shunt-server-id"
#define SHOWN_MAX 60 /* bytes of a foreign text in a note */
#define KEY_MAX 24 /* bytes; longer keys, and texts below, are cut off, and then are none that we know */
#define STATUS_MAX 16
#define ADDRESS_MAX 64
#define TAG_MAX 512

enum health { HEALTH_PASSING, HEALTH_WARNING, HEALTH_CRITICAL };

/* Why an instance is not taken as it is. */
enum remark { CRITICAL, BAD_ADDRESS, BAD_PORT, BAD_ID, HEAVY, N_REMARKS };

/* One, then several. */
static const char *const remark_texts[N_REMARKS][2] = {
	[CRITICAL] = { "is critical", "are critical" },
	[BAD_ADDRESS] = { "has no IP address that could be used and is left out", "have no IP address that could be used and are left out" },
	[BAD_PORT] = { "has a port above 65535 and is left out", "have a port above 65535 and are left out" },
	[BAD_ID] = { "has a " META_SERVER_ID " that is none", "have a " META_SERVER_ID " that is none" },
	[HEAVY] = { "has a weight above 655 and gets that", "have a weight above 655 and get that" },
};

/* What is wanted of an instance, as it stands there. */
struct instance {
	enum health health;
	bool has_service, has_port;
	char node[ADDRESS_MAX], address[ADDRESS_MAX], server_id[ADDRESS_MAX]; /* "": not said */
	int64_t port, passing, warning;
};

struct reading {
	struct scan s;
	const struct discover *what;
	bool *tags; /* for each that is wanted: the instance has it */
	const char *problem; /* NULL: all is well */
	struct backend *list;
	size_t n, room;
	size_t instances; /* that have the tags */
	size_t others; /* that have not */
	size_t remarks[N_REMARKS]; /* how many instances */
	char examples[N_REMARKS][SHOWN_MAX]; /* what the first one has that is wrong */
};

static void readingp_clear(struct reading *r)
{
	free(r->list);
	free(r->tags);
}

/* ---- notes ---- */

/* Foreign text, made fit for a line. */
static void show(char *to, size_t size, const char *text)
{
	size_t i;

	for (i = 0; i + 1 < size && text[i]; i++)
		to[i] = isprint((unsigned char)text[i]) ? text[i] : '?';
	to[i] = '\0';
}

static void remark(struct reading *r, enum remark which, const char *example)
{
	if (!r->remarks[which]++)
		show(r->examples[which], sizeof(r->examples[which]), example);
}

static void note_add(char note[CONSUL_NOTE], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note_add(char note[CONSUL_NOTE], const char *fmt, ...)
{
	size_t len = strlen(note);
	va_list args;

	if (len)
		len += snprintf(note + len, CONSUL_NOTE - len, "; ");
	if (len >= CONSUL_NOTE)
		return;
	va_start(args, fmt);
	vsnprintf(note + len, CONSUL_NOTE - len, fmt, args);
	va_end(args);
}

/* Who may not read a service is told the same as if there were none. */
static void note_none(const struct reading *r, char note[CONSUL_NOTE])
{
	if (r->others)
		note_add(note, "none of %zu instances has %s", r->others, r->what->tags.n > 1 ? "all the tags" : "the tag");
	else
		note_add(note, "there is no such service, or we may not read it");
}

static bool is_wrong(const struct reading *r)
{
	for (int i = 0; i < N_REMARKS; i++)
		if (i != CRITICAL && r->remarks[i])
			return true;
	return false;
}

static void write_note(const struct reading *r, char note[CONSUL_NOTE])
{
	for (int i = 0; i < N_REMARKS; i++) {
		size_t n = r->remarks[i];
		const char *example = r->examples[i];

		if (n)
			note_add(note, "%zu of %zu instance%s %s%s%s%s", n, r->instances, r->instances == 1 ? "" : "s",
				 remark_texts[i][n > 1], *example ? " (\"" : "", example, *example ? "\")" : "");
	}
	if (!r->instances)
		note_none(r, note);
}

/* ---- parts of an instance, as they come ---- */

/* A string, or null for "". */
static void read_text(struct reading *r, char *out, size_t size, const char *problem)
{
	out[0] = '\0';
	if (scan_peek(&r->s) == '"') {
		scan_text(&r->s, out, size);
		return;
	}
	if (scan_peek(&r->s) != 'n')
		r->problem = problem;
	scan_skip(&r->s);
}

static void read_integer(struct reading *r, int64_t *out, const char *problem)
{
	char first = scan_peek(&r->s);

	if (first != '-' && (first < '0' || first > '9')) {
		r->problem = problem;
		scan_skip(&r->s);
	} else if (!scan_integer(&r->s, out)) {
		r->problem = problem;
	}
}

/* Enters what is an object or a list; null is an empty one. */
static bool open_or_null(struct reading *r, char bracket, const char *problem)
{
	char first = scan_peek(&r->s);

	if (first == bracket)
		return scan_open(&r->s, bracket);
	if (first != 'n')
		r->problem = problem;
	scan_skip(&r->s);
	return false;
}

static bool more_members(struct reading *r)
{
	return scan_more(&r->s, '}');
}

static void read_node(struct reading *r, struct instance *i)
{
	char key[KEY_MAX];

	for (bool more = open_or_null(r, '{', "a node is no object"); more; more = more_members(r)) {
		scan_key(&r->s, key, sizeof(key));
		if (!strcmp(key, "Address"))
			read_text(r, i->node, sizeof(i->node), "the address of a node is no text");
		else
			scan_skip(&r->s);
	}
}

/* Marks those that are wanted. */
static void read_tags(struct reading *r)
{
	char tag[TAG_MAX];

	for (bool more = open_or_null(r, '[', "the tags of an instance are no list"); more; more = scan_more(&r->s, ']')) {
		read_text(r, tag, sizeof(tag), "a tag is no text");
		for (size_t k = 0; k < r->what->tags.n; k++)
			r->tags[k] |= !strcasecmp(tag, r->what->tags.list[k]);
	}
}

static void read_meta(struct reading *r, struct instance *i)
{
	char key[KEY_MAX];

	for (bool more = open_or_null(r, '{', "a Meta is no object"); more; more = more_members(r)) {
		scan_key(&r->s, key, sizeof(key));
		if (!strcmp(key, META_SERVER_ID))
			read_text(r, i->server_id, sizeof(i->server_id), "a " META_SERVER_ID " is no text");
		else
			scan_skip(&r->s);
	}
}

static void read_weights(struct reading *r, struct instance *i)
{
	char key[KEY_MAX];

	for (bool more = open_or_null(r, '{', "the weights of an instance are no object"); more; more = more_members(r)) {
		scan_key(&r->s, key, sizeof(key));
		if (!strcmp(key, "Passing"))
			read_integer(r, &i->passing, "a weight is no whole number");
		else if (!strcmp(key, "Warning"))
			read_integer(r, &i->warning, "a weight is no whole number");
		else
			scan_skip(&r->s);
	}
}

static void read_service(struct reading *r, struct instance *i)
{
	char key[KEY_MAX];

	i->has_service = scan_peek(&r->s) == '{';
	for (bool more = open_or_null(r, '{', "an instance has no service"); more; more = more_members(r)) {
		scan_key(&r->s, key, sizeof(key));
		if (!strcmp(key, "Address")) {
			read_text(r, i->address, sizeof(i->address), "the address of an instance is no text");
		} else if (!strcmp(key, "Port")) {
			i->has_port = true;
			read_integer(r, &i->port, "the port of an instance is no whole number");
		} else if (!strcmp(key, "Tags")) {
			read_tags(r);
		} else if (!strcmp(key, "Meta")) {
			read_meta(r, i);
		} else if (!strcmp(key, "Weights")) {
			read_weights(r, i);
		} else {
			scan_skip(&r->s);
		}
	}
}

/* What is no such word counts as the worst: we do not know what it allows. */
static enum health health_of_word(const char *status)
{
	if (!strcmp(status, "passing"))
		return HEALTH_PASSING;
	return !strcmp(status, "warning") ? HEALTH_WARNING : HEALTH_CRITICAL;
}

static void read_check(struct reading *r, struct instance *i)
{
	char key[KEY_MAX], status[STATUS_MAX] = "";

	for (bool more = open_or_null(r, '{', "a check is no object"); more; more = more_members(r)) {
		scan_key(&r->s, key, sizeof(key));
		if (!strcmp(key, "Status"))
			read_text(r, status, sizeof(status), "the status of a check is no text");
		else
			scan_skip(&r->s);
	}
	if (!*status)
		r->problem = "a check has no status";
	if (health_of_word(status) > i->health)
		i->health = health_of_word(status);
}

static void read_checks(struct reading *r, struct instance *i)
{
	for (bool more = open_or_null(r, '[', "an instance has no list of checks"); more; more = scan_more(&r->s, ']'))
		read_check(r, i);
}

/* ---- what it means ---- */

static bool has_all_tags(const struct reading *r)
{
	for (size_t k = 0; k < r->what->tags.n; k++)
		if (!r->tags[k])
			return false;
	return true;
}

/* Consul itself lets no weight below 0 in. */
static uint32_t weight_of(struct reading *r, const struct instance *i)
{
	int64_t weight = i->health == HEALTH_WARNING ? i->warning : i->passing;

	if (weight <= WEIGHT_MAX / CONSUL_WEIGHT)
		return weight > 0 ? weight * CONSUL_WEIGHT : 0;
	remark(r, HEAVY, "");
	return WEIGHT_MAX;
}

/* The service's own address, or its node's. false: it is of no use. */
static bool address_of(struct reading *r, const struct instance *i, struct addr *out)
{
	const char *text = *i->address ? i->address : i->node;

	if (!addr_parse(text, out) && !addr_is_unspecified(out) && !addr_is_multicast(out) && !addr_is_broadcast(out))
		return true;
	remark(r, BAD_ADDRESS, text);
	return false;
}

static bool port_of(struct reading *r, const struct instance *i, uint16_t *out)
{
	char text[24];

	if (i->port >= 0 && i->port <= UINT16_MAX) {
		*out = i->port;
		return true;
	}
	snprintf(text, sizeof(text), "%" PRId64, i->port);
	remark(r, BAD_PORT, text);
	return false;
}

static void server_id_of(struct reading *r, const struct instance *i, struct server_id *out)
{
	if (!*i->server_id || !server_id_parse(i->server_id, out))
		return;
	remark(r, BAD_ID, i->server_id);
	*out = (struct server_id){};
}

/* ---- instances ---- */

static int keep(struct reading *r, const struct backend *b)
{
	if (r->n == r->room) {
		size_t room = r->room ? 2 * r->room : 16;
		struct backend *grown = reallocarray(r->list, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		r->list = grown;
		r->room = room;
	}
	r->list[r->n++] = *b;
	return 0;
}

/* Takes what may be used, counts what may not. */
static int judge(struct reading *r, const struct instance *i)
{
	struct backend b = {};

	if (!has_all_tags(r)) {
		r->others++;
		return 0;
	}
	r->instances++;
	if (i->health == HEALTH_CRITICAL) {
		remark(r, CRITICAL, "");
		return 0;
	}
	if (!address_of(r, i, &b.at.addr) || !port_of(r, i, &b.at.port))
		return 0;
	server_id_of(r, i, &b.server_id);
	b.weight = weight_of(r, i);
	return keep(r, &b);
}

static int read_instance(struct reading *r)
{
	struct instance i = { .passing = 1, .warning = 1 };
	char key[KEY_MAX];

	for (size_t k = 0; k < r->what->tags.n; k++)
		r->tags[k] = false;
	for (bool more = open_or_null(r, '{', "an instance is no object"); more; more = more_members(r)) {
		scan_key(&r->s, key, sizeof(key));
		if (!strcmp(key, "Node"))
			read_node(r, &i);
		else if (!strcmp(key, "Service"))
			read_service(r, &i);
		else if (!strcmp(key, "Checks"))
			read_checks(r, &i);
		else
			scan_skip(&r->s);
	}
	if (!r->problem && !i.has_service)
		r->problem = "an instance has no service";
	if (!r->problem && !i.has_port)
		r->problem = "an instance has no port";
	return r->problem || r->s.bad ? 0 : judge(r, &i);
}

static int read_list(struct reading *r)
{
	int err = 0;

	if (scan_peek(&r->s) != '[') {
		r->problem = "this is no list of instances";
		return 0;
	}
	for (bool more = scan_open(&r->s, '['); more && !err; more = scan_more(&r->s, ']'))
		err = read_instance(r);
	if (err)
		return err;
	scan_end(&r->s);
	if (r->s.bad)
		r->problem = "this is not JSON, or not all of it";
	return 0;
}

int consul_answer(const char *body, size_t len, const struct discover *what, struct backend **out, size_t *n,
		  char note[CONSUL_NOTE], bool *wrong)
{
	_cleanup_(readingp_clear) struct reading r = { .s = { .at = body, .end = body + len }, .what = what };
	int err;

	note[0] = '\0';
	r.tags = calloc(what->tags.n + 1, sizeof(*r.tags));
	err = r.tags ? read_list(&r) : -ENOMEM;
	if (!err && r.problem) {
		note_add(note, "%s", r.problem);
		err = -EINVAL;
	}
	if (err)
		return err;
	write_note(&r, note);
	*wrong = is_wrong(&r);
	*out = TAKE_PTR(r.list);
	*n = r.n;
	return 0;
}
