/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/h2_head.h"

#include <stdio.h>

#include "proto/http1_scan.h"

#define VALUE_MAX 65536u

static const char *const bad_name = "bad field name";
static const char *const bad_value = "bad field value";
static const char *const bad_pseudo = "bad pseudo-header field";
static const char *const bad_connection = "a field of HTTP/1.1 connections in HTTP/2";

void h2_head_init(struct h2_head *head, uint32_t size_max)
{
	*head = (struct h2_head){ .size_max = size_max };
}

void h2_head_fini(struct h2_head *head)
{
	buf_release(&head->text);
	buf_release(&head->cookies);
}

void h2_head_refuse(struct h2_head *head, uint16_t status, const char *why)
{
	if (head->status)
		return;
	head->status = status;
	head->why = why;
}

static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (unlikely((unsigned char)(c - 'a') >= 26 && c != '-') &&
		    (!http1_is((char)c, HTTP1_CLASS_TOKEN) || (unsigned char)(c - 'A') < 26))
			return false;
	}
	return name.len > 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* RFC 9113 8.2.1: no white space around it either. */
static bool is_value(struct str value)
{
	return !value.len ||
	       (!is_space(value.p[0]) && !is_space(value.p[value.len - 1]) &&
		http1_scan_value(value.p, value.p, value.p + value.len) == value.p + value.len);
}

static char *put(char *to, struct str piece)
{
	if (piece.len)
		memcpy(to, piece.p, piece.len);
	return to + piece.len;
}

static void append_line(struct buf *to, struct str name, struct str value)
{
	char *at;

	buf_reserve(to, name.len + value.len + 4);
	at = put(buf_tail(to), name);
	memcpy(at, ": ", 2);
	at = put(at + 2, value);
	memcpy(at, "\r\n", 2);
	buf_fill(to, name.len + value.len + 4);
}

static void keep(struct h2_head *head, enum h2_pseudo which, struct str value)
{
	head->pseudo[which].is_there = true;
	head->pseudo[which].at = (uint32_t)buf_length(&head->text);
	head->pseudo[which].length = (uint32_t)value.len;
	buf_append_str(&head->text, value);
}

static struct str kept(const struct h2_head *head, enum h2_pseudo which)
{
	if (!head->pseudo[which].is_there)
		return STR_NONE;
	if (!head->pseudo[which].length)
		return STR("");
	return (struct str){ buf_bytes(&head->text) + head->pseudo[which].at,
			     head->pseudo[which].length };
}

/* Those of RFC 9113 8.3.1 and RFC 8441; H2_HOST: none of them. */
static enum h2_pseudo pseudo_of(struct str name)
{
	switch (name.len) {
	case 5:
		return str_eq(name, STR(":path")) ? H2_PATH : H2_HOST;
	case 7:
		if (str_eq(name, STR(":method")))
			return H2_METHOD;
		return str_eq(name, STR(":scheme")) ? H2_SCHEME : H2_HOST;
	case 9:
		return str_eq(name, STR(":protocol")) ? H2_PROTOCOL : H2_HOST;
	case 10:
		return str_eq(name, STR(":authority")) ? H2_AUTHORITY : H2_HOST;
	default:
		return H2_HOST;
	}
}

static void add_pseudo(struct h2_head *head, struct str name, struct str value)
{
	enum h2_pseudo which = pseudo_of(name);

	if (which == H2_HOST || head->pseudo[which].is_there || head->head_at)
		h2_head_refuse(head, 400, bad_pseudo);
	else
		keep(head, which, value);
}

bool h2_head_is_extended(const struct h2_head *head)
{
	return head->pseudo[H2_PROTOCOL].is_there && str_eq(kept(head, H2_METHOD), STR("CONNECT"));
}

static bool is_target(struct str path)
{
	const char *end = path.p + path.len;

	return path.len && http1_scan_target(path.p, path.p, end) == end;
}

/* What :path may be: an absolute path, or "*" for OPTIONS (RFC 9113 8.3.1). */
static bool is_path(struct str path, struct str method)
{
	if (str_eq(path, STR("*")))
		return str_eq(method, STR("OPTIONS"));
	return path.len && path.p[0] == '/' && is_target(path);
}

/* CONNECT without :protocol names an authority alone. */
static bool check_connect(struct h2_head *head)
{
	struct str protocol = kept(head, H2_PROTOCOL);

	if (!protocol.p)
		h2_head_refuse(head, (uint16_t)http1_status_of(HTTP1_NO_CONNECT), HTTP1_NO_CONNECT);
	else if (!str_ieq(protocol, STR("websocket")))
		h2_head_refuse(head, 501, "a :protocol that is not served");
	return !head->status;
}

/* The pseudo-fields against each other.  :authority is checked as Host is, by the parser. */
static bool check_pseudo(struct h2_head *head)
{
	struct str method = kept(head, H2_METHOD), scheme = kept(head, H2_SCHEME);

	if (!http_is_token(method)) {
		h2_head_refuse(head, 400, HTTP1_BAD_METHOD);
		return false;
	}
	if (str_eq(method, STR("CONNECT"))) {
		if (!check_connect(head))
			return false;
	} else if (head->pseudo[H2_PROTOCOL].is_there) {
		h2_head_refuse(head, 400, bad_pseudo);
		return false;
	}
	if (!str_ieq(scheme, STR("http")) && !str_ieq(scheme, STR("https")))
		h2_head_refuse(head, 400, "bad :scheme");
	else if (!is_path(kept(head, H2_PATH), method))
		h2_head_refuse(head, 400, HTTP1_BAD_TARGET);
	return !head->status;
}

/* The pseudo-fields are there, if they are good: the request line and Host. */
static bool begin_text(struct h2_head *head)
{
	struct buf *text = &head->text;
	struct str method, path, host;
	char *at;

	if (!check_pseudo(head))
		return false;
	head->head_at = (uint32_t)buf_length(text);
	buf_reserve(text, 2 * buf_length(text) + 64); /* what is kept does not move below */
	method = h2_head_is_extended(head) ? STR("GET") : kept(head, H2_METHOD);
	path = kept(head, H2_PATH);
	host = kept(head, H2_AUTHORITY);
	at = put(buf_tail(text), method);
	*at++ = ' ';
	at = put(put(at, path), STR(" HTTP/1.1\r\n"));
	buf_fill(text, (size_t)(at - buf_tail(text)));
	if (host.p)
		append_line(text, STR("host"), host);
	return true;
}

static void add_cookie(struct h2_head *head, struct str value)
{
	if (buf_length(&head->cookies))
		buf_append(&head->cookies, "; ", 2);
	buf_append_str(&head->cookies, value);
}

/* Behind :authority it only repeats that. */
static void add_host(struct h2_head *head, struct str name, struct str value)
{
	struct str authority = kept(head, H2_AUTHORITY);

	if (head->pseudo[H2_HOST].is_there) {
		h2_head_refuse(head, 400, HTTP1_TWO_HOSTS);
		return;
	}
	head->pseudo[H2_HOST].is_there = true;
	if (!authority.p)
		append_line(&head->text, name, value);
	else if (!str_ieq(authority, value))
		h2_head_refuse(head, 400, ":authority and Host differ");
}

static void add_field(struct h2_head *head, struct str name, struct str value)
{
	switch ((int)http1_lookup_field(name)) {
	case FIELD_HOST:
		add_host(head, name, value);
		return;
	case FIELD_COOKIE:
		add_cookie(head, value);
		return;
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE:
		h2_head_refuse(head, 400, bad_connection);
		return;
	case FIELD_TE:
		if (!str_ieq(value, STR("trailers")))
			h2_head_refuse(head, 400, bad_connection);
		return;
	case FIELD_HTTP2_SETTINGS:
		return;
	case FIELD_SEC_WEBSOCKET_KEY:
		if (h2_head_is_extended(head))
			return; /* ours takes its place */
		break;
	case FIELD_CONTENT_LENGTH:
		head->has_length = true;
		break;
	default:
		break;
	}
	append_line(&head->text, name, value);
}

void h2_head_add(struct h2_head *head, struct str name, struct str value)
{
	head->size += (uint32_t)(name.len + value.len + 4);
	if (head->status)
		return;
	if (name.len > VALUE_MAX || value.len > VALUE_MAX || head->size > head->size_max) {
		/* A target that is too long by itself is told so by the parser. */
		bool is_path = str_eq(name, STR(":path"));

		h2_head_refuse(head, is_path ? 414 : 431,
			       is_path ? HTTP1_TARGET_TOO_LONG : HTTP1_HEAD_TOO_LARGE);
		return;
	}
	if (!is_value(value)) {
		h2_head_refuse(head, 400, bad_value);
		return;
	}
	if (name.len && name.p[0] == ':') {
		add_pseudo(head, name, value);
		return;
	}
	if (!is_name(name)) {
		h2_head_refuse(head, 400, bad_name);
		return;
	}
	if (head->head_at || begin_text(head))
		add_field(head, name, value);
}

static void write_upgrade(const struct h2_request *request, struct buf *out)
{
	/* "close": what is not upgraded is over with its answer. */
	append_line(out, STR("Connection"), STR("Upgrade, close"));
	append_line(out, STR("Upgrade"), STR("websocket"));
	append_line(out, STR("Sec-WebSocket-Key"), str_of(request->key));
}

static void write_framing(const struct h2_head *head, struct h2_request *request, struct buf *out)
{
	char digits[24];
	int n;

	append_line(out, STR("Connection"), STR("close"));
	if (head->has_length || (request->is_ended && !request->body_size))
		return;
	if (!request->is_ended) {
		request->is_chunked = true;
		append_line(out, STR("Transfer-Encoding"), STR("chunked"));
		return;
	}
	n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)request->body_size);
	append_line(out, STR("Content-Length"), (struct str){ digits, (size_t)n });
}

bool h2_head_write(struct h2_head *head, struct h2_request *request, struct buf *out)
{
	struct buf *text = &head->text;

	request->is_websocket = h2_head_is_extended(head);
	request->is_head = str_eq(kept(head, H2_METHOD), STR("HEAD"));
	if (head->status || (!head->head_at && !begin_text(head)))
		return false;
	if (buf_length(&head->cookies))
		append_line(text, STR("cookie"), buf_str(&head->cookies));
	if (request->is_websocket)
		write_upgrade(request, text);
	else
		write_framing(head, request, text);
	buf_append(text, "\r\n", 2);
	buf_consume(text, head->head_at);
	*out = *text;
	*text = (struct buf){ 0 };
	return true;
}

bool h2_trailer_add(struct buf *to, struct str name, struct str value)
{
	if (!is_name(name) || !is_value(value) ||
	    buf_length(to) + name.len + value.len + 4 > HTTP1_TRAILERS_SIZE_MAX - 2)
		return false;
	if (http_field_id_of(name) == FIELD_OTHER)
		append_line(to, name, value);
	return true;
}

/* Of the engine's head: what HTTP/2 has other means for. */
static bool is_of_connection(enum http_field_id id)
{
	switch ((int)id) {
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE:
	case FIELD_TE:
	case FIELD_HTTP2_SETTINGS:
		return true;
	default:
		return false;
	}
}

static nghttp2_nv field_of(struct str name, struct str value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name.p,
		.value = (uint8_t *)(uintptr_t)value.p,
		.namelen = name.len,
		.valuelen = value.len,
	};
}

static bool read_field(struct str line, struct h2_response *response)
{
	const char *colon = memchr(line.p, ':', line.len);
	struct str name, value;
	enum http_field_id id;

	if (!colon || colon == line.p)
		return false;
	name = str_sub(line.p, colon);
	value = str_sub(colon + 1, line.p + line.len);
	if (value.len && value.p[0] == ' ')
		value = (struct str){ value.p + 1, value.len - 1 };
	if (value.len && (is_space(value.p[0]) || is_space(value.p[value.len - 1])))
		value = str_trim(value);
	id = http1_lookup_field(name); /* the engine writes tokens */
	if (id == FIELD_TRANSFER_ENCODING)
		response->framing = FRAMING_CHUNKED;
	if (id == FIELD_CONTENT_LENGTH) {
		if (str_to_u64(value, INT64_MAX, &response->content_length) != 0)
			return false;
		response->framing = FRAMING_LENGTH;
	}
	if (id == FIELD_SEC_WEBSOCKET_ACCEPT && response->status == 101) {
		response->accept = value;
		return true;
	}
	if (is_of_connection(id))
		return true;
	if (response->fields_n == response->fields_max)
		return false;
	response->fields[response->fields_n++] = field_of(name, value);
	return true;
}

static bool read_status_line(struct str line, struct h2_response *response)
{
	unsigned status = 0;

	if (line.len < 12 || memcmp(line.p, "HTTP/1.", 7) != 0)
		return false;
	for (unsigned i = 9; i < 12; i++) {
		unsigned digit = (unsigned char)line.p[i] - (unsigned)'0';

		if (digit > 9)
			return false;
		status = status * 10 + digit;
	}
	if (status < 100 || status > 599)
		return false;
	response->status = status;
	memcpy(response->status_text, line.p + 9, 3);
	response->fields[0] = field_of(STR(":status"), (struct str){ response->status_text, 3 });
	response->fields[0].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
	response->fields_n = 1;
	return true;
}

static void settle_framing(struct h2_response *response)
{
	if (response->status < 200 || response->status == 204 || response->status == 304 ||
	    (response->framing == FRAMING_LENGTH && !response->content_length))
		response->framing = FRAMING_NONE;
}

enum parse h2_response_read(struct str text, struct h2_response *response)
{
	const char *at = text.p, *end = text.p + text.len;

	response->framing = FRAMING_CLOSE;
	response->accept = STR_NONE;
	response->fields_n = 0;
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		struct str line;

		if (!stop)
			break;
		if (stop == at || stop[-1] != '\r')
			return PARSE_BAD;
		line = str_sub(at, stop - 1);
		at = stop + 1;
		if (line.len && !(response->fields_n ? read_field(line, response)
						     : read_status_line(line, response)))
			return PARSE_BAD;
		if (line.len)
			continue;
		settle_framing(response);
		response->size = (size_t)(at - text.p);
		return response->fields_n ? PARSE_DONE : PARSE_BAD;
	}
	return PARSE_MORE;
}
