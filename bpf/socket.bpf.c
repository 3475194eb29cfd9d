// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The socket programs: connect() and sendto() of local processes to a service's address go to one of its backends.
 *
 * asked -> service -> who -> pick -> given: the address in the call is replaced by a backend's, and no packet is
 * touched after. getpeername() and recvfrom() show the process what it asked for, as long as that is so. A service
 * without a usable backend is refused at once.
 *
 * They look at no packet, and at no connection after it is made (connection.bpf.c does). What is no service's is left
 * as it is.
 */
#include "vmlinux.h"
#include "abi.h"
#include "base.bpf.h"
#include "kernel.bpf.h"
#include "maps.bpf.h"
#include "service.bpf.h"
#include "member.bpf.h"
#include "count.bpf.h"
#include "asked.bpf.h"
#include "who.bpf.h"
#include "peer.bpf.h"
#include "pick.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

#define LEAVE 1 /* the call goes on, with whatever address stands in it now */
#define REJECT 0

#define EHOSTUNREACH 113
#define ECONNREFUSED 111
#define ECANCELED 125

static __always_inline int reject(int error)
{
	if (feature(SHUNT_FEATURE_RETVAL))
		bpf_set_retval(-error);
	return REJECT; /* without the helper the process sees EPERM */
}

/* ---- a question: shunt explain --connect ---- */

/* The question that the socket with this cookie asks, or NULL. */
static __always_inline struct shunt_question *question_of(__u64 cookie)
{
	__u32 zero = 0;
	struct shunt_question *q = bpf_map_lookup_elem(&question, &zero);

	return q && READ_ONCE(q->cookie) == cookie ? q : NULL;
}

static __always_inline int answer(struct shunt_question *q, const struct asked *a, const struct shunt_trace *t,
				  __u32 verdict, const struct shunt_backend *b)
{
	q->trace = *t;
	q->trace.verdict = verdict;
	q->trace.reason = verdict == SHUNT_VERDICT_SOCKET_REFUSED ? SHUNT_REASON_NO_BACKEND : SHUNT_REASON_NONE;
	if (b) {
		q->given = b->address;
		q->given_port = port_of(b, a);
	}
	q->trace.magic = SHUNT_TRACE_MAGIC; /* it is complete */
	return reject(ECANCELED);
}

/* ---- which backend ---- */

/* The service that the call asks for, or NO_SERVICE. */
static __always_inline __u32 service_of(const struct asked *a)
{
	__u64 hash = shunt_addr_hash(&a->addr);
	__u32 key = shunt_listener_key(a->port, a->proto), every = shunt_listener_key(0, a->proto), service;

	if (likely(!filter_has(hash)) || (a->proto != IPPROTO_TCP && a->proto != IPPROTO_UDP))
		return NO_SERVICE;
	service = find_listener(&a->addr, key, shunt_listener_hash(hash, key));
	if (service != NO_SERVICE || !feature(SHUNT_FEATURE_ANY_PORT))
		return service;
	return find_listener(&a->addr, every, shunt_listener_hash(hash, every));
}

/* The service's entry, if connections to it are balanced here; else NULL. */
static __always_inline struct shunt_service *socket_service(__u32 service)
{
	struct shunt_service *s;

	if (likely(service == NO_SERVICE))
		return NULL;
	s = bpf_map_lookup_elem(&services, &service);
	return s && READ_ONCE(s->flags) & SHUNT_SERVICE_SOCKET ? s : NULL;
}

/* The verdict; with SOCKET_GIVEN *b is the backend, and t names its member. */
static __always_inline __u32 balance(struct bpf_sock_addr *ctx, const struct asked *a, const struct shunt_service *s,
				     bool peek, struct shunt_trace *t, struct shunt_backend **b)
{
	__u32 flags = READ_ONCE(s->flags);

	if (bpf_sk_storage_get(&exempt, ctx->sk, NULL, 0) || !is_client(ctx, t->service, flags))
		return SHUNT_VERDICT_SOCKET_EXEMPT;
	*b = pick(ctx, s, flags, taken_by(ctx, a), peek, t);
	return *b ? SHUNT_VERDICT_SOCKET_GIVEN : SHUNT_VERDICT_SOCKET_REFUSED;
}

static __always_inline int refuse(__u32 service)
{
	struct shunt_service *s = bpf_map_lookup_elem(&services, &service);
	__u64 *n = bpf_map_lookup_elem(&refused, &service);

	if (n)
		__sync_fetch_and_add(n, 1);
	count_verdict(SHUNT_VERDICT_SOCKET_REFUSED);
	return reject(s && READ_ONCE(s->flags) & SHUNT_SERVICE_REFUSE ? ECONNREFUSED : EHOSTUNREACH);
}

/* ---- connect ---- */

/* Whatever the socket was given before, it is shown no more. */
static __always_inline void forget_peer(__u64 cookie)
{
	struct shunt_peer *p = bpf_map_lookup_elem(&peers, &cookie);

	if (unlikely(p))
		peer_forget(cookie, p);
}

static __always_inline int leave(__u32 verdict)
{
	count_verdict(verdict);
	return LEAVE;
}

/*
 * Notes what the socket is connected to; nearly always it was to nothing before, so that this is tried first. The table may
 * be full: then the connection works, but is not counted, shown as it is, and not ended with its backend.
 */
static __always_inline void note(struct bpf_sock_addr *ctx, __u64 cookie, const struct asked *a,
				 const struct shunt_backend *b, __u32 member)
{
	struct shunt_peer fresh = { .sk = (__u64)ctx->sk }, *before;

	peer_write(&fresh, a, b, member);
	peer_count(&fresh);
	if (likely(!bpf_map_update_elem(&peers, &cookie, &fresh, BPF_NOEXIST)))
		return;
	before = bpf_map_lookup_elem(&peers, &cookie);
	if (before) {
		peer_uncount(before);
		*before = fresh;
		return;
	}
	peer_uncount(&fresh);
	count_verdict(SHUNT_VERDICT_SOCKET_UNNOTED);
}

/* *given: the backend, if the address in the call is to be replaced */
static __always_inline int connect(struct bpf_sock_addr *ctx, const struct asked *a, struct shunt_backend **given)
{
	struct shunt_trace t = TRACE_START;
	__u32 service = service_of(a), verdict = SHUNT_VERDICT_SOCKET_PASSED;
	struct shunt_service *s = socket_service(service);
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct shunt_question *q = question_of(cookie);
	struct shunt_backend *b = NULL;

	if (unlikely(s)) {
		t.service = service;
		verdict = balance(ctx, a, s, q, &t, &b);
	}
	if (unlikely(q))
		return answer(q, a, &t, verdict, b);
	if (!b) {
		forget_peer(cookie);
		return verdict == SHUNT_VERDICT_SOCKET_REFUSED ? refuse(service) : leave(verdict);
	}
	note(ctx, cookie, a, b, t.member);
	*given = b;
	return leave(verdict);
}

SEC("cgroup/connect4")
int shunt_connect4(struct bpf_sock_addr *ctx)
{
	const struct asked a = asked4(ctx);
	struct shunt_backend *b = NULL;
	int action = connect(ctx, &a, &b);

	if (b)
		answer4(ctx, &b->address, port_of(b, &a));
	return action;
}

SEC("cgroup/connect6")
int shunt_connect6(struct bpf_sock_addr *ctx)
{
	const struct asked a = asked6(ctx, TAKES_IP4 | TAKES_IP6);
	struct shunt_backend *b = NULL;
	int action = connect(ctx, &a, &b);

	if (b)
		answer6(ctx, &b->address, port_of(b, &a));
	return action;
}

/* ---- sending without a connection ---- */

/* The place of what was asked: where it was before, or the one that was not used for longest. */
static __always_inline __u32 sender_place(const struct shunt_senders *s, const struct asked *a)
{
	__u32 oldest = 0;

	for (__u32 i = 0; i < SHUNT_SENDERS; i++) {
		if (peer_asked(&s->peer[i], a))
			return i;
		if (s->clock - s->used[i] > s->clock - s->used[oldest])
			oldest = i;
	}
	return oldest;
}

/* Sending again to what was asked for before, whose backend lives: it stays there. */
static __always_inline struct shunt_peer *sent_before(struct shunt_senders *s, const struct asked *a)
{
	__u32 place = sender_place(s, a) & (SHUNT_SENDERS - 1);

	if (!peer_asked(&s->peer[place], a) || !peer_lives(&s->peer[place]))
		return NULL;
	s->peer[place].flags &= ~SHUNT_PEER_DIRECT;
	s->used[place] = ++s->clock;
	return &s->peer[place];
}

/* The socket sends to a backend by its own address: what comes from there is shown as it is, until it asks the service. */
static __always_inline void note_direct(struct shunt_senders *s, const struct asked *a)
{
	for (int i = 0; i < SHUNT_SENDERS; i++)
		if (peer_given(&s->peer[i], a))
			s->peer[i].flags |= SHUNT_PEER_DIRECT;
}

static __always_inline bool note_sender(struct bpf_sock_addr *ctx, const struct asked *a, const struct shunt_backend *b,
					__u32 member)
{
	struct shunt_senders *s = bpf_sk_storage_get(&senders, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	__u32 place;

	if (!s)
		return false;
	place = sender_place(s, a) & (SHUNT_SENDERS - 1);
	peer_write(&s->peer[place], a, b, member);
	peer_count(&s->peer[place]);
	s->used[place] = ++s->clock;
	return true;
}

/* To an address that is no service's: a backend's own, perhaps. */
static __always_inline int send_elsewhere(struct shunt_senders *noted, const struct asked *a)
{
	if (noted)
		note_direct(noted, a);
	return leave(SHUNT_VERDICT_SOCKET_PASSED);
}

/* *to, *port: where the datagram goes, if its address is to be replaced; *port is 0 else */
static __always_inline int send(struct bpf_sock_addr *ctx, const struct asked *a, struct shunt_addr *to, __be16 *port)
{
	struct shunt_senders *noted = bpf_sk_storage_get(&senders, ctx->sk, NULL, 0);
	struct shunt_trace t = TRACE_START;
	__u32 service = service_of(a), verdict;
	struct shunt_service *s = socket_service(service);
	struct shunt_backend *b = NULL;
	struct shunt_peer *before;

	if (likely(!s))
		return send_elsewhere(noted, a);
	before = noted ? sent_before(noted, a) : NULL;
	if (likely(before)) {
		*to = before->given;
		*port = before->given_port;
		return leave(SHUNT_VERDICT_SOCKET_GIVEN);
	}
	t.service = service;
	verdict = balance(ctx, a, s, false, &t, &b);
	if (verdict == SHUNT_VERDICT_SOCKET_EXEMPT)
		return leave(verdict);
	if (!b || !note_sender(ctx, a, b, t.member))
		return refuse(service);
	*to = b->address;
	*port = port_of(b, a);
	return leave(verdict);
}

SEC("cgroup/sendmsg4")
int shunt_sendmsg4(struct bpf_sock_addr *ctx)
{
	const struct asked a = asked4(ctx);
	struct shunt_addr to = {};
	__be16 port = 0;
	int action = send(ctx, &a, &to, &port);

	if (port)
		answer4(ctx, &to, port);
	return action;
}

/* The kernel takes no IPv4 address here. */
SEC("cgroup/sendmsg6")
int shunt_sendmsg6(struct bpf_sock_addr *ctx)
{
	const struct asked a = asked6(ctx, TAKES_IP6);
	struct shunt_addr to = {};
	__be16 port = 0;
	int action = send(ctx, &a, &to, &port);

	if (port)
		answer6(ctx, &to, port);
	return action;
}

/* ---- what the process is shown ---- */

/* What it asked for, when it was given this; else NULL. */
static __always_inline struct shunt_peer *connected_to(struct bpf_sock_addr *ctx, const struct asked *from)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct shunt_peer *p = bpf_map_lookup_elem(&peers, &cookie);

	return p && peer_given(p, from) ? p : NULL;
}

/* Of services that share the backend it is the one asked last. */
static __always_inline struct shunt_peer *sent_to(struct bpf_sock_addr *ctx, const struct asked *from)
{
	struct shunt_senders *s = bpf_sk_storage_get(&senders, ctx->sk, NULL, 0);
	struct shunt_peer *last = NULL;
	__u32 ago = SHUNT_UNSET;

	for (int i = 0; s && i < SHUNT_SENDERS; i++) {
		if (!peer_given(&s->peer[i], from) || s->peer[i].flags & SHUNT_PEER_DIRECT || s->clock - s->used[i] >= ago)
			continue;
		ago = s->clock - s->used[i];
		last = &s->peer[i];
	}
	return last;
}

/* connect(AF_UNSPEC) runs no program: only the socket's state says that it is connected no more. */
static __always_inline struct shunt_peer *received_from(struct bpf_sock_addr *ctx, const struct asked *from)
{
	bool is_connected = ctx->sk->state == BPF_TCP_ESTABLISHED;
	struct shunt_peer *p = is_connected ? connected_to(ctx, from) : NULL;

	return p ? p : sent_to(ctx, from);
}

SEC("cgroup/getpeername4")
int shunt_getpeername4(struct bpf_sock_addr *ctx)
{
	const struct asked from = asked4(ctx);
	struct shunt_peer *p = connected_to(ctx, &from);

	if (p)
		answer4(ctx, &p->asked, p->asked_port);
	return LEAVE;
}

SEC("cgroup/getpeername6")
int shunt_getpeername6(struct bpf_sock_addr *ctx)
{
	const struct asked from = asked6(ctx, 0);
	struct shunt_peer *p = connected_to(ctx, &from);

	if (p)
		answer6(ctx, &p->asked, p->asked_port);
	return LEAVE;
}

SEC("cgroup/recvmsg4")
int shunt_recvmsg4(struct bpf_sock_addr *ctx)
{
	const struct asked from = asked4(ctx);
	struct shunt_peer *p = received_from(ctx, &from);

	if (p)
		answer4(ctx, &p->asked, p->asked_port);
	return LEAVE;
}

SEC("cgroup/recvmsg6")
int shunt_recvmsg6(struct bpf_sock_addr *ctx)
{
	const struct asked from = asked6(ctx, 0);
	struct shunt_peer *p = received_from(ctx, &from);

	if (p)
		answer6(ctx, &p->asked, p->asked_port);
	return LEAVE;
}

/* ---- the end ---- */

/* The last descriptor of a socket is closed. */
SEC("cgroup/sock_release")
int shunt_sock_release(struct bpf_sock *sk)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct shunt_peer *p = bpf_map_lookup_elem(&peers, &cookie);
	struct shunt_senders *s;

	if (p)
		peer_forget(cookie, p);
	if (sk->protocol != IPPROTO_UDP)
		return LEAVE;
	s = bpf_sk_storage_get(&senders, sk, NULL, 0);
	for (int i = 0; s && i < SHUNT_SENDERS; i++)
		peer_uncount(&s->peer[i]);
	return LEAVE;
}
