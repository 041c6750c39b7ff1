/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/access_log.h"

#include <stdlib.h>

#include "balance/table.h"
#include "base/clock.h"
#include "base/log.h"
#include "proto/uri.h"
#include "session/access_log_line.h"
#include "session/client_tls.h"
#include "session/tunnel.h"
#include "session/txn.h"
#include "session/upstream.h"

#define LINE_MAX_SIZE  8192
#define TARGET_LOG_MAX 2048 /* bytes of a target that are kept for the log */
#define SID_MASK_SIZE  17   /* '~' and 16 hex digits */

static void put_hash(struct line *line, struct str value)
{
	uint64_t hash = table_secret_id(value);
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

static bool wants_line(const struct client *client)
{
	return client->frontend->has_request_log && log_wants_lines();
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
	if (!wants_line(txn->client))
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

void access_log_copy_sni(struct txn *txn, struct str sni)
{
	if (!sni.len || txn->client->is_tls || !wants_line(txn->client))
		return;
	if (sni.len > TARGET_INLINE)
		txn->target = xmalloc(sni.len);
	memcpy(txn->target, sni.p, sni.len);
	txn->target_len = (uint32_t)sni.len;
}

static int32_t span_ms(int64_t from_us, int64_t to_us)
{
	return from_us && to_us ? (int32_t)((to_us - from_us) / 1000) : -1;
}

static char stick_letter(const struct txn *txn)
{
	const struct stick *stick = &txn->stick;

	switch (stick->result) {
	case STICK_DEAD:
		return 'D';
	case STICK_UNKNOWN:
		return 'U';
	case STICK_TO:
		return txn->is_told ? 'R' : 'H';
	case STICK_FREE:
		break;
	}
	return stick->has_sid ? 'M' : stick->is_handshake ? 'N' : '-';
}

/*
 * HAProxy's letters of what a cookie did, for what a sid or a cookie did here: the request's (V
 * valid, I unknown, D its server is gone, N none), and the response's (P told by the server, I
 * inserted by us, N neither).  Stickiness by address has none.
 */
static void take_persistence(const struct txn *txn, char letters[2])
{
	const struct stick *stick = &txn->stick;
	char letter = stick_letter(txn);

	letters[0] = letters[1] = '-';
	if (!txn->backend || stick->kind == STICK_IP)
		return;
	if (letter == 'H' || letter == 'R')
		letters[0] = 'V';
	else if (letter == 'D')
		letters[0] = 'D';
	else if (letter == 'U' || letter == 'M')
		letters[0] = 'I';
	else if (letter == 'N' || stick->cookie_rule || stick->learn_rule)
		letters[0] = 'N';
	if (letters[0] == '-' || !txn->server || !txn->times.first_byte_us)
		return;
	letters[1] = 'N';
	if (stick->is_handshake && txn->status < 300)
		letters[1] = 'P';
	else if (stick->cookie_rule && stick->cookie_server != txn->server)
		letters[1] = 'I';
}

/* Others at the same time: who is logged is not counted, as its line is its end. */
static void take_load(struct log_facts *facts, const struct client *client,
		      const struct backend *backend, struct server *server)
{
	uint64_t now;

	facts->connections = atomic_load_explicit(&process_state.connections, memory_order_relaxed);
	facts->frontend_connections =
		atomic_load_explicit(&client->frontend->state->used, memory_order_relaxed);
	if (!backend)
		return;
	now = counters_sum(&backend->state->counters, backend_requests_now);
	facts->backend_requests = now && server ? (uint32_t)now - 1 : (uint32_t)now;
	if (!server)
		return;
	facts->server_requests = atomic_load_explicit(&server->used, memory_order_relaxed);
	if (facts->server_requests)
		facts->server_requests--;
}

static void take_tls_facts(struct client *client, struct log_facts *facts)
{
	struct tls_about about;

	if (!client_tls_about(client, &about))
		return;
	facts->tls_version = about.version;
	facts->tls_cipher = about.cipher;
	facts->sni = about.sni;
	if (about.is_peer_verified)
		facts->client_cn = about.peer_cn;
}

static void take_wire_facts(const struct txn *txn, struct log_facts *facts)
{
	const struct client *client = txn->client;
	const struct txn_times *times = &txn->times;
	bool is_request = txn->target_len || strcmp(txn->method_name, "-") != 0;
	int64_t connected_us = times->connected_us ? times->connected_us : times->connect_us;

	facts->is_tls = client->is_tls;
	facts->is_bad = !is_request;
	facts->is_tcp = txn_is_tcp(txn);
	facts->begun_ms = client->since_ms;
	facts->head_ms = is_request ? (int32_t)(times->accepted_us / 1000 - client->since_ms) : -1;
	facts->assigned_ms = span_ms(times->accepted_us, times->connect_us  ? times->connect_us
							 : times->queued_us ? clock_us()
									    : 0);
	facts->reached_ms = txn->is_request_sent || times->connected_us || times->first_byte_us
				    ? span_ms(times->connect_us, connected_us)
				    : -1;
	facts->bytes_sent = client->conn.sent;
	facts->queue_ahead = txn->queue_ahead;
	facts->is_own_queue = txn->stick.result == STICK_TO;
	take_persistence(txn, facts->persistence);
}

static void take_facts(const struct txn *txn, struct log_facts *facts)
{
	const struct txn_times *times = &txn->times;

	*facts = (struct log_facts){
		.started_unix_ms = clock_unix_ms() - (clock_us() - times->accepted_us) / 1000,
		.started_ms = times->accepted_us / 1000,
		.source = txn->source,
		.frontend = txn->client->frontend->state->name,
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
		.minor = client_carrier(txn->client) ? LOG_HTTP_2 : txn->minor,
		.retries = (uint8_t)txn->retries,
		.redispatches = (uint8_t)txn->redispatches,
		.stick_kind = txn->backend ? txn->stick.kind : STICK_N,
		.stick_letter = txn->backend ? stick_letter(txn) : '-',
	};
	take_wire_facts(txn, facts);
	take_tls_facts(txn->client, facts);
	if (txn->backend && facts->stick_kind == STICK_N && txn->stick.is_engineio)
		facts->stick_kind = STICK_ENGINEIO;
}

struct log_mark *access_log_mark(const struct txn *txn)
{
	struct log_mark *mark;
	struct log_facts facts;

	if (!wants_line(txn->client))
		return NULL;
	mark = xmalloc(sizeof(*mark) + txn->target_len + txn->request_id_len);
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
		.persistence = { facts.persistence[0], facts.persistence[1] },
		.head_ms = facts.head_ms,
		.assigned_ms = facts.assigned_ms,
		.reached_ms = facts.reached_ms,
		.queue_ahead = facts.queue_ahead,
		.is_own_queue = facts.is_own_queue,
	};
	memcpy(mark->text, txn->target, facts.target.len);
	memcpy(mark->text + facts.target.len, txn->request_id, facts.request_id.len);
	return mark;
}

/* When lines have been wanted only since it began. */
static const struct log_mark *no_mark(const struct client *client, struct log_mark *mark)
{
	*mark = (struct log_mark){
		.started_ms = client->since_ms,
		.source = client->source,
		.queue_ms = -1,
		.connect_ms = -1,
		.response_ms = -1,
		.head_ms = -1,
		.assigned_ms = -1,
		.reached_ms = -1,
		.stick_kind = STICK_N,
		.stick_letter = '-',
		.persistence = { '-', '-' },
	};
	return mark;
}

void access_log_tunnel(const struct tunnel *tunnel, enum txn_end end)
{
	struct client *client = tunnel->client;
	struct server *server = tunnel_server(tunnel);
	struct log_mark none;
	const struct log_mark *mark = tunnel->mark ? tunnel->mark : no_mark(client, &none);
	struct log_facts facts = {
		.started_unix_ms = clock_unix_ms() - (clock_ms() - mark->started_ms),
		.started_ms = mark->started_ms,
		.source = mark->source,
		.frontend = client->frontend->state->name,
		.backend = tunnel->backend->state->name,
		.server = server->name,
		.route = mark->route ? mark->route->name : STR("-"),
		.method = tunnel->is_tcp ? STR("") : STR("GET"), /* nothing else is upgraded */
		.target = { mark->text, mark->target_length },
		.request_id = { mark->text + mark->target_length, mark->request_id_length },
		.bytes_in = tunnel->to_server.bytes,
		.bytes_out = tunnel->to_client.bytes,
		.queue_ms = mark->queue_ms,
		.connect_ms = mark->connect_ms,
		.response_ms = mark->response_ms,
		.status = tunnel->is_tcp ? 0 : 101,
		.minor = client_carrier(client) ? LOG_HTTP_2 : 1,
		.retries = mark->retries,
		.redispatches = mark->redispatches,
		.stick_kind = (enum stick_kind)mark->stick_kind,
		.stick_letter = mark->stick_letter,
		.is_tunnel = true,
		.is_tcp = tunnel->is_tcp,
		.is_whole = tunnel->to_server.is_done && tunnel->to_client.is_done,
		.is_tls = client->is_tls,
		.begun_ms = client->since_ms,
		.head_ms = mark->head_ms,
		.assigned_ms = mark->assigned_ms,
		.reached_ms = mark->reached_ms,
		.bytes_sent = client->conn.sent,
		.queue_ahead = mark->queue_ahead,
		.is_own_queue = mark->is_own_queue,
		.persistence = { mark->persistence[0], mark->persistence[1] },
	};

	if (!wants_line(client))
		return;
	take_tls_facts(client, &facts);
	if (log_wants_line(LOG_STYLE_HAPROXY))
		take_load(&facts, client, tunnel->backend, server);
	access_log_write(&facts, end, NULL);
}

void access_log_write(const struct log_facts *facts, enum txn_end end, const char *why)
{
	typedef void write_fn(struct line * line, const struct log_facts *facts, enum txn_end end,
			      const char *why);
	static write_fn *const writers[LOG_STYLE_N] = {
		[LOG_STYLE_TEXT] = access_log_text,
		[LOG_STYLE_JSON] = access_log_json,
		[LOG_STYLE_HAPROXY] = access_log_httplog,
	};

	for (unsigned style = 0; style < LOG_STYLE_N; style++) {
		char text[LINE_MAX_SIZE];
		struct line line = { text, text + sizeof(text) - 8 };

		if (!log_wants_line(style))
			continue;
		(facts->is_tcp && style == LOG_STYLE_HAPROXY ? access_log_tcplog : writers[style])(
			&line, facts, end, why);
		log_line((enum log_style)style, str_sub(text, line.p));
	}
}

void access_log_txn(const struct txn *txn)
{
	struct log_facts facts;

	if (!wants_line(txn->client))
		return;
	take_facts(txn, &facts);
	if (log_wants_line(LOG_STYLE_HAPROXY))
		take_load(&facts, txn->client, txn->backend, txn->server);
	access_log_write(&facts, txn->end, txn->why);
}
