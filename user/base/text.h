/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What others said, made fit for our own messages: one line of UTF-8, harmless on a terminal, in a log and in JSON. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

/* Each control character, and each byte that is no part of a whole UTF-8 character, becomes '?'. Returns text. */
char *text_clean(char *text);

#endif
