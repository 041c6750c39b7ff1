/* SPDX-License-Identifier: MIT */
/*
 * proxy - PROXY protocol header, versions 1 and 2 (specification of 2020): who the client is, told
 * by the proxy before us in the first bytes of a connection.
 *
 * Strict: the header is security relevant (it replaces the peer's address), so anything that two
 * readers could take differently is refused.  Pure; TLVs are views into the caller's buffer.
 */
#ifndef PROTO_PROXY_H
#define PROTO_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "net/addr.h"
#include "proto/parse.h"

#define PROXY_SIZE_MAX       4096 /* bytes; a longer header is refused */
#define PROXY_V1_SIZE_MAX    107  /* bytes of a version 1 line with CR LF */
#define PROXY_WRITE_SIZE_MAX 1152 /* bytes; a writer with so much room never fails */

struct proxy_header {
	uint8_t version;         /* 1 or 2 */
	bool is_local;           /* v2 LOCAL: the proxy speaks for itself (health check) */
	struct ip_addr src, dst; /* AF_UNSPEC when unknown, on a Unix socket, or local */

	/* TLVs of version 2; p == NULL = not there.  Of several of one type the last counts. */
	struct str authority; /* host name that the client asked for (SNI) */
	struct str alpn;
	struct str unique_id; /* 128 bytes at most */
	struct str netns;
	struct str ssl_version; /* these need has_ssl */
	struct str ssl_cn;
	struct str ssl_cipher;
	bool has_ssl;
	uint32_t ssl_verify; /* 0 = the client's certificate was verified */
	uint8_t ssl_client;  /* PROXY_SSL_ bits */
	bool has_crc;        /* a CRC32C was there, and right */

	size_t size; /* bytes of the whole header, where the client's own bytes begin */
};

#define PROXY_SSL_TLS       0x01 /* the client connected over TLS */
#define PROXY_SSL_CERT_CONN 0x02 /* it gave a certificate on this connection */
#define PROXY_SSL_CERT_SESS 0x04 /* it gave one in this TLS session */

extern const char PROXY_WHY_SIGNATURE[]; /* not a PROXY header */
extern const char PROXY_WHY_V1[];        /* malformed version 1 line */
extern const char PROXY_WHY_ADDRESS[];   /* malformed address or port */
extern const char PROXY_WHY_VERSION[];   /* version 2 form with another version or command */
extern const char PROXY_WHY_FAMILY[];    /* family or transport not supported (datagrams) */
extern const char PROXY_WHY_LENGTH[];    /* shorter than its address block, or over the limit */
extern const char PROXY_WHY_TLV[];       /* a TLV overruns the header, or is malformed */
extern const char PROXY_WHY_CRC[];       /* CRC32C does not match */

/*
 * Parses the header at the beginning of a connection.  PARSE_DONE: HEADER->size bytes belong to
 * it.  PARSE_MORE: a correct beginning, at most PROXY_SIZE_MAX bytes are ever needed.  PARSE_BAD,
 * at the first byte if need be: *WHY (may be NULL) says what is wrong; close the connection.
 *
 * LOCAL is taken whatever its block holds (the specification says to discard it); its TLVs are
 * told when it has family UNSPEC and they are well-formed.
 */
enum parse proxy_parse(const char *buf, size_t len, struct proxy_header *header, const char **why);

/*
 * Write a header for HEADER's src and dst (version and size are ignored): a src of AF_UNSPEC, or
 * is_local, becomes UNKNOWN (v1) or LOCAL (v2); a dst of AF_UNSPEC is written as zeros; a v4
 * address beside a v6 one is written mapped (::ffff:).
 * v2 carries those of the TLVs that are there: CRC32C if WITH_CRC, ALPN, authority, unique id, SSL;
 * one that is too long to be of use (alpn, authority, cn over 255 bytes, unique id over 128, TLS
 * version over 32, cipher over 64) is left out.
 * Return the size; 0 when OUT_SIZE is too small, never so with PROXY_WRITE_SIZE_MAX.
 */
size_t proxy_write_v1(char *out, size_t out_size, const struct proxy_header *header);
size_t proxy_write_v2(char *out, size_t out_size, const struct proxy_header *header, bool with_crc);

/* CRC32C (Castagnoli) of DATA, continuing from CRC (0 to begin).  "123456789" gives e3069283. */
uint32_t proxy_crc32c(uint32_t crc, const char *data, size_t len);

#endif
