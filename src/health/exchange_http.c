/* SPDX-License-Identifier: MIT */
/*
 * exchange_http - the request of an HTTP check, and what its answer is worth: the status first,
 * then, where a pattern is wanted, the beginning of the body.
 */
#include "config.h"

#include "health/exchange.h"

#include <stdio.h>

#include "base/regex.h"

static void write_field(struct buf *out, struct str name, struct str value)
{
	buf_append_str(out, name);
	buf_append_str(out, STR(": "));
	buf_append_str(out, value);
	buf_append_str(out, STR("\r\n"));
}

static bool has_own(const struct health_conf *conf, struct str name)
{
	for (size_t i = 0; i < conf->headers.n; i++)
		if (str_ieq(conf->headers.edits[i].name, name))
			return true;
	return false;
}

void exchange_http_write(struct exchange *exchange)
{
	const struct health_conf *conf = exchange->conf;
	struct buf *out = &exchange->out;
	char addr[ADDR_TEXT_SIZE], length[32];
	struct str host = conf->host;

	if (host.len == 0)
		host = sock_addr_is_unix(exchange->addr) ? STR("localhost")
							 : sock_addr_text(exchange->addr, addr);
	buf_append_str(out, conf->method.len ? conf->method : STR("GET"));
	buf_append_str(out, STR(" "));
	buf_append_str(out, conf->path.len ? conf->path : STR("/"));
	buf_append_str(out, STR(" HTTP/1.1\r\n"));
	if (!has_own(conf, STR("Host")))
		write_field(out, STR("Host"), host);
	if (!has_own(conf, STR("User-Agent")))
		write_field(out, STR("User-Agent"), STR("limpet-check"));
	if (!has_own(conf, STR("Accept")))
		write_field(out, STR("Accept"), STR("*/*"));
	for (size_t i = 0; i < conf->headers.n; i++)
		write_field(out, conf->headers.edits[i].name, conf->headers.edits[i].value);
	if (exchange->send.len) {
		snprintf(length, sizeof(length), "%zu", exchange->send.len);
		write_field(out, STR("Content-Length"), str_of(length));
	}
	buf_append_str(out, STR("Connection: close\r\n\r\n"));
	buf_append_str(out, exchange->send);
}

static bool is_wanted(const struct health_conf *conf, unsigned status)
{
	if (!conf->statuses_n)
		return status >= 200 && status < 400;
	for (size_t i = 0; i < conf->statuses_n; i++)
		if (status >= conf->statuses[i].from && status <= conf->statuses[i].to)
			return true;
	return false;
}

static void judge_status(struct exchange *exchange, bool is_fine)
{
	unsigned status = exchange->http_status;
	char text[64];

	snprintf(text, sizeof(text), "status %u %s", status, http_status_reason(status));
	exchange_end(exchange, is_fine ? VERDICT_OK : VERDICT_FAILED, is_fine ? "L7OK" : "L7STS",
		     text);
}

static void judge_body(struct exchange *exchange)
{
	const struct regex *regex = exchange->conf->body.regex;
	struct str body = buf_str(&exchange->body);

	/* A reload may have taken it away since the request went out. */
	if (exchange->on_body ? exchange->on_body(exchange, body)
			      : !regex || regex_matches(regex, body))
		judge_status(exchange, true);
	else
		exchange_end(exchange, VERDICT_FAILED, "L7RSP", "the body does not match");
}

/* True when the exchange has ended. */
static bool take_head(struct exchange *exchange)
{
	static const struct http1_limits limits = { .head_size_max = BUF_SIZE };
	struct buf *in = &exchange->in;
	struct http_head head;
	const char *why;

	switch (http1_parse_response(buf_bytes(in), buf_length(in), exchange->seen, &limits, &head,
				     &why)) {
	case PARSE_MORE:
		exchange->seen = buf_length(in);
		return false;
	case PARSE_BAD:
		exchange_end(exchange, VERDICT_FAILED, "L7RSP", why);
		return true;
	case PARSE_DONE:
		break;
	}
	exchange->seen = 0;
	buf_consume(in, head.size);
	if (head.status < 200 && head.status != 101) {
		/* The real one follows; who never sends it must not keep the thread busy. */
		if (++exchange->interim_n <= EXCHANGE_INTERIM_MAX)
			return false;
		exchange_end(exchange, VERDICT_FAILED, "L7RSP", "too many 1xx responses");
		return true;
	}
	exchange->http_status = head.status;
	if (!(exchange->on_body || exchange->conf->body.regex) ||
	    !is_wanted(exchange->conf, head.status)) {
		judge_status(exchange, is_wanted(exchange->conf, head.status));
		return true;
	}
	exchange->has_head = true;
	exchange->framing = head.framing;
	exchange->body_left = head.content_length;
	http1_chunked_init(&exchange->chunked);
	if (head.framing == FRAMING_NONE)
		judge_body(exchange);
	return head.framing == FRAMING_NONE;
}

/* Keeps what is still of interest; true when there is enough. */
static bool keep(struct exchange *exchange, const char *bytes, size_t n)
{
	size_t room = EXCHANGE_BODY_MAX - buf_length(&exchange->body);

	buf_append(&exchange->body, bytes, n < room ? n : room);
	return n >= room;
}

static bool take_chunks(struct exchange *exchange)
{
	struct buf *in = &exchange->in;
	enum parse parse;
	const char *why;
	struct str data;
	size_t used;

	do {
		parse = http1_chunked_next(&exchange->chunked, buf_bytes(in), buf_length(in), &used,
					   &data, NULL, &why);
		if (parse == PARSE_BAD) {
			exchange_end(exchange, VERDICT_FAILED, "L7RSP", why);
			return true;
		}
		if (keep(exchange, data.p, data.len) || parse == PARSE_DONE) {
			judge_body(exchange);
			return true;
		}
		buf_consume(in, used);
	} while (used && buf_length(in));
	return false;
}

static bool take_body(struct exchange *exchange)
{
	struct buf *in = &exchange->in;
	size_t n = buf_length(in);
	bool is_enough;

	if (exchange->framing == FRAMING_CHUNKED)
		return take_chunks(exchange);
	if (exchange->framing == FRAMING_LENGTH && n > exchange->body_left)
		n = (size_t)exchange->body_left;
	is_enough = keep(exchange, buf_bytes(in), n);
	exchange->body_left -= exchange->framing == FRAMING_LENGTH ? n : 0;
	if (is_enough || (exchange->framing == FRAMING_LENGTH && !exchange->body_left)) {
		judge_body(exchange);
		return true;
	}
	buf_consume(in, n);
	return false;
}

bool exchange_http_hear(struct exchange *exchange)
{
	while (buf_length(&exchange->in)) {
		size_t before = buf_length(&exchange->in);

		if (exchange->has_head ? take_body(exchange) : take_head(exchange))
			return true;
		if (buf_length(&exchange->in) == before)
			return false; /* more is needed */
	}
	return false;
}

void exchange_http_eof(struct exchange *exchange)
{
	if (exchange->has_head && exchange->framing == FRAMING_CLOSE)
		judge_body(exchange);
	else
		exchange_end(exchange, VERDICT_FAILED, "L7RSP",
			     exchange->has_head ? "closed within the body"
						: "closed before a response");
}
