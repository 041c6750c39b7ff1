/* SPDX-License-Identifier: MIT */
/*
 * queue - requests that wait for a slot of a full server.
 *
 * They wait on their own thread, oldest first.  backend_state.waiters has a bit for each thread
 * with requests of that backend waiting; who gives a slot back wakes them all.  A bit is set after
 * the request stands in the list and the list is tried once more then, so that a slot given back in
 * between is not missed.
 */
#include "config.h"

#include <stdlib.h>

#include "session/txn.h"

/* Servers and backends found full in one round; those waiting for further ones are tried each. */
#define FULL_MAX 16

static void on_wake_soon(struct soon *soon);

struct wake_mail {
	struct mail mail;
	struct traffic *traffic;
};

static bool has_waiting(const struct traffic *traffic, const struct backend_state *backend)
{
	list_for_each(at, &traffic->waiting)
		if (list_entry(at, struct txn, wait_link)->backend->state == backend)
			return true;
	return false;
}

static void clear_waiter(const struct traffic *traffic, struct backend_state *backend)
{
	if (!has_waiting(traffic, backend))
		atomic_fetch_and(&backend->waiters, ~(UINT64_C(1) << traffic->index));
}

/* What a waiting request wants a slot of: one server, or any of its backend. */
static const void *want_of(const struct txn *txn)
{
	if (txn->stick.result == STICK_TO)
		return txn->stick.server;
	return txn->backend->state;
}

static bool is_among(const void *want, const void *const *full, unsigned full_n)
{
	for (unsigned i = 0; i < full_n; i++)
		if (full[i] == want)
			return true;
	return false;
}

/* The bits as the list stands; the list is tried again if somebody may have missed one of them. */
static void set_waiters(struct traffic *traffic)
{
	uint64_t bit = UINT64_C(1) << traffic->index;
	bool was_missed = false;

	list_for_each(at, &traffic->waiting) {
		struct backend_state *backend =
			list_entry(at, struct txn, wait_link)->backend->state;

		if (atomic_load_explicit(&backend->waiters, memory_order_relaxed) & bit)
			continue;
		atomic_fetch_or(&backend->waiters, bit);
		was_missed = true;
	}
	if (was_missed)
		loop_soon(&traffic->loop, &traffic->wake_waiting, on_wake_soon);
}

/*
 * Oldest first.  Those who find no slot wait again in the order in which they stood; the others who
 * want a slot of the same are not tried in this round.
 */
static void try_waiting(struct traffic *traffic)
{
	const void *full[FULL_MAX];
	unsigned full_n = 0;
	struct list batch;

	if (list_is_empty(&traffic->waiting))
		return;
	list_insert_before(&traffic->waiting, &batch);
	list_remove(&traffic->waiting);
	while (!list_is_empty(&batch)) {
		struct list *node = batch.next;
		struct txn *txn = list_entry(node, struct txn, wait_link);
		const void *want = want_of(txn);
		bool is_retry =
			txn->lb.tried_n > 0; /* may not have what others of its backend may */

		list_remove(node);
		if (is_among(want, full, full_n)) {
			list_push_back(&traffic->waiting, node);
			continue;
		}
		txn_set_state(txn, TXN_PICK);
		txn_run(txn); /* may end it; NODE is compared, not looked into */
		if (traffic->waiting.prev == node && !is_retry && full_n < FULL_MAX)
			full[full_n++] = want;
	}
	set_waiters(traffic);
}

static void on_wake_soon(struct soon *soon)
{
	try_waiting(container_of(soon, struct traffic, wake_waiting));
}

static void on_wake_mail(struct mail *mail)
{
	struct wake_mail *wake = container_of(mail, struct wake_mail, mail);

	try_waiting(wake->traffic);
	free(wake);
}

void queue_wait(struct txn *txn)
{
	struct backend_state *backend = txn->backend->state;
	uint64_t bit = UINT64_C(1) << txn->traffic->index;

	list_push_back(&txn->traffic->waiting, &txn->wait_link);
	if (!txn->is_queued)
		count(&backend->counters, backend_queued_now);
	txn->is_queued = true;
	if (!(atomic_fetch_or(&backend->waiters, bit) & bit))
		loop_soon(&txn->traffic->loop, &txn->traffic->wake_waiting, on_wake_soon);
}

void queue_leave(struct txn *txn)
{
	if (!txn->is_queued)
		return;
	txn->is_queued = false;
	list_remove(&txn->wait_link);
	count_down(&txn->backend->state->counters, backend_queued_now);
	clear_waiter(txn->traffic, txn->backend->state);
}

static void post_wake(uint64_t waiters)
{
	for (; waiters; waiters &= waiters - 1) {
		struct traffic *other = traffic_by_index((unsigned)__builtin_ctzll(waiters));
		struct wake_mail *wake;

		if (!other)
			continue;
		wake = xmalloc(sizeof(*wake));
		wake->traffic = other;
		loop_post(&other->loop, &wake->mail, on_wake_mail);
	}
}

void queue_wake_all(struct backend_state *backend)
{
	post_wake(atomic_load(&backend->waiters));
}

void queue_wake(struct traffic *traffic, struct backend_state *backend)
{
	uint64_t waiters = atomic_load(&backend->waiters);
	uint64_t own = UINT64_C(1) << traffic->index;

	if (likely(!waiters))
		return;
	if (waiters & own)
		loop_soon(&traffic->loop, &traffic->wake_waiting, on_wake_soon);
	post_wake(waiters & ~own);
}
