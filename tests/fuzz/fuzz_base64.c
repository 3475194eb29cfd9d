/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Base64: any bytes survive it, and a text that is read is the only one that stands for its bytes. */
#include "base/base64.h"
#include "fuzz.h"

static void there_and_back(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = base64_encode(data, size);
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t n = 0;

	must(text && strlen(text) == (size + 2) / 3 * 4);
	must(!base64_decode(text, strlen(text), &bytes, &n) && n == size && (!n || !memcmp(bytes, data, n)) &&
	     !bytes[n]);
}

static void back_and_there(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t n = 0;

	if (base64_decode((const char *)data, size, &bytes, &n)) {
		must(!bytes && !n);
		return;
	}
	text = base64_encode(bytes, n);
	must(text && strlen(text) == size && (!size || !memcmp(text, data, size)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	there_and_back(data, size);
	back_and_there(data, size);
	return 0;
}
