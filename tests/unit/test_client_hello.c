/* SPDX-License-Identifier: MIT */
/*
 * client_hello: hellos as OpenSSL sends them and hellos made by hand, in records of every size and
 * cut at every byte, each piece in a heap block of its size: a shorter one must say MORE, or what
 * the whole says.
 */
#include "config.h"

#include "proto/client_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/bug.h"

#define WIRE_MAX (8 * CLIENT_HELLO_SIZE_MAX)

struct bytes {
	size_t n;
	char b[WIRE_MAX];
};

/* What a parse said, without views. */
struct outcome {
	enum parse parse;
	const char *why;
	struct client_hello hello;
	char sni[CLIENT_HELLO_SNI_MAX + 1], alpn[256];
};

static void put(struct bytes *to, const void *from, size_t n)
{
	assert_true(to->n + n <= WIRE_MAX);
	memcpy(to->b + to->n, from, n);
	to->n += n;
}

static void put_int(struct bytes *to, size_t width, size_t value)
{
	while (width-- > 0) {
		char c = (char)(value >> 8 * width);

		put(to, &c, 1);
	}
}

static void put_vector(struct bytes *to, size_t width, struct str what)
{
	put_int(to, width, what.len);
	put(to, what.p, what.len);
}

static void copy_view(char *out, size_t size, struct str view)
{
	assert_true(view.len < size);
	if (view.p)
		memcpy(out, view.p, view.len);
	out[view.len] = '\0';
}

static struct outcome parse_first(const struct bytes *wire, size_t len)
{
	char *copy = malloc(len ? len : 1), *scratch = malloc(CLIENT_HELLO_SIZE_MAX);
	struct outcome out = { 0 };

	memcpy(copy, wire->b, len);
	out.parse = client_hello_parse(copy, len, scratch, &out.hello, &out.why);
	if (out.parse == PARSE_DONE) {
		copy_view(out.sni, sizeof(out.sni), out.hello.sni);
		copy_view(out.alpn, sizeof(out.alpn), out.hello.alpn);
	}
	assert_true((out.parse == PARSE_BAD) == (out.why != NULL));
	if (out.parse == PARSE_MORE)
		assert_true(len < CLIENT_HELLO_SIZE_MAX);
	free(copy);
	free(scratch);
	return out;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->parse, b->parse);
	assert_ptr_equal(a->why, b->why);
	if (a->parse != PARSE_DONE)
		return;
	assert_string_equal(a->sni, b->sni);
	assert_string_equal(a->alpn, b->alpn);
	assert_int_equal(a->hello.size, b->hello.size);
	assert_int_equal(a->hello.version, b->hello.version);
	assert_int_equal(a->hello.legacy_version, b->hello.legacy_version);
	assert_int_equal(a->hello.has_ech, b->hello.has_ech);
	assert_int_equal(!a->hello.sni.p, !b->hello.sni.p);
}

/* The outcome of the whole, after each beginning has been held against it. */
static struct outcome parse_in_every_cut(const struct bytes *wire)
{
	struct outcome whole = parse_first(wire, wire->n);

	for (size_t len = 0; len < wire->n; len++) {
		struct outcome part = parse_first(wire, len);

		if (part.parse == PARSE_MORE)
			continue;
		check_same(&part, &whole);
		if (part.parse == PARSE_DONE)
			assert_true(len >= whole.hello.size);
	}
	return whole;
}

/* MESSAGE in records of SIZE bytes, the last one shorter. */
static void put_records(struct bytes *wire, const struct bytes *message, size_t size)
{
	for (size_t at = 0; at < message->n; at += size) {
		size_t n = message->n - at < size ? message->n - at : size;

		put(wire, "\x16\3\1", 3);
		put_vector(wire, 2, (struct str){ message->b + at, n });
	}
}

/* A ClientHello message with EXTENSIONS, which is put behind its length unless absent. */
static void put_hello(struct bytes *message, struct str extensions)
{
	static const char random[32] = "these are thirty-two bytes of it";
	struct bytes *body = calloc(1, sizeof(*body));

	put_int(body, 2, 0x0303);
	put(body, random, sizeof(random));
	put_vector(body, 1, (struct str){ random, 32 });
	put_vector(body, 2, STR("\x5a\x5a\x13\x01\xc0\x2f"));
	put_vector(body, 1, STR("\0"));
	if (extensions.p)
		put_vector(body, 2, extensions);
	put_int(message, 1, 1);
	put_vector(message, 3, (struct str){ body->b, body->n });
	free(body);
}

static struct bytes *new_wire(struct str extensions, size_t record_size)
{
	struct bytes *message = calloc(1, sizeof(*message)), *wire = calloc(1, sizeof(*wire));

	put_hello(message, extensions);
	put_records(wire, message, record_size);
	free(message);
	return wire;
}

/* As OpenSSL's client begins. */
static struct bytes *new_openssl_wire(int min_version, int max_version, const char *sni,
				      struct str alpn)
{
	struct bytes *wire = calloc(1, sizeof(*wire));
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;
	BIO *out = BIO_new(BIO_s_mem());
	char name[64];
	int n;

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, min_version);
	SSL_CTX_set_max_proto_version(ctx, max_version);
	ssl = SSL_new(ctx);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	snprintf(name, sizeof(name), "%s", sni ? sni : "");
	if (sni)
		SSL_set_tlsext_host_name(ssl, name);
	if (alpn.p)
		SSL_set_alpn_protos(ssl, (const unsigned char *)alpn.p, (unsigned)alpn.len);
	SSL_connect(ssl);
	n = BIO_read(out, wire->b, WIRE_MAX);
	assert_true(n > 0);
	wire->n = (size_t)n;
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return wire;
}

static const struct {
	int min, max;
	const char *sni;
	struct str alpn;
	unsigned legacy, version;
} openssl_rows[] = {
	{ TLS1_2_VERSION, TLS1_3_VERSION, "chat.example.com", STR_INIT("\2h2\x08http/1.1"), 0x0303,
	  0x0304 },
	{ TLS1_3_VERSION, TLS1_3_VERSION, "A_b-c.Example.", { NULL, 0 }, 0x0303, 0x0304 },
	{ TLS1_2_VERSION, TLS1_2_VERSION, "x", STR_INIT("\4mqtt"), 0x0303, 0x0303 },
	{ TLS1_VERSION, TLS1_1_VERSION, NULL, { NULL, 0 }, 0x0302, 0x0302 },
	{ TLS1_VERSION, TLS1_VERSION, "old.example.com", { NULL, 0 }, 0x0301, 0x0301 },
	{ TLS1_VERSION, TLS1_3_VERSION, NULL, STR_INIT("\1a\1b\1c"), 0x0303, 0x0304 },
};

static void check_openssl_row(size_t i, const struct outcome *got, size_t size)
{
	struct str sni = str_of(openssl_rows[i].sni);

	assert_int_equal(got->parse, PARSE_DONE);
	assert_int_equal(got->hello.legacy_version, openssl_rows[i].legacy);
	assert_int_equal(got->hello.version, openssl_rows[i].version);
	assert_int_equal(!got->hello.sni.p, !sni.p);
	if (str_ends(sni, STR(".")))
		sni.len--;
	assert_true(str_eq(str_of(got->sni), sni));
	assert_true(str_eq(str_of(got->alpn), openssl_rows[i].alpn));
	assert_int_equal(got->hello.size, size);
	assert_false(got->hello.has_ech);
}

static void what_openssl_sends_is_read_in_records_of_every_size(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(openssl_rows); i++) {
		struct bytes *wire = new_openssl_wire(openssl_rows[i].min, openssl_rows[i].max,
						      openssl_rows[i].sni, openssl_rows[i].alpn);
		struct bytes *message = calloc(1, sizeof(*message));
		struct outcome got = parse_in_every_cut(wire);

		check_openssl_row(i, &got, wire->n);
		put(message, wire->b + 5, wire->n - 5);
		for (size_t size = 1; size <= message->n; size++) {
			bool is_cut = size < 7 || size == message->n / 2 || size == message->n - 1;

			wire->n = 0;
			put_records(wire, message, size);
			got = is_cut ? parse_in_every_cut(wire) : parse_first(wire, wire->n);
			check_openssl_row(i, &got, wire->n);
		}
		free(message);
		free(wire);
	}
}

static void what_follows_a_hello_is_not_read(void **state unused_arg)
{
	struct bytes *wire = new_wire(STR("\0\x17\0\0"), 20);
	size_t size = wire->n;
	struct outcome got;

	put(wire, "\x15\3\3\0\2\2\0 and anything", 20);
	got = parse_in_every_cut(wire);
	assert_int_equal(got.parse, PARSE_DONE);
	assert_int_equal(got.hello.size, size);
	free(wire);
}

/* SNI of one name, ready to be an extension's value. */
#define SNI_A "\0\0\0\x06\0\4\0\0\1a"
#define L63   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

static const struct {
	const char *name;
	struct str extensions;
	const char *why; /* NULL = done */
	const char *sni, *alpn;
	unsigned version;
	bool has_ech;
} rows[] = {
	{ "no extensions", { NULL, 0 }, NULL, NULL, NULL, 0x0303 },
	{ "none in an empty list", STR_INIT(""), NULL, NULL, NULL, 0x0303 },
	{ "a name", STR_INIT("\0\0\0\x06\0\4\0\0\1a"), NULL, "a", NULL, 0x0303 },
	{ "an address as name",
	  STR_INIT("\0\0\0\x0d\0\x0b\0\0\x08"
		   "10.0.0.1"),
	  NULL, "10.0.0.1", NULL, 0x0303 },
	{ "a longest label", STR_INIT("\0\0\0\x44\0\x42\0\0\x3f" L63), NULL, L63, NULL, 0x0303 },
	{ "a label too long", STR_INIT("\0\0\0\x45\0\x43\0\0\x40" L63 "x"), CLIENT_HELLO_WHY_SNI },
	{ "a longest name",
	  STR_INIT("\0\0\1\2\1\0\0\0\xfd" L63 "." L63 "." L63 "."
		   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc"),
	  NULL,
	  L63 "." L63 "." L63 "."
	      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc",
	  NULL, 0x0303 },
	{ "a name too long", STR_INIT("\0\0\1\4\1\2\0\0\xff" L63 "." L63 "." L63 "." L63),
	  CLIENT_HELLO_WHY_SNI },
	{ "an empty name", STR_INIT("\0\0\0\5\0\3\0\0\0"), CLIENT_HELLO_WHY_SNI },
	{ "a dot alone", STR_INIT("\0\0\0\6\0\4\0\0\1."), CLIENT_HELLO_WHY_SNI },
	{ "two dots at its end", STR_INIT("\0\0\0\x08\0\6\0\0\3a.."), CLIENT_HELLO_WHY_SNI },
	{ "an empty label", STR_INIT("\0\0\0\x09\0\7\0\0\4a..b"), CLIENT_HELLO_WHY_SNI },
	{ "NUL in a name", STR_INIT("\0\0\0\x08\0\6\0\0\3a\0b"), CLIENT_HELLO_WHY_SNI },
	{ "a space in a name", STR_INIT("\0\0\0\x08\0\6\0\0\3a b"), CLIENT_HELLO_WHY_SNI },
	{ "a colon in a name", STR_INIT("\0\0\0\x08\0\6\0\0\3::1"), CLIENT_HELLO_WHY_SNI },
	{ "UTF-8 in a name", STR_INIT("\0\0\0\x07\0\5\0\0\2\xc3\xa4"), CLIENT_HELLO_WHY_SNI },
	{ "two names", STR_INIT("\0\0\0\x0a\0\x08\0\0\1a\0\0\1b"), CLIENT_HELLO_WHY_SNI },
	{ "another type of name", STR_INIT("\0\0\0\6\0\4\1\0\1a"), CLIENT_HELLO_WHY_SNI },
	{ "no name", STR_INIT("\0\0\0\2\0\0"), CLIENT_HELLO_WHY_SNI },
	{ "an empty SNI", STR_INIT("\0\0\0\0"), CLIENT_HELLO_WHY_SNI },
	{ "a list shorter than its extension", STR_INIT("\0\0\0\7\0\4\0\0\1ax"),
	  CLIENT_HELLO_WHY_SNI },
	{ "a list longer than its extension", STR_INIT("\0\0\0\6\0\5\0\0\1a"),
	  CLIENT_HELLO_WHY_SNI },
	{ "a name longer than its list", STR_INIT("\0\0\0\6\0\4\0\0\2a"), CLIENT_HELLO_WHY_SNI },
	{ "two SNI", STR_INIT(SNI_A SNI_A), CLIENT_HELLO_WHY_TWICE },
	{ "ALPN", STR_INIT("\0\x10\0\5\0\3\2h2"), NULL, NULL, "\2h2", 0x0303 },
	{ "ALPN with an empty name", STR_INIT("\0\x10\0\6\0\4\2h2\0"), CLIENT_HELLO_WHY_ALPN },
	{ "ALPN without names", STR_INIT("\0\x10\0\2\0\0"), CLIENT_HELLO_WHY_ALPN },
	{ "ALPN with a name too long", STR_INIT("\0\x10\0\5\0\3\3h2"), CLIENT_HELLO_WHY_ALPN },
	{ "ALPN shorter than its extension", STR_INIT("\0\x10\0\6\0\3\2h2x"),
	  CLIENT_HELLO_WHY_ALPN },
	{ "two ALPN", STR_INIT("\0\x10\0\5\0\3\2h2\0\x10\0\5\0\3\2h2"), CLIENT_HELLO_WHY_TWICE },
	{ "versions behind GREASE", STR_INIT("\0\x2b\0\7\6\x1a\x1a\3\4\3\3"), NULL, NULL, NULL,
	  0x0304 },
	{ "a version that nobody knows", STR_INIT("\0\x2b\0\3\2\3\5"), NULL, NULL, NULL, 0 },
	{ "a draft and TLS 1.1", STR_INIT("\0\x2b\0\5\4\x7f\x1c\3\2"), NULL, NULL, NULL, 0x0302 },
	{ "half a version", STR_INIT("\0\x2b\0\4\3\3\4\3"), CLIENT_HELLO_WHY_FORM },
	{ "no versions", STR_INIT("\0\x2b\0\1\0"), CLIENT_HELLO_WHY_FORM },
	{ "GREASE around a name", STR_INIT("\x0a\x0a\0\0" SNI_A "\xda\xda\0\1\0"), NULL, "a", NULL,
	  0x0303 },
	{ "encrypted, with an outer name", STR_INIT(SNI_A "\xfe\x0d\0\3\0\0\1"), NULL, "a", NULL,
	  0x0303, true },
	{ "the inner one of an encrypted", STR_INIT("\xfe\x0d\0\1\1" SNI_A), NULL, "a", NULL,
	  0x0303 },
	{ "encrypted twice", STR_INIT("\xfe\x0d\0\1\0\xfe\x0d\0\1\0"), CLIENT_HELLO_WHY_TWICE },
	{ "an unknown one twice", STR_INIT("\0\x2a\0\0\0\x2a\0\0"), CLIENT_HELLO_WHY_TWICE },
	{ "half a type", STR_INIT("\0"), CLIENT_HELLO_WHY_FORM },
	{ "half a length", STR_INIT("\0\x17\0"), CLIENT_HELLO_WHY_FORM },
	{ "an extension longer than the list", STR_INIT("\0\x17\0\1"), CLIENT_HELLO_WHY_FORM },
};

static void check_row(size_t i, const struct outcome *got)
{
	if (got->why != rows[i].why)
		fail_msg("%s: %s", rows[i].name, got->why ? got->why : "done");
	if (rows[i].why)
		return;
	if (got->parse != PARSE_DONE || got->hello.version != rows[i].version ||
	    got->hello.has_ech != rows[i].has_ech ||
	    !str_eq(str_of(rows[i].sni), str_of(got->sni)) ||
	    !str_eq(str_of(rows[i].alpn), str_of(got->alpn)))
		fail_msg("%s: %d, %x, '%s', '%s'", rows[i].name, got->parse, got->hello.version,
			 got->sni, got->alpn);
}

static void extensions_are_read_strictly(void **state unused_arg)
{
	static const size_t sizes[] = { 1, 2, 50, CLIENT_HELLO_SIZE_MAX };

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		for (size_t k = 0; k < ARRAY_N(sizes); k++) {
			struct bytes *wire = new_wire(rows[i].extensions, sizes[k]);
			struct outcome got = parse_in_every_cut(wire);

			check_row(i, &got);
			free(wire);
		}
	}
}

/* Bytes of a hello's fixed part: version, random, session, suites, compression; no extensions. */
#define R32 "0123456789abcdef0123456789abcdef"

static void a_hello_must_have_its_form(void **state unused_arg)
{
	static const struct {
		struct str body;
		bool is_good;
	} forms[] = {
		{ STR_INIT("\3\3" R32 "\0\0\2\x13\1\1\0"), true },
		{ STR_INIT("\3\0" R32 "\0\0\2\x13\1\2\1\0"), true },
		{ STR_INIT(""), false },
		{ STR_INIT("\2\3" R32 "\0\0\2\x13\1\1\0"), false },
		{ STR_INIT("\3\3" R32 "\x21" R32 "x\0\2\x13\1\1\0"), false },
		{ STR_INIT("\3\3" R32 "\0\0\0\1\0"), false },
		{ STR_INIT("\3\3" R32 "\0\0\3\x13\1\x13\1\0"), false },
		{ STR_INIT("\3\3" R32 "\0\0\2\x13\1\0"), false },
		{ STR_INIT("\3\3" R32 "\0\0\2\x13\1\1\1"), false },
		{ STR_INIT("\3\3" R32 "\0\0\2\x13\1\2\0"), false },
		{ STR_INIT("\3\3" R32 "\0\0\2\x13\1\1\0\0"), false },
		{ STR_INIT("\3\3" R32 "\0\0\2\x13\1\1\0\0\0\0"), false },
		{ STR_INIT("\3\3" R32 "\0\0\2\x13\1\1\0\0\1"), false },
	};

	for (size_t i = 0; i < ARRAY_N(forms); i++) {
		struct bytes *message = calloc(1, sizeof(*message)),
			     *wire = calloc(1, sizeof(*wire));
		struct outcome got;

		put_int(message, 1, 1);
		put_vector(message, 3, forms[i].body);
		put_records(wire, message, 11);
		got = parse_in_every_cut(wire);
		if (got.why != (forms[i].is_good ? NULL : CLIENT_HELLO_WHY_FORM))
			fail_msg("%zu: %s", i, got.why ? got.why : "done");
		free(message);
		free(wire);
	}
}

static void records_are_taken_strictly(void **state unused_arg)
{
	static const struct {
		const char *name;
		struct str wire;
		const char *why; /* NULL = more */
	} heads[] = {
		{ "nothing", STR_INIT(""), NULL },
		{ "a beginning", STR_INIT("\x16\3\1\0\xc8\1\0\0\xc4\3\3"), NULL },
		{ "a record of one byte", STR_INIT("\x16\3\1\0\1\1\x16\3\1\0\1"), NULL },
		{ "SSL 2", STR_INIT("\x80\x2e\1\0\2\0\x15\0\0\0\x10"), CLIENT_HELLO_WHY_RECORD },
		{ "HTTP", STR_INIT("GET / HTTP/1.1\r\n"), CLIENT_HELLO_WHY_RECORD },
		{ "an alert", STR_INIT("\x15\3\1\0\2\2\0"), CLIENT_HELLO_WHY_RECORD },
		{ "an alert in between", STR_INIT("\x16\3\1\0\1\1\x15\3\1\0\2\1\0"),
		  CLIENT_HELLO_WHY_RECORD },
		{ "data in between", STR_INIT("\x16\3\1\0\2\1\0\x17\3\3\0\1x"),
		  CLIENT_HELLO_WHY_RECORD },
		{ "a cipher change in between", STR_INIT("\x16\3\1\0\2\1\0\x14\3\3\0\1\1"),
		  CLIENT_HELLO_WHY_RECORD },
		{ "an empty record", STR_INIT("\x16\3\1\0\0\x16\3\1\0\1\1"),
		  CLIENT_HELLO_WHY_RECORD },
		{ "an empty record later", STR_INIT("\x16\3\1\0\1\1\x16\3\1\0\0"),
		  CLIENT_HELLO_WHY_RECORD },
		{ "another version", STR_INIT("\x16\2\1\0\1\1"), CLIENT_HELLO_WHY_RECORD },
		{ "a version to come", STR_INIT("\x16\3\5\0\1\1"), CLIENT_HELLO_WHY_RECORD },
		{ "a ServerHello", STR_INIT("\x16\3\3\0\x30\2\0\0\x2c"),
		  CLIENT_HELLO_WHY_HANDSHAKE },
		{ "a record too long", STR_INIT("\x16\3\1\x40\x00\1\0"), CLIENT_HELLO_WHY_SIZE },
		{ "a message too long", STR_INIT("\x16\3\1\0\4\1\0\x3f\xf8"),
		  CLIENT_HELLO_WHY_SIZE },
		{ "a message far too long", STR_INIT("\x16\3\1\0\4\1\xff\xff\xff"),
		  CLIENT_HELLO_WHY_SIZE },
		{ "a longest message", STR_INIT("\x16\3\1\0\4\1\0\x3f\xf7"), NULL },
		{ "a record longer than its message", STR_INIT("\x16\3\1\0\6\1\0\0\1"),
		  CLIENT_HELLO_WHY_TRAILER },
		{ "a last record longer", STR_INIT("\x16\3\1\0\4\1\0\0\1\x16\3\1\0\2"),
		  CLIENT_HELLO_WHY_TRAILER },
	};

	for (size_t i = 0; i < ARRAY_N(heads); i++) {
		struct bytes *wire = calloc(1, sizeof(*wire));
		struct outcome got;

		put(wire, heads[i].wire.p, heads[i].wire.len);
		got = parse_in_every_cut(wire);
		if (got.why != heads[i].why || got.parse == PARSE_DONE)
			fail_msg("%s: %s", heads[i].name, got.why ? got.why : "done or more");
		free(wire);
	}
}

static void more_than_the_limit_is_never_asked_for(void **state unused_arg)
{
	static const size_t sizes[] = { 1, 2, 7, 100, 4000, CLIENT_HELLO_SIZE_MAX };
	char *filler = calloc(1, CLIENT_HELLO_SIZE_MAX);

	filler[0] = 0x33;
	for (size_t n = 2500; n < CLIENT_HELLO_SIZE_MAX; n += 1381) {
		filler[2] = (char)((n - 4) >> 8);
		filler[3] = (char)(n - 4);
		for (size_t k = 0; k < ARRAY_N(sizes); k++) {
			struct bytes *wire = new_wire((struct str){ filler, n }, sizes[k]);
			struct outcome got = parse_first(wire, wire->n), part;

			assert_int_equal(got.parse,
					 wire->n <= CLIENT_HELLO_SIZE_MAX ? PARSE_DONE : PARSE_BAD);
			if (got.parse == PARSE_BAD)
				assert_ptr_equal(got.why, CLIENT_HELLO_WHY_SIZE);
			for (size_t len = CLIENT_HELLO_SIZE_MAX; len > 0; len -= 128) {
				part = parse_first(wire, len < wire->n ? len : wire->n);
				if (part.parse != PARSE_MORE)
					check_same(&part, &got);
			}
			free(wire);
		}
	}
	free(filler);
}

static void damaged_hellos_are_read_the_same_in_every_cut(void **state unused_arg)
{
	static const unsigned char flips[] = { 0x01, 0x80, 0xff, 0x55 };
	struct bytes *good =
		new_wire(STR(SNI_A "\0\x10\0\5\0\3\2h2\0\x2b\0\5\4\3\4\3\3\xfe\x0d\0\1\0"), 40);

	for (size_t at = 0; at < good->n; at++) {
		for (size_t k = 0; k < ARRAY_N(flips); k++) {
			good->b[at] = (char)(good->b[at] ^ flips[k]);
			parse_in_every_cut(good);
			good->b[at] = (char)(good->b[at] ^ flips[k]);
		}
	}
	free(good);
}

static const struct {
	struct str text;
	enum first_protocol want; /* FIRST_N = more */
} protocols[] = {
	{ STR_INIT(""), FIRST_N },
	{ STR_INIT("\x16\3"), FIRST_N },
	{ STR_INIT("\x16\3\1"), FIRST_TLS },
	{ STR_INIT("\x16\3\5"), FIRST_OTHER },
	{ STR_INIT("\x80\x2e\1\0\2"), FIRST_OTHER },
	{ STR_INIT("GET / HTTP/1.1\r\n"), FIRST_HTTP },
	{ STR_INIT("\r\nGET /"), FIRST_HTTP },
	{ STR_INIT("\r\n\r\n\0\r\nQUIT\n"), FIRST_OTHER },
	{ STR_INIT("\r\r"), FIRST_OTHER },
	{ STR_INIT("OPTIONS * HTTP/1.1"), FIRST_HTTP },
	{ STR_INIT("VERSION-CONTROL /a"), FIRST_HTTP },
	{ STR_INIT("GET HTTPS://a/"), FIRST_HTTP },
	{ STR_INIT("GET htt"), FIRST_N },
	{ STR_INIT("GET hello"), FIRST_OTHER },
	{ STR_INIT("CONNECT a:443"), FIRST_HTTP },
	{ STR_INIT("CONNECT \r"), FIRST_OTHER },
	{ STR_INIT("EHLO example.com\r\n"), FIRST_OTHER },
	{ STR_INIT("PING\r\n"), FIRST_OTHER },
	{ STR_INIT("get /"), FIRST_OTHER },
	{ STR_INIT("ABCDEFGHIJKLMNOPQRST"), FIRST_N },
	{ STR_INIT("ABCDEFGHIJKLMNOPQRST /"), FIRST_HTTP },
	{ STR_INIT("ABCDEFGHIJKLMNOPQRSTU"), FIRST_OTHER },
	{ STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), FIRST_H2C },
	{ STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n"), FIRST_N },
	{ STR_INIT("PRI * HTTP/1.1\r\n"), FIRST_HTTP },
	{ STR_INIT("PRI * http/2.0\r\n"), FIRST_HTTP },
	{ STR_INIT("SSH-2.0-OpenSSH_9.2\r\n"), FIRST_SSH },
	{ STR_INIT("SSH /"), FIRST_HTTP },
	{ STR_INIT("SSH- http://"), FIRST_SSH },
	{ STR_INIT("ssh-2.0"), FIRST_OTHER },
	{ STR_INIT("*1\r\n$4\r\nPING\r\n"), FIRST_OTHER },
	{ STR_INIT("\0\0\0\x08\x04\xd2\x16\x2f"), FIRST_OTHER },
};

static enum first_protocol protocol_of_first(struct str text, size_t len)
{
	char *copy = malloc(len ? len : 1);
	enum first_protocol protocol = FIRST_N;
	enum parse got;

	memcpy(copy, text.p, len);
	got = first_bytes(copy, len, &protocol);
	free(copy);
	assert_int_not_equal(got, PARSE_BAD);
	return got == PARSE_DONE ? protocol : FIRST_N;
}

static void protocols_are_told_however_cut(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(protocols); i++) {
		struct str text = protocols[i].text;

		for (size_t len = 0; len <= text.len; len++) {
			enum first_protocol got = protocol_of_first(text, len);
			bool is_right =
				got == protocols[i].want || (got == FIRST_N && len < text.len);

			if (!is_right)
				fail_msg("%.*s, %zu bytes: %d", STR_ARG(text), len, got);
		}
	}
}

static void a_bounded_number_of_bytes_tells_the_protocol(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(protocols); i++) {
		for (unsigned c = 0; c < 256; c++) {
			char text[FIRST_BYTES_MAX];

			if (protocols[i].text.len >= FIRST_BYTES_MAX)
				continue;
			memset(text, (int)c, sizeof(text));
			memcpy(text, protocols[i].text.p, protocols[i].text.len);
			assert_int_not_equal(
				protocol_of_first((struct str){ text, sizeof(text) }, sizeof(text)),
				FIRST_N);
		}
	}
}

static void protocols_have_names(void **state unused_arg)
{
	assert_true(str_eq(first_protocol_name(FIRST_TLS), STR("tls")));
	for (enum first_protocol p = 0; p < FIRST_N; p++)
		assert_non_null(first_protocol_name(p).p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_openssl_sends_is_read_in_records_of_every_size),
		cmocka_unit_test(what_follows_a_hello_is_not_read),
		cmocka_unit_test(extensions_are_read_strictly),
		cmocka_unit_test(a_hello_must_have_its_form),
		cmocka_unit_test(records_are_taken_strictly),
		cmocka_unit_test(more_than_the_limit_is_never_asked_for),
		cmocka_unit_test(damaged_hellos_are_read_the_same_in_every_cut),
		cmocka_unit_test(protocols_are_told_however_cut),
		cmocka_unit_test(a_bounded_number_of_bytes_tells_the_protocol),
		cmocka_unit_test(protocols_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
