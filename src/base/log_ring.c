/* SPDX-License-Identifier: MIT */
/*
 * Always true:
 *   1. A ring's head is written by its thread alone, its tail by the writer alone; both only grow.
 *   2. The list of rings is changed under rings_lock; the writer holds it while it copies records
 *      out, never while it writes to a target.
 */
#include "config.h"

#include "base/log_ring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define RING_SIZE (256u * 1024)

struct ring {
	struct ring *next;
	_Atomic uint64_t head; /* bytes ever put in; producer */
	_Atomic uint64_t tail; /* bytes ever taken out; writer */
	atomic_bool is_orphan; /* its thread has ended */
	char bytes[RING_SIZE];
};

/* Stands before each record's text in a ring. */
struct ring_head {
	uint32_t size; /* of the text */
	uint8_t level, kind, style;
	uint8_t unused;
	int64_t unix_ms;
};

static struct {
	pthread_mutex_t lock;
	struct ring *rings;       /* (own) */
	pthread_key_t thread_end; /* runs on_thread_end() */
	pthread_once_t once;
} state = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.once = PTHREAD_ONCE_INIT,
};

static __thread struct ring *own_ring;

static void on_thread_end(void *ring)
{
	atomic_store(&((struct ring *)ring)->is_orphan, true);
	own_ring = NULL;
}

static void make_key(void)
{
	bug_on(pthread_key_create(&state.thread_end, on_thread_end) != 0);
}

static struct ring *ring_get(void)
{
	struct ring *ring = own_ring;

	if (likely(ring != NULL))
		return ring;
	pthread_once(&state.once, make_key);
	ring = xcalloc(1, sizeof(*ring));
	bug_on(pthread_setspecific(state.thread_end, ring) != 0);
	pthread_mutex_lock(&state.lock);
	ring->next = state.rings;
	state.rings = ring;
	pthread_mutex_unlock(&state.lock);
	own_ring = ring;
	return ring;
}

static void ring_put(struct ring *ring, uint64_t at, const void *bytes, size_t size)
{
	size_t offset = at % RING_SIZE;
	size_t first = size < RING_SIZE - offset ? size : RING_SIZE - offset;

	memcpy(ring->bytes + offset, bytes, first);
	memcpy(ring->bytes, (const char *)bytes + first, size - first);
}

static void ring_take(const struct ring *ring, uint64_t at, void *bytes, size_t size)
{
	size_t offset = at % RING_SIZE;
	size_t first = size < RING_SIZE - offset ? size : RING_SIZE - offset;

	memcpy(bytes, ring->bytes + offset, first);
	memcpy((char *)bytes + first, ring->bytes, size - first);
}

bool log_ring_put(const struct log_record *record)
{
	struct ring_head head = {
		.size = (uint32_t)record->text.len,
		.level = (uint8_t)record->level,
		.kind = (uint8_t)record->kind,
		.style = (uint8_t)record->style,
		.unix_ms = record->unix_ms,
	};
	struct ring *ring = ring_get();
	uint64_t at = atomic_load_explicit(&ring->head, memory_order_relaxed);

	if (sizeof(head) + head.size >
	    RING_SIZE - (at - atomic_load_explicit(&ring->tail, memory_order_acquire)))
		return false;
	ring_put(ring, at, &head, sizeof(head));
	ring_put(ring, at + sizeof(head), record->text.p, head.size);
	atomic_store(&ring->head, at + sizeof(head) + head.size);
	return true;
}

/* False when TAKE wanted no more. */
static bool drain_ring(struct ring *ring, bool (*take)(const struct log_record *record))
{
	static char text[LOG_LINE_MAX]; /* the writer's alone */
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t head = atomic_load(&ring->head);

	while (tail != head) {
		struct ring_head at;
		struct log_record record;

		ring_take(ring, tail, &at, sizeof(at));
		ring_take(ring, tail + sizeof(at), text, at.size);
		record = (struct log_record){ .level = at.level,
					      .kind = at.kind,
					      .style = at.style,
					      .unix_ms = at.unix_ms,
					      .text = { text, at.size } };
		if (!take(&record))
			return false;
		tail += sizeof(at) + at.size;
		atomic_store_explicit(&ring->tail, tail, memory_order_release);
	}
	return true;
}

void log_ring_take(bool (*take)(const struct log_record *record))
{
	struct ring **at = &state.rings;
	bool goes_on = true;

	pthread_mutex_lock(&state.lock);
	while (*at && goes_on) {
		struct ring *ring = *at;
		bool is_orphan = atomic_load(&ring->is_orphan); /* read before its last records */

		goes_on = drain_ring(ring, take);
		if (is_orphan && goes_on) {
			*at = ring->next;
			free(ring);
		} else {
			at = &ring->next;
		}
	}
	pthread_mutex_unlock(&state.lock);
}

bool log_ring_has_records(void)
{
	bool has = false;

	pthread_mutex_lock(&state.lock);
	for (struct ring *ring = state.rings; ring && !has; ring = ring->next)
		has = atomic_load(&ring->head) !=
			      atomic_load_explicit(&ring->tail, memory_order_relaxed) ||
		      atomic_load(&ring->is_orphan);
	pthread_mutex_unlock(&state.lock);
	return has;
}
