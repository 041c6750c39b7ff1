/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/account.h"

#include "session/tunnel.h"
#include "session/txn.h"
#include "session/upstream.h"

static void count_end(struct frontend_state *frontend, unsigned which)
{
	tally_add(&tally_block(&frontend->ends, 2 * TXN_END_N)[which], 1);
}

/* All threads write it, but hardly ever: most requests find it above their own time. */
static void raise(struct server *server, enum server_time which, int64_t us)
{
	_Atomic uint64_t *longest = &server->longest_us[which];
	uint64_t was = atomic_load_explicit(longest, memory_order_relaxed);

	while ((uint64_t)us > was &&
	       !atomic_compare_exchange_weak_explicit(longest, &was, (uint64_t)us,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

static void add_time(struct server *server, enum server_time which, int64_t us)
{
	if (us <= 0)
		return;
	count_add(&server->counters, (int)server_queue_us + (int)which, (uint64_t)us);
	raise(server, which, us);
}

/* When what is measured next began: the connection is there. */
static int64_t ready_us(const struct txn_times *times)
{
	return times->connected_us ? times->connected_us : times->connect_us;
}

static void observe(const struct txn *txn, enum backend_time which, int64_t us)
{
	histogram_add(txn->backend->state->times, which, TIMES_N, us);
}

/* What tunnels have too. */
static void account_start(const struct txn *txn)
{
	const struct txn_times *times = &txn->times;
	bool is_poll = txn_is_poll(txn);

	observe(txn, TIME_QUEUE, times->queued_us ? times->connect_us - times->queued_us : 0);
	if (times->connected_us)
		observe(txn, TIME_CONNECT, times->connected_us - times->connect_us);
	if (times->first_byte_us)
		observe(txn, is_poll ? TIME_FIRST_BYTE_POLL : TIME_FIRST_BYTE,
			times->first_byte_us - ready_us(times));
}

static void account_times(struct txn *txn)
{
	const struct txn_times *times = &txn->times;
	int64_t total_us = clock_us() - times->accepted_us;
	struct server *server = txn->server;

	account_start(txn);
	observe(txn, txn_is_poll(txn) ? TIME_TOTAL_POLL : TIME_TOTAL, total_us);
	if (txn_is_poll(txn))
		return;
	count(&server->counters, server_timed_requests);
	if (times->queued_us)
		add_time(server, SPENT_QUEUE, times->connect_us - times->queued_us);
	if (times->connected_us)
		add_time(server, SPENT_CONNECT, times->connected_us - times->connect_us);
	if (times->first_byte_us)
		add_time(server, SPENT_RESPONSE, times->first_byte_us - ready_us(times));
	add_time(server, SPENT_TOTAL, total_us);
}

void account_txn(struct txn *txn)
{
	count_end(txn->client->frontend->state, txn->end);
	if (txn->is_request_sent && txn->status)
		account_times(txn);
}

void account_bytes(struct txn *txn)
{
	struct client *client = txn->client;

	count_add(&client->frontend->state->counters, frontend_bytes_out, client->conn.sent);
	client->conn.sent = 0;
	if (txn->server)
		count_add(&txn->server->counters, server_bytes_out,
			  txn->response.bytes + txn->response_head_size);
}

static bool lives_on_websocket(const struct tunnel *tunnel)
{
	return tunnel->is_own_session || (tunnel_hold(tunnel) && tunnel->is_upgraded);
}

/* A connection of mode tcp has no response, and is over with its end. */
static void account_tcp_times(const struct tunnel *tunnel)
{
	const struct tunnel_times *times = &tunnel->times;
	int64_t total_ms = clock_ms() - tunnel->client->since_ms - times->first_ms;
	struct server *server = tunnel_server(tunnel);

	histogram_add(tunnel->backend->state->times, TIME_TOTAL, TIMES_N, total_ms * 1000);
	count(&server->counters, server_timed_requests);
	add_time(server, SPENT_QUEUE, (int64_t)times->queue_ms * 1000);
	add_time(server, SPENT_CONNECT, (int64_t)times->connect_ms * 1000);
	add_time(server, SPENT_TOTAL, total_ms * 1000);
}

/* FROM to TO, or 0 when either was not reached; at most MAX. */
static uint64_t span_ms(int64_t from_us, int64_t to_us, uint64_t max)
{
	uint64_t ms = from_us && to_us > from_us ? (uint64_t)(to_us - from_us) / 1000 : 0;

	return ms < max ? ms : max;
}

static struct tunnel_times tcp_times(const struct txn *txn)
{
	const struct txn_times *times = &txn->times;

	return (struct tunnel_times){
		.queue_ms = span_ms(times->queued_us, times->connect_us, (1u << 22) - 1),
		.connect_ms = span_ms(times->connect_us, times->connected_us, (1u << 22) - 1),
		.first_ms =
			span_ms(txn->client->since_ms * 1000, times->accepted_us, (1u << 20) - 1),
	};
}

void account_tunnel_start(struct txn *txn, struct tunnel *tunnel)
{
	struct counters *counters = &tunnel_server(tunnel)->counters;

	account_start(txn);
	if (tunnel->is_tcp) {
		tunnel->times = tcp_times(txn);
		return;
	}
	count(&tunnel->client->frontend->state->counters, frontend_tunnels);
	count(&tunnel->client->frontend->state->counters, frontend_tunnels_now);
	count(counters, server_upgrades);
	count(counters, server_tunnels_now);
	if (!tunnel->is_own_session)
		return;
	count(counters, server_websocket_handshakes);
	count(counters, server_websocket_sessions_now);
}

void account_upgraded(const struct tunnel *tunnel)
{
	count(&tunnel_server(tunnel)->counters, server_upgrades_completed);
	count(&tunnel_server(tunnel)->counters, server_websocket_sessions_now);
}

void account_tunnel_end(const struct tunnel *tunnel, enum txn_end end)
{
	struct counters *counters = &tunnel_server(tunnel)->counters;

	count_end(tunnel->client->frontend->state, tunnel->is_tcp ? end : TXN_END_N + end);
	if (tunnel->is_tcp) {
		account_tcp_times(tunnel);
		return;
	}
	count_down(&tunnel->client->frontend->state->counters, frontend_tunnels_now);
	count_down(counters, server_tunnels_now);
	if (lives_on_websocket(tunnel))
		count_down(counters, server_websocket_sessions_now);
	else if (tunnel_hold(tunnel))
		count(counters, server_upgrades_failed);
}
