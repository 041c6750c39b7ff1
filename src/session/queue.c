/* SPDX-License-Identifier: MIT */
/*
 * queue - requests that wait for a slot of a full server.
 *
 * They wait on their own thread, oldest first.  backend_state.waiters has a bit for each thread with
 * requests of that backend waiting; who gives a slot back wakes them all.  A bit is set after the
 * request stands in the list and the list is tried once more then, so that a slot given back in
 * between is not missed.
 */
#include "config.h"

#include <stdlib.h>

#include "session/txn.h"

#define FAILS_MAX 16 /* vain tries per wake-up */
#define SEEN_MAX 8

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

/* Those who find no slot wait again, in the order in which they stood. */
static void try_waiting(struct traffic *traffic)
{
	struct backend_state *seen[SEEN_MAX];
	struct list batch = traffic->waiting;
	unsigned fails = 0, seen_n = 0;

	if (list_is_empty(&traffic->waiting))
		return;
	batch.next->prev = &batch;
	batch.prev->next = &batch;
	list_init(&traffic->waiting);
	while (!list_is_empty(&batch)) {
		struct list *node = batch.next;
		struct txn *txn = list_entry(node, struct txn, wait_link);

		list_remove(node);
		if (fails >= FAILS_MAX) {
			list_push_back(&traffic->waiting, node);
			continue;
		}
		if (seen_n < SEEN_MAX && (!seen_n || seen[seen_n - 1] != txn->backend->state))
			seen[seen_n++] = txn->backend->state;
		txn_set_state(txn, TXN_PICK);
		txn_run(txn); /* may end it; NODE is compared, not looked into */
		fails += traffic->waiting.prev == node;
	}
	while (seen_n)
		clear_waiter(traffic, seen[--seen_n]);
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

void queue_wake(struct traffic *traffic, struct backend_state *backend)
{
	uint64_t waiters = atomic_load_explicit(&backend->waiters, memory_order_acquire);
	struct wake_mail *wake;

	if (likely(!waiters))
		return;
	if (waiters & UINT64_C(1) << traffic->index) {
		loop_soon(&traffic->loop, &traffic->wake_waiting, on_wake_soon);
		waiters &= ~(UINT64_C(1) << traffic->index);
	}
	while (waiters) {
		struct traffic *other = traffic_by_index((unsigned)__builtin_ctzll(waiters));

		waiters &= waiters - 1;
		if (!other)
			continue;
		wake = xmalloc(sizeof(*wake));
		wake->traffic = other;
		loop_post(&other->loop, &wake->mail, on_wake_mail);
	}
}
