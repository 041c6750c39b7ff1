/* SPDX-License-Identifier: MIT */
/*
 * http1_fuzz - what must hold of a head parser whatever the bytes.
 *
 *   1. Facts are views into the head, and the head into the buffer.
 *   2. A head that is done is so from its own bytes, and from none fewer.
 *   3. However the bytes are cut, the outcome is the same, and what makes a prefix bad
 *      makes the whole bad.
 *   4. A head that is done has no line end but CR LF and no control byte but HTAB.
 */
#ifndef TESTS_HTTP1_FUZZ_H
#define TESTS_HTTP1_FUZZ_H

#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/http1.h"

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #cond);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

typedef enum parse parse_fn(const char *buf, size_t len, size_t seen,
			    const struct http1_limits *limits, struct http_head *head,
			    const char **why);

struct outcome {
	enum parse parse;
	const char *why;
	struct http_head head;
};

static inline uint64_t fuzz_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline uint64_t fuzz_seed(const uint8_t *data, size_t size)
{
	uint64_t seed = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		seed = (seed ^ data[i]) * UINT64_C(0x100000001b3);
	return seed | 1;
}

/* Parses BUF[0..LEN) while the rest up to SIZE can't be read. */
static inline void fuzz_parse(parse_fn *parse, char *buf, size_t len, size_t size, size_t seen,
			      struct outcome *out)
{
	static const struct http1_limits limits = { 300, 2000 };

	out->why = NULL;
	ASAN_POISON_MEMORY_REGION(buf + len, size - len);
	out->parse = parse(buf, len, seen, &limits, &out->head, &out->why);
	ASAN_UNPOISON_MEMORY_REGION(buf + len, size - len);
	must((out->parse == PARSE_BAD) == (out->why != NULL));
}

static inline void fuzz_must_lie_in(const char *buf, const struct http_head *head, struct str s)
{
	must(s.p >= buf && s.len <= head->size && s.p + s.len <= buf + head->size);
}

static inline bool fuzz_same_field(const struct http_field *a, const struct http_field *b)
{
	return a->name.p == b->name.p && a->name.len == b->name.len && a->value.p == b->value.p &&
	       a->value.len == b->value.len && a->id == b->id && a->is_hop == b->is_hop;
}

static inline void fuzz_must_be_same(const struct outcome *a, const struct outcome *b)
{
	must(a->parse == b->parse && a->why == b->why);
	if (a->parse != PARSE_DONE)
		return;
	must(a->head.size == b->head.size && a->head.fields_n == b->head.fields_n);
	must(a->head.minor == b->head.minor && a->head.framing == b->head.framing);
	must(a->head.content_length == b->head.content_length);
	must(a->head.has_content_length == b->head.has_content_length);
	must(a->head.is_keep_alive == b->head.is_keep_alive);
	must(a->head.has_connection_upgrade == b->head.has_connection_upgrade);
	must(a->head.is_websocket == b->head.is_websocket);
	must(memcmp(a->head.first, b->head.first, sizeof(a->head.first)) == 0);
	for (unsigned i = 0; i < a->head.fields_n; i++)
		must(fuzz_same_field(&a->head.fields[i], &b->head.fields[i]));
}

static inline void fuzz_check_fields(const char *buf, const struct http_head *head)
{
	unsigned counts[HTTP_FIELD_N] = { 0 };

	must(head->fields_n <= HTTP1_FIELDS_MAX);
	for (unsigned i = 0; i < head->fields_n; i++) {
		const struct http_field *field = &head->fields[i];

		fuzz_must_lie_in(buf, head, field->name);
		fuzz_must_lie_in(buf, head, field->value);
		must(http_is_token(field->name) && http_is_field_value(field->value));
		must(field->id == http_field_id_of(field->name));
		must(field->name.p[field->name.len] == ':');
		if (counts[field->id]++ == 0)
			must(head->first[field->id] == (int)i);
	}
	for (unsigned id = 0; id < HTTP_FIELD_N; id++)
		must((head->first[id] < 0) == (counts[id] == 0));
	must(counts[FIELD_CONTENT_LENGTH] + counts[FIELD_TRANSFER_ENCODING] <= 1);
	must(head->has_content_length == (counts[FIELD_CONTENT_LENGTH] == 1));
}

static inline void fuzz_check_bytes(const char *buf, size_t size)
{
	must(size >= 4 && memcmp(buf + size - 4, "\r\n\r\n", 4) == 0);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)buf[i];

		if (c == '\r')
			must(buf[i + 1] == '\n');
		else if (c == '\n')
			must(i > 0 && buf[i - 1] == '\r');
		else
			must(c == '\t' || (c >= 0x20 && c != 0x7f));
	}
}

static inline void fuzz_check_cuts(parse_fn *parse, char *buf, size_t len, uint64_t seed,
				   const struct outcome *whole)
{
	static struct outcome step;
	size_t at = 0, seen = 0, stride = 1 + fuzz_next(&seed) % 64;

	step.parse = PARSE_MORE;
	while (at < len && step.parse == PARSE_MORE) {
		at += 1 + fuzz_next(&seed) % stride;
		if (at > len)
			at = len;
		fuzz_parse(parse, buf, at, len + 1, seen, &step);
		seen = at;
	}
	if (step.parse == PARSE_MORE && whole->parse == PARSE_BAD) {
		/* The mistake lies in the last line, and is told at its end. */
		buf[len] = '\n';
		fuzz_parse(parse, buf, len + 1, len + 1, seen, &step);
		must(step.parse == PARSE_BAD);
	}
	if (step.parse == PARSE_DONE)
		must(at >= step.head.size);
	if (len)
		fuzz_must_be_same(&step, whole);
}

/* Runs PARSE over DATA; returns the head when it is done.  BUF is the caller's to free. */
static inline struct http_head *fuzz_head(parse_fn *parse, const uint8_t *data, size_t size,
					  char **buf)
{
	static struct outcome whole, again;
	uint64_t seed = fuzz_seed(data, size);
	size_t cut;

	*buf = malloc(size + 1);
	must(*buf != NULL);
	if (size)
		memcpy(*buf, data, size);
	fuzz_parse(parse, *buf, size, size + 1, 0, &whole);
	for (int i = 0; i < 4; i++)
		fuzz_check_cuts(parse, *buf, size, fuzz_next(&seed), &whole);

	cut = fuzz_next(&seed) % (size + 1);
	fuzz_parse(parse, *buf, cut, size + 1, 0, &again);
	if (again.parse != PARSE_MORE)
		fuzz_must_be_same(&again, &whole);
	if (whole.parse != PARSE_DONE)
		return NULL;

	must(whole.head.size <= size);
	fuzz_check_bytes(*buf, whole.head.size);
	fuzz_check_fields(*buf, &whole.head);
	fuzz_parse(parse, *buf, whole.head.size, size + 1, 0, &again);
	fuzz_must_be_same(&again, &whole);
	fuzz_parse(parse, *buf, whole.head.size - 1, size + 1, 0, &again);
	must(again.parse == PARSE_MORE);
	return &whole.head;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
