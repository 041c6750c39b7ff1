/* SPDX-License-Identifier: MIT */
/*
 * http1_names - names, numbers and character classes of HTTP/1.x.
 *
 * Field names are found by a perfect hash of their length and two of their bytes: one slot is
 * looked at, and compared eight bytes at a time with the letters' case bit set.
 */
#include "config.h"

#include "proto/http1_internal.h"

#include "net/addr.h"
#include "proto/http1_scan.h"

#define T HTTP1_CLASS_TOKEN
#define V HTTP1_CLASS_VALUE
#define U HTTP1_CLASS_TARGET
#define H HTTP1_CLASS_HOST
#define X HTTP1_CLASS_HEX
/* clang-format off */
const uint8_t http1_class[256] = {
	['\t'] = V, [' '] = V,
	['!'] = V|U|T|H, ['"'] = V|U, ['#'] = V|T, ['$'] = V|U|T|H, ['%'] = V|U|T, ['&'] = V|U|T|H,
	['\''] = V|U|T|H, ['('] = V|U|H, [')'] = V|U|H, ['*'] = V|U|T|H, ['+'] = V|U|T|H,
	[','] = V|U, ['-'] = V|U|T|H, ['.'] = V|U|T|H, ['/'] = V|U,
	['0' ... '9'] = V|U|T|H|X,
	[':'] = V|U, [';'] = V|U|H, ['<'] = V|U, ['='] = V|U|H, ['>'] = V|U, ['?'] = V|U, ['@'] = V|U,
	['A' ... 'F'] = V|U|T|H|X, ['G' ... 'Z'] = V|U|T|H,
	['['] = V|U, ['\\'] = V|U, [']'] = V|U, ['^'] = V|U|T, ['_'] = V|U|T|H, ['`'] = V|U|T,
	['a' ... 'f'] = V|U|T|H|X, ['g' ... 'z'] = V|U|T|H,
	['{'] = V|U, ['|'] = V|U|T, ['}'] = V|U, ['~'] = V|U|T|H,
	[0x80 ... 0xff] = V,
};
/* clang-format on */
#undef T
#undef V
#undef U
#undef H
#undef X

#define FIELD_NAME_LEN_MAX 20

struct field_name {
	char name[FIELD_NAME_LEN_MAX + 1]; /* lower case */
	uint8_t len;
	uint8_t id;
};

#define FIELD_SLOT(len, first, last_but_one) (((len) + (first)*3 + (last_but_one)*37) & 63)

static const struct field_name field_names[64] = {
#define HTTP1_FIELD(id, len, first, last_but_one, name, flags)                                     \
	[FIELD_SLOT(len, first, last_but_one)] = { name, len, id },
#include "proto/http1_fields.def"
#undef HTTP1_FIELD
};

#define HOP     HTTP1_FLAG_HOP
#define KEPT    HTTP1_FLAG_KEPT
#define CHECKED HTTP1_FLAG_CHECKED
const uint8_t http1_field_flags[HTTP_FIELD_N] = {
#define HTTP1_FIELD(id, len, first, last_but_one, name, flags) [id] = flags,
#include "proto/http1_fields.def"
#undef HTTP1_FIELD
};
#undef HOP
#undef KEPT
#undef CHECKED

#define HTTP1_WHY(name, status, text) const char name[] = text;
#include "proto/http1_why.def"
#undef HTTP1_WHY

unsigned http1_status_of(const char *why)
{
#define HTTP1_WHY(name, status, text)                                                              \
	if (why == (name))                                                                         \
		return status;
#include "proto/http1_why.def"
#undef HTTP1_WHY
	return 400;
}

const char *http1_why_byte(char byte, const char *otherwise)
{
	if (byte == '\n')
		return HTTP1_BAD_LINE_END;
	if (byte == '\r' || (unsigned char)byte >= 0x80 || http1_is(byte, HTTP1_CLASS_VALUE))
		return otherwise;
	return HTTP1_BAD_BYTE;
}

static uint32_t load4(const char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return x;
}

/*
 * NAME as a token of LEN bytes against lower-case KNOWN, which has but letters, digits and "-".
 * Setting the case bit of every byte is exact then: what it would make equal besides letters
 * of the other case are control bytes, which no token has.
 */
static bool name_is(const char *name, const char *known, size_t len)
{
	const uint64_t case8 = UINT64_C(0x2020202020202020);
	const uint32_t case4 = UINT32_C(0x20202020);

	if (len >= 8) {
		for (size_t i = 0; i + 8 <= len; i += 8)
			if ((http1_load8(name + i) | case8) != http1_load8(known + i))
				return false;
		return (http1_load8(name + len - 8) | case8) == http1_load8(known + len - 8);
	}
	if (len >= 4)
		return (load4(name) | case4) == load4(known) &&
		       (load4(name + len - 4) | case4) == load4(known + len - 4);
	for (size_t i = 0; i < len; i++)
		if ((name[i] | 0x20) != known[i])
			return false;
	return true;
}

enum http_field_id http1_lookup_field(struct str name)
{
	const struct field_name *known;
	unsigned first, last_but_one;

	if (name.len < 2)
		return FIELD_OTHER;
	first = (unsigned char)name.p[0] | 0x20;
	last_but_one = (unsigned char)name.p[name.len - 2] | 0x20;
	known = &field_names[FIELD_SLOT(name.len, first, last_but_one)];
	if (known->len != name.len || !name_is(name.p, known->name, name.len))
		return FIELD_OTHER;
	return known->id;
}

enum http_field_id http_field_id_of(struct str name)
{
	return http_is_token(name) ? http1_lookup_field(name) : FIELD_OTHER;
}

const struct http_field *http_head_find(const struct http_head *head, struct str name)
{
	enum http_field_id id = http_field_id_of(name);

	if (id != FIELD_OTHER || head->first[id] < 0)
		return http_head_first(head, id);
	for (unsigned i = (unsigned)head->first[id]; i < head->fields_n; i++)
		if (head->fields[i].id == FIELD_OTHER && str_ieq(head->fields[i].name, name))
			return &head->fields[i];
	return NULL;
}

const char *http_method_name(enum http_method id)
{
	static const char *const names[HTTP_METHOD_N] = {
		[HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",
		[HTTP_PUT] = "PUT",         [HTTP_DELETE] = "DELETE", [HTTP_CONNECT] = "CONNECT",
		[HTTP_OPTIONS] = "OPTIONS", [HTTP_TRACE] = "TRACE",   [HTTP_PATCH] = "PATCH",
		[HTTP_OTHER] = "other",
	};

	return (unsigned)id < HTTP_METHOD_N ? names[id] : "";
}

static const char *const reasons[600] = {
	[100] = "Continue",
	[101] = "Switching Protocols",
	[102] = "Processing",
	[103] = "Early Hints",
	[200] = "OK",
	[201] = "Created",
	[202] = "Accepted",
	[203] = "Non-Authoritative Information",
	[204] = "No Content",
	[205] = "Reset Content",
	[206] = "Partial Content",
	[207] = "Multi-Status",
	[208] = "Already Reported",
	[226] = "IM Used",
	[300] = "Multiple Choices",
	[301] = "Moved Permanently",
	[302] = "Found",
	[303] = "See Other",
	[304] = "Not Modified",
	[305] = "Use Proxy",
	[307] = "Temporary Redirect",
	[308] = "Permanent Redirect",
	[400] = "Bad Request",
	[401] = "Unauthorized",
	[402] = "Payment Required",
	[403] = "Forbidden",
	[404] = "Not Found",
	[405] = "Method Not Allowed",
	[406] = "Not Acceptable",
	[407] = "Proxy Authentication Required",
	[408] = "Request Timeout",
	[409] = "Conflict",
	[410] = "Gone",
	[411] = "Length Required",
	[412] = "Precondition Failed",
	[413] = "Content Too Large",
	[414] = "URI Too Long",
	[415] = "Unsupported Media Type",
	[416] = "Range Not Satisfiable",
	[417] = "Expectation Failed",
	[421] = "Misdirected Request",
	[422] = "Unprocessable Content",
	[423] = "Locked",
	[424] = "Failed Dependency",
	[425] = "Too Early",
	[426] = "Upgrade Required",
	[428] = "Precondition Required",
	[429] = "Too Many Requests",
	[431] = "Request Header Fields Too Large",
	[451] = "Unavailable For Legal Reasons",
	[500] = "Internal Server Error",
	[501] = "Not Implemented",
	[502] = "Bad Gateway",
	[503] = "Service Unavailable",
	[504] = "Gateway Timeout",
	[505] = "HTTP Version Not Supported",
	[506] = "Variant Also Negotiates",
	[507] = "Insufficient Storage",
	[508] = "Loop Detected",
	[511] = "Network Authentication Required",
};

const char *http_status_reason(unsigned status)
{
	return status < ARRAY_N(reasons) && reasons[status] ? reasons[status] : "";
}

bool http_is_token(struct str s)
{
	return s.len && http1_scan_bytes(s.p, s.p + s.len, HTTP1_CLASS_TOKEN) == s.p + s.len;
}

bool http_is_field_value(struct str s)
{
	return str_trim(s).len == s.len &&
	       (s.len == 0 || http1_scan_value(s.p, s.p, s.p + s.len) == s.p + s.len);
}

/* Letters, digits and marks of RFC 3986 reg-name; a comma would look like two hosts. */
static bool is_host_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (http1_is(s.p[i], HTTP1_CLASS_HOST))
			continue;
		if (s.p[i] != '%' || s.len - i < 3 || !http1_is(s.p[i + 1], HTTP1_CLASS_HEX) ||
		    !http1_is(s.p[i + 2], HTTP1_CLASS_HEX))
			return false;
		i += 2;
	}
	return s.len > 0;
}

bool http_is_authority(struct str s)
{
	struct str host = s;
	uint64_t port;
	size_t end = s.len;

	while (end && s.p[end - 1] >= '0' && s.p[end - 1] <= '9')
		end--;
	if (end && s.p[end - 1] == ':') {
		struct str digits = { s.p + end, s.len - end };

		if (digits.len > 5 || str_to_u64(digits, 65535, &port) != 0 || port == 0)
			return false;
		host.len = end - 1;
	}
	if (host.len && host.p[0] == '[') {
		struct ip_addr ip;

		return ip_addr_parse(host, &ip) == 0;
	}
	return is_host_name(host);
}

size_t http1_chunk_line(char *out, uint64_t size)
{
	unsigned digits = (unsigned)(67 - __builtin_clzll(size | 1)) / 4;

	for (unsigned i = digits; i-- > 0; size >>= 4)
		out[i] = "0123456789abcdef"[size & 15];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}

void http1_put_chunk_line(struct buf *to, uint64_t size)
{
	char line[20];
	size_t n = http1_chunk_line(line, size);

	buf_append(to, line, n);
}
