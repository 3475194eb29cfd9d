/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A kubeconfig: what is accepted names a server, and shows itself in one way; what is not is refused with a sentence.
 */
#include <errno.h>

#include "discovery/kubeconfig.h"
#include "fuzz.h"

static void check(const struct kubeconfig *k)
{
	const char *host = k->server ? strstr(k->server, "://") : NULL;

	must(host && host[3] && host[3] != '/' && k->server[strlen(k->server) - 1] != '/');
	must(!(k->ca_file && k->ca_data) && !(k->cert_file && k->cert_data) && !(k->key_file && k->key_data));
	must(!(k->cert_file || k->cert_data) == !(k->key_file || k->key_data) && !(k->token && k->token_file));
	must(!k->ca_file || k->ca_file[0] == '/');
}

static void try_context(const uint8_t *data, size_t size, const char *context)
{
	_cleanup_(kubeconfig_clear) struct kubeconfig k = {};
	char problem[KUBECONFIG_TEXT] = "";
	int err = kubeconfig_parse((const char *)data, size, context, "/etc/kube", &k, problem);

	must(strnlen(problem, sizeof(problem)) < sizeof(problem));
	if (err)
		must(err == -EINVAL && problem[0] && !strchr(problem, '\n') && !k.server);
	else
		check(&k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_context(data, size, NULL);
	try_context(data, size, "two");
	return 0;
}
