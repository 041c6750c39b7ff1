/* SPDX-License-Identifier: MIT */
/*
 * http1_fields - field lines of heads and trailers, and what follows from certain fields
 * (RFC 9110 5, 7.6.1; RFC 9112 5, 6.3, 9.3).
 */
#include "config.h"

#include "proto/http1_internal.h"

#include "proto/http1_scan.h"

void http1_head_init(struct http_head *head)
{
	head->fields_n = 0;
	head->framing = FRAMING_NONE;
	head->content_length = 0;
	head->has_content_length = false;
	head->is_keep_alive = false;
	head->has_connection_upgrade = false;
	head->is_websocket = false;
	memset(head->first, 0xff, sizeof(head->first));
}

bool http1_has_news(const char *buf, size_t len, size_t seen)
{
	const char *end = buf + len;
	const char *p;

	if (seen == 0)
		return true;
	if (seen >= len)
		return false;
	p = http1_scan_value(buf, buf + seen - (buf[seen - 1] == '\r'), end);
	return p < end && !(p == end - 1 && *p == '\r');
}

enum parse http1_take_line_end(struct http1_cursor *c)
{
	if (c->p == c->end)
		return PARSE_MORE;
	if (*c->p != '\r')
		return http1_bad(c, HTTP1_BAD_LINE_END);
	if (c->end - c->p < 2)
		return PARSE_MORE;
	if (c->p[1] != '\n')
		return http1_bad(c, HTTP1_BAD_LINE_END);
	c->p += 2;
	return PARSE_DONE;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static const char *why_of_name_end(const char *name, const char *at)
{
	if (!is_blank(*at))
		return http1_why_byte(*at, HTTP1_BAD_FIELD_NAME);
	return at == name ? HTTP1_BAD_FOLDING : HTTP1_BAD_FIELD_SPACE;
}

static enum parse take_field(struct http1_cursor *c, struct http_field *field)
{
	const char *name = c->p;
	const char *p = http1_scan_token(name, c->end);
	const char *value;

	if (p == c->end)
		return PARSE_MORE;
	if (unlikely(*p != ':' || p == name))
		return http1_bad(c, why_of_name_end(name, p));
	field->name = str_sub(name, p);
	do
		p++;
	while (p < c->end && is_blank(*p));
	value = p;
	p = http1_scan_value(c->buf, p, c->end);
	if (c->end - p < 2) {
		if (p == c->end || *p == '\r')
			return PARSE_MORE;
		return http1_bad(c, http1_why_byte(*p, HTTP1_BAD_BYTE));
	}
	if (unlikely(p[0] != '\r' || p[1] != '\n'))
		return http1_bad(c, http1_why_byte(*p, HTTP1_BAD_LINE_END));
	c->p = p + 2;
	while (p > value && is_blank(p[-1]))
		p--;
	field->value = str_sub(value, p);
	return PARSE_DONE;
}

/* Fields that RFC 9110 6.5.1 bars from trailers, besides those that have an id. */
static bool is_barred_trailer(struct str name)
{
	static const struct str barred[] = {
		STR_INIT("age"),
		STR_INIT("authorization"),
		STR_INIT("cache-control"),
		STR_INIT("content-range"),
		STR_INIT("expires"),
		STR_INIT("if-match"),
		STR_INIT("if-modified-since"),
		STR_INIT("if-none-match"),
		STR_INIT("if-range"),
		STR_INIT("if-unmodified-since"),
		STR_INIT("location"),
		STR_INIT("max-forwards"),
		STR_INIT("pragma"),
		STR_INIT("range"),
		STR_INIT("retry-after"),
		STR_INIT("vary"),
		STR_INIT("warning"),
		STR_INIT("www-authenticate"),
	};

	for (size_t i = 0; i < ARRAY_N(barred); i++)
		if (str_ieq(name, barred[i]))
			return true;
	return false;
}

static enum parse check_host(struct http1_cursor *c, struct http_head *head, unsigned i)
{
	struct str value = head->fields[i].value;

	if (head->first[FIELD_HOST] != (int)i)
		return http1_bad(c, HTTP1_TWO_HOSTS);
	if (!(value.len == 0 && head->minor == 0) && !http_is_authority(value))
		return http1_bad(c, HTTP1_BAD_HOST);
	if (!head->is_absolute_form)
		head->authority = value;
	return PARSE_DONE;
}

static enum parse check_length(struct http1_cursor *c, struct http_head *head, unsigned i)
{
	struct str value = head->fields[i].value;

	if (head->first[FIELD_CONTENT_LENGTH] != (int)i)
		return http1_bad(c, HTTP1_TWO_LENGTHS);
	if (head->first[FIELD_TRANSFER_ENCODING] >= 0)
		return http1_bad(c, HTTP1_LENGTH_AND_CODING);
	/* 19 digits are enough for INT64_MAX; a longer run of zeros is nobody's honest length. */
	if (value.len > 19 || str_to_u64(value, INT64_MAX, &head->content_length) != 0)
		return http1_bad(c, HTTP1_BAD_CONTENT_LENGTH);
	head->has_content_length = true;
	return PARSE_DONE;
}

static enum parse check_coding(struct http1_cursor *c, struct http_head *head, unsigned i)
{
	if (head->minor == 0)
		return http1_bad(c, HTTP1_CODING_IN_10);
	if (head->first[FIELD_CONTENT_LENGTH] >= 0)
		return http1_bad(c, HTTP1_LENGTH_AND_CODING);
	if (head->first[FIELD_TRANSFER_ENCODING] != (int)i ||
	    !str_ieq(head->fields[i].value, STR("chunked")))
		return http1_bad(c, HTTP1_BAD_TRANSFER_CODING);
	return PARSE_DONE;
}

static enum parse check_expect(struct http1_cursor *c, struct http_head *head, unsigned i)
{
	if (head->minor == 0)
		return PARSE_DONE; /* RFC 9110 10.1.1: ignored there */
	if (!str_ieq(head->fields[i].value, STR("100-continue")))
		return http1_bad(c, HTTP1_BAD_EXPECT);
	head->has_expect_continue = true;
	return PARSE_DONE;
}

static enum parse check_field(struct http1_cursor *c, struct http_head *head, unsigned i)
{
	switch (head->fields[i].id) {
	case FIELD_HOST:
		return c->kind == HTTP1_REQUEST ? check_host(c, head, i) : PARSE_DONE;
	case FIELD_EXPECT:
		return c->kind == HTTP1_REQUEST ? check_expect(c, head, i) : PARSE_DONE;
	case FIELD_CONTENT_LENGTH:
		return check_length(c, head, i);
	case FIELD_TRANSFER_ENCODING:
		return check_coding(c, head, i);
	}
	return PARSE_DONE;
}

enum parse http1_take_fields(struct http1_cursor *c, struct http_head *head)
{
	for (;;) {
		unsigned i = head->fields_n;
		struct http_field *field = &head->fields[i];
		enum parse parse;
		unsigned flags;

		if (c->p == c->end)
			return PARSE_MORE;
		if (*c->p == '\r')
			return http1_take_line_end(c);
		if (unlikely(i == HTTP1_FIELDS_MAX))
			return http1_bad(c, HTTP1_TOO_MANY_FIELDS);
		parse = take_field(c, field);
		if (parse != PARSE_DONE)
			return parse;

		field->id = (uint8_t)http1_lookup_field(field->name);
		if (head->first[field->id] < 0)
			head->first[field->id] = (int16_t)i;
		head->fields_n++;
		if (unlikely(c->kind == HTTP1_TRAILERS)) {
			field->is_hop = field->id != FIELD_OTHER || is_barred_trailer(field->name);
			continue;
		}
		flags = http1_field_flags[field->id];
		field->is_hop = flags & HTTP1_FLAG_HOP;
		if (!(flags & HTTP1_FLAG_CHECKED))
			continue;
		parse = check_field(c, head, i);
		if (parse != PARSE_DONE)
			return parse;
	}
}

/* Marks the fields that Connection calls NAME, if it may. */
static void mark_hop(struct http_head *head, struct str name)
{
	enum http_field_id id = http1_lookup_field(name);

	if ((http1_field_flags[id] & (HTTP1_FLAG_HOP | HTTP1_FLAG_KEPT)) || head->first[id] < 0)
		return;
	for (unsigned i = (unsigned)head->first[id]; i < head->fields_n; i++) {
		struct http_field *field = &head->fields[i];

		if (field->id == id && (id != FIELD_OTHER || str_ieq(field->name, name)))
			field->is_hop = true;
	}
}

/* RFC 9110 7.6.1.  Sets is_keep_alive and has_connection_upgrade. */
static enum parse apply_connection(struct http1_cursor *c, struct http_head *head)
{
	bool has_close = false, has_keep_alive = false;
	unsigned options_n = 0;

	for (int i = head->first[FIELD_CONNECTION]; i >= 0 && i < head->fields_n; i++) {
		struct str rest = head->fields[i].value, option;

		if (head->fields[i].id != FIELD_CONNECTION)
			continue;
		while (str_next_element(&rest, &option)) {
			if (!http_is_token(option) || ++options_n > HTTP1_CONNECTION_OPTIONS_MAX)
				return http1_bad(c, HTTP1_BAD_CONNECTION);
			if (str_ieq(option, STR("keep-alive")))
				has_keep_alive = true;
			else if (str_ieq(option, STR("close")))
				has_close = true;
			else if (str_ieq(option, STR("upgrade")))
				head->has_connection_upgrade = true;
			else
				mark_hop(head, option);
		}
	}
	head->is_keep_alive = !has_close && (head->minor == 1 || has_keep_alive);
	return PARSE_DONE;
}

static bool has_upgrade_websocket(const struct http_head *head)
{
	for (int i = head->first[FIELD_UPGRADE]; i >= 0 && i < head->fields_n; i++) {
		struct str rest = head->fields[i].value, protocol;

		if (head->fields[i].id != FIELD_UPGRADE)
			continue;
		while (str_next_element(&rest, &protocol))
			if (str_ieq(protocol, STR("websocket")))
				return true;
	}
	return false;
}

/* RFC 9112 6.3, after everything ambiguous has been refused. */
static enum http_framing framing_of(const struct http_head *head, enum http1_kind kind)
{
	if (kind == HTTP1_RESPONSE &&
	    (head->status < 200 || head->status == 204 || head->status == 304))
		return FRAMING_NONE;
	if (head->first[FIELD_TRANSFER_ENCODING] >= 0)
		return FRAMING_CHUNKED;
	if (head->has_content_length)
		return head->content_length ? FRAMING_LENGTH : FRAMING_NONE;
	return kind == HTTP1_RESPONSE ? FRAMING_CLOSE : FRAMING_NONE;
}

enum parse http1_finish_head(struct http1_cursor *c, struct http_head *head)
{
	bool may_switch;

	if (apply_connection(c, head) != PARSE_DONE)
		return PARSE_BAD;
	head->framing = framing_of(head, c->kind);
	if (c->kind == HTTP1_RESPONSE)
		may_switch = head->status == 101;
	else
		may_switch = head->method_id == HTTP_GET && head->framing == FRAMING_NONE;
	head->is_websocket = may_switch && head->minor == 1 && head->has_connection_upgrade &&
			     has_upgrade_websocket(head);
	return PARSE_DONE;
}
