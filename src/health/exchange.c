/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/exchange.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/regex.h"
#include "proto/proxy.h"

#define BACKLOG_RETRY_MS 20

/* All exchanges of the process. */
static struct {
	unsigned running_n;
	struct list queue; /* EXCHANGE_QUEUED, oldest first */
	struct soon soon;
} runs = { .queue = { &runs.queue, &runs.queue } };

static void begin(struct exchange *exchange);

/* Some have ended: those that have waited longest take their places. */
static void start_queued(struct soon *soon)
{
	(void)soon;
	while (runs.running_n < EXCHANGES_MAX && !list_is_empty(&runs.queue)) {
		struct exchange *next = list_entry(runs.queue.next, struct exchange, queue_link);

		list_remove(&next->queue_link);
		begin(next);
	}
}

static bool has_answer(const struct exchange *exchange)
{
	switch (exchange->kind) {
	case EXCHANGE_CONNECT:
		return false;
	case EXCHANGE_TEXT:
		return exchange->conf->expect.written.len > 0;
	case EXCHANGE_HTTP:
	case EXCHANGE_LINE:
		break;
	}
	return true;
}

/* Without it a TCP check each second leaves a minute of TIME_WAIT behind, each time. */
static bool is_to_be_reset(const struct exchange *exchange)
{
	return exchange->state == EXCHANGE_TALKING && exchange->kind == EXCHANGE_CONNECT &&
	       !exchange->tls_ctx && exchange->send_proxy == PROXY_NONE &&
	       !sock_addr_is_unix(exchange->addr);
}

void exchange_abort(struct exchange *exchange)
{
	if (exchange->state == EXCHANGE_IDLE)
		return;
	if (exchange->state == EXCHANGE_QUEUED) {
		list_remove(&exchange->queue_link);
	} else {
		runs.running_n--;
		if (!list_is_empty(&runs.queue))
			loop_soon(exchange->loop, &runs.soon, start_queued);
	}
	if (is_to_be_reset(exchange))
		conn_reset(&exchange->conn);
	else
		conn_close(&exchange->conn);
	buf_release(&exchange->in);
	buf_release(&exchange->out);
	buf_release(&exchange->body);
	timer_stop(&exchange->timer);
	exchange->state = EXCHANGE_IDLE;
}

void exchange_end(struct exchange *exchange, enum verdict verdict, const char *code,
		  const char *text)
{
	exchange->duration_ms = (clock_now_us() - exchange->started_us) / 1000;
	exchange_abort(exchange);
	exchange->on_done(exchange, verdict, code, text);
}

static void connect_failed(struct exchange *exchange, int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ENOENT:
		exchange_end(exchange, VERDICT_REFUSED, "L4CON", conn_error_text(error));
		break;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
		exchange_end(exchange, VERDICT_NONE, "SOCKERR", conn_error_text(error));
		break;
	default:
		exchange_end(exchange, VERDICT_FAILED, "L4CON", conn_error_text(error));
		break;
	}
}

static void write_proxy(struct exchange *exchange)
{
	struct proxy_header local = { .is_local = true };
	char header[PROXY_WRITE_SIZE_MAX];
	size_t size = 0;

	if (exchange->send_proxy == PROXY_V1)
		size = proxy_write_v1(header, sizeof(header), &local);
	else if (exchange->send_proxy == PROXY_V2)
		size = proxy_write_v2(header, sizeof(header), &local, true);
	buf_append(&exchange->out, header, size);
}

static void write_request(struct exchange *exchange)
{
	switch (exchange->kind) {
	case EXCHANGE_CONNECT:
		break;
	case EXCHANGE_TEXT:
		buf_append_str(&exchange->out, exchange->conf->send);
		break;
	case EXCHANGE_HTTP:
		exchange_http_write(exchange);
		break;
	case EXCHANGE_LINE:
		buf_append_str(&exchange->out, exchange->send);
		break;
	}
}

static bool text_matches(const struct text_match *match, struct str text)
{
	if (match->regex)
		return regex_matches(match->regex, text);
	/* A reload may have taken it away since the connection was made. */
	if (!match->bytes.len)
		return true;
	return text.len >= match->bytes.len &&
	       memmem(text.p, text.len, match->bytes.p, match->bytes.len);
}

/* True when the exchange has ended. */
static bool hear_text(struct exchange *exchange)
{
	if (text_matches(&exchange->conf->expect, buf_str(&exchange->in)))
		exchange_end(exchange, VERDICT_OK, "L7OK", "as expected");
	else if (buf_length(&exchange->in) >= EXCHANGE_BODY_MAX)
		exchange_end(exchange, VERDICT_FAILED, "L7RSP", "not what is expected");
	else
		return false;
	return true;
}

static bool hear_line(struct exchange *exchange, bool is_eof)
{
	struct str all = buf_str(&exchange->in);
	ptrdiff_t end = str_find_char(all, '\n');

	if (end < 0 && !is_eof && all.len < EXCHANGE_LINE_MAX)
		return false;
	if (end >= 0)
		all.len = (size_t)end;
	if (all.len >= EXCHANGE_LINE_MAX || !exchange->on_line(exchange, str_trim(all)))
		exchange_end(exchange, VERDICT_FAILED, "L7RSP", "not a line of an agent");
	else
		exchange_end(exchange, VERDICT_OK, "L7OK", "");
	return true;
}

static bool hear_bytes(struct exchange *exchange)
{
	switch (exchange->kind) {
	case EXCHANGE_CONNECT:
		break;
	case EXCHANGE_TEXT:
		return hear_text(exchange);
	case EXCHANGE_HTTP:
		return exchange_http_hear(exchange);
	case EXCHANGE_LINE:
		return hear_line(exchange, false);
	}
	return false;
}

static void hear_eof(struct exchange *exchange)
{
	if (exchange->kind == EXCHANGE_HTTP)
		exchange_http_eof(exchange);
	else if (exchange->kind == EXCHANGE_LINE && buf_length(&exchange->in))
		(void)hear_line(exchange, true);
	else
		exchange_end(exchange, VERDICT_FAILED, "L7RSP",
			     buf_length(&exchange->in) ? "not what is expected"
						       : "closed before a response");
}

/* It outlives the connection. */
static const char *failure_text(struct exchange *exchange)
{
	snprintf(exchange->why, sizeof(exchange->why), "%s", tls_failure_text(&exchange->conn));
	return exchange->why;
}

static void hear(struct exchange *exchange)
{
	for (;;) {
		struct buf *in = &exchange->in;
		enum io io;

		buf_reserve(in, BUF_SIZE - buf_length(in));
		io = conn_recv(&exchange->conn, in, buf_room(in));
		switch (io) {
		case IO_AGAIN:
			if (!buf_length(in))
				buf_release(in);
			return;
		case IO_EOF:
			hear_eof(exchange);
			return;
		case IO_FAIL:
			exchange_end(exchange, VERDICT_FAILED, "L7RSP", failure_text(exchange));
			return;
		case IO_OK:
			break;
		}
		if (hear_bytes(exchange))
			return;
	}
}

static void talk(struct exchange *exchange)
{
	const char *fine = exchange->tls_ctx ? "L6OK" : "L4OK";
	enum io io = conn_send_buf(&exchange->conn, &exchange->out);

	switch (io) {
	case IO_AGAIN:
		/* One that answers before it has heard all, and closes, may answer well. */
		if (exchange->conn.is_hung_up && has_answer(exchange))
			break;
		return;
	case IO_EOF:
	case IO_FAIL:
		exchange_end(exchange, VERDICT_FAILED, has_answer(exchange) ? "L7RSP" : "L4CON",
			     io == IO_EOF ? "closed before a response" : failure_text(exchange));
		return;
	case IO_OK:
		break;
	}
	if (has_answer(exchange))
		hear(exchange);
	else
		exchange_end(exchange, VERDICT_OK, fine,
			     exchange->tls_ctx ? "handshake done" : "connected");
}

static void shake_hands(struct exchange *exchange)
{
	switch (tls_handshake(&exchange->conn)) {
	case IO_AGAIN:
		return;
	case IO_EOF:
		exchange_end(exchange, VERDICT_FAILED, "L6RSP", "closed within the TLS handshake");
		return;
	case IO_FAIL:
		exchange_end(exchange, VERDICT_FAILED, "L6RSP", failure_text(exchange));
		return;
	case IO_OK:
		break;
	}
	write_request(exchange);
	exchange->state = EXCHANGE_TALKING;
	talk(exchange);
}

static void connected(struct exchange *exchange)
{
	write_proxy(exchange);
	if (!exchange->tls_ctx) {
		write_request(exchange);
		exchange->state = EXCHANGE_TALKING;
		talk(exchange);
	} else if (tls_connect(&exchange->conn, exchange->tls_ctx, NULL) != 0) {
		exchange_end(exchange, VERDICT_NONE, "SOCKERR", "no TLS session");
	} else {
		tls_send_before(&exchange->conn, &exchange->out);
		exchange->state = EXCHANGE_HANDSHAKE;
		shake_hands(exchange);
	}
}

static void on_event(struct conn *conn, enum conn_ev ev)
{
	struct exchange *exchange = container_of(conn, struct exchange, conn);

	if (ev == CONN_FAILED)
		connect_failed(exchange, conn->error);
	else if (exchange->state == EXCHANGE_CONNECTING)
		connected(exchange);
	else if (exchange->state == EXCHANGE_HANDSHAKE)
		shake_hands(exchange);
	else if (exchange->state == EXCHANGE_TALKING)
		talk(exchange);
}

static void open_conn(struct exchange *exchange)
{
	int rc;

	timer_set(&exchange->loop->wheel, &exchange->timer, exchange->deadline_ms);
	exchange->state = EXCHANGE_CONNECTING;
	rc = conn_connect_briefly(exchange->loop, &exchange->conn, exchange->addr, on_event);
	if (rc == 0) {
		if (!exchange->conn.is_connecting)
			connected(exchange);
		return;
	}
	exchange->state = EXCHANGE_BACKLOG; /* nothing is open */
	if (rc != -EAGAIN)
		connect_failed(exchange, -rc);
	else if (exchange->kind == EXCHANGE_CONNECT && !exchange->tls_ctx)
		exchange_end(exchange, VERDICT_OK, "L4OK", "listens, backlog full");
	else
		timer_set(&exchange->loop->wheel, &exchange->timer, clock_ms() + BACKLOG_RETRY_MS);
}

static void begin(struct exchange *exchange)
{
	runs.running_n++;
	exchange->started_us = clock_now_us();
	exchange->deadline_ms = clock_ms() + exchange->timeout_ms;
	exchange->seen = 0;
	exchange->has_head = false;
	exchange->interim_n = 0;
	exchange->http_status = 0;
	open_conn(exchange);
}

void exchange_start(struct exchange *exchange)
{
	bug_on(exchange->state != EXCHANGE_IDLE);
	if (runs.running_n < EXCHANGES_MAX && list_is_empty(&runs.queue)) {
		begin(exchange);
		return;
	}
	exchange->state = EXCHANGE_QUEUED;
	list_push_back(&runs.queue, &exchange->queue_link);
	loop_soon(exchange->loop, &runs.soon, start_queued);
}

static void on_timer(struct timer *timer)
{
	struct exchange *exchange = container_of(timer, struct exchange, timer);

	switch (exchange->state) {
	case EXCHANGE_IDLE:
	case EXCHANGE_QUEUED:
		break;
	case EXCHANGE_BACKLOG:
		if (clock_ms() < exchange->deadline_ms)
			open_conn(exchange);
		else
			exchange_end(exchange, VERDICT_FAILED, "L4TOUT", "backlog full");
		break;
	case EXCHANGE_CONNECTING:
		exchange_end(exchange, VERDICT_FAILED, "L4TOUT", "no connection");
		break;
	case EXCHANGE_HANDSHAKE:
		exchange_end(exchange, VERDICT_FAILED, "L6TOUT", "no end of the TLS handshake");
		break;
	case EXCHANGE_TALKING:
		exchange_end(exchange, VERDICT_FAILED, has_answer(exchange) ? "L7TOUT" : "L4TOUT",
			     "no response");
		break;
	}
}

void exchange_init(struct exchange *exchange, struct loop *loop)
{
	exchange->loop = loop;
	exchange->state = EXCHANGE_IDLE;
	exchange->conn.fd = exchange->conn.lf.fd = -1;
	timer_init(&exchange->timer, on_timer);
}

void exchange_fini(struct exchange *exchange)
{
	exchange_abort(exchange);
	timer_fini(&exchange->loop->wheel, &exchange->timer);
	if (list_is_empty(&runs.queue))
		loop_soon_cancel(&runs.soon);
}

int exchange_unix_listens(const struct sock_addr *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = connect(fd, &addr->sa, addr->size) == 0 || errno == EAGAIN ? 0 : -errno;
	close(fd);
	return rc;
}
