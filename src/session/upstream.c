/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/upstream.h"

#include <errno.h>
#include <stdlib.h>

#include "net/tls.h"
#include "proto/proxy.h"
#include "session/srvpool.h"
#include "session/tls_facts.h"
#include "session/tunnel.h"
#include "session/txn.h"

static timer_fn on_idle_timer;

/* Of a pool, at the least from one look at all of it to the next: kept connections may be as many
 * as clients.  Far less than the second that keep_alive_ms leaves. */
#define LOOK_MS MS(250)

struct srvpool *srvpool_of(struct traffic *traffic, const struct server *server)
{
	struct srvpool *pool;

	if (unlikely(server->number >= traffic->pools_n)) {
		uint32_t n = traffic->pools_n ? traffic->pools_n : 16;

		while (n <= server->number)
			n *= 2;
		traffic->pools = xrealloc_array(traffic->pools, n, sizeof(struct srvpool *));
		memset(&traffic->pools[traffic->pools_n], 0,
		       (n - traffic->pools_n) * sizeof(struct srvpool *));
		traffic->pools_n = n;
	}
	pool = traffic->pools[server->number];
	if (likely(pool != NULL))
		return pool;
	pool = xcalloc(1, sizeof(*pool));
	pool->traffic = traffic;
	list_init(&pool->idle);
	list_init(&pool->kept);
	timer_init(&pool->idle_timer, on_idle_timer);
	list_init(&pool->tunnels);
	list_init(&pool->polls);
	traffic->pools[server->number] = pool;
	return pool;
}

static void upstream_free(struct grave *grave)
{
	struct upstream *upstream = container_of(grave, struct upstream, grave);

	upstream->magic = 0;
	slab_put(&upstream->traffic->upstream_slab, upstream);
}

static void leave_pool(struct upstream *upstream)
{
	count_down(&upstream->server->counters, server_connections_idle);
	upstream->traffic->upstreams_idle--;
	list_remove(&upstream->link);
	if (!upstream->is_for_one_client)
		srvpool_of(upstream->traffic, upstream->server)->idle_n--;
}

void upstream_close(struct upstream *upstream)
{
	if (!upstream || upstream->state == UPSTREAM_CLOSED)
		return;
	check_magic(upstream, UPSTREAM_MAGIC);
	if (upstream->state == UPSTREAM_IDLE)
		leave_pool(upstream);
	upstream->state = UPSTREAM_CLOSED;
	conn_close(&upstream->conn);
	buf_release(&upstream->in);
	buf_release(&upstream->out);
	bug_on(list_is_linked(&upstream->link));
	loop_bury(&upstream->traffic->loop, &upstream->grave, upstream_free);
}

/* An idle connection hears something: the server closed it, or says what nobody asked. */
static void on_idle_event(struct upstream *upstream)
{
	struct client *client = upstream->is_for_one_client ? upstream->txn_client : NULL;

	/* TLS has news that are none for us: a ticket, new keys. */
	if (conn_is_quiet(&upstream->conn))
		return;
	if (client && client_kept(client) == upstream)
		(void)client_take_kept(client);
	upstream_close(upstream);
}

static void on_connecting(struct upstream *upstream, enum conn_ev ev)
{
	enum io io;

	if (!upstream->conn.face || ev == CONN_FAILED) {
		txn_on_upstream(upstream, ev);
		return;
	}
	io = upstream_tls_run(upstream);
	if (io != IO_AGAIN)
		txn_on_upstream(upstream, io == IO_OK ? CONN_CONNECTED : CONN_FAILED);
}

static void on_upstream_event(struct conn *conn, enum conn_ev ev)
{
	struct upstream *upstream = container_of(conn, struct upstream, conn);

	check_magic(upstream, UPSTREAM_MAGIC);
	switch (upstream->state) {
	case UPSTREAM_CONNECTING:
		on_connecting(upstream, ev);
		break;
	case UPSTREAM_BUSY:
		txn_on_upstream(upstream, ev);
		break;
	case UPSTREAM_TUNNEL:
		tunnel_run(&upstream->tunnel);
		break;
	case UPSTREAM_IDLE:
		on_idle_event(upstream);
		break;
	case UPSTREAM_CLOSED:
		break;
	}
}

/* Closes those of LIST whose time is over.  When the next one's is, or UNTIL_MS. */
static int64_t close_idle(struct list *list, int64_t until_ms)
{
	list_for_each_safe(at, after, list) {
		struct upstream *upstream = list_entry(at, struct upstream, link);

		check_magic(upstream, UPSTREAM_MAGIC);
		if (upstream->idle_until_ms <= clock_ms()) {
			upstream->conn.is_hung_up = true;
			on_idle_event(upstream);
		} else if (upstream->idle_until_ms < until_ms) {
			until_ms = upstream->idle_until_ms;
		}
	}
	return until_ms;
}

static void on_idle_timer(struct timer *timer)
{
	struct srvpool *pool = container_of(timer, struct srvpool, idle_timer);
	int64_t until_ms = close_idle(&pool->kept, close_idle(&pool->idle, INT64_MAX));

	if (until_ms == INT64_MAX)
		return;
	if (until_ms < clock_ms() + LOOK_MS)
		until_ms = clock_ms() + LOOK_MS;
	timer_set(&pool->traffic->loop.wheel, timer, until_ms);
}

struct upstream *upstream_from_pool(struct traffic *traffic, const struct srvset_member *member)
{
	struct srvpool *pool = srvpool_of(traffic, member->server);
	unsigned generation =
		atomic_load_explicit(&member->server->generation, memory_order_relaxed);

	while (!list_is_empty(&pool->idle)) {
		struct upstream *upstream = list_entry(pool->idle.next, struct upstream, link);

		if (upstream->generation == generation && !upstream->conn.is_hung_up &&
		    !upstream->conn.can_read && tls_is_of(&upstream->conn, member->tls)) {
			leave_pool(upstream);
			upstream->state = UPSTREAM_BUSY;
			return upstream;
		}
		upstream_close(upstream);
	}
	return NULL;
}

void upstream_take_kept(struct client *client)
{
	struct upstream *kept = client_take_kept(client);

	leave_pool(kept);
	kept->state = UPSTREAM_BUSY;
}

static void write_proxy_header(struct txn *txn, struct upstream *upstream)
{
	struct proxy_header header = { .src = txn->source };
	size_t size;

	if (upstream->send_proxy == PROXY_NONE)
		return;
	header.dst = client_destination(txn->client);
	header.unique_id =
		(struct str){ txn->request_id_len ? txn->request_id : NULL, txn->request_id_len };
	if (txn->head && txn->head->authority.len)
		header.authority = txn->head->authority;
	tls_facts_proxy(txn, &header);
	buf_reserve(&upstream->out, PROXY_WRITE_SIZE_MAX);
	if (upstream->send_proxy == PROXY_V1)
		size = proxy_write_v1(buf_tail(&upstream->out), PROXY_WRITE_SIZE_MAX, &header);
	else
		size = proxy_write_v2(buf_tail(&upstream->out), PROXY_WRITE_SIZE_MAX, &header,
				      true);
	buf_fill(&upstream->out, size);
	upstream->is_for_one_client = true;
	upstream->proxied_source = txn->source;
}

/* UPSTREAM, which goes on by its events, or NULL: it has failed already. */
static struct upstream *begin_tls(struct upstream *upstream, const struct srvset_member *member,
				  int *error)
{
	int rc = upstream_tls_begin(upstream, member);
	enum io io = IO_AGAIN;

	if (rc == 0 && !upstream->conn.is_connecting)
		io = upstream_tls_run(upstream);
	if (io == IO_OK)
		upstream->state = UPSTREAM_BUSY;
	if (rc == 0 && (io == IO_AGAIN || io == IO_OK))
		return upstream;
	*error = rc != 0 ? -rc : upstream->conn.error;
	upstream_close(upstream);
	return NULL;
}

struct upstream *upstream_open(struct txn *txn, const struct srvset_member *member, int *error)
{
	struct traffic *traffic = txn->traffic;
	struct upstream *upstream = slab_get(&traffic->upstream_slab);
	int rc;

	*upstream = (struct upstream){
		.magic = UPSTREAM_MAGIC,
		.state = UPSTREAM_CONNECTING,
		.traffic = traffic,
		.server = member->server,
		.txn = txn,
		.generation = atomic_load(&member->server->generation),
		.keep_alive_ms = UPSTREAM_KEEP_ALIVE_MS,
		.send_proxy = member->send_proxy,
	};
	count(&member->server->counters, server_connects);
	rc = conn_connect_lazily(&traffic->loop, &upstream->conn, &member->addr, on_upstream_event);
	if (rc != 0) {
		*error = -rc;
		slab_put(&traffic->upstream_slab, upstream);
		return NULL;
	}
	write_proxy_header(txn, upstream);
	if (member->tls)
		return begin_tls(upstream, member, error);
	if (!upstream->conn.is_connecting)
		upstream->state = UPSTREAM_BUSY;
	return upstream;
}

static bool is_reusable(struct upstream *upstream)
{
	return upstream->state == UPSTREAM_BUSY && upstream->keep_alive_ms > 0 &&
	       !buf_length(&upstream->in) && !buf_length(&upstream->out) &&
	       !(server_state(upstream->server) & (SERVER_GONE | SERVER_MAINT)) &&
	       upstream->generation == atomic_load(&upstream->server->generation) &&
	       conn_is_quiet(&upstream->conn);
}

void upstream_put(struct upstream *upstream, struct client *client)
{
	struct traffic *traffic = upstream->traffic;
	struct srvpool *pool = srvpool_of(traffic, upstream->server);

	if (!is_reusable(upstream) || traffic->is_draining) {
		upstream_close(upstream);
		return;
	}
	upstream->txn = NULL;
	if (upstream->is_for_one_client) {
		if (client->state == CLIENT_CLOSED || client_kept(client)) {
			upstream_close(upstream);
			return;
		}
		client_keep(client, upstream);
		list_push_front(&pool->kept, &upstream->link);
	} else {
		if (pool->idle_n >= POOL_IDLE_MAX) {
			upstream_close(upstream);
			return;
		}
		list_push_front(&pool->idle, &upstream->link);
		pool->idle_n++;
	}
	upstream->state = UPSTREAM_IDLE;
	conn_probe(&upstream->conn);
	count(&upstream->server->counters, server_connections_idle);
	traffic->upstreams_idle++;
	upstream->idle_until_ms = clock_ms() + upstream->keep_alive_ms;
	if (!timer_is_set(&pool->idle_timer) || upstream->idle_until_ms < pool->idle_timer.at_ms)
		timer_set(&traffic->loop.wheel, &pool->idle_timer, upstream->idle_until_ms);
}

void upstream_pool_sweep(struct traffic *traffic)
{
	for (uint32_t i = 0; i < traffic->pools_n; i++) {
		struct srvpool *pool = traffic->pools[i];

		if (!pool)
			continue;
		list_for_each_safe(at, after, &pool->idle) {
			struct upstream *upstream = list_entry(at, struct upstream, link);

			if (upstream->generation != atomic_load(&upstream->server->generation) ||
			    server_state(upstream->server) & (SERVER_GONE | SERVER_MAINT))
				upstream_close(upstream);
		}
	}
}

void upstream_pool_fini(struct traffic *traffic)
{
	for (uint32_t i = 0; i < traffic->pools_n; i++) {
		struct srvpool *pool = traffic->pools[i];

		while (pool && !list_is_empty(&pool->idle))
			upstream_close(list_entry(pool->idle.next, struct upstream, link));
		if (pool) {
			tls_resume_fini(&pool->tls_resume);
			timer_fini(&traffic->loop.wheel, &pool->idle_timer);
		}
		free(pool);
	}
	free(traffic->pools);
	traffic->pools = NULL;
	traffic->pools_n = 0;
}
