/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets for tests, built layer by layer into a buffer: call the layers from the outside in, then packet_finish(),
 * which fills in next headers, lengths and checksums. It shares no code with the programs under test.
 *
 * Addresses are text, ports and lengths host order. A field left 0 takes its usual value where one is named.
 */
#ifndef TESTS_PACKET_H
#define TESTS_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bpf/abi.h"

#define PACKET_MAX 12288
#define PACKET_LAYERS 24

enum layer_kind {
	LAYER_ETHER,
	LAYER_VLAN,
	LAYER_IP4,
	LAYER_IP6,
	LAYER_EXT,
	LAYER_TCP,
	LAYER_UDP,
	LAYER_ICMP4,
	LAYER_ICMP6,
	LAYER_PAYLOAD,
};

struct packet {
	size_t len;
	unsigned n_layers;
	struct {
		enum layer_kind kind;
		size_t at;
	} layers[PACKET_LAYERS];
	uint8_t b[PACKET_MAX];
};

/* MAC addresses of every packet that comes in. */
extern const uint8_t mac_ours[6], mac_peer[6];

void ether(struct packet *p); /* begins a frame: from mac_peer to mac_ours */
void ether_between(struct packet *p, const uint8_t dst[6], const uint8_t src[6]);
void bare(struct packet *p); /* begins a packet without a frame, to be quoted or put into another */
void vlan(struct packet *p, uint16_t tpid, uint16_t tci);

struct ip4 {
	const char *src, *dst;
	uint8_t tos;
	uint8_t ttl; /* 0: 64 */
	uint8_t proto; /* when a payload follows */
	uint16_t id;
	uint16_t frag; /* flags and offset, as the field has them */
	const uint8_t *options;
	size_t n_options; /* multiple of 4 */
};
#define IP4_DF 0x4000
#define IP4_MF 0x2000
void ip4(struct packet *p, struct ip4 h);

struct ip6 {
	const char *src, *dst;
	uint8_t tclass;
	uint8_t hops; /* 0: 64 */
	uint8_t next; /* when a payload follows */
	uint32_t flow; /* label */
};
void ip6(struct packet *p, struct ip6 h);

void ext_options(struct packet *p, uint8_t type, size_t len); /* hop-by-hop or destination; len a multiple of 8 */
void ext_routing(struct packet *p, size_t len); /* no segments left */
void ext_ah(struct packet *p);
void ext_fragment(struct packet *p, uint16_t offset8, bool more); /* offset in units of 8 bytes */

#define TCP_SYN 0x02
#define TCP_ACK 0x10
void tcp(struct packet *p, uint16_t sport, uint16_t dport, uint8_t flags);
void udp(struct packet *p, uint16_t sport, uint16_t dport);
void icmp4(struct packet *p, uint8_t type, uint8_t code, uint32_t rest);
void icmp6(struct packet *p, uint8_t type, uint8_t code, uint32_t rest);
void payload(struct packet *p, size_t len);
void bytes(struct packet *p, const void *data, size_t len);

void packet_finish(struct packet *p);
void packet_pad(struct packet *p, size_t len); /* zeroes that belong to no layer, as Ethernet pads short frames */

/* Where things are. */
size_t packet_l3(const struct packet *p); /* of the first IP header */
size_t packet_l3_len(const struct packet *p); /* what its length field says, from the IP header on */
bool packet_is4(const struct packet *p);
size_t packet_layer(const struct packet *p, enum layer_kind kind); /* offset of the first such layer */

/* One's complement sum of bytes in pairs, folded, on top of `sum`; a right checksum makes it 0xffff. */
uint16_t sum16(const uint8_t *b, size_t len, uint64_t sum);
void put16(uint8_t *b, uint16_t value);
void put32(uint8_t *b, uint32_t value);
uint16_t get16(const uint8_t *b);
uint32_t get32(const uint8_t *b);
void ip4_checksum(uint8_t *ip); /* fills it in */
uint16_t icmp6_sum(const uint8_t *ip, const uint8_t *icmp, size_t len); /* with the pseudo header; 0xffff is right */

struct shunt_addr addr_of(const char *text);

/* ---- packets of a flow ---- */

struct flow {
	const char *client, *service;
	uint16_t cport, sport;
	uint8_t proto;
};

/* What a packet of a flow may have besides. */
struct shape {
	uint16_t tpid[2], tci[2]; /* tags, outermost first; tpid 0: none */
	uint8_t tos, ttl;
	uint16_t frag; /* IPv4 */
	const uint8_t *options; /* IPv4 */
	size_t n_options;
	void (*ext)(struct packet *p); /* IPv6: adds extension headers */
	size_t payload;
	bool bare; /* from the IP header on */
};
void flow_packet(struct packet *p, const struct flow *flow, const struct shape *shape); /* shape NULL: a plain one */
/* As in abi.h; port: host order. */
uint64_t listener_hash(const struct shunt_addr *address, uint16_t port, uint8_t proto);
uint64_t flow_hash(uint64_t seed, const struct flow *flow);
struct flow flow_reversed(const struct flow *flow); /* as the service answers */

#endif
