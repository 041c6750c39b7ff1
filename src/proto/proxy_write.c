/* SPDX-License-Identifier: MIT */
/* proxy - writes PROXY protocol headers, and computes CRC32C. */
#include "config.h"

#include "proto/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "proto/proxy_tlv.h"

/* CRC32C, reflected polynomial 0x82f63b78, four bits at a step: a header is short. */
uint32_t proxy_crc32c(uint32_t crc, const char *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= (uint8_t)data[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* A client's address is worth telling even when it is not known where it connected to. */
static bool has_addresses(const struct proxy_header *header)
{
	return !header->is_local && header->src.family != AF_UNSPEC;
}

static bool needs_v6(const struct proxy_header *header)
{
	return header->src.family == AF_INET6 || header->dst.family == AF_INET6;
}

static void mapped_ip(const struct ip_addr *addr, char out[16])
{
	if (addr->family == AF_INET6) {
		memcpy(out, addr->ip, 16);
		return;
	}
	memset(out, 0, 10);
	memset(out + 10, addr->family == AF_INET ? 0xff : 0, 2);
	memcpy(out + 12, addr->ip, 4);
}

static void v1_ip_text(const struct ip_addr *addr, bool is_v6, char out[ADDR_TEXT_SIZE])
{
	char ip[16];

	if (is_v6) {
		mapped_ip(addr, ip);
		inet_ntop(AF_INET6, ip, out, ADDR_TEXT_SIZE);
	} else {
		inet_ntop(AF_INET, addr->ip, out, ADDR_TEXT_SIZE);
	}
}

size_t proxy_write_v1(char *out, size_t out_size, const struct proxy_header *header)
{
	char src[ADDR_TEXT_SIZE], dst[ADDR_TEXT_SIZE], line[PROXY_V1_SIZE_MAX + 1];
	bool is_v6 = needs_v6(header);
	int n;

	if (has_addresses(header)) {
		v1_ip_text(&header->src, is_v6, src);
		v1_ip_text(&header->dst, is_v6, dst);
		n = snprintf(line, sizeof(line), "PROXY TCP%c %.45s %.45s %u %u\r\n",
			     is_v6 ? '6' : '4', src, dst, header->src.port, header->dst.port);
	} else {
		n = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
	}
	if (n < 0 || (size_t)n >= sizeof(line) || (size_t)n > out_size)
		return 0;
	memcpy(out, line, (size_t)n);
	return (size_t)n;
}

/* Where the next bytes go; once something did not fit, nothing more is written. */
struct writer {
	char *out;
	size_t n, size;
	bool is_full;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
	if (w->is_full || w->size - w->n < n) {
		w->is_full = true;
		return;
	}
	if (n > 0)
		memcpy(w->out + w->n, bytes, n);
	w->n += n;
}

static void put_be(struct writer *w, size_t n, uint32_t value)
{
	char bytes[4];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(value >> 8 * (n - 1 - i));
	put(w, bytes, n);
}

/* Writes VALUE if it is there and of use. */
static void put_tlv(struct writer *w, uint8_t type, struct str value, size_t max)
{
	if (!value.p || value.len > max)
		return;
	put_be(w, 1, type);
	put_be(w, 2, (uint32_t)value.len);
	put(w, value.p, value.len);
}

static void patch_be16(struct writer *w, size_t at, size_t value)
{
	if (w->is_full)
		return;
	w->out[at] = (char)(value >> 8);
	w->out[at + 1] = (char)(value & 0xff);
}

static void put_ssl(struct writer *w, const struct proxy_header *header)
{
	size_t at = w->n;

	if (!header->has_ssl)
		return;
	put_be(w, 1, TLV_SSL);
	put_be(w, 2, 0);
	put_be(w, 1, header->ssl_client);
	put_be(w, 4, header->ssl_verify);
	put_tlv(w, TLV_SSL_VERSION, header->ssl_version, SSL_VERSION_MAX);
	put_tlv(w, TLV_SSL_CN, header->ssl_cn, TLV_TEXT_MAX);
	put_tlv(w, TLV_SSL_CIPHER, header->ssl_cipher, SSL_CIPHER_MAX);
	patch_be16(w, at + 1, w->n - at - TLV_HEAD_SIZE);
}

static void put_addresses(struct writer *w, const struct proxy_header *header)
{
	char ip[16];

	if (needs_v6(header)) {
		mapped_ip(&header->src, ip);
		put(w, ip, sizeof(ip));
		mapped_ip(&header->dst, ip);
		put(w, ip, sizeof(ip));
	} else {
		put(w, header->src.ip, 4);
		put(w, header->dst.ip, 4);
	}
	put_be(w, 2, header->src.port);
	put_be(w, 2, header->dst.port);
}

size_t proxy_write_v2(char *out, size_t out_size, const struct proxy_header *header, bool with_crc)
{
	struct writer w = { .out = out, .size = out_size };
	bool is_told = has_addresses(header);
	size_t crc_at;

	put(&w, V2_SIGNATURE, V2_SIGNATURE_SIZE);
	put_be(&w, 1, is_told ? V2_PROXY : V2_LOCAL);
	put_be(&w, 1, !is_told ? V2_UNSPEC : needs_v6(header) ? V2_TCP6 : V2_TCP4);
	put_be(&w, 2, 0);
	if (is_told)
		put_addresses(&w, header);
	crc_at = w.n + TLV_HEAD_SIZE;
	if (with_crc)
		put_tlv(&w, TLV_CRC32C, (struct str){ "\0\0\0\0", 4 }, 4);
	put_tlv(&w, TLV_ALPN, header->alpn, TLV_TEXT_MAX);
	put_tlv(&w, TLV_AUTHORITY, header->authority, TLV_TEXT_MAX);
	put_tlv(&w, TLV_UNIQUE_ID, header->unique_id, UNIQUE_ID_MAX);
	put_ssl(&w, header);
	patch_be16(&w, 14, w.n - V2_HEAD_SIZE);
	if (with_crc && !w.is_full) {
		struct writer crc = { .out = out, .n = crc_at, .size = w.n };

		put_be(&crc, 4, proxy_crc32c(0, out, w.n));
	}
	return w.is_full ? 0 : w.n;
}
