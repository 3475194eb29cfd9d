/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "expect.h"

#include <stdio.h>
#include <string.h>

/* ---- saying what is wrong ---- */

static const char *const action_words[] = { "XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT" };
static const char *const verdict_words[] = {
#define X(name, word, text) word,
	SHUNT_VERDICTS(X)
#undef X
};
static const char *const reason_words[] = {
#define X(name, word, text) word,
	SHUNT_REASONS(X)
#undef X
};

static void print_bytes(const char *title, const uint8_t *b, size_t len)
{
	char line[3 * 16 + 1];

	print_error("%s, %zu bytes:\n", title, len);
	for (size_t at = 0; at < len; at += 16) {
		for (size_t i = at; i < at + 16 && i < len; i++)
			snprintf(line + 3 * (i - at), 4, " %02x", b[i]);
		print_error("  %4zu:%s\n", at, line);
	}
}

static void print_counts(const struct result *out)
{
	print_error("the program returned %s\n", action_words[out->action]);
	for (int i = 0; i < SHUNT_N_VERDICTS; i++)
		if (out->verdicts[i])
			print_error("  counted %llu %s\n", (unsigned long long)out->verdicts[i], verdict_words[i]);
	if (out->n_drops)
		print_error("  counted %u drops, the last: %s on interface %u\n", out->n_drops,
			    reason_words[out->drop.reason], out->drop.ifindex);
	if (out->n_counted)
		print_error("  counted %u members, the last: %u by %llu packets, %llu bytes\n", out->n_counted,
			    out->member, (unsigned long long)out->counter.packets,
			    (unsigned long long)out->counter.bytes);
}

static void wrong(struct place at, const struct fixture *f, const struct packet *in, const char *what)
{
	if (the_case()[0])
		print_error("in the case %s: ", the_case());
	print_error("%s\n", what);
	print_counts(&f->out);
	print_bytes("packet in", in->b, in->len);
	print_bytes("packet out", f->out.b, f->out.len);
	_fail(at.file, at.line);
}

/* ---- checks ---- */

static void check_action(struct place at, const struct fixture *f, const struct packet *in, int action)
{
	char what[80];

	if (f->out.action == action)
		return;
	snprintf(what, sizeof(what), "wanted %s", action_words[action]);
	wrong(at, f, in, what);
}

static void check_bytes(struct place at, const struct fixture *f, const struct packet *in, const struct packet *want)
{
	char what[80];
	size_t i = 0;

	if (f->out.len == want->len && !memcmp(f->out.b, want->b, want->len))
		return;
	while (i < f->out.len && i < want->len && f->out.b[i] == want->b[i])
		i++;
	print_bytes("wanted", want->b, want->len);
	snprintf(what, sizeof(what), "the packet out differs from what was wanted, first at byte %zu", i);
	wrong(at, f, in, what);
}

/* One verdict, this one; one drop for this reason on this interface, or none. */
static void check_counts(struct place at, const struct fixture *f, const struct packet *in, enum shunt_verdict verdict,
			 enum shunt_reason reason)
{
	char what[160];

	for (int i = 0; i < SHUNT_N_VERDICTS; i++) {
		if (f->out.verdicts[i] == (i == (int)verdict))
			continue;
		snprintf(what, sizeof(what), "wanted one %s counted and nothing else", verdict_words[verdict]);
		wrong(at, f, in, what);
	}
	if (reason == SHUNT_REASON_NONE ? !f->out.n_drops :
					  f->out.n_drops == 1 && f->out.drop.reason == reason &&
						  f->out.drop.ifindex == f->ingress)
		return;
	snprintf(what, sizeof(what), "wanted drops to count %s on interface %u", reason_words[reason], f->ingress);
	wrong(at, f, in, what);
}

static void check_no_member(struct place at, const struct fixture *f, const struct packet *in)
{
	if (f->out.n_counted)
		wrong(at, f, in, "wanted no member's counter to move");
}

static void check_member(struct place at, const struct fixture *f, const struct packet *in, uint32_t member)
{
	char what[120];

	if (f->out.n_counted == 1 && f->out.member == member && f->out.counter.packets == 1 &&
	    f->out.counter.bytes == packet_l3_len(in))
		return;
	snprintf(what, sizeof(what), "wanted member %u to count 1 packet, %zu bytes", member, packet_l3_len(in));
	wrong(at, f, in, what);
}

void passed_at(struct place at, struct fixture *f, const struct packet *in)
{
	run(f, in);
	check_action(at, f, in, XDP_PASS);
	check_bytes(at, f, in, in);
	check_counts(at, f, in, f->program == EDGE ? SHUNT_VERDICT_EDGE_PASSED : SHUNT_VERDICT_BACKEND_PASSED,
		     SHUNT_REASON_NONE);
	check_no_member(at, f, in);
}

void dropped_at(struct place at, struct fixture *f, const struct packet *in, enum shunt_reason reason)
{
	run(f, in);
	check_action(at, f, in, XDP_DROP);
	check_counts(at, f, in, f->program == EDGE ? SHUNT_VERDICT_EDGE_DROPPED : SHUNT_VERDICT_BACKEND_DROPPED,
		     reason);
	check_no_member(at, f, in);
}

/* Padding of the frame that came in may still be there. */
static void forget_padding(struct fixture *f, const struct packet *in, size_t wanted)
{
	size_t padding = in->len - packet_l3(in) - packet_l3_len(in);

	if (padding && f->out.len == wanted + padding)
		f->out.len = wanted;
}

void forwarded_at(struct place at, struct fixture *f, const struct packet *in, const struct packet *want,
		  uint32_t backend, uint32_t member)
{
	run(f, in);
	check_action(at, f, in, f->backends[backend].ifindex == f->ingress ? XDP_TX : XDP_REDIRECT);
	forget_padding(f, in, want->len);
	check_bytes(at, f, in, want);
	check_counts(at, f, in, SHUNT_VERDICT_EDGE_FORWARDED, SHUNT_REASON_NONE);
	check_member(at, f, in, member);
}

void answered_at(struct place at, struct fixture *f, const struct packet *in, const struct packet *want)
{
	run(f, in);
	check_action(at, f, in, XDP_TX);
	check_bytes(at, f, in, want);
	check_counts(at, f, in, SHUNT_VERDICT_EDGE_ANSWERED, SHUNT_REASON_NONE);
	check_no_member(at, f, in);
}

void delivered_at(struct place at, struct fixture *f, const struct packet *in, const struct packet *want)
{
	run(f, in);
	check_action(at, f, in, XDP_PASS);
	forget_padding(f, in, want->len);
	check_bytes(at, f, in, want);
	check_counts(at, f, in, SHUNT_VERDICT_BACKEND_DELIVERED, SHUNT_REASON_NONE);
	check_no_member(at, f, in);
}

void sent_on_at(struct place at, struct fixture *f, const struct packet *in, const struct packet *want, int action)
{
	run(f, in);
	check_action(at, f, in, action);
	forget_padding(f, in, want->len);
	check_bytes(at, f, in, want);
	check_counts(at, f, in, SHUNT_VERDICT_BACKEND_SENT_ON, SHUNT_REASON_NONE);
	check_no_member(at, f, in);
}

void balanced_at(struct place at, struct fixture *f, const struct packet *in, const struct flow *flow, uint32_t backend,
		 uint32_t member)
{
	static struct packet want;

	want_tunnel(&want, in, &f->settings, &f->backends[backend], flow_hash(f->settings.seed, flow), NULL);
	forwarded_at(at, f, in, &want, backend, member);
}
