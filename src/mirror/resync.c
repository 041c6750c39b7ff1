/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/resync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mirror/intake.h"
#include "mirror/scripts.h"
#include "mirror/wire.h"

#define SCAN_COUNT  "1000"
#define BATCH_N     256u
#define BATCHES_MAX 8u /* under way before the scan goes on */
#define CURSOR_SIZE 24

_Static_assert(BATCH_N <= SCRIPT_WORDS_MAX, "one call reads a batch");

/* Keys whose values have been asked for. */
struct batch {
	uint64_t epoch;
	size_t n;
	struct str keys[BATCH_N]; /* (view) of bytes */
	char bytes[];
};

static struct {
	struct resync_options options;
	struct redis *redis; /* (view) NULL = none runs */
	uint64_t epoch;      /* moved when answers under way mean nothing any more */
	uint32_t rate;
	unsigned batches; /* of this epoch, under way */
	bool is_scanning; /* a SCAN is under way, or waits for its time */
	bool is_scanned;  /* to the end */
	char cursor[CURSOR_SIZE];
	struct timer timer;
	uint64_t keys;
	int64_t started_ms, took_ms;
	char prefix[WIRE_KEY_MAX], pattern[WIRE_KEY_MAX];
	size_t pattern_n;
} resync;

static void scan_on(void);
static int send_batch(struct batch *batch);

static void done(const char *why)
{
	resync_stop();
	resync.options.on_done(why);
}

static void failed(const redisReply *reply)
{
	char why[160];

	snprintf(why, sizeof(why), "%s",
		 reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer not of its form");
	done(why);
}

static void take_values(const struct batch *batch, const redisReply *reply)
{
	struct str prefix = str_of(resync.prefix);

	for (size_t i = 0; i < batch->n; i++) {
		const redisReply *value = reply->element[2 * i], *pttl = reply->element[2 * i + 1];

		if (value->type != REDIS_REPLY_STRING || pttl->type != REDIS_REPLY_INTEGER)
			intake_refuse();
		else if (value->len) /* else it has gone meanwhile */
			intake_stored(prefix, batch->keys[i],
				      (struct str){ value->str, value->len }, pttl->integer);
	}
	resync.keys += batch->n;
}

static void on_values(void *arg, const redisReply *reply)
{
	struct batch *batch = arg;

	if (!reply || !resync.redis || batch->epoch != resync.epoch) {
		free(batch);
		return;
	}
	resync.batches--;
	if (script_is_missing(SCRIPT_READ, reply)) {
		if (send_batch(batch) != 0)
			done("the connection takes no more");
		return;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 * batch->n) {
		free(batch);
		failed(reply);
		return;
	}
	take_values(batch, reply);
	free(batch);
	scan_on();
}

/* Frees BATCH when it cannot. */
static int send_batch(struct batch *batch)
{
	int rc = script_call(SCRIPT_READ, resync.redis, on_values, batch, batch->n, batch->n,
			     batch->keys);

	if (rc != 0)
		free(batch);
	else
		resync.batches++;
	return rc;
}

static bool is_text(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_STRING;
}

/* A copy of up to BATCH_N of LIST's texts from FROM on. */
static struct batch *batch_new(const redisReply *list, size_t from)
{
	size_t size = 0, n = 0;
	struct batch *batch;
	char *at;

	for (size_t i = from; i < list->elements && i < from + BATCH_N; i++)
		if (is_text(list->element[i]) && list->element[i]->len <= WIRE_KEY_MAX)
			size += list->element[i]->len;
	batch = xmalloc(sizeof(*batch) + size);
	at = batch->bytes;
	for (size_t i = from; i < list->elements && i < from + BATCH_N; i++) {
		const redisReply *key = list->element[i];

		if (!is_text(key) || !key->len || key->len > WIRE_KEY_MAX) {
			intake_refuse();
			continue;
		}
		memcpy(at, key->str, key->len);
		batch->keys[n++] = (struct str){ at, key->len };
		at += key->len;
	}
	batch->n = n;
	batch->epoch = resync.epoch;
	return batch;
}

static bool read_values(const redisReply *list)
{
	for (size_t from = 0; from < list->elements; from += BATCH_N) {
		struct batch *batch = batch_new(list, from);

		if (!batch->n)
			free(batch);
		else if (send_batch(batch) != 0)
			return false;
	}
	return true;
}

/* {cursor, {key, ...}} */
static void on_scan(void *arg, const redisReply *reply)
{
	size_t n;

	if (!reply || !resync.redis || (uint64_t)(uintptr_t)arg != resync.epoch)
		return;
	resync.is_scanning = false;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    !is_text(reply->element[0]) || reply->element[0]->len >= CURSOR_SIZE ||
	    reply->element[1]->type != REDIS_REPLY_ARRAY) {
		failed(reply);
		return;
	}
	snprintf(resync.cursor, sizeof(resync.cursor), "%s", reply->element[0]->str);
	resync.is_scanned = strcmp(resync.cursor, "0") == 0;
	n = reply->element[1]->elements;
	if (!read_values(reply->element[1])) {
		done("the connection takes no more");
		return;
	}
	if (resync.rate && n && !resync.is_scanned) {
		resync.is_scanning = true;
		loop_timer_in(resync.options.loop, &resync.timer,
			      (int64_t)(n * 1000 / resync.rate));
		return;
	}
	scan_on();
}

static void send_scan(void)
{
	const char *words[] = {
		"SCAN", resync.cursor, "MATCH", resync.pattern, "COUNT", SCAN_COUNT
	};
	size_t sizes[] = {
		4, strlen(resync.cursor), 5, resync.pattern_n, 5, sizeof(SCAN_COUNT) - 1
	};

	resync.is_scanning = true;
	if (redis_command(resync.redis, on_scan, (void *)(uintptr_t)resync.epoch, ARRAY_N(words),
			  words, sizes) != 0)
		done("the connection takes no more");
}

static void scan_on(void)
{
	if (resync.is_scanning || resync.batches >= BATCHES_MAX)
		return;
	if (!resync.is_scanned)
		send_scan();
	else if (!resync.batches)
		done(NULL);
}

static void on_timer(struct timer *timer)
{
	(void)timer;
	resync.is_scanning = false;
	if (resync.redis)
		scan_on();
}

void resync_init(const struct resync_options *options)
{
	resync.options = *options;
	timer_init(&resync.timer, on_timer);
}

void resync_start(struct redis *redis, struct str prefix, uint32_t rate)
{
	resync_stop();
	resync.redis = redis;
	resync.rate = rate;
	resync.keys = 0;
	resync.started_ms = clock_ms();
	resync.is_scanned = false;
	snprintf(resync.cursor, sizeof(resync.cursor), "0");
	snprintf(resync.prefix, sizeof(resync.prefix), "%.*s", STR_ARG(prefix));
	resync.pattern_n = wire_pattern_write(resync.pattern, prefix);
	scan_on();
}

void resync_stop(void)
{
	if (!resync.redis)
		return;
	resync.took_ms = clock_ms() - resync.started_ms;
	resync.redis = NULL;
	resync.epoch++;
	resync.batches = 0;
	resync.is_scanning = false;
	timer_fini(&resync.options.loop->wheel, &resync.timer);
}

bool resync_is_running(void)
{
	return resync.redis;
}

uint64_t resync_keys(void)
{
	return resync.keys;
}

int64_t resync_ms(void)
{
	return resync.redis ? clock_ms() - resync.started_ms : resync.took_ms;
}
