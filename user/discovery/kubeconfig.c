/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/kubeconfig.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clean.h"
#include "base/text.h"
#include "config/tree.h"

void kubeconfig_clear(struct kubeconfig *k)
{
	free(k->server);
	free(k->ca_file);
	free(k->cert_file);
	free(k->key_file);
	free(k->ca_data);
	free(k->cert_data);
	free(k->key_data);
	free(k->token);
	free(k->token_file);
	*k = (struct kubeconfig){};
}

/* ---- saying what is wrong ---- */

struct reading {
	struct kubeconfig k;
	const char *directory;
	char *problem;
};

static void reading_clear(struct reading *r)
{
	kubeconfig_clear(&r->k);
}

static int refuse(struct reading *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct reading *r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(r->problem, KUBECONFIG_TEXT, fmt, args);
	va_end(args);
	text_clean(r->problem); /* names may have several lines */
	return -EINVAL;
}

/* ---- walking the tree ---- */

/* The value of a key; NULL: it is not there, empty, or map is no map. */
static const struct node *value_of(const struct node *map, const char *key)
{
	const struct node *found = map && map->kind == NODE_MAP ? node_key(map, key, strlen(key)) : NULL;

	return found && !node_is_null(found->next) ? found->next : NULL;
}

static const char *text_of(const struct node *map, const char *key)
{
	const struct node *value = value_of(map, key);

	return value && value->kind == NODE_SCALAR && *value->text ? value->text : NULL;
}

/* What stands under `key` of the item with that name in one of the lists clusters, users, contexts. */
static const struct node *named(const struct node *root, const char *list, const char *name, const char *key)
{
	const struct node *items = value_of(root, list);

	for (const struct node *i = items && items->kind == NODE_LIST ? items->first : NULL; i; i = i->next) {
		const char *its = text_of(i, "name");

		if (its && !strcmp(its, name))
			return value_of(i, key);
	}
	return NULL;
}

/* ---- values ---- */

static int keep_text(char **out, const char *text)
{
	*out = text ? strdup(text) : NULL;
	return text && !*out ? -ENOMEM : 0;
}

static int keep_path(struct reading *r, char **out, const char *path)
{
	if (!path || *path == '/')
		return keep_text(out, path);
	return asprintf(out, "%s/%s", r->directory, path) < 0 ? (*out = NULL, -ENOMEM) : 0;
}

/* Text in base64, of however many lines. -EINVAL: it is none, or has a zero within. */
static int decode64(const char *text, char **out)
{
	_cleanup_free_ char *line = strdup(text);
	uint8_t *bytes;
	size_t len = 0, n;
	int err;

	if (!line)
		return -ENOMEM;
	for (; *text; text++)
		if (!isspace((unsigned char)*text))
			line[len++] = *text;
	err = base64_decode(line, len, &bytes, &n);
	if (err)
		return err;
	if (!n || memchr(bytes, '\0', n)) {
		free(bytes);
		return -EINVAL;
	}
	*out = (char *)bytes;
	return 0;
}

/* A file, or its contents, which come first where both are said. */
static int keep_pem(struct reading *r, const struct node *map, const char *key, char **file, char **data)
{
	char data_key[64];
	const char *text;
	int err;

	snprintf(data_key, sizeof(data_key), "%s-data", key);
	text = text_of(map, data_key);
	if (!text)
		return keep_path(r, file, text_of(map, key));
	err = decode64(text, data);
	return err == -EINVAL ? refuse(r, "%s is no base64; put it in as kubectl does", data_key) : err;
}

/* ---- sections ---- */

static int read_server(struct reading *r, const char *server, const char *cluster)
{
	size_t len = server ? strlen(server) : 0;
	const char *host = "";

	if (server && !strncmp(server, "http://", 7))
		host = server + 7;
	else if (server && !strncmp(server, "https://", 8))
		host = server + 8;
	if (!*host || *host == '/' || *host == ':' || strpbrk(server, "?# \t\r\n"))
		return refuse(r, "cluster %s: server is no URL; write, for example, https://10.0.0.1:6443", cluster);
	while (server[len - 1] == '/')
		len--;
	r->k.server = strndup(server, len);
	return r->k.server ? 0 : -ENOMEM;
}

static int read_cluster(struct reading *r, const struct node *cluster, const char *name)
{
	const char *insecure = text_of(cluster, "insecure-skip-tls-verify");
	int err;

	if (insecure && strcmp(insecure, "false"))
		return refuse(r,
			      "cluster %s: insecure-skip-tls-verify: the server would not be verified; give "
			      "certificate-authority instead",
			      name);
	if (value_of(cluster, "tls-server-name") || value_of(cluster, "proxy-url"))
		return refuse(r,
			      "cluster %s: tls-server-name and proxy-url are not supported; remove them, and let "
			      "server be the "
			      "name that the certificate has",
			      name);
	err = read_server(r, text_of(cluster, "server"), name);
	return err ? err : keep_pem(r, cluster, "certificate-authority", &r->k.ca_file, &r->k.ca_data);
}

/* A token that a file holds may change, and comes before one that stands here. */
static int read_token(struct reading *r, const struct node *user, const char *name)
{
	const char *file = text_of(user, "tokenFile"), *token = text_of(user, "token");

	if (file)
		return keep_path(r, &r->k.token_file, file);
	if (token && strpbrk(token, " \t\r\n"))
		return refuse(r, "user %s: token has spaces; put it in as it was issued", name);
	return keep_text(&r->k.token, token);
}

static int read_user(struct reading *r, const struct node *user, const char *name)
{
	static const char *const plugins[] = { "exec", "auth-provider", "username", "as" };
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(plugins); i++)
		if (value_of(user, plugins[i]))
			return refuse(r,
				      "user %s: %s is not supported; use a token, tokenFile or client-certificate, "
				      "such as those of "
				      "a ServiceAccount",
				      name, plugins[i]);
	err = keep_pem(r, user, "client-certificate", &r->k.cert_file, &r->k.cert_data);
	if (!err)
		err = keep_pem(r, user, "client-key", &r->k.key_file, &r->k.key_data);
	if (!err && (r->k.cert_file || r->k.cert_data) != (r->k.key_file || r->k.key_data))
		return refuse(r,
			      "user %s: only one of client-certificate and client-key is given; give both, or neither",
			      name);
	return err ? err : read_token(r, user, name);
}

static int read_context(struct reading *r, const struct node *root, const char *context)
{
	const char *name = context ?: text_of(root, "current-context");
	const struct node *found = name ? named(root, "contexts", name, "context") : NULL, *cluster_node, *user_node;
	const char *cluster = text_of(found, "cluster"), *user = text_of(found, "user");
	int err;

	if (!name)
		return refuse(r, "it has no current-context; name one with context");
	if (!found)
		return refuse(r, "it has no context %s; name another with context", name);
	cluster_node = cluster ? named(root, "clusters", cluster, "cluster") : NULL;
	if (!cluster_node)
		return refuse(r, "context %s is of cluster %s, which is not there; add it to clusters", name,
			      cluster ?: "(none)");
	user_node = user ? named(root, "users", user, "user") : NULL;
	if (user && !user_node)
		return refuse(r, "context %s is of user %s, which is not there; add it to users", name, user);
	err = read_cluster(r, cluster_node, cluster);
	return err || !user ? err : read_user(r, user_node, user);
}

/* ---- in the whole ---- */

static void note_mistake(void *arg, const char *sentence)
{
	char *problem = arg;

	if (!problem[0])
		snprintf(problem, KUBECONFIG_TEXT, "%s", sentence);
}

int kubeconfig_parse(const char *text, size_t len, const char *context, const char *directory, struct kubeconfig *out,
		     char problem[KUBECONFIG_TEXT])
{
	_cleanup_(tree_freep) struct tree *tree = NULL;
	_cleanup_(mistakes_clear) struct mistakes m = {};
	_cleanup_(reading_clear) struct reading r = { .directory = directory, .problem = problem };
	int err = tree_parse(text, len, "it is empty; a kubeconfig has clusters, users and contexts", &m, &tree);

	problem[0] = '\0';
	if (err == -EINVAL)
		mistakes_report(&m, "it", note_mistake, problem);
	if (!err)
		err = read_context(&r, tree_root(tree), context);
	if (err)
		return err;
	*out = r.k;
	r.k = (struct kubeconfig){};
	return 0;
}

int kubeconfig_pod(const char *directory, const char *host, const char *port, struct kubeconfig *out)
{
	struct kubeconfig k = {};
	bool is6 = host && strchr(host, ':');

	if (!host || !*host || !port || !*port)
		return -EINVAL;
	if (asprintf(&k.server, "https://%s%s%s:%s", is6 ? "[" : "", host, is6 ? "]" : "", port) < 0)
		k.server = NULL;
	if (asprintf(&k.ca_file, "%s/ca.crt", directory) < 0)
		k.ca_file = NULL;
	if (asprintf(&k.token_file, "%s/token", directory) < 0)
		k.token_file = NULL;
	if (!k.server || !k.ca_file || !k.token_file) {
		kubeconfig_clear(&k);
		return -ENOMEM;
	}
	*out = k;
	return 0;
}
