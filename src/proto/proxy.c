/* SPDX-License-Identifier: MIT */
/* proxy - reads PROXY protocol headers, versions 1 and 2. */
#include "config.h"

#include "proto/proxy.h"

#include "proto/proxy_tlv.h"

const char PROXY_WHY_SIGNATURE[] = "no PROXY header";
const char PROXY_WHY_V1[] = "malformed PROXY line";
const char PROXY_WHY_ADDRESS[] = "malformed address in PROXY header";
const char PROXY_WHY_VERSION[] = "unknown PROXY version or command";
const char PROXY_WHY_FAMILY[] = "unsupported PROXY address family";
const char PROXY_WHY_LENGTH[] = "bad length of PROXY header";
const char PROXY_WHY_TLV[] = "malformed TLV in PROXY header";
const char PROXY_WHY_CRC[] = "PROXY header's CRC32C does not match";

static const char v1_signature[] = "PROXY ";

static enum parse bad(const char **why, const char *what)
{
	if (why)
		*why = what;
	return PARSE_BAD;
}

/* Takes a field off LINE up to the next single space.  False when there is none, or it is empty. */
static bool take_field(struct str *line, struct str *field)
{
	ptrdiff_t space = str_find_char(*line, ' ');
	size_t len = space < 0 ? line->len : (size_t)space;

	*field = (struct str){ line->p, len };
	line->p += space < 0 ? len : len + 1;
	line->len -= space < 0 ? len : len + 1;
	return len > 0;
}

/* Only what inet_ntop() writes and its like: no brackets, no zone. */
static bool parse_v1_ip(struct str text, bool is_v6, struct ip_addr *addr)
{
	bool has_colon = str_find_char(text, ':') >= 0;

	if (has_colon != is_v6 || text.len == 0 || text.p[0] == '[')
		return false;
	return memchr(text.p, '\0', text.len) == NULL && ip_addr_parse(text, addr) == 0;
}

static bool parse_v1_port(struct str text, struct ip_addr *addr)
{
	uint64_t port;

	if (text.len == 0 || (text.len > 1 && text.p[0] == '0'))
		return false;
	if (str_to_u64(text, UINT16_MAX, &port) != 0)
		return false;
	addr->port = (uint16_t)port;
	return true;
}

/* LINE is what stands between "PROXY " and CR LF. */
static enum parse parse_v1_line(struct str line, struct proxy_header *header, const char **why)
{
	struct str family, src, dst, src_port, dst_port;
	bool is_v6;

	/* After UNKNOWN, and a space, anything may stand. */
	if (str_eq(line, STR("UNKNOWN")) || str_starts(line, STR("UNKNOWN ")))
		return PARSE_DONE;
	if (!take_field(&line, &family))
		return bad(why, PROXY_WHY_V1);
	is_v6 = str_eq(family, STR("TCP6"));
	if (!is_v6 && !str_eq(family, STR("TCP4")))
		return bad(why, PROXY_WHY_FAMILY);
	if (!take_field(&line, &src) || !take_field(&line, &dst) || !take_field(&line, &src_port))
		return bad(why, PROXY_WHY_V1);
	dst_port = line; /* the rest, so that a space after it is refused */
	if (!parse_v1_ip(src, is_v6, &header->src) || !parse_v1_ip(dst, is_v6, &header->dst) ||
	    !parse_v1_port(src_port, &header->src) || !parse_v1_port(dst_port, &header->dst))
		return bad(why, PROXY_WHY_ADDRESS);
	return PARSE_DONE;
}

static enum parse parse_v1(const char *buf, size_t len, struct proxy_header *header,
			   const char **why)
{
	size_t known = sizeof(v1_signature) - 1;
	size_t window = len < PROXY_V1_SIZE_MAX ? len : PROXY_V1_SIZE_MAX;
	const char *lf, *cr;

	if (memcmp(buf, v1_signature, len < known ? len : known) != 0)
		return bad(why, PROXY_WHY_SIGNATURE);
	lf = memchr(buf, '\n', window);
	cr = memchr(buf, '\r', window);
	if (cr && cr + 1 < buf + window && cr[1] != '\n')
		return bad(why, PROXY_WHY_V1);
	if (!lf)
		return window == PROXY_V1_SIZE_MAX ? bad(why, PROXY_WHY_V1) : PARSE_MORE;
	if (!cr || cr + 1 != lf)
		return bad(why, PROXY_WHY_V1);
	header->version = 1;
	header->size = (size_t)(lf + 1 - buf);
	if (header->size < known + 2)
		return bad(why, PROXY_WHY_V1);
	return parse_v1_line(str_sub(buf + known, cr), header, why);
}

/* A v6 address is turned into v4 when it is a mapped one, as everywhere. */
static struct ip_addr read_address(const char *ip, const char *port, bool is_v6)
{
	struct sock_addr addr = { 0 };

	if (is_v6) {
		addr.in6.sin6_family = AF_INET6;
		memcpy(&addr.in6.sin6_addr, ip, 16);
		memcpy(&addr.in6.sin6_port, port, 2);
		addr.size = sizeof(addr.in6);
	} else {
		addr.in.sin_family = AF_INET;
		memcpy(&addr.in.sin_addr, ip, 4);
		memcpy(&addr.in.sin_port, port, 2);
		addr.size = sizeof(addr.in);
	}
	return sock_addr_ip(&addr);
}

/* Takes one TLV off REST.  False when it overruns, or REST is empty. */
static bool take_tlv(struct str *rest, uint8_t *type, struct str *value)
{
	size_t size;

	if (rest->len < TLV_HEAD_SIZE)
		return false;
	*type = (uint8_t)rest->p[0];
	size = (size_t)(uint8_t)rest->p[1] << 8 | (uint8_t)rest->p[2];
	if (rest->len - TLV_HEAD_SIZE < size)
		return false;
	*value = (struct str){ rest->p + TLV_HEAD_SIZE, size };
	*rest = str_sub(value->p + size, rest->p + rest->len);
	return true;
}

static uint32_t read_be32(const char *p)
{
	const uint8_t *u = (const uint8_t *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static bool parse_ssl(struct str value, struct proxy_header *header)
{
	struct str rest, one;
	uint8_t type;

	if (value.len < SSL_HEAD_SIZE)
		return false;
	header->ssl_version = header->ssl_cn = header->ssl_cipher = STR_NONE;
	header->has_ssl = true;
	header->ssl_client = (uint8_t)value.p[0];
	header->ssl_verify = read_be32(value.p + 1);
	rest = str_sub(value.p + SSL_HEAD_SIZE, value.p + value.len);
	while (rest.len > 0) {
		if (!take_tlv(&rest, &type, &one))
			return false;
		if (type == TLV_SSL_VERSION)
			header->ssl_version = one;
		else if (type == TLV_SSL_CN)
			header->ssl_cn = one;
		else if (type == TLV_SSL_CIPHER)
			header->ssl_cipher = one;
	}
	return true;
}

/* CRC is the TLV's value inside the header at BUF. */
static bool is_crc_right(const char *buf, size_t size, struct str crc)
{
	static const char zero[4];
	const char *after = crc.p + sizeof(zero);
	uint32_t sum = proxy_crc32c(0, buf, (size_t)(crc.p - buf));

	sum = proxy_crc32c(sum, zero, sizeof(zero));
	sum = proxy_crc32c(sum, after, (size_t)(buf + size - after));
	return sum == read_be32(crc.p);
}

static bool store_tlv(struct proxy_header *header, uint8_t type, struct str value)
{
	switch (type) {
	case TLV_ALPN:
		header->alpn = value;
		return true;
	case TLV_AUTHORITY:
		header->authority = value;
		return true;
	case TLV_CRC32C:
		if (header->has_crc || value.len != 4)
			return false;
		header->has_crc = true;
		return true;
	case TLV_UNIQUE_ID:
		header->unique_id = value;
		return value.len <= UNIQUE_ID_MAX;
	case TLV_SSL:
		return parse_ssl(value, header);
	case TLV_NETNS:
		header->netns = value;
		return true;
	default: /* NOOP and what we do not know */
		return true;
	}
}

static enum parse parse_tlvs(const char *buf, struct str rest, struct proxy_header *header,
			     const char **why)
{
	struct str crc = STR_NONE, value;
	uint8_t type;

	while (rest.len > 0) {
		if (!take_tlv(&rest, &type, &value) || !store_tlv(header, type, value))
			return bad(why, PROXY_WHY_TLV);
		if (type == TLV_CRC32C)
			crc = value;
	}
	if (crc.p && !is_crc_right(buf, header->size, crc))
		return bad(why, PROXY_WHY_CRC);
	return PARSE_DONE;
}

/* LOCAL: the block does not count, so a malformed one takes nothing but its own TLVs with it. */
static enum parse parse_local(const char *buf, struct str block, struct proxy_header *header,
			      const char **why)
{
	struct proxy_header plain = *header;
	const char *reason = NULL;

	plain.is_local = true;
	*header = plain;
	if (buf[13] != V2_UNSPEC || parse_tlvs(buf, block, header, &reason) == PARSE_DONE)
		return PARSE_DONE;
	*header = plain;
	return reason == PROXY_WHY_CRC ? bad(why, reason) : PARSE_DONE;
}

/* Size of the address block of FAMILY, or -1. */
static int address_size(uint8_t family)
{
	switch (family) {
	case V2_UNSPEC:
		return 0;
	case V2_TCP4:
		return 12;
	case V2_TCP6:
		return 36;
	case V2_UNIX:
		return 216;
	default:
		return -1;
	}
}

static enum parse parse_v2(const char *buf, size_t len, struct proxy_header *header,
			   const char **why)
{
	size_t known = len < V2_SIGNATURE_SIZE ? len : V2_SIGNATURE_SIZE;
	struct str block;
	uint8_t family;
	int size;

	if (memcmp(buf, V2_SIGNATURE, known) != 0)
		return bad(why, PROXY_WHY_SIGNATURE);
	if (len > 12 && buf[12] != V2_PROXY && buf[12] != V2_LOCAL)
		return bad(why, PROXY_WHY_VERSION);
	if (len < V2_HEAD_SIZE)
		return PARSE_MORE;
	header->version = 2;
	header->size = V2_HEAD_SIZE + ((size_t)(uint8_t)buf[14] << 8 | (uint8_t)buf[15]);
	family = (uint8_t)buf[13];
	size = address_size(family);
	if (header->size > PROXY_SIZE_MAX)
		return bad(why, PROXY_WHY_LENGTH);
	if (buf[12] == V2_PROXY && size < 0)
		return bad(why, PROXY_WHY_FAMILY);
	if (buf[12] == V2_PROXY && header->size < V2_HEAD_SIZE + (size_t)size)
		return bad(why, PROXY_WHY_LENGTH);
	if (len < header->size)
		return PARSE_MORE;
	block = str_sub(buf + V2_HEAD_SIZE, buf + header->size);
	if (buf[12] == V2_LOCAL)
		return parse_local(buf, block, header, why);
	if (family == V2_TCP4) {
		header->src = read_address(block.p, block.p + 8, false);
		header->dst = read_address(block.p + 4, block.p + 10, false);
	} else if (family == V2_TCP6) {
		header->src = read_address(block.p, block.p + 32, true);
		header->dst = read_address(block.p + 16, block.p + 34, true);
	}
	return parse_tlvs(buf, str_sub(block.p + size, block.p + block.len), header, why);
}

enum parse proxy_parse(const char *buf, size_t len, struct proxy_header *header, const char **why)
{
	*header = (struct proxy_header){ 0 };
	if (len == 0)
		return PARSE_MORE;
	if (buf[0] == v1_signature[0])
		return parse_v1(buf, len, header, why);
	if (buf[0] == V2_SIGNATURE[0])
		return parse_v2(buf, len, header, why);
	return bad(why, PROXY_WHY_SIGNATURE);
}
