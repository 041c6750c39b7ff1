/* SPDX-License-Identifier: MIT */
/*
 * head_write - the heads that go on: the client's to the server, the server's to the client.
 *
 * Field lines that stay are copied in runs, as they came (the parser has made sure that they are
 * well-formed), what is dropped ends a run, and what is added goes behind.  One contiguous build:
 * for heads of a few hundred bytes that is cheaper than a vector of views (doc/performance.md).
 */
#include "config.h"

#include "proto/cookie.h"
#include "session/forwarded.h"
#include "session/tls_facts.h"
#include "session/txn.h"
#include "session/upstream.h"

typedef bool drop_fn(const struct txn *txn, const struct http_head *head,
		     const struct http_field *field);

/*
 * Copies the field lines that DROP does not want dropped, and with the first of them what stands
 * before it from RUN on: a start line that goes on as it came.  NULL: that was written otherwise.
 */
static inline __attribute__((always_inline)) void copy_fields(const struct txn *txn,
							      const struct http_head *head,
							      const char *run, const char *head_end,
							      drop_fn *drop, struct buf *out)
{
	for (unsigned i = 0; i < head->fields_n; i++) {
		const struct http_field *field = &head->fields[i];

		if (!drop(txn, head, field)) {
			if (!run)
				run = field->name.p;
			continue;
		}
		if (run)
			buf_append(out, run, (size_t)(field->name.p - run));
		run = NULL;
	}
	if (run)
		buf_append(out, run, (size_t)(head_end - 2 - run));
}

static bool is_edited(const struct header_edits *edits, const struct http_field *field)
{
	for (size_t i = 0; i < edits->n; i++)
		if (str_ieq(edits->edits[i].name, field->name))
			return true;
	return false;
}

static void append_field(struct buf *out, struct str name, struct str value)
{
	buf_append_str(out, name);
	buf_append(out, ": ", 2);
	buf_append_str(out, value);
	buf_append(out, "\r\n", 2);
}

static void append_edits(const struct header_edits *edits, struct buf *out)
{
	for (size_t i = 0; i < edits->n; i++)
		if (edits->edits[i].value.p)
			append_field(out, edits->edits[i].name, edits->edits[i].value);
}

/* A set in the route replaces one of the same name in the backend. */
static void append_backend_edits(const struct header_edits *edits, const struct header_edits *over,
				 struct buf *out)
{
	for (size_t i = 0; i < edits->n; i++) {
		struct http_field field = { .name = edits->edits[i].name };

		if (edits->edits[i].value.p && !(over && is_edited(over, &field)))
			append_field(out, edits->edits[i].name, edits->edits[i].value);
	}
}

static bool drops_from_request(const struct txn *txn, const struct http_head *head,
			       const struct http_field *field)
{
	if (field->is_hop)
		return true;
	if (txn->route && txn->route->request_edits.n &&
	    is_edited(&txn->route->request_edits, field))
		return true;
	if (txn->backend->request_edits.n && is_edited(&txn->backend->request_edits, field))
		return true;
	switch ((int)field->id) {
	case FIELD_OTHER:
		return txn->client->frontend->config->has_client_headers &&
		       tls_facts_is_name(field->name);
	case FIELD_HOST:
		return head->is_absolute_form; /* the target's authority takes its place */
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_FORWARDED_PROTO:
	case FIELD_X_FORWARDED_HOST:
	case FIELD_X_FORWARDED_PORT:
	case FIELD_FORWARDED:
		return forwarded_replaces(txn, (enum http_field_id)field->id);
	case FIELD_X_REQUEST_ID:
		return txn->client->frontend->has_request_id;
	case FIELD_COOKIE:
		return txn->stick.cookie_rule != NULL; /* written again without ours */
	case FIELD_ACCEPT_ENCODING:
		/* The sid must be readable in the answer to a handshake. */
		return txn->stick.is_handshake;
	default:
		return false;
	}
}

static void append_cookies(struct txn *txn, struct buf *out)
{
	const struct http_head *head = txn->head;

	for (unsigned i = 0; i < head->fields_n; i++) {
		const struct http_field *field = &head->fields[i];
		size_t before = buf_length(out), n;

		if (field->id != FIELD_COOKIE || is_edited(&txn->backend->request_edits, field) ||
		    (txn->route && is_edited(&txn->route->request_edits, field)))
			continue;
		buf_append_str(out, STR("Cookie: "));
		buf_reserve(out, field->value.len + 2);
		n = cookie_without(field->value, txn->stick.cookie_rule->cookie_name, buf_tail(out),
				   buf_room(out));
		if (n == 0) {
			buf_cut(out, before); /* no cookie is left */
			continue;
		}
		buf_fill(out, n);
		buf_append(out, "\r\n", 2);
	}
}

static void append_framing(const struct txn *txn, struct buf *out)
{
	const struct http_head *head = txn->head;

	/* Content-Length fields stay among the copied ones. */
	if (head->framing == FRAMING_CHUNKED)
		buf_append_str(out, STR("Transfer-Encoding: chunked\r\n"));
	if (txn->wants_upgrade)
		buf_append_str(out, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
}

/* Where the copied lines begin: with the request line, unless that had to be written anew. */
static const char *append_request_line(const struct txn *txn, struct buf *out)
{
	const struct http_head *head = txn->head;
	bool has_host = !head->is_absolute_form && http_head_first(head, FIELD_HOST);

	if (likely(has_host && head->minor == 1 && head->fields_n))
		return head->method.p; /* the parser has seen to it that it is well-formed */
	buf_append_str(out, head->method);
	buf_append(out, " ", 1);
	if (head->is_absolute_form) {
		buf_append_str(out, head->path.len ? head->path : STR("/"));
		if (head->query.p) {
			buf_append(out, "?", 1);
			buf_append_str(out, head->query);
		}
	} else {
		buf_append_str(out, head->target);
	}
	buf_append_str(out, STR(" HTTP/1.1\r\n"));
	if (!has_host)
		append_field(out, STR("Host"), head->authority);
	return NULL;
}

void request_head_write(struct txn *txn, struct buf *out)
{
	const struct http_head *head = txn->head;
	const char *head_end = buf_bytes(&txn->client->in) + head->size, *run;

	buf_reserve(out, head->size + 1024);
	run = append_request_line(txn, out);
	copy_fields(txn, head, run, head_end, drops_from_request, out);
	if (txn->stick.cookie_rule)
		append_cookies(txn, out);
	forwarded_write(txn, out);
	tls_facts_write(txn, out);
	if (txn->request_id_len)
		append_field(out, STR("X-Request-Id"),
			     (struct str){ txn->request_id, txn->request_id_len });
	append_framing(txn, out);
	append_backend_edits(&txn->backend->request_edits,
			     txn->route ? &txn->route->request_edits : NULL, out);
	if (txn->route)
		append_edits(&txn->route->request_edits, out);
	buf_append(out, "\r\n", 2);
}

static bool drops_from_response(const struct txn *txn, const struct http_head *head,
				const struct http_field *field)
{
	if (field->is_hop)
		return true;
	if (field->id == FIELD_CONTENT_LENGTH &&
	    (head->status < 200 || head->status == 204 || txn->response.to == FRAMING_CHUNKED))
		return true;
	if (txn->route && txn->route->response_edits.n &&
	    is_edited(&txn->route->response_edits, field))
		return true;
	return txn->backend->response_edits.n && is_edited(&txn->backend->response_edits, field);
}

/* As append_request_line().  The line of HTTP/1.1 with a reason is ours to the byte. */
static const char *append_status_line(const struct http_head *head, const char *line_as_sent,
				      struct buf *out)
{
	char line[] = "HTTP/1.1 000 ";

	if (likely(head->minor == 1 && head->reason.len && head->fields_n))
		return line_as_sent;
	line[9] = (char)('0' + head->status / 100 % 10);
	line[10] = (char)('0' + head->status / 10 % 10);
	line[11] = (char)('0' + head->status % 10);
	buf_append(out, line, sizeof(line) - 1);
	buf_append_str(out, head->reason);
	buf_append(out, "\r\n", 2);
	return NULL;
}

static void append_set_cookie(struct txn *txn, struct buf *out)
{
	char value[1024];
	size_t n;

	if (!txn->stick.cookie_rule)
		return;
	n = stick_set_cookie(&txn->stick, srvset_of(txn->backend->state), txn->server, value,
			     sizeof(value));
	if (n)
		append_field(out, STR("Set-Cookie"), (struct str){ value, n });
}

/* Once: what the server or the operator says of it goes before. */
static void append_hsts(const struct txn *txn, const struct http_head *head, struct buf *out)
{
	const struct http_field field = { .name = STR("Strict-Transport-Security") };
	struct str value = tls_facts_hsts(txn->client);

	if (likely(!value.len) || head->status == 101 ||
	    is_edited(&txn->backend->response_edits, &field) ||
	    (txn->route && is_edited(&txn->route->response_edits, &field)))
		return;
	for (unsigned i = 0; i < head->fields_n; i++)
		if (str_ieq(head->fields[i].name, field.name))
			return;
	append_field(out, field.name, value);
}

static void append_connection(struct txn *txn, const struct http_head *head, struct buf *out)
{
	if (head->status == 101)
		buf_append_str(out, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
	else if (txn->is_closing_client)
		buf_append_str(out, STR("Connection: close\r\n"));
	else if (txn->minor == 0)
		buf_append_str(out, STR("Connection: keep-alive\r\n"));
}

void response_head_write(struct txn *txn, const struct http_head *head, struct buf *in)
{
	struct buf *out = &txn->client->out;
	const char *head_end = buf_bytes(in) + head->size, *run;

	buf_reserve(out, head->size + 1024);
	run = append_status_line(head, buf_bytes(in), out);
	copy_fields(txn, head, run, head_end, drops_from_response, out);
	append_set_cookie(txn, out);
	if (txn->response.to == FRAMING_CHUNKED && head->status != 101)
		buf_append_str(out, STR("Transfer-Encoding: chunked\r\n"));
	append_connection(txn, head, out);
	append_hsts(txn, head, out);
	append_backend_edits(&txn->backend->response_edits,
			     txn->route ? &txn->route->response_edits : NULL, out);
	if (txn->route)
		append_edits(&txn->route->response_edits, out);
	buf_append(out, "\r\n", 2);
}

static bool drops_hop(const struct txn *txn, const struct http_head *head,
		      const struct http_field *field)
{
	(void)txn;
	(void)head;
	return field->is_hop || field->id == FIELD_CONTENT_LENGTH;
}

void interim_head_write(struct txn *txn, const struct http_head *head)
{
	struct buf *out = &txn->client->out;
	const char *line = buf_bytes(&txn->upstream->in);
	const char *run = append_status_line(head, line, out);

	copy_fields(txn, head, run, line + head->size, drops_hop, out);
	buf_append(out, "\r\n", 2);
}
