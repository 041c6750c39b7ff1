/* SPDX-License-Identifier: MIT */
/*
 * Chunked bodies: whole and in random pieces the outcome is the same, and a body that is done
 * is what a plain reader, written without regard to speed or to pieces, makes of it.
 */
#include "config.h"

#include "http1_fuzz.h"

struct decoded {
	enum parse parse;
	const char *why;
	char *body;
	size_t body_size;
	size_t used;
	size_t fields_n;
};

/* Each call sees a copy of just its bytes. */
static enum parse decode_piece(struct http1_chunked *chunked, const uint8_t *data, size_t len,
			       size_t *used, struct decoded *out)
{
	static struct http_head trailers;
	char *copy = malloc(len ? len : 1);
	struct str piece;

	must(copy != NULL);
	if (len)
		memcpy(copy, data, len);
	out->why = NULL;
	out->parse = http1_chunked_next(chunked, copy, len, used, &piece, &trailers, &out->why);
	must(*used <= len);
	must((out->parse == PARSE_BAD) == (out->why != NULL));
	if (out->parse == PARSE_MORE && piece.len) {
		must(piece.p >= copy && piece.p + piece.len <= copy + *used);
		memcpy(out->body + out->body_size, piece.p, piece.len);
		out->body_size += piece.len;
	}
	if (out->parse == PARSE_DONE) {
		must(piece.len == 0);
		out->fields_n = trailers.fields_n;
		for (unsigned i = 0; i < trailers.fields_n; i++) {
			fuzz_must_lie_in(copy, &(struct http_head){ .size = len },
					 trailers.fields[i].value);
			must(http_is_token(trailers.fields[i].name));
		}
	}
	free(copy);
	return out->parse;
}

/* STRIDE is the largest piece; the whole at once when 0. */
static void decode(const uint8_t *data, size_t size, uint64_t seed, size_t stride,
		   struct decoded *out)
{
	struct http1_chunked chunked;
	size_t end = stride ? 0 : size, used;

	*out = (struct decoded){ .parse = PARSE_MORE, .body = malloc(size + 1) };
	must(out->body != NULL);
	http1_chunked_init(&chunked);
	for (;;) {
		do {
			decode_piece(&chunked, data + out->used, end - out->used, &used, out);
			out->used += used;
		} while (out->parse == PARSE_MORE && used);
		if (out->parse != PARSE_MORE || end == size)
			return;
		end += 1 + fuzz_next(&seed) % stride;
		if (end > size)
			end = size;
	}
}

/* Checks a body known to be good. */
static void check_by_plain_reader(const char *p, const struct decoded *whole)
{
	const char *end = p + whole->used;
	size_t body_size = 0;

	for (;;) {
		char *digits_end;
		unsigned long long size = strtoull(p, &digits_end, 16);
		const char *line_end = strstr(p, "\r\n");

		must(digits_end > p && digits_end - p <= 16 && line_end && line_end < end);
		must(*digits_end == ';' || digits_end == line_end);
		p = line_end + 2;
		if (size == 0)
			break;
		must(size <= (size_t)(end - p));
		must(memcmp(whole->body + body_size, p, size) == 0);
		body_size += size;
		p += size;
		must(p[0] == '\r' && p[1] == '\n');
		p += 2;
	}
	must(body_size == whole->body_size);
	must(end - p >= 2 && memcmp(end - 2, "\r\n", 2) == 0);
	must((end - p == 2) == (whole->fields_n == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t seed = fuzz_seed(data, size);
	struct decoded whole, pieces;

	decode(data, size, seed, 0, &whole);
	for (int i = 0; i < 3; i++) {
		size_t stride = i ? 1 + fuzz_next(&seed) % 32 : 1;

		decode(data, size, fuzz_next(&seed), stride, &pieces);
		if (whole.parse == PARSE_BAD && pieces.parse == PARSE_MORE) {
			/* A bad trailer is told at the end of its line. */
			must(pieces.used < size);
		} else {
			must(pieces.parse == whole.parse && pieces.why == whole.why);
		}
		if (whole.parse != PARSE_BAD) {
			must(pieces.used == whole.used && pieces.fields_n == whole.fields_n);
			must(pieces.body_size == whole.body_size);
			must(memcmp(pieces.body, whole.body, whole.body_size) == 0);
		}
		free(pieces.body);
	}
	if (whole.parse == PARSE_DONE) {
		char *text = malloc(whole.used + 1);

		must(text != NULL);
		memcpy(text, data, whole.used);
		text[whole.used] = '\0';
		check_by_plain_reader(text, &whole);
		free(text);
	}
	free(whole.body);
	return 0;
}
