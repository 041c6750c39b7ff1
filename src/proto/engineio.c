/* SPDX-License-Identifier: MIT */
/*
 * engineio - the query of requests, the path, and the answer to an unknown sid; and the string
 * escapes that the two readers of bodies share.
 */
#include "config.h"

#include "proto/engineio.h"

#include "proto/uri.h"

enum param { PARAM_NONE, PARAM_SID, PARAM_EIO, PARAM_TRANSPORT, PARAM_J };

static const struct {
	struct str name;
	enum param param;
} params[] = {
	{ STR_INIT("sid"), PARAM_SID },
	{ STR_INIT("EIO"), PARAM_EIO },
	{ STR_INIT("transport"), PARAM_TRANSPORT },
	{ STR_INIT("j"), PARAM_J },
};

static enum param param_of_encoded(struct str key)
{
	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++)
		if (uri_key_is(key, params[i].name))
			return params[i].param;
	return PARAM_NONE;
}

/* For a query without any '%': no table, no decoding. */
static enum param param_of_plain(struct str key)
{
	switch (key.len) {
	case 1:
		return key.p[0] == 'j' ? PARAM_J : PARAM_NONE;
	case 3:
		if (memcmp(key.p, "sid", 3) == 0)
			return PARAM_SID;
		return memcmp(key.p, "EIO", 3) == 0 ? PARAM_EIO : PARAM_NONE;
	case 9:
		return memcmp(key.p, "transport", 9) == 0 ? PARAM_TRANSPORT : PARAM_NONE;
	default:
		return PARAM_NONE;
	}
}

static void set_sid(struct engineio_query *out, struct str raw, bool is_plain)
{
	ptrdiff_t len;

	out->is_sid_too_long = false;
	if (is_plain && raw.len <= sizeof(out->sid)) {
		memcpy(out->sid, raw.p, raw.len);
		len = (ptrdiff_t)raw.len;
	} else {
		len = uri_decode(raw, out->sid, sizeof(out->sid), true);
	}
	if (len < 0) {
		out->is_sid_too_long = true;
		len = sizeof(out->sid);
	}
	out->sid_len = (uint8_t)len;
	out->has_sid = len > 0;
}

static uint8_t version_of(struct str raw)
{
	char version[1];

	if (uri_decode(raw, version, sizeof(version), true) != 1)
		return 0;
	return version[0] >= '2' && version[0] <= '4' ? (uint8_t)(version[0] - '0') : 0;
}

static enum engineio_transport transport_of(struct str raw)
{
	if (uri_key_is(raw, STR("polling")))
		return ENGINEIO_POLLING;
	return uri_key_is(raw, STR("websocket")) ? ENGINEIO_WEBSOCKET : ENGINEIO_OTHER;
}

void engineio_parse_query(struct str query, struct engineio_query *out)
{
	struct str sid = STR_NONE, key, value;
	bool is_plain;

	out->sid_len = 0;
	out->has_sid = out->is_sid_too_long = out->is_jsonp = false;
	out->version = 0;
	out->transport = ENGINEIO_OTHER;
	if (!query.p || query.len == 0)
		return;
	is_plain = !memchr(query.p, '%', query.len);
	while (uri_next_param(&query, &key, &value)) {
		if (!value.p)
			value = str_sub(key.p + key.len, key.p + key.len);
		switch (is_plain ? param_of_plain(key) : param_of_encoded(key)) {
		case PARAM_SID:
			sid = value;
			break;
		case PARAM_EIO:
			out->version = version_of(value);
			break;
		case PARAM_TRANSPORT:
			out->transport = transport_of(value);
			break;
		case PARAM_J:
			out->is_jsonp = true;
			break;
		case PARAM_NONE:
			break;
		}
	}
	if (sid.p)
		set_sid(out, sid, is_plain && !memchr(sid.p, '+', sid.len));
}

bool engineio_path_matches(struct str path, struct str prefix)
{
	if (prefix.len > 0 && prefix.p[prefix.len - 1] == '/')
		prefix.len--;
	if (prefix.len == 0)
		return true;
	return str_starts(path, prefix) && (path.len == prefix.len || path.p[prefix.len] == '/');
}

/* Takes the JSON token TOKEN, and white space before it, off *REST. */
static bool take_token(struct str *rest, struct str token)
{
	while (rest->len > 0 && memchr(" \t\r\n", rest->p[0], 4))
		*rest = (struct str){ rest->p + 1, rest->len - 1 };
	if (!str_starts(*rest, token))
		return false;
	*rest = (struct str){ rest->p + token.len, rest->len - token.len };
	return true;
}

/* BODY holds the member NAME (with its quotes) with the value VALUE, both without escapes. */
static bool has_member(struct str body, struct str name, struct str value)
{
	ptrdiff_t at;

	while ((at = str_find(body, name)) >= 0) {
		struct str rest;

		body = str_sub(body.p + at + name.len, body.p + body.len);
		rest = body;
		if (!take_token(&rest, STR(":")) || !take_token(&rest, value))
			continue;
		if (take_token(&rest, STR(",")) || take_token(&rest, STR("}")))
			return true;
	}
	return false;
}

bool engineio_is_unknown_sid_body(struct str body)
{
	struct str rest = body;

	if (!body.p)
		return false;
	if (take_token(&rest, STR("{")))
		return has_member(body, STR("\"code\""), STR("1")) &&
		       has_member(body, STR("\"message\""), STR("\"Session ID unknown\""));
	return take_token(&rest, STR("Session ID unknown")) && take_token(&rest, STR("")) &&
	       rest.len == 0;
}

enum { UNESCAPE_PLAIN, UNESCAPE_SLASH, UNESCAPE_U1, UNESCAPE_U2, UNESCAPE_U3, UNESCAPE_U4 };

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* A high surrogate that found no partner becomes U+FFFD, as it does when JavaScript encodes it. */
static size_t flush_high(struct engineio_unescape *u, char *out)
{
	if (!u->high)
		return 0;
	u->high = 0;
	return put_utf8(out, 0xfffd);
}

static int end_unit(struct engineio_unescape *u, char out[8])
{
	uint32_t unit = u->unit;
	size_t n = 0;

	u->state = UNESCAPE_PLAIN;
	if (unit >= 0xdc00 && unit < 0xe000) {
		uint32_t high = u->high;

		u->high = 0;
		if (!high)
			return (int)put_utf8(out, 0xfffd);
		return (int)put_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
	}
	n = flush_high(u, out);
	if (unit >= 0xd800 && unit < 0xdc00)
		u->high = (uint16_t)unit;
	else
		n += put_utf8(out + n, unit);
	return (int)n;
}

static int unescape_letter(struct engineio_unescape *u, char c, char out[8])
{
	static const char letters[] = "nrtbf";
	static const char bytes[] = "\n\r\t\b\f";
	const char *hit = c ? strchr(letters, c) : NULL;
	size_t n = flush_high(u, out);

	u->state = UNESCAPE_PLAIN;
	out[n] = hit ? bytes[hit - letters] : c;
	return (int)n + 1;
}

int engineio_unescape(struct engineio_unescape *u, char c, char out[8])
{
	unsigned char lower = ascii_lower((unsigned char)c);
	size_t n;

	switch (u->state) {
	case UNESCAPE_PLAIN:
		if (c == '"') {
			*u = (struct engineio_unescape){ 0 };
			return -1;
		}
		if (c == '\\') {
			u->state = UNESCAPE_SLASH;
			return 0;
		}
		n = flush_high(u, out);
		out[n] = c;
		return (int)n + 1;
	case UNESCAPE_SLASH:
		if (c == 'u') {
			u->unit = 0;
			u->state = UNESCAPE_U1;
			return 0;
		}
		return unescape_letter(u, c, out);
	default:
		if (lower >= '0' && lower <= '9')
			u->unit = (uint16_t)(u->unit << 4 | (lower - '0'));
		else if (lower >= 'a' && lower <= 'f')
			u->unit = (uint16_t)(u->unit << 4 | (lower - 'a' + 10));
		else
			return unescape_letter(u, c, out); /* not JSON: taken as it stands */
		return u->state++ == UNESCAPE_U4 ? end_unit(u, out) : 0;
	}
}
