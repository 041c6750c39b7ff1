/* SPDX-License-Identifier: MIT */
/*
 * answer - responses that Limpet makes itself: errors, respond and redirect routes, and the
 * "Session ID unknown" that tells an Engine.IO client to make a new handshake.
 */
#include "config.h"

#include <stdio.h>

#include "session/tls_facts.h"
#include "session/txn.h"
#include "session/upstream.h"

void txn_count_status(struct txn *txn, unsigned status)
{
	static const int ids[] = { frontend_responses_1xx, frontend_responses_2xx,
				   frontend_responses_3xx, frontend_responses_4xx,
				   frontend_responses_5xx };

	if (status >= 100 && status < 600)
		count(&txn->client->frontend->state->counters, ids[status / 100 - 1]);
}

/* The server's connection is of no more use, and neither is its slot. */
static void leave_server(struct txn *txn)
{
	upstream_close(txn->upstream);
	txn->upstream = NULL;
	txn_release_server(txn);
	queue_leave(txn);
}

/*
 * A body that is not read would be taken for the next request.  One that has come already is
 * dropped; otherwise the connection is closed after the answer.
 */
static void drop_body(struct txn *txn)
{
	struct buf *in = &txn->client->in;

	if (txn->request.is_done || txn->request.from != FRAMING_LENGTH ||
	    txn->request.left > buf_length(in) - txn->head->size)
		return;
	/* The head goes with it: what its facts point to is not looked at any more. */
	txn->request.is_done = true;
	buf_consume(in, (size_t)txn->request.left);
}

/* Strict-Transport-Security, unless LINES, what the operator wants to be sent, have it. */
static void append_hsts(const struct txn *txn, struct str lines, struct buf *out)
{
	static const struct str name = STR_INIT("strict-transport-security:");
	struct str value = tls_facts_hsts(txn->client);

	while (value.len && lines.len) {
		ptrdiff_t end = str_find_char(lines, '\n');

		if (str_istarts(lines, name))
			return;
		lines = str_sub(end < 0 ? lines.p + lines.len : lines.p + end + 1,
				lines.p + lines.len);
	}
	if (!value.len)
		return;
	buf_append_str(out, STR("Strict-Transport-Security: "));
	buf_append_str(out, value);
	buf_append_str(out, STR("\r\n"));
}

/* STATUS, extra field LINES (each ended by CR LF) and BODY go to client->out. */
static enum step answer(struct txn *txn, unsigned status, struct str lines, struct str body)
{
	struct buf *out = &txn->client->out;
	char head[256];
	int n;

	leave_server(txn);
	if (txn->head) {
		drop_body(txn);
		if (txn->request.is_done)
			buf_consume(&txn->client->in, txn->head->size);
		slab_put(&txn->traffic->head_slab, txn->head);
		txn->head = NULL;
	}
	if (!txn->is_keep_alive || !txn->request.is_done || txn->traffic->is_draining)
		txn->is_closing_client = true;
	txn->status = status;
	txn_count_status(txn, status);
	count(&txn->client->frontend->state->counters, frontend_responses_own);
	if (txn->backend && status >= 400)
		count(&txn->backend->state->counters,
		      status < 500 ? backend_responses_own_4xx : backend_responses_own_5xx);
	n = snprintf(head, sizeof(head), "HTTP/1.1 %u %s\r\n%s", status, http_status_reason(status),
		     txn->is_closing_client ? "Connection: close\r\n"
		     : txn->minor == 0      ? "Connection: keep-alive\r\n"
					    : "");
	buf_append(out, head, (size_t)n);
	if (status == 204 || status == 304) {
		body.len = 0; /* these have none (RFC 9110 15.3.5, 15.4.5) */
	} else {
		n = snprintf(head, sizeof(head), "Content-Length: %zu\r\n", body.len);
		buf_append(out, head, (size_t)n);
	}
	buf_append_str(out, lines);
	append_hsts(txn, lines, out);
	buf_append(out, "\r\n", 2);
	if (!txn->is_head)
		buf_append_str(out, body);
	txn->response.bytes = txn->is_head ? 0 : body.len;
	txn->is_held = false;
	txn_set_state(txn, TXN_ANSWER);
	return STEP_NEXT;
}

enum step txn_answer(struct txn *txn, unsigned status, enum txn_end end, const char *why)
{
	char body[128];
	int n;

	if (txn_is_tcp(txn))
		return txn_tcp_refuse(txn, end, why);
	n = snprintf(body, sizeof(body), "%u %s\n", status, http_status_reason(status));

	txn->end = end;
	if (why)
		txn->why = why;
	return answer(txn, status, STR("Content-Type: text/plain\r\nCache-Control: no-store\r\n"),
		      (struct str){ body, (size_t)n });
}

/* What lets a page of another origin read the answer, as the engine itself would say it. */
static size_t cors_lines(const struct txn *txn, char *out, size_t size)
{
	int n;

	if (!txn->origin_len)
		return 0;
	n = snprintf(out, size,
		     "Access-Control-Allow-Origin: %.*s\r\n"
		     "Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n",
		     (int)txn->origin_len, txn->origin);
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

enum step txn_answer_session_unknown(struct txn *txn, enum txn_end end)
{
	char lines[ORIGIN_MAX + 256];
	size_t n = cors_lines(txn, lines, sizeof(lines) - 64);
	bool is_websocket = txn->stick.query.transport == ENGINEIO_WEBSOCKET;

	txn->end = end;
	count(&txn->backend->state->counters, backend_session_unknown_answers);
	if (is_websocket)
		txn->is_keep_alive = false;
	n += (size_t)snprintf(lines + n, sizeof(lines) - n, "Content-Type: %s\r\n",
			      is_websocket ? "text/html" : "application/json");
	return answer(txn, 400, (struct str){ lines, n },
		      is_websocket ? STR("Session ID unknown")
				   : STR("{\"code\":1,\"message\":\"Session ID unknown\"}"));
}

static struct str without_port(struct str authority)
{
	const char *colon = memrchr(authority.p, ':', authority.len);

	/* "[::1]" has colons, too. */
	if (!colon || memchr(colon, ']', (size_t)(authority.p + authority.len - colon)))
		return authority;
	return str_sub(authority.p, colon);
}

/* The port that the client came to is not where the other scheme is spoken. */
static void append_origin(const struct txn *txn, const struct redirect_conf *to, struct buf *out)
{
	struct str came_by = txn->client->is_tls ? STR("https") : STR("http");
	struct str scheme = to->scheme.len ? to->scheme : came_by;
	struct str authority = to->host.len ? to->host : txn->head->authority;
	bool is_https = str_eq(scheme, STR("https"));
	char port[8];
	int n = snprintf(port, sizeof(port), ":%u", (unsigned)to->port);

	if (authority.len && (to->port || (!to->host.len && !str_eq(scheme, came_by))))
		authority = without_port(authority);
	buf_append_str(out, scheme);
	buf_append_str(out, STR("://"));
	buf_append_str(out, authority);
	if (to->port && to->port != (is_https ? 443 : 80))
		buf_append(out, port, (size_t)n);
}

static enum step redirect(struct txn *txn, const struct redirect_conf *to)
{
	struct buf lines = { 0 };
	enum step step;

	buf_append_str(&lines, STR("Location: "));
	if ((to->scheme.len || to->host.len || to->port) && (!to->to.len || to->to.p[0] == '/'))
		append_origin(txn, to, &lines);
	if (to->to.len) {
		buf_append_str(&lines, to->to);
	} else {
		buf_append_str(&lines, txn->head->path);
		if (txn->head->query.p) {
			buf_append(&lines, "?", 1);
			buf_append_str(&lines, txn->head->query);
		}
	}
	buf_append(&lines, "\r\n", 2);
	step = answer(txn, to->status, buf_str(&lines), STR(""));
	buf_release(&lines);
	return step;
}

enum step txn_answer_route(struct txn *txn)
{
	const struct route *route = txn->route;
	struct buf lines = { 0 };
	enum step step;

	txn->end = END_ANSWERED;
	if (route->redirect.status)
		return redirect(txn, &route->redirect);
	if (route->respond.status >= 400)
		count(&txn->client->frontend->state->counters, frontend_requests_denied);
	buf_append_str(&lines, STR("Content-Type: "));
	buf_append_str(&lines, route->respond.content_type.len ? route->respond.content_type
							       : STR("text/plain"));
	buf_append(&lines, "\r\n", 2);
	for (size_t i = 0; i < route->response_edits.n; i++) {
		const struct header_edit *edit = &route->response_edits.edits[i];

		if (!edit->value.p)
			continue;
		buf_append_str(&lines, edit->name);
		buf_append(&lines, ": ", 2);
		buf_append_str(&lines, edit->value);
		buf_append(&lines, "\r\n", 2);
	}
	step = answer(txn, route->respond.status, buf_str(&lines), route->respond.body);
	buf_release(&lines);
	return step;
}
