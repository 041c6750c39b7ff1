/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/http_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

#define STEPS_PER_TURN 16
#define LINGER_MS      SEC(1)

enum go { GO_ON, GO_WAIT };

unsigned http_streams_n;

static struct loop *the_loop;
static struct list clients = { &clients, &clients }; /* the longest idle ones first */
static unsigned clients_n;
static struct http_head scratch; /* of the request being handled */

static void client_free(struct grave *grave)
{
	free(container_of(grave, struct http_client, grave));
}

static void end_answer(struct http_client *client)
{
	if (client->data_free && client->data)
		client->data_free(client->data);
	client->data = NULL;
	client->data_free = NULL;
	client->write = NULL;
	memset(client->at, 0, sizeof(client->at));
	client->is_waiting = false;
	if (client->is_stream)
		http_streams_n--;
	client->is_stream = false;
}

void http_client_close(struct http_client *client)
{
	check_magic(client, HTTP_CLIENT_MAGIC);
	if (client->state == HTTP_CLOSED)
		return;
	client->state = HTTP_CLOSED;
	end_answer(client);
	conn_close(&client->conn);
	timer_fini(&the_loop->wheel, &client->timer);
	timer_fini(&the_loop->wheel, &client->again);
	buf_release(&client->in);
	buf_release(&client->out);
	list_remove(&client->link);
	clients_n--;
	loop_bury(the_loop, &client->grave, client_free);
	http_on_client_closed();
}

void http_clients_close(void)
{
	while (!list_is_empty(&clients))
		http_client_close(list_entry(clients.next, struct http_client, link));
}

/* The one that has been silent for longest, of those between two requests, or in their first. */
static struct http_client *oldest(bool has_been_answered)
{
	list_for_each(at, &clients) {
		struct http_client *client = list_entry(at, struct http_client, link);

		if (has_been_answered ? client->state == HTTP_IDLE && client->answered_n
				      : client->state == HTTP_IDLE || client->state == HTTP_READ)
			return client;
	}
	return NULL;
}

bool http_clients_have_room(void)
{
	struct http_client *client;

	if (clients_n < HTTP_CLIENTS_MAX)
		return true;
	client = oldest(true);
	/* Those who connect and say nothing must not keep a monitor out. */
	if (!client)
		client = oldest(false);
	if (client)
		http_client_close(client);
	return client != NULL;
}

static void set_timer(struct http_client *client, int64_t in_ms)
{
	client->sent = client->conn.sent;
	loop_timer_in(the_loop, &client->timer, in_ms);
}

static void set_state(struct http_client *client, enum http_state state)
{
	client->state = state;
	switch (state) {
	case HTTP_IDLE:
		list_remove(&client->link);
		list_push_back(&clients, &client->link);
		set_timer(client, client->answered_n ? HTTP_IDLE_MS : HTTP_READ_MS);
		break;
	case HTTP_READ:
		set_timer(client, HTTP_READ_MS);
		break;
	case HTTP_ANSWER:
	case HTTP_FLUSH:
		set_timer(client, HTTP_SEND_MS);
		break;
	case HTTP_LINGER:
		set_timer(client, LINGER_MS);
		break;
	case HTTP_CLOSED:
		break;
	}
}

/* An answer of our own to what is no request; the connection ends with it. */
static enum go refuse(struct http_client *client, unsigned status, const char *why)
{
	client->is_last = true;
	client->is_head = false;
	client->is_chunked = false;
	http_text(client, status, why);
	set_state(client, HTTP_FLUSH);
	return GO_ON;
}

/* How many bytes the request takes, once its head is complete; 0: it was refused. */
static size_t size_of(struct http_client *client, const struct http_head *head)
{
	switch (head->framing) {
	case FRAMING_NONE:
		return head->size;
	case FRAMING_LENGTH:
		if (head->content_length <= HTTP_BODY_MAX)
			return head->size + (size_t)head->content_length;
		refuse(client, 413, "The body is too large.");
		return 0;
	case FRAMING_CHUNKED:
	case FRAMING_CLOSE:
		break;
	}
	refuse(client, 411, "The body needs a Content-Length.");
	return 0;
}

static void handle(struct http_client *client, const struct http_head *head)
{
	struct str body = { buf_bytes(&client->in) + head->size,
			    client->request_size - head->size };

	client->is_head = head->method_id == HTTP_HEAD;
	client->is_chunked = head->minor > 0;
	client->is_last = !head->is_keep_alive;
	client->answered_n++;
	set_state(client, HTTP_ANSWER);
	http_handle(client, head, body);
	if (client->is_head && client->write) { /* a HEAD's answer ends with its head */
		bool is_last = client->is_last;

		end_answer(client);
		client->is_last = is_last;
	}
	buf_consume(&client->in, client->request_size);
	client->request_size = client->seen = 0;
	client->has_told_continue = false;
}

/* Looks at what has come; true when there is something to do but wait for more. */
static bool look(struct http_client *client)
{
	static const struct http1_limits limits = { .target_size_max = 2048,
						    .head_size_max = HTTP_HEAD_MAX };
	const char *why = NULL;
	size_t have = buf_length(&client->in);

	if (!have || (client->request_size && have < client->request_size))
		return false;
	switch (http1_parse_request(buf_bytes(&client->in), have, client->seen, &limits, &scratch,
				    &why)) {
	case PARSE_MORE:
		client->seen = have;
		return false;
	case PARSE_BAD:
		refuse(client, http1_status_of(why), why);
		return true;
	case PARSE_DONE:
		break;
	}
	client->request_size = size_of(client, &scratch);
	if (!client->request_size)
		return true;
	if (have < client->request_size) {
		client->seen = 0; /* it is parsed once more with its body */
		if (scratch.has_expect_continue && !client->has_told_continue) {
			client->has_told_continue = true;
			buf_append_str(&client->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
			(void)conn_send_buf(&client->conn, &client->out);
		}
		return false;
	}
	handle(client, &scratch);
	return true;
}

static enum go on_read(struct http_client *client)
{
	for (;;) {
		size_t have = buf_length(&client->in);
		enum io io;

		if (have && client->state == HTTP_IDLE)
			set_state(client, HTTP_READ);
		if (look(client))
			return GO_ON;
		bug_on(have >= HTTP_HEAD_MAX + HTTP_BODY_MAX);
		buf_reserve(&client->in, HTTP_HEAD_MAX + HTTP_BODY_MAX - have);
		io = conn_recv(&client->conn, &client->in, HTTP_HEAD_MAX + HTTP_BODY_MAX - have);
		if (!buf_length(&client->in))
			buf_release(&client->in);
		if (io == IO_OK)
			continue;
		if (io != IO_AGAIN)
			http_client_close(client);
		return GO_WAIT;
	}
}

/* A piece from the handler's function, as a chunk when the client can take chunks. */
static enum run_step write_piece(struct http_client *client)
{
	struct buf piece = { 0 };
	struct buf *to = client->is_chunked ? &piece : &client->out;
	enum run_step step = client->write(client, to);

	if (client->is_chunked) {
		if (buf_length(&piece)) {
			http1_put_chunk_line(&client->out, buf_length(&piece));
			buf_append_str(&client->out, buf_str(&piece));
			buf_append(&client->out, "\r\n", 2);
		}
		buf_release(&piece);
		if (step == RUN_DONE)
			buf_append_str(&client->out, STR("0\r\n\r\n"));
	}
	return step;
}

static enum go on_answer(struct http_client *client)
{
	if (client->write) {
		switch (write_piece(client)) {
		case RUN_MORE:
			return GO_ON;
		case RUN_WAIT:
			client->is_waiting = true;
			return buf_length(&client->out) ? GO_ON : GO_WAIT;
		case RUN_DONE:
			break;
		}
		if (!client->is_chunked)
			client->is_last = true;
	}
	end_answer(client);
	set_state(client, client->is_last ? HTTP_FLUSH : HTTP_IDLE);
	return GO_ON;
}

static enum go on_flush(struct http_client *client)
{
	if (buf_length(&client->out))
		return GO_WAIT;
	buf_release(&client->in);
	conn_shutdown(&client->conn);
	set_state(client, HTTP_LINGER);
	return GO_ON;
}

/* Reads what the peer still sends, so that our close does not become a reset of what it reads. */
static enum go on_linger(struct http_client *client)
{
	for (int i = 0; i < STEPS_PER_TURN; i++) {
		enum io io;

		buf_reserve(&client->in, BUF_SIZE);
		io = conn_recv(&client->conn, &client->in, BUF_SIZE);
		buf_release(&client->in);
		if (io == IO_AGAIN)
			return GO_WAIT;
		if (io != IO_OK)
			break;
	}
	http_client_close(client);
	return GO_WAIT;
}

static enum go client_step(struct http_client *client)
{
	switch (client->state) {
	case HTTP_IDLE:
	case HTTP_READ:
		return on_read(client);
	case HTTP_ANSWER:
		return client->is_waiting ? GO_WAIT : on_answer(client);
	case HTTP_FLUSH:
		return on_flush(client);
	case HTTP_LINGER:
		return on_linger(client);
	case HTTP_CLOSED:
		break;
	}
	return GO_WAIT;
}

static void client_run(struct http_client *client)
{
	for (int steps = 0;; steps++) {
		if (client->state == HTTP_CLOSED)
			return;
		if (conn_send_buf(&client->conn, &client->out) == IO_FAIL) {
			http_client_close(client);
			return;
		}
		if (buf_length(&client->out) >= RUN_PIECE)
			return;
		if (steps >= STEPS_PER_TURN) {
			loop_timer_in(the_loop, &client->again, 1);
			return;
		}
		if (client_step(client) == GO_WAIT)
			return;
	}
}

static void on_event(struct conn *conn, enum conn_ev ev)
{
	struct http_client *client = container_of(conn, struct http_client, conn);

	(void)ev;
	/* A stream's reader has nothing to say: its end is all that can come. */
	if (client->is_stream && conn->is_hung_up) {
		http_client_close(client);
		return;
	}
	client_run(client);
	if ((client->state == HTTP_ANSWER || client->state == HTTP_FLUSH) &&
	    conn->sent != client->sent)
		set_timer(client, HTTP_SEND_MS);
}

static void on_timer(struct timer *timer)
{
	struct http_client *client = container_of(timer, struct http_client, timer);

	/* A stream that owes nothing, or that sent something since: what it has is taken. */
	if (client->is_stream && (!buf_length(&client->out) || client->conn.sent != client->sent)) {
		set_timer(client, HTTP_SEND_MS);
		return;
	}
	http_client_close(client);
}

static void on_again(struct timer *timer)
{
	client_run(container_of(timer, struct http_client, again));
}

void http_wake(struct http_client *client)
{
	check_magic(client, HTTP_CLIENT_MAGIC);
	if (!client->is_waiting)
		return;
	client->is_waiting = false;
	client_run(client);
}

void http_client_open(struct loop *loop, int fd, const struct ip_addr *peer)
{
	struct http_client *client = xcalloc(1, sizeof(*client));

	the_loop = loop;
	client->magic = HTTP_CLIENT_MAGIC;
	client->peer = *peer;
	clients_n++;
	timer_init(&client->timer, on_timer);
	timer_init(&client->again, on_again);
	conn_init(&client->conn, fd, on_event);
	set_state(client, HTTP_IDLE);
	if (conn_watch(loop, &client->conn) != 0)
		http_client_close(client);
	else
		client_run(client);
}

static void print(struct http_client *client, const char *fmt, ...) printf_like(2, 3);
static void print(struct http_client *client, const char *fmt, ...)
{
	char text[512];
	va_list args;
	int length;

	va_start(args, fmt);
	length = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	bug_on(length < 0 || (size_t)length >= sizeof(text));
	buf_append(&client->out, text, (size_t)length);
}

static void begin(struct http_client *client, unsigned status)
{
	time_t now = (time_t)(clock_unix_ms() / 1000);
	char date[64];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	print(client, "HTTP/1.1 %u %s\r\nDate: %s\r\n", status, http_status_reason(status), date);
	buf_append_str(&client->out, STR("Cache-Control: no-store\r\n"
					 "X-Content-Type-Options: nosniff\r\n"
					 "X-Frame-Options: DENY\r\n"
					 "Referrer-Policy: no-referrer\r\n"
					 "Cross-Origin-Resource-Policy: same-origin\r\n"));
}

void http_begin_page(struct http_client *client, const char *policy)
{
	begin(client, 200);
	http_header(client, "Content-Security-Policy", "%s", policy);
}

void http_begin(struct http_client *client, unsigned status)
{
	begin(client, status);
	http_header(client, "Content-Security-Policy",
		    "default-src 'none'; frame-ancestors 'none'");
}

void http_header(struct http_client *client, const char *name, const char *fmt, ...)
{
	char text[384];
	va_list args;
	int length;

	va_start(args, fmt);
	length = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	bug_on(length < 0 || (size_t)length >= sizeof(text));
	print(client, "%s: %s\r\n", name, text);
}

void http_end(struct http_client *client, const char *type, struct str body)
{
	print(client, "Content-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", type, body.len,
	      client->is_last ? "Connection: close\r\n" : "");
	if (!client->is_head)
		buf_append_str(&client->out, body);
}

void http_end_pieces(struct http_client *client, const char *type, http_write_fn *write)
{
	if (!client->is_chunked)
		client->is_last = true;
	print(client, "Content-Type: %s\r\n%s%s\r\n", type,
	      client->is_chunked ? "Transfer-Encoding: chunked\r\n" : "",
	      client->is_last ? "Connection: close\r\n" : "");
	client->write = write;
}

void http_text(struct http_client *client, unsigned status, const char *text)
{
	char line[256];
	int length = snprintf(line, sizeof(line), "%s\n", text);

	bug_on(length < 0);
	if ((size_t)length >= sizeof(line))
		length = sizeof(line) - 1;
	http_begin(client, status);
	http_end(client, "text/plain; charset=utf-8", (struct str){ line, (size_t)length });
}
