/* SPDX-License-Identifier: MIT */
/*
 * The reader (hiredis 0.14) makes its objects through a table of functions.  Ours count what an
 * answer costs and refuse in time: createArray() is called with the announced number before the
 * elements have come, and would take 16 GiB for "*2147483647".  Announced strings cost nothing
 * until they are complete, but the reader would go on to buffer them; so the header that it waits
 * behind is looked at where it stands in the reader's buffer.
 */
#include "config.h"

#include "mirror/redis_answers.h"

#include <stdbool.h>
#include <string.h>

#define OBJECT_SIZE (sizeof(redisReply) + 16) /* with what malloc() adds */

static const char too_large[] = "an answer larger than 64 MiB";

static bool spend(const redisReadTask *task, size_t size)
{
	struct redis_answers *answers = task->privdata;

	if (!task->parent)
		answers->spent = 0;
	if (size > REDIS_REPLY_MAX - answers->spent) {
		answers->why = too_large;
		return false;
	}
	answers->spent += size;
	return true;
}

static const redisReplyObjectFunctions *makers(const redisReadTask *task)
{
	return ((const struct redis_answers *)task->privdata)->hiredis_fns;
}

static void *create_string(const redisReadTask *task, char *bytes, size_t size)
{
	if (size > REDIS_REPLY_MAX || !spend(task, OBJECT_SIZE + size))
		return NULL;
	return makers(task)->createString(task, bytes, size);
}

static void *create_array(const redisReadTask *task, int n)
{
	if (!spend(task, OBJECT_SIZE + (size_t)n * sizeof(redisReply *)))
		return NULL;
	return makers(task)->createArray(task, n);
}

static void *create_integer(const redisReadTask *task, long long number)
{
	return spend(task, OBJECT_SIZE) ? makers(task)->createInteger(task, number) : NULL;
}

static void *create_nil(const redisReadTask *task)
{
	return spend(task, OBJECT_SIZE) ? makers(task)->createNil(task) : NULL;
}

void redis_answers_open(struct redis_answers *answers)
{
	redisReader *reader = redisReaderCreate();

	bug_on(!reader);
	*answers = (struct redis_answers){
		.reader = reader,
		.hiredis_fns = reader->fn,
		.fns = { .createString = create_string,
			 .createArray = create_array,
			 .createInteger = create_integer,
			 .createNil = create_nil,
			 .freeObject = reader->fn->freeObject },
	};
	reader->fn = &answers->fns;
	reader->privdata = answers;
}

void redis_answers_close(struct redis_answers *answers)
{
	if (answers->reader)
		redisReaderFree(answers->reader);
	answers->reader = NULL;
}

void redis_answers_feed(struct redis_answers *answers, const char *bytes, size_t size)
{
	if (answers->why)
		return;
	if (redisReaderFeed(answers->reader, bytes, size) != REDIS_OK)
		answers->why = "out of memory";
}

/* The announced length of the string that the reader waits for; its header is complete. */
static bool is_announced_fine(const char *digits, const char *end)
{
	size_t announced = 0;

	for (; digits < end && *digits >= '0' && *digits <= '9'; digits++) {
		announced = announced * 10 + (size_t)(*digits - '0');
		if (announced > REDIS_REPLY_MAX)
			return false;
	}
	return true; /* what is no number is refused by the reader */
}

/* What the reader holds and could not use yet. */
static const char *judge_rest(const redisReader *reader)
{
	const char *rest = reader->buf + reader->pos;
	size_t size = reader->len - reader->pos;
	const char *end;

	if (!size)
		return NULL;
	if (size > REDIS_REPLY_MAX + REDIS_LINE_MAX)
		return too_large;
	end = memmem(rest, size < REDIS_LINE_MAX ? size : REDIS_LINE_MAX, "\r\n", 2);
	if (end && reader->ridx >= 0 && reader->rstack[reader->ridx].type == REDIS_REPLY_STRING)
		return is_announced_fine(rest, end) ? NULL : too_large;
	return size < REDIS_LINE_MAX ? NULL : "a line without an end";
}

redisReply *redis_answers_next(struct redis_answers *answers)
{
	void *reply = NULL;

	if (answers->why)
		return NULL;
	if (redisReaderGetReply(answers->reader, &reply) != REDIS_OK) {
		if (!answers->why)
			answers->why = answers->reader->err == REDIS_ERR_PROTOCOL
					       ? "no answer of a Redis"
					       : "out of memory";
		return NULL;
	}
	if (!reply)
		answers->why = judge_rest(answers->reader);
	return reply;
}
