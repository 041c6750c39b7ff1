/* SPDX-License-Identifier: MIT */
/*
 * client_tls - a client's TLS handshake.
 *
 *   client_tls_start: first bytes --0x16--> tls_accept --> traffic->handshakes --> a step --> done
 *                                \-other--> plain: served or refused               ^     \
 *                                                                                  \-- waits
 *
 * The herd.  Who has news stands in traffic->handshakes once, in order of coming; at the end of
 * each turn of the loop steps are made until one of them took long (it has signed) or nobody is
 * left.  A client waits there without any cost but its place, and leaves it when it is closed.
 */
#include "config.h"

#include "session/client_tls.h"

#include "base/log.h"
#include "session/trace.h"

#define RECORD_HANDSHAKE 0x16 /* its ContentType (RFC 8446 5.1): how every ClientHello begins */
#define TURN_US          100  /* of steps in one turn; the last one may take as long as it takes */
#define TOLD_IN_S_MAX    10   /* lines about failed handshakes in one second of a thread */
#define METHOD_MAX       16

static const char needs_tls[] = "HTTP/1.1 400 Bad Request\r\n"
				"Content-Type: text/plain\r\n"
				"Content-Length: 44\r\n"
				"Cache-Control: no-store\r\n"
				"Connection: close\r\n"
				"\r\n"
				"This port speaks TLS: use https:// instead.\n";

/* One line each, until they come too fast: then how many there were. */
static void tell_failure(const struct client *client, const char *why)
{
	static __thread int64_t second_ms;
	static __thread unsigned told_n, untold_n;
	char addr[ADDR_TEXT_SIZE];

	if (!log_wants(LOG_LEVEL_INFO))
		return;
	if (clock_ms() - second_ms >= SEC(1)) {
		if (untold_n)
			log_info("%u more TLS handshakes have failed", untold_n);
		second_ms = clock_ms();
		told_n = untold_n = 0;
	}
	if (told_n == TOLD_IN_S_MAX) {
		untold_n++;
		return;
	}
	told_n++;
	log_info("frontend %s: TLS handshake with %s failed: %s", client->frontend->state->name,
		 ip_addr_text(&client->source, addr).p, why);
}

/*
 * The alert has been sent.  What the client goes on sending is read away, or the reset that unread
 * bytes bring about would overtake it.
 */
static void client_tls_linger(struct client *client)
{
	struct conn *conn = &client->conn;

	conn->face->close(conn, true);
	conn->face = NULL;
	conn->is_broken = conn->is_eof = false;
	conn->can_read = true;
	client_next(client, CLIENT_IS_CUT_OFF);
}

static void client_tls_fail(struct client *client, const char *why, bool has_alert)
{
	count(&client->frontend->state->counters, frontend_tls_errors);
	tell_failure(client, why);
	trace_client(client, "TLS handshake failed");
	if (has_alert)
		client_tls_linger(client);
	else
		client_close(client);
}

static void client_tls_established(struct client *client)
{
	struct tls_about about;

	count(&client->frontend->state->counters, frontend_tls_handshakes);
	if (tls_about(&client->conn, &about) && about.is_resumed)
		count(&client->frontend->state->counters, frontend_tls_resumed);
	trace_client(client, "TLS established");
	client->is_tls = true;
	client->since_ms = clock_ms(); /* the time for a head begins here */
	client_begin_protocol(client);
}

/* One step, which may sign. */
static void client_tls_step(struct client *client)
{
	switch (tls_handshake(&client->conn)) {
	case IO_OK:
		client_tls_established(client);
		return;
	case IO_AGAIN:
		if (conn_watch(&client->traffic->loop, &client->conn) != 0)
			client_close(client);
		return;
	case IO_EOF:
		client_tls_fail(client, "connection closed within it", false);
		return;
	case IO_FAIL:
		client_tls_fail(client, tls_failure_text(&client->conn), !client->conn.is_reset);
		return;
	}
}

static void make_steps(struct soon *soon)
{
	struct traffic *traffic = container_of(soon, struct traffic, next_handshake);
	int64_t end_us = clock_now_us() + TURN_US;

	check_magic(traffic, TRAFFIC_MAGIC);
	while (!list_is_empty(&traffic->handshakes) && clock_now_us() < end_us) {
		struct client *client = list_entry(traffic->handshakes.next, struct client, turn);

		check_magic(client, CLIENT_MAGIC);
		list_remove(&client->turn);
		client_tls_step(client);
	}
	if (!list_is_empty(&traffic->handshakes))
		loop_soon(&traffic->loop, &traffic->next_handshake, make_steps);
}

/* It has something to do: it takes its place, unless it has one. */
static void client_tls_line_up(struct client *client)
{
	struct traffic *traffic = client->traffic;

	if (!list_is_linked(&client->turn))
		list_push_back(&traffic->handshakes, &client->turn);
	loop_soon(&traffic->loop, &traffic->next_handshake, make_steps);
}

/* A method and its space, as far as it has come: only HTTP is worth an answer. */
static bool looks_like_http(struct str first)
{
	size_t n = 0;

	while (n < first.len && n < METHOD_MAX && first.p[n] >= 'A' && first.p[n] <= 'Z')
		n++;
	return n > 0 && (n == first.len || first.p[n] == ' ');
}

static void client_tls_refuse_plain(struct client *client)
{
	bool is_http =
		client->frontend->mode == TRAFFIC_HTTP && looks_like_http(buf_str(&client->in));
	size_t sent;

	count(&client->frontend->state->counters, frontend_tls_errors);
	tell_failure(client,
		     is_http ? "plain HTTP, and the bind wants TLS" : "no TLS handshake record");
	if (is_http && conn_send(&client->conn, needs_tls, sizeof(needs_tls) - 1, &sent) == IO_OK)
		client_next(client, CLIENT_IS_CUT_OFF);
	else
		client_close(client);
}

/* What has come first is in client->in. */
static void client_tls_look(struct client *client)
{
	if ((unsigned char)buf_bytes(&client->in)[0] == RECORD_HANDSHAKE) {
		if (tls_accept(&client->conn, client->bind->tls->server, &client->in) != 0)
			client_tls_fail(client, "out of memory", false);
		else
			client_tls_line_up(client);
		return;
	}
	if (client->bind->tls->is_plain_accepted)
		client_begin_protocol(client);
	else
		client_tls_refuse_plain(client);
}

void client_tls_run(struct client *client)
{
	enum io io;

	if (client->conn.face) {
		client_tls_line_up(client);
		return;
	}
	if (!buf_length(&client->in)) {
		buf_reserve(&client->in, BUF_SIZE);
		io = conn_recv(&client->conn, &client->in, BUF_SIZE);
		if (io != IO_OK)
			buf_release(&client->in);
		/* Who has said nothing has not failed: a port that is probed. */
		if (io == IO_EOF || io == IO_FAIL ||
		    (io == IO_AGAIN && conn_watch(&client->traffic->loop, &client->conn) != 0))
			client_close(client);
		if (io != IO_OK)
			return;
	}
	client_tls_look(client);
}

void client_tls_start(struct client *client)
{
	client_set_state(client, CLIENT_HANDSHAKE);
	client_set_timer(client, client->frontend->timeouts.handshake_ms);
	client_tls_run(client);
}

void client_tls_on_timer(struct client *client)
{
	client_tls_fail(client, client->conn.face ? "not complete in time" : "nothing came in time",
			false);
}

bool client_tls_about(struct client *client, struct tls_about *about)
{
	struct client *carrier = client_carrier(client) ? client_carrier(client) : client;

	return carrier->is_tls && tls_about(&carrier->conn, about);
}
