/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/follow.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "mirror/intake.h"
#include "mirror/wire.h"

#define BLOCK_MS 1000
#define COUNT    "512"
#define ID_SIZE  48
#define START_ID "0-0"

static struct {
	struct follow_options options;
	struct redis *redis;   /* (view) NULL = away */
	bool is_up;            /* it had a place on this link */
	bool has_place;        /* on this link: XREAD runs */
	bool is_known;         /* id and number say where we are */
	char id[ID_SIZE];      /* of the newest change seen */
	uint64_t number;       /* 0 = the stream was empty, or its newest entry not ours */
	const char *gap;       /* why the place is asked for; NULL = for the first time */
	uint64_t epoch;        /* moved when answers under way mean nothing any more */
	int64_t time_ahead_ms; /* Redis' wall clock minus our clock_ms() */
	bool has_time;
	uint64_t lag_ms;
	char prefix[WIRE_KEY_MAX], node[WIRE_NODE_MAX + 1];
	char stream[WIRE_KEY_MAX + 1], number_key[WIRE_KEY_MAX + 1];
} follow;

static void ask_place(const char *gap);
static void read_on(void);

static bool send(redis_reply_fn *fn, size_t n, const char **words, int64_t in_ms)
{
	size_t sizes[12];

	bug_on(n > ARRAY_N(sizes));
	for (size_t i = 0; i < n; i++)
		sizes[i] = strlen(words[i]);
	if (redis_command(follow.redis, fn, (void *)(uintptr_t)follow.epoch, n, words, sizes) != 0)
		return false;
	if (in_ms)
		redis_answer_in(follow.redis, in_ms);
	return true;
}

static bool is_ours(void *arg, const redisReply *reply)
{
	return reply && follow.redis && (uint64_t)(uintptr_t)arg == follow.epoch;
}

/* No answer that we know what to do with: a new connection may get better ones. */
static void give_up(const redisReply *reply)
{
	char why[160];

	snprintf(why, sizeof(why), "no sensible answer from the stream: %s",
		 reply && reply->type == REDIS_REPLY_ERROR ? reply->str : "not of its form");
	if (follow.redis)
		redis_drop(follow.redis, why);
}

static struct str text_of(const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS)
		return STR_NONE;
	return (struct str){ reply->str, reply->len };
}

/* One entry of the stream: {id, {name, value, ...}}.  False: it has no id. */
static bool entry_id(const redisReply *entry, uint64_t *unix_ms)
{
	struct str id;

	if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2)
		return false;
	id = text_of(entry->element[0]);
	return id.p && id.len < ID_SIZE && wire_id_ms(id, unix_ms);
}

static bool entry_change(const redisReply *entry, struct wire_change *change)
{
	const redisReply *list = entry->element[1];
	struct str fields[WIRE_FIELDS_N];

	if (list->type != REDIS_REPLY_ARRAY || list->elements != WIRE_FIELDS_N)
		return false;
	for (size_t i = 0; i < WIRE_FIELDS_N; i++) {
		fields[i] = text_of(list->element[i]);
		if (!fields[i].p)
			return false;
	}
	return wire_change_read(fields, WIRE_FIELDS_N, change);
}

static void set_place(struct str id, uint64_t number)
{
	snprintf(follow.id, sizeof(follow.id), "%.*s", STR_ARG(id));
	follow.number = number;
	follow.is_known = true;
}

static void note_lag(uint64_t id_ms)
{
	int64_t now_ms = clock_ms() + follow.time_ahead_ms;

	if (follow.has_time)
		follow.lag_ms = now_ms > (int64_t)id_ms ? (uint64_t)now_ms - id_ms : 0;
}

/* False: it is not the next one. */
static bool take_entry(const redisReply *entry)
{
	struct wire_change change;
	uint64_t id_ms;

	if (!entry_id(entry, &id_ms))
		return false;
	if (!entry_change(entry, &change)) {
		/* Not ours, and without a number: whoever put it there has not moved ours. */
		intake_refuse();
		set_place(text_of(entry->element[0]), follow.number);
		return true;
	}
	/* An empty stream goes on with 1; where somebody else's entry was the newest, with any. */
	if ((follow.number || strcmp(follow.id, START_ID) == 0) &&
	    change.number != follow.number + 1)
		return false;
	set_place(text_of(entry->element[0]), change.number);
	if (!str_eq(change.node, str_of(follow.node))) {
		note_lag(id_ms);
		/* What is left was true when it was written, perhaps before the link was lost. */
		change.left_ms -= (int64_t)follow.lag_ms;
		if (change.left_ms < 1)
			change.left_ms = 1;
		intake_change(&change);
	}
	return true;
}

/* {{stream, {entry, ...}}}, or nil when the time is over. */
static const redisReply *entries_of(const redisReply *reply)
{
	const redisReply *stream;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1)
		return NULL;
	stream = reply->element[0];
	if (stream->type != REDIS_REPLY_ARRAY || stream->elements != 2 ||
	    stream->element[1]->type != REDIS_REPLY_ARRAY)
		return NULL;
	return stream->element[1];
}

static void on_number(void *arg, const redisReply *reply)
{
	uint64_t number = 0;

	if (!is_ours(arg, reply))
		return;
	if (reply->type == REDIS_REPLY_STRING &&
	    str_to_u64(text_of(reply), INT64_MAX, &number) != 0)
		number = 0;
	if (reply->type == REDIS_REPLY_ERROR)
		give_up(reply);
	/* It is at least what was seen before it was asked for, on the same connection. */
	else if (number < follow.number)
		ask_place("Redis was emptied");
}

static void on_read(void *arg, const redisReply *reply)
{
	const redisReply *entries;

	if (!is_ours(arg, reply))
		return;
	if (reply->type == REDIS_REPLY_NIL) {
		const char *words[] = { "GET", follow.number_key };

		if (send(on_number, ARRAY_N(words), words, 0))
			read_on();
		return;
	}
	entries = entries_of(reply);
	if (!entries) {
		give_up(reply);
		return;
	}
	for (size_t i = 0; i < entries->elements; i++)
		if (!take_entry(entries->element[i])) {
			ask_place("changes are missing in the stream");
			return;
		}
	read_on();
}

static void read_on(void)
{
	const char *words[] = { "XREAD", "COUNT",   COUNT,         "BLOCK",
				"1000",  "STREAMS", follow.stream, follow.id };

	send(on_read, ARRAY_N(words), words, BLOCK_MS + SEC(2));
}

static void have_place(const char *gap)
{
	follow.has_place = follow.is_up = true;
	follow.gap = NULL;
	read_on();
	follow.options.on_place(gap);
}

/* The stream's newest entry. */
static void on_end(void *arg, const redisReply *reply)
{
	struct wire_change change;
	uint64_t id_ms;

	if (!is_ours(arg, reply))
		return;
	if (reply->type != REDIS_REPLY_ARRAY) {
		give_up(reply);
		return;
	}
	if (reply->elements == 0)
		set_place(STR(START_ID), 0);
	else if (!entry_id(reply->element[0], &id_ms))
		give_up(reply);
	else
		set_place(text_of(reply->element[0]->element[0]),
			  entry_change(reply->element[0], &change) ? change.number : 0);
	if (follow.redis && follow.is_known)
		have_place(follow.gap);
}

static void ask_place(const char *gap)
{
	const char *words[] = { "XREVRANGE", follow.stream, "+", "-", "COUNT", "1" };

	follow.epoch++; /* a blocking read that is under way is answered first, and ignored */
	follow.is_known = follow.has_place = false;
	follow.gap = gap;
	send(on_end, ARRAY_N(words), words, BLOCK_MS + SEC(2));
}

/* The change that was seen last, as it stands there now. */
static void on_check(void *arg, const redisReply *reply)
{
	struct wire_change change;
	uint64_t id_ms;

	if (!is_ours(arg, reply))
		return;
	if (reply->type != REDIS_REPLY_ARRAY)
		give_up(reply);
	else if (reply->elements == 1 && entry_id(reply->element[0], &id_ms) &&
		 (!entry_change(reply->element[0], &change) || change.number == follow.number))
		have_place(NULL);
	else
		ask_place("the stream does not reach back to where it was left");
}

void follow_set_time(int64_t unix_ms)
{
	follow.time_ahead_ms = unix_ms - clock_ms();
	follow.has_time = true;
}

static void on_time(void *arg, const redisReply *reply)
{
	uint64_t seconds, us;

	if (!is_ours(arg, reply) || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    str_to_u64(text_of(reply->element[0]), INT32_MAX * 8ull, &seconds) != 0 ||
	    str_to_u64(text_of(reply->element[1]), 999999, &us) != 0)
		return;
	follow_set_time((int64_t)(seconds * 1000 + us / 1000));
}

void follow_up(struct redis *redis)
{
	const char *time[] = { "TIME" };
	const char *check[] = { "XRANGE", follow.stream, follow.id, follow.id };

	follow.redis = redis;
	follow.epoch++;
	send(on_time, ARRAY_N(time), time, 0);
	if (!follow.is_known)
		ask_place(follow.gap);
	/* Of an empty stream there is nothing to check: what came since is all there. */
	else if (follow.number == 0 || strcmp(follow.id, START_ID) == 0)
		ask_place("the stream was empty when it was left");
	else
		send(on_check, ARRAY_N(check), check, 0);
}

void follow_down(void)
{
	follow.epoch++;
	follow.redis = NULL;
	follow.has_place = follow.is_up = false;
}

void follow_forget(void)
{
	follow.is_known = false;
	follow.number = 0;
	follow.gap = NULL;
}

bool follow_has_place(void)
{
	return follow.redis && follow.has_place && follow.is_known;
}

bool follow_is_up(void)
{
	return follow.redis && follow.is_up;
}

uint64_t follow_number(void)
{
	return follow.number;
}

uint64_t follow_lag_ms(void)
{
	return follow.lag_ms;
}

void follow_init(const struct follow_options *options)
{
	follow.options = *options;
}

void follow_apply(struct str prefix, struct str node)
{
	snprintf(follow.prefix, sizeof(follow.prefix), "%.*s", STR_ARG(prefix));
	snprintf(follow.node, sizeof(follow.node), "%.*s", STR_ARG(node));
	follow.stream[wire_name_write(follow.stream, prefix, 's')] = '\0';
	follow.number_key[wire_name_write(follow.number_key, prefix, 'q')] = '\0';
}
