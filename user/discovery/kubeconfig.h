/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How to reach the API of a Kubernetes cluster, and who we are there: from a kubeconfig file, or from what a pod has.
 * Pure. Plugins that make credentials (exec, auth-provider), and servers that are not to be verified, are refused.
 */
#ifndef DISCOVERY_KUBECONFIG_H
#define DISCOVERY_KUBECONFIG_H

#include <stddef.h>

/* Texts are NULL where nothing is said. */
struct kubeconfig {
	char *server; /* URL, without a slash at its end */
	char *ca_file, *cert_file, *key_file;
	char *ca_data, *cert_data, *key_data; /* PEM */
	char *token; /* where it does not change; else: */
	char *token_file;
};
void kubeconfig_clear(struct kubeconfig *k);

#define KUBECONFIG_TEXT 512
/*
 * context: its name; NULL: the current one. Files are relative to directory. 0, -ENOMEM, or -EINVAL: problem says what
 * is wrong and what would be right, without the file's name.
 */
int kubeconfig_parse(const char *text, size_t len, const char *context, const char *directory, struct kubeconfig *out,
		     char problem[KUBECONFIG_TEXT]);

/* What a pod has: its directory of credentials, two variables of its environment. 0, -ENOMEM, or -EINVAL: no pod. */
int kubeconfig_pod(const char *directory, const char *host, const char *port, struct kubeconfig *out);

#endif
