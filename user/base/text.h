/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Texts that are kept, and what others said, made fit for our own messages. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

/* *text becomes another one, "" if there is no memory for it; the old one is freed. */
void text_set(char **text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * One line of UTF-8, harmless on a terminal, in a log and in JSON: each control character, and each byte that is no part of a
 * whole UTF-8 character, becomes '?'. Returns text.
 */
char *text_clean(char *text);

#endif
