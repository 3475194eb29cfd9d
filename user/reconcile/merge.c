/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "reconcile/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/log.h"
#include "discovery/source.h"

#define FROM_REFUSED UINT32_MAX /* in backend.from: it is left out */
#define ROUNDS_MAX 4 /* of leaving out what breaks a rule; what is left then may break another */
#define ROUNDS_BACK 2 /* in which a service gets back what it had; later it gets nothing that was found */

void merged_clear(struct merged *m)
{
	config_free(m->config);
	for (size_t i = 0; i < m->n_refused; i++) {
		free(m->refused[i].service);
		free(m->refused[i].sentence);
	}
	free(m->refused);
	*m = (struct merged){};
}

bool merge_finds(const struct config *base)
{
	for (size_t i = 0; i < base->n_services; i++)
		if (base->services[i].n_discovers)
			return true;
	for (size_t i = 0; i < base->n_sources; i++)
		if (source_takes_over(&base->sources[i]))
			return true;
	return false;
}

/* Grows whenever n_refused is a power of two. What has no room is left out all the same, without a sentence. */
static void refuse(struct merged *m, const char *service, const struct endpoint *at, const char *sentence)
{
	struct refusal *grown = m->refused;

	if (!(m->n_refused & (m->n_refused - 1))) {
		grown = reallocarray(m->refused, m->n_refused ? 2 * m->n_refused : 1, sizeof(*grown));
		if (!grown)
			return;
		m->refused = grown;
	}
	grown[m->n_refused] = (struct refusal){ .service = strdup(service), .sentence = strdup(sentence) };
	if (at)
		grown[m->n_refused].at = *at;
	m->n_refused++;
}

/* ---- one service ---- */

static int by_endpoint_and_layer(const void *a, const void *b)
{
	const struct backend *x = a, *y = b;
	int order = endpoint_compare(&x->at, &y->at);

	return order ? order : (x->from > y->from) - (x->from < y->from);
}

static void add(struct service *s, const struct backend *b, uint32_t from)
{
	struct backend *to = &s->backends[s->n_backends++];

	*to = (struct backend){ .at = b->at, .weight = b->weight, .admin = b->admin, .server_id = b->server_id, .from = from };
	if (b->overridden) {
		to->weight = b->below_weight;
		to->admin = b->below_admin;
	}
}

/* Number of the question that found it before, if it is still asked; else that of none. */
static uint32_t found_by(const struct service *s, const struct service *running, const struct backend *b)
{
	const struct discover *by = b->from <= running->n_discovers ? &running->discovers[b->from - 1] : NULL;

	for (size_t k = 0; by && k < s->n_discovers; k++)
		if (discover_equal(&s->discovers[k], by))
			return k + 1;
	return s->n_discovers + 1;
}

/* Everything that was found before. */
static void add_before(struct service *s, const struct service *running)
{
	for (size_t i = 0; i < running->n_backends; i++)
		if (running->backends[i].from)
			add(s, &running->backends[i], found_by(s, running, &running->backends[i]));
}

/* Was it found by a question that is still asked, and answered: is what that says now all there is to say? */
static bool is_spoken_for(const struct service *s, const struct discovery *d, const struct service *running,
			  const struct backend *b)
{
	uint32_t by = found_by(s, running, b);
	struct found_set set;

	return by <= s->n_discovers && discovery_find(d, &s->discovers[by - 1], &set) && set.known;
}

/* What was found before by questions that are not asked any more, or have no answer yet, while some question has none. */
static void add_unspoken(struct service *s, const struct discovery *d, const struct service *running, uint32_t from)
{
	for (size_t i = 0; i < running->n_backends; i++)
		if (running->backends[i].from && !is_spoken_for(s, d, running, &running->backends[i]))
			add(s, &running->backends[i], from);
}

static void keep_first(struct service *s)
{
	size_t kept = 0;

	qsort(s->backends, s->n_backends, sizeof(*s->backends), by_endpoint_and_layer);
	for (size_t i = 0; i < s->n_backends; i++)
		if (!kept || endpoint_compare(&s->backends[kept - 1].at, &s->backends[i].at))
			s->backends[kept++] = s->backends[i];
	s->n_backends = kept;
}

static void override(struct service *s, const struct config *base)
{
	for (size_t i = 0; i < base->n_overrides; i++) {
		const struct override *o = &base->overrides[i];
		struct backend *b = strcmp(o->service, s->name) ? NULL : service_backend(s, &o->at);

		if (!b)
			continue;
		if (!b->overridden) {
			b->below_weight = b->weight;
			b->below_admin = b->admin;
		}
		b->overridden = true;
		if (o->has_weight)
			b->weight = o->weight;
		if (o->has_admin)
			b->admin = o->admin;
	}
}

/* s is a copy of what is listed. running: NULL: it was not there before. */
static int merge_service(struct service *s, const struct config *base, const struct discovery *d,
			 const struct service *running)
{
	size_t room = s->n_backends + (running ? running->n_backends : 0);
	bool waits = false;
	struct found_set set = {};
	struct backend *grown;

	for (size_t k = 0; d && k < s->n_discovers; k++)
		room += discovery_find(d, &s->discovers[k], &set) ? set.n : 0;
	grown = reallocarray(s->backends, room + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->backends = grown;
	for (size_t k = 0; d && k < s->n_discovers; k++) {
		bool asked = discovery_find(d, &s->discovers[k], &set);

		for (size_t i = 0; asked && i < set.n; i++)
			add(s, &set.backends[i], k + 1);
		waits |= !asked || !set.known;
	}
	if (waits && running)
		add_unspoken(s, d, running, s->n_discovers + 1);
	if (s->n_backends)
		keep_first(s);
	override(s, base);
	return 0;
}

/* ---- services that sources offer ---- */

struct offering {
	struct merged *m;
	const struct config *base;
	int err;
};

static int offer_to_service(const struct offer *o, const char *source, struct service *s)
{
	*s = service_default();
	s->name = strdup(o->name);
	s->offered_by = strdup(source);
	s->affinity = o->affinity;
	s->listens = calloc(o->n_listens + 1, sizeof(*s->listens));
	s->discovers = calloc(1, sizeof(*s->discovers));
	if (!s->name || !s->offered_by || !s->listens || !s->discovers || discover_copy(&o->discover, &s->discovers[0])) {
		service_clear(s);
		return -ENOMEM;
	}
	s->n_discovers = 1;
	memcpy(s->listens, o->listens, o->n_listens * sizeof(*s->listens));
	s->n_listens = o->n_listens;
	for (size_t i = 0; i < o->n_listens && s->check.kind == CHECK_NONE; i++)
		if (s->listens[i].proto == IPPROTO_TCP)
			s->check = check_default(CHECK_TCP);
	return 0;
}

static void take_offer(struct offering *all, const char *source, const struct offer *o)
{
	_cleanup_(service_clear) struct service s = {};
	struct config *c = all->m->config;
	int err = offer_to_service(o, source, &s);

	if (!err) {
		tracking_fit(&s.tracking, &c->limits);
		err = config_service_add(c, &s);
	}
	if (err == -EEXIST)
		refuse(all->m, o->name, NULL, "there is a service of that name already; rename one of the two");
	else if (err)
		all->err = err;
}

static bool is_to_offer(const struct config *base, enum source_kind kind, const char *name)
{
	const struct source *s = config_source(base, kind, name);

	return s && source_takes_over(s);
}

/* A source that the configuration does not have any more, or has otherwise, may still be open. */
static void take_offered(void *arg, const struct offered *o)
{
	const struct offering *all = arg;

	if (!is_to_offer(all->base, o->source->kind, o->source->name))
		return;
	for (size_t i = 0; i < o->n; i++)
		take_offer(arg, o->source->name, &o->offers[i]);
}

/* ---- services whose source has another name now, and has not said yet what it offers ---- */

struct heard {
	const struct source *from;
	bool known;
};

static void note_known(void *arg, const struct offered *o)
{
	struct heard *h = arg;

	h->known |= o->known && o->source->kind == h->from->kind && !strcmp(o->source->name, h->from->name);
}

static bool is_heard(const struct discovery *d, const struct source *s)
{
	struct heard h = { .from = s };

	discovery_each_offered(d, note_known, &h);
	return h.known;
}

/* The source that is to say whether there is such a service, and has not yet; NULL: there is none. */
static const struct source *unheard(const struct config *base, const struct discovery *d, const struct service *was)
{
	enum source_kind kind = was->discovers[0].kind;

	if (is_to_offer(base, kind, was->offered_by)) {
		const struct source *same = config_source(base, kind, was->offered_by);

		return is_heard(d, same) ? NULL : same;
	}
	for (size_t i = 0; i < base->n_sources; i++)
		if (base->sources[i].kind == kind && source_takes_over(&base->sources[i]) && !is_heard(d, &base->sources[i]))
			return &base->sources[i];
	return NULL;
}

/* Without its backends, which stay as what was found before. */
static int keep_offered(struct config *c, const struct service *was, const struct source *by)
{
	_cleanup_(service_clear) struct service s = {};
	int err = service_copy(was, &s);

	if (err)
		return err;
	s.n_backends = 0;
	free(s.offered_by);
	free(s.discovers[0].source);
	s.offered_by = strdup(by->name);
	s.discovers[0].source = strdup(by->name);
	return s.offered_by && s.discovers[0].source ? config_service_add(c, &s) : -ENOMEM;
}

static int keep_unheard(struct config *c, const struct config *base, const struct discovery *d, const struct config *running)
{
	int err = 0;

	for (size_t i = 0; running && i < running->n_services && !err; i++) {
		const struct service *was = &running->services[i];
		const struct source *by = was->offered_by && !config_service(c, was->name) ? unheard(base, d, was) : NULL;

		if (by)
			err = keep_offered(c, was, by);
	}
	return err;
}

/* ---- rules ---- */

struct round {
	struct merged *m;
	const struct config *running;
	bool *out, *back; /* [n_services] the service goes; gets back what it had */
	bool listed; /* what the operator lists breaks a rule, because of what was found */
	char sentence[512];
};

static void on_fault(void *arg, const struct service *s, const struct backend *b, const struct announce *a,
		     const char *sentence)
{
	struct round *r = arg;
	struct backend *mine;
	size_t i = s ? (size_t)(s - r->m->config->services) : 0;

	(void)a;
	snprintf(r->sentence, sizeof(r->sentence), "%s%s%s", s ? s->name : "", s ? ": " : "", sentence);
	if (b && b->from) {
		mine = &r->m->config->services[i].backends[b - s->backends];
		if (mine->from != FROM_REFUSED)
			refuse(r->m, s->name, &b->at, sentence);
		mine->from = FROM_REFUSED;
	} else if (s && s->offered_by) {
		if (!r->out[i])
			refuse(r->m, s->name, NULL, sentence);
		r->out[i] = true;
	} else if (s && !b && s->n_discovers) {
		if (!r->back[i])
			refuse(r->m, s->name, NULL, sentence);
		r->back[i] = true;
	} else {
		r->listed = true;
	}
}

static void leave_out(struct service *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n_backends; i++)
		if (s->backends[i].from != FROM_REFUSED)
			s->backends[kept++] = s->backends[i];
	s->n_backends = kept;
}

/* What is found now is too much, or unfit as a whole: what the service had stays, which was fine. */
static int go_back(struct service *s, const struct config *base, const struct config *running)
{
	const struct service *was = running ? config_service(running, s->name) : NULL;
	struct backend *grown = reallocarray(s->backends, s->n_backends + (was ? was->n_backends : 0) + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	s->backends = grown;
	for (size_t i = 0; i < s->n_backends; i++)
		if (s->backends[i].from)
			s->backends[i].from = FROM_REFUSED;
	leave_out(s);
	if (was)
		add_before(s, was);
	keep_first(s);
	override(s, base);
	return 0;
}

static bool listens_there(const struct config *c, const struct endpoint *at)
{
	for (size_t i = 0; i < c->n_services; i++)
		for (size_t k = 0; k < c->services[i].n_listens; k++)
			if (!addr_compare(&c->services[i].listens[k].addr, &at->addr) &&
			    (!at->port || !c->services[i].listens[k].port || c->services[i].listens[k].port == at->port))
				return true;
	return false;
}

/* A circle that is noticed at a listed backend is closed by one that was found, and leads to a service here. */
static void refuse_services(struct merged *m)
{
	for (size_t i = 0; i < m->config->n_services; i++) {
		struct service *s = &m->config->services[i];

		for (size_t k = 0; k < s->n_backends; k++)
			if (s->backends[k].from && listens_there(m->config, &s->backends[k].at)) {
				refuse(m, s->name, &s->backends[k].at, "it is where a service here listens, and that makes a circle; "
				       "register the address of a server");
				s->backends[k].from = FROM_REFUSED;
			}
	}
}

static int carry_out(struct round *r)
{
	struct config *c = r->m->config;
	size_t kept = 0;
	int err = 0;

	if (r->listed)
		refuse_services(r->m);
	for (size_t i = 0; i < c->n_services && !err; i++) {
		leave_out(&c->services[i]);
		err = r->back[i] ? go_back(&c->services[i], c, r->running) : 0;
	}
	for (size_t i = 0; i < c->n_services; i++)
		if (r->out[i])
			service_clear(&c->services[i]);
		else
			c->services[kept++] = c->services[i];
	c->n_services = kept;
	return err;
}

/* The last resort, which what is listed passes: nobody who finds something may keep the operator from changing anything. */
static void take_nothing(struct merged *m, const char *sentence)
{
	struct config *c = m->config;
	size_t kept = 0;

	log_error("nothing that sources found is taken, for it breaks a rule together with what is listed: %s", sentence);
	for (size_t i = 0; i < c->n_services; i++) {
		struct service *s = &c->services[i];

		if (s->offered_by || s->n_discovers)
			refuse(m, s->name, NULL, sentence);
		for (size_t k = 0; k < s->n_backends; k++)
			if (s->backends[k].from)
				s->backends[k].from = FROM_REFUSED;
		leave_out(s);
		if (s->offered_by)
			service_clear(s);
		else
			c->services[kept++] = *s;
	}
	c->n_services = kept;
}

/* ---- room ---- */

static size_t found_in(const struct service *s)
{
	size_t n = 0;

	for (size_t i = 0; s && i < s->n_backends; i++)
		n += s->backends[i].from > 0;
	return n;
}

const char *merge_grown(const struct config *merged, const struct config *running, const struct texts *held)
{
	const char *grown = NULL;
	size_t most = 0;

	for (size_t i = 0; i < merged->n_services; i++) {
		const struct service *s = &merged->services[i], *was = running ? config_service(running, s->name) : NULL;
		size_t before = found_in(was), now = found_in(s) + (s->offered_by && !was);

		if (now <= before || now - before <= most || texts_have(held, s->name))
			continue;
		most = now - before;
		grown = s->name;
	}
	return grown;
}

/* Those for which there was no room keep what they had; offered ones that were not there do not come. */
static int hold(struct merged *m, const struct config *running, const struct texts *held)
{
	struct config *c = m->config;
	size_t kept = 0;
	int err = 0;

	for (size_t i = 0; i < c->n_services; i++) {
		struct service *s = &c->services[i];
		bool is_held = texts_have(held, s->name);

		if (is_held)
			refuse(m, s->name, NULL, "there is no room for what was found (the log says which limit to raise): what the "
			       "service had before stays");
		if (is_held && s->offered_by && !(running && config_service(running, s->name))) {
			service_clear(s);
			continue;
		}
		if (is_held && !err)
			err = go_back(s, c, running);
		c->services[kept++] = *s;
	}
	c->n_services = kept;
	return err;
}

/* Leaves out what breaks a rule until nothing does. */
static int hold_to_rules(struct merged *m, const struct config *running)
{
	struct round r = { .m = m, .running = running };
	int err = 0;

	for (int n = 0; n < ROUNDS_MAX; n++) {
		_cleanup_free_ bool *out = calloc(m->config->n_services + 1, 1), *back = calloc(m->config->n_services + 1, 1);

		r.out = out;
		r.back = back;
		r.listed = false;
		if (!out || !back)
			return -ENOMEM;
		if (!config_validate(m->config, on_fault, &r))
			return 0;
		if (n == ROUNDS_BACK)
			r.running = NULL;
		err = carry_out(&r);
		if (err)
			return err;
	}
	take_nothing(m, r.sentence);
	return 0;
}

/* ---- all ---- */

static int merge_services(struct config *c, const struct discovery *d, const struct config *running)
{
	int err = 0;

	for (size_t i = 0; i < c->n_services && !err; i++)
		err = merge_service(&c->services[i], c, d, running ? config_service(running, c->services[i].name) : NULL);
	return err;
}

int merge(const struct config *base, const struct discovery *d, const struct config *running, const struct texts *held,
	  struct merged *out)
{
	_cleanup_(merged_clear) struct merged m = { .config = config_copy(base) };
	struct offering all = { .m = &m, .base = base };
	int err;

	if (!m.config)
		return -ENOMEM;
	if (d)
		discovery_each_offered(d, take_offered, &all);
	err = all.err;
	if (!err && d)
		err = keep_unheard(m.config, base, d, running);
	if (!err)
		err = merge_services(m.config, d, running);
	if (!err && held && held->n)
		err = hold(&m, running, held);
	if (!err && d && merge_finds(base))
		err = hold_to_rules(&m, running);
	if (err)
		return err;
	*out = m;
	m = (struct merged){};
	return 0;
}
