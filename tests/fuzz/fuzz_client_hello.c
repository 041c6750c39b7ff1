/* SPDX-License-Identifier: MIT */
/*
 * client_hello: a shorter beginning says MORE, or what the whole says; views lie in the buffer or
 * the scratch; what is told keeps its form.
 *
 * With the first byte 0 the rest is the connection; else it is a message, put into records of so
 * many bytes.
 */
#include "config.h"

#include "proto/client_hello.h"

#include <stdlib.h>

#include "base/bug.h"

#define must(cond) bug_on(!(cond))

static bool is_within(struct str view, const char *p, size_t size)
{
	return view.p >= p && view.p + view.len <= p + size;
}

static void check_facts(const struct client_hello *hello, const char *p, size_t len,
			const char *scratch)
{
	struct str rest = hello->alpn;

	must(hello->size <= len && hello->size <= CLIENT_HELLO_SIZE_MAX && hello->size > 5);
	must(hello->legacy_version >> 8 == 3 && hello->version <= 0x0304);
	if (hello->sni.p) {
		must(is_within(hello->sni, p, len) ||
		     is_within(hello->sni, scratch, CLIENT_HELLO_SIZE_MAX));
		must(hello->sni.len > 0 && hello->sni.len <= CLIENT_HELLO_SNI_MAX);
		for (size_t i = 0; i < hello->sni.len; i++)
			must(hello->sni.p[i] > ' ' && hello->sni.p[i] < 0x7f);
	}
	while (rest.len > 0) {
		size_t n = (uint8_t)rest.p[0];

		must(n > 0 && n < rest.len);
		rest = str_sub(rest.p + 1 + n, rest.p + rest.len);
	}
}

static void check(const char *p, size_t len)
{
	char *scratch = malloc(CLIENT_HELLO_SIZE_MAX),
	     *part_scratch = malloc(CLIENT_HELLO_SIZE_MAX);
	struct client_hello hello, part;
	const char *why = NULL;
	enum parse all = client_hello_parse(p, len, scratch, &hello, &why);
	size_t step = len / 64 + 1;

	must((all == PARSE_BAD) == (why != NULL));
	must(all != PARSE_MORE || len < CLIENT_HELLO_SIZE_MAX);
	if (all == PARSE_DONE)
		check_facts(&hello, p, len, scratch);
	for (size_t n = 0; n < len; n += n < 32 ? 1 : step) {
		char *copy = malloc(n + !n);
		const char *part_why = NULL;
		enum parse got;

		memcpy(copy, p, n);
		got = client_hello_parse(copy, n, part_scratch, &part, &part_why);
		must(got == PARSE_MORE || (got == all && part_why == why));
		if (got == PARSE_DONE)
			must(part.size == hello.size && str_eq(part.sni, hello.sni) &&
			     str_eq(part.alpn, hello.alpn) && part.version == hello.version);
		free(copy);
	}
	free(scratch);
	free(part_scratch);
}

static void check_protocol(const char *p, size_t len)
{
	enum first_protocol whole = FIRST_N, part;
	enum parse answer = first_bytes(p, len, &whole);

	must(answer == PARSE_DONE || (answer == PARSE_MORE && len < FIRST_BYTES_MAX));
	for (size_t n = 0; n < len && n < FIRST_BYTES_MAX; n++) {
		if (first_bytes(p, n, &part) == PARSE_DONE)
			must(answer == PARSE_DONE && part == whole);
	}
}

/* SIZE bytes of a message in records of RECORD bytes; (own). */
static char *in_records(const uint8_t *message, size_t size, size_t record, size_t *len)
{
	char *p = malloc(size + (size / record + 1) * 5);

	*len = 0;
	for (size_t at = 0; at < size; at += record) {
		size_t n = size - at < record ? size - at : record;
		char head[5] = { 0x16, 3, 1, (char)(n >> 8), (char)n };

		memcpy(p + *len, head, sizeof(head));
		memcpy(p + *len + sizeof(head), message + at, n);
		*len += sizeof(head) + n;
	}
	return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *p;

	if (size < 1)
		return 0;
	if (data[0]) {
		p = in_records(data + 1, size - 1, data[0], &size);
	} else {
		size--;
		p = malloc(size + !size);
		memcpy(p, data + 1, size);
	}
	check(p, size);
	check_protocol(p, size);
	free(p);
	return 0;
}
