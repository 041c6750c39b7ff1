/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/client.h"

#include <unistd.h>

#include "base/log.h"
#include "proto/proxy.h"
#include "session/client_tcp.h"
#include "session/client_tls.h"
#include "session/h2.h"
#include "session/h2_mem.h"
#include "session/source_limit.h"
#include "session/trace.h"
#include "session/tunnel.h"
#include "session/txn.h"
#include "session/upstream.h"

#define LINGER_MS        SEC(2)
#define LINGER_BYTES_MAX (1u << 20) /* read and dropped while a refused client still sends */

const char *client_state_name(enum client_state state)
{
	static const char *const names[] = {
		[CLIENT_PROXY_HEADER] = "proxy-header",
		[CLIENT_HANDSHAKE] = "handshake",
		[CLIENT_INSPECT] = "inspect",
		[CLIENT_H2] = "h2",
		[CLIENT_IDLE] = "idle",
		[CLIENT_BUSY] = "busy",
		[CLIENT_TUNNEL] = "tunnel",
		[CLIENT_LINGER] = "linger",
		[CLIENT_CLOSED] = "closed",
	};

	return names[state];
}

void client_set_timer(struct client *client, int64_t in_ms)
{
	if (in_ms > 0)
		loop_timer_in(&client->traffic->loop, &client->timer, in_ms);
	else
		timer_stop(&client->timer);
}

static bool is_any(const struct ip_addr *addr)
{
	static const struct ip_addr any;

	return memcmp(addr->ip, any.ip, sizeof(any.ip)) == 0;
}

struct ip_addr client_destination(struct client *client)
{
	struct sock_addr local = { .size = sizeof(local.un) };
	struct ip_addr bound;

	if (client->rare && (client->is_proxied || client->rare->destination.family != AF_UNSPEC))
		return client->rare->destination;
	/* Who listens on one address knows it. */
	bound = sock_addr_ip(&client->bind->addr);
	if (!is_any(&bound) && bound.port)
		return bound;
	if (getsockname(client->conn.fd, &local.sa, &local.size) != 0)
		return (struct ip_addr){ 0 };
	client_need_rare(client)->destination = sock_addr_ip(&local);
	return client->rare->destination;
}

uint16_t client_port(const struct client *client)
{
	if (client->is_proxied && client->rare && client->rare->destination.port)
		return client->rare->destination.port;
	return sock_addr_ip(&client->bind->addr).port;
}

struct client_rare *client_need_rare(struct client *client)
{
	if (!client->rare) /* every stream has one */
		client->rare = h2_mem_get_zeroed(client->traffic->h2_mem, sizeof(*client->rare));
	return client->rare;
}

void client_keep(struct client *client, struct upstream *upstream)
{
	bug_on(client_kept(client));
	client_need_rare(client)->kept = upstream;
	upstream->txn_client = client;
}

struct upstream *client_take_kept(struct client *client)
{
	struct upstream *kept = client_kept(client);

	if (kept)
		client->rare->kept = NULL;
	return kept;
}

static void client_free(struct grave *grave)
{
	struct client *client = container_of(grave, struct client, grave);
	struct traffic *traffic = client->traffic;

	client->magic = 0;
	h2_mem_put(traffic->h2_mem, client->rare);
	config_unref(client->frontend->config);
	slab_put(&traffic->client_slab, client);
}

static void uncount_connection(struct client *client)
{
	struct traffic *traffic = client->traffic;

	source_limit_give_back(client);
	count_down(&client->frontend->state->counters, frontend_connections_now);
	count_down(&process_state.counters, process_connections_now);
	atomic_fetch_sub_explicit(&client->frontend->state->used, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&process_state.connections, 1, memory_order_relaxed);
	atomic_store_explicit(&traffic->clients_n, traffic->clients_n - 1, memory_order_relaxed);
	traffic_resume_accepting(traffic);
}

static void client_end(struct client *client, bool is_reset)
{
	struct traffic *traffic = client->traffic;

	if (client->state == CLIENT_CLOSED)
		return;
	if (client_txn(client))
		txn_abort(client->txn, txn_client_gone(client->txn));
	if (client_tunnel(client))
		tunnel_abort(client->tunnel, END_TUNNEL_CLIENT);
	if (client->state == CLIENT_H2)
		h2_close(client);
	trace_client(client, is_reset ? "reset" : "closed");
	client_set_state(client, CLIENT_CLOSED);
	if (is_reset)
		conn_reset(&client->conn);
	else
		conn_close(&client->conn);
	timer_fini(&traffic->loop.wheel, &client->timer);
	list_remove(&client->link);
	buf_release(&client->in);
	buf_release(&client->out);
	upstream_close(client_take_kept(client));
	if (!client_carrier(client))
		uncount_connection(client);
	loop_bury(&traffic->loop, &client->grave, client_free);
}

void client_close(struct client *client)
{
	client_end(client, false);
}

void client_reset(struct client *client)
{
	client_end(client, true);
}

/* Our side is shut; what the client still sends is read away, so that no reset overtakes the
 * answer. */
static void client_linger(struct client *client)
{
	client_set_state(client, CLIENT_LINGER);
	client->requests = 0; /* counts the bytes dropped from here on */
	buf_release(&client->in);
	conn_shutdown(&client->conn);
	client_set_timer(client, LINGER_MS);
}

static void client_drop_input(struct client *client)
{
	enum io io;

	while (client->state == CLIENT_LINGER) {
		size_t got;

		buf_reserve(&client->in, BUF_SIZE);
		io = conn_recv(&client->conn, &client->in, BUF_SIZE);
		got = buf_length(&client->in);
		buf_release(&client->in);
		client->requests += (uint32_t)got;
		if (io == IO_AGAIN)
			return;
		if (io != IO_OK || client->requests > LINGER_BYTES_MAX) {
			client_close(client);
			return;
		}
	}
}

static void client_take_proxy_header(struct client *client, const struct proxy_header *header)
{
	if (!header->is_local && header->src.family != AF_UNSPEC) {
		client->source = header->src;
		client_need_rare(client)->destination = header->dst;
		client->is_proxied = true;
	}
	buf_consume(&client->in, header->size);
	if (!buf_length(&client->in))
		buf_release(&client->in);
	client_begin(client);
}

static void client_read_proxy_header(struct client *client)
{
	struct proxy_header header;
	const char *why = "connection closed within the PROXY header";
	enum parse parse;
	enum io io;

	for (;;) {
		buf_reserve(&client->in, PROXY_SIZE_MAX);
		io = conn_recv(&client->conn, &client->in, buf_room(&client->in));
		if (io != IO_OK)
			break;
		parse = proxy_parse(buf_bytes(&client->in), buf_length(&client->in), &header, &why);
		if (parse == PARSE_DONE) {
			client_take_proxy_header(client, &header);
			return;
		}
		if (parse == PARSE_BAD) {
			io = IO_FAIL;
			break;
		}
	}
	if (!buf_length(&client->in))
		buf_release(&client->in);
	if (io == IO_AGAIN) {
		client_wait_head(client);
		if (conn_watch(&client->traffic->loop, &client->conn) == 0)
			return;
	}
	char text[ADDR_TEXT_SIZE];

	if (buf_length(&client->in))
		log_warn("frontend %s: connection from %s refused: %s",
			 client->frontend->state->name, ip_addr_text(&client->source, text).p, why);
	count(&client->frontend->state->counters, frontend_connections_refused);
	client_reset(client);
}

void client_begin_protocol(struct client *client)
{
	if (client->frontend->mode == TRAFFIC_TCP) {
		client_tcp_start(client);
		return;
	}
	if (h2_is_wanted(client)) {
		h2_start(client);
		return;
	}
	client_set_state(client, CLIENT_IDLE);
	client_read_head(client);
}

void client_begin(struct client *client)
{
	if (!source_limit_take(client)) {
		count(&client->frontend->state->counters, frontend_connections_refused);
		client_reset(client);
		return;
	}
	if (client->bind->tls)
		client_tls_start(client);
	else
		client_begin_protocol(client);
}

static void on_client_event(struct conn *conn, enum conn_ev ev)
{
	struct client *client = container_of(conn, struct client, conn);

	(void)ev;
	check_magic(client, CLIENT_MAGIC);
	switch (client->state) {
	case CLIENT_PROXY_HEADER:
		client_read_proxy_header(client);
		break;
	case CLIENT_HANDSHAKE:
		client_tls_run(client);
		break;
	case CLIENT_INSPECT:
		client_tcp_run(client);
		break;
	case CLIENT_H2:
		h2_run(client);
		break;
	case CLIENT_IDLE:
		client_read_head(client);
		break;
	case CLIENT_BUSY:
		txn_run(client->txn);
		break;
	case CLIENT_TUNNEL:
		tunnel_run(client->tunnel);
		break;
	case CLIENT_LINGER:
		client_drop_input(client);
		break;
	case CLIENT_CLOSED:
		break;
	}
}

static void on_client_timer(struct timer *timer)
{
	struct client *client = container_of(timer, struct client, timer);

	check_magic(client, CLIENT_MAGIC);
	switch (client->state) {
	case CLIENT_IDLE:
		if (buf_length(&client->in))
			client_refuse(client, 408, "head not complete in time");
		else
			client_close(client);
		break;
	case CLIENT_PROXY_HEADER:
		count(&client->frontend->state->counters, frontend_connections_refused);
		client_reset(client);
		break;
	case CLIENT_HANDSHAKE:
		client_tls_on_timer(client);
		break;
	case CLIENT_INSPECT:
		client_tcp_on_timer(client);
		break;
	case CLIENT_H2:
		h2_on_timer(client);
		break;
	case CLIENT_BUSY:
		txn_on_timer(client->txn);
		break;
	case CLIENT_TUNNEL:
		tunnel_on_timer(client->tunnel);
		break;
	case CLIENT_LINGER:
		client_close(client);
		break;
	case CLIENT_CLOSED:
		break;
	}
}

static bool is_proxy_wanted(const struct bind_conf *bind, const struct ip_addr *peer)
{
	return bind->is_proxy_from_any || ip_nets_have(bind->proxy_nets, bind->proxy_nets_n, peer);
}

static struct client *client_new(struct traffic *traffic, const struct frontend *frontend,
				 const struct bind_conf *bind)
{
	struct client *client = slab_get(&traffic->client_slab);

	*client = (struct client){
		.magic = CLIENT_MAGIC,
		.traffic = traffic,
		.frontend = frontend,
		.bind = bind,
		.since_ms = clock_ms(),
	};
	(void)config_ref(frontend->config);
	timer_init(&client->timer, on_client_timer);
	list_push_back(&traffic->clients, &client->link);
	return client;
}

void client_open(struct traffic *traffic, const struct frontend *frontend,
		 const struct bind_conf *bind, int fd, const struct sock_addr *peer)
{
	struct client *client = client_new(traffic, frontend, bind);

	client->source = sock_addr_ip(peer);
	conn_init(&client->conn, fd, on_client_event);
	count(&frontend->state->counters, frontend_connections);
	count(&frontend->state->counters, frontend_connections_now);
	count(&process_state.counters, process_connections);
	count(&process_state.counters, process_connections_now);
	atomic_store_explicit(&traffic->clients_n, traffic->clients_n + 1, memory_order_relaxed);
	trace_client(client, "accepted");
	if (!bind->is_proxy_required) {
		client_begin(client);
		return;
	}
	client_set_state(client, CLIENT_PROXY_HEADER);
	if (is_proxy_wanted(bind, &client->source)) {
		client_read_proxy_header(client);
		return;
	}
	count(&frontend->state->counters, frontend_connections_refused);
	client_reset(client);
}

struct client *client_open_stream(struct client *carrier, const struct conn_face *face)
{
	struct client *client = client_new(carrier->traffic, carrier->frontend, carrier->bind);

	client_set_state(client, CLIENT_IDLE);
	client_need_rare(client)->carrier = carrier;
	client->source = carrier->source;
	client->rare->destination = client_destination(carrier);
	client->is_proxied = true; /* addresses are the carrier's */
	client->is_tls = carrier->is_tls;
	conn_init(&client->conn, -1, on_client_event);
	client->conn.face = face;
	return client;
}

void client_open_run(struct client *client)
{
	if (client->state == CLIENT_IDLE)
		client_read_head(client);
}

static void client_end_in_order(struct client *client, bool is_last_request)
{
	bool has_unread = buf_length(&client->in) || client->conn.can_read;

	/* Unread bytes would make the kernel send a reset. */
	if (client->conn.is_eof || (is_last_request && !has_unread)) {
		client_set_state(client, CLIENT_LINGER);
		client_close(client);
		return;
	}
	client_linger(client);
	client_drop_input(client);
	if (client->state == CLIENT_LINGER &&
	    conn_watch(&client->traffic->loop, &client->conn) != 0)
		client_close(client);
}

void client_next(struct client *client, enum client_after after)
{
	client->requests++;
	client->since_ms = clock_ms();
	if (after == CLIENT_GOES_ON && client->traffic->is_draining &&
	    !client->traffic->is_handed_over && !buf_length(&client->in))
		after = CLIENT_IS_CUT_OFF;
	if (after != CLIENT_GOES_ON) {
		client_end_in_order(client, after == CLIENT_HAS_DONE);
		return;
	}
	client_set_state(client, CLIENT_IDLE);
	client_wait_head(client);
	/* Pipelined requests are taken from the loop, not by recursion.  An end that is known
	 * already has no event of its own any more. */
	if (buf_length(&client->in) || client->conn.can_read || client->conn.is_eof)
		client_read_head_soon(client);
	else if (conn_watch(&client->traffic->loop, &client->conn) != 0)
		client_close(client);
}
