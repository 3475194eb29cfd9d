/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * discovery.*: from what a source says to the kernel. shuntd runs as a child of the bench, in its near namespace
 * (world.h), as a balancer of packets; what it leaves in the kernel is read from its pinned arrays.
 */
#ifndef BENCH_DISCOVERY_H
#define BENCH_DISCOVERY_H

#include "place.h"

#include "../bpf/abi.h"
#include "base/addr.h"

/* ---- discovery_daemon.c: the daemon, and what it has done ---- */

#define DISCOVERY_STATE PLACE_RUN "/state"

struct subject {
	pid_t pid;
	uint32_t services, backends, members, slots; /* how many each array has */
	const struct shunt_service *service; /* the mapped arrays */
	const struct shunt_member *member;
	const struct shunt_backend *backend;
	const __u64 *slot;
};

/* config: what a file has besides interfaces, sockets and pins. 0 or -errno (said). */
int subject_start(struct subject *s, const char *config);
void subject_end(struct subject *s); /* and unloads */
void subject_clear(void); /* what is left of one whose bench was killed */

/* Do slots of a service lead to this address, and is the way to it known? */
bool subject_leads_to(const struct subject *s, const struct addr *address);
/* To how many backends of services slots lead, the way to each being known. */
uint32_t subject_reaches(const struct subject *s);
/* MiB: what is resident (VmRSS), the part of it that is not shared with the kernel (RssAnon), and the most (VmHWM). */
int subject_memory(const struct subject *s, double *resident, double *own, double *peak);

/* ---- discovery_tap.c: stands between the daemon and a server and sees when an answer comes ---- */

int tap_open(uint16_t to); /* passes on to 127.0.0.1:to. 0 or -errno (said) */
void tap_close(void); /* fine if it is not open */
uint16_t tap_port(void); /* of 127.0.0.1 */
void tap_pump(uint32_t us); /* waits for bytes so long at most, and passes them on */
void tap_mark(void); /* from now on an answer is looked for */
double tap_answered(void); /* when the last byte of the first answer since tap_mark was sent; 0: there was none */

/* ---- discovery_sources.c: sources, and how what they say is changed ---- */

/* What the endpoints are: the first one's address and those after it, port 80. */
#define DISCOVERY_FIRST "10.1.0.1"

struct finding {
	const char *name;
	const char *skipped; /* why it cannot be had; NULL: it can */
	char sources[256], discover[256]; /* for a configuration: lines of its own; a value */
	/* Starts what is needed and says n endpoints. 0 or -errno (said), or 0 and `skipped` */
	int (*begin)(struct finding *f, uint32_t n);
	/* One more endpoint, or no more. *us: since when the answer can be with the daemon; 0: ask `answered` */
	int (*change)(const char *address, bool there, double *us);
	double (*answered)(void); /* NULL: never asked */
	void (*pump)(uint32_t us); /* what has to go on while one waits, for so long */
	void (*end)(void);
};
extern struct finding finding_files, finding_consul, finding_etcd;

int finding_write(const char *path, const char *text); /* a file, by renaming it into place */
char *finding_document(const char *first, uint32_t n); /* JSON for a file of backends; free() it */
#define FINDING_DIRECTORY PLACE_RUN "/web.d"

/* ---- discovery_fake.c: a server that speaks Consul's protocol and has one large answer ---- */

int fake_open(uint32_t n); /* endpoints. 0 or -errno (said) */
void fake_close(void);
uint16_t fake_port(void);
void fake_pump(uint32_t us);
double fake_answered(void); /* when the first byte of the answer was sent; 0: not yet */

#endif
