/* SPDX-License-Identifier: MIT */
/*
 * client_hello - the first bytes of a connection: which protocol, and what a ClientHello asks for.
 *
 * The records are walked in the order of their bytes and each byte is judged as soon as it is there
 * (struct gather); the message itself is read once, when it is whole and in one piece.
 */
#include "config.h"

#include "proto/client_hello.h"

#define RECORD_HEAD_SIZE    5
#define RECORD_HANDSHAKE    22
#define HANDSHAKE_HEAD_SIZE 4
#define HANDSHAKE_HELLO     1
#define METHOD_MAX          20
#define NAME_LABEL_MAX      63

enum extension {
	EXTENSION_SNI = 0,
	EXTENSION_ALPN = 16,
	EXTENSION_VERSIONS = 43,
	EXTENSION_ECH = 0xfe0d,
};
#define ECH_OUTER 0

const char CLIENT_HELLO_WHY_RECORD[] = "no TLS handshake record";
const char CLIENT_HELLO_WHY_HANDSHAKE[] = "no ClientHello";
const char CLIENT_HELLO_WHY_SIZE[] = "ClientHello too long";
const char CLIENT_HELLO_WHY_TRAILER[] = "bytes behind the ClientHello in its record";
const char CLIENT_HELLO_WHY_FORM[] = "malformed ClientHello";
const char CLIENT_HELLO_WHY_TWICE[] = "an extension twice in the ClientHello";
const char CLIENT_HELLO_WHY_SNI[] = "malformed server name in the ClientHello";
const char CLIENT_HELLO_WHY_ALPN[] = "malformed protocol list in the ClientHello";

static const struct str h2_preface = STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

struct str first_protocol_name(enum first_protocol protocol)
{
	static const struct str names[FIRST_N] = {
		[FIRST_TLS] = STR_INIT("tls"),     [FIRST_HTTP] = STR_INIT("http"),
		[FIRST_H2C] = STR_INIT("h2c"),     [FIRST_SSH] = STR_INIT("ssh"),
		[FIRST_OTHER] = STR_INIT("other"),
	};

	return names[protocol];
}

/* TEXT begins with WHAT (DONE), may do so when more of it comes (MORE), or does not (BAD). */
static enum parse begins_with(struct str text, struct str what)
{
	if (text.len >= what.len)
		return str_starts(text, what) ? PARSE_DONE : PARSE_BAD;
	return str_starts(what, text) ? PARSE_MORE : PARSE_BAD;
}

static enum parse first_tls(struct str text)
{
	if (text.p[0] != RECORD_HANDSHAKE || (text.len > 1 && text.p[1] != 3))
		return PARSE_BAD;
	if (text.len < 3)
		return PARSE_MORE;
	return (uint8_t)text.p[2] <= 4 ? PARSE_DONE : PARSE_BAD;
}

static bool is_method_char(char c)
{
	return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* TEXT is what stands behind METHOD and its space. */
static enum parse first_target(struct str method, struct str text)
{
	static const struct str absolute = STR_INIT("http"); /* and https */

	if (text.len == 0)
		return PARSE_MORE;
	if (text.p[0] == '/' || text.p[0] == '*')
		return PARSE_DONE;
	if (str_eq(method, STR("CONNECT")))
		return text.p[0] > ' ' && text.p[0] < 0x7f ? PARSE_DONE : PARSE_BAD;
	if (text.len < absolute.len)
		return str_istarts(absolute, text) ? PARSE_MORE : PARSE_BAD;
	return str_istarts(text, absolute) ? PARSE_DONE : PARSE_BAD;
}

static enum parse first_http(struct str text)
{
	struct str method;
	size_t n = 0;

	if (text.p[0] == '\r') { /* one empty line before the request is borne with (RFC 9112) */
		enum parse line = begins_with(text, STR("\r\n"));

		if (line != PARSE_DONE)
			return line;
		text = str_sub(text.p + 2, text.p + text.len);
	}
	while (n < text.len && n <= METHOD_MAX && is_method_char(text.p[n]))
		n++;
	if (n > METHOD_MAX)
		return PARSE_BAD;
	if (n == text.len)
		return PARSE_MORE;
	if (n == 0 || text.p[n] != ' ')
		return PARSE_BAD;
	method = (struct str){ text.p, n };
	return first_target(method, str_sub(text.p + n + 1, text.p + text.len));
}

enum parse first_bytes(const char *buf, size_t len, enum first_protocol *protocol)
{
	struct str text = { buf, len };
	bool is_open = false;
	enum parse answers[FIRST_N];

	if (len == 0)
		return PARSE_MORE;
	answers[FIRST_TLS] = first_tls(text);
	answers[FIRST_SSH] = begins_with(text, STR("SSH-"));
	answers[FIRST_H2C] = begins_with(text, h2_preface);
	answers[FIRST_HTTP] = PARSE_BAD; /* what is a method of another name, too, is not one */
	if (answers[FIRST_H2C] == PARSE_BAD && answers[FIRST_SSH] != PARSE_DONE)
		answers[FIRST_HTTP] = first_http(text);
	answers[FIRST_OTHER] = PARSE_BAD;
	for (enum first_protocol p = 0; p < FIRST_N; p++) {
		if (answers[p] == PARSE_DONE) {
			*protocol = p;
			return PARSE_DONE;
		}
		is_open |= answers[p] == PARSE_MORE;
	}
	*protocol = FIRST_OTHER;
	return is_open ? PARSE_MORE : PARSE_DONE;
}

static enum parse bad(const char **why, const char *what)
{
	if (why)
		*why = what;
	return PARSE_BAD;
}

/* The walk over the records, until the message's last byte. */
struct gather {
	const uint8_t *buf;
	size_t len;
	size_t at;   /* of the next record in buf */
	size_t got;  /* bytes of the message in the records before it */
	size_t need; /* of the message; known when its head is */
	uint8_t head[HANDSHAKE_HEAD_SIZE];
};

/* Reads the record head at g->at; *SIZE bytes follow it. */
static enum parse read_record_head(const struct gather *g, size_t *size, const char **why)
{
	const uint8_t *p = g->buf + g->at;
	size_t have = g->len - g->at;

	if (have > 0 && p[0] != RECORD_HANDSHAKE)
		return bad(why, CLIENT_HELLO_WHY_RECORD);
	if ((have > 1 && p[1] != 3) || (have > 2 && p[2] > 4))
		return bad(why, CLIENT_HELLO_WHY_RECORD);
	if (have < RECORD_HEAD_SIZE)
		return PARSE_MORE;
	*size = (size_t)p[3] << 8 | p[4];
	if (*size == 0) /* RFC 8446 5.1: no empty fragments of handshakes */
		return bad(why, CLIENT_HELLO_WHY_RECORD);
	if (g->at + RECORD_HEAD_SIZE + *size > CLIENT_HELLO_SIZE_MAX)
		return bad(why, CLIENT_HELLO_WHY_SIZE);
	return PARSE_DONE;
}

/* Takes from HAVE bytes of a record at P what still lacks of the message's head. */
static enum parse read_message_head(struct gather *g, const uint8_t *p, size_t have,
				    const char **why)
{
	for (size_t at = g->got; at < HANDSHAKE_HEAD_SIZE; at++) {
		if (at - g->got == have)
			return PARSE_MORE;
		g->head[at] = p[at - g->got];
		if (g->head[0] != HANDSHAKE_HELLO)
			return bad(why, CLIENT_HELLO_WHY_HANDSHAKE);
	}
	g->need = HANDSHAKE_HEAD_SIZE +
		  ((size_t)g->head[1] << 16 | (size_t)g->head[2] << 8 | g->head[3]);
	if (g->need > CLIENT_HELLO_SIZE_MAX - RECORD_HEAD_SIZE)
		return bad(why, CLIENT_HELLO_WHY_SIZE);
	return PARSE_DONE;
}

static enum parse gather_record(struct gather *g, const char **why)
{
	size_t size, have;
	enum parse answer;

	if (g->at + RECORD_HEAD_SIZE >= CLIENT_HELLO_SIZE_MAX)
		return bad(why, CLIENT_HELLO_WHY_SIZE);
	answer = read_record_head(g, &size, why);
	if (answer != PARSE_DONE)
		return answer;
	have = g->len - g->at - RECORD_HEAD_SIZE;
	if (have > size)
		have = size;
	answer = read_message_head(g, g->buf + g->at + RECORD_HEAD_SIZE, have, why);
	if (answer == PARSE_BAD)
		return answer;
	if (answer == PARSE_DONE && g->got + size > g->need)
		return bad(why, CLIENT_HELLO_WHY_TRAILER);
	if (have < size)
		return PARSE_MORE;
	g->got += size;
	g->at += RECORD_HEAD_SIZE + size;
	return PARSE_DONE;
}

/* Puts what is behind the record heads of BUF, SIZE bytes of whole records, together. */
static void join_records(const uint8_t *buf, size_t size, char *scratch)
{
	size_t at = 0, out = 0;

	while (at < size) {
		size_t n = (size_t)buf[at + 3] << 8 | buf[at + 4];

		memcpy(scratch + out, buf + at + RECORD_HEAD_SIZE, n);
		out += n;
		at += RECORD_HEAD_SIZE + n;
	}
}

static bool take_int(struct str *from, size_t width, size_t *value)
{
	if (from->len < width)
		return false;
	*value = 0;
	for (size_t i = 0; i < width; i++)
		*value = *value << 8 | (uint8_t)from->p[i];
	*from = str_sub(from->p + width, from->p + from->len);
	return true;
}

static bool take_bytes(struct str *from, size_t n, struct str *bytes)
{
	if (from->len < n)
		return false;
	*bytes = (struct str){ from->p, n };
	*from = str_sub(from->p + n, from->p + from->len);
	return true;
}

/* Bytes behind their length, which takes WIDTH bytes. */
static bool take_vector(struct str *from, size_t width, struct str *bytes)
{
	size_t n;

	return take_int(from, width, &n) && take_bytes(from, n, bytes);
}

static bool is_name_char(char c)
{
	unsigned char lower = ascii_lower((unsigned char)c);

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_host_name(struct str name)
{
	size_t label = 0;

	if (name.len > CLIENT_HELLO_SNI_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!is_name_char(name.p[i]) || ++label > NAME_LABEL_MAX) {
			return false;
		}
	}
	return label > 0;
}

/* RFC 6066 3.  Types of names other than host_name were never defined. */
static bool read_sni(struct str value, struct client_hello *hello)
{
	struct str list, name;
	size_t type;

	if (!take_vector(&value, 2, &list) || value.len > 0)
		return false;
	if (!take_int(&list, 1, &type) || type != 0 || !take_vector(&list, 2, &name) ||
	    list.len > 0)
		return false;
	if (str_ends(name, STR(".")))
		name.len--;
	hello->sni = name;
	return is_host_name(name);
}

static bool read_alpn(struct str value, struct client_hello *hello)
{
	struct str list, name;

	if (!take_vector(&value, 2, &list) || value.len > 0 || list.len == 0)
		return false;
	hello->alpn = list;
	while (list.len > 0) {
		if (!take_vector(&list, 1, &name) || name.len == 0)
			return false;
	}
	return true;
}

/* The highest that we know counts; GREASE (RFC 8701) and drafts are passed over with the rest. */
static bool read_versions(struct str value, struct client_hello *hello)
{
	struct str list;
	size_t version;

	if (!take_vector(&value, 1, &list) || value.len > 0 || list.len == 0 || list.len % 2)
		return false;
	hello->version = 0;
	while (take_int(&list, 2, &version)) {
		if (version >= 0x0300 && version <= 0x0304 && version > hello->version)
			hello->version = (uint16_t)version;
	}
	return true;
}

static enum parse read_extension(size_t type, struct str value, struct client_hello *hello,
				 const char **why)
{
	switch (type) {
	case EXTENSION_SNI:
		if (!read_sni(value, hello))
			return bad(why, CLIENT_HELLO_WHY_SNI);
		break;
	case EXTENSION_ALPN:
		if (!read_alpn(value, hello))
			return bad(why, CLIENT_HELLO_WHY_ALPN);
		break;
	case EXTENSION_VERSIONS:
		if (!read_versions(value, hello))
			return bad(why, CLIENT_HELLO_WHY_FORM);
		break;
	case EXTENSION_ECH:
		hello->has_ech |= value.len > 0 && value.p[0] == ECH_OUTER;
		break;
	default:
		break;
	}
	return PARSE_DONE;
}

/* No extension may come twice (RFC 8446 4.2); those are watched that anybody reads. */
static enum parse read_extensions(struct str all, struct client_hello *hello, const char **why)
{
	uint64_t seen = 0;

	while (all.len > 0) {
		struct str value;
		uint64_t bit;
		size_t type;

		if (!take_int(&all, 2, &type) || !take_vector(&all, 2, &value))
			return bad(why, CLIENT_HELLO_WHY_FORM);
		bit = type == EXTENSION_ECH ? UINT64_C(1) << 63
		      : type < 63           ? UINT64_C(1) << type
					    : 0;
		if (seen & bit)
			return bad(why, CLIENT_HELLO_WHY_TWICE);
		seen |= bit;
		if (read_extension(type, value, hello, why) == PARSE_BAD)
			return PARSE_BAD;
	}
	return PARSE_DONE;
}

static enum parse read_hello(struct str body, struct client_hello *hello, const char **why)
{
	struct str random, session, suites, compressions, extensions;
	size_t version;

	if (!take_int(&body, 2, &version) || version >> 8 != 3 || !take_bytes(&body, 32, &random) ||
	    !take_vector(&body, 1, &session) || session.len > 32 ||
	    !take_vector(&body, 2, &suites) || suites.len == 0 || suites.len % 2 ||
	    !take_vector(&body, 1, &compressions) || str_find_char(compressions, '\0') < 0)
		return bad(why, CLIENT_HELLO_WHY_FORM);
	hello->legacy_version = (uint16_t)version;
	/* Without supported_versions TLS 1.2 is the end (RFC 8446 4.2.1). */
	hello->version = version < 0x0303 ? (uint16_t)version : 0x0303;
	if (body.len == 0)
		return PARSE_DONE;
	if (!take_vector(&body, 2, &extensions) || body.len > 0)
		return bad(why, CLIENT_HELLO_WHY_FORM);
	return read_extensions(extensions, hello, why);
}

enum parse client_hello_parse(const char *buf, size_t len, char *scratch,
			      struct client_hello *hello, const char **why)
{
	struct gather g = { (const uint8_t *)buf, len, 0, 0, HANDSHAKE_HEAD_SIZE, { 0 } };
	const char *message = buf + RECORD_HEAD_SIZE;
	enum parse answer;

	*hello = (struct client_hello){ 0 };
	while (g.got < g.need) {
		answer = gather_record(&g, why);
		if (answer != PARSE_DONE)
			return answer;
	}
	if (g.at != RECORD_HEAD_SIZE + g.need) {
		join_records(g.buf, g.at, scratch);
		message = scratch;
	}
	hello->size = g.at;
	return read_hello(str_sub(message + HANDSHAKE_HEAD_SIZE, message + g.need), hello, why);
}
