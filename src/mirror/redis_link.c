/* SPDX-License-Identifier: MIT */
/*
 * A try begins in redis_try() and goes through one leg, or with Sentinel through two: to a
 * sentinel, and to the master that it names.  Each leg has a peer; a peer has addresses, which are
 * tried in turn.  What fails within a leg ends in redis_lose(), which goes on to the next sentinel
 * when the leg was one's.
 */
#include "config.h"

#include <stdio.h>

#include "base/clock.h"
#include "mirror/redis_internal.h"

#define READS_MAX         64 /* of BUF_SIZE in one go: others run on this loop as well */
#define SENTINEL_LEAST_MS 100

static void on_event(struct conn *conn, enum conn_ev ev);

/* Names the peer, unless there is a connection that everybody knows of. */
static void lose_here(struct redis *redis, const char *why)
{
	char text[ADDR_TEXT_SIZE + REDIS_WHY_SIZE];

	if (redis->state == LINK_UP) {
		redis_lose(redis, why);
		return;
	}
	snprintf(text, sizeof(text), "%s: %s", redis->where, why);
	redis_lose(redis, text);
}

static const char *io_text(const struct redis *redis)
{
	return tls_failure_text(&redis->conn);
}

void redis_disconnect(struct redis *redis)
{
	redis->epoch++;
	conn_close(&redis->conn);
	buf_release(&redis->in);
	buf_release(&redis->out);
	redis_answers_close(&redis->answers);
	loop_soon_cancel(&redis->flush);
	loop_soon_cancel(&redis->more);
	redis_set_timer(redis, 0);
}

/* Below: bytes. */

/* Feeds what has come; false when the connection is not ours any more. */
static bool take_bytes(struct redis *redis)
{
	unsigned epoch = redis->epoch;
	redisReply *reply;

	redis->stats.bytes_in += buf_length(&redis->in);
	redis_answers_feed(&redis->answers, buf_bytes(&redis->in), buf_length(&redis->in));
	buf_release(&redis->in);
	while ((reply = redis_answers_next(&redis->answers)) != NULL) {
		redis_take_reply(redis, reply);
		if (redis->epoch != epoch)
			return false;
	}
	if (!redis->answers.why)
		return true;
	lose_here(redis, redis->answers.why);
	return false;
}

static void hear(struct redis *redis);

static void hear_more(struct soon *soon)
{
	hear(container_of(soon, struct redis, more));
}

static void hear(struct redis *redis)
{
	for (unsigned i = 0; i < READS_MAX; i++) {
		enum io io;

		buf_reserve(&redis->in, BUF_SIZE);
		io = conn_recv(&redis->conn, &redis->in, BUF_SIZE);
		switch (io) {
		case IO_AGAIN:
			buf_release(&redis->in);
			return;
		case IO_EOF:
			lose_here(redis, "closed by the peer");
			return;
		case IO_FAIL:
			lose_here(redis, io_text(redis));
			return;
		case IO_OK:
			break;
		}
		if (!take_bytes(redis))
			return;
	}
	loop_soon(redis->loop, &redis->more, hear_more);
}

void redis_send(struct redis *redis)
{
	size_t before = buf_length(&redis->out);
	unsigned epoch = redis->epoch;
	enum io io;

	if ((redis->state != LINK_GREETING && redis->state != LINK_UP) || !before)
		return;
	io = conn_send_buf(&redis->conn, &redis->out);
	redis->stats.bytes_out += before - buf_length(&redis->out);
	if (io == IO_OK || io == IO_AGAIN)
		return;
	hear(redis); /* it may have said why */
	if (redis->epoch == epoch)
		lose_here(redis, io == IO_EOF ? "closed by the peer" : io_text(redis));
}

/* Below: the way up. */

static void greet(struct redis *redis)
{
	unsigned epoch = redis->epoch;

	redis->state = LINK_GREETING;
	redis_answers_open(&redis->answers);
	redis_greet(redis);
	redis_send(redis);
	if (redis->epoch == epoch)
		hear(redis); /* TLS may hold bytes already, of which no event tells */
}

bool redis_has_tls_ctx(struct redis *redis, struct str host, char why[TLS_WHY_SIZE])
{
	const struct redis_options *options = &redis->options;
	struct tls_client_options tls = {
		.is_verified = !options->is_tls_unverified,
		.ca = options->tls_ca,
		.sni = options->tls_sni,
		.name = options->tls_sni.len ? options->tls_sni : host,
		.certificate = options->tls_certificate,
		.key = options->tls_key,
	};
	struct ip_addr ip;

	if (redis->tls_ctx && str_eq(str_of(redis->tls_name), tls.name))
		return true;
	if (!tls.sni.len && ip_addr_parse(host, &ip) != 0)
		tls.sni = host;
	tls_client_ctx_unref(redis->tls_ctx);
	redis->tls_ctx = tls_client_ctx_new(&tls, why);
	snprintf(redis->tls_name, sizeof(redis->tls_name), "%.*s", STR_ARG(tls.name));
	return redis->tls_ctx != NULL;
}

static void shake_hands(struct redis *redis)
{
	switch (tls_handshake(&redis->conn)) {
	case IO_AGAIN:
		return;
	case IO_EOF:
		lose_here(redis, "closed within the TLS handshake");
		return;
	case IO_FAIL:
		lose_here(redis, io_text(redis));
		return;
	case IO_OK:
		break;
	}
	greet(redis);
}

static void connected(struct redis *redis)
{
	char why[TLS_WHY_SIZE] = "";

	if (redis->url.scheme != REDIS_TLS) {
		greet(redis);
	} else if (!redis_has_tls_ctx(redis, str_of(redis->peer.name), why)) {
		lose_here(redis, why);
	} else if (tls_connect(&redis->conn, redis->tls_ctx, NULL) != 0) {
		lose_here(redis, "no TLS session");
	} else {
		redis->state = LINK_TLS;
		shake_hands(redis);
	}
}

/* Connects to the first of the addresses from addr_at on that does not fail at once. */
static void connect_from(struct redis *redis, int error)
{
	const struct redis_addrs *addrs = &redis->addrs;

	for (; redis->addr_at < addrs->n; redis->addr_at++) {
		const struct sock_addr *addr =
			&addrs->list[(redis->addr_first + redis->addr_at) % addrs->n];
		int rc;

		(void)sock_addr_text(addr, redis->where);
		redis->state = LINK_CONNECTING;
		rc = conn_connect(redis->loop, &redis->conn, addr, on_event);
		if (rc == 0) {
			if (!redis->conn.is_connecting)
				connected(redis);
			return;
		}
		error = -rc;
	}
	lose_here(redis, conn_error_text(error));
}

static void begin_leg(struct redis *redis)
{
	int64_t left_ms = redis->deadline_ms - clock_ms();
	int64_t share_ms;

	if (redis->is_sentinel) {
		share_ms = redis->options.connect_ms / (int64_t)redis->url.hosts_n;
		if (share_ms < SENTINEL_LEAST_MS)
			share_ms = SENTINEL_LEAST_MS;
		if (left_ms > share_ms)
			left_ms = share_ms;
	}
	redis_set_timer(redis, left_ms > 0 ? left_ms : 1);
	redis->addr_at = 0;
	connect_from(redis, 0);
}

static void on_event(struct conn *conn, enum conn_ev ev)
{
	struct redis *redis = container_of(conn, struct redis, conn);
	unsigned epoch = redis->epoch;

	switch (redis->state) {
	case LINK_CONNECTING:
		if (ev == CONN_FAILED) {
			int error = conn->error;

			conn_close(conn);
			redis->addr_at++;
			connect_from(redis, error);
		} else {
			connected(redis);
		}
		break;
	case LINK_TLS:
		shake_hands(redis);
		break;
	case LINK_GREETING:
	case LINK_UP:
		hear(redis);
		if (redis->epoch == epoch)
			redis_send(redis);
		break;
	case LINK_AWAY:
	case LINK_RESOLVING:
	case LINK_GONE:
		break;
	}
}

void redis_deadline(struct redis *redis)
{
	switch (redis->state) {
	case LINK_CONNECTING:
		redis->addr_first++;
		lose_here(redis, "no connection in time");
		break;
	case LINK_TLS:
		lose_here(redis, "no end of the TLS handshake in time");
		break;
	case LINK_GREETING:
		lose_here(redis, "no answer in time");
		break;
	case LINK_AWAY:
	case LINK_RESOLVING:
	case LINK_UP:
	case LINK_GONE:
		break;
	}
}

/* Below: whom to connect to. */

void redis_resolved(struct redis *redis, const struct redis_addrs *addrs)
{
	redis->deadline_ms += clock_ms();
	redis->addrs = *addrs;
	if (addrs->n)
		begin_leg(redis);
	else
		redis_lose(redis, redis->addrs.why);
}

void redis_go_to(struct redis *redis, struct str name, uint16_t port, bool is_sentinel)
{
	struct ip_addr ip;

	redis_disconnect(redis);
	redis->waiting_n = 0; /* our own, whose answers have been used */
	bug_on(name.len >= sizeof(redis->peer.name));
	snprintf(redis->peer.name, sizeof(redis->peer.name), "%.*s", STR_ARG(name));
	redis->peer.port = port;
	redis->is_sentinel = is_sentinel;
	if (ip_addr_parse(name, &ip) == 0) {
		ip.port = port;
		sock_addr_from_ip(&redis->addrs.list[0], &ip);
		redis->addrs.n = 1;
		begin_leg(redis);
	} else {
		redis->deadline_ms -= clock_ms(); /* resolving does not count */
		redis_resolve(redis);
	}
}

static void go_to_socket(struct redis *redis)
{
	char text[ADDR_TEXT_SIZE];

	snprintf(text, sizeof(text), "unix:%.*s", STR_ARG(redis->url.path));
	redis->peer.name[0] = '\0';
	redis->is_sentinel = false;
	bug_on(sock_addr_parse(str_of(text), &redis->addrs.list[0]) != 0);
	redis->addrs.n = 1;
	begin_leg(redis);
}

void redis_try(struct redis *redis)
{
	const struct redis_url *url = &redis->url;
	size_t at = url->scheme == REDIS_SENTINEL ? redis->sentinel_at % url->hosts_n : 0;

	redis->deadline_ms = clock_ms() + redis->options.connect_ms;
	redis->sentinels_asked = 1;
	if (redis->moved.name[0])
		redis_go_to(redis, str_of(redis->moved.name), redis->moved.port, false);
	else if (url->scheme == REDIS_UNIX)
		go_to_socket(redis);
	else
		redis_go_to(redis, url->hosts[at].host, url->hosts[at].port,
			    url->scheme == REDIS_SENTINEL);
}
