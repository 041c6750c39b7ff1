/* SPDX-License-Identifier: MIT */
/*
 * queue - requests that wait for a slot of a full server.
 *
 * They wait on their own thread in lines: one for each server that stickiness names, and one for
 * each backend whose servers are all full.  Within a line the oldest comes first, and when it finds
 * no slot the others of its line would find none either: so a slot that is given back costs a try
 * for each line, however many wait.
 *
 * backend_state.waiters has a bit for each thread with a line of that backend; who gives a slot
 * back wakes them all.  The lines are tried once more after a bit was set, so that a slot given
 * back in between is not missed.
 */
#include "config.h"

#include <stdlib.h>

#include "session/txn.h"

/* Retries at the head of a line that may not have the server that is free, passed over in a round.
 */
#define PASSED_MAX 8

struct wait_line {
	struct list link;              /* traffic->lines */
	struct list waiting;           /* struct txn.wait_link, oldest first; never empty */
	const void *want;              /* the server, or the backend_state */
	struct backend_state *backend; /* (view) */
};

struct wake_mail {
	struct mail mail;
	struct traffic *traffic;
};

/* What a request wants a slot of: one server, or any of its backend. */
static const void *want_of(const struct txn *txn)
{
	if (txn->stick.result == STICK_TO)
		return txn->stick.server;
	return txn->backend->state;
}

static struct wait_line *find_line(struct traffic *traffic, const void *want)
{
	list_for_each(at, &traffic->lines) {
		struct wait_line *line = list_entry(at, struct wait_line, link);

		if (line->want == want)
			return line;
	}
	return NULL;
}

static bool has_line(struct traffic *traffic, const struct backend_state *backend)
{
	list_for_each(at, &traffic->lines)
		if (list_entry(at, struct wait_line, link)->backend == backend)
			return true;
	return false;
}

/* The line may go with the last who stands in it: traffic->line_tried is NULL then. */
static void try_line(struct traffic *traffic, struct wait_line *line)
{
	unsigned passed = 0;

	traffic->line_tried = line;
	while (traffic->line_tried == line) {
		struct list *node = line->waiting.next;
		struct txn *txn = list_entry(node, struct txn, wait_link);
		bool is_retry = txn->lb.tried_n > 0;

		txn_set_state(txn, TXN_PICK);
		txn_run(txn); /* may end it; NODE is compared, not looked into */
		if (traffic->line_tried != line || line->waiting.next != node)
			continue;
		if (!is_retry || passed++ == PASSED_MAX)
			break;
		list_remove(node);
		list_push_back(&line->waiting, node);
	}
	traffic->line_tried = NULL;
}

static void try_waiting(struct traffic *traffic)
{
	/* Lines may come and go meanwhile; new ones stand at the end. */
	for (uint32_t n = traffic->lines_n; n-- && !list_is_empty(&traffic->lines);) {
		struct wait_line *line = list_entry(traffic->lines.next, struct wait_line, link);

		list_remove(&line->link);
		list_push_back(&traffic->lines, &line->link);
		try_line(traffic, line);
	}
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

static struct wait_line *new_line(struct traffic *traffic, const struct txn *txn)
{
	struct wait_line *line = xmalloc(sizeof(*line));

	*line = (struct wait_line){ .want = want_of(txn), .backend = txn->backend->state };
	list_init(&line->waiting);
	list_push_back(&traffic->lines, &line->link);
	traffic->lines_n++;
	return line;
}

void queue_wait(struct txn *txn)
{
	struct traffic *traffic = txn->traffic;
	struct backend_state *backend = txn->backend->state;
	uint64_t bit = UINT64_C(1) << traffic->index;
	struct wait_line *line;

	if (txn->is_queued && txn->line->want == want_of(txn))
		return; /* it keeps its place */
	queue_leave(txn);
	line = find_line(traffic, want_of(txn));
	if (!line)
		line = new_line(traffic, txn);
	list_push_back(&line->waiting, &txn->wait_link);
	txn->line = line;
	txn->is_queued = true;
	count(&backend->counters, backend_queued_now);
	if (!(atomic_fetch_or(&backend->waiters, bit) & bit))
		loop_soon(&traffic->loop, &traffic->wake_waiting, on_wake_soon);
}

void queue_leave(struct txn *txn)
{
	struct traffic *traffic = txn->traffic;
	struct wait_line *line = txn->line;

	if (!txn->is_queued)
		return;
	txn->is_queued = false;
	txn->line = NULL;
	list_remove(&txn->wait_link);
	count_down(&line->backend->counters, backend_queued_now);
	if (!list_is_empty(&line->waiting))
		return;
	if (traffic->line_tried == line)
		traffic->line_tried = NULL;
	list_remove(&line->link);
	traffic->lines_n--;
	if (!has_line(traffic, line->backend))
		atomic_fetch_and(&line->backend->waiters, ~(UINT64_C(1) << traffic->index));
	free(line);
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
