/* SPDX-License-Identifier: MIT */
/*
 * access_log_haproxy - the layouts that HAProxy's users and their parsers know.
 *
 * A tunnel is one line at its end, of status 101.  Names of servers hold a '/' here and none there,
 * and parsers cut BACKEND/SERVER at it: in this layout it is written ':'.
 */
#include "config.h"

#include "session/access_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "session/access_log_line.h"

/* A name may come from a file's: what would end a field is '_'. */
static void put_name(struct line *line, const char *name, char slash)
{
	for (; *name; name++) {
		char c = *name == '/' ? slash : *name;

		if (c <= ' ' || c >= 0x7f || c == '"')
			c = '_';
		put_bytes(line, &c, 1);
	}
}

/* What could end the quoted text, or a terminal obey, is shown as #XX. */
static void put_encoded(struct line *line, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char text[8];

		if (c >= ' ' && c < 0x7f && c != '"' && c != '#') {
			put_bytes(line, &s.p[i], 1);
			continue;
		}
		snprintf(text, sizeof(text), "#%02X", c);
		put_bytes(line, text, 3);
	}
}

/* Who ended it and when, in HAProxy's letters: it has no tunnels, sessions or shutdowns. */
static void put_end(struct line *line, const struct log_facts *facts, enum txn_end end)
{
	char code[2];

	memcpy(code, txn_end_code(end), 2);
	if (end == END_NO_ROUTE)
		code[0] = 'S', code[1] = 'C';
	else if (facts->is_whole)
		code[0] = code[1] = '-';
	else if (code[0] == 'L' && code[1] == 'T')
		code[0] = 'K';
	if (code[1] == 'T' || code[1] == 'K')
		code[1] = 'D';
	else if (code[1] == 'S')
		code[1] = 'R';
	put_bytes(line, code, 2);
}

static void put_source(struct line *line, const struct log_facts *facts)
{
	char text[ADDR_TEXT_SIZE];

	put_str(line, ip_addr_ip_text(&facts->source, text));
	put_text(line, ":");
	put_number(line, facts->source.family == AF_UNSPEC ? 1 : facts->source.port);
	put_text(line, " [");
	put_bytes(
		line, text,
		log_time_clf(facts->started_unix_ms - (facts->started_ms - facts->begun_ms), text));
	put_text(line, "] ");
}

static void put_places(struct line *line, const struct log_facts *facts)
{
	bool has_backend = strcmp(facts->backend, "-") != 0;

	put_name(line, facts->frontend, '_');
	put_text(line, facts->is_tls ? "~ " : " ");
	put_name(line, has_backend ? facts->backend : facts->frontend, '_');
	put_text(line, "/");
	if (strcmp(facts->server, "-") == 0)
		put_text(line, "<NOSRV>");
	else
		put_name(line, facts->server, ':');
	put_text(line, " ");
}

static void put_load(struct line *line, const struct log_facts *facts)
{
	const int64_t load[] = { facts->connections, facts->frontend_connections,
				 facts->backend_requests, facts->server_requests };
	const int64_t queues[] = { facts->is_own_queue ? facts->queue_ahead : 0,
				   facts->is_own_queue ? 0 : facts->queue_ahead };

	put_numbers(line, load, 4);
	put_text(line, facts->redispatches ? "/+" : "/");
	put_number(line, facts->retries);
	put_text(line, " ");
	put_numbers(line, queues, 2);
}

void access_log_httplog(struct line *line, const struct log_facts *facts, enum txn_end end,
			const char *why unused_arg)
{
	const int64_t times[] = { facts->head_ms, facts->assigned_ms, facts->reached_ms,
				  facts->response_ms, clock_ms() - facts->begun_ms };

	put_source(line, facts);
	put_places(line, facts);
	put_numbers(line, times, 5);
	put_text(line, " ");
	put_number(line, facts->status ? facts->status : -1);
	put_text(line, " ");
	put_number(line, (int64_t)facts->bytes_sent);
	put_text(line, " - - ");
	put_end(line, facts, end);
	put_bytes(line, facts->persistence, 2);
	put_text(line, " ");
	put_load(line, facts);
	if (facts->is_bad) {
		put_text(line, " \"<BADREQ>\"");
		return;
	}
	put_text(line, " \"");
	put_encoded(line, facts->method);
	put_text(line, " ");
	put_encoded(line, facts->target.len ? facts->target : STR("-"));
	put_text(line, " ");
	put_text(line, version_text(facts));
	put_text(line, "\"");
}

void access_log_tcplog(struct line *line, const struct log_facts *facts, enum txn_end end,
		       const char *why unused_arg)
{
	const int64_t times[] = { facts->assigned_ms, facts->reached_ms,
				  clock_ms() - facts->begun_ms };

	put_source(line, facts);
	put_places(line, facts);
	put_numbers(line, times, 3);
	put_text(line, " ");
	put_number(line, (int64_t)facts->bytes_sent);
	put_text(line, " ");
	put_end(line, facts, end);
	put_text(line, " ");
	put_load(line, facts);
}
