/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Service discovery, as the operator describes it: whom to ask (struct source), what for (struct discover), and what
 * to announce of this host (struct announce). Pure data; how each protocol is spoken is in user/discovery/.
 */
#ifndef MODEL_SOURCE_H
#define MODEL_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum source_kind { SOURCE_CONSUL, SOURCE_KUBERNETES, SOURCE_ETCD, SOURCE_DNS, SOURCE_FILES, N_SOURCE_KINDS };
extern const char *const source_kind_names[N_SOURCE_KINDS]; /* "consul", "kubernetes", "etcd", "dns", "files" */

/* They are few: each is compared with all others. */
#define SOURCES_MAX 256
#define DISCOVERS_MAX 256 /* of one service */
#define ANNOUNCES_MAX 1024

/* A list of texts. */
struct texts {
	char **list;
	size_t n;
};
int texts_add(struct texts *t, const char *text); /* a copy; -ENOMEM */
void texts_clear(struct texts *t);
bool texts_have(const struct texts *t, const char *text);
bool texts_equal(const struct texts *a, const struct texts *b); /* in the same order */

/* How a server is known, and how we are; files are read when a connection is made, so that they may be replaced. */
struct tls {
	char *ca; /* file of the authorities believed; NULL: the system's */
	char *cert, *key; /* files; NULL: none are shown */
};

/* A server, or several that say the same, that are asked. Texts are NULL where nothing is said. */
struct source {
	char *name; /* by which discover and register mean it; the first of a kind is meant where they name none */
	enum source_kind kind;
	struct texts servers; /* consul, kubernetes, etcd: URLs, tried in turn; dns: ADDRESS or ADDRESS:PORT; none: the default */
	struct tls tls; /* consul, kubernetes, etcd */
	char *token_file; /* consul, kubernetes: its first line is the token, read again when it changes */
	char *user, *password_file; /* etcd */
	char *datacenter; /* consul: asked, unless a query says another */
	char *kubeconfig, *context; /* kubernetes: NULL: the credentials of the pod that this runs in */
	char *class, *label; /* kubernetes: Services with this loadBalancerClass, or with this label (KEY=VALUE), are taken over */
	char *zone; /* kubernetes: of this host: endpoints meant for another by a hint are left out */
	uint32_t ttl_min_ms, ttl_max_ms; /* dns: answers are asked for again between these */
	uint32_t timeout_ms; /* of one question */
};
struct source source_default(enum source_kind kind); /* no texts */
bool source_takes_over(const struct source *s); /* does it offer services whole? */
void source_clear(struct source *s); /* frees what it holds */
int source_copy(const struct source *from, struct source *to); /* deep; -ENOMEM */
bool source_equal(const struct source *a, const struct source *b);

/* What is asked of a source for a service. */
struct discover {
	enum source_kind kind;
	char *source; /* the source's name; NULL: the first of its kind, or that kind at its default */
	char *name; /* consul, kubernetes: the service; etcd: the prefix; dns: the name; files: the directory */
	char *namespace; /* kubernetes */
	char *port_name; /* kubernetes: of the port, or its number; NULL: the only one */
	bool srv; /* dns: SRV records; else A and AAAA */
	uint16_t port; /* dns, A and AAAA: of each address; 0: none given */
	struct texts tags; /* consul: all of them */
	char *datacenter; /* consul */
	bool allow_none; /* 'none' is believed, and not only when nothing was known */
};
void discover_clear(struct discover *d);
int discover_copy(const struct discover *from, struct discover *to); /* deep; -ENOMEM */
bool discover_equal(const struct discover *a, const struct discover *b); /* the same question; allow_none is no part of it */
char *discover_key(const struct discover *d); /* a text that is equal where all of it is; free() it. NULL: out of memory */
#define DISCOVER_TEXT 512
/* As people read it: "consul web with tag v2", "dns _http._tcp.example.org SRV", "etcd /web/, none: allow". Returns text. */
char *discover_format(const struct discover *d, char text[DISCOVER_TEXT]);

#endif
