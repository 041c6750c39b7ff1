/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/access_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/siphash.h"
#include "proto/uri.h"
#include "session/tunnel.h"
#include "session/txn.h"

#define LINE_MAX_SIZE  8192
#define TARGET_LOG_MAX 2048 /* bytes of a target that are kept for the log */
#define SID_MASK_SIZE  17   /* '~' and 16 hex digits */

/* Appends to a line of bounded size; what does not fit is cut. */
struct line {
	char *p, *end;
};

static void put_bytes(struct line *line, const char *p, size_t n)
{
	size_t room = (size_t)(line->end - line->p);

	if (n > room)
		n = room;
	if (n)
		memcpy(line->p, p, n);
	line->p += n;
}

static void put_str(struct line *line, struct str s)
{
	put_bytes(line, s.p, s.len);
}

static void put_text(struct line *line, const char *text)
{
	put_bytes(line, text, strlen(text));
}

static void put_number(struct line *line, int64_t n)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%lld", (long long)n);

	put_bytes(line, text, (size_t)len);
}

static void put_hash(struct line *line, struct str value)
{
	uint64_t hash = siphash13(siphash_process_key(), value.p, value.len);
	char text[SID_MASK_SIZE + 1];

	snprintf(text, sizeof(text), "~%016llx", (unsigned long long)hash);
	put_bytes(line, text, SID_MASK_SIZE);
}

/* QUERY with the value of every parameter that decodes to "sid" masked. */
static void put_masked_query(struct line *line, struct str query)
{
	const char *at = query.p;
	struct str key, value;

	while (uri_next_param(&query, &key, &value)) {
		char decoded[512];
		ptrdiff_t n;

		if (!value.p || !value.len || !uri_key_is(key, STR("sid")))
			continue;
		put_bytes(line, at, (size_t)(value.p - at));
		n = uri_decode(value, decoded, sizeof(decoded), true);
		put_hash(line, n < 0 ? value : (struct str){ decoded, (size_t)n });
		at = value.p + value.len;
	}
	put_bytes(line, at, (size_t)(query.p + query.len - at));
}

void access_log_copy_target(struct txn *txn, const struct http_head *head)
{
	struct line line = { txn->target_inline, txn->target_inline + TARGET_INLINE };
	size_t need = head->target.len + 8 * SID_MASK_SIZE;

	if (head->method_id != HTTP_OTHER) {
		txn->method_name = http_method_name(head->method_id);
	} else {
		size_t n = head->method.len < sizeof(txn->method_other)
				   ? head->method.len
				   : sizeof(txn->method_other) - 1;

		memcpy(txn->method_other, head->method.p, n);
		txn->method_other[n] = '\0';
		txn->method_name = txn->method_other;
	}
	if (!txn->client->frontend->has_request_log || !log_wants(LOG_LEVEL_INFO))
		return;
	if (need > TARGET_INLINE) {
		size_t size = need < TARGET_LOG_MAX ? need : TARGET_LOG_MAX;

		txn->target = xmalloc(size);
		line = (struct line){ txn->target, txn->target + size };
	}
	if (head->query.p) {
		put_bytes(&line, head->target.p, (size_t)(head->query.p - head->target.p));
		put_masked_query(&line, head->query);
	} else {
		put_str(&line, head->target);
	}
	txn->target_len = (uint32_t)(line.p - txn->target);
}

static int32_t span_ms(int64_t from_us, int64_t to_us)
{
	return from_us && to_us ? (int32_t)((to_us - from_us) / 1000) : -1;
}

static char stick_letter(const struct stick *stick)
{
	switch (stick->result) {
	case STICK_DEAD:
		return 'D';
	case STICK_UNKNOWN:
		return 'U';
	case STICK_TO:
		return 'H';
	case STICK_FREE:
		break;
	}
	return stick->has_sid ? 'M' : stick->is_handshake ? 'N' : '-';
}

static void take_facts(const struct txn *txn, struct log_facts *facts)
{
	const struct txn_times *times = &txn->times;

	*facts = (struct log_facts){
		.started_unix_ms = clock_unix_ms() - (clock_us() - times->accepted_us) / 1000,
		.started_ms = times->accepted_us / 1000,
		.source = txn->source,
		.frontend = txn->client->frontend_state->name,
		.backend = txn->backend ? txn->backend->state->name : "-",
		.server = txn->server ? txn->server->name : "-",
		.route = txn->route ? txn->route->name : STR("-"),
		.method = str_of(txn->method_name),
		.target = { txn->target, txn->target_len },
		.request_id = { txn->request_id, txn->request_id_len },
		.bytes_in = txn->request.bytes,
		.bytes_out = txn->response.bytes,
		.queue_ms = span_ms(times->queued_us, times->connect_us),
		.connect_ms = span_ms(times->connect_us, times->connected_us),
		.response_ms =
			span_ms(times->connected_us ? times->connected_us : times->connect_us,
				times->first_byte_us),
		.status = (uint16_t)txn->status,
		.minor = txn->minor,
		.retries = (uint8_t)txn->retries,
		.redispatches = (uint8_t)txn->redispatches,
		.stick_kind = txn->backend ? txn->stick.kind : STICK_N,
		.stick_letter = txn->backend ? stick_letter(&txn->stick) : '-',
	};
	if (txn->backend && facts->stick_kind == STICK_N && txn->stick.is_engineio)
		facts->stick_kind = STICK_ENGINEIO;
}

size_t access_log_text_size(const struct txn *txn)
{
	return txn->target_len + txn->request_id_len;
}

void access_log_mark(const struct txn *txn, struct log_mark *mark, char *text)
{
	struct log_facts facts;

	take_facts(txn, &facts);
	*mark = (struct log_mark){
		.started_ms = facts.started_ms,
		.route = txn->route,
		.source = facts.source,
		.queue_ms = facts.queue_ms,
		.connect_ms = facts.connect_ms,
		.response_ms = facts.response_ms,
		.target_length = (uint16_t)facts.target.len,
		.request_id_length = (uint16_t)facts.request_id.len,
		.retries = facts.retries,
		.redispatches = facts.redispatches,
		.stick_kind = (uint8_t)facts.stick_kind,
		.stick_letter = facts.stick_letter,
	};
	memcpy(text, txn->target, facts.target.len);
	memcpy(text + facts.target.len, txn->request_id, facts.request_id.len);
}

void access_log_tunnel(const struct tunnel *tunnel, enum txn_end end)
{
	const struct log_mark *mark = &tunnel->mark;
	const struct client *client = tunnel->client;
	struct log_facts facts = {
		.started_unix_ms = clock_unix_ms() - (clock_ms() - mark->started_ms),
		.started_ms = mark->started_ms,
		.source = mark->source,
		.frontend = client->frontend_state->name,
		.backend = tunnel->backend->state->name,
		.server = tunnel->server->name,
		.route = mark->route ? mark->route->name : STR("-"),
		.method = STR("GET"), /* nothing else is upgraded */
		.target = { tunnel->text, mark->target_length },
		.request_id = { tunnel->text + mark->target_length, mark->request_id_length },
		.bytes_in = tunnel->to_server.bytes,
		.bytes_out = tunnel->to_client.bytes,
		.queue_ms = mark->queue_ms,
		.connect_ms = mark->connect_ms,
		.response_ms = mark->response_ms,
		.status = 101,
		.minor = 1,
		.retries = mark->retries,
		.redispatches = mark->redispatches,
		.stick_kind = (enum stick_kind)mark->stick_kind,
		.stick_letter = mark->stick_letter,
		.is_tunnel = true,
	};

	if (client->frontend->has_request_log)
		access_log_write(&facts, end, NULL, &client->config->global);
}

static void put_code(struct line *line, const struct log_facts *facts, enum txn_end end)
{
	static const char kinds[STICK_N + 1] = "ECLI-";

	put_text(line, txn_end_code(end));
	put_bytes(line, &kinds[facts->stick_kind], 1);
	put_bytes(line, &facts->stick_letter, 1);
}

/* What a terminal or a line parser could take amiss is shown as \xNN. */
static void put_clean(struct line *line, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char text[8];

		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
			put_bytes(line, &s.p[i], 1);
			continue;
		}
		snprintf(text, sizeof(text), "\\x%02x", c);
		put_bytes(line, text, 4);
	}
}

static void write_text(struct line *line, const struct log_facts *facts, enum txn_end end,
		       const char *why)
{
	char time[LOG_TIME_SIZE], addr[ADDR_TEXT_SIZE];
	size_t n = log_time_text(facts->started_unix_ms, time);

	put_bytes(line, time, n);
	put_text(line, facts->is_tunnel ? " tunnel " : " request ");
	put_str(line, ip_addr_text(&facts->source, addr));
	put_text(line, " ");
	put_text(line, facts->frontend);
	put_text(line, " ");
	put_str(line, facts->route);
	put_text(line, " ");
	put_text(line, facts->backend);
	put_text(line, " ");
	put_text(line, facts->server);
	put_text(line, " ");
	put_code(line, facts, end);
	put_text(line, " ");
	put_number(line, facts->status);
	put_text(line, " ");
	put_number(line, facts->queue_ms);
	put_text(line, "/");
	put_number(line, facts->connect_ms);
	put_text(line, "/");
	put_number(line, facts->response_ms);
	put_text(line, "/");
	put_number(line, clock_ms() - facts->started_ms);
	put_text(line, " ");
	put_number(line, (int64_t)facts->bytes_in);
	put_text(line, "/");
	put_number(line, (int64_t)facts->bytes_out);
	put_text(line, " ");
	put_number(line, facts->retries);
	put_text(line, " ");
	put_str(line, facts->request_id.len ? facts->request_id : STR("-"));
	put_text(line, " \"");
	put_clean(line, facts->method);
	put_text(line, " ");
	put_clean(line, facts->target.len ? facts->target : STR("-"));
	put_text(line, facts->minor ? " HTTP/1.1\"" : " HTTP/1.0\"");
	if (why) {
		put_text(line, " ");
		put_text(line, why);
	}
}

static void json_str(struct line *line, const char *key, struct str value)
{
	put_text(line, ",\"");
	put_text(line, key);
	put_text(line, "\":\"");
	line->p += log_json_escape(value, line->p, (size_t)(line->end - line->p));
	put_text(line, "\"");
}

static void json_number(struct line *line, const char *key, int64_t n)
{
	put_text(line, ",\"");
	put_text(line, key);
	put_text(line, "\":");
	put_number(line, n);
}

static void write_json(struct line *line, const struct log_facts *facts, enum txn_end end,
		       const char *why)
{
	char time[LOG_TIME_SIZE], addr[ADDR_TEXT_SIZE], code[8];
	struct line code_line = { code, code + sizeof(code) };
	struct str stick = facts->stick_kind == STICK_N
				   ? STR("-")
				   : str_of(stick_kind_name(facts->stick_kind));

	put_code(&code_line, facts, end);
	put_text(line, "{\"time\":\"");
	put_bytes(line, time, log_time_text(facts->started_unix_ms, time));
	put_text(line, "\"");
	json_str(line, "type", facts->is_tunnel ? STR("tunnel") : STR("request"));
	json_str(line, "client", ip_addr_text(&facts->source, addr));
	json_str(line, "frontend", str_of(facts->frontend));
	json_str(line, "route", facts->route);
	json_str(line, "backend", str_of(facts->backend));
	json_str(line, "server", str_of(facts->server));
	json_str(line, "stick", stick);
	json_str(line, "stick_result", (struct str){ &facts->stick_letter, 1 });
	json_str(line, "code", (struct str){ code, (size_t)(code_line.p - code) });
	json_number(line, "status", facts->status);
	json_number(line, "queue_ms", facts->queue_ms);
	json_number(line, "connect_ms", facts->connect_ms);
	json_number(line, "response_ms", facts->response_ms);
	json_number(line, "total_ms", clock_ms() - facts->started_ms);
	json_number(line, "bytes_in", (int64_t)facts->bytes_in);
	json_number(line, "bytes_out", (int64_t)facts->bytes_out);
	json_number(line, "retries", facts->retries);
	json_str(line, "request_id", facts->request_id);
	json_str(line, "method", facts->method);
	json_str(line, "target", facts->target);
	json_str(line, "version", facts->minor ? STR("HTTP/1.1") : STR("HTTP/1.0"));
	json_str(line, "end", str_of(txn_end_text(end)));
	if (why)
		json_str(line, "why", str_of(why));
	put_text(line, "}");
}

void access_log_write(const struct log_facts *facts, enum txn_end end, const char *why,
		      const struct global_conf *global)
{
	char text[LINE_MAX_SIZE];
	struct line line = { text, text + sizeof(text) - 8 };

	if (!log_wants(LOG_LEVEL_INFO))
		return;
	if (global->log.format == LOG_JSON)
		write_json(&line, facts, end, why);
	else
		write_text(&line, facts, end, why);
	line.end = text + sizeof(text);
	put_text(&line, "\n");
	log_line(LOG_LEVEL_INFO, str_sub(text, line.p));
}

void access_log_txn(const struct txn *txn)
{
	struct log_facts facts;

	if (!txn->client->frontend->has_request_log || !log_wants(LOG_LEVEL_INFO))
		return;
	take_facts(txn, &facts);
	access_log_write(&facts, txn->end, txn->why, &txn->client->config->global);
}
