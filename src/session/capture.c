/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/capture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "model/server.h"
#include "proto/http1.h"
#include "session/txn.h"
#include "session/upstream.h"

/* Of one proxy and direction; never freed, as proxies are not. */
struct slot {
	struct slot *next; /* (const) */
	uint32_t id;       /* (const) of the proxy */
	bool is_response;  /* (const) */
	pthread_mutex_t lock;
	bool is_filled; /* under lock, like what follows */
	struct capture capture;
};

static struct {
	pthread_mutex_t lock; /* of making slots */
	_Atomic(struct slot *) slots;
	_Atomic uint64_t events;
} captures = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct slot *find(uint32_t id, bool is_response)
{
	struct slot *slot = atomic_load_explicit(&captures.slots, memory_order_acquire);

	while (slot && (slot->id != id || slot->is_response != is_response))
		slot = slot->next;
	return slot;
}

static struct slot *get(uint32_t id, bool is_response)
{
	struct slot *slot = find(id, is_response);

	if (slot)
		return slot;
	pthread_mutex_lock(&captures.lock);
	slot = find(id, is_response);
	if (!slot) {
		slot = xcalloc(1, sizeof(*slot));
		slot->id = id;
		slot->is_response = is_response;
		pthread_mutex_init(&slot->lock, NULL);
		slot->next = atomic_load_explicit(&captures.slots, memory_order_relaxed);
		atomic_store_explicit(&captures.slots, slot, memory_order_release);
	}
	pthread_mutex_unlock(&captures.lock);
	return slot;
}

static void take(struct slot *slot, const struct capture_facts *facts, struct str bytes)
{
	struct capture *capture = &slot->capture;
	uint64_t event = atomic_fetch_add_explicit(&captures.events, 1, memory_order_relaxed);
	size_t kept = bytes.len < CAPTURE_SIZE ? bytes.len : CAPTURE_SIZE;

	if (pthread_mutex_trylock(&slot->lock) != 0)
		return;
	capture->facts = *facts;
	capture->is_response = slot->is_response;
	capture->event = event;
	capture->unix_ms = clock_unix_ms();
	capture->length = bytes.len;
	if (kept)
		memcpy(capture->bytes, bytes.p, kept);
	slot->is_filled = true;
	pthread_mutex_unlock(&slot->lock);
}

void capture_request(const struct capture_facts *facts, struct str bytes)
{
	take(get(facts->frontend->id, false), facts, bytes);
}

void capture_response(const struct capture_facts *facts, struct str bytes)
{
	take(get(facts->backend->id, true), facts, bytes);
}

uint64_t capture_events(void)
{
	return atomic_load_explicit(&captures.events, memory_order_relaxed);
}

uint32_t capture_next(bool is_response, uint32_t after, struct capture *out)
{
	for (;;) {
		struct slot *best = NULL;
		bool is_filled;

		for (struct slot *slot =
			     atomic_load_explicit(&captures.slots, memory_order_acquire);
		     slot; slot = slot->next)
			if (slot->is_response == is_response && slot->id > after &&
			    (!best || slot->id < best->id))
				best = slot;
		if (!best)
			return 0;
		pthread_mutex_lock(&best->lock);
		is_filled = best->is_filled;
		if (is_filled)
			*out = best->capture;
		pthread_mutex_unlock(&best->lock);
		if (is_filled)
			return best->id;
		after = best->id;
	}
}

static bool is_bad(const struct capture *capture, size_t length, struct http_head *head)
{
	struct http1_limits limits = { capture->facts.uri_size_max, capture->facts.head_size_max };
	const char *why;

	return (capture->is_response
			? http1_parse_response(capture->bytes, length, 0, &limits, head, &why)
			: http1_parse_request(capture->bytes, length, 0, &limits, head, &why)) ==
	       PARSE_BAD;
}

/*
 * A beginning of a bad head is incomplete, or bad for the same reason, however it is cut: so the
 * byte is found by halving, here, where it costs no traffic thread anything.
 */
size_t capture_error_at(const struct capture *capture)
{
	size_t kept = capture->length < CAPTURE_SIZE ? capture->length : CAPTURE_SIZE;
	size_t good = 0, bad = kept;
	struct http_head *head;

	if (capture->facts.error_at != CAPTURE_HEAD || kept == 0)
		return capture->facts.error_at == CAPTURE_HEAD ? 0 : capture->facts.error_at;
	head = xmalloc(sizeof(*head));
	while (bad - good > 1) {
		size_t middle = good + (bad - good) / 2;

		if (is_bad(capture, middle, head))
			bad = middle;
		else
			good = middle;
	}
	free(head);
	return bad - 1;
}

void capture_clear(void)
{
	for (struct slot *slot = atomic_load_explicit(&captures.slots, memory_order_acquire); slot;
	     slot = slot->next) {
		pthread_mutex_lock(&slot->lock);
		slot->is_filled = false;
		memset(&slot->capture, 0, sizeof(slot->capture)); /* there may be secrets in it */
		pthread_mutex_unlock(&slot->lock);
	}
	atomic_store_explicit(&captures.events, 0, memory_order_relaxed);
}

void txn_capture(const struct txn *txn, bool is_response, const char *why)
{
	const struct global_conf *global = &txn->client->frontend->config->global;
	const struct body *body = is_response ? &txn->response : &txn->request;
	bool is_head = is_response && txn->state == TXN_RSP_HEAD;
	struct capture_facts facts = {
		.frontend = txn->client->frontend->state,
		.backend = txn->backend->state,
		.server = txn->server,
		.source = txn->client->source,
		.why = why,
		.head_size_max = global->head_size_max,
		.offset = is_head ? 0 : body->bytes,
		.error_at = is_head ? CAPTURE_HEAD : body->bad_at,
	};

	if (is_response)
		capture_response(&facts, buf_str(&txn->upstream->in));
	else
		capture_request(&facts, buf_str(&txn->client->in));
}
