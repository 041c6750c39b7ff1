/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/traffic.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/listener.h"
#include "net/pipe.h"
#include "session/client.h"
#include "session/ending.h"
#include "session/h2.h"
#include "session/h2_mem.h"
#include "session/trim.h"
#include "session/tunnel.h"
#include "session/txn.h"
#include "session/upstream.h"

#define PAUSE_TOLD_MS  SEC(10)
#define DEFER_ACCEPT_S 3

struct process_state process_state;
server_outcome_fn *server_outcome_hook;

static _Atomic(struct traffic *) traffics[THREADS_MAX];

/* One listening socket on this thread. */
struct frontend_acceptor {
	struct acceptor acceptor;
	struct list link;
	struct traffic *traffic;
	char *text;        /* (own) bind_conf.text: what tells binds apart over reloads */
	bool is_suspended; /* its frontend is disabled: connections are refused */

	/* As the configuration in force has it; found again when that has changed. */
	const struct config *config;     /* (view) compared with traffic->config */
	const struct frontend *frontend; /* (view) NULL = no frontend has the bind any more */
	const struct bind_conf *bind;    /* (view) */
};

struct traffic *traffic_by_index(unsigned index)
{
	return index < THREADS_MAX ? atomic_load(&traffics[index]) : NULL;
}

struct slab *traffic_slab(struct traffic *traffic, unsigned i)
{
	struct slab *slabs[TRAFFIC_SLABS] = { &traffic->client_slab, &traffic->txn_slab,
					      &traffic->upstream_slab, &traffic->head_slab,
					      &traffic->replay_slab };

	return slabs[i];
}

int traffic_init(struct traffic *traffic, unsigned index)
{
	int rc = loop_init(&traffic->loop);

	if (rc != 0)
		return rc;
	traffic->magic = TRAFFIC_MAGIC;
	traffic->index = index;
	traffic->config = NULL;
	list_init(&traffic->clients);
	list_init(&traffic->lines);
	list_init(&traffic->acceptors);
	list_init(&traffic->handshakes);
	list_init(&traffic->pipelined);
	slab_init(&traffic->client_slab, "client", sizeof(struct client), 4096);
	slab_init(&traffic->txn_slab, "txn", sizeof(struct txn), 1024);
	slab_init(&traffic->upstream_slab, "upstream", sizeof(struct upstream), 4096);
	slab_init(&traffic->head_slab, "head", sizeof(struct http_head), 64);
	traffic->h2_mem = xcalloc(1, sizeof(*traffic->h2_mem));
	slab_init(&traffic->replay_slab, "replay", sizeof(struct replay), 1024);
	trim_init(traffic);
	atomic_store(&traffics[index], traffic);
	return 0;
}

void traffic_quit(struct traffic *traffic)
{
	check_magic(traffic, TRAFFIC_MAGIC);
	traffic_stop_listening(traffic, true);
	traffic_close_all(traffic);
	ending_fini(traffic);
	upstream_pool_fini(traffic);
	buf_pool_fini();
	pipe_pool_fini();
}

void traffic_fini(struct traffic *traffic)
{
	check_magic(traffic, TRAFFIC_MAGIC);
	loop_fini(&traffic->loop);
	/* What mails that came after traffic_quit() have begun. */
	ending_fini(traffic);
	upstream_pool_fini(traffic);
	atomic_store(&traffics[traffic->index], NULL);
	config_unref(traffic->config);
	for (unsigned i = 0; i < TRAFFIC_SLABS; i++)
		slab_fini(traffic_slab(traffic, i));
	h2_mem_fini(traffic->h2_mem);
	free(traffic->h2_mem);
}

static void find_bind(struct frontend_acceptor *at)
{
	const struct config *config = at->traffic->config;

	at->config = config;
	at->frontend = NULL;
	at->bind = NULL;
	for (size_t i = 0; i < config->frontends_n; i++)
		for (size_t j = 0; j < config->frontends[i].binds_n; j++)
			if (str_eq(config->frontends[i].binds[j].text, str_of(at->text))) {
				at->frontend = &config->frontends[i];
				at->bind = &config->frontends[i].binds[j];
				return;
			}
}

static const struct frontend *frontend_of(struct frontend_acceptor *at)
{
	if (at->config != at->traffic->config)
		find_bind(at);
	return at->frontend;
}

/* One more of what at most MAX (0 = any number) may be used at once. */
static bool reserve(_Atomic uint32_t *used, uint32_t max)
{
	uint32_t before = atomic_fetch_add_explicit(used, 1, memory_order_relaxed);

	if (!max || before < max)
		return true;
	atomic_fetch_sub_explicit(used, 1, memory_order_relaxed);
	return false;
}

/* The operator's limit, else the file's; 0 = none of its own. */
static uint32_t limit_of(const struct frontend *frontend)
{
	uint32_t set =
		atomic_load_explicit(&frontend->state->max_connections, memory_order_relaxed);

	return set == UINT32_MAX ? frontend->max_connections : set;
}

/* At most one line in PAUSE_TOLD_MS of a thread: it may happen with every connection. */
static void tell_pause(const struct frontend_acceptor *at, const char *reason)
{
	static __thread int64_t told_at_ms;

	if (told_at_ms && clock_ms() - told_at_ms < PAUSE_TOLD_MS)
		return;
	told_at_ms = clock_ms();
	log_event(LOG_LEVEL_WARN, "accept_paused",
		  LOG_FIELDS({ "frontend", at->frontend->state->name, 0 }, { "reason", reason, 0 },
			     { "connections", NULL, atomic_load(&process_state.connections) }),
		  "frontend %s takes no connections for now: %s", at->frontend->state->name,
		  reason);
}

/* The next one waits in the kernel until one of ours is closed. */
static bool may_accept(struct acceptor *acceptor)
{
	struct frontend_acceptor *at = container_of(acceptor, struct frontend_acceptor, acceptor);
	const struct frontend *frontend = frontend_of(at);

	if (!frontend)
		return false; /* a reload has just taken the bind away */
	if (reserve(&frontend->state->used, limit_of(frontend))) {
		if (reserve(&process_state.connections, process_state.max_connections))
			return true;
		atomic_fetch_sub_explicit(&frontend->state->used, 1, memory_order_relaxed);
		tell_pause(at, "global.max_connections is reached");
	} else {
		tell_pause(at, "its max_connections is reached");
	}
	count(&process_state.counters, process_accept_pauses);
	return false;
}

static void give_back(struct acceptor *acceptor)
{
	struct frontend_acceptor *at = container_of(acceptor, struct frontend_acceptor, acceptor);

	atomic_fetch_sub_explicit(&at->frontend->state->used, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&process_state.connections, 1, memory_order_relaxed);
}

static void on_accept_failed(struct acceptor *acceptor)
{
	count(&process_state.counters, process_accept_errors);
	if (!acceptor->is_paused)
		return;
	count(&process_state.counters, process_accept_pauses);
	tell_pause(container_of(acceptor, struct frontend_acceptor, acceptor),
		   "descriptors or memory are out");
}

static void on_accept(struct acceptor *acceptor, int fd, const struct sock_addr *peer)
{
	struct frontend_acceptor *at = container_of(acceptor, struct frontend_acceptor, acceptor);

	max_raise(&at->frontend->state->used_max, atomic_load(&at->frontend->state->used));
	client_open(at->traffic, at->frontend, at->bind, fd, peer);
}

int traffic_listen(struct traffic *traffic, const struct bind_conf *bind, int fd)
{
	struct frontend_acceptor *at = xcalloc(1, sizeof(*at));
	int rc = acceptor_start(&at->acceptor, &traffic->loop, fd, on_accept);

	if (rc != 0) {
		close(fd);
		free(at);
		return rc;
	}
	at->acceptor.may_accept = may_accept;
	at->acceptor.give_back = give_back;
	at->acceptor.on_failed = on_accept_failed;
	at->traffic = traffic;
	at->text = xstrndup(bind->text);
	list_push_back(&traffic->acceptors, &at->link);
	traffic_follow_frontends(traffic);
	return 0;
}

static void free_acceptor(struct grave *grave)
{
	struct frontend_acceptor *at =
		container_of(grave, struct frontend_acceptor, acceptor.grave);

	free(at->text);
	free(at);
}

static void stop_listening(struct frontend_acceptor *at)
{
	list_remove(&at->link);
	acceptor_stop(&at->acceptor);
	loop_bury(&at->traffic->loop, &at->acceptor.grave, free_acceptor);
}

void traffic_stop_listening(struct traffic *traffic, bool all)
{
	list_for_each_safe(node, after, &traffic->acceptors) {
		struct frontend_acceptor *at = list_entry(node, struct frontend_acceptor, link);

		if (all || !frontend_of(at))
			stop_listening(at);
	}
}

/*
 * A TCP socket that listens no more refuses connections, and the kernel keeps its address for us;
 * connections to a Unix socket wait in its backlog instead, for it could not listen again.
 */
static void suspend(struct frontend_acceptor *at)
{
	at->is_suspended = true;
	acceptor_pause(&at->acceptor);
	timer_stop(&at->acceptor.retry);
	if (!sock_addr_is_unix(&at->bind->addr))
		(void)shutdown(at->acceptor.fd, SHUT_RD);
}

static void resume(struct frontend_acceptor *at)
{
	at->is_suspended = false;
	if (!sock_addr_is_unix(&at->bind->addr) &&
	    listen(at->acceptor.fd, (int)at->bind->backlog) != 0)
		log_error("cannot listen on %s again: %s", at->text, strerror(errno));
	acceptor_resume(&at->acceptor);
}

void traffic_follow_frontends(struct traffic *traffic)
{
	list_for_each_safe(node, after, &traffic->acceptors) {
		struct frontend_acceptor *at = list_entry(node, struct frontend_acceptor, link);
		const struct frontend *frontend = frontend_of(at);

		if (!frontend)
			continue;
		if (atomic_load(&frontend->state->is_shut))
			stop_listening(at);
		else if (atomic_load(&frontend->state->is_disabled) && !at->is_suspended)
			suspend(at);
		else if (!atomic_load(&frontend->state->is_disabled) && at->is_suspended)
			resume(at);
	}
	traffic_resume_accepting(traffic);
}

void traffic_resume_accepting(struct traffic *traffic)
{
	list_for_each(node, &traffic->acceptors) {
		struct frontend_acceptor *at = list_entry(node, struct frontend_acceptor, link);

		if (unlikely(at->acceptor.is_paused) && !at->is_suspended)
			acceptor_resume(&at->acceptor);
	}
}

static bool has_bind(const struct config *config, const char *text)
{
	for (size_t i = 0; i < config->frontends_n; i++)
		for (size_t j = 0; j < config->frontends[i].binds_n; j++)
			if (str_eq(config->frontends[i].binds[j].text, str_of(text)))
				return true;
	return false;
}

/* Who has connected to a bind that NEXT has no more is still served, as the bind's clients are. */
static void accept_waiting(struct traffic *traffic, const struct config *next)
{
	list_for_each(node, &traffic->acceptors) {
		struct frontend_acceptor *at = list_entry(node, struct frontend_acceptor, link);

		if (!next || !has_bind(next, at->text))
			acceptor_accept_waiting(&at->acceptor);
	}
}

size_t traffic_listeners(struct traffic *traffic, struct traffic_listener *to, size_t max)
{
	size_t n = 0;

	list_for_each(node, &traffic->acceptors) {
		struct frontend_acceptor *at = list_entry(node, struct frontend_acceptor, link);

		if (n < max)
			to[n] = (struct traffic_listener){ at->text, at->acceptor.fd };
		n++;
	}
	return n;
}

void traffic_hand_over(struct traffic *traffic)
{
	traffic->is_draining = traffic->is_handed_over = true;
	accept_waiting(traffic, NULL);
	traffic_stop_listening(traffic, true);
}

int traffic_defer_accept_s(const struct frontend *frontend, const struct bind_conf *bind)
{
	/* In mode tcp the server may be the first to speak. */
	bool is_client_first = frontend->mode == TRAFFIC_HTTP || bind->tls;

	return is_client_first && !bind->is_proxy_required ? DEFER_ACCEPT_S : 0;
}

/* A bind may belong to another frontend now, or say otherwise. */
static void follow_binds(struct traffic *traffic)
{
	list_for_each(node, &traffic->acceptors) {
		struct frontend_acceptor *at = list_entry(node, struct frontend_acceptor, link);
		const struct frontend *frontend = frontend_of(at);

		if (frontend)
			listener_defer_accept(at->acceptor.fd,
					      traffic_defer_accept_s(frontend, at->bind));
	}
}

void traffic_set_config(struct traffic *traffic, struct config *config)
{
	struct config *old = traffic->config;

	if (old)
		accept_waiting(traffic, config);
	traffic->config = config_ref(config);
	config_unref(old);
	if (old)
		traffic_stop_listening(traffic, false);
	follow_binds(traffic);
	traffic_follow_frontends(traffic); /* a bind may have changed hands, a limit be raised */
	upstream_pool_sweep(traffic);
}

void traffic_drain(struct traffic *traffic)
{
	traffic->is_draining = true;
	traffic->is_handed_over = false;
	traffic_stop_listening(traffic, true);
	list_for_each_safe(node, after, &traffic->clients) {
		struct client *client = list_entry(node, struct client, link);

		/* A head that is not complete is no request yet: its sender may try again. */
		if (client->state == CLIENT_H2)
			h2_drain(client);
		else if (!client_carrier(client) && client->state <= CLIENT_IDLE)
			client_close(client);
	}
}

void traffic_close_all(struct traffic *traffic)
{
	traffic->is_draining = true;
	while (!list_is_empty(&traffic->clients)) {
		/* Streams stand behind their carrier. */
		struct client *client = list_entry(traffic->clients.prev, struct client, link);

		if (client_txn(client))
			txn_abort(client->txn, END_SHUTDOWN);
		if (client_tunnel(client))
			tunnel_abort(client->tunnel, END_SHUTDOWN);
		client_close(client);
	}
}
