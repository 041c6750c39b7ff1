/* SPDX-License-Identifier: MIT */
/* access_log_text - the lines in our own layouts: text and JSON. */
#include "config.h"

#include "session/access_log.h"

#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"
#include "session/access_log_line.h"

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

static struct str type_of(const struct log_facts *facts)
{
	if (facts->is_tcp)
		return STR("tcp");
	return facts->is_tunnel ? STR("tunnel") : STR("request");
}

/* What was asked for, in quotes. */
static void put_request(struct line *line, const struct log_facts *facts)
{
	put_text(line, "\"");
	put_clean(line, facts->is_tcp ? STR("TCP") : facts->method);
	put_text(line, " ");
	put_clean(line, facts->target.len ? facts->target : STR("-"));
	if (!facts->is_tcp) {
		put_text(line, " ");
		put_text(line, version_text(facts));
	}
	put_text(line, "\"");
}

/* A word and the blank after it. */
static void put_word(struct line *line, struct str word)
{
	put_str(line, word);
	put_text(line, " ");
}

static void put_tls(struct line *line, const struct log_facts *facts)
{
	if (!facts->tls_version)
		return;
	put_text(line, " ");
	put_text(line, facts->tls_version);
	put_text(line, "/");
	put_text(line, facts->tls_cipher);
	put_text(line, " sni=\"");
	put_clean(line, facts->sni);
	put_text(line, "\"");
	if (!facts->client_cn.len)
		return;
	put_text(line, " cn=\"");
	put_clean(line, facts->client_cn);
	put_text(line, "\"");
}

void access_log_text(struct line *line, const struct log_facts *facts, enum txn_end end,
		     const char *why)
{
	const int64_t times[] = { facts->queue_ms, facts->connect_ms, facts->response_ms,
				  clock_ms() - facts->started_ms };
	const int64_t bytes[] = { (int64_t)facts->bytes_in, (int64_t)facts->bytes_out };
	char time[LOG_TIME_SIZE], addr[ADDR_TEXT_SIZE];
	size_t n = log_time_text(facts->started_unix_ms, time);

	put_bytes(line, time, n);
	put_text(line, " ");
	put_word(line, type_of(facts));
	put_word(line, ip_addr_text(&facts->source, addr));
	put_word(line, str_of(facts->frontend));
	put_word(line, facts->route);
	put_word(line, str_of(facts->backend));
	put_word(line, str_of(facts->server));
	put_code(line, facts, end);
	put_text(line, " ");
	put_number(line, facts->status);
	put_text(line, " ");
	put_numbers(line, times, ARRAY_N(times));
	put_text(line, " ");
	put_numbers(line, bytes, ARRAY_N(bytes));
	put_text(line, " ");
	put_number(line, facts->retries);
	put_text(line, " ");
	put_word(line, facts->request_id.len ? facts->request_id : STR("-"));
	put_request(line, facts);
	put_tls(line, facts);
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

static void json_request(struct line *line, const struct log_facts *facts)
{
	if (facts->is_tcp) {
		if (!facts->tls_version)
			json_str(line, "sni", facts->target);
		return;
	}
	json_str(line, "request_id", facts->request_id);
	json_str(line, "method", facts->method);
	json_str(line, "target", facts->target);
	json_str(line, "version", str_of(version_text(facts)));
}

void access_log_json(struct line *line, const struct log_facts *facts, enum txn_end end,
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
	json_str(line, "type", type_of(facts));
	json_str(line, "client", ip_addr_text(&facts->source, addr));
	json_str(line, "frontend", str_of(facts->frontend));
	json_str(line, "route", facts->route);
	json_str(line, "backend", str_of(facts->backend));
	json_str(line, "server", str_of(facts->server));
	json_str(line, "stick", stick);
	json_str(line, "stick_result", (struct str){ &facts->stick_letter, 1 });
	json_str(line, "code", (struct str){ code, (size_t)(code_line.p - code) });
	if (!facts->is_tcp)
		json_number(line, "status", facts->status);
	json_number(line, "queue_ms", facts->queue_ms);
	json_number(line, "connect_ms", facts->connect_ms);
	if (!facts->is_tcp)
		json_number(line, "response_ms", facts->response_ms);
	json_number(line, "total_ms", clock_ms() - facts->started_ms);
	json_number(line, "bytes_in", (int64_t)facts->bytes_in);
	json_number(line, "bytes_out", (int64_t)facts->bytes_out);
	json_number(line, "retries", facts->retries);
	json_request(line, facts);
	if (facts->tls_version) {
		json_str(line, "tls_version", str_of(facts->tls_version));
		json_str(line, "tls_cipher", str_of(facts->tls_cipher));
		json_str(line, "sni", facts->sni);
		json_str(line, "client_cn", facts->client_cn);
	}
	json_str(line, "end", str_of(txn_end_text(end)));
	if (why)
		json_str(line, "why", str_of(why));
	put_text(line, "}");
}
