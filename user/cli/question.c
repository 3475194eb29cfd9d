/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "cli/question.h"

#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "cli/output.h"

static int bad_endpoint(const struct cli *cli, const char *text, const char *like)
{
	return complain(cli, WRONG_USAGE, "\"%s\" is no %s, such as 192.0.2.10:80%s or [2001:db8::10]:80%s", text, like,
			strchr(like, '/') ? "/tcp" : "", strchr(like, '/') ? "/tcp" : "");
}

/* "192.0.2.10:80/tcp" in place: cuts the protocol off; without one it is tcp. NULL: there is another one. */
static const char *take_protocol(char *text)
{
	char *slash = strchr(text, '/');

	if (!slash)
		return "tcp";
	*slash++ = '\0';
	return !strcmp(slash, "tcp") ? "tcp" : !strcmp(slash, "udp") ? "udp" : NULL;
}

int question_read(const struct cli *cli, const char *source, const char *destination, struct question *out)
{
	struct endpoint src;
	int status = question_read_destination(cli, destination, out);

	out->source = source;
	if (endpoint_parse(source, &src) || !src.port)
		return bad_endpoint(cli, source, "ADDRESS:PORT");
	return status;
}

int question_read_destination(const struct cli *cli, const char *destination, struct question *out)
{
	struct endpoint dst;

	out->destination = strdup(destination);
	out->protocol = out->destination ? take_protocol(out->destination) : NULL;
	if (!out->protocol || endpoint_parse(out->destination, &dst) || !dst.port)
		return bad_endpoint(cli, destination, "ADDRESS:PORT/PROTOCOL");
	return DONE;
}

void question_clear(struct question *q)
{
	free(q->destination);
}
