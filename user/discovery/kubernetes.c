/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Kubernetes: the EndpointSlices of services, and Services that are taken over whole, by list and watch. Who we are
 * comes from the configuration, from a kubeconfig, or from what a pod has.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clean.h"
#include "base/file.h"
#include "base/log.h"
#include "discovery/kubeconfig.h"
#include "discovery/kubernetes_api.h"

#define POD_CREDENTIALS "/var/run/secrets/kubernetes.io/serviceaccount"
#define KUBECONFIG_MAX (4u << 20)
#define CONNECT_MS 3000 /* at most, so that a server that is gone without a word is known to be within 15 s */

struct kubernetes {
	struct kubernetes_api api;
	struct kubeconfig access; /* kubeconfig, or a pod's */
	struct texts urls;
	char *authorization; /* header with a token that does not change; NULL: none */
	char *credentials;
	struct stat seen; /* the kubeconfig, when it was read last */
	struct kubernetes_namespace **namespaces;
	size_t n;
	struct kubernetes_offers *offers; /* NULL: no Services are taken over */
};

/* ---- who and where ---- */

static int read_kubeconfig(const struct source *conf, struct kubeconfig *out)
{
	_cleanup_free_ char *text = NULL, *path = strdup(conf->kubeconfig);
	char problem[KUBECONFIG_TEXT];
	size_t len;
	int err = path ? file_read(conf->kubeconfig, KUBECONFIG_MAX, &text, &len) : -ENOMEM;

	if (err)
		return err_r(err, "source %s: kubeconfig %s cannot be read: %s", conf->name, conf->kubeconfig,
			     strerror(-err));
	err = kubeconfig_parse(text, len, conf->context, dirname(path), out, problem);
	if (err == -EINVAL)
		return err_r(err, "source %s: kubeconfig %s: %s", conf->name, conf->kubeconfig, problem);
	return err;
}

static int be_pod(struct kubernetes *k, const struct source *conf)
{
	int err = kubeconfig_pod(POD_CREDENTIALS, getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT"),
				 &k->access);

	if (err == -EINVAL)
		return err_r(err,
			     "source %s: it has neither url nor kubeconfig, and this is no pod "
			     "(KUBERNETES_SERVICE_HOST is not "
			     "set); add url and token-file, or kubeconfig",
			     conf->name);
	return err;
}

static int find_access(struct kubernetes *k, const struct source *conf)
{
	if (!conf->kubeconfig)
		return conf->servers.n ? 0 : be_pod(k, conf);
	stat(conf->kubeconfig, &k->seen); /* before it is read, so that no change is missed */
	return read_kubeconfig(conf, &k->access);
}

static int add_url(struct texts *urls, const char *url)
{
	size_t len = strlen(url);

	while (len && url[len - 1] == '/') /* paths begin with one */
		len--;
	urls->list[urls->n] = strndup(url, len);
	return urls->list[urls->n++] ? 0 : -ENOMEM;
}

static int list_urls(struct kubernetes *k, const struct source *conf)
{
	int err = 0;

	k->urls.list = calloc(conf->servers.n + 1, sizeof(*k->urls.list));
	if (!k->urls.list)
		return -ENOMEM;
	if (k->access.server)
		return add_url(&k->urls, k->access.server);
	for (size_t i = 0; i < conf->servers.n && !err; i++)
		err = add_url(&k->urls, conf->servers.list[i]);
	return err;
}

static int name_credentials(struct kubernetes *k, const struct source *conf, const char *token_file)
{
	int n;

	if (token_file)
		n = asprintf(&k->credentials, "token in %s", token_file);
	else if (conf->kubeconfig)
		n = asprintf(&k->credentials, "identity in kubeconfig %s", conf->kubeconfig);
	else
		n = asprintf(&k->credentials, "%s",
			     conf->tls.cert ? "certificate" : "lack of a token-file or tls: cert");
	if (n < 0)
		k->credentials = NULL;
	k->api.credentials = k->credentials;
	return k->credentials ? 0 : -ENOMEM;
}

/* *header NULL: there is no token, or one in a file. */
static int make_authorization(const struct kubeconfig *access, char **header)
{
	*header = NULL;
	if (access->token && asprintf(header, "Authorization: Bearer %s", access->token) < 0)
		return *header = NULL, -ENOMEM;
	return 0;
}

static int set_authorization(struct kubernetes *k)
{
	int err = make_authorization(&k->access, &k->authorization);

	k->api.headers[0] = k->authorization;
	return err;
}

static void follow_kubeconfig(void *arg);

static struct http_settings settings_of(struct kubernetes *k)
{
	const struct source *conf = k->api.conf;
	const struct kubeconfig *a = &k->access;

	return (struct http_settings){
		.urls = k->urls,
		.tls = { .ca = a->ca_file ?: conf->tls.ca,
			 .cert = a->cert_file ?: conf->tls.cert,
			 .key = a->key_file ?: conf->tls.key },
		.ca_data = a->ca_data,
		.cert_data = a->cert_data,
		.key_data = a->key_data,
		.token_file = a->token_file ?: conf->token_file,
		.token_head = "Authorization: Bearer ",
		.connect_ms = conf->timeout_ms < CONNECT_MS ? conf->timeout_ms : CONNECT_MS,
		.before = conf->kubeconfig ? follow_kubeconfig : NULL,
		.arg = k,
	};
}

static int make_http(struct kubernetes *k, const struct source *conf)
{
	struct http_settings s = settings_of(k);
	int err = name_credentials(k, conf, s.token_file);

	return err ? err : http_new(k->api.env.transfers, &s, &k->api.http);
}

/* ---- a kubeconfig that changes ---- */

static void kubeconfig_swap(struct kubernetes *k, struct kubeconfig *access, char **url, char **authorization)
{
	struct kubeconfig old_access = k->access;
	char *old_url = k->urls.list[0], *old_authorization = k->authorization;
	struct http_settings s;

	k->access = *access;
	k->urls.list[0] = *url;
	k->api.headers[0] = k->authorization = *authorization;
	*access = old_access;
	*url = old_url;
	*authorization = old_authorization;
	s = settings_of(k);
	http_set(k->api.http, &s);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Before each request: credentials are replaced while we run. One that does not do changes nothing. */
static void follow_kubeconfig(void *arg)
{
	_cleanup_(kubeconfig_clear) struct kubeconfig fresh = {};
	_cleanup_free_ char *url = NULL, *authorization = NULL;
	struct kubernetes *k = arg;
	const struct source *conf = k->api.conf;
	struct stat now;

	if (stat(conf->kubeconfig, &now) || same_file(&now, &k->seen))
		return;
	k->seen = now;
	if (!read_kubeconfig(conf, &fresh) && (url = strdup(fresh.server)) && !make_authorization(&fresh, &authorization))
		kubeconfig_swap(k, &fresh, &url, &authorization);
	else
		log_warn("source %s: what kubeconfig %s said before stays in force", conf->name, conf->kubeconfig);
}

/* ---- life ---- */

static void close_source(void *source)
{
	struct kubernetes *k = source;

	kubernetes_offers_free(k->offers);
	for (size_t i = 0; i < k->n; i++) /* that were made for a question that then failed */
		kubernetes_namespace_free(k->namespaces[i]);
	http_free(k->api.http);
	for (size_t i = 0; i < k->urls.n; i++)
		free(k->urls.list[i]);
	free(k->urls.list);
	free(k->namespaces);
	free(k->authorization);
	free(k->credentials);
	kubeconfig_clear(&k->access);
	free(k);
}

static void close_sourcep(struct kubernetes **k)
{
	if (*k)
		close_source(*k);
}

static int prepare(struct kubernetes *k, const struct source *conf)
{
	int err = find_access(k, conf);

	if (!err)
		err = list_urls(k, conf);
	if (!err)
		err = set_authorization(k);
	if (!err)
		err = make_http(k, conf);
	if (!err && source_takes_over(conf))
		err = kubernetes_offers_new(&k->api, &k->offers);
	return err;
}

static int open_source(const struct source_env *env, const struct source *conf, void **out)
{
	_cleanup_(close_sourcep) struct kubernetes *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return err_r(-ENOMEM, "source %s: out of memory", conf->name);
	k->api = (struct kubernetes_api){ .env = *env, .conf = conf };
	err = prepare(k, conf);
	if (err == -ENOMEM)
		log_error("source %s: out of memory", conf->name);
	if (err)
		return err;
	*out = TAKE_PTR(k);
	return 0;
}

/* ---- questions ---- */

/* Names stand in paths and selectors: what is no name would ask something else. */
static bool is_name(const char *text)
{
	return *text && *text != '-' && strlen(text) <= 63 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

struct watch {
	struct kubernetes *kubernetes;
	struct kubernetes_question *question;
};

static struct kubernetes_namespace *namespace_find(const struct kubernetes *k, const char *name)
{
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(kubernetes_namespace_name(k->namespaces[i]), name))
			return k->namespaces[i];
	return NULL;
}

static struct kubernetes_namespace *namespace_add(struct kubernetes *k, const char *name)
{
	struct kubernetes_namespace **grown = reallocarray(k->namespaces, k->n + 1, sizeof(*grown));

	if (!grown)
		return NULL;
	k->namespaces = grown;
	if (kubernetes_namespace_new(&k->api, name, &k->namespaces[k->n]))
		return NULL;
	return k->namespaces[k->n++];
}

static void namespace_drop(struct kubernetes *k, struct kubernetes_namespace *n)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->namespaces[i] == n)
			k->namespaces[i] = k->namespaces[--k->n];
	kubernetes_namespace_free(n);
}

static int watch(void *source, const struct discover *what, struct finder *f, void **out)
{
	const char *name = what->namespace ?: "default";
	struct kubernetes *k = source;
	struct kubernetes_namespace *n = NULL;
	struct watch *w;
	int err;

	if (!is_name(what->name) || !is_name(name))
		return err_r(
			-EINVAL,
			"source %s: %s/%s cannot be a service of Kubernetes; write lower-case letters, digits and -",
			k->api.conf->name, name, what->name);
	w = calloc(1, sizeof(*w));
	if (w)
		n = namespace_find(k, name) ?: namespace_add(k, name);
	err = n ? kubernetes_question_new(n, what, f, &w->question) : -ENOMEM;
	if (err) {
		free(w);
		return err_r(err, "source %s: out of memory for service %s", k->api.conf->name, what->name);
	}
	w->kubernetes = k;
	*out = w;
	return 0;
}

static void unwatch(void *arg)
{
	struct watch *w = arg;
	struct kubernetes_namespace *empty = kubernetes_question_free(w->question);

	if (empty)
		namespace_drop(w->kubernetes, empty);
	free(w);
}

const struct source_ops source_kubernetes = {
	.open = open_source, .close = close_source, .watch = watch, .unwatch = unwatch,
	.one_at_a_time = true
};
