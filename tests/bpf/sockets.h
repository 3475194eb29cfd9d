/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A world for tests of balancing at the socket: the real datapath and reconcile in this process, which is in a network
 * namespace and a cgroup of its own, so that nobody else's connections are balanced; and a process of servers.
 *
 * The servers answer at port 8000 of 127.0.0.1 to 127.0.0.SERVERS and fd00::1 to fd00::SERVERS6, over TCP and UDP, with the
 * address at which they were asked, as text. TCP connections they keep until the client closes.
 */
#ifndef TESTS_SOCKETS_H
#define TESTS_SOCKETS_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reconcile/reconcile.h"
#include "rooms.h"

#define SERVERS 48
#define SERVERS6 8
#define PORT 8000

struct world {
	struct rooms rooms;
	struct sever *sever;
	unsigned ended; /* connections, by the process that ends them */
};
extern struct world w;

int sockets_setup(void **state); /* group's */
int sockets_teardown(void **state);
void world_apply(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* the configuration's services, and more keys */
void world_restart(void); /* another daemon takes up what is there; apply comes after */
void world_run(unsigned ms); /* the loop */
/* Runs the loop until it is so, 5 s at most. */
bool world_until(bool (*is_so)(void *arg), void *arg);

/* Cgroups below the world's own: "" is that. */
void cgroup_make(const char *path);
void cgroup_remove(const char *path);
void cgroup_enter(const char *path);

/* ---- a service's accounts ---- */
struct tally {
	uint64_t open, made;
};
struct tally tally(const char *service, const char *backend); /* backend: "127.0.0.1:8000"; NULL: all of them */
uint64_t open_of(const char *service);
enum state state_of(const char *service, const char *backend);

/* ---- sockets ---- */
struct at {
	struct sockaddr_storage a;
	socklen_t len;
};
struct at at(const char *address, uint16_t port);
const char *text(const struct at *at); /* "address", without its port; static memory, four of them */
int socket_in(const char *netns, int family, int type); /* netns: NULL: the process's own */
int client(const char *address, int type); /* a socket of the address's family, with a timeout of 2 s */
int dial(int fd, const char *address, uint16_t port); /* 0 or -errno */
int dialled(const char *address, uint16_t port, int type); /* a socket that is connected; fails the test */
void reset(int fd); /* closes with RST, if it is TCP */
/* Who is at the other end, by its own word; "" when it says nothing. UDP is asked. */
const char *told(int fd);
const char *peer(int fd); /* getpeername, "" when there is none */
uint16_t peer_port(int fd);
int send_to(int fd, const char *address, uint16_t port); /* 0 or -errno */
const char *answer(int fd, struct at *from); /* waits for a datagram */

#endif
