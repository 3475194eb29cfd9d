/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Runs the loaded program on a packet that somebody describes, and finds names for what it met. */
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <string.h>

#include "api/call.h"
#include "api/names.h"
#include "api/parse.h"
#include "api/render.h"
#include "api/steps.h"
#include "base/clean.h"
#include "base/hex.h"
#include "base/log.h"

/* ---- the question ---- */

static int parse_syn(const json_t *body, struct dp_question *q, char error[PARSE_ERROR])
{
	q->syn = json_is_true(json_object_get(body, "syn"));
	if (!q->syn || q->proto == IPPROTO_TCP)
		return 0;
	snprintf(error, PARSE_ERROR, "syn is TCP's; leave it out for udp");
	return -EINVAL;
}

static int parse_cid(const json_t *body, struct dp_question *q, char error[PARSE_ERROR])
{
	const json_t *cid = json_object_get(body, "connection_id");
	size_t n = 0;

	if (!cid)
		return 0;
	if (!json_is_string(cid) || hex_parse(json_string_value(cid), q->cid, sizeof(q->cid), &n))
		snprintf(error, PARSE_ERROR, "connection_id: write 1 to %d bytes as hexadecimal digits, such as 000a0b1c2d3e4f50",
			 DP_CID_MAX);
	else if (q->proto != IPPROTO_UDP)
		snprintf(error, PARSE_ERROR, "a connection ID is QUIC's; leave it out for tcp");
	else
		q->cid_length = n;
	return q->cid_length ? 0 : -EINVAL;
}

static int parse_interface(const json_t *body, struct dp_question *q, char error[PARSE_ERROR])
{
	const char *name = json_string_value(json_object_get(body, "interface"));

	if (!name)
		return 0;
	q->ifindex = if_nametoindex(name);
	if (q->ifindex)
		return 0;
	snprintf(error, PARSE_ERROR, "there is no interface %.32s", name);
	return -EINVAL;
}

static int parse_question(const json_t *body, struct dp_question *q, char error[PARSE_ERROR])
{
	uint64_t length = 0;

	if (parse_endpoint(body, "source", &q->src, error) || parse_endpoint(body, "destination", &q->dst, error) ||
	    parse_protocol(body, &q->proto, error) || parse_syn(body, q, error) || parse_cid(body, q, error) ||
	    parse_interface(body, q, error) || parse_number(body, "length", 0, 65535, &length, error))
		return -EINVAL;
	q->length = length;
	if (addr_is4(&q->src.addr) == addr_is4(&q->dst.addr))
		return 0;
	snprintf(error, PARSE_ERROR, "source and destination are one IPv4 and one IPv6 address; write two of one family");
	return -EINVAL;
}

/* ---- names for what the packet met ---- */

struct found {
	struct steps steps;
	struct reconcile_service service; /* cleared by found_clear; conf NULL: none */
	const struct reconcile_backend *chosen; /* of service; NULL: none */
	char in_name[IFNAMSIZ], out_name[IFNAMSIZ];
};

static void found_clear(struct found *f)
{
	if (f->service.conf)
		reconcile_service_clear(&f->service);
}

/*
 * The slot and its owner, as the program reads it. It sees the service's region of slots, in which the table may stand
 * more than once.
 */
static void find_owner(const struct api *a, const struct shunt_trace *t, struct found *f)
{
	uint64_t table = dp_services(a->x->dp)[t->service].table;
	uint16_t owner;

	if (t->slot == SHUNT_UNSET)
		return;
	f->steps.n_slots = f->service.n_slots;
	f->steps.slot = t->slot & (f->service.n_slots - 1);
	owner = shunt_slot_current(dp_slots(a->x->dp)[shunt_table_first_slot(table) + t->slot]);
	if (owner != SHUNT_NONE)
		names_backend(a, &f->service, dp_members(a->x->dp)[shunt_table_first_member(table) + owner].backend,
			      &f->steps.owner);
}

/* One whose packets the program leaves alone, because they are not balanced here; or none. */
static void find_unbalanced(const struct config *c, struct steps *s)
{
	names_near(c, &s->asked.dst.addr, s->near);
	s->unbalanced = names_service(c, &s->asked.dst, s->asked.proto, s->listen);
}

static void find_service(const struct api *a, const struct shunt_trace *t, struct found *f)
{
	const char *name = t->service == SHUNT_UNSET ? NULL : reconcile_service_name(a->x->reconcile, t->service);

	if (!name || reconcile_service(a->x->reconcile, name, &f->service)) {
		f->service = (struct reconcile_service){};
		find_unbalanced(api_running(a), &f->steps);
		return;
	}
	f->steps.service = f->service.conf->name;
	f->steps.by_client = f->service.conf->affinity == AFFINITY_CLIENT;
	f->steps.quic = f->service.conf->quic.server_id;
	f->steps.local = f->service.conf->forward == FORWARD_LOCAL;
	f->steps.finds_none = f->service.conf->n_discovers && !f->service.n_backends;
	names_listen(f->service.conf, &f->steps.asked.dst, f->steps.asked.proto, f->steps.listen);
	find_owner(a, t, f);
	if (t->backend == SHUNT_UNSET)
		return;
	f->chosen = names_backend(a, &f->service, t->backend, &f->steps.chosen);
	if (f->chosen && f->chosen->nexthop) {
		f->steps.nexthop_problem = f->chosen->nexthop->problem;
		f->steps.mtu = f->chosen->nexthop->usable ? f->chosen->nexthop->mtu : 0;
	}
}

/* The interface that the packet comes in on when the question names none. */
static void find_interface(const struct api *a, struct found *f)
{
	const struct dp_interface *all;
	size_t n = dp_interfaces(a->x->dp, &all);

	f->steps.interface = f->in_name;
	if (f->steps.asked.ifindex) {
		if_indextoname(f->steps.asked.ifindex, f->in_name);
		return;
	}
	for (size_t i = 0; i < n && !f->in_name[0]; i++)
		if (all[i].ifindex && all[i].roles & ROLE_EDGE)
			memcpy(f->in_name, all[i].name, IFNAMSIZ);
}

static void find_way_out(const struct api *a, const struct dp_answer *answer, struct found *f)
{
	f->steps.out_interface = f->out_name;
	if (answer->xdp == XDP_TX)
		memcpy(f->out_name, f->in_name, IFNAMSIZ);
	else if (answer->xdp == XDP_REDIRECT && answer->trace.backend != SHUNT_UNSET)
		if_indextoname(dp_backends(a->x->dp)[answer->trace.backend].ifindex, f->out_name);
	if (answer->trace.verdict == SHUNT_VERDICT_EDGE_FORWARDED)
		steps_read_packet(&f->steps, answer->packet, answer->len);
}

static void find_all(const struct api *a, const struct dp_question *q, const struct dp_answer *answer, struct found *f)
{
	f->steps.asked = *q;
	f->steps.verdict = answer->trace.verdict;
	f->steps.reason = answer->trace.reason;
	f->steps.flags = answer->trace.flags;
	f->steps.slot = answer->trace.slot;
	f->steps.xdp = answer->xdp;
	find_interface(a, f);
	find_service(a, &answer->trace, f);
	find_way_out(a, answer, f);
}

/* ---- the answer ---- */

static const char *xdp_word(int xdp)
{
	return xdp == XDP_TX ? "tx" : xdp == XDP_REDIRECT ? "redirect" : xdp == XDP_PASS ? "pass" : "drop";
}

static void render_choice(const struct steps *s, json_t *o)
{
	char text[ENDPOINT_TEXT];

	if (s->service)
		json_object_set_new(o, "service", json_string(s->service));
	if (s->slot != SHUNT_UNSET) {
		json_object_set_new(o, "slot", json_integer(s->slot));
		json_object_set_new(o, "slots", json_integer(s->n_slots));
	}
	if (s->chosen.known) {
		json_object_set_new(o, "backend", json_string(endpoint_format(&s->chosen.at, text)));
		json_object_set_new(o, "state", json_string(s->chosen.state));
	}
	json_object_set_new(o, "by_connection_id", json_boolean(s->flags & SHUNT_TRACE_QUIC));
	json_object_set_new(o, "failed_over", json_boolean(s->flags & SHUNT_TRACE_FAILED_OVER));
}

static json_t *render_tunnel(const struct steps *s)
{
	char from[ADDR_TEXT], to[ADDR_TEXT], other[ADDR_TEXT];
	json_t *others = json_array();

	for (unsigned i = 0; i < s->n_others; i++)
		json_array_append_new(others, json_string(addr_format(&s->others[i], other)));
	return json_pack("{s:s, s:s, s:s, s:o}", "forward", forward_names[s->forward], "source",
			 addr_format(&s->tunnel_from, from), "destination", addr_format(&s->tunnel_to, to), "others", others);
}

static void render_way_out(const struct steps *s, json_t *o)
{
	const uint8_t *m = s->out_mac;

	if (s->tunnel)
		json_object_set_new(o, "tunnel", render_tunnel(s));
	if (s->verdict == SHUNT_VERDICT_EDGE_FORWARDED)
		json_object_set_new(o, "nexthop",
				    json_pack("{s:o, s:o}", "interface", json_text(s->out_interface), "mac",
					      json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
							   m[4], m[5])));
}

static json_t *render_answer(const struct found *f)
{
	const struct steps *s = &f->steps;
	json_t *o = json_pack("{s:s, s:s, s:s}", "verdict",
			      s->verdict < SHUNT_N_VERDICTS ? verdict_words[s->verdict] : "unknown", "xdp",
			      xdp_word(s->xdp), "reason", s->reason < SHUNT_N_REASONS ? reason_words[s->reason] : "unknown");

	render_choice(s, o);
	render_way_out(s, o);
	json_object_set_new(o, "steps", steps_render(s));
	return o;
}

/* The last error that was logged on the way, for who asked. */
static void note_error(void *arg, enum log_level level, const char *line)
{
	if (level == LOG_LEVEL_ERROR)
		snprintf(arg, PARSE_ERROR, "%s", line);
}

static int ask(struct call *c, const struct dp_question *q, struct dp_answer *answer)
{
	char error[PARSE_ERROR] = "";
	int err;

	log_tap(note_error, error);
	err = dp_explain(c->api->x->dp, q, answer);
	log_tap(NULL, NULL);
	if (!err)
		return 0;
	if (error[0])
		return call_error(c, err == -EOPNOTSUPP ? 500 : 400, "%s", error);
	if (err == -ENODEV)
		return call_error(c, 400, "no edge program is loaded; give an interface the role edge in %s",
				  c->api->x->config_path ?: "the configuration");
	if (err == -EOPNOTSUPP)
		return call_error(c, 500, "this kernel cannot run a program on a described packet; that takes 5.14 or newer");
	return call_error(c, err == -EINVAL || err == -EMSGSIZE ? 400 : 500, "the program cannot be run on this packet: %s",
			  strerror(-err));
}

int post_explain(struct call *c)
{
	static const char *const keys[] = { "source", "destination", "protocol", "syn", "interface", "length", "connection_id",
					    NULL };
	_cleanup_(found_clear) struct found found = {};
	_cleanup_free_ struct dp_answer *answer = calloc(1, sizeof(*answer));
	json_t *body = call_object(c, keys);
	struct dp_question q = {};
	char error[PARSE_ERROR];
	int status;

	if (!body)
		return 400;
	status = parse_question(body, &q, error) ? call_error(c, 400, "%s", error) : 0;
	json_decref(body);
	if (!status)
		status = answer ? ask(c, &q, answer) : call_error(c, 500, "out of memory");
	if (status)
		return status;
	find_all(c->api, &q, answer, &found);
	return call_ok(c, render_answer(&found));
}
