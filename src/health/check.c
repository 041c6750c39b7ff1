/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/check.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/http1.h"
#include "proto/proxy.h"

#define PROBE_TIMEOUT_MS SEC(1)
#define BACKLOG_RETRY_MS 20
#define HEAD_SIZE_MAX    BUF_SIZE

static bool is_http(const struct check *check)
{
	return !check->is_probe && check->backend->health.kind == CHECK_HTTP;
}

void check_close(struct check *check)
{
	/* Without it a TCP check each second leaves a minute of TIME_WAIT behind, each time. */
	if (check->state == CHECK_TALKING && !is_http(check) && !sock_addr_is_unix(&check->addr) &&
	    check->send_proxy == PROXY_NONE)
		conn_reset(&check->conn);
	else if (check->state == CHECK_CONNECTING || check->state == CHECK_TALKING)
		conn_close(&check->conn);
	buf_release(&check->in);
	buf_release(&check->out);
	timer_stop(&check->timer);
	check->state = CHECK_IDLE;
}

static void end(struct check *check, enum verdict verdict, const char *code, const char *text)
{
	check_close(check);
	check_done(check, verdict, code, text);
}

static void connect_failed(struct check *check, int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ENOENT:
		end(check, VERDICT_REFUSED, "L4CON", conn_error_text(error));
		break;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
		end(check, VERDICT_NONE, "SOCKERR", conn_error_text(error));
		break;
	default:
		end(check, VERDICT_FAILED, "L4CON", conn_error_text(error));
		break;
	}
}

static void write_proxy(struct check *check)
{
	struct proxy_header local = { .is_local = true };
	char header[PROXY_WRITE_SIZE_MAX];
	size_t size = 0;

	if (!check->backend->health.has_send_proxy)
		return;
	if (check->send_proxy == PROXY_V1)
		size = proxy_write_v1(header, sizeof(header), &local);
	else if (check->send_proxy == PROXY_V2)
		size = proxy_write_v2(header, sizeof(header), &local, true);
	buf_append(&check->out, header, size);
}

static void write_request(struct check *check)
{
	const struct health_conf *health = &check->backend->health;
	char addr[ADDR_TEXT_SIZE];
	struct str host = health->host;

	write_proxy(check);
	if (!is_http(check))
		return;
	if (host.len == 0)
		host = sock_addr_is_unix(&check->addr) ? STR("localhost")
						       : sock_addr_text(&check->addr, addr);
	buf_append_str(&check->out, health->method.len ? health->method : STR("GET"));
	buf_append_str(&check->out, STR(" "));
	buf_append_str(&check->out, health->path.len ? health->path : STR("/"));
	buf_append_str(&check->out, STR(" HTTP/1.1\r\nHost: "));
	buf_append_str(&check->out, host);
	buf_append_str(&check->out, STR("\r\nUser-Agent: limpet-check\r\nAccept: */*\r\n"
					"Connection: close\r\n\r\n"));
}

static bool is_wanted(const struct health_conf *health, unsigned status)
{
	if (!health->statuses_n)
		return status >= 200 && status < 400;
	for (size_t i = 0; i < health->statuses_n; i++)
		if (status >= health->statuses[i].from && status <= health->statuses[i].to)
			return true;
	return false;
}

static void judge(struct check *check, unsigned status)
{
	bool is_fine = is_wanted(&check->backend->health, status);
	char text[64];

	check->info.http_status = (uint16_t)status;
	snprintf(text, sizeof(text), "status %u %s", status, http_status_reason(status));
	end(check, is_fine ? VERDICT_OK : VERDICT_FAILED, is_fine ? "L7OK" : "L7STS", text);
}

/* True when the run has ended. */
static bool parse_response(struct check *check)
{
	static const struct http1_limits limits = { .head_size_max = HEAD_SIZE_MAX };

	while (buf_length(&check->in)) {
		struct http_head head;
		const char *why;

		switch (http1_parse_response(buf_bytes(&check->in), buf_length(&check->in),
					     check->seen, &limits, &head, &why)) {
		case PARSE_MORE:
			check->seen = buf_length(&check->in);
			return false;
		case PARSE_BAD:
			end(check, VERDICT_FAILED, "L7RSP", why);
			return true;
		case PARSE_DONE:
			break;
		}
		if (head.status >= 200 || head.status == 101) {
			judge(check, head.status);
			return true;
		}
		buf_consume(&check->in, head.size); /* 1xx: the real one follows */
		check->seen = 0;
	}
	return false;
}

static void hear(struct check *check)
{
	for (;;) {
		enum io io;

		buf_reserve(&check->in, HEAD_SIZE_MAX - buf_length(&check->in));
		io = conn_recv(&check->conn, &check->in, buf_room(&check->in));
		switch (io) {
		case IO_AGAIN:
			if (!buf_length(&check->in))
				buf_release(&check->in);
			return;
		case IO_EOF:
			end(check, VERDICT_FAILED, "L7RSP", "closed before a response");
			return;
		case IO_FAIL:
			end(check, VERDICT_FAILED, "L7RSP", conn_error_text(check->conn.error));
			return;
		case IO_OK:
			break;
		}
		if (parse_response(check))
			return;
	}
}

static void talk(struct check *check)
{
	switch (conn_send_buf(&check->conn, &check->out)) {
	case IO_AGAIN:
		return;
	case IO_EOF:
	case IO_FAIL:
		end(check, VERDICT_FAILED, is_http(check) ? "L7RSP" : "L4CON",
		    conn_error_text(check->conn.error));
		return;
	case IO_OK:
		break;
	}
	if (is_http(check))
		hear(check);
	else
		end(check, VERDICT_OK, "L4OK", "connected");
}

static void on_event(struct conn *conn, enum conn_ev ev)
{
	struct check *check = container_of(conn, struct check, conn);

	switch (ev) {
	case CONN_FAILED:
		connect_failed(check, conn->error);
		return;
	case CONN_CONNECTED:
		check->state = CHECK_TALKING;
		break;
	case CONN_IO:
		break;
	}
	if (check->state == CHECK_TALKING)
		talk(check);
}

static void open_conn(struct loop *loop, struct check *check)
{
	int rc;

	timer_set(&loop->wheel, &check->timer, check->deadline_ms);
	check->state = CHECK_CONNECTING;
	rc = conn_connect(loop, &check->conn, &check->addr, on_event);
	if (rc == 0) {
		if (!check->conn.is_connecting) {
			check->state = CHECK_TALKING;
			talk(check);
		}
		return;
	}
	check->state = CHECK_BACKLOG; /* nothing is open */
	if (rc != -EAGAIN)
		connect_failed(check, -rc);
	else if (!is_http(check))
		end(check, VERDICT_OK, "L4OK", "listens, backlog full");
	else
		timer_set(&loop->wheel, &check->timer, clock_ms() + BACKLOG_RETRY_MS);
}

void check_start(struct loop *loop, struct check *check)
{
	int64_t timeout_ms = check->backend->health.timeout_ms;

	bug_on(check->state != CHECK_IDLE);
	if (check->is_probe || timeout_ms <= 0)
		timeout_ms = PROBE_TIMEOUT_MS;
	check->started_us = clock_now_us();
	check->deadline_ms = clock_ms() + timeout_ms;
	check->seen = 0;
	check->info.http_status = 0;
	write_request(check);
	open_conn(loop, check);
}

void check_on_deadline(struct loop *loop, struct check *check)
{
	if (check->state == CHECK_BACKLOG && clock_ms() < check->deadline_ms) {
		open_conn(loop, check);
		return;
	}
	if (check->state == CHECK_TALKING)
		end(check, VERDICT_FAILED, is_http(check) ? "L7TOUT" : "L4TOUT", "no response");
	else
		end(check, VERDICT_FAILED, "L4TOUT",
		    check->state == CHECK_BACKLOG ? "backlog full" : "no connection");
}

int check_unix_listens(const struct sock_addr *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = connect(fd, &addr->sa, addr->size) == 0 || errno == EAGAIN ? 0 : -errno;
	close(fd);
	return rc;
}
