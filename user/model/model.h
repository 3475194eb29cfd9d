/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the operator wants, as plain structures: they stand between the parser, the command line and the kernel.
 * Pure: no I/O, no clock, no libbpf.
 *
 * Lists are arrays with a count. In a normalised config (config_normalise) services are sorted by name, backends by
 * endpoint and listens by address, port and protocol, so that finding is a binary search and comparing is a walk.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "model/source.h"

enum algorithm { ALGORITHM_CONSISTENT, ALGORITHM_ROUND_ROBIN, ALGORITHM_RANDOM, ALGORITHM_LEAST_CONNECTIONS };
enum affinity { AFFINITY_FLOW, AFFINITY_CLIENT }; /* what stays together: a flow, or all flows of a client's address */
enum forward { FORWARD_IPIP, FORWARD_GUE, FORWARD_L2, FORWARD_NAT, FORWARD_LOCAL };
extern const char *const algorithm_names[4]; /* "consistent", "round-robin", "random", "least-connections" */
extern const char *const affinity_names[2]; /* "flow", "client" */
extern const char *const forward_names[5]; /* "ipip", "gue", "l2", "nat", "local" */

/* What the operator says of a backend. */
enum admin { ADMIN_ENABLED, ADMIN_DRAINING, ADMIN_DISABLED };
extern const char *const admin_names[3]; /* "enabled", "draining", "disabled" */
int admin_parse(const char *word); /* an enum admin; -1: it is none of them */

/* What a backend of a service is: one word everywhere (configuration, command line, JSON, metrics). */
enum state { STATE_UNKNOWN, STATE_HEALTHY, STATE_UNHEALTHY, STATE_EJECTED, STATE_DRAINING, STATE_DISABLED, N_STATES };
extern const char *const state_names[N_STATES]; /* "unknown", "healthy", "unhealthy", "ejected", "draining", "disabled" */

#define SERVICE_NAME_MAX 63
#define WEIGHT_MAX 65535 /* 0: gets no flows */
#define WEIGHT_DEFAULT 100

struct listen {
	struct addr addr;
	uint16_t port; /* host order; 0: every port */
	uint8_t proto; /* IPPROTO_TCP or IPPROTO_UDP */
};
#define LISTEN_TEXT 72
int listen_parse(const char *text, struct listen *out); /* "192.0.2.10:80/tcp", "[2001:db8::1]:*\/udp"; 0 or -EINVAL */
char *listen_format(const struct listen *l, char text[LISTEN_TEXT]); /* returns text */
int listen_compare(const struct listen *a, const struct listen *b);

enum check_kind { CHECK_NONE, CHECK_TCP, CHECK_HTTP };
struct check {
	enum check_kind kind;
	uint16_t port; /* 0: the backend's own */
	char *path; /* http; NULL otherwise */
	char *host; /* http: Host header; NULL: the endpoint checked */
	uint16_t status_min, status_max; /* http: expected status, both ends included */
	uint32_t interval_ms, timeout_ms;
	uint16_t fall, rise; /* checks in a row that change the verdict; the very first check decides alone */
};
bool check_equal(const struct check *a, const struct check *b);
struct check check_default(enum check_kind kind); /* what is not said in a file or a command; without texts */

/* What a server puts into the QUIC connection IDs that it issues, to be known by it (bpf/quic.bpf.h). */
#define SERVER_ID_MAX 8
struct server_id {
	uint8_t length; /* 0: none */
	uint8_t b[SERVER_ID_MAX]; /* zeroes behind its end */
};
#define SERVER_ID_TEXT (2 * SERVER_ID_MAX + 1)
int server_id_parse(const char *text, struct server_id *out); /* "0a0b"; 0 or -EINVAL */
char *server_id_format(const struct server_id *id, char text[SERVER_ID_TEXT]); /* returns text; "" for none */
int server_id_compare(const struct server_id *a, const struct server_id *b);

/* How connection IDs are read. */
struct quic {
	uint32_t config; /* codepoint of config rotation */
	uint32_t server_id; /* bytes of each backend's; 0: connection IDs are not looked at */
};
#define QUIC_CONFIG_MAX 6 /* 7: says that an ID cannot be routed */

struct backend {
	struct endpoint at;
	uint32_t weight;
	enum admin admin;
	struct server_id server_id;
	uint32_t from; /* 0: listed under the service; number of its discover, from 1, that found it; above that: found before */
	bool overridden; /* by the operator; then below_* is what the layers below say */
	uint32_t below_weight;
	enum admin below_admin;
};

/*
 * What the operator said of an endpoint of a service by a command: above what is listed and what is found, whether the
 * endpoint is there or not, until it is taken back.
 */
struct override {
	char *service;
	struct endpoint at;
	bool has_weight, has_admin;
	uint32_t weight;
	enum admin admin;
};

/* How flows are kept while slots change their owners (bpf/slot.h). */
struct tracking {
	uint32_t transition_ms; /* a slot is observed for so long after its owner changed */
	uint32_t drain_ms; /* a drained or removed backend keeps its flows for at most so long */
	uint32_t tcp_ms, udp_ms, closing_ms; /* a noted flow that was quiet for so long is over; closing: after FIN or RST */
	uint32_t flows; /* entries of the flow cache that the service may have, a power of two */
};
struct tracking tracking_default(void);

#define TRANSITION_MAX_MS (2 * 3600 * 1000) /* 0: a change moves flows at once */
#define DRAIN_MAX_MS (24 * 3600 * 1000) /* 0: no flows are kept */
#define FLOW_TIMEOUT_MIN_MS 1000 /* of tcp, udp and closing */
#define FLOW_TIMEOUT_MAX_MS (2 * 3600 * 1000)
#define FLOWS_MIN 512
#define FLOWS_MAX (1 << 22) /* of one service */
#define LIMIT_FLOWS_MAX (1 << 26) /* of all together */

/* Processes are named by their cgroups and network namespaces, at most so many of each in a list. */
#define TEXTS_MAX 256
#define CLIENT_PATH_MAX 1023 /* characters */
bool cgroup_path_is_fine(const char *path); /* below the root of cgroup v2: "/system.slice/web.service" */
#define CGROUP_LEVELS_MAX 31 /* below the root */
bool namespace_path_is_fine(const char *path); /* of a file: "/run/netns/blue" */

/* Where a service is balanced: packets that arrive, and connections of local processes. */
enum where { AT_EDGE = 1, AT_SOCKET = 2 }; /* bits */
extern const char *const where_names[2]; /* "edge", "socket": in the order of the bits */
extern const char *const no_backend_names[2]; /* "unreachable", "refused": of service.refuses */

struct service {
	char *name; /* letters, digits, '.', '_', '-'; starts with a letter or digit */
	struct listen *listens;
	size_t n_listens;
	enum algorithm algorithm;
	enum forward forward;
	enum affinity affinity;
	struct quic quic;
	struct check check;
	uint32_t slots; /* size of the table, a power of two; 0: sized to the backends */
	struct tracking tracking;
	unsigned at; /* bits of enum where; what this host does of it: service_is_at */
	struct { /* processes whose connections are balanced; both empty: all */
		struct texts cgroups; /* paths below the root of cgroup v2: with all that is below them */
		struct texts namespaces; /* files of network namespaces, such as /run/netns/blue */
	} clients;
	bool refuses; /* no usable backend: ECONNREFUSED for local connections; else EHOSTUNREACH */
	struct backend *backends;
	size_t n_backends;
	struct discover *discovers; /* who finds further backends; of an endpoint that several find the first speaks */
	size_t n_discovers;
	char *offered_by; /* name of the source from which the service itself comes; NULL: the operator lists it */
};
/* A service of which nothing is said yet: no name, no listens, no check, no backends, the rest at its default. */
struct service service_default(void);

enum role { ROLE_EDGE = 1, ROLE_BACKEND = 2 }; /* bits */
enum xdp_mode { XDP_MODE_AUTO, XDP_MODE_NATIVE, XDP_MODE_GENERIC };
struct interface {
	char name[IFNAMSIZ];
	unsigned roles;
	enum xdp_mode mode;
};

/* A server of this host that is announced where others discover it, for as long as its check passes. */
struct announce {
	enum source_kind kind; /* SOURCE_CONSUL or SOURCE_ETCD */
	char *source; /* as in struct discover */
	char *name; /* consul: the service; etcd: the prefix */
	char *id; /* consul: of this instance; etcd: what follows the prefix; NULL: made of name and address */
	struct endpoint at;
	uint32_t weight;
	struct texts tags; /* consul */
	struct check check; /* CHECK_NONE: it is believed to be there as long as the daemon is */
	uint32_t ttl_ms; /* without a word from us for so long the announcement is over */
};
void announce_clear(struct announce *a);
int announce_copy(const struct announce *from, struct announce *to); /* deep; -ENOMEM */
bool announce_equal(const struct announce *a, const struct announce *b);

/* Sizes of the maps, fixed while they are loaded. */
struct limits {
	uint32_t services, listeners, members, backends, slots;
	uint32_t flows; /* entries of the flow cache, of all services together */
	uint32_t connections; /* of local processes, that are noted at a time */
};

/* For a service that does not say how many flows it may have: no more than there are for all. */
void tracking_fit(struct tracking *t, const struct limits *l);

#define ALLOW_MAX 16
struct config {
	struct interface *interfaces;
	size_t n_interfaces;

	struct endpoint metrics; /* where /metrics listens; port 0: nowhere */
	char *control_socket;
	char *control_group; /* whose members may look; NULL: root only */
	char *pins;

	struct { /* how this host sends to backends */
		struct prefix source4, source6; /* outer source addresses are taken from here */
		uint32_t icmp_rate; /* ICMP errors a second, for each service on each CPU */
		uint64_t seed; /* of the flow hash; the same on all balancers of one address */
	} edge;
	struct { /* how this host takes what balancers send */
		struct prefix *allow; /* outer sources believed; default: edge.source4 and edge.source6 */
		size_t n_allow;
		bool loopback; /* put the services' addresses on lo */
		bool second_chance; /* what is not known here goes on to another backend (forward: gue) ... */
		uint32_t second_chance_rate; /* ... so many times a second, for each service on each CPU; 0: no limit */
	} backend;
	char *cgroup; /* where cgroup v2 is: local processes' connections are balanced; NULL: they are not */
	struct texts except; /* cgroups whose processes are left alone, as in service.clients.cgroups */
	struct limits limits;
	uint32_t checks_under_way; /* at most so many at once */
	char *state; /* directory for what outlives a restart: overrides, and what sources found last; NULL: by the name of pins */

	struct source *sources; /* in the order of the file */
	size_t n_sources;
	struct announce *announces;
	size_t n_announces;
	struct service *services;
	size_t n_services;
	struct override *overrides; /* sorted by service and endpoint */
	size_t n_overrides;
};

/* Everything at its default, no interfaces and no services. NULL: out of memory. */
struct config *config_new(void);
void config_free(struct config *c); /* NULL is fine */
static inline void config_freep(struct config **c) { config_free(*c); }
struct config *config_copy(const struct config *c); /* deep; NULL: out of memory */
void config_normalise(struct config *c); /* sorts */

struct service *config_service(const struct config *c, const char *name); /* NULL: none */
int config_service_add(struct config *c, struct service *s); /* takes s's contents (zeroes *s); keeps the order; -EEXIST, -ENOMEM */
int config_service_delete(struct config *c, const char *name); /* -ENOENT */
void service_clear(struct service *s); /* frees what it holds */
int service_copy(const struct service *from, struct service *to); /* deep; -ENOMEM */

/*
 * What this host does of a service: AT_EDGE, if some interface has that role (or connections are not balanced, either);
 * AT_SOCKET, if connections are balanced and the service has backends here. A local service is AT_EDGE alone.
 */
unsigned service_is_at(const struct config *c, const struct service *s);

/* The source that a discover or announce means: by name, or the first of its kind. NULL: none is listed. */
const struct source *config_source(const struct config *c, enum source_kind kind, const char *name);

#define STATE_TEXT 300
/*
 * The directory of state: what is configured, or /var/lib/ and what pins are called below /sys/fs/bpf, with - for /.
 * Returns text.
 */
char *config_state(const struct config *c, char text[STATE_TEXT]);

/* What the operator said of a service's endpoint; NULL: nothing. */
const struct override *config_override(const struct config *c, const char *service, const struct endpoint *at);
/* In the place of what was said (o is copied). One that says neither weight nor state takes that back. -ENOMEM */
int config_override_set(struct config *c, const struct override *o);
void config_overrides_clear(struct config *c);
bool config_overrides_equal(const struct config *a, const struct config *b);
int config_overrides_copy(const struct config *from, struct config *to); /* in the place of what was there; -ENOMEM */

struct backend *service_backend(const struct service *s, const struct endpoint *at); /* NULL: none */
int service_backend_add(struct service *s, const struct backend *b); /* -EEXIST, -ENOMEM */
int service_backend_delete(struct service *s, const struct endpoint *at); /* -ENOENT */

/*
 * Rules that join several fields, the same for a file and for the command line: an endpoint twice in a service, a
 * listen address twice in the config, a backend that is a listen address of its own service (or, through other
 * services, a circle), an ipip backend whose port is not the listen port, a forward that this version does not have,
 * what would have no effect on this host ...
 * Calls report once for each fault with the service (and backend, or NULL) or the announcement concerned; all are NULL
 * when it is the configuration as a whole. Returns the number of faults.
 */
typedef void (*config_fault_fn)(void *arg, const struct service *s, const struct backend *b, const struct announce *a,
				const char *sentence);
unsigned config_validate(const struct config *c, config_fault_fn report, void *arg);

#endif
