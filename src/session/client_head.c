/* SPDX-License-Identifier: MIT */
/*
 * client_head - reads a client's next request head and starts a txn on it.
 */
#include "config.h"

#include "session/client.h"

#include "balance/stick_hint.h"
#include "session/capture.h"
#include "session/txn.h"

#define SEEN_MAX  UINT16_MAX
#define TURNS_MAX 64 /* reads and heads of one client in one call */

static const struct bind_conf *bind_of(const struct frontend *frontend, struct str text)
{
	for (size_t i = 0; i < frontend->binds_n; i++)
		if (str_eq(frontend->binds[i].text, text))
			return &frontend->binds[i];
	return NULL;
}

/* Those who wait now; whoever has still more takes his place behind the others, for the next turn.
 */
static void run_pipelined(struct soon *soon)
{
	struct traffic *traffic = container_of(soon, struct traffic, next_pipelined);
	struct list batch;

	check_magic(traffic, TRAFFIC_MAGIC);
	if (list_is_empty(&traffic->pipelined))
		return;
	list_insert_before(&traffic->pipelined, &batch);
	list_remove(&traffic->pipelined);
	while (!list_is_empty(&batch)) {
		struct client *client = list_entry(batch.next, struct client, turn);

		check_magic(client, CLIENT_MAGIC);
		list_remove(&client->turn);
		client_read_head(client);
	}
}

void client_read_head_soon(struct client *client)
{
	struct traffic *traffic = client->traffic;

	bug_on(client->state != CLIENT_IDLE);
	if (list_is_linked(&client->turn))
		return;
	list_push_back(&traffic->pipelined, &client->turn);
	loop_soon(&traffic->loop, &traffic->next_pipelined, run_pipelined);
}

/* The config in force may have changed since the last request. */
void client_renew_config(struct client *client)
{
	struct config *config = client->traffic->config;
	const struct frontend *frontend;
	const struct bind_conf *bind;

	if (likely(client->frontend->config == config))
		return;
	frontend = config_frontend(config, str_of(client->frontend->state->name));
	if (!frontend || frontend->mode != TRAFFIC_HTTP)
		return; /* it goes on with what it had */
	bind = bind_of(frontend, client->bind->text);
	if (!bind)
		return;
	config_unref(client->frontend->config);
	client->frontend = frontend;
	(void)config_ref(config);
	client->bind = bind;
}

/* 0, or the milliseconds that a request head may still take. */
void client_wait_head(struct client *client)
{
	int64_t limit_ms = client->frontend->timeouts.client_head_ms;
	int64_t waited_ms = clock_ms() - client->since_ms;

	if (!buf_length(&client->in) && client->requests) {
		client_set_timer(client, client->frontend->timeouts.keep_alive_ms);
		return;
	}
	/* From the accept for a first head, from its first byte for a later one. */
	client_set_timer(client, waited_ms < limit_ms ? limit_ms - waited_ms : 1);
}

void client_refuse(struct client *client, unsigned status, const char *why)
{
	count(&client->frontend->state->counters, frontend_request_errors);
	client_set_state(client, CLIENT_BUSY);
	txn_start_refused(client, status, why);
}

static void client_capture_head(const struct client *client, const char *why)
{
	const struct global_conf *global = &client->frontend->config->global;
	struct capture_facts facts = {
		.frontend = client->frontend->state,
		.source = client->source,
		.why = why,
		.uri_size_max = global->uri_size_max,
		.head_size_max = global->head_size_max,
		.error_at = CAPTURE_HEAD,
	};

	capture_request(&facts, buf_str(&client->in));
}

static void client_parse_head(struct client *client)
{
	struct traffic *traffic = client->traffic;
	struct global_conf *global = &client->frontend->config->global;
	struct http1_limits limits = { global->uri_size_max, global->head_size_max };
	struct http_head *head = slab_get(&traffic->head_slab);
	size_t length = buf_length(&client->in);
	const char *why = NULL;

	if (likely(!client->head_seen))
		stick_hint_begin(client->frontend->backend, buf_str(&client->in));
	switch (http1_parse_request(buf_bytes(&client->in), length, client->head_seen, &limits,
				    head, &why)) {
	case PARSE_DONE:
		stick_hint_go_on();
		client->head_seen = 0;
		client_set_state(client, CLIENT_BUSY);
		txn_start(client, head);
		break;
	case PARSE_MORE:
		slab_put(&traffic->head_slab, head);
		client->head_seen = (uint16_t)(length < SEEN_MAX ? length : SEEN_MAX);
		break;
	case PARSE_BAD:
		slab_put(&traffic->head_slab, head);
		client_capture_head(client, why);
		client_refuse(client, http1_status_of(why), why);
		break;
	}
	stick_hint_end();
}

void client_read_head(struct client *client)
{
	for (unsigned heads = 0; client->state == CLIENT_IDLE; heads++) {
		bool was_empty = !buf_length(&client->in);
		enum io io;

		if (heads >
		    TURNS_MAX) { /* requests that we answer ourselves: others have their turn */
			client_read_head_soon(client);
			return;
		}
		if (!was_empty && buf_length(&client->in) > client->head_seen) {
			client_renew_config(client);
			client_parse_head(client);
			continue;
		}
		if (!client->conn.can_read && !client->conn.is_eof)
			break;
		buf_reserve(&client->in, was_empty ? BUF_SIZE : 1024);
		io = conn_recv(&client->conn, &client->in, buf_room(&client->in));
		if (io == IO_OK) {
			if (was_empty && client->requests)
				client->since_ms = clock_ms();
			continue;
		}
		if (was_empty)
			buf_release(&client->in);
		if (io == IO_AGAIN)
			break;
		client_close(client);
		return;
	}
	if (client->state == CLIENT_IDLE) {
		client_wait_head(client);
		if (conn_watch(&client->traffic->loop, &client->conn) != 0)
			client_close(client);
	}
}
