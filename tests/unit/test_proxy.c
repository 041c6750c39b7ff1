/* SPDX-License-Identifier: MIT */
/*
 * proxy: rows of headers, each parsed at every length in a heap block of that size: a shorter one
 * must say MORE, or the same BAD, never DONE.
 */
#include "config.h"

#include "proto/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/proxy_tlv.h"

#define SIG     "\r\n\r\n\0\r\nQUIT\n"
#define V4      "\x0a\0\0\1\xc0\xa8\0\2\xc0\1\1\xbb" /* 10.0.0.1:49153 -> 192.168.0.2:443 */
#define V4_TEXT "10.0.0.1:49153", "192.168.0.2:443"
#define V6A     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define V6B     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
#define MAPPED  "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1"
#define TEN     "0123456789"
#define UNIX108 "/tmp/abc" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct row {
	const char *name;
	struct str bytes;
	enum parse want;
	const char *src, *dst; /* DONE: "unix" = AF_UNSPEC */
	const char *why;       /* BAD */
	size_t after;          /* bytes behind the header that are not its own */
} rows[] = {
	{ "v1 TCP4", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153 443\r\n"), PARSE_DONE,
	  V4_TEXT },
	{ "v1 and a request", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153 443\r\nGET /"),
	  PARSE_DONE, V4_TEXT, NULL, 5 },
	{ "v1 TCP6", STR_INIT("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), PARSE_DONE,
	  "[2001:db8::1]:0", "[::1]:65535" },
	{ "v1 mapped", STR_INIT("PROXY TCP6 ::ffff:10.0.0.1 ::ffff:192.168.0.2 49153 443\r\n"),
	  PARSE_DONE, V4_TEXT },
	{ "v1 longest TCP6",
	  STR_INIT("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	  PARSE_DONE, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	{ "v1 UNKNOWN", STR_INIT("PROXY UNKNOWN\r\n"), PARSE_DONE, "unix", "unix" },
	{ "v1 UNKNOWN and anything", STR_INIT("PROXY UNKNOWN ffff::1 what ever\r\n"), PARSE_DONE,
	  "unix", "unix" },
	{ "v1 UNKNOWN, 107 bytes",
	  STR_INIT("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	  PARSE_DONE, "unix", "unix" },
	{ "v1, 108 bytes",
	  STR_INIT("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 655355\r\n"),
	  PARSE_BAD, NULL, NULL, PROXY_WHY_V1 },
	{ "v1 UNKNOWNS", STR_INIT("PROXY UNKNOWNS\r\n"), PARSE_BAD, NULL, NULL, PROXY_WHY_FAMILY },
	{ "v1 cut off", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153 443\r"), PARSE_MORE },
	{ "v1 bare LF", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153 443\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_V1 },
	{ "v1 bare CR", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153 443\r\r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_V1 },
	{ "v1 two spaces", STR_INIT("PROXY TCP4  10.0.0.1 192.168.0.2 49153 443\r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_V1 },
	{ "v1 two spaces first", STR_INIT("PROXY  TCP4 10.0.0.1 192.168.0.2 49153 443\r\n"),
	  PARSE_BAD, NULL, NULL, PROXY_WHY_V1 },
	{ "v1 space last", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153 443 \r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_ADDRESS },
	{ "v1 a field more", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153 443 1\r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_ADDRESS },
	{ "v1 a field less", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_ADDRESS },
	{ "v1 two fields less", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_V1 },
	{ "v1 tab", STR_INIT("PROXY TCP4\t10.0.0.1 192.168.0.2 49153 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_FAMILY },
	{ "v1 nothing", STR_INIT("PROXY \r\n"), PARSE_BAD, NULL, NULL, PROXY_WHY_V1 },
	{ "v1 small letters", STR_INIT("proxy TCP4 10.0.0.1 192.168.0.2 49153 443\r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_SIGNATURE },
	{ "v1 family in small letters", STR_INIT("PROXY tcp4 10.0.0.1 192.168.0.2 49153 443\r\n"),
	  PARSE_BAD, NULL, NULL, PROXY_WHY_FAMILY },
	{ "v1 UDP4", STR_INIT("PROXY UDP4 10.0.0.1 192.168.0.2 49153 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_FAMILY },
	{ "v1 v6 in TCP4", STR_INIT("PROXY TCP4 ::1 192.168.0.2 49153 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_ADDRESS },
	{ "v1 v4 in TCP6", STR_INIT("PROXY TCP6 ::1 192.168.0.2 49153 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_ADDRESS },
	{ "v1 brackets", STR_INIT("PROXY TCP6 [::1] ::1 49153 443\r\n"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_ADDRESS },
	{ "v1 zone", STR_INIT("PROXY TCP6 fe80::1%lo ::1 49153 443\r\n"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_ADDRESS },
	{ "v1 short address", STR_INIT("PROXY TCP4 10.1 192.168.0.2 49153 443\r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_ADDRESS },
	{ "v1 zero in front", STR_INIT("PROXY TCP4 10.0.0.01 192.168.0.2 49153 443\r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_ADDRESS },
	{ "v1 NUL", STR_INIT("PROXY TCP4 10.0.0.1\0x 192.168.0.2 49153 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_ADDRESS },
	{ "v1 256", STR_INIT("PROXY TCP4 10.0.0.256 192.168.0.2 49153 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_ADDRESS },
	{ "v1 port 65536", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 65536 443\r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_ADDRESS },
	{ "v1 port 0443", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 49153 0443\r\n"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_ADDRESS },
	{ "v1 port 00", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 00 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_ADDRESS },
	{ "v1 port +1", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 +1 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_ADDRESS },
	{ "v1 port -1", STR_INIT("PROXY TCP4 10.0.0.1 192.168.0.2 -1 443\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_ADDRESS },
	{ "nothing", STR_INIT(""), PARSE_MORE },
	{ "a request", STR_INIT("GET / HTTP/1.1\r\n\r\n"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_SIGNATURE },
	{ "a request that begins with P", STR_INIT("POST / HTTP/1.1\r\n\r\n"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_SIGNATURE },
	{ "TLS", STR_INIT("\x16\x03\x01"), PARSE_BAD, NULL, NULL, PROXY_WHY_SIGNATURE },
	{ "empty lines", STR_INIT("\r\n\r\nGET / HTTP/1.1\r\n"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_SIGNATURE },

	{ "v2 TCP4", STR_INIT(SIG "\x21\x11\0\x0c" V4), PARSE_DONE, V4_TEXT },
	{ "v2 and a request", STR_INIT(SIG "\x21\x11\0\x0c" V4 "GET /"), PARSE_DONE, V4_TEXT, NULL,
	  5 },
	{ "v2 TCP6", STR_INIT(SIG "\x21\x21\0\x24" V6A V6B "\0\x50\x1f\x90"), PARSE_DONE,
	  "[2001:db8::1]:80", "[2001:db8::2]:8080" },
	{ "v2 mapped", STR_INIT(SIG "\x21\x21\0\x24" MAPPED MAPPED "\0\1\0\2"), PARSE_DONE,
	  "10.0.0.1:1", "10.0.0.1:2" },
	{ "v2 Unix", STR_INIT(SIG "\x21\x31\0\xd8" UNIX108 UNIX108), PARSE_DONE, "unix", "unix" },
	{ "v2 UNSPEC", STR_INIT(SIG "\x21\0\0\0"), PARSE_DONE, "unix", "unix" },
	{ "v2 LOCAL", STR_INIT(SIG "\x20\0\0\0"), PARSE_DONE, "unix", "unix" },
	{ "v2 LOCAL with addresses", STR_INIT(SIG "\x20\x11\0\x0c" V4), PARSE_DONE, "unix",
	  "unix" },
	{ "v2 LOCAL with any family", STR_INIT(SIG "\x20\xff\0\2ab"), PARSE_DONE, "unix", "unix" },
	{ "v2 LOCAL with half a TLV", STR_INIT(SIG "\x20\0\0\2\1\1"), PARSE_DONE, "unix", "unix" },
	{ "v2 with a NOOP", STR_INIT(SIG "\x21\x11\0\x11" V4 "\4\0\2xx"), PARSE_DONE, V4_TEXT },
	{ "v2 unknown TLV", STR_INIT(SIG "\x21\x11\0\x0f" V4 "\xee\0\0"), PARSE_DONE, V4_TEXT },
	{ "v2 version 1", STR_INIT(SIG "\x11\x11\0\x0c" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_VERSION },
	{ "v2 version 3", STR_INIT(SIG "\x31\x11\0\x0c" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_VERSION },
	{ "v2 command 2", STR_INIT(SIG "\x22\x11\0\x0c" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_VERSION },
	{ "v2 UDP4", STR_INIT(SIG "\x21\x12\0\x0c" V4), PARSE_BAD, NULL, NULL, PROXY_WHY_FAMILY },
	{ "v2 UDP6", STR_INIT(SIG "\x21\x22\0\x24" V6A V6B "\0\1\0\2"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_FAMILY },
	{ "v2 Unix datagram", STR_INIT(SIG "\x21\x32\0\xd8" UNIX108 UNIX108), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_FAMILY },
	{ "v2 v4 without transport", STR_INIT(SIG "\x21\x10\0\x0c" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_FAMILY },
	{ "v2 family 4", STR_INIT(SIG "\x21\x41\0\x0c" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_FAMILY },
	{ "v2 transport 3", STR_INIT(SIG "\x21\x13\0\x0c" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_FAMILY },
	{ "v2 too short for v4", STR_INIT(SIG "\x21\x11\0\x0b" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_LENGTH },
	{ "v2 too short for v6", STR_INIT(SIG "\x21\x21\0\x0c" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_LENGTH },
	{ "v2 too short for Unix", STR_INIT(SIG "\x21\x31\0\xd7" UNIX108 UNIX108), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_LENGTH },
	{ "v2 too long", STR_INIT(SIG "\x21\x11\x0f\xf1" V4), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_LENGTH },
	{ "v2 LOCAL too long", STR_INIT(SIG "\x20\0\xff\xff"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_LENGTH },
	{ "v2 longest", STR_INIT(SIG "\x21\x11\x0f\xf0" V4), PARSE_MORE },
	{ "v2 TLV without length", STR_INIT(SIG "\x21\x11\0\x0e" V4 "\1\0"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_TLV },
	{ "v2 TLV overruns", STR_INIT(SIG "\x21\x11\0\x11" V4 "\1\0\3h2GET /"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_TLV },
	{ "v2 TLV overruns by far", STR_INIT(SIG "\x21\x11\0\x11" V4 "\1\xff\xffh2"), PARSE_BAD,
	  NULL, NULL, PROXY_WHY_TLV },
	{ "v2 short CRC", STR_INIT(SIG "\x21\x11\0\x12" V4 "\3\0\3abc"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_TLV },
	{ "v2 wrong CRC", STR_INIT(SIG "\x21\x11\0\x13" V4 "\3\0\4abcd"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_CRC },
	{ "v2 LOCAL wrong CRC", STR_INIT(SIG "\x20\0\0\7\3\0\4abcd"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_CRC },
	{ "v2 short SSL", STR_INIT(SIG "\x21\x11\0\x13" V4 "\x20\0\4\1\0\0\0"), PARSE_BAD, NULL,
	  NULL, PROXY_WHY_TLV },
	{ "v2 SSL with half a TLV",
	  STR_INIT(SIG "\x21\x11\0\x17" V4 "\x20\0\x08\1\0\0\0\0\x21\0\1"), PARSE_BAD, NULL, NULL,
	  PROXY_WHY_TLV },
};

/* Parses the first LEN bytes in a heap block of that size; views die with it. */
static enum parse parse_first(struct str bytes, size_t len, struct proxy_header *header,
			      const char **why)
{
	char *copy = malloc(len ? len : 1);
	enum parse answer;

	memcpy(copy, bytes.p, len);
	answer = proxy_parse(copy, len, header, why);
	free(copy);
	return answer;
}

static void check_done(const struct row *row, const struct proxy_header *header)
{
	char src[ADDR_TEXT_SIZE], dst[ADDR_TEXT_SIZE];

	ip_addr_text(&header->src, src);
	ip_addr_text(&header->dst, dst);
	if (strcmp(src, row->src) != 0 || strcmp(dst, row->dst) != 0)
		fail_msg("%s: %s %s", row->name, src, dst);
	assert_int_equal(header->size, row->bytes.len - row->after);
	assert_int_equal(header->version, row->bytes.p[0] == 'P' ? 1 : 2);
	assert_int_equal(header->is_local, header->version == 2 && row->bytes.p[12] == 0x20);
}

static void headers_are_parsed_however_cut(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		const struct row *row = &rows[i];

		for (size_t len = 0; len <= row->bytes.len; len++) {
			struct proxy_header header;
			const char *why = NULL;
			enum parse got = parse_first(row->bytes, len, &header, &why);
			bool is_whole = len + row->after >= row->bytes.len;

			if (got == PARSE_BAD && (row->want != PARSE_BAD || why != row->why))
				fail_msg("%s, %zu bytes: %s", row->name, len, why);
			if (got == PARSE_DONE && !(is_whole && row->want == PARSE_DONE))
				fail_msg("%s, %zu bytes: done", row->name, len);
			if (is_whole && len == row->bytes.len && got != row->want)
				fail_msg("%s: %d", row->name, got);
			if (got == PARSE_DONE)
				check_done(row, &header);
		}
	}
}

static void first_wrong_byte_is_enough(void **state unused_arg)
{
	struct proxy_header header;
	const char *why;

	for (unsigned c = 0; c < 256; c++) {
		char byte = (char)c;
		enum parse want = c == 'P' || c == '\r' ? PARSE_MORE : PARSE_BAD;

		assert_int_equal(proxy_parse(&byte, 1, &header, &why), want);
	}
	assert_int_equal(proxy_parse("\r\n\r\n\0\r\nQUIT\n\x23", 13, &header, NULL), PARSE_BAD);
}

static void crc32c_matches_the_known_vectors(void **state unused_arg)
{
	char bytes[32]; /* RFC 3720 B.4 */
	uint32_t crc;

	assert_int_equal(proxy_crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, 32);
	assert_int_equal(proxy_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(proxy_crc32c(0, bytes, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (char)i;
	assert_int_equal(proxy_crc32c(0, bytes, 32), 0x46dd794e);
	crc = proxy_crc32c(0, bytes, 13);
	assert_int_equal(proxy_crc32c(crc, bytes + 13, 19), 0x46dd794e);
}

static void fill_header(struct proxy_header *header, const char *src, const char *dst)
{
	*header = (struct proxy_header){ .authority = STR("app.example"),
					 .alpn = STR("h2"),
					 .unique_id = STR("id\0 1"),
					 .has_ssl = true,
					 .ssl_client = PROXY_SSL_TLS,
					 .ssl_verify = 0x01020304,
					 .ssl_version = STR("TLSv1.3"),
					 .ssl_cn = STR("client"),
					 .ssl_cipher = STR("TLS_AES_128_GCM_SHA256") };
	if (src)
		assert_int_equal(ip_addr_parse(str_of(src), &header->src), 0);
	if (dst)
		assert_int_equal(ip_addr_parse(str_of(dst), &header->dst), 0);
	header->src.port = src ? 49153 : 0;
	header->dst.port = dst ? 443 : 0;
}

static void assert_tlvs(const struct proxy_header *got, const struct proxy_header *want)
{
	assert_true(str_eq(got->authority, want->authority));
	assert_true(str_eq(got->alpn, want->alpn));
	assert_true(str_eq(got->unique_id, want->unique_id));
	assert_int_equal(got->has_ssl, want->has_ssl);
	assert_int_equal(got->ssl_client, want->ssl_client);
	assert_int_equal(got->ssl_verify, want->ssl_verify);
	assert_true(str_eq(got->ssl_version, want->ssl_version));
	assert_true(str_eq(got->ssl_cn, want->ssl_cn));
	assert_true(str_eq(got->ssl_cipher, want->ssl_cipher));
}

static const struct {
	const char *src, *dst;
	uint8_t family; /* of version 2 */
	const char *v1;
} pairs[] = {
	{ "10.0.0.1", "192.168.0.2", V2_TCP4, "PROXY TCP4 10.0.0.1 192.168.0.2 49153 443\r\n" },
	{ "2001:db8::1", "::1", V2_TCP6, "PROXY TCP6 2001:db8::1 ::1 49153 443\r\n" },
	{ "10.0.0.1", "::1", V2_TCP6, "PROXY TCP6 ::ffff:10.0.0.1 ::1 49153 443\r\n" },
	{ "::1", "10.0.0.1", V2_TCP6, "PROXY TCP6 ::1 ::ffff:10.0.0.1 49153 443\r\n" },
	{ "10.0.0.1", NULL, V2_TCP4, "PROXY TCP4 10.0.0.1 0.0.0.0 49153 0\r\n" },
	{ "::1", NULL, V2_TCP6, "PROXY TCP6 ::1 :: 49153 0\r\n" },
	{ NULL, "10.0.0.1", V2_UNSPEC, "PROXY UNKNOWN\r\n" },
	{ NULL, NULL, V2_UNSPEC, "PROXY UNKNOWN\r\n" },
};

static void v1_is_written_for_every_pair(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(pairs); i++) {
		struct proxy_header in, out;
		char line[PROXY_WRITE_SIZE_MAX];
		size_t n;

		fill_header(&in, pairs[i].src, pairs[i].dst);
		n = proxy_write_v1(line, sizeof(line), &in);
		if (!str_eq((struct str){ line, n }, str_of(pairs[i].v1)))
			fail_msg("'%.*s'", (int)n, line);
		assert_int_equal(proxy_parse(line, n, &out, NULL), PARSE_DONE);
		assert_true(pairs[i].src ? ip_addr_eq(&in.src, &out.src)
					 : out.src.family == AF_UNSPEC);
		assert_int_equal(proxy_write_v1(line, n, &in), n);
		assert_int_equal(proxy_write_v1(line, n - 1, &in), 0);
	}
}

static void v2_is_written_and_read_for_every_pair(void **state unused_arg)
{
	for (size_t i = 0; i < 2 * ARRAY_N(pairs); i++) {
		struct proxy_header in, out;
		char bytes[PROXY_WRITE_SIZE_MAX];
		bool with_crc = i % 2;
		size_t n;

		fill_header(&in, pairs[i / 2].src, pairs[i / 2].dst);
		n = proxy_write_v2(bytes, sizeof(bytes), &in, with_crc);
		assert_int_equal((uint8_t)bytes[13], pairs[i / 2].family);
		assert_int_equal(proxy_parse(bytes, n, &out, NULL), PARSE_DONE);
		assert_int_equal(out.size, n);
		assert_int_equal(out.is_local, pairs[i / 2].src == NULL);
		assert_true(out.is_local || ip_addr_eq(&in.src, &out.src));
		assert_int_equal(out.has_crc, with_crc);
		assert_tlvs(&out, &in);
		for (size_t room = 0; room < n; room++)
			assert_int_equal(proxy_write_v2(bytes, room, &in, with_crc), 0);
	}
}

static void is_local_hides_the_addresses(void **state unused_arg)
{
	struct proxy_header in = { .is_local = true }, out;
	char bytes[PROXY_WRITE_SIZE_MAX];

	assert_int_equal(ip_addr_parse(STR("10.0.0.1"), &in.src), 0);
	in.dst = in.src;
	assert_int_equal(proxy_write_v2(bytes, sizeof(bytes), &in, false), 16);
	assert_memory_equal(bytes, SIG "\x20\0\0\0", 16);
	assert_int_equal(proxy_parse(bytes, 16, &out, NULL), PARSE_DONE);
	assert_true(out.is_local && out.src.family == AF_UNSPEC);
}

static void v2_is_written_in_the_order_of_types_told(void **state unused_arg)
{
	static const char want[] = SIG "\x21\x11\0\x30" V4 "\3\0\4\x38\xbe\x48\xbb"
				       "\1\0\2h2"
				       "\2\0\1a"
				       "\5\0\1u"
				       "\x20\0\x0d\1\0\0\0\0\x21\0\1v\x22\0\1c";
	struct proxy_header in = { .alpn = STR("h2"),
				   .authority = STR("a"),
				   .unique_id = STR("u"),
				   .has_ssl = true,
				   .ssl_client = 1,
				   .ssl_version = STR("v"),
				   .ssl_cn = STR("c") };
	char bytes[PROXY_WRITE_SIZE_MAX];
	size_t n;

	assert_int_equal(ip_addr_parse(STR("10.0.0.1"), &in.src), 0);
	assert_int_equal(ip_addr_parse(STR("192.168.0.2"), &in.dst), 0);
	in.src.port = 49153;
	in.dst.port = 443;
	n = proxy_write_v2(bytes, sizeof(bytes), &in, true);
	assert_int_equal(n, sizeof(want) - 1);
	assert_memory_equal(bytes, want, n);
}

static void any_changed_bit_breaks_the_crc(void **state unused_arg)
{
	struct proxy_header in, out;
	char bytes[PROXY_WRITE_SIZE_MAX];
	size_t n;

	fill_header(&in, "10.0.0.1", "192.168.0.2");
	n = proxy_write_v2(bytes, sizeof(bytes), &in, true);
	for (size_t bit = 16 * 8; bit < n * 8; bit++) {
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		/* A flipped type may hide the CRC itself, and then there is nothing to check. */
		if (proxy_parse(bytes, n, &out, NULL) == PARSE_DONE)
			assert_false(out.has_crc);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
}

static void oversized_tlvs_are_left_out_and_the_largest_fit(void **state unused_arg)
{
	static char big[300];
	struct proxy_header in, out;
	char bytes[PROXY_WRITE_SIZE_MAX];
	size_t n;

	memset(big, 'x', sizeof(big));
	fill_header(&in, "::1", "::2");
	in.authority = in.alpn = in.ssl_cn = (struct str){ big, 255 };
	in.unique_id = (struct str){ big, 128 };
	in.ssl_version = (struct str){ big, 32 };
	in.ssl_cipher = (struct str){ big, 64 };
	n = proxy_write_v2(bytes, sizeof(bytes), &in, true);
	assert_true(n > 0);
	assert_int_equal(proxy_parse(bytes, n, &out, NULL), PARSE_DONE);
	assert_tlvs(&out, &in);
	in.authority.len = in.unique_id.len = in.alpn.len = in.ssl_cn.len = in.ssl_version.len =
		in.ssl_cipher.len = sizeof(big);
	n = proxy_write_v2(bytes, sizeof(bytes), &in, true);
	assert_int_equal(n, 16 + 36 + 7 + 8);
	assert_int_equal(proxy_parse(bytes, n, &out, NULL), PARSE_DONE);
	assert_true(!out.authority.p && !out.unique_id.p && !out.alpn.p && out.has_ssl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_parsed_however_cut),
		cmocka_unit_test(first_wrong_byte_is_enough),
		cmocka_unit_test(crc32c_matches_the_known_vectors),
		cmocka_unit_test(v1_is_written_for_every_pair),
		cmocka_unit_test(v2_is_written_and_read_for_every_pair),
		cmocka_unit_test(is_local_hides_the_addresses),
		cmocka_unit_test(v2_is_written_in_the_order_of_types_told),
		cmocka_unit_test(any_changed_bit_breaks_the_crc),
		cmocka_unit_test(oversized_tlvs_are_left_out_and_the_largest_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
