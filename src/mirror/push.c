/* SPDX-License-Identifier: MIT */
/*
 * Always true: proposals[head .. head + n) are under way, oldest first; Redis answers in that order
 * and each exactly once, so that an answer's is the first.
 */
#include "config.h"

#include "mirror/push.h"

#include <stdio.h>
#include <string.h>

#include "balance/lb.h"
#include "base/log.h"
#include "mirror/ask.h"
#include "mirror/scripts.h"
#include "mirror/tables.h"

#define COLLECT_N      128u
#define ROOM_KEPT      256u /* commands that are left for others */
#define REFRESH_MAX    65536u
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS SEC(5)
#define RATE_EVERY_MS  20
#define VERSION_SIZE   17

struct proposal {
	struct table *table; /* (view) */
	struct table_record record;
	bool is_later; /* of the pass that takes what nobody waits for */
};

static struct {
	struct loop *loop;
	struct redis *redis; /* (view) NULL = away */
	struct proposal proposals[PUSH_WINDOW];
	uint32_t head, n;
	uint32_t later_n;  /* of n */
	size_t next_table; /* whose turn it is */
	struct mail mail;
	atomic_bool is_posted;
	struct soon soon;
	struct timer second, retry, refill, batch;
	int64_t woken_at_ms; /* when changes of requests were last collected for their own sake */
	int64_t backoff_ms;  /* 0 = Redis takes what it gets */
	bool is_all;         /* after push_all(): no faster than rate */
	uint32_t rate, rate_left;
	char prefix[WIRE_KEY_MAX], node[WIRE_NODE_MAX + 1];
	char stream[WIRE_KEY_MAX], number[WIRE_KEY_MAX], length[16];
	size_t stream_n, number_n;
	struct push_stats stats;
} push;

static void pump(void);
static void on_answer(void *arg, const redisReply *reply);

static struct proposal *newest(void)
{
	return &push.proposals[(push.head + push.n - 1) % PUSH_WINDOW];
}

/* False: the link takes no more. */
static bool send_proposal(struct table *table, const struct table_record *record, bool is_later)
{
	char key[WIRE_KEY_MAX], value[WIRE_VALUE_MAX], version[VERSION_SIZE], left[24];
	char hex[WIRE_HEX_MAX], letter = wire_change_letter(record->change);
	struct str name = str_of(table_name(table));
	size_t key_n = wire_key_write(key, str_of(push.prefix), name, &record->key), value_n;
	struct wire_value said;
	int rc;

	tables_value(record, &said);
	value_n = wire_value_write(value, &said);
	if (!key_n || !value_n) {
		/* A server's name that cannot be told: the entry stays this node's own. */
		push.stats.errors++;
		table_settle(table, record, NULL);
		return true;
	}
	snprintf(version, sizeof(version), "%016llx", (unsigned long long)record->version);
	snprintf(left, sizeof(left), "%lld", (long long)record->left_ms);
	const struct str words[] = {
		{ key, key_n },
		{ push.stream, push.stream_n },
		{ push.number, push.number_n },
		{ &letter, 1 },
		str_of(version),
		{ value, value_n },
		str_of(left),
		str_of(push.length),
		str_of(push.node),
		name,
		{ hex, wire_hex_write(hex, &record->key) },
	};

	rc = script_call(SCRIPT_CHANGE, push.redis, on_answer, NULL, 3, ARRAY_N(words), words);
	if (rc != 0) {
		table_unsettle(table, record, false);
		return false;
	}
	push.n++;
	push.later_n += is_later;
	*newest() = (struct proposal){ .table = table, .record = *record, .is_later = is_later };
	return true;
}

/*
 * Of WINDOW, which N fill.  Until Redis has shown that it takes one, one alone is under way.  The
 * two windows are apart: neither kind keeps the other from going on.
 */
static uint32_t room(uint32_t window, uint32_t n)
{
	size_t link;

	if (push.backoff_ms || !script_is_known(SCRIPT_CHANGE)) {
		window = 1;
		n = push.n;
	}
	if (!push.redis || n >= window || timer_is_set(&push.retry))
		return 0;
	link = redis_room(push.redis);
	window -= n;
	if (link < ROOM_KEPT + window)
		window = link > ROOM_KEPT ? (uint32_t)(link - ROOM_KEPT) : 0;
	return window;
}

static uint32_t room_urgent(void)
{
	return room(PUSH_WINDOW - PUSH_WINDOW_LATER, push.n - push.later_n);
}

static uint32_t room_later(void)
{
	uint32_t window = room(PUSH_WINDOW_LATER, push.later_n);

	return push.is_all && window > push.rate_left ? push.rate_left : window;
}

/* False: the link takes no more. */
static bool push_table(struct table *table, bool is_later, uint32_t max, uint32_t *sent)
{
	struct table_record records[COLLECT_N];
	uint32_t most = max < COLLECT_N ? max : COLLECT_N;
	uint32_t n = is_later ? table_collect(table, most, records)
			      : table_collect_urgent(table, most, records);
	bool ok = true;

	for (uint32_t i = 0; i < n; i++)
		if (ok)
			ok = send_proposal(table, &records[i], is_later);
		else
			table_unsettle(table, &records[i], false);
	*sent = n;
	return ok;
}

/* What somebody may wait for. */
static bool pump_urgent(void)
{
	uint32_t max, sent;

	for (size_t empty = 0; empty < tables_n() && (max = room_urgent()) > 0;) {
		push.next_table = (push.next_table + 1) % tables_n();
		if (!push_table(tables_at(push.next_table), false, max, &sent))
			return false;
		empty = sent ? 0 : empty + 1;
	}
	return true;
}

static void pump(void)
{
	uint32_t max, sent;
	size_t empty = 0;

	if (!pump_urgent())
		return; /* goes on with the next answer */
	while (empty < tables_n() && (max = room_later()) > 0) {
		push.next_table = (push.next_table + 1) % tables_n();
		if (!push_table(tables_at(push.next_table), true, max, &sent))
			return;
		empty = sent ? 0 : empty + 1;
		if (push.is_all)
			push.rate_left -= sent < push.rate_left ? sent : push.rate_left;
	}
	if (empty && empty >= tables_n())
		push.is_all = false;
	else if (push.is_all && !push.rate_left && !timer_is_set(&push.refill))
		loop_timer_in(push.loop, &push.refill, RATE_EVERY_MS);
}

static void on_refill(struct timer *timer)
{
	(void)timer;
	push.rate_left = (uint32_t)((uint64_t)push.rate * RATE_EVERY_MS / 1000);
	if (!push.rate_left)
		push.rate_left = 1;
	pump();
}

static void on_soon(struct soon *soon)
{
	(void)soon;
	pump();
}

void push_soon(void)
{
	if (push.redis)
		loop_soon(push.loop, &push.soon, on_soon);
}

static void wake(void)
{
	push.woken_at_ms = clock_ms();
	/* Before the look: what becomes dirty after it posts again. */
	atomic_store(&push.is_posted, false);
	pump();
}

static void on_batch(struct timer *timer)
{
	(void)timer;
	wake();
}

/* A change that comes alone goes at once; of many, all of a millisecond together. */
static void on_mail(struct mail *mail)
{
	(void)mail;
	if (clock_ms() - push.woken_at_ms >= PUSH_BATCH_MS)
		wake();
	else
		loop_timer_in(push.loop, &push.batch, PUSH_BATCH_MS);
}

static void on_dirty(struct table *table)
{
	(void)table;
	if (!atomic_exchange(&push.is_posted, true))
		loop_post(push.loop, &push.mail, on_mail);
}

static void on_refused(const char *why)
{
	push.stats.errors++;
	if (!push.backoff_ms) {
		snprintf(push.stats.why, sizeof(push.stats.why), "%s", why);
		log_event(LOG_LEVEL_WARN, "mirror_push_refused",
			  LOG_FIELDS({ "reason", push.stats.why, 0 }),
			  "mirror: Redis does not take changes: %s; they wait, and are tried again",
			  push.stats.why);
		push.backoff_ms = BACKOFF_MIN_MS;
	} else if (!push.n) {
		push.backoff_ms =
			push.backoff_ms * 2 < BACKOFF_MAX_MS ? push.backoff_ms * 2 : BACKOFF_MAX_MS;
	}
	/* Half of it is by chance. */
	loop_timer_in(push.loop, &push.retry,
		      push.backoff_ms / 2 +
			      (int64_t)(lb_random() % ((uint64_t)push.backoff_ms / 2 + 1)));
}

static void on_accepted(void)
{
	if (!push.backoff_ms)
		return;
	push.backoff_ms = 0;
	push.stats.why[0] = '\0';
	timer_stop(&push.retry);
	log_event(LOG_LEVEL_INFO, "mirror_push_accepted", NULL,
		  "mirror: Redis takes changes again");
}

/* {1, NUMBER}, {0, VALUE, PTTL}, {2}; false: none of them. */
static bool settle(struct proposal *proposal, const redisReply *reply)
{
	redisReply **parts = reply->element;
	struct table_record stored;
	struct wire_value value;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 ||
	    parts[0]->type != REDIS_REPLY_INTEGER)
		return false;
	if (parts[0]->integer == 2) {
		table_unsettle(proposal->table, &proposal->record, true);
		return true;
	}
	if (parts[0]->integer == 1 && reply->elements == 2 &&
	    parts[1]->type == REDIS_REPLY_INTEGER && parts[1]->integer >= 0) {
		if ((uint64_t)parts[1]->integer > push.stats.number)
			push.stats.number = (uint64_t)parts[1]->integer;
		push.stats.pushed++;
		table_settle(proposal->table, &proposal->record, NULL);
		ask_on_settled(proposal->table, &proposal->record.key);
		return true;
	}
	if (parts[0]->integer != 0 || reply->elements != 3 ||
	    parts[1]->type != REDIS_REPLY_STRING || parts[2]->type != REDIS_REPLY_INTEGER ||
	    !wire_value_read((struct str){ parts[1]->str, parts[1]->len }, &value) ||
	    !tables_record(proposal->table, &proposal->record.key, &value,
			   parts[2]->integer < 0 ? (int64_t)value.idle_ms : parts[2]->integer,
			   &stored))
		return false;
	push.stats.rejected++;
	if (value.state == RECORD_LIVE && stored.server != proposal->record.server)
		push.stats.conflicts++;
	table_settle(proposal->table, &proposal->record, &stored);
	ask_on_settled(proposal->table, &proposal->record.key);
	return true;
}

static void on_answer(void *arg, const redisReply *reply)
{
	struct proposal proposal = push.proposals[push.head];

	(void)arg;
	bug_on(push.n == 0);
	push.head = (push.head + 1) % PUSH_WINDOW;
	push.n--;
	push.later_n -= proposal.is_later;
	if (!reply) {
		table_unsettle(proposal.table, &proposal.record, false);
		return;
	}
	if (script_is_missing(SCRIPT_CHANGE, reply)) {
		table_unsettle(proposal.table, &proposal.record, false);
	} else if (reply->type == REDIS_REPLY_ERROR) {
		table_unsettle(proposal.table, &proposal.record, false);
		ask_on_failed(proposal.table, &proposal.record.key);
		/* Redis 6 and older wrap the error of a command that a script has called. */
		if (strstr(reply->str, "READONLY") && push.redis)
			redis_drop(push.redis, "READONLY: it is a replica now");
		else
			on_refused(reply->str);
	} else if (settle(&proposal, reply)) {
		on_accepted();
	} else {
		/* Somebody else writes there: the entry stays as it is here, and is not told. */
		push.stats.errors++;
		table_settle(proposal.table, &proposal.record, NULL);
		ask_on_failed(proposal.table, &proposal.record.key);
	}
	if (!timer_is_set(&push.batch))
		push_soon();
}

static void on_retry(struct timer *timer)
{
	(void)timer;
	pump();
}

static void on_second(struct timer *timer)
{
	loop_timer_in(push.loop, timer, SEC(1));
	for (size_t i = 0; push.redis && i < tables_n(); i++)
		table_refresh_open(tables_at(i), REFRESH_MAX);
	pump();
}

void push_init(struct loop *loop)
{
	push.loop = loop;
	timer_init(&push.second, on_second);
	timer_init(&push.retry, on_retry);
	timer_init(&push.refill, on_refill);
	timer_init(&push.batch, on_batch);
}

void push_apply(struct str prefix, struct str node, uint32_t stream_length)
{
	snprintf(push.prefix, sizeof(push.prefix), "%.*s", STR_ARG(prefix));
	snprintf(push.node, sizeof(push.node), "%.*s", STR_ARG(node));
	snprintf(push.length, sizeof(push.length), "%u", stream_length);
	push.stream_n = wire_name_write(push.stream, prefix, 's');
	push.number_n = wire_name_write(push.number, prefix, 'q');
	atomic_store(&table_dirty_hook, on_dirty);
}

void push_up(struct redis *redis)
{
	push.redis = redis;
	loop_timer_in(push.loop, &push.second, SEC(1));
	push_soon();
}

void push_down(void)
{
	push.redis = NULL;
	timer_stop(&push.second);
	timer_stop(&push.retry);
	timer_stop(&push.refill);
	push.backoff_ms = 0;
	push.stats.why[0] = '\0';
}

void push_all(uint32_t rate)
{
	push.is_all = true;
	push.rate = rate;
	for (size_t i = 0; i < tables_n(); i++)
		table_propose_all(tables_at(i));
	if (push.redis && !timer_is_set(&push.refill))
		loop_timer_in(push.loop, &push.refill, RATE_EVERY_MS);
}

bool push_is_idle(void)
{
	return push.n == 0 && tables_dirty() == 0;
}

const struct push_stats *push_stats(void)
{
	push.stats.waiting = push.n;
	return &push.stats;
}

void push_forget_number(void)
{
	push.stats.number = 0;
}

void push_fini(void)
{
	push_down();
	atomic_store(&table_dirty_hook, NULL);
	if (push.loop) {
		loop_soon_cancel(&push.soon);
		timer_fini(&push.loop->wheel, &push.second);
		timer_fini(&push.loop->wheel, &push.retry);
		timer_fini(&push.loop->wheel, &push.refill);
		timer_fini(&push.loop->wheel, &push.batch);
	}
}
