/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the files of this room share. */
#ifndef DATAPATH_INTERNAL_H
#define DATAPATH_INTERNAL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "base/clean.h"
#include "base/log.h"
#include "datapath/datapath.h"
#include "datapath/sending.h"

/* An answer that could not be had for want of descriptors or memory says nothing about what was asked. */
static inline bool is_shortage(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS;
}

/* ---- maps ---- */

/* Every pinned map: its name in bpf/maps.bpf.h, and the limit that sizes it (NULL: as declared). */
#define DP_MAPS(X) \
	X(LISTENERS, listeners) \
	X(FILTER, filter) \
	X(SERVICES, services) \
	X(SLOTS, slots) \
	X(ALTERNATES, alternates) \
	X(MEMBERS, members) \
	X(BACKENDS, backends) \
	X(QUIC_SERVERS, quic_servers) \
	X(FLOWS, flows) \
	X(FLOW_COUNTERS, flow_counters) \
	X(MEMBER_COUNTERS, member_counters) \
	X(VERDICTS, verdicts) \
	X(DROPS, drops) \
	X(ICMP_BUCKETS, icmp_buckets) \
	X(HOP_BUCKETS, hop_buckets) \
	X(HOPS, hops) \
	X(STRANGERS, strangers) \
	X(TURNS, turns) \
	X(TURNS_TAKEN, turns_taken) \
	X(REFUSED, refused) \
	X(CONNECTIONS, connections) \
	X(PEERS, peers) \
	X(EXEMPT, exempt) \
	X(SENDERS, senders) \
	X(CLIENTS, clients) \
	X(QUESTION, question) \
	X(LOCAL_SOCKETS, local_sockets) \
	X(SERVICE_INFO, service_info) \
	X(META, meta)
enum dp_map {
#define X(id, name) MAP_##id,
	DP_MAPS(X)
#undef X
	N_MAPS
};
extern const char *const dp_map_names[N_MAPS];

/* The largest packet buffer of one page with XDP's room in it; beyond, the program must know fragments. */
#define MTU_WITHOUT_FRAGS 3400

#define PIN_PATH 256

/* ---- programs ---- */

/* The variants: the role of an interface chooses one. BOTH is the backend program that goes on to the edge program. */
enum variant { VARIANT_EDGE, VARIANT_BACKEND, VARIANT_BOTH, N_VARIANTS };

struct program {
	int fd; /* -1: not loaded */
	uint32_t id;
	struct shunt_settings settings; /* what it was loaded with */
	char pin[32]; /* name of its prog array, if it has one */
};

/* ---- what the kernel can ---- */

struct features {
	bool xdp_link, xdp_frags, test_run_metadata, percpu_batch, coarse_clock, second_chance;
	bool socket_errors; /* a tracepoint for errors of sockets */
	bool traced_cookie; /* programs on tracepoints, and iterators, can ask for a socket's cookie */
	bool set_retval; /* a program can say why it refuses a connect() */
	bool sk_lookup; /* a program can choose a packet's socket */
};

/* ---- interfaces ---- */

struct attachment {
	int link; /* -1: not attached */
	enum variant variant;
	enum xdp_mode wanted; /* as configured when it was attached by this process */
	bool adopted; /* attached by a process before this one */
	bool for_exits; /* `auto` is generic only because native XDP would lose what it sends (sending.h) */
	int refused; /* why native was refused; 0: not known */
};

/* Where native programs send: see exits.c. */
struct exit {
	uint32_t ifindex;
	struct sending to; /* of redirects, if it is in use */
	bool mute; /* a program of ours ran on it in native mode, and still it did not transmit */
	uint64_t used_ms; /* when it was last seen to be that of a next hop; 0: never, or it is gone */
	struct send_errors errors;
	uint64_t looked_ms; /* 0: not yet */
	uint64_t grew_ms; /* when errors were last seen to grow; 0: never */
};
#define EXITS_MAX 128

/* ---- sockets ---- */

/* Where programs run for local processes' calls: X(name, attach type). Programs are shunt_NAME, links are pinned as hook_NAME. */
#define DP_HOOKS(X) \
	X(connect4, BPF_CGROUP_INET4_CONNECT) \
	X(connect6, BPF_CGROUP_INET6_CONNECT) \
	X(sendmsg4, BPF_CGROUP_UDP4_SENDMSG) \
	X(sendmsg6, BPF_CGROUP_UDP6_SENDMSG) \
	X(recvmsg4, BPF_CGROUP_UDP4_RECVMSG) \
	X(recvmsg6, BPF_CGROUP_UDP6_RECVMSG) \
	X(getpeername4, BPF_CGROUP_INET4_GETPEERNAME) \
	X(getpeername6, BPF_CGROUP_INET6_GETPEERNAME) \
	X(sock_release, BPF_CGROUP_INET_SOCK_RELEASE)
enum { N_HOOKS = 9 };

struct sockets {
	bool loaded;
	struct shunt_settings settings; /* what the programs were loaded with */
	int cgroup; /* directory of the hierarchy's root; -1: not open */
	unsigned level; /* of it; 0: it is the hierarchy's own root */
	char path[PIN_PATH]; /* as configured */
	char where[PIN_PATH]; /* what that came to */
	char problem[256]; /* what to look after; "": fine */
	int programs[N_HOOKS];
	uint32_t ids[N_HOOKS];
	int links[N_HOOKS]; /* -1: not attached */
};

/* For which processes services are: see clients.c. */
struct clients {
	struct named *first;
	bool known; /* what the map held was read */
	bool refreshed; /* ... and what is named was looked up once */
	struct shunt_client *old; /* in the map, but not named yet */
	size_t n_old;
	struct event_base *base; /* NULL: nothing is followed */
	struct sever *sever; /* NULL: nobody ends connections, and namespaces have no numbers */
	struct cgroup_watch *watch;
};

/* What follows connections: see connection.c. */
struct tracking_links {
	bool open;
	unsigned look_again; /* so many times, since connections were to be ended */
	unsigned quiet; /* times that nobody looked */
	int list, ending; /* links of iterators; -1: not there */
};

/* Services with servers on this host: see local.c. */
struct local {
	bool off; /* nothing of it is left */
	bool loaded;
	struct shunt_settings settings; /* what the programs were loaded with */
	int program, link; /* of the lookup; -1: not there */
	uint32_t id;
	int tcp, udp; /* links of the walks; -1: not there */
	int events; /* link of the program that says when to walk */
	int wanted_map;
	struct ring_buffer *ring; /* NULL, and so are the events: nothing is followed */
	struct event *changed, *look;
	bool soon; /* a walk is due */
	bool known; /* what a daemon before this one found was read */
	struct wanted *wanted;
	size_t n_wanted;
	bool has_udp; /* ... some of them */
};

/* ---- listeners: a copy of the map, sorted by listen_compare ---- */

struct listener {
	struct listen at;
	uint32_t service;
};

struct datapath {
	char pins[PIN_PATH];
	int lock; /* the directory of the pins, flock()ed: one daemon for one set of pins */
	bool adopted;
	uint64_t secret; /* of the flow cache */
	int maps[N_MAPS];
	int notes; /* see notes.c */
	bool host_warned; /* that the host's settings could not be changed */
	struct limits limits;
	void *mapped[N_MAPS]; /* NULL: not mappable */
	size_t mapped_size[N_MAPS];

	struct features has;
	const char *lacks[10];

	struct program programs[N_VARIANTS];

	struct dp_interface *interfaces; /* these two: in step, n_interfaces each */
	struct attachment *attachments;
	size_t n_interfaces;
	struct exit exits[EXITS_MAX];

	struct sockets sockets;
	struct tracking_links connections;
	struct clients clients;
	struct local local;

	struct listener *listeners;
	size_t n_listeners, room_listeners;
	uint32_t *filter_users; /* addresses for each bit */
	uint32_t log2_homes; /* in `listeners` */
	bool places_were_freed; /* since the last grace period */

	int n_cpus; /* possible ones: values in a per-CPU lookup */
};

/* pins.c */
int pins_prepare(const char *pins); /* bpffs is mounted and the directory exists */
int pins_lock(const char *pins); /* a descriptor to hold, or -EBUSY: another shuntd has them */
bool pins_on_bpffs(const char *path); /* it exists and lies there */
bool pins_are_ours(const char *pins);
int pin_path(const char *pins, const char *name, char out[PIN_PATH]);
int pin_get(const char *pins, const char *name); /* a descriptor, or -errno */
int pin_remove(const char *pins, const char *name); /* fine if it is not there */
void link_pin_name(const char *ifname, char out[IFNAMSIZ + 8]);
void link_pin_ifname(const char *pin, char out[IFNAMSIZ]);
/* Calls fn for each name in the directory that begins with prefix; a non-zero return ends the walk and is returned. */
int pins_each(const char *pins, const char *prefix, int (*fn)(void *arg, const char *pins, const char *name),
	      void *arg);

/* load.c */
void load_quiet_libbpf(void); /* libbpf's log becomes debug messages */
int maps_open(struct datapath *dp); /* creates or adopts, with dp->limits */
void maps_close(struct datapath *dp);

/* program.c */
enum variant variant_of(unsigned roles);
unsigned variants_needed(const struct config *c); /* bits */
/*
 * Loads the needed variants whose settings differ from what is loaded into fresh[]; the others have fd -1 there.
 * On failure nothing is changed.
 */
int programs_load(struct datapath *dp, const struct config *c, bool any_port, struct program fresh[N_VARIANTS]);
/* Puts fresh into use; what it replaces, or what is not needed, comes back in it, to be closed when no link runs it. */
void programs_swap(struct datapath *dp, unsigned needed, struct program fresh[N_VARIANTS]);
void programs_close(struct program p[N_VARIANTS]);
void settings_fill(struct shunt_settings *s, const struct datapath *dp, const struct config *c, bool any_port);
struct skeleton;
int object_load(const struct datapath *dp, struct skeleton *skel); /* with the maps that there are; says what the verifier says */
bool programs_have_frags(const struct datapath *dp); /* they take frames of several buffers */
void programs_remove_old_pins(struct datapath *dp);

/* attach.c */
/* *all_moved: no link runs an old program any more. */
int interfaces_configure(struct datapath *dp, const struct config *c, bool *all_moved);
void interfaces_close(struct datapath *dp);
void links_remove(const char *pins); /* detaches every pinned link */

/* sockets.c */
void sockets_init(struct datapath *dp);
int sockets_configure(struct datapath *dp, const struct config *c, bool any_port);
void sockets_close(struct datapath *dp); /* they stay attached */

/* clients.c */
uint32_t clients_levels(const struct datapath *dp, const struct texts *paths); /* bits, as settings.cgroup_levels */
void clients_refresh(struct datapath *dp); /* what is named may have other numbers by now */
void clients_close(struct datapath *dp);

/* connection.c */
int connections_open(struct datapath *dp); /* fine if they are open */
void connections_close(struct datapath *dp);
void connections_look_again(struct datapath *dp); /* at every revisit */
void connections_remove(struct datapath *dp);
void connections_forget(struct datapath *dp); /* nobody will say when they are closed */

/* local.c */
void local_init(struct datapath *dp);
int local_configure(struct datapath *dp, const struct config *c, bool any_port);
void local_close(struct datapath *dp); /* it stays attached */

/* exits.c */
void exits_survey(struct datapath *dp); /* looks which interfaces next hops are on, and how these send */
/*
 * Puts into out what loses packets that this interface's program sends, would it run in native mode; how: SENDS, if
 * nothing does. An error: it cannot be known now.
 */
int exits_loss(struct datapath *dp, const struct dp_interface *i, struct sending *out);
const struct exit *exit_look(struct datapath *dp, uint32_t ifindex);
void exit_forget(struct datapath *dp, uint32_t ifindex); /* what was lost in a mode before */
/* Puts into text which exit of a native program on this interface has a driver that counts losses; false: none. */
bool exits_problem(struct datapath *dp, uint32_t ifindex, char *text, size_t size);

/* notes.c: what must be undone one day */
enum note_kind { NOTE_GRO, NOTE_ARP_IGNORE, NOTE_ARP_ANNOUNCE, N_NOTE_SETTINGS, NOTE_ADDRESS = N_NOTE_SETTINGS };
struct note {
	uint32_t kind;
	char name[IFNAMSIZ]; /* of the interface, filled up with zeroes; "" for an address */
	struct addr addr;
};
int notes_open(const char *pins, bool create); /* a descriptor, or -errno (-ENOENT: there are none) */
int note_write(int notes, const struct note *n, uint32_t value); /* one that is there keeps its value */
bool note_exists(int notes, const struct note *n);
void note_delete(int notes, const struct note *n);
/* fn may delete the note that it gets */
void notes_each(int notes, void (*fn)(void *arg, int notes, const struct note *n, uint32_t value), void *arg);

/* host.c: settings of interfaces */
void host_configure(struct datapath *dp, bool loopback);
void host_restore(int notes);

/* loopback.c */
void loopback_remove(int notes); /* every address that we put on lo */

/* Entries of `listeners`: behind the last home there is room for those who find it taken. */
static inline uint32_t places_of(uint32_t log2_homes) { return (1u << log2_homes) + SHUNT_LISTENER_PROBES; }
/* places.c: entries of `listeners`, by address and shunt_listener_key */
int place_get(const struct datapath *dp, const struct shunt_addr *a, uint32_t key, uint32_t *service); /* or -ENOENT */
int place_put(struct datapath *dp, const struct shunt_addr *a, uint32_t key, uint32_t service); /* or -ENOSPC */
void place_drop(struct datapath *dp, const struct shunt_addr *a, uint32_t key); /* fine if it is not there */
int places_each(struct datapath *dp, int (*fn)(struct datapath *dp, const struct shunt_addr *a, uint32_t key));

/* listeners.c */
int listeners_adopt(struct datapath *dp);
void listeners_close(struct datapath *dp);

/* lacks.c */
void features_probe(struct datapath *dp);

#endif
