/* SPDX-License-Identifier: MIT */
/*
 * proxy: a shorter beginning of a header says MORE, or BAD if the whole does; what was parsed is
 * written and parsed again to the same facts.
 *
 * The fuzzer cannot guess a CRC: with the first byte odd, the right one is put into the first
 * place that has the form of its TLV.
 */
#include "config.h"

#include "proto/proxy.h"

#include <stdlib.h>

#define must(cond) bug_on(!(cond))

static void same_tlv(struct str got, struct str want, size_t max)
{
	if (!want.p || want.len > max)
		must(!got.p);
	else
		must(got.p && str_eq(got, want));
}

static void check_again(const struct proxy_header *want, bool with_crc)
{
	char out[PROXY_WRITE_SIZE_MAX];
	struct proxy_header got;
	size_t n = proxy_write_v2(out, sizeof(out), want, with_crc);
	bool is_told = want->src.family != AF_UNSPEC;

	must(n > 0);
	must(proxy_parse(out, n, &got, NULL) == PARSE_DONE);
	must(got.size == n && got.has_crc == with_crc && got.is_local == !is_told);
	must(ip_addr_eq(&got.src, &want->src) && ip_addr_eq(&got.dst, &want->dst));
	same_tlv(got.alpn, want->alpn, 255);
	same_tlv(got.authority, want->authority, 255);
	same_tlv(got.unique_id, want->unique_id, 128);
	must(got.has_ssl == want->has_ssl && got.ssl_client == want->ssl_client);
	must(got.ssl_verify == want->ssl_verify);
	same_tlv(got.ssl_version, want->ssl_version, 32);
	same_tlv(got.ssl_cn, want->ssl_cn, 255);
	same_tlv(got.ssl_cipher, want->ssl_cipher, 64);

	n = proxy_write_v1(out, sizeof(out), want);
	must(n > 0 && n <= PROXY_V1_SIZE_MAX);
	must(proxy_parse(out, n, &got, NULL) == PARSE_DONE && got.size == n);
	must(ip_addr_eq(&got.src, &want->src) && ip_addr_eq(&got.dst, &want->dst));
}

static void check_beginnings(const char *p, size_t len, enum parse all, size_t size)
{
	size_t upto = all == PARSE_DONE ? size : len < 300 ? len : 300;

	for (size_t n = 0; n < upto; n++) {
		char *copy = malloc(n + !n);
		struct proxy_header header;
		const char *why = NULL;
		enum parse answer;

		memcpy(copy, p, n);
		answer = proxy_parse(copy, n, &header, &why);
		must(answer != PARSE_DONE && (answer == PARSE_BAD) == (why != NULL));
		must(answer == PARSE_MORE || all == PARSE_BAD);
		free(copy);
	}
}

/* Size of the version 2 header at P, when it is there as a whole; else 0. */
static size_t whole_size(const char *p, size_t len)
{
	size_t size = len < 16 ? 0 : 16 + ((size_t)(uint8_t)p[14] << 8 | (uint8_t)p[15]);

	return p[0] == '\r' && size <= len ? size : 0;
}

static void put_crc(char *p, size_t size)
{
	for (size_t at = 16; at + 7 <= size; at++) {
		uint32_t crc;

		if (memcmp(p + at, "\3\0\4", 3) != 0)
			continue;
		memset(p + at + 3, 0, 4);
		crc = proxy_crc32c(0, p, size);
		for (int i = 0; i < 4; i++)
			p[at + 3 + (size_t)i] = (char)(crc >> (24 - 8 * i));
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header;
	const char *why = NULL;
	enum parse all;
	char *p;

	if (size < 2)
		return 0;
	p = malloc(--size);
	memcpy(p, data + 1, size);
	if (data[0] & 1)
		put_crc(p, whole_size(p, size));
	all = proxy_parse(p, size, &header, &why);
	must((all == PARSE_BAD) == (why != NULL));
	must(all != PARSE_MORE || size < PROXY_SIZE_MAX);
	check_beginnings(p, size, all, all == PARSE_DONE ? header.size : 0);
	if (all == PARSE_DONE) {
		must(header.size <= size && header.size <= PROXY_SIZE_MAX);
		check_again(&header, data[0] & 2);
	}
	free(p);
	return 0;
}
