/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "discovery/json_scan.h"

#include <string.h>

/* ---- bytes ---- */

static void give_up(struct scan *s)
{
	s->bad = true;
	s->at = s->end;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The byte that comes next, whatever it is; 0: the end. */
static char here(const struct scan *s)
{
	return s->at < s->end ? *s->at : '\0';
}

static char past_blanks(struct scan *s)
{
	while (s->at < s->end && is_blank(*s->at))
		s->at++;
	return here(s);
}

static bool take(struct scan *s, char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* ---- lists and objects ---- */

char scan_peek(struct scan *s)
{
	char c = past_blanks(s);

	return c && strchr("[{\"-0123456789tfn", c) ? c : '\0';
}

bool scan_open(struct scan *s, char bracket)
{
	past_blanks(s);
	if (!take(s, bracket) || ++s->depth > SCAN_DEPTH) {
		give_up(s);
		return false;
	}
	past_blanks(s);
	if (!take(s, bracket == '[' ? ']' : '}'))
		return !s->bad;
	s->depth--;
	return false;
}

bool scan_more(struct scan *s, char bracket)
{
	past_blanks(s);
	if (take(s, ','))
		return true;
	if (take(s, bracket))
		s->depth--;
	else
		give_up(s);
	return false;
}

/* ---- strings ---- */

/* Where a string goes; what does not fit is forgotten. */
struct sink {
	char *at, *end;
};

static void put(struct sink *to, char c)
{
	if (to->at < to->end)
		*to->at++ = c ? c : '?';
}

/* As UTF-8. */
static void put_code(struct sink *to, unsigned code)
{
	if (code < 0x80) {
		put(to, code);
		return;
	}
	if (code < 0x800) {
		put(to, 0xc0 | code >> 6);
	} else if (code < 0x10000) {
		put(to, 0xe0 | code >> 12);
		put(to, 0x80 | (code >> 6 & 0x3f));
	} else {
		put(to, 0xf0 | code >> 18);
		put(to, 0x80 | (code >> 12 & 0x3f));
		put(to, 0x80 | (code >> 6 & 0x3f));
	}
	put(to, 0x80 | (code & 0x3f));
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX. */
static unsigned read_unit(struct scan *s)
{
	unsigned unit = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(here(s));

		if (digit < 0) {
			give_up(s);
			return 0;
		}
		unit = unit << 4 | digit;
		s->at++;
	}
	return unit;
}

static void read_code(struct scan *s, struct sink *to)
{
	unsigned code = read_unit(s);

	if (code >= 0xd800 && code < 0xdc00) {
		unsigned low = take(s, '\\') && take(s, 'u') ? read_unit(s) : 0;

		if (low >= 0xdc00 && low < 0xe000)
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
		else
			give_up(s);
	} else if (code >= 0xdc00 && code < 0xe000) {
		give_up(s);
	}
	if (!s->bad)
		put_code(to, code);
}

/* What follows a backslash. */
static void read_escape(struct scan *s, struct sink *to)
{
	static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	char c = here(s);
	const char *known = c ? strchr(names, c) : NULL;

	s->at += s->at < s->end;
	if (known)
		put(to, meant[known - names]);
	else if (c == 'u')
		read_code(s, to);
	else
		give_up(s);
}

/* From the opening quote to behind the closing one. */
static void read_string(struct scan *s, struct sink *to)
{
	if (!take(s, '"')) {
		give_up(s);
		return;
	}
	while (s->at < s->end && *s->at != '"') {
		char c = *s->at++;

		if (c == '\\')
			read_escape(s, to);
		else if ((unsigned char)c < ' ')
			give_up(s);
		else
			put(to, c);
	}
	if (!take(s, '"'))
		give_up(s);
}

void scan_text(struct scan *s, char *out, size_t size)
{
	struct sink to = { .at = out, .end = out + size - 1 };

	past_blanks(s);
	read_string(s, &to);
	*to.at = '\0';
}

void scan_key(struct scan *s, char *out, size_t size)
{
	scan_text(s, out, size);
	past_blanks(s);
	if (!take(s, ':'))
		give_up(s);
}

/* ---- numbers ---- */

static bool take_digits(struct scan *s)
{
	const char *begin = s->at;

	while (s->at < s->end && is_digit(*s->at))
		s->at++;
	return s->at > begin;
}

/* Over a number; is it written as an integer? */
static bool read_number(struct scan *s)
{
	bool fine, whole = true;

	take(s, '-');
	fine = take(s, '0') || take_digits(s);
	if (fine && take(s, '.')) {
		whole = false;
		fine = take_digits(s);
	}
	if (fine && (here(s) == 'e' || here(s) == 'E')) {
		whole = false;
		s->at++;
		if (here(s) == '+' || here(s) == '-')
			s->at++;
		fine = take_digits(s);
	}
	if (!fine)
		give_up(s);
	return fine && whole;
}

bool scan_integer(struct scan *s, int64_t *out)
{
	const char *begin;
	bool minus;

	past_blanks(s);
	begin = s->at;
	if (!read_number(s))
		return false;
	minus = *begin == '-';
	*out = 0;
	for (const char *c = begin + minus; c < s->at; c++)
		if (__builtin_mul_overflow(*out, 10, out) ||
		    __builtin_add_overflow(*out, minus ? '0' - *c : *c - '0', out))
			return false;
	return true;
}

/* ---- any value ---- */

static void read_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		give_up(s);
	else
		s->at += len;
}

static void skip_object(struct scan *s)
{
	char key[2];

	for (bool more = scan_open(s, '{'); more; more = scan_more(s, '}')) {
		scan_key(s, key, sizeof(key));
		scan_skip(s);
	}
}

/* Calls itself for what is inside, SCAN_DEPTH times at most. */
void scan_skip(struct scan *s)
{
	switch (scan_peek(s)) {
	case '{':
		skip_object(s);
		break;
	case '[':
		for (bool more = scan_open(s, '['); more; more = scan_more(s, ']'))
			scan_skip(s);
		break;
	case '"':
		read_string(s, &(struct sink){});
		break;
	case 't':
		read_word(s, "true");
		break;
	case 'f':
		read_word(s, "false");
		break;
	case 'n':
		read_word(s, "null");
		break;
	case '\0':
		give_up(s);
		break;
	default:
		read_number(s);
	}
}

void scan_end(struct scan *s)
{
	past_blanks(s);
	if (s->at < s->end)
		give_up(s);
}
