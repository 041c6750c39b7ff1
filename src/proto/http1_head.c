/* SPDX-License-Identifier: MIT */
/*
 * http1_head - start lines, and the two entry points for whole heads (RFC 9112 3, 4).
 *
 * Model.  The first call, and every later one whose new bytes end a line or hold something odd,
 * parses the head from its start.  A head has at most HTTP1_FIELDS_MAX + 3 lines, so that a
 * sender who trickles bytes can't make this quadratic: between two lines only the new bytes are
 * looked at.  Up to ALWAYS_SIZE bytes every call parses, so that garbage is refused while it is
 * short.  No state is kept between calls.
 */
#include "config.h"

#include "proto/http1_internal.h"

#include "proto/http1_scan.h"

#define ALWAYS_SIZE 64

static enum http_method method_id_of(struct str method)
{
	static const struct str names[] = {
		[HTTP_GET] = STR_INIT("GET"),         [HTTP_HEAD] = STR_INIT("HEAD"),
		[HTTP_POST] = STR_INIT("POST"),       [HTTP_PUT] = STR_INIT("PUT"),
		[HTTP_DELETE] = STR_INIT("DELETE"),   [HTTP_CONNECT] = STR_INIT("CONNECT"),
		[HTTP_OPTIONS] = STR_INIT("OPTIONS"), [HTTP_TRACE] = STR_INIT("TRACE"),
		[HTTP_PATCH] = STR_INIT("PATCH"),
	};
	/* The only method of each pair of length and first byte, up to three tries for "P". */
	for (size_t i = 0; i < ARRAY_N(names); i++)
		if (names[i].len == method.len && names[i].p[0] == method.p[0] &&
		    str_eq(names[i], method))
			return (enum http_method)i;
	return HTTP_OTHER;
}

static enum parse take_method(struct http1_cursor *c, struct http_head *head)
{
	const char *p;
	size_t len;

	if (likely(c->end - c->p >= 4 && memcmp(c->p, "GET ", 4) == 0)) {
		head->method = (struct str){ c->p, 3 };
		head->method_id = HTTP_GET;
		c->p += 4;
		return PARSE_DONE;
	}
	p = http1_scan_token(c->p, c->end);
	len = (size_t)(p - c->p);
	if (len > HTTP1_METHOD_LEN_MAX)
		return http1_bad(c, HTTP1_BAD_METHOD);
	if (p == c->end)
		return PARSE_MORE;
	if (*p != ' ' || len == 0) {
		bool is_separator = *p == ' ' || *p == '\t' || *p == '\r';

		return http1_bad(c, http1_why_byte(*p, is_separator ? HTTP1_BAD_REQUEST_LINE
								    : HTTP1_BAD_METHOD));
	}
	head->method = (struct str){ c->p, len };
	head->method_id = method_id_of(head->method);
	c->p = p + 1;
	return PARSE_DONE;
}

static enum parse take_target(struct http1_cursor *c, size_t size_max, struct http_head *head)
{
	const char *p = http1_scan_target(c->buf, c->p, c->end);
	size_t len = (size_t)(p - c->p);

	if (len > size_max)
		return http1_bad(c, HTTP1_TARGET_TOO_LONG);
	if (p == c->end)
		return PARSE_MORE;
	if (*p != ' ' || len == 0) {
		bool is_separator = *p == ' ' || *p == '\r';

		return http1_bad(c, http1_why_byte(*p, is_separator ? HTTP1_BAD_REQUEST_LINE
								    : HTTP1_BAD_TARGET));
	}
	head->target = (struct str){ c->p, len };
	c->p = p + 1;
	return PARSE_DONE;
}

/*
 * Takes bytes by FORM, in which "9" stands for any digit and other bytes for themselves.
 * *TAKEN points to them then.
 */
static enum parse take_form(struct http1_cursor *c, const char *form, const char *why,
			    const char **taken)
{
	const char *p = c->p;

	for (; *form; form++, p++) {
		if (p == c->end)
			return PARSE_MORE;
		if (*form == '9' ? (unsigned char)(*p - '0') > 9 : *p != *form)
			return http1_bad(c, http1_why_byte(*p, why));
	}
	*taken = c->p;
	c->p = p;
	return PARSE_DONE;
}

/* "HTTP/1.0" or "HTTP/1.1".  1.2 and on are refused: nobody speaks them, and none is defined. */
static enum parse take_version(struct http1_cursor *c, const char *why, uint8_t *minor)
{
	const char *version;
	enum parse parse;

	if (likely(c->end - c->p >= 8)) {
		bool is_11 = memcmp(c->p, "HTTP/1.1", 8) == 0;

		if (likely(is_11 || memcmp(c->p, "HTTP/1.0", 8) == 0)) {
			*minor = is_11;
			c->p += 8;
			return PARSE_DONE;
		}
	}
	parse = take_form(c, "HTTP/9.9", why, &version);
	if (parse != PARSE_DONE)
		return parse;
	if (version[5] != '1' || version[7] > '1')
		return http1_bad(c, HTTP1_BAD_VERSION);
	*minor = (uint8_t)(version[7] - '0');
	return PARSE_DONE;
}

static void split_query(struct http_head *head, struct str rest)
{
	const char *mark = rest.len ? memchr(rest.p, '?', rest.len) : NULL;

	head->path = mark ? str_sub(rest.p, mark) : rest;
	head->query = mark ? str_sub(mark + 1, rest.p + rest.len) : STR_NONE;
}

/* The four forms of RFC 9112 3.2, of which the authority form goes with CONNECT alone. */
static enum parse split_target(struct http1_cursor *c, struct http_head *head)
{
	struct str target = head->target;
	const char *p, *end = target.p + target.len;
	size_t scheme_len;

	if (head->method_id == HTTP_CONNECT)
		return http1_bad(c, HTTP1_NO_CONNECT);
	if (likely(target.p[0] == '/')) {
		split_query(head, target);
		return PARSE_DONE;
	}
	if (head->method_id == HTTP_OPTIONS && str_eq(target, STR("*"))) {
		head->path = target;
		return PARSE_DONE;
	}
	if (str_istarts(target, STR("http://")))
		scheme_len = 7;
	else if (str_istarts(target, STR("https://")))
		scheme_len = 8;
	else
		return http1_bad(c, HTTP1_BAD_TARGET);

	for (p = target.p + scheme_len; p < end && *p != '/' && *p != '?'; p++)
		;
	head->is_absolute_form = true;
	head->authority = str_sub(target.p + scheme_len, p);
	if (!http_is_authority(head->authority))
		return http1_bad(c, HTTP1_BAD_TARGET);
	split_query(head, str_sub(p, end));
	if (head->path.len == 0)
		head->path =
			head->method_id == HTTP_OPTIONS && !head->query.p ? STR("*") : STR("/");
	return PARSE_DONE;
}

static enum parse take_request_line(struct http1_cursor *c, const struct http1_limits *limits,
				    struct http_head *head)
{
	enum parse parse;

	if (c->p < c->end && *c->p == '\r') { /* one empty line before is borne with */
		parse = http1_take_line_end(c);
		if (parse != PARSE_DONE)
			return parse;
	}
	parse = take_method(c, head);
	if (parse == PARSE_DONE)
		parse = take_target(c, limits->target_size_max, head);
	if (parse == PARSE_DONE)
		parse = take_version(c, HTTP1_BAD_REQUEST_LINE, &head->minor);
	if (parse != PARSE_DONE)
		return parse;
	if (c->p < c->end && *c->p != '\r')
		return http1_bad(c, http1_why_byte(*c->p, HTTP1_BAD_REQUEST_LINE));
	parse = http1_take_line_end(c);
	return parse == PARSE_DONE ? split_target(c, head) : parse;
}

static enum parse take_request(struct http1_cursor *c, const struct http1_limits *limits,
			       struct http_head *head)
{
	enum parse parse;

	http1_head_init(head);
	head->authority = STR_NONE;
	head->query = STR_NONE;
	head->is_absolute_form = false;
	head->has_expect_continue = false;
	parse = take_request_line(c, limits, head);
	if (parse == PARSE_DONE)
		parse = http1_take_fields(c, head);
	if (parse != PARSE_DONE)
		return parse;
	if (head->minor == 1 && head->first[FIELD_HOST] < 0)
		return http1_bad(c, HTTP1_NO_HOST);
	return http1_finish_head(c, head);
}

static enum parse take_status_line(struct http1_cursor *c, struct http_head *head)
{
	enum parse parse = take_version(c, HTTP1_BAD_STATUS_LINE, &head->minor);
	const char *p = c->p;

	if (parse == PARSE_DONE) {
		if (likely(c->end - p >= 4 && memcmp(p, " 200", 4) == 0))
			c->p += 4;
		else
			parse = take_form(c, " 999", HTTP1_BAD_STATUS_LINE, &p);
	}
	if (parse != PARSE_DONE)
		return parse;
	if (p[1] < '1' || p[1] > '5')
		return http1_bad(c, HTTP1_BAD_STATUS_LINE);
	head->status = (uint16_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));

	/* A space and the reason; without a reason many leave the space out. */
	if (c->p < c->end && *c->p == ' ') {
		p = c->p + 1;
		c->p = http1_scan_value(c->buf, p, c->end);
		head->reason = str_sub(p, c->p);
	} else {
		head->reason = (struct str){ c->p, 0 };
	}
	if (c->p < c->end && *c->p != '\r')
		return http1_bad(c, http1_why_byte(*c->p, HTTP1_BAD_STATUS_LINE));
	return http1_take_line_end(c);
}

static enum parse take_response(struct http1_cursor *c, struct http_head *head)
{
	enum parse parse;

	http1_head_init(head);
	parse = take_status_line(c, head);
	if (parse == PARSE_DONE)
		parse = http1_take_fields(c, head);
	return parse == PARSE_DONE ? http1_finish_head(c, head) : parse;
}

static enum parse parse_head(struct http1_cursor *c, size_t len, const struct http1_limits *limits,
			     struct http_head *head)
{
	const char *buf = c->p;
	enum parse parse;

	/* What lies behind the limit must not matter, or the cut would. */
	c->end = buf + (len < limits->head_size_max ? len : limits->head_size_max);
	parse = c->kind == HTTP1_REQUEST ? take_request(c, limits, head) : take_response(c, head);
	if (parse == PARSE_MORE && len >= limits->head_size_max)
		return http1_bad(c, HTTP1_HEAD_TOO_LARGE);
	head->size = (size_t)(c->p - buf);
	return parse;
}

enum parse http1_parse_request(const char *buf, size_t len, size_t seen,
			       const struct http1_limits *limits, struct http_head *head,
			       const char **why)
{
	/* From target_size_max to there a target may turn out too long, by what goes before it. */
	size_t target_end_max = (size_t)limits->target_size_max + HTTP1_METHOD_LEN_MAX + 4;
	struct http1_cursor c = { .buf = buf, .p = buf, .kind = HTTP1_REQUEST };
	enum parse parse;

	if (seen >= ALWAYS_SIZE && !http1_has_news(buf, len, seen) && len < limits->head_size_max &&
	    !(len > limits->target_size_max && seen < target_end_max))
		return PARSE_MORE;
	parse = parse_head(&c, len, limits, head);
	if (parse == PARSE_BAD)
		*why = c.why;
	return parse;
}

enum parse http1_parse_response(const char *buf, size_t len, size_t seen,
				const struct http1_limits *limits, struct http_head *head,
				const char **why)
{
	struct http1_cursor c = { .buf = buf, .p = buf, .kind = HTTP1_RESPONSE };
	enum parse parse;

	if (seen >= ALWAYS_SIZE && !http1_has_news(buf, len, seen) && len < limits->head_size_max)
		return PARSE_MORE;
	parse = parse_head(&c, len, limits, head);
	if (parse == PARSE_BAD)
		*why = c.why;
	return parse;
}
