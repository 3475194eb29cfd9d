/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * QUIC connection IDs that say which server issued them, so that a connection stays with its backend when its client's
 * address changes. After draft-ietf-quic-load-balancers, with server IDs in plain sight:
 *
 *   bits of the first octet     octets
 *   codepoint 3 | any 5         server ID | nonce
 *
 * The service's configuration names the codepoint and the server ID's length. What does not match it (a client's own
 * choice in its first packets, other codepoints, unknown servers) is for the flow's hash to decide.
 *
 * Nothing is decrypted or remembered, and what is no QUIC at all is looked at in the same way: 1 packet in 8 then has
 * the codepoint, and as a rule none a server's ID.
 */
#ifndef SHUNT_QUIC_BPF_H
#define SHUNT_QUIC_BPF_H

#define QUIC_LONG 0x80 /* in the first byte of a packet: a long header */
#define QUIC_SHORT_ID 1 /* where the destination connection ID begins: short header */
#define QUIC_LONG_LENGTH 5 /* long header: its length, behind the version ... */
#define QUIC_LONG_ID 6 /* ... and itself */

/* The first octets of a connection ID, as they lie in memory. */
struct quic_id {
	__u8 first;
	__u8 server[SHUNT_SERVER_ID_MAX];
};

/*
 * Where the packet's destination connection ID begins, if it has the octets that are needed; else NULL. A QUIC packet
 * has more behind its ID than the longest server ID takes (20 bytes for its header's protection), so that all of struct
 * quic_id can be read, however short the IDs are.
 */
static __always_inline const struct quic_id *quic_id(const void *quic, const void *end, __u32 length, __u32 need)
{
	const __u8 *bytes = quic;

	if ((void *)bytes + QUIC_SHORT_ID + sizeof(struct quic_id) > end)
		return NULL;
	if (!(bytes[0] & QUIC_LONG))
		return length >= QUIC_SHORT_ID + need ? quic + QUIC_SHORT_ID : NULL;
	if ((void *)bytes + QUIC_LONG_ID + sizeof(struct quic_id) > end || length < QUIC_LONG_ID + need)
		return NULL;
	return bytes[QUIC_LONG_LENGTH] >= need ? quic + QUIC_LONG_ID : NULL;
}

/* The packet's UDP payload, and its length; NULL: it is no UDP. link: bytes before its IP header */
static __always_inline const void *udp_payload(struct xdp_md *ctx, __u32 link, __u32 *length)
{
	void *end = packet_end(ctx);
	struct packet p = { .link = link, .ip = packet_start(ctx) + link };
	__u32 before;

	if (p.ip + 1 > end)
		return NULL;
	p.v6 = *(__u8 *)p.ip >> 4 == 6;
	if (!parse_ip(&p, end, frame_rest(ctx, &p, end)) || p.proto != IPPROTO_UDP || !forget(p.ip, &p.transport))
		return NULL;
	before = p.header + sizeof(struct udphdr);
	*length = p.length - before;
	return p.length < before ? NULL : p.transport + sizeof(struct udphdr);
}

/*
 * The number of the member that issued the packet's destination connection ID, or SHUNT_NONE. flags: the service's.
 * A function of its own, and it looks for the ID anew, so that the way of all other packets has nothing to keep for it.
 */
__noinline __u32 quic_member(struct xdp_md *ctx, __u32 link, __u32 service, __u32 flags)
{
	__u32 bytes = shunt_service_quic_length(flags), length = 0, *number;
	struct shunt_quic_server key = { .service = service };
	const struct quic_id *id;
	const void *quic;
	__u64 server;

	if (link > sizeof(struct ethhdr) + 2 * TAG_LEN)
		return SHUNT_NONE;
	quic = udp_payload(ctx, link, &length);
	id = quic ? quic_id(quic, packet_end(ctx), length, 1 + bytes) : NULL;
	if (!id || id->first >> 5 != shunt_service_quic_config(flags))
		return SHUNT_NONE;
	server = *(const word64 *)id->server & bpf_cpu_to_be64(~0ull << (64 - 8 * bytes));
	__builtin_memcpy(key.id, &server, sizeof(key.id));
	number = bpf_map_lookup_elem(&quic_servers, &key);
	return number ? *number : SHUNT_NONE;
}

#endif
